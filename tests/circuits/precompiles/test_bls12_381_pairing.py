"""The pairing check on BLS12-381 by its programs: against py-evm, on inputs of every kind, and against liars."""

from __future__ import annotations

import random
from functools import cache
from math import gcd, prod
from types import SimpleNamespace

import pytest
from eth.exceptions import VMError
from eth.precompiles.bls12_381.bls12_381_pairing import bls12_pairing_check

from circuits.programs import bls12_381 as bls
from circuits.programs.bls12_381 import COFACTOR_G1, COFACTOR_G2, FIELD, P, R, U
from circuits.programs.bls12_381_pairing import (
    CHOICES,
    QUOTIENT,
    _g1_offsets,
    _g2_offsets,
    _start,
    instances,
    variant,
    variants,
)
from circuits.programs.extensions import ONE, Point, signed_digits
from circuits.programs.program import Run, UnsatisfiedError
from tests.circuits.precompiles.liars import believed, lie, registers_of_rows
from tests.circuits.precompiles.running import run_instances, word_at

#: Narrow and wide rows, selections, bits and words of each program.
ROWS = {
    58: (12, 7, 4, 0, 14),
    59: (14, 9, 3, 0, 12),
    70: (1499, 2456, 12, 0, 24),
    71: (1499, 2476, 18, 0, 24),
    72: (280, 442, 9, 0, 20),
    73: (280, 442, 15, 0, 20),
    74: (298, 16, 7, 0, 16),
    75: (298, 16, 13, 0, 16),
    76: (421, 900, 11, 0, 1),
    77: (843, 1796, 11, 0, 1),
    78: (600, 0, 4, 1, 4),
    79: (292, 320, 10, 1, 8),
}
YES, NO = (1).to_bytes(32, "big"), bytes(32)


def _elements(*values: int) -> bytes:
    return b"".join(value.to_bytes(64, "big") for value in values)


def _g1_bytes(point: Point | None) -> bytes:
    return _elements(point[0][0], point[1][0]) if point else bytes(128)


def _g2_bytes(point: Point | None) -> bytes:
    return _elements(*point[0], *point[1]) if point else bytes(256)


@cache
def _g1(k: int) -> bytes:
    return _g1_bytes(FIELD.multiply_point(bls.G1, k % R))


@cache
def _g2(k: int) -> bytes:
    return _g2_bytes(FIELD.multiply_point(bls.G2, k % R))


def _pair(a: int, b: int) -> bytes:
    return _g1(a) + _g2(b)


def _inputs(data: bytes, first: int = 0) -> list[int]:
    return [word_at(data, first + 32 * k) for k in range(12)]


def _of_evm(data: bytes) -> tuple[bool, bytes]:
    computation = SimpleNamespace(msg=SimpleNamespace(data=data), output=b"", consume_gas=lambda *_, **__: None)
    try:
        bls12_pairing_check(computation)
    except VMError:
        return False, b""
    return True, computation.output


@cache
def _on_curve() -> list[Point]:
    """Points of the curve that nobody multiplied by its cofactor."""
    roots = ((x, bls.square_root(x**3 + 4)) for x in range(1, 60))
    return [bls.g1_point(x, y) for x, y in roots if y is not None]


@cache
def _on_twist() -> list[Point]:
    """The same of the twist."""
    roots = (((x, 0), FIELD.square_root2((x**3 + 4, 4))) for x in range(1, 20))
    return [(x, y) for x, y in roots if y is not None]


def _of_order(candidates: list[Point], count: int, order: int) -> Point:
    """A point of a prime order of a group of this many points."""
    while count % order == 0:
        count //= order
    for point in candidates:
        found = FIELD.multiply_point(point, count)
        while found is not None:
            last, found = found, FIELD.multiply_point(found, order)
            if found is None:
                return last
    raise AssertionError("no point")


FAILING = {
    "x": (58, _elements(P, 2) + _g2(1)),
    "y, of infinity": (58, _elements(0, P) + _g2(1)),
    "x of G2, imaginary": (58, _g1(1) + _elements(0, 2**512 - 1, 0, 0)),
    "y of G2": (58, _g1(0) + _elements(0, 0, 1 << 384, 0)),
    "y of G2, imaginary": (58, _elements(0, P - 1, P - 1, P - 1, P - 1, P)),
    "not on the curve": (59, _elements(1, 3) + _g2(1)),
    "not on the curve, x = 0": (59, _elements(0, 1) + _g2(0)),
    "not on the twist": (59, _g1(1) + _elements(1, 2, 3, 4)),
    "not on the twist, infinite in G1": (59, _g1(0) + _elements(0, 0, 0, 1)),
    "on the curve, for the twist": (59, _g1(1) + _elements(word_at(_g1(1), 0) << 256 | word_at(_g1(1), 32), 0, 0, 0)),
}


def test_rows_of_all_programs() -> None:
    assert {v.program.number: tuple(v.program.rows.values()) for v in variants()} == ROWS
    # Cells as the tables count them, narrow 1,150, wide 1,350, selection 195, word 525: two pairs and the end.
    cost = [1150, 1350, 195, 2400, 525]
    assert sum(a * b for k in (70, 71, 76) for a, b in zip(ROWS[k], cost, strict=True)) <= 13_000_000


def test_arguments_of_the_groups() -> None:
    """What the module says of orders and chains."""
    factors = [13, 23, 2713, 11953, 262069, COFACTOR_G2 // (13**2 * 23**2 * 2713 * 11953 * 262069), R]
    assert prod(factors) * 13 * 23 == COFACTOR_G2 * R
    assert gcd(R, COFACTOR_G2) == 1
    points = COFACTOR_G2 * R
    assert points % 2
    # The resultant of s + u and s^2 - t s + p is its value at -u.
    trace = 1 - U
    assert gcd(U * U + trace * U + P, points) == R
    k = 1
    opposite = []
    for digit in signed_digits(U)[1:]:
        k *= 2
        if digit:
            assert all((k - digit) % f for f in factors)
            opposite += [(k, f) for f in factors if (k + digit) % f == 0]
            k += digit
    assert k == U
    assert opposite == [(12, 13)]
    assert not any(FIELD.power12((_start(), ONE), QUOTIENT.cofactor)[1])
    for point in (*_g1_offsets(), *_g2_offsets()):
        assert bls.in_subgroup(point)
    assert all(FIELD.on_curve(point, bls.TWIST_B) for point in _g2_offsets())


@pytest.mark.parametrize(
    ("data", "numbers", "answer"),
    [
        (_pair(0, 0), [74, 76], YES),
        (_pair(0, 5), [72, 76], YES),
        (_pair(5, 0) + _pair(0, 3), [74, 73, 76], YES),
        (_pair(2, 3), [70, 77], NO),
        pytest.param(
            _pair(6, 5) + _pair(7, 0) + _pair(-10, 3), [70, 75, 71, 76], YES, marks=pytest.mark.deep, id="three pairs"
        ),
    ],
)
def test_products(data: bytes, numbers: list[int], answer: bytes) -> None:
    found = instances(data)
    assert [i.variant.program.number for i in found] == numbers
    assert run_instances(data, found) == (True, answer)


@pytest.mark.parametrize("kind", FAILING)
def test_pairs_that_fail(kind: str) -> None:
    number, pair = FAILING[kind]
    for before in (b"", _pair(0, 0)):
        data = before + pair
        found = instances(data)
        assert found[-1].variant.program.number == number
        assert run_instances(data, found) == (False, b"")
    assert _of_evm(pair) == (False, b"")


@pytest.mark.parametrize("order", [3, 11, 10177, COFACTOR_G1 * R])
def test_points_outside_of_g1(order: int) -> None:
    point = _of_order(_on_curve(), COFACTOR_G1 * R, order) if order < R else _on_curve()[0]
    for q in (0, 1):
        data = _g1_bytes(point) + _g2(q)
        found = instances(data)
        assert found[0].variant.program.number == 78
        assert run_instances(data, found) == (False, b"") == _of_evm(data)
        assert not any(believed(variant(number).program, _inputs(data)) for number in (70, 74))


@pytest.mark.parametrize("order", [13, 23, 2713, COFACTOR_G2 * R])
def test_points_outside_of_g2(order: int) -> None:
    point = _of_order(_on_twist(), COFACTOR_G2 * R, order) if order < R else _on_twist()[0]
    for p in (0, 1):
        data = _g1(p) + _g2_bytes(point)
        found = instances(data)
        assert found[0].variant.program.number == 79
        assert run_instances(data, found) == (False, b"")
        assert not any(believed(variant(number).program, _inputs(data)) for number in (70, 72))
    assert _of_evm(data) == (False, b"")


def _meeting(offset: Point, number: int, small: Point, order: int) -> Point:
    """A point Q outside of the subgroup for which the chain of [number]Q from this offset S on adds Q to Q or -Q.

    [2^i]S + [k]Q = Q or -Q, where the order divides k - 1 or k + 1.
    """
    k = 0
    for i, digit in enumerate(signed_digits(number)):
        k *= 2
        for sign in (1, -1):
            if digit and k > 2 and (k - sign) % order == 0:
                part = FIELD.multiply_point(offset, -pow(2, i + 1, R) * pow(k - sign, -1, R) % R)
                found = FIELD.add_points(part, small)
                assert found is not None
                return found
        k += digit
    raise AssertionError("no such step")


def test_points_that_meet_offsets() -> None:
    """Whoever aims at one offset does not hit the others."""
    of_curve, of_twist = _of_order(_on_curve(), COFACTOR_G1 * R, 3), _of_order(_on_twist(), COFACTOR_G2 * R, 13)
    for k in range(2):
        p = _meeting(_g1_offsets()[k], U * U, of_curve, 3)
        q = _meeting(_g2_offsets()[k], U, of_twist, 13)
        for number, data in ((78, _g1_bytes(p) + _g2(1)), (79, _g1(1) + _g2_bytes(q))):
            found = instances(data)
            assert found[0].variant.program.number == number
            assert not believed(variant(number).program, _inputs(data), choice=k)
            assert found[0].choice == (1 if k == 0 else 0)
            assert run_instances(data, found) == (False, b"")


def test_valid_pairs_do_not_fail() -> None:
    """Also where the offsets are met, where a slope is free for whoever need not prove its denominator."""
    for data in (_pair(3, 4), _g1_bytes(_g1_offsets()[1]) + _g2_bytes(_g2_offsets()[1])):
        for number in (58, 59, 78, 79):
            program = variant(number).program
            assert not any(believed(program, _inputs(data), choice=choice) for choice in range(CHOICES))
    # [2]S is the first sum's other point.
    doubled1, doubled2 = (FIELD.multiply_point(points[0], 2) for points in (_g1_offsets(), _g2_offsets()))
    data = _g1_bytes(doubled1) + _g2_bytes(doubled2)
    for number in (78, 79):
        program = variant(number).program
        assert not any(believed(program, _inputs(data), choice=choice) for choice in range(CHOICES))
        for index in registers_of_rows(program, 83):
            with pytest.raises(UnsatisfiedError):
                lie(program, _inputs(data), {index: lambda v: v + 1})


def test_lies_about_registers() -> None:
    data = _pair(3, 4) + _pair(-6, 2)
    first, second, end = instances(data)
    runs = [first.variant.program.run(_inputs(data))]
    runs.append(second.variant.program.run(_inputs(data, 384), linked=runs[0]))
    assert not believed(variant(77).program, [], linked=runs[1])
    assert not believed(variant(76).program, [], linked=runs[0])
    cases: tuple[tuple[int, list[int], Run | None, int], ...] = (
        (70, _inputs(data), None, 1009),
        (71, _inputs(data, 384), runs[0], 1301),
        (76, [], runs[1], 397),
    )
    assert (first.variant.program.number, second.variant.program.number, end.variant.program.number) == (70, 71, 76)
    for number, words, linked, step in cases:
        program = variant(number).program
        for index in registers_of_rows(program, step):
            with pytest.raises(UnsatisfiedError):
                lie(program, words, {index: lambda v: v + 1}, linked=linked)


def test_other_lengths_are_the_callers_care() -> None:
    for length in (0, 1, 383, 385):
        with pytest.raises(ValueError, match="no pairs"):
            instances(bytes(length))


@pytest.mark.deep
def test_against_py_evm() -> None:
    rng = random.Random(7)
    for _ in range(4):
        scalars = [(rng.choice([0, 1, rng.randrange(R)]), rng.choice([0, 1, rng.randrange(R)])) for _ in range(2)]
        rest = -sum(a * b for a, b in scalars) + rng.choice([0, 1])
        data = b"".join(_pair(a, b) for a, b in scalars) + _pair(rest, 1)
        assert run_instances(data, instances(data)) == _of_evm(data)
