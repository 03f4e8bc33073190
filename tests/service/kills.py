"""What tests share that start service processes and kill them."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from service.artifacts import Artifacts, Kind
from service.database import Database
from service.models import Options
from service.queue import NewJob, Queue
from service.reaper import MARK
from tests.service.conftest import quiet

ROOT = Path(__file__).resolve().parents[2]


def submit(
    queue: Queue,
    artifacts: Artifacts,
    content: bytes,
    name: str,
    operations: int = 1,
    *,
    one_proof: bool | None = None,
) -> str:
    """Submit a batch file, cut into segments of so many operations, and give the job's id."""
    options = Options(segment_operations=operations, one_proof=one_proof)
    new = NewJob(content=hashlib.sha256(content).hexdigest(), name=name, options=options)
    batch = artifacts.put(new.id, Kind.BATCH, content)
    return queue.submit(NewJob(**{**vars(new), "batch": batch}))[0].id


class Service:
    """A service process (`tests.service.serving`) on a folder and a database, with a temporary folder of its own."""

    def __init__(self, data: Path, url: str, **settings: object) -> None:
        self._data, self._url, self._settings = data, url, settings
        # Paths of sockets are short.
        self.temporary = Path(tempfile.mkdtemp(prefix="zk", dir="/tmp"))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {f"ZKEVM_{name.upper()}": str(value) for name, value in self._settings.items()}
        environment |= {"ZKEVM_DATA": str(self._data), "ZKEVM_DATABASE": self._url, "TMPDIR": str(self.temporary)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.service.serving"],
            env=quiet() | environment | {"PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        """As whoever manages services does."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(60) == 0

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def runners(self) -> list[psutil.Process]:
        """Processes that prove, and those that they have started."""
        assert self.process is not None
        found = []
        try:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                if MARK in child.environ():
                    found.append(child)
        except psutil.Error:
            pass
        return found

    def left(self) -> list[str]:
        """Processes that were started by this service, in whatever way, and its temporary files."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("TMPDIR", "").startswith(str(self.temporary)):
                    found.append(f"{process.pid} {process.cmdline()}")
            except psutil.Error:
                continue
        return found + [str(path) for path in self.temporary.iterdir()]

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        wait_until(lambda: not self.left(), 20)
        self.temporary.rmdir()


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds; fail if it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


class Watch:
    """Watches finished segments in a store: none may be written twice."""

    def __init__(self, artifacts: Path) -> None:
        self.written: dict[str, set[tuple[int, int]]] = {}
        self._artifacts = artifacts
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            for path in self._artifacts.glob("*/segments/*.segment"):
                try:
                    found = path.stat()
                except FileNotFoundError:
                    continue
                own = str(path.relative_to(self._artifacts))
                self.written.setdefault(own, set()).add((found.st_ino, found.st_mtime_ns))

    @property
    def again(self) -> list[str]:
        """Those that were."""
        return [path for path, versions in self.written.items() if len(versions) > 1]


def kill_process(process: psutil.Process) -> None:
    """SIGKILL, whether it is still there or not."""
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def files_of(artifacts: Path, database: Database, job: str) -> tuple[set[str], set[str]]:
    """Files that a job has in the store, and those that it should have."""
    there = {str(path.relative_to(artifacts)) for path in (artifacts / job).rglob("*")}
    return there, {artifact.path for artifact in Queue(database).artifacts(job)}
