"""Dishonest runs: parts of a run of operations by a prover who lies in some of them and has everything else follow.

A lie is told in the tables of chosen parts, in what two of them have in common, on one side of that, or in what the
parts state. What the parts have too much or too little of is found anew from the altered tables, linked and hashed,
tables of functions answer what is asked then, and the verifier is told what the parts state. That is the strongest
position a dishonest prover has short of breaking the argument of a single segment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus
from circuits.air.checker import net_messages
from circuits.air.derived import fill_derived
from circuits.air.field import Matrix
from circuits.air.layout import TraceView, padded_height
from circuits.air.queries import queries
from circuits.air.range_buses import RANGE16
from circuits.air.table import Table
from circuits.batch.execution import Batch, Execution
from circuits.carry import CARRIED, LINK_TABLE, Link, fill_carried, fill_links, link_parts
from circuits.carry import TABLES as CARRIED_TABLES
from circuits.component import Answering
from circuits.functions.buses import BITWISE_BYTES, POSEIDON2, RANGE15
from circuits.parts import fill_parts
from circuits.segment import FilledSegment, Segment, segment_components
from circuits.state.state_view import StateView
from circuits.statement import LINK_ITEM, LINKS_START, running_chain
from circuits.widths import DIGEST
from executor.execute import ExecutedBatch
from prover.assemble import assemble
from scripts.forging.segments import check, places
from verifier.container import CodeWrites, Links, OpenEnd, SegmentRecord, Writes, encode_proof
from verifier.errors import Invalid, Rejected
from verifier.segments import FRAME_TABLE, MEMORY_TABLE, PUBLIC_TABLE, ProvedSegment, Stated, check_stated
from verifier.verify import check_contents

#: Buses of functions whose tables answer whatever is asked truly, the later ones what the former ask.
_ANSWERED = (RANGE15.index, BITWISE_BYTES.index, POSEIDON2.index, RANGE16.index)
#: Of these, those that the tables of carried messages ask, and that of links.
_ASKED_LAST = (POSEIDON2.index, RANGE16.index)

#: One of the pinned heights; nothing depends on it as long as nothing is proved.
_LOG_STACKED_HEIGHT = 17


class ToldPart:
    """The tables of a part while lies are told in them.

    Attributes:
        matrices: of every table of the circuit by name; None where it is absent.
        execution: what they are filled from.
    """

    def __init__(self, honest: FilledSegment) -> None:
        self.execution = honest.execution
        self.tables: dict[str, Table] = {table.name: table for table in honest.circuit.tables}
        traces = zip(self.tables, honest.traces, strict=True)
        self.matrices: dict[str, Matrix | None] = {name: None if t is None else t.copy() for name, t in traces}

    def __contains__(self, name: str) -> bool:
        return self.matrices[name] is not None

    def __getitem__(self, name: str) -> Any:
        """View of a table that is present; what is written to it stays."""
        matrix = self.matrices[name]
        assert matrix is not None, f"there is no {name}"
        return TraceView(self.tables[name].layout, matrix)

    def filled(self, *, without: Iterable[str] = ()) -> list[tuple[Table, Matrix]]:
        """The tables that are present, but for those named."""
        left_out = set(without)
        found = ((self.tables[name], matrix) for name, matrix in self.matrices.items() if name not in left_out)
        return [(table, matrix) for table, matrix in found if matrix is not None]

    def real(self, name: str) -> NDArray[np.int64]:
        """The rows of a table that stand for something; none where it is absent."""
        matrix, table = self.matrices[name], self.tables[name]
        assert table.selector is not None
        if matrix is None:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(matrix[:, table.layout.offsets[table.selector]])

    def take(self, name: str, rows: Sequence[int]) -> Matrix:
        """Remove rows of a table; returns them, (n, width)."""
        matrix = self.matrices[name]
        assert matrix is not None
        taken: Matrix = matrix[list(rows)].copy()
        self._set(name, np.delete(matrix[self.real(name)], np.searchsorted(self.real(name), rows), axis=0))
        return taken

    def put(self, name: str, rows: Matrix) -> None:
        """Append rows (n, width) to those of a table that stand for something."""
        matrix = self.matrices[name]
        own = np.zeros((0, self.tables[name].width), dtype=np.uint32) if matrix is None else matrix[self.real(name)]
        self._set(name, np.concatenate([own, rows]))

    def _set(self, name: str, rows: Matrix) -> None:
        """Make these the rows of a table whose padding is 0 but for what follows from that."""
        if not len(rows):
            self.matrices[name] = None
            return
        made = np.zeros((padded_height(len(rows)), rows.shape[1]), dtype=np.uint32)
        made[: len(rows)] = rows
        if len(made) > len(rows):
            fill_derived(TraceView(self.tables[name].layout, made[len(rows) :]))
        self.matrices[name] = made


#: What each two parts (lower, higher) have in common. The higher one need not be there.
Pairs = dict[tuple[int, int], Link]

#: What a part has in common with others, in the order in which it states it: their numbers and the messages.
Side = list[tuple[int, Link]]


def _as_it_is(_: int, side: Side) -> Side:
    return side


def _nothing(_: Any) -> None: ...


@dataclass(frozen=True)
class RunLie:
    """What is said otherwise in the parts of a run; parts are numbered from 0.

    Attributes:
        tables: alters tables before it is found what the parts have too much or too little of, which follows.
        pairs: alters what two parts have in common; both say the same.
        side: what one part says that it has in common with others, from what is so.
        rows: alters tables when what is carried is filled, which follows no more; functions answer, and a part states
            the running hash that its table of links ends with.
        stated: alters what the parts state.
    """

    tables: Callable[[list[ToldPart]], None] = _nothing
    pairs: Callable[[Pairs], None] = _nothing
    side: Callable[[int, Side], Side] = _as_it_is
    rows: Callable[[list[ToldPart]], None] = _nothing
    stated: Callable[[list[FilledSegment]], None] = _nothing


def _answer(part: ToldPart, buses: Sequence[int]) -> None:
    """Fill the tables of functions that answer these buses."""
    for component in segment_components(part.execution.fork):
        if isinstance(component, Answering) and component.buses[0].index in buses:
            asked = (queries(bus, part.filled()) for bus in component.buses)
            part.matrices[component.table.name] = component.answer(part.execution, *asked)


def tell_run(honest: Sequence[FilledSegment], lie: RunLie) -> list[FilledSegment]:
    """The parts of a run as a liar fills them.

    Args:
        honest: its parts (`circuits.parts.fill_parts`), which stay as they are.
        lie: what is said otherwise.
    """
    parts = [ToldPart(segment) for segment in honest]
    lie.tables(parts)
    carried = {bus.index: bus for bus in CARRIED}
    mute = [table.name for table in CARRIED_TABLES]
    if lie.tables is not _nothing:
        for part in parts:
            _answer(part, _ANSWERED[:2])
    linked = link_parts([net_messages(part.filled(without=mute), carried, {}) for part in parts])
    pairs: Pairs = {(low, high): link for low, of in enumerate(linked) for high, link in of.items() if low < high}
    lie.pairs(pairs)
    sides: list[Side] = []
    for number, part in enumerate(parts):
        of_both = {high + low - number: link for (low, high), link in pairs.items() if number in (low, high)}
        sides.append(lie.side(number, sorted(of_both.items(), key=lambda item: item[0])))
        _carry(part, number, sides[-1])
    lie.rows(parts)
    told: list[FilledSegment] = []
    for part, segment, side in zip(parts, honest, sides, strict=True):
        _answer(part, _ASKED_LAST)
        stated = replace(segment.public_values, links=_last_hash(part))
        traces = [part.matrices[name] for name in part.tables]
        links = {other: link.digest for other, link in side}
        told.append(replace(segment, traces=traces, public_values=stated, links=links))
    lie.stated(told)
    return told


def _carry(part: ToldPart, number: int, side: Side) -> None:
    """Fill the tables of what a part carries, and of its links; it may state several links with one other part."""
    once: dict[int, Link] = {}
    again: Side = []
    for other, link in side:
        if other in once:
            again.append((other, link))
        else:
            once[other] = link
    for table, bus in zip(CARRIED_TABLES, CARRIED, strict=True):
        part.matrices[table.name] = fill_carried(bus, number, once)
    part.matrices[LINK_TABLE.name] = fill_links(number, once)
    for other, link in again:
        for table, bus in zip(CARRIED_TABLES, CARRIED, strict=True):
            more = fill_carried(bus, number, {other: link})
            if more is not None:
                part.put(table.name, more[: len(link.counts[bus.index])])
        one = fill_links(number, {other: link})
        assert one is not None
        part.put(LINK_TABLE.name, one[:1])
    if again:
        chain_links(part)
    part[Segment.name].links = len(side)


def chain_links(part: ToldPart) -> None:
    """Have the running hash of a part's table of links follow from what its rows say, in their order."""
    links = part[LINK_TABLE.name]
    own = part.real(LINK_TABLE.name)
    states = LINK_ITEM.states(other=links.other[own], out=links.out[own], digest=links.digest[own])
    chain = running_chain(LINKS_START, states[:, -1])
    links.states[own], links.number[own] = states, np.arange(len(own))
    links.before[own], links.after[own] = chain[:-1], chain[1:]
    part[Segment.name].links = len(own)


def _last_hash(part: ToldPart) -> NDArray[np.uint32]:
    """The running hash that a part's table of links ends with, (8,)."""
    own = part.real(LINK_TABLE.name)
    found: NDArray[np.uint32] = part[LINK_TABLE.name].after[own[-1]].copy() if len(own) else LINKS_START
    return found


def with_messages(link: Link, changes: Mapping[Bus, Callable[[NDArray[Any], NDArray[Any]], tuple[Any, Any]]]) -> Link:
    """A link with the messages (n, width) and counts (n,) of buses changed; a bus may be left without any."""
    messages, counts = dict(link.messages), dict(link.counts)
    for bus, change in changes.items():
        own = messages.pop(bus.index, np.zeros((0, bus.width), dtype=np.uint32))
        times = counts.pop(bus.index, np.zeros(0, dtype=np.int64))
        told, often = change(own.copy(), times.copy())
        if len(often):
            messages[bus.index], counts[bus.index] = told, often
    return Link(messages, counts)


@dataclass(frozen=True)
class Verdict:
    """Who objects to a run.

    Attributes:
        parts: of each part, the constraints and buses that object.
        verifier: why the verifier refuses what the parts state, whatever the proofs are; None if it does not.
    """

    parts: tuple[frozenset[str], ...]
    verifier: str | None

    @property
    def accepted(self) -> bool:
        """Whether nobody objects."""
        return not any(self.parts) and self.verifier is None


class RunJudge:
    """Judges a batch whose operations runs of parts prove, as the circuits and the verifier do.

    Args:
        executed: the batch.
        batch: the same with its leaves.
        runs: of each run of operations the first one, the end, and the steps of the run before which a part ends.

    Attributes:
        honest: all parts as an honest prover fills them.
    """

    def __init__(self, executed: ExecutedBatch, batch: Batch, runs: Sequence[tuple[int, int, Sequence[int]]]) -> None:
        self._file = assemble(executed, batch, [], [])
        self.honest: list[FilledSegment] = []
        # Of each part: what its run executes if it is the last one, or None.
        self._ends: list[Execution | None] = []
        for first, end, cuts in runs:
            execution = Execution(batch, first, end)
            parts = fill_parts(execution, cuts)
            self.honest += parts
            self._ends += [*(None for _ in parts[1:]), execution]

    @cached_property
    def honest_objections(self) -> tuple[frozenset[str], ...]:
        """Of each honest part, the constraints and buses that object."""
        return tuple(frozenset(places(check(segment))) for segment in self.honest)

    def records(self, told: Sequence[FilledSegment]) -> list[SegmentRecord]:
        """What a proof file says of the parts, as far as they state it; the last one of a run has the writes.

        What two parts have in common is what the earlier one says of it.
        """
        records = []
        part = 0
        for segment, execution in zip(told, self._ends, strict=True):
            values = segment.public_values
            writes, codes, open_end = Writes.from_bytes(b""), CodeWrites.from_bytes(b""), None
            if execution is None:
                open_end = OpenEnd(values.time_out, segment.frames[1], segment.words[3:])
            else:
                made = StateView.of(execution).writes
                writes = Writes(made.scope.astype(np.uint32), made.leaf.astype(np.uint32), made.value, made.nonce)
                codes = CodeWrites(made.code_scope.astype(np.uint32), made.code_leaf.astype(np.uint32), made.code_hash)
            first, end = values.first_operation, values.end_operation
            later = {other: digest for other, digest in segment.links.items() if other > part}
            links = Links(
                np.array(list(later), dtype=np.uint32),
                np.array(list(later.values()), dtype=np.uint32).reshape(-1, DIGEST),
            )
            records.append(SegmentRecord(first, end, _LOG_STACKED_HEIGHT, writes, b"", codes, open_end, links))
            part = 0 if open_end is None else part + 1
        return records

    def verdict(self, told: Sequence[FilledSegment]) -> Verdict:
        """Who objects to the parts, if the file says what they state."""
        pairs = zip(told, self.honest, self.honest_objections, strict=True)
        found = [known if _are_same(part, honest) else frozenset(places(check(part))) for part, honest, known in pairs]
        return Verdict(tuple(found), self.refusal(told, self.records(told)))

    def refusal(self, told: Sequence[FilledSegment], records: Sequence[SegmentRecord]) -> str | None:
        """Why the verifier refuses a file with these records, were all its proofs such of what is told; None if not."""
        proved = []
        for segment in told:
            names = zip(segment.circuit.names, segment.traces, segment.public_lists, strict=True)
            present = [(name, trace, public) for name, trace, public in names if trace is not None]
            public = {name: list(values) for name, _, values in present}
            stated = Stated(*(public.get(name, []) for name in (PUBLIC_TABLE, FRAME_TABLE, MEMORY_TABLE)))
            proved.append(ProvedSegment({name: len(trace) for name, trace, _ in present}, stated, math.inf))
        file = replace(self._file, segments=tuple(records))
        try:
            expected = check_contents(encode_proof(file), [segment.rows for segment in proved])
            check_stated(proved, expected)
        except (Invalid, Rejected) as error:
            return str(error)
        return None


def _are_same(told: FilledSegment, honest: FilledSegment) -> bool:
    """Whether a part has the same tables and states the same."""
    if told.public_lists != honest.public_lists:
        return False
    pairs = zip(told.traces, honest.traces, strict=True)
    return all(a is b or (a is not None and b is not None and np.array_equal(a, b)) for a, b in pairs)
