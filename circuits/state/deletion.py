"""Accounts that the transaction which created them destroys: they are deleted behind its last step (EIP-6780).

Source: execution-specs `cancun/fork.py` (process_transaction: destroy_account), `cancun/vm/instructions/system.py`.

Balance, nonce and code go here, whatever has come since the account was destroyed; its storage goes where each slot's
row leaves what it opened with (`circuits.state.state`), because of what these tables answer on the `life` bus.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air import field as arithmetic
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import TimeOrder
from circuits.air.layout import Layout, allocate, bit, element, limb, nested, word
from circuits.air.queries import multiplicities
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.component import Answering
from circuits.limbs import words_from_bytes
from circuits.state.account_replay import created
from circuits.state.buses import ACCOUNT, DELETION, DESTROYING, LIFE
from circuits.state.rows import AccountAccesses
from circuits.state.state_view import StateView
from circuits.widths import ADDRESS, NONCE, WORD
from executor.state_keys import EMPTY_CODE_HASH

_ACCOUNT = "account bus: the last sender"
_EMPTY_CODE = [int(x) for x in words_from_bytes([EMPTY_CODE_HASH])[0]]


class _Columns(Layout):
    """An account behind the last step of a transaction that destroys accounts."""

    real = bit("1 on rows that stand for an account")
    operation = element("number of the transaction", by="its bus")
    scope = element("scope of the block", by="its bus")
    time = element("time of the access", by="its bus")
    address = limb("address", ADDRESS, by=_ACCOUNT)
    balance = word("balance before", by=_ACCOUNT)
    nonce = limb("nonce before", NONCE, by=_ACCOUNT)
    code_hash = limb("code hash before", WORD, by=_ACCOUNT)
    warm = element("warm mark before", by=_ACCOUNT)
    order = nested(TimeOrder, "the account's last access")
    asked = element("how often it is asked whether the account lives", by="balance of the life bus")


def _answer(air: Air, destroyed: int) -> None:
    """What the row says of its account's storage."""
    row = air.row
    air.require((1 - row.real) * row.asked, "padding answers nothing")
    air.provide(LIFE, row.operation, 1, row.address, destroyed, multiplicity=row.asked)


def _fill(layout: type[_Columns], access: AccountAccesses, asked: NDArray[np.uint32], destroyed: int) -> Any:
    """Matrix and rows of these accesses; `asked` (q, 13): what is asked on the life bus."""
    matrix, rows = allocate(layout, len(access))
    rows.real = 1
    for name in ("operation", "scope", "time", "address", "balance", "nonce", "code_hash", "warm"):
        setattr(rows, name, getattr(access, name))
    TimeOrder.fill(rows.order, access.time, access.then)
    marks = np.ones((len(access), 2), dtype=np.int64) * (1, destroyed)
    provided = np.concatenate([access.operation[:, None], marks[:, :1], access.address, marks[:, 1:]], axis=1)
    rows.asked = multiplicities(provided, asked)
    return matrix, rows


class DeletionColumns(_Columns):
    """An account that is deleted."""

    remaining = element("accounts left to be deleted before", by="deletion bus")


class Deletion(Table):
    """Deletes the accounts that a transaction has destroyed."""

    name = "deletion"
    layout = DeletionColumns
    row_order = "rows meet only on the deletion bus, which orders them by time"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        air.receive(DELETION, row.operation, row.scope, row.remaining, row.time, count=real)
        air.send(DELETION, row.operation, row.scope, row.remaining - 1, row.time + 1, count=real)
        TimeOrder.constrain(air, row.order, row.time, real)
        key = (row.scope, 0, row.address)
        held = (row.balance, row.nonce, row.code_hash, row.warm, created(row.operation) + 1)
        air.receive(ACCOUNT, *key, *held, row.order.before, count=real)
        nothing = ([air.constant(0)] * WORD, [air.constant(0)] * NONCE, _EMPTY_CODE)
        air.send(ACCOUNT, *key, *nothing, row.operation + 1, 0, row.time, count=real)
        _answer(air, 1)


def fill_deletion(execution: Execution, asked: NDArray[np.uint32]) -> Matrix | None:
    """All accounts that are deleted."""
    access, remaining = StateView.of(execution).deletions()
    if not len(access):
        return None
    matrix, rows = _fill(DeletionColumns, access, asked, 1)
    rows.remaining = remaining
    found: Matrix = matrix
    return found


class SurvivorColumns(_Columns):
    """An account that is not destroyed, and whose storage the transaction has touched."""

    life = element("life", by=_ACCOUNT)
    inverse = element("inverse of life minus that of a destroyed account", by="its constraint")


class Survivor(Table):
    """Shows that a transaction which destroys accounts has not destroyed these."""

    name = "survivor"
    layout = SurvivorColumns
    row_order = "rows meet only on buses"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        air.query(DESTROYING, row.operation, row.scope, row.time, count=real)
        TimeOrder.constrain(air, row.order, row.time, real)
        key = (row.scope, 0, row.address, row.balance, row.nonce, row.code_hash)
        air.receive(ACCOUNT, *key, row.warm, row.life, row.order.before, count=real)
        air.send(ACCOUNT, *key, row.operation + 1, row.life, row.time, count=real)
        # Both are below 2^26.
        air.require((row.life - created(row.operation) - 1) * row.inverse - real, "the account is not destroyed")
        _answer(air, 0)


def fill_survivor(execution: Execution, asked: NDArray[np.uint32]) -> Matrix | None:
    """All accounts with touched storage that stay, in transactions that destroy others."""
    access = StateView.of(execution).survivors()
    if not len(access):
        return None
    matrix, rows = _fill(SurvivorColumns, access, asked, 0)
    rows.life = access.life
    rows.inverse = arithmetic.inverse(((access.life - created(access.operation) - 1) % MODULUS).astype(np.uint64))
    found: Matrix = matrix
    return found


COMPONENTS = (
    Answering(Deletion(), LIFE, fill_deletion),
    Answering(Survivor(), LIFE, fill_survivor),
)
