"""One segment: what it states, its tables, its proof."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import zkevm_native

from circuits.access_tree import leaf_digests, root, tree_depth
from circuits.segment import Boundary, FilledSegment, boundaries, fill, segment_circuit
from circuits.statement import CIRCUIT_VERSION, SegmentPublicValues
from executor.transfers import TransferTrace
from prover.planner import SegmentPlan
from prover.store import content_key


@dataclass(frozen=True)
class SegmentJob:
    """A segment to be proved.

    Attributes:
        plan: its transactions and the engine's parameter.
        boundary: the running hashes it takes over.
        public_values: what its proof will state.
        key: hash of everything its proof depends on; it is stored under this name.
    """

    plan: SegmentPlan
    boundary: Boundary
    public_values: SegmentPublicValues
    key: str


@dataclass(frozen=True)
class SegmentStatistics:
    """Seconds, measured while a segment was proved, and the exact size of its tables."""

    fill_seconds: float
    prove_seconds: float
    cells: int
    interactions: int


@dataclass(frozen=True)
class SegmentProof:
    """A proof in the engine's encoding; `statistics` is None when it was not made in this run."""

    proof: bytes = field(repr=False)
    statistics: SegmentStatistics | None = None


@cache
def proving_key(log_stacked_height: int) -> zkevm_native.ProvingKey:
    """The key of the segment circuit, generated once in each process."""
    return zkevm_native.keygen(segment_circuit().export(), log_stacked_height)


@cache
def verifying_key(log_stacked_height: int) -> zkevm_native.VerifyingKey:
    """The verifying half of `proving_key`."""
    return proving_key(log_stacked_height).verifying_key()


def segment_jobs(trace: TransferTrace, plans: Sequence[SegmentPlan]) -> list[SegmentJob]:
    """The jobs of a batch's segments, each independent of the others.

    Args:
        trace: the whole batch.
        plans: segments that cover all its transactions in order; none for a batch without transactions.
    """
    if not plans:
        return []
    ends = boundaries(trace, [0, *(plan.end for plan in plans)])
    return [_job(trace.slice(plan.first, plan.end), plan, *ends[i : i + 2]) for i, plan in enumerate(plans)]


def _job(trace: TransferTrace, plan: SegmentPlan, start: Boundary, end: Boundary) -> SegmentJob:
    depth = tree_depth(trace.keys)
    before, after = (
        root(leaf_digests(trace.key_kind, trace.key_address, values), depth)
        for values in (trace.key_first, trace.key_last)
    )
    public_values = SegmentPublicValues(
        version=CIRCUIT_VERSION,
        first_transaction=plan.first,
        end_transaction=plan.end,
        depth=depth,
        transactions_in=start.transactions_in,
        transactions_out=end.transactions_in,
        effects_in=start.effects_in,
        effects_out=end.effects_in,
        access_in=before,
        access_out=after,
    )
    key = content_key(
        segment_circuit().digest.encode(),
        zkevm_native.VERSION.encode(),
        plan.log_stacked_height.to_bytes(4, "little"),
        repr(public_values.to_list()).encode(),
        trace.content_hash(),
    )
    return SegmentJob(plan, start, public_values, key)


def fill_segment(trace: TransferTrace, job: SegmentJob) -> FilledSegment:
    """The tables and public values of a segment, given the trace of the whole batch."""
    return fill(trace.slice(job.plan.first, job.plan.end), job.boundary)


def prove_segment(trace: TransferTrace, job: SegmentJob, threads: int) -> SegmentProof:
    """Prove a segment.

    Args:
        trace: the whole batch.
        job: the segment.
        threads: threads of the engine.

    Raises:
        zkevm_native.EngineError: the engine refused the traces or failed.
    """
    key = proving_key(job.plan.log_stacked_height)
    start = time.perf_counter()
    filled = fill_segment(trace, job)
    filled_at = time.perf_counter()
    # The engine takes the traces over: nobody needs them afterwards, and memory is what limits a segment's size.
    proof, measured = zkevm_native.prove(key, filled.traces, filled.public_lists, threads, consume=True)
    statistics = SegmentStatistics(
        fill_seconds=filled_at - start,
        prove_seconds=time.perf_counter() - filled_at,
        cells=measured["cells"],
        interactions=measured["interactions"],
    )
    return SegmentProof(proof, statistics)


def is_proof_of(proof: bytes, job: SegmentJob) -> bool:
    """Whether the engine accepts this as a proof of what the segment states."""
    try:
        verified = zkevm_native.verify(verifying_key(job.plan.log_stacked_height), proof)
    except zkevm_native.EngineError:
        return False
    stated = [values for values in verified.public_values if values]
    return stated == [job.public_values.to_list()]
