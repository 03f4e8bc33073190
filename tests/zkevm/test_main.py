"""The command line: results, exit statuses, one readable line for every error."""

import gc
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from circuits.batch.execution import Batch
from circuits.segment import FilledSegment, segment_circuit
from executor.conformance import Failed
from executor.errors import UnsupportedFeature
from executor.forks import CANCUN, OSAKA
from executor.trace_file import load_trace
from prover.errors import ProverError
from prover.planner import Budget, plan_whole
from prover.segment import SegmentProof
from scripts.batches.builder import Builder
from scripts.batches.nodes import answer, raw_block, reth_witness
from scripts.batches.programs import CONTRACT, PROGRAMS, call_contract
from scripts.batches.tokens import token_batch, write_batch
from scripts.workloads.assembler import assemble
from tests.executor.cases import fixture_of
from tests.executor.node import serving
from verifier import sizes
from verifier.errors import Rejected
from verifier.swirl.key import VerifyingKey
from verifier.swirl.key import decode as decode_key
from verifier.swirl.security import SecurityReport, security
from verifier.verify import VerificationReport
from zkevm import bench, execution, stages
from zkevm.bench import EXAMPLES
from zkevm.main import app

FIXTURES = Path(__file__).parent / "fixtures"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def the_object(result: Result) -> Any:
    """The one JSON object that makes up standard output."""
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def batch(folder: Path) -> Path:
    return write_batch(folder, 8)


@pytest.fixture(scope="module")
def proved(batch: Path, folder: Path) -> tuple[Path, Any]:
    """A proof file and what the command that made it printed."""
    proof = folder / "batch.proof"
    result = run(
        "prove", batch, "--out", proof, "--workers", "2", "--segment-operations", "3", "--segments-only", "--json"
    )
    assert result.exit_code == 0, result.output
    return proof, the_object(result)


@pytest.fixture(scope="module")
def changed(proved: tuple[Path, Any], folder: Path) -> Path:
    """A proof file whose last byte, inside the last segment's proof, is another one."""
    proof, _ = proved
    content = bytearray(proof.read_bytes())
    content[-1] ^= 1
    file = folder / "changed.proof"
    file.write_bytes(content)
    return file


@pytest.fixture
def unsupported(tmp_path: Path) -> Path:
    """A batch with a contract that calls what cannot be proved, behind a transaction that can be."""
    file = tmp_path / "refused.json"
    file.write_text(json.dumps(refused().document))
    return file


REFUSED = "MODEXP with modulus of more than 8192 bytes in block 0, transaction 1, pc 14"


def refused() -> Builder:
    """A plain transfer and a transaction whose code calls MODEXP with a modulus that is too long."""
    building = Builder().alloc(
        CONTRACT, code="0x" + assemble("8193 64 mstore  0 0 96 0 5 gas staticcall pop stop").hex()
    )
    return building.block(building.transfer(), call_contract(building))


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("execute", "check", "prove", "verify", "inspect", "bench", "conformance"):
        assert command in result.stdout


def test_execute_reports_the_statement_and_writes_the_trace(batch: Path, tmp_path: Path) -> None:
    trace = tmp_path / "batch.trace"
    result = run("execute", batch, "--trace", trace, "--json")
    assert result.exit_code == 0, result.output
    report = the_object(result)
    assert report["transactions"] == 8
    assert report["statement"]["fork"] == "cancun"
    loaded = load_trace(trace)
    assert len(loaded.transactions) == 8
    assert loaded.nbytes == report["trace_bytes"]
    assert int(loaded.transactions.gas_used.sum()) == report["gas_used"] == report["statement"]["gas_used"]


@pytest.mark.parametrize(("option", "unit"), [(("--seconds", "0"), "seconds"), (("--memory", "1"), "bytes of memory")])
def test_execution_stops_at_its_limits(option: tuple[str, str], unit: str) -> None:
    # In a process of its own: one that has freed memory before can take it again without growing.
    batch = str(EXAMPLES / "snailtracer-pixel.json")
    command = [sys.executable, "-m", "zkevm.main", "execute", batch, *option, "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 2, result.stdout
    error = json.loads(result.stdout)["error"]
    assert error["kind"] == "LimitExceeded"
    assert error["message"].endswith(unit)


def test_check_accepts_an_honest_batch(batch: Path) -> None:
    result = run("check", batch, "--segment-operations", "3", "--json")
    assert result.exit_code == 0, result.output
    report = the_object(result)
    assert report["satisfied"] is True
    assert report["segments"] >= 2
    assert report["cells"] > 0
    assert report["findings"] == []


CASES = Path(__file__).parents[1] / "executor" / "fixtures" / "cases"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("40-call-value-above-balance", marks=pytest.mark.deep),
        "46-mcopy-out-of-gas-in-a-called-frame",
        "48-creation-transactions-that-fail",
        pytest.param("60-two-reasons-to-refuse", marks=pytest.mark.deep),
        pytest.param("61-precompile-transaction", marks=pytest.mark.deep),
        pytest.param("blockhash-one-borrow-too-few", marks=pytest.mark.deep),
        pytest.param("g8-genesis-clique-extra", marks=pytest.mark.deep),
        "w6-canonical-witness-collapse-undone",
    ],
)
def test_check_accepts_cases_that_once_failed(name: str) -> None:
    result = run("check", CASES / f"{name}.json", "--json")
    assert result.exit_code == 0, result.output
    assert the_object(result)["findings"] == []


def test_whole_codes_of_the_largest_size_fit_the_default_budget(tmp_path: Path) -> None:
    """EXTCODECOPY of codes of 24,576 bytes and beyond their end, and a jump to the last byte of one of push data."""
    addresses = [bytes.fromhex("c0de" + "00" * 17) + bytes([last]) for last in (0xF0, 0xF1, 0x01)]
    plain, pushing = (
        b"\x5b" * 24_576,
        b"\x61\x5f\xff\x56" + b"\x5b" * 29 + (b"\x7f" + b"\x5b" * 32) * 743 + b"\x5b" * 24,
    )
    copies = assemble(
        f"0x6020 0 0 0x{addresses[0].hex()} extcodecopy 0x6020 0 sha3 1 sstore "
        f"0x6020 0x5fe0 32 0x{addresses[1].hex()} extcodecopy 32 mload 2 sstore stop"
    )
    building = Builder()
    for address, code in zip(addresses, (plain, pushing, copies), strict=True):
        building.alloc(address, code="0x" + code.hex(), nonce=1)
    building.block(
        building.transfer(0, addresses[2], 0, gas=400_000), building.transfer(1, addresses[1], 0, gas=60_000)
    )
    file = tmp_path / "codes.json"
    file.write_text(json.dumps(building.document))
    report = the_object(run("inspect", file, "--json"))
    assert report["unsupported"] is None
    assert len(report["segments"]) == 2


def test_several_documents_make_a_batch(tmp_path: Path) -> None:
    executed = Builder().block(Builder().transfer()).execute()
    witness, block = tmp_path / "witness.json", tmp_path / "block.rlp"
    witness.write_text(json.dumps(answer(reth_witness(executed))))
    block.write_bytes(raw_block(executed, 0))
    result = run("execute", witness, block, "--json")
    assert result.exit_code == 0, result.output
    assert the_object(result)["statement"]["last_block_hash"] == "0x" + executed.last_block_hash.hex()
    result = run("execute", block)
    assert result.exit_code == 2
    assert "blocks alone: the state before the first block is missing" in result.stderr.replace("\n", " ")


@pytest.fixture
def lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables whose first transaction was filled with one unit of gas too few."""
    import zkevm.execution
    from circuits.transactions.transaction import Columns

    honest: Callable[..., FilledSegment] = zkevm.execution.fill_segment

    def dishonest(*arguments: Any) -> FilledSegment:
        filled = honest(*arguments)
        filled.traces[segment_circuit(CANCUN).names.index("transaction")][0, Columns.offsets["gas_used"]] -= 1
        return filled

    monkeypatch.setattr("zkevm.execution.fill_segment", dishonest)


@pytest.mark.usefixtures("lie")
def test_check_names_table_row_and_constraint_of_a_violation(batch: Path) -> None:
    result = run("check", batch, "--json")
    assert result.exit_code == 1, result.output
    report = the_object(result)
    assert report["satisfied"] is False
    constraints = [finding for finding in report["findings"] if finding["kind"] == "ConstraintFinding"]
    assert {(finding["table"], finding["row"]) for finding in constraints} == {("transaction", 0)}
    assert all(finding["constraint"] and finding["cells"] for finding in constraints)


@pytest.mark.usefixtures("lie")
def test_check_tells_people_about_a_violation(batch: Path) -> None:
    result = run("check", batch)
    assert result.exit_code == 1
    assert "table transaction, row 0: constraint" in result.stdout
    assert "Violations found" in result.stdout


def test_prove_reports_its_segments(proved: tuple[Path, Any]) -> None:
    proof, report = proved
    assert report["proof_bytes"] == proof.stat().st_size
    assert len(report["segments"]) >= 2
    assert sum(segment["operations"] for segment in report["segments"]) == 8
    assert not any(segment["reused"] for segment in report["segments"])
    assert all(segment["prove_seconds"] > 0 for segment in report["segments"])


def test_verify_accepts(proved: tuple[Path, Any]) -> None:
    proof, made = proved
    result = run("verify", proof, "--json")
    assert result.exit_code == 0, result.output
    report = the_object(result)
    assert report["accepted"] is True
    assert report["statement"] == made["statement"]
    assert report["digest"] == made["statement_digest"]
    assert report["security_bits"] >= 100
    assert len(report["checks"]) >= 10

    for_people = run("verify", proof)
    assert for_people.exit_code == 0
    assert "ACCEPTED: 8 transactions" in for_people.stdout


def test_verify_compares_with_what_is_known(proved: tuple[Path, Any]) -> None:
    proof, made = proved
    stated = made["statement"]
    options = {
        "--chain-id": stated["chain_id"],
        "--pre-state-root": stated["pre_state_root"],
        "--post-state-root": stated["post_state_root"],
        "--last-block-hash": stated["last_block_hash"].removeprefix("0x"),
    }
    result = run("verify", proof, *(str(x) for pair in options.items() for x in pair))
    assert result.exit_code == 0, result.output
    for option in options:
        other = "1" if option == "--chain-id" else "0x" + "11" * 32
        result = run("verify", proof, option, other, "--json")
        assert result.exit_code == 1, result.output
        report = the_object(result)
        assert report["check"] == "statement"
        assert option[2:].replace("-", " ") in report["reason"]
    later = ("--fork", "prague=5000000000", "--fork", "cancun=0", "--fork", "osaka=5000000000")
    for forks in (("--fork", "cancun"), later):
        assert run("verify", proof, *forks).exit_code == 0
    for forks in (("--fork", "prague"), ("--fork", "cancun=0", "--fork", "prague=1")):
        result = run("verify", proof, *forks, "--json")
        assert result.exit_code == 1, result.output
        assert the_object(result)["reason"] == "fork is cancun, expected is prague"
    for forks in (("--fork", "cancun=0", "--fork", "amsterdam=1"), ("--fork", "osaka=1", "--fork", "prague=2")):
        result = run("verify", proof, *forks)
        assert result.exit_code == 2
        assert "--fork: fork " in result.output
    result = run("verify", proof, "--pre-state-root", "0x11")
    assert result.exit_code == 2
    assert "--pre-state-root: not 32 bytes" in result.output


def test_verify_says_where_nothing_is_signed_for_a_chain(tmp_path: Path) -> None:
    proof = tmp_path / "empty.proof"
    assert run("prove", FIXTURES / "empty_blocks.json", "--out", proof).exit_code == 0
    chain_id = the_object(run("verify", proof, "--json"))["statement"]["chain_id"]
    assert "prover's word" in run("verify", proof).output
    assert "prover's word" not in run("verify", proof, "--chain-id", str(chain_id)).output


@pytest.mark.parametrize("name", ["empty_blocks", "only_a_withdrawal", "base_fee_nobody_pays", "no_blocks"])
def test_blocks_without_transactions_are_proved_and_accepted(name: str, tmp_path: Path) -> None:
    file, proof = FIXTURES / f"{name}.json", tmp_path / "empty.proof"
    if name == "no_blocks":
        file = tmp_path / "no_blocks.json"
        file.write_text(json.dumps(json.loads((FIXTURES / "empty_blocks.json").read_text()) | {"blocks": []}))
    blocks = len(json.loads(file.read_text())["blocks"])
    result = run("prove", file, "--out", proof, "--workers", "1", "--json")
    assert result.exit_code == 0, result.output
    for engine in ("native", "python"):
        result = run("verify", proof, "--engine", engine)
        assert result.exit_code == 0, result.output
        assert f"ACCEPTED: 0 transactions in {blocks} blocks" in result.output


def test_verify_rejects_with_status_1(changed: Path) -> None:
    result = run("verify", changed, "--json")
    assert result.exit_code == 1, result.output
    report = the_object(result)
    assert report["accepted"] is False
    assert report["check"] == "proofs"
    assert report["reason"]

    for_people = run("verify", changed)
    assert for_people.exit_code == 1
    assert "REJECTED" in for_people.stdout


def test_verify_takes_the_native_engine_where_it_is_installed(
    proved: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    def asked(content: bytes, engine: str, *_: object) -> VerificationReport:
        used.append(engine)
        assert not gc.isenabled()
        raise Rejected("format", "asked only")

    monkeypatch.setattr("zkevm.proof.judge", asked)
    assert run("verify", proved[0]).exit_code == 1
    monkeypatch.setitem(sys.modules, "zkevm_native", None)
    assert run("verify", proved[0]).exit_code == 1
    assert run("verify", proved[0], "--engine", "native").exit_code == 1
    assert used == ["native", "python", "native"]
    assert gc.isenabled()


@pytest.mark.parametrize("content", [b"", b"ZKEVM", b"ZKEVM\xff", b"{}", bytes(1000)])
def test_what_is_no_proof_file_is_unusable(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "no.proof"
    file.write_bytes(content)
    result = run("verify", file, "--json")
    assert result.exit_code == 2, result.output
    assert the_object(result)["error"]["kind"] == "UnusableInput"


@pytest.mark.deep
def test_the_python_engine_gives_the_same_answer(proved: tuple[Path, Any]) -> None:
    answers = [the_object(run("verify", proved[0], "--engine", engine, "--json")) for engine in ("native", "python")]
    assert answers[0]["accepted"] is answers[1]["accepted"] is True
    assert answers[0]["statement"] == answers[1]["statement"]


def test_inspect_shows_a_proof(proved: tuple[Path, Any]) -> None:
    proof, made = proved
    report = the_object(run("inspect", proof, "--json"))
    assert report["kind"] == "proof"
    assert report["statement"] == made["statement"]
    assert len(report["segments"]) == len(made["segments"])
    assert report["segments"][-1]["end_operation"] == 8
    assert {check["name"] for check in report["checks"]} >= {"headers", "transactions", "proofs"}
    assert run("inspect", proof).exit_code == 0


@pytest.mark.deep
def test_inspect_shows_the_security_of_a_proof(proved: tuple[Path, Any]) -> None:
    proof, made = proved
    report = the_object(run("inspect", "--security", proof, "--json"))
    assert report["accepted"] is True
    assert len(report["segments"]) == len(made["segments"])
    for segment in report["segments"]:
        engine = segment["engine"]
        assert segment["total"]["unique"] == pytest.approx(engine["total"], abs=0.01)
        assert all(step["unique"] == pytest.approx(engine[step["name"]], abs=0.01) for step in segment["steps"])
        assert min(step["johnson"] for step in segment["steps"]) == segment["total"]["johnson"] > 80
    assert report["bits"] == min(segment["total"]["unique"] for segment in report["segments"]) >= 100

    for_people = run("inspect", "--security", proof)
    assert for_people.exit_code == 0
    assert "the engine's calculator agrees" in for_people.stdout


@pytest.mark.deep
def test_the_security_report_needs_no_native_code(proved: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = the_object(run("inspect", "--security", proved[0], "--json"))
    monkeypatch.setitem(sys.modules, "zkevm_native", None)
    report = the_object(run("inspect", "--security", proved[0], "--json"))
    assert [segment.pop("engine") for segment in report["segments"]] == [None] * len(report["segments"])
    for segment in expected["segments"]:
        del segment["engine"]
    assert report == expected
    assert "the engine's calculator is not installed" in run("inspect", "--security", proved[0]).stdout


def test_a_security_report_that_the_engine_contradicts_fails(
    proved: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def flattering(*arguments: Any) -> SecurityReport:
        report = security(*arguments)
        *others, last = report.steps
        return replace(report, steps=(*others, replace(last, unique=last.unique + 0.02)))

    monkeypatch.setattr("zkevm.security.security", flattering)
    result = run("inspect", "--security", proved[0])
    assert result.exit_code == 3
    assert "Disagreement: whir_shift has" in result.stderr


def test_proofs_outside_of_the_analysis_are_rejected(proved: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def with_few_interactions(encoding: bytes) -> VerifyingKey:
        key = decode_key(encoding)
        logup = replace(key.parameters.logup, max_interactions=1000)
        return replace(key, parameters=replace(key.parameters, logup=logup))

    monkeypatch.setattr("zkevm.security.decode", with_few_interactions)
    result = run("inspect", "--security", proved[0], "--json")
    assert result.exit_code == 1
    report = the_object(result)
    assert (report["accepted"], report["segment"]) == (False, 0)
    assert "the analysis assumes less than 1000" in report["reason"]
    assert "REJECTED: segment 0" in run("inspect", "--security", proved[0]).stdout


def test_a_batch_has_no_security(batch: Path) -> None:
    result = run("inspect", "--security", batch)
    assert result.exit_code == 2
    assert "prove it first" in result.stderr


def test_inspect_shows_a_batch_and_its_cost(batch: Path) -> None:
    report = the_object(run("inspect", batch, "--json"))
    assert report["kind"] == "batch"
    assert report["transactions"] == 8
    assert sum(segment["cells"] for segment in report["segments"]) > 0
    assert "Planned segments" in run("inspect", batch).stdout


def test_what_cannot_be_proved_is_executed_all_the_same(unsupported: Path) -> None:
    assert the_object(run("execute", unsupported, "--json"))["transactions"] == 2
    report = the_object(run("inspect", unsupported, "--json"))
    assert report["segments"] == []
    assert report["unsupported"] == REFUSED


def test_what_cannot_be_proved_is_refused_with_its_place(unsupported: Path) -> None:
    result = run("check", unsupported, "--json")
    assert result.exit_code == 2, result.output
    error = the_object(result)["error"]
    assert error["kind"] == "UnsupportedFeature"
    assert f"UnsupportedFeature: {REFUSED}" in error["message"]
    assert error["message"] in result.stderr


@pytest.fixture
def low_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verifier allows no more than 2^12 rows."""
    monkeypatch.setattr(sizes, "MAX_LOG_HEIGHT", 12)


def landing(times: int) -> Builder:
    """Two blocks, the last transaction of which runs so many JUMPDEST."""
    rounds, rest = divmod(times, 1000)
    loop = f"{rounds} loop: {'jumpdest ' * 999} 1 swap1 sub dup1 @loop jumpi"
    code = assemble(f"{loop} {'jumpdest ' * rest} stop")
    building = Builder().alloc(CONTRACT, code="0x" + code.hex(), nonce=1)
    building.block(building.transfer())
    return building.block(building.transfer(), call_contract(building, gas=10_000_000))


def hashing(words: int) -> Builder:
    """Two blocks, the last transaction of which hashes so much memory in one step."""
    code = assemble(f"{32 * words} 0 sha3 stop")
    building = Builder().alloc(CONTRACT, code="0x" + code.hex(), nonce=1)
    building.block(building.transfer())
    return building.block(building.transfer(), call_contract(building, gas=10_000_000))


@pytest.mark.usefixtures("low_tables")
def test_a_transaction_that_no_segment_can_hold_is_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "long.json"
    file.write_text(json.dumps(landing(5000).document))
    report = the_object(run("check", file, "--json"))
    assert report["satisfied"]
    assert report["segments"] > 2
    assert len(the_object(run("inspect", file, "--json"))["segments"]) == report["segments"]
    stages.check_executed(landing(5000).execute())
    # As one segment it is none.
    monkeypatch.setattr(bench, "EXAMPLES", tmp_path)
    found = the_object(run("bench", "long", "--json"))["workloads"]["long"]["unsupported"]
    assert "table jumpdest has 8,192 rows, padding included; 4,096 are allowed" in found


TOO_HIGH = (
    "a segment that the verifier refuses (table keccak_f has 8,192 rows, padding included; 4,096 are allowed) "
    "in block 1, transaction 1"
)


@pytest.mark.usefixtures("low_tables")
def test_a_step_that_no_segment_can_hold_is_refused_the_same_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "high.json"
    file.write_text(json.dumps(hashing(900).document))
    for command in (("check",), ("prove", "--out", tmp_path / "high.proof")):
        result = run(command[0], file, *command[1:], "--json")
        assert result.exit_code == 2, result.output
        error = the_object(result)["error"]
        assert (error["kind"], error["message"]) == ("UnsupportedFeature", f"UnsupportedFeature: {TOO_HIGH}")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert the_object(run("inspect", file, "--json"))["unsupported"] == TOO_HIGH
    executed = hashing(900).execute()
    for stage in (stages.check_executed, stages.prove_executed):
        with pytest.raises(UnsupportedFeature) as error:
            stage(executed)
        assert str(error.value) == TOO_HIGH


def test_prove_refuses_before_it_makes_anything(unsupported: Path, tmp_path: Path) -> None:
    out = tmp_path / "batch.proof"
    result = run("prove", unsupported, "--out", out)
    assert result.exit_code == 2
    assert "UnsupportedFeature" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == [unsupported.name]


def test_blocks_are_fetched_from_a_node_and_checked(tmp_path: Path) -> None:
    building = Builder()
    for _ in range(2):
        building.block(building.transfer())
    executed, out = building.execute(), tmp_path / "batch.json"
    with serving(executed) as node:
        result = run("fetch", "1..latest", "--rpc", node.url, "--out", out, "--json")
        assert result.exit_code == 0, result.stderr
        assert the_object(result) | {"seconds": 0} == {
            "blocks": 2,
            "first_block_number": 1,
            "last_block_number": 2,
            "last_block_hash": "0x" + executed.last_block_hash.hex(),
            "transactions": 2,
            "chain_id": Builder.CHAIN_ID,
            "fork": "cancun",
            "bytes": len(out.read_bytes()),
            "completed": 0,
            "batch": str(out),
            "seconds": 0,
        }
        assert "2" in run("fetch", "1..2", "--rpc", node.url, "--out", out, "--fork", "cancun").stdout
        times = ("--fork", "cancun=0", "--fork", "prague=2000000000")
        assert run("fetch", "1", "--rpc", node.url, "--out", tmp_path / "first.json", *times).exit_code == 0
    assert the_object(run("check", out, "--json"))["satisfied"]
    assert json.loads((tmp_path / "first.json").read_text())["fork"] == {"cancun": 0, "prague": 2000000000}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("1..x", "--rpc", "http://127.0.0.1:9"), "'x' is neither a block's number"),
        (("1", "--rpc", "nothing"), "nothing: "),
        (("1", "--rpc", "http://127.0.0.1:9", "--fork", "cancun", "--fork", "prague"), "--fork: neither one name"),
        (("1", "--rpc", "http://127.0.0.1:9", "--fork", "cancun=0", "--fork", "cancun=1"), "--fork: neither one name"),
        (("1", "--rpc", "http://127.0.0.1:9", "--fork", "cancun=soon"), "--fork: neither one name"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run("fetch", *arguments, "--out", tmp_path / "batch.json", "--json")
    assert result.exit_code == 2
    assert message in the_object(result)["error"]["message"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "wanted"), [((), None), (("--one-proof",), True), (("--segments-only",), False)], ids=str
)
def test_prove_makes_one_proof_unless_it_is_told_otherwise(
    options: tuple[str, ...], wanted: bool | None, batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool | None] = []

    def prove(*_: object, one_proof: bool | None, **__: object) -> None:
        asked.append(one_proof)
        raise ProverError("asked only")

    monkeypatch.setattr(execution, "prove_executed", prove)
    assert run("prove", batch, "--out", tmp_path / "a.proof", *options).exit_code == 2
    assert asked == [wanted]


def test_prove_says_why_segments_keep_their_proofs(
    batch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prover.local.machine_memory", lambda: 4 << 30)
    out = tmp_path / "a.proof"
    command = ("prove", batch, "--out", out, "--segment-operations", "4", "--store", tmp_path / "store", "--keep")
    for_people = run(*command)
    assert for_people.exit_code == 0, for_people.output
    first, *later = for_people.stderr.splitlines()
    assert first.startswith("each segment has its own proof, there is none of all: a node of the tree needs about")
    assert [line.split(" (")[0] for line in later] == ["segment 0", "segment 1"]
    report = the_object(run(*command, "--json"))
    assert [segment["reused"] for segment in report["segments"]] == [True, True]
    assert report["tree"] == []
    assert report["why_segments_only"] == first.split(": ", 1)[1]
    report = the_object(run(*command, "--segments-only", "--json"))
    assert report["why_segments_only"] is None


def test_a_demand_for_one_proof_that_there_cannot_be_is_refused(batch: Path, tmp_path: Path) -> None:
    result = run("prove", batch, "--out", tmp_path / "a.proof", "--one-proof", "--stacked-height", "22", "--json")
    assert result.exit_code == 2
    error = the_object(result)["error"]
    assert error["kind"] == "ProverError"
    assert "log stacked height 22, at most 21" in error["message"]
    result = run("prove", batch, "--out", tmp_path / "a.proof", "--one-proof", "--segments-only", "--json")
    assert result.exit_code == 2
    assert the_object(result)["error"]["kind"] == "UsageError"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.deep
def test_a_batch_that_crosses_forks_is_proved_and_verified(tmp_path: Path) -> None:
    building = Builder()
    building.document["fork"] = {"cancun": 0, "osaka": 1024}
    for call in OSAKA.block_end_calls:
        building.alloc(call.address, code="0x00")
    file, proof = tmp_path / "crossing.json", tmp_path / "crossing.proof"
    file.write_text(json.dumps(building.block(building.transfer()).block(building.transfer()).document))
    assert the_object(run("inspect", file, "--json"))["unsupported"] is None
    assert run("check", file).exit_code == 0
    result = run("prove", file, "--out", proof, "--workers", "1", "--json")
    assert result.exit_code == 0, result.output
    report = the_object(result)
    assert [segment["operations"] for segment in report["segments"]] == [1, 5]
    assert report["why_segments_only"].endswith("these are of cancun-light and osaka-light")
    forks = ("--fork", "cancun=0", "--fork", "prague=1024", "--fork", "osaka=1024", "--fork", "bpo1=1025")
    for engine in ("native", "python"):
        report = the_object(run("verify", proof, *forks, "--engine", engine, "--json"))
        assert report["accepted"] is True
        assert report["statement"]["fork"] == "cancun, osaka from 1024"
    assert the_object(run("inspect", proof, "--security", "--json"))["bits"] >= 100


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("execute", "none.json"), "No such file"),
        (("inspect", "none.json"), "No such file"),
        (("verify", "none.proof"), "No such file"),
        (("prove", "none.json", "--out", "none/x.proof"), "folder of the output does not exist"),
        (("fetch", "1", "--rpc", "http://127.0.0.1:9", "--out", "none/x.json"), "folder of the output does not exist"),
        (("bench", "none"), "no workload 'none'"),
        (("bench", "none", "--fork", "osaka"), "no workload 'none'"),
        (("bench", "--fork", "paris"), "no fork 'paris'"),
        (("bench", "mainnet", "--fork", "osaka"), "mainnet is of its own fork alone"),
        (("bench", "--fork", "osaka", "--device", "stock"), "--fork proves and draws nothing"),
        (("bench", "--fork", "osaka", "--segment-memory", "900"), "--fork proves and draws nothing"),
    ],
)
def test_missing_files_are_unusable_input(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_what_is_no_batch_is_said_with_what_to_do(proved: tuple[Path, Any], tmp_path: Path) -> None:
    proof, _ = proved
    plan = tmp_path / "plan.yaml"
    plan.write_text("accounts: {}")
    for file, reason, hint in (
        (proof, "a proof, not a batch", "zkevm verify"),
        (plan, "part of a project, not a batch", "zkevm build"),
        (tmp_path, "a folder, not a batch", "zkevm build"),
    ):
        result = run("check", file, "--json")
        assert result.exit_code == 2
        error = json.loads(result.stdout)["error"]
        assert error["message"] == f"{file}: {reason}"
        assert hint in error["hint"]


def test_a_malformed_batch_is_unusable_input(tmp_path: Path) -> None:
    file = tmp_path / "batch.json"
    file.write_text('{"format": "zkevm-batch/1"')
    result = run("execute", file, "--json")
    assert result.exit_code == 2
    assert the_object(result)["error"]["kind"] == "InputError"
    assert len(result.stderr.splitlines()) == 1


def test_a_segment_below_one_transaction_is_refused_with_a_hint(batch: Path, tmp_path: Path) -> None:
    result = run("prove", batch, "--out", tmp_path / "x", "--segment-memory", "520", "--json")
    assert result.exit_code == 2
    assert "--segment-memory" in the_object(result)["error"]["hint"]
    assert "hint:" in result.stderr


def test_an_internal_error_is_one_line_and_its_own_status(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("zkevm.execution.run_batch", broken)
    result = run("execute", batch, "--json")
    assert result.exit_code == 3
    assert the_object(result)["error"]["message"] == "internal error: ZeroDivisionError: planted"
    assert "Traceback" not in result.output


def test_usage_errors_have_status_2() -> None:
    assert run("prove").exit_code == 2
    assert run("verify", "x", "--engine", "abacus").exit_code == 2
    assert run("nonsense").exit_code == 2


def test_the_installed_command_runs() -> None:
    command = Path(sys.executable).parent / "zkevm"
    done = subprocess.run([command, "verify", "/dev/null", "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["kind"] == "UnusableInput"
    assert "Traceback" not in done.stderr


@pytest.fixture
def workloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Workloads of a few transactions each."""
    for name in ("transfer", "tokens"):
        (tmp_path / f"{name}.json").write_text(json.dumps(token_batch(4).document))
    gas = 600_000_000
    refused = Builder(gasLimit=gas).alloc(CONTRACT, code="0x" + assemble("1 0x1000000 mstore stop").hex())
    refused.block(call_contract(refused, gas=gas), gasLimit=gas)
    (tmp_path / "refused.json").write_text(json.dumps(refused.document))
    monkeypatch.setattr("zkevm.bench.EXAMPLES", tmp_path)


@pytest.mark.deep
@pytest.mark.usefixtures("workloads")
def test_bench_prints_exact_costs() -> None:
    result = run("bench", "tokens", "transfer", "refused", "--json")
    assert result.exit_code == 0, result.output
    workloads = the_object(result)["workloads"]
    report = workloads["tokens"]
    assert report["execution"]["transactions"] == report["transactions"] == 4
    assert report["execution"]["steps"] == report["costs"]["steps"] > 100
    for unit, share in (("cells", "cells"), ("interactions", "messages")):
        assert report[unit] == report["costs"][unit] == sum(table[share] for table in report["costs"]["tables"])
        assert report[f"{unit}_per_transaction"] == report[unit] / 4
        # Instructions share the cells of the tables that hold their steps.
        own = sum(table[share] for table in report["costs"]["tables"] if table["is_instruction"])
        parts = sum(entry[share] for entry in report["costs"]["instructions"])
        assert parts == pytest.approx(own)
    assert report["peak_memory_bytes"] > report["cells"] * 4
    assert report["proof_bytes"] > report["segment_proof_bytes"] > 0
    assert report["security_bits"] >= 100
    assert "comparison" not in report
    assert workloads["transfer"]["comparison"]["times_fewer_cells"] > 0
    assert workloads["refused"]["execution"]["transactions"] == 1
    assert "memory of more than 16 MiB in block 0, transaction 0" in workloads["refused"]["unsupported"]


@pytest.mark.usefixtures("workloads")
def test_bench_compares_forks() -> None:
    result = run("bench", "tokens", "--fork", "prague", "--fork", "cancun", "--fork", "bpo1", "--json")
    assert result.exit_code == 0, result.output
    forks = the_object(result)["workloads"]["tokens"]["forks"]
    assert list(forks) == ["cancun", "prague", "bpo1"]
    assert forks["cancun"]["more_than_cancun"] == {"cells": 0, "interactions": 0, "tables": {}}
    more = forks["prague"]["more_than_cancun"]
    assert forks["prague"]["operations"] > forks["cancun"]["operations"]
    assert "system_call" in more["tables"]
    for unit in ("cells", "interactions"):
        assert more[unit] == forks["prague"][unit] - forks["cancun"][unit]
        assert more[unit] == sum(table[unit] for table in more["tables"].values())
    text = run("bench", "tokens", "--fork", "prague")
    assert re.search(r"prague +\d+ +[\d,]+ +\+[\d,]+ \(\+\d+\.\d\d %\)", text.output), text.output


@pytest.mark.deep
@pytest.mark.usefixtures("workloads")
def test_bench_compares_the_devices() -> None:
    result = run("bench", "tokens", "--device", "stock", "--json")
    assert result.exit_code == 0, result.output
    report = the_object(result)["workloads"]["tokens"]
    own, stock = report["cpu_seconds"], report["stock_cpu_seconds"]
    assert set(own) == set(stock) == {"load", "commit", "constraints", "gkr", "rounds", "stacking", "opening", "total"}
    assert own["constraints"] < stock["constraints"]
    assert report["stock_to_own"] == stock["total"] / own["total"]


@pytest.mark.deep
@pytest.mark.usefixtures("workloads")
def test_bench_proves_in_segments_that_fit() -> None:
    memory = (plan_whole(Batch.of(token_batch(4).execute().trace)).memory >> 20) - 1
    result = run("bench", "tokens", "--segment-memory", str(memory), "--device", "stock", "--json")
    assert result.exit_code == 0, result.output
    report = the_object(result)["workloads"]["tokens"]
    assert report["segments"] > 1
    assert report["transactions"] == 4
    assert report["costs"]["cells"] < report["cells"]
    assert report["stock_to_own"] == report["stock_cpu_seconds"]["total"] / report["cpu_seconds"]["total"]
    assert report["proof_bytes"] > report["segment_proof_bytes"] > report["segments"] * 50_000


@pytest.mark.usefixtures("workloads")
def test_bench_does_not_begin_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_available", lambda: 512 << 20)
    monkeypatch.setattr(bench, "_bench_proof", lambda *arguments: pytest.fail("began"))
    result = run("bench", "tokens", "--json")
    assert result.exit_code == 2, result.output
    error = the_object(result)["error"]
    assert error["kind"] == "CostError"
    assert re.search(r"segment 0 .* needs about [0-9]+ MiB of memory, the workers have 512 MiB", error["message"])
    assert "--segment-memory" in error["hint"]


@pytest.mark.usefixtures("workloads")
def test_bench_says_in_its_table_what_cannot_be_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("bench", "refused")
    assert result.exit_code == 0, result.output
    assert re.search(r"refused: one segment\s+cannot be proved +memory of more than 16 MiB", result.output)
    # A workload that is larger than the verifier allows is one, too.
    monkeypatch.setattr(sizes, "MAX_LOG_HEIGHT", 5)
    result = run("bench", "tokens")
    assert result.exit_code == 0, result.output
    assert re.search(
        r"tokens: one segment\s+cannot be proved +operations 0 to [0-9]+ are no segment \(table", result.output
    )


@pytest.mark.deep
def test_bench_meets_the_targets() -> None:
    result = run("bench", "transfer", "--json")
    assert result.exit_code == 0, result.output
    report = the_object(result)["workloads"]["transfer"]
    assert report["transactions"] == 100
    assert report["cells_per_transaction"] <= 30_000
    assert report["interactions_per_transaction"] <= 3_000


@pytest.mark.deep
def test_inspect_draws_the_costs(batch: Path, proved: tuple[Path, Any], tmp_path: Path) -> None:
    picture = tmp_path / "costs.svg"
    result = run("inspect", batch, "--plot", picture, "--json")
    assert result.exit_code == 0, result.output
    assert {"sload", "sstore"} <= {entry["name"].lower() for entry in the_object(result)["costs"]["instructions"]}
    content = picture.read_bytes()
    assert content.startswith(b"<?xml")
    run("inspect", batch, "--plot", picture)
    assert picture.read_bytes() == content

    other = run("inspect", batch, "--plot", tmp_path / "costs.doc")
    assert other.exit_code == 2
    assert ".svg" in other.stderr
    of_proof = run("inspect", proved[0], "--plot", picture)
    assert of_proof.exit_code == 2
    assert "use --plot with the batch" in of_proof.stderr


#: Cases of the public suite: one that can be proved, one that creates a contract.
PUBLIC = Path(__file__).parents[1] / "executor" / "fixtures" / "blockchain_tests.json"
PROVABLE = "amountIs0TouchAccount_Cancun"


DEEP = pytest.mark.deep


@pytest.mark.parametrize("stage", [pytest.param("execute", marks=DEEP), "check", pytest.param("prove", marks=DEEP)])
def test_conformance_takes_cases_to_a_stage(stage: str) -> None:
    names = [name for name in json.loads(PUBLIC.read_text()) if name.endswith(PROVABLE)]
    assert len(names) == 1
    result = run("conformance", f"{PUBLIC}::{names[0]}", "--stage", stage, "--workers", "1", "--json")
    assert result.exit_code == 0, result.output
    report = the_object(result)
    assert (report["passed"], report["failed"], report["unsupported"]) == (1, 0, 0)


@pytest.mark.deep
def test_conformance_tells_what_cannot_be_proved(tmp_path: Path) -> None:
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({"refused_Cancun": fixture_of([refused()], head=0)}))
    result = run("conformance", FIXTURES / "ecrecover.json", file, "--stage", "check", "--workers", "1", "--json")
    assert result.exit_code == 0, result.output
    report = the_object(result)
    assert (report["passed"], report["failed"], report["unsupported"]) == (1, 0, 1)
    assert REFUSED in str(report["reasons"])


@pytest.mark.deep
def test_conformance_checks_creations() -> None:
    (name,) = (name for name in json.loads(PUBLIC.read_text()) if name.endswith("CREATE_FirstByte_loop_d0g0v0_Cancun"))
    result = run("conformance", f"{PUBLIC}::{name}", "--stage", "check", "--workers", "1", "--json")
    assert result.exit_code == 0, result.output
    report = the_object(result)
    assert (report["passed"], report["failed"], report["unsupported"]) == (1, 0, 0)


def test_conformance_counts_what_it_leaves_out(tmp_path: Path) -> None:
    case = next(iter(json.loads(PUBLIC.read_text()).values()))
    file = tmp_path / "transitions.json"
    file.write_text(json.dumps({f"case {n}": case | {"network": "ShanghaiToCancunAtTime15k"} for n in range(3)}))
    result = run("conformance", file)
    assert result.exit_code == 0, result.output
    assert re.search(r"network ShanghaiToCancunAtTime15k, not one of cancun, .*\s3\s", result.output)
    assert re.search(r"left out\s+3", result.output)
    report = the_object(run("conformance", file, "--json"))
    assert (report["passed"], report["left_out"], len(report["reasons"]["left_out"])) == (0, 3, 3)


class TestStages:
    """What a stage does with a batch whose tables or proofs are wrong."""

    @staticmethod
    def spoil(filled: FilledSegment) -> FilledSegment:
        trace = filled.traces[segment_circuit(CANCUN).names.index("account_leaf")]
        assert trace is not None
        trace[0, 5] ^= 1
        return filled

    def test_check_fails_a_case_with_violations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        executed = token_batch(1).execute()
        stages.check_executed(executed)
        honest = execution.fill_segment
        monkeypatch.setattr(execution, "fill_segment", lambda *given: self.spoil(honest(*given)))
        with pytest.raises(Failed, match="violations, the first one: "):
            stages.check_executed(executed)

    def test_prove_fails_a_case_whose_proof_is_rejected(self, monkeypatch: pytest.MonkeyPatch) -> None:
        executed = token_batch(1).execute()
        monkeypatch.setattr(stages, "prove_segment", lambda *_, threads: SegmentProof(b"no proof"))
        with pytest.raises(Failed, match="the proof is rejected: proofs: segment 0"):
            stages.prove_executed(executed)

    def test_what_cannot_be_proved_is_unsupported(self) -> None:
        executed = refused().execute()
        for stage in (stages.check_executed, stages.prove_executed):
            with pytest.raises(UnsupportedFeature, match=REFUSED):
                stage(executed)

    def test_long_transactions_are_unsupported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stages, "MAX_STEPS", 10)
        executed = token_batch(1).execute()
        for stage in (stages.check_executed, stages.prove_executed):
            with pytest.raises(UnsupportedFeature, match="a transaction of more than 10 steps"):
                stage(executed)

    def test_operations_that_do_not_fit_are_unsupported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plan = execution.plan_batch
        monkeypatch.setattr(execution, "plan_batch", lambda batch, budget, filled: plan(batch, Budget(memory=1 << 20)))
        executed = token_batch(1).execute()
        for stage in (stages.check_executed, stages.prove_executed):
            with pytest.raises(UnsupportedFeature, match="need a segment of about"):
                stage(executed)

    def test_a_batch_without_operations(self) -> None:
        stages.check_executed(PROGRAMS["nothing"]().execute())
        stages.prove_executed(PROGRAMS["nothing"]().execute())
