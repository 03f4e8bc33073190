"""Logs: one JSON object a line on standard error, each with the job that it is about (`job`, null if about none).

Everything that uses Python's `logging` comes out the same way: uvicorn, Alembic, Ray. Fields that are always there:
`time` (UTC), `level`, `logger`, `event`, `job`; and `request` and `key` where a request is answered.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

import structlog
from structlog.typing import Processor

from service.telemetry import current_trace

_LEVELS: Final = {"debug", "info", "warning", "error", "critical"}


def configure(level: str = "info", as_json: bool = True) -> None:
    """Set up all logs of this process.

    Args:
        level: the least that is logged.
        as_json: JSON; otherwise lines for people.

    Raises:
        ValueError: there is no such level.
    """
    if level not in _LEVELS:
        raise ValueError(f"no level {level!r}, only {', '.join(sorted(_LEVELS))}")
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _with_job,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    ending: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [
            # Tracebacks with all variables take seconds, and tell too much.
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.PositionalArgumentsFormatter()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_colors, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"  # the service logs requests itself, with more about them
    # Every migration step and every poll would be a line.
    for name in ("alembic", "httpx", "httpcore", "botocore", "s3fs", "fsspec", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; pass what is to be told as keywords."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Lines that are logged within are about this: `about(job=...)`."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def _with_job(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.setdefault("job", None)
    trace = current_trace()
    if trace is not None:
        event["trace"] = trace
    return event


def _without_colors(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("color_message", None)
    return event
