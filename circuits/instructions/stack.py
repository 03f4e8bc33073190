"""Stack instructions: POP, PUSH, DUP and SWAP.

Source: execution-specs `cancun/vm/instructions/stack.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import TimeLimbs, TimeOrder
from circuits.air.layout import Layout, Size, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.component import Acting
from circuits.frames.buses import PUSH
from circuits.instructions.buses import STACK
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.widths import WORD
from executor.opcodes import DUP1, MAX_DUP, MAX_PUSH, MAX_SWAP, OPCODES, PUSH0, SWAP1

GAS_BASE = 2
GAS_VERY_LOW = 3

#: The largest value of a small PUSH has this many limbs: 4 bytes hold every selector and nearly every place and size.
SMALL_LIMBS = 2


class PopColumns(Step):
    """One POP per row."""

    word = limb("the word", WORD, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)


class Pop(InstructionTable):
    """POP."""

    name = "pop"
    layout = PopColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, OPCODES["POP"])
        # STACK
        self.pop(air, 0, row.word, row.then)
        # GAS, OPERATION, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_BASE)


def fill_pop(execution: Execution) -> Matrix | None:
    """All steps of POP."""
    steps = execution.rows(OPCODES["POP"])
    if not len(steps):
        return None
    matrix, rows = allocate(PopColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.word = execution.operand(steps, 0)
    rows.then = execution.operand_time(steps, 0)
    return matrix


class PushColumns(Step):
    """One PUSH per row."""

    size = element("bytes of push data", by="push bus")
    cost = element("gas", by="push bus")
    value = limb("the value", Size("limbs"), by="push bus")


class Push(InstructionTable):
    """PUSH0 to PUSH32, as far as the value fits the table's limbs."""

    def constraints(self, air: Air) -> None:
        row = air.row
        # The push site has looked up the opcode.
        self.begin(air, None)
        value = [*row.value, *[air.constant(0)] * (WORD - len(row.value))]
        air.query(PUSH, row.code, row.pc, row.size, row.cost, value, count=row.real)
        # STACK
        self.check_room(air)
        self.push(air, 0, value)
        # GAS, OPERATION, PROGRAM COUNTER
        self.proceed(air, stack=1, gas=row.cost, pc=row.pc + 1 + row.size)


PUSH_SMALL = Push("push_small", PushColumns.sized(limbs=SMALL_LIMBS))
PUSH_LARGE = Push("push_large", PushColumns.sized(limbs=WORD))


def _fill_push(execution: Execution, table: Push, *, small: bool) -> Matrix | None:
    steps = execution.rows(*range(PUSH0, PUSH0 + MAX_PUSH + 1))
    value = execution.result(steps)
    fits = ~(value[:, SMALL_LIMBS:] != 0).any(axis=1)
    steps, value = steps[fits == small], value[fits == small]
    if not len(steps):
        return None
    matrix, rows = allocate(table.layout, len(steps))
    fill_step(rows, execution, steps)
    size = execution.opcode[steps] - PUSH0
    rows.size = size
    rows.cost = np.where(size == 0, GAS_BASE, GAS_VERY_LOW)
    rows.value = value[:, : rows.value.shape[1]]
    return matrix


class DupColumns(Step):
    """One DUP per row."""

    depth = element("n of DUPn", by="instruction bus and a range check")
    word = limb("the word", WORD, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)


class Dup(InstructionTable):
    """DUP1 to DUP16."""

    name = "dup"
    layout = DupColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        # The opcode is a byte: depth - 1 is in 0..15 as 4 bits.
        self.begin(air, row.depth + (DUP1 - 1) * real)
        depth_range(air, row.depth - 1, real)
        # STACK
        slot = row.stack_size - row.depth
        self.take(air, slot, row.word, row.then, real)
        self.put(air, slot, row.word, real)
        self.check_room(air)
        self.push(air, 0, row.word)
        # GAS, OPERATION, PROGRAM COUNTER
        self.proceed(air, stack=1, gas=GAS_VERY_LOW)


def depth_range(air: Air, value: Any, real: Any) -> None:
    """`value` is in 0..15. An opcode is a byte, so `value` is a small integer, and 2^12 times it a limb."""
    air.query(RANGE16, value * (1 << 12), count=real)


def fill_dup(execution: Execution) -> Matrix | None:
    """All steps of DUP1 to DUP16."""
    steps = execution.rows(*range(DUP1, DUP1 + MAX_DUP))
    if not len(steps):
        return None
    matrix, rows = allocate(DupColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.depth = execution.opcode[steps] - DUP1 + 1
    rows.word = execution.operand(steps, 0)
    rows.then = execution.operand_time(steps, 0)
    return matrix


class SwapColumns(Step):
    """One SWAP per row."""

    depth = element("n of SWAPn", by="instruction bus and a range check")
    top = limb("the word on top", WORD, by=STACK_BUS)
    top_then = element("time of its push", by=STACK_BUS)
    deep = limb("the word n below it", WORD, by=STACK_BUS)
    deep_then = element("time of its push", by=STACK_BUS)


class Swap(InstructionTable):
    """SWAP1 to SWAP16."""

    name = "swap"
    layout = SwapColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, row.depth + (SWAP1 - 1) * real)
        depth_range(air, row.depth - 1, real)
        # STACK
        top, deep = row.stack_size - 1, row.stack_size - 1 - row.depth
        self.take(air, top, row.top, row.top_then, real)
        self.take(air, deep, row.deep, row.deep_then, real)
        self.put(air, top, row.deep, real)
        self.put(air, deep, row.top, real)
        # GAS, OPERATION, PROGRAM COUNTER
        self.proceed(air, stack=0, gas=GAS_VERY_LOW)


def fill_swap(execution: Execution) -> Matrix | None:
    """All steps of SWAP1 to SWAP16."""
    steps = execution.rows(*range(SWAP1, SWAP1 + MAX_SWAP))
    if not len(steps):
        return None
    matrix, rows = allocate(SwapColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.depth = execution.opcode[steps] - SWAP1 + 1
    rows.top = execution.operand(steps, 0)
    rows.top_then = execution.operand_time(steps, 0)
    rows.deep = execution.operand(steps, 1)
    rows.deep_then = execution.operand_time(steps, 1)
    return matrix


class StackRestColumns(Layout):
    """One token that is never popped per row."""

    real = bit("1 on rows that receive a token")
    frame = element("id of the frame", by=STACK_BUS)
    slot = element("0 is the lowest", by=STACK_BUS)
    word = limb("the word", WORD, by=STACK_BUS)
    time = element("time of the push", by=STACK_BUS)


class StackRest(Table):
    """What lies on the stacks when their frames end.

    A slot's pushes and pops alternate, so that a liar who leaves a token here that is popped later lacks one there.
    """

    name = "stack_rest"
    layout = StackRestColumns
    row_order = "rows meet only on the stack bus"

    def constraints(self, air: Air) -> None:
        row = air.row
        air.receive(STACK, row.frame, row.slot, row.word, row.time, count=row.real)


def fill_stack_rest(execution: Execution) -> Matrix | None:
    """All tokens that are never popped."""
    tokens = execution.stack_rest
    if not len(tokens.time):
        return None
    matrix, rows = allocate(StackRestColumns, len(tokens.time))
    rows.real = 1
    rows.frame = tokens.frame
    rows.slot = tokens.slot
    rows.word = tokens.word
    rows.time = tokens.time
    return matrix


class StackRefreshColumns(Layout):
    """One token that is made younger per row."""

    real = bit("1 on rows that stand for a token")
    frame = element("id of the frame", by=STACK_BUS)
    slot = element("0 is the lowest", by=STACK_BUS)
    word = limb("the word", WORD, by=STACK_BUS)
    order = nested(TimeOrder, "the token's time, before the new one")
    now = nested(TimeLimbs, "the new time")


class StackRefresh(Table):
    """Tokens that are too old for the one-limb check of a pop: the same word again, at a later time.

    The new time is below 2^29 itself: sums of differences could otherwise reach the modulus, and a token of the future
    come out as one of the past.
    """

    name = "stack_refresh"
    layout = StackRefreshColumns
    row_order = "rows meet only on the stack bus"

    def constraints(self, air: Air) -> None:
        row = air.row
        now = TimeLimbs.constrain(air, row.now, row.real)
        TimeOrder.constrain(air, row.order, now, row.real)
        air.receive(STACK, row.frame, row.slot, row.word, row.order.before, count=row.real)
        air.send(STACK, row.frame, row.slot, row.word, now, count=row.real)


def fill_stack_refresh(execution: Execution) -> Matrix | None:
    """All tokens that are made younger."""
    tokens, now = execution.stack_refreshed
    if not len(now):
        return None
    matrix, rows = allocate(StackRefreshColumns, len(now))
    rows.real = 1
    rows.frame = tokens.frame
    rows.slot = tokens.slot
    rows.word = tokens.word
    TimeOrder.fill(rows.order, now, tokens.time)
    TimeLimbs.fill(rows.now, now)
    return matrix


COMPONENTS = (
    Acting(Pop(), fill_pop),
    Acting(PUSH_SMALL, lambda execution: _fill_push(execution, PUSH_SMALL, small=True)),
    Acting(PUSH_LARGE, lambda execution: _fill_push(execution, PUSH_LARGE, small=False)),
    Acting(Dup(), fill_dup),
    Acting(Swap(), fill_swap),
    Acting(StackRest(), fill_stack_rest),
    Acting(StackRefresh(), fill_stack_refresh),
)
