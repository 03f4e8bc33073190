"""The step adapter: the columns every instruction shares, and how a row takes its part in an execution.

A row of an instruction table is one step. It receives the machine's state on the `exec` bus, looks its opcode up,
moves words between the stack and its columns, and sends the state that follows - or, when the step ends its frame, a
result on the `halt` bus.

That gas is never counted wrongly is argued in `circuits.frames.gas`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression, Operand
from circuits.air.gadgets.words import full
from circuits.air.layout import Layout, bit, element
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.frames.buses import EXEC, HALT, INSTRUCTION
from circuits.frames.frames import Ending
from circuits.instructions.buses import STACK

#: A stack of at most 1023 words has room for one more: 64 * 1023 is a limb, 64 * 1024 is not.
_STACK_ROOM = 64


EXEC_BUS = "exec bus"
STACK_BUS = "stack bus: the push"


class Step(Layout):
    """A step before it runs."""

    real = bit("1 on rows that stand for a step")
    time = element("time of the step", by=EXEC_BUS)
    frame = element("id of the frame", by=EXEC_BUS)
    code = element("id of the code", by=EXEC_BUS)
    pc = element("place of the instruction", by=EXEC_BUS)
    stack_size = element("words on the stack", by=EXEC_BUS)
    gas = element("gas left", by=EXEC_BUS)
    memory_words = element("words of memory", by=EXEC_BUS)


class InstructionTable(Table):
    """Base of instruction tables: their layout derives from `Step`."""

    row_order = "rows meet only on buses; the exec bus orders them by time"

    def begin(self, air: Air, opcode: Operand | None) -> None:
        """Receive the state; with an opcode (any expression): it is the instruction at pc."""
        row = air.row
        state = (row.time, row.frame, row.code, row.pc, row.stack_size, row.gas, row.memory_words)
        air.receive(EXEC, *state, count=row.real)
        if opcode is not None:
            air.query(INSTRUCTION, row.code, row.pc, opcode, 1, count=row.real)

    def proceed(
        self,
        air: Air,
        *,
        stack: Operand,
        gas: Operand,
        pc: Operand | None = None,
        memory_words: Operand | None = None,
        duration: Operand = 1,
        count: Operand | None = None,
    ) -> None:
        """Send the state that follows.

        Args:
            stack: words pushed minus words popped.
            gas: what the step costs.
            pc: of the next instruction, the one behind this byte by default.
            memory_words: size of the memory afterwards, unchanged by default.
            duration: how much later the next step is.
            count: 1 where the step succeeds, `real` by default.
        """
        row = air.row
        air.send(
            EXEC,
            row.time + duration,
            row.frame,
            row.code,
            row.pc + 1 if pc is None else pc,
            row.stack_size + stack,
            row.gas - gas,
            row.memory_words if memory_words is None else memory_words,
            count=row.real if count is None else count,
        )

    def halt(
        self,
        air: Air,
        ending: Operand,
        *,
        gas: Operand,
        return_start: Operand = 0,
        return_size: Operand = 0,
        duration: Operand = 1,
        count: Operand,
    ) -> None:
        """End the frame with this gas where `count` is 1; it returns a range of its memory, nothing by default."""
        row = air.row
        air.send(HALT, row.frame, ending, gas, return_start, return_size, row.time + duration, count=count)

    def fail(self, air: Air, count: Operand, ending: Operand = Ending.UNPAID) -> None:
        """End the frame by an exceptional halt where `count` is 1: all gas is gone; for lack of it by default."""
        self.halt(air, ending, gas=0, count=count)

    def pop(self, air: Air, index: int, word: Sequence[Any], then: Expression, count: Operand | None = None) -> None:
        """Take the word `index` places below the top, pushed at `then`; 16 limbs, some of them constants perhaps."""
        row = air.row
        self.take(air, row.stack_size - (1 + index), word, then, row.real if count is None else count)

    def take(self, air: Air, slot: Operand, word: Sequence[Any], then: Expression, count: Operand) -> None:
        """Take the word of a slot. Older tokens than 2^16 are made younger by stack_refresh."""
        row = air.row
        air.receive(STACK, row.frame, slot, full(air, word), then, count=count)
        air.query(RANGE16, row.time - then - 1, count=count)

    def push(self, air: Air, pops: Operand, word: Sequence[Any], count: Operand | None = None) -> None:
        """Push a word (16 limbs, which the caller pins) after `pops` words have been taken from the top."""
        row = air.row
        self.put(air, row.stack_size - pops, word, row.real if count is None else count)

    def put(self, air: Air, slot: Operand, word: Sequence[Any], count: Operand) -> None:
        """Put a word into a slot."""
        air.send(STACK, air.row.frame, slot, full(air, word), air.row.time, count=count)

    def check_room(self, air: Air, count: Operand | None = None) -> None:
        """The stack has room for a word more than before; for steps that push more than they pop."""
        air.query(RANGE16, air.row.stack_size * _STACK_ROOM, count=air.row.real if count is None else count)


def fill_step(rows: Any, execution: Execution, steps: NDArray[np.int64]) -> None:
    """The columns of `Step` for these steps of the execution, in their order."""
    rows.real = 1
    rows.time = execution.time[steps]
    rows.frame = execution.frame[steps]
    rows.code = execution.code[steps]
    rows.pc = execution.pc[steps]
    rows.stack_size = execution.stack_size[steps]
    rows.gas = execution.gas[steps]
    rows.memory_words = execution.memory_words[steps]
