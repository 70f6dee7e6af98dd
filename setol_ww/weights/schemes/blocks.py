"""Scales that hold for rows, blocks or all of a weight: which grid a tensor of scales is, and it spread over rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def block_of(side: int, number: int, told: int | None = None) -> int | None:
    """How many elements of an axis share a scale; None where nothing decides.

    `told` is what the config says: a grid may then be longer than the weight, padded. Without a word of it the
    blocks are powers of two, of which one at most fits.

    >>> block_of(576, 5, 128), block_of(300, 3), block_of(64, 64), block_of(64, 1), block_of(300, 7)
    (128, 128, 1, 64, None)
    """
    if number == side:
        return 1
    if number == 1:
        return side
    if told:
        return told if -(-side // told) <= number else None
    powers = [2**power for power in range(1, 16) if -(-side // 2**power) == number]
    return powers[-1] if powers else None


def grid_of(shape: Sequence[int], scales: Sequence[int], told: Sequence[int] = ()) -> tuple[int, ...] | None:
    """Sides of the block that shares a scale, for every axis of the weight; None where the scales do not fit.

    Scales of fewer axes are those of the leading ones.

    >>> grid_of((200, 300), (2, 3), (128, 128)), grid_of((64, 32), (64,)), grid_of((64, 32), ())
    ((128, 128), (1, 32), (64, 32))
    """
    if not np.prod(scales, dtype=int):
        return None
    if np.prod(scales, dtype=int) == 1:
        return tuple(shape)
    if len(scales) > len(shape):
        return None
    padded = (*scales, *(1,) * (len(shape) - len(scales)))
    blocks = (*(None,) * (len(shape) - len(told)), *told)[-len(shape) :] if told else (None,) * len(shape)
    found = [block_of(side, number, one) for side, number, one in zip(shape, padded, blocks)]
    if any(block is None for block in found) or (len(scales) < len(shape) and scales[0] != shape[0]):
        return None
    return tuple(int(block) for block in found if block is not None)


def in_words(shape: Sequence[int], grid: Sequence[int]) -> str:
    """What shares a scale, as the column `dtype` says it.

    >>> in_words((64, 256), (64, 256)), in_words((64, 256), (1, 256)), in_words((64, 256), (128, 128))
    ('one scale', 'row scales', '128x128 scales')
    """
    if tuple(grid) == tuple(shape):
        return "one scale"
    if all(block == side for block, side in zip(grid[1:], shape[1:])):
        return "row scales" if len(shape) == 2 else "scales of the first axis"
    if len(shape) == 2 and grid[0] == shape[0] and grid[1] == 1:
        return "column scales"
    return "x".join(map(str, grid[-2:])) + " scales"


def spread(scales: np.ndarray, grid: Sequence[int], shape: Sequence[int], first: int) -> np.ndarray:
    """Scales repeated over the rows of a weight of this shape, and cropped; they begin at row `first` of a block."""
    for axis, (block, side) in enumerate(zip(grid, shape)):
        if scales.shape[axis] > 1 and block > 1:
            scales = np.repeat(scales, block, axis)
        if scales.shape[axis] > 1:
            begin = first if axis == 0 else 0
            scales = scales[(*(slice(None),) * axis, slice(begin, begin + side))]
    return scales


def scale_rows(start: int, stop: int, block: int) -> tuple[slice, int]:
    """Which rows of the scales belong to rows of the weight, and where the first begins in its block."""
    return slice(start // block, -(-stop // block)), start % block
