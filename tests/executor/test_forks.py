"""Forks after Cancun: cases of the public tests of each of their EIPs, their traces, and that they are not proved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from executor.blobs import blob_base_fee, next_excess_blob_gas
from executor.conformance import check_case
from executor.errors import BatchError, UnsupportedFeature
from executor.execute import ExecutedBatch, execute
from executor.fixtures import case_batch, case_steps, fixture_files, parse_case, schedule_of
from executor.forks import BPO1, BPO2, CANCUN, FORKS, GAS_PER_BLOB, OSAKA, PRAGUE, Schedule
from executor.limits import Limits
from executor.provable import check_provable
from executor.rebuild import rebuild_receipts, rebuild_state_roots
from executor.trace import NONE, FrameKind
from scripts.batches.builder import Builder
from tests.executor.consistency import check_trace

ARCHIVE = Path(__file__).parent / "fixtures" / "later_forks.tar.xz"  # some of the execution spec tests of May 2026
CASES: dict[str, Any] = {
    name: document for file, _ in fixture_files([ARCHIVE]) for name, document in file.documents().items()
}

# The exceptions that the cases name, and where the error must be.
REFUSALS = {
    "BlockException.INVALID_DEPOSIT_EVENT_LAYOUT": "logs",
    "BlockException.INVALID_REQUESTS": "header.requestsHash",
    "BlockException.SYSTEM_CONTRACT_CALL_FAILED": None,
    "BlockException.SYSTEM_CONTRACT_EMPTY": None,
    "TransactionException.GAS_LIMIT_EXCEEDS_MAXIMUM": "gas",
    "TransactionException.INTRINSIC_GAS_BELOW_FLOOR_GAS_COST": "gas",
    "TransactionException.INTRINSIC_GAS_TOO_LOW": "gas",
    "TransactionException.TYPE_3_TX_BLOB_COUNT_EXCEEDED": "blobVersionedHashes",
    "TransactionException.TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED": "blobVersionedHashes",
    "TransactionException.TYPE_4_TX_CONTRACT_CREATION": "to",
}


def same_again(executed: ExecutedBatch) -> None:
    """The trace fits itself and the blocks, and the witness is enough to execute the batch again."""
    trace, witness = executed.trace, executed.witness
    assert trace is not None
    assert witness is not None
    check_trace(trace)
    assert rebuild_receipts(trace) == executed.receipts
    roots = rebuild_state_roots(trace, witness)
    assert roots[-1:] == [executed.post_state_root][: len(roots)]
    again = execute(executed.with_witness(), trace=False)
    assert again.last_block_hash == executed.last_block_hash


@pytest.mark.parametrize("name", CASES, ids=lambda name: name.partition("::")[2])
def test_cases_of_later_forks_pass_and_their_traces_are_whole(name: str) -> None:
    check_case(parse_case(name, CASES[name]), Limits(), same_again)


@pytest.mark.parametrize(
    "name",
    [name for name, document in CASES.items() if any("expectException" in block for block in document["blocks"])],
    ids=lambda name: name.partition("::")[2],
)
def test_invalid_blocks_are_refused_for_the_reason_that_the_case_names(name: str) -> None:
    case = parse_case(name, CASES[name])
    for step in case_steps(case):
        if step.valid:
            continue
        error = step.refusal
        if error is None:
            with pytest.raises(BatchError) as caught:
                execute(case_batch(case, step.chain), trace=False)
            error = caught.value
        exceptions = (case.blocks[step.index].expect_exception or "").split("|")
        assert error.field in [REFUSALS[exception] for exception in exceptions]


# -- the rules of forks


def test_blob_schedules() -> None:
    """EIP-7840, EIP-7892; BPO1 and BPO2 as the main network has them."""
    given = {name: (fork.blobs.target_gas_per_block, fork.blobs.max_gas_per_block) for name, fork in FORKS.items()}
    blobs = {name: (target // GAS_PER_BLOB, most // GAS_PER_BLOB) for name, (target, most) in given.items()}
    assert blobs == {
        "cancun": (3, 6),
        "prague": (6, 9),
        "osaka": (6, 9),
        "bpo1": (10, 15),
        "bpo2": (14, 21),
        "bpo3": (21, 32),
        "bpo4": (14, 21),
    }


def test_the_fee_of_blobs_stays_below_256_bits() -> None:
    for fork in FORKS.values():
        assert blob_base_fee(11 * fork.blobs.max_excess_gas // 10, fork.blobs) < 2**256


@pytest.mark.parametrize(
    ("fork", "excess", "used", "base_fee", "expected"),
    [
        (CANCUN, 0, 2, 7, 0),
        (CANCUN, 5, 6, 10**9, 8),
        (PRAGUE, 5, 6, 10**9, 5),
        # EIP-7918: 2**13 gas are worth more than a blob, which costs 2**17 wei here: from 17 wei per gas on.
        (OSAKA, 5, 6, 16, 5),
        (OSAKA, 5, 6, 17, 5 + 6 * 3 / 9),
        (OSAKA, 0, 5, 10**9, 0),
        (BPO1, 20, 15, 10**9, 20 + 15 * 5 / 15),
    ],
)
def test_excess_blob_gas(fork: Any, excess: int, used: int, base_fee: int, expected: float) -> None:
    """Numbers of blobs; the base fee is in wei per gas."""
    found = next_excess_blob_gas(excess * GAS_PER_BLOB, used * GAS_PER_BLOB, base_fee, fork.blobs)
    assert found == expected * GAS_PER_BLOB


def test_an_excess_beyond_all_bounds_takes_no_time() -> None:
    assert next_excess_blob_gas(2**64, 0, 10**9, OSAKA.blobs) > OSAKA.blobs.max_excess_gas


def test_a_chain_has_the_fork_of_the_time() -> None:
    schedule = Schedule(CANCUN, ((10, PRAGUE), (20, OSAKA), (20, BPO1)))
    assert [schedule.at(time).name for time in (0, 9, 10, 19, 20, 2**64)] == [
        "cancun",
        "cancun",
        "prague",
        "prague",
        "bpo1",
        "bpo1",
    ]
    assert [fork.name for fork in schedule.forks] == ["cancun", "prague", "osaka", "bpo1"]


@pytest.mark.parametrize(
    ("network", "schedule"),
    [
        ("Cancun", Schedule(CANCUN)),
        ("BPO2", Schedule(BPO2)),
        ("PragueToOsakaAtTime15k", Schedule(PRAGUE, ((15_000, OSAKA),))),
        ("Shanghai", None),
        ("ShanghaiToCancunAtTime15k", None),
        ("CancunToAmsterdamAtTime15k", None),
        ("CancunToPragueAtTime", None),
        ("CancunToPragueAtBlock15k", None),
    ],
)
def test_networks_of_the_public_tests(network: str, schedule: Schedule | None) -> None:
    assert schedule_of(network) == schedule


# -- batches of our own

CONTRACT = b"\xcc" * 20
SYSTEM_CODE = "0x5f5ff3"  # RETURN of nothing: what a block needs of the contracts of requests


SCHEDULE = {"target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477}  # of Cancun, as geth has it


def building_of(fork: Any, **genesis: Any) -> Builder:
    """A batch of these forks, with contracts of requests that have none."""
    building = Builder(**genesis)
    building.document["fork"] = fork
    for call in PRAGUE.block_end_calls:
        building.alloc(call.address, code=SYSTEM_CODE)
    return building


def test_a_batch_crosses_a_fork() -> None:
    building = building_of({"cancun": 0, "prague": 1024})
    executed = building.block(building.transfer()).block(building.transfer()).execute()
    assert (executed.forks, executed.fork) == ([CANCUN, PRAGUE], "cancun, prague from 1024")
    trace = executed.trace
    assert trace is not None
    check_trace(trace)
    # Nothing is at the addresses of the contracts that are called before the transactions.
    system = trace.frames.kind == FrameKind.SYSTEM
    assert trace.frames.block[system].tolist() == [1, 1]
    assert (trace.frames.transaction[system] == NONE).all()
    assert check_provable(executed) is trace


def test_statements_name_the_forks_that_blocks_are_of() -> None:
    for name in FORKS:
        building = building_of(name)
        assert building.execute().fork == ""
        assert building.block().execute().fork == name
    building = building_of({"cancun": 0, "prague": 1000, "osaka": 1030, "bpo1": 1036, "bpo2": 5000})
    # At 1012, 1024 and 1036: none is of Cancun, Osaka or BPO2.
    assert building.block().block().block().execute().fork == "prague, bpo1 from 1036"


@pytest.mark.parametrize("name", ["cancun", "prague"])
def test_a_fork_with_other_blobs_is_not_what_is_proved(name: str) -> None:
    building = building_of(name, config={f"{fork}Time": 0 for fork in ("cancun", name)})
    building.document["genesis"]["config"]["blobSchedule"] = {name: SCHEDULE | {"max": 7}}
    del building.document["fork"]
    executed = building.block(building.transfer()).execute()
    assert (executed.fork, executed.forks[0].blobs.max_gas_per_block) == (name, 7 * GAS_PER_BLOB)
    with pytest.raises(UnsupportedFeature, match=rf"^fork {name} with another blob schedule in block 0$"):
        check_provable(executed)


def run_code(fork: str, code: str, gas: int = 200_000) -> tuple[int, int]:
    """What a contract of this code leaves in its slot 0, and the status of the transaction that calls it."""
    building = building_of(fork).alloc(CONTRACT, code=code)
    executed = building.block(building.transfer(to=CONTRACT, value=0, gas=gas)).execute()
    assert executed.trace is not None
    check_trace(executed.trace)
    return executed.post_state.storage(CONTRACT, 0), int(executed.trace.transactions.status[0])


@pytest.mark.parametrize(("word", "zeros"), [(0, 256), (1, 255), (2**255, 0), (2**200 + 5, 55)])
def test_leading_zeros_are_counted(word: int, zeros: int) -> None:
    code = f"0x7f{word:064x}1e5f5500"
    assert run_code("osaka", code) == (zeros, 1)
    assert run_code("prague", code) == (0, 0)


def test_a_transaction_has_a_gas_limit_of_its_own() -> None:
    for gas, is_valid in ((2**24, True), (2**24 + 1, False)):
        for fork in ("prague", "osaka"):
            building = building_of(fork)
            building.block(building.transfer(gas=gas))
            if is_valid or fork == "prague":
                building.execute()
            else:
                with pytest.raises(BatchError, match=r"^block 0, transaction 0, gas: .* \(EIP-7825\)$"):
                    building.execute()


def test_calldata_has_a_floor() -> None:
    """EIP-7623: 10 gas for a zero, 40 for another byte, though the bytes themselves cost 4 and 16."""
    for fork, used in (("cancun", 21_000 + 64 * 4 + 64 * 16), ("prague", 21_000 + 64 * 10 + 64 * 40)):
        building = building_of(fork)
        executed = building.block(building.transfer(data="0x" + "00" * 64 + "11" * 64, gas=50_000)).execute()
        assert executed.gas_used == used
        # The sender pays for it, and no more.
        spent = Builder.ETHER - executed.post_state.account(Builder.WALLETS[0]).balance - 1
        assert spent == used * 1_000


def test_a_block_has_no_more_than_its_bytes() -> None:
    building = building_of("osaka")
    batch = building.block(building.transfer(data="0x" + "00" * 1_000, gas=100_000)).read()
    executed = execute(batch)
    (header, transactions), *_ = executed.blocks
    size = 3 + len(header) + 3 + sum(map(len, transactions)) + 2
    for most, is_valid in ((size, True), (size - 1, False)):
        changed = replace(batch, schedule=Schedule(replace(OSAKA, max_block_bytes=most)))
        if is_valid:
            assert execute(changed).last_block_hash == executed.last_block_hash
        else:
            with pytest.raises(BatchError, match=rf"^block 0: a block of {size} bytes, more than {most} \(EIP-7934\)$"):
                execute(changed)


def test_a_block_needs_the_contracts_of_requests() -> None:
    building = building_of("prague").block()
    address = "0x" + PRAGUE.block_end_calls[0].address.hex()
    del building.document["genesis"]["alloc"][address]
    with pytest.raises(BatchError, match=rf"^block 0: no system contract at {address}$"):
        building.execute()
    with pytest.raises(BatchError, match=rf"^block 0: the call of the system contract {address} failed"):
        building.alloc(PRAGUE.block_end_calls[0].address, code="0xfe").execute()


def test_a_system_call_does_not_know_the_coinbase() -> None:
    """EIP-3651 is about transactions: nothing of the account is needed for a block without any."""
    contract = PRAGUE.block_end_calls[0].address
    for code, cost in (("0x00", 0), ("0x5a4131505a90035f5500", 2 + 2_600 + 2 + 2)):
        # COINBASE, BALANCE, POP, GAS: what they cost goes into slot 0.
        executed = building_of("prague").alloc(contract, code=code).block().execute()
        assert executed.post_state.storage(contract, 0) == cost
        assert executed.trace is not None
        check_trace(executed.trace)
        assert (Builder.COINBASE in {key.address for key in executed.trace.state_keys()}) == bool(cost)


def test_a_system_call_leaves_no_empty_account() -> None:
    """EIP-161: not the coinbase either, whom nobody pays in a block without transactions. Like calling somebody who is
    there, that leaves the state as it is.
    """
    for contract in PRAGUE.system_contracts:
        # CALL of the coinbase with all gas and no value; SELFDESTRUCT with nothing to give, to the coinbase.
        for code in ("0x5f5f5f5f5f415af1", "0x41ff"):
            building = building_of("prague").alloc(contract, code=code)
            empty, full = (
                building.copy().block(coinbase=coinbase).execute().post_state_root
                for coinbase in (Builder.COINBASE, Builder.WALLETS[0])
            )
            assert empty == full


def test_sender_with_a_delegation_may_send_from_prague_on() -> None:
    for fork, is_valid in (("cancun", False), ("prague", True)):
        building = building_of(fork)
        building.alloc(Builder.WALLETS[0], balance=hex(Builder.ETHER), code="0xef0100" + CONTRACT.hex())
        building.block(building.transfer())
        if is_valid:
            same_again(building.execute())
        else:
            with pytest.raises(BatchError, match=r"has code \(EIP-3607\)$"):
                building.execute()


def test_an_account_takes_the_code_of_another_one() -> None:
    """EIP-7702: a transaction to a wallet runs the contract's code in the wallet's storage."""
    building = building_of("prague").alloc(CONTRACT, code="0x335f5500")  # SSTORE of the caller
    wallet = Builder.WALLETS[1]
    authorization = {"secretKey": "0x" + Builder.KEYS[1].hex(), "address": "0x" + CONTRACT.hex(), "nonce": 0}
    fees = {"type": 4, "maxFeePerGas": 1_000, "maxPriorityFeePerGas": 0, "gas": 100_000}
    request = building.transfer(to=wallet, value=0, authorizationList=[authorization], **fees)
    executed = building.block(request).execute()
    account = executed.post_state.account(wallet)
    assert account is not None
    assert (account.nonce, account.code_hash) == (1, keccak(b"\xef\x01\x00" + CONTRACT))
    assert executed.post_state.storage(wallet, 0) == int.from_bytes(Builder.WALLETS[0], "big")
    assert executed.post_state.storage(CONTRACT, 0) == 0
    # CALLER, PUSH0 and a first write; the wallet was there before, so that half of the authorization is given back.
    assert executed.gas_used == 21_000 + 25_000 + 2 + 2 + 22_100 - 12_500
    building.document["fork"] = "cancun"
    with pytest.raises(BatchError, match=r"^block 0, transaction 0, type: 4 does not exist in cancun$"):
        building.execute()
