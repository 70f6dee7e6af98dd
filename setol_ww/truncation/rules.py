"""Which singular components of a layer a truncation rule keeps.

| rule | keeps |
|---|---|
| `erg` | the effective correlation space: the k* leading components whose eigenvalues multiply to 1 |
| `powerlaw` | the components of the power-law tail |
| `mp` | those above the edge of the Marchenko-Pastur bulk (`setol_ww.fit_bulk`) |
| `gavish-donoho` | those above the optimal hard threshold for unknown noise (arXiv 1305.5870) |
| `rank:K` | the K leading ones of each layer |
| `energy:F` | the fewest leading ones that carry the share F of the squared Frobenius norm |
| `bulk` | the complement of `erg` |
| `random:K`, `random:RULE` | K components drawn at random, or as many as another rule keeps |
| `bottom:K`, `bottom:RULE` | the K smallest ones, or as many as another rule keeps |
| a callable | `Spectrum -> int`, the number of leading components |
| a mapping | of names of layers to rules; all others stay whole (`truncation.plans`) |

Components are counted in descending order over all pooled slices of a layer. A rule that has no answer for a spectrum
says why; the layer then stays whole.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from ..core.errors import InvalidInput
from ..core.outcomes import Outcome
from ..spectrum.bulk import fit_bulk
from ..spectrum.erg import erg_cut
from ..spectrum.esd import Spectrum
from ..spectrum.tail import fit_tail
from ..theory.laws import MarchenkoPastur


class Undefined(Exception):
    """The rule has no answer for this spectrum; the text says why."""


@dataclass(frozen=True)
class Rule:
    """A named choice of components.

    Attributes
    ----------
    name : str
        As it was asked.
    count : callable
        `Spectrum -> int`, how many components; raises `Undefined` with the reason.
    where : str
        `top`, `bottom` or `random`: which ones.
    """

    name: str
    count: Callable[[Spectrum], int]
    where: str = "top"

    def of(self, title: str) -> Rule:
        """The rule of a layer: this one, whatever it is called."""
        return self

    def refuse_strangers(self, titles: Iterable[str]) -> None:
        """Nothing to refuse: no layer is named."""

    def kept(self, spectrum: Spectrum, seed: tuple[int, ...] = (0,)) -> np.ndarray:
        """Ascending positions of the kept components, 0 for the largest.

        Parameters
        ----------
        spectrum : Spectrum
        seed : tuple of int
            For `random`: the same seed, the same components.
        """
        n = spectrum.num_evals
        if not spectrum.is_defined:
            raise Undefined(Outcome.DEGENERATE.sentence)
        number = min(self.count(spectrum), n)
        if self.where == "bottom":
            return np.arange(n - number, n)
        if self.where == "random":
            return np.sort(np.random.default_rng(seed).choice(n, number, replace=False))
        return np.arange(number)


def as_rule(asked: Any) -> Rule:
    """The rule that was asked for.

    Parameters
    ----------
    asked : str, Rule or callable
        One of the rules in the head of this module.

    Raises
    ------
    InvalidInput
        Not one of them; the text repeats what was asked.

    Examples
    --------
    >>> spectrum = Spectrum.from_eigenvalues([0.1, 0.4, 0.5, 3.0])
    >>> as_rule("erg").kept(spectrum).tolist(), as_rule("bulk").kept(spectrum).tolist()
    ([0, 1], [2, 3])
    >>> as_rule("energy:0.8").kept(spectrum).tolist()
    [0, 1]
    """
    if isinstance(asked, Rule):
        return asked
    if callable(asked):
        return Rule(getattr(asked, "__name__", repr(asked)), functools.partial(_answer_of, asked))
    if not isinstance(asked, str):
        raise _refused(asked)
    name, colon, argument = asked.partition(":")
    if name in NAMED and not colon:
        return Rule(asked, NAMED[name])
    if name == "bulk" and not colon:
        return Rule(asked, lambda spectrum: spectrum.num_evals - erg(spectrum), "bottom")
    if name == "rank" and colon:
        return Rule(asked, functools.partial(_fixed, _positive_number(asked, argument)))
    if name == "energy" and colon:
        return Rule(asked, functools.partial(energy, share=_share(asked, argument)))
    if name in ("random", "bottom") and colon:
        if argument in NAMED or argument.startswith("energy:"):
            return Rule(asked, as_rule(argument).count, name)
        return Rule(asked, functools.partial(_fixed, _positive_number(asked, argument)), name)
    raise _refused(asked)


def fraction_rule(share: float, where: str = "top") -> Rule:
    """A fixed share of the components, at least one of them unless the share is 0."""
    return Rule(f"{where} {share:.4g}", lambda s: min(s.num_evals, math.ceil(share * s.num_evals - 1e-9)), where)


def layer_seed(seed: int, title: str) -> tuple[int, int]:
    """Seed of one layer's draws: does not depend on which other layers are drawn for."""
    return seed, zlib.crc32(title.encode())


def erg(spectrum: Spectrum) -> int:
    """Rank k* of the effective correlation space."""
    return erg_cut(spectrum).rank


def powerlaw(spectrum: Spectrum) -> int:
    """Number of eigenvalues in the power-law tail."""
    tail = fit_tail(spectrum)
    if not tail.rank:
        raise Undefined(f"no power-law tail: {tail.outcome.sentence}")
    return tail.rank


def mp(spectrum: Spectrum) -> int:
    """Number of eigenvalues above the edge of the Marchenko-Pastur bulk, `fit_bulk`'s spikes.

    Also where what lies below the edge is no Marchenko-Pastur bulk (outcome `no_bulk`): the edge of the noise that
    fits best is then all there is to cut at.
    """
    bulk = fit_bulk(spectrum)
    if bulk.outcome not in (Outcome.OK, Outcome.NO_BULK):
        raise Undefined(f"no Marchenko-Pastur bulk: {bulk.outcome.sentence}")
    return bulk.spikes


def gavish_donoho(spectrum: Spectrum) -> int:
    r"""Number of singular values above :math:`\omega(\beta)\,\mathrm{median}(\sigma)`, beta = M / N.

    :math:`\omega(\beta) = \lambda_*(\beta) / \sqrt{\mu_\beta}` with
    :math:`\lambda_*^2 = 2(\beta + 1) + 8\beta / (\beta + 1 + \sqrt{\beta^2 + 14\beta + 1})` and the median
    :math:`\mu_\beta` of the Marchenko-Pastur law, by quadrature (Gavish and Donoho, arXiv 1305.5870).
    """
    if 2 * spectrum.rank <= spectrum.num_evals:
        raise Undefined("half of the eigenvalues or more are zero, so the noise level is not defined")
    threshold = optimal_threshold(1 / spectrum.Q) ** 2 * np.median(spectrum.values)
    return int(np.count_nonzero(spectrum.values > threshold))


@functools.cache
def optimal_threshold(beta: float) -> float:
    """omega(beta): the optimal hard threshold for singular values in units of their median.

    >>> round(optimal_threshold(1.0), 4), round(optimal_threshold(0.5), 3)
    (2.8584, 2.171)
    """
    square = 2 * (beta + 1) + 8 * beta / (beta + 1 + math.sqrt(beta**2 + 14 * beta + 1))
    return math.sqrt(square / marchenko_pastur_median(beta))


@functools.cache
def marchenko_pastur_median(q: float) -> float:
    """Median of the Marchenko-Pastur law of unit variance."""
    law = MarchenkoPastur(q)
    lower, upper = law.support
    return brentq(lambda x: float(law.cdf(x)) - 0.5, lower, upper, xtol=1e-13, rtol=1e-13)


def energy(spectrum: Spectrum, share: float) -> int:
    """Fewest leading eigenvalues whose sum is the share of the whole, to rounding."""
    kept = np.cumsum(spectrum.values[::-1])
    return int(np.searchsorted(kept, share * kept[-1] * (1 - 1e-14))) + 1


NAMED: dict[str, Callable[[Spectrum], int]] = {
    "erg": erg,
    "powerlaw": powerlaw,
    "mp": mp,
    "gavish-donoho": gavish_donoho,
}


def _fixed(number: int, spectrum: Spectrum) -> int:
    return number


def _answer_of(function: Callable[[Spectrum], Any], spectrum: Spectrum) -> int:
    answer = function(spectrum)
    if isinstance(answer, bool) or not isinstance(answer, (int, np.integer)) or answer < 0:
        raise InvalidInput(
            f"the rule {getattr(function, '__name__', function)!r} answered {answer!r}; accepted is the number of "
            f"leading components to keep, an integer from 0 to {spectrum.num_evals}"
        )
    return int(answer)


def _positive_number(asked: str, argument: str) -> int:
    if not argument.isdecimal() or int(argument) < 1:
        raise _refused(asked)
    return int(argument)


def _share(asked: str, argument: str) -> float:
    try:
        share = float(argument)
    except ValueError:
        raise _refused(asked) from None
    if not 0 < share <= 1:
        raise _refused(asked)
    return share


def _refused(asked: Any) -> InvalidInput:
    return InvalidInput(
        f"rule={asked!r} was asked; accepted is one of {', '.join(map(repr, NAMED))}, 'bulk', 'rank:K', 'energy:F' "
        "with 0 < F <= 1, 'random:K', 'bottom:K' (K a number or one of the rules before), a callable Spectrum -> int, "
        "or a mapping of names of layers to these"
    )
