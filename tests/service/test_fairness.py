"""The order of jobs, and what runs beside what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from service.fairness import PATIENCE, SECONDS_PER_PRIORITY, Waiting, expected_of_submission, grants, rank

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_a_small_job_overtakes_a_large_one_that_came_first() -> None:
    assert rank(at(10), 5.0, 0, None) < rank(at(0), 3600.0, 0, None)


@given(large=st.floats(1, 1e6), small=st.floats(0, 1e6), later=st.floats(0, 1e7))
def test_nobody_is_overtaken_for_longer_than_it_takes_itself(large: float, small: float, later: float) -> None:
    """Whatever comes later than that by as much as a job takes is behind it: it does not wait for ever."""
    if later > large + 1e-3:
        assert rank(at(later), small, 0, None) > rank(at(0), large, 0, None)


def test_jobs_of_one_size_are_taken_in_their_order() -> None:
    ranks = [rank(at(second), 7.0, 0, None) for second in range(100)]
    assert ranks == sorted(ranks)


def test_priority_is_worth_seniority() -> None:
    assert rank(at(0), 1.0, 0, None) - rank(at(0), 1.0, 3, None) == 3 * SECONDS_PER_PRIORITY


def test_a_deadline_brings_a_job_forward_and_never_back() -> None:
    assert rank(at(0), 100.0, 0, at(150)) < rank(at(0), 100.0, 0, None)
    assert rank(at(0), 100.0, 0, at(1e6)) == rank(at(0), 100.0, 0, None)


def test_larger_batches_are_expected_to_take_longer() -> None:
    sizes = [expected_of_submission(size, 1) for size in (0, 1 << 10, 1 << 20, 1 << 30)]
    assert sizes == sorted(set(sizes))
    assert expected_of_submission(None, 10) > expected_of_submission(None, 1)


def waiting(job: str, rank: float, memory: int, since: float = 0.0) -> Waiting:
    return Waiting(job, rank, memory, since)


def test_memory_goes_to_the_lowest_rank_that_it_is_enough_for() -> None:
    asked = [waiting("small", 2.0, 10), waiting("large", 1.0, 100), waiting("other", 3.0, 10)]
    assert grants(asked, 200, False, 1.0) == ["large", "small", "other"]
    assert grants(asked, 50, False, 1.0) == ["small", "other"]
    assert grants(asked, 15, False, 1.0) == ["small"]


def test_who_has_waited_too_long_is_not_overtaken() -> None:
    asked = [waiting("small", 1.0, 10, since=PATIENCE), waiting("large", 2.0, 100)]
    assert grants(asked, 50, False, PATIENCE - 1) == ["small"]
    assert grants(asked, 50, False, PATIENCE + 1) == []
    assert grants(asked, 100, False, PATIENCE + 1) == ["large"]


def test_alone_a_job_may_take_what_it_needs() -> None:
    assert grants([waiting("huge", 1.0, 1 << 40)], 10, True, 0.0) == ["huge"]
    assert grants([waiting("huge", 1.0, 1 << 40)], 10, False, 0.0) == []


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 100), st.floats(0, 200)), max_size=8),
    st.integers(0, 300),
    st.floats(0, 400),
)
def test_no_more_memory_is_given_than_there_is(jobs: list[tuple[int, int, float]], free: int, moment: float) -> None:
    asked = [waiting(str(number), rank, memory, since) for number, (rank, memory, since) in enumerate(jobs)]
    memory = {each.job: each.memory for each in asked}
    assert sum(memory[job] for job in grants(asked, free, False, moment)) <= free
