"""The page of the mutants: how many of each room and kind were killed, and every survivor with what is said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import tomllib
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import TestOutcome, WorkItem, WorkResult

from .draw import candidate_of, room_of

HEAD = """# Mutants that nobody chose

Small slips in the package, drawn by chance, and whether a test notices; [the page on teeth](teeth.md) has the bugs that
were planted by hand. Made by `python scripts/mutants.py table` from a session of `tox -e mutants`.

{run}

A sample takes rooms in turn and in a room the kinds of slip in turn, so rare kinds weigh more than they have places. A
mutant is tried with the tests that run its lines, by a coverage taken test by test in this process (what tests start in
another is not seen), the fastest first; a survivor may still fall to a test that was not run.

Killed by the tests tried: **{killed} of {tried} ({share:.0%})**; by the suite as it was, with {seen} survivors that
fall to a test of it that was not among those: **{before} ({before_share:.0%})**; with the tests written for survivors
since: **{after} ({after_share:.0%})**. {equivalent} of the rest change nothing that can be seen; without them it is
**{sound_share:.0%}**.
"""


#: What a fate in `argued.toml` is called on the page.
WORDS = {"test": "killed now: ", "seen": "killed by ", "equivalent": "equivalent: ", "open": "open: "}


def share(session: WorkDB) -> float:
    """Killed of tried."""
    results = [result for _, result in session.results]
    return sum(map(_killed, results)) / max(len(results), 1)


def write(session: WorkDB, seed: int, root: Path) -> None:
    """Write `docs/mutants.md`; what is said of survivors stands in `argued.toml` beside this module."""
    done = sorted(session.completed_work_items, key=lambda pair: pair[0].job_id)
    argued = tomllib.loads((Path(__file__).parent / "argued.toml").read_text(encoding="utf-8"))
    said = {(each["module"], each["change"]): each for each in argued["survivor"]}
    (root / "docs" / "mutants.md").write_text(page(done, session.num_work_items, seed, argued, said), encoding="utf-8")


def page(done: list, drawn: int, seed: int, argued: dict, said: dict) -> str:
    survivors = [(item, result) for item, result in done if not _killed(result)]
    fates = [said.get(_key(item, result), {}) for item, result in survivors]
    seen = sum("seen" in fate for fate in fates)
    now = sum(_falls(fate) for fate in fates)
    killed = len(done) - len(survivors)
    equivalent = sum("equivalent" in fate for fate in fates)
    head = HEAD.format(
        run=argued["run"].format(seed=seed, drawn=drawn, tried=len(done)).strip(),
        tried=len(done),
        killed=killed,
        share=killed / len(done),
        seen=seen,
        before=killed + seen,
        before_share=(killed + seen) / len(done),
        after=killed + now,
        after_share=(killed + now) / len(done),
        equivalent=equivalent,
        sound_share=(killed + now) / (len(done) - equivalent),
    )
    parts = [head]
    for title, key in (("room", _room), ("kind", lambda item: candidate_of(item).kind)):
        parts.append(_table(title, key, done, {item.job_id: fate for (item, _), fate in zip(survivors, fates)}))
    parts.append(_survivors(survivors, fates))
    return "\n".join(parts)


def _table(title: str, key: Callable[[WorkItem], str], done: list, fates: dict[str, dict]) -> str:
    tried, killed, now, same = Counter(), Counter(), Counter(), Counter()
    for item, result in done:
        tried[key(item)] += 1
        killed[key(item)] += _killed(result)
        now[key(item)] += _killed(result) or _falls(fates[item.job_id])
        same[key(item)] += "equivalent" in fates.get(item.job_id, {})
    lines = [
        f"| {title} | tried | killed | killed now | equivalent | share now, without equivalent |",
        "|---|---|---|---|---|---|",
    ]
    for name in sorted(tried):
        left = tried[name] - same[name]
        lines.append(
            f"| {name} | {tried[name]} | {killed[name]} ({killed[name] / tried[name]:.0%}) | {now[name]} "
            f"| {same[name]} | {f'{now[name] / left:.0%}' if left else ''} |"
        )
    return f"## By {title}\n\n" + "\n".join(lines) + "\n"


def _survivors(survivors: list, fates: list[dict]) -> str:
    lines = ["| place | kind | change | what became of it |", "|---|---|---|---|"]
    for (item, result), fate in zip(survivors, fates):
        candidate = candidate_of(item)
        told = "; ".join(f"{WORDS[how]}{said}" for how, said in fate.items() if how in WORDS) or "open"
        place = f"`{candidate.module.removeprefix('setol_ww/')}:{candidate.start[0]}`"
        lines.append(f"| {place} | {candidate.kind} | {_cell(result.diff)} | {told} |")
    return "## Survivors\n\n" + "\n".join(lines) + "\n"


def _cell(change: str) -> str:
    short = [f"`{side[:140]}`".replace("|", "\\|") for side in change.split(" -> ")]
    return " → ".join(short)


def _key(item: WorkItem, result: WorkResult) -> tuple[str, str]:
    return candidate_of(item).module, result.diff


def _room(item: WorkItem) -> str:
    return room_of(candidate_of(item).module)


def _falls(fate: dict[str, str]) -> bool:
    """Whether a test is known that kills it."""
    return "test" in fate or "seen" in fate


def _killed(result: WorkResult) -> bool:
    return result.test_outcome is TestOutcome.KILLED
