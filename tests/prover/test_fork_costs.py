"""What workloads cost under each fork: exact, as the budget and the document have it."""

from __future__ import annotations

import json

import pytest

from executor.forks import CIRCUIT_FORKS
from scripts.benchmarks.forks import BEGIN, BUDGET, DOCUMENT, FINISH, WORKLOADS, figures, markdown

FOUND = json.loads(BUDGET.read_text())


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == "transfer" else pytest.mark.deep) for n in WORKLOADS]
)
def test_a_workload_costs_what_the_budget_says(name: str) -> None:
    """A change of a cost must change the budget file knowingly: `python -m scripts.benchmarks.forks --write`."""
    assert figures(name) == FOUND[name]


def test_all_circuits_have_a_budget() -> None:
    assert {name: list(forks) for name, forks in FOUND.items()} == {name: list(CIRCUIT_FORKS) for name in WORKLOADS}


def test_the_document_has_the_budget() -> None:
    assert DOCUMENT.read_text().partition(BEGIN)[2].partition(FINISH)[0].strip() == markdown(FOUND)
