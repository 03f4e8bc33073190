"""Integers, addresses and hashes as little-endian 16-bit limbs: the encoding traces and circuits share."""

from executor.limbs import (
    Limbs,
    addresses_from_bytes,
    addresses_to_bytes,
    limbs_to_bytes,
    u64_from_ints,
    u64_to_ints,
    words_from_bytes,
    words_from_ints,
    words_to_ints,
)

__all__ = [
    "Limbs",
    "addresses_from_bytes",
    "addresses_to_bytes",
    "limbs_to_bytes",
    "u64_from_ints",
    "u64_to_ints",
    "words_from_bytes",
    "words_from_ints",
    "words_to_ints",
]
