"""Killed with SIGKILL at random moments, every batch ends proved exactly once, and nothing is left over."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from service.artifacts import Artifacts, Kind
from service.database import Database, EventRow, SegmentRow
from service.queue import Queue
from service.states import SETTLED, State
from tests.service.conftest import transfers
from tests.service.databases import Server
from tests.service.kills import Service, Watch, files_of, kill_process, submit, wait_until
from verifier.verify import verify

SEGMENTS = 3


def survive(
    data: Path,
    url: str,
    server: Server | None,
    batches: int,
    kills: int,
    seed: int,
    seconds: float,
    processes: int = 1,
) -> str:
    """Prove batches while processes are killed and connections are cut, and check what has become of all of it.

    Args:
        processes: services that share the database.

    Returns:
        Figures, for people.
    """
    chance = random.Random(seed)
    database = Database(url)
    database.migrate()
    # So that chance does not hit one job as often as it may fail.
    queue = Queue(database, max_tries=6)
    store = data / "artifacts"
    artifacts = Artifacts(str(store))
    contents = {}
    for number in range(batches):
        content = transfers(SEGMENTS, number)
        contents[submit(queue, artifacts, content, f"batch {number}")] = content
    services = [Service(data, url, lease_seconds=6, poll_seconds=0.1, jobs=2 // processes) for _ in range(processes)]
    for service in services:
        service.start()
    done: list[str] = []
    start = time.monotonic()

    def settled() -> int:
        counts = queue.counts()
        return sum(counts[state] for state in SETTLED)

    def cut() -> str:
        """Connections to PostgreSQL; SQLite has none, so that nobody else can write to it for a while."""
        if server is not None:
            return f"{server.cut(url)} connections cut"
        database.write(lambda session, again: time.sleep(1.0))
        return "database locked for a second"

    with Watch(store) as watch:
        try:
            last = queue.last_event()
            while len(done) < kills:
                assert time.monotonic() - start < seconds, f"{len(done)} kills, {queue.counts()}"
                # Kills are spread over the work by what has happened, not by the clock: machines differ.
                wait = chance.randint(1, 14)
                while queue.last_event() - last < wait and settled() < batches:
                    assert time.monotonic() - start < seconds, f"{len(done)} kills, {queue.counts()}"
                    time.sleep(0.05)
                if settled() == batches:
                    break
                time.sleep(chance.random() * 0.5)
                what = ("runner", "service", "database", "worker")[len(done) % 4]
                service = chance.choice(services)
                if what == "service":
                    service.kill()
                    service.start()
                elif what == "database":
                    what = cut()
                else:
                    running = service.runners()
                    if not running:
                        continue
                    # The driver of a job, or whatever of its processes.
                    kill_process(running[0] if what == "runner" else chance.choice(running))
                done.append(what)
                last = queue.last_event()
            wait_until(lambda: settled() == batches, seconds - (time.monotonic() - start))
            wait_until(lambda: not queue.untidy(30), 60)
            took = time.monotonic() - start
        finally:
            close(services)
    assert queue.counts()[State.DONE] == batches, [queue.get(job).problem for job in contents]
    assert not watch.again

    segments = database.read(lambda session: list(session.scalars(select(SegmentRow))))
    assert len(segments) == SEGMENTS * batches
    assert all(segment.state == "proved" and segment.proved <= 1 for segment in segments)
    assert len(watch.written) == len(segments)
    events = database.read(lambda session: list(session.scalars(select(EventRow).where(EventRow.kind == "state"))))
    ends = [event.job for event in events if event.data["state"] == State.DONE]
    assert sorted(ends) == sorted(contents), "done exactly once each"

    for job, content in contents.items():
        there, wanted = files_of(store, database, job)
        assert there == wanted
        proof, batch = (queue.artifact(job, kind) for kind in (Kind.PROOF, Kind.BATCH))
        assert proof is not None
        assert batch is not None
        assert artifacts.get(batch) == content
        report = verify(artifacts.get(proof))
        assert f"0x{report.statement.digest.hex()}" == queue.get(job).statement_digest
    assert {path.name for path in store.iterdir()} == contents.keys()
    tries = sum(queue.get(job).tries for job in contents)
    database.close()
    told = f"{processes} services, {batches} batches, {len(segments)} segments, {tries} tries, {took:.0f} s"
    return f"{told}, kills: {', '.join(done)}"


def close(services: Sequence[Service]) -> None:
    """End all of them at once: each waits until what it has started is gone."""
    with ThreadPoolExecutor(len(services)) as threads:
        for closed in [threads.submit(service.close) for service in services]:
            closed.result()


def seed() -> int:
    return int(os.environ.get("DEEP_SEED", "1"))


def test_a_service_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """Of a job and of the service one each: the others are deep tests."""
    print(survive(tmp_path, f"sqlite:///{tmp_path / 'db'}", None, batches=2, kills=2, seed=3, seconds=600))


@pytest.mark.deep
@pytest.mark.parametrize("processes", [1, 2])
def test_ten_kills_during_ten_batches_on_sqlite(tmp_path: Path, processes: int) -> None:
    url = f"sqlite:///{tmp_path / 'db'}"
    print(survive(tmp_path, url, None, batches=10, kills=10, seed=seed(), seconds=2400, processes=processes))


@pytest.mark.deep
@pytest.mark.parametrize("processes", [1, 2])
def test_ten_kills_during_ten_batches_on_postgresql(tmp_path: Path, postgres: Server, processes: int) -> None:
    url = postgres.create()
    print(survive(tmp_path, url, postgres, batches=10, kills=10, seed=seed(), seconds=2400, processes=processes))


@pytest.mark.deep
def test_two_services_share_a_database(tmp_path: Path, postgres: Server) -> None:
    """Each of the jobs is proved by one of them, and when one is killed, the other one goes on with its jobs."""
    url = postgres.create()
    database = Database(url)
    database.migrate()
    queue = Queue(database)
    artifacts = Artifacts(str(tmp_path / "artifacts"))
    jobs = [submit(queue, artifacts, transfers(2, number), f"batch {number}", 1) for number in range(4)]
    services = [Service(tmp_path, url, lease_seconds=5, jobs=1) for _ in range(2)]
    try:
        with Watch(tmp_path / "artifacts") as watch:
            for service in services:
                service.start()
            wait_until(lambda: queue.counts()[State.RUNNING] == 2, 120)
            owners = {job for worker in queue.workers() for job in worker.jobs}
            assert len(owners) == 2
            wait_until(lambda: sum(queue.get(job).segments_done for job in jobs) >= 1, 300)
            services[0].kill()
            wait_until(lambda: queue.counts()[State.DONE] == 4, 600)
            wait_until(lambda: not queue.untidy(30), 60)
        assert not watch.again
        assert len(watch.written) == 8
    finally:
        close(services)
        database.close()
