"""What gets one number: a row of the results, or a tensor with all of its rows, in the order of the model."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ..core.errors import InvalidInput
from ..results.coverage import shape_of
from ..results.record import ANALYZED, SKIPPED, LayerRecord
from ..results.results import Results
from ..spectrum.esd import Spectrum
from ..weights.kinds import is_head, is_table
from ..weights.naming import titled

#: Types of what is a parameter of its module and no weight of a Linear or a convolution, which the authors' codes read.
PARAMETERS = frozenset({"expert", "gate", "attention"})
NAMES_SHOWN = 5
DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, eq=False)
class Candidate:
    """A row, or a tensor with its rows."""

    tensor: str
    longname: str
    slice: str
    records: tuple[LayerRecord, ...]

    @property
    def title(self) -> str:
        """Long name with the slice, as in the table."""
        return titled(self.longname, self.slice)

    @property
    def n_params(self) -> int:
        """Weights of all of its rows."""
        return sum(_size(record) for record in self.records)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor; the two sides of the matrix where nothing else is told."""
        told = shape_of(self.records[0].identity.get("shape"))
        spectrum = self.records[0].spectrum
        return told or ((spectrum.N, spectrum.M) if spectrum is not None else ())

    @property
    def kind(self) -> str:
        """The column `layer_type`."""
        return str(self.records[0].identity.get("layer_type", ""))

    @property
    def spectra(self) -> list[Spectrum]:
        """Of its rows; of fewer where one has none."""
        return [record.spectrum for record in self.records if record.spectrum is not None]

    @property
    def num_evals(self) -> int:
        """Of the row that has the fewest."""
        return min((spectrum.num_evals for spectrum in self.spectra), default=0)

    @property
    def failure(self) -> str:
        """Why a row of it has no spectrum; empty where all have one."""
        return "; ".join(record.reason or record.status for record in self.records if record.spectrum is None)

    @property
    def is_embedding(self) -> bool:
        """By the class of its module where that is known, else by its name."""
        by_class = self.records[0].identity.get("layout_from") == "module" and self.tensor != self.longname
        return self.kind == "embedding" or (not by_class and is_table(self.longname))

    @property
    def is_bare(self) -> bool:
        """True for a parameter that is no weight of a Linear or a convolution: experts, gates, packed attention."""
        return self.kind in PARAMETERS and self.tensor == self.longname

    def mean(self, number: Callable[[Spectrum], float]) -> float:
        """The plain mean of a number over its rows; NaN where one has none."""
        return math.nan if self.failure else float(np.mean([number(spectrum) for spectrum in self.spectra]))


def rows_of(results: Results) -> list[Candidate]:
    """One a row: every matrix once, a tensor whole where it has a row as a whole (as `truncate` cuts it).

    Raises
    ------
    InvalidInput
        No row was analysed.
    """
    told = [record for record in results.records if record.status != SKIPPED]
    if not any(record.status == ANALYZED and record.spectrum is not None for record in told):
        raise InvalidInput(f"advice was asked for {len(results.records)} rows; accepted are results with a spectrum")
    whole = {record.tensor for record in told if not record.slice}
    kept = [record for record in told if not record.slice or record.tensor not in whole]
    return _in_model_order(
        [Candidate(record.tensor, record.longname, record.slice, (record,)) for record in kept], results
    )


def tensors_of(results: Results) -> list[Candidate]:
    """One a tensor: what an optimiser or an adapter can treat differently."""
    found: dict[str, list[Candidate]] = {}
    for row in rows_of(results):
        found.setdefault(row.tensor, []).append(row)
    return [
        Candidate(rows[0].tensor, rows[0].longname, "", tuple(record for row in rows for record in row.records))
        for rows in found.values()
    ]


def _size(record: LayerRecord) -> int:
    told, spectrum = record.identity.get("n_params"), record.spectrum
    if told is None and spectrum is not None:
        return spectrum.N * spectrum.M * spectrum.slices
    return int(told or 0)


def _in_model_order(rows: list[Candidate], results: Results) -> list[Candidate]:
    """As the tensors stand in the model; an alphabetical listing of a file by the numbers in its names, heads last."""
    listed = [str(row["longname"]) for row in results.coverage_rows]
    place = {name: number for number, name in enumerate(listed)}
    ordered = sorted(rows, key=lambda row: (place.get(row.tensor, len(place)), row.records[0].position))
    names = [row.longname for row in ordered]
    from_module = any(row.records[0].identity.get("layout_from") == "module" for row in rows)
    return ordered if from_module or names != sorted(names) else sorted(ordered, key=_natural)


def _natural(row: Candidate) -> tuple:
    parts = DIGITS.split(row.longname)
    numbered = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
    return is_head(row.longname), numbered


def titles(candidates: Iterable[Candidate]) -> str:
    """A few names for a sentence."""
    return listed(candidate.title for candidate in candidates)


def listed(names: Iterable[str]) -> str:
    """The first five names and how many more there are.

    >>> listed("abcdefg")
    'a, b, c, d, e and 2 more'
    """
    told = list(names)
    return ", ".join(told[:NAMES_SHOWN]) + (f" and {len(told) - NAMES_SHOWN} more" if len(told) > NAMES_SHOWN else "")
