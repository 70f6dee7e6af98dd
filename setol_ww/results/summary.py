"""`Summary`: what a person wants to know first of a model, in at most twenty lines."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..core.as_json import as_json
from ..core.card import Card, Fact, Shown
from ..core.colour import words_painted
from ..core.outcomes import Outcome
from ..core.printable import GridColumn, first_words, shortened, terminal_width, visible, wrapped
from ..layer.flags import tone_of
from ..layer.verdict import State, says_no_tail
from .apart import USUAL, apartness
from .glosses import MEANS as MEANT
from .glosses import glosses
from .means import Mean, mean_of
from .printed import TONES, alpha_told, flags_in, has_failed, is_number, title

if TYPE_CHECKING:
    from .results import Results

SCHEMA = 1
#: Means that are told, what they are called, and whether they are geometric (a product over layers).
MEANS = (
    ("tail_alpha", "alpha", False),
    ("delta_lambda_min", "delta", False),
    ("q2_norm", "q2_norm", True),
    ("stable_rank", "stable rank", False),
)
LAYERS_SHOWN, REASONS_SHOWN, MOST_LINES = 4, 3, 20
#: So many layers are told in any case, as far as some stand apart.
LAYERS_WANTED = 3
MORE = " .."
ALL_ZERO = "all zero"
#: Outcomes, states and classes that call for a look, the worst first, and what is said of them.
CONCERNS = (
    ("tail_outcome", Outcome.DEGENERATE.value, ALL_ZERO),
    ("universality_class", "rank collapse", "rank collapse"),
    ("setol_state", "over-regularized", "over-regularized"),
    ("setol_state", "under-trained", "under-trained"),
)
#: What each state means.
MEANING = {state.value: state.meaning for state in State}
#: Flags that call for a look by themselves begin so; others are told beside a concern.
LOUD = "trap: "
NO_TAIL = "no heavy tail"


@dataclass(frozen=True)
class Look:
    """A layer to look at, and why."""

    layer: str
    slice: str
    why: str

    @property
    def title(self) -> str:
        """Name with slice, as it can be shown."""
        return title(self.layer, self.slice)


@dataclass(frozen=True, repr=False)
class Summary(Shown):
    """Counts, means with errors, the layers to look at first, and what was not analysed.

    Attributes
    ----------
    rows, analyzed, failed, skipped, missing : int
        Rows of the table by status; `missing` have not been come to. Tensors that are skipped without a row count too.
    states, classes, flags : dict
        Number of layers of each.
    means : tuple of Mean
    look_first : tuple of Look
        Every layer with a concern, the worst first.
    stand_apart : tuple of Look
        The others whose alpha is outside the usual range, from 2 to 6, by more than its error, the furthest first.
    not_analyzed : dict
        Reasons and the number of tensors of each.
    share : float
        Share of the parameters of all tensors that were analysed.
    without_tail : int
        Layers with an alpha that is of no heavy tail: they have a part in the mean of alpha all the same.
    """

    rows: int
    analyzed: int
    failed: int
    skipped: int
    missing: int
    states: dict[str, int]
    classes: dict[str, int]
    flags: dict[str, int]
    means: tuple[Mean, ...]
    look_first: tuple[Look, ...]
    stand_apart: tuple[Look, ...]
    not_analyzed: dict[str, int]
    share: float
    without_tail: int = 0

    @classmethod
    def of(cls, results: Results) -> Summary:
        """The summary of results."""
        table, coverage = results.table(), results.coverage
        status = Counter(record.status for record in results.records)
        told = [row for row in zip(coverage["status"], coverage["n_params"], coverage["reason"], coverage["longname"])]
        parameters = [(s, n) for s, n, _, _ in told if is_number(n)]
        total = sum(n for _, n in parameters)
        done = sum(n for s, n in parameters if s == "analyzed")
        # An analysis in memory has no rows of what it skips.
        rows = {record.tensor for record in results.records}
        left = Counter(_without_name(reason, name) for s, _, reason, name in told if s != "analyzed")
        looks = tuple(_looks(table))
        return cls(
            rows=len(results.records),
            analyzed=status["analyzed"],
            failed=status["failed"],
            skipped=status["skipped"] + sum(s == "skipped" and name not in rows for s, _, _, name in told),
            missing=results.missing,
            states=_counts(table, "setol_state"),
            classes=_counts(table, "universality_class"),
            flags=dict(Counter(flag for flags in _flags(table) for flag in flags).most_common()),
            means=tuple(found for one in MEANS if (found := mean_of(_values(table, one[0]), *one)) is not None),
            look_first=looks,
            stand_apart=tuple(_apart(table, looks)),
            not_analyzed=dict(left.most_common()),
            share=float(done / total) if total else math.nan,
            without_tail=sum(
                is_number(alpha) and says_no_tail(reason)
                for alpha, reason in zip(_values(table, "tail_alpha"), _values(table, "setol_reason"))
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON has it; numbers that are none are null. `schema` counts the versions of this form."""
        return {"schema": SCHEMA, **as_json(asdict(self)), "next_steps": self.next_steps}

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each word; one that is a state and a class counts once for each layer."""
        found = {status: int(getattr(self, status)) for status in ("analyzed", "failed", "skipped", "missing")}
        for words in (self.states, self.classes, self.flags):
            found |= {word: max(count, found.get(word, 0)) for word, count in words.items()}
        return found

    @property
    def glosses(self) -> str:
        """The classes and flags that occur in plain words."""
        return glosses([*self.classes, *self.flags])

    @property
    def next_steps(self) -> dict[str, str]:
        """What to do for each state that layers are in, but for the ideal one; the gravest first."""
        grave = (State.OVER_REGULARIZED, State.UNDER_TRAINED, State.SHORT_OF_IDEAL, State.UNDETERMINED)
        return {state.value: state.next_step for state in grave if self.states.get(state.value)}

    def lines(self, width: int | None = None, *, colour: bool = False) -> list[str]:
        """At most twenty lines."""
        room = terminal_width(width)
        lines = wrapped(self._first_line(), room, later="  ").split("\n")
        for name, counts in (("states", self.states), ("classes", self.classes), ("flags", self.flags)):
            if counts:
                told = ", ".join(f"{count} {visible(word)}" for word, count in counts.items())
                words = _lines_of(2, f"{name + ':':<9} ", told, room)
                lines += [words_painted(line, TONES) for line in words] if colour else words
        looks = self._looks_told(room)
        rest = sum(1 + self._is_of_less(mean) for mean in self.means) + len(looks) + 2 * bool(self.not_analyzed)
        if self.glosses:
            lines += _lines_of(min(2, max(1, MOST_LINES - rest - len(lines))), "words:    ", self.glosses, room)
        for mean in self.means:
            most = 1 + self._is_of_less(mean)
            lines += _lines_of(most, f"{mean.label}: ", self._mean_told(mean), room)
        lines += looks
        for state, step in self.next_steps.items():
            advice = _lines_of(2, f"{'next:':<9} ", f"{state} ({MEANING[state]}): {step}", room)
            if len(lines) + len(advice) + (2 if self.not_analyzed else 0) <= MOST_LINES:
                lines += advice
        if self.not_analyzed:
            number = sum(self.not_analyzed.values())
            lines.append(f"not analysed, {number} tensor{'s' if number != 1 else ''}:")
            shown = list(self.not_analyzed.items())[: min(REASONS_SHOWN, MOST_LINES - len(lines))]
            lines += [first_words(f"  {count} x {visible(reason)}", room) for reason, count in shown]
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())

    __repr__ = __str__

    @property
    def _apart_told(self) -> tuple[Look, ...]:
        return self.stand_apart[: max(0, LAYERS_WANTED - len(self.look_first))]

    def _looks_told(self, room: int) -> list[str]:
        """The layers to look at first, a line each under a head."""
        lines = []
        if self.look_first:
            lines.append(f"look first at {layers_of(LAYERS_SHOWN, len(self.look_first))}:")
            lines += [_fitted(f"  {look.title}", look.why, room) for look in self.look_first[:LAYERS_SHOWN]]
        if self._apart_told:
            lines.append(f"no concern, but apart from the usual alpha of {USUAL}:")
            lines += [_fitted(f"  {look.title}", look.why, room) for look in self._apart_told]
        return lines

    def _mean_told(self, mean: Mean) -> str:
        """A mean, what it is of, and of how many of its layers it says nothing."""
        denied = f" ({self.without_tail} without a heavy tail)" if self._is_of_less(mean) else ""
        return f"{mean}{denied}, {MEANT.get(mean.column, mean.column)}"

    def _is_of_less(self, mean: Mean) -> bool:
        """Whether some of the layers of a mean have nothing that it is of."""
        return mean.column == "tail_alpha" and self.without_tail > 0

    def _card(self) -> Card:
        counts = [("states", self.states), ("classes", self.classes), ("flags", self.flags)]
        facts = [
            Fact(name if number == 0 else "", f"{count} {word}", TONES.get(word) or tone_of([word]))
            for name, told in counts
            for number, (word, count) in enumerate(told.items())
        ]
        means = [Fact(mean.label, self._mean_told(mean)) for mean in self.means]
        shown = (*self.look_first[:LAYERS_SHOWN], *self._apart_told)
        table = [
            GridColumn("layers to look at first", [look.title for look in shown], right=False),
            GridColumn("why", [look.why for look in shown], right=False),
        ]
        steps = [f"next: {state} ({MEANING[state]}): {step}" for state, step in self.next_steps.items()]
        words = [f"words: {self.glosses}"] if self.glosses else []
        left = [f"{count} not analysed: {reason}" for reason, count in self.not_analyzed.items()]
        notes = [*words, *steps, *left[:REASONS_SHOWN]]
        return Card(self._first_line(), [*facts, *means], notes, table if shown else ())

    def _first_line(self) -> str:
        share = "" if math.isnan(self.share) else f" ({100 * self.share:.1f} % of the parameters)"
        missing = f", {self.missing} not come to yet" if self.missing else ""
        return (
            f"{self.analyzed} of {self.rows} rows analysed{share}, {self.failed} failed, {self.skipped} skipped"
            f"{missing}"
        )


def _lines_of(most: int, first: str, text: str, room: int) -> list[str]:
    """The text behind `first` in at most so many lines, marked where there would be more."""
    whole = wrapped(text, room, first, " " * len(first)).split("\n")
    if len(whole) <= most:
        return whole
    lines = wrapped(text, room - len(MORE), first, " " * len(first)).split("\n")
    return [*lines[: most - 1], lines[most - 1] + MORE]


def _fitted(name: str, why: str, room: int) -> str:
    """A name and a reason in one line, the name cut first."""
    name = shortened(name, max(16, room - len(why) - 2))
    return first_words(f"{name}: {why}", room)


def layers_of(shown: int, total: int) -> str:
    """How many layers of how many, in words."""
    return f"{shown} of {total} layers" if total > shown else f"{total} layer{'s' if total != 1 else ''}"


def _counts(table: pd.DataFrame, column: str) -> dict[str, int]:
    """How many layers have each word of a column, the most frequent first."""
    words = [word for word in _values(table, column) if isinstance(word, str)]
    return dict(Counter(words).most_common())


def _values(table: pd.DataFrame, column: str) -> list[Any]:
    return table[column].tolist() if column in table else [None] * len(table)


def _flags(table: pd.DataFrame) -> list[list[str]]:
    """The flags of every row; the column says them with commas between."""
    return [flags_in(told) for told in _values(table, "setol_flags")]


def _looks(table: pd.DataFrame) -> list[Look]:
    """Layers with a concern: what failed, then by the kind of concern, then by how far their alpha is from 2."""
    found = []
    told = ("longname", "slice", "status", "reason", "tail_outcome", "tail_alpha", "setol_reason")
    columns = {name: _values(table, name) for name in told}
    words = {name: _values(table, name) for name, _, _ in CONCERNS}
    flags = _flags(table)
    for row in range(len(table)):
        cells = {name: values[row] for name, values in columns.items()}
        whys = [said for name, word, said in CONCERNS if words[name][row] == word]
        rank = next((i for i, (name, word, _) in enumerate(CONCERNS) if words[name][row] == word), len(CONCERNS))
        if whys or any(flag.startswith(LOUD) for flag in flags[row]):
            whys += sorted(flags[row], key=lambda flag: not flag.startswith(LOUD))
        if has_failed(cells):
            whys, rank = [_without_name(cells["reason"], cells["longname"])], -1
        if not whys:
            continue
        alpha = cells["tail_alpha"]
        if is_number(alpha):
            whys.append(NO_TAIL if says_no_tail(cells["setol_reason"]) else f"alpha {alpha:.2f}")
        distance = abs(alpha - 2) if is_number(alpha) else 0.0
        part = cells["slice"] if isinstance(cells["slice"], str) else ""
        found.append((rank, -distance, Look(str(cells["longname"]), part, visible(", ".join(whys)))))
    return [look for *_, look in sorted(found, key=lambda one: one[:2])]


def _apart(table: pd.DataFrame, looks: Iterable[Look]) -> list[Look]:
    """Layers without a concern whose alpha is further outside the usual range than its error, the furthest first."""
    taken = {(look.layer, look.slice) for look in looks}
    found = []
    for row in table.to_dict("records"):
        part = row["slice"] if isinstance(row.get("slice"), str) else ""
        name, score = str(row.get("longname")), apartness(row)
        if score > 1 and (name, part) not in taken:
            words = [word for word in (row.get("setol_state"), alpha_told(row)) if isinstance(word, str)]
            found.append((-score, Look(name, part, visible(", ".join(words)))))
    return [look for _, look in sorted(found, key=lambda one: one[0])]


def _without_name(reason: Any, name: Any) -> str:
    """A reason without the name of its layer, so that equal ones are counted together."""
    if not isinstance(reason, str) or not reason:
        return "no reason given"
    for begin in (f"layer {str(name).removesuffix('.weight')}: ", f"layer {name}: "):
        reason = reason.removeprefix(begin)
    return reason
