"""Histories of accounts and slots: what a row opens with, leaves behind and writes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.batch.execution import Execution
from circuits.batch.leaves import LeafKind
from circuits.functions.poseidon2 import compress
from circuits.instructions import storage
from circuits.state import access_tree, state, transfer, undo
from circuits.state.state_view import Role, StateView
from circuits.statement import WRITE_ITEM, WRITES_START
from executor.errors import ExecutionMismatch
from scripts.batches.programs import REVERTING
from scripts.batches.segment import execution_of
from scripts.batches.state import histories, run, several_blocks
from tests.circuits.family import check_family, mutate_family
from tests.circuits.lying import objections, row_where

#: The world makes the accesses of transactions; those of instructions are here.
FAMILY = (
    *storage.COMPONENTS,
    *transfer.COMPONENTS,
    *undo.COMPONENTS,
    *state.COMPONENTS,
    *access_tree.COMPONENTS,
)


@cache
def _blocks() -> Execution:
    return execution_of(several_blocks().execute())


@pytest.mark.parametrize("execution", [histories, _blocks], ids=["histories", "several blocks"])
def test_honest(execution: Any) -> None:
    assert check_family(FAMILY, execution()) == []


def test_an_account_has_a_row_for_each_block() -> None:
    view = StateView.of(_blocks())
    rows = view.accounts
    assert len(np.unique(np.stack([rows.leaf, rows.scope]), axis=1).T) == len(rows)
    assert (rows.previous > 0).any()
    assert (rows.scope >= rows.previous).all()
    slots = view.slots
    assert len(np.unique(np.stack([slots.leaf, slots.operation]), axis=1).T) == len(slots)
    assert (slots.previous > 0).any()


def test_writes_are_those_of_the_batch() -> None:
    """The values written last are those that the batch leaves, and the chain hashes all of them in order."""
    execution = _blocks()
    view = StateView.of(execution)
    writes = view.writes
    value, nonce = view.before.value.copy(), view.before.nonce.copy()
    for i in np.argsort(writes.scope, kind="stable"):
        value[writes.leaf[i]] = writes.value[i]
        if execution.leaves.keys.kind[writes.leaf[i]] == LeafKind.ACCOUNT:
            nonce[writes.leaf[i]] = writes.nonce[i]
    np.testing.assert_array_equal(value, view.after.value)
    np.testing.assert_array_equal(nonce, view.after.nonce)
    digest = WRITES_START[None]
    items = WRITE_ITEM.digests(scope=writes.scope, leaf=writes.leaf, value=writes.value, nonce=writes.nonce)
    for item in items:
        digest = compress(digest, item[None])
    np.testing.assert_array_equal(digest[0], writes.chain[-1])


def test_failed_transactions_leave_storage_as_it_was() -> None:
    execution = run(REVERTING, storage={"0x3": "0x1"})
    slots = StateView.of(execution).slots
    undone = StateView.of(execution).storage_undo
    assert (undone.last != undone.value).any()
    assert (undone.warm == 0).all()
    assert (slots.last_warm == 0).all()
    np.testing.assert_array_equal(slots.last, slots.value)
    np.testing.assert_array_equal(slots.result, slots.value)
    assert check_family(FAMILY, execution) == []


def test_the_replay_notices_another_execution() -> None:
    execution = run("1 1 sstore", [100_000])
    execution.trace.transactions.gas_used[0] -= 1
    with pytest.raises(ExecutionMismatch):
        StateView(execution)


def test_accesses_of_a_transaction_in_order() -> None:
    execution = _blocks()
    view = StateView.of(execution)
    numbers = execution.transaction_operations
    times = [view.account_access(numbers, role).time for role in Role if role <= Role.COINBASE_END]
    assert (np.diff(np.stack(times), axis=0) > 0).all()
    access = view.account_access(numbers, Role.SENDER_BEGIN)
    assert (access.then < access.time).all()
    assert (access.nonce_after[:, 0] == access.nonce[:, 0] + 1).all()


@pytest.mark.parametrize("execution", [histories, _blocks], ids=["histories", "several blocks"])
def test_mutations(execution: Any) -> None:
    family = (*storage.COMPONENTS, *transfer.COMPONENTS, *undo.COMPONENTS, *state.COMPONENTS)
    report = mutate_family(family, execution(), rows_per_table=8)
    assert report.survivors == []


def _silence(rows: Any, row: int) -> None:
    rows.write.emits[row] = 0
    for name in ("count", "writes", "item", "writes_after"):
        getattr(rows.write, name)[row] = 0


def lie_silent_account(rows: Any) -> None:
    """A new balance is not written."""
    _silence(rows, row_where(rows.write.emits == 1))


def lie_silent_slot(rows: Any) -> None:
    _silence(rows, row_where(rows.write.emits == 1))


def _write_other(rows: Any, row: int, scope: Any, leaf: Any, value: Any, nonce: Any) -> None:
    rows.write.item[row] = WRITE_ITEM.states(scope=[scope], leaf=[leaf], value=value[None], nonce=nonce[None])[0]
    rows.write.writes_after[row] = compress(rows.write.writes[row][None], rows.write.item[row, -1][None])[0]


def lie_other_value(rows: Any) -> None:
    """Something else is written than the row leaves."""
    row = row_where(rows.write.emits == 1)
    value = rows.balance_after[row].copy()
    value[0] ^= 1
    _write_other(rows, row, rows.scope[row], rows.leaf[row], value, rows.nonce_after[row])


def lie_other_scope(rows: Any) -> None:
    row = row_where(rows.write.emits == 1)
    _write_other(rows, row, rows.scope[row] + 1, rows.leaf[row], rows.balance_after[row], rows.nonce_after[row])


def lie_slot_written_as_before(rows: Any) -> None:
    row = row_where(rows.write.emits == 1)
    _write_other(rows, row, rows.operation[row], rows.leaf[row], rows.value[row], np.zeros(4, dtype=np.uint32))


def lie_same_write_twice(rows: Any) -> None:
    """The next write starts from the same running hash."""
    first, second = np.flatnonzero(rows.write.emits)[:2]
    rows.write.count[second], rows.write.writes[second] = rows.write.count[first], rows.write.writes[first]


def lie_what_failed_stays(rows: Any) -> None:
    """The last access of a failed transaction's slot is the one that the transaction made, not what was undone."""
    row = row_where((rows.real == 1) & (rows.transient == 0) & (rows.last_warm == 0))
    rows.last[row, 0] ^= 1


def lie_success_undone(rows: Any) -> None:
    """What a successful transaction wrote is taken back: the account is said to be destroyed."""
    row = row_where(rows.write.emits == 1)
    rows.destroyed[row] = 1
    _silence(rows, row)


def lie_dirty(rows: Any) -> None:
    """An operation that destroys nothing is said to destroy another account."""
    rows.dirty[row_where((rows.real == 1) & (rows.transient == 0))] = 1


def lie_transient_destroyed(rows: Any) -> None:
    rows.destroyed[row_where(rows.transient == 1)] = 1


def lie_transient_dirty(rows: Any) -> None:
    rows.dirty[row_where(rows.transient == 1)] = 1


def lie_stale_value(rows: Any) -> None:
    """A row opens with another value than was left."""
    rows.value[0, 0] ^= 1


def lie_stale_balance(rows: Any) -> None:
    rows.balance[row_where(rows.write.emits == 0), 0] ^= 1


def lie_forged_original(rows: Any) -> None:
    """The value an access opens with is right, that before the operation is another one."""
    row = row_where(rows.originals > 0)
    spare = row_where(rows.real == 0)
    rows.operation[spare], rows.address[spare], rows.slot[spare] = (
        rows.operation[row],
        rows.address[row],
        rows.slot[row],
    )
    rows.value[spare] = rows.value[row] ^ 1
    rows.originals[spare], rows.originals[row] = rows.originals[row], 0


def lie_original_of_transient(rows: Any) -> None:
    rows.originals[row_where(rows.transient == 1)] = 1


def lie_two_rows(rows: Any) -> None:
    """A second row of the same slot and operation follows the first: its history starts anew, and cold."""
    row, spare = row_where((rows.real == 1) & (rows.write.emits == 0)), row_where(rows.real == 0)
    rows._matrix[spare] = rows._matrix[row]
    number = rows.operation[row] if "operation" in rows._layout.parts else rows.scope[row]
    rows.order.previous[spare] = number + 1
    rows.order.gap_low[spare] = 0xFFFF  # -1 is no number below 2^24


def lie_earlier_row_later(rows: Any) -> None:
    """Two rows of an account change places: each follows the other's scope."""
    rows.order.previous[row_where(rows.order.previous > 0)] = 0


def lie_warm_from_the_start(rows: Any) -> None:
    rows.last_warm[0] ^= 1


def lie_huge_scope(rows: Any) -> None:
    """A row that nobody meets takes a scope from beyond the modulus."""
    rows.order.scope_low[0] ^= 1


@pytest.mark.parametrize(
    ("table", "lie", "objection"),
    [
        ("account", lie_silent_account, "a new balance is written[0]"),
        ("storage", lie_silent_slot, "a new value is written[0]"),
        ("account", lie_other_value, "poseidon2"),
        ("account", lie_other_scope, "poseidon2"),
        ("storage", lie_slot_written_as_before, "poseidon2"),
        ("account", lie_same_write_twice, "writes"),
        ("storage", lie_same_write_twice, "writes"),
        ("storage", lie_what_failed_stays, "storage"),
        ("storage", lie_success_undone, "life"),
        ("storage", lie_dirty, "life"),
        ("storage", lie_transient_destroyed, "only storage is destroyed"),
        ("storage", lie_transient_dirty, "only storage is dirty"),
        ("storage", lie_stale_value, "storage_state"),
        ("account", lie_stale_balance, "account_state"),
        ("storage", lie_forged_original, "only storage has an original value"),
        ("storage", lie_original_of_transient, "only storage has an original value"),
        ("storage", lie_two_rows, "range16"),
        ("account", lie_two_rows, "range16"),
        ("account", lie_earlier_row_later, "account_state"),
        ("storage", lie_earlier_row_later, "storage_state"),
        ("storage", lie_warm_from_the_start, "storage"),
        ("account", lie_warm_from_the_start, "account"),
        ("account", lie_huge_scope, "range16"),
    ],
)
def test_lies(table: str, lie: Any, objection: str) -> None:
    assert objection in objections(FAMILY, _blocks(), {table: lie})
