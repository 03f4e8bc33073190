"""Codes and push sites: true answers only, for codes that the verifier knows."""

from __future__ import annotations

import numpy as np
import pytest

from circuits.air.layout import TraceView
from circuits.batch.execution import Execution
from circuits.frames import code
from circuits.frames.buses import BUFFER, BUFFER_SIZE, CODE, INSTRUCTION, PUSH
from circuits.functions.buses import BITWISE_BYTES, POSEIDON2
from circuits.functions.poseidon2 import compress
from circuits.instructions import stack
from circuits.state.buses import CODE_LEAF
from circuits.statement import code_digests
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, OTHER, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, fill_family, mutate_family, open_messages
from tests.circuits.lying import BYTES, RANGES

FAMILY = (*stack.COMPONENTS, *code.COMPONENTS)
CHECKED = (*FAMILY, RANGES, BYTES)

ONES = "0x" + "ff" * 32
LONG = f"7 0 0x0102 0x010203 0x01020304 0x0102030405 0x{'1234' * 15} {ONES} 0x8000000000 dup9 swap3 pop stop"
#: The last PUSH32 has one byte of data, the others lie behind the end; the first byte is data that looks like PUSH1.
CUT = bytes.fromhex("6160ff7f05")


def of_codes(*codes: bytes) -> Execution:
    """A batch that runs each of these codes."""
    building = Builder()
    transactions = []
    for number, bytes_ in enumerate(codes):
        address = bytes([0xA0 + number]) * 20
        building.alloc(address, code="0x" + bytes_.hex())
        transactions.append(call_contract(building, to=address))
    return execution_of(building.block(*transactions).execute())


def test_honest_codes_are_accepted() -> None:
    execution = of_codes(assemble(LONG), CUT, bytes.fromhex("00"), assemble("0x60 5 pop pop") * 20)
    assert not check_family(CHECKED, execution)


def test_nobody_asks_nobody_answers() -> None:
    assert not any(fill_family(code.COMPONENTS, of_codes(assemble(LONG))))


def test_codes_are_looked_up_in_the_tree_by_their_hash() -> None:
    codes = [assemble(LONG), CUT, assemble("5 pop") * 30]
    execution = of_codes(*codes)
    open_ = np.array(open_messages(FAMILY, execution, CODE_LEAF))
    trace = execution.trace
    table = zip(trace.codes.start, trace.codes.size, trace.codes.hash, strict=True)
    hashes = {trace.bytes_at(start, size): hash_.tolist() for start, size, hash_ in table}
    wanted = [[*hashes[c], *digest.tolist(), len(c)] for c, digest in zip(codes, code_digests(codes), strict=True)]
    assert sorted(open_.tolist()) == sorted(wanted)


def test_every_bus_is_answered() -> None:
    execution = of_codes(assemble(LONG), CUT)
    content = CUT.ljust(32, b"\0")
    word = np.frombuffer(content, dtype=">u2")[::-1].astype(np.uint32)
    row = int(np.flatnonzero([execution.trace.codes.size[c] == len(CUT) for c in execution.codes])[0])
    id_, hash_ = int(execution.code_ids[row]), execution.trace.codes.hash[execution.codes[row]]
    instructions = np.array([[id_, 3, 0x7F, 1], [id_, 3, 0x7F, 1], [id_, 1, 0x60, 0], [id_, 37, 0, 1]])
    codes = np.array([[id_, *hash_, len(CUT)]])
    words = np.array([[1, id_, 0, *word]] * 3)
    sizes = np.array([[1, id_, len(CUT)]])
    asked = [array.astype(np.uint32) for array in (instructions, codes, words, sizes)]
    matrix = code.fill_code(execution, *asked)
    assert matrix is not None
    rows = TraceView(code.CodeColumns, matrix)
    assert rows.instructions[id_, [3, 1]].tolist() == [2, 1]
    assert rows.instructions[id_ + 1, 5] == 1
    assert rows.words[id_] == 3
    assert (rows.codes[id_ + 1], rows.sizes[id_ + 1]) == (1, 1)
    # What is false is not answered: another byte, another place, another code, calldata of the same id.
    false = [
        np.array([[id_, 3, 0x7F, 0], [id_, 3, 0x7E, 1], [id_, 64, 0, 1], [id_ + 1, 0, 0, 1], [9999, 0, 0, 1]]),
        np.array([[id_, *hash_, 6], [id_, *hash_[::-1], len(CUT)], [id_ + 1, *hash_, len(CUT)]]),
        np.array([[0, id_, 0, *word], [1, id_, 1, *word], [1, id_ + 1, 0, *word], [1, id_, 9999, *word]]),
        np.array([[0, id_, len(CUT)], [1, id_, 32], [1, id_ + 1, len(CUT)]]),
    ]
    matrix = code.fill_code(execution, *(array.astype(np.uint32) for array in false))
    assert matrix is not None
    rows = TraceView(code.CodeColumns, matrix)
    assert not any(getattr(rows, name).any() for name in ("instructions", "words", "codes", "sizes"))


def test_data_behind_the_end_is_zero() -> None:
    execution = of_codes(CUT)
    sites = fill_family(FAMILY, execution)[[c.table.name for c in FAMILY].index("push_site_large")]
    assert sites is not None
    rows = TraceView(code.SITES_LARGE.layout, sites)
    assert rows.size[0] == 32
    assert rows.data[0].tolist() == [0] * 31 + [5]


@pytest.mark.parametrize("seed", range(2))
def test_mutations_are_rejected(seed: int) -> None:
    # No two sites hold the same data: a site moved to another one would state another truth.
    execution = of_codes(assemble(LONG), CUT, assemble(" ".join(f"{256 + n} pop" for n in range(30))))
    report = mutate_family(FAMILY, execution, seed=seed)
    assert not report.survivors, str(report)
    assert {"code", "push_site_small", "push_site_large"} <= set(report.coverage)


def _first_row_of(size: int, rows: TraceView) -> int:
    return int(np.flatnonzero(rows.size == size)[0])


def test_a_push_of_another_size_is_no_site() -> None:
    """The liar leaves out the upper byte of the data, or takes the next instruction for data."""
    execution = of_codes(assemble("7 0x0102 0x0304 pop pop pop stop"))

    def shorter(rows: TraceView) -> None:
        row = _first_row_of(2, rows)
        rows.size[row], rows.active[row, 1], rows.data[row, 1] = 1, 0, 0

    def longer(rows: TraceView) -> None:
        row = _first_row_of(2, rows)
        rows.size[row], rows.active[row, 2] = 3, 1
        rows.data[row, :3] = (0x61, 2, 1)

    for lie in (shorter, longer):
        findings = check_family(FAMILY, execution, {"push_site_small": lie})
        assert any("instruction" in str(finding) for finding in findings)


def test_a_site_within_data_is_refused() -> None:
    """Byte 1 of the code is 0x60, but data."""
    execution = of_codes(CUT)

    def lie(rows: TraceView) -> None:
        row = _first_row_of(2, rows)
        rows.pc[row], rows.size[row], rows.active[row, 1] = 1, 1, 0
        rows.data[row, :2] = (0xFF, 0)

    assert any("bus instruction" in str(f) for f in check_family(FAMILY, execution, {"push_site_small": lie}))


def test_two_codes_do_not_share_an_id() -> None:
    execution = of_codes(assemble(LONG), CUT)

    def lie(rows: TraceView) -> None:
        first = int(np.flatnonzero(rows.first)[1])
        rows.id[first:] = 0
        rows.index[first:] = np.arange(len(rows.index) - first)

    assert any("rows are numbered" in str(f) for f in check_family(FAMILY, execution, {"code": lie}))


def test_a_code_without_an_end_is_refused() -> None:
    """Without a last row nothing ties the bytes to a leaf; with a full table, no padding row betrays that."""
    execution = of_codes(bytes.fromhex("600100"))

    def lie(rows: TraceView) -> None:
        assert rows.real.all()
        last = int(np.flatnonzero(rows.last)[0])
        for cells in (rows.last, rows.hash, rows.size, rows.codes, rows.sizes):
            cells[last] = 0

    findings = check_family(FAMILY, execution, {"code": lie})
    assert any("does not start within another" in str(f) for f in findings)


def test_bytes_are_bytes() -> None:
    """A start moved into a byte, or a byte into its neighbour, leaves the hashed element as it is."""
    execution = of_codes(assemble("7 0x0102 pop pop stop"))

    def neighbour(rows: TraceView) -> None:
        rows.data[0, 0] += 256
        rows.data[0, 1] -= 1
        rows.xor[0, 0] = rows.data[0, 0] ^ rows.data[0, 1]

    def start(rows: TraceView) -> None:
        assert rows.start[0, 0] == 1
        rows.start[0, 0] = 0
        rows.data[0, 1] += 256
        rows.xor[0, 0] = rows.data[0, 0] ^ rows.data[0, 1]

    for lie in (neighbour, start):
        findings = [str(f) for f in check_family(CHECKED, execution, {"code": lie})]
        assert any("bus bitwise_bytes" in finding for finding in findings)
        assert not any("bus poseidon2" in finding for finding in findings)


def test_another_code_has_another_leaf() -> None:
    """A liar who executes other bytes reaches a digest which the tree does not hold."""
    execution = of_codes(assemble("7 0x0102 pop pop stop"))
    before = open_messages(FAMILY, execution, CODE_LEAF)

    def lie(rows: TraceView) -> None:
        rows.data[0, 1] = 8
        rows.xor[0, 0] = rows.data[0, 0] ^ 8
        pairs = (rows.data[:, 0::2] + (rows.data[:, 1::2] << 8)).astype(np.uint32)
        pairs += (rows.start[:, 0::2] << 16) + (rows.start[:, 1::2] << 17)
        for row in range(len(pairs)):
            rows.state[row] = rows.after[row - 1] if row else rows.state[0]
            rows.middle[row] = compress(rows.state[row : row + 1], pairs[row : row + 1, :8])[0]
            rows.after[row] = compress(rows.middle[row : row + 1], pairs[row : row + 1, 8:])[0]

    traces = fill_family(FAMILY, execution, {"code": lie})
    assert traces[-1] is not None
    rows = TraceView(code.CodeColumns, traces[-1])
    assert rows.last.sum() == 1
    assert [*before[0][16:24]] != rows.after[rows.last == 1][0].tolist()


def test_tables_ask_only_the_buses_they_should() -> None:
    asked = {i.bus for c in code.COMPONENTS for i in c.table.air.interactions if not i.provides}
    answered = {i.bus for c in code.COMPONENTS for i in c.table.air.interactions if i.provides}
    assert asked == {INSTRUCTION, CODE_LEAF, POSEIDON2, BITWISE_BYTES}
    assert answered == {PUSH, INSTRUCTION, CODE, BUFFER, BUFFER_SIZE}


def test_codes_of_other_accounts_are_there() -> None:
    building = Builder()
    building.alloc(CONTRACT, code="0x" + assemble(f"0x{OTHER.hex()} extcodesize pop stop").hex())
    building.alloc(OTHER, code="0x" + CUT.hex())
    execution = execution_of(building.block(call_contract(building)).execute())
    assert sorted(execution.trace.codes.size[execution.codes].tolist()) == [5, 24]
    assert not check_family(FAMILY, execution)
