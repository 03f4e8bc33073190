"""Stack instructions, what is left on the stack, and tokens made younger."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.air.gadgets import TimeLimbs
from circuits.air.layout import TraceView
from circuits.batch.execution import MAX_AGE, Execution
from circuits.component import Component
from circuits.frames import code, push_sites
from circuits.frames.buses import EXEC, PUSH
from circuits.instructions import control_flow, stack
from circuits.instructions.buses import STACK
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, fill_family, mutate_family, open_messages
from tests.circuits.lying import RANGES

FAMILY: tuple[Component, ...] = (*stack.COMPONENTS, *control_flow.COMPONENTS, *push_sites.COMPONENTS, *code.COMPONENTS)
CHECKED = (*FAMILY, RANGES)

BIG = "0x" + "ff" * 32
WORDS = " ".join(str(300 + n) for n in range(17))
PROGRAMS = {
    "push": f"7 0 0xff 0xffff 0x1ffff 0xffffffff 0x100000000 {BIG} 0x8{'0' * 63}",
    "dup": f"{WORDS} dup1 dup2 dup16 pop dup9",
    "swap": f"{WORDS} swap1 swap16 swap8 pop swap2 swap15",
    "pop": f"7 pop {BIG} 0 pop pop",
    "swapped twice": "7 8 swap1 swap1 pop dup1 swap1 pop",
}


def of_code(bytes_: bytes) -> Execution:
    building = Builder().alloc(CONTRACT, code="0x" + bytes_.hex())
    return execution_of(building.block(call_contract(building)).execute())


def run(name: str) -> Execution:
    return of_code(assemble(PROGRAMS[name]))


@pytest.mark.parametrize("name", PROGRAMS)
def test_honest_programs_are_accepted_and_complete(name: str) -> None:
    execution = run(name)
    assert not check_family(CHECKED, execution)
    assert len(open_messages(FAMILY, execution, EXEC)) == 1
    assert not open_messages(FAMILY, execution, STACK)
    assert not open_messages(FAMILY, execution, PUSH)


def test_a_full_stack_is_accepted() -> None:
    execution = of_code(bytes([0x5F] * 1024))
    assert int(execution.stack_size.max()) == 1024
    assert not check_family(CHECKED, execution)


@pytest.mark.parametrize("name", PROGRAMS)
def test_mutations_are_rejected(name: str) -> None:
    report = mutate_family(FAMILY, run(name), rows_per_table=3)
    assert not report.survivors, str(report)


def test_what_is_left_is_the_stack_at_the_end() -> None:
    execution = run("swap")
    slots = execution.stack_rest.slot
    assert sorted(slots.tolist()) == list(range(int(execution.stack_size[-1])))


def old(execution: Execution) -> Execution:
    """The same steps, but the last but one comes much later, so that what it pops is old."""
    later = len(execution.time) - 2
    execution.time[later:] += 5 * MAX_AGE
    return execution


def old_token() -> Execution:
    return old(of_code(assemble("7 8 pop pop stop")))


def test_old_tokens_are_made_younger() -> None:
    """Time passes between two steps: the exec bus is open there, all else is closed."""
    execution = old_token()
    traces = fill_family(FAMILY, execution)
    (matrix,) = [m for c, m in zip(FAMILY, traces, strict=True) if c.table.name == "stack_refresh"]
    assert matrix is not None
    rows = TraceView(stack.StackRefreshColumns, matrix)
    assert rows.real.tolist() == [1]
    now = int(rows.now.low[0]) + (int(rows.now.high[0]) << 16)
    assert now == int(execution.time[-2]) - 1
    assert int(rows.order.before[0]) == int(execution.time[0])
    assert not check_family(CHECKED, execution)
    assert not open_messages(FAMILY, execution, STACK)


@pytest.mark.parametrize("age", [MAX_AGE - 1, MAX_AGE, MAX_AGE + 1])
def test_ages_at_the_limit_of_a_pop(age: int) -> None:
    execution = of_code(assemble("7 8 pop pop stop"))
    execution.time[3:] += age - 3
    assert not check_family(CHECKED, execution)
    assert len(execution.stack_refreshed[1]) == (age > MAX_AGE)


def test_mutations_of_refreshed_tokens_are_rejected() -> None:
    report = mutate_family(FAMILY, old_token(), rows_per_table=4)
    assert not report.survivors, str(report)
    assert "stack_refresh" in report.coverage


Lie = Callable[[TraceView], None]


def refused(execution: Execution, table: str, lie: Lie, by: str) -> None:
    """The lie is found out, by a finding with these words."""
    findings = [str(finding) for finding in check_family(CHECKED, execution, {table: lie})]
    assert any(by in finding for finding in findings), findings


def test_no_token_is_taken_from_the_future() -> None:
    """A pop of a word that is pushed after it."""

    def lie(rows: TraceView) -> None:
        rows.then[0] = rows.time[0] + 1

    refused(run("pop"), "pop", lie, "bus range16")


def test_a_refresh_does_not_go_back_in_time() -> None:
    def back(rows: TraceView) -> None:
        """To the time before the push."""
        before = int(rows.order.before[0])
        TimeLimbs.fill(rows.now, np.array([before - 1]))
        rows.order.low[0] = 0xFFFE

    def around(rows: TraceView) -> None:
        """Forward, but beyond the range of times: some more of these steps would come around the modulus."""
        now = int(rows.order.before[0]) + (1 << 29)
        rows.now.low[0] = now & 0xFFFF
        rows.now.high[0] = now >> 16
        rows.order.low[0] = 0xFFFF

    def modulus(rows: TraceView) -> None:
        """By way of a modulus, which the difference does not show."""
        rows.order.before[0] = MODULUS - 5
        now = 0
        rows.now.low[0], rows.now.high[0] = now, 0
        rows.order.low[0] = 4
        assert (now - (MODULUS - 5) - 1) % MODULUS == 4

    refused(old_token(), "stack_refresh", back, "bus range16")
    refused(old_token(), "stack_refresh", around, "bus range16")
    # Nobody makes a token of such a time: it is below 2^29 wherever it comes from, a refresh included.
    execution = old_token()
    before = open_messages(FAMILY, execution, STACK)
    assert not before
    traces = fill_family(FAMILY, execution, {"stack_refresh": modulus})
    (matrix,) = [m for c, m in zip(FAMILY, traces, strict=True) if c.table.name == "stack_refresh"]
    assert matrix is not None
    times = TraceView(stack.StackRefreshColumns, matrix).order.before
    assert int(times[0]) >= 1 << 29


def test_depth_is_that_of_the_opcode() -> None:
    """DUP of another depth; DUP17 is SWAP1, and DUP0 is PUSH32."""

    def other(rows: TraceView) -> None:
        rows.depth[0] += 1

    def seventeen(rows: TraceView) -> None:
        rows.depth[0] = 17

    def none(rows: TraceView) -> None:
        rows.depth[0] = 0

    refused(run("dup"), "dup", other, "bus instruction")
    refused(run("dup"), "dup", seventeen, "bus range16")
    refused(run("dup"), "dup", none, "bus range16")
    refused(run("swap"), "swap", seventeen, "bus range16")


def test_the_value_of_a_push_is_that_of_its_data() -> None:
    def lie(rows: TraceView) -> None:
        rows.value[0, 0] += 1

    def cheap(rows: TraceView) -> None:
        rows.cost[0] = 2

    def short(rows: TraceView) -> None:
        rows.size[0] = 0

    for change in (lie, cheap, short):
        refused(run("push"), "push_small", change, "bus")


def test_a_full_stack_has_no_room() -> None:
    def lie(rows: TraceView) -> None:
        rows.stack_size[0] = 1024

    refused(run("push"), "push_small", lie, "bus range16")
    refused(run("push"), "push_large", lie, "bus range16")
    refused(run("dup"), "dup", lie, "bus range16")
