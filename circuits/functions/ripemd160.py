"""RIPEMD-160 over `ripemd160_lines`: one row per block of 64 bytes, padding and chaining.

Each distinct input of a segment stands here once; `hash_word` and `hash_out` answer for it. Words of 32 bits are
little-endian, as in MD4, so that limbs of the block are those of hash_word with their bytes exchanged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.layout import allocate, byte, element, limb
from circuits.air.table import Air
from circuits.functions import padded_blocks, ripemd160_lines
from circuits.functions.bitwise_bytes import query_xor
from circuits.functions.buses import RIPEMD160_FUNCTION, RIPEMD160_LINES
from circuits.functions.padded_blocks import (
    BLOCK_BYTES,
    BLOCK_LIMBS,
    LENGTH_LIMB,
    PAD_START,
    Blocks,
    PaddedBlocks,
    PaddedInputs,
)
from circuits.functions.ripemd160_lines import LINES, STATE_WORDS
from circuits.functions.words32 import LIMB_BITS, LIMBS, Words32, carries, limbs
from circuits.limbs import Limbs
from circuits.widths import WORD

#: The initial state: that of MD4 and SHA-1.
INITIAL_STATE = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_INITIAL_LIMBS = [[word & 0xFFFF, word >> LIMB_BITS] for word in INITIAL_STATE]
_STATE_BYTES = 4
_DIGEST_LIMBS = STATE_WORDS * LIMBS


class Columns(padded_blocks.Columns):
    """One block of one input. Words of 32 bits are in limbs, the low one first."""

    message = byte("the block's bytes of the input, zeros behind its end", BLOCK_BYTES, by="bitwise_bytes bus")
    message_xor = byte("exclusive or of the two bytes of each limb", BLOCK_LIMBS, by="bitwise_bytes bus")
    before = limb("the state before the block", (STATE_WORDS, LIMBS), by="previous row")
    worked = limb("the variables after both lines", (LINES, STATE_WORDS, LIMBS), by="ripemd160_lines bus: bits")
    carry = element("carry of each limb of the sums that make the digest", (STATE_WORDS, LIMBS), by="constrained: 0..2")
    digest = byte("the state after the block, least significant byte first", (STATE_WORDS, 4), by="bitwise_bytes bus")
    digest_xor = byte("exclusive or of the two bytes of each limb", (STATE_WORDS, LIMBS), by="bitwise_bytes bus")


class Ripemd160(PaddedBlocks):
    """Blocks of RIPEMD-160."""

    name = "ripemd160"
    layout = Columns
    function = RIPEMD160_FUNCTION

    def constraints(self, air: Air) -> None:
        row = air.row
        blocks = self.constrain_blocks(air)
        padded = self._padding(air, blocks)
        self._chaining(air, blocks, padded)
        message = [row.message[2 * i] * 256 + row.message[2 * i + 1] for i in range(BLOCK_LIMBS)]
        flat = [x for word in row.digest for x in word]
        digest = [flat[i] * 256 + flat[i + 1] for i in range(0, len(flat), 2)][::-1]
        self.answer(air, blocks, message, [*digest, *[air.constant(0)] * (WORD - len(digest))])

    @staticmethod
    def _padding(air: Air, blocks: Blocks) -> list[Expression]:
        """The input's bytes are zero from its end on; returns the limbs of the padded block's words, low ones first."""
        row = air.row
        padded = []
        for i in range(BLOCK_LIMBS):
            end, outside = row.end[i], blocks.outside[i]
            first, second = row.message[2 * i], row.message[2 * i + 1]
            air.require(first * (outside + end * (1 - row.odd)), f"message byte {2 * i} is zero behind the end")
            air.require(second * (outside + end), f"message byte {2 * i + 1} is zero behind the end")
            query_xor(air, first, second, row.message_xor[i], count=row.real)
            air.require((1 - row.real) * row.message_xor[i], f"padding rows are zero: exclusive or {i}")
            padded.append(first + second * 256 + end * ((1 - row.odd) * PAD_START + row.odd * (PAD_START << 8)))
        # The 64-bit length is little-endian; it is below 2^30, and its limbs are zero but on last blocks.
        padded[LENGTH_LIMB] = padded[LENGTH_LIMB] + row.size[0]
        padded[LENGTH_LIMB + 1] = padded[LENGTH_LIMB + 1] + row.size[1]
        return padded

    @staticmethod
    def _chaining(air: Air, blocks: Blocks, padded: list[Expression]) -> None:
        """A first block starts from the initial state, any other from the one behind the previous block."""
        row, following, real = air.row, air.next, air.row.real
        left, right = row.worked
        for word in range(STATE_WORDS):
            carry: Expression | int = 0
            for k in range(LIMBS):
                initial = _INITIAL_LIMBS[word][k]
                low, high = row.digest[word][2 * k], row.digest[word][2 * k + 1]
                query_xor(air, low, high, row.digest_xor[word][k], count=real)
                digest = low + high * 256
                air.require(air.is_first * (row.before[word][k] - real * initial), f"first state: {word}, limb {k}")
                next_before = blocks.more * digest + blocks.begins_next * initial
                air.require(
                    air.is_transition * (following.before[word][k] - next_before), f"next state: {word}, limb {k}"
                )
                # Three limbs and a carry: below 3 * 2^16, so the carry is at most 2.
                sum_ = row.before[(word + 1) % STATE_WORDS][k] + left[(word + 2) % STATE_WORDS][k] + carry
                sum_ = sum_ + right[(word + 3) % STATE_WORDS][k]
                carry = row.carry[word][k]
                air.require(carry * (carry - 1) * (carry - 2), f"carry: {word}, limb {k}")
                air.require(sum_ - digest - carry * (1 << LIMB_BITS), f"digest: {word}, limb {k}")
                idle = (left[word][k], right[word][k], carry, low, high, row.digest_xor[word][k])
                for number, cell in enumerate(idle):
                    air.require((1 - real) * cell, f"padding rows are zero: {word}, limb {k}, cell {number}")
        for line, worked in enumerate(row.worked):
            air.send(RIPEMD160_LINES, row.row, LINES * line, row.before, padded, count=real)
            air.receive(RIPEMD160_LINES, row.row, LINES * line + 1, worked, [0] * BLOCK_LIMBS, count=real)


def states(inputs: PaddedInputs) -> tuple[Words32, Words32, Words32, Words32]:
    """The state before each block (rows, 5), its words (rows, 16), both lines' variables (rows, 2, 5), state after."""
    blocks = inputs.padded("<").view("<u4").astype(np.uint64)
    before = np.zeros((inputs.rows, STATE_WORDS), dtype=np.uint64)
    worked, after = np.zeros((inputs.rows, LINES, STATE_WORDS), dtype=np.uint64), np.zeros_like(before)
    for number, at in enumerate(inputs.chain()):
        before[at] = after[at - 1] if number else np.array(INITIAL_STATE, dtype=np.uint64)
        for line in range(LINES):
            worked[at, line] = ripemd160_lines.run(line, before[at], blocks[at]).final
        left, right = worked[at, 0], worked[at, 1]
        sums = np.roll(before[at], -1, axis=1) + np.roll(left, -2, axis=1) + np.roll(right, -3, axis=1)
        after[at] = sums & np.uint64(0xFFFFFFFF)
    return before, blocks, worked, after


def digests(inputs: PaddedInputs) -> Limbs:
    """The hashes of the inputs, words (n, 16) of which the upper 12 bytes are zero."""
    words = np.zeros((len(inputs.data), WORD), dtype=np.uint16)
    cells = states(inputs)[3][inputs.lasts].astype("<u4").view(np.uint8)
    words[:, :_DIGEST_LIMBS] = cells.view(">u2")[:, ::-1]
    return words


def fill(inputs: PaddedInputs, words: NDArray[np.uint32], outs: NDArray[np.uint32]) -> Matrix:
    """The table for the inputs; see `sha256.fill`."""
    before, _, worked, after = states(inputs)
    matrix, rows = allocate(Columns, inputs.rows)
    inputs.fill(Columns, matrix, words, outs)
    message = inputs.message
    rows.message = message
    rows.message_xor = message[:, 0::2] ^ message[:, 1::2]
    rows.before = limbs(before)
    rows.worked = limbs(worked)
    sums = limbs(np.roll(before, -1, axis=1)) + limbs(np.roll(worked[:, 0], -2, axis=1))
    rows.carry = carries(sums + limbs(np.roll(worked[:, 1], -3, axis=1)))
    digest = after.astype("<u4").view(np.uint8).reshape(-1, STATE_WORDS, _STATE_BYTES)
    rows.digest = digest
    rows.digest_xor = digest[:, :, 0::2] ^ digest[:, :, 1::2]
    return matrix


def fill_line(line: int, inputs: PaddedInputs) -> Matrix:
    """A line of all blocks."""
    before, blocks, _, _ = states(inputs)
    return ripemd160_lines.fill(line, before, blocks, np.arange(inputs.rows, dtype=np.uint32))
