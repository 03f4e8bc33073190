"""Listings: the rows of all programs and their constants, as constants of the circuit.

A table of one row, in which each message that it provides has constants for fields and a column for how often it is
asked: a listed row costs one cell and one interaction, however long the program runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import C, Layout, Size, element
from circuits.air.table import Air, Table
from circuits.fields import selections, words
from circuits.fields.buses import (
    BITS_LISTED,
    LIMBS,
    NARROW_LISTED,
    PROGRAM_LISTED,
    REGISTERS,
    SELECTED_LISTED,
    WIDE_LISTED,
    WORD_LISTED,
)
from circuits.programs.precompiles import Precompile
from circuits.programs.program import PART, WRITTEN, Program, Variant
from circuits.programs.runs import Runs, signed_digits

#: The engine takes 1,000 interactions of one table.
MAX_MESSAGES = 960

Message = tuple[Bus, tuple[int, ...]]


class Columns(Layout[C]):
    """The only row."""

    multiplicity = element("how often each message is asked", Size("messages"), by="balance of its bus")


class Listing(Table[Columns]):
    """A part of what is listed of a precompile's programs."""

    selector = None

    def __init__(self, precompile: Precompile, part: int, messages: Sequence[Message]) -> None:
        """The messages of this part, from `part * MAX_MESSAGES` on."""
        super().__init__(f"listing_{precompile.number}_{part}", Columns.sized(messages=len(messages)))
        self.precompile, self.part, self.messages = precompile, part, messages

    def constraints(self, air: Air[Columns]) -> None:
        for (bus, message), multiplicity in zip(self.messages, air.row.multiplicity, strict=True):
            air.provide(bus, *message, multiplicity=multiplicity)

    def fill(self, runs: Runs) -> Matrix | None:
        """The row, if there is an instance of a program of the precompile."""
        programs = [variant.program for variant in self.precompile.variants()]
        if not any(program.number in runs.programs for program in programs):
            return None
        counts = np.concatenate([_counts(program, runs) for program in programs])
        first = self.part * MAX_MESSAGES
        matrix: NDArray[np.uint32] = counts[first : first + len(self.messages)].astype(np.uint32)[None]
        return matrix


def _counts(program: Program, runs: Runs) -> NDArray[np.int64]:
    """How often each message of a program is asked."""
    own = runs.programs.get(program.number)
    if own is None:
        return np.zeros(1 + sum(program.rows.values()) + len(program.constants), dtype=np.int64)
    rows = np.full(1 + sum(program.rows.values()), len(own.instance), dtype=np.int64)
    return np.concatenate([rows, runs.constant_reads[program.number]])


def listed_program(precompile: Precompile, variant: Variant) -> list[int]:
    """What is listed of a program as a whole, from its number on."""
    program = variant.program
    outputs = sum(row.place == WRITTEN for row in program.words)
    answers = (
        precompile.number,
        variant.role == PART,
        variant.fails,
        program.links,
        outputs,
        outputs > 0,
        precompile.stride,
    )
    kinds = (program.narrow, program.wide, program.selected, program.bit_rows, program.words)
    return [program.number, *map(int, answers), program.limbs == LIMBS[1], *(bool(rows) for rows in kinds)]


def messages_of(precompile: Precompile, variant: Variant) -> list[Message]:
    """All that is listed of a program: itself, its rows, one message each, and its constants at the end."""
    program = variant.program
    number = program.number
    messages: list[Message] = [(PROGRAM_LISTED, tuple(listed_program(precompile, variant)))]

    def add(bus: Bus, rows: Sequence[Sequence[int]]) -> None:
        for k, fields in enumerate(rows):
            values = (number, k, k == len(rows) - 1, *fields)
            messages.append((bus, tuple(int(v) % MODULUS for v in values)))

    narrow = [
        (r.modulus.number, *r.operands, r.b, r.c, r.f, r.g, r.d, r.e, r.s, r.constant, r.distinct)
        for r in program.narrow
    ]
    add(NARROW_LISTED, narrow)
    wide = [(r.modulus.number, *r.operands, *r.products, *r.linear, r.s, r.constant) for r in program.wide]
    add(WIDE_LISTED, wide)
    add(SELECTED_LISTED, [selections.listed(number, row) for row in program.selected])
    add(BITS_LISTED, [()] * program.bit_rows)
    add(WORD_LISTED, [words.listed(program, row) for row in program.words])
    for k, digits in enumerate(signed_digits(program.constants, program.limbs).tolist()):
        fields = (0, selections.constant_index(number, k), *digits)
        messages.append((REGISTERS[program.limbs], tuple(v % MODULUS for v in fields)))
    return messages


def listings(precompile: Precompile) -> list[Listing]:
    """The tables that list the programs of a precompile."""
    messages = [message for variant in precompile.variants() for message in messages_of(precompile, variant)]
    starts = range(0, len(messages), MAX_MESSAGES)
    return [Listing(precompile, part, messages[start : start + MAX_MESSAGES]) for part, start in enumerate(starts)]
