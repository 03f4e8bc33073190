"""The precompile BLAKE2F: against EIP-152 and py-evm, how its calls end, and what a dishonest prover may try."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import zkevm_native
from eth._utils.blake2.compression import Blake2b, blake2b_compress
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.air.checker import check_circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import MODULUS
from circuits.air.witness import Witnesses
from circuits.batch import blake2f_calls
from circuits.batch.blake2f_calls import SUCCEEDS, UNPAID, WRONG_FLAG, WRONG_LENGTH, Blake2fCalls
from circuits.batch.precompiles import BLAKE2F, precompile_duration, precompile_output
from circuits.component import Acting, Component
from circuits.frames.buses import BUFFER_BYTES, HALT, PRECOMPILE
from circuits.frames.frames import Ending
from circuits.functions import blake2f
from circuits.functions.blake2f import INITIAL_VECTOR, SIGMA, Blake2fRounds
from circuits.functions.buses import BLAKE2F_ROUNDS
from circuits.limbs import words_from_bytes
from circuits.memory.buses import MEMORY_BYTES
from circuits.precompiles.blake2f import COMPONENTS, Blake2f, Blake2fFailed, Columns
from circuits.segment import fill, in_order, segment_circuit
from executor.forks import CANCUN
from executor.trace import Outcome
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import Lie, check_family, closed, fill_family, mutate_family, open_messages
from tests.circuits.lying import BYTES, RANGES, places

#: EIP-152, "Test Cases": what the input of all of them is but for its first four bytes and its last one.
COMMON = (
    bytes.fromhex(
        "48c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5"
        "d182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b"
    )
    + b"abc".ljust(128, b"\0")
    + (3).to_bytes(16, "little")
)
#: Their inputs and outputs, in the order of the EIP; None: the call fails. The last one has more rounds than any block
#: has gas.
VECTORS = (
    (b"", None),
    (bytes.fromhex("00000c") + COMMON + b"\1", None),
    (bytes.fromhex("000000000c") + COMMON + b"\1", None),
    (bytes.fromhex("0000000c") + COMMON + b"\2", None),
    (
        bytes(4) + COMMON + b"\1",
        "08c9bcf367e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5"
        "d282e6ad7f520e511f6c3e2b8c68059b9442be0454267ce079217e1319cde05b",
    ),
    (
        bytes.fromhex("0000000c") + COMMON + b"\1",
        "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
        "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
    ),
    (
        bytes.fromhex("0000000c") + COMMON + b"\0",
        "75ab69d3190a562c51aef8d88f1c2775876944407270c42c9844252c26d28752"
        "98743e7f6d5ea2f2d3e8d226039cd31b4e426ac4f2d3d666a610c2116fde4735",
    ),
    (
        bytes.fromhex("00000001") + COMMON + b"\1",
        "b63a380cb2897d521994a85234ee2c181b5f844d2c624c002677e9703449d2fb"
        "a551b3a8333bcdf5f2f7e08993d53923de3d64fcc68c034e717b9293fed7a421",
    ),
    (bytes.fromhex("ffffffff") + COMMON + b"\1", None),
)
PLENTY = 30_000_000


@dataclass(frozen=True)
class Call:
    """A call: its input lies in a buffer (kind 0) or in the memory of another frame (kind 2)."""

    data: bytes
    gas: int = PLENTY
    kind: int = 2
    source: int = 900
    start: int = 77

    @property
    def rounds(self) -> int:
        return int.from_bytes(self.data[:4], "big")

    @property
    def fails(self) -> bool:
        """By the specification: in the order of EIP-152."""
        return len(self.data) != 213 or self.rounds > self.gas or self.data[212] > 1

    @property
    def output(self) -> bytes:
        words = [int.from_bytes(self.data[i : i + 8], "little") for i in range(4, 212, 8)]
        h, m, t = words[:8], words[8:24], words[24:]
        found: bytes = blake2b_compress(self.rounds, tuple(h), tuple(m), tuple(t), bool(self.data[212]))  # type: ignore[arg-type]
        return found


class Calls:
    """Stands for an execution: frame n + 1 makes the n-th call, at a time of its own."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        numbers = np.arange(len(calls))
        blake2f_calls._calls[self] = Blake2fCalls(  # type: ignore[index]
            [c.data for c in calls],
            frame=numbers + 1,
            in_memory=_integers(c.kind == 2 for c in calls),
            source=_integers(c.source for c in calls),
            start=_integers(c.start for c in calls),
            size=_integers(len(c.data) for c in calls),
            gas=_integers(c.gas for c in calls),
            time=1000 * (numbers + 1),
            place=numbers,
        )

    def time(self, n: int) -> int:
        return 1000 * (n + 1)


def _integers(values: Iterable[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([int(value) for value in values], dtype=np.int64)


def _data(rounds: int, last: int = 1, seed: int = 0) -> bytes:
    content = np.random.default_rng([rounds, last, seed]).bytes(208)
    return rounds.to_bytes(4, "big") + content + bytes([last])


FAMILY: tuple[Component, ...] = tuple(in_order([*COMPONENTS, BYTES, RANGES]))


@cache
def _calls() -> Any:
    """Some that succeed, paid exactly or with much; of words of which all bits are set; all that fail; both sources."""
    good = [
        _data(rounds, last) for rounds, last in ((0, 0), (0, 1), (1, 1), (9, 0), (10, 1), (11, 1), (12, 0), (23, 1))
    ]
    calls = [Call(data, int.from_bytes(data[:4], "big"), kind, 5, 0) for data in good for kind in (0, 2)]
    calls.append(Call(good[3], (1 << 30) - 1))
    calls += [Call(bytes([0, 0, 0, 3]) + bytes([fill_]) * 208 + bytes([last])) for fill_ in (0, 255) for last in (0, 1)]
    for kind, start in ((0, 0), (2, 77)):
        calls += [Call(data, gas, kind, 6, start) for data, gas in (
            (b"", 0), (b"", 9), (good[4][:-1], 100), (good[4] + b"\0", 100), (bytes(500), 100),
            (_data(12, 2), 12), (_data(12, 255), 100), (_data(12, 128), 0),
            (good[4], 9), (good[4], 0), (_data(1 << 16), 65535), (_data(0x12345), 0x2344),
            (_data((1 << 32) - 1), PLENTY), (_data((1 << 32) - 1, 0), (1 << 30) - 1),
            (_data(MODULUS + 5), 10), (_data(1 << 30), (1 << 30) - 1),
        )]  # fmt: skip
    return Calls(calls)


@cache
def _few() -> Any:
    """Rows 0 to 2 succeed; then the length, the flag and the gas are wrong."""
    calls = [Call(_data(3), 10), Call(_data(2, 0), 2, kind=0, start=0), Call(_data(0), 7)]
    return Calls([*calls, Call(_data(3)[:-1], 10), Call(_data(3, 2), 10), Call(_data(0x20003), 0x10005)])


def _objections(execution: Any, lies: Mapping[str, Lie]) -> set[str]:
    traces = fill_family(FAMILY, execution, lies)
    circuit, filled = closed([c.table for c in FAMILY], fill_family(FAMILY, execution))
    return places(check_circuit(circuit, [*traces, *filled[len(traces) :]], [[] for _ in filled], algebra=NATIVE))


def _word(data: bytes) -> list[int]:
    limbs: list[int] = words_from_bytes([data.ljust(32, b"\0")])[0].tolist()
    return limbs


def test_constants() -> None:
    assert Blake2b.sigma_schedule == SIGMA
    assert Blake2b.IV == INITIAL_VECTOR


def test_vectors_of_the_eip() -> None:
    assert len(COMMON) == 208
    calls = Calls([Call(data) for data, _ in VECTORS])
    found = Blake2fCalls.of(calls)  # type: ignore[arg-type]
    reasons = [WRONG_LENGTH, WRONG_LENGTH, WRONG_LENGTH, WRONG_FLAG, SUCCEEDS, SUCCEEDS, SUCCEEDS, SUCCEEDS, UNPAID]
    assert found.ending.tolist() == reasons
    assert [x.astype("<u8").tobytes().hex() for x in found.output] == [output for _, output in VECTORS if output]
    traces = fill_family(FAMILY, calls)  # type: ignore[arg-type]
    circuit, filled = closed([c.table for c in FAMILY], traces)
    assert not check_circuit(circuit, filled, [[] for _ in filled])
    written = [m for m in open_messages(FAMILY, calls, MEMORY_BYTES) if m[2] == 1]  # type: ignore[arg-type]
    expected = [bytes.fromhex(output) for _, output in VECTORS if output]
    assert [list(m[5:]) for m in written] == [_word(output[k : k + 32]) for output in expected for k in (0, 32)]


def test_honest() -> None:
    traces = fill_family(FAMILY, _calls())
    circuit, filled = closed([c.table for c in FAMILY], traces)
    assert not check_circuit(circuit, filled, [[] for _ in filled], algebra=NATIVE)
    names = {"world_precompile", "world_memory_bytes", "world_buffer_bytes", "world_halt"}
    assert {name for name in circuit.names if name.startswith("world_")} == names


@settings(max_examples=15, deadline=None)
@given(
    rounds=st.integers(0, 25), last=st.integers(0, 1), gas=st.integers(0, 40),
    content=st.one_of(st.binary(min_size=208, max_size=208), st.integers(0, 255).map(lambda x: bytes([x]) * 208)),
)  # fmt: skip
def test_any_input(rounds: int, last: int, gas: int, content: bytes) -> None:
    call = Call(rounds.to_bytes(4, "big") + content + bytes([last]), gas)
    calls: Any = Calls([call])
    assert not check_family(FAMILY, calls)
    written = [list(m[5:]) for m in open_messages(FAMILY, calls, MEMORY_BYTES) if m[2] == 1]
    assert written == ([] if call.fails else [_word(call.output[:32]), _word(call.output[32:])])


def test_frames_end_as_specified() -> None:
    """All calls that fail take all gas and return nothing, whatever the reason."""
    expected = []
    for n, call in enumerate(_calls().calls):
        size, time = np.array([len(call.data)]), _calls().time(n)
        number = np.array([BLAKE2F])
        gas, success = np.array([call.gas]), np.array([not call.fails])
        duration = int(precompile_duration(number, size, gas, success)[0])
        start, returned = (int(x[0]) for x in precompile_output(number, size, success * 64))
        if call.fails:
            lacks = len(call.data) == 213 and call.data[212] <= 1
            ending = Ending.UNPAID if lacks else Ending.HALTED
            expected.append((n + 1, int(ending), 0, 0, 0, time + duration))
        else:
            assert (start, returned) == (0, 64)
            expected.append((n + 1, int(Ending.SUCCEEDED), call.gas - call.rounds, start, returned, time + duration))
    assert open_messages(FAMILY, _calls(), HALT) == sorted(expected)


def test_messages_of_frames_are_received() -> None:
    expected = [
        (n + 1, BLAKE2F, c.kind, c.source, c.start, len(c.data), c.gas, _calls().time(n))
        for n, c in enumerate(_calls().calls)
    ]
    assert open_messages(FAMILY, _calls(), PRECOMPILE) == sorted(expected)


def test_what_is_read_and_written() -> None:
    """An input where it lies, a word a unit of time, and two words behind that; or what is wrong with it."""
    memory, buffers = [], []
    for n, call in enumerate(_calls().calls):
        time = _calls().time(n)
        if not call.fails:
            reads = [(k, call.data[k : k + 32]) for k in range(0, 213, 32)]
            for k in range(2):
                memory.append((n + 1, time + 7 + k, 1, 32 * k, 32, *_word(call.output[32 * k : 32 * k + 32])))
        elif len(call.data) != 213:
            reads = []
        else:
            reads = [(0, call.data[:4]) if call.data[212] <= 1 else (212, call.data[212:])]
        for number, (start, part) in enumerate(reads):
            if call.kind == 2:
                memory.append(
                    (
                        900 if call.source == 900 else call.source,
                        time + number,
                        0,
                        call.start + start,
                        len(part),
                        *_word(part),
                    )
                )
            else:
                buffers.append((0, call.source, start, len(part), *_word(part)))
    assert open_messages(FAMILY, _calls(), MEMORY_BYTES) == sorted(memory)
    assert open_messages(FAMILY, _calls(), BUFFER_BYTES) == sorted(buffers)


def test_without_calls_there_are_no_tables() -> None:
    def present(*calls: Call) -> set[str]:
        traces = fill_family(FAMILY, Calls(calls))  # type: ignore[arg-type]
        return {c.table.name for c, trace in zip(FAMILY, traces, strict=True) if trace is not None}

    functions = {"bitwise_bytes", "range16"}
    assert present() == functions
    assert present(Call(b"")) == {*functions, "blake2f_failed"}
    assert present(Call(_data(0))) == {*functions, "blake2f"}
    assert present(Call(_data(1))) == {*functions, "blake2f", "blake2f_rounds"}


def test_cost() -> None:
    """Exactly what a round and a call take, in cells and interactions, and in cells alone: at most 3,000 a round."""
    sizes = {
        table.name: (table.width, len(table.air.interactions))
        for table in (Blake2fRounds(), Blake2f(), Blake2fFailed())
    }
    print({name: (*size, size[0] + 6.5 * size[1]) for name, size in sizes.items()})
    assert sizes == {"blake2f_rounds": (753, 258), "blake2f": (556, 233), "blake2f_failed": (19, 9)}
    assert sizes["blake2f_rounds"][0] + 6.5 * sizes["blake2f_rounds"][1] <= 2_430


# -- batches


def _input(*, rounds: int = 0, last: int = 1, start: int = 1000) -> str:
    """Writes an input behind `start`, of which what memory holds otherwise stays."""
    places = [*zip(rounds.to_bytes(4, "big"), range(start, start + 4), strict=True), (last, start + 212)]
    return " ".join(f"{value} {place} mstore8" for value, place in places)


#: Rounds, flag, size of the input, gas of the call.
CASES = (
    (0, 1, 213, 0), (0, 0, 213, 5), (1, 1, 213, 1), (12, 1, 213, 12), (12, 0, 213, 100), (1000, 1, 213, 1000),
    (12, 1, 213, 11), (1, 1, 213, 0), (12, 1, 212, 100), (12, 1, 214, 100), (12, 1, 0, 100), (12, 2, 213, 100),
    (12, 255, 213, 3),
)  # fmt: skip
KINDS = ("call", "staticcall", "delegatecall", "callcode")


def _program(kind: str, cases: Sequence[tuple[int, int, int, int]]) -> str:
    parts = [f"0x{bytes(range(n, n + 32)).hex()} {1000 + n} mstore" for n in range(0, 224, 32)]
    value = "0 " if kind in ("call", "callcode") else ""
    for rounds, last, size, gas in cases:
        parts.append(_input(rounds=rounds, last=last))
        parts.append(f"64 2000 {size} 1000 {value}9 {gas} {kind} pop returndatasize 0 2100 returndatacopy")
    return " ".join([*parts, "2000 mload 2032 mload 1 sstore 2 sstore stop"])


@cache
def _execution() -> Any:
    building = Builder()
    requests = []
    for number, kind in enumerate(KINDS):
        address = CONTRACT[:-1] + bytes([number])
        cases = CASES if kind == "call" else [case for case in CASES if case[0] != 1000]
        building.alloc(address, code="0x" + assemble(_program(kind, cases)).hex())
        requests.append(call_contract(building, number % 3, address, gas=2_000_000))
    to = (9).to_bytes(20, "big")
    for data in (_data(12), _data(12, 3), _data(12)[:-1], b"", _data(1 << 31), _data(300_000), _data(0, 0)):
        requests.append(call_contract(building, 0, to, gas=200_000, data="0x" + data.hex()))
    return execution_of(building.block(*requests).provable())


def test_an_execution() -> None:
    """Every kind of call, and transactions: the segment is accepted with py-evm's outcomes."""
    execution = _execution()
    calls = Blake2fCalls.of(execution)
    outcomes = execution.trace.frames.outcome[execution.frames[calls.frame - 1]]
    ending = [SUCCEEDS] * 6 + [UNPAID] * 2 + [WRONG_LENGTH] * 3 + [WRONG_FLAG] * 2
    short = [*ending[:5], *ending[6:]]
    of_transactions = [SUCCEEDS, WRONG_FLAG, WRONG_LENGTH, WRONG_LENGTH, UNPAID, UNPAID, SUCCEEDS]
    assert calls.ending.tolist() == [*ending, *short * 3, *of_transactions]
    assert set(outcomes[calls.ending == UNPAID]) == {Outcome.OUT_OF_GAS}
    assert set(outcomes[np.isin(calls.ending, (WRONG_LENGTH, WRONG_FLAG))]) == {Outcome.PRECOMPILE_FAILURE}
    frames = execution.trace.frames
    for row, output in zip(execution.frames[calls.frame - 1][calls.ending == SUCCEEDS], calls.output, strict=True):
        assert frames.outcome[row] == Outcome.SUCCESS
        assert (
            execution.trace.bytes_at(frames.output_start[row], frames.output_size[row])
            == output.astype("<u8").tobytes()
        )
    filled = fill(execution)
    assert not check_circuit(segment_circuit(CANCUN), filled.traces, filled.public_lists, algebra=NATIVE)


def test_a_frame_with_a_reserve_of_gas() -> None:
    """More gas than steps count: what succeeds leaves the reserve, what fails takes it."""
    limit = 1 << 34
    building = Builder(gasLimit=limit)
    source = _program("call", [(12, 1, 213, (1 << 32) + 5), (12, 2, 213, 1 << 31), (12, 1, 212, (1 << 31) + 9)])
    building.alloc(CONTRACT, code="0x" + assemble(source).hex())
    building.block(call_contract(building, gas=limit - 30_000), gasLimit=limit)
    execution = execution_of(building.provable())
    assert Blake2fCalls.of(execution).ending.tolist() == [SUCCEEDS, WRONG_FLAG, WRONG_LENGTH]
    assert execution.frame_reserve[1:].all()
    filled = fill(execution)
    assert not check_circuit(segment_circuit(CANCUN), filled.traces, filled.public_lists, algebra=NATIVE)


# -- lies about calls


def _called(*, rounds: int | None = None, data: bytes | None = None, gas: int | None = None) -> Callable[[Any], None]:
    """Row 0 of the calls that succeed is filled for another input, or gas; its frame and its source stay."""

    def lie(rows: Any) -> None:
        honest = _few().calls[0]
        content = honest.data if data is None else data
        if rounds is not None:
            content = rounds.to_bytes(4, "big") + content[4:]
        other: Any = Calls([replace(honest, data=content, gas=honest.gas if gas is None else gas)])
        traces = dict(zip((c.table.name for c in FAMILY), fill_family(FAMILY, other), strict=True))
        matrix = traces["blake2f"]
        assert matrix is not None
        rows._matrix[0] = matrix[0]

    return lie


def test_the_output_of_other_rounds() -> None:
    """More or fewer of them: rounds are those of the input."""
    for rounds in (0, 2, 4):
        assert _objections(_few(), {"blake2f": _called(rounds=rounds)}) >= {"memory_bytes", "blake2f_rounds"}


def test_fewer_rounds_than_are_paid() -> None:
    """The vector after the last round but one is taken for the last one."""

    def lie(rows: Any) -> None:
        calls = Blake2fCalls.of(_few())
        before, _ = blake2f.run(calls.vectors, calls.messages, calls.rounds[calls.succeeding])
        final = blake2f.bytes_of(before[2:3])
        rows.vector[0] = final[0]
        rows.half[0] = rows.state[0] ^ final[0, :8]
        rows.output[0] = rows.half[0] ^ final[0, 8:]
        rows.phase[0] = 2

    assert "blake2f_rounds" in _objections(_few(), {"blake2f": lie})

    def dropped(rows: Any) -> None:
        rows._matrix[2] = 0

    # Also if the round is not there.
    assert "blake2f_rounds" in _objections(_few(), {"blake2f": lie, "blake2f_rounds": dropped})


def test_the_other_flag() -> None:
    data = _few().calls[0].data
    assert "memory_bytes" in _objections(_few(), {"blake2f": _called(data=data[:-1] + b"\0")})


def test_swapped_words_of_the_message() -> None:
    data = _few().calls[0].data
    swapped = data[:68] + data[76:84] + data[68:76] + data[84:]
    assert "memory_bytes" in _objections(_few(), {"blake2f": _called(data=swapped)})

    def lie(rows: Any) -> None:
        rows.message[0, :2] = rows.message[0, 1::-1].copy()

    assert "blake2f_rounds" in _objections(_few(), {"blake2f_rounds": lie})


@pytest.mark.parametrize("start", [4, 68, 196], ids=["state", "message", "offset"])
def test_words_that_are_not_little_endian(start: int) -> None:
    data = _few().calls[0].data
    turned = data[:start] + data[start : start + 8][::-1] + data[start + 8 :]
    assert "memory_bytes" in _objections(_few(), {"blake2f": _called(data=turned)})


@pytest.mark.parametrize("name", ["state", "message", "offset"])
def test_bytes_of_the_input_that_are_no_bytes(name: str) -> None:
    """Two numbers that make the same limb as a pair of bytes."""

    def lie(rows: Any) -> None:
        cells = getattr(rows, name)[0]
        word = int(np.flatnonzero(cells[:, 0])[0])
        cells[word, 0] -= 1
        cells[word, 1] += 256

    assert "bitwise_bytes" in _objections(_few(), {"blake2f": lie})


def test_a_flag_that_is_none() -> None:
    """A call with the flag 2 succeeds."""
    calls: Any = Calls([Call(_data(1, 2), 5), Call(_data(1), 5)])

    def lie(rows: Any) -> None:
        rows.last[0] = 2

    assert "last is a bit" in _objections(calls, {"blake2f": lie})


def test_more_rounds_than_gas() -> None:
    """A call that is not paid succeeds."""

    def lie(rows: Any) -> None:
        rows.gas[0] = 2
        rows.gas_limb.low[0] = -1 & 0xFFFF

    assert {"range16", "precompile"} <= _objections(_few(), {"blake2f": lie})
    # So many that the difference looks like an amount of gas.
    calls: Any = Calls([Call(_data(1), 1), Call(_data(1), 5)])

    def wraps(rows: Any) -> None:
        rounds = MODULUS - 7
        rows.rounds[1] = [rounds & 0xFFFF, rounds >> 16]
        rows.gas_limb.low[1] = 12

    assert "range16" in _objections(calls, {"blake2f": wraps})


def _claim(reason: str, row: int) -> Callable[[Any], None]:
    def lie(rows: Any) -> None:
        for name in ("wrong_length", "wrong_flag", "unpaid"):
            getattr(rows, name)[row] = name == reason

    return lie


def _failing(call: Call) -> Callable[[Any], None]:
    """Row 0 of the calls that fail is that of a call in this place, whatever it is."""

    def lie(rows: Any) -> None:
        rows.size[0], rows.gas[0] = len(call.data), call.gas
        rows.low[0] = rows.high[0] = rows.wrong[0] = rows.inverse[0] = rows.gas_low[0] = rows.lack[0] = rows.carry[
            0
        ] = 0

    return lie


@pytest.mark.parametrize("reason", ["wrong_length", "wrong_flag", "unpaid"])
@pytest.mark.parametrize("last", [0, 1])
def test_success_turned_into_failure(reason: str, last: int) -> None:
    """A call that is right and paid fails for any reason: nothing that its row holds helps."""
    call = Call(_data(3, last), 10)
    calls: Any = Calls([replace(call, data=b"")])

    def lie(rows: Any) -> None:
        _failing(call)(rows)
        _claim(reason, 0)(rows)
        if reason == "wrong_flag":
            rows.high[0] = last << 8
        if reason == "unpaid":
            rows.low[0] = 3
            rows.gas_low[0] = 10
            rows.lack[0] = [(3 - 10 - 1) & 0xFFFF, MODULUS - 1]
            rows.carry[0] = 1

    found = _objections(calls, {"blake2f_failed": lie})
    expected = {"unpaid": {"range16", "lack: high limb"}}.get(reason, {"length or flag is wrong"})
    assert found & expected


def test_another_reason() -> None:
    """Of calls that fail: a reason that is not true is refused as well, though it would come to the same."""
    names = ("wrong_length", "wrong_flag", "unpaid")
    for row, reason in product(range(3), range(3)):
        if row != reason:
            assert _objections(_few(), {"blake2f_failed": _claim(names[reason], row)})


def test_a_lack_that_wraps() -> None:
    """Rounds less gas is taken modulo the characteristic."""
    call = Call(_data(3), 10)
    calls: Any = Calls([replace(call, data=b"")])

    def lie(rows: Any) -> None:
        _failing(call)(rows)
        _claim("unpaid", 0)(rows)
        rows.low[0], rows.gas_low[0] = 3, 10
        lack = (3 - 10 - 1) % MODULUS
        rows.lack[0] = [lack & 0xFFFF, lack >> 16]
        rows.carry[0] = 1

    assert "lack: high limb" in _objections(calls, {"blake2f_failed": lie})


def test_an_inverse_of_nothing() -> None:
    def lie(rows: Any) -> None:
        rows.inverse[2] = 5

    assert "no inverse" in _objections(_few(), {"blake2f_failed": lie})


# -- lies within a round


def _rounds(lie: Callable[[Any], None]) -> set[str]:
    return _objections(_few(), {"blake2f_rounds": lie})


def test_the_schedule_of_another_round() -> None:
    def lie(rows: Any) -> None:
        rows.phase[0] = np.roll(rows.phase[0], 1)

    assert "blake2f_rounds" in _rounds(lie)

    def none(rows: Any) -> None:
        rows.phase[0] = 0

    assert "phase: exactly one flag" in _rounds(none)

    def two(rows: Any) -> None:
        rows.phase[0, 7] = 1

    assert "phase: exactly one flag" in _rounds(two)


def test_rounds_of_another_call() -> None:
    def lie(rows: Any) -> None:
        rows.id[:5] = [2, 1, 1, 1, 2]

    assert "blake2f_rounds" in _rounds(lie)


#: Columns and diagonals, by number.
STEPS = pytest.mark.parametrize(("step", "number"), list(product(("column", "diagonal"), (0, 3))))


@STEPS
@pytest.mark.parametrize("name", ["a1", "a2"])
def test_a_sum_of_three_that_is_not_reduced(step: str, number: int, name: str) -> None:
    """A carry less, and the chunk's last byte as much more."""

    def lie(rows: Any) -> None:
        mix = getattr(rows, step)[number]
        carry = getattr(mix, f"{name}_carry")
        row, chunk = (int(x[0]) for x in np.nonzero(carry[:, :2]))
        carry[row, chunk] -= 1
        getattr(mix, name)[row, 3 * chunk + 2] += 256

    assert "bitwise_bytes" in _rounds(lie)


@STEPS
@pytest.mark.parametrize("name", ["c1", "c2"])
def test_a_sum_of_two_that_is_not_reduced(step: str, number: int, name: str) -> None:
    """A byte that takes the carry of its chunk, and one with another number in its place."""

    def lie(rows: Any) -> None:
        cells = getattr(getattr(rows, step)[number], name)
        cells[0, 7] += 256

    place = f"{step} {number}: {name}, carry 2 is a bit"
    assert _rounds(lie) & {place, "bitwise_bytes"}

    def another(rows: Any) -> None:
        cells = getattr(getattr(rows, step)[number], name)
        cells[0, 7] = (int(cells[0, 7]) + 1) % 256

    assert place in _rounds(another)


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.deep) for n in range(1, 4))])
def test_another_upper_bit(number: int) -> None:
    """The last rotation would give other bytes, some of which are none; of diagonals, others receive the chunks."""
    for place in range(8):

        def of_a_byte(rows: Any, place: int = place) -> None:
            rows.column[number].top[0, place] ^= 1

        assert {f"diagonal {(number - 1) % 4}: a1, chunk {place // 3}", "bitwise_bytes"} & _rounds(of_a_byte)
    for place in range(3):

        def of_a_chunk(rows: Any, place: int = place) -> None:
            rows.diagonal[number].top[0, place] ^= 1

        assert "blake2f_rounds" in _rounds(of_a_chunk)


def test_an_upper_bit_that_is_answered() -> None:
    """The round behind takes what the last rotation should not have given: its bytes are none."""

    def lie(rows: Any) -> None:
        # A diagonal's word 5 has the upper bit of its first chunk in the first bit of its second one.
        assert rows.id[0] == rows.id[1] == 1
        bit = int(rows.diagonal[0].top[0, 0])
        rows.diagonal[0].top[0, 0] = 1 - bit
        sign = 1 if bit else -1
        rows.b[1, 1, 2] += sign * 256
        rows.b[1, 1, 3] -= sign

    assert "blake2f_rounds" not in _rounds(lie)
    assert "bitwise_bytes" in _rounds(lie)


@pytest.mark.parametrize("name", ["d1", "b1", "d2", "xor"])
def test_another_exclusive_or(name: str) -> None:
    for step, number, place in product(("column", "diagonal"), (0, 3), (0, 7)):

        def lie(rows: Any, of: tuple[str, int, int] = (step, number, place)) -> None:
            getattr(getattr(rows, of[0])[of[1]], name)[1, of[2]] ^= 0x80

        assert "bitwise_bytes" in _rounds(lie)


# -- everything else


def _mutated(tables: set[str], rows: int, seed: int) -> Any:
    filled = dict(zip((c.table.name for c in FAMILY), fill_family(FAMILY, _few()), strict=True))
    chosen = [c for c in FAMILY if c.table.name in tables]
    own: list[Component] = [Acting(c.table, lambda _, name=c.table.name: filled[name]) for c in chosen]  # type: ignore[misc]
    return mutate_family([*own, BYTES, RANGES], _few(), rows_per_table=rows, seed=seed)


def test_mutations_of_calls_are_rejected() -> None:
    report = _mutated({"blake2f", "blake2f_failed"}, 4, 1)
    assert report.coverage["blake2f"].real_rows == 3
    assert report.coverage["blake2f_failed"].real_rows == 3
    assert report.survivors == [], str(report)


def test_mutations_of_rounds_are_rejected() -> None:
    report = _mutated({"blake2f_rounds"}, 2, 2)
    assert report.coverage["blake2f_rounds"].real_rows > 0
    assert report.survivors == [], str(report)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(3))
def test_many_mutations_are_rejected(seed: int) -> None:
    report = _mutated({c.table.name for c in COMPONENTS}, 8, seed)
    assert report.survivors == [], str(report)


@pytest.mark.deep
def test_rows_follow_from_their_messages() -> None:
    """No cell can be another one with the same messages, nor with others that the tables of functions answer."""
    circuit, filled = closed([c.table for c in FAMILY], fill_family(FAMILY, _few()))
    witnesses, rng = Witnesses(circuit, filled, [[] for _ in filled]), np.random.default_rng(1)
    for name in ("blake2f", "blake2f_failed", "blake2f_rounds"):
        for row in range(2):
            held = witnesses.search(name, row, rng)
            assert (held.determined, held.directions) == (held.cells, ()), name
            assert not witnesses.search(name, row, rng, lookups="free").directions, name


@cache
def _key() -> tuple[Any, zkevm_native.ProvingKey]:
    circuit, _ = closed([c.table for c in FAMILY], fill_family(FAMILY, _few()))
    return circuit, zkevm_native.keygen(circuit.export(), 16)


def test_the_engine_proves_honest_calls() -> None:
    circuit, key = _key()
    _, filled = closed([c.table for c in FAMILY], fill_family(FAMILY, _few()))
    proof, _ = zkevm_native.prove(key, filled, [[] for _ in circuit.tables], 1)
    zkevm_native.verify(key.verifying_key(), proof)


def test_the_engine_rejects_a_false_output() -> None:
    circuit, key = _key()
    _, filled = closed([c.table for c in FAMILY], fill_family(FAMILY, _few()))
    matrix = filled[circuit.names.index("blake2f")]
    assert matrix is not None
    matrix[0, Columns.offsets["output"]] ^= 1
    with pytest.raises(zkevm_native.EngineError):
        zkevm_native.verify(key.verifying_key(), zkevm_native.prove(key, filled, [[] for _ in circuit.tables], 1)[0])


def test_only_calls_begin_and_end_rounds() -> None:
    """The argument of the bus: number 0 is sent, and the last number received, by `blake2f` alone."""
    users = [t.name for t in segment_circuit(CANCUN).tables if any(i.bus == BLAKE2F_ROUNDS for i in t.air.interactions)]
    assert sorted(users) == ["blake2f", "blake2f_rounds"]
