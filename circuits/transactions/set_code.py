"""Transactions of forks in which accounts can delegate to the code of others (EIP-7702).

Beyond `circuits.transactions.transaction`: a sender may have a code that delegates; each transaction has a list of
authorizations, empty but for those of type 4, which cost gas and earn refunds (`circuits.transactions.authorization`);
and where the recipient has delegated, the code of the account that it names runs for it, even if that stands for
another one in turn, or none if there is none: a precompile does not run so. The sender's nonce and code may change
while the transaction runs.

Accesses, by their times: sender and coinbase at begin + 1 and begin + 3, then the entries of the access list and of the
list of authorizations, recipient and delegate in the two units before the outermost frame begins.

Sources: execution-specs `prague/fork.py` (check_transaction, process_transaction), `prague/vm/interpreter.py`
(process_message_call).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from circuits.air import field as arithmetic
from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import IsZero, TimeOrder, total
from circuits.air.layout import TraceView, bit, element, limb, nested, word
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.delegations import DELEGATION_BYTES, Delegates
from circuits.batch.execution import RECIPIENT_TIME, Batch, Execution
from circuits.batch.item_lists import ItemColumns
from circuits.batch.operation_items import operation_items
from circuits.batch.precompiles import precompile_range
from circuits.component import Answering, Component
from circuits.frames.buses import CODE, CONTEXT, DELEGATING, DELEGATION
from circuits.limbs import addresses_from_bytes
from circuits.state.buses import ACCOUNT, DESTROYING, LIFE
from circuits.state.state_view import EMPTY_CODE, GAS_AUTHORIZATION_REFUND, Role, StateView, refunded
from circuits.statement import AUTHORIZATIONS_START, SET_CODE_ITEM, Item
from circuits.transactions import transaction
from circuits.transactions.buses import AUTHORIZATION
from circuits.transactions.chain import POSEIDON_BUS
from circuits.transactions.transaction import FloorColumns, FloorTransaction
from circuits.widths import ADDRESS, DIGEST, NONCE, WORD
from executor.forks import Fork
from executor.transactions import GAS_AUTHORIZATION

_COMMITTED = "the transaction's commitment: the verifier hashes canonical limbs"
_ACCOUNT = "account bus: the last sender"
_DELEGATE = "account bus; 0 without a delegate"


class Columns(FloorColumns):
    """One transaction per row."""

    authorization_digest = element("digest of the authorizations", DIGEST, by=_COMMITTED)
    authorizations = element("entries of their list, at most 2^13", by=_COMMITTED)
    states = element("hash states of the item, digest last", (SET_CODE_ITEM.blocks, DIGEST), by=POSEIDON_BUS)
    refunds = element("authorizations that earn a refund", by="authorization bus")

    sender_code = limb("sender's code hash before", WORD, by=_ACCOUNT)
    sender_coded = bit("1: it has code, which delegates")
    sender_ended_nonce = limb("sender's nonce after the last step", NONCE, by=_ACCOUNT)
    sender_ended_code = limb("sender's code hash after the last step", WORD, by=_ACCOUNT)

    delegates = bit("1: the recipient's code stands for that of another account, its delegate")
    delegation_id = element("id of that code, or 0", by="delegation bus, or 0")
    delegate = limb("the delegate; 0 if there is none", ADDRESS, by="delegation bus, or 0")
    delegate_coded = bit("1: the delegate has code")
    delegate_order = nested(TimeOrder, "the access to the delegate")
    delegate_balance = word("the delegate's balance", by=_DELEGATE)
    delegate_nonce = limb("its nonce", NONCE, by=_DELEGATE)
    delegate_code = limb("its code hash", WORD, by=_DELEGATE)
    delegate_warm = element("its warm mark before", by=_DELEGATE)
    delegate_life = element("its life", by=_DELEGATE)
    delegate_small = nested(IsZero, "of one with code: whether all limbs of its address but the lowest are 0")


class SetCodeTransaction(FloorTransaction):
    """Transactions of such a fork, of all types."""

    layout = Columns
    item: ClassVar[Item] = SET_CODE_ITEM

    def items(self, batch: Batch) -> ItemColumns:
        items = operation_items(batch).set_code
        assert items is not None  # the batch has blocks of the fork
        return items

    def _surroundings(self, air: Air) -> None:
        super()._surroundings(air)
        row = air.row
        key = (row.operation, row.scope)
        time = self._listed_time(air)
        start = [int(e) for e in AUTHORIZATIONS_START]
        air.send(AUTHORIZATION, *key, time, start, 0, 0, count=row.real)
        end = (time + row.authorizations, row.authorization_digest, row.authorizations, row.refunds)
        air.receive(AUTHORIZATION, *key, *end, count=row.real)

    def _frame_time(self, air: Air) -> Expression:
        time: Expression = self._listed_time(air) + air.row.authorizations + RECIPIENT_TIME * air.row.real
        return time

    def _recipient_time(self, air: Air) -> Expression:
        return self._frame_time(air) - RECIPIENT_TIME

    def _given(self, air: Air) -> Expression:
        # Together with the others below 2^29 + 2^13 * 25000 < 2^30 - 2^27: what is negative does not look like gas.
        given: Expression = super()._given(air) - GAS_AUTHORIZATION * air.row.authorizations
        return given

    def _refund(self, air: Air) -> Operand:
        earned: Expression = GAS_AUTHORIZATION_REFUND * air.row.refunds  # half of what has been paid for them
        return earned

    def _sender(self, air: Air) -> tuple[Sequence[Any], tuple[Sequence[Any], Sequence[Any]]]:
        """The sender may have a code that delegates (EIP-3607, EIP-7702)."""
        row = air.row
        air.require(row.sender_coded * (1 - row.real), "padding has no sender")
        air.require_equal(row.sender_code, _empty(air), "no code of the sender", when=row.real - row.sender_coded)
        air.query(DELEGATING, row.sender_code, 1, count=row.sender_coded)
        return row.sender_code, (row.sender_ended_code, row.sender_ended_nonce)

    def _code(self, air: Air) -> None:
        row, delegates, coded = air.row, air.row.delegates, air.row.delegate_coded
        air.require(delegates * (1 - row.known), "what delegates is a code")
        plain = row.known - delegates
        nobody = [air.constant(0)] * ADDRESS
        air.query(DELEGATION, row.code_id, row.recipient_code, row.code_size, 0, nobody, count=plain)
        named = (row.delegation_id, row.recipient_code, DELEGATION_BYTES, 1, row.delegate)
        air.query(DELEGATION, *named, count=delegates)
        # Nobody has signed for the address of a precompile. If one delegated all the same, it would not run.
        air.require(row.precompiled * delegates, "no precompile delegates")
        now = self._frame_time(air) - 1
        TimeOrder.constrain(air, row.delegate_order, now, delegates)
        account = (row.scope, 0, row.delegate, row.delegate_balance, row.delegate_nonce, row.delegate_code)
        order = row.delegate_order
        air.receive(ACCOUNT, *account, row.delegate_warm, row.delegate_life, order.before, count=delegates)
        air.send(ACCOUNT, *account, row.operation + 1, row.delegate_life, now, count=delegates)
        air.require(coded * (1 - delegates), "no code without a delegate")
        air.require_equal(row.delegate_code, _empty(air), "the delegate has no code", when=delegates - coded)
        air.query(CODE, row.code_id, row.delegate_code, row.code_size, count=coded)
        air.require_equal((row.code_id, row.code_size), (0, 0), "no known code", when=1 - plain - coded)
        self._no_precompile(air)
        idle = (
            row.delegation_id, *row.delegate, *row.delegate_balance, *row.delegate_nonce, *row.delegate_code,
            row.delegate_warm, row.delegate_life, order.before, order.low,
        )  # fmt: skip
        air.require_equal(idle, [0] * len(idle), "no delegate", when=1 - delegates)

    def _no_precompile(self, air: Air) -> None:
        """The delegate whose code runs is no precompile: one with a code is refused (`executor.provable`)."""
        row = air.row
        # Nine limbs: below 2^20.
        IsZero.constrain(
            air, row.delegate_small, total(row.delegate[1:]), when=row.delegate_coded, name="small delegate"
        )
        last, _ = precompile_range(self.fork)
        air.query(RANGE16, row.delegate[0] - (last + 1), count=row.delegate_small.zero)

    def _runs(self, air: Air) -> Expression:
        row = air.row
        runs: Expression = (row.known - row.delegates) * (1 - row.precompiled) + row.delegate_coded
        return runs


class LoneColumns(Columns, transaction.LoneColumns):
    """One transaction per row, in a fork with a precompile that stands apart from the others."""

    delegate_apart = element("of a small delegate: inverse of the distance to that one", by="its constraint")


class LoneSetCodeTransaction(SetCodeTransaction, transaction.LoneTransaction):
    """Transactions of such a fork with a precompile that stands apart from the others."""

    layout = LoneColumns

    def _no_precompile(self, air: Air) -> None:
        super()._no_precompile(air)
        row, small = air.row, air.row.delegate_small.zero
        _, lone = precompile_range(self.fork)
        assert lone is not None
        air.require((row.delegate[0] - lone) * row.delegate_apart - small, "the delegate is not the lone precompile")
        air.require((1 - small) * row.delegate_apart, "no small delegate")


def _empty(air: Air) -> list[Expression]:
    return [air.constant(int(x)) for x in EMPTY_CODE]


def fill(table: SetCodeTransaction, execution: Execution, *asked: NDArray[np.uint32]) -> Matrix | None:
    """The segment's transactions; `asked`: as of `circuits.transactions.transaction.fill`."""
    matrix = transaction.fill(table, execution, *asked)
    if matrix is None:
        return None
    numbers = execution.transaction_operations
    rows: Any = TraceView(table.layout, matrix[: len(numbers)])
    view = StateView.of(execution)
    signed = view.authorization_accesses()
    refunds = np.zeros(len(numbers), dtype=np.int64)
    np.add.at(refunds, np.searchsorted(numbers, signed.operation), refunded(signed))
    rows.refunds = refunds

    sender, ended = (view.account_access(numbers, role) for role in (Role.SENDER_BEGIN, Role.SENDER_END))
    rows.sender_code, rows.sender_coded = sender.code_hash, (sender.code_hash != EMPTY_CODE).any(axis=1)
    rows.sender_ended_nonce, rows.sender_ended_code = ended.nonce, ended.code_hash

    known = Delegates(execution.trace)
    delegates = (rows.known == 1) & known.known(rows.recipient_code)
    rows.delegates = delegates
    rows.delegation_id = np.where(delegates, rows.code_id, 0)
    here = np.flatnonzero(delegates)
    chosen = matrix[here]
    block: Any = TraceView(table.layout, chosen)
    access = view.account_access(numbers[here], Role.DELEGATE_BEGIN)
    block.delegate = addresses_from_bytes(known.addresses(rows.recipient_code[here]))
    TimeOrder.fill(block.delegate_order, access.time, access.then)
    block.delegate_balance, block.delegate_nonce = access.balance, access.nonce
    block.delegate_code, block.delegate_warm, block.delegate_life = access.code_hash, access.warm, access.life
    coded = (access.code_hash != EMPTY_CODE).any(axis=1)
    block.delegate_coded = coded
    block.code_id, block.code_size = (np.where(coded, x, 0) for x in execution.codes_of(access.code_hash))
    block.runs = coded
    low = access.address[:, 0].astype(np.int64)
    rest = access.address[:, 1:].astype(np.uint64).sum(axis=1)
    IsZero.fill(block.delegate_small, rest)
    for cells in (block.delegate_small.zero, block.delegate_small.inverse):
        cells *= coded
    lone = precompile_range(execution.fork)[1]
    if lone is not None:
        small = coded & (rest == 0)
        block.delegate_apart = arithmetic.inverse(((low - lone) % MODULUS * small).astype(np.uint64))
    matrix[here] = chosen
    return matrix


def components(fork: Fork) -> tuple[Component, ...]:
    """The table of transactions of a fork in which accounts can delegate."""
    if not fork.sets_codes:
        return ()
    has_lone = precompile_range(fork)[1] is not None
    table = (LoneSetCodeTransaction if has_lone else SetCodeTransaction)(fork)
    return (Answering(table, (LIFE, DESTROYING, CONTEXT), partial(fill, table)),)
