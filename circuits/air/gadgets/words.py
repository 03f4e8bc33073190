"""256-bit words of 16 little-endian 16-bit limbs.

Operands must be pinned to 16-bit limbs by their owners; results are range-checked here (or, where a result is an
existing word such as a balance read from a bus, by whoever pins that). Every equation is exact: each side stays
below 2^31 - 2^27 in absolute value, as stated where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS
from circuits.air.gadgets.basic import range_check
from circuits.air.layout import RANGE, Array, C, Layout, bit, byte, limb, word
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air

LIMBS = 16
_BASE = 1 << 16
_INVERSE_256 = pow(256, -1, MODULUS)

#: Limbs of words (rows, 16), any integer type.
Words = NDArray[np.integer[Any]]


class AddWords(Layout[C]):
    """a + b = sum + 2^256 * carry[15]."""

    sum = word("a + b modulo 2^256", by=RANGE)
    carry = bit("carry out of each limb", LIMBS)

    @staticmethod
    def constrain(air: Air, cells: AddWords, a: Sequence[Any], b: Sequence[Any], *, name: str = "add") -> None:
        """Both sides of each limb's equation are below 2^17 + 1."""
        carry: Operand = 0
        for i in range(LIMBS):
            air.require(a[i] + b[i] + carry - cells.sum[i] - cells.carry[i] * _BASE, f"{name}: limb {i}")
            carry = cells.carry[i]

    @staticmethod
    def fill(cells: AddWords[Array], a: Words, b: Words) -> NDArray[np.int64]:
        """`a`, `b`: limbs (rows, 16). Returns the sum's limbs (rows, 16) `int64`."""
        total, carries = _propagate(a.astype(np.int64) + b.astype(np.int64))
        cells.sum = total
        cells.carry = carries
        return total


class SubtractWords(Layout[C]):
    """a - b = difference - 2^256 * borrow[15]; borrow[15] = 1 exactly when a < b."""

    difference = word("a - b modulo 2^256", by=RANGE)
    borrow = bit("borrow into each limb's successor", LIMBS)

    @staticmethod
    def constrain(
        air: Air, cells: SubtractWords, a: Sequence[Any], b: Sequence[Any], *, name: str = "subtract"
    ) -> None:
        """Both sides of each limb's equation are below 2^17 + 1."""
        borrow: Operand = 0
        for i in range(LIMBS):
            air.require(
                a[i] - b[i] - borrow - cells.difference[i] + cells.borrow[i] * _BASE,
                f"{name}: limb {i}",
            )
            borrow = cells.borrow[i]

    @staticmethod
    def fill(cells: SubtractWords[Array], a: Words, b: Words) -> NDArray[np.int64]:
        """`a`, `b`: limbs (rows, 16). Returns the difference's limbs (rows, 16) `int64`."""
        difference, carries = _propagate(a.astype(np.int64) - b.astype(np.int64))
        cells.difference = difference
        cells.borrow = -carries
        return difference


def constrain_sum(
    air: Air, a: Sequence[Any], b: Sequence[Any], carries: Sequence[Any], result: Sequence[Any], *, name: str
) -> None:
    """`a + b = result` on numbers of equally many limbs, pinned by their owners, without overflow.

    `carries` are bits, out of each limb but the last one: both sides of each limb's equation are below 2^17 + 1.
    """
    carry: Operand = 0
    for i, limbs in enumerate(zip(a, b, result, strict=True)):
        out = carries[i] if i < len(carries) else 0
        air.require(limbs[0] + limbs[1] + carry - limbs[2] - out * _BASE, f"{name}: limb {i}")
        carry = out


def sum_carries(a: Words, b: Words) -> NDArray[np.int64]:
    """The carries (rows, limbs - 1) of `constrain_sum`; `a`, `b`: limbs (rows, limbs)."""
    return _propagate(a.astype(np.int64) + b.astype(np.int64))[1][:, :-1]


def increase(terms: int) -> type[Layout]:
    """The layout of before + `terms` words = after, at most 2^256 - 1."""
    bits = terms.bit_length()

    class Increase(Layout):
        """A word and others, at most three, added to it."""

        after = word("the sum", by=RANGE)
        carry = bit("bits of the carry out of each limb but the last", (LIMBS - 1, bits))

    return Increase


def decrease(terms: int) -> type[Layout]:
    """The layout of before - `terms` words = after, at least 0."""
    bits = terms.bit_length()

    class Decrease(Layout):
        """A word and others, at most three, subtracted from it."""

        after = word("the difference", by=RANGE)
        carry = bit("bits of the borrow into each limb but the first", (LIMBS - 1, bits))

    return Decrease


def constrain_increase(air: Air, cells: Any, before: Sequence[Any], *terms: Sequence[Any], name: str) -> None:
    """`cells.after` = before + terms without a carry out of the last limb.

    With carries of at most 3 both sides of a limb's equation are below 2^18 + 4.
    """
    _constrain_change(air, cells, before, cells.after, terms, name)


def constrain_decrease(air: Air, cells: Any, before: Sequence[Any], *terms: Sequence[Any], name: str) -> None:
    """`cells.after` = before - terms without a borrow into the last limb: before = after + terms."""
    _constrain_change(air, cells, cells.after, before, terms, name)


def _constrain_change(
    air: Air, cells: Any, low: Sequence[Any], high: Sequence[Any], terms: Sequence[Sequence[Any]], name: str
) -> None:
    """low + terms = high."""
    carry: Operand = 0
    for i in range(LIMBS):
        left = low[i] + carry
        for term in terms:
            left = left + term[i]
        carry = air.constant(0)
        if i < LIMBS - 1:
            for k, part in enumerate(cells.carry[i]):
                carry = carry + part * (1 << k)
        air.require(left - high[i] - carry * _BASE, f"{name}: limb {i}")


def fill_increase(cells: Any, before: Words, *terms: Words) -> NDArray[np.int64]:
    """`before`, `terms`: limbs (rows, 16). Returns `after` (rows, 16) `int64`."""
    after, carries = _propagate(before.astype(np.int64) + sum(term.astype(np.int64) for term in terms))
    _fill_change(cells, after, carries)
    return after


def fill_decrease(cells: Any, before: Words, *terms: Words) -> NDArray[np.int64]:
    """`before`, `terms`: limbs (rows, 16). Returns `after` (rows, 16) `int64`."""
    after, carries = _propagate(before.astype(np.int64) - sum(term.astype(np.int64) for term in terms))
    _fill_change(cells, after, -carries)
    return after


def _fill_change(cells: Any, after: NDArray[np.int64], carries: NDArray[np.int64]) -> None:
    cells.after = after
    cells.carry = carries[:, : LIMBS - 1, None] >> np.arange(cells.carry.shape[2]) & 1


class _Multiply(Layout):
    """Columns of a product a * b of `limbs_a` and `limbs_b` limbs; made by `MultiplyWords`."""

    limbs_a = LIMBS
    limbs_b = LIMBS


def MultiplyWords(limbs_b: int, limbs_a: int = LIMBS) -> type[_Multiply]:  # noqa: N802 - reads like a layout
    """The layout of a * b = product, `a` of `limbs_a` limbs, `b` of `limbs_b` limbs (each 1 to 16, b not longer).

    Bytes of both factors are summed along the diagonals of the product, two diagonals to a limb:
    S_k <= 32 * 255^2 * 257 < 2^29.1, carries below 2^14, so product + 2^16 * carry < 2^30 + 2^16 and both sides of
    each equation differ by less than the modulus.
    """

    class Multiply(_Multiply):
        """a * b over bytes with bounded carries."""

        a_low = byte("low byte of each limb of a", limbs_a, by=RANGE)
        b_low = byte("low byte of each limb of b", limbs_b, by=RANGE)
        product = limb("a * b, the lowest limb first", limbs_a + limbs_b, by=RANGE)
        carry = limb("carry out of each limb", limbs_a + limbs_b - 1, by="14-bit range check in `constrain`")

    Multiply.limbs_a, Multiply.limbs_b = limbs_a, limbs_b
    return Multiply


def constrain_multiply(
    air: Air,
    layout: type[_Multiply],
    cells: Any,
    a: Sequence[Any],
    b: Sequence[Any],
    *,
    count: Expression,
    name: str = "multiply",
) -> None:
    """`cells.product` = a * b where `count` is 1 (all cells are 0 on idle rows when the factors are)."""
    # The high byte is (limb - low) / 256; being a limb itself with low + 256 * high < 2^16 makes it a byte.
    a_bytes = _bytes(air, cells.a_low, a, count)
    b_bytes = _bytes(air, cells.b_low, b, count)
    carry: Operand = 0
    limbs = layout.limbs_a + layout.limbs_b
    for k in range(limbs):
        even = _diagonal(a_bytes, b_bytes, 2 * k)
        odd = _diagonal(a_bytes, b_bytes, 2 * k + 1)
        total = even + odd * 256 + carry
        if k < limbs - 1:
            range_check(air, cells.carry[k], 14, count)
            carry = cells.carry[k]
            air.require(total - cells.product[k] - carry * _BASE, f"{name}: limb {k}")
        else:
            air.require(total - cells.product[k], f"{name}: limb {k}")


def _bytes(air: Air, low: Sequence[Expression], limbs: Sequence[Any], count: Expression) -> list[Expression]:
    result: list[Expression] = []
    for cell, limb_ in zip(low, limbs, strict=True):
        high = (limb_ - cell) * _INVERSE_256
        air.query(RANGE16, high, count=count)
        result += [cell, high]
    return result


def _diagonal(a: list[Expression], b: list[Expression], index: int) -> Expression:
    terms = [a[i] * b[index - i] for i in range(len(a)) if 0 <= index - i < len(b)]
    total = a[0] * 0
    for term in terms:
        total = total + term
    return total


def fill_multiply(cells: Any, a: Words, b: Words) -> NDArray[np.int64]:
    """`a`: limbs (rows, limbs_a), `b`: (rows, limbs_b). Returns the product's limbs (rows, limbs_a + limbs_b)."""
    cells.a_low = a & 0xFF
    cells.b_low = b & 0xFF
    product, carries = product_limbs(a, b)
    cells.product = product
    cells.carry = carries[:, :-1]
    return product


def product_limbs(a: Words, b: Words) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Products of limbs (rows, m) and (rows, n), and the carry out of each limb: (rows, m + n) both."""
    a_bytes, b_bytes = limb_bytes(a), limb_bytes(b)
    diagonals = np.zeros((len(a), a_bytes.shape[1] + b_bytes.shape[1]), dtype=np.int64)
    for j in range(b_bytes.shape[1]):
        diagonals[:, j : j + a_bytes.shape[1]] += a_bytes * b_bytes[:, j : j + 1]
    return _propagate(diagonals[:, 0::2] + 256 * diagonals[:, 1::2])


def limb_bytes(words: Words) -> NDArray[np.int64]:
    """Bytes (rows, 2 * limbs) of limbs (rows, limbs), the least significant first."""
    limbs = words.astype(np.int64)
    return np.stack([limbs & 0xFF, limbs >> 8], axis=2).reshape(len(limbs), 2 * limbs.shape[1])


def _propagate(limbs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Signed limb sums as 16-bit limbs and the carry (floor division) out of each limb."""
    result = np.empty_like(limbs)
    carries = np.empty_like(limbs)
    carry = np.zeros(len(limbs), dtype=np.int64)
    for i in range(limbs.shape[1]):
        total = limbs[:, i] + carry
        carry = total >> 16
        result[:, i] = total & 0xFFFF
        carries[:, i] = carry
    return result, carries


def full(air: Air, limbs: Sequence[Any]) -> list[Expression]:
    """A word from its lower limbs: the others are the constant 0."""
    return [air.graph.lift(x) for x in limbs] + [air.constant(0)] * (LIMBS - len(limbs))
