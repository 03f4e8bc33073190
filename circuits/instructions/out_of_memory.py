"""Accesses beyond the memory that is proved, which no gas pays.

Source: execution-specs `cancun/vm/gas.py`, `calculate_gas_extend_memory`.
"""

from __future__ import annotations

import numpy as np

from circuits.air import field as arithmetic
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import one_hot, total
from circuits.air.layout import RANGE, allocate, bit, element, limb, nested
from circuits.air.table import Air
from circuits.batch.execution import (
    FAR_LIMB,
    MAX_MEMORY_WORDS,
    OUT_OF_MEMORY,
    Execution,
    far_beyond_memory,
    out_of_memory_operands,
)
from circuits.component import Acting
from circuits.frames.frames import Ending
from circuits.frames.gas import GasLimb
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.memory.buses import EXPANSION
from circuits.memory.expansion import expand
from circuits.widths import WORD, WORD_BYTES
from executor.opcodes import MEMORY_OPERANDS

#: Bytes of the memory that is proved.
LIMIT = WORD_BYTES * MAX_MEMORY_WORDS

#: Every access of an instruction: opcode, operands of offset and size (None: a constant size), size if constant.
ACCESSES = tuple((opcode, *access) for opcode, accesses in sorted(MEMORY_OPERANDS.items()) for access in accesses)

_LIMB = 1 << 16


class OutOfMemoryColumns(Step):
    """One failing step per row."""

    access = bit("one-hot: which access of which instruction", len(ACCESSES))
    offset = limb("first byte of the access", WORD, by=STACK_BUS)
    offset_then = element("time of its push", by=STACK_BUS)
    size = limb("bytes of the access", WORD, by="stack bus, or a constant of the instruction")
    size_then = element("time of its push", by=STACK_BUS)
    size_inverse = element("inverse of the sum of the size's limbs", by="its constraint")
    near = bit("1 when only the two lowest limbs of offset and size are used")
    far_inverse = element("inverse of the sum of the other limbs, 0 when near", by="its constraint")
    excess = limb("offset + size - 2^24 - 1 in limbs, 0 unless near", 2, by=RANGE)
    carry = element("carry into its second limb: -1, 0 or 1", by="its constraint")
    excess_carry = bit("carry out of its second limb")
    cost = element("gas that the whole of the memory costs beyond what is paid", by="expansion bus")
    unpaid = nested(GasLimb, "cost - gas - 1, unless vast")
    vast = bit("1 when a limb from 2^48 on is used: no gas of 64 bits pays for that")
    vast_inverse = element("inverse of the sum of these limbs, 0 unless vast", by="its constraint")


class OutOfMemory(InstructionTable):
    """A step that accesses bytes from 2^24 on, with too little gas for the memory up to there.

    The access needs more than 2^19 words, so its price is above that of 2^19 words, less what has been paid for. Where
    it lies beyond 2^48 the price is above 2^64, so that gas does not matter, a frame's reserve included.
    """

    name = "out_of_memory"
    layout = OutOfMemoryColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        one_hot(air, row.access, real, "access")
        self.begin(air, total([flag * access[0] for flag, access in zip(row.access, ACCESSES, strict=True)]))
        # STACK
        # Other operands are left where they are: the frame ends here.
        offset_depth = total([flag * access[1] for flag, access in zip(row.access, ACCESSES, strict=True)])
        size_depth, constant, constants = air.constant(0), air.constant(0), air.constant(0)
        for flag, (_, _, operand, size) in zip(row.access, ACCESSES, strict=True):
            if operand is None:
                constants, constant = constants + flag, constant + flag * size
            else:
                size_depth = size_depth + flag * operand
        self.take(air, row.stack_size - 1 - offset_depth, row.offset, row.offset_then, real)
        self.take(air, row.stack_size - 1 - size_depth, row.size, row.size_then, real - constants)
        air.require(constants * (row.size[0] - constant), "constant size")
        air.require_equal(row.size[1:], [0] * (WORD - 1), "constant size: other limbs", when=constants)
        air.require(constants * row.size_then, "no push of a constant size")
        # GAS
        air.query(EXPANSION, row.memory_words, LIMIT, MAX_MEMORY_WORDS, row.cost, count=real)
        air.require(row.vast * (1 - real), "padding is not vast")
        beyond = total([*row.offset[FAR_LIMB:], *row.size[FAR_LIMB:]])
        air.require(row.vast * (beyond * row.vast_inverse - 1), "beyond 2^48")
        air.require((1 - row.vast) * row.vast_inverse, "no inverse unless vast")
        GasLimb.constrain(air, row.unpaid, row.cost - row.gas - 1, real - row.vast)
        air.require(row.vast * row.unpaid.low, "gas is not compared when vast")
        # OPERATION
        # Sums of at most 32 limbs are below 2^21: they vanish only if all limbs do.
        air.require(total(row.size) * row.size_inverse - real, "the size is not 0")
        far = total([*row.offset[2:], *row.size[2:]])
        air.require(row.near * (1 - real), "padding is not near")
        air.require(far * row.far_inverse - (real - row.near), "either far or near")
        air.require(row.near * row.far_inverse, "no inverse when near")
        air.require(row.near * far, "near, no other limbs are used")
        # Near, offset + size - 2^24 - 1 is not negative, limb by limb; far it is not, as 2^32 is above 2^24 + 1. Each
        # side is within +-2^18. Elsewhere the limbs are 0, as limbs are no multiples of 2^16.
        air.require((row.carry - 1) * row.carry * (row.carry + 1), "carry is -1, 0 or 1")
        low = row.offset[0] + row.size[0] - 1
        air.require(row.near * low - row.excess[0] - row.carry * _LIMB, "low limb of the excess")
        high = row.offset[1] + row.size[1] - LIMIT // _LIMB + row.carry
        air.require(row.near * high - row.excess[1] - row.excess_carry * _LIMB, "high limb of the excess")
        # PROGRAM COUNTER
        self.fail(air, real, Ending.UNPAID * real + (Ending.HALTED - Ending.UNPAID) * row.vast)


def fill_out_of_memory(execution: Execution) -> Matrix | None:
    """All steps that reach beyond the memory."""
    steps = execution.rows(*MEMORY_OPERANDS, route=OUT_OF_MEMORY)
    if not len(steps):
        return None
    # Such a step ends its frame: there are few of them.
    operands = [out_of_memory_operands(execution, int(step)) for step in steps]
    keys = [(access[0], *access[1:3]) for access in ACCESSES]
    variants = np.array(
        [
            keys.index((int(execution.opcode[step]), used[0], used[1] if len(used) > 1 else None))
            for step, used in zip(steps, operands, strict=True)
        ]
    )
    numbers = np.arange(len(steps))
    offset_operand = np.array([access[1] for access in ACCESSES])[variants]
    size_operand = np.array([access[2] or 0 for access in ACCESSES])[variants]
    is_constant = np.array([access[2] is None for access in ACCESSES])[variants]
    matrix, rows = allocate(OutOfMemoryColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.access[numbers, variants] = 1
    for n, (offset_, size_) in enumerate(zip(offset_operand.tolist(), size_operand.tolist(), strict=True)):
        one = steps[n : n + 1]
        rows.offset[n] = execution.operand(one, offset_)[0]
        rows.offset_then[n] = execution.operand_time(one, offset_)[0]
        if is_constant[n]:
            rows.size[n, 0] = ACCESSES[variants[n]][3]
        else:
            rows.size[n] = execution.operand(one, size_)[0]
            rows.size_then[n] = execution.operand_time(one, size_)[0]
    offset, size = rows.offset.astype(np.int64), rows.size.astype(np.int64)
    rows.size_inverse = arithmetic.inverse(size.sum(axis=1).astype(np.uint64))
    far = offset[:, 2:].sum(axis=1) + size[:, 2:].sum(axis=1)
    near = far == 0
    rows.near = near
    rows.far_inverse = arithmetic.inverse(far.astype(np.uint64))
    low = np.where(near, offset[:, 0] + size[:, 0] - 1, 0)
    carry = low >> 16
    high = np.where(near, offset[:, 1] + size[:, 1] - LIMIT // _LIMB + carry, 0)
    rows.excess = np.stack([low & 0xFFFF, high & 0xFFFF], axis=1)
    rows.carry = carry % arithmetic.MODULUS
    rows.excess_carry = high >> 16
    words = execution.memory_words[steps]
    _, cost = expand(words, np.full(len(steps), LIMIT))
    rows.cost = cost
    vast = far_beyond_memory(execution, steps)
    rows.vast = vast
    rows.unpaid.low[~vast] = (cost - execution.gas[steps] - 1)[~vast] & 0xFFFF
    beyond = offset[:, FAR_LIMB:].sum(axis=1) + size[:, FAR_LIMB:].sum(axis=1)
    rows.vast_inverse = arithmetic.inverse(beyond.astype(np.uint64))
    return matrix


COMPONENTS = (Acting(OutOfMemory(), fill_out_of_memory),)
