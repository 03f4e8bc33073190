"""Products modulo numbers: a * b = quotient * modulus + remainder.

The diagonals of a * b - quotient * modulus overlap: a coefficient of the lower half of a diagonal has the same weight
as one of the upper half of the diagonal before. A row adds both for 32 bytes, takes a block of the remainder away and
carries what is left to the next row, until nothing is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import RANGE, C, Layout, allocate, bit, byte, element, limb
from circuits.air.table import Air, Table
from circuits.functions.bitwise_bytes import query_xor
from circuits.modexp.buses import BLOCK, DIAGONAL, DIAGONAL_SIZE, MULTIPLY_MODULO
from circuits.modexp.products import Jobs
from circuits.modexp.small import counts_of
from circuits.widths import WORD_BYTES

#: What a pair of bytes of two blocks adds to a coefficient, all pairs of one coefficient, and of how many blocks.
_PAIRS = WORD_BYTES * 255**2
MAX_PAIRS = 256
#: A carry is low + 2^14 * high - 2^21, a limb and a byte: from -2^21 to 2^21 + 2^16 - 2^14 - 1.
_HIGH = 1 << 14
_LEAST = 1 << 21
_MOST = (1 << 16) - 1 + 255 * _HIGH - _LEAST
# The largest carries of coefficients are carries; and no equation over integers wraps.
assert min(_LEAST, _MOST) >= MAX_PAIRS * _PAIRS // 255 + 1
assert MAX_PAIRS * _PAIRS + _MOST + 255 + 256 * max(_LEAST, _MOST) < MODULUS

_DIAGONAL = "diagonal bus"
_OTHER_CARRY = "low and high part together may make the same carry in up to four ways"


class Columns(Layout[C]):
    """32 bytes of a product per row, from the least significant ones on."""

    real = bit("1 on rows of products")
    first = bit("1: the least significant bytes")
    diagonal = bit("1: there is a diagonal; 0: the row behind the last one")
    final = bit("1: the last diagonal")
    a = element("id of the first factor", by=_DIAGONAL)
    b = element("id of the second factor", by=_DIAGONAL)
    quotient = element("id of the quotient", by=_DIAGONAL)
    modulus = element("id of the modulus", by=_DIAGONAL)
    remainder = element("id of the remainder", by="number_block bus; its rows share it")
    index = element("which 32 bytes", by="counted from 0")
    count = element("blocks of the remainder", by="number_block bus; the rows of a product share it")
    there = bit("1: the remainder has such a block")
    ends = bit("1: this is its last one")
    coefficients = element("of the diagonal", DIAGONAL_SIZE, by="diagonal bus, or 0")
    bytes = byte("block of the remainder", WORD_BYTES, by="number_block bus, or 0")
    carry_low = limb("what is carried out of each byte, low part", WORD_BYTES, by=RANGE, free=_OTHER_CARRY)
    carry_high = byte("and high part", WORD_BYTES, by="bitwise_bytes bus, two at a time", free=_OTHER_CARRY)
    carry_xor = byte("exclusive or of two of them", WORD_BYTES // 2, by="bitwise_bytes bus", free=_OTHER_CARRY)
    multiplicity = element("how often the product is queried", by="balance of the multiply_modulo bus")


class Remainders(Table[Columns]):
    """a * b - quotient * modulus - remainder = 0 over the integers.

    The rows of a product follow each other, one for each diagonal from 0 to the final one, and one for what these carry
    on. In byte t the sum S of both halves' coefficients and of the carry into it must be r + 256 * (carry out), r being
    the remainder's byte. |S| is at most 256 * 32 * 255^2 + 2^21.1 < 2^29.1 (both halves have at most as many pairs as
    one coefficient in the middle), and 256 carries are below 2^29.1: equality in the field is equality. No diagonal has
    more than 256 pairs where b and the modulus have at most 256 blocks: the calls see to that.
    """

    name = "modexp_remainders"

    def constraints(self, air: Air[Columns]) -> None:
        row, after, real = air.row, air.next, air.row.real
        goes_on, last = row.diagonal, real - row.diagonal
        for name in ("first", "diagonal", "there"):
            air.require(getattr(row, name) * (1 - real), f"padding: {name}")
        # Order of rows.
        air.require(air.is_first * (real - row.first), "starts with a product")
        air.require(air.is_last * goes_on, "ends with one")
        air.require(goes_on * (1 - after.real), "a product goes on")
        air.require(after.first - after.real * (1 - goes_on), "a product begins where none goes on")
        air.require(row.first * (1 - row.diagonal), "the first diagonal")
        air.require(row.first * row.index, "is number 0")
        air.require(row.final * (1 - row.diagonal), "the final diagonal is one")
        air.require(goes_on * (after.diagonal - 1 + row.final), "no diagonal behind the final one")
        names = ("a", "b", "quotient", "modulus", "remainder", "count")
        ids, same = ([getattr(x, name) for name in names] for x in (row, after))
        air.require_equal(same, ids, "the same product", when=goes_on)
        air.require(goes_on * (after.index - row.index - 1), "next index")
        ids = [row.a, row.b, row.quotient, row.modulus]
        air.receive(DIAGONAL, *ids, row.index, row.final, row.coefficients, count=row.diagonal)
        for k, cell in enumerate(row.coefficients):
            air.require((1 - row.diagonal) * cell, f"no diagonal: coefficient {k}")
        # Blocks of the remainder: from the first row to the last block.
        air.require(row.first * (1 - row.there), "block 0")
        air.require(row.ends * (1 - row.there), "the last block is one")
        air.require(row.ends * (row.index - row.count + 1), "the last block")
        air.require(goes_on * (after.there - row.there + row.ends), "all blocks up to the last one")
        air.require(last * (row.there - row.ends), "no block is left out")
        air.query(BLOCK, row.remainder, row.index, row.count, row.bytes, count=row.there)
        for t, cell in enumerate(row.bytes):
            air.require((1 - row.there) * cell, f"no block: byte {t}")
        # Carries.
        for t in range(WORD_BYTES // 2):
            query_xor(air, row.carry_high[2 * t], row.carry_high[2 * t + 1], row.carry_xor[t], count=real)

        def carry(of: Columns, t: int) -> Expression:
            result: Expression = of.carry_low[t] + of.carry_high[t] * _HIGH - of.real * _LEAST
            return result

        for t in range(WORD_BYTES):
            # Of the row before: the upper half of its diagonal, and its last carry.
            total: Expression = after.coefficients[t]
            if WORD_BYTES + t < DIAGONAL_SIZE:
                total = total + goes_on * row.coefficients[WORD_BYTES + t]
            total = total + (carry(after, t - 1) if t else goes_on * carry(row, WORD_BYTES - 1))
            air.require(total - after.bytes[t] - carry(after, t) * 256, f"byte {t}")
        air.require(last * carry(row, WORD_BYTES - 1), "nothing is left")
        air.require(row.multiplicity * (1 - last), "only the last row answers")
        air.provide(MULTIPLY_MODULO, row.a, row.b, row.modulus, row.remainder, multiplicity=row.multiplicity)


def fill_remainders(jobs: Jobs, asked: NDArray[np.uint32]) -> Matrix | None:
    """All products, with the counts of the queries (n, 4)."""
    if not len(jobs):
        return None
    numbers = jobs.numbers
    r_count = numbers.count[jobs.remainder]
    lengths = jobs.a_count + jobs.b_count
    ends = np.cumsum(lengths)
    begin = ends - lengths
    height = int(ends[-1])
    owner = np.repeat(np.arange(len(jobs)), lengths)
    index = np.arange(height) - begin[owner]
    matrix, rows = allocate(Columns, height)
    rows.real = 1
    rows.first = index == 0
    rows.diagonal = index < lengths[owner] - 1
    rows.final = index == lengths[owner] - 2
    for name in ("a", "b", "quotient", "modulus", "remainder"):
        setattr(rows, name, getattr(jobs, name)[owner])
    rows.index, rows.count = index, r_count[owner]
    there = index < r_count[owner]
    rows.there, rows.ends = there, index == r_count[owner] - 1
    bytes_ = np.zeros((height, WORD_BYTES), dtype=np.int64)
    bytes_[there] = numbers.blocks(jobs.remainder[owner[there]], index[there])
    rows.bytes = bytes_
    pairs = jobs.pairs
    coefficients = np.zeros((height, DIAGONAL_SIZE), dtype=np.int64)
    coefficients[(begin[pairs.owner] + pairs.i + pairs.j)[pairs.end]] = pairs.sums[pairs.end]
    rows.coefficients = coefficients % MODULUS
    sums = coefficients[:, :WORD_BYTES].copy()
    carried = np.flatnonzero(index > 0)
    sums[carried, : WORD_BYTES - 1] += coefficients[carried - 1, WORD_BYTES:]
    sums -= bytes_
    carries = _carries(sums, begin, lengths)
    high = np.clip((carries + _LEAST) // _HIGH, 0, 255)
    rows.carry_high = high
    rows.carry_low = carries + _LEAST - high * _HIGH
    rows.carry_xor = high[:, 0::2] ^ high[:, 1::2]
    names = np.stack([jobs.a, jobs.b, jobs.modulus, jobs.remainder], axis=1)
    rows.multiplicity[ends - 1] = counts_of(names, asked)
    return matrix


def _carries(sums: NDArray[np.int64], begin: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Carries (rows, 32) out of the sums (rows, 32) of products whose rows begin at `begin` (n,)."""
    carries = np.empty_like(sums)
    carry = np.zeros(len(begin), dtype=np.int64)
    # All products in step: as many rounds as the longest one has bytes.
    for k in range(int(lengths.max())):
        going = np.flatnonzero(lengths > k)
        at, moving = begin[going] + k, carry[going]
        for t in range(WORD_BYTES):
            moving = (sums[at, t] + moving) >> 8
            carries[at, t] = moving
        carry[going] = moving
    return carries
