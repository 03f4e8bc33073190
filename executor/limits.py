"""Bounds on the resources that running a batch may take."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from executor.errors import LimitExceeded

_STATUS_FILE = Path("/proc/self/statm")  # Linux


@dataclass(frozen=True)
class Limits:
    """Limits of the user's choosing; ``None`` is no limit. The gas of each block is bounded by its gas limit anyway.

    Attributes:
        gas: gas used by all transactions of the batch together.
        seconds: wall-clock time. One call of a precompiled contract is not interrupted.
        memory: bytes by which the memory of this process may grow.
    """

    gas: int | None = None
    seconds: float | None = None
    memory: int | None = None


NO_LIMITS = Limits()


class Watch:
    """The limits of one execution that has begun.

    Checks are cheap enough to be made every few thousand instructions: a clock, and one small read for the memory.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._deadline = None if limits.seconds is None else time.monotonic() + limits.seconds
        self._memory_at_start = resident_bytes() if limits.memory is not None else 0

    def check(self) -> None:
        """Check time and memory.

        Raises:
            LimitExceeded: more time has gone by or more memory is in use than allowed.
        """
        if self._deadline is not None and time.monotonic() > self._deadline:
            assert self._limits.seconds is not None
            raise LimitExceeded("seconds", self._limits.seconds, "seconds")
        if self._limits.memory is not None:
            self.check_memory(0)

    def check_memory(self, size: int) -> None:
        """Check that ``size`` bytes more may be allocated.

        Raises:
            LimitExceeded: with them more memory would be in use than allowed.
        """
        limit = self._limits.memory
        if limit is not None and resident_bytes() - self._memory_at_start + size > limit:
            raise LimitExceeded("memory", limit, "bytes of memory")

    def check_gas(self, gas_used: int) -> None:
        """Check the gas used by the transactions so far.

        Raises:
            LimitExceeded: it is more than allowed.
        """
        if self._limits.gas is not None and gas_used > self._limits.gas:
            raise LimitExceeded("gas", self._limits.gas, "gas")


def resident_bytes() -> int:
    """Bytes of main memory that this process holds; where the system does not tell, the most it ever held."""
    try:
        return int(_STATUS_FILE.read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
