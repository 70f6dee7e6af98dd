"""Write docs/layouts.md from the registers of layouts and of architectures.

Claim      The page lists every layout that can be asked for and every architecture whose tensors are understood.
Command    python scripts/make_layout_page.py
Run time   a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from setol_ww.weights.architectures import BESIDE, MAY_HOLD, MODULES, REGISTER, WIDTHS, Entry
from setol_ww.weights.layouts import layouts
from setol_ww.weights.layouts.skip import NO_WEIGHTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "layouts.md"
HEAD = """# What a tensor holds

A spectrum is that of a matrix, and a stored tensor is not always one: it may be three matrices above one another, a
stack, a kernel, a table. Each row of a result says in the columns `layout` what was taken out of the tensor and in
`layout_from` how that is known:

| `layout_from` | it is known by |
|---|---|
| `asked` | what you say with `layouts=` |
| `module` | the class and the attributes of the module that holds the tensor |
| `config` | the `config.json` beside a checkpoint, or the config that a module carries, and the register below |
| `names` | names and shapes, where they leave one reading |

They are asked in this order. Where nothing decides, the tensor is analysed whole and `reason` names the readings that
are possible. A tensor that is no weight is left out, and the coverage says what it is. Which files are
read is [another page](formats.md).

"""
SAY = """## How to say it yourself

`layouts=` of `analyze`, `scan` and the functions that truncate (`--layout PATTERN=WHAT` on the command line) takes
patterns of names and what the tensors hold. It goes before everything else, and a tensor that cannot be read so is
refused.

```python
ww.analyze(
    "model.safetensors",
    layouts={
        "*.qkv_proj.weight": "qkv:64,32,32",  # q, k, v above one another
        "*.query_key_value.weight": "qkv:64,64,64 x 4",  # those of each of 4 heads together
        "*.in_proj.weight": "rows:x=128,z=128",
        "*.experts.w1": "stack:8",
        "*.conv.weight": "kernel:0,3",  # channels last
        "*.table": "skip",
    },
)
```

| word | the tensor is |
|---|---|
"""


def page() -> str:
    """The whole page."""
    said = [(f"`{one.grammar}`", one.meaning) for one in layouts() if one.asked is not None]
    sections = [
        HEAD,
        SAY,
        _table(said),
        "\nWidths are those of the whole tensor: with ` x GROUPS` each is spread evenly over the groups.\n\n",
        _architectures(),
        _names(),
        _no_weights(),
    ]
    return "".join(sections)


def _architectures() -> str:
    widths = ", ".join(
        f"{name} ({' or '.join(f'`{key}`' for key in keys)}{f'; else {formula}' if formula else ''})"
        for name, (keys, formula) in WIDTHS.items()
    )
    head = (
        "## Architectures\n\nThe type is `model_type` of the config, timm's `architecture` or the `_class_name` of "
        "diffusers. Types and names are regular\nexpressions. Widths are numbers, keys of the config, R and C (rows "
        f"and columns of the tensor) and\n{widths}.\n\n| types | tensor | if | holds |\n|---|---|---|---|\n"
    )
    classes = "\nClasses of modules:\n\n| class | tensor | if | holds |\n|---|---|---|---|\n"
    return head + _table(_row(entry) for entry in REGISTER) + classes + _table(_row(entry) for entry in MODULES) + "\n"


def _row(entry: Entry) -> Sequence[str]:
    conditions = [f"`{key}` = {str(value).lower()}" for key, value in entry.when.items()] + [entry.fits]
    types = ", ".join(f"`{_escaped(one)}`" for one in entry.types)
    return types, f"`{_escaped(entry.name)}`", ", ".join(filter(None, conditions)), f"`{entry.words}`"


def _names() -> str:
    known = (
        "## Names that decide\n\n`X.in_proj_weight` of three times as many rows as columns (the attention of torch), "
        "`X.c_attn.weight` of three times as many\ncolumns as rows (GPT-2), recurrent weights of torch and Keras, "
        "`blocks.N.attn.qkv.weight` of a model with a `patch_embed.proj.weight`\n(vision transformers: in thirds), and "
        "`X.qkv.weight` with another tensor beside it, whose last side is S:\n\n"
        "| tensor | axes | beside it | axes | holds |\n|---|---|---|---|---|\n"
    )
    beside = _table(
        (f"`{_escaped(one.name)}`", str(one.axes), f"`X.{one.beside}`", str(one.beside_axes), f"`{one.words}`")
        for one in BESIDE
    )
    doubt = "\nNames that do not, and what is said then:\n\n| layer | it may hold |\n|---|---|\n"
    texts = {name: "; ".join(words).format(a="..", b="..", c="..") for name, words in MAY_HOLD.items()}
    return known + beside + doubt + _table((f"`{name}`", text) for name, text in texts.items()) + "\n"


def _no_weights() -> str:
    head = "## Tensors that are no weights\n\n| last word of the name | it is |\n|---|---|\n"
    return head + _table((f"`{_escaped(pattern)}`", what) for pattern, what in NO_WEIGHTS)


def _escaped(pattern: str) -> str:
    return pattern.replace("|", "\\|")


def _table(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
