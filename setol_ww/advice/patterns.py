"""Names of layers as the patterns that PEFT and Axolotl match."""

from __future__ import annotations

import re

from .advice import Advice

#: What Spectrum always trains.
ALWAYS = ("^lm_head.weight$", "^model.embed_tokens.weight$")


def peft_key(longname: str) -> str:
    r"""A key of `rank_pattern` that matches this module alone.

    PEFT tries `re.match(r"(.*\.)?(KEY)$", name)`, where a plain `q_proj` hits every layer and a dot any character. The
    anchor leaves the prefix no room. Names are those of the model that `get_peft_model` is given.

    >>> peft_key("model.layers.1.q_proj")
    '^model\\.layers\\.1\\.q_proj'
    """
    return f"^{re.escape(longname)}"


def axolotl_patterns(advice: Advice) -> dict[str, list[str]]:
    """Patterns by type of layer; first what is always trained, under the empty word."""
    known = [row["tensor"] for row in advice.rows] + list(advice.left_out)
    found: dict[str, list[str]] = {"always": list(ALWAYS)}
    for row in advice.rows:
        if row["unfreeze"]:
            found.setdefault(row["type"] or "layers", []).append(axolotl_pattern(row["longname"], known))
    return found


def axolotl_pattern(longname: str, tensors: list[str]) -> str:
    """A pattern for Axolotl's `unfrozen_parameters`, as Spectrum writes it: the name of the module.

    Axolotl escapes the dots, matches from the start of the parameter's name and leaves the end open; where that hits
    another layer too (`net.1` and `net.10`) the name is closed by its dot. Other characters are escaped here.

    >>> axolotl_pattern("net.1", ["net.1.weight", "net.10.weight"]), axolotl_pattern("net.2", ["net.2.weight"])
    ('net.1.', 'net.2')
    """
    escaped = ".".join(map(re.escape, longname.split(".")))
    clash = any(name.startswith(longname) and not f"{name}.".startswith(f"{longname}.") for name in tensors)
    return f"{escaped}." if clash else escaped
