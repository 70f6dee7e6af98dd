"""Entries of a matrix in random order, large ones in no more memory than one copy as they are stored.

The order depends on the generator and on the shape alone, never on the type of the entries.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from .buckets import Buckets, number_of_buckets

# numpy exchanges elements of eight bytes by a faster loop than others, whatever they are.
IN_CACHE = 2**21


def is_large(matrix: Any) -> bool:
    """True where a copy in float64 leaves the cache and stays as it is stored instead."""
    return math.prod(matrix.shape) > IN_CACHE


def shuffle(matrix: Any, seed: tuple[int, ...], *, overwrite: bool = False) -> Any:
    """A copy with all entries in the order of a local generator; every order is equally likely.

    Parameters
    ----------
    matrix : ndarray or torch.Tensor
    seed : tuple of int
    overwrite : bool
        A contiguous matrix that has the type of the result may itself be shuffled.

    Returns
    -------
    ndarray or torch.Tensor
        On the CPU; small ones in float64, which is faster, large ones as they are stored.

    Examples
    --------
    >>> found = shuffle(np.arange(6).reshape(2, 3), (0,))
    >>> found.shape, sorted(found.ravel().tolist())
    ((2, 3), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    """
    number = number_of_buckets(matrix.shape)
    if number > 1:
        return Buckets(matrix.detach().cpu() if hasattr(matrix, "detach") else matrix, seed, number).whole()
    exchange = np.random.default_rng(seed).shuffle
    if not hasattr(matrix, "detach"):
        dtype = matrix.dtype if is_large(matrix) else np.dtype(np.float64)
        keeps = overwrite and matrix.dtype == dtype and matrix.flags.c_contiguous
        flat = (matrix if keeps else np.array(matrix, dtype=dtype, order="C")).reshape(-1)
        exchange(flat)
        return flat.reshape(matrix.shape)
    torch = sys.modules["torch"]
    dtype = matrix.dtype if is_large(matrix) else torch.float64
    keeps = overwrite and matrix.dtype == dtype and matrix.is_contiguous() and matrix.device.type == "cpu"
    copy = matrix.detach()
    if not keeps:
        copy = copy.to(device="cpu", dtype=dtype, copy=True, memory_format=torch.contiguous_format)
    # numpy has no bfloat16 and no float8: their bits are shuffled.
    bits = {1: torch.uint8, 2: torch.int16}.get(copy.element_size())
    exchange((copy.view(bits) if bits else copy).numpy().reshape(-1))
    return copy


def in_random_order(matrix: Any, seed: tuple[int, ...], *, overwrite: bool = False) -> Any:
    """`shuffle`; of a large matrix that is longer than wide `Buckets`, which make the same one block by block.

    Those of the CPU alone.
    """
    number = number_of_buckets(matrix.shape)
    return Buckets(matrix, seed, number) if number > 1 else shuffle(matrix, seed, overwrite=overwrite)


def sources_of(positions: np.ndarray, shape: Sequence[int], seed: tuple[int, ...]) -> np.ndarray:
    """Where in the flattened matrix of this shape the entries at these positions of the shuffled one come from.

    Examples
    --------
    >>> W = np.arange(12.0).reshape(4, 3)
    >>> places = np.array([0, 5])
    >>> W.ravel()[sources_of(places, W.shape, (1,))].tolist() == shuffle(W, (1,)).ravel()[places].tolist()
    True
    """
    if not positions.size:
        return np.empty(0, dtype=int)
    number, size = number_of_buckets(shape), math.prod(shape)
    if number > 1:
        return Buckets(np.broadcast_to(0.0, shape), seed, number).sources(positions)
    # Half the memory of numpy's own integers, where these suffice; small ones by the faster loop.
    order = np.arange(size, dtype=np.int32 if IN_CACHE < size < 2**31 else np.int64)
    np.random.default_rng(seed).shuffle(order)
    return order[positions].astype(int)
