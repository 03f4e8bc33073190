"""The application: routes, refusals and the page, put together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from service.api import jobs, proofs, results, system
from service.api.context import Context
from service.api.front import VERSION, Front
from service.api.problems import MEDIA_TYPE, on_error
from service.database import Database
from service.models import JobEvent, Submission
from service.overview import service_version
from service.page import Page
from service.settings import Settings

_DESCRIPTION: Final = """\
Batches of Ethereum blocks in, verified proofs out.

Every refusal is a `Problem`: a code for programs, a line for people, a hint what to do, and the place in the batch if
it is about one. A submission with an `Idempotency-Key` may be repeated without fear. Event streams go on after
`Last-Event-ID`.
"""


def create_app(settings: Settings, database: Database | None = None) -> FastAPI:
    """The application.

    Args:
        settings: of the service.
        database: migrated; opened, migrated and closed by the application if None.
    """
    own = database is None
    if database is None:
        database = Database(settings.database_url)
        database.migrate()
    context = Context(settings, database)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        context.close()
        if own:
            database.close()

    app = FastAPI(
        title="zkevm",
        version=service_version(),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        middleware=[Middleware(Front, metrics=context.metrics)],
        responses=jobs.REFUSALS,
        redirect_slashes=False,
    )
    app.state.service = context
    versioned = APIRouter(prefix=VERSION)
    for router, tag in ((jobs.router, "jobs"), (results.router, "results"), (proofs.router, "proofs")):
        versioned.include_router(router, tags=[tag])
    versioned.include_router(system.router, tags=["service"])
    app.include_router(versioned)
    app.include_router(system.outside, tags=["service"])
    for kind in (RequestValidationError, HTTPException):
        app.add_exception_handler(kind, on_error)
    system.add_docs(app)
    app.router.default = _Page()
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


class _Page:
    """The page, where no route is. It is not mounted: a mount at the root would hide which methods a route has."""

    def __init__(self) -> None:
        self._files = Page()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or scope["path"].startswith(VERSION):
            raise HTTPException(404)
        await self._files(scope, receive, send)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: what FastAPI makes of the routes, with the bodies that they read themselves."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=_TAGS
        )
        schemas = document["components"]["schemas"]
        for model in (Submission, JobEvent):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}", by_alias=True)
            schemas |= schema.pop("$defs", {})
            schemas[model.__name__] = schema
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for path in document["paths"].values():
            for operation in path.values():
                _as_problems(operation["responses"])
        app.openapi_schema = document
    return app.openapi_schema


_TAGS: Final = [
    {"name": "jobs", "description": "Submit batches, and see what becomes of them"},
    {"name": "results", "description": "What came of a job"},
    {"name": "proofs", "description": "Anybody's proofs, and what proofs would take"},
    {"name": "service", "description": "The service itself"},
]


def _as_problems(responses: dict[str, Any]) -> None:
    """Refusals are of the media type of problems."""
    responses.pop("422", None)
    for status, response in responses.items():
        if status in ("4XX", "5XX") and "application/json" in response.get("content", {}):
            response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
