"""Point evaluations by their programs: against c-kzg, on inputs that are wrong in every way, and against liars."""

from __future__ import annotations

import hashlib
import random
from functools import cache
from math import gcd
from pathlib import Path

import ckzg
import eth
import pytest
from py_ecc.bls.point_compression import decompress_G2
from py_ecc.optimized_bls12_381 import normalize

from circuits.programs import bls12_381 as bls
from circuits.programs import point_evaluation
from circuits.programs.bls12_381 import COFACTOR_G1, FIELD, P, R, U
from circuits.programs.extensions import Point, signed_digits
from circuits.programs.point_evaluation import instances, variant, variants
from circuits.programs.program import UnsatisfiedError
from tests.circuits.precompiles.liars import believed, lie, registers_of_rows
from tests.circuits.precompiles.running import run_instances, word_at

#: Narrow and wide rows, selections, bits and words of each program.
ROWS = {
    40: (3056, 3314, 402, 3, 36),
    41: (2764, 3310, 402, 3, 29),
    42: (951, 4, 44, 2, 27),
    43: (16, 0, 4, 0, 18),
    44: (2910, 4192, 400, 3, 27),
    45: (2897, 4190, 400, 3, 20),
    46: (667, 2, 42, 2, 17),
    47: (8, 0, 2, 0, 8),
    48: (981, 4, 123, 3, 27),
    49: (968, 2, 123, 3, 20),
    50: (8, 0, 2, 0, 11),
    51: (2, 1, 1, 0, 3),
    53: (15, 3, 2, 0, 10),
    54: (9, 1, 5, 0, 12),
    55: (12, 0, 2, 0, 10),
    56: (596, 1, 3, 0, 10),
    57: (608, 1, 5, 0, 10),
}
ANSWER = (4096).to_bytes(32, "big") + R.to_bytes(32, "big")
SETUP_FILE = Path(eth.__file__).parent / "_utils" / "kzg_trusted_setup.txt"
INFINITY = bytes([0xC0]) + bytes(47)


@cache
def _setup() -> object:
    return ckzg.load_trusted_setup(str(SETUP_FILE), 0)


def _encoded(point: Point | None) -> bytes:
    if point is None:
        return INFINITY
    x, y = point[0][0], point[1][0]
    return (((4 + (2 * y > P)) << 381) + x).to_bytes(48, "big")


def _multiple(k: int) -> bytes:
    return _encoded(FIELD.multiply_point(bls.G1, k % R))


def _input(c: bytes, z: int, y: int, w: bytes) -> bytes:
    versioned = b"\x01" + hashlib.sha256(c).digest()[1:]
    return versioned + z.to_bytes(32, "big") + y.to_bytes(32, "big") + c + w


def _of_library(data: bytes) -> tuple[bool, bytes]:
    if data[:32] != b"\x01" + hashlib.sha256(data[96:144]).digest()[1:]:
        return False, b""
    try:
        valid = ckzg.verify_kzg_proof(data[96:144], data[32:64], data[64:96], data[144:], _setup())
    except RuntimeError:
        return False, b""
    return valid, ANSWER if valid else b""


def _words(data: bytes) -> list[int]:
    return [word_at(data, 32 * k) for k in range(6)]


def _answer(data: bytes) -> int:
    """The number of the program that answers; the answer is the library's."""
    found = instances(data)
    assert run_instances(data, found) == _of_library(data)
    return found[0].variant.program.number


@cache
def _valid(seed: int = 1) -> tuple[bytes, int, int, bytes]:
    """C, z, y and W of a random polynomial of the degree 3, in powers of s: sums of the setup's points."""
    rng = random.Random(seed)
    blob = b"".join(rng.randrange(R).to_bytes(32, "big") for _ in range(4096))
    z = rng.randrange(R)
    w, y = ckzg.compute_kzg_proof(blob, z.to_bytes(32, "big"), _setup())
    return ckzg.blob_to_kzg_commitment(blob, _setup()), z, int.from_bytes(y, "big"), w


@cache
def _off_subgroup(order: int | None = None) -> Point:
    """A point of the curve: with x as small as possible, or times what leaves this order."""
    for x in range(1, 100):
        y = bls.square_root(x**3 + bls.CURVE_B)
        if y is None:
            continue
        point: Point | None = bls.g1_point(x, y)
        if order is not None:
            point = FIELD.multiply_point(point, R * COFACTOR_G1 // order**2 if order > 3 else R * COFACTOR_G1 // 3)
            while point is not None and FIELD.multiply_point(point, order) is not None:
                point = FIELD.multiply_point(point, order)
        if point is not None:
            return point
    raise AssertionError("no point")


def test_rows_of_all_programs() -> None:
    assert {v.program.number: tuple(v.program.rows.values()) for v in variants()} == ROWS
    # Cells as the tables count them: narrow 1,150, wide 1,350, selection 195, bits 2,400, word 525.
    cost = [1150, 1350, 195, 2400, 525]
    assert max(sum(a * b for a, b in zip(rows, cost, strict=True)) for rows in ROWS.values()) <= 12_000_000


def test_trusted_setup() -> None:
    """[s]G2 is the second power of the ceremony's file."""
    lines = SETUP_FILE.read_text().split()
    encoded = bytes.fromhex(lines[2 + 4096 + 1])
    x, y = normalize(decompress_G2((int.from_bytes(encoded[:48], "big"), int.from_bytes(encoded[48:], "big"))))
    assert tuple(tuple(int(c) for c in part.coeffs) for part in (x, y)) == point_evaluation.SECRET_G2
    assert FIELD.on_curve(point_evaluation.SECRET_G2, bls.TWIST_B)
    assert FIELD.multiply_point(point_evaluation.SECRET_G2, R) is None
    assert FIELD.multiply_point(bls.G2, R) is None
    assert FIELD.multiply_point(bls.G1, R) is None


def test_arguments_of_the_groups() -> None:
    """What the modules say of orders."""
    assert R == U**4 - U**2 + 1
    assert P == (U + 1) ** 2 * R // 3 - U
    assert P % 4 == 3
    # The curve has h * r points, an odd number, of which r divides only one factor.
    assert COFACTOR_G1 % 2
    assert COFACTOR_G1 % R
    assert P + 1 + U - 1 == COFACTOR_G1 * R
    order, exponent = P**6 + 1, P + U
    assert gcd(order, exponent) == R
    assert order // R % R
    # [u + 1] takes points of the curve into the subgroup: those of order 3 and of the squares' roots, to infinity.
    for order in (3, 11, 10177, 859267, 52437899):
        assert (U + 1) % order == 0
    assert (U + 1) % (3 * 11 * 10177 * 859267 * 52437899) == 0
    for x in range(1, 30):
        y = bls.square_root(x**3 + bls.CURVE_B)
        if y is not None:
            assert FIELD.multiply_point(bls.g1_point(x, y), (U + 1) * R) is None
    # phi has the norm polynomial 1 - s + s^2 at u^2, and acts as -u^2.
    assert pow(bls.BETA, 3, P) == 1 != bls.BETA
    (x, _), (y, _) = bls.G1
    assert FIELD.multiply_point(bls.G1, U * U) == (((x * bls.BETA) % P, 0), (-y % P, 0))
    # Chains without an offset, for points whose order r divides.
    for start in (U, U * U):
        k = 1
        for digit in signed_digits(start)[1:]:
            k *= 2
            assert k + 1 < R
            assert k - 1 > 0
            k += digit
    # Powers that the chain of e goes through: not trivial for an order r.
    assert U < R
    assert (U + P) % R == 0
    assert not bls.QUOTIENT.trivial(bls.QUOTIENT.of_order_n)
    assert bls.QUOTIENT.trivial(FIELD.power12(bls.QUOTIENT.of_order_n, R))


def test_valid_proofs() -> None:
    c, z, y, w = _valid()
    assert _answer(_input(c, z, y, w)) == 40
    assert _answer(_input(_multiple(7), z, 7, INFINITY)) == 42
    assert _answer(_input(INFINITY, z, 0, INFINITY)) == 43


def test_wrong_proofs() -> None:
    c, z, y, w = _valid()
    assert _answer(_input(c, z, y ^ 1, w)) == 44
    assert _answer(_input(_multiple(7), z, 8, INFINITY)) == 46
    assert _answer(_input(_multiple(7), R - 1, R - 7, INFINITY)) == 46
    assert _answer(_input(INFINITY, z, 1, INFINITY)) == 47
    # D is at infinity.
    assert _answer(_input(_multiple(3), 5, 13, _multiple(2))) == 48
    assert _answer(_input(INFINITY, 5, 10, _multiple(2))) == 49


@pytest.mark.deep
def test_more_proofs() -> None:
    c, z, y, w = _valid()
    assert _answer(_input(c, z, y, _multiple(2))) == 44
    assert _answer(_input(w, z, y, c)) == 44
    assert _answer(_input(INFINITY, z, y, w)) == 45
    assert _answer(_input(INFINITY, 0, 0, w)) == 49
    assert _answer(_input(_multiple(1), 0, 0, _multiple(-1))) == 44
    for seed in (2, 3):
        c, z, y, w = _valid(seed)
        assert _answer(_input(c, z, y, w)) == 40
        assert _answer(_input(c, (z + 1) % R, y, w)) == 44
    for k in range(1, 4):
        assert _answer(_input(_multiple(k), R - 1, k, INFINITY)) == 42


def test_scalars_and_hash() -> None:
    c, z, y, w = _valid()
    assert _answer(_input(c, R, y, w)) == 51
    assert _answer(_input(c, z, 2**256 - 1, w)) == 51
    valid = _input(c, z, y, w)
    for place in (0, 1, 31):
        assert _answer(valid[:place] + bytes([valid[place] ^ 2]) + valid[place + 1 :]) == 50
    assert _answer(bytes(192)) == 50


def test_encodings() -> None:
    c, z, y, w = _valid()

    def both(wrong: bytes, number: int) -> None:
        assert _answer(_input(wrong, z, y, w)) == number
        assert _answer(_input(c, z, y, wrong)) == number

    for flags in (0x00, 0x20, 0x40, 0x60, 0xC0, 0xE0):
        both(bytes([flags | c[0] & 31]) + c[1:], 53)
        both(bytes([flags]) + bytes(47), 53) if flags != 0xC0 else None
    both(INFINITY[:-1] + b"\1", 53)
    both(bytes([0xC0, 1]) + bytes(46), 53)
    for x in (P, P + 1, (1 << 381) - 1):
        both((x + (4 << 381)).to_bytes(48, "big"), 54)
    off = next(x for x in range(100) if bls.square_root(x**3 + 4) is None)
    both((off + (5 << 381)).to_bytes(48, "big"), 55)
    both(_encoded(_off_subgroup()), 56)


@pytest.mark.parametrize("order", [3, 11, 10177, 859267, 52437899])
def test_points_of_small_orders(order: int) -> None:
    c, z, y, _ = _valid()
    point = _off_subgroup(order)
    assert FIELD.multiply_point(point, order) is None
    assert _answer(_input(c, z, y, _encoded(point))) == 57
    together = FIELD.add_points(point, bls.G1)
    assert _answer(_input(c, z, y, _encoded(together))) == 56
    for number in (40, 55):
        assert not believed(variant(number).program, _words(_input(c, z, y, _encoded(point))))


@pytest.mark.deep
def test_points_that_meet_summands() -> None:
    """Whoever aims at one summand does not hit the others."""
    chosen, of_generator = point_evaluation._summands()
    c, z, y, _ = _valid()
    # The first sum of W's table is S + W.
    for k in (0, 1):
        data = _input(c, 1, y, _encoded(chosen[k]))
        found = instances(data)
        assert (found[0].choice == 0) == (k == 1)
        program = point_evaluation._trial(True)
        assert not believed(program, _words(data), choice=k)
        assert believed(program, _words(data), choice=found[0].choice)
    # C is minus what is subtracted at the end.
    for k in range(point_evaluation.CHOICES):
        steps = range(point_evaluation.HALF_DIGITS)
        fixed = sum(4**j for j in steps if j % 2 == 0)
        end = FIELD.add_points(
            FIELD.multiply_point(chosen[k], 4 ** len(steps)), FIELD.multiply_point(of_generator, fixed)
        )
        data = _input(_encoded(end), z, y, INFINITY)
        assert instances(data)[0].choice == (1 if k == 0 else 0)
        assert _answer(data) == 46


@pytest.mark.deep
def test_two_points_that_meet_two_summands() -> None:
    """W can spoil one choice and C another one: two are left."""
    chosen, of_generator = point_evaluation._summands()
    fixed = sum(4**k for k in range(point_evaluation.HALF_DIGITS) if k % 2 == 0)
    often = sum(4**k for k in range(point_evaluation.HALF_DIGITS))
    w = FIELD.multiply_point(chosen[0], R - 1)
    c = FIELD.add_points(FIELD.multiply_point(chosen[1], often), FIELD.multiply_point(of_generator, fixed))
    data = _input(_encoded(c), 5, 7, _encoded(w))
    trial = point_evaluation._trial(True)
    assert [believed(trial, _words(data), choice=k) for k in range(point_evaluation.CHOICES)] == [False] * 2 + [
        True
    ] * 2
    found = instances(data)
    assert found[0].choice == 2
    assert run_instances(data, found) == _of_library(data) == (False, b"")


def test_other_lengths_are_the_callers_care() -> None:
    for length in (0, 191, 193):
        with pytest.raises(ValueError, match="no input"):
            instances(bytes(length))


@pytest.mark.deep
def test_no_program_fails_what_is_valid() -> None:
    c, z, y, w = _valid()
    cases = {
        42: _input(_multiple(7), z, 7, INFINITY),
        43: _input(INFINITY, z, 0, INFINITY),
        40: _input(c, z, y, w),
    }
    for number, data in cases.items():
        others = [v.program for v in variants() if v.program.number not in (number, *range(40, 42))]
        # The pairing's own program for failures is slow: it is tried on what it is for.
        others = [p for p in others if number == 40 or p.number not in (44, 45)]
        assert not [p.number for p in others if believed(p, _words(data))]
    for number in (40, 42, 43):
        wrong = {
            40: _input(c, z, y ^ 1, w),
            42: _input(_multiple(7), z, 8, INFINITY),
            43: _input(INFINITY, 1, 1, INFINITY),
        }
        assert not believed(variant(number).program, _words(wrong[number]))


def test_lies_about_registers() -> None:
    c, z, y, w = _valid()
    cases = {
        40: (_input(c, z, y, w), 1301),
        42: (_input(_multiple(7), z, 7, INFINITY), 97),
        43: (_input(INFINITY, z, 0, INFINITY), 1),
    }
    for number, (data, step) in cases.items():
        for index in registers_of_rows(variant(number).program, step):
            with pytest.raises(UnsatisfiedError):
                lie(variant(number).program, _words(data), {index: lambda v: v + 1})


def test_lies_in_programs_that_fail() -> None:
    """No register, changed alone, makes a valid call fail."""
    c, z, y, w = _valid()
    valid = _words(_input(c, z, y, w))
    for number in range(50, 58):
        if number == 52:
            continue
        program = variant(number).program
        for index in registers_of_rows(program, 1 if number < 56 else 61):
            with pytest.raises(UnsatisfiedError):
                lie(program, valid, {index: lambda v: v + 1})
