"""Testing some tables of the circuit by themselves.

A family is a list of components. Buses on which it meets tables outside of it are closed by one `World` table each,
which sends, receives, answers or asks whatever the family lacks, so that an honest family passes the checker and the
mutation harness as a circuit of its own. The world accepts anything: that a message is *right* is for the tests of the
whole circuit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from circuits.air.bus import Bus, BusKind
from circuits.air.checker import Finding, check_circuit
from circuits.air.circuit import Circuit
from circuits.air.evaluate import TraceRows, evaluate
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import Layout, TraceView, allocate, bit, element
from circuits.air.mutation import MutationReport, mutate
from circuits.air.queries import queries
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.component import Acting, Component
from circuits.memory.memory_tables import ALL_WORDS, Memory

#: Alters the trace of a table in place.
Lie = Callable[[TraceView], None]


def world_layout(width: int) -> type[Layout]:
    """Columns of a world on a bus of this width."""

    class WorldColumns(Layout):
        """A message per row."""

        real = bit("1 on rows with a message", free="the world")
        sends = bit("1: sends, 0: receives", free="the world")
        multiplicity = element("of an answer", by="the world", free="the world")
        message = element("the message", width, by="the world", free="the world")

    return WorldColumns


class World(Table):
    """Everything outside of the family, on one bus."""

    row_order = "the world"

    def __init__(self, bus: Bus, answers: bool) -> None:
        self.bus, self.answers = bus, answers
        self.name = f"world_{bus.name}"  # type: ignore[misc]
        self.layout = world_layout(bus.width)  # type: ignore[misc]

    def constraints(self, air: Air) -> None:
        row = air.row
        if self.bus.kind is BusKind.PERMUTATION:
            air.send(self.bus, row.message, count=row.real * row.sends)
            air.receive(self.bus, row.message, count=row.real - row.real * row.sends)
        elif self.answers:
            air.provide(self.bus, row.message, multiplicity=row.multiplicity)
        else:
            air.query(self.bus, row.message, count=row.real)


def fill_family(
    components: Sequence[Component], execution: Execution, lies: Mapping[str, Lie] | None = None
) -> list[Matrix | None]:
    """The tables of a family in order. `lies`: alters the named tables before others answer them."""
    filled: list[tuple[Table, Matrix]] = []
    traces: list[Matrix | None] = []
    for component in components:
        if isinstance(component, Acting):
            matrix = component.fill(execution)
        else:
            matrix = component.answer(execution, *(queries(bus, filled) for bus in component.buses))
        if lies and component.table.name in lies:
            assert matrix is not None, f"no table {component.table.name} to alter"
            lies[component.table.name](TraceView(component.table.layout, matrix))
        traces.append(matrix)
        if matrix is not None:
            filled.append((component.table, matrix))
    return traces


def closed(tables: Sequence[Table], traces: Sequence[Matrix | None]) -> tuple[Circuit, list[Matrix | None]]:
    """A circuit of these tables and of the worlds that balance their buses."""
    worlds: list[tuple[World, Matrix]] = []
    for bus, net in _unbalanced(tables, traces).items():
        messages = np.array(list(net), dtype=np.uint32)
        counts = np.array(list(net.values()), dtype=np.int64)
        if bus.kind is BusKind.PERMUTATION:
            repeated = np.repeat(messages, np.abs(counts), axis=0)
            world = World(bus, True)
            matrix, rows = allocate(world.layout, len(repeated))
            rows.real = 1
            rows.sends = np.repeat(counts < 0, np.abs(counts))
            rows.message = repeated
            worlds.append((world, matrix))
            continue
        answers = not any(i.provides and i.bus == bus for t in tables for i in t.air.interactions)
        asked = counts > 0
        if answers:
            world = World(bus, True)
            matrix, rows = allocate(world.layout, int(asked.sum()))
            rows.real = 1
            rows.multiplicity = counts[asked]
            rows.message = messages[asked]
            # Padding repeats a message that is provided anyway: one of zeros could be another statement.
            TraceView(world.layout, matrix).message[len(rows.message) :] = messages[asked][-1:]
            worlds.append((world, matrix))
        # Otherwise the family answers itself, and what is open is a finding.
    circuit = Circuit("family", [*tables, *(world for world, _ in worlds)])
    return circuit, [*traces, *(matrix for _, matrix in worlds)]


def _unbalanced(tables: Sequence[Table], traces: Sequence[Matrix | None]) -> dict[Bus, dict[tuple[int, ...], int]]:
    sums: dict[Bus, dict[tuple[int, ...], int]] = {}
    for table, trace in zip(tables, traces, strict=True):
        if trace is None:
            continue
        interactions = table.air.interactions
        wanted = {e.index for i in interactions for e in (i.count, *i.message)}
        rows = TraceRows(trace, np.zeros(table.public.width, dtype=np.uint32))
        values = evaluate(table.air.graph, rows, wanted)
        for i in interactions:
            counts = np.broadcast_to(values[i.count.index], (len(trace),)).astype(np.int64)
            used = np.flatnonzero(counts)
            fields = np.stack([np.broadcast_to(values[e.index], (len(trace),))[used] for e in i.message], axis=1)
            net = sums.setdefault(i.bus, {})
            for message, count in zip(map(tuple, fields.tolist()), counts[used].tolist(), strict=True):
                signed = count - MODULUS if count > MODULUS // 2 else count
                net[message] = net.get(message, 0) + signed
    open_ = {bus: {m: c for m, c in net.items() if c} for bus, net in sums.items()}
    return {bus: net for bus, net in open_.items() if net}


def publics(circuit: Circuit, traces: Sequence[Matrix | None]) -> list[list[int]]:
    """Public values of the tables of a family in a run that is one segment."""
    stated = {Memory.name: list(ALL_WORDS)}
    return [
        [] if trace is None else stated.get(table.name, [0] * table.public.width)
        for table, trace in zip(circuit.tables, traces, strict=True)
    ]


def check_family(
    components: Sequence[Component], execution: Execution, lies: Mapping[str, Lie] | None = None
) -> list[Finding]:
    """All findings of the checker on a family, whose worlds accept every message that leaves it, lies included."""
    traces = fill_family(components, execution, lies)
    circuit, filled = closed([c.table for c in components], traces)
    return check_circuit(circuit, filled, publics(circuit, filled))


def open_messages(components: Sequence[Component], execution: Execution, bus: Bus) -> list[tuple[int, ...]]:
    """The messages that an honest family leaves open on a bus, in order, repeated as often as they are."""
    traces = fill_family(components, execution)
    net = _unbalanced([c.table for c in components], traces).get(bus, {})
    return sorted(message for message, count in net.items() for _ in range(abs(count)))


def mutate_family(
    components: Sequence[Component], execution: Execution, *, seed: int = 0, rows_per_table: int = 6
) -> MutationReport:
    """The mutation harness on the tables of a family (not on the worlds)."""
    traces = fill_family(components, execution)
    tables = [c.table for c in components]
    circuit, filled = closed(tables, traces)
    present = {t.name for t, trace in zip(tables, traces, strict=True) if trace is not None}
    return mutate(circuit, filled, publics(circuit, filled), seed=seed, rows_per_table=rows_per_table, tables=present)
