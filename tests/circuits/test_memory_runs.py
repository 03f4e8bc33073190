"""Words of memory whose rows are in several parts of a run: no word has two histories, whatever the parts are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
import pytest

from circuits.air.checker import check_table
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import TraceView
from circuits.batch.execution import Execution
from circuits.memory.memory_tables import Memory, MemoryColumns, _divide, fill_memory, fill_memory_parts, next_word
from tests.circuits.lying import places
from tests.circuits.memory_family import WORD, run

TABLE = Memory()
#: Words 0, 2 and 4 of a frame, then of one without memory, then words 0 to 3 of a third one.
PROGRAMS = (f"{WORD} 0 mstore 5 64 mstore 0 mload 6 128 mstore 64 mload", "1 2 add", f"{WORD} 0 mstore 7 96 mstore")


@pytest.fixture(scope="module")
def execution() -> Execution:
    return run(*PROGRAMS)


def rows(matrix: Matrix) -> TraceView:
    return TraceView(MemoryColumns, matrix)


def listed(matrix: Matrix | None) -> list[list[int]]:
    """The rows of a table but for the flag that ends them."""
    if matrix is None:
        return []
    names = MemoryColumns.names()
    own = matrix[rows(matrix).listed == 1]
    return np.delete(own, names.index("listed"), axis=1).tolist()


def objections(matrix: Matrix, first: tuple[int, int], following: tuple[int, int] | None) -> set[str]:
    """`following`: the word that the next part begins with, if there is one."""
    return places(check_table(TABLE, matrix, [*first, *((0, 0, 0) if following is None else (1, *following))]))


def test_all_words_are_in_one_part_each(execution: Execution) -> None:
    whole = fill_memory(execution)
    assert whole is not None
    assert objections(whole, (1, 0), None) == objections(whole, (1, 0), (4, 0)) == set()
    frames = rows(whole).frame[rows(whole).listed == 1].tolist()
    assert frames == [1] * 5 + [2] + [3] * 4
    times = np.unique(execution.time)
    divided = set()
    for cuts in combinations_with_replacement(times[:: max(1, len(times) // 12)].tolist(), 2):
        parts = fill_memory_parts(execution, cuts)
        assert [row for part in parts for row in listed(part)] == listed(whole)
        first = (1, 0)
        for number, part in enumerate(parts):
            if part is not None:
                assert objections(part, first, None) == set()
                if number < len(cuts):
                    assert objections(part, first, next_word(part)) == set()
                    first = next_word(part)
        divided.add(tuple(part is not None for part in parts))
    assert len(divided) > 3


def test_rows_are_near_to_accesses(execution: Execution) -> None:
    """The third program's words are all its own."""
    begin = int(execution.time[execution.frame == 3][0])
    first, second = fill_memory_parts(execution, [begin])
    assert first is not None
    assert second is not None
    assert (next_word(first), next_word(second)) == ((2, 0), (4, 0))


@pytest.mark.parametrize("seed", range(40))
def test_divisions_take_the_least_messages(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts, words = int(rng.integers(1, 5)), int(rng.integers(1, 7))
    both = np.sort(rng.integers(0, parts, (2, words)), axis=0)

    def messages(ends: Sequence[int]) -> int:
        own = np.searchsorted(ends, np.arange(words), side="right")
        return int((own != both[0]).sum() + (own != both[1]).sum())

    found = _divide(both[0], both[1], parts)
    assert found == sorted(found)
    assert (len(found), found[-1]) == (parts, words)
    every = combinations_with_replacement(range(words + 1), parts - 1)
    assert messages(found) == min(messages([*ends, words]) for ends in every)


# Lies


#: The first word of the second part, and the one behind its last one.
FIRST, NEXT = (2, 0), (4, 0)


@pytest.fixture
def second(execution: Execution) -> Matrix:
    """The one row of frame 2, and words 0 to 3 of frame 3."""
    matrix = fill_memory_parts(execution, [int(execution.time[execution.frame == 3][0])])[1]
    assert matrix is not None
    assert [row[1:3] for row in listed(matrix)] == [[2, 0], [3, 0], [3, 1], [3, 2], [3, 3]]
    assert objections(matrix, FIRST, NEXT) == set()
    return matrix


def test_a_part_that_does_not_begin_where_it_must(second: Matrix) -> None:
    """Words once more, or words that are left out."""
    assert objections(second, (3, 0), NEXT) == {"the first word: frame"}
    assert objections(second, (1, 0), NEXT) == {"the first word: frame"}
    assert objections(second, (2, 1), NEXT) == {"the first word: index"}
    assert objections(second, (1, 4), NEXT) == {"the first word: frame", "the first word: index"}


def test_a_part_that_goes_back(second: Matrix) -> None:
    rows(second).frame[2:] -= 1
    assert objections(second, FIRST, (3, 0)) == {
        "the frame's id stays or steps by 1",
        "the index steps by 1, and begins anew with a frame",
    }


@pytest.mark.parametrize(
    ("following", "objects"),
    [
        ((3, 0), {"frame"}),
        ((3, 3), {"frame", "index"}),
        ((5, 0), {"frame"}),
        ((4, 1), {"index"}),
        ((0, 0), {"frame"}),
        ((3, 4), {"frame", "index"}),
    ],
)
def test_another_next_word(second: Matrix, following: tuple[int, int], objects: set[str]) -> None:
    assert objections(second, FIRST, following) == {f"the next word: {name}" for name in objects}


def test_the_next_word_of_a_frame_that_goes_on(second: Matrix) -> None:
    """Padding may begin with any word that may follow: the next part begins with just that."""
    rows(second).frame[5:] = 3
    rows(second).index[5:] = 4 + np.arange(len(second) - 5)
    assert objections(second, FIRST, (3, 4)) == set()
    assert objections(second, FIRST, NEXT) == {"the next word: frame", "the next word: index"}


def test_words_behind_the_last_one(second: Matrix) -> None:
    """The list ends early, for the next part to begin there."""
    rows(second).listed[3] = 0
    assert "padding is at the end" in objections(second, FIRST, (3, 2))
    rows(second).listed[4:] = 0
    assert objections(second, FIRST, (3, 2)) == {"padding is not accessed"}
    rows(second).real[3:] = 0
    assert objections(second, FIRST, (3, 2)) == set()


def test_a_table_that_lists_nothing(second: Matrix) -> None:
    """It would say nothing of the next word."""
    rows(second).real[:] = 0
    rows(second).listed[:] = 0
    assert objections(second, FIRST, (1, 0)) == {"the first word is listed"}


def test_a_table_without_padding(second: Matrix) -> None:
    """Neither would this."""
    full = second[:4].copy()
    assert objections(full, FIRST, None) == set()
    assert objections(full, FIRST, (1, 0)) == {"there is padding where a part goes on"}


def test_words_that_nothing_accesses_may_be_listed(second: Matrix) -> None:
    """The next part begins behind these."""
    rows(second).listed[:-1] = 1
    assert objections(second, FIRST, next_word(second)) == set()
    assert objections(second, FIRST, NEXT) == {"the next word: frame"}


@pytest.mark.parametrize("values", [(*FIRST, 1, *NEXT), (*FIRST, 0, 0, 0)])
def test_every_public_value_counts(second: Matrix, values: tuple[int, ...]) -> None:
    assert places(check_table(TABLE, second, values)) == set()
    for place in range(len(values)):
        for change in (1, -1):
            told = [(value + change * (k == place)) % MODULUS for k, value in enumerate(values)]
            assert places(check_table(TABLE, second, told)) != set(), (place, change)
