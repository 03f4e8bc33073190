"""Short relations between two scalars modulo the order of a group, which make scalar multiplications short.

That Q = u * P holds in a group of prime order n is the same as a * Q + b * P = 0 for any a, b with a * u + b = 0 and
a != 0 modulo n. The pairs (a, b) are a lattice of determinant n, in which there is one of half the length of n. With an
endomorphism, multiplication by lambda with lambda^2 + lambda + 1 = 0, a and b are Eisenstein integers x + y * lambda,
and each coordinate has a quarter of n's length.

Source: Galbraith, Lin, Scott, "Endomorphisms for faster elliptic curve cryptography on a large class of curves";
Antipa, Brown, Gallant, Lambert, Struik, Vanstone, "Accelerated verification of ECDSA signatures".
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Eisenstein:
    """x + y * w, where w^2 + w + 1 = 0."""

    x: int
    y: int

    def __sub__(self, other: Eisenstein) -> Eisenstein:
        return Eisenstein(self.x - other.x, self.y - other.y)

    def __add__(self, other: Eisenstein) -> Eisenstein:
        return Eisenstein(self.x + other.x, self.y + other.y)

    def __mul__(self, other: Eisenstein) -> Eisenstein:
        high = self.y * other.y
        return Eisenstein(self.x * other.x - high, self.x * other.y + self.y * other.x - high)

    @property
    def conjugate(self) -> Eisenstein:
        return Eisenstein(self.x - self.y, -self.y)

    @property
    def norm(self) -> int:
        return self.x * self.x - self.x * self.y + self.y * self.y

    def rounded_over(self, divisor: int) -> Eisenstein:
        """The nearest Eisenstein integer to self / divisor: at a distance whose square is at most 1/3.

        The cell of the lattice that holds the quotient is two equilateral triangles, whose corners are nearest.
        """
        x, y = self.x // divisor, self.y // divisor
        corners = [Eisenstein(x + i, y + j) for i, j in itertools.product((0, 1), repeat=2)]
        return min(corners, key=lambda c: Eisenstein(self.x - divisor * c.x, self.y - divisor * c.y).norm)


_Pair = tuple[Eisenstein, Eisenstein]


def _inner(v: _Pair, w: _Pair) -> Eisenstein:
    return v[0] * w[0].conjugate + v[1] * w[1].conjugate


@lru_cache
def _prime_above(order: int, eigenvalue: int) -> Eisenstein:
    """A generator of the Eisenstein integers x + y * w with x + y * eigenvalue = 0 modulo the order."""
    a, b = Eisenstein(order, 0), Eisenstein(-eigenvalue, 1)
    while b.norm:
        a, b = b, a - (a * b.conjugate).rounded_over(b.norm) * b
    return a


@lru_cache(maxsize=1 << 10)
def short_eisenstein_relation(order: int, eigenvalue: int, u: int) -> tuple[int, int, int, int]:
    """Coordinates of a = a1 + a2 * w and b = b1 + b2 * w with a * u + b = 0 modulo the order, w the eigenvalue.

    Lagrange's reduction over the Eisenstein integers, in which |mu|^2 <= 1/3: the shortest vector has |a|^2 + |b|^2 <=
    sqrt(3/2 * order), so that a coordinate is at most (8/3)^(1/4) * order^(1/4) < 1.278 * order^(1/4), and a != 0
    modulo the order: its norm is below the order, and were a = 0, that of b would not be.
    """
    v = Eisenstein(1, 0), Eisenstein(-u % order, 0)
    w = Eisenstein(0, 0), _prime_above(order, eigenvalue)
    length_v, length_w = _inner(v, v).x, _inner(w, w).x
    while True:
        if length_w < length_v:
            v, w, length_v, length_w = w, v, length_w, length_v
        mu = _inner(w, v).rounded_over(length_v)
        if not mu.norm:
            return v[0].x, v[0].y, v[1].x, v[1].y
        w = w[0] - mu * v[0], w[1] - mu * v[1]
        length_w = _inner(w, w).x


@lru_cache(maxsize=1 << 10)
def short_relation(order: int, u: int) -> tuple[int, int]:
    """Integers a > 0 and b with a * u + b = 0 modulo the order.

    Lagrange's reduction: the shortest vector has a^2 + b^2 <= 2 / sqrt(3) * order.
    """
    v, w = (1, -u % order), (0, order)
    while True:
        if w[0] ** 2 + w[1] ** 2 < v[0] ** 2 + v[1] ** 2:
            v, w = w, v
        length = v[0] ** 2 + v[1] ** 2
        mu = (2 * (v[0] * w[0] + v[1] * w[1]) + length) // (2 * length)
        if not mu:
            return v if v[0] > 0 else (-v[0], -v[1])
        w = w[0] - mu * v[0], w[1] - mu * v[1]
