"""Precompiled contracts as the executor has them."""

from __future__ import annotations

from hashlib import sha256

import pytest
from eth.precompiles import point_evaluation

from executor.forks import CANCUN, OSAKA
from executor.modexp import ModexpInput
from executor.precompiles import P256_FIELD, P256_GENERATOR, P256_ORDER, is_p256_signature


def test_the_setup_of_point_evaluations_is_read_once() -> None:
    """Reading it takes seconds."""
    read = vars(point_evaluation)["load_trusted_setup"]
    assert read(point_evaluation.TRUSTED_SETUP_PATH, 0) is read(point_evaluation.TRUSTED_SETUP_PATH, 0)


# The key and the signature of RFC 6979, A.2.5: P-256, SHA-256 of "sample".
KEY = (
    0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
    0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
)
R = 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
S = 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8
DIGEST = int.from_bytes(sha256(b"sample").digest(), "big")


def test_signatures_of_p256() -> None:
    assert is_p256_signature(DIGEST, R, S, *KEY)
    # Of ECDSA's two signatures none is preferred.
    assert is_p256_signature(DIGEST, R, P256_ORDER - S, *KEY)
    for wrong in (
        (DIGEST ^ 1, R, S, *KEY),
        (DIGEST, R ^ 1, S, *KEY),
        (DIGEST, R, S ^ 1, *KEY),
        (DIGEST, 0, S, *KEY),
        (DIGEST, R, 0, *KEY),
        (DIGEST, R + P256_ORDER, S, *KEY),
        (DIGEST, R, P256_ORDER, *KEY),
        (DIGEST, R, S, KEY[0], KEY[1] ^ 1),
        (DIGEST, R, S, KEY[0], P256_FIELD - KEY[1]),
        (DIGEST, R, S, KEY[0] + P256_FIELD, KEY[1]),
        (DIGEST, R, S, 0, 0),
    ):
        assert not is_p256_signature(*wrong)


def test_a_signature_whose_point_is_at_infinity_is_none() -> None:
    """u1 G + u2 Q = 0 for Q = G and digest = -r."""
    assert not is_p256_signature(P256_ORDER - 5, 5, 7, *P256_GENERATOR)


@pytest.mark.parametrize(
    ("lengths", "exponent_head", "before", "after"),
    [
        # Words of base and modulus, bits of the exponent: EIP-2565 and EIP-7883.
        ((1, 1, 1), 3, 200, 500),
        ((32, 32, 32), 2**255, 16 * 255 // 3, 16 * 255),
        ((33, 32, 32), 2**255, 25 * 255 // 3, 2 * 25 * 255),
        ((64, 33, 64), 2**255, 64 * (8 + 255) // 3, 2 * 64 * (16 + 255)),
        ((0, 32, 1_024), 2**255, 128**2 * 255 // 3, 2 * 128**2 * 255),
    ],
)
def test_the_price_of_modexp(lengths: tuple[int, ...], exponent_head: int, before: int, after: int) -> None:
    """Lengths of base, exponent and modulus."""
    base, exponent, _ = lengths
    head = exponent_head.to_bytes(32, "big")[max(0, 32 - exponent) :]
    given = ModexpInput(b"".join(length.to_bytes(32, "big") for length in lengths) + bytes(base) + head)
    assert given.gas(CANCUN.modexp) == before
    assert given.gas(OSAKA.modexp) == after
