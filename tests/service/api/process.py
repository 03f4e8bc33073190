"""`zkevm serve` as a process of its own, and load on it, for tests."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.service.api.server import ROOT


class Process:
    """A running `zkevm serve`."""

    def __init__(self, data: Path, *options: str) -> None:
        self.log: list[str] = []
        self._ready = threading.Event()
        self.url = ""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ZKEVM_")}
        environment["PYTHONPATH"] = str(ROOT)
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "zkevm.main", "serve", "--data", str(data), "--port", "0", *options],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=environment,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.log.append(line.rstrip())
            if found := re.search(r"zkevm serves at (http://\S+)", line):
                self.url = found[1]
                self._ready.set()
        self._ready.set()

    def wait_ready(self) -> None:
        """Until it answers."""
        assert self._ready.wait(300), "\n".join(self.log)
        assert self.url, "\n".join(self.log)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 120) -> int:
        """Ask it to stop; its exit status."""
        self.popen.send_signal(number)
        status = self.popen.wait(seconds)
        self._thread.join(30)
        return status

    def lines(self) -> list[dict[str, object]]:
        """Its log, the lines that are JSON."""
        return [json.loads(line) for line in self.log if line.startswith("{")]


@contextmanager
def running(data: Path, *options: str) -> Iterator[Process]:
    """A process while the block runs."""
    process = Process(data, *options)
    try:
        process.wait_ready()
        yield process
    finally:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.wait()


@dataclass
class Load:
    """What many clients at once got.

    Attributes:
        seconds: of each answer.
        answers: status and job id of each.
        failures: errors of connections.
    """

    seconds: list[float] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    wall: float = 0.0


def submit_many(url: str, clients: int, each: int, content: bytes, pause: float = 0.0, keys: str = "load") -> Load:
    """Submit jobs by many clients at once, each with a connection of its own, one after the other.

    The requests are written by hand: a client of a library takes longer for one than the service does to answer it.

    Args:
        content: of all batches; each has an idempotency key of its own.
        pause: seconds between two submissions of a client.
    """
    host, port = re.fullmatch(r"http://([\d.]+):(\d+)", url).groups()  # type: ignore[union-attr]
    load = Load()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.sleep(pause * number / clients)
            for count in range(each):
                body = content
                head = (
                    f"POST /v1/jobs?name=load-{number}-{count} HTTP/1.1\r\nHost: {host}\r\n"
                    f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n"
                    f"Idempotency-Key: {keys}-{number}-{count}\r\n\r\n"
                )
                start = time.perf_counter()
                writer.write(head.encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"content-length: (\d+)", answer)[1])  # type: ignore[index]
                document = json.loads(await reader.readexactly(length))
                load.seconds.append(time.perf_counter() - start)
                load.answers.append((int(answer.split()[1]), document.get("id", document.get("code"))))
                if pause:
                    await asyncio.sleep(pause)
        except (OSError, asyncio.IncompleteReadError) as error:
            load.failures.append(repr(error))
        finally:
            writer.close()

    async def crowd() -> None:
        await asyncio.gather(*(client(number) for number in range(clients)))

    start = time.perf_counter()
    asyncio.run(crowd())
    load.wall = time.perf_counter() - start
    return load
