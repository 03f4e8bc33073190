"""Errors of the command line itself."""

from executor.errors import ZkevmError


class UsageError(ZkevmError):
    """The command cannot do what was asked.

    Args:
        message: why, in one line.
        hint: what can be done instead, or an empty string.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
