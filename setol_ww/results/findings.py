"""From kept records to a table: the columns that a spectrum gives, computed once a layer and setting."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from .. import __version__
from ..core.boundary import Attempt, attempt, attempt_each
from ..layer import classes, flags, intervals, quality, verdict
from ..layer import columns as register
from ..layer.result import LayerResult, Settings, analyze_spectra
from ..layer.weightwatcher_columns import FIT, NORMS, weightwatcher_row
from ..spectrum import bulk, likelihoods, loud, noise, strengths, tail, uncertainty
from ..spectrum.esd import Spectrum
from ..spectrum.strengths import Strengths
from .coverage import COVERAGE_COLUMNS
from .record import FARMS, STRENGTHS, TRAPS, LayerRecord

#: Count it up when a rule changes otherwise than by a constant: columns kept by an earlier one are computed again.
RULES_VERSION = 3
#: Where the rules stand, and the constants they go by.
RULES = (bulk, likelihoods, loud, noise, strengths, tail, uncertainty, classes, flags, intervals, quality, verdict)
WEIGHTWATCHERS = frozenset((*FIT, *NORMS))


@dataclass(frozen=True)
class TableForm:
    """Which columns stand before and behind ours, and which hold Python objects whatever is in them."""

    before: tuple[str, ...] = ("longname", "slice")
    after: tuple[str, ...] = ("status", "reason")
    objects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Groups:
    """Which groups of our columns a table has."""

    detX: bool = True
    randomize: bool = False
    farms: bool = False

    def names(self, settings: Settings) -> list[str]:
        """Our columns in their order."""
        farms = [column.name for column in register.FARMS_COLUMNS if self.farms]
        return [*register.names(self.detX, settings.quality, self.randomize, settings.uncertainty > 0), *farms]


def key_of(settings: Settings) -> str:
    """What computed columns belong to: settings, version, the definitions in the register, and the rules of words."""
    defined = _register_digest((*register.COLUMNS, *register.UNCERTAINTY_COLUMNS))
    return f"{__version__} {settings!r} {defined} {_rules()}"


@functools.lru_cache(maxsize=4)
def _register_digest(columns: tuple[register.Column, ...]) -> str:
    text = "\n".join(f"{one.name} {one.meaning} {one.source}" for one in (*columns, *register.FARMS_COLUMNS))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _limits() -> tuple[tuple[str, str, str], ...]:
    """Every constant of the modules that words and numbers come from, by module and name."""
    told = ((module.__name__, name, vars(module)[name]) for module, name in _constants())
    return tuple((module, name, repr(value)) for module, name, value in told if _is_plain(value))


@functools.lru_cache(maxsize=1)
def _constants() -> tuple[tuple[ModuleType, str], ...]:
    return tuple((module, name) for module in RULES for name in sorted(vars(module)) if name.isupper())


def _rules() -> str:
    """Digest of `_limits`, made anew when one of them is another object than the last time: it is asked every layer."""
    global _last_rules
    values = tuple([vars(module)[name] for module, name in _constants()])
    known, digest = _last_rules
    if len(known) != len(values) or not all(map(operator.is_, known, values)):
        digest = _rules_digest(_limits())
        _last_rules = values, digest
    return digest


_last_rules: tuple[tuple[Any, ...], str] = ((), "")


def _is_plain(value: Any) -> bool:
    """Numbers, texts and containers of them: what has the same `repr` in every process."""
    if isinstance(value, dict):
        return all(_is_plain(part) for pair in value.items() for part in pair)
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float, str))


def _rules_digest(limits: tuple[tuple[str, str, str], ...]) -> str:
    return hashlib.blake2b(repr((RULES_VERSION, limits)).encode(), digest_size=8).hexdigest()


def with_cells(record: LayerRecord, settings: Settings) -> LayerRecord:
    """The record with its columns computed."""
    if record.spectrum is None:
        return record
    return replace(record, cells=cells_of(record, record.result(settings)), cells_of=key_of(settings))


def with_all_cells(records: Sequence[LayerRecord], settings: Settings) -> list[Attempt[LayerRecord]]:
    """`with_cells` of records that have a spectrum, computed together; what fails costs its own record alone."""
    asked = [(one.title, one.spectrum, one.extras.get(STRENGTHS)) for one in records if one.spectrum is not None]
    key, what = key_of(settings), "no findings"
    found = []
    for record, result in zip(records, results_of(asked, settings, what), strict=True):
        if result.value is None:
            found.append(Attempt[LayerRecord](None, result.reason))
        else:
            found.append(attempt(record.title, what, functools.partial(_with_result, record, result.value, key)))
    return found


def results_of(
    asked: Sequence[tuple[str, Spectrum, Strengths | None]], settings: Settings, what: str
) -> list[Attempt[LayerResult]]:
    """What the spectra of titled layers say, computed together; `what` is missing, and why, where one fails."""
    titled = [(title, (spectrum, strengths)) for title, spectrum, strengths in asked]
    return attempt_each(titled, what, lambda some: analyze_spectra(some, settings))


def _with_result(record: LayerRecord, result: LayerResult, key: str) -> LayerRecord:
    return replace(record, cells=cells_of(record, record.completed(result)), cells_of=key)


def cells_of(record: LayerRecord, result: LayerResult) -> dict[str, Any]:
    """Every column that a record and its result give, in all groups."""
    ours = register.row(result, detX_num=record.theirs.get("detX_num"), randomize=True, uncertainty=True)
    farms = register.farms_row(record.extras[FARMS]) if FARMS in record.extras else {}
    # A column that WeightWatcher itself has filled goes before ours of that name.
    theirs = {} if record.theirs.keys() >= WEIGHTWATCHERS else weightwatcher_row(result.spectrum)
    return {**theirs, **ours, **farms}


def table(
    records: Sequence[LayerRecord], form: TableForm, settings: Settings | None = None, groups: Groups | None = None
) -> pd.DataFrame:
    """One row a record, in the order given; what was computed under the same settings is not computed again."""
    settings, groups = settings or Settings(), groups or Groups()
    names = list(dict.fromkeys([*form.before, *groups.names(settings), *form.after]))
    rows = list(_rows(records, settings))
    return frame_of(rows, names, form.objects)


def frame_of(rows: Sequence[dict[str, Any]], names: Iterable[str], objects: Iterable[str] = ()) -> pd.DataFrame:
    """Rows as a table of these columns; NaN where a row lacks one."""
    return pd.DataFrame(
        {name: as_column([row.get(name, np.nan) for row in rows], name in objects) for name in names},
        index=pd.RangeIndex(len(rows)),
    )


def coverage_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A coverage, a mapping a tensor, as a table; its columns are there without a row too."""
    return frame_of(rows, COVERAGE_COLUMNS, ("shape",))


def _rows(records: Sequence[LayerRecord], settings: Settings) -> Iterable[dict[str, Any]]:
    # One BLAS thread, as when the columns were computed: the same bits on any number of them.
    key = key_of(settings)
    old = any(record.spectrum is not None and record.cells_of != key for record in records)
    with threadpool_limits(1) if old else contextlib.nullcontext():
        for record in records:
            yield row_of(record, settings, key)


def row_of(record: LayerRecord, settings: Settings, key: str) -> dict[str, Any]:
    """All columns of one record by name."""
    cells, reason, status = record.cells, record.reason, record.status
    if record.spectrum is not None and record.cells_of != key:
        found = attempt(record.title, "no findings", lambda: cells_of(record, record.result(settings)))
        cells = found.value or {}
        status, reason = (status, reason) if found.value else ("failed", found.reason)
    return {**cells, "status": status, "reason": reason, **record.identity, **record.theirs}


def as_column(values: list[Any], as_objects: bool = False) -> Any:
    """A numeric array where all values are numbers; objects where asked or where a name is no valid Unicode, which a
    column of text cannot hold; else as pandas sees it."""
    kinds = set(map(type, values))
    if kinds and all(issubclass(kind, (int, float, np.number)) and kind is not bool for kind in kinds):
        return np.array(values)
    if as_objects or any(isinstance(value, str) and has_surrogate(value) for value in values):
        # A dtype of numpy's: the class `object` would be looked up under changed warning filters.
        return pd.Series(values, dtype=np.dtype(object))
    return values


def kept_text(column: Any) -> Any:
    """A column of a new table, which may hold text that is no valid Unicode; numbers as they are."""
    values = list(column)
    return as_column(values, True) if any(isinstance(one, str) and has_surrogate(one) for one in values) else column


def has_surrogate(text: str) -> bool:
    """True for text with a lone surrogate, which UTF-8 cannot say."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def has_traps(records: Iterable[LayerRecord]) -> bool:
    """Whether any record says what its shuffled entries gave."""
    return any(TRAPS in record.extras for record in records)
