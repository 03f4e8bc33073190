"""The verifier of batch proofs: decides from the proof file, its own checks and its own pinned keys alone."""

from verifier.errors import Rejected, UnusableInput, VerifierError
from verifier.statement import BatchStatement
from verifier.verify import CHECKS, VerificationReport, verify, verify_file

__all__ = [
    "CHECKS",
    "BatchStatement",
    "Rejected",
    "UnusableInput",
    "VerificationReport",
    "VerifierError",
    "verify",
    "verify_file",
]
