"""MLOAD, MSTORE and MSTORE8, and the words of memory behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits.air.circuit import Circuit
from circuits.air.field import MODULUS
from circuits.instructions.memory import COMPONENTS
from circuits.memory import memory_view
from circuits.memory.memory_view import MLOAD, MSTORE, MSTORE8, MemoryView
from tests.circuits.family import fill_family, mutate_family
from tests.circuits.memory_family import FAMILY, WORD, objections, put, run

PROGRAMS = {
    "aligned": f"{WORD} 0 mstore 0 mload {WORD} 64 mstore 32 mload 7 32 mstore 64 mload 3 65504 mstore 65504 mload",
    "unaligned": " ".join(f"{WORD} {offset} mstore {offset + 3} mload" for offset in range(34)),
    "overlapping": f"{WORD} 0 mstore {WORD} 9 mstore {WORD} 15 mstore 0 mload 31 mload {WORD} 32 mstore 20 mload",
    "bytes": " ".join(f"{300 + offset} {offset} mstore8" for offset in range(0, 70, 7)) + " 0 mload 31 mload 33 mload",
    "far": "7 100000 mstore 100000 mload 99999 mload 3 65536 mstore 65536 mload 1 100031 mstore8 64 mload",
    "nothing": "1 2 add",
}
COPIES = (
    f"{WORD} 7 mstore 40 3 sha3 50 1 32 calldatacopy 70 0 5 codecopy 45 3 10 mcopy 33 3 20 mcopy 64 32 0 mcopy "
    "100 0 sha3 4 3 2 1 100 20 log4 64 0 sha3 9 128 mload 128 mstore 64 0 return"
)
POOR = (
    "1 0 mstore 7 200000 mstore",
    "1 0 mstore 200001 mload",
    "0x1234 0 mstore8 7 200000 mstore8",
    "7 123456 mstore 1 16777184 mstore",
    "1 16777215 mstore8",
)


def inverse(value: int) -> int:
    return pow(value, -1, MODULUS)


def test_sizes() -> None:
    sizes = {t.name: (t.columns, t.interactions) for t in Circuit("memory", [c.table for c in FAMILY]).statistics}
    assert (sizes["load_aligned"], sizes["store_aligned"]) == ((29, 11), (46, 12))
    assert sizes["memory"] == (22, 2)
    assert (sizes["memory_read_words"], sizes["memory_write_words"]) == ((21, 4), (37, 4))


@pytest.mark.parametrize("name", PROGRAMS)
def test_honest(name: str) -> None:
    assert objections(run(PROGRAMS[name])) == set()


def test_honest_frames_and_copies() -> None:
    # The second frame uses no memory, but has a row in the memory table.
    execution = run(PROGRAMS["aligned"], PROGRAMS["nothing"], COPIES, PROGRAMS["bytes"])
    assert objections(execution, outside=["memory_bytes"]) == set()


def test_honest_out_of_gas() -> None:
    execution = run(*POOR, gas=60_000)
    assert execution.failed.sum() == len(POOR)
    assert objections(execution) == set()


def test_gas_to_the_last_unit() -> None:
    # 21000, 16 * 70 for the data, 3 + 2 for the pushes, 3 + 3: with one unit less it is the store that fails.
    cost = 21_000 + 16 * 70 + 11
    assert not run("1 0 mstore", gas=cost).failed.any()
    poor = run("1 0 mstore", gas=cost - 1)
    assert poor.failed.any()
    assert objections(poor) == set()
    # Without growth, too.
    poor = run("1 0 mstore 0 mload", gas=cost + 4)
    assert poor.failed.any()
    assert objections(poor) == set()


def test_every_step_has_one_row() -> None:
    execution = run(PROGRAMS["aligned"], PROGRAMS["overlapping"], PROGRAMS["far"])
    filled = [t for t in fill_family(COMPONENTS, execution) if t is not None]
    assert len(execution.rows(MLOAD, MSTORE, MSTORE8)) == sum(int(matrix[:, 0].sum()) for matrix in filled)


@pytest.mark.deep
def test_old_tokens_are_made_younger(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = "9 0 mstore 10000 loop: 1 swap1 sub dup1 @loop jumpi 0 mload 0 mload"
    assert objections(run(loop)) == set()
    refreshed = MemoryView.of(run(loop)).accesses.refreshed
    assert refreshed.sum() == 1
    monkeypatch.setattr(memory_view, "MAX_AGE", 9)
    execution = run(PROGRAMS["overlapping"], PROGRAMS["aligned"], COPIES)
    assert objections(execution, outside=["memory_bytes"]) == set()
    report = mutate_family(FAMILY, execution)
    assert report.survivors == [], str(report)
    assert "memory_refresh" in report.coverage


def test_requests_hold_what_the_trace_does() -> None:
    execution = run(COPIES)
    view = MemoryView.of(execution)
    requests, accesses = view.requests, view.accesses
    assert MemoryView.of(execution) is view
    assert (np.diff(requests.time) > 0).all()
    # The words as bytes, and the bytes of each request cut out of them.
    words = accesses.after[:, ::-1].astype(">u2").view(np.uint8).reshape(-1, 32)
    for n in range(len(requests.step)):
        both = words[requests.first[n]].tobytes()
        if requests.second[n] >= 0:
            both += words[requests.second[n]].tobytes()
        begin = int(requests.offset[n] % 32)
        content = both[begin : begin + int(requests.size[n])].ljust(32, b"\0")
        assert content == requests.word[n][::-1].astype(">u2").tobytes()


@pytest.mark.parametrize("name", [n for n in PROGRAMS if n != "nothing"])
def test_mutations(name: str) -> None:
    report = mutate_family(FAMILY, run(PROGRAMS[name]))
    assert report.survivors == [], str(report)


def test_mutations_of_copies_and_failures() -> None:
    for execution in (run(COPIES), run(*POOR, gas=60_000)):
        report = mutate_family(FAMILY, execution, rows_per_table=8)
        assert report.survivors == [], str(report)


# Lies


def test_stale_read() -> None:
    execution = run("1 0 mstore 2 0 mstore 0 mload pop")
    times = execution.time[execution.rows(MLOAD, MSTORE)].tolist()

    # The load comes between the stores, whose second one takes its token.
    word = np.zeros(16, dtype=np.int64)
    word[0] = 1

    def load(rows: Any) -> None:
        put(rows, 0, word=word, word_then=times[0])

    def store(rows: Any) -> None:
        put(rows, 1, word=word, word_then=times[2])

    def end(rows: Any) -> None:
        rows.word[0, 0] = 2
        rows.last[0] = times[1]

    assert objections(execution, load_aligned=load, store_aligned=store, memory=end) == {"range16"}


def test_access_that_takes_its_own_token() -> None:
    execution = run("7 0 mstore 0 mload pop")
    times = execution.time[execution.rows(MLOAD, MSTORE)].tolist()

    def lie(rows: Any) -> None:
        put(rows, 0, word=np.arange(16), word_then=times[1])

    def end(rows: Any) -> None:
        rows.last[0] = times[0]

    assert objections(execution, load_aligned=lie, memory=end) == {"range16"}


def test_load_that_changes_the_word() -> None:
    def lie(rows: Any) -> None:
        rows.word[0, 3] = 5

    found = objections(run("7 0 mstore 0 mload pop"), load_aligned=lie, memory=lie)
    assert found == {"open memory"}


def test_word_with_two_histories() -> None:
    execution = run("7 0 mstore 0 mload pop 9 64 mstore")
    times = execution.time[execution.rows(MLOAD, MSTORE)].tolist()

    def lie(rows: Any) -> None:
        put(rows, 0, word=np.zeros(16), word_then=times[1] - 1)

    def end(rows: Any) -> None:
        # Word 1, which nothing accesses, gives its row to a second history of word 0.
        put(rows, 0, last=times[0])
        put(rows, 1, real=1, index=0, start=times[1] - 1, last=times[1])

    order = "the index steps by 1, and begins anew with a frame"
    assert objections(execution, load_aligned=lie, memory=end) == {order}


def test_rows_of_memory_out_of_order() -> None:
    def lie(rows: Any) -> None:
        for name in ("real", "index", "start", "word", "last"):
            column = getattr(rows, name)
            column[[0, 1]] = column[[1, 0]]

    found = objections(run("7 0 mstore 9 32 mstore"), memory=lie)
    assert found == {"the first word: index", "the index steps by 1, and begins anew with a frame"}


def test_first_word_that_is_not_zero() -> None:
    def lie(rows: Any) -> None:
        put(rows, 0, word=np.arange(16))

    def end(rows: Any) -> None:
        rows.word[0] = np.arange(16)

    assert objections(run("0 mload pop"), load_aligned=lie, memory=end) == {"open memory"}


def test_offset_between_words_as_an_aligned_one() -> None:
    execution = run("0 mload pop")

    def lie(rows: Any) -> None:
        rows.index[0] = inverse(32)  # so that the offset is 1

    def end(rows: Any) -> None:
        rows.index[0] = inverse(32)

    found = objections(execution, load_aligned=lie, memory=end)
    assert {"range16", "the first word: index"} <= found


def test_growth_that_is_denied_or_claimed() -> None:
    execution = run("0 mload 0 mload")

    def denied(rows: Any) -> None:
        put(rows, 0, grows=0, cost=0)

    def claimed(rows: Any) -> None:
        put(rows, 1, grows=1)

    assert objections(execution, load_aligned=denied) == {"range16"}
    assert objections(execution, load_aligned=claimed) == {"range16"}


def test_growth_for_less() -> None:
    def lie(rows: Any) -> None:
        rows.cost[0] -= 1

    assert objections(run("1024 mload"), load_aligned=lie) == {"expansion"}

    def general(rows: Any) -> None:
        rows.expansion[0] -= 1
        rows.charge.margin[0] += 1

    assert objections(run("1025 mload"), memory_general=general) == {"expansion"}


@pytest.mark.parametrize("gas", [60_000, 1_000_000])
def test_turning_the_outcome_around(gas: int) -> None:
    execution = run("1 200000 mstore", gas=gas)

    def lie(rows: Any) -> None:
        fails = 1 - int(rows.charge.fails[0])
        margin = int(rows.gas[0]) - int(rows.expansion[0]) - 3
        rows.charge.fails[0] = fails
        rows.charge.margin[0] = (-margin - 1 if fails else margin) & 0xFFFF

    found = objections(execution, memory_general=lie)
    assert "range16" in found


def test_offset_beyond_the_field() -> None:
    # An offset that is the modulus as an integer is not 0.
    def lie(rows: Any) -> None:
        rows.offset[0] = (MODULUS & 0xFFFF, MODULUS >> 16)

    assert objections(run("7 64 mstore 1 1 mstore", gas=1_000_000), memory_general=lie) >= {"range16"}

    def exact(rows: Any) -> None:
        rows.offset[0] = ((MODULUS + 1) & 0xFFFF, (MODULUS + 1) >> 16)

    assert objections(run("7 64 mstore 1 1 mstore"), memory_general=exact) == {"range16"}


def test_storing_another_byte() -> None:
    execution = run("0x1234 3 mstore8")

    def lie(rows: Any) -> None:
        put(rows, 0, low=0x12, low_xor=0x12 ^ 0x34)

    assert "bitwise_bytes" in objections(execution, memory_general=lie)


def test_failing_load_that_loads() -> None:
    def lie(rows: Any) -> None:
        rows.word[0, 2] = 1

    found = objections(run("200001 mload", gas=60_000), memory_general=lie)
    assert found == {"nothing is loaded by a load that fails: limb 2"}
