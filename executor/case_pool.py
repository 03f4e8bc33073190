"""Processes that run cases side by side. A case that kills its process or does not end costs no other one."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from typing import Any

from executor.fixtures import FixtureFile, case_id

GRACE = 15.0  # seconds by which a case may go over its limit: executor.limits does not interrupt everything
_POLL = 1.0  # seconds
_READY = None  # what a process sends first


class Outcome(StrEnum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"
    LEFT_OUT = "left_out"


@dataclass(frozen=True)
class Verdict:
    """What became of the case ``name``, and why."""

    name: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Task:
    """Cases of one file, to be taken to a stage one after the other."""

    file: FixtureFile
    names: tuple[str, ...]
    stage: str


Judge = Callable[[str, Any, str, float], Verdict]  # (name, document, stage, seconds)


def run_tasks(
    tasks: Iterator[Task], judge: Judge, workers: int, seconds: float, grace: float = GRACE
) -> Iterator[Verdict]:
    """The verdicts of all cases of ``tasks``, as they come.

    ``judge`` must be importable: it is called in other processes, with ``seconds`` as the limit of each case. ``grace``
    is by how many seconds a case may go over that before its process is ended.
    """
    context = multiprocessing.get_context("spawn")
    again: list[Task] = []

    def next_task() -> Task | None:
        return again.pop() if again else next(tasks, None)

    pool: list[_Worker] = []
    try:
        while True:
            while len(pool) < workers and (task := next_task()) is not None:
                pool.append(_Worker(context, judge, seconds, grace, task))
            if not pool:
                return
            wait([worker.connection for worker in pool], timeout=_POLL)
            for worker in list(pool):
                yield from worker.verdicts()
                if worker.ended and worker.idle:
                    pool.remove(worker)
                elif worker.ended or worker.overdue:
                    # The rest of its cases goes to another one.
                    verdict, rest = worker.give_up()
                    pool.remove(worker)
                    if rest is not None:
                        again.append(rest)
                    yield verdict
                elif worker.idle:
                    task = next_task()
                    if task is None:
                        worker.close()
                        pool.remove(worker)
                    else:
                        worker.begin(task)
    finally:
        for worker in pool:
            worker.kill()


class _Worker:
    """A process, and the task it is at."""

    def __init__(self, context: Any, judge: Judge, seconds: float, grace: float, task: Task) -> None:
        self.connection: Connection
        self.connection, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, judge, seconds), daemon=True)
        self._process.start()
        other.close()
        self._seconds = seconds
        self._grace = grace
        self.ended = False
        self._ready = False  # until the process has loaded what it needs
        self.begin(task)

    def begin(self, task: Task) -> None:
        self._task = task
        self._left = list(task.names)
        if self._ready:
            self._send()

    def _send(self) -> None:
        self._since = time.monotonic()
        try:
            self.connection.send(self._task)
        except OSError:
            self.ended = True

    def verdicts(self) -> Iterator[Verdict]:
        """The verdicts that have come."""
        try:
            while self._left and self.connection.poll():
                verdict = self.connection.recv()
                if verdict is _READY:
                    self._ready = True
                    self._send()
                else:
                    self._since = time.monotonic()
                    self._left.pop(0)
                    yield verdict
        except (EOFError, OSError):
            self.ended = True

    @property
    def idle(self) -> bool:
        return not self._left

    @property
    def overdue(self) -> bool:
        return self._ready and bool(self._left) and time.monotonic() - self._since > self._seconds + self._grace

    def give_up(self) -> tuple[Verdict, Task | None]:
        """End the process; the verdict on the case it was at, and what is left of its task."""
        ended = self.ended
        self.kill()
        case, *rest = self._left
        name = case_id(self._task.file.name, case)
        if ended:
            verdict = Verdict(name, Outcome.FAILED, f"internal error: its process ended {_how(self._process.exitcode)}")
        else:
            reason = f"the execution went over its limit of {self._seconds:,} seconds"
            verdict = Verdict(name, Outcome.LEFT_OUT, reason)
        return verdict, Task(self._task.file, tuple(rest), self._task.stage) if rest else None

    def close(self) -> None:
        """Let the process end."""
        self.connection.close()
        self._process.join()

    def kill(self) -> None:
        self.connection.close()
        self._process.kill()
        self._process.join()


def _how(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"by {signal.Signals(-exit_code).name}"
    return f"with status {exit_code}"


def _work(connection: Connection, judge: Judge, seconds: float) -> None:
    """The process: takes tasks until there are none, and sends a verdict for each of their cases."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asked ends this one
    try:
        connection.send(_READY)
        while True:
            task: Task = connection.recv()
            documents = task.file.documents()
            for name in task.names:
                connection.send(judge(case_id(task.file.name, name), documents[name], task.stage, seconds))
    except (EOFError, OSError):
        return
