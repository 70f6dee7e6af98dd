"""What a person wants to know first of a comparison, in at most twenty lines."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.special

from ..core.as_json import as_json
from ..core.card import Card, Fact, Shown
from ..core.printable import GridColumn, first_words, shortened, terminal_width, visible, wrapped
from ..core.tones import Tone
from ..results.means import LEVEL, Mean, mean_of
from ..results.printed import is_number
from ..results.record import FAILED
from ..results.summary import Look, layers_of
from .difference import BASE, DIFFERENCE, ERROR, moved_tails
from .update import SAME

if TYPE_CHECKING:
    from .comparison import Comparison

SCHEMA = 1
LAYERS_SHOWN, REASONS_SHOWN = 5, 3
#: Columns whose mean change is told, in words.
MEANS = (
    ("tail_alpha", "alpha"),
    ("delta_lambda_min", "delta_lambda_min"),
    ("erg_fraction", "erg_fraction"),
)
#: An update of which rounding is this share says nothing.
ROUNDED = 0.5
#: Words for rules, and the column whose cells count.
CHANGED = {"state changed": "state_change", "class changed": "class_change", "flags added": "flags_added"}
#: What rules may count.
RULE_WORDS = ("beyond", *CHANGED, "unmatched", "failed")


@dataclass(frozen=True)
class Change:
    """The mean change of a column over layers with its standard error, and the chance of one as large from none."""

    mean: Mean
    pvalue: float

    @property
    def word(self) -> str:
        """`up`, `down`, or `indistinguishable from none`."""
        if not self.pvalue < LEVEL:
            return "indistinguishable from none"
        return "up" if self.mean.value > 0 else "down"

    @property
    def told(self) -> str:
        """The mean with its error, and the word."""
        mean = self.mean
        return f"on average {mean.value:+.2g} ± {mean.error:.2g} over {mean.count} layers, {self.word}"


@dataclass(frozen=True, repr=False)
class ComparisonSummary(Shown):
    """Counts of what changed, means with errors, the layers to look at first, what could not be compared.

    Attributes
    ----------
    names : (str, str)
        What the two models were given as.
    rows, failed, same, rounded : int
        Layers compared, of them failed, the same bit for bit, and those whose update rounding explains.
    counts : dict
        `beyond`: layers whose alpha, that of a tail, moved beyond its error; `state changed`, `class changed`,
        `flags added`, `unmatched`, `failed`.
    with_alpha : int
        Layers that have an alpha in both models.
    changes : tuple of Change
        Of means over layers; the layers are pairs.
    sizes : dict
        Median `update_norm_share`, `update_rank` and `update_in_base_ecs` of the layers that changed.
    look_first : tuple of Look
    unmatched : dict
        Reasons and the number of layers of each.
    remarks : tuple of str
    """

    names: tuple[str, str]
    rows: int
    failed: int
    same: int
    rounded: int
    with_alpha: int
    counts: dict[str, int]
    changes: tuple[Change, ...]
    sizes: dict[str, float]
    look_first: tuple[Look, ...]
    unmatched: dict[str, int]
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, comparison: Comparison) -> ComparisonSummary:
        """The summary of a comparison."""
        table = comparison.table()
        unmatched = Counter(row.reason for row in comparison.unmatched_rows)
        counts = {"beyond": sum(moved_tails(table))}
        counts |= {word: sum(map(bool, _column(table, column, ""))) for word, column in CHANGED.items()}
        failed = int((table["status"] == FAILED).sum())
        counts |= {"unmatched": sum(unmatched.values()), "failed": failed}
        reasons = _column(table, "update_reason", "")
        rounding = _column(table, "update_rounding", math.nan)
        return cls(
            names=comparison.names,
            rows=len(table),
            failed=failed,
            same=sum(reason == SAME for reason in reasons),
            rounded=sum(is_number(share) and share > ROUNDED for share in rounding),
            with_alpha=sum(map(is_number, _column(table, f"{DIFFERENCE}tail_alpha", math.nan))),
            counts=counts,
            changes=tuple(one for name, label in MEANS if (one := _change(table, name, label)) is not None),
            sizes=_sizes(table),
            look_first=tuple(_looks(table)),
            unmatched=dict(unmatched.most_common()),
            remarks=comparison.remarks,
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON has it; `schema` counts the versions of this form."""
        changes = [{**as_json(asdict(one)), "word": one.word} for one in self.changes]
        return {"schema": SCHEMA, **as_json(asdict(self)), "changes": changes}

    def lines(self, width: int | None = None) -> list[str]:
        """At most twenty lines."""
        room = terminal_width(width)
        lines = [first_words(line, room) for line in self._first()]
        for one in self.changes:
            lines.append(first_words(f"{one.mean.label} {one.told}", room))
        if self.look_first:
            shown = self.look_first[:LAYERS_SHOWN]
            lines.append(f"look first at {layers_of(LAYERS_SHOWN, len(self.look_first))}:")
            lines += [_look(look, room) for look in shown]
        lines += [line for remark in self.remarks[:2] for line in wrapped(remark, room, later="  ").split("\n")][:2]
        if self.unmatched:
            lines.append(f"not compared, {sum(self.unmatched.values())}:")
            told = list(self.unmatched.items())[:REASONS_SHOWN]
            lines += [first_words(f"  {count} x {visible(reason)}", room) for reason, count in told]
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _card(self) -> Card:
        title, *first = self._first()
        shown = self.look_first[:LAYERS_SHOWN]
        table = [
            GridColumn("layers to look at first", [look.title for look in shown], right=False),
            GridColumn("why", [look.why for look in shown], right=False),
        ]
        facts = [Fact(one.mean.label, one.told, Tone.PLAIN) for one in self.changes]
        left = [f"{count} not compared: {reason}" for reason, count in self.unmatched.items()][:REASONS_SHOWN]
        return Card(title, facts, [*first, *self.remarks, *left], table if shown else ())

    def _first(self) -> list[str]:
        """How many layers were compared, how large the update is, and what changed beyond errors."""
        names = " -> ".join(visible(name) for name in self.names if name)
        failed = f", {self.failed} failed" if self.failed else ""
        lines = [f"{names}: {self.rows} layers compared{failed}"]
        if self.same:
            lines.append(f"{self.same} are the same, bit for bit")
        if self.rounded:
            lines.append(f"{self.rounded} differ by no more than rounding to their types makes")
        listed = SIZES if self.names[0] else ALONE
        told = [f"{label} {self.sizes[name]:{form}}" for name, label, form in listed if name in self.sizes]
        lines += [f"median update: {', '.join(told)}"] if told else []
        changed = [f"{count} {word}" for word, count in self.counts.items() if word in CHANGED and count]
        if self.names[0]:
            beyond = f"alpha beyond its error in {self.counts['beyond']} of {self.with_alpha}"
            is_told = changed or self.counts["beyond"] or self.with_alpha < self.rows
            none = "" if is_told else "; no layer's spectrum can be told from before"
            lines.append(", ".join([beyond, *changed]) + none)
        return lines


#: What is told of the size of updates: column, words, form.
SIZES = (
    ("update_norm_share", "norm share", ".2g"),
    ("update_rank", "rank", ".0f"),
    ("update_in_base_ecs", "in the base's ECS", ".2g"),
    ("update_in_base_ecs_chance", "by chance", ".2g"),
)

#: The same of an update by itself.
ALONE = (
    ("update_norm", "norm", ".3g"),
    ("update_rank", "rank", ".0f"),
    ("update_stable_rank", "stable rank", ".3g"),
    ("update_alpha", "alpha", ".2f"),
)


def _look(look: Look, room: int) -> str:
    """A name and why in one line: the name up to half of it."""
    name = shortened(look.title, max(room // 2, room - 4 - len(look.why)))
    return first_words(f"  {name}: {look.why}", room)


def _column(table: pd.DataFrame, name: str, nothing: Any) -> list[Any]:
    return table[name].tolist() if name in table else [nothing] * len(table)


def _change(table: pd.DataFrame, name: str, label: str) -> Change | None:
    """The mean of the differences of a column: layers are pairs, so a paired test."""
    moved = mean_of(_column(table, f"{DIFFERENCE}{name}", None), name, label)
    if moved is None:
        return None
    if not moved.error > 0:
        return Change(moved, 0.0) if moved.value else None
    return Change(moved, 2 * float(scipy.special.stdtr(moved.count - 1, -abs(moved.value) / moved.error)))


def _sizes(table: pd.DataFrame) -> dict[str, float]:
    """Medians over the layers that are not the same."""
    is_other = [reason != SAME for reason in _column(table, "update_reason", "")]
    found = {}
    for name in dict.fromkeys(name for name, _, _ in (*SIZES, *ALONE)):
        cells = zip(_column(table, name, None), is_other)
        values = [float(value) for value, counts in cells if counts and is_number(value)]
        if values:
            found[name] = float(np.median(values))
    return found


def _looks(table: pd.DataFrame) -> list[Look]:
    """Layers that failed, then those beyond errors, then changed words, then the largest updates."""
    names = ("longname", "slice", "status", "reason", "state_change", "class_change", "flags_added")
    cells = {name: _column(table, name, "") for name in names}
    numbers = {
        name: _column(table, name, math.nan)
        for name in (
            "d_tail_alpha",
            f"d_tail_alpha{ERROR}",
            f"tail_alpha{BASE}",
            "update_norm_share",
            "update_rounding",
        )
    }
    beyond = moved_tails(table)
    found = []
    for row in range(len(table)):
        told = {name: values[row] for name, values in cells.items()}
        size = {name: values[row] for name, values in numbers.items()}
        whys, rank, weight = _why(told, size, beyond[row])
        if whys:
            part = told["slice"] if isinstance(told["slice"], str) else ""
            found.append((rank, -weight, row, Look(str(told["longname"]), part, ", ".join(whys))))
    return [look for *_, look in sorted(found, key=lambda one: one[:3])]


def _why(told: dict[str, Any], size: dict[str, float], beyond: bool) -> tuple[list[str], int, float]:
    """The reasons to look at a layer, how urgent they are, and how large what changed is."""
    if told["status"] == FAILED:
        return [visible(str(told["reason"]))], 0, 0.0
    moved, error = size["d_tail_alpha"], size[f"d_tail_alpha{ERROR}"]
    words = [told[name] for name in ("state_change", "class_change") if told[name]][:1]
    words += [f"new: {told['flags_added']}"] if told["flags_added"] else []
    before = size[f"tail_alpha{BASE}"]
    whys = [f"alpha {before:.2f} -> {before + moved:.2f}, beyond ± {error:.2f}"] if beyond else []
    share = size["update_norm_share"]
    is_real = is_number(share) and share > 0 and not size["update_rounding"] > ROUNDED
    whys += [f"update {share:.2g}"] if is_real else []
    whys += words
    if beyond:
        return whys, 1, abs(moved) / error if error > 0 else math.inf
    return whys, 2 if words else 3, float(share) if is_real else 0.0
