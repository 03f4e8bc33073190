"""Where the cells and the interactions of a segment go: by table and by instruction, padding included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.table import Table
from circuits.batch.execution import Execution
from circuits.instructions.step import Step
from circuits.segment import FilledSegment
from executor.opcodes import instruction_set


@dataclass(frozen=True)
class TableCost:
    """A table of a segment.

    Attributes:
        rows: that stand for something.
        height: rows, padding included.
        columns, interactions: per row.
        is_instruction: whether its rows are steps.
    """

    name: str
    rows: int
    height: int
    columns: int
    interactions: int
    is_instruction: bool

    @property
    def cells(self) -> int:
        """Cells, padding included."""
        return self.height * self.columns

    @property
    def messages(self) -> int:
        """Interactions of all rows, padding included."""
        return self.height * self.interactions


@dataclass(frozen=True)
class InstructionCost:
    """An instruction in a segment: its steps, and their part of the tables that hold them, padding included."""

    name: str
    steps: int
    cells: float
    messages: float


@dataclass(frozen=True)
class Costs:
    """The costs of a segment.

    Attributes:
        steps: of all transactions.
        operations: of the segment.
        tables, instructions: the most expensive first.
    """

    steps: int
    operations: int
    tables: tuple[TableCost, ...]
    instructions: tuple[InstructionCost, ...]

    @property
    def heights(self) -> Mapping[str, int]:
        """Rows of the tables, padding included."""
        return {table.name: table.height for table in self.tables}

    @property
    def cells(self) -> int:
        """Of all tables."""
        return sum(table.cells for table in self.tables)

    @property
    def messages(self) -> int:
        """Of all tables."""
        return sum(table.messages for table in self.tables)

    def per_step(self) -> tuple[float, float]:
        """Cells and interactions of the instruction tables for each step; 0 without steps."""
        own = [table for table in self.tables if table.is_instruction]
        steps = max(1, self.steps)
        return sum(t.cells for t in own) / steps, sum(t.messages for t in own) / steps


def total(costs: Sequence[Costs]) -> Costs:
    """The costs of several segments together."""
    tables: dict[tuple[str, int, int], TableCost] = {}
    for table in (table for each in costs for table in each.tables):
        # A table of another fork may have other columns.
        key = (table.name, table.columns, table.interactions)
        before = tables.get(key, replace(table, rows=0, height=0))
        tables[key] = replace(table, rows=before.rows + table.rows, height=before.height + table.height)
    instructions: dict[str, InstructionCost] = {}
    for own in (own for each in costs for own in each.instructions):
        sofar = instructions.get(own.name, InstructionCost(own.name, 0, 0.0, 0.0))
        instructions[own.name] = InstructionCost(
            own.name, sofar.steps + own.steps, sofar.cells + own.cells, sofar.messages + own.messages
        )
    return Costs(
        sum(each.steps for each in costs),
        sum(each.operations for each in costs),
        tuple(sorted(tables.values(), key=lambda t: -weight(t.cells, t.messages))),
        tuple(sorted(instructions.values(), key=lambda i: -weight(i.cells, i.messages))),
    )


def weight(cells: float, messages: float) -> float:
    """Cells and interactions in one currency: an interaction takes about as long to prove as 6.5 cells."""
    return cells + 6.5 * messages


def costs_of(filled: FilledSegment) -> Costs:
    """The costs of a segment."""
    execution, circuit, heights = filled.execution, filled.circuit, filled.heights
    tables: list[TableCost] = []
    shares = np.zeros((256, 2))
    for table, matrix, size in zip(circuit.tables, filled.traces, circuit.statistics, strict=True):
        if matrix is None:
            continue
        is_instruction = issubclass(table.layout, Step)
        rows, height = heights[table.name]
        cost = TableCost(table.name, rows, height, size.columns, size.interactions, is_instruction)
        tables.append(cost)
        if is_instruction:
            opcodes = _opcodes(table, matrix, execution)
            share = np.bincount(opcodes, minlength=256) / len(opcodes)
            shares[:, 0] += share * cost.cells
            shares[:, 1] += share * cost.messages
    within = execution.within(execution.time)
    steps = np.bincount(execution.opcode[within], minlength=256)
    names = instruction_set(execution.fork.added_instructions).names
    instructions = [
        InstructionCost(
            names.get(opcode, f"0x{opcode:02x}"), int(steps[opcode]), float(shares[opcode, 0]), float(shares[opcode, 1])
        )
        for opcode in np.flatnonzero(steps).tolist()
    ]
    return Costs(
        int(within.sum()),
        int(execution.within(execution.begin_time).sum()),
        tuple(sorted(tables, key=lambda t: -weight(t.cells, t.messages))),
        tuple(sorted(instructions, key=lambda i: -weight(i.cells, i.messages))),
    )


def _opcodes(table: Table, matrix: Matrix, execution: Execution) -> NDArray[np.int64]:
    """Opcodes of the steps of an instruction table; a step's time is its own."""
    offsets = table.layout.offsets
    real = matrix[:, offsets["real"]] != 0
    times = matrix[real, offsets["time"]].astype(np.int64)
    opcodes: NDArray[np.int64] = execution.opcode[np.searchsorted(execution.time, times)]
    return opcodes
