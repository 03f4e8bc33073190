"""What went wrong, for those who have to do something about it."""

from __future__ import annotations

from executor.errors import BatchError, ExecutorError, LimitExceeded, UnsupportedFeature
from executor.inputs import InputError
from prover.errors import ClusterError, CostError, ProverError
from service.models import Code, Place, Problem
from verifier.errors import Rejected, UnusableInput

#: Longest text of a problem: errors may quote what they were given.
_MAX_TEXT = 2000


def problem_of(error: BaseException) -> Problem:
    """The problem that an error is."""
    place, check, hint = None, None, ""
    detail = str(error).strip() or type(error).__name__
    if isinstance(error, UnsupportedFeature):
        title, status, code = "Cannot be proved yet", 422, Code.UNSUPPORTED
        place = Place(block=error.block, transaction=error.transaction, pc=error.pc)
        hint = "leave out the transaction, or put it in a batch of its own"
    elif _is_node_error(error):
        title, status, code = "Node error", 502, Code.UNREACHABLE
    elif isinstance(error, InputError):
        title, status, code = "Not a batch", 422, Code.MALFORMED
    elif isinstance(error, BatchError):
        title, status, code = "Invalid batch", 422, Code.INVALID
        place = Place(block=error.block, transaction=error.transaction)
    elif isinstance(error, CostError):
        title, status, code, hint = "Too large", 422, Code.TOO_LARGE, error.hint
        place = Place(block=error.block, transaction=error.transaction)
    elif isinstance(error, LimitExceeded):
        title, status, code = "Too large", 422, Code.TOO_LARGE
    elif isinstance(error, Rejected):
        title, status, code, check = "Proof rejected", 422, Code.REJECTED, error.check
    elif isinstance(error, UnusableInput):
        title, status, code = "Not a proof", 422, Code.MALFORMED
    elif isinstance(error, ClusterError):
        title, status, code, hint = "Workers lost", 503, Code.UNAVAILABLE, error.hint
    elif isinstance(error, ProverError):
        title, status, code, hint = "Proving failed", 500, Code.INTERNAL, error.hint
    elif isinstance(error, ExecutorError):
        title, status, code = "Execution failed", 500, Code.INTERNAL
    elif is_outside(error):
        title, status, code = "Store or disk cannot be used", 503, Code.UNAVAILABLE
        # Without the path, which is nobody's business who has a job.
        detail = getattr(error, "strerror", None) or detail
    else:
        title, status, code = "Internal error", 500, Code.INTERNAL
        detail = f"{type(error).__name__}: {detail}"
    if place == Place():
        place = None
    detail = detail.partition("\n")[0][:_MAX_TEXT]
    return Problem(title=title, status=status, code=code, detail=detail, hint=hint, place=place, check=check)


def is_final(error: BaseException) -> bool:
    """Whether trying again cannot help: the batch itself is at fault."""
    if _is_node_error(error):
        return False
    return isinstance(error, (BatchError, UnsupportedFeature, CostError, LimitExceeded))


def is_outside(error: BaseException) -> bool:
    """Whether what is around the service is at fault, and no job: a disk that is full, a store that is away."""
    return isinstance(error, OSError)


def _is_node_error(error: BaseException) -> bool:
    """Loading the class would load what speaks HTTP."""
    return any(kind.__name__ == "NodeError" and kind.__module__ == "executor.fetch" for kind in type(error).__mro__)
