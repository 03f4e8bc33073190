"""RETURNDATASIZE, RETURNDATACOPY, GAS: what a frame's state says, within and beyond the return data."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.batch.execution import OUT_OF_MEMORY, PLAIN, RETURN_DATA_BOUNDS, STATIC_FAILURE, Execution
from circuits.batch.frame_data import FrameStates, return_data
from circuits.frames import frames
from circuits.frames.buses import EXEC, FRAME_STATE, HALT, RESULT
from circuits.frames.frames import Ending
from circuits.instructions import control_flow, copies
from circuits.instructions import return_data as instructions
from circuits.instructions.buses import COPY, STACK
from circuits.instructions.return_data import BoundsColumns
from circuits.memory.buses import EXPANSION, MEMORY, MEMORY_BYTES
from executor.opcodes import OPCODES
from tests.circuits.calling import FAMILY, call, pattern, run, undetermined
from tests.circuits.family import check_family, fill_family, mutate_family, open_messages
from tests.circuits.lying import objections, row_where

HUGE = 2**256 - 1
#: What the callees return: 70 bytes from 28 on, 33 bytes by REVERT, nothing by REVERT from somewhere, nothing.
LONG, REVERTED, NOTHING, STOPPED, FAILED, NOBODY = range(6)
CALLEES = (
    f"{pattern(4)} 70 28 return",
    f"{pattern(2)} 33 7 revert",
    "0 5 revert",
    "7 0 mstore stop",
    f"{pattern(2)} 3 jump",
)
#: Where to write, where to read, how many bytes of 70.
COPIES = (
    (0, 0, 0),
    (HUGE, 70, 0),
    (0, 0, 70),
    (5, 4, 33),
    (64, 38, 32),
    (31, 69, 1),
    (100, 0, 64),
    (3, 7, 50),
)
#: Offsets and sizes that leave 70 bytes, and such as stand for small numbers modulo the field or cut to some limbs.
BEYOND = (
    (0, 71),
    (70, 1),
    (71, 0),
    (1, 70),
    (2**16, 0),
    (0, 2**16),
    (2**16, 2**16),
    (2**31, 2**31),
    (2**32 - 1, 2**32 - 1),
    (2**32, 0),
    (0, 2**32),
    (MODULUS, 0),
    (0, MODULUS + 1),
    (2**256 - 1, 1),
    (2**255, 2**255),
    (HUGE, HUGE),
)


def copying(*moves: tuple[int, int, int]) -> str:
    return " ".join(f"{size} {start} {to} returndatacopy" for to, start, size in moves)


CALLER = f"""
    returndatasize pop {copying((0, 0, 0))} gas pop
    {call(LONG)} returndatasize pop {copying(*COPIES)} gas pop returndatasize pop
    {call(REVERTED)} returndatasize pop {copying((9, 1, 32))} gas pop
    {call(NOTHING)} returndatasize pop {call(LONG)} {call(STOPPED)} returndatasize pop
    {call(LONG)} {call(FAILED, 5, 40)} returndatasize pop {copying((9, 0, 0))}
    {call(LONG)} 0 0 0 create pop returndatasize pop
    {call(LONG)} 0 0 0 0 99 0x{"b0" + "00" * 19} 50000 call pop returndatasize pop
    {call(LONG)} stop
"""


@cache
def execution() -> Execution:
    return run([CALLER], *CALLEES)


@cache
def short() -> Execution:
    """Two calls with different return data; gas and copies behind each."""
    source = f"{call(LONG)} returndatasize pop {copying((5, 4, 33), (0, 70, 0))} gas pop"
    return run([f"gas pop {source} {call(REVERTED)} returndatasize pop {copying((0, 0, 33))} gas pop stop"], *CALLEES)


@cache
def beyond() -> Execution:
    return run(
        [f"{call(LONG)} {size} {offset} 3 returndatacopy stop" for offset, size in BEYOND], *CALLEES, gas=1_000_000
    )


def rows_of(execution: Execution, name: str, layout: Any) -> Any:
    matrix = dict(zip((c.table.name for c in FAMILY), fill_family(FAMILY, execution), strict=True))[name]
    assert matrix is not None
    return TraceView(layout, matrix)


def test_honest() -> None:
    assert check_family(FAMILY, execution()) == []
    assert objections(FAMILY, execution(), {}) == set()
    for bus in (COPY, MEMORY, MEMORY_BYTES, EXPANSION):
        assert open_messages(FAMILY, execution(), bus) == []


def test_sizes_are_those_of_the_trace() -> None:
    made = execution()
    steps = made.rows(OPCODES["RETURNDATASIZE"])
    results = made.result(steps)[:, 0].tolist()
    assert results == [0, 70, 70, 33, 0, 0, 0, 0, 0]
    assert return_data(made, made.frame[steps], steps).size.tolist() == results
    pushed = {m[-1]: m[2:4] for m in open_messages(instructions.COMPONENTS[:1], made, STACK)}
    assert pushed == {int(t): (r, 0) for t, r in zip(made.time[steps], results, strict=True)}


def test_states_that_follow_are_those_of_the_trace() -> None:
    names = ("time", "frame", "code", "pc", "stack_size", "gas", "memory_words")
    states = set(zip(*(getattr(execution(), name).tolist() for name in names), strict=True))
    assert {tuple(m) for m in open_messages(instructions.COMPONENTS, execution(), EXEC)} <= states


def test_only_calls_change_the_state() -> None:
    """What the family leaves open are tokens that calls take, and those that they send at their own times."""
    made = execution()
    states = FrameStates.of(made)
    calls = np.flatnonzero(np.isin(made.opcode, [OPCODES["CALL"], OPCODES["CREATE"]]))
    assert set(calls) <= set(states.step)
    tokens = open_messages(FAMILY, made, FRAME_STATE)
    assert {m[0] for m in tokens} == {1}
    sent, taken = set(made.time[calls].tolist()), set(states.time_before(calls).tolist())
    # Of a call that follows another one, the family sees neither what it takes nor what that one has sent.
    assert {m[-1] for m in tokens} == sent ^ taken


def test_what_is_copied_is_what_was_returned() -> None:
    made = execution()
    memory = made.trace.memory
    steps = made.rows(OPCODES["RETURNDATACOPY"])
    found = return_data(made, made.frame[steps], steps)
    rows = np.flatnonzero(memory.is_write & (made.trace.steps.opcode[memory.step] == OPCODES["RETURNDATACOPY"]))
    assert len(rows) == len(COPIES) - 2 + 1
    for row in rows:
        at = int(np.flatnonzero(made.step[steps] == memory.step[row])[0])
        start = int(found.place[at]) + int(made.operand(steps[at : at + 1], 1)[0, 0])
        written = made.trace.bytes_at(memory.after_start[row], memory.size[row])
        assert written == made.trace.bytes_at(start, memory.size[row])
        assert any(written)


def test_frames_return_ranges_of_their_memory() -> None:
    made = short()
    ends = {m[0]: m for m in open_messages(FAMILY, made, RESULT)}
    assert ends[2][1] == 1
    assert ends[2][-3:-1] == (28, 70)
    assert ends[3][1] == 0
    assert ends[3][-3:-1] == (7, 33)
    assert open_messages(FAMILY, made, HALT) == []


def test_beyond() -> None:
    made = beyond()
    copying_ = made.opcode == OPCODES["RETURNDATACOPY"]
    assert (made.route[copying_] == RETURN_DATA_BOUNDS).all()
    assert made.failed[copying_].all()
    assert objections(FAMILY, made, {}) == set()
    halts = open_messages(instructions.COMPONENTS, made, HALT)
    assert [m[1:5] for m in halts] == [(Ending.HALTED, 0, 0, 0)] * len(BEYOND)
    rows = rows_of(made, "return_data_bounds", BoundsColumns)
    assert 0 < rows.far.sum() < rows.real.sum()


def test_the_bounds_are_exact() -> None:
    """Offset + size is all there is, or one byte more."""
    for offset in (0, 1, 69, 70):
        for more, route in ((0, PLAIN), (1, RETURN_DATA_BOUNDS)):
            made = run([f"{call(LONG)} {70 - offset + more} {offset} 3 returndatacopy stop"], *CALLEES)
            assert made.route[made.opcode == OPCODES["RETURNDATACOPY"]] == route
            assert objections(FAMILY, made, {}) == set()


@pytest.mark.deep
def test_sizes_of_more_than_a_limb() -> None:
    callee = f"0x{'ab' * 32} 0x10000 mstore 0x10020 3 return"
    for source in ("0x10020 0 5", "32 0x10000 0", "0 0x10020 0"):
        made = run([f"{call(0)} returndatasize pop {source} returndatacopy stop"], callee)
        assert not made.failed.any()
        assert objections(FAMILY, made, {}) == set()
    for source in ("0x10021 0 5", "1 0x10020 0", "0x20 0x10001 7", "0x8000 0x8021 0"):
        made = run([f"{call(0)} {source} returndatacopy stop"], callee)
        assert made.failed.any()
        assert objections(FAMILY, made, {}) == set()


def test_for_want_of_gas() -> None:
    """With less than its constant cost RETURNDATACOPY fails for that, with too little for the copy in its own table."""
    callee = "64 3 return"
    before = run([f"{call(0)} 64 0 0 returndatacopy stop"], callee, gas=100_000)
    step = int(np.flatnonzero(before.opcode == OPCODES["RETURNDATACOPY"])[0])
    used = 100_000 - int(before.gas[step])
    cost = int(before.gas[step]) - int(before.trace.steps.gas_after[before.step[step]])
    assert cost == 3 + 2 * 3 + 2 * 3
    for gas, route in ((cost, None), (cost - 1, PLAIN), (3, PLAIN), (2, STATIC_FAILURE)):
        source = f"{call(0).replace('200000', '1000')} 64 0 0 returndatacopy stop"
        made = run([source], callee, gas=used + gas)
        at = np.flatnonzero(made.opcode == OPCODES["RETURNDATACOPY"])
        assert made.failed[at[0]] == (route is not None)
        if route is not None:
            assert made.route[at[0]] == route
        if route != STATIC_FAILURE:
            assert objections(FAMILY, made, {}) == set()
            assert mutate_family(instructions.COMPONENTS, made).survivors == []


def test_beyond_the_memory_is_proved_elsewhere() -> None:
    made = run([f"{call(LONG)} 1 0 {2**24} returndatacopy stop"], *CALLEES)
    assert made.route[made.opcode == OPCODES["RETURNDATACOPY"]] == OUT_OF_MEMORY
    assert instructions.fill_returndatacopy(made) is None


@pytest.mark.parametrize("made", [short, beyond])
def test_no_mutation_survives(made: Callable[[], Execution]) -> None:
    family = (*instructions.COMPONENTS, *control_flow.COMPONENTS, *copies.COPY_COMPONENTS, *frames.COMPONENTS)
    report = mutate_family(family, made(), rows_per_table=10)
    assert report.survivors == [], report


@pytest.mark.parametrize("made", [short, pytest.param(beyond, marks=pytest.mark.deep)])
def test_rows_are_determined(made: Callable[[], Execution]) -> None:
    assert undetermined(made(), instructions.COMPONENTS) == []


# Lies


def _larger(rows: Any) -> None:
    rows.state.size[0] += 1
    rows.limbs.low[0] += 1


def _other_limbs(rows: Any) -> None:
    rows.limbs.low[0] -= 1


def _stale(rows: Any) -> None:
    """Behind the second call the return data of the first one, as its token said."""
    for cell in ("source", "start", "size"):
        getattr(rows.state, cell)[1] = getattr(rows.state, cell)[0]
    rows.limbs.low[1] = rows.limbs.low[0]


def _early(rows: Any) -> None:
    """Before the second call its return data: the token is later than the step."""
    for cell in ("source", "start", "size"):
        getattr(rows.state, cell)[0] = getattr(rows.state, cell)[1]
    rows.limbs.low[0] = rows.limbs.low[1]
    later = int(rows.time[1])
    rows.state.order.before[0] = later
    rows.state.order.low[0] = (int(rows.time[0]) - later - 1) & 0xFFFF


@pytest.mark.parametrize(
    ("lie", "expected", "follows"),
    [
        (_larger, "frame_state", False),
        (_other_limbs, "range16", True),
        (_stale, "frame_state", False),
        (_early, "range16", True),
    ],
)
def test_lies_about_the_size(lie: Any, expected: str, *, follows: bool) -> None:
    assert expected in objections(FAMILY, short(), {"returndatasize": lie}, follows=follows)


def test_a_stale_state_for_two() -> None:
    """Sizes that change places: each takes the token of the other."""

    def lie(rows: Any) -> None:
        cells = [rows.state.source, rows.state.start, rows.state.size, rows.limbs.low, rows.state.order.before]
        for cell in cells:
            cell[:2] = cell[1::-1].copy()
        rows.state.order.low[:2] = (rows.time[:2].astype(np.int64) - rows.state.order.before[:2] - 1) & 0xFFFF

    found = objections(FAMILY, short(), {"returndatasize": lie})
    assert {"range16", "frame_state"} <= found
    assert "range16" in objections(FAMILY, short(), {"returndatasize": lie}, follows=True)


def _row(size: int) -> Callable[[Any], int]:
    return lambda rows: row_where((rows.size.limbs[:, 0] == size) & (rows.real == 1))


def _beyond_the_end(rows: Any) -> None:
    """A copy of 33 bytes from 4 on becomes one from 38 on, of which one lies behind the end."""
    row = row_where(rows.start[:, 0] == 4)
    rows.start[row, 0] = 38
    rows.rest.low[row] = (70 - 38 - 33) & 0xFFFF


def _beyond_the_end_by_nothing(rows: Any) -> None:
    row = row_where(rows.start[:, 0] == 70)
    rows.start[row, 0] = 71
    rows.rest.low[row] = (70 - 71) & 0xFFFF


def _around_the_field(rows: Any) -> None:
    """An offset that is negative as an element."""
    row = row_where(rows.start[:, 0] == 4)
    offset = MODULUS - 8
    rows.start[row] = (offset & 0xFFFF, offset >> 16)
    rows.rest.low[row] = 70 + 8 - 33


def _other_source(rows: Any) -> None:
    rows.state.source[row_where(rows.start[:, 0] == 4)] = 3


def _own_memory(rows: Any) -> None:
    row = row_where(rows.start[:, 0] == 4)
    rows.state.source[row] = rows.frame[row]


def _other_place(rows: Any) -> None:
    rows.state.start[row_where(rows.start[:, 0] == 4)] += 2


def _longer(rows: Any) -> None:
    row = row_where(rows.start[:, 0] == 4)
    rows.state.size[row] += 5
    rows.rest.low[row] += 5


@pytest.mark.parametrize(
    ("lie", "expected", "follows"),
    [
        (_beyond_the_end, "range16", True),
        (_beyond_the_end_by_nothing, "range16", True),
        (_around_the_field, "range16", True),
        (_other_source, "frame_state", False),
        (_own_memory, "frame_state", False),
        (_other_place, "frame_state", False),
        (_longer, "frame_state", False),
    ],
)
def test_lies_about_copies(lie: Any, expected: str, *, follows: bool) -> None:
    assert expected in objections(FAMILY, short(), {"returndatacopy": lie}, follows=follows)


def _claim(offset: int, size: int, **cells: Any) -> Callable[[Any], None]:
    """The first row copies these bytes; `cells` say why that is beyond."""

    def lie(rows: Any) -> None:
        for name, value in (("offset", offset), ("size", size)):
            getattr(rows, name)[0] = [value >> (16 * i) & 0xFFFF for i in range(16)]
        for name in ("far", "far_inverse", "excess", "carry", "excess_carry"):
            getattr(rows, name)[0] = cells.get(name, 0)

    return lie


@pytest.mark.parametrize(
    ("lie", "expected"),
    [
        (_claim(0, 70, excess=(MODULUS - 1, 0)), "range16"),
        (_claim(0, 70, excess=(0xFFFF, 0), carry=MODULUS - 1), "high limb of the excess"),
        (_claim(0, 70, excess=(0xFFFF, 0xFFFF), carry=MODULUS - 1, excess_carry=MODULUS - 1), "excess_carry is a bit"),
        (_claim(0, 70, excess=(0xFFFF, MODULUS - 1), carry=MODULUS - 1), "range16"),
        (_claim(0, 70, far=1), "far means that there are further limbs"),
        (_claim(70, 0, far_inverse=5), "no inverse unless far"),
    ],
)
def test_what_is_within_is_not_beyond(lie: Any, expected: str) -> None:
    assert expected in objections(FAMILY, beyond(), {"return_data_bounds": lie}, follows=True)


def test_beyond_less_than_there_is() -> None:
    """The return data is said to be shorter."""

    def lie(rows: Any) -> None:
        _claim(0, 70)(rows)
        rows.state.size[0] -= 1
        rows.available.low[0] -= 1

    assert objections(FAMILY, beyond(), {"return_data_bounds": lie}) >= {"frame_state", "stack"}


def _gas(cell: str, value: Any) -> Callable[[Any], None]:
    def lie(rows: Any) -> None:
        getattr(rows.state, cell)[0] = value

    return lie


@pytest.mark.parametrize(("cell", "value"), [("reserve", (1, 0, 0, 0)), ("source", 1), ("start", 1), ("size", 1)])
def test_gas_changes_nothing(cell: str, value: Any) -> None:
    assert "frame_state" in objections(FAMILY, short(), {"gas": _gas(cell, value)})


@pytest.mark.parametrize(
    ("cell", "value", "expected"),
    [
        ("source", 2, "frame_state"),
        ("state_time", 5, "frame_state"),
        ("reserve_end", (0, 0, 0, 1), "frame_state"),
        ("reserve", (0, 0, 0, 1), "message"),
        ("return_start", 29, "halt"),
        ("return_size", 71, "halt"),
    ],
)
def test_lies_of_frames(cell: str, value: Any, expected: str) -> None:
    def lie(rows: Any) -> None:
        getattr(rows, cell)[1] = value

    assert expected in objections(FAMILY, short(), {"frame": lie})
