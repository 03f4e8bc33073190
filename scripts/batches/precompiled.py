"""Inputs of precompiles, one for each kind of table that proves them."""

from __future__ import annotations

import hashlib
from functools import cache

from eth_keys import keys
from py_ecc import optimized_bls12_381 as bls12_381
from py_ecc import optimized_bn128 as bn128
from py_ecc.bls.point_compression import compress_G1

from scripts.batches.builder import Builder


def words(*values: int) -> bytes:
    """Integers as words of 32 bytes."""
    return b"".join(value.to_bytes(32, "big") for value in values)


def signed(key: int, digest: bytes) -> bytes:
    """The input of ECRECOVER for a signature of a hash."""
    signature = keys.PrivateKey(key.to_bytes(32, "big")).sign_msg_hash(digest)
    return digest + words(27 + signature.v, signature.r, signature.s)


def bn128_point(factor: int) -> tuple[int, int]:
    """Coordinates of a multiple of alt_bn128's generator, (0, 0) of 0."""
    point = bn128.multiply(bn128.G1, factor)
    if bn128.is_inf(point):
        return 0, 0
    x, y = bn128.normalize(point)
    return int(x), int(y)


def bn128_pair(first: int, second: int) -> bytes:
    """The input of the pairing check: multiples of both generators."""
    point = bn128.multiply(bn128.G2, second)
    if bn128.is_inf(point):
        return words(*bn128_point(first), 0, 0, 0, 0)
    x, y = bn128.normalize(point)
    return words(*bn128_point(first), *(int(c) for v in (x, y) for c in reversed(v.coeffs)))


def constant_blob(value: int, point: int) -> bytes:
    """The input of the point evaluation for a polynomial that is constant: its proof is the point at infinity."""
    commitment = compress_G1(bls12_381.multiply(bls12_381.G1, value)).to_bytes(48, "big")
    versioned = b"\x01" + hashlib.sha256(commitment).digest()[1:]
    return versioned + words(point, value) + commitment + b"\xc0" + bytes(47)


@cache
def calls() -> tuple[tuple[int, bytes], ...]:
    """Precompiles and inputs, so that every table of those that are proved by programs has rows."""
    blob = constant_blob(5, 77)
    return (
        (1, signed(3, b"\x22" * 32)),
        (1, b"\x22" * 32 + words(29, 1, 1)),
        (6, words(*bn128_point(1), *bn128_point(2))),
        (7, words(*bn128_point(3), 0)),
        (8, bn128_pair(1, 0)),
        (8, words(1)),
        (10, blob),
        (10, blob[:32] + words((1 << 256) - 1) + blob[64:]),
        (10, blob[:-1]),
    )


def transactions(building: Builder, sender: int) -> list[dict[str, object]]:
    """Transactions that call them directly."""
    return [
        building.transfer(sender, number.to_bytes(20, "big"), 0, gas=300_000, data="0x" + data.hex())
        for number, data in calls()
    ]
