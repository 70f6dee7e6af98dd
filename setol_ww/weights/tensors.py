"""Where weights come from: every tensor of a module or a mapping, named, unloaded, with what is known about it."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.arrays import dtype_word
from ..core.plain import is_subclass, looked_at
from .exported import called_with
from .layouts.skip import no_weight

if TYPE_CHECKING:
    from .schemes import Recipe

logger = logging.getLogger(__name__)

READABLE = re.compile(r"^(float(16|32|64|96|128)|bfloat16|float8_e\dm\d\w*)$")
QUANTISED = re.compile(r"^(u?int|q|bits|bool|f4)")
NORMALISATION = re.compile(r"^(?!.*(linear|conv|embedding)).*norm", re.IGNORECASE)
# Attributes of modules that tell how their weight is laid out.
FACTS = ("groups", "in_channels", "out_channels", "kernel_size")
# Those of the module that holds it (an attention holds a fused projection).
HOLDER_FACTS = ("num_heads", "head_dim", "head_first")
# Inside `layer.parametrizations.weight` torch keeps the factors of a parametrised weight, and modules with their own.
FACTOR = re.compile(r"(?:^|\.)parametrizations\.(\w+)(?:\.\d+)?$")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
SEALED = "weights that torch has packed into an object of its own: give the module itself, not scripted"
PACKED = re.compile(r"_packed_params\._packed_params$")
# Last words of tensors that belong to packed ones: scales, zero points, tables.
SCALES = re.compile(
    r"(w?scales?|scale_inv|scales_and_zeros|w?zeros?|zero_points?|qzeros|absmax|nested_absmax|quant_map|biases|qbiases|"
    r"(w|weight)_?scales?(_inv|_2)?|weight_zero_point|scale_weight|_scale|_shift|codebooks?|lookup_table|centroids|"
    r"tables2?|su[hv]?|sv[hv]?|\w+_scale_inv|_weight_scale|_weight_zero_point)"
)


@dataclass(frozen=True)
class WeightTensor:
    """One tensor that can be loaded.

    Attributes
    ----------
    name : str
        Full name, as in a state dict.
    shape : tuple of int
    dtype : str
        Without the library's prefix, for instance `bfloat16`.
    load : callable
        Returns the tensor (torch or numpy).
    owner : str
        Class name of the module that holds it; empty for a mapping or a file.
    owner_index : int
        Index of that module in `named_modules()`; -1 without one.
    unfit : str
        Why it cannot be analysed; empty when it can.
    same_as : str
        Name of the entry that stands for this one: a tied weight's first name, or the effective weight that
        this parameter is a factor of.
    effective : bool
        True for a weight computed from parameters (weight norm, spectral norm): analysed, but no parameter.
    file : Path, optional
        Where it lies on disk.
    load_part : callable, optional
        Takes an index of numpy's and returns that part, reading nothing else; where there is none, a part is taken
        out of the loaded tensor.
    facts : mapping
        Attributes of the module that tell a layout (`FACTS`); `holder`, the class of the module that holds it, and
        that one's (`holder.num_heads`, ...: `HOLDER_FACTS`).
    known_as : tuple of str
        Other names of the same tensor in its module.
    recipe : Recipe, optional
        How it is put together from stored tensors, where it is (`setol_ww.weights.schemes`).
    role : str
        What it is to the weight that stands for it (`same_as`): `the scales of`, `a factor of`, ...
    remark : str
        What is to be said of it where it is analysed.
    place : int
        Its place in a directory as WeightWatcher counts; -1 elsewhere.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], Any] = field(repr=False, compare=False)
    owner: str = ""
    owner_index: int = -1
    unfit: str = ""
    same_as: str = ""
    effective: bool = False
    file: Any = None
    load_part: Callable[[tuple], Any] | None = field(default=None, repr=False, compare=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    known_as: tuple[str, ...] = ()
    recipe: Recipe | None = field(default=None, repr=False)
    role: str = ""
    remark: str = ""
    place: int = -1

    def read(self, index: tuple = ()) -> Any:
        """The tensor, or the part of it that `index` names."""
        if not index:
            return self.load()
        return self.load()[index] if self.load_part is None else self.load_part(index)

    @property
    def n_params(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def is_candidate(self) -> bool:
        """True for a tensor of two or more dimensions."""
        return len(self.shape) >= 2


def why_unfit(name: str, shape: tuple[int, ...], dtype: str, names: Container[str] = (), owner: str = "") -> str:
    """Why a tensor is not a weight matrix that can be analysed; empty when it is one.

    `names` are the other names of the model, searched for the scales of a quantised tensor; `owner` is the class of its
    module.
    """
    if 0 in shape:
        return f"it has no elements (shape {' x '.join(map(str, shape))})"
    if QUANTISED.match(dtype):
        return f"integers of type {dtype} are no weights as they stand: an index, or packed values without their scales"
    if not READABLE.match(dtype):
        return f"values of type {dtype} cannot be read as real weights"
    if dtype.startswith("float8") and any(f"{name}{ending}" in names for ending in ("_scale_inv", "_scale")):
        return f"{dtype} values that need the scales stored beside them, which are not applied"
    last = name.rsplit(".", 1)[-1]
    if last.endswith(("bias", "mask")) or SCALES.fullmatch(last):
        return f"'{last}' is no weight matrix"
    if NORMALISATION.match(owner):
        return f"a weight of the normalisation layer {owner}, not a correlation matrix"
    return ""


def mapping_tensors(tensors: Mapping[str, Any]) -> list[WeightTensor]:
    """Entries of a state dict: torch tensors, parameters or numpy arrays by name. Other values are left out.

    A quantised tensor of torch's is three: its integers, their scales and their zero points.
    """
    entries: list[WeightTensor] = []
    first_name: dict[Any, str] = {}
    for key, tensor in tensors.items():
        name = str(key)
        # A packed layer of torch.ao is its weight and its bias; one of float16 is packed as the weight that it is.
        if isinstance(tensor, tuple) and tensor and hasattr(tensor[0], "is_quantized"):
            tensor = tensor[0]
            name = name if tensor.is_quantized else re.sub(PACKED, "weight", name)
        if type(tensor).__name__ == "ScriptObject":
            entries.append(_sealed(name))
            continue
        with looked_at():
            is_quantised = bool(getattr(tensor, "is_quantized", False))
            is_tensor = hasattr(tensor, "dtype") and (hasattr(tensor, "is_nested") or hasattr(tensor, "shape"))
            same_as = first_name.setdefault(_memory(tensor), name) if is_tensor and not is_quantised else ""
        if is_quantised:
            entries += _quantised(name, tensor)
            continue
        if not is_tensor:
            logger.debug("%s is no tensor but %s: left out", name, type(tensor).__name__)
            continue
        entries.append(_entry(name, tensor, tensors, same_as="" if same_as == name else same_as))
    return entries


def module_tensors(model: Any) -> list[WeightTensor]:
    """Entries of a torch module: each parameter once, under its first name, and its buffers.

    A buffer that is called no weight is listed with that reason; one that a quantised module packs is listed too.
    """
    entries: list[WeightTensor] = []
    seen: set[int] = set()
    names = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    also = _other_names(model)
    modules, called = dict(model.named_modules()), called_with(model)
    for index, (prefix, module) in enumerate(modules.items()):
        for last, packed in _packed_weights(module).items():
            name = f"{prefix}.{last}" if prefix else last
            if type(packed).__name__ == "ScriptObject":
                entries.append(_sealed(name))
            elif packed.is_quantized:
                entries += _quantised(name, packed, class_of(module), index)
            else:
                entries.append(_entry(name, packed, names, module, index))
        made_of = _effective_weight(prefix, module)
        if made_of:
            entries.append(_entry(made_of, weight_as_it_acts(module), names, module, index, effective=True))
        for tensor_name, tensor in _own_tensors(module):
            if tensor is None or id(tensor) in seen:
                continue
            seen.add(id(tensor))
            name = f"{prefix}.{tensor_name}" if prefix else tensor_name
            factor = FACTOR.sub(r".\1", prefix).lstrip(".")
            factor = "" if factor == prefix or factor.rpartition(".")[2] != "weight" else factor
            if made_of and tensor_name in ("weight_g", "weight_v", "weight_orig"):
                factor = made_of
            entry = _entry(name, tensor, names, module, index, same_as=factor)
            entry = _as_buffer(entry, tensor_name, module)
            facts = {**entry.facts, **_holder_facts(modules.get(prefix.rpartition(".")[0]))} if prefix else entry.facts
            if name in called:
                owner, groups = called[name]
                entry, facts = replace(entry, owner=owner), {**facts, "groups": groups}
            entries.append(replace(entry, known_as=also.get(id(tensor), ()), facts=facts))
    return entries


def _quantised(name: str, tensor: Any, owner: str = "", index: int = -1) -> list[WeightTensor]:
    """The integers of a quantised tensor of torch's, their scales and their zero points, with axes of the tensor."""
    import torch

    if "channel" in str(tensor.qscheme()):
        sides = [-1 if axis == tensor.q_per_channel_axis() else 1 for axis in range(tensor.dim())]
        scales, zeros = (
            one.reshape(sides) for one in (tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points())
        )
    else:
        scales, zeros = torch.tensor(tensor.q_scale()), torch.tensor(tensor.q_zero_point())
    codes = _entry(name, tensor, ())
    beside = {f"{name}.q_scale": scales, f"{name}.q_zero_point": zeros}
    entries = [replace(codes, load=tensor.int_repr), *(_entry(one, values, ()) for one, values in beside.items())]
    return [replace(entry, owner=owner, owner_index=index) for entry in entries]


def _sealed(name: str) -> WeightTensor:
    """The entry of weights that an object of torch's own keeps, whose shapes it does not tell."""
    return WeightTensor(name, (0, 0), "packed", lambda: None, unfit=SEALED)


def _other_names(model: Any) -> dict[int, tuple[str, ...]]:
    """Every name of each parameter but its first, by identity."""
    names: dict[int, list[str]] = {}
    for name, tensor in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(tensor), []).append(name)
    return {key: tuple(found[1:]) for key, found in names.items()}


def _entry(
    name: str,
    tensor: Any,
    names: Container[str],
    module: Any = None,
    index: int = -1,
    same_as: str = "",
    effective: bool = False,
) -> WeightTensor:
    with looked_at():
        unusual = _unusual(tensor)
        # Lazy and nested tensors have no shape to ask for; they count as weights of unknown size.
        shape = (0, 0) if unusual.startswith("its shape") else tuple(int(side) for side in tensor.shape)
        dtype = dtype_word(tensor.dtype)
    owner = class_of(module) if module is not None else ""
    unfit = unusual or why_unfit(name, shape, dtype, names, "" if same_as else owner)
    # An effective weight is computed anew at each access, so the module is asked when it is needed.
    load = (lambda: weight_as_it_acts(module)) if effective else (lambda: tensor)
    facts = _facts_of(module, FACTS)
    return WeightTensor(name, shape, dtype, load, owner, index, unfit, same_as, effective, facts=facts)


def _unusual(tensor: Any) -> str:
    """Why a tensor has no values to look at; empty for an ordinary one."""
    if "Uninitialized" in type(tensor).__name__:
        return "its shape is not known before the first forward pass"
    if getattr(tensor, "is_nested", False):
        return "its shape is not that of a matrix: it is a nested tensor"
    if getattr(tensor, "is_meta", False):
        return "it lies on the meta device and has no values"
    layout = str(getattr(tensor, "layout", "strided"))
    if "sparse" in layout:
        return f"it is a sparse tensor ({layout})"
    if "strided" not in layout:
        return f"its values lie in the layout {layout}: give its to_dense()"
    if hasattr(tensor, "tocoo"):
        return f"it is a sparse matrix ({type(tensor).__name__}): give its toarray()"
    return ""


def class_of(module: Any) -> str:
    """The name of a module's class; of a scripted or traced one that of the class it was made from."""
    original = getattr(module, "original_name", None)
    return original if isinstance(original, str) and original else type(module).__name__


def _facts_of(module: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """What a module says of itself under these names: numbers, and tuples of them."""
    found = {name: getattr(module, name, None) for name in names}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, int)
        or (isinstance(value, (tuple, list)) and value and all(isinstance(one, int) for one in value))
    }


def _holder_facts(holder: Any) -> dict[str, Any]:
    """What is known of the module that holds another: its class, and its numbers of heads."""
    kind = type(holder)
    facts = {f"holder.{name}": value for name, value in _facts_of(holder, HOLDER_FACTS).items()}
    return {"holder": f"{kind.__module__}.{kind.__qualname__}", **facts}


def _as_buffer(entry: WeightTensor, name: str, module: Any) -> WeightTensor:
    """A buffer that is called no weight, with that as the reason why it is not analysed."""
    if name in module._parameters or "weight" in name or entry.unfit or entry.same_as:
        return entry
    what = no_weight(entry.name) or "a buffer, which is not trained"
    return replace(entry, unfit=f"no weight: '{name}' is {what}")


def config_of_module(model: Any) -> dict[str, Any]:
    """The config that a model of transformers or diffusers carries along; empty for any other."""
    config = getattr(model, "config", None)
    if isinstance(config, Mapping):
        return dict(config)
    told = getattr(config, "to_dict", None)
    said = told() if callable(told) and not isinstance(config, type) else {}
    return dict(said) if isinstance(said, Mapping) else {}


def _packed_weights(module: Any) -> dict[str, Any]:
    """The weights that a quantised module of torch.ao keeps packed, by name; none for any other module."""
    sealed = getattr(module, "_packed_params", None)
    if sealed is not None and callable(getattr(module, "weight", None)):
        found = {"weight": module.weight()}
    elif type(sealed).__name__ == "ScriptObject":
        # The layer that holds it has been asked, but where it is scripted.
        found = {"_packed_params": sealed} if hasattr(module, "original_name") else {}
    elif type(module).__module__ == "torch.ao.nn.quantized.dynamic.modules.rnn" and hasattr(module, "get_weight"):
        found = module.get_weight()
    else:
        return {}
    return found


def _own_tensors(module: Any) -> Iterator[tuple[str, Any]]:
    """Its parameters, and its buffers but for masks and vectors that belong to a weight."""
    yield from module.named_parameters(recurse=False)
    for name, buffer in module.named_buffers(recurse=False):
        of_a_weight = re.fullmatch(r"(.+)_(mask|u|v)", name)
        is_computed_from = of_a_weight and f"{of_a_weight[1]}_orig" in module._parameters
        # What a module computes its `weight` from is asked of the module; other names are put together from these.
        if of_a_weight and (of_a_weight[1] == "weight" if is_computed_from else hasattr(module, of_a_weight[1])):
            continue
        if buffer is not None:
            yield name, buffer


def _effective_weight(prefix: str, module: Any) -> str:
    """Name of a weight that the module computes from others (parametrised, weight norm), else empty."""
    if not is_computed(module):
        return ""
    try:
        weight = weight_as_it_acts(module)
    except RuntimeError as error:
        logger.debug("%s has a weight that cannot be computed: %s", prefix, error)
        return ""
    if not hasattr(weight, "dim"):
        return ""
    return f"{prefix}.weight" if prefix else "weight"


def is_computed(module: Any) -> bool:
    """True where the weight of a module is computed from other tensors of it."""
    return "weight" in getattr(module, "parametrizations", {}) or any(
        name in getattr(module, "_parameters", {}) for name in ("weight_v", "weight_orig")
    )


def weight_as_it_acts(module: Any) -> Any:
    """The weight with which a module acts in evaluation mode, as its parameters are now; None where it has none.

    Nothing of the module changes: no flag is set, no power iteration steps, no hook of the host is called.

    Examples
    --------
    >>> import torch
    >>> module = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(3, 2))
    >>> weight_as_it_acts(module).shape, module.training
    (torch.Size([2, 3]), True)
    """
    if not is_computed(module):
        return getattr(module, "weight", None)
    if "weight" in getattr(module, "parametrizations", {}):
        return _at_rest(module.parametrizations["weight"]).forward().detach()
    weight = _hooked(module)
    return weight.detach() if hasattr(weight, "detach") else weight


def _hooked(module: Any) -> Any:
    """What the hooks of torch.nn.utils write to `module.weight` before each forward pass, only computed."""
    from torch.nn.utils.prune import BasePruningMethod

    for hook in module._forward_pre_hooks.values():
        if getattr(hook, "name", getattr(hook, "_tensor_name", "")) != "weight":
            continue
        kind = f"{type(hook).__module__}.{type(hook).__name__}"
        if kind == "torch.nn.utils.spectral_norm.SpectralNorm":
            return hook.compute_weight(module, do_power_iteration=False)
        if kind == "torch.nn.utils.weight_norm.WeightNorm":
            return hook.compute_weight(module)
        if isinstance(hook, BasePruningMethod):
            return hook.apply_mask(module)
    return getattr(module, "weight", None)


def _at_rest(module: Any) -> Any:
    """A copy of a module in evaluation mode: parameters shared, what a forward pass may write in its own memory."""
    twin = copy.copy(module)
    twin.__dict__.update(
        {name: value.detach().clone() for name, value in vars(module).items() if hasattr(value, "detach")},
        training=False,
        _parameters={name: value if value is None else value.detach() for name, value in module._parameters.items()},
        _buffers={name: value if value is None else value.clone() for name, value in module._buffers.items()},
        _modules={name: part if part is None else _at_rest(part) for name, part in module._modules.items()},
        **{name: type(hooks)() for name, hooks in vars(module).items() if name in HOOKS},
    )
    return twin


def _memory(tensor: Any) -> Any:
    """What two names of one tensor have in common: its object, or for torch its storage, shape and strides."""
    # Tensors of other classes may have no memory of their own.
    if not hasattr(tensor, "data_ptr") or is_subclass(tensor) or _unusual(tensor) or not tensor.numel():
        return id(tensor)
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), dtype_word(tensor.dtype)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts `layers.2` before `layers.10`.

    Numbers compare by the length of their digits and then as text, so that no number is too long.

    >>> sorted(["layers.10", "layers.2", "layers"], key=natural_key)
    ['layers', 'layers.2', 'layers.10']
    """
    return [_piece_key(piece) for piece in re.split(r"([0-9]+)", name) if piece]


def _piece_key(piece: str) -> tuple[int, int, str]:
    if not "0" <= piece[0] <= "9":
        return 1, 0, piece
    digits = piece.lstrip("0")
    return 0, len(digits), digits
