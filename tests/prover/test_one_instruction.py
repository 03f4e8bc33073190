"""A transaction may spend all its gas on one instruction: it is divided into as many segments as it takes."""

import json
from pathlib import Path

import pytest

from circuits.batch.execution import Batch
from executor.execute import execute
from executor.inputs import read_batch
from executor.provable import check_provable
from prover.planner import Budget, plan_batch
from prover.prove import prove
from prover.segment import fill_segment, segment_jobs
from scripts.benchmarks.one_instruction import SPENDINGS, batch_of, main
from tests.cutting import objections
from tests.prover.runs import accepted

GAS = 300_000


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in {"exp", "sstore"} else pytest.mark.deep) for name in SPENDINGS]
)
def test_all_gas_is_spent_so(name: str, tmp_path: Path) -> None:
    """Parts of the transaction satisfy all constraints."""
    main([str(tmp_path), name, "--gas", str(GAS)])
    file = tmp_path / f"{name}.json"
    executed = execute(read_batch(file))
    batch = Batch.of(check_provable(executed))
    transactions = batch.trace.transactions
    assert transactions.status.tolist() == [1]
    assert GAS - 40_000 < int(transactions.gas_used[0]) <= GAS
    plans = plan_batch(batch, Budget(steps=-(-len(batch.trace.steps) // 3)))
    assert len(plans) == 3
    assert objections([fill_segment(batch, job.plan) for job in segment_jobs(batch, plans)]) == []


def test_it_is_proved(tmp_path: Path) -> None:
    """264,000 steps in three parts."""
    file = tmp_path / "jumpdest.json"
    file.write_text(json.dumps(batch_of("jumpdest", GAS).document))
    report = prove(file, tmp_path / "out.proof", budget=Budget(steps=90_000))
    assert len(report.plans) == 3
    assert {plan.run.end for plan in report.plans if plan.run is not None} == {1}
    accepted(tmp_path / "out.proof", report, 1)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "nothing"])
    assert not list(tmp_path.iterdir())
