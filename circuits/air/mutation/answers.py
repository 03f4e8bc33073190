"""Mutations that lookups follow: a cell changes what a row asks for, and other cells hold the answer to that.

The last field of a lookup bus is what is answered, the fields before it say what is asked: digits of a register by its
index, the exclusive or of two bytes. A liar who says that another register is read reads what that one holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus, BusKind
from circuits.air.evaluate import Rows, evaluate
from circuits.air.expression import Op
from circuits.air.field import MODULUS
from circuits.air.layout import CellType
from circuits.air.mutation.judge import Judge, Provided
from circuits.air.mutation.rows import Mutation, Target

#: Changes of one row, rounds of answers (an answer may be part of what is asked elsewhere), and other answers to a
#: question.
_CHANGES = 400
_ROUNDS = 3
_OTHERS = 2

#: A row's cells that change: column to new value.
Changed = dict[int, int]


class Answers:
    """What is provided on lookup buses, by what is asked."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.of = cache(self._of)

    def _of(self, bus: Bus) -> dict[bytes, list[NDArray[np.uint32]]]:
        """The last field of all messages, by the others."""
        found: dict[bytes, list[NDArray[np.uint32]]] = {}
        size = 4 * (bus.width - bus.fields[-1].size)
        for message in self._judge.provided(bus):
            found.setdefault(message[:size], []).append(np.frombuffer(message[size:], dtype=np.uint32))
        return found


def answer_mutations(answers: Answers, target: Target) -> Iterator[Mutation]:
    """Other answers to what sampled rows ask; and changes of their cells, with the answers to what they ask then."""
    queries = _Queries(answers, target)
    for row in target.rows:
        for what, changed in queries.others(row):
            yield _mutation(target, row, f"another answer on {what}", changed)
    starts = [(row, {column: new}) for row in target.rows for column, new in _changes(target, row)]
    for row, changed in queries.answered(starts):
        if len(changed) > 1:
            first = next(iter(changed))
            yield _mutation(target, row, f"{target.name(first)} said to be {changed[first]}, and answers", changed)


def _changes(target: Target, row: int) -> Iterator[tuple[int, int]]:
    rng, matrix = target.rng, target.matrix
    width = target.table.width
    for column in rng.choice(width, min(width, _CHANGES), replace=False).tolist():
        old = int(matrix[row, column])
        if target.cells[column].column.type is CellType.BIT:
            yield column, 1 - old if old < 2 else 0
            continue
        for new in dict.fromkeys((old + int(rng.choice((1, -1))), int(matrix[rng.integers(target.height), column]))):
            if new % MODULUS != old:
                yield column, new % MODULUS


def _mutation(target: Target, row: int, what: str, changed: Changed) -> Mutation:
    edits = tuple(e for column, new in changed.items() for e in target.changes(row, column, new))
    inert = target.inert(row) and target.selector not in changed
    return Mutation(
        "answered", target.number, row, what, edits, target.free(*changed),
        provided=Provided.OTHER_TRUTH, may_be_inert=inert,
    )  # fmt: skip


class _Queries:
    """The queries of a table whose answers are cells of the row."""

    def __init__(self, answers: Answers, target: Target) -> None:
        self._answers, self._target = answers, target
        nodes = target.trace.graph.nodes
        #: Number of the interaction, its bus, and the columns of the answer.
        self._known: list[tuple[int, Bus, list[int]]] = []
        for number, interaction in enumerate(target.trace.interactions):
            bus = interaction.bus
            if bus.kind is BusKind.PERMUTATION or interaction.provides or len(bus.fields) < 2:
                continue
            answer = [nodes[e.index] for e in interaction.message[bus.width - bus.fields[-1].size :]]
            if all(op == Op.LOCAL for op, *_ in answer):
                self._known.append((number, bus, [column for _, column, _ in answer]))

    def others(self, row: int) -> Iterator[tuple[str, Changed]]:
        """Other answers to the same questions, which a function does not have."""
        trace = self._target.trace
        for number, bus, columns in self._known:
            if not trace.counts[number][row]:
                continue
            message = trace.messages[number][row]
            known = self._answers.of(bus).get(message[: -len(columns)].tobytes(), [])
            if len(known) > 1:
                for k in self._target.rng.permutation(len(known))[: _OTHERS + 1].tolist():
                    if (known[k] != message[-len(columns) :]).any():
                        yield bus.name, dict(zip(columns, known[k].tolist(), strict=True))

    def answered(self, starts: list[tuple[int, Changed]]) -> Iterator[tuple[int, Changed]]:
        """The same changes with the answers to what rows come to ask."""
        trace = self._target.trace
        wanted = [
            e.index for n, *_ in self._known for e in (trace.interactions[n].count, *trace.interactions[n].message)
        ]
        if not wanted:
            return
        for start in range(0, len(starts), trace.block):
            block = [(row, dict(changed)) for row, changed in starts[start : start + trace.block]]
            for _ in range(_ROUNDS):
                at = np.array([row for row, _ in block])
                local, following = trace.matrix[at], trace.matrix[(at + 1) % trace.height]
                for n, (_, changed) in enumerate(block):
                    for column, new in changed.items():
                        local[n, column] = new
                values = evaluate(trace.graph, Rows(local, following, *trace.ends(at), trace.public), wanted)
                if not self._follow(block, at, values):
                    break
            yield from block

    def _follow(
        self, block: list[tuple[int, Changed]], at: NDArray[np.int64], values: dict[int, NDArray[np.uint64]]
    ) -> bool:
        """Add the answers to what the rows ask; whether there are any new ones."""
        trace, moved = self._target.trace, False
        for number, bus, columns in self._known:
            interaction = trace.interactions[number]
            message = np.empty((len(at), bus.width), dtype=np.uint32)
            for k, expression in enumerate(interaction.message):
                message[:, k] = values[expression.index]
            asks = (values[interaction.count.index] != 0) & (message != trace.messages[number][at]).any(axis=1)
            for n in np.flatnonzero(asks).tolist():
                changed = block[n][1]
                known = self._answers.of(bus).get(message[n, : -len(columns)].tobytes())
                if known is None or any((answer == message[n, -len(columns) :]).all() for answer in known):
                    continue
                first = next(iter(changed))
                if first not in columns:
                    changed.update(zip(columns, known[0].tolist(), strict=True))
                    moved = True
        return moved
