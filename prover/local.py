"""Proves segments and nodes of trees in this process, one after the other, with all its cores: little work does not pay
for a cluster.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from circuits.batch.execution import Batch
from prover.errors import ProverError
from prover.filled import FilledSegments
from prover.segment import SegmentJob, SegmentProof, prove_segment
from prover.tree import NodeJob, prove_node
from prover.workers import Workers, check_memory, check_node_memory, first_line, name_of

T = TypeVar("T")

_THREAD = "proving"

#: Processor time of proving, seconds: of a segment, of each cell and of each interaction (padding included). All of
#: these are measured on one machine; they decide nothing but where segments are proved.
SECONDS_PER_SEGMENT = 0.3
SECONDS_PER_CELL = 1.0e-7
SECONDS_PER_INTERACTION = 8.0e-7
#: Until Ray and its workers have started, their imports and keys included, seconds.
START_SECONDS = 6.0
#: How much faster a segment is proved by two threads, and at most by however many.
SPEEDUP_OF_TWO = 1.5
MAX_SPEEDUP = 3.0


def pays(jobs: Sequence[SegmentJob], workers: Workers) -> bool:
    """Whether proving here is expected to take no longer than with workers of their own, which have to start."""
    if workers.address is not None or ray_is_in_use():
        return False
    if len(jobs) == 1:
        return True
    cores = os.cpu_count() or 1
    work = sum(map(_seconds, jobs))
    parallel = min(workers.count or cores, cores, len(jobs))
    return work / _speedup(_threads(workers)) <= START_SECONDS + max(work / parallel, *map(_seconds, jobs))


def prove_here(
    batch: Batch,
    jobs: Sequence[SegmentJob],
    workers: Workers,
    on_start: Callable[[SegmentJob], None] = lambda job: None,
    filled: FilledSegments | None = None,
) -> Iterator[tuple[SegmentJob, SegmentProof]]:
    """Proofs in order; `on_start` is called before each. What is filled already is not filled again.

    Raises:
        CostError: a segment needs more memory than the machine has.
        ProverError: proving a segment failed.
    """
    check_memory(batch, jobs, machine_memory())
    for job in jobs:
        on_start(job)
        try:
            proof = _interruptible(partial(prove_segment, batch, job, _threads(workers), filled))
        except Exception as error:
            raise ProverError(f"{name_of(job)}: {first_line(error)}") from error
        yield job, proof


class NodesHere:
    """A `prover.tree.Runner` of this process: one node after the other, with all its cores.

    Args:
        circuit: names the keys of the segments.

    Raises:
        CostError: a node needs more memory than the machine has.
    """

    def __init__(self, workers: Workers, circuit: str) -> None:
        check_node_memory(machine_memory(), circuit)
        self._workers = workers
        self._job: NodeJob | None = None

    @property
    def has_room(self) -> bool:
        """Whether none is waiting."""
        return self._job is None

    def start(self, job: NodeJob) -> None:
        """It is proved when somebody waits for it."""
        assert self._job is None
        self._job = job

    def finished(self) -> tuple[NodeJob, bytes]:
        """The node, proved now.

        Raises:
            ProverError: proving it failed.
        """
        job, self._job = self._job, None
        assert job is not None
        try:
            return job, _interruptible(partial(prove_node, job, _threads(self._workers)))
        except Exception as error:
            raise ProverError(f"{job.plan}: {first_line(error)}") from error


def machine_memory() -> int:
    """What this machine has, bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def ray_is_in_use() -> bool:
    """Whether this process is connected to Ray already. What was never loaded is not loaded to ask."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def _threads(workers: Workers) -> int:
    return workers.threads or os.cpu_count() or 1


def _seconds(job: SegmentJob) -> float:
    plan = job.plan
    return SECONDS_PER_SEGMENT + plan.cells * SECONDS_PER_CELL + plan.interactions * SECONDS_PER_INTERACTION


def _speedup(threads: int) -> float:
    """Of a segment by this many threads (Amdahl's law)."""
    parallel = 2 * (1 - 1 / SPEEDUP_OF_TWO)
    return min(MAX_SPEEDUP, 1 / (1 - parallel + parallel / threads))


def _interruptible(work: Callable[[], T]) -> T:
    """The result of work in a thread of its own: Ctrl-C is heard at once, however long the engine does not look."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name=_THREAD).start()
    return future.result()


def is_proving() -> bool:
    """Whether the engine is still at work for somebody who was interrupted: an interpreter that ends would abort."""
    return any(thread.name == _THREAD for thread in threading.enumerate())
