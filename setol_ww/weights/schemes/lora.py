r"""LoRA: :math:`W + s\,B A`, :math:`s = \alpha / r`; the update alone where the base is not here. DoRA too."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import FLOATS, Parts, Recipe, Refusal, Rows, Scheme, Stock, as_torch, by, is_of, listed, mapping

if TYPE_CHECKING:
    from ..tensors import WeightTensor

PEFT = "base_model.model."
#: What a factor is called and what the other one is, beside the layer they belong to.
PAIRS = (
    (re.compile(r"(?P<layer>.+)\.lora_A(?P<adapter>\.[^.]+)?\.weight"), "{layer}.lora_B{adapter}.weight"),
    (re.compile(r"(?P<layer>.+)\.lora_A"), "{layer}.lora_B"),
    (re.compile(r"(?P<layer>.+)\.lora_embedding_A(?P<adapter>\.[^.]+)?"), "{layer}.lora_embedding_B{adapter}"),
    (re.compile(r"(?P<layer>.+)\.lora_down\.weight"), "{layer}.lora_up.weight"),
    (re.compile(r"(?P<layer>.+)(?P<dot>[._])lora\.down\.weight"), "{layer}{dot}lora.up.weight"),
    (re.compile(r"(?P<layer>.+)\.lora_linear_layer\.down\.weight"), "{layer}.lora_linear_layer.up.weight"),
)
MAGNITUDES = (
    "{layer}.lora_magnitude_vector{adapter}.weight",
    "{layer}.lora_magnitude_vector{adapter}",
    "{layer}.dora_scale",
)
#: Updates of other forms, of which only the names are known.
RELATIVES = re.compile(
    r"(.+)\.(hada_[wt]\d(_[ab])?|lokr_[wt]\d(_[ab])?|oft_blocks|oft_diag|lora_mid\.weight|[ab][12]\.weight|"
    r"(vera_[AB]|vera_lambda_[bd]|oft_[rR]|boft_[Rs]|hra_u|delora_(A|B|lambda)|ia3_l|randlora_\w+|fourierft_spectrum|"
    r"waveft_spectrum|c3a_kernel|bone_block|miss_block|road_(theta|alpha))(\.[^.]+)?(\.weight)?)"
)
#: A factor that waits for its other one.
UP = re.compile(r"(?P<layer>.+)\.(lora_(embedding_)?B(\.[^.]+)?(\.weight)?|lora_up\.weight|lora\.up\.weight)")
#: Of one factor of an adapter file without the config that says how much the product counts.
FACTOR = "a factor of an update, as it is stored: its alpha is not here, put adapter_config.json beside the file"
KOHYA = re.compile(r"(lora_(unet|te\d?|transformer)|lycoris)_")


NO_ALPHA = "alpha is not stored beside it (adapter_config.json): the update alone, without its factor alpha / r"


@dataclass(frozen=True)
class _Pair:
    """The two factors of an update, and what they belong to."""

    layer: str
    adapter: str
    down: str
    up: str
    is_embedding: bool
    is_peft: bool


def recognise(stock: Stock) -> Iterator[Recipe | Refusal]:
    """Factors under the names of PEFT, kohya and diffusers, with their base where it is here."""
    yield from _relatives(stock)
    pairs = [pair for tensor in stock.free() if (pair := _pair(tensor.name)) is not None]
    bases = {_underscored(name): name for name in stock.tensors if name.endswith(".weight")}
    number: dict[str, int] = {}
    for pair in pairs:
        number[pair.layer] = number.get(pair.layer, 0) + 1
    for pair in pairs:
        yield from _of(stock, pair, bases, alone=number[pair.layer] > 1)
    paired = {pair.up for pair in pairs}
    for tensor in stock.free():
        if tensor.name not in paired and UP.fullmatch(tensor.name):
            yield Refusal((tensor.name,), f"{tensor.name} is half of an update: its other factor is not here")


def _relatives(stock: Stock) -> Iterator[Refusal]:
    groups: dict[str, list[str]] = {}
    for tensor in stock.free():
        found = RELATIVES.fullmatch(tensor.name)
        is_short = found is not None and re.fullmatch(r"[ab][12]\.weight", found[2])
        if found and (not is_short or all(f"{found[1]}.{one}.weight" in stock for one in ("a1", "a2", "b1", "b2"))):
            groups.setdefault(found[1], []).append(tensor.name)
    for layer, names in groups.items():
        names += [one for one in (f"{layer}.lora_down.weight", f"{layer}.lora_up.weight") if one in stock]
        yield Refusal(
            tuple(names), f"an update of {layer} in {listed(names)}, of a form that is not put together; merge it first"
        )


def _pair(name: str) -> _Pair | None:
    for pattern, other in PAIRS:
        found = pattern.fullmatch(name)
        if found:
            words = {key: value or "" for key, value in found.groupdict().items()}
            is_embedding, adapter = "embedding" in other, words.get("adapter", "")
            up = other.format(**words)
            return _Pair(words["layer"], adapter, name, up, is_embedding, "lora_A" in name or is_embedding)
    return None


def remark(tensor: WeightTensor, stock: Stock) -> str:
    """Of the factors in a file of PEFT's without its config."""
    named = tensor.name.startswith(PEFT) and (_pair(tensor.name) is not None or UP.fullmatch(tensor.name) is not None)
    return FACTOR if named and tensor.file is not None else ""


def _underscored(name: str) -> str:
    return name.removesuffix(".weight").replace(".", "_")


def _of(stock: Stock, pair: _Pair, bases: Mapping[str, str], *, alone: bool) -> Iterator[Recipe | Refusal]:
    if pair.up not in stock:
        yield Refusal((pair.down,), f"{pair.down} is half of an update: its other factor {pair.up} is not here")
        return
    values = stock.first(f"{pair.layer}.lora_E{pair.adapter}", f"{pair.layer}.lora_E{pair.adapter}.weight")
    if values:
        names = (pair.down, pair.up, values)
        yield Refusal(names, f"{listed(names)}: an update of AdaLoRA, which is not put together; merge it first")
        return
    down, up = stock[pair.down], stock[pair.up]
    if len(down.shape) < 2 or len(up.shape) < 2 or {down.dtype, up.dtype} - set(FLOATS):
        yield Refusal(
            (pair.down, pair.up), f"{pair.down} and {pair.up} are no factors: {by(down.shape)}, {by(up.shape)}"
        )
        return
    rank, shape = down.shape[0], (up.shape[0], *down.shape[1:])
    if up.shape[1] != rank or math.prod(up.shape[2:]) != 1:
        yield Refusal(
            (pair.down, pair.up),
            f"{pair.down} ({by(down.shape)}) and {pair.up} ({by(up.shape)}) do not multiply to one update",
        )
        return
    told = mapping(stock.config.get("adapter_config"))
    magnitude = stock.first(*(one.format(layer=pair.layer, adapter=pair.adapter) for one in MAGNITUDES))
    alpha = stock.first(f"{pair.layer}.alpha")
    scale, remark = _scale(told, pair, rank, bool(alpha))
    flipped = pair.is_embedding or (bool(told.get("fan_in_fan_out")) and len(shape) == 2)
    shape = shape[::-1] if flipped else shape
    base = "" if alone else _base(stock, pair, bases)
    if remark and not base and down.file is not None and pair.layer.startswith(PEFT):
        # An adapter of PEFT, which always has its adapter_config.json; without it the factors stay what they are.
        return
    # To add an update on a scale that is not known would be a guess.
    alone = alone or bool(base and remark)
    base = "" if alone else base
    factors = {"down": pair.down, "up": pair.up, "alpha": alpha}
    settings = (("scale", scale), ("rank", rank), ("flipped", flipped))
    if base:
        held = stock[base]
        if held.shape == shape[::-1] != shape and len(shape) == 2:
            settings, shape = (*settings[:2], ("flipped", not flipped)), shape[::-1]
        if held.shape != shape or held.dtype not in FLOATS:
            yield Refusal(
                (pair.down, pair.up),
                f"{pair.down} and {pair.up} make an update of {by(shape)}; {base} is {held.dtype} of {by(held.shape)}",
            )
            return
        rows_of = magnitude and math.prod(stock[magnitude].shape) == shape[0]
        if magnitude and (not rows_of or flipped):
            names = (pair.down, pair.up, magnitude)
            yield Refusal(names, f"{listed(names)}: the magnitudes are not those of the {shape[0]} rows of {base}")
            return
        parts = stock.parts(base=base, **factors, magnitude=magnitude)
        word = f"{held.dtype} + {'DoRA' if magnitude else 'LoRA'} r={rank}"
        name = base.replace(".base_layer.weight", ".weight")
        yield Recipe("lora", name, shape, word, parts, settings, remark=remark)
        return
    if magnitude:
        remark = "; ".join(filter(None, (remark, "the update without the magnitudes of DoRA, which need the base")))
    layer = pair.layer.removeprefix(PEFT)
    layer += f".lora{pair.adapter or ''}" if alone else ""
    parts = (*stock.parts(**factors), *((stock.part("magnitude", magnitude),) if magnitude else ()))
    what = f"LoRA update r={rank}"
    yield Recipe("lora", f"{layer}.weight", shape, f"{down.dtype} {what}", parts, settings, what, remark)


def _base(stock: Stock, pair: _Pair, bases: Mapping[str, str]) -> str:
    """The weight that the update is added to; empty where it is not here, or stored in codes."""
    bare = pair.layer.removeprefix(PEFT)
    near = (f"{pair.layer}.base_layer.weight", f"{pair.layer}.weight", f"{bare}.weight")
    found = stock.first(*near)
    if found or pair.is_peft:
        return found
    named = bases.get(KOHYA.sub("", pair.layer, count=1).replace(".", "_"), "")
    return named if named in stock else ""


def _scale(told: Mapping[str, Any], pair: _Pair, rank: int, has_alpha: bool) -> tuple[float | None, str]:
    """What multiplies the product, None where a stored alpha does; and what is to be said of it."""
    if has_alpha:
        return None, ""
    alpha = told.get("lora_alpha")
    for pattern, own in mapping(told.get("alpha_pattern")).items():
        if is_of(rf"(.*\.)?({pattern})$", pair.layer):
            alpha = own
            break
    if isinstance(alpha, (int, float)):
        return alpha / (math.sqrt(rank) if told.get("use_rslora") else rank), ""
    return 1.0, NO_ALPHA if pair.is_peft else ""


def rows(recipe: Recipe, parts: Parts) -> Rows:
    """The product in the type of the factors, then the sum, row by row."""
    import torch

    down, up = as_torch(parts.raw("down")), as_torch(parts.raw("up"))
    narrow = down.dtype
    scale = recipe.setting("scale")
    if scale is None:
        scale = float(parts("alpha").reshape(-1)[0]) / recipe.setting("rank")
    wide = torch.float64 if narrow == torch.float64 else torch.float32
    left, right = up.flatten(1).to(wide), down.flatten(1).to(wide)
    if recipe.setting("flipped"):
        left, right = right.T, left.T
    magnitude = parts("magnitude").reshape(-1) if recipe.has("magnitude") and recipe.has("base") else None

    def added(start: int, stop: int) -> np.ndarray:
        update = ((left[start:stop] @ right) * scale).to(narrow).to(wide)
        update = update.reshape(stop - start, *recipe.shape[1:]).numpy()
        if not recipe.has("base"):
            return update
        weight = parts("base", (slice(start, stop),)) + update
        if magnitude is None:
            return weight
        length = np.linalg.norm(weight.reshape(stop - start, -1), axis=1)
        factor = magnitude[start:stop] / length
        return factor.reshape(-1, *(1,) * (weight.ndim - 1)).astype(weight.dtype) * weight

    return added


SCHEME = Scheme(
    "lora",
    "`W + s B A`, `s = alpha / r` (`/ sqrt(r)` for rsLoRA), DoRA `m (W + s B A) / |W + s B A|` by rows; the update "
    "`s B A` alone where the base is not here",
    "`P.lora_A.weight`, `P.lora_B.weight`, `P.lora_magnitude_vector` (PEFT, diffusers); `P.lora_down.weight`, "
    "`P.lora_up.weight`, `P.alpha`, `P.dora_scale` (kohya); `P.lora.down.weight`, `P.lora.up.weight` (old diffusers)",
    90,
    recognise,
    rows,
    remark,
)
