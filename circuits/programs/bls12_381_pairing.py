"""Programs of the pairing check on BLS12-381.

Source: EIP-2537; execution-specs `prague/vm/precompiled_contracts/bls12_381/bls12_381_pairing.py`.

A PART takes one pair of points, 12 words, and multiplies the value of its Miller loop into the product that the part
before left; the END says whether the product of the pairings is 1. The Miller loop is f_{u,Q}(P) with
u = 0xd201000000010000; that the curve's parameter is -u inverts the pairing, and 1 stays 1. `alt_bn128_pairing` has the
arguments for the ends and for the completeness of loops: here L = p + u, where n = r.

The subgroup of G2: Q is in it exactly if [u]Q + psi(Q) = 0. The group's points satisfy it, since psi(Q) = [p]Q and r
divides p + u. The greatest common divisor of the resultant of s + u with psi's polynomial s^2 - (1 - u) s + p, and of
the number of the twist's points, is r. [u]Q is what the Miller loop computes anyway. Of its steps, for points of the
twist of whatever order, none has a slope that is free: a doubling has not because the number of points is odd; an
addition of equal points, [k]Q and Q or -Q, needs that a prime divisor of the number of points divides k - 1 or k + 1,
which none does for the k of the chain; and an addition of opposite points, which [12]Q and Q of order 13 are, has no
solution.

The subgroup of G1: as `bls12_381` has it. That a point is in none is proved with chains that begin with an offset, a
point S of the subgroup of which nobody knows a discrete logarithm: the prover chooses one of four. A sum of equal or
opposite points, which has no solution, needs that the point has a known multiple of S as its part of order r.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from circuits.programs import bls12_381 as bls
from circuits.programs.bls12_381 import FIELD, QUOTIENT, TWIST_B, P, R, U
from circuits.programs.extensions import Point, signed_digits
from circuits.programs.moduli import BLS12_381_P, INTEGERS
from circuits.programs.pairings import Part, left_product, prove_not_one, prove_one, require_some
from circuits.programs.program import (
    END,
    PART,
    Instance,
    Pair,
    Program,
    Register,
    Run,
    UnsatisfiedError,
    Variant,
)
from circuits.programs.towers import Fp2, Fp6, Tower, numbers
from circuits.programs.twists import Line, Twist, TwistPoint

LIMBS = 48
PAIR_BYTES = 384
#: An element of Fp is a number of 512 bits.
ELEMENTS = 6

#: Offsets to choose from.
CHOICES = 4

FINITE, G1_INFINITE, G2_INFINITE = 70, 72, 74
ONE, NOT_ONE = 76, 77
TOO_LARGE, OFF_CURVE, OFF_G1, OFF_G2 = 58, 59, 78, 79


@cache
def _start() -> tuple[int, ...]:
    """An r-th power that Miller loops start with."""
    return QUOTIENT.affine(FIELD.power12(QUOTIENT.hashed(b"start of Miller loops"), R))


class _Pair(bls.LongIntegers):
    """The elements of a pair of points."""

    def __init__(self, p: Program) -> None:
        super().__init__(p, shift=256)

    def words(self, k: int) -> tuple[Register, Register]:
        """The two words of an element."""
        return self.word(2 * k), self.word(2 * k + 1)

    def element(self, k: int, *, checked: bool = True) -> Register:
        """An element: x and y of G1, then real and imaginary x and y of G2. Below p, if checked."""
        high, low = self.words(k)
        if checked:
            self.at_most(high, low, P - 1)
        return self.residue(high, low)

    def zeros(self, first: int, count: int) -> None:
        """Elements of the point at infinity."""
        for k in range(first, first + count):
            for word in self.words(k):
                self.exactly(word)

    def point(self, *, checked: bool = True) -> Pair:
        """A finite point of the curve."""
        x, y = self.element(0, checked=checked), self.element(1, checked=checked)
        self.g1.require_on_curve((x, y))
        return x, y

    def valid_point_or_infinity(self) -> None:
        """A point of G1: at infinity the generator is looked at in its place."""
        p = self.p
        x, y = self.element(0), self.element(1)
        finite = p.solve(lambda a, b: int(a % P != 0 or b % P != 0), (x, y), lambda f: f * f - f)
        p.require(x * finite - x)
        p.require(y * finite - y)
        other_x, other_y = self.g1.constant(bls.G1)
        point = p.reduce(x + other_x - finite * other_x), p.reduce(y + other_y - finite * other_y)
        self.g1.require_on_curve(point)
        self.g1.require_in_subgroup(point)

    def twist_point(self, twist: Twist, *, checked: bool = True) -> TwistPoint:
        """A finite point of the twist."""
        x, x_im, y, y_im = (self.element(k, checked=checked) for k in range(2, ELEMENTS))
        point = TwistPoint(Fp2.of(x, x_im), Fp2.of(y, y_im))
        twist.require_on_curve(point, TWIST_B)
        return point


def _program(number: int, name: str) -> Program:
    return Program(number, f"BLS12-381 pairing, {name}", BLS12_381_P, LIMBS)


def _loop(part: Part, q: TwistPoint, p: Pair | None) -> Fp6 | None:
    """The Miller loop, and the proof that Q is in the subgroup; its value at P if there is one."""
    t, twist = part.t, part.twist
    value = None
    factors: tuple[Register, Register] | None = None
    if p is not None:
        g1 = bls.G1Formulas(part.p)
        # y is not 0, since the number of points is odd.
        over = g1.inverse(p[1])
        factors = part.p.reduce(-p[0] * over), over
        value = t.constants(_start())

    def taken(f: Fp6 | None, line: Line) -> Fp6 | None:
        return t.times(f, twist.value(line, *factors)) if f is not None and factors is not None else None

    point = q
    for digit in signed_digits(U)[1:]:
        value = t.square(value) if value is not None else None
        line, point = twist.double(point)
        value = taken(value, line)
        if digit:
            line, point = twist.add(point, q if digit > 0 else -q)
            value = taken(value, line)
    image = twist.endomorphism(q, 1)
    t.require2(point.x - image.x)
    t.require2(point.y + image.y)
    return value


def _finite(number: int, first: bool) -> Program:
    part = Part(_program(number, "finite points" + ", first" * first), FIELD)
    pair = _Pair(part.p)
    p = pair.point()
    pair.g1.require_in_subgroup(p)
    part.multiply_in(first, _loop(part, pair.twist_point(part.twist), p))
    return part.p


def _g1_infinite(number: int, first: bool) -> Program:
    part = Part(_program(number, "infinite in G1" + ", first" * first), FIELD)
    pair = _Pair(part.p)
    pair.zeros(0, 2)
    part.multiply_in(first, _loop(part, pair.twist_point(part.twist), None))
    return part.p


def _g2_infinite(number: int, first: bool) -> Program:
    part = Part(_program(number, "infinite in G2" + ", first" * first), FIELD)
    pair = _Pair(part.p)
    pair.valid_point_or_infinity()
    pair.zeros(2, 4)
    part.multiply_in(first, None)
    return part.p


# What makes the call fail. An element that is not below p makes it fail too, so that none of these needs to say that
# the others are.


def _too_large(number: int) -> Program:
    """Some element is not below p: bits, of which one is 1, say which."""
    p = _program(number, "element too large")
    pair = _Pair(p)
    words = [pair.words(k) for k in range(ELEMENTS)]
    flat = [w for both in words for w in both]

    def first(*values: int) -> int:
        large = (k for k in range(ELEMENTS) if (values[2 * k] << 256) + values[2 * k + 1] >= P)
        return next(large, 0)

    bits = [pair.bit(lambda *values, k=k: int(first(*values) == k), *flat) for k in range(ELEMENTS)]
    pair.exactly(sum(bits[1:], bits[0] - 1))
    high, low = (
        p.reduce(sum((bits[k] * words[k][part] for k in range(1, ELEMENTS)), bits[0] * words[0][part]), INTEGERS)
        for part in range(2)
    )
    pair.at_least(high, low, P)
    return p


def _not_on_curve(number: int) -> Program:
    """One of the points is neither on its curve nor at infinity: a bit says which, 1 for G1."""
    p = _program(number, "not on the curve")
    pair = _Pair(p)
    t = Tower(p, FIELD)
    e = [pair.element(k, checked=False) for k in range(ELEMENTS)]

    def off_g1(x: int, y: int) -> int:
        return int((x % P, y % P) != (0, 0) and (y * y - x**3 - bls.CURVE_B) % P != 0)

    which = p.solve(off_g1, e[:2], lambda b: b * b - b)
    x = t.reduce2(Fp2.of(which * (e[0] - e[2]) + e[2], e[3] - which * e[3]))
    y = t.reduce2(Fp2.of(which * (e[1] - e[4]) + e[4], e[5] - which * e[5]))
    require_some(p, _registers(x, y))
    # The coefficients are 4 and 4 + 4 u.
    part = t.reduce2(x * t.square2(x) + Fp2.of(bls.CURVE_B, bls.CURVE_B - which * bls.CURVE_B))
    require_some(p, _registers(t.reduce2(y * y - part)))
    return p


def _registers(*parts: Fp2) -> list[Register]:
    return [register for polynomial in numbers(*parts) for register in polynomial.linear]


@cache
def _g1_offsets() -> list[Point]:
    return [bls.hashed_point(b"BLS12-381 pairing, offset %d" % k) for k in range(CHOICES)]


@cache
def _g2_offsets() -> list[Point]:
    return [bls.hashed_twist_point(b"BLS12-381 pairing, offset %d" % k) for k in range(CHOICES)]


def _not_in_g1(number: int) -> Program:
    p = _program(number, "not in G1")
    pair = _Pair(p)
    point = pair.point(checked=False)
    choice = p.choice().digit(0)
    offsets = _g1_offsets()
    starts, ends = (
        p.select(p.constant_table([(a[0][0], a[1][0]) for a in points]), [choice])
        for points in (offsets, [bls.end_of_offset(a) for a in offsets])
    )
    pair.g1.require_not_in_subgroup_from(point, starts, ends)
    return p


def _not_in_g2(number: int) -> Program:
    """[u]Q != -psi(Q): with the offset S, [2^k]S + [u]Q != [2^k]S - psi(Q)."""
    p = _program(number, "not in G2")
    pair = _Pair(p)
    t = Tower(p, FIELD)
    twist = Twist(t)
    q = pair.twist_point(twist, checked=False)
    choice = p.choice().digit(0)
    digits = signed_digits(U)

    def chosen(points: Sequence[Point]) -> TwistPoint:
        x, y = (p.select(p.constant_table([a[k] for a in points]), [choice]) for k in range(2))
        return TwistPoint(Fp2.of(*x), Fp2.of(*y))

    def add(a: TwistPoint, b: TwistPoint) -> TwistPoint:
        twist.require_distinct(a, b)
        return twist.add(a, b)[1]

    ends = [FIELD.multiply_point(a, 1 << len(digits)) for a in _g2_offsets()]
    expected = add(chosen([a for a in ends if a is not None]), -twist.endomorphism(q, 1))
    point = chosen(_g2_offsets())
    for digit in digits:
        _, point = twist.double(point)
        if digit:
            point = add(point, q if digit > 0 else -q)
    require_some(p, [p.reduce(d) for d in numbers(point.x - expected.x, point.y - expected.y)])
    return p


def _witness_power(t: Tower, c: Fp6) -> tuple[Fp6, Fp6]:
    return t.power(c, U), t.frobenius(c, 1)


def _one(number: int) -> Program:
    p = _program(number, "1")
    prove_one(Tower(p, FIELD), QUOTIENT, _witness_power)
    return p


def _not_one(number: int) -> Program:
    p = _program(number, "not 1")
    prove_not_one(Tower(p, FIELD), QUOTIENT, _witness_power)
    return p


@cache
def variants() -> tuple[Variant, ...]:
    """All programs: of parts, those that fail, of the end."""
    parts = [
        make(number + (not first), first)
        for number, make in ((FINITE, _finite), (G1_INFINITE, _g1_infinite), (G2_INFINITE, _g2_infinite))
        for first in (True, False)
    ]
    failing = [_too_large(TOO_LARGE), _not_on_curve(OFF_CURVE), _not_in_g1(OFF_G1), _not_in_g2(OFF_G2)]
    ends = [_one(ONE), _not_one(NOT_ONE)]
    return (
        *(Variant(program, PART) for program in parts),
        *(Variant(program, PART, fails=True) for program in failing),
        *(Variant(program, END) for program in ends),
    )


def variant(number: int) -> Variant:
    """The variant of the program with this number."""
    return next(v for v in variants() if v.program.number == number)


def classify(words: Sequence[int], first: bool) -> int:
    """The number of the program that answers for a pair of points, given as twelve words."""
    e = [(words[2 * k] << 256) + words[2 * k + 1] for k in range(ELEMENTS)]
    if any(value >= P for value in e):
        return TOO_LARGE
    p, q = bls.g1_point(e[0], e[1]), ((e[2], e[3]), (e[4], e[5]))
    finite = any(e[:2]), any(e[2:])
    if (finite[0] and not FIELD.on_curve(p, (bls.CURVE_B, 0))) or (finite[1] and not FIELD.on_curve(q, TWIST_B)):
        return OFF_CURVE
    if finite[0] and not bls.in_subgroup(p):
        return OFF_G1
    if finite[1] and not bls.in_subgroup(q):
        return OFF_G2
    kind = G2_INFINITE if not finite[1] else FINITE if finite[0] else G1_INFINITE
    return kind + (not first)


def _choice(program: Program, words: Sequence[int]) -> int:
    """A choice of the offset with which a program that fails can be run."""
    for choice in range(CHOICES):
        try:
            program.run(words, choice=choice)
        except UnsatisfiedError:
            continue
        return choice
    raise UnsatisfiedError(f"{program.name}: no choice of the offset")


def instances(data: bytes) -> list[Instance]:
    """The programs that answer a call with this input.

    Args:
        data: pairs of points, 384 bytes each. The caller fails calls with other lengths, and with none.

    Raises:
        ValueError: the length is no multiple of 384, or 0.
    """
    if len(data) % PAIR_BYTES or not data:
        raise ValueError(f"{len(data)} bytes are no pairs of points")
    found: list[Instance] = []
    run: Run | None = None
    for offset in range(0, len(data), PAIR_BYTES):
        words = [int.from_bytes(data[k : k + 32], "big") for k in range(offset, offset + PAIR_BYTES, 32)]
        part = variant(classify(words, first=not found))
        linked = len(found) - 1 if found else None
        if part.fails:
            return [*found, Instance(part, offset, _choice(part.program, words), linked)]
        found.append(Instance(part, offset, linked=linked))
        run = part.program.run(words, linked=run)
    assert run is not None
    end = variant(ONE if QUOTIENT.is_power(left_product(run)) else NOT_ONE)
    return [*found, Instance(end, linked=len(found) - 1)]
