"""Lies about what crosses cuts: what two parts of a run have in common, and cells of both.

Whatever is changed, everything else follows as far as a liar can have it: what the rows of the parts then have too much
or too little of is linked anew, the segments state the hashes of their links, tables that answer lookups answer as
often as they are asked, and functions answer whatever is true. All segments of the run are judged together, and the
verifier compares them. A lie is a sequence of `Change`s:

- `part K table NAME`: a cell of a filled table, or, in row -1, a public value.
- `link I J both`, `link I J low`, `link I J high`: a message of the link of the parts I < J, for both, only for the
  lower one, or only for the higher one. `row` is its place among them; `column` what is changed: `count`, an element of
  the `message`, its `bus` (the place in `CARRIED`), whether it is `real`, which part (`other`) its row names, and
  whether that names the other direction (`turned`); or it is `copied` (to this place, from the place `value`) or
  `dropped`. In row -1 the link itself: how often it is `listed`, as one with which part (`other`), and whether in the
  other direction (`turned`), messages included; or, for both, `through` which other part its messages go: those are
  then in links with that one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from circuits.air.bus import Bus, BusKind
from circuits.air.checker import BusFinding, Finding, check_changes, net_messages
from circuits.air.evaluate import NATIVE, Rows, evaluate
from circuits.air.expression import Op
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import TraceView
from circuits.air.mutation.judge import PUBLIC_ROW, Objection, TableRows, support
from circuits.air.table import Table
from circuits.carry import CARRIED, LINK_TABLE, TABLES, Nets, blocks_of, link_parts
from circuits.component import Answering
from circuits.frames.frames import Frames
from circuits.memory.memory_tables import Memory, MemoryColumns
from circuits.segment import FilledSegment, Segment
from circuits.widths import DIGEST
from scripts.campaign.carried import LINKING, NAMES, Entry, OneSide, linked_hash, links_by, with_links
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
_SIDES = ("both", "low", "high")
#: Public values of a part and of the next one that are to meet: table and names; and digests that are.
_ENDS_OF_PARTS = (
    ("segment", "time_out", "time_in"),
    ("frame", "following", "before"),
    ("memory", "next_frame", "first_frame"),
    ("memory", "next_index", "first_index"),
)
_DIGESTS = ("access", "receipts")
#: What a part states of its memory where no part goes on.
_NOBODY_ASKS = ("asks", "next_frame", "next_index")
#: The row of a link itself.
_LINK_ROW = -1

#: A message on a bus of `CARRIED`.
_Message = tuple[int, tuple[int, ...]]
#: Where a message is said: table, interaction, row.
_End = tuple[int, int, int]
#: Numbers of two parts, the lower one first.
_Pair = tuple[int, int]


@dataclass(frozen=True)
class _Told:
    """A link as it is said to be.

    Attributes:
        entries: its messages.
        listed: how often it is.
        turned: 1: in the other direction.
        other: as one with this part; None: with the part that it is with.
        through: a third part, with which both have its messages in common instead.
    """

    entries: tuple[Entry, ...] = ()
    listed: int = 0
    turned: int = 0
    other: int | None = None
    through: int | None = None

    def of(self, pair: _Pair, side: int) -> list[OneSide]:
        """As the lower part (side 0) or the higher one (side 1) has it."""
        other = pair[1 - side] if self.other is None else self.other
        return [OneSide(other, (1 - side) ^ self.turned, self.entries)] * self.listed


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
        if found := refused(honest.parts, honest.parts, honest.target):
            raise ValueError(f"honest segments are refused: {', '.join(sorted(found))}")
        self._links: dict[_Pair, _Told] = {
            (number, link.other): _Told(link.entries, listed=1)
            for number, part in enumerate(honest.parts)
            for link in links_by(part)
            if link.other > number
        }
        self._tables = {c.table.name: c.table for c in honest.target.components}
        self._buses = {i.bus.name: i.bus for table in self._tables.values() for i in table.air.interactions}
        cuts = range(len(self.parts) - 1)
        self._first = [lie for cut in cuts for names in _ENDS_OF_PARTS for lie in self._statings(cut, names)]
        self._first += [lie for cut in cuts for lie in self._unasked(cut)]
        self._known: dict[tuple[int, int, str], set[bytes]] = {}
        self._ends: dict[tuple[int, int], dict[bytes, list[_End]]] = {}

    # What follows a lie.

    def told(self, changes: Sequence[Change]) -> tuple[FilledSegment, ...]:
        """The segments of a liar; function tables are the honest ones (see `objections`).

        Raises:
            LookupError: there is nothing to change.
        """
        count = len(self.parts)
        of_cells: dict[int, dict[str, list[Change]]] = defaultdict(lambda: defaultdict(list))
        of_links: dict[_Pair, dict[str, list[Change]]] = defaultdict(lambda: defaultdict(list))
        stated: dict[int, list[Change]] = defaultdict(list)
        for change in changes:
            kind, *names = change.place.split(" ")
            if kind == "link":
                low, high, side = int(names[0]), int(names[1]), names[2]
                if not 0 <= low < high < count or side not in _SIDES:
                    raise LookupError(f"there is no such link: {change}")
                of_links[low, high][side].append(change)
                continue
            place = int(names[0])
            if not 0 <= place < count:
                raise LookupError(f"there is no such part: {change}")
            if change.row == PUBLIC_ROW:
                stated[place].append(change)
            else:
                of_cells[place][names[2]].append(change)
        altered = [self._altered(part, of_cells[number]) for number, part in enumerate(self.honest.parts)]
        sides = self._told_links(of_links, [difference for _, difference in altered])
        segments: list[FilledSegment] = []
        for number, part in enumerate(self.honest.parts):
            segment = part if not of_cells[number] else replace(part, traces=altered[number][0])
            own_sides = {pair: told for pair, told in sides.items() if number in pair}
            if any(told[pair.index(number)] != self._links.get(pair, _Told()) for pair, told in own_sides.items()):
                honest_sides = {pair: [link] * 2 for pair, link in self._links.items() if number in pair}
                every = sorted((honest_sides | own_sides).items(), key=lambda one: sum(one[0]) - number)
                links = [one for pair, told in every for one in told[pair.index(number)].of(pair, pair.index(number))]
                segment = with_links(self._tables, segment, links)
            for change in stated[number]:
                segment = stating(segment, change.place.split(" ")[-1], change.column, change.value)
            segments.append(segment)
        return tuple(segments)

    def _told_links(
        self, of_links: Mapping[_Pair, Mapping[str, list[Change]]], differences: Sequence[Counter[_Message]]
    ) -> dict[_Pair, list[_Told]]:
        """Links that are others for one part at least, as both have them.

        Args:
            of_links: what is said of each pair, by side.
            differences: by how much the rows of each part say more of the messages that are carried.
        """
        found: dict[_Pair, list[_Told]] = {}
        more: dict[_Pair, Counter[_Message]] = defaultdict(Counter)
        for pair, own in of_links.items():
            both = _changed(self._links.get(pair, _Told()), own.get("both", ()))
            if both.through is not None:
                if both.through not in range(len(self.parts)) or both.through in pair:
                    raise LookupError(f"there is no third part {both.through}")
                for entry in both.entries:
                    for part, count in zip(pair, (entry.count, -entry.count), strict=True):
                        # Of a link the lower part takes off.
                        low, high = sorted((part, both.through))
                        more[low, high][entry.bus, entry.message] += count if part == low else -count
                both = replace(both, entries=(), through=None)
            found[pair] = [_changed(both, own.get(side, ())) for side in _SIDES[1:]]
            # What one part says alone is made up for in its rows, or not at all.
            for side, number in enumerate(pair):
                for link, sign in ((found[pair][side], 1), (both, -1)):
                    for one in link.of(pair, side):
                        for entry in one.entries:
                            differences[number][entry.bus, entry.message] += sign * one.effect(entry)
        for pair, counts in self._linked_anew(differences).items():
            for message, count in counts.items():
                more[pair][message] += count
        for pair, counts in more.items():
            before = found.get(pair, [self._links.get(pair, _Told())] * 2)
            found[pair] = [_with(link, counts) for link in before]
            if pair not in of_links and not any(link.entries for link in found[pair]):
                found[pair] = [_Told()] * 2
        return found

    def _linked_anew(self, differences: Sequence[Mapping[_Message, int]]) -> dict[_Pair, Counter[_Message]]:
        """By how much counts of links change if the parts have so much more, or less, of some messages."""
        changed = {message for own in differences for message, count in own.items() if count % MODULUS}
        more: dict[_Pair, Counter[_Message]] = defaultdict(Counter)
        totals = [Counter({message: own.get(message, 0) for message in changed}) for own in differences]
        for pair, told in self._links.items():
            for entry in told.entries:
                message = (entry.bus, entry.message)
                if message in changed:
                    more[pair][message] -= entry.count
                    totals[pair[0]][message] += entry.count
                    totals[pair[1]][message] -= entry.count
        for low, links in enumerate(link_parts([_nets(total) for total in totals])):
            for high, link in links.items():
                for bus, of in enumerate(CARRIED):
                    if high > low and of.index in link.counts:
                        counts = link.counts[of.index].tolist()
                        for elements, count in zip(link.messages[of.index].tolist(), counts, strict=True):
                            more[low, high][bus, tuple(elements)] += count
        kept = {pair: Counter({m: c for m, c in found.items() if c % MODULUS}) for pair, found in more.items()}
        return {pair: found for pair, found in kept.items() if found}

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
            if name not in (Segment.name, *LINKING):
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
        known = refused(self.honest.parts, segments, self.honest.target)
        if known:
            return {Objection("public values", name) for name in known}
        found: list[Finding] = []
        for number, (part, segment) in enumerate(zip(self.honest.parts, segments, strict=True)):
            if segment is part:
                continue
            changes = check_changes(
                self.honest.target.circuit, part.traces, segment.traces, part.public_lists, segment.public_lists,
                limit=_LIMIT, algebra=NATIVE,
            )  # fmt: skip
            found += [one for one in changes if not isinstance(one, BusFinding) or self._permutes(one)]
            if not found:
                found += self._unanswered(number, segment, [one for one in changes if isinstance(one, BusFinding)])
        return named(found)

    def _permutes(self, found: BusFinding) -> bool:
        return self._buses[found.bus].kind is BusKind.PERMUTATION

    def _unanswered(self, number: int, segment: FilledSegment, lookups: Sequence[BusFinding]) -> list[BusFinding]:
        """Lookups that are made more or less often than before, and are neither answered so often nor true."""
        of_bus: dict[str, list[BusFinding]] = defaultdict(list)
        for one in lookups:
            of_bus[one.bus].append(one)
        found = []
        for name, asked in of_bus.items():
            bus, known = self._buses[name], self._answers(number, segment, self._buses[name])
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

    def _answers(self, number: int, segment: FilledSegment, bus: Bus) -> set[bytes]:
        """What the tables of a part answer as a liar fills them, or could, but for what it carries."""
        found: set[bytes] = set()
        for t, rows in self.parts[number].judge.present():
            matrix = segment.traces[t]
            if rows.table.name in NAMES or matrix is None:
                continue
            if matrix is self.honest.parts[number].traces[t]:
                if (number, t, bus.name) not in self._known:
                    self._known[number, t, bus.name] = _provided(rows, bus)
                found |= self._known[number, t, bus.name]
            else:
                found |= _provided(TableRows(rows.table, matrix, segment.public_lists[t]), bus)
        return found

    def outcome(self, segments: Sequence[FilledSegment]) -> str | None:
        """What an accepted lie amounts to, as `lies.outcome`.

        What is carried is no statement, whatever it is, as long as both parts of a link carry the same, state it, and
        each part begins at the time, and with the frame and the word, at which the one before ends.
        """
        if any(not _meet(before, after) for before, after in pairwise(segments)):
            return "a gap"
        table = self._tables[LINK_TABLE.name]
        for number, segment in enumerate(segments):
            digests = np.array(list(segment.links.values()), dtype=np.uint32).reshape(-1, DIGEST)
            stated = linked_hash(table, number, list(segment.links), digests)
            if not np.array_equal(segment.public_values.links, stated):
                return "a gap"
        said = [_said_of_links(number, segment) for number, segment in enumerate(segments)]
        if sum((low for low, _ in said), Counter()) != sum((high for _, high in said), Counter()):
            return "another carry"
        if claimed(self.honest.parts, segments):
            return "another statement"
        others = other_tables(self.honest, segments, counts=False) - {Segment.name, *LINKING}
        return "another witness" if others else None

    # Where a lie can be told.

    def random_lie(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """A lie at random, after those about the ends of parts; nothing if there is none of the kind that is chosen."""
        if self._first:
            return self._first.pop()
        kinds: dict[Callable[[np.random.Generator], tuple[Change, ...]], float] = {
            self._across: 0.18, self._one_sided: 0.12, self._probe: 0.24, self._beside: 0.05, self._carry_lie: 0.1,
            self._padding: 0.05, self._listing: 0.08, self._words: 0.05, self._stated: 0.06, self._cells: 0.07,
        }  # fmt: skip
        chosen = int(rng.choice(len(kinds), p=list(kinds.values())))
        return list(kinds)[chosen](rng)

    def _pair(self, rng: np.random.Generator) -> _Pair | None:
        """Two parts with a link; None if there are none."""
        pairs = list(self._links)
        return pairs[int(rng.integers(len(pairs)))] if pairs else None

    def _across(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """A message of a link is another one, and so are the rows that say it in all parts."""
        pair = self._pair(rng)
        found = self._movable(rng, pair, range(len(self.parts))) if pair else None
        if found is None:
            return ()
        _, _, _, changes = found
        return changes

    def _one_sided(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """A message is another one for one of two parts, and so are its rows that say it."""
        pair = self._pair(rng)
        if pair is None:
            return ()
        side = int(rng.integers(2))
        found = self._movable(rng, pair, range(pair[side], pair[side] + 1))
        if found is None:
            return ()
        row, element, value, changes = found
        return (Change(_place(pair, _SIDES[1 + side]), row, "message", element, value), *changes)

    def _movable(
        self, rng: np.random.Generator, pair: _Pair, parts: range
    ) -> tuple[int, int, int, tuple[Change, ...]] | None:
        """A message, an element of it, what that is said to be, and cells of these parts that make it so."""
        entries = self._links[pair].entries
        for _ in range(_TRIES):
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
        old, new = evaluate(rows.graph, content, [expression.index])[expression.index].tolist()
        slope, cell = (new - old) % MODULUS, rows.cell(row, column)
        if not slope or cell.column.free:
            return None
        value = (int(local[0, column]) + by * pow(slope, -1, MODULUS)) % MODULUS
        return Change(f"part {part} table {rows.table.name}", row, cell.name, 0, value)

    def _probe(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """Messages that come to nothing on their bus, carried beside the others, and not the same on both sides."""
        pair = self._pair(rng)
        if pair is None:
            return ()
        entries = self._links[pair].entries
        row = int(rng.integers(len(entries)))
        both, side = _place(pair, "both"), _place(pair, str(rng.choice(_SIDES)))
        # Two of them come first: neither bus nor number of the others change.
        added = (Change(both, 0, "copied", 0, row), Change(both, 0, "copied", 0, 0))
        kind = str(rng.choice(["count", "message", "bus", "turned", "other", "again", "real"]))
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
            case "turned":
                last = Change(side, 0, "turned", 0, 1)
            case "other":
                last = Change(side, 0, "other", 0, self._other(rng))
            case _:
                last = Change(side, int(rng.integers(len(entries))), "copied", 0, 0)
        return (*added, *nothing, last)

    def _other(self, rng: np.random.Generator) -> int:
        """The number of a part that there is, or perhaps not."""
        return int(rng.integers(len(self.parts) + 1))

    def _beside(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """One of two parts has a message more, of no account, and states what it should all the same."""
        pair = self._pair(rng)
        if pair is None:
            return ()
        entries = self._links[pair].entries
        side, row = int(rng.integers(2)), int(rng.integers(len(entries) + 1))
        place = _place(pair, _SIDES[1 + side])
        added = (Change(place, row, "copied", 0, int(rng.integers(len(entries)))), Change(place, row, "count", 0, 0))
        digest = self.honest.parts[pair[side]].public_values.links.tolist()
        segment = f"part {pair[side]} table {Segment.name}"
        stated = (Change(segment, PUBLIC_ROW, f"links[{i}]", 0, value) for i, value in enumerate(digest))
        return (*added, *stated)

    def _carry_lie(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """A message is another one, is carried another time or not at all, as far as the segments say."""
        pair = self._pair(rng)
        if pair is None:
            return ()
        entries = self._links[pair].entries
        place, row = _place(pair, str(rng.choice(_SIDES))), int(rng.integers(len(entries)))
        entry = entries[row]
        match str(rng.choice(["count", "message", "bus", "turned", "other", "real", "copied", "dropped"])):
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
            case "turned":
                return (Change(place, row, "turned", 0, 1),)
            case "other":
                return (Change(place, row, "other", 0, self._other(rng)),)
            case "real":
                return (Change(place, row, "real", 0, 0),)
            case "copied":
                return (Change(place, int(rng.integers(len(entries) + 1)), "copied", 0, row),)
            case _:
                return (Change(place, row, "dropped", 0, 0),)

    def _padding(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """Padding carries a message and takes it again, or something that a part answers."""
        pair = self._pair(rng)
        if pair is None:
            return ()
        entries = self._links[pair].entries
        place = _place(pair, str(rng.choice(_SIDES)))
        copied = Change(place, len(entries), "copied", 0, int(rng.integers(len(entries))))
        first = (copied, Change(place, len(entries), "real", 0, 0))
        if rng.random() < 1 / 2:
            return first
        once = (Change(place, len(entries), "count", 0, 1), Change(place, len(entries), "copied", 0, len(entries)))
        return (*first, *once, Change(place, len(entries), "count", 0, MODULUS - 1))

    def _listing(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """A link is one with another part or in the other direction, is listed more often or not at all.

        Where two parts have nothing in common, or have it in links with a third one, it is one without messages.
        """
        pairs = list(combinations(range(len(self.parts)), 2))
        pair = pairs[int(rng.integers(len(pairs)))]
        both, side = _place(pair, "both"), _place(pair, str(rng.choice(_SIDES)))
        first = () if pair in self._links else (Change(both, _LINK_ROW, "listed", 0, 1),)
        third = [number for number in range(len(self.parts)) if number not in pair]
        if third and not first and rng.random() < 1 / 2:
            first = (Change(both, _LINK_ROW, "through", 0, int(rng.choice(third))),)
        match str(rng.choice(["other", "turned", "listed"])):
            case "other":
                return (*first, Change(side, _LINK_ROW, "other", 0, self._other(rng)))
            case "turned":
                return (*first, Change(side, _LINK_ROW, "turned", 0, 1))
            case _:
                return (*first, Change(side, _LINK_ROW, "listed", 0, 2 * int(rng.integers(2))))

    def _words(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """The words of a part begin one earlier or later, as it states, and the part before, or not."""
        has = [number for number in range(len(self.parts)) if self._rows(number, Memory.name) is not None]
        if not has:
            return ()
        number = int(rng.choice(has))
        rows = self._rows(number, Memory.name)
        assert rows is not None
        old, offsets = rows.matrix, MemoryColumns.offsets
        new = np.roll(old, 1 if rng.random() < 1 / 2 else -1, axis=0)
        if (new[0] == old[-1]).all():
            if old[-1, offsets["real"]]:
                return ()
            new[0] = old[0]
            frame, index = int(old[0, offsets["frame"]]), int(old[0, offsets["index"]])
            new[0, offsets["frame"]] = frame if index else (frame - 1) % MODULUS
            new[0, offsets["index"]] = max(index - 1, 0)
            new[0, offsets["real"]] = 0
            new[0, offsets["listed"]] = 1
        else:
            if old[0, offsets["real"]]:
                return ()
            new[-1] = old[-1]
            new[-1, offsets["frame"]], new[-1, offsets["index"]] = int(old[-1, offsets["frame"]]) + 1, 0
            new[-1, offsets["real"]] = new[-1, offsets["listed"]] = 0
        place = f"part {number} table {Memory.name}"
        changes = [c for row in range(len(old)) for c in _replaced(place, rows.table, row, old[row], new[row])]
        before = max((other for other in has if other < number), default=None)
        for name in ("frame", "index"):
            value = int(new[0, offsets[name]])
            if rng.random() < 2 / 3:
                changes.append(Change(place, PUBLIC_ROW, f"first_{name}", 0, value))
            if before is not None and rng.random() < 2 / 3:
                changes.append(Change(f"part {before} table {Memory.name}", PUBLIC_ROW, f"next_{name}", 0, value))
        if before is not None and rng.random() < 1 / 4:  # which lists all that it has, padding included
            unlisted = np.flatnonzero(self._rows(before, Memory.name).matrix[:, offsets["listed"]] == 0).tolist()
            changes += [Change(f"part {before} table {Memory.name}", row, "listed", 0, 1) for row in unlisted]
        return tuple(changes)

    def _rows(self, number: int, table: str) -> Any:
        """The rows of a table of a part; None if it has none."""
        return next((rows for _, rows in self.parts[number].judge.present() if rows.table.name == table), None)

    def _stated(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """A public value of a part is another one, and what the part behind the cut states is too, perhaps."""
        pairs = [
            *(("segment", f"{name}_out[{i}]", f"{name}_in[{i}]") for name in _DIGESTS for i in range(DIGEST)),
            *(("segment", f"links[{i}]", f"links[{i}]") for i in range(DIGEST)),
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
                rows = self._rows(number, table)
                if rows is not None:
                    old = int(rows.public[rows.table.public.names().index(name)])
                    place = f"part {number} table {table}"
                    changes.append(Change(place, PUBLIC_ROW, name, 0, (old + step) % MODULUS))
            # 0 is what a segment may state of an end that nobody asks about.
            found += [tuple(changes), *((c,) for c in changes), *((c._replace(value=0),) for c in changes)]
        return [lie for lie in found if lie]

    def _unasked(self, cut: int) -> list[tuple[Change, ...]]:
        """The part before a cut states nothing of the next word, as if no part went on."""
        if self._rows(cut, Memory.name) is None:
            return []
        return [tuple(Change(f"part {cut} table {Memory.name}", PUBLIC_ROW, name, 0, 0) for name in _NOBODY_ASKS)]

    def _cells(self, rng: np.random.Generator) -> tuple[Change, ...]:
        """Cells or rows of some table of a part; what its rows then leave open is linked anew."""
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
        for other in range(len(self.parts)):
            rows = self._rows(other, table.name)
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


def _provided(rows: TableRows, bus: Bus) -> set[bytes]:
    """The messages that the rows of a table answer on a bus, or could."""
    return {
        message.tobytes()
        for k, interaction in enumerate(rows.interactions)
        if interaction.provides and interaction.bus == bus
        for message in rows.messages[k][rows.providable(k)]
    }


def _of_size(bus: int) -> list[int]:
    """Other buses on which the same elements, and zeros, would be a message, if the hash did not have the bus."""
    found = [blocks_of(other) == blocks_of(CARRIED[bus]) and other.width >= CARRIED[bus].width for other in CARRIED]
    return [number for number, fits in enumerate(found) if fits and number != bus] or [bus]


def _place(pair: _Pair, side: str) -> str:
    return f"link {pair[0]} {pair[1]} {side}"


def _signed(count: int) -> int:
    """The integer nearest to 0 that an element stands for."""
    return (count + MODULUS // 2) % MODULUS - MODULUS // 2


def _nets(totals: Mapping[_Message, int]) -> Nets:
    """Messages of which a part has so many too many, by bus."""
    of_bus: dict[int, list[tuple[tuple[int, ...], int]]] = defaultdict(list)
    for (bus, elements), total in totals.items():
        if count := _signed(total):
            of_bus[CARRIED[bus].index].append((elements, count))
    return {
        index: (np.array([m for m, _ in found], dtype=np.uint32), np.array([c for _, c in found], dtype=np.int64))
        for index, found in of_bus.items()
    }


def _changed(link: _Told, changes: Sequence[Change]) -> _Told:
    """A link, changed."""
    found = list(link.entries)
    for change in changes:
        if change.row == _LINK_ROW:
            match change.column:
                case "listed":
                    link = replace(link, listed=change.value)
                case "turned":
                    link = replace(link, turned=change.value)
                case "other":
                    link = replace(link, other=change.value)
                case "through":
                    link = replace(link, through=change.value)
                case _:
                    raise LookupError(f"nothing there: {change}")
            continue
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
            case "turned":
                entry = replace(entry, turned=change.value)
            case "other":
                entry = replace(entry, other=change.value)
            case "real":
                entry = replace(entry, real=change.value)
            case _:
                raise LookupError(f"nothing there: {change}")
        found[change.row] = entry
    return replace(link, entries=tuple(found))


def _with(link: _Told, more: Mapping[_Message, int]) -> _Told:
    """A link with so much more, or less, of some messages."""
    found = list(link.entries)
    for (bus, message), count in more.items():
        at = next((n for n, entry in enumerate(found) if (entry.bus, entry.message) == (bus, message)), None)
        if at is None:
            at = next((n for n, entry in enumerate(found) if entry.bus > bus), len(found))
            found.insert(at, Entry(bus, count % MODULUS, message))
        elif total := (found[at].count + count) % MODULUS:
            found[at] = replace(found[at], count=total)
        else:
            del found[at]
    return replace(link, entries=tuple(found), listed=link.listed or 1)


def _meet(before: FilledSegment, after: FilledSegment) -> bool:
    """Whether a segment begins where the one before ends, as both state it."""
    present = _present(before)
    frames = before.frames[1] == after.frames[0] + 1 or Frames.name not in present
    words = before.words[2:] == (1, *after.words[:2]) or Memory.name not in present
    return before.public_values.time_out == after.public_values.time_in and frames and words


def _present(segment: FilledSegment) -> set[str]:
    """Names of the tables that it has."""
    return {name for name, trace in zip(segment.circuit.names, segment.traces, strict=True) if trace is not None}


def _said_of_links(number: int, segment: FilledSegment) -> tuple[Counter[Any], Counter[Any]]:
    """What a part says of its links with later parts, and of those with earlier ones, whatever the order."""
    said: tuple[Counter[Any], Counter[Any]] = (Counter(), Counter())
    for bus, table in enumerate((*TABLES, LINK_TABLE)):
        matrix = segment.traces[segment.circuit.names.index(table.name)]
        if matrix is None:
            continue
        rows = TraceView(table.layout, matrix)
        for row in np.flatnonzero((rows.real != 0) | (rows.count != 0)).tolist():
            out, other = int(rows.out[row]), int(rows.other[row])
            what = (rows.digest if table is LINK_TABLE else rows.message)[row].tolist()
            said[out == 0][(number, other) if out else (other, number), bus, int(rows.count[row]), tuple(what)] += 1
    return said
