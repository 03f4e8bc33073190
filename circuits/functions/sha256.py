"""SHA-256 (FIPS 180-4) over `sha256_rounds`: one row per block of 64 bytes, padding and chaining.

Each distinct input of a segment stands here once; `hash_word` and `hash_out` answer for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets import total
from circuits.air.layout import RANGE, allocate, bit, byte, limb
from circuits.air.table import Air
from circuits.functions import padded_blocks, sha256_rounds
from circuits.functions.bitwise_bytes import query_byte
from circuits.functions.buses import SHA256_FUNCTION, SHA256_ROUNDS
from circuits.functions.padded_blocks import BLOCK_LIMBS, PAD_START, Blocks, PaddedBlocks, PaddedInputs
from circuits.functions.sha256_rounds import HALVES, STATE_WORDS
from circuits.functions.words32 import LIMB_BITS, LIMBS, Words32, carries, limbs
from circuits.limbs import Limbs

#: FIPS 180-4, section 5.3.3.
INITIAL_STATE = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
_INITIAL_LIMBS = [[word & 0xFFFF, word >> LIMB_BITS] for word in INITIAL_STATE]


class Columns(padded_blocks.Columns):
    """One block of one input. Words of 32 bits are in limbs, the low one first."""

    message = limb("the block's limbs of the input, zeros behind its end", BLOCK_LIMBS, by="sha256_rounds bus: bits")
    tail = byte("the last byte of the input where it ends with the first byte of a limb", by="bitwise_bytes bus")
    before = limb("the state before the block", (STATE_WORDS, LIMBS), by="previous row")
    worked = limb("the working variables after the rounds", (STATE_WORDS, LIMBS), by="sha256_rounds bus: bits")
    carry = bit("carry of each limb of the sum of both", (STATE_WORDS, LIMBS))
    digest = limb("the state after the block: their sum", (STATE_WORDS, LIMBS), by=RANGE)


class Sha256(PaddedBlocks):
    """Blocks of SHA-256."""

    name = "sha256"
    layout = Columns
    function = SHA256_FUNCTION

    def constraints(self, air: Air) -> None:
        blocks = self.constrain_blocks(air)
        padded = self._padding(air, blocks)
        self._chaining(air, blocks, padded)
        digest = [x for word in air.row.digest for x in (word[1], word[0])][::-1]
        self.answer(air, blocks, list(air.row.message), digest)

    @staticmethod
    def _padding(air: Air, blocks: Blocks) -> list[Expression]:
        """The input's bytes are zero from its end on; returns the padded block, whose limbs the rounds take in bits."""
        row = air.row
        padded = []
        for i, cell in enumerate(row.message):
            end = row.end[i]
            air.require(cell * (blocks.outside[i] + end * (1 - row.odd)), f"message limb {i} is zero behind the end")
            # The start of the padding: the upper byte of its limb, or the lower one.
            padded.append(cell + end * ((1 - row.odd) * (PAD_START << 8) + row.odd * PAD_START))
        # A limb that is cut is 2^8 tail + 0x80, both below 2^16 since the rounds have it in bits.
        cut = total([end * cell for end, cell in zip(row.end, row.message, strict=True)])
        air.require(row.odd * (cut - row.tail * 256), "the byte before the padding")
        air.require((1 - row.odd) * row.tail, "no byte before the padding")
        query_byte(air, row.tail, count=row.odd)
        # The 64-bit length is big-endian; it is below 2^30, and its limbs are zero but on last blocks.
        padded[-2] = padded[-2] + row.size[1]
        padded[-1] = padded[-1] + row.size[0]
        return padded

    @staticmethod
    def _chaining(air: Air, blocks: Blocks, padded: list[Expression]) -> None:
        """A first block starts from the initial state, any other from the one behind the previous block."""
        row, following, real = air.row, air.next, air.row.real
        for word in range(STATE_WORDS):
            carry: Expression | int = 0
            for k in range(LIMBS):
                initial = _INITIAL_LIMBS[word][k]
                air.require(air.is_first * (row.before[word][k] - real * initial), f"first state: {word}, limb {k}")
                next_before = blocks.more * row.digest[word][k] + blocks.begins_next * initial
                air.require(
                    air.is_transition * (following.before[word][k] - next_before), f"next state: {word}, limb {k}"
                )
                # Below 2^17 on both sides.
                sum_ = row.before[word][k] + row.worked[word][k] + carry
                carry = row.carry[word][k]
                air.require(sum_ - row.digest[word][k] - carry * (1 << LIMB_BITS), f"digest: {word}, limb {k}")
                air.require((1 - real) * row.worked[word][k], f"padding rows are zero: {word}, limb {k}")
                air.require((1 - real) * carry, f"padding rows have no carry: {word}, limb {k}")
        words = [[padded[2 * i + 1], padded[2 * i]] for i in range(BLOCK_LIMBS // 2)]
        nothing = [0] * BLOCK_LIMBS
        air.send(SHA256_ROUNDS, row.row, 0, row.before, words, count=real)
        air.receive(SHA256_ROUNDS, row.row, HALVES, row.worked, nothing, count=real)


def states(inputs: PaddedInputs) -> tuple[Words32, Words32, Words32, Words32]:
    """The state before each block (rows, 8), its words (rows, 16), the working variables and the state after it."""
    import zkevm_native  # which those do without who only verify

    # An input has up to a million blocks, each of which needs the state behind the one before.
    blocks = inputs.padded(">").view(">u4").astype(np.uint32)
    after = zkevm_native.sha256_states(blocks, inputs.ids.tolist()).astype(np.uint64)
    before = np.roll(after, 1, axis=0)
    before[inputs.ids] = INITIAL_STATE
    worked = (after - before) & np.uint64(0xFFFFFFFF)
    return before, blocks.astype(np.uint64), worked, after


def digests(inputs: PaddedInputs) -> Limbs:
    """The hashes of the inputs, words (n, 16)."""
    return states(inputs)[3][inputs.lasts].astype(">u4").view(">u2")[:, ::-1].astype(np.uint16)


def fill(inputs: PaddedInputs, words: NDArray[np.uint32], outs: NDArray[np.uint32]) -> Matrix:
    """The table for the inputs.

    A query for a word or an id that is not there is left to unbalance its bus.

    Args:
        inputs: what is hashed.
        words: (n, 2) queried pairs (id, index), repeated as often as queried.
        outs: (n,) queried ids.
    """
    before, _, worked, after = states(inputs)
    matrix, rows = allocate(Columns, inputs.rows)
    inputs.fill(Columns, matrix, words, outs)
    rows.message = np.ascontiguousarray(inputs.message).view(">u2")
    ends_odd = rows.odd == 1
    rows.tail = np.where(ends_odd, (rows.message * rows.end).sum(axis=1) >> 8, 0)
    rows.before = limbs(before)
    rows.worked = limbs(worked)
    rows.carry = carries(limbs(before) + limbs(worked))
    rows.digest = limbs(after)
    return matrix


def fill_rounds(inputs: PaddedInputs) -> Matrix:
    """The rounds of all blocks."""
    before, blocks, _, _ = states(inputs)
    return sha256_rounds.fill(before, blocks, np.arange(inputs.rows, dtype=np.uint32))
