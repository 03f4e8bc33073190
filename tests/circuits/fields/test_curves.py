"""Points of curves as numbers and in programs."""

from __future__ import annotations

import random

import pytest
from py_ecc.bn128 import bn128_curve
from py_ecc.secp256k1 import secp256k1

from circuits.programs.curves import BN254, OFFSETS, P256, SECP256K1, Affine, Curve, Formulas
from circuits.programs.program import Pair, Program, UnsatisfiedError

CURVES = pytest.mark.parametrize("curve", [SECP256K1, BN254, P256], ids=["secp256k1", "alt_bn128", "P-256"])


@CURVES
def test_multiples(curve: Curve) -> None:
    n, rng = curve.order.value, random.Random(1)
    assert curve.contains(*curve.generator)
    total: Affine = None
    for k in range(20):
        assert curve.times(k, curve.generator) == total
        total = curve.add(total, curve.generator)
    assert curve.times(n, curve.generator) is None
    assert curve.times(n + 1, curve.generator) == curve.generator
    assert curve.times(2 * n - 1, curve.generator) == curve.negate(curve.generator)
    a, b = rng.randrange(n), rng.randrange(n)
    both = curve.add(curve.times(a, curve.generator), curve.times(b, curve.generator))
    assert both == curve.times(a + b, curve.generator)
    assert curve.times(a, None) is None


def test_multiples_by_other_code() -> None:
    rng = random.Random(2)
    for _ in range(5):
        k = rng.randrange(1, BN254.order.value)
        assert SECP256K1.times(k, SECP256K1.generator) == secp256k1.multiply(secp256k1.G, k)
        point = bn128_curve.multiply(bn128_curve.G1, k)
        assert point
        assert BN254.times(k, BN254.generator) == (point[0].n, point[1].n)


@pytest.mark.parametrize("curve", [SECP256K1, BN254], ids=["secp256k1", "alt_bn128"])
def test_endomorphisms(curve: Curve) -> None:
    beta, eigenvalue = curve.endomorphism
    x, y = curve.offsets[0]
    assert curve.times(eigenvalue, (x, y)) == (beta * x % curve.field.value, y)
    # Constants of programs modulo the order are representatives near 0.
    assert eigenvalue < curve.field.value // 2


@CURVES
def test_offsets(curve: Curve) -> None:
    assert len(set(curve.offsets)) == OFFSETS
    for offset in curve.offsets:
        assert curve.contains(*offset)
        assert curve.times(curve.order.value, offset) is None


def _formulas(curve: Curve) -> tuple[Program, Formulas, list[Pair]]:
    p = Program(1, "formulas", curve.field)
    points = [(p.word(0), p.word(1)), (p.word(2), p.word(3)), (p.word(4), p.word(5))]
    return p, Formulas(p, curve), [(x, y) for x, y in points]


@CURVES
def test_formulas(curve: Curve) -> None:
    p, f, (first, second, third) = _formulas(curve)
    for point in (first, second, third):
        f.require_on_curve(point)
    total = f.add(first, second)
    found = [total, f.add(first, second, -1), f.double(first), f.double(total), f.double_and_add(total, first)]
    f.require_sum(first, second, third)
    rng = random.Random(3)
    for _ in range(5):
        a, b = (curve.times(rng.randrange(1, curve.order.value), curve.generator) for _ in range(2))
        both = curve.add(a, b)
        assert a
        assert b
        assert both
        run = p.run([*a, *b, *both])
        twice = curve.times(2, both)
        expected = [both, curve.add(a, curve.negate(b)), curve.times(2, a), twice, curve.add(twice, a)]
        assert [tuple(run.values[r.index] % curve.field.value for r in point) for point in found] == expected
        for lie in ([*a, *b, *a], [*a, *b, both[0], curve.field.value - both[1]], [*a, b[0], b[1] + 1, *both]):
            with pytest.raises(UnsatisfiedError):
                p.run(lie)


@CURVES
def test_no_sum_has_a_denominator_of_zero(curve: Curve) -> None:
    """Equal and opposite points: whatever the slope."""
    g, other = curve.generator, curve.times(7, curve.generator)
    double = curve.times(2, g)
    assert other
    assert double
    minus = (g[0], curve.field.value - g[1])
    minus_double = (double[0], curve.field.value - double[1])
    for make in ("add", "subtract", "double_and_add", "require_sum"):
        p, f, (first, second, third) = _formulas(curve)
        if make == "require_sum":
            f.require_sum(first, second, third)
        elif make == "double_and_add":
            f.double_and_add(first, second)
        else:
            f.add(first, second, 1 if make == "add" else -1)
        for q in (g, minus, *([minus_double] if make == "double_and_add" else [])):
            with pytest.raises(UnsatisfiedError):
                p.run([*g, *q, *double])


@CURVES
def test_points_that_are_not_on_the_curve(curve: Curve) -> None:
    p = Program(1, "not on the curve", curve.field)
    Formulas(p, curve).require_not_on_curve(p.word(0), p.word(1))
    p.run([0, 0])
    p.run([curve.generator[0], curve.generator[1] + 1])
    with pytest.raises(UnsatisfiedError):
        p.run(curve.generator)
