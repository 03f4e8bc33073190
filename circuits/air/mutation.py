"""The mutation harness: alters honest traces in many ways and reports every change that nothing rejects.

An undeclared survivor is a weakness of the circuit: a cell, a row or a message that a dishonest prover may choose. What
may change is declared where it is defined, with a reason: `Column.free` (a cell) and `Table.row_order` (whole rows). A
cell of a row whose selector is 0, and which carries no message before or after, is inert: nothing outside the row
depends on it. What counts as rejected is defined in `circuits.air.mutation_judge`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from circuits.air.bus import BusField, BusKind
from circuits.air.checker import PublicValues, Trace
from circuits.air.circuit import Circuit
from circuits.air.evaluate import NumpyAlgebra, Rows, evaluate
from circuits.air.expression import Op
from circuits.air.field import MODULUS
from circuits.air.mutation_judge import PUBLIC_ROW, Edit, Judge, TableRows, support
from circuits.air.mutation_repair import repaired_rows

#: Structured mutations per pair of interactions, and cells tried to move one field of a message.
_PAIRS = 3
_MOVERS = 3
#: A row is dropped by moving up its successors only where there are at most this many.
_SHIFTED_ROWS = 32


@dataclass(frozen=True)
class Survivor:
    """A change that nothing rejects.

    Attributes:
        table: name of the (first) altered table.
        row: its row, or None for a public value.
        description: the column, or what was done to which cells or rows.
        old, new: the cell's value before and after; None where several cells change.
        kind: the kind of mutation.
        reason: why the change is declared to be harmless, or None.
    """

    table: str
    row: int | None
    description: str
    old: int | None
    new: int | None
    kind: str
    reason: str | None = None

    def __str__(self) -> str:
        where = "public values" if self.row is None else f"row {self.row}"
        change = "" if self.old is None else f" {self.old} -> {self.new}"
        return f"{self.kind}: table {self.table}, {where}: {self.description}{change}"


@dataclass(frozen=True)
class Coverage:
    """What was altered in one table: its sampled rows and real rows among them, cells and mutations."""

    rows: tuple[int, ...]
    real_rows: int
    cells: int
    mutations: int
    rejected: int


@dataclass
class MutationReport:
    """The outcome of `mutate`.

    Attributes:
        survivors: undeclared survivors; a sound circuit has none.
        declared: survivors in free columns, and of whole rows in tables without row order.
        inert: surviving cells of padding rows without messages.
        tried: number of mutations by kind.
        coverage: by table.
    """

    survivors: list[Survivor] = field(default_factory=list)
    declared: list[Survivor] = field(default_factory=list)
    inert: list[Survivor] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    coverage: dict[str, Coverage] = field(default_factory=dict)

    def __str__(self) -> str:
        tried = ", ".join(f"{count} {kind}" for kind, count in sorted(self.tried.items()))
        lines = [f"{len(self.survivors)} undeclared survivors ({tried})"]
        columns = Counter((s.table, s.description, s.kind) for s in self.survivors)
        first = {(s.table, s.description, s.kind): s for s in reversed(self.survivors)}
        lines += [f"  {first[key]} ({count} times)" for key, count in list(columns.items())[:40]]
        return "\n".join(lines)


@dataclass(frozen=True)
class _Mutation:
    """One altered trace; `row_move` marks mutations that move whole rows."""

    kind: str
    table: int
    row: int | None
    description: str
    edits: tuple[Edit, ...]
    reason: str | None = None
    old: int | None = None
    new: int | None = None
    row_move: bool = False
    may_be_inert: bool = False


def mutate(
    circuit: Circuit,
    traces: Sequence[Trace],
    public_values: PublicValues,
    *,
    seed: int = 0,
    rows_per_table: int = 6,
    tables: set[str] | None = None,
) -> MutationReport:
    """Alter an honest proof in every column and in many rows and report what nothing rejects.

    Args:
        circuit: the tables.
        traces: honest traces, one matrix (height, width) `uint32` per table, None for an absent table.
        public_values: canonical integers per table.
        seed: of the random changes and rows.
        rows_per_table: how many rows of each table are altered (first, last, borders of the padding and random ones).
        tables: names of the tables to alter; all by default. The others still reject.

    Raises:
        ValueError: the traces are not accepted as they are, or a name is not a table's.
    """
    if tables is not None and not tables <= set(circuit.names):
        raise ValueError(f"no such tables: {sorted(tables - set(circuit.names))}")
    judge = Judge(circuit, traces, public_values)
    report = MutationReport()
    matches = _Matches(judge)
    for t, rows in enumerate(judge.tables):
        if rows is None or (tables is not None and rows.table.name not in tables):
            continue
        rng = np.random.default_rng([seed, t])
        target = _Target(t, rows, rows_per_table, rng)
        mutations = [*_cells(target), *_rows(target), *_selector(target), *_public(target), *_repaired(target)]
        mutations += _both_ends(judge, matches, target)
        rejected = _judge(judge, mutations, report)
        report.coverage[rows.table.name] = Coverage(
            tuple(target.rows),
            sum(target.real[r] for r in target.rows),
            len(target.rows) * rows.table.width,
            len(mutations),
            rejected,
        )
    return report


def _judge(judge: Judge, mutations: list[_Mutation], report: MutationReport) -> int:
    """File the survivors in the report; returns how many mutations were rejected."""
    rejected = len(mutations)
    for row_move in (False, True):
        group = [m for m in mutations if m.row_move is row_move]
        report.tried.update(m.kind for m in group)
        verdicts = judge.judge([m.edits for m in group], move_provided=row_move)
        for index in np.flatnonzero(verdicts.survives):
            rejected -= 1
            m = group[index]
            rows = judge.tables[m.table]
            assert rows is not None
            survivor = Survivor(rows.table.name, m.row, m.description, m.old, m.new, m.kind, m.reason)
            if m.reason is not None:
                report.declared.append(survivor)
            elif m.may_be_inert and verdicts.silent[index]:
                report.inert.append(survivor)
            else:
                report.survivors.append(survivor)
    return rejected


class _Target:
    """A table to alter: its sampled rows, its real and padding rows, its columns."""

    def __init__(self, number: int, rows: TableRows, rows_per_table: int, rng: np.random.Generator) -> None:
        self.number, self.trace, self.rng = number, rows, rng
        self.table, self.matrix, self.height = rows.table, rows.matrix, rows.height
        self.cells = list(self.table.layout.cells())
        self.selector = self.table.layout.offsets[self.table.selector] if self.table.selector else None
        self.real: list[bool] = (
            [True] * self.height if self.selector is None else (self.matrix[:, self.selector] != 0).tolist()
        )
        self.real_rows = [r for r in range(self.height) if self.real[r]]
        self.padding_rows = [r for r in range(self.height) if not self.real[r]]
        corners = [0, *self.real_rows[-1:], *self.padding_rows[:1], self.height - 1]
        self.rows = sorted(dict.fromkeys(corners))[:rows_per_table]
        others = [r for r in self.real_rows if r not in self.rows]
        more = min(len(others), rows_per_table - len(self.rows))
        if more > 0:
            self.rows = sorted([*self.rows, *rng.choice(others, more, replace=False).tolist()])

    def name(self, column: int) -> str:
        return self.cells[column].name

    def free(self, *columns: int) -> str | None:
        """Why these columns may change, if all of them may."""
        reasons = [self.cells[c].column.free for c in columns]
        return "; ".join(dict.fromkeys(r for r in reasons if r)) if all(reasons) else None

    def changes(self, row: int, column: int, new: int) -> tuple[Edit, ...]:
        """The edit of one cell to a value modulo the field; none when it holds that value."""
        value = new % MODULUS
        return () if value == self.matrix[row, column] else ((self.number, row, column, value),)

    def replaced(
        self, row: int, by: Sequence[int] | np.ndarray[tuple[int, ...], np.dtype[np.uint32]]
    ) -> tuple[Edit, ...]:
        """The edits that replace a whole row."""
        content = np.asarray(by, dtype=np.uint32)
        return tuple((self.number, row, int(c), int(content[c])) for c in np.flatnonzero(content != self.matrix[row]))

    def inert(self, row: int) -> bool:
        return not self.real[row]


def _cells(target: _Target) -> Iterator[_Mutation]:
    """Every column of every sampled row: single cells, and pairs of neighbouring cells."""
    width = target.table.width
    for row in target.rows:
        values = target.matrix[row].tolist()
        random = target.rng.integers(0, MODULUS, width).tolist()
        for c, old in enumerate(values):
            flipped = 1 - old if old < 2 else 0
            news = dict.fromkeys(v % MODULUS for v in (old + 1, old - 1, random[c], flipped, old + (1 << 16)))
            for new in news:
                if edits := target.changes(row, c, new):
                    yield _Mutation(
                        "cell", target.number, row, target.name(c), edits, target.free(c), old, new,
                        may_be_inert=target.inert(row) and c != target.selector,
                    )  # fmt: skip
            if c + 1 == width:
                continue
            neighbour = values[c + 1]
            pairs = (
                ("swapped cells", neighbour, old),
                # The integer low + 2^16 high stays the same: only a range check can tell.
                ("carried cells", old + (1 << 16), neighbour - 1),
                ("carried cells", old - (1 << 16), neighbour + 1),
            )
            for kind, low, high in pairs:
                edits = target.changes(row, c, low) + target.changes(row, c + 1, high)
                if edits:
                    yield _Mutation(
                        kind, target.number, row, f"{target.name(c)}, {target.name(c + 1)}", edits,
                        target.free(c, c + 1), may_be_inert=target.inert(row) and target.selector not in (c, c + 1),
                    )  # fmt: skip


def _rows(target: _Target) -> Iterator[_Mutation]:
    """Rows swapped, dropped and replayed."""

    def moved(kind: str, row: int, description: str, edits: tuple[Edit, ...]) -> Iterator[_Mutation]:
        if edits:
            yield _Mutation(kind, target.number, row, description, edits, target.table.row_order, row_move=True)

    matrix, real = target.matrix, target.real_rows
    sampled = [r for r in target.rows if target.real[r]]
    padding = target.padding_rows[0] if target.padding_rows else None
    for row in sampled:
        others = [r for r in (row + 1, int(target.rng.choice(real))) if r in target.real_rows and r != row]
        for other in dict.fromkeys(others):
            both = target.replaced(row, matrix[other]) + target.replaced(other, matrix[row])
            yield from moved("swapped rows", row, f"swapped with row {other}", both)
            yield from moved("replayed row", other, f"replaced by row {row}", target.replaced(other, matrix[row]))
        if padding is not None:
            yield from moved("replayed row", padding, f"replaced by row {row}", target.replaced(padding, matrix[row]))
        filler = matrix[padding] if padding is not None else np.zeros(target.table.width, dtype=np.uint32)
        yield from moved("dropped row", row, "replaced by a padding row", target.replaced(row, filler))
    # Moving up changes all later rows, hence only rows near the end.
    end = real[-1] if real else 0
    for row in dict.fromkeys([end, max(0, end - 1), *(r for r in sampled if end - r <= _SHIFTED_ROWS)]):
        if row in target.real_rows:
            edits: tuple[Edit, ...] = ()
            for r in range(row, end + 1):
                successor = matrix[r + 1] if r + 1 < target.height else np.zeros(target.table.width, dtype=np.uint32)
                edits += target.replaced(r, successor)
            yield from moved("dropped row", row, "later rows moved up", edits)


def _selector(target: _Target) -> Iterator[_Mutation]:
    """Real rows turned into padding and padding rows turned real (by their selector alone and with all bits)."""
    selector = target.selector
    if selector is None:
        return
    bits = [c.index for c in target.cells if c.column.type.bound == 2]
    for row in target.rows:
        to = 1 - int(target.real[row])
        alone = target.changes(row, selector, to)
        reason = target.free(selector)
        yield _Mutation("selector", target.number, row, f"{target.name(selector)} set to {to}", alone, reason)
        if target.real[row]:
            edits = tuple(e for c in bits if c != selector for e in target.changes(row, c, 0)) + alone
            yield _Mutation("selector", target.number, row, "all bits set to 0", edits, reason)


def _public(target: _Target) -> Iterator[_Mutation]:
    """Each public value changed."""
    for cell in target.table.public.cells():
        old = int(target.trace.public[cell.index])
        random = int(target.rng.integers(0, MODULUS))
        for new in dict.fromkeys(((old + 1) % MODULUS, random)):
            if new != old:
                edit = (target.number, PUBLIC_ROW, cell.index, new)
                yield _Mutation("public value", target.number, None, cell.name, (edit,), None, old, new)


def _repaired(target: _Target) -> Iterator[_Mutation]:
    """Several cells of a row changed such that the row's constraints hold again."""
    for row, changed in repaired_rows(target.trace, target.rows, target.rng):
        edits = tuple(e for column, new in changed.items() for e in target.changes(row, column, new))
        what = ", ".join(f"{target.name(c)} {target.matrix[row, c]} -> {new}" for c, new in changed.items())
        yield _Mutation(
            "repaired row",
            target.number,
            row,
            what,
            edits,
            target.free(*changed),
            may_be_inert=target.inert(row) and target.selector not in changed,
        )


#: One side of a message: table, interaction, row.
_End = tuple[int, int, int]


class _Matches:
    """Senders and receivers of equal messages on the permutation buses."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._receivers: dict[tuple[int, bytes], list[_End]] = {}
        self._senders: dict[tuple[int, int], list[tuple[int, bytes, _End]]] = {}
        for t, rows in enumerate(judge.tables):
            for i, interaction in enumerate(rows.interactions) if rows else ():
                assert rows is not None
                if interaction.bus.kind is not BusKind.PERMUTATION:
                    continue
                for row in np.flatnonzero(rows.counts[i]).tolist():
                    message = rows.messages[i][row].tobytes()
                    end = (t, i, row)
                    if rows.counts[i][row] == 1:
                        self._senders.setdefault((t, i), []).append((interaction.bus.index, message, end))
                    else:
                        self._receivers.setdefault((interaction.bus.index, message), []).append(end)

    def of(self, table: int, rng: np.random.Generator) -> Iterator[tuple[_End, _End]]:
        """A few pairs for every sending and receiving interaction of which the table has one side."""
        found: dict[tuple[int, int, int, int], list[tuple[_End, _End]]] = {}
        for (t, i), sent in self._senders.items():
            for bus, message, sender in sent:
                for receiver in self._receivers.get((bus, message), ())[:2]:
                    if table in (t, receiver[0]):
                        found.setdefault((t, i, receiver[0], receiver[1]), []).append((sender, receiver))
        for pairs in found.values():
            chosen = rng.choice(len(pairs), min(_PAIRS, len(pairs)), replace=False)
            yield from (pairs[k] for k in sorted(chosen.tolist()))


def _both_ends(judge: Judge, matches: _Matches, target: _Target) -> Iterator[_Mutation]:
    """Messages changed alike at the sender and at the receiver: their bus cannot notice, so something else must."""
    pairs = list(matches.of(target.number, target.rng))
    movers = _Movers(judge, {end for pair in pairs for end in pair})
    for sender, receiver in pairs:
        rows = judge.tables[sender[0]]
        assert rows is not None
        bus = rows.interactions[sender[1]].bus
        for k, name in enumerate(_element_names(bus.fields)):
            for delta in (1, MODULUS - 1, int(target.rng.integers(2, MODULUS))):
                for a, slope_a in movers.of(sender, k):
                    for b, slope_b in movers.of(receiver, k):
                        edits = _moved(judge, ((a, slope_a), (b, slope_b)), delta)
                        if edits:
                            yield _both_ends_mutation(judge, bus.name, name, sender, edits)


def _both_ends_mutation(judge: Judge, bus: str, name: str, sender: _End, edits: tuple[Edit, ...]) -> _Mutation:
    places = []
    reasons = []
    for t, row, column, _ in edits:
        rows = judge.tables[t]
        assert rows is not None
        layout = rows.table.public if row == PUBLIC_ROW else rows.table.layout
        cell = list(layout.cells())[column]
        places.append(f"{rows.table.name}.{cell.name}" + ("" if row == PUBLIC_ROW else f" in row {row}"))
        reasons.append(cell.column.free)
    # A value that may be chosen at one end is only passed on to the other.
    reason = next((r for r in reasons if r), None)
    description = f"{bus}.{name} moved by {' and '.join(places)}"
    return _Mutation("both ends", sender[0], sender[2], description, edits, reason)


def _element_names(fields: Iterable[BusField]) -> list[str]:
    names: list[str] = []
    for f in fields:
        names += [f.name] if f.size == 1 else [f"{f.name}[{i}]" for i in range(f.size)]
    return names


#: A cell: table, row (or `PUBLIC_ROW`), column.
_Place = tuple[int, int, int]


def _moved(judge: Judge, ends: Sequence[tuple[_Place, int]], delta: int) -> tuple[Edit, ...]:
    """The edits that move a field by `delta` at each end; nothing if both would change one cell differently."""
    values: dict[_Place, int] = {}
    for place, slope in ends:
        t, row, column = place
        rows = judge.tables[t]
        assert rows is not None
        old = int(rows.public[column] if row == PUBLIC_ROW else rows.matrix[row, column])
        new = (old + delta * pow(slope, -1, MODULUS)) % MODULUS
        if values.setdefault(place, new) != new:
            return ()
    return tuple((*place, new) for place, new in values.items())


class _Movers:
    """The cells that move a field of a message, with their slopes (found numerically)."""

    def __init__(self, judge: Judge, ends: set[_End]) -> None:
        self._found: dict[tuple[_End, int], list[tuple[_Place, int]]] = {}
        for t, rows in enumerate(judge.tables):
            if rows is not None:
                self._search(t, rows, sorted(e for e in ends if e[0] == t))

    def of(self, end: _End, element: int) -> list[tuple[_Place, int]]:
        """At most `_MOVERS` places whose change moves this element of the message, with the slope."""
        return self._found.get((end, element), [])[:_MOVERS]

    def _search(self, t: int, rows: TableRows, ends: list[_End]) -> None:
        leaves: dict[int, list[tuple[Op, int]]] = {}
        trials: list[tuple[_End, int, Op, int]] = []
        for end in ends:
            for k, expression in enumerate(rows.interactions[end[1]].message):
                if expression.index not in leaves:
                    leaves[expression.index] = support(rows.graph, expression.index)
                trials += [(end, k, op, column) for op, column in leaves[expression.index]]
        if not trials:
            return
        at = np.array([end[2] for end, *_ in trials])
        local, following = rows.matrix[at], rows.matrix[(at + 1) % rows.height]
        public = np.tile(rows.public, (len(trials), 1))
        for n, (_, _, op, column) in enumerate(trials):
            block = {Op.LOCAL: local, Op.NEXT: following, Op.PUBLIC: public}[op]
            block[n, column] = (int(block[n, column]) + 1) % MODULUS
        ends_of_table = (at == 0).astype(np.uint32), (at == rows.height - 1).astype(np.uint32)
        wanted = {e.index for _, i, _ in ends for e in rows.interactions[i].message}
        values = evaluate(rows.graph, Rows(local, following, *ends_of_table, public), NumpyAlgebra(), wanted)
        for n, (end, k, op, column) in enumerate(trials):
            value = values[rows.interactions[end[1]].message[k].index]
            slope = (int(value[n]) - int(rows.messages[end[1]][end[2], k])) % MODULUS
            if slope:
                row = {Op.LOCAL: end[2], Op.NEXT: (end[2] + 1) % rows.height, Op.PUBLIC: PUBLIC_ROW}[op]
                self._found.setdefault((end, k), []).append(((t, row, column), slope))
