"""The checker: are all constraints of a filled circuit satisfied and all buses balanced?

It evaluates the circuit over galois arrays, or by native code, and shares no arithmetic with the prover. A finding
names the table, the row, the constraint and the cells involved, or the message a bus has too many or too few of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus
from circuits.air.circuit import Circuit
from circuits.air.evaluate import Algebra, GaloisAlgebra, Native, Program, TraceRows
from circuits.air.expression import Graph, Op
from circuits.air.field import MODULUS, Matrix
from circuits.air.table import Interaction, Table

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
    algebra: Algebra | Native | None = None,
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


def check_changes(
    circuit: Circuit,
    accepted: Sequence[Trace],
    traces: Sequence[Trace],
    public_values: PublicValues,
    changed_public_values: PublicValues,
    *,
    limit: int = 20,
    algebra: Algebra | Native | None = None,
) -> list[Finding]:
    """The same as `check_circuit` of `traces`, faster where many tables are those of `accepted` traces.

    Args:
        accepted, public_values: in which `check_circuit` finds nothing.
        traces, changed_public_values: to check; only tables with other cells or public values are evaluated.
    """
    findings: list[Finding] = []
    algebra = algebra or GaloisAlgebra()
    buses = _BusSums()
    before = _BusSums(sign=-1, into=buses)
    for table, old, new, old_public, public in zip(
        circuit.tables, accepted, traces, public_values, changed_public_values, strict=True
    ):
        if list(old_public) == list(public) and (
            old is new or (old is not None and new is not None and np.array_equal(old, new))
        ):
            continue
        if new is not None:
            shape = _check_shape(table, new, public)
            if shape:
                findings += shape
                continue
            findings += check_table(table, new, public, algebra=algebra, buses=buses, limit=limit)
        if old is not None:
            check_table(table, old, old_public, algebra=algebra, buses=before, limit=limit)
    findings += buses.findings(limit)
    return findings


def check_table(
    table: Table,
    trace: Matrix,
    public: Sequence[int] = (),
    *,
    algebra: Algebra | Native | None = None,
    buses: _BusSums | None = None,
    limit: int = 20,
) -> list[Finding]:
    """Violated constraints of one table (its bus messages are added to `buses` when given)."""
    rows = TraceRows(trace, np.array(public, dtype=np.uint32))
    plan = _plan(table)
    violated: list[tuple[int, int]] = []
    for block, values in plan.program.blocks(rows, algebra or GaloisAlgebra()):
        cells = np.asarray(values)
        if cells[: plan.vanishing].any():
            for number, row in np.argwhere(cells[plan.constraints])[:limit].tolist():
                violated.append((number, block.start + row))
        if buses is not None:
            for bus, counts, messages in plan.interactions:
                interaction, row = np.nonzero(cells[counts])
                if len(row):
                    message = cells[messages[interaction], row[:, None]].astype(np.uint32)
                    count = cells[counts[interaction], row].astype(np.int64)
                    buses.add(bus, table.name, block.start + row, count, message)
    findings: list[Finding] = []
    for number, row in sorted(violated)[:limit]:
        constraint = table.air.constraints[number]
        named = _cells(table, table.air.graph, constraint.expression.index, rows, row)
        findings.append(ConstraintFinding(table.name, row, constraint.name, named))
    return findings


@dataclass(frozen=True)
class _Plan:
    """How a table is evaluated: the slots of its constraints (c,), and of its interactions with each bus.

    Constraints have the first slots, `vanishing` of them, since some are the same expression. Of the k interactions
    with a bus of width w: slots of the counts (k,) and of the messages (k, w).
    """

    program: Program
    vanishing: int
    constraints: NDArray[np.int64]
    interactions: list[tuple[Bus, NDArray[np.int64], NDArray[np.int64]]]


_PLANS: WeakKeyDictionary[Table, _Plan] = WeakKeyDictionary()


def _plan(table: Table) -> _Plan:
    """Made once."""
    plan = _PLANS.get(table)
    if plan is None:
        air = table.air
        constraints = [c.expression.index for c in air.constraints]
        of_bus: dict[int, list[Interaction]] = defaultdict(list)
        for i in air.interactions:
            of_bus[i.bus.index].append(i)
        spoken = [e.index for i in air.interactions for e in (i.count, *i.message)]
        program = Program(air.graph, [*constraints, *spoken])
        interactions = [
            (
                found[0].bus,
                program.slots(i.count.index for i in found),
                program.slots(e.index for i in found for e in i.message).reshape(len(found), -1),
            )
            for found in of_bus.values()
        ]
        plan = _PLANS[table] = _Plan(program, len(set(constraints)), program.slots(constraints), interactions)
    return plan


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


def _cells(table: Table, graph: Graph, index: int, rows: TraceRows, row: int) -> dict[str, int]:
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
            cells[names[a]] = int(rows.matrix[row, a])
        elif op == Op.NEXT:
            cells[f"next.{names[a]}"] = int(rows.matrix[(row + 1) % len(rows), a])
        elif op in (Op.ADD, Op.SUB, Op.MUL):
            stack += (b, a)
        elif op == Op.NEG:
            stack.append(a)
    return cells


class _BusSums:
    """Collects all messages with a non-zero count and sums the counts of equal ones, those `into` others by a sign."""

    def __init__(self, *, sign: int = 1, into: _BusSums | None = None) -> None:
        self._sign, self._into = sign, into
        self._buses: dict[int, Bus] = {}
        self._messages: dict[int, list[NDArray[np.uint32]]] = defaultdict(list)
        self._counts: dict[int, list[NDArray[np.int64]]] = defaultdict(list)
        self._places: dict[int, list[tuple[str, NDArray[np.int64]]]] = defaultdict(list)

    def add(
        self, bus: Bus, table: str, rows: NDArray[np.int64], counts: NDArray[np.int64], messages: NDArray[np.uint32]
    ) -> None:
        """Messages (n, width) of these rows (n,) with their counts (n,), none of which is 0."""
        if self._into is not None:
            self._into.add(bus, table, rows, self._sign * counts, messages)
            return
        self._buses[bus.index] = bus
        self._messages[bus.index].append(messages)
        self._counts[bus.index].append(counts)
        self._places[bus.index].append((table, rows))

    def findings(self, limit: int) -> list[Finding]:
        found: list[Finding] = []
        for index, bus in sorted(self._buses.items()):
            found += self._unbalanced(bus, index, limit)
        return found

    def _unbalanced(self, bus: Bus, index: int, limit: int) -> list[Finding]:
        messages = np.concatenate(self._messages[index])
        counts = np.concatenate(self._counts[index])
        order, starts = _equal_rows(messages)
        # Canonical counts are below 2^31, so 2^31 messages would be needed to overflow an int64.
        net = np.add.reduceat(counts[order], starts) % MODULUS
        ends = np.append(starts[1:], len(order))
        lengths = [len(rows) for _, rows in self._places[index]]
        begins = np.cumsum(lengths) - lengths
        wrong = np.flatnonzero(net)
        wrong = wrong[np.lexsort(messages[order[starts[wrong]]].T[::-1])]
        found: list[Finding] = []
        for group in wrong[:limit]:
            places = []
            for member in order[starts[group] : ends[group]][:4].tolist():
                part = int(np.searchsorted(begins, member, side="right")) - 1
                table, rows = self._places[index][part]
                places.append((table, int(rows[member - begins[part]]), _signed(int(counts[member]))))
            message = _named(bus, messages[order[starts[group]]])
            found.append(BusFinding(bus.name, message, _signed(int(net[group])), places))
        return found


def net_messages(
    filled: Iterable[tuple[Table, Matrix]],
    buses: Mapping[int, Bus],
    more: Mapping[int, tuple[NDArray[np.uint32], NDArray[np.int64]]],
) -> dict[int, tuple[NDArray[np.uint32], NDArray[np.int64]]]:
    """What buses have too many or too few of.

    Args:
        filled: tables with their traces; none of them has public values in its messages.
        buses: by index.
        more: further messages (n, width) and their signed counts (n,), by bus.

    Returns:
        Messages (n, width) and signed counts (n,) that are not 0, by bus, in the order of the messages.
    """
    found: dict[int, list[tuple[NDArray[np.uint32], NDArray[np.int64]]]] = {k: [v] for k, v in more.items()}
    for table, trace in filled:
        plan, no_public = _plan(table), np.zeros(table.public.width, dtype=np.uint32)
        if not any(bus.index in buses for bus, _, _ in plan.interactions):
            continue
        for _, values in plan.program.blocks(TraceRows(trace, no_public)):
            cells = np.asarray(values)
            for bus, counts, spoken in plan.interactions:
                interaction, row = np.nonzero(cells[counts])
                if bus.index in buses and len(row):
                    messages = cells[spoken[interaction], row[:, None]].astype(np.uint32)
                    found.setdefault(bus.index, []).append((messages, cells[counts[interaction], row].astype(np.int64)))
    result = {}
    for index, parts in found.items():
        messages, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
        if len(messages):
            # Most messages come to nothing: the others are few, and only these are sorted as they are.
            order, starts = _equal_rows(messages)
            net = np.add.reduceat(counts[order], starts) % MODULUS
            some = np.flatnonzero(net)
            unique, inverse = np.unique(messages[order[starts[some]]], axis=0, return_inverse=True)
            net = np.bincount(inverse.reshape(-1), weights=net[some], minlength=len(unique)).astype(np.int64)
            net = (net + MODULUS // 2) % MODULUS - MODULUS // 2
            kept = np.flatnonzero(net)
            result[index] = unique[kept], net[kept]
    return result


def _equal_rows(rows: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An order that brings equal rows together, and where in it each group of equal ones starts.

    Sorted by a hash: rows with the same one are compared. Should different rows share a hash, equal ones may come to
    lie in several groups, which could only lead to a finding too many.
    """
    width = rows.shape[1]
    factors = np.random.default_rng(width).integers(1 << 63, size=(width,), dtype=np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    hashes = np.zeros(len(rows), dtype=np.uint64)
    for column in range(width):
        hashes += rows[:, column] * factors[column]
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    differs = hashes[1:] != hashes[:-1]
    for column in range(width):
        cells = rows[order, column]
        differs |= cells[1:] != cells[:-1]
    return order, np.concatenate([[0], 1 + np.flatnonzero(differs)])


def _signed(value: int) -> int:
    return value - MODULUS if value > MODULUS // 2 else value


def _named(bus: Bus, message: NDArray[np.uint32]) -> dict[str, list[int]]:
    named: dict[str, Any] = {}
    offset = 0
    for f in bus.fields:
        named[f.name] = [int(v) for v in message[offset : offset + f.size]]
        offset += f.size
    return named
