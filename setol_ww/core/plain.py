"""Whatever a model or a file holds, as a plain array or tensor with the same values, or the reason why it has none.

Libraries wrap weights in classes of their own: parameters, distributed and quantised tensors, masked arrays, matrices
of another byte order. What computes here sees only a `numpy.ndarray` in the byte order of this machine or a dense
`torch.Tensor`. A tensor is looked at without its own `__torch_function__`, so that none can change what is asked.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from .errors import InvalidInput


def as_computed(tensor: Any) -> Any:
    """The values of `tensor` as a plain array or tensor, not copied where that can be avoided.

    Parameters
    ----------
    tensor : array_like or torch.Tensor
        Of any class, number of dimensions and dtype.

    Returns
    -------
    ndarray or torch.Tensor
        No subclass, without gradient, dense. Arrays in this machine's byte order; long double rounded to float64,
        types that numpy knows only by an extension (bfloat16, float8) widened to float32. Every other dtype stays.

    Raises
    ------
    InvalidInput
        There are no values here to compute with: a meta, fake or sparse tensor, a shard of a tensor whose other
        shards lie in other processes, masked entries, a class that does not give its values. The text says which.

    Examples
    --------
    >>> as_computed(np.array([[1.0, 2.0]], dtype=">f8")).dtype.isnative
    True
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor):
        return _plain_tensor(tensor, torch)
    return _plain_array(tensor)


def looked_at() -> AbstractContextManager[Any]:
    """While it holds, shape, dtype and memory of a tensor are torch's own, whatever its class makes of them."""
    torch = sys.modules.get("torch")
    return nullcontext() if torch is None else torch._C.DisableTorchFunctionSubclass()


def is_subclass(tensor: Any) -> bool:
    """True for a tensor of a class derived from torch's, parameters left aside."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(tensor, torch.Tensor) and not _is_ordinary(tensor, torch)


def _plain_tensor(tensor: Any, torch: Any) -> Any:
    with torch._C.DisableTorchFunctionSubclass():
        return _dense(tensor, torch) if _is_ordinary(tensor, torch) else _unwrapped(tensor, torch)


def _is_ordinary(tensor: Any, torch: Any) -> bool:
    return type(tensor) in (torch.Tensor, torch.nn.Parameter, getattr(torch.nn, "Buffer", torch.Tensor))


def _dense(tensor: Any, torch: Any) -> Any:
    if tensor.is_meta:
        raise InvalidInput("a tensor on the meta device was given, which has no values; accepted is one with values")
    if tensor.is_nested or (tensor.layout is not torch.strided and not tensor.is_mkldnn):
        layout = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
        raise InvalidInput(f"a {layout} tensor was given; accepted is a dense one, as to_dense() gives")
    plain = tensor.detach()
    if tensor.is_mkldnn:
        plain = plain.to_dense()
    if plain.is_quantized:
        plain = plain.dequantize()
    return plain.resolve_conj().resolve_neg()


def _unwrapped(tensor: Any, torch: Any) -> Any:
    """The values of a tensor of a class derived from torch's: what it says itself, else what lies in its memory."""
    kind = f"{type(tensor).__module__}.{type(tensor).__qualname__}"
    if hasattr(tensor, "get_mask") and hasattr(tensor, "get_data"):
        _refuse_masked(int((~tensor.get_mask()).sum()), tensor.numel())
        return as_computed(tensor.get_data())
    if hasattr(tensor, "device_mesh") and hasattr(tensor, "to_local"):
        return as_computed(_local(tensor))
    if getattr(type(tensor), "dequantize", torch.Tensor.dequantize) is not torch.Tensor.dequantize:
        # Its own arithmetic, for which it wants its own functions back.
        with torch._C._EnableTorchFunction(), torch.no_grad():
            values = tensor.dequantize()
        if _is_ordinary(values, torch):
            return _dense(values, torch)
    storage = tensor.untyped_storage()
    try:
        has_memory = storage.device.type != "meta" and (not tensor.numel() or storage.data_ptr() != 0)
    except RuntimeError:
        has_memory = False
    if tensor.layout is not torch.strided or not has_memory:
        raise InvalidInput(
            f"a tensor of type {kind} was given, which holds no values of its own that can be read; accepted is a "
            "plain tensor: give the model with its weights converted (dequantised, gathered) first"
        )
    view = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    view.set_(storage, tensor.storage_offset(), tensor.size(), tensor.stride())
    return view.neg() if tensor.is_neg() else view


def _local(tensor: Any) -> Any:
    """A distributed tensor that is whole in this process; gathering others would wait for every process."""
    ranks = int(tensor.device_mesh.size())
    if ranks > 1 and not all(placement.is_replicate() for placement in tensor.placements):
        raise InvalidInput(
            f"a DTensor sharded over {ranks} processes was given, of which this one has a part; accepted is the whole: "
            "call full_tensor() in every process and analyse what it returns"
        )
    return tensor.to_local()


def _plain_array(tensor: Any) -> np.ndarray:
    if isinstance(tensor, np.ma.MaskedArray):
        _refuse_masked(int(np.ma.count_masked(tensor)), tensor.size)
        tensor = tensor.data
    array = np.asarray(tensor)
    if array.dtype.kind == "V" and array.dtype.name.startswith(("bfloat16", "float8", "float6", "float4")):
        return array.astype(np.float32)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore", under="ignore"):
            return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _refuse_masked(number: int, size: int) -> None:
    if number:
        raise InvalidInput(
            f"a masked array was given, {number} of whose {size} entries have no value; accepted is one without a mask "
            "over its entries: fill them first, with zeros where they are pruned"
        )
