"""What the pickles of torch and numpy call to make tensors, storages and arrays, each made into what is known of it.

Named after the functions of `torch._utils` and `numpy._core.multiarray` for which they stand.
"""

from __future__ import annotations

import math
import re
import struct
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.arrays import dtype_word
from .blocks import Block, MemoryBlock
from .handle import Refused
from .pickles import MAX_ARGUMENTS, Buildable, Constructor, Global, Machine, Placeholder, hashable
from .stored import Stored, contiguous, refuse_more_slices_than_bytes, shape_of, size_of, sizes_of

ITEMSIZES = {
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32", "complex32", "qint32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16", "bits16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "qint8", "quint8", "quint4x2", "quint2x4", "bits8"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"), 1),
    **dict.fromkeys(("float4_e2m1fn_x2", "bits1x8", "bits2x4", "bits4x2"), 1),
    "complex128": 16,
}
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "QUInt8Storage": "quint8",
    "QInt8Storage": "qint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
    "UntypedStorage": "uint8",
}
# What the integers of a quantised tensor are.
QUANTISED = {"qint8": "int8", "quint8": "uint8", "qint32": "int32"}
NUMPY_CODE = re.compile(r"[biufcSUVmMO]\d{0,9}|\?")


@dataclass(frozen=True)
class Storage:
    """A run of values that tensors are cut from; `first` is where it begins in its block, in elements."""

    dtype: str
    itemsize: int
    size: int
    block: Block
    key: Any
    first: int = 0
    swapped: bool = False


def storage_type(what: Any) -> tuple[str, int]:
    """Type and bytes of the elements of a class of storages."""
    if not isinstance(what, Global) or what.module.split(".")[0] != "torch" or what.name not in STORAGES:
        raise Refused(f"a storage of the class {str(what)[:80] if isinstance(what, Global) else 'of no name'}")
    dtype = STORAGES[what.name]
    return dtype, ITEMSIZES[dtype]


class Maker:
    """The constructors for one file, which knows how many bytes there are to make tensors of."""

    def __init__(self, file_size: int) -> None:
        self.file_size = file_size
        torch_utils: dict[str, Constructor] = {
            "_rebuild_tensor": self.tensor,
            "_rebuild_tensor_v2": self.tensor,
            "_rebuild_tensor_v3": self.typed_tensor,
            "_rebuild_parameter": _first,
            "_rebuild_parameter_with_state": _first,
            "_rebuild_qtensor": self.quantised,
            "_rebuild_sparse_tensor": self.sparse,
            "_rebuild_nested_tensor": self.nested,
            "_rebuild_meta_tensor_no_storage": self.meta,
            "_rebuild_wrapper_subclass": self.subclass,
            "_rebuild_device_tensor_from_numpy": self.elsewhere,
            "_rebuild_device_tensor_from_cpu_tensor": self.elsewhere,
            "_rebuild_xla_tensor": self.elsewhere,
        }
        arrays: dict[str, Constructor] = {"_reconstruct": self.array, "scalar": self.scalar}
        self.table: dict[tuple[str, str], Constructor] = {
            **{("torch._utils", name): make for name, make in torch_utils.items()},
            ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
            ("torch._tensor", "_rebuild_from_type"): _rebuild_from_type,
            ("torch.nn.parameter", "Parameter"): _first,
            ("torch", "Size"): _size,
            ("collections", "OrderedDict"): _ordered,
            ("collections", "defaultdict"): lambda machine, *args: {},
            ("collections", "Counter"): lambda machine, *args: args[0] if args and isinstance(args[0], dict) else {},
            **{(module, kind): _set for module in ("builtins", "__builtin__") for kind in ("set", "frozenset")},
            ("_codecs", "encode"): _encode,
            ("numpy", "dtype"): lambda machine, code, *rest: Dtype(code),
            **{(f"numpy.{core}.multiarray", name): make for core in ("core", "_core") for name, make in arrays.items()},
            **{(f"numpy.{core}.numeric", "_frombuffer"): self.from_buffer for core in ("core", "_core")},
        }

    def tensor(self, machine: Machine, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Stored:
        metadata = rest[2] if len(rest) > 2 and isinstance(rest[2], dict) else {}
        lazily = [word for word in ("conj", "neg") if metadata.get(word)]
        unfit = f"its values are to be changed when they are read ({', '.join(lazily)})" if lazily else ""
        return self.cut(storage, offset, size, stride, unfit=unfit)

    def typed_tensor(self, machine: Machine, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Stored:
        return self.cut(storage, offset, size, stride, _torch_dtype(rest[2] if len(rest) > 2 else None))

    def cut(self, storage: Any, offset: Any, size: Any, stride: Any, dtype: str = "", unfit: str = "") -> Stored:
        """A tensor from a storage, which has to hold all of it."""
        if not isinstance(storage, Storage):
            raise Refused("a tensor without a storage")
        shape, strides, offset = shape_of(size), sizes_of(stride, "stride"), size_of(offset, "storage offset")
        if len(shape) != len(strides):
            raise Refused(f"a tensor of {len(shape)} dimensions with {len(strides)} strides")
        dtype = dtype or storage.dtype
        itemsize = ITEMSIZES[dtype]
        # An index along an axis of one element is never a step.
        strides = tuple(1 if side == 1 else step for side, step in zip(shape, strides))
        first = storage.first * storage.itemsize // itemsize + offset
        made = Stored(shape, strides, dtype, itemsize, storage.block, first, swapped=storage.swapped, unfit=unfit)
        last = made.span()[1] - first + offset
        if made.n_elements and last * itemsize > storage.size * storage.itemsize:
            raise Refused(f"the shape {shape} with strides {strides} at {offset} in a storage of {storage.size} values")
        if made.n_elements * itemsize > self.file_size and made.n_elements > last - offset:
            raise Refused(f"the shape {shape} with strides {strides} repeats values beyond the size of the file")
        refuse_more_slices_than_bytes(shape, self.file_size)
        key = (storage.key, first * itemsize, shape, strides, dtype) if made.n_elements else None
        return replace(made, key=key)

    def quantised(self, machine: Machine, storage: Any, offset: Any, size: Any, *rest: Any) -> Any:
        """Its integers, with scales and zero points as tensors of their own; what is packed has no values."""
        dtype = storage.dtype if isinstance(storage, Storage) else "qint8"
        parameters = rest[1] if len(rest) > 1 and isinstance(rest[1], tuple) else ()
        if dtype not in QUANTISED or len(parameters) not in (3, 4) or not isinstance(parameters[0], Global):
            return self.without_values(size, dtype, f"packed or quantised integers of type {dtype} are not weights")
        codes = replace(self.cut(storage, offset, size, rest[0]), code=QUANTISED[dtype])
        kind, scale, zero = parameters[0].name, *parameters[1:3]
        if len(parameters) == 3 and type(scale) is float and type(zero) is int:
            return Quantised(codes, _scalar(scale, "float64", "d"), _scalar(zero, "int64", "q"))
        per_channel = kind in ("per_channel_affine", "per_channel_affine_float_qparams")
        axis = parameters[-1]
        if not (per_channel and isinstance(scale, Stored) and isinstance(zero, Stored) and type(axis) is int):
            raise Refused("a quantised tensor without its scales")
        if not 0 <= axis < len(codes.shape) or scale.shape != (codes.shape[axis],) or zero.shape != scale.shape:
            raise Refused(f"scales of the shape {scale.shape} along axis {axis} of a tensor of the shape {codes.shape}")
        return Quantised(codes, _along(scale, axis, len(codes.shape)), _along(zero, axis, len(codes.shape)))

    def sparse(self, machine: Machine, layout: Any, data: Any) -> Stored:
        if not isinstance(data, tuple) or len(data) < 3:
            raise Refused("a sparse tensor without its parts")
        size = next((part for part in data if _is_size(part)), None)
        dtype = next((part.dtype for part in reversed(data) if isinstance(part, Stored)), "float32")
        word = layout.args[0] if isinstance(layout, Placeholder) and _is_word_tuple(layout.args) else "torch.sparse_coo"
        return self.without_values(size, dtype, f"it is a sparse tensor ({word})")

    def nested(self, machine: Machine, buffer: Any, *rest: Any) -> Stored:
        dtype = buffer.dtype if isinstance(buffer, Stored) else "float32"
        return self.without_values((0, 0), dtype, "its shape is not that of a matrix: it is a nested tensor")

    def meta(self, machine: Machine, dtype: Any, size: Any, *rest: Any) -> Stored:
        return self.without_values(size, _torch_dtype(dtype), "it lies on the meta device and has no values")

    def subclass(self, machine: Machine, cls: Any, dtype: Any, size: Any, *rest: Any) -> Stored:
        return self.without_values(size, _torch_dtype(dtype), f"it is a tensor of the class {str(cls)[:80]}")

    def elsewhere(self, machine: Machine, data: Any, dtype: Any, *rest: Any) -> Stored:
        shape = data.shape if isinstance(data, (Stored, Array)) else (0, 0)
        return self.without_values(shape, _torch_dtype(dtype), "it was saved from a device that torch has no files of")

    def otherwise(self, what: Any, args: tuple[Any, ...]) -> Stored | Placeholder:
        """An object of no known kind; made from a storage it is a tensor all the same, and is not to go unmentioned."""
        storage = next((arg for arg in args[:MAX_ARGUMENTS] if isinstance(arg, Storage)), None)
        if storage is None:
            return Placeholder(what, args)
        unfit = f"its shape is not that of a matrix: {str(what)[:80]} makes it, which is not known here"
        return self.without_values((0, 0), storage.dtype, unfit)

    def without_values(self, size: Any, dtype: str, unfit: str) -> Stored:
        """A tensor of which shape and type are known."""
        shape = shape_of(size)
        refuse_more_slices_than_bytes(shape, self.file_size)
        return Stored(shape, contiguous(shape), dtype, ITEMSIZES.get(dtype, 1), unfit=unfit)

    def array(self, machine: Machine, *args: Any) -> Array:
        return Array(self)

    def scalar(self, machine: Machine, dtype: Any, data: Any = b"") -> Array:
        made = Array(self)
        made.build((1, (), dtype, False, data))
        return made

    def from_buffer(self, machine: Machine, data: Any, dtype: Any, shape: Any, order: Any) -> Array:
        made = Array(self)
        made.build((1, shape, dtype, order == "F", data), native=False)
        return made


@dataclass(frozen=True)
class Quantised:
    """A quantised tensor of torch's: integers, scales and zero points."""

    codes: Stored
    scales: Stored
    zeros: Stored

    def named(self, name: str) -> dict[str, Stored]:
        """The three under names that tell that they belong together."""
        return {name: self.codes, f"{name}.q_scale": self.scales, f"{name}.q_zero_point": self.zeros}


def _scalar(value: float, dtype: str, code: str) -> Stored:
    """A number of the structure as a tensor without axes."""
    packed = struct.pack(f"={code}", value)
    return Stored((), (), dtype, len(packed), MemoryBlock(packed))


def _along(values: Stored, axis: int, dimensions: int) -> Stored:
    """A vector with axes of one element around it."""
    shape, strides = [1] * dimensions, [1] * dimensions
    shape[axis], strides[axis] = values.shape[0], values.strides[0]
    return replace(values, shape=tuple(shape), strides=tuple(strides))


class Dtype(Buildable):
    """A type of numpy's, in the making."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any) -> None:
        self.code = code if isinstance(code, str) and NUMPY_CODE.fullmatch(code) else ""
        self.order = "<" if sys.byteorder == "little" else ">"

    def build(self, state: Any) -> None:
        """Take the byte order; types with fields, units and the like stay unknown."""
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise Refused("a type of numpy's without its byte order")
        if any(part is not None for part in state[2:5]):
            self.code = ""
        if state[1] in "<>":
            self.order = state[1]

    def numpy(self) -> np.dtype:
        """The type itself; object where it is none of plain values."""
        return np.dtype(f"{self.order}{self.code}") if self.code and self.code[0] not in "OmM" else np.dtype(object)


class Array(Buildable):
    """An array of numpy's, in the making."""

    __slots__ = ("maker", "stored")

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.stored: Stored | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Empty before it is known."""
        return self.stored.shape if self.stored is not None else ()

    def build(self, state: Any, native: bool = True) -> None:
        """Take shape, type, order and bytes, which numpy turns into the order of this machine."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], Dtype):
            raise Refused("an array of numpy's without its shape, type and bytes")
        _, size, dtype, fortran, data = state
        shape, kind = shape_of(size), dtype.numpy()
        refuse_more_slices_than_bytes(shape, self.maker.file_size)
        strides = tuple(reversed(contiguous(shape[::-1]))) if fortran is True else contiguous(shape)
        if kind.hasobject or not isinstance(data, bytes):
            unfit = "values of type object cannot be read as real weights: they are pickled"
            self.stored = Stored(shape, strides, dtype_word(kind), kind.itemsize, library="numpy", unfit=unfit)
            return
        if len(data) != math.prod(shape) * kind.itemsize:
            raise Refused(f"an array of the shape {shape} of {kind} in {len(data)} bytes")
        self.stored = Stored(
            shape,
            strides,
            dtype_word(kind),
            kind.itemsize,
            MemoryBlock(data),
            library="numpy",
            code=kind.str,
            swapped=native and not kind.isnative,
        )


def _first(machine: Machine, data: Any, *rest: Any) -> Any:
    return data


def _size(machine: Machine, sizes: Any = ()) -> Any:
    return sizes


def _ordered(machine: Machine, pairs: Any = ()) -> dict[Any, Any]:
    """Python 2 gives the pairs at once, Python 3 sets them afterwards."""
    if not isinstance(pairs, (list, tuple)) or not all(isinstance(pair, (list, tuple)) for pair in pairs):
        raise Refused("an ordered dictionary of something else than pairs")
    machine.copies(len(pairs))
    if any(len(pair) != 2 for pair in pairs):
        raise Refused("an ordered dictionary of something else than pairs")
    return {hashable(key): value for key, value in pairs}


def _set(machine: Machine, items: Any = ()) -> Placeholder:
    """A set, its members not hashed."""
    made = Placeholder(Global("builtins", "set"))
    if isinstance(items, list):
        made.items = items
    return made


def _encode(machine: Machine, text: Any, encoding: Any = "latin1", *rest: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise Refused("bytes written as something else than text")
    machine.copies(len(text))
    return text.encode("latin-1" if encoding != "utf-8" else "utf-8")


def _rebuild_from_type(machine: Machine, function: Any, cls: Any, args: Any, *rest: Any) -> Any:
    """A tensor of a class with attributes of its own: the tensor it is made from."""
    return machine.call(function, args)


def _is_size(part: Any) -> bool:
    return isinstance(part, tuple) and bool(part) and all(type(side) is int for side in part[:64])


def _is_word_tuple(args: Any) -> bool:
    return isinstance(args, tuple) and len(args) == 1 and isinstance(args[0], str) and len(args[0]) < 40


def _torch_dtype(what: Any) -> str:
    if isinstance(what, Global) and what.module == "torch" and what.name in ITEMSIZES:
        return what.name
    raise Refused(f"a tensor of the type {str(what)[:80] if isinstance(what, Global) else 'without a name'}")
