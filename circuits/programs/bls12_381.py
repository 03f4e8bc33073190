"""The curve BLS12-381 in programs of 48 limbs: numbers, points of G1, and Miller loops.

Source: EIP-2537. With u = 0xd201000000010000: r = u^4 - u^2 + 1, the curve over Fp has r * (u + 1)^2 / 3 points; this
is odd, so that y is never 0. phi(x, y) = (BETA x, y) is an endomorphism with phi^2 + phi + 1 = 0.

The subgroup of order r: P is in it exactly if P = [u + 1]P' for a point P' of the curve, because [u + 1] takes all
points into the subgroup (RFC 9380, 8.8.1), where it is invertible. It is in it exactly if phi(P) = -[u^2]P, too: the
group's points satisfy this for this BETA; what satisfies it is annihilated by the norm of phi + u^2, which is r (M.
Scott, "A note on group membership tests for G1, G2 and GT on BLS pairing-friendly curves", 2021).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from circuits.programs.extensions import ONE, Extension, Point, Quotient, Twelve, signed_digits
from circuits.programs.moduli import BLS12_381_P, BLS12_381_R, INTEGERS
from circuits.programs.pairings import require_some
from circuits.programs.program import Operand, Pair, Polynomial, Program, Register, lift
from circuits.programs.towers import numbers
from circuits.programs.twists import Twist, TwistPoint

P, R = BLS12_381_P.value, BLS12_381_R.value
#: The curve's parameter is -U.
U = 0xD201000000010000
CURVE_B = 4
FIELD = Extension(P, (1, 1), power=3)
TWIST_B = (4, 4)
COFACTOR_G1 = (U + 1) ** 2 // 3
COFACTOR_G2 = (U**8 + 4 * U**7 + 5 * U**6 - 4 * U**4 - 6 * U**3 - 4 * U**2 + 4 * U + 13) // 9
BETA = 0x5F19672FDF76CE51BA69C6076A0F77EADDB3A93BE6F89688DE17D813620A00022E01FFFFFFFEFFFE

#: EIP-2537: generators.
G1: Point = (
    (0x17F1D3A73197D7942695638C4FA9AC0FC3688C4F9774B905A14E3A3F171BAC586C55E83FF97A1AEFFB3AF00ADB22C6BB, 0),
    (0x08B3F481E3AAA0F1A09E30ED741D8AE4FCF5E095D5D00AF600DB18CB2C04B3EDD03CC744A2888AE40CAA232946C5E7E1, 0),
)
G2: Point = (
    (
        0x024AA2B2F08F0A91260805272DC51051C6E47AD4FA403B02B4510B647AE3D1770BAC0326A805BBEFD48056C8C121BDB8,
        0x13E02B6052719F607DACD3A088274F65596BD0D09920B61AB5DA61BBDC7F5049334CF11213945D57E5AC7D055D042B7E,
    ),
    (
        0x0CE5D527727D6E118CC9CDC6DA2E351AADFD9BAA8CBDD3A76D429A695160D12C923AC9CC3BACA289E193548608B82801,
        0x0606C4A02EA734CC32ACD2B02BC28B99CB3E287E85A763AF267492AB572E99AB3F370D275CEC1DA1AAA9075FF05F79BE,
    ),
)

#: Fp12* / Fp6*, with the exponent of residue witnesses.
QUOTIENT = Quotient(FIELD, R, P + U)


def g1_point(x: int, y: int) -> Point:
    """A point over Fp as one over Fp2."""
    return (x % P, 0), (y % P, 0)


def square_root(a: int) -> int | None:
    """A square root modulo p, or None."""
    candidate = pow(a, (P + 1) // 4, P)
    return candidate if candidate * candidate % P == a % P else None


def hashed_point(label: bytes) -> Point:
    """A point of G1 of which nobody knows a discrete logarithm: by trial, times the cofactor."""
    for k in range(256):
        x = int.from_bytes(hashlib.sha512(label + bytes([k])).digest(), "big") % P
        y = square_root(x**3 + CURVE_B)
        if y is not None:
            point = FIELD.multiply_point(g1_point(x, y), COFACTOR_G1)
            assert point is not None
            return point
    raise AssertionError("a square is found sooner")


def hashed_twist_point(label: bytes) -> Point:
    """A point of G2 of which nobody knows a discrete logarithm."""
    for k in range(256):
        digests = [hashlib.sha512(label + bytes([k, part])).digest() for part in range(2)]
        x = int.from_bytes(digests[0], "big") % P, int.from_bytes(digests[1], "big") % P
        cube = FIELD.multiply2(FIELD.multiply2(x, x), x)
        y = FIELD.square_root2(((cube[0] + TWIST_B[0]) % P, (cube[1] + TWIST_B[1]) % P))
        if y is not None:
            point = FIELD.multiply_point((x, y), COFACTOR_G2)
            assert point is not None
            return point
    raise AssertionError("a square is found sooner")


def in_subgroup(point: Point) -> bool:
    """Whether a point of the curve over Fp, or of the twist, has order r."""
    return FIELD.multiply_point(point, R) is None


class G1Formulas:
    """Writes the group law of the curve over Fp into a program: points are pairs of registers.

    The denominators of tangents are never 0. Sums are proved to have one: a sum of two equal or opposite points is
    unsatisfiable.
    """

    def __init__(self, program: Program) -> None:
        self.p = program

    def constant(self, point: Point) -> Pair:
        """A point that is known."""
        return self.p.constant_pair(point[0][0], point[1][0])

    def double(self, a: Pair) -> Pair:
        """2 a."""
        x, y = a
        square = self.p.reduce(x * x)
        slope = self.p.solve(lambda s, t: 3 * s * pow(2 * t, -1, P), (square, y), lambda r: y * r * 2 - square * 3)
        x3 = self.p.reduce(slope * slope - x * 2)
        return x3, self.p.reduce(slope * (x - x3) - y)

    def inverse(self, a: Operand) -> Register:
        """1 / a: a proof that a is not 0."""
        return self.p.solve(lambda v: pow(v, -1, P) if v % P else 0, (a,), lambda r: r * a - 1)

    def add(self, a: Pair, b: Pair) -> Pair:
        """a + b, for points whose x differ."""
        (x1, y1), (x2, y2) = a, b
        inverse = self.inverse(x2 - x1)
        slope = self.p.reduce(inverse * (y2 - y1))
        x3 = self.p.reduce(slope * slope - x1 - x2)
        return x3, self.p.reduce(slope * (x1 - x3) - y1)

    def require_on_curve(self, a: Pair) -> None:
        """y^2 = x^3 + 4."""
        x, y = a
        self.p.require(y * y - x * self.p.reduce(x * x) - CURVE_B)

    def phi(self, a: Pair) -> tuple[Register, Register]:
        """phi(a)."""
        return self.p.reduce(a[0] * self.p.constant(BETA)), a[1]

    def require_in_subgroup(self, a: Pair) -> None:
        """a = [u + 1]b for a point b of the curve.

        A point of the subgroup has such a b in it, for which no sum meets equal or opposite points: then r would divide
        a number below u + 2.
        """
        b = self.p.promise(2)
        x, y = b

        def hint(s: int, t: int) -> tuple[int, int]:
            found = FIELD.multiply_point(g1_point(s, t), pow(U + 1, -1, R))
            return (found[0][0], found[1][0]) if found else (0, 0)

        def equations() -> list[Polynomial]:
            return [lift(0), y * y - x * self.p.reduce(x * x) - CURVE_B]

        self.p.fulfil(b, hint, a, equations)
        result: Pair = (x, y)
        for bit in bin(U + 1)[3:]:
            result = self.double(result)
            if bit == "1":
                result = self.add(result, (x, y))
        self.p.require(result[0] - a[0])
        self.p.require(result[1] - a[1])

    def require_some(self, values: list[Polynomial]) -> None:
        """Of two numbers not both are 0: some combination of them is 1."""
        a, b = (self.p.reduce(v) for v in values)
        factor = self.p.solve(lambda v: 0 if v % P else 1, (a,), lambda f: f * f - f)
        self.inverse(self.p.reduce(a + b * factor))

    def require_not_in_subgroup(self, a: Pair, offset: Point | None) -> None:
        """phi(a) != -[u^2]a, for a point of the curve.

        With an offset, a point of the subgroup, the chain begins with it: then points of an order that r does not
        divide never meet equal or opposite points, because sums have a part of order r and they have not; others do if
        they have certain multiples of the offset. Without an offset others never do: r would divide a number below
        u^2 + 2.
        """
        if offset is None:
            image = self.phi(a)
            self._require_other(a, a, signed_digits(U * U)[1:], (image[0], self.p.reduce(-image[1])))
        else:
            self.require_not_in_subgroup_from(a, self.constant(offset), self.constant(end_of_offset(offset)))

    def require_not_in_subgroup_from(self, a: Pair, offset: Pair, end: Pair) -> None:
        """The same with an offset in registers, and `end_of_offset` of it."""
        image = self.phi(a)
        expected = self.add(end, (image[0], self.p.reduce(-image[1])))
        self._require_other(a, offset, signed_digits(U * U), expected)

    def _require_other(self, a: Pair, start: Pair, digits: list[int], expected: Pair) -> None:
        negative = a[0], self.p.reduce(-a[1])
        result = start
        for digit in digits:
            result = self.double(result)
            if digit:
                result = self.add(result, a if digit > 0 else negative)
        self.require_some([result[0] - expected[0], result[1] - expected[1]])


def end_of_offset(point: Point) -> Point:
    """What a chain of u^2 makes of its offset."""
    end = FIELD.multiply_point(point, 1 << len(signed_digits(U * U)))
    assert end is not None
    return end


class LongIntegers:
    """Writes integers of up to 384 bits into a program: high * 2^shift + low, of words.

    Args:
        program: the program, of 48 limbs.
        shift: bits of the lower part.
    """

    def __init__(self, program: Program, shift: int) -> None:
        self.p, self.shift = program, shift
        self.g1 = G1Formulas(program)
        self._words: dict[int, Register] = {}

    def word(self, position: int) -> Register:
        """A word without any comparison; always the same register."""
        if position not in self._words:
            self._words[position] = self.p.word(position)
        return self._words[position]

    def exactly(self, value: Operand) -> None:
        """A polynomial is 0 as an integer."""
        self.p.require(value, INTEGERS)

    def bit(self, hint: Callable[..., int], *arguments: Operand) -> Register:
        """0 or 1, which a hint finds."""
        return self.p.solve(hint, arguments, lambda b: b * b - b, INTEGERS)

    def power(self, k: int) -> Register:
        """The constant 2^k."""
        return self.p.constant(1 << k)

    def residue(self, high: Register, low: Register) -> Register:
        """The integer modulo p."""
        return self.p.reduce(self.power(self.shift) * high + low)

    def at_most(self, high: Register, low: Register, bound: int) -> None:
        """The integer is at most this number: the difference has two parts too."""
        self._differs(high, low, bound, 1)

    def at_least(self, high: Register, low: Register, bound: int) -> None:
        """The integer is at least this number."""
        self._differs(high, low, bound, -1)

    def require_large(self, integers: Sequence[tuple[Register, Register]]) -> None:
        """One of these is at least p: bits, of which one is 1, say which."""
        p, count = self.p, len(integers)

        def first(*values: int) -> int:
            large = (k for k in range(count) if (values[2 * k] << self.shift) + values[2 * k + 1] >= P)
            return next(large, 0)

        words = [word for both in integers for word in both]
        bits = [self.bit(lambda *values, k=k: int(first(*values) == k), *words) for k in range(count)]
        self.exactly(sum(bits[1:], bits[0] - 1))
        high, low = (
            p.reduce(sum((bits[k] * integers[k][part] for k in range(1, count)), bits[0] * integers[0][part]), INTEGERS)
            for part in range(2)
        )
        self.at_least(high, low, P)

    def _differs(self, high: Register, low: Register, bound: int, sign: int) -> None:
        shift, mask = self.shift, (1 << self.shift) - 1

        def slack(h: int, lo: int) -> int:
            return max(sign * (bound - (h << shift) - lo), 0)

        upper = self.p.free_word(lambda h, lo: slack(h, lo) >> shift, (high, low))
        lower = self.p.free_word(lambda h, lo: slack(h, lo) & mask, (high, low))
        # A factor of 1 makes one row of more than two terms.
        one = self.p.constant(1)
        total = self.p.reduce(one * (high + upper * sign) - self.p.constant(bound >> shift), INTEGERS)
        self.exactly(self.power(shift) * total - one * self.p.constant(bound & mask) + low + lower * sign)


def require_not_in_g2(twist: Twist, q: TwistPoint, start: TwistPoint, end: TwistPoint) -> None:
    """[u]Q != -psi(Q), with an offset S of the subgroup: [2^k]S + [u]Q != [2^k]S - psi(Q). `end` is [2^k]S.

    For points of an order that r does not divide no sum is of equal or opposite points; for others only if they have
    certain multiples of S.
    """
    expected = twist.add_distinct(end, -twist.endomorphism(q, 1))
    point = start
    for digit in signed_digits(U):
        point = twist.twice(point)
        if digit:
            point = twist.add_distinct(point, q if digit > 0 else -q)
    p = twist.t.p
    require_some(p, [p.reduce(d) for d in numbers(point.x - expected.x, point.y - expected.y)])


Lines = list[tuple[tuple[int, int], tuple[int, int]]]


def lines(q: Point) -> Lines:
    """Slopes s and s x - y of the lines of the Miller loop [U]Q, in the order of `steps`."""
    found: Lines = []
    point = q
    for add in steps():
        other = q if add else point
        (x, y), (s, t) = point, other
        if add:
            slope = FIELD.divide2((t[0] - y[0], t[1] - y[1]), (s[0] - x[0], s[1] - x[1]))
        else:
            square = FIELD.multiply2(x, x)
            slope = FIELD.divide2((3 * square[0], 3 * square[1]), (2 * y[0], 2 * y[1]))
        rise = FIELD.multiply2(slope, x)
        found.append((slope, ((rise[0] - y[0]) % P, (rise[1] - y[1]) % P)))
        total = FIELD.add_points(point, other)
        assert total is not None
        point = total
    return found


def steps() -> list[bool]:
    """The lines of a Miller loop: True for an addition, False for a doubling."""
    found = []
    for bit in bin(U)[3:]:
        found.append(False)
        if bit == "1":
            found.append(True)
    return found


def line_value(line: tuple[tuple[int, int], tuple[int, int]], point: Point) -> Twelve:
    """The line at a point of G1, as `Twist.value` has it."""
    (slope, offset), x, y = line, point[0][0], point[1][0]
    over = pow(y, -1, P)
    factor = -x * over
    return (*(c * over % P for c in offset), *(c * factor % P for c in slope), 0, 0), ONE


def miller(loops: list[tuple[Lines, Point]]) -> Twelve:
    """The product of Miller loops with known lines at points of G1."""
    f: Twelve = (ONE, (0,) * 6)
    for k, add in enumerate(steps()):
        if not add:
            f = FIELD.multiply12(f, f)
        for table, point in loops:
            f = FIELD.multiply12(f, line_value(table[k], point))
    return f
