"""Return data: RETURNDATASIZE, RETURNDATACOPY, and copies that leave the return data.

Source: execution-specs `cancun/vm/instructions/environment.py`, and EIP-211.

A frame's state says in whose memory its return data lies: in that of the frame it called last, which has ended, so that
nothing changes it any more. The end of the return data there is at most 2^24.
"""

from __future__ import annotations

import numpy as np

from circuits.air import field as arithmetic
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import total
from circuits.air.layout import RANGE, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import RETURN_DATA_BOUNDS, Execution, small_integers
from circuits.component import Acting
from circuits.frames.frame_state import FrameState
from circuits.frames.frames import Ending
from circuits.frames.gas import Charge, GasLimb
from circuits.instructions.buses import COPY
from circuits.instructions.copies import (
    EXPANSION_BUS,
    GAS_BASE,
    GAS_COPY,
    GAS_VERY_LOW,
    MEMORY_SOURCE,
    Size,
    constrain_reach,
    copy_gas,
)
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.memory.buses import EXPANSION
from circuits.memory.expansion import expand
from circuits.widths import WORD
from executor.opcodes import OPCODES

_LIMB = 1 << 16
_INVERSE_LIMB = pow(_LIMB, -1, MODULUS)
#: Places within return data have this many limbs.
_SMALL_LIMBS = 2


class SizeColumns(Step):
    """One RETURNDATASIZE per row."""

    state = nested(FrameState)
    limbs = nested(GasLimb, "the size's limbs")


class Returndatasize(InstructionTable):
    """RETURNDATASIZE."""

    name = "returndatasize"
    layout = SizeColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, OPCODES["RETURNDATASIZE"])
        # OPERATION
        FrameState.constrain(air, row.state, real)
        GasLimb.constrain(air, row.limbs, row.state.size, real)
        # STACK
        self.check_room(air)
        self.push(air, 0, [row.limbs.low, (row.state.size - row.limbs.low) * _INVERSE_LIMB])
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=1, gas=GAS_BASE)


def fill_returndatasize(execution: Execution) -> Matrix | None:
    """All steps of RETURNDATASIZE."""
    steps = execution.rows(OPCODES["RETURNDATASIZE"])
    if not len(steps):
        return None
    matrix, rows = allocate(SizeColumns, len(steps))
    fill_step(rows, execution, steps)
    found = FrameState.fill(rows.state, execution, steps)
    GasLimb.fill(rows.limbs, found.size)
    return matrix


class CopyColumns(Step):
    """One RETURNDATACOPY within the return data per row."""

    state = nested(FrameState)
    to = limb("where to write", WORD, by=STACK_BUS)
    to_then = element("time of its push", by=STACK_BUS)
    start = limb("where to read", _SMALL_LIMBS, by=STACK_BUS)
    start_then = element("time of its push", by=STACK_BUS)
    size = nested(Size)
    rest = nested(GasLimb, "bytes of the return data behind the copy")
    words_after = element("words of memory afterwards", by=EXPANSION_BUS)
    expansion = element("gas of the memory's growth", by=EXPANSION_BUS)
    charge = nested(Charge)


class Returndatacopy(InstructionTable):
    """RETURNDATACOPY of what lies within the return data, successful or without the gas for it."""

    name = "returndatacopy"
    layout = CopyColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, OPCODES["RETURNDATACOPY"])
        # STACK. The offset has no further limbs.
        self.pop(air, 0, row.to, row.to_then)
        self.pop(air, 1, row.start, row.start_then)
        self.pop(air, 2, row.size.limbs, row.size.then)
        # GAS. As for the other copies.
        size, words = Size.constrain(air, row.size)
        moving = real - row.size.empty.zero
        end = constrain_reach(air, row.to, row.size, moving)
        air.query(EXPANSION, row.memory_words, end, row.words_after, row.expansion, count=real)
        cost = real * GAS_VERY_LOW + words * GAS_COPY + row.expansion
        Charge.constrain(air, row.charge, row.gas, cost)
        succeeds = real - row.charge.fails
        # OPERATION. With an upper limb below 2^9 and a size below 2^25, offset + size is below 2^26: it does not wrap,
        # and a negative rest is no amount of gas. Nothing may be copied from the end of the return data.
        FrameState.constrain(air, row.state, real)
        air.query(RANGE16, row.start[1] * (1 << 7), count=real)
        start = row.start[0] + row.start[1] * _LIMB
        GasLimb.constrain(air, row.rest, row.state.size - start - size, real)
        first = row.time + 1
        source = MEMORY_SOURCE, row.state.source, row.state.start + start
        to = row.to[0] + row.to[1] * _LIMB
        moves = succeeds * (1 - row.size.empty.zero)
        air.send(COPY, row.frame, first, first, *source, to, size, count=moves)
        # PROGRAM COUNTER
        self.proceed(air, stack=-3, gas=cost, memory_words=row.words_after, duration=words + 1, count=succeeds)
        self.fail(air, row.charge.fails)


def fill_returndatacopy(execution: Execution) -> Matrix | None:
    """All steps of RETURNDATACOPY that stay within the return data and do not reach beyond the memory."""
    steps = execution.rows(OPCODES["RETURNDATACOPY"])
    if not len(steps):
        return None
    matrix, rows = allocate(CopyColumns, len(steps))
    fill_step(rows, execution, steps)
    found = FrameState.fill(rows.state, execution, steps)
    to, start = execution.operand(steps, 0), execution.operand(steps, 1)
    rows.to = to
    rows.to_then = execution.operand_time(steps, 0)
    rows.start = start[:, :_SMALL_LIMBS]
    rows.start_then = execution.operand_time(steps, 1)
    size = Size.fill(rows.size, execution, steps, 2)
    GasLimb.fill(rows.rest, found.size - small_integers(start) - size)
    after, expansion = expand(execution.memory_words[steps], np.where(size == 0, 0, small_integers(to) + size))
    rows.words_after = after
    rows.expansion = expansion
    Charge.fill(rows.charge, execution.gas[steps], copy_gas(size) + expansion)
    return matrix


class BoundsColumns(Step):
    """One RETURNDATACOPY that leaves the return data per row."""

    state = nested(FrameState)
    offset = limb("first byte", WORD, by=STACK_BUS)
    offset_then = element("time of its push", by=STACK_BUS)
    size = limb("bytes", WORD, by=STACK_BUS)
    size_then = element("time of its push", by=STACK_BUS)
    far = bit("1: offset or size is 2^32 or more")
    far_inverse = element("inverse of the sum of the limbs from the third on, 0 unless far", by="its constraint")
    available = nested(GasLimb, "limbs of the return data's size")
    excess = limb("offset + size - available - 1 in limbs, 0 if far", _SMALL_LIMBS, by=RANGE)
    carry = element("carry into its second limb: -1, 0 or 1", by="its constraint")
    excess_carry = bit("carry out of its second limb")


class ReturnDataBounds(InstructionTable):
    """RETURNDATACOPY whose offset + size is above the size of the return data: it halts exceptionally.

    That is the frame's end whatever gas is left, so there is no cost to check.
    """

    name = "return_data_bounds"
    layout = BoundsColumns

    def constraints(self, air: Air) -> None:
        row, real, far = air.row, air.row.real, air.row.far
        self.begin(air, OPCODES["RETURNDATACOPY"])
        # STACK
        # Where the data would go does not matter.
        self.pop(air, 1, row.offset, row.offset_then)
        self.pop(air, 2, row.size, row.size_then)
        # OPERATION
        FrameState.constrain(air, row.state, real)
        air.require(far * (1 - real), "padding is not far")
        # 28 limbs sum to less than 2^21: the sum is 0 only if all of them are. Return data has at most 2^24 bytes.
        beyond = total([*row.offset[_SMALL_LIMBS:], *row.size[_SMALL_LIMBS:]])
        air.require(beyond * row.far_inverse - far, "far means that there are further limbs")
        near = real - far
        air.require(near * row.far_inverse, "no inverse unless far")
        air.require(near * beyond, "near, no further limbs")
        # Limb by limb, the excess is not negative. Each side is within +-2^18.
        size = row.state.size
        GasLimb.constrain(air, row.available, size, real)
        available = row.available.low, (size - row.available.low) * _INVERSE_LIMB
        air.require((row.carry - 1) * row.carry * (row.carry + 1), "carry is -1, 0 or 1")
        low = row.offset[0] + row.size[0] - available[0] - 1
        air.require(near * low - row.excess[0] - row.carry * _LIMB, "low limb of the excess")
        high = row.offset[1] + row.size[1] - available[1] + row.carry
        air.require(near * high - row.excess[1] - row.excess_carry * _LIMB, "high limb of the excess")
        # GAS, PROGRAM COUNTER
        self.fail(air, real, Ending.HALTED)


def fill_return_data_bounds(execution: Execution) -> Matrix | None:
    """All steps of RETURNDATACOPY that leave the return data."""
    steps = execution.rows(OPCODES["RETURNDATACOPY"], route=RETURN_DATA_BOUNDS)
    if not len(steps):
        return None
    matrix, rows = allocate(BoundsColumns, len(steps))
    fill_step(rows, execution, steps)
    found = FrameState.fill(rows.state, execution, steps)
    offset, size = (execution.operand(steps, operand).astype(np.int64) for operand in (1, 2))
    rows.offset = offset
    rows.offset_then = execution.operand_time(steps, 1)
    rows.size = size
    rows.size_then = execution.operand_time(steps, 2)
    beyond = offset[:, _SMALL_LIMBS:].sum(axis=1) + size[:, _SMALL_LIMBS:].sum(axis=1)
    far = beyond > 0
    rows.far = far
    rows.far_inverse = arithmetic.inverse(beyond.astype(np.uint64))
    GasLimb.fill(rows.available, found.size)
    low = np.where(far, 0, offset[:, 0] + size[:, 0] - (found.size & 0xFFFF) - 1)
    carry = low >> 16
    high = np.where(far, 0, offset[:, 1] + size[:, 1] - (found.size >> 16) + carry)
    rows.excess = np.stack([low & 0xFFFF, high & 0xFFFF], axis=1)
    rows.carry = carry % MODULUS
    rows.excess_carry = high >> 16
    return matrix


COMPONENTS = (
    Acting(Returndatasize(), fill_returndatasize),
    Acting(Returndatacopy(), fill_returndatacopy),
    Acting(ReturnDataBounds(), fill_return_data_bounds),
)
