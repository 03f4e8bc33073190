"""The JSON schemas are those of what is read and printed, and the description of the batch file is theirs."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

import zkevm
from executor.batch import TransactionRequest
from executor.signing import _READERS
from scripts import fields
from scripts.batches.nodes import reth_witness
from scripts.batches.tokens import token_batch, write_batch
from tests.executor.node import serving
from tests.zkevm.test_main import refused
from zkevm.main import app

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.json"))


@pytest.fixture(scope="module")
def batch_schema() -> Draft202012Validator:
    return Draft202012Validator(zkevm.schema("batch"))


@pytest.mark.parametrize("of", ["batch", "report", "statement"])
def test_the_command_prints_a_schema(of: Any) -> None:
    result = CliRunner().invoke(app, ["schema", of])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document == zkevm.schema(of)
    Draft202012Validator.check_schema(document)


def test_there_is_no_other_schema() -> None:
    assert CliRunner().invoke(app, ["schema", "nonsense"]).exit_code == 2


# -- the batch file


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_batch_files(path: Path, batch_schema: Draft202012Validator) -> None:
    batch_schema.validate(json.loads(path.read_text()))


def at(document: Any, *place: str | int) -> Any:
    for step in place:
        document = document[step]
    return document


def changed(*place: str | int, to: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        at(document, *place[:-1])[place[-1]] = to

    return change


def without(*place: str | int) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        del at(document, *place[:-1])[place[-1]]

    return change


SOME = "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"
TRANSACTION = ("blocks", 0, "transactions", 0)

#: What the reader takes, beside what is in the examples of the document.
TAKEN = [
    changed("chainId", to="0x539"),
    changed("chainId", to="1337"),
    changed("fork", to={"cancun": 0, "prague": "0x18"}),
    changed("genesis", "difficulty", to=None),
    changed("genesis", "comment", to={"any": "thing"}),
    changed("genesis", "mixhash", to="00" * 32),
    changed("genesis", "alloc", SOME, "privateKey", to="secret"),
    changed("genesis", "alloc", SOME, "storage", to={"0x01": "0x02", "3": 4}),
    changed("blocks", 0, "baseFeePerGas", to=None),
    changed(*TRANSACTION, "type", to=2),
    changed(*TRANSACTION, "to", to=""),
    changed("description", to="for people"),
]
#: What it refuses.
REFUSED = [
    without("format"),
    without("chainId"),
    without("blocks"),
    changed("format", to="zkevm-batch/2"),
    changed("chainId", to=-1),
    changed("chainId", to="13 37"),
    changed("fork", to="shanghai"),
    changed("fork", to={}),
    changed("nonsense", to=1),
    without("genesis", "gasLimit"),
    without("genesis", "alloc"),
    changed("genesis", "nonsense", to=1),
    changed("genesis", "alloc", SOME, "balance", to="lots"),
    changed("genesis", "alloc", SOME, "balance", to=2**256),
    changed("genesis", "alloc", SOME, "nonce", to=2**64),
    changed("genesis", "alloc", SOME, "code", to="0x0"),
    changed("genesis", "alloc", SOME, "nonsense", to="0x0"),
    without("blocks", 0, "coinbase"),
    without("blocks", 0, "timestamp"),
    changed("blocks", 0, "coinbase", to="0x00"),
    changed("blocks", 0, "nonsense", to="0x00"),
    changed("blocks", 0, to=7),
    changed("blocks", 0, "withdrawals", to=[{"index": 0}]),
    changed("blocks", 0, "prevRandao", to="0x00"),
    changed(*TRANSACTION, to="0xzz"),
    changed(*TRANSACTION, to=7),
    changed(*TRANSACTION, "nonsense", to=7),
    changed(*TRANSACTION, "secretKey", to="0x01"),
    changed(*TRANSACTION, "accessList", to=[{"address": SOME}]),
    without(*TRANSACTION, "nonce"),
    without(*TRANSACTION, "gas"),
    without(*TRANSACTION, "secretKey"),
]


def document_examples() -> Iterator[Any]:
    """The JSON documents in the description of the batch file."""
    for text in re.findall(r"```json\n(.*?)```", fields.BATCHES.read_text(), re.DOTALL):
        yield json.loads(text)


@pytest.mark.parametrize("change", TAKEN)
def test_what_is_read_fits_the_schema(change: Callable[[Any], None], batch_schema: Draft202012Validator) -> None:
    document = copy.deepcopy(next(document_examples()))
    change(document)
    batch_schema.validate(document)
    assert zkevm.read_batch(document).transactions == 1


@pytest.mark.parametrize("change", REFUSED)
def test_what_is_refused_does_not(change: Callable[[Any], None], batch_schema: Draft202012Validator) -> None:
    document = copy.deepcopy(next(document_examples()))
    change(document)
    assert list(batch_schema.iter_errors(document))
    with pytest.raises(zkevm.BatchError):
        zkevm.read_batch(document)


def test_witnesses_fit_the_schema(batch_schema: Draft202012Validator) -> None:
    executed = token_batch(2).execute()
    own = executed.with_witness()
    assert own.witness is not None
    document = {
        **{name: value for name, value in token_batch(2).document.items() if name != "genesis"},
        "parent": f"0x{executed.parent_header.hex()}",
    }
    nodes, codes = ([f"0x{item.hex()}" for item in items] for items in (own.witness.nodes, own.witness.codes))
    for witness in ({"nodes": nodes, "codes": codes}, reth_witness(executed)):
        batch_schema.validate(document | {"witness": witness})
        assert zkevm.read_batch(document | {"witness": witness}).transactions == 2
    assert list(batch_schema.iter_errors(document | {"witness": {"nodes": ["0x0"]}}))


def test_a_request_has_the_fields_that_are_signed() -> None:
    assert {field.alias for field in TransactionRequest.model_fields.values()} == set(_READERS)


@pytest.mark.parametrize("document", list(document_examples()), ids=["transfer", "contract", "creation"])
def test_the_documents_examples_are_proved(document: Any, batch_schema: Draft202012Validator) -> None:
    batch_schema.validate(document)
    execution = zkevm.execute(zkevm.read_batch(document))
    assert execution.check().satisfied
    assert execution.trace["transactions"]["status"].to_pylist() == [1] * execution.summary.transactions


def test_the_documents_examples_do_what_it_says() -> None:
    transfer, contract, creation = (zkevm.execute(zkevm.read_batch(each)) for each in document_examples())
    assert transfer.summary.gas_used == 21_000
    assert contract.statement.fork == "cancun"
    logs = contract.trace["logs"].to_pylist()
    assert [contract.trace.bytes_at(log["data_start"], log["data_size"])[-1] for log in logs] == [12, 18]
    frame = creation.trace["frames"].to_pylist()[0]
    assert creation.trace.bytes_at(frame["output_start"], frame["output_size"]).hex() == "60016001015f5260205ff3"
    assert creation.trace["withdrawals"]["amount"].to_pylist() == [32 * 10**9]


@pytest.mark.parametrize("path", [fields.BATCHES, fields.PLANS], ids=lambda path: path.stem)
def test_documents_have_every_field(path: Path) -> None:
    """`python -m scripts.fields --write` brings their tables up to date."""
    assert fields.updated(path) == path.read_text()
    assert fields.described(path) == set(fields.known_of(path))


# -- what commands print


def run(*arguments: str | Path) -> tuple[int, Any]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    return result.exit_code, json.loads(result.stdout)


def definition(report: dict[str, Any]) -> str:
    """The only definition of the schema of reports that an object fits."""
    whole = zkevm.schema("report")
    Draft202012Validator(whole).validate(report)
    fitting = [
        choice["$ref"].rpartition("/")[2]
        for choice in whole["anyOf"]
        if Draft202012Validator({**choice, "$defs": whole["$defs"]}).is_valid(report)
    ]
    (name,) = fitting
    return str(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    write_batch(folder, 4)
    (folder / "refused.json").write_text(json.dumps(refused().document))
    return folder


@pytest.fixture(scope="module")
def batch(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.name != "refused.json")


@pytest.fixture(scope="module")
def proof(batch: Path, folder: Path) -> tuple[Path, Any]:
    out = folder / "a.proof"
    status, report = run("prove", batch, "--out", out, "--workers", "1")
    assert status == 0
    return out, report


def test_reports_about_batches_fit_the_schema(batch: Path, folder: Path) -> None:
    wanted = {"execute": "ExecuteReport", "check": "CheckReport", "inspect": "InspectBatchReport"}
    for command, name in wanted.items():
        status, report = run(command, batch)
        assert (status, definition(report)) == (0, name)
        if command != "check":
            Draft202012Validator(zkevm.schema("statement")).validate(report["statement"])
    status, report = run("inspect", folder / "refused.json")
    assert (status, definition(report)) == (0, "InspectBatchReport")
    assert report["unsupported"]


def test_violations_fit_the_schema(batch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from circuits.air.checker import BusFinding, ConstraintFinding, ShapeFinding

    found = [
        ConstraintFinding("add", 3, "sum", {"x": 1}),
        BusFinding("memory", {"frame": [1], "word": [0, 2]}, -1, [("add", 3, -1)]),
        ShapeFinding("add", "too wide"),
    ]
    monkeypatch.setattr("zkevm.execution.check_circuit", lambda *_, **__: found)
    status, report = run("check", batch)
    assert (status, definition(report)) == (1, "CheckReport")
    assert [each["kind"] for each in report["findings"]] == [type(each).__name__ for each in found]


def test_reports_about_proofs_fit_the_schema(proof: tuple[Path, Any], tmp_path: Path) -> None:
    file, report = proof
    assert definition(report) == "ProveReport"
    assert definition(run("verify", file)[1]) == "AcceptedReport"
    assert definition(run("inspect", file)[1]) == "InspectProofReport"
    assert definition(run("inspect", file, "--security")[1]) == "SecurityReport"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    (tmp_path / "changed").write_bytes(content)
    status, report = run("verify", tmp_path / "changed")
    assert (status, definition(report)) == (1, "RejectedReport")
    (tmp_path / "short").write_bytes(content[:-1])
    status, report = run("inspect", tmp_path / "short", "--security")
    assert (status, definition(report)) == (2, "ErrorReport")


def test_a_refused_security_report_fits_the_schema(proof: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(content: bytes) -> list[str]:
        raise zkevm.Rejected("headers", "planted")

    monkeypatch.setattr("zkevm.security.circuits_of_segments", refuse)
    status, report = run("inspect", proof[0], "--security")
    assert (status, definition(report)) == (1, "RefusedSecurityReport")


def test_errors_fit_the_schema(batch: Path, folder: Path) -> None:
    for arguments in (
        ("execute", folder / "nowhere.json"),
        ("prove", folder / "refused.json", "--out", folder / "b.proof"),
        ("prove", batch, "--out", folder / "b.proof", "--segment-memory", "520"),
        ("verify", batch),
    ):
        status, report = run(*arguments)
        assert (status, definition(report)) == (2, "ErrorReport")


def test_reports_about_other_things_fit_the_schema(tmp_path: Path) -> None:
    cases = ROOT / "tests" / "zkevm" / "fixtures" / "ecrecover.json"
    status, report = run("conformance", cases, "--workers", "1")
    assert (status, definition(report)) == (0, "ConformanceReport")
    with serving(token_batch(2).execute()) as node:
        status, report = run("fetch", "1", "--rpc", node.url, "--fork", "cancun", "--out", tmp_path / "fetched.json")
    assert (status, definition(report)) == (0, "FetchReport")
    document = json.loads((tmp_path / "fetched.json").read_text())
    Draft202012Validator(zkevm.schema("batch")).validate(document)
