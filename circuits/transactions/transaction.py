"""Transactions: what happens before the first step of a message call and after its last one, one transaction per row.

Proved for each row: the sender may send it (nonce, balance, EIP-3607, fee caps of EIP-1559 and EIP-4844), its
intrinsic gas (EIP-2028, EIP-2930) fits its gas limit, the code of the recipient runs with exactly what is left, and
gas, refund (EIP-3529), fees and value move as its outcome says. From Prague on it uses no less gas than the floor of
its calldata (EIP-7623).

Accesses to accounts, by their times: sender, recipient and coinbase (EIP-3651) at begin + 1 to begin + 3, sender and
coinbase at end + 3 and end + 4. Where it failed, the value goes back from recipient to sender before that
(`circuits.state.transfer`). Each takes a token and sends one: it does not matter which of these accounts are the same.

Sources: execution-specs `fork.py` (check_transaction, process_transaction) and `transactions.py` of each fork.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression, Operand
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
from circuits.air.layout import RANGE, TraceView, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import MAX_GAS, TRANSACTION_BEGIN, TRANSACTION_END, Batch, Execution
from circuits.batch.frame_data import CALLDATA_BUFFER, CALLDATA_MEMORY
from circuits.batch.item_lists import ItemColumns
from circuits.batch.operation_items import BLOB_HASH_BYTES, operation_items
from circuits.batch.precompiles import precompile_numbers, precompile_range
from circuits.component import Answering, Component
from circuits.frames.buses import CALLDATA, CODE, CONTEXT, CREATE_ADDRESS, INIT_CODE, MESSAGE, RESULT
from circuits.frames.gas import GAS_BITS, Division, GasLimb, constrain_total, total_carries
from circuits.hashing import constrain_compress, constrain_item
from circuits.limbs import words_from_bytes
from circuits.state.buses import ACCOUNT, DESTROYING, LIFE, SUBSTATE, TRANSFER
from circuits.state.same_words import SameWords, constrain_same, fill_same
from circuits.state.state_view import Role, StateView
from circuits.statement import ACCESS_LIST_START, RECEIPT_ITEM, TRANSACTION_ITEM, Item, gas_limbs
from circuits.transactions import fees
from circuits.transactions.buses import ACCESS_LIST, BLOB_FEE, BLOCK, GAS_PRODUCT, RECEIPTS
from circuits.transactions.calling import constrain_destructions, constrain_words, fill_asked
from circuits.transactions.chain import CHAIN_BUS, POSEIDON_BUS, OperationColumns, constrain_operation, fill_operation
from circuits.transactions.floor import TOKENS_PER_NONZERO_BYTE, CalldataFloor
from circuits.widths import ADDRESS, DIGEST, NONCE, U64, WORD, WORD_BYTES
from executor.forks import Fork
from executor.state_keys import EMPTY_CODE_HASH
from executor.trace import Outcome

#: Gas of a transaction by itself, of calldata bytes (EIP-2028) and of access-list entries (EIP-2930).
TRANSACTION_BASE_GAS = 21000
ZERO_BYTE_GAS = 4
NONZERO_BYTE_GAS = 16
ACCESS_ADDRESS_GAS = 2400
ACCESS_KEY_GAS = 1900


_MAX_GAS = [MAX_GAS & 0xFFFF, MAX_GAS >> 16, 0, 0]
_EMPTY_CODE = [int(x) for x in words_from_bytes([EMPTY_CODE_HASH])[0]]

#: A creation by a transaction (EIP-2), and each word of its initcode (EIP-3860).
CREATION_GAS = 32000
INIT_CODE_WORD_GAS = 2

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
    to = limb("recipient's address; 0 of a creation", ADDRESS, by=_COMMITTED)
    creates = bit("1: a contract creation")
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
    reserve_left = limb("reserve left when the code ended", U64, by="result bus, or the reserve")
    output = element("range of memory that the code returned, which nobody reads", 2, by="result bus, or 0")
    left = nested(GasLimb, "gas left in limbs")
    spent = limb("gas limit - gas left - reserve left", U64, by=RANGE)
    spent_carry = bit("bits of the carry out of each limb of their sum", (U64 - 1, 2))
    quotient = limb("the part of the gas spent that may be refunded, rounded down", U64, by=RANGE)
    quotient_carry = bit("bits of the carry out of each limb of it times the divisor", (U64 - 1, 3))
    remainder = element("gas spent modulo that divisor", by="two range checks")
    refund_counter = element("refund counter at the end; where it fails that of the beginning", by="substate bus")
    destructions = element("accounts that it has destroyed", by="substate bus")
    substate_time = element("time of the last change of either", by="substate bus")
    earned = nested(GasLimb, "the counter in limbs")
    uncapped = limb("quotient - counter modulo 2^64", U64, by=RANGE)
    borrow = bit("borrow into each limb's successor, the last one where the counter exceeds the quotient", U64)
    gas_used = limb("gas used: gas limit - unused", U64, by=RANGE)
    back_carry = bit("bits of the carry out of each limb of gas left + refund + reserve left", (U64 - 1, 2))
    unused = limb("gas limit - gas used", U64, by=RANGE)
    unused_carry = bit("carry out of each limb of gas used + unused", U64 - 1)

    # Execution
    recipient = limb(
        "the recipient's address, of a creation the new account's", ADDRESS, by="to, or create_address bus"
    )
    vacant = nested(IsZero, "whether the recipient has neither nonce nor life")
    coded = bit("1: the recipient has code")
    no_code = nested(SameWords(1), "of a creation: whether the new account has no code")
    known = bit("1: the recipient's code is looked up, which a creation at a taken address does not need")
    code_id = element("id of that code, or 0", by="code bus, or 0")
    code_size = element("its bytes, or 0", by="code bus, or 0")
    small = bit("1: the recipient's address is below 2^16, and not 0")
    precompiled = bit("1: it is the address of a precompile")
    no_input = nested(IsZero, "whether there is no calldata, or no initcode")
    input_slack = limb("bytes of initcode missing to the next multiple of 32", by="5-bit range check, or 0")
    init_words = limb("words of initcode; 0 without a creation", by=RANGE)
    free = bit("1: a creation whose address is not taken")
    inits = bit("1: initcode runs")
    init_id = element("id of the initcode, or 0", by="init_code bus, or 0")
    runs = bit("1: code runs")
    opens = bit("1: a frame is opened")
    frame = element("id of the frame, or 0", by="message bus; 0 without a frame")
    success = bit("status: neither reverted nor halted exceptionally")
    end_time = element("time after the last step", by="result bus, or the time of the first step")
    logs_time = element("time of the last log", by="receipts bus")
    receipt_states = element("hash states of the receipt", (RECEIPT_ITEM.blocks, DIGEST), by=POSEIDON_BUS)
    low_zero = nested(IsZero, "the recipient's lowest limb is 0")
    rest_zero = nested(IsZero, "the recipient's other limbs are 0")

    # Accounts
    orders = nested(TimeOrder, "the accesses in the order of time", 5)
    lives = element("lives of the accounts, by access", 5, by=_ACCOUNT)
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
    sender_ended = limb("sender's balance after the last step", WORD, by=_ACCOUNT)
    sender_after = nested(increase(1), "sender's balance + what is returned")
    coinbase_balance = limb("coinbase's balance after that", WORD, by=_ACCOUNT)
    coinbase_nonce = limb("coinbase's nonce", NONCE, by=_ACCOUNT)
    coinbase_ended_code = limb("coinbase's code hash at the end", WORD, by=_ACCOUNT)
    coinbase_after = nested(increase(1), "coinbase's balance + reward")

    life_asked = element("how often it is asked whether an account lives", by=_BALANCE.format("life"))
    destroying_asked = element("how often the time of deletions is queried", by=_BALANCE.format("destroying"))
    context_asked = element("how often sender, gas price and blobs are queried", 3, by=_BALANCE.format("context"))


class Transaction(Table):
    """Message calls and creations by transactions, under the rules of a fork."""

    name = "transaction"
    layout = Columns
    row_order = "rows meet only on the chain bus, which orders them by their number"

    def __init__(self, fork: Fork) -> None:
        # The carries of the quotient's equation have three bits.
        assert 2 <= fork.max_refund_quotient <= 8
        self.fork = fork

    #: What is hashed of a transaction; the layout has columns of these names.
    item: ClassVar[Item] = TRANSACTION_ITEM

    def items(self, batch: Batch) -> ItemColumns:
        """The items of all transactions of a batch."""
        return operation_items(batch).transactions

    def constraints(self, air: Air) -> None:
        self._chain(air)
        self._surroundings(air)
        self._fees(air)
        self._execution(air)
        self._gas(air)
        self._balances(air)
        self._accounts(air)
        self._destructions(air)
        self._answers(air)

    def _chain(self, air: Air) -> None:
        """The transaction is the next operation, its logs and its receipt are the next ones of theirs."""
        row, real = air.row, air.row.real
        end = row.end_time + TRANSACTION_END + row.destructions
        constrain_operation(air, self.item, end, row.receipts_in, row.receipts_out)
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
            self._listed_time(air),
            row.access_digest,
            row.access_addresses,
            row.access_keys,
            count=real,
        )

    def _frame_time(self, air: Air) -> Expression:
        """When the outermost frame begins."""
        return self._listed_time(air)

    @staticmethod
    def _listed_time(air: Air) -> Expression:
        """When the access list has been walked: after one unit of time for each entry."""
        row = air.row
        time: Expression = row.time + TRANSACTION_BEGIN + row.access_addresses + row.access_keys
        return time

    def _fees(self, air: Air) -> None:
        """The max fee covers the base fee; the tip is the smaller of priority fee and margin (EIP-1559).

        That the max fee is at least the max priority fee is the verifier's to check, who reads both.
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
        """A frame is opened if the recipient has code or is a precompile, or for a creation whose address is free."""
        row, real, creates = air.row, air.row.real, air.row.creates
        air.require(creates * (1 - real), "padding creates nothing")
        size = row.zero_bytes + row.nonzero_bytes
        air.require_equal(row.recipient, row.to, "the recipient", when=1 - creates)
        air.query(CREATE_ADDRESS, row.sender, row.nonce, row.recipient, count=creates)
        IsZero.constrain(air, row.low_zero, row.to[0], when=real, name="low limb of recipient")
        rest = total(row.to[1:])  # nine limbs: below 2^20
        IsZero.constrain(air, row.rest_zero, rest, when=real, name="other limbs of recipient")
        air.require(row.small - row.rest_zero.zero * (1 - row.low_zero.zero), "a small address")
        air.require(row.precompiled * (1 - row.small), "a precompile has a small address")
        # Precompiles are the addresses from 1 to the last one, but for what stands apart.
        last, _ = precompile_range(self.fork)
        air.query(RANGE16, last - row.to[0], count=self._near(air, row.precompiled))
        air.query(RANGE16, row.to[0] - (last + 1), count=row.small - row.precompiled)
        # The empty code has no leaf in the access tree.
        air.require(row.coded * (1 - real), "padding has no code")
        air.require_equal(row.recipient_code, _EMPTY_CODE, "no code", when=real - row.coded)
        air.require(row.known - row.coded * (1 - creates), "a code that may run is known")
        self._code(air)
        constrain_same(air, row.no_code, ((row.recipient_code, [air.constant(x) for x in _EMPTY_CODE]),), creates)
        air.require(creates * (1 - row.coded - row.no_code.same[0]), "the new account of a creation has code or not")
        # As for `create`: nonce, code or storage take an address.
        held = total(row.recipient_nonce) + row.lives[Role.RECIPIENT_BEGIN]
        IsZero.constrain(air, row.vacant, held, when=real, name="vacant")
        unused = row.vacant.zero * (1 - row.coded)
        air.require(row.free - creates * unused, "a free address")
        IsZero.constrain(air, row.no_input, size, when=real, name="no input")
        air.require(row.inits - row.free * (1 - row.no_input.zero), "initcode runs")
        # Sizes are at most 2^22.
        range_check(air, row.input_slack, 5, creates)
        air.require((1 - creates) * row.input_slack, "no initcode")
        air.require(creates * size + row.input_slack - row.init_words * WORD_BYTES, "words of initcode")
        air.require(row.runs - row.inits - self._runs(air), "code runs")
        air.require(row.opens * (1 - real), "padding opens nothing")
        air.require(row.opens - row.free - (1 - creates) * row.runs - row.precompiled, "a frame is opened")
        begin = self._frame_time(air)
        air.send(INIT_CODE, row.init_id, CALLDATA_BUFFER, row.calldata_id, 0, size, 0, count=row.inits)
        air.require((1 - row.inits) * row.init_id, "no initcode")
        calls = 1 - creates
        air.send(
            MESSAGE,
            row.frame, row.operation, row.block, row.scope, begin, 0, 0, 0,
            row.sender, row.recipient, row.value, 0, creates, row.runs,
            row.init_id + (row.runs - row.inits) * row.code_id,
            row.inits * size + (row.runs - row.inits) * row.code_size,
            row.precompiled * row.to[0],
            CALLDATA_BUFFER + creates * (CALLDATA_MEMORY - CALLDATA_BUFFER), calls * row.calldata_id, 0, calls * size,
            self._given(air), row.reserve,
            count=row.opens,
        )  # fmt: skip
        result = row.success, row.gas_left, row.reserve_left, row.output, row.end_time
        air.receive(RESULT, row.frame, *result, count=row.opens)
        # Without a frame all gas is left, unless the address of a creation is taken: then the transaction fails.
        idle, taken = 1 - row.opens, creates - row.free
        air.require(idle * (row.success - real + taken), "without a frame it succeeds")
        air.require(taken * row.success, "a creation at an address that is taken fails")
        kept = 1 - taken
        air.require_equal(row.reserve_left, [kept * x for x in row.reserve], "the reserve without a frame", when=idle)
        air.require_equal(row.output, [0, 0], "without a frame nothing is returned", when=idle)
        air.require(idle * (row.gas_left - kept * self._given(air)), "the gas without a frame")
        air.require(idle * (row.end_time - begin + (1 - real) * TRANSACTION_BEGIN), "without a frame it ends")
        air.require(idle * row.frame, "no frame")

    def _code(self, air: Air) -> None:
        """Id and size of the code that runs for the recipient."""
        row = air.row
        air.query(CODE, row.code_id, row.recipient_code, row.code_size, count=row.known)
        air.require_equal((row.code_id, row.code_size), (0, 0), "no known code", when=1 - row.known)

    def _runs(self, air: Air) -> Expression:
        """Whether code runs for the recipient, unless that is created."""
        row = air.row
        runs: Expression = row.coded * (1 - row.precompiled) * (1 - row.creates)
        return runs

    def _given(self, air: Air) -> Expression:
        """Counted gas minus intrinsic gas."""
        row = air.row
        # At most 53000 + 2^22 * 20 + 2^16 * 4302 < 2^29, both counts being at most the calldata's 2^22 bytes.
        intrinsic = (
            TRANSACTION_BASE_GAS * row.real
            + ZERO_BYTE_GAS * row.zero_bytes
            + NONZERO_BYTE_GAS * row.nonzero_bytes
            + ACCESS_ADDRESS_GAS * row.access_addresses
            + ACCESS_KEY_GAS * row.access_keys
            + CREATION_GAS * row.creates
            + INIT_CODE_WORD_GAS * row.init_words
        )
        given: Expression = row.counted - intrinsic
        return given

    def _gas(self, air: Air) -> None:
        """Gas used is what was spent minus the refund, which is at most a fifth of it (EIP-3529).

        Of a gas limit of 2^30 and more the part beyond MAX_GAS is a reserve, which steps do not count.
        After an exceptional halt nothing is left of both, and gas used is the gas limit.

        Counted gas and gas left are below 2^30. The counter is below 2^30, too, where it changes (`sstore`): gas is
        refunded only after at least as much has been paid for it (4800 for a slot that took 5000, or 1900 of an access
        list and 2900; 19900 for 20000 and 100; 2800 for 2900 and 100), but a reserve pays for more than that.
        """
        row, real = air.row, air.row.real
        large = row.is_large
        air.require(large * (1 - real), "padding is not large")
        air.require_equal(row.reserve, [0] * U64, "no reserve", when=1 - large)
        base, whole = [large * x for x in _MAX_GAS], [large * x for x in row.gas_limit]
        constrain_sum(air, base, row.reserve, row.reserve_carry, whole, name="reserve")
        limit = Division.amount(row.gas_limit)
        air.require_equal(row.gas_limit[2:], [0, 0], "a small gas limit", when=real - large)
        range_check(air, row.gas_limit[1], GAS_BITS - 16, real - large)
        air.require(row.counted - large * MAX_GAS - (real - large) * limit, "counted gas")
        GasLimb.constrain(air, row.given, self._given(air), real)
        GasLimb.constrain(air, row.left, row.gas_left, real)
        left = GasLimb.limbs(air, row.left, row.gas_left)
        terms = (row.spent, left, row.reserve_left)
        constrain_total(air, terms, row.spent_carry, row.gas_limit, name="gas spent")
        # A fifth of it. Both sides of a limb's equation are below 5 * 2^16 + 8.
        divisor = self.fork.max_refund_quotient
        carry: Expression = row.remainder
        for i in range(U64):
            low = divisor * row.quotient[i] + carry - row.spent[i]
            bits = row.quotient_carry[i] if i < U64 - 1 else (air.constant(0),)
            carry = total([part * (1 << k) for k, part in enumerate(bits)])
            air.require(low - carry * (1 << 16), f"a fifth of the gas spent: limb {i}")
        air.query(RANGE16, row.remainder, count=real)
        air.query(RANGE16, divisor - 1 - row.remainder, count=real)

        # What failed has earned nothing but what it begins with: its frame's substate is undone.
        air.send(SUBSTATE, row.operation, 0, self._refund(air), 0, row.time, count=real)
        last = (row.refund_counter, row.destructions, row.substate_time)
        air.receive(SUBSTATE, row.operation, 0, *last, count=real)
        GasLimb.constrain(air, row.earned, row.refund_counter, real)
        earned = GasLimb.limbs(air, row.earned, row.refund_counter)
        borrow: Expression = air.constant(0)
        for i in range(U64):
            out = row.borrow[i]
            difference = row.quotient[i] - earned[i] - borrow
            air.require(difference - row.uncapped[i] + out * (1 << 16), f"quotient - counter: limb {i}")
            borrow = out
        # The refund is at most a fifth of what was spent, so the sum is below the gas limit.
        refund = [e + row.borrow[-1] * (q - e) for e, q in zip(earned, row.quotient, strict=True)]
        spared = self._spared(air)
        constrain_total(air, (left, refund, row.reserve_left), row.back_carry, spared, name="unused gas")
        constrain_sum(air, row.gas_used, row.unused, row.unused_carry, row.gas_limit, name="gas used")

    def _refund(self, air: Air) -> Operand:
        """What is refunded whatever the execution does."""
        return 0

    def _near(self, air: Air, precompiled: Expression) -> Expression:
        """Whether the recipient is one of the precompiles that follow each other from 1 on, if it is a precompile."""
        return precompiled

    def _spared(self, air: Air) -> Sequence[Expression]:
        """Limbs of the gas limit minus the gas that the execution has used, its refund subtracted."""
        unused: Sequence[Expression] = air.row.unused
        return unused

    def _balances(self, air: Air) -> None:
        """The sender can afford the worst case; what it pays, what moves, and what is paid back."""
        row = air.row
        worst = (row.upfront, row.value, row.blob_required)
        constrain_decrease(air, row.affordable, row.sender_balance, *worst, name="affordable")
        paid = (row.prepaid, row.value, row.blob_fee)
        constrain_decrease(air, row.sender_begun, row.sender_balance, *paid, name="sender at begin")
        constrain_increase(air, row.recipient_begun, row.recipient_balance, row.value, name="recipient at begin")
        constrain_increase(air, row.sender_after, row.sender_ended, row.returned, name="sender at end")
        constrain_increase(air, row.coinbase_after, row.coinbase_balance, row.reward, name="coinbase at end")
        carry: Expression = row.real
        for i in range(NONCE):
            out = row.nonce_carry[i] if i < NONCE - 1 else air.constant(0)
            air.require(row.nonce[i] + carry - row.nonce_after[i] - out * (1 << 16), f"nonce + 1: limb {i}")
            carry = out

    def _accounts(self, air: Air) -> None:
        """Accounts are read and written in the order of time; all of them are warm from their first access on."""
        row = air.row
        warm = row.operation + 1
        sender_code, (sender_ended_code, sender_ended_nonce) = self._sender(air)
        sender, sender_ended = (row.sender, sender_code), (row.sender, sender_ended_code)
        recipient = (row.recipient, row.recipient_code)
        coinbase = (row.coinbase, row.coinbase_code)
        coinbase_ended = (row.coinbase, row.coinbase_ended_code)
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
                self._recipient_time(air),
            ),
            (
                Role.COINBASE_BEGIN,
                coinbase,
                (row.coinbase_begun, row.coinbase_begun_nonce, row.coinbase_warm),
                (row.coinbase_begun, row.coinbase_begun_nonce),
                row.time + 3,
            ),
            (
                Role.SENDER_END,
                sender_ended,
                (row.sender_ended, sender_ended_nonce, warm),
                (row.sender_after.after, sender_ended_nonce),
                row.end_time + 3,
            ),
            (
                Role.COINBASE_END,
                coinbase_ended,
                (row.coinbase_balance, row.coinbase_nonce, warm),
                (row.coinbase_after.after, row.coinbase_nonce),
                row.end_time + 4,
            ),
        )
        for role, (address, code), (balance, nonce, warm_before), (balance_after, nonce_after), now in changes:
            order, life = row.orders[role], row.lives[role]
            TimeOrder.constrain(air, order, now, row.real)
            key = (row.scope, 0, address)
            air.receive(ACCOUNT, *key, balance, nonce, code, warm_before, life, order.before, count=row.real)
            air.send(ACCOUNT, *key, balance_after, nonce_after, code, warm, life, now, count=row.real)
        # Where the transaction failed, what it sent comes back at end + 1 and end + 2, whatever frames it has moved
        # through: all that they did is undone.
        failed = row.real - row.success
        back = (row.recipient, row.sender, row.value)
        air.send(TRANSFER, 0, row.operation, row.scope, *back, 0, row.end_time, count=failed)

    def _sender(self, air: Air) -> tuple[Sequence[Any], tuple[Sequence[Any], Sequence[Any]]]:
        """The sender's code hash before, and code hash and nonce at the end.

        The sender has no code (EIP-3607) and so nothing but the transaction counts its nonce.
        """
        return _EMPTY_CODE, (_EMPTY_CODE, air.row.nonce_after)

    def _recipient_time(self, air: Air) -> Expression:
        """When the recipient is accessed."""
        time: Expression = air.row.time + 2
        return time

    def _destructions(self, air: Air) -> None:
        """Accounts that the transaction has destroyed are deleted behind all that it does (EIP-6780)."""
        constrain_destructions(air, air.row.end_time + TRANSACTION_END)

    def _answers(self, air: Air) -> None:
        """The words that instructions ask for."""
        row = air.row
        zero = air.constant(0)
        sender = [*row.sender, *[zero] * (WORD - ADDRESS)]
        constrain_words(air, (sender, list(row.price.after), [row.blob_id, row.blobs, *[zero] * (WORD - 2)]))


class FloorColumns(Columns):
    """One transaction per row, which uses no less gas than the floor of its calldata."""

    floor = nested(CalldataFloor)


class FloorTransaction(Transaction):
    """Transactions whose calldata has a floor (EIP-7623)."""

    layout = FloorColumns

    def _spared(self, air: Air) -> Sequence[Expression]:
        row = air.row
        # At most 21000 + 2^22 * 40, below 2^28.
        tokens = row.zero_bytes + TOKENS_PER_NONZERO_BYTE * row.nonzero_bytes
        floor = TRANSACTION_BASE_GAS * row.real + self.fork.floor_gas_per_token * tokens
        CalldataFloor.constrain(air, row.floor, floor, row.gas_used, row.unused)
        spared: Sequence[Expression] = row.floor.spared
        return spared


class LoneColumns(FloorColumns):
    """One transaction per row, in a fork with a precompile that stands apart from the others."""

    lone = nested(IsZero, "whether the recipient is that one")


class LoneTransaction(FloorTransaction):
    """Transactions of a fork with a precompile that stands apart from the others."""

    layout = LoneColumns

    def _near(self, air: Air, precompiled: Expression) -> Expression:
        row = air.row
        _, lone = precompile_range(self.fork)
        assert lone is not None
        IsZero.constrain(air, row.lone, row.small * (row.to[0] - lone), when=row.small, name="lone")
        air.require(row.lone.zero * (1 - precompiled), "the lone precompile is one")
        near: Expression = precompiled - row.lone.zero
        return near


def fill(
    table: Transaction,
    execution: Execution,
    life_asked: NDArray[np.uint32],
    destroying_asked: NDArray[np.uint32],
    context_asked: NDArray[np.uint32],
) -> Matrix | None:
    """The segment's transactions, for the table of their fork.

    `life_asked` (n, 13), `destroying_asked` (n, 3), `context_asked` (n, 19): what is asked of their buses.
    """
    numbers, of_trace = execution.transaction_operations, execution.transactions
    if not len(numbers):
        return None
    batch, trace = execution.batch, execution.trace
    transactions = trace.transactions
    matrix, rows = allocate(Columns, len(numbers), table.layout)
    fill_operation(rows, execution, numbers, table.items(batch), of_trace)
    rows.end_time = execution.end_time[numbers - execution.first]
    receipts = batch.receipts
    rows.receipts_in, rows.receipts_out = receipts.before_operation[numbers], receipts.before_operation[numbers + 1]
    rows.receipt_states = receipts.receipt_states[of_trace]

    block = transactions.block[of_trace].astype(np.int64)
    rows.block = np.searchsorted(execution.blocks, block)
    rows.scope = execution.operations.scope[block]
    rows.coinbase, rows.base_fee = trace.blocks.coinbase[block], trace.blocks.base_fee[block]
    rows.blob_base_fee = trace.blocks.blob_base_fee[block]
    rows.calldata_id = execution.calldata_ids[execution.transaction_messages]
    blobs = transactions.blob_hashes_size[of_trace].astype(np.int64) // BLOB_HASH_BYTES
    IsZero.fill(rows.no_blobs, blobs.astype(np.uint64))
    rows.blob_id = np.where(blobs > 0, execution.blob_ids[execution.transaction_messages], 0)

    _fill_execution(rows, execution)
    _fill_gas(rows, execution, table.fork)
    _fill_fees(rows, execution, blobs * table.fork.blobs.gas_per_blob)
    _fill_accounts(rows, execution)
    fill_asked(rows, numbers, life_asked, destroying_asked, context_asked)
    return matrix


def _fill_execution(rows: Any, execution: Execution) -> None:
    trace, of_trace = execution.trace, execution.transactions
    table = trace.transactions
    to = table.to[of_trace]
    IsZero.fill(rows.low_zero, to[:, 0].astype(np.uint64))
    IsZero.fill(rows.rest_zero, to[:, 1:].astype(np.uint64).sum(axis=1))
    sizes = table.input_size[of_trace].astype(np.int64)
    creates = table.is_creation[of_trace] == 1
    small = (to[:, 0] != 0) & ~to[:, 1:].any(axis=1)
    rows.small = small
    precompiled = small & np.isin(to[:, 0], precompile_numbers(execution.fork))
    rows.precompiled = precompiled
    lone = precompile_range(execution.fork)[1]
    if lone is not None:
        distance = (to[:, 0].astype(np.int64) - lone) % MODULUS * small
        IsZero.fill(rows.lone, distance.astype(np.uint64))
        rows.lone.zero = small & (distance == 0)
    IsZero.fill(rows.no_input, sizes.astype(np.uint64))
    rows.input_slack = np.where(creates, -sizes % WORD_BYTES, 0)
    rows.init_words = np.where(creates, -(-sizes // WORD_BYTES), 0)
    access = StateView.of(execution).account_access(execution.transaction_operations, Role.RECIPIENT_BEGIN)
    rows.recipient = access.address
    held = access.nonce.astype(np.uint64).sum(axis=1) + access.life.astype(np.uint64)
    IsZero.fill(rows.vacant, held)
    coded = (access.code_hash != np.array(_EMPTY_CODE)).any(axis=1)
    rows.coded = coded
    known = coded & ~creates
    rows.known = known
    ids, code_sizes = execution.codes_of(access.code_hash)
    rows.code_id, rows.code_size = np.where(known, ids, 0), np.where(known, code_sizes, 0)
    here = np.flatnonzero(creates)
    if len(here):
        chosen = rows._matrix[here]
        hashes = access.code_hash[here]
        fill_same(TraceView(type(rows), chosen).no_code, ((hashes, np.broadcast_to(_EMPTY_CODE, hashes.shape)),))
        rows._matrix[here] = chosen
    free = creates & (held == 0) & ~coded
    rows.free = free
    inits = free & (sizes > 0)
    rows.inits = inits
    rows.runs = inits | (coded & ~precompiled & ~creates)
    # The outermost frame is the first one of its transaction, if it has a row.
    place = np.minimum(
        np.searchsorted(execution.frames, table.first_frame[of_trace]), max(len(execution.frames) - 1, 0)
    )
    opens = np.zeros(len(of_trace), dtype=bool)
    if len(execution.frames):
        opens = execution.frames[place] == table.first_frame[of_trace]
        rows.init_id = np.where(inits, execution.frame_code[place], 0)
        for k, column in enumerate((execution.frame_return_start, execution.frame_return_size)):
            rows.output[:, k] = np.where(opens, column[place], 0)
    rows.opens = opens
    rows.frame = np.where(opens, place + 1, 0)
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


def _fill_gas(rows: Any, execution: Execution, fork: Fork) -> None:
    table, of_trace = execution.trace.transactions, execution.transactions
    reserve = execution.reserve
    limit = (table.gas_limit[of_trace] - reserve).astype(np.int64)
    given = limit - table.intrinsic_gas[of_trace].astype(np.int64)
    frames = execution.trace.frames
    outermost = table.first_frame[of_trace]
    halted = ~np.isin(frames.outcome[outermost], (Outcome.SUCCESS, Outcome.REVERT))
    reserve_left = reserve.copy()
    rows_of_frames = np.flatnonzero(
        np.isin(execution.frame_operation, execution.transaction_operations) & (execution.frame_parent == 0)
    )
    places = execution.transaction_places(execution.frame_operation[rows_of_frames])
    reserve_left[places] = execution.frame_reserve_end[rows_of_frames]
    reserve_left[halted] = 0
    left = (frames.gas_left[outermost] - reserve_left).astype(np.int64)
    large = reserve > 0
    reserve_limbs = gas_limbs(reserve).astype(np.int64)
    rows.is_large = large
    rows.reserve = reserve_limbs
    rows.reserve_carry = sum_carries(np.where(large[:, None], _MAX_GAS, 0), reserve_limbs)
    rows.counted = limit
    rows.reserve_left = gas_limbs(reserve_left)
    GasLimb.fill(rows.given, given)
    rows.gas_left = left
    GasLimb.fill(rows.left, left)
    spent = table.gas_limit[of_trace] - frames.gas_left[outermost]
    rows.spent = gas_limbs(spent)
    rows.spent_carry = total_carries(gas_limbs(spent), gas_limbs(left), gas_limbs(reserve_left))
    divisor = fork.max_refund_quotient
    quotient = spent // np.uint64(divisor)
    remainder = (spent % np.uint64(divisor)).astype(np.int64)
    rows.quotient = gas_limbs(quotient)
    rows.remainder = remainder
    carry = remainder
    for i in range(U64 - 1):
        carry = (divisor * gas_limbs(quotient)[:, i].astype(np.int64) + carry) >> 16
        rows.quotient_carry[:, i] = carry[:, None] >> np.arange(3) & 1
    counter, destructions, time = StateView.of(execution).substate_end(execution.transaction_operations)
    rows.refund_counter, rows.destructions, rows.substate_time = counter, destructions, time
    GasLimb.fill(rows.earned, counter)
    earned = counter.astype(np.uint64)
    rows.uncapped = gas_limbs(quotient - earned)  # modulo 2^64
    borrow = np.zeros(len(counter), dtype=np.int64)
    for i in range(U64):
        limbs = (gas_limbs(x)[:, i].astype(np.int64) for x in (quotient, earned))
        borrow = (next(limbs) - next(limbs) - borrow < 0).astype(np.int64)
        rows.borrow[:, i] = borrow
    used, unused = (
        gas_limbs(x).astype(np.int64)
        for x in (table.gas_used[of_trace], table.gas_limit[of_trace] - table.gas_used[of_trace])
    )
    rows.gas_used = used
    refund = np.minimum(earned, quotient)
    rows.back_carry = total_carries(gas_limbs(left), gas_limbs(refund), gas_limbs(reserve_left))
    rows.unused = unused
    rows.unused_carry = sum_carries(used, unused)
    if fork.floor_gas_per_token:
        tokens = TOKENS_PER_NONZERO_BYTE * rows.nonzero_bytes.astype(np.int64) + rows.zero_bytes
        floor = TRANSACTION_BASE_GAS + fork.floor_gas_per_token * tokens
        CalldataFloor.fill(rows.floor, floor, spent - refund, table.gas_limit[of_trace])


def _fill_fees(rows: Any, execution: Execution, blob_gas: NDArray[np.int64]) -> None:
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
    rows.upfront = fees.gas_products(max_fee, limit)
    rows.prepaid = fees.gas_products(price, limit)
    rows.returned = fees.gas_products(price, limit - used)
    rows.reward = fees.gas_products(tip, used)
    rows.blob_required = fees.gas_products(rows.max_blob_fee, blob_gas)
    rows.blob_fee = fees.gas_products(rows.blob_base_fee, blob_gas)


def _fill_accounts(rows: Any, execution: Execution) -> None:
    view = StateView.of(execution)
    roles = list(Role)[: len(rows.orders)]
    accesses = [view.account_access(execution.transaction_operations, role) for role in roles]
    for order, access in zip(rows.orders, accesses, strict=True):
        TimeOrder.fill(order, access.time, access.then)
    rows.lives = np.stack([access.life for access in accesses], axis=1)
    sender, recipient, coinbase, sender_end, coinbase_end = accesses
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
    rows.sender_ended = sender_end.balance
    fill_increase(rows.sender_after, sender_end.balance, rows.returned)
    rows.coinbase_balance, rows.coinbase_nonce = coinbase_end.balance, coinbase_end.nonce
    rows.coinbase_ended_code = coinbase_end.code_hash
    fill_increase(rows.coinbase_after, coinbase_end.balance, rows.reward)


def components(fork: Fork) -> tuple[Component, ...]:
    """The table of transactions of a fork without set-code transactions, and what it looks up."""
    if fork.sets_codes:  # see `circuits.transactions.set_code`
        return fees.components(fork)
    has_lone = precompile_range(fork)[1] is not None
    table = (LoneTransaction if has_lone else FloorTransaction if fork.floor_gas_per_token else Transaction)(fork)
    return Answering(table, (LIFE, DESTROYING, CONTEXT), partial(fill, table)), *fees.components(fork)
