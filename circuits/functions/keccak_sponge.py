"""Keccak-256 as Ethereum uses it (rate 1088, padding 0x01 ... 0x80): the sponge over `keccak_f`, one row per block.

Each distinct input of a segment stands here once, under the row number of its first block. Two lookup buses answer for
it: `hash_word` (its content, 32 bytes at a time) and `hash_out` (its length and digest).

A block has 136 bytes, 4.25 words, so the start of a block moves by a quarter word from block to block: four phases,
after which 17 words are complete. A row provides the words that begin in it, the last of them with bytes of the
successor (phases 0 to 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets import one_hot, total
from circuits.air.layout import Layout, allocate, bit, byte, element
from circuits.air.table import Air, Table
from circuits.functions.bitwise_bytes import query_xor
from circuits.functions.buses import CHUNK_BITS, CHUNKS, HASH_OUT, HASH_WORD, KECCAK256_FUNCTION, KECCAK_F, LANES
from circuits.functions.hash_inputs import HashInputs
from circuits.functions.keccak_f import ROUNDS, Lanes, chunks, permute
from circuits.widths import WORD, WORD_BYTES

LANE_BYTES = 8
RATE_LANES = 17
RATE = RATE_LANES * LANE_BYTES
DIGEST_LANES = WORD_BYTES // LANE_BYTES
PHASES = 4
#: Words that begin in four consecutive blocks: 4 * 136 bytes.
WORDS_PER_CYCLE = PHASES * RATE // WORD_BYTES
#: Number, within a cycle, of the first word that begins in a block of each phase.
FIRST_WORD = tuple(-(-RATE * phase // WORD_BYTES) for phase in range(PHASES))
#: Words that begin in a block of each phase, and the most of them.
WORDS = tuple(b - a for a, b in zip(FIRST_WORD, (*FIRST_WORD[1:], WORDS_PER_CYCLE), strict=True))
SLOTS = max(WORDS)
#: What follows the input, and what is added to the last byte of its last block (FIPS 202, section 5.1, without suffix).
PAD_START, PAD_END = 0x01, 0x80


class Columns(Layout):
    """One block of one input."""

    phase = bit("one-hot: number of the block within its input, modulo 4; none on padding rows", PHASES)
    end_lane = bit("one-hot on last blocks: lane in which the padding starts", RATE_LANES)
    end_byte = bit("one-hot on last blocks: byte of that lane", LANE_BYTES)
    row = element("row number", by="first row 0, step 1")
    id = element("row number of the input's first block", by="set on first blocks, copied to the next")
    message = byte("the block's bytes of the input, zeros behind its end", RATE, by="bitwise_bytes bus")
    before = byte("the rate part of the state before the block", RATE, by="bitwise_bytes bus")
    state = byte("the rate part of the state with the padded block absorbed", RATE, by="bitwise_bytes bus")
    capacity = element("the capacity part of the state, in chunks", (LANES - RATE_LANES, CHUNKS), by="previous row")
    digest = byte("the first 32 bytes of the permuted state", WORD_BYTES, by="bitwise_bytes bus")
    digest_xor = byte("exclusive or of two neighbouring digest bytes", WORD_BYTES // 2, by="bitwise_bytes bus")
    rest = element(
        "the other lanes of the permuted state, in chunks", (LANES - DIGEST_LANES, CHUNKS), by="keccak_f bus"
    )
    word_count = element("how often each word that begins here is queried", SLOTS, by="balance of hash_word")
    out_count = element("how often the digest is queried", by="balance of hash_out")


class Keccak(Table):
    """The sponge."""

    name = "keccak"
    layout = Columns
    selector = None

    def constraints(self, air: Air) -> None:
        row, following = air.row, air.next
        real, following_real = total(row.phase), total(following.phase)
        last = total(row.end_lane)
        # 1 where the successor is a further block of the same input.
        more = real - last
        air.require_bit(real, "phase: exactly one flag or none")
        air.require_bit(last, "end lane: exactly one flag or none")
        air.require(last * (1 - real), "padding rows end nothing")
        one_hot(air, row.end_byte, last, "end byte")

        self._sequence(air, row, following, real, following_real, more)
        padded = self._padding(air, row, real, last)
        for i in range(RATE):
            query_xor(air, padded[i], row.before[i], row.state[i], count=real)
        for i in range(0, WORD_BYTES, 2):
            query_xor(air, row.digest[i], row.digest[i + 1], row.digest_xor[i // 2], count=real)
        self._permutation(air, row, following, real, more)
        self._idle(air, row, real)
        self._answers(air, row, following, last)

    def _sequence(
        self, air: Air, row: Any, following: Any, real: Expression, following_real: Expression, more: Expression
    ) -> None:
        """Rows are inputs one behind the other, each complete, then padding."""
        air.require(air.is_transition * (1 - real) * following_real, "padding stays padding")
        air.require(air.is_transition * more * (1 - following_real), "an unfinished input goes on")
        air.require(air.is_last * more, "the last row finishes its input")
        air.require(air.is_first * row.row, "row numbers start at 0")
        air.require(air.is_transition * (following.row - row.row - 1), "row numbers step by 1")
        air.require(air.is_first * (row.id - row.row), "the first row begins an input")
        air.require(air.is_transition * more * (following.id - row.id), "an input keeps its id")
        air.require(air.is_transition * (1 - more) * (following.id - following.row), "a new input takes its row as id")
        for k in range(1, PHASES):
            air.require(air.is_first * row.phase[k], f"the first row is not in phase {k}")
            air.require(
                air.is_transition * (following.phase[k] - more * row.phase[k - 1]),
                f"phase {k} follows phase {k - 1} within an input",
            )

    def _padding(self, air: Air, row: Any, real: Expression, last: Expression) -> list[Expression]:
        """The input's bytes are zero from its end on; returns the padded block."""
        padded = []
        lanes_before = air.constant(0)
        for lane in range(RATE_LANES):
            bytes_before = air.constant(0)
            for k in range(LANE_BYTES):
                i = lane * LANE_BYTES + k
                bytes_before = bytes_before + row.end_byte[k]
                outside = lanes_before + row.end_lane[lane] * bytes_before
                air.require(row.message[i] * (outside + 1 - real), f"message byte {i} is zero behind the end")
                padded.append(row.message[i] + row.end_lane[lane] * row.end_byte[k] * PAD_START)
            lanes_before = lanes_before + row.end_lane[lane]
        # Behind the end the message is zero, so padded bytes are at most 0x81.
        padded[-1] = padded[-1] + last * PAD_END
        return padded

    def _permutation(self, air: Air, row: Any, following: Any, real: Expression, more: Expression) -> None:
        """State in, state out; the next block of the same input starts from the latter, a first block from zero."""
        capacity = [list(lane) for lane in row.capacity]
        following_capacity = [list(lane) for lane in following.capacity]
        before = _lanes(row.before) + capacity
        following_before = _lanes(following.before) + following_capacity
        after = _lanes(row.digest) + [list(lane) for lane in row.rest]
        for lane in range(LANES):
            for k in range(CHUNKS):
                # Bytes are range-checked, so a chunk is zero only if its bytes are, and equal only if they are.
                air.require(air.is_first * before[lane][k], f"starts from zero: lane {lane}, chunk {k}")
                air.require(
                    air.is_transition * (following_before[lane][k] - more * after[lane][k]),
                    f"goes on from the permuted state: lane {lane}, chunk {k}",
                )
        air.send(KECCAK_F, row.row, 0, _lanes(row.state) + capacity, count=real)
        air.receive(KECCAK_F, row.row, ROUNDS, after, count=real)

    def _idle(self, air: Air, row: Any, real: Expression) -> None:
        """Cells that only buses pin are zero on padding rows."""
        idle = [*row.state, *row.digest, *row.digest_xor, *(cell for lane in row.rest for cell in lane)]
        for number, cell in enumerate(idle):
            air.require((1 - real) * cell, f"padding rows are zero: cell {number}")

    def _answers(self, air: Air, row: Any, following: Any, last: Expression) -> None:
        """Provide the words that begin in the block, and the digest on the last one."""
        block = row.row - row.id
        for slot in range(SLOTS):
            phases = [phase for phase in range(PHASES) if slot < WORDS[phase]]
            exists = total([row.phase[phase] for phase in phases])
            air.require((1 - exists) * row.word_count[slot], f"word {slot} begins only in some phases")
            # With block = 4 cycle + phase: index = 17 cycle + number of the phase's first word + slot.
            index = block * (WORDS_PER_CYCLE * pow(PHASES, -1, MODULUS)) + slot
            for phase in range(1, PHASES):
                offset = FIRST_WORD[phase] - WORDS_PER_CYCLE * phase * pow(PHASES, -1, MODULUS)
                index = index + row.phase[phase] * offset
            word = [air.constant(0) for _ in range(WORD_BYTES)]
            for phase in phases:
                start = WORD_BYTES * (FIRST_WORD[phase] + slot) - RATE * phase
                for i in range(WORD_BYTES):
                    if start + i < RATE:
                        word[i] = word[i] + row.phase[phase] * row.message[start + i]
                    else:
                        # The successor is another input, or none, behind the last block: zeros there.
                        word[i] = word[i] + row.phase[phase] * (1 - last) * following.message[start + i - RATE]
            air.provide(HASH_WORD, KECCAK256_FUNCTION, row.id, index, _word(word), multiplicity=row.word_count[slot])
        length = block * RATE
        for lane in range(1, RATE_LANES):
            length = length + row.end_lane[lane] * (LANE_BYTES * lane)
        for k in range(1, LANE_BYTES):
            length = length + row.end_byte[k] * k
        air.require((1 - last) * row.out_count, "only last blocks have a digest")
        air.provide(HASH_OUT, KECCAK256_FUNCTION, row.id, length, _word(row.digest), multiplicity=row.out_count)


def _lanes(cells: Sequence[Expression]) -> list[list[Expression]]:
    """Little-endian bytes as lanes in chunks."""
    lanes = []
    for start in range(0, len(cells), LANE_BYTES):
        lane, position = [], start
        for bits in CHUNK_BITS:
            lane.append(total([cells[position + i] * (1 << (8 * i)) for i in range(bits // 8)]))
            position += bits // 8
        lanes.append(lane)
    return lanes


def _word(cells: Sequence[Expression]) -> list[Expression]:
    """32 big-endian bytes as a word of little-endian 16-bit limbs."""
    return [cells[31 - 2 * j] + cells[30 - 2 * j] * 256 for j in range(WORD)]


class Inputs(HashInputs):
    """Distinct inputs of the sponge; each of their blocks is a permutation of `keccak_f`."""

    block_bytes = RATE
    least_padding = 1


@dataclass(frozen=True)
class Filled:
    """The sponge's trace and the permutations it asks `keccak_f` for: states (n, 25) `uint64` under ids (n,)."""

    matrix: Matrix
    states: Lanes
    ids: NDArray[np.uint32]


def fill(inputs: Inputs, words: NDArray[np.uint32], outs: NDArray[np.uint32]) -> Filled:
    """The table for the inputs.

    A query for a word or an id that is not there is left to unbalance its bus.

    Args:
        inputs: what is hashed.
        words: (n, 2) queried pairs (id, index), repeated as often as queried.
        outs: (n,) queried ids.
    """
    count = inputs.rows
    last = inputs.ids + inputs.blocks - 1
    position = inputs.lengths - RATE * (inputs.blocks - 1)
    first = np.repeat(inputs.ids, inputs.blocks)
    number = np.arange(count)
    phase = (number - first) % PHASES
    message = inputs.message
    before, absorbed, after = _absorb(inputs, _padded(inputs, message))

    matrix, rows = allocate(Columns, count)
    matrix[:, Columns.offsets["row"]] = np.arange(len(matrix))
    matrix[:, Columns.offsets["id"]] = np.arange(len(matrix))
    rows.id = first
    rows.phase = phase[:, None] == np.arange(PHASES)
    rows.end_lane[last, position // LANE_BYTES] = 1
    rows.end_byte[last, position % LANE_BYTES] = 1
    rows.message = message
    rows.before = _bytes(before[:, :RATE_LANES])
    rows.state = _bytes(absorbed[:, :RATE_LANES])
    rows.capacity = chunks(before[:, RATE_LANES:])
    digest = _bytes(after[:, :DIGEST_LANES])
    rows.digest = digest
    rows.digest_xor = digest[:, 0::2] ^ digest[:, 1::2]
    rows.rest = chunks(after[:, DIGEST_LANES:])
    rows.word_count = _word_counts(first, phase, words)
    rows.out_count = _out_counts(inputs, last, outs)
    return Filled(matrix, absorbed, number.astype(np.uint32))


def permutations(inputs: Inputs) -> tuple[Lanes, NDArray[np.uint32]]:
    """What the sponge asks `keccak_f` for: states (n, 25) under ids (n,), as in `Filled`."""
    _, absorbed, _ = _absorb(inputs, _padded(inputs, inputs.message))
    return absorbed, np.arange(inputs.rows, dtype=np.uint32)


def _padded(inputs: Inputs, message: NDArray[np.uint8]) -> Lanes:
    """The padded blocks as lanes (rows, 17)."""
    last = inputs.ids + inputs.blocks - 1
    padded = message.copy()
    padded[last, inputs.lengths - RATE * (inputs.blocks - 1)] += PAD_START
    padded[last, RATE - 1] += PAD_END
    lanes: Lanes = padded.view("<u8").astype(np.uint64)
    return lanes


def _bytes(lanes: Lanes) -> NDArray[np.uint8]:
    return np.ascontiguousarray(lanes).astype("<u8").view(np.uint8)


def _absorb(inputs: Inputs, padded: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """States (rows, 25) before each block, with it absorbed, and permuted: all inputs' k-th blocks at a time."""
    before = np.zeros((len(padded), LANES), dtype=np.uint64)
    absorbed, after = np.zeros_like(before), np.zeros_like(before)
    for k in range(int(inputs.blocks.max(initial=0))):
        at = inputs.ids[inputs.blocks > k] + k
        if k:
            before[at] = after[at - 1]
        state = before[at]
        state[:, :RATE_LANES] ^= padded[at]
        absorbed[at] = state
        after[at] = permute(state)
    return before, absorbed, after


def _word_counts(first: NDArray[np.int64], phase: NDArray[np.int64], words: NDArray[np.uint32]) -> NDArray[np.int64]:
    """How often each slot of each row is queried: (rows, 5)."""
    counts = np.zeros((len(first), SLOTS), dtype=np.int64)
    ids, index = words[:, 0].astype(np.int64), words[:, 1].astype(np.int64)
    row = ids + index * WORD_BYTES // RATE
    known = row < len(first)
    known[known] = first[row[known]] == ids[known]
    ids, index, row = ids[known], index[known], row[known]
    cycle = (row - ids) // PHASES
    slot = index - WORDS_PER_CYCLE * cycle - np.array(FIRST_WORD)[phase[row]]
    np.add.at(counts, (row, slot), 1)
    return counts


def _out_counts(inputs: Inputs, last: NDArray[np.int64], outs: NDArray[np.uint32]) -> NDArray[np.int64]:
    """How often the digest of each row is queried: (rows,)."""
    counts = np.zeros(inputs.rows, dtype=np.int64)
    known = outs[np.isin(outs, inputs.ids)]
    np.add.at(counts, last[np.searchsorted(inputs.ids, known)], 1)
    return counts
