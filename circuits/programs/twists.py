"""Points of sextic twists over Fp2, and the lines of Miller loops, in programs.

A twist's point (x, y) stands for one of the curve over Fp12: (x w^2, y w^3) where W = w (a twist of type D), and
(x / w^2, y / w^3) where W = w^3 (type M). The line with the slope s through (x, y), at a point P of the curve over Fp,
is, up to factors in Fp6* and powers of w, which the final power of a pairing sends to 1,

    tau + W with tau = (0, -s x_P / y_P, (s x - y) / y_P) or ((s x - y) / y_P, -s x_P / y_P, 0).

w itself may be a factor since w^(p^6 - 1) = -1, and p^2 + 1, which divides what is left of the exponent, is even.
Vertical lines have values in Fp6, and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuits.programs.extensions import Extension
from circuits.programs.program import Operand
from circuits.programs.towers import NONE, Fp2, Fp6, Tower, numbers


@dataclass(frozen=True)
class TwistPoint:
    """A finite point: its coordinates are registers, with signs."""

    x: Fp2
    y: Fp2

    def __neg__(self) -> TwistPoint:
        return TwistPoint(self.x, -self.y)


@dataclass(frozen=True)
class Line:
    """A line by its slope s, and by s x - y for the points on it."""

    slope: Fp2
    offset: Fp2


class Twist:
    """Writes the group law of a twist y^2 = x^3 + b into a program.

    No step proves that its slope's denominator is not 0: the caller argues why it cannot be.
    """

    def __init__(self, tower: Tower) -> None:
        self.t, self.ext = tower, tower.ext

    def tangent(self, a: TwistPoint) -> Line:
        """The tangent at a. y must not be 0."""
        slope = self._tangent(a)
        return Line(slope, self.t.reduce2(slope * a.x - a.y))

    def _tangent(self, a: TwistPoint) -> Fp2:
        ext = self.ext
        square = self.t.square2(a.x)
        return self.t.unknown2(
            lambda r, i, y, z: ext.divide2((3 * r, 3 * i), (2 * y, 2 * z)),
            numbers(square, a.y),
            lambda s: a.y * s * 2 - square * 3,
        )

    def chord(self, a: TwistPoint, b: TwistPoint) -> Line:
        """The line through a and b, of which the x must differ."""
        ext = self.ext
        slope = self.t.unknown2(
            lambda x, x_, y, y_: ext.divide2((y, y_), (x, x_)),
            numbers(b.x - a.x, b.y - a.y),
            lambda s: s * (b.x - a.x) - (b.y - a.y),
        )
        return Line(slope, self.t.reduce2(slope * b.x - b.y))

    def third(self, line: Line, a: TwistPoint, b: TwistPoint) -> TwistPoint:
        """The sum of the two points of a line."""
        x = self.t.square2(line.slope, -a.x - b.x)
        return TwistPoint(x, self.t.reduce2(line.offset - line.slope * x))

    def require_third(self, line: Line, a: TwistPoint, b: TwistPoint, result: TwistPoint) -> None:
        """The sum of the two points of a line is this one."""
        self.t.require2(line.slope * line.slope - a.x - b.x - result.x)
        self.t.require2(line.offset - line.slope * result.x - result.y)

    def double(self, a: TwistPoint) -> tuple[Line, TwistPoint]:
        """2 a, and the tangent."""
        line = self.tangent(a)
        return line, self.third(line, a, a)

    def add(self, a: TwistPoint, b: TwistPoint) -> tuple[Line, TwistPoint]:
        """a + b, and the chord."""
        line = self.chord(a, b)
        return line, self.third(line, a, b)

    def twice(self, a: TwistPoint) -> TwistPoint:
        """2 a, without a line."""
        return self._third(self._tangent(a), a, a)

    def add_distinct(self, a: TwistPoint, b: TwistPoint) -> TwistPoint:
        """a + b without a line, and the proof that their x differ."""
        ext = self.ext
        difference = self.t.reduce2(b.x - a.x)
        inverse = self.t.unknown2(
            lambda x, x_: ext.inverse2((x, x_)),
            numbers(difference),
            lambda i: i * difference - Fp2.of(1),
        )
        return self._third(self.t.reduce2(inverse * (b.y - a.y)), a, b)

    def _third(self, slope: Fp2, a: TwistPoint, b: TwistPoint) -> TwistPoint:
        x = self.t.square2(slope, -a.x - b.x)
        return TwistPoint(x, self.t.reduce2(slope * (a.x - x) - a.y))

    def endomorphism(self, a: TwistPoint, k: int) -> TwistPoint:
        """psi^k(a): the curve's Frobenius, seen from the twist."""
        x_factor, y_factor = endomorphism_factors(self.ext, k)
        x, y = (a.x.conjugate(), a.y.conjugate()) if k % 2 else (a.x, a.y)
        image_x = self.t.reduce2(x * self.t.scaling(x_factor))
        if y_factor in ((1, 0), (self.ext.p - 1, 0)):
            return TwistPoint(image_x, y if y_factor == (1, 0) else -y)
        return TwistPoint(image_x, self.t.reduce2(y * self.t.scaling(y_factor)))

    def residual(self, a: TwistPoint, b: tuple[int, int]) -> Fp2:
        """Registers that are 0 exactly if the point is on the curve: y^2 - x^3 - b."""
        square = self.t.square2(a.x)
        part = self.t.reduce2(a.x * square + self.t.constant2(b))
        return self.t.reduce2(a.y * a.y - part)

    def require_on_curve(self, a: TwistPoint, b: tuple[int, int]) -> None:
        """y^2 = x^3 + b."""
        square = self.t.square2(a.x)
        part = self.t.reduce2(a.x * square + self.t.constant2(b))
        self.t.require2(a.y * a.y - part)

    def value(self, line: Line, x_over_y: Operand, one_over_y: Operand) -> Fp6:
        """tau of the line at P: given -x_P / y_P and 1 / y_P."""
        slope, offset = self.t.reduce2(line.slope * x_over_y), self.t.reduce2(line.offset * one_over_y)
        return (NONE, slope, offset) if self.ext.power == 1 else (offset, slope, NONE)


def endomorphism_factors(ext: Extension, k: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Factors of x and y in psi^k, after conjugation for odd k."""
    q = ext.p**k
    x, y = ext.power2(ext.xi, (q - 1) // 3), ext.power2(ext.xi, (q - 1) // 2)
    # (x w^2)^q = x^q xi^((q - 1) / 3) w^2, and the inverse for type M.
    return (x, y) if ext.power == 1 else (ext.inverse2(x), ext.inverse2(y))
