"""Numbers in blocks of 32 bytes, which rows name by an id and an index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.layout import C, Layout, allocate, bit, byte, element
from circuits.air.table import Air, Table
from circuits.functions.bitwise_bytes import query_xor
from circuits.modexp.buses import BLOCK
from circuits.widths import WORD_BYTES


class Columns(Layout[C]):
    """One block per row."""

    real = bit("1 on rows that hold a block")
    last = bit("1: the last block of its number")
    number = element("id of the number", by="counted from 0")
    index = element("which block of it", by="counted from 0")
    count = element("how many it has", by="the last row: its index + 1")
    bytes = byte(
        "the block, least significant byte first",
        WORD_BYTES,
        by="bitwise_bytes bus, two at a time",
        free="two of them that change places are another block: who looks it up says which it is",
    )
    xor = byte("exclusive or of two bytes", WORD_BYTES // 2, by="bitwise_bytes bus")
    multiplicity = element("how often it is queried", by="balance of the number_block bus")


class Blocks(Table[Columns]):
    """All numbers, one behind the other.

    Ids and indices are counted from row to row, so no block has two rows. Padding lies behind all numbers.
    """

    name = "modexp_blocks"

    def constraints(self, air: Air[Columns]) -> None:
        row, after, real = air.row, air.next, air.row.real
        goes_on = real - row.last
        air.require(row.last * (1 - real), "padding has no last block")
        air.require(air.is_first * (row.number * real), "the first number is 0")
        air.require(air.is_first * (row.index * real), "it begins with block 0")
        air.require(air.is_last * goes_on, "the last number ends")
        air.require(air.is_transition * (1 - real) * after.real, "nothing behind the padding")
        air.require(goes_on * (1 - after.real), "a number goes on")
        air.require_equal((after.number, after.count), (row.number, row.count), "the same number", when=goes_on)
        air.require(goes_on * (after.index - row.index - 1), "the next block")
        # Padding behind the last number has the id of a further one.
        air.require(air.is_transition * row.last * (after.number - row.number - 1), "the next number")
        air.require(air.is_transition * row.last * after.index, "begins with block 0")
        air.require(row.last * (row.count - row.index - 1), "count")
        for i in range(WORD_BYTES // 2):
            query_xor(air, row.bytes[2 * i], row.bytes[2 * i + 1], row.xor[i], count=real)
        air.require((1 - real) * row.multiplicity, "padding provides nothing")
        air.provide(BLOCK, row.number, row.index, row.count, row.bytes, multiplicity=row.multiplicity)


class Numbers:
    """Numbers, cut into blocks.

    Attributes:
        count: (n,) blocks of each.
        start: (n,) row of the first one.
        bytes: (rows, 32) all blocks, `uint8`.
    """

    def __init__(self, values: Sequence[int], counts: Sequence[int]) -> None:
        self.count = np.array(counts, dtype=np.int64)
        self.start = np.cumsum(self.count) - self.count
        # Python integers become bytes one by one: numpy has no type for them.
        data = b"".join(v.to_bytes(WORD_BYTES * c, "little") for v, c in zip(values, counts, strict=True))
        self.bytes = np.frombuffer(data, dtype=np.uint8).reshape(-1, WORD_BYTES)

    def blocks(self, number: NDArray[np.int64], index: NDArray[np.int64]) -> NDArray[np.int64]:
        """The bytes (n, 32) of these blocks."""
        found: NDArray[np.int64] = self.bytes[self.start[number] + index].astype(np.int64)
        return found


def fill_blocks(numbers: Numbers, asked: NDArray[np.uint32]) -> Matrix | None:
    """All blocks, with the counts of the queries (n, 35)."""
    rows_ = len(numbers.bytes)
    if not rows_:
        return None
    owner = np.repeat(np.arange(len(numbers.count)), numbers.count)
    index = np.arange(rows_) - numbers.start[owner]
    matrix, rows = allocate(Columns, rows_)
    rows.real = 1
    rows.last = index == numbers.count[owner] - 1
    rows.number, rows.index, rows.count = owner, index, numbers.count[owner]
    matrix[rows_:, Columns.offsets["number"]] = len(numbers.count)
    rows.bytes = numbers.bytes
    rows.xor = numbers.bytes[:, 0::2] ^ numbers.bytes[:, 1::2]
    # Queries of blocks that there are; one with other bytes is left to unbalance the bus.
    number, place = asked[:, 0].astype(np.int64), asked[:, 1].astype(np.int64)
    there = number < len(numbers.count)
    there[there] = place[there] < numbers.count[number[there]]
    rows.multiplicity = np.bincount(numbers.start[number[there]] + place[there], minlength=rows_)
    return matrix
