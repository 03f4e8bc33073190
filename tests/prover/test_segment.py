"""Planning, filling and naming the segments of a real batch."""

from dataclasses import replace

import pytest

from circuits.segment import segment_circuit
from executor.transfers import TransferTrace
from prover.planner import planner_for
from prover.segment import SegmentJob, fill_segment, is_proof_of, prove_segment, segment_jobs
from tests.prover.batches import transfers


@pytest.fixture(scope="module")
def small_batch() -> TransferTrace:
    return transfers(8)


@pytest.fixture(scope="module")
def jobs(small_batch: TransferTrace) -> list[SegmentJob]:
    planner = planner_for(small_batch)
    return segment_jobs(small_batch, [planner.segment(0, 0, 5), planner.segment(1, 5, 8)])


def test_segments_chain(jobs: list[SegmentJob]) -> None:
    first, second = (job.public_values for job in jobs)
    assert first.end_transaction == second.first_transaction
    assert first.transactions_out.tolist() == second.transactions_in.tolist()
    assert first.effects_out.tolist() == second.effects_in.tolist()
    assert first.access_out.tolist() == second.access_in.tolist()


def test_the_driver_states_what_the_tables_state(small_batch: TransferTrace, jobs: list[SegmentJob]) -> None:
    for job in jobs:
        filled = fill_segment(small_batch, job)
        assert filled.public_values.to_list() == job.public_values.to_list()


def test_tables_are_never_larger_than_planned(small_batch: TransferTrace, jobs: list[SegmentJob]) -> None:
    names = segment_circuit().names
    for job in jobs:
        filled = fill_segment(small_batch, job)
        assert all(len(table) <= job.plan.heights[name] for name, table in zip(names, filled.traces, strict=True))


def test_a_proof_is_one_of_its_own_segment_alone(small_batch: TransferTrace, jobs: list[SegmentJob]) -> None:
    first, second = jobs
    proof = prove_segment(small_batch, first, threads=1)
    assert proof.statistics is not None
    assert proof.statistics.cells <= first.plan.cells
    assert is_proof_of(proof.proof, first)
    assert not is_proof_of(proof.proof, second)
    assert not is_proof_of(proof.proof[:-1], first)
    assert not is_proof_of(b"", first)


def test_the_key_of_a_segment_names_everything_its_proof_depends_on(small_batch: TransferTrace) -> None:
    trace = small_batch
    planner = planner_for(trace)
    plan = planner.segment(0, 0, 8)
    (job,) = segment_jobs(trace, [plan])
    assert segment_jobs(trace, [plan])[0].key == job.key

    value = trace.value.copy()
    value[3, 0] ^= 1
    gas_limit = trace.gas_limit.copy()
    gas_limit[7] += 1
    coinbase = trace.coinbase.copy()
    coinbase[0, 0] ^= 1
    others = [replace(trace, value=value), replace(trace, gas_limit=gas_limit), replace(trace, coinbase=coinbase)]
    keys = {segment_jobs(other, [plan])[0].key for other in others}
    keys.add(segment_jobs(trace, [replace(plan, log_stacked_height=plan.log_stacked_height + 1)])[0].key)
    assert len(keys | {job.key}) == 5
