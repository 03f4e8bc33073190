"""The precompiles of EIP-2537 that py-evm takes long for: sums, sums of multiples and pairings of BLS12-381's points.

py-evm 0.12.1b1 multiplies every point by the order of the group to see whether it belongs to it, and raises every
pairing of a check to a power of 4,000 bits. Here membership is seen by the curves' endomorphisms (Scott, "A note on
group membership tests for G1, G2 and GT on BLS pairing-friendly curves", 2021), multiples are summed in buckets
(Pippenger), and the power is taken of the product. Prices and encodings are EIP-2537's, as in the execution specs
(``prague/vm/precompiled_contracts/bls12_381``).

Coordinates are elements of a field: integers, or pairs of them for the field of G2. Points are in Jacobian coordinates:
(X, Y, Z) stands for (X / Z^2, Y / Z^3), None for the point at infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from eth.exceptions import VMError
from eth.precompiles.bls12_381 import bls12_381_g1, bls12_381_g2
from eth.precompiles.bls12_381.constants import (
    BLS12_G1_ADD_GAS,
    BLS12_G1_MSM_GAS,
    BLS12_G2_ADD_GAS,
    BLS12_G2_MSM_GAS,
    G1_MSM_DISCOUNTS,
    G2_MSM_DISCOUNTS,
    MSM_MULTIPLIER,
)
from py_ecc.fields import optimized_bls12_381_FQ as FQ
from py_ecc.fields import optimized_bls12_381_FQ2 as FQ2
from py_ecc.fields import optimized_bls12_381_FQ12 as FQ12
from py_ecc.optimized_bls12_381.optimized_pairing import final_exponentiate, pairing

FIELD = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
PARAMETER = -0xD201000000010000  # from which the curve is made; its order is x^4 - x^2 + 1

NUMBER_BYTES = 64  # of an integer of the field
SCALAR_BYTES = 32
PAIRING_GAS, PAIRING_PAIR_GAS = 37_700, 32_600

Element = Any  # int | tuple[int, int]
Point = tuple[Element, Element, Element] | None

#: Points whose membership is remembered.
_REMEMBERED = 4_096


def _multiply(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    real, imaginary = a[0] * b[0], a[1] * b[1]
    return (real - imaginary) % FIELD, ((a[0] + a[1]) * (b[0] + b[1]) - real - imaginary) % FIELD


def _power(base: tuple[int, int], exponent: int) -> tuple[int, int]:
    power = (1, 0)
    for bit in f"{exponent:b}":
        power = _multiply(power, power)
        if bit == "1":
            power = _multiply(power, base)
    return power


def _inverse(a: tuple[int, int]) -> tuple[int, int]:
    norm = pow(a[0] * a[0] + a[1] * a[1], -1, FIELD)
    return a[0] * norm % FIELD, -a[1] * norm % FIELD


@dataclass(frozen=True)
class Group:
    """G1 or G2: y^2 = x^3 + b over a field, and the points of it that are of the order `ORDER`."""

    size: int  # integers of an element
    b: Element
    one: Element
    zero: Element
    multiply: Callable[[Element, Element], Element]
    add: Callable[[Element, Element], Element]
    subtract: Callable[[Element, Element], Element]
    inverse: Callable[[Element], Element]
    endomorphism: Callable[[Element, Element], tuple[Element, Element]]  # of affine coordinates
    eigenvalue: int  # what the endomorphism multiplies points of the group by

    @property
    def point_bytes(self) -> int:
        """Bytes of a point."""
        return 2 * self.size * NUMBER_BYTES

    def double(self, point: Point) -> Point:
        """Twice a point (``dbl-2009-l`` of the Explicit-Formulas Database)."""
        if point is None or point[1] == self.zero:
            return None
        multiply, add, subtract = self.multiply, self.add, self.subtract
        x, y, z = point
        xx, yy = multiply(x, x), multiply(y, y)
        square = multiply(yy, yy)
        product = add(x, yy)
        half = subtract(subtract(multiply(product, product), xx), square)
        d, e = add(half, half), add(add(xx, xx), xx)
        new_x = subtract(multiply(e, e), add(d, d))
        eight = add(square, square)
        eight = add(eight, eight)
        eight = add(eight, eight)
        yz = multiply(y, z)
        return new_x, subtract(multiply(e, subtract(d, new_x)), eight), add(yz, yz)

    def sum(self, left: Point, right: Point) -> Point:
        """The sum of two points (``add-2007-bl`` without its doublings)."""
        if left is None or right is None:
            return left or right
        multiply, subtract = self.multiply, self.subtract
        (x1, y1, z1), (x2, y2, z2) = left, right
        z1z1, z2z2 = multiply(z1, z1), multiply(z2, z2)
        u1, u2 = multiply(x1, z2z2), multiply(x2, z1z1)
        s1, s2 = multiply(multiply(y1, z2), z2z2), multiply(multiply(y2, z1), z1z1)
        h, r = subtract(u2, u1), subtract(s2, s1)
        if h == self.zero:
            return self.double(left) if r == self.zero else None
        hh = multiply(h, h)
        hhh, v = multiply(h, hh), multiply(u1, hh)
        x = subtract(subtract(multiply(r, r), hhh), self.add(v, v))
        y = subtract(multiply(r, subtract(v, x)), multiply(s1, hhh))
        return x, y, multiply(multiply(z1, z2), h)

    def negative(self, point: Point) -> Point:
        """The negative of a point."""
        return None if point is None else (point[0], self.subtract(self.zero, point[1]), point[2])

    def times(self, point: Point, scalar: int) -> Point:
        """A multiple of a point of the curve."""
        if scalar < 0:
            return self.times(self.negative(point), -scalar)
        product: Point = None
        for bit in f"{scalar:b}":
            product = self.double(product)
            if bit == "1":
                product = self.sum(product, point)
        return product

    def sum_of_multiples(self, pairs: Sequence[tuple[Point, int]]) -> Point:
        """The sum of points of the group times their scalars."""
        pairs = [(point, scalar % ORDER) for point, scalar in pairs if point is not None]
        width = max(1, len(pairs).bit_length() - 2)
        total: Point = None
        for shift in reversed(range(0, ORDER.bit_length(), width)):
            for _ in range(width):
                total = self.double(total)
            buckets: list[Point] = [None] * (1 << width)
            for point, scalar in pairs:
                digit = scalar >> shift & ((1 << width) - 1)
                buckets[digit] = self.sum(buckets[digit], point) if digit else None
            # The sum of d times bucket d: every suffix of the buckets once.
            suffix: Point = None
            for bucket in reversed(buckets[1:]):
                suffix = self.sum(suffix, bucket)
                total = self.sum(total, suffix)
        return total

    def affine(self, point: Point) -> tuple[Element, Element]:
        """The coordinates; those of the point at infinity are zeros."""
        if point is None:
            return self.zero, self.zero
        inverse = self.inverse(point[2])
        square = self.multiply(inverse, inverse)
        return self.multiply(point[0], square), self.multiply(point[1], self.multiply(square, inverse))

    def contains(self, point: Point) -> bool:
        """Whether a point of the curve is of the group; affine coordinates (Z = 1) are expected."""
        if point is None:
            return True
        x, y = self.endomorphism(point[0], point[1])
        # Both sides are compared by their difference: a multiple is in other coordinates.
        return self.sum(self.times(point, self.eigenvalue), self.negative((x, y, self.one))) is None

    def decode(self, data: bytes) -> Point:
        """A point of the curve.

        Raises:
            VMError: a number that is none of the field, or coordinates of no point.
        """
        numbers = [int.from_bytes(data[i : i + NUMBER_BYTES], "big") for i in range(0, len(data), NUMBER_BYTES)]
        if max(numbers) >= FIELD:
            raise VMError("a coordinate that is no number of the field")
        if not any(numbers):
            return None
        x, y = numbers if self.size == 1 else (tuple(numbers[:2]), tuple(numbers[2:]))
        if self.multiply(y, y) != self.add(self.multiply(self.multiply(x, x), x), self.b):
            raise VMError("a point that is not on the curve")
        return x, y, self.one

    def encode(self, point: Point) -> bytes:
        """The bytes of a point."""
        x, y = self.affine(point)
        numbers = (x, y) if self.size == 1 else (*x, *y)
        return b"".join(number.to_bytes(NUMBER_BYTES, "big") for number in numbers)


# (1 + u)^((p - 1) / 3) and (1 + u)^((p - 1) / 2), inverted: what undoes the twist of G2's curve after a Frobenius.
_TWIST_X = _inverse(_power((1, 1), (FIELD - 1) // 3))
_TWIST_Y = _inverse(_power((1, 1), (FIELD - 1) // 2))
# A third root of 1: the one for which (ROOT x, y) is -x^2 times a point of G1.
_ROOT = 0x5F19672FDF76CE51BA69C6076A0F77EADDB3A93BE6F89688DE17D813620A00022E01FFFFFFFEFFFE

G1 = Group(
    size=1,
    b=4,
    one=1,
    zero=0,
    multiply=lambda a, b: a * b % FIELD,
    add=lambda a, b: (a + b) % FIELD,
    subtract=lambda a, b: (a - b) % FIELD,
    inverse=lambda a: pow(a, -1, FIELD),
    endomorphism=lambda x, y: (x * _ROOT % FIELD, y),
    eigenvalue=-(PARAMETER**2),
)
G2 = Group(
    size=2,
    b=(4, 4),
    one=(1, 0),
    zero=(0, 0),
    multiply=_multiply,
    add=lambda a, b: ((a[0] + b[0]) % FIELD, (a[1] + b[1]) % FIELD),
    subtract=lambda a, b: ((a[0] - b[0]) % FIELD, (a[1] - b[1]) % FIELD),
    inverse=_inverse,
    endomorphism=lambda x, y: (
        _multiply((x[0], -x[1] % FIELD), _TWIST_X),
        _multiply((y[0], -y[1] % FIELD), _TWIST_Y),
    ),
    eigenvalue=PARAMETER,
)


@lru_cache(_REMEMBERED)
def _g1_member(data: bytes) -> Point:
    return _member(G1, data)


@lru_cache(_REMEMBERED)
def _g2_member(data: bytes) -> Point:
    return _member(G2, data)


def _member(group: Group, data: bytes) -> Point:
    point = group.decode(data)
    if not group.contains(point):
        raise VMError("a point that is not of the group")
    return point


def _input(computation: Any, part: int, name: str, parts: int | None = None) -> list[bytes]:
    """The parts of the input of a call; ``parts`` is how many there must be, None: any number but none."""
    data: bytes = computation.msg.data_as_bytes
    if not data or len(data) % part or parts not in (None, len(data) // part):
        raise VMError(f"{name} of {len(data)} bytes")
    return [data[start : start + part] for start in range(0, len(data), part)]


def _addition(group: Group, gas: int, name: str) -> Callable[[Any], Any]:
    def add(computation: Any) -> Any:
        parts = _input(computation, group.point_bytes, name, 2)
        computation.consume_gas(gas, reason=name)
        computation.output = group.encode(group.sum(*map(group.decode, parts)))
        return computation

    return add


def _multiplication(
    group: Group, member: Callable[[bytes], Point], gas: int, discounts: Sequence[int], name: str
) -> Callable[[Any], Any]:
    def multiply(computation: Any) -> Any:
        parts = _input(computation, group.point_bytes + SCALAR_BYTES, name)
        discount = discounts[min(len(parts), len(discounts)) - 1]
        computation.consume_gas(len(parts) * gas * discount // MSM_MULTIPLIER, reason=name)
        pairs = [
            (member(part[: group.point_bytes]), int.from_bytes(part[group.point_bytes :], "big")) for part in parts
        ]
        computation.output = group.encode(group.sum_of_multiples(pairs))
        return computation

    return multiply


def pairing_check(computation: Any) -> Any:
    """BLS12_PAIRING_CHECK: whether the product of the pairings of pairs of points is 1."""
    parts = _input(computation, G1.point_bytes + G2.point_bytes, "BLS12_PAIRING_CHECK")
    computation.consume_gas(PAIRING_GAS + PAIRING_PAIR_GAS * len(parts), reason="BLS12_PAIRING_CHECK")
    pairs = [(_g1_member(part[: G1.point_bytes]), _g2_member(part[G1.point_bytes :])) for part in parts]
    product = FQ12.one()
    for left, right in pairs:
        if left is not None and right is not None:
            g1 = FQ(left[0]), FQ(left[1]), FQ.one()
            g2 = FQ2(right[0]), FQ2(right[1]), FQ2.one()
            product *= pairing(g2, g1, final_exponentiate=False)
    computation.output = int(final_exponentiate(product) == FQ12.one()).to_bytes(32, "big")
    return computation


#: By number of the address.
PRECOMPILES: dict[int, Callable[[Any], Any]] = {
    0x0B: _addition(G1, BLS12_G1_ADD_GAS, "BLS12_G1ADD"),
    0x0C: _multiplication(G1, _g1_member, BLS12_G1_MSM_GAS, G1_MSM_DISCOUNTS, "BLS12_G1MSM"),
    0x0D: _addition(G2, BLS12_G2_ADD_GAS, "BLS12_G2ADD"),
    0x0E: _multiplication(G2, _g2_member, BLS12_G2_MSM_GAS, G2_MSM_DISCOUNTS, "BLS12_G2MSM"),
    0x0F: pairing_check,
    0x10: bls12_381_g1.bls12_map_fp_to_g1,
    0x11: bls12_381_g2.bls12_map_fp2_to_g2,
}
