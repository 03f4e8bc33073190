"""Metrics in Prometheus' format, at `/metrics`.

Of this process:
    zkevm_http_requests_total{method, route, status}    requests answered
    zkevm_http_request_seconds{route}                   histogram: from head to end of answer; no streams
    zkevm_http_refusals_total{code}                     refusals by `Problem.code`
    zkevm_http_in_flight                                requests being answered, streams included
    zkevm_streams                                       open event streams
    zkevm_confined{kind}                                confined processes that judge proofs or estimate batches
    zkevm_room                                          0 while a disk or the store takes nothing, so that jobs wait
    zkevm_build_info{version}                           1
    process_*, python_info                              as of any Python program
Of the whole service, from the database, so the same from every process that shares it:
    zkevm_database_up                                   1 if it answers; the others are left out otherwise
    zkevm_jobs{state}                                   jobs by state
    zkevm_proofs_per_hour, zkevm_cells_per_second       throughput, as the page shows it
    zkevm_workers, zkevm_worker_seen_seconds{worker, host}   processes that prove, and how long they have been silent
    zkevm_follow_head, zkevm_follow_next_block          the chain that is followed: its head, the next block to prove
    zkevm_follow_lag, zkevm_follow_proved               blocks in no batch yet; the block up to which all is proved
    zkevm_follow_gaps                                   places where statements do not chain; each is worth an alarm
    zkevm_follow_reorganisations_total                  reorganisations noticed
    zkevm_follow_failing                                1 while following does not work
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.models import Overview

# When a series began is of no use here, and doubles what is sent.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, float("inf"))


class Metrics:
    """The metrics of one service process.

    Args:
        version: of the service.
        overview: gives the state of the whole service; what it raises counts as a database that is away.
    """

    def __init__(self, version: str, overview: Callable[[], Overview]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "zkevm_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "zkevm_http_request_seconds",
            "From the head of a request to the end of its answer, without streams",
            ["route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.refusals = Counter("zkevm_http_refusals", "Refusals by code", ["code"], registry=self.registry)
        self.in_flight = Gauge("zkevm_http_in_flight", "Requests being answered", registry=self.registry)
        self.streams = Gauge("zkevm_streams", "Open event streams", registry=self.registry)
        self.confined = Gauge("zkevm_confined", "Confined processes at work", ["kind"], registry=self.registry)
        self.room = Gauge("zkevm_room", "Whether disks and store take what is proved", registry=self.registry)
        self.room.set(1)
        build = Gauge("zkevm_build_info", "The version of the service", ["version"], registry=self.registry)
        build.labels(version).set(1)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(_Service(overview))

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)


class _Service(Collector):
    """The state of the whole service, asked for when it is told."""

    def __init__(self, overview: Callable[[], Overview]) -> None:
        self._overview = overview

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not ask the database."""
        return []

    def collect(self) -> Iterable[Metric]:
        """See the module."""
        try:
            overview = self._overview()
        except Exception:
            yield _gauge("zkevm_database_up", "Whether the database answers", 0)
            return
        yield _gauge("zkevm_database_up", "Whether the database answers", 1)
        jobs = GaugeMetricFamily("zkevm_jobs", "Jobs by state", labels=["state"])
        for state, count in overview.queue.items():
            jobs.add_metric([state], count)
        yield jobs
        yield _gauge("zkevm_proofs_per_hour", "Jobs done in the last hour", overview.proofs_per_hour)
        if overview.cells_per_second is not None:
            yield _gauge("zkevm_cells_per_second", "Cells proved per second of proving", overview.cells_per_second)
        yield _gauge("zkevm_workers", "Processes that prove", len(overview.workers))
        seen = GaugeMetricFamily("zkevm_worker_seen_seconds", "Since a process was heard of", labels=["worker", "host"])
        now = datetime.fromtimestamp(time.time(), UTC)
        for worker in overview.workers:
            seen.add_metric([worker.id, worker.host], max(0.0, (now - worker.seen).total_seconds()))
        yield seen
        following = overview.following
        if following is None:
            return
        if following.head is not None:
            yield _gauge("zkevm_follow_head", "Head of the chain that is followed", following.head)
        yield _gauge("zkevm_follow_next_block", "The next block to prove", following.next_block)
        if following.lag is not None:
            yield _gauge("zkevm_follow_lag", "Blocks that are in no batch yet", following.lag)
        if following.proved is not None:
            yield _gauge("zkevm_follow_proved", "Up to this block all is proved", following.proved)
        yield _gauge("zkevm_follow_gaps", "Places where statements do not chain", len(following.gaps))
        counter = CounterMetricFamily("zkevm_follow_reorganisations", "Reorganisations noticed")
        counter.add_metric([], following.reorganisations)
        yield counter
        yield _gauge("zkevm_follow_failing", "Whether following does not work", following.problem is not None)


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation)
    family.add_metric([], float(value))
    return family
