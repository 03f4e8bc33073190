"""A service for tests: the real server on a loopback port in a thread, without anything that proves."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import structlog
import uvicorn

from service.api.app import create_app
from service.api.context import Context
from service.api.protocol import PeerLimits, protocol
from service.artifacts import Kind
from service.database import Database
from service.keys import Keys
from service.models import Costs, Job, Problem, Scope
from service.queue import Change, Lease, PlannedSegment, Result, Taken
from service.serve import Server
from service.settings import Settings
from service.states import Stage

# What logs without being set up prints to standard output, where commands that are tested print their results.
structlog.configure(
    processors=[structlog.contextvars.merge_contextvars, structlog.processors.KeyValueRenderer()],
    logger_factory=structlog.ReturnLoggerFactory(),
)

ROOT = Path(__file__).parent.parent.parent.parent
BATCH = ROOT / "examples" / "transfer.json"


class Served:
    """A running service."""

    def __init__(self, context: Context, host: str, port: int, server: uvicorn.Server) -> None:
        self.context, self.host, self.port = context, host, port
        self.url = f"http://{host}:{port}"
        self.queue, self.artifacts = context.queue, context.artifacts
        self.server = server
        self.app = server.config.app

    def client(self, key: str | None = None, **more: Any) -> httpx.Client:
        """Of httpx, for requests that a typed client would not make."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Nothing is encrypted: to load the certificates of authorities takes longer than most requests.
        return httpx.Client(base_url=self.url, headers=headers, timeout=600, verify=False, **more)

    def key(self, scope: Scope, name: str | None = None) -> str:
        """A new key."""
        return Keys(self.context.database).add(name or scope.value, scope)[1]

    def connect(self) -> socket.socket:
        """A raw connection."""
        return socket.create_connection((self.host, self.port), timeout=60)

    def submit(self, client: httpx.Client, content: bytes = b"a batch", **query: Any) -> Job:
        """A job of any content: nothing here reads it."""
        headers = {"Content-Type": "application/octet-stream"}
        answer = client.post("/v1/jobs", content=content, headers=headers, params=query)
        assert answer.status_code == 201, answer.text
        return Job.model_validate_json(answer.content)

    def take(self, job: str) -> Taken:
        """Take jobs until this one is in hand, as a process that proves does."""
        while (taken := self.queue.take("f" * 32, 600)) is not None:
            if taken.lease.job == job:
                return taken
        raise AssertionError("the job does not wait")

    def plan(self, lease: Lease, segments: int = 2) -> None:
        """Say that a job is being proved."""
        planned = [PlannedSegment(i, f"{i:064x}", i, i + 1, 1000, 100, 1 << 20) for i in range(segments)]
        self.queue.report(lease, [Change(stage=Stage.PROVE, stage_total=segments, progress=0.1, planned=planned)])

    def finish(self, job: str, proof: bytes = b"a proof") -> None:
        """Have a job done, with something for each of its files."""
        lease = self.take(job).lease
        self.plan(lease)
        costs = Costs(tables=[], instructions=[], transactions=[])
        files = [
            self.artifacts.put(job, Kind.PROOF, proof),
            self.artifacts.put(job, Kind.STATEMENT, b'{"chain_id": 1}'),
            self.artifacts.put(job, Kind.REPORT, b"{}"),
            self.artifacts.put(job, Kind.COSTS, costs.model_dump_json().encode()),
            self.artifacts.put(job, Kind.PLOT, b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ]
        self.queue.finish(lease, Result({"chain_id": 1}, "0x" + "11" * 32, len(proof), files, {"prove": 1.0}))

    def fail(self, job: str, problem: Problem) -> None:
        """Have a job refused."""
        self.queue.refuse(self.take(job).lease, problem)


@contextmanager
def serving(settings: Settings, peers: PeerLimits | None = None) -> Iterator[Served]:
    """A service while the block runs."""
    database = Database(settings.database_url)
    database.migrate()
    app = create_app(settings, database)
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(
        app,
        http=protocol(peers or PeerLimits()),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    ready = threading.Event()
    server = Server(config, app.state.service, ready.set)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        assert ready.wait(120)
        yield Served(app.state.service, "127.0.0.1", listener.getsockname()[1], server)
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()
        database.close()
    assert not thread.is_alive(), "the server does not stop"


def problem(answer: httpx.Response, status: int, code: str) -> Problem:
    """The problem that an answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(answer.content)
    assert found.status == status
    assert found.code == code, found
    assert found.detail
    return found


def submission(**fields: Any) -> bytes:
    """A submission as JSON."""
    return json.dumps(fields).encode()
