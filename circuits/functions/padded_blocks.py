"""What SHA-256 and RIPEMD-160 share: inputs in blocks of 64 bytes, padded and with their length at the end.

Behind the input come the byte 0x80, zeros, and the input's bits as a 64-bit integer in the last 8 bytes of a block. An
input whose last bytes leave no room for that ends with a block that holds none of it, the *extra* one.

A table has one row per block; each distinct input stands once, under the row number of its first block. The bytes of a
block are 32 limbs: two bytes each, the first one the upper one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets import range_check, total
from circuits.air.layout import RANGE, Layout, TraceView, bit, element, limb
from circuits.air.table import Air, Table
from circuits.functions.buses import HASH_OUT, HASH_WORD
from circuits.functions.hash_inputs import HashInputs, Integers
from circuits.widths import WORD, WORD_BYTES

BLOCK_BYTES = 64
BLOCK_LIMBS = BLOCK_BYTES // 2
BLOCK_WORDS = BLOCK_BYTES // WORD_BYTES
LENGTH_BYTES = 8
#: The first byte of the padding.
PAD_START = 0x80
#: The first limb of the length: an input that ends here or later needs an extra block.
LENGTH_LIMB = BLOCK_LIMBS - LENGTH_BYTES // 2
#: A table has at most 2^21 rows, so an input has less than 2^27 bytes and 2^30 bits.
_HIGH_BITS = 14


class Columns(Layout):
    """One block of one input, whatever the function."""

    real = bit("1 on rows that stand for a block")
    row = element("row number", by="first row 0, step 1")
    id = element("row number of the input's first block", by="set on first blocks, copied to the next")
    end = bit("one-hot where the input ends: limb in which the padding starts", BLOCK_LIMBS)
    odd = bit("1: the padding starts with the second byte of that limb")
    extra = bit("1: the input has ended in the block before, which has no room for the length")
    length = element("bytes of the input on rows where it ends and on extra ones", by="its constraints")
    size = limb("bits of the input on the last row of an input, low limb and high limb", 2, by=RANGE)
    word_count = element("how often each word of the block is queried", BLOCK_WORDS, by="balance of hash_word")
    out_count = element("how often the digest is queried", by="balance of hash_out")


@dataclass(frozen=True)
class Blocks:
    """Expressions of a row.

    Attributes:
        more, last: 1 where the input goes on in the successor, and on its last block.
        begins_next: 1 where the successor is the first block of an input, of degree 2.
        outside: for each limb, 1 where it lies behind the one in which the padding starts, and on padding rows.
    """

    more: Expression
    last: Expression
    begins_next: Expression
    outside: list[Expression]


class PaddedBlocks(Table):
    """Base of the tables of both functions."""

    function: ClassVar[int]

    def constrain_blocks(self, air: Air) -> Blocks:
        """Rows are inputs one behind the other, each complete, then padding; every input has its length."""
        row, following = air.row, air.next
        real = row.real
        ends = total(row.end)
        spills = total(row.end[LENGTH_LIMB:])
        air.require_bit(ends, "end: exactly one flag or none")
        air.require(ends * (1 - real), "padding rows end nothing")
        air.require(row.odd * (1 - ends), "odd only where an input ends")
        air.require(row.extra * (ends + 1 - real), "an extra block is a block in which nothing ends")
        last = ends - spills + row.extra
        more = real - last
        air.require(air.is_first * row.extra, "the first block is not extra")
        air.require(air.is_transition * (following.extra - spills), "an extra block follows an end without room")

        air.require(air.is_transition * (1 - real) * following.real, "padding stays padding")
        air.require(air.is_transition * more * (1 - following.real), "an unfinished input goes on")
        air.require(air.is_last * more, "the last row finishes its input")
        air.require(air.is_first * row.row, "row numbers start at 0")
        air.require(air.is_transition * (following.row - row.row - 1), "row numbers step by 1")
        air.require(air.is_first * (row.id - row.row), "the first row begins an input")
        air.require(air.is_transition * more * (following.id - row.id), "an input keeps its id")
        air.require(air.is_transition * (1 - more) * (following.id - following.row), "a new input takes its row as id")

        place = total([row.end[i] * (2 * i) for i in range(1, BLOCK_LIMBS)]) + row.odd
        length = ends * (row.row - row.id) * BLOCK_BYTES + place
        air.require((1 - row.extra) * (row.length - length), "length where the input ends")
        air.require(air.is_transition * following.extra * (following.length - row.length), "length on an extra block")
        # Both limbs make less than 2^30: equal to 8 times the length as integers, as that is below 2^30, too.
        bits = row.size[0] + row.size[1] * (1 << 16)
        air.require(last * (bits - row.length * 8), "bits of the input")
        air.require((1 - last) * row.size[0], "no size but on last blocks: low limb")
        air.require((1 - last) * row.size[1], "no size but on last blocks: high limb")
        range_check(air, row.size[1], _HIGH_BITS, last)

        outside = [1 - real + row.extra]
        for i in range(BLOCK_LIMBS - 1):
            outside.append(outside[i] + row.end[i])
        return Blocks(more, last, (1 - more) * following.real, outside)

    def answer(self, air: Air, blocks: Blocks, message: list[Expression], digest: list[Expression]) -> None:
        """Provide the two words of a block, and the digest (a word) on last blocks."""
        row = air.row
        for k, count in enumerate(row.word_count):
            air.require((1 - row.real) * count, f"padding rows have no word {k}")
            word = message[WORD * k : WORD * (k + 1)][::-1]
            index = (row.row - row.id) * BLOCK_WORDS + k
            air.provide(HASH_WORD, self.function, row.id, index, word, multiplicity=count)
        air.require((1 - blocks.last) * row.out_count, "only last blocks have a digest")
        air.provide(HASH_OUT, self.function, row.id, row.length, digest, multiplicity=row.out_count)


class PaddedInputs(HashInputs):
    """Distinct inputs of one of the functions."""

    block_bytes = BLOCK_BYTES
    least_padding = 1 + LENGTH_BYTES

    def padded(self, order: str) -> NDArray[np.uint8]:
        """The padded blocks (rows, 64); `order`: "<" or ">", how the length is written."""
        blocks = self.message.copy()
        blocks[self._ends, self.lengths % BLOCK_BYTES] += PAD_START
        lengths = (8 * self.lengths).astype(f"{order}u8").view(np.uint8).reshape(-1, LENGTH_BYTES)
        blocks[self.lasts, BLOCK_BYTES - LENGTH_BYTES :] = lengths
        return blocks

    def chain(self) -> list[Integers]:
        """Rows of all first blocks, of all second ones, and so on: a block needs the state of the one before."""
        return [self.ids[self.blocks > k] + k for k in range(int(self.blocks.max(initial=0)))]

    @property
    def _ends(self) -> Integers:
        return self.ids + self.lengths // BLOCK_BYTES

    @property
    def lasts(self) -> Integers:
        """Row of the last block of each input (n,)."""
        return self.ids + self.blocks - 1

    def fill(self, layout: type[Columns], matrix: Matrix, words: NDArray[np.uint32], outs: NDArray[np.uint32]) -> None:
        """The columns that all functions have.

        A query for a word or an id that is not there is left to unbalance its bus.

        Args:
            layout: of the table.
            matrix: its trace, zeros.
            words: (n, 2) queried pairs (id, index), repeated as often as queried.
            outs: (n,) queried ids.
        """
        everything = TraceView(layout, matrix)
        everything.row = np.arange(len(matrix))
        everything.id = np.arange(len(matrix))
        rows = TraceView(layout, matrix[: self.rows])
        first = np.repeat(self.ids, self.blocks)
        rows.real = 1
        rows.id = first
        ends, lasts, place = self._ends, self.lasts, self.lengths % BLOCK_BYTES
        rows.end[ends, place // 2] = 1
        rows.odd[ends] = place % 2
        rows.extra[lasts] = ends != lasts
        rows.length[ends] = self.lengths
        rows.length[lasts] = self.lengths
        rows.size[lasts] = np.stack([8 * self.lengths & 0xFFFF, 8 * self.lengths >> 16], axis=1)

        ids, index = words[:, 0].astype(np.int64), words[:, 1].astype(np.int64)
        row = ids + index // BLOCK_WORDS
        known = row < self.rows
        known[known] = first[row[known]] == ids[known]
        np.add.at(rows.word_count, (row[known], index[known] % BLOCK_WORDS), 1)
        asked = outs[np.isin(outs, self.ids)]
        np.add.at(rows.out_count, lasts[np.searchsorted(self.ids, asked)], 1)
