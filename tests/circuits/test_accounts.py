"""Instructions that look at accounts: what they pay, what they see, and what they move."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.batch.execution import Execution
from circuits.frames import code
from circuits.instructions import accounts, copies, storage
from circuits.memory import expansion
from circuits.state import access_tree, state, transfer, undo
from circuits.state.state_view import StateView
from executor.forks import CANCUN
from executor.opcodes import OPCODES
from scripts.batches.programs import OTHER, PROGRAMS, call_contract
from scripts.batches.segment import execution_of
from scripts.batches.state import program, run
from tests.circuits.family import check_family, mutate_family
from tests.circuits.lying import objections, row_where

FAMILY = (
    *accounts.components(CANCUN),
    *storage.COMPONENTS,
    *transfer.COMPONENTS,
    *undo.COMPONENTS,
    *state.COMPONENTS,
    *access_tree.COMPONENTS,
)

_O = "0x" + OTHER.hex()
_FRESH = "0x" + "fa" * 20
#: Warm and cold accounts, with code, without, absent, precompiles and their neighbours, and bytes that do not count.
_QUERIES = f"""
    {_O} balance {_O} extcodesize {_O} extcodehash {_FRESH} dup1 balance swap1 extcodehash
    1 balance 10 extcodesize 11 balance 0x10001 extcodehash 0 balance 0xff{"00" * 11}{OTHER.hex()} balance
    selfbalance address extcodesize 5 extcodehash caller extcodehash {"0x" + "fb" * 20} extcodesize origin balance
"""
_COPIES = f"""
    50 3 7 {_O} extcodecopy 40 0 64 {_FRESH} extcodecopy 4 {2**200} 5 {_O} extcodecopy
    0 0 {2**100} {_O} extcodecopy 64 0 0 {_O} extcodecopy 33 1 0 address extcodecopy 32 {2**24 + 1} 0 caller extcodecopy
"""
_PUSHES = 21_000 + 10  # of a transaction that begins with an EXTCODECOPY of a word, whose memory costs 3


def _destroying(beneficiary: str, *gas: int, balance: int = 9) -> Any:
    return cache(lambda: run(f"{beneficiary} selfdestruct", gas or [1_000_000] * 2, balance=balance))


CASES: dict[str, Any] = {
    "block context": cache(lambda: execution_of(PROGRAMS["block context"]().execute())),
    "queries": cache(lambda: run(_QUERIES, [1_000_000] * 2 + [23_602, 23_603, 23_705, 23_706])),
    "copies": cache(lambda: run(_COPIES, [1_000_000])),
    "copies without gas": cache(
        lambda: run(f"32 0 0 {_O} extcodecopy", [_PUSHES + 105, _PUSHES + 106, _PUSHES + 2_605, _PUSHES + 2_606])
    ),
    "destroyed for a new account": _destroying(_FRESH),
    "destroyed for itself": _destroying("address"),
    "destroyed for the coinbase": _destroying("coinbase"),
    "destroyed for another": _destroying(_O, balance=(1 << 80) - 1),
    "destroyed for a precompile": _destroying("2"),
    "destroyed without balance": _destroying(_FRESH, balance=0),
    "destroyed without gas": _destroying(_FRESH, 26_002, 26_003, 28_602, 28_603, 53_602, 53_603),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_honest(case: Any) -> None:
    assert check_family(FAMILY, case()) == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_mutations(case: Any) -> None:
    report = mutate_family(accounts.components(CANCUN), case(), rows_per_table=8)
    assert report.survivors == []
    tables = {c.table.name for c in accounts.components(CANCUN)}
    assert [s for s in report.declared if s.table in tables and s.kind == "cell"] == []


def test_copies_meet_the_code_and_the_memory() -> None:
    """What is asked of codes, expansions and copies is answered."""
    family = (*FAMILY, *copies.COPY_COMPONENTS, *expansion.COMPONENTS, *code.COMPONENTS)
    for name in ("copies", "queries", "copies without gas"):
        assert [f for f in check_family(family, CASES[name]()) if getattr(f, "bus", "") in ("code", "expansion")] == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_results_are_those_of_the_execution(case: Any) -> None:
    execution: Execution = case()
    view = StateView.of(execution)
    steps = execution.rows(OPCODES["BALANCE"], OPCODES["SELFBALANCE"], failed=False)
    np.testing.assert_array_equal(view.account_instruction(steps).balance, execution.result(steps))
    steps = execution.rows(OPCODES["EXTCODEHASH"], failed=False)
    access = view.account_instruction(steps)
    hashes = execution.result(steps)
    some = hashes.any(axis=1)
    np.testing.assert_array_equal(access.code_hash[some], hashes[some])


def test_gas_decides() -> None:
    """The last of these transactions succeeds, and those before it fail for one unit each."""
    for name in ("copies without gas", "destroyed without gas"):
        status = CASES[name]().trace.transactions.status.tolist()
        assert status == [0] * (len(status) - 1) + [1]


def test_access_lists_and_earlier_transactions() -> None:
    """A listed account is warm; that another transaction has touched it does not make it so."""
    building = program(f"{_O} balance {_O} extcodesize", [1_000_000])
    listed = [{"address": _O, "storageKeys": []}]
    fees: dict[str, Any] = {"type": 2, "maxFeePerGas": 2000, "maxPriorityFeePerGas": 9}
    building.document["blocks"].clear()
    building._nonces = dict.fromkeys(building._nonces, 0)
    building.block(
        call_contract(building, 0, **fees),
        call_contract(building, 0, **fees, accessList=listed),
        call_contract(building),
    )
    execution = execution_of(building.execute())
    access = StateView.of(execution).account_instruction(execution.rows(OPCODES["BALANCE"]))
    assert (access.warm == access.operation + 1).tolist() == [False, True, False]
    assert check_family(FAMILY, execution) == []


def _recharge(rows: Any, row: int, cost: int) -> None:
    rows.charge.margin[row] = (int(rows.gas[row]) - cost) & 0xFFFF


def lie_cold_paid_as_warm(rows: Any) -> None:
    row = row_where(rows.coldness.cold == 1)
    rows.coldness.cold[row] = 0
    if "cost" in rows._layout.parts:
        rows.cost[row] -= 2_500
        _recharge(rows, row, int(rows.cost[row]))
    else:
        _recharge(rows, row, 100)


def lie_marked_as_touched(rows: Any) -> None:
    """The token that the row takes says that the account is warm."""
    row = row_where(rows.coldness.cold == 1)
    rows.token.warm[row] = rows.of_frame.operation[row] + 1
    rows.coldness.touched.zero[row], rows.coldness.touched.inverse[row] = 1, 0
    lie_cold_paid_as_warm(rows)


def lie_precompile(rows: Any) -> None:
    """An address passes for a precompile's."""
    row = row_where((rows.coldness.cold == 1) & (rows.coldness.high.zero == 1))
    rows.coldness.low.zero[row], rows.coldness.low.inverse[row] = 1, 0
    lie_cold_paid_as_warm(rows)


def lie_high_limbs(rows: Any) -> None:
    row = row_where((rows.coldness.cold == 1) & (rows.coldness.high.zero == 0) & (rows.coldness.low.zero == 1))
    rows.coldness.high.zero[row], rows.coldness.high.inverse[row] = 1, 0
    lie_cold_paid_as_warm(rows)


def lie_other_balance(rows: Any) -> None:
    row = row_where(rows.balance == 1)
    rows.token.balance[row, 0] ^= 1
    rows.result[row] = rows.token.balance[row]


def lie_result(rows: Any) -> None:
    rows.result[row_where(rows.balance == 1), 0] ^= 1


def lie_code_of_empty_account(rows: Any) -> None:
    """The hash of an empty account is given as that of the empty code."""
    row = row_where((rows.code_hash == 1) & (rows.emptiness.empty == 1))
    rows.emptiness.empty[row] = 0
    rows.result[row] = rows.token.code_hash[row]


def lie_no_hash(rows: Any) -> None:
    """An account with code passes for an empty one."""
    row = row_where((rows.code_hash == 1) & (rows.emptiness.empty == 0))
    rows.emptiness.no_code.same[row] = rows.emptiness.nothing.zero[row] = rows.emptiness.empty[row] = 1
    rows.emptiness.nothing.inverse[row] = rows.emptiness.no_code.inverse[row] = rows.emptiness.no_code.value[row] = 0
    rows.result[row] = 0


def lie_no_size(rows: Any) -> None:
    """The size of a code is not asked for."""
    row = row_where(rows.asks == 1)
    rows.asks[row] = rows.code_id[row] = rows.size[row] = 0
    rows.result[row] = 0


def lie_size(rows: Any) -> None:
    row = row_where(rows.asks == 1)
    rows.size[row] += 1
    rows.result[row, 0] += 1


def lie_size_beyond_the_modulus(rows: Any) -> None:
    """The size plus the modulus, in limbs."""
    row = row_where(rows.asks == 1)
    size = int(rows.size[row]) + 2013265921
    rows.result[row, 0], rows.result[row, 1] = size & 0xFFFF, size >> 16


def lie_fails_with_gas_enough(rows: Any) -> None:
    rows.charge.fails[row_where((rows.real == 1) & (rows.charge.fails == 0))] = 1


def lie_succeeds_without_gas(rows: Any) -> None:
    rows.charge.fails[row_where(rows.charge.fails == 1)] = 0


def lie_least_feigned(rows: Any) -> None:
    rows.least.fails[row_where((rows.real == 1) & (rows.least.fails == 0))] = 1


def lie_least_ignored(rows: Any) -> None:
    rows.least.fails[row_where(rows.least.fails == 1)] = 0


def lie_from_the_future(rows: Any) -> None:
    rows.token.order.before[row_where(rows.real == 1)] += 1 << 20


def lie_other_account(rows: Any) -> None:
    rows.of_frame.address[row_where(rows.real == 1), 0] ^= 1


def lie_zeros_of_a_code(rows: Any) -> None:
    """The bytes of a code are copied as zeros."""
    row = row_where((rows.moves == 1) & (rows.no_code == 0))
    rows.no_code[row], rows.source[row], rows.code_size[row] = 1, rows.code[row], 0


def lie_running_code(rows: Any) -> None:
    """The running code is copied instead of the account's."""
    row = row_where((rows.moves == 1) & (rows.no_code == 0))
    rows.source[row] = rows.code[row]


def lie_code_for_none(rows: Any) -> None:
    """An account without code has one."""
    rows.no_code[row_where(rows.no_code == 1)] = 0


def lie_no_copy(rows: Any) -> None:
    row = row_where((rows.moves == 1) & (rows.no_code == 0))
    rows.moves[row] = rows.source[row] = rows.code_size[row] = 0


def lie_moves_more(rows: Any) -> None:
    rows.sum.sum[row_where(rows.real == 1), 0] += 1


def lie_own_balance(rows: Any) -> None:
    """More leaves the own account than it had, and arrives."""
    row = row_where(rows.real == 1)
    rows.own.balance[row, 0] += 1
    rows.sum.sum[row, 0] += 1


def lie_nothing_to_move(rows: Any) -> None:
    row = row_where((rows.real == 1) & (rows.new == 1))
    rows.no_balance.zero[row], rows.new[row] = 1, 0
    rows.cost[row] -= 25_000
    _recharge(rows, row, int(rows.cost[row]))


def lie_not_new(rows: Any) -> None:
    """A new account is not paid for."""
    row = row_where(rows.new == 1)
    rows.new[row] = 0
    rows.cost[row] -= 25_000
    _recharge(rows, row, int(rows.cost[row]))


def lie_beneficiary(rows: Any) -> None:
    """Another account receives the balance."""
    rows.operand[row_where(rows.real == 1), 0] ^= 1


@pytest.mark.parametrize(
    ("table", "lie", "case", "objection"),
    [
        ("account_query", lie_cold_paid_as_warm, "queries", "cold"),
        ("account_query", lie_marked_as_touched, "queries", "account"),
        ("account_query", lie_precompile, "queries", "low limb: value * zero = 0"),
        ("account_query", lie_high_limbs, "queries", "high limbs: value * zero = 0"),
        ("account_query", lie_other_balance, "queries", "account"),
        ("account_query", lie_result, "queries", "BALANCE[0]"),
        ("account_query", lie_code_of_empty_account, "queries", "empty"),
        ("account_query", lie_no_hash, "queries", "pair 0: equal limb 0"),
        ("account_query", lie_no_size, "queries", "asks"),
        ("account_query", lie_size, "queries", "code"),
        ("account_query", lie_size_beyond_the_modulus, "queries", "range16"),
        ("account_query", lie_fails_with_gas_enough, "queries", "range16"),
        ("account_query", lie_succeeds_without_gas, "queries", "range16"),
        ("account_query", lie_from_the_future, "queries", "range16"),
        ("selfbalance", lie_other_account, "queries", "frame"),
        ("selfbalance", lie_from_the_future, "queries", "range16"),
        ("extcodecopy", lie_cold_paid_as_warm, "copies", "cold"),
        ("extcodecopy", lie_marked_as_touched, "copies", "account"),
        ("extcodecopy", lie_zeros_of_a_code, "copies", "no code[0]"),
        ("extcodecopy", lie_running_code, "copies", "code"),
        ("extcodecopy", lie_code_for_none, "copies", "code"),
        ("extcodecopy", lie_no_copy, "copies", "moves"),
        ("extcodecopy", lie_fails_with_gas_enough, "copies", "range16"),
        ("extcodecopy", lie_least_feigned, "copies", "range16"),
        ("extcodecopy", lie_least_ignored, "copies without gas", "range16"),
        ("extcodecopy", lie_succeeds_without_gas, "copies without gas", "range16"),
        ("selfdestruct", lie_cold_paid_as_warm, "destroyed for another", "cold"),
        ("selfdestruct", lie_moves_more, "destroyed for another", "add: limb 0"),
        ("selfdestruct", lie_own_balance, "destroyed for a new account", "account"),
        ("selfdestruct", lie_nothing_to_move, "destroyed for a new account", "no balance: value * inverse = 1 - zero"),
        ("selfdestruct", lie_not_new, "destroyed for a new account", "new account"),
        ("selfdestruct", lie_beneficiary, "destroyed for another", "account"),
        ("selfdestruct", lie_fails_with_gas_enough, "destroyed for itself", "range16"),
        ("selfdestruct", lie_succeeds_without_gas, "destroyed without gas", "range16"),
        ("selfdestruct", lie_least_feigned, "destroyed for itself", "range16"),
        ("selfdestruct", lie_least_ignored, "destroyed without gas", "range16"),
    ],
)
def test_lies(table: str, lie: Any, case: str, objection: str) -> None:
    assert objection in objections(FAMILY, CASES[case](), {table: lie})
