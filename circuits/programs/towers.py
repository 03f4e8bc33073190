"""Arithmetic of Fp2 and Fp6, and of Fp12* modulo Fp6*, in programs.

Pairings are compared with 1 after a power that is a multiple of p^6 - 1, which sends Fp6* to 1. So a pairing program
works in the quotient Fp12* / Fp6*, which is cyclic of order p^6 + 1. An element of it that is not trivial has exactly
one representative tau + W with tau in Fp6 (W^2 = N is no square in Fp6): six registers instead of twelve, and

* its square: (tau + W)^2 = (tau^2 + N) + 2 tau W, so tau' = (tau + N / tau) / 2: the product with a hinted N / tau;
* products: tau' = (s t + N) / (s + t), stated as tau' (s + t) = s t + N;
* its inverse is -tau, its power p^6 too.

Both equations determine tau' where the result is not trivial, and have no solution where it is: for tau = 0 the first
reads 0 = N, for s + t = 0 the second reads 0 = N - s^2, and N is no square. So they are sound without any further
condition; the caller's care is that honest runs never meet a trivial element.

Sums of products: a coordinate of a product in Fp6 is a sum of six products (of ten or twelve, for two products in
Fp6), which is stated in two (three) wide rows. Terms that v^3 = xi folds back are summed first, so that xi multiplies
one register instead of every term.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from circuits.programs.extensions import Extension, signed_digits
from circuits.programs.program import Operand, Polynomial, Program, lift


@dataclass(frozen=True)
class Fp2:
    """re + im * u with polynomials in registers; products reach degree 2."""

    re: Polynomial
    im: Polynomial

    @classmethod
    def of(cls, re: Operand, im: Operand = 0) -> Fp2:
        """From registers, polynomials or small integers."""
        return cls(lift(re), lift(im))

    def __add__(self, other: Fp2) -> Fp2:
        return Fp2(self.re + other.re, self.im + other.im)

    def __sub__(self, other: Fp2) -> Fp2:
        return Fp2(self.re - other.re, self.im - other.im)

    def __neg__(self) -> Fp2:
        return Fp2(-self.re, -self.im)

    def __mul__(self, other: Fp2 | Operand) -> Fp2:
        """The product; with a number of Fp, both coordinates times it."""
        if isinstance(other, Fp2):
            return Fp2(
                self.re * other.re - self.im * other.im,
                self.re * other.im + self.im * other.re,
            )
        return Fp2(self.re * other, self.im * other)

    def conjugate(self) -> Fp2:
        """Its power p."""
        return Fp2(self.re, -self.im)

    @property
    def zero(self) -> bool:
        """Whether it is 0 as a polynomial."""
        return not any(x.linear or x.products or x.constant for x in (self.re, self.im))


NONE = Fp2.of(0)
Fp6 = tuple[Fp2, Fp2, Fp2]


def numbers(*parts: Fp2) -> list[Polynomial]:
    """Coordinates one behind the other, as arguments of hints."""
    return [x for part in parts for x in (part.re, part.im)]


def fp6(registers: Sequence[Operand]) -> Fp6:
    """An element of Fp6 with these six coordinates."""
    a, b, c = (Fp2.of(registers[k], registers[k + 1]) for k in (0, 2, 4))
    return a, b, c


def minus(x: Fp6) -> Fp6:
    """-x."""
    return -x[0], -x[1], -x[2]


class Tower:
    """Writes arithmetic in an extension into a program.

    Args:
        program: the program.
        extension: the same field with integers.
    """

    def __init__(self, program: Program, extension: Extension) -> None:
        self.p, self.ext = program, extension
        self.one = lift(program.constant_pair(1, pow(2, -1, extension.p))[0])
        self.half = program.constant_pair(1, pow(2, -1, extension.p))[1]
        #: W^2 with a register for its 1, and with numbers.
        if extension.power == 1:
            self.square_factor: Fp6 = (NONE, Fp2.of(self.one), NONE)
        else:
            self.square_factor = (self.constant2(extension.xi), NONE, NONE)
        self.square_number = fp6(extension.square)

    # Fp2.

    def reduce2(self, x: Fp2) -> Fp2:
        """Two registers that are equal to x."""
        return Fp2.of(self.p.reduce(x.re), self.p.reduce(x.im))

    def constant2(self, value: Sequence[int]) -> Fp2:
        """A constant of Fp2."""
        return Fp2.of(*self.p.constant_pair(value[0] % self.ext.p, value[1] % self.ext.p))

    def constants(self, values: Sequence[int]) -> Fp6:
        """A constant of Fp6."""
        a, b, c = (self.constant2(values[k : k + 2]) for k in (0, 2, 4))
        return a, b, c

    def square2(self, x: Fp2, rest: Fp2 = NONE, factor: int = 1) -> Fp2:
        """factor * x^2 + rest for registers x, as (re + im) (re - im) and 2 re im."""
        return Fp2.of(
            self.p.reduce((x.re + x.im) * (x.re - x.im) * factor + rest.re),
            self.p.reduce(x.re * x.im * (2 * factor) + rest.im),
        )

    def unknown2(
        self,
        hint: Callable[..., Sequence[int]],
        arguments: Iterable[Operand],
        equation: Callable[[Fp2], Fp2],
    ) -> Fp2:
        """Two registers for which an equation in Fp2 holds."""
        registers = self.p.promise(2)
        unknown = Fp2.of(*registers)

        def equations() -> list[Polynomial]:
            return numbers(equation(unknown))

        self.p.fulfil(registers, hint, list(arguments), equations)
        return unknown

    def require2(self, x: Fp2) -> None:
        """x is 0."""
        self.p.require(x.re)
        self.p.require(x.im)

    def times_xi(self, x: Fp2) -> Fp2:
        """xi * x."""
        r, i = self.ext.xi
        return Fp2(r * x.re - i * x.im, r * x.im + i * x.re)

    # Fp6.

    def sums(self, terms: Iterable[tuple[int, Fp6, Fp6]]) -> Fp6:
        """The sum of products in Fp6 with signs: polynomials that fit a row each, with room for a constant.

        Terms:
            sign, and two factors whose coordinates are registers or 0.
        """
        degrees: list[list[Fp2]] = [[], [], [], [], []]
        for sign, x, y in terms:
            for i in range(3):
                for j in range(3):
                    if not (x[i].zero or y[j].zero):
                        degrees[i + j].append(x[i] * y[j] * sign)
        return self._sum(degrees[0], degrees[3]), self._sum(degrees[1], degrees[4]), self._sum(degrees[2], [])

    def _sum(self, low: list[Fp2], high: list[Fp2]) -> Fp2:
        """low + xi * high."""
        total = self.times_xi(self.reduce2(self._accumulate(high, NONE))) if high else NONE
        return self._accumulate(low, total)

    def _accumulate(self, products: list[Fp2], total: Fp2) -> Fp2:
        # A product in Fp2 has two products in each coordinate, so that a row takes two.
        for k in range(0, len(products), 2):
            if k:
                total = self.reduce2(total)
            for product in products[k : k + 2]:
                total = total + product
        return total

    def unknown(
        self,
        hint: Callable[..., Sequence[int]],
        arguments: Iterable[Operand],
        equation: Callable[[Fp6], Fp6],
    ) -> Fp6:
        """Six registers for which an equation in Fp6 holds."""
        registers = self.p.promise(6)
        x = fp6(registers)
        self.p.fulfil(registers, hint, list(arguments), lambda: numbers(*equation(x)))
        return x

    def reduce6(self, x: Fp6) -> Fp6:
        """Registers that are equal to x; those that are single registers already, as they are."""
        a, b, c = (Fp2.of(self._single(y.re), self._single(y.im)) for y in x)
        return a, b, c

    def _single(self, x: Polynomial) -> Operand:
        single = not x.products and not x.constant and list(x.linear.values()) in ([1], [])
        return x if single else self.p.reduce(x)

    # Fp12* modulo Fp6*: tau stands for tau + W.

    def square(self, tau: Fp6) -> Fp6:
        """(tau + W)^2."""
        ext = self.ext
        other = self.unknown(
            lambda *t: ext.divide(ext.square, t),
            numbers(*tau),
            lambda x: _add(self.sums([(1, tau, x)]), self.square_number, -1),
        )
        a, b, c = (
            Fp2.of(self.p.reduce(self.half * (x.re + y.re)), self.p.reduce(self.half * (x.im + y.im)))
            for x, y in zip(tau, other, strict=True)
        )
        return a, b, c

    def times(self, s: Fp6, t: Fp6) -> Fp6:
        """(s + W) (t + W): coordinates are registers, or 0."""
        ext = self.ext
        together = self.reduce6(_add(s, t))

        def hint(*values: int) -> Sequence[int]:
            a, b = values[:6], values[6:]
            return ext.divide(ext.add(ext.multiply(a, b), ext.square), ext.add(a, b))

        return self.unknown(
            hint,
            numbers(*s, *t),
            lambda x: _add(self.sums([(1, x, together), (-1, s, t)]), self.square_number, -1),
        )

    def frobenius(self, tau: Fp6, k: int) -> Fp6:
        """(tau + W)^(p^k)."""
        factors = self.ext.frobenius_factors(k)
        parts = []
        for x, factor in zip(tau, factors, strict=True):
            y = x.conjugate() if k % 2 else x
            parts.append(self.reduce2(y * self.scaling(factor)))
        return parts[0], parts[1], parts[2]

    def scaling(self, value: Sequence[int]) -> Fp2 | Operand:
        """A constant of Fp2 to multiply by; one of Fp as one register."""
        return self.constant2(value) if value[1] else self.constant2(value).re

    def power(self, tau: Fp6, exponent: int) -> Fp6:
        """(tau + W)^exponent, for an exponent above 0."""
        result = tau
        for digit in signed_digits(exponent)[1:]:
            result = self.square(result)
            if digit:
                result = self.times(result, tau if digit > 0 else minus(tau))
        return result

    def product(self, s: Fp6, t: Fp6) -> tuple[Fp6, Fp6]:
        """(s + W) (t + W) as (a, b) for a + b W, which may be trivial: b = 0."""
        return self.reduce6(_add(self.sums([(1, s, t)]), self.square_number)), self.reduce6(_add(s, t))

    def times_full(self, f: tuple[Fp6, Fp6], tau: Fp6) -> tuple[Fp6, Fp6]:
        """(a + b W) (tau + W) as polynomials that fit a row each."""
        a, b = f
        one: Fp6 = (Fp2.of(self.one), NONE, NONE)
        even = self.sums([(1, a, tau), (1, b, self.square_factor)])
        return even, self.sums([(1, b, tau), (1, a, one)])

    def require_equal(self, f: tuple[Fp6, Fp6], g: tuple[Fp6, Fp6]) -> None:
        """f and g, neither of them 0, are equal up to a factor in Fp6."""
        for x in self.sums([(1, f[0], g[1]), (-1, f[1], g[0])]):
            self.require2(x)


def _add(x: Fp6, y: Fp6, sign: int = 1) -> Fp6:
    a, b, c = (s + t * sign for s, t in zip(x, y, strict=True))
    return a, b, c
