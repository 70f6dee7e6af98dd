"""Arrays and tensors of any library as what is computed with: checked, in one byte order, with their precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidInput

FloatArray = NDArray[np.float64]
EPS_FLOAT64 = float(np.finfo(np.float64).eps)
EPS_FLOAT32 = float(np.finfo(np.float32).eps)


def as_vector(values: Any) -> FloatArray:
    """A float64 copy of a one-dimensional real array, else `InvalidInput`."""
    array = np.asarray(values)
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise InvalidInput(f"an array of shape {array.shape} and type {array.dtype} was given; accepted: 1-D, real")
    return array.astype(np.float64)


def as_matrix(W: Any) -> Any:
    """W as a 2-D numpy array or detached torch tensor of real numbers, not copied where that can be avoided."""
    # A torch tensor is known by its methods: this module must not import torch for a numpy user.
    try:
        matrix: Any = W.detach() if hasattr(W, "detach") else np.asarray(W)
    except ValueError as error:
        raise InvalidInput(f"rows that make no matrix were given ({error}); accepted are rows of one length") from None
    if getattr(matrix, "is_meta", False) or getattr(matrix, "is_sparse", False):
        raise InvalidInput("a meta or sparse tensor was given; accepted is a dense one with values")
    real = not matrix.is_complex() if hasattr(matrix, "detach") else matrix.dtype.kind in "fiub"
    if len(matrix.shape) != 2 or not real:
        raise InvalidInput(
            f"an object of type {type(W).__name__}, shape {tuple(matrix.shape)} and dtype {matrix.dtype} was given; "
            "accepted is a real matrix of two dimensions"
        )
    return matrix


def precision(matrix: Any) -> float:
    """Epsilon of the weights: float64's own, float32's for everything narrower."""
    return EPS_FLOAT64 if str(matrix.dtype).endswith(("float64", "int64")) else EPS_FLOAT32


def dtype_word(dtype: Any) -> str:
    """`torch.bfloat16`, `numpy.dtype('float32')` -> `bfloat16`, `float32`."""
    return dtype.name if isinstance(dtype, np.dtype) else str(dtype).replace("torch.", "")


def to_numpy(tensor: Any) -> np.ndarray:
    """A numpy array of the same values: float64 stays, every other float becomes float32 where numpy lacks it."""
    if not hasattr(tensor, "detach"):
        array = np.asarray(tensor)
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    tensor = tensor.detach().cpu()
    return (tensor if dtype_word(tensor.dtype) == "float64" else tensor.float()).numpy()
