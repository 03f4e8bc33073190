"""Input that the precompiled contracts of any fork take, for random programs to start from, with its price."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from executor.forks import CANCUN, Fork
from scripts.batches.precompile_inputs import BLS_FIELD, MAX_COST, MODEXP, gas_of
from scripts.batches.precompiled import bls_g1, bls_g2, element, p256_signature
from scripts.batches.precompiles import VECTORS, Vector, words

#: Of those that later forks have added, and of MODEXP around its bound in Osaka; prices are those of the fork.
_LATER = [
    Vector(number, data, 0)
    for number, data in (
        (5, words(1_024, 0, 1)),
        (5, words(0, 1_025, 0)),
        (5, words(0, 0, 1_025)),
        (5, words(32, 2, 33) + b"\x03" * 32 + b"\x01\x01" + b"\x07" * 33),
        (5, words(32, 33, 32) + b"\x05" * 32 + b"\x80" + b"\x01" * 32 + b"\x0b" * 32),
        (0x0B, bls_g1(1) + bls_g1(2)),
        (0x0B, bls_g1(3) + bls_g1(0)),
        (0x0B, element(1) * 4),
        (0x0C, bls_g1(3) + words(1 << 200)),
        (0x0C, bls_g1(0) + words(5) + bls_g1(2) + words(0)),
        (0x0C, b""),
        (0x0D, bls_g2(1) + bls_g2(2)),
        (0x0D, bls_g2(0) * 2),
        (0x0E, bls_g2(3) + words(5)),
        (0x0F, bytes(384)),
        (0x0F, bytes(383)),
        (0x10, element(5)),
        (0x10, element(BLS_FIELD)),
        (0x11, element(5) + element(6)),
        (0x11, element(5)),
        (0x100, p256_signature(5, b"\x33" * 32)),
        (0x100, p256_signature(6, b"\x44" * 32)),
        (0x100, p256_signature(5, b"\x33" * 32)[:-1]),
        (0x100, b"\x33" * 32),
    )
]


@cache
def vectors(fork: Fork) -> tuple[Vector, ...]:
    """Inputs of all precompiled contracts of a fork."""
    if fork == CANCUN:
        return VECTORS
    known = {int.from_bytes(address, "big") for address in fork.precompiles}
    return tuple(_priced(vector, fork) for vector in (*VECTORS, *_LATER) if vector.address in known)


def _priced(vector: Vector, fork: Fork) -> Vector:
    """With the fork's price, where somebody pays it."""
    is_known = vector.address != MODEXP and vector.gas
    gas = vector.gas if is_known else gas_of(vector.address, vector.input, fork)
    return replace(vector, gas=gas) if gas <= MAX_COST else vector
