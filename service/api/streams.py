"""Server-sent events: what happens to jobs, as it happens, and from any point on.

One task looks for new events, whatever the number of streams; each stream has its own place among them and takes what
comes after it, from memory where that reaches back far enough, else from the database. So a client that reads slowly
lags behind, and nothing piles up for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import islice
from typing import Any, Final

from service import logs
from service.models import Code, JobEvent
from service.problems import Refusal
from service.queue import Queue
from service.states import SETTLED, State

logger = logs.get(__name__)

#: Seconds between two looks at the database while anybody listens.
POLL_SECONDS: Final = 0.25

#: Seconds between two signs of life of a stream on which nothing happens.
BEAT_SECONDS: Final = 15.0

#: Events that are kept in memory.
_KEPT: Final = 5000

#: Events of one read of the database.
_PART: Final = 500

BEAT: Final = b": still here\n\n"

Call = Callable[..., Awaitable[Any]]


def encoded(event: JobEvent) -> bytes:
    """As it is sent."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.kind.encode(), event.model_dump_json().encode())


class Streams:
    """All event streams of a process.

    Args:
        queue: where events are.
        call: runs a function that asks the database.
        most: streams at the same time.
        most_each: of one key or address.
    """

    def __init__(self, queue: Queue, call: Call, most: int = 500, most_each: int = 100) -> None:
        self._queue = queue
        self._call = call
        self._most, self._most_each = most, most_each
        self._open: dict[str, int] = {}
        self._recent: deque[JobEvent] = deque(maxlen=_KEPT)
        self._last = 0  # the number of the last event that is known
        self._floor = 0  # all events after this one that are known are in memory
        self._news = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def count(self) -> int:
        """Open streams."""
        return sum(self._open.values())

    def stop(self) -> None:
        """End all streams; their clients come back to whoever serves then, where they left off."""
        self._stopping.set()
        self._news.set()

    async def open(self, who: str, after: int | None, job: str | None) -> AsyncIterator[bytes]:
        """A stream, as bytes to be sent.

        Args:
            who: whose streams are counted together.
            after: number of the last event that the client has; None for what happens from now on, or all of a job's.
            job: only its events; the stream ends when the job is settled and its last event is sent.

        Raises:
            Refusal: too many streams.
        """
        if self._stopping.is_set():
            raise Refusal(Code.UNAVAILABLE, "the service stops", retry_after=2.0)
        if self.count >= self._most or self._open.get(who, 0) >= self._most_each:
            raise Refusal(Code.RATE_LIMITED, "too many open event streams", retry_after=10.0)
        await self._look()
        if after is None:
            after = 0 if job is not None else self._last
        return self._stream(who, after, job)

    async def _look(self) -> None:
        """Have somebody look for new events."""
        if self._poller is None or self._poller.done():
            last = await self._call(self._queue.last_event)
            if self._poller is None or self._poller.done():
                self._last = self._floor = max(last, self._last)
                self._recent.clear()
                self._poller = asyncio.create_task(self._poll())

    async def _stream(self, who: str, after: int, job: str | None) -> AsyncIterator[bytes]:
        self._open[who] = self._open.get(who, 0) + 1
        try:
            # Tells the client, and whatever stands in between, that this is a stream; and how long to wait before
            # coming back.
            yield b"retry: 2000\n\n"
            ask = job is not None  # whether the job may be settled
            while not self._stopping.is_set():
                await self._look()
                news = self._news
                events, after = await self._after(after, job)
                for event in events:
                    yield encoded(event)
                    ask = ask or (job is not None and event.data.get("state") in SETTLED)
                if events:
                    continue
                if ask and job is not None and await self._is_settled(job, after):
                    return
                ask = False
                if after < self._last:
                    continue
                try:
                    async with asyncio.timeout(BEAT_SECONDS):
                        await news.wait()
                except TimeoutError:
                    yield BEAT
        finally:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]

    async def _after(self, after: int, job: str | None) -> tuple[list[JobEvent], int]:
        """The next events after a number, and the number after which to go on."""
        last = self._last
        if after >= last:
            return [], after
        if after >= self._floor:
            following = (event for event in self._recent if event.number > after)
            part = list(islice(following, _PART))
            if not part:
                return [], last
            return [event for event in part if job is None or event.job == job], part[-1].number
        events: list[JobEvent] = await self._call(self._queue.events, after, job=job, limit=_PART)
        if len(events) < _PART:
            # Events of others, up to what was the last one before, have been passed over.
            return events, max(events[-1].number if events else after, last)
        return events, events[-1].number

    async def _is_settled(self, job: str, after: int) -> bool:
        """Whether a job has ended and its events up to a number are all."""
        detail = await self._call(self._queue.get, job)
        if State(detail.state) not in SETTLED:
            return False
        return not await self._call(self._queue.events, after, job=job, limit=1)

    async def _poll(self) -> None:
        """Look for new events until nobody listens any more."""
        idle = 0.0
        while not self._stopping.is_set() and (self._open or idle < 10.0):
            idle = 0.0 if self._open else idle + POLL_SECONDS
            events: list[JobEvent] = []
            try:
                events = await self._call(self._queue.events, self._last, limit=_PART)
            except Exception as error:
                logger.warning("no events", reason=str(error))
                await asyncio.sleep(1.0)
            for event in events:
                if len(self._recent) == _KEPT:
                    self._floor = self._recent[0].number
                self._recent.append(event)
            if events:
                self._last = events[-1].number
                news, self._news = self._news, asyncio.Event()
                news.set()
            if len(events) < _PART:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._stopping.wait()
