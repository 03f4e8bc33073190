"""The transfer workload: what it contains, and that the executor agrees with its account book."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from executor.batch import Batch, batch_from_document
from executor.execute import execute
from executor.limbs import words_to_ints
from executor.provable import check_provable
from executor.state_keys import StateKey, StateKind
from executor.trace import ExecutionTrace
from executor.transactions import Transaction
from scripts.workloads import build_examples
from scripts.workloads.transfers import expected_balances, transfer_batch

EXAMPLE = Path(__file__).parents[2] / "examples" / "transfer.json"


@pytest.fixture(scope="module")
def batch() -> Batch:
    return batch_from_document(transfer_batch())


@pytest.fixture(scope="module")
def trace(batch: Batch) -> ExecutionTrace:
    return check_provable(execute(batch))


def balances(trace: ExecutionTrace) -> dict[bytes, int]:
    values = words_to_ints(trace.keys.last)
    return {key.address: value for key, value in zip(trace.state_keys(), values, strict=True) if key.kind == 1}


def test_the_example_file_is_what_the_script_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "transfer.json"
    monkeypatch.setattr("sys.argv", ["build_examples", "transfer", "--out", str(tmp_path)])
    build_examples.main()
    assert path.read_bytes() == EXAMPLE.read_bytes()


def test_the_executor_agrees_with_the_account_book(trace: ExecutionTrace) -> None:
    expected = expected_balances()
    # Addresses of access lists are touched, too.
    assert {address: expected.get(address, 0) for address in balances(trace)} == balances(trace)


def test_blocks_and_accounts(batch: Batch, trace: ExecutionTrace) -> None:
    assert [len(block.transactions) for block in batch.blocks] == [40, 10, 0, 30, 20]
    assert len({key.address for key in trace.state_keys()}) in range(40, 50)


def test_all_kinds_of_transfers_occur(batch: Batch, trace: ExecutionTrace) -> None:
    everything = [(block, transaction) for block in batch.blocks for transaction in block.transactions]
    transactions = [transaction for _, transaction in everything]
    assert {transaction.type for transaction in transactions} == {0, 1, 2}
    assert {transaction.type for transaction in transactions if transaction.access_list} == {1, 2}
    assert any(transaction.access_keys for transaction in transactions)
    assert any(transaction.zero_bytes for transaction in transactions)
    assert any(transaction.nonzero_bytes for transaction in transactions)
    assert any(transaction.value == 0 for transaction in transactions)
    assert any(transaction.sender == transaction.to for transaction in transactions)
    assert any(transaction.to == block.context.coinbase for block, transaction in everything)
    assert any(transaction.sender == block.context.coinbase for block, transaction in everything)
    assert any(transaction.gas_limit > transaction.intrinsic_gas for transaction in transactions)
    genesis = batch.genesis.accounts
    assert len({transaction.recipient for transaction in transactions} - set(genesis)) >= 8
    base_fees = words_to_ints(trace.blocks.base_fee)
    assert any(
        capped(transaction, base_fees[block])
        for block, transaction in zip(trace.transactions.block, transactions, strict=True)
    )
    drained = StateKey(StateKind.BALANCE, transactions[-1].sender)
    assert words_to_ints(trace.keys.last)[trace.state_keys().index(drained)] == 0


def capped(transaction: Transaction, base_fee: int) -> bool:
    """The fee cap leaves less than the tip the sender offers, but something."""
    return 0 < transaction.max_fee - base_fee < transaction.max_priority_fee < transaction.max_fee


def test_equal_arguments_give_equal_batches_and_other_seeds_others() -> None:
    small = json.dumps(transfer_batch(7, seed=1))
    assert small == json.dumps(transfer_batch(7, seed=1))
    assert small != json.dumps(transfer_batch(7, seed=2))


@pytest.mark.parametrize("transactions", [1, 2, 9, pytest.param(333, marks=pytest.mark.deep)])
def test_other_sizes(transactions: int) -> None:
    trace = check_provable(execute(batch_from_document(transfer_batch(transactions, seed=5))))
    assert len(trace.transactions) == transactions
    touched = balances(trace)
    expected = expected_balances(transactions, seed=5)
    assert {address: expected.get(address, 0) for address in touched} == touched


@pytest.mark.deep
def test_large_batches_have_several_rounds_of_blocks() -> None:
    sizes = [len(block["transactions"]) for block in transfer_batch(1_501)["blocks"]]
    assert sum(sizes) == 1_501
    assert len(sizes) == 10
    assert max(sizes) <= 600


def test_a_workload_has_transactions() -> None:
    with pytest.raises(ValueError, match="at least one transaction"):
        transfer_batch(0)
