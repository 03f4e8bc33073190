"""Fixtures: a small executed batch of contract code, and a filled segment of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuits.batch.execution import Batch, Execution
from circuits.segment import FilledSegment, fill
from executor.provable import check_provable
from scripts.batches.mixed import mixed_batch

FOLDER = Path(__file__).parent


@pytest.fixture(scope="session")
def batch() -> Batch:
    """Three blocks: beacon roots, tokens, logs, all types of transactions, withdrawals."""
    return Batch.of(check_provable(mixed_batch().execute()))


@pytest.fixture(scope="session")
def small_execution(batch: Batch) -> Execution:
    """The last operations of the first block, the second block and the first operations of the last one."""
    return Execution(batch, 2, 8)


@pytest.fixture(scope="session")
def small_segment(small_execution: Execution) -> FilledSegment:
    """The honest segment of `small_execution`."""
    return fill(small_execution)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mutations of single families are deep tests: `test_mutation.py` has the fast ones, on the whole circuit."""
    for item in items:
        of_family = item.path.parent == FOLDER and item.path.name != "test_mutation.py"
        if of_family and ("mutation" in item.name or item.name.startswith("test_no_cell_is_free")):
            item.add_marker(pytest.mark.deep)
