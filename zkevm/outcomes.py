"""How commands end: exit statuses, and one readable line for every error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from verifier.errors import UnusableInput
from zkevm.console import Output, fail
from zkevm.errors import UsageError

#: Exit status besides 0.
REJECTED = 1
UNUSABLE = 2
INTERNAL = 3
INTERRUPTED = 130

#: Set it to see where an internal error came from.
TRACEBACK_VARIABLE = "ZKEVM_TRACEBACK"

#: An exit status, and what `fail` is told.
Description = tuple[int, dict[str, Any]]


def describe(error: Exception) -> Description:
    """The exit status for an error of a command about proof files, and what is said about it."""
    kind = type(error).__name__
    message = str(error) or kind
    if isinstance(error, UsageError):
        return UNUSABLE, {"kind": kind, "message": message, "hint": error.hint}
    if isinstance(error, UnusableInput):
        return UNUSABLE, {"kind": kind, "message": message}
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return UNUSABLE, {"kind": kind, "message": f"{where}{error.strerror or message}"}
    return INTERNAL, {
        "kind": kind,
        "message": f"internal error: {kind}: {message}",
        "hint": f"set {TRACEBACK_VARIABLE}=1 to see where it came from",
    }


@contextmanager
def errors(output: Output, described: Callable[[Exception], Description] = describe) -> Iterator[None]:
    """Turn every error into one readable line and an exit status."""
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        fail(output, "interrupted", kind="Interrupted", hint="finished segments are kept")
        _leave_the_engine(INTERRUPTED)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing more must be written to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(UNUSABLE) from None
    except Exception as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        status, report = described(error)
        fail(output, **report)
        raise typer.Exit(status) from None


def _leave_the_engine(status: int) -> None:
    """Exit now if the engine is at work: it could not be waited for, and an interpreter that ends would abort it."""
    local = sys.modules.get("prover.local")
    if local is not None and local.is_proving():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
