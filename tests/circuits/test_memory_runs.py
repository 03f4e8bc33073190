"""Words of memory whose rows are in several parts of a run: no word has two histories, whatever the parts are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import combinations_with_replacement, pairwise

import numpy as np
import pytest

from circuits.air.checker import check_table
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import TraceView
from circuits.batch.execution import Execution
from circuits.memory import memory_view
from circuits.memory.memory_tables import Memory, MemoryColumns, _divide, fill_memory, fill_memory_parts, next_word
from circuits.memory.memory_view import History, MemoryView, Requests
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
        parts = list(fill_memory_parts(execution, cuts))
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


def test_many_equal_words_are_divided_as_one() -> None:
    """As cheaply as one by one, however many there are: a million words that a few calls write in a few parts."""
    sizes = np.random.default_rng(1).integers(1, 200_000, 12)
    first = np.repeat(np.sort(np.random.default_rng(2).integers(0, 300, 12)), sizes)
    found = _divide(first, first, 300)
    assert (len(found), found[-1]) == (300, len(first))
    assert np.array_equal(np.searchsorted(found, np.arange(len(first)), side="right"), first)


def random_program(rng: np.random.Generator, instructions: int) -> str:
    """Reads and writes of words, bytes and ranges, which overlap."""
    made = []
    for kind, value, *numbers in rng.integers(0, [6, 1 << 30, 160, 160, 70], (instructions, 5)).tolist():
        to, source, size = numbers
        made.append(
            [
                f"{value * 0x0123456789ABCDEF0123456789ABCDEF % 2**256} {to} mstore",
                f"{value} {to} mstore8",
                f"{to} mload pop",
                f"{size} {source} {to} mcopy",
                f"{size} {source} sha3 pop",
                f"{value} {to // 32 * 32} mstore",
            ][kind]
        )
    return " ".join(made)


def request_bytes(requests: Requests, number: int) -> bytes:
    return requests.word[number][::-1].astype(">u2").tobytes()[: requests.size[number]]


@pytest.mark.parametrize("seed", range(6))
def test_words_hold_what_was_written_last(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte by byte, in the order of time, whatever the blocks are in which they are found."""
    monkeypatch.setattr(memory_view, "_BLOCK", [1, 2, 7, 1 << 20][seed % 4])
    rng = np.random.default_rng(seed)
    execution = run(*(random_program(rng, 40) for _ in range(3)))
    view = MemoryView.of(execution)
    requests, accesses = view.requests, view.accesses
    frames: dict[int, bytearray] = {}
    last: dict[tuple[int, int], int] = {}
    for number in range(len(requests.time)):
        frame, offset, time = (int(x[number]) for x in (requests.frame, requests.offset, requests.time))
        memory = frames.setdefault(frame, bytearray(512))
        before = bytes(memory)
        content = request_bytes(requests, number)
        if requests.is_write[number]:
            memory[offset : offset + len(content)] = content
        assert memory[offset : offset + len(content)] == content
        touched = [int(n) for n in (requests.first[number], requests.second[number]) if n >= 0]
        assert len(touched) == (offset + len(content) - 1) // 32 - offset // 32 + 1
        for k, access in enumerate(touched):
            index = offset // 32 + k
            own = slice(32 * index, 32 * index + 32)
            assert (accesses.frame[access], accesses.index[access], accesses.time[access]) == (frame, index, time)
            assert accesses.before[access][::-1].astype(">u2").tobytes() == before[own]
            assert accesses.after[access][::-1].astype(">u2").tobytes() == memory[own]
            assert accesses.old[access] == last.get((frame, index), time - 1)
            assert accesses.is_first[access] == ((frame, index) not in last)
            last[frame, index] = time


@pytest.mark.parametrize("seed", range(4))
def test_a_part_sees_the_accesses_of_its_time(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the whole run does, what was written before it included."""
    monkeypatch.setattr(memory_view, "MAX_AGE", 20)
    rng = np.random.default_rng(seed)
    execution = run(*(random_program(rng, 30) for _ in range(3)))
    whole = MemoryView.of(execution)
    assert whole.accesses.refreshed.any()
    cuts = np.sort(rng.choice(execution.time, 4, replace=False)).tolist()
    seen = 0
    for begin, end in pairwise([0, *cuts, 1 << 40]):
        view = MemoryView.of(execution.part(begin, end))
        for ours, theirs in ((view.requests, whole.requests), (view.accesses, whole.accesses)):
            within = (theirs.time >= begin) & (theirs.time < end)
            for item in fields(theirs):
                assert np.array_equal(getattr(ours, item.name), getattr(theirs, item.name)[within]), item.name
        seen += len(view.requests.time)
        assert (whole.accesses.time[view.numbers] == view.accesses.time).all()
    assert seen == len(whole.requests.time)


def test_copies_find_what_was_written_at_their_time() -> None:
    rng = np.random.default_rng(9)
    execution = run(random_program(rng, 60))
    requests = MemoryView.of(execution).requests
    writes = np.flatnonzero(requests.is_write)
    history = History.of(execution)
    assert np.array_equal(history.written(requests.time[writes], requests.offset[writes]), requests.word[writes])
    assert not history.written(requests.time[writes], requests.offset[writes] + 1000).any()
    assert history.written(requests.time[:0], requests.offset[:0]).shape == (0, 16)


# Lies


#: The first word of the second part, and the one behind its last one.
FIRST, NEXT = (2, 0), (4, 0)


@pytest.fixture
def second(execution: Execution) -> Matrix:
    """The one row of frame 2, and words 0 to 3 of frame 3."""
    _, matrix = fill_memory_parts(execution, [int(execution.time[execution.frame == 3][0])])
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
