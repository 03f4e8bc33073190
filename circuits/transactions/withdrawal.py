"""Withdrawals (EIP-4895): an amount comes to an account from nowhere.

Source: execution-specs `cancun/fork.py` (apply_body).
"""

from __future__ import annotations

import numpy as np

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import TimeOrder
from circuits.air.gadgets.words import constrain_increase, fill_increase, increase
from circuits.air.layout import allocate, element, limb, nested
from circuits.air.table import Air, Table
from circuits.batch.execution import WITHDRAWAL_TIME, Execution
from circuits.batch.operation_items import operation_items
from circuits.batch.operations import OperationKind
from circuits.component import Acting
from circuits.state.buses import ACCOUNT
from circuits.state.state_view import Role, StateView
from circuits.statement import WITHDRAWAL_ITEM
from circuits.transactions.chain import CHAIN_BUS, POSEIDON_BUS, OperationColumns, constrain_operation, fill_operation
from circuits.widths import ADDRESS, DIGEST, NONCE, WORD

_COMMITTED = "the withdrawal's commitment: the verifier hashes canonical limbs"
_ACCOUNT = "account bus: the last sender"


class Columns(OperationColumns):
    """One withdrawal per row."""

    receipts = element("running hash of receipts", DIGEST, by=CHAIN_BUS)
    scope = element("scope of the block", by=_COMMITTED)
    address = limb("address limbs", ADDRESS, by=_COMMITTED)
    amount = limb("wei", WORD, by=_COMMITTED)
    states = element("hash states of the item, digest last", (WITHDRAWAL_ITEM.blocks, DIGEST), by=POSEIDON_BUS)
    order = nested(TimeOrder)
    balance = limb("balance before", WORD, by=_ACCOUNT)
    nonce = limb("nonce", NONCE, by=_ACCOUNT)
    code_hash = limb("code hash", WORD, by=_ACCOUNT)
    warm = element("warm mark before", by=_ACCOUNT)
    life = element("life", by=_ACCOUNT)
    paid = nested(increase(1), "balance + amount")


class Withdrawal(Table):
    """Withdrawals."""

    name = "withdrawal"
    layout = Columns
    row_order = "rows meet only on the chain bus, which orders them by their number"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        constrain_operation(air, WITHDRAWAL_ITEM, row.time + WITHDRAWAL_TIME, row.receipts, row.receipts)

        now = row.time + 1
        constrain_increase(air, row.paid, row.balance, row.amount, name="balance")
        TimeOrder.constrain(air, row.order, now, real)
        account = (row.scope, 0, row.address)
        kept = (row.nonce, row.code_hash)
        air.receive(ACCOUNT, *account, row.balance, *kept, row.warm, row.life, row.order.before, count=real)
        # No instruction of the operation will ask whether the account is warm; this marks it as every access does.
        air.send(ACCOUNT, *account, row.paid.after, *kept, row.operation + 1, row.life, now, count=real)


def fill(execution: Execution) -> Matrix | None:
    """The segment's withdrawals."""
    local = np.flatnonzero(execution.kind == OperationKind.WITHDRAWAL)
    if not len(local):
        return None
    numbers = local + execution.first
    items, own = operation_items(execution.batch).withdrawals, execution.operations.row[numbers]
    matrix, rows = allocate(Columns, len(numbers))
    fill_operation(rows, execution, numbers, items, own)
    rows.receipts = execution.batch.receipts.before_operation[numbers]
    access = StateView.of(execution).account_access(numbers, Role.WITHDRAWAL)
    rows.balance, rows.nonce, rows.code_hash, rows.warm = access.balance, access.nonce, access.code_hash, access.warm
    rows.life = access.life
    fill_increase(rows.paid, access.balance, rows.amount)
    TimeOrder.fill(rows.order, access.time, access.then)
    return matrix


COMPONENTS = (Acting(Withdrawal(), fill),)
