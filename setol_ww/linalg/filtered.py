"""Vectors of the largest eigenvalues of a symmetric tensor whose eigenvalues are known, on the device where it is.

A polynomial that is small on all other eigenvalues turns random vectors into theirs, by products alone: nothing waits
for the processor in between, as every step of Lanczos' iteration does (Zhou, Saad, Tiago, Chelikowsky 2006).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

# Columns that are filtered beside two for each vector that is wanted: the farther the last of them, the lower a degree.
MORE = 8
# Logarithms: of what a filter has to gain, and of what it may between the first and the last vector that is wanted.
GAIN, SPREAD = 24.0, 20.0
HIGHEST_DEGREE = 400
ROUNDS = 20
# Residuals, of the last eigenvalue that is wanted; and of the largest one, which rounding leaves.
TOLERANCE, ROUNDING = 1e-8, 4e-15
# Share of the last eigenvalue from which rounding hides it.
RESOLVED = 1e-3


def leading_vectors(total: Any, values: Any, number: int) -> Any:
    """Vectors of the `number` largest eigenvalues in columns, the largest first.

    Parameters
    ----------
    total : torch.Tensor of float64, shape (M, M)
        Symmetric.
    values : torch.Tensor of float64, shape (M,)
        Its eigenvalues, ascending.
    number : int

    Notes
    -----
    The columns of a random block are multiplied with the Chebyshev polynomial that is at most one from the smallest
    eigenvalue to the (2 `number` + 9)th, divided by what it is at the largest, made orthogonal, and turned to the
    eigenvectors of the matrix between them. Those whose residuals are below 1e-8 of the last eigenvalue that is wanted
    are taken out of the matrix, and the others go on. Where eigenvalues lie too near, or the block is half of the
    matrix, all vectors are computed.

    Examples
    --------
    >>> import torch
    >>> total = torch.diag(torch.arange(1.0, 101.0, dtype=torch.float64))
    >>> leading_vectors(total, total.diagonal(), 2).abs().argmax(dim=0).tolist()
    [99, 98]
    """
    import torch

    found = _filtered(total, values, number) if 2 * (2 * number + MORE) < total.shape[0] else None
    return torch.linalg.eigh(total)[1].flip(1)[:, :number] if found is None else found


def _filtered(total: Any, values: Any, number: int) -> Any | None:
    """None where the filter does not part them."""
    import torch

    side, wide = total.shape[0], 2 * number + MORE
    lowest, bar, *wanted = values[[0, side - wide - 1, *range(side - 1, side - number - 1, -1)]].tolist()
    interval = (lowest + bar) / 2, (bar - lowest) / 2
    bound = max(TOLERANCE * wanted[-1], ROUNDING * wanted[0])
    if not bound < RESOLVED * wanted[-1]:
        return None
    generator = torch.Generator(total.device).manual_seed(0)
    basis = torch.randn(side, wide, dtype=torch.float64, device=total.device, generator=generator)
    rest = _Rest(total, basis[:, :0], values[:0])
    for _ in range(ROUNDS):
        left = wanted[rest.taken.shape[1] :]
        degree = _degree(interval, left[-1], left[0])
        if not degree:
            return None
        basis = torch.linalg.qr(rest.apart(_polynomial(rest, rest.apart(basis), interval, left[0], degree))).Q
        image = rest.times(basis)
        turn = torch.linalg.eigh(basis.T @ image)[1].flip(1)
        basis, image = basis @ turn, image @ turn[:, : len(left)]
        next_values = values[side - number : side - number + len(left)].flip(0)
        off = torch.linalg.vector_norm(image - basis[:, : len(left)] * next_values, dim=0)
        done = int((off <= bound).long().cumprod(0).sum())
        rest = rest.without(basis[:, :done], next_values[:done])
        if done == len(left):
            return rest.taken
        basis = basis[:, done:]
    return None


@dataclass(frozen=True)
class _Rest:
    """A symmetric tensor without the eigenvectors that were taken out of it, in columns, and their eigenvalues."""

    total: Any
    taken: Any
    values: Any

    def without(self, vectors: Any, values: Any) -> _Rest:
        import torch

        return _Rest(self.total, torch.hstack([self.taken, vectors]), torch.cat([self.values, values]))

    def apart(self, vectors: Any) -> Any:
        """What of them is orthogonal to those that were taken out."""
        return vectors - self.taken @ (self.taken.T @ vectors)

    def times(self, right: Any) -> Any:
        image = self.total @ right
        return image.addmm_(self.taken * self.values, self.taken.T @ right, alpha=-1) if self.values.numel() else image


def _degree(interval: tuple[float, float], last: float, largest: float) -> int:
    """Of a polynomial that parts the last one wanted from the interval, of no more than keeps it beside the largest."""
    centre, half = interval
    if not 0 < half < last - centre:
        return 0
    least, most = math.acosh((last - centre) / half), math.acosh((largest - centre) / half)
    wanted = math.ceil(GAIN / least)
    return max(1, min(wanted, HIGHEST_DEGREE, int(SPREAD / (most - least)) if most > least else wanted))


def _polynomial(rest: _Rest, basis: Any, interval: tuple[float, float], largest: float, degree: int) -> Any:
    """The Chebyshev polynomial of the matrix, 1 at its largest eigenvalue, on the columns of a basis."""
    centre, half = interval
    first = half / (largest - centre)
    before, now, share = basis, (rest.times(basis) - centre * basis) * (first / half), first
    for _ in range(degree - 1):
        following = 1 / (2 / first - share)
        after = rest.times(now).sub_(now, alpha=centre).mul_(2 * following / half).sub_(before, alpha=share * following)
        before, now, share = now, after, following
    return now
