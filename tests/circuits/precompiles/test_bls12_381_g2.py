"""BLS12_G2ADD and BLS12_G2MSM by their programs: against py-evm, on inputs of every kind, and against liars."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from eth.exceptions import VMError
from eth.precompiles.bls12_381.bls12_381_g2 import bls12_g2_add, bls12_g2_msm

from circuits.programs import bls12_381 as bls
from circuits.programs import bls12_381_g2 as g2
from circuits.programs.bls12_381 import COFACTOR_G2, FIELD, P, R, U
from circuits.programs.bls12_381_g2 import add_instances, add_variants, multiply_instances, multiply_variants
from circuits.programs.extensions import Point
from circuits.programs.program import Program, UnsatisfiedError
from tests.circuits.precompiles.liars import believed, lie, registers_of_rows
from tests.circuits.precompiles.running import run_instances, word_at

#: Narrow and wide rows, selections, bits and words of each program.
ROWS: dict[int, tuple[int, ...]] = {
    170: (33, 25, 7, 0, 48),
    171: (35, 19, 7, 0, 48),
    172: (31, 11, 7, 0, 40),
    173: (28, 11, 7, 0, 32),
    174: (16, 9, 6, 0, 18),
    175: (16, 9, 4, 0, 16),
    176: (928, 1122, 214, 2, 25),
    177: (928, 1122, 216, 2, 25),
    178: (8, 8, 4, 0, 8),
    179: (8, 8, 6, 0, 8),
    180: (11, 11, 10, 0, 16),
    181: (12, 0, 6, 0, 8),
    182: (8, 5, 6, 0, 10),
    183: (7, 9, 4, 0, 8),
    184: (292, 320, 10, 1, 8),
}
TOP = 2**256 - 1


def _bytes(point: Point | None) -> bytes:
    return b"".join(c.to_bytes(64, "big") for part in point for c in part) if point else bytes(256)


def _multiple(k: int) -> Point | None:
    return FIELD.multiply_point(bls.G2, k % R)


@cache
def _on_twist() -> Point:
    for x in range(1, 100):
        y = FIELD.square_root2((x**3 + 4, 4))
        if y is not None:
            return (x, 0), y
    raise AssertionError("no point")


def _of_order_13() -> Point:
    point = FIELD.multiply_point(_on_twist(), COFACTOR_G2 * R // 13**2)
    while point is not None and FIELD.multiply_point(point, 13) is not None:
        point = FIELD.multiply_point(point, 13)
    assert point is not None
    return point


def _of_evm(precompile: Callable[[Any], Any], data: bytes) -> tuple[bool, bytes]:
    computation = SimpleNamespace(msg=SimpleNamespace(data=data), output=b"", consume_gas=lambda *_, **__: None)
    try:
        precompile(computation)
    except VMError:
        return False, b""
    return True, computation.output


def _sum(data: bytes) -> int:
    found = add_instances(data)
    assert run_instances(data, found) == _of_evm(bls12_g2_add, data)
    return found[0].variant.program.number


def _multiples(data: bytes, *, known: bytes | None = None) -> list[int]:
    found = multiply_instances(data)
    expected = _of_evm(bls12_g2_msm, data) if known is None else (True, known)
    assert run_instances(data, found) == expected
    return [i.variant.program.number for i in found]


def _pair(k: int, scalar: int) -> bytes:
    return _bytes(_multiple(k)) + scalar.to_bytes(32, "big")


def _words(data: bytes, count: int) -> list[int]:
    return [word_at(data, 32 * k) for k in range(count)]


def _programs() -> dict[int, Program]:
    return {v.program.number: v.program for v in (*add_variants(), *multiply_variants())}


def test_rows_of_all_programs() -> None:
    assert {number: tuple(p.rows.values()) for number, p in _programs().items()} == ROWS


def test_sums() -> None:
    a, b, other = _multiple(3), _multiple(5), _on_twist()
    small = _of_order_13()
    assert _sum(_bytes(a) + _bytes(b)) == g2.ADD
    assert _sum(_bytes(other) + _bytes(b)) == g2.ADD
    assert _sum(_bytes(other) + _bytes(small)) == g2.ADD
    for point in (a, other, small):
        negative = FIELD.multiply_point(point, COFACTOR_G2 * R - 1)
        assert _sum(_bytes(point) * 2) == g2.DOUBLE
        assert _sum(_bytes(point) + _bytes(negative)) == g2.OPPOSITE
        assert _sum(_bytes(point) + bytes(256)) == _sum(bytes(256) + _bytes(point)) == g2.INFINITY
    assert _sum(bytes(512)) == g2.INFINITY


def _changed(data: bytes, k: int, value: int) -> bytes:
    return data[: 64 * k] + value.to_bytes(64, "big") + data[64 * k + 64 :]


def test_points_that_fail() -> None:
    data = _bytes(_multiple(3)) + _bytes(_multiple(5))
    for k in range(8):
        assert _sum(_changed(data, k, P)) == g2.LARGE
        assert _sum(_changed(data, k, 7)) == g2.OFF_CURVE
    assert _sum(_changed(bytes(512), 3, 2**512 - 1)) == g2.LARGE
    for k in range(4):
        single = _pair(3, 1)
        assert _multiples(_changed(single, k, P + 1)) == [g2.LARGE_PART]
        assert _multiples(_changed(single, k, 0)) == [g2.OFF_CURVE_PART]
    for point in (_on_twist(), _of_order_13(), FIELD.add_points(_of_order_13(), _multiple(2))):
        assert _multiples(_bytes(point) + bytes(32)) == [g2.OFF_SUBGROUP]
        assert not believed(_programs()[g2.MULTIPLE], _words(_bytes(point) + bytes(32), 9))


@pytest.mark.parametrize("scalar", [0, 1, 2, U, U**2 - 1, U**3, R - 1, R, R + 1, TOP])
def test_multiples(scalar: int) -> None:
    known = _bytes(_multiple(3 * scalar))
    end = g2.FINITE_END if scalar % R else g2.INFINITE_END
    assert _multiples(_pair(3, scalar), known=known) == [g2.MULTIPLE, end]


def test_sums_of_multiples() -> None:
    data = bytes(256) + TOP.to_bytes(32, "big") + _pair(3, 5) + _pair(1, R - 14) + bytes(288) + _pair(1, R - 1)
    numbers = [g2.NOTHING, g2.MULTIPLE + 1, g2.MULTIPLE + 1, g2.NOTHING + 1, g2.MULTIPLE + 1, g2.INFINITE_END]
    assert _multiples(data, known=bytes(256)) == numbers
    assert _multiples(data[:-288], known=_bytes(_multiple(1))) == [*numbers[:-2], g2.FINITE_END]
    assert _multiples(data[:288], known=bytes(256)) == [g2.NOTHING, g2.INFINITE_END]
    assert multiply_instances(data + bytes(287) + b"\1")[-1].variant.program.number == g2.INFINITE_END


def test_points_that_meet_offsets() -> None:
    """Whoever aims at one offset does not hit the others."""
    start, offsets = g2._start(), g2._offsets()
    # The table's second entry is O + Q.
    data = _bytes(offsets[0]) + (2).to_bytes(32, "big")
    assert multiply_instances(data)[0].choice == 1
    assert _multiples(data, known=_bytes(FIELD.multiply_point(offsets[0], 2))) == [g2.MULTIPLE, g2.FINITE_END]
    # Behind a part with the same offset, the sum before is the multiple.
    data = _pair(1, 0) + _bytes(start) + (1).to_bytes(32, "big")
    assert [i.choice for i in multiply_instances(data)] == [0, 1, 0]
    assert _multiples(data, known=_bytes(start)) == [g2.MULTIPLE, g2.MULTIPLE + 1, g2.FINITE_END]


@pytest.mark.deep
def test_against_py_evm() -> None:
    rng = random.Random(8)
    for count in (1, 2, 3):
        data = b"".join(_pair(rng.randrange(R), rng.randrange(TOP)) for _ in range(count))
        assert len(_multiples(data)) == count + 1


def test_other_lengths_are_the_callers_care() -> None:
    for length in (0, 1, 287, 289):
        with pytest.raises(ValueError, match="no pairs"):
            multiply_instances(bytes(length))


def test_lies_about_registers() -> None:
    """A changed register of any program, on an input of its own or on a valid one, is found out."""
    both = _bytes(_multiple(3)) + _bytes(_multiple(5))
    single = _pair(3, R - 5)
    cases = {
        g2.ADD: (both, 16, 7),
        g2.DOUBLE: (both[:256] * 2, 16, 7),
        g2.LARGE: (both, 16, 3),
        g2.OFF_CURVE: (both, 16, 3),
        g2.MULTIPLE: (single, 9, 191),
        g2.OFF_SUBGROUP: (single, 9, 61),
    }
    for number, (data, count, step) in cases.items():
        program = _programs()[number]
        for index in registers_of_rows(program, step):
            with pytest.raises(UnsatisfiedError):
                lie(program, _words(data, count), {index: lambda v: v + 1})
