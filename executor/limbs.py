"""Integers and byte strings as little-endian arrays of 16-bit limbs.

A word (256 bits) is 16 limbs, an address 10, a u64 4; limb 0 is the least significant. All arrays are ``uint16``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WORD_LIMBS = 16
ADDRESS_LIMBS = 10
U64_LIMBS = 4

Limbs = NDArray[np.uint16]


def limbs_from_bytes(items: Sequence[bytes], limbs: int) -> Limbs:
    """Big-endian byte strings of ``2 * limbs`` bytes each -> ``(n, limbs)``.

    Raises:
        ValueError: a string has another length.
    """
    width = 2 * limbs
    if any(len(item) != width for item in items):
        raise ValueError(f"expected byte strings of {width} bytes")
    big_endian = np.frombuffer(b"".join(items), dtype=">u2").reshape(len(items), limbs)
    return np.ascontiguousarray(big_endian[:, ::-1], dtype=np.uint16)


def limbs_to_bytes(array: Limbs) -> list[bytes]:
    """``(n, limbs)`` -> n big-endian byte strings of ``2 * limbs`` bytes."""
    big_endian = np.ascontiguousarray(array[:, ::-1].astype(">u2"))
    return [row.tobytes() for row in big_endian]


def limbs_from_ints(values: Sequence[int], limbs: int) -> Limbs:
    """Non-negative integers below ``2**(16 * limbs)`` -> ``(n, limbs)``.

    Raises:
        OverflowError: a value is negative or too large.
    """
    width = 2 * limbs
    little_endian = np.frombuffer(b"".join(value.to_bytes(width, "little") for value in values), dtype="<u2")
    return little_endian.reshape(len(values), limbs).astype(np.uint16)


def limbs_to_ints(array: Limbs) -> list[int]:
    """``(n, limbs)`` -> n Python integers."""
    return [int.from_bytes(row.tobytes(), "little") for row in np.ascontiguousarray(array, dtype="<u2")]


def words_from_ints(values: Sequence[int]) -> Limbs:
    """256-bit integers -> ``(n, 16)``; raises ``OverflowError`` outside 0..2**256-1."""
    return limbs_from_ints(values, WORD_LIMBS)


def words_to_ints(array: Limbs) -> list[int]:
    """``(n, 16)`` -> n Python integers."""
    return limbs_to_ints(array)


def words_from_bytes(items: Sequence[bytes]) -> Limbs:
    """Big-endian 32-byte strings -> ``(n, 16)``; raises ``ValueError`` for another length."""
    return limbs_from_bytes(items, WORD_LIMBS)


def addresses_from_bytes(items: Sequence[bytes]) -> Limbs:
    """20-byte addresses -> ``(n, 10)``; raises ``ValueError`` for another length."""
    return limbs_from_bytes(items, ADDRESS_LIMBS)


def addresses_to_bytes(array: Limbs) -> list[bytes]:
    """``(n, 10)`` -> n addresses of 20 bytes."""
    return limbs_to_bytes(array)


def u64_from_ints(values: Sequence[int]) -> Limbs:
    """64-bit integers -> ``(n, 4)``; raises ``OverflowError`` outside 0..2**64-1."""
    return limbs_from_ints(values, U64_LIMBS)


def u64_to_ints(array: Limbs) -> list[int]:
    """``(n, 4)`` -> n Python integers."""
    return limbs_to_ints(array)
