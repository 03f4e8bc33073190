"""Multiples of points of curves y^2 = x^3 + b in programs of 48 limbs, where equations have few terms.

A sum of products in an equation of 48 limbs has four of them at most, with factors: 2 s y = 3 x^2 for a slope s has
too many. Here a point is (x, y / 3), and a doubling has the slope s = 2 (3 x^2) / (2 y) = x^2 / (y / 3):

    s (y / 3) = x^2,  4 x' = s^2 - 8 x,  6 (y' / 3) = s (x - x') - 6 (y / 3).

Points are never infinity, and no point has y = 0: the groups of all points have odd order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from circuits.programs.program import Operand, Pair, Program, Register
from circuits.programs.towers import Fp2, Tower, numbers
from circuits.programs.twists import TwistPoint

AnyPoint = TypeVar("AnyPoint")


class Thirds(ABC, Generic[AnyPoint]):
    """Writes the group law into a program: of points (x, y / 3)."""

    def __init__(self, program: Program) -> None:
        self.p, self.modulus = program, program.modulus.value

    @abstractmethod
    def twice(self, a: AnyPoint) -> AnyPoint:
        """2 a."""

    @abstractmethod
    def add(self, a: AnyPoint, b: AnyPoint) -> AnyPoint:
        """a + b, and the proof that their x differ."""

    def multiple(self, base: AnyPoint, bits: str, start: AnyPoint) -> AnyPoint:
        """2^n * start + k * base, for k with these n bits."""
        total = start
        for bit in bits:
            total = self.twice(total)
            if bit == "1":
                total = self.add(total, base)
        return total

    def over(self, number: int, value: Operand) -> Register:
        """value / number."""
        inverse = pow(number, -1, self.modulus)
        return self.p.solve(lambda v: v * inverse % self.modulus, (value,), lambda r: r * number - value)


class FieldThirds(Thirds[Pair]):
    """Of a curve over Fp: 3 rows for a doubling, 4 for a sum."""

    def _divide(self, a: int, b: int) -> int:
        return a * pow(b, -1, self.modulus) if b % self.modulus else 0

    def twice(self, a: Pair) -> Pair:
        """2 a."""
        x, y = a
        slope = self.p.solve(lambda x, y: self._divide(x * x, y), (x, y), lambda s: s * y - x * x)
        x3 = self.over(4, slope * slope - x * 8)
        return x3, self.over(6, slope * (x - x3) - y * 6)

    def add(self, a: Pair, b: Pair) -> Pair:
        """a + b, and the proof that their x differ."""
        (x1, y1), (x2, y2) = a, b
        inverse = self.p.solve(lambda v: self._divide(3, v), (x2 - x1,), lambda i: i * (x2 - x1) - 3)
        slope = self.p.reduce(inverse * (y2 - y1))
        x3 = self.p.reduce(slope * slope - x1 - x2)
        return x3, self.over(3, slope * (x1 - x3) - y1 * 3)


class TwistThirds(Thirds[TwistPoint]):
    """Of a curve over Fp2: 6 rows for a doubling, 8 for a sum."""

    def __init__(self, tower: Tower) -> None:
        super().__init__(tower.p)
        self.t, self.ext = tower, tower.ext

    def _over2(self, number: int, x: Fp2) -> Fp2:
        return Fp2.of(self.over(number, x.re), self.over(number, x.im))

    def twice(self, a: TwistPoint) -> TwistPoint:
        """2 a."""
        ext = self.ext
        slope = self.t.unknown2(
            lambda x, x_, y, y_: ext.divide2(ext.multiply2((x, x_), (x, x_)), (y, y_)),
            numbers(a.x, a.y),
            lambda s: s * a.y - a.x * a.x,
        )
        square = Fp2((slope.re + slope.im) * (slope.re - slope.im), slope.re * slope.im * 2)
        x = self._over2(4, square - a.x * 8)
        return TwistPoint(x, self._over2(6, slope * (a.x - x) - a.y * 6))

    def add(self, a: TwistPoint, b: TwistPoint) -> TwistPoint:
        """a + b, and the proof that their x differ."""
        ext = self.ext
        inverse = self.t.unknown2(
            lambda x, x_: ext.divide2((3, 0), (x, x_)),
            numbers(b.x - a.x),
            lambda i: i * (b.x - a.x) - Fp2.of(3),
        )
        slope = self.t.reduce2(inverse * (b.y - a.y))
        x = self.t.square2(slope, -a.x - b.x)
        return TwistPoint(x, self._over2(3, slope * (a.x - x) - a.y * 3))
