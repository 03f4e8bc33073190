"""Listings: the rows of all programs and their constants, as constants of the circuit.

A table of one row, which provides messages whose fields are constants: a listed row costs one interaction, however
often the program runs. The counts are columns: one for all rows of a program, one for each of its constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from circuits.air.bus import Bus
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import C, Layout, Size, element
from circuits.air.table import Air, Interaction, Table
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


@dataclass(frozen=True)
class Message:
    """Something that is listed.

    Attributes:
        program: whose.
        bus, fields: the message.
        constant: which constant of the program it is, or None: all other messages are asked once by each instance.
    """

    program: Program
    bus: Bus
    fields: tuple[int, ...]
    constant: int | None = None


class Columns(Layout[C]):
    """The only row."""

    multiplicity = element(
        "how often a program is run, or one of its constants read", Size("counts"), by="balance of the buses"
    )


class Listing(Table[Columns]):
    """A part of what is listed of a precompile's programs. Messages that are asked equally often share their count."""

    selector = None

    def __init__(self, precompile: Precompile, part: int, messages: Sequence[Message]) -> None:
        """These messages."""
        self.counts = list(dict.fromkeys((m.program.number, m.constant) for m in messages))
        super().__init__(f"listing_{precompile.number}_{part}", Columns.sized(counts=len(self.counts)))
        self.precompile, self.messages = precompile, messages

    def constraints(self, air: Air[Columns]) -> None:
        counts = dict(zip(self.counts, air.row.multiplicity, strict=True))
        # `Air.provide` for many messages of constants: each constant is looked up once.
        constants = {v: air.constant(v) for v in sorted({v for m in self.messages for v in m.fields})}
        provided = {key: -count for key, count in counts.items()}
        for m in self.messages:
            fields = tuple(constants[v] for v in m.fields)
            air.interactions.append(Interaction(m.bus, provided[m.program.number, m.constant], fields, True))

    def fill(self, runs: Runs) -> Matrix | None:
        """The row, if there is an instance of a program of the precompile."""
        programs = [variant.program.number for variant in self.precompile.variants()]
        if not any(number in runs.programs for number in programs):
            return None
        matrix = np.zeros((1, len(self.counts)), dtype=np.uint32)
        for k, (number, constant) in enumerate(self.counts):
            own = runs.programs.get(number)
            if own is not None:
                matrix[0, k] = len(own.instance) if constant is None else runs.constant_reads[number][constant]
        return matrix


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
    messages = [Message(program, PROGRAM_LISTED, tuple(listed_program(precompile, variant)))]

    def add(bus: Bus, rows: Sequence[Sequence[int]]) -> None:
        for k, fields in enumerate(rows):
            values = (number, k, k == len(rows) - 1, *fields)
            messages.append(Message(program, bus, tuple(int(v) % MODULUS for v in values)))

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
        messages.append(Message(program, REGISTERS[program.limbs], tuple(v % MODULUS for v in fields), k))
    return messages


def listings(precompile: Precompile) -> list[Listing]:
    """The tables that list the programs of a precompile."""
    messages = [message for variant in precompile.variants() for message in messages_of(precompile, variant)]
    starts = range(0, len(messages), MAX_MESSAGES)
    return [Listing(precompile, part, messages[start : start + MAX_MESSAGES]) for part, start in enumerate(starts)]
