"""Histories of accounts and slots: what joins their accesses to the access tree.

An account has one row per block that touches it, a slot one per operation: the row opens the chain of accesses with the
value that the row before it left, and takes the chain's last value back. What frames that fail did is undone on the way
(`circuits.state.undo`). The storage of an account that its transaction destroys becomes what it was before, empty
(EIP-6780); transient storage (EIP-1153) always leaves 0.

Few accounts ever change their code. Those that do so in a block have rows in a table of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from circuits.air.expression import Expression, Operand
from circuits.air.field import INVERSE_2_16, Matrix
from circuits.air.gadgets.basic import range_check, select_all
from circuits.air.layout import RANGE, Layout, allocate, bit, element, limb, nested, word
from circuits.air.table import Air, Table, flatten
from circuits.batch.execution import Execution, Integers
from circuits.batch.leaves import LeafKind
from circuits.component import Acting
from circuits.hashing import constrain_compress, constrain_item
from circuits.state.buses import ACCOUNT, ACCOUNT_STATE, LIFE, ORIGINAL, STORAGE, STORAGE_STATE, WRITES
from circuits.state.histories import FIRST_TIME
from circuits.state.state_view import StateView
from circuits.statement import CODE_ITEM, WRITE_ITEM, Digests, Item
from circuits.widths import ADDRESS, DIGEST, NONCE, WORD

#: Operations of a batch are fewer than 2^24.
SCOPE_BITS = 24


class ScopeOrder(Layout):
    """A row's scope is a number below 2^24, and above what earlier rows of its account or slot left."""

    previous = element("1 + scope of the row before; 0: none", by="state bus: at most 2^24")
    scope_low = limb("low limb of the scope", by=RANGE)
    gap_low = limb("low limb of scope - previous", by=RANGE)

    @staticmethod
    def constrain(air: Air, cells: Any, scope: Expression, count: Operand) -> None:
        """`scope` and `scope - previous` are in [0, 2^24).

        So previous, which is 0 or one more than such a scope, is at most scope: scopes strictly increase.
        """
        for value, low in ((scope, cells.scope_low), (scope - cells.previous, cells.gap_low)):
            range_check(air, (value - low) * INVERSE_2_16, SCOPE_BITS - 16, count)

    @staticmethod
    def fill(cells: Any, scope: Integers, previous: Integers) -> None:
        """`scope`, `previous`: (rows,)."""
        cells.previous = previous
        cells.scope_low = scope & 0xFFFF
        cells.gap_low = (scope - previous) & 0xFFFF


@cache
def emission(of: Item) -> type[Layout]:
    """The layout of a write of this kind of item."""

    class Emission(Layout):
        """A new value of a leaf on the chain of writes."""

        emits = bit("1: the row writes its leaf")
        count = element("writes before it", by="writes bus")
        writes = element("running hash before it", DIGEST, by="writes bus")
        item = element("hash states of the write", (of.blocks, DIGEST), by="poseidon2 bus")
        writes_after = element("running hash behind it", DIGEST, by="poseidon2 bus")

    return Emission


def constrain_emission(air: Air, item: Item, cells: Any, **parts: Any) -> None:
    """Where `emits` is 1, the item of these parts is the next write; else the cells are 0."""
    emits = cells.emits
    air.require(emits * (1 - air.row.real), "padding does not write")
    constrain_item(air, item, cells.item, count=emits, **parts)
    constrain_compress(air, cells.writes, cells.item[-1], cells.writes_after, count=emits)
    air.receive(WRITES, cells.count, cells.writes, count=emits)
    air.send(WRITES, cells.count + 1, cells.writes_after, count=emits)
    for name in ("count", "writes", "item", "writes_after"):
        idle = list(flatten([getattr(cells, name)]))
        air.require_equal(idle, [0] * len(idle), f"{name}: 0 without a write", when=1 - emits)


def fill_emission(cells: Any, rows: Integers, numbers: Integers, states: Digests, chain: Digests) -> None:
    """`rows` (n,) emit the writes of these numbers (n,), with their hash states (n, blocks, 8); `chain`: of all."""
    cells.emits[rows] = 1
    cells.count[rows] = numbers
    cells.writes[rows] = chain[numbers]
    cells.item[rows] = states
    cells.writes_after[rows] = chain[numbers + 1]


class AccountColumns(Layout):
    """An account in a block."""

    real = bit("1 on rows that stand for an account in a block")
    leaf = element("index of the account's leaf", by="account_state bus")
    scope = element("scope of the block", by="range check; account bus")
    order = nested(ScopeOrder)
    address = limb("address", ADDRESS, by="account_state bus")
    stored = element("1: storage, but neither nonce nor code, in the batch's pre-state", by="account_state bus")
    code_hash = limb("code hash before", WORD, by="account_state bus")
    balance = word("balance before", by="account_state bus")
    nonce = limb("nonce before", NONCE, by="account_state bus")
    balance_after = word("balance after", by="account bus: the last access")
    nonce_after = limb("nonce after", NONCE, by="account bus: the last access")
    last_time = element("time of the last access", by="account bus")
    last_warm = element("warm mark of the last access", by="account bus")
    last_life = element("life after the last access", by="account bus")
    write = nested(emission(WRITE_ITEM))


class Account(Table):
    """Both ends of an account's accesses in a block that leaves its code as it is."""

    name = "account"
    layout = AccountColumns
    row_order = "account_state orders the rows of an account by their scopes"

    def constraints(self, air: Air) -> None:
        self._constrain(air, air.row.code_hash)

    def _constrain(self, air: Air, code_after: Sequence[Any]) -> None:
        """The row, with the code hash that its accesses leave."""
        row = air.row
        real = row.real
        ScopeOrder.constrain(air, row.order, row.scope, real)
        leaf = (row.leaf, row.address, row.stored)
        before, after = (row.balance, row.nonce, row.code_hash), (row.balance_after, row.nonce_after, code_after)
        air.receive(ACCOUNT_STATE, *leaf, *before, row.order.previous, count=real)
        air.send(ACCOUNT_STATE, *leaf, *after, row.scope + 1, count=real)
        # No operation of the block has touched, created or destroyed the account before; the last one's marks end here.
        # A life of 1 says that there is storage without nonce or code.
        key = (row.scope, 0, row.address)
        air.send(ACCOUNT, *key, *before, 0, row.stored, FIRST_TIME, count=real)
        air.receive(ACCOUNT, *key, *after, row.last_warm, row.last_life, row.last_time, count=real)
        parts = {"scope": row.scope, "leaf": row.leaf}
        constrain_emission(air, WRITE_ITEM, row.write, **parts, value=row.balance_after, nonce=row.nonce_after)
        silent = 1 - row.write.emits
        air.require_equal(row.balance, row.balance_after, "a new balance is written", when=silent)
        air.require_equal(row.nonce, row.nonce_after, "a new nonce is written", when=silent)


class AccountCodeColumns(AccountColumns):
    """An account in a block that changes its code."""

    code_hash_after = limb("code hash after", WORD, by="account bus: the last access")
    code_write = nested(emission(CODE_ITEM), "of the code hash, by every row")


class AccountCode(Account):
    """Both ends of an account's accesses in a block that changes its code: the code hash is written, too."""

    name = "account_code"
    layout = AccountCodeColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        self._constrain(air, row.code_hash_after)
        air.require(row.code_write.emits - row.real, "every row writes its code")
        constrain_emission(
            air, CODE_ITEM, row.code_write, scope=row.scope, leaf=row.leaf, code_hash=row.code_hash_after
        )


def fill_account(execution: Execution) -> Matrix | None:
    """All accounts of all blocks of the segment that keep their code."""
    return _fill_account(execution, AccountColumns, ~StateView.of(execution).accounts.changes_code)


def fill_account_code(execution: Execution) -> Matrix | None:
    """All accounts of all blocks of the segment that change their code."""
    return _fill_account(execution, AccountCodeColumns, StateView.of(execution).accounts.changes_code)


def _fill_account(execution: Execution, layout: type[AccountColumns], which: np.ndarray) -> Matrix | None:
    view = StateView.of(execution)
    own = np.flatnonzero(which)
    if not len(own):
        return None
    accounts = view.accounts[own]
    matrix, rows = allocate(layout, len(own))
    rows.real = 1
    rows.address = execution.leaves.keys.address[accounts.leaf]
    rows.stored = view.before.stored[accounts.leaf]
    for name in (
        "leaf", "scope", "code_hash", "balance", "nonce", "balance_after", "nonce_after", "last_time", "last_warm",
        "last_life",
    ):  # fmt: skip
        setattr(rows, name, getattr(accounts, name))
    ScopeOrder.fill(rows.order, accounts.scope, accounts.previous)
    writes = view.writes
    numbers = np.flatnonzero(np.isin(writes.account, own))
    written = np.searchsorted(own, writes.account[numbers])
    fill_emission(rows.write, written, numbers, writes.states[numbers], writes.chain)
    if layout is AccountCodeColumns:
        rows.code_hash_after = accounts.code_hash_after
        numbers = len(writes.states) + np.arange(len(own))
        fill_emission(rows.code_write, np.arange(len(own)), numbers, writes.code_states, writes.chain)
    return matrix


class StorageColumns(Layout):
    """A slot of storage or transient storage in an operation."""

    real = bit("1 on rows that stand for a slot in an operation")
    transient = bit("1 for transient storage")
    leaf = element("index of the slot's leaf", by="storage_state bus")
    operation = element("number of the operation", by="range check; storage bus")
    order = nested(ScopeOrder)
    address = limb("address of the account", ADDRESS, by="storage_state bus")
    slot = word("the slot's key", by="storage_state bus")
    value = word("value before", by="storage_state bus")
    last = word("value of the last access", by="storage bus: the last access")
    dirty = bit("1: the operation destroys accounts; 0 for transient storage")
    destroyed = bit("1: the operation destroys the account; 0 for transient storage")
    last_time = element("time of the last access", by="storage bus")
    last_warm = element("warm mark of the last access", by="storage bus")
    originals = element("how often the original value is asked for", by="balance of the original bus")
    write = nested(emission(WRITE_ITEM))


class Storage(Table):
    """Both ends of a slot's accesses in an operation."""

    name = "storage"
    layout = StorageColumns
    row_order = "storage_state orders the rows of a slot by their operations"

    def constraints(self, air: Air) -> None:
        row = air.row
        real, transient = row.real, row.transient
        lasting = real - transient
        air.require(transient * (1 - real), "padding is not transient")
        air.require(row.dirty * (1 - lasting), "only storage is dirty")
        air.require(row.destroyed * (1 - lasting), "only storage is destroyed")
        address = [row.dirty * x for x in row.address]
        air.query(LIFE, row.operation, row.dirty, address, row.destroyed, count=lasting)
        ScopeOrder.constrain(air, row.order, row.operation, real)
        kind = transient * (LeafKind.TRANSIENT - LeafKind.STORAGE) + int(LeafKind.STORAGE)
        # A transient slot opens with 0: its leaf holds 0, and every row leaves what it opened with. So do the slots of
        # an account that is created: in the pre-state it had neither nonce nor code, and no storage (EIP-7610).
        stays = lasting - row.destroyed
        result = select_all(stays, row.last, row.value)
        leaf = (row.leaf, kind, row.address, row.slot)
        air.receive(STORAGE_STATE, *leaf, row.value, row.order.previous, count=real)
        air.send(STORAGE_STATE, *leaf, result, row.operation + 1, count=real)
        key = (kind, row.operation, 0, row.address, row.slot)
        air.send(STORAGE, *key, row.value, 0, FIRST_TIME, count=real)
        air.receive(STORAGE, *key, row.last, row.last_warm, row.last_time, count=real)
        air.require(row.originals * (1 - lasting), "only storage has an original value")
        air.provide(ORIGINAL, row.operation, row.address, row.slot, row.value, multiplicity=row.originals)
        # Where the row writes, the last value stays: it is the result.
        air.require(row.write.emits * (1 - stays), "only what stays is written")
        parts = {"scope": row.operation, "leaf": row.leaf, "value": row.last, "nonce": [air.constant(0)] * NONCE}
        constrain_emission(air, WRITE_ITEM, row.write, **parts)
        silent = stays - row.write.emits  # 1 where the last value stays and is not written
        air.require_equal(row.value, row.last, "a new value is written", when=silent)


def fill_storage(execution: Execution) -> Matrix | None:
    """All slots of all operations of the segment."""
    view, keys = StateView.of(execution), execution.leaves.keys
    slots = view.slots
    if not len(slots):
        return None
    matrix, rows = allocate(StorageColumns, len(slots))
    lasting = keys.kind[slots.leaf] == LeafKind.STORAGE
    rows.real = 1
    rows.transient = ~lasting
    rows.address, rows.slot = keys.address[slots.leaf], keys.slot[slots.leaf]
    for name in ("leaf", "operation", "value", "last", "destroyed", "last_time", "last_warm", "originals"):
        setattr(rows, name, getattr(slots, name))
    rows.dirty = slots.dirty & lasting
    ScopeOrder.fill(rows.order, slots.operation, slots.previous)
    writes = view.writes
    numbers = len(writes.account) + np.arange(len(writes.slot))
    fill_emission(rows.write, writes.slot, numbers, writes.states[numbers], writes.chain)
    return matrix


COMPONENTS = (
    Acting(Account(), fill_account),
    Acting(AccountCode(), fill_account_code),
    Acting(Storage(), fill_storage),
)
