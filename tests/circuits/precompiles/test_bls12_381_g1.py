"""BLS12_G1ADD and BLS12_G1MSM by their programs: against py-evm, on inputs that meet the offsets, and against liars."""

from __future__ import annotations

import random
from itertools import product

import pytest
from eth.precompiles.bls12_381.bls12_381_g1 import bls12_g1_add, bls12_g1_msm

from circuits.programs import bls12_381 as bls
from circuits.programs.bls12_381_g1 import (
    PAIR_BYTES,
    add_instances,
    add_variants,
    multiply_instances,
    multiply_variants,
)
from circuits.programs.curves import BLS12_381_G1, OFFSETS, Affine
from circuits.programs.program import BITS, NARROW, WIDE, UnsatisfiedError
from tests.circuits.precompiles.running import (
    free_registers,
    holds_something,
    lying_run,
    run_instances,
    run_of_evm,
    satisfied,
    words_of,
)

CURVE = BLS12_381_G1
P, R, G = CURVE.field.value, CURVE.order.value, CURVE.generator
TOP = 2**256 - 1
#: What offsets are multiplied by, and the first of them.
TIMES = (4**64 - 1) // 3

#: Narrow and wide rows, selections, bits and words of each program.
ROWS = {
    "BLS12_G1ADD": (20, 6, 2, 0, 24),
    "BLS12_G1ADD: equal": (20, 6, 2, 0, 24),
    "BLS12_G1ADD: opposite": (16, 4, 2, 0, 20),
    "BLS12_G1ADD: infinity": (13, 2, 22, 1, 16),
    "BLS12_G1ADD: large": (1, 1, 7, 1, 10),
    "BLS12_G1ADD: not on the curve": (10, 0, 6, 1, 8),
    "BLS12_G1MSM: a point, first": (978, 7, 87, 2, 11),
    "BLS12_G1MSM: a point": (978, 7, 88, 2, 11),
    "BLS12_G1MSM: infinity, first": (1, 4, 2, 0, 4),
    "BLS12_G1MSM: infinity": (1, 4, 3, 0, 4),
    "BLS12_G1MSM: end": (8, 2, 4, 0, 8),
    "BLS12_G1MSM: end at infinity": (6, 0, 2, 0, 4),
    "BLS12_G1MSM: large": (1, 1, 7, 1, 6),
    "BLS12_G1MSM: not on the curve": (8, 0, 1, 0, 4),
    "BLS12_G1MSM: not in the subgroup": (590, 2, 3, 0, 8),
    "BLS12_G1MSM: not in the subgroup, of small order": (602, 2, 5, 0, 8),
}
VARIANTS = (*add_variants(), *multiply_variants())


def _point(point: Affine) -> bytes:
    x, y = point or (0, 0)
    return x.to_bytes(64, "big") + y.to_bytes(64, "big")


def _pair(point: Affine, scalar: int) -> bytes:
    return _point(point) + scalar.to_bytes(32, "big")


def _add(data: bytes) -> str:
    found = add_instances(data)
    assert run_instances(data, found) == run_of_evm(bls12_g1_add, data)
    return found[0].variant.program.name


def _multiply(data: bytes) -> list[str]:
    found = multiply_instances(data)
    assert run_instances(data, found) == run_of_evm(bls12_g1_msm, data)
    return [instance.variant.program.name.removeprefix("BLS12_G1MSM: ") for instance in found]


def _g(scalar: int) -> Affine:
    return CURVE.times(scalar % R, G)


def _outside(rng: random.Random) -> Affine:
    """A point of the curve, most probably of no small order, and not in the subgroup."""
    while True:
        x = rng.randrange(P)
        y = CURVE.root(x**3 + 4)
        if y is not None:
            return x, y


def test_rows() -> None:
    assert {v.program.name: tuple(v.program.rows.values()) for v in VARIANTS} == ROWS
    assert [v.program.number for v in VARIANTS] == [*range(60, 70), *range(160, 166)]


def test_the_cofactor_is_cleared() -> None:
    """[u + 1] takes all points into the subgroup: it does so with random ones, of which half would not be enough."""
    rng = random.Random(1)
    for _ in range(100):
        assert CURVE.times(R, CURVE.times(bls.U + 1, _outside(rng))) is None
    assert (bls.U + 1) % R
    assert CURVE.cofactor == bls.COFACTOR_G1
    # No point has y = 0.
    assert CURVE.cofactor % 2 == 1


def test_sums() -> None:
    rng = random.Random(2)
    for _ in range(20):
        assert _add(_point(_g(rng.randrange(R))) + _point(_g(rng.randrange(R)))) == "BLS12_G1ADD"
        # Sums need no subgroup.
        assert _add(_point(_outside(rng)) + _point(_outside(rng))) == "BLS12_G1ADD"
    some = _outside(rng)
    points = [None, G, _g(-1), _g(2), some, CURVE.negate(some)]
    names = {_add(_point(first) + _point(second)) for first, second in product(points, points)}
    assert names == {"BLS12_G1ADD" + end for end in ("", ": equal", ": opposite", ": infinity")}


def _with_coordinate(data: bytes, position: int, value: int) -> bytes:
    return data[: 64 * position] + value.to_bytes(64, "big") + data[64 * position + 64 :]


BOUNDS = (
    0,
    1,
    4,
    P - 1,
    P,
    P + 1,
    (P >> 256) << 256,
    (P >> 256) + 1 << 256,
    1 << 256,
    1 << 384,
    1 << 511,
    (1 << 512) - 1,
)


def test_coordinates_of_sums_at_their_bounds() -> None:
    names = set()
    for bound, position in product(BOUNDS, range(4)):
        for data in (_point(G) + _point(G), bytes(256), _point(G) + bytes(128), bytes(128) + _point(G)):
            names.add(_add(_with_coordinate(data, position, bound)))
    assert names >= {"BLS12_G1ADD: large", "BLS12_G1ADD: not on the curve", "BLS12_G1ADD: infinity"}
    # Also coordinates that are 0 modulo p, and a point that is on the curve modulo p.
    assert _add(_with_coordinate(_point(G) + bytes(128), 2, P)) == "BLS12_G1ADD: large"
    assert _add(_with_coordinate(_point(G) + _point(_g(2)), 0, G[0] + P)) == "BLS12_G1ADD: large"


@pytest.mark.parametrize("seed", range(3))
def test_multiples(seed: int) -> None:
    rng = random.Random(seed)
    for count in (1, 2, 3):
        pairs = [_pair(_g(rng.randrange(1, R)), rng.getrandbits(256)) for _ in range(count)]
        assert _multiply(b"".join(pairs)) == ["a point, first", *["a point"] * (count - 1), "end"]


def test_scalars_at_their_bounds() -> None:
    square = bls.U * bls.U
    for scalar in (
        0,
        1,
        2,
        3,
        R - 1,
        R,
        R + 1,
        2 * R,
        2 * R + 1,
        TOP,
        square,
        square - 1,
        square + 1,
        R - square,
        1 << 128,
    ):
        end = "end" if scalar % R else "end at infinity"
        assert _multiply(_pair(_g(77), scalar)) == ["a point, first", end]


def test_infinity_at_any_place() -> None:
    zero = _pair(None, 5)
    assert _multiply(zero) == ["infinity, first", "end at infinity"]
    assert _multiply(zero + _pair(G, 7)) == ["infinity, first", "a point", "end"]
    assert _multiply(_pair(G, 7) + zero) == ["a point, first", "infinity", "end"]
    assert _multiply(_pair(G, 7) + zero + _pair(G, R - 7)) == [
        "a point, first",
        "infinity",
        "a point",
        "end at infinity",
    ]
    assert _multiply(_pair(G, 7) + _pair(G, 7)) == ["a point, first", "a point", "end"]
    assert _multiply(_pair(G, 7) + _pair(_g(7), 1)) == ["a point, first", "a point", "end"]
    assert _multiply(_pair(G, 7) + _pair(_g(-7), 1) + _pair(G, 1)) == ["a point, first", "a point", "a point", "end"]


def test_points_outside_of_the_subgroup() -> None:
    rng = random.Random(3)
    some = _outside(rng)
    torsion = CURVE.times(R, some)
    third = CURVE.times(R * CURVE.cofactor // 3, some)
    assert torsion
    names = []
    for point in (some, torsion, CURVE.add(torsion, G), third, (0, 2), (0, P - 2), CURVE.add((0, 2), G)):
        assert point is None or CURVE.contains(*point)
        if point is not None:
            names.append(_multiply(_pair(point, 5))[0])
            assert _multiply(_pair(G, 5) + _pair(point, 0)) == ["a point, first", names[-1]]
    small = "not in the subgroup, of small order"
    assert set(names) == {"not in the subgroup", small}
    # (0, 2) has order 3.
    assert _multiply(_pair((0, 2), 1)) == [small]


def test_coordinates_of_pairs_at_their_bounds() -> None:
    for bound, position in product(BOUNDS, range(2)):
        for data in (_pair(G, 3), _pair(None, 3)):
            changed = _with_coordinate(data, position, bound)
            _multiply(changed)
            _multiply(_pair(G, 3) + changed)
    assert _multiply(_with_coordinate(_pair(G, 3), 1, G[1] + P)) == ["large"]
    with pytest.raises(ValueError, match="bytes"):
        multiply_instances(b"")
    with pytest.raises(ValueError, match="bytes"):
        multiply_instances(bytes(PAIR_BYTES + 1))


def test_points_that_meet_an_offset() -> None:
    """There are some for which one offset fails; another one never does."""
    chosen = set()
    for offset, scalar, multiple in product(CURVE.offsets[:2], (1, R - 1, 2, (R + 1) // 2), (1, R - 1)):
        data = _pair(CURVE.times(scalar, offset), multiple)
        assert _multiply(data) == ["a point, first", "end"]
        chosen.add(multiply_instances(data)[0].choice)
    assert {0, 1} <= chosen


@pytest.mark.deep
def test_sums_that_meet_what_the_parts_left() -> None:
    """S is made such that the end, or the next sum, would add equal or opposite points for the first choices."""
    start, first, second = CURVE.start, *CURVE.offsets[:2]
    offset = CURVE.times(TIMES, first)
    left = CURVE.add(start, offset)
    minus_two = R - 2
    cases = [
        # S = -2M at the end, also with infinity behind.
        _pair(CURVE.times(minus_two, left), 1),
        _pair(CURVE.times(minus_two, left), 1) + _pair(None, 1),
        _pair(CURVE.times(minus_two, left), 1) + _pair(None, 1) + _pair(G, 1),
        # The first multiple is start - offset, and its negative sum.
        _pair(CURVE.add(start, CURVE.negate(offset)), 1),
        _pair(CURVE.negate(left), 1),
        _pair(CURVE.add(start, CURVE.negate(CURVE.times(TIMES, second))), 1),
    ]
    # Several at once: kP - S' and kP + S' of the second part are chosen, for the choice 0 in the first part.
    half = (R + 1) // 2
    for a, b in product(CURVE.offsets[:3], CURVE.offsets[:3]):
        difference = CURVE.add(left, CURVE.negate(CURVE.times(TIMES, a)))
        for total in (
            CURVE.negate(CURVE.add(left, CURVE.times(TIMES, b))),
            CURVE.times(minus_two, CURVE.add(left, CURVE.times(TIMES, b))),
        ):
            multiple = CURVE.times(half, CURVE.add(total, difference))
            before = CURVE.times(half, CURVE.add(total, CURVE.negate(difference)))
            cases.append(_pair(before, 1) + _pair(multiple, 1))
    choices = set()
    for data in cases:
        assert _multiply(data)[-1] == "end"
        choices.add(tuple(instance.choice for instance in multiply_instances(data)))
    assert any(any(choice) for choice in choices)
    assert max(max(choice) for choice in choices) < OFFSETS


def test_no_program_answers_for_another() -> None:
    """Whichever whole program, or program for a part, a prover takes, it has no answer to inputs of another outcome."""
    rng = random.Random(4)
    some = _outside(rng)
    points = [G, _g(-1), None, (1, 1), (G[0] + P, G[1]), (P, P), (0, P), some, CURVE.times(R, some), _g(2)]
    for first, second in product(points[:7], (*points[:7], points[9])):
        data = _point(first) + _point(second)
        right = run_of_evm(bls12_g1_add, data)
        assert _add(data)
        for variant, choice in product(add_variants(), range(4)):
            if satisfied(variant.program, data, [choice]):
                run = variant.program.run(words_of(variant.program, data), choice=choice)
                output = b"".join(word.to_bytes(32, "big") for word in run.written)
                assert (not variant.fails, output) == right
    firsts = [v for v in multiply_variants() if v.fails or v.program.number in (66, 68)]
    for point in points:
        data = _pair(point, 5)
        right = run_of_evm(bls12_g1_msm, data)
        assert _multiply(data)
        answering = [v for v, choice in product(firsts, range(2)) if satisfied(v.program, data, [choice])]
        assert answering
        assert {v.fails for v in answering} == {not right[0]}
        if right[0]:
            assert {v.program.number for v in answering} == {66 if point else 68}


@pytest.mark.parametrize("number", [0, 3, 6, 8])
def test_every_register_is_determined(number: int) -> None:
    """No register can hold another number."""
    inputs = {
        0: _point(G) + _point(_g(5)),
        3: _point(None) + _point(G),
        6: _pair(G, 12345),
        8: _pair(None, 5),
    }
    program = VARIANTS[number].program
    words = words_of(program, inputs[number])
    numbers = [NARROW + k for k in range(0, len(program.narrow), 29 if number == 6 else 1)] + free_registers(program)
    numbers += [WIDE + k for k, row in enumerate(program.wide) if WIDE + k in row.operands[-2:] and any(row.linear)]
    numbers += [BITS] if number == 6 else []
    lying_run(program, words, {})
    for register in numbers:
        if holds_something(program, register):
            with pytest.raises(UnsatisfiedError):
                lying_run(program, words, {register: lambda v: v + 1})
