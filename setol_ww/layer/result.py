"""The whole data flow for one matrix, as one line of pure functions."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..core.arrays import as_matrix
from ..core.as_json import as_json
from ..core.card import Card, Shown
from ..core.checks import one_of
from ..core.errors import InvalidInput
from ..spectrum.bulk import BulkFit, fit_bulk
from ..spectrum.erg import ErgCut, erg_cut, first_product_below_one
from ..spectrum.esd import Spectrum
from ..spectrum.ks_curve import KsCurve, ks_curve
from ..spectrum.strengths import Strengths, strengths_of
from ..spectrum.tail import INTERVAL_SIGMAS, TailFit, fit_tail
from ..traps.find import TrapReport
from .classes import Universality, universality
from .ecs import Ecs, ecs
from .flags import flags_of
from .intervals import Intervals, intervals
from .quality import Quality, qualities
from .verdict import Verdict, judge

SCHEMA = 1


@dataclass(frozen=True)
class Settings:
    """What an analysis may be told.

    Attributes
    ----------
    sigmas : float
        Half width of the intervals around alpha = 2 and 6 and det X = 1 in standard errors that contain the choice of
        the tail's start; 1.645, the default, is 90 %.
    quality : bool
        Whether the layer quality is computed.
    uncertainty, seed : int
        Number of drawn spectra behind the intervals, 0 for none, and their seed.
    """

    sigmas: float = INTERVAL_SIGMAS
    quality: bool = True
    uncertainty: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.sigmas, bool) or not isinstance(self.sigmas, numbers.Real) or not self.sigmas > 0:
            raise InvalidInput(f"sigmas={self.sigmas!r} was asked; accepted is a positive number")
        one_of("quality", self.quality, (True, False))
        for name in ("uncertainty", "seed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
                raise InvalidInput(f"{name}={value!r} was asked; accepted is an integer of 0 or more")
        if not self.uncertainty:
            # Nothing is drawn: settings that mean the same are the same.
            object.__setattr__(self, "seed", 0)


@dataclass(frozen=True, repr=False)
class LayerResult(Shown):
    """Everything one spectrum says.

    `W -> Spectrum -> TailFit | ErgCut | BulkFit -> Ecs, Universality -> Verdict, Quality`.
    `detX_num_exact` is WeightWatcher's own rule for `detX_num` carried out in log space; `quality` is None where the
    settings leave it out, `strengths` where the entries were not at hand, `intervals` where none were asked for,
    `traps` where they were not shuffled.
    """

    spectrum: Spectrum
    tail: TailFit
    erg: ErgCut
    ecs: Ecs
    verdict: Verdict
    quality: Quality | None
    detX_num_exact: int
    bulk: BulkFit
    universality: Universality
    strengths: Strengths | None = None
    intervals: Intervals | None = None
    traps: TrapReport | None = None

    def with_traps(self, traps: TrapReport) -> LayerResult:
        """The same with what `find_traps` says of the matrix: a trap is a flag beside the state."""
        return replace(self, traps=traps)

    @cached_property
    def ks_curve(self) -> KsCurve:
        """How well each start of the tail fits, and which is the second best; computed when it is first asked for."""
        return ks_curve(self.spectrum, self.tail)

    @property
    def flags(self) -> tuple[str, ...]:
        """What to know beside state and class, in words: `trap: mean shift`, `uneven rows`, `no matrix`, ..."""
        return flags_of(self.universality, self.tail, self.strengths, self.traps)

    @property
    def reason(self) -> str:
        """The numbers of state, class and traps in sentences."""
        said = [self.verdict.reason, self.universality.evidence]
        if self.traps is not None and self.traps.count:
            said.append(self.traps.sentence)
        return " ".join(said)

    def to_dict(self) -> dict[str, Any]:
        """Size, our columns, flags and what to do next as JSON has them; `schema` counts the versions of this form.

        >>> told = analyze_matrix([[3.0, 0.0], [0.0, 1.0]]).to_dict()
        >>> told["schema"], told["N"], told["erg_rank"], told["detX_num_exact"]
        (1, 2, 1, 2)
        """
        from .columns import COLUMNS, names

        spectrum = self.spectrum
        sizes = {"N": spectrum.N, "M": spectrum.M, "slices": spectrum.slices, "num_evals": spectrum.values.size}
        listed = set(names(quality=self.quality is not None, randomize=self.traps is not None))
        cells = {column.name: column.read(self) for column in COLUMNS if column.name in listed}
        told = {**sizes, "rank": spectrum.rank, **cells, "flags": self.flags, "next_step": self.verdict.next_step}
        return {"schema": SCHEMA, **as_json(told)}

    def _card(self) -> Card:
        from .printed import layer_card

        return layer_card(self)


def analyze_spectrum(
    spectrum: Spectrum, settings: Settings | None = None, strengths: Strengths | None = None
) -> LayerResult:
    """`analyze_matrix` from a spectrum that is there already.

    `strengths` (`strengths_of` the matrices) are what the class needs of the entries; without them it takes the noise
    to be of one variance and says so.
    """
    (found,) = analyze_spectra([(spectrum, strengths)], settings)
    return found


def analyze_spectra(
    asked: Sequence[tuple[Spectrum, Strengths | None]], settings: Settings | None = None
) -> list[LayerResult]:
    """`analyze_spectrum` of many layers, each to the bit what it is alone; small ones cost less together."""
    settings = Settings() if settings is None else settings
    if not isinstance(settings, Settings):
        raise InvalidInput(f"settings={settings!r} was asked; accepted is a setol_ww.Settings")
    tails = [fit_tail(spectrum, settings.uncertainty, settings.seed) for spectrum, _ in asked]
    cuts = [erg_cut(spectrum) for spectrum, _ in asked]
    three = [(spectrum, tail, erg) for (spectrum, _), tail, erg in zip(asked, tails, cuts)]
    readings = qualities(three) if settings.quality else [None] * len(asked)
    return [
        _analyzed(spectrum, strengths, tail, erg, reading, settings)
        for (spectrum, strengths), tail, erg, reading in zip(asked, tails, cuts, readings)
    ]


def _analyzed(
    spectrum: Spectrum,
    strengths: Strengths | None,
    tail: TailFit,
    erg: ErgCut,
    reading: Quality | None,
    settings: Settings,
) -> LayerResult:
    both = ecs(spectrum, tail, erg)
    bulk = fit_bulk(spectrum, strengths=strengths)
    kind = universality(spectrum, tail, bulk)
    verdict = judge(tail, erg, both, sigmas=settings.sigmas, kind=kind)
    exact = first_product_below_one(spectrum)
    ends = intervals(spectrum, settings.uncertainty, settings.seed) if settings.uncertainty and tail.rank else None
    return LayerResult(spectrum, tail, erg, both, verdict, reading, exact, bulk, kind, strengths, ends)


def analyze_matrix(W: Any, settings: Settings | None = None) -> LayerResult:
    """Tail, ERG cut, SETOL state and quality of one matrix.

    Parameters
    ----------
    W : array_like or torch.Tensor, shape (rows, columns)
        Real, of any dtype, on any scale.
    settings : Settings, optional

    Returns
    -------
    LayerResult
        Zero, rank-one, constant, orthogonal, NaN and tiny matrices give a result whose outcomes say so.

    Raises
    ------
    InvalidInput
        When W is not a real matrix of two dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> result = analyze_matrix(np.random.default_rng(0).normal(size=(400, 200)))
    >>> result.erg.status.value, result.erg.rank
    ('ok', 163)
    """
    return analyze_spectrum(Spectrum.from_matrix(W), settings, strengths_of([as_matrix(W)]))
