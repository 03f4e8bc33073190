"""Mutations of permutation messages that keep their bus balanced: changed at both ends, exchanged between two rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus, BusKind
from circuits.air.evaluate import Rows, evaluate
from circuits.air.expression import Op
from circuits.air.field import MODULUS
from circuits.air.mutation.judge import PUBLIC_ROW, Edit, Judge, TableRows, support
from circuits.air.mutation.rows import Mutation, Target

#: Pairs of messages per pair of interactions, and cells tried to move one element of a message.
_PAIRS = 3
_MOVERS = 3

#: One side of a message: table, interaction, row.
End = tuple[int, int, int]
#: A cell: table, row (or `PUBLIC_ROW`), column.
Place = tuple[int, int, int]


class Matches:
    """Senders and receivers of equal messages on the permutation buses."""

    def __init__(self, judge: Judge) -> None:
        self._receivers: dict[tuple[int, bytes], list[End]] = {}
        self._sending: dict[tuple[int, bytes], list[End]] = {}
        self._senders: dict[tuple[int, int], list[tuple[int, bytes, End]]] = {}
        for t, rows in judge.present():
            for i, interaction in enumerate(rows.interactions):
                if interaction.bus.kind is not BusKind.PERMUTATION:
                    continue
                for row in np.flatnonzero(rows.counts[i]).tolist():
                    message = rows.messages[i][row].tobytes()
                    if rows.counts[i][row] == 1:
                        self._senders.setdefault((t, i), []).append((interaction.bus.index, message, (t, i, row)))
                        self._sending.setdefault((interaction.bus.index, message), []).append((t, i, row))
                    else:
                        self._receivers.setdefault((interaction.bus.index, message), []).append((t, i, row))

    def of(self, table: int, rng: np.random.Generator) -> list[tuple[End, End]]:
        """A few pairs (sender, receiver) for every two interactions that meet, one of them of this table."""
        found = {key: pairs for key, pairs in self._met.items() if table in (key[0], key[2])}
        chosen = []
        for pairs in found.values():
            picked = rng.choice(len(pairs), min(_PAIRS, len(pairs)), replace=False)
            chosen += [pairs[k] for k in sorted(picked.tolist())]
        return chosen

    @cached_property
    def _met(self) -> dict[tuple[int, int, int, int], list[tuple[End, End]]]:
        """All pairs (sender, receiver), two receivers of a sender at most, by the two interactions."""
        found: dict[tuple[int, int, int, int], list[tuple[End, End]]] = {}
        for (t, i), sent in self._senders.items():
            for bus, message, sender in sent:
                for receiver in self._receivers.get((bus, message), ())[:2]:
                    found.setdefault((t, i, receiver[0], receiver[1]), []).append((sender, receiver))
        return found

    def other_end(self, bus: int, message: NDArray[np.uint32], *, sent: bool) -> End | None:
        """A receiver of a message that is sent, or a sender of one that is received."""
        found = (self._receivers if sent else self._sending).get((bus, message.tobytes()))
        return found[0] if found else None


def message_mutations(judge: Judge, matches: Matches, target: Target) -> Iterator[Mutation]:
    """All mutations of the table's permutation messages."""
    pairs = matches.of(target.number, target.rng)
    exchanges = list(_exchanges(target, pairs))
    ends = {end for pair in (*pairs, *exchanges) for end in pair}
    movers = _Movers(judge, {end: range(judge.table(end[0]).interactions[end[1]].bus.width) for end in ends})
    for sender, receiver in pairs:
        yield from _both_ends(judge, movers, target, sender, receiver)
    for a, b in exchanges:
        yield from _exchanged(target, movers, a, b)


def _both_ends(judge: Judge, movers: _Movers, target: Target, sender: End, receiver: End) -> Iterator[Mutation]:
    """A message changed alike at the sender and at the receiver: the bus cannot notice, so something else must."""
    bus = judge.table(sender[0]).interactions[sender[1]].bus
    for k, name in enumerate(_element_names(bus)):
        for delta in (1, MODULUS - 1, int(target.rng.integers(2, MODULUS))):
            for a in movers.of(sender, k):
                for b in movers.of(receiver, k):
                    edits = _moved(judge, (a, b), delta)
                    if not edits:
                        continue
                    cells = [judge.table(t).cell(row, column) for t, row, column, _ in edits]
                    places = [
                        f"{judge.table(t).table.name}.{cell.name}" + ("" if row == PUBLIC_ROW else f" in row {row}")
                        for (t, row, _, _), cell in zip(edits, cells, strict=True)
                    ]
                    # A value that may be chosen at one end is only passed on to the other.
                    reason = next((cell.column.free for cell in cells if cell.column.free), None)
                    description = f"{bus.name}.{name} moved by {' and '.join(places)}"
                    yield Mutation("both ends", sender[0], sender[2], description, edits, reason)


def followed(judge: Judge, matches: Matches, mutations: Sequence[Mutation]) -> Iterator[Mutation]:
    """The same mutations with other rows following: at the other end of every message that changes, cells move alike.

    Messages that the other rows send on may change in turn, to be followed again. Left out are mutations of which
    nothing can follow: no cell moves the message, or two messages move a cell differently.
    """
    told = _told(judge, matches, mutations)
    elements: dict[End, set[int]] = defaultdict(set)
    for moves in told:
        for end, k, _ in moves:
            elements[end].add(k)
    movers = _Movers(judge, elements)
    for m, moves in zip(mutations, told, strict=True):
        edits: dict[Place, int] = {(t, row, column): value for t, row, column, value in m.edits}
        for end, k, delta in moves:
            places = [(place, slope) for place, slope in movers.of(end, k) if place[1] == end[2]]
            if not places:
                break
            place, slope = places[0]
            old = int(judge.table(place[0]).matrix[place[1:]])
            new = (old + delta * pow(slope, -1, MODULUS)) % MODULUS
            if edits.setdefault(place, new) != new:
                break
        else:
            if len(edits) == len(m.edits):
                continue
            cells = [judge.table(t).cell(row, column) for t, row, column in edits]
            reason = next((cell.column.free for cell in cells if cell.column.free), None)
            result = tuple((*place, value) for place, value in edits.items())
            description = m.description if m.kind == "followed" else f"{m.kind}: {m.description}"
            yield Mutation("followed", m.table, m.row, description, result, reason, provided=m.provided)


def _told(judge: Judge, matches: Matches, mutations: Sequence[Mutation]) -> list[list[tuple[End, int, int]]]:
    """For each mutation the other ends of all messages it changes: end, element, and by how much that moves."""
    found: list[list[tuple[End, int, int]]] = [[] for _ in mutations]
    for t in {edit[0] for m in mutations for edit in m.edits}:
        rows = judge.table(t)
        edits = [
            (n, row, column, value)
            for n, m in enumerate(mutations)
            for table, row, column, value in m.edits
            if table == t and row != PUBLIC_ROW
        ]
        edited = {(n, row) for n, row, _, _ in edits}
        places = sorted(edited | {(n, (row - 1) % rows.height) for n, row in edited})
        if not places:
            continue
        at = np.array([row for _, row in places], dtype=np.int64)
        content = Rows(rows.matrix[at], rows.matrix[(at + 1) % rows.height], *rows.ends(at), rows.public)
        index = {place: i for i, place in enumerate(places)}
        for n, row, column, value in edits:
            content.local[index[n, row], column] = value
            content.next[index[n, (row - 1) % rows.height], column] = value
        permutations = [n for n, i in enumerate(rows.interactions) if i.bus.kind is BusKind.PERMUTATION]
        wanted = [e.index for n in permutations for e in (rows.interactions[n].count, *rows.interactions[n].message)]
        values = evaluate(rows.graph, content, wanted)
        for number in permutations:
            interaction = rows.interactions[number]
            counts, old = rows.counts[number][at], rows.messages[number][at]
            message = np.stack([values[e.index] for e in interaction.message], axis=1).astype(np.uint32)
            speaks = (counts != 0) & (values[interaction.count.index] == counts)
            for i in np.flatnonzero(speaks & (message != old).any(axis=1)).tolist():
                n, _ = places[i]
                end = matches.other_end(interaction.bus.index, old[i], sent=counts[i] == 1)
                if end is None or (end[0] == t and (n, end[2]) in edited):
                    continue  # it follows already, or is to be judged as it is
                for k in np.flatnonzero(message[i] != old[i]).tolist():
                    found[n].append((end, k, (int(message[i, k]) - int(old[i, k])) % MODULUS))
    return found


def _moved(judge: Judge, ends: Sequence[tuple[Place, int]], delta: int) -> tuple[Edit, ...]:
    """The edits that move an element by `delta` at each end; none if both would change one cell differently."""
    values: dict[Place, int] = {}
    for place, slope in ends:
        t, row, column = place
        rows = judge.table(t)
        old = int(rows.public[column] if row == PUBLIC_ROW else rows.matrix[row, column])
        new = (old + delta * pow(slope, -1, MODULUS)) % MODULUS
        if values.setdefault(place, new) != new:
            return ()
    return tuple((*place, new) for place, new in values.items())


def _exchanges(target: Target, pairs: Sequence[tuple[End, End]]) -> Iterator[tuple[End, End]]:
    """Two rows with different messages on one interaction: of every interaction a few, neighbours on the bus first.

    A row that takes what it sent itself and leaves its own token to its successor is the lie that time order prevents.
    """
    t, rows = target.number, target.trace
    for i, interaction in enumerate(rows.interactions):
        if interaction.bus.kind is not BusKind.PERMUTATION:
            continue
        active = np.flatnonzero(rows.counts[i]).tolist()
        if len(active) < 2:
            continue
        meeting = [(a[2], b[2]) for a, b in pairs if a[0] == b[0] == t and i in (a[1], b[1])]
        others = [tuple(target.rng.choice(active, 2, replace=False).tolist()) for _ in range(_PAIRS)]
        for a, b in dict.fromkeys((*meeting, *others)):
            if a != b and a in active and b in active and (rows.messages[i][a] != rows.messages[i][b]).any():
                yield (t, i, a), (t, i, b)


def _exchanged(target: Target, movers: _Movers, a: End, b: End) -> Iterator[Mutation]:
    """Each of the two rows takes the other's message, in the cells that move it."""
    interaction = target.trace.interactions[a[1]]
    messages = target.trace.messages[a[1]]
    edits: dict[Place, int] = {}
    for here, there in ((a, b), (b, a)):
        for k in range(interaction.bus.width):
            delta = (int(messages[there[2], k]) - int(messages[here[2], k])) % MODULUS
            if not delta:
                continue
            own = [(place, slope) for place, slope in movers.of(here, k) if place[:2] == (here[0], here[2])]
            if not own:
                return
            place, slope = own[0]
            old = int(target.matrix[place[1:]])
            edits[place] = (old + delta * pow(slope, -1, MODULUS)) % MODULUS
    result = tuple((*place, new) for place, new in edits.items())
    rows = target.matrix[[a[2], b[2]]].copy()
    for _, row, column, new in result:
        rows[0 if row == a[2] else 1, column] = new
    if (rows[::-1] == target.matrix[[a[2], b[2]]]).all():
        return  # exactly the two rows swapped, which is tried as such
    columns = sorted({column for _, _, column, _ in result})
    yield Mutation(
        "exchanged messages",
        target.number,
        a[2],
        f"{interaction.bus.name} message exchanged with row {b[2]}",
        result,
        target.free(*columns),
    )


def _element_names(bus: Bus) -> list[str]:
    names: list[str] = []
    for f in bus.fields:
        names += [f.name] if f.size == 1 else [f"{f.name}[{i}]" for i in range(f.size)]
    return names


class _Movers:
    """The cells that move an element of a message, with their slopes, found numerically."""

    def __init__(self, judge: Judge, elements: Mapping[End, Collection[int]]) -> None:
        """`elements`: which ones of which messages."""
        self._found: dict[tuple[End, int], list[tuple[Place, int]]] = {}
        for t, rows in judge.present():
            self._search(t, rows, {end: elements[end] for end in sorted(elements) if end[0] == t})

    def of(self, end: End, element: int) -> list[tuple[Place, int]]:
        """At most `_MOVERS` places whose change moves this element of the message, each with its slope."""
        return self._found.get((end, element), [])[:_MOVERS]

    def _search(self, t: int, rows: TableRows, elements: Mapping[End, Collection[int]]) -> None:
        leaves: dict[int, list[tuple[Op, int]]] = {}
        trials: list[tuple[End, int, Op, int]] = []
        for end, moved in elements.items():
            for k in sorted(moved):
                expression = rows.interactions[end[1]].message[k]
                if expression.index not in leaves:
                    # Twice as many as needed: some may have slope 0 in this row.
                    leaves[expression.index] = support(rows.graph, expression.index)[: 2 * _MOVERS]
                trials += [(end, k, op, column) for op, column in leaves[expression.index]]
        wanted = {rows.interactions[i].message[k].index for (_, i, _), moved in elements.items() for k in moved}
        for start in range(0, len(trials), rows.block):
            block = trials[start : start + rows.block]
            at = np.array([end[2] for end, *_ in block])
            local, following = rows.matrix[at], rows.matrix[(at + 1) % rows.height]
            public = np.tile(rows.public, (len(block), 1))
            changed = {Op.LOCAL: local, Op.NEXT: following, Op.PUBLIC: public}
            for n, (_, _, op, column) in enumerate(block):
                changed[op][n, column] = (int(changed[op][n, column]) + 1) % MODULUS
            content = Rows(local, following, *rows.ends(at), public)
            values = evaluate(rows.graph, content, wanted)
            for n, (end, k, op, column) in enumerate(block):
                value = values[rows.interactions[end[1]].message[k].index]
                slope = (int(value[n]) - int(rows.messages[end[1]][end[2], k])) % MODULUS
                if slope:
                    row = {Op.LOCAL: end[2], Op.NEXT: (end[2] + 1) % rows.height, Op.PUBLIC: PUBLIC_ROW}[op]
                    self._found.setdefault((end, k), []).append(((t, row, column), slope))
