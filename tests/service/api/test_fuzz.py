"""Requests of every kind, made up from the OpenAPI document: none gives a 500, and others do not notice."""

import os
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from service.models import Problem, Scope
from tests.service.api.conftest import Serve
from tests.service.api.server import Served

#: Requests to each operation, in the fast run and in the deep one.
FAST, DEEP = 3, 160


class Halts:
    """For how long this process was halted by others: time in which none of its threads had a processor.

    A service that is stuck keeps neither this watch from looking nor, if it computes, the clock of the processor.
    """

    seconds = 0.0

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Halts":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        wall, used = time.perf_counter(), time.process_time()
        while not self._ended.wait(0.05):
            last, wall = wall, time.perf_counter()
            before, used = used, time.process_time()
            without = (wall - last) - (used - before)
            if without > 0.25:
                self.seconds += without


def check(answer: httpx.Response, what: str) -> None:
    """An answer is as documented, or a problem; never an internal error."""
    assert answer.status_code != 500, f"{what}: {answer.text}"
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", what
        assert Problem.model_validate_json(answer.content).status == answer.status_code
    assert answer.headers["x-request-id"]


def request_of(case: Any, key: str) -> dict[str, Any]:
    """What a case of schemathesis sends, for httpx."""
    arguments = case.as_transport_kwargs(base_url="http://127.0.0.1")
    headers = {
        name: value
        for name, value in dict(arguments.get("headers") or {}).items()
        if name.lower() not in ("host", "content-length", "transfer-encoding", "connection", "authorization")
    }
    return arguments | {"headers": {**headers, "Authorization": f"Bearer {key}"}}


def fuzz(served: Served, examples: int, seconds: float) -> int:
    """Send requests to all operations; how many."""
    # Estimating and judging take a process each; whether they hold up is seen elsewhere.
    key = served.key(Scope.ADMIN, "fuzz")
    with served.client() as http:
        document = http.get("/openapi.json").json()
    jobs = []
    with served.client(key) as http:
        for number in range(3):
            jobs.append(served.submit(http, b"%d" % number).id)
    served.finish(jobs[0])
    schema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(modes=list(GenerationMode))
    deadline = time.monotonic() + seconds
    with httpx.Client(timeout=60) as http:
        operations = [result.ok() for result in schema.get_all_operations()]
        attacked = [operation for operation in operations if not operation.path.endswith("/events")]
        return sum(attack(operation, examples, jobs, http, served, key, deadline) for operation in attacked)


def attack(
    operation: Any, examples: int, jobs: list[str], http: httpx.Client, served: Served, key: str, deadline: float
) -> int:
    """Send requests to an operation; how many."""
    sent = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data(), mode=st.sampled_from(GenerationMode), job=st.sampled_from([None, *jobs]))
    def send(data: st.DataObject, mode: GenerationMode, job: str | None) -> None:
        nonlocal sent
        if time.monotonic() > deadline:
            return
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if job is not None and "job" in (case.path_parameters or {}):
            case.path_parameters["job"] = job
        arguments = request_of(case, key)
        arguments["url"] = arguments["url"].replace("http://127.0.0.1", served.url, 1)
        try:
            answer = _send(http, arguments)
        except (httpx.InvalidURL, ValueError, UnicodeError):
            return  # httpx cannot send it
        sent += 1
        check(answer, f"{operation.method} {operation.path} {arguments}")

    send()
    return sent


def _send(http: httpx.Client, arguments: dict[str, Any]) -> httpx.Response:
    names = {"method", "url", "headers", "params", "json", "data", "content"}
    sent = {name: value for name, value in arguments.items() if name in names and value is not None}
    if isinstance(sent.get("data"), bytes | str):
        sent["content"] = sent.pop("data")
    return http.request(**sent)


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve(requests_per_minute=0, estimate_seconds=0.05, max_body_bytes=1 << 20)


def test_some_requests_of_every_kind(served: Served) -> None:
    assert fuzz(served, FAST, 240) > 25


@pytest.mark.deep
def test_two_thousand_requests_and_bad_clients(served: Served) -> None:
    """With oversized bodies, slow clients and wrong keys at the same time; somebody else asks all the while."""
    other = served.key(Scope.READ, "other")
    stop = threading.Event()
    seconds: list[float] = []

    def ask() -> None:
        with served.client(other) as http, Halts() as halts:
            while not stop.is_set():
                start, halted = time.perf_counter(), halts.seconds
                answer = http.get("/v1/jobs")
                assert answer.status_code == 200
                took = time.perf_counter() - start
                time.sleep(0.06)  # until the watch has seen it
                seconds.append(took - (halts.seconds - halted))

    def misbehave() -> None:
        slow = [served.connect() for _ in range(100)]
        for number, connection in enumerate(slow):
            if number % 2:
                connection.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx")
            else:
                connection.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost")
        with served.client("wrong") as http:
            while not stop.is_set():
                for path in ("/v1/jobs", "/v1/overview"):
                    assert http.get(path).status_code in (401, 429)
                answer = http.post("/v1/verify", content=os.urandom(2 << 20))
                assert answer.status_code in (401, 413, 429)
                stop.wait(0.05)
        for connection in slow:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        quiet = threads.submit(ask)
        time.sleep(5)
        before = list(seconds)
        bad = threads.submit(misbehave)
        try:
            sent = fuzz(served, DEEP, 1800)
        finally:
            stop.set()
        for client in (quiet, bad):
            client.result()  # none has seen what it should not
    during = seconds[len(before) :]
    print(
        f"\n{sent} requests; somebody else's median {1000 * statistics.median(during):.1f} ms, "
        f"{1000 * statistics.median(before):.1f} ms before, the longest {1000 * max(during):.0f} ms"
    )
    assert sent >= 2000
    assert max(during) < 5.0
