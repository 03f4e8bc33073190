"""Arithmetic instructions: ADD, SUB, MUL, DIV, SDIV, MOD, SMOD, ADDMOD, MULMOD and EXP.

Source: execution-specs `cancun/vm/instructions/arithmetic.py`.

Products are looked up: `Multiply` proves a * b = low + 2^256 * high over bytes, in three sizes; `Power` squares and
multiplies for EXP. Everything else is addition: limb by limb, the carry out of each limb is the expression
(sum of the limb's terms + carry into it) / 2^16, linear in the limbs, and is required to be one of a few small
integers. Terms are at most four limbs, so both sides of `terms + carry = 2^16 * carry out` stay within +-2^18 and the
equation holds over the integers. Division proves a remainder strictly below the divisor, which makes the quotient
unique.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import one_hot, range_check, select, select_all, total
from circuits.air.layout import RANGE, Layout, allocate, bit, byte, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.bitwise_bytes import query_xor
from circuits.buses import MULTIPLY, POWER, WORD
from circuits.component import Acting, Answering, Component
from circuits.execution import Execution, Integers
from circuits.limbs import Limbs, words_from_ints, words_to_ints
from circuits.step import STACK_BUS, Charge, InstructionTable, Step, fill_step, full
from executor.opcodes import OPCODES

GAS_VERY_LOW = 3
GAS_LOW = 5
GAS_MID = 8
GAS_EXPONENTIATION = 10
GAS_EXPONENTIATION_PER_BYTE = 50

#: Most sums are of places in memory and counters.
SMALL_SUM = 2
#: Most divisions and the factors of most products are amounts of up to 80 bits; as signed numbers they are positive.
SMALL_FACTOR = 5

_BASE = 1 << 16
_INVERSE_BASE = pow(_BASE, -1, MODULUS)
_SIGN = 1 << 15
_WORDS = 1 << 256

#: Python integers (rows,) in an array of objects: for products and quotients of words, which numpy has no type for.
Numbers = NDArray[np.object_]

MULTIPLY_BUS = "multiply bus"


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


def numbers(words: Limbs) -> Numbers:
    """Words (n, 16) as integers (n,)."""
    result = np.empty(len(words), dtype=object)
    result[:] = words_to_ints(words)
    return result


def limbs_of(values: Numbers) -> Limbs:
    """Integers (n,) below 2^256 as words (n, 16)."""
    return words_from_ints(values.tolist())


def sizes(words: NDArray[np.integer[Any]]) -> Integers:
    """How many limbs words (n, 16) have without leading zeros, (n,)."""
    used = words != 0
    return np.where(used.any(axis=1), words.shape[1] - np.argmax(used[:, ::-1], axis=1), 0)


def below_columns(limbs: int) -> type[Layout]:
    """The columns of `Below` for words of this many limbs."""

    class BelowColumns(Layout):
        """a < b, by the highest limb in which they differ."""

        at = bit("1 at the highest limb where the words differ", limbs)
        gap = limb("b - a - 1 in that limb", by=RANGE)

    return BelowColumns


class Below:
    """a < b for words of limbs."""

    @staticmethod
    def constrain(air: Air, cells: Any, a: Sequence[Any], b: Sequence[Any], count: Expression, name: str) -> None:
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
    def fill(cells: Any, a: Limbs, b: Limbs, active: NDArray[np.bool_]) -> None:
        """`a`, `b`: limbs (rows, n), a < b where `active` (rows,)."""
        difference = b.astype(np.int64) - a.astype(np.int64)
        rows = np.flatnonzero(active)
        at = sizes(difference[rows]) - 1
        cells.at = 0
        cells.gap = 0
        cells.at[rows, at] = 1
        cells.gap[rows] = difference[rows, at] - 1


# ADD and SUB.


def add_columns(limbs: int) -> type[Step]:
    """The layout of ADD and SUB of words below 2^(16 * limbs)."""

    class AddColumns(Step):
        """x + y = z: ADD pops x and y and pushes z, SUB pops z and y and pushes x."""

        is_sub = bit("1: SUB, 0: ADD")
        x = limb("first term", limbs, by="stack bus, or range check where it is the result")
        y = limb("second term", limbs, by=STACK_BUS)
        z = limb("x + y modulo 2^256", limbs, by="stack bus, or range check where it is the result")
        top_then = element("time of the push of the top", by=STACK_BUS)
        y_then = element("time of the push of y", by=STACK_BUS)

    return AddColumns


class Add(InstructionTable):
    """ADD and SUB, of words which have, like the result, no more than the table's limbs."""

    def __init__(self, name: str, limbs: int) -> None:
        self.name = name  # type: ignore[misc]
        self.layout = add_columns(limbs)  # type: ignore[misc]
        self.limbs = limbs

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
        if self.limbs < WORD:
            air.require(last, "x + y = z without a carry")  # of a whole word: modulo 2^256
        self.push(air, 2, result)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_VERY_LOW)


ADD_SMALL = Add("add_small", SMALL_SUM)
ADD_LARGE = Add("add", WORD)


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
    rows.is_sub = is_sub
    rows.x = np.where(is_sub[:, None], result, top)[:, : table.limbs]
    rows.y = y[:, : table.limbs]
    rows.z = np.where(is_sub[:, None], top, result)[:, : table.limbs]
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


def division_columns(limbs: int) -> type[Layout]:
    """The layout of a division of words of this many limbs."""

    class DivisionColumns(Layout):
        """dividend = quotient * divisor + remainder with remainder < divisor, or a divisor of zero."""

        zero = bit("1: the divisor is zero")
        quotient = limb("dividend // divisor, 0 if the divisor is zero", limbs, by=MULTIPLY_BUS)
        product = limb("quotient * divisor", limbs, by=MULTIPLY_BUS)
        remainder = limb("dividend - product: the dividend if the divisor is zero", limbs, by=RANGE)
        below = nested(below_columns(limbs), "remainder < divisor")

    return DivisionColumns


class Division:
    """The unsigned division of two words of limbs."""

    @staticmethod
    def constrain(air: Air, cells: Any, dividend: Sequence[Any], divisor: Sequence[Any], count: Expression) -> None:
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
    def fill(cells: Any, dividend: Numbers, divisor: Numbers, limbs: int) -> tuple[Numbers, Numbers]:
        """Returns quotient and remainder as the EVM defines them: 0 for a divisor of zero."""
        zero = divisor == 0
        quotient = np.where(zero, 0, dividend // np.where(zero, 1, divisor))
        product = quotient * divisor
        remainder = limbs_of(dividend - product)
        cells.zero = zero
        cells.quotient = limbs_of(quotient)[:, :limbs]
        cells.product = limbs_of(product)[:, :limbs]
        cells.remainder = remainder[:, :limbs]
        Below.fill(cells.below, remainder[:, :limbs], limbs_of(divisor)[:, :limbs], ~zero.astype(bool))
        return quotient, np.where(zero, 0, dividend - product)


def divide_columns(limbs: int) -> type[Step]:
    """The layout of divisions of words below 2^(16 * limbs)."""

    class DivideColumns(Step):
        """One division per row."""

        is_mod = bit("1: MOD or SMOD, 0: DIV or SDIV")
        is_signed = bit("1: SDIV or SMOD")
        takes_remainder = bit("1: the result is the remainder")
        dividend = limb("dividend", limbs, by=STACK_BUS)
        divisor = limb("divisor", limbs, by=STACK_BUS)
        dividend_then = element("time of its push", by=STACK_BUS)
        divisor_then = element("time of its push", by=STACK_BUS)
        division = nested(division_columns(limbs), "of dividend and divisor")

    return DivideColumns


class Divide(InstructionTable):
    """DIV and MOD; in a table of less than 16 limbs SDIV and SMOD, too, because its words are not negative."""

    def __init__(self, name: str, limbs: int) -> None:
        self.name = name  # type: ignore[misc]
        self.layout = divide_columns(limbs)  # type: ignore[misc]
        self.limbs = limbs

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        division = row.division
        self.begin(air, division_opcode(row.is_mod, row.is_signed))
        if self.limbs == WORD:
            air.require(row.is_signed, "unsigned")
        # STACK
        self.pop(air, 0, row.dividend, row.dividend_then)
        self.pop(air, 1, row.divisor, row.divisor_then)
        # OPERATION
        Division.constrain(air, division, row.dividend, row.divisor, real)
        # For a divisor of zero the quotient is the result, which is 0.
        air.require(row.takes_remainder - row.is_mod * (1 - division.zero), "which result")
        self.push(air, 2, select_all(row.takes_remainder, division.remainder, division.quotient))
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=GAS_LOW)


DIVIDE_SMALL = Divide("divide_small", SMALL_FACTOR)
DIVIDE_LARGE = Divide("divide", WORD)


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
    is_mod = (opcode == OPCODES["MOD"]) | (opcode == OPCODES["SMOD"])
    rows.is_mod = is_mod
    rows.is_signed = (opcode == OPCODES["SDIV"]) | (opcode == OPCODES["SMOD"])
    rows.takes_remainder = is_mod & (divisor != 0).any(axis=1)
    rows.dividend = dividend[:, : table.limbs]
    rows.divisor = divisor[:, : table.limbs]
    rows.dividend_then = execution.operand_time(steps, 0)
    rows.divisor_then = execution.operand_time(steps, 1)
    Division.fill(rows.division, numbers(dividend), numbers(divisor), table.limbs)
    return matrix


def _small_division(execution: Execution, steps: Integers) -> NDArray[np.bool_]:
    return sizes(execution.operand(steps, 0) | execution.operand(steps, 1)) <= SMALL_FACTOR


class DivideSignedColumns(Step):
    """One signed division per row: the signs are taken off, the absolute values divided, the result's sign put on.

    -2^255 has the absolute value 2^255, a word; -2^255 / -1 = 2^255 is the word of -2^255, as the EVM has it.
    """

    is_mod = bit("1: SMOD, 0: SDIV")
    takes_remainder = bit("1: the result is a remainder")
    dividend = limb("dividend", WORD, by=STACK_BUS)
    divisor = limb("divisor", WORD, by=STACK_BUS)
    dividend_then = element("time of its push", by=STACK_BUS)
    divisor_then = element("time of its push", by=STACK_BUS)
    dividend_sign = bit("1: the dividend is negative")
    divisor_sign = bit("1: the divisor is negative")
    dividend_size = limb("absolute value of the dividend", WORD, by=RANGE)
    divisor_size = limb("absolute value of the divisor", WORD, by=MULTIPLY_BUS)
    division = nested(division_columns(WORD), "of the absolute values")
    size = limb("absolute value of the result", WORD, by="quotient or remainder")
    negative = bit("1: the result is not positive")
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
        air.require(row.takes_remainder - row.is_mod * (1 - division.zero), "which result")
        result = select_all(row.takes_remainder, division.remainder, division.quotient)
        air.require_equal(row.size, result, "absolute value of the result")
        # A remainder has the sign of the dividend; a quotient is negative if exactly one operand is.
        a, b = row.dividend_sign, row.divisor_sign
        air.require(row.negative - select(row.is_mod, a, a + b - a * b * 2), "sign of the result")
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
    is_mod = execution.opcode[steps] == OPCODES["SMOD"]
    a, b = dividend[:, -1] >= _SIGN, divisor[:, -1] >= _SIGN
    rows.is_mod = is_mod
    rows.dividend = dividend
    rows.divisor = divisor
    rows.dividend_then = execution.operand_time(steps, 0)
    rows.divisor_then = execution.operand_time(steps, 1)
    rows.dividend_sign = a
    rows.divisor_sign = b
    sized_a, sized_b = _absolute(dividend, a), _absolute(divisor, b)
    rows.dividend_size = limbs_of(sized_a)
    rows.divisor_size = limbs_of(sized_b)
    quotient, remainder = Division.fill(rows.division, sized_a, sized_b, WORD)
    rows.takes_remainder = is_mod & (divisor != 0).any(axis=1)
    rows.size = limbs_of(np.where(is_mod, remainder, quotient))
    rows.negative = np.where(is_mod, a, a ^ b)
    rows.result = execution.result(steps)
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
    below = nested(below_columns(WORD), "remainder < modulus")


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
    top = element("that limb", by="the exponent's limbs")
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
        top, size, unmarked = air.constant(0), air.constant(0), air.constant(1)
        for i in reversed(range(WORD)):
            unmarked = unmarked - row.at[i]
            air.require(unmarked * row.exponent[i], f"limb {i} of the exponent is zero")
            top = top + row.at[i] * row.exponent[i]
            size = size + row.at[i] * (2 * i + 1)
        air.require(row.top - top, "highest limb's value")
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
    top = np.zeros(len(steps), dtype=np.int64)
    top[used] = exponent[used, limbs[used] - 1]
    rows.top = top
    rows.two_bytes = top > 0xFF
    cost = GAS_EXPONENTIATION + GAS_EXPONENTIATION_PER_BYTE * (np.maximum(2 * limbs - 1, 0) + (top > 0xFF))
    Charge.fill(rows.charge, execution.gas[steps], cost)
    succeeds = np.flatnonzero(~execution.failed[steps])
    rows.result[succeeds] = execution.result(steps[succeeds])
    return matrix


class PowerColumns(Layout):
    """One bit of an exponent per row, from the leading one on, which a first row takes."""

    real = bit("1 on rows that stand for a bit")
    first = bit("1: the leading bit of an exponent")
    multiplies = bit("1: a bit that is 1 and not the leading one")
    done = bit("1: the last bit of its limb")
    last = bit("1: the last bit of the exponent")
    base = limb("base", WORD, by="querier; the rows of a power share it")
    exponent = limb("exponent", WORD, by="querier; the rows of a power share it")
    at = bit("1 at the limb of the exponent which the bit is in", WORD)
    left = element("bits that are left in this limb, at most 15", by="counts down; the first one: range check")
    prefix = element("the bits of this limb up to here", by="its bits")
    square = limb("square of the previous row's result, 0 on a first row", WORD, by=MULTIPLY_BUS)
    result = limb("base to the power of the bits so far, modulo 2^256", WORD, by="multiply bus, square or base")
    multiplicity = element("how often the power is queried", by="balance of the power bus")


class Power(Table):
    """base ** exponent modulo 2^256 by squaring and multiplying, for exponents other than zero.

    The rows of a power follow each other. Its first row marks the highest limb that is not zero, whose leading bit it
    takes, and says how many bits are left in that limb: at most 15, so that `prefix` has at most 16 bits and is equal
    to the limb, when none is left, as an integer. All lower limbs take 16 rows. `left` counts down by one and a limb is
    done only at 0: a row that has passed 0 would need as many rows as the field has elements to come back to it, and
    the table cannot end within a power.
    """

    name = "power"
    layout = PowerColumns

    def constraints(self, air: Air) -> None:
        row, after, real = air.row, air.next, air.row.real
        goes_on = real - row.last
        bits = (row.first, row.multiplies, row.done)
        air.require_equal(bits, [0] * len(bits), "idle", when=1 - real)
        air.require(row.last - row.done * row.at[0], "the last bit")
        one_hot(air, row.at, real, "limb")
        # Order of rows.
        air.require(air.is_first * (real - row.first), "starts with a leading bit")
        air.require(goes_on * (after.real - after.first - 1), "goes on")
        air.require(air.is_transition * (1 - goes_on) * (after.real - after.first), "a new power after the last bit")
        air.require(air.is_last * goes_on, "ends with a last bit")
        air.require_equal(row.base, after.base, "base", when=goes_on)
        air.require_equal(row.exponent, after.exponent, "exponent", when=goes_on)
        # Bits.
        range_check(air, row.left, 4, row.first)
        below = air.constant(0)
        limb_ = air.constant(0)
        for i in range(WORD):
            air.require(row.first * below * row.exponent[i], f"limb {i} above the highest one is zero")
            below = below + row.at[i]
            limb_ = limb_ + row.at[i] * row.exponent[i]
            above: Operand = row.at[i + 1] if i + 1 < WORD else 0
            air.require(goes_on * (after.at[i] - row.at[i] - row.done * (above - row.at[i])), f"next limb {i}")
        air.require(row.first * (row.prefix - 1), "leading bit")
        air.require(goes_on * (after.prefix - row.prefix * 2 * (1 - row.done) - after.multiplies), "next bit")
        air.require(goes_on * (after.left - row.done * 15 - (1 - row.done) * (row.left - 1)), "bits left")
        air.require(row.done * row.left, "no bit is left")
        air.require(row.done * (row.prefix - limb_), "all bits of the limb")
        # Results.
        air.require(row.first * row.multiplies, "the leading bit does not multiply")
        air.require_equal(row.square, [0] * WORD, "no square", when=row.first)
        air.require_equal(row.result, row.base, "first result", when=row.first)
        air.require_equal(row.result, row.square, "square", when=1 - row.first - row.multiplies)
        query_product(air, row.result, row.result, after.square, (), whole=0, count=goes_on)
        query_product(air, row.square, row.base, row.result, (), whole=0, count=row.multiplies)
        air.require(row.multiplicity * (1 - row.last), "only the last row answers")
        air.provide(POWER, row.base, row.exponent, row.result, multiplicity=row.multiplicity)


def answer_power(execution: Execution, queries: NDArray[np.uint32]) -> Matrix | None:
    """The rows of all queried powers; those that are not true are left to unbalance the bus."""
    asked, counts = np.unique(queries, axis=0, return_counts=True)
    limbs = (asked < _BASE).all(axis=1)
    asked, counts = asked[limbs], counts[limbs]
    base, exponent, result = (numbers(asked[:, i : i + WORD].astype(np.uint16)) for i in range(0, 3 * WORD, WORD))
    # One power for each distinct query: `pow` knows no arrays.
    true = [e > 0 and pow(b, e, _WORDS) == r for b, e, r in zip(base, exponent, result, strict=True)]
    kept = np.flatnonzero(true)
    if not len(kept):
        return None
    base, exponent, asked, counts = base[kept], exponent[kept], asked[kept], counts[kept]
    lengths = np.array([e.bit_length() for e in exponent], dtype=np.int64)
    ends = np.cumsum(lengths)
    total_rows = int(ends[-1])
    matrix, rows = allocate(PowerColumns, total_rows)
    rows.real = 1
    rows.first[ends - lengths] = 1
    rows.base = np.repeat(asked[:, :WORD], lengths, axis=0)
    rows.exponent = np.repeat(asked[:, WORD : 2 * WORD], lengths, axis=0)
    rows.last[ends - 1] = 1
    rows.multiplicity[ends - 1] = counts
    place = np.repeat(ends, lengths) - 1 - np.arange(total_rows)
    rows.left = place % 16
    rows.done = place % 16 == 0
    rows.at[np.arange(total_rows), place // 16] = 1
    prefix = rows.exponent[np.arange(total_rows), place // 16] >> (place % 16).astype(np.uint32)
    rows.prefix = prefix
    rows.multiplies = (prefix & 1) & (rows.first ^ 1)
    # All powers in step: as many rounds as the longest exponent has bits.
    value = base
    rows.result[ends - lengths] = asked[:, :WORD]
    for k in range(1, int(lengths.max())):
        going = np.flatnonzero(lengths > k)
        at = (ends - lengths)[going] + k
        square = value[going] * value[going] % _WORDS
        new = np.where(rows.multiplies[at] == 1, square * base[going] % _WORDS, square)
        rows.square[at] = limbs_of(square)
        rows.result[at] = limbs_of(new)
        value = value.copy()
        value[going] = new
    return matrix


# The product of two words.


def query_product(
    air: Air, a: Sequence[Any], b: Sequence[Any], low: Sequence[Any], high: Sequence[Any], *, whole: int, count: Operand
) -> None:
    """a * b = low + 2^256 * high where `count` is 1; with whole = 0: a * b = low modulo 2^256, and no `high`.

    All words get pinned to limbs; they may be given by their lower limbs, the others being 0.
    """
    air.query(MULTIPLY, full(air, a), full(air, b), full(air, low), full(air, high), whole, count=count)


#: Carries below 30719 are safe: 2^16 * 30718 + 2^16 - 1 < MODULUS, so product + 2^16 * carry does not wrap.
MAX_CARRIES = 30718
assert _BASE * MAX_CARRIES + _BASE - 1 < MODULUS


def carry_bounds(limbs: int, length: int) -> list[int]:
    """The largest carry out of each of the first `length` limbs of a product of two words of `limbs` limbs."""
    bounds: list[int] = []
    carry = 0
    for k in range(length):
        # Pairs of bytes on a diagonal; the last diagonal of the last limb has none.
        terms = [min(d, 4 * limbs - 2 - d) + 1 for d in (2 * k, 2 * k + 1)]
        carry = ((terms[0] + 256 * terms[1]) * 255**2 + carry) // _BASE
        bounds.append(carry)
    return bounds


def carry_groups(bounds: Sequence[int]) -> list[list[int]]:
    """The carries in groups whose sums stay at or below MAX_CARRIES: one range check bounds a whole group."""
    groups: list[list[int]] = []
    for k in sorted(range(len(bounds)), key=lambda k: -bounds[k]):
        for group in groups:
            if sum(bounds[i] for i in group) + bounds[k] <= MAX_CARRIES:
                group.append(k)
                break
        else:
            groups.append([k])
    return groups


def multiply_columns(limbs: int, length: int) -> type[Layout]:
    """The layout of a product of two words of `limbs` limbs, of which the first `length` limbs are computed."""
    last = length == 2 * limbs  # Nothing is carried out of the last limb of the whole product.
    states_whole = length <= WORD

    class MultiplyColumns(Layout):
        """One product per row."""

        if states_whole:
            whole = bit("1: a * b is below 2^256", free="both messages are true, where 1 is accepted")
        a = byte("first factor", 2 * limbs, by="bitwise_bytes bus, two at a time")
        a_xor = byte("exclusive or of the two bytes of each limb", limbs, by="bitwise_bytes bus")
        b = byte("second factor", 2 * limbs, by="bitwise_bytes bus, two at a time")
        b_xor = byte("exclusive or of the two bytes of each limb", limbs, by="bitwise_bytes bus")
        product = limb("a * b", length, by=RANGE)
        carry = limb("carry out of each limb, groups of them at most 30718", length - last, by=RANGE)
        multiplicity = element("how often the product is queried", by="balance of the multiply bus")

    return MultiplyColumns


class Multiply(Table):
    """a * b over bytes.

    The sum S of a limb are the products of bytes on two diagonals: at most 32 * 255^2 * 257 < 2^29.1. Then
    S + carry in = product + 2^16 * carry out: the left side is below 2^29.1 + 2^16, the right side below the modulus by
    MAX_CARRIES, so both are equal as integers. Carries are limbs; a group's sum s is at most MAX_CARRIES since
    2 * s + 65535 - 2 * MAX_CARRIES is a limb (s is below 2^21).

    The tables' padding states 0 * 0 = 0 and needs no selector.
    """

    selector = None
    row_order = "every row is a statement of its own"

    def __init__(self, name: str, limbs: int, length: int) -> None:
        """A product of words of `limbs` limbs: their first `length` limbs, of 2 * limbs at most."""
        self.name = name  # type: ignore[misc]
        self.layout = multiply_columns(limbs, length)  # type: ignore[misc]
        self.limbs, self.length = limbs, length

    def constraints(self, air: Air) -> None:
        row, limbs, length = air.row, self.limbs, self.length
        for factor, xor in ((row.a, row.a_xor), (row.b, row.b_xor)):
            for i in range(limbs):
                query_xor(air, factor[2 * i], factor[2 * i + 1], xor[i], count=1)
        carry: Operand = 0
        for k in range(length):
            sum_ = _diagonal(air, row.a, row.b, 2 * k) + _diagonal(air, row.a, row.b, 2 * k + 1) * 256 + carry
            carry = row.carry[k] if k < len(row.carry) else 0
            air.require(sum_ - row.product[k] - carry * _BASE, f"limb {k}")
        for group in carry_groups(carry_bounds(limbs, length)[: len(row.carry)]):
            air.query(RANGE16, total([row.carry[k] for k in group]) * 2 + (_BASE - 1 - 2 * MAX_CARRIES), count=1)
        whole: Operand = row.whole if length <= WORD else 1
        if length < 2 * limbs:
            # The products of bytes that are left out are not negative; their sum is at most 31 * 16 * 255^2 < 2^25.
            left_out = air.constant(0)
            for j in range(2 * limbs):
                high = [row.a[i] for i in range(max(0, 2 * length - j), 2 * limbs)]
                left_out = left_out + row.b[j] * total(high) if high else left_out
            air.require(row.whole * left_out, "nothing above the low word")
            air.require(row.whole * row.carry[-1], "no carry out of the low word")
        words = [[f[2 * i] + f[2 * i + 1] * 256 for i in range(limbs)] for f in (row.a, row.b)]
        words += [row.product[:WORD], row.product[WORD:]]
        air.provide(MULTIPLY, *(full(air, word) for word in words), whole, multiplicity=row.multiplicity)


def _diagonal(air: Air, a: Sequence[Expression], b: Sequence[Expression], index: int) -> Expression:
    terms = [a[i] * b[index - i] for i in range(len(a)) if 0 <= index - i < len(b)]
    return total(terms) if terms else air.constant(0)


#: Short factors; the low word of any product; any product in full.
MULTIPLY_SMALL = Multiply("multiply_small", SMALL_FACTOR, 2 * SMALL_FACTOR)
MULTIPLY_LOW = Multiply("multiply", WORD, WORD)
MULTIPLY_FULL = Multiply("multiply_full", WORD, 2 * WORD)


def answer_multiply(queries: NDArray[np.uint32], table: Multiply) -> Matrix | None:
    """The queried products which this table is the smallest to state; what is not true unbalances the bus."""
    asked, counts = np.unique(queries, axis=0, return_counts=True)
    limbs = (asked < _BASE).all(axis=1) & (asked[:, -1] <= 1)
    a, b, low, high = (asked[:, i : i + WORD].astype(np.int64) for i in range(0, 4 * WORD, WORD))
    whole = asked[:, -1] == 1
    small = sizes(a | b) <= MULTIPLY_SMALL.limbs
    long = ~small & (high != 0).any(axis=1)
    mine = {MULTIPLY_SMALL.name: small, MULTIPLY_LOW.name: ~small & ~long, MULTIPLY_FULL.name: long}[table.name]
    chosen = np.flatnonzero(mine & limbs)
    products, carry = _multiply(a[chosen], b[chosen])
    true = (products[:, :WORD] == low[chosen]).all(axis=1)
    true &= (np.where(whole[chosen, None], products[:, WORD:], 0) == high[chosen]).all(axis=1)
    chosen, products, carry = chosen[true], products[true], carry[true]
    if not len(chosen):
        return None
    matrix, rows = allocate(table.layout, len(chosen))
    for factor, cells, xor in ((a, rows.a, rows.a_xor), (b, rows.b, rows.b_xor)):
        bytes_ = _bytes(factor[chosen])[:, : 2 * table.limbs]
        cells[...] = bytes_
        xor[...] = bytes_[:, 0::2] ^ bytes_[:, 1::2]
    rows.product = products[:, : table.length]
    rows.carry = carry[:, : rows.carry.shape[1]]
    if table.length <= WORD:
        rows.whole = whole[chosen]
    rows.multiplicity = counts[chosen]
    return matrix


def _bytes(words: Integers) -> Integers:
    return np.stack([words & 0xFF, words >> 8], axis=2).reshape(len(words), 2 * WORD)


def _multiply(a: Integers, b: Integers) -> tuple[Integers, Integers]:
    """Limbs (n, 32) of the products of words (n, 16), and the carry out of each limb."""
    x, y = _bytes(a), _bytes(b)
    sums = np.zeros((len(a), 4 * WORD), dtype=np.int64)
    for j in range(2 * WORD):
        sums[:, j : j + 2 * WORD] += x * y[:, j : j + 1]
    product = sums[:, 0::2] + 256 * sums[:, 1::2]
    carry = np.zeros_like(product)
    for k in range(2 * WORD):
        if k:
            product[:, k] += carry[:, k - 1]
        carry[:, k] = product[:, k] >> 16
        product[:, k] &= 0xFFFF
    return product, carry


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
    Answering(Power(), POWER, answer_power),
    Answering(MULTIPLY_SMALL, MULTIPLY, lambda _, queries: answer_multiply(queries, MULTIPLY_SMALL)),
    Answering(MULTIPLY_LOW, MULTIPLY, lambda _, queries: answer_multiply(queries, MULTIPLY_LOW)),
    Answering(MULTIPLY_FULL, MULTIPLY, lambda _, queries: answer_multiply(queries, MULTIPLY_FULL)),
)
