"""CALLDATALOAD and CALLDATACOPY in frames that other frames call: their calldata lies in the memory of the caller.

Source: execution-specs `cancun/vm/instructions/environment.py`.

The caller is not running meanwhile, so its memory is what it was when it called. Reading it is an access like any
other, at the time of the step that reads. Calldata of `size` bytes from `start` on ends at 2^24 at most (see
`circuits.frames.buses.MESSAGE`), and what lies behind its end is never read: there are zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits.air.field import Matrix
from circuits.air.layout import allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import Execution, Integers, small_integers
from circuits.batch.frame_data import CALLDATA_MEMORY, CalldataReads, steps_with_calldata
from circuits.component import Acting
from circuits.frames.buses import CALLDATA_OF
from circuits.frames.gas import Charge, GasLimb
from circuits.instructions.buses import COPY
from circuits.instructions.copies import (
    EXPANSION_BUS,
    GAS_COPY,
    GAS_VERY_LOW,
    MEMORY_SOURCE,
    ZEROS_SOURCE,
    Place,
    Size,
    constrain_reach,
    copy_gas,
)
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.memory.buses import EXPANSION, MEMORY_BYTES
from circuits.memory.expansion import expand
from circuits.widths import WORD, WORD_BYTES
from executor.opcodes import OPCODES

_CALLDATA_BUS = "calldata_of bus"


class CalldataColumns(Step):
    """The calldata of the step's frame, and the place that the step names in it."""

    caller = element("frame in whose memory the calldata lies", by=_CALLDATA_BUS)
    calldata_start = element("its first byte there", by=_CALLDATA_BUS)
    calldata_size = element("its bytes, at most 2^24", by=_CALLDATA_BUS)
    offset = limb("where to read in the calldata", WORD, by=STACK_BUS)
    offset_then = element("time of its push", by=STACK_BUS)
    place = nested(Place)
    at = element("the offset, or 2^24 if that is less", by="place")
    behind = bit("1: the offset lies behind the end")
    margin = nested(GasLimb, "how far the offset is behind the end, or what is read before it")


class LoadColumns(CalldataColumns):
    """One CALLDATALOAD per row."""

    partial = bit("1: less than 32 bytes are left: these are read")
    read = element("bytes that are read", by="its constraint")
    word = limb("these, zeros behind", WORD, by="memory_bytes bus, or 0")


class CalldataloadMemory(InstructionTable):
    """CALLDATALOAD of memory."""

    name = "calldataload_memory"
    layout = LoadColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, OPCODES["CALLDATALOAD"])
        # OPERATION
        constrain_calldata(air)
        behind, partial = row.behind, row.partial
        air.require((behind + partial) * (1 - real) + behind * partial, "32 bytes, less, or none")
        # Both sizes are at most 2^24, so a negative difference is no amount of gas and no limb.
        left = row.calldata_size - row.at
        whole = real - behind - partial
        GasLimb.constrain(air, row.margin, whole * (left - WORD_BYTES) - behind * left, real)
        air.query(RANGE16, left - 1, count=partial)
        air.query(RANGE16, WORD_BYTES - 1 - left, count=partial)
        air.require(row.read - whole * WORD_BYTES - partial * left, "bytes that are read")
        first = row.calldata_start + row.at
        air.send(MEMORY_BYTES, row.caller, row.time, 0, first, row.read, row.word, count=real - behind)
        air.require_equal(row.word, [0] * WORD, "zeros behind the end", when=behind)
        # STACK
        self.pop(air, 0, row.offset, row.offset_then)
        self.push(air, 1, row.word)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=0, gas=GAS_VERY_LOW)


def constrain_calldata(air: Air) -> None:
    """The cells of `CalldataColumns` but `behind` and `margin`."""
    row = air.row
    calldata = row.caller, row.calldata_start, row.calldata_size
    air.query(CALLDATA_OF, row.frame, CALLDATA_MEMORY, *calldata, count=row.real)
    air.require(row.real * (row.at - Place.constrain(air, row.place, row.offset)), "place")


def fill_calldataload_memory(execution: Execution) -> Matrix | None:
    """All steps of CALLDATALOAD in frames whose calldata is memory."""
    steps = steps_with_calldata(execution, CALLDATA_MEMORY, execution.rows(OPCODES["CALLDATALOAD"]))
    if not len(steps):
        return None
    matrix, rows = allocate(LoadColumns, len(steps))
    fill_step(rows, execution, steps)
    reads = CalldataReads.of(execution, steps, 0, np.full(len(steps), WORD_BYTES))
    left = reads.size - reads.at
    _fill_calldata(rows, execution, steps, reads, 0)
    rows.behind = left <= 0
    rows.partial = (left > 0) & (left < WORD_BYTES)
    GasLimb.fill(rows.margin, np.where(left <= 0, -left, np.maximum(left - WORD_BYTES, 0)))
    rows.read = reads.bytes
    rows.word = execution.result(steps)
    return matrix


def _fill_calldata(rows: Any, execution: Execution, steps: Integers, reads: CalldataReads, operand: int) -> None:
    rows.caller, rows.calldata_start, rows.calldata_size = reads.id, reads.start, reads.size
    rows.offset = execution.operand(steps, operand)
    rows.offset_then = execution.operand_time(steps, operand)
    rows.at = Place.fill(rows.place, execution.operand(steps, operand))


class CopyColumns(CalldataColumns):
    """One CALLDATACOPY per row."""

    to = limb("where to write", WORD, by=STACK_BUS)
    to_then = element("time of its push", by=STACK_BUS)
    size = nested(Size)
    whole = bit("1: all bytes lie before the end, as nothing does wherever it is")
    copied = element("bytes of the calldata that are copied", by="its constraint")
    zeros = nested(GasLimb, "zeros behind these, less 1, if there are both")
    words_after = element("words of memory afterwards", by=EXPANSION_BUS)
    expansion = element("gas of the memory's growth", by=EXPANSION_BUS)
    charge = nested(Charge)
    copies = bit("1: bytes of the calldata are copied")
    pads = bit("1: zeros are written")


class CalldatacopyMemory(InstructionTable):
    """CALLDATACOPY of memory: what there is of the calldata, and zeros behind it.

    Zeros are written from the step's time on, and the calldata one unit of time later. So no word is accessed twice at
    a time: the k-th 32 bytes of the calldata are written together with the k+1st of the zeros, and these begin at least
    32 bytes behind the end of those, in another word.
    """

    name = "calldatacopy_memory"
    layout = CopyColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, OPCODES["CALLDATACOPY"])
        # STACK
        self.pop(air, 0, row.to, row.to_then)
        self.pop(air, 1, row.offset, row.offset_then)
        self.pop(air, 2, row.size.limbs, row.size.then)
        # GAS. As for the other copies.
        size, words = Size.constrain(air, row.size)
        moves = real - row.size.empty.zero
        end = constrain_reach(air, row.to, row.size, moves)
        air.query(EXPANSION, row.memory_words, end, row.words_after, row.expansion, count=real)
        cost = real * GAS_VERY_LOW + words * GAS_COPY + row.expansion
        Charge.constrain(air, row.charge, row.gas, cost)
        succeeds = real - row.charge.fails
        # OPERATION
        constrain_calldata(air)
        behind, whole = row.behind, row.whole
        air.require((behind + whole) * (1 - real) + behind * whole, "all, some or no bytes before the end")
        air.require(row.size.empty.zero * (1 - whole), "all of nothing")
        # Sizes are below 2^25, so a negative difference is no amount of gas.
        some = real - behind - whole
        left = row.calldata_size - row.at
        margin = whole * moves * (left - size) + some * (left - 1) - behind * left
        GasLimb.constrain(air, row.margin, margin, real)
        air.require(row.copied - whole * size - some * left, "bytes that are copied")
        GasLimb.constrain(air, row.zeros, size - row.copied - 1, some)
        air.require((1 - some) * row.zeros.low, "no zeros to count")
        air.require(row.copies - succeeds * (some + whole * moves), "bytes of the calldata are copied")
        air.require(row.pads - succeeds * (some + behind), "zeros are written")
        to = row.to[0] + row.to[1] * (1 << 16)
        time, next_time = row.time, row.time + 1
        source = MEMORY_SOURCE, row.caller, row.calldata_start + row.at
        air.send(COPY, row.frame, next_time, next_time, *source, to, row.copied, count=row.copies)
        air.send(COPY, row.frame, time, time, ZEROS_SOURCE, 0, 0, to + row.copied, size - row.copied, count=row.pads)
        # PROGRAM COUNTER
        self.proceed(air, stack=-3, gas=cost, memory_words=row.words_after, duration=words + 1, count=succeeds)
        self.fail(air, row.charge.fails)


def fill_calldatacopy_memory(execution: Execution) -> Matrix | None:
    """All steps of CALLDATACOPY in frames whose calldata is memory, unless they reach beyond the memory."""
    steps = steps_with_calldata(execution, CALLDATA_MEMORY, execution.rows(OPCODES["CALLDATACOPY"]))
    if not len(steps):
        return None
    matrix, rows = allocate(CopyColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.to = execution.operand(steps, 0)
    rows.to_then = execution.operand_time(steps, 0)
    size = Size.fill(rows.size, execution, steps, 2)
    reads = CalldataReads.of(execution, steps, 1, size)
    _fill_calldata(rows, execution, steps, reads, 1)
    left = reads.size - reads.at
    empty = size == 0
    whole, behind = empty | (left >= size), ~empty & (left <= 0)
    some = ~whole & ~behind
    rows.behind, rows.whole = behind, whole
    GasLimb.fill(rows.margin, np.select([empty, whole, some], [0, left - size, left - 1], -left))
    rows.copied = reads.bytes
    GasLimb.fill(rows.zeros, np.where(some, size - reads.bytes - 1, 0))
    end = np.where(size == 0, 0, small_integers(execution.operand(steps, 0)) + size)
    after, expansion = expand(execution.memory_words[steps], end)
    rows.words_after = after
    rows.expansion = expansion
    Charge.fill(rows.charge, execution.gas[steps], copy_gas(size) + expansion)
    succeeds = ~execution.failed[steps]
    rows.copies = succeeds & (reads.bytes > 0)
    rows.pads = succeeds & (size > reads.bytes)
    return matrix


COMPONENTS = (
    Acting(CalldataloadMemory(), fill_calldataload_memory),
    Acting(CalldatacopyMemory(), fill_calldatacopy_memory),
)
