"""Calls of system contracts outside of transactions: what happens before their first step and after their last one.

A call runs the code that the contract has, as the system address, with 30,000,000 gas and without value; nobody pays
for it. Its contract is warm, and nothing else, precompiles included; it has a transient storage of its own, refunds
that nobody gets, and logs that are in no receipt.
A contract without code answers nothing. Where the call has to give a request of the block (EIP-7002, EIP-7251) there
is code and it succeeds; what it returns is part of the commitment, so that the verifier knows it. Otherwise the call
may fail: then all it did is undone, and the block goes on.

Accesses, by their times: the contract at begin + 1. After the last step (`end`) come those of accounts that the call
destroys, as for a transaction, and then the words that it returns are read, one by one.

Sources: EIP-4788; execution-specs `prague/fork.py` (process_system_transaction, process_general_purpose_requests).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import IsZero, TimeOrder
from circuits.air.layout import allocate, bit, element, limb, nested
from circuits.air.table import Air, Table
from circuits.batch.execution import SYSTEM_CALL_BEGIN, TRANSACTION_END, Execution, words_of
from circuits.batch.frame_data import CALLDATA_BUFFER
from circuits.batch.operation_items import operation_items
from circuits.component import Answering, Component
from circuits.frames.buses import CALLDATA, CODE, CONTEXT, MESSAGE, RESULT
from circuits.limbs import addresses_from_bytes, words_from_bytes
from circuits.memory.buses import LOG_READ
from circuits.state.buses import ACCOUNT, DESTROYING, LIFE, SUBSTATE
from circuits.state.state_view import Role, StateView
from circuits.statement import BUFFER_START, RECEIPTS_START, SYSTEM_CALL_ITEM, empty_digest, gas_limbs
from circuits.transactions.buses import BLOCK, RECEIPTS
from circuits.transactions.calling import constrain_destructions, constrain_words, fill_asked
from circuits.transactions.chain import CHAIN_BUS, POSEIDON_BUS, OperationColumns, constrain_operation, fill_operation
from circuits.widths import ADDRESS, DIGEST, NONCE, U64, WORD, WORD_BYTES
from executor.forks import SYSTEM_ADDRESS, SYSTEM_CALL_GAS, Fork
from executor.state_keys import EMPTY_CODE_HASH

_CALLER = [int(x) for x in addresses_from_bytes([SYSTEM_ADDRESS])[0]]
_EMPTY_CODE = [int(x) for x in words_from_bytes([EMPTY_CODE_HASH])[0]]
_BUFFER_START = [int(x) for x in BUFFER_START]
_RECEIPTS_START = [int(x) for x in RECEIPTS_START]

_COMMITTED = "the operation's commitment: the verifier hashes canonical limbs"
_BLOCK = "block bus"
_ACCOUNT = "account bus: the last sender"
_RESULT = "result bus, or 0 without code"
_BALANCE = "balance of the {} bus"


class Columns(OperationColumns):
    """One system call per row."""

    receipts = element("running hash of receipts", DIGEST, by=CHAIN_BUS)

    # The committed fields, in the order of the hashed item.
    block_digest = element("digest of the block context", DIGEST, by=_COMMITTED)
    address = limb("the contract", ADDRESS, by=_COMMITTED)
    returns = bit("1: the call must succeed, and what it returns is a request of the block")
    input_size = element("bytes of calldata", by=_COMMITTED)
    input_digest = element("digest of the calldata", DIGEST, by=_COMMITTED)
    output_size = element("bytes that it returns to the block, at most 2^24", by=_COMMITTED)
    output_digest = element("digest of these bytes", DIGEST, by=_COMMITTED)
    states = element("hash states of the item, digest last", (SYSTEM_CALL_ITEM.blocks, DIGEST), by=POSEIDON_BUS)

    block = element("row of the block", by=_BLOCK)
    scope = element("scope of the block", by=_BLOCK)
    coinbase = limb("fee recipient of the block", ADDRESS, by=_BLOCK)
    base_fee = limb("base fee of the block", WORD, by=_BLOCK)
    blob_base_fee = limb("blob base fee of the block", WORD, by=_BLOCK)
    input_id = element(
        "id of the calldata buffer",
        by="calldata bus",
        free="a buffer with the same size and digest has the same content",
    )

    # The contract
    balance = limb("balance", WORD, by=_ACCOUNT)
    nonce = limb("nonce", NONCE, by=_ACCOUNT)
    code_hash = limb("code hash", WORD, by=_ACCOUNT)
    warm = element("warm mark before", by=_ACCOUNT)
    life = element("life", by=_ACCOUNT)
    order = nested(TimeOrder, "the contract's last access")
    coded = bit("1: it has code")
    code_id = element("id of that code, or 0", by="code bus, or 0")
    code_size = element("its bytes, or 0", by="code bus, or 0")

    # The frame
    frame = element("id of the frame, or 0", by="message bus; 0 without code")
    success = bit("1: it neither reverted nor halted exceptionally")
    gas_left = element("gas left, which nobody gets", by=_RESULT)
    reserve_left = limb("its part beyond what frames count", U64, by=_RESULT)
    output_start = element("first byte of what the code returned, in its memory", by=_RESULT)
    returned = element("bytes of that", by=_RESULT)
    end_time = element("time after the last step", by="result bus, or the time of the first step")
    logs_time = element("time of the last log", by="receipts bus")
    logs = element("running hash of the call's logs, which nobody looks at", DIGEST, by="receipts bus")
    refund_counter = element("refund counter at the end, which nobody gets", by="substate bus")
    destructions = element("accounts that it has destroyed", by="substate bus")
    substate_time = element("time of the last change of either", by="substate bus")
    no_output = nested(IsZero, "nothing is returned to the block")
    words = element("words that are returned to the block", by="log_read bus, or 0")

    life_asked = element("how often it is asked whether an account lives", by=_BALANCE.format("life"))
    destroying_asked = element("how often the time of deletions is queried", by=_BALANCE.format("destroying"))
    context_asked = element("how often sender, gas price and blobs are queried", 3, by=_BALANCE.format("context"))


class SystemCall(Table):
    """Calls of system contracts."""

    name = "system_call"
    layout = Columns
    row_order = "rows meet only on the chain bus, which orders them by their number"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        # Behind the last step: accounts that are destroyed, then the words that are read.
        deletion = row.end_time + TRANSACTION_END
        answer = deletion + row.destructions
        constrain_operation(air, SYSTEM_CALL_ITEM, answer + row.words, row.receipts, row.receipts)
        air.query(
            BLOCK, row.block_digest, row.block, row.scope, row.coinbase, row.base_fee, row.blob_base_fee, count=real
        )
        air.query(CALLDATA, row.input_id, row.input_size, row.input_digest, count=real)
        self._contract(air)
        self._frame(air)
        self._output(air, answer)
        self._end(air, deletion)
        self._answers(air)

    @staticmethod
    def _contract(air: Air) -> None:
        """The contract has this code. It is warm, as the recipient of a transaction is."""
        row, real = air.row, air.row.real
        now = row.time + 1
        TimeOrder.constrain(air, row.order, now, real)
        account = (row.scope, 0, row.address, row.balance, row.nonce, row.code_hash)
        air.receive(ACCOUNT, *account, row.warm, row.life, row.order.before, count=real)
        air.send(ACCOUNT, *account, row.operation + 1, row.life, now, count=real)
        # The empty code has no leaf in the access tree.
        air.require(row.coded * (1 - real), "padding has no code")
        air.require_equal(row.code_hash, _EMPTY_CODE, "no code", when=real - row.coded)
        air.query(CODE, row.code_id, row.code_hash, row.code_size, count=row.coded)
        idle = 1 - row.coded
        air.require_equal((row.code_id, row.code_size), (0, 0), "no known code", when=idle)

    @staticmethod
    def _frame(air: Air) -> None:
        """Code runs in a frame of its own."""
        row, coded = air.row, air.row.coded
        begin = row.time + SYSTEM_CALL_BEGIN
        none = [air.constant(0)] * U64
        air.send(
            MESSAGE,
            row.frame, row.operation, row.block, row.scope, begin, 0, 0, 0,
            _CALLER, row.address, [air.constant(0)] * WORD, 0, 0, 1, row.code_id, row.code_size, 0,
            CALLDATA_BUFFER, row.input_id, 0, row.input_size, SYSTEM_CALL_GAS, none,
            count=coded,
        )  # fmt: skip
        result = (row.success, row.gas_left, row.reserve_left, row.output_start, row.returned, row.end_time)
        air.receive(RESULT, row.frame, *result, count=coded)
        idle = 1 - coded
        cells = (row.frame, row.success, row.gas_left, *row.reserve_left, row.output_start, row.returned)
        air.require_equal(cells, [0] * len(cells), "nothing without code", when=idle)
        air.require(idle * (row.end_time - begin + (1 - row.real) * SYSTEM_CALL_BEGIN), "without code it ends")

    @staticmethod
    def _output(air: Air, begin: Any) -> None:
        """What a call returns that must is what it commits to; others commit to nothing."""
        row, real, returns = air.row, air.row.real, air.row.returns
        air.require(returns * (1 - real), "padding returns nothing")
        air.require(returns * (1 - row.success), "a call that must succeeds")
        air.require(row.output_size - returns * row.returned, "the bytes that it returns to the block")
        IsZero.constrain(air, row.no_output, row.output_size, when=real, name="no output")
        some = real - row.no_output.zero
        air.send(LOG_READ, row.frame, begin, row.output_start, row.output_size, _BUFFER_START, count=some)
        end = row.output_start + row.words * WORD_BYTES
        air.receive(LOG_READ, row.frame, begin + row.words, end, 0, row.output_digest, count=some)
        air.require_equal(row.output_digest, empty_digest(), "no output", when=real - some)
        air.require((1 - some) * row.words, "no words")

    @staticmethod
    def _end(air: Air, begin: Any) -> None:
        """Logs and refunds are forgotten; accounts that the call has destroyed are deleted (EIP-6780)."""
        row, real = air.row, air.row.real
        air.send(RECEIPTS, row.operation, row.time, _RECEIPTS_START, count=real)
        air.receive(RECEIPTS, row.operation, row.logs_time, row.logs, count=real)
        air.send(SUBSTATE, row.operation, 0, 0, 0, row.time, count=real)
        last = (row.refund_counter, row.destructions, row.substate_time)
        air.receive(SUBSTATE, row.operation, 0, *last, count=real)
        constrain_destructions(air, begin)

    @staticmethod
    def _answers(air: Air) -> None:
        """The words that instructions ask for: there are no blobs."""
        row = air.row
        zero = air.constant(0)
        caller = [*(air.constant(x) for x in _CALLER), *[zero] * (WORD - ADDRESS)]
        constrain_words(air, (caller, list(row.base_fee), [zero] * WORD))


def fill(
    execution: Execution,
    life_asked: NDArray[np.uint32],
    destroying_asked: NDArray[np.uint32],
    context_asked: NDArray[np.uint32],
) -> Matrix | None:
    """The segment's system calls.

    `life_asked` (n, 13), `destroying_asked` (n, 3), `context_asked` (n, 19): what is asked of their buses.
    """
    numbers, calls = execution.system_operations, execution.system_calls
    if not len(numbers):
        return None
    trace, receipts = execution.trace, execution.batch.receipts
    matrix, rows = allocate(Columns, len(numbers))
    fill_operation(rows, execution, numbers, operation_items(execution.batch).system_calls, calls)
    rows.receipts = receipts.before_operation[numbers]
    block = execution.operations.block[numbers]
    rows.block = np.searchsorted(execution.blocks, block)
    rows.scope = execution.operations.scope[block]
    for name in ("coinbase", "base_fee", "blob_base_fee"):
        setattr(rows, name, getattr(trace.blocks, name)[block])
    rows.input_id = execution.calldata_ids[execution.system_messages]

    access = StateView.of(execution).account_access(numbers, Role.CONTRACT)
    for name in ("balance", "nonce", "code_hash", "warm", "life"):
        setattr(rows, name, getattr(access, name))
    TimeOrder.fill(rows.order, access.time, access.then)
    frame = execution.system_frames
    coded = frame > 0
    rows.coded = coded
    ids, sizes = execution.codes_of(access.code_hash)
    rows.code_id, rows.code_size = np.where(coded, ids, 0), np.where(coded, sizes, 0)
    rows.frame = frame
    rows.end_time = execution.end_time[numbers - execution.first]
    _fill_result(rows, execution)
    rows.logs_time = _last_logs(execution)
    rows.logs = receipts.behind_call[calls]
    counter, destructions, time = StateView.of(execution).substate_end(numbers)
    rows.refund_counter, rows.destructions, rows.substate_time = counter, destructions, time
    output = execution.system_outputs
    IsZero.fill(rows.no_output, output.astype(np.uint64))
    rows.words = words_of(output)

    fill_asked(rows, numbers, life_asked, destroying_asked, context_asked)
    return matrix


def _fill_result(rows: Any, execution: Execution) -> None:
    """How the frames end."""
    here = np.flatnonzero(execution.system_frames)
    place = execution.system_frames[here] - 1
    frames = execution.trace.frames
    row = execution.frames[place]
    rows.success[here] = execution.frame_success[place]
    reserve = np.where(execution.frame_halted[place], np.uint64(0), execution.frame_reserve_end[place])
    rows.gas_left[here] = (frames.gas_left[row] - reserve).astype(np.int64)
    rows.reserve_left[here] = gas_limbs(reserve)
    rows.output_start[here] = execution.frame_return_start[place]
    rows.returned[here] = execution.frame_return_size[place]


def _last_logs(execution: Execution) -> NDArray[np.int64]:
    """When the last log of each system call is made that counts, or the call begins, (calls,)."""
    logs, numbers = execution.trace.logs, execution.system_operations
    time: NDArray[np.int64] = execution.begin_time[numbers - execution.first].copy()
    kept = np.flatnonzero(logs.reverted == 0)
    step = np.searchsorted(execution.step, logs.step[kept])
    there = step < len(execution.step)
    there[there] = execution.step[step[there]] == logs.step[kept[there]]
    step = step[there]
    operation = execution.operation[step]
    own = np.isin(operation, numbers)
    time[np.searchsorted(numbers, operation[own])] = execution.time[step[own]]  # ascending: the last one stays
    return time


def components(fork: Fork) -> tuple[Component, ...]:
    """The table, where the fork's blocks make calls that are not writes alone: those which return requests."""
    return (Answering(SystemCall(), (LIFE, DESTROYING, CONTEXT), fill),) if fork.block_end_calls else ()
