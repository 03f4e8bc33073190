"""What the segments of a run carry, as lists that may be altered, and the tables that say it.

The tables are filled such that a circuit's own hash of them fits, whatever it hashes: who lies about what is carried
states the hash of the lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from circuits.air.derived import fill_derived
from circuits.air.evaluate import NumpyAlgebra, Rows, evaluate
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import TraceView, allocate
from circuits.air.queries import queries
from circuits.air.table import Table
from circuits.carry import CARRIED, TABLES, CarriedColumns, fill_limbs
from circuits.component import Answering, Component
from circuits.functions.buses import POSEIDON2
from circuits.functions.poseidon2 import compress_chain
from circuits.segment import FilledSegment, Segment
from circuits.statement import CARRY_START
from circuits.widths import DIGEST

#: Names of the tables, by the place of their bus in `CARRIED`.
NAMES = tuple(table.name for table in TABLES)


@dataclass(frozen=True)
class Entry:
    """One message that is carried, as a row says it.

    Attributes:
        bus: place of its bus in `CARRIED`.
        count: how often, canonical.
        message: its elements.
        out: 1: the segment leaves it open, 0: it finds it open.
        real: 0: padding, which no hash has.
    """

    bus: int
    count: int
    message: tuple[int, ...]
    out: int
    real: int = 1

    @property
    def effect(self) -> int:
        """Its count on its bus."""
        return self.count * (1 - 2 * self.out) % MODULUS


#: What a segment finds open, and what it leaves open, each in the order of the hash.
Lists = tuple[list[Entry], list[Entry]]


def carried_by(segment: FilledSegment) -> Lists:
    """What the rows of a segment say that it carries; padding that has a count comes last."""
    found: tuple[list[tuple[int, Entry]], list[tuple[int, Entry]]] = ([], [])
    for bus, name in enumerate(NAMES):
        matrix = segment.traces[segment.circuit.names.index(name)]
        if matrix is None:
            continue
        rows = TraceView(TABLES[bus].layout, matrix)
        for row in np.flatnonzero((rows.real != 0) | (rows.count != 0)).tolist():
            real, out = int(rows.real[row]), int(rows.out[row])
            entry = Entry(bus, int(rows.count[row]), tuple(rows.message[row].tolist()), out, real)
            found[out == 1].append((int(rows.number[row]) if real else MODULUS, entry))
    before, after = ([entry for _, entry in sorted(one, key=lambda pair: pair[0])] for one in found)
    return before, after


def with_carried(tables: Mapping[str, Table], segment: FilledSegment, lists: Lists) -> FilledSegment:
    """A segment that carries these messages, and states it.

    Args:
        tables: the circuit's, by name.
        segment: with all else.
        lists: found and left open.
    """
    names, traces = segment.circuit.names, list(segment.traces)
    views: dict[int, CarriedColumns] = {}
    where: list[list[tuple[Entry, int]]] = [[], []]
    for bus, name in enumerate(NAMES):
        own = [(side, entry) for side in (0, 1) for entry in lists[side] if entry.bus == bus]
        matrix = None
        if own:
            matrix, views[bus] = _rows(bus, [entry for _, entry in own])
        traces[names.index(name)] = matrix
    taken = dict.fromkeys(range(len(NAMES)), 0)
    for side in (0, 1):
        for entry in lists[side]:
            where[side].append((entry, taken[entry.bus]))
            taken[entry.bus] += 1
    blocks = {bus: _blocks(tables[NAMES[bus]], traces[names.index(NAMES[bus])]) for bus in views}
    digests: list[NDArray[np.uint32]] = []
    numbers: list[int] = []
    for side in (0, 1):
        real = [(entry, row) for entry, row in where[side] if entry.real]
        states = CARRY_START[None]
        if real:
            absorbed = np.concatenate([blocks[entry.bus][row] for entry, row in real])
            states = np.concatenate([states, compress_chain(CARRY_START, absorbed)])
        at = 0
        for number, (entry, row) in enumerate(real):
            rows, size = views[entry.bus], len(blocks[entry.bus][row])
            rows.number[row] = number
            rows.before[row], rows.states[row] = states[at], states[at + 1 : at + 1 + size]
            at += size
        digests.append(states[at])
        numbers.append(len(real))
    own_row = np.array(traces[names.index(Segment.name)])
    TraceView(Segment.layout, own_row).carried = [numbers]
    traces[names.index(Segment.name)] = own_row
    stated = replace(segment.public_values, carry_in=digests[0], carry_out=digests[1])
    return replace(segment, traces=traces, public_values=stated)


def settled(components: Sequence[Component], parts: Sequence[FilledSegment]) -> list[FilledSegment]:
    """Honest parts with the hashes of these components' tables, which may hash less than those of every segment."""
    tables = {c.table.name: c.table for c in components}
    if all(tables[table.name] is table for table in TABLES):
        return list(parts)
    found = []
    for part in parts:
        part = with_carried(tables, part, carried_by(part))
        filled = [(tables[n], t) for n, t in zip(part.circuit.names, part.traces, strict=True) if t is not None]
        traces = list(part.traces)
        for component in components:
            if isinstance(component, Answering) and component.buses == (POSEIDON2,):
                asked = queries(POSEIDON2, filled)
                traces[part.circuit.names.index(component.table.name)] = component.answer(part.execution, asked)
        found.append(replace(part, traces=traces))
    return found


def _rows(bus: int, entries: Sequence[Entry]) -> tuple[Matrix, CarriedColumns]:
    """The table of a bus, but for numbers and hashes."""
    matrix, rows = allocate(CarriedColumns, len(entries), of=TABLES[bus].layout)
    rows.real = [entry.real for entry in entries]
    rows.out = [entry.out for entry in entries]
    rows.count = [entry.count for entry in entries]
    rows.message = np.array([entry.message for entry in entries], dtype=np.uint32)
    fill_limbs(CARRIED[bus], rows)
    fill_derived(rows)
    return matrix, rows


def _blocks(table: Table, matrix: Matrix | None) -> NDArray[np.uint32]:
    """What each row's message is hashed as, (height, blocks, 8): the second half of what the table has hashed."""
    assert matrix is not None
    hashed = [i.message[DIGEST : 2 * DIGEST] for i in table.air.interactions if i.bus is POSEIDON2]
    wanted = [e.index for block in hashed for e in block]
    values = evaluate(table.air.graph, Rows.of_trace(matrix, np.zeros(0, dtype=np.uint32)), NumpyAlgebra(), wanted)
    found = np.empty((len(matrix), len(wanted)), dtype=np.uint32)
    for place, node in enumerate(wanted):
        found[:, place] = values[node]
    return found.reshape(len(matrix), len(hashed), DIGEST)
