"""Planning of segments."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover.errors import CostError
from prover.planner import (
    DEFAULT_SEGMENT_BYTES,
    TOLERANCE,
    WORKER_BYTES,
    Budget,
    Planner,
    TableSize,
    memory_of,
    plan_batch,
)
from scripts.batches.tokens import SMALL, tokens

TABLES = {"transfer": TableSize(columns=200, interactions=40), "range16": TableSize(columns=2, interactions=1)}
HEIGHTS = (12, 14, 16)


def padded(rows: int) -> int:
    return 1 << max(0, rows - 1).bit_length()


def exact(first: int, end: int) -> dict[str, int]:
    return {"transfer": padded(end - first), "range16": 1 << 12}


def memory(operations: int) -> int:
    """Of a segment of so many operations."""
    heights = exact(0, operations)
    return memory_of(
        sum(TABLES[name].columns * height for name, height in heights.items()),
        sum(TABLES[name].interactions * height for name, height in heights.items()),
    )


def planner(stacked_heights: tuple[int, ...] = HEIGHTS) -> Planner:
    return Planner(TABLES, exact, stacked_heights)


def everywhere(operations: int) -> Sequence[int]:
    """A segment may begin at every operation."""
    return range(operations + 1)


@given(
    cuts=st.sets(st.integers(1, 3000), max_size=300), spare=st.integers(0, 4000), limit=st.none() | st.integers(1, 50)
)
def test_segments_cover_every_operation_once_within_the_budget(cuts: set[int], spare: int, limit: int | None) -> None:
    places = [0, *sorted(cuts)]
    longest = max((end - first for first, end in pairwise(places)), default=1)
    budget = Budget(memory(longest + spare), limit)
    segments = planner().plan(places, budget)
    covered = [number for segment in segments for number in range(segment.first, segment.end)]
    assert covered == list(range(places[-1]))
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert {segment.first for segment in segments} <= set(places)
    assert all(segment.memory <= budget.memory for segment in segments)
    for segment in segments:
        # What cannot be cut may have more.
        alone = places[places.index(segment.first) + 1] == segment.end
        assert limit is None or segment.operations <= limit or alone


@pytest.mark.parametrize("rows", [64, 128, 1024])
def test_a_segment_is_filled_as_far_as_the_tolerance_asks(rows: int) -> None:
    """So many rows fit, one more does not; a longer segment that fits has at most an eighth more."""
    plans = planner().plan(everywhere(3 * rows), Budget(memory(rows)))
    for plan in plans:
        is_last = plan.end == 3 * rows
        assert plan.operations <= rows
        assert is_last or rows <= plan.operations * (1 + TOLERANCE) + 1


@pytest.mark.parametrize("rows", [60, 64, 1000])
def test_what_fits_into_one_segment_is_one(rows: int) -> None:
    assert len(planner().plan(everywhere(rows), Budget(memory(rows)))) == 1


def test_a_segment_has_no_more_operations_than_allowed() -> None:
    plan = planner().plan(everywhere(8), Budget(operations=3))
    assert [(s.first, s.end) for s in plan] == [(0, 3), (3, 6), (6, 8)]
    # Withdrawals follow the operation before them.
    plan = planner().plan([0, 1, 2, 7, 8], Budget(operations=3))
    assert [(s.first, s.end) for s in plan] == [(0, 2), (2, 7), (7, 8)]


def test_cells_interactions_and_memory_count_padding() -> None:
    (segment,) = planner().plan(everywhere(5))
    assert segment.heights == {"transfer": 8, "range16": 4096}
    assert segment.cells == 8 * 200 + 4096 * 2
    assert segment.interactions == 8 * 40 + 4096
    assert segment.memory == WORKER_BYTES + 32 * segment.cells + 128 * segment.interactions
    assert segment.operations == 5


def test_the_default_budget() -> None:
    assert Budget().memory == DEFAULT_SEGMENT_BYTES > WORKER_BYTES
    assert Budget().operations is None


def test_no_operations_need_no_segment() -> None:
    assert planner().plan([0], Budget(1)) == []


def test_a_budget_below_one_operation_is_refused_with_the_number_to_allow() -> None:
    needed = memory(1)
    with pytest.raises(CostError, match="operations 0 to 0 need a segment of about") as error:
        planner().plan(everywhere(1), Budget(needed - 1))
    assert f"allow at least {(needed >> 20) + 1} with --segment-memory" in error.value.hint
    assert len(planner().plan(everywhere(1), Budget(needed))) == 1
    assert len(planner().plan(everywhere(1), Budget(((needed >> 20) + 1) << 20))) == 1


def test_the_stacked_height_grows_with_the_segment_and_holds_the_tallest_table() -> None:
    chosen = [planner().segment(0, 0, n).log_stacked_height for n in (1, 1000, 4000, 8000)]
    assert chosen == sorted(chosen)
    assert chosen[0] == 12
    assert planner().segment(0, 0, 5000).log_stacked_height >= 13
    assert planner((12, 13)).segment(0, 0, 5000).log_stacked_height == 13


def test_a_segment_beyond_every_key_is_refused() -> None:
    with pytest.raises(CostError, match="larger than the engine's keys allow"):
        planner((12,)).segment(0, 0, 5000)


def test_a_real_batch_is_cut_by_operations_and_by_memory() -> None:
    batch = tokens(8)
    by_operations = plan_batch(batch, SMALL)
    assert [(plan.first, plan.end) for plan in by_operations] == [(0, 3), (3, 6), (6, 8)]
    (whole,) = plan_batch(batch)
    assert whole.operations == 8
    by_memory = plan_batch(batch, Budget(whole.memory - 1))
    assert len(by_memory) >= 2
    assert all(plan.memory < whole.memory for plan in by_memory)
