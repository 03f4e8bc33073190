"""Execution traces of all kinds of batches: consistent with themselves, complete, and what is expected in detail."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rlp
from eth_utils.crypto import keccak
from trie.exceptions import MissingTrieNode

from executor.errors import BatchError
from executor.execute import ExecutedBatch, execute
from executor.fixtures import batch_from_fixture
from executor.inputs import read_batch
from executor.limbs import addresses_to_bytes, limbs_to_bytes, words_from_ints, words_to_ints
from executor.opcodes import NAMES, OPCODES
from executor.rebuild import rebuild_changes, rebuild_receipts, rebuild_state_roots
from executor.state_keys import StateKey, StateKind
from executor.trace import NONE, ExecutionTrace, FrameKind, HashPurpose, Mode, Outcome
from scripts.batches.chain import headers_before
from scripts.batches.programs import CONTRACT, OTHER, PROGRAMS, THIRD, call_contract
from tests.executor.consistency import check_trace

EXAMPLES = Path(__file__).parents[2] / "examples"
FIXTURES = Path(__file__).parent / "fixtures" / "blockchain_tests.json"
CASES = [
    name
    for name, case in json.loads(FIXTURES.read_text()).items()
    if case["network"] == "Cancun" and not any("expectException" in key for block in case["blocks"] for key in block)
]
HEADER_STATE_ROOT = 3


@cache
def program(name: str) -> ExecutedBatch:
    executed: ExecutedBatch = PROGRAMS[name]().execute()
    return executed


def trace_of(name: str) -> ExecutionTrace:
    trace = program(name).trace
    assert trace is not None
    return trace


def check_complete(executed: ExecutedBatch) -> None:
    """Receipts and state follow from the trace; the batch runs from its witness alone, and without a trace."""
    trace, witness = executed.trace, executed.witness
    assert trace is not None
    assert witness is not None
    check_trace(trace)
    assert rebuild_receipts(trace) == executed.receipts
    roots = [rlp.decode(header)[HEADER_STATE_ROOT] for header, _ in executed.blocks]
    assert rebuild_state_roots(trace, witness) == roots
    again = execute(executed.batch, trace=False)
    assert (again.blocks, again.receipts) == (executed.blocks, executed.receipts)
    again = execute(executed.with_witness())
    assert (again.blocks, again.receipts) == (executed.blocks, executed.receipts)
    assert again.trace is not None
    assert again.trace.digest() == trace.digest()
    assert again.witness == witness


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    check_complete(program(name))


def test_keys_are_complete_though_nothing_reads_them(builder: Any) -> None:
    listed, other = b"\x77" * 20, b"\x78" * 20
    building = builder().alloc(listed, balance=5, nonce=6, code="0x00", storage={"0x7": "0x8"})
    access_list = [{"address": "0x" + a.hex(), "storageKeys": [f"0x{7:064x}", f"0x{9:064x}"]} for a in (listed, other)]
    request = building.transfer(0, gas=50_000, accessList=access_list)
    executed = building.block(request).execute()
    trace = executed.trace
    assert trace is not None
    values = dict(zip(trace.state_keys(), words_to_ints(trace.keys.first), strict=True))
    kinds = (StateKind.BALANCE, StateKind.NONCE, StateKind.CODE_HASH)
    code_hash = int.from_bytes(keccak(b"\0"), "big")
    assert [values[StateKey(kind, listed)] for kind in kinds] == [5, 6, code_hash]
    assert [values[StateKey(kind, other)] for kind in kinds] == [0, 0, int.from_bytes(keccak(b""), "big")]
    assert [values[StateKey(StateKind.EXISTS, address)] for address in (listed, other)] == [1, 0]
    for address in (building.WALLETS[0], building.FRESH, building.COINBASE):
        assert {StateKey(kind, address) for kind in (*kinds, StateKind.EXISTS)} <= set(values)
    slots = {(key.address, key.slot): value for key, value in values.items() if key.kind == StateKind.STORAGE}
    assert slots == {(listed, 7): 8, (listed, 9): 0, (other, 7): 0, (other, 9): 0}
    assert (trace.keys.first == trace.keys.last)[trace.keys.kind == StateKind.STORAGE].all()
    check_complete(executed)


#: Hundreds of thousands of steps.
LONG = "CREATE_FirstByte_loop_d0g0v0_Cancun"


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.deep if LONG in n else (), id=n) for n in CASES])
def test_public_tests(name: str) -> None:
    check_complete(execute(batch_from_fixture(FIXTURES, name)))


@pytest.mark.deep
@pytest.mark.parametrize("name", ["erc20", "nft"])
def test_workloads(name: str) -> None:
    check_complete(execute(read_batch(EXAMPLES / f"{name}.json")))


def test_what_the_programs_do() -> None:
    outcomes: Counter[int] = Counter()
    kinds: Counter[int] = Counter()
    opcodes: set[int] = set()
    state_kinds: set[int] = set()
    undone: set[int] = set()
    purposes: set[int] = set()
    for name in PROGRAMS:
        trace = trace_of(name)
        outcomes.update(trace.frames.outcome.tolist())
        kinds.update(trace.frames.kind.tolist())
        opcodes |= set(trace.steps.opcode.tolist())
        state_kinds |= set(trace.keys.kind.tolist())
        undone |= set(trace.keys.kind[trace.accesses.key[trace.accesses.mode == Mode.UNDO]].tolist())
        purposes |= set(trace.hashes.purpose.tolist())
    assert set(outcomes) == set(Outcome)
    assert set(kinds) == set(FrameKind)
    assert purposes == set(HashPurpose)
    assert state_kinds == set(StateKind)
    # The original value of a slot is never written.
    assert undone >= set(StateKind) - {StateKind.ORIGINAL, StateKind.HAS_STORAGE, StateKind.DESTROYED}
    assert {"CREATE2", "MCOPY", "BLOBHASH", "TSTORE", "SELFDESTRUCT", "PUSH0", "LOG4"} <= {
        NAMES[opcode] for opcode in opcodes if opcode in NAMES
    }
    assert max(trace_of("deep").frames.depth) == 1024


def test_steps_of_a_small_program(builder: Any) -> None:
    building = builder().alloc(CONTRACT, code="0x6005600781810190600052")  # 5 7 dup2 dup2 add swap1 0 mstore
    trace = building.block(call_contract(building, gas=50_000)).execute().trace
    steps = trace.steps
    names = ["PUSH1", "PUSH1", "DUP2", "DUP2", "ADD", "SWAP1", "PUSH1", "MSTORE", "STOP"]
    assert [NAMES[opcode] for opcode in steps.opcode.tolist()] == names
    assert steps.pc.tolist() == [0, 2, 4, 5, 6, 7, 8, 10, 11]
    assert steps.stack_height.tolist() == [0, 1, 2, 3, 4, 3, 3, 4, 2]
    assert steps.memory_size.tolist() == [0] * 8 + [32]
    assert (steps.gas_before - steps.gas_after).tolist() == [3, 3, 3, 3, 3, 3, 3, 6, 0]
    assert steps.gas_before[0] == 50_000 - 21_000
    assert steps.operands.tolist() == [0, 0, 1, 1, 2, 2, 0, 2, 0]
    assert steps.results.tolist() == [1, 1, 1, 1, 1, 2, 1, 0, 0]
    assert words_to_ints(trace.operands.word) == [5, 7, 7, 5, 12, 7, 0, 7]
    assert words_to_ints(trace.results.word) == [5, 7, 5, 7, 12, 7, 12, 0]
    assert trace.memory.step.tolist() == [7]
    assert trace.bytes_at(trace.memory.before_start[0], 32) == bytes(32)
    assert trace.bytes_at(trace.memory.after_start[0], 32) == (7).to_bytes(32, "big")
    assert (trace.frames.kind.tolist(), trace.frames.end_step.tolist()) == ([FrameKind.MESSAGE], [9])


def test_frames_of_calls() -> None:
    trace = trace_of("calls")
    frames = trace.frames
    end = int(trace.transactions.end_frame[0])
    assert [FrameKind(kind).name for kind in frames.kind[:end]] == [
        "MESSAGE", "CALL", "DELEGATECALL", "STATICCALL", "CALLCODE", "CALL", "CALL",
    ]  # fmt: skip
    assert frames.is_static[:end].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert addresses_to_bytes(frames.address[:6]) == [CONTRACT, OTHER, CONTRACT, OTHER, CONTRACT, THIRD]
    assert addresses_to_bytes(frames.code_address[:6]) == [CONTRACT, OTHER, OTHER, OTHER, OTHER, THIRD]
    sender = addresses_to_bytes(trace.transactions.sender)[0]
    assert addresses_to_bytes(frames.caller[:6]) == [sender, CONTRACT, sender, CONTRACT, CONTRACT, CONTRACT]
    assert words_to_ints(frames.value[:7]) == [0, 3, 0, 0, 1, 0, 7]
    assert trace.bytes_at(frames.input_start[1], frames.input_size[1]) == (42).to_bytes(32, "big")
    assert trace.bytes_at(frames.output_start[1], frames.output_size[1]) == (42).to_bytes(32, "big")
    # A caller gives what it has but a 64th (EIP-150), and the stipend where value goes along.
    assert frames.gas_given[3] == 50_000
    before = trace.steps.gas_before[frames.call_step[1]] - 2_600 - 6 - 9_000  # cold, two words of memory, value
    assert frames.gas_given[1] == before - before // 64 + 2_300


def test_return_data() -> None:
    """That the return data of every step is right is checked with every trace; here, that all kinds occur."""
    trace = trace_of("return data")
    own = np.flatnonzero(trace.steps.frame == 0)
    sizes = own[trace.steps.opcode[own] == OPCODES["RETURNDATASIZE"]]
    frames = trace.return_frame[sizes]
    kinds = [FrameKind(trace.frames.kind[frame]).name if frame != NONE else "-" for frame in frames.tolist()]
    assert kinds == [
        "-", "DELEGATECALL", "CALL", "-", "STATICCALL", "-", "CREATE", "STATICCALL", "-", "-", "-", "-",
    ]  # fmt: skip
    outcomes = [Outcome(trace.frames.outcome[frame]).name for frame in frames.tolist() if frame != NONE]
    assert outcomes == ["SUCCESS", "REVERT", "SUCCESS", "REVERT", "SUCCESS"]


def test_state_accesses_of_a_reverted_frame() -> None:
    trace = trace_of("calls")
    names = trace.state_keys()
    key = names.index(StateKey(StateKind.STORAGE, THIRD, 1))
    rows = np.flatnonzero((trace.accesses.key == key) & (trace.accesses.frame == 5))
    assert [Mode(mode).name for mode in trace.accesses.mode[rows]] == ["READ", "WRITE", "UNDO"]
    assert words_to_ints(trace.accesses.after[rows]) == [0, 8, 0]
    assert trace.steps.opcode[trace.accesses.step[rows[1]]] == OPCODES["SSTORE"]
    assert trace.frames.reverted[:7].tolist() == [0, 0, 0, 1, 0, 1, 0]
    assert (words_to_ints(trace.keys.first[[key]]), words_to_ints(trace.keys.last[[key]])) == ([0], [0])


def test_logs() -> None:
    trace = trace_of("logs")
    logs = trace.logs
    assert logs.topics.tolist() == [0, 1, 2, 3, 4, 0] * 2
    assert logs.reverted.tolist() == [0, 0, 0, 0, 0, 1] * 2
    assert words_to_ints(logs.topic3[:6]) == [0, 0, 0, 0, 4, 0]
    assert trace.bytes_at(logs.data_start[0], logs.data_size[0]) == b"abc"
    assert logs.transaction.tolist() == [0] * 6 + [1] * 6


def test_blocks_withdrawals_and_ancestors() -> None:
    trace = trace_of("withdrawals")
    assert trace.withdrawals.amount.tolist() == [0, 3, 0, 9, 0]
    assert trace.withdrawals.block.tolist() == [0, 0, 0, 0, 1]
    assert trace.blocks.number.tolist() == [1, 2]
    assert words_to_ints(trace.blocks.state_root[-1:])[0] == int.from_bytes(trace.post_state_root, "big")
    changes = rebuild_changes(trace)
    assert changes[0][StateKey(StateKind.BALANCE, b"\xfa" * 20)] == 12 * 10**9
    assert changes[0][StateKey(StateKind.EXISTS, b"\xfb" * 20)] == 0
    trace = trace_of("ancestors")
    # The second block asks for its parent, which is a block of the batch.
    assert trace.ancestors.number.tolist() == [298, 299, 300, 301]
    latest, *earlier = headers_before(300, 3)
    assert limbs_to_bytes(trace.ancestors.hash)[:2] == [keccak(earlier[0]), keccak(latest)]
    witness = program("ancestors").witness
    assert witness is not None
    assert (witness.ancestor_hashes, witness.ancestor_headers) == ((), (latest,)), "it proves what was asked for"


def test_system_calls_are_frames_without_a_transaction() -> None:
    trace = trace_of("beacon root")
    system = trace.frames.kind == FrameKind.SYSTEM
    assert system.sum() == 3
    assert (trace.frames.transaction[system] == NONE).all()
    assert trace.frames.gas_given[system].tolist() == [30_000_000] * 3
    roots = [trace.bytes_at(start, 32) for start in trace.frames.input_start[system]]
    assert roots == [bytes([number]) * 32 for number in (1, 2, 3)]
    account = program("beacon root").post_state
    assert account.storage(CONTRACT, 0) == int("03" * 32, 16)


def test_a_trace_that_lacks_something_does_not_give_the_receipts_or_the_state() -> None:
    executed = program("storage")
    trace, witness = trace_of("storage"), executed.witness
    assert witness is not None
    last = words_from_ints([3])
    accesses = replace(trace.accesses, after=trace.accesses.after.copy())
    key = trace.state_keys().index(StateKey(StateKind.STORAGE, CONTRACT, 10))
    accesses.after[np.flatnonzero((accesses.key == key) & (accesses.mode == Mode.WRITE))[-1]] = last
    assert rebuild_state_roots(replace(trace, accesses=accesses), witness) != rebuild_state_roots(trace, witness)
    for number in range(len(witness.nodes)):
        nodes = witness.nodes[:number] + witness.nodes[number + 1 :]
        with pytest.raises((BatchError, MissingTrieNode)):
            execute(replace(executed.with_witness(), witness=replace(witness, nodes=nodes)))
    logs = trace_of("logs")
    silent = replace(logs, logs=replace(logs.logs, reverted=np.ones_like(logs.logs.reverted)))
    assert rebuild_receipts(silent) != program("logs").receipts


def test_bytes_per_step() -> None:
    for name in ("erc20", "snailtracer-pixel"):
        trace = execute(read_batch(EXAMPLES / f"{name}.json")).trace
        assert trace is not None
        assert trace.nbytes <= 200 * len(trace.steps)


def test_equal_executions_have_equal_digests_and_others_others() -> None:
    trace = trace_of("calls")
    again = PROGRAMS["calls"]().execute().trace
    assert again is not None
    assert again.digest() == trace.digest()
    assert pickle.loads(pickle.dumps(trace)).digest() == trace.digest()
    digests = {trace.digest()}
    for name, table in trace.tables().items():
        for column in fields(table) if len(table) else ():
            array = getattr(table, column.name).copy()
            array.reshape(-1)[0] ^= 1
            digests.add(replace(trace, **{name: replace(table, **{column.name: array})}).digest())
    columns = sum(len(fields(table)) for table in trace.tables().values() if len(table))
    assert len(digests) == columns + 1
    assert replace(trace, chain_id=1).digest() not in digests


def test_tables_refuse_columns_of_other_types_and_lengths() -> None:
    steps = trace_of("calls").steps
    with pytest.raises(ValueError, match=r"Steps\.pc is not an array of uint32"):
        replace(steps, pc=steps.pc.astype(np.uint64))
    with pytest.raises(ValueError, match="rows, not"):
        replace(steps, gas_after=steps.gas_after[:-1])
    assert type(steps).empty().nbytes == 0


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("failures", "calls", "arithmetic", "creations"):
        monkeypatch.setattr("executor.tracer.STEPS_PER_CHUNK", 16_384)
        whole = PROGRAMS[name]().execute().trace
        monkeypatch.setattr("executor.tracer.STEPS_PER_CHUNK", 3)
        assert PROGRAMS[name]().execute().trace.digest() == whole.digest()
