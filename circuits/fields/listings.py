"""Listings: the rows of all programs and their constants, as constants of the circuit.

A table of one row, which provides messages whose fields are constants: a listed row costs one interaction, however
often the program runs. The counts are columns: one for all rows of a program, one for each of its constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import C, Layout, Size, element
from circuits.air.sources import files_digest
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
from circuits.programs.precompiles import PRECOMPILES, Precompile, listed_programs
from circuits.programs.program import PART, WRITTEN, Variant
from circuits.programs.runs import Runs, signed_digits

#: The engine takes 4,000 interactions of one table.
MAX_MESSAGES = 4_000

_PROGRAM_FIELDS = tuple(field.name for field in PROGRAM_LISTED.fields)
_BUSES = (PROGRAM_LISTED, NARROW_LISTED, WIDE_LISTED, SELECTED_LISTED, BITS_LISTED, WORD_LISTED, *REGISTERS.values())


@dataclass(frozen=True)
class Message:
    """Something that is listed.

    Attributes:
        program: number of the program whose it is.
        bus, fields: the message.
        constant: which constant of the program it is, or None: all other messages are asked once by each instance.
    """

    program: int
    bus: Bus
    fields: tuple[int, ...]
    constant: int | None = None


class Listed:
    """All messages of a precompile, as the numbers that a file has: few of them are ever needed one by one.

    Attributes:
        heads: (messages, 3) int32, each the bus (its place among those of listings), the program, and which constant of
            it, -1 for all else.
        fields: uint32, of all messages one after the other.
        programs: that have any.
    """

    def __init__(self, heads: NDArray[np.int32], fields: NDArray[np.uint32]) -> None:
        """Raises `ValueError` where there are fewer or more fields than the buses have."""
        self.heads, self.fields = heads, fields
        widths = np.array([bus.width for bus in _BUSES])[heads[:, 0]]
        self._ends = np.cumsum(widths)
        if len(fields) != widths.sum():
            raise ValueError("messages of other widths than their buses")
        self.programs = frozenset(np.unique(heads[:, 1]).tolist())

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Listed:
        """These messages."""
        index = {bus.index: k for k, bus in enumerate(_BUSES)}
        heads = [(index[m.bus.index], m.program, -1 if m.constant is None else m.constant) for m in messages]
        fields = np.array([v for m in messages for v in m.fields], dtype=np.uint32)
        return cls(np.array(heads, dtype=np.int32).reshape(-1, 3), fields)

    def owners(self, part: slice) -> list[tuple[int, int]]:
        """Programs and constants that some messages are of, each once, in the order of its first message."""
        owners = self.heads[part, 1:]
        _, firsts = np.unique(owners @ np.array([1 << 32, 1]), return_index=True)
        return list(map(tuple, owners[np.sort(firsts)].tolist()))

    def messages(self, part: slice = slice(None)) -> list[Message]:
        """Some of them."""
        heads = self.heads[part]
        widths = [_BUSES[bus].width for bus in heads[:, 0]]
        end = int(self._ends[part][-1]) if len(heads) else 0
        start = end - sum(widths)
        fields = self.fields[start:end].tolist()
        found, at = [], 0
        for (bus, program, constant), width in zip(heads.tolist(), widths, strict=True):
            values = tuple(fields[at : at + width])
            found.append(Message(program, _BUSES[bus], values, None if constant < 0 else constant))
            at += width
        return found


class Columns(Layout[C]):
    """The only row."""

    multiplicity = element(
        "how often a program is run, or one of its constants read", Size("counts"), by="balance of the buses"
    )


class Listing(Table[Columns]):
    """A part of what is listed of a precompile's programs. Messages that are asked equally often share their count."""

    selector = None

    def __init__(self, precompile: int, part: int, listed: Listed) -> None:
        """A part of the messages of a precompile."""
        self.precompile = precompile
        start = part * MAX_MESSAGES
        self.listed, self.slice = listed, slice(start, start + MAX_MESSAGES)
        #: Program and constant, None for all else of the program, of each count.
        self.counts = [(p, None if c < 0 else c) for p, c in listed.owners(self.slice)]
        super().__init__(f"listing_{precompile}_{part}", Columns.sized(counts=len(self.counts)))

    @cached_property
    def messages(self) -> list[Message]:
        """What is listed."""
        return self.listed.messages(self.slice)

    def constraints(self, air: Air[Columns]) -> None:
        counts = dict(zip(self.counts, air.row.multiplicity, strict=True))
        # `Air.provide` for many messages of constants: each constant is looked up once.
        constants = {v: air.constant(v) for v in sorted({v for m in self.messages for v in m.fields})}
        provided = {key: -count for key, count in counts.items()}
        for m in self.messages:
            fields = tuple(constants[v] for v in m.fields)
            air.interactions.append(Interaction(m.bus, provided[m.program, m.constant], fields, True))

    def fill(self, runs: Runs) -> Matrix | None:
        """The row, if there is an instance of a program of the precompile."""
        if self.listed.programs.isdisjoint(runs.programs):
            return None
        matrix = np.zeros((1, len(self.counts)), dtype=np.uint32)
        for k, (number, constant) in enumerate(self.counts):
            own = runs.programs.get(number)
            if own is not None:
                matrix[0, k] = len(own) if constant is None else runs.constant_reads[number][constant]
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
    messages = [Message(number, PROGRAM_LISTED, tuple(listed_program(precompile, variant)))]

    def add(bus: Bus, rows: Sequence[Sequence[int]]) -> None:
        for k, fields in enumerate(rows):
            values = (number, k, k == len(rows) - 1, *fields)
            messages.append(Message(number, bus, tuple(int(v) % MODULUS for v in values)))

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
        messages.append(Message(number, REGISTERS[program.limbs], tuple(v % MODULUS for v in fields), k))
    return messages


def listings(precompile: int, listed: Listed) -> list[Listing]:
    """The tables that list the programs of a precompile."""
    return [Listing(precompile, part, listed) for part in range(-(-len(listed.heads) // MAX_MESSAGES))]


def assembled() -> dict[int, list[Message]]:
    """What is listed of each precompile, by its number: all programs are assembled."""
    found: dict[int, list[Message]] = {number: [] for number in PRECOMPILES}
    for precompile, variant in listed_programs():
        found[precompile.number] += messages_of(precompile, variant)
    return found


# What is listed, kept in a file: to assemble the programs takes long, and only who runs one has to.

STORE = Path(__file__).parent / "listed.npz"


def sources_digest() -> str:
    """SHA-256 of all sources that decide what is listed."""
    room = Path(__file__).parent
    files = [
        *sorted((room.parent / "programs").glob("*.py")),
        *(room / f"{n}.py" for n in ("buses", "listings", "selections", "words")),
    ]
    return files_digest(files)


def store(listed: Mapping[int, Sequence[Message]], path: Path = STORE) -> None:
    """Keep what is listed, with the digest of the sources that it is from."""
    arrays: dict[str, Any] = {"sources": np.array(sources_digest()), "precompiles": np.array(list(listed))}
    for number, messages in listed.items():
        found = Listed.of(messages)
        arrays[f"heads_{number}"], arrays[f"fields_{number}"] = found.heads, found.fields
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


@dataclass(frozen=True)
class ProgramRows:
    """How large a program is.

    Attributes:
        limbs: bytes of its registers.
        is_part: whether it stands for a part of an input.
        rows: of the tables of equations, "narrow" and "wide".
    """

    limbs: int
    is_part: bool
    rows: dict[str, int]


@cache
def listed_rows() -> dict[int, list[ProgramRows]]:
    """How large the programs of each precompile are, by its number."""
    found: dict[int, list[ProgramRows]] = {}
    for number, everything in listed().items():
        bus, program = everything.heads[:, 0], everything.heads[:, 1]
        rows = {
            name: np.bincount(program[bus == _BUSES.index(listing)], minlength=256)
            for name, listing in (("narrow", NARROW_LISTED), ("wide", WIDE_LISTED))
        }
        for k in np.flatnonzero(bus == _BUSES.index(PROGRAM_LISTED)).tolist():
            (message,) = everything.messages(slice(k, k + 1))
            fields = dict(zip(_PROGRAM_FIELDS, message.fields, strict=False))
            own = {name: int(counts[message.program]) for name, counts in rows.items()}
            found.setdefault(number, []).append(ProgramRows(LIMBS[fields["wide"]], bool(fields["part"]), own))
    return found


@cache
def listed() -> dict[int, Listed]:
    """What is listed of each precompile, from the file where that is from the sources as they are."""
    try:
        with np.load(STORE) as arrays:
            if str(arrays["sources"]) == sources_digest():
                return {n: Listed(arrays[f"heads_{n}"], arrays[f"fields_{n}"]) for n in arrays["precompiles"].tolist()}
    except (OSError, KeyError, ValueError):
        pass
    return {number: Listed.of(messages) for number, messages in assembled().items()}
