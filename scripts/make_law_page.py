"""Write docs/laws.md from the laws.

Claim      The page lists every law of `setol_ww.laws`, what it has, and why it lacks what it lacks, as its class says.
Command    python scripts/make_law_page.py
Run time   a second.
"""

from __future__ import annotations

from pathlib import Path

from pages import prose, table

from setol_ww.theory import laws

PAGE = Path(__file__).resolve().parents[1] / "docs" / "laws.md"
HEAD = """# Laws

Closed forms of the spectra that layers are compared with, in `setol_ww.laws`. Numbers of equations and tables are those
of arXiv 2507.17912; where its formula is wrong ([errata](errata.md)) the corrected one stands here.

```python
import setol_ww as ww

law = ww.laws.MarchenkoPastur(0.5)
law.support, law.erg_lambda_min, law.free_cumulants(3)
```

"""
TAIL = """
## Past the end of R

The R-transform of a law with soft edges is that of the law for t up to G(upper end), `r_limit`; past it a large
spectrum has the saturated R = upper end - 1/t (Guionnet and Maida 2005), which `saturated_r` and
`saturated_integrated_r` give for every t > 0. A hard end, where G diverges, never saturates.

A law more is one file: [extending](../CONTRIBUTING.md#a-law).
"""
ASKED = tuple(name for name in vars(laws.Law) if name[0] != "_" and name != "lacks")
LAWS = tuple(getattr(laws, name) for name in laws.__all__ if name != "Law")


def page() -> str:
    """The whole page."""
    has = table(("law", *(f"`{name}`" for name in ASKED)), map(_row, LAWS))
    return HEAD + "## What each has\n\n" + has + "\n" + "\n".join(map(_section, LAWS)) + TAIL


def _row(law: type[laws.Law]) -> tuple[str, ...]:
    return f"`{law.__name__}`", *("yes" if _answers(law, name) else "" for name in ASKED)


def _answers(law: type[laws.Law], name: str) -> bool:
    """Whether the law has the method: it or a base below `Law` defines it, or it follows from the cumulants."""
    own = getattr(law, name) is not getattr(laws.Law, name)
    return name not in law.lacks and (own or name == "moment")


def _section(law: type[laws.Law]) -> str:
    lacks = "".join(f"- no `{name}`: {why}\n" for name, why in law.lacks.items())
    return f"## {law.__name__}\n\n{prose(law)}\n" + (f"\n{lacks}" if lacks else "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
