"""Problems as answers (RFC 9457): everything that is not answered as asked is answered with one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.database import DatabaseAway
from service.models import Code, Problem
from service.problems import Refusal, invalid_fields, refusal_of
from service.queue import BadCursor, KeyConflict, QueueFull, UnknownJob

MEDIA_TYPE: Final = "application/problem+json"


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that a problem is."""
    headers = {**(headers or {}), "X-Problem-Code": problem.code}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after)))
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="zkevm"')
    return Response(problem.model_dump_json(), problem.status, headers, MEDIA_TYPE)


def refused(error: BaseException) -> Refusal:
    """The refusal that an error is: of the framework, the database, or any other."""
    match error:
        case RequestValidationError():
            return invalid_fields(error.errors())
        case HTTPException():
            return _of_framework(error)
        case UnknownJob():
            return Refusal(Code.NOT_FOUND, str(error))
        case KeyConflict():
            return Refusal(Code.CONFLICT, str(error), hint="use a new idempotency key for another batch")
        case QueueFull():
            return Refusal(
                Code.QUEUE_FULL,
                str(error),
                hint="try again later, or have the operator raise max_queued",
                retry_after=30.0,
            )
        case BadCursor():
            return Refusal(Code.MALFORMED, f"cursor: {error}", hint="give the field next of the part before")
        case OSError():
            return Refusal(Code.UNAVAILABLE, "the store cannot be used", hint="try again", retry_after=5.0)
        case DatabaseAway() | NoConnection():
            return Refusal(Code.UNAVAILABLE, "the database does not answer", hint="try again", retry_after=2.0)
        case _:
            return refusal_of(error)


def _of_framework(error: HTTPException) -> Refusal:
    """What Starlette refuses: no such path, no such method, a body that is not JSON."""
    status, headers = error.status_code, error.headers
    if status == HTTPStatus.NOT_FOUND:
        return Refusal(Code.NOT_FOUND, "there is nothing here", hint="/docs lists what there is", headers=headers)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return Refusal(Code.MALFORMED, "this address has no such method", status=status, hint="/docs", headers=headers)
    code = Code.MALFORMED if status < HTTPStatus.INTERNAL_SERVER_ERROR else Code.UNAVAILABLE
    return Refusal(code, str(error.detail), status=status, headers=headers)


async def on_error(request: Request, error: Exception) -> Response:
    """Handler of every error that is a refusal."""
    refusal = refused(error)
    return answer(refusal.problem, refusal.headers)
