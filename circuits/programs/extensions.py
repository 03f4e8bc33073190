"""Extensions of prime fields with Python integers: what the hints of programs compute with.

Fp2 = Fp[u] / (u^2 + 1), Fp6 = Fp2[v] / (v^3 - xi), Fp12 = Fp6[W] / (W^2 - square). An element of Fp2 is a pair of
integers, one of Fp6 has six, and the pair (a, b) of elements of Fp6 is a + b W.

With w^6 = xi and v = w^2 both v and xi are no squares in Fp6: W is w or w^3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

Pair = tuple[int, int]
Point = tuple[Pair, Pair]
Six = tuple[int, ...]
Twelve = tuple[Six, Six]

ZERO: Six = (0,) * 6
ONE: Six = (1, 0, 0, 0, 0, 0)
V: Six = (0, 0, 1, 0, 0, 0)


def signed_digits(number: int) -> list[int]:
    """Digits -1, 0 and 1 of a positive number, the most significant first, no two behind each other without a 0."""
    digits = []
    while number:
        digit = 2 - number % 4 if number & 1 else 0
        digits.append(digit)
        number = (number - digit) >> 1
    return digits[::-1]


@dataclass(frozen=True)
class Extension:
    """The tower over the integers modulo p.

    Attributes:
        p: the prime, 3 modulo 4.
        xi: the element of Fp2 of which v is a cube root.
        power: W = w^power, 1 or 3.
    """

    p: int
    xi: Pair
    power: int

    @property
    def square(self) -> Six:
        """W^2."""
        return V if self.power == 1 else (*self.xi, 0, 0, 0, 0)

    # Fp2.

    def multiply2(self, a: Pair, b: Pair) -> Pair:
        """a * b."""
        return (a[0] * b[0] - a[1] * b[1]) % self.p, (a[0] * b[1] + a[1] * b[0]) % self.p

    def inverse2(self, a: Pair) -> Pair:
        """1 / a, and 0 for 0."""
        norm = (a[0] * a[0] + a[1] * a[1]) % self.p
        factor = pow(norm, -1, self.p) if norm else 0
        return a[0] * factor % self.p, -a[1] * factor % self.p

    def divide2(self, a: Pair, b: Pair) -> Pair:
        """a / b, and 0 for b = 0."""
        return self.multiply2(a, self.inverse2(b))

    def power2(self, a: Pair, exponent: int) -> Pair:
        """a to a power that is not negative."""
        result: Pair = (1, 0)
        for bit in bin(exponent)[2:]:
            result = self.multiply2(result, result)
            if bit == "1":
                result = self.multiply2(result, a)
        return result

    def square_root2(self, a: Pair) -> Pair | None:
        """A square root of a, or None (Adj and Rodríguez-Henríquez, "Square root computation over even extension
        fields", 2012, algorithm 9).
        """
        part = self.power2(a, (self.p - 3) // 4)
        root = self.multiply2(part, a)
        alpha = self.multiply2(part, root)
        nonresidue = alpha == (self.p - 1, 0)
        factor = (0, 1) if nonresidue else self.power2((alpha[0] + 1, alpha[1]), (self.p - 1) // 2)
        root = self.multiply2(root, factor)
        return root if self.multiply2(root, root) == a else None

    # Points over Fp2 of y^2 = x^3 + b: None is the one at infinity.

    def add_points(self, a: Point | None, b: Point | None) -> Point | None:
        """a + b."""
        if a is None or b is None:
            return a or b
        (x, y), (s, t) = a, b
        if x == s:
            if (y[0] + t[0]) % self.p == (y[1] + t[1]) % self.p == 0:
                return None
            square = self.multiply2(x, x)
            slope = self.divide2((3 * square[0], 3 * square[1]), (2 * y[0], 2 * y[1]))
        else:
            slope = self.divide2(_minus(t, y), _minus(s, x))
        square = self.multiply2(slope, slope)
        third = (square[0] - x[0] - s[0]) % self.p, (square[1] - x[1] - s[1]) % self.p
        rise = self.multiply2(slope, _minus(x, third))
        return third, ((rise[0] - y[0]) % self.p, (rise[1] - y[1]) % self.p)

    def multiply_point(self, a: Point | None, k: int) -> Point | None:
        """k * a for a k that is not negative."""
        result = None
        for bit in bin(k)[2:]:
            result = self.add_points(result, result)
            if bit == "1":
                result = self.add_points(result, a)
        return result

    def on_curve(self, a: Point, b: Pair) -> bool:
        """Whether y^2 = x^3 + b."""
        x, y = a
        cube, square = self.multiply2(self.multiply2(x, x), x), self.multiply2(y, y)
        return all((cube[k] + b[k] - square[k]) % self.p == 0 for k in range(2))

    # Fp6.

    def multiply(self, a: Sequence[int], b: Sequence[int]) -> Six:
        """a * b."""
        sums = [0] * 10
        for i in range(3):
            x, y = a[2 * i], a[2 * i + 1]
            for j in range(3):
                s, t = b[2 * j], b[2 * j + 1]
                k = 2 * (i + j)
                sums[k] += x * s - y * t
                sums[k + 1] += x * t + y * s
        r, i_ = self.xi
        for k in (0, 2):
            sums[k] += r * sums[k + 6] - i_ * sums[k + 7]
            sums[k + 1] += r * sums[k + 7] + i_ * sums[k + 6]
        return tuple(c % self.p for c in sums[:6])

    def add(self, a: Sequence[int], b: Sequence[int], sign: int = 1) -> Six:
        """a + b, or a - b for the sign -1."""
        return tuple((x + sign * y) % self.p for x, y in zip(a, b, strict=True))

    def inverse(self, a: Sequence[int]) -> Six:
        """1 / a, and 0 for 0."""
        m = self.multiply2
        a0, a1, a2 = ((a[k], a[k + 1]) for k in (0, 2, 4))
        xi_12, xi_22 = m(self.xi, m(a1, a2)), m(self.xi, m(a2, a2))
        c = (
            _minus(m(a0, a0), xi_12),
            _minus(xi_22, m(a0, a1)),
            _minus(m(a1, a1), m(a0, a2)),
        )
        norm = m(a0, c[0])
        for x, y in ((a2, c[1]), (a1, c[2])):
            product = m(self.xi, m(x, y))
            norm = norm[0] + product[0], norm[1] + product[1]
        factor = self.inverse2(norm)
        return tuple(x for part in c for x in m(part, factor))

    def divide(self, a: Sequence[int], b: Sequence[int]) -> Six:
        """a / b, and 0 for b = 0."""
        return self.multiply(a, self.inverse(b))

    # Fp12.

    def multiply12(self, f: Twelve, g: Twelve) -> Twelve:
        """f * g."""
        (a, b), (c, d) = f, g
        even = self.add(self.multiply(a, c), self.multiply(self.square, self.multiply(b, d)))
        return even, self.add(self.multiply(a, d), self.multiply(b, c))

    def power12(self, f: Twelve, exponent: int) -> Twelve:
        """f to a power that is not negative."""
        result: Twelve = (ONE, ZERO)
        for bit in bin(exponent)[2:]:
            result = self.multiply12(result, result)
            if bit == "1":
                result = self.multiply12(result, f)
        return result

    def frobenius_factors(self, k: int) -> tuple[Pair, Pair, Pair]:
        """Factors of the coefficients of tau in (tau + W)^(p^k) / W^(p^k - 1), after conjugation for odd k."""
        q = self.p**k
        over_w = self.inverse2(self.power2(self.xi, self.power * (q - 1) // 6))
        step = self.power2(self.xi, (q - 1) // 3)
        first = self.multiply2(over_w, step)
        return over_w, first, self.multiply2(first, step)


@dataclass(frozen=True)
class Quotient:
    """Fp12* modulo Fp6*, cyclic of order p^6 + 1, and a prime n that divides this order once.

    Every element is the product of one whose order divides n, and of an n-th power. The n-th powers are the powers
    `exponent` too, if the common divisor of the exponent and of the order is n.

    Attributes:
        field: the tower.
        n: the prime.
        exponent: a multiple of n.
    """

    field: Extension
    n: int
    exponent: int

    @property
    def order(self) -> int:
        """p^6 + 1."""
        return self.field.p**6 + 1

    @property
    def cofactor(self) -> int:
        """The order of the group of n-th powers."""
        return self.order // self.n

    def hashed(self, label: bytes) -> Twelve:
        """An element that nobody chose."""
        digests = [hashlib.sha512(label + bytes([k])).digest() for k in range(6)]
        return tuple(int.from_bytes(d, "big") % self.field.p for d in digests), ONE

    @cached_property
    def of_order_n(self) -> Twelve:
        """An element of order n."""
        return self.field.power12(self.hashed(b"element of order n"), self.cofactor)

    def affine(self, f: Twelve) -> Six:
        """tau of tau + W, equal to an element that is not trivial."""
        return self.field.divide(f[0], f[1])

    def trivial(self, f: Twelve) -> bool:
        """Whether it lies in Fp6."""
        return not any(c % self.field.p for c in f[1])

    def inverse(self, f: Twelve) -> Twelve:
        """1 / f: the conjugate."""
        return f[0], tuple(-c % self.field.p for c in f[1])

    def is_power(self, f: Twelve) -> bool:
        """Whether f is an n-th power."""
        return self.trivial(self.field.power12(f, self.cofactor))

    def part(self, f: Twelve) -> Twelve:
        """e of f = e * (an n-th power), where e^n is trivial."""
        return self.field.power12(f, self.cofactor * pow(self.cofactor, -1, self.n))

    def witness(self, f: Twelve) -> Six:
        """c of f = c^exponent, for an n-th power f: such a c that n divides its order."""
        root = self.field.power12(f, pow(self.exponent, -1, self.cofactor))
        return self.affine(self.field.multiply12(root, self.of_order_n))


def _minus(a: Pair, b: Pair) -> Pair:
    return a[0] - b[0], a[1] - b[1]
