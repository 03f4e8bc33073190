"""The precompile MODEXP: what it computes, costs and returns, and what a liar may try."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.checker import check_circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.air.mutation import mutate
from circuits.batch.modexp_plan import ModexpPlan
from circuits.component import Answering, Component
from circuits.frames.buses import HALT
from circuits.frames.frames import Ending
from circuits.functions.buses import MULTIPLY
from circuits.functions.products import MULTIPLY_FULL, MULTIPLY_LOW, MULTIPLY_SMALL, Multiply, answer_multiply
from circuits.instructions.buses import COPY
from circuits.memory.buses import MEMORY_BYTES
from circuits.modexp import work as modexp_work
from circuits.modexp.work import ModexpWork
from circuits.precompiles.modexp import BoundedModexp, components
from circuits.segment import fill, in_order, segment_circuit
from executor.forks import CANCUN, OSAKA, Fork
from executor.modexp import ModexpInput, addition_chain
from scripts.batches.builder import Builder
from scripts.batches.programs import call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import Lie, closed, fill_family, open_messages
from tests.circuits.lying import BYTES, RANGES, places, row_where


def _multiplies(table: Multiply) -> Answering:
    return Answering(table, MULTIPLY, lambda _, asked: answer_multiply(asked, table))


@cache
def family(fork: Fork) -> tuple[Component, ...]:
    """MODEXP, and all that its tables ask."""
    asked = map(_multiplies, (MULTIPLY_SMALL, MULTIPLY_LOW, MULTIPLY_FULL))
    return tuple(in_order([*components(fork), *asked, BYTES, RANGES]))


COMPONENTS, FAMILY = components(CANCUN), family(CANCUN)
#: Numbers have no bound, and one of 1,024 bytes (EIP-7823).
FORKS = pytest.mark.parametrize("fork", [CANCUN, OSAKA], ids=["unbounded", "bounded"])
TABLES = {c.table.name: c.table for c in COMPONENTS}

#: Gas that no call of these tests lacks.
MUCH = (1 << 30) - 1

#: Where the input of the calls lies in the memory of another frame.
START = 77


def encode(
    base: bytes, exponent: bytes, modulus: bytes, lengths: tuple[int | None, int | None, int | None] = (None,) * 3
) -> bytes:
    """An input; other lengths than those of the numbers may be stated."""
    numbers = (base, exponent, modulus)
    stated = [len(x) if n is None else n for x, n in zip(numbers, lengths, strict=True)]
    return b"".join(n.to_bytes(32, "big") for n in stated) + base + exponent + modulus


def specified(data: bytes, fork: Fork = CANCUN) -> tuple[int, bytes | None]:
    """Gas and output by the execution specs, not by the circuit; None where that would take too long, or fails.

    What fails whatever its gas is said to cost more than there may be.
    """

    def read(start: int, size: int) -> int:
        return int.from_bytes(data[start : start + size].ljust(size, b"\0"), "big")

    base_size, exponent_size, modulus_size = (read(32 * k, 32) for k in range(3))
    if fork == OSAKA and max(base_size, exponent_size, modulus_size) > 1024:
        return MUCH + 1, None
    head = read(96 + base_size, min(32, exponent_size))
    if exponent_size <= 32 and head == 0:
        count = 0
    elif exponent_size <= 32:
        count = head.bit_length() - 1
    else:
        count = (16 if fork == OSAKA else 8) * (exponent_size - 32) + max(head.bit_length() - 1, 0)
    longer = max(base_size, modulus_size)
    words = (longer + 7) // 8
    if fork == OSAKA:
        gas = max(500, (16 if longer <= 32 else 2 * words**2) * max(count, 1))
    else:
        gas = max(200, words**2 * max(count, 1) // 3)
    if base_size == modulus_size == 0:
        return gas, b""
    if gas > MUCH:
        return gas, None
    exponent_start, modulus_start = 96 + base_size, 96 + base_size + exponent_size
    modulus = read(modulus_start, modulus_size)
    if modulus == 0:
        return gas, bytes(modulus_size)
    power = pow(read(96, base_size), read(exponent_start, exponent_size), modulus)
    return gas, power.to_bytes(modulus_size, "big")


class Calls:
    """Stands for an execution: frame n + 1 makes the n-th call, of an input with some gas, at a time of its own."""

    def __init__(
        self,
        calls: Sequence[tuple[bytes, int]],
        change: Callable[[ModexpPlan], None] | None = None,
        fork: Fork = CANCUN,
    ) -> None:
        self.calls, self.fork = calls, fork
        bound = fork.modexp.max_number_bytes
        self.plans = [ModexpPlan(ModexpInput(data), specified(data, fork)[0] <= gas, bound) for data, gas in calls]
        for plan in self.plans:
            if change:
                change(plan)
        numbers, same = np.arange(len(calls)), np.ones(len(calls), dtype=np.int64)
        modexp_work._work[self] = ModexpWork(  # type: ignore[index]
            self.plans,
            frame=numbers + 1,
            kind=2 * same,
            source=900 * same,
            start=START * same,
            gas=np.array([gas for _, gas in calls], dtype=np.int64),
            time=np.array([self.time(n) for n in range(len(calls))], dtype=np.int64),
        )

    def time(self, n: int) -> int:
        return 100_000 * (n + 1)


def accepted(calls: Any) -> bool:
    own = family(calls.fork)
    traces = fill_family(own, calls)
    circuit, filled = closed([c.table for c in own], traces)
    assert {name for name in circuit.names if name.startswith("world_")} <= {
        "world_precompile",
        "world_copy",
        "world_memory_bytes",
        "world_halt",
    }
    return not check_circuit(circuit, filled, [[] for _ in filled], algebra=NATIVE)


def outputs(calls: Any) -> list[bytes | None]:
    """What the calls return, None for those that fail: by what the tables send to memory and to frames."""
    own = family(calls.fork)
    copies, accesses = (open_messages(own, calls, bus) for bus in (COPY, MEMORY_BYTES))
    events = [(m[1], 0, m) for m in copies] + [(m[1], 1, m) for m in accesses]
    memories = [bytearray(1 << 16) for _ in calls.calls]
    for _, is_access, m in sorted(events):
        memory = memories[m[0] - 1]
        if not is_access:
            frame, _, _, kind, source, start, to, size = m
            assert (kind, source) == (2, 900)
            memory[to : to + size] = calls.calls[frame - 1][0][start - START :][:size]
            continue
        _, _, is_write, offset, size, *limbs = m
        word = b"".join(limb.to_bytes(2, "big") for limb in reversed(limbs))
        assert (size, offset % 32) == (32, 0)
        if is_write:
            memory[offset : offset + 32] = word
        else:
            assert memory[offset : offset + 32] == word
    found: list[bytes | None] = [None] * len(memories)
    for frame, ending, left, start, size, end in open_messages(own, calls, HALT):
        plan, gas = calls.plans[frame - 1], calls.calls[frame - 1][1]
        assert end == calls.time(frame - 1) + plan.duration
        if ending == Ending.SUCCEEDED:
            assert left == gas - specified(calls.calls[frame - 1][0], calls.fork)[0]
            assert (start, size) == plan.output
            found[frame - 1] = bytes(memories[frame - 1][start : start + size])
        else:
            is_long = plan.bound is not None and max(plan.input.lengths) > plan.bound
            assert (ending, left, start, size) == (Ending.HALTED if is_long else Ending.UNPAID, 0, 0, 0)
    return found


LENGTHS = (0, 1, 7, 8, 9, 31, 32, 33, 64, 100)


def _random_inputs(seed: int, count: int) -> list[bytes]:
    """Numbers of all kinds of lengths and contents."""
    source = random.Random(seed)

    def number(length: int) -> bytes:
        kind = source.randrange(6)
        if kind == 0:
            return b"\xff" * length
        if kind == 1:
            return bytes(length)
        if kind == 2:
            return source.randbytes(length // 2).rjust(length, b"\0")
        if kind == 3 and length:
            return source.randbytes(length - 1) + bytes([source.choice([0, 1, 2, 128])])
        return source.randbytes(length)

    found = []
    for _ in range(count):
        base, modulus = (number(source.choice(LENGTHS)) for _ in range(2))
        exponent = number(source.choice((0, 1, 2, 3, 33)))
        if source.random() < 0.2:
            base = modulus
        data = encode(base, exponent, modulus)
        found.append(data[: source.randrange(len(data) + 1)] if source.random() < 0.2 else data)
    return found


@FORKS
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(1, 4))])
def test_random_numbers(fork: Fork, seed: int) -> None:
    inputs = _random_inputs(seed, 16)
    calls = Calls([(data, specified(data, fork)[0]) for data in inputs], fork=fork)
    assert accepted(calls)
    assert outputs(calls) == [specified(data, fork)[1] for data in inputs]


P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
KNOWN = {
    # EIP-198
    "fermat": (encode(b"\3", (2**256 - 2**32 - 978).to_bytes(32, "big"), (2**256 - 2**32 - 977).to_bytes(32, "big"))),
    "zero base": encode(b"", (2**256 - 2**32 - 978).to_bytes(32, "big"), (2**256 - 2**32 - 977).to_bytes(32, "big")),
    "truncated": encode(b"\3", b"\xff\xff", b"\x80", (None, None, 32)),
    "truncated further": encode(b"\3", b"\xff\xff", b"", (None, None, 1)),
    # EIP-2565: nagydani 1, and P-256 squared
    "square": encode(b"\xe0" * 64, b"\2", b"\xfc" * 64),
    "rsa": encode(b"\x7f" * 64, b"\1\0\1", b"\xfd" * 64),
    "inverse": encode((5).to_bytes(32, "big"), (P256 - 2).to_bytes(32, "big"), P256.to_bytes(32, "big")),
    # Edges
    "nothing": b"",
    "0 ** 0": encode(b"", b"", b"\7"),
    "0 ** 0 modulo 1": encode(b"", b"", b"\1"),
    "x ** 0 modulo 1": encode(b"\5", b"\0", b"\0\1"),
    "x ** y modulo 1": encode(b"\5", b"\7", b"\1" + bytes(32), (None, None, 1)),
    "modulo 0": encode(b"\5", b"\7", bytes(40)),
    "no modulus": encode(b"\5", b"\7", b""),
    "base is the modulus": encode(b"\xab" * 40, b"\3", b"\xab" * 40),
    "base is longer": encode(b"\xff" * 100, b"\xff", b"\xfb"),
    "base is longer than a word": encode(b"\xff" * 70, b"\x11", b"\xfb" * 33),
    "all ones": encode(b"\xff" * 64, b"\xff" * 4, b"\xff" * 64),
    "even modulus": encode(b"\2" * 33, b"\x0f", b"\x80" + bytes(40)),
    "zeros before the exponent": encode(b"\3", bytes(70) + b"\x10\3", b"\xfb" * 5),
    "long exponent whose head is zero": encode(b"\3", bytes(33) + b"\xff", b"\xfb"),
    "exponent of zeros": encode(b"\3", bytes(80), b"\xfb\xfb"),
    "exponent of 32 bytes": encode(b"\3", b"\1" + bytes(31), b"\xfb"),
    "huge exponent of nothing": encode(b"", b"", b"", (0, 2**255 + 5, 0)),
    "exponent of 2^30 bytes of nothing": encode(b"", b"", b"", (0, 2**30, 0)),
    "256 bytes": encode(b"\xfe" * 256, b"\3", b"\xfd" * 256),
}


@FORKS
@pytest.mark.parametrize("name", KNOWN)
def test_known_inputs(fork: Fork, name: str) -> None:
    data = KNOWN[name]
    gas, output = specified(data, fork)
    amounts = [min(amount, MUCH) for amount in (gas, gas + 1, gas - 1, 0, MUCH)]
    calls = Calls([(data, amount) for amount in amounts], fork=fork)
    assert accepted(calls)
    assert outputs(calls) == [output, output, None, None, output]


#: Lengths of base, exponent and modulus around the bound, around what counts as short, and far beyond.
EDGES = (
    (1024, 0, 1), (1025, 0, 1), (1, 1024, 1), (1, 1025, 1), (1, 1, 1024), (1, 1, 1025), (1024, 1024, 1024),
    (0, 1025, 0), (1 << 16, 1, 1), (1, 1 << 16 | 5, 1), (1, 1, 1 << 255), (1 << 255, 1 << 255, 1 << 255),
    (32, 1, 32), (33, 1, 32), (32, 1, 33), (0, 0, 0), (0, 32, 0), (0, 33, 0), (1000, 33, 8), (1024, 32, 0),
)  # fmt: skip


@FORKS
def test_lengths_around_the_bound(fork: Fork) -> None:
    """What is too long fails with any gas; all else costs exactly what it does, and no power is computed of zero."""
    inputs = [encode(b"\xff" * 40, b"", b"", lengths) for lengths in EDGES]
    prices = [specified(data, fork)[0] for data in inputs]
    calls = Calls(
        [(data, gas) for data, price in zip(inputs, prices, strict=True) for gas in {0, min(price - 1, MUCH)}]
        + [(data, min(price, MUCH)) for data, price in zip(inputs, prices, strict=True) if price > 10_000_000],
        fork=fork,
    )
    assert accepted(calls)
    answers = [(specified(data, fork), gas) for data, gas in calls.calls]
    assert outputs(calls) == [output if price <= gas else None for (price, output), gas in answers]
    known = {data: price for data, price in zip(inputs, prices, strict=True) if price <= MUCH}
    assert {data: ModexpInput(data).gas(fork.modexp) for data in known} == known


def test_numbers_as_long_as_the_bound() -> None:
    long = encode(b"\xff" * 1024, b"\3", b"\xfd" * 1024)
    gas, output = specified(long, OSAKA)
    calls = Calls([(long, gas), (long, gas - 1)], fork=OSAKA)
    assert accepted(calls)
    assert outputs(calls) == [output, None]


#: Lengths of base, exponent and modulus that nobody pays for, and the largest prices of small ones.
DEAR = (
    (2**255, 0, 1), (1, 1, 2**19), (2**19, 0, 0), (2**16, 3, 2**32), (2**48, 2**200, 5), (1, 2**30, 1),
    (1, 2**30 - 1, 8), (8, 2**31, 0), (1, 2**255, 1), (0, 2**28 + 31, 9), (2**19 - 1, 40, 2**19 - 1),
    (2**19 - 1, 1, 0), (400_000, 1, 400_001), (2**17, 2**16 + 5, 3), (33, 2**16 + 31, 1), (33, 2**16 + 32, 1),
    (1, 2**25, 1),
)  # fmt: skip


def test_prices() -> None:
    """Nothing is computed of what is not paid; the price is exact where it is below 2^30."""
    inputs = [encode(b"\xff" * 64, b"", b"", lengths) for lengths in DEAR]
    inputs += [encode(b"", head, b"", (0, size, 8)) for head in (b"\xff" * 32, b"\0\1" * 16) for size in (2**16, 2**24)]
    calls = Calls([(data, gas) for data in inputs for gas in (MUCH, 10_000, 199) if specified(data)[0] > gas])
    assert accepted(calls)
    assert outputs(calls) == [None] * len(calls.calls)
    cost = {data: specified(data)[0] for data in inputs if specified(data)[0] <= MUCH}
    assert cost
    assert {data: ModexpInput(data).gas(CANCUN.modexp) for data in cost} == cost
    edges = Calls([(data, gas - 1) for data, gas in cost.items()])
    assert accepted(edges)


@FORKS
@pytest.mark.parametrize("kind", ["call", "callcode", "delegatecall", "staticcall"])
def test_an_execution(fork: Fork, kind: str) -> None:
    """Contracts call it with just enough gas and with less, and use what it returns: the segment is accepted."""
    source = random.Random(kind)
    building = Builder(fork)
    requests = []
    names = (
        "fermat",
        "truncated",
        "base is longer than a word",
        "modulo 0",
        "no modulus",
        "nothing",
        "0 ** 0 modulo 1",
    )
    for number, name in enumerate(names):
        data = KNOWN[name]
        value = "0 " if kind in ("call", "callcode") else ""
        text = "calldatasize 0 0 calldatacopy "
        for gas in (specified(data, fork)[0], specified(data, fork)[0] - 1):
            room, to = source.choice([0, 1, 32, 40, 100]), source.randrange(1000)
            text += f"{room} {to} calldatasize 0 {value}5 {gas} {kind} pop "
            text += f"returndatasize 0 {to} returndatacopy {to} mload returndatasize 2 div mload pop pop "
        address = bytes([0xA0 + number]) * 20
        building.alloc(address, code="0x" + assemble(f"{text} stop").hex(), balance=100)
        requests.append(call_contract(building, number % 3, address, data="0x" + data.hex(), gas=300_000))
    building.block(*requests)
    building.block(call_contract(building, to=(5).to_bytes(20, "big"), data="0x" + KNOWN["square"].hex(), gas=90_000))
    too_long = "0x" + encode(b"", b"", b"", (0, 1025, 0)).hex()
    building.block(call_contract(building, to=(5).to_bytes(20, "big"), data=too_long, gas=90_000))
    execution = execution_of(building.provable())
    plans = list(execution.modexp_plans.values())
    assert len(plans) == 2 * len(names) + 2
    assert plans[-1].paid == (fork == CANCUN)
    assert {plan.paid for plan in plans} == {True, False}
    filled = fill(execution)
    assert not check_circuit(segment_circuit(fork), filled.traces, filled.public_lists, algebra=NATIVE)


MANY = 8192


@pytest.mark.deep
@pytest.mark.parametrize("sign", [-1, 1])
def test_largest_coefficients(sign: int) -> None:
    """256 blocks of ones, times themselves: as both factors, or as quotient and modulus; the others have few ones."""
    if sign > 0:
        base, modulus = (1 << 8 * MANY - 1) - 1, (1 << 8 * MANY - 1) + 1
        data = encode(base.to_bytes(MANY, "big"), b"\2", modulus.to_bytes(MANY, "big"))
    else:
        modulus = (1 << 8 * MANY) - 1
        data = encode((modulus * modulus).to_bytes(2 * MANY, "big"), b"\1", modulus.to_bytes(MANY, "big"))
    calls = Calls([(data, MUCH)])
    largest = int((ModexpWork.of(calls).jobs.pairs.sums * sign).max())  # type: ignore[arg-type]
    assert largest == pytest.approx(256 * 32 * 255**2, rel=1e-2)
    assert largest <= 256 * 32 * 255**2
    assert accepted(calls)


@pytest.mark.parametrize("number", range(3))
def test_a_word_more(number: int) -> None:
    """Numbers may have a word of zeros more than they need, which says nothing else; not two of them."""
    data = encode(b"\3" * 5, b"\1\2", b"\xfb\3\5")

    def calls(more: int) -> Any:
        def change(plan: ModexpPlan) -> None:
            plan.__dict__["words"] = tuple(n + more * (k == number) for k, n in enumerate(plan.words))

        return Calls([(data, MUCH)], change)

    assert accepted(calls(1))
    assert outputs(calls(1)) == [specified(data)[1]]
    assert not accepted(calls(2))


def test_rows_are_known_before() -> None:
    for data in [d for d in (*KNOWN.values(), *_random_inputs(9, 30)) if ModexpPlan(ModexpInput(d), True).runs]:
        work = ModexpWork.of(Calls([(data, MUCH)]))  # type: ignore[arg-type]
        lines = int((work.jobs.a_count + work.jobs.b_count).sum())
        found = (len(work.digits.call), len(work.small_jobs.a), len(work.jobs.pairs.owner), lines)
        assert ModexpInput(data).rows == (*found, len(work.numbers.bytes))


def product_cost(size: int) -> float:
    """What a product of two numbers of so many bytes takes, in cells, an interaction being worth 6.5."""
    small = {"modexp_tiny_products": 1} if size <= 8 else {"modexp_small_products": 1}
    blocks = -(-size // 32)
    rows = {"modexp_products": blocks**2, "modexp_remainders": 2 * blocks, "modexp_blocks": 2 * blocks}
    if blocks == 1:
        rows = small | {"modexp_blocks": 1}
    return float(sum(count * (TABLES[t].width + 6.5 * len(TABLES[t].air.interactions)) for t, count in rows.items()))


def test_addition_chains() -> None:
    for digits in range(1, 1 << 15, 37):
        wanted = frozenset(n + 1 for n in range(15) if digits >> n & 1)
        known = {1}
        for power in addition_chain(wanted):
            assert {power.left, power.right} <= known
            assert power.exponent == power.left + power.right
            known.add(power.exponent)
        assert wanted <= known
    assert [len(addition_chain(frozenset([n]))) for n in (1, 2, 3, 7, 8, 15)] == [0, 1, 2, 4, 3, 5]


def test_costs() -> None:
    assert {size: product_cost(size) for size in (8, 32, 64, 128, 256)} == {
        8: 339.5, 32: 777.5, 64: 3682.0, 128: 9248.0, 256: 26032.0
    }  # fmt: skip


# Lies.


@cache
def few() -> Any:
    """Calls with numbers of one block and of two, with digits that are 0 and that are not, of modulus 0, unpaid."""
    datas = [
        encode(b"\x2b" * 33, b"\1\x20\3", b"\xc5" * 34),
        encode(b"\x2c" * 32, b"\7", b"\xd5" * 32),
        encode(b"\3", b"\x21", b"\7"),
        encode(b"\3", b"\5", bytes(3)),
        encode(b"\3" * 8, b"\0", b"\x11" * 40),
    ]
    return Calls([*((data, 1_000) for data in datas), (datas[0], specified(datas[0])[0] - 1)])


@cache
def few_bounded() -> Any:
    """Calls of numbers with a bound: with a short and with a long exponent, of modulus 0, unpaid, and too long ones."""
    datas = [
        encode(b"\x2b" * 33, b"\1\x20\3", b"\xc5" * 34),
        encode(b"\3" * 8, b"\0", b"\x11" * 40),
        encode(b"\3", bytes(32) + b"\5", b"\7" * 5),
        encode(b"\3", b"\5", bytes(3)),
        encode(b"\xff" * 40, b"", b"", (1, 1025, 1)),
        encode(b"\xff" * 40, b"", b"", (1 << 200, 1, 1)),
    ]
    return Calls([*((data, 9_000) for data in datas), (datas[0], specified(datas[0], OSAKA)[0] - 1)], fork=OSAKA)


def objections(execution: Any, lies: Mapping[str, Lie], honest: Any = None) -> set[str]:
    """What objects to altered tables, with the world as the honest ones left it."""
    own, honest = family(execution.fork), honest or few()
    traces = fill_family(own, execution, lies)
    circuit, filled = closed([c.table for c in own], fill_family(own, honest))
    return places(check_circuit(circuit, [*traces, *filled[len(traces) :]], [[] for _ in filled], algebra=NATIVE))


def test_the_few_calls_are_accepted() -> None:
    assert accepted(few())
    assert objections(few(), {}) == set()
    assert accepted(few_bounded())
    assert _bounded_objections(lambda rows: None) == set()


def _bounded_objections(lie: Lie) -> set[str]:
    return objections(few_bounded(), {"modexp": lie}, few_bounded())


def _recharge(rows: Any, row: int, cost: int, fails: bool) -> None:
    gas = int(rows.gas[row])
    rows.cost[row], rows.charge.fails[row] = cost, fails
    rows.charge.margin[row] = (cost - gas - 1 if fails else gas - cost) & 0xFFFF


@pytest.mark.parametrize("row", [0, 4, 5])
def test_another_side_of_the_bound(row: int) -> None:
    """A number that is too long is said to be within the bound, one that is within it to be too long."""

    def change(rows: Any) -> None:
        number = {0: 1, 4: 1, 5: 0}[row]
        near = rows.near[number].near
        near[row] = 1 - near[row]
        rows.fits[row] = 1 - rows.fits[row]

    found = _bounded_objections(change)
    assert found & {"range16", "a length within the bound has one limb"}
    assert "range16" in found or row == 5


def test_a_failure_and_a_success_by_the_bound() -> None:
    """How a call ends follows from whether its numbers fit: `succeeds` says that."""

    def succeeds(rows: Any) -> None:
        rows.succeeds[4] = 1

    assert {"succeeds", "halt"} <= _bounded_objections(succeeds)

    def fails(rows: Any) -> None:
        rows.succeeds[1] = 0

    assert {"succeeds", "halt"} <= _bounded_objections(fails)


@pytest.mark.parametrize("row", [0, 1, 2, 3])
def test_a_false_bounded_price(row: int) -> None:
    """Each part of a price: long and short, the longer number, its words, its squarings, the least price."""

    def cheaper(rows: Any) -> None:
        _recharge(rows, row, int(rows.cost[row]) - 1, False)

    assert "cost" in _bounded_objections(cheaper)

    def product(rows: Any) -> None:
        rows.product[row, 0] -= 1

    assert "product" in _bounded_objections(product)

    def wraps(rows: Any) -> None:
        # The product and the modulus of the field, in two limbs.
        value = int(rows.product[row, 0]) + (int(rows.product[row, 1]) << 16) + MODULUS
        rows.product[row] = value & 0xFFFF, value >> 16

    assert "range16" in _bounded_objections(wraps)

    for name, constraint in (("is_wide", "range16"), ("is_long", "range16"), ("base_longer", "range16")):

        def flag(rows: Any, name: str = name) -> None:
            cells = getattr(rows, name)
            cells[row] = 1 - cells[row]

        assert constraint in _bounded_objections(flag)

    def eighths(rows: Any) -> None:
        rows.eighths[row] += 1

    assert "range16" in _bounded_objections(eighths)

    def squarings(rows: Any) -> None:
        rows.squarings[row] += 1

    assert "squarings" in _bounded_objections(squarings)


def test_a_bounded_call_that_is_not_paid() -> None:
    def lie(rows: Any) -> None:
        row = row_where(rows.charge.fails)
        _recharge(rows, row, int(rows.cost[row]), False)

    assert "range16" in _bounded_objections(lie)


def test_bounded_prices_do_not_wrap() -> None:
    BoundedModexp(OSAKA.modexp)
    for changes in ({"max_number_bytes": 1 << 16}, {"complexity_factor": 3}, {"iterations_per_byte": 20}):
        with pytest.raises(ValueError, match=r"^prices that wrap around$"):
            BoundedModexp(replace(OSAKA.modexp, **changes))
    with pytest.raises(ValueError, match=r"^numbers without a bound, or prices that are divided$"):
        BoundedModexp(CANCUN.modexp)


def _multiplying(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[int, int, int], tuple[int, int]], number: int
) -> Any:
    """The few calls by a prover whose product `number` has another quotient and remainder; all else follows."""
    builder = modexp_work._Builder
    honest, count = builder.multiply, [0]

    def multiply(self: Any, a: int, b: int, modulus: int) -> int:
        own = honest(self, a, b, modulus)
        count[0] += 1
        if count[0] != number:
            return own
        quotient, remainder = divmod(self.values[a] * self.values[b], self.values[modulus])
        quotient, self.values[own] = change(quotient, remainder, self.values[modulus])
        if self.small_jobs and self.small_jobs[-1][3] == own:
            self.small_jobs[-1] = (*self.small_jobs[-1][:4], quotient)
        else:
            self.values[self.jobs[-1][2]] = quotient
        return own

    with monkeypatch.context() as patch:
        patch.setattr(builder, "multiply", multiply)
        return Calls(few().calls)


#: Products of the first call: powers up to 3, then its digits; and those before the second one's.
FIRST_PRODUCTS = 3 + 4 * 4 + 2


@pytest.mark.parametrize("number", [1, 2, 7, FIRST_PRODUCTS])
def test_another_quotient(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    calls = _multiplying(monkeypatch, lambda q, r, m: (q + 1, r), number)
    assert any(place.startswith("byte ") for place in objections(calls, {}))


@pytest.mark.parametrize("number", [1, FIRST_PRODUCTS, FIRST_PRODUCTS + 3])
def test_another_remainder(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    calls = _multiplying(monkeypatch, lambda q, r, m: (q, r + 1), number)
    assert any(place.startswith(("byte ", "limb ")) for place in objections(calls, {}))


def test_a_remainder_that_is_not_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a power it is as good as any other; as the result it is not below the modulus."""
    within = _multiplying(monkeypatch, lambda q, r, m: (q - 1, r + m), FIRST_PRODUCTS - 1)
    assert objections(within, {}) == set()
    result = _multiplying(monkeypatch, lambda q, r, m: (q - 1, r + m), FIRST_PRODUCTS)
    assert "below" in objections(result, {})


def _digit(rows: Any, frame: int, number: int) -> int:
    """The row of a digit of a call's exponent that has begun, or begins with it: its number from the first one on."""
    begins = row_where((rows.frame == frame) & (rows.begun == 1))
    return begins + number


def test_a_square_that_is_skipped() -> None:
    def lie(rows: Any) -> None:
        row = _digit(rows, 1, 1)
        rows.square[row, 3] = rows.square[row, 2]

    assert "multiply_modulo" in objections(few(), {"modexp_exponents": lie})


def test_a_digit_that_multiplies_twice() -> None:
    def lie(rows: Any) -> None:
        row = _digit(rows, 1, 1)
        rows.square[row, 3] = rows.after[row]

    assert "multiply_modulo" in objections(few(), {"modexp_exponents": lie})


def test_digits_that_are_left_out() -> None:
    """An idle digit in the place of one that multiplies."""

    def lie(rows: Any) -> None:
        row = _digit(rows, 1, 4)
        rows.idle[row], rows.digit[row], rows.power[row], rows.multiplies[row] = 1, 0, 0, 0
        rows.after[row] = rows.square[row, 3]
        rows.result[rows.frame == 1] = rows.after[row]

    found = objections(few(), {"modexp_exponents": lie})
    assert {"next digit", "exponent"} <= found


def _other_exponent(plan: ModexpPlan) -> None:
    """The exponent has another bit, to the one who computes."""
    if plan.runs:
        plan.input.__dict__["exponent"] = plan.input.exponent ^ 1


def test_another_exponent() -> None:
    """The words that are read are others than those in the memory."""
    assert "memory_bytes" in objections(Calls(few().calls, _other_exponent), {})


def _other_modulus(plan: ModexpPlan) -> None:
    if plan.runs:
        plan.input.__dict__["modulus"] = plan.input.modulus + 2


def test_another_modulus() -> None:
    assert "memory_bytes" in objections(Calls(few().calls, _other_modulus), {})


def _other_base(plan: ModexpPlan) -> None:
    if plan.runs:
        plan.input.__dict__["base"] = plan.input.base ^ 2


def test_another_base() -> None:
    assert "memory_bytes" in objections(Calls(few().calls, _other_base), {})


def test_digits_of_another_call() -> None:
    def lie(rows: Any) -> None:
        here = (rows.frame == 2) | (rows.frame == 3)
        rows.frame[here] = 5 - rows.frame[here]

    found = objections(few(), {"modexp_exponents": lie})
    assert {"exponent", "power_of"} <= found


def test_powers_of_another_call() -> None:
    def lie(rows: Any) -> None:
        here = (rows.frame == 2) | (rows.frame == 3)
        rows.frame[here] = 5 - rows.frame[here]

    assert "powers" in objections(few(), {"modexp_powers": lie})


def test_a_power_that_is_its_own_factor() -> None:
    """Its exponent would be that of the other factor and 0: any number is itself times 1."""

    def lie(rows: Any) -> None:
        row = row_where((rows.frame == 1) & (rows.exponents[:, 0] == 2))
        rows.exponents[row] = 3, 0
        rows.factors[row] = rows.power[row], rows.unit[row]

    assert {"range16", "power_of"} <= objections(few(), {"modexp_powers": lie})


def test_a_result_of_another_call() -> None:
    def lie(rows: Any) -> None:
        rows.result[1] = rows.result[2]

    assert "exponent" in objections(few(), {"modexp": lie})


@pytest.mark.parametrize("row", [0, 1, 5])
def test_another_length(row: int) -> None:
    """A modulus of a byte less: the lengths are read in the memory, and the words follow from them."""

    def lie(rows: Any) -> None:
        rows.length[row, 2, 0] -= 1
        rows.bytes[row, 2] -= 1

    assert "memory_bytes" in objections(few(), {"modexp": lie})

    def more(rows: Any) -> None:
        rows.words[row, 2] += 1

    assert objections(few(), {"modexp": more}) & {"number_block", "no words of what is not read"}


def test_an_input_that_is_cut() -> None:
    """As if the input had one byte less, or none, of the modulus."""

    def lie(rows: Any) -> None:
        part = rows.part[2]
        part.whole[0] = 0
        part.size[0] -= 1

    assert "size of the part" in objections(few(), {"modexp": lie})

    def none(rows: Any) -> None:
        part = rows.part[2]
        part.some[0] = part.size[0] = part.whole[0] = 0

    assert "distance of the ends" in objections(few(), {"modexp": none})


def test_a_modulus_that_vanishes() -> None:
    def lie(rows: Any) -> None:
        rows.vanishes[1], rows.runs[1] = 1, 0

    assert "no words of what is not read" in objections(few(), {"modexp": lie})

    def words(rows: Any) -> None:
        row = row_where((rows.frame == 2) & (rows.reads == 1) & (rows.offset == 128))
        rows.reads[row], rows.zero[row] = 0, 1

    assert objections(few(), {"modexp_numbers": words}) >= {"number", "zeros, or 1: byte 0"}


@pytest.mark.parametrize("paid", [True, False])
def test_a_false_charge(paid: bool) -> None:
    """A call that is paid fails, one that is not paid succeeds."""

    def lie(rows: Any) -> None:
        row = 1 if paid else 5
        lacks = rows.lacks
        lacks.less[row] = paid
        lacks.borrow[row] = paid
        difference = int(rows.gas[row]) - int(rows.cost[row]) - (int(rows.quotient[row, 1]) << 16)
        difference += (1 << 32) * paid
        lacks.difference[row] = difference & 0xFFFF, difference >> 16 & 0xFFFF

    found = objections(few(), {"modexp": lie})
    assert found & {"lacks: low limb", "lacks: high limb"}
    assert "works" in found


@pytest.mark.parametrize("cheaper", [1, 2])
def test_a_false_price(cheaper: int) -> None:
    def lie(rows: Any) -> None:
        rows.quotient[0, 0] -= cheaper
        rows.cost[0] -= cheaper

    assert "a third" in objections(few(), {"modexp": lie})

    def squarings(rows: Any) -> None:
        rows.squarings[0, 0] -= cheaper

    assert {"squarings: low limb", "multiply"} <= objections(few(), {"modexp": squarings})

    def top(rows: Any) -> None:
        at = int(np.argmax(rows.top.bits[0]))
        rows.top.bits[0, at], rows.top.bits[0, at - cheaper] = 0, 1
        rows.squarings[0, 0] -= cheaper

    assert "range16" in objections(few(), {"modexp": top})


def test_a_diagonal_that_is_not_complete() -> None:
    """It ends before its last pair, or begins behind its first one."""

    def end(rows: Any) -> None:
        row = row_where((rows.start == 1) & (rows.end == 0))
        rows.end[row] = rows.start[row + 1] = 1

    found = objections(few(), {"modexp_products": end})
    assert {"no pair behind the last one", "no pair before the first one"} <= found

    def final(rows: Any) -> None:
        rows.final[row_where((rows.end == 1) & (rows.final == 0))] = 1

    assert {"the final pair[1]", "diagonal"} <= objections(few(), {"modexp_products": final})


def test_a_block_of_the_remainder_that_is_left_out() -> None:
    def lie(rows: Any) -> None:
        row = row_where((rows.first == 1) & (rows.count == 2))
        rows.ends[row], rows.there[row + 1], rows.ends[row + 1] = 1, 0, 0
        rows.bytes[row + 1] = 0

    assert "the last block" in objections(few(), {"modexp_remainders": lie})


def test_a_number_with_two_blocks_of_one_index() -> None:
    def lie(rows: Any) -> None:
        row = row_where((rows.count == 2) & (rows.index == 1))
        rows.index[row] = 0

    assert {"the next block", "count"} <= objections(few(), {"modexp_blocks": lie})


@FORKS
def test_mutations_are_rejected(fork: Fork) -> None:
    own = family(fork)
    traces = fill_family(own, few() if fork == CANCUN else few_bounded())
    circuit, filled = closed([c.table for c in own], traces)
    present = {c.table.name for c, trace in zip(own, traces, strict=True) if trace is not None}
    assert set(TABLES) - ({"modexp_tiny_products", "modexp_small_products"} if fork == OSAKA else set()) <= present
    report = mutate(circuit, filled, [[] for _ in filled], rows_per_table=3, tables=set(TABLES))
    assert set(report.coverage) == set(TABLES) & present
    assert report.survivors == [], str(report)


def test_without_calls_there_are_no_tables() -> None:
    traces = fill_family(FAMILY, Calls([]))  # type: ignore[arg-type]
    assert {c.table.name for c, t in zip(FAMILY, traces, strict=True) if t is not None} == {"bitwise_bytes", "range16"}


def test_columns_of_numbers_are_those_of_their_table() -> None:
    """The words of numbers in the memory are their blocks from the last one on."""
    numbers = ModexpWork.of(few()).numbers
    traces = dict(zip((c.table.name for c in FAMILY), fill_family(FAMILY, few()), strict=True))
    rows = TraceView(TABLES["modexp_blocks"].layout, traces["modexp_blocks"])  # type: ignore[arg-type]
    assert (rows.bytes[: len(numbers.bytes)] == numbers.bytes).all()
