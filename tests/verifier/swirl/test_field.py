"""The extension field, against galois."""

from __future__ import annotations

import galois
import numpy as np
import pytest

from circuits.air.field import MODULUS
from verifier.swirl.field import (
    DEGREE,
    NON_RESIDUE,
    ONE,
    TWO_ADICITY,
    ZERO,
    Extension,
    base_powers,
    base_to_power_of_two,
    dot,
    product,
    root_of_unity,
    roots_of_unity,
)

BASE = galois.GF(MODULUS)
#: What elements of the extension are reduced by.
POLYNOMIAL = galois.Poly([1, 0, 0, 0, MODULUS - NON_RESIDUE], field=BASE)

EDGES = (0, 1, MODULUS - 1, MODULUS // 2)


def elements(count: int, seed: int) -> Extension:
    """Random ones, and some with the smallest and largest coefficients."""
    cells = np.random.default_rng(seed).integers(MODULUS, size=(count, DEGREE), dtype=np.uint64)
    for index, edge in enumerate(EDGES):
        cells[index] = edge
    return Extension(cells)


def polynomial(element: Extension) -> galois.Poly:
    return galois.Poly(BASE(element.cells[::-1].astype(np.int64)))


def reduced(value: galois.Poly) -> Extension:
    coefficients = (value % POLYNOMIAL).coefficients(DEGREE, order="asc")
    return Extension(np.asarray(coefficients).astype(np.uint64))


def test_the_extension_is_a_field() -> None:
    """X^4 - a is irreducible over F_p for p = 1 modulo 4 when a is no square (Lidl and Niederreiter, theorem 3.75)."""
    assert MODULUS % 4 == 1
    assert pow(NON_RESIDUE, (MODULUS - 1) // 2, MODULUS) == MODULUS - 1


def test_operations() -> None:
    for a, b in zip(elements(6, 1), elements(6, 2)[::-1], strict=True):
        p, q = polynomial(a), polynomial(b)
        assert a + b == reduced(p + q)
        assert a - b == reduced(p - q)
        assert a * b == reduced(p * q)
        assert a.half() + a.half() == a


@pytest.mark.parametrize("scalar", [0, 1, 7, -3, MODULUS - 1])
def test_operations_with_base_elements(scalar: int) -> None:
    a = elements(8, 3)
    other = Extension.of(scalar)
    array = np.full(8, scalar % MODULUS, dtype=np.uint64)
    for operand in (scalar, array):
        assert a + operand == operand + a == a + other
        assert a * operand == operand * a == a * other
        assert a - operand == a - other
        assert operand - a == other - a


def test_broadcasting() -> None:
    a, b = elements(6, 4), elements(5, 5)
    table = Extension(a.cells[:, None]) * Extension(b.cells[None])
    assert table.shape == (6, 5)
    for i in range(6):
        for j in range(5):
            assert Extension(table.cells[i, j]) == a[i] * b[j]


def test_powers() -> None:
    x = elements(5, 6)[4]
    power = ONE
    for index, found in enumerate(x.powers(11)):
        assert found == power, index
        power = power * x
    assert len(x.powers(0)) == 0
    assert x.squarings(4) == Extension.stack([x, x * x, x.powers(5)[4], x.powers(9)[8]])
    assert x.to_power_of_two(3) == x.powers(9)[8]


def test_sums_and_products() -> None:
    a, b = elements(7, 7), elements(7, 8)
    total, factor, inner = ZERO, ONE, ZERO
    for x, y in zip(a, b, strict=True):
        total, factor, inner = total + x, factor * x, inner + x * y
    assert a.sum() == total
    assert product(a) == factor
    assert dot(a, b) == inner
    assert product(a[:0]) == ONE
    assert a[:0].sum() == ZERO


def test_equality_is_of_all_elements() -> None:
    a = elements(5, 9)
    b = Extension(a.cells.copy())
    assert a == b
    b.cells[3, 2] ^= np.uint64(1)
    assert a != b
    assert (ONE == "1") is False


@pytest.mark.parametrize("log_order", [0, 1, 4, TWO_ADICITY])
def test_roots_of_unity(log_order: int) -> None:
    root = int(BASE(root_of_unity(log_order)))
    assert pow(root, 1 << log_order, MODULUS) == 1
    if log_order:
        assert pow(root, 1 << (log_order - 1), MODULUS) == MODULUS - 1


def test_the_root_of_unity_is_the_one_of_the_engine() -> None:
    """`TWO_ADIC_GENERATORS` of Plonky3's BabyBear ends with it."""
    assert root_of_unity(TWO_ADICITY) == 0x1A427A41


def test_base_powers() -> None:
    exponents = np.array([[0, 1, 2], [5, 1000, (1 << 31) - 1]], dtype=np.uint64)
    found = base_powers(31, exponents)
    assert found.tolist() == [[pow(31, int(e), MODULUS) for e in row] for row in exponents]
    assert roots_of_unity(3).tolist() == [pow(root_of_unity(3), i, MODULUS) for i in range(8)]
    assert base_to_power_of_two(found, 5).tolist() == [[pow(int(x), 32, MODULUS) for x in row] for row in found]
