"""`LayerRecord`: what is kept of one row, so that everything else can be computed from it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from ..core.errors import InvalidInput
from ..core.options import Options
from ..layer.result import LayerResult, Settings, analyze_spectrum
from ..spectrum.esd import Spectrum
from ..weights.naming import titled

ANALYZED, FAILED, SKIPPED = "analyzed", "failed", "skipped"
#: Names under which `LayerRecord.extras` keeps what the entries of the weights said.
TRAPS, FARMS, STRENGTHS = "traps", "farms", "strengths"


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One row: which part of which tensor, how it went, and its spectrum.

    Attributes
    ----------
    position : int
        Place in the table, and the key of the record.
    identity : dict
        Columns that are known without a value of the weights: `longname`, `slice`, `N`, `M`, `dtype`, `shape`, ...
    status, reason : str
        `analyzed`, `failed` or `skipped`, and why; a remark where it was analysed.
    seconds : float
        Time it took.
    gave_up : bool
        True for a record that says nothing about the weights: its worker died.
    spectrum : Spectrum, optional
        None where there is none.
    extras : dict
        What the entries said beyond the spectrum: `traps` (TrapReport), `farms` (SubmatrixFit) and `strengths`
        (Strengths).
    theirs : dict
        WeightWatcher's own columns, where it ran; they go before all others.
    cells : dict
        Columns that were computed when the layer was at hand.
    cells_of : str
        Which settings and definitions `cells` belong to (`findings.key_of`).
    """

    position: int
    identity: dict[str, Any]
    status: str = ANALYZED
    reason: str = ""
    seconds: float = 0.0
    gave_up: bool = False
    spectrum: Spectrum | None = field(default=None, repr=False)
    extras: dict[str, Any] = field(default_factory=dict, repr=False)
    theirs: dict[str, Any] = field(default_factory=dict, repr=False)
    cells: dict[str, Any] = field(default_factory=dict, repr=False)
    cells_of: str = field(default="", repr=False)

    @property
    def longname(self) -> str:
        """Name of the layer."""
        return str(self.identity.get("longname", ""))

    @property
    def slice(self) -> str:
        """Which part of the layer; empty for the whole."""
        return str(self.identity.get("slice") or "")

    @property
    def tensor(self) -> str:
        """Full name of the tensor."""
        return str(self.identity.get("tensor", self.longname))

    @property
    def title(self) -> str:
        """Long name with the slice."""
        return titled(self.longname, self.slice)

    def result(self, settings: Settings | None = None) -> LayerResult:
        """Everything its spectrum says.

        Raises
        ------
        InvalidInput
            It has no spectrum; the reason is repeated.
        """
        if self.spectrum is None:
            raise InvalidInput(f"the layer {self.title!r} was asked; it has no spectrum, {self.status}: {self.reason}")
        return self.completed(analyze_spectrum(self.spectrum, settings, self.extras.get(STRENGTHS)))

    def completed(self, result: LayerResult) -> LayerResult:
        """What its spectrum says with the traps that were found."""
        return result.with_traps(self.extras[TRAPS]) if TRAPS in self.extras else result


def settings_of(options: Options, **changes: Any) -> Settings:
    """The settings of one layer's analysis that these options mean."""
    told = {one.name: getattr(options, one.name) for one in fields(Settings) if hasattr(options, one.name)}
    return Settings(**{**told, **changes})
