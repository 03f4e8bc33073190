"""Changes of a row that satisfy its constraints again: a cell is changed, then others until nothing is violated.

A single changed cell usually breaks the equation it stands in, whether or not its range is checked. A liar would adjust
the other cells of that equation too; this search does the same, so that range checks and buses have to catch the lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from circuits.air.bus import BusKind
from circuits.air.evaluate import NumpyAlgebra, Rows, evaluate
from circuits.air.expression import Graph, Op
from circuits.air.field import MODULUS
from circuits.air.layout import CellType
from circuits.air.mutation.judge import TableRows, children, support

#: Cells that a repair may change, and tries per table.
_ROUNDS = 8
_TRIES = 1500


@dataclass
class _Try:
    """A row under repair: the cells changed so far."""

    row: int
    changed: dict[int, int] = field(default_factory=dict)


def repaired_rows(trace: TableRows, rows: Sequence[int], rng: np.random.Generator) -> list[tuple[int, dict[int, int]]]:
    """Rows with at least two cells changed such that all constraints between row and successor vanish.

    Args:
        trace: the honest table.
        rows: the rows to start from.
        rng: chooses where to start and what to adjust.

    Returns:
        (row, {column: new value}) for each successful search, without repetitions.
    """
    starts = [(row, column) for row in rows for column in range(len(trace.cells))]
    chosen = rng.permutation(np.tile(np.arange(len(starts)), 1 + _TRIES // max(1, len(starts))))[:_TRIES]
    tries = []
    for index in chosen.tolist():
        row, column = starts[index]
        old = int(trace.matrix[row, column])
        bit = trace.cells[column].column.type is CellType.BIT
        new = 1 - old if bit else old + (1, 1 << 16, -(1 << 16))[int(rng.integers(3))]
        tries.append(_Try(row, {column: new % MODULUS}))
    equations = {index: _Equation(trace.graph, index) for index in dict.fromkeys(trace.constraints)}
    if not equations:
        return []  # nothing to repair: single cells say it all
    told = _columns_told(trace)
    done: dict[tuple[int, tuple[tuple[int, int], ...]], None] = {}
    for left in range(_ROUNDS, -1, -1):
        tries = _round(trace, tries, left, equations, told, rng, done)
    return [(row, dict(changed)) for row, changed in done]


def _round(
    trace: TableRows,
    tries: list[_Try],
    left: int,
    equations: dict[int, _Equation],
    told: set[int],
    rng: np.random.Generator,
    done: dict[tuple[int, tuple[tuple[int, int], ...]], None],
) -> list[_Try]:
    """Adjust one more cell of every try; those without violations move to `done`, hopeless ones are given up."""
    unfinished = []
    order = list(equations)
    for start in range(0, len(tries), trace.block):
        block = tries[start : start + trace.block]
        content = _content(trace, block)
        values = evaluate(trace.graph, content, NumpyAlgebra(), order)
        violated = np.stack([np.broadcast_to(values[i] != 0, (len(block),)) for i in order], axis=1)
        for n, attempt in enumerate(block):
            broken = np.flatnonzero(violated[n])
            if not len(broken):
                if len(attempt.changed) > 1:
                    done[attempt.row, tuple(sorted(attempt.changed.items()))] = None
                continue
            # One cell seldom satisfies more than two violated constraints at once.
            if len(broken) > 2 * left:
                continue
            equation = equations[order[int(rng.choice(broken))]]
            column, value = _adjustment(trace, equation.fixes(content, n, attempt.changed), content, n, told, rng)
            if column is not None:
                attempt.changed[column] = value
                unfinished.append(attempt)
    return unfinished


def _adjustment(
    trace: TableRows, fixes: dict[int, int], content: Rows, n: int, told: set[int], rng: np.random.Generator
) -> tuple[int | None, int]:
    """The cell to change next: mostly one that no message tells, and a bit to a bit even if that is no fix yet."""
    exact: dict[int, int] = {}
    private: dict[int, int] = {}
    flips: dict[int, int] = {}
    for column, value in fixes.items():
        if trace.cells[column].column.type is CellType.BIT and value > 1:
            flips[column] = 1 - int(content.local[n, column] != 0)
            continue
        exact[column] = value
        if column not in told:
            private[column] = value
    for choice, share in ((private, 0.75), (exact, 0.75), (flips, 1.0), (private, 1.0), (exact, 1.0)):
        if choice and rng.random() < share:
            chosen = int(rng.choice(list(choice)))
            return chosen, choice[chosen]
    return None, 0


def _content(trace: TableRows, block: Sequence[_Try]) -> Rows:
    at = np.array([t.row for t in block])
    local, following = trace.matrix[at], trace.matrix[(at + 1) % trace.height]
    for n, attempt in enumerate(block):
        for column, value in attempt.changed.items():
            local[n, column] = value
            if trace.height == 1:
                following[n, column] = value
    return Rows(local, following, *trace.ends(at), trace.public)


def _columns_told(trace: TableRows) -> set[int]:
    """Columns that other tables learn over permutation buses: to change them needs an accomplice."""
    expressions = {
        e.index for i in trace.interactions if i.bus.kind is BusKind.PERMUTATION for e in (i.count, *i.message)
    }
    return {column for index in expressions for op, column in support(trace.graph, index) if op is Op.LOCAL}


class _Equation:
    """One constraint, differentiated by the cells of the row."""

    def __init__(self, graph: Graph, index: int) -> None:
        found = {index}
        stack = [index]
        while stack:
            new = [c for c in children(graph.nodes[stack.pop()]) if c not in found]
            found.update(new)
            stack += new
        # Children have smaller numbers than their parents.
        self._nodes = [(node, *graph.nodes[node]) for node in sorted(found)]

    def fixes(self, rows: Rows, n: int, fixed: dict[int, int]) -> dict[int, int]:
        """Columns (but those in `fixed`) with the value that makes the constraint vanish if it is linear in them."""
        values = self._values(rows, n)
        slopes = dict.fromkeys(values, 0)
        root = self._nodes[-1][0]
        slopes[root] = 1
        result: dict[int, int] = {}
        for node, op, a, b in reversed(self._nodes):
            slope = slopes[node]
            if not slope:
                continue
            if op in (Op.ADD, Op.SUB):
                slopes[a] = (slopes[a] + slope) % MODULUS
                slopes[b] = (slopes[b] + (slope if op == Op.ADD else -slope)) % MODULUS
            elif op == Op.MUL:
                slopes[a] = (slopes[a] + slope * values[b]) % MODULUS
                slopes[b] = (slopes[b] + slope * values[a]) % MODULUS
            elif op == Op.NEG:
                slopes[a] = (slopes[a] - slope) % MODULUS
            elif op == Op.LOCAL and a not in fixed:
                result[a] = (values[node] - values[root] * pow(slope, -1, MODULUS)) % MODULUS
        return result

    def _values(self, rows: Rows, n: int) -> dict[int, int]:
        values: dict[int, int] = {}
        for node, op, a, b in self._nodes:
            if op == Op.LOCAL:
                value = int(rows.local[n, a])
            elif op == Op.NEXT:
                value = int(rows.next[n, a])
            elif op == Op.CONST:
                value = a
            elif op == Op.PUBLIC:
                value = int(rows.public[a])
            elif op == Op.IS_FIRST:
                value = int(rows.is_first[n])
            elif op in (Op.IS_LAST, Op.IS_TRANSITION):
                value = int(rows.is_last[n]) if op == Op.IS_LAST else 1 - int(rows.is_last[n])
            elif op == Op.NEG:
                value = -values[a] % MODULUS
            elif op == Op.MUL:
                value = values[a] * values[b] % MODULUS
            else:
                value = (values[a] + (values[b] if op == Op.ADD else -values[b])) % MODULUS
            values[node] = value
        return values
