"""Bounds of what nonsense may take."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Bytes of address space beyond those that the process has already: a size told as 2^32 - 1 is to fail at once.
_BYTES = 2 << 30


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Within a bound of memory, beyond which a MemoryError is raised: 2 GiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + _BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def bounded_time(seconds: float) -> Iterator[None]:
    """Within a bound of time, beyond which a TimeoutError is raised; in the main thread only."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    # Once more now and then, should a library ignore it.
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
