"""What whole workloads cost: exact, and bounded by a budget."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuits.batch.execution import Batch, Execution
from circuits.instructions.step import Step
from circuits.segment import fill, segment_circuit
from executor.execute import execute
from executor.forks import CANCUN
from executor.inputs import read_batch
from executor.provable import check_provable
from prover.costs import Costs, costs_of

BUDGET = json.loads((Path(__file__).parent / "cost_budget.json").read_text())
EXAMPLES = Path(__file__).parents[2] / "examples"


def costs(name: str) -> Costs:
    batch = Batch.of(check_provable(execute(read_batch(EXAMPLES / f"{name}.json"))))
    return costs_of(fill(Execution(batch, 0, len(batch.operations))))


#: Looked at in the fast tests.
FAST = ("erc20", "transfer")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.deep) for n in BUDGET])
def test_a_workload_stays_within_its_budget(name: str) -> None:
    """A change that costs more, in all or per step of the instruction tables, must change the budget file knowingly."""
    found, budget = costs(name), BUDGET[name]
    cells, interactions = found.per_step()
    assert found.cells <= budget["cells"]
    assert found.messages <= budget["interactions"]
    assert cells <= budget["cells_per_step"]
    assert interactions <= budget["interactions_per_step"]


def test_costs_by_instruction_are_those_of_the_instruction_tables() -> None:
    found = costs("erc20-yul")
    own = [table for table in found.tables if table.is_instruction]
    assert {table.name for table in own} <= {
        t.name for t in segment_circuit(CANCUN).tables if issubclass(t.layout, Step)
    }
    assert sum(table.rows for table in own) == found.steps == sum(i.steps for i in found.instructions)
    assert sum(i.cells for i in found.instructions) == pytest.approx(sum(table.cells for table in own))
    assert sum(i.messages for i in found.instructions) == pytest.approx(sum(table.messages for table in own))
