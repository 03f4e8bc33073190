"""Who asks, and whether they may.

Without any key the service is open, but only to this machine: it listens on a loopback address alone, and refuses what
web pages of other sites, or names of others that point here, could have a browser send.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import structlog
from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from service.api.limits import Buckets
from service.keys import MAX_TOKEN, ApiKey, Keys, digest_of, includes
from service.models import Code, Scope
from service.problems import Refusal

#: Seconds for which what the database said about a key is believed: so long a revoked key may still work.
MEMORY_SECONDS: Final = 2.0

_MAX_REMEMBERED: Final = 4096

#: Wrong keys of one address in a minute; each costs a look into the database.
_MAX_WRONG: Final = 120

#: Seconds between two notes of when keys were used.
_NOTE_SECONDS: Final = 60.0

Call = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Principal:
    """Who asks.

    Attributes:
        id: of the key, or `local`.
        name: of the key, or `local`.
    """

    id: str
    name: str
    scope: Scope

    def may(self, scope: Scope) -> bool:
        """Whether this one may do what needs a scope."""
        return includes(self.scope, scope)


LOCAL: Final = Principal("local", "local", Scope.ADMIN)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and nothing else."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


class Doorkeeper:
    """Finds out who asks, and how often they may.

    Args:
        keys: of the database.
        host: that the service listens on.
        per_minute: requests of one key, or without keys of one address.
        call: runs a function that asks the database.
    """

    def __init__(self, keys: Keys, host: str, per_minute: int, call: Call) -> None:
        self._keys = keys
        self._is_local = is_loopback(host)
        self._call = call
        self._requests = Buckets(per_minute)
        self._wrong = Buckets(_MAX_WRONG)
        self._known: OrderedDict[str, tuple[float, ApiKey | None]] = OrderedDict()
        self._open: tuple[float, bool] = (0.0, False)
        self._used: dict[str, float] = {}
        self._noting: set[asyncio.Task[Any]] = set()

    async def admit(self, request: Request, token: str | None, scope: Scope) -> Principal:
        """Who asks, if they may do what needs the scope.

        Raises:
            Refusal.
        """
        address = request.client.host if request.client else ""
        principal = await self._identify(request, token, address)
        self._requests.take(address if principal is LOCAL else principal.id)
        structlog.contextvars.bind_contextvars(key=principal.name)
        if not principal.may(scope):
            raise Refusal(
                Code.FORBIDDEN,
                f"this needs the scope {scope}, and the key {principal.name} has {principal.scope}",
                hint="ask the operator for a key with that scope: zkevm keys add",
            )
        return principal

    async def _identify(self, request: Request, token: str | None, address: str) -> Principal:
        if token is None:
            if await self._is_open():
                _check_local(request)
                return LOCAL
            raise Refusal(Code.UNAUTHORIZED, "no key", hint="send the header Authorization: Bearer KEY")
        key = await self._find(token, address)
        if key is None:
            # A key that is left from elsewhere does no harm where none is needed.
            if await self._is_open():
                _check_local(request)
                return LOCAL
            raise Refusal(Code.UNAUTHORIZED, "not a key in use", hint="zkevm keys list shows those that are")
        self._note(key.id)
        return Principal(key.id, key.name, key.scope)

    async def _is_open(self) -> bool:
        if not self._is_local:
            return False
        until, is_open = self._open
        if time.monotonic() >= until:
            is_open = not await self._call(self._keys.exist)
            self._open = (time.monotonic() + MEMORY_SECONDS, is_open)
        return is_open

    async def _find(self, token: str, address: str) -> ApiKey | None:
        if len(token) > MAX_TOKEN:
            return None
        digest = digest_of(token)
        until, key = self._known.get(digest, (0.0, None))
        if time.monotonic() >= until:
            key = await self._call(self._keys.find, token)
            if key is None:
                self._wrong.take(address)
            self._known[digest] = (time.monotonic() + MEMORY_SECONDS, key)
            self._known.move_to_end(digest)
            if len(self._known) > _MAX_REMEMBERED:
                self._known.popitem(last=False)
        return key

    def _note(self, key: str) -> None:
        now = time.monotonic()
        if now - self._used.get(key, -_NOTE_SECONDS) < _NOTE_SECONDS:
            return
        self._used[key] = now

        async def note() -> None:
            # It is only told to people; a database that is away has said so where it matters.
            try:
                await self._call(self._keys.note_use, {key})
            except Exception:
                self._used.pop(key, None)

        task = asyncio.create_task(note())
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)


def _check_local(request: Request) -> None:
    """Refuse what a browser sends for a page that is not ours: such a page needs no key, either."""
    host = request.headers.get("host", "")
    if not is_loopback(urlsplit(f"//{host}").hostname or ""):
        raise Refusal(
            Code.FORBIDDEN,
            "the service is open to this machine only, under a loopback name",
            hint="make a key for others: zkevm keys add",
        )
    origin = request.headers.get("origin")
    if origin is not None and origin != "null":
        parts = urlsplit(origin)
        if parts.netloc.lower() == host.lower():
            return
    elif origin is None and request.headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return
    raise Refusal(Code.FORBIDDEN, "a request of a page of another site", hint="use this service's own page, or a key")


_bearer = HTTPBearer(auto_error=False, description="A key as `zkevm keys add` makes it; none is needed on loopback.")


def needs(scope: Scope) -> Any:
    """The dependency of a route that needs a scope: gives the `Principal`."""

    async def admitted(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> Principal:
        keeper: Doorkeeper = request.app.state.service.doorkeeper
        token = None if credentials is None else credentials.credentials
        return await keeper.admit(request, token, scope)

    return Depends(admitted)


Reader = Annotated[Principal, needs(Scope.READ)]
Submitter = Annotated[Principal, needs(Scope.SUBMIT)]
