"""A matrix without its correlation traps: their carriers taken out, everything else left where it is."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import FloatArray, as_matrix
from ..core.errors import InvalidInput
from ..linalg.shuffles import sources_of
from ..theory.laws.edge import TRACY_WIDOM_MEAN, centre_and_scale
from .find import TrapReport, _as_slices, as_array, find_traps
from .search import Slice, look

if TYPE_CHECKING:
    import torch

Weight = TypeVar("Weight", NDArray[Any], "torch.Tensor")

logger = logging.getLogger(__name__)

ROUNDS = 20


def remove_traps(W: Weight, report: TrapReport | None = None, *, seed: int = 0) -> Weight:
    """A new matrix in which `find_traps` finds nothing; W is untouched.

    Elements that carry a trap become the mean of the others; a mean shift that is a trap is subtracted; an outlier
    that neither carries (chance, at the rate `level`) is shrunk to where noise has its largest on average. Nothing else
    moves. Without traps, or where none can be looked for, the result is a copy.

    Parameters
    ----------
    W : ndarray or torch.Tensor of floats, shape (rows, columns) or (out, in, kernel sides)
    report : TrapReport, optional
        Of W: its seed and level are used; `find_traps(W, seed=seed)` without it.
    seed : int
        Of the shuffle, where there is no report.

    Returns
    -------
    ndarray or torch.Tensor
        Type, dtype, shape and device of W.

    Raises
    ------
    InvalidInput
        W holds integers, or the report is of another shape.

    Notes
    -----
    Clean for the seed of the report; another shuffle finds something in noise at the rate of the level. Applying it
    twice is applying it once.

    Examples
    --------
    >>> import numpy as np, setol_ww as ww
    >>> W = np.random.default_rng(0).normal(size=(300, 200))
    >>> W[132, 17] = 40
    >>> cleaned = ww.remove_traps(W)
    >>> int((cleaned != W).sum()), ww.find_traps(cleaned).count
    (1, 0)
    """
    is_torch = hasattr(W, "detach")
    given: Any = W if is_torch else as_array(W)
    if not (given.is_floating_point() if is_torch else np.issubdtype(given.dtype, np.floating)):
        raise InvalidInput(f"traps of a weight of dtype {given.dtype} were asked to be removed; accepted are floats")
    if report is None:
        report = find_traps(given, seed=seed)
    if not isinstance(report, TrapReport):
        raise InvalidInput(f"report={report!r} was given; accepted is what find_traps returns")
    if tuple(report.shape) != tuple(given.shape):
        raise InvalidInput(f"a report of shape {report.shape} was given for a weight of shape {tuple(given.shape)}")
    result: Any = given.detach().clone() if is_torch else np.array(given)
    if not report.count:
        return result
    parts, _ = _as_slices(result)
    share = -math.expm1(math.log1p(-report.level) / len(parts))
    for number, part in enumerate(parts):
        _clean(part, (report.seed, number), share)
    return result


def _clean(matrix: Any, seed: tuple[int, ...], level: float) -> None:
    """Take the traps out of a view, in place; each round may uncover smaller ones."""
    for _ in range(ROUNDS):
        found, _ = look(as_matrix(matrix), seed, level)
        if found is None or not found.count:
            return
        _take_out(matrix, found, seed)
    logger.warning("traps may be left after %s rounds of removal", ROUNDS)


def _take_out(matrix: Any, found: Slice, seed: tuple[int, ...]) -> None:
    for source in found.sources:
        matrix[found.index(source)] = found.raw(found.entries.mean)
    if found.place.shifts.any():
        _subtract(matrix, found.raw(found.entries.mean))
    elif not found.sources.size:
        _subtract(matrix, _spread_part(found, seed))


def _spread_part(found: Slice, seed: tuple[int, ...]) -> FloatArray:
    """What the outliers have beyond the largest eigenvalue that noise has on average, put back in order."""
    scale = centre_and_scale(found.N, found.M)[1]
    ends = found.entries.variance * np.full(found.count, found.edge + TRACY_WIDOM_MEAN * scale)
    beyond = np.sqrt(found.values[: found.count]) - np.sqrt(ends)
    part = (found.left * beyond) @ found.right.T
    order = sources_of(np.arange(part.size), part.shape, seed)
    sorted_back = np.empty(part.size)
    sorted_back[order] = part.reshape(-1)
    back = np.ldexp(sorted_back.reshape(part.shape), found.exponent)
    return back.T if found.transposed else back


def _subtract(matrix: Any, values: Any) -> None:
    """Subtract in place; torch cannot in dtypes below 16 bits, so there the difference is taken in float32."""
    if not hasattr(matrix, "detach"):
        matrix -= np.asarray(values).astype(matrix.dtype)
        return
    import torch

    narrow = matrix.element_size() == 1
    working = torch.float32 if narrow else matrix.dtype
    part = torch.from_numpy(np.ascontiguousarray(values)).to(dtype=working, device=matrix.device)
    matrix.copy_(matrix.to(working) - part.reshape(np.shape(values)))
