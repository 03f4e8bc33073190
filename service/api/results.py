"""What came of a job, as files: proof, statement, report, costs, plot; and the batch itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.api.auth import Reader
from service.api.context import Context, context_of
from service.api.jobs import JobPath
from service.artifacts import ArtifactLost, Kind
from service.models import Code
from service.problems import Refusal
from service.states import State

router = APIRouter()

_BINARY: Final = "application/octet-stream"


class _File(NamedTuple):
    kind: Kind
    media_type: str
    suffix: str
    description: str


#: By the last part of the address.
_FILES: Final = {
    "proof": _File(Kind.PROOF, _BINARY, ".proof", "The proof file, as `zkevm verify` takes it"),
    "statement": _File(Kind.STATEMENT, "application/json", ".statement.json", "What the proof says"),
    "report": _File(Kind.REPORT, "application/json", ".report.json", "What the verifier reported"),
    "costs": _File(Kind.COSTS, "application/json", ".costs.json", "Where the cells went (`Costs`)"),
    "plot.svg": _File(Kind.PLOT, "image/svg+xml", ".svg", "Where the cells went, drawn"),
    "batch": _File(Kind.BATCH, _BINARY, ".batch", "The batch file, as it was submitted or fetched"),
}


async def _send(request: Request, job: str, file: _File) -> Response:
    context = context_of(request)
    artifact = await context.call(context.queue.artifact, job, file.kind)
    if artifact is None:
        raise await _missing(context, job, file)
    tag = f'"{artifact.digest}"'
    headers = {
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{job}{file.suffix}"',
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    parts = context.artifacts.parts(artifact)
    try:
        first = await context.call(next, parts, b"")
    except ArtifactLost as error:
        raise Refusal(
            Code.INTERNAL, str(error), hint="the store has lost it: restore it from a backup, or submit the job again"
        ) from None
    headers["Content-Length"] = str(artifact.bytes)
    return StreamingResponse(_stream(context, first, parts), media_type=file.media_type, headers=headers)


async def _stream(context: Context, first: bytes, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    part = first
    while part:
        yield part
        part = await context.call(next, parts, b"")


async def _missing(context: Context, job: str, file: _File) -> Refusal:
    detail = await context.call(context.queue.get, job)
    if detail.state in (State.QUEUED, State.RUNNING):
        return Refusal(
            Code.CONFLICT,
            f"the job is {detail.state}, and has no {file.kind} yet",
            hint=f"watch /v1/jobs/{job}/events",
            retry_after=detail.remaining,
        )
    return Refusal(Code.NOT_FOUND, f"the job is {detail.state}, and has no {file.kind}")


def _add(name: str, file: _File) -> None:
    async def fetch(request: Request, principal: Reader, job: JobPath) -> Response:
        return await _send(request, job, file)

    schema = {"type": "string", "format": "binary"} if file.media_type == _BINARY else {}
    router.add_api_route(
        f"/jobs/{{job}}/{name}",
        fetch,
        methods=["GET"],
        name=f"job {file.kind}",
        summary=file.description,
        response_class=Response,
        responses={
            200: {"content": {file.media_type: {"schema": schema}}},
            304: {"description": "The file is the one of If-None-Match"},
        },
    )


for _name, _file in _FILES.items():
    _add(_name, _file)
