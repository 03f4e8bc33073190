"""Bytes of calldata and code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits.air.layout import TraceView
from circuits.batch.execution import Execution
from circuits.frames import buffer, calldata, code
from circuits.frames.buffer import BehindColumns, BytesColumns, WordsColumns, fill_behind, fill_bytes, fill_words
from circuits.frames.buses import BUFFER_BYTES
from circuits.frames.calldata import CALLDATA_KIND, bytes_to_words
from circuits.frames.code import CODE_KIND
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, fill_family, mutate_family
from tests.circuits.lying import objections, row_where
from tests.circuits.worlds import asking

#: The first one is not empty: a row of zeros states nothing true.
SIZES = (100, 0, 1, 31, 32, 33, 68)
CODE = assemble("1 2 add 0x" + "5a" * 32 + " pop 0x" + "a5" * 32 + " pop pop")

#: Offsets and sizes: aligned, behind a selector, odd, across words, up to, across and far behind the end.
READS = [
    (0, 32),
    (4, 32),
    (36, 32),
    (32, 32),
    (2, 32),
    (5, 32),
    (31, 32),
    (30, 32),
    (68, 32),
    (96, 32),
    (0, 1),
    (0, 4),
    (3, 1),
    (31, 1),
    (31, 2),
    (32, 4),
    (15, 17),
    (15, 18),
    (64, 4),
    (67, 1),
    (67, 2),
    (99, 7),
    (100, 1),
    (1 << 24, 32),
    ((1 << 25) - 1, 32),
]


def data_of(size: int) -> bytes:
    """Contents without zeros, of which no two have a word in common."""
    return bytes(1 + (7 * i + size) % 255 for i in range(size))


@pytest.fixture(scope="module")
def execution() -> Execution:
    building = Builder().alloc(CONTRACT, code="0x" + CODE.hex())
    building.block(*(call_contract(building, gas=100_000, data="0x" + data_of(size).hex()) for size in SIZES))
    return execution_of(building.execute())


def _word(content: bytes, offset: int, size: int) -> list[int]:
    part = content[offset : offset + size].ljust(32, b"\0")
    word: list[int] = bytes_to_words(np.frombuffer(part, dtype=np.uint8)[None])[0].tolist()
    return word


def _messages(execution: Execution) -> list[list[int]]:
    buffers = [(CALLDATA_KIND, int(i), data_of(size)) for i, size in zip(execution.calldata_ids, SIZES, strict=True)]
    buffers.append((CODE_KIND, int(execution.code_ids[0]), CODE))
    return [
        [kind, number, offset, size, *_word(content, offset, size)]
        for kind, number, content in buffers
        for offset, size in READS
    ]


def _family(execution: Execution, messages: list[list[int]] | None = None) -> list[Any]:
    asked = asking(BUFFER_BYTES, _messages(execution) if messages is None else messages)
    return [asked, *buffer.COMPONENTS, *calldata.COMPONENTS, *code.COMPONENTS]


def test_every_read_is_answered(execution: Execution) -> None:
    assert check_family(_family(execution), execution) == []
    assert objections(_family(execution), execution, {}) == set()


def test_a_query_made_twice_takes_one_row(execution: Execution) -> None:
    messages = [m for m in _messages(execution) if m[0] == CODE_KIND]
    family = _family(execution, messages * 3)
    assert check_family(family, execution) == []
    traces = fill_family(family, execution)[1:4]
    layouts = BehindColumns, WordsColumns, BytesColumns
    views = [TraceView(layout, trace) for layout, trace in zip(layouts, traces, strict=True)]  # type: ignore[arg-type]
    assert sum(int(rows.real.sum()) for rows in views) == len(messages)
    assert all((rows.multiplicity == 3 * rows.real).all() for rows in views)


def test_tables_without_queries_are_absent(execution: Execution) -> None:
    nothing = np.zeros((0, BUFFER_BYTES.width), dtype=np.uint32)
    assert [fill(execution, nothing) for fill in (fill_behind, fill_words, fill_bytes)] == [None] * 3


def test_no_mutation_survives(execution: Execution) -> None:
    report = mutate_family(_family(execution)[:4], execution, rows_per_table=8)
    assert report.survivors == [], report


@pytest.mark.parametrize(
    "change",
    [
        {2: 1 << 25},  # offset
        {3: 0},  # size
        {3: 33},
        {1: 999},  # id
        {0: 2},  # kind
        {4: 1},  # word
    ],
)
def test_false_queries_have_no_answer(execution: Execution, change: dict[int, int]) -> None:
    message = _messages(execution)[0]
    for place, value in change.items():
        message[place] = value
    assert {str(getattr(f, "bus", None)) for f in check_family(_family(execution, [message]), execution)} == {
        "buffer_bytes"
    }


def _across(rows: Any) -> int:
    return row_where((rows.behind == 0) & (rows.second != 0).any(axis=1))


def _zero_second(rows: Any) -> None:
    """The second word is there but taken for zeros: as if it lay behind the end of a smaller buffer."""
    row = _across(rows)
    rows.second[row] = 0
    rows.behind[row] = 1


def _at_the_end(rows: Any) -> None:
    row = row_where(rows.behind == 1)
    rows.behind[row] = 0
    rows.buffer_size[row] = 0


def _bytes_from_behind(rows: Any) -> None:
    """A word from behind the end."""
    row = row_where(rows.behind == 1)
    rows.second[row, -1] = 1


def _shifted_word(rows: Any) -> None:
    """The bytes from two places further."""
    row = _across(rows)
    rows.pair[row] = np.roll(rows.pair[row], 1)


def _other_word(rows: Any) -> None:
    rows.index[_across(rows)] += 1


def _two_pairs(rows: Any) -> None:
    row = _across(rows)
    rows.pair[row, :2] = 1


@pytest.mark.parametrize("table", ["buffer_words", "buffer_bytes"])
@pytest.mark.parametrize(
    ("lie", "expected"),
    [
        (_zero_second, "buffer_size"),
        (_at_the_end, "buffer"),
        (_bytes_from_behind, "zeros for the second word: limb 15"),
        (_shifted_word, "offset"),
        (_other_word, "buffer"),
        (_two_pairs, "pair: exactly one flag"),
    ],
)
def test_lies_about_words(execution: Execution, table: str, lie: Any, expected: str) -> None:
    found = objections(_family(execution), execution, {table: lie})
    assert expected in found or (expected == "offset" and "shift" in found)


def _too_many(rows: Any) -> None:
    """A byte more than asked for is given."""
    row = row_where((rows.size < 32) & (rows.size > 1))
    rows.wanted[row, int(rows.size[row])] = 1


def _falsely_inside(rows: Any) -> None:
    """Bytes of the second word are zeros because they are said not to be needed."""
    row = row_where((rows.inside == 0) & (rows.behind == 0) & (rows.real == 1))
    rows.inside[row] = 1
    rows.second[row] = 0


def _falsely_outside(rows: Any) -> None:
    """A second word is said to be needed, and not to be there: true, but no byte of it is asked for."""
    row = row_where((rows.inside == 1) & (rows.real == 1))
    rows.inside[row], rows.behind[row] = 0, 1
    rows.buffer_size[row] = 32 * (int(rows.index[row]) + 1)


def _with_gap(rows: Any) -> None:
    row = row_where(rows.size == 2)
    rows.wanted[row, 1:3] = 0, 1


def _moved_bytes(rows: Any) -> None:
    """Bytes that are none, with the right sum."""
    row = row_where((rows.bytes[:, 0, 0] > 0) & (rows.real == 1))
    rows.bytes[row, 0, 0] -= 1
    rows.bytes[row, 0, 1] += 256


@pytest.mark.parametrize(
    ("lie", "expected"),
    [
        (_too_many, "size"),
        (_falsely_inside, "range16"),
        (_falsely_outside, "range16"),
        (_with_gap, "wanted bytes are the first ones: 2"),
        (_moved_bytes, "bitwise_bytes"),
    ],
)
def test_lies_about_bytes(execution: Execution, lie: Any, expected: str) -> None:
    assert expected in objections(_family(execution), execution, {"buffer_bytes": lie})


def _too_early(rows: Any) -> None:
    """What stands before the end is said to be behind it."""
    row = row_where((rows.real == 1) & (rows.buffer_size > 0))
    rows.offset[row] = rows.buffer_size[row] - 1
    rows.low[row] = 0xFFFF


def _smaller_buffer(rows: Any) -> None:
    row = row_where((rows.real == 1) & (rows.buffer_size > 0))
    rows.buffer_size[row] -= 1
    rows.offset[row] -= 1


@pytest.mark.parametrize(("lie", "expected"), [(_too_early, "range16"), (_smaller_buffer, "buffer_size")])
def test_lies_about_the_end(execution: Execution, lie: Any, expected: str) -> None:
    assert expected in objections(_family(execution), execution, {"buffer_behind": lie})
