"""LOG0 to LOG4: what enters the running hash of receipts, and in which order."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS, inverse
from circuits.batch.execution import Execution
from circuits.component import Component
from circuits.frames import frames
from circuits.functions.poseidon2 import compress
from circuits.instructions.log import COMPONENTS, Columns
from circuits.statement import BUFFER_START, LOG_ITEM, RECEIPTS_START, buffer_digests, ragged_chains
from circuits.transactions.buses import RECEIPTS
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, OTHER, PROGRAMS, THIRD, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, fill_family, mutate_family, open_messages
from tests.circuits.lying import objections, row_where
from tests.circuits.worlds import halting

SOURCE = """
    7 0 mstore 0 0 not log0 0 65536 log0 1 3 29 log1 2 1 32 0 log2 3 2 1 70 64 log3 4 3 2 1 33 7 log4 5 0 0 log1
    64 0 log0 1 1000 log0
"""


@cache
def _execution() -> Execution:
    building = Builder().alloc(CONTRACT, code="0x" + assemble(SOURCE).hex())
    building.alloc(THIRD, code="0x" + assemble("7 0 mstore 3 29 log0 1 9 0 log1 0 0 revert").hex())
    building.alloc(OTHER, code="0x" + assemble("5 32 0 log1").hex())
    building.block(call_contract(building), call_contract(building, to=THIRD))
    # Fails in the middle; fails for the constant part; and no log at all.
    building.block(call_contract(building, gas=22_500), call_contract(building, gas=21_300), building.transfer())
    building.block(call_contract(building, 1, to=OTHER), call_contract(building))
    return execution_of(building.execute())


@cache
def _small() -> Execution:
    source = "7 0 mstore 8 32 mstore 1 64 0 log1 2 64 0 log1 40 0 log0"
    building = Builder().alloc(CONTRACT, code="0x" + assemble(source).hex())
    building.alloc(THIRD, code="0x" + assemble("32 0 log0 0 0 revert").hex())
    building.block(call_contract(building), call_contract(building, to=THIRD))
    return execution_of(building.execute())


def _family(execution: Execution) -> list[Component]:
    """Logs, the frames that they are in, and what ends these."""
    return [*COMPONENTS, halting(execution, COMPONENTS), *frames.COMPONENTS]


def test_honest() -> None:
    execution = _execution()
    assert check_family(_family(execution), execution) == []
    matrix = fill_family(COMPONENTS, execution)[0]
    assert matrix is not None
    assert matrix[:, Columns.offsets["count"] : Columns.offsets["count"] + 5].any(axis=0).all()
    assert execution.failed[execution.rows(*range(0xA0, 0xA5))].sum() == 2


def test_a_failing_program() -> None:
    execution = execution_of(PROGRAMS["failures"]().execute())
    assert check_family(_family(execution), execution) == []


def test_nothing_is_logged() -> None:
    execution = execution_of(PROGRAMS["storage"]().execute())
    assert fill_family(COMPONENTS, execution) == [None, None]


def test_the_chain() -> None:
    """Against a plain loop over the operations."""
    execution = _execution()
    trace, chain = execution.trace, execution.batch.receipts
    state = RECEIPTS_START
    for operation, row in enumerate(execution.operations.row):  # all operations are transactions
        assert (chain.before_operation[operation] == state).all()
        for log in np.flatnonzero((trace.logs.transaction == row) & (trace.logs.reverted == 0)):
            data = trace.bytes_at(trace.logs.data_start[log], trace.logs.data_size[log])
            topics = np.stack([trace.logs.topic0, trace.logs.topic1, trace.logs.topic2, trace.logs.topic3], axis=1)
            item = LOG_ITEM.digests(
                address=trace.logs.address[log : log + 1],
                topic_count=trace.logs.topics[log : log + 1],
                size=np.array([len(data)]),
                data_digest=buffer_digests([data]),
                topics=topics[log : log + 1],
            )
            assert (chain.before_log[log] == state).all()
            state = compress(state[None], item)[0]
            assert (chain.after_log[log] == state).all()
        state = compress(state[None], chain.receipt_states[row, -1][None])[0]
    assert (chain.before_operation[-1] == state).all()


def test_tokens_of_a_transaction() -> None:
    """All logs of a transaction take one token of the receipts bus and give one."""
    execution = _execution()
    chain = execution.batch.receipts
    messages = open_messages(COMPONENTS, execution, RECEIPTS)
    assert sorted(m[0] for m in messages) == [0, 0, 5, 5, 6, 6]
    begin = [m for m in messages if m[:2] == (0, execution.begin_time[0])]
    assert begin == [(0, execution.begin_time[0], *chain.before_operation[0].tolist())]


@pytest.mark.parametrize("execution", [_execution, _small])
def test_mutations(execution: Any) -> None:
    report = mutate_family(_family(execution()), execution(), rows_per_table=10)
    assert report.survivors == [], str(report)


def undone(rows: Any, at: int) -> None:
    """The row says that its frame fails."""
    world = rows.frame[at : at + 1]
    rows.of_frame.world[at] = world[0]
    rows.persists.zero[at], rows.persists.inverse[at] = 0, inverse(world.astype(np.uint64))[0]


def _forget(rows: Any, at: int) -> None:
    """The row makes no receipt."""
    undone(rows, at)
    for name in ("states", "receipts", "receipts_after"):
        getattr(rows, name)[at] = 0
    rows.order.before[at] = rows.order.low[at] = 0


def _append(rows: Any, order: list[int]) -> None:
    """The logs in these rows enter the hash in this order, between the first one's and the last one's honest tokens."""
    state, before = rows.receipts[min(order)].copy(), int(rows.order.before[min(order)])
    for at in order:
        rows.states[at] = LOG_ITEM.states(
            address=rows.of_frame.address[at : at + 1],
            topic_count=(rows.count[at : at + 1] * np.arange(5)).sum(axis=1),
            size=rows.size[at : at + 1, 0],
            data_digest=rows.data_digest[at : at + 1],
            topics=rows.topics[at : at + 1],
        )[0]
        rows.receipts[at] = state
        state = compress(state[None], rows.states[at, -1][None])[0]
        rows.receipts_after[at] = state
        rows.order.before[at] = before
        rows.order.low[at] = (int(rows.time[at]) - before - 1) & 0xFFFF
        before = int(rows.time[at])


def test_a_dropped_log() -> None:
    def lie(rows: Any) -> None:
        _forget(rows, 1)
        _append(rows, [0, 2])

    assert "frame" in objections(_family(_small()), _small(), {"log": lie})


def test_reordered_logs() -> None:
    def lie(rows: Any) -> None:
        _append(rows, [1, 0, 2])

    assert "range16" in objections(_family(_small()), _small(), {"log": lie})


def test_another_topic() -> None:
    def lie(rows: Any) -> None:
        rows.topics[1, 0, 3] = 9
        _append(rows, [0, 1, 2])

    assert objections(_family(_small()), _small(), {"log": lie}) == {"stack", "receipts"}


def test_a_topic_that_is_not_there() -> None:
    def lie(rows: Any) -> None:
        rows.topics[2, 0, 3] = 9
        _append(rows, [0, 1, 2])

    assert "topic 0 is 0 when there is none" in objections(_family(_small()), _small(), {"log": lie})


def test_another_number_of_topics() -> None:
    def lie(rows: Any) -> None:
        rows.count[1] = [0, 0, 1, 0, 0]
        _append(rows, [0, 1, 2])

    assert "instruction" in objections(_family(_small()), _small(), {"log": lie})


def test_other_data() -> None:
    """The rows that read hash another word than the memory's."""

    def read(rows: Any) -> None:
        rows.word[1, 0] += 1
        words = rows.word[:2].reshape(-1, 8)
        states = ragged_chains(BUFFER_START, words, np.array([len(words)])).reshape(-1, 2, 8)
        rows.states[:2] = states
        rows.digest[1] = states[0, -1]

    def lie(rows: Any) -> None:
        data = np.array([7, *[0] * 15, 9, *[0] * 15], dtype=np.uint32).reshape(-1, 8)
        rows.data_digest[0] = ragged_chains(BUFFER_START, data, np.array([4]))[-1]
        _append(rows, [0, 1, 2])

    found = objections(_family(_small()), _small(), {"log": lie, "log_read": read})
    assert found == {"memory_bytes", "receipts"}


def test_data_that_is_not_read() -> None:
    """The digest of a prefix: the token with 0 bytes left comes too early."""

    def read(rows: Any) -> None:
        rows.left[0] = 32
        for name in ("real", "frame", "time", "offset", "left", "word", "digest", "states"):
            getattr(rows, name)[1] = 0

    def lie(rows: Any) -> None:
        data = np.array([7, *[0] * 15], dtype=np.uint32).reshape(-1, 8)
        rows.data_digest[0] = ragged_chains(BUFFER_START, data, np.array([2]))[-1]
        _append(rows, [0, 1, 2])

    assert "log_read" in objections(_family(_small()), _small(), {"log": lie, "log_read": read})


def test_a_log_of_a_frame_that_fails() -> None:
    def lie(rows: Any) -> None:
        rows.of_frame.world[3] = 0
        rows.persists.zero[3], rows.persists.inverse[3] = 1, 0
        _append(rows, [3])

    assert "frame" in objections(_family(_small()), _small(), {"log": lie})

    def though_undone(rows: Any) -> None:
        rows.persists.zero[3] = 1
        _append(rows, [3])

    assert "no world: value * zero = 0" in objections(_family(_small()), _small(), {"log": though_undone})


def test_a_log_that_runs_out_of_gas() -> None:
    def lie(rows: Any) -> None:
        rows.charge.fails[2] = 1

    assert "range16" in objections(_family(_small()), _small(), {"log": lie})


def test_a_log_with_negative_gas() -> None:
    """The charge alone could wrap: a log's data may cost more than it allows for an amount below 0."""

    def lie(rows: Any) -> None:
        at = row_where(rows.charge.fails == 1)
        rows.gas[at] = MODULUS - 5
        rows.charge.margin[at] = (int(rows.cost[at]) + 5 - 1) & 0xFFFF
        rows.not_negative.low[at] = MODULUS - 5  # so that there are no upper bits

    assert objections(_family(_execution()), _execution(), {"log": lie}, follows=True) == {"range16"}


def test_cells_of_a_receipt_are_zero_without_one() -> None:
    def lie(rows: Any) -> None:
        rows.receipts[3, 0] = 1

    assert objections(_family(_small()), _small(), {"log": lie}) == {"no receipt"}
