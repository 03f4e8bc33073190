"""What the verifier says when it does not accept."""

from executor.errors import ZkevmError


class VerifierError(ZkevmError):
    """Base of every error that leaves the verifier."""


class UnusableInput(VerifierError):  # noqa: N818 - named for what it means to a caller
    """The input is not a proof file this verifier can judge: no such file, another format, another version."""


class Rejected(VerifierError):  # noqa: N818 - a verdict
    """The proof is refused.

    Attributes:
        check: name of the check that failed (one of `verifier.verify.CHECKS`).
        reason: what is wrong, in words.
    """

    def __init__(self, check: str, reason: str) -> None:
        super().__init__(f"{check}: {reason}")
        self.check = check
        self.reason = reason


class Invalid(VerifierError):  # noqa: N818 - a verdict
    """One condition of a check does not hold. `verify` turns it into `Rejected` with the name of the check."""
