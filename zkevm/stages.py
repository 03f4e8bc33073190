"""How far conformance takes a case: executed, its tables filled and checked, or proved and verified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from circuits.air.checker import Finding
from executor.case_pool import Verdict
from executor.conformance import Failed, Further, judge_case
from executor.errors import UnsupportedFeature
from executor.execute import ExecutedBatch
from executor.provable import Refusal, place_of_transaction, unsupported
from prover.assemble import assemble
from prover.errors import CostError
from prover.planner import Budget
from prover.segment import prove_segment, segment_jobs
from verifier.container import encode_proof
from verifier.errors import Rejected
from zkevm.execution import Execution
from zkevm.proof import verify

#: Memory of one segment here, as proving it would take: several cases run side by side. Checking takes a third of that.
_BUDGET = Budget(memory=2 << 30)
_CHECK_BUDGET = Budget(memory=16 << 30)

#: Steps of a transaction: to find out that the tables of more do not fit takes more memory than a case may.
MAX_STEPS = 1 << 22


def findings(executed: ExecutedBatch, budget: Budget = _CHECK_BUDGET) -> list[Finding]:
    """What the checker finds in the tables of an executed batch.

    Raises:
        UnsupportedFeature: the batch holds something that cannot be proved yet.
        CostError: an operation takes more than the budget.
    """
    report = _execution(executed).check(budget)
    return [violation.finding for violation in report.violations]


def check_executed(executed: ExecutedBatch) -> None:
    """Raises `Failed` with the first constraint or message that is violated."""
    with _too_large():
        found = findings(executed)
    if found:
        raise Failed(f"{len(found)} violations, the first one: {found[0]}")


def prove_executed(executed: ExecutedBatch) -> None:
    """Prove and verify a batch; raises `Failed` when the proof is rejected."""
    execution = _execution(executed)
    with _too_large():
        plans = execution.plan(_BUDGET)
    # One after the other, here, with one thread, and kept nowhere: several cases run side by side.
    batch = execution.provable
    jobs = segment_jobs(batch, plans)
    proofs = [prove_segment(batch, job, threads=1) for job in jobs]
    try:
        verify(encode_proof(assemble(executed, batch, jobs, proofs)))
    except Rejected as error:
        raise Failed(f"the proof is rejected: {error}") from error


def _execution(executed: ExecutedBatch) -> Execution:
    """Raises `UnsupportedFeature` for what cannot be proved, or takes too long to find out."""
    execution = Execution(executed)
    trace = execution.provable.trace
    table = trace.transactions
    long = table.end_step.astype(np.int64) - table.first_step > MAX_STEPS
    if long.any():
        place = place_of_transaction(trace, int(np.argmax(long)))
        raise unsupported(trace, Refusal(place, f"a transaction of more than {MAX_STEPS} steps"))
    return execution


@contextmanager
def _too_large() -> Iterator[None]:
    """An operation that takes too large a segment is one that is not supported."""
    try:
        yield
    except CostError as error:
        raise UnsupportedFeature(error.what, error.block, error.transaction) from error


STAGES: Mapping[str, Further | None] = {"execute": None, "check": check_executed, "prove": prove_executed}


#: How long one case may take.
SECONDS_PER_CASE: Mapping[str, float] = {"execute": 300.0, "check": 600.0, "prove": 1200.0}


def judge(name: str, document: Any, stage: str, seconds: float) -> Verdict:
    """Take a case to a stage, and say how it went."""
    return judge_case(name, document, seconds, STAGES[stage])
