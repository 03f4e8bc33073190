"""The checker: are all constraints of a filled circuit satisfied and all buses balanced?

It evaluates the circuit over galois arrays and shares no arithmetic with the proof engine. A finding names the table,
the row, the constraint and the cells involved, or the message a bus has too many or too few of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus
from circuits.air.circuit import Circuit
from circuits.air.evaluate import Algebra, GaloisAlgebra, Rows, evaluate
from circuits.air.expression import Graph, Op
from circuits.air.field import MODULUS, Matrix
from circuits.air.table import Table

Trace = Matrix | None
PublicValues = Sequence[Sequence[int]]


@dataclass(frozen=True)
class ConstraintFinding:
    """A constraint that does not vanish on a row; `cells` are the columns it reads, the successor's as `next.name`."""

    table: str
    row: int
    constraint: str
    cells: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        cells = ", ".join(f"{name}={value}" for name, value in list(self.cells.items())[:12])
        return f"table {self.table}, row {self.row}: constraint '{self.constraint}' fails ({cells})"


@dataclass(frozen=True)
class BusFinding:
    """A message whose signed count over all tables is not zero; `rows` are places (table, row, count) that carry it."""

    bus: str
    message: dict[str, list[int]]
    count: int
    rows: list[tuple[str, int, int]] = field(default_factory=list)

    def __str__(self) -> str:
        where = ", ".join(f"{table} row {row} ({count:+d})" for table, row, count in self.rows[:4])
        return f"bus {self.bus}: message {self.message} has net count {self.count:+d} (at {where})"


@dataclass(frozen=True)
class ShapeFinding:
    """A trace that is no trace of its table: wrong width, height not a power of two, value out of the field."""

    table: str
    reason: str

    def __str__(self) -> str:
        return f"table {self.table}: {self.reason}"


Finding = ConstraintFinding | BusFinding | ShapeFinding


def check_circuit(
    circuit: Circuit,
    traces: Sequence[Trace],
    public_values: PublicValues,
    *,
    limit: int = 20,
    algebra: Algebra | None = None,
) -> list[Finding]:
    """All violations (at most `limit` of each kind per table or bus); an empty list means the traces are accepted.

    Args:
        circuit: the tables.
        traces: one matrix (height, width) `uint32` per table, None for an absent table.
        public_values: canonical integers per table.
        algebra: arithmetic to use; galois by default.
    """
    findings: list[Finding] = []
    algebra = algebra or GaloisAlgebra()
    buses = _BusSums()
    for table, trace, public in zip(circuit.tables, traces, public_values, strict=True):
        if trace is None:
            continue
        shape = _check_shape(table, trace, public)
        if shape:
            findings += shape
            continue
        findings += check_table(table, trace, public, algebra=algebra, buses=buses, limit=limit)
    findings += buses.findings(limit)
    return findings


def check_table(
    table: Table,
    trace: Matrix,
    public: Sequence[int] = (),
    *,
    algebra: Algebra | None = None,
    buses: _BusSums | None = None,
    limit: int = 20,
) -> list[Finding]:
    """Violated constraints of one table (its bus messages are added to `buses` when given)."""
    air = table.air
    rows = Rows.of_trace(trace, np.array(public, dtype=np.uint32))
    wanted = {c.expression.index for c in air.constraints}
    if buses is not None:
        wanted |= {e.index for i in air.interactions for e in (i.count, *i.message)}
    values = evaluate(air.graph, rows, algebra or GaloisAlgebra(), wanted)
    findings: list[Finding] = []
    for constraint in air.constraints:
        value = np.broadcast_to(np.asarray(values[constraint.expression.index]), (len(trace),))
        for row in np.flatnonzero(value)[: max(0, limit - len(findings))]:
            cells = _cells(table, air.graph, constraint.expression.index, rows, int(row))
            findings.append(ConstraintFinding(table.name, int(row), constraint.name, cells))
    if buses is not None:
        for interaction in air.interactions:
            counts = np.broadcast_to(np.asarray(values[interaction.count.index], dtype=np.int64), (len(trace),))
            fields = [
                np.broadcast_to(np.asarray(values[e.index], dtype=np.int64), (len(trace),)) for e in interaction.message
            ]
            buses.add(interaction.bus, table.name, counts, np.stack(fields, axis=1))
    return findings


def _check_shape(table: Table, trace: Matrix, public: Sequence[int]) -> list[Finding]:
    height = len(trace) if trace.ndim == 2 else 0
    if trace.ndim != 2 or trace.shape[1] != table.width:
        return [ShapeFinding(table.name, f"shape {trace.shape} does not have width {table.width}")]
    if height == 0 or height & (height - 1):
        return [ShapeFinding(table.name, f"height {height} is not a power of two")]
    if int(trace.max()) >= MODULUS:
        return [ShapeFinding(table.name, f"value {int(trace.max())} is not below the modulus")]
    if len(public) != table.public.width:
        return [ShapeFinding(table.name, f"{len(public)} public values instead of {table.public.width}")]
    return []


def _cells(table: Table, graph: Graph, index: int, rows: Rows, row: int) -> dict[str, int]:
    names = table.layout.names()
    cells: dict[str, int] = {}
    seen: set[int] = set()
    stack = [index]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        op, a, b = graph.nodes[node]
        if op == Op.LOCAL:
            cells[names[a]] = int(rows.local[row, a])
        elif op == Op.NEXT:
            cells[f"next.{names[a]}"] = int(rows.next[row, a])
        elif op in (Op.ADD, Op.SUB, Op.MUL):
            stack += (b, a)
        elif op == Op.NEG:
            stack.append(a)
    return cells


class _BusSums:
    """Collects all messages with a non-zero count and sums the counts of equal ones."""

    def __init__(self) -> None:
        self._buses: dict[int, Bus] = {}
        self._messages: dict[int, list[NDArray[np.int64]]] = defaultdict(list)
        self._counts: dict[int, list[NDArray[np.int64]]] = defaultdict(list)
        self._places: dict[int, list[tuple[str, NDArray[np.int64]]]] = defaultdict(list)

    def add(self, bus: Bus, table: str, counts: NDArray[np.int64], messages: NDArray[np.int64]) -> None:
        rows = np.flatnonzero(counts)
        if len(rows):
            self._buses[bus.index] = bus
            self._messages[bus.index].append(messages[rows])
            self._counts[bus.index].append(counts[rows])
            self._places[bus.index].append((table, rows))

    def findings(self, limit: int) -> list[Finding]:
        found: list[Finding] = []
        for index, bus in sorted(self._buses.items()):
            found += self._unbalanced(bus, index, limit)
        return found

    def _unbalanced(self, bus: Bus, index: int, limit: int) -> list[Finding]:
        messages = np.concatenate(self._messages[index])
        counts = np.concatenate(self._counts[index])
        keys = np.ascontiguousarray(messages).view([("", np.int64)] * messages.shape[1]).reshape(-1)
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        group = group.reshape(-1)
        net = np.zeros(len(first), dtype=np.int64)
        # Canonical counts are below 2^31, so 2^31 messages would be needed to overflow an int64.
        np.add.at(net, group, counts)
        net %= MODULUS
        tables = np.concatenate([np.full(len(rows), i) for i, (_, rows) in enumerate(self._places[index])])
        row_numbers = np.concatenate([rows for _, rows in self._places[index]])
        found: list[Finding] = []
        for g in np.flatnonzero(net)[:limit]:
            members = np.flatnonzero(group == g)
            places = [
                (self._places[index][tables[m]][0], int(row_numbers[m]), _signed(int(counts[m]))) for m in members[:4]
            ]
            found.append(BusFinding(bus.name, _named(bus, messages[first[g]]), _signed(int(net[g])), places))
        return found


def _signed(value: int) -> int:
    return value - MODULUS if value > MODULUS // 2 else value


def _named(bus: Bus, message: NDArray[np.int64]) -> dict[str, list[int]]:
    named: dict[str, Any] = {}
    offset = 0
    for f in bus.fields:
        named[f.name] = [int(v) for v in message[offset : offset + f.size]]
        offset += f.size
    return named
