"""Write docs/schemes.md from the registry of schemes.

Claim      The page lists every scheme of storage that is undone, from the one place where each is defined.
Command    python scripts/make_schemes_page.py
Run time   a second.
"""

from __future__ import annotations

from pathlib import Path

from setol_ww.weights.schemes import schemes

PAGE = Path(__file__).resolve().parents[1] / "docs" / "schemes.md"
HEAD = """# How weights are stored

A stored tensor is not always a weight: it may be codes whose scales lie beside it or in another shard, the direction
of a weight norm, the original of a pruned weight, a factor of an update. Such tensors are put together, part by part
when a part is read, and analysed as the weight they mean; its row bears the layer's name, and the column `dtype` says
what was undone. The stored tensors have no row with numbers: their reason says of which weight they are a part.

Values are those of the reference implementations in float32, before a last rounding to the type in which a model
computes. `scan`, `analyze` (checkpoints, state dicts, modules) and `truncate_checkpoint` go by the same list;
truncation leaves such layers whole, copies their tensors as they are and says so in its manifest.

What is not known is skipped, its tensors named together. A `config.json` beside the weights (with its
`quantization_config`, or MLX's `quantization`), `quantize_config.json`, `hf_quant_config.json` and
`adapter_config.json` are read, for group sizes, block sizes and alpha are often nowhere else.

| scheme | what it means | how it is stored |
|---|---|---|
"""
TAIL = """
`z` are zero points, `s` scales, `q` and `c` codes, `g(k)` the group of column k.

Recognised and skipped: Marlin, BitBLAS, QQQ and other layouts repacked for a GPU, AWQ's GEMV orders, ComfyUI's
four-bit and rotated formats, `pre_quant_scale` of ModelOpt, spectral norms without their vectors, other
parametrisations, OFT, BOFT, AdaLoRA, VeRA, GLoRA, Tucker factors, and every module whose packed integers stand beside
tables that no scheme above explains (AQLM, EXL2, EXL3, SqueezeLLM, SVDQuant, VPTQ, QuIP#, EETQ, ...).

A scheme more is one file in `setol_ww/weights/schemes/` with a `SCHEME`, its matrices in `fixtures/schemes.py`, and
this page written anew by `python scripts/make_schemes_page.py`.
"""


def page() -> str:
    """The whole page."""
    rows = ((one.name, one.meaning, one.stored_as) for one in schemes())
    lines = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return HEAD + "\n".join(lines) + "\n" + TAIL


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
