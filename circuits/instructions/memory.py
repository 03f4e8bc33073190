"""Memory instructions: MLOAD, MSTORE and MSTORE8.

Source: execution-specs `cancun/vm/instructions/memory.py`.

An access to a whole word near the beginning of the memory is made by `load_aligned` or `store_aligned` itself; any
other one, and every step that fails for want of gas, is a row of `memory_general`, which leaves the access to the
tables behind the memory_bytes bus.
"""

from __future__ import annotations

import numpy as np

from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import allocate, bit, byte, element, limb, nested
from circuits.air.range_buses import BYTE_RANGE_FACTOR, RANGE16
from circuits.air.table import Air
from circuits.batch.execution import Execution, small_integers
from circuits.component import Acting
from circuits.frames.gas import Charge
from circuits.functions.bitwise_bytes import query_xor
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.memory.buses import EXPANSION, MEMORY, MEMORY_BYTES
from circuits.memory.expansion import expand
from circuits.memory.memory_view import MLOAD, MSTORE, MSTORE8, MemoryView
from circuits.widths import WORD, WORD_BYTES

GAS_VERY_LOW = 3

#: An offset in memory has this many limbs; with 24 bits the upper one is a byte.
OFFSET_LIMBS = 2
_INVERSE_256 = pow(256, -1, MODULUS)


class LoadColumns(Step):
    """One access to a whole word per row."""

    index = element("which word; 32 times it is the offset, a limb", by="stack bus and a range check")
    offset_then = element("time of the offset's push", by=STACK_BUS)
    word = limb("the word in memory before", WORD, by="memory bus")
    word_then = element("time of its token", by="memory bus")
    grows = bit("1 when the memory grows")
    cost = element("gas that growing costs", by="expansion bus")


class StoreColumns(LoadColumns):
    """And what replaces it."""

    stored = limb("what is stored", WORD, by=STACK_BUS)
    stored_then = element("time of its push", by=STACK_BUS)


class Aligned(InstructionTable):
    """MLOAD or MSTORE with an offset that is a multiple of 32 below 2^16, if it succeeds.

    There is no `Charge`: sizes that these steps grow to are at most 2^11 words, and a frame's memory never shrinks, so
    all of them together cost a frame at most 3 * 2^11 + 2^22 / 512 = 14336 gas beyond 3 gas a step: far within what
    the argument of `circuits.frames.gas` leaves for unchecked gas.
    """

    def __init__(self, name: str, opcode: int, layout: type[LoadColumns]) -> None:
        super().__init__(name, layout)
        self.opcode = opcode

    def constraints(self, air: Air) -> None:
        row, real, grows = air.row, air.row.real, air.row.grows
        stores = self.opcode == MSTORE
        self.begin(air, self.opcode)
        air.require(grows * (1 - real), "padding does not grow")
        # STACK
        self.pop(air, 0, [row.index * WORD_BYTES], row.offset_then)
        if stores:
            self.pop(air, 1, row.stored, row.stored_then)
        else:
            self.push(air, 1, row.word)
        # GAS
        # memory_words is in 0..2^19: by this limb the index is an integer from -2^16 on and below 2^20, so 32 times it,
        # which is a limb, does not wrap. It says that the index lies within the memory, or behind it.
        room = row.memory_words - row.index - 1
        air.query(RANGE16, room - grows * (room * 2 + 1), count=real)
        air.query(EXPANSION, row.memory_words, (row.index + 1) * WORD_BYTES, row.index + 1, row.cost, count=grows)
        air.require(row.cost * (1 - grows), "no cost without growth")
        # OPERATION
        air.receive(MEMORY, row.frame, row.index, row.word, row.word_then, count=real)
        air.query(RANGE16, row.time - row.word_then - 1, count=real)
        air.send(MEMORY, row.frame, row.index, row.stored if stores else row.word, row.time, count=real)
        # PROGRAM COUNTER
        self.proceed(
            air,
            stack=-2 if stores else 0,
            gas=row.cost + GAS_VERY_LOW,
            memory_words=row.memory_words + grows * (row.index + 1 - row.memory_words),
        )


LOAD_ALIGNED = Aligned("load_aligned", MLOAD, LoadColumns)
STORE_ALIGNED = Aligned("store_aligned", MSTORE, StoreColumns)


def _fill_aligned(execution: Execution, table: Aligned) -> Matrix | None:
    """All steps of the table's instruction whose access is direct."""
    view = MemoryView.of(execution)
    chosen = np.flatnonzero(view.requests.direct)
    chosen = chosen[execution.opcode[view.requests.step[chosen]] == table.opcode]
    if not len(chosen):
        return None
    steps, accesses = view.requests.step[chosen], view.at(view.requests.first[chosen])
    matrix, rows = allocate(table.layout, len(steps))
    fill_step(rows, execution, steps)
    index, words = accesses.index, execution.memory_words[steps]
    rows.index = index
    rows.offset_then = execution.operand_time(steps, 0)
    rows.word = accesses.before
    rows.word_then = accesses.then
    rows.grows = index >= words
    rows.cost = expand(words, WORD_BYTES * (index + 1))[1]
    if table.opcode == MSTORE:
        rows.stored = accesses.after
        rows.stored_then = execution.operand_time(steps, 1)
    return matrix


class GeneralColumns(Step):
    """One MLOAD, MSTORE or MSTORE8 per row."""

    is_store = bit("1: MSTORE")
    is_store8 = bit("1: MSTORE8; neither: MLOAD")
    offset = limb("first byte of the access, the other limbs are 0", OFFSET_LIMBS, by=STACK_BUS)
    offset_then = element("time of its push", by=STACK_BUS)
    word = limb("what is stored or loaded; 0 for a load that fails", WORD, by="stack bus; MLOAD: memory_bytes bus")
    word_then = element("time of the stored word's push", by=STACK_BUS)
    low = byte("MSTORE8: the byte that is stored", by="bitwise_bytes bus")
    low_xor = byte("exclusive or with the byte above it", by="bitwise_bytes bus")
    after = element("words of memory afterwards", by="expansion bus")
    expansion = element("gas that growing costs", by="expansion bus")
    charge = nested(Charge, "whether the gas is there")


class MemoryGeneral(InstructionTable):
    """MLOAD, MSTORE and MSTORE8 of any bytes below 2^24, and their failures for want of gas."""

    name = "memory_general"
    layout = GeneralColumns

    def constraints(self, air: Air) -> None:
        row, real, fails = air.row, air.row.real, air.row.charge.fails
        is_store, is_store8 = row.is_store, row.is_store8
        stores, succeeds = is_store + is_store8, real - fails
        air.require(is_store * is_store8, "one instruction")
        air.require(stores * (1 - real), "padding does not store")
        self.begin(air, MLOAD + is_store * (MSTORE - MLOAD) + is_store8 * (MSTORE8 - MLOAD))
        # STACK
        self.pop(air, 0, row.offset, row.offset_then)
        self.pop(air, 1, row.word, row.word_then, stores)
        air.require(row.word_then * (1 - stores), "MLOAD pops one word")
        # The upper limb is a byte, so the offset is an integer below 2^24.
        air.query(RANGE16, row.offset[1] * BYTE_RANGE_FACTOR, count=real)
        offset = row.offset[0] + row.offset[1] * (1 << 16)
        # GAS
        size = WORD_BYTES - is_store8 * (WORD_BYTES - 1)
        air.query(EXPANSION, row.memory_words, offset + size, row.after, row.expansion, count=real)
        Charge.constrain(air, row.charge, row.gas, row.expansion + real * GAS_VERY_LOW)
        # OPERATION
        # MSTORE8 stores the lowest byte, which leads the word of its request.
        query_xor(air, row.low, (row.word[0] - row.low) * _INVERSE_256, row.low_xor, count=is_store8)
        air.require(row.low * (1 - is_store8), "no single byte")
        air.require(row.low_xor * (1 - is_store8), "no pair of bytes")
        moved = [limb_ * (1 - is_store8) for limb_ in row.word]
        moved[-1] = moved[-1] + row.low * 256
        air.send(MEMORY_BYTES, row.frame, row.time, stores, offset, size, moved, count=succeeds)
        failing_load = fails * (1 - stores)
        for i, limb_ in enumerate(row.word):
            air.require(failing_load * limb_, f"nothing is loaded by a load that fails: limb {i}")
        self.push(air, 1, row.word, succeeds * (1 - stores))
        # PROGRAM COUNTER
        self.proceed(
            air,
            stack=stores * -2,
            gas=row.expansion + GAS_VERY_LOW,
            memory_words=row.after,
            count=succeeds,
        )
        self.fail(air, fails)


def fill_memory_general(execution: Execution) -> Matrix | None:
    """All steps that access more or less than a word near the beginning, or fail."""
    requests = MemoryView.of(execution).requests
    steps = np.setdiff1d(execution.rows(MLOAD, MSTORE, MSTORE8), requests.step[requests.direct])
    if not len(steps):
        return None
    matrix, rows = allocate(GeneralColumns, len(steps))
    fill_step(rows, execution, steps)
    opcode = execution.opcode[steps]
    stores, loads = opcode != MLOAD, (opcode == MLOAD) & ~execution.failed[steps]
    offset = execution.operand(steps, 0)
    rows.is_store = opcode == MSTORE
    rows.is_store8 = opcode == MSTORE8
    rows.offset = offset[:, :OFFSET_LIMBS]
    rows.offset_then = execution.operand_time(steps, 0)
    rows.word[stores] = execution.operand(steps[stores], 1)
    rows.word[loads] = execution.result(steps[loads])
    rows.word_then = np.where(stores, execution.operand_time(steps, 1), 0)
    lowest = np.where(opcode == MSTORE8, rows.word[:, 0], 0)
    rows.low = lowest & 0xFF
    rows.low_xor = lowest >> 8 ^ lowest & 0xFF
    end = small_integers(offset) + np.where(opcode == MSTORE8, 1, WORD_BYTES)
    after, cost = expand(execution.memory_words[steps], end)
    rows.after = after
    rows.expansion = cost
    Charge.fill(rows.charge, execution.gas[steps], cost + GAS_VERY_LOW)
    return matrix


COMPONENTS = (
    Acting(LOAD_ALIGNED, lambda execution: _fill_aligned(execution, LOAD_ALIGNED)),
    Acting(STORE_ALIGNED, lambda execution: _fill_aligned(execution, STORE_ALIGNED)),
    Acting(MemoryGeneral(), fill_memory_general),
)
