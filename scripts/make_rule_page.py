"""Write docs/rules.md from the rules of truncation.

Claim      The page lists every rule that `truncate` takes, from the module where they are defined.
Command    python scripts/make_rule_page.py
Run time   a second.
"""

from __future__ import annotations

from pathlib import Path

from pages import prose, table

from setol_ww.truncation import rules

PAGE = Path(__file__).resolve().parents[1] / "docs" / "rules.md"
HEAD = """# Truncation rules

What `rule=` of `ww.truncate`, `ww.truncated`, `ww.truncate_checkpoint` and `--rule` of `setol-ww truncate` takes, and
`rules=` of `ww.evaluate_truncation` a list of. [How to truncate](truncation.md) has them in use.

"""
TAIL = """
A rule more is one function: [extending](../CONTRIBUTING.md#a-truncation-rule).
"""


def page() -> str:
    """The whole page."""
    _, _, listed = prose(rules).partition("\n\n")
    named = ((f"`{name}`", " ".join(prose(rule).split())) for name, rule in rules.NAMED.items())
    return (
        f"{HEAD}{listed}\n\nThose without a number, exactly:\n\n{table(('rule', 'components that stay'), named)}{TAIL}"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
