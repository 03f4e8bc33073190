"""A batch as one segment."""

from __future__ import annotations

from circuits.batch.execution import Batch, Execution
from executor.execute import ExecutedBatch


def execution_of(executed: ExecutedBatch) -> Execution:
    """The whole of an executed batch as one segment."""
    assert executed.trace is not None
    batch = Batch.of(executed.trace)
    return Execution(batch, 0, len(batch.operations))
