"""Planning of segments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover.errors import CostError
from prover.planner import WORKER_BYTES, Planner, TableSize

TABLES = {"transfer": TableSize(columns=200, interactions=40), "range16": TableSize(columns=2, interactions=1)}
HEIGHTS = (12, 14, 16)


def padded(rows: int) -> int:
    return 1 << max(0, rows - 1).bit_length()


def estimate(first: int, end: int) -> dict[str, int]:
    return {"transfer": padded(end - first), "range16": 1 << 12}


def planner(stacked_heights: tuple[int, ...] = HEIGHTS) -> Planner:
    return Planner(TABLES, estimate, stacked_heights)


@given(transactions=st.integers(0, 3000), budget=st.integers(10_000, 200_000))
def test_segments_cover_every_transaction_once_within_the_budget(transactions: int, budget: int) -> None:
    segments = planner().plan(transactions, budget)
    covered = [number for segment in segments for number in range(segment.first, segment.end)]
    assert covered == list(range(transactions))
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert all(0 < segment.cells <= budget for segment in segments)


def test_a_segment_is_filled_to_the_brim() -> None:
    # 2 * 4096 cells of range16 and 200 for each of 64 padded rows fit; 128 rows do not.
    budget = 2 * 4096 + 200 * 64
    assert [(s.first, s.end) for s in planner().plan(130, budget)] == [(0, 64), (64, 128), (128, 130)]
    assert [(s.first, s.end) for s in planner().plan(130, budget + 200 * 64)] == [(0, 128), (128, 130)]


def test_cells_interactions_and_memory_count_padding() -> None:
    (segment,) = planner().plan(5, 1 << 30)
    assert segment.heights == {"transfer": 8, "range16": 4096}
    assert segment.cells == 8 * 200 + 4096 * 2
    assert segment.interactions == 8 * 40 + 4096
    assert segment.memory == WORKER_BYTES + 32 * segment.cells + 128 * segment.interactions
    assert segment.transactions == 5


def test_no_transactions_need_no_segment() -> None:
    assert planner().plan(0, 1) == []


def test_a_budget_below_one_transaction_is_refused_with_the_number_to_allow() -> None:
    with pytest.raises(CostError, match="8,392 cells, 8,391 are allowed") as error:
        planner().plan(1, 8391)
    assert "8392" in error.value.hint
    assert len(planner().plan(1, 8392)) == 1


def test_the_stacked_height_grows_with_the_segment_and_holds_the_tallest_table() -> None:
    chosen = [planner().segment(0, 0, n).log_stacked_height for n in (1, 1000, 4000, 8000)]
    assert chosen == sorted(chosen)
    assert chosen[0] == 12
    assert planner().segment(0, 0, 5000).log_stacked_height >= 13
    assert planner((12, 13)).segment(0, 0, 5000).log_stacked_height == 13


def test_a_segment_beyond_every_key_is_refused() -> None:
    with pytest.raises(CostError, match="larger than the engine's keys allow"):
        planner((12,)).segment(0, 0, 5000)
