"""Control flow: where the next step is, how a frame ends, and that no jump has two outcomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.batch.execution import INVALID_JUMP, Execution
from circuits.component import Component
from circuits.frames import code, push_sites
from circuits.frames.buses import EXEC, HALT
from circuits.frames.frames import Ending
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
STATE = "7 pop loop: pc msize gas pop pop pop 0x1234 @end jumpi 9 end: stop"
#: A condition and a target of full width, not taken; taken with a wide condition; not taken with a small target.
BRANCHES = f"""
    7 pop 0 {BIG} jumpi {BIG} @a jumpi 5 a: 0 0xffff jumpi 0 0xffffffff jumpi 0x10000 @b jumpi 6 b: 1 @c jumpi 8 c:
    @d jump 9 d: 10 pop
"""
#: Targets of invalid jumps, each the end of a program: `push` is PUSH data, the others lie behind the end or are no
#: JUMPDEST; a limb alone is not 0; the modulus added to that of a JUMPDEST.
INVALID = {
    "no jumpdest": "7 pop a: 0 jump",
    "data": "7 pop 0x5b 4 jump",
    "conditional": "7 pop 0x10000 1 jumpi",
    "wide condition": f"7 pop {BIG} 1 jumpi",
    "end": "7 pop @end jump",
    "behind the end": "7 pop 0xffff jump",
    "second limb": "7 pop a: 0x10003 jump",
    "third limb": "7 pop a: 0x100000003 jump",
    "last limb": f"7 pop a: 0x{'80' + '00' * 30 + '03'} jump",
    "modulus": f"7 pop a: {MODULUS + 3} jump",
    "conditional modulus": f"7 pop a: 1 {MODULUS + 3} jumpi",
    "everything": f"7 pop a: {BIG} jump",
}


def run(source: str, **fields: Any) -> Execution:
    """A transaction that calls the program; `@end` is the size of its code."""
    if "@end" in source and "end:" not in source:
        source = source.replace("@end", "0x0007")
        assert len(assemble(source)) <= 7
    building = Builder().alloc(CONTRACT, code="0x" + assemble(source).hex())
    return execution_of(building.block(call_contract(building, **fields)).execute())


def column(execution: Execution, table: str, name: str) -> list[int]:
    """The real cells of a column."""
    for component, matrix in zip(FAMILY, fill_family(FAMILY, execution), strict=True):
        if component.table.name == table and matrix is not None:
            rows = TraceView(component.table.layout, matrix)
            cells: list[int] = getattr(rows, name)[rows.real == 1].tolist()
            return cells
    return []


PROGRAMS = {"state": STATE, "branches": BRANCHES, **INVALID}


@pytest.mark.parametrize("name", PROGRAMS)
def test_honest_programs_are_accepted_and_complete(name: str) -> None:
    execution = run(PROGRAMS[name])
    assert not check_family(CHECKED, execution)
    # Only the first state and the end are left to others, and no token of the stack.
    assert len(open_messages(FAMILY, execution, EXEC)) == 1
    assert len(open_messages(FAMILY, execution, HALT)) == 1
    assert not open_messages(FAMILY, execution, STACK)
    assert (execution.route == INVALID_JUMP).any() == (name in INVALID)


def test_what_is_pushed_is_what_py_evm_pushes() -> None:
    execution = run(STATE)
    # The code: PUSH1 7, POP, JUMPDEST at 3, PC at 4.
    start = int(execution.gas[0])
    assert column(execution, "machine_state", "value") == [4, 0]
    left = start - 3 - 2 - 1 - 2 - 2 - 2
    assert column(execution, "gas", "value") == [[left & 0xFFFF, left >> 16, 0, 0]]


def test_a_frame_ends_with_its_gas() -> None:
    execution = run("7 pop stop")
    (message,) = open_messages(FAMILY, execution, HALT)
    assert message[1:] == (Ending.SUCCEEDED, int(execution.gas[0]) - 5, 0, 0, int(execution.time[-1]) + 1)
    (message,) = open_messages(FAMILY, run(INVALID["data"]), HALT)
    assert message[1:3] == (Ending.HALTED, 0)


def test_an_account_of_exactly_its_gas_stops() -> None:
    execution = run("7 pop stop", gas=21_000 + 5)
    assert int(execution.gas[-1]) == 0
    assert not check_family(CHECKED, execution)


@pytest.mark.parametrize("name", ["state", "branches", "data", "wide condition", "everything"])
def test_mutations_are_rejected(name: str) -> None:
    report = mutate_family(FAMILY, run(PROGRAMS[name]), rows_per_table=4)
    assert not report.survivors, str(report)


Lie = Callable[[TraceView], None]


def refused(source: str, table: str, lie: Lie, by: str) -> None:
    """The lie is found out, by a finding with these words."""
    findings = [str(finding) for finding in check_family(CHECKED, run(source), {table: lie})]
    assert any(by in finding for finding in findings), findings


def test_a_target_that_wraps_around_the_modulus_is_none() -> None:
    """33 + modulus is below 2^32, and as a field element 33, where the JUMPDEST is."""
    source = f"7 pop {' 8 pop' * 9} @a jump a: stop"

    def lie(rows: TraceView) -> None:
        target = int(rows.target[0, 0]) + MODULUS
        rows.target[0] = (target & 0xFFFF, target >> 16)

    refused(source, "jump", lie, "bus range16")
    refused(source.replace("@a jump", "1 @a jumpi"), "jumpi", lie, "bus range16")


def test_a_wide_target_is_not_taken_for_its_lower_limbs() -> None:
    def lie(rows: TraceView) -> None:
        rows.target[0, 15] = 1

    refused(f"7 pop {BIG} @a jumpi a: stop", "jumpi_large", lie, "a target has no upper limbs")


def test_a_jump_does_not_go_where_no_jumpdest_is() -> None:
    def lie(rows: TraceView) -> None:
        rows.target[0, 0] += 1

    refused("7 pop @a jump a: stop", "jump", lie, "bus instruction")


def test_a_branch_is_not_taken_without_its_condition() -> None:
    def taken(rows: TraceView) -> None:
        rows.stays.zero[0] = rows.stays.inverse[0] = 0

    def stays(rows: TraceView) -> None:
        rows.stays.zero[0], rows.stays.inverse[0] = 1, 0

    refused("7 pop 0 @a jumpi a: stop", "jumpi", taken, "value * inverse = 1 - zero")
    refused("7 pop 1 @a jumpi a: stop", "jumpi", stays, "value * zero = 0")


def test_a_valid_jump_does_not_fail() -> None:
    """From an honest invalid jump to the byte before a JUMPDEST, the liar moves the target on to the JUMPDEST."""

    def lie(rows: TraceView) -> None:
        rows.target[0, 0] += 1
        rows.inside.difference[0, 0] += 1
        rows.found[0], rows.start[0] = 0x5B, 1

    def hidden(rows: TraceView) -> None:
        lie(rows)
        rows.looks[0] = rows.found[0] = rows.start[0] = rows.difference[0] = 0

    def behind(rows: TraceView) -> None:
        hidden(rows)
        rows.inside.less[0] = 0

    source = "7 pop 5 jump a: stop"
    refused(source, "invalid_jump", lie, "no JUMPDEST")
    refused(source, "invalid_jump", hidden, "a target within the code")
    refused(source, "invalid_jump", behind, "target within the code: high limb")


def test_a_code_is_not_shorter_than_it_is() -> None:
    def lie(rows: TraceView) -> None:
        rows.size[0, 0] = 5

    refused("7 pop 5 jump a: stop", "invalid_jump", lie, "bus buffer_size")


def test_an_unconditional_jump_does_not_depend_on_the_word_below() -> None:
    def lie(rows: TraceView) -> None:
        rows.is_jumpi[0] = 1

    refused("7 pop 1 5 jump a: stop", "invalid_jump", lie, "bus instruction")


def test_a_place_is_not_a_size() -> None:
    def lie(rows: TraceView) -> None:
        rows.is_msize[0] = 1
        rows.value[0] = rows.limbs.low[0] = 0

    refused("7 pop pc pop stop", "machine_state", lie, "bus instruction")


def test_gas_below_zero_is_no_end() -> None:
    """A frame that ran on without gas cannot stop or ask for its gas, whatever the low limb."""

    def negative(rows: TraceView) -> None:
        rows.gas[0] = MODULUS - 7
        rows.left.low[0] = np.uint32(0xFFF9)

    refused("7 pop stop", "stop", negative, "bus range16")
    refused("7 pop gas pop stop", "gas", negative, "bus range16")
