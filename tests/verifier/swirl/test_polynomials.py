"""The kernels, against their definitions on the points of the prism."""

from __future__ import annotations

from itertools import product as pairs

import numpy as np
import pytest

from circuits.air.field import MODULUS
from verifier.swirl import polynomials
from verifier.swirl.field import DEGREE, ONE, ZERO, Extension, root_of_unity, roots_of_unity

LOG_DOMAIN, VARIABLES = 2, 2
ROWS = 1 << (LOG_DOMAIN + VARIABLES)


def some(*shape: int, seed: int = 1) -> Extension:
    return Extension(np.random.default_rng(seed).integers(MODULUS, size=(*shape, DEGREE), dtype=np.uint64))


def row(number: int) -> Extension:
    """The point of a row."""
    on_domain = int(roots_of_unity(LOG_DOMAIN)[number % (1 << LOG_DOMAIN)])
    bits = [number >> LOG_DOMAIN >> i & 1 for i in range(VARIABLES)]
    return Extension.stack([Extension.of(value) for value in (on_domain, *bits)])


def indicator(condition: bool) -> Extension:
    return ONE if condition else ZERO


def test_evaluation_and_interpolation() -> None:
    coefficients, at = some(5), some(seed=2)
    expected = ZERO
    for coefficient, power in zip(coefficients, at.powers(5), strict=True):
        expected = expected + coefficient * power
    assert polynomials.evaluate(coefficients, at) == expected
    values = Extension.stack([polynomials.evaluate(coefficients, Extension.of(i)) for i in range(5)])
    assert polynomials.interpolate(values, at) == expected
    for i, value in enumerate(values):
        assert polynomials.interpolate(values, Extension.of(i)) == value


def test_equality_on_the_cube() -> None:
    bits = [Extension.of(np.array(b, dtype=np.uint64)) for b in pairs((0, 1), repeat=3)]
    for x, y in pairs(bits, bits):
        assert polynomials.equality(x, y) == indicator(x == y)


def test_multilinear_extension() -> None:
    """Equals the sum of values times eq, with the lowest bit first."""
    values, at = some(8), some(3, seed=3)
    assert polynomials.multilinear(values, at) == (values * polynomials.cube_equalities(at)).sum()
    for number, value in enumerate(values):
        bits = Extension.of(np.array([number >> i & 1 for i in range(3)], dtype=np.uint64))
        assert polynomials.multilinear(values, bits) == value


def test_mobius_equality_takes_coefficients_for_values() -> None:
    """The sum of f(b) mobius_eq(u, b) over the cube is the value at u of f's coefficients, read as values."""
    u = some(2, seed=4)
    f = some(4, seed=5)
    cube = [Extension.of(np.array([n & 1, n >> 1], dtype=np.uint64)) for n in range(4)]
    found = ZERO
    for value, b in zip(f, cube, strict=True):
        found = found + value * polynomials.mobius_equality(u, b)
    # f as values on the cube, of which the multilinear coefficients are read as values at u.
    coefficients = Extension.stack([f[0], f[1] - f[0], f[2] - f[0], f[3] - f[2] - f[1] + f[0]])
    assert found == polynomials.multilinear(coefficients, u)


def test_equality_on_the_domain() -> None:
    roots = [Extension.of(int(root)) for root in roots_of_unity(LOG_DOMAIN)]
    for (i, x), (j, y) in pairs(enumerate(roots), enumerate(roots)):
        assert polynomials.domain_equality(LOG_DOMAIN, x, y) == indicator(i == j)
    for x in (*roots, some()):
        at_one = polynomials.domain_equality_at_one(LOG_DOMAIN, x)
        assert at_one == polynomials.domain_equality(LOG_DOMAIN, x, 1)


def test_the_cube_read_as_the_domain() -> None:
    xi, z = some(LOG_DOMAIN), some(seed=6)
    expected = ZERO
    for weight, root in zip(polynomials.cube_equalities(xi), roots_of_unity(LOG_DOMAIN), strict=True):
        expected = expected + weight * polynomials.domain_equality(LOG_DOMAIN, z, int(root))
    assert polynomials.domain_cube_equality(xi, z) == expected


def test_kernels_on_the_prism() -> None:
    for i, j in pairs(range(ROWS), repeat=2):
        x, y = row(i), row(j)
        assert polynomials.prism_equality(LOG_DOMAIN, x, y) == indicator(i == j)
        assert polynomials.prism_rotation(LOG_DOMAIN, x, y) == indicator(i == (j + 1) % ROWS)
    for i in range(ROWS):
        assert polynomials.is_first_row(LOG_DOMAIN, row(i)) == indicator(i == 0)
        assert polynomials.is_last_row(LOG_DOMAIN, row(i)) == indicator(i == ROWS - 1)


@pytest.mark.parametrize("log_order", range(4))
def test_subgroups(log_order: int) -> None:
    for root in roots_of_unity(3):
        expected = indicator(pow(int(root), 1 << log_order, MODULUS) == 1)
        assert polynomials.is_in_subgroup(3, log_order, Extension.of(int(root))) == expected


def test_folding() -> None:
    """Folding the values on a coset gives the folded polynomial: even and odd coefficients combined."""
    coefficients, challenges = some(32, seed=7), some(3, seed=8)
    roots = np.array([5, 77, MODULUS - 2], dtype=np.uint64)
    generator = root_of_unity(3)
    points = np.array([[int(x) * pow(generator, i, MODULUS) % MODULUS for i in range(8)] for x in roots], np.uint64)
    values = polynomials.evaluate(coefficients, points)
    folded = coefficients
    for challenge in challenges:
        folded = folded[::2] + folded[1::2] * challenge
    expected = [polynomials.evaluate(folded, Extension.of(pow(int(x), 8, MODULUS))) for x in roots]
    assert polynomials.fold(values, challenges, roots) == Extension.stack(expected)
