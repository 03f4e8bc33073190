"""Elliptic curves y^2 = x^3 + a * x + b over prime fields: their points as numbers, and their formulas in programs.

In programs a point is a pair of registers, never the point at infinity. A slope is a hint: with a denominator of 0 its
equation would hold for any slope. For a sum, the denominator is proved not to be 0. Elsewhere it cannot be: the groups
here have odd order, so that no point has y = 0. All formulas rely on operands that are on the curve, which is proved
where points come in, and then holds for what the formulas return.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from circuits.programs.lattices import short_eisenstein_relation, short_relation
from circuits.programs.moduli import (
    BLS12_381_P,
    BLS12_381_R,
    BN254_N,
    BN254_P,
    INTEGERS,
    P256_N,
    P256_P,
    SECP256K1_N,
    SECP256K1_P,
    TWO_66,
    TWO_130,
    Modulus,
)
from circuits.programs.program import (
    SIGNED_DIGIT,
    Bits,
    Operand,
    Pair,
    Program,
    Register,
    UnsatisfiedError,
    divide,
    lift,
)

#: Coordinates, or None: the point at infinity.
Affine = tuple[int, int] | None

#: How many offsets there are that `choice` selects among: as many as two digits have values.
#:
#: An input can spoil one of them knowingly: a point that is an offset, or whose x differs from an offset's by a
#: multiple of the modulus of the circuits' field, which `distinct` does not tell from 0. It can spoil others at random,
#: each with about 2^24 attempts for the sums of a program, or one after the other where an attacker keeps the first
#: digits of the scalars and varies the last. This spends digits, about 20 bits for each offset: there are not enough.
OFFSETS = 16


@dataclass(frozen=True)
class Curve:
    """The curve y^2 = x^3 + a * x + b, and the group of its points of prime order.

    Attributes:
        field: modulus of the coordinates, which is 3 modulo 4.
        order: of the group, odd, as is that of the group of all points.
        generator: coordinates of one.
        cofactor: how many times larger the group of all points is.
        endomorphism: (beta, lambda) with lambda * (x, y) = (beta * x, y), or (0, 0).
    """

    field: Modulus
    order: Modulus
    a: int
    b: int
    generator: tuple[int, int]
    cofactor: int = 1
    endomorphism: tuple[int, int] = (0, 0)

    def contains(self, x: int, y: int) -> bool:
        return (y * y - x * (x * x + self.a) - self.b) % self.field.value == 0

    def negate(self, p: Affine) -> Affine:
        return p and (p[0], -p[1] % self.field.value)

    def add(self, p: Affine, q: Affine) -> Affine:
        """The sum, complete."""
        if p is None or q is None:
            return p or q
        m = self.field.value
        if p[0] != q[0]:
            slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, m)
        elif (p[1] + q[1]) % m == 0:
            return None
        else:
            slope = (3 * p[0] * p[0] + self.a) * pow(2 * p[1], -1, m)
        x = (slope * slope - p[0] - q[0]) % m
        return x, (slope * (p[0] - x) - p[1]) % m

    def times(self, scalar: int, p: Affine) -> Affine:
        """A multiple, by a scalar that is not negative."""
        if p is None:
            return None
        m = self.field.value
        # Jacobian coordinates: x / z^2, y / z^3, and z = 0 at infinity.
        x, y, z = 1, 1, 0
        for digit in f"{scalar:b}":
            if z:
                xx, yy, zz = x * x, y * y % m, z * z % m
                slope, middle = (3 * xx + self.a * zz * zz) % m, 4 * x * yy
                z = 2 * y * z % m
                x = (slope * slope - 2 * middle) % m
                y = (slope * (middle - x) - 8 * yy * yy) % m
            if digit == "1":
                zz = z * z % m
                dx, dy = (p[0] * zz - x) % m, (p[1] * zz * z - y) % m
                if not z:
                    x, y, z = *p, 1
                elif dx:
                    cube, middle = dx * dx * dx % m, x * dx * dx
                    z = z * dx % m
                    x = (dy * dy - cube - 2 * middle) % m
                    y = (dy * (middle - x) - y * cube) % m
                elif dy:
                    x, y, z = 1, 1, 0
                else:
                    # The sum so far is p itself.
                    x, y, z = *(self.add(p, p) or (1, 1)), 1
        inverse = pow(z, -1, m) if z else 0
        return (x * inverse * inverse % m, y * inverse**3 % m) if z else None

    def root(self, square: int) -> int | None:
        """A square root in the field, or None."""
        root = pow(square, (self.field.value + 1) // 4, self.field.value)
        return root if (root * root - square) % self.field.value == 0 else None

    @cached_property
    def _hashed(self) -> tuple[tuple[int, int], ...]:
        """Points of which nobody knows a relation among them and the generator: hashes of a text, tried in order."""
        found: list[tuple[int, int]] = []
        for counter in itertools.count():
            text = f"offset {counter} of {self.field.name}"
            x = int.from_bytes(hashlib.sha512(text.encode()).digest(), "big") % self.field.value
            y = self.root(x * (x * x + self.a) + self.b)
            point = y and self.times(self.cofactor, (x, min(y, self.field.value - y)))
            if point:
                found.append(point)
            if len(found) == OFFSETS + 1:
                return tuple(found)
        raise AssertionError

    @property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """Points among which `choice` selects: nobody knows a relation among them, the start and the generator."""
        return self._hashed[:OFFSETS]

    @property
    def start(self) -> tuple[int, int]:
        """One more such point."""
        return self._hashed[OFFSETS]


def chosen_pair(program: Program, pairs: Sequence[tuple[int, int]], choice: Bits) -> Pair:
    """The constants that belong to the chosen offset."""
    return program.select(program.constant_table(pairs), [choice.digit(0), choice.digit(1, 4)])


#: SEC 2, version 2: secp256k1. Its endomorphism: Gallant, Lambert, Vanstone (2001).
SECP256K1 = Curve(
    SECP256K1_P,
    SECP256K1_N,
    a=0,
    b=7,
    generator=(
        0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
        0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
    ),
    endomorphism=(
        0x7AE96A2B657C07106E64479EAC3434E99CF0497512F58995C1396C28719501EE,
        0x5363AD4CC05C30E0A5261C028812645A122E22EA20816678DF02967C1B23BD72,
    ),
)

#: EIP-196: the first group of alt_bn128.
BN254 = Curve(
    BN254_P,
    BN254_N,
    a=0,
    b=3,
    generator=(1, 2),
    endomorphism=(
        0x59E26BCEA0D48BACD4F263F1ACDB5C4F5763473177FFFFFE,
        0xB3C4D79D41A917585BFC41088D8DAAA78B17EA66B99C90DD,
    ),
)

#: EIP-2537: the first group of BLS12-381, in a larger one.
BLS12_381_G1 = Curve(
    BLS12_381_P,
    BLS12_381_R,
    a=0,
    b=4,
    generator=(
        0x17F1D3A73197D7942695638C4FA9AC0FC3688C4F9774B905A14E3A3F171BAC586C55E83FF97A1AEFFB3AF00ADB22C6BB,
        0x08B3F481E3AAA0F1A09E30ED741D8AE4FCF5E095D5D00AF600DB18CB2C04B3EDD03CC744A2888AE40CAA232946C5E7E1,
    ),
    cofactor=0x396C8C005555E1568C00AAAB0000AAAB,
)

#: FIPS 186: P-256.
P256 = Curve(
    P256_P,
    P256_N,
    a=-3,
    b=0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    generator=(
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    ),
)


class Formulas:
    """The formulas of a curve in a program: each method adds rows.

    Args:
        program: whose modulus is the curve's field.
    """

    def __init__(self, program: Program, curve: Curve) -> None:
        self.program, self.curve = program, curve
        # A difference of registers is below 2^(8 * limbs) in size, about: `distinct` is for moduli of that size.
        self._distinct = curve.field.value.bit_length() == 8 * program.limbs

    def require_on_curve(self, point: Pair) -> None:
        """The point is on the curve: 2 rows."""
        p, (x, y) = self.program, point
        b: Operand = self.curve.b if self.curve.b < 1 << 24 else p.constant(self.curve.b)
        square = p.reduce(x * x + self.curve.a)
        p.require(y * y - x * square - b)

    def require_not_on_curve(self, x: Register, y: Register) -> None:
        """No point has these coordinates: what the curve's equation says is 0 has an inverse."""
        p = self.program
        b: Operand = self.curve.b if self.curve.b < 1 << 24 else p.constant(self.curve.b)
        square = p.reduce(x * x + self.curve.a)
        self.require_nonzero(p.reduce(y * y - x * square - b))

    def require_nonzero(self, value: Operand, modulus: Modulus | None = None) -> None:
        """A number is not 0 modulo the field, or another prime: 1 row."""
        m = modulus or self.program.modulus
        self.program.solve(divide(m), (1, value), lambda inverse: inverse * value - 1, m)

    def _slope(self, p: Pair, q: Pair, sign: int) -> Register:
        """Of the line through p and sign * q, which have different x."""
        (x1, y1), (x2, y2) = p, q
        slope = self.program.solve(
            divide(self.curve.field),
            (sign * y2 - y1, x2 - x1),
            lambda slope: slope * (x2 - x1) - sign * y2 + y1,
            distinct=self._distinct,
        )
        if not self._distinct:
            self.require_nonzero(x2 - x1)
        return slope

    def add(self, p: Pair, q: Pair, sign: int = 1) -> Pair:
        """p + q or p - q, which is neither 0 nor a double: 3 rows, and 1 for its denominator in small fields."""
        (x1, y1), (x2, _) = p, q
        slope = self._slope(p, q, sign)
        x3 = self.program.reduce(slope * slope - x1 - x2)
        y3 = self.program.reduce(slope * (x1 - x3) - y1)
        return x3, y3

    def double(self, p: Pair) -> Pair:
        """2 * p: 3 rows, and 1 for words. The denominator is 2 * y."""
        x, y = p
        # Three squares of unsigned bytes are too much for one equation.
        square: Operand = x * x if x.digit <= SIGNED_DIGIT else self.program.reduce(x * x)
        numerator = 3 * lift(square) + self.curve.a
        slope = self.program.solve(divide(self.curve.field), (numerator, 2 * y), lambda s: s * (2 * y) - numerator)
        x3 = self.program.reduce(slope * slope - 2 * x)
        y3 = self.program.reduce(slope * (x - x3) - y)
        return x3, y3

    def double_and_add(self, p: Pair, q: Pair) -> Pair:
        """2 * p + q as (p + q) + p: 5 rows, and 1 for the first denominator in small fields. Nor is q equal to -2 * p.

        The second slope is turned - slope, where turned = -2 * y / (x3 - x). There is no turned for x3 = x, as y is not
        0. With the first slope's square put in, x4 is turned * (turned - 2 * slope) + the x of q.
        """
        x, y = p
        slope = self._slope(p, q, 1)
        x3 = self.program.reduce(slope * slope - x - q[0])
        turned = self.program.solve(divide(self.curve.field), (-2 * y, x3 - x), lambda t: t * (x3 - x) + 2 * y)
        x4 = self.program.reduce(turned * (turned - 2 * slope) + q[0])
        y4 = self.program.reduce((turned - slope) * (x - x4) - y)
        return x4, y4

    def require_sum(self, p: Pair, q: Pair, total: Pair) -> None:
        """p + q = total, where p is neither q nor -q: 4 rows, and 1 for the denominator in small fields."""
        (x1, y1), (x2, _) = p, q
        slope = self._slope(p, q, 1)
        x3 = self.program.reduce(slope * slope - x1 - x2)
        self.program.require(x3 - total[0])
        self.program.require(slope * (x1 - total[0]) - y1 - total[1])

    def joint_table(self, offset: Pair, p: Pair, q: Pair, lowest: tuple[int, int]) -> list[Pair]:
        """offset + i * p + j * q for 4 numbers i, each with 4 numbers j, from the lowest ones on: 15 sums.

        With an endomorphism, the register behind a sum's y is beta * x.
        """
        return [entry for start in self._line(offset, p, lowest[0]) for entry in self._line(start, q, lowest[1])]

    def _line(self, start: Pair, step: Pair, lowest: int) -> list[Pair]:
        found = {0: start}
        for k in range(1, lowest + 4):
            found[k] = self._added(found[k - 1], step, 1)
        for k in range(-1, lowest - 1, -1):
            found[k] = self._added(found[k + 1], step, -1)
        return [found[k] for k in range(lowest, lowest + 4)]

    def _added(self, p: Pair, q: Pair, sign: int) -> Pair:
        total = self.add(p, q, sign)
        if self.curve.endomorphism[0]:
            self.program.reduce(total[0] * self.program.constant(self.curve.endomorphism[0]))
        return total


def centered(value: int, modulus: Modulus) -> int:
    """The representative next to 0, which a program's own, larger modulus does not change."""
    value %= modulus.value
    return value - modulus.value if 2 * value > modulus.value else value


class FixedBase:
    """A multiple of the generator by a scalar of 256 bits: 32 windows of 8 bits, each one sum with a constant.

    In window i, of weight 4^i, are the digits i, i + 32, i + 64 and i + 96. An entry is half of what it stands for, so
    that it is added between two doublings; and 1 is added to its scalar, so that it is not infinity.
    """

    WINDOWS = 32

    def __init__(self, program: Program, curve: Curve, scalar: Bits) -> None:
        self.program, self.scalar = program, scalar
        self.table = program.constant_table(self._entries(curve))
        assert self.table.length == 256

    @staticmethod
    @cache
    def _entries(curve: Curve) -> list[tuple[int, int]]:
        half = curve.times((curve.order.value + 1) // 2, curve.generator)
        entries: list[Affine] = [half]
        base = half
        for _ in range(4):
            multiples: list[Affine] = [None, base, curve.times(2, base), curve.times(3, base)]
            entries = [curve.add(entry, multiple) for multiple in multiples for entry in entries]
            base = curve.times(1 << 64, base)
        return [entry for entry in entries if entry is not None]

    #: What the ones of all windows are together.
    TOTAL = (4**WINDOWS - 1) // 3

    def select(self, window: int) -> Pair:
        """Half of the window's part."""
        terms = [self.scalar.digit(window + self.WINDOWS * k, 4**k) for k in range(4)]
        return self.program.select(self.table, terms)

    def require(self, formulas: Formulas, point: Pair, choice: Bits) -> None:
        """The point is scalar * G: 260 rows for a large field, for points that are on the curve.

        No point of the input is added up before the last sum: whoever meets a denominator of 0 knows a relation between
        an offset and G. The choice of one is for differences that `distinct` does not tell from 0.
        """
        f, p, curve = formulas, self.program, formulas.curve
        total = chosen_pair(p, curve.offsets, choice)
        for window in reversed(range(self.WINDOWS)):
            total = f.double(f.double_and_add(total, self.select(window)))
        extra = curve.times(self.TOTAL, curve.generator)
        rest = [curve.add(curve.times(4**self.WINDOWS, o), extra) for o in curve.offsets]
        f.require_sum(point, chosen_pair(p, [point for point in rest if point], choice), total)


@dataclass(frozen=True)
class Scalars:
    """Two short scalars modulo a group's order, whose digits are known.

    Attributes:
        a: a residue that is not 0 in honest runs.
        b: another one.
        bits: the digits of their coordinates.
    """

    a: Operand
    b: Operand
    bits: tuple[Bits, ...]


def _shift(windows: int) -> int:
    """What a scalar is less than the number with digits 0 to 3 when its digits are -1 to 2."""
    return ((1 << 2 * windows) - 1) // 3


class EndomorphismRelation:
    """a * p + b * q + t * G = 0 for Eisenstein integers a and b: 33 windows of 2 bits.

    Each of the four coordinates has 33 digits -1 to 2: it is from -(4^33 - 1) / 3 to 2 * (4^33 - 1) / 3, and 1.278 *
    2^64 is less than both. Tables have an offset O in each entry. What is added up has then, next to multiples of p, q
    and G, a multiple of O by an Eisenstein integer c + d * lambda with c and d from 0 to 2^67, whose norm is below the
    order: it is 0 modulo the order only if c = d = 0. So it is in all sums and differences of the loop: (acc + T) and
    (acc - T) have c != 0 or d != 0 for each T that is added to acc. When a sum meets a denominator of 0, there is a
    relation between O and the points, and another one for another choice of O: nobody finds inputs for which there are
    two, as they would give one among offsets and G.
    """

    WINDOWS = 33

    def __init__(self, formulas: Formulas) -> None:
        self.formulas, self.program, self.curve = formulas, formulas.program, formulas.curve

    def scalars(self, numerator: Operand, denominator: Operand) -> Scalars:
        """Some (a, b) for which a * numerator + b * denominator is 0 in honest runs: the caller states that."""
        p, order, eigenvalue = self.program, self.curve.order, self.curve.endomorphism[1]
        constant = p.constant_pair(eigenvalue, centered(-_shift(self.WINDOWS) * (1 + eigenvalue), order))
        half = p.constant(1 << 128)
        found, bits = [], []
        for side in range(2):

            def coordinate(k: int) -> Register:
                def hint(numerator: int, denominator: int) -> int:
                    u = divide(order)(numerator, denominator) % order.value
                    return short_eisenstein_relation(order.value, eigenvalue, u)[k] + _shift(self.WINDOWS)

                return p.free_word(hint, (numerator, denominator), below=TWO_66)

            x, y = coordinate(2 * side), coordinate(2 * side + 1)
            digits = p.bits(lambda both: both, (x + y * (1 << 128),))
            p.require(x + y * half - digits.register, INTEGERS)
            bits.append(digits)
            found.append(p.reduce(x + y * constant[0] + constant[1], order))
        return Scalars(found[0], found[1], tuple(bits))

    def require(self, scalars: Scalars, first: Pair, second: Pair, fixed: FixedBase | None, choice: Bits) -> None:
        """The relation holds for two points on the curve: 477 rows for a large field and with a fixed base."""
        p, f, curve = self.program, self.formulas, self.curve
        beta, eigenvalue = curve.endomorphism
        images = [(x * beta % curve.field.value, y) for x, y in curve.offsets]
        offset = chosen_pair(p, curve.offsets, choice)
        image_of_offset = chosen_pair(p, [(y, x) for x, y in images], choice)
        entries = f.joint_table(offset, first, second, (-1, -1))
        table = p.table(entries)
        # Images lie as (y, x): beta * x is the register behind y.
        table_of_images = p.table([image_of_offset if e is offset else (e[1], _behind(e[1])) for e in entries])

        def select(window: int) -> tuple[Pair, Pair]:
            plain, image = (
                [bits.digit(window + 64 * part, weight) for bits, weight in zip(scalars.bits, (4, 1), strict=True)]
                for part in range(2)
            )
            y, x = p.select(table_of_images, image)
            return p.select(table, plain), (x, y)

        # What is left is the offsets' own.
        residue = _shift(self.WINDOWS) * (1 + eigenvalue) % curve.order.value
        extra = curve.times(FixedBase.TOTAL, curve.generator) if fixed else None
        rest = [curve.add(curve.times(residue, o), extra) for o in curve.offsets]
        goal = chosen_pair(p, [point for point in rest if point], choice)

        total = f.add(*select(self.WINDOWS - 1))
        for window in reversed(range(self.WINDOWS - 1)):
            plain, image = select(window)
            half = f.double_and_add(total, fixed.select(window)) if fixed else f.double(total)
            total = f.double_and_add(half, plain)
            if window:
                total = f.add(total, image)
            else:
                f.require_sum(total, image, goal)


class PlainRelation:
    """a * p + b * q + t * G = 0 for integers a and b: 65 windows of 2 bits.

    The digits of a are 0 to 3 and those of b -1 to 2. As a > 0 and a^2 + b^2 <= 1.155 * 2^256, the numbers with the
    digits 0 to 3 are a and less than b + 1.334 * 2^128, together less than 2.86 * 2^128: that they are less than 2^130
    proves that none has other digits. Offsets are those of `EndomorphismRelation`.
    """

    WINDOWS = 65

    def __init__(self, formulas: Formulas) -> None:
        self.formulas, self.program, self.curve = formulas, formulas.program, formulas.curve

    def scalars(self, numerator: Operand, denominator: Operand) -> Scalars:
        """Some (a, b) for which a * numerator + b * denominator is 0 in honest runs: the caller states that."""
        p, order = self.program, self.curve.order

        def digits(k: int, shift: int) -> Bits:
            def hint(numerator: int, denominator: int) -> int:
                u: int = divide(order)(numerator, denominator) % order.value
                return short_relation(order.value, u)[k] + shift

            return p.bits(hint, (numerator, denominator))

        a, b = digits(0, 0), digits(1, _shift(self.WINDOWS))
        one, shift = p.constant_pair(1, _shift(self.WINDOWS))
        both = p.free_word(lambda total: total, (a.register + b.register,), below=TWO_130)
        p.require(one * (a.register + b.register) - both, INTEGERS)
        return Scalars(lift(a.register), b.register - shift, (a, b))

    def require(self, scalars: Scalars, first: Pair, second: Pair, fixed: FixedBase, choice: Bits) -> None:
        """The relation holds for two points on the curve: 622 rows for a large field."""
        p, f, curve = self.program, self.formulas, self.curve
        offset = chosen_pair(p, curve.offsets, choice)
        table = p.table(f.joint_table(offset, first, second, (0, -1)))

        def select(window: int) -> Pair:
            return p.select(
                table, [bits.digit(window, weight) for bits, weight in zip(scalars.bits, (4, 1), strict=True)]
            )

        extra = curve.times(FixedBase.TOTAL, curve.generator)
        rest = [curve.add(curve.times(_shift(self.WINDOWS), o), extra) for o in curve.offsets]
        goal = chosen_pair(p, [point for point in rest if point], choice)

        total = select(self.WINDOWS - 1)
        for window in reversed(range(self.WINDOWS - 1)):
            known = fixed.select(window) if window < fixed.WINDOWS else None
            half = f.double_and_add(total, known) if known else f.double(total)
            total = f.double_and_add(half, select(window))
        p.require(total[0] - goal[0])
        p.require(total[1] - goal[1])


def _behind(register: Register) -> Register:
    return Register(register.index + 1, register.digit, register.size)


def working_choice(program: Program, words: Sequence[int]) -> int:
    """An offset with which the program can answer an input.

    Raises:
        UnsatisfiedError: there is none.
    """
    for choice in range(OFFSETS - 1):
        with contextlib.suppress(UnsatisfiedError):
            program.run(words, choice=choice)
            return choice
    program.run(words, choice=OFFSETS - 1)
    return OFFSETS - 1
