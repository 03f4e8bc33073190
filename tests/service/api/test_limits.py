"""Clients that send too much, too slowly, or do not read: they are refused, and others do not notice."""

import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from service.api import jobs, limits
from service.api.limits import Buckets, Reservoir
from service.api.protocol import PeerLimits
from service.problems import Refusal
from tests.service.api.conftest import Serve
from tests.service.api.server import Served, problem

FILE = {"Content-Type": "application/octet-stream"}


def read_all(connection: socket.socket) -> bytes:
    """What comes until the connection ends, or nothing does for long."""
    content = b""
    connection.settimeout(30)
    try:
        while part := connection.recv(1 << 16):
            content += part
    except ConnectionResetError:
        pass
    return content


@contextmanager
def others(served: Served) -> Iterator[list[float]]:
    """Seconds that requests of somebody else take meanwhile."""
    stop, seconds = threading.Event(), []

    def ask() -> None:
        with served.client() as http:
            while not stop.is_set():
                start = time.perf_counter()
                assert http.get("/v1/jobs").status_code == 200
                seconds.append(time.perf_counter() - start)
                stop.wait(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seconds
    finally:
        stop.set()
        thread.join()


def test_a_body_that_is_declared_too_large_is_not_read(serve: Serve) -> None:
    served = serve(max_body_bytes=1000)
    with served.connect() as connection:
        connection.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too_large"


def test_a_body_that_becomes_too_large_is_refused(serve: Serve) -> None:
    served = serve(max_body_bytes=1000)

    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    with served.client() as http:
        for path in ("/v1/jobs", "/v1/verify", "/v1/estimate"):
            problem(http.post(path, content=parts(), headers=FILE), 413, "too_large")
        # The connection can be used again, the rest of the body is thrown away.
        assert http.post("/v1/jobs", content=b"x" * 1000, headers=FILE).status_code == 201
    assert not list((served.context.settings.data / "bodies").glob("*")), "nothing is left of bodies"


def test_json_has_its_own_limit(served: Served, http: httpx.Client) -> None:
    body = b'{"batch": {"a": "%s"}}' % (b"x" * jobs.MAX_JSON_BYTES)
    problem(http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"}), 413, "too_large")
    assert http.post("/v1/jobs", content=body, headers=FILE).status_code == 201


def test_bodies_together_are_limited() -> None:
    reservoir = Reservoir(100)
    with reservoir.share() as one, reservoir.share() as two:
        one(60)
        with pytest.raises(Refusal):
            two(60)
        two(40)
    with reservoir.share() as again:
        again(100)


def test_buckets_fill_again() -> None:
    now = 0.0
    buckets = Buckets(60, lambda: now)
    for _ in range(60):
        buckets.take("a")
    with pytest.raises(Refusal) as refused:
        buckets.take("a")
    assert refused.value.problem.retry_after == pytest.approx(1.0)
    buckets.take("b")
    now = 1.0
    buckets.take("a")
    with pytest.raises(Refusal):
        buckets.take("a")
    now = 1e6
    for _ in range(60):
        buckets.take("a")
    with pytest.raises(Refusal):
        buckets.take("a")
    for _ in range(10):
        Buckets(0).take("a", 1e9)


def test_a_slow_head_is_given_up(serve: Serve) -> None:
    served = serve(PeerLimits(head_seconds=0.5))
    with served.connect() as silent, served.connect() as slow, served.client() as http:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: loc")
        start = time.monotonic()
        for connection in (silent, slow):
            answer = read_all(connection)
            assert answer.startswith(b"HTTP/1.1 408 "), answer
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "timeout"
        assert time.monotonic() - start < 20
        assert http.get("/healthz").status_code == 200
        time.sleep(1.0)
        assert http.get("/healthz").status_code == 200, "a connection that waits between requests is none of these"


def test_a_slow_second_head_is_given_up(serve: Serve) -> None:
    served = serve(PeerLimits(head_seconds=0.5))
    with served.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HT")
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


def test_a_slow_body_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.5)
    with served.connect() as connection:
        connection.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Length: 100\r\n\r\nbegin"
        )
        answer = connection.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_breaks_off_leaves_nothing(served: Served, http: httpx.Client) -> None:
    for path in (b"/v1/jobs", b"/v1/verify"):
        with served.connect() as connection:
            connection.sendall(
                b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
                b"Content-Length: 100\r\n\r\nbegin"
            )
            time.sleep(0.2)
    deadline = time.monotonic() + 30
    while list((served.context.settings.data / "bodies").glob("*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list((served.context.settings.data / "bodies").glob("*"))
    assert served.queue.jobs().total == 0


def test_who_does_not_read_is_cut_off(serve: Serve) -> None:
    served = serve(PeerLimits(write_seconds=0.5))
    with served.client() as http:
        job = served.submit(http).id
        served.finish(job, b"p" * (32 << 20))
        with served.connect() as connection:
            connection.sendall(b"GET /v1/jobs/" + job.encode() + b"/proof HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(3)
            assert len(read_all(connection)) < 32 << 20
        assert len(http.get(f"/v1/jobs/{job}/proof").content) == 32 << 20


def test_connections_are_limited(serve: Serve) -> None:
    served = serve(PeerLimits(connections_per_address=5))
    held = [served.connect() for _ in range(5)]
    try:
        for connection in held:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        with served.connect() as one_more:
            assert read_all(one_more) == b""
    finally:
        for connection in held:
            connection.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with served.client() as http:
                assert http.get("/healthz").status_code == 200
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError("connections that are closed are still counted")


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\r\n\r\n\r\n nonsense",
        b"GET / HTTP/1.1\r\n\r\n",  # no host
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 4500 + b"\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/octet-stream\r\n\r\nZZ\r\n",
    ],
)
def test_what_is_no_http_is_refused(served: Served, http: httpx.Client, raw: bytes) -> None:
    with served.connect() as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 4") or answer == b"", answer
    if answer:
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "malformed"
    assert http.get("/healthz").status_code == 200


def test_others_do_not_notice_bad_clients(serve: Serve) -> None:
    """Two hundred connections that say nothing, or dribble, or send bodies that never end."""
    served = serve(PeerLimits(head_seconds=5), max_body_bytes=1 << 20)
    with others(served) as before:
        time.sleep(2)
    held = []
    with others(served) as seconds:
        for number in range(200):
            connection = served.connect()
            held.append(connection)
            if number % 3 == 1:
                connection.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: ")
            elif number % 3 == 2:
                connection.sendall(
                    b"POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
                )
        time.sleep(2)
    for connection in held:
        connection.close()
    assert statistics.median(seconds) < 5 * statistics.median(before) + 0.05
