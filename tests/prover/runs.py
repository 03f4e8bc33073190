"""What tests of whole runs share."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from prover.prove import ProveReport
from verifier.verify import verify_file


def accepted(proof: Path, report: ProveReport, transactions: int) -> None:
    verified = verify_file(proof)
    assert verified.transactions == transactions
    assert verified.segments == len(report.plans)
    assert verified.statement == report.statement


class Killer:
    """Kills processes that work on a segment, as soon as they are seen.

    Args:
        below: the process among whose descendants workers are looked for; looked up at every try.
        kill: what to do to the worker found.
        times: how often.
    """

    def __init__(self, below: Callable[[], int | None], kill: Callable[[psutil.Process], None], times: int) -> None:
        self.killed: list[str] = []
        self._below = below
        self._kill = kill
        self._times = times
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while len(self.killed) < self._times and not self._stop.wait(0.01):
            for worker in self._workers():
                name = worker.cmdline()[0]
                self._kill(worker)
                self.killed.append(name)
                # The process is gone from the list before the next one is looked for.
                time.sleep(0.5)
                break

    def _workers(self) -> list[psutil.Process]:
        pid = self._below()
        found = []
        try:
            for process in psutil.Process(pid).children(recursive=True) if pid else []:
                command = process.cmdline()
                if command and command[0].startswith("ray::segment"):
                    found.append(process)
        except psutil.NoSuchProcess:
            pass
        return found
