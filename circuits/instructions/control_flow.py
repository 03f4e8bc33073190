"""Control flow: STOP, JUMP, JUMPI, JUMPDEST, PC, GAS, MSIZE, and jumps to places that are no JUMPDEST.

Source: execution-specs `cancun/vm/instructions/control_flow.py`, and STOP of `arithmetic.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuits.air import field as arithmetic
from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import IsZero, LessThan, range_check, select, total
from circuits.air.gadgets.words import constrain_sum, sum_carries
from circuits.air.layout import RANGE, allocate, bit, byte, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.code_trees import instruction_starts
from circuits.batch.execution import INVALID_JUMP, Execution
from circuits.component import Acting
from circuits.frames.buses import BUFFER_SIZE, INSTRUCTION
from circuits.frames.code import CODE_KIND
from circuits.frames.frame_state import FrameState
from circuits.frames.frames import Ending
from circuits.frames.gas import GasLimb
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.limbs import Limbs
from circuits.statement import gas_limbs
from circuits.widths import U64, WORD
from executor.opcodes import OPCODES

GAS_BASE = 2
GAS_MID = 8
GAS_HIGH = 10
GAS_JUMPDEST = 1

JUMP, JUMPI, JUMPDEST = OPCODES["JUMP"], OPCODES["JUMPI"], OPCODES["JUMPDEST"]
PC, MSIZE, GAS = OPCODES["PC"], OPCODES["MSIZE"], OPCODES["GAS"]

_BASE = 1 << 16
_INVERSE_BASE = pow(_BASE, -1, MODULUS)

#: Limbs of a place in a code, and bits of the upper one: codes have at most 2^24 bytes.
PLACE_LIMBS = 2
_HIGH_BITS = 8

#: Bits of the upper limb of a code's size, which may be 2^24.
_SIZE_HIGH_BITS = 9


class StopColumns(Step):
    """One STOP per row."""

    left = nested(GasLimb, "the gas left")


class Stop(InstructionTable):
    """STOP, also behind the end of the code, which is padded with zeros."""

    name = "stop"
    layout = StopColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, OPCODES["STOP"])
        # GAS
        GasLimb.constrain(air, row.left, row.gas, row.real)
        # OPERATION
        self.halt(air, Ending.SUCCEEDED, gas=row.gas, count=row.real)


def fill_stop(execution: Execution) -> Matrix | None:
    """All steps of STOP."""
    steps = execution.rows(OPCODES["STOP"])
    if not len(steps):
        return None
    matrix, rows = allocate(StopColumns, len(steps))
    fill_step(rows, execution, steps)
    GasLimb.fill(rows.left, execution.gas[steps])
    return matrix


def place(limbs: Sequence[Any]) -> Expression:
    """The lower two limbs of a word as one element; the same number if `check_place` bounds the upper one."""
    number: Expression = limbs[0] + limbs[1] * _BASE
    return number


def check_place(air: Air, limbs: Sequence[Any], count: Operand) -> None:
    """The lower two limbs (pinned as limbs elsewhere) are below 2^24, so that no other number looks like theirs."""
    air.query(RANGE16, limbs[1] * (1 << (16 - _HIGH_BITS)), count=count)


class JumpColumns(Step):
    """One JUMP per row."""

    target = limb("where to", PLACE_LIMBS, by=STACK_BUS)
    target_then = element("time of its push", by=STACK_BUS)


class Jump(InstructionTable):
    """JUMP to a JUMPDEST. Its upper limbs are 0: no other target is one."""

    name = "jump"
    layout = JumpColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, JUMP)
        # STACK
        self.pop(air, 0, row.target, row.target_then)
        # OPERATION
        target = place(row.target)
        check_place(air, row.target, row.real)
        air.query(INSTRUCTION, row.code, target, JUMPDEST, 1, count=row.real)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_MID, pc=target)


def fill_jump(execution: Execution) -> Matrix | None:
    """All steps of JUMP that succeed."""
    steps = execution.rows(JUMP)
    if not len(steps):
        return None
    matrix, rows = allocate(JumpColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.target = execution.operand(steps, 0)[:, :PLACE_LIMBS]
    rows.target_then = execution.operand_time(steps, 0)
    return matrix


def jumpi_columns(target_limbs: int, condition_limbs: int) -> type[Step]:
    """The layout of JUMPI with operands of at most this many limbs."""

    class JumpiColumns(Step):
        """One JUMPI per row."""

        target = limb("where to", target_limbs, by=STACK_BUS)
        target_then = element("time of its push", by=STACK_BUS)
        condition = limb("jump unless it is 0", condition_limbs, by=STACK_BUS)
        condition_then = element("time of its push", by=STACK_BUS)
        stays = nested(IsZero, "whether the condition is 0")

    return JumpiColumns


class Jumpi(InstructionTable):
    """JUMPI that jumps to a JUMPDEST, or does not jump, as far as its operands fit the table's limbs."""

    def __init__(self, name: str, target_limbs: int, condition_limbs: int) -> None:
        self.name = name
        self.layout = jumpi_columns(target_limbs, condition_limbs)

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, JUMPI)
        # STACK
        self.pop(air, 0, row.target, row.target_then)
        self.pop(air, 1, row.condition, row.condition_then)
        # OPERATION
        # At most 16 limbs sum to less than 2^20, so the sum is 0 only if all of them are.
        IsZero.constrain(air, row.stays, total(row.condition), when=row.real, name="condition")
        jumps = row.real - row.stays.zero
        target = place(row.target)
        check_place(air, row.target, jumps)
        if len(row.target) > PLACE_LIMBS:
            air.require(jumps * total(row.target[PLACE_LIMBS:]), "a target has no upper limbs")
        air.query(INSTRUCTION, row.code, target, JUMPDEST, 1, count=jumps)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-2, gas=GAS_HIGH, pc=select(jumps, target, row.pc + 1))


JUMPI_SMALL = Jumpi("jumpi", PLACE_LIMBS, 1)
JUMPI_LARGE = Jumpi("jumpi_large", WORD, WORD)


def _fill_jumpi(execution: Execution, table: Jumpi, *, small: bool) -> Matrix | None:
    steps = execution.rows(JUMPI)
    target, condition = execution.operand(steps, 0), execution.operand(steps, 1)
    fits = ~((target[:, PLACE_LIMBS:] != 0).any(axis=1) | (condition[:, 1:] != 0).any(axis=1))
    mine = fits == small
    steps, target, condition = steps[mine], target[mine], condition[mine]
    if not len(steps):
        return None
    matrix, rows = allocate(table.layout, len(steps))
    fill_step(rows, execution, steps)
    rows.target = target[:, : rows.target.shape[1]]
    rows.target_then = execution.operand_time(steps, 0)
    rows.condition = condition[:, : rows.condition.shape[1]]
    rows.condition_then = execution.operand_time(steps, 1)
    IsZero.fill(rows.stays, _sum(condition))
    return matrix


def _sum(limbs: Limbs) -> arithmetic.Elements:
    """Sums (n,) of limbs (n, k)."""
    sums: arithmetic.Elements = limbs.astype(np.uint64).sum(axis=1, dtype=np.uint64)
    return sums


class JumpdestColumns(Step):
    """One JUMPDEST per row."""


class Jumpdest(InstructionTable):
    """JUMPDEST."""

    name = "jumpdest"
    layout = JumpdestColumns

    def constraints(self, air: Air) -> None:
        self.begin(air, JUMPDEST)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=0, gas=GAS_JUMPDEST)


def fill_jumpdest(execution: Execution) -> Matrix | None:
    """All steps of JUMPDEST."""
    steps = execution.rows(JUMPDEST)
    if not len(steps):
        return None
    matrix, rows = allocate(JumpdestColumns, len(steps))
    fill_step(rows, execution, steps)
    return matrix


class MachineStateColumns(Step):
    """One PC or MSIZE per row."""

    is_msize = bit("1 for MSIZE, 0 for PC")
    value = element("what is pushed, at most 2^24", by="the step's state")
    limbs = nested(GasLimb, "its limbs")


class MachineState(InstructionTable):
    """PC and MSIZE: what a step knows of itself."""

    name = "machine_state"
    layout = MachineStateColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        air.require(row.is_msize * (1 - row.real), "padding is no instruction")
        # PC and MSIZE are 0x58 and 0x59.
        self.begin(air, row.real * PC + row.is_msize)
        # OPERATION
        # Codes and memory have at most 2^24 bytes.
        is_pc = row.real - row.is_msize
        air.require_equal(row.value, is_pc * row.pc + row.is_msize * row.memory_words * 32, "value")
        GasLimb.constrain(air, row.limbs, row.value, row.real)
        # STACK
        self.check_room(air)
        self.push(air, 0, [row.limbs.low, (row.value - row.limbs.low) * _INVERSE_BASE])
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=1, gas=GAS_BASE)


def fill_machine_state(execution: Execution) -> Matrix | None:
    """All steps of PC and MSIZE."""
    steps = execution.rows(PC, MSIZE)
    if not len(steps):
        return None
    matrix, rows = allocate(MachineStateColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.is_msize = execution.opcode[steps] == MSIZE
    result = execution.result(steps).astype(np.int64)
    value = result[:, 0] + (result[:, 1] << 16)
    rows.value = value
    GasLimb.fill(rows.limbs, value)
    return matrix


class GasColumns(Step):
    """One GAS per row."""

    left = nested(GasLimb, "gas left when this is paid, without the reserve")
    state = nested(FrameState)
    value = limb("what is pushed: gas left and reserve", U64, by=RANGE)
    carry = bit("carry out of each limb of the sum", U64 - 1)


class Gas(InstructionTable):
    """GAS."""

    name = "gas"
    layout = GasColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, GAS)
        # OPERATION
        left = row.gas - GAS_BASE * real
        GasLimb.constrain(air, row.left, left, real)
        FrameState.constrain(air, row.state, real)
        parts = [row.left.low, (left - row.left.low) * _INVERSE_BASE, air.constant(0), air.constant(0)]
        constrain_sum(air, parts, row.state.reserve, row.carry, row.value, name="sum")
        # STACK
        self.check_room(air)
        self.push(air, 0, row.value)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=1, gas=GAS_BASE)


def fill_gas(execution: Execution) -> Matrix | None:
    """All steps of GAS."""
    steps = execution.rows(GAS)
    if not len(steps):
        return None
    matrix, rows = allocate(GasColumns, len(steps))
    fill_step(rows, execution, steps)
    left = execution.gas[steps] - GAS_BASE
    GasLimb.fill(rows.left, left)
    FrameState.fill(rows.state, execution, steps)
    rows.value = execution.result(steps)[:, :U64]
    rows.carry = sum_carries(rows.state.reserve, gas_limbs(left))
    return matrix


class InvalidJumpColumns(Step):
    """One jump to a place that is no JUMPDEST per row."""

    is_jumpi = bit("1 for JUMPI")
    target = limb("where to", WORD, by=STACK_BUS)
    target_then = element("time of its push", by=STACK_BUS)
    condition = limb("the condition; 0 for JUMP", WORD, by=STACK_BUS)
    condition_then = element("time of its push; 0 for JUMP", by=STACK_BUS)
    condition_inverse = element("inverse of the sum of its limbs", by="condition: it is not 0")
    small = nested(IsZero, "whether limbs 2 to 15 of the target are 0")
    size = limb("bytes of the code", 2, by=RANGE)
    inside = nested(LessThan, "whether the lower two limbs of the target are below the size")
    looks = bit("1: the target lies within the code; the byte there is looked up")
    found = byte("the byte there; 0 if it is not looked up", by="instruction bus")
    start = bit("1: an instruction starts there")
    difference = element("inverse of what the place differs by from a JUMPDEST", by="product with it")


class InvalidJump(InstructionTable):
    """JUMP, and JUMPI with a condition other than 0, whose target is no JUMPDEST: the frame halts exceptionally.

    That is the frame's end whatever gas is left, so there is no cost to check.
    """

    name = "invalid_jump"
    layout = InvalidJumpColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        air.require(row.is_jumpi * (1 - real), "padding is no JUMPI")
        self.begin(air, real * JUMP + row.is_jumpi)
        # STACK
        self.pop(air, 0, row.target, row.target_then)
        self.pop(air, 1, row.condition, row.condition_then, row.is_jumpi)
        for i, cell in enumerate((*row.condition, row.condition_then)):
            air.require((1 - row.is_jumpi) * cell, f"JUMP has no condition [{i}]")
        # OPERATION
        # Sums of at most 16 limbs are below 2^20: they are 0 only if all limbs are.
        air.require(total(row.condition) * row.condition_inverse - row.is_jumpi, "JUMPI's condition is not 0")
        air.require((1 - row.is_jumpi) * row.condition_inverse, "JUMP has no condition's inverse")
        # The target lies behind the code if it has upper limbs, or if the lower two are not below the code's size.
        IsZero.constrain(air, row.small, total(row.target[PLACE_LIMBS:]), when=real, name="upper limbs")
        air.query(BUFFER_SIZE, CODE_KIND, row.code, place(row.size), count=real)
        range_check(air, row.size[1], _SIZE_HIGH_BITS, real)
        LessThan.constrain(air, row.inside, row.target[:PLACE_LIMBS], row.size, name="target within the code")
        air.require(row.looks - row.small.zero * row.inside.less, "a target within the code")
        # Otherwise it is below 2^24, and something else than a JUMPDEST stands there.
        air.query(INSTRUCTION, row.code, place(row.target), row.found, row.start, count=row.looks)
        # A square below 2^16 and a bit: their sum is 0 only for the byte of JUMPDEST where an instruction starts.
        miss = (row.found - JUMPDEST) * (row.found - JUMPDEST) + (1 - row.start)
        air.require(miss * row.difference - row.looks, "no JUMPDEST")
        air.require((1 - row.looks) * row.found, "a byte that is not looked up")
        air.require((1 - row.looks) * row.start, "a start that is not looked up")
        # GAS, PROGRAM COUNTER
        self.fail(air, real, Ending.HALTED)


def fill_invalid_jump(execution: Execution) -> Matrix | None:
    """All jumps to places that are no JUMPDEST."""
    steps = execution.rows(JUMP, JUMPI, route=INVALID_JUMP)
    if not len(steps):
        return None
    matrix, rows = allocate(InvalidJumpColumns, len(steps))
    fill_step(rows, execution, steps)
    is_jumpi = execution.opcode[steps] == JUMPI
    rows.is_jumpi = is_jumpi
    target = execution.operand(steps, 0)
    rows.target = target
    rows.target_then = execution.operand_time(steps, 0)
    conditional = np.flatnonzero(is_jumpi)
    condition = execution.operand(steps[conditional], 1)
    rows.condition[conditional] = condition
    rows.condition_then[conditional] = execution.operand_time(steps[conditional], 1)
    rows.condition_inverse[conditional] = arithmetic.inverse(_sum(condition))
    IsZero.fill(rows.small, _sum(target[:, PLACE_LIMBS:]))
    trace = execution.trace
    codes = trace.frames.code[execution.frame_row(execution.frame[steps])]
    size = trace.codes.size[codes].astype(np.int64)
    rows.size = np.stack([size & 0xFFFF, size >> 16], axis=1)
    low = target[:, 0].astype(np.int64) + (target[:, 1].astype(np.int64) << 16)
    LessThan.fill(rows.inside, low, size)
    looks = np.flatnonzero((rows.small.zero == 1) & (low < size))
    rows.looks[looks] = 1
    byte, start = np.zeros(len(looks), dtype=np.int64), np.zeros(len(looks), dtype=np.int64)
    for code in np.unique(codes[looks]).tolist():  # one step per code, initcodes included
        here = codes[looks] == code
        content = np.frombuffer(trace.bytes_at(trace.codes.start[code], trace.codes.size[code]), dtype=np.uint8)
        byte[here] = content[low[looks][here]]
        start[here] = instruction_starts(content)[low[looks][here]]
    rows.found[looks] = byte
    rows.start[looks] = start
    rows.difference[looks] = arithmetic.inverse(((byte - JUMPDEST) ** 2 + 1 - start).astype(np.uint64))
    return matrix


COMPONENTS = (
    Acting(Stop(), fill_stop),
    Acting(Jump(), fill_jump),
    Acting(JUMPI_SMALL, lambda execution: _fill_jumpi(execution, JUMPI_SMALL, small=True)),
    Acting(JUMPI_LARGE, lambda execution: _fill_jumpi(execution, JUMPI_LARGE, small=False)),
    Acting(Jumpdest(), fill_jumpdest),
    Acting(MachineState(), fill_machine_state),
    Acting(Gas(), fill_gas),
    Acting(InvalidJump(), fill_invalid_jump),
)
