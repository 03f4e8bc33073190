"""Frames that fail within one another, creations, destructions: what is undone, what goes, what is not believed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.mutation import mutate
from circuits.batch.execution import STATIC_VIOLATION, Execution
from circuits.batch.leaves import LeafKind
from circuits.segment import FilledSegment, segment_circuit
from circuits.state.account_replay import created
from circuits.state.state_view import StateView
from executor.forks import CANCUN
from executor.opcodes import OPCODES
from executor.state_keys import StateKind
from executor.trace import NONE, ExecutionTrace, Mode
from scripts.batches import worlds
from scripts.forging.segments import Lie, check, objections, tell
from tests.circuits.lying import row_where

#: Tables of this file; `selfdestruct` and the histories of accounts and slots have tests of their own, too.
UNDO = ("account_undo", "storage_undo", "substate_undo")
CREATING = ("transfer", "deletion", "survivor", "account_code", "account_code_leaf", "selfdestruct")

CASES = {
    "nested": worlds.execution,
    "reentrant": worlds.reentrant,
    "destroying": worlds.destroying,
    "static": worlds.static,
}


@cache
def honest(case: str) -> tuple[ExecutionTrace, FilledSegment]:
    """The trace and the segment of a batch."""
    trace = CASES[case]().trace
    return trace, tell(trace, Lie())


def caught(case: str, lie: Lie) -> set[str]:
    """Who objects."""
    trace, segment = honest(case)
    return objections(segment, tell(trace, lie))


@pytest.mark.parametrize("case", CASES)
def test_honest(case: str) -> None:
    assert check(honest(case)[1]) == []


def test_the_batches_have_what_they_say() -> None:
    execution = worlds.execution()
    view = StateView.of(execution)
    assert execution.worlds.level.max() == 3
    assert len(view.account_undo) > 50
    assert len(view.storage_undo) > 50
    assert len(view.substate_undo) > 5
    for undone in (view.account_undo, view.storage_undo, view.substate_undo):
        assert (undone.outer > 0).any()
    assert (view.storage_undo.value != view.storage_undo.last).any()
    assert (view.storage_undo.warm != view.storage_undo.last_warm).any()
    kinds = execution.leaves.keys.kind[view.storage_undo.leaf]
    assert set(kinds.tolist()) == {LeafKind.STORAGE, LeafKind.TRANSIENT}
    for name in ("balance", "nonce", "code_hash", "warm", "life"):
        assert (getattr(view.account_undo, name) != getattr(view.account_undo, f"last_{name}")).any(), name
    assert (view.substate_undo.refund != view.substate_undo.last_refund).any()
    assert (view.transfers.creates == 1).any()
    assert (view.transfers.world > 0).any()
    assert view.accounts.changes_code.any()
    destroying = StateView.of(worlds.destroying())
    assert len(destroying.deletions()[0]) == 3
    assert len(destroying.survivors()) > 0
    assert (destroying.substate_undo.destructions != destroying.substate_undo.last_destructions).any()
    static = worlds.static()
    failing = np.unique(static.opcode[static.route == STATIC_VIOLATION])
    assert {OPCODES[name] for name in ("SSTORE", "LOG0", "CREATE2", "SELFDESTRUCT", "CALL")} <= set(failing.tolist())


def test_undone_is_what_the_trace_undoes() -> None:
    """Values before a frame that fails, by the trace's own journal."""
    execution = worlds.execution()
    view, trace = StateView.of(execution), execution.trace
    keys, accesses = trace.keys, trace.accesses
    compared = 0
    for undone, kind, name in (
        (view.storage_undo, StateKind.STORAGE, "value"),
        (view.account_undo, StateKind.BALANCE, "balance"),
    ):
        leaf_of = execution.leaves.leaf_of_key
        for frame, leaf, value in zip(undone.frame.tolist(), undone.leaf.tolist(), getattr(undone, name), strict=True):
            row = int(execution.frames[frame - 1])
            if trace.frames.parent[row] == NONE:
                continue  # of which the trace undoes what its transaction has sent, too
            own = np.flatnonzero((keys.kind == kind) & (leaf_of == leaf))
            taken_back = (accesses.mode == Mode.UNDO) & (accesses.frame == row) & np.isin(accesses.key, own)
            if taken_back.any():
                last = int(np.flatnonzero(taken_back)[-1])
                np.testing.assert_array_equal(accesses.after[last], value)
                compared += 1
    assert compared > 10


@pytest.mark.parametrize("case", CASES)
def test_mutations(case: str) -> None:
    segment = honest(case)[1]
    present = {
        t.name for t, trace in zip(segment_circuit(CANCUN).tables, segment.traces, strict=True) if trace is not None
    }
    tables = present & {*UNDO, *CREATING, "static_violation", "storage"}
    found = mutate(
        segment_circuit(CANCUN), segment.traces, segment.public_lists, rows_per_table=6, seed=1, tables=tables
    )
    assert found.survivors == [], str(found)
    assert set(found.coverage) == tables


# Undoing.


def hands_over(*names: str) -> Callable[[Any], None]:
    """The world around gets back what the frame that fails has left."""

    def lie(rows: Any) -> None:
        changed = np.zeros(len(rows.real), dtype=bool)
        for name in names:
            held, last = getattr(rows, name), getattr(rows, f"last_{name}" if name != "value" else "last")
            changed |= (held != last).reshape(len(held), -1).any(axis=1)
        row = row_where(changed)
        for name in names:
            last = getattr(rows, f"last_{name}" if name != "value" else "last")
            getattr(rows, name)[row] = last[row]

    return lie


def twice(rows: Any) -> None:
    """A key is handed over a second time."""
    rows._matrix[row_where(rows.real == 0)] = rows._matrix[0]


def not_at_all(rows: Any) -> None:
    rows.real[row_where(rows.real == 1)] = 0


def succeeds(rows: Any) -> None:
    """The frame is one that does not fail."""
    rows.frame[0], rows.outer[0] = 1, 0


def elsewhere(rows: Any) -> None:
    """The world around is another one."""
    rows.outer[0] += 1


def late(rows: Any) -> None:
    """The token of the world around is one of its later accesses."""
    rows.order.before[0] = rows.time[0]


def another_time(rows: Any) -> None:
    rows.time[0] += 1


@pytest.mark.parametrize(
    ("table", "lie", "objection"),
    [
        ("storage_undo", hands_over("value"), "storage"),
        ("storage_undo", hands_over("warm"), "storage"),
        ("account_undo", hands_over("balance"), "account"),
        ("account_undo", hands_over("warm"), "account"),
        ("substate_undo", hands_over("refund"), "substate"),
        ("storage_undo", not_at_all, "storage"),
        ("account_undo", not_at_all, "account"),
        ("substate_undo", not_at_all, "substate"),
        *((table, lie, "failure") for table in UNDO for lie in (succeeds, elsewhere, another_time)),
        *((table, late, "range16") for table in UNDO),
        ("account_undo", twice, "account"),
    ],
)
def test_lies_about_what_is_undone(table: str, lie: Any, objection: str) -> None:
    assert objection in caught("reentrant", Lie(tables={table: lie}))


@pytest.mark.parametrize(
    ("table", "lie", "objection"),
    [
        ("storage_undo", twice, "storage"),
        ("account_undo", hands_over("life", "nonce"), "account"),
        ("account_undo", hands_over("code_hash"), "account"),
    ],
)
def test_lies_about_what_is_undone_in_many_worlds(table: str, lie: Any, objection: str) -> None:
    assert objection in caught("nested", Lie(tables={table: lie}))


def test_undone_in_another_world() -> None:
    """A row says of its key that another frame, which fails as well, undoes it."""

    def lie(rows: Any) -> None:
        other = row_where((rows.frame != rows.frame[0]) & (rows.real == 1) & (rows.operation == rows.operation[0]))
        for name in ("frame", "outer", "operation", "scope", "time"):
            getattr(rows, name)[0] = getattr(rows, name)[other]

    for table in UNDO:
        assert {"account", "storage", "substate"} & caught("nested", Lie(tables={table: lie}))


def test_a_world_opened_with_a_later_access() -> None:
    """Everything fits: the frame is said to begin behind the next look at the slot in the world around."""

    def lie(execution: Execution, view: StateView) -> None:
        undone, accesses = view.storage_undo, view._storage
        row = row_where((undone.value[:, 0] == 9) & (undone.value != undone.last).any(axis=1))
        same = np.flatnonzero((accesses.leaf == undone.leaf[row]) & (accesses.world == 0))
        handing = int(same[np.flatnonzero(accesses.time[same] == undone.time[row])[0]])
        later = handing + 1
        assert accesses.world[later] == 0
        assert (accesses.value[later] == accesses.value_after[later]).all()
        accesses.then[later] = undone.then[row]
        undone.then[row] = accesses.time[later]
        slot = row_where(view.slots.leaf == undone.leaf[row])
        assert view.slots.last_time[slot] == accesses.time[later]
        view.slots.last_time[slot] = undone.time[row]

    assert caught("reentrant", Lie(events=lie)) == {"range16"}


def kept(transient: bool) -> Callable[[Execution, StateView], None]:
    """A look at a slot behind the frame that reverts finds what was written there."""

    def lie(execution: Execution, view: StateView) -> None:
        undone, accesses = view.storage_undo, view._storage
        kind = LeafKind.TRANSIENT if transient else LeafKind.STORAGE
        of_kind = execution.leaves.keys.kind[undone.leaf] == kind
        row = row_where(of_kind & (undone.value != undone.last).any(axis=1))
        behind = (accesses.leaf == undone.leaf[row]) & (accesses.world == 0) & (accesses.time > undone.time[row])
        accesses.value[behind] = undone.last[row]

    return lie


@pytest.mark.parametrize("transient", [False, True])
def test_a_write_that_is_kept(transient: bool) -> None:
    assert {"storage", "stack"} <= caught("reentrant", Lie(events=kept(transient)))


def test_a_warm_mark_that_is_kept() -> None:
    """A slot and an account that only the frame has touched which reverts are warm behind it."""

    def slot(execution: Execution, view: StateView) -> None:
        undone, accesses = view.storage_undo, view._storage
        row = row_where((undone.warm == 0) & (undone.last_warm == 1))
        behind = (accesses.leaf == undone.leaf[row]) & (accesses.world == 0) & (accesses.time > undone.time[row])
        accesses.warm[behind] = 1

    def account(execution: Execution, view: StateView) -> None:
        undone, accesses = view.account_undo, view._accounts
        row = row_where((undone.warm == 0) & (undone.last_warm > 0))
        behind = (accesses.leaf == undone.leaf[row]) & (accesses.world == 0) & (accesses.time > undone.time[row])
        accesses.warm[behind] = undone.last_warm[row]

    assert "storage" in caught("reentrant", Lie(events=slot))
    assert "account" in caught("reentrant", Lie(events=account))


@pytest.mark.parametrize("name", ["balance", "nonce"])
def test_what_an_account_keeps(name: str) -> None:
    def lie(execution: Execution, view: StateView) -> None:
        undone = view.account_undo
        held, last = getattr(undone, name), getattr(undone, f"last_{name}")
        after = getattr(view.accounts, f"{name}_after")
        rows = {int(leaf): row for row, leaf in enumerate(view.accounts.leaf)}
        own = np.array([rows[int(leaf)] for leaf in undone.leaf])
        row = row_where((held != last).any(axis=1) & (last != after[own]).any(axis=1) & (undone.outer == 0))
        after[own[row]] = last[row]

    assert "account" in caught("nested", Lie(events=lie))


def test_refunds_that_are_kept() -> None:
    def lie(execution: Execution, view: StateView) -> None:
        undone = view.substate_undo
        row = row_where(undone.refund != undone.last_refund)
        view._refund_total[undone.operation[row] - execution.first] += undone.last_refund[row] - undone.refund[row]

    assert "substate" in caught("reentrant", Lie(events=lie))


# Ether.


def more_than_there_is(rows: Any) -> None:
    """The amount is one more than the giver has; the difference wraps."""
    balance = rows.giver.balance[0].copy()
    rows.amount[0] = balance
    rows.amount[0, 0] += 1
    rows.given.after[0] = 0xFFFF
    rows.given.carry[0] = 1


def more_arrives(rows: Any) -> None:
    rows.taken.after[0, 0] += 1


def nothing_leaves(rows: Any) -> None:
    rows.given.after[0] = rows.giver.balance[0]


def another_world(rows: Any) -> None:
    rows.world[row_where(rows.world > 0)] = 0


def another_taker(rows: Any) -> None:
    rows.taker_address[0, 0] ^= 1


def created_twice(rows: Any) -> None:
    """An account that has made a transaction, or was created before, is created."""
    rows.taker.nonce[row_where(rows.creates == 1), 0] = 1


def created_by_nobody(rows: Any) -> None:
    rows.creates[row_where((rows.real == 1) & (rows.creates == 0))] = 1


def not_created(rows: Any) -> None:
    rows.creates[row_where(rows.creates == 1)] = 0


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        (more_than_there_is, "given: limb 15"),
        (more_than_there_is, "transfer"),
        (more_arrives, "taken: limb 0"),
        (nothing_leaves, "given: limb 0"),
        (another_world, "transfer"),
        (another_taker, "account"),
        (created_twice, "a new account has nonce 0"),
        (created_by_nobody, "transfer"),
        (not_created, "transfer"),
        (not_created, "account"),
    ],
)
def test_lies_about_transfers(lie: Any, objection: str) -> None:
    assert objection in caught("destroying", Lie(tables={"transfer": lie}))


# Destruction.


def skipped(rows: Any) -> None:
    """The last account that is destroyed stays."""
    row = int(rows.real.sum()) - 1
    rows._matrix[row] = 0


def resurrected(rows: Any) -> None:
    """An account that is destroyed is not deleted, but another one."""
    rows.address[0, 0] ^= 1


def balance_stays(rows: Any) -> None:
    """A deletion starts from less than the account has."""
    rows.balance[0, 0] ^= 1


def survives(rows: Any) -> None:
    """A destroyed account is said to have its storage."""
    deleted = StateView.of(worlds.destroying()).deletions()[0]
    rows.address[0] = deleted.address[0]
    rows.life[0] = created(int(rows.operation[0])) + 1


def survives_as_another(rows: Any) -> None:
    deleted = StateView.of(worlds.destroying()).deletions()[0]
    rows.address[0] = deleted.address[0]


def late_survivor(rows: Any) -> None:
    """The look at the life of an account is behind its deletion, where it has none any more."""
    rows.time[0] += 10


@pytest.mark.parametrize(
    ("table", "lie", "objection"),
    [
        ("deletion", skipped, "deletion"),
        ("deletion", resurrected, "account"),
        ("deletion", balance_stays, "account"),
        ("survivor", survives, "the account is not destroyed"),
        ("survivor", survives_as_another, "account"),
        ("survivor", late_survivor, "destroying"),
    ],
)
def test_lies_about_deletions(table: str, lie: Any, objection: str) -> None:
    assert objection in caught("destroying", Lie(tables={table: lie}))


def test_a_deletion_less() -> None:
    """The transaction counts one account less, and the rows follow."""

    def fewer(rows: Any) -> None:
        rows.destructions[0] -= 1

    def skip(rows: Any) -> None:
        skipped(rows)
        rows.remaining[: int(rows.real.sum())] -= 1

    found = caught("destroying", Lie(tables={"transaction": fewer, "deletion": skip}))
    assert "substate" in found
    assert "account" in found


def test_an_account_that_is_not_destroyed_is_deleted() -> None:
    def more(rows: Any) -> None:
        rows.destructions[0] += 1

    def delete(rows: Any) -> None:
        count = int(rows.real.sum())
        assert count < len(rows.real)
        rows.remaining[:count] += 1
        rows._matrix[count] = rows._matrix[count - 1]
        rows.remaining[count], rows.time[count] = 1, rows.time[count - 1] + 1

    found = caught("destroying", Lie(tables={"transaction": more, "deletion": delete}))
    assert {"substate", "account"} <= found


def clean(rows: Any) -> None:
    """A transaction that destroys accounts is said to destroy none, and what it stored stays."""
    rows.dirty[row_where(rows.destroyed == 1)] = 0


def stays(rows: Any) -> None:
    rows.destroyed[row_where(rows.destroyed == 1)] = 0


def goes(rows: Any) -> None:
    """The storage of an account that stays is wiped."""
    row = row_where((rows.destroyed == 0) & (rows.dirty == 1) & (rows.write.emits == 1))
    rows.destroyed[row] = 1
    for name in ("emits", "count", "writes", "item", "writes_after"):
        getattr(rows.write, name)[row] = 0


@pytest.mark.parametrize("lie", [clean, stays, goes])
def test_lies_about_storage_of_the_destroyed(lie: Any) -> None:
    assert "life" in caught("destroying", Lie(tables={"storage": lie}))


def _no(cells: Any, row: int) -> None:
    cells.zero[row] = 0


def counted_twice(rows: Any) -> None:
    rows.counts[row_where(rows.destroyed.zero == 1)] = 1


def not_counted(rows: Any) -> None:
    rows.counts[row_where(rows.counts == 1)] = 0


def old_account(rows: Any) -> None:
    """The transaction has not created what it destroys."""
    row = row_where(rows.counts == 1)
    rows.alive.zero[row] = rows.counts[row] = 0


def comes_back(rows: Any) -> None:
    """Ether that is burnt arrives."""
    row = row_where((rows.same.same[:, 0] == 1) & (rows.arrives == 0))
    rows.arrives[row] = 1


def burnt(rows: Any) -> None:
    rows.arrives[row_where(rows.arrives == 1)] = 0


def other_beneficiary(rows: Any) -> None:
    """The own account is another one than the beneficiary, so that its ether is not burnt."""
    row = row_where((rows.same.same[:, 0] == 1) & (rows.arrives == 0))
    rows.same.same[row, 0], rows.arrives[row] = 0, 1


def another_life(rows: Any) -> None:
    rows.own.life[row_where(rows.counts == 1)] += 2


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        (counted_twice, "the account is destroyed now"),
        (not_counted, "the account is destroyed now"),
        (old_account, "alive: value * inverse = 1 - zero"),
        (comes_back, "what leaves arrives"),
        (burnt, "what leaves arrives"),
        (other_beneficiary, "pair 0: value * inverse = 1 - same"),
        (another_life, "account"),
    ],
)
def test_lies_about_selfdestruct(lie: Any, objection: str) -> None:
    assert objection in caught("destroying", Lie(tables={"selfdestruct": lie}))


# Codes.


def test_lies_about_codes() -> None:
    def unwritten(rows: Any) -> None:
        for name in ("emits", "count", "writes", "item", "writes_after"):
            getattr(rows.code_write, name)[0] = 0

    def other(rows: Any) -> None:
        rows.code_hash_after[0, 0] ^= 1

    assert "every row writes its code" in caught("nested", Lie(tables={"account_code": unwritten}))
    assert {"account", "account_state", "poseidon2"} <= caught("nested", Lie(tables={"account_code": other}))
    assert {"account_state", "poseidon2"} <= caught("nested", Lie(tables={"account_code_leaf": other}))


# Static frames.


def allowed(rows: Any) -> None:
    """The frame is one that may change the state."""
    rows.frame[0] = 1


def without_value(rows: Any) -> None:
    """A CALL that sends nothing is not allowed."""
    row = row_where(rows.inverse != 0)
    rows.value[row] = 0
    rows.inverse[row] = 0


def another_instruction(rows: Any) -> None:
    rows.instruction[0] = np.roll(rows.instruction[0], 1)


@pytest.mark.parametrize(
    ("lie", "objection"),
    [(allowed, "frame"), (without_value, "value is sent"), (another_instruction, "instruction")],
)
def test_lies_about_violations(lie: Any, objection: str) -> None:
    assert objection in caught("static", Lie(tables={"static_violation": lie}))


def test_who_changes_the_state_is_in_a_frame_that_may() -> None:
    def static(rows: Any) -> None:
        rows.static[: int(rows.real.sum())] = 1

    found = caught("reentrant", Lie(tables={"frame": static}))
    assert {"frame", "message"} <= found
