"""Products of numbers: diagonals of blocks.

a * b - quotient * modulus is a sum over pairs of blocks. A row multiplies two of each, and the rows of a diagonal, on
which the indices of both blocks have the same sum, follow each other and add up the coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import C, Layout, allocate, bit, byte, element
from circuits.air.table import Air, Table
from circuits.modexp.blocks import Numbers
from circuits.modexp.buses import BLOCK, DIAGONAL, DIAGONAL_SIZE
from circuits.widths import WORD_BYTES

Integers = NDArray[np.int64]

_BLOCK = "number_block bus"


class Columns(Layout[C]):
    """A pair of blocks of each product per row."""

    real = bit("1 on rows that multiply")
    start = bit("1: the first pair of a diagonal")
    end = bit("1: its last pair")
    final = bit("1: the last pair of the last diagonal")
    a = element("id of the first factor", by=_BLOCK)
    b = element("id of the second factor", by=_BLOCK)
    quotient = element("id of the quotient", by=_BLOCK)
    modulus = element("id of the modulus", by=_BLOCK)
    i = element("index of the blocks of a and quotient", by=_BLOCK)
    j = element("index of the blocks of b and modulus", by=_BLOCK)
    a_count = element("blocks of a and quotient", by=_BLOCK)
    b_count = element("blocks of b and modulus", by=_BLOCK)
    a_bytes = byte("block of a", WORD_BYTES, by=_BLOCK)
    b_bytes = byte("block of b", WORD_BYTES, by=_BLOCK)
    quotient_bytes = byte("block of the quotient", WORD_BYTES, by=_BLOCK)
    modulus_bytes = byte("block of the modulus", WORD_BYTES, by=_BLOCK)
    sums = element("coefficients of the diagonal's pairs up to this one", DIAGONAL_SIZE, by="the row before and bytes")


class Products(Table[Columns]):
    """The diagonals of products.

    All blocks that are looked up are there, so 0 <= i < a_count and 0 <= j < b_count. A diagonal starts where no pair
    comes before on it, i = 0 or j = b_count - 1, goes on with i + 1 and j - 1, and ends where none follows: it has all
    its pairs. Sums are ones of integers: a coefficient of a pair is at most 32 * 255^2 < 2^21, and no diagonal is used
    that has more than 256 pairs (`circuits.modexp.remainders`).
    """

    name = "modexp_products"
    row_order = "diagonals meet only on the diagonal bus"

    def constraints(self, air: Air[Columns]) -> None:
        row, after, real = air.row, air.next, air.row.real
        goes_on = real - row.end
        for name in ("start", "end"):
            air.require(getattr(row, name) * (1 - real), f"padding: {name}")
        air.require(row.final * (1 - row.end), "the final pair ends its diagonal")
        air.require(air.is_first * (real - row.start), "starts with a diagonal")
        air.require(air.is_last * goes_on, "ends with one")
        air.require(goes_on * (1 - after.real), "a diagonal goes on")
        air.require(after.start - after.real * (1 - goes_on), "a diagonal starts when there is none")
        names = ("a", "b", "quotient", "modulus", "a_count", "b_count")
        ids, same = ([getattr(x, name) for name in names] for x in (row, after))
        air.require_equal(same, ids, "the same product", when=goes_on)
        air.require(goes_on * (after.i - row.i - 1), "next i")
        air.require(goes_on * (after.j - row.j + 1), "next j")
        last_i, last_j = row.i - row.a_count + 1, row.j - row.b_count + 1
        air.require(row.start * row.i * last_j, "no pair before the first one")
        air.require(row.end * row.j * last_i, "no pair behind the last one")
        air.require_equal((row.final * last_i, row.final * last_j), (0, 0), "the final pair")
        for number, index, count, bytes_ in (
            (row.a, row.i, row.a_count, row.a_bytes),
            (row.b, row.j, row.b_count, row.b_bytes),
            (row.quotient, row.i, row.a_count, row.quotient_bytes),
            (row.modulus, row.j, row.b_count, row.modulus_bytes),
        ):
            air.query(BLOCK, number, index, count, bytes_, count=real)
        for k in range(DIAGONAL_SIZE):
            product = _coefficient(after.a_bytes, after.b_bytes, k)
            subtracted = _coefficient(after.quotient_bytes, after.modulus_bytes, k)
            before = (after.real - after.start) * row.sums[k]
            air.require(after.sums[k] - before - product + subtracted, f"coefficient {k}")
        index = row.i + row.j
        air.send(
            DIAGONAL, row.a, row.b, row.quotient, row.modulus, index, row.final, row.sums, count=row.end
        )  # fmt: skip


def _coefficient(a: Sequence[Expression], b: Sequence[Expression], index: int) -> Expression:
    first = max(0, index - WORD_BYTES + 1)
    terms = [a[i] * b[index - i] for i in range(first, min(index, WORD_BYTES - 1) + 1)]
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of blocks that products have, diagonal by diagonal; all (pairs,) but the last two.

    Attributes:
        owner: which product.
        i, j: indices of the blocks.
        start, end: bool: the first and the last pair of a diagonal.
        blocks: of a, b, quotient and modulus, (pairs, 32) each.
        sums: (pairs, 63) coefficients of a diagonal up to each pair.
    """

    owner: Integers
    i: Integers
    j: Integers
    start: NDArray[np.bool_]
    end: NDArray[np.bool_]
    blocks: tuple[Integers, Integers, Integers, Integers]
    sums: Integers


@dataclass(frozen=True, eq=False)
class Jobs:
    """Products modulo something: a * b = quotient * modulus + remainder; all (n,) ids of numbers."""

    numbers: Numbers
    a: Integers
    b: Integers
    quotient: Integers
    modulus: Integers
    remainder: Integers

    @classmethod
    def of(cls, numbers: Numbers, jobs: Sequence[tuple[int, int, int, int, int]]) -> Jobs:
        """Of tuples in the order of the attributes."""
        return cls(numbers, *np.array(jobs, dtype=np.int64).reshape(-1, 5).T)

    def __len__(self) -> int:
        return len(self.a)

    @cached_property
    def a_count(self) -> Integers:
        """Blocks of a and of the quotient (n,)."""
        return self.numbers.count[self.a]

    @cached_property
    def b_count(self) -> Integers:
        """Blocks of b and of the modulus (n,)."""
        return self.numbers.count[self.b]

    @cached_property
    def pairs(self) -> Pairs:
        """Their pairs of blocks."""
        sizes = self.a_count * self.b_count
        begin = np.cumsum(sizes) - sizes
        total = int(sizes.sum())
        i, j, owner = (np.empty(total, dtype=np.int64) for _ in range(3))
        # Products of a shape have their pairs in the same order, by diagonals and then by i.
        shapes, shape = np.unique(np.stack([self.a_count, self.b_count], axis=1), axis=0, return_inverse=True)
        for number, (a_count, b_count) in enumerate(shapes.tolist()):
            here = np.flatnonzero(shape.reshape(-1) == number)
            pairs_i, pairs_j = np.divmod(np.arange(a_count * b_count), b_count)
            order = np.lexsort((pairs_i, pairs_i + pairs_j))
            at = begin[here][:, None] + np.arange(a_count * b_count)
            i[at], j[at], owner[at] = pairs_i[order], pairs_j[order], here[:, None]
        start = (i == 0) | (j == self.b_count[owner] - 1)
        end = (j == 0) | (i == self.a_count[owner] - 1)
        factors = ((self.a, i), (self.b, j), (self.quotient, i), (self.modulus, j))
        a, b, quotient, modulus = (self.numbers.blocks(number[owner], index) for number, index in factors)
        sums = np.zeros((total, DIAGONAL_SIZE), dtype=np.int64)
        for k in range(WORD_BYTES):
            sums[:, k : k + WORD_BYTES] += a[:, k : k + 1] * b - quotient[:, k : k + 1] * modulus
        # Sums within each diagonal: those of all rows, less what stood before its first one.
        running = np.cumsum(sums, axis=0)
        first = np.maximum.accumulate(np.where(start, np.arange(total), 0))
        sums = running - (running - sums)[first]
        return Pairs(owner, i, j, start, end, (a, b, quotient, modulus), sums)


def fill_products(jobs: Jobs) -> Matrix | None:
    """All diagonals of all products."""
    if not len(jobs):
        return None
    pairs = jobs.pairs
    owner = pairs.owner
    matrix, rows = allocate(Columns, len(owner))
    rows.real = 1
    rows.start, rows.end = pairs.start, pairs.end
    rows.a_count, rows.b_count = jobs.a_count[owner], jobs.b_count[owner]
    rows.final = (pairs.i == jobs.a_count[owner] - 1) & (pairs.j == jobs.b_count[owner] - 1)
    rows.a, rows.b, rows.quotient, rows.modulus = (x[owner] for x in (jobs.a, jobs.b, jobs.quotient, jobs.modulus))
    rows.i, rows.j = pairs.i, pairs.j
    rows.a_bytes, rows.b_bytes, rows.quotient_bytes, rows.modulus_bytes = pairs.blocks
    rows.sums = pairs.sums % MODULUS
    return matrix
