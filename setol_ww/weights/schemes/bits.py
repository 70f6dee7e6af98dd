"""Codes packed into words, and the small floating-point types that torch has no arithmetic of."""

from __future__ import annotations

import numpy as np

#: Values of the sixteen codes of float4 e2m1.
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def unpacked(words: np.ndarray, bits: int, number: int) -> np.ndarray:
    """The first `number` codes of each row of words: a stream of bits, lowest first, that crosses words where it must.

    >>> unpacked(np.array([[0x76543210]], np.uint32), 4, 8).tolist()
    [[0, 1, 2, 3, 4, 5, 6, 7]]
    """
    words = words.view(np.uint32)
    begin = np.arange(number) * bits
    word, offset = begin // 32, begin % 32
    codes = words[..., word] >> offset.astype(np.uint32)
    crossing = offset + bits > 32
    if crossing.any():
        after = words[..., word[crossing] + 1]
        codes[..., crossing] |= after << (32 - offset[crossing]).astype(np.uint32)
    return (codes & np.uint32(2**bits - 1)).astype(np.int32)


def nibbles(packed: np.ndarray, *, high_first: bool = False) -> np.ndarray:
    """Two codes of four bits from each byte, along the last axis.

    >>> nibbles(np.array([0x21, 0x43], np.uint8)).tolist()
    [1, 2, 3, 4]
    """
    packed = packed.view(np.uint8)
    codes = np.empty((*packed.shape, 2), np.uint8)
    codes[..., int(high_first)] = packed & 15
    codes[..., 1 - int(high_first)] = packed >> 4
    return codes.reshape(*packed.shape[:-1], -1)


def e8m0(codes: np.ndarray) -> np.ndarray:
    r"""Powers of two, :math:`2^{b-127}`; 255 is no number. What is decoded already stays.

    >>> e8m0(np.array([126, 127, 130], np.uint8)).tolist()
    [0.5, 1.0, 8.0]
    """
    if codes.dtype != np.uint8:
        return codes
    powers = np.ldexp(np.float32(1), codes.astype(np.int32) - 127)
    return np.where(codes == 255, np.float32(np.nan), powers)
