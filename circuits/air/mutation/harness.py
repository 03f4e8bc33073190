"""Running the mutations of all tables and filing what survives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from circuits.air.checker import PublicValues, Trace
from circuits.air.circuit import Circuit
from circuits.air.mutation.judge import Judge, Provided
from circuits.air.mutation.messages import Matches, message_mutations
from circuits.air.mutation.rows import INERT, Mutation, Target, row_mutations


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
        inert: surviving cells of padding rows without messages, and padding rows repaired such that they only ask.
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
    matches = Matches(judge)
    for t, rows in judge.present():
        if tables is not None and rows.table.name not in tables:
            continue
        rng = np.random.default_rng([seed, t])
        target = Target(t, rows, rows_per_table, rng)
        mutations = [m for m in (*row_mutations(target), *message_mutations(judge, matches, target)) if m.edits]
        rejected = _judge(judge, mutations, report)
        report.coverage[rows.table.name] = Coverage(
            tuple(target.rows),
            sum(target.real[r] for r in target.rows),
            len(target.rows) * rows.table.width,
            len(mutations),
            rejected,
        )
    return report


def _judge(judge: Judge, mutations: list[Mutation], report: MutationReport) -> int:
    """File the survivors in the report; returns how many mutations were rejected."""
    rejected = len(mutations)
    for provided in Provided:
        group = [m for m in mutations if m.provided is provided]
        report.tried.update(m.kind for m in group)
        verdicts = judge.judge([m.edits for m in group], provided=provided)
        for index in np.flatnonzero(verdicts.survives):
            rejected -= 1
            m = group[index]
            survivor = Survivor(judge.table(m.table).table.name, m.row, m.description, m.old, m.new, m.kind, m.reason)
            excuse = m.excuse(silent=bool(verdicts.silent[index]), asks=bool(verdicts.asks[index]))
            if excuse is None:
                report.survivors.append(survivor)
            else:
                (report.inert if excuse == INERT else report.declared).append(survivor)
    return rejected
