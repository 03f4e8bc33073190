"""System calls: who calls which contract with what, what comes of it, and what the block gets of that."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.air.mutation import mutate
from circuits.batch.execution import Batch, Execution
from circuits.batch.operation_items import HISTORY_SERVE_WINDOW, operation_items
from circuits.batch.operations import OperationKind
from circuits.limbs import addresses_from_bytes, words_to_ints
from circuits.segment import FilledSegment, fill, segment_circuit
from circuits.state.state_view import StateView
from circuits.transactions import history, system_call
from executor.execute import ExecutedBatch
from executor.forks import (
    BEACON_ROOTS_ADDRESS,
    CANCUN,
    CONSOLIDATION_REQUESTS_ADDRESS,
    FORKS,
    HISTORY_STORAGE_ADDRESS,
    OSAKA,
    PRAGUE,
    SYSTEM_ADDRESS,
)
from executor.opcodes import OPCODES
from executor.trace import ExecutionTrace, FrameKind
from scripts.batches import system_calls
from scripts.forging.segments import Lie, check, objections, tell
from tests.circuits.family import check_family, mutate_family
from tests.circuits.lying import RANGES
from tests.circuits.lying import objections as family_objections

BEACON, TRANSACTION, WITHDRAWAL, HISTORY, CALL = (
    OperationKind.BEACON, OperationKind.TRANSACTION, OperationKind.WITHDRAWAL, OperationKind.HISTORY,
    OperationKind.SYSTEM_CALL,
)  # fmt: skip

#: Batches, and the fork of each.
BATCHES = {name: (build, OSAKA) for name, build in system_calls.BATCHES.items()} | {
    "requests of Prague": (system_calls.requests, PRAGUE)
}

ADDRESS_OF_SYSTEM = addresses_from_bytes([SYSTEM_ADDRESS])[0]
SYSTEM_SUM = int(ADDRESS_OF_SYSTEM.astype(int).sum())

#: Of `others`: the calls of the first block, by their rows in the trace's system calls, and what the third returns.
REVERTS, UNHEARD, RETURNS, SILENT = range(4)
RETURNED = 70


@cache
def executed(name: str) -> ExecutedBatch:
    build, fork = BATCHES[name]
    return build(fork).provable()


def trace_of(name: str) -> ExecutionTrace:
    trace = executed(name).trace
    assert trace is not None
    return trace


def kinds(name: str) -> list[int]:
    found: list[int] = Batch.of(trace_of(name)).operations.kind.tolist()
    return found


@cache
def whole(name: str) -> Execution:
    batch = Batch.of(trace_of(name))
    return Execution(batch, 0, len(batch.operations))


#: Of those whose every segment is checked in the fast tests.
FAST = ("requests", "no contracts")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.deep) for n in BATCHES])
def test_honest(name: str) -> None:
    """As one segment, and cut wherever segments may begin."""
    batch = Batch.of(trace_of(name))
    cuts = batch.operations.cuts.tolist()
    for first, end in [(0, len(batch.operations)), *pairwise(cuts)]:
        assert not check(fill(Execution(batch, first, end)))


def test_the_order_of_operations() -> None:
    calls = [CALL, CALL]
    assert kinds("requests") == [
        *(BEACON, HISTORY, *[TRANSACTION] * 3, WITHDRAWAL, WITHDRAWAL, *calls),
        *(BEACON, HISTORY, *calls),
        *(BEACON, HISTORY, TRANSACTION, TRANSACTION, WITHDRAWAL, *calls),
    ]
    assert kinds("other contracts") == [
        *(*calls, TRANSACTION, TRANSACTION, WITHDRAWAL, *calls),
        *(*calls, TRANSACTION, *calls),
    ]
    assert kinds("no contracts") == [*calls, TRANSACTION, *calls, *calls, TRANSACTION, *calls]


def test_what_calls_return() -> None:
    table = trace_of("requests").system_calls
    sizes = {}
    for row in np.flatnonzero(table.block == 0).tolist():
        sizes[table.address[row].tobytes()] = int(table.output_size[row])
    # Two withdrawals of 76 bytes, a consolidation of 116.
    assert sorted(sizes.values()) == [0, 0, 116, 152]
    assert executed("requests").outputs[1] == (b"", b"")
    trace = trace_of("other contracts")
    assert trace.system_calls.output_size.tolist()[:4] == [40, 40, RETURNED, 0]
    frame = int(trace.system_calls.first_frame[RETURNS])
    assert trace.frames.kind[frame] == FrameKind.SYSTEM
    assert (
        executed("other contracts").outputs[0][0][: RETURNED - 32]
        == (SYSTEM_ADDRESS[8:] + words_to_ints(trace.blocks.base_fee[:1])[0].to_bytes(32, "big"))[
            # From byte 20 on: the end of the sender, the base fee, the caller's zeros.
            : RETURNED - 32
        ]
    )


def test_a_failed_call_leaves_nothing_and_one_that_succeeds_stays() -> None:
    state = executed("other contracts").post_state
    assert (state.storage(BEACON_ROOTS_ADDRESS, 2), state.storage(BEACON_ROOTS_ADDRESS, 3)) == (6, 0)
    assert state.storage(HISTORY_STORAGE_ADDRESS, 2) == 40  # a transaction has called it last
    assert state.storage(CONSOLIDATION_REQUESTS_ADDRESS, 1) == 3  # two system calls and a transaction
    halted = executed("halting contracts").post_state
    assert [halted.storage(BEACON_ROOTS_ADDRESS, slot) for slot in (2, 3)] == [6, 0]


def test_the_hash_of_the_parent_is_written() -> None:
    execution = whole("requests")
    fields = operation_items(execution.batch).histories.fields
    numbers = execution.trace.blocks.number.tolist()
    assert words_to_ints(fields["slot"]) == [(number - 1) % HISTORY_SERVE_WINDOW for number in numbers]
    state, blocks = executed("requests").post_state, execution.trace.blocks
    for number, parent in zip(numbers, words_to_ints(blocks.parent_hash), strict=True):
        assert state.storage(HISTORY_STORAGE_ADDRESS, number - 1) == parent


def test_tables_of_forks() -> None:
    for fork in FORKS.values():
        names = set(segment_circuit(fork).names)
        assert ({"history", "system_call"} <= names) == (fork is not CANCUN)
        assert bool({"history", "system_call"} & names) == (fork is not CANCUN)


# Lies of an executor, which everything follows.


@cache
def honest(name: str) -> FilledSegment:
    return tell(trace_of(name), Lie())


def caught(lie: Lie, name: str = "other contracts") -> set[str]:
    return objections(honest(name), tell(trace_of(name), lie))


def test_the_honest_are_not_caught() -> None:
    for name in ("requests", "other contracts"):
        assert not caught(Lie(), name)


def test_other_bytes_are_returned() -> None:
    """The verifier hears what the proof file says: what stood in the memory objects."""

    def other(trace: ExecutionTrace) -> None:
        start = len(trace.data.byte) - RETURNED
        trace.system_calls.output_start[RETURNS] = start

    assert "limb 0 of the request" in caught(Lie(other))


@pytest.mark.parametrize("size", [0, 32, RETURNED - 1, RETURNED + 1])
def test_another_number_of_bytes_is_returned(size: int) -> None:
    def cut(trace: ExecutionTrace) -> None:
        trace.system_calls.output_size[RETURNS] = size

    assert "the bytes that it returns to the block" in caught(Lie(cut))


def test_what_another_call_returned() -> None:
    """The output is read in the memory of another frame, which returned as much."""

    def swap(rows: Any) -> None:
        names = ("frame", "output_start", "returned", "end_time")
        first, second = np.flatnonzero(rows.output_size > 0)[:2]
        for name in names[:1]:
            column = getattr(rows, name)
            column[first], column[second] = column[second], column[first]

    assert {"message", "result", "log_read"} <= caught(Lie(tables={"system_call": swap}))


def test_a_call_that_must_succeed_fails() -> None:
    def must(trace: ExecutionTrace) -> None:
        trace.system_calls.returns[REVERTS] = 1

    assert {"operations_out", "a call that must succeeds"} <= caught(Lie(must))


def test_a_call_whose_output_does_not_matter_returns_something() -> None:
    def returns(trace: ExecutionTrace) -> None:
        trace.system_calls.returns[UNHEARD] = 1

    assert caught(Lie(returns)) == {"operations_out"}


def test_another_input() -> None:
    """The verifier knows the input of each call; and that of the buffer which is read."""

    def other(trace: ExecutionTrace) -> None:
        trace.system_calls.input_start[UNHEARD] += 1

    assert "operations_out" in caught(Lie(other))

    def of_another(rows: Any) -> None:
        rows.input_id[UNHEARD] = rows.input_id[REVERTS]

    assert {"calldata"} <= caught(Lie(tables={"system_call": of_another}))


def test_another_contract() -> None:
    def other(trace: ExecutionTrace) -> None:
        table = trace.system_calls
        table.address[RETURNS] = table.address[SILENT]

    assert "operations_out" in caught(Lie(other))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("caller", 7),
        ("gas", 29_999_999),
        ("value", 1),
        ("depth", 1),
        ("static", 1),
        ("calldata_size", 31),
    ],
)
def test_another_message(column: str, value: int) -> None:
    """The frame of a call is opened otherwise: by somebody else, with other gas, with value."""

    def other(rows: Any) -> None:
        cells = getattr(rows, column)
        if cells.ndim == 2:
            cells[0, 0] = value
        else:
            cells[0] = value

    assert "message" in caught(Lie(tables={"frame": other}))


@pytest.mark.parametrize("name", ["ORIGIN", "GASPRICE", "CALLER"])
def test_another_word_for_the_call(name: str) -> None:
    def other(rows: Any) -> None:
        rows.word[np.flatnonzero(rows.opcode == OPCODES[name])[0], 0] += 1

    assert "context" in caught(Lie(tables={"context": other}))


def test_blobs_of_a_call() -> None:
    def blobs(rows: Any) -> None:
        rows.blobs[0] = 1
        rows.difference[0] = 1 - 1 - rows.index[0, 0]
        rows.exists[0], rows.above[0] = 1, 0

    assert "context" in caught(Lie(tables={"blobhash": blobs}))


def test_a_write_of_a_failed_call_stays() -> None:
    def stays(execution: Execution, view: StateView) -> None:
        undone = view.storage_undo
        row = int(np.flatnonzero((undone.operation == 0) & (undone.value != undone.last).any(axis=1))[0])
        slot = int(np.flatnonzero((view.slots.leaf == undone.leaf[row]) & (view.slots.operation == 0))[0])
        view.slots.last[slot] = view.slots.result[slot] = undone.last[row]

    assert "storage" in caught(Lie(events=stays))


def test_a_call_is_skipped_or_made_twice() -> None:
    def skip(rows: Any) -> None:
        rows.real[SILENT] = 0

    assert {"chain"} <= caught(Lie(tables={"system_call": skip}))

    def twice(rows: Any) -> None:
        rows._matrix[SILENT] = rows._matrix[RETURNS]

    assert {"chain"} <= caught(Lie(tables={"system_call": twice}))


def test_the_calls_of_a_block_change_their_order() -> None:
    def swap(trace: ExecutionTrace) -> None:
        for name in ("address", "input_start"):
            column = getattr(trace.system_calls, name)
            column[[REVERTS, UNHEARD]] = column[[UNHEARD, REVERTS]]

    assert "operations_out" in caught(Lie(swap))


def test_code_that_is_said_not_to_be_there() -> None:
    def without(rows: Any) -> None:
        rows.coded[SILENT] = 0
        for name in ("code_id", "code_size", "frame", "success", "gas_left", "output_start", "returned"):
            getattr(rows, name)[SILENT] = 0

    assert {"no code[0]", "message", "result"} & caught(Lie(tables={"system_call": without}))


def test_code_that_is_not_there() -> None:
    def code(rows: Any) -> None:
        rows.coded[0] = 1
        rows.frame[0] = 1

    assert {"code", "message"} <= caught(Lie(tables={"system_call": code}), "no contracts")


def test_logs_of_a_call_come_into_receipts() -> None:
    """A log of a call continues the receipts of the transaction before it."""

    def into(rows: Any) -> None:
        persisting = np.flatnonzero(rows.persists.zero)
        own = persisting[rows.of_frame.operation[persisting] == 5]
        rows.of_frame.operation[own] = 2

    assert {"frame", "receipts"} <= caught(Lie(tables={"log": into}))

    def receipts(rows: Any) -> None:
        rows.receipts[RETURNS] = rows.logs[RETURNS]

    assert {"chain"} <= caught(Lie(tables={"system_call": receipts}))


@pytest.mark.parametrize("table", ["account_query", "call"])
def test_a_precompile_that_is_warm_in_a_system_call(table: str) -> None:
    """Its price is that of a transaction, whatever ORIGIN is said to be."""

    def warm(rows: Any) -> None:
        system, inverse = 1, 2
        row = int(np.flatnonzero(rows.coldness.called[:, system] & rows.coldness.cold)[0])
        rows.coldness.cold[row] = 0
        rows.coldness.called[row, system] = 0
        rows.coldness.origin[row, 0] = 0
        apart = rows.coldness.origin[row].astype(int).sum() - SYSTEM_SUM
        rows.coldness.called[row, inverse] = pow(int(apart), -1, MODULUS)

    assert {"context"} <= caught(Lie(tables={table: warm}))

    def cold(rows: Any) -> None:
        """In a transaction, where the account would be warm."""
        called = rows.coldness.called
        row = int(np.flatnonzero((called[:, 0] == 1) & (called[:, 1] == 0))[0])
        called[row] = (1, 1, 0)
        rows.coldness.origin[row] = ADDRESS_OF_SYSTEM
        rows.coldness.cold[row] = rows.coldness.touched.zero[row] == 0

    assert {"context"} <= caught(Lie(tables={table: cold}))


def test_what_a_call_destroys_stays() -> None:
    def none(rows: Any) -> None:
        assert rows.destructions[RETURNS] == 1
        rows.destructions[RETURNS] = 0

    assert {"substate", "deletion"} <= caught(Lie(tables={"system_call": none}))


# The write of the parent's hash.


def lie_other_hash(rows: Any) -> None:
    rows.hash[0, 0] ^= 1


def lie_other_slot(rows: Any) -> None:
    rows.slot[0, 0] += 1


def lie_old_value(rows: Any) -> None:
    rows.write.value[0, 0] ^= 1


def lie_time(rows: Any) -> None:
    rows.write.order.before[0] = rows.time[0] + 1


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        (lie_other_hash, "poseidon2"),
        (lie_other_hash, "storage"),
        (lie_other_slot, "poseidon2"),
        (lie_other_slot, "storage"),
        (lie_old_value, "storage"),
        (lie_time, "range16"),
    ],
)
def test_lies_about_the_hash(lie: Callable[[Any], None], objection: str) -> None:
    assert objection in family_objections(history.components(OSAKA), whole("requests"), {"history": lie})


def test_another_hash_is_another_operation() -> None:
    def other(trace: ExecutionTrace) -> None:
        trace.blocks.parent_hash[-1, 0] ^= 1  # for which no transaction asks

    assert "operations_out" in caught(Lie(other), "requests")


# Mutations.


@pytest.mark.parametrize("name", ["other contracts", "no contracts"])
def test_family(name: str) -> None:
    assert check_family(system_call.components(OSAKA), whole(name)) == []


def test_mutations_of_families() -> None:
    family = [*system_call.components(OSAKA), RANGES]
    assert mutate_family(family, whole("other contracts"), rows_per_table=8).survivors == []
    assert mutate_family([*history.components(OSAKA), RANGES], whole("requests"), rows_per_table=8).survivors == []


@pytest.mark.deep
@pytest.mark.parametrize("name", ["requests", "other contracts", "no contracts"])
def test_mutations_of_the_circuit(name: str) -> None:
    filled = fill(whole(name))
    names = ("history", "system_call", "log_read", "beacon", "account_query", "call")
    tables = {name for name in names if filled.traces[filled.circuit.names.index(name)] is not None}
    found = mutate(filled.circuit, filled.traces, filled.public_lists, rows_per_table=8, seed=1, tables=tables)
    assert found.survivors == [], str(found)
