"""Histories of accounts and slots: what joins their accesses to the access tree.

An account has one row per block that touches it, a slot one per operation: the row opens the chain of accesses with the
value that the row before it left, and takes the chain's last value back. What a failed transaction wrote to storage is
undone here, where the slot's row leaves the value that it opened with; transient storage (EIP-1153) always leaves 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import range_check, select_all
from circuits.air.layout import RANGE, Layout, allocate, bit, element, limb, nested, word
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution, Integers
from circuits.batch.leaves import LeafKind
from circuits.component import Acting
from circuits.hashing import constrain_compress, constrain_item
from circuits.state.buses import ACCOUNT, ACCOUNT_STATE, ORIGINAL, STATUS, STORAGE, STORAGE_STATE, WRITES
from circuits.state.state_view import StateView
from circuits.statement import WRITE_ITEM, Digests
from circuits.widths import ADDRESS, DIGEST, NONCE, WORD

#: Operations of a batch are fewer than 2^24.
SCOPE_BITS = 24
_INVERSE_2_16 = pow(1 << 16, -1, MODULUS)

#: Why the time of a first token may change: like that of the first token of a word of memory.
_FIRST_TIME = "any time before the first access, which says so"


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
            range_check(air, (value - low) * _INVERSE_2_16, SCOPE_BITS - 16, count)

    @staticmethod
    def fill(cells: Any, scope: Integers, previous: Integers) -> None:
        """`scope`, `previous`: (rows,)."""
        cells.previous = previous
        cells.scope_low = scope & 0xFFFF
        cells.gap_low = (scope - previous) & 0xFFFF


class Emission(Layout):
    """A new value of a leaf on the chain of writes."""

    emits = bit("1: the row writes its leaf")
    count = element("writes before it", by="writes bus")
    writes = element("running hash before it", DIGEST, by="writes bus")
    item = element("hash states of the write", (WRITE_ITEM.blocks, DIGEST), by="poseidon2 bus")
    writes_after = element("running hash behind it", DIGEST, by="poseidon2 bus")

    @staticmethod
    def constrain(air: Air, cells: Any, scope: Any, leaf: Any, value: Any, nonce: Any) -> None:
        """Where `emits` is 1, (scope, leaf, value, nonce) is the next write; else the cells are 0."""
        emits = cells.emits
        air.require(emits * (1 - air.row.real), "padding does not write")
        constrain_item(air, WRITE_ITEM, cells.item, count=emits, scope=scope, leaf=leaf, value=value, nonce=nonce)
        constrain_compress(air, cells.writes, cells.item[-1], cells.writes_after, count=emits)
        air.receive(WRITES, cells.count, cells.writes, count=emits)
        air.send(WRITES, cells.count + 1, cells.writes_after, count=emits)
        for name in ("count", "writes", "item", "writes_after"):
            cell = getattr(cells, name)
            idle = [cell] if name == "count" else list(_flat(cell))
            air.require_equal(idle, [0] * len(idle), f"{name}: 0 without a write", when=1 - emits)

    @staticmethod
    def fill(cells: Any, rows: Integers, states: Digests, chain: Digests, start: int) -> None:
        """`rows` emit; `states`, `chain`: of all writes of the segment, of which these are the ones from `start` on."""
        here = slice(start, start + len(rows))
        cells.emits[rows] = 1
        cells.count[rows] = np.arange(start, start + len(rows))
        cells.writes[rows] = chain[:-1][here]
        cells.item[rows] = states[here]
        cells.writes_after[rows] = chain[1:][here]


def _flat(cells: Any) -> list[Any]:
    return [x for cell in cells for x in (_flat(cell) if isinstance(cell, tuple) else [cell])]


class AccountColumns(Layout):
    """An account in a block."""

    real = bit("1 on rows that stand for an account in a block")
    leaf = element("index of the account's leaf", by="account_state bus")
    scope = element("scope of the block", by="range check; account bus")
    order = nested(ScopeOrder)
    address = limb("address", ADDRESS, by="account_state bus")
    code_hash = limb("code hash", WORD, by="account_state bus")
    balance = word("balance before", by="account_state bus")
    nonce = limb("nonce before", NONCE, by="account_state bus")
    balance_after = word("balance after", by="account bus: the last access")
    nonce_after = limb("nonce after", NONCE, by="account bus: the last access")
    first_time = element("time of the first token", by="account bus: the first access", free=_FIRST_TIME)
    last_time = element("time of the last access", by="account bus")
    last_warm = element("warm mark of the last access", by="account bus")
    write = nested(Emission)


class Account(Table):
    """Both ends of an account's accesses in a block."""

    name = "account"
    layout = AccountColumns
    row_order = "account_state orders the rows of an account by their scopes"

    def constraints(self, air: Air) -> None:
        row = air.row
        real = row.real
        ScopeOrder.constrain(air, row.order, row.scope, real)
        air.receive(
            ACCOUNT_STATE, row.leaf, row.address, row.balance, row.nonce, row.code_hash, row.order.previous, count=real
        )
        air.send(
            ACCOUNT_STATE, row.leaf, row.address, row.balance_after, row.nonce_after, row.code_hash, row.scope + 1,
            count=real,
        )  # fmt: skip
        for act, balance, nonce, warm, time in (
            (air.send, row.balance, row.nonce, 0, row.first_time),
            (air.receive, row.balance_after, row.nonce_after, row.last_warm, row.last_time),
        ):
            act(ACCOUNT, row.scope, row.address, balance, nonce, row.code_hash, warm, time, count=real)
        Emission.constrain(air, row.write, row.scope, row.leaf, row.balance_after, row.nonce_after)
        silent = 1 - row.write.emits
        air.require_equal(row.balance, row.balance_after, "a new balance is written", when=silent)
        air.require_equal(row.nonce, row.nonce_after, "a new nonce is written", when=silent)


def fill_account(execution: Execution) -> Matrix | None:
    """All accounts of all blocks of the segment."""
    view = StateView.of(execution)
    accounts = view.accounts
    if not len(accounts):
        return None
    matrix, rows = allocate(AccountColumns, len(accounts))
    rows.real = 1
    rows.address = execution.leaves.keys.address[accounts.leaf]
    for name in (
        "leaf", "scope", "code_hash", "balance", "nonce", "balance_after", "nonce_after",
        "first_time", "last_time", "last_warm",
    ):  # fmt: skip
        setattr(rows, name, getattr(accounts, name))
    ScopeOrder.fill(rows.order, accounts.scope, accounts.previous)
    writes = view.writes
    Emission.fill(rows.write, writes.account, writes.states, writes.chain, 0)
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
    stays = bit("1: what the operation wrote stays; 0 for transient storage")
    first_time = element("time of the first token", by="storage bus: the first access", free=_FIRST_TIME)
    last_time = element("time of the last access", by="storage bus")
    last_warm = element("warm mark of the last access", by="storage bus")
    originals = element("how often the original value is asked for", by="balance of the original bus")
    write = nested(Emission)


class Storage(Table):
    """Both ends of a slot's accesses in an operation."""

    name = "storage"
    layout = StorageColumns
    row_order = "storage_state orders the rows of a slot by their operations"

    def constraints(self, air: Air) -> None:
        row = air.row
        real, transient, stays = row.real, row.transient, row.stays
        air.require(transient * (1 - real), "padding is not transient")
        air.require(stays * (1 - real), "nothing of padding stays")
        air.require(stays * transient, "transient storage does not stay")
        air.query(STATUS, row.operation, stays, count=real - transient)
        ScopeOrder.constrain(air, row.order, row.operation, real)
        kind = transient * (LeafKind.TRANSIENT - LeafKind.STORAGE) + int(LeafKind.STORAGE)
        # A transient slot opens with 0: its leaf holds 0, and every row leaves what it opened with.
        result = select_all(stays, row.last, row.value)
        key = (row.leaf, kind, row.address, row.slot)
        air.receive(STORAGE_STATE, *key, row.value, row.order.previous, count=real)
        air.send(STORAGE_STATE, *key, result, row.operation + 1, count=real)
        key = (kind, row.operation, row.address, row.slot)
        air.send(STORAGE, *key, row.value, 0, row.first_time, count=real)
        air.receive(STORAGE, *key, row.last, row.last_warm, row.last_time, count=real)
        air.require(row.originals * (1 - real + transient), "only storage has an original value")
        air.provide(ORIGINAL, row.operation, row.address, row.slot, row.value, multiplicity=row.originals)
        # Where the row writes, the last value stays: it is the result.
        air.require(row.write.emits * (1 - stays), "only what stays is written")
        Emission.constrain(air, row.write, row.operation, row.leaf, row.last, [air.constant(0)] * NONCE)
        silent = stays - row.write.emits  # 1 where the last value stays and is not written
        air.require_equal(row.value, row.last, "a new value is written", when=silent)


def fill_storage(execution: Execution) -> Matrix | None:
    """All slots of all operations of the segment."""
    view, keys = StateView.of(execution), execution.leaves.keys
    slots = view.slots
    if not len(slots):
        return None
    matrix, rows = allocate(StorageColumns, len(slots))
    rows.real = 1
    rows.transient = keys.kind[slots.leaf] == LeafKind.TRANSIENT
    rows.address, rows.slot = keys.address[slots.leaf], keys.slot[slots.leaf]
    for name in (
        "leaf", "operation", "value", "last", "stays", "first_time", "last_time", "last_warm", "originals"
    ):  # fmt: skip
        setattr(rows, name, getattr(slots, name))
    ScopeOrder.fill(rows.order, slots.operation, slots.previous)
    writes = view.writes
    Emission.fill(rows.write, writes.slot, writes.states, writes.chain, len(writes.account))
    return matrix


COMPONENTS = (Acting(Account(), fill_account), Acting(Storage(), fill_storage))
