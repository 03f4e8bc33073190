"""Operations that no segment can hold are divided between their steps, proved in parts and accepted."""

import gc
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import prover.planner
from circuits.air.checker import check_circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import Matrix
from circuits.batch.execution import Batch, Execution
from circuits.parts import FilledRun
from circuits.segment import FilledSegment
from circuits.statement import LAST_TABLES, LINKS_START
from executor.execute import execute
from executor.inputs import read_batch
from executor.provable import check_provable
from prover.driver import SegmentEvent
from prover.errors import CostError
from prover.estimate import PER_STEP, Estimator, of_steps
from prover.planner import Budget, SegmentPlan, memory_of, plan_batch, plan_whole
from prover.prove import Progress, prove
from prover.runs import Runs, Spool
from prover.segment import fill_segment, segment_jobs
from scripts.batches import everything
from scripts.batches.builder import Builder
from scripts.batches.precompiles import BN_FIELD, BN_G1, BN_G2, words
from scripts.batches.programs import CONTRACT
from scripts.batches.tokens import tokens, write_batch
from scripts.workloads.assembler import assemble
from tests.prover.runs import accepted
from verifier.verify import verify_file

#: Rounds that multiply large numbers and store the product.
LOOP = "300 start: dup1 dup1 mul not dup1 mul 0 mstore 1 swap1 sub dup1 @start jumpi stop"


@pytest.fixture(scope="module")
def loop() -> Batch:
    """A transaction of 4,000 steps between two that only pay."""
    builder = Builder().alloc(CONTRACT, code="0x" + assemble(LOOP).hex())
    call = builder.transfer(0, CONTRACT, 0, gas=1_000_000, data="0x")
    builder.block(builder.transfer(1), call, builder.transfer(2))
    return Batch.of(builder.provable().trace)


def segment_memory(batch: Batch, share: float) -> Budget:
    """A budget of a share of what the batch takes as one segment, beyond what a process takes anyway."""
    whole = plan_whole(batch)
    empty = memory_of(0, 0)
    return Budget(memory=int(empty + share * (whole.memory - empty)))


def check(batch: Batch, plans: list[SegmentPlan]) -> None:
    """Fill all segments as they are planned; all constraints and buses hold."""
    jobs = segment_jobs(batch, plans)
    before: FilledSegment | None = None
    for job in jobs:
        filled = fill_segment(batch, job.plan)
        assert check_circuit(filled.circuit, filled.traces, filled.public_lists, algebra=NATIVE) == []
        present = {name: len(t) for name, t in zip(filled.circuit.names, filled.traces, strict=True) if t is not None}
        assert present == job.plan.heights
        stated = filled.public_values
        assert stated.to_list() == job.public_values.to_list()
        assert list(filled.frames) == list(job.frames)
        assert list(filled.words) == list(job.words)
        assert {other: digest.tolist() for other, digest in filled.links.items()} == {
            other: digest.tolist() for other, digest in job.links.items()
        }
        if before is not None:
            assert stated.time_in == before.public_values.time_out
            assert stated.first_operation == before.public_values.end_operation
        if job.plan.run is not None and not job.plan.run.is_last:
            assert not LAST_TABLES.intersection(job.plan.heights)
            assert job.writes is None
            assert filled.words[2] == 1
        else:
            assert filled.words[2:] == (0, 0, 0)
        if job.plan.run is None:
            assert stated.links.tolist() == LINKS_START.tolist()
        if before is not None and job.plan.run is not None and job.plan.run.number:
            assert filled.words[:2] == before.words[3:]
        before = filled
    # Both parts of a link have the same hash of it, and the earlier one writes it into the file.
    of_run = [(job, job.plan.run) for job in jobs if job.plan.run is not None]
    for (first, here), (later, there) in combinations(of_run, 2):
        if here.first == there.first:
            linked = there.number in first.links
            assert linked == (here.number in later.links) == (there.number in first.later_links.other)
            assert not linked or np.array_equal(first.links[there.number], later.links[here.number])
            assert here.number not in later.later_links.other


def test_an_operation_that_fits_nowhere_is_divided(loop: Batch) -> None:
    budget = segment_memory(loop, 0.6)
    plans = plan_batch(loop, budget)
    assert budget.memory is not None
    assert len(plans) > 2
    assert all(plan.memory <= budget.memory for plan in plans)
    parts = [plan for plan in plans if plan.run is not None]
    assert len(parts) >= 2
    # Only the transaction with the loop is divided.
    assert {(plan.run.first, plan.run.end) for plan in parts if plan.run} == {(parts[0].begin, parts[0].begin + 1)}
    assert sum(plan.operations for plan in plans) == len(loop.operations)
    assert parts[0].content.startswith("part 1 of ")
    check(loop, plans)


def _pairing(pairs: int) -> Builder:
    """A transaction that is a pairing check and has no step; each second pair takes back the one before it."""
    pair = (words(*BN_G1, *BN_G2), words(BN_G1[0], BN_FIELD - BN_G1[1], *BN_G2))
    data = b"".join(pair[k % 2] for k in range(pairs))
    builder = Builder()
    return builder.block(builder.transfer(0, (8).to_bytes(20, "big"), 0, gas=900_000, data="0x" + data.hex()))


def test_a_call_alone_is_divided() -> None:
    """Between the parts of its input."""
    batch = Batch.of(_pairing(8).provable().trace)
    assert len(batch.trace.steps) == 0
    execution = Execution(batch, 0, 1)
    assert len(execution.places) == 9
    budget = segment_memory(batch, 0.5)
    plans = plan_batch(batch, budget)
    assert budget.memory is not None
    assert len(plans) >= 2
    assert all(plan.memory <= budget.memory for plan in plans)
    assert {(plan.begin, plan.run.end) for plan in plans if plan.run} == {(0, 1)}
    check(batch, plans)


def test_what_a_call_takes_is_what_its_instances_take() -> None:
    batch = Batch.of(_pairing(3).provable().trace)
    execution = Execution(batch, 0, 1)
    weights = Runs(batch).weights(execution, {"field_wide_32": 1000})
    assert len(weights) == 4
    assert len(set(weights.tolist())) == 1
    rows = Estimator(batch)(0, 1).rows["field_wide_32"]
    assert rows > 0
    assert weights.sum() == pytest.approx(4 * PER_STEP + 1000 * rows)
    # A step that calls takes no more than another one: its instances do.
    source = "0 0 384 0 8 gas staticcall stop"
    builder = Builder().alloc(CONTRACT, code="0x" + assemble(source).hex())
    batch = Batch.of(builder.block(builder.transfer(0, CONTRACT, 0, gas=300_000, data="0x")).provable().trace)
    execution = Execution(batch, 0, 1)
    weights = Runs(batch).weights(execution, {"field_wide_32": 1000})
    of_instances = np.isin(execution.places, execution.instances[1])
    assert of_instances.sum() == 3
    assert len(weights) == 3 + len(execution.step)
    assert weights[of_instances].min() > 10 * weights[~of_instances].max()


def test_a_call_in_two_parts_is_proved_and_accepted(tmp_path: Path) -> None:
    file = tmp_path / "pairing.json"
    file.write_text(json.dumps(_pairing(2).document))
    out = tmp_path / "pairing.proof"
    report = prove(file, out, budget=Budget(steps=2))
    assert len(report.plans) == 2
    assert [plan.content for plan in report.plans] == ["part 1 of 2 of operation 0", "part 2 of 2 of operation 0"]
    assert all("field_instances" in plan.heights for plan in report.plans)
    accepted(out, report, 1)
    assert verify_file(out, engine="python").statement == report.statement


def test_a_step_alone_is_not_divided(loop: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prover.planner, "HOPELESS_BYTES", 1 << 10)
    with pytest.raises(CostError, match="need a segment of about"):
        plan_batch(loop, Budget(memory=2 << 10))


def test_a_budget_below_what_parts_take_is_refused(loop: Batch) -> None:
    with pytest.raises(CostError, match="need a segment of about"):
        plan_batch(loop, Budget(memory=memory_of(0, 0) + (1 << 20)))


@pytest.mark.parametrize("steps", [1, 7])
def test_segments_of_few_steps(steps: int) -> None:
    """Wherever a segment ends, all constraints hold."""
    batch = tokens(1)
    plans = plan_batch(batch, Budget(steps=steps))
    assert len(plans) == -(-len(batch.trace.steps) // steps)
    check(batch, plans)


def test_each_table_has_rows_in_parts() -> None:
    batch = Batch.of(everything.builder().provable().trace)
    places = sum(len(Execution(batch, first, end).places) for _, first, end in batch.runs())
    plans = plan_batch(batch, Budget(steps=-(-places // 3)))
    assert len(plans) == 3
    check(batch, plans)


def test_parts_are_proved_and_accepted(tmp_path: Path) -> None:
    file = write_batch(tmp_path, 3)
    batch = Batch.of(check_provable(execute(read_batch(file))))
    events: list[SegmentEvent] = []
    out = tmp_path / "parts.proof"
    budget = Budget(steps=-(-len(batch.trace.steps) // 2))
    report = prove(file, out, budget=budget, keep=True, progress=Progress(segment=events.append))
    assert len(report.plans) == 2
    assert not any(event.reused for event in events)
    accepted(out, report, 3)
    assert verify_file(out, engine="python").statement == report.statement
    whole = prove(file, tmp_path / "whole.proof")
    assert whole.statement == report.statement
    # A run that is started again proves no part twice.
    events.clear()
    again = prove(file, out, budget=budget, progress=Progress(segment=events.append))
    assert [event.reused for event in events] == [True, True]
    accepted(out, again, 3)


def test_what_steps_take_is_what_operations_take() -> None:
    batch = Batch.of(everything.builder().provable().trace)
    rest, rows = of_steps(batch)
    whole = Estimator(batch)(0, len(batch.operations))
    assert 0 < rest.sum() < whole.rest
    for name, count in rows.items():
        # What is hashed twice counts once for a segment; outermost frames have no step.
        assert 0 <= count.sum() <= 2 * whole.rows[name] + 24 * 8, name
    assert rows["keccak_f"].sum() > 0


def test_functions_are_computed_when_a_part_is_taken() -> None:
    """Nothing of them is kept, and a part is given away once."""
    batch = Batch.of(everything.builder().provable().trace)
    execution = Execution(batch, 0, len(batch.operations))
    kept: list[int] = []

    def keep(matrix: Matrix) -> Matrix:
        kept.append(id(matrix))
        return matrix

    run = FilledRun(execution, (len(batch.trace.steps) // 2,), keep)
    assert len(run) == 2
    filled = run.take(1)
    traces = dict(zip(filled.circuit.names, filled.traces, strict=True))
    functions = {"keccak_f", "sha256_rounds", "ripemd160_left", "blake2f_rounds", "field_narrow_32", "poseidon2"}
    shared = {"push_small", "memory", "account", "code", "copy"}
    assert {name for name in functions | shared if id(traces[name]) in kept} == shared
    with pytest.raises(KeyError):
        run.take(1)
    assert run.take(0).frames[1] == filled.frames[0] + 1


def test_tables_in_files() -> None:
    spool = Spool()
    small, large = np.arange(12, dtype=np.uint32).reshape(3, 4), np.arange(1 << 19, dtype=np.uint32).reshape(-1, 8)
    assert spool(small) is small
    stored = spool(large)
    assert isinstance(stored, np.memmap)
    folder = Path(stored.filename).parent
    np.testing.assert_array_equal(stored, large)
    stored[0, 0] = 7
    assert int(np.load(Path(stored.filename))[0, 0]) == 0
    del stored, spool
    gc.collect()
    assert not folder.exists()


def test_times_of_steps_ascend() -> None:
    """So the steps of a part are those between two."""
    batch = Batch.of(everything.builder().provable().trace)
    execution = Execution(batch, 0, len(batch.operations))
    assert (np.diff(execution.time) > 0).all()
    begin, end = (int(execution.time[step]) for step in (7, 400))
    part = execution.part(begin, end)
    push = [step for step in range(7, 400) if execution.opcode[step] == 0x60]
    assert push
    assert set(part.rows(0x60)) <= set(push)
    assert set(part.rows(0x60)) == {step for step in execution.rows(0x60).tolist() if 7 <= step < 400}
