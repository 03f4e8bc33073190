"""Projects: a source and a plan become a batch; what is wrong is said with its file, its line and what to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from eth_abi.abi import decode
from eth_account import Account
from eth_utils.crypto import keccak
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

import zkevm
from tests.npm import WITHOUT, reaches_registry
from tests.zkevm.test_schemas import definition
from zkevm.main import app
from zkevm.projects.artifacts import ArtifactError, find_artifact, read_artifact
from zkevm.projects.compilers import compile_source
from zkevm.projects.lines import Document
from zkevm.projects.plan import Compiler, parse_amount
from zkevm.projects.values import ValueMismatch, encoded, reason_of, split_types, type_of

COMPILED = Path(__file__).parent / "projects"
FOUNDRY, HARDHAT = COMPILED / "out", COMPILED / "artifacts"
ALICE, BOB = (Account.from_key(keccak(text=f"zkevm test account {name}")).address for name in ("alice", "bob"))


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A new project whose token has been compiled by Foundry."""
    folder = tmp_path / "project"
    zkevm.new_project(folder)
    shutil.copytree(FOUNDRY, folder / "out")
    change(folder, "contracts/Token.sol", "out")
    return folder


def change(folder: Path, old: str, new: str) -> None:
    """Change the plan in one place."""
    file = folder / "plan.yaml"
    text = file.read_text()
    assert text.count(old) >= 1, old
    file.write_text(text.replace(old, new, 1))


def line_of(folder: Path, text: str) -> int:
    """The only line of the plan that has a text."""
    (line,) = (n for n, line in enumerate((folder / "plan.yaml").read_text().splitlines(), 1) if text in line)
    return line


# -- what comes out


def test_a_new_project_has_a_source_and_a_plan(tmp_path: Path) -> None:
    for language, suffix in (("solidity", "sol"), ("vyper", "vy"), ("yul", "yul")):
        result = run("new", tmp_path / language, "--language", language, "--json")
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert definition(report) == "NewReport"
        names = {str(Path(file).relative_to(tmp_path / language)) for file in report["files"]}
        assert names == {f"contracts/Token.{suffix}", "plan.yaml", ".gitignore"}
        assert "{" not in (tmp_path / language / "plan.yaml").read_text().replace("{balance", "")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    result = run("new", tmp_path)
    assert result.exit_code == 2
    assert "not empty" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_a_plan_becomes_a_batch(project: Path) -> None:
    result = run("build", project, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert definition(report) == "BuildReport"
    assert report["accounts"] == {"alice": ALICE.lower(), "bob": BOB.lower()}
    assert report["compilers"] == {"Token": "Foundry artifact"}
    assert [own["succeeded"] for own in report["transactions"]] == [True, True, True, True, False, True]
    assert [(own["block"], own["transaction"]) for own in report["transactions"]] == [
        (0, 0),
        *((1, n) for n in range(5)),
    ]
    assert report["transactions"][3]["line"] == line_of(project, "token.transferFrom")
    document = json.loads((project / "batch.json").read_text())
    Draft202012Validator(zkevm.schema("batch")).validate(document)
    assert "secretKey" not in (project / "batch.json").read_text()
    execution = zkevm.execute(zkevm.read_batch(project / "batch.json"))
    assert execution.summary.gas_used == report["gas_used"]
    assert execution.statement.fork == "osaka"
    assert execution.check().satisfied


def test_a_build_tells_people_what_happened(project: Path) -> None:
    result = run("build", project, "--out", project / "other.json")
    assert result.exit_code == 0, result.output
    assert "call token.transferFrom" in result.stdout
    assert "reverts" in result.stdout
    assert (project / "other.json").exists()
    assert not (project / "batch.json").exists()


def test_the_token_has_moved(project: Path) -> None:
    """What the batch leaves behind, read by calls at its end."""
    queries = "".join(
        f"\n    - {{call: token.balanceOf, from: alice, args: [{name}]}}" for name in ("alice", "bob", "token")
    )
    (project / "plan.yaml").write_text((project / "plan.yaml").read_text().rstrip() + queries + "\n")
    built = zkevm.build_project(project)
    balances = [decode(["uint256"], own.output)[0] for own in built.transactions[-3:]]
    assert balances == [1_000_000 - 250 + 60, 250 - 60, 0]
    assert built.transactions[4].output[:4] == keccak(text="InsufficientBalance(address,uint256,uint256)")[:4]
    # EIP-161: the first contract of an account.
    (token,) = built.contracts.values()
    (created,) = {own.to for own in built.batch.blocks[1].transactions if own.data}
    assert token == created
    assert all(own.sender.hex() in (ALICE[2:].lower(), BOB[2:].lower()) for own in built.batch.blocks[1].transactions)


@pytest.mark.parametrize(
    "source", ["out", "out/Token.sol/Token.json", "artifacts", "artifacts/contracts/Token.sol/Token.json"]
)
def test_artifacts_of_foundry_and_hardhat_are_read(project: Path, source: str) -> None:
    shutil.copytree(HARDHAT, project / "artifacts")
    change(project, "Token: out", f"Token: {source}")
    built = zkevm.build_project(project)
    assert built.compilers["Token"] == ("Foundry artifact" if source.startswith("out") else "Hardhat artifact")
    assert built.execution.summary.transactions == 6


def test_an_artifact_may_have_another_name(project: Path) -> None:
    change(project, "Token: out", "Coin: {source: out, name: Token}")
    change(project, "deploy: Token", "deploy: Coin")
    assert list(zkevm.build_project(project).compilers) == ["Coin"]


@pytest.mark.parametrize("fork", ["cancun", "prague", "osaka", "bpo2"])
def test_a_plan_is_of_any_fork(project: Path, fork: str) -> None:
    change(project, "fork: osaka", f"fork: {fork}")
    built = zkevm.build_project(project)
    assert built.execution.statement.fork == fork
    assert built.execution.plan()


def test_a_batch_of_a_project_is_proved(project: Path, tmp_path: Path) -> None:
    assert run("build", project).exit_code == 0
    out = tmp_path / "token.proof"
    assert run("prove", project / "batch.json", "--out", out, "--workers", "1").exit_code == 0
    assert zkevm.verify(out, expected={"chain_id": 1337}).transactions == 6


def test_blocks_and_transactions_are_as_the_plan_says(project: Path) -> None:
    blocks = """blocks:
  - seconds: 30
    coinbase: bob
    transactions:
      - {deploy: Token, from: alice, args: [T, 5], gas: 1_500_000, max_fee: 3 gwei, priority_fee: 7}
  - - {send: 1, to: "0x00000000000000000000000000000000000000b0", from: bob}
    - {send: 2 gwei, to: Token, from: bob, reverts: true, gas: 30_000}
  - []
"""
    text = (project / "plan.yaml").read_text()
    (project / "plan.yaml").write_text(text[: text.index("# A block is")] + blocks)
    built = zkevm.build_project(project)
    first, second, third = built.batch.blocks
    assert first.context.timestamp == 1_800_000_030
    assert second.context.timestamp == third.context.timestamp - 12 == first.context.timestamp + 12
    assert first.context.coinbase.hex() == BOB[2:].lower()
    creation = first.transactions[0]
    assert (creation.gas_limit, creation.max_fee, creation.max_priority_fee) == (1_500_000, 3 * 10**9, 7)
    assert creation.to is None
    assert creation.data.startswith(read_artifact(FOUNDRY / "Token.sol" / "Token.json").code)
    assert second.transactions[0].to == bytes(19) + b"\xb0"
    assert second.transactions[1].value == 2 * 10**9
    assert built.transactions[2].succeeded is False


def test_keys_may_come_from_the_environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "0x" + "42" * 32
    change(project, "alice: 10 ether", "alice: {balance: 10 ether, key: env:SOME_KEY}")
    with pytest.raises(zkevm.ProjectError, match=r"plan.yaml:\d+: .*the environment has no SOME_KEY"):
        zkevm.build_project(project)
    monkeypatch.setenv("SOME_KEY", key)
    built = zkevm.build_project(project)
    assert built.accounts["alice"].hex() == Account.from_key(key).address[2:].lower()


# -- what is wrong


def fail(project: Path) -> tuple[str, str, int | None]:
    """What a build says: why, what to do, and which line."""
    with pytest.raises(zkevm.ProjectError) as error:
        zkevm.build_project(project)
    assert isinstance(error.value, zkevm.ZkevmError)
    assert str(error.value).startswith(f"{error.value.file}:")
    return error.value.reason, error.value.hint, error.value.line


#: A change of the plan, the line that is named by what is on it, what is said, and what to do.
WRONG = [
    ("from: alice\n      args: [bob", "from: carol\n      args: [bob", "carol", "no account 'carol'", "alice, bob"),
    (
        "[bob, 250]",
        "[carol, 250]",
        "[carol",
        "neither an address of 20 bytes nor one of alice, bob, token",
        "address to",
    ),
    ("[bob, 250]", "[bob, many]", "many", "'many' is no uint256: not an integer", "uint256 amount"),
    ("[bob, 250]", "[bob]", "[bob]", "1 arguments for (address,uint256)", "address to, uint256 amount"),
    ("[bob, 250]", "[bob, -1]", "-1", "-1 is no uint256", ""),
    ("token.approve", "token.aprove", "aprove", "no function aprove", "approve(address,uint256)"),
    ("token.approve", "token.approve(uint8)", "(uint8)", "no function approve(uint8)", "approve(address,uint256)"),
    ("token.approve", "token.approve(uint7)", "(uint7)", "no list of ABI types", ""),
    ("token.approve", "approve", "call: approve", "no call", "CONTRACT.FUNCTION"),
    ("token.approve", "nobody.approve", "nobody", "neither an address", ""),
    ("deploy: Token", "deploy: Tokn", "Tokn", "no contract 'Tokn'", "contracts: Token"),
    ("from: alice\n      args: [bob", "form: alice\n      args: [bob", "form", "there is no field `form`", ""),
    ("accounts:", "acounts:", "acounts", "there is no field `acounts`", ""),
    ("as: token", "as: bob", "- deploy", "bob is there already", "as: NAME"),
    ("as: token", "as: to ken", "to ken", "'as' is no name", ""),
    ("fork: osaka", "fork: oslo", "chain:", "there is no fork 'oslo', only cancun", ""),
    ("id: 1337 ", "id: many ", "id: many", "id: Input should be a valid integer", ""),
    ("alice: 10 ether", "alice: 10 pounds", "pounds", "'10 pounds' is no amount", ""),
    ("alice: 10 ether", "alice: {blance: 10 ether}", "blance", "there is no field `blance`", ""),
    ("alice: 10 ether", "alice: {key: 7}", "key: 7", "no key", ""),
    ("alice: 10 ether", "alice: {key: " + "00" * 32 + "}", "key: 00", "no key", ""),
    ("send: 0.5 ether", "send: 50 ether", "- send", "sender", ""),
    ("send: 0.5 ether\n      to: bob", "send: 0.5 ether", "- send", "`send` has `to`", ""),
    ("to: bob", "to: alise", "alise", "neither an address", ""),
    ("send: 0.5 ether", "value: 0.5 ether", "- value", "one of deploy, call and send, not none", ""),
    ("as: token", "to: alice", "- deploy", "`to` belongs to `send`", ""),
    ("reverts: true ", "reverts: false", "args: [alice, 100_000]", "reverts: InsufficientBalance(", "reverts: true"),
    (
        "from: bob\n      args: [alice, 100]",
        "from: bob\n      gas: 30_000\n      args: [alice, 100]",
        "approve",
        "takes all of its gas",
        "gas: 30000",
    ),
    (
        "args: [bob, 250]",
        "args: [bob, 250]\n      reverts: true",
        "250",
        "succeeds, and has `reverts: true`",
        "leave that out",
    ),
    ("Token: out", "Token: nowhere.sol", "nowhere.sol", "nowhere.sol: there is no such file", ""),
    ("Token: out", "Token: plan.yaml", "Token: plan", "neither a folder nor one of .sol, .yul, .vy, .json", ""),
    ("Token: out", "Token: {source: out, name: Tokn}", "Tokn", "no Tokn.json in", "forge build"),
    ("Token: out", "Token: out/build-info/Token.json", "build-info", "no artifact", "artifacts are"),
    ("[bob, 250]", "[bob, 250", "", "not YAML", ""),
    ("bob: 1 ether", "alice: 1 ether", "alice: 1", "alice is there twice", ""),
    ("bob: 1 ether", "bob: !!float 1", "!!float", "the tag", ""),
    ("bob: 1 ether", "bob: [1]", "bob: [1]", "no amount", ""),
    ("gas_limit: 30_000_000", "gas_limit: 1_000_000", "- deploy", "not a valid batch: ", ""),
]


@pytest.mark.parametrize(("old", "new", "place", "reason", "hint"), WRONG, ids=lambda text: text[:25])
def test_what_is_wrong_is_said_with_its_line(
    project: Path, old: str, new: str, place: str, reason: str, hint: str
) -> None:
    change(project, old, new)
    said, advice, line = fail(project)
    assert reason in said
    assert hint in advice
    assert line is not None
    if place:
        around = (project / "plan.yaml").read_text().splitlines()[line - 1 : line + 3]
        assert any(place in text for text in around), around


def test_what_is_no_project_is_said(tmp_path: Path) -> None:
    reason, hint, line = fail(tmp_path)
    assert "cannot be read" in reason
    assert "zkevm new" in hint
    assert line is None
    for content, said in (("", "it is empty"), ("- 1", "not a mapping"), ("accounts: {}", "`blocks` is missing")):
        (tmp_path / "plan.yaml").write_text(content)
        assert said in fail(tmp_path)[0]
    (tmp_path / "plan.yaml").write_bytes(b"\xff")
    assert "not a text" in fail(tmp_path)[0]
    reason, hint, _ = fail(tmp_path / "plan.yaml")
    assert "no folder of a project" in reason
    assert str(tmp_path) in hint
    result = run("build", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert f"`zkevm new {tmp_path / 'nowhere'}` makes a project" in " ".join(result.output.split())
    (tmp_path / "plan.yaml").write_text("[" * 3000)
    assert "nested" in fail(tmp_path)[0] or "not YAML" in fail(tmp_path)[0]


def test_the_command_says_it_in_one_line(project: Path) -> None:
    change(project, "deploy: Token", "deploy: Tokn")
    result = run("build", project, "--json")
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    assert definition(report) == "ErrorReport"
    assert report["error"]["kind"] == "ProjectError"
    assert report["error"]["message"].endswith("no contract 'Tokn'")
    assert report["error"]["hint"] == "contracts: Token"
    assert not (project / "batch.json").exists()


def test_a_missing_compiler_is_said_with_what_to_do(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "solcx", None)
    change(project, "Token: out", "Token: contracts/Token.sol")
    reason, hint, line = fail(project)
    assert "there is no Solidity compiler" in reason
    assert f"`npm install --prefix {os.path.relpath(project)} solc`" in hint
    assert line == line_of(project, "Token: contracts")
    monkeypatch.setattr("zkevm.projects.compilers.sys.executable", "/nowhere/python")
    (project / "contracts" / "Token.vy").write_text("# nothing")
    change(project, "contracts/Token.sol", "contracts/Token.vy")
    assert "pip install vyper" in fail(project)[1]


# -- parts


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("1_000", 1000),
        ("0x10", "0x10"),
        ("no", "no"),
        ("1:30", "1:30"),
        ("true", True),
        ("~", None),
        ("1.5", "1.5"),
        ("007", "007"),
        ("'7'", "7"),
        ("-3", -3),
    ],
)
def test_yaml_is_what_it_looks_like(text: str, value: Any) -> None:
    found = Document(Path("plan.yaml"), f"value: {text}").value["value"]
    assert found == value
    assert type(found) is type(value)


def test_yaml_knows_its_lines() -> None:
    document = Document(Path("plan.yaml"), "a:\n  - b: 1\n    c:\n      [1,\n       2]\n  - d\n")
    assert document.line(("a", 0, "c", 1)) == 5
    assert document.line(("a", 1)) == 6
    assert document.line(("a", 1, "nothing", 7)) == 6


@pytest.mark.parametrize(("text", "wei"), [("1", 1), (5, 5), ("1.5 gwei", 15 * 10**8), ("0.5 ether", 5 * 10**17)])
def test_amounts_have_units(text: Any, wei: int) -> None:
    assert parse_amount(text) == wei


@pytest.mark.parametrize("text", ["0.5", "1 pound", "-1 ether", "nan ether", "", None, True, -1, "ether", 1.5])
def test_what_is_no_amount_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="wei"):
        parse_amount(text)


@pytest.mark.parametrize(
    ("types", "values", "wanted"),
    [
        (["address", "uint256"], ["alice", "2 gwei"], (b"\x01" * 20, 2 * 10**9)),
        (["bytes", "bytes4"], ["0x0102", "01020304"], (b"\x01\x02", b"\x01\x02\x03\x04")),
        (["string", "bool"], ["7", False], ("7", False)),
        (["uint8[]", "int16[2]"], [[1, 2], [-1, 0]], ((1, 2), (-1, 0))),
        (
            ["(address,uint256)[]"],
            [[["alice", 1], ["alice", 2]]],
            (((b"\x01" * 20, 1), (b"\x01" * 20, 2)),),
        ),
        (["uint256"], ["0xff"], (255,)),
    ],
)
def test_arguments_are_encoded_by_type(types: list[str], values: list[Any], wanted: tuple[Any, ...]) -> None:
    data = encoded(types, values, {"alice": b"\x01" * 20})
    found = decode(types, data)
    shown = tuple(f"0x{'01' * 20}" if value == b"\x01" * 20 else value for value in wanted)
    assert found in (wanted, shown) or str(found).replace(f"'0x{'01' * 20}'", str(b"\x01" * 20)) == str(wanted)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("address", "carol"),
        ("address", 1),
        ("uint8", 256),
        ("bool", 1),
        ("bytes4", "0x01"),
        ("uint256[2]", [1]),
        ("uint256[]", 1),
        ("(uint256,bool)", [1]),
        ("uint256", True),
        ("uint256", 1.5),
        ("nonsense", 1),
        ("bytes32", "0xzz"),
    ],
)
def test_arguments_of_other_types_are_refused(kind: str, value: Any) -> None:
    with pytest.raises(ValueMismatch) as error:
        encoded([kind], [value], {})
    assert error.value.index == 0


PAY: Final = {
    "name": "payments",
    "type": "tuple[]",
    "components": [
        {"name": "to", "type": "address"},
        {
            "name": "share",
            "type": "tuple",
            "components": [{"name": "of", "type": "uint8"}, {"name": "in", "type": "uint8"}],
        },
    ],
}


def test_a_mapping_is_a_tuple_by_the_names_of_the_abi() -> None:
    known = {"alice": b"\x01" * 20}
    written = [
        {"share": {"in": 4, "of": 1}, "to": "alice"},
        ["alice", {"of": 2, "in": 5}],
        {"to": "alice", "share": [3, 6]},
    ]
    listed = [["alice", [1, 4]], ["alice", [2, 5]], ["alice", [3, 6]]]
    types = [type_of(PAY)]
    assert types == ["(address,(uint8,uint8))[]"]
    assert encoded(types, [written], known, [PAY]) == encoded(types, [listed], known)
    with pytest.raises(ValueMismatch, match="its values are to, share"):
        encoded(types, [[{"who": "alice", "share": [3, 6]}]], known, [PAY])
    with pytest.raises(ValueMismatch, match="its values are of, in"):
        encoded(types, [[{"to": "alice", "share": {"of": 1}}]], known, [PAY])
    with pytest.raises(ValueMismatch, match="write a list"):
        encoded(types, [[{"to": "alice", "share": [3, 6]}]], known)


@pytest.mark.parametrize(
    ("kind", "value", "range_"),
    [
        ("uint8", 256, "from 0 to 2^8 - 1"),
        ("uint256", -1, "from 0 to 2^256 - 1"),
        ("int16", 1 << 15, "from -2^15 to 2^15 - 1"),
        ("int16", -(1 << 15) - 1, "from -2^15 to 2^15 - 1"),
    ],
)
def test_the_range_of_an_integer_is_said(kind: str, value: int, range_: str) -> None:
    with pytest.raises(ValueMismatch) as error:
        encoded([kind], [value], {})
    assert str(error.value) == f"{value} is no {kind}: not {range_}"


@pytest.mark.parametrize("text", ["address", "(uint7)", "(uint256", "(uint256)[]", "", "uint256)"])
def test_what_is_no_list_of_types_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no list of ABI types"):
        split_types(text)


def test_reverts_are_read() -> None:
    assert reason_of(b"", []) == "without a reason"
    text = bytes.fromhex("08c379a0") + encoded(["string"], ["too late"], {})
    assert reason_of(text, []) == "too late"
    assert "range" in reason_of(bytes.fromhex("4e487b71") + encoded(["uint256"], [0x11], {}), [])
    assert reason_of(bytes.fromhex("4e487b71") + encoded(["uint256"], [0x99], {}), []) == "panic 0x99"
    entry = {"type": "error", "name": "Late", "inputs": [{"type": "uint256"}, {"type": "bytes"}]}
    data = keccak(text="Late(uint256,bytes)")[:4] + encoded(["uint256", "bytes"], [7, "0x0102"], {})
    assert reason_of(data, [entry]) == "Late(7, 0x0102)"
    assert reason_of(data, []) == f"0x{data.hex()}"
    assert reason_of(data[:10], [entry]) == f"0x{data[:10].hex()}"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"bytecode": "0x"}, "interface or an abstract contract"),
        ({"bytecode": "0x60__$1234$__60"}, "address of a library"),
        ({"bytecode": "0x6"}, "its code is"),
        ({"abi": []}, "no bytecode"),
        ({"bytecode": "0x60", "abi": 7}, "its abi is no list"),
    ],
)
def test_what_is_no_artifact_is_refused(tmp_path: Path, document: Any, reason: str) -> None:
    (tmp_path / "A.json").write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=reason):
        read_artifact(tmp_path / "A.json")


def test_one_of_several_artifacts_must_be_named(tmp_path: Path) -> None:
    for folder in ("a", "b", "cache"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "A.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"several A.json in .*: a/A.json, b/A.json"):
        find_artifact(tmp_path, "A")


# -- real compilers, where they are installed


@pytest.fixture(scope="module")
def with_solc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with solc in its node_modules; projects in it find it."""
    if not reaches_registry():
        pytest.skip(WITHOUT)
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "solc", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("language", ["solidity", "yul"])
def test_solc_compiles_new_projects(with_solc: Path, language: Any) -> None:
    folder = with_solc / language
    zkevm.new_project(folder, language)
    built = zkevm.build_project(folder)
    assert built.compilers["Token"].startswith("solc ")
    assert [own.succeeded for own in built.transactions] == [True, True, True, True, False, True]
    assert built.execution.check().satisfied


def test_sources_import_each_other_and_packages(with_solc: Path) -> None:
    folder = with_solc / "importing"
    (folder / "contracts").mkdir(parents=True)
    package = with_solc / "node_modules" / "base"
    package.mkdir(exist_ok=True)
    head = "// SPDX-License-Identifier: MIT\npragma solidity ^0.8.20;\n"
    (package / "Base.sol").write_text(head + "contract Base { uint256 public x = 7; }")
    (folder / "contracts" / "B.sol").write_text(head + 'import "base/Base.sol"; contract B is Base {}')
    (folder / "contracts" / "A.sol").write_text(head + 'import "./B.sol"; contract A is B {} interface I {}')
    compiled = compile_source(folder / "contracts" / "A.sol", folder, Compiler())
    assert list(compiled.contracts) == ["A"]


def test_what_a_compiler_gives_may_be_large(with_solc: Path) -> None:
    """Larger than a pipe holds: that of a token made of a library's contracts is."""
    folder = with_solc / "large"
    folder.mkdir()
    functions = "".join(
        f"function f{n}(uint256 a) external pure returns (uint256) {{ return a ^ {n}; }}\n" for n in range(500)
    )
    head = "// SPDX-License-Identifier: MIT\npragma solidity ^0.8.20;\n"
    (folder / "Large.sol").write_text(f"{head}contract Large {{ {functions} }}")
    abi = compile_source(folder / "Large.sol", folder, Compiler()).contracts["Large"].abi
    assert abi is not None
    assert len(abi) == 500
    assert len(json.dumps(abi)) > 1 << 16


def test_an_error_of_a_source_is_said_with_its_line(with_solc: Path) -> None:
    folder = with_solc / "wrong"
    zkevm.new_project(folder)
    source = folder / "contracts" / "Token.sol"
    text = source.read_text()
    source.write_text(text.replace("_move(from, to, amount);", "_mov(from, to, amount);"))
    reason, _, line = fail(folder)
    assert "Undeclared identifier" in reason
    assert line == text[: text.index("_move(from, to, amount);")].count("\n") + 1
    source.write_text(text.replace("contract Token", "contract Other"))
    reason, hint, line = fail(folder)
    assert "no contract Token in contracts/Token.sol" in reason
    assert "Other" in hint


@pytest.mark.skipif(
    not (Path(sys.executable).with_name("vyper").exists() or shutil.which("vyper")), reason="vyper is not installed"
)
def test_vyper_compiles_new_projects(tmp_path: Path) -> None:
    zkevm.new_project(tmp_path / "vyper", "vyper")
    built = zkevm.build_project(tmp_path / "vyper")
    assert built.compilers["Token"].startswith("vyper 0.")
    assert built.execution.check().satisfied
    source = tmp_path / "vyper" / "contracts" / "Token.vy"
    source.write_text(
        source.read_text().replace("self._move(msg.sender, to, amount)", "self._mov(msg.sender, to, amount)")
    )
    reason, _, line = fail(tmp_path / "vyper")
    assert reason
    assert line is not None
