"""Inputs of precompiles, one for each kind of table that proves them."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from eth_keys.datatypes import PrivateKey
from py_ecc.bls.ciphersuites import G2ProofOfPossession

from circuits.programs.curves import BN254
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


@cache
def calls() -> tuple[tuple[int, bytes], ...]:
    """Precompiles and inputs, so that every table of those that are proved by programs has rows."""
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
    )


def transactions(building: Builder, sender: int) -> list[dict[str, Any]]:
    """Transactions that call them directly."""
    return [
        building.transfer(sender, number.to_bytes(20, "big"), 0, gas=300_000, data="0x" + data.hex())
        for number, data in calls()
    ]
