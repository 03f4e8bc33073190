"""Bitwise instructions: AND, OR, XOR, NOT, BYTE, SHL, SHR, SAR and, in forks that have it, CLZ.

Source: execution-specs `cancun/vm/instructions/bitwise.py`; EIP-7939.

Programs of compilers mostly combine words with masks whose limbs are all 0 or 0xffff, such as those of addresses, and
shift by multiples of 16 bits. Both only choose limbs, and have tables without any range check; other operands are
taken apart into bytes and bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.derived import fill_derived
from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import IsZero, one_hot, total
from circuits.air.gadgets.top_bit import TopBit
from circuits.air.gadgets.words import limb_bytes
from circuits.air.layout import RANGE, Array, C, Layout, allocate, bit, byte, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import Execution, Integers, small_integers
from circuits.component import Acting, Component
from circuits.functions.bitwise_bytes import query_xor
from circuits.instructions.comparison import check_sign
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.limbs import Limbs
from circuits.widths import WORD
from executor.forks import AddedInstruction, Fork
from executor.limbs import words_to_ints
from executor.opcodes import OPCODES

GAS_VERY_LOW = 3

AND, OR, XOR, NOT = OPCODES["AND"], OPCODES["OR"], OPCODES["XOR"], OPCODES["NOT"]
BYTE, SHL, SHR, SAR = OPCODES["BYTE"], OPCODES["SHL"], OPCODES["SHR"], OPCODES["SAR"]

LIMB_BITS = 16
ONES = 0xFFFF
WORD_BITS = 256
BYTES = 32

BYTE_LOOKUP = "bitwise_bytes bus"


# AND, OR and XOR.


class MaskColumns(Step):
    """One AND or OR with a mask per row."""

    mask_is_lower = bit("1: the mask is the lower one of the two words on the stack")
    mask_then = element("time of the mask's push", by=STACK_BUS)
    word_then = element("time of the other word's push", by=STACK_BUS)
    mask = bit("1 where a limb of the mask is 0xffff, 0 where it is 0", WORD)
    word = limb("the other word", WORD, by=STACK_BUS)


class Masked(InstructionTable):
    """AND or OR, where each limb of one of the words is 0 or 0xffff."""

    layout = MaskColumns

    def __init__(self, name: str, opcode: int, operation: Callable[[Expression, Expression], Expression]) -> None:
        super().__init__(name)
        self.opcode, self.operation = opcode, operation

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, self.opcode)
        # STACK
        mask = [m * ONES for m in row.mask]
        self.take(air, row.stack_size - 1 - row.mask_is_lower, mask, row.mask_then, real)
        self.take(air, row.stack_size - 2 + row.mask_is_lower, row.word, row.word_then, real)
        # OPERATION
        # A limb of the result is one of the word, 0, or 0xffff.
        self.push(air, 2, [self.operation(x, m) for x, m in zip(row.word, row.mask, strict=True)])
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_VERY_LOW)


def _or(word: Expression, mask: Expression) -> Expression:
    return word + mask * (ONES - word)


AND_MASK = Masked("and_mask", AND, lambda word, mask: word * mask)
OR_MASK = Masked("or_mask", OR, _or)


def _is_mask(word: Limbs) -> NDArray[np.bool_]:
    masks: NDArray[np.bool_] = ((word == 0) | (word == ONES)).all(axis=1)
    return masks


def _has_mask(execution: Execution, steps: Integers) -> NDArray[np.bool_]:
    return _is_mask(execution.operand(steps, 0)) | _is_mask(execution.operand(steps, 1))


def _fill_masked(execution: Execution, table: Masked) -> Matrix | None:
    steps = execution.rows(table.opcode)
    steps = steps[_has_mask(execution, steps)]
    if not len(steps):
        return None
    matrix, rows = allocate(MaskColumns, len(steps))
    fill_step(rows, execution, steps)
    upper, lower = execution.operand(steps, 0), execution.operand(steps, 1)
    times = execution.operand_time(steps, 0), execution.operand_time(steps, 1)
    is_lower = ~_is_mask(upper)
    rows.mask_is_lower = is_lower
    rows.mask_then = np.where(is_lower, times[1], times[0])
    rows.word_then = np.where(is_lower, times[0], times[1])
    rows.mask = np.where(is_lower[:, None], lower, upper) != 0
    rows.word = np.where(is_lower[:, None], upper, lower)
    return matrix


class BitwiseColumns(Step):
    """One AND, OR or XOR per row."""

    is_or = bit("1: OR")
    is_xor = bit("1: XOR; neither: AND")
    left_then = element("time of the upper word's push", by=STACK_BUS)
    right_then = element("time of the lower word's push", by=STACK_BUS)
    left = byte("bytes of the upper word, least significant first", BYTES, by=BYTE_LOOKUP)
    right = byte("bytes of the lower word", BYTES, by=BYTE_LOOKUP)
    xor = byte("their exclusive or", BYTES, by=BYTE_LOOKUP)


class Bitwise(InstructionTable):
    """AND, OR and XOR of any words, byte by byte."""

    name = "bitwise"
    layout = BitwiseColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, AND + row.is_or * (OR - AND) + row.is_xor * (XOR - AND))
        air.require(row.is_or * row.is_xor, "not both OR and XOR")
        # STACK
        left, right, xor = (_limbs(x) for x in (row.left, row.right, row.xor))
        self.pop(air, 0, left, row.left_then)
        self.pop(air, 1, right, row.right_then)
        # OPERATION
        for a, b, c in zip(row.left, row.right, row.xor, strict=True):
            query_xor(air, a, b, c, count=row.real)
        # a & b = (a + b - (a ^ b)) / 2, a | b = (a + b + (a ^ b)) / 2, and a ^ b is itself: all over the integers.
        half = pow(2, -1, MODULUS)
        of_sum = (1 - row.is_xor) * half
        of_xor = (row.is_or * 2 + row.is_xor * 3 - 1) * half
        self.push(air, 2, [of_sum * (a + b) + of_xor * c for a, b, c in zip(left, right, xor, strict=True)])
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_VERY_LOW)


def _limbs(bytes_: Any) -> list[Expression]:
    return [bytes_[2 * i] + bytes_[2 * i + 1] * 256 for i in range(WORD)]


def fill_bitwise(execution: Execution) -> Matrix | None:
    """AND and OR without a mask, and XOR."""
    steps = execution.rows(AND, OR, XOR)
    opcode = execution.opcode[steps]
    steps = steps[(opcode == XOR) | ~_has_mask(execution, steps)]
    if not len(steps):
        return None
    matrix, rows = allocate(BitwiseColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.is_or = execution.opcode[steps] == OR
    rows.is_xor = execution.opcode[steps] == XOR
    rows.left_then = execution.operand_time(steps, 0)
    rows.right_then = execution.operand_time(steps, 1)
    left, right = (limb_bytes(execution.operand(steps, i)) for i in range(2))
    rows.left, rows.right, rows.xor = left, right, left ^ right
    return matrix


# NOT.


class NotColumns(Step):
    """One NOT per row."""

    word = limb("the word", WORD, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)


class Not(InstructionTable):
    """NOT."""

    name = "not"
    layout = NotColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, NOT)
        # STACK
        self.pop(air, 0, row.word, row.then)
        # OPERATION
        self.push(air, 1, [ONES - x for x in row.word])
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=0, gas=GAS_VERY_LOW)


def fill_not(execution: Execution) -> Matrix | None:
    """All steps of NOT."""
    steps = execution.rows(NOT)
    if not len(steps):
        return None
    matrix, rows = allocate(NotColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.word = execution.operand(steps, 0)
    rows.then = execution.operand_time(steps, 0)
    return matrix


# Operands that are out of range.


class AtLeast(Layout[C]):
    """A word that is at least a small constant, or so where `when` is 1."""

    high: IsZero[C] = nested(IsZero, "whether all limbs above the lowest are 0")

    @staticmethod
    def constrain(air: Air, cells: AtLeast, word: Any, bound: int, *, when: Operand, name: str) -> None:
        """`word` is at least `bound` (at most 2^16) where `when`, a bit, is 1; its limbs are pinned by their owner.

        A sum of 15 limbs is below 2^20, so it is 0 only if all of them are; then the lowest limb less the bound, an
        integer above -2^16, is a limb.
        """
        IsZero.constrain(air, cells.high, total(word[1:]), when=when, name=name)
        air.query(RANGE16, word[0] - bound, count=cells.high.zero)

    @staticmethod
    def fill(cells: AtLeast[Array], word: Limbs, when: NDArray[np.bool_]) -> None:
        """`word`: (rows, 16); `when`: (rows,)."""
        high = word[:, 1:].astype(np.uint64).sum(axis=1)
        IsZero.fill(cells.high, high)
        cells.high.zero = cells.high.zero * when
        cells.high.inverse = cells.high.inverse * when


# BYTE.


class ByteColumns(Step):
    """One BYTE per row."""

    index = limb("which byte, 0 being the most significant", WORD, by=STACK_BUS)
    index_then = element("time of its push", by=STACK_BUS)
    word = limb("the word", WORD, by=STACK_BUS)
    word_then = element("time of its push", by=STACK_BUS)
    outside = bit("1: the index is above 31 and the result 0")
    beyond = nested(AtLeast, "the index, when it is above 31")
    place = bit("1 for the limb that holds the byte; none if the index is above 31", WORD)
    odd = bit("1: it is the high byte of that limb")
    low = byte("low byte of the limb, 0 without one", by=BYTE_LOOKUP)
    high = byte("high byte of the limb", by=BYTE_LOOKUP)
    xor = byte("low ^ high", by=BYTE_LOOKUP)


class Byte(InstructionTable):
    """BYTE."""

    name = "byte"
    layout = ByteColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, BYTE)
        # STACK
        self.pop(air, 0, row.index, row.index_then)
        self.pop(air, 1, row.word, row.word_then)
        # OPERATION
        limb_with_byte(air, row, row.index, BYTES - 1 - byte_number(row), row.word)
        query_xor(air, row.low, row.high, row.xor, count=real)
        self.push(air, 2, [row.low + row.odd * (row.high - row.low)])
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_VERY_LOW)


def byte_number(row: Any) -> Expression:
    """Number of the byte that `place` and `odd` name, 0 being the least significant."""
    number: Expression = total([flag * (2 * i) for i, flag in enumerate(row.place)]) + row.odd
    return number


def limb_with_byte(air: Air, row: Any, index: Any, number: Expression, word: Any) -> None:
    """`low` + 256 `high` is the limb that `place` flags of `word`, where `index` = `number` names one of its bytes.

    Where `outside` is 1 the index is above 31, no limb is flagged, and `low` = `high` = 0, both being bytes.
    """
    inside = row.real - row.outside
    air.require(row.outside * (1 - row.real), "padding has no index")
    one_hot(air, row.place, inside, "limb of the byte")
    air.require(row.odd * (1 - inside), "no byte outside")
    air.require(inside * (index[0] - number), "index")
    # A sum of 15 limbs is below 2^20.
    air.require(inside * total(index[1:]), "an index inside is small")
    AtLeast.constrain(air, row.beyond, index, BYTES, when=row.outside, name="outside")
    chosen = total([flag * x for flag, x in zip(row.place, word, strict=True)])
    air.require(chosen - row.low - row.high * 256, "bytes of the limb")


def fill_limb_with_byte(
    rows: Any, index: Limbs, word: Limbs, number: Integers, outside: NDArray[np.bool_]
) -> tuple[Integers, Integers]:
    """Fill the columns of `limb_with_byte`; `number` is that of the byte where it is not outside. Returns the bytes."""
    place = number >> 1
    rows.outside = outside
    AtLeast.fill(rows.beyond, index, outside)
    rows.place = ~outside[:, None] & (np.arange(WORD) == place[:, None])
    rows.odd = np.where(outside, 0, number & 1)
    chosen = np.where(outside, 0, word[np.arange(len(word)), np.where(outside, 0, place)].astype(np.int64))
    rows.low, rows.high = chosen & 0xFF, chosen >> 8
    return chosen & 0xFF, chosen >> 8


def fill_byte(execution: Execution) -> Matrix | None:
    """All steps of BYTE."""
    steps = execution.rows(BYTE)
    if not len(steps):
        return None
    matrix, rows = allocate(ByteColumns, len(steps))
    fill_step(rows, execution, steps)
    index, word = execution.operand(steps, 0), execution.operand(steps, 1)
    rows.index, rows.index_then = index, execution.operand_time(steps, 0)
    rows.word, rows.word_then = word, execution.operand_time(steps, 1)
    place = small_integers(index)
    low, high = fill_limb_with_byte(rows, index, word, BYTES - 1 - place, place >= BYTES)
    rows.xor = low ^ high
    return matrix


# Shifts.


def _whole_limbs(row: Any) -> Expression:
    """A shift by whole limbs, in bits."""
    return total([flag * (LIMB_BITS * q) for q, flag in enumerate(row.limbs)])


class ShiftColumns(Step):
    """What shifts by less than 256 share."""

    shift = limb("by how many bits, below 256", equals=_whole_limbs)
    shift_then = element("time of its push", by=STACK_BUS)
    value_then = element("time of the value's push", by=STACK_BUS)
    limbs = bit("one-hot: by how many limbs", WORD)


class ShiftTable(InstructionTable):
    """Base of shifts by less than 256."""

    def shift(self, air: Air, opcode: Operand, value: Any, result: Any) -> None:
        """All but the operation; the value and the result are limbs."""
        row = air.row
        self.begin(air, opcode)
        # STACK
        self.pop(air, 0, [row.shift], row.shift_then)
        self.pop(air, 1, value, row.value_then)
        self.push(air, 2, result)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_VERY_LOW)
        # OPERATION
        one_hot(air, row.limbs, row.real, "limbs")


class PlaceColumns(ShiftColumns):
    """One SHL of a limb per row."""

    value = limb("the value", by=STACK_BUS)


class PlaceLimb(ShiftTable):
    """SHL of a value below 2^16 by a multiple of 16, as in the `1 << 160` that masks are made of."""

    name = "shl_limb"
    layout = PlaceColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        # OPERATION
        self.shift(air, SHL, [row.value], [flag * row.value for flag in row.limbs])


class LimbColumns(ShiftColumns):
    """One SHL or SHR by a multiple of 16 per row."""

    right = bit("1: SHR")
    value = limb("the value", WORD, by=STACK_BUS)
    result = limb("the result", WORD, by="limbs of the value, or 0")


class ShiftLimbs(ShiftTable):
    """SHL and SHR by a multiple of 16."""

    name = "shift_limbs"
    layout = LimbColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        # OPERATION
        self.shift(air, SHL + row.right * (SHR - SHL), row.value, row.result)
        for j in range(WORD):
            left = total([row.limbs[q] * row.value[j - q] for q in range(j + 1)])
            right = total([row.limbs[q] * row.value[j + q] for q in range(WORD - j)])
            air.require(left + row.right * (right - left) - row.result[j], f"limb {j}")


def _shift_by_bits(row: Any) -> Expression:
    """The shift to the left for SHL, 256 less it for the others."""
    left = _whole_limbs(row) + total([flag * t for t, flag in enumerate(row.bits)])
    shift: Expression = left + row.right * (WORD_BITS - left * 2)
    return shift


class BitColumns(ShiftColumns):
    """One SHL, SHR or SAR by less than 256 per row.

    Shifting right by s is shifting left by 256 - s into another word and taking that. The shift to the left is by
    `limbs` limbs and 0..15 bits for SHL, and by `limbs` limbs and 1..16 bits for SHR and SAR.
    """

    shift = limb("by how many bits, below 256", equals=_shift_by_bits)
    right = bit("1: SHR or SAR")
    arithmetic = bit("1: SAR")
    sign = bit("1: SAR of a negative value, which is SHR of its complement, complemented")
    bits = bit("one-hot: by how many bits", LIMB_BITS + 1)
    factor = element("2^bits", equals=lambda row: total([f * (1 << t) for t, f in enumerate(row.bits)]))
    cofactor = element(
        "2^(16 - bits)", equals=lambda row: total([f * (1 << LIMB_BITS - t) for t, f in enumerate(row.bits)])
    )
    value = limb("the value, complemented if its sign is 1", WORD, by=STACK_BUS)
    upper = limb("upper part of each limb, which moves to the next: as many bits as the shift", WORD, by=RANGE)
    lower = limb("the rest of each limb", WORD, by=RANGE)
    # lower 2^bits is a multiple of 2^bits below 2^16 and the upper part below 2^bits: a limb.
    moved = limb(
        "limbs of the value shifted by `bits`; the 17th is the last upper part",
        WORD,
        equals=lambda row: [x * row.factor + below for x, below in zip(row.lower, (0, *row.upper[:-1]), strict=True)],
    )
    result = limb("the result, complemented if the sign is 1", WORD, by="limbs of moved, or 0")


class ShiftBits(ShiftTable):
    """SHL, SHR and SAR by less than 256."""

    name = "shift"
    layout = BitColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        opcode = SHL + row.right * (SHR - SHL) + row.arithmetic * (SAR - SHR)
        value, result = ([_complement(x, row.sign) for x in word] for word in (row.value, row.result))
        self.shift(air, opcode, value, result)
        air.require(row.arithmetic * (1 - row.right), "SAR shifts to the right")
        air.require(row.sign * (1 - row.arithmetic), "only SAR has a sign")
        air.require(row.arithmetic * (1 - real), "padding has no opcode")
        # Complemented or not, the value is below 2^255: the sign is the one of the value.
        check_sign(air, row.value[-1], air.constant(0), row.arithmetic)
        # OPERATION
        flags = row.bits
        one_hot(air, flags, real, "bits")
        air.require(flags[0] * row.right, "a shift to the right has 1..16 bits")
        air.require(flags[LIMB_BITS] * (1 - row.right), "a shift to the left has 0..15 bits")
        for i, (x, upper, lower) in enumerate(zip(row.value, row.upper, row.lower, strict=True)):
            # x = upper 2^(16 - bits) + lower with lower < 2^(16 - bits): that makes both unique, provided that the
            # products are those of the integers. Up to 14 bits, lower 2^bits is below 2^30, hence truly a limb; from 2
            # bits on, upper 2^(16 - bits) is below 2^30. Otherwise what is multiplied is a bit, or 0.
            air.require(upper * row.cofactor + lower - x, f"limb {i} taken apart")
            air.query(RANGE16, lower * row.factor, count=real)
            air.require(flags[0] * upper, f"limb {i}: 0 upper bits")
            air.require(flags[1] * upper * (upper - 1), f"limb {i}: 1 upper bit")
            air.require(flags[LIMB_BITS] * lower, f"limb {i}: 0 lower bits")
            air.require(flags[LIMB_BITS - 1] * lower * (lower - 1), f"limb {i}: 1 lower bit")
        moved = [*row.moved, row.upper[-1]]
        for j in range(WORD):
            left = total([row.limbs[q] * moved[j - q] for q in range(j + 1)])
            right = total([row.limbs[q] * moved[j + WORD - q] for q in range(j, WORD)])
            air.require(left + row.right * (right - left) - row.result[j], f"limb {j} of the result")


def _complement(limb_: Expression, sign: Expression) -> Expression:
    return limb_ + sign * (ONES - limb_ * 2)


class ShiftOutColumns(Step):
    """One shift by 256 or more per row."""

    right = bit("1: SHR or SAR")
    arithmetic = bit("1: SAR")
    sign = bit("1: SAR of a negative value")
    shift = limb("by how many bits", WORD, by=STACK_BUS)
    shift_then = element("time of its push", by=STACK_BUS)
    value = limb("the value", WORD, by=STACK_BUS)
    value_then = element("time of its push", by=STACK_BUS)
    beyond = nested(AtLeast, "the shift is 256 or more")


class ShiftOut(InstructionTable):
    """SHL, SHR and SAR by 256 or more: 0, or -1 for SAR of a negative value."""

    name = "shift_out"
    layout = ShiftOutColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, SHL + row.right * (SHR - SHL) + row.arithmetic * (SAR - SHR))
        air.require(row.arithmetic * (1 - row.right), "SAR shifts to the right")
        air.require(row.arithmetic * (1 - real), "padding has no opcode")
        # STACK
        self.pop(air, 0, row.shift, row.shift_then)
        self.pop(air, 1, row.value, row.value_then)
        # OPERATION
        AtLeast.constrain(air, row.beyond, row.shift, WORD_BITS, when=real, name="shift of 256 or more")
        air.require(row.sign * (1 - row.arithmetic), "only SAR has a sign")
        check_sign(air, row.value[-1], row.sign, row.arithmetic)
        self.push(air, 2, [row.sign * ONES] * WORD)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_VERY_LOW)


_ONE_LIMB, _LIMBS, _BITS, _OUT = range(4)


def _shifts(execution: Execution, way: int) -> Integers:
    """The shifts that are proved in this way."""
    steps = execution.rows(SHL, SHR, SAR)
    opcode = execution.opcode[steps]
    shift = small_integers(execution.operand(steps, 0))
    one_limb = (execution.operand(steps, 1)[:, 1:] == 0).all(axis=1)
    ways = np.where((shift % LIMB_BITS == 0) & (opcode != SAR), _LIMBS, _BITS)
    ways[(ways == _LIMBS) & (opcode == SHL) & one_limb] = _ONE_LIMB
    ways[shift >= WORD_BITS] = _OUT
    chosen: Integers = steps[ways == way]
    return chosen


def _allocate_shift(
    execution: Execution, layout: type[Layout], steps: Integers
) -> tuple[Matrix, Any, Integers, Integers]:
    """The trace with steps, times and one-hot limbs of shifts to the left filled in, the values, and the shifts."""
    matrix, rows = allocate(layout, len(steps))
    fill_step(rows, execution, steps)
    shift = small_integers(execution.operand(steps, 0))
    rows.shift_then = execution.operand_time(steps, 0)
    rows.value_then = execution.operand_time(steps, 1)
    rows.limbs = np.arange(WORD) == (shift >> 4)[:, None]
    return matrix, rows, execution.operand(steps, 1).astype(np.int64), shift


def fill_shl_limb(execution: Execution) -> Matrix | None:
    """SHL of one limb by a multiple of 16."""
    steps = _shifts(execution, _ONE_LIMB)
    if not len(steps):
        return None
    matrix, rows, value, _ = _allocate_shift(execution, PlaceColumns, steps)
    rows.value = value[:, 0]
    fill_derived(rows)
    return matrix


def fill_shift_limbs(execution: Execution) -> Matrix | None:
    """Other SHL and SHR by a multiple of 16 below 256."""
    steps = _shifts(execution, _LIMBS)
    if not len(steps):
        return None
    matrix, rows, value, _ = _allocate_shift(execution, LimbColumns, steps)
    rows.right = execution.opcode[steps] == SHR
    rows.value = value
    rows.result = execution.result(steps)
    fill_derived(rows)
    return matrix


def fill_shift(execution: Execution) -> Matrix | None:
    """Other shifts by less than 256."""
    steps = _shifts(execution, _BITS)
    if not len(steps):
        return None
    matrix, rows, value, shift = _allocate_shift(execution, BitColumns, steps)
    opcode = execution.opcode[steps]
    right, arithmetic = opcode != SHL, opcode == SAR
    sign = arithmetic & (value[:, -1] >> LIMB_BITS - 1 != 0)
    left = np.where(right, WORD_BITS - shift, shift)
    bits = np.where(right, (left - 1) % LIMB_BITS + 1, left % LIMB_BITS)
    rows.right, rows.arithmetic, rows.sign = right, arithmetic, sign
    rows.limbs = np.arange(WORD) == (left - bits >> 4)[:, None]
    rows.bits = np.arange(LIMB_BITS + 1) == bits[:, None]
    flip = np.where(sign, ONES, 0)[:, None]
    value = value ^ flip
    upper = value >> (LIMB_BITS - bits)[:, None]
    rows.value, rows.upper = value, upper
    rows.lower = value - (upper << (LIMB_BITS - bits)[:, None])
    rows.result = execution.result(steps) ^ flip
    fill_derived(rows)
    return matrix


def fill_shift_out(execution: Execution) -> Matrix | None:
    """Shifts by 256 or more."""
    steps = _shifts(execution, _OUT)
    if not len(steps):
        return None
    matrix, rows = allocate(ShiftOutColumns, len(steps))
    fill_step(rows, execution, steps)
    opcode = execution.opcode[steps]
    shift, value = execution.operand(steps, 0), execution.operand(steps, 1)
    rows.right, rows.arithmetic = opcode != SHL, opcode == SAR
    rows.sign = (opcode == SAR) & (value[:, -1] >> LIMB_BITS - 1 != 0)
    rows.shift, rows.shift_then = shift, execution.operand_time(steps, 0)
    rows.value, rows.value_then = value, execution.operand_time(steps, 1)
    AtLeast.fill(rows.beyond, shift, np.ones(len(steps), dtype=np.bool_))
    return matrix


# CLZ.


class CountColumns(Step):
    """One CLZ per row."""

    word = limb("the word", WORD, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)
    top = nested(TopBit, "the highest bit of the word")


class CountLeadingZeros(InstructionTable):
    """CLZ (EIP-7939): 256 of the word 0."""

    name = "clz"
    layout = CountColumns

    def __init__(self, instruction: AddedInstruction) -> None:
        """The table of the instruction that a fork has added."""
        super().__init__()
        self.instruction = instruction

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, self.instruction.opcode)
        # STACK
        self.pop(air, 0, row.word, row.then)
        # OPERATION
        top = TopBit.constrain(air, row.top, row.word)
        self.push(air, 1, [row.real * (WORD_BITS - 1) + row.top.none - top])
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=0, gas=self.instruction.gas)


def fill_clz(execution: Execution, instruction: AddedInstruction) -> Matrix | None:
    """All steps of CLZ."""
    steps = execution.rows(instruction.opcode)
    if not len(steps):
        return None
    matrix, rows = allocate(CountColumns, len(steps))
    fill_step(rows, execution, steps)
    word = execution.operand(steps, 0)
    rows.word, rows.then = word, execution.operand_time(steps, 0)
    TopBit.fill(rows.top, words_to_ints(word))
    return matrix


_OF_ALL_FORKS = (
    Acting(AND_MASK, lambda execution: _fill_masked(execution, AND_MASK)),
    Acting(OR_MASK, lambda execution: _fill_masked(execution, OR_MASK)),
    Acting(Bitwise(), fill_bitwise),
    Acting(Not(), fill_not),
    Acting(Byte(), fill_byte),
    Acting(PlaceLimb(), fill_shl_limb),
    Acting(ShiftLimbs(), fill_shift_limbs),
    Acting(ShiftBits(), fill_shift),
    Acting(ShiftOut(), fill_shift_out),
)


def components(fork: Fork) -> tuple[Component, ...]:
    """The tables of a fork."""
    counting = [instruction for instruction in fork.added_instructions if instruction.name == "CLZ"]
    return *_OF_ALL_FORKS, *(Acting(CountLeadingZeros(i), partial(fill_clz, instruction=i)) for i in counting)
