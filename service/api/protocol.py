"""HTTP as the service speaks it: uvicorn's protocol, with bounds on how long a peer may take.

An application sees nothing of a client that opens connections and says nothing, sends its headers byte by byte, or
does not read the answer. Here such a client loses its connection, and no address gets all connections.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.api.problems import MEDIA_TYPE
from service.models import Code
from service.problems import Refusal


@dataclass
class PeerLimits:
    """Bounds on connections.

    Attributes:
        head_seconds: from the first byte of a request, or the opening of the connection, to the end of the headers.
        linger_seconds: that the rest of a refused body is read and thrown away.
        write_seconds: that a client may take to read what is buffered for it.
        connections: at the same time.
        connections_per_address: of them from one address.
        counts: connections by address.
    """

    head_seconds: float = 10.0
    linger_seconds: float = 5.0
    write_seconds: float = 30.0
    connections: int = 2000
    connections_per_address: int = 500
    counts: Counter[str] = field(default_factory=Counter)


def protocol(limits: PeerLimits) -> type[H11Protocol]:
    """The protocol class for uvicorn's configuration, under these limits."""
    return type("BoundedProtocol", (_BoundedProtocol,), {"limits": limits})


class _BoundedProtocol(H11Protocol):
    limits: ClassVar[PeerLimits]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._address: str | None = None

    # The types of uvicorn's base class are narrower than those of asyncio's, which it replaces.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self.limits.counts[self._address] += 1
        if len(self.connections) > self.limits.connections or (
            self.limits.counts[self._address] > self.limits.connections_per_address
        ):
            transport.abort()
            return
        self._start_head(self.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(head=True, write=True)
        if self._address is not None:
            self.limits.counts[self._address] -= 1
            if not self.limits.counts[self._address]:
                del self.limits.counts[self._address]
            self._address = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None and not self._is_busy:
            self._start_head(self.limits.head_seconds)
        super().data_received(data)
        if self._is_busy or self.transport.is_closing() or self._is_idle:
            self._stop(head=True)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_busy or self.transport.is_closing():
            return
        if self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY:
            # The rest of a body that was refused unread is thrown away for a while: closing at once would reset the
            # connection, and the client might never see the refusal.
            self._start_head(self.limits.linger_seconds)
        elif not self._is_idle:
            # The next head has begun already.
            self._start_head(self.limits.head_seconds)

    def _start_head(self, seconds: float) -> None:
        self._stop(head=True)
        self._head_timer = self.loop.call_later(seconds, self._head_too_slow)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.limits.write_seconds, self._reads_too_slowly)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop(write=True)

    def send_400_response(self, msg: str) -> None:
        self._refuse(Refusal(Code.MALFORMED, msg, status=400))

    @property
    def _is_busy(self) -> bool:
        """Whether the headers of a request are there, and its answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_idle(self) -> bool:
        """Whether nothing of a next request is there."""
        return self.conn.states == {h11.CLIENT: h11.IDLE, h11.SERVER: h11.IDLE} and not self.conn.trailing_data[0]

    def _stop(self, *, head: bool = False, write: bool = False) -> None:
        if head and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if write and self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if not self._is_busy and not self.transport.is_closing():
            self._refuse(Refusal(Code.TIMEOUT, "the headers took too long"))

    def _reads_too_slowly(self) -> None:
        # Closing would wait for the buffer to be read.
        self._write_timer = None
        self.transport.abort()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what never became a request, and close."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = refusal.problem.model_dump_json().encode()
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        events = (h11.Response(status_code=refusal.problem.status, headers=headers), h11.Data(data=body))
        for event in (*events, h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()
