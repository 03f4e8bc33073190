"""SLOAD, SSTORE, TLOAD and TSTORE: what they pay, what they refund, and what they see."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.air.gadgets.basic import IsZero
from circuits.air.layout import TraceView, allocate
from circuits.batch.execution import Execution
from circuits.instructions import storage
from circuits.state import access_tree, state, undo
from circuits.state.same_words import fill_same
from circuits.state.state_view import StateView, refund_change
from executor.opcodes import OPCODES
from scripts.batches.programs import REVERTING
from scripts.batches.segment import execution_of
from scripts.batches.state import histories, run, several_blocks
from tests.circuits.family import check_family, mutate_family
from tests.circuits.lying import objections, row_where

FAMILY = (*storage.COMPONENTS, *undo.COMPONENTS, *state.COMPONENTS, *access_tree.COMPONENTS)

_SET = 21_000 + 6 + 22_100  # gas of a transaction that sets one fresh slot


@cache
def _poor() -> Execution:
    """Transactions that run out of gas at every place where these instructions can."""
    amounts = [
        _SET - 1,
        _SET + 6 + 2_300,
        _SET + 6 + 2_301,
        _SET + 6 + 22_100 - 1,
        _SET + 6 + 22_100,
        _SET + 6 + 22_100 + 3 + 2_099,
        _SET + 6 + 22_100 + 3 + 2_100,
        _SET + 6 + 22_100 + 3 + 2_100 + 3 + 99,
        21_006 + 2_300,
        1_000_000,
    ]
    return run("1 1 sstore 2 2 sstore 5 sload 5 sload", amounts, storage={"0x5": "0x7"})


CASES = {
    "histories": histories,
    "poor": _poor,
    "reverting": cache(lambda: run(REVERTING, [1_000_000] * 2, storage={"0x1": "0x1", "0x3": "0x3"})),
    "several blocks": cache(lambda: execution_of(several_blocks().execute())),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_honest(case: Any) -> None:
    assert check_family(FAMILY, case()) == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_mutations(case: Any) -> None:
    report = mutate_family((*storage.COMPONENTS, *undo.COMPONENTS, *state.COMPONENTS), case(), rows_per_table=8)
    assert report.survivors == []
    # What may change is the point where unequal words are told apart, and only with all that follows from it.
    assert [s for s in report.declared if s.table == "sstore" and s.kind == "cell"] == []


def test_cases_fail_in_every_way() -> None:
    execution = _poor()
    steps = np.flatnonzero(execution.failed & (execution.opcode == OPCODES["SSTORE"]))
    takes = StateView.of(execution).takes_storage(steps)
    assert takes.any()
    assert not takes.all()
    assert (execution.failed & (execution.opcode == OPCODES["SLOAD"])).any()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_costs_and_refunds_are_those_of_the_execution(case: Any) -> None:
    execution = case()
    trace = execution.trace
    view = StateView.of(execution)
    steps = execution.rows(OPCODES["SSTORE"], failed=False)
    matrix = storage.fill_sstore(execution)
    assert matrix is not None
    rows: Any = TraceView(storage.SstoreColumns, matrix)
    stored = execution.rows(OPCODES["SSTORE"])
    of_trace = execution.step[stored]
    paid = (trace.steps.gas_before[of_trace] - trace.steps.gas_after[of_trace]).astype(np.int64)
    good = ~execution.failed[stored]
    np.testing.assert_array_equal(rows.cost[: len(stored)][good], paid[good])
    assert len(steps) == good.sum()
    transactions = execution.transactions
    total, _, _ = view.substate_end(execution.transaction_operations)
    used = trace.transactions.gas_used[transactions].astype(np.int64)
    refunded = trace.transactions.gas_refunded[transactions].astype(np.int64)
    assert not total[trace.transactions.status[transactions] == 0].any()
    expected = np.minimum(total, (used + refunded) // 5)
    np.testing.assert_array_equal(refunded, expected)


@pytest.mark.parametrize(
    ("original", "current", "new", "change"),
    [
        (0, 0, 0, 0), (0, 0, 1, 0), (0, 1, 0, 19_900), (0, 1, 2, 0), (0, 1, 1, 0), (1, 0, 0, 0), (1, 0, 1, -2_000),
        (1, 0, 2, -4_800), (1, 1, 0, 4_800), (1, 1, 1, 0), (1, 1, 2, 0), (1, 2, 0, 4_800), (1, 2, 1, 2_800),
        (1, 2, 2, 0), (1, 2, 3, 0),
    ],
)  # fmt: skip
def test_refunds_of_eip_3529(original: int, current: int, new: int, change: int) -> None:
    words = [np.array([[value] + [0] * 15]) for value in (original, current, new)]
    assert refund_change(*words).tolist() == [change]


def lie_cold_paid_as_warm(rows: Any) -> None:
    """The row says that the slot is warm, and everything else follows."""
    row = row_where((rows.real == 1) & (rows.warm == 0) & (rows.charge.fails == 0))
    rows.warm[row] = 1
    gas = rows.gas[row : row + 1].astype(np.int64)
    cost = 100
    if "cost" in rows._layout.parts:
        rows.cost[row] -= 2_100
        cost = int(rows.cost[row])
    rows.charge.margin[row] = (gas[0] - cost) & 0xFFFF


def lie_stale_value(rows: Any) -> None:
    rows.value[row_where(rows.real == 1), 0] ^= 1


def lie_other_slot(rows: Any) -> None:
    rows.slot[row_where(rows.real == 1), 0] ^= 1


def lie_other_account(rows: Any) -> None:
    rows.of_frame.address[row_where(rows.real == 1), 0] ^= 1


def lie_earlier_transaction(rows: Any) -> None:
    rows.of_frame.operation[row_where(rows.real == 1)] += 1


def lie_from_the_future(rows: Any) -> None:
    """An access takes the token of a later one."""
    rows.order.before[row_where(rows.real == 1)] += 1 << 20


def lie_fails_with_gas_enough(rows: Any) -> None:
    row = row_where((rows.real == 1) & (rows.charge.fails == 0))
    rows.charge.fails[row] = 1


def lie_succeeds_without_gas(rows: Any) -> None:
    rows.charge.fails[row_where(rows.charge.fails == 1)] = 0


def lie_stipend_ignored(rows: Any) -> None:
    rows.stipend.fails[row_where(rows.stipend.fails == 1)] = 0


def lie_stipend_feigned(rows: Any) -> None:
    rows.stipend.fails[row_where((rows.real == 1) & (rows.stipend.fails == 0))] = 1


def _resame(rows: Any, row: int) -> None:
    """All flags of an SSTORE anew, as its words say."""
    one = slice(row, row + 1)
    words = [getattr(rows, name)[one].astype(np.int64) for name in ("original", "value", "new")]
    original, value, new = words
    matrix, _ = allocate(storage.SstoreColumns, 1)
    matrix[:] = rows._matrix[one]
    view: Any = TraceView(storage.SstoreColumns, matrix)
    fill_same(view.same, ((original, value), (value, new), (original, new)))
    for flag, word in zip((view.no_original, view.no_value, view.no_new), words, strict=True):
        IsZero.fill(flag, word.sum(axis=1).astype(np.uint64))
    differs = (value != new).any(axis=1)
    zero = [~word.any(axis=1) for word in words]
    view.first_change = differs & (original == value).all(axis=1)
    view.restores = differs & (original == new).all(axis=1)
    view.clears = ~zero[0] & ~zero[1] & zero[2]
    view.unclears = ~zero[0] & zero[1] & ~zero[2]
    rows._matrix[one] = matrix


def lie_forged_original(rows: Any) -> None:
    """The value before the transaction is said to be another one, with all that follows."""
    row = row_where((rows.real == 1) & (rows.first_change == 1))
    rows.original[row, 0] ^= 1
    _resame(rows, row)


def lie_forged_value(rows: Any) -> None:
    row = row_where((rows.real == 1) & (rows.first_change == 1))
    rows.value[row, 0] ^= 1
    _resame(rows, row)


def lie_unequal_words_said_equal(rows: Any) -> None:
    """Value and new value differ, but the row pays as if they did not: at a point where the polynomial vanishes."""
    row = row_where((rows.real == 1) & (rows.first_change == 1))
    rows.same.same[row, 1] = 1
    rows.same.value[row, 1] = rows.same.inverse[row, 1] = 0
    rows.first_change[row] = 0


def lie_equal_words_said_unequal(rows: Any) -> None:
    row = row_where((rows.real == 1) & (rows.same.same[:, 0] == 1))
    rows.same.same[row, 0] = 0
    rows.first_change[row] = 0


def lie_no_set_paid(rows: Any) -> None:
    """A slot is set for the price of a change."""
    row = row_where((rows.first_change == 1) & (rows.no_original.zero == 1))
    rows.no_original.zero[row] = 0
    rows.cost[row] -= 20_000 - 2_900
    rows.charge.margin[row] = (int(rows.gas[row]) - int(rows.cost[row])) & 0xFFFF


def lie_cost(rows: Any) -> None:
    row = row_where((rows.real == 1) & (rows.stipend.fails == 0) & (rows.charge.fails == 0))
    rows.cost[row] -= 1
    rows.charge.margin[row] = (int(rows.gas[row]) - int(rows.cost[row])) & 0xFFFF


def lie_refund_before(rows: Any) -> None:
    """More is refunded than was counted."""
    rows.refund[row_where(rows.moves == 1)] += 1


def lie_clears_feigned(rows: Any) -> None:
    row = row_where((rows.moves == 0) & (rows.real == 1) & (rows.first_change == 1))
    rows.clears[row] = rows.moves[row] = 1
    rows.substate_order.before[row] = rows.time[row] - 1


def lie_unclears_concealed(rows: Any) -> None:
    row = row_where((rows.unclears == 1) & (rows.moves == 1) & (rows.restores == 0))
    rows.unclears[row] = rows.moves[row] = rows.refund[row] = 0
    rows.substate_order.before[row] = rows.substate_order.low[row] = 0


def lie_refund_not_moved(rows: Any) -> None:
    row = row_where(rows.moves == 1)
    rows.moves[row] = rows.refund[row] = rows.destructions[row] = rows.substate_order.before[
        row
    ] = rows.substate_order.low[row] = 0


def lie_lost_write(rows: Any) -> None:
    """A write does not reach the slot."""
    row = row_where((rows.real == 1) & (rows.value != rows.new).any(axis=1))
    rows.new[row] = rows.value[row]


def lie_gas_below_zero(rows: Any) -> None:
    rows.gas[0] = 99


@pytest.mark.parametrize(
    ("table", "lie", "case", "objection"),
    [
        ("sload", lie_cold_paid_as_warm, "histories", "storage"),
        ("sload", lie_stale_value, "histories", "storage"),
        ("sload", lie_other_slot, "histories", "storage"),
        ("sload", lie_other_account, "histories", "frame"),
        ("sload", lie_earlier_transaction, "histories", "frame"),
        ("sload", lie_from_the_future, "histories", "range16"),
        ("sload", lie_fails_with_gas_enough, "histories", "range16"),
        ("sload", lie_succeeds_without_gas, "poor", "range16"),
        ("sstore", lie_cold_paid_as_warm, "histories", "storage"),
        ("sstore", lie_stale_value, "histories", "storage"),
        ("sstore", lie_other_slot, "histories", "storage"),
        ("sstore", lie_other_account, "histories", "frame"),
        ("sstore", lie_from_the_future, "histories", "range16"),
        ("sstore", lie_fails_with_gas_enough, "histories", "range16"),
        ("sstore", lie_succeeds_without_gas, "poor", "range16"),
        ("sstore", lie_stipend_ignored, "poor", "range16"),
        ("sstore", lie_stipend_feigned, "poor", "range16"),
        ("sstore", lie_forged_original, "histories", "original"),
        ("sstore", lie_forged_value, "histories", "storage"),
        ("sstore", lie_unequal_words_said_equal, "histories", "pair 1: equal limb 0"),
        ("sstore", lie_equal_words_said_unequal, "histories", "pair 0: value * inverse = 1 - same"),
        ("sstore", lie_no_set_paid, "histories", "original is 0: value * inverse = 1 - zero"),
        ("sstore", lie_cost, "histories", "cost"),
        ("sstore", lie_refund_before, "histories", "substate"),
        ("sstore", lie_clears_feigned, "histories", "clears"),
        ("sstore", lie_unclears_concealed, "histories", "unclears"),
        ("sstore", lie_refund_not_moved, "histories", "the refund counter changes"),
        ("sstore", lie_lost_write, "histories", "stack"),
        ("tload", lie_stale_value, "histories", "storage"),
        ("tload", lie_other_slot, "histories", "storage"),
        ("tload", lie_from_the_future, "histories", "range16"),
        ("tload", lie_gas_below_zero, "histories", "range16"),
        ("tstore", lie_stale_value, "histories", "storage"),
        ("tstore", lie_lost_write, "histories", "stack"),
        ("tstore", lie_gas_below_zero, "histories", "range16"),
    ],
)
def test_lies(table: str, lie: Any, case: str, objection: str) -> None:
    assert objection in objections(FAMILY, CASES[case](), {table: lie})


@pytest.mark.parametrize(
    ("counter", "objecting"),
    [(0, set()), ((1 << 30) - 1, set()), (1 << 30, {"range16"}), (MODULUS - 1, {"range16"})],
)
def test_the_refund_counter_does_not_come_around(counter: int, objecting: set[str]) -> None:
    """With more gas than the field has elements, more could be refunded: the counter is bounded where it changes."""

    def lie(rows: Any) -> None:
        row = row_where(rows.moves == 1)
        words = (getattr(rows, name)[row : row + 1] for name in ("original", "value", "new"))
        rows.refund[row] = (counter - int(refund_change(*words)[0])) % MODULUS
        rows.refund_after.low[row] = counter % MODULUS & 0xFFFF

    assert objections(storage.COMPONENTS, histories(), {"sstore": lie}, follows=True) == objecting
