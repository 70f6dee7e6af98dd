r"""How much of each layer to prune, as AlphaPruning says.

:math:`s_i = r_i\,S\,\sum n / \sum n r` with
:math:`r_i = s_1 + (s_2 - s_1)(\alpha_i - \min\alpha)/(\max\alpha - \min\alpha)`, s1 = 1 - eps, s2 = 1 + eps, n the
number of weights (Lu et al., AlphaPruning, NeurIPS 2024; `lib/prune.py`, MIT). In a transformer the alphas are
`alpha_peak`, averaged over the layers of each numbered block, and only these layers are pruned; elsewhere they are
`alpha_hill`, a layer each.

The budget S over all pruned layers is kept exactly. The authors do not clip: a share above 1 breaks their threshold.
Here what is above `most` is cut to it, and the other layers take the rest in proportion (`budgets.shares`).
"""

from __future__ import annotations

import math

import numpy as np

from ..core.checks import is_finite, one_of, positive_integer
from ..core.errors import InvalidInput
from ..results.results import Results
from ..spectrum.esd import Spectrum
from ..spectrum.starts import median_hill, peak_alpha
from ..weights.kinds import block_of
from .budgets import counts, shares
from .candidates import Candidate, rows_of, titles
from .evidence import READOUT
from .maps import linear
from .registry import Draft, Target

FEW = 50
ALPHAS = {"peak": "alpha_peak", "mid": "alpha_hill"}


def advise(
    results: Results,
    *,
    sparsity: float = 0.5,
    epsilon: float = 0.3,
    alpha: str | None = None,
    blocks: bool | None = None,
    min_evals: int = 1,
    most: float = 1.0,
) -> Draft:
    """Shares of zeros.

    Parameters
    ----------
    results : Results
    sparsity : float
        Share of zeros over all pruned layers, from 0 to `most`.
    epsilon : float
        Half the spread of the ratios, from 0 (uniform) to 1. The authors: 0.3, for image models 0.2.
    alpha : str, optional
        `peak` or `mid`; by default `peak` with blocks, else `mid`.
    blocks : bool, optional
        One share a numbered block; by default where the names have two blocks or more.
    min_evals : int
        A layer with fewer eigenvalues gets the budget's own share, whatever its alpha; the authors judge them all.
    most : float
        No layer is pruned by more; 1 takes a layer away whole.
    """
    if not is_finite(sparsity, most) or not (0 < most <= 1 and 0 <= sparsity <= most):
        raise InvalidInput(f"sparsity={sparsity!r}, most={most!r} was asked; accepted is 0 <= sparsity <= most <= 1")
    if not is_finite(epsilon) or not 0 <= epsilon <= 1:
        raise InvalidInput(f"epsilon={epsilon!r} was asked; accepted is a number from 0 to 1")
    one_of("blocks", blocks, (None, True, False))
    found = [candidate for candidate in rows_of(results) if not candidate.is_embedding]
    left_out = {row.title: "an embedding: not pruned" for row in rows_of(results) if row.is_embedding}
    numbered = {block_of(candidate.longname) for candidate in found} - {""}
    by_block = len(numbered) > 1 if blocks is None else blocks
    if by_block:
        left_out |= {row.title: "outside the blocks: not pruned" for row in found if not block_of(row.longname)}
        found = [row for row in found if block_of(row.longname)]
    if not found:
        raise InvalidInput(f"blocks={blocks!r} was asked; no layer is in a numbered block ({titles(rows_of(results))})")
    kind = str(one_of("alpha", alpha or ("peak" if by_block else "mid"), tuple(ALPHAS)))
    own = np.array([row.mean(lambda spectrum: _alpha(spectrum, kind)) for row in found])
    used = _block_means(found, own) if by_block else own
    few = np.array([row.num_evals < positive_integer("min_evals", min_evals) for row in found])
    known = np.isfinite(used) & ~few
    ratios, sizes = np.ones(used.size), np.array([row.n_params for row in found], dtype=float)
    ratios[known] = linear(used[known], 1 - epsilon, 1 + epsilon)
    plain = ratios * sparsity * sizes[known].sum() / max(float(ratios[known] @ sizes[known]), 1e-300)
    share = np.full(used.size, float(sparsity))
    share[known] = shares(ratios[known], sizes[known], sparsity, most)
    whole = counts(share, sizes.astype(np.int64), round(sparsity * float(sizes.sum())))
    rows = [
        {
            "longname": row.longname,
            "slice": row.slice,
            "tensor": row.tensor,
            "n_params": row.n_params,
            ALPHAS[kind]: float(own[place]),
            **({"block": block_of(row.longname), "block_alpha": float(used[place])} if by_block else {}),
            "ratio": float(ratios[place]),
            "sparsity": float(share[place]),
            "n_pruned": int(whole[place]),
            "reason": _reason(row, min_evals, float(used[place]), float(plain[place]), most),
        }
        for place, row in enumerate(found)
    ]
    return Draft(rows, _notes(found, used[known], plain[known], most), left_out)


def _alpha(spectrum: Spectrum, kind: str) -> float:
    known = spectrum.above_rounding
    return peak_alpha(known.raw) if kind == "peak" else median_hill(known.values)


def _block_means(rows: list[Candidate], alphas: np.ndarray) -> np.ndarray:
    """The plain mean of the alphas of each block, for each of its layers that has one."""
    names = np.array([block_of(row.longname) for row in rows])
    means = np.full(alphas.size, math.nan)
    for name in dict.fromkeys(names):
        inside = (names == name) & np.isfinite(alphas)
        if inside.any():
            means[inside] = alphas[inside].mean()
    return means


def _reason(row: Candidate, min_evals: int, alpha: float, plain: float, most: float) -> str:
    if row.failure:
        return f"{row.failure}: the budget's own share"
    if row.num_evals < min_evals:
        return f"{row.num_evals} eigenvalues, fewer than {min_evals}: the budget's own share"
    if not math.isfinite(alpha):
        return "its alpha is not defined: the budget's own share"
    return f"cut to {most:g} from {plain:.4g}" if plain > most else ""


def _notes(rows: list[Candidate], alphas: np.ndarray, plain: np.ndarray, most: float) -> tuple[str, ...]:
    said = []
    if alphas.size and not np.ptp(alphas) > 0:
        said.append("the alphas tell no layer from another: every layer gets the budget's own share")
    few = [row for row in rows if 0 < row.num_evals < FEW]
    if few:
        said.append(f"alpha of fewer than {FEW} eigenvalues is unstable (see min_evals): {titles(few)}")
    if (plain > most).any():
        said.append(
            f"the authors' share is above {most:g} in {(plain > most).sum()} layers: cut to it, and the others take "
            "the rest in proportion"
            + ("; a share of 1 takes a layer away whole, most=0.95 leaves some" if most == 1 else "")
        )
    return tuple(said)


TARGET = Target(
    "sparsity",
    "sparsity",
    "a pruning ratio for each layer by its alpha (AlphaPruning)",
    "r S sum(n) / sum(n r), r = 1 - eps + 2 eps (alpha - min) / (max - min), at most `most`; the budget kept",
    "AlphaPruning, Lu et al., NeurIPS 2024 (github.com/haiquanlu/AlphaPruning)",
    advise,
    READOUT,
)
