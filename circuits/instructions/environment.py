"""Instructions that push what is known of the frame, the transaction or the block.

Source: execution-specs `cancun/vm/instructions/environment.py` and `block.py`.
"""

from __future__ import annotations

import numpy as np

from circuits.air.field import Matrix
from circuits.air.layout import allocate, element, limb
from circuits.air.table import Air
from circuits.batch.execution import Execution
from circuits.component import Acting
from circuits.frames.buses import CONTEXT, CONTEXT_OF
from circuits.frames.contexts import BLOCK_CONTEXT, FRAME_CONTEXT, TRANSACTION_CONTEXT
from circuits.frames.frames import OPCODES_OF_FRAMES
from circuits.instructions.step import InstructionTable, Step, fill_step
from circuits.transactions.block import FIELDS
from circuits.widths import WORD
from executor.opcodes import OPCODES

GAS_BASE = 2

#: Which context knows the word an instruction gives.
KINDS = {
    **dict.fromkeys(OPCODES_OF_FRAMES, FRAME_CONTEXT),
    **dict.fromkeys((OPCODES["ORIGIN"], OPCODES["GASPRICE"]), TRANSACTION_CONTEXT),
    **dict.fromkeys(FIELDS, BLOCK_CONTEXT),
}


class Columns(Step):
    """One step per row."""

    opcode = element("the instruction", by="instruction bus")
    kind = element("0: frame, 1: transaction, 2: block", by="context bus, which knows an opcode in one kind only")
    id = element("the frame, transaction or block", by="context_of bus")
    word = limb("the word", WORD, by="context bus")


class Context(InstructionTable):
    """ADDRESS, ORIGIN, CALLER, CALLVALUE, CALLDATASIZE, CODESIZE, GASPRICE and all fields of the block."""

    name = "context"
    layout = Columns

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, row.opcode)
        # OPERATION. The kind is the prover's, but only one kind has providers for the opcode.
        air.query(CONTEXT_OF, row.frame, row.kind, row.id, count=row.real)
        air.query(CONTEXT, row.kind, row.id, row.opcode, row.word, count=row.real)
        # STACK
        self.check_room(air)
        self.push(air, 0, row.word)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=1, gas=GAS_BASE)


def fill(execution: Execution) -> Matrix | None:
    """All steps of these instructions."""
    steps = execution.rows(*KINDS)
    if not len(steps):
        return None
    matrix, rows = allocate(Columns, len(steps))
    fill_step(rows, execution, steps)
    opcode = execution.opcode[steps]
    kinds = np.zeros(256, dtype=np.int64)
    kinds[list(KINDS)] = list(KINDS.values())
    kind = kinds[opcode]
    operation = execution.operation[steps]
    block = np.searchsorted(execution.blocks, execution.operations.block[operation])
    rows.opcode = opcode
    rows.kind = kind
    rows.id = np.choose(kind, [execution.frame[steps], operation, block])
    rows.word = execution.result(steps)
    return matrix


COMPONENTS = (Acting(Context(), fill),)
