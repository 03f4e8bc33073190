"""The precompile BLAKE2F.

Source: EIP-152; execution-specs `cancun/vm/precompiled_contracts/blake2f.py`.

The input has 213 bytes: rounds, state h, message m, offset t and a flag. Its words of 64 bits are little-endian, so
they are taken byte by byte out of what is read, from calldata of either kind, at the place where that lies. A call that
succeeds reads 7 words from the message's time on, one a unit of time, and writes two to the beginning of its frame's
memory; one that fails reads no more than what is wrong. `circuits.batch.precompiles` has the same as numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuits.air.derived import fill_derived
from circuits.air.expression import Expression, Operand
from circuits.air.field import INVERSE_2_16, Matrix, inverse
from circuits.air.gadgets import one_hot, range_check
from circuits.air.layout import RANGE, C, Layout, allocate, bit, byte, element, limb, nested
from circuits.air.table import Air, Table
from circuits.batch.blake2f_calls import (
    FLAG_START,
    STATE_START,
    SUCCEEDS,
    UNPAID,
    WRONG_FLAG,
    WRONG_LENGTH,
    Blake2fCalls,
)
from circuits.batch.execution import Execution
from circuits.batch.precompiles import BLAKE2F, BLAKE2F_OUTPUT, BLAKE2F_READS, BLAKE2F_SIZE, BLAKE2F_WRITES
from circuits.component import Acting
from circuits.frames.buses import BUFFER_BYTES, HALT, PRECOMPILE
from circuits.frames.calldata import CALLDATA_KIND
from circuits.frames.frames import Ending
from circuits.frames.gas import GAS_BITS, GasLimb
from circuits.functions import blake2f
from circuits.functions.bitwise_bytes import query_xor
from circuits.functions.blake2f import (
    INITIAL_VECTOR,
    MESSAGE_WORDS,
    PHASES,
    STATE_WORDS,
    VECTOR_WORDS,
    bytes_of,
    chunks_of,
)
from circuits.functions.blake2f import WORD_BYTES as BYTES
from circuits.functions.buses import BLAKE2F_ROUNDS
from circuits.instructions.copies import MEMORY_SOURCE
from circuits.memory.buses import MEMORY_BYTES
from circuits.widths import WORD, WORD_BYTES

_BUS = "precompile bus"
_READ = "memory_bytes or buffer_bytes bus"
_XOR = "bitwise_bytes bus"
#: A call that succeeds has less than 2^29 rounds, as each of them takes a row: the upper limb of their number.
_HIGH_BITS = 13
OFFSET_WORDS = 2


class Source(Layout[C]):
    """Where the input of a call lies."""

    in_memory = bit("1: in the memory of another frame, 0: in a buffer")
    id = element("which one", by=_BUS)
    start = element("first byte there", by=_BUS)

    @staticmethod
    def message(cells: Source) -> tuple[Expression, ...]:
        """Its part of the message of a frame."""
        return cells.in_memory * (MEMORY_SOURCE - CALLDATA_KIND) + CALLDATA_KIND, cells.id, cells.start

    @staticmethod
    def read(
        air: Air[Any],
        cells: Source,
        time: Operand,
        offset: Operand,
        size: Operand,
        word: Sequence[Any],
        *,
        count: Operand,
    ) -> None:
        """`word` is what `size` bytes from byte `offset` of the input on are at this time, where `count` is 1.

        Of calldata, which is less than 2^24 bytes; a buffer begins with it.
        """
        place = (cells.id, cells.start + offset, size, word)
        in_memory = cells.in_memory * count
        air.send(MEMORY_BYTES, cells.id, time, 0, *place[1:], count=in_memory)
        air.query(BUFFER_BYTES, CALLDATA_KIND, *place, count=air.graph.lift(count) - in_memory)


class Columns(Layout[C]):
    """One call that succeeds per row. Words of 64 bits are in bytes, the least significant first."""

    real = bit("1 on rows that stand for a call")
    frame = element("id of the frame", by=_BUS)
    source: Source[C] = nested(Source)
    gas = element("gas given", by=_BUS)
    time = element("time of the call", by=_BUS)
    rounds = limb("rounds in limbs, the low one first", 2, by=_READ)
    state = byte("h", (STATE_WORDS, BYTES), by=_XOR)
    message = byte("m", (MESSAGE_WORDS, BYTES), by=_XOR)
    offset = byte("t", (OFFSET_WORDS, BYTES), by=_XOR)
    last = bit("the flag f: 1 for the last block of what is hashed")
    pair_xor = byte("exclusive or of each two bytes of the message", (MESSAGE_WORDS, BYTES // 2), by=_XOR)
    mixed = byte("words 12 and 13 of the work vector before the first round", (OFFSET_WORDS, BYTES), by=_XOR)
    phase = element("the rounds modulo 10", by="blake2f_rounds bus")
    vector = byte("the work vector after the last round", (VECTOR_WORDS, BYTES), by=_XOR)
    half = byte("h, xored with the first half of that", (STATE_WORDS, BYTES), by=_XOR)
    output = byte("and with the second one", (STATE_WORDS, BYTES), by=_XOR)
    gas_limb: GasLimb = nested(GasLimb, "the gas left in limbs")


class Blake2f(Table[Columns]):
    """Calls of BLAKE2F that succeed."""

    name = "blake2f"
    row_order = "rows meet only on buses"

    def constraints(self, air: Air[Columns]) -> None:
        row, real = air.row, air.row.real
        air.receive(
            PRECOMPILE,
            row.frame, BLAKE2F, *Source.message(row.source), BLAKE2F_SIZE, row.gas, row.time,
            count=real,
        )  # fmt: skip
        air.require((1 - real) * row.source.in_memory, "padding reads nothing")
        self._input(air)

        # GAS. Rounds are below 2^29 and gas below 2^30, so their difference is above -2^29: were it negative, it would
        # not look like an amount of gas, as the modulus minus 2^29 is above 2^30.
        rounds = row.rounds[0] + row.rounds[1] * (1 << 16)
        range_check(air, row.rounds[1], _HIGH_BITS, real)
        left = row.gas - rounds
        GasLimb.constrain(air, row.gas_limb, left, real)

        # OPERATION
        initial: list[list[Any]] = [[air.constant(x) for x in _bytes(word)] for word in INITIAL_VECTOR]
        for mixed, offset, words in zip(row.mixed, row.offset, initial[4:6], strict=True):
            _xor(air, offset, words, mixed)
        inverted = [
            x + row.last * (0xFF - 2 * byte_) for x, byte_ in zip(initial[6], _bytes(INITIAL_VECTOR[6]), strict=True)
        ]
        before = [*row.state, *initial[:4], *row.mixed, inverted, initial[7]]
        message = [chunks_of(word) for word in row.message]
        after = [chunks_of(word) for word in row.vector]
        air.send(BLAKE2F_ROUNDS, row.frame, 0, 0, [chunks_of(word) for word in before], message, count=real)
        air.receive(BLAKE2F_ROUNDS, row.frame, rounds, row.phase, after, message, count=real)
        for i in range(STATE_WORDS):
            _xor(air, row.state[i], row.vector[i], row.half[i])
            _xor(air, row.half[i], row.vector[STATE_WORDS + i], row.output[i])
        written = _limbs([x for word in row.output for x in word])
        for k in range(BLAKE2F_WRITES):
            word = written[WORD * k : WORD * (k + 1)][::-1]
            time = row.time + (BLAKE2F_READS + k)
            air.send(MEMORY_BYTES, row.frame, time, 1, WORD_BYTES * k, WORD_BYTES, word, count=real)

        # The end of the frame.
        end = row.time + (BLAKE2F_READS + BLAKE2F_WRITES)
        air.send(HALT, row.frame, Ending.SUCCEEDED, left, 0, BLAKE2F_OUTPUT, end, count=real)

    @staticmethod
    def _input(air: Air[Columns]) -> None:
        """The input in limbs of two bytes: a limb is one pair of bytes. Those of h and t are looked up where used."""
        row, real = air.row, air.row.real
        for word, xors in zip(row.message, row.pair_xor, strict=True):
            for k, xor in enumerate(xors):
                query_xor(air, word[2 * k], word[2 * k + 1], xor, count=real)
        content = [x for word in (*row.state, *row.message, *row.offset) for x in word]
        limbs: list[Any] = [row.rounds[1], row.rounds[0], *_limbs(content), row.last * (1 << 8)]
        limbs += [air.constant(0)] * (WORD * BLAKE2F_READS - len(limbs))
        for k in range(BLAKE2F_READS):
            offset = WORD_BYTES * k
            size = min(WORD_BYTES, BLAKE2F_SIZE - offset)
            Source.read(air, row.source, row.time + k, offset, size, limbs[WORD * k : WORD * (k + 1)][::-1], count=real)


def _bytes(word: int) -> bytes:
    return word.to_bytes(BYTES, "little")


def _xor(air: Air[Any], left: Sequence[Any], right: Sequence[Any], result: Sequence[Any]) -> None:
    """`result` is the exclusive or of words, and all are bytes."""
    for of_byte in zip(left, right, result, strict=True):
        query_xor(air, *of_byte, count=air.row.real)


def _limbs(content: Sequence[Any]) -> list[Any]:
    """Limbs of two bytes each, the first one the upper one."""
    return [content[i] * (1 << 8) + content[i + 1] for i in range(0, len(content), 2)]


class FailedColumns(Layout[C]):
    """One call that fails per row."""

    real = bit("1 on rows that stand for a call")
    wrong_length = bit("1: the input has not 213 bytes")
    wrong_flag = bit("1: its last byte is neither 0 nor 1")
    unpaid = bit("1: it asks for more rounds than there is gas")
    frame = element("id of the frame", by=_BUS)
    source: Source[C] = nested(Source)
    size = element("bytes of the input", by=_BUS)
    gas = element("gas given", by=_BUS)
    time = element("time of the call", by=_BUS)
    low = limb("low limb of the rounds, or 0", by=_READ)
    high = limb("high limb of the rounds, or the flag as the upper byte, or 0", by=_READ)
    wrong = element(
        "what is not 0 where length or flag are wrong",
        equals=lambda row: (
            row.wrong_length * (row.size - BLAKE2F_SIZE) + row.wrong_flag * row.high * (row.high - (1 << 8))
        ),
    )
    inverse = element("its inverse, or 0", by="wrong * inverse = 1, or 0")
    gas_low = limb("low limb of the gas where it lacks, or 0", by=RANGE)
    lack = limb("rounds - gas - 1 where gas lacks, in limbs, or 0", 2, by=RANGE)
    carry = bit("carry out of the low limb of gas + 1 + lack")


class Blake2fFailed(Table[FailedColumns]):
    """Calls of BLAKE2F that fail; where there is more than one reason, any of them is as good."""

    name = "blake2f_failed"
    row_order = "rows meet only on buses"

    def constraints(self, air: Air[FailedColumns]) -> None:
        row, real = air.row, air.row.real
        one_hot(air, [row.wrong_length, row.wrong_flag, row.unpaid], real, "reason")
        source = Source.message(row.source)
        air.receive(PRECOMPILE, row.frame, BLAKE2F, *source, row.size, row.gas, row.time, count=real)
        air.require((1 - real) * row.source.in_memory, "padding reads nothing")

        # What is read: the flag or the number of rounds.
        reads = real - row.wrong_length
        air.require(reads * (row.size - BLAKE2F_SIZE), "the length is right")
        offset = row.wrong_flag * FLAG_START
        size = row.wrong_flag + row.unpaid * STATE_START
        word = [air.constant(0)] * (WORD - 2) + [row.low, row.high]
        Source.read(air, row.source, row.time, offset, size, word, count=reads)
        air.require((1 - reads) * row.low, "nothing is read: low limb")
        air.require((1 - reads) * row.high, "nothing is read: high limb")

        # A size is at most 2^24, so that its difference is not 0 in the field, either. Where the flag is read, `high`
        # is 2^8 times the byte.
        inverted = row.wrong_length + row.wrong_flag
        air.require(row.wrong * row.inverse - inverted, "length or flag is wrong")
        air.require((1 - inverted) * row.inverse, "no inverse")

        # Rounds = gas + 1 + lack over limbs, so over integers below 2^32.
        gas_high = (row.gas - row.gas_low) * INVERSE_2_16
        range_check(air, gas_high, GAS_BITS - 16, row.unpaid)
        air.require(row.unpaid * (row.gas_low + 1 + row.lack[0] - row.low - row.carry * (1 << 16)), "lack: low limb")
        air.require(row.unpaid * (gas_high + row.lack[1] + row.carry - row.high), "lack: high limb")
        for number, cell in enumerate((row.gas_low, *row.lack, row.carry)):
            air.require((1 - row.unpaid) * cell, f"no lack: cell {number}")

        ending = inverted * Ending.HALTED + row.unpaid * Ending.UNPAID
        air.send(HALT, row.frame, ending, 0, 0, 0, row.time + reads, count=real)


def fill(execution: Execution) -> Matrix | None:
    """All calls that succeed."""
    calls = Blake2fCalls.of(execution)
    at = calls.succeeding
    if not len(at):
        return None
    matrix, rows = allocate(Columns, len(at))
    rows.real = 1
    _fill_source(rows.source, calls, at)
    for name in ("frame", "gas", "time"):
        setattr(rows, name, getattr(calls, name)[at])
    inputs, rounds = calls.inputs, calls.rounds[at]
    rows.rounds = np.stack([rounds & 0xFFFF, rounds >> 16], axis=1)
    state = STATE_START + STATE_WORDS * BYTES
    offset = state + MESSAGE_WORDS * BYTES
    rows.state = inputs[:, STATE_START:state].reshape(-1, STATE_WORDS, BYTES)
    message = inputs[:, state:offset].reshape(-1, MESSAGE_WORDS, BYTES)
    rows.message = message
    rows.pair_xor = message[:, :, ::2] ^ message[:, :, 1::2]
    rows.offset = inputs[:, offset:FLAG_START].reshape(-1, OFFSET_WORDS, BYTES)
    rows.last = inputs[:, FLAG_START]
    rows.mixed = bytes_of(calls.vectors[:, 12:14])
    rows.phase = rounds % PHASES
    final = bytes_of(calls.worked[1])
    rows.vector = final
    rows.half = rows.state ^ final[:, :STATE_WORDS]
    rows.output = bytes_of(calls.output)
    GasLimb.fill(rows.gas_limb, calls.gas[at] - rounds)
    return matrix


def fill_failed(execution: Execution) -> Matrix | None:
    """All calls that fail."""
    calls = Blake2fCalls.of(execution)
    at = np.flatnonzero(calls.ending != SUCCEEDS)
    if not len(at):
        return None
    matrix, rows = allocate(FailedColumns, len(at))
    rows.real = 1
    ending, gas = calls.ending[at], calls.gas[at]
    rows.wrong_length, rows.wrong_flag, rows.unpaid = (ending == x for x in (WRONG_LENGTH, WRONG_FLAG, UNPAID))
    _fill_source(rows.source, calls, at)
    for name in ("frame", "size", "gas", "time"):
        setattr(rows, name, getattr(calls, name)[at])
    flags = np.array([calls.data[row][-1:].ljust(1, b"\0")[0] for row in at.tolist()], dtype=np.int64)
    unpaid = ending == UNPAID
    rounds = calls.rounds[at] * unpaid
    rows.low = rounds & 0xFFFF
    rows.high = np.where(ending == WRONG_FLAG, flags << 8, rounds >> 16)
    lack = (rounds - gas - 1) * unpaid
    rows.gas_low = (gas & 0xFFFF) * unpaid
    rows.lack = np.stack([lack & 0xFFFF, lack >> 16], axis=1)
    rows.carry = unpaid & ((gas & 0xFFFF) + 1 + (lack & 0xFFFF) > 0xFFFF)
    fill_derived(rows)
    rows.inverse = inverse(rows.wrong.astype(np.uint64))
    return matrix


def _fill_source(cells: Any, calls: Blake2fCalls, at: Any) -> None:
    cells.in_memory, cells.id, cells.start = calls.in_memory[at], calls.source[at], calls.start[at]


def fill_rounds(execution: Execution) -> Matrix | None:
    """All rounds of the calls that succeed."""
    calls = Blake2fCalls.of(execution)
    at = calls.succeeding
    return blake2f.fill(calls.worked[0], calls.messages, calls.rounds[at], calls.frame[at])


COMPONENTS = (
    Acting(Blake2f(), fill),
    Acting(Blake2fFailed(), fill_failed),
    Acting(blake2f.Blake2fRounds(), fill_rounds),
)
