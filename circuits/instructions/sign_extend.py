"""SIGNEXTEND.

Source: execution-specs `cancun/vm/instructions/arithmetic.py`.
"""

from __future__ import annotations

import numpy as np

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import total
from circuits.air.layout import allocate, bit, byte, element, limb, nested
from circuits.air.table import Air
from circuits.batch.execution import Execution, small_integers
from circuits.component import Acting
from circuits.functions.bitwise_bytes import query_and, query_byte
from circuits.instructions.bitwise import (
    BYTE_LOOKUP,
    BYTES,
    ONES,
    AtLeast,
    byte_number,
    fill_limb_with_byte,
    limb_with_byte,
)
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.widths import WORD
from executor.opcodes import OPCODES

GAS_LOW = 5

SIGNEXTEND = OPCODES["SIGNEXTEND"]

_SIGN_BIT = 0x80
_HIGH_BYTE = 0xFF00


class Columns(Step):
    """One SIGNEXTEND per row."""

    index = limb("number of the byte with the sign, 0 being the least significant", WORD, by=STACK_BUS)
    index_then = element("time of its push", by=STACK_BUS)
    word = limb("the word", WORD, by=STACK_BUS)
    word_then = element("time of its push", by=STACK_BUS)
    outside = bit("1: the index is above 31, and the word stays as it is")
    beyond = nested(AtLeast, "the index, when it is above 31")
    place = bit("1 for the limb that holds the sign; none if the index is above 31", WORD)
    odd = bit("1: the sign is in the high byte of that limb")
    low = byte("low byte of the limb, 0 without one", by=BYTE_LOOKUP)
    high = byte("high byte of the limb", by=BYTE_LOOKUP)
    sign = bit("the sign")
    result = limb("the result", WORD, by="limbs of the word, bytes and the sign")


class SignExtend(InstructionTable):
    """SIGNEXTEND."""

    name = "sign_extend"
    layout = Columns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, SIGNEXTEND)
        # STACK
        self.pop(air, 0, row.index, row.index_then)
        self.pop(air, 1, row.word, row.word_then)
        self.push(air, 2, row.result)
        # GAS
        self.proceed(air, stack=-1, gas=GAS_LOW)
        # OPERATION
        limb_with_byte(air, row, row.index, byte_number(row), row.word)
        with_sign = row.low + row.odd * (row.high - row.low)
        query_and(air, with_sign, _SIGN_BIT, row.sign * _SIGN_BIT, count=real)
        query_byte(air, row.low + row.high - with_sign, count=real)
        # The limb with the sign keeps its low byte, and its high byte too if the sign is there; bytes give a limb.
        edge = row.low + row.odd * row.high * 256 + (row.sign - row.sign * row.odd) * _HIGH_BYTE
        for i in range(WORD):
            below = total([row.outside, *row.place[i + 1 :]])  # the sign is above this limb, or nowhere
            above = total([air.constant(0), *row.place[:i]])
            expected = below * row.word[i] + row.place[i] * edge + above * row.sign * ONES
            air.require(expected - row.result[i], f"limb {i}")
        # PROGRAM COUNTER: the next byte.


def fill(execution: Execution) -> Matrix | None:
    """All steps of SIGNEXTEND."""
    steps = execution.rows(SIGNEXTEND)
    if not len(steps):
        return None
    matrix, rows = allocate(Columns, len(steps))
    fill_step(rows, execution, steps)
    index, word = execution.operand(steps, 0), execution.operand(steps, 1)
    rows.index, rows.index_then = index, execution.operand_time(steps, 0)
    rows.word, rows.word_then = word, execution.operand_time(steps, 1)
    number = small_integers(index)
    low, high = fill_limb_with_byte(rows, index, word, number, number >= BYTES)
    rows.sign = np.where(number & 1, high, low) >> 7
    rows.result = execution.result(steps)
    return matrix


COMPONENTS = (Acting(SignExtend(), fill),)
