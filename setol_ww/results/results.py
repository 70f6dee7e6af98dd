"""`Results`: what an analysis leaves behind. Decomposed once, asked as often as one likes, without the weights."""

from __future__ import annotations

import difflib
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import __version__
from ..core.card import Card, Shown
from ..core.checks import path_of, writable_file
from ..core.errors import InvalidInput
from ..core.options import Options
from ..core.upstairs import upstairs
from ..core.whole_file import written_whole
from ..layer.result import LayerResult, Settings
from . import findings
from .coverage import Told, coverage_of
from .export import records as rows_as_json
from .findings import Groups, TableForm
from .record import FARMS, TRAPS, LayerRecord, settings_of
from .store import ENDINGS, Store

if TYPE_CHECKING:
    from .summary import Summary

SCHEMA = 1
#: Options that were settled when the weights were read, and what to do for another value.
SETTLED = ("layers", "seed", "device", "n_jobs", "layouts", "progress")
NEAREST = 5


class Results(Shown):
    """The spectra of a model with everything that can be asked of them.

    Made by `setol_ww.examine` and `setol_ww.open_results`, not by hand.

    Attributes
    ----------
    records : tuple of LayerRecord
        What is kept of each row, in the order of the table.
    options : Options
        Under which they were made.
    about, notes : dict
        What was analysed, and with which versions.
    form : TableForm
        Which columns stand around ours.

    Examples
    --------
    >>> import numpy as np
    >>> from setol_ww.results.record import LayerRecord
    >>> from setol_ww import Spectrum
    >>> spectrum = Spectrum.from_matrix(np.random.default_rng(0).normal(size=(60, 40)))
    >>> results = Results.from_records([LayerRecord(0, {"longname": "fc"}, spectrum=spectrum)])
    >>> results.layers, results.table()["erg_rank"].tolist(), results.layer("fc").erg.rank
    ([('fc', '')], [31], 31)
    """

    def __init__(
        self,
        records: Iterable[LayerRecord],
        options: Options,
        about: dict[str, Any],
        notes: dict[str, Any],
        form: TableForm,
    ) -> None:
        self.records = tuple(sorted(records, key=lambda record: record.position))
        self.options, self.about, self.notes, self.form = options, about, notes, form

    @classmethod
    def from_records(
        cls,
        records: Iterable[LayerRecord],
        options: Options | None = None,
        about: Mapping[str, Any] | None = None,
        *,
        form: TableForm | None = None,
        coverage: Sequence[Mapping[str, Any]] | None = None,
    ) -> Results:
        """Results of a run in memory.

        Parameters
        ----------
        records : iterable of LayerRecord
        options : Options, optional
        about : mapping, optional
            What was analysed, as JSON has it: `path`, `files`, `weights` (the fingerprint), ...
        form : TableForm, optional
            Which columns stand before and behind ours.
        coverage : sequence of mappings, optional
            What became of every tensor, where the records do not say it.
        """
        options, form = options or Options(), form or TableForm()
        notes = notes_of(options, form)
        if coverage is not None:
            notes["coverage"] = [{**row, "shape": list(row["shape"])} for row in coverage]
        return cls(records, options, dict(about or {}), notes, form)

    @classmethod
    def of_store(cls, store: Store) -> Results:
        """What a store holds now."""
        return cls.of_stores([store])

    @classmethod
    def of_stores(cls, stores: Sequence[Store]) -> Results:
        """What the stores of the shards of one run hold."""
        first = stores[0]
        told = first.notes
        form = TableForm(**{name: tuple(names) for name, names in told["form"].items()})
        records = [record for store in stores for record in store.records()]
        about = dict(first.about)
        if len(stores) > 1:
            about |= {"shard": None, "rows": sorted({row for store in stores for row in store.about.get("rows", [])})}
        return cls(records, Options.from_dict(told["options"]), about, told, form)

    def of(self, records: Iterable[LayerRecord]) -> Results:
        """The same of some records."""
        return Results(records, self.options, self.about, self.notes, self.form)

    def table(self, **settings: Any) -> pd.DataFrame:
        """The table of the run, or what it would have been under other settings, computed from the spectra.

        Parameters
        ----------
        **settings
            Every field of `setol_ww.Settings` (`sigmas`, `quality`, ...), and `detX`, `randomize`, `farms`, which say
            whether their columns are there; by default as in the run.

        Raises
        ------
        InvalidInput
            A setting that is not known, or that needs the weights again.
        """
        groups, changed = self._asked(settings)
        return findings.table(self.records, self.form, settings_of(self.options, **changed), groups)

    def layer(self, longname: str, slice: str = "") -> LayerResult:
        """Everything one layer's spectrum says, with the spectrum.

        A slice may stand behind the name, as tables in text have it: `layer("attn.qkv [q]")`.

        Raises
        ------
        InvalidInput
            There is no such layer (the nearest names are told), or it has no spectrum (the reason is told).
        """
        wanted = (longname, slice)
        found = [one for one in self.records if (one.longname, one.slice) == wanted]
        found = found or [one for one in self.records if (one.title, "") == wanted]
        if not found:
            raise InvalidInput(self._no_such(longname, slice))
        with_spectrum = [record for record in found if record.spectrum is not None]
        return (with_spectrum or found)[0].result(settings_of(self.options))

    @property
    def layers(self) -> list[tuple[str, str]]:
        """Name and slice of every row."""
        return [(record.longname, record.slice) for record in self.records]

    @property
    def seconds(self) -> list[float]:
        """Time of every row."""
        return [record.seconds for record in self.records]

    @property
    def coverage(self) -> pd.DataFrame:
        """What became of every tensor of two or more dimensions."""
        return findings.coverage_table(self.coverage_rows)

    @property
    def coverage_rows(self) -> list[dict[str, Any]]:
        """The coverage, a mapping a tensor."""
        rows = self.notes.get("coverage")
        return coverage_of(self.records) if rows is None else [{**row, "shape": tuple(row["shape"])} for row in rows]

    @property
    def missing(self) -> int:
        """Number of rows that the run has not come to: it was killed, or goes on."""
        return len(set(self.about.get("rows", ())) - {record.position for record in self.records})

    @property
    def versions(self) -> dict[str, str]:
        """What computed it: setol-ww, Python, the libraries, the processor."""
        return dict(self.notes.get("versions", {}))

    @property
    def fingerprint(self) -> str:
        """Digest of what was analysed: equal for the same weights."""
        return str(self.about.get("weights", ""))

    def to_dict(self) -> dict[str, Any]:
        """The table and all that is told of it as JSON has it; `schema` counts the versions of this form."""
        return {
            "schema": SCHEMA,
            "options": self.options.as_dict(),
            "versions": self.versions,
            "fingerprint": self.fingerprint,
            "missing": self.missing,
            "rows": rows_as_json(self.table()),
            "coverage": rows_as_json(self.coverage),
        }

    def summary(self) -> Summary:
        """What a person wants to know first, in at most twenty lines."""
        from .summary import Summary

        return Summary.of(self)

    def report(self, path: str | Path, compare: Any = None) -> None:
        """Write the report: one file of HTML that needs no network, to be read in a browser and sent to others.

        Parameters
        ----------
        path : str or Path
            Ending in `.html` or `.htm`.
        compare : Results, Comparison or what `examine` takes, optional
            What these results are held against, in a section of its own; weights are analysed with the same options.

        Raises
        ------
        InvalidInput
            Another ending, or a folder that is not there or takes no files.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> import numpy as np
        >>> from setol_ww.results.record import LayerRecord
        >>> from setol_ww import Spectrum
        >>> spectrum = Spectrum.from_matrix(np.random.default_rng(0).normal(size=(60, 40)))
        >>> page = pathlib.Path(tempfile.mkdtemp()) / "report.html"
        >>> Results.from_records([LayerRecord(0, {"longname": "fc"}, spectrum=spectrum)]).report(page)
        >>> page.read_text(encoding="utf-8")[:15]
        '<!DOCTYPE html>'
        """
        upstairs("views.report").write_report(self, path, compare)

    def save(self, path: str | Path) -> None:
        """Write everything to a file, by convention `NAME.setol`; `setol_ww.open_results` reads it.

        Raises
        ------
        InvalidInput
            Another ending, no such folder, or a file of something else lies there.
        """
        target = path_of("path", path)
        writable_file("path", target.with_suffix(target.suffix.lower()), ENDINGS)
        if target.exists():
            Store.read(target).close()
        with written_whole(target) as part, Store.open(part, self.about, self.notes) as store:
            store.add_all(self.records)

    def _card(self) -> Card:
        from .printed import results_card

        return results_card(self)

    __repr__ = Shown.__str__

    def __len__(self) -> int:
        return len(self.records)

    def _asked(self, settings: Mapping[str, Any]) -> tuple[Groups, dict[str, Any]]:
        """Which columns, and which settings of a layer."""
        accepted = [one.name for one in fields(Settings)]
        told = dict(settings)
        groups = {one.name: told.pop(one.name, getattr(self.options, one.name)) for one in fields(Groups)}
        # The words are checked as every entry point checks them.
        self.options.changed(**groups)
        for name in told:
            if name in SETTLED:
                raise InvalidInput(
                    f"{name}={told[name]!r} was asked of a table; it was settled when the weights were read. Accepted "
                    f"are {', '.join([*accepted, *groups])}; for another {name} analyse the weights again"
                )
            if name not in accepted:
                raise InvalidInput(f"the setting {name!r} was asked; accepted are {', '.join([*accepted, *groups])}")
        for name, kept in (("randomize", TRAPS), ("farms", FARMS)):
            lacks = self.records and not any(kept in record.extras for record in self.records)
            if groups[name] and not getattr(self.options, name) and lacks:
                raise InvalidInput(
                    f"{name}=True was asked of a table; it needs the weights, and they were read without it. Analyse "
                    f"them again with {name}=True"
                )
        return Groups(**groups), told

    def _no_such(self, longname: Any, part: Any) -> str:
        slices = [record.slice for record in self.records if record.longname == longname]
        title = f"layer {longname!r}" + (f", slice {part!r}" if part else "")
        if slices:
            return f"the {title} was asked; it has the slices {', '.join(map(repr, slices))}"
        names = list(dict.fromkeys(record.longname for record in self.records))
        nearest = difflib.get_close_matches(str(longname), names, NEAREST, 0.3) or names[:NEAREST]
        return f"the {title} was asked; there is none of that name. Nearest are {', '.join(map(repr, nearest))}"


def table_with_coverage(results: Results) -> pd.DataFrame:
    """The table of a run, what became of every tensor hanging on it."""
    frame = results.table()
    frame.attrs["coverage"] = Told(results.coverage_rows)
    return frame


def open_results(path: str | Path) -> Results:
    """The results in a file that `scan`, `Results.save` or the command line wrote; the weights are not needed.

    Parameters
    ----------
    path : str or Path
        `NAME.setol`, `.sqlite` or `.db`; finished, or what a killed run has left.

    Raises
    ------
    InvalidInput
        There is no such file, it is no results file, or one of a newer version.
    UnreadableCheckpoint
        It is damaged.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from setol_ww.results.record import LayerRecord
    >>> from setol_ww import Spectrum
    >>> record = LayerRecord(0, {"longname": "fc"}, spectrum=Spectrum.from_matrix(np.diag([3.0, 2.0, 1.0])))
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.setol"
    >>> Results.from_records([record]).save(path)
    >>> open_results(path).layer("fc").spectrum.raw.tolist()
    [1.0, 4.0, 9.0]
    """
    with Store.read(path_of("path", path)) as store:
        return Results.of_store(store)


def notes_of(options: Options, form: TableForm) -> dict[str, Any]:
    """What a store says beside what its records belong to."""
    return {"options": options.as_dict(), "form": asdict(form), "versions": versions()}


def versions() -> dict[str, str]:
    """What is computing: setol-ww, Python, libraries, processor."""
    import scipy

    return {
        "setol-ww": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "pandas": pd.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
    }
