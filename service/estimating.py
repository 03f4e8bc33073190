"""What proving a batch would take: it is executed and planned, and not proved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.fairness import SECONDS_PER_NODE, expected_of_plan, work_of
from service.models import Costs, Estimate, Options
from service.settings import Settings


def estimate(
    batch: Path, settings: Settings, options: Options | None = None, rate: float | None = None, costs: bool = True
) -> Estimate:
    """The estimate of a batch, made in this process: it takes seconds to minutes.

    Args:
        batch: a file that `executor.inputs` reads.
        settings: of the service that would prove it.
        options: of the job that would be.
        rate: cells that a worker proves in a second (`Queue.rate`), None if that was not measured.
        costs: whether to say where the cells go.

    Raises:
        BatchError: it is malformed or invalid.
    """
    # Loading these takes seconds, and whoever has it made apart does not need them.
    from circuits.batch.execution import Batch
    from executor.errors import UnsupportedFeature
    from executor.execute import execute
    from executor.inputs import read_batch
    from executor.provable import check_provable
    from prover.aggregate import choose
    from prover.assemble import check_assembled, statement_of
    from prover.costs import costs_of, total
    from prover.errors import ProverError
    from prover.filled import FilledSegments
    from prover.planner import Budget, plan_batch
    from prover.segment import fill_segment, segment_jobs
    from prover.tree import largest_node_bytes, plan_tree
    from service.costing import costs_document
    from service.refusals import problem_of

    executed = execute(read_batch(batch))
    statement = statement_of(executed)
    trace = executed.trace
    assert trace is not None, "batches are executed with a trace here"
    known: dict[str, Any] = {
        "blocks": len(executed.blocks),
        "transactions": sum(len(transactions) for _, transactions in executed.blocks),
        "steps": len(trace.steps),
        "gas_used": executed.gas_used,
        "fork": executed.fork,
        "statement": statement.to_dict(),
    }
    document: Costs | None = None
    try:
        planned = Batch.of(check_provable(executed))
        filled = FilledSegments()
        options = options or Options()
        budget = Budget(**settings.budget(options))
        choice = choose(plan_batch(planned, budget, filled), budget, settings.has_one_proof(options))
        plans = choice.plans
        jobs = segment_jobs(planned, plans)
        check_assembled(executed, planned, jobs)
        if costs:
            each = [costs_of(fill_segment(planned, plan, filled)) for plan in plans]
            document = costs_document(total(each), executed, trace)
    except (UnsupportedFeature, ProverError) as error:
        return Estimate(**known, unsupported=problem_of(error))
    cells = sum(plan.cells for plan in plans)
    interactions = sum(plan.interactions for plan in plans)
    nodes = len(plan_tree(len(plans))) if choice.one_proof else 0
    seconds = None
    if rate is not None:
        parallel = max(1, min(len(plans), settings.workers_alone))
        seconds = expected_of_plan(work_of(cells, interactions) / parallel, rate) + SECONDS_PER_NODE * nodes
    return Estimate(
        **known,
        segments=len(plans),
        cells=cells,
        interactions=interactions,
        memory=max(largest_node_bytes(plans[0].keys) if nodes else 0, *(plan.memory for plan in plans), 0),
        seconds=seconds,
        costs=document,
    )
