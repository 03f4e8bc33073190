"""The size of the memory and its price: the table that answers the expansion bus.

Source: execution-specs `cancun/vm/gas.py`, `calculate_memory_gas_cost` and `calculate_gas_extend_memory`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air import field as arithmetic
from circuits.air.derived import fill_derived
from circuits.air.expression import Expression
from circuits.air.field import INVERSE_2_16, MODULUS, Matrix
from circuits.air.gadgets.basic import IsZero, range_check
from circuits.air.layout import RANGE, Array, C, Cells, Layout, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import MAX_MEMORY_WORDS, Execution, Integers
from circuits.component import Answering
from circuits.memory.buses import EXPANSION
from circuits.widths import WORD_BYTES

GAS_MEMORY = 3
QUADRATIC_DENOMINATOR = 512

#: A size in words is low + 2^10 high with low < 2^10 and high < 2^9, or the largest size, 2^19.
_LOW_BITS = 10
_HIGH_BITS = 9
_REMAINDER_BITS = 9
_LARGEST_SQUARE = MAX_MEMORY_WORDS**2 // QUADRATIC_DENOMINATOR
_INVERSE_512 = pow(QUADRATIC_DENOMINATOR, -1, MODULUS)


def memory_cost(words: Integers) -> Integers:
    """Gas that memory of this many words (n,) costs in all."""
    return GAS_MEMORY * words + words * words // QUADRATIC_DENOMINATOR


def expand(before: Integers, end: Integers) -> tuple[Integers, Integers]:
    """Words after an access that reaches up to byte `end` (0: none), and the gas of the difference, all (n,)."""
    after = np.maximum(before, -(-end // WORD_BYTES))
    return after, memory_cost(after) - memory_cost(before)


class WordCount(Layout[C]):
    """A size in words, at most 2^19, prepared for its price."""

    words = element("the size", by="its parts")
    high = limb("the size without its lowest 10 bits; 0 for the largest size", by="9-bit range check")
    remainder = limb("square of the lower part modulo 512", by="9-bit range check and the square")
    largest = bit("1 for a size of 2^19")

    @property
    def low(self: WordCount) -> Expression:
        """The lowest 10 bits."""
        return self.words - self.high * (1 << _LOW_BITS) - self.largest * MAX_MEMORY_WORDS

    @property
    def quotient(self: WordCount) -> Expression:
        """The square of the lower part divided by 512."""
        return (self.low * self.low - self.remainder) * _INVERSE_512

    @property
    def price(self: WordCount) -> Expression:
        """What the size costs (degree 2).

        With w = low + 2^10 high: w^2 / 512 = low^2 / 512 + 4 low high + 2^11 high^2, of which only the first is no
        integer; low^2 = 512 q + remainder. The price is at most 3 * 2^19 + 2^29 < 2^30.
        """
        square = self.quotient + self.low * self.high * 4 + self.high * self.high * 2048
        return self.words * GAS_MEMORY + square + self.largest * _LARGEST_SQUARE

    def constrain(self: WordCount, air: Air, count: Expression, name: str) -> None:
        """Pins the cells where `count` is 1 (the table's selector)."""
        range_check(air, self.low, _LOW_BITS, count)
        range_check(air, self.high, _HIGH_BITS, count)
        # Both are not negative.
        air.require(self.largest * (self.low + self.high), f"{name}: the largest size has no other parts")
        air.require(self.largest * (1 - count), f"{name}: padding is not the largest size")
        range_check(air, self.remainder, _REMAINDER_BITS, count)
        # low^2 - remainder is above -2^9 and below 2^20, 512 q below 2^25: equal over the integers.
        air.query(RANGE16, self.quotient, count=count)

    def fill(self: WordCount[Array], words: Integers) -> None:
        """`words`: (rows,), at most 2^19."""
        largest = words == MAX_MEMORY_WORDS
        parts = np.where(largest, 0, words)
        low = parts & ((1 << _LOW_BITS) - 1)
        self.words = words
        self.high = parts >> _LOW_BITS
        self.remainder = low * low % QUADRATIC_DENOMINATOR
        self.largest = largest


class ExpansionColumns(Layout[C]):
    """One question per row."""

    real = bit("1 on rows that answer")
    multiplicity = element("how often it is asked", by="balance of the expansion bus; 0 on padding")
    inverse = element("inverse of the multiplicity, 0 on padding", by="its constraint")
    before: WordCount[C] = nested(WordCount, "memory before")
    needed: WordCount[C] = nested(WordCount, "memory that the access needs")
    unused = limb(
        "bytes between the end of the access and the end of its last word, below 32",
        by="5-bit range check",
        free="another true statement: of another end in the same word",
    )
    nothing: IsZero[C] = nested(IsZero, "whether no word is needed")
    grows = bit("1 when more is needed than there is")
    gap = limb("low limb of before - needed, or of needed - before - 1 when memory grows", by=RANGE)
    cost = element("gas of the difference", equals=lambda row: row.grows * (row.needed.price - row.before.price))


class Expansion(Table[ExpansionColumns]):
    """What memory grows to, and what that costs."""

    name = "expansion"
    row_order = "rows are independent; each states a true equation"

    def constraints(self, air: Air[ExpansionColumns]) -> None:
        row, real = air.row, air.row.real
        row.before.constrain(air, real, "before")
        row.needed.constrain(air, real, "needed")
        before, needed = row.before.words, row.needed.words
        # end = 32 needed - unused is in 0..2^24: an access that needs no word has no byte, either.
        range_check(air, row.unused, 5, real)
        IsZero.constrain(air, row.nothing, needed, name="nothing needed")
        air.require(row.unused * row.nothing.zero, "nothing is unused of nothing")
        # Both sizes are at most 2^19, so the difference is an integer, and below 2^20 only if it is not negative.
        gap = before - needed + row.grows * ((needed - before) * 2 - 1)
        range_check(air, (gap - row.gap) * INVERSE_2_16, 4, real)
        air.require(row.multiplicity * (1 - real), "padding answers nothing")
        air.require(row.multiplicity * row.inverse - real, "other rows answer something")
        air.require(row.inverse * (1 - real), "padding has no inverse")
        after = before + row.grows * (needed - before)
        air.provide(EXPANSION, before, needed * WORD_BYTES - row.unused, after, row.cost, multiplicity=row.multiplicity)


def answer_expansion(execution: Execution, queries: NDArray[np.uint32]) -> Matrix | None:
    """A row for every different question (n, 4) that has this answer; others are left to unbalance the bus."""
    before, end, after, cost = (queries[:, k].astype(np.int64) for k in range(4))
    known = (before <= MAX_MEMORY_WORDS) & (end <= WORD_BYTES * MAX_MEMORY_WORDS)
    true_after, true_cost = expand(np.where(known, before, 0), np.where(known, end, 0))
    known &= (after == true_after) & (cost == true_cost)
    if not known.any():
        return None
    asked, counts = np.unique(np.stack([before, end], axis=1)[known], axis=0, return_counts=True)
    before, end = asked[:, 0], asked[:, 1]
    needed = -(-end // WORD_BYTES)
    matrix, rows = allocate(ExpansionColumns, len(asked))
    ExpansionColumns(Cells(matrix)).nothing.zero = 1
    rows.real = 1
    rows.multiplicity = counts
    rows.inverse = arithmetic.inverse(counts.astype(np.uint64))
    rows.before.fill(before)
    rows.needed.fill(needed)
    grows = needed > before
    IsZero.fill(rows.nothing, needed.astype(np.uint64))
    rows.unused = needed * WORD_BYTES - end
    rows.grows = grows
    rows.gap = np.where(grows, needed - before - 1, before - needed) & 0xFFFF
    fill_derived(rows)
    return matrix


COMPONENTS = (Answering(Expansion(), EXPANSION, answer_expansion),)
