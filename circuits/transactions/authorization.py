"""Authorizations (EIP-7702): before a transaction calls its recipient, accounts get the codes they have signed for.

The verifier has hashed the list of the transaction's item, and says which entries are void whatever the state is: those
of another chain, with a nonce that cannot be counted further, or with a signature that nobody has made. For all others
it names who has signed. Each of these is accessed in turn, and is warm from then on. It gets its code if it has none
yet, or one that delegates, and if its nonce is the entry's, which counts on: both is a fact about the account, so an
entry is neither skipped nor applied at anybody's choice. What happens here is in no frame, so nothing undoes it.

The new code is not hashed here: it is one of those that the verifier has hashed, and that the `delegation` table reads.

Source: execution-specs `prague/vm/eoa_delegation.py` (set_delegation).
"""

from __future__ import annotations

import numpy as np

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import IsZero, TimeOrder, total
from circuits.air.layout import RANGE, Layout, TraceView, allocate, bit, element, limb, nested, word
from circuits.air.table import Air, Table
from circuits.batch.delegations import DELEGATION_BYTES, Delegates
from circuits.batch.execution import Execution
from circuits.component import Acting, Component
from circuits.frames.buses import DELEGATING, DELEGATION
from circuits.hashing import constrain_compress, constrain_item
from circuits.state.buses import ACCOUNT
from circuits.state.same_words import SameWords, constrain_same, fill_same
from circuits.state.state_view import EMPTY_CODE, StateView, refunded
from circuits.statement import AUTHORIZATION_ITEM
from circuits.transactions.buses import AUTHORIZATION
from circuits.transactions.entries import EntryRows, fill_entries
from circuits.widths import ADDRESS, DIGEST, NONCE, WORD
from executor.forks import Fork

_LIST = "authorization bus"
_DIGEST = "the list's digest, compared with the transaction's"
_POSEIDON = "poseidon2 bus"
_ACCOUNT = "account bus; 0 for void entries"


class Columns(Layout):
    """One entry per row."""

    real = bit("1 on rows that stand for an entry")
    operation = element("number of the transaction", by=_LIST)
    scope = element("scope of the block", by=_LIST)
    time = element("time of the access", by=_LIST)
    before = element("running hash of the entries before", DIGEST, by=_LIST)
    after = element("running hash with the entry", DIGEST, by=_POSEIDON)
    count = element("entries before", by=_LIST)
    refunds = element("entries before that earn a refund", by=_LIST)
    valid = bit("1: somebody has signed it; 0: it is void")
    authority = limb("who has; 0 of a void entry, as all else", ADDRESS, by=_DIGEST)
    address = limb("the account whose code is to run", ADDRESS, by=_DIGEST)
    nonce = limb("the nonce that the authority must have, below 2^64 - 1", NONCE, by=_DIGEST)
    states = element("hash states of the entry, digest last", (AUTHORIZATION_ITEM.blocks, DIGEST), by=_POSEIDON)

    order = nested(TimeOrder)
    balance = word("the authority's balance", by=_ACCOUNT)
    nonce_before = limb("its nonce", NONCE, by=_ACCOUNT)
    code_before = limb("its code hash", WORD, by=_ACCOUNT)
    warm = element("its warm mark before", by=_ACCOUNT)
    life = element("its life", by=_ACCOUNT)
    coded = bit("1: it has code")
    delegates = bit("1: its code stands for that of another account")
    same = nested(SameWords(1), "whether its nonce is the entry's")
    vacant = nested(IsZero, "whether it has neither balance, nonce nor code")
    applies = bit("1: it gets the code")
    refunded = bit("1: and it has existed")
    clears = nested(IsZero, "whether the address is 0: the code is to be empty")
    sets = bit("1: it gets a code that delegates")
    nonce_after = limb("its nonce afterwards", NONCE, by=RANGE)
    nonce_carry = bit("carry out of each limb of nonce + 1", NONCE - 1)
    code_after = limb("its code hash afterwards", WORD, by="the new code's, or constraints")
    code_id = element("id of a new code that delegates, or 0", by="delegation bus, or 0")


class Authorization(Table):
    """Entries of lists of authorizations."""

    name = "authorization"
    layout = Columns
    row_order = "rows meet only on the authorization bus, which orders them by time"

    def constraints(self, air: Air) -> None:
        row, real, valid = air.row, air.row.real, air.row.valid
        air.require(valid * (1 - real), "padding is not valid")
        parts = {name: getattr(row, name) for name, _ in AUTHORIZATION_ITEM.fields}
        constrain_item(air, AUTHORIZATION_ITEM, row.states, count=real, **parts)
        constrain_compress(air, row.before, row.states[-1], row.after, count=real)
        key = (row.operation, row.scope)
        air.receive(AUTHORIZATION, *key, row.time, row.before, row.count, row.refunds, count=real)
        refunds = row.refunds + row.refunded
        air.send(AUTHORIZATION, *key, row.time + 1, row.after, row.count + 1, refunds, count=real)

        TimeOrder.constrain(air, row.order, row.time, valid)
        account = (row.scope, 0, row.authority, row.balance)
        before, after = (row.nonce_before, row.code_before), (row.nonce_after, row.code_after)
        air.receive(ACCOUNT, *account, *before, row.warm, row.life, row.order.before, count=valid)
        air.send(ACCOUNT, *account, *after, row.operation + 1, row.life, row.time, count=valid)
        token = (*row.balance, *row.nonce_before, *row.code_before, row.warm, row.life, row.order.before, row.order.low)
        air.require_equal(token, [0] * len(token), "a void entry accesses nothing", when=1 - valid)
        self._decide(air)
        self._apply(air)

    @staticmethod
    def _decide(air: Air) -> None:
        """Whether the entry has an effect, and earns a refund."""
        row, valid = air.row, air.row.valid
        empty = [air.constant(int(x)) for x in EMPTY_CODE]
        # The empty code has no leaf in the access tree, and so no row of `delegation`.
        air.require(row.coded * (1 - valid), "void entries have no code")
        air.require_equal(row.code_before, empty, "no code", when=valid - row.coded)
        air.require(row.delegates * (1 - row.coded), "what delegates is a code")
        air.query(DELEGATING, row.code_before, row.delegates, count=row.coded)
        zeros: list[Expression] = [air.constant(0)] * (WORD - NONCE)
        constrain_same(air, row.same, (([*row.nonce, *zeros], [*row.nonce_before, *zeros]),), valid)
        free = valid - row.coded + row.delegates
        air.require(row.applies - free * row.same.same[0], "it applies")
        # At most 20 * 2^16 + 1: 0 only if all are. There are no accounts that are empty and exist: the verifier refuses
        # a pre-state with one, and no transaction leaves one behind (EIP-161).
        held = total([*row.balance, *row.nonce_before]) + row.coded
        IsZero.constrain(air, row.vacant, held, when=valid, name="vacant")
        air.require(row.refunded - row.applies * (1 - row.vacant.zero), "it earns a refund")

    @staticmethod
    def _apply(air: Air) -> None:
        """Nonce and code afterwards."""
        row, applies = air.row, air.row.applies
        carry: Expression = applies
        for i in range(NONCE):
            out = row.nonce_carry[i] if i < NONCE - 1 else air.constant(0)
            counted = row.nonce_before[i] + carry - row.nonce_after[i] - out * (1 << 16)
            air.require(counted, f"nonce afterwards: limb {i}")
            carry = out
        # At most 10 * 2^16.
        IsZero.constrain(air, row.clears, total(row.address), when=row.valid, name="clears")
        air.require(row.sets - applies * (1 - row.clears.zero), "it gets a code that delegates")
        air.query(DELEGATION, row.code_id, row.code_after, DELEGATION_BYTES, 1, row.address, count=row.sets)
        air.require((1 - row.sets) * row.code_id, "no new code that delegates")
        empty = [air.constant(int(x)) for x in EMPTY_CODE]
        air.require_equal(row.code_after, empty, "the empty code", when=applies - row.sets)
        air.require_equal(row.code_after, row.code_before, "the code stays", when=1 - applies)


def fill(execution: Execution) -> Matrix | None:
    """The authorizations of the segment."""
    entries = execution.batch.authorizations
    own = EntryRows.of(execution, entries)
    _, place, owner = own
    if not len(place):
        return None
    matrix, rows = allocate(Columns, len(place))
    fill_entries(rows, execution, entries, own)
    rows.time = execution.authorization_time[owner] + place
    rows.count = place

    valid = np.flatnonzero(rows.valid)
    access = StateView.of(execution).authorization_accesses()
    earned = np.zeros(len(place), dtype=np.int64)
    earned[valid] = refunded(access)
    earlier = np.cumsum(earned) - earned
    rows.refunds = earlier - earlier[np.arange(len(place)) - place]
    rows.refunded = earned
    if not len(valid):
        return matrix
    chosen = rows._matrix[valid]
    block = TraceView(Columns, chosen)
    TimeOrder.fill(block.order, access.time, access.then)
    block.balance, block.warm, block.life = access.balance, access.warm, access.life
    block.nonce_before, block.code_before = access.nonce, access.code_hash
    block.nonce_after, block.code_after = access.nonce_after, access.code_hash_after
    coded = (access.code_hash != EMPTY_CODE).any(axis=1)
    block.coded = coded
    block.delegates = Delegates(execution.trace).known(access.code_hash)
    wide = np.zeros((2, len(valid), WORD), dtype=np.int64)
    wide[0, :, :NONCE], wide[1, :, :NONCE] = block.nonce, access.nonce
    fill_same(block.same, ((wide[0], wide[1]),))
    held = access.balance.astype(np.uint64).sum(axis=1) + access.nonce.astype(np.uint64).sum(axis=1) + coded
    IsZero.fill(block.vacant, held.astype(np.uint64))
    applies = (access.nonce_after != access.nonce).any(axis=1)
    block.applies = applies
    carries = np.logical_and.accumulate(access.nonce[:, : NONCE - 1] == 0xFFFF, axis=1)
    block.nonce_carry = carries & applies[:, None]
    target = block.address.astype(np.uint64).sum(axis=1)
    IsZero.fill(block.clears, target)
    sets = applies & (target > 0)
    block.sets = sets
    ids, _ = execution.codes_of(access.code_hash_after)
    block.code_id = np.where(sets, ids, 0)
    rows._matrix[valid] = chosen
    return matrix


def components(fork: Fork) -> tuple[Component, ...]:
    """The table, where the fork has set-code transactions."""
    return (Acting(Authorization(), fill),) if fork.sets_codes else ()
