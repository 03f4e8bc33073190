"""Lies about what crosses a cut: what one part of a run leaves open and the next one finds, and cells on both sides.

Whatever is changed, everything else follows as far as a liar can have it: what the rows of a part then leave open is
carried on, the segments state the hashes of what they carry, tables that answer lookups answer as often as they are
asked, and functions answer whatever is true. All segments of the run are judged together, and the verifier compares
them. A lie is a sequence of `Change`s:

- `part K table NAME`: a cell of a filled table, or, in row -1, a public value.
- `carry K both`, `carry K out`, `carry K in`: a message that crosses the cut behind part K, for both segments, only for
  the one that leaves it open, or only for the one that finds it. `row` is its place among them; `column` what is
  changed: `count`, an element of the `message`, its `bus` (the place in `CARRIED`), the bits `out` and `real`; or it is
  `copied` (to this place, from the place `value`) or `dropped`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from circuits.air.bus import Bus, BusKind
from circuits.air.checker import BusFinding, Finding, check_changes, net_messages
from circuits.air.evaluate import NumpyAlgebra, Rows, evaluate
from circuits.air.expression import Op
from circuits.air.field import MODULUS, Matrix
from circuits.air.mutation.judge import PUBLIC_ROW, Objection, support
from circuits.air.table import Table
from circuits.carry import CARRIED, blocks_of
from circuits.component import Answering
from circuits.frames.frames import Frames
from circuits.segment import FilledSegment, Segment
from circuits.widths import DIGEST
from scripts.campaign.carried import NAMES, Entry, carried_by, with_carried
from scripts.campaign.chaining import refused, stating
from scripts.campaign.changes import Change, apply, cells, other_value, random_changes
from scripts.campaign.lies import claimed, named, other_tables
from scripts.campaign.target import Honest, is_function

#: Findings of a bus at most, beyond which the change counts as rejected.
_LIMIT = 256
#: Rows at the other ends of a carried message at most that change with it.
_ENDS = 4
#: Tries to find a message that a lie can be about.
_TRIES = 40
_SIDES = ("both", "out", "in")
#: Public values of a part and of the next one that are to meet: table and names; and digests that are.
_ENDS_OF_PARTS = (("segment", "time_out", "time_in"), ("frame", "following", "before"))
_DIGESTS = ("carry", "access", "receipts")

#: A message on a bus of `CARRIED`.
_Message = tuple[int, tuple[int, ...]]
#: Where a message is said: table, interaction, row.
_End = tuple[int, int, int]


class Crossing:
    """A run of several segments, and lies about it.

    Raises (when made):
        ValueError: the target rejects its honest segments.
    """

    def __init__(self, honest: Honest) -> None:
        self.honest = honest
        self.parts = [honest.at(number) for number in range(len(honest.parts))]
        for part in self.parts:
            part.judge  # noqa: B018 - raises where it is rejected
        if found := refused(honest.parts, honest.parts, honest.target.trusts):
            raise ValueError(f"honest segments are refused: {', '.join(sorted(found))}")
        self._lists = [carried_by(part) for part in honest.parts]
        self._tables = {c.table.name: c.table for c in honest.target.components}
        self._buses = {i.bus.name: i.bus for table in self._tables.values() for i in table.air.interactions}
        cuts = range(len(self.parts) - 1)
        self._first = [lie for cut in cuts for names in _ENDS_OF_PARTS for lie in self._statings(cut, names)]
        self._known: dict[tuple[int, str], set[bytes]] = {}
        self._ends: dict[tuple[int, int], dict[bytes, list[_End]]] = {}

    # What follows a lie.

    def told(self, changes: Sequence[Change]) -> tuple[FilledSegment, ...]:
        """The segments of a liar; function tables are the honest ones (see `objections`).

        Raises:
            LookupError: there is nothing to change.
        """
        of_cells: dict[int, dict[str, list[Change]]] = defaultdict(lambda: defaultdict(list))
        of_carry: dict[tuple[int, str], list[Change]] = defaultdict(list)
        stated: dict[int, list[Change]] = defaultdict(list)
        for change in changes:
            kind, part_name, *name = change.place.split(" ")
            place = int(part_name)
            if not 0 <= place < len(self.parts):
                raise LookupError(f"there is no such part: {change}")
            if kind == "carry":
                of_carry[place, name[0]].append(change)
            elif change.row == PUBLIC_ROW:
                stated[place].append(change)
            else:
                of_cells[place][name[1]].append(change)
        segments: list[FilledSegment] = []
        common = self._lists[0][0]
        for number, part in enumerate(self.honest.parts):
            before, after = self._lists[number]
            found = _changed(common, of_carry[number - 1, "in"])
            traces, difference = self._altered(part, of_cells[number])
            for one, sign in ((found, 1), (before, -1)):
                for entry in one:
                    difference[entry.bus, entry.message] += sign * entry.effect
            left: list[Entry] = []
            if number + 1 < len(self.parts):
                both = _changed(_carried_on(after, difference), of_carry[number, "both"])
                left = _changed(both, of_carry[number, "out"])
                common = [replace(entry, out=1 - entry.out) for entry in both]
            segment = replace(part, traces=traces)
            if (found, left) != (before, after):
                segment = with_carried(self._tables, segment, (found, left))
            elif not of_cells[number]:
                segment = part
            for change in stated[number]:
                segment = stating(segment, change.place.split(" ")[-1], change.column, change.value)
            segments.append(segment)
        return tuple(segments)

    def _altered(
        self, part: FilledSegment, of_cells: dict[str, list[Change]]
    ) -> tuple[list[Matrix | None], Counter[_Message]]:
        """The tables with other cells, and what that changes on the buses that are carried."""
        traces, names = list(part.traces), part.circuit.names
        old: list[tuple[Table, Matrix]] = []
        new: list[tuple[Table, Matrix]] = []
        for name, of_table in of_cells.items():
            if name not in names or (matrix := traces[names.index(name)]) is None:
                raise LookupError(f"there is no table {name}")
            altered = matrix.copy()
            try:
                apply(cells(self._tables[name], altered), of_table)
            except KeyError as error:
                raise LookupError(f"there is no column {error} of {name}") from error
            traces[names.index(name)] = altered
            if name not in (Segment.name, *NAMES):
                old.append((self._tables[name], matrix))
                new.append((self._tables[name], altered))
        buses = {bus.index: bus for bus in CARRIED}
        nets = net_messages(new, buses, {i: (m, -c) for i, (m, c) in net_messages(old, buses, {}).items()})
        difference: Counter[_Message] = Counter()
        for number, bus in enumerate(CARRIED):
            for message, count in zip(*(x.tolist() for x in nets.get(bus.index, ())), strict=True):
                difference[number, tuple(message)] += count
        return traces, difference

    # Who objects.

    def objections(self, segments: Sequence[FilledSegment]) -> set[Objection]:
        """Who rejects the segments of a liar: the verifier by public values, else constraints and buses of any part."""
        known = refused(self.honest.parts, segments, self.honest.target.trusts)
        if known:
            return {Objection("public values", name) for name in known}
        found: list[Finding] = []
        for number, (part, segment) in enumerate(zip(self.honest.parts, segments, strict=True)):
            if segment is part:
                continue
            changes = check_changes(
                self.honest.target.circuit, part.traces, segment.traces, part.public_lists, segment.public_lists,
                limit=_LIMIT, algebra=NumpyAlgebra(),
            )  # fmt: skip
            found += [one for one in changes if not isinstance(one, BusFinding) or self._permutes(one)]
            if not found:
                found += self._unanswered(number, [one for one in changes if isinstance(one, BusFinding)])
        return named(found)

    def _permutes(self, found: BusFinding) -> bool:
        return self._buses[found.bus].kind is BusKind.PERMUTATION

    def _unanswered(self, number: int, lookups: Sequence[BusFinding]) -> list[BusFinding]:
        """Lookups that are made more or less often than before, and are neither answered so often nor true."""
        of_bus: dict[str, list[BusFinding]] = defaultdict(list)
        for one in lookups:
            of_bus[one.bus].append(one)
        found = []
        for name, asked in of_bus.items():
            bus, known = self._buses[name], self._answers(number, self._buses[name])
            elements = [[element for field in one.message.values() for element in field] for one in asked]
            messages = np.array(elements, dtype=np.uint32)
            open_ = [n for n, message in enumerate(messages) if message.tobytes() not in known]
            true = self._true(bus, messages[open_]) if open_ else set()
            found += [asked[n] for n in open_ if messages[n].tobytes() not in true]
            if len(asked) >= _LIMIT:
                found += asked[:1]  # what comes behind it nobody has looked at
        return found

    def _true(self, bus: Bus, messages: Matrix) -> set[bytes]:
        """What the table of a function answers that is asked these messages (n, width)."""
        found: set[bytes] = set()
        for component in self.honest.target.components:
            if isinstance(component, Answering) and component.buses == (bus,) and is_function(component.table):
                try:
                    matrix = component.answer(self.honest.execution, messages)
                except (ArithmeticError, LookupError, ValueError):  # what a filler makes of nonsense
                    continue
                if matrix is not None:
                    said = net_messages([(component.table, matrix)], {bus.index: bus}, {}).get(bus.index)
                    found |= {message.tobytes() for message in said[0]} if said else set()
        return found

    def _answers(self, number: int, bus: Bus) -> set[bytes]:
        """What the tables of a part answer, or could, but for what it carries."""
        if (number, bus.name) not in self._known:
            found = self._known[number, bus.name] = set()
            for _, rows in self.parts[number].judge.present():
                for k, interaction in enumerate(rows.interactions):
                    if interaction.provides and interaction.bus == bus and rows.table.name not in NAMES:
                        found.update(message.tobytes() for message in rows.messages[k][rows.providable(k)])
        return self._known[number, bus.name]

    def outcome(self, segments: Sequence[FilledSegment]) -> str | None:
        """What an accepted lie amounts to, as `lies.outcome`.

        What is carried is no statement, whatever it is, as long as both segments carry the same, and the second one
        begins at the time, and with the frame, at which the first one ends.
        """
        for before, after in pairwise(segments):
            if not _meet(before, after):
                return "a gap"
            if _content(carried_by(before)[1]) != _content(carried_by(after)[0]):
                return "another carry"
        if claimed(self.honest.parts, segments):
            return "another statement"
        others = other_tables(self.honest, segments, counts=False) - {Segment.name, *NAMES}
        return "another witness" if others else None

    # Where a lie can be told.

    def random_lie(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """A lie at random, after those about the ends of parts; nothing if there is none of the kind that is chosen."""
        if self._first:
            return self._first.pop()
        kinds: dict[Callable[[np.random.Generator], tuple[Change, ...]], float] = {
            self._across: 0.2, self._one_sided: 0.12, self._probe: 0.25, self._beside: 0.06, self._carry_lie: 0.12,
            self._padding: 0.06, self._stated: 0.09, self._cells: 0.1,
        }  # fmt: skip
        chosen = int(rng.choice(len(kinds), p=list(kinds.values())))
        return list(kinds)[chosen](rng)

    def _cut(self, rng: np.random.Generator) -> int:
        """The part before a cut that something crosses, if there is one."""
        crossed = [n for n, (_, after) in enumerate(self._lists[:-1]) if after]
        return int(rng.choice(crossed or range(len(self.parts) - 1)))

    def _across(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """A carried message is another one, and so are the rows that say it on both sides."""
        cut = self._cut(rng)
        found = self._movable(rng, cut, range(len(self.parts)))
        if found is None:
            return ()
        _, _, _, changes = found
        return changes

    def _one_sided(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """A message is another one behind the cut, and so are the rows there that say it."""
        cut = self._cut(rng)
        found = self._movable(rng, cut, range(cut + 1, len(self.parts)))
        if found is None:
            return ()
        row, element, value, changes = found
        return (Change(f"carry {cut} in", row, "message", element, value), *changes)

    def _movable(
        self, rng: np.random.Generator, cut: int, parts: range
    ) -> tuple[int, int, int, tuple[Change, ...]] | None:
        """A message, an element of it, what that is said to be, and cells of these parts that make it so."""
        entries = self._lists[cut][1]
        for _ in range(_TRIES if entries else 0):
            # Buses with few messages as often as those with many.
            bus = int(rng.choice(sorted({entry.bus for entry in entries})))
            row = int(rng.choice([n for n, entry in enumerate(entries) if entry.bus == bus]))
            element = int(rng.integers(CARRIED[bus].width))
            message = entries[row].message
            ends = [(part, end) for part in parts for end in self._said(part, bus, message)]
            if not 0 < len(ends) <= _ENDS:
                continue
            others = np.array([entry.message[element] for entry in entries if entry.bus == bus])
            value = other_value(rng, message[element], others, MODULUS)
            changes = [self._moved(rng, part, end, element, value - message[element]) for part, end in ends]
            if all(changes):
                return row, element, value, tuple(change for change in changes if change)
        return None

    def _said(self, part: int, bus: int, message: tuple[int, ...]) -> list[_End]:
        """Where a part says a message, but for what it carries."""
        if (part, bus) not in self._ends:
            found: dict[bytes, list[_End]] = defaultdict(list)
            for t, rows in self.parts[part].judge.present():
                for k, interaction in enumerate(rows.interactions):
                    if interaction.bus == CARRIED[bus] and rows.table.name not in NAMES:
                        for row in np.flatnonzero(rows.counts[k]).tolist():
                            found[rows.messages[k][row].tobytes()].append((t, k, row))
            self._ends[part, bus] = dict(found)
        return self._ends[part, bus].get(np.array(message, dtype=np.uint32).tobytes(), [])

    def _moved(self, rng: np.random.Generator, part: int, end: _End, element: int, by: int) -> Change | None:
        """A cell of the row that moves an element of what it says; None if there is none, or a free one does."""
        t, number, row = end
        rows = self.parts[part].judge.table(t)
        expression = rows.interactions[number].message[element]
        columns = [c for op, c in support(rows.graph, expression.index) if op is Op.LOCAL]
        if not columns:
            return None
        column = int(rng.choice(columns))
        local = np.repeat(rows.matrix[row : row + 1], 2, axis=0)
        local[1, column] = (int(local[1, column]) + 1) % MODULUS
        at = np.array([row, row])
        content = Rows(local, rows.matrix[(at + 1) % rows.height], *rows.ends(at), rows.public)
        old, new = evaluate(rows.graph, content, NumpyAlgebra(), [expression.index])[expression.index].tolist()
        slope, cell = (new - old) % MODULUS, rows.cell(row, column)
        if not slope or cell.column.free:
            return None
        value = (int(local[0, column]) + by * pow(slope, -1, MODULUS)) % MODULUS
        return Change(f"part {part} table {rows.table.name}", row, cell.name, 0, value)

    def _probe(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """Messages that come to nothing on their bus, carried beside the others, and not the same on both sides."""
        cut = self._cut(rng)
        entries = self._lists[cut][1]
        if not entries:
            return ()
        row = int(rng.integers(len(entries)))
        both, side = f"carry {cut} both", f"carry {cut} {rng.choice(_SIDES)}"
        # Two of them come first: neither bus nor number of the others change.
        added = (Change(both, 0, "copied", 0, row), Change(both, 0, "copied", 0, 0))
        kind = str(rng.choice(["count", "message", "bus", "out", "again", "real"]))
        if kind in ("count", "real"):
            once = tuple(Change(both, n, "count", 0, value) for n, value in enumerate((1, MODULUS - 1)))
            if kind == "count":
                return (*added, *once, *(Change(side, n, "count", 0, v) for n, v in enumerate((2, MODULUS - 2))))
            return (*added, *once, *(Change(side, n, "real", 0, 0) for n in range(2)))
        nothing = tuple(Change(both, n, "count", 0, 0) for n in range(2))
        bus = entries[row].bus
        match kind:
            case "message":
                element = int(rng.integers(CARRIED[bus].width))
                others = np.array([entry.message[element] for entry in entries if entry.bus == bus])
                value = other_value(rng, entries[row].message[element], others, MODULUS)
                last = Change(side, 0, "message", element, value)
            case "bus":
                last = Change(side, 0, "bus", 0, int(rng.choice(_of_size(bus))))
            case "out":
                last = Change(side, 0, "out", 0, int(rng.integers(2)))
            case _:
                last = Change(side, int(rng.integers(len(entries))), "copied", 0, 0)
        return (*added, *nothing, last)

    def _beside(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """The part behind the cut finds a message more, of no account, and states what it should all the same."""
        cut = self._cut(rng)
        entries = self._lists[cut][1]
        if not entries:
            return ()
        place, row = f"carry {cut} in", int(rng.integers(len(entries) + 1))
        added = (Change(place, row, "copied", 0, int(rng.integers(len(entries)))), Change(place, row, "count", 0, 0))
        digest = self.honest.parts[cut].public_values.carry_out.tolist()
        segment = f"part {cut + 1} table {Segment.name}"
        stated = (Change(segment, PUBLIC_ROW, f"carry_in[{i}]", 0, value) for i, value in enumerate(digest))
        return (*added, *stated)

    def _carry_lie(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """A message is another one, is carried another time or not at all, as far as the segments say."""
        cut = self._cut(rng)
        entries = self._lists[cut][1]
        if not entries:
            return ()
        place, row = f"carry {cut} {rng.choice(_SIDES)}", int(rng.integers(len(entries)))
        entry = entries[row]
        match str(rng.choice(["count", "message", "bus", "out", "real", "copied", "dropped"])):
            case "count":
                value = int(rng.choice([entry.count + 1, entry.count - 1, -entry.count, 2 * entry.count, 0])) % MODULUS
                return (Change(place, row, "count", 0, value),)
            case "message":
                element = int(rng.integers(len(entry.message)))
                others = np.array([other.message[element] for other in entries if other.bus == entry.bus])
                value = other_value(rng, entry.message[element], others, MODULUS)
                return (Change(place, row, "message", element, value),)
            case "bus":
                return (Change(place, row, "bus", 0, int(rng.choice(_of_size(entry.bus)))),)
            case "out" | "real" as column:
                return (Change(place, row, column, 0, int(rng.integers(2))),)
            case "copied":
                return (Change(place, int(rng.integers(len(entries) + 1)), "copied", 0, row),)
            case _:
                return (Change(place, row, "dropped", 0, 0),)

    def _padding(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """Padding carries a message and takes it again, or something that a part answers."""
        cut = self._cut(rng)
        entries = self._lists[cut][1]
        if not entries:
            return ()
        place = f"carry {cut} {rng.choice(_SIDES)}"
        copied = Change(place, len(entries), "copied", 0, int(rng.integers(len(entries))))
        first = (copied, Change(place, len(entries), "real", 0, 0))
        if rng.random() < 1 / 2:
            return first
        once = (Change(place, len(entries), "count", 0, 1), Change(place, len(entries), "copied", 0, len(entries)))
        return (*first, *once, Change(place, len(entries), "count", 0, MODULUS - 1))

    def _stated(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """A public value of a part is another one, and what the part behind the cut states is too, perhaps."""
        pairs = [
            *(("segment", f"{name}_out[{i}]", f"{name}_in[{i}]") for name in _DIGESTS for i in range(DIGEST)),
            ("segment", "end_operation", "first_operation"),
            *_ENDS_OF_PARTS,
        ]
        found = self._statings(int(rng.integers(len(self.parts) - 1)), pairs[int(rng.integers(len(pairs)))])
        return found[int(rng.integers(len(found)))] if found else ()

    def _statings(self, cut: int, names: tuple[str, str, str]) -> list[tuple[Change, ...]]:
        """Lies about a public value, by its table and its names before and behind a cut: of one side, of both."""
        table, *both = names
        found: list[tuple[Change, ...]] = []
        for step in (1, -1):
            changes = []
            for number, name in enumerate(both, start=cut):
                rows = next((r for _, r in self.parts[number].judge.present() if r.table.name == table), None)
                if rows is not None:
                    old = int(rows.public[rows.table.public.names().index(name)])
                    place = f"part {number} table {table}"
                    changes.append(Change(place, PUBLIC_ROW, name, 0, (old + step) % MODULUS))
            # 0 is what a segment may state of an end that nobody asks about.
            found += [tuple(changes), *((c,) for c in changes), *((c._replace(value=0),) for c in changes)]
        return [lie for lie in found if lie]

    def _cells(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """Cells or rows of some table of a part; what its rows then leave open is carried on."""
        number = int(rng.integers(len(self.parts)))
        present = [rows for _, rows in self.parts[number].judge.present()]
        rows = present[int(rng.integers(len(present)))]
        place = f"part {number} table {rows.table.name}"
        if rng.random() < 1 / 3:
            moved = self._row_elsewhere(rng, number, rows.table)
            if moved:
                return moved
        return random_changes(rng, place, cells(rows.table, rows.matrix), rows.table)

    def _row_elsewhere(self, rng: np.random.Generator, number: int, table: Table) -> tuple[Change, ...]:
        """A row is in another part, where padding was; nothing if there is none."""
        others = []
        for other, part in enumerate(self.parts):
            rows = next((r for _, r in part.judge.present() if r.table.name == table.name), None)
            if other != number and rows is not None and table.selector is not None:
                others.append((other, rows))
        if not others:
            return ()
        other, there = others[int(rng.integers(len(others)))]
        here = self.parts[number].judge.table(self.honest.target.circuit.names.index(table.name))
        selector = table.layout.offsets[table.selector]
        real = np.flatnonzero(here.matrix[:, selector])
        padding_here, padding = (np.flatnonzero(rows.matrix[:, selector] == 0) for rows in (here, there))
        if not len(real) or not len(padding) or not len(padding_here):
            return ()
        row, at = int(rng.choice(real)), int(padding[0])
        return (
            *_replaced(f"part {number} table {table.name}", table, row, here.matrix[row], here.matrix[padding_here[0]]),
            *_replaced(f"part {other} table {table.name}", table, at, there.matrix[at], here.matrix[row]),
        )


def _replaced(place: str, table: Table, row: int, old: Any, new: Any) -> Iterator[Change]:
    names = table.layout.names()
    for column in np.flatnonzero(old != new).tolist():
        yield Change(place, row, names[column], 0, int(new[column]))


def _of_size(bus: int) -> list[int]:
    """Other buses on which the same elements, and zeros, would be a message, if the hash did not have the bus."""
    found = [blocks_of(other) == blocks_of(CARRIED[bus]) and other.width >= CARRIED[bus].width for other in CARRIED]
    return [number for number, fits in enumerate(found) if fits and number != bus] or [bus]


def _changed(entries: Sequence[Entry], changes: Sequence[Change]) -> list[Entry]:
    """What is carried, changed."""
    found = list(entries)
    for change in changes:
        if change.column == "copied":
            if not (0 <= change.value < len(found) and 0 <= change.row <= len(found)):
                raise LookupError(f"nothing there: {change}")
            found.insert(change.row, found[change.value])
            continue
        if not 0 <= change.row < len(found):
            raise LookupError(f"nothing there: {change}")
        entry = found[change.row]
        match change.column:
            case "dropped":
                del found[change.row]
                continue
            case "message":
                message = list(entry.message)
                message[change.element] = change.value
                entry = replace(entry, message=tuple(message))
            case "bus":
                width = CARRIED[change.value].width
                message = [*entry.message, *[0] * width][:width]
                entry = replace(entry, bus=change.value, message=tuple(message))
            case "count":
                entry = replace(entry, count=change.value)
            case "out":
                entry = replace(entry, out=change.value)
            case "real":
                entry = replace(entry, real=change.value)
            case _:
                raise LookupError(f"nothing there: {change}")
        found[change.row] = entry
    return found


def _carried_on(after: Sequence[Entry], difference: Counter[_Message]) -> list[Entry]:
    """What a part leaves open whose rows have so much more, or less."""
    found = list(after)
    for (bus, message), count in difference.items():
        if not count % MODULUS:
            continue
        at = next((n for n, entry in enumerate(found) if (entry.bus, entry.message) == (bus, message)), None)
        if at is None:
            at = next((n for n, entry in enumerate(found) if entry.bus > bus), len(found))
            found.insert(at, Entry(bus, count % MODULUS, message, 1))
        elif total := (found[at].count + count) % MODULUS:
            found[at] = replace(found[at], count=total)
        else:
            del found[at]
    return found


def _meet(before: FilledSegment, after: FilledSegment) -> bool:
    """Whether a segment begins where the one before ends, as both state it."""
    out, into = before.public_values, after.public_values
    frames = before.frames[1] == after.frames[0] + 1 or Frames.name not in _present(before)
    return out.time_out == into.time_in and np.array_equal(out.carry_out, into.carry_in) and frames


def _present(segment: FilledSegment) -> set[str]:
    """Names of the tables that it has."""
    return {name for name, trace in zip(segment.circuit.names, segment.traces, strict=True) if trace is not None}


def _content(entries: Sequence[Entry]) -> Counter[tuple[int, int, tuple[int, ...]]]:
    """What a list says, whatever the order."""
    return Counter((entry.bus, entry.count, entry.message) for entry in entries)
