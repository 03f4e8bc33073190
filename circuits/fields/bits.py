"""Rows of scalars: a register of 256 bits, whose digits of two bits are looked up."""

from __future__ import annotations

import numpy as np

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import total
from circuits.air.layout import C, Layout, allocate, bit, element, nested
from circuits.air.table import Air, Table
from circuits.fields.buses import BIT_ROWS, BITS_LISTED, DIGIT, LIMBS, REGISTERS
from circuits.fields.chain import CHAIN_ORDER, Chain
from circuits.programs.program import BITS, DIGIT_BITS, HINT
from circuits.programs.runs import Runs

_BITS = 256
_DIGITS = _BITS // DIGIT_BITS


class Columns(Layout[C]):
    """One number per row."""

    real = bit("1 on rows of an instance")
    chain: Chain[C] = nested(Chain)
    bits = bit("of the number, the least significant first", _BITS, free=HINT)
    multiplicity = element(
        "how often the register is read",
        by="balance of the register bus",
        free="exchanged with a bit: a hint that nothing reads",
    )
    digit_multiplicity = element("how often each digit is", _DIGITS, by="balance of the field_digit bus")


class Scalars(Table[Columns]):
    """Numbers of 256 bits with their digits."""

    row_order = CHAIN_ORDER

    def __init__(self, limbs: int) -> None:
        """The table for registers of `limbs` bytes."""
        super().__init__(f"field_bits_{limbs}", Columns)
        self.limbs = limbs

    def constraints(self, air: Air[Columns]) -> None:
        row, real, chain = air.row, air.row.real, air.row.chain
        Chain.constrain(air, self.limbs, BIT_ROWS)
        air.query(BITS_LISTED, chain.program, chain.row, chain.last, count=real)
        bytes_ = [total([row.bits[8 * i + k] * (1 << k) for k in range(8)]) for i in range(_BITS // 8)]
        digits = [*bytes_, *([0] * (self.limbs - len(bytes_)))]
        air.require(row.multiplicity * (1 - real), "padding provides nothing")
        air.provide(REGISTERS[self.limbs], chain.instance, chain.row + BITS, digits, multiplicity=row.multiplicity)
        for i, multiplicity in enumerate(row.digit_multiplicity):
            digit = row.bits[2 * i] + row.bits[2 * i + 1] * 2
            air.require(multiplicity * (1 - real), f"padding provides no digit {i}")
            air.provide(DIGIT, chain.instance, chain.row, i, digit, multiplicity=multiplicity)


def fill(runs: Runs, limbs: int) -> Matrix | None:
    """The scalars of all instances whose registers have `limbs` bytes."""
    own = [r for r in runs.of_limbs(limbs) if r.program.bit_rows]
    if not own:
        return None
    matrix, rows = allocate(Columns, sum(len(r) * r.program.bit_rows for r in own))
    rows.real = 1
    Chain.fill_all(rows.chain, own, lambda p: p.bit_rows)
    rows.bits = np.concatenate([r.scalar.reshape(-1, _BITS) for r in own])
    rows.multiplicity = np.concatenate([r.counts(BITS).reshape(-1) for r in own])
    rows.digit_multiplicity = np.concatenate([r.digit_reads.reshape(-1, _DIGITS) for r in own])
    return matrix


BIT_TABLES = {limbs: Scalars(limbs) for limbs in LIMBS}
