"""The conformance runner: what passes, what must not pass, and what a case cannot do to the others."""

from __future__ import annotations

import copy
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_utils.crypto import keccak

from executor import conformance
from executor.case_pool import Outcome, Task, Verdict, run_tasks
from executor.conformance import Failed, Report, check_case, judge_case, run
from executor.errors import BatchError, UnsupportedFeature
from executor.execute import ExecutedBatch, execute
from executor.fixtures import (
    Case,
    FixtureError,
    FixtureFile,
    Step,
    batch_from_fixture,
    case_batch,
    case_steps,
    fixture_files,
    parse_case,
)
from executor.limits import Limits
from tests.executor.cases import fixture_of

FILE = Path(__file__).parent / "fixtures" / "blockchain_tests.json"
DOCUMENTS: dict[str, Any] = json.loads(FILE.read_text())
INITCODE_SIZE: dict[str, Any] = json.loads((FILE.parent / "initcode_size.json").read_text())  # EIP-3860
CANCUN = [name for name, document in DOCUMENTS.items() if document["network"] == "Cancun"]
WITHDRAWAL = "amountIs0TouchAccount_Cancun"
POST_STATE_HASH = "CREATE_FirstByte_loop_d0g0v0_Cancun"
NONCE = "TransactionNonceCheck_Cancun"
MIXED = "baseFee_Cancun"  # blocks 2 and 4 are invalid, the other four valid

SHARED = [folder / "shared" / "ethereum-tests" for folder in Path(__file__).parents[2:4]]
ARCHIVE = next((file for folder in SHARED if (file := folder / "blockchain-tests.tar.xz").exists()), None)


def check(document: Any, limits: Limits = Limits()) -> None:  # noqa: B008
    check_case(parse_case("a", document), limits)


def failure(document: Any) -> str:
    with pytest.raises(Failed) as caught:
        check(document)
    return str(caught.value)


def changed(name: str) -> dict[str, Any]:
    """A case that may be changed."""
    document: dict[str, Any] = copy.deepcopy(DOCUMENTS[name])
    return document


@pytest.mark.parametrize("name", CANCUN, ids=lambda name: name[-40:])
def test_cases_of_the_public_suite_pass(name: str) -> None:
    check(DOCUMENTS[name])


@pytest.mark.parametrize("name", INITCODE_SIZE, ids=lambda name: name.rpartition("-")[2])
def test_an_initcode_that_is_too_long_halts_though_the_balance_does_not_suffice(name: str) -> None:
    check(INITCODE_SIZE[name])


# -- every part of a case is looked at


def test_another_last_block_is_a_failure() -> None:
    document = changed(WITHDRAWAL) | {"lastblockhash": "0x" + "12" * 32}
    assert failure(document).endswith("where the case has 0x" + "12" * 32)


def test_a_last_block_before_the_last_valid_one_is_a_failure() -> None:
    document = changed(MIXED)
    document["lastblockhash"] = document["blocks"][0]["blockHeader"]["hash"]
    assert failure(document).startswith("the last block is 0x")


@pytest.mark.parametrize("change", ["balance", "nonce", "code", "storage", "more", "fewer"])
def test_another_post_state_is_a_failure(change: str) -> None:
    document = changed(WITHDRAWAL)
    accounts = document["postState"]
    address = next(iter(accounts))
    match change:
        case "more":
            accounts["0x" + "77" * 20] = {"balance": "0x01", "nonce": "0x00", "code": "0x", "storage": {}}
        case "fewer":
            del accounts[address]
        case "storage":
            accounts[address]["storage"]["0x1234"] = "0x01"
        case "code":
            accounts[address]["code"] += "00"
        case _:
            accounts[address][change] = hex(int(accounts[address][change], 16) + 1)
    assert failure(document).startswith("the post-state has the root 0x")


def test_another_hash_of_the_post_state_is_a_failure() -> None:
    document = changed(POST_STATE_HASH) | {"postStateHash": "0x" + "12" * 32}
    assert failure(document).startswith("the post-state has the root 0x")


def test_a_valid_block_that_ought_to_be_invalid_is_a_failure() -> None:
    document = changed(MIXED)
    document["blocks"][5] |= {"expectException": "BlockException.INVALID_GAS_USED"}
    assert failure(document) == "block 5 is accepted, but is invalid"
    # Old cases only leave out the header.
    document = changed(MIXED)
    del document["blocks"][5]["blockHeader"]
    assert failure(document) == "block 5 is accepted, but is invalid"


def test_an_invalid_block_that_ought_to_be_valid_is_a_failure() -> None:
    document = changed(MIXED)
    invalid = document["blocks"][4]
    del invalid["expectException"]
    block_hash = keccak(rlp.encode(rlp.decode(bytes.fromhex(invalid["rlp"][2:]))[0]))
    invalid["blockHeader"] = {"hash": "0x" + block_hash.hex()}
    assert failure(document).startswith("a valid block is refused: block 4, transaction ")


def test_a_valid_block_with_an_unknown_parent_is_a_failure() -> None:
    document = changed(MIXED)
    del document["blocks"][1]
    assert failure(document) == "a valid block is refused: block 2, header.parentHash: no block before it has this hash"


def test_another_pre_state_refuses_the_case_and_not_its_invalid_block() -> None:
    document = changed(NONCE)
    address = next(iter(document["pre"]))
    document["pre"][address]["balance"] = "0x1234"
    with pytest.raises(BatchError, match=r"parent\.stateRoot"):
        check(document)


# -- side chains, which the public cases of these forks do not have


@pytest.fixture
def forked(builder: Any) -> dict[str, Any]:
    """Block 0, on it blocks 1 and 2 of one chain, and then blocks 3 and 4 of another."""
    trunk = builder()
    trunk.block(trunk.transfer())
    branches = [trunk.copy(), trunk.copy()]
    for value, branch in enumerate(branches):
        branch.block(branch.transfer(value=10 + value)).block(branch.transfer(1, value=20 + value))
    return fixture_of(branches, head=1)


def test_side_chains_are_executed_on_their_own_ancestors(forked: dict[str, Any]) -> None:
    assert len(forked["blocks"]) == 5
    check(forked)


def test_the_head_is_the_latest_block_given(forked: dict[str, Any]) -> None:
    order = [0, 3, 4, 1, 2]
    assert failure(forked | {"blocks": [forked["blocks"][index] for index in order]}).startswith("the last block is 0x")
    check(forked | {"blocks": [forked["blocks"][index] for index in (0, 1, 3, 2, 4)]})


def test_all_blocks_of_side_chains_must_be_valid(forked: dict[str, Any]) -> None:
    # The last block of the first chain, with a header that claims other gas.
    parts = rlp.decode(bytes.fromhex(forked["blocks"][2]["rlp"][2:]))
    parts[0][10] = b"\x52\x09"
    given = {"rlp": "0x" + rlp.encode(parts).hex()}
    valid = given | {"blockHeader": {"hash": "0x" + keccak(rlp.encode(parts[0])).hex()}}
    forked["blocks"][2] = valid
    assert failure(forked).startswith("a valid block is refused: block 2, header.gasUsed: 21001 where execution")
    forked["blocks"][2] = given
    check(forked)


# -- verdicts, samples and reports


def test_the_report_of_a_run(tmp_path: Path) -> None:
    wrong = changed(WITHDRAWAL) | {"lastblockhash": "0x" + "12" * 32}
    malformed = changed(WITHDRAWAL) | {"genesisRLP": "0x"}
    file = tmp_path / "planted.json"
    file.write_text(json.dumps({"good": DOCUMENTS[NONCE], "wrong": wrong, "malformed": malformed, "other": {"a": 1}}))
    (tmp_path / "damaged.json").write_text("{")
    calls: list[tuple[int, int]] = []
    report = run([tmp_path], workers=2, progress=lambda done, total: calls.append((done, total)))
    assert report.passed == 1
    assert report.to_dict()["failed"] == 4
    assert list(report.failed) == [
        str(tmp_path / "damaged.json"),
        *(f"{file}::{n}" for n in sorted(("wrong", "malformed", "other"))),
    ]
    assert report.failed[f"{file}::wrong"].startswith("the last block is 0x")
    assert report.failed[f"{file}::malformed"].startswith("malformed: not RLP")
    assert report.failed[f"{file}::other"] == "malformed: not a BlockchainTest: it has no network or no blocks"
    assert calls == [(2, 5), (3, 5), (4, 5), (5, 5)]
    document = report.to_dict()
    assert list(document) == ["passed", "failed", "unsupported", "left_out", "reasons"]
    assert document["reasons"] == {"failed": dict(report.failed), "unsupported": {}, "left_out": {}}
    assert json.loads(json.dumps(document)) == document


@pytest.mark.deep
def test_other_networks_and_other_kinds_of_tests_are_left_out_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "mixed.json"
    case = DOCUMENTS[NONCE]
    engine = {name: part for name, part in case.items() if name not in ("blocks", "genesisRLP")}
    file.write_text(
        json.dumps(
            {
                "good": case,
                "shanghai": case | {"network": "Shanghai"},
                "changes on the way": case | {"network": "ShanghaiToCancunAtTime15k"},
                "changes later": case | {"network": "OsakaToAmsterdamAtTime15k"},
                "state": {"env": {}, "pre": {}, "transaction": {}, "post": {"Cancun": []}, "config": {}},
                "engine": engine | {"engineNewPayloads": []},
                "transaction": {"txbytes": "0x", "result": {}},
            }
        )
    )
    known = "cancun, prague, osaka, bpo1, bpo2, bpo3, bpo4, and changes between these"
    reasons = {
        "changes later": f"network OsakaToAmsterdamAtTime15k, not one of {known}",
        "changes on the way": f"network ShanghaiToCancunAtTime15k, not one of {known}",
        "engine": "engine test, not a BlockchainTest",
        "shanghai": f"network Shanghai, not one of {known}",
        "state": "state test, not a BlockchainTest",
        "transaction": "transaction test, not a BlockchainTest",
    }
    report = run([file], workers=1)
    assert report == Report(1, {}, {}, {}, {f"{file}::{name}": reason for name, reason in reasons.items()})
    assert report.cases == 7
    document = report.to_dict()
    assert (document["passed"], document["left_out"]) == (1, 6)
    assert document["reasons"]["left_out"] == report.not_run
    alone = run([f"{file}::changes later"], workers=1)
    assert (alone.passed, dict(alone.not_run)) == (0, {f"{file}::changes later": reasons["changes later"]})
    nothing = tmp_path / "nothing.json"
    nothing.write_text("{}")
    # A sample is one of what can be run.
    assert run([file], limit=1, workers=1).passed == 1
    with pytest.raises(FixtureError, match="state: state test, not a BlockchainTest"):
        batch_from_fixture(file, "state")
    with pytest.raises(FixtureError, match="no tests"):
        run([nothing])


@pytest.mark.deep
def test_one_case_can_be_run() -> None:
    assert run([f"{FILE}::{NONCE}", f"{FILE}::{NONCE}"], workers=1) == Report(1, {}, {}, {})
    with pytest.raises(FixtureError, match="no such case"):
        run([f"{FILE}::nothing"])


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (4, 4), (15, 15), (100, 15)])
def test_a_sample_is_spread_out_and_always_the_same(limit: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def record(tasks: Any, *_: Any) -> Any:
        names = [name for task in tasks for name in task.names]
        seen.append(names)
        return iter([Verdict(name, Outcome.PASSED) for name in names])

    monkeypatch.setattr(conformance, "run_tasks", record)
    assert run([FILE], limit=limit).passed == expected
    assert run([FILE], limit=limit).passed == expected
    assert seen[0] == seen[1]
    places = [sorted(CANCUN).index(name) for name in seen[0]]
    assert len(set(places)) == expected
    # One of every part when all cases are cut into as many parts of one size.
    assert [place * expected // len(CANCUN) for place in sorted(places)] == list(range(expected))


def test_a_case_over_its_limit_is_left_out() -> None:
    verdict = judge_case("a", DOCUMENTS[POST_STATE_HASH], 0.0)
    assert verdict == Verdict("a", Outcome.LEFT_OUT, "the execution went over its limit of 0.0 seconds")


@pytest.mark.deep
def test_what_is_done_further_has_verdicts_of_its_own() -> None:
    def refuse(executed: ExecutedBatch) -> None:
        raise UnsupportedFeature("flying", len(executed.blocks))

    def object_to(executed: ExecutedBatch) -> None:
        raise Failed("one violation")

    def crash(executed: ExecutedBatch) -> None:
        raise ZeroDivisionError("oops")

    document = DOCUMENTS[POST_STATE_HASH]
    assert judge_case("a", document, 100.0, refuse) == Verdict("a", Outcome.UNSUPPORTED, "flying in block 1")
    assert judge_case("a", document, 100.0, object_to) == Verdict("a", Outcome.FAILED, "one violation")
    reason = "internal error: ZeroDivisionError: oops"
    assert judge_case("a", document, 100.0, crash) == Verdict("a", Outcome.FAILED, reason)


def play(name: str, document: Any, stage: str, seconds: float) -> Verdict:
    """A judge that does what the document says."""
    if document == "die":
        os._exit(7)
    if document == "hang":
        time.sleep(600)
    return Verdict(name, Outcome.PASSED, f"{stage} {seconds}")


@pytest.mark.deep
def test_a_case_that_ends_its_process_or_never_ends_costs_no_other() -> None:
    documents = {"a": "", "b": "die", "c": "", "d": "hang", "e": ""}
    file = FixtureFile("f.json", json.dumps(documents).encode())
    tasks = [Task(file, tuple(documents), "x"), Task(file, ("a",), "y")]
    verdicts = sorted(
        run_tasks(iter(tasks), play, 2, 1.0, grace=1.0), key=lambda verdict: (verdict.name, verdict.reason)
    )
    assert [(verdict.name, verdict.outcome.value, verdict.reason) for verdict in verdicts] == [
        ("f.json::a", "passed", "x 1.0"),
        ("f.json::a", "passed", "y 1.0"),
        ("f.json::b", "failed", "internal error: its process ended with status 7"),
        ("f.json::c", "passed", "x 1.0"),
        ("f.json::d", "left_out", "the execution went over its limit of 1.0 seconds"),
        ("f.json::e", "passed", "x 1.0"),
    ]


# -- the whole public suite


@pytest.mark.skipif(ARCHIVE is None, reason="the archive of ethereum/tests is not there")
def test_a_sample_of_the_public_suite_passes() -> None:
    assert ARCHIVE is not None
    report = run([ARCHIVE], limit=12, workers=1)
    assert (report.passed, report.failed, report.unsupported, report.left_out) == (12, {}, {}, {})


@pytest.mark.deep
@pytest.mark.skipif(ARCHIVE is None, reason="the archive of ethereum/tests is not there")
def test_the_public_suite_passes() -> None:
    """A spread-out sample, a few minutes; `zkevm conformance` runs all 8,625 cases in about a quarter of an hour."""
    assert ARCHIVE is not None
    report = run([ARCHIVE], limit=1_500)
    assert (dict(report.failed), dict(report.unsupported), dict(report.left_out)) == ({}, {}, {})
    assert report.passed == 1_500


# The exceptions that the cases of the suite name, and where the error must be. (Of two names one may be the reason.)
REFUSALS = {
    "BlockException.EXTRA_DATA_TOO_BIG": "extraData",
    "BlockException.GASLIMIT_TOO_BIG": "gasLimit",
    "BlockException.IMPORT_IMPOSSIBLE_DIFFICULTY_OVER_PARIS": "header.difficulty",
    "BlockException.IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS": "ommers header.sha3Uncles",
    "BlockException.INCORRECT_EXCESS_BLOB_GAS": "header.excessBlobGas",
    "BlockException.INVALID_BLOCK_NUMBER": "header.number",
    "BlockException.INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT": "timestamp",
    "BlockException.INVALID_GAS_USED": "header.gasUsed",
    "BlockException.INVALID_RECEIPTS_ROOT": "header.receiptsRoot",
    "BlockException.INVALID_STATE_ROOT": "header.stateRoot",
    "BlockException.INVALID_TRANSACTIONS_ROOT": "header.transactionsRoot",
    "BlockException.INVALID_WITHDRAWALS_ROOT": "header.withdrawalsRoot",
    "BlockException.RLP_INVALID_ADDRESS": "withdrawals",
    "BlockException.RLP_INVALID_FIELD_OVERFLOW_64": "withdrawals",
    "BlockException.RLP_STRUCTURES_ENCODING": "withdrawals raw",
    "BlockException.UNKNOWN_PARENT": "header.parentHash",
    "BlockException.UNKNOWN_PARENT_ZERO": "header.parentHash",
    "TransactionException.GASLIMIT_PRICE_PRODUCT_OVERFLOW": "sender",
    "TransactionException.GAS_ALLOWANCE_EXCEEDED": "gas",
    "TransactionException.INITCODE_SIZE_EXCEEDED": "data",
    "TransactionException.INSUFFICIENT_ACCOUNT_FUNDS": "sender",
    "TransactionException.INSUFFICIENT_MAX_FEE_PER_BLOB_GAS": "maxFeePerBlobGas",
    "TransactionException.INSUFFICIENT_MAX_FEE_PER_GAS": "maxFeePerGas",
    "TransactionException.INTRINSIC_GAS_TOO_LOW": "gas",
    "TransactionException.NONCE_MISMATCH_TOO_HIGH": "nonce",
    "TransactionException.NONCE_MISMATCH_TOO_LOW": "nonce",
    "TransactionException.PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS": "maxFeePerGas",
    "TransactionException.RLP_INVALID_VALUE": "value",
    "TransactionException.SENDER_NOT_EOA": "sender",
    "TransactionException.TYPE_3_TX_BLOB_COUNT_EXCEEDED": "blobVersionedHashes",
    "TransactionException.TYPE_3_TX_CONTRACT_CREATION": "to",
    "TransactionException.TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH": "blobVersionedHashes",
    "TransactionException.TYPE_3_TX_WITH_FULL_BLOBS": "raw",
    "TransactionException.TYPE_3_TX_ZERO_BLOBS": "blobVersionedHashes",
}
# This one's transaction has a gas limit of 0; the suite names what else is wrong with it.
ELSEWHERE = {"EmptyTransaction_Cancun": "gas"}


def refusal(case: Case, step: Step) -> BatchError:
    """The error for an invalid block."""
    if step.refusal is not None:
        return step.refusal
    with pytest.raises(BatchError) as caught:
        execute(case_batch(case, step.chain), trace=False)
    return caught.value


def misplaced(name: str, case: Case) -> list[tuple[str, str, str | None]]:
    """The invalid blocks that are refused for another reason than the case names."""
    found: list[tuple[str, str, str | None]] = []
    for step in case_steps(case):
        if not step.valid:
            exceptions = case.blocks[step.index].expect_exception or ""
            places = [place for exception in exceptions.split("|") for place in REFUSALS[exception].split()]
            field = refusal(case, step).field
            if field not in [*places, ELSEWHERE.get(name)]:
                found.append((name, exceptions, field))
    return found


@pytest.mark.parametrize("name", CANCUN, ids=lambda name: name[-40:])
def test_invalid_blocks_are_refused_for_the_reason_that_the_case_names(name: str) -> None:
    assert misplaced(name, parse_case(name, DOCUMENTS[name])) == []


@pytest.mark.deep
@pytest.mark.skipif(ARCHIVE is None, reason="the archive of ethereum/tests is not there")
def test_all_invalid_blocks_of_the_public_suite_are_refused_for_the_reason_named() -> None:
    assert ARCHIVE is not None
    blocks, found = 0, []
    for file, _ in fixture_files([ARCHIVE]):
        if b"expectException" not in file.content:
            continue
        for name, document in file.documents().items():
            if document["network"] == "Cancun":
                case = parse_case(name, document)
                blocks += sum(not block.valid for block in case.blocks)
                found += misplaced(name, case)
    assert found == []
    assert blocks == 550
