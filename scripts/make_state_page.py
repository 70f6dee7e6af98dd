"""Write docs/states.md from the states, classes, flags and outcomes themselves.

Claim      What the page tells to do is what the program tells: `State.next_step`, the flags' meanings, the outcomes.
Command    python scripts/make_state_page.py
Run time   a second.
"""

from __future__ import annotations

import re
from pathlib import Path

from pages import prose, table

from setol_ww.core.outcomes import Outcome
from setol_ww.layer import classes, verdict
from setol_ww.layer.flags import MEANINGS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "states.md"
HEAD = """# What to do for each state and flag

Every layer has one word in `setol_state`, with the numbers it rests on in `setol_reason`, and any number of flags
beside it in `setol_flags`. This page says what each means and what to do next; the program says the same
(`State.next_step`, `LayerResult.verdict`).

Read the flags first: where one of them says that the number means something else, the state speaks of that number all
the same. A state is a diagnosis and no order: compare test errors before and after anything that you change.

"""
EVIDENCE = """
A number is above or below a limit when its whole 90 % interval is, the choice of the tail's start included
([measured](uncertainty.md)). `ww.analyze(model, uncertainty=200)` and `--uncertainty 200` resample it.

"""
CLASSES = """
Of each class shares right and wrong on ensembles of known truth are on [a page of their own](classes.md).

"""
OUTCOMES = """## Words of `tail_outcome` and of other outcomes

How a number came about. Anything but `ok` says why there is none, or why there is little in it.

"""


def page() -> str:
    """The whole page."""
    return "".join(
        [
            HEAD,
            "## States\n\n",
            table(("state", "means", "do next"), ((f"`{s.value}`", s.meaning, s.next_step) for s in verdict.State)),
            "\nWhen a layer is called so:\n\n",
            _table_in(verdict),
            EVIDENCE,
            "## Flags\n\n",
            table(("flag", "what it means, and what to do"), ((f"`{f}`", said) for f, said in MEANINGS.items())),
            "\n## Classes\n\n",
            _table_in(classes),
            CLASSES,
            OUTCOMES,
            table(("outcome", "says"), ((f"`{one.value}`", one.sentence) for one in Outcome)),
        ]
    )


def _table_in(module: object) -> str:
    """The table at the head of a module."""
    return "".join(re.findall(r"^\|.*\n", prose(module), flags=re.MULTILINE))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
