"""Processes that prove, and what is left of processes that are gone: nothing.

A service process has a *scratch* folder with a lock that lasts as long as the process. Whoever finds a scratch folder
whose lock is free kills what is left of its processes, which all carry its name in their environment, and removes it:
the process's reaper does (`service.reaper`), or else the next service process that starts.
The runners of a service process die with it (`PR_SET_PDEATHSIG`, and the end of the pipe through which they are told
what to do), each with all of its own processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Final, Self

from service.models import Code, Problem
from service.reaper import LOCK, MARK, clear, kill_marked

logger = logging.getLogger(__name__)

_PREFIX: Final = "zkevm-scratch-"
#: Longest path of a temporary folder under which Ray can make its sockets.
_MAX_TEMPORARY = 24
#: Bytes that are read of a message at once, and the last ones of what a runner wrote before it died that are told.
_PART = 1 << 16
_TAIL = 2000


class RunnerFailed(Exception):  # noqa: N818
    """What a process of its own was asked for did not work."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem

    @classmethod
    def of(cls, answer: dict[str, Any]) -> RunnerFailed:
        """Of an answer that is a failure."""
        return cls(Problem.model_validate(answer["problem"]))


class Scratch:
    """The temporary folder of a service process."""

    def __init__(self) -> None:
        temporary = Path(tempfile.gettempdir())
        if len(str(temporary)) > _MAX_TEMPORARY:
            temporary = Path("/tmp")
        self.folder = temporary / f"{_PREFIX}{uuid.uuid4().hex[:8]}"
        self.folder.mkdir(mode=0o700)
        # Not inherited by what this process starts: the lock is that of this process alone.
        self._lock = os.open(self.folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._parts = 0
        # It outlives this process; nobody who stops this one by its group or terminal stops it.
        self._reaper = subprocess.Popen(
            [sys.executable, "-m", "service.reaper", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def part(self) -> Path:
        """A new folder in it."""
        self._parts += 1
        folder = self.folder / str(self._parts)
        folder.mkdir()
        return folder

    def close(self) -> None:
        """Kill what was started with it, and remove it."""
        self._reaper.kill()
        self._reaper.wait()
        clear(self.folder)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def sweep() -> list[str]:
    """Remove the scratch folders of service processes that are gone, and kill what is left of their processes.

    Returns:
        The names of the folders.
    """
    swept = []
    for parent in {Path(tempfile.gettempdir()), Path("/tmp")}:
        for folder in parent.glob(f"{_PREFIX}*"):
            try:
                lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                # Of somebody who is just making it, or has just removed it.
                with contextlib.suppress(OSError):
                    if time.time() - folder.stat().st_mtime > 60:
                        shutil.rmtree(folder, ignore_errors=True)
                continue
            except OSError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                clear(folder)
                swept.append(folder.name)
            except BlockingIOError:
                pass
            finally:
                os.close(lock)
    return swept


def space() -> str:
    """Where process numbers mean the same as here: this machine since it was started, and the namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return uuid.uuid4().hex


def host() -> str:
    """The name of this machine."""
    return socket.gethostname()


class Runner:
    """A process that proves, `service.runner`: told what to do by lines of JSON, and telling how it goes by others.

    It has a process group of its own, a folder for all that is temporary, and dies with the thread that started it.
    """

    def __init__(self, scratch: Scratch) -> None:
        part = scratch.part()
        self.folder = str(part)
        self.mark = f"{scratch.folder.name}/{part.name}"
        self.since = time.monotonic()
        self._log = part / "log"
        # Settings are told: those that hold a password are not left lying about in environments.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ZKEVM_")}
        environment = kept | {MARK: self.mark, "TMPDIR": self.folder, "RAY_TMPDIR": self.folder}
        read, write = os.pipe()
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.runner", str(write), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[write],
                start_new_session=True,
                env=environment,
            )
        os.close(write)
        os.set_blocking(read, False)
        self.output = read
        self._buffer = b""
        self._ended = False

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def send(self, command: dict[str, Any]) -> None:
        """Tell it something. A runner that is dead is noticed by `messages`."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, OSError):
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()

    def messages(self) -> list[dict[str, Any]]:
        """What it has told since; `has_ended` says whether more will come."""
        found = []
        while True:
            try:
                part = os.read(self.output, _PART)
            except BlockingIOError:
                break
            if not part:
                self._ended = True
                break
            self._buffer += part
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            found.append(json.loads(line))
        return found

    @property
    def has_ended(self) -> bool:
        """Whether it has told all that it ever will."""
        return self._ended

    def wait(self, seconds: float) -> dict[str, Any]:
        """The next message.

        Raises:
            RunnerFailed: there is none in time, or the process died.
        """
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.output, selectors.EVENT_READ)
            while True:
                left = end - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise RunnerFailed(
                        Problem(
                            title="Took too long",
                            status=504,
                            code=Code.TIMEOUT,
                            detail=f"not done within {seconds:g} seconds",
                            hint="submit less at once",
                        )
                    )
                if found := self.messages():
                    return found[0]
                if self.has_ended:
                    raise RunnerFailed(self.death())

    def death(self) -> Problem:
        """How it died."""
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            status = 0
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        why = " (is memory short?)" if status == -signal.SIGKILL else ""
        with contextlib.suppress(OSError):
            last = self._log.read_bytes()[-_TAIL:].decode(errors="replace").strip().rpartition("\n")[2]
            why += f": {last}" if last else ""
        return Problem(
            title="Interrupted", status=500, code=Code.INTERNAL, detail=f"the process that proved it {how}{why}"
        )

    def resident(self) -> int:
        """Bytes of memory that it has."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def kill_group(self) -> None:
        """Kill it; what it has said can still be read."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def kill(self) -> None:
        """Kill it and all that it has started, and remove its folder."""
        self.kill_group()
        kill_marked(self.mark)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if self.output >= 0:
            os.close(self.output)
            self.output = -1
        shutil.rmtree(self.folder, ignore_errors=True)
