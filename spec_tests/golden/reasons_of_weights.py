"""What is said of weights that are stored in parts, whole and with a part missing, cut or of another type."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fixtures import schemes as zoo
from setol_ww.weights.schemes import joined
from setol_ww.weights.tensors import WeightTensor, mapping_tensors, module_tensors

from .kept_words import Call


def read_as(tensors: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """A line for every tensor: its name, what it is read as, and what is said of it."""
    return [f"{one.name}: {words(one)}" for one in joined(mapping_tensors(tensors), config)]


def words(one: WeightTensor) -> str:
    """What a tensor is read as, else why it is not."""
    if one.same_as:
        return f"a part of {one.same_as}"
    return one.unfit or f"{one.dtype}{one.remark and f', {one.remark}'}"


def whole(name: str) -> Call:
    """Of a scheme as it is stored, with its config and without."""

    def call(_: object) -> str:
        stored = zoo.ZOO[name](np.random.default_rng(0))
        with_it, without = (read_as(stored.tensors, config) for config in (stored.config, {}))
        return "\n".join([*with_it, *(f"without a config, {line}" for line in without if line not in with_it)])

    return call


def changed(name: str, change: Callable[[dict[str, Any], str], None]) -> Call:
    """What is said anew after a change of one tensor, and of which: once, whatever the tensors that it is said of."""

    def call(_: object) -> str:
        stored = zoo.ZOO[name](np.random.default_rng(0))
        before, found = set(read_as(stored.tensors, stored.config)), dict[str, list[str]]()
        for one in stored.tensors:
            tensors = dict(stored.tensors)
            change(tensors, one)
            for new in sorted({line.partition(": ")[2] for line in read_as(tensors, stored.config)} - OF_ITSELF):
                if not any(line.endswith(f": {new}") for line in before):
                    found.setdefault(new, []).append(one)
        return "\n".join(f"{', '.join(names)}: {new}" for new, names in found.items()) or "nothing new"

    return call


def gone(tensors: dict[str, Any], name: str) -> None:
    del tensors[name]


def cut(tensors: dict[str, Any], name: str) -> None:
    """Without the last of its first axis; a number becomes two."""
    value = tensors[name]
    tensors[name] = value[:-1] if value.ndim else torch.stack([value, value])


def whole_numbers(tensors: dict[str, Any], name: str) -> None:
    tensors[name] = torch.zeros(tensors[name].shape, dtype=torch.int16)


#: What is said of a tensor without a look at others.
OF_ITSELF = {"float32", "float16", "int64"}

CALLS: dict[str, Call] = {
    **{f"{name}, whole": whole(name) for name in zoo.ZOO},
    **{f"{name}, a part gone": changed(name, gone) for name in zoo.ZOO},
    **{f"{name}, a part cut": changed(name, cut) for name in zoo.ZOO},
    **{f"{name}, a part of int16": changed(name, whole_numbers) for name in zoo.ZOO},
}


# A tensor by itself, and parts that the zoo has not.


def of(**tensors: Any) -> Call:
    """What is said of a few tensors; in their names two underlines are a dot."""
    return lambda _: "\n".join(read_as({name.replace("__", "."): one for name, one in tensors.items()}, {}))


def configured(config: Mapping[str, Any], name: str) -> Call:
    """Of a scheme with another config than its own."""
    return lambda _: "\n".join(read_as(zoo.ZOO[name](np.random.default_rng(0)).tensors, config))


def beside(name: str, **more: Any) -> Call:
    """Of a scheme with other tensors beside it, their names behind that of its layer."""

    def call(_: object) -> str:
        stored = zoo.ZOO[name](np.random.default_rng(0))
        tensors = {**stored.tensors, **{f"m.fc.{one}": value for one, value in more.items()}}
        return "\n".join(read_as(tensors, stored.config))

    return call


class Blocked:
    """Stands for a tensor of a layout that has no strides."""

    dtype, shape, layout, is_nested = torch.float32, (20, 16), "torch._mkldnn", False


def marker(format_: str) -> torch.Tensor:
    """How ComfyUI marks a layer."""
    return torch.from_numpy(np.frombuffer(json.dumps({"format": format_}).encode(), np.uint8).copy())


def of_other_channels(_: object) -> str:
    """Integers of torch's with scales that are not those of its rows."""
    with warnings.catch_warnings():
        # torch says that it will give up such tensors; files of them stay.
        warnings.simplefilter("ignore")
        whole = torch.quantize_per_channel(ONES, ONES[:, 0], ONES[:, 0] * 0, 0, torch.qint8)
    entries = mapping_tensors({"fc.weight": whole})
    entries = [replace(one, shape=(7,)) if one.name.endswith("q_scale") else one for one in entries]
    return "\n".join(f"{one.name}: {words(one)}" for one in joined(entries, {}))


def normalised(_: object) -> str:
    """A weight of two axes in a normalisation."""
    return "\n".join(f"{one.name}: {words(one)}" for one in module_tensors(torch.nn.LayerNorm((20, 16))))


ONES, BYTES = torch.ones(20, 16), torch.zeros(20, 16, dtype=torch.uint8)
ALONE: dict[str, Call] = {
    "no elements": of(fc__weight=torch.ones(3, 0)),
    "words": of(fc__weight=np.array([["a", "b"]])),
    "float8 beside a scale that is none": of(fc__weight=ONES.to(torch.float8_e4m3fn), fc__weight_scale=torch.ones(())),
    "a normalisation": normalised,
    "coordinates": of(fc__weight=ONES.to_sparse()),
    "another layout": of(fc__weight=Blocked()),
    "experts without scales": of(mlp__w1_blocks=torch.zeros(4, 8, 2, 16, dtype=torch.uint8)),
    "scores of a mask": of(fc__weight=ONES, fc__scores=ONES),
    "scores of rows": of(fc__weight=ONES, fc__mask_scores=torch.ones(20, 1)),
    "a mask beside": of(fc__weight=ONES, fc__mask=BYTES.bool()),
    "an original without its mask": of(fc__weight_orig=ONES),
    "an original and a smaller mask": of(fc__weight_orig=ONES, fc__weight_mask=ONES[:3]),
    "an original and its mask": of(fc__weight_orig=ONES, fc__weight_mask=ONES),
    "a spectral norm without v": of(fc__weight_orig=ONES, fc__weight_u=torch.ones(20)),
    "a spectral norm of other lengths": of(
        fc__weight_orig=ONES, fc__weight_u=torch.ones(7), fc__weight_v=torch.ones(16)
    ),
    "a spectral norm": of(fc__weight_orig=ONES, fc__weight_u=torch.ones(20), fc__weight_v=torch.ones(16)),
    "a strange parametrisation": of(
        fc__parametrizations__weight__original=ONES, fc__parametrizations__weight__0__base=torch.ones(20)
    ),
    "norms without a direction": of(fc__weight_g=torch.ones(20, 1)),
    "a direction without norms": of(fc__weight_v=ONES),
    "norms of another length": of(fc__weight_g=torch.ones(7, 1), fc__weight_v=ONES),
    "a weight norm": of(fc__weight_g=torch.ones(20, 1), fc__weight_v=ONES),
    "parametrised twice": of(
        fc__parametrizations__weight__original0=torch.ones(20, 1),
        fc__parametrizations__weight__original1=ONES,
        fc__parametrizations__weight__1__base=torch.ones(20),
    ),
    "quantised, scales of other channels": of_other_channels,
    "AdaLoRA": beside("lora in memory", **{"lora_E.default": torch.ones(4, 1)}),
    "DoRA of other rows": beside("lora in memory", **{"lora_magnitude_vector.default.weight": torch.ones(7)}),
    "AWQ turned": beside("awq", theta=ONES),
    "AWQ of another version": configured({"quantization_config": {"version": "marlin"}}, "awq"),
    "GPTQ repacked": configured({"quantization_config": {"checkpoint_format": "marlin"}}, "gptq"),
    "MLX of a config that fits nothing": configured({"quantization": {"bits": 7}}, "mlx"),
    "ComfyUI, marked": beside("fp8 ComfyUI", comfy_quant=marker("hadamard")),
    "four bits, marked": beside("nvfp4", pre_quant_scale=torch.ones(4)),
    "int8 in tiles": beside("int8", weight_format=torch.ones((), dtype=torch.uint8)),
}
CALLS |= ALONE
