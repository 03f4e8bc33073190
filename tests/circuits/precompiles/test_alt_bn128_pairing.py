"""The pairing check on alt_bn128 by its programs: against py-evm, on inputs of every kind, and against liars."""

from __future__ import annotations

import random
from functools import cache
from math import gcd, prod
from types import SimpleNamespace

import pytest
from eth.exceptions import VMError
from eth.precompiles.ecpairing import ecpairing
from py_ecc import optimized_bn128 as bn

from circuits.programs import alt_bn128_pairing as pairing
from circuits.programs import bls12_381 as bls
from circuits.programs.alt_bn128_pairing import FIELD, LOOP, N, P, X, instances, variant, variants
from circuits.programs.extensions import ONE, Extension, Point, Twelve, V, signed_digits
from circuits.programs.program import WIDE, Run, UnsatisfiedError
from circuits.programs.twists import endomorphism_factors
from tests.circuits.precompiles.liars import believed, lie, registers_of_rows
from tests.circuits.precompiles.running import run_instances, word_at

#: Narrow and wide rows, selections, bits and words of each program.
ROWS = {
    20: (1394, 2938, 10, 0, 6),
    21: (1396, 2958, 16, 0, 6),
    22: (296, 574, 7, 0, 6),
    23: (296, 574, 13, 0, 6),
    24: (11, 12, 1, 0, 6),
    25: (11, 12, 7, 0, 6),
    26: (0, 0, 0, 0, 1),
    27: (0, 0, 0, 0, 1),
    28: (0, 0, 0, 0, 1),
    29: (0, 0, 0, 0, 1),
    30: (0, 0, 0, 0, 1),
    31: (0, 0, 0, 0, 1),
    32: (4, 3, 0, 0, 2),
    33: (7, 9, 2, 0, 4),
    34: (296, 578, 7, 0, 4),
    35: (541, 1242, 16, 0, 1),
    36: (1087, 2478, 16, 0, 1),
    37: (1, 0, 0, 0, 1),
}
YES, NO = (1).to_bytes(32, "big"), bytes(32)


def _words(*words: int) -> bytes:
    return b"".join(word.to_bytes(32, "big") for word in words)


@cache
def _g1(k: int) -> bytes:
    if k % N == 0:
        return bytes(64)
    x, y = bn.normalize(bn.multiply(bn.G1, k % N))
    return _words(x.n, y.n)


@cache
def _g2(k: int) -> bytes:
    if k % N == 0:
        return bytes(128)
    x, y = bn.normalize(bn.multiply(bn.G2, k % N))
    return _words(*(int(c) for c in (x.coeffs[1], x.coeffs[0], y.coeffs[1], y.coeffs[0])))


def _pair(a: int, b: int) -> bytes:
    return _g1(a) + _g2(b)


def _numbers(data: bytes) -> list[int]:
    return [found.variant.program.number for found in instances(data)]


def _inputs(data: bytes, first: int = 0) -> list[int]:
    return [word_at(data, first + 32 * k) for k in range(6)]


def _of_evm(data: bytes) -> tuple[bool, bytes]:
    message = SimpleNamespace(data=data)
    computation = SimpleNamespace(msg=message, output=b"", consume_gas=lambda *_, **__: None)
    try:
        ecpairing(computation)
    except VMError:
        return False, b""
    return True, computation.output


@cache
def _on_twist(seed: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """A point of the twist that nobody multiplied by its cofactor."""
    rng = random.Random(seed)
    while True:
        x = rng.randrange(P), rng.randrange(P)
        cube = FIELD.multiply2(FIELD.multiply2(x, x), x)
        root = FIELD.square_root2(((cube[0] + pairing.TWIST_B[0]) % P, (cube[1] + pairing.TWIST_B[1]) % P))
        if root is not None:
            return x, root


def _g2_words(point: tuple[tuple[int, int], tuple[int, int]]) -> bytes:
    (x, x_im), (y, y_im) = point
    return _words(x_im, x, y_im, y)


def _of_order(d: int) -> bytes:
    point = FIELD.multiply_point(_on_twist(1), N * (2 * P - N) // d)
    assert point is not None
    assert FIELD.multiply_point(point, d) is None
    return _g2_words(point)


FAILING = {
    "x": (26, _words(P, 2) + _g2(1)),
    "y": (27, _words(1, P + 2) + _g2(1)),
    "x of G2, imaginary": (28, _g1(1) + _words(P, 0, 0, 0)),
    "x of G2": (29, _g1(1) + _words(0, P, 0, 0)),
    "y of G2, imaginary": (30, _g1(0) + _words(0, 0, 2**256 - 1, 0)),
    "y of G2": (31, _g1(0) + _words(0, 0, 0, P)),
    "not on the curve": (32, _words(1, 3) + _g2(1)),
    "not on the curve, x = 0": (32, _words(0, 1) + _g2(0)),
    "not on the curve, y = 0": (32, _words(1, 0) + _g2(0)),
    "not on the twist": (33, _g1(1) + _words(1, 2, 3, 4)),
    "not on the twist, infinite in G1": (33, _g1(0) + _words(0, 0, 0, 1)),
    "on the twist's conjugate": (33, _g1(1) + _words(*(-c % P for c in _inputs(_pair(1, 1))[2:]))),
}


def test_rows_of_all_programs() -> None:
    assert {v.program.number: tuple(v.program.rows.values()) for v in variants()} == ROWS
    # Cells as the tables count them, narrow 780, wide 950, selection 130, word 350: two pairs and the end.
    cost = [780, 950, 130, 0, 350]
    total = sum(a * b for k in (20, 21, 35) for a, b in zip(ROWS[k], cost, strict=True))
    assert total <= 12_000_000


def _resultant(a: list[int], b: list[int], modulus: int) -> int:
    """The resultant of two polynomials, the constant term first, modulo a number with large prime factors."""
    m, n = len(a) - 1, len(b) - 1
    rows = [[0] * k + a[::-1] + [0] * (n - 1 - k) for k in range(n)]
    rows += [[0] * k + b[::-1] + [0] * (m - 1 - k) for k in range(m)]

    def determinant(matrix: list[list[int]]) -> int:
        if not matrix:
            return 1
        minors = (
            (-1) ** k * c * determinant([r[:k] + r[k + 1 :] for r in matrix[1:]]) for k, c in enumerate(matrix[0]) if c
        )
        return sum(minors)

    return determinant(rows) % modulus


def test_arguments_of_the_groups() -> None:
    """What the module says of orders, resultants and chains."""
    assert P == 36 * X**4 + 36 * X**3 + 24 * X**2 + 6 * X + 1
    assert N == P - 6 * X**2
    points = N * (2 * P - N)
    frobenius, sixth = [P, -(6 * X**2 + 1), 1], [1, 0, -1, 0, 1]

    def annihilated(polynomial: list[int]) -> int:
        """Orders of points that a polynomial in psi sends to infinity divide this."""
        return gcd(points, *(_resultant(polynomial, known, points) for known in (frobenius, sixth)))

    assert annihilated([LOOP, 1, -1, 1]) == N
    for never in ([LOOP, 1], [LOOP, -1], [LOOP, 1, 1], [LOOP, 1, -1], [1, 1], [1, -1]):
        assert annihilated(never) == 1
    factors = [10069, 5864401, 1875725156269, 197620364512881247228717050342013327560683201906968909, N]
    assert prod(factors) == points
    k = 1
    for digit in signed_digits(LOOP)[1:]:
        assert all(2 * k % f for f in factors)
        k *= 2
        if digit:
            assert all((k + 1) % f and (k - 1) % f for f in factors)
            k += digit
    assert k == LOOP
    order, exponent = P**6 + 1, LOOP + P - P**2 + P**3
    assert gcd(order, exponent) == N
    assert order % N == 0
    assert order // N % N
    # Powers that the ends go through.
    assert all(e % N for e in (LOOP, LOOP + P, LOOP + P - P**2, P, P**2, P**3))
    # The start is an n-th power, and not trivial.
    assert not any(FIELD.power12((pairing.START, ONE), order // N)[1])
    assert pairing.QUOTIENT.exponent == exponent
    assert not pairing.QUOTIENT.trivial(pairing.QUOTIENT.of_order_n)
    assert pairing.QUOTIENT.trivial(FIELD.power12(pairing.QUOTIENT.of_order_n, N))
    assert FIELD.multiply(FIELD.inverse(V), V) == ONE


def test_polynomials_of_the_endomorphism() -> None:
    """psi's two polynomials, on points of the twist outside of the subgroup, on both curves."""

    def image(field: Extension, point: Point | None, k: int) -> Point | None:
        if point is None:
            return None
        factors = endomorphism_factors(field, k)
        parts = [(c[0], (-1) ** k * c[1] % field.p) for c in point]
        return field.multiply2(parts[0], factors[0]), field.multiply2(parts[1], factors[1])

    def total(field: Extension, point: Point, coefficients: list[int]) -> Point | None:
        found: Point | None = None
        for k, c in enumerate(coefficients):
            part = field.multiply_point(image(field, point, k), abs(c))
            if part is not None and c < 0:
                part = part[0], (-part[1][0] % field.p, -part[1][1] % field.p)
            found = field.add_points(found, part)
        return found

    root = bls.FIELD.square_root2((12, 4))
    assert root is not None
    for field, point, trace in ((FIELD, _on_twist(3), 6 * X**2 + 1), (bls.FIELD, ((2, 0), root), 1 - bls.U)):
        assert total(field, point, [field.p, -trace, 1]) is None
        assert total(field, point, [1, 0, -1, 0, 1]) is None
        assert total(field, point, [1, 1]) is not None


@pytest.mark.parametrize(
    ("data", "numbers", "answer"),
    [
        (b"", [37], YES),
        (_pair(1, 1), [20, 36], NO),
        (_pair(0, 1), [22, 35], YES),
        (_pair(1, 0), [24, 35], YES),
        (_pair(0, 0), [24, 35], YES),
        (_pair(6, 5) + _pair(-10, 3), [20, 21, 35], YES),
        (_pair(1, 1) + _pair(1, 1), [20, 21, 36], NO),
        (
            _pair(0, 3) + _pair(2, 3) + _pair(5, 0) + _pair(0, 0) + _pair(-3, 2) + _pair(0, 9),
            [22, 21, 25, 25, 21, 23, 35],
            YES,
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
        assert _numbers(data)[-1] == number
        assert run_instances(data, instances(data)) == (False, b"") == _of_evm(data)


@pytest.mark.parametrize("order", [10069, 5864401, 1875725156269, 2 * P - N, 10069 * N, N * (2 * P - N)])
def test_points_outside_of_the_subgroup(order: int) -> None:
    data = _g1(1) + _of_order(order)
    assert _numbers(data) == [34]
    assert run_instances(data, instances(data)) == (False, b"")
    for number in (20, 22, 33):
        assert not believed(variant(number).program, _inputs(data))


@pytest.mark.deep
def test_against_py_evm() -> None:
    rng = random.Random(5)
    a, b = rng.randrange(N), rng.randrange(N)
    for data in (_pair(a, b), _pair(a, b) + _pair(-a * b, 1), _g1(3) + _of_order(2 * P - N)):
        assert run_instances(data, instances(data)) == _of_evm(data)


@pytest.mark.deep
def test_many_against_py_evm() -> None:
    rng = random.Random(6)
    for _ in range(12):
        scalars = [
            (rng.choice([0, 1, 2, N - 1, rng.randrange(N)]), rng.choice([0, 1, rng.randrange(N)])) for _ in range(3)
        ]
        rest = -sum(a * b for a, b in scalars) + rng.choice([0, 0, 1])
        data = b"".join(_pair(a, b) for a, b in scalars) + _pair(rest, 1)
        assert run_instances(data, instances(data)) == _of_evm(data)
        cut = data[: 192 * rng.randrange(4)]
        assert run_instances(cut, instances(cut)) == _of_evm(cut)
    for seed in range(3):
        data = _g1(1) + _g2_words(_on_twist(seed))
        assert run_instances(data, instances(data)) == _of_evm(data)


def test_other_lengths_are_the_callers_care() -> None:
    for length in (1, 191, 193):
        with pytest.raises(ValueError, match="no pairs"):
            instances(bytes(length))


def test_no_other_program_answers() -> None:
    """Every kind of pair has one program, whatever the honest hints of the others; too large words fail several."""
    kinds = {
        20: _pair(1, 1),
        22: _pair(0, 1),
        24: _pair(1, 0),
        **dict(FAILING.values()),
        34: _g1(1) + _of_order(N * 10069),
    }
    numbers = [20, 22, 24, *range(26, 35)]
    for kind, data in kinds.items():
        answers = [n for n in numbers if believed(variant(n).program, _inputs(data))]
        fails = [variant(n).fails for n in answers]
        assert kind in answers
        assert all(fails) or not any(fails)
        assert answers == [kind] or kind in range(26, 32), (kind, answers)


def test_ends_do_not_answer_for_each_other() -> None:
    for data, number in ((_pair(2, 1) + _pair(-1, 2), 36), (_pair(2, 1), 35)):
        run: Run | None = None
        for part in instances(data)[:-1]:
            run = part.variant.program.run(_inputs(data, part.offset), linked=run)
        assert not believed(variant(number).program, [], linked=run)
        if number == 36:
            # Some other element of order n.
            e = pairing.QUOTIENT.affine(pairing.QUOTIENT.of_order_n)
            program = variant(36).program
            changes = {WIDE + k: (lambda _, c=c: c) for k, c in enumerate(e)}
            with pytest.raises(UnsatisfiedError):
                lie(program, [], changes, linked=run)


def test_ends_for_products_in_the_subfield() -> None:
    """A product in Fp6, and W: trivial elements, of which the witness still has representatives."""
    zero = (0,) * 6
    products: list[Twelve] = [(ONE, zero), ((5, 7, 0, 3, 0, 2), zero), (zero, ONE)]
    for even, odd in products:
        values = {WIDE + k: c for k, c in enumerate((*even, *odd))}
        run = Run(values, {}, [], [], [])
        assert variant(35).program.run([], linked=run).written == [1]
        assert not believed(variant(36).program, [], linked=run)


def test_lies_about_registers() -> None:
    """A changed register is found out, though all that is computed behind it follows it."""
    data = _pair(3, 4) + _pair(-6, 2)
    first, second, end = instances(data)
    runs = [first.variant.program.run(_inputs(data))]
    runs.append(second.variant.program.run(_inputs(data, 192), linked=runs[0]))
    cases = (
        (first.variant.program, _inputs(data), None, 1001),
        (second.variant.program, _inputs(data, 192), runs[0], 1097),
        (end.variant.program, [], runs[1], 449),
    )
    for program, words, linked, step in cases:
        for index in registers_of_rows(program, step):
            with pytest.raises(UnsatisfiedError):
                lie(program, words, {index: lambda v: v + 1}, linked=linked)


def test_lies_in_programs_that_fail() -> None:
    """No register, changed alone, makes a valid pair fail."""
    data = _pair(3, 4)
    for number in range(26, 35):
        program = variant(number).program
        for index in registers_of_rows(program, 1 if number < 34 else 97):
            for change in (1, P // 3):
                with pytest.raises(UnsatisfiedError):
                    lie(program, _inputs(data), {index: lambda v, change=change: v + change})
