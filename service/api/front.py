"""What every request goes through: a name for it in the logs, a bound on how many there are, a last net for errors."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import logs, telemetry
from service.api.problems import answer, refused
from service.metrics import Metrics
from service.models import Code
from service.problems import Refusal

logger = logs.get(__name__)

#: Nothing comes from elsewhere, nothing goes elsewhere, and no other site may put the page into one of its own.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

#: Of every answer.
HEADERS: Final[Mapping[bytes, bytes]] = {
    b"content-security-policy": CONTENT_SECURITY_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}

#: Routes that answer health checks and scrapes, in the log only when they fail.
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})

#: Of the API; part of all of its addresses.
VERSION: Final = "/v1"

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "any"})

#: Requests at the same time, streams included; more are refused at once.
MAX_IN_FLIGHT: Final = 1000


class Front:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = uuid.uuid4().hex[:16]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request=request)
        parent = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
        self._in_flight += 1
        self._metrics.in_flight.set(self._in_flight)
        try:
            with telemetry.span(f"{scope['method']}", {"url.path": scope["path"][:200]}, parent or None) as span:
                answered = _Answer(send, request)
                start = time.perf_counter()
                await self._answer(scope, receive, answered)
                route = _route(scope)
                if span is not None:
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attributes({"http.route": route, "http.response.status_code": answered.status})
            self._note(scope, route, answered, time.perf_counter() - start)
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.set(self._in_flight)

    async def _answer(self, scope: Scope, receive: Receive, answered: _Answer) -> None:
        try:
            if self._in_flight > MAX_IN_FLIGHT:
                raise Refusal(Code.UNAVAILABLE, "too many requests at once", hint="try again", retry_after=1.0)
            await self._app(scope, receive, answered)
        except Exception as error:
            refusal = refused(error)
            if refusal.problem.code is Code.INTERNAL or isinstance(error, OSError):
                logger.exception("internal error", path=scope["path"][:200])
            if answered.status:
                raise  # too late to say so: the connection is cut
            await answer(refusal.problem, refusal.headers)(scope, receive, answered)

    def _note(self, scope: Scope, route: str, answered: _Answer, seconds: float) -> None:
        method = scope["method"] if route != "unknown" else "any"
        method = method if method in _METHODS else "other"  # clients may make up as many as they like
        self._metrics.requests.labels(method, route, answered.status).inc()
        if not answered.is_stream:
            self._metrics.seconds.labels(route).observe(seconds)
        if answered.code:
            self._metrics.refusals.labels(answered.code).inc()
        if route in _QUIET and answered.status < 500:
            return
        logger.info(
            "request",
            method=scope["method"][:20],
            path=scope["path"][:200],
            status=answered.status,
            milliseconds=round(1000 * seconds, 2),
            client=scope["client"][0] if scope.get("client") else None,
            job=scope.get("path_params", {}).get("job"),
            **({"code": answered.code} if answered.code else {}),
        )


def _route(scope: Scope) -> str:
    """The path of the route that answered, with its parameters' names."""
    path: str | None = getattr(scope.get("route"), "path", None)
    if not path:
        return "unknown"
    # Routes know their place in the router that they were declared in.
    return VERSION + path if scope["path"].startswith(f"{VERSION}/") and not path.startswith(VERSION) else path


class _Answer:
    """Sends an answer on, with the headers that all have, and remembers what it was."""

    def __init__(self, send: Send, request: str) -> None:
        self._send = send
        self._request = request.encode()
        self.status = 0
        self.is_stream = False
        self.code: str | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.setdefault("headers", [])
            there = {name.lower(): value for name, value in headers}
            headers += [(name, value) for name, value in HEADERS.items() if name not in there]
            headers.append((b"x-request-id", self._request))
            if b"cache-control" not in there:
                headers.append((b"cache-control", b"no-store"))
            self.is_stream = there.get(b"content-type", b"").startswith(b"text/event-stream")
            code = there.get(b"x-problem-code")
            self.code = code.decode() if code else None
        await self._send(message)
