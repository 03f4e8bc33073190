"""What the parts of a run have in common, as lists that may be altered, and the tables that say it.

The tables are filled such that a circuit's own hashes fit, whatever it hashes: who lies about what is carried states
the hash of the lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from circuits.air.derived import fill_derived
from circuits.air.evaluate import TraceRows, evaluate
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import TraceView, allocate
from circuits.air.queries import queries
from circuits.air.table import Table
from circuits.carry import CARRIED, LINK_TABLE, TABLES, CarriedColumns, LinkColumns, fill_limbs
from circuits.component import Answering, Component
from circuits.functions.buses import POSEIDON2
from circuits.functions.poseidon2 import compress, compress_chain
from circuits.segment import FilledSegment, Segment
from circuits.statement import CARRY_START, LINK_ITEM, LINKS_START, initial, running_chain
from circuits.widths import DIGEST

#: Names of the tables of messages, by the place of their bus in `CARRIED`; and of all that links are in.
NAMES = tuple(table.name for table in TABLES)
LINKING = (*NAMES, LINK_TABLE.name)


@dataclass(frozen=True)
class Entry:
    """One message that is carried, as a row says it.

    Attributes:
        bus: place of its bus in `CARRIED`.
        count: how often, canonical.
        message: its elements.
        real: 0: padding, which no hash has.
        turned: 1: the row names another direction than its link has.
        other: the part that the row names; None: that of its link.
    """

    bus: int
    count: int
    message: tuple[int, ...]
    real: int = 1
    turned: int = 0
    other: int | None = None


@dataclass(frozen=True)
class OneSide:
    """A link as one of its two parts has it.

    Attributes:
        other: number of the other part.
        out: 1: that is a later one.
        entries: the messages in the order of the hash.
    """

    other: int
    out: int
    entries: tuple[Entry, ...]

    def effect(self, entry: Entry) -> int:
        """The count of one of its messages on its bus."""
        return entry.count * (1 - 2 * (self.out ^ entry.turned)) % MODULUS


def links_by(segment: FilledSegment) -> list[OneSide]:
    """The links of a segment whose tables are filled honestly."""
    matrix = segment.traces[segment.circuit.names.index(LINK_TABLE.name)]
    if matrix is None:
        return []
    rows = TraceView(LINK_TABLE.layout, matrix)
    found: dict[tuple[int, int], list[tuple[int, Entry]]] = {}
    for row in np.flatnonzero(rows.real).tolist():
        found[int(rows.other[row]), int(rows.out[row])] = []
    for bus, table in enumerate(TABLES):
        matrix = segment.traces[segment.circuit.names.index(table.name)]
        if matrix is None:
            continue
        said = TraceView(table.layout, matrix)
        for row in np.flatnonzero(said.real).tolist():
            entry = Entry(bus, int(said.count[row]), tuple(said.message[row].tolist()))
            found[int(said.other[row]), int(said.out[row])].append((int(said.number[row]), entry))
    return [
        OneSide(other, out, tuple(entry for _, entry in sorted(entries, key=lambda pair: pair[0])))
        for (other, out), entries in found.items()
    ]


def with_links(tables: Mapping[str, Table], segment: FilledSegment, links: Sequence[OneSide]) -> FilledSegment:
    """A segment that has these links, and states them.

    Args:
        tables: the circuit's, by name.
        segment: with all else.
        links: in the order of their hash.
    """
    names, traces = segment.circuit.names, list(segment.traces)
    of_bus: dict[int, list[tuple[OneSide, Entry]]] = {}
    #: Of each link the bus of its entries that are no padding, and their rows.
    where: list[list[tuple[int, int]]] = []
    for link in links:
        where.append([])
        for entry in link.entries:
            own = of_bus.setdefault(entry.bus, [])
            if entry.real:
                where[-1].append((entry.bus, len(own)))
            own.append((link, entry))
    views: dict[int, CarriedColumns] = {}
    blocks: dict[int, NDArray[np.uint32]] = {}
    for bus, name in enumerate(NAMES):
        traces[names.index(name)] = None
        if bus in of_bus:
            matrix, views[bus] = _rows(bus, of_bus[bus])
            traces[names.index(name)] = matrix
            blocks[bus] = _blocks(tables[name], matrix)
    digests = np.zeros((len(links), DIGEST), dtype=np.uint32)
    for number, entries in enumerate(where):
        states = CARRY_START[None]
        if entries:
            absorbed = np.concatenate([blocks[bus][row] for bus, row in entries])
            states = np.concatenate([states, compress_chain(CARRY_START, absorbed)])
        at = 0
        for place, (bus, row) in enumerate(entries):
            rows, size = views[bus], len(blocks[bus][row])
            rows.number[row] = place
            rows.before[row], rows.states[row] = states[at], states[at + 1 : at + 1 + size]
            at += size
        digests[number] = states[at]
    others, outs = [link.other for link in links], [link.out for link in links]
    matrix, chain = _link_rows(tables[LINK_TABLE.name], others, outs, digests)
    if len(links):
        TraceView(LINK_TABLE.layout, matrix).count[: len(links)] = [len(entries) for entries in where]
    traces[names.index(LINK_TABLE.name)] = matrix if len(links) else None
    own_row = np.array(traces[names.index(Segment.name)])
    TraceView(Segment.layout, own_row).links = len(links)
    traces[names.index(Segment.name)] = own_row
    stated = replace(segment.public_values, links=chain[-1])
    return replace(segment, traces=traces, public_values=stated, links=dict(zip(others, digests, strict=True)))


def linked_hash(table: Table, part: int, others: Sequence[int], digests: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """What a part states of its links, (8,), as this table of links hashes them (`circuits.statement.links_chain`)."""
    hashed: NDArray[np.uint32] = _link_rows(table, others, [int(other > part) for other in others], digests)[1][-1]
    return hashed


def settled(components: Sequence[Component], parts: Sequence[FilledSegment]) -> list[FilledSegment]:
    """Honest parts with the hashes of these components' tables, which may hash less than those of every segment."""
    tables = {c.table.name: c.table for c in components}
    if all(tables[table.name] is table for table in (*TABLES, LINK_TABLE)):
        return list(parts)
    found = []
    for part in parts:
        part = with_links(tables, part, links_by(part))
        filled = [(tables[n], t) for n, t in zip(part.circuit.names, part.traces, strict=True) if t is not None]
        traces = list(part.traces)
        for component in components:
            if isinstance(component, Answering) and component.buses == (POSEIDON2,):
                asked = queries(POSEIDON2, filled)
                traces[part.circuit.names.index(component.table.name)] = component.answer(part.execution, asked)
        found.append(replace(part, traces=traces))
    return found


def _rows(bus: int, own: Sequence[tuple[OneSide, Entry]]) -> tuple[Matrix, CarriedColumns]:
    """The table of a bus, but for numbers and hashes."""
    matrix, rows = allocate(CarriedColumns, len(own), of=TABLES[bus].layout)
    rows.real = [entry.real for _, entry in own]
    rows.other = [link.other if entry.other is None else entry.other for link, entry in own]
    rows.out = [link.out ^ entry.turned for link, entry in own]
    rows.count = [entry.count for _, entry in own]
    rows.message = np.array([entry.message for _, entry in own], dtype=np.uint32)
    fill_limbs(CARRIED[bus], rows)
    fill_derived(rows)
    return matrix, rows


def _link_rows(
    table: Table, others: Sequence[int], outs: Sequence[int], digests: NDArray[np.uint32]
) -> tuple[Matrix, NDArray[np.uint32]]:
    """The table of links, but for how many messages they have, and the running hash before and after each."""
    count = len(others)
    matrix, rows = allocate(LinkColumns, max(count, 1))
    if not count:
        return matrix, LINKS_START[None]
    rows.real, rows.number = 1, np.arange(count)
    rows.other, rows.out, rows.digest = others, outs, digests
    blocks = _blocks(table, matrix)[:count, : LINK_ITEM.blocks]
    state = np.broadcast_to(initial(LINK_ITEM.tag), (count, DIGEST))
    states = np.empty(blocks.shape, dtype=np.uint32)
    for number in range(LINK_ITEM.blocks):
        state = states[:, number] = compress(state, blocks[:, number])
    chain = running_chain(LINKS_START, states[:, -1])
    rows.states, rows.before, rows.after = states, chain[:-1], chain[1:]
    return matrix, chain


def _blocks(table: Table, matrix: Matrix | None) -> NDArray[np.uint32]:
    """What each row has hashed, (height, blocks, 8): the second half of what the table asks a digest of."""
    assert matrix is not None
    hashed = [i.message[DIGEST : 2 * DIGEST] for i in table.air.interactions if i.bus is POSEIDON2]
    wanted = [e.index for block in hashed for e in block]
    values = evaluate(table.air.graph, TraceRows(matrix, np.zeros(0, dtype=np.uint32)), wanted)
    found = np.empty((len(matrix), len(wanted)), dtype=np.uint32)
    for place, node in enumerate(wanted):
        found[:, place] = values[node]
    return found.reshape(len(matrix), len(hashed), DIGEST)
