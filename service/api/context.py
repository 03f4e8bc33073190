"""What the routes share: settings, the queue, the store, and how to reach them without holding up other requests."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar, cast

from starlette.requests import Request

from executor.batch import MAX_FILE_BYTES as MAX_BATCH_BYTES
from service.api.auth import Doorkeeper
from service.api.limits import Bodies
from service.api.streams import Streams
from service.api.submitting import Submitter
from service.artifacts import Artifacts
from service.confined import Bounds, Busy, Confinement, Died, OutOfTime
from service.database import Database
from service.keys import Keys
from service.metrics import Metrics
from service.models import Code
from service.overview import Glance, service_version
from service.problems import Refusal
from service.queue import Queue
from service.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

#: Threads that ask the database or the store.
_THREADS: Final = 16

#: Address space of a confined process, bytes. Libraries map far more than they use.
CONFINED_MEMORY: Final = 8 << 30

#: Confined processes of a kind at the same time, and requests that wait for one.
_CONFINED: Final = 2
_WAITING: Final = 16


class Context:
    """See the module.

    Args:
        settings: of the service.
        database: migrated.

    Attributes:
        stopping: whether the service stops.
        wake: has whoever proves look at the queue.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.queue = Queue(database, max_tries=settings.max_tries, max_queued=settings.max_queued)
        self.artifacts = Artifacts(settings.artifacts_url, settings.artifacts_options)
        self.glance = Glance(self.queue)
        self.metrics = Metrics(service_version(), self.glance)
        self.doorkeeper = Doorkeeper(Keys(database), settings.host, settings.requests_per_minute, self.call)
        self.streams = Streams(self.queue, self.call)
        self.bodies = Bodies(settings.max_body_bytes, 4 * settings.max_body_bytes, settings.data / "bodies")
        self.submitter = Submitter(self.queue)
        bounds = Bounds(settings.estimate_seconds, CONFINED_MEMORY)
        self._confinements = {kind: Confinement(_CONFINED, _WAITING, bounds) for kind in ("verify", "estimate")}
        self.stopping = False
        self.wake: Callable[[], None] = lambda: None
        self._threads = ThreadPoolExecutor(_THREADS, "service-api")

    @property
    def max_batch_bytes(self) -> int:
        """Of a batch file."""
        return min(MAX_BATCH_BYTES, self.settings.max_body_bytes)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what asks the database or the store in a thread.

        Raises:
            Refusal: it takes too long; it goes on, but nobody waits for it.
        """
        loop = asyncio.get_running_loop()
        work = partial(contextvars.copy_context().run, function, *args, **kwargs)
        try:
            async with asyncio.timeout(self.settings.request_seconds):
                return await loop.run_in_executor(self._threads, work)
        except TimeoutError:
            raise Refusal(Code.UNAVAILABLE, "the database does not answer in time", retry_after=5.0) from None

    async def confined(self, kind: str, module: str, *arguments: str) -> bytes:
        """The answer of a confined process.

        Raises:
            Refusal: there is none.
        """
        confinement = self._confinements[kind]
        gauge = self.metrics.confined.labels(kind)
        gauge.inc()
        try:
            return await confinement.run(module, *arguments)
        except Busy:
            raise Refusal(
                Code.RATE_LIMITED, f"too many ask to {kind} at once", hint="try again", retry_after=10.0
            ) from None
        except OutOfTime:
            raise Refusal(
                Code.TIMEOUT,
                f"it takes more than {confinement.bounds.seconds:.0f} s",
                hint=f"use the command line: zkevm {'verify' if kind == 'verify' else 'inspect'}",
                status=422,
            ) from None
        except Died:
            raise Refusal(
                Code.TOO_LARGE,
                f"it takes more than {confinement.bounds.memory >> 20} MiB of memory",
                hint=f"use the command line: zkevm {'verify' if kind == 'verify' else 'inspect'}",
                status=422,
            ) from None
        finally:
            gauge.dec()

    def stop(self) -> None:
        """Answer no more streams, and tell whoever sends requests here to send them elsewhere."""
        self.stopping = True
        self.streams.stop()

    def close(self) -> None:
        """Stop the threads; the database is closed by whoever opened it."""
        self.submitter.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def context_of(request: Request) -> Context:
    """Of the application that a request came to."""
    return cast(Context, request.app.state.service)
