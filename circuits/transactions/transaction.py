"""Transactions: what happens before the first step of a message call and after its last one, one transaction per row.

Proved for each row, under the Cancun rules: the sender may send it (nonce, balance, EIP-3607, fee caps of EIP-1559 and
EIP-4844), its intrinsic gas (EIP-2028, EIP-2930) fits its gas limit, the code of the recipient runs with exactly what
is left, and gas, refund (EIP-3529), fees and value move as its outcome says. Contract creations and calls of
precompiles have no row.

Accesses to accounts, by their times: sender, recipient and coinbase (EIP-3651) at begin + 1 to begin + 3, recipient,
sender and coinbase at end + 1 to end + 3. Each takes a token and sends one, so it does not matter which of these
accounts are the same.

Sources: execution-specs `cancun/fork.py` (check_transaction, process_transaction), `cancun/transactions.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import IsZero, TimeOrder, range_check, total
from circuits.air.gadgets.words import (
    constrain_decrease,
    constrain_increase,
    constrain_sum,
    decrease,
    fill_decrease,
    fill_increase,
    increase,
    sum_carries,
)
from circuits.air.layout import RANGE, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import MAX_GAS, TRANSACTION_BEGIN, TRANSACTION_END, Execution
from circuits.batch.operation_items import BLOB_HASH_BYTES, count_asked, operation_items
from circuits.component import Answering
from circuits.frames.buses import CALLDATA, CONTEXT, MESSAGE, RESULT
from circuits.frames.contexts import BLOBS, TRANSACTION_CONTEXT
from circuits.frames.gas import GAS_BITS, GasLimb
from circuits.hashing import constrain_compress, constrain_item
from circuits.limbs import words_from_bytes
from circuits.state.buses import ACCOUNT, STATUS
from circuits.state.state_view import Role, StateView
from circuits.statement import ACCESS_LIST_START, RECEIPT_ITEM, TRANSACTION_ITEM, gas_limbs
from circuits.transactions import fees
from circuits.transactions.buses import ACCESS_LIST, BLOB_FEE, BLOCK, GAS_PRODUCT, RECEIPTS, REFUND
from circuits.transactions.chain import CHAIN_BUS, POSEIDON_BUS, OperationColumns, constrain_operation, fill_operation
from circuits.widths import ADDRESS, DIGEST, NONCE, U64, WORD
from executor.opcodes import OPCODES
from executor.rules import EMPTY_CODE_HASH
from executor.trace import Outcome

#: Gas of a transaction by itself, of calldata bytes (EIP-2028) and of access-list entries (EIP-2930).
TRANSACTION_BASE_GAS = 21000
ZERO_BYTE_GAS = 4
NONZERO_BYTE_GAS = 16
ACCESS_ADDRESS_GAS = 2400
ACCESS_KEY_GAS = 1900

#: At most this part of the gas spent is refunded (EIP-3529).
MAX_REFUND_QUOTIENT = 5

#: Precompiles of Cancun are the addresses 1 to 10 (EIP-4844 added the last one).
LAST_PRECOMPILE = 10

_ORIGIN, _GASPRICE = OPCODES["ORIGIN"], OPCODES["GASPRICE"]

_INVERSE_2_16 = pow(1 << 16, -1, MODULUS)
_MAX_GAS = [MAX_GAS & 0xFFFF, MAX_GAS >> 16, 0, 0]
_EMPTY_CODE = [int(x) for x in words_from_bytes([EMPTY_CODE_HASH])[0]]

_COMMITTED = "the transaction's commitment: the verifier hashes canonical limbs"
_BLOCK = "block bus"
_ACCOUNT = "account bus: the last sender"
_PRODUCT = "gas_product bus"
_BALANCE = "balance of the {} bus"
_SAME_BUFFER = "a buffer with the same size and digest has the same content"


class Columns(OperationColumns):
    """One transaction per row."""

    receipts_in = element("running hash of receipts before", DIGEST, by=CHAIN_BUS)
    receipts_logs = element("running hash of receipts with the transaction's logs", DIGEST, by="receipts bus")
    receipts_out = element("running hash of receipts behind", DIGEST, by=POSEIDON_BUS)

    # The committed fields, in the order of the hashed item.
    block_digest = element("digest of the block context", DIGEST, by=_COMMITTED)
    sender = limb("sender's address", ADDRESS, by=_COMMITTED)
    to = limb("recipient's address", ADDRESS, by=_COMMITTED)
    nonce = limb("nonce, below 2^64 - 1", NONCE, by=_COMMITTED)
    gas_limit = limb("gas limit", U64, by=_COMMITTED)
    value = limb("value in wei", WORD, by=_COMMITTED)
    max_fee = limb("max fee per gas in wei; the gas price of types 0 and 1", WORD, by=_COMMITTED)
    max_priority = limb("max priority fee per gas in wei; the gas price of types 0 and 1", WORD, by=_COMMITTED)
    zero_bytes = element("zero bytes of calldata, at most 2^22", by=_COMMITTED)
    nonzero_bytes = element("other bytes of calldata, at most 2^22", by=_COMMITTED)
    calldata_digest = element("digest of the calldata", DIGEST, by=_COMMITTED)
    access_digest = element("digest of the access list", DIGEST, by=_COMMITTED)
    access_addresses = element("addresses in the access list, at most 2^16", by=_COMMITTED)
    access_keys = element("storage keys in the access list, at most 2^16", by=_COMMITTED)
    blobs = element("blobs, at most 2^8", by=_COMMITTED)
    blob_digest = element("digest of the blob hashes", DIGEST, by=_COMMITTED)
    max_blob_fee = limb("max fee per blob gas in wei", WORD, by=_COMMITTED)
    states = element("hash states of the item, digest last", (TRANSACTION_ITEM.blocks, DIGEST), by=POSEIDON_BUS)

    block = element("row of the block", by=_BLOCK)
    scope = element("scope of the block", by=_BLOCK)
    coinbase = limb("fee recipient of the block", ADDRESS, by=_BLOCK)
    base_fee = limb("base fee of the block", WORD, by=_BLOCK)
    blob_base_fee = limb("blob base fee of the block", WORD, by=_BLOCK)
    calldata_id = element("id of the calldata buffer", by="calldata bus", free=_SAME_BUFFER)
    no_blobs = nested(IsZero, "there are no blobs")
    blob_id = element("id of the buffer of blob hashes; 0 without blobs", by="calldata bus", free=_SAME_BUFFER)

    # Fees
    price = nested(increase(1), "gas price: base fee + tip")
    tip = limb("priority fee per gas that is paid", WORD, by=RANGE)
    pays_cap = bit("1: the tip is what the max fee leaves; 0: the max priority fee")
    slack = nested(decrease(1), "max fee - price where the tip is the max priority fee, else that - tip - 1")
    priority_margin = nested(decrease(1), "max fee - max priority fee")
    upfront = limb("max fee * gas limit", WORD, by=_PRODUCT)
    prepaid = limb("price * gas limit", WORD, by=_PRODUCT)
    returned = limb("price * gas that is not used", WORD, by=_PRODUCT)
    reward = limb("tip * gas used", WORD, by=_PRODUCT)
    blob_required = limb("blob gas * max fee per blob gas", WORD, by="blob_fee bus; 0 without blobs")
    blob_fee = limb("blob gas * blob base fee", WORD, by="blob_fee bus; 0 without blobs")

    # Gas
    is_large = bit("1: the gas limit is MAX_GAS and a reserve; 0: there is no reserve")
    reserve = limb("gas limit - MAX_GAS where it is large", U64, by=RANGE)
    reserve_carry = bit("carry out of each limb of MAX_GAS + reserve", U64 - 1)
    counted = element("gas limit without the reserve, below 2^30", by="its constraint")
    given = nested(GasLimb, "counted gas - intrinsic gas")
    gas_left = element("gas left when the code ended, without the reserve", by="result bus, or the gas given")
    halted = bit("1: an exceptional halt, which takes the reserve as well")
    spent = nested(GasLimb, "counted gas - gas left")
    quotient = limb("a fifth of the gas spent, rounded down, in limbs; below 2^28", 2, by=RANGE)
    remainder = element("gas spent modulo 5", by="two range checks")
    refund_counter = element("refund counter at the end", by="refund bus")
    refund_time = element("time of its last change", by="refund bus")
    earned = element("the counter where the transaction succeeds, else 0", by="counter and status")
    refund = element("gas refunded, the smaller one of earned and quotient", by="a choice")
    is_capped = bit("1: the refund is the quotient")
    refund_margin = limb("low limb of the larger one minus the smaller one", by=RANGE)
    counted_low = limb("low limb of gas spent - refund", by=RANGE)
    gas_used = limb("gas used: gas spent - refund, and the reserve after an exceptional halt", U64, by=RANGE)
    gas_used_carry = bit("carry out of each limb of that sum", U64 - 1)
    unused = limb("gas limit - gas used", U64, by=RANGE)
    unused_carry = bit("carry out of each limb of gas used + unused", U64 - 1)

    # Execution
    runs = bit("1: the recipient has code")
    frame = element("id of the frame", by="message bus; 0 without code")
    success = bit("status: neither reverted nor halted exceptionally")
    end_time = element("time after the last step", by="result bus, or the time of the first step")
    logs_time = element("time of the last log", by="receipts bus")
    receipt_states = element("hash states of the receipt", (RECEIPT_ITEM.blocks, DIGEST), by=POSEIDON_BUS)
    low_zero = nested(IsZero, "the recipient's lowest limb is 0")
    rest_zero = nested(IsZero, "the recipient's other limbs are 0")

    # Accounts
    orders = nested(TimeOrder, "the accesses in the order of time", 6)
    sender_balance = limb("sender's balance before", WORD, by=_ACCOUNT)
    sender_warm = element("sender's warm mark before", by=_ACCOUNT)
    affordable = nested(decrease(3), "sender's balance - the most that the transaction may cost")
    sender_begun = nested(decrease(3), "sender's balance - what is paid in advance")
    nonce_after = limb("nonce + 1", NONCE, by=RANGE)
    nonce_carry = bit("carry out of each limb of nonce + 1", NONCE - 1)
    recipient_balance = limb("recipient's balance before", WORD, by=_ACCOUNT)
    recipient_nonce = limb("recipient's nonce before", NONCE, by=_ACCOUNT)
    recipient_code = limb("recipient's code hash", WORD, by=_ACCOUNT)
    recipient_warm = element("recipient's warm mark before", by=_ACCOUNT)
    recipient_begun = nested(increase(1), "recipient's balance + value")
    coinbase_begun = limb("coinbase's balance at the beginning", WORD, by=_ACCOUNT)
    coinbase_begun_nonce = limb("coinbase's nonce at the beginning", NONCE, by=_ACCOUNT)
    coinbase_code = limb("coinbase's code hash", WORD, by=_ACCOUNT)
    coinbase_warm = element("coinbase's warm mark before", by=_ACCOUNT)
    recipient_ended = limb("recipient's balance after the last step", WORD, by=_ACCOUNT)
    recipient_ended_nonce = limb("recipient's nonce after the last step", NONCE, by=_ACCOUNT)
    recipient_after = nested(decrease(1), "recipient's balance - value, if it failed")
    sender_ended = limb("sender's balance after the last step", WORD, by=_ACCOUNT)
    sender_after = nested(increase(2), "sender's balance + what is returned + value, if it failed")
    coinbase_balance = limb("coinbase's balance after that", WORD, by=_ACCOUNT)
    coinbase_nonce = limb("coinbase's nonce", NONCE, by=_ACCOUNT)
    coinbase_after = nested(increase(1), "coinbase's balance + reward")

    status_asked = element("how often the status is queried", by=_BALANCE.format("status"))
    context_asked = element("how often sender, gas price and blobs are queried", 3, by=_BALANCE.format("context"))


class Transaction(Table):
    """Message calls by transactions."""

    name = "transaction"
    layout = Columns
    row_order = "rows meet only on the chain bus, which orders them by their number"

    def constraints(self, air: Air) -> None:
        self._chain(air)
        self._surroundings(air)
        self._fees(air)
        self._execution(air)
        self._gas(air)
        self._balances(air)
        self._accounts(air)
        self._answers(air)

    def _chain(self, air: Air) -> None:
        """The transaction is the next operation, its logs and its receipt are the next ones of theirs."""
        row, real = air.row, air.row.real
        end = row.end_time + TRANSACTION_END
        constrain_operation(air, TRANSACTION_ITEM, end, row.receipts_in, row.receipts_out)
        air.send(RECEIPTS, row.operation, row.time, row.receipts_in, count=real)
        air.receive(RECEIPTS, row.operation, row.logs_time, row.receipts_logs, count=real)
        constrain_item(air, RECEIPT_ITEM, row.receipt_states, count=real, status=row.success, gas_used=row.gas_used)
        constrain_compress(air, row.receipts_logs, row.receipt_states[-1], row.receipts_out, count=real)

    def _surroundings(self, air: Air) -> None:
        """The block, calldata, blob hashes and access list that the item speaks of."""
        row, real = air.row, air.row.real
        air.query(
            BLOCK,
            row.block_digest,
            row.block,
            row.scope,
            row.coinbase,
            row.base_fee,
            row.blob_base_fee,
            count=real,
        )
        air.query(CALLDATA, row.calldata_id, row.zero_bytes + row.nonzero_bytes, row.calldata_digest, count=real)
        IsZero.constrain(air, row.no_blobs, row.blobs, when=real, name="no blobs")
        has_blobs = real - row.no_blobs.zero
        air.query(CALLDATA, row.blob_id, row.blobs * BLOB_HASH_BYTES, row.blob_digest, count=has_blobs)
        air.require((1 - has_blobs) * row.blob_id, "no id without blobs")
        # The list is walked entry by entry, at begin + 4 and after; its digest and counts are those of the item.
        start = [int(e) for e in ACCESS_LIST_START]
        air.send(ACCESS_LIST, row.operation, row.scope, row.time + TRANSACTION_BEGIN, start, 0, 0, count=real)
        air.receive(
            ACCESS_LIST,
            row.operation,
            row.scope,
            self._step_time(air),
            row.access_digest,
            row.access_addresses,
            row.access_keys,
            count=real,
        )

    def _step_time(self, air: Air) -> Expression:
        """When the first step happens: after one unit of time for each entry of the access list."""
        row = air.row
        time: Expression = row.time + TRANSACTION_BEGIN + row.access_addresses + row.access_keys
        return time

    def _fees(self, air: Air) -> None:
        """The fee caps cover the base fee; the tip is the smaller of priority fee and margin (EIP-1559).

        price = base fee + tip. Either the tip is the max priority fee and the price at most the max fee, or the price
        is the max fee and the tip below the max priority fee.
        """
        row, real = air.row, air.row.real
        price, cap = row.price.after, row.pays_cap
        constrain_increase(air, row.price, row.base_fee, row.tip, name="price")
        margins = []
        for i in range(WORD):
            under, over = row.max_fee[i] - price[i], row.max_priority[i] - row.tip[i]
            air.require(cap * under, f"the max fee is paid: limb {i}")
            air.require((1 - cap) * over, f"the max priority fee is paid: limb {i}")
            # One of both is 0.
            margins.append(under + over)
        strict = [cap, *[air.constant(0)] * (WORD - 1)]
        constrain_decrease(air, row.slack, margins, strict, name="slack")
        constrain_decrease(air, row.priority_margin, row.max_fee, row.max_priority, name="priority margin")

        air.query(GAS_PRODUCT, row.max_fee, row.gas_limit, row.upfront, count=real)
        air.query(GAS_PRODUCT, price, row.gas_limit, row.prepaid, count=real)
        air.query(GAS_PRODUCT, price, row.unused, row.returned, count=real)
        air.query(GAS_PRODUCT, row.tip, row.gas_used, row.reward, count=real)
        has_blobs = real - row.no_blobs.zero
        air.query(
            BLOB_FEE,
            row.blobs,
            row.max_blob_fee,
            row.blob_base_fee,
            row.blob_required,
            row.blob_fee,
            count=has_blobs,
        )
        zero = [0] * WORD
        air.require_equal(row.blob_required, zero, "nothing is required without blobs", when=1 - has_blobs)
        air.require_equal(row.blob_fee, zero, "nothing is paid without blobs", when=1 - has_blobs)

    def _execution(self, air: Air) -> None:
        """The recipient's code runs, if it has any; the recipient is no precompile: its address is 0 or above 10."""
        row, real, runs = air.row, air.row.real, air.row.runs
        IsZero.constrain(air, row.low_zero, row.to[0], when=real, name="low limb of recipient")
        rest = total(row.to[1:])  # nine limbs: below 2^20
        IsZero.constrain(air, row.rest_zero, rest, when=real, name="other limbs of recipient")
        # Both flags are 0 on padding, so the count is a bit that is 0 there.
        small = row.rest_zero.zero * (1 - row.low_zero.zero)
        air.query(RANGE16, row.to[0] - (LAST_PRECOMPILE + 1), count=small)

        # The empty code has no leaf in the access tree, so no frame runs it.
        air.require(runs * (1 - real), "padding runs nothing")
        air.require_equal(row.recipient_code, _EMPTY_CODE, "no code", when=real - runs)
        air.send(
            MESSAGE,
            row.frame,
            row.operation,
            row.block,
            row.scope,
            self._step_time(air),
            row.sender,
            row.to,
            row.recipient_code,
            row.value,
            row.calldata_id,
            row.zero_bytes + row.nonzero_bytes,
            self._given(air),
            row.reserve,
            count=runs,
        )
        air.receive(RESULT, row.frame, row.success, row.halted, row.gas_left, row.end_time, count=runs)
        idle = 1 - runs
        air.require(idle * (row.success - real), "without code it succeeds")
        air.require(idle * row.halted, "without code it does not halt")
        air.require(idle * (row.gas_left - self._given(air)), "without code all gas is left")
        air.require(
            idle * (row.end_time - self._step_time(air) + (1 - real) * TRANSACTION_BEGIN), "without code it ends"
        )
        air.require(idle * row.frame, "without code there is no frame")

    def _given(self, air: Air) -> Expression:
        """Counted gas minus intrinsic gas."""
        row = air.row
        # At most 21000 + 2^22 * 20 + 2^16 * 4300 < 2^29, both counts being at most the calldata's 2^22 bytes.
        intrinsic = (
            TRANSACTION_BASE_GAS * row.real
            + ZERO_BYTE_GAS * row.zero_bytes
            + NONZERO_BYTE_GAS * row.nonzero_bytes
            + ACCESS_ADDRESS_GAS * row.access_addresses
            + ACCESS_KEY_GAS * row.access_keys
        )
        given: Expression = row.counted - intrinsic
        return given

    def _gas(self, air: Air) -> None:
        """Gas used is what was spent minus the refund, which is at most a fifth of it (EIP-3529).

        Of a gas limit of 2^30 and more the part beyond MAX_GAS is a reserve, which only an exceptional halt spends.
        After one there is no refund: all of the counted gas is spent, and gas used is the gas limit.

        Counted gas and gas left are below 2^30. The counter is below 2^30, too: gas is refunded only after at least as
        much has been paid for it (4800 for a slot that took 5000, or 1900 of an access list and 2900; 19900 for 20000
        and 100; 2800 for 2900 and 100).
        """
        row, real = air.row, air.row.real
        large = row.is_large
        air.require(large * (1 - real), "padding is not large")
        air.require_equal(row.reserve, [0] * U64, "no reserve", when=1 - large)
        base, whole = [large * x for x in _MAX_GAS], [large * x for x in row.gas_limit]
        constrain_sum(air, base, row.reserve, row.reserve_carry, whole, name="reserve")
        limit = _amount(row.gas_limit)
        air.require_equal(row.gas_limit[2:], [0, 0], "a small gas limit", when=real - large)
        range_check(air, row.gas_limit[1], GAS_BITS - 16, real - large)
        air.require(row.counted - large * MAX_GAS - (real - large) * limit, "counted gas")
        GasLimb.constrain(air, row.given, self._given(air), real)
        spent = row.counted - row.gas_left
        GasLimb.constrain(air, row.spent, spent, real)
        # 5 * 2^28 + 4 < 2^30.4: no wrap.
        quotient = _amount(row.quotient)
        range_check(air, row.quotient[1], 12, real)
        air.require(spent - MAX_REFUND_QUOTIENT * quotient - row.remainder, "a fifth of the gas spent")
        air.query(RANGE16, row.remainder, count=real)
        air.query(RANGE16, MAX_REFUND_QUOTIENT - 1 - row.remainder, count=real)

        air.send(REFUND, row.operation, 0, row.time, count=real)
        air.receive(REFUND, row.operation, row.refund_counter, row.refund_time, count=real)
        capped = row.is_capped
        air.require(row.success * row.refund_counter - row.earned, "what failed earns no refund")
        air.require(capped * (1 - real), "padding has no cap")
        air.require((1 - capped) * (row.refund - row.earned), "the refund is what was earned")
        air.require(capped * (row.refund - quotient), "the refund is the most there is")
        # Where it is capped, earned - quotient - 1 is in [0, 2^30); a negative one is at least the modulus - 2^28 - 1.
        # Otherwise quotient - earned is in [0, 2^28); a negative one is above the modulus - 2^30 > 2^29.
        margin = (row.earned - quotient) * (2 * capped - 1) - capped
        high = (margin - row.refund_margin) * _INVERSE_2_16
        air.query(RANGE16, high, count=real)
        free = (1 << 16) - (1 << 12) - (((1 << 14) - (1 << 12)) * capped)
        air.query(RANGE16, high + free, count=real)

        # The refund is at most a fifth of what was spent, so the difference is in [0, 2^30).
        high = (spent - row.refund - row.counted_low) * _INVERSE_2_16
        range_check(air, high, GAS_BITS - 16, real)
        counted = [row.counted_low, high, air.constant(0), air.constant(0)]
        taken = [row.halted * x for x in row.reserve]
        constrain_sum(air, counted, taken, row.gas_used_carry, row.gas_used, name="gas used")
        constrain_sum(air, row.gas_used, row.unused, row.unused_carry, row.gas_limit, name="unused gas")

    def _balances(self, air: Air) -> None:
        """The sender can afford the worst case; what it pays, what moves, and what comes back."""
        row = air.row
        failed = row.real - row.success
        undone = [failed * x for x in row.value]
        worst = (row.upfront, row.value, row.blob_required)
        constrain_decrease(air, row.affordable, row.sender_balance, *worst, name="affordable")
        paid = (row.prepaid, row.value, row.blob_fee)
        constrain_decrease(air, row.sender_begun, row.sender_balance, *paid, name="sender at begin")
        constrain_increase(air, row.recipient_begun, row.recipient_balance, row.value, name="recipient at begin")
        constrain_decrease(air, row.recipient_after, row.recipient_ended, undone, name="recipient at end")
        constrain_increase(air, row.sender_after, row.sender_ended, row.returned, undone, name="sender at end")
        constrain_increase(air, row.coinbase_after, row.coinbase_balance, row.reward, name="coinbase at end")
        carry: Expression = row.real
        for i in range(NONCE):
            out = row.nonce_carry[i] if i < NONCE - 1 else air.constant(0)
            air.require(row.nonce[i] + carry - row.nonce_after[i] - out * (1 << 16), f"nonce + 1: limb {i}")
            carry = out

    def _accounts(self, air: Air) -> None:
        """Accounts are read and written in the order of time; all of them are warm from their first access on.

        The sender has no code (EIP-3607) and so nothing but the transaction counts its nonce.
        """
        row = air.row
        empty = _EMPTY_CODE
        warm = row.operation + 1
        sender = (row.sender, empty)
        recipient = (row.to, row.recipient_code)
        coinbase = (row.coinbase, row.coinbase_code)
        changes: tuple[tuple[Role, Any, Any, Any, Any], ...] = (
            (
                Role.SENDER_BEGIN,
                sender,
                (row.sender_balance, row.nonce, row.sender_warm),
                (row.sender_begun.after, row.nonce_after),
                row.time + 1,
            ),
            (
                Role.RECIPIENT_BEGIN,
                recipient,
                (row.recipient_balance, row.recipient_nonce, row.recipient_warm),
                (row.recipient_begun.after, row.recipient_nonce),
                row.time + 2,
            ),
            (
                Role.COINBASE_BEGIN,
                coinbase,
                (row.coinbase_begun, row.coinbase_begun_nonce, row.coinbase_warm),
                (row.coinbase_begun, row.coinbase_begun_nonce),
                row.time + 3,
            ),
            (
                Role.RECIPIENT_END,
                recipient,
                (row.recipient_ended, row.recipient_ended_nonce, warm),
                (row.recipient_after.after, row.recipient_ended_nonce),
                row.end_time + 1,
            ),
            (
                Role.SENDER_END,
                sender,
                (row.sender_ended, row.nonce_after, warm),
                (row.sender_after.after, row.nonce_after),
                row.end_time + 2,
            ),
            (
                Role.COINBASE_END,
                coinbase,
                (row.coinbase_balance, row.coinbase_nonce, warm),
                (row.coinbase_after.after, row.coinbase_nonce),
                row.end_time + 3,
            ),
        )
        for role, (address, code), (balance, nonce, warm_before), (balance_after, nonce_after), now in changes:
            order = row.orders[role]
            TimeOrder.constrain(air, order, now, row.real)
            received = (row.scope, address, balance, nonce, code, warm_before, order.before)
            air.receive(ACCOUNT, *received, count=row.real)
            air.send(ACCOUNT, row.scope, address, balance_after, nonce_after, code, warm, now, count=row.real)

    def _answers(self, air: Air) -> None:
        """Status, and the words that instructions ask for."""
        row = air.row
        idle = 1 - row.real
        air.require(idle * row.status_asked, "padding provides no status")
        air.provide(STATUS, row.operation, row.success, multiplicity=row.status_asked)
        zero = air.constant(0)
        words = (
            (_ORIGIN, [*row.sender, *[zero] * (WORD - ADDRESS)]),
            (_GASPRICE, list(row.price.after)),
            (BLOBS, [row.blob_id, row.blobs, *[zero] * (WORD - 2)]),
        )
        for (opcode, word), asked in zip(words, row.context_asked, strict=True):
            air.require(idle * asked, f"padding provides no word of {opcode:#x}")
            air.provide(CONTEXT, TRANSACTION_CONTEXT, row.operation, opcode, word, multiplicity=asked)


def _amount(limbs: Any) -> Expression:
    """An amount below 2^30 from its two lower limbs."""
    amount: Expression = limbs[0] + limbs[1] * (1 << 16)
    return amount


def fill(execution: Execution, status_asked: NDArray[np.uint32], context_asked: NDArray[np.uint32]) -> Matrix | None:
    """The segment's transactions; `status_asked` (n, 2), `context_asked` (n, 19): what is asked of their buses."""
    numbers, of_trace = execution.transaction_operations, execution.transactions
    if not len(numbers):
        return None
    batch, trace = execution.batch, execution.trace
    table = trace.transactions
    matrix, rows = allocate(Columns, len(numbers))
    fill_operation(rows, execution, numbers, operation_items(batch).transactions, of_trace)
    rows.end_time = execution.end_time[numbers - execution.first]
    receipts = batch.receipts
    rows.receipts_in, rows.receipts_out = receipts.before_operation[numbers], receipts.before_operation[numbers + 1]
    rows.receipt_states = receipts.receipt_states[of_trace]

    block = table.block[of_trace].astype(np.int64)
    rows.block = np.searchsorted(execution.blocks, block)
    rows.scope = execution.operations.scope[block]
    rows.coinbase, rows.base_fee = trace.blocks.coinbase[block], trace.blocks.base_fee[block]
    rows.blob_base_fee = trace.blocks.blob_base_fee[block]
    rows.calldata_id = execution.calldata_ids
    blobs = table.blob_hashes_size[of_trace].astype(np.int64) // BLOB_HASH_BYTES
    IsZero.fill(rows.no_blobs, blobs.astype(np.uint64))
    rows.blob_id = np.where(blobs > 0, execution.blob_ids, 0)

    _fill_execution(rows, execution)
    _fill_gas(rows, execution)
    _fill_fees(rows, execution, blobs)
    _fill_accounts(rows, execution)
    rows.status_asked = count_asked(numbers, status_asked[:, 0])
    own = context_asked[context_asked[:, 0] == TRANSACTION_CONTEXT]
    for k, opcode in enumerate((_ORIGIN, _GASPRICE, BLOBS)):
        rows.context_asked[:, k] = count_asked(numbers, own[own[:, 2] == opcode, 1])
    return matrix


def _fill_execution(rows: Any, execution: Execution) -> None:
    trace, of_trace = execution.trace, execution.transactions
    table = trace.transactions
    to = table.to[of_trace]
    IsZero.fill(rows.low_zero, to[:, 0].astype(np.uint64))
    IsZero.fill(rows.rest_zero, to[:, 1:].astype(np.uint64).sum(axis=1))
    runs = table.end_step[of_trace] > table.first_step[of_trace]
    rows.runs = runs
    # The outermost frame is the first one of its transaction; ids count the frames that run.
    frame = np.searchsorted(execution.frames, table.first_frame[of_trace]) + 1
    rows.frame = np.where(runs, frame, 0)
    rows.success = table.status[of_trace]
    # The last log that counts, or the beginning.
    logs = trace.logs
    local = execution.transaction_operations - execution.first
    time = execution.begin_time[local].copy()
    kept = np.flatnonzero((logs.reverted == 0) & np.isin(logs.transaction, of_trace))
    owner = np.searchsorted(of_trace, logs.transaction[kept])
    step = np.searchsorted(execution.step, logs.step[kept].astype(np.int64))
    time[owner] = execution.time[step]  # ascending: the last one stays
    rows.logs_time = time
    receipts = execution.batch.receipts
    rows.receipts_logs = receipts.before_operation[execution.transaction_operations]
    last = np.zeros(len(of_trace), dtype=np.int64)
    last[owner] = kept
    has = np.flatnonzero(np.isin(np.arange(len(of_trace)), owner))
    rows.receipts_logs[has] = receipts.after_log[last[has]]


def _fill_gas(rows: Any, execution: Execution) -> None:
    table, of_trace = execution.trace.transactions, execution.transactions
    reserve = execution.reserve
    limit = (table.gas_limit[of_trace] - reserve).astype(np.int64)
    given = limit - table.intrinsic_gas[of_trace].astype(np.int64)
    frames = execution.trace.frames
    outermost = table.first_frame[of_trace]
    halted = ~np.isin(frames.outcome[outermost], (Outcome.SUCCESS, Outcome.REVERT))
    left = np.where(halted, 0, frames.gas_left[outermost] - reserve).astype(np.int64)
    spent = limit - left
    large = reserve > 0
    reserve_limbs = gas_limbs(reserve).astype(np.int64)
    rows.is_large = large
    rows.reserve = reserve_limbs
    rows.reserve_carry = sum_carries(np.where(large[:, None], _MAX_GAS, 0), reserve_limbs)
    rows.counted = limit
    rows.halted = halted
    GasLimb.fill(rows.given, given)
    GasLimb.fill(rows.spent, spent)
    rows.gas_left = left
    quotient = spent // MAX_REFUND_QUOTIENT
    rows.quotient = gas_limbs(quotient)[:, :2]
    rows.remainder = spent % MAX_REFUND_QUOTIENT
    counter, time = StateView.of(execution).refund_end(execution.transaction_operations)
    rows.refund_counter, rows.refund_time = counter, time
    earned = counter * table.status[of_trace]
    rows.earned = earned
    rows.refund = np.minimum(earned, quotient)
    capped = earned > quotient
    rows.is_capped = capped
    rows.refund_margin = np.where(capped, earned - quotient - 1, quotient - earned) & 0xFFFF
    counted = spent - rows.refund.astype(np.int64)
    rows.counted_low = counted & 0xFFFF
    used, unused = (
        gas_limbs(x).astype(np.int64)
        for x in (table.gas_used[of_trace], table.gas_limit[of_trace] - table.gas_used[of_trace])
    )
    rows.gas_used = used
    rows.gas_used_carry = sum_carries(gas_limbs(counted).astype(np.int64), reserve_limbs * halted[:, None])
    rows.unused = unused
    rows.unused_carry = sum_carries(used, unused)


def _fill_fees(rows: Any, execution: Execution, blobs: NDArray[np.int64]) -> None:
    table, of_trace = execution.trace.transactions, execution.transactions
    limit, used = table.gas_limit[of_trace], table.gas_used[of_trace]
    price, max_fee, max_priority = (
        column[of_trace].astype(np.int64) for column in (table.gas_price, table.max_fee, table.max_priority_fee)
    )
    tip = fill_decrease(rows.price, price, rows.base_fee)  # the carries of base fee + tip are these borrows
    rows.price.after = price
    rows.tip = tip
    cap = (tip != max_priority).any(axis=1)
    rows.pays_cap = cap
    strict = np.zeros_like(price)
    strict[:, 0] = cap
    fill_decrease(rows.slack, max_fee - price + max_priority - tip, strict)
    fill_decrease(rows.priority_margin, max_fee, max_priority)
    rows.upfront = fees.gas_products(max_fee, limit)
    rows.prepaid = fees.gas_products(price, limit)
    rows.returned = fees.gas_products(price, limit - used)
    rows.reward = fees.gas_products(tip, used)
    rows.blob_required = fees.gas_products(rows.max_blob_fee, blobs * fees.GAS_PER_BLOB)
    rows.blob_fee = fees.gas_products(rows.blob_base_fee, blobs * fees.GAS_PER_BLOB)


def _fill_accounts(rows: Any, execution: Execution) -> None:
    view = StateView.of(execution)
    roles = list(Role)[: len(rows.orders)]
    accesses = [view.account_access(execution.transaction_operations, role) for role in roles]
    for order, access in zip(rows.orders, accesses, strict=True):
        TimeOrder.fill(order, access.time, access.then)
    sender, recipient, coinbase, recipient_end, sender_end, coinbase_end = accesses
    rows.sender_balance, rows.sender_warm = sender.balance, sender.warm
    fill_decrease(rows.affordable, sender.balance, rows.upfront, rows.value, rows.blob_required)
    fill_decrease(rows.sender_begun, sender.balance, rows.prepaid, rows.value, rows.blob_fee)
    rows.nonce_after = sender.nonce_after
    rows.nonce_carry = np.logical_and.accumulate(sender.nonce[:, : NONCE - 1] == 0xFFFF, axis=1)
    rows.recipient_balance, rows.recipient_nonce = recipient.balance, recipient.nonce
    rows.recipient_code, rows.recipient_warm = recipient.code_hash, recipient.warm
    fill_increase(rows.recipient_begun, recipient.balance, rows.value)
    rows.coinbase_begun, rows.coinbase_begun_nonce = coinbase.balance, coinbase.nonce
    rows.coinbase_code, rows.coinbase_warm = coinbase.code_hash, coinbase.warm
    undone = rows.value * (1 - rows.success[:, None])
    rows.recipient_ended, rows.recipient_ended_nonce = recipient_end.balance, recipient_end.nonce
    fill_decrease(rows.recipient_after, recipient_end.balance, undone)
    rows.sender_ended = sender_end.balance
    fill_increase(rows.sender_after, sender_end.balance, rows.returned, undone)
    rows.coinbase_balance, rows.coinbase_nonce = coinbase_end.balance, coinbase_end.nonce
    fill_increase(rows.coinbase_after, coinbase_end.balance, rows.reward)


COMPONENTS = (Answering(Transaction(), (STATUS, CONTEXT), fill), *fees.COMPONENTS)
