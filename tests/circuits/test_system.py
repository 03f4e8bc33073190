"""RETURN and REVERT: what they pay, and what they end with."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.batch.execution import OUT_OF_MEMORY, Execution
from circuits.frames import code, push_sites
from circuits.frames.buses import EXEC, HALT
from circuits.frames.frames import Ending
from circuits.instructions import control_flow, stack, system
from circuits.instructions.buses import STACK
from circuits.memory.buses import EXPANSION
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, mutate_family, open_messages
from tests.circuits.lying import RANGES

FAMILY = (*stack.COMPONENTS, *control_flow.COMPONENTS, *system.COMPONENTS, *push_sites.COMPONENTS, *code.COMPONENTS)
CHECKED = (*FAMILY, RANGES)

BIG = "0x" + "ff" * 32
#: Source, whether it returns, bytes reached, gas it costs. The memory of w words costs 3 w + w^2 / 512 gas. Size and
#: offset are the last two words before the instruction.
PROGRAMS = {
    "return": ("7 pop 1 2 return", 1, 3, 3),
    "revert": ("7 pop 1 2 revert", 0, 3, 3),
    "return of nothing": ("7 pop 8 pop 0 9 return", 1, 0, 0),
    "return of nothing from anywhere": (f"7 pop 0 {BIG} return", 1, 0, 0),
    "revert of nothing from anywhere": (f"7 pop 0 {BIG} revert", 0, 0, 0),
    "a word": ("7 pop 32 0 return", 1, 32, 3),
    "a byte more": ("7 pop 32 1 return", 1, 33, 6),
    "much": ("7 pop 0xfffff 0x10000 return", 1, 0x10FFFF, 3 * 34_816 + 34_816**2 // 512),
}


def run(source: str, gas: int = 10_000_000) -> Execution:
    building = Builder().alloc(CONTRACT, code="0x" + assemble(source).hex())
    return execution_of(building.block(call_contract(building, gas=gas)).execute())


@pytest.mark.parametrize("name", PROGRAMS)
def test_honest_ends_are_accepted(name: str) -> None:
    source, returns, end, cost = PROGRAMS[name]
    execution = run(source)
    assert not check_family(CHECKED, execution)
    assert len(open_messages(FAMILY, execution, EXEC)) == 1
    assert not open_messages(FAMILY, execution, STACK)
    (expansion,) = open_messages(FAMILY, execution, EXPANSION)
    assert expansion == (0, end, -(-end // 32), cost)
    (halt,) = open_messages(FAMILY, execution, HALT)
    ending = Ending.SUCCEEDED if returns else Ending.REVERTED
    assert halt[1:3] == (ending, int(execution.trace.steps.gas_after[execution.step[-1]]))
    size, offset = (int(word, 0) for word in source.split()[-3:-1])
    assert halt[3:5] == ((offset, size) if size else (0, 0))


def test_gas_decides_to_the_last_unit() -> None:
    source, _, _, cost = PROGRAMS["much"]
    before = 21_000 + int(run(source).gas[0] - run(source).gas[-1])
    for gas, ending in ((cost, Ending.SUCCEEDED), (cost - 1, Ending.UNPAID), (0, Ending.UNPAID)):
        execution = run(source, before + gas)
        assert not check_family(CHECKED, execution)
        (halt,) = open_messages(FAMILY, execution, HALT)
        assert halt[1:3] == (ending, gas - cost if ending == Ending.SUCCEEDED else 0)
        assert halt[3:5] == ((0x10000, 0xFFFFF) if ending == Ending.SUCCEEDED else (0, 0))


def test_memory_beyond_its_limit_is_not_proved_here() -> None:
    for source in (f"7 pop 1 {BIG} return", "7 pop 0x1000001 0 revert", f"7 pop {BIG} 0 return"):
        execution = run(source, 29_000_000)
        assert execution.route[-1] == OUT_OF_MEMORY
        assert system.fill_return(execution) is None
    # The limit itself is 2^24 bytes; no gas suffices in a block of today.
    execution = run("7 pop 0x1000000 0 return", 29_000_000)
    assert execution.failed[-1]
    assert not check_family(CHECKED, execution)


@pytest.mark.parametrize("name", ["return", "revert of nothing from anywhere", "much"])
def test_mutations_are_rejected(name: str) -> None:
    report = mutate_family(FAMILY, run(PROGRAMS[name][0]), rows_per_table=4)
    assert not report.survivors, str(report)


def test_mutations_of_a_failure_are_rejected() -> None:
    report = mutate_family(FAMILY, run(PROGRAMS["much"][0], 100_000), rows_per_table=4)
    assert not report.survivors, str(report)


Lie = Callable[[TraceView], None]


def refused(source: str, lie: Lie, by: str, gas: int = 10_000_000) -> None:
    """The lie is found out, by a finding with these words."""
    findings = [str(finding) for finding in check_family(CHECKED, run(source, gas), {"return": lie})]
    assert any(by in finding for finding in findings), findings


def test_what_is_reached_is_paid() -> None:
    def empty(rows: TraceView) -> None:
        rows.empty.zero[0], rows.empty.inverse[0], rows.end[0] = 1, 0, 0

    def wrapped(rows: TraceView) -> None:
        """The offset that makes the end the modulus, which is 0."""
        offset = MODULUS - 2
        rows.offset[0, :2] = (offset & 0xFFFF, offset >> 16)
        rows.end[0] = 0

    def far(rows: TraceView) -> None:
        rows.offset[0, 15] = 1

    refused("7 pop 2 1 return", empty, "size: value * zero = 0")
    refused("7 pop 2 1 return", wrapped, "bus range16")
    refused("7 pop 2 1 return", far, "the offset has no upper limbs")


def test_a_size_that_wraps_around_is_not_nothing() -> None:
    def lie(rows: TraceView) -> None:
        rows.size[0] = (MODULUS & 0xFFFF, MODULUS >> 16)

    refused("7 pop 0 1 return", lie, "bus range16")


def test_failing_is_no_choice() -> None:
    def fails(rows: TraceView) -> None:
        rows.charge.fails[0] = 1
        rows.charge.margin[0] = (3 - int(rows.gas[0]) - 1) & 0xFFFF

    def succeeds(rows: TraceView) -> None:
        rows.charge.fails[0] = 0
        rows.charge.margin[0] = (int(rows.gas[0]) - int(rows.cost[0])) & 0xFFFF

    refused("7 pop 2 1 return", fails, "bus range16")
    refused(PROGRAMS["much"][0], succeeds, "bus range16", 100_000)
