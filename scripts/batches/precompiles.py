"""Input that the precompiled contracts take, for random programs to start from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

# EIP-196, EIP-197: the curve alt_bn128.
BN_FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
BN_ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617
BN_G1 = (1, 2)
BN_G2 = (  # coordinates as EIP-197 encodes them: imaginary parts first
    11559732032986387107991004021392285783925812861821192530917403151452391805634,
    10857046999023057135944570762232829481370756359578518086990519993285655852781,
    4082367875863433681332203403145435568316851327593401208105741076214120093531,
    8495653923123431417604973247489272438418190587263600148770280649306958101930,
)
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@dataclass(frozen=True)
class Vector:
    """Input of a precompiled contract, and the gas that this takes."""

    address: int
    input: bytes
    gas: int


def words(*values: int) -> bytes:
    """Words, big-endian."""
    return b"".join(value.to_bytes(32, "big") for value in values)


def _recoveries() -> list[Vector]:
    digest = keccak(b"message")
    signature = PrivateKey(bytes.fromhex("45" * 32)).sign_msg_hash(digest)
    message, v, r, s = int.from_bytes(digest, "big"), 27 + signature.v, signature.r, signature.s
    return [
        Vector(1, words(*values), 3_000)
        for values in (
            (message, v, r, s),
            (message, 55 - v, r, SECP256K1_ORDER - s),  # the same key, and s too high for a transaction
            (message, v, r, SECP256K1_ORDER),
            (message, v, 0, s),
            (message, 29, r, s),
            (message, v + 2**8, r, s),
        )
    ]


def _modexp(base: bytes, exponent: bytes, modulus: bytes, gas: int) -> Vector:
    return Vector(5, words(len(base), len(exponent), len(modulus)) + base + exponent + modulus, gas)


def _blake2f(rounds: int, last: int) -> Vector:
    state = bytes(range(64)) + bytes(range(128)) + bytes(16)
    return Vector(9, rounds.to_bytes(4, "big") + state + bytes([last]), rounds)


def _point_evaluation() -> Vector:
    """The polynomial 0: its commitment and every proof are the point at infinity, and it is 0 everywhere."""
    infinity = b"\xc0" + bytes(47)
    versioned_hash = b"\x01" + hashlib.sha256(infinity).digest()[1:]
    return Vector(10, versioned_hash + words(7, 0) + infinity + infinity, 50_000)


VECTORS = (
    *_recoveries(),
    *(Vector(2, bytes(range(size)), 60 + 12 * -(-size // 32)) for size in (0, 1, 32, 33, 64, 119)),
    *(Vector(3, bytes(range(size)), 600 + 120 * -(-size // 32)) for size in (0, 1, 32, 33, 64)),
    *(Vector(4, bytes(range(size)), 15 + 3 * -(-size // 32)) for size in (0, 1, 32, 33, 64)),
    _modexp(b"\x03", b"\x05", b"\x07", 200),
    _modexp(b"\x02" * 40, b"\xff" * 33, b"\x0f" * 40, 2_125),
    _modexp(b"", b"", b"\x07", 200),
    _modexp(b"\x03", b"\x05", b"\x00", 200),
    _modexp(b"\x03", b"\x05", b"", 200),
    Vector(5, words(0, 2**64, 0), 200),
    Vector(5, words(1, 2**255, 1), 50_000),
    Vector(6, words(*BN_G1, *BN_G1), 150),
    Vector(6, words(*BN_G1, 1, BN_FIELD - 2), 150),
    Vector(6, words(*BN_G1, 0, 0), 150),
    Vector(6, words(1, 1, 0, 0), 150),
    Vector(6, words(BN_FIELD + 1, 2, 0, 0), 150),
    Vector(7, words(*BN_G1, 2), 6_000),
    Vector(7, words(*BN_G1, BN_ORDER), 6_000),
    Vector(7, words(*BN_G1, 2**256 - 1), 6_000),
    Vector(8, b"", 45_000),
    Vector(8, words(0, 0, *BN_G2), 79_000),
    _blake2f(0, 1),
    _blake2f(1, 0),
    _blake2f(12, 1),
    _blake2f(12, 2),
    Vector(9, bytes(212), 0),
    _point_evaluation(),
)
# Slow in both implementations, so not among what random programs choose from.
PAIRING = Vector(8, words(*BN_G1, *BN_G2, 1, BN_FIELD - 2, *BN_G2), 113_000)
