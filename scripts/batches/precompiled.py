"""Inputs of precompiles, one for each kind of table that proves them."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from eth_keys.datatypes import PrivateKey
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from circuits.programs import bls12_381 as bls
from circuits.programs.curves import BN254, P256
from circuits.programs.moduli import P256_N
from executor.forks import CANCUN, Fork
from scripts.batches.builder import Builder
from scripts.batches.precompiles import words


def signed(key: int, digest: bytes) -> bytes:
    """The input of ECRECOVER for a signature of a hash."""
    signature = PrivateKey(key.to_bytes(32, "big")).sign_msg_hash(digest)
    return digest + words(27 + int(signature.v), int(signature.r), int(signature.s))


def bn128_point(factor: int) -> tuple[int, int]:
    """Coordinates of a multiple of alt_bn128's generator, (0, 0) of 0."""
    return BN254.times(factor, BN254.generator) or (0, 0)


def constant_blob(value: int, point: int) -> bytes:
    """The input of the point evaluation for a polynomial that is constant: its proof is the point at infinity.

    The commitment of a constant is the public key of a secret key of BLS signatures.
    """
    commitment = bytes(G2ProofOfPossession.SkToPk(value))
    versioned = b"\x01" + hashlib.sha256(commitment).digest()[1:]
    return versioned + words(point, value) + commitment + b"\xc0" + bytes(47)


def element(number: int) -> bytes:
    """An element of the field of BLS12-381, or a number that is none."""
    return number.to_bytes(64, "big")


def bls_g1(factor: int) -> bytes:
    """A multiple of BLS12-381's generator of G1."""
    point = bls.FIELD.multiply_point(bls.G1, factor)
    return element(point[0][0]) + element(point[1][0]) if point else bytes(128)


def bls_g2(factor: int) -> bytes:
    """A multiple of BLS12-381's generator of G2."""
    point = bls.FIELD.multiply_point(bls.G2, factor)
    return b"".join(map(element, (*point[0], *point[1]))) if point else bytes(256)


def p256_signature(key: int, digest: bytes, nonce: int = 7) -> bytes:
    """The input of P256VERIFY for a signature of a hash."""
    point, public = P256.times(nonce, P256.generator), P256.times(key, P256.generator)
    assert point is not None
    assert public is not None
    r = point[0] % P256_N.value
    s = pow(nonce, -1, P256_N.value) * (int.from_bytes(digest, "big") + r * key) % P256_N.value
    return digest + words(r, s, *public)


@cache
def calls(fork: Fork = CANCUN) -> tuple[tuple[int, bytes], ...]:
    """Precompiles and inputs, so that every table of those of a fork that are proved by programs has rows."""
    numbers = {int.from_bytes(address, "big") for address in fork.precompiles}
    return tuple((number, data) for number, data in _all_calls() if number in numbers)


@cache
def _all_calls() -> tuple[tuple[int, bytes], ...]:
    blob = constant_blob(5, 77)
    return (
        (1, signed(3, b"\x22" * 32)),
        (1, b"\x22" * 32 + words(29, 1, 1)),
        (6, words(*bn128_point(1), *bn128_point(2))),
        (7, words(*bn128_point(3), 0)),
        (8, words(*bn128_point(1), 0, 0, 0, 0)),
        (8, words(1)),
        (10, blob),
        (10, blob[:32] + words((1 << 256) - 1) + blob[64:]),
        (10, blob[:-1]),
        (0x0B, bls_g1(1) + bls_g1(2)),
        (0x0B, element(1) * 4),
        (0x0C, bls_g1(3) + words(1 << 200)),
        (0x0C, b""),
        (0x0D, bls_g2(1) + bls_g2(2)),
        (0x0E, bls_g2(3) + words(5)),
        (0x0F, bls_g1(1) + bytes(256)),
        (0x0F, bytes(383)),
        (0x10, element(5)),
        (0x11, element(5) + element(6)),
        (0x100, p256_signature(5, b"\x33" * 32)),
        (0x100, b"\x33" * 32),
    )


#: Precompiles with discounts, and inputs that are called with too little gas.
_UNPAID = (
    (0x0C, bls_g1(3) + words(2)),
    (0x0C, bls_g1(0) + words(0) + bls_g1(0) + words(1)),
    (0x0E, bls_g2(0) + words(0)),
    (0x0E, bls_g2(0) + words(0) + bls_g2(0) + words(2)),
)
_LITTLE_GAS = 35_000  # of a transaction, which pays for itself and for the floor of its calldata


def transactions(building: Builder, sender: int) -> list[dict[str, Any]]:
    """Transactions that call those of the batch's fork directly; calls that are not paid come last."""
    unpaid = [(number, data) for number, data in _UNPAID if number.to_bytes(20, "big") in building.fork.precompiles]
    paid = [(number, data, 300_000) for number, data in calls(building.fork)]
    return [
        building.transfer(sender, number.to_bytes(20, "big"), 0, gas=gas, data="0x" + data.hex())
        for number, data, gas in (*paid, *((number, data, _LITTLE_GAS) for number, data in unpaid))
    ]
