"""What a liar changes beside a first cell, within its row: for its constraints, and for what has to lie in a range.

Repairs (`circuits.air.mutation.repair`) satisfy the constraints alone. But that one amount is at most another is a
lookup: their difference is a limb and so many times 2^16 more, which are looked up in the range table. Whoever lies
about one of the amounts states another limb.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import BusKind
from circuits.air.evaluate import Rows, evaluate
from circuits.air.expression import Op
from circuits.air.field import MODULUS
from circuits.air.layout import CellType
from circuits.air.mutation.judge import PUBLIC_ROW, Provided, support
from circuits.air.mutation.rows import Mutation, Target
from circuits.air.range_buses import RANGE16

#: A row's cells that change: column to new value.
Changed = dict[int, int]

_LIMB = 1 << 16
#: Amounts that are compared are below.
_AMOUNT = 1 << 30
#: Cells that change for the sake of constraints, and constraints that a change may violate.
_STEPS = 3
_VIOLATED = 4
#: Tries with one change.
_TRIES = 3


def started_mutations(target: Target) -> list[Mutation]:
    """A cell changes a little, or a bit, of which no other row is told; to be settled."""
    told = _told(target)
    found = []
    for row in target.rows:
        for column, cell in enumerate(target.cells):
            if column in told or cell.column.type not in (CellType.FIELD, CellType.BIT):
                continue
            old = int(target.matrix[row, column])
            new = 1 - old if cell.column.type is CellType.BIT else old + int(target.rng.choice((1, -1)))
            edits = target.changes(row, column, new)
            found.append(Mutation("settled", target.number, row, f"{cell.name} said to be {new}", edits))
    return found


def settled_mutations(target: Target, mutations: Sequence[Mutation]) -> Iterator[Mutation]:
    """These mutations of one row each, with whatever else must change; those that nothing settles are left out."""
    settling = _Settling(target)
    for mutation in mutations:
        rows = {edit[:2] for edit in mutation.edits}
        if len(rows) != 1 or PUBLIC_ROW in {row for _, row in rows}:
            continue
        [(_, row)] = rows
        first = {column: value for _, _, column, value in mutation.edits}
        tries = (settling.settled(row, first) for _ in range(_TRIES))
        changed = next((found for found in tries if found is not None), None)
        if changed is None or changed == first:
            continue
        edits = tuple(e for column, new in changed.items() for e in target.changes(row, column, new))
        what = f"{mutation.description}, and " + ", ".join(target.name(c) for c in changed if c not in first)
        inert = target.inert(row) and target.selector not in changed
        yield Mutation(
            "settled", target.number, row, what, edits, target.free(*changed),
            provided=Provided.OTHER_TRUTH, may_be_inert=inert,
        )  # fmt: skip


def _told(target: Target) -> set[int]:
    """Columns of which other rows are told."""
    interactions, graph = target.trace.interactions, target.trace.graph
    told = (e for i in interactions if i.bus.kind is BusKind.PERMUTATION for e in (i.count, *i.message))
    return {c for e in told for op, c in support(graph, e.index) if op is Op.LOCAL}


class _Settling:
    def __init__(self, target: Target) -> None:
        self._target = target
        trace = target.trace
        self._constraints = list(dict.fromkeys(trace.constraints))
        self._told = _told(target)
        #: Count and message of what is looked up in the range table, and the limbs in it.
        self._ranges: list[tuple[int, int, list[int]]] = []
        for interaction in trace.interactions:
            if interaction.bus is RANGE16 and not interaction.provides:
                [message] = interaction.message
                limbs = [c for c in self._columns(message.index) if trace.cells[c].column.type is CellType.LIMB]
                if limbs:
                    self._ranges.append((interaction.count.index, message.index, limbs))

    def settled(self, row: int, first: Changed) -> Changed | None:
        """The changes with others that make the row satisfy its constraints and range checks; None if none do."""
        changed = dict(first)
        for _ in range(_STEPS + 1):
            values = self._values(row, [changed], self._constraints)
            broken = [c for c in self._constraints if values[c][0]]
            if not broken:
                self._move_limbs(row, changed)
                return changed
            chosen = int(self._target.rng.choice(broken))
            if len(broken) > _VIOLATED or not self._satisfy(row, changed, chosen):
                return None
        return None

    def _satisfy(self, row: int, changed: Changed, constraint: int) -> bool:
        """Change one more cell, in which a violated constraint is linear; False if there is none."""
        trace, rng = self._target.trace, self._target.rng
        columns = [
            c for c in self._columns(constraint) if c not in changed and trace.cells[c].column.type is not CellType.BIT
        ]
        if not columns:
            return False
        old = [int(trace.matrix[row, c]) for c in columns]
        tried = [changed | {c: (x + step) % MODULUS} for c, x in zip(columns, old, strict=True) for step in (0, 1, 2)]
        found = self._values(row, tried, [constraint])[constraint].astype(object).reshape(-1, 3)
        solved: Changed = {}
        for column, x, (zero, one, two) in zip(columns, old, found.tolist(), strict=True):
            slope = (one - zero) % MODULUS
            if slope and (two - one) % MODULUS == slope:
                solved[column] = (x - zero * pow(slope, -1, MODULUS)) % MODULUS
        if not solved:
            return False
        # What other rows are told of would have to change there, too, unless they are not told now.
        private = [c for c in solved if c not in self._told]
        column = int(rng.choice(private if private and rng.random() < 1 / 2 else list(solved)))
        changed[column] = solved[column]
        return True

    def _move_limbs(self, row: int, changed: Changed) -> None:
        """Give limbs the values that the range checks with them ask for."""
        trace = self._target.trace
        counts, messages = [n for n, *_ in self._ranges], [n for _, n, _ in self._ranges]
        values = self._values(row, [changed], [*counts, *messages])
        for count, message, limbs in self._ranges:
            if not values[count][0] or values[message][0] < _LIMB:
                continue
            for column in limbs:
                limb = changed.get(column, int(trace.matrix[row, column]))
                moved = self._values(row, [changed | {column: (limb + 1) % MODULUS}], [message])[message][0]
                # A message of (amount - limb) / 2^16.
                if (int(values[message][0]) - int(moved)) * _LIMB % MODULUS == 1:
                    amount = (int(values[message][0]) * _LIMB + limb) % MODULUS
                    if amount < _AMOUNT:
                        changed[column] = amount % _LIMB
                        break

    def _columns(self, node: int) -> list[int]:
        return [c for op, c in support(self._target.trace.graph, node) if op is Op.LOCAL]

    def _values(self, row: int, tried: Sequence[Changed], wanted: Sequence[int]) -> dict[int, NDArray[Any]]:
        """Values of expressions in a row with each of these changes."""
        trace = self._target.trace
        at = np.full(len(tried), row)
        local, following = trace.matrix[at], trace.matrix[(at + 1) % trace.height]
        for n, changed in enumerate(tried):
            for column, value in changed.items():
                local[n, column] = value
        return evaluate(trace.graph, Rows(local, following, *trace.ends(at), trace.public), wanted)
