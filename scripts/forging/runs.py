"""Dishonest runs: parts of a run of operations by a prover who lies in some of them and has everything else follow.

A lie is told in the tables of chosen parts, in what is carried from one to the next, or in what the parts state. What
the parts leave open is found anew from the altered tables and hashed, tables of functions answer what is asked then,
and the verifier is told what the parts state. That is the strongest position a dishonest prover has short of breaking
the argument of a single segment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
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
from circuits.carry import CARRIED, Open, fill_carried
from circuits.carry import TABLES as CARRIED_TABLES
from circuits.component import Answering
from circuits.functions.buses import BITWISE_BYTES, POSEIDON2, RANGE15
from circuits.parts import fill_parts
from circuits.segment import FilledSegment, Segment, segment_components
from circuits.state.state_view import StateView
from executor.execute import ExecutedBatch
from prover.assemble import assemble
from scripts.forging.segments import check, places
from verifier.container import CodeWrites, OpenEnd, SegmentRecord, Writes, encode_proof
from verifier.errors import Invalid, Rejected
from verifier.segments import FRAME_TABLE, PUBLIC_TABLE, ProvedSegment, Stated, check_stated
from verifier.verify import check_contents

#: Buses of functions whose tables answer whatever is asked truly, the later ones what the former ask.
_ANSWERED = (RANGE15.index, BITWISE_BYTES.index, POSEIDON2.index, RANGE16.index)
#: Of these, the tables that the tables of carried messages ask.
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


def _as_it_is(_: int, found: Open) -> Open:
    return found


def _nothing(_: list[Any]) -> None: ...


@dataclass(frozen=True)
class RunLie:
    """What is said otherwise in the parts of a run; parts are numbered from 0.

    Attributes:
        tables: alters tables before it is found what the parts leave open, which follows.
        left: what a part says that it leaves open, from what it does; the next one finds the same.
        found: what a part says that it finds, from what the one before says that it leaves.
        rows: alters tables when what is carried is filled, which follows no more; functions answer.
        stated: alters what the parts state.
    """

    tables: Callable[[list[ToldPart]], None] = _nothing
    left: Callable[[int, Open], Open] = _as_it_is
    found: Callable[[int, Open], Open] = _as_it_is
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
    digests: list[tuple[Any, Any]] = []
    before = Open.nothing()
    for number, part in enumerate(parts):
        if lie.tables is not _nothing:
            _answer(part, _ANSWERED[:2])
        found = lie.found(number, before)
        after = Open.nothing()
        if number + 1 < len(parts):
            net = net_messages(part.filled(without=mute), carried, {bus.index: found.of(bus) for bus in CARRIED})
            after = Open({i: messages for i, (messages, _) in net.items()}, {i: c for i, (_, c) in net.items()})
        after = lie.left(number, after)
        for table, bus in zip(CARRIED_TABLES, CARRIED, strict=True):
            part.matrices[table.name] = fill_carried(bus, found, after)
        part[Segment.name].carried = [[len(found), len(after)]]
        digests.append((found.digest, after.digest))
        before = after
    lie.rows(parts)
    told: list[FilledSegment] = []
    for part, segment, (carry_in, carry_out) in zip(parts, honest, digests, strict=True):
        _answer(part, _ASKED_LAST)
        stated = replace(segment.public_values, carry_in=carry_in, carry_out=carry_out)
        told.append(replace(segment, traces=[part.matrices[n] for n in part.tables], public_values=stated))
    lie.stated(told)
    return told


def with_messages(carried: Open, bus: Bus, change: Callable[[NDArray[Any], NDArray[Any]], tuple[Any, Any]]) -> Open:
    """What is open with the messages (n, width) and counts (n,) of a bus changed."""
    messages, counts = dict(carried.messages), dict(carried.counts)
    own, times = carried.of(bus)
    messages[bus.index], counts[bus.index] = change(own.copy(), times.copy())
    return Open(messages, counts)


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
        """What a proof file says of the parts, as far as they state it; the last one of a run has the writes."""
        records = []
        for segment, execution in zip(told, self._ends, strict=True):
            values = segment.public_values
            writes, codes, open_end = Writes.from_bytes(b""), CodeWrites.from_bytes(b""), None
            if execution is None:
                carry = tuple(int(element) for element in values.carry_out)
                open_end = OpenEnd(values.time_out, segment.frames[1], carry)
            else:
                made = StateView.of(execution).writes
                writes = Writes(made.scope.astype(np.uint32), made.leaf.astype(np.uint32), made.value, made.nonce)
                codes = CodeWrites(made.code_scope.astype(np.uint32), made.code_leaf.astype(np.uint32), made.code_hash)
            first, end = values.first_operation, values.end_operation
            records.append(SegmentRecord(first, end, _LOG_STACKED_HEIGHT, writes, b"", codes, open_end))
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
            stated = Stated(public.get(PUBLIC_TABLE, []), public.get(FRAME_TABLE, []))
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
