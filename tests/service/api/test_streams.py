"""Events as they happen, and from any point on."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from service.api import streams
from service.models import JobEvent
from service.queue import Change
from service.states import Stage
from tests.service.api.server import Served, problem


class Reader:
    """Reads a stream in a thread."""

    def __init__(self, http: httpx.Client, path: str, last: str | None) -> None:
        self.events: list[JobEvent] = []
        self.comments = 0
        self.ended = threading.Event()
        self.status = 0
        headers = {} if last is None else {"Last-Event-ID": last}
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(http, path, headers), daemon=True)
        self._thread.start()
        assert self._opened.wait(60)

    def _read(self, http: httpx.Client, path: str, headers: dict[str, str]) -> None:
        try:
            with http.stream("GET", path, headers=headers) as answer:
                self.status = answer.status_code
                fields: dict[str, str] = {}
                for line in answer.iter_lines():
                    self._opened.set()
                    if line.startswith(":"):
                        self.comments += 1
                    elif line:
                        name, _, value = line.partition(": ")
                        fields[name] = value
                    elif "data" in fields:
                        event = JobEvent.model_validate_json(fields["data"])
                        assert fields["id"] == str(event.number)
                        assert fields["event"] == event.kind
                        self.events.append(event)
                        fields = {}
        except httpx.HTTPError:
            pass
        finally:
            self._opened.set()
            self.ended.set()

    def wait(self, count: int) -> list[JobEvent]:
        """So many events."""
        deadline = time.monotonic() + 60
        while len(self.events) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.events) >= count, self.events
        return self.events


@contextmanager
def reading(served: Served, path: str, last: str | None = None) -> Iterator[Reader]:
    with served.client() as http:
        yield Reader(http, path, last)


def states(events: list[JobEvent]) -> list[Any]:
    return [event.data["state"] for event in events if event.kind == "state"]


def test_a_job_is_told_from_its_beginning_to_its_end(served: Served, http: httpx.Client) -> None:
    job, other = served.submit(http).id, served.submit(http).id
    with reading(served, f"/v1/jobs/{job}/events") as reader:
        reader.wait(1)
        http.post(f"/v1/jobs/{other}/cancel")
        served.finish(job)
        assert reader.ended.wait(60), "a stream ends with its job"
    events = reader.events
    assert {event.job for event in events} == {job}
    assert [event.number for event in events] == sorted({event.number for event in events})
    assert states(events) == ["queued", "running", "done"]
    assert "stage" in {event.kind for event in events}
    assert events == [event for event in served.queue.events() if event.job == job]


def test_a_stream_goes_on_where_it_broke(served: Served, http: httpx.Client) -> None:
    job = served.submit(http).id
    with reading(served, f"/v1/jobs/{job}/events") as reader:
        first = reader.wait(1)[0]
    lease = served.take(job).lease
    served.plan(lease)
    for number in range(40):
        served.queue.report(lease, [Change(stage_done=number, progress=number / 50)])
    with reading(served, f"/v1/jobs/{job}/events", str(first.number)) as reader:
        seen = reader.wait(20)[:20]
    with reading(served, f"/v1/jobs/{job}/events", str(seen[-1].number)) as reader:
        served.queue.report(lease, [Change(stage=Stage.VERIFY)])
        rest = reader.wait(len(served.queue.events()) - 21)
    assert [first, *seen, *rest] == served.queue.events(), "no event is missing and none comes twice"


def test_nothing_is_left_of_a_settled_job(served: Served, http: httpx.Client) -> None:
    job = served.submit(http).id
    http.post(f"/v1/jobs/{job}/cancel")
    with reading(served, f"/v1/jobs/{job}/events") as reader:
        assert reader.ended.wait(60)
    assert states(reader.events) == ["queued", "cancelled"]
    again = http.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": str(reader.events[-1].number)})
    assert again.status_code == 204
    http.post(f"/v1/jobs/{job}/retry")
    with reading(served, f"/v1/jobs/{job}/events", str(reader.events[-1].number)) as more:
        assert states(more.wait(1)) == ["queued"]


def test_all_jobs_are_told_from_now_on(served: Served, http: httpx.Client) -> None:
    served.submit(http)
    with reading(served, "/v1/events") as reader:
        time.sleep(0.5)
        new = served.submit(http).id
        assert reader.wait(1)[0].job == new
    with reading(served, "/v1/events", "0") as reader:
        assert len(reader.wait(2)) == 2


def test_many_streams_see_the_same(served: Served, http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with more events than are kept in memory, or read at once."""
    monkeypatch.setattr(streams, "_PART", 7)
    context = served.context
    context.streams._recent = type(context.streams._recent)(maxlen=20)
    monkeypatch.setattr(streams, "_KEPT", 20)
    with served.client() as one, served.client() as two:
        readers = [Reader(one, "/v1/events", "0"), Reader(two, "/v1/events", "0")]
        jobs = [served.submit(http).id for _ in range(60)]
        late = Reader(served.client(), "/v1/events", "0")
        for reader in (*readers, late):
            assert [event.job for event in reader.wait(60)] == jobs


def test_a_quiet_stream_gives_signs_of_life(
    served: Served, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BEAT_SECONDS", 0.2)
    job = served.submit(http).id
    with reading(served, f"/v1/jobs/{job}/events") as reader:
        deadline = time.monotonic() + 30
        while reader.comments < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert reader.comments >= 3


@pytest.mark.parametrize("last", ["-1", "x", "1.5", "9" * 19, "٣"])
def test_what_is_no_number_is_refused(served: Served, http: httpx.Client, last: str) -> None:
    job = served.submit(http).id
    for path in ("/v1/events", f"/v1/jobs/{job}/events"):
        problem(http.get(path, headers={"Last-Event-ID": last.encode()}), 422, "malformed")


def test_streams_are_limited(served: Served, http: httpx.Client) -> None:
    served.context.streams._most_each = 3
    with served.client() as other:
        readers = [Reader(other, "/v1/events", None) for _ in range(3)]
        assert {reader.status for reader in readers} == {200}
        problem(http.get("/v1/events"), 429, "rate_limited")
    # Those that are gone do not count.
    deadline = time.monotonic() + 60
    while served.context.streams.count and time.monotonic() < deadline:
        served.submit(http)  # so that the server notices
        time.sleep(0.1)
    assert not served.context.streams.count
    with http.stream("GET", "/v1/events") as answer:
        assert answer.status_code == 200


def test_streams_end_with_the_service(served: Served, http: httpx.Client) -> None:
    job = served.submit(http).id
    with reading(served, "/v1/events") as all_jobs, reading(served, f"/v1/jobs/{job}/events") as one:
        start = time.monotonic()
        served.server.should_exit = True
        assert all_jobs.ended.wait(30)
        assert one.ended.wait(30)
        assert time.monotonic() - start < 20


def test_events_say_what_changed(served: Served, http: httpx.Client) -> None:
    job = served.submit(http).id
    lease = served.take(job).lease
    served.plan(lease, segments=3)
    events = {event.kind: event for event in served.queue.events()}
    assert events["stage"].data["segments_total"] == 3
    assert json.loads(streams.encoded(events["stage"]).decode().splitlines()[2].removeprefix("data: "))
