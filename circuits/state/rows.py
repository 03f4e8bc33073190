"""What the replay of a segment's state finds: accesses to accounts and slots, and rows of the tables around them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.limbs import Limbs
from circuits.statement import Digests

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Columns of equal length."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, index: Any) -> Any:
        """The rows of these indices."""
        return type(self)(*(getattr(self, f.name)[index] for f in fields(self)))


@dataclass(frozen=True, eq=False)
class AccountAccesses(Rows):
    """Accesses on the `account` bus, (n, ...): `time` and what is sent, `then` and what is received.

    Attributes:
        leaf: index in the access tree; operation, scope: numbers of the operation and of its block's first one.
        world: frame that undoes the access, 0 for none.
        address: (n, 10).
        time, then: of the token sent and of the one received.
        balance, nonce, code_hash, warm, life: (n, 16), (n, 4), (n, 16), (n,), (n,) as received; `.._after`: as sent.
    """

    leaf: Integers
    operation: Integers
    scope: Integers
    world: Integers
    address: Limbs
    time: Integers
    then: Integers
    balance: Limbs
    nonce: Limbs
    code_hash: Limbs
    warm: Integers
    life: Integers
    balance_after: Limbs
    nonce_after: Limbs
    code_hash_after: Limbs
    warm_after: Integers
    life_after: Integers


@dataclass(frozen=True, eq=False)
class StorageAccesses(Rows):
    """Accesses on the `storage` bus, (n, ...): `time` and what is sent, `then` and what is received.

    Attributes:
        leaf: index in the access tree; kind: leaf kind; operation: its number.
        world: frame that undoes the access, 0 for none.
        address, slot: (n, 10), (n, 16).
        time, then: of the token sent and of the one received.
        value, warm: (n, 16), (n,) as received; value_after, warm_after: as sent.
        original: (n, 16): the value before the operation.
    """

    leaf: Integers
    kind: Integers
    operation: Integers
    world: Integers
    address: Limbs
    slot: Limbs
    time: Integers
    then: Integers
    value: Limbs
    warm: Integers
    value_after: Limbs
    warm_after: Integers
    original: Limbs


@dataclass(frozen=True, eq=False)
class SubstateAccesses(Rows):
    """Accesses on the `substate` bus, (n,): what is received, the changes, and the time of the token received."""

    refund: Integers
    destructions: Integers
    refund_change: Integers
    destructions_change: Integers
    then: Integers


@dataclass(frozen=True, eq=False)
class AccessListEntries(Rows):
    """An access list, one row an entry: each address followed by its keys; slot 0 for an address."""

    is_key: NDArray[np.uint8]
    address: Limbs
    slot: Limbs


@dataclass(frozen=True, eq=False)
class AccountRows(Rows):
    """Accounts in blocks; `previous`: what account_state gave as the scope."""

    leaf: Integers
    scope: Integers
    previous: Integers
    last_time: Integers
    last_warm: Integers
    last_life: Integers
    balance: Limbs
    nonce: Limbs
    code_hash: Limbs
    balance_after: Limbs
    nonce_after: Limbs
    code_hash_after: Limbs

    @property
    def changes_code(self) -> NDArray[np.bool_]:
        """Which accounts have another code hash afterwards, (n,)."""
        changes: NDArray[np.bool_] = (self.code_hash != self.code_hash_after).any(axis=1)
        return changes


@dataclass(frozen=True, eq=False)
class StorageRows(Rows):
    """Rows of the `storage` table; `previous`: what storage_state gave as the scope.

    `last`: the value of the last access, `result`: what stays of it; `originals`: queries of the original value.
    `dirty`: the operation destroys accounts; `destroyed`: this one.
    """

    leaf: Integers
    operation: Integers
    previous: Integers
    last_time: Integers
    last_warm: Integers
    value: Limbs
    last: Limbs
    result: Limbs
    dirty: NDArray[np.bool_]
    destroyed: NDArray[np.bool_]
    originals: Integers


@dataclass(frozen=True, eq=False)
class Undone(Rows):
    """What frames that fail hand over, and when: frame and outer world, operation, scope, time, time of the token."""

    frame: Integers
    outer: Integers
    operation: Integers
    scope: Integers
    time: Integers
    then: Integers


@dataclass(frozen=True, eq=False)
class StorageUndoRows(Undone):
    """Slots in worlds: what they hold when the frame begins, and what the world's last access leaves."""

    leaf: Integers
    value: Limbs
    warm: Integers
    last: Limbs
    last_warm: Integers
    last_time: Integers


@dataclass(frozen=True, eq=False)
class SubstateUndoRows(Undone):
    """Refunds and destructions in worlds, as slots."""

    refund: Integers
    destructions: Integers
    last_refund: Integers
    last_destructions: Integers
    last_time: Integers


@dataclass(frozen=True, eq=False)
class AccountUndoRows(Undone):
    """Accounts in worlds, as slots."""

    leaf: Integers
    balance: Limbs
    nonce: Limbs
    code_hash: Limbs
    warm: Integers
    life: Integers
    last_balance: Limbs
    last_nonce: Limbs
    last_code_hash: Limbs
    last_warm: Integers
    last_life: Integers
    last_time: Integers


@dataclass(frozen=True, eq=False)
class TransferRows(Rows):
    """Transfers of ether: accesses of both accounts (numbers), amount, whether the receiver is created, and when."""

    world: Integers
    operation: Integers
    scope: Integers
    giver: Integers
    taker: Integers
    amount: Limbs
    creates: Integers
    time: Integers


@dataclass(frozen=True, eq=False)
class DeletionRows(Rows):
    """Accounts that an operation destroys: their accesses (numbers), and how many are left to be deleted."""

    access: Integers
    remaining: Integers


@dataclass(frozen=True, eq=False)
class Writes:
    """The segment's writes to leaves: those of accounts, those of slots, those of codes.

    Attributes:
        account, slot: rows of `AccountRows`, `StorageRows` that make one, ascending.
        scope, leaf, value, nonce: what the items of accounts and slots hold, (n,), (n,), (n, 16), (n, 4).
        code: rows of `AccountRows` that write a code hash, ascending.
        code_scope, code_leaf, code_hash: what those items hold, (k,), (k,), (k, 16).
        states, code_states: hash states of the items, (n, blocks, 8), (k, blocks, 8).
        chain: running hash before, between and behind all of them, (n + k + 1, 8).
    """

    account: Integers
    slot: Integers
    scope: Integers
    leaf: Integers
    value: Limbs
    nonce: Limbs
    code: Integers
    code_scope: Integers
    code_leaf: Integers
    code_hash: Limbs
    states: Digests
    code_states: Digests
    chain: Digests
