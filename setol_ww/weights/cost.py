r"""What a layer costs, told from its shape, for shards of equal work and for an estimate of the time.

A Gram matrix takes :math:`N M^2` and its eigenvalues a multiple of :math:`M^3`, for each pooled matrix; in units of
the former.
"""

from __future__ import annotations

# Eigenvalues against the Gram matrix of a square layer, one BLAS thread: measured 1.7 to 2.8 for M from 1024 to 4096.
EIGENVALUES_PER_GRAM = 2.5
# Opening a file, the fits, the row: about as long as the Gram matrix of a layer of 700 x 700.
FIXED = 700.0**3


def cost(rows: int, columns: int, count: int = 1) -> float:
    """Work units of `count` matrices of one shape.

    >>> round(cost(4096, 11008) / cost(4096, 4096), 2)
    1.48
    """
    large, small = float(max(rows, columns)), float(min(rows, columns))
    return FIXED + count * (large * small**2 + EIGENVALUES_PER_GRAM * small**3)
