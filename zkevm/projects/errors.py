"""What is wrong with a project, and where."""

from __future__ import annotations

from pathlib import Path

from zkevm.errors import UsageError


class ProjectError(UsageError):
    """A project makes no batch.

    The message reads ``FILE:LINE: <what is wrong>``.

    Args:
        reason: what is wrong, in one line.
        file: where, if that is known.
        line: in the file, from 1, if that is known.
        hint: what can be done, or an empty string.
    """

    def __init__(self, reason: str, file: Path | None = None, line: int | None = None, hint: str = "") -> None:
        self.reason = reason
        self.file = file
        self.line = line
        place = "" if file is None else f"{file}:{line}: " if line else f"{file}: "
        super().__init__(place + reason, hint)
