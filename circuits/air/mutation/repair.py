"""Changes of a row that satisfy its constraints again: a cell is changed, then others until nothing is violated.

A single changed cell usually breaks the equation it stands in, whether or not its range is checked. A liar would adjust
the other cells of that equation too; this search does the same, so that range checks and buses have to catch the lie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import BusKind
from circuits.air.evaluate import Rows, evaluate
from circuits.air.expression import Graph, Op
from circuits.air.field import MODULUS
from circuits.air.layout import CellType
from circuits.air.mutation.judge import TableRows, children, support

#: Tries per table (fewer where a row has many expression nodes), and cells that a repair may change after the first.
TRIES = 3000
_ROUNDS = 8
_NODES = 25_000_000
#: How a cell that is no bit is changed at first: within its range, and from one byte or limb to the next.
_STEPS = (1, -1, 256, -256, 1 << 16, -(1 << 16))
#: How often a cell that no permutation message tells is preferred: to change the others needs an accomplice.
_PREFER_PRIVATE = 0.75


@dataclass(frozen=True)
class RepairedRow:
    """A row with at least two changed cells (column to new value) that satisfies all its constraints."""

    row: int
    changed: dict[int, int]


def repaired_rows(
    trace: TableRows, rows: Sequence[int], rng: np.random.Generator, *, tries: int = TRIES, keep_bits: bool = True
) -> list[RepairedRow]:
    """Repairs found by a random search of at most so many tries from the given rows, without repetitions.

    `keep_bits`: bits only become bits, which all but the weakest circuits demand.
    """
    return _Search(trace, rng, keep_bits).run(rows, tries) if tries else []


class _Search:
    def __init__(self, trace: TableRows, rng: np.random.Generator, keep_bits: bool) -> None:
        self._trace, self._rng = trace, rng
        self._equations = [_Equation(trace.graph, index) for index in dict.fromkeys(trace.constraints)]
        self._bits = {c.index for c in trace.cells if c.column.type is CellType.BIT} if keep_bits else set[int]()
        told = {e.index for i in trace.interactions if i.bus.kind is BusKind.PERMUTATION for e in (i.count, *i.message)}
        self._told = {column for index in told for op, column in support(trace.graph, index) if op is Op.LOCAL}
        self._uses = Counter(column for equation in self._equations for column in equation.columns)

    def run(self, rows: Sequence[int], tries_at_most: int) -> list[RepairedRow]:
        if not self._equations:
            return []  # nothing to repair: the changes of single cells say it all
        starts = [(row, column) for row in rows for column in range(len(self._trace.cells))]
        count = min(tries_at_most, _NODES // len(self._trace.graph.nodes))
        enough = np.tile(np.arange(len(starts)), 1 + count // len(starts))
        tries = [self._start(*starts[i]) for i in self._rng.permutation(enough)[:count].tolist()]
        done: dict[tuple[int, tuple[tuple[int, int], ...]], RepairedRow] = {}
        for left in range(_ROUNDS, -1, -1):
            unfinished = []
            for start in range(0, len(tries), self._trace.block):
                block = tries[start : start + self._trace.block]
                content, violated = self._violations(block)
                for n, attempt in enumerate(block):
                    broken = np.flatnonzero(violated[n])
                    if not len(broken) and len(attempt.changed) > 1:
                        done[attempt.row, tuple(sorted(attempt.changed.items()))] = attempt
                    # One cell seldom satisfies more than two violated constraints at once.
                    elif 0 < len(broken) <= 2 * left and self._adjust(attempt, content, n, broken):
                        unfinished.append(attempt)
            tries = unfinished
        return list(done.values())

    def _start(self, row: int, column: int) -> RepairedRow:
        old = int(self._trace.matrix[row, column])
        new = 1 - old if column in self._bits else old + int(self._rng.choice(_STEPS))
        return RepairedRow(row, {column: new % MODULUS})

    def _violations(self, block: Sequence[RepairedRow]) -> tuple[Rows, NDArray[np.bool_]]:
        """The altered rows, and which equations they violate (rows, equations)."""
        trace = self._trace
        at = np.array([attempt.row for attempt in block])
        local, following = trace.matrix[at], trace.matrix[(at + 1) % trace.height]
        for n, attempt in enumerate(block):
            for column, value in attempt.changed.items():
                local[n, column] = value
                if trace.height == 1:
                    following[n, column] = value
        content = Rows(local, following, *trace.ends(at), trace.public)
        order = [equation.index for equation in self._equations]
        values = evaluate(trace.graph, content, order)
        return content, np.stack([np.broadcast_to(values[i] != 0, (len(block),)) for i in order], axis=1)

    def _adjust(self, attempt: RepairedRow, content: Rows, n: int, broken: NDArray[np.int64]) -> bool:
        """Change one more cell for the sake of a violated equation; False if there is none to change.

        Cells of few equations are preferred, as they disturb little else. A bit stays a bit, even if that is no
        solution yet.
        """
        exact: dict[int, int] = {}
        flips: dict[int, int] = {}
        equation = self._equations[int(self._rng.choice(broken))]
        for column, value in equation.solutions(content, n).items():
            if column in attempt.changed:
                continue
            if column in self._bits and value > 1:
                flips[column] = 1 - int(content.local[n, column] != 0)
            else:
                exact[column] = value
        private = {column: value for column, value in exact.items() if column not in self._told}
        choice = private if private and self._rng.random() < _PREFER_PRIVATE else exact
        if flips and (not choice or self._rng.random() > _PREFER_PRIVATE):
            choice = flips
        if not choice:
            return False
        columns = list(choice)
        weights = np.array([1 / self._uses[column] for column in columns])
        column = int(self._rng.choice(columns, p=weights / weights.sum()))
        attempt.changed[column] = choice[column]
        return True


class _Equation:
    """One constraint, differentiated by the cells of the row."""

    def __init__(self, graph: Graph, index: int) -> None:
        self.index = index
        found = {index}
        stack = [index]
        while stack:
            new = [c for c in children(graph.nodes[stack.pop()]) if c not in found]
            found.update(new)
            stack += new
        # Children have smaller numbers than their parents.
        self._nodes = [(node, *graph.nodes[node]) for node in sorted(found)]
        self.columns = [a for _, op, a, _ in self._nodes if op == Op.LOCAL]

    def solutions(self, rows: Rows, n: int) -> dict[int, int]:
        """Columns with the value that makes the constraint vanish on row `n`, if it is linear in them."""
        values = self._values(rows, n)
        slopes = dict.fromkeys(values, 0)
        slopes[self.index] = 1
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
            elif op == Op.LOCAL:
                result[a] = (values[node] - values[self.index] * pow(slope, -1, MODULUS)) % MODULUS
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
