"""RETURN and REVERT.

Source: execution-specs `cancun/vm/instructions/system.py`. They say where in the frame's memory lies what they return;
whoever wants it reads it there, as nothing changes it any more. It is paid for in any case.
"""

from __future__ import annotations

import numpy as np

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import IsZero, total
from circuits.air.layout import allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import Execution, small_integers
from circuits.component import Acting
from circuits.frames.buses import CONTEXT_OF
from circuits.frames.contexts import CREATION
from circuits.frames.frames import Ending
from circuits.frames.gas import Charge
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.memory.buses import EXPANSION
from circuits.memory.expansion import memory_cost
from circuits.widths import WORD
from executor.opcodes import OPCODES

RETURN, REVERT = OPCODES["RETURN"], OPCODES["REVERT"]

_BASE = 1 << 16

#: An access reaches at most 2^24 bytes: the upper limb of an offset or a size has 9 bits.
_HIGH_BITS = 9
_LIMBS = 2


class ReturnColumns(Step):
    """One RETURN or REVERT per row."""

    is_revert = bit("1 for REVERT")
    offset = limb("first byte", WORD, by=STACK_BUS)
    offset_then = element("time of its push", by=STACK_BUS)
    size = limb("bytes", _LIMBS, by=STACK_BUS)
    size_then = element("time of its push", by=STACK_BUS)
    empty = nested(IsZero, "whether the size is 0")
    end = element("bytes that the access reaches; 0 if the size is 0", by="offset and size")
    after = element("words of memory afterwards", by="expansion bus")
    cost = element("gas of the memory", by="expansion bus")
    charge = nested(Charge, "whether it can be paid")


class Return(InstructionTable):
    """RETURN and REVERT, successful or without the gas for the memory they reach.

    Sizes above 2^24, and such offsets with a size other than 0, are proved by `out_of_memory`.
    """

    name = "return"
    layout = ReturnColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        air.require(row.is_revert * (1 - real), "padding is no REVERT")
        self.begin(air, real * RETURN + row.is_revert * (REVERT - RETURN))
        # What a creation returns is its code: `deposit`.
        air.query(CONTEXT_OF, row.frame, CREATION, 0, count=real - row.is_revert)
        # STACK
        self.pop(air, 0, row.offset, row.offset_then)
        self.pop(air, 1, row.size, row.size_then)
        # GAS
        # Upper limbs below 2^9 keep size and offset below 2^25 each.
        size = row.size[0] + row.size[1] * _BASE
        air.query(RANGE16, row.size[1] * (1 << (16 - _HIGH_BITS)), count=real)
        IsZero.constrain(air, row.empty, size, when=real, name="size")
        reaches = real - row.empty.zero
        air.query(RANGE16, row.offset[1] * (1 << (16 - _HIGH_BITS)), count=reaches)
        air.require(reaches * total(row.offset[_LIMBS:]), "the offset has no upper limbs")
        air.require(row.end - reaches * (row.offset[0] + row.offset[1] * _BASE + size), "end of the access")
        air.query(EXPANSION, row.memory_words, row.end, row.after, row.cost, count=real)
        # The memory of 2^19 words costs less than 2^30 gas.
        Charge.constrain(air, row.charge, row.gas, row.cost)
        # OPERATION
        ending = Ending.SUCCEEDED + (Ending.REVERTED - Ending.SUCCEEDED) * row.is_revert
        # `end` is offset + size, or 0 with a size of 0: so is the offset then.
        self.halt(
            air,
            ending,
            gas=row.gas - row.cost,
            return_start=row.end - size,
            return_size=size,
            count=real - row.charge.fails,
        )
        self.fail(air, row.charge.fails)


def fill_return(execution: Execution) -> Matrix | None:
    """All steps of RETURN and REVERT that reach no further than the memory may, but for RETURN in creations."""
    steps = np.setdiff1d(execution.rows(RETURN, REVERT), execution.deposits)
    if not len(steps):
        return None
    matrix, rows = allocate(ReturnColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.is_revert = execution.opcode[steps] == REVERT
    offset, size = execution.operand(steps, 0), execution.operand(steps, 1)
    rows.offset = offset
    rows.offset_then = execution.operand_time(steps, 0)
    rows.size = size[:, :_LIMBS]
    rows.size_then = execution.operand_time(steps, 1)
    sizes = small_integers(size)
    IsZero.fill(rows.empty, sizes.astype(np.uint64))
    end = np.where(sizes == 0, 0, small_integers(offset) + sizes)
    rows.end = end
    before = execution.memory_words[steps]
    after = np.maximum(before, -(-end // 32))
    rows.after = after
    cost = memory_cost(after) - memory_cost(before)
    rows.cost = cost
    Charge.fill(rows.charge, execution.gas[steps], cost)
    return matrix


COMPONENTS = (Acting(Return(), fill_return),)
