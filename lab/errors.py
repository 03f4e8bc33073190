"""Errors of the laboratory."""

from executor.errors import ZkevmError


class LabError(ZkevmError):
    """What was asked cannot be done.

    Args:
        message: why, in one line.
        hint: what can be done instead, or an empty string.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class VariantError(LabError):
    """A variant does not fit the circuit that it is one of, or there is none of that name."""


class RefusedError(LabError):
    """A proof of a variant does not prove what it was asked for."""
