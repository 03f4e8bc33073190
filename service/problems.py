"""Refusals of requests. What is wrong with a batch or a proof is said by `service.refusals`, for jobs as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from service.models import Code, Place, Problem
from service.refusals import problem_of
from service.states import ImpossibleTransition

#: Status of each code, unless a refusal says otherwise.
STATUS: Final[Mapping[Code, int]] = {
    Code.MALFORMED: 422,
    Code.INVALID: 422,
    Code.UNSUPPORTED: 422,
    Code.TOO_LARGE: 413,
    Code.UNREACHABLE: 502,
    Code.UNAUTHORIZED: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.CONFLICT: 409,
    Code.RATE_LIMITED: 429,
    Code.QUEUE_FULL: 503,
    Code.TIMEOUT: 408,
    Code.REJECTED: 422,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}

_TITLES: Final[Mapping[Code, str]] = {
    Code.MALFORMED: "The request cannot be read",
    Code.INVALID: "The batch is invalid",
    Code.UNSUPPORTED: "The batch cannot be proved yet",
    Code.TOO_LARGE: "Too large",
    Code.UNREACHABLE: "The node does not answer",
    Code.UNAUTHORIZED: "A key is needed",
    Code.FORBIDDEN: "The key does not allow this",
    Code.NOT_FOUND: "Not found",
    Code.CONFLICT: "Impossible in this state",
    Code.RATE_LIMITED: "Too many requests",
    Code.QUEUE_FULL: "The queue is full",
    Code.TIMEOUT: "It took too long",
    Code.REJECTED: "The proof is rejected",
    Code.UNAVAILABLE: "Unavailable for the moment",
    Code.INTERNAL: "An error of the service",
}

#: Longest detail that is sent; messages quote what was sent to us.
_MAX_DETAIL: Final = 1000


class Refusal(Exception):  # noqa: N818 - what the client gets
    """A request is answered with this problem.

    Args:
        code, detail, hint, place, check, retry_after: of the `Problem`.
        status: of the answer; that of the code unless given.
        headers: further ones of the answer.
    """

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        hint: str = "",
        place: Place | None = None,
        check: str | None = None,
        retry_after: float | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(
            title=_TITLES[code],
            status=status or STATUS[code],
            code=code,
            detail=detail[:_MAX_DETAIL],
            hint=hint,
            place=place,
            check=check,
            retry_after=retry_after,
        )
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, problem: Problem) -> Refusal:
        """The refusal that is this problem, of another process for example."""
        refusal = cls(problem.code, problem.detail)
        refusal.problem = problem
        return refusal


def refusal_of(error: BaseException) -> Refusal:
    """The refusal that an error of the executor, the prover, the verifier or the queue is.

    What is none of these is an error of the service: its message is not told, since it may hold anything.
    """
    match error:
        case Refusal():
            return error
        case ImpossibleTransition():
            return Refusal(Code.CONFLICT, str(error))
        case ValidationError():
            return invalid_fields(error.errors(include_url=False, include_context=False, include_input=False))
        case _:
            problem = problem_of(error)
    if problem.code is Code.INTERNAL:
        return Refusal(
            Code.INTERNAL,
            f"an internal error, {type(error).__name__}",
            hint="the service's log tells more under this request's id",
        )
    return Refusal.of(problem)


def invalid_fields(errors: Any) -> Refusal:
    """The refusal of a request whose parts are not as documented; the errors are pydantic's."""
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Refusal(
        Code.MALFORMED, f"{where}: {first['msg']}{more}", hint="/docs describes what is expected", status=422
    )
