"""What a scheme is: how a weight is put together from stored tensors, told from names, shapes, types and the config."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..tensors import WeightTensor

FLOATS = ("float16", "bfloat16", "float32", "float64")
FLOAT8 = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
E8M0 = ("float8_e8m0fnu", "f8_e8m0", "uint8")
BYTES = ("uint8", "int8")
#: What to do about a parametrised weight that only its module can compute.
SAVE_COMPUTED = "save the weight as the module computes it (torch.nn.utils.parametrize.remove_parametrizations)"


@dataclass(frozen=True)
class Ingredient:
    """One stored tensor of a weight.

    Attributes
    ----------
    role : str
        What it is to the weight: `codes`, `scales`, `zeros`, ...
    name : str
        Its name where it is stored.
    shape, dtype
    file : str
        Where it lies; empty in memory.
    """

    role: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    file: str = ""


@dataclass(frozen=True)
class Recipe:
    """How a weight is put together. Small and picklable: it goes to workers.

    Attributes
    ----------
    scheme : str
        Name in the registry.
    name : str
        Of the weight, as a module calls it.
    shape : tuple of int
        Of the weight.
    dtype : str
        What was undone, for the column `dtype`.
    parts : tuple of Ingredient
        The first is the one in whose place the weight stands.
    settings : tuple of (str, value)
        Bits, group sizes, ...
    layout : str
        What the weight is in words, where it is not the layer's whole weight.
    remark : str
        What is to be said of it in the column `reason`.
    """

    scheme: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    parts: tuple[Ingredient, ...]
    settings: tuple[tuple[str, Any], ...] = ()
    layout: str = ""
    remark: str = ""

    @property
    def is_update(self) -> bool:
        """True for the update of an adapter whose base is not here."""
        return bool(self.layout)

    @property
    def main(self) -> Ingredient:
        """The part in whose place the weight stands."""
        return self.parts[0]

    @property
    def files(self) -> tuple[str, ...]:
        """The files it is read from."""
        return tuple(dict.fromkeys(part.file for part in self.parts if part.file))

    def setting(self, name: str) -> Any:
        """A parameter; None without it."""
        return dict(self.settings).get(name)

    def part(self, role: str) -> Ingredient:
        """The part of a role."""
        return next(part for part in self.parts if part.role == role)

    def has(self, role: str) -> bool:
        """True where there is a part of that role."""
        return any(part.role == role for part in self.parts)


@dataclass(frozen=True)
class Refusal:
    """Tensors that belong together and make no weight here, and why."""

    names: tuple[str, ...]
    reason: str


#: Reads a stored tensor, or the part of it that an index names.
Fetch = Callable[[Ingredient, tuple], Any]
#: The rows of a weight from one to another, along its first axis.
Rows = Callable[[int, int], np.ndarray]


class Parts:
    """The stored tensors of one recipe, to be read by their role."""

    def __init__(self, recipe: Recipe, fetch: Fetch) -> None:
        self.recipe, self._fetch = recipe, fetch

    def raw(self, role: str, index: tuple = ()) -> Any:
        """As it is stored, a tensor of torch's or an array."""
        return self._fetch(self.recipe.part(role), index)

    def __call__(self, role: str, index: tuple = ()) -> np.ndarray:
        """As numpy's: floats of less than 32 bits as float32, packed ones as bytes."""
        return as_numpy(self.raw(role, index))


@dataclass(frozen=True)
class Scheme:
    """One way in which weights are stored in several tensors, or in one that is no matrix by itself.

    Attributes
    ----------
    name : str
    meaning : str
        One line: the formula.
    stored_as : str
        Names of the tensors.
    order : int
        Smaller ones are asked first; a tensor that one has taken no other gets.
    recognise : callable
        `Stock -> recipes and refusals`.
    rows : callable
        `(Recipe, Parts) -> Rows`, in float32 or wider.
    remark : callable
        `(tensor, Stock) -> str`: what to say of a tensor that no scheme has taken and that may not be the weight that
        acts; empty for nothing.
    """

    name: str
    meaning: str
    stored_as: str
    order: int
    recognise: Callable[[Stock], Iterable[Recipe | Refusal]] = field(repr=False)
    rows: Callable[[Recipe, Parts], Rows] = field(repr=False)
    remark: Callable[[WeightTensor, Stock], str] = field(default=lambda tensor, stock: "", repr=False)


class Stock:
    """All tensors of a model by name, and the config beside them; what a scheme has taken is taken."""

    def __init__(self, tensors: Iterable[WeightTensor], config: Mapping[str, Any] | None = None) -> None:
        self.tensors = {tensor.name: tensor for tensor in tensors if not tensor.effective}
        self.config = config or {}
        self.taken: set[str] = set()
        self.refused: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self.tensors and name not in self.taken

    def __getitem__(self, name: str) -> WeightTensor:
        return self.tensors[name]

    def free(self) -> list[WeightTensor]:
        """The tensors that nothing has taken yet."""
        return [tensor for name, tensor in self.tensors.items() if name not in self.taken]

    def ending(self, *words: str) -> Iterator[tuple[str, WeightTensor]]:
        """Tensors whose last word is one of these, and what stands before it."""
        for tensor in self.free():
            base, last = split(tensor.name)
            if last in words:
                yield base, tensor

    def siblings(self, base: str) -> list[str]:
        """Names of the tensors of one module."""
        return self._by_base.get(base, [])

    @cached_property
    def _by_base(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.tensors:
            found.setdefault(split(name)[0], []).append(name)
        return found

    def first(self, *names: str) -> str:
        """The first of these names that is there; empty without one."""
        return next((name for name in names if name in self), "")

    def part(self, role: str, name: str) -> Ingredient:
        """A tensor as the part of a recipe."""
        tensor = self.tensors[name]
        return Ingredient(role, name, tensor.shape, tensor.dtype, "" if tensor.file is None else str(tensor.file))

    def parts(self, **names: str) -> tuple[Ingredient, ...]:
        """Parts by role; roles without a name are left out."""
        return tuple(self.part(role, name) for role, name in names.items() if name)

    def peek(self, name: str) -> np.ndarray:
        """The values of a small tensor that says how others are stored."""
        return as_numpy(self.tensors[name].load())

    def integers(self, name: str) -> tuple[int, ...]:
        """The finite values of such a tensor, as integers."""
        values = self.peek(name).reshape(-1)
        return tuple(int(value) for value in values[np.isfinite(values)])

    @property
    def quantisation(self) -> Mapping[str, Any]:
        """What the config says of quantisation."""
        for key in ("quantization_config", "compression_config", "quantization"):
            found = mapping(self.config.get(key))
            if found:
                return found
        return {}

    @property
    def weights_of_groups(self) -> list[Mapping[str, Any]]:
        """What compressed-tensors says of the weights of each group of layers."""
        groups = mapping(self.quantisation.get("config_groups"))
        return [mapping(mapping(group).get("weights")) for group in groups.values()]


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping of a config; empty for anything else."""
    return value if isinstance(value, Mapping) else {}


def is_of(pattern: str, name: str) -> bool:
    """True where a pattern of a config holds for a name from its beginning; False for one that is no pattern."""
    try:
        return re.match(pattern, name) is not None
    except re.error:
        return False


def split(name: str) -> tuple[str, str]:
    """What stands before the last word of a name, its dot included, and the word.

    >>> split("layers.0.weight"), split("weight")
    (('layers.0.', 'weight'), ('', 'weight'))
    """
    base, dot, last = name.rpartition(".")
    return base + dot, last


def as_numpy(values: Any) -> np.ndarray:
    """Values as numpy's: float64 stays, narrower floats become float32, integers stay, packed ones become bytes."""
    if not hasattr(values, "detach"):
        array = np.asarray(values)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        return array.astype(np.float32) if array.dtype == np.float16 else array
    values = values.detach().cpu()
    word = str(values.dtype).removeprefix("torch.")
    if word == "float4_e2m1fn_x2":
        import torch

        return values.contiguous().view(torch.uint8).numpy()
    if word in ("float64", "bool") or not values.dtype.is_floating_point:
        return values.numpy()
    return values.float().numpy()


def as_torch(values: Any) -> Any:
    """Values as a tensor of torch's, of the type they are stored in."""
    import torch

    return values.detach() if hasattr(values, "detach") else torch.from_numpy(np.array(values))


def by(shape: Iterable[int]) -> str:
    """A shape in words.

    >>> by((64, 32))
    '64 x 32'
    """
    return " x ".join(map(str, shape))


def count(shape: Iterable[int]) -> int:
    """Number of elements."""
    return math.prod(shape)


def listed(names: Iterable[str]) -> str:
    """Names in a sentence, the first six."""
    names = list(names)
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
