"""Two small batches proved once: a few transfers in several blocks and segments."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from executor.batch import batch_from_document
from executor.execute import ExecutedBatch, execute
from executor.transfers import TransferTrace, transfer_trace
from prover.assemble import assemble
from prover.planner import planner_for
from prover.segment import SegmentJob, SegmentProof, prove_segment, segment_jobs
from scripts.workloads import transfer_batch
from verifier.container import ProofFile, encode_proof

#: A budget that cuts twelve transfers into three segments.
SEGMENT_CELLS = 180_000


@dataclass(frozen=True)
class Proved:
    """A batch, its segments and its proof file."""

    trace: TransferTrace
    jobs: list[SegmentJob]
    proofs: list[SegmentProof]
    file: ProofFile

    @property
    def content(self) -> bytes:
        """The bytes of the proof file."""
        return encode_proof(self.file)


def prove_here(executed: ExecutedBatch, segment_cells: int = SEGMENT_CELLS) -> Proved:
    """Prove a batch in this process."""
    trace = transfer_trace(executed)
    jobs = segment_jobs(trace, planner_for(trace).plan(trace.transactions, segment_cells))
    proofs = [prove_segment(trace, job, threads=2) for job in jobs]
    return Proved(trace, jobs, proofs, assemble(executed, trace, jobs, proofs))


@pytest.fixture(scope="session")
def proved() -> Proved:
    """Twelve transfers."""
    return prove_here(execute(batch_from_document(transfer_batch(12))))


@pytest.fixture(scope="session")
def other() -> Proved:
    """Twelve other transfers."""
    return prove_here(execute(batch_from_document(transfer_batch(12, seed=7))))
