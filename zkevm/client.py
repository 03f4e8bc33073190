"""A client of the proving service: typed, with the models of the server (`service.models`).

    with Client("http://localhost:8280", key) as client:
        job = client.submit(Path("batch.json"), idempotency_key="batch-17")
        for event in client.events(job.id): ...
        proof = client.proof(job.id)

`AsyncClient` has the same methods as coroutines, and `events` as an asynchronous iterator. What the service refuses is
raised as `Refused`, with its `Problem`; what never reached it, or broke off, as `Unreachable`. A request that may be
repeated without harm is tried again when the service is away or busy for a moment: a submission always may be, since
it carries an idempotency key, of the caller's or a random one.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.models import (
    Code,
    Costs,
    Estimate,
    Job,
    JobDetail,
    JobEvent,
    Options,
    Overview,
    Page,
    Problem,
    Source,
    Submission,
    Verification,
)
from service.states import SETTLED, State

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:8280"

#: Tries of a request, and seconds between the first two; then twice as many each time, or what the service asks for.
_TRIES: Final = 6
_STREAM_TRIES: Final = 12
_WAIT: Final = 0.25
_MAX_WAIT: Final = 10.0

#: Refusals that may pass.
_PASSING: Final = frozenset({429, 502, 503, 504})

#: A stream sends a sign of life every 15 s.
_STREAM_TIMEOUT: Final = 45.0

#: Judging a proof and estimating a batch take their time.
_LONG_TIMEOUT: Final = 900.0

_EVENT: Final = TypeAdapter(JobEvent)


class ServiceError(Exception):
    """The service does not do what it was asked."""


class Refused(ServiceError):  # noqa: N818 - what it is
    """The service refuses; `problem` says why and what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Unreachable(ServiceError):  # noqa: N818
    """The service does not answer, or with something that it never answers."""


@dataclass(frozen=True)
class _Call(Generic[T]):
    """A request, and what its answer is read as."""

    method: str
    path: str
    read: Any  # a function from the answer to T
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    may_repeat: bool = True
    timeout: float | None = None


def _model(model: type[M]) -> Any:
    return lambda answer: model.model_validate_json(answer.content)


def _bytes(answer: httpx.Response) -> bytes:
    return answer.content


class _Requests:
    """The requests that there are; the two clients differ in how they send them."""

    def _submit(
        self,
        batch: Path | bytes | Mapping[str, Any] | Source,
        name: str,
        priority: int,
        deadline: datetime | None,
        options: Options | None,
        idempotency_key: str | None,
    ) -> _Call[Job]:
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return self._with_batch("/v1/jobs", Job, batch, name, priority, deadline, options, headers, None)

    def _estimate(self, batch: Path | bytes | Mapping[str, Any] | Source, options: Options | None) -> _Call[Estimate]:
        return self._with_batch("/v1/estimate", Estimate, batch, "", 0, None, options, {}, _LONG_TIMEOUT)

    def _with_batch(
        self,
        path: str,
        model: type[M],
        batch: Path | bytes | Mapping[str, Any] | Source,
        name: str,
        priority: int,
        deadline: datetime | None,
        options: Options | None,
        headers: dict[str, str],
        timeout: float | None,
    ) -> _Call[M]:
        if isinstance(batch, Source | Mapping):
            submission = Submission(
                batch=None if isinstance(batch, Source) else dict(batch),
                source=batch if isinstance(batch, Source) else None,
                name=name,
                priority=priority,
                deadline=deadline,
                options=options or Options(),
            )
            headers["Content-Type"] = "application/json"
            content = submission.model_dump_json(by_alias=True, exclude_none=True).encode()
            return _Call("POST", path, _model(model), headers=headers, content=content, timeout=timeout)
        headers["Content-Type"] = "application/octet-stream"
        given = {
            "name": name or None,
            "priority": priority or None,
            "deadline": None if deadline is None else deadline.isoformat(),
            **(options or Options()).model_dump(),
        }
        return _Call(
            "POST",
            path,
            _model(model),
            params={key: value for key, value in given.items() if value is not None},
            headers=headers,
            content=batch.read_bytes() if isinstance(batch, Path) else batch,
            timeout=timeout,
        )

    def _jobs(self, states: Sequence[State], text: str, sort: str, limit: int, cursor: str | None) -> _Call[Page[Job]]:
        params: dict[str, Any] = {"state": [str(state) for state in states], "sort": sort, "limit": limit}
        params |= {"q": text} if text else {}
        params |= {"cursor": cursor} if cursor else {}
        return _Call("GET", "/v1/jobs", _model(Page[Job]), params=params)

    def _job(self, job: str) -> _Call[JobDetail]:
        return _Call("GET", f"/v1/jobs/{job}", _model(JobDetail))

    def _change(self, job: str, verb: str) -> _Call[Job]:
        # Repeated, it would be refused because it has been done.
        return _Call("POST", f"/v1/jobs/{job}/{verb}", _model(Job), may_repeat=False)

    def _file(self, job: str, name: str) -> _Call[bytes]:
        return _Call("GET", f"/v1/jobs/{job}/{name}", _bytes)

    def _costs(self, job: str) -> _Call[Costs]:
        return _Call("GET", f"/v1/jobs/{job}/costs", _model(Costs))

    def _verify(self, proof: Path | bytes, engine: str) -> _Call[Verification]:
        return _Call(
            "POST",
            "/v1/verify",
            _model(Verification),
            params={"engine": engine},
            headers={"Content-Type": "application/octet-stream"},
            content=proof.read_bytes() if isinstance(proof, Path) else proof,
            timeout=_LONG_TIMEOUT,
        )

    def _overview(self) -> _Call[Overview]:
        return _Call("GET", "/v1/overview", _model(Overview))


def _settings(url: str, key: str | None, timeout: float) -> dict[str, Any]:
    headers = {"User-Agent": "zkevm"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return {"base_url": url, "headers": headers, "timeout": timeout, "follow_redirects": False}


def _read(call: _Call[T], answer: httpx.Response) -> T:
    """What an answer says; raises `Refused`, `Unreachable`."""
    if answer.is_error:
        raise Refused(_problem(answer))
    try:
        result: T = call.read(answer)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Unreachable(f"an answer that is not of this service: {where}: {first['msg']}") from None
    return result


def _problem(answer: httpx.Response) -> Problem:
    with suppress(ValidationError):
        return Problem.model_validate_json(answer.content)
    status = answer.status_code
    code = Code.UNAVAILABLE if status >= 500 else Code.MALFORMED
    detail = f"HTTP status {status}, and not from the service itself"
    return Problem(title=answer.reason_phrase or "Refused", status=status, code=code, detail=detail)


def _wait(number: int, answer: httpx.Response | None) -> float:
    """Seconds before the next try."""
    wait: float = _WAIT * 2.0**number
    if answer is not None:
        with suppress(ValueError):
            wait = max(wait, float(answer.headers.get("retry-after", "")))
    return min(wait, _MAX_WAIT)


def _is_passing(call: _Call[Any], number: int, answer: httpx.Response) -> bool:
    return call.may_repeat and number < _TRIES - 1 and answer.status_code in _PASSING


class _Lines:
    """Events out of the lines of a stream."""

    def __init__(self) -> None:
        self._data: list[str] = []

    def __call__(self, line: str) -> JobEvent | None:
        """The event that a line completes."""
        name, _, value = line.partition(":")
        if line and name == "data":
            self._data.append(value.removeprefix(" "))
        elif not line and self._data:
            text, self._data = "\n".join(self._data), []
            try:
                return _EVENT.validate_json(text)
            except ValidationError:
                raise Unreachable("an event that is not of this service") from None
        return None


class Client(_Requests):
    """The service at an address.

    Args:
        url: where it is.
        key: of the API; none is needed on the machine of a service without keys.
        timeout: seconds without any progress after which a request is given up.
        transport: of httpx, for tests.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(**_settings(url, key, timeout), transport=transport)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self,
        batch: Path | bytes | Mapping[str, Any] | Source,
        *,
        name: str = "",
        priority: int = 0,
        deadline: datetime | None = None,
        options: Options | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a batch: a file or its content, a batch document, or blocks of a node.

        Args:
            idempotency_key: the same for each try to submit this job; without, every call is a job of its own.
        """
        return self._send(self._submit(batch, name, priority, deadline, options, idempotency_key))

    def estimate(self, batch: Path | bytes | Mapping[str, Any] | Source, *, options: Options | None = None) -> Estimate:
        """What proving a batch would take."""
        return self._send(self._estimate(batch, options))

    def jobs(
        self,
        *,
        states: Sequence[State] = (),
        text: str = "",
        sort: str = "-created",
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Part of the jobs; `cursor` is `next` of the part before."""
        return self._send(self._jobs(states, text, sort, limit, cursor))

    def job(self, job: str) -> JobDetail:
        """A job."""
        return self._send(self._job(job))

    def cancel(self, job: str) -> Job:
        """Stop a job."""
        return self._send(self._change(job, "cancel"))

    def retry(self, job: str) -> Job:
        """Have a failed or cancelled job proved after all."""
        return self._send(self._change(job, "retry"))

    def proof(self, job: str) -> bytes:
        """The proof file of a job that is done."""
        return self._send(self._file(job, "proof"))

    def batch(self, job: str) -> bytes:
        """The batch file of a job."""
        return self._send(self._file(job, "batch"))

    def costs(self, job: str) -> Costs:
        """Where the cells of a job went."""
        return self._send(self._costs(job))

    def verify(self, proof: Path | bytes, *, engine: str = "native") -> Verification:
        """Have a proof file judged."""
        return self._send(self._verify(proof, engine))

    def overview(self) -> Overview:
        """The service at a glance."""
        return self._send(self._overview())

    def events(self, job: str | None = None, *, after: int | None = None) -> Iterator[JobEvent]:
        """What happens to a job until it is settled, or to all jobs without end. Streams that break are taken up.

        Args:
            after: number of the last event that is known already; else a job's from its beginning, all jobs' from now.
        """
        path = "/v1/events" if job is None else f"/v1/jobs/{job}/events"
        number = 0
        while True:
            answer: httpx.Response | None = None
            try:
                headers = {} if after is None else {"Last-Event-ID": str(after)}
                with self._http.stream("GET", path, headers=headers, timeout=_STREAM_TIMEOUT) as answer:
                    if answer.status_code == 204:
                        return
                    if not answer.is_error:
                        read = _Lines()
                        for line in answer.iter_lines():
                            number = 0
                            if (event := read(line)) is not None:
                                after = event.number
                                yield event
                        if job is not None and self.job(job).state in SETTLED:
                            after = after or 0  # asks once more, for what came last
                        time.sleep(_WAIT)
                        continue
                    answer.read()
                    if answer.status_code not in _PASSING or number >= _STREAM_TRIES - 1:
                        raise Refused(_problem(answer))
            except httpx.HTTPError as error:
                if number >= _STREAM_TRIES - 1:
                    raise Unreachable(_reason(error)) from error
            time.sleep(_wait(number, answer))
            number += 1

    def wait(self, job: str) -> JobDetail:
        """A job when it is settled."""
        for _ in self.events(job):
            pass
        return self.job(job)

    def _send(self, call: _Call[T]) -> T:
        number = 0
        while True:
            answer: httpx.Response | None = None
            try:
                answer = self._http.request(**_arguments(call))
                if not _is_passing(call, number, answer):
                    return _read(call, answer)
            except httpx.HTTPError as error:
                if not call.may_repeat or number >= _TRIES - 1:
                    raise Unreachable(_reason(error)) from error
            time.sleep(_wait(number, answer))
            number += 1


class AsyncClient(_Requests):
    """As `Client`, with coroutines."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(**_settings(url, key, timeout), transport=transport)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(
        self,
        batch: Path | bytes | Mapping[str, Any] | Source,
        *,
        name: str = "",
        priority: int = 0,
        deadline: datetime | None = None,
        options: Options | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """As `Client.submit`."""
        return await self._send(self._submit(batch, name, priority, deadline, options, idempotency_key))

    async def estimate(
        self, batch: Path | bytes | Mapping[str, Any] | Source, *, options: Options | None = None
    ) -> Estimate:
        """As `Client.estimate`."""
        return await self._send(self._estimate(batch, options))

    async def jobs(
        self,
        *,
        states: Sequence[State] = (),
        text: str = "",
        sort: str = "-created",
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        """As `Client.jobs`."""
        return await self._send(self._jobs(states, text, sort, limit, cursor))

    async def job(self, job: str) -> JobDetail:
        """As `Client.job`."""
        return await self._send(self._job(job))

    async def cancel(self, job: str) -> Job:
        """As `Client.cancel`."""
        return await self._send(self._change(job, "cancel"))

    async def retry(self, job: str) -> Job:
        """As `Client.retry`."""
        return await self._send(self._change(job, "retry"))

    async def proof(self, job: str) -> bytes:
        """As `Client.proof`."""
        return await self._send(self._file(job, "proof"))

    async def batch(self, job: str) -> bytes:
        """As `Client.batch`."""
        return await self._send(self._file(job, "batch"))

    async def costs(self, job: str) -> Costs:
        """As `Client.costs`."""
        return await self._send(self._costs(job))

    async def verify(self, proof: Path | bytes, *, engine: str = "native") -> Verification:
        """As `Client.verify`."""
        return await self._send(self._verify(proof, engine))

    async def overview(self) -> Overview:
        """As `Client.overview`."""
        return await self._send(self._overview())

    async def events(self, job: str | None = None, *, after: int | None = None) -> AsyncIterator[JobEvent]:
        """As `Client.events`."""
        path = "/v1/events" if job is None else f"/v1/jobs/{job}/events"
        number = 0
        while True:
            answer: httpx.Response | None = None
            try:
                headers = {} if after is None else {"Last-Event-ID": str(after)}
                async with self._http.stream("GET", path, headers=headers, timeout=_STREAM_TIMEOUT) as answer:
                    if answer.status_code == 204:
                        return
                    if not answer.is_error:
                        read = _Lines()
                        async for line in answer.aiter_lines():
                            number = 0
                            if (event := read(line)) is not None:
                                after = event.number
                                yield event
                        if job is not None and (await self.job(job)).state in SETTLED:
                            after = after or 0
                        await asyncio.sleep(_WAIT)
                        continue
                    await answer.aread()
                    if answer.status_code not in _PASSING or number >= _STREAM_TRIES - 1:
                        raise Refused(_problem(answer))
            except httpx.HTTPError as error:
                if number >= _STREAM_TRIES - 1:
                    raise Unreachable(_reason(error)) from error
            await asyncio.sleep(_wait(number, answer))
            number += 1

    async def wait(self, job: str) -> JobDetail:
        """As `Client.wait`."""
        async for _ in self.events(job):
            pass
        return await self.job(job)

    async def _send(self, call: _Call[T]) -> T:
        number = 0
        while True:
            answer: httpx.Response | None = None
            try:
                answer = await self._http.request(**_arguments(call))
                if not _is_passing(call, number, answer):
                    return _read(call, answer)
            except httpx.HTTPError as error:
                if not call.may_repeat or number >= _TRIES - 1:
                    raise Unreachable(_reason(error)) from error
            await asyncio.sleep(_wait(number, answer))
            number += 1


def _arguments(call: _Call[Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "method": call.method,
        "url": call.path,
        "params": dict(call.params),
        "headers": dict(call.headers),
        "content": call.content,
    }
    return arguments if call.timeout is None else arguments | {"timeout": call.timeout}


def _reason(error: httpx.HTTPError) -> str:
    try:
        where = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
    except RuntimeError:
        where = "the service"
    return f"{where} does not answer: {error or type(error).__name__}"
