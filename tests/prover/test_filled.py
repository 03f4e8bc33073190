"""Segments that planning has filled."""

from pathlib import Path

import numpy as np
import pytest

import prover.filled
import prover.local
import prover.segment
from circuits.batch.execution import Batch, Execution
from circuits.segment import FilledSegment, fill
from prover.driver import prove_segments
from prover.filled import FilledSegments
from prover.planner import Budget, plan_batch
from prover.segment import segment_jobs
from prover.store import SegmentStore
from prover.workers import Workers
from scripts.batches.tokens import tokens


@pytest.fixture(scope="module")
def batch() -> Batch:
    return tokens(8)


def test_what_is_kept_is_taken_once(batch: Batch) -> None:
    filled = FilledSegments()
    assert filled.take(0, 3) is None
    heights = filled.heights(batch, 0, 3)
    kept = filled.take(0, 3)
    assert kept is not None
    assert kept.heights == heights
    again = fill(Execution(batch, 0, 3))
    assert kept.public_lists == again.public_lists
    for own, other in zip(kept.traces, again.traces, strict=True):
        assert (own is None) == (other is None)
        assert own is None or np.array_equal(own, other)
    assert filled.take(0, 3) is None


def test_the_last_ones_are_kept_as_far_as_there_is_room(batch: Batch) -> None:
    sizes = {(first, first + 2): fill(Execution(batch, first, first + 2)).nbytes for first in (0, 2, 4)}
    filled = FilledSegments(sum(sizes.values()) - 1)
    for first, end in sizes:
        filled.heights(batch, first, end)
    assert filled.take(0, 2) is None
    assert filled.take(2, 4) is not None
    assert filled.take(4, 6) is not None
    nothing = FilledSegments(0)
    nothing.heights(batch, 0, 2)
    assert nothing.take(0, 2) is None


def test_planned_segments_are_not_filled_again(batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fillings: list[tuple[int, int]] = []

    def filling(execution: Execution) -> FilledSegment:
        fillings.append((execution.first, execution.end))
        return fill(execution)

    monkeypatch.setattr(prover.local, "ray_is_in_use", lambda: False)
    monkeypatch.setattr(prover.filled, "fill", filling)
    monkeypatch.setattr(prover.segment, "fill", filling)
    filled = FilledSegments()
    jobs = segment_jobs(batch, plan_batch(batch, Budget(operations=4), filled))
    assert len(jobs) == 2
    planned = list(fillings)
    prove_segments(batch, jobs, Workers(count=1), SegmentStore(tmp_path / "with"), filled=filled)
    assert fillings == planned
    # Nobody knows them any longer.
    prove_segments(batch, jobs, Workers(count=1), SegmentStore(tmp_path / "without"), filled=filled)
    assert fillings == [*planned, *((job.plan.first, job.plan.end) for job in jobs)]
