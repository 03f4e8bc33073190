"""Bounds on what clients may send: how much, how fast, how often."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from starlette.requests import ClientDisconnect, Request

from service.models import Code
from service.problems import Refusal

#: Bytes per second that a body must come with after its first seconds; slower ones are given up.
MIN_RATE: Final = 32 << 10

#: Seconds that a body may take besides.
BODY_SECONDS: Final = 15.0

#: Buckets that are remembered; the one that was used least recently is forgotten, which fills it.
_MAX_BUCKETS: Final = 10_000


class Buckets:
    """Token buckets by name: each holds requests for a minute, and fills as fast.

    Args:
        per_minute: requests; 0 for any number.
        clock: seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._rate = per_minute / 60.0
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, cost: float = 1.0) -> None:
        """Take from a bucket.

        Raises:
            Refusal: there is not enough in it.
        """
        if not self._capacity:
            return
        now = self._clock()
        level, then = self._levels.pop(name, (self._capacity, now))
        level = min(self._capacity, level + (now - then) * self._rate)
        if len(self._levels) >= _MAX_BUCKETS:
            self._levels.popitem(last=False)
        enough = level >= cost
        self._levels[name] = (level - cost if enough else level, now)
        if not enough:
            raise Refusal(
                Code.RATE_LIMITED,
                f"more than {self._capacity:.0f} requests in a minute",
                hint="wait, or have the operator raise requests_per_minute",
                retry_after=(cost - level) / self._rate,
            )


class Reservoir:
    """Bytes of bodies that are held at the same time, of all requests together."""

    def __init__(self, capacity: int) -> None:
        self._free = capacity

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """A share of it, given back in the end: the function takes more bytes, or raises `Refusal`."""
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if size > self._free:
                raise Refusal(Code.UNAVAILABLE, "too many large requests at once", hint="try again", retry_after=5.0)
            self._free -= size
            taken += size

        try:
            yield take
        finally:
            self._free += taken


class Bodies:
    """Reads bodies within bounds; a body that is declared too large is not read at all.

    Args:
        limit: bytes of one body.
        together: bytes of all bodies that are being read or worked on.
        folder: where those are spooled that are handed to other processes.
    """

    def __init__(self, limit: int, together: int, folder: Path) -> None:
        self.limit = limit
        self._reservoir = Reservoir(together)
        self._folder = folder

    @asynccontextmanager
    async def read(self, request: Request, limit: int | None = None) -> AsyncIterator[bytes]:
        """The whole body; as long as the block runs, it counts as being held.

        Raises:
            Refusal: too large, too slow, or too many at once.
        """
        limit = min(limit or self.limit, self.limit)
        with self._reservoir.share() as take:
            content = bytearray()
            async for part in _parts(request, limit, take):
                content += part
            yield bytes(content)

    @asynccontextmanager
    async def spool(self, request: Request) -> AsyncIterator[Path]:
        """The whole body as a file, which is removed in the end. Errors as for `read`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix="body.", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file, self._reservoir.share() as take:
                async for part in _parts(request, self.limit, take):
                    file.write(part)
                file.flush()
                yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


async def _parts(request: Request, limit: int, take: Callable[[int], None]) -> AsyncIterator[bytes]:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refusal(
            Code.MALFORMED, "an encoded body", status=415, hint="send gzip files as they are, without Content-Encoding"
        )
    loop = asyncio.get_running_loop()
    start, size = loop.time(), 0
    try:
        async with asyncio.timeout_at(start + BODY_SECONDS) as deadline:
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                take(len(part))
                deadline.reschedule(start + BODY_SECONDS + size / MIN_RATE)
                yield part
    except TimeoutError:
        raise Refusal(Code.TIMEOUT, "the body comes too slowly", headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise Refusal(Code.MALFORMED, "the body is not complete", status=400) from None


def _too_large(limit: int) -> Refusal:
    return Refusal(Code.TOO_LARGE, f"a body of more than {limit} bytes", hint="the operator can raise max_body_bytes")
