"""A run of operations that several segments prove, each a part of its steps.

The tables of the run are those of one segment with all of its operations; each row belongs to the part that has its
time. Tables that number their rows, or have one row for each key, are in the last part; words of memory, which are in
the order of their frames through all parts, are where that order lets them be near to who accesses them. What the rows
of the parts have too much or too little of is found as what the buses do, and links of two parts each make up for it
(`circuits.carry`): so no table's filler knows of parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.checker import net_messages
from circuits.air.derived import fill_derived
from circuits.air.field import Matrix
from circuits.air.layout import TraceView, padded_height
from circuits.air.queries import queries
from circuits.air.range_buses import RANGE16
from circuits.air.table import Table
from circuits.batch.execution import Execution
from circuits.batch.operation_items import operation_chain
from circuits.carry import CARRIED, LINK_TABLE, fill_carried, fill_links, link_parts
from circuits.carry import TABLES as CARRIED_TABLES
from circuits.component import Acting, Component
from circuits.functions.buses import POSEIDON2
from circuits.memory.memory_tables import ALL_WORDS, Memory, fill_memory_parts, next_word
from circuits.segment import Columns as SegmentColumns
from circuits.segment import (
    FilledSegment,
    Segment,
    fill,
    fill_segment_row,
    public_values,
    segment_circuit,
    segment_components,
)
from circuits.statement import LAST_TABLES, WRITES_START, links_chain
from circuits.widths import DIGEST

#: Tables that answer what all parts ask.
_SHARED = (
    *("transaction", "system_call", "beacon", "history", "deletion", "survivor", "frame"),
    *("init_code", "calldata", "block", "code", "code_leaf", "hash_leaf"),
)

#: Tables of functions that are filled from what the part's own steps compute; and those filled last.
_COMPUTED = (
    *("keccak_f", "sha256_rounds", "ripemd160_left", "ripemd160_right", "blake2f_rounds", "modexp_exponents"),
    *("modexp_products", "listing_", "field_narrow", "field_wide", "field_selected", "field_bits", "field_words"),
    "field_instances",
)
_ASKED_LAST = (POSEIDON2.index, RANGE16.index)


def times_of(table: Table, matrix: Matrix) -> NDArray[np.int64]:
    """The time (height,) of each row: of the event, or that which a token gets."""
    offsets, names = table.layout.offsets, table.layout.names()
    if "time" in offsets:
        return matrix[:, offsets["time"]].astype(np.int64)
    low, high = (names.index(f"now.{limb}") for limb in ("low", "high"))
    return matrix[:, low].astype(np.int64) + (matrix[:, high].astype(np.int64) << 16)


def _rows_within(table: Table, matrix: Matrix, part: Execution) -> Matrix | None:
    """The rows whose time is the part's; the rest is padding like that of the matrix."""
    assert table.selector is not None
    real = matrix[:, table.layout.offsets[table.selector]] != 0
    own = real & part.within(times_of(table, matrix))
    count = int(own.sum())
    if not count:
        return None
    if np.array_equal(own, real):
        return matrix
    chosen = np.zeros((padded_height(count), matrix.shape[1]), dtype=np.uint32)
    chosen[:count] = matrix[own]
    if count < len(chosen):
        if real[-1]:
            fill_derived(TraceView(table.layout, chosen[count:]))
        else:
            chosen[count:] = matrix[-1]
    if table.name == "frame":  # padding is numbered on
        column = table.layout.offsets["frame"]
        chosen[count:, column] = chosen[count - 1, column] + 1 + np.arange(len(chosen) - count)
    return chosen


class _Part:
    """A part while its tables are filled."""

    def __init__(self, execution: Execution, keep: Callable[[Matrix], Matrix]) -> None:
        self.execution = execution
        self._keep = keep
        self.traces: dict[str, Matrix | None] = {}
        self.filled: list[tuple[Table, Matrix]] = []

    def add(self, table: Table, matrix: Matrix | None) -> None:
        if matrix is not None:
            matrix = self._keep(matrix)
        self.traces[table.name] = matrix
        if matrix is not None:
            self.filled.append((table, matrix))


def fill_parts(
    execution: Execution,
    cuts: Sequence[int],
    keep: Callable[[Matrix], Matrix] = lambda matrix: matrix,
    components: Sequence[Component] | None = None,
) -> list[FilledSegment]:
    """The parts of a run of operations.

    Args:
        execution: of the whole run.
        cuts: steps, strictly ascending and not the first one, before which a part ends.
        keep: takes each table that is filled, and gives it back: all are there at once.
        components: other tables than those of every segment, of the same names and layouts in the same order.
    """
    if not len(cuts) and components is None:
        return [fill(execution)]
    times = [0, *execution.time[list(cuts)].tolist(), 1 << 40]
    parts = [_Part(execution.part(begin, end), keep) for begin, end in pairwise(times)]
    last = parts[-1]
    every = components or segment_components(execution.fork)
    filled_late = {Segment.name, LINK_TABLE.name, *(table.name for table in CARRIED_TABLES)}
    late = [c for c in every if not isinstance(c, Acting) and c.buses[0].index in _ASKED_LAST]
    for c in every:
        table = c.table
        if table.name in filled_late or c in late:
            continue
        if isinstance(c, Acting) and table.name not in LAST_TABLES:
            if table.name == Memory.name:
                for part, words in zip(parts, fill_memory_parts(execution, times[1:-1]), strict=True):
                    part.add(table, words)
                continue
            for part in parts:
                matrix = c.fill(part.execution)
                if matrix is not None and not table.name.startswith(_COMPUTED):
                    matrix = _rows_within(table, matrix, part.execution)
                part.add(table, matrix)
        elif isinstance(c, Acting) or table.name in _SHARED:
            if isinstance(c, Acting):
                matrix = c.fill(execution)
            else:
                asked = [np.concatenate([queries(bus, part.filled) for part in parts]) for bus in c.buses]
                matrix = c.answer(execution, *asked)
            for part in parts:
                if table.name in LAST_TABLES:
                    part.add(table, matrix if part is last else None)
                else:
                    part.add(table, None if matrix is None else _rows_within(table, matrix, part.execution))
        else:
            for part in parts:
                part.add(table, c.answer(part.execution, *(queries(bus, part.filled) for bus in c.buses)))
    return _joined(execution, parts, {c.table.name: c.table for c in every}, late)


def _joined(
    execution: Execution, parts: Sequence[_Part], tables: Mapping[str, Table], late: Sequence[Any]
) -> list[FilledSegment]:
    """The parts with what they have in common, and what they state; `tables` by name."""
    circuit = segment_circuit(execution.fork)
    whole, frames, word = public_values(execution), 0, ALL_WORDS[:2]
    chain, receipts = operation_chain(execution.batch), execution.batch.receipts.before_operation
    begins = np.append(execution.begin_time, execution.next_time)
    carried = {bus.index: bus for bus in CARRIED}
    linked = link_parts([net_messages(part.filled, carried, {}) for part in parts])
    filled: list[FilledSegment] = []
    for number, (part, links) in enumerate(zip(parts, linked, strict=True)):
        is_last = number == len(parts) - 1
        for table, bus in zip(CARRIED_TABLES, CARRIED, strict=True):
            part.add(tables[table.name], fill_carried(bus, number, links))
        part.add(tables[LINK_TABLE.name], fill_links(number, links))
        matrix = fill_segment_row(execution)
        row = TraceView(SegmentColumns, matrix)
        first, end = (int(np.searchsorted(execution.begin_time, time)) for time in part.execution.window or ())
        row.end_time = begins[end]
        row.links = len(links)
        if not is_last:
            row.opens = row.writes = 0
        part.add(tables[Segment.name], matrix)
        for c in late:
            part.add(c.table, c.answer(part.execution, *(queries(bus, part.filled) for bus in c.buses)))
        digests = {other: link.digest for other, link in links.items()}
        stated = replace(
            whole,
            first_operation=execution.first + first,
            end_operation=execution.first + end,
            operations_in=chain[execution.first + first],
            operations_out=chain[execution.first + end],
            receipts_in=receipts[execution.first + first],
            receipts_out=receipts[execution.first + end],
            writes_out=whole.writes_out if is_last else WRITES_START,
            access_out=whole.access_out if is_last else whole.access_in,
            time_in=int(begins[first]),
            time_out=0 if is_last else int(begins[end]),
            links=links_chain(number, list(digests), np.array(list(digests.values())).reshape(-1, DIGEST))[-1],
        )
        frames_end = frames + int(part.execution.within(execution.frame_begin_time).sum())
        memory = part.traces[Memory.name]
        word_end = word if memory is None or is_last else next_word(memory)
        filled.append(
            FilledSegment(
                [part.traces[name] for name in circuit.names],
                stated,
                circuit,
                part.execution,
                frames=(frames, 0 if is_last else frames_end + 1),
                words=(*word, *((0, 0, 0) if is_last else (1, *word_end))),
                links=digests,
            )
        )
        frames, word = frames_end, word_end
    return filled
