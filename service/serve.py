"""One process that is the whole service: HTTP, the queue's supervisor, and the follower of a chain if one is set."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import uvicorn

from service import logs, telemetry
from service.api.app import create_app
from service.api.auth import is_loopback
from service.api.context import Context
from service.api.protocol import PeerLimits, protocol
from service.database import Database
from service.follow import FollowerProcess
from service.keys import Keys
from service.overview import service_version
from service.settings import Settings

logger = logs.get(__name__)

#: Seconds that open requests may take to end when the service is asked to stop.
_GRACE: Final = 10

#: Seconds for which a connection without requests is kept.
_KEEP_ALIVE: Final = 30


class NoKey(Exception):  # noqa: N818
    """The service would be open to other machines, and has no keys."""


def run(settings: Settings, ready: Callable[[str], None] = lambda url: None) -> None:
    """Run until SIGTERM or SIGINT; jobs that are being proved go on when a service starts again.

    Args:
        settings: of the service.
        ready: called with the address once requests are answered.

    Raises:
        NoKey: the host is no loopback address, and no key was ever made.
        DatabaseAway, OSError: no database, or the address is taken.
        ValueError: a setting makes no sense.
    """
    logs.configure(settings.log_level, settings.log_json)
    telemetry.configure(settings.trace_endpoint, service_version())
    with contextlib.ExitStack() as stack:
        stack.callback(telemetry.stop)
        listener = stack.enter_context(_listen(settings.host, settings.port))
        database = Database(settings.database_url)
        stack.callback(database.close)
        database.migrate()
        if not is_loopback(settings.host) and not Keys(database).exist():
            raise NoKey(f"there are no keys, and {settings.host} can be reached from other machines")
        app = create_app(settings, database)
        context: Context = app.state.service
        config = uvicorn.Config(
            app,
            http=protocol(PeerLimits()),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
        port = listener.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        server = Server(config, context, lambda: ready(f"http://{host}:{port}"))
        for part in _parts(settings, context):
            part.start()
            stack.callback(part.stop)
        logger.info("serving", url=f"http://{host}:{port}", version=service_version())
        server.run(sockets=[listener])
        logger.info("stopping")
    logger.info("stopped")


def _parts(settings: Settings, context: Context) -> Iterator[Any]:
    """What runs beside HTTP; each has `start` and `stop`."""
    if settings.prove:
        # Loads the prover, which a process that serves the API alone does without.
        from service.supervisor import Supervisor

        supervisor = Supervisor(settings, context.queue, context.artifacts)
        context.wake = supervisor.wake
        context.metrics.room.set_function(lambda: not supervisor.is_full)
        yield supervisor
    if settings.follow is not None:
        yield FollowerProcess(settings)


class Server(uvicorn.Server):
    """Uvicorn's server, which ends streams when it stops, and leaves the end of the process to its caller."""

    def __init__(self, config: uvicorn.Config, context: Context, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._context = context
        self._ready = ready

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(list(sockets) if sockets is not None else None)
        self._ready()

    async def shutdown(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Answer what has been asked, and no more."""
        self._context.stop()
        await super().shutdown(list(sockets) if sockets is not None else None)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn's own raises the signal again in the end, which would end the process before jobs are put down."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                # A second signal must not stop the stopping halfway.
                signal.signal(number, signal.SIG_IGN if number == signal.SIGTERM else handler)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from None
