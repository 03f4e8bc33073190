"""How far conformance takes a case: executed, its tables filled and checked, or proved and verified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from circuits.air.checker import Finding, check_circuit
from circuits.air.evaluate import NumpyAlgebra
from circuits.batch.execution import Batch
from executor.case_pool import Verdict
from executor.conformance import Failed, Further, judge_case
from executor.errors import UnsupportedFeature
from executor.execute import ExecutedBatch
from executor.provable import Refusal, check_provable, place_of_transaction, unsupported
from prover.assemble import assemble, check_assembled
from prover.errors import CostError
from prover.planner import Budget, plan_batch
from prover.segment import fill_segment, prove_segment, segment_jobs
from verifier.container import encode_proof
from verifier.errors import Rejected
from verifier.verify import verify

#: Memory of one segment here, as proving it would take: several cases run side by side. Checking takes a third of that.
_BUDGET = Budget(memory=2 << 30)
_CHECK_BUDGET = Budget(memory=12 << 30)

#: Steps of a transaction: to find out that the tables of more do not fit takes more memory than a case may.
MAX_STEPS = 1 << 22


def findings(executed: ExecutedBatch, budget: Budget = _CHECK_BUDGET) -> list[Finding]:
    """What the checker finds in the tables of an executed batch.

    Raises:
        UnsupportedFeature: the batch holds something that cannot be proved yet.
        CostError: an operation takes more than the budget.
    """
    batch = _batch_of(executed)
    jobs = segment_jobs(batch, plan_batch(batch, budget))
    check_assembled(executed, batch, jobs)
    found: list[Finding] = []
    for job in jobs:
        filled = fill_segment(batch, job.plan)
        found += check_circuit(filled.circuit, filled.traces, filled.public_lists, algebra=NumpyAlgebra())
    return found


def check_executed(executed: ExecutedBatch) -> None:
    """Raises `Failed` with the first constraint or message that is violated."""
    with _too_large():
        found = findings(executed)
    if found:
        raise Failed(f"{len(found)} violations, the first one: {found[0]}")


def prove_executed(executed: ExecutedBatch) -> None:
    """Prove and verify a batch; raises `Failed` when the proof is rejected."""
    batch = _batch_of(executed)
    with _too_large():
        jobs = segment_jobs(batch, plan_batch(batch, _BUDGET))
        check_assembled(executed, batch, jobs)
    proofs = [prove_segment(batch, job, threads=1) for job in jobs]
    try:
        verify(encode_proof(assemble(executed, batch, jobs, proofs)))
    except Rejected as error:
        raise Failed(f"the proof is rejected: {error}") from error


def _batch_of(executed: ExecutedBatch) -> Batch:
    trace = check_provable(executed)
    table = trace.transactions
    long = table.end_step.astype(np.int64) - table.first_step > MAX_STEPS
    if long.any():
        place = place_of_transaction(trace, int(np.argmax(long)))
        raise unsupported(trace, Refusal(place, f"a transaction of more than {MAX_STEPS} steps"))
    return Batch.of(trace)


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
