"""CALLDATALOAD and CALLDATACOPY of what lies in the memory of the frame that called."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.batch.execution import OUT_OF_MEMORY, PLAIN, Execution
from circuits.batch.frame_data import CALLDATA_MEMORY, FAR, FrameData
from circuits.frames import frames
from circuits.frames.buses import EXEC, MESSAGE
from circuits.instructions import calldata_memory, copies
from circuits.instructions.buses import COPY
from circuits.instructions.calldata_memory import CopyColumns, LoadColumns
from circuits.memory.buses import EXPANSION, MEMORY, MEMORY_BYTES
from tests.circuits.calling import FAMILY, call, pattern, run, undetermined
from tests.circuits.family import check_family, fill_family, mutate_family, open_messages
from tests.circuits.lying import objections, row_where

HUGE = 2**256 - 1
#: Ranges of the caller's memory; what Solidity passes begins 28 bytes behind a multiple of 32.
RANGES = ((0, 100), (28, 68), (5, 1), (31, 31), (64, 32), (33, 33), (3, 0), (0, 224))
OFFSETS = (0, 1, 4, 31, 32, 36, 67, 68, 99, 100, 2**16, FAR - 1, FAR, FAR + 1, 2**32, MODULUS, MODULUS + 4, HUGE)
#: Where to write, where to read, how many bytes: before the end, across it and behind it.
COPIES = (
    (0, 0, 0),
    (HUGE, HUGE, 0),
    (0, 0, 1),
    (5, 4, 33),
    (64, 0, 100),
    (31, 1, 31),
    (32, 0, 32),
    (100, 90, 64),
    (17, 20, 200),
    (3, 60, 40),
    (0, 36, 96),
    (3, FAR - 1, 40),
    (7, FAR, 32),
    (9, 2**255, 65),
    (0, 2**32, 1),
    (0, MODULUS + 4, 3),
    (300, 2, 500),
    (90, 224, 70),
)


def loads(*offsets: int) -> str:
    return " ".join(f"{offset} calldataload pop" for offset in offsets)


def copying(*moves: tuple[int, int, int]) -> str:
    return " ".join(f"{size} {start} {to} calldatacopy" for to, start, size in moves)


def reading(source: str, *ranges: tuple[int, int], **fields: Any) -> Execution:
    """A caller for each range, the kinds of calls in turn."""
    kinds = ("call", "staticcall", "delegatecall", "callcode")
    callers = [f"{pattern(8)} {call(0, *range_, kind=kinds[n % 4])} stop" for n, range_ in enumerate(ranges)]
    return run(callers, source, **fields)


@cache
def execution() -> Execution:
    return reading(f"{loads(*OFFSETS)} {copying(*COPIES)} stop", *RANGES)


@cache
def short() -> Execution:
    """Of each case one."""
    return reading(
        f"{loads(0, 4, 36, 60, 68, HUGE)} {copying((3, 4, 40), (5, 4, 200), (9, 70, 40), (64, 0, 0), (0, 68, 0))} stop",
        (28, 68),
    )


def rows_of(execution: Execution, name: str, layout: Any) -> Any:
    matrix = dict(zip((c.table.name for c in FAMILY), fill_family(FAMILY, execution), strict=True))[name]
    assert matrix is not None
    return TraceView(layout, matrix)


def test_honest() -> None:
    assert not execution().failed.any()
    assert check_family(FAMILY, execution()) == []
    assert objections(FAMILY, execution(), {}) == set()
    for bus in (COPY, MEMORY, MEMORY_BYTES, EXPANSION):
        assert open_messages(FAMILY, execution(), bus) == []
    loads_, copies_ = (
        rows_of(execution(), f"{name}_memory", layout)
        for name, layout in (("calldataload", LoadColumns), ("calldatacopy", CopyColumns))
    )
    assert loads_.real.sum() == len(RANGES) * len(OFFSETS)
    assert copies_.real.sum() == len(RANGES) * len(COPIES)
    for rows, cells in ((loads_, ("behind", "partial")), (copies_, ("behind", "whole", "copies", "pads"))):
        for cell in cells:
            assert 10 < getattr(rows, cell).sum() < rows.real.sum() - 10


def test_states_that_follow_are_those_of_the_trace() -> None:
    names = ("time", "frame", "code", "pc", "stack_size", "gas", "memory_words")
    states = set(zip(*(getattr(execution(), name).tolist() for name in names), strict=True))
    sent = {tuple(m) for m in open_messages(calldata_memory.COMPONENTS, execution(), EXEC)}
    assert sent <= states


def test_what_is_read_is_what_the_trace_says() -> None:
    """Words that are pushed come from the trace; here, what is copied, byte by byte."""
    trace, found = execution().trace, {}
    rows = rows_of(execution(), "copy", copies.CopyColumns)
    for row in np.flatnonzero(rows.real):
        size = 32 if not rows.last[row] else int(rows.left[row])
        word = b"".join(int(x).to_bytes(2, "big") for x in rows.word[row, ::-1])
        step = int(np.searchsorted(execution().time, rows.write_time[row], side="right")) - 1
        for i in range(size):
            found[step, int(rows.to[row]) + i] = word[i]
    wanted = {}
    steps = np.searchsorted(execution().step, trace.memory.step)
    for row in np.flatnonzero(trace.memory.is_write):
        if trace.steps.opcode[trace.memory.step[row]] == 0x37:
            content = trace.bytes_at(trace.memory.after_start[row], trace.memory.size[row])
            wanted |= {(int(steps[row]), int(trace.memory.offset[row]) + i): byte for i, byte in enumerate(content)}
    assert found == wanted


def test_messages_say_where_the_calldata_lies() -> None:
    data = FrameData.of(execution())
    assert data.calldata_kind[1::2].tolist() == [CALLDATA_MEMORY] * len(RANGES)
    messages = open_messages(frames.COMPONENTS, execution(), MESSAGE)
    assert len(messages) == 2 * len(RANGES)
    inner = [message[-9:-5] for message in messages[1::2]]
    assert inner == [(2, 2 * n + 1, start if size else 0, size) for n, (start, size) in enumerate(RANGES)]


@pytest.mark.parametrize("to", [0, 1, 16, 31])
def test_no_word_is_accessed_twice_at_a_time(to: int) -> None:
    """Copies of every length before the end, with zeros behind."""
    moves = [(to, 100 - copied, copied + zeros) for copied in range(1, 100, 3) for zeros in (1, 31, 40, 70)]
    assert objections(FAMILY, reading(f"{copying(*moves)} stop", (0, 100)), {}) == set()


def test_calldata_of_calldata() -> None:
    """A frame passes a part of what it was given, copied to its memory, which lies behind a buffer."""
    middle = f"64 4 7 calldatacopy {call(1, 9, 40)} stop"
    inner = f"{loads(0, 8, 39, 40)} {copying((0, 3, 64))} stop"
    made = run([f"100 0 0 calldatacopy {call(0, 2, 70)} stop"], middle, inner, data="0x" + bytes(range(1, 91)).hex())
    assert FrameData.of(made).calldata_id.tolist() == [0, 1, 2]
    assert objections(FAMILY, made, {}) == set()


def test_without_gas_nothing_is_copied() -> None:
    for gas in (30_000, 150_000):
        made = reading(copying((2**18, 0, 64)), (28, 68), gas=gas)
        failed = made.failed & (made.opcode == 0x37)
        assert failed.sum() == 1
        assert made.route[failed] == PLAIN
        assert objections(FAMILY, made, {}) == set()
        instructions = (*calldata_memory.COMPONENTS, *copies.COPY_COMPONENTS)
        assert open_messages(instructions, made, COPY) == []
        assert mutate_family(calldata_memory.COMPONENTS, made).survivors == []


def test_copies_beyond_the_memory_are_proved_elsewhere() -> None:
    made = reading(copying((2**24, 0, 64)), (28, 68))
    assert made.route[made.opcode == 0x37] == OUT_OF_MEMORY
    assert calldata_memory.fill_calldatacopy_memory(made) is None


def test_no_mutation_survives() -> None:
    family = (*calldata_memory.COMPONENTS, *copies.COPY_COMPONENTS, *frames.COMPONENTS)
    report = mutate_family(family, short(), rows_per_table=12)
    assert report.survivors == [], report


@pytest.mark.deep
def test_rows_are_determined() -> None:
    """Nothing, 32 bytes and none at all, from within, at and behind the end: always one way to say so."""
    copies_ = [(3, at, size) for at in (0, 36, 37, 67, 68, 69, 2**40) for size in (0, 1, 31, 32, 68)]
    made = reading(f"{loads(35, 36, 37, 67, 68, 69)} {copying(*copies_)} stop", (28, 68))
    assert undetermined(made, calldata_memory.COMPONENTS) == []


# Lies. Of the calldata, 68 bytes from 28 on, the caller's memory goes on with bytes that are not 0.


def _load(at: int) -> Callable[[Any], int]:
    return lambda rows: row_where((rows.at == at) & (rows.real == 1))


def _beyond_the_end(rows: Any) -> None:
    """A load across the end reads what the caller has behind it."""
    row = _load(60)(rows)
    rows.partial[row] = 0
    rows.read[row] = 32
    rows.margin.low[row] = (8 - 32) & 0xFFFF
    rows.word[row, :8] = 0x0101


def _beyond_the_end_with_margin(rows: Any) -> None:
    _beyond_the_end(rows)
    rows.margin.low[_load(60)(rows)] = (8 - 32) % MODULUS


def _behind_the_end(rows: Any) -> None:
    """A load from behind the end brings what is not 0."""
    rows.word[_load(68)(rows), 3] = 1


def _behind_is_read(rows: Any) -> None:
    row = _load(68)(rows)
    rows.behind[row] = 0
    rows.partial[row] = 1
    rows.word[row] = 0x0202


def _zeros_within(rows: Any) -> None:
    """A word of the calldata is said to lie behind its end."""
    row = _load(4)(rows)
    rows.behind[row] = 1
    rows.read[row] = 0
    rows.word[row] = 0
    rows.margin.low[row] = (4 - 68) & 0xFFFF


def _cut_off(rows: Any) -> None:
    """A whole word is said to be the last bytes, of which there would be more than 32."""
    row = _load(4)(rows)
    rows.partial[row] = 1
    rows.read[row] = 64
    rows.margin.low[row] = 0


def _shorter(rows: Any) -> None:
    """Of the last bytes only some are read."""
    row = _load(60)(rows)
    rows.read[row] = 4


def _other_frame(rows: Any) -> None:
    """The frame's own memory."""
    rows.caller[:] = rows.frame[0]


def _other_range(rows: Any) -> None:
    rows.calldata_start[_load(0)(rows)] += 2


def _longer(rows: Any) -> None:
    row = _load(60)(rows)
    rows.calldata_size[row] += 100
    rows.partial[row] = 0
    rows.read[row] = 32
    rows.margin.low[row] = 76


def _near(rows: Any) -> None:
    """A huge offset is cut to its lower limbs."""
    row = row_where(rows.offset[:, 15] == 0xFFFF)
    rows.place.near.zero[row], rows.place.near.inverse[row] = 1, 0
    rows.at[row] = int(rows.offset[row, 0]) + (int(rows.place.low[row]) << 16)


@pytest.mark.parametrize(
    ("lie", "expected"),
    [
        (_beyond_the_end, "range16"),
        (_beyond_the_end_with_margin, "range16"),
        (_behind_the_end, "zeros behind the end[3]"),
        (_behind_is_read, "range16"),
        (_zeros_within, "range16"),
        (_cut_off, "range16"),
        (_shorter, "bytes that are read"),
        (_other_frame, "calldata_of"),
        (_other_range, "calldata_of"),
        (_longer, "calldata_of"),
        (_near, "near: value * zero = 0"),
    ],
)
@pytest.mark.parametrize("follows", [False, True])
def test_lies_of_loads(lie: Any, expected: str, *, follows: bool) -> None:
    assert expected in objections(FAMILY, short(), {"calldataload_memory": lie}, follows=follows)


def _copy(size: int) -> Callable[[Any], int]:
    return lambda rows: row_where((rows.size.limbs[:, 0] == size) & (rows.behind == 0) & (rows.real == 1))


def _all_of_it(rows: Any) -> None:
    """What lies behind the calldata is copied as well."""
    row = _copy(200)(rows)
    rows.whole[row], rows.pads[row] = 1, 0
    rows.copied[row] = 200
    rows.zeros.low[row] = 0
    rows.margin.low[row] = (64 - 200) & 0xFFFF


def _a_byte_more(rows: Any) -> None:
    rows.copied[_copy(200)(rows)] += 1


def _all_zeros(rows: Any) -> None:
    """Zeros instead of the calldata."""
    row = _copy(40)(rows)
    rows.behind[row], rows.whole[row] = 1, 0
    rows.copied[row] = 0
    rows.copies[row], rows.pads[row] = 0, 1
    rows.margin.low[row] = (4 - 68) & 0xFFFF


def _zeros_at_the_end(rows: Any) -> None:
    """A copy before the end is said to go across it, by a negative number of zeros."""
    row = _copy(40)(rows)
    rows.whole[row], rows.pads[row] = 0, 1
    rows.copied[row] = 64
    rows.margin.low[row] = 63
    rows.zeros.low[row] = (40 - 64 - 1) & 0xFFFF


def _no_zeros(rows: Any) -> None:
    rows.pads[_copy(200)(rows)] = 0


def _no_calldata(rows: Any) -> None:
    rows.copies[_copy(200)(rows)] = 0


def _nothing(rows: Any) -> None:
    row = _copy(200)(rows)
    rows.size.empty.zero[row], rows.size.empty.inverse[row] = 1, 0


def _other_frame_copied(rows: Any) -> None:
    rows.caller[_copy(40)(rows)] = 2


@pytest.mark.parametrize(
    ("lie", "expected"),
    [
        (_all_of_it, "range16"),
        (_a_byte_more, "bytes that are copied"),
        (_all_zeros, "range16"),
        (_zeros_at_the_end, "range16"),
        (_no_zeros, "zeros are written"),
        (_no_calldata, "bytes of the calldata are copied"),
        (_nothing, "empty: value * zero = 0"),
        (_other_frame_copied, "calldata_of"),
    ],
)
@pytest.mark.parametrize("follows", [False, True])
def test_lies_of_copies(lie: Any, expected: str, *, follows: bool) -> None:
    assert expected in objections(FAMILY, short(), {"calldatacopy_memory": lie}, follows=follows)


def _zeros(rows: Any) -> int:
    return row_where(rows.is_zeros == 1)


def _zeros_that_are_none(rows: Any) -> None:
    rows.word[_zeros(rows), 15] = 7


def _zeros_for_memory(rows: Any) -> None:
    row = row_where(rows.is_memory == 1)
    rows.is_memory[row], rows.is_zeros[row] = 0, 1
    rows.word[row] = 0


def _memory_for_zeros(rows: Any) -> None:
    row = _zeros(rows)
    rows.is_memory[row], rows.is_zeros[row] = 1, 0
    rows.id[row] = 1


def _own_memory(rows: Any) -> None:
    row = row_where(rows.is_memory == 1)
    rows.id[row] = rows.frame[row]


@pytest.mark.parametrize(
    ("lie", "expected"),
    [
        (_zeros_that_are_none, "zeros[15]"),
        (_zeros_for_memory, "copy"),
        (_memory_for_zeros, "copy"),
        (_own_memory, "copy"),
    ],
)
def test_lies_of_moves(lie: Any, expected: str) -> None:
    assert expected in objections(FAMILY, short(), {"copy": lie})


def test_a_buffer_for_memory() -> None:
    """The calldata is said to lie in a buffer."""

    def lie(rows: Any) -> None:
        rows.calldata_kind[1] = 0

    assert {"calldata_of", "message"} <= objections(FAMILY, short(), {"frame": lie})
