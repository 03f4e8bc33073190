"""Comparison instructions: LT, GT, SLT, SGT, EQ and ISZERO.

Source: execution-specs `cancun/vm/instructions/comparison.py`.

Two words are ordered by the highest limb in which they differ. A flag names that limb; all limbs above it are equal,
and its difference is proved to be positive or negative, which excludes 0, by one range check of its amount less 1. Most
words that programs compare are small, so there is a narrow table for them, in which signs need no thought.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import IsZero, one_hot, total
from circuits.air.layout import RANGE, Size, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import Execution, Integers
from circuits.component import Acting
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.limbs import Limbs
from circuits.widths import WORD
from executor.opcodes import OPCODES

GAS_VERY_LOW = 3

LT, GT, SLT, SGT = OPCODES["LT"], OPCODES["GT"], OPCODES["SLT"], OPCODES["SGT"]
EQ, ISZERO = OPCODES["EQ"], OPCODES["ISZERO"]

#: A small comparison is one of words below 2^80: selectors, sizes, and amounts of most tokens.
SMALL_LIMBS = 5

_LIMBS = Size("limbs")


class OrderColumns(Step):
    """What all comparisons share; `left` is proved to be less than `right` or not."""

    greater_than = bit("1: GT or SGT, whose upper operand is `right`")
    left_then = element("time of the push of `left`", by=STACK_BUS)
    right_then = element("time of the push of `right`", by=STACK_BUS)
    less = bit("1 when left < right")
    more = bit("1 when left > right")
    distance = limb("amount of the difference of the highest limbs that differ, less 1; 0 for equal words", by=RANGE)


class CompareColumns(OrderColumns):
    """One comparison per row."""

    left = limb("the word that is less, or not", _LIMBS, by=STACK_BUS)
    right = limb("the word it is compared with", _LIMBS, by=STACK_BUS)
    highest = bit("1 for the highest limb that differs, if any", _LIMBS)


class SmallColumns(CompareColumns):
    """A comparison of small words, of any kind."""

    signed = bit("1: SLT or SGT")
    equal = bit("1: EQ")


class UnsignedColumns(CompareColumns):
    """LT, GT or EQ of any words."""

    equal = bit("1: EQ")


class SignedColumns(CompareColumns):
    """SLT or SGT of any words."""

    left_sign = bit("bit 255 of left")
    right_sign = bit("bit 255 of right")


class Compare(InstructionTable):
    """Base of the comparisons of two words."""

    def compare(self, air: Air, opcode: Expression, differences: list[Expression], result: Expression) -> None:
        """`differences` of the limbs are integers of less than 2^16 in amount, those of left less those of right."""
        row, real = air.row, air.row.real
        self.begin(air, opcode)
        # STACK
        # GT is LT with the operands exchanged: `right` is then the upper one.
        self.take(air, row.stack_size - 1 - row.greater_than, row.left, row.left_then, real)
        self.take(air, row.stack_size - 2 + row.greater_than, row.right, row.right_then, real)
        self.push(air, 2, [result])
        # GAS
        self.proceed(air, stack=-1, gas=GAS_VERY_LOW)
        # OPERATION
        # At most one limb is flagged: less + more is a bit.
        air.require(row.less * row.more, "not both less and more")
        one_hot(air, row.highest, row.less + row.more, "the highest limb that differs")
        above: Expression = air.constant(0)
        for i in reversed(range(len(differences))):
            above = above + row.highest[i]
            air.require((1 - above) * differences[i], f"limb {i} is equal above the highest that differs")
        # The amount of a difference is in 1..2^16 - 1; here it is 1 + a limb, in 1..2^16, so the sign is the one of
        # an integer that is not 0: both sides are below 2^17 in amount.
        difference = total([h * d for h, d in zip(row.highest, differences, strict=True)])
        air.require(difference - (row.more - row.less) * (row.distance + 1), "sign and amount of the difference")
        air.require((1 - row.less - row.more) * row.distance, "equal words have no distance")
        # PROGRAM COUNTER: the next byte.


def _differences(row: Any) -> list[Expression]:
    return [a - b for a, b in zip(row.left, row.right, strict=True)]


class CompareSmall(Compare):
    """LT, GT, SLT, SGT and EQ of words below 2^80, which have no sign."""

    name = "compare_small"
    layout = SmallColumns.sized(limbs=SMALL_LIMBS)

    def constraints(self, air: Air) -> None:
        row = air.row
        air.require(row.equal * (row.greater_than + row.signed), "EQ is none of the others")
        opcode = LT + row.greater_than * (GT - LT) + row.signed * (SLT - LT) + row.equal * (EQ - LT)
        self.compare(air, opcode, _differences(row), _result(row))


class CompareUnsigned(Compare):
    """LT, GT and EQ."""

    name = "compare"
    layout = UnsignedColumns.sized(limbs=WORD)

    def constraints(self, air: Air) -> None:
        row = air.row
        air.require(row.equal * row.greater_than, "EQ is not GT")
        opcode = LT + row.greater_than * (GT - LT) + row.equal * (EQ - LT)
        self.compare(air, opcode, _differences(row), _result(row))


def _result(row: Any) -> Expression:
    """EQ: neither less nor more; otherwise: less."""
    result: Expression = row.less + row.equal * (1 - row.less * 2 - row.more)
    return result


class CompareSigned(Compare):
    """SLT and SGT: unsigned comparisons of words whose bit 255 is inverted."""

    name = "compare_signed"
    layout = SignedColumns.sized(limbs=WORD)

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        for top, sign in ((row.left[-1], row.left_sign), (row.right[-1], row.right_sign)):
            check_sign(air, top, sign, real)
        differences = _differences(row)
        # A limb with its highest bit b inverted is the limb + 2^15 - 2^16 b, again a limb.
        differences[-1] = differences[-1] - (row.left_sign - row.right_sign) * (1 << 16)
        self.compare(air, SLT + row.greater_than * (SGT - SLT), differences, row.less)


def check_sign(air: Air, top: Expression, sign: Expression, count: Expression) -> None:
    """The bit `sign` is the highest bit of the limb `top` where `count` is 1: without it, twice the limb is a limb.

    The integer top - 2^15 sign is in [-2^15, 2^16); twice that is a limb only if it is in [0, 2^15).
    """
    air.query(RANGE16, (top - sign * (1 << 15)) * 2, count=count)


_COMPARISONS = (LT, GT, SLT, SGT, EQ)


def _compared(execution: Execution, opcodes: tuple[int, ...], *, small: bool) -> Integers:
    steps = execution.rows(*opcodes)
    high = execution.operand(steps, 0)[:, SMALL_LIMBS:] | execution.operand(steps, 1)[:, SMALL_LIMBS:]
    chosen: Integers = steps[(high == 0).all(axis=1) == small]
    return chosen


def _fill_compare(execution: Execution, table: type[Compare], steps: Integers) -> Matrix | None:
    if not len(steps):
        return None
    matrix, rows = allocate(table.layout, len(steps))
    fill_step(rows, execution, steps)
    opcode = execution.opcode[steps]
    greater_than = (opcode == GT) | (opcode == SGT)
    signed = (opcode == SLT) | (opcode == SGT)
    upper, lower = execution.operand(steps, 0), execution.operand(steps, 1)
    times = execution.operand_time(steps, 0), execution.operand_time(steps, 1)
    rows.greater_than = greater_than
    rows.left_then = np.where(greater_than, times[1], times[0])
    rows.right_then = np.where(greater_than, times[0], times[1])
    limbs = rows.left.shape[1]
    left = np.where(greater_than[:, None], lower, upper)[:, :limbs].astype(np.int64)
    right = np.where(greater_than[:, None], upper, lower)[:, :limbs].astype(np.int64)
    rows.left, rows.right = left, right
    difference = left - right
    if table is CompareSigned:
        rows.left_sign, rows.right_sign = left[:, -1] >> 15, right[:, -1] >> 15
        difference[:, -1] -= ((left[:, -1] >> 15) - (right[:, -1] >> 15)) << 16
    else:
        rows.equal = opcode == EQ
    if table is CompareSmall:
        rows.signed = signed
    differs = difference != 0
    top = limbs - 1 - np.argmax(differs[:, ::-1], axis=1)
    rows.highest = differs & (np.arange(limbs) == top[:, None])
    deciding = difference[np.arange(len(steps)), top]  # 0 for equal words
    rows.less, rows.more = deciding < 0, deciding > 0
    rows.distance = np.maximum(np.abs(deciding) - 1, 0)
    return matrix


class IsZeroColumns(Step):
    """One ISZERO per row."""

    word = limb("the word", _LIMBS, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)
    sum = nested(IsZero, "whether the sum of its limbs is 0")


class IsZeroWord(InstructionTable):
    """ISZERO of a word that fits the table's limbs."""

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, ISZERO)
        # STACK
        self.pop(air, 0, row.word, row.then)
        self.push(air, 1, [row.sum.zero])
        # GAS
        self.proceed(air, stack=0, gas=GAS_VERY_LOW)
        # OPERATION
        # A sum of 16 limbs is below 2^20: it is 0 only if all are.
        IsZero.constrain(air, row.sum, total(row.word), when=row.real)
        # PROGRAM COUNTER: the next byte.


IS_ZERO_SMALL = IsZeroWord("is_zero_small", IsZeroColumns.sized(limbs=1))
IS_ZERO = IsZeroWord("is_zero", IsZeroColumns.sized(limbs=WORD))


def _fill_is_zero(execution: Execution, table: IsZeroWord, *, small: bool) -> Matrix | None:
    steps = execution.rows(ISZERO)
    word: Limbs = execution.operand(steps, 0)
    fits = (word[:, 1:] == 0).all(axis=1)
    steps, word = steps[fits == small], word[fits == small]
    if not len(steps):
        return None
    matrix, rows = allocate(table.layout, len(steps))
    fill_step(rows, execution, steps)
    rows.word = word[:, : rows.word.shape[1]]
    rows.then = execution.operand_time(steps, 0)
    IsZero.fill(rows.sum, word.astype(np.uint64).sum(axis=1))
    return matrix


COMPONENTS = (
    Acting(CompareSmall(), lambda e: _fill_compare(e, CompareSmall, _compared(e, _COMPARISONS, small=True))),
    Acting(CompareUnsigned(), lambda e: _fill_compare(e, CompareUnsigned, _compared(e, (LT, GT, EQ), small=False))),
    Acting(CompareSigned(), lambda e: _fill_compare(e, CompareSigned, _compared(e, (SLT, SGT), small=False))),
    Acting(IS_ZERO_SMALL, lambda e: _fill_is_zero(e, IS_ZERO_SMALL, small=True)),
    Acting(IS_ZERO, lambda e: _fill_is_zero(e, IS_ZERO, small=False)),
)
