"""The circuit of a segment, and how a run of operations is turned into its tables.

A segment proves a run of operations of a batch: they continue the running hashes of operations and receipts, and turn
one root of the access tree into another. All tables are filled from the events alone; function tables from what the
others ask of them.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from circuits.air.circuit import Circuit, Description, table_statistics
from circuits.air.field import Matrix
from circuits.air.layout import Layout, bit, element
from circuits.air.queries import queries
from circuits.air.range_buses import RANGE16
from circuits.air.sources import files_digest
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.batch.operation_items import operation_chain
from circuits.carry import LINK_TABLE, LINKS
from circuits.carry import TABLES as CARRIED_TABLES
from circuits.component import Acting, Answering, Component
from circuits.fields import calls as field_calls
from circuits.fields import listings
from circuits.frames import (
    buffer,
    call_gas,
    calldata,
    code,
    create_address,
    delegation,
    frames,
    init_code,
    push_sites,
)
from circuits.functions import bitwise_bytes, poseidon2, range
from circuits.functions.buses import BITWISE_BYTES, POSEIDON2, RANGE15
from circuits.instructions import (
    accounts,
    arithmetic,
    bitwise,
    call,
    calldata_memory,
    comparison,
    control_flow,
    copies,
    create,
    deep_stack,
    deposit,
    environment,
    exceptional,
    keccak,
    log,
    memory,
    out_of_memory,
    return_data,
    sign_extend,
    stack,
    static_violation,
    storage,
    system,
)
from circuits.instructions import block as block_instructions
from circuits.memory import expansion, memory_parts, memory_shifted, memory_tables
from circuits.precompiles import blake2f, hashes, modexp
from circuits.state import access_tree, deletion, state, transfer, undo
from circuits.state.buses import TREE, WRITES
from circuits.state.state_view import StateView
from circuits.statement import (
    CIRCUIT_VERSION,
    LINKS_START,
    WRITES_START,
    Digests,
    Form,
    PublicColumns,
    SegmentPublicValues,
)
from circuits.transactions import (
    access_list,
    authorization,
    beacon,
    block,
    history,
    set_code,
    system_call,
    transaction,
    withdrawal,
)
from circuits.transactions.buses import CHAIN
from circuits.widths import DIGEST
from executor.forks import CIRCUIT_FORKS, EXECUTED_FORKS, Fork


class Columns(Layout):
    """The segment's only row; what it states is public."""

    real = bit("1 on the first row")
    end_time = element("time after the last operation", by="chain bus")
    opens = bit("1: it has leaves of the access tree")
    links = element("number of links with other parts of its run", by="links bus")
    writes = element("number of writes to leaves", by="writes bus")


class Segment(Table):
    """Ties the public values to the tables: both ends of the running hashes and both roots of the access tree."""

    name = "segment"
    layout = Columns
    public = PublicColumns

    def constraints(self, air: Air) -> None:
        row, public = air.row, air.public
        real = row.real
        air.require(real - air.is_first, "one segment")
        air.require(public.version - CIRCUIT_VERSION, "circuit version")
        air.require(public.time_out * (public.time_out - row.end_time) * real, "the time at the end")
        air.send(CHAIN, public.first_operation, public.time_in, public.operations_in, public.receipts_in, count=real)
        air.receive(CHAIN, public.end_operation, row.end_time, public.operations_out, public.receipts_out, count=real)
        air.send(WRITES, 0, [air.constant(int(e)) for e in WRITES_START], count=real)
        air.receive(WRITES, row.writes, public.writes_out, count=real)
        air.receive(TREE, public.depth, 0, public.access_in, public.access_out, count=row.opens)
        air.require(row.opens * (1 - real), "padding opens nothing")
        air.require_equal(public.access_in, public.access_out, "without leaves nothing changes", when=real - row.opens)
        air.send(LINKS, 0, [air.constant(int(e)) for e in LINKS_START], count=real)
        air.receive(LINKS, row.links, public.links, count=real)


def fill_segment_row(execution: Execution) -> Matrix:
    """The row of the segment table, where nothing is carried to another part."""
    matrix = np.zeros((1, Columns.width), dtype=np.uint32)
    matrix[0, Columns.offsets["real"]] = 1
    matrix[0, Columns.offsets["end_time"]] = execution.next_time
    matrix[0, Columns.offsets["opens"]] = 1
    matrix[0, Columns.offsets["writes"]] = len(StateView.of(execution).writes.chain) - 1
    return matrix


_MODULES = (
    transaction,
    set_code,
    authorization,
    access_list,
    withdrawal,
    beacon,
    history,
    system_call,
    block_instructions,
    block,
    frames,
    call_gas,
    create_address,
    init_code,
    stack,
    deep_stack,
    control_flow,
    arithmetic,
    sign_extend,
    comparison,
    bitwise,
    memory,
    memory_tables,
    memory_shifted,
    memory_parts,
    out_of_memory,
    expansion,
    environment,
    keccak,
    copies,
    calldata_memory,
    return_data,
    storage,
    accounts,
    log,
    system,
    call,
    create,
    deposit,
    hashes,
    field_calls,
    blake2f,
    modexp,
    exceptional,
    static_violation,
    buffer,
    calldata,
    push_sites,
    delegation,
    code,
    transfer,
    undo,
    state,
    deletion,
    access_tree,
)


def _of_module(module: ModuleType, fork: Fork) -> tuple[Component, ...]:
    """The components of a module: `COMPONENTS`, or `components(fork)` where they are not the same for all forks."""
    found: tuple[Component, ...] = module.components(fork) if hasattr(module, "components") else module.COMPONENTS
    return found


def _components(fork: Fork) -> list[Component]:
    own: list[Component] = [Acting(Segment(), fill_segment_row)]
    functions: list[Component] = [
        Answering(bitwise_bytes.BitwiseBytes(), BITWISE_BYTES, lambda _, asked: bitwise_bytes.fill(asked)),
        Answering(poseidon2.Poseidon2(), POSEIDON2, lambda _, asked: poseidon2.fill(asked[:, : 2 * DIGEST])),
        Answering(range.RANGE_16, RANGE16, lambda _, asked: range.RANGE_16.fill(asked[:, 0])),
        Answering(range.RANGE_15, RANGE15, lambda _, asked: range.RANGE_15.fill(asked[:, 0]) if len(asked) else None),
    ]
    # What is carried is known only once all else is filled (`circuits.parts`); a segment that is whole carries nothing.
    carried: list[Component] = [Acting(table, lambda _: None) for table in (*CARRIED_TABLES, LINK_TABLE)]
    modules = [c for module in _MODULES for c in _of_module(module, fork)]
    return [*own, *carried, *modules, *copies.COPY_COMPONENTS, *functions]


def in_order(components: Sequence[Component]) -> list[Component]:
    """The components such that every table is filled before those it asks.

    Raises:
        ValueError: tables ask each other in a circle.
    """
    asks = {c.table.name: table_statistics(c.table).asks for c in components}
    waiting: list[Component] = list(components)
    ordered: list[Component] = []
    while waiting:
        blocked: list[Component] = [
            c
            for c in waiting
            if isinstance(c, Answering)
            and any(o is not c and asks[o.table.name] & {bus.index for bus in c.buses} for o in waiting)
        ]
        ready: list[Component] = [c for c in waiting if c not in blocked]
        if not ready:
            raise ValueError(f"tables ask each other in a circle: {[c.table.name for c in waiting]}")
        ordered += ready
        waiting = blocked
    return ordered


# What is known of a circuit, kept in a file: who makes plans or proofs with pinned keys needs no expressions.

STORES = Path(__file__).parent / "described"


#: Modules of the executor whose constants the circuit has.
EXECUTOR_MODULES = (
    "errors",
    "forks",
    "limbs",
    "modexp",
    "opcodes",
    "rules",
    "state_keys",
    "trace",
    "transactions",
)


def sources_digest() -> str:
    """SHA-256 of all files that decide what the circuits are."""
    root = Path(__file__).parent
    executor = (root.parent / "executor" / f"{name}.py" for name in EXECUTOR_MODULES)
    return files_digest([*sorted(root.rglob("*.py")), *executor, listings.STORE])


def circuit_of_sources(fork: Fork, form: Form = Form.WHOLE) -> Circuit:
    """The circuit of every segment of a fork, in one of its forms, with its expressions."""
    return Circuit("segment", _tables(in_order(_components(fork)), form))


def store_of(fork: Fork, form: Form = Form.WHOLE) -> Path:
    """Where it is kept what is known of a fork's circuit in a form."""
    return STORES / f"{key_set(fork, form)}.json"


def store(description: Description, path: Path) -> None:
    """Keep what is known of a circuit, with the digest of its sources."""
    path.parent.mkdir(exist_ok=True)
    document = {"sources": sources_digest(), **description.to_document()}
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")


@cache
def stored(path: Path) -> Description | None:
    """What is known of a circuit from its file, if that is from the sources as they are."""
    try:
        document = json.loads(path.read_text())
        if document["sources"] == sources_digest():
            return Description.of_document(document)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def segment_components(fork: Fork) -> tuple[Component, ...]:
    """All tables of a segment under a fork, in the order in which they are filled."""
    return _segment_components(fork.circuit)


@cache
def _segment_components(circuit: str) -> tuple[Component, ...]:
    fork = EXECUTED_FORKS[circuit]
    components, known = _components(fork), stored(store_of(fork))
    if known is None:
        return tuple(in_order(components))
    by_name = {c.table.name: c for c in components}
    return tuple(by_name[table.name] for table in known.tables)


#: Precompiles whose programs a form of a circuit lists, by number; the whole one lists those of all. Each form lists
#: what the one before does, so that the later one of two has the tables of both.
LISTED: Mapping[Form, frozenset[int]] = {
    Form.LIGHT: frozenset({1}),
    Form.COMMON: frozenset({1, 6, 7, 8, 256}),
}


def segment_circuit(fork: Fork, form: Form = Form.WHOLE) -> Circuit:
    """The circuit of every segment under a fork; forks with the same instructions, prices and contracts share it.

    Its forms lack tables that list programs of precompiles. These are most of a circuit's expressions, and few segments
    have any of them: with keys of a form without them everything that has to do with keys takes a fraction of the time
    and memory. As a circuit each form is the whole one with these tables absent, so that it proves nothing that the
    whole one does not. The light form has the programs of ECRECOVER alone; the common one also those of alt_bn128 and
    P256VERIFY.
    """
    return _segment_circuit(fork.circuit, form)


@cache
def _segment_circuit(circuit: str, form: Form) -> Circuit:
    fork = EXECUTED_FORKS[circuit]
    return Circuit("segment", _tables(segment_components(fork), form), stored(store_of(fork, form)))


def _tables(components: Sequence[Component], form: Form) -> list[Table]:
    return [c.table for c in components if has_table(form, c.table)]


def has_table(form: Form, table: Table) -> bool:
    """Whether a form of a circuit has a table of the whole one."""
    return not isinstance(table, listings.Listing) or form is Form.WHOLE or table.precompile in LISTED[form]


def smallest_form(fork: Fork, tables: Container[str]) -> Form:
    """The form of a fork's circuit with the fewest tables that has all of these, which are named."""
    needed = [table for table in segment_circuit(fork).tables if table.name in tables]
    return next((form for form in LISTED if all(has_table(form, table) for table in needed)), Form.WHOLE)


def key_set(fork: Fork, form: Form) -> str:
    """The name of the keys of a fork's circuit in a form (`verifier.keys`)."""
    return form.key_set(fork.circuit)


def circuit_named(name: str) -> Circuit:
    """The circuit whose keys have a name."""
    circuit, form = Form.of_keys(name)
    return segment_circuit(CIRCUIT_FORKS[circuit], form)


class TableHeight(NamedTuple):
    """How high a table of a segment is: rows that stand for something, and all rows, padding included."""

    rows: int
    height: int

    @classmethod
    def of(cls, table: Table, matrix: Matrix) -> TableHeight:
        """Of a filled table."""
        if table.selector is not None:
            return cls(int((matrix[:, table.layout.offsets[table.selector]] != 0).sum()), len(matrix))
        # No column selects rows: those that differ from the last one, which padding repeats, and that one.
        return cls(1 + int((matrix != matrix[-1]).any(axis=1).sum()), len(matrix))


@dataclass(frozen=True)
class FilledSegment:
    """The tables of a segment.

    Attributes:
        traces: in the order of the circuit's tables; None where one is absent.
        public_values: of the table of segments.
        execution: what they are filled from; of a part of a run that part.
        frames: public values of the table of frames: how many frames there are before, and the id of the first one
            behind, or 0 where no further segment asks.
        words: those of the table of memory (`circuits.memory.memory_tables.MemoryPublic`).
        links: of a part of a run, the others that it has something in common with, by number in ascending order, and
            the running hash (8,) of what.
    """

    traces: list[Matrix | None]
    public_values: SegmentPublicValues
    circuit: Circuit
    execution: Execution
    frames: tuple[int, int] = (0, 0)
    words: tuple[int, int, int, int, int] = memory_tables.ALL_WORDS
    links: Mapping[int, Digests] = field(default_factory=dict)

    def within(self, circuit: Circuit) -> FilledSegment:
        """The same tables as those of another circuit, which has all that are present.

        Raises:
            ValueError: it lacks one.
        """
        own = {table.name: matrix for table, matrix in zip(self.circuit.tables, self.traces, strict=True)}
        if lacking := [name for name, matrix in own.items() if matrix is not None and name not in circuit.names]:
            raise ValueError(f"the circuit lacks {', '.join(lacking)}")
        return replace(self, circuit=circuit, traces=[own[name] for name in circuit.names])

    @property
    def nbytes(self) -> int:
        """Bytes of the tables."""
        return sum(matrix.nbytes for matrix in self.traces if matrix is not None)

    @property
    def heights(self) -> dict[str, TableHeight]:
        """Heights of the tables that it has, by name."""
        return {
            table.name: TableHeight.of(table, matrix)
            for table, matrix in zip(self.circuit.tables, self.traces, strict=True)
            if matrix is not None
        }

    @property
    def public_lists(self) -> list[list[int]]:
        """Public values per table: those of the segment, and how its frames and the words of its memory are ordered."""
        stated = {
            Segment.name: self.public_values.to_list(),
            frames.Frames.name: list(self.frames),
            memory_tables.Memory.name: list(self.words),
        }
        return [
            [] if trace is None else stated.get(table.name, [])
            for table, trace in zip(self.circuit.tables, self.traces, strict=True)
        ]


def public_values(execution: Execution) -> SegmentPublicValues:
    """What the segment of an execution states."""
    batch, first, end = execution.batch, execution.first, execution.end
    operations, receipts = operation_chain(batch), batch.receipts.before_operation
    return SegmentPublicValues(
        version=CIRCUIT_VERSION,
        first_operation=first,
        end_operation=end,
        depth=access_tree.access_depth(batch),
        operations_in=operations[first],
        operations_out=operations[end],
        receipts_in=receipts[first],
        receipts_out=receipts[end],
        writes_out=StateView.of(execution).writes.chain[-1],
        access_in=access_tree.access_root(batch, first),
        access_out=access_tree.access_root(batch, end),
        time_in=0,
        time_out=0,
        links=LINKS_START,
    )


def fill(execution: Execution) -> FilledSegment:
    """All tables of a segment."""
    traces = answer(execution, fill_acting(execution))
    return FilledSegment(traces, public_values(execution), segment_circuit(execution.fork), execution)


def fill_acting(execution: Execution) -> dict[str, Matrix | None]:
    """The tables that are filled from events alone, by name."""
    return {c.table.name: c.fill(execution) for c in segment_components(execution.fork) if isinstance(c, Acting)}


def answer(execution: Execution, acting: dict[str, Matrix | None]) -> list[Matrix | None]:
    """The tables of a segment in the circuit's order, those which answer filled for what the others ask."""
    filled: list[tuple[Table, Matrix]] = []
    traces: list[Matrix | None] = []
    for component in segment_components(execution.fork):
        if isinstance(component, Acting):
            matrix = acting[component.table.name]
        else:
            asked = [queries(bus, filled) for bus in component.buses]
            matrix = component.answer(execution, *asked)
        traces.append(matrix)
        if matrix is not None:
            filled.append((component.table, matrix))
    return traces
