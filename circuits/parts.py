"""A run of operations that several segments prove, each a part of its steps and of its instances of programs.

A part begins at a time, that of a step or of an instance (`Execution.places`). The tables of the run are those of one
segment with all of its operations; each row belongs to the part that has its time. Tables that number their rows, or
have one row for each key, are in the last part; words of memory, which are in the order of their frames through all
parts, are where that order lets them be near to who accesses them. What the rows of the parts have too much or too
little of is found as what the buses do, and links of two parts each make up for it (`circuits.carry`): so no table's
filler knows of parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from circuits.air.checker import net_messages
from circuits.air.derived import fill_derived
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import TraceView, padded_height
from circuits.air.queries import queries
from circuits.air.range_buses import RANGE16
from circuits.air.table import Table
from circuits.batch.execution import Execution
from circuits.batch.field_calls import FieldCalls
from circuits.batch.operation_items import operation_chain
from circuits.carry import CARRIED, LINK_TABLE, LinksOfPart, Nets, fill_carried, fill_links, link_parts
from circuits.carry import TABLES as CARRIED_TABLES
from circuits.component import Acting, Answering, Component
from circuits.fields.buses import REGISTERS
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
from circuits.statement import LAST_TABLES, WRITES_START, SegmentPublicValues, links_chain
from circuits.widths import DIGEST

#: Tables that answer what all parts ask.
SHARED = (
    *("transaction", "system_call", "beacon", "history", "deletion", "survivor", "frame"),
    *("init_code", "calldata", "block", "code", "code_leaf", "hash_leaf"),
)

#: Tables of functions that are filled from what the part's own steps compute; and those filled last.
COMPUTED = (
    *("keccak_f", "sha256_rounds", "ripemd160_left", "ripemd160_right", "blake2f_rounds", "modexp_exponents"),
    *("modexp_products", "listing_", "field_narrow", "field_wide", "field_selected", "field_bits", "field_words"),
)
_ASKED_LAST = (POSEIDON2.index, RANGE16.index)

#: Tables with no message that is carried but registers (`_open_registers`), which ask only each other: a part has them
#: to itself. Listings are, too.
FUNCTIONS = frozenset(
    {
        *("keccak_f", "sha256_rounds", "ripemd160_left", "ripemd160_right", "blake2f_rounds"),
        *(f"field_{kind}_{size}" for kind in ("narrow", "wide", "selected", "bits") for size in (32, 48)),
        *("modexp_products", "modexp_remainders", "modexp_tiny_products", "modexp_small_products", "modexp_below"),
        *("modexp_blocks", "call_gas_small", "call_gas_large", "gas_product_small", "gas_product_large", "power"),
        *("expansion", "part_prices", "blob_fee", "multiply_small", "multiply", "multiply_full", "bitwise_bytes"),
        *("range15", "range16", "poseidon2"),
    }
)

#: Tables that are filled once it is known what parts have in common.
_OF_LINKS = {Segment.name, LINK_TABLE.name, *(table.name for table in CARRIED_TABLES)}


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

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.traces: dict[str, Matrix | None] = {}
        self.filled: list[tuple[Table, Matrix]] = []

    def add(self, table: Table, matrix: Matrix | None) -> None:
        self.traces[table.name] = matrix
        if matrix is not None:
            self.filled.append((table, matrix))

    def answer(self, c: Answering) -> Matrix | None:
        """The rows that answer what has been filled."""
        return c.answer(self.execution, *(queries(bus, self.filled) for bus in c.buses))


class FilledRun:
    """The parts of a run of operations, each completed when it is taken.

    What parts must have before one of them can be completed is filled at first: all rows with a message on a bus of
    `CARRIED`. Functions, which may be most of a run, are computed for one part at a time.
    """

    def __init__(
        self,
        execution: Execution,
        cuts: Sequence[int],
        keep: Callable[[Matrix], Matrix] = lambda matrix: matrix,
        components: Sequence[Component] | None = None,
    ) -> None:
        """Fill what the parts have in common.

        Args:
            execution: of the whole run.
            cuts: numbers of places (`Execution.places`), strictly ascending and not the first one, before which a part
                ends.
            keep: takes each table that is filled now, and gives it back: all are there at once.
            components: other tables than those of every segment, of the same names and layouts in the same order.
        """
        every = components or segment_components(execution.fork)
        self._execution = execution
        self._tables = {c.table.name: c.table for c in every}
        self._components = [c for c in every if c.table.name not in _OF_LINKS]
        self._functions = {c.table.name: c for c in self._components if is_function(c.table.name)}
        self._times = [0, *execution.places[list(cuts)].tolist(), 1 << 40]
        self._parts = {n: _Part(execution.part(*ends)) for n, ends in enumerate(pairwise(self._times))}
        self._keep = keep
        self._fill()
        registers = _open_registers(execution, self._times)
        carried = {bus.index: bus for bus in CARRIED if bus not in REGISTERS.values()}
        nets = zip(self._parts.values(), registers, strict=True)
        self._links = link_parts([net_messages(part.filled, carried, more) for part, more in nets])
        self._frames, self._words = self._numbered()

    def __len__(self) -> int:
        """How many parts there are."""
        return len(self._times) - 1

    def _fill(self) -> None:
        """All tables but those of functions and links."""
        for c in self._components:
            if c.table.name not in self._functions:
                for part, matrix in zip(self._parts.values(), self._of_parts(c), strict=True):
                    part.add(c.table, None if matrix is None else self._keep(matrix))

    def _of_parts(self, c: Component) -> Iterable[Matrix | None]:
        """A table in each part, one after the other."""
        table, parts = c.table, list(self._parts.values())
        if isinstance(c, Acting):
            if table.name == Memory.name:
                return fill_memory_parts(self._execution, self._times[1:-1])
            if table.name not in (*LAST_TABLES, *SHARED):
                return (_acting(c, part) for part in parts)
            matrix = c.fill(self._execution)
        elif table.name in SHARED:
            asked = [np.concatenate([queries(bus, part.filled) for part in parts]) for bus in c.buses]
            matrix = c.answer(self._execution, *asked)
        else:
            return (part.answer(c) for part in parts)
        if matrix is None or table.name in LAST_TABLES:
            return [*[None] * (len(parts) - 1), matrix]
        return (_rows_within(table, matrix, part.execution) for part in parts)

    def _numbered(self) -> tuple[list[tuple[int, int]], list[tuple[int, int, int, int, int]]]:
        """What each part states of the numbers of its frames, and of its words of memory."""
        frames: list[tuple[int, int]] = []
        words: list[tuple[int, int, int, int, int]] = []
        before, word = 0, ALL_WORDS[:2]
        for number, part in self._parts.items():
            is_last = number == len(self) - 1
            end = before + int(part.execution.within(self._execution.frame_begin_time).sum())
            memory = part.traces[Memory.name]
            word_end = word if memory is None or is_last else next_word(memory)
            frames.append((before, 0 if is_last else end + 1))
            words.append((*word, *((0, 0, 0) if is_last else (1, *word_end))))
            before, word = end, word_end
        return frames, words

    def take(self, number: int) -> FilledSegment:
        """A part, of which nothing is kept: it can be taken once.

        Args:
            number: of the part, from 0.

        Raises:
            KeyError: it has been taken, or there is none.
        """
        part, links = self._parts.pop(number), self._links[number]
        late = [c for c in self._functions.values() if not isinstance(c, Acting) and c.buses[0].index in _ASKED_LAST]
        for c in self._functions.values():
            if c not in late:
                part.add(c.table, _acting(c, part) if isinstance(c, Acting) else part.answer(c))
        for table, bus in zip(CARRIED_TABLES, CARRIED, strict=True):
            part.add(self._tables[table.name], fill_carried(bus, number, links))
        part.add(self._tables[LINK_TABLE.name], fill_links(number, links))
        stated, row = self._stated(number, part.execution, links)
        part.add(self._tables[Segment.name], row)
        for c in late:
            part.add(c.table, part.answer(c))
        circuit = segment_circuit(self._execution.fork)
        return FilledSegment(
            [part.traces[name] for name in circuit.names],
            stated,
            circuit,
            part.execution,
            frames=self._frames[number],
            words=self._words[number],
            links={other: link.digest for other, link in links.items()},
        )

    def _stated(self, number: int, part: Execution, links: LinksOfPart) -> tuple[SegmentPublicValues, Matrix]:
        """What a part states, and the row of the table that does."""
        execution, is_last = self._execution, number == len(self) - 1
        begins = np.append(execution.begin_time, execution.next_time)
        first, end = (int(np.searchsorted(execution.begin_time, time)) for time in part.window or ())
        matrix = fill_segment_row(execution)
        row = TraceView(SegmentColumns, matrix)
        row.end_time = begins[end]
        row.links = len(links)
        if not is_last:
            row.opens = row.writes = 0
        chain, receipts = operation_chain(execution.batch), execution.batch.receipts.before_operation
        digests = np.array([link.digest for link in links.values()]).reshape(-1, DIGEST)
        whole = public_values(execution)
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
            links=links_chain(number, list(links), digests)[-1],
        )
        return stated, matrix


def fill_parts(
    execution: Execution, cuts: Sequence[int], components: Sequence[Component] | None = None
) -> list[FilledSegment]:
    """All parts of a run of operations at once, as `FilledRun` has them."""
    if not len(cuts) and components is None:
        return [fill(execution)]
    run = FilledRun(execution, cuts, components=components)
    return [run.take(number) for number in range(len(run))]


def is_function(table: str) -> bool:
    """Whether a part has a table to itself (`FUNCTIONS`)."""
    return table in FUNCTIONS or table.startswith("listing_")


def _open_registers(execution: Execution, times: Sequence[int]) -> list[Nets]:
    """What the instances of each part read of instances of other parts, and what others read of theirs.

    Known from the runs of the programs: the tables that say it are not filled before a part is taken.

    Args:
        execution: of the whole run.
        times: when each part begins, and the end.
    """
    machine = FieldCalls.of(execution).machine
    part_of = np.searchsorted(times, [r.time for r in machine.requests], side="right") - 1
    found: list[dict[int, list[tuple[Matrix, int]]]] = [{} for _ in times[1:]]
    for reader, request in enumerate(machine.requests):
        if request.linked and part_of[reader] != part_of[request.linked - 1]:
            registers = machine.linked_registers(reader)[:, None]
            name = np.full_like(registers, machine.requests[request.linked - 1].time)
            messages = np.concatenate([name, registers, machine.linked_digits(reader)], axis=1) % MODULUS
            index = REGISTERS[request.program.limbs].index
            for which, sign in ((reader, 1), (request.linked - 1, -1)):
                found[part_of[which]].setdefault(index, []).append((messages.astype(np.uint32), sign))
    return [
        {
            index: (
                np.concatenate([messages for messages, _ in open_]),
                np.concatenate([np.full(len(messages), sign, dtype=np.int64) for messages, sign in open_]),
            )
            for index, open_ in of_part.items()
        }
        for of_part in found
    ]


def _acting(c: Acting, part: _Part) -> Matrix | None:
    """The rows of a table that belong to a part by their time, or are computed for it."""
    matrix = c.fill(part.execution)
    if matrix is None or c.table.name.startswith(COMPUTED):
        return matrix
    return _rows_within(c.table, matrix, part.execution)
