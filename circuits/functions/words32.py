"""32-bit words: as bits and limbs in columns, and as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.gadgets import total

WORD_BITS = 32
LIMB_BITS = 16
LIMBS = 2

#: Words below 2^32, in a type in which a few of them can be added.
Words32 = NDArray[np.uint64]


def limb_of(bits: Sequence[Expression], k: int) -> Expression:
    """Limb k of a word in bits, the least significant first."""
    return total([bits[LIMB_BITS * k + i] * (1 << i) for i in range(LIMB_BITS)])


def rotate(words: Words32, count: int) -> Words32:
    """Words rotated to the right by 1 to 31 bits."""
    return (words >> np.uint64(count) | words << np.uint64(WORD_BITS - count)) & np.uint64(0xFFFFFFFF)


def limbs(words: Words32) -> NDArray[np.int64]:
    """Words (...) as limbs (..., 2), the low one first."""
    signed = words.astype(np.int64)
    return np.stack([signed & 0xFFFF, signed >> LIMB_BITS], axis=-1)


def bits(words: Words32) -> NDArray[np.uint8]:
    """Words (..., n) as bits (..., n, 32), the least significant first."""
    flat = np.ascontiguousarray(words).astype("<u4").view(np.uint8)
    return np.unpackbits(flat, axis=-1, bitorder="little").reshape(*words.shape, WORD_BITS)


def carries(sums: NDArray[np.int64]) -> NDArray[np.int64]:
    """What sums of limbs (..., 2) exceed limbs by, the carry of the low one added to the high one: (..., 2)."""
    low = sums[..., 0] >> LIMB_BITS
    return np.stack([low, sums[..., 1] + low >> LIMB_BITS], axis=-1)
