"""Errors of the prover."""

from executor.errors import ZkevmError, describe_place


class ProverError(ZkevmError):
    """Proving is impossible or failed.

    Args:
        message: what went wrong, in one line.
        hint: what the user can do about it, or an empty string.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class CostError(ProverError):
    """A transaction, or the whole run, needs more than the limits given allow.

    The message reads ``<what> in block B, transaction T`` (indices from 0, parts that are None left out).

    Args:
        what: what needs more.
        hint: which limit to change.
        block, transaction: number in the batch, and in the block.
    """

    def __init__(self, what: str, hint: str = "", block: int | None = None, transaction: int | None = None) -> None:
        place = describe_place(block, transaction)
        super().__init__(f"{what} in {place}" if place else what, hint)
        self.what = what
        self.block = block
        self.transaction = transaction

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.what, self.hint, self.block, self.transaction)


class ClusterError(ProverError):
    """The workers cannot be reached, or were lost more often than is tolerated."""
