"""Short relations between scalars, and how short they are for any scalar."""

from __future__ import annotations

import random

import pytest

from circuits.programs.curves import BN254, P256, SECP256K1, Curve
from circuits.programs.lattices import short_eisenstein_relation, short_relation


def _scalars(order: int, eigenvalue: int) -> list[int]:
    """Random ones, and those whose lattices are long and narrow."""
    rng = random.Random(order)
    found = [rng.randrange(1, order) for _ in range(300)]
    found += [k % order for k in range(-20, 20)]
    found += [1 << k for k in range(0, 250, 10)]
    for _ in range(100):
        bits = rng.randrange(1, 128)
        a, b, c, d = (rng.getrandbits(bits) - (1 << bits - 1) for _ in range(4))
        if (c + d * eigenvalue) % order:
            found.append((a + b * eigenvalue) * pow(c + d * eigenvalue, -1, order) % order)
    return found


@pytest.mark.parametrize("curve", [SECP256K1, BN254], ids=["secp256k1", "alt_bn128"])
def test_eisenstein_relations(curve: Curve) -> None:
    n, eigenvalue = curve.order.value, curve.endomorphism[1]
    # What digits -1 to 2 hold, to the lower side.
    bound = (4**33 - 1) // 3
    for u in _scalars(n, eigenvalue):
        a1, a2, b1, b2 = short_eisenstein_relation(n, eigenvalue, u)
        assert ((a1 + a2 * eigenvalue) * u + b1 + b2 * eigenvalue) % n == 0
        assert (a1 + a2 * eigenvalue) % n
        assert max(map(abs, (a1, a2, b1, b2))) <= bound
        assert 3 * max(x * x for x in (a1, a2, b1, b2)) ** 2 <= 8 * n


@pytest.mark.parametrize("curve", [SECP256K1, P256], ids=["secp256k1", "P-256"])
def test_plain_relations(curve: Curve) -> None:
    n = curve.order.value
    for u in _scalars(n, 1 << 64):
        a, b = short_relation(n, u)
        assert a > 0
        assert (a * u + b) % n == 0
        assert 3 * (a * a + b * b) ** 2 <= 4 * n * n
        assert b >= -((4**65 - 1) // 3)
        assert a + b + (4**65 - 1) // 3 < 1 << 130
