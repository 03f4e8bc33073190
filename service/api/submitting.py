"""Submissions are stored together: those that arrive while a transaction is under way make up the next one.

A transaction that is answered for must be on the disk, which takes as long for one job as for fifty. So fifty clients
that submit at once wait for two transactions, not for fifty.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from concurrent.futures import Future
from typing import Final

from service.models import Job
from service.queue import NewJob, Queue

#: Jobs of one transaction.
_MOST: Final = 64

_Item = tuple[NewJob, "Future[tuple[Job, bool]]"]


class Submitter:
    """Submits jobs to a queue from one thread."""

    def __init__(self, target: Queue) -> None:
        self._target = target
        self._waiting: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="service-submit", daemon=True)
        self._thread.start()

    async def submit(self, new: NewJob) -> tuple[Job, bool]:
        """As `Queue.submit`."""
        future: Future[tuple[Job, bool]] = Future()
        self._waiting.put((new, future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Store what waits, and end."""
        self._waiting.put(None)
        self._thread.join(timeout=10.0)

    def _work(self) -> None:
        while True:
            items: list[_Item] = []
            item = self._waiting.get()
            while item is not None:
                items.append(item)
                if len(items) == _MOST or self._waiting.empty():
                    break
                item = self._waiting.get()
            if items:
                self._store(items)
            if item is None:
                return

    def _store(self, items: list[_Item]) -> None:
        # One that nobody waits for any more is stored all the same: its client may have been told nothing, but asks
        # again under the same key.
        try:
            results = self._target.submit_all([new for new, _ in items])
        except BaseException as error:
            for _, future in items:
                _settle(future, error)
            return
        for (_, future), result in zip(items, results, strict=True):
            _settle(future, result)


def _settle(future: Future[tuple[Job, bool]], result: tuple[Job, bool] | BaseException) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
