"""Untrusted work in child processes of bounded time and memory: anybody's proof, anybody's batch.

A child is told what to do by its arguments, confines itself before it reads any input, and answers with one JSON
document on standard output. It dies with the process that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG: Final = 1

#: Answers of more bytes are none.
MAX_ANSWER: Final = 32 << 20

#: Bytes of what it says on standard error that are logged.
MAX_ERRORS: Final = 4000

#: Seconds that a killed child may take to be gone.
_REAPING_SECONDS: Final = 10.0

#: Native libraries of the child must not take all cores, nor reserve memory for them.
_ENVIRONMENT: Final = dict.fromkeys(("RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")


class Busy(Exception):  # noqa: N818 - a state
    """All slots are taken, and as many wait as may."""


class OutOfTime(Exception):  # noqa: N818
    """The child took too long, and was killed."""


class Died(Exception):  # noqa: N818
    """The child ended without an answer: most often it needed more memory than it may have."""


@dataclass(frozen=True)
class Bounds:
    """What one child may take.

    Attributes:
        seconds: wall-clock time; the time of the processor is bounded by twice that.
        memory: bytes of address space.
    """

    seconds: float
    memory: int


class Confinement:
    """Runs children, at most so many at a time.

    Args:
        slots: at the same time.
        waiting: that may wait for a slot; more are refused.
        bounds: of each.
    """

    def __init__(self, slots: int, waiting: int, bounds: Bounds) -> None:
        self.bounds = bounds
        self._slots = asyncio.Semaphore(slots)
        self._waiting = waiting
        self._waiters = 0

    async def run(self, module: str, *arguments: str) -> bytes:
        """What `python -m MODULE ARGUMENTS...` answers.

        The child is killed when it has no time left, and when the caller is cancelled.

        Raises:
            Busy, OutOfTime, Died.
        """
        async with self._slot():
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                limit=1 << 20,
                env={
                    **os.environ,
                    **_ENVIRONMENT,
                    _VARIABLE: f"{self.bounds.seconds} {self.bounds.memory} {os.getpid()}",
                },
            )
            assert process.stdout is not None
            assert process.stderr is not None
            errors = asyncio.create_task(_beginning(process.stderr, MAX_ERRORS))
            try:
                async with asyncio.timeout(self.bounds.seconds):
                    answer = await _beginning(process.stdout, MAX_ANSWER + 1, to_end=False)
                    if len(answer) > MAX_ANSWER:
                        raise Died
                    status = await process.wait()
                    said = await errors
            except TimeoutError:
                raise OutOfTime from None
            finally:
                # All of its group, also what an ended child has left.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                errors.cancel()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_REAPING_SECONDS):
                        await asyncio.gather(process.wait(), _beginning(process.stdout, 0))
            if said:
                logger.warning("%s: %s", module, said.decode(errors="replace"))
            if status == -signal.SIGXCPU:
                raise OutOfTime
            if status != 0:
                raise Died
            return answer

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._slots.locked() and self._waiters >= self._waiting:
            raise Busy
        self._waiters += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiters -= 1
        try:
            yield
        finally:
            self._slots.release()


async def _beginning(stream: asyncio.StreamReader, limit: int, to_end: bool = True) -> bytes:
    """The first bytes of a stream that is read to its end, or only until there are so many."""
    kept = bytearray()
    while part := await stream.read(1 << 16):
        kept += part[: limit - len(kept)]
        if len(kept) == limit and not to_end:
            break
    return bytes(kept)


#: How a child learns of its bounds: seconds, bytes and the parent's process id.
_VARIABLE: Final = "ZKEVM_CONFINED"


def confine() -> Bounds:
    """Put this process, a child of `Confinement`, within its bounds; others get the time of the processor first."""
    seconds, memory, parent = os.environ[_VARIABLE].split()
    bounds = Bounds(float(seconds), int(memory))
    die_with_parent(int(parent))
    processor = int(2 * bounds.seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))
    resource.setrlimit(resource.RLIMIT_AS, (bounds.memory, bounds.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)
    return bounds


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; `parent` is the starter's process id."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main(work: Callable[[Bounds], str]) -> None:
    """The body of a child: confined, `work` gives the answer."""
    bounds = confine()
    answer = work(bounds)
    # Whatever else writes to standard output has done so before, or does not come to it.
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "wb") as stream:
        stream.write(answer.encode())
    os._exit(0)
