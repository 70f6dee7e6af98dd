"""The page of the mutants: how many of each room, module and kind were killed, and what is said of every survivor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tomllib

from . import keeping
from .draw import room_of
from .keeping import Story

HEAD = """# Mutants that nobody chose

Small slips in the package, drawn by chance, and whether a test notices; [the page on teeth](teeth.md) has the bugs that
were planted by hand. Made by `python scripts/mutants.py table` from runs of `tox -e mutants`.

A mutant is tried with the tests that run its lines, by a coverage taken test by test in this process (what tests start
in another is not seen); those come first that run little else than its module. A survivor may still fall to a test that
was not run. *Killed at first* is by the suite as it was when the mutant was drawn; *killed now* has the tests written
for survivors since. *Equivalent* changes nothing that a user could see; the share is of the others.

{run}"""

#: What a fate in `argued.toml` is called on the page.
WORDS = {"test": "killed now: ", "seen": "killed by ", "equivalent": "equivalent: ", "open": "open: "}


@dataclass(frozen=True)
class Told:
    """A mutant tried, and what `argued.toml` says of it."""

    story: Story
    said: dict[str, str]

    @property
    def first(self) -> bool:
        return self.story.first.killed

    @property
    def now(self) -> bool:
        return self.story.last.killed or self.first or bool({"seen", "test"} & set(self.said))

    @property
    def equivalent(self) -> bool:
        return not self.now and "equivalent" in self.said

    @property
    def fate(self) -> str:
        if self.story.last.killed:
            return f"killed now: {_short(self.story.last.why)}"
        return "; ".join(f"{WORDS[how]}{said}" for how, said in self.said.items() if how in WORDS) or "open"


class Count:
    """How many of some mutants."""

    def __init__(self, told: list[Told]) -> None:
        self.tried = len(told)
        self.first = sum(each.first for each in told)
        self.now = sum(each.now for each in told)
        self.equivalent = sum(each.equivalent for each in told)

    @property
    def share(self) -> str:
        """Killed now, of those that are not equivalent."""
        left = self.tried - self.equivalent
        return f"{self.now / left:.0%}" if left else ""

    def row(self, name: str) -> str:
        first = f"{self.first} ({self.first / self.tried:.0%})"
        return f"| {name} | {self.tried} | {first} | {self.now} | {self.equivalent} | {self.share} |"


def write(folder: Path, root: Path) -> None:
    """Write `docs/mutants.md`; what is said of survivors stands in `argued.toml` beside this module."""
    argued = tomllib.loads((Path(__file__).parent / "argued.toml").read_text(encoding="utf-8"))
    said = {(each["module"], each["change"]): each for each in argued["survivor"]}
    stories = keeping.stories(folder)
    parts = [HEAD.format(run=argued["run"].strip()) + "\n"]
    for draw in argued["draw"]:
        keys = (folder / f"{draw['name']}.drawn").read_text(encoding="utf-8").split()
        tried = [stories[key] for key in keys if key in stories]
        told = [Told(story, said.get((story.first.module, story.first.change), {})) for story in tried]
        parts.append(_draw(draw, len(keys), told))
    (root / "docs" / "mutants.md").write_text("\n".join(parts), encoding="utf-8")


def _draw(draw: dict[str, str], drawn: int, told: list[Told]) -> str:
    total = Count(told)
    parts = [
        f"## {draw['title']}\n\n{draw['text'].strip()}\n",
        f"Drawn {drawn}, tried {len(told)}. Killed at first **{total.first} ({total.first / max(len(told), 1):.0%})**, "
        f"now **{total.now}**; {total.equivalent} equivalent, without them **{total.share}**.\n",
    ]
    keys: dict[str, Callable[[Told], str]] = {
        "room": lambda each: room_of(each.story.first.module),
        "kind": lambda each: each.story.first.kind,
        "module": lambda each: f"`{each.story.first.module.removeprefix('setol_ww/')}`",
    }
    parts += [_table(title, keys[title], told) for title in draw["tables"]]
    return "\n".join([*parts, _survivors(told)])


def _table(title: str, key: Callable[[Told], str], told: list[Told]) -> str:
    groups: defaultdict[str, list[Told]] = defaultdict(list)
    for each in told:
        groups[key(each)].append(each)
    lines = [
        f"| {title} | tried | killed at first | killed now | equivalent | share now, without equivalent |",
        "|---|---|---|---|---|---|",
        *(Count(group).row(name) for name, group in sorted(groups.items())),
    ]
    return f"### By {title}\n\n" + "\n".join(lines) + "\n"


def _survivors(told: list[Told]) -> str:
    lines = ["| place | kind | change | what became of it |", "|---|---|---|---|"]
    for each in sorted((each for each in told if not each.first), key=lambda each: each.story.first.module):
        last = each.story.last
        place = f"`{last.module.removeprefix('setol_ww/')}:{last.line}`"
        lines.append(f"| {place} | {last.kind} | {_cell(last.change)} | {_cell_text(each.fate)} |")
    return "### Survivors\n\n" + "\n".join(lines) + "\n"


def _short(why: str) -> str:
    """A test by its file and name alone."""
    return why.partition(" - ")[0].rpartition("/")[2].replace(".py::", "::")


def _cell(change: str) -> str:
    return " → ".join(_cell_text(f"`{side[:140]}`") for side in change.split(" -> "))


def _cell_text(text: str) -> str:
    return text.replace("|", "\\|")
