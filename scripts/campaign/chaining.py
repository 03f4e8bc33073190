"""What the verifier compares between the segments of a run, and with what it knows of the run.

The file says of each segment where it ends, and the verifier demands of its proof what follows from that. A liar writes
into the file what the next proof states, so what does not fit is seen at the end of the segment before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.batch.operation_items import operation_chain
from circuits.carry import LINK_TABLE
from circuits.frames.frames import Frames, FramesPublic
from circuits.memory.memory_tables import Memory, MemoryPublic
from circuits.segment import FilledSegment, Segment
from circuits.statement import PublicColumns, SegmentPublicValues
from circuits.widths import DIGEST
from scripts.campaign.carried import linked_hash
from scripts.campaign.target import Target
from verifier.container import CodeWrites, Links, OpenEnd, SegmentRecord, Writes
from verifier.errors import Invalid
from verifier.segments import (
    FRAME_TABLE,
    MEMORY_TABLE,
    ProvedSegment,
    Stated,
    check_plan,
    check_runs,
    check_stated,
    expected_public_values,
    links_of,
)
from verifier.sizes import MIN_SECURITY_BITS

#: Public values by name, without places within a digest.
_NAMES = [name.partition("[")[0] for name in PublicColumns.names()]
_FRAME_NAMES = FramesPublic.names()
_WORD_NAMES = MemoryPublic.names()


class _ClaimedTree:
    """Stands for the access tree: its root before a run, and behind its segments that which they claim."""

    def __init__(self, honest: Sequence[FilledSegment], told: Sequence[FilledSegment]) -> None:
        self.depth = honest[0].public_values.depth
        self.root: NDArray[np.uint32] = honest[0].public_values.access_in
        self._left, self._out = len(told), told[-1].public_values.access_out

    def write(self, writes: Writes, codes: CodeWrites) -> None:
        """What a segment writes: nothing if its end is open."""
        self._left -= 1
        if not self._left:
            self.root = self._out


def refused(honest: Sequence[FilledSegment], told: Sequence[FilledSegment], target: Target | None = None) -> set[str]:
    """Why the verifier refuses the segments of a run: public values by name, or its words; nothing if it does not.

    Receipts, writes and the last root are what a run claims: here anything will do.

    Args:
        honest: the run as it is.
        told: its segments as somebody proves them.
        target: whose verifier it is: one that hashes links as the tables of this target do, and may be a worse one.
    """
    trusts = target.trusts if target else frozenset()
    first, end = honest[0].public_values.first_operation, honest[-1].public_values.end_operation
    records = [_record(told, number) for number in range(len(told))]
    proved = [_proved(segment) for segment in told]
    receipts = honest[0].execution.batch.receipts.before_operation.copy()
    for segment in told:
        if first < segment.public_values.end_operation < len(receipts):
            receipts[segment.public_values.end_operation] = segment.public_values.receipts_out
    try:
        check_plan([*([_whole(0, first)] if first else []), *records], end)
        check_runs(records, proved)
        operations = operation_chain(honest[0].execution.batch)
        tree: Any = _ClaimedTree(honest, told)
        expected = expected_public_values(records, operations, receipts, tree)
    except Invalid as error:
        return {str(error)}
    if target:
        _hash_links(target, records, expected)
    found: set[str] = set()
    for facts, wanted, last in zip(proved, expected, [*[False] * (len(told) - 1), True], strict=True):
        assert facts.stated is not None
        claimed = {*trusts, *(["writes_out"] if last else [])}
        for stated, known, names in (
            (facts.stated.values, wanted.values, _NAMES),
            (facts.stated.frames, wanted.frames, _FRAME_NAMES),
            (facts.stated.words, wanted.words, _WORD_NAMES),
        ):
            for place, value in enumerate(stated):
                if value != known[place] and names[place] in claimed:
                    stated[place] = known[place]
                elif value != known[place]:
                    found.add(names[place])
    if not found:
        try:
            check_stated(proved, expected)
        except Invalid as error:
            found.add(str(error))
    return found


def _record(told: Sequence[FilledSegment], number: int) -> SegmentRecord:
    """What the file says of a segment: where it ends is what the next one states."""
    stated = told[number].public_values
    if number == len(told) - 1:
        return _whole(stated.first_operation, stated.end_operation)
    after = told[number + 1]
    frame, index = after.words[:2]
    end = OpenEnd(after.public_values.time_in, after.frames[0] + 1, (frame, index))
    later = {other: digest for other, digest in told[number].links.items() if other > number}
    digests = np.array(list(later.values()), dtype=np.uint32).reshape(-1, DIGEST)
    links = Links(np.array(list(later), dtype=np.uint32), digests)
    return replace(_whole(stated.first_operation, stated.end_operation), open_end=end, links=links)


def _whole(first: int, end: int) -> SegmentRecord:
    return SegmentRecord(first, end, 0, Writes.from_bytes(b""), b"")


def _hash_links(target: Target, records: Sequence[SegmentRecord], expected: Sequence[Stated]) -> None:
    """State links as the target's table hashes them, if it is not that of every segment."""
    table = next(c.table for c in target.components if c.table.name == LINK_TABLE.name)
    if table is LINK_TABLE:
        return
    place = PublicColumns.offsets["links"]
    for part, (links, wanted) in enumerate(zip(links_of(records), expected, strict=True)):
        digest = linked_hash(table, part, links.other.tolist(), links.digest)
        wanted.values[place : place + DIGEST] = digest.tolist()


def _proved(segment: FilledSegment) -> ProvedSegment:
    traces = zip(segment.circuit.names, segment.traces, strict=True)
    rows = {name: len(trace) for name, trace in traces if trace is not None}
    frames = list(segment.frames) if FRAME_TABLE in rows else []
    words = list(segment.words) if MEMORY_TABLE in rows else []
    return ProvedSegment(rows, Stated(segment.public_values.to_list(), frames, words), MIN_SECURITY_BITS)


def stating(segment: FilledSegment, table: str, name: str, value: int) -> FilledSegment:
    """The segment with another public value, by its table and name.

    Raises:
        LookupError: there is no such public value.
    """
    layouts = {Segment.name: PublicColumns, Frames.name: FramesPublic, Memory.name: MemoryPublic}
    layout = layouts.get(table)
    if layout is None or name not in layout.names():
        raise LookupError(f"table {table} has no public value {name}")
    place = layout.names().index(name)
    if table == Frames.name:
        before, following = (value if n == place else old for n, old in enumerate(segment.frames))
        return replace(segment, frames=(before, following))
    if table == Memory.name:
        frame, index, asks, *behind = (value if n == place else old for n, old in enumerate(segment.words))
        return replace(segment, words=(frame, index, asks, behind[0], behind[1]))
    values = segment.public_values.to_list()
    values[place] = value
    found: dict[str, Any] = {}
    for part, cells in PublicColumns.parts.items():
        start = PublicColumns.offsets[part]
        digest = np.array(values[start : start + cells.size], dtype=np.uint32)
        found[part] = values[start] if cells.size == 1 else digest
    return replace(segment, public_values=SegmentPublicValues(**found))
