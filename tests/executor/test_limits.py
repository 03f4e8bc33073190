"""Limits of an execution: going over one is a clear error, staying within one changes nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from executor.errors import LimitExceeded
from executor.execute import execute
from executor.limits import Limits, resident_bytes
from scripts.batches.programs import CONTRACT, PROGRAMS, call_contract
from scripts.workloads.assembler import assemble

FOREVER = "loop: @loop jump"
CALLS_FOREVER = "loop: 0 0 0 0 0 4 gas call pop @loop jump"
MILLIONS = 2**40  # of gas: more than anybody waits for


def batch(builder: Any, source: str, gas: int = MILLIONS) -> Any:
    building = builder(gasLimit=MILLIONS, baseFeePerGas=8)
    building.alloc(CONTRACT, code="0x" + assemble(source).hex())
    return building.block(call_contract(building, gas=gas, gasPrice=8), gasLimit=MILLIONS).read()


@pytest.mark.parametrize("trace", [False, True])
@pytest.mark.parametrize("source", [FOREVER, CALLS_FOREVER])
def test_time(builder: Any, source: str, trace: bool) -> None:
    start = time.monotonic()
    with pytest.raises(LimitExceeded, match=r"^the execution went over its limit of 0\.3 seconds$"):
        execute(batch(builder, source), limits=Limits(seconds=0.3), trace=trace)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("trace", [False, True])
def test_memory_of_the_evm(builder: Any, trace: bool) -> None:
    # One instruction that asks for 64 MiB: refused before it gets them.
    before = resident_bytes()
    with pytest.raises(LimitExceeded, match=r"^the execution went over its limit of 20,000,000 bytes of memory$"):
        execute(batch(builder, f"1 {2**26} mstore"), limits=Limits(memory=20_000_000), trace=trace)
    assert resident_bytes() - before < 60_000_000


@pytest.mark.deep
def test_memory_of_the_trace(builder: Any) -> None:
    with pytest.raises(LimitExceeded, match="bytes of memory"):
        execute(batch(builder, FOREVER), limits=Limits(memory=20_000_000, seconds=300))


@pytest.mark.parametrize("trace", [False, True])
def test_memory_that_no_machine_has(builder: Any, trace: bool) -> None:
    building = builder(gasLimit=2**62, baseFeePerGas=7, alloc={"0x" + builder.WALLETS[0].hex(): {"balance": 2**80}})
    building.alloc(CONTRACT, code="0x" + assemble(f"1 {2**33} mstore").hex())
    building.block(call_contract(building, gas=2**60, gasPrice=7), gasLimit=2**62)
    with pytest.raises(LimitExceeded, match="4,294,967,295 bytes of EVM memory"):
        execute(building.read(), trace=trace)


@pytest.mark.parametrize("trace", [False, True])
def test_gas(builder: Any, trace: bool) -> None:
    building = builder()
    read = building.block(building.transfer()).block(building.transfer(), building.transfer()).read()
    assert execute(read, limits=Limits(gas=63_000), trace=trace).gas_used == 63_000
    with pytest.raises(LimitExceeded, match=r"^the execution went over its limit of 62,999 gas$"):
        execute(read, limits=Limits(gas=62_999), trace=trace)


def test_generous_limits_change_nothing() -> None:
    limits = Limits(gas=10**9, seconds=1_000, memory=10**11)
    for name in ("calls", "arithmetic"):
        batch = PROGRAMS[name]().read()
        free, limited = execute(batch), execute(batch, limits=limits)
        assert free.trace is not None
        assert limited.trace is not None
        assert free.trace.digest() == limited.trace.digest()
