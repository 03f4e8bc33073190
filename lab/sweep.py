"""Variants times workloads: in this process, or in Ray tasks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from executor.errors import ZkevmError
from lab.errors import LabError
from lab.measure import Measurement, Workload, measure
from lab.registry import variant

ROOT = Path(__file__).resolve().parents[1]


def _measure(reference: str, workload: Workload, keys: bool) -> list[Measurement] | ZkevmError:
    try:
        return measure(variant(reference), workload, keys=keys)
    except ZkevmError as error:  # Ray would wrap it
        return error


def sweep(
    references: Sequence[str],
    workloads: Sequence[Workload],
    *,
    keys: bool = False,
    workers: int = 1,
    address: str | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Measurement]:
    """The costs of every variant on every workload, in this order; numbers do not depend on where they are made.

    Args:
        references: of variants, see `lab.registry.variant`.
        keys: as `measure`.
        workers: more than one, and Ray tasks fill the tables, each in a process that keeps circuits and traces.
        address: of a Ray cluster, whose nodes have the clone at the same place.
        advance: called with what is done of what there is to do.

    Raises:
        LabError: the cluster cannot be reached, or a task was lost.
        VariantError, BatchError, UnsupportedFeature: as `measure`.
    """
    pairs = [(reference, workload, keys) for workload in workloads for reference in references]
    advance(0, len(pairs))
    found: dict[int, list[Measurement]] = {}
    if workers == 1 and address is None:
        for number, pair in enumerate(pairs):
            found[number] = _result(_measure(*pair))
            advance(len(found), len(pairs))
    else:
        for number, result in _in_tasks(pairs, workers, address):
            found[number] = _result(result)
            advance(len(found), len(pairs))
    return [measurement for number in sorted(found) for measurement in found[number]]


def _result(result: list[Measurement] | ZkevmError) -> list[Measurement]:
    if isinstance(result, ZkevmError):
        raise result
    return result


def _in_tasks(
    pairs: Sequence[tuple[str, Workload, bool]], workers: int, address: str | None
) -> Iterator[tuple[int, list[Measurement] | ZkevmError]]:
    import ray
    import ray.exceptions

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # statistics would be sent over the network
    joined = ray.is_initialized()
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        # The laboratory is in no wheel: workers find it where the clone is.
        "runtime_env": {"env_vars": {"PYTHONPATH": str(ROOT)}},
    }
    try:
        if not joined:
            if address is None:
                options |= {"num_cpus": workers, "include_dashboard": False}
            ray.init(address=address or "local", **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise LabError(f"no Ray cluster at {address}: {error}", "is it running, and reachable?") from error
    try:
        task = ray.remote(_measure)
        waiting = list(reversed(list(enumerate(pairs))))
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < workers:
                number, pair = waiting.pop()
                running[task.remote(*pair)] = number
            (reference,), _ = ray.wait(list(running), num_returns=1)
            yield running.pop(reference), ray.get(reference)
    except ray.exceptions.RayError as error:
        raise LabError(f"a task was lost: {str(error).splitlines()[0]}", "take fewer --workers") from error
    finally:
        if not joined:
            ray.shutdown()
