"""Arrays and tensors of any library as what is computed with: checked, in one byte order, with their precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidInput
from .plain import as_computed

FloatArray = NDArray[np.float64]
EPS_FLOAT64 = float(np.finfo(np.float64).eps)
EPS_FLOAT32 = float(np.finfo(np.float32).eps)
_WIDE = ("float64", "int64", "uint64", np.dtype(np.longdouble).name)


def as_vector(values: Any) -> FloatArray:
    """A float64 copy of a one-dimensional real array, else `InvalidInput`."""
    array = np.asarray(values)
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise InvalidInput(f"an array of shape {array.shape} and type {array.dtype} was given; accepted: 1-D, real")
    return array.astype(np.float64)


def as_matrix(W: Any) -> Any:
    """W as a plain 2-D numpy array or torch tensor of real numbers, not copied where that can be avoided."""
    try:
        matrix: Any = as_computed(W)
    except ValueError as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"rows that make no matrix were given ({error}); accepted are rows of one length") from None
    real = not matrix.is_complex() if hasattr(matrix, "detach") else matrix.dtype.kind in "fiub"
    if len(matrix.shape) != 2 or not real:
        raise InvalidInput(
            f"an object of type {type(W).__name__}, shape {tuple(matrix.shape)} and dtype {matrix.dtype} was given; "
            "accepted is a real matrix of two dimensions"
        )
    return matrix


def precision(matrix: Any) -> float:
    """Epsilon of the weights: float64's own for types of 64 bits and more, float32's for everything narrower.

    The one rule, whichever way a matrix came.

    Examples
    --------
    >>> precision(np.ones((2, 2), dtype=">f8")) == EPS_FLOAT64, precision(np.ones((2, 2), dtype=">f4")) == EPS_FLOAT32
    (True, True)
    """
    return EPS_FLOAT64 if dtype_word(matrix.dtype) in _WIDE else EPS_FLOAT32


def as_weightwatcher_reads(tensor: Any) -> Any:
    """The values that WeightWatcher computes with: torch tensors wider than 32 bits cut to float32, the rest as it is.

    Its columns come from these values, ours from the values that are stored. The two are one matrix except for a
    torch tensor of float64, which is decomposed once for each.

    Examples
    --------
    >>> as_weightwatcher_reads(np.ones((2, 2), dtype=">f8")).dtype.name
    'float64'
    """
    plain = as_computed(tensor)
    return plain.float() if is_cut_by_weightwatcher(plain) else plain


def is_cut_by_weightwatcher(plain: Any) -> bool:
    """True where `as_weightwatcher_reads` changes the dtype of a plain tensor."""
    return hasattr(plain, "detach") and plain.element_size() > 4


def dtype_word(dtype: Any) -> str:
    """`torch.bfloat16`, `numpy.dtype('float32')` -> `bfloat16`, `float32`."""
    return dtype.name if isinstance(dtype, np.dtype) else str(dtype).replace("torch.", "")


def to_numpy(tensor: Any) -> np.ndarray:
    """A numpy array of the same values: float64 stays, of torch's tensors every other type becomes float32."""
    plain = as_computed(tensor)
    if not hasattr(plain, "detach"):
        return plain
    plain = plain.cpu()
    return (plain if dtype_word(plain.dtype) == "float64" else plain.float()).numpy()
