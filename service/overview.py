"""The service at a glance: what the page and the metrics show."""

from __future__ import annotations

import threading
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from service.follow import following
from service.models import Overview
from service.queue import Queue

#: Seconds for which it is told again without asking the database.
MEMORY_SECONDS: Final = 1.0


def service_version() -> str:
    """Of the installed project."""
    try:
        return version("zkevm")
    except PackageNotFoundError:
        return "unknown"


class Glance:
    """Gives the overview of a queue; may be used by many threads."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self._known: tuple[float, Overview] | None = None

    def __call__(self) -> Overview:
        """The overview, at most `MEMORY_SECONDS` old.

        Raises:
            DatabaseAway.
        """
        with self._lock:
            if self._known is None or time.monotonic() >= self._known[0]:
                self._known = (time.monotonic() + MEMORY_SECONDS, self._ask())
            return self._known[1]

    def _ask(self) -> Overview:
        proofs_per_hour, cells_per_second = self._queue.throughput()
        return Overview(
            version=service_version(),
            queue=self._queue.counts(),
            workers=self._queue.workers(),
            following=following(self._queue.database),
            proofs_per_hour=proofs_per_hour,
            cells_per_second=cells_per_second,
            queue_history=self._queue.samples(),
        )
