"""Rows that copy two registers: from a table by the digits of scalars, from a linked instance, or constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import C, Layout, Size, allocate, bit, element, nested
from circuits.air.table import Air, Table
from circuits.fields.buses import DIGIT, LIMBS, REGISTERS, SELECTED_LISTED, SELECTED_ROWS
from circuits.fields.chain import CHAIN_ORDER, Chain
from circuits.programs.program import CONSTANT, DIGIT_BITS, LINKED, MAX_CONSTANTS, MAX_TERMS, SELECTED, SelectedRow
from circuits.programs.runs import Runs

_LISTED = "its listing"


class Term(Layout[C]):
    """A digit in an address."""

    used = bit("1: there is such a digit")
    weight = element("of the digit in the address", by=_LISTED)
    bits = element("number of the bits", by=_LISTED)
    position = element("of the digit in them", by=_LISTED)
    digit = element("two bits", by="field_digit bus; has no weight where it is not used")


class Columns(Layout[C]):
    """Two registers per row."""

    real = bit("1 on rows of an instance")
    chain: Chain[C] = nested(Chain)
    linked = bit("1: from the linked instance")
    constant = bit("1: from the constants")
    link = element("the linked instance", by="start bus; shared along its rows")
    base = element("register to copy where all digits are 0", by=_LISTED)
    term: Sequence[Term[C]] = nested(Term, shape=MAX_TERMS)
    value = element("digits of both registers", (2, Size("limbs")), by="register bus")
    multiplicity = element("how often each of them is read", 2, by="balance of the register bus")


class Selected(Table[Columns]):
    """Copies of registers."""

    row_order = CHAIN_ORDER

    def __init__(self, limbs: int) -> None:
        """The table for registers of `limbs` bytes."""
        super().__init__(f"field_selected_{limbs}", Columns.sized(limbs=limbs))
        self.limbs = limbs

    def constraints(self, air: Air[Columns]) -> None:
        row, real, chain = air.row, air.row.real, air.row.chain
        Chain.constrain(air, self.limbs, SELECTED_ROWS, row.link)
        Chain.share(air, "link")
        terms = [(t.used, t.weight, t.bits, t.position) for t in row.term]
        listed = (chain.program, chain.row, chain.last, row.linked, row.constant, row.base)
        air.query(SELECTED_LISTED, *listed, *terms, count=real)
        address = row.base
        for k, term in enumerate(row.term):
            air.query(DIGIT, chain.instance, term.bits, term.position, term.digit, count=term.used)
            air.require(term.used * (1 - real), f"padding: term {k}")
            # Listings give no weight to a term that is not used.
            address = address + term.weight * term.digit
            air.require((1 - term.used) * term.digit, f"no digit: term {k}")
        source = chain.instance + row.linked * (row.link - chain.instance) - row.constant * chain.instance
        for k in range(2):
            air.query(REGISTERS[self.limbs], source, address + k, row.value[k], count=real)
            air.require(row.multiplicity[k] * (1 - real), f"padding provides nothing: {k}")
            index = chain.row * 2 + (SELECTED + k)
            air.provide(REGISTERS[self.limbs], chain.instance, index, row.value[k], multiplicity=row.multiplicity[k])


def constant_index(program: int, number: int) -> int:
    """The register, of instance 0, of a program's constant."""
    return program * MAX_CONSTANTS + number


def listed(program: int, row: SelectedRow) -> list[int]:
    """What a row's listing says behind its number: source, base and terms."""
    base = constant_index(program, row.base) if row.source == CONSTANT else row.base
    terms = [value for term in row.terms for value in (1, *term)]
    return [row.source == LINKED, row.source == CONSTANT, base, *terms, *([0] * (4 * (MAX_TERMS - len(row.terms))))]


def fill(runs: Runs, limbs: int) -> Matrix | None:
    """The selections of all instances whose registers have `limbs` bytes."""
    own = [r for r in runs.of_limbs(limbs) if r.program.selected]
    if not own:
        return None
    heights = [len(r) * len(r.program.selected) for r in own]
    matrix, rows = allocate(Columns, sum(heights), SELECTED_TABLES[limbs].layout)
    rows.real = 1
    Chain.fill_all(rows.chain, own, lambda p: len(p.selected))
    values = [np.array([listed(r.program.number, row) for row in r.program.selected]) for r in own]
    fields = np.concatenate([np.tile(v, (len(r), 1)) for v, r in zip(values, own, strict=True)])
    rows.linked, rows.constant, rows.base = fields[:, 0], fields[:, 1], fields[:, 2]
    rows.link = np.concatenate([np.repeat(r.linked, len(r.program.selected)) for r in own])
    for k in range(MAX_TERMS):
        term = rows.term[k]
        term.used, term.weight, term.bits, term.position = fields[:, 3 + 4 * k : 7 + 4 * k].T
        digits = []
        for r, listing in zip(own, values, strict=True):
            used, _, number, position = listing[:, 3 + 4 * k : 7 + 4 * k].T
            if not used.any():
                digits.append(np.zeros(len(r) * len(listing), dtype=np.int64))
                continue
            low = r.scalar[:, number, DIGIT_BITS * position].astype(np.int64)
            high = r.scalar[:, number, DIGIT_BITS * position + 1].astype(np.int64)
            digits.append(((low + 2 * high) * used).reshape(-1))
        term.digit = np.concatenate(digits)
    value = [r.values(SELECTED).reshape(-1, 2, limbs) for r in own]
    rows.value = np.concatenate(value).astype(np.int64) % MODULUS
    rows.multiplicity = np.concatenate([r.counts(SELECTED).reshape(-1, 2) for r in own])
    return matrix


SELECTED_TABLES = {limbs: Selected(limbs) for limbs in LIMBS}
