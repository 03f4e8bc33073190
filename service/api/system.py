"""About the service itself: its state, its health, its metrics, its documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from service.api.auth import Reader
from service.api.context import context_of
from service.metrics import CONTENT_TYPE
from service.models import Code, Overview
from service.problems import Refusal

router = APIRouter()
outside = APIRouter()  # without a version, and without a key

_DOCS: Final = Path(__file__).parent / "docs"


class Health(BaseModel):
    """Something works."""

    status: str = "ok"


@router.get("/overview", response_model=Overview)
async def overview(request: Request, principal: Reader) -> Response:
    """The service at a glance."""
    context = context_of(request)
    found = await context.call(context.glance)
    return Response(found.model_dump_json(), media_type="application/json")


@outside.get("/healthz", response_model=Health)
async def healthz() -> Health:
    """This process answers."""
    return Health()


@outside.get("/readyz", response_model=Health)
async def readyz(request: Request) -> Health:
    """Database and store answer, and the service does not stop: it may be sent requests."""
    context = context_of(request)
    if context.stopping:
        raise Refusal(Code.UNAVAILABLE, "the service stops")
    await context.call(context.queue.last_event)
    await context.call(context.artifacts.check)
    return Health()


@outside.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Metrics for Prometheus: counts and times, and nothing of what is proved."""
    context = context_of(request)
    context.metrics.streams.set(context.streams.count)
    return Response(await context.call(context.metrics.text), media_type=CONTENT_TYPE)


def add_docs(app: FastAPI) -> None:
    """Serve the documentation of the API, which is drawn from `/openapi.json` by a page of our own."""
    for path, name in (("/docs", "index.html"), ("/docs/docs.js", "docs.js"), ("/docs/docs.css", "docs.css")):
        app.add_route(path, _file(_DOCS / name), ["GET"], include_in_schema=False)


def _file(path: Path):  # type: ignore[no-untyped-def]
    async def serve(request: Request) -> Response:
        return FileResponse(path)

    return serve
