"""Anybody's proof, and what a proof would take: both in confined processes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from service.api.auth import Reader, Submitter
from service.api.context import context_of
from service.api.jobs import BODY, FileQuery, read_submission
from service.dry_run import Answer
from service.dry_run import Request as Asked
from service.models import Estimate, Verification
from service.problems import Refusal

router = APIRouter()

#: Settings that an estimate depends on.
_NEEDED: Final = {"segment_memory", "segment_operations", "one_proof", "workers", "jobs", "memory"}


class VerifyQuery(BaseModel):
    """Which verifier of the proof system."""

    model_config = ConfigDict(extra="forbid")
    engine: Literal["native", "python"] = "native"


@router.post(
    "/verify",
    response_model=Verification,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def verify(request: Request, principal: Reader, query: Annotated[VerifyQuery, Query()]) -> Response:
    """Judge a proof file. The answer is the verdict; a file that is no proof is not accepted, either."""
    context = context_of(request)
    async with context.bodies.spool(request) as file:
        verdict = await context.confined("verify", "service.verifying", str(file), query.engine)
    return Response(verdict, media_type="application/json")


@router.post("/estimate", response_model=Estimate, openapi_extra=BODY)
async def estimate(request: Request, principal: Submitter, query: Annotated[FileQuery, Query()]) -> Response:
    """What proving a batch would take, and whether it can be proved: it is executed and planned, and not proved."""
    context = context_of(request)
    folder = context.settings.data / "bodies"
    folder.mkdir(parents=True, exist_ok=True)
    async with read_submission(request, context, query) as submitted:
        source = submitted.submission.source
        with tempfile.TemporaryDirectory(dir=folder, prefix="estimate.") as name:
            file = None
            if submitted.content is not None:
                file = Path(name, "batch")
                await context.call(file.write_bytes, submitted.content)
            asked = Asked(
                file=file,
                source=source,
                options=submitted.submission.options,
                rate=await context.call(context.queue.rate),
                settings=context.settings.model_dump(mode="json", include=_NEEDED),
            )
            Path(name, "request").write_text(asked.model_dump_json(by_alias=True))
            said = await context.confined("estimate", "service.dry_run", str(Path(name, "request")))
    answer = Answer.model_validate(json.loads(said))
    if answer.problem is not None:
        raise Refusal.of(answer.problem)
    assert answer.estimate is not None, "an estimate or a problem"
    return Response(answer.estimate.model_dump_json(), media_type="application/json")
