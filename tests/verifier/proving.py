"""Small batches with real segment proofs, for tests of what the last checks refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from circuits.batch.execution import Batch
from executor.execute import ExecutedBatch
from executor.provable import check_provable
from prover.assemble import assemble
from prover.planner import DEFAULT_SEGMENT_BYTES, Budget, SegmentPlan, plan_batch
from prover.segment import SegmentJob, SegmentProof, prove_segment, segment_jobs
from scripts.batches.mixed import mixed_batch
from verifier.container import ProofFile, encode_proof


@dataclass(frozen=True)
class Proved:
    """A batch, its segments and its proof file."""

    executed: ExecutedBatch
    batch: Batch
    jobs: list[SegmentJob]
    proofs: list[SegmentProof]
    file: ProofFile

    @property
    def content(self) -> bytes:
        """The bytes of the proof file."""
        return encode_proof(self.file)


def prove_here(executed: ExecutedBatch, operations: int | None, memory: int = DEFAULT_SEGMENT_BYTES) -> Proved:
    """Prove a batch in this process.

    Args:
        operations: of a segment, None for as many as fit.
        memory: that a segment may take, bytes.
    """
    batch = Batch.of(check_provable(executed))
    return prove_planned(executed, batch, plan_batch(batch, Budget(memory, operations)))


def prove_planned(executed: ExecutedBatch, batch: Batch, plans: Sequence[SegmentPlan]) -> Proved:
    """Prove the planned segments of a batch in this process."""
    jobs = segment_jobs(batch, plans)
    proofs = [prove_segment(batch, job, threads=2) for job in jobs]
    return Proved(executed, batch, jobs, proofs, assemble(executed, batch, jobs, proofs))


#: Segments of at most so many operations; the last of the first block begins within it.
OPERATIONS = 3


@cache
def proved_batch(seed: int = 0) -> Proved:
    """`mixed_batch` in four segments."""
    return prove_here(mixed_batch(seed).execute(), OPERATIONS)
