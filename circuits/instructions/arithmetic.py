"""Arithmetic instructions: ADD, SUB, MUL, DIV, SDIV, MOD, SMOD, ADDMOD, MULMOD and EXP.

Source: execution-specs `cancun/vm/instructions/arithmetic.py`.

Products and powers are looked up (`circuits.functions.products`). Everything else is addition: limb by limb, the carry
out of each limb is the expression (sum of the limb's terms + carry into it) / 2^16, linear in the limbs, and is
required to be one of a few small integers. Terms are at most four limbs, so both sides of
`terms + carry = 2^16 * carry out` stay within +-2^18 and the equation holds over the integers. Division proves a
remainder strictly below the divisor, which makes the quotient unique.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.derived import fill_derived
from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import one_hot, select, select_all, total
from circuits.air.layout import RANGE, Array, C, Layout, Size, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import Execution, Integers
from circuits.component import Acting, Answering, Component
from circuits.frames.gas import Charge
from circuits.functions.buses import MULTIPLY, POWER
from circuits.functions.products import (
    MULTIPLY_BUS,
    MULTIPLY_FULL,
    MULTIPLY_LOW,
    MULTIPLY_SMALL,
    SMALL_FACTOR,
    Numbers,
    Power,
    answer_multiply,
    answer_power,
    limbs_of,
    numbers,
    query_product,
    sizes,
)
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.limbs import Limbs
from circuits.widths import WORD
from executor.opcodes import OPCODES

GAS_VERY_LOW = 3
GAS_LOW = 5
GAS_MID = 8
GAS_EXPONENTIATION = 10
GAS_EXPONENTIATION_PER_BYTE = 50

#: Most sums are of places in memory and counters.
SMALL_SUM = 2

_BASE = 1 << 16
_INVERSE_BASE = pow(_BASE, -1, MODULUS)
_SIGN = 1 << 15
_WORDS = 1 << 256
_LIMBS = Size("limbs")


# Words as expressions.


def carries(terms: Sequence[Expression], carry: Operand = 0) -> list[Expression]:
    """The carry out of each limb, for the signed sum of each limb's terms; to be required to be small integers."""
    out: list[Expression] = []
    for term in terms:
        carry = (term + carry) * _INVERSE_BASE
        out.append(carry)
    return out


def require_carries(air: Air, terms: Sequence[Expression], name: str, *, when: Operand = 1) -> Expression:
    """Where `when` is 1, every carry is 0 or 1 and the words of n limbs sum to 2^(16 n) * the last carry, returned."""
    out = carries(terms)
    for i, carry in enumerate(out):
        air.require(air.graph.lift(when) * (carry * (carry - 1)), f"{name}: carry {i}")
    return out[-1]


def require_negation(air: Air, flag: Expression, x: Sequence[Any], y: Sequence[Any], name: str) -> None:
    """y = x where the bit `flag` is 0; y = -x modulo 2^256 where it is 1. Both are limbs by their owners.

    x + y = 2^256 * carry: for x = 0 the limbs of y must vanish one after the other, else y = 2^256 - x.
    """
    air.require_equal(x, y, f"{name}: unchanged", when=1 - flag)
    require_carries(air, [a + b for a, b in zip(x, y, strict=True)], name, when=flag)


def sign_check(air: Air, sign: Expression, word: Sequence[Expression], count: Operand) -> None:
    """`sign` is the highest bit of a word of limbs: the top limb without it is below 2^15, its double a limb.

    With a wrong sign the double is in [-2^16, 0) or [2^16, 2^17), which is no limb.
    """
    air.query(RANGE16, (word[-1] - sign * _SIGN) * 2, count=count)


class Below(Layout[C]):
    """a < b for words of limbs, by the highest limb in which they differ."""

    at = bit("1 at the highest limb where the words differ", _LIMBS)
    gap = limb("b - a - 1 in that limb", by=RANGE)

    @staticmethod
    def constrain(air: Air, cells: Below, a: Sequence[Any], b: Sequence[Any], count: Expression, name: str) -> None:
        """a < b where `count` (a bit, zero on padding) is 1; all cells are 0 where it is 0.

        The flags are bits and sum to `count`: one limb is marked. Those above are equal. There, b - a - 1 is in
        (-2^16, 2^16), so it is a limb only if a < b.
        """
        one_hot(air, cells.at, count, name)
        gap, above = air.constant(0), count
        for i in reversed(range(len(a))):
            above = above - cells.at[i]
            air.require(above * (b[i] - a[i]), f"{name}: limb {i} is equal")
            gap = gap + cells.at[i] * (b[i] - a[i] - 1)
        air.require(cells.gap - gap, f"{name}: gap")

    @staticmethod
    def fill(cells: Below[Array], a: Limbs, b: Limbs, active: NDArray[np.bool_]) -> None:
        """`a`, `b`: limbs (rows, n), a < b where `active` (rows,)."""
        difference = b.astype(np.int64) - a.astype(np.int64)
        rows = np.flatnonzero(active)
        at = sizes(difference[rows]) - 1
        cells.at = 0
        cells.gap = 0
        cells.at[rows, at] = 1
        cells.gap[rows] = difference[rows, at] - 1


# ADD and SUB.


class AddColumns(Step):
    """x + y = z: ADD pops x and y and pushes z, SUB pops z and y and pushes x."""

    is_sub = bit("1: SUB, 0: ADD")
    x = limb("first term", _LIMBS, by="stack bus, or range check where it is the result")
    y = limb("second term", _LIMBS, by=STACK_BUS)
    z = limb("x + y modulo 2^256", _LIMBS, by="stack bus, or range check where it is the result")
    top_then = element("time of the push of the top", by=STACK_BUS)
    y_then = element("time of the push of y", by=STACK_BUS)


class Add(InstructionTable):
    """ADD and SUB, of words which have, like the result, no more than the table's limbs."""

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        add, sub = OPCODES["ADD"], OPCODES["SUB"]
        self.begin(air, row.is_sub * (sub - add) + add)
        # STACK
        self.pop(air, 0, select_all(row.is_sub, row.z, row.x), row.top_then)
        self.pop(air, 1, row.y, row.y_then)
        # OPERATION
        result = select_all(row.is_sub, row.x, row.z)
        for value in result:
            air.query(RANGE16, value, count=real)
        last = require_carries(air, [x + y - z for x, y, z in zip(row.x, row.y, row.z, strict=True)], "x + y = z")
        if len(row.z) < WORD:
            air.require(last, "x + y = z without a carry")  # of a whole word: modulo 2^256
        self.push(air, 2, result)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_VERY_LOW)


ADD_SMALL = Add("add_small", AddColumns.sized(limbs=SMALL_SUM))
ADD_LARGE = Add("add", AddColumns.sized(limbs=WORD))


def fill_add(execution: Execution, table: Add, *, small: bool) -> Matrix | None:
    """Steps of ADD and SUB whose words all fit the small table, or the others."""
    steps = execution.rows(OPCODES["ADD"], OPCODES["SUB"])
    top, y, result = execution.operand(steps, 0), execution.operand(steps, 1), execution.result(steps)
    fits = sizes(top | y | result) <= SMALL_SUM
    chosen = fits == small
    steps, top, y, result = steps[chosen], top[chosen], y[chosen], result[chosen]
    if not len(steps):
        return None
    matrix, rows = allocate(table.layout, len(steps))
    fill_step(rows, execution, steps)
    is_sub = execution.opcode[steps] == OPCODES["SUB"]
    limbs = rows.z.shape[1]
    rows.is_sub = is_sub
    rows.x = np.where(is_sub[:, None], result, top)[:, :limbs]
    rows.y = y[:, :limbs]
    rows.z = np.where(is_sub[:, None], top, result)[:, :limbs]
    rows.top_then = execution.operand_time(steps, 0)
    rows.y_then = execution.operand_time(steps, 1)
    return matrix


# MUL.


class MulColumns(Step):
    """One MUL per row."""

    a = limb("first factor", WORD, by=STACK_BUS)
    b = limb("second factor", WORD, by=STACK_BUS)
    product = limb("a * b modulo 2^256", WORD, by=MULTIPLY_BUS)
    a_then = element("time of the push of a", by=STACK_BUS)
    b_then = element("time of the push of b", by=STACK_BUS)


class Mul(InstructionTable):
    """MUL."""

    name = "mul"
    layout = MulColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, OPCODES["MUL"])
        # STACK
        self.pop(air, 0, row.a, row.a_then)
        self.pop(air, 1, row.b, row.b_then)
        # OPERATION
        query_product(air, row.a, row.b, row.product, (), whole=0, count=row.real)
        self.push(air, 2, row.product)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_LOW)


def fill_mul(execution: Execution) -> Matrix | None:
    """All steps of MUL."""
    steps = execution.rows(OPCODES["MUL"])
    if not len(steps):
        return None
    matrix, rows = allocate(MulColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.a = execution.operand(steps, 0)
    rows.b = execution.operand(steps, 1)
    rows.product = execution.result(steps)
    rows.a_then = execution.operand_time(steps, 0)
    rows.b_then = execution.operand_time(steps, 1)
    return matrix


# DIV, MOD, SDIV and SMOD.


class Division(Layout[C]):
    """dividend = quotient * divisor + remainder with remainder < divisor, or a divisor of zero."""

    zero = bit("1: the divisor is zero")
    quotient = limb("dividend // divisor, 0 if the divisor is zero", _LIMBS, by=MULTIPLY_BUS)
    product = limb("quotient * divisor", _LIMBS, by=MULTIPLY_BUS)
    remainder = limb("dividend - product: the dividend if the divisor is zero", _LIMBS, by=RANGE)
    below: Below[C] = nested(Below, "remainder < divisor")

    @staticmethod
    def constrain(
        air: Air, cells: Division, dividend: Sequence[Any], divisor: Sequence[Any], count: Expression
    ) -> None:
        """Quotient and remainder where `count`, the table's selector, is 1.

        zero = 0 proves remainder < divisor, so the divisor is not zero; zero = 1 demands that it is.
        """
        air.require_equal(divisor, [0] * len(divisor), "no divisor", when=cells.zero)
        air.require_equal(cells.quotient, [0] * len(divisor), "no quotient", when=cells.zero)
        query_product(air, cells.quotient, divisor, cells.product, (), whole=1, count=count)
        terms = [t + r - a for t, r, a in zip(cells.product, cells.remainder, dividend, strict=True)]
        air.require(require_carries(air, terms, "product + remainder"), "product + remainder = dividend")
        Below.constrain(air, cells.below, cells.remainder, divisor, count - cells.zero, "remainder < divisor")

    @staticmethod
    def fill(cells: Division[Array], dividend: Numbers, divisor: Numbers) -> None:
        """`dividend`, `divisor`: integers (rows,) of no more than the limbs."""
        zero = divisor == 0
        quotient = np.where(zero, 0, dividend // np.where(zero, 1, divisor))
        product = quotient * divisor
        limbs = cells.quotient.shape[1]
        remainder = limbs_of(dividend - product)[:, :limbs]
        cells.zero = zero
        cells.quotient = limbs_of(quotient)[:, :limbs]
        cells.product = limbs_of(product)[:, :limbs]
        cells.remainder = remainder
        Below.fill(cells.below, remainder, limbs_of(divisor)[:, :limbs], ~zero.astype(bool))


class DivideColumns(Step):
    """One division per row."""

    is_mod = bit("1: MOD or SMOD, 0: DIV or SDIV")
    is_signed = bit("1: SDIV or SMOD")
    # For a divisor of zero the quotient is the result, which is 0.
    takes_remainder = bit("1: the result is the remainder", equals=lambda row: row.is_mod * (1 - row.division.zero))
    dividend = limb("dividend", _LIMBS, by=STACK_BUS)
    divisor = limb("divisor", _LIMBS, by=STACK_BUS)
    dividend_then = element("time of its push", by=STACK_BUS)
    divisor_then = element("time of its push", by=STACK_BUS)
    division = nested(Division, "of dividend and divisor")


class Divide(InstructionTable):
    """DIV and MOD; in a table of less than 16 limbs SDIV and SMOD, too, because its words are not negative."""

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        division = row.division
        self.begin(air, division_opcode(row.is_mod, row.is_signed))
        if len(row.dividend) == WORD:
            air.require(row.is_signed, "unsigned")
        # STACK
        self.pop(air, 0, row.dividend, row.dividend_then)
        self.pop(air, 1, row.divisor, row.divisor_then)
        # OPERATION
        Division.constrain(air, division, row.dividend, row.divisor, real)
        self.push(air, 2, select_all(row.takes_remainder, division.remainder, division.quotient))
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_LOW)


DIVIDE_SMALL = Divide("divide_small", DivideColumns.sized(limbs=SMALL_FACTOR))
DIVIDE_LARGE = Divide("divide", DivideColumns.sized(limbs=WORD))


def division_opcode(is_mod: Expression, is_signed: Operand) -> Expression:
    """DIV, SDIV, MOD or SMOD."""
    div, sdiv, mod = OPCODES["DIV"], OPCODES["SDIV"], OPCODES["MOD"]
    assert OPCODES["SMOD"] == mod + sdiv - div
    return is_mod * (mod - div) + is_signed * (sdiv - div) + div


def fill_divide(execution: Execution, table: Divide, *, small: bool) -> Matrix | None:
    """Divisions whose operands fit the small table, or the other steps of DIV and MOD."""
    names = ("DIV", "MOD", "SDIV", "SMOD") if small else ("DIV", "MOD")
    steps = execution.rows(*(OPCODES[name] for name in names))
    steps = steps[_small_division(execution, steps) == small]
    if not len(steps):
        return None
    matrix, rows = allocate(table.layout, len(steps))
    fill_step(rows, execution, steps)
    opcode = execution.opcode[steps]
    dividend, divisor = execution.operand(steps, 0), execution.operand(steps, 1)
    limbs = rows.dividend.shape[1]
    rows.is_mod = (opcode == OPCODES["MOD"]) | (opcode == OPCODES["SMOD"])
    rows.is_signed = (opcode == OPCODES["SDIV"]) | (opcode == OPCODES["SMOD"])
    rows.dividend = dividend[:, :limbs]
    rows.divisor = divisor[:, :limbs]
    rows.dividend_then = execution.operand_time(steps, 0)
    rows.divisor_then = execution.operand_time(steps, 1)
    Division.fill(rows.division, numbers(dividend), numbers(divisor))
    fill_derived(rows)
    return matrix


def _small_division(execution: Execution, steps: Integers) -> NDArray[np.bool_]:
    return sizes(execution.operand(steps, 0) | execution.operand(steps, 1)) <= SMALL_FACTOR


def _is_negative(row: Any) -> Expression:
    """A remainder has the sign of the dividend; a quotient is negative if exactly one operand is."""
    a, b = row.dividend_sign, row.divisor_sign
    return select(row.is_mod, a, a + b - a * b * 2)


class DivideSignedColumns(Step):
    """One signed division per row: the signs are taken off, the absolute values divided, the result's sign put on.

    -2^255 has the absolute value 2^255, a word; -2^255 / -1 = 2^255 is the word of -2^255, as the EVM has it.
    """

    is_mod = bit("1: SMOD, 0: SDIV")
    takes_remainder = bit("1: the result is a remainder", equals=lambda row: row.is_mod * (1 - row.division.zero))
    dividend = limb("dividend", WORD, by=STACK_BUS)
    divisor = limb("divisor", WORD, by=STACK_BUS)
    dividend_then = element("time of its push", by=STACK_BUS)
    divisor_then = element("time of its push", by=STACK_BUS)
    dividend_sign = bit("1: the dividend is negative")
    divisor_sign = bit("1: the divisor is negative")
    dividend_size = limb("absolute value of the dividend", WORD, by=RANGE)
    divisor_size = limb("absolute value of the divisor", WORD, by=MULTIPLY_BUS)
    division = nested(Division.sized(limbs=WORD), "of the absolute values")
    size = limb(
        "absolute value of the result",
        WORD,
        equals=lambda row: select_all(row.takes_remainder, row.division.remainder, row.division.quotient),
    )
    negative = bit("1: the result is not positive", equals=_is_negative)
    result = limb("result", WORD, by=RANGE)


class DivideSigned(InstructionTable):
    """SDIV and SMOD."""

    name = "divide_signed"
    layout = DivideSignedColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        division = row.division
        self.begin(air, division_opcode(row.is_mod, 1))
        # STACK
        self.pop(air, 0, row.dividend, row.dividend_then)
        self.pop(air, 1, row.divisor, row.divisor_then)
        # OPERATION
        sign_check(air, row.dividend_sign, row.dividend, real)
        sign_check(air, row.divisor_sign, row.divisor, real)
        require_negation(air, row.dividend_sign, row.dividend, row.dividend_size, "absolute value of the dividend")
        require_negation(air, row.divisor_sign, row.divisor, row.divisor_size, "absolute value of the divisor")
        Division.constrain(air, division, row.dividend_size, row.divisor_size, real)
        require_negation(air, row.negative, row.size, row.result, "result")
        self.push(air, 2, row.result)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_LOW)


def fill_divide_signed(execution: Execution) -> Matrix | None:
    """Steps of SDIV and SMOD whose operands do not fit the small table."""
    steps = execution.rows(OPCODES["SDIV"], OPCODES["SMOD"])
    steps = steps[~_small_division(execution, steps)]
    if not len(steps):
        return None
    matrix, rows = allocate(DivideSignedColumns, len(steps))
    fill_step(rows, execution, steps)
    dividend, divisor = execution.operand(steps, 0), execution.operand(steps, 1)
    a, b = dividend[:, -1] >= _SIGN, divisor[:, -1] >= _SIGN
    rows.is_mod = execution.opcode[steps] == OPCODES["SMOD"]
    rows.dividend = dividend
    rows.divisor = divisor
    rows.dividend_then = execution.operand_time(steps, 0)
    rows.divisor_then = execution.operand_time(steps, 1)
    rows.dividend_sign = a
    rows.divisor_sign = b
    sized_a, sized_b = _absolute(dividend, a), _absolute(divisor, b)
    rows.dividend_size = limbs_of(sized_a)
    rows.divisor_size = limbs_of(sized_b)
    Division.fill(rows.division, sized_a, sized_b)
    rows.result = execution.result(steps)
    fill_derived(rows)
    return matrix


def _absolute(words: Limbs, negative: NDArray[np.bool_]) -> Numbers:
    values = numbers(words)
    return np.where(negative, _WORDS - values, values)


# ADDMOD and MULMOD.


class ModularColumns(Step):
    """What ADDMOD and MULMOD share."""

    a = limb("first operand", WORD, by=STACK_BUS)
    b = limb("second operand", WORD, by=STACK_BUS)
    modulus = limb("modulus", WORD, by=STACK_BUS)
    a_then = element("time of the push of a", by=STACK_BUS)
    b_then = element("time of the push of b", by=STACK_BUS)
    modulus_then = element("time of the push of the modulus", by=STACK_BUS)
    zero = bit("1: the modulus is zero")
    quotient = limb("low word of the quotient, 0 if the modulus is zero", WORD, by=MULTIPLY_BUS)
    remainder = limb("remainder; low word of what is divided if the modulus is zero", WORD, by=RANGE)
    below = nested(Below.sized(limbs=WORD), "remainder < modulus")


class Modular(InstructionTable):
    """ADDMOD and MULMOD: a number of more than 256 bits is quotient * modulus + remainder."""

    def begin_modular(self, air: Air, opcode: int) -> None:
        """The operands, and remainder < modulus unless that is zero, as for `Division`."""
        row, real = air.row, air.row.real
        self.begin(air, opcode)
        # STACK
        self.pop(air, 0, row.a, row.a_then)
        self.pop(air, 1, row.b, row.b_then)
        self.pop(air, 2, row.modulus, row.modulus_then)
        # OPERATION
        air.require_equal(row.modulus, [0] * WORD, "no modulus", when=row.zero)
        air.require_equal(row.quotient, [0] * WORD, "no quotient", when=row.zero)
        Below.constrain(air, row.below, row.remainder, row.modulus, real - row.zero, "remainder < modulus")

    def end_modular(self, air: Air) -> None:
        """The result, which is 0 if the modulus is."""
        row = air.row
        self.push(air, 3, [limb_ * (1 - row.zero) for limb_ in row.remainder])
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-2, gas=GAS_MID)


def _fill_modular(rows: Any, execution: Execution, steps: Integers) -> tuple[Numbers, Numbers, Numbers]:
    """The shared columns but for quotient and remainder; returns a, b and the modulus."""
    fill_step(rows, execution, steps)
    operands = [execution.operand(steps, i) for i in range(3)]
    rows.a, rows.b, rows.modulus = operands
    rows.a_then, rows.b_then, rows.modulus_then = (execution.operand_time(steps, i) for i in range(3))
    a, b, modulus = (numbers(word) for word in operands)
    rows.zero = modulus == 0
    return a, b, modulus


def _fill_remainder(rows: Any, dividend: Numbers, modulus: Numbers) -> Numbers:
    """Quotient and remainder; returns the quotient, 0 for a modulus of 0."""
    zero = modulus == 0
    quotient = np.where(zero, 0, dividend // np.where(zero, 1, modulus))
    rows.quotient = limbs_of(quotient % _WORDS)
    remainder = limbs_of((dividend - quotient * modulus) % _WORDS)
    rows.remainder = remainder
    Below.fill(rows.below, remainder, limbs_of(modulus), ~zero.astype(bool))
    return quotient


class AddmodColumns(ModularColumns):
    """One ADDMOD per row: (quotient + 2^256 * quotient_high) * modulus + remainder = a + b < 2^257."""

    quotient_high = bit("2^256s of the quotient; 1 only for a modulus of 1")
    product = limb("quotient * modulus modulo 2^256", WORD, by=MULTIPLY_BUS)
    product_high = bit("2^256s of quotient * modulus, which is below 2^257")


class Addmod(Modular):
    """ADDMOD."""

    name = "addmod"
    layout = AddmodColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin_modular(air, OPCODES["ADDMOD"])
        query_product(air, row.quotient, row.modulus, row.product, (row.product_high,), whole=1, count=row.real)
        words = zip(row.product, row.remainder, row.a, row.b, strict=True)
        last: Expression = air.constant(0)
        for i, carry in enumerate(carries([t + r - a - b for t, r, a, b in words])):
            air.require(carry * (carry - 1) * (carry + 1), f"product + remainder: carry {i}")
            last = carry
        # A quotient of 2^256 and more: the modulus can only be 1, as 2 * 2^256 > a + b.
        one = [1] + [0] * (WORD - 1)
        air.require_equal(row.modulus, one, "modulus of 1", when=row.quotient_high)
        # product + remainder = a + b + 2^256 * last, so what lies above 2^256 must sum to zero. For a modulus of
        # zero the product is zero and remainder = a + b modulo 2^256.
        air.require((1 - row.zero) * (row.product_high + row.quotient_high + last), "product + remainder = a + b")
        self.end_modular(air)


def fill_addmod(execution: Execution) -> Matrix | None:
    """All steps of ADDMOD."""
    steps = execution.rows(OPCODES["ADDMOD"])
    if not len(steps):
        return None
    matrix, rows = allocate(AddmodColumns, len(steps))
    a, b, modulus = _fill_modular(rows, execution, steps)
    quotient = _fill_remainder(rows, a + b, modulus)
    rows.quotient_high = (quotient // _WORDS).astype(np.int64)
    product = quotient % _WORDS * modulus
    rows.product = limbs_of(product % _WORDS)
    rows.product_high = (product // _WORDS).astype(np.int64)
    return matrix


class MulmodColumns(ModularColumns):
    """One MULMOD per row: (quotient + 2^256 * quotient_high) * modulus + remainder = a * b."""

    quotient_high = limb("high word of the quotient, 0 if the modulus is zero", WORD, by=MULTIPLY_BUS)
    dividend = limb("a * b, low word first", (2, WORD), by=MULTIPLY_BUS)
    product = limb("quotient * modulus, low word first", (2, WORD), by=MULTIPLY_BUS)
    product_high = limb("quotient_high * modulus, a word", WORD, by=MULTIPLY_BUS)


class Mulmod(Modular):
    """MULMOD."""

    name = "mulmod"
    layout = MulmodColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin_modular(air, OPCODES["MULMOD"])
        air.require_equal(row.quotient_high, [0] * WORD, "no high quotient", when=row.zero)
        query_product(air, row.a, row.b, *row.dividend, whole=1, count=real)
        query_product(air, row.quotient, row.modulus, *row.product, whole=1, count=real)
        query_product(air, row.quotient_high, row.modulus, row.product_high, (), whole=1, count=real)
        low = zip(row.product[0], row.remainder, row.dividend[0], strict=True)
        carry = require_carries(air, [t + r - a for t, r, a in low], "product + remainder")
        # For a modulus of zero the products are zero, remainder = a * b modulo 2^256, and the high word is left out.
        divides = 1 - row.zero
        high = [t + h - a for t, h, a in zip(row.product[1], row.product_high, row.dividend[1], strict=True)]
        last = require_carries(air, [high[0] + carry, *high[1:]], "high words", when=divides)
        air.require(divides * last, "product + remainder = a * b")
        self.end_modular(air)


def fill_mulmod(execution: Execution) -> Matrix | None:
    """All steps of MULMOD."""
    steps = execution.rows(OPCODES["MULMOD"])
    if not len(steps):
        return None
    matrix, rows = allocate(MulmodColumns, len(steps))
    a, b, modulus = _fill_modular(rows, execution, steps)
    dividend = a * b
    quotient = _fill_remainder(rows, dividend, modulus)
    product = quotient % _WORDS * modulus
    rows.quotient_high = limbs_of(quotient // _WORDS)
    rows.dividend = np.stack([limbs_of(dividend % _WORDS), limbs_of(dividend // _WORDS)], axis=1)
    rows.product = np.stack([limbs_of(product % _WORDS), limbs_of(product // _WORDS)], axis=1)
    rows.product_high = limbs_of(quotient // _WORDS * modulus)
    return matrix


# EXP.


class ExpColumns(Step):
    """One EXP per row."""

    base = limb("base", WORD, by=STACK_BUS)
    exponent = limb("exponent", WORD, by=STACK_BUS)
    base_then = element("time of the push of the base", by=STACK_BUS)
    exponent_then = element("time of the push of the exponent", by=STACK_BUS)
    zero = bit("1: the exponent is zero")
    at = bit("1 at the highest limb of the exponent that is not zero", WORD)
    top = element("that limb", equals=lambda row: total([at * x for at, x in zip(row.at, row.exponent, strict=True)]))
    two_bytes = bit("1: that limb has two bytes")
    charge = nested(Charge, "of the gas for the exponent's bytes")
    result = limb("base ** exponent modulo 2^256; 0 when the step fails", WORD, by="power bus, or 0 or 1")


class Exp(InstructionTable):
    """EXP."""

    name = "exp"
    layout = ExpColumns

    def constraints(self, air: Air) -> None:
        row, real, fails = air.row, air.row.real, air.row.charge.fails
        self.begin(air, OPCODES["EXP"])
        # STACK
        self.pop(air, 0, row.base, row.base_then)
        self.pop(air, 1, row.exponent, row.exponent_then)
        # GAS
        # One limb is marked unless the exponent is zero; all above it are zero.
        one_hot(air, row.at, real - row.zero, "highest limb")
        size, unmarked = air.constant(0), air.constant(1)
        for i in reversed(range(WORD)):
            unmarked = unmarked - row.at[i]
            air.require(unmarked * row.exponent[i], f"limb {i} of the exponent is zero")
            size = size + row.at[i] * (2 * i + 1)
        # A limb of two bytes is one from which 256 can be taken. One byte, not zero: top - 1 is in [0, 254], since
        # 258 * 255 > 2^16 - 1; the product stays below 2^25 and above -2^9.
        air.query(RANGE16, select(row.two_bytes, row.top - 256, (row.top - 1) * 258), count=real - row.zero)
        air.require(row.two_bytes * (row.zero + 1 - real), "no two bytes of zero")
        # At most 10 + 50 * 32.
        cost = real * GAS_EXPONENTIATION + (size + row.two_bytes) * GAS_EXPONENTIATION_PER_BYTE
        Charge.constrain(air, row.charge, row.gas, cost)
        self.fail(air, fails)
        # OPERATION
        succeeds = real - fails
        air.query(POWER, row.base, row.exponent, row.result, count=succeeds * (1 - row.zero))
        one = [1] + [0] * (WORD - 1)
        air.require_equal(row.result, one, "to the power of zero", when=row.zero * (1 - fails))
        air.require_equal(row.result, [0] * WORD, "no result", when=fails)
        self.push(air, 2, row.result, count=succeeds)
        # PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=cost, count=succeeds)


def fill_exp(execution: Execution) -> Matrix | None:
    """All steps of EXP, those included that fail for want of gas."""
    steps = execution.rows(OPCODES["EXP"])
    if not len(steps):
        return None
    matrix, rows = allocate(ExpColumns, len(steps))
    fill_step(rows, execution, steps)
    exponent = execution.operand(steps, 1)
    rows.base = execution.operand(steps, 0)
    rows.exponent = exponent
    rows.base_then = execution.operand_time(steps, 0)
    rows.exponent_then = execution.operand_time(steps, 1)
    limbs = sizes(exponent)
    rows.zero = limbs == 0
    used = np.flatnonzero(limbs)
    rows.at[used, limbs[used] - 1] = 1
    fill_derived(rows)
    rows.two_bytes = rows.top > 0xFF
    cost = GAS_EXPONENTIATION + GAS_EXPONENTIATION_PER_BYTE * (np.maximum(2 * limbs - 1, 0) + rows.two_bytes)
    Charge.fill(rows.charge, execution.gas[steps], cost)
    succeeds = np.flatnonzero(~execution.failed[steps])
    rows.result[succeeds] = execution.result(steps[succeeds])
    return matrix


COMPONENTS: tuple[Component, ...] = (
    Acting(ADD_SMALL, lambda execution: fill_add(execution, ADD_SMALL, small=True)),
    Acting(ADD_LARGE, lambda execution: fill_add(execution, ADD_LARGE, small=False)),
    Acting(Mul(), fill_mul),
    Acting(DIVIDE_SMALL, lambda execution: fill_divide(execution, DIVIDE_SMALL, small=True)),
    Acting(DIVIDE_LARGE, lambda execution: fill_divide(execution, DIVIDE_LARGE, small=False)),
    Acting(DivideSigned(), fill_divide_signed),
    Acting(Addmod(), fill_addmod),
    Acting(Mulmod(), fill_mulmod),
    Acting(Exp(), fill_exp),
    Answering(Power(), POWER, lambda _, queries: answer_power(queries)),
    Answering(MULTIPLY_SMALL, MULTIPLY, lambda _, queries: answer_multiply(queries, MULTIPLY_SMALL)),
    Answering(MULTIPLY_LOW, MULTIPLY, lambda _, queries: answer_multiply(queries, MULTIPLY_LOW)),
    Answering(MULTIPLY_FULL, MULTIPLY, lambda _, queries: answer_multiply(queries, MULTIPLY_FULL)),
)
