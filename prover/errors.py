"""Errors of the prover."""


class ProverError(Exception):
    """Proving is impossible or failed.

    Args:
        message: what went wrong, in one line.
        hint: what the user can do about it, or an empty string.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class CostError(ProverError):
    """A transaction, or the whole run, needs more than the limits given allow."""


class ClusterError(ProverError):
    """The workers cannot be reached, or were lost more often than is tolerated."""
