"""Proves the segments of a batch that are not in the store: in this process or in Ray tasks, whichever is faster.

Every finished proof is stored at once, so that a driver that dies loses only what was in progress.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from circuits.batch.execution import Batch
from prover import local
from prover.filled import FilledSegments
from prover.segment import SegmentJob, SegmentProof, is_proof_of
from prover.store import SegmentStore
from prover.workers import Workers, name_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentEvent:
    """A segment is finished: `reused` from the store or `proved` now."""

    job: SegmentJob
    reused: bool
    proof: SegmentProof


def prove_segments(
    batch: Batch,
    jobs: Sequence[SegmentJob],
    workers: Workers,
    store: SegmentStore,
    on_segment: Callable[[SegmentEvent], None] = lambda event: None,
    on_start: Callable[[SegmentJob], None] = lambda job: None,
    filled: FilledSegments | None = None,
) -> list[SegmentProof]:
    """Proofs of all segments, in order.

    Args:
        batch: the whole batch.
        jobs: its segments.
        workers: where to prove.
        store: finished proofs are read from and written to it.
        on_segment: called in the driver whenever a segment is finished, in order of completion.
        on_start: called in the driver before a segment is proved, or handed to Ray, which may have it wait.
        filled: segments that are filled; used for what is proved in this process.

    Raises:
        CostError: a segment needs more memory than any node has.
        ClusterError: the cluster cannot be reached, or a segment lost its worker too often.
        ProverError: proving a segment failed.
        OSError: the store cannot be written to.
    """
    done: dict[int, SegmentProof] = {}

    def finish(job: SegmentJob, proof: SegmentProof, reused: bool) -> None:
        done[job.plan.index] = proof
        logger.info("%s: %s", name_of(job), "reused from the store" if reused else "proved")
        on_segment(SegmentEvent(job, reused, proof))

    missing = []
    for job in jobs:
        stored = store.load(job.key, partial(is_proof_of, job=job))
        if stored is None:
            missing.append(job)
        else:
            finish(job, SegmentProof(stored), reused=True)
    if missing:
        for job, proof in _proved(batch, missing, workers, on_start, filled):
            store.save(job.key, proof.proof)
            finish(job, proof, reused=False)
    return [done[job.plan.index] for job in jobs]


def _proved(
    batch: Batch,
    jobs: Sequence[SegmentJob],
    workers: Workers,
    on_start: Callable[[SegmentJob], None],
    filled: FilledSegments | None,
) -> Iterator[tuple[SegmentJob, SegmentProof]]:
    """Proofs in order of completion."""
    if local.pays(jobs, workers):
        yield from local.prove_here(batch, jobs, workers, on_start, filled)
        return
    # Loading Ray takes long.
    from prover.cluster import prove_in_tasks

    yield from prove_in_tasks(batch, jobs, workers, on_start)
