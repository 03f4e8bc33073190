"""Jobs: submit, list, look at, watch, cancel, retry, and fetch what came of them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.api.auth import Principal, Reader, Submitter
from service.api.context import Context, context_of
from service.artifacts import Kind
from service.database import now
from service.logs import about, get
from service.models import Code, Job, JobDetail, Options, Page, Problem, Scope, Submission
from service.problems import Refusal, refusal_of
from service.queue import MAX_PAGE, KeyConflict, NewJob, Queue, QueueFull, Sort
from service.states import SETTLED, State

logger = get(__name__)
router = APIRouter()

#: Largest submission as JSON: parsing one keeps all others waiting. Larger batches are sent as files.
MAX_JSON_BYTES: Final = 4 << 20

#: Types of bodies that are batch files.
_FILE_TYPES: Final = frozenset(
    {"application/octet-stream", "application/gzip", "application/x-gzip", "application/rlp"}
)

#: Farthest in time a deadline may be; what is farther is none.
_MAX_DEADLINE: Final = timedelta(days=3650)

_PLAIN: Final = r"^[^\x00]*$"

Number = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]
JobPath = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="of the job")]

REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem, "description": "Refused; `code` and `hint` say why and what to do"}
    for status in ("4XX", "5XX")
}


class FileQuery(BaseModel):
    """What accompanies a batch file; as in `Submission`."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field("", max_length=200, pattern=_PLAIN)
    priority: int = Field(0, ge=-100, le=100)
    deadline: datetime | None = None
    segment_memory: int | None = Field(None, ge=1, le=1 << 20)
    segment_operations: int | None = Field(None, ge=1, le=1 << 31)
    one_proof: bool | None = None


class ListQuery(BaseModel):
    """Which jobs, and in which order."""

    model_config = ConfigDict(extra="forbid")
    state: list[State] = Field([], max_length=20, description="only jobs in these states")
    q: str = Field("", max_length=200, pattern=_PLAIN, description="part of the name, or beginning of the id")
    sort: Sort = Field("-created", description="descending with a minus")
    limit: int = Field(50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=1000, description="`next` of the part before")


@dataclass(frozen=True)
class Submitted:
    """A submission, and its batch as it is stored, None for a source."""

    submission: Submission
    content: bytes | None


BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Submission"}},
            "application/octet-stream": {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "a batch file of any format that `zkevm prove` reads; what else there is to say "
                    "goes into the query",
                }
            },
        },
    }
}


@asynccontextmanager
async def read_submission(request: Request, context: Context, query: FileQuery) -> AsyncIterator[Submitted]:
    """The submission that a body and a query are; as long as the block runs, the body counts as being held.

    Raises:
        Refusal.
    """
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    if kind in _FILE_TYPES:
        submission = Submission(
            batch={},  # which is the body
            name=query.name,
            priority=query.priority,
            deadline=query.deadline,
            options=Options(**query.model_dump(include=set(Options.model_fields))),
        )
        async with context.bodies.read(request, context.max_batch_bytes) as content:
            if not content:
                raise Refusal(Code.MALFORMED, "an empty body", hint="send a batch file, or a submission as JSON")
            yield Submitted(_checked(submission), content)
        return
    if kind != "application/json":
        raise Refusal(
            Code.MALFORMED,
            f"a body of type {kind[:100]!r}",
            hint="send application/json (a submission) or application/octet-stream (a batch file)",
            status=415,
        )
    if query.model_fields_set:
        raise Refusal(Code.MALFORMED, "a query beside a submission as JSON", hint="put all into the body")
    async with context.bodies.read(request, min(MAX_JSON_BYTES, context.max_batch_bytes)) as body:
        try:
            submission = Submission.model_validate_json(body)
        except ValidationError as error:
            raise refusal_of(error) from None
        submission = _checked(submission)
        batch = None
        if submission.batch is not None:
            try:
                batch = json.dumps(submission.batch, separators=(",", ":"), allow_nan=False).encode()
            except (ValueError, RecursionError) as error:
                raise Refusal(Code.MALFORMED, f"batch: {error}") from None
        yield Submitted(submission, batch)


def _checked(submission: Submission) -> Submission:
    """What pydantic does not check."""
    source, deadline = submission.source, submission.deadline
    if submission.batch is None and source is None:
        raise Refusal(Code.MALFORMED, "neither a batch nor a source", hint="give one of them")
    if "\x00" in submission.name:
        raise Refusal(Code.MALFORMED, "name: it holds a NUL")
    if source is not None and source.last < source.first:
        raise Refusal(Code.MALFORMED, "source: the last block comes before the first one")
    if source is not None and submission.batch is not None:
        raise Refusal(Code.MALFORMED, "both a batch and a source", hint="give one of them")
    if source is not None and "\x00" in source.rpc:
        raise Refusal(Code.MALFORMED, "source.rpc: it holds a NUL")
    if deadline is not None:
        if deadline.tzinfo is None:
            deadline = deadline.replace(tzinfo=UTC)
        try:
            deadline = deadline.astimezone(UTC)
            left = deadline - now()
        except OverflowError:
            raise Refusal(Code.MALFORMED, "deadline: no time of this age") from None
        if left <= timedelta(0):
            raise Refusal(Code.TIMEOUT, "deadline: it has passed", status=422)
        if left > _MAX_DEADLINE:
            raise Refusal(Code.MALFORMED, "deadline: more than ten years from now", hint="leave it out")
        submission = submission.model_copy(update={"deadline": deadline})
    return submission


def _stored(context: Context, submitted: Submitted, principal: Principal, key: str | None) -> NewJob:
    """What is submitted, with its batch in the store; hashing and writing a large one takes a while."""
    new = _new_job(submitted, principal, key)
    if submitted.content is None:
        return new
    return replace(new, batch=context.artifacts.put(new.id, Kind.BATCH, submitted.content))


def _new_job(submitted: Submitted, principal: Principal, key: str | None) -> NewJob:
    submission, content = submitted.submission, submitted.content
    told = {
        "batch": None if content is None else hashlib.sha256(content).hexdigest(),
        "source": None if submission.source is None else submission.source.model_dump(mode="json"),
        "options": submission.options.model_dump(mode="json"),
    }
    return NewJob(
        content=hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest(),
        name=submission.name,
        priority=submission.priority,
        deadline=submission.deadline,
        options=submission.options,
        source=submission.source,
        submitted_by=principal.name,
        # Keys of different clients have nothing to do with each other.
        idempotency_key=None if key is None else hashlib.sha256(f"{principal.id}\n{key}".encode()).hexdigest(),
    )


@router.post(
    "/jobs",
    response_model=Job,
    status_code=201,
    responses={200: {"model": Job, "description": "It was submitted before, under the same idempotency key"}},
    openapi_extra=BODY,
)
async def submit(
    request: Request,
    principal: Submitter,
    query: Annotated[FileQuery, Query()],
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=200, pattern="^[!-~]+$", description="the same for each try to submit a job"),
    ] = None,
) -> Response:
    """Submit a batch to be proved."""
    context = context_of(request)
    async with read_submission(request, context, query) as submitted:
        new = await context.call(_stored, context, submitted, principal, idempotency_key)
        try:
            job, is_new = await _submitted(context, new)
        except (KeyConflict, QueueFull):
            await _forget(context, new)
            raise
        if job.id != new.id:
            await _forget(context, new)
    context.wake()
    with about(job=job.id):
        logger.info("submitted", new=is_new, name=job.name)
    headers = {"Location": f"/v1/jobs/{job.id}"}
    return _json(job, 201 if is_new else 200, headers)


async def _submitted(context: Context, new: NewJob) -> tuple[Job, bool]:
    try:
        async with asyncio.timeout(context.settings.request_seconds):
            return await context.submitter.submit(new)
    except TimeoutError:
        raise Refusal(
            Code.UNAVAILABLE,
            "the database does not answer in time; the job may be there or not",
            hint="submit again under the same idempotency key",
            retry_after=5.0,
        ) from None


async def _forget(context: Context, new: NewJob) -> None:
    """Remove what was stored for a job that is none. If that fails, the store is swept in time."""
    if new.batch is not None:
        with suppress(OSError):
            await context.call(context.artifacts.clean, new.id, [])


@router.get("/jobs", response_model=Page[Job])
async def jobs(request: Request, principal: Reader, query: Annotated[ListQuery, Query()]) -> Response:
    """Part of the jobs."""
    context = context_of(request)
    page = await context.call(
        context.queue.jobs,
        states=query.state,
        text=query.q,
        sort=query.sort,
        limit=query.limit,
        cursor=query.cursor,
    )
    return _json(page)


@router.get("/jobs/{job}", response_model=JobDetail)
async def job_detail(request: Request, principal: Reader, job: JobPath) -> Response:
    """A job with its segments and the checks that its proof passed."""
    context = context_of(request)
    return _json(await context.call(context.queue.get, job))


@router.post("/jobs/{job}/cancel", response_model=Job)
async def cancel(request: Request, principal: Submitter, job: JobPath) -> Response:
    """Stop a job. Its finished segments are kept, in case it is retried."""
    return await _change(request, principal, job, Queue.cancel, "cancelled")


@router.post("/jobs/{job}/retry", response_model=Job)
async def retry(request: Request, principal: Submitter, job: JobPath) -> Response:
    """Have a job that failed or was cancelled proved after all; it goes on from its finished segments."""
    return await _change(request, principal, job, Queue.retry, "retried")


async def _change(
    request: Request, principal: Principal, job: str, change: Callable[[Queue, str], Job], said: str
) -> Response:
    """Change a job's state for who may, and tell those who prove."""
    context = context_of(request)
    await _check_own(context, principal, job)
    changed = await context.call(change, context.queue, job)
    context.wake()
    with about(job=job):
        logger.info(said)
    return _json(changed)


async def _check_own(context: Context, principal: Principal, job: str) -> None:
    """Jobs of others are changed by administrators only."""
    detail = await context.call(context.queue.get, job)
    if not principal.may(Scope.ADMIN) and detail.submitted_by != principal.name:
        raise Refusal(
            Code.FORBIDDEN, "the job was submitted by another key", hint="use that key, or one of scope admin"
        )


_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events: `id` is the number, `event` the kind, `data` a JobEvent as JSON; a comment every 15 s",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "The job is settled, and there is nothing after Last-Event-ID"},
}
LastEventId = Annotated[Number | None, Header(description="go on after this one")]


@router.get("/jobs/{job}/events", response_class=Response, responses=_STREAM)
async def job_events(request: Request, principal: Reader, job: JobPath, last_event_id: LastEventId = None) -> Response:
    """What happens to a job, from its beginning or after Last-Event-ID, until it is settled."""
    context = context_of(request)
    detail = await context.call(context.queue.get, job)
    after = 0 if last_event_id is None else int(last_event_id)
    if (
        last_event_id is not None
        and detail.state in SETTLED
        and not await context.call(context.queue.events, after, job=job, limit=1)
    ):
        return Response(status_code=204)  # so that a browser does not come back
    return await _stream(request, context, principal, after, job)


@router.get("/events", response_class=Response, responses={200: _STREAM[200]})
async def events(request: Request, principal: Reader, last_event_id: LastEventId = None) -> Response:
    """What happens to all jobs, from now on or after Last-Event-ID."""
    context = context_of(request)
    after = None if last_event_id is None else int(last_event_id)
    return await _stream(request, context, principal, after, None)


async def _stream(
    request: Request, context: Context, principal: Principal, after: int | None, job: str | None
) -> Response:
    address = request.client.host if request.client else ""
    who = principal.id if principal.id != "local" else address
    content = await context.streams.open(who, after, job)
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache"}
    return StreamingResponse(content, media_type="text/event-stream", headers=headers)


def _json(model: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(model.model_dump_json(by_alias=True), status, headers, "application/json")
