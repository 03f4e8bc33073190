"""A program that uses the Python API, for mypy in its strictest mode. It runs, too."""

from __future__ import annotations

import sys
from pathlib import Path

import zkevm


def main(batch_file: str, out: Path) -> int:
    """Prove a batch; returns its number of transactions."""
    batch: zkevm.Batch = zkevm.read_batch(batch_file)
    phases: set[str] = set()

    def note(phase: str, done: int, total: int) -> None:
        assert 0 <= done <= total or total == 0
        phases.add(phase)

    progress: zkevm.Progress = note
    execution: zkevm.Execution = zkevm.execute(batch, limits=zkevm.Limits(seconds=600.0), progress=progress)
    summary: zkevm.Summary = execution.summary
    senders: list[str] = execution.trace.hex("transactions", "sender")
    assert len(senders) == summary.transactions
    budget = zkevm.Budget(operations=3)
    plans: tuple[zkevm.SegmentPlan, ...] = execution.plan(budget)
    costs: zkevm.Costs = execution.costs(budget)
    dearest: zkevm.ContractCost = costs.contracts[0]
    cells: int = dearest.cells
    assert cells <= costs.cells
    report: zkevm.CheckReport = execution.check(budget, progress=progress)
    violations: tuple[zkevm.Violation, ...] = report.violations
    assert report.satisfied, str(violations[0])
    segments: list[zkevm.ProvedSegment] = []
    proof: zkevm.ProvedBatch = execution.prove(
        out,
        workers=zkevm.Workers(count=1),
        budget=budget,
        one_proof=False,
        progress=progress,
        on_segment=segments.append,
    )
    assert len(segments) == len(plans) == len(proof.segments)
    read: zkevm.Proof = zkevm.read_proof(out)
    expected: zkevm.Expected = {"chain_id": batch.chain_id, "post_state_root": execution.statement.post_state_root}
    try:
        verified: zkevm.VerificationReport = read.verify("native", expected=expected, progress=progress)
    except zkevm.Rejected as rejected:
        print(rejected.check, rejected.reason)
        return 0
    except zkevm.ZkevmError as error:
        print(error)
        return 0
    statement: zkevm.BatchStatement = verified.statement
    assert statement == execution.statement == proof.statement
    assert {"execute", "check", "prove", "proofs"} <= phases
    return verified.transactions


if __name__ == "__main__":
    print(main(sys.argv[1], Path(sys.argv[2])))
