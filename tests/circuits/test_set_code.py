"""Authorizations and delegated accounts (EIP-7702): honest ones, mutations, and the lies about them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import eth.vm.forks.berlin.logic
import eth.vm.forks.prague.logic
import eth.vm.forks.prague.state
import numpy as np
import pytest
from eth_utils.crypto import keccak

import executor.execute
import executor.machine
from circuits.air.layout import TraceView
from circuits.air.mutation import mutate
from circuits.batch.delegations import Delegates
from circuits.batch.execution import Batch, Execution
from circuits.frames import code, delegation
from circuits.instructions import call
from circuits.instructions.accounts import Coldness
from circuits.limbs import words_from_bytes
from circuits.segment import FilledSegment, fill, segment_circuit
from circuits.state.account_events import _Run
from circuits.state.state_view import StateView
from circuits.statement import AUTHORIZATIONS_START, authorizations_digest
from circuits.transactions import authorization
from executor.forks import CANCUN, OSAKA, PRAGUE, Fork
from executor.machine import gets_code
from executor.provable import check_provable
from executor.transactions import authorizations_of
from scripts.batches import random_programs, set_code
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, OTHER, THIRD, call_contract
from scripts.batches.random_programs import created_address
from scripts.batches.segment import execution_of
from scripts.forging.segments import check, places
from scripts.workloads.assembler import assemble
from tests.circuits.family import mutate_family
from tests.circuits.lying import FUNCTIONS, objections, row_where

WALLETS = Builder.WALLETS
FAMILY = (*authorization.components(PRAGUE), *delegation.components(PRAGUE), *code.COMPONENTS)

#: Rows of the authorizations of `set_code.execution()`.
NEW, OLD_NONCE, CLEARING, AGAIN, OTHER_CHAIN, UNCOUNTABLE, WRONG_NONCE, OWN, FAILING = range(9)


def findings(execution: Execution) -> set[str]:
    """What objects to the tables of an execution."""
    return places(check(fill(execution)))


# Honest ones.


@pytest.mark.parametrize("fork", [PRAGUE, OSAKA])
@pytest.mark.parametrize("make", [set_code.execution, set_code.failing])
def test_honest(make: Callable[..., Execution], fork: Any) -> None:
    assert findings(make(fork)) == set()


def test_the_deepest_frame_calls_an_account_that_has_delegated() -> None:
    execution = set_code.deep()
    assert execution.trace.frames.depth.max() == 1024
    filled = fill(execution)
    table = segment_circuit(PRAGUE).names.index("call_delegated_stopped")
    assert filled.traces[table] is not None
    assert check(filled) == []


def test_segments() -> None:
    """Codes that are set in one segment run in another."""
    whole = set_code.execution()
    cuts = whole.operations.cuts.tolist()
    for first, end in ((0, cuts[3]), (cuts[3], cuts[4]), (cuts[4], cuts[-4]), (cuts[-4], cuts[-1])):
        assert findings(Execution(whole.batch, first, end)) == set()


@pytest.mark.parametrize("fork", [pytest.param(PRAGUE, marks=pytest.mark.deep), OSAKA])
def test_extremes(fork: Fork) -> None:
    """As one segment, and cut at each operation."""
    execution = set_code.extremes(fork)
    trace = execution.trace
    assert trace.transactions.status.tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 1]
    filled = fill(execution)
    assert check(filled) == []
    rows: Any = _authorizations(filled)
    assert rows.refunded[:4].tolist() == [0, 0, 1, 0]
    assert rows.applies[:4].tolist() == [1, 1, 1, 0]
    for first, end in pairwise(execution.operations.cuts.tolist()):
        assert findings(Execution(execution.batch, first, end)) == set()


def test_a_batch_that_crosses_forks() -> None:
    """Before Prague a code that begins with 0xef is one that runs, and fails; afterwards it delegates."""
    building = set_code.accounts()
    pointed = {"gas": 200_000, "value": 1}
    building.block(building.transfer(1), building.transfer(1, set_code.POINTER, **pointed))
    building.block(building.transfer(1, set_code.POINTER, **pointed), _authorized(0, 2)(building))
    building.block(building.transfer(1, WALLETS[2], **pointed))
    building.document["fork"] = {"cancun": 0, "prague": 1024, "osaka": 1036}
    batch = Batch.of(check_provable(building.execute()))
    assert batch.trace.transactions.status.tolist() == [1, 0, 1, 1, 1]
    assert [fork for fork, _, _ in batch.runs()] == [CANCUN, PRAGUE, OSAKA]
    for _, first, end in batch.runs():
        assert findings(Execution(batch, first, end)) == set()


def test_a_creation_at_the_address_of_an_account_that_has_delegated() -> None:
    building = set_code.accounts()
    address = created_address(WALLETS[0], 0)
    building.alloc(address, code=random_programs.delegation(CONTRACT), balance=1)
    building.block(building.transfer(0, to=b"", gas=100_000, data="0x00"))
    execution = execution_of(building.execute())
    assert execution.trace.transactions.status.tolist() == [0]
    assert findings(execution) == set()


def test_the_batch_has_what_it_says() -> None:
    execution = set_code.execution()
    trace = execution.trace
    rows: Any = _authorizations(fill(execution))
    assert rows.valid[:9].tolist() == [1, 1, 1, 1, 0, 0, 1, 1, 1]
    assert rows.applies[:9].tolist() == [1, 0, 1, 1, 0, 0, 0, 1, 1]
    assert rows.delegates[[NEW, OLD_NONCE, AGAIN]].tolist() == [0, 1, 0]
    frames = trace.frames
    assert set(frames.kind[frames.delegates == 1].tolist()) == {0, 1, 2, 3, 6}
    # The second transaction fails, and its authorizations stay.
    assert trace.transactions.status[1] == 0
    assert rows.refunds[rows.operation == rows.operation[OWN]].tolist() == [0, 1]


def test_no_authorizations_no_table() -> None:
    assert authorization.fill(set_code.failing()) is None
    assert authorization.components(CANCUN) == delegation.components(CANCUN) == ()


def test_digests() -> None:
    execution = set_code.execution()
    entries = execution.batch.authorizations
    trace = execution.trace
    table = trace.transactions
    for row, (start, count) in enumerate(zip(entries.starts, entries.counts, strict=True)):
        own = {name: column[start : start + count] for name, column in entries.items.fields.items()}
        assert (entries.digests[row] == (authorizations_digest(**own) if count else AUTHORIZATIONS_START)).all()
        found = authorizations_of(trace.bytes_at(table.raw_start[row], table.raw_size[row]), trace.chain_id)
        assert [authority is not None for authority, _ in found] == own["valid"].astype(bool).tolist()


def test_an_account_that_did_not_exist_earns_no_refund() -> None:
    building = set_code.accounts()
    stranger = set_code.authorization(0, CONTRACT, 0) | {"secretKey": "0x" + "77" * 32}
    building.block(set_code.set_code(building, 1, set_code.EMPTY, [stranger, stranger | {"nonce": 1}]))
    execution = execution_of(building.execute())
    filled = fill(execution)
    assert check(filled) == []
    assert _authorizations(filled).refunded[:2].tolist() == [0, 1]


# Mutations.


def test_mutations() -> None:
    family = (*authorization.components(PRAGUE), *delegation.components(PRAGUE), *FUNCTIONS)
    assert mutate_family(family, set_code.execution(), rows_per_table=8).survivors == []


@pytest.mark.parametrize(
    ("make", "tables", "rows"),
    [
        (set_code.execution, {"authorization", "delegation", "call_delegated", "call", "transaction"}, 2),
        (set_code.failing, {"call_delegated_stopped", "call_stopped"}, 4),
    ],
)
def test_mutations_of_segments(make: Callable[[], Execution], tables: set[str], rows: int) -> None:
    filled = fill(make())
    circuit = segment_circuit(PRAGUE)
    found = mutate(circuit, filled.traces, filled.public_lists, rows_per_table=rows, seed=1, tables=tables)
    assert found.survivors == [], str(found)
    assert set(found.coverage) == tables


# Lies in tables.


def _authorizations(filled: FilledSegment) -> Any:
    trace = filled.traces[filled.circuit.names.index("authorization")]
    assert trace is not None
    return TraceView(authorization.Columns, trace)


def lie_other_address(rows: Any) -> None:
    rows.address[NEW, 0] ^= 1


def lie_other_authority(rows: Any) -> None:
    rows.authority[NEW, 0] ^= 1


def lie_void(rows: Any) -> None:
    """Somebody has signed it, and it is said that nobody has."""
    rows.valid[NEW] = 0


def lie_valid(rows: Any) -> None:
    rows.valid[OTHER_CHAIN] = 1


def lie_swapped(rows: Any) -> None:
    """Two entries change places, with their times, hashes and counts as before."""
    for name in ("authority", "address", "nonce", "states"):
        column = getattr(rows, name)
        column[[NEW, CLEARING]] = column[[CLEARING, NEW]]


def lie_skipped(rows: Any) -> None:
    rows.real[OTHER_CHAIN] = 0


def lie_passed_over(rows: Any) -> None:
    """A valid entry has no effect."""
    _no_effect(rows, NEW)


def _no_effect(rows: Any, row: int) -> None:
    rows.applies[row] = rows.sets[row] = rows.refunded[row] = 0
    rows.nonce_after[row], rows.nonce_carry[row] = rows.nonce_before[row], 0
    rows.code_after[row], rows.code_id[row] = rows.code_before[row], 0


def lie_passed_over_for_its_nonce(rows: Any) -> None:
    _no_effect(rows, NEW)
    rows.same.same[NEW] = 0


def lie_applied(rows: Any) -> None:
    """An entry with another nonce has an effect."""
    _effect(rows, OLD_NONCE)


def _effect(rows: Any, row: int) -> None:
    rows.applies[row] = rows.sets[row] = rows.refunded[row] = 1
    rows.nonce_after[row, 0] = rows.nonce_before[row, 0] + 1
    rows.code_after[row], rows.code_id[row] = rows.code_after[AGAIN], rows.code_id[AGAIN]


def lie_applied_for_its_nonce(rows: Any) -> None:
    _effect(rows, OLD_NONCE)
    rows.same.same[OLD_NONCE] = 1
    rows.same.inverse[OLD_NONCE] = 0


def lie_refund(rows: Any) -> None:
    rows.refunded[OLD_NONCE] = 1


def lie_no_refund(rows: Any) -> None:
    rows.refunded[NEW] = 0


def lie_vacant(rows: Any) -> None:
    rows.refunded[NEW] = 0
    rows.vacant.zero[NEW], rows.vacant.inverse[NEW] = 1, 0


def lie_kept_code(rows: Any) -> None:
    """The nonce counts, and the code stays."""
    rows.code_after[NEW] = rows.code_before[NEW]


def lie_kept_nonce(rows: Any) -> None:
    rows.nonce_after[NEW], rows.nonce_carry[NEW] = rows.nonce_before[NEW], 0


def lie_other_delegate(rows: Any) -> None:
    """The code of another authorization."""
    rows.code_after[NEW], rows.code_id[NEW] = rows.code_after[OWN], rows.code_id[OWN]


def lie_cleared(rows: Any) -> None:
    """The empty code instead of one that delegates."""
    rows.sets[NEW] = rows.code_id[NEW] = 0
    rows.code_after[NEW] = rows.code_before[NEW]
    rows.clears.zero[NEW], rows.clears.inverse[NEW] = 1, 0


def lie_set_instead(rows: Any) -> None:
    """A code that delegates to the account 0 instead of the empty one."""
    rows.sets[CLEARING] = 1
    rows.clears.zero[CLEARING], rows.clears.inverse[CLEARING] = 0, 1


def lie_no_code(rows: Any) -> None:
    """An account that has delegated is said to have no code."""
    rows.coded[OLD_NONCE] = rows.delegates[OLD_NONCE] = 0


def lie_a_contract(rows: Any) -> None:
    """An account that has delegated is said to have code of its own."""
    rows.delegates[OLD_NONCE] = 0


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        (lie_other_address, "poseidon2"),
        (lie_other_address, "delegation"),
        (lie_other_authority, "poseidon2"),
        (lie_other_authority, "account"),
        (lie_void, "poseidon2"),
        (lie_valid, "poseidon2"),
        (lie_swapped, "poseidon2"),
        (lie_skipped, "authorization"),
        (lie_passed_over, "it applies"),
        (lie_passed_over_for_its_nonce, "pair 0: value * inverse = 1 - same"),
        (lie_applied, "it applies"),
        (lie_applied_for_its_nonce, "pair 0: equal limb 0"),
        (lie_refund, "it earns a refund"),
        (lie_no_refund, "it earns a refund"),
        (lie_vacant, "vacant: value * zero = 0"),
        (lie_kept_code, "delegation"),
        (lie_kept_nonce, "nonce afterwards: limb 0"),
        (lie_other_delegate, "delegation"),
        (lie_cleared, "clears: value * zero = 0"),
        (lie_set_instead, "clears: value * inverse = 1 - zero"),
        (lie_no_code, "no code[0]"),
        (lie_a_contract, "delegating"),
    ],
)
def test_lies(lie: Callable[[Any], None], objection: str) -> None:
    assert objection in objections(FAMILY, set_code.execution(), {"authorization": lie})


def lie_delegates_not(rows: Any) -> None:
    row = row_where(rows.marked.zero)
    rows.marked.zero[row], rows.marked.inverse[row] = 0, 1
    rows.address[row] = 0


def lie_other_length(rows: Any) -> None:
    row = row_where(rows.marked.zero)
    rows.fits.zero[row], rows.fits.inverse[row] = 0, 1
    rows.marked.zero[row] = 0
    rows.data[row], rows.xor[row], rows.address[row] = 0, 0, 0


def lie_other_account(rows: Any) -> None:
    row = row_where(rows.marked.zero)
    rows.address[row, 3] ^= 1


def lie_other_bytes(rows: Any) -> None:
    row = row_where(rows.marked.zero)
    rows.data[row, 22] ^= 1
    rows.xor[row, 11] ^= 1
    rows.address[row, 0] ^= 1


def lie_lookalike(rows: Any) -> None:
    """A code as long as a delegation is one."""
    row = row_where((rows.fits.zero == 1) & (rows.marked.zero == 0))
    rows.marked.zero[row], rows.marked.inverse[row] = 1, 0


@pytest.mark.parametrize(
    ("lie", "objection"),
    [
        (lie_delegates_not, "marked: value * inverse = 1 - zero"),
        (lie_other_length, "as long as a delegation: value * inverse = 1 - zero"),
        (lie_other_account, "the account that it names: limb 3"),
        (lie_other_bytes, "code_part"),
        (lie_lookalike, "marked: value * zero = 0"),
    ],
)
def test_lies_about_codes(lie: Callable[[Any], None], objection: str) -> None:
    family = (*call.components(PRAGUE), *FAMILY)
    assert objection in objections(family, set_code.execution(), {"delegation": lie}, follows=True)


# Dishonest executors: all tables are filled from what they have done.


def _batch(*transactions: Callable[[Builder], Any]) -> Builder:
    building = set_code.accounts()
    building.alloc(WALLETS[2], code="0x00", balance=10**18)
    return building.block(*(make(building) for make in transactions))


def _authorized(nonce: int, signer: int = 1, address: bytes = CONTRACT) -> Callable[[Builder], Any]:
    def make(building: Builder) -> Any:
        return set_code.set_code(building, 0, WALLETS[signer], [set_code.authorization(signer, address, nonce)])

    return make


def test_a_valid_authorization_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    building = _batch(_authorized(0))
    assert findings(execution_of(building.execute())) == set()
    monkeypatch.setattr(executor.machine, "gets_code", lambda *_: False)
    monkeypatch.setattr(_Run, "applies", lambda *_: False)
    assert findings(execution_of(building.execute())) == {"it applies"}


@pytest.mark.parametrize(
    ("nonce", "signer", "objection"),
    [
        (1, 1, "it applies"),  # another nonce
        (0, 2, "it applies"),  # a contract's code
        (0, 0, "it applies"),  # the sender's nonce before the transaction
    ],
)
def test_others_are(nonce: int, signer: int, objection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    building = _batch(_authorized(nonce, signer))
    assert findings(execution_of(building.execute())) == set()
    monkeypatch.setattr(executor.machine, "gets_code", lambda *_: True)
    monkeypatch.setattr(_Run, "applies", lambda *_: True)
    assert objection in findings(execution_of(building.execute()))


def test_a_contract_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """EIP-3607: but for those whose code delegates."""
    building = _batch(lambda building: building.transfer(2))
    monkeypatch.setattr(executor.execute, "delegates", lambda _: True)
    assert "delegating" in findings(execution_of(building.execute()))


class _NoDelegates(Delegates):
    """As if no code delegated."""

    def __init__(self, trace: Any) -> None:
        super().__init__(trace)
        self._of = {}


@pytest.mark.parametrize("to", [set_code.POINTER, THIRD])
def test_the_code_of_the_delegate_runs(to: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the 23 bytes that name it: in a transaction to the account, and in calls."""
    building = _batch(lambda building: call_contract(building, 3, to, gas=3_000_000))
    assert findings(execution_of(building.execute())) == set()
    for module in (eth.vm.forks.prague.state, eth.vm.forks.prague.logic):
        monkeypatch.setattr(module, "code_is_delegation_designation", lambda _: False)
    for name in ("circuits.state.account_events", "circuits.transactions.set_code"):
        monkeypatch.setattr(f"{name}.Delegates", _NoDelegates)
    assert "delegation" in findings(execution_of(building.execute()))


class _TwoLevels(Delegates):
    """As if a code that delegates to an account which has delegated stood for what that one has delegated to."""

    def __init__(self, trace: Any) -> None:
        super().__init__(trace)
        prefix = bytes.fromhex(random_programs.delegation(set_code.POINTER)[2:])
        key = np.ascontiguousarray(words_from_bytes([keccak(prefix)])[0], dtype="<u2").tobytes()
        if key in self._of:
            self._of[key] = CONTRACT


def test_one_level_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    building = _batch(lambda building: building.transfer(3, set_code.CHAINED, 0, gas=400_000))
    assert findings(execution_of(building.execute())) == set()
    own = eth.vm.forks.prague.state.PragueTransactionExecutor.get_code_at_address

    def twice(self: Any, address: Any) -> Any:
        found, delegate = own(self, address)
        return own(self, delegate) if delegate == set_code.POINTER else (found, delegate)

    monkeypatch.setattr(eth.vm.forks.prague.state.PragueTransactionExecutor, "get_code_at_address", twice)
    for name in ("circuits.state.account_events", "circuits.transactions.set_code"):
        monkeypatch.setattr(f"{name}.Delegates", _TwoLevels)
    assert "delegation" in findings(execution_of(building.execute()))


def test_a_cold_delegate_costs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    source = f"0 0 0 0 0x{set_code.TO_COLD.hex()} 9000 staticcall"
    building = _batch(lambda building: call_contract(building, 3, OTHER, gas=50_000))
    building.alloc(OTHER, code="0x" + assemble(source).hex())
    assert findings(execution_of(building.execute())) == set()
    monkeypatch.setattr(eth.vm.forks.berlin.logic, "_account_load_cost", lambda _: 100)
    own = Coldness.fill

    def warm(cells: Any, access: Any, precompiles: Any) -> Any:
        cold = own(cells, access, precompiles)
        cells.cold = 0
        return np.zeros_like(cold)

    monkeypatch.setattr(Coldness, "fill", staticmethod(warm))
    assert findings(execution_of(building.execute())) == {"cold"}


def test_what_fails_does_not_undo_authorizations(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told to be part of what the outermost frame has done, which reverts."""
    building = _batch(lambda building: set_code.set_code(building, 0, OTHER, [set_code.authorization(1, CONTRACT, 0)]))
    execution = execution_of(building.execute())
    assert execution.trace.transactions.status.tolist() == [0]
    assert findings(execution) == set()
    own = _Run.authorize

    def within(self: _Run, operation: int, leaf: int, nonce: int, code_: int, time: int) -> int:
        access = self.replay.access

        def inside(*arguments: Any, **named: Any) -> int:
            return access(*arguments, world=1, **named)

        self.replay.access = inside  # type: ignore[method-assign]
        try:
            return own(self, operation, leaf, nonce, code_, time)
        finally:
            del self.replay.access  # type: ignore[method-assign]

    monkeypatch.setattr(_Run, "authorize", within)
    monkeypatch.setattr(StateView, "_check", lambda self, execution: setattr(self, "after", self._left()))
    assert "account" in findings(execution_of(building.execute()))


def test_refunds_of_failed_transactions_stay() -> None:
    building = _batch(lambda building: set_code.set_code(building, 0, OTHER, [set_code.authorization(1, CONTRACT, 0)]))
    execution = execution_of(building.execute())
    table = execution.trace.transactions
    spent = table.gas_used[0] + table.gas_refunded[0]
    assert (table.status[0], table.gas_refunded[0]) == (0, spent // 5)
    assert 0 < spent // 5 < 12_500


def test_what_gets_a_code() -> None:
    trace = execution_of(_batch(_authorized(0)).execute()).trace
    raw = trace.bytes_at(trace.transactions.raw_start[0], trace.transactions.raw_size[0])
    signed = authorizations_of(raw, Builder.CHAIN_ID)[0][1]
    assert gets_code(b"", 0, signed)
    assert not gets_code(b"", 1, signed)
    assert not gets_code(b"\0", 0, signed)
    assert gets_code(bytes.fromhex(random_programs.delegation(OTHER)[2:]), 0, signed)


def test_void_entries_access_nothing() -> None:
    rows: Any = _authorizations(fill(set_code.execution()))
    for name in ("balance", "nonce_before", "code_before", "code_after"):
        assert not getattr(rows, name)[[OTHER_CHAIN, UNCOUNTABLE]].any()
