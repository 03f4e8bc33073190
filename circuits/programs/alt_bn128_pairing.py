"""Programs of the pairing check on alt_bn128.

Source: EIP-197; execution-specs `cancun/vm/precompiled_contracts/alt_bn128.py`.

A PART takes one pair of points, and multiplies the value of its Miller loop into the product that the part before
left; the END says whether the product of the pairings is 1.

Notation: p, n and x as of the curve BN254: n = 36x^4 + 36x^3 + 18x^2 + 6x + 1, p = n + 6x^2; psi is the endomorphism of
the twist that Frobenius gives, with psi^2 - (6x^2 + 1) psi + p = 0, and psi^4 - psi^2 + 1 = 0 on points over Fp2 (there
psi^2 is the automorphism of order 6). The twist has n * (2p - n) points over Fp2.

The pairing: the optimal ate pairing (Vercauteren, "Optimal pairings", 2010), f_{6x+2,Q}(P), times the line through
[6x+2]Q and psi(Q), times the line through their sum and -psi^2(Q), to the power (p^12 - 1) / n. Any pairing of the two
groups of prime order n that is not degenerate is a fixed power of any other one, so that it does not matter that the
EIP names none.

The subgroup: Q is in the group of order n exactly if [6x+2]Q + psi(Q) - psi^2(Q) + psi^3(Q) = 0. The group's points
satisfy it, since psi(Q) = [p]Q and n divides 6x + 2 + p - p^2 + p^3. If a point of the twist satisfies it, its order
divides the resultants of the polynomial 6x + 2 + s - s^2 + s^3 with both of psi's polynomials, and the number of
points; the greatest common divisor of these is n. So the points that the Miller loop computes anyway decide it.

Slopes: for Q on the twist, of whatever order, no step of [6x+2]Q meets a denominator 0. A doubling of [k]Q has one only
if [2k]Q = 0, an addition of [k]Q and Q or -Q only if [k+1]Q = 0 or [k-1]Q = 0; then a prime divisor of n * (2p - n)
divides 2k, k + 1 or k - 1, which none does for the k of the chain. The same holds for the three additions of images
under psi, by the resultants of 6x + 2 +- s, of 6x + 2 + s +- s^2 and of s +- 1 with psi's polynomials: each has the
common divisor 1 with the others and the number of points. The tests compute all of this.

What END proves: let f be the product, G the group of n-th powers in Fp12*. f^((p^12 - 1) / n) = 1 exactly if f is in
G, and Fp6* lies in G. Let L = 6x + 2 + p - p^2 + p^3. In Fp12* / Fp6*, cyclic of order p^6 + 1, the common divisor of L
and p^6 + 1 is n, and n^2 does not divide p^6 + 1. So the L-th powers there are G / Fp6*; the elements whose L-th power
is trivial are those of order n or 1; the two groups have only 1 in common, and every element is a product of two of
them. So f is in G if and only if it is c^L for some c; and not if and only if it is e * c^L with e^L trivial and e not.
(This is the residue witness of Novakovic and Eagen, "On Proving Pairings", 2024, without its cubic residues: those lie
in Fp6.)

Completeness of Miller loops: a value in Fp6* in the middle of a loop would have no representative. The loop starts with
a constant R of G in place of 1, so that this needs R^(2^i) times the value of a part of the loop in Fp6*: six equations
over Fp in the three degrees of freedom of P and Q, with numbers that are unrelated to the curve. In END c and e are
multiplied by, or have, order n, so that their powers in the chain, none of which n divides, are never trivial.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from circuits.programs.extensions import Extension, Quotient, signed_digits
from circuits.programs.moduli import BN254_N, BN254_P, INTEGERS
from circuits.programs.pairings import Part, left_product, prove_not_one, prove_one, registers_of, require_some
from circuits.programs.program import END, PART, Instance, Program, Register, Run, Variant, divide, lift
from circuits.programs.towers import Fp2, Fp6, Tower, minus, numbers
from circuits.programs.twists import Line, Twist, TwistPoint

#: The curve's parameter, and the number of the loop.
X = 4965661367192848881
LOOP = 6 * X + 2

P, N = BN254_P.value, BN254_N.value
FIELD = Extension(P, (9, 1), power=1)
#: EIP-197: y^2 = x^3 + 3, and y^2 = x^3 + 3 / (9 + u) over Fp2.
CURVE_B = 3
TWIST_B = FIELD.divide2((3, 0), FIELD.xi)

PAIR_BYTES = 192

#: Fp12* / Fp6*, with the exponent L.
QUOTIENT = Quotient(FIELD, N, LOOP + P - P**2 + P**3)

#: R, an n-th power.
START = QUOTIENT.affine(FIELD.power12(QUOTIENT.hashed(b"start of Miller loops"), N))


class _Pair(Part):
    """The words of a pair of points, and what programs say of them."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(Program(number, f"alt_bn128 pairing, {name}", BN254_P), FIELD)

    def coordinates(self, first: int, count: int) -> list[Register]:
        """Coordinates that are below p."""
        return [self.p.reduce(self.p.word(first + k, below=BN254_P)) for k in range(count)]

    def zeros(self, first: int, count: int) -> None:
        """Coordinates of the point at infinity."""
        for k in range(count):
            self.p.require(self.p.word(first + k), INTEGERS)

    def point(self) -> tuple[Register, Register]:
        """A finite point of G1."""
        x, y = self.coordinates(0, 2)
        self.p.require(y * y - x * self.p.reduce(x * x) - CURVE_B)
        return x, y

    def point_or_infinity(self) -> None:
        """A point of G1, or (0, 0)."""
        p = self.p
        x, y = self.coordinates(0, 2)
        # `finite` is 0 or 1, and 0 only for x = y = 0.
        finite = p.solve(lambda a, b: int(a % P != 0 or b % P != 0), (x, y), lambda f: f * f - f)
        p.require(x * finite - x)
        p.require(y * finite - y)
        p.require(y * y - x * p.reduce(x * x) - finite * CURVE_B)

    def twist_point(self) -> TwistPoint:
        """A finite point of the twist: the EIP has imaginary parts first."""
        x_im, x_re, y_im, y_re = self.coordinates(2, 4)
        point = TwistPoint(Fp2.of(x_re, x_im), Fp2.of(y_re, y_im))
        self.twist.require_on_curve(point, TWIST_B)
        return point


class _Loop:
    """[6x+2]Q step by step, and the value of the Miller loop at P if there is one."""

    def __init__(self, pair: _Pair, q: TwistPoint, p: tuple[Register, Register] | None) -> None:
        self.pair, self.t, self.twist, self.q = pair, pair.t, pair.twist, q
        self.value: Fp6 | None = None
        if p is not None:
            x, y = p
            # y is not 0, since the group has no point of order 2.
            self.one_over_y = pair.p.solve(divide(BN254_P), (1, y), lambda r: r * y - 1)
            self.x_over_y = pair.p.reduce(-x * self.one_over_y)
            self.value = self.t.constants(START)
        self.point = q
        for digit in signed_digits(LOOP)[1:]:
            if self.value is not None:
                self.value = self.t.square(self.value)
            line, self.point = self.twist.double(self.point)
            self._take(line)
            if digit:
                self.add(q if digit > 0 else -q)

    def _take(self, line: Line) -> None:
        if self.value is not None:
            self.value = self.t.times(self.value, self.twist.value(line, self.x_over_y, self.one_over_y))

    def add(self, q: TwistPoint) -> None:
        """Add q, and take the line."""
        line, self.point = self.twist.add(self.point, q)
        self._take(line)

    def finish(self) -> None:
        """The last lines, and the proof that Q is in the subgroup."""
        self.add(self.twist.endomorphism(self.q, 1))
        second = -self.twist.endomorphism(self.q, 2)
        line = self.twist.chord(self.point, second)
        self.twist.require_third(line, self.point, second, -self.twist.endomorphism(self.q, 3))
        self._take(line)


def _finite(number: int, first: bool) -> Program:
    pair = _Pair(number, "finite points" + ", first" * first)
    p = pair.point()
    loop = _Loop(pair, pair.twist_point(), p)
    loop.finish()
    pair.multiply_in(first, loop.value)
    return pair.p


def _g1_infinite(number: int, first: bool) -> Program:
    pair = _Pair(number, "infinite in G1" + ", first" * first)
    pair.zeros(0, 2)
    _Loop(pair, pair.twist_point(), None).finish()
    pair.multiply_in(first, None)
    return pair.p


def _g2_infinite(number: int, first: bool) -> Program:
    pair = _Pair(number, "infinite in G2" + ", first" * first)
    pair.point_or_infinity()
    pair.zeros(2, 4)
    pair.multiply_in(first, None)
    return pair.p


# What makes the call fail. A coordinate that is not below p makes it fail too, so that none of these needs to say that
# the others are.


def _too_large(number: int, position: int) -> Program:
    p = Program(number, f"alt_bn128 pairing, word {position} too large", BN254_P)
    p.word(position, at_least=BN254_P)
    return p


def _not_on_curve(number: int) -> Program:
    p = Program(number, "alt_bn128 pairing, not on the curve", BN254_P)
    x, y = (p.reduce(p.word(k)) for k in range(2))
    require_some(p, [x, y])
    require_some(p, [p.reduce(y * y - x * p.reduce(x * x) - CURVE_B)])
    return p


def _words2(p: Program) -> TwistPoint:
    x_im, x_re, y_im, y_re = (p.reduce(p.word(2 + k)) for k in range(4))
    return TwistPoint(Fp2.of(x_re, x_im), Fp2.of(y_re, y_im))


def _not_on_twist(number: int) -> Program:
    p = Program(number, "alt_bn128 pairing, not on the twist", BN254_P)
    tower = Tower(p, FIELD)
    q = _words2(p)
    require_some(p, registers_of(q.x, q.y))
    require_some(p, registers_of(Twist(tower).residual(q, TWIST_B)))
    return p


def _not_in_subgroup(number: int) -> Program:
    pair = _Pair(number, "not in the subgroup")
    q = pair.twist_point()
    loop = _Loop(pair, q, None)
    images = [pair.twist.endomorphism(q, k) for k in (1, 2, 3)]
    _, left = pair.twist.add(loop.point, images[0])
    _, right = pair.twist.add(images[1], -images[2])
    differences = [pair.p.reduce(x) for x in numbers(left.x - right.x, left.y - right.y)]
    require_some(pair.p, differences)
    pair.put([lift(0)] * 12)
    return pair.p


# The end.


def _witness_power(t: Tower, c: Fp6) -> tuple[Fp6, Fp6]:
    """Two elements of which c^L is the product."""
    power = t.times(t.power(c, LOOP), t.frobenius(c, 1))
    return t.times(power, minus(t.frobenius(c, 2))), t.frobenius(c, 3)


def _one(number: int) -> Program:
    p = Program(number, "alt_bn128 pairing, 1", BN254_P)
    prove_one(Tower(p, FIELD), QUOTIENT, _witness_power)
    return p


def _not_one(number: int) -> Program:
    p = Program(number, "alt_bn128 pairing, not 1", BN254_P)
    prove_not_one(Tower(p, FIELD), QUOTIENT, _witness_power)
    return p


def _no_pairs(number: int) -> Program:
    p = Program(number, "alt_bn128 pairing, no pairs", BN254_P)
    p.output(1, INTEGERS)
    return p


#: What makes each program, by its number: parts, those that fail, the end.
_PROGRAMS: dict[int, Callable[[int], Variant]] = {
    20: lambda n: Variant(_finite(n, True), PART),
    21: lambda n: Variant(_finite(n, False), PART),
    22: lambda n: Variant(_g1_infinite(n, True), PART),
    23: lambda n: Variant(_g1_infinite(n, False), PART),
    24: lambda n: Variant(_g2_infinite(n, True), PART),
    25: lambda n: Variant(_g2_infinite(n, False), PART),
    **dict.fromkeys(range(26, 32), lambda n: Variant(_too_large(n, n - 26), PART, fails=True)),
    32: lambda n: Variant(_not_on_curve(n), PART, fails=True),
    33: lambda n: Variant(_not_on_twist(n), PART, fails=True),
    34: lambda n: Variant(_not_in_subgroup(n), PART, fails=True),
    35: lambda n: Variant(_one(n), END),
    36: lambda n: Variant(_not_one(n), END),
    37: lambda n: Variant(_no_pairs(n), END),
}


@cache
def variant(number: int) -> Variant:
    """The variant of the program with this number, assembled when it is first asked for."""
    return _PROGRAMS[number](number)


def variants() -> tuple[Variant, ...]:
    """All programs: of parts, those that fail, of the end."""
    return tuple(map(variant, _PROGRAMS))


def classify(words: Sequence[int], first: bool) -> int:
    """The number of the program that answers for a pair of points, given as six words."""
    for k, word in enumerate(words):
        if word >= P:
            return 26 + k
    x, y, x_im, x_re, y_im, y_re = words
    finite = (x, y) != (0, 0)
    if finite and (y * y - x**3 - CURVE_B) % P:
        return 32
    if not any(words[2:]):
        return 24 if first else 25
    q = (x_re, x_im), (y_re, y_im)
    if not FIELD.on_curve(q, TWIST_B):
        return 33
    if FIELD.multiply_point(q, N) is not None:
        return 34
    return (20 if finite else 22) + (not first)


def instances(data: bytes) -> list[Instance]:
    """The programs that answer a call with this input.

    Args:
        data: pairs of points, 192 bytes each. The caller fails calls with other lengths.

    Raises:
        ValueError: the length is no multiple of 192.
    """
    if len(data) % PAIR_BYTES:
        raise ValueError(f"{len(data)} bytes are no pairs of points")
    found: list[Instance] = []
    run: Run | None = None
    for offset in range(0, len(data), PAIR_BYTES):
        words = [int.from_bytes(data[k : k + 32], "big") for k in range(offset, offset + PAIR_BYTES, 32)]
        part = variant(classify(words, first=not found))
        found.append(Instance(part, offset, linked=len(found) - 1 if found else None))
        if part.fails:
            return found
        run = part.program.run(words, linked=run)
    if run is None:
        return [Instance(variant(37))]
    end = variant(35 if QUOTIENT.is_power(left_product(run)) else 36)
    return [*found, Instance(end, linked=len(found) - 1)]
