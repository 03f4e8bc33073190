"""Ether that moves with a frame, and back from a transaction that fails; and new accounts.

Source: execution-specs `cancun/vm/interpreter.py` (process_create_message, process_message), `cancun/state.py`
(move_ether).
"""

from __future__ import annotations

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import TimeOrder, select
from circuits.air.gadgets.words import (
    constrain_decrease,
    constrain_increase,
    decrease,
    fill_decrease,
    fill_increase,
    increase,
)
from circuits.air.layout import Layout, allocate, bit, element, limb, nested, word
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.component import Acting
from circuits.state.account_replay import created
from circuits.state.buses import ACCOUNT, TRANSFER
from circuits.state.state_view import StateView
from circuits.widths import ADDRESS, NONCE, WORD

_TRANSFER = "transfer bus"
_ACCOUNT = "account bus: the last sender"


class Party(Layout):
    """An account that gives or takes."""

    balance = word("balance before", by=_ACCOUNT)
    nonce = limb("nonce", NONCE, by=_ACCOUNT)
    code_hash = limb("code hash", WORD, by=_ACCOUNT)
    warm = element("warm mark before", by=_ACCOUNT)
    life = element("life before", by=_ACCOUNT)
    order = nested(TimeOrder, "the account's last access")


class Columns(Layout):
    """One transfer per row."""

    real = bit("1 on rows that stand for a transfer")
    world = element("world in which it happens", by=_TRANSFER)
    operation = element("number of the transaction", by=_TRANSFER)
    scope = element("scope of the block", by=_TRANSFER)
    giver_address = limb("account that gives", ADDRESS, by=_TRANSFER)
    taker_address = limb("account that takes", ADDRESS, by=_TRANSFER)
    amount = word("wei", by=_TRANSFER)
    creates = element("1: the account that takes is created", by=_TRANSFER)
    time = element("time before both accesses", by=_TRANSFER)
    giver = nested(Party)
    taker = nested(Party)
    given = nested(decrease(1), "the giver's balance - amount")
    taken = nested(increase(1), "the taker's balance + amount")


class Transfer(Table):
    """An amount leaves one account and arrives at another, or at the same one.

    A new account begins with nonce 1 (EIP-161); its life says which operation has created it (EIP-6780). Its nonce was
    0: whoever creates it has looked.
    """

    name = "transfer"
    layout = Columns
    row_order = "rows meet only on buses"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        creates = row.creates
        air.receive(
            TRANSFER, row.world, row.operation, row.scope, row.giver_address, row.taker_address, row.amount,
            creates, row.time, count=real,
        )  # fmt: skip
        constrain_decrease(air, row.given, row.giver.balance, row.amount, name="given")
        constrain_increase(air, row.taken, row.taker.balance, row.amount, name="taken")
        air.require(creates * row.taker.nonce[0], "a new account has nonce 0")
        born = [row.taker.nonce[0] + creates, *row.taker.nonce[1:]]
        life = select(creates, created(row.operation), row.taker.life)
        for party, address, balance, nonce, left, delay in (
            (row.giver, row.giver_address, row.given.after, row.giver.nonce, row.giver.life, 1),
            (row.taker, row.taker_address, row.taken.after, born, life, 2),
        ):
            now = row.time + delay
            TimeOrder.constrain(air, party.order, now, real)
            key = (row.scope, row.world, address)
            held = (party.balance, party.nonce, party.code_hash, party.warm, party.life)
            air.receive(ACCOUNT, *key, *held, party.order.before, count=real)
            after = (balance, nonce, party.code_hash, row.operation + 1, left)
            air.send(ACCOUNT, *key, *after, now, count=real)


def fill(execution: Execution) -> Matrix | None:
    """All transfers of the segment."""
    view = StateView.of(execution)
    transfers = view.transfers
    if not len(transfers):
        return None
    giver, taker = view.transfer_accesses()
    matrix, rows = allocate(Columns, len(transfers))
    rows.real = 1
    for name in ("world", "operation", "scope", "amount", "creates", "time"):
        setattr(rows, name, getattr(transfers, name))
    rows.giver_address, rows.taker_address = giver.address, taker.address
    for party, access in ((rows.giver, giver), (rows.taker, taker)):
        for name in ("balance", "nonce", "code_hash", "warm", "life"):
            setattr(party, name, getattr(access, name))
        TimeOrder.fill(party.order, access.time, access.then)
    fill_decrease(rows.given, giver.balance, transfers.amount)
    fill_increase(rows.taken, taker.balance, transfers.amount)
    return matrix


COMPONENTS = (Acting(Transfer(), fill),)
