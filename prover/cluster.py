"""Proves segments in Ray tasks: on a cluster by its address, or on this machine.

The trace goes into Ray's object store once; a task receives its segment's job, picks its own events, fills the tables
and proves them. A task whose worker process or node dies is started again by Ray on another one.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions

from circuits.batch.execution import Batch
from prover.errors import ClusterError, ProverError
from prover.segment import SegmentJob, SegmentProof, prove_segment
from prover.workers import Workers, check_memory, first_line, name_of

#: Lost workers and nodes that one segment survives.
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
    threads = workers.threads or max(1, min(session.smallest_node_cores, session.cores // parallel))
    task = ray.remote(prove_segment)
    shared_batch = ray.put(batch)
    waiting = list(reversed(jobs))
    running: dict[Any, SegmentJob] = {}

    def submit() -> None:
        while waiting and len(running) < parallel:
            job = waiting.pop()
            on_start(job)
            options = {
                "num_cpus": threads,
                "memory": job.plan.memory,
                "max_retries": MAX_RETRIES,
                "name": f"segment {job.plan.index}",
            }
            running[task.options(**options).remote(shared_batch, job, threads)] = job

    submit()
    try:
        while running:
            (reference,), _ = ray.wait(list(running), num_returns=1)
            job = running.pop(reference)
            # The worker that is free now need not wait until this proof is stored.
            submit()
            yield job, _result(reference, job)
    finally:
        # Left over only when the run fails or is interrupted: a cluster would go on with them.
        for reference in running:
            ray.cancel(reference, force=True)


def _result(reference: Any, job: SegmentJob) -> SegmentProof:
    try:
        proof: SegmentProof = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise ProverError(f"{name_of(job)}: {first_line(error.cause)}") from error
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"{name_of(job)}: its worker was lost more than {MAX_RETRIES} times: {first_line(error)}",
            "finished segments are kept; start the command again to go on, with fewer --workers if memory ran out",
        ) from error
    return proof


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
