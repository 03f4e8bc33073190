"""Small batches of transfers and budgets that cut them into several segments."""

import json
from functools import cache
from pathlib import Path

from executor.batch import batch_from_document
from executor.execute import execute
from executor.transfers import TransferTrace, transfer_trace
from prover.planner import planner_for
from scripts.workloads import transfer_batch


def write_batch(folder: Path, transactions: int) -> Path:
    """Write a batch file of transfers."""
    file = folder / "batch.json"
    file.write_text(json.dumps(transfer_batch(transactions)))
    return file


@cache
def transfers(transactions: int) -> TransferTrace:
    """The transfers of the batch of `write_batch`."""
    return transfer_trace(execute(batch_from_document(transfer_batch(transactions))))


@cache
def small_segment(transactions: int) -> int:
    """A budget of cells that every three transactions of the batch fit into, but not all of them."""
    planner = planner_for(transfers(transactions))
    budget = max(planner.segment(0, first, first + 3).cells for first in range(transactions - 2))
    assert budget < planner.segment(0, 0, transactions).cells
    return budget
