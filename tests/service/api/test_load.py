"""Fifty clients at once, while proving goes on and across a restart."""

import signal
import statistics
import threading
from collections import Counter
from pathlib import Path

import pytest

from service.states import State
from tests.service.api.process import Process, running, submit_many
from tests.service.api.server import BATCH
from zkevm.client import Client

#: A batch that is not one: proving it would take no time, so that the queue is what is measured.
SMALL = b'{"format": "zkevm-batch/1", "nothing": "%s"}' % (b"x" * 2000)


def listed(client: Client, text: str) -> list[str]:
    """Ids of all jobs with this in their name."""
    ids, cursor = [], None
    while True:
        page = client.jobs(text=text, limit=200, cursor=cursor)
        ids += [job.id for job in page.items]
        cursor = page.next
        if cursor is None:
            return ids


def check(process: Process, clients: int, each: int, pause: float, record: dict[str, object]) -> None:
    """Submit; none lost, none doubled; the same again gives the same jobs, also after a restart by SIGKILL."""
    load = submit_many(process.url, clients, each, SMALL, pause)
    assert not load.failures
    assert Counter(status for status, _ in load.answers) == {201: clients * each}
    ids = [job for _, job in load.answers]
    assert len(set(ids)) == clients * each
    with Client(process.url) as client:
        assert sorted(listed(client, "load-")) == sorted(ids)
    again = submit_many(process.url, clients, each, SMALL, 0.0)
    assert Counter(status for status, _ in again.answers) == {200: clients * each}
    assert sorted(job for _, job in again.answers) == sorted(ids)
    ordered = sorted(load.seconds)
    record |= {
        "median ms": 1000 * statistics.median(ordered),
        "p95 ms": 1000 * ordered[int(0.95 * len(ordered))],
        "max ms": 1000 * ordered[-1],
        "per second": len(ordered) / load.wall,
    }


@pytest.mark.deep
def test_ten_clients_at_once(tmp_path: Path, record_property: pytest.FixtureRequest) -> None:
    with running(tmp_path, "--no-prove", "--log-level", "warning") as process:
        figures: dict[str, object] = {}
        check(process, 10, 6, 0.0, figures)
        with Client(process.url) as client:
            ids = set(listed(client, "load-"))
        process.popen.send_signal(signal.SIGKILL)
        process.popen.wait()
    with running(tmp_path, "--no-prove") as process, Client(process.url) as client:
        assert set(listed(client, "load-")) == ids
        assert client.overview().queue[State.QUEUED] == 60


@pytest.mark.deep
@pytest.mark.parametrize("pause", [0.0, 1.0])
def test_fifty_clients_at_once(tmp_path: Path, pause: float) -> None:
    """A thousand submissions, while a batch is proved over and over.

    Without a pause each client submits as soon as it is answered, so that fifty requests are under way all the time and
    the median is fifty times what one takes; with one the rate is fifty submissions a second.
    """
    figures: dict[str, object] = {}
    with running(tmp_path, "--log-level", "warning", "--jobs", "1", "--workers", "1") as process:
        with Client(process.url) as client:
            proving = client.submit(BATCH, name="proved", priority=100)
            stop = threading.Event()
            proved: list[str] = [proving.id]

            def keep_proving() -> None:
                with Client(process.url) as other:
                    while not stop.is_set():
                        other.wait(proved[-1])
                        proved.append(other.submit(BATCH, name="proved", priority=100).id)

            thread = threading.Thread(target=keep_proving, daemon=True)
            thread.start()
            for event in client.events(proving.id):
                if event.data.get("stage") == "prove":
                    break
            check(process, 50, 20, pause, figures)
            print(f"\npause {pause} s: {figures}")
            stop.set()
            ids = set(listed(client, "load-"))
        process.popen.send_signal(signal.SIGKILL)
        process.popen.wait()
    with running(tmp_path, "--no-prove") as process, Client(process.url) as client:
        assert set(listed(client, "load-")) == ids
    if pause:
        assert figures["median ms"] < 50  # type: ignore[operator]
