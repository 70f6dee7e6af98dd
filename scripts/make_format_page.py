"""Write docs/formats.md from the registry of formats.

Claim      The page lists every format of file that is read, from the one place where each is defined.
Command    python scripts/make_format_page.py
Run time   a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pages import table

from setol_ww.formats.base import Format
from setol_ww.formats.registry import FORMATS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "formats.md"
HEAD = """# Files that are read

`analyze`, `examine`, `scan`, `truncate_checkpoint` and PATH on the command line take a file of these, a folder of them,
or [the URL of one](remote.md). Where several formats share an ending the first bytes tell which it is. What the tensors
in a file are taken to be is another page: [what a tensor holds](layouts.md), and [how weights are stored](schemes.md).

"""
TAIL = """
`analyze` also takes a torch module and a mapping of names to tensors or arrays. An extra is installed by
`pip install 'setol-ww[EXTRA]'`. No code in a file is run, no file is mapped, and links in a file to others outside its
folder are refused.

- Of a training checkpoint the model is read: the mapping under `state_dict`, `model_state_dict`, `model`, `net`,
  `network`, `module`, `params` or `weights`, else the one copy there is (`ema`, `params_ema`, `teacher`, ...). Where
  there are several, `reason` names the one that is read and the others; of several copies alone (`student` and
  `teacher`) all are, under their keys. Other mappings and lists of tensors have their keys before the names;
  optimizers, schedulers and the like are left out.
- GGUF: `dtype` is the type that was decoded. Values are those of the file: what llama.cpp's converter changed is not
  undone (rows of q and k in another order, which changes no singular value; norms with 1 added; transposed weights).
- A frozen TorchScript program has `constants.N` for names; an ONNX weight whose name was lost (`onnx::MatMul_12`) is
  called after its node. Integers of ONNX with one scale or one for each place of an axis (`DequantizeLinear`) are
  dequantised; other integers of ONNX and Keras are named and left out.
- Keras and Flax kernels: inputs before outputs, places of a convolution first; layers have their own names.

A format more is one file: [extending](../CONTRIBUTING.md#a-format).
"""


def page() -> str:
    """The whole page."""
    return HEAD + table(("format", "endings", "what it is", "extra"), map(_row, FORMATS)) + TAIL


def _row(one: Format) -> Sequence[str]:
    endings = ", ".join(f"`{end}`" for end in one.endings)
    return one.name, endings, one.description, f"`{one.extra}`" if one.extra else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
