"""Requests for bytes of memory: whole words and parts of them, and tokens made younger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.air.gadgets import TimeLimbs
from circuits.memory import memory_view
from circuits.memory.memory_parts import COMPONENTS
from tests.circuits.family import fill_family, mutate_family
from tests.circuits.memory_family import FAMILY, WORD, objections, put, run

OUTSIDE = ["memory_bytes"]


@pytest.mark.parametrize("first", [0, 16])
def test_all_shifts_and_sizes(first: int) -> None:
    copies = [
        f"{size} 3 {shift} calldatacopy {size} {shift} sha3 pop"
        for shift in range(first, first + 16)
        for size in range(1, 33)
    ]
    execution = run(f"{WORD} 0 mstore {WORD} 32 mstore " + " ".join(copies))
    assert objections(execution, outside=OUTSIDE) == set()
    filled = fill_family(COMPONENTS, execution)[0]
    assert filled is not None
    # Reads and writes of 32 bytes from even offsets are made elsewhere.
    assert int(filled[:, 0].sum()) == 2 * (16 * 32 - 8)


def test_mutations() -> None:
    sizes = ((1, 1), (1, 2), (2, 1), (3, 30), (31, 1), (31, 2), (5, 31), (30, 32), (0, 31), (33, 1), (15, 16))
    copies = " ".join(f"{size} 3 {shift} calldatacopy {size} {shift} sha3 pop" for shift, size in sizes)
    execution = run(f"{WORD} 0 mstore {WORD} 32 mstore {WORD} 64 mstore {copies}")
    report = mutate_family(FAMILY, execution, rows_per_table=16)
    assert report.survivors == [], str(report)


def test_write_that_is_skipped() -> None:
    execution = run(f"{WORD} 5 mstore 0 mload pop")
    # The store's row goes, and with it the tokens of its accesses.

    def skip(rows: Any) -> None:
        for name in ("real", "time", "is_write", "skipped", "begins", "odd", "end", "ends", "spills", "request"):
            getattr(rows, name)[0] = 0
        for name in ("frame", "index", "before", "after", "bytes", "xor", "lost", "lost_xor", "then"):
            getattr(rows, name)[0] = 0

    def load(rows: Any) -> None:
        put(rows, 0, word=np.zeros(16), word_then=rows.time[0] - 1)

    def ends(rows: Any) -> None:
        put(rows, 0, word=np.zeros(16), start=rows.last[0] - 1)
        put(rows, 1, real=0, word=np.zeros(16), start=0, last=0)

    assert objections(execution, memory_parts=skip, load_aligned=load, memory=ends) == {"open memory_bytes"}


def test_write_that_writes_nothing() -> None:
    def lie(rows: Any) -> None:
        for name in ("after", "bytes", "xor"):
            getattr(rows, name)[0] = 0

    def ends(rows: Any) -> None:
        rows.word[:2] = 0

    found = objections(run(f"{WORD} 5 mstore"), memory_parts=lie, memory=ends)
    assert found == {f"request limb {i}" for i in range(16)}


def test_write_that_changes_what_lies_behind() -> None:
    execution = run(f"{WORD} 0 mstore 0x77 4 mstore8")

    def lie(limb: int, byte: int) -> set[str]:
        def parts(rows: Any) -> None:
            # The field begins with limb 2; limb 3 is behind the end.
            rows.bytes[0, limb, byte] += 1
            pair = rows.bytes[0, limb]
            rows.xor[0, limb] = pair[0] ^ pair[1]
            rows.after[0, 0, 15 - 2 - limb] = int(pair[0]) * 256 + int(pair[1])

        def ends(rows: Any) -> None:
            rows.word[0, 15 - 2 - limb] += 1 if byte else 256

        return objections(execution, memory_parts=parts, memory=ends)

    assert lie(0, 1) == {"byte behind the end stays"}
    assert lie(1, 0) == {"field limb 1 behind the end stays"}
    assert lie(0, 0) == {"request limb 0"}


def test_write_that_changes_what_lies_before() -> None:
    execution = run(f"{WORD} 0 mstore 0x77 5 mstore8")

    def parts(rows: Any) -> None:
        rows.bytes[0, 0, 0] += 1
        pair = rows.bytes[0, 0]
        rows.xor[0, 0] = pair[0] ^ pair[1]
        rows.after[0, 0, 13] = int(pair[0]) * 256 + int(pair[1])

    def ends(rows: Any) -> None:
        rows.word[0, 13] += 256

    assert objections(execution, memory_parts=parts, memory=ends) == {"byte before the beginning stays"}


def test_bytes_that_are_none() -> None:
    # The limb stays the same with a larger low byte, and the request differs.
    execution = run(f"{WORD} 0 mstore 1 mload pop")

    def parts(rows: Any) -> None:
        rows.bytes[0, 1] = (int(rows.bytes[0, 1, 0]) - 1, int(rows.bytes[0, 1, 1]) + 256)
        rows.request[0, 15] -= 1
        rows.request[0, 14] += 0

    found = objections(execution, memory_parts=parts)
    assert "bitwise_bytes" in found


def test_next_word_that_is_not_touched() -> None:
    execution = run(f"{WORD} 32 mstore 1 mload pop")

    def parts(rows: Any) -> None:
        put(rows, 0, spills=0)
        rows.before[0, 1] = 0
        rows.after[0, 1] = 0
        rows.then[0, 1] = 0

    assert "range16" in objections(execution, memory_parts=parts)


def test_next_word_touched_without_need() -> None:
    def parts(rows: Any) -> None:
        put(rows, 0, spills=1)
        rows.then[0, 1] = rows.time[0] - 1

    assert "range16" in objections(run("7 32 mstore 0x77 0 mstore8"), memory_parts=parts)


def test_parts_of_words_as_a_word() -> None:
    """A request for 32 bytes from byte 1 on, as if they were a word of its own."""
    execution = run(f"{WORD} 0 mstore 32 0 sha3")
    index = pow(32, -1, MODULUS)

    def words(rows: Any) -> None:
        put(rows, 0, index=index, word=np.zeros(16), then=rows.time[0] - 1)

    def ends(rows: Any) -> None:
        rows.last[0] = rows.start[0] + 1
        rows.word[0] = 0

    found = objections(execution, outside=OUTSIDE, memory_read_words=words, memory=ends)
    assert "open memory" in found


def test_refreshing_into_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that goes around the field arrives at an earlier time."""
    monkeypatch.setattr(memory_view, "MAX_AGE", 1)
    execution = run(f"{WORD} 0 mstore 1 pop 1 pop 0 mload pop")

    def late(rows: Any) -> None:
        new = int(rows.order.before[0]) + (1 << 29)
        TimeLimbs.fill(rows.now, np.array([new]))
        rows.order.low[0] = ((1 << 29) - 1) & 0xFFFF

    def early(rows: Any) -> None:
        new = int(rows.order.before[0]) - 1
        TimeLimbs.fill(rows.now, np.array([new]))
        rows.order.low[0] = (MODULUS - 2) & 0xFFFF

    assert "range16" in objections(execution, memory_refresh=late)
    assert "range16" in objections(execution, memory_refresh=early)
