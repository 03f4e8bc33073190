"""What frames that fail undo: where the chains of their worlds begin and end (`circuits.state.buses`).

For a frame F that fails and a key that is touched in its world, a row takes the token of the world around F when F
begins, and sends the same values on three times: back to that world, and as the first token of F's world. It takes the
last token of F's world, whatever it holds.
"""

from __future__ import annotations

from typing import Any

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import TimeOrder
from circuits.air.layout import Layout, allocate, bit, element, limb, nested, word
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.batch.leaves import LeafKind
from circuits.component import Acting
from circuits.state.buses import ACCOUNT, FAILURE, STORAGE, SUBSTATE
from circuits.state.rows import Undone
from circuits.state.state_view import StateView
from circuits.widths import ADDRESS, NONCE, WORD

_FAILURE = "failure bus"
_ORDER = "rows meet only on buses; those of a frame and a key are one, as the times on the bus demand"


class UndoColumns(Layout):
    """A key that is touched in the world of a frame that fails."""

    real = bit("1 on rows that stand for a key in a world")
    frame = element("id of the frame, and name of its world", by=_FAILURE)
    outer = element("world around the frame", by=_FAILURE)
    operation = element("number of the transaction", by=_FAILURE)
    scope = element("scope of the block", by=_FAILURE)
    time = element("time at which the frame begins", by=_FAILURE)
    order = nested(TimeOrder, "the last access in the world around")
    last_time = element("time of the world's last access", by="the bus of its tokens")


def _begin(air: Air) -> None:
    """The row's frame fails, and the outer token is from before it begins."""
    row = air.row
    air.query(FAILURE, row.frame, row.outer, row.operation, row.scope, row.time, count=row.real)
    TimeOrder.constrain(air, row.order, row.time, row.real)


def _fill(rows: Any, undone: Undone) -> None:
    rows.real = 1
    for name in ("frame", "outer", "operation", "scope", "time"):
        setattr(rows, name, getattr(undone, name))
    TimeOrder.fill(rows.order, undone.time, undone.then)


class StorageUndoColumns(UndoColumns):
    """A slot of storage or transient storage in a world."""

    transient = bit("1 for transient storage")
    address = limb("address of the account", ADDRESS, by="storage bus: the world around")
    slot = word("the slot's key", by="storage bus: the world around")
    value = word("value when the frame begins", by="storage bus: the world around")
    warm = element("warm mark when the frame begins", by="storage bus: the world around")
    last = word("value of the world's last access", by="storage bus: the last access")
    last_warm = element("warm mark of the world's last access", by="storage bus: the last access")


class StorageUndo(Table):
    """Both ends of a slot's accesses in a world, whose writes and warm mark are undone."""

    name = "storage_undo"
    layout = StorageUndoColumns
    row_order = _ORDER

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        _begin(air)
        air.require(row.transient * (1 - real), "padding is not transient")
        kind = row.transient * (LeafKind.TRANSIENT - LeafKind.STORAGE) + int(LeafKind.STORAGE)
        outer, inner = ((kind, row.operation, world, row.address, row.slot) for world in (row.outer, row.frame))
        held = (row.value, row.warm)
        air.receive(STORAGE, *outer, *held, row.order.before, count=real)
        air.send(STORAGE, *outer, *held, row.time, count=real)
        air.send(STORAGE, *inner, *held, row.time, count=real)
        air.receive(STORAGE, *inner, row.last, row.last_warm, row.last_time, count=real)


def fill_storage_undo(execution: Execution) -> Matrix | None:
    """All slots in worlds."""
    undone, keys = StateView.of(execution).storage_undo, execution.leaves.keys
    if not len(undone):
        return None
    matrix, rows = allocate(StorageUndoColumns, len(undone))
    _fill(rows, undone)
    rows.transient = keys.kind[undone.leaf] == LeafKind.TRANSIENT
    rows.address, rows.slot = keys.address[undone.leaf], keys.slot[undone.leaf]
    for name in ("value", "warm", "last", "last_warm", "last_time"):
        setattr(rows, name, getattr(undone, name))
    return matrix


class SubstateUndoColumns(UndoColumns):
    """The substate in a world."""

    refund = element("refund counter when the frame begins", by="substate bus: the world around")
    destructions = element("accounts destroyed when the frame begins", by="substate bus: the world around")
    last_refund = element("refund counter after the world's last change", by="substate bus: the last change")
    last_destructions = element("accounts destroyed after it", by="substate bus: the last change")


class SubstateUndo(Table):
    """Both ends of the substate's changes in a world: refunds and destructions that do not count."""

    name = "substate_undo"
    layout = SubstateUndoColumns
    row_order = _ORDER

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        _begin(air)
        held = (row.refund, row.destructions)
        air.receive(SUBSTATE, row.operation, row.outer, *held, row.order.before, count=real)
        air.send(SUBSTATE, row.operation, row.outer, *held, row.time, count=real)
        air.send(SUBSTATE, row.operation, row.frame, *held, row.time, count=real)
        last = (row.last_refund, row.last_destructions)
        air.receive(SUBSTATE, row.operation, row.frame, *last, row.last_time, count=real)


def fill_substate_undo(execution: Execution) -> Matrix | None:
    """The substate in all worlds that change it."""
    undone = StateView.of(execution).substate_undo
    if not len(undone):
        return None
    matrix, rows = allocate(SubstateUndoColumns, len(undone))
    _fill(rows, undone)
    for name in ("refund", "destructions", "last_refund", "last_destructions", "last_time"):
        setattr(rows, name, getattr(undone, name))
    return matrix


_OUTER = "account bus: the world around"
_LAST = "account bus: the last access"


class AccountUndoColumns(UndoColumns):
    """An account in a world."""

    address = limb("address", ADDRESS, by=_OUTER)
    balance = word("balance when the frame begins", by=_OUTER)
    nonce = limb("nonce when the frame begins", NONCE, by=_OUTER)
    code_hash = limb("code hash when the frame begins", WORD, by=_OUTER)
    warm = element("warm mark when the frame begins", by=_OUTER)
    life = element("life when the frame begins", by=_OUTER)
    last_balance = word("balance after the world's last access", by=_LAST)
    last_nonce = limb("nonce after the world's last access", NONCE, by=_LAST)
    last_code_hash = limb("code hash after the world's last access", WORD, by=_LAST)
    last_warm = element("warm mark after the world's last access", by=_LAST)
    last_life = element("life after the world's last access", by=_LAST)


class AccountUndo(Table):
    """Both ends of an account's accesses in a world, which leave nothing: neither ether nor code, warmth nor life."""

    name = "account_undo"
    layout = AccountUndoColumns
    row_order = _ORDER

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        _begin(air)
        outer, inner = ((row.scope, world, row.address) for world in (row.outer, row.frame))
        held = (row.balance, row.nonce, row.code_hash, row.warm, row.life)
        air.receive(ACCOUNT, *outer, *held, row.order.before, count=real)
        air.send(ACCOUNT, *outer, *held, row.time, count=real)
        air.send(ACCOUNT, *inner, *held, row.time, count=real)
        last = (row.last_balance, row.last_nonce, row.last_code_hash, row.last_warm, row.last_life)
        air.receive(ACCOUNT, *inner, *last, row.last_time, count=real)


def fill_account_undo(execution: Execution) -> Matrix | None:
    """All accounts in worlds."""
    undone, keys = StateView.of(execution).account_undo, execution.leaves.keys
    if not len(undone):
        return None
    matrix, rows = allocate(AccountUndoColumns, len(undone))
    _fill(rows, undone)
    rows.address = keys.address[undone.leaf]
    for name in ("balance", "nonce", "code_hash", "warm", "life"):
        setattr(rows, name, getattr(undone, name))
        setattr(rows, f"last_{name}", getattr(undone, f"last_{name}"))
    rows.last_time = undone.last_time
    return matrix


COMPONENTS = (
    Acting(AccountUndo(), fill_account_undo),
    Acting(StorageUndo(), fill_storage_undo),
    Acting(SubstateUndo(), fill_substate_undo),
)
