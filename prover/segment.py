"""One segment: what it states, its tables, its proof."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, TypeAlias

import zkevm_native

from circuits.batch.execution import Batch, Execution
from circuits.segment import FilledSegment, fill, public_values, segment_circuit
from circuits.state.state_view import StateView, Writes
from circuits.statement import SegmentPublicValues
from executor.forks import CIRCUIT_FORKS
from prover.costs import Costs, costs_of_tables
from prover.planner import SegmentPlan
from prover.store import content_key
from verifier import keys

#: What runs the engine's prover: our device, or the engine's own, which proves the same and is slower.
Device: TypeAlias = Literal["own", "stock"]


@dataclass(frozen=True)
class SegmentJob:
    """A segment to be proved.

    Attributes:
        plan: its operations and the engine's parameter.
        writes: what it leaves.
        public_values: what its proof will state.
        key: hash of everything its proof depends on (what it states and with which key); it is stored under this name.
    """

    plan: SegmentPlan
    writes: Writes
    public_values: SegmentPublicValues
    key: str


@dataclass(frozen=True)
class SegmentStatistics:
    """Seconds, measured while a segment was proved, and the exact size of its tables.

    Attributes:
        cpu_seconds: of all threads of the process, by phase of the engine (`zkevm_native.ProveStats`).
        costs: where its cells and interactions go.
    """

    fill_seconds: float
    prove_seconds: float
    cells: int
    interactions: int
    cpu_seconds: dict[str, float]
    costs: Costs


@dataclass(frozen=True)
class SegmentProof:
    """A proof in the engine's encoding; `statistics` is None when it was not made in this run."""

    proof: bytes = field(repr=False)
    statistics: SegmentStatistics | None = None


@cache
def proving_key(fork: str, log_stacked_height: int) -> zkevm_native.ProvingKey:
    """The key of the circuit of a fork (by the name of one in `CIRCUIT_FORKS`), made once in each process.

    It comes from the pinned key, if that is of the circuit as it is, and is generated for any other circuit or height.
    """
    circuit = segment_circuit(CIRCUIT_FORKS[fork])
    if log_stacked_height in keys.SUPPORTED_HEIGHTS and circuit.digest == keys.manifest(fork).circuit_digest:
        pinned = zkevm_native.VerifyingKey.from_bytes(keys.encoding(fork, log_stacked_height), known=True)
        return zkevm_native.ProvingKey.of(pinned, circuit.names)
    return zkevm_native.keygen(circuit.export(), log_stacked_height)


@cache
def verifying_key(fork: str, log_stacked_height: int) -> zkevm_native.VerifyingKey:
    """The verifying half of `proving_key`."""
    return proving_key(fork, log_stacked_height).verifying_key()


def segment_jobs(batch: Batch, plans: Sequence[SegmentPlan]) -> list[SegmentJob]:
    """The jobs of a batch's segments, each independent of the others."""
    return [_job(batch, plan) for plan in plans]


def _job(batch: Batch, plan: SegmentPlan) -> SegmentJob:
    execution = Execution(batch, plan.first, plan.end)
    stated = public_values(execution)
    key = content_key(
        segment_circuit(execution.fork).digest.encode(),
        zkevm_native.VERSION.encode(),
        plan.log_stacked_height.to_bytes(4, "little"),
        repr(stated.to_list()).encode(),
    )
    return SegmentJob(plan, StateView.of(execution).writes, stated, key)


def fill_segment(batch: Batch, job: SegmentJob) -> FilledSegment:
    """The tables and public values of a segment."""
    return fill(Execution(batch, job.plan.first, job.plan.end))


def prove_segment(batch: Batch, job: SegmentJob, threads: int, device: Device = "own") -> SegmentProof:
    """Prove a segment.

    Args:
        batch: the whole batch.
        job: the segment.
        threads: threads of the engine.
        device: runs the engine's prover.

    Raises:
        zkevm_native.EngineError: the engine refused the traces or failed.
    """
    key = proving_key(job.plan.fork, job.plan.log_stacked_height)
    start = time.perf_counter()
    execution = Execution(batch, job.plan.first, job.plan.end)
    filled = fill(execution)
    filled_at = time.perf_counter()
    costs = costs_of_tables(execution, filled.traces)
    # The engine takes the traces over: nobody needs them afterwards, and memory is what limits a segment's size.
    proof, measured = zkevm_native.prove(key, filled.traces, filled.public_lists, threads, consume=True, device=device)
    statistics = SegmentStatistics(
        fill_seconds=filled_at - start,
        prove_seconds=time.perf_counter() - filled_at,
        cells=measured["cells"],
        interactions=measured["interactions"],
        cpu_seconds=measured["cpu_seconds"],
        costs=costs,
    )
    return SegmentProof(proof, statistics)


def is_proof_of(proof: bytes, job: SegmentJob) -> bool:
    """Whether the engine accepts this as a proof of what the segment states."""
    try:
        verified = zkevm_native.verify(verifying_key(job.plan.fork, job.plan.log_stacked_height), proof)
    except zkevm_native.EngineError:
        return False
    stated = [values for values in verified.public_values if values]
    return stated == [job.public_values.to_list()]
