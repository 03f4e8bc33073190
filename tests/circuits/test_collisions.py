"""Creations at an address that is taken by storage alone (EIP-7610): they collide, whatever a liar makes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.batch.leaves import LeafKind
from circuits.functions.poseidon2 import compress
from circuits.limbs import words_to_ints
from circuits.segment import FilledSegment
from circuits.state.access_tree import AccountValueColumns
from circuits.state.state_view import StateView
from executor.opcodes import OPCODES
from executor.state_keys import StateKind
from executor.trace import ExecutionTrace, Outcome
from scripts.batches.builder import Builder
from scripts.batches.programs import PROGRAMS
from scripts.batches.segment import execution_of
from scripts.forging.segments import Lie, objections, tell
from tests.circuits.lying import row_where


def first_block() -> Builder:
    """What a liar makes otherwise would change the base fee of the next block."""
    building = PROGRAMS["collision"]()
    del building.document["blocks"][1:]
    return building


@cache
def honest() -> tuple[ExecutionTrace, FilledSegment]:
    """The honest trace and segment."""
    trace = first_block().provable().trace
    assert trace is not None
    return trace, tell(trace, Lie())


@cache
def _created() -> ExecutionTrace:
    """The trace of an executor that sees no storage where there is storage alone, and so creates contracts there."""
    building = first_block()
    for account in building.document["genesis"]["alloc"].values():
        account.pop("storage", None)
    trace = building.provable().trace
    assert trace is not None
    return trace


def has_storage(trace: ExecutionTrace) -> None:
    """Say of the storage in the pre-state what is true of it."""
    true, keys = honest()[0].keys, trace.keys
    kinds = (StateKind.HAS_STORAGE, StateKind.STORAGE)
    rows = np.flatnonzero(np.isin(true.kind, kinds) & true.first.any(axis=1))
    assert len(rows) == 4
    for row in rows:
        own = (keys.kind == true.kind[row]) & (keys.address == true.address[row]).all(axis=1)
        own &= (keys.slot == true.slot[row]).all(axis=1)
        assert own.sum() == 1
        keys.first[own], keys.last[own] = true.first[row], true.last[row]


def caught(lie: Lie, trace: ExecutionTrace | None = None) -> set[str]:
    """Who objects to this lie; `trace`: of the liar's own executor, if not the honest one."""
    return objections(honest()[1], tell(honest()[0] if trace is None else trace, lie))


def test_honest() -> None:
    trace, segment = honest()
    assert not objections(segment, segment)
    # Of three transactions two collide, and all that contracts create: with a nonce, or with storage alone.
    assert trace.frames.outcome[trace.transactions.first_frame[:3]].tolist() == [
        Outcome.COLLISION,
        Outcome.COLLISION,
        Outcome.SUCCESS,
    ]
    assert trace.transactions.gas_used[:2].tolist() == trace.transactions.gas_limit[:2].tolist()
    for name in ("CREATE", "CREATE2"):
        steps = np.flatnonzero(trace.steps.opcode == OPCODES[name])
        assert words_to_ints(trace.results.word[trace.results_start[steps]]) == [0, 0]


def test_every_block_begins_with_the_mark() -> None:
    """Accounts that storage alone takes have life 1, in both blocks and whatever is done with them; no others have."""
    execution = execution_of(PROGRAMS["collision"]().execute())
    view = StateView.of(execution)
    stored = view.before.stored
    assert stored.sum() == 3
    assert (execution.leaves.keys.kind[stored == 1] == LeafKind.ACCOUNT).all()
    accounts = view.accounts
    marked = stored[accounts.leaf] == 1
    assert len(np.unique(accounts.scope[marked])) == 2
    assert (accounts.last_life[marked] == 1).all()
    assert (accounts.last_life[~marked] != 1).all()


def test_a_creation_that_succeeds() -> None:
    """The executor has created contracts at all these addresses: each table that does so says that it may not."""
    assert {"the address is free", "a frame is opened"} <= caught(Lie(has_storage), _created())


def test_no_storage_in_the_pre_state() -> None:
    """All of it is consistent, but for what the verifier finds in the pre-state."""
    assert caught(Lie(), _created()) == {"access_in"}


def _free(cells: Any, row: int, value: int) -> None:
    cells.zero[row] = value
    cells.inverse[row] = 0 if value else 1


def lie_vacant(rows: Any) -> None:
    """An address with storage is vacant."""
    row = row_where((rows.new.life == 1) & (rows.opens == 1))
    _free(rows.vacant, row, 1)


def lie_lifeless(rows: Any) -> None:
    """The account at the new address has no life."""
    for row in np.flatnonzero((rows.new.life == 1) & (rows.real == 1)):
        rows.new.life[row] = 0
        _free(rows.vacant, row, 1)


def lie_vacant_recipient(rows: Any) -> None:
    row = row_where((rows.lives[:, 1] == 1) & (rows.creates == 1))
    _free(rows.vacant, row, 1)
    rows.free[row] = 1


def lie_lifeless_recipient(rows: Any) -> None:
    row = row_where((rows.lives[:, 1] == 1) & (rows.creates == 1))
    rows.lives[row, 1] = 0
    _free(rows.vacant, row, 1)
    rows.free[row] = 1


def lie_occupied(rows: Any) -> None:
    """An address that nothing takes is taken."""
    row = row_where((rows.opens == 1) & (rows.creates == 1))
    _free(rows.vacant, row, 0)
    rows.free[row] = 0


@pytest.mark.parametrize(
    ("table", "lie", "objects"),
    [
        ("create", lie_vacant, "vacant: value * zero = 0"),
        ("create", lie_lifeless, "account"),
        ("transaction", lie_vacant_recipient, "vacant: value * zero = 0"),
        ("transaction", lie_lifeless_recipient, "account"),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_lies_about_life(table: str, lie: Callable[[Any], None], objects: str) -> None:
    assert objects in caught(Lie(has_storage, tables={table: lie}), _created())


def test_a_collision_where_there_is_nothing() -> None:
    assert "vacant: value * inverse = 1 - zero" in caught(Lie(tables={"transaction": lie_occupied}))


def lie_first_life(rows: Any) -> None:
    """The first token of a block comes without the mark."""
    row = row_where(rows.stored == 1)
    rows.stored[row] = 0


def lie_new_mark(rows: Any) -> None:
    """An account that has no storage gets the mark."""
    row = row_where((rows.real == 1) & (rows.stored == 0))
    rows.stored[row] = 1


def _rehash(rows: Any, row: int) -> None:
    """The digests of a leaf before and after, as its columns say."""
    one = slice(row, row + 1)
    for cells, balance, nonce, leaf, changed in (
        (rows.before, rows.balance_before, rows.nonce_before, rows.leaf_before, True),
        (rows.after, rows.balance_after, rows.nonce_after, rows.leaf_after, bool(rows.changed[row])),
    ):
        if not changed:
            leaf[one] = rows.leaf_before[one]
            continue

        class One:
            """Takes the cells of one row."""

        found: Any = One()
        value = AccountValueColumns.fill(found, balance[one], nonce[one], rows.code_digest[one], rows.stored[one])
        for name in ("balance", "pair", "value"):
            getattr(cells, name)[one] = getattr(found, name)
        leaf[one] = compress(rows.key_digest[one], value)


def lie_leaf(rows: Any) -> None:
    """The leaf is said not to have the mark, and hashed so."""
    row = row_where((rows.stored == 1) & (rows.changed == 1))
    rows.stored[row] = 0
    _rehash(rows, row)


def lie_unhashed_leaf(rows: Any) -> None:
    row = row_where(rows.stored == 1)
    rows.stored[row] = 0


def lie_wide_mark(rows: Any) -> None:
    """The mark is no bit, but hashes to something."""
    row = row_where((rows.stored == 1) & (rows.changed == 1))
    rows.stored[row] = MODULUS - 1
    _rehash(rows, row)


@pytest.mark.parametrize(
    ("table", "lie", "objects"),
    [
        ("account", lie_first_life, {"account", "account_state"}),
        ("account", lie_new_mark, {"account", "account_state"}),
        ("account_leaf", lie_leaf, {"account_state", "tree"}),
        ("account_leaf", lie_wide_mark, {"account_state", "tree"}),
        ("account_leaf", lie_unhashed_leaf, {"account_state", "poseidon2"}),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_lies_about_the_pre_state(table: str, lie: Callable[[Any], None], objects: set[str]) -> None:
    assert objects <= caught(Lie(tables={table: lie}))
