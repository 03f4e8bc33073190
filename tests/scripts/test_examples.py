"""The example batches: they come out of their scripts, and executing them gives what the scripts' books say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest
import rlp
from eth_utils.crypto import keccak

from executor.batch import Batch
from executor.execute import ExecutedBatch, execute
from executor.inputs import read_batch
from executor.limbs import addresses_to_bytes, words_to_ints
from executor.state_keys import EMPTY_CODE_HASH, StateKind
from executor.transactions import Transaction
from scripts.workloads import build_examples, traffic_others
from scripts.workloads.build_examples import EXAMPLES, MAINNET, NAMES, example, file_text
from scripts.workloads.catalogue import WORKLOADS
from scripts.workloads.example_figures import BEGIN, DOCUMENT, END, decode_receipt, measure, row
from scripts.workloads.predeployment import created_address
from scripts.workloads.traffic import Expected, wallet, wallets
from scripts.workloads.traffic_exchange import PAIR_CODE_HASH
from scripts.workloads.traffic_others import SnailtracerTraffic
from scripts.workloads.traffic_tokens import TOO_LITTLE_GAS
from tests.scripts.examples import RecordedCode, account_of, path_of, recorded_scene

MAX_BYTES = 1_000_000
PAIR_CODE_BYTES = 11_636
LONG = "snailtracer-full"
CONTRACTS = [name for name in WORKLOADS if name != LONG]
ALL = (*NAMES, MAINNET)
T = TypeVar("T")
RESOURCES = ("keccak", "sstore", "modexp", "calls", "copy")


@cache
def batch_of(name: str) -> Batch:
    return read_batch(path_of(name))


@cache
def executed(name: str) -> ExecutedBatch:
    return execute(batch_of(name))


@cache
def expected(name: str) -> Expected:
    return WORKLOADS[name](RecordedCode()).expected()


def transactions_of(name: str) -> list[Transaction]:
    return flat(block.transactions for block in batch_of(name).blocks)


class FinalState:
    """The state after an example: what its trace says of the keys it touched, and the genesis for all others."""

    def __init__(self, name: str) -> None:
        trace = executed(name).trace
        assert trace is not None
        keys = trace.keys
        columns = (words_to_ints(words) for words in (keys.slot, keys.last))
        rows = zip(keys.kind, addresses_to_bytes(keys.address), *columns, strict=True)
        self._touched = {(int(kind), address, slot): last for kind, address, slot, last in rows}
        self._genesis = batch_of(name).genesis.accounts

    def storage(self, address: bytes, slot: int) -> int:
        before = self._genesis[address].storage.get(slot, 0) if address in self._genesis else 0
        return self._touched.get((StateKind.STORAGE, address, slot), before)

    def balance(self, address: bytes) -> int:
        before = self._genesis[address].balance if address in self._genesis else 0
        return self._touched.get((StateKind.BALANCE, address, 0), before)

    def code_hash(self, address: bytes) -> bytes:
        before = keccak(self._genesis[address].code if address in self._genesis else b"")
        touched = self._touched.get((StateKind.CODE_HASH, address, 0))
        return before if touched is None else touched.to_bytes(32, "big")


@pytest.fixture
def _recorded_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic_others, "scene", lambda code: tuple(recorded_scene().items()))


def test_every_workload_has_a_file_and_every_file_a_workload() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.json")} == {*NAMES, MAINNET}


@pytest.mark.parametrize("name", ALL)
def test_files_are_small(name: str) -> None:
    assert path_of(name).stat().st_size < MAX_BYTES


@pytest.mark.usefixtures("_recorded_scene")
@pytest.mark.parametrize("name", NAMES)
def test_files_are_what_the_scripts_write(name: str) -> None:
    """With the contracts' code as the files record it; everything else comes from the scripts."""
    assert file_text(example(name, RecordedCode())) == path_of(name).read_text()


@pytest.mark.deep
def test_files_are_what_the_compilers_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["build_examples", "--out", str(tmp_path)])
    build_examples.main()
    for name in NAMES:
        assert (tmp_path / f"{name}.json").read_bytes() == path_of(name).read_bytes()


@pytest.mark.parametrize("name", CONTRACTS)
def test_statuses_and_logs(name: str) -> None:
    receipts = [[decode_receipt(receipt) for receipt in block] for block in executed(name).receipts]
    assert [[succeeded for succeeded, _ in block] for block in receipts] == expected(name).succeeds
    assert [[logs for _, logs in block] for block in receipts] == expected(name).logs


@pytest.mark.parametrize("name", CONTRACTS)
def test_final_state(name: str) -> None:
    state, books = FinalState(name), expected(name)
    assert {key: state.storage(*key) for key in books.storage} == books.storage
    assert {address: state.balance(address) for address in books.balances} == books.balances
    assert {address: state.code_hash(address) != EMPTY_CODE_HASH for address in books.created} == books.created


@pytest.mark.parametrize("name", ["erc20", "erc20-vyper", "erc20-yul", "nft", "uniswap", "deploy", "mixed"])
def test_some_transactions_fail_and_most_do_not(name: str) -> None:
    succeeds = flat(expected(name).succeeds)
    assert 0.05 < succeeds.count(False) / len(succeeds) < 0.4


@pytest.mark.parametrize("name", ["erc20", "erc20-vyper", "erc20-yul"])
def test_a_hundred_token_transfers(name: str) -> None:
    transactions = transactions_of(name)
    assert len(transactions) == 100
    accounts = {account.address for account in wallets("erc20 account", 20)}
    assert {transaction.sender for transaction in transactions} <= accounts
    receivers = {transaction.data[16:36] for transaction in transactions}
    assert receivers <= accounts
    assert len(receivers) > 15
    # Cold and warm slots, and every way to fail.
    warm = sum(transaction.access_keys > 0 for transaction in transactions)
    assert 10 < warm < 50
    # Two ways to fail: less than the balance, and too little gas, all of which is used.
    spent = [gas for gas, succeeds in zip(gas_used(name), flat(expected(name).succeeds), strict=True) if not succeeds]
    assert TOO_LITTLE_GAS in spent
    assert any(gas != TOO_LITTLE_GAS for gas in spent)


def flat(blocks: Iterable[Iterable[T]]) -> list[T]:
    return [item for block in blocks for item in block]


def gas_used(name: str) -> list[int]:
    """Gas that each transaction uses, by the cumulative gas in the receipts."""
    result = []
    for block in executed(name).receipts:
        before = 0
        for receipt in block:
            cumulative = int.from_bytes(rlp.decode(receipt[1:] if receipt[0] < 0x80 else receipt)[1])
            result.append(cumulative - before)
            before = cumulative
    return result


def test_the_three_tokens_run_one_plan() -> None:
    plans = [
        [replace(transaction, raw=b"", access_list=()) for transaction in transactions_of(name)]
        for name in ("erc20", "erc20-vyper", "erc20-yul")
    ]
    assert plans[0] == plans[1] == plans[2]
    assert expected("erc20").succeeds == expected("erc20-vyper").succeeds == expected("erc20-yul").succeeds


@pytest.mark.parametrize("name", RESOURCES)
def test_a_million_gas_each(name: str) -> None:
    assert 900_000 < executed(name).gas_used < 1_200_000


def test_uniswap_is_the_published_bytecode() -> None:
    """The router computes the pairs' addresses with the hash of their code that mainnet has."""
    code = RecordedCode()
    assert PAIR_CODE_HASH in code.creation_code("UniswapV2Router02")
    # The factory carries the pair's creation code.
    factory = code.creation_code("UniswapV2Factory")
    assert any(
        keccak(factory[start : start + PAIR_CODE_BYTES]) == PAIR_CODE_HASH
        for start in range(len(factory) - PAIR_CODE_BYTES)
    )


def test_created_tokens_have_the_code_of_the_other_examples() -> None:
    creator = wallet("deploy account", 0).address
    state = FinalState("deploy")
    token = created_address(wallet("erc20").address, 0)
    for nonce, name in enumerate(("erc20", "erc20-vyper", "erc20-yul")):
        code = bytes.fromhex(account_of(name, token)["code"][2:])
        assert state.code_hash(created_address(creator, nonce)) == keccak(code)


def test_the_last_pixel_draws_random_numbers_in_order() -> None:
    """The ray tracer's random numbers: a linear congruential generator that begins with the number of the pixel."""
    column, row_ = (int.from_bytes(transactions_of("snailtracer")[-1].data[start:][:32]) for start in (4, 36))
    number = row_ * 1_024 + column
    last = FinalState("snailtracer").storage(SnailtracerTraffic.ADDRESS, SnailtracerTraffic.SEED_SLOT)
    drawn = 0
    while number != last:
        number = (1_103_515_245 * number + 12_345) % 2**32
        drawn += 1
        assert drawn < 1_000
    assert drawn >= 2  # the ray's place in the pixel


@pytest.mark.deep
def test_the_whole_benchmark_removes_its_scene() -> None:
    result = executed(LONG)
    assert [decode_receipt(receipt) for block in result.receipts for receipt in block] == [(True, 0)]
    state = FinalState(LONG)
    written = {slot: state.storage(SnailtracerTraffic.ADDRESS, slot) for slot in recorded_scene()}
    assert {slot for slot, value in written.items() if value} == {SnailtracerTraffic.SEED_SLOT}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.deep if name == LONG else ()) for name in ALL])
def test_the_documented_figures(name: str) -> None:
    table = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    path = path_of(name)
    assert row(name, measure(executed(name)), path.stat().st_size) in table.splitlines()
