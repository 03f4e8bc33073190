"""Steps that would change the state in a frame that must not (EIP-214): they halt exceptionally.

Source: execution-specs `cancun/vm/instructions` (WriteInStaticContext).

Whatever else such a step lacks, gas included, it cannot succeed: the tables of these instructions only have steps of
frames that may write. A step that has none of this to fear - too few words on the stack, an access beyond all memory -
may be proved to fail for that instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits.air import field as arithmetic
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import one_hot, total
from circuits.air.layout import allocate, bit, element, limb, nested
from circuits.air.table import Air
from circuits.batch.execution import STATIC_CHANGES, STATIC_VIOLATION, VALUE_OPERAND, Execution
from circuits.component import Acting
from circuits.frames.frames import Ending
from circuits.instructions.frame_fields import WritingFrameFields, require_idle
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.widths import WORD
from executor.opcodes import OPCODES

_CALL = STATIC_CHANGES.index(OPCODES["CALL"])


class StaticFrameFields(WritingFrameFields):
    """What the frame says of a step that must not change the state: the frame is static."""

    @staticmethod
    def _static(cells: Any) -> Any:
        return 1


class Columns(Step):
    """One failing step per row."""

    instruction = bit("which one it is", len(STATIC_CHANGES))
    of_frame = nested(StaticFrameFields)
    value = limb("what CALL would send in wei; 0 for others", WORD, by=f"{STACK_BUS}, or 0")
    value_then = element("time of its push; 0 for others", by=f"{STACK_BUS}, or 0")
    inverse = element("inverse of the sum of the value's limbs; 0 for others", by="product with the sum")


class StaticViolation(InstructionTable):
    """An instruction that changes the state, or a CALL that sends value, in a static frame."""

    name = "static_violation"
    layout = Columns

    def constraints(self, air: Air) -> None:
        row, real, call = air.row, air.row.real, air.row.instruction[_CALL]
        one_hot(air, row.instruction, real, "instruction")
        self.begin(air, total([flag * opcode for flag, opcode in zip(row.instruction, STATIC_CHANGES, strict=True)]))
        StaticFrameFields.constrain(air, row.of_frame, real)
        # STACK
        self.pop(air, VALUE_OPERAND, row.value, row.value_then, call)
        require_idle(air, 1 - call, (row.value, row.value_then, row.inverse), "no value")
        # OPERATION. 16 limbs sum to less than 2^20: the sum is 0 only if all of them are.
        air.require(total(row.value) * row.inverse - call, "value is sent")
        # GAS, PROGRAM COUNTER
        self.fail(air, real, Ending.HALTED)


def fill(execution: Execution) -> Matrix | None:
    """All steps that would change the state in a static frame."""
    steps = execution.rows(*STATIC_CHANGES, route=STATIC_VIOLATION)
    if not len(steps):
        return None
    matrix, rows = allocate(Columns, len(steps))
    fill_step(rows, execution, steps)
    opcode = execution.opcode[steps]
    rows.instruction = opcode[:, None] == np.array(STATIC_CHANGES)
    StaticFrameFields.fill(rows.of_frame, execution, steps)
    calls = np.flatnonzero(opcode == OPCODES["CALL"])
    value = execution.operand(steps[calls], VALUE_OPERAND)
    rows.value[calls] = value
    rows.value_then[calls] = execution.operand_time(steps[calls], VALUE_OPERAND)
    rows.inverse[calls] = arithmetic.inverse(value.astype(np.uint64).sum(axis=1))
    return matrix


COMPONENTS = (Acting(StaticViolation(), fill),)
