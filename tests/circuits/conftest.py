"""Fixtures: small executed batches and filled segments."""

from __future__ import annotations

import pytest

from circuits.segment import FilledSegment, boundaries, fill
from executor.batch import batch_from_document
from executor.execute import execute
from executor.transfers import TransferTrace, transfer_trace
from scripts.workloads import transfer_batch


@pytest.fixture(scope="session")
def trace() -> TransferTrace:
    """The trace of the whole transfer workload."""
    return transfer_trace(execute(batch_from_document(transfer_batch(100))))


@pytest.fixture(scope="session")
def small_trace(trace: TransferTrace) -> TransferTrace:
    """Eleven transactions in the middle of the workload."""
    return trace.slice(33, 44)


@pytest.fixture(scope="session")
def small_segment(trace: TransferTrace, small_trace: TransferTrace) -> FilledSegment:
    """The honest segment of `small_trace`."""
    return fill(small_trace, boundaries(trace, [33])[0])
