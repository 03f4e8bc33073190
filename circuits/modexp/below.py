"""Comparisons of numbers: number + difference + 1 = bound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.layout import RANGE, C, Layout, allocate, bit, byte, element, limb
from circuits.air.table import Air, Table
from circuits.modexp.blocks import Numbers
from circuits.modexp.buses import BELOW, BLOCK
from circuits.widths import WORD, WORD_BYTES

_SAME_NUMBER = "another true statement, of an equal number, which the number_block bus confirms"


class Columns(Layout[C]):
    """32 bytes of a comparison per row, from the least significant ones on."""

    real = bit("1 on rows that compare")
    first = bit("1: the least significant bytes")
    last = bit("1: the most significant bytes")
    number = element("id of the number", by="number_block bus; the rows of a comparison share it", free=_SAME_NUMBER)
    bound = element("id of the bound", by="number_block bus; the rows of a comparison share it", free=_SAME_NUMBER)
    index = element("which block", by="counted from 0")
    count = element("how many blocks both have", by="number_block bus")
    number_bytes = byte("block of the number", WORD_BYTES, by="number_block bus")
    bound_bytes = byte("block of the bound", WORD_BYTES, by="number_block bus")
    difference = limb("of bound - number - 1", WORD, by=RANGE)
    carry = bit("carry out of each limb", WORD)
    multiplicity = element("how often the comparison is queried", by="balance of the below bus")


class Below(Table[Columns]):
    """The sum of a number, a difference and 1 is the bound, without a carry out of its last block: so it is below.

    The rows of a comparison follow each other. Both sides of a limb's equation are below 2^17 + 1.
    """

    name = "modexp_below"
    row_order = "comparisons meet only on the below bus"

    def constraints(self, air: Air[Columns]) -> None:
        row, after, real = air.row, air.next, air.row.real
        goes_on = real - row.last
        for name in ("first", "last"):
            air.require(getattr(row, name) * (1 - real), f"padding: {name}")
        air.require(air.is_first * (real - row.first), "starts with a comparison")
        air.require(air.is_last * goes_on, "ends with one")
        air.require(goes_on * (1 - after.real), "a comparison goes on")
        air.require(after.first - after.real * (1 - goes_on), "a comparison begins where none goes on")
        air.require(row.first * row.index, "the first block")
        air.require(row.last * (row.index - row.count + 1), "the last block")
        same = (after.number, after.bound, after.count)
        air.require_equal(same, (row.number, row.bound, row.count), "the same comparison", when=goes_on)
        air.require(goes_on * (after.index - row.index - 1), "next block")
        air.query(BLOCK, row.number, row.index, row.count, row.number_bytes, count=real)
        air.query(BLOCK, row.bound, row.index, row.count, row.bound_bytes, count=real)
        for t in range(WORD):
            low, high = (x[2 * t] + x[2 * t + 1] * 256 for x in (after.number_bytes, after.bound_bytes))
            # What is carried into the first limb is the 1.
            carry = after.carry[t - 1] if t else after.first + goes_on * row.carry[WORD - 1]
            air.require(low + after.difference[t] + carry - high - after.carry[t] * (1 << 16), f"limb {t}")
        air.require(row.last * row.carry[WORD - 1], "below")
        air.require(row.multiplicity * (1 - row.last), "only the last row answers")
        air.provide(BELOW, row.number, row.bound, multiplicity=row.multiplicity)


def fill_below(numbers: Numbers, asked: NDArray[np.uint32]) -> Matrix | None:
    """All comparisons that are asked for (n, 2) and true."""
    pairs, counts = np.unique(asked.astype(np.int64), axis=0, return_counts=True)
    known = (pairs < len(numbers.count)).all(axis=1)
    pairs, counts = pairs[known], counts[known]
    number, bound = pairs.T
    values = [
        tuple(int.from_bytes(numbers.bytes[s : s + c].tobytes(), "little") for s, c in zip(x, y, strict=True))
        for x, y in ((numbers.start[k].tolist(), numbers.count[k].tolist()) for k in (number, bound))
    ]
    true = np.array([a < b for a, b in zip(*values, strict=True)], dtype=bool)
    true &= numbers.count[number] == numbers.count[bound]
    number, bound, counts = number[true], bound[true], counts[true]
    if not len(number):
        return None
    length = numbers.count[number]
    ends = np.cumsum(length)
    owner = np.repeat(np.arange(len(number)), length)
    index = np.arange(int(ends[-1])) - (ends - length)[owner]
    matrix, rows = allocate(Columns, len(owner))
    rows.real = 1
    rows.first, rows.last = index == 0, index == length[owner] - 1
    rows.number, rows.bound, rows.index, rows.count = number[owner], bound[owner], index, length[owner]
    low, high = (numbers.blocks(x[owner], index) for x in (number, bound))
    rows.number_bytes, rows.bound_bytes = low, high
    limbs = (low[:, 0::2] + low[:, 1::2] * 256, high[:, 0::2] + high[:, 1::2] * 256)
    carry = np.ones(len(number), dtype=np.int64)
    # All comparisons in step: as many rounds as the longest one has limbs.
    for k in range(int(length.max())):
        going = np.flatnonzero(length > k)
        at, moving = (ends - length)[going] + k, carry[going]
        for t in range(WORD):
            least = limbs[0][at, t] + moving
            moving = (least > limbs[1][at, t]).astype(np.int64)
            rows.difference[at, t] = limbs[1][at, t] - least + (moving << 16)
            rows.carry[at, t] = moving
        carry[going] = moving
    rows.multiplicity[ends - 1] = counts
    return matrix
