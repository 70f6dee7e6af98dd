"""What is told of the tensors of modules: which class holds them, what they are, and what stands for what."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from setol_ww.weights.plan import plan
from setol_ww.weights.schemes import joined
from setol_ww.weights.tensors import WeightTensor, config_of_module, mapping_tensors, module_tensors


class Held(nn.Module):
    """Parameters and buffers of its own."""

    def __init__(self, **tensors: Any) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            if name.startswith("b_"):
                self.register_buffer(name.removeprefix("b_"), tensor)
            else:
                setattr(self, name, tensor)


class Attention(nn.Module):
    """One fused projection, and what a holder says of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.head_first, self.scale = 2, 4, True, 0.5
        self.qkv = nn.Linear(8, 24)


class WithConfig(nn.Module):
    """A model that brings its config along."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config, self.fc = config, nn.Linear(4, 3)


def weight(*shape: int, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    """A parameter that is not trained, of any type."""
    return nn.Parameter(torch.zeros(shape, dtype=dtype), requires_grad=False)


def tied() -> nn.Module:
    """A head that is the table, and a layer that is used twice."""
    net = nn.Module()
    net.table, net.head = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
    net.head.weight = net.table.weight
    net.first = nn.Linear(4, 4)
    net.second = net.first
    return net


def quantised() -> nn.Module:
    """Layers of eight bits, as torch's dynamic quantisation makes them."""
    net = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 4))
    return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)


def pruned(name: str = "weight") -> nn.Module:
    """A layer with a mask."""
    layer = nn.Linear(4, 3)
    prune.l1_unstructured(layer, name, amount=0.5)
    return nn.Sequential(layer)


#: Last words of what belongs to a packed weight, and one that only looks so.
NO_WEIGHTS = ("w_bias", "scale", "weight_scale", "lookup_table", "w_mask", "qzeros", "su", "codebook", "my_scale_inv")
NO_WEIGHTS += ("scales", "absmax", "w2_scale", "biased", "zero_points", "wscale", "quant_map", "centroids", "_shift")

MODULES: dict[str, Callable[[], nn.Module]] = {
    "dense": lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)),
    "the layer itself": lambda: nn.Linear(4, 3),
    "convolutions": lambda: nn.Sequential(
        nn.Conv1d(4, 6, 3), nn.Conv2d(4, 6, (3, 2)), nn.Conv3d(4, 6, 2), nn.ConvTranspose1d(4, 6, 3),
        nn.ConvTranspose2d(4, 6, 3, groups=2), nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(4, 4, 3, groups=4),
    ),
    "recurrent": lambda: nn.ModuleDict(
        {"lstm": nn.LSTM(5, 4, proj_size=2), "gru": nn.GRU(5, 4, bidirectional=True), "rnn": nn.RNN(5, 4),
         "cell": nn.LSTMCell(5, 4)}
    ),
    "attention": lambda: nn.ModuleDict(
        {"own": nn.MultiheadAttention(8, 2), "apart": nn.MultiheadAttention(8, 2, kdim=4)}
    ),
    "norms": lambda: nn.Sequential(nn.LayerNorm((3, 4)), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.Linear(4, 3)),
    "tables": lambda: nn.Sequential(nn.Embedding(6, 4), nn.EmbeddingBag(6, 4), nn.Bilinear(3, 4, 2)),
    "tied": tied,
    "a holder": Attention,
    "weight norm": lambda: nn.Sequential(weight_norm(nn.Linear(4, 3)), parametrizations.weight_norm(nn.Linear(4, 3))),
    "spectral norm": lambda: nn.Sequential(
        spectral_norm(nn.Linear(4, 3)), parametrizations.spectral_norm(nn.Linear(4, 3)),
        spectral_norm(nn.Conv2d(2, 3, 3)),
    ),
    "orthogonal": lambda: nn.Sequential(parametrizations.orthogonal(nn.Linear(4, 4))),
    "parametrised by itself": lambda: parametrizations.weight_norm(nn.Linear(4, 3)),
    "pruned": pruned,
    "a pruned bias": lambda: pruned("bias"),
    "lists and dicts": lambda: Held(
        one=nn.ParameterList([weight(4, 3), weight(2)]), two=nn.ParameterDict({"a": weight(4, 3)}),
    ),
    "buffers": lambda: Held(
        b_mask=torch.ones(4, 4), b_pe=torch.zeros(4, 4), b_cos_cached=torch.zeros(4, 4), b_some=torch.zeros(4, 4),
        b_weight=torch.zeros(4, 3), b_my_weight=torch.zeros(4, 3), b_other_mask=torch.zeros(4, 3), other=weight(4, 3),
        b_weight_u=torch.zeros(4, 3), b_bias=torch.zeros(4, 3), b_none=None, b_ids=torch.zeros(4, 4, dtype=torch.int64),
    ),
    "no weights by their names": lambda: Held(**{name: weight(4, 3) for name in NO_WEIGHTS}),
    "floats": lambda: Held(
        **{f"w_{name}": weight(4, 3, dtype=getattr(torch, name)) for name in ("float16", "bfloat16", "float64")}
    ),
    "no floats": lambda: nn.ModuleDict(
        {f"m_{name}": Held(w=weight(4, 3, dtype=getattr(torch, name))) for name in ("int8", "bool", "complex64")}
    ),
    "odd ones": lambda: Held(
        empty=weight(0, 3), meta=nn.Parameter(torch.empty(4, 3, device="meta")), number=nn.Parameter(torch.tensor(1.0)),
        sparse=nn.Parameter(torch.eye(4).to_sparse()), csr=nn.Parameter(torch.eye(4).to_sparse_csr()),
        nested=nn.Parameter(torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(1, 3)])), sound=weight(4, 3),
    ),
    "lazy": lambda: nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2)),
    "quantised": quantised,
    "scripted": lambda: torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.Conv1d(4, 6, 3))),
    "exported": lambda: torch.export.export(
        nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Flatten(), nn.Linear(6, 3)), (torch.zeros(1, 4, 3, 3),)
    ).module(),
    "wrapped": lambda: nn.DataParallel(nn.Sequential(nn.Linear(4, 3))),
}  # fmt: skip

#: Mappings as users hold them.
MAPPINGS: dict[str, Callable[[], dict[Any, Any]]] = {
    "arrays": lambda: {"a.weight": np.zeros((4, 3)), 7: np.zeros((4, 3), ">f4"), "n": 3, "text": "no tensor"},
    "the same memory": lambda: (lambda one: {"a.weight": one, "b.weight": one, "c.weight": one.T, "d.weight": one[:2]})(
        torch.ones(4, 4)
    ),
    "the same object": lambda: (lambda one: {"a.weight": one, "b.weight": one})(np.zeros((4, 3))),
    "empty ones": lambda: {"a.weight": torch.zeros(0, 3), "b.weight": torch.zeros(0, 3)},
    "quantised": lambda: {
        "a.weight": torch.quantize_per_tensor(torch.ones(4, 3), 0.1, 0, torch.qint8),
        **{
            f"{name}.weight": torch.quantize_per_channel(
                torch.ones(4, 3), torch.ones(side), torch.zeros(side, dtype=int), axis, torch.qint8
            )
            for name, side, axis in (("b", 4, 0), ("c", 3, 1))
        },
    },
    "packed": lambda: quantised().state_dict(),
    "float8 and its scales": lambda: {
        **{f"{name}.weight": torch.zeros(4, 3, dtype=torch.float8_e4m3fn) for name in "abc"},
        "a.weight_scale": torch.ones(4, 2, 7), "c.weight_scale_inv": torch.ones(1),
    },
}  # fmt: skip


def modules() -> str:
    """The entries and rows of every module and mapping."""
    texts = []
    with warnings.catch_warnings(), torch.random.fork_rng([]):
        # Old functions of torch's, which users still call.
        warnings.simplefilter("ignore")
        for name, make in MODULES.items():
            model = make()
            texts.append(f"# {name}\n{told_of(joined(module_tensors(model), config_of_module(model)))}")
        for name, mapping in MAPPINGS.items():
            texts.append(f"# a mapping: {name}\n{told_of(joined(mapping_tensors(mapping())))}")
    configs = ({"model_type": "a"}, type("Config", (), {"to_dict": lambda self: {"b": 1}})(), dict, "text", None)
    told = [config_of_module(WithConfig(config)) for config in configs]
    texts.append("# configs\n" + "\n".join(map(str, told)))
    return "\n\n".join(texts)


def told_of(entries: list[WeightTensor]) -> str:
    """Every entry, and the rows of those that hold matrices."""
    seen = [entry for entry in entries if entry.is_candidate or "bias" not in entry.unfit]
    return "\n".join([*map(entry_line, seen), *(f"  -> {job.layer_id} {job_line(job)}" for job in plan(entries))])


def entry_line(entry: WeightTensor) -> str:
    """An entry with the class that holds it and what that says."""
    # Where a graph or a script holds it, the class is torch's own of the day.
    own = {name: value for name, value in entry.facts.items() if not str(value).startswith(("torch.fx", "torch.jit"))}
    facts = ", ".join(f"{name} {value}" for name, value in own.items())
    more = {
        f"{entry.role or 'tied to'} {entry.same_as}": entry.same_as,
        f"unfit: {entry.unfit}": entry.unfit,
        f"remark: {entry.remark}": entry.remark,
        f"known as {', '.join(entry.known_as)}": entry.known_as,
        "acts": entry.effective,
        "no candidate": not entry.is_candidate,
    }
    said = "; ".join(text for text, held in more.items() if held)
    owner = f" of {entry.owner} ({entry.owner_index}; {facts})" if entry.owner else ""
    return f"{entry.name} {entry.dtype} {entry.shape} {entry.n_params}{owner}{': ' if said else ''}{said}"


def job_line(job: Any) -> str:
    """A row to come."""
    known = job.identity()
    words = {name: known[name] for name in ("longname", "slice", "layer_type", "N", "M", "rf", "layout", "layout_from")}
    left = f": {job.note}" if job.note else ""
    also = f" ({', '.join(sorted(job.known_as))})" if job.known_as else ""
    return " ".join(str(word) for word in words.values() if word not in ("", None)) + also + left
