"""The precompiles SHA-256, RIPEMD-160 and identity: what they ask for, pay and return, and what a liar may try."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from Crypto.Hash import RIPEMD160 as REFERENCE

from circuits.air.checker import check_circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import MODULUS
from circuits.batch import precompile_calls
from circuits.batch.precompile_calls import PrecompileCalls
from circuits.batch.precompiles import (
    IDENTITY,
    RIPEMD160,
    SHA256,
    precompile_duration,
    precompile_gas,
    precompile_output,
)
from circuits.component import Acting, Answering, Component
from circuits.frames.buses import HALT, PRECOMPILE
from circuits.frames.frames import Ending
from circuits.functions.buses import RIPEMD160_FUNCTION, SHA256_FUNCTION
from circuits.instructions.buses import COPY
from circuits.limbs import words_from_bytes
from circuits.memory import hash_read
from circuits.memory.buses import HASH_READ, MEMORY_BYTES
from circuits.precompiles.hashes import COMPONENTS
from circuits.segment import fill, in_order, segment_circuit
from executor.forks import CANCUN
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import Lie, closed, fill_family, mutate_family, open_messages
from tests.circuits.lying import BYTES, RANGES, places

LENGTHS = (0, 1, 31, 32, 33, 55, 56, 63, 64, 65, 100, 128, 1000)


@dataclass(frozen=True)
class Call:
    """A call of a precompile: its input lies in a buffer (kind 0) or in the memory of another frame (kind 2)."""

    number: int
    data: bytes
    gas: int
    kind: int = 2
    source: int = 900
    start: int = 77

    @property
    def cost(self) -> int:
        """By the specification, not by the circuit."""
        words = (len(self.data) + 31) // 32
        return {2: 60 + 12 * words, 3: 600 + 120 * words, 4: 15 + 3 * words}[self.number]

    @property
    def output(self) -> bytes:
        if self.number == SHA256:
            return hashlib.sha256(self.data).digest()
        if self.number == RIPEMD160:
            return REFERENCE.new(self.data).digest().rjust(32, b"\0")
        return self.data


class Calls:
    """Stands for an execution: frame n + 1 makes the n-th call, at a time of its own."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        columns = {
            name: _integers(getattr(c, name) for c in calls) for name in ("number", "kind", "source", "start", "gas")
        }
        numbers = np.arange(len(calls))
        precompile_calls._calls[self] = PrecompileCalls.make(
            [c.data for c in calls], frame=numbers + 1, time=1000 * (numbers + 1), **columns
        )

    def time(self, n: int) -> int:
        return 1000 * (n + 1)


def _integers(values: Iterable[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(list(values), dtype=np.int64)


#: The precompiles, the hash functions, and all that they ask.
FAMILY: tuple[Component, ...] = tuple(
    in_order(
        [
            *COMPONENTS,
            Answering(
                hash_read.HashRead(), HASH_READ, lambda e, sent: hash_read.fill(sent, PrecompileCalls.of(e).distinct)
            ),
            BYTES,
            RANGES,
        ]
    )
)


@cache
def _calls() -> Any:
    """All lengths, paid exactly; calls that lack one gas; equal inputs; inputs of buffers."""
    calls = []
    for number in (SHA256, RIPEMD160, IDENTITY):
        for length in LENGTHS:
            data = np.random.default_rng(length).bytes(length)
            call = Call(number, data, 0)
            calls.append(Call(number, data, call.cost))
            if length in (0, 33):
                calls.append(Call(number, data, call.cost - 1))
                calls.append(Call(number, data, (1 << 30) - 1, kind=0, source=3, start=0))
    return Calls(calls)


@cache
def _few() -> Any:
    data = bytes(range(1, 101))
    calls = [Call(number, data[:size], 10_000) for size in (0, 40, 64) for number in (SHA256, RIPEMD160, IDENTITY)]
    return Calls([*calls, Call(SHA256, data[:40], 83), Call(IDENTITY, data[:33], 20), Call(RIPEMD160, data[:7], 0)])


def _objections(execution: Any, lies: Mapping[str, Lie]) -> set[str]:
    traces = fill_family(FAMILY, execution, lies)
    circuit, filled = closed([c.table for c in FAMILY], fill_family(FAMILY, execution))
    return places(check_circuit(circuit, [*traces, *filled[len(traces) :]], [[] for _ in filled]))


def test_honest() -> None:
    traces = fill_family(FAMILY, _calls())
    circuit, filled = closed([c.table for c in FAMILY], traces)
    assert not check_circuit(circuit, filled, [[] for _ in filled])
    assert {name for name in circuit.names if name.startswith("world_")} == {
        "world_precompile",
        "world_copy",
        "world_memory_bytes",
        "world_halt",
    }


def test_frames_end_as_specified() -> None:
    expected = []
    for n, call in enumerate(_calls().calls):
        paid = call.gas >= call.cost
        size = np.array([len(call.data)])
        number = np.array([call.number])
        duration = int(precompile_duration(number, size, np.array([call.gas]), np.array([paid]))[0])
        start, returned = (int(x[0]) for x in precompile_output(number, size, np.array([len(call.output)])))
        end = _calls().time(n) + duration
        if paid:
            expected.append((n + 1, int(Ending.SUCCEEDED), call.gas - call.cost, start, returned, end))
        else:
            assert duration == 0
            expected.append((n + 1, int(Ending.UNPAID), 0, 0, 0, end))
    assert open_messages(FAMILY, _calls(), HALT) == sorted(expected)


def test_gas() -> None:
    calls = _calls().calls
    cost = precompile_gas(np.array([c.number for c in calls]), np.array([len(c.data) for c in calls]))
    assert cost.tolist() == [c.cost for c in calls]


def test_inputs_are_copied() -> None:
    """To the beginning of the frame's memory, unless there are none or they are not paid for."""
    expected = [
        (n + 1, _calls().time(n), _calls().time(n), c.kind, c.source, c.start, 0, len(c.data))
        for n, c in enumerate(_calls().calls)
        if c.gas >= c.cost and c.data
    ]
    assert open_messages(FAMILY, _calls(), COPY) == sorted(expected)


def test_inputs_are_read_and_digests_written() -> None:
    """Words are read after all of them have been copied, and the digest is written behind the last one."""
    expected = []
    for n, call in enumerate(_calls().calls):
        if call.number == IDENTITY or call.gas < call.cost:
            continue
        words, time = (len(call.data) + 31) // 32, _calls().time(n)
        for k in range(words):
            part = call.data[32 * k : 32 * k + 32]
            expected.append((n + 1, time + words + k, 0, 32 * k, len(part), *_word(part.ljust(32, b"\0"))))
        expected.append((n + 1, time + 2 * words, 1, 32 * words, 32, *_word(call.output)))
    assert open_messages(FAMILY, _calls(), MEMORY_BYTES) == sorted(expected)


def _word(data: bytes) -> list[int]:
    limbs: list[int] = words_from_bytes([data])[0].tolist()
    return limbs


def test_equal_inputs_are_hashed_once() -> None:
    inputs = PrecompileCalls.of(_calls())
    hashed = [c for c in _calls().calls if c.number != IDENTITY and c.gas >= c.cost]
    for function, number in ((SHA256_FUNCTION, SHA256), (RIPEMD160_FUNCTION, RIPEMD160)):
        data = [c.data for c in hashed if c.number == number]
        assert len(data) > len(set(data)) == len(inputs.distinct[function].data)


def test_messages_of_frames_are_received() -> None:
    expected = [
        (n + 1, c.number, c.kind, c.source, c.start, len(c.data), c.gas, _calls().time(n))
        for n, c in enumerate(_calls().calls)
    ]
    assert open_messages(FAMILY, _calls(), PRECOMPILE) == sorted(expected)


def test_without_calls_there_are_no_tables() -> None:
    traces = fill_family(FAMILY, Calls([]))  # type: ignore[arg-type]
    present = {c.table.name for c, trace in zip(FAMILY, traces, strict=True) if trace is not None}
    assert present == {"bitwise_bytes", "range16"}
    traces = fill_family(FAMILY, Calls([Call(IDENTITY, b"abc", 100)]))  # type: ignore[arg-type]
    present = {c.table.name for c, trace in zip(FAMILY, traces, strict=True) if trace is not None}
    assert present == {"bitwise_bytes", "range16", "hash_precompiles"}


#: Calls of contracts: number, size of the input (of memory from 7 on), gas.
_SOURCE = " ".join(f"32 200 {size} 7 {number} {gas} {call} pop" for number, size, gas, call in (
    (2, 0, 60, "staticcall"), (2, 100, 108, "staticcall"), (2, 100, 107, "staticcall"), (3, 64, 840, "delegatecall"),
    (3, 0, 599, "staticcall"), (4, 33, 21, "staticcall"), (4, 0, 15, "delegatecall"), (4, 1, 17, "staticcall"),
))  # fmt: skip


def test_an_execution() -> None:
    """Contracts and a transaction call precompiles, with just enough gas and with less: the segment is accepted."""
    source = (
        f"{_SOURCE} returndatasize pop 0 5 mstore 32 0 100 7 2 5000 staticcall pop 32 0 0 returndatacopy 0 mload pop"
    )
    building = Builder().alloc(CONTRACT, code="0x" + assemble(f"{1 << 255} 9 mstore {source} stop").hex())
    building.block(call_contract(building, gas=1_000_000))
    building.block(call_contract(building, to=(2).to_bytes(20, "big"), data="0x" + "5a" * 70))
    execution = execution_of(building.execute())
    outcomes = execution.trace.frames.outcome[execution.frames[execution.frame_precompile > 0]]
    assert (outcomes != 0).tolist() == [False, False, True, False, True, False, False, True, False, False]
    calls = PrecompileCalls.of(execution)
    assert (calls.gas < calls.cost).tolist() == (outcomes != 0).tolist()
    # Nothing, the same memory before and after it has changed, and what the transaction hashes.
    assert [len(data) for data in calls.distinct[SHA256_FUNCTION].data] == [0, 100, 100, 70]
    filled = fill(execution)
    assert not check_circuit(segment_circuit(CANCUN), filled.traces, filled.public_lists, algebra=NATIVE)


def _row(number: int, size: int) -> int:
    """Of a paid call among the few ones."""
    return next(n for n, c in enumerate(_few().calls) if (c.number, len(c.data)) == (number, size))


def test_another_function() -> None:
    """SHA-256 is called, identity is paid."""

    def lie(rows: Any) -> None:
        row = _row(SHA256, 40)
        rows.sha256[row], rows.identity[row] = 0, 1
        rows.cost[row] = 21
        rows.charge.margin[row] += 84 - 21
        rows.id[row] = 0
        rows.digest[row] = 0

    assert "precompile" in _objections(_few(), {"hash_precompiles": lie})


def test_the_digest_of_another_function() -> None:
    """RIPEMD-160 is called; the digest is that of SHA-256, of the same bytes."""

    def lie(rows: Any) -> None:
        rows.digest[_row(RIPEMD160, 40)] = rows.digest[_row(SHA256, 40)]
        rows.id[_row(RIPEMD160, 40)] = rows.id[_row(SHA256, 40)]

    assert "hash_out" in _objections(_few(), {"hash_precompiles": lie})


def test_the_digest_of_another_input() -> None:
    """Of another length, or of other bytes."""

    def shorter(rows: Any) -> None:
        for name in ("id", "digest"):
            getattr(rows, name)[_row(SHA256, 64)] = getattr(rows, name)[_row(SHA256, 40)]

    assert "hash_out" in _objections(_few(), {"hash_precompiles": shorter})

    other = Calls([Call(SHA256, b"a" * 40, 10_000), Call(SHA256, b"b" * 40, 10_000)])

    def swapped(rows: Any) -> None:
        for name in ("id", "digest"):
            cells = getattr(rows, name)
            cells[:2] = cells[:2][::-1].copy()

    # What is read is another input than what stands in the memory.
    assert "memory_bytes" in _objections(other, {"hash_precompiles": swapped})


def test_fewer_words() -> None:
    """Are cheaper, and the digest would be written into the input."""

    def lie(rows: Any) -> None:
        row = _row(SHA256, 40)
        rows.words_low[row] -= 1
        rows.cost[row] -= 12
        rows.charge.margin[row] += 12

    assert "range16" in _objections(_few(), {"hash_precompiles": lie})


def test_words_that_wrap() -> None:
    """A 32nd of the size in the field."""

    def lie(rows: Any) -> None:
        row = _row(SHA256, 40)
        words = 40 * pow(32, -1, MODULUS) % MODULUS
        rows.words_low[row], rows.words_high[row] = words & 0xFFFF, words >> 16
        rows.cost[row] = (60 + 12 * words) % MODULUS
        margin = 10_000 - int(rows.cost[row])
        rows.charge.fails[row] = margin < 0
        rows.charge.margin[row] = (-margin - 1 if margin < 0 else margin) & 0xFFFF

    assert "range16" in _objections(_few(), {"hash_precompiles": lie})


def test_an_input_that_is_not_read() -> None:
    def lie(rows: Any) -> None:
        row = _row(RIPEMD160, 40)
        rows.empty.zero[row] = 1
        rows.empty.inverse[row] = 0

    assert "empty: value * zero = 0" in _objections(_few(), {"hash_precompiles": lie})


@pytest.mark.parametrize("paid", [True, False])
def test_a_false_charge(paid: bool) -> None:
    """A call that is paid fails, one that is not paid succeeds."""

    def lie(rows: Any) -> None:
        row = _row(IDENTITY, 40 if paid else 33)
        rows.charge.fails[row] = paid
        margin = int(rows.gas[row]) - int(rows.cost[row])
        rows.charge.margin[row] = (-margin - 1 if paid else margin) & 0xFFFF

    assert "range16" in _objections(_few(), {"hash_precompiles": lie})


def test_a_digest_where_nothing_is_hashed() -> None:
    def lie(rows: Any) -> None:
        rows.digest[_row(IDENTITY, 40), 3] = 1

    assert "nothing is hashed: cell 4" in _objections(_few(), {"hash_precompiles": lie})


def test_reads_of_another_function() -> None:
    """What is read for RIPEMD-160 is compared with an input of SHA-256."""

    def lie(rows: Any) -> None:
        row = int(np.flatnonzero(rows.function == RIPEMD160_FUNCTION)[0])
        rows.function[row] = SHA256_FUNCTION

    assert "hash_read" in _objections(_few(), {"hash_read": lie})


def test_mutations_are_rejected() -> None:
    """What frames send, words and digests are the world's here: the functions have tests of their own."""
    filled = dict(zip((c.table.name for c in FAMILY), fill_family(FAMILY, _few()), strict=True))
    tables = [c.table for c in FAMILY if c.table.name in ("hash_precompiles", "hash_read")]
    chosen = [*(Acting(table, lambda _, name=table.name: filled[name]) for table in tables), RANGES]  # type: ignore[misc]
    report = mutate_family(chosen, _few(), rows_per_table=14)
    assert report.coverage["hash_precompiles"].real_rows == 12
    assert report.survivors == [], str(report)
