"""Products and powers of words.

`Multiply` proves a * b = low + 2^256 * high over bytes, in three sizes; `Power` squares and multiplies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.distinct import distinct_rows
from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import one_hot, range_check, total
from circuits.air.gadgets.words import full, limb_bytes, product_limbs
from circuits.air.layout import RANGE, C, Layout, Size, allocate, bit, byte, element, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.functions.bitwise_bytes import query_xor
from circuits.functions.buses import MULTIPLY, POWER
from circuits.limbs import Limbs, words_from_ints, words_to_ints
from circuits.widths import WORD

#: Most divisions and the factors of most products are amounts of up to 80 bits; as signed numbers they are positive.
SMALL_FACTOR = 5

_BASE = 1 << 16
_WORDS = 1 << 256

Integers = NDArray[np.int64]

#: Python integers (rows,) in an array of objects: for products and quotients of words, which numpy has no type for.
Numbers = NDArray[np.object_]

MULTIPLY_BUS = "multiply bus"


def numbers(words: Limbs) -> Numbers:
    """Words (n, 16) as integers (n,)."""
    result = np.empty(len(words), dtype=object)
    result[:] = words_to_ints(words)
    return result


def limbs_of(values: Numbers) -> Limbs:
    """Integers (n,) below 2^256 as words (n, 16)."""
    return words_from_ints(values.tolist())


def sizes(words: NDArray[np.integer[Any]]) -> Integers:
    """How many limbs words (n, 16) have without leading zeros, (n,)."""
    used = words != 0
    return np.where(used.any(axis=1), words.shape[1] - np.argmax(used[:, ::-1], axis=1), 0)


def query_product(
    air: Air, a: Sequence[Any], b: Sequence[Any], low: Sequence[Any], high: Sequence[Any], *, whole: int, count: Operand
) -> None:
    """a * b = low + 2^256 * high where `count` is 1; with whole = 0: a * b = low modulo 2^256, and no `high`.

    All words get pinned to limbs; they may be given by their lower limbs, the others being 0.
    """
    air.query(MULTIPLY, full(air, a), full(air, b), full(air, low), full(air, high), whole, count=count)


#: Carries below 30719 are safe: 2^16 * 30718 + 2^16 - 1 < MODULUS, so product + 2^16 * carry does not wrap.
MAX_CARRIES = 30718
assert _BASE * MAX_CARRIES + _BASE - 1 < MODULUS


def carry_bounds(limbs: int, length: int) -> list[int]:
    """The largest carry out of each of the first `length` limbs of a product of two words of `limbs` limbs."""
    bounds: list[int] = []
    carry = 0
    for k in range(length):
        # Pairs of bytes on a diagonal; the last diagonal of the last limb has none.
        terms = [min(d, 4 * limbs - 2 - d) + 1 for d in (2 * k, 2 * k + 1)]
        carry = ((terms[0] + 256 * terms[1]) * 255**2 + carry) // _BASE
        bounds.append(carry)
    return bounds


def carry_groups(bounds: Sequence[int]) -> list[list[int]]:
    """The carries in groups whose sums stay at or below MAX_CARRIES: one range check bounds a whole group."""
    groups: list[list[int]] = []
    for k in sorted(range(len(bounds)), key=lambda k: -bounds[k]):
        for group in groups:
            if sum(bounds[i] for i in group) + bounds[k] <= MAX_CARRIES:
                group.append(k)
                break
        else:
            groups.append([k])
    return groups


_LIMBS = Size("limbs")


class MultiplyColumns(Layout[C]):
    """One product of two words per row."""

    a = byte("first factor", 2 * _LIMBS, by="bitwise_bytes bus, two at a time")
    a_xor = byte("exclusive or of the two bytes of each limb", _LIMBS, by="bitwise_bytes bus")
    b = byte("second factor", 2 * _LIMBS, by="bitwise_bytes bus, two at a time")
    b_xor = byte("exclusive or of the two bytes of each limb", _LIMBS, by="bitwise_bytes bus")
    product = limb("the first limbs of a * b", Size("length"), by=RANGE)
    carry = limb("carry out of each limb, groups of them at most 30718", Size("carries"), by=RANGE)
    multiplicity = element("how often the product is queried", by="balance of the multiply bus")


class _Whole(Layout[C]):
    whole = bit("1: a * b is below 2^256", free="both messages are true, where 1 is accepted")


class MultiplyLowColumns(MultiplyColumns[C], _Whole[C]):
    """One product per row, of which a word is computed at most."""


class Multiply(Table[MultiplyColumns]):
    """a * b over bytes.

    The sum S of a limb are the products of bytes on two diagonals: at most 32 * 255^2 * 257 < 2^29.1. Then
    S + carry in = product + 2^16 * carry out: the left side is below 2^29.1 + 2^16, the right side below the modulus by
    MAX_CARRIES, so both are equal as integers. Carries are limbs; a group's sum s is at most MAX_CARRIES since
    2 * s + 65535 - 2 * MAX_CARRIES is a limb (s is below 2^21).

    The tables' padding states 0 * 0 = 0 and needs no selector.
    """

    selector = None
    row_order = "every row is a statement of its own"

    def __init__(self, name: str, limbs: int, length: int) -> None:
        """A product of words of `limbs` limbs: their first `length` limbs, of 2 * limbs at most."""
        carries = min(length, 2 * limbs - 1)  # Nothing is carried out of the last limb of the whole product.
        layout = MultiplyLowColumns if length <= WORD else MultiplyColumns
        super().__init__(name, layout.sized(limbs=limbs, length=length, carries=carries))
        self.limbs, self.length = limbs, length

    def constraints(self, air: Air[MultiplyColumns]) -> None:
        row, limbs, length = air.row, self.limbs, self.length
        for factor, xor in ((row.a, row.a_xor), (row.b, row.b_xor)):
            for i in range(limbs):
                query_xor(air, factor[2 * i], factor[2 * i + 1], xor[i], count=1)
        carry: Operand = 0
        for k in range(length):
            sum_ = _diagonal(air, row.a, row.b, 2 * k) + _diagonal(air, row.a, row.b, 2 * k + 1) * 256 + carry
            carry = row.carry[k] if k < len(row.carry) else 0
            air.require(sum_ - row.product[k] - carry * _BASE, f"limb {k}")
        for group in carry_groups(carry_bounds(limbs, length)[: len(row.carry)]):
            air.query(RANGE16, total([row.carry[k] for k in group]) * 2 + (_BASE - 1 - 2 * MAX_CARRIES), count=1)
        whole = row.whole if isinstance(row, MultiplyLowColumns) else air.constant(1)
        if length < 2 * limbs:
            # The products of bytes that are left out are not negative; their sum is at most 31 * 16 * 255^2 < 2^25.
            left_out = air.constant(0)
            for j in range(2 * limbs):
                high = [row.a[i] for i in range(max(0, 2 * length - j), 2 * limbs)]
                left_out = left_out + row.b[j] * total(high) if high else left_out
            air.require(whole * left_out, "nothing above the low word")
            air.require(whole * row.carry[-1], "no carry out of the low word")
        words = [[f[2 * i] + f[2 * i + 1] * 256 for i in range(limbs)] for f in (row.a, row.b)]
        words += [list(row.product[:WORD]), list(row.product[WORD:])]
        air.provide(MULTIPLY, *(full(air, word) for word in words), whole, multiplicity=row.multiplicity)


def _diagonal(air: Air, a: Sequence[Expression], b: Sequence[Expression], index: int) -> Expression:
    terms = [a[i] * b[index - i] for i in range(len(a)) if 0 <= index - i < len(b)]
    return total(terms) if terms else air.constant(0)


#: Short factors; the low word of any product; any product in full.
MULTIPLY_SMALL = Multiply("multiply_small", SMALL_FACTOR, 2 * SMALL_FACTOR)
MULTIPLY_LOW = Multiply("multiply", WORD, WORD)
MULTIPLY_FULL = Multiply("multiply_full", WORD, 2 * WORD)


def answer_multiply(queries: NDArray[np.uint32], table: Multiply) -> Matrix | None:
    """The queried products which this table is the smallest to state; what is not true unbalances the bus."""
    asked, counts, _ = distinct_rows(queries)
    limbs = (asked < _BASE).all(axis=1) & (asked[:, -1] <= 1)
    a, b, low, high = (asked[:, i : i + WORD].astype(np.int64) for i in range(0, 4 * WORD, WORD))
    whole = asked[:, -1] == 1
    small = sizes(a | b) <= MULTIPLY_SMALL.limbs
    long = ~small & (high != 0).any(axis=1)
    mine = {MULTIPLY_SMALL.name: small, MULTIPLY_LOW.name: ~small & ~long, MULTIPLY_FULL.name: long}[table.name]
    chosen = np.flatnonzero(mine & limbs)
    products, carry = product_limbs(a[chosen], b[chosen])
    true = (products[:, :WORD] == low[chosen]).all(axis=1)
    true &= (np.where(whole[chosen, None], products[:, WORD:], 0) == high[chosen]).all(axis=1)
    chosen, products, carry = chosen[true], products[true], carry[true]
    if not len(chosen):
        return None
    matrix, rows = allocate(MultiplyColumns, len(chosen), table.layout)
    for factor, cells, xor in ((a, rows.a, rows.a_xor), (b, rows.b, rows.b_xor)):
        bytes_ = limb_bytes(factor[chosen])[:, : 2 * table.limbs]
        cells[...] = bytes_
        xor[...] = bytes_[:, 0::2] ^ bytes_[:, 1::2]
    rows.product = products[:, : table.length]
    rows.carry = carry[:, : rows.carry.shape[1]]
    if isinstance(rows, MultiplyLowColumns):
        rows.whole = whole[chosen]
    rows.multiplicity = counts[chosen]
    return matrix


class PowerColumns(Layout[C]):
    """One bit of an exponent per row, from the leading one on, which a first row takes."""

    real = bit("1 on rows that stand for a bit")
    first = bit("1: the leading bit of an exponent")
    multiplies = bit("1: a bit that is 1 and not the leading one")
    done = bit("1: the last bit of its limb")
    last = bit("1: the last bit of the exponent")
    base = limb("base", WORD, by="querier; the rows of a power share it")
    exponent = limb("exponent", WORD, by="querier; the rows of a power share it")
    at = bit("1 at the limb of the exponent which the bit is in", WORD)
    left = element("bits that are left in this limb, at most 15", by="counts down; the first one: range check")
    prefix = element("the bits of this limb up to here", by="its bits")
    square = limb("square of the previous row's result, 0 on a first row", WORD, by=MULTIPLY_BUS)
    result = limb("base to the power of the bits so far, modulo 2^256", WORD, by="multiply bus, square or base")
    multiplicity = element("how often the power is queried", by="balance of the power bus")


class Power(Table[PowerColumns]):
    """base ** exponent modulo 2^256 by squaring and multiplying, for exponents other than zero.

    The rows of a power follow each other. Its first row marks the highest limb that is not zero, whose leading bit it
    takes, and says how many bits are left in that limb: at most 15, so that `prefix` has at most 16 bits and is equal
    to the limb, when none is left, as an integer. All lower limbs take 16 rows. `left` counts down by one and a limb is
    done only at 0: a row that has passed 0 would need as many rows as the field has elements to come back to it, and
    the table cannot end within a power.
    """

    name = "power"

    def constraints(self, air: Air[PowerColumns]) -> None:
        row, after, real = air.row, air.next, air.row.real
        goes_on = real - row.last
        bits = (row.first, row.multiplies, row.done)
        air.require_equal(bits, [0] * len(bits), "idle", when=1 - real)
        air.require(row.last - row.done * row.at[0], "the last bit")
        one_hot(air, row.at, real, "limb")
        # Order of rows.
        air.require(air.is_first * (real - row.first), "starts with a leading bit")
        air.require(goes_on * (after.real - after.first - 1), "goes on")
        air.require(air.is_transition * (1 - goes_on) * (after.real - after.first), "a new power after the last bit")
        air.require(air.is_last * goes_on, "ends with a last bit")
        air.require_equal(row.base, after.base, "base", when=goes_on)
        air.require_equal(row.exponent, after.exponent, "exponent", when=goes_on)
        # Bits.
        range_check(air, row.left, 4, row.first)
        below = air.constant(0)
        limb_ = air.constant(0)
        for i in range(WORD):
            air.require(row.first * below * row.exponent[i], f"limb {i} above the highest one is zero")
            below = below + row.at[i]
            limb_ = limb_ + row.at[i] * row.exponent[i]
            above: Operand = row.at[i + 1] if i + 1 < WORD else 0
            air.require(goes_on * (after.at[i] - row.at[i] - row.done * (above - row.at[i])), f"next limb {i}")
        air.require(row.first * (row.prefix - 1), "leading bit")
        air.require(goes_on * (after.prefix - row.prefix * 2 * (1 - row.done) - after.multiplies), "next bit")
        air.require(goes_on * (after.left - row.done * 15 - (1 - row.done) * (row.left - 1)), "bits left")
        air.require(row.done * row.left, "no bit is left")
        air.require(row.done * (row.prefix - limb_), "all bits of the limb")
        # Results.
        air.require(row.first * row.multiplies, "the leading bit does not multiply")
        air.require_equal(row.square, [0] * WORD, "no square", when=row.first)
        air.require_equal(row.result, row.base, "first result", when=row.first)
        air.require_equal(row.result, row.square, "square", when=1 - row.first - row.multiplies)
        query_product(air, row.result, row.result, after.square, (), whole=0, count=goes_on)
        query_product(air, row.square, row.base, row.result, (), whole=0, count=row.multiplies)
        air.require(row.multiplicity * (1 - row.last), "only the last row answers")
        air.provide(POWER, row.base, row.exponent, row.result, multiplicity=row.multiplicity)


def answer_power(queries: NDArray[np.uint32]) -> Matrix | None:
    """The rows of all queried powers; those that are not true are left to unbalance the bus."""
    asked, counts, _ = distinct_rows(queries)
    limbs = (asked < _BASE).all(axis=1)
    asked, counts = asked[limbs], counts[limbs]
    base, exponent, result = (numbers(asked[:, i : i + WORD].astype(np.uint16)) for i in range(0, 3 * WORD, WORD))
    # One power for each distinct query: `pow` knows no arrays.
    true = [e > 0 and pow(b, e, _WORDS) == r for b, e, r in zip(base, exponent, result, strict=True)]
    kept = np.flatnonzero(true)
    if not len(kept):
        return None
    base, exponent, asked, counts = base[kept], exponent[kept], asked[kept], counts[kept]
    lengths = np.array([e.bit_length() for e in exponent], dtype=np.int64)
    ends = np.cumsum(lengths)
    total_rows = int(ends[-1])
    matrix, rows = allocate(PowerColumns, total_rows)
    rows.real = 1
    rows.first[ends - lengths] = 1
    rows.base = np.repeat(asked[:, :WORD], lengths, axis=0)
    rows.exponent = np.repeat(asked[:, WORD : 2 * WORD], lengths, axis=0)
    rows.last[ends - 1] = 1
    rows.multiplicity[ends - 1] = counts
    place = np.repeat(ends, lengths) - 1 - np.arange(total_rows)
    rows.left = place % 16
    rows.done = place % 16 == 0
    rows.at[np.arange(total_rows), place // 16] = 1
    prefix = rows.exponent[np.arange(total_rows), place // 16] >> (place % 16).astype(np.uint32)
    rows.prefix = prefix
    rows.multiplies = (prefix & 1) & (rows.first ^ 1)
    # All powers in step: as many rounds as the longest exponent has bits.
    value = base
    rows.result[ends - lengths] = asked[:, :WORD]
    for k in range(1, int(lengths.max())):
        going = np.flatnonzero(lengths > k)
        at = (ends - lengths)[going] + k
        square = value[going] * value[going] % _WORDS
        new = np.where(rows.multiplies[at] == 1, square * base[going] % _WORDS, square)
        rows.square[at] = limbs_of(square)
        rows.result[at] = limbs_of(new)
        value = value.copy()
        value[going] = new
    return matrix
