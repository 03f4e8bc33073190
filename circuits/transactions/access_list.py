"""Access lists (EIP-2930): before its first step a transaction touches the accounts and slots of its list, one by one.

The verifier has hashed the list of the transaction's item, every address before its keys; a key's address stands in its
own entry.

Source: execution-specs `cancun/fork.py` (process_transaction), `cancun/transactions.py`.
"""

from __future__ import annotations

import numpy as np

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import TimeOrder
from circuits.air.layout import Layout, allocate, bit, element, limb, nested
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.batch.leaves import LeafKind
from circuits.batch.operation_items import operation_items
from circuits.component import Acting
from circuits.hashing import constrain_compress, constrain_item
from circuits.state.buses import ACCOUNT, STORAGE
from circuits.state.state_view import StateView
from circuits.statement import ACCESS_ITEM
from circuits.transactions.buses import ACCESS_LIST
from circuits.transactions.entries import EntryRows, fill_entries
from circuits.widths import ADDRESS, DIGEST, NONCE, WORD

_LIST = "access_list bus"
_DIGEST = "the list's digest, compared with the transaction's"
_POSEIDON = "poseidon2 bus"
_ACCOUNT = "account bus; 0 for keys"


class Columns(Layout):
    """One entry per row."""

    real = bit("1 on rows that stand for an entry")
    operation = element("number of the transaction", by=_LIST)
    scope = element("scope of the block", by=_LIST)
    time = element("time of the access", by=_LIST)
    before = element("running hash of the entries before", DIGEST, by=_LIST)
    after = element("running hash with the entry", DIGEST, by=_POSEIDON)
    addresses = element("addresses before", by=_LIST)
    keys = element("storage keys before", by=_LIST)
    is_key = bit("1: a storage key, 0: an address")
    address = limb("address limbs", ADDRESS, by=_DIGEST)
    slot = limb("the key; 0 for an address", WORD, by=_DIGEST)
    states = element("hash states of the entry, digest last", (ACCESS_ITEM.blocks, DIGEST), by=_POSEIDON)
    order = nested(TimeOrder)
    word = limb("the account's balance or the slot's value", WORD, by="account or storage bus")
    nonce = limb("the account's nonce", NONCE, by=_ACCOUNT)
    code_hash = limb("the account's code hash", WORD, by=_ACCOUNT)
    warm = element("warm mark before", by="account or storage bus")
    life = element("the account's life", by=_ACCOUNT)


class AccessList(Table):
    """Entries of access lists."""

    name = "access_list"
    layout = Columns
    row_order = "rows meet only on the access_list bus, which orders them by time"

    def constraints(self, air: Air) -> None:
        row, real, is_key = air.row, air.row.real, air.row.is_key
        air.require(is_key * (1 - real), "padding is no key")
        is_address = real - is_key
        constrain_item(air, ACCESS_ITEM, row.states, count=real, is_key=is_key, address=row.address, slot=row.slot)
        constrain_compress(air, row.before, row.states[-1], row.after, count=real)
        counts = (row.addresses, row.keys)
        air.receive(ACCESS_LIST, row.operation, row.scope, row.time, row.before, *counts, count=real)
        counts = (row.addresses + is_address, row.keys + is_key)
        air.send(ACCESS_LIST, row.operation, row.scope, row.time + 1, row.after, *counts, count=real)

        TimeOrder.constrain(air, row.order, row.time, real)
        account = (row.scope, 0, row.address, row.word, row.nonce, row.code_hash)
        air.receive(ACCOUNT, *account, row.warm, row.life, row.order.before, count=is_address)
        air.send(ACCOUNT, *account, row.operation + 1, row.life, row.time, count=is_address)
        slot = (int(LeafKind.STORAGE), row.operation, 0, row.address, row.slot, row.word)
        air.receive(STORAGE, *slot, row.warm, row.order.before, count=is_key)
        air.send(STORAGE, *slot, 1, row.time, count=is_key)
        air.require_equal(row.nonce, [0] * NONCE, "a key has no nonce", when=1 - is_address)
        air.require((1 - is_address) * row.life, "a key has no life")
        air.require_equal(row.code_hash, [0] * WORD, "a key has no code", when=1 - is_address)


def fill(execution: Execution) -> Matrix | None:
    """The entries of all access lists of the segment."""
    all_entries = operation_items(execution.batch).entries
    own = EntryRows.of(execution, all_entries)
    entries, place, _ = own
    if not len(entries):
        return None
    matrix, rows = allocate(Columns, len(entries))
    fill_entries(rows, execution, all_entries, own)
    is_key = all_entries.items.fields["is_key"][entries].astype(np.int64)
    keys = np.cumsum(is_key) - is_key
    keys -= keys[np.arange(len(place)) - place]
    rows.keys = keys
    rows.addresses = place - keys

    time, accounts, slots = StateView.of(execution).access_list_accesses()
    rows.time = time
    then = np.empty(len(entries), dtype=np.int64)
    of_address, of_key = np.flatnonzero(is_key == 0), np.flatnonzero(is_key)
    for places, accesses, words in ((of_address, accounts, accounts.balance), (of_key, slots, slots.value)):
        then[places] = accesses.then
        rows.word[places], rows.warm[places] = words, accesses.warm
    rows.nonce[of_address], rows.code_hash[of_address] = accounts.nonce, accounts.code_hash
    rows.life[of_address] = accounts.life
    TimeOrder.fill(rows.order, time, then)
    return matrix


COMPONENTS = (Acting(AccessList(), fill),)
