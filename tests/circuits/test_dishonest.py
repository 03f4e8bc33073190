"""Dishonest executors: whoever lies about an execution is told by the whole circuit, wherever else the lie is repeated.

A lie counts as caught when a constraint or a bus objects, or when a public value differs from what the verifier
computes from the batch's public data. What objects is named in each test.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.checker import check_circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import MODULUS
from circuits.batch.execution import Execution
from circuits.limbs import words_from_ints
from circuits.segment import FilledSegment, segment_circuit
from circuits.state.state_view import StateView
from executor.forks import CANCUN
from executor.opcodes import OPCODES
from executor.state_keys import StateKind
from executor.trace import ExecutionTrace, Outcome
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, FOURTH, OTHER, THIRD, call_contract
from scripts.forging.segments import Lie, check, objections, places, present_calldata, present_code, tell
from scripts.workloads.assembler import assemble
from tests.circuits.test_log import undone

WRITER = "5 1 sstore 7 1 sstore 1 sload 2 sstore 0 3 sstore 4 sload pop stop 9 9 sstore stop"
ASKER = f"""
    caller pop address pop coinbase pop timestamp pop origin pop 0 calldataload pop 0x{CONTRACT.hex()} balance pop
    7 0 mstore 32 0 sha3 pop 0 mload pop 3 4 add pop 1 32 0 log1 2 32 0 log1
    @over jump 0x5b pop over: 0 calldataload 255 and @yes jumpi 1 1 sstore stop yes: 2 1 sstore stop
"""
REVERTER = "6 1 sstore 1 0 0 log1 0 0 revert"
#: The calldata, whose last byte decides a branch; and one with as many zeros that decides it otherwise.
DATA = bytes(31) + b"\1"
OTHER_DATA = bytes(30) + b"\1\0"
STORAGE = {"0x1": "0x3", "0x3": "0x9"}

#: Transactions by their rows.
WRITES, ASKS, REVERTS, TRANSFERS, WRITES_AGAIN, READS = range(6)


def world(
    writer: bytes | None = None,
    asker: bytes | None = None,
    data: bytes = DATA,
    reader_storage: str = "0x4",
    **block: Any,
) -> ExecutionTrace:
    """The trace of a batch, the honest one by default."""
    building = Builder()
    building.alloc(CONTRACT, code="0x" + (writer or assemble(WRITER)).hex(), balance=50, storage=STORAGE)
    building.alloc(OTHER, code="0x" + (asker or assemble(ASKER)).hex(), storage={"0x1": "0x8"})
    building.alloc(THIRD, code="0x" + assemble(REVERTER).hex(), storage=STORAGE)
    building.alloc(
        FOURTH, code="0x" + assemble("1 sload 2 sstore stop").hex(), storage={"0x1": reader_storage, "0x2": "0x5"}
    )
    withdrawal = {"index": 1, "validatorIndex": 1, "address": "0x" + Builder.FRESH.hex(), "amount": 7}
    building.block(
        call_contract(building, 0, CONTRACT, gas=100_000),
        call_contract(building, 1, OTHER, gas=100_000, data="0x" + data.hex()),
        call_contract(building, 2, THIRD, gas=100_000, value=5),
        building.transfer(3, Builder.FRESH, 9),
        call_contract(building, 0, CONTRACT, gas=100_000),
        call_contract(building, 1, FOURTH, gas=100_000),
        withdrawals=[withdrawal],
        **block,
    )
    trace = building.provable().trace
    assert trace is not None
    return trace


@cache
def honest() -> tuple[ExecutionTrace, FilledSegment]:
    """The honest trace and segment."""
    trace = world()
    return trace, tell(trace, Lie())


def caught(lie: Lie, trace: ExecutionTrace | None = None) -> set[str]:
    """Who objects to this lie; `trace`: of the liar's own executor, if not the honest one."""
    return objections(honest()[1], tell(honest()[0] if trace is None else trace, lie))


def step_of(trace: ExecutionTrace, name: str, number: int = 0) -> int:
    """The step of the trace that is an instruction's so-and-so-many-th."""
    return int(np.flatnonzero(trace.steps.opcode == OPCODES[name])[number])


def owner(trace: ExecutionTrace, step: int) -> int:
    """The row of a step's transaction."""
    table = trace.transactions
    return int(np.flatnonzero((table.first_step <= step) & (step < table.end_step))[0])


def spend_less(trace: ExecutionTrace, step: int, gas: int = 1) -> None:
    """Say that a step costs less, which its transaction keeps."""
    table, row = trace.transactions, owner(trace, step)
    trace.steps.gas_before[step + 1 : int(table.end_step[row])] += np.uint64(gas)
    keep_gas(trace, row, gas)


def keep_gas(trace: ExecutionTrace, row: int, gas: int) -> None:
    """Say that a transaction's frame ends with more gas."""
    frame = trace.transactions.first_frame[row]
    trace.frames.gas_at_end[frame] += np.uint64(gas)
    trace.frames.gas_left[frame] += np.uint64(gas)
    trace.transactions.gas_used[row] -= np.uint64(gas)


def halt_at(trace: ExecutionTrace, step: int, outcome: Outcome) -> None:
    """Say that a step ends its frame by an exceptional halt."""
    table, row = trace.transactions, owner(trace, step)
    frame = table.first_frame[row]
    table.end_step[row] = step + 1
    trace.steps.failed[step] = 1
    trace.frames.outcome[frame] = outcome
    trace.frames.reverted[frame] = 1
    trace.frames.gas_at_end[frame] = trace.frames.gas_left[frame] = 0
    table.status[row] = 0
    table.gas_used[row] = table.gas_limit[row]
    table.gas_refunded[row] = 0
    trace.logs.reverted[trace.logs.transaction == row] = 1


def say(trace: ExecutionTrace, step: int, value: int) -> None:
    """Say that a step pushes another value, which the next step pops."""
    word = words_from_ints([value])[0]
    trace.results.word[int(trace.results_start[step])] = word
    trace.operands.word[int(trace.operands_start[step + 1])] = word


def test_honest() -> None:
    assert not objections(honest()[1], honest()[1])


# What is executed.


def ran_other_code(ran: bytes, stands: bytes) -> set[str]:
    """Who objects if the first recipient's code is said to be another one than that which has run."""
    right, lied = world(writer=stands), world(writer=ran)
    return objections(tell(right, Lie()), tell(lied, Lie(lambda trace: present_code(trace, ran, stands))))


@pytest.mark.parametrize(
    ("ran", "stands"),
    [
        pytest.param("1 sload 2 sstore stop", "1 sload 2 sstore stop", id="honest"),
        pytest.param("5 1 pop pop stop", "5 1 sstore jumpdest stop", id="a write is two pops"),
        pytest.param("5 1 sstore jumpdest 9 9 sstore stop", "5 1 sstore stop 9 9 sstore stop", id="runs on after STOP"),
        pytest.param("5 1 sstore stop 9 9 sstore stop", "5 1 sstore jumpdest 9 9 sstore stop", id="stops early"),
        pytest.param("5 1 sstore 1 0 div pop", "5 1 sstore 1 0 add pop", id="another operation"),
        pytest.param("5 1 sstore 0 0 revert", "5 1 sstore 0 0 return", id="reverts"),
        pytest.param("6 1 sstore", "5 1 sstore", id="another constant"),
    ],
)
def test_other_instructions(ran: str, stands: str) -> None:
    """The executor has run other code than stands there."""
    found = ran_other_code(assemble(ran), assemble(stands))
    assert not found if ran == stands else "instruction" in found or "push" in found


def test_an_invalid_instruction() -> None:
    stands = assemble("5 1 sstore 1 0 add pop")
    assert "instruction" in ran_other_code(stands.replace(b"\x01\x50", b"\xfe\x50"), stands)


def test_a_jump_into_push_data() -> None:
    """The executor takes the byte behind PUSH1 for a JUMPDEST."""
    stands = assemble("4 jump 0x5b stop")
    assert stands[4] == OPCODES["JUMPDEST"]
    ran = bytearray(stands)
    ran[3] = OPCODES["STOP"]
    assert ran_other_code(bytes(ran), stands) == {"instruction"}


def test_the_other_branch() -> None:
    """The executor has seen a condition of 0 in the calldata."""
    lie = Lie(lambda trace: present_calldata(trace, ASKS, DATA))
    assert caught(lie, world(data=OTHER_DATA)) == {"buffer_bytes"}


def test_other_calldata() -> None:
    assert caught(Lie(), world(data=OTHER_DATA)) == {"operations_out"}


def test_the_condition_decides() -> None:
    """JUMPI goes on behind itself although its condition is not 0."""

    def stay(trace: ExecutionTrace) -> None:
        present_calldata(trace, ASKS, DATA)
        first, second = step_of(trace, "CALLDATALOAD", 0), step_of(trace, "CALLDATALOAD", 1)
        say(trace, first, 1)
        trace.results.word[int(trace.results_start[second])] = words_from_ints([1])[0]
        trace.operands.word[int(trace.operands_start[second + 2]) + 1] = words_from_ints([1])[0]  # of AND
        say(trace, second + 2, 1)
        trace.operands.word[int(trace.operands_start[step_of(trace, "JUMPI")]) + 1] = words_from_ints([1])[0]

    assert "exec" in caught(Lie(stay), world(data=OTHER_DATA))


def test_code_of_another_account() -> None:
    """The recipient's frame runs the code of another contract."""

    def swap(trace: ExecutionTrace) -> None:
        frames = trace.frames
        row = int(trace.transactions.first_frame[READS])
        other = int(trace.transactions.first_frame[TRANSFERS - 1])
        frames.code[row] = frames.code[other]

    assert "message" in caught(Lie(swap))


def test_storage_of_another_contract() -> None:
    """A frame works on the storage of another contract, and the writes, too."""

    def move(trace: ExecutionTrace) -> None:
        first = trace.transactions.first_frame
        trace.frames.address[first[READS]] = trace.frames.address[first[WRITES]]

    assert "message" in caught(Lie(move), world(reader_storage="0x7"))


def test_a_single_access_to_another_contract_s_storage() -> None:
    """The frame is told right, but SLOAD asks for the slot of another contract."""

    def elsewhere(rows: Any) -> None:
        rows.of_frame.address[-1 if rows.real[-1] else int(rows.real.sum()) - 1] = rows.of_frame.address[0]

    assert {"frame", "storage"} <= caught(Lie(tables={"sload": elsewhere}))


# Values.


@pytest.mark.parametrize(
    ("name", "objects"),
    [
        ("CALLER", "context"),
        ("ADDRESS", "context"),
        ("COINBASE", "context"),
        ("TIMESTAMP", "context"),
        ("ORIGIN", "context"),
        ("CALLDATALOAD", "buffer_bytes"),
        ("KECCAK256", "hash_out"),
        ("BALANCE", "stack"),
        ("MLOAD", "stack"),
        ("ADD", "x + y = z: carry 0"),
    ],
)
def test_wrong_results(name: str, objects: str) -> None:
    """An instruction pushes another value, which is popped."""
    assert objects in caught(Lie(lambda trace: say(trace, step_of(trace, name), 12345)))


def test_a_wrong_balance() -> None:
    """BALANCE pushes what it says it has found."""

    def richer(rows: Any) -> None:
        rows.result[0] = rows.token.balance[0] = words_from_ints([12345])[0]

    lie = Lie(lambda trace: say(trace, step_of(trace, "BALANCE"), 12345), tables={"account_query": richer})
    assert "account" in caught(lie)


def test_a_wrong_word_of_memory() -> None:
    """MLOAD pushes what it says it has found."""

    def other(rows: Any) -> None:
        rows.word[0] = words_from_ints([12345])[0]

    lie = Lie(lambda trace: say(trace, step_of(trace, "MLOAD"), 12345), tables={"load_aligned": other})
    assert caught(lie) == {"memory"}


def test_other_surroundings() -> None:
    """The executor has seen another time than the block has."""
    right = honest()[0].blocks.timestamp.copy()

    def present(trace: ExecutionTrace) -> None:
        trace.blocks.timestamp[:] = right

    assert "context" in caught(Lie(present), world(timestamp=1234))


# State.


def slot_rows(view: StateView, operation: int) -> Any:
    return np.flatnonzero(view.slots.operation == operation)


def skip_write(execution: Execution, view: StateView) -> None:
    """The second write to slot 1 of the first transaction is not made: who comes later finds the first one's value."""
    steps = np.flatnonzero(execution.opcode == OPCODES["SSTORE"])
    first = view.storage_instruction(steps[:1])
    same = np.flatnonzero((view._storage.leaf == first.leaf) & (view._storage.operation == 0))
    view._storage.value[same[2:]] = first.value_after
    row = np.flatnonzero((view.slots.leaf == first.leaf) & (view.slots.operation == 0))
    view.slots.last[row] = view.slots.result[row] = first.value_after


def test_a_skipped_write() -> None:
    assert "storage" in caught(Lie(events=skip_write))


def test_a_skipped_write_that_pops_another_value() -> None:
    """SSTORE writes what it says it has taken from the stack: what was there before."""

    def same(rows: Any) -> None:
        rows.new[1] = rows.value[1]

    assert "stack" in caught(Lie(events=skip_write, tables={"sstore": same}))


def test_a_stale_read() -> None:
    """SLOAD takes the token from before the last write."""

    def stale(rows: Any) -> None:
        rows.value[0] = words_from_ints([5])[0]
        rows.order.before[0] -= 3

    found = caught(Lie(tables={"sload": stale}))
    assert {"storage", "stack"} <= found


def test_a_read_of_the_future() -> None:
    """Two reads exchange tokens: the time of the one taken is not earlier."""

    def future(rows: Any) -> None:
        rows.order.before[0] = rows.time[0]

    assert "range16" in caught(Lie(tables={"sload": future}))


def test_what_a_reverted_transaction_wrote_stays() -> None:
    """The slot's row takes the last token of the world that fails for that of its own."""

    def stays(execution: Execution, view: StateView) -> None:
        undone = view.storage_undo
        row = int(np.flatnonzero((undone.operation == REVERTS) & (undone.value != undone.last).any(axis=1))[0])
        slot = int(np.flatnonzero((view.slots.leaf == undone.leaf[row]) & (view.slots.operation == REVERTS))[0])
        view.slots.last[slot] = view.slots.result[slot] = undone.last[row]

    assert "storage" in caught(Lie(events=stays))


def test_a_reverted_transaction_succeeds() -> None:
    """The status is told as a success everywhere but in the frame's halt."""

    def succeed(trace: ExecutionTrace) -> None:
        trace.transactions.status[REVERTS] = 1

    assert "result" in caught(Lie(succeed))

    def throughout(trace: ExecutionTrace) -> None:
        succeed(trace)
        frame = trace.transactions.first_frame[REVERTS]
        trace.frames.outcome[frame], trace.frames.reverted[frame] = Outcome.SUCCESS, 0
        trace.logs.reverted[:] = 0

    # The halt says how the frame has ended, whatever the trace claims: one that succeeds has no world of its own.
    assert {"world", "result"} <= caught(Lie(throughout))


def test_a_successful_transaction_fails() -> None:
    def fail(trace: ExecutionTrace) -> None:
        trace.transactions.status[ASKS] = 0
        frame = trace.transactions.first_frame[ASKS]
        trace.frames.outcome[frame], trace.frames.reverted[frame] = Outcome.REVERT, 1
        trace.logs.reverted[trace.logs.transaction == ASKS] = 1

    assert {"world", "failure", "result"} <= caught(Lie(fail))


def test_a_forged_balance() -> None:
    """The recipient of a transfer gets one wei more."""

    def more(execution: Execution, view: StateView) -> None:
        row = int(np.flatnonzero(view.accounts.scope == 0)[0])
        view.accounts.balance_after[row, 0] += 1

    assert {"account"} <= caught(Lie(events=more))

    def paid(rows: Any) -> None:
        rows.recipient_begun.after[TRANSFERS, 0] += 1

    assert "recipient at begin: limb 0" in caught(Lie(tables={"transaction": paid}))


@pytest.mark.parametrize("what", ["balance", "slot"])
def test_a_forged_pre_state(what: str) -> None:
    """The executor starts from another state."""
    if what == "slot":
        assert caught(Lie(), world(reader_storage="0x7")) == {"access_in"}
    else:

        def richer(trace: ExecutionTrace) -> None:
            own = (trace.keys.kind == StateKind.BALANCE) & (trace.keys.first[:, 0] == 50)
            key = int(np.flatnonzero(own)[0])
            trace.keys.first[key, 0] += 1

        assert "access_in" in caught(Lie(richer))


def test_a_replayed_transaction() -> None:
    """The last call of the same sender takes the place of its first one."""

    def replay(rows: Any) -> None:
        operation, time = rows.operation[WRITES_AGAIN], rows.time[WRITES_AGAIN]
        rows._matrix[WRITES_AGAIN] = rows._matrix[WRITES]
        rows.operation[WRITES_AGAIN], rows.time[WRITES_AGAIN] = operation, time

    assert {"chain", "account"} <= caught(Lie(tables={"transaction": replay}))


def test_a_skipped_nonce() -> None:
    def skip(rows: Any) -> None:
        rows.nonce_after[0] = rows.nonce[0]

    assert "nonce + 1: limb 0" in caught(Lie(tables={"transaction": skip}))


def test_a_transaction_is_left_out() -> None:
    def leave_out(trace: ExecutionTrace) -> None:
        trace.blocks.end_transaction[0] -= 1

    assert {"operations_out", "end_operation"} <= caught(Lie(leave_out))


def test_an_unreported_write() -> None:
    """An account changes, and no write says so."""

    def silent(rows: Any) -> None:
        row = int(np.flatnonzero(rows.write.emits)[-1])
        for name in ("emits", "count", "writes", "item", "writes_after"):
            getattr(rows.write, name)[row] = 0

    found = caught(Lie(tables={"account": silent}))
    assert {"a new balance is written[0]", "writes"} <= found


def test_a_write_reported_twice() -> None:
    """A padding row repeats a write, and the chain goes through it."""

    def twice(rows: Any) -> None:
        row = int(np.flatnonzero(rows.write.emits)[-1])
        padding = int(rows.real.sum())
        assert padding < len(rows.real)
        rows._matrix[padding] = rows._matrix[row]
        rows.write.count[padding] += 1
        rows.write.writes[padding] = rows.write.writes_after[row]

    assert {"storage_state", "storage"} <= caught(Lie(tables={"storage": twice}))

    def from_padding(rows: Any) -> None:
        twice(rows)
        rows.real[int(rows.real.sum()) - 1] = 0

    assert "padding does not write" in caught(Lie(tables={"storage": from_padding}))


# Receipts.


def test_a_dropped_log() -> None:
    def drop(trace: ExecutionTrace) -> None:
        trace.logs.reverted[np.flatnonzero(trace.logs.reverted == 0)[0]] = 1

    assert "receipts" in caught(Lie(drop))

    def unsaid(rows: Any) -> None:
        undone(rows, 0)
        for name in ("states", "receipts", "receipts_after"):
            getattr(rows, name)[0] = 0
        rows.order.before[0] = rows.order.low[0] = 0

    assert "frame" in caught(Lie(drop, tables={"log": unsaid}))


def test_reordered_logs() -> None:
    """The second log of a transaction takes the token first."""

    def reorder(trace: ExecutionTrace) -> None:
        kept = np.flatnonzero(trace.logs.reverted == 0)[:2]
        for name in ("topic0", "data_start"):
            column = getattr(trace.logs, name)
            column[kept] = column[kept[::-1]]

    assert caught(Lie(reorder)) == {"poseidon2"}

    times: list[int] = []

    def exchange(rows: Any) -> None:
        times.extend(rows.time[:2].tolist())
        begin = int(rows.order.before[0])
        for name in ("states", "receipts", "receipts_after"):
            column = getattr(rows, name)
            column[:2] = column[[1, 0]]
        rows.order.before[:2] = times[1], begin
        rows.order.low[:2] = (times[0] - times[1] - 1) % MODULUS & 0xFFFF, (times[1] - begin - 1) & 0xFFFF

    def last(rows: Any) -> None:
        rows.logs_time[ASKS] = times[0]

    assert caught(Lie(reorder, tables={"log": exchange, "transaction": last})) == {"range16"}


# Gas.


def test_intrinsic_gas_underpaid() -> None:
    """The frame gets a gas more than the transaction has left for it."""

    def more(trace: ExecutionTrace) -> None:
        table = trace.transactions
        table.intrinsic_gas[WRITES] -= np.uint64(1)
        trace.frames.gas_given[table.first_frame[WRITES]] += np.uint64(1)
        trace.steps.gas_before[int(table.first_step[WRITES]) : int(table.end_step[WRITES])] += np.uint64(1)
        keep_gas(trace, WRITES, 1)

    found = caught(Lie(more))
    assert "message" in found


#: All instructions that the batch executes.
INSTRUCTIONS = (
    "CALLER", "ADDRESS", "COINBASE", "TIMESTAMP", "ORIGIN", "POP", "PUSH0", "PUSH1", "PUSH20", "CALLDATALOAD",
    "BALANCE", "MSTORE", "KECCAK256", "MLOAD", "ADD", "AND", "LOG1", "JUMP", "JUMPDEST", "JUMPI", "SLOAD", "SSTORE",
    "STOP", "REVERT",
)  # fmt: skip
#: Those whose lies are tried in the fast run.
FAST = ("ADD", "SLOAD", "LOG1")


every_instruction = pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.deep) for name in INSTRUCTIONS]
)


@every_instruction
def test_an_underpaid_instruction(name: str) -> None:
    """Every instruction costs a gas less, which stays with its frame to the end."""
    found = caught(Lie(lambda trace: spend_less(trace, step_of(trace, name))))
    assert found & {"exec", "halt"}


@every_instruction
@pytest.mark.parametrize("outcome", [Outcome.OUT_OF_GAS, Outcome.INVALID_INSTRUCTION, Outcome.STACK_UNDERFLOW])
def test_a_faked_failure(name: str, outcome: Outcome) -> None:
    """A step that succeeds is said to halt its frame."""
    assert caught(Lie(lambda trace: halt_at(trace, step_of(trace, name), outcome)))


def test_a_faked_lack_of_gas() -> None:
    """SLOAD says that it cannot pay."""

    def unpaid(rows: Any) -> None:
        rows.charge.fails[0] = 1
        gas, cost = int(rows.gas[0]), 100 if rows.warm[0] else 2100
        rows.charge.margin[0] = (cost - gas - 1) % MODULUS & 0xFFFF

    lie = Lie(lambda trace: halt_at(trace, step_of(trace, "SLOAD"), Outcome.OUT_OF_GAS), tables={"sload": unpaid})
    assert {"range16"} <= caught(lie)


def test_a_faked_lack_of_gas_where_there_is_much() -> None:
    """As before, with nearly 2^30 gas left."""
    building = Builder(gasLimit=1 << 30)
    building.alloc(CONTRACT, code="0x" + assemble("1 sload 2 sstore").hex(), storage={"0x1": "0x4"})
    building.block(call_contract(building, 0, CONTRACT, gas=(1 << 30) - 1), gasLimit=1 << 30)
    trace = building.provable().trace
    assert trace is not None

    def unpaid(rows: Any) -> None:
        rows.charge.fails[0] = 1
        rows.charge.margin[0] = (2100 - int(rows.gas[0]) - 1) % MODULUS & 0xFFFF

    lie = Lie(lambda trace: halt_at(trace, 1, Outcome.OUT_OF_GAS), tables={"sload": unpaid})
    honest_segment = tell(trace, Lie())
    assert not objections(honest_segment, honest_segment)
    assert objections(honest_segment, tell(trace, lie)) == {"range16"}


def test_cold_storage_is_charged_as_warm() -> None:
    def cheap(rows: Any) -> None:
        rows.warm[0] = 1
        rows.cost[0] -= 2100
        rows.charge.margin[0] = (int(rows.gas[0]) - int(rows.cost[0])) & 0xFFFF

    lie = Lie(lambda trace: spend_less(trace, step_of(trace, "SSTORE"), 2100), tables={"sstore": cheap})
    assert caught(lie) == {"storage"}


def test_a_cold_account_is_charged_as_warm() -> None:
    def cheap(rows: Any) -> None:
        rows.coldness.cold[0] = 0
        rows.coldness.touched.zero[0], rows.coldness.touched.inverse[0] = 1, 0
        rows.charge.margin[0] = (int(rows.gas[0]) - 100) & 0xFFFF

    lie = Lie(lambda trace: spend_less(trace, step_of(trace, "BALANCE"), 2500), tables={"account_query": cheap})
    assert "touched: value * zero = 0" in caught(lie)

    def mark(rows: Any) -> None:
        cheap(rows)
        rows.token.warm[0] = rows.of_frame.operation[0] + 1

    lie = Lie(lambda trace: spend_less(trace, step_of(trace, "BALANCE"), 2500), tables={"account_query": mark})
    assert caught(lie) == {"account"}


def test_an_extra_refund() -> None:
    def refund(execution: Execution, view: StateView) -> None:
        view._refund_total[WRITES] += 7

    def used(trace: ExecutionTrace) -> None:
        trace.transactions.gas_used[WRITES] -= np.uint64(7)

    assert caught(Lie(used, refund)) == {"substate"}


def test_a_cheaper_price() -> None:
    """The sender pays a wei per gas less than it has signed."""

    def cheaper(trace: ExecutionTrace) -> None:
        trace.transactions.gas_price[TRANSFERS, 0] -= 1

    assert caught(Lie(cheaper)) & {"the max fee is paid: limb 0"}


def test_fees_of_another_coinbase() -> None:
    def elsewhere(rows: Any) -> None:
        rows.coinbase[0] = rows.sender[0]

    assert {"block", "account"} <= caught(Lie(tables={"transaction": elsewhere}))


def test_a_larger_withdrawal() -> None:
    def more(trace: ExecutionTrace) -> None:
        trace.withdrawals.amount[0] += np.uint64(1)

    assert caught(Lie(more)) == {"operations_out"}


# The stack.


def test_a_word_of_another_frame_s_stack() -> None:
    """POP takes a word that lies on the stack of another frame."""

    def elsewhere(rows: Any) -> None:
        rows.frame[0] += 1

    assert {"exec", "stack"} <= caught(Lie(tables={"pop": elsewhere}))


def test_a_word_from_deeper_down() -> None:
    """ADD takes its first operand twice."""

    def twice(trace: ExecutionTrace) -> None:
        step = step_of(trace, "ADD")
        start = int(trace.operands_start[step])
        trace.operands.word[start + 1] = trace.operands.word[start]
        say(trace, step, 8)

    assert caught(Lie(twice)) == {"stack"}


# Tables.


def without_table(name: str) -> set[str]:
    """Who objects if a table of the honest segment is absent."""
    segment = honest()[1]
    tables = segment_circuit(CANCUN).tables
    traces = [None if t.name == name else trace for t, trace in zip(tables, segment.traces, strict=True)]
    if name == "segment":
        return places(check_circuit(segment_circuit(CANCUN), traces, [[] for _ in tables], algebra=NATIVE))
    return places(check(replace(segment, traces=traces)))


@pytest.mark.parametrize("name", ["segment", "transaction", "frame", "storage", "access_node", "sload"])
def test_an_absent_table(name: str) -> None:
    assert without_table(name)


@pytest.mark.deep
def test_every_absent_table() -> None:
    tables = segment_circuit(CANCUN).tables
    present = [t.name for t, trace in zip(tables, honest()[1].traces, strict=True) if trace is not None]
    assert [name for name in present if not without_table(name)] == []


@pytest.mark.parametrize("name", ["frame", "block", "code", "calldata"])
def test_two_rows_with_the_same_id(name: str) -> None:
    """The last row repeats the first one, id included."""

    def repeat(rows: Any) -> None:
        rows._matrix[-1] = rows._matrix[0]

    segment = honest()[1]
    place = segment_circuit(CANCUN).names.index(name)
    assert segment.traces[place] is not None
    if len(segment.traces[place]) > 1:  # type: ignore[arg-type]
        assert caught(Lie(tables={name: repeat}))
