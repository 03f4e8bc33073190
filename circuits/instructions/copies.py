"""Reads and copies of buffers and memory: CALLDATALOAD, CALLDATACOPY, CODECOPY, MCOPY.

Source: execution-specs `cancun/vm/instructions/environment.py` and `memory.py`.

An instruction pays for a copy and sends one token; the rows of the table `copy` move 32 bytes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import IsZero, select, total
from circuits.air.layout import Layout, allocate, bit, byte, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution, Integers, small_integers
from circuits.batch.frame_data import CALLDATA_BUFFER, FAR, FrameData, steps_with_calldata
from circuits.component import Acting, Answering
from circuits.frames.buses import BUFFER_BYTES, CALLDATA_OF
from circuits.frames.calldata import CALLDATA_KIND
from circuits.frames.code import CODE_KIND
from circuits.frames.gas import Charge
from circuits.functions.bitwise_bytes import query_xor
from circuits.instructions.buses import COPY
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.limbs import Limbs
from circuits.memory.buses import EXPANSION, MEMORY_BYTES
from circuits.memory.expansion import expand
from circuits.memory.memory_view import History
from circuits.widths import WORD, WORD_BYTES
from executor.opcodes import OPCODES

GAS_BASE = 2
GAS_VERY_LOW = 3
GAS_COPY = 3  # per word

#: Sources of copies that are no kinds of buffers: the memory of a frame, and zeros.
MEMORY_SOURCE, ZEROS_SOURCE = 2, 3

EXPANSION_BUS = "expansion bus"
_INVERSE_256 = pow(1 << 8, -1, MODULUS)
_INVERSE_32 = pow(WORD_BYTES, -1, MODULUS)
_WORDS_PER_HIGH_LIMB = (1 << 16) // WORD_BYTES


class Place(Layout):
    """A place in a buffer, given by any word: places from 2^24 on, behind the end of every buffer, become 2^24."""

    low = byte("low byte of the second limb", by="bitwise_bytes bus")
    xor = element("exclusive or of the second limb's bytes", by="bitwise_bytes bus")
    near = nested(IsZero, "whether the place is below 2^24: nothing stands above that byte")

    @staticmethod
    def constrain(air: Air, cells: Any, word: Sequence[Any]) -> Expression:
        """The place in [0, 2^24] that the word, limbs by its owner, stands for."""
        real = air.row.real
        # Two bytes with low + 2^8 high = limb: the only ones.
        high = (word[1] - cells.low) * _INVERSE_256
        query_xor(air, high, cells.low, cells.xor, count=real)
        # At most 14 * 2^16 + 2^8: 0 only if everything is.
        IsZero.constrain(air, cells.near, total([*word[2:], high]), when=real, name="near")
        return select(cells.near.zero, word[0] + cells.low * (1 << 16), FAR)

    @staticmethod
    def fill(cells: Any, word: Limbs) -> Integers:
        """`word`: (rows, 16). Returns the places (rows,)."""
        limbs = word.astype(np.int64)
        high = limbs[:, 1] >> 8
        cells.low = limbs[:, 1] & 0xFF
        cells.xor = high ^ (limbs[:, 1] & 0xFF)
        IsZero.fill(cells.near, (limbs[:, 2:].sum(axis=1) + high).astype(np.uint64))
        return np.minimum(small_integers(word), FAR)


class Size(Layout):
    """The number of bytes that an instruction moves, below 2^25 where it is used."""

    limbs = limb("the size", 2, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)
    room = element("bytes that the last word of this size has left, 0..31", by="bitwise_bytes bus")
    xor = element("exclusive or of room and 8 room", by="bitwise_bytes bus")
    empty = nested(IsZero, "whether the size is 0")

    @staticmethod
    def constrain(air: Air, cells: Any) -> tuple[Expression, Expression]:
        """The size and the number of words that hold as many bytes."""
        real = air.row.real
        low, high = cells.limbs
        # The sum of two limbs is 0 only if both are; 2^16 high + low could be the modulus.
        IsZero.constrain(air, cells.empty, low + high, when=real, name="empty")
        # A byte whose 8-fold is a byte is below 32. The quotient is a limb, so 32 times it does not wrap.
        query_xor(air, cells.room, cells.room * 8, cells.xor, count=real)
        low_words = (low + cells.room) * _INVERSE_32
        air.query(RANGE16, low_words, count=real)
        return low + high * (1 << 16), low_words + high * _WORDS_PER_HIGH_LIMB

    @staticmethod
    def fill(cells: Any, execution: Execution, steps: Integers, operand: int) -> Integers:
        """The size is this operand of the steps, below 2^32. Returns the sizes (rows,)."""
        word = execution.operand(steps, operand)
        size = small_integers(word)
        room = -size % WORD_BYTES
        cells.limbs = word[:, :2]
        cells.then = execution.operand_time(steps, operand)
        cells.room = room
        cells.xor = room ^ room * 8
        IsZero.fill(cells.empty, word[:, :2].astype(np.uint64).sum(axis=1))
        return size


def constrain_reach(air: Air, offset: Sequence[Any], size: Any, count: Expression) -> Expression:
    """The bytes that memory must have for an access to a word's offset; 0 where `count` is 0, as for an empty one.

    `size`: the cells of a `Size`. The `expansion` bus accepts only up to 2^24.
    """
    air.require(count * total(offset[2:]), "the offset has two limbs")
    # The sum of two limbs is below 2^17. Below 2^9, it leaves offset + size below 2^26, which does not wrap.
    air.query(RANGE16, (offset[1] + size.limbs[1]) * (1 << 7), count=count)
    low, high = offset[0] + size.limbs[0], offset[1] + size.limbs[1]
    end: Expression = count * (low + high * (1 << 16))
    return end


def calldata_of(execution: Execution, steps: Integers) -> Integers:
    """Ids of the calldata that these steps read, (n,)."""
    return FrameData.of(execution).calldata_id[execution.frame[steps] - 1]


class LoadColumns(Step):
    """One CALLDATALOAD per row."""

    offset = limb("where to read", WORD, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)
    place = nested(Place)
    calldata = element("id of the calldata", by="context_of bus")
    word = limb("32 bytes of calldata", WORD, by="buffer_bytes bus")


class Calldataload(InstructionTable):
    """CALLDATALOAD of a buffer."""

    name = "calldataload"
    layout = LoadColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, OPCODES["CALLDATALOAD"])
        # OPERATION
        place = Place.constrain(air, row.place, row.offset)
        air.query(CALLDATA_OF, row.frame, CALLDATA_BUFFER, row.calldata, 0, 0, count=real)
        air.query(BUFFER_BYTES, CALLDATA_KIND, row.calldata, place, WORD_BYTES, row.word, count=real)
        # STACK
        self.pop(air, 0, row.offset, row.then)
        self.push(air, 1, row.word)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=0, gas=GAS_VERY_LOW)


def fill_calldataload(execution: Execution) -> Matrix | None:
    """All steps of CALLDATALOAD in frames whose calldata is a buffer."""
    steps = steps_with_calldata(execution, CALLDATA_BUFFER, execution.rows(OPCODES["CALLDATALOAD"]))
    if not len(steps):
        return None
    matrix, rows = allocate(LoadColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.offset = execution.operand(steps, 0)
    rows.then = execution.operand_time(steps, 0)
    Place.fill(rows.place, execution.operand(steps, 0))
    rows.calldata = calldata_of(execution, steps)
    rows.word = execution.result(steps)
    return matrix


class BufferCopyColumns(Step):
    """One CALLDATACOPY or CODECOPY per row."""

    is_code = bit("1: CODECOPY")
    id = element("id of the calldata or code", by="context_of bus, or the step's code")
    to = limb("where to write", WORD, by=STACK_BUS)
    to_then = element("time of its push", by=STACK_BUS)
    start = limb("where to read", WORD, by=STACK_BUS)
    start_then = element("time of its push", by=STACK_BUS)
    place = nested(Place)
    size = nested(Size)
    words_after = element("words of memory afterwards", by=EXPANSION_BUS)
    expansion = element("gas of the memory's growth", by=EXPANSION_BUS)
    charge = nested(Charge)


class BufferCopy(InstructionTable):
    """CALLDATACOPY of a buffer, and CODECOPY."""

    name = "buffer_copy"
    layout = BufferCopyColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        opcodes = OPCODES["CALLDATACOPY"], OPCODES["CODECOPY"]
        self.begin(air, opcodes[0] + row.is_code * (opcodes[1] - opcodes[0]))
        air.require(row.is_code * (1 - real), "padding copies no code")
        # STACK
        self.pop(air, 0, row.to, row.to_then)
        self.pop(air, 1, row.start, row.start_then)
        self.pop(air, 2, row.size.limbs, row.size.then)
        # GAS. Sizes are below 2^25, words at most 2^20, and the expansion costs at most 2^29 + 2^21.
        size, words = Size.constrain(air, row.size)
        end = constrain_reach(air, row.to, row.size, real - row.size.empty.zero)
        air.query(EXPANSION, row.memory_words, end, row.words_after, row.expansion, count=real)
        cost = real * GAS_VERY_LOW + words * GAS_COPY + row.expansion
        Charge.constrain(air, row.charge, row.gas, cost)
        succeeds = real - row.charge.fails
        # OPERATION
        air.query(CALLDATA_OF, row.frame, CALLDATA_BUFFER, row.id, 0, 0, count=real - row.is_code)
        air.require(row.is_code * (row.id - row.code), "CODECOPY reads the code that runs")
        place = Place.constrain(air, row.place, row.start)
        source = row.is_code * (CODE_KIND - CALLDATA_KIND) + CALLDATA_KIND
        first = row.time + 1
        moves = succeeds * (1 - row.size.empty.zero)
        to = row.to[0] + row.to[1] * (1 << 16)
        air.send(COPY, row.frame, first, first, source, row.id, place, to, size, count=moves)
        # PROGRAM COUNTER
        self.proceed(air, stack=-3, gas=cost, memory_words=row.words_after, duration=words + 1, count=succeeds)
        self.fail(air, row.charge.fails)


def fill_buffer_copy(execution: Execution) -> Matrix | None:
    """All steps of CODECOPY, and of CALLDATACOPY in frames whose calldata is a buffer.

    As far as they do not reach beyond the memory.
    """
    loads = steps_with_calldata(execution, CALLDATA_BUFFER, execution.rows(OPCODES["CALLDATACOPY"]))
    steps = np.sort(np.concatenate([loads, execution.rows(OPCODES["CODECOPY"])]))
    if not len(steps):
        return None
    matrix, rows = allocate(BufferCopyColumns, len(steps))
    fill_step(rows, execution, steps)
    is_code = execution.opcode[steps] == OPCODES["CODECOPY"]
    rows.is_code = is_code
    rows.id = np.where(is_code, execution.code[steps], calldata_of(execution, steps))
    rows.to = execution.operand(steps, 0)
    rows.to_then = execution.operand_time(steps, 0)
    rows.start = execution.operand(steps, 1)
    rows.start_then = execution.operand_time(steps, 1)
    Place.fill(rows.place, execution.operand(steps, 1))
    size = Size.fill(rows.size, execution, steps, 2)
    end = np.where(size == 0, 0, small_integers(execution.operand(steps, 0)) + size)
    after, expansion = expand(execution.memory_words[steps], end)
    rows.words_after = after
    rows.expansion = expansion
    Charge.fill(rows.charge, execution.gas[steps], copy_gas(size) + expansion)
    return matrix


def copy_gas(size: Integers) -> Integers:
    """What copies of so many bytes (n,) cost beyond the memory."""
    return GAS_VERY_LOW + GAS_COPY * -(-size // WORD_BYTES)


class McopyColumns(Step):
    """One MCOPY per row."""

    to = limb("where to write", WORD, by=STACK_BUS)
    to_then = element("time of its push", by=STACK_BUS)
    start = limb("where to read", WORD, by=STACK_BUS)
    start_then = element("time of its push", by=STACK_BUS)
    size = nested(Size)
    words_between = element("words of memory that has grown for the reads only", by=EXPANSION_BUS)
    read_expansion = element("gas of that growth", by=EXPANSION_BUS)
    words_after = element("words of memory afterwards", by=EXPANSION_BUS)
    write_expansion = element("gas of the further growth", by=EXPANSION_BUS)
    charge = nested(Charge)


class Mcopy(InstructionTable):
    """MCOPY (EIP-5656)."""

    name = "mcopy"
    layout = McopyColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, OPCODES["MCOPY"])
        # STACK
        self.pop(air, 0, row.to, row.to_then)
        self.pop(air, 1, row.start, row.start_then)
        self.pop(air, 2, row.size.limbs, row.size.then)
        # GAS. Memory grows for what lies further: growing for one after the other costs the same. Bounds as for the
        # other copies, since both growths together cost what the memory of words_after costs at most.
        size, words = Size.constrain(air, row.size)
        moving = real - row.size.empty.zero
        read_end = constrain_reach(air, row.start, row.size, moving)
        write_end = constrain_reach(air, row.to, row.size, moving)
        between = row.words_between
        air.query(EXPANSION, row.memory_words, read_end, between, row.read_expansion, count=real)
        air.query(EXPANSION, between, write_end, row.words_after, row.write_expansion, count=real)
        cost = real * GAS_VERY_LOW + words * GAS_COPY + row.read_expansion + row.write_expansion
        Charge.constrain(air, row.charge, row.gas, cost)
        succeeds = real - row.charge.fails
        # OPERATION. All words are read before the first one is written.
        start, to = (x[0] + x[1] * (1 << 16) for x in (row.start, row.to))
        first = row.time + 1
        moves = succeeds * (1 - row.size.empty.zero)
        air.send(COPY, row.frame, first, first + words, MEMORY_SOURCE, row.frame, start, to, size, count=moves)
        # PROGRAM COUNTER
        self.proceed(air, stack=-3, gas=cost, memory_words=row.words_after, duration=words * 2 + 1, count=succeeds)
        self.fail(air, row.charge.fails)


def fill_mcopy(execution: Execution) -> Matrix | None:
    """All steps of MCOPY, as far as they do not reach beyond the memory."""
    steps = execution.rows(OPCODES["MCOPY"])
    if not len(steps):
        return None
    matrix, rows = allocate(McopyColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.to = execution.operand(steps, 0)
    rows.to_then = execution.operand_time(steps, 0)
    rows.start = execution.operand(steps, 1)
    rows.start_then = execution.operand_time(steps, 1)
    size = Size.fill(rows.size, execution, steps, 2)
    write_end, read_end = (
        np.where(size == 0, 0, small_integers(execution.operand(steps, operand)) + size) for operand in (0, 1)
    )
    between, read_expansion = expand(execution.memory_words[steps], read_end)
    after, write_expansion = expand(between, write_end)
    rows.words_between = between
    rows.read_expansion = read_expansion
    rows.words_after = after
    rows.write_expansion = write_expansion
    Charge.fill(rows.charge, execution.gas[steps], copy_gas(size) + read_expansion + write_expansion)
    return matrix


_BUS = "copy bus"


class CopyColumns(Layout):
    """Up to 32 bytes that move."""

    real = bit("1 on rows that move bytes")
    last = bit("1 on the last row of a copy, which moves what is left")
    is_code = bit("1: the source is a code")
    is_memory = bit("1: the source is memory")
    is_zeros = bit("1: there is no source, zeros are written")
    frame = element("id of the frame whose memory is written", by=_BUS)
    read_time = element("time of the read", by=_BUS)
    write_time = element("time of the write", by=_BUS)
    id = element("id of the calldata, the code, or the frame whose memory is read", by=_BUS)
    start = element("first byte to read", by=_BUS)
    to = element("first byte to write", by=_BUS)
    left = element("bytes left, those of this row included", by=_BUS)
    xor = element("exclusive or of left - 1 and 8 (left - 1) on the last row", by="bitwise_bytes bus, or 0")
    word = limb(
        "the bytes from the most significant on, zeros behind", WORD, by="buffer_bytes or memory_bytes bus, or 0"
    )


class Copy(Table):
    """Copies to memory.

    Every row but the last moves 32 bytes, and the last one 1 to 32. That rows end where they should needs no check
    on the others: `left` falls by 32 with each row, from at most 2^24, and the table has at most 2^22 rows: too few
    to come around the modulus, so of a copy only the row where `left` is in 1..32 can be the last one.
    """

    name = "copy"
    layout = CopyColumns
    row_order = "rows meet only on the copy bus"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        for flag in ("last", "is_code", "is_memory", "is_zeros"):
            air.require(getattr(row, flag) * (1 - real), f"padding: {flag}")
        # Of three bits no two are 1.
        air.require(row.is_code * row.is_memory + (row.is_code + row.is_memory) * row.is_zeros, "one source")
        source = row.is_code * CODE_KIND + row.is_memory * MEMORY_SOURCE + row.is_zeros * ZEROS_SOURCE
        token = (row.frame, row.read_time, row.write_time, source, row.id, row.start, row.to, row.left)
        rest = (
            row.frame,
            row.read_time + 1,
            row.write_time + 1,
            source,
            row.id,
            row.start + WORD_BYTES,
            row.to + WORD_BYTES,
            row.left - WORD_BYTES,
        )
        air.receive(COPY, *token, count=real)
        air.send(COPY, *rest, count=real - row.last)
        # A byte whose 8-fold is a byte is below 32.
        query_xor(air, row.left - 1, (row.left - 1) * 8, row.xor, count=row.last)
        air.require((1 - row.last) * row.xor, "idle exclusive or")
        size = select(row.last, row.left, WORD_BYTES)
        buffers = real - row.is_memory - row.is_zeros
        air.query(BUFFER_BYTES, row.is_code * CODE_KIND, row.id, row.start, size, row.word, count=buffers)
        air.send(MEMORY_BYTES, row.id, row.read_time, 0, row.start, size, row.word, count=row.is_memory)
        air.require_equal(row.word, [0] * WORD, "zeros", when=row.is_zeros)
        air.send(MEMORY_BYTES, row.frame, row.write_time, 1, row.to, size, row.word, count=real)


def fill_copy(execution: Execution, tokens: NDArray[np.uint32]) -> Matrix | None:
    """The rows of all copies; `tokens` (n, 8): what instructions send on the copy bus."""
    if not len(tokens):
        return None
    tokens = tokens.astype(np.int64)
    left = tokens[:, 7]
    # What no honest instruction asks for is not copied, and its token never received.
    tokens = tokens[(left >= 1) & (left <= FAR)]
    counts = -(-tokens[:, 7] // WORD_BYTES)
    number = np.repeat(np.arange(len(tokens)), counts)
    part = np.arange(len(number)) - np.repeat(np.cumsum(counts) - counts, counts)
    frame, read_time, write_time, source, id_, start, to, left = tokens[number].T
    matrix, rows = allocate(CopyColumns, len(number))
    left = left - WORD_BYTES * part
    rows.real = 1
    rows.last = left <= WORD_BYTES
    rows.is_code = source == CODE_KIND
    rows.is_memory = source == MEMORY_SOURCE
    rows.is_zeros = source == ZEROS_SOURCE
    rows.frame = frame
    rows.read_time = read_time + part
    rows.write_time = write_time + part
    rows.id = id_
    rows.start = start + WORD_BYTES * part
    rows.to = to + WORD_BYTES * part
    rows.left = left
    rows.xor = np.where(left <= WORD_BYTES, (left - 1) ^ (left - 1) * 8, 0)
    rows.word = History.of(execution).written(rows.write_time.astype(np.int64), rows.to.astype(np.int64))
    return matrix


COMPONENTS = (
    Acting(Calldataload(), fill_calldataload),
    Acting(BufferCopy(), fill_buffer_copy),
    Acting(Mcopy(), fill_mcopy),
)
#: Behind all instructions that send tokens, EXTCODECOPY included.
COPY_COMPONENTS = (Answering(Copy(), COPY, fill_copy),)
