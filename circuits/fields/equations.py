"""Rows of equations: a sum of products of registers is a multiple of a modulus.

Argument. A row states S(256) = q(256) * m(256) over the integers, where S and q * m are polynomials in the base whose
coefficients are sums of products of digits. Coefficients are taken in pairs, 16 bits at a time, with a carry c to the
next pair: pair + c' - 2^16 * c = 0 in the field. With |c| <= 2^14 (15 bits, shifted) and the assembler's bound
`MAX_SUM` on the pair the left side is less than the modulus 15 * 2^27 + 1, so it is 0 as an integer; and the last pair
has no carry out. Digits of results and quotients are signed bytes: a pair of them, shifted by 128, is one lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air import field as arithmetic
from circuits.air.derived import fill_derived
from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import at_most_one, total
from circuits.air.layout import C, Layout, Size, allocate, bit, byte, element, nested
from circuits.air.table import Air, Table
from circuits.fields.buses import LIMBS, NARROW_LISTED, NARROW_ROWS, REGISTERS, WIDE_LISTED, WIDE_ROWS
from circuits.fields.chain import CHAIN_ORDER, Chain
from circuits.functions.bitwise_bytes import query_byte, query_xor
from circuits.functions.buses import RANGE15
from circuits.programs.moduli import (
    BLS12_381_P,
    BLS12_381_R,
    BN254_N,
    BN254_P,
    MODULI,
    P256_N,
    P256_P,
    SECP256K1_N,
    SECP256K1_P,
    TWO_160,
    Modulus,
)
from circuits.programs.program import HINT, NARROW, SIGNED_DIGIT, WIDE, WIDE_LINEAR, WIDE_PRODUCTS, Program
from circuits.programs.runs import ProgramRuns, Runs

#: The moduli of equations by the size of registers, beside the integers.
EQUATION_MODULI: dict[int, tuple[Modulus, ...]] = {
    32: (SECP256K1_P, SECP256K1_N, BN254_P, BN254_N, P256_P, P256_N, TWO_160),
    48: (BLS12_381_P, BLS12_381_R),
}

_CARRY_OFFSET = 1 << 14
_BASE = 1 << 16
_REGISTER = "register bus"
_LISTED = "its listing"

_OPERANDS = 2 * WIDE_PRODUCTS + WIDE_LINEAR
_LIMBS = Size("limbs")
_PAIRS = Size("pairs")

Integers = NDArray[np.int64]


class Equation(Layout[C]):
    """What both kinds of rows have: the result, the quotient, the carries and the modulus."""

    result = element(
        "digits of the register that the row makes", _LIMBS, by="bitwise_bytes bus, two at a time", free=HINT
    )
    result_xor = byte("exclusive or of two shifted digits", _PAIRS, by="bitwise_bytes bus", free=HINT)
    quotient = element("digits of the quotient, 0 of integers", Size("digits"), by="bitwise_bytes bus, two at a time")
    quotient_xor = byte("exclusive or of two shifted digits", _PAIRS, by="bitwise_bytes bus")
    carry = element("carry out of each pair of coefficients but the last one", _LIMBS, by="range15 bus, shifted")
    modulus = bit("flag of the modulus; none: integers", Size("moduli"))
    makes = element("1: the result is in the sum", by=_LISTED)
    constant = element("in the sum", by=_LISTED)
    multiplicity = element("how often the register is read", by="balance of the register bus")


def constrain_equation(air: Air[Any], limbs: int, base: int, sums: Sequence[Expression], cells: Any) -> Expression:
    """`sums`, coefficients of the base's powers (2 * limbs - 1), and the constant, are result and multiple.

    Returns the number of the modulus.
    """
    row, real = air.row, air.row.real
    moduli = EQUATION_MODULI[limbs]
    some = at_most_one(air, list(cells.modulus), "moduli")
    for k, digit in enumerate(cells.quotient):
        air.require((1 - some) * digit, f"no quotient of integers: digit {k}")
    number = total([flag * m.number for flag, m in zip(cells.modulus, moduli, strict=True)])
    digits = [m.digits(limbs) for m in moduli]
    length = max(map(len, digits))
    modulus = [
        total([air.constant(0), *(f * d[i] for f, d in zip(cells.modulus, digits, strict=True) if i < len(d) and d[i])])
        for i in range(length)
    ]
    coefficients = [air.constant(0)] * (2 * limbs + 2)
    for k, sum_ in enumerate(sums):
        coefficients[k] = sum_
    coefficients[0] = coefficients[0] + cells.constant
    for k in range(limbs):
        coefficients[k] = coefficients[k] - cells.makes * cells.result[k]
    for k, multiple in enumerate(convolution(air, cells.quotient, modulus)):
        coefficients[k] = coefficients[k] - multiple
    carry: Expression = air.constant(0)
    for k in range(limbs + 1):
        pair = coefficients[2 * k] + coefficients[2 * k + 1] * 256 + carry
        carry = cells.carry[k] if k < limbs else air.constant(0)
        air.require(pair - carry * _BASE, f"pair {k}")
    for k in range(limbs):
        air.query(RANGE15, cells.carry[k] + _CARRY_OFFSET, count=real)
    for name, xor in (("result", cells.result_xor), ("quotient", cells.quotient_xor)):
        shifted = [d + SIGNED_DIGIT for d in getattr(cells, name)]
        for k in range(limbs // 2):
            query_xor(air, shifted[2 * k], shifted[2 * k + 1], xor[k], count=real)
        if len(shifted) > limbs:
            query_byte(air, shifted[limbs], count=real)
    air.require(cells.multiplicity * (1 - real), "padding provides nothing")
    chain = row.chain
    air.provide(REGISTERS[limbs], chain.instance, chain.row + base, cells.result, multiplicity=cells.multiplicity)
    return number


def convolution(air: Air[Any], a: Sequence[Expression], b: Sequence[Expression]) -> list[Expression]:
    """The coefficients of the product of two polynomials."""
    terms: list[list[Expression]] = [[] for _ in range(len(a) + len(b) - 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            if y.value != 0 and x.value != 0:
                terms[i + j].append(x * y)
    return [total(t) if t else air.constant(0) for t in terms]


def read(air: Air[Any], limbs: int, addresses: Sequence[Any], digits: Sequence[Any]) -> None:
    """These registers of the row's instance have these digits."""
    for address, operand in zip(addresses, digits, strict=True):
        air.query(REGISTERS[limbs], air.row.chain.instance, address, operand, count=air.row.real)


def _difference(row: Any) -> Any:
    """B - C as a number modulo the field's modulus."""
    return total(
        [(b - c) * pow(256, i, MODULUS) for i, (b, c) in enumerate(zip(row.operand[1], row.operand[2], strict=True))]
    )


class NarrowColumns(Layout[C]):
    """One equation A (b B + c C) + f E (B - C) + g D D + d D + e E + constant - s R = q m per row."""

    real = bit("1 on rows of an instance")
    chain: Chain[C] = nested(Chain)
    address = element("registers A to E", 5, by=_LISTED)
    operand = element("their digits", (5, _LIMBS), by=_REGISTER)
    coefficient = element("b, c, f, g, d, e", 6, by=_LISTED)
    equation: Equation[C] = nested(Equation)
    distinct = bit("1: B - C is proved not to be 0 modulo m")
    square = element(
        "the square of B - C modulo the field's modulus", equals=lambda row: _difference(row) * _difference(row)
    )
    inverse = element("inverse of (B - C) ((B - C)^2 - m^2) where it is distinct, else 0", by="its constraint")


class Narrow(Table[NarrowColumns]):
    """Equations with few terms, such as those of points on curves.

    The modulus of a `distinct` row is more than half of what B - C can be in absolute value (the assembler sees to it):
    B - C is 0 modulo m if and only if it is 0, m or -m. As an integer it is none of these if it is not modulo the
    field's modulus: the product of its three differences from them has an inverse. An honest difference has none in
    three of 2^31 cases; such programs have a `choice`, which changes all of their differences.
    """

    row_order = CHAIN_ORDER

    def __init__(self, limbs: int) -> None:
        """The table for registers of `limbs` bytes."""
        super().__init__(f"field_narrow_{limbs}", NarrowColumns.sized(**_sizes(limbs)))
        self.limbs = limbs

    def constraints(self, air: Air[NarrowColumns]) -> None:
        row, limbs = air.row, self.limbs
        Chain.constrain(air, limbs, NARROW_ROWS)
        read(air, limbs, row.address, row.operand)
        first, second, third, square, last = row.operand
        b, c, f, g, d, e = row.coefficient
        right = [b * x + c * y for x, y in zip(second, third, strict=True)]
        sums = convolution(air, first, right)
        difference = [x - y for x, y in zip(second, third, strict=True)]
        sums = _add(sums, convolution(air, [f * x for x in last], difference))
        sums = _add(sums, [g * x for x in convolution(air, square, square)])
        sums = _add(sums, [d * x + e * y for x, y in zip(square, last, strict=True)])
        equation = row.equation
        number = constrain_equation(air, limbs, NARROW, sums, equation)
        listed = (*row.coefficient, equation.makes, equation.constant, row.distinct)
        chain = row.chain
        air.query(NARROW_LISTED, chain.program, chain.row, chain.last, number, row.address, *listed, count=row.real)
        moduli = zip(equation.modulus, EQUATION_MODULI[limbs], strict=True)
        others = total([flag * (m.value * m.value) for flag, m in moduli])
        air.require((row.square - others) * _difference(row) * row.inverse - row.distinct, "distinct")
        air.require((1 - row.distinct) * row.inverse, "an inverse only where it is distinct")
        air.require(row.distinct * (1 - row.real), "padding: distinct")


class WideColumns(Layout[C]):
    """One equation of four products and two linear terms per row."""

    real = bit("1 on rows of an instance")
    chain: Chain[C] = nested(Chain)
    address = element("registers of the products, then of the linear terms", _OPERANDS, by=_LISTED)
    operand = element("their digits", (_OPERANDS, _LIMBS), by=_REGISTER)
    coefficient = element("of the products and the linear terms", WIDE_PRODUCTS + WIDE_LINEAR, by=_LISTED)
    equation: Equation[C] = nested(Equation)


class Wide(Table[WideColumns]):
    """Equations with many terms, such as those of extension fields."""

    row_order = CHAIN_ORDER

    def __init__(self, limbs: int) -> None:
        """The table for registers of `limbs` bytes."""
        super().__init__(f"field_wide_{limbs}", WideColumns.sized(**_sizes(limbs)))
        self.limbs = limbs

    def constraints(self, air: Air[WideColumns]) -> None:
        row, limbs = air.row, self.limbs
        Chain.constrain(air, limbs, WIDE_ROWS)
        read(air, limbs, row.address, row.operand)
        sums = [air.constant(0)] * (2 * limbs - 1)
        for k in range(WIDE_PRODUCTS):
            a, b = row.operand[2 * k : 2 * k + 2]
            sums = _add(sums, convolution(air, [row.coefficient[k] * x for x in a], b))
        for k in range(WIDE_LINEAR):
            terms = row.operand[2 * WIDE_PRODUCTS + k]
            sums = _add(sums, [row.coefficient[WIDE_PRODUCTS + k] * x for x in terms])
        equation = row.equation
        number = constrain_equation(air, limbs, WIDE, sums, equation)
        listed = (*row.coefficient, equation.makes, equation.constant)
        chain = row.chain
        air.query(WIDE_LISTED, chain.program, chain.row, chain.last, number, row.address, *listed, count=row.real)


def _sizes(limbs: int) -> dict[str, int]:
    return {"limbs": limbs, "pairs": limbs // 2, "digits": limbs + 1, "moduli": len(EQUATION_MODULI[limbs])}


def _add(a: Sequence[Expression], b: Sequence[Expression]) -> list[Expression]:
    """The sum of two polynomials, of which the first is the longer one."""
    return [x + b[k] if k < len(b) else x for k, x in enumerate(a)]


# Filling.


def fill_narrow(runs: Runs, limbs: int) -> Matrix | None:
    """The narrow rows of all instances whose registers have `limbs` bytes."""
    own = [r for r in runs.of_limbs(limbs) if r.program.narrow]
    if not own:
        return None
    matrix, rows = allocate(
        NarrowColumns, sum(len(r) * len(r.program.narrow) for r in own), _layout(NARROW_TABLES, limbs)
    )
    address = _repeated(own, lambda p: [row.operands for row in p.narrow])
    coefficient = _repeated(own, lambda p: [(row.b, row.c, row.f, row.g, row.d, row.e) for row in p.narrow])
    shared = _repeated(own, lambda p: [(row.modulus.number, row.s, row.constant, row.distinct) for row in p.narrow])
    operand = _operands(own, lambda p: [row.operands for row in p.narrow])
    rows.real = 1
    Chain.fill_all(rows.chain, own, lambda p: len(p.narrow))
    rows.address = address
    rows.operand = operand % MODULUS
    rows.coefficient = coefficient % MODULUS
    rows.distinct = shared[:, 3]
    first, second, third, square, last = (operand[:, k] for k in range(5))
    b, c, f, g, d, e = (coefficient[:, k : k + 1] for k in range(6))
    sums = _product(first, b * second + c * third) + _product(f * last, second - third) + g * _product(square, square)
    sums[:, :limbs] += d * square + e * last
    _fill_equation(rows.equation, own, limbs, NARROW, sums, shared[:, :3])
    fill_derived(rows)
    difference = _number(second - third)
    moduli = np.array([m.value**2 % MODULUS for m in MODULI], dtype=np.uint64)
    product = difference * ((rows.square.astype(np.uint64) + MODULUS - moduli[shared[:, 0]]) % MODULUS) % MODULUS
    rows.inverse = np.where(shared[:, 3] == 1, arithmetic.inverse(product), 0)
    return matrix


def _number(digits: Integers) -> NDArray[np.uint64]:
    """The integers of digits (rows, limbs) modulo the field's modulus, (rows,)."""
    result = np.zeros(len(digits), dtype=np.uint64)
    for k in reversed(range(digits.shape[1])):
        result = (result * np.uint64(256) + (digits[:, k] % MODULUS).astype(np.uint64)) % np.uint64(MODULUS)
    return result


def fill_wide(runs: Runs, limbs: int) -> Matrix | None:
    """The wide rows of all instances whose registers have `limbs` bytes."""
    own = [r for r in runs.of_limbs(limbs) if r.program.wide]
    if not own:
        return None
    matrix, rows = allocate(WideColumns, sum(len(r) * len(r.program.wide) for r in own), _layout(WIDE_TABLES, limbs))
    operand = _operands(own, lambda p: [row.operands for row in p.wide])
    coefficient = _repeated(own, lambda p: [(*row.products, *row.linear) for row in p.wide])
    rows.real = 1
    Chain.fill_all(rows.chain, own, lambda p: len(p.wide))
    rows.address = _repeated(own, lambda p: [row.operands for row in p.wide])
    rows.operand = operand % MODULUS
    rows.coefficient = coefficient % MODULUS
    sums = np.zeros((len(operand), 2 * limbs - 1), dtype=np.int64)
    for k in range(WIDE_PRODUCTS):
        sums += coefficient[:, k : k + 1] * _product(operand[:, 2 * k], operand[:, 2 * k + 1])
    for k in range(WIDE_PRODUCTS, WIDE_PRODUCTS + WIDE_LINEAR):
        sums[:, :limbs] += coefficient[:, k : k + 1] * operand[:, WIDE_PRODUCTS + k]
    shared = _repeated(own, lambda p: [(row.modulus.number, row.s, row.constant) for row in p.wide])
    _fill_equation(rows.equation, own, limbs, WIDE, sums, shared)
    return matrix


def _repeated(own: Sequence[ProgramRuns], of: Callable[[Program], Sequence[Any]]) -> Integers:
    """What the rows of a program have (rows, k), for all instances (all rows, k)."""
    return np.concatenate([np.tile(np.array(of(r.program), dtype=np.int64), (len(r), 1)) for r in own])


def _operands(own: Sequence[ProgramRuns], of: Callable[[Program], Sequence[Any]]) -> Integers:
    """The digits (rows, operands, limbs) of what rows read."""
    found = []
    for r in own:
        places = r.places(np.array(of(r.program), dtype=np.int64))
        found.append(r.digits[:, places].reshape(-1, *places.shape[1:], r.digits.shape[2]))
    return np.concatenate(found).astype(np.int64)


def _product(a: Integers, b: Integers) -> Integers:
    """Products (rows, n + m - 1) of polynomials (rows, n) and (rows, m)."""
    result = np.zeros((len(a), a.shape[1] + b.shape[1] - 1), dtype=np.int64)
    for k in range(a.shape[1]):
        result[:, k : k + b.shape[1]] += a[:, k : k + 1] * b
    return result


def _fill_equation(
    cells: Any, own: Sequence[ProgramRuns], limbs: int, base: int, sums: Integers, shared: Integers
) -> None:
    """`sums` (rows, 2 * limbs - 1) of the operands; `shared` (rows, 3): number of the modulus, s, constant."""
    result = np.concatenate([r.values(base).reshape(-1, limbs) for r in own]).astype(np.int64)
    quotients = [r.narrow_quotient if base == NARROW else r.wide_quotient for r in own]
    quotient = np.concatenate([q.reshape(-1, limbs + 1) for q in quotients]).astype(np.int64)
    number, makes, constant = shared.T
    for digits, name in ((result, "result"), (quotient, "quotient")):
        setattr(cells, name, digits % MODULUS)
        shifted = digits + SIGNED_DIGIT
        setattr(cells, f"{name}_xor", shifted[:, 0 : limbs - 1 : 2] ^ shifted[:, 1:limbs:2])
    moduli = EQUATION_MODULI[limbs]
    cells.modulus = number[:, None] == [m.number for m in moduli]
    cells.makes, cells.constant = makes, constant % MODULUS
    cells.multiplicity = np.concatenate([r.counts(base).reshape(-1) for r in own])
    coefficients = np.zeros((len(sums), 2 * limbs + 2), dtype=np.int64)
    coefficients[:, : 2 * limbs - 1] = sums
    coefficients[:, 0] += constant
    coefficients[:, :limbs] -= makes[:, None] * result
    for m in moduli:
        rows, digits = np.flatnonzero(number == m.number), np.array([m.digits(limbs)])
        coefficients[rows, : limbs + digits.shape[1]] -= _product(quotient[rows], digits)
    carry = np.zeros(len(sums), dtype=np.int64)
    for k in range(limbs):
        # What does not divide is a lie, which the last pair shows.
        carry = (coefficients[:, 2 * k] + coefficients[:, 2 * k + 1] * 256 + carry) >> 16
        cells.carry[:, k] = carry % MODULUS


def _layout(tables: Mapping[int, Any], limbs: int) -> Any:
    return tables[limbs].layout


NARROW_TABLES = {limbs: Narrow(limbs) for limbs in LIMBS}
WIDE_TABLES = {limbs: Wide(limbs) for limbs in LIMBS}
