"""Dishonest executors between frames: whoever lies about calls and creations is told by the whole circuit.

As in `test_dishonest`, but each lie has a small batch of its own, whose honest execution has the structure that the lie
is about. Everything else follows the lie as far as it can: a lie told in the trace is repeated in all tables, one told
in the replay of the state in all that is filled from it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.batch.execution import Execution
from circuits.batch.leaves import LeafKind
from circuits.limbs import addresses_from_bytes, words_from_ints
from circuits.segment import FilledSegment
from circuits.state.state_view import StateView
from executor.limbs import addresses_to_bytes, words_to_ints
from executor.opcodes import OPCODES
from executor.provable import check_provable
from executor.state_keys import StateKind
from executor.trace import ExecutionTrace, FrameKind, Outcome
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, OTHER, call_contract, creating, initcode
from scripts.forging.segments import Lie, check, objections, present_calldata, present_code, tell
from scripts.workloads.assembler import assemble
from tests.circuits.test_log import undone

COLD = bytes.fromhex("c01d" * 10)
FRESH = Builder.FRESH


def call(instruction: str, to: bytes, *, value: str = "", input_size: int = 0, gas: str = "gas") -> str:
    """A call with no room for what is returned; its flag is on the stack."""
    return f"0 0 {input_size} 0 {value} 0x{to.hex()} {gas} {instruction} "


# The batches. Each is one transaction to CONTRACT, or two.

#: Does everything that is undone, in the account that calls it, and reverts with a word.
WRITES_AND_REVERTS = (
    "7 1 sstore 9 1 tstore 0 8 sstore 0x5151 0 0 log1 "
    + call("call", FRESH, value="3")
    + f"pop 0x{COLD.hex()} balance pop 0 0 0 create pop 0xab 0 mstore 32 0 revert"
)
#: Goes on behind it, with its flag and with what it returned.
UNDOES = (
    call("delegatecall", OTHER)
    + "2 sstore returndatasize 0 0 returndatacopy 0 mload 3 sstore 1 sload pop 1 tload pop stop"
)
#: Asks a contract for the successors of two words, one after the other, and stores both.
TWO_CALLS = (
    "5 0 mstore 32 64 32 0 0 " + f"0x{OTHER.hex()} gas call pop "
    "8 0 mstore 32 96 32 0 0 " + f"0x{OTHER.hex()} gas call pop "
    "64 mload 1 sstore 96 mload 2 sstore returndatasize 0 32 returndatacopy 32 mload 3 sstore stop"
)
SUCCESSOR = "0 calldataload 1 add 0 mstore 32 0 return"
#: Calls itself without calldata, and then writes: in a static frame that is forbidden.
STATIC = "calldatasize @outer jumpi 5 1 sstore stop outer: 1 sload pop 0 0 0 0 address gas {} 2 sstore stop"
#: Destroys what it has created, and looks for it in the next transaction.
VICTIM = assemble("1 1 sstore caller selfdestruct")
DESTROYS = (
    "calldatasize @look jumpi "
    + creating("create2", initcode(VICTIM), "7", value=2)
    + "dup1 9 sstore 0 0 0 0 0 dup6 gas call pop stop look: 9 sload extcodesize pop 9 sload balance pop stop"
)
#: Calls itself as often as the calldata says.
RECURSES = "0 calldataload dup1 iszero @end jumpi 1 swap1 sub 0 mstore 0 0 32 0 0 address gas call pop end: stop"
#: Creates a contract of two bytes of code, and calls it.
RUNTIME, OTHER_RUNTIME = assemble("gas"), assemble("pc")
CREATES = creating("create", initcode(RUNTIME)) + "dup1 1 sstore 0 0 0 0 0 dup6 gas call 2 sstore stop"
#: Initcode that jumps into the data of a push; and as it would run if there were a place to jump to.
JUMPS = assemble("4 jump 0x5b stop")
JUMPED = JUMPS[:3] + bytes([OPCODES["STOP"]]) + JUMPS[4:]
assert JUMPS[4] == OPCODES["JUMPDEST"]


def trace_of(building: Builder) -> ExecutionTrace:
    trace: ExecutionTrace = check_provable(building.execute())
    return trace


def building_of(code: str | bytes, other: str = "stop", balance: int = 50) -> Builder:
    building = Builder()
    ran = assemble(code) if isinstance(code, str) else code
    storage = {"0x1": "0x3", "0x8": "0x5"}
    building.alloc(CONTRACT, nonce=1, code="0x" + ran.hex(), balance=balance, storage=storage)
    building.alloc(OTHER, nonce=1, code="0x" + assemble(other).hex(), storage={"0x1": "0x4"})
    building.alloc(COLD, balance=1)
    return building


def one(code: str | bytes, other: str = "stop", balance: int = 50, **fields: Any) -> ExecutionTrace:
    """The trace of one transaction."""
    building = building_of(code, other, balance)
    return trace_of(building.block(call_contract(building, **fields)))


def word(value: int) -> str:
    return f"0x{value:064x}"


def destroys() -> ExecutionTrace:
    building = building_of(DESTROYS)
    building.block(call_contract(building), call_contract(building, 1, data="0x01"))
    return trace_of(building)


def delegates() -> ExecutionTrace:
    """The second transaction calls the contract itself whose code the first one runs."""
    building = building_of(call("delegatecall", OTHER) + "1 sstore stop", "caller 2 sstore callvalue 3 sstore")
    building.block(call_contract(building, value=5), call_contract(building, 1, OTHER))
    return trace_of(building)


def creation(code: bytes) -> ExecutionTrace:
    building = Builder()
    building.block(building.transfer(0, value=0, data="0x" + code.hex(), to=b"", gas=200_000))
    return trace_of(building)


BATCHES: dict[str, Callable[[], ExecutionTrace]] = {
    "undoes": lambda: one(UNDOES, WRITES_AND_REVERTS),
    "two calls": lambda: one(TWO_CALLS, SUCCESSOR),
    "gives": lambda: one(call("call", OTHER, value="0") + "1 sstore stop", "1 2 add pop stop"),
    "delegates": delegates,
    "static": lambda: one(STATIC.format("staticcall"), data="0x01"),
    "creates": lambda: one(CREATES),
    "destroys": destroys,
    "recurses": lambda: one(RECURSES, data=word(3)),
    "jumps": lambda: creation(JUMPS),
    "poor": lambda: one(call("call", FRESH, value="9") + "1 sstore stop", balance=9),
}


@cache
def honest(name: str) -> tuple[ExecutionTrace, FilledSegment]:
    """A batch's honest trace and segment."""
    trace = BATCHES[name]()
    return trace, tell(trace, Lie())


def caught(name: str, lie: Lie, trace: ExecutionTrace | None = None) -> set[str]:
    """Who objects to this lie; `trace`: of the liar's own executor, if not the honest one."""
    return objections(honest(name)[1], tell(honest(name)[0] if trace is None else trace, lie))


def frames_of(trace: ExecutionTrace) -> list[tuple[FrameKind, Outcome, int]]:
    """Kind, outcome and depth of each frame."""
    frames = trace.frames
    columns = (frames.kind.tolist(), frames.outcome.tolist(), frames.depth.tolist())
    return [(FrameKind(kind), Outcome(outcome), depth) for kind, outcome, depth in zip(*columns, strict=True)]


def step_of(trace: ExecutionTrace, name: str, number: int = 0) -> int:
    """The step of the trace that is an instruction's so-and-so-many-th."""
    return int(np.flatnonzero(trace.steps.opcode == OPCODES[name])[number])


def own_steps(trace: ExecutionTrace, step: int) -> list[int]:
    """The steps of the same frame behind this one."""
    steps: list[int] = (step + 1 + np.flatnonzero(trace.steps.frame[step + 1 :] == trace.steps.frame[step])).tolist()
    return steps


def say(trace: ExecutionTrace, step: int, value: int) -> None:
    """Say that a step pushes another value, which the step takes that has taken the right one."""
    result = int(trace.results_start[step])
    before, after = trace.results.word[result].copy(), words_from_ints([value])[0]
    trace.results.word[result] = after
    for following in own_steps(trace, step):
        first = int(trace.operands_start[following])
        for place in range(first, first + int(trace.steps.operands[following])):
            if (trace.operands.word[place] == before).all():
                trace.operands.word[place] = after
                return
    raise AssertionError("nothing takes it")


def pushed(trace: ExecutionTrace, step: int) -> int:
    """What a step pushes."""
    (value,) = words_to_ints(trace.results.word[int(trace.results_start[step])][None])
    return value


@pytest.mark.parametrize("name", BATCHES)
def test_honest(name: str) -> None:
    assert check(honest(name)[1]) == []


def test_the_batches_have_the_structure_that_the_lies_are_about() -> None:
    success, call_, create2 = Outcome.SUCCESS, FrameKind.CALL, FrameKind.CREATE2
    message = (FrameKind.MESSAGE, success, 0)
    wanted: dict[str, list[tuple[FrameKind, Outcome, int]]] = {
        "undoes": [
            message,
            (FrameKind.DELEGATECALL, Outcome.REVERT, 1),
            (call_, success, 2),
            (FrameKind.CREATE, success, 2),
        ],
        "two calls": [message, (call_, success, 1), (call_, success, 1)],
        "gives": [message, (call_, success, 1)],
        "delegates": [message, (FrameKind.DELEGATECALL, success, 1), message],
        "static": [message, (FrameKind.STATICCALL, Outcome.STATIC_VIOLATION, 1)],
        "creates": [message, (FrameKind.CREATE, success, 1), (call_, success, 1)],
        "destroys": [message, (create2, success, 1), (call_, success, 1), message],
        "recurses": [message, *((call_, success, depth) for depth in (1, 2, 3))],
        "jumps": [(FrameKind.CREATION, Outcome.INVALID_JUMP, 0)],
        "poor": [message, (call_, success, 1)],
    }
    assert {name: frames_of(honest(name)[0]) for name in BATCHES} == wanted


# What a reverted child has done stays.

CHILD = 2  # id of the frame that reverts


def of_account(undone_rows: Any, view: StateView, address: bytes) -> tuple[int, int]:
    """Places of an account: among what is undone, and among the accounts of the block."""
    keys = view._keys
    (leaf,) = keys.index(LeafKind.ACCOUNT, addresses_from_bytes([address])).tolist()
    (row,) = np.flatnonzero((undone_rows.leaf == leaf) & (undone_rows.frame == CHILD)).tolist()
    (account,) = np.flatnonzero(view.accounts.leaf == leaf).tolist()
    return row, account


def keep_slot(kind: LeafKind) -> Callable[[Execution, StateView], None]:
    def keep(execution: Execution, view: StateView) -> None:
        rows = view.storage_undo
        changed = (rows.value != rows.last).any(axis=1) & (view._keys.kind[rows.leaf] == kind)
        row = int(np.flatnonzero(changed & (rows.frame == CHILD))[0])
        slot = int(np.flatnonzero(view.slots.leaf == rows.leaf[row])[0])
        view.slots.last[slot] = rows.last[row]
        if kind == LeafKind.STORAGE:
            view.slots.result[slot] = rows.last[row]

    return keep


def keep_account(address: bytes, field: str) -> Callable[[Execution, StateView], None]:
    def keep(execution: Execution, view: StateView) -> None:
        rows = view.account_undo
        row, account = of_account(rows, view, address)
        kept = getattr(rows, f"last_{field}")[row]
        assert np.any(kept != getattr(rows, field)[row])
        target = getattr(view.accounts, f"last_{field}" if field in ("warm", "life") else f"{field}_after")
        target[account] = kept

    return keep


KEPT: dict[str, tuple[Callable[[Execution, StateView], None], str]] = {
    "storage": (keep_slot(LeafKind.STORAGE), "storage"),
    "transient storage": (keep_slot(LeafKind.TRANSIENT), "storage"),
    "a balance": (keep_account(FRESH, "balance"), "account"),
    "the sender's balance": (keep_account(CONTRACT, "balance"), "account"),
    "a nonce": (keep_account(CONTRACT, "nonce"), "account"),
    "a warm mark": (keep_account(COLD, "warm"), "account"),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_a_reverted_child_did_is_kept(name: str) -> None:
    keep, objects = KEPT[name]
    assert objects in caught("undoes", Lie(events=keep))


@pytest.mark.parametrize(
    ("table", "objects"), [("sstore", {"frame", "storage"}), ("tstore", {"frame", "storage"}), ("log", {"frame"})]
)
def test_a_step_of_a_reverted_child_happens_around_it(table: str, objects: set[str]) -> None:
    """An instruction says that its frame does not fail, so that what it does is not undone."""

    def outside(rows: Any) -> None:
        row = int(np.flatnonzero(rows.frame[: int(rows.real.sum())] == CHILD)[0])
        if table == "log":
            undone(rows, row)
            rows.persists.zero[row], rows.persists.inverse[row] = 1, 0
        rows.of_frame.world[row] = 0

    assert objects <= caught("undoes", Lie(tables={table: outside}))


def test_a_kept_log() -> None:
    def keep(trace: ExecutionTrace) -> None:
        assert trace.logs.reverted.tolist() == [1]
        trace.logs.reverted[0] = 0

    assert "receipts" in caught("undoes", Lie(keep))


def test_a_kept_refund() -> None:
    """The slot that the child has cleared is refunded."""

    def used(trace: ExecutionTrace) -> None:
        assert trace.transactions.gas_refunded.tolist() == [0]
        trace.transactions.gas_used[0] -= np.uint64(4_800)

    def refund(execution: Execution, view: StateView) -> None:
        assert view.substate_undo.last_refund.tolist() == [4_800]
        view._refund_total[0] += 4_800

    assert caught("undoes", Lie(used, refund)) == {"substate"}


def test_more_is_refunded_than_was_earned() -> None:
    """The child's undo hands on a larger counter than there was before it."""

    def refund(execution: Execution, view: StateView) -> None:
        view.substate_undo.refund[0] += 4_800
        view._refund_total[0] += 4_800

    def used(trace: ExecutionTrace) -> None:
        trace.transactions.gas_used[0] -= np.uint64(4_800)

    assert caught("undoes", Lie(used, refund)) == {"substate"}


@pytest.mark.parametrize("flag", [0, 1])
def test_a_reverted_child_succeeds(flag: int) -> None:
    """All that it did is told as kept, with the flag that its caller gets, or with that of a success."""

    def succeed(trace: ExecutionTrace) -> None:
        frames = trace.frames
        frames.outcome[CHILD - 1] = Outcome.SUCCESS
        frames.reverted[:] = 0
        trace.logs.reverted[:] = 0
        if flag:
            say(trace, step_of(trace, "DELEGATECALL"), 1)

    # What the caller reads afterwards is what was kept.
    def reads(trace: ExecutionTrace) -> None:
        succeed(trace)
        say(trace, step_of(trace, "SLOAD"), 7)
        say(trace, step_of(trace, "TLOAD"), 9)

    assert caught("undoes", Lie(reads)) & {"halt", "result"}


def test_a_child_that_succeeds_is_undone() -> None:
    def fail(trace: ExecutionTrace) -> None:
        trace.frames.outcome[2], trace.frames.reverted[2] = Outcome.REVERT, 1
        say(trace, step_of(trace, "CALL"), 0)

    assert caught("recurses", Lie(fail)) & {"halt", "result"}


# Gas.


def give_more(trace: ExecutionTrace, frame: int, gas: int) -> None:
    """A frame is given more gas, which it gives back."""
    frames, steps = trace.frames, trace.steps
    for name in ("gas_given", "gas_at_end", "gas_left"):
        getattr(frames, name)[frame] += np.uint64(gas)
    own = steps.frame == frame
    steps.gas_before[own] += np.uint64(gas)
    steps.gas_after[own] += np.uint64(gas)


def test_more_than_63_64ths_of_the_gas() -> None:
    assert "call_gas" in caught("gives", Lie(lambda trace: give_more(trace, 1, 1)))


def test_more_gas_than_the_call_had() -> None:
    """The last frame has more than all of it, but gives back what it got."""

    def much(trace: ExecutionTrace) -> None:
        give_more(trace, 1, 100_000)

    assert {"call_gas"} <= caught("gives", Lie(much))


def test_a_frame_gives_back_more_than_it_has() -> None:
    def more(trace: ExecutionTrace) -> None:
        trace.frames.gas_at_end[1] += np.uint64(50)
        trace.frames.gas_left[1] += np.uint64(50)
        trace.steps.gas_before[own_steps(trace, step_of(trace, "CALL"))[0] :] += np.uint64(50)
        trace.frames.gas_at_end[0] += np.uint64(50)
        trace.frames.gas_left[0] += np.uint64(50)
        trace.transactions.gas_used[0] -= np.uint64(50)

    assert caught("gives", Lie(more)) & {"halt", "result"}


# Calldata and return data.


@pytest.mark.parametrize("name", ["frame_return_start", "frame_return_size"])
def test_another_range_is_returned(name: str) -> None:
    """The first call returns other bytes of the callee's memory, in all tables."""

    def shift(execution: Execution, view: StateView) -> None:
        getattr(execution, name)[1] ^= 32

    assert caught("two calls", Lie(events=shift)) & {"halt", "result", "memory_bytes", "frame"}


def test_a_wrong_result_of_a_call() -> None:
    """What the call has written to memory is another word, which is stored."""

    def other(trace: ExecutionTrace) -> None:
        assert pushed(trace, step_of(trace, "MLOAD")) == 6
        say(trace, step_of(trace, "MLOAD"), 66)

    assert caught("two calls", Lie(other)) == {"stack"}

    def loaded(rows: Any) -> None:
        row = int(np.flatnonzero((rows.word == words_from_ints([6])[0]).all(axis=1))[0])
        rows.word[row] = words_from_ints([66])[0]

    assert caught("two calls", Lie(other, tables={"load_aligned": loaded})) == {"memory"}


def test_return_data_of_another_call() -> None:
    """RETURNDATACOPY reads what the first call returned, instead of the second one's."""

    def earlier(rows: Any) -> None:
        assert rows.state.source[0] == 3
        rows.state.source[0] = 2

    assert "frame_state" in caught("two calls", Lie(tables={"returndatacopy": earlier}))


def test_calldata_of_another_call() -> None:
    """The second call reads the calldata of the first one."""

    def stale(trace: ExecutionTrace) -> None:
        first, second = (step_of(trace, "CALLDATALOAD", number) for number in (0, 1))
        assert (pushed(trace, first), pushed(trace, second)) == (5, 8)
        say(trace, step_of(trace, "ADD", 1), 6)
        say(trace, second, 5)

    assert "memory_bytes" in caught("two calls", Lie(stale))


# Who calls, in what frame.


@pytest.mark.parametrize(("instruction", "value"), [("CALLER", int(CONTRACT.hex(), 16)), ("CALLVALUE", 0)])
@pytest.mark.parametrize("throughout", [False, True])
def test_a_delegate_call_has_another_caller_or_value(instruction: str, value: int, throughout: bool) -> None:
    """Not those of its caller's frame, but the caller itself, or nothing; `throughout`: its frame says so, too."""

    def present(trace: ExecutionTrace) -> None:
        say(trace, step_of(trace, instruction), value)
        if throughout and instruction == "CALLER":
            trace.frames.caller[1] = trace.frames.address[0]
        elif throughout:
            trace.frames.value[1] = 0

    assert ("message" if throughout else "context") in caught("delegates", Lie(present))


def test_a_delegate_call_works_on_another_account() -> None:
    def elsewhere(trace: ExecutionTrace) -> None:
        trace.frames.address[1] = trace.frames.code_address[1]

    assert "message" in caught("delegates", Lie(elsewhere))


def static_as_delegate(trace: ExecutionTrace) -> None:
    """Say of a DELEGATECALL of the contract itself, and of its frame, that it was a STATICCALL."""
    present_code(trace, assemble(STATIC.format("delegatecall")), assemble(STATIC.format("staticcall")))
    trace.steps.opcode[step_of(trace, "DELEGATECALL")] = OPCODES["STATICCALL"]
    frames = trace.frames
    frames.kind[1], frames.is_static[1] = FrameKind.STATICCALL, 1
    frames.caller[1], frames.value[1] = frames.address[0], 0


def test_a_write_in_a_static_frame() -> None:
    """The liar's frame has written; it is told as a static one, in all tables but that of the write."""
    ran = one(STATIC.format("delegatecall"), data="0x01")
    assert frames_of(ran)[1][:2] == (FrameKind.DELEGATECALL, Outcome.SUCCESS)
    assert caught("static", Lie(static_as_delegate), ran) == {"frame"}

    def not_static(rows: Any) -> None:
        rows.static[1] = 0

    found = caught("static", Lie(static_as_delegate, tables={"frame": not_static}), ran)
    assert "message" in found


# Creations and destructions.


def test_another_code_is_deployed() -> None:
    """The created account gets the code of a known contract, instead of what its initcode returned."""
    trace = honest("creates")[0]
    address = addresses_to_bytes(trace.frames.address[1:2])[0]
    own = [key.kind == StateKind.CODE_HASH and key.address == address for key in trace.state_keys()]
    (created,) = np.flatnonzero(own).tolist()

    def deploy(execution: Execution, view: StateView) -> None:
        other = trace.codes.hash[int(trace.frames.code[0])]
        assert (other != trace.keys.last[created]).any()
        (row,) = np.flatnonzero(view.accounts.changes_code).tolist()
        view.accounts.code_hash_after[row] = other

    assert "account" in caught("creates", Lie(events=deploy))


def test_another_code_than_returned_runs() -> None:
    """The liar's initcode has returned another code; it is told as the one that stands there."""
    ran = one(CREATES.replace(initcode(RUNTIME).hex(), initcode(OTHER_RUNTIME).hex()))

    def present(trace: ExecutionTrace) -> None:
        stands, other = (
            assemble(CREATES.replace(initcode(RUNTIME).hex(), initcode(c).hex())) for c in (RUNTIME, OTHER_RUNTIME)
        )
        present_code(trace, other, stands)

    assert caught("creates", Lie(present), ran) & {"push", "instruction"}

    def initcode_too(trace: ExecutionTrace) -> None:
        present(trace)
        present_code(trace, initcode(OTHER_RUNTIME), initcode(RUNTIME))

    assert caught("creates", Lie(initcode_too), ran)


def test_initcode_jumps_into_the_data_of_a_push() -> None:
    ran = creation(JUMPED)
    assert frames_of(ran) == [(FrameKind.CREATION, Outcome.SUCCESS, 0)]

    def present(trace: ExecutionTrace) -> None:
        present_code(trace, JUMPED, JUMPS)
        present_calldata(trace, 0, JUMPS)

    assert "instruction" in caught("jumps", Lie(present), ran)


def test_a_destroyed_account_is_there_again() -> None:
    """It keeps its code, its nonce and a balance at the end of the transaction that has created and destroyed it."""

    def resurrect(execution: Execution, view: StateView) -> None:
        access, _ = view.deletions()
        assert len(access) == 1
        place = int(view._deletions.access[0])
        for name in ("balance", "nonce", "code_hash"):
            getattr(view._accounts, f"{name}_after")[place] = getattr(view._accounts, name)[place]
        (row,) = np.flatnonzero(view.accounts.leaf == access.leaf[0]).tolist()
        view.accounts.code_hash_after[row] = access.code_hash[0]
        view.accounts.nonce_after[row] = access.nonce[0]

    assert "account" in caught("destroys", Lie(events=resurrect))


def test_a_destroyed_account_is_a_survivor() -> None:
    """Nothing is deleted: the transaction says that it has destroyed nothing."""

    def nothing(execution: Execution, view: StateView) -> None:
        view._destructions_total[0] = 0

    assert {"substate", "deletion"} & caught("destroys", Lie(events=nothing))


def test_a_destroyed_account_is_asked_for_its_code() -> None:
    def answer(trace: ExecutionTrace) -> None:
        asked = step_of(trace, "EXTCODESIZE")
        assert pushed(trace, asked) == 0
        say(trace, asked, len(VICTIM))

    assert "stack" in caught("destroys", Lie(answer))


# The order of calls.


def exchange(rows: Any, first: int, second: int, *names: str) -> None:
    for name in names:
        column = getattr(rows, name)
        column[[first, second]] = column[[second, first]]


def test_two_calls_are_reordered() -> None:
    """The first call opens the frame of the second one, and the other way round."""

    def opened(rows: Any) -> None:
        assert rows.opened[:2].tolist() == [2, 3]
        exchange(rows, 0, 1, "opened")

    assert {"message", "result"} <= caught("two calls", Lie(tables={"call": opened}))

    def with_results(rows: Any) -> None:
        exchange(rows, 0, 1, "opened", "end", "return_start", "return_size")

    assert "message" in caught("two calls", Lie(tables={"call": with_results}))

    def begun(rows: Any) -> None:
        exchange(rows, 1, 2, "time", "end_time")

    found = caught("two calls", Lie(tables={"call": with_results, "frame": begun}))
    assert {"exec", "halt"} & found


def test_two_frames_open_each_other() -> None:
    """The outermost frame opens the innermost one; those in between have each other for a caller."""

    def around(rows: Any) -> None:
        assert rows.opened[:3].tolist() == [2, 3, 4]
        # Frame 1 opens 4; frame 2 opens 3, and frame 3 opens 2.
        rows.opened[[0, 2]] = rows.opened[[2, 0]]

    assert "message" in caught("recurses", Lie(tables={"call": around}))

    def told(rows: Any) -> None:
        # All that a frame is told by who opens it goes with it.
        exchange(rows, 1, 3, "time", "depth", "gas", "calldata_id", "outer")

    found = caught("recurses", Lie(tables={"call": around, "frame": told}))
    assert found & {"message", "exec", "call_gas", "result", "range16"}


@pytest.mark.parametrize("row", [1, 2])
def test_a_frame_that_nobody_opens(row: int) -> None:
    """A frame has a row twice: what it does is done once more, for nobody."""

    def twice(rows: Any) -> None:
        padding = int(rows.real.sum())
        target = padding if padding < len(rows.real) else len(rows.real) - 1
        rows._matrix[target] = rows._matrix[row]

    assert caught("two calls", Lie(tables={"frame": twice}))


def test_a_call_is_skipped() -> None:
    """The liar's account was too poor for the call; it is told to have what it has."""
    ran = one(call("call", FRESH, value="9") + "1 sstore stop", balance=8)
    assert len(ran.frames) == 1

    def present(trace: ExecutionTrace) -> None:
        own = [key.kind == StateKind.BALANCE and key.address == CONTRACT for key in trace.state_keys()]
        (key,) = np.flatnonzero(own).tolist()
        assert words_to_ints(trace.keys.first[key][None]) == [8]
        trace.keys.first[key] = trace.keys.last[key] = words_from_ints([9])[0]

    assert caught("poor", Lie(present), ran) == {"too poor"}
