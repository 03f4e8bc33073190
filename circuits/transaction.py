"""Value transfers: one transaction per row, from its fields to its effects.

Proved for each row, under the Cancun rules: the sender may send it (nonce, balance, EIP-3607, fee caps of EIP-1559),
its intrinsic gas (EIP-2028, EIP-2930) fits its gas limit, and exactly the right amounts move between sender, recipient
and coinbase. Recipient and sender have no code and the recipient is no precompile, so no instruction runs, no refund
arises and the status is always 1; unused gas is bought back, which leaves `gas_used * price` as the charge.

Sources: execution-specs `cancun/fork.py` (check_transaction, process_transaction), `cancun/transactions.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from Crypto.Hash import keccak
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import IsZero, TimeOrder, range_check, select_all
from circuits.air.gadgets.words import AddWords, MultiplyWords, SubtractWords, constrain_multiply, fill_multiply
from circuits.air.layout import RANGE, Layout, TraceView, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.buses import BLOCK, CHAIN, DIGEST, STATE
from circuits.hashing import constrain_compress, constrain_item
from circuits.limbs import words_from_bytes
from circuits.statement import (
    EFFECTS_BLOCKS,
    TAG_EFFECTS,
    TAG_TRANSACTION,
    TRANSACTION_BLOCKS,
    Digests,
    effects_items,
    item_states,
    running_chains,
    transaction_items,
)
from executor.state_keys import StateKind
from executor.transfers import Access, TransferTrace

#: Gas of a transaction by itself, of calldata bytes (EIP-2028) and of access-list entries (EIP-2930).
TRANSACTION_BASE_GAS = 21000
ZERO_BYTE_GAS = 4
NONZERO_BYTE_GAS = 16
ACCESS_ADDRESS_GAS = 2400
ACCESS_KEY_GAS = 1900

#: Precompiles of Cancun are the addresses 1 to 10 (EIP-4844 added the last one).
LAST_PRECOMPILE = 10

#: Code hash of an account without code.
EMPTY_CODE_HASH = keccak.new(digest_bits=256, data=b"").digest()

#: Time stamps a transaction takes up; accesses happen at 8 (number + 1) + 1 .. 8 (number + 1) + 6.
TIME_STEP = 8

#: Transactions of a batch are numbered below 2^24, so time stamps stay below 2^27 + 2^4 < 2^29.
MAX_TRANSACTIONS = 1 << 24

#: Gas limits are below 2^30; both halves of a gas amount fit a limb and the upper one 14 bits.
GAS_BITS = 30

GasProduct = MultiplyWords(2)

_COMMITTED = "the transaction's commitment: the verifier hashes canonical limbs"
_CHAIN = "chain bus"
_POSEIDON = "poseidon2 bus"
_STATE = "state bus: the last writer"


class StateAccess(Layout):
    """One access to a state key."""

    leaf = element("index of the key's leaf", by="state bus: the leaf's tree path")
    order = nested(TimeOrder)


class Columns(Layout):
    """One transaction per row."""

    real = bit("1 on rows that stand for a transaction")
    number = element("number in the batch, below 2^24", by=_CHAIN)
    transactions_in = element("running hash of transactions before", DIGEST, by=_CHAIN)
    transactions_out = element("running hash of transactions behind", DIGEST, by=_POSEIDON)
    effects_in = element("running hash of effects before", DIGEST, by=_CHAIN)
    effects_out = element("running hash of effects behind", DIGEST, by=_POSEIDON)

    # The committed fields, in the order of the hashed item.
    block_digest = element("digest of the block context", DIGEST, by=_COMMITTED)
    sender = limb("sender's address", 10, by=_COMMITTED)
    to = limb("recipient's address", 10, by=_COMMITTED)
    nonce = limb("nonce, below 2^64 - 1", 4, by=_COMMITTED)
    gas_limit = limb("gas limit, below 2^30", 2, by=_COMMITTED)
    value = limb("value in wei", 16, by=_COMMITTED)
    max_fee = limb("max fee per gas in wei; the gas price of types 0 and 1", 16, by=_COMMITTED)
    max_priority = limb("max priority fee per gas in wei; the gas price of types 0 and 1", 16, by=_COMMITTED)
    zero_bytes = element("zero bytes of calldata, at most 2^22", by=_COMMITTED)
    nonzero_bytes = element("other bytes of calldata, at most 2^22", by=_COMMITTED)
    access_addresses = element("addresses in the access list, at most 2^16", by=_COMMITTED)
    access_keys = element("storage keys in the access list, at most 2^16", by=_COMMITTED)
    transaction_states = element("hash states of the item, digest last", (TRANSACTION_BLOCKS, DIGEST), by=_POSEIDON)
    effects_states = element("hash states of the effects, digest last", (EFFECTS_BLOCKS, DIGEST), by=_POSEIDON)

    coinbase = limb("fee recipient of the block", 10, by="block bus")
    base_fee = limb("base fee of the block", 16, by="block bus")

    gas_used = limb("gas used, two limbs; the upper one below 2^14", 2, by=RANGE)
    gas_left = limb("low limb of gas limit - gas used", by=RANGE)

    fee_margin = nested(SubtractWords, "max fee - base fee")
    priority_margin = nested(SubtractWords, "max fee - max priority fee")
    tip_choice = nested(SubtractWords, "max priority fee - fee margin; its last borrow says which one is smaller")
    tip = limb("priority fee per gas that is paid", 16, by="the smaller of two words of limbs")
    upfront = nested(GasProduct, "max fee * gas limit")
    required = nested(AddWords, "upfront + value")
    affordable = nested(SubtractWords, "sender's balance - required")
    burnt = nested(GasProduct, "base fee * gas used")
    reward = nested(GasProduct, "tip * gas used")
    charge = nested(AddWords, "burnt + reward")
    debit = nested(AddWords, "charge + value")

    sender_balance = limb("sender's balance before", 16, by=_STATE)
    sender_after = nested(SubtractWords, "sender's balance - debit")
    recipient_balance = limb("recipient's balance before", 16, by=_STATE)
    recipient_after = nested(AddWords, "recipient's balance + value")
    coinbase_balance = limb("coinbase's balance before", 16, by=_STATE)
    coinbase_after = nested(AddWords, "coinbase's balance + reward")
    nonce_after = limb("nonce + 1", 4, by=RANGE)
    nonce_carry = bit("carry out of each limb of nonce + 1", 3)

    low_zero = nested(IsZero, "the recipient's lowest limb is 0")
    rest_zero = nested(IsZero, "the recipient's other limbs are 0")
    access = nested(StateAccess, "the accesses in the order of time", len(Access))


class Transaction(Table):
    """Value transfers between accounts without code."""

    name = "transaction"
    layout = Columns
    row_order = "rows meet only on the chain bus, which orders them by their number"

    def constraints(self, air: Air) -> None:
        self._chain(air)
        self._recipient(air)
        self._gas(air)
        self._fees(air)
        self._balances(air)
        self._accesses(air)

    def _chain(self, air: Air) -> None:
        """The transaction and its effects are the next ones of the two running hashes."""
        row, real = air.row, air.row.real
        fields = [row.block_digest, row.sender, row.to, row.nonce, row.gas_limit, row.value, row.max_fee]
        counts = [row.max_priority, row.zero_bytes, row.nonzero_bytes, row.access_addresses, row.access_keys]
        constrain_item(air, TAG_TRANSACTION, [*fields, *counts], row.transaction_states, count=real)
        status = air.constant(1)
        effects: list[Any] = [status, row.gas_used, row.access[Access.SENDER_NONCE].leaf, row.nonce_after]
        for access, after in (
            (Access.SENDER_BALANCE, row.sender_after.difference),
            (Access.RECIPIENT_BALANCE, row.recipient_after.sum),
            (Access.COINBASE_BALANCE, row.coinbase_after.sum),
        ):
            effects += [row.access[access].leaf, after]
        constrain_item(air, TAG_EFFECTS, effects, row.effects_states, count=real)
        constrain_compress(air, row.transactions_in, row.transaction_states[-1], row.transactions_out, count=real)
        constrain_compress(air, row.effects_in, row.effects_states[-1], row.effects_out, count=real)
        air.receive(CHAIN, row.number, row.transactions_in, row.effects_in, count=real)
        air.send(CHAIN, row.number + 1, row.transactions_out, row.effects_out, count=real)
        air.query(BLOCK, row.block_digest, row.coinbase, row.base_fee, count=real)

    def _recipient(self, air: Air) -> None:
        """The recipient is no precompile: its address is 0 or above 10."""
        row, real = air.row, air.row.real
        rest = row.to[1]
        for part in row.to[2:]:
            rest = rest + part  # nine limbs: below 2^20
        IsZero.constrain(air, row.low_zero, row.to[0], when=real, name="low limb of recipient")
        IsZero.constrain(air, row.rest_zero, rest, when=real, name="other limbs of recipient")
        # Both flags are 0 on padding, so the count is a bit that is 0 there.
        small = row.rest_zero.zero * (1 - row.low_zero.zero)
        air.query(RANGE16, row.to[0] - (LAST_PRECOMPILE + 1), count=small)

    def _gas(self, air: Air) -> None:
        """Gas used is the intrinsic gas and at most the gas limit."""
        row, real = air.row, air.row.real
        # At most 21000 + 2^22 * 20 + 2^16 * 4300 < 2^29, both counts being at most the calldata's 2^22 bytes.
        intrinsic = (
            TRANSACTION_BASE_GAS * real
            + ZERO_BYTE_GAS * row.zero_bytes
            + NONZERO_BYTE_GAS * row.nonzero_bytes
            + ACCESS_ADDRESS_GAS * row.access_addresses
            + ACCESS_KEY_GAS * row.access_keys
        )
        used = row.gas_used[0] + row.gas_used[1] * (1 << 16)
        range_check(air, row.gas_used[1], GAS_BITS - 16, real)
        air.require(used - intrinsic, "gas used is the intrinsic gas")
        limit = row.gas_limit[0] + row.gas_limit[1] * (1 << 16)
        # gas left = low + 2^16 * high with a high part of 14 bits: in [0, 2^30), so the limit covers the gas used.
        high = (limit - used - row.gas_left) * pow(1 << 16, -1, MODULUS)
        range_check(air, high, GAS_BITS - 16, real)

    def _fees(self, air: Air) -> None:
        """The fee caps cover the base fee; the tip is the smaller of priority fee and margin (EIP-1559)."""
        row, real = air.row, air.row.real
        SubtractWords.constrain(air, row.fee_margin, row.max_fee, row.base_fee, name="fee margin")
        air.require(row.fee_margin.borrow[-1], "max fee covers the base fee")
        SubtractWords.constrain(air, row.priority_margin, row.max_fee, row.max_priority, name="priority margin")
        air.require(row.priority_margin.borrow[-1], "max fee covers the priority fee")
        margin = row.fee_margin.difference
        SubtractWords.constrain(air, row.tip_choice, row.max_priority, margin, name="tip choice")
        tip = select_all(row.tip_choice.borrow[-1], row.max_priority, margin)
        air.require_equal(row.tip, tip, "tip is the smaller one")
        for name, cells, price, gas in (
            ("upfront", row.upfront, row.max_fee, row.gas_limit),
            ("burnt", row.burnt, row.base_fee, row.gas_used),
            ("reward", row.reward, row.tip, row.gas_used),
        ):
            constrain_multiply(air, GasProduct, cells, price, gas, count=real, name=name)
            air.require_equal(cells.product[16:], [0, 0], f"{name} fits 256 bits")

    def _balances(self, air: Air) -> None:
        """The sender can afford the worst case and pays what the transfer costs."""
        row = air.row
        upfront, burnt, reward = (cells.product[:16] for cells in (row.upfront, row.burnt, row.reward))
        AddWords.constrain(air, row.required, upfront, row.value, name="required")
        SubtractWords.constrain(air, row.affordable, row.sender_balance, row.required.sum, name="affordable")
        AddWords.constrain(air, row.charge, burnt, reward, name="charge")
        AddWords.constrain(air, row.debit, row.charge.sum, row.value, name="debit")
        SubtractWords.constrain(air, row.sender_after, row.sender_balance, row.debit.sum, name="sender's balance")
        AddWords.constrain(air, row.recipient_after, row.recipient_balance, row.value, name="recipient's balance")
        AddWords.constrain(air, row.coinbase_after, row.coinbase_balance, reward, name="coinbase's balance")
        for name, last in (
            ("required", row.required.carry[-1]),
            ("affordable", row.affordable.borrow[-1]),
            ("charge", row.charge.carry[-1]),
            ("debit", row.debit.carry[-1]),
            ("sender's balance", row.sender_after.borrow[-1]),
            ("recipient's balance", row.recipient_after.carry[-1]),
            ("coinbase's balance", row.coinbase_after.carry[-1]),
        ):
            air.require(last, f"{name} neither overflows nor turns negative")
        carry: Expression = row.real
        for i in range(4):
            out = row.nonce_carry[i] if i < 3 else air.constant(0)
            air.require(row.nonce[i] + carry - row.nonce_after[i] - out * (1 << 16), f"nonce + 1: limb {i}")
            carry = out

    def _accesses(self, air: Air) -> None:
        """The state is read and written in the order of time."""
        row, real = air.row, air.row.real
        zeros = [air.constant(0)] * 12
        empty = [air.constant(int(v)) for v in words_from_bytes([EMPTY_CODE_HASH])[0]]
        balance, nonce, code = StateKind.BALANCE, StateKind.NONCE, StateKind.CODE_HASH
        effects = {
            Access.SENDER_NONCE: (nonce, row.sender, [*row.nonce, *zeros], [*row.nonce_after, *zeros]),
            Access.SENDER_CODE_HASH: (code, row.sender, empty, empty),
            Access.SENDER_BALANCE: (balance, row.sender, row.sender_balance, row.sender_after.difference),
            Access.RECIPIENT_CODE_HASH: (code, row.to, empty, empty),
            Access.RECIPIENT_BALANCE: (balance, row.to, row.recipient_balance, row.recipient_after.sum),
            Access.COINBASE_BALANCE: (balance, row.coinbase, row.coinbase_balance, row.coinbase_after.sum),
        }
        for access, (kind, address, before, after) in effects.items():
            cells = row.access[access]
            now = TIME_STEP * (row.number + 1) + (1 + access)
            TimeOrder.constrain(air, cells.order, now, real)
            air.receive(STATE, cells.leaf, int(kind), address, before, cells.order.before, count=real)
            air.send(STATE, cells.leaf, int(kind), address, after, now, count=real)


def access_times(trace: TransferTrace) -> NDArray[np.int64]:
    """Times of all accesses (n, 6)."""
    numbers = trace.first_transaction + np.arange(trace.transactions, dtype=np.int64)
    return TIME_STEP * (numbers[:, None] + 1) + 1 + np.arange(len(Access))


def previous_times(trace: TransferTrace) -> NDArray[np.int64]:
    """For each access (n, 6) the time of the access to the same key before it, 0 for the first one."""
    times = access_times(trace).reshape(-1)
    keys = trace.access_key.reshape(-1)
    order = np.argsort(keys, kind="stable")  # by key, within a key by time
    sorted_keys, sorted_times = keys[order], times[order]
    before = np.zeros(len(times), dtype=np.int64)
    same = sorted_keys[1:] == sorted_keys[:-1]
    before[order[1:][same]] = sorted_times[:-1][same]
    return before.reshape(-1, len(Access))


def committed_items(trace: TransferTrace, block_digests: Digests) -> NDArray[np.uint32]:
    """The hashed items (n, 88) of a trace's transactions, given the digests of all its blocks (b, 8)."""
    return transaction_items(
        block_digests[trace.block],
        trace.sender,
        trace.to,
        trace.nonce,
        trace.gas_limit,
        trace.value,
        trace.max_fee,
        trace.max_priority,
        trace.zero_bytes,
        trace.nonzero_bytes,
        trace.access_addresses,
        trace.access_keys,
    )


BALANCE_WRITES = [Access.SENDER_BALANCE, Access.RECIPIENT_BALANCE, Access.COINBASE_BALANCE]


def committed_effects(trace: TransferTrace) -> NDArray[np.uint32]:
    """The hashed items (n, 64) of the effects of a trace's transactions."""
    return effects_items(
        trace.status.astype(np.uint32),
        trace.gas_used,
        trace.access_key[:, Access.SENDER_NONCE],
        trace.access_after[:, Access.SENDER_NONCE, :4],
        trace.access_key[:, BALANCE_WRITES],
        trace.access_after[:, BALANCE_WRITES],
    )


def fill(trace: TransferTrace, block_digests: Digests, transactions_in: Digests, effects_in: Digests) -> Matrix:
    """The table for a segment's transactions; `*_in` (8,) are the running hashes before it."""
    matrix, rows = allocate(Columns, trace.transactions)
    items, effects = committed_items(trace, block_digests), committed_effects(trace)
    transaction_states = item_states(TAG_TRANSACTION, items)
    effects_states = item_states(TAG_EFFECTS, effects)
    transactions, all_effects = running_chains(
        np.stack([transactions_in, effects_in]), np.stack([transaction_states[:, -1], effects_states[:, -1]])
    )
    rows.real = 1
    rows.number = trace.first_transaction + np.arange(trace.transactions)
    rows.transactions_in, rows.transactions_out = transactions[:-1], transactions[1:]
    rows.effects_in, rows.effects_out = all_effects[:-1], all_effects[1:]
    start = Columns.offsets["block_digest"]
    committed = Columns.offsets["transaction_states"] - start
    matrix[: trace.transactions, start : start + committed] = items[:, :committed]
    rows.transaction_states = transaction_states[:, 1:]
    rows.effects_states = effects_states[:, 1:]
    rows.coinbase, rows.base_fee = trace.coinbase[trace.block], trace.base_fee[trace.block]
    _fill_amounts(rows, trace)
    IsZero.fill(rows.low_zero, trace.to[:, 0].astype(np.uint64))
    IsZero.fill(rows.rest_zero, trace.to[:, 1:].astype(np.uint64).sum(axis=1))
    now, before = access_times(trace), previous_times(trace)
    for access in Access:
        cells = rows.access[access]
        cells.leaf = trace.access_key[:, access]
        TimeOrder.fill(cells.order, now[:, access], before[:, access])
    return matrix


def _fill_amounts(rows: TraceView | Any, trace: TransferTrace) -> None:
    """Gas, fees and balances; all arithmetic is the gadgets' own on limbs."""
    gas_used = np.stack([trace.gas_used & 0xFFFF, trace.gas_used >> 16], axis=1)
    gas_limit = np.stack([trace.gas_limit & 0xFFFF, trace.gas_limit >> 16], axis=1)
    base_fee = trace.base_fee[trace.block]
    rows.gas_used = gas_used
    rows.gas_left = (trace.gas_limit - trace.gas_used) & 0xFFFF
    margin = SubtractWords.fill(rows.fee_margin, trace.max_fee, base_fee)
    SubtractWords.fill(rows.priority_margin, trace.max_fee, trace.max_priority)
    SubtractWords.fill(rows.tip_choice, trace.max_priority, margin)
    tip = np.where(rows.tip_choice.borrow[:, -1:] == 1, trace.max_priority, margin)
    rows.tip = tip
    upfront = fill_multiply(rows.upfront, trace.max_fee, gas_limit)[:, :16]
    burnt = fill_multiply(rows.burnt, base_fee, gas_used)[:, :16]
    reward = fill_multiply(rows.reward, tip, gas_used)[:, :16]
    sender, recipient, coinbase = (trace.access_before[:, access] for access in BALANCE_WRITES)
    required = AddWords.fill(rows.required, upfront, trace.value)
    SubtractWords.fill(rows.affordable, sender, required)
    charge = AddWords.fill(rows.charge, burnt, reward)
    debit = AddWords.fill(rows.debit, charge, trace.value)
    rows.sender_balance, rows.recipient_balance, rows.coinbase_balance = sender, recipient, coinbase
    SubtractWords.fill(rows.sender_after, sender, debit)
    AddWords.fill(rows.recipient_after, recipient, trace.value)
    AddWords.fill(rows.coinbase_after, coinbase, reward)
    rows.nonce_after = trace.access_after[:, Access.SENDER_NONCE, :4]
    rows.nonce_carry = np.logical_and.accumulate(trace.nonce[:, :3] == 0xFFFF, axis=1)
