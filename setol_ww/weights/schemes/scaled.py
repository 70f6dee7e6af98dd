r"""Codes of eight bits times scales of a tensor, of rows or of blocks: :math:`W = (q - z)\,s` in float32."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .base import E8M0, FLOAT8, FLOATS, Parts, Recipe, Refusal, Rows, Scheme, Stock, by, listed, split
from .bits import e8m0
from .blocks import grid_of, in_words, scale_rows, spread

if TYPE_CHECKING:
    from ..tensors import WeightTensor

#: Names of a module's scales beside `X.weight`.
BESIDE_WEIGHT = ("weight_scale_inv", "weight_scale", "scale_weight", "qscale_weight", "scale")
COMFY = ("float8_e4m3fn", "float8_e5m2", "int8_tensorwise")
ACTIVATIONS = re.compile(r"input|output|act(?!or)|^[kqv]_|scaled")
SCALES = re.compile("scal|amax|absmax")
SHARD = re.compile(r"\d{5}-of-(?!00001)\d{5}")
ALL_SHARDS = "give the folder, or the index of all shards"
SAY = "its `weight_block_size` belongs into the `quantization_config` of the config.json beside it"


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """Tensors of float8 or int8 with their scales under the names in use."""
    for tensor in stock.free():
        is_float8 = tensor.dtype in FLOAT8
        if not is_float8 and tensor.dtype != "int8":
            continue
        name, near = _named(tensor.name)
        scales = stock.first(*near)
        if not scales:
            if is_float8:
                yield from _alone(stock, tensor.name)
            continue
        found = stock[scales]
        plain = found.dtype in FLOATS
        # A byte with two codes of four bits has scales of another kind.
        if not is_float8 and (not plain or len(tensor.shape) < 2):
            continue
        more = stock.first(f"{split(tensor.name)[0]}weight_scale_2")
        if more or not (plain or found.dtype in (*E8M0, *FLOAT8)):
            names = tuple(one for one in (tensor.name, scales, more) if one)
            yield Refusal(names, f"{listed(names)} belong together; scales of {found.dtype} like these are not known")
            continue
        zeros = "" if is_float8 else stock.first(f"{name}_zero_point", f"{tensor.name}_zero_point", _zero_of(scales))
        grid = grid_of(tensor.shape, found.shape, _told(stock))
        if grid is None or (zeros and stock[zeros].shape not in (found.shape, (), (1,))):
            yield Refusal(
                (tensor.name, scales),
                f"{tensor.name} ({by(tensor.shape)}) needs its scales {scales} ({by(found.shape)}), which fit no "
                f"blocks of it that are known; {SAY}",
            )
            continue
        marker = stock.first(f"{split(tensor.name)[0]}comfy_quant")
        if marker and not _is_plain(stock.peek(marker)):
            names = (tensor.name, scales, marker)
            yield Refusal(names, f"{listed(names)} belong together: rotated, or scales in tiles, which is not undone")
            continue
        word = f"{tensor.dtype} x {in_words(tensor.shape, grid)}"
        parts = stock.parts(codes=tensor.name, scales=scales, zeros=zeros)
        yield Recipe("scaled", name, tensor.shape, word, parts, (("grid", grid),))


def _named(name: str) -> tuple[str, list[str]]:
    """What a module calls the weight, and what its scales may be called."""
    base, last = split(name)
    if last == "_data":
        return base.removesuffix("."), [f"{base}_scale"]
    if last.endswith("_qdata"):
        stem = last.removesuffix("_qdata")
        return base + stem.removeprefix("_"), [f"{base}{stem}_scale"]
    near = [f"{base}{word}" for word in BESIDE_WEIGHT] if last == "weight" else []
    return name, [f"{name}_scale_inv", f"{name}_scale", *near]


def _zero_of(scales: str) -> str:
    return f"{scales.removesuffix('_scale')}_zero_point" if scales.endswith("_scale") else ""


def _told(stock: Stock) -> Sequence[int]:
    """The block of the config; empty without one."""
    size = stock.quantisation.get("weight_block_size")
    if isinstance(size, (list, tuple)) and len(size) == 2 and all(type(side) is int and side > 0 for side in size):
        return tuple(size)
    for about in stock.weights_of_groups:
        told = about.get("block_structure")
        if isinstance(told, (list, tuple)) and len(told) == 2 and all(type(side) is int and side > 0 for side in told):
            return tuple(told)
    return ()


def _is_plain(marker: np.ndarray) -> bool:
    """True where the JSON of a ComfyUI marker names a format whose scales lie as they are meant."""
    try:
        about = json.loads(marker.astype(np.uint8).tobytes().decode())
    except ValueError:
        return False
    return isinstance(about, dict) and about.get("format") in COMFY and not about.get("convrot")


def _alone(stock: Stock, name: str) -> Iterator[Refusal]:
    """A float8 tensor beside something called like its scales, which are not those of any known scheme."""
    base, last = split(name)
    stem = last.removesuffix("_data").removesuffix("_qdata").strip("_")
    words = [(one, split(one)[1]) for one in stock.siblings(base) if one != name]
    # `fp8_weight` may have its `fp8_scale`, `weight` any scale of the module.
    like = [one for one, word in words if SCALES.search(word) and stem.removesuffix("weight").strip("_") in word]
    like = [one for one in like if not ACTIVATIONS.search(split(one)[1])]
    like += [one for one in stock.siblings(f"{name}.") if SCALES.search(split(one)[1])]
    if like:
        yield Refusal((name, *like), f"{name} needs its scales, and how {listed(like)} belong to it is not known")
    elif last in ("_data", "_qdata", "_weight_qdata"):
        yield Refusal((name,), f"{name} needs the scales that belong beside it, which are not here")
    elif _is_lone_shard(stock, name):
        yield Refusal((name,), f"{name} is {stock[name].dtype}, and its scales may lie in another shard: {ALL_SHARDS}")


def _is_lone_shard(stock: Stock, name: str) -> bool:
    """True where the tensors are those of one file that by its name is one of several."""
    files = {str(tensor.file) for tensor in stock.tensors.values()}
    return len(files) == 1 and SHARD.search(str(stock[name].file)) is not None


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """The product in float32, row by row, only their scales read."""
    grid, shape = recipe.setting("grid"), recipe.shape
    is_small = recipe.part("scales").shape in ((), (1,)) or not recipe.part("scales").shape

    def grown(role: str, start: int, stop: int) -> np.ndarray:
        part = recipe.part(role)
        if is_small or np.prod(part.shape) == 1:
            return e8m0(parts(role)).reshape((1,) * len(shape)) if role == "scales" else parts(role).reshape(-1)[0]
        which, first = scale_rows(start, stop, grid[0]) if part.shape[0] > 1 else (slice(None), 0)
        values = parts(role, (which,))
        values = e8m0(values) if role == "scales" else values
        values = values.reshape((*values.shape, *(1,) * (len(shape) - values.ndim)))
        return spread(values, grid, (stop - start, *shape[1:]), first)

    def product(start: int, stop: int) -> np.ndarray:
        codes = parts("codes", (slice(start, stop),)).astype(np.float32)
        if recipe.has("zeros"):
            codes -= np.asarray(grown("zeros", start, stop), np.float32)
        return codes * grown("scales", start, stop).astype(np.float32)

    return product


def remark(tensor: WeightTensor, stock: Stock) -> str:
    """Of codes without scales."""
    return f"values of {tensor.dtype} as they are stored: no scales of it are here" if tensor.dtype in FLOAT8 else ""


SCHEME = Scheme(
    "scaled",
    "`W = (q - z) s`, q float8 or int8, one scale, row scales or blocks (DeepSeek, compressed-tensors, FBGEMM, "
    "ModelOpt, ComfyUI, Mistral, torchao, quanto)",
    "`X.weight` with `weight_scale_inv`, `weight_scale`, `scale_weight`, `qscale_weight` or `scale`; "
    "`P` with `P_scale_inv`; `X.weight._data`, `X.weight._scale`; `X._weight_qdata`, `X._weight_scale`",
    60,
    recognise,
    rows,
    remark,
)
