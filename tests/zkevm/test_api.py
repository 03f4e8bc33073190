"""The Python API: what it gives, what it raises, how long it takes to load."""

from __future__ import annotations

import ast
import gzip
import inspect
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zkevm
from executor.errors import ZkevmError
from executor.trace import ExecutionTrace
from prover.attribution import apportion
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.tokens import token_batch, write_batch
from scripts.workloads.assembler import assemble
from tests.zkevm.strict_program import main

ROOT = Path(__file__).parents[2]
#: Most seconds that `import zkevm` takes a new interpreter.
MOST_SECONDS = 0.3


@pytest.fixture(scope="module")
def execution() -> zkevm.Execution:
    return zkevm.execute(zkevm.read_batch(token_batch(8).document))


@pytest.fixture(scope="module")
def proof(execution: zkevm.Execution) -> zkevm.ProvedBatch:
    return execution.prove(workers=zkevm.Workers(count=1))


# -- the module


def test_it_loads_at_once_and_nothing_with_it() -> None:
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", "import sys, zkevm; print(*sys.modules)"], capture_output=True, text=True, cwd=ROOT
        )
        taken.append(time.perf_counter() - start)
        assert done.returncode == 0, done.stderr
        assert not {"numpy", "pyarrow", "eth", "pydantic", "prover", "verifier"} & set(done.stdout.split())
    assert min(taken) <= MOST_SECONDS


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    assert sorted(zkevm.__all__) == zkevm.__all__
    assert set(zkevm.__all__) <= set(dir(zkevm))
    for name in zkevm.__all__:
        found = getattr(zkevm, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            assert (found.__doc__ or "").strip(), name


def test_every_public_member_says_what_it_is() -> None:
    classes = [found for name in zkevm.__all__ if inspect.isclass(found := getattr(zkevm, name))]
    assert len(classes) > 30
    silent = [
        f"{own.__qualname__}.{name}"
        for own in classes
        if own.__module__.split(".")[0] in ("zkevm", "executor", "prover", "verifier")
        for name, member in vars(own).items()
        if not name.startswith("_")
        and (inspect.isfunction(member) or isinstance(member, property | classmethod))
        and not inspect.getdoc(getattr(own, name))
    ]
    assert not silent


def test_what_types_see_is_what_is_loaded() -> None:
    """The names that are imported for types come from where they are loaded from."""
    tree = ast.parse(Path(zkevm.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == zkevm._HOME_OF
    assert sorted(seen) == zkevm.__all__


def test_an_unknown_name_is_none() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        zkevm.nonsense  # noqa: B018


def test_the_verifier_alone_says_what_it_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        """Finds no module of the prover, as in an installation without it."""

        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "zkevm.execution":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.delitem(sys.modules, "zkevm.execution", raising=False)
    monkeypatch.delitem(vars(zkevm), "execute", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing, *sys.meta_path])
    with pytest.raises(AttributeError, match=r"zkevm.execute is not in zkevm-verifier, .*: install zkevm"):
        zkevm.execute  # noqa: B018
    assert zkevm.verify is not None


@pytest.mark.deep
def test_a_program_is_typed_to_the_last_name(tmp_path: Path) -> None:
    program = Path(__file__).with_name("strict_program.py")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program)]
    # Outside of the project, whose configuration is not the user's: its packages are found as installed ones are.
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_program_runs(tmp_path: Path) -> None:
    assert main(str(write_batch(tmp_path, 8)), tmp_path / "batch.proof") == 8


def test_all_errors_are_of_one_family() -> None:
    errors = [found for name in zkevm.__all__ if inspect.isclass(found := getattr(zkevm, name))]
    errors = [found for found in errors if issubclass(found, BaseException)]
    assert len(errors) > 10
    assert all(issubclass(found, zkevm.ZkevmError) for found in errors)
    assert zkevm.ZkevmError is ZkevmError


# -- batches


@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_is_read_from_whatever_holds_it(tmp_path: Path, packed: bool) -> None:
    document = token_batch(2).document
    content = json.dumps(document).encode()
    file = tmp_path / "batch.json"
    file.write_bytes(gzip.compress(content) if packed else content)
    batches = [zkevm.read_batch(each) for each in (file, str(file), file.read_bytes(), document)]
    assert all(batch == batches[0] for batch in batches)
    assert batches[0].transactions == 2


def test_a_batch_is_made_of_documents() -> None:
    document = token_batch(2).document
    genesis = document["genesis"]
    rest = {name: value for name, value in document.items() if name != "genesis"}
    content = json.dumps(genesis | {"config": {"chainId": document["chainId"]}}).encode()
    batch = zkevm.read_batch(rest, content)
    assert batch.blocks == zkevm.read_batch(document).blocks


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((b"nonsense",), "document 0: neither RLP, nor hexadecimal, nor JSON"),
        (({"nonsense": 1},), "document 0: none of the documents that are read"),
        ((Path("/nowhere/batch.json"),), "cannot read the batch file /nowhere/batch.json"),
        ((), "no documents"),
    ],
)
def test_what_is_no_batch_is_said_so(given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(zkevm.BatchError, match=message):
        zkevm.read_batch(*given)


# -- executions


def test_an_execution_tells_what_a_proof_says(execution: zkevm.Execution, proof: zkevm.ProvedBatch) -> None:
    assert execution.summary.transactions == 8
    assert execution.statement == proof.statement
    assert execution.batch.chain_id == execution.statement.chain_id


def test_the_trace_is_shared_with_arrow(execution: zkevm.Execution) -> None:
    """No byte is copied, neither into Arrow nor out of it."""
    raw = execution.trace.raw
    assert list(execution.trace) == list(ExecutionTrace.table_types())
    for name, table in raw.tables().items():
        shown = execution.trace[name]
        assert len(shown) == len(table)
        for column in table.columns():
            values = shown[column.name].chunk(0)
            flat = values.flatten() if column.shape else values
            own = getattr(table, column.name)
            if own.size and own.flags.c_contiguous:
                assert np.shares_memory(flat.to_numpy(zero_copy_only=True), own), (name, column.name)


def test_words_and_addresses_are_readable(execution: zkevm.Execution) -> None:
    trace = execution.trace
    transactions = execution.batch.blocks[0].transactions
    assert trace.hex("transactions", "sender")[0] == f"0x{transactions[0].sender.hex()}"
    assert trace.integers("transactions", "value")[0] == transactions[0].value
    start, size = (trace["transactions"][name][0].as_py() for name in ("input_start", "input_size"))
    assert trace.bytes_at(start, size) == transactions[0].data
    with pytest.raises(KeyError):
        trace.hex("transactions", "nonce")
    with pytest.raises(KeyError):
        trace["nonsense"]


def test_a_trace_is_written_and_read(execution: zkevm.Execution, tmp_path: Path) -> None:
    execution.trace.save(tmp_path / "trace")
    again = zkevm.read_trace(tmp_path / "trace")
    assert all(again[name].equals(execution.trace[name]) for name in execution.trace)
    (tmp_path / "trace").write_bytes(b"nothing")
    with pytest.raises(zkevm.TraceFileError):
        zkevm.read_trace(tmp_path / "trace")


def test_execution_stops_at_limits() -> None:
    with pytest.raises(zkevm.LimitExceeded, match="gas"):
        zkevm.execute(zkevm.read_batch(token_batch(2).document), limits=zkevm.Limits(gas=1))


# -- costs


def two_contracts() -> Builder:
    """Transactions that call a contract, which calls another one twice as often as it works itself; and a transfer."""
    inner = bytes.fromhex("22" * 20)
    code = f"0 0 0 0 0 {int.from_bytes(inner, 'big')} gas call pop "
    building = Builder()
    building.alloc(inner, code="0x" + assemble("1 2 add 3 mul pop " * 30 + "stop").hex())
    building.alloc(CONTRACT, code="0x" + assemble(code * 2 + "1 0 sstore stop").hex())
    building.block(call_contract(building, gas=200_000), building.transfer())
    return building.block(call_contract(building, gas=200_000))


@pytest.fixture(scope="module")
def called() -> zkevm.Execution:
    return zkevm.execute(zkevm.read_batch(two_contracts().document))


BUDGETS = [zkevm.Budget(), zkevm.Budget(operations=1), zkevm.Budget(steps=100)]


@pytest.mark.parametrize("budget", BUDGETS, ids=["one", "operations", "parts"])
def test_costs_add_up_to_the_cell(called: zkevm.Execution, budget: zkevm.Budget) -> None:
    costs = called.costs(budget)
    plans = called.plan(budget)
    assert costs.segments == len(plans) >= (1 if budget == zkevm.Budget() else 2)
    assert costs.cells == sum(plan.cells for plan in plans)
    assert costs.interactions == sum(plan.interactions for plan in plans)
    for shares in (costs.transactions, costs.contracts):
        assert sum(share.cells for share in shares) == costs.cells
        assert sum(share.interactions for share in shares) == costs.interactions
        assert sum(share.steps for share in shares) == costs.steps == called.summary.steps
        assert all(0 <= share.own_cells <= share.cells for share in shares)
        assert all(0 <= share.own_interactions <= share.interactions for share in shares)
    # What is named directly does not depend on who is asked; the rest is shared, segment by segment.
    own = [sum(share.own_cells for share in shares) for shares in (costs.transactions, costs.contracts)]
    assert own[0] == own[1] < costs.cells


def test_costs_go_to_whoever_causes_them(called: zkevm.Execution) -> None:
    costs = called.costs()
    first, transfer, third, rest = costs.transactions
    assert [(each.block, each.transaction) for each in costs.transactions] == [(0, 0), (0, 1), (1, 0), (None, None)]
    assert first.steps == third.steps > 300
    assert transfer.steps == rest.steps == 0
    assert 0 < transfer.own_cells < first.own_cells
    assert first.gas_used > third.gas_used > transfer.gas_used == 21_000
    dearest, other, nobody = (each for each in costs.contracts if each.own_cells)
    assert dearest.address == bytes.fromhex("22" * 20)
    assert other.address == CONTRACT
    assert nobody.address is None
    assert (dearest.frames, other.frames) == (4, 2)
    assert dearest.steps == 4 * 181
    assert dearest.steps + other.steps == called.summary.steps


def test_costs_of_one_segment(called: zkevm.Execution) -> None:
    budget = zkevm.Budget(operations=1)
    each = [called.costs(budget, segment=plan.index) for plan in called.plan(budget)]
    assert sum(costs.cells for costs in each) == called.costs(budget).cells
    assert all(costs.segments == 1 for costs in each)
    with pytest.raises(IndexError):
        called.costs(budget, segment=len(each))


@pytest.mark.parametrize("by", ["table", "instruction", "transaction", "contract"])
def test_costs_are_arrow_tables(called: zkevm.Execution, by: Any) -> None:
    costs = called.costs()
    rows = costs.by(by).to_pylist()
    typed: Any = {
        "table": costs.tables,
        "instruction": costs.instructions,
        "transaction": costs.transactions,
        "contract": costs.contracts,
    }[by]
    assert [row["cells"] for row in rows] == [own.cells for own in typed]
    interactions = "messages" if by in ("table", "instruction") else "interactions"
    assert [row["interactions"] for row in rows] == [getattr(own, interactions) for own in typed]
    with pytest.raises(ValueError, match="not by 'colour'"):
        costs.by("colour")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("total", "weights"), [(0, [1]), (7, [1, 1, 1]), (10, [0, 3, 0, 5]), (2**31 - 1, [2**31 - 1] * 2)]
)
def test_shares_are_whole_and_in_proportion(total: int, weights: list[int]) -> None:
    parts = apportion(total, weights)
    assert parts.sum() == total
    assert all(abs(part - total * weight / sum(weights)) < 1 for part, weight in zip(parts, weights, strict=True))


# -- checks, proofs


@pytest.fixture
def lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables whose first transaction was filled with another number."""
    import zkevm.execution as own
    from circuits.segment import segment_circuit
    from executor.forks import CANCUN

    honest = own.fill_segment
    place = segment_circuit(CANCUN).names.index("transaction")

    def dishonest(*arguments: Any) -> Any:
        filled = honest(*arguments)
        filled.traces[place][0, 1] += 1
        return filled

    monkeypatch.setattr(own, "fill_segment", dishonest)


@pytest.mark.usefixtures("lie")
def test_violations_are_readable(execution: zkevm.Execution) -> None:
    report = execution.check()
    assert not report.satisfied
    assert {violation.kind for violation in report.violations} >= {"BusFinding"}
    assert all(str(violation).startswith("segment 0: ") for violation in report.violations)


def test_an_honest_batch_has_none(execution: zkevm.Execution) -> None:
    report = execution.check(zkevm.Budget(operations=3))
    assert report.satisfied
    assert report.segments == 3


def test_a_proof_needs_no_file(execution: zkevm.Execution, proof: zkevm.ProvedBatch, tmp_path: Path) -> None:
    assert proof.path is None
    assert proof.security_bits is not None
    assert proof.security_bits >= 100
    assert [segment.reused for segment in proof.proved] == [False]
    assert list(proof.seconds) == ["execute", "plan", "prove", "verify", "write"]
    assert zkevm.verify(proof, expected={"chain_id": execution.batch.chain_id}).transactions == 8
    proof.save(tmp_path / "a.proof")
    assert zkevm.verify(tmp_path / "a.proof").statement == zkevm.verify(proof.content).statement == proof.statement


def test_a_proof_is_looked_at_before_it_is_judged(proof: zkevm.ProvedBatch) -> None:
    content = bytearray(proof.content)
    content[-1] ^= 1
    changed = zkevm.read_proof(bytes(content))
    assert changed.statement == proof.statement
    assert (changed.blocks, changed.transactions) == (proof.blocks, 8)
    assert changed.sizes["proof file"] == len(content)
    assert changed.segments[0].proof_bytes == proof.proved[0].proof_bytes
    with pytest.raises(zkevm.Rejected) as rejected:
        changed.verify()
    assert rejected.value.check == "proofs"


def test_a_proof_of_another_batch_is_rejected(proof: zkevm.ProvedBatch) -> None:
    with pytest.raises(zkevm.Rejected, match="statement"):
        proof.verify(expected={"chain_id": 1})


def test_what_is_no_proof_is_unusable(proof: zkevm.ProvedBatch, tmp_path: Path) -> None:
    with pytest.raises(zkevm.UnusableInput):
        zkevm.read_proof(tmp_path / "nowhere")
    with pytest.raises(zkevm.UnusableInput):
        zkevm.read_proof(b"nonsense").statement  # noqa: B018
    with pytest.raises(zkevm.UnusableInput, match="malformed proof file"):
        zkevm.Proof(proof.content[:-1]).statement  # noqa: B018


def test_what_cannot_be_written_is_said_first(tmp_path: Path) -> None:
    called: list[str] = []
    with pytest.raises(zkevm.ProverError, match="the folder of the output does not exist"):
        zkevm.prove(
            zkevm.read_batch(token_batch(1).document),
            tmp_path / "nowhere" / "a.proof",
            progress=lambda phase, done, total: called.append(phase),
        )
    assert not called


def test_finished_segments_are_kept_where_it_is_asked_for(execution: zkevm.Execution, tmp_path: Path) -> None:
    budget, one = zkevm.Budget(operations=4), zkevm.Workers(count=1)
    out = tmp_path / "a.proof"
    made = partial(execution.prove, out, workers=one, budget=budget, store=tmp_path / "store", one_proof=False)
    made(keep=True)
    again = made()
    assert [segment.reused for segment in again.proved] == [True, True]
    assert [segment.prove_seconds for segment in again.proved] == [None, None]
    assert out.read_bytes() == again.content
