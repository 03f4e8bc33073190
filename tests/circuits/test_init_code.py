"""Initcodes: the bytes that a creation read, with true starts of instructions, under the id that it was told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import zkevm_native
from numpy.typing import NDArray

from circuits.air.checker import check_circuit
from circuits.air.circuit import Circuit
from circuits.air.evaluate import TraceRows, evaluate
from circuits.air.field import MODULUS
from circuits.air.layout import TraceView, allocate
from circuits.air.mutation import MutationReport, mutate
from circuits.batch.execution import Execution
from circuits.batch.init_codes import INIT_CODE_BASE, init_code_ids, init_code_rows
from circuits.component import Acting, Answering, Component
from circuits.frames import buffer, calldata, code, init_code, push_sites
from circuits.frames.buffer import Buffers
from circuits.frames.buses import BUFFER, BUFFER_SIZE, INIT_CODE, INSTRUCTION
from circuits.frames.calldata import CALLDATA_KIND
from circuits.frames.code import CODE_KIND
from circuits.frames.init_code import BUFFER_SOURCE, MEMORY_SOURCE, InitCodes, fill_contents
from circuits.functions.buses import BITWISE_BYTES
from circuits.instructions import control_flow, copies, stack
from circuits.memory.buses import MEMORY_BYTES
from circuits.statement import buffer_words
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import World, check_family, closed, fill_family, open_messages
from tests.circuits.lying import BYTES, FUNCTIONS, RANGES, places
from tests.circuits.worlds import asking, others

PUSH1, PUSH32 = 0x60, 0x7F


def noise(size: int, seed: int = 0) -> bytes:
    """Random bytes."""
    return np.random.default_rng([seed, size]).integers(0, 256, size, dtype=np.uint8).tobytes()


def pushes(size: int, seed: int = 0) -> bytes:
    """Bytes of which three in four are PUSH instructions, also where they are data."""
    rng = np.random.default_rng([seed, size, 1])
    push = rng.integers(0x5F, 0x80, size)
    return np.where(rng.random(size) < 0.75, push, rng.integers(0, 256, size)).astype(np.uint8).tobytes()


#: The borders of what the lookups tell apart, each as an instruction and as data, at even and at odd places.
BORDERS = bytes.fromhex("003f405e5f7f8081ff") + bytes(33)
BORDERS += b"".join(bytes([PUSH1 + n, *data]) for n, data in ((0, b"\x60"), (1, b"\x7f\xff"), (2, b"\x80\x5f\x40")))
BORDERS += bytes.fromhex("5b003f405e5f8081ff005f5f5f80805e5e")

CODES = {
    "nothing": b"",
    "one byte": b"\x5b",
    "a PUSH1 without data": b"\x60",
    "a PUSH32 without data": b"\x7f",
    "31": noise(31),
    "32": noise(32),
    "33": noise(33),
    "64": noise(64),
    "borders": BORDERS,
    "all bytes": bytes(range(256)),
    "all bytes, odd": b"\x5b" + bytes(range(256)),
    "all bytes backwards": bytes(range(255, -1, -1)),
    "full rows of PUSH32": bytes([PUSH32]) * 64,
    "data across a border": bytes(30) + b"\x63\xff\xfe\x60\x61\x5b\x00",
    "data from the border on": bytes(31) + b"\x7f" + bytes([PUSH1]) * 32 + b"\x5b",
    "data up to the border": bytes(29) + b"\x61\x60\x61\x5b",
    "PUSH32 in the last place of a row": bytes(31) + b"\x7f",
    "PUSH32 at the end of two rows": bytes(63) + b"\x7f",
    "a row of data": b"\x5b\x7f" + bytes(range(0x5F, 0x7F)) + b"\x5f\x60\x00",
    "cut off in its second row": bytes(20) + b"\x7f" + bytes([0x60] * 20),
    **{f"noise {n}": noise(100 + n, n) for n in range(4)},
    **{f"pushes {n}": pushes(150 + n, n) for n in range(6)},
}


def code_cells(content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bytes of an initcode, zeros behind its end, and 1 where an instruction starts; both (rows, 32)."""
    size = 32 * int(init_code_rows(np.array([len(content)]))[0])
    padded = content.ljust(size, b"\0")
    starts = np.zeros(size, dtype=np.uint8)
    place = 0
    while place < size:
        starts[place] = 1
        place += 1 + (padded[place] - PUSH1 + 1 if PUSH1 <= padded[place] <= PUSH32 else 0)
    return np.frombuffer(padded, dtype=np.uint8).reshape(-1, 32), starts.reshape(-1, 32)


def executionless(matrix_of: Callable[..., Any]) -> Callable[..., Any]:
    """What fills from queries alone."""
    return lambda _, *asked: matrix_of(*asked)


def sending(messages: Sequence[Sequence[int]]) -> Acting:
    """Creations that send these messages."""
    world = World(INIT_CODE, answers=False)
    world.name = "creations"  # type: ignore[misc]
    matrix, rows = allocate(world.layout, len(messages))
    rows.real = 1
    rows.sends = 1
    rows.message = np.array(messages, dtype=np.uint32).reshape(-1, INIT_CODE.width)
    return Acting(world, lambda _: matrix.copy())


def messages_of(contents: Sequence[bytes], kind: int | None = None) -> list[list[int]]:
    """What the creations send; from memory and from buffers by turns, unless a kind is given."""
    sizes = np.array([len(content) for content in contents])
    found = []
    for n, id_ in enumerate(init_code_ids(sizes).tolist()):
        memory = n % 2 == 0 if kind is None else kind == MEMORY_SOURCE
        place = (MEMORY_SOURCE, n + 1, 37 * n) if memory else (BUFFER_SOURCE, 100 * n, 0)
        found.append([id_, *place, len(contents[n]), 10_000 * (n + 1)])
    return found


def family(
    contents: Sequence[bytes],
    *,
    instructions: Sequence[Sequence[int]] = (),
    words: Sequence[Sequence[int]] = (),
    sizes: Sequence[Sequence[int]] = (),
    messages: Sequence[Sequence[int]] | None = None,
) -> list[Component]:
    """Creations with these initcodes, what is asked of them, and the calldata that some are read from."""
    table = Answering(
        init_code.InitCode(),
        (INIT_CODE, INSTRUCTION, BUFFER, BUFFER_SIZE),
        executionless(lambda *asked: fill_contents(contents, *asked)),
    )
    asked = [
        asking(bus, wanted)
        for bus, wanted in ((INSTRUCTION, instructions), (BUFFER, words), (BUFFER_SIZE, sizes))
        if wanted
    ]
    calldata = others(BUFFER, lambda asked: asked[:, 0] == CALLDATA_KIND)
    return [sending(messages_of(contents) if messages is None else messages), *asked, table, calldata]


@cache
def no_execution() -> Execution:
    """An execution for families that do not look at it."""
    return execution_of(Builder().block().execute())


def findings(components: Sequence[Component], lie: Any = None) -> set[str]:
    """What objects; what is outside of the family stays as the honest one left it."""
    lies = {"init_code": lie} if lie else {}
    every = [*components, *FUNCTIONS]
    tables = [component.table for component in every]
    honest = fill_family(every, no_execution())
    traces = fill_family(every, no_execution(), lies)
    circuit, filled = closed(tables, honest)
    return places(check_circuit(circuit, [*traces, *filled[len(traces) :]], [[] for _ in filled]))


def everything(contents: Sequence[bytes]) -> dict[str, Any]:
    """All that may be asked of these initcodes."""
    instructions, words, sizes = [], [], []
    for content, message in zip(contents, messages_of(contents), strict=True):
        id_ = message[0]
        cells, starts = code_cells(content)
        rows = int(init_code_rows(np.array([len(content)]))[0])
        for place in range(32 * rows):
            instructions.append([id_, place, int(cells.reshape(-1)[place]), int(starts.reshape(-1)[place])])
        padded = content.ljust(32 * rows, b"\0")
        words += [[CODE_KIND, id_, index, *limbs] for index, limbs in enumerate(buffer_words(padded).tolist())]
        sizes.append([CODE_KIND, id_, len(content)])
    return {"instructions": instructions, "words": words, "sizes": sizes}


def test_size() -> None:
    statistics = Circuit("alone", [init_code.InitCode()]).statistics[0]
    assert (statistics.columns, statistics.interactions, statistics.degree) == (191, 54, 3)


@pytest.mark.parametrize("name", CODES)
def test_honest_codes_are_accepted(name: str) -> None:
    for contents in ([CODES[name]], [b"\x5b", CODES[name], noise(40)]):
        assert findings(family(contents, **everything(contents))) == set()


def filled(contents: Sequence[bytes], **asked: Any) -> Any:
    """The rows of the table, honestly filled."""
    components = family(contents, **asked)
    traces = fill_family(components, no_execution())
    (matrix,) = [m for c, m in zip(components, traces, strict=True) if c.table.name == "init_code"]
    assert matrix is not None
    return TraceView(init_code.Columns, matrix)


def test_all_codes_stand_one_after_the_other() -> None:
    contents = list(CODES.values())
    asked = everything(contents)
    assert findings(family(contents, **asked)) == set()
    rows = filled(contents, **asked)
    assert (rows.id[rows.first == 1] - INIT_CODE_BASE == np.flatnonzero(rows.first)).all()
    assert rows.instructions[rows.real == 1].min() == rows.instructions.max() == 1


def test_the_largest_initcode() -> None:
    contents = [pushes(49_152), noise(49_152)]
    assert findings(family(contents)) == set()
    assert init_code_rows(np.array([49_152])).tolist() == [49_152 // 32 + 2]


def test_no_creation_no_table() -> None:
    nothing = [np.zeros((0, bus.width), dtype=np.uint32) for bus in (INIT_CODE, INSTRUCTION, BUFFER, BUFFER_SIZE)]
    assert fill_contents([], *nothing) is None
    assert init_code.fill_init_code(no_execution(), *nothing) is None


def test_words_are_read_where_the_message_says() -> None:
    contents = [noise(70), noise(33)]
    words = [buffer_words(content).tolist() for content in contents]
    frame, start, time = 7, 99, 5_000
    first, second = init_code_ids(np.array([70, 33])).tolist()
    messages = [[first, MEMORY_SOURCE, frame, start, 70, time], [second, BUFFER_SOURCE, 12, 0, 33, 1]]
    components = family(contents, messages=messages)[:-1]
    read = open_messages(components, no_execution(), MEMORY_BYTES)
    expected = [
        (frame, time + k, 0, start + 32 * k, size, *word)
        for k, (size, word) in enumerate(zip((32, 32, 6), words[0], strict=True))
    ]
    assert read == sorted(expected)
    asked = open_messages(components, no_execution(), BUFFER)
    assert asked == sorted((CALLDATA_KIND, 12, k, *word) for k, word in enumerate(words[1]))


MUTATED = {
    "small codes": [b"", b"\x5b", noise(33), BORDERS, b"\x61\x60\x60\x5b"],
    "pushes": [pushes(90), pushes(91, 3), CODES["PUSH32 in the last place of a row"]],
    "a full table": [bytes(20), bytes(30)],
    "one row": [b""],
}


@pytest.mark.parametrize("name", MUTATED)
def test_mutations_are_rejected(name: str) -> None:
    contents = MUTATED[name]
    for seed in range(2):
        components = [*family(contents, **everything(contents)), RANGES, BYTES]
        report = mutate_table(components, seed)
        assert not report.survivors, str(report)
        assert report.coverage["init_code"].mutations > 1000


@pytest.mark.parametrize("name", MUTATED)
def test_mutations_of_what_nobody_asks_are_rejected(name: str) -> None:
    """Whatever is not asked could be: a lie in it is one."""
    report = mutate_table([*family(MUTATED[name]), RANGES, BYTES], 0)
    assert not report.survivors, str(report)


def mutate_table(components: Sequence[Component], seed: int) -> MutationReport:
    """The mutation harness on the table of initcodes."""
    traces = fill_family(components, no_execution())
    circuit, every = closed([component.table for component in components], traces)
    return mutate(circuit, every, [[] for _ in every], seed=seed, rows_per_table=10, tables={"init_code"})


#: Copies itself and runs PUSH instructions of both kinds, the last one cut off by the end.
CONSTRUCTOR = assemble("7 0x0102 pop pop 0x" + "5b60" * 16 + " pop codesize 0 9 codecopy 40 500 200 codecopy jumpdest")


def creating(*contents: bytes) -> Execution:
    """Transactions that create contracts, whose frames run their initcodes under the ids of these."""
    building = Builder().alloc(CONTRACT, code="0x" + assemble("1 pop stop").hex())
    creations = [
        building.transfer(0, to=b"", gas=1_000_000, value=0, data="0x" + content.hex()) for content in contents
    ]
    execution = execution_of(building.block(call_contract(building, 1), *creations).execute())
    codes = InitCodes.of(execution)
    execution.frame_code[codes.frame - 1] = codes.id
    execution.code = execution.frame_code[execution.frame - 1]
    leaves = ~np.isin(execution.codes, codes.code)
    execution.codes, execution.code_ids = execution.codes[leaves], np.zeros(leaves.sum(), dtype=np.int64)
    return execution


def test_executions_run_their_initcodes() -> None:
    contents = [CONSTRUCTOR + b"\x63\x5b", b"", CONSTRUCTOR + b"\x5f", b"\x60\x01\x50"]
    execution = creating(*contents)
    codes = InitCodes.of(execution)
    assert codes.contents(execution) == [content for content in contents if content]
    assert codes.id.tolist() == init_code_ids(codes.size).tolist()
    buffers = execution.calldata_ids[np.array([1, 3, 4])].tolist()
    sent = [
        [id_, BUFFER_SOURCE, buffer_id, 0, size, 0]
        for id_, buffer_id, size in zip(codes.id.tolist(), buffers, codes.size.tolist(), strict=True)
    ]
    components = [
        sending(sent),
        *stack.COMPONENTS,
        *control_flow.COMPONENTS,
        *copies.COMPONENTS,
        *copies.COPY_COMPONENTS,
        *buffer.COMPONENTS,
        *push_sites.COMPONENTS,
        *init_code.COMPONENTS,
        *code.COMPONENTS,
        *calldata.COMPONENTS,
        *FUNCTIONS,
    ]
    assert check_family(components, execution) == []
    table = dict(zip((c.table.name for c in components), fill_family(components, execution), strict=True))
    rows = TraceView(init_code.Columns, table["init_code"])
    assert rows.instructions.any(axis=1)[rows.first == 1].all()
    assert rows.words.any()
    assert rows.sizes.any()
    # The code that a call runs is one of the others.
    chunks = TraceView(code.CodeChunkColumns, table["code_chunk"])
    assert (chunks.real.sum(), chunks.id[0]) == (1, 0)


def test_buffers_know_initcodes() -> None:
    execution = creating(CONSTRUCTOR, noise(70))
    buffers = Buffers(execution)
    codes = InitCodes.of(execution)
    number = buffers.find(np.full(2, CODE_KIND), codes.id)
    assert buffers.size(number).tolist() == [len(CONSTRUCTOR), 70]
    assert buffers.words(number, np.array([1, 2])).tolist() == [
        buffer_words(CONSTRUCTOR)[1].tolist(),
        buffer_words(noise(70))[2].tolist(),
    ]


def test_the_engine_proves_it() -> None:
    contents = [CONSTRUCTOR, b"", pushes(70)]
    components = [*family(contents, **everything(contents)), *FUNCTIONS]
    traces = fill_family(components, no_execution())
    circuit, every = closed([component.table for component in components], traces)
    key = zkevm_native.keygen(circuit.export(), 16)
    proof, _ = zkevm_native.prove(key, every, [[] for _ in every], 1)
    zkevm_native.verify(key.verifying_key(), proof)


# Lies.

Lie = Callable[[Any], None]


def told(contents: Sequence[bytes], lie: Lie) -> set[str]:
    """What objects to a lie in the table, when all of the honest table has been asked for."""
    return findings(family(contents, **everything(contents)), lie)


def alone(contents: Sequence[bytes], lie: Lie) -> set[str]:
    """What objects to a lie about which nobody asks."""
    return findings(family(contents), lie)


def with_starts(places: Sequence[int], value: int) -> Lie:
    """Starts of the table set otherwise, and whatever depends on them as an honest prover would fill it."""

    def lie(rows: Any) -> None:
        count = int(rows.real.sum())
        real = TraceView(init_code.Columns, rows._matrix[:count])
        starts = rows.start[:count].astype(np.int64).reshape(-1)
        starts[list(places)] = value
        rows.start[:count] = starts.reshape(count, -1)
        for name in ("high", "middle", "pending", "xor", "carries"):
            getattr(real, name)[...] = 0
        init_code._fill_starts(real, rows.data[:count].astype(np.int64), starts.reshape(count, -1))

    return lie


def test_filling_again_is_no_lie() -> None:
    assert alone([pushes(90)], with_starts([0], 1)) == set()


@pytest.mark.parametrize(
    ("content", "place", "value"),
    [
        (bytes.fromhex("625b5b5b00"), 1, 1),  # a JUMPDEST within data
        (bytes.fromhex("625b5b5b00"), 3, 1),  # data that is one byte shorter
        (bytes.fromhex("625b5b5b00"), 4, 0),  # data that is one byte longer
        (bytes.fromhex("005b5b5b00"), 2, 0),  # no instruction where there is one
        (bytes.fromhex("005b5b5b00"), 1, 0),
        (bytes.fromhex("5f5b5b"), 1, 0),  # PUSH0 with data, at an even place
        (bytes.fromhex("005f5b5b"), 2, 0),  # and at an odd one
        (bytes.fromhex("5e5b5b"), 1, 0),
        (bytes.fromhex("805b5b"), 1, 0),  # DUP1 as PUSH33
        (bytes.fromhex("00805b5b"), 2, 0),
        (bytes.fromhex("5b5b"), 0, 0),  # a code that begins with data
        (bytes(31) + b"\x60\x5b", 32, 1),  # at the beginning of the next row
        (bytes(31) + b"\x61\x5b\x5b", 33, 1),
        (bytes(31) + b"\x5b\x5b", 32, 0),
        (bytes(63) + b"\x7f", 95, 1),  # data that stops with the first row of zeros
        (b"\x5b", 63, 0),  # the table's last byte
        (b"", 31, 0),
    ],
)
def test_starts_are_true(content: bytes, place: int, value: int) -> None:
    assert code_cells(content)[1].reshape(-1)[place] != value
    assert alone([content], with_starts([place], value))


@pytest.mark.parametrize("seed", range(60))
def test_no_other_starts(seed: int) -> None:
    """Random other starts, of single bytes and of runs; also all that follow from a wrong first one."""
    rng = np.random.default_rng(seed)
    content = pushes(int(rng.integers(1, 64)), seed)
    _, honest = code_cells(content)
    starts = honest.reshape(-1)
    at = int(rng.integers(0, len(starts)))
    other = starts.copy()
    if seed % 3:
        count = int(rng.integers(1, 4))
        other[at : at + count] = 1 - other[at : at + count]
    else:
        # The instructions that there are when decoding begins within data, or behind an instruction.
        at = int(rng.choice(np.flatnonzero(starts == 0))) if (starts == 0).any() else 1
        other[at:] = code_cells(content[at:] + bytes(64))[1].reshape(-1)[: len(other) - at]
    different = np.flatnonzero(other != starts)
    assert len(different)

    def lie(rows: Any) -> None:
        for place in different.tolist():
            with_starts([place], int(other[place]))(rows)

    assert alone([content], lie)


def test_bytes_are_those_that_were_read() -> None:
    contents = [noise(64), noise(40, 1)]

    def swapped(rows: Any) -> None:
        matrix = rows._matrix
        block = slice(init_code.Columns.offsets["data"], init_code.Columns.offsets["instructions"])
        matrix[[0, 1], block] = matrix[[1, 0], block]

    def of_another(rows: Any) -> None:
        rows.data[4] = rows.data[0]
        with_starts([], 0)(rows)

    assert alone([bytes(range(32)) + bytes(range(64, 96)), b"\0"], swapped) == {"memory_bytes"}
    assert {"buffer"} <= alone(contents, of_another)


def test_a_pair_of_bytes_is_what_it_looks_like() -> None:
    """All flags, and all splittings of a limb into integers, of bytes around every border."""
    around = [0x00, 0x01, 0x3F, 0x40, 0x41, 0x5E, 0x5F, 0x60, 0x61, 0x7E, 0x7F, 0x80, 0x81, 0xFE, 0xFF]
    flags = list(product((0, 1), repeat=6))
    cases = np.array([(*bytes_, by, *f) for bytes_ in product(around, repeat=2) for by in range(-2, 3) for f in flags])
    high, low, by, first, second, third, high_flag, low_flag, middle = cases.T
    matrix = np.zeros((len(cases), init_code.Columns.width), dtype=np.int64)
    rows: Any = TraceView(init_code.Columns, matrix)  # type: ignore[arg-type]
    rows.real = 1
    rows.data[:, 0], rows.data[:, 1] = high + by, low - 256 * by
    rows.start[:, 0], rows.start[:, 1], rows.start[:, 2] = first, second, third
    rows.high[:, 0], rows.high[:, 1], rows.middle[:, 0] = high_flag, low_flag, middle

    air = init_code.InitCode().air
    flagged = [c.expression for c in air.constraints if c.name in ("high: byte 0", "high: byte 1", "middle: byte 1")]
    lookup = [i.message[:2] for i in air.interactions if i.bus == BITWISE_BYTES][1]
    assert len(flagged) == 3
    values = evaluate(
        air.graph,
        TraceRows((matrix % MODULUS).astype(np.uint32), np.zeros(0, dtype=np.uint32)),
        {e.index for e in (*flagged, *lookup)},
    )
    accepted = np.all([values[e.index] == 0 for e in flagged] + [values[e.index] < 256 for e in lookup], axis=0)
    # Of the upper byte of a PUSH only the upper limit is looked up; counting has no data for others.
    upper_push, lower_push = first & ~second & 1, second & ~third & 1
    accepted &= (upper_push == 0) | (high + by > 0x5F)

    def pushes(byte: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (byte >= 0x60) & (byte < 0x80)

    true = by == 0
    true &= np.where(first == 1, pushes(high) == (upper_push == 1), True)
    true &= np.where(second == 1, pushes(low) == (lower_push == 1), True)
    true &= high_flag == first * second * (high >= 0x80)
    true &= low_flag == second * third * (low >= 0x80)
    true &= middle == second * third * ((low >= 0x40) & (low < 0x60))
    assert (accepted == true).all()
    assert accepted.sum() == 960


def test_sizes_are_those_of_the_message() -> None:
    def shorter(rows: Any) -> None:
        rows.left[0] -= 1
        rows.left_xor[0] = (rows.left[0] - 1) ^ (rows.left[0] - 1) * 8

    def longer(rows: Any) -> None:
        rows.left[0] += 1
        rows.left_xor[0] = (rows.left[0] - 1) ^ (rows.left[0] - 1) * 8

    for lie in (shorter, longer):
        assert {"init_code", "buffer_size"} <= told([noise(20), noise(30)], lie)

    def cut(rows: Any) -> None:
        """Reads only the first row."""
        rows.final[0], rows.reads[1], rows.final[1] = 1, 0, 0
        rows.left[1] = rows.left_xor[1] = rows.data[1] = 0
        with_starts([], 0)(rows)

    def more(rows: Any) -> None:
        """Reads a row of zeros, too."""
        rows.reads[1], rows.final[0], rows.final[1] = 1, 0, 1

    def nothing(rows: Any) -> None:
        """Reads nothing at all."""
        rows.reads[:], rows.final[:], rows.left_xor[:] = 0, 0, 0

    assert "bitwise_bytes" in alone([noise(40)], cut)
    assert "the next row has 32 bytes less" in alone([noise(20)], more)
    assert "a row that reads nothing has nothing left" in alone([bytes(20)], nothing)


def test_a_message_of_another_size_has_no_code() -> None:
    contents = [noise(20), noise(30)]
    honest = messages_of(contents)
    assert open_messages(family(contents), no_execution(), INIT_CODE) == []
    for field in (0, 4):
        for by in (-1, 1):
            messages = [[*message] for message in honest]
            messages[1][field] += by
            components = family(contents, messages=messages)
            assert tuple(messages[1]) in open_messages(components, no_execution(), INIT_CODE)


def test_every_code_has_its_own_id() -> None:
    contents = [noise(20), noise(20, 1)]

    def swapped(rows: Any) -> None:
        rows.id[:] = rows.id[::-1].copy()

    def same(rows: Any) -> None:
        rows.id[:] = INIT_CODE_BASE
        rows.index[:] = np.arange(len(rows.index))

    def merged(rows: Any) -> None:
        """The second code belongs to the first one."""
        same(rows)
        rows.first[2] = 0

    def elsewhere(rows: Any) -> None:
        rows.id[:] -= INIT_CODE_BASE

    assert "row 0 has the first id" in told(contents, swapped)
    assert "an initcode starts at its first bytes" in told(contents, same)
    assert "rows read up to the final one" in told(contents, merged)
    assert "row 0 has the first id" in told(contents, elsewhere)


def test_padding_answers_nothing() -> None:
    contents = [noise(20), b""]
    rows = filled(contents)
    assert (len(rows.real), int(rows.real.sum())) == (4, 3)

    def answers(name: str, place: tuple[int, ...]) -> Lie:
        def lie(rows: Any) -> None:
            getattr(rows, name)[place] = 1

        return lie

    assert "padding answers nothing [7]" in alone(contents, answers("instructions", (3, 7)))
    assert "padding answers nothing [32]" in alone(contents, answers("words", (3,)))
    assert "the first row tells the size" in alone(contents, answers("sizes", (3,)))
    assert "the first row tells the size" in alone(contents, answers("sizes", (1,)))

    def real(rows: Any) -> None:
        """A row of zeros behind the table's end."""
        rows.real[3], rows.id[3], rows.index[3] = 1, rows.id[2], 1
        rows.start[3], rows.offset[3], rows.time[3] = 1, rows.offset[2] + 32, rows.time[2] + 1
        rows.source[3], rows.is_memory[3], rows.xor[3] = rows.source[2], rows.is_memory[2], rows.xor[2]

    # More zeros behind a code are as true as the first ones.
    assert alone(contents, real) == set()


def test_a_code_ends_with_an_instruction() -> None:
    """Without the second row of zeros the data of the PUSH32 would end with the table."""
    contents = [bytes(31) + b"\x7f"]

    def lie(rows: Any) -> None:
        matrix = rows._matrix
        matrix[2:] = 0

    assert {"the last byte is an instruction"} == alone(contents, lie) - {"bitwise_bytes"}


def test_false_questions_have_no_answer() -> None:
    contents = [noise(40), BORDERS]
    asked = everything(contents)
    for name in asked:
        bus = {"instructions": "instruction", "words": "buffer", "sizes": "buffer_size"}[name]
        message = asked[name][1]
        for field in range(len(message)):
            for by in (1, 1 << 20):
                other = [*message]
                other[field] += by
                assert bus in findings(family(contents, **{name: [other]})), (name, field)
    for message in ([0, 0, 0, 1], [INIT_CODE_BASE - 1, 0, 0, 1], [INIT_CODE_BASE + 99, 0, 0, 1]):
        assert "instruction" in findings(family(contents, instructions=[message]))
