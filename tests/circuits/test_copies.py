"""CALLDATALOAD and CALLDATACOPY of buffers, CODECOPY, MCOPY."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.batch.execution import OUT_OF_MEMORY, PLAIN, Execution
from circuits.batch.frame_data import FAR
from circuits.component import Component
from circuits.frames import buffer, calldata, code
from circuits.frames.buses import EXEC
from circuits.instructions import accounts, copies
from circuits.instructions import memory as memory_instructions
from circuits.instructions.buses import COPY
from circuits.instructions.copies import BufferCopyColumns, CopyColumns, LoadColumns, McopyColumns, fill_copy
from circuits.memory import expansion, memory_parts, memory_shifted, memory_tables
from circuits.memory.buses import EXPANSION, MEMORY, MEMORY_BYTES
from executor.forks import CANCUN
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, fill_family, mutate_family, open_messages
from tests.circuits.lying import objections, row_where

FAMILY = (
    *copies.COMPONENTS,
    *copies.COPY_COMPONENTS,
    *buffer.COMPONENTS,
    *calldata.COMPONENTS,
    *code.COMPONENTS,
)

#: The first calldata is not empty: a row of zeros states nothing true.
SIZES = (100, 0, 1, 31, 32, 33, 68)
LARGEST = 2**256 - 1

#: In, across and behind the end, and such as stand for a small place modulo the field or cut to some of their limbs.
OFFSETS = (
    0,
    1,
    4,
    31,
    32,
    36,
    67,
    68,
    99,
    100,
    2**16,
    FAR - 1,
    FAR,
    FAR + 1,
    2**25,
    2**32,
    MODULUS,
    MODULUS + 4,
    2**255,
)
#: Where to write, where to read, how many bytes.
BUFFER_COPIES = (
    (0, 0, 0),
    (LARGEST, LARGEST, 0),
    (0, 0, 1),
    (5, 4, 33),
    (64, 0, 100),
    (31, 1, 31),
    (32, 0, 32),
    (100, 90, 64),
    (3, FAR - 1, 40),
    (7, FAR, 32),
    (9, 2**255, 65),
    (0, 2**32, 1),
    (0, MODULUS + 4, 3),
    (300, 2, 1000),
)
MEMORY_COPIES = (
    (0, 0, 0),
    (LARGEST, 2**254, 0),
    (0, 32, 100),
    (32, 0, 100),
    (10, 3, 64),
    (3, 10, 64),
    (5, 5, 33),
    (4096, 0, 1),
    (0, 8192, 5),
    (20_000, 30_000, 64),
    (50_000, 40_000, 64),
)


def copying(instruction: str, *moves: tuple[int, int, int]) -> str:
    return " ".join(f"{size} {start} {to} {instruction}" for to, start, size in moves)


def data_of(size: int) -> str:
    return "0x" + bytes(255 - i % 255 for i in range(size)).hex()


PROGRAM = " ".join(
    [
        *(f"{offset} calldataload pop" for offset in OFFSETS),
        copying("calldatacopy", *BUFFER_COPIES),
        copying("codecopy", *BUFFER_COPIES),
        copying("mcopy", *MEMORY_COPIES),
    ]
)
#: Each ends its frame by itself.
FAILURES = [
    copying("calldatacopy", (0, 0, 2**21)),
    copying("codecopy", (2**21, 2**255, 64)),
    copying("calldatacopy", (0, 0, 2**24)),
    copying("mcopy", (0, 0, 2**24)),
    copying("mcopy", (2**22, 64, 64)),
    copying("mcopy", (64, 2**22, 64)),
    copying("mcopy", (64, 2**22, 2**22)),
]


def run(source: str, *sizes: int, gas: int = 1_000_000) -> Execution:
    building = Builder().alloc(CONTRACT, code="0x" + assemble(source).hex())
    building.block(*(call_contract(building, gas=gas, data=data_of(size)) for size in sizes))
    return execution_of(building.execute())


@pytest.fixture(scope="module")
def execution() -> Execution:
    return run(PROGRAM, *SIZES)


def rows_of(execution: Execution, name: str, layout: Any) -> Any:
    matrix = dict(zip((c.table.name for c in FAMILY), fill_family(FAMILY, execution), strict=True))[name]
    assert matrix is not None
    return TraceView(layout, matrix)


def states(execution: Execution) -> set[tuple[int, ...]]:
    """The exec messages of all steps."""
    names = ("time", "frame", "code", "pc", "stack_size", "gas", "memory_words")
    return set(zip(*(getattr(execution, name).tolist() for name in names), strict=True))


def test_all_of_it(execution: Execution) -> None:
    assert not execution.failed.any()
    assert check_family(FAMILY, execution) == []
    assert objections(FAMILY, execution, {}) == set()


def test_states_that_follow_are_those_of_the_trace(execution: Execution) -> None:
    assert set(open_messages(FAMILY, execution, EXEC)) <= states(execution)


def test_memory_is_accessed_as_in_the_trace(execution: Execution) -> None:
    """The bytes written and read, put together again, are the trace's accesses."""
    trace = execution.trace
    asked = sorted(open_messages(FAMILY, execution, MEMORY_BYTES), key=lambda m: (m[1], -m[2]))
    time = {int(step): i for i, step in enumerate(execution.step)}
    found: dict[tuple[int, int], bytes] = {}
    begins: dict[tuple[int, int], int] = {}
    for _, when, is_write, offset, size, *word in asked:
        step = int(np.searchsorted(execution.time, when, side="right")) - 1
        key = step, is_write
        begins.setdefault(key, offset)
        assert offset == begins[key] + len(found.get(key, b""))
        found[key] = found.get(key, b"") + b"".join(x.to_bytes(2, "big") for x in reversed(word))[:size]
    expected = {
        (time[int(step)], int(is_write)): (int(offset), trace.bytes_at(start, size))
        for step, is_write, offset, start, size in zip(
            trace.memory.step,
            trace.memory.is_write,
            trace.memory.offset,
            trace.memory.after_start,
            trace.memory.size,
            strict=True,
        )
    }
    assert {key: (begins[key], content) for key, content in found.items()} == expected


def test_reads_of_a_memory_copy_come_before_its_writes(execution: Execution) -> None:
    rows = rows_of(execution, "copy", CopyColumns)
    memory = np.flatnonzero(rows.is_memory)
    for frame in np.unique(rows.frame[memory]).tolist():
        of_frame = memory[rows.frame[memory] == frame]
        times = np.concatenate([rows.read_time[of_frame], rows.write_time[of_frame]])
        assert len(np.unique(times)) == len(times)


@pytest.mark.parametrize("source", FAILURES)
def test_without_gas_nothing_is_copied(source: str) -> None:
    execution = run(source, 100, gas=400_000)
    assert execution.failed[-1]
    assert execution.route[-1] == PLAIN
    assert check_family(FAMILY, execution) == []
    assert objections(FAMILY, execution, {}) == set()
    assert open_messages(FAMILY, execution, MEMORY_BYTES) == []
    instructions = (*copies.COMPONENTS, *copies.COPY_COMPONENTS)
    assert open_messages(instructions, execution, COPY) == []


@pytest.mark.parametrize("instruction", ["calldatacopy", "codecopy", "mcopy"])
def test_not_even_nothing_is_free(instruction: str) -> None:
    """Three times PUSH0 leave 2 gas."""
    execution = run(copying(instruction, (0, 0, 0)), 0, gas=21_000 + 6 + 2)
    assert execution.failed[-1]
    assert execution.route[-1] == PLAIN
    assert check_family(FAMILY, execution) == []
    assert mutate_family((*copies.COMPONENTS, *copies.COPY_COMPONENTS), execution).survivors == []


def test_exactly_enough_gas() -> None:
    """Pushes cost 3, 2 and 2, the copy of two words 3 + 2 * 3 and their memory 2 * 3."""
    for missing in (0, 1):
        execution = run(copying("codecopy", (0, 0, 33)), 0, gas=21_000 + 7 + 9 + 6 - missing)
        assert execution.failed.any() == missing
        assert check_family(FAMILY, execution) == []


def test_copies_beyond_the_memory_are_proved_elsewhere() -> None:
    execution = run(copying("calldatacopy", (1, 0, 2**24)), 1)
    assert execution.route[-1] == OUT_OF_MEMORY
    for component in copies.COMPONENTS:
        assert component.fill(execution) is None
    assert fill_copy(execution, np.zeros((0, COPY.width), dtype=np.uint32)) is None


def test_no_mutation_survives(execution: Execution) -> None:
    instructions = (*copies.COMPONENTS, *copies.COPY_COMPONENTS)
    report = mutate_family(instructions, execution, rows_per_table=10)
    assert report.survivors == [], report


@pytest.mark.parametrize("source", [FAILURES[1], FAILURES[4]])
def test_no_mutation_of_a_failure_survives(source: str) -> None:
    instructions = (*copies.COMPONENTS, *copies.COPY_COMPONENTS)
    report = mutate_family(instructions, run(source, 100, gas=400_000))
    assert report.survivors == [], report


# Lies


def _byte_from_behind(rows: Any) -> None:
    """A load across the end brings a byte that is not 0."""
    rows.word[row_where((rows.offset[:, 0] == 99) & (rows.calldata == 0)), 0] = 1


def _near(rows: Any) -> None:
    """An offset is cut to its lower limbs."""
    row = row_where(rows.offset[:, 2] == 1)
    rows.place.near.zero[row], rows.place.near.inverse[row] = 1, 0


def _far(rows: Any) -> None:
    """A place in the calldata is said to be far behind it."""
    row = row_where((rows.offset[:, 0] == 4) & (rows.calldata == 0))
    rows.place.near.zero[row] = 0
    rows.word[row] = 0


def _far_by_fraction(rows: Any) -> None:
    """The same with a low byte that is none: what is above it is not 0."""
    row = row_where((rows.offset[:, 0] == 4) & (rows.calldata == 0))
    rows.place.low[row] = 1
    rows.place.near.zero[row] = 0
    high = -pow(256, -1, MODULUS) % MODULUS
    rows.place.near.inverse[row] = pow(high, -1, MODULUS)
    rows.word[row] = 0


def _shifted_word(rows: Any) -> None:
    row = row_where((rows.offset[:, 0] == 4) & (rows.calldata == 0))
    rows.word[row] = np.roll(rows.word[row], 1)


def _other_calldata(rows: Any) -> None:
    """The calldata of another transaction."""
    row = row_where((rows.offset[:, 0] == 36) & (rows.calldata == 0))
    rows.calldata[row] = rows.calldata[row_where(rows.calldata != 0)]
    rows.word[row] = 0


@pytest.mark.parametrize(
    ("lie", "expected"),
    [
        (_byte_from_behind, "buffer_bytes"),
        (_near, "near: value * zero = 0"),
        (_far, "near: value * inverse = 1 - zero"),
        (_far_by_fraction, "bitwise_bytes"),
        (_shifted_word, "buffer_bytes"),
        (_other_calldata, "calldata_of"),
    ],
)
def test_lies_of_loads(execution: Execution, lie: Any, expected: str) -> None:
    assert expected in objections(FAMILY, execution, {"calldataload": lie})


def _moving(rows: Any) -> int:
    return row_where((rows.size.empty.zero == 0) & (rows.real == 1) & (rows.charge.fails == 0))


def _as_if_empty(rows: Any) -> None:
    """Nothing is copied."""
    row = _moving(rows)
    rows.size.empty.zero[row], rows.size.empty.inverse[row] = 1, 0


def _a_word_less(rows: Any) -> None:
    """A word less is paid and waited for."""
    row = row_where(rows.size.limbs[:, 0] == 33)
    rows.size.room[row] = (-33) % MODULUS
    rows.size.xor[row] = 0


def _fraction_of_a_word(rows: Any) -> None:
    row = row_where(rows.size.limbs[:, 0] == 33)
    rows.size.room[row] = 0
    rows.size.xor[row] = 0


def _fails(rows: Any) -> None:
    """A copy that can be paid is said to fail."""
    row = _moving(rows)
    rows.charge.fails[row] = 1


@pytest.mark.parametrize("table", ["buffer_copy", "mcopy"])
@pytest.mark.parametrize(
    ("lie", "expected"),
    [
        (_as_if_empty, "empty: value * zero = 0"),
        (_a_word_less, "bitwise_bytes"),
        (_fraction_of_a_word, "range16"),
        (_fails, "range16"),
    ],
)
def test_lies_of_copies(execution: Execution, table: str, lie: Any, expected: str) -> None:
    assert expected in objections(FAMILY, execution, {table: lie})


def _code_for_calldata(rows: Any) -> None:
    rows.is_code[row_where((rows.is_code == 0) & (rows.size.limbs[:, 0] == 100))] = 1


def _foreign_code(rows: Any) -> None:
    rows.id[row_where((rows.is_code == 1) & (rows.size.limbs[:, 0] == 100))] += 1


@pytest.mark.parametrize(
    ("lie", "expected"),
    [(_code_for_calldata, "instruction"), (_foreign_code, "CODECOPY reads the code that runs")],
)
def test_lies_about_the_source(execution: Execution, lie: Any, expected: str) -> None:
    assert expected in objections(FAMILY, execution, {"buffer_copy": lie})


@pytest.mark.parametrize("table", ["buffer_copy", "mcopy"])
def test_a_failure_is_no_success(table: str) -> None:
    def succeeds(rows: Any) -> None:
        rows.charge.fails[row_where(rows.charge.fails)] = 0

    source = FAILURES[0] if table == "buffer_copy" else FAILURES[4]
    assert "range16" in objections(FAMILY, run(source, 100, gas=400_000), {table: succeeds})


def _without_last_row(rows: Any) -> None:
    """The last row of a copy is skipped: the one before it is the last."""
    row = row_where((rows.last == 0) & (rows.real == 1) & (rows.left < 64) & (rows.left > 32))
    rows.last[row] = 1
    for column in ("real", "last", "is_code", "is_memory"):
        getattr(rows, column)[row + 1] = 0


def _without_end(rows: Any) -> None:
    """A copy goes on beyond its end."""
    row = row_where(rows.last == 1)
    rows.last[row] = 0
    rows.xor[row] = 0


def _word_of_another_place(rows: Any) -> None:
    row = row_where((rows.is_memory == 0) & (rows.last == 0) & (rows.word != 0).any(axis=1))
    rows.word[row] = np.roll(rows.word[row], 2)


def _byte_behind_the_copy(rows: Any) -> None:
    """A byte more than the instruction asks for is written, where zeros should be."""
    row = row_where((rows.is_memory == 0) & (rows.last == 1) & (rows.left == 1))
    rows.word[row, 15] += 1


@pytest.mark.parametrize(
    ("lie", "expected"),
    [
        (_without_last_row, "bitwise_bytes"),
        (_without_end, "copy"),
        (_word_of_another_place, "buffer_bytes"),
        (_byte_behind_the_copy, "buffer_bytes"),
    ],
)
def test_lies_of_moves(execution: Execution, lie: Any, expected: str) -> None:
    assert expected in objections(FAMILY, execution, {"copy": lie})


def test_layouts_are_those_of_the_tables() -> None:
    layouts = [c.table.layout for c in copies.COMPONENTS]
    assert layouts == [LoadColumns, BufferCopyColumns, McopyColumns]


def test_together_with_memory() -> None:
    """With the tables that serve memory nothing is left open on its buses."""
    source = f"{PROGRAM} {copying(f'0x{CONTRACT.hex()} extcodecopy', *BUFFER_COPIES)}"
    execution = run(source, *SIZES)
    memory: list[Component] = [
        *memory_instructions.COMPONENTS,
        *memory_tables.COMPONENTS,
        *memory_shifted.COMPONENTS,
        *memory_parts.COMPONENTS,
        *expansion.COMPONENTS,
    ]
    family: list[Component] = [
        *copies.COMPONENTS,
        *accounts.components(CANCUN),
        *FAMILY[len(copies.COMPONENTS) :],
        *memory,
    ]
    assert not execution.failed.any()
    assert check_family(family, execution) == []
    for bus in (COPY, MEMORY, MEMORY_BYTES, EXPANSION):
        assert open_messages(family, execution, bus) == []
