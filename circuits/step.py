"""The step adapter: the columns every instruction shares, and how a row takes its part in an execution.

A row of an instruction table is one step. It receives the machine's state on the `exec` bus, looks its opcode up,
moves words between the stack and its columns, and sends the state that follows - or, when the step ends its frame, a
result on the `halt` bus.

Gas. A step with a small constant cost only subtracts it. Where the cost is large or depends on data, and wherever a
frame ends successfully or gas is read, `Charge` or `GasLimb` proves that gas is in [0, 2^30). The tables that do not
look cost at most 180 gas together for one row of each, and the verifier admits 2^21 rows a table: unchecked steps of a
frame take at most 361 * 2^20 gas, what small memories cost included. So gas stays above -361 * 2^20 > -2^29, and since
the modulus minus 2^30 is above 2^29 a negative balance never looks like one in [0, 2^30). Running on below zero changes
nothing, because such a frame can only end by an exceptional halt, which takes all gas and undoes all effects.

A transaction may have a gas limit of up to 64 bits. What exceeds `MAX_GAS` is set aside as the frame's *reserve*: steps
count down the rest, which must do for all of them. A frame with a reserve cannot be proved to lack gas.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS
from circuits.air.gadgets.basic import range_check
from circuits.air.layout import RANGE, Layout, bit, element, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.buses import EXEC, HALT, INSTRUCTION, STACK, WORD
from circuits.execution import Execution

#: Gas stays below 2^30; its upper limb has 14 bits.
GAS_BITS = 30
_HIGH_BITS = GAS_BITS - 16
_INVERSE_2_16 = pow(1 << 16, -1, MODULUS)

#: A stack of at most 1023 words has room for one more: 64 * 1023 is a limb, 64 * 1024 is not.
_STACK_ROOM = 64


class Ending(IntEnum):
    """How a frame ends. The last two take all gas and undo all effects."""

    REVERTED = 0
    SUCCEEDED = 1
    HALTED = 2  # exceptionally, whatever gas there is
    UNPAID = 3  # exceptionally, for lack of gas: impossible for a frame with a reserve


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

    def fail(self, air: Air, count: Operand, ending: Operand = Ending.UNPAID) -> None:
        """End the frame by an exceptional halt where `count` is 1: all gas is gone; for lack of it by default."""
        air.send(HALT, air.row.frame, ending, 0, air.row.time + 1, count=count)

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


def full(air: Air, limbs: Sequence[Any]) -> list[Expression]:
    """A word from its lower limbs: the others are the constant 0."""
    return [air.graph.lift(x) for x in limbs] + [air.constant(0)] * (WORD - len(limbs))


class GasLimb(Layout):
    """The low limb of an amount that is proved to be in [0, 2^30)."""

    low = limb("low limb of the amount", by=RANGE)

    @staticmethod
    def constrain(air: Air, cells: Any, amount: Expression, count: Operand) -> None:
        """`amount` is in [0, 2^30) where `count` is 1; the table's selector must be 1 there, too."""
        range_check(air, (amount - cells.low) * _INVERSE_2_16, _HIGH_BITS, count)

    @staticmethod
    def fill(cells: Any, amount: NDArray[np.integer[Any]]) -> None:
        """`amount`: (rows,), below 2^30."""
        cells.low = np.asarray(amount) & 0xFFFF


class Charge(Layout):
    """Whether a cost can be paid: `fails` is 1 exactly when it is above the gas left."""

    fails = bit("1 when the cost is above the gas left")
    margin = limb("low limb of gas - cost, or of cost - gas - 1 when it fails", by=RANGE)

    @staticmethod
    def constrain(air: Air, cells: Any, gas: Expression, cost: Expression) -> None:
        """Padding has a cost and a gas of 0.

        Costs must be at most 2^29 + 2^23, which pays all of the memory and moves it, unless gas is known not to be
        negative: then below 2^30 - 2^27. The modulus minus 2^30 is 2^30 - 2^27 + 1. So where it does not fail, the
        amount in [0, 2^30) is gas - cost itself: with gas above -361 * 2^20 (see above) the difference is above
        -(2^30 - 2^27). Where it fails, the amount in [0, 2^30 - 2^27) is cost - gas - 1, which is at least -2^30.
        """
        margin = gas - cost
        amount = margin + cells.fails * (-1 - 2 * margin)
        real = air.row.real
        high = (amount - cells.margin) * _INVERSE_2_16
        air.query(RANGE16, high, count=real)
        # A limb itself, it is below 2^14, or below 2^14 - 2^11 where the charge fails.
        free = (1 << 16) - (1 << _HIGH_BITS)
        air.query(RANGE16, high + free + cells.fails * (1 << (_HIGH_BITS - 3)), count=real)
        air.require(cells.fails * (1 - real), "padding does not fail")

    @staticmethod
    def fill(cells: Any, gas: NDArray[np.integer[Any]], cost: NDArray[np.integer[Any]]) -> None:
        """`gas`, `cost`: (rows,)."""
        margin = np.asarray(gas, dtype=np.int64) - np.asarray(cost, dtype=np.int64)
        cells.fails = margin < 0
        cells.margin = np.where(margin < 0, -margin - 1, margin) & 0xFFFF


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
