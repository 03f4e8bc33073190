"""Errors of the laboratory."""

from zkevm.errors import UsageError


class LabError(UsageError):
    """What was asked cannot be done."""


class VariantError(LabError):
    """A variant does not fit the circuit that it is one of, or there is none of that name."""


class RefusedError(LabError):
    """A proof of a variant does not prove what it was asked for."""
