"""Proves segments and nodes of trees in Ray tasks: on a cluster by its address, or on this machine.

The trace goes into Ray's object store once; a task receives its segment's job, picks its own events, fills the tables
and proves them. A node's task receives the proofs of its children. A task whose worker process or node dies is started
again by Ray on another one.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import ray
import ray.exceptions

from circuits.batch.execution import Batch
from prover.errors import ClusterError, ProverError
from prover.segment import SegmentJob, SegmentProof, prove_segment
from prover.tree import NodeJob, Runner, prove_node
from prover.workers import Workers, check_memory, check_node_memory, first_line, name_of

J = TypeVar("J")
P = TypeVar("P")

#: Lost workers and machines that one segment or node survives.
MAX_RETRIES = 8

#: Ray's shared memory on this machine: it holds the trace, and the proofs until they are stored.
_OBJECT_STORE_BYTES = 512 << 20

#: How long the head node of a cluster may take to accept a connection.
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class _Session:
    """Resources of the Ray cluster in use: cores in total, cores and memory (bytes) of single nodes."""

    cores: int
    smallest_node_cores: int
    largest_node_memory: float


def prove_in_tasks(
    batch: Batch,
    jobs: Sequence[SegmentJob],
    workers: Workers,
    on_start: Callable[[SegmentJob], None] = lambda job: None,
) -> Iterator[tuple[SegmentJob, SegmentProof]]:
    """Proofs in order of completion; `on_start` is called before each is handed to Ray.

    Raises:
        CostError: a segment needs more memory than any node has.
        ClusterError: the cluster cannot be reached, or a segment lost its worker too often.
        ProverError: proving a segment failed.
    """
    with _session(workers) as session:
        yield from _run(batch, jobs, workers, session, on_start)


def _run(
    batch: Batch,
    jobs: Sequence[SegmentJob],
    workers: Workers,
    session: _Session,
    on_start: Callable[[SegmentJob], None],
) -> Iterator[tuple[SegmentJob, SegmentProof]]:
    check_memory(batch, jobs, session.largest_node_memory)
    parallel = min(workers.count or session.cores, len(jobs))
    threads = _threads(workers, session, parallel)
    shared_batch = ray.put(batch)
    waiting = list(reversed(jobs))

    def submit() -> None:
        while waiting and len(tasks) < parallel:
            job = waiting.pop()
            on_start(job)
            tasks.submit(job, name_of(job), job.plan.memory, threads, shared_batch, job, threads)

    with _tasks(prove_segment) as tasks:
        submit()
        while len(tasks):
            job, result = tasks.next()
            # The worker that is free now need not wait until this proof is stored.
            submit()
            yield job, result()


@contextmanager
def nodes_in_tasks(workers: Workers, circuit: str) -> Iterator[Runner]:
    """Where nodes of a tree over segments of a circuit are proved in tasks.

    Raises:
        CostError: a node needs more memory than any machine of the cluster has.
        ClusterError: the cluster cannot be reached.
    """
    with _session(workers) as session, _tasks(prove_node) as tasks:
        check_node_memory(session.largest_node_memory, circuit)
        yield _NodesInTasks(workers, session, tasks)


class _NodesInTasks:
    """A `prover.tree.Runner` of a cluster: as many nodes at once as there are workers."""

    def __init__(self, workers: Workers, session: _Session, tasks: _Tasks[NodeJob, bytes]) -> None:
        self._workers = workers
        self._session = session
        self._tasks = tasks
        self._parallel = workers.count or session.cores

    @property
    def has_room(self) -> bool:
        return len(self._tasks) < self._parallel

    def start(self, job: NodeJob) -> None:
        # Towards the end of the tree fewer nodes share the cores.
        threads = _threads(self._workers, self._session, min(self._parallel, job.plan.width))
        self._tasks.submit(job, str(job.plan), job.memory, threads, job, threads)

    def finished(self) -> tuple[NodeJob, bytes]:
        """The next one that is finished.

        Raises:
            ProverError: proving it failed; `ClusterError`: it lost its worker too often.
        """
        job, result = self._tasks.next()
        return job, result()


def _threads(workers: Workers, session: _Session, parallel: int) -> int:
    """Of one of so many tasks at once."""
    return workers.threads or max(1, min(session.smallest_node_cores, session.cores // parallel))


class _Tasks(Generic[J, P]):
    """Tasks of one function that are under way, each with what it is for."""

    def __init__(self, function: Callable[..., P]) -> None:
        self._task = ray.remote(function)
        self._running: dict[Any, tuple[J, str]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def submit(self, job: J, name: str, memory: int, threads: int, *arguments: Any) -> None:
        """Hand a task to Ray, which may have it wait for cores and memory (bytes); `name` stands in errors."""
        options = {"num_cpus": threads, "memory": memory, "max_retries": MAX_RETRIES, "name": name}
        self._running[self._task.options(**options).remote(*arguments)] = job, name

    def next(self) -> tuple[J, Callable[[], P]]:
        """The next one that is finished, and what gives or raises its result (`_result`)."""
        (reference,), _ = ray.wait(list(self._running), num_returns=1)
        job, name = self._running.pop(reference)
        return job, partial(_result, reference, name)

    def cancel(self) -> None:
        """End all that are left."""
        for reference in self._running:
            ray.cancel(reference, force=True)


@contextmanager
def _tasks(function: Callable[..., P]) -> Iterator[_Tasks[Any, P]]:
    tasks = _Tasks[Any, P](function)
    try:
        yield tasks
    finally:
        # Left over only when the run fails or is interrupted: a cluster would go on with them.
        tasks.cancel()


def _result(reference: Any, name: str) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise ProverError(f"{name}: {first_line(error.cause)}") from error
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"{name}: its worker was lost more than {MAX_RETRIES} times: {first_line(error)}",
            "what is finished is kept; start the command again to go on, with fewer --workers if memory ran out",
        ) from error


@contextmanager
def _session(workers: Workers) -> Iterator[_Session]:
    """A connection to Ray: one that exists already is used and left open."""
    joined = ray.is_initialized()
    if not joined:
        _connect(workers)
    elif workers.address not in (None, ray.get_runtime_context().gcs_address):
        raise ClusterError(f"this process is connected to another Ray cluster than {workers.address}")
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        cores = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
        if not cores:
            raise ClusterError("the Ray cluster has no processor cores to offer")
        yield _Session(sum(cores), min(cores), max(node.get("memory", 0.0) for node in nodes))
    finally:
        if not joined:
            ray.shutdown()


def _connect(workers: Workers) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    # Statistics would be sent over the network.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Errors are reported by this module, once.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    if workers.address is None:
        cores = os.cpu_count() or 1
        ray.init(
            # "local" keeps an address in the environment from being used.
            address="local",
            num_cpus=max(cores, (workers.count or 1) * (workers.threads or 1)),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            **quiet,
        )
        return
    try:
        # Ray itself goes on trying for minutes.
        host, _, port = workers.address.rpartition("//")[2].rpartition(":")
        if port.isdigit():
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        ray.init(address=workers.address, **quiet)
    except (OSError, OverflowError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise ClusterError(
            f"no Ray cluster at {workers.address}: {first_line(error)}", "is it running, and reachable?"
        ) from error
