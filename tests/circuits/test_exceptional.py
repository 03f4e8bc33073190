"""Exceptional halts: every one that py-evm makes has a true reason, and nothing else has one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from circuits.air.checker import check_table
from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.batch.execution import CONSTANT_GAS, RETURN_DATA_BOUNDS, STATIC_FAILURE, Execution, opcode_facts
from circuits.frames import code, push_sites
from circuits.frames.buses import EXEC, HALT
from circuits.frames.frames import Ending
from circuits.instructions import control_flow, exceptional, return_data, stack
from executor.forks import CANCUN, CIRCUIT_FORKS, OSAKA, PRAGUE, Fork
from executor.opcodes import CALLS, CREATIONS, NAMES, OPCODES, OPERANDS, REACH, RESULTS
from scripts.batches.builder import Builder
from scripts.batches.programs import call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, mutate_family, open_messages
from tests.circuits.lying import RANGES

FAMILY = (
    *stack.COMPONENTS,
    *control_flow.COMPONENTS,
    *exceptional.components(CANCUN),
    *return_data.COMPONENTS,
    *push_sites.COMPONENTS,
    *code.COMPONENTS,
)
CHECKED = (*FAMILY, RANGES)

INTRINSIC = 21_000
BIG = "0x" + "ff" * 32


FORKS = pytest.mark.parametrize("fork", CIRCUIT_FORKS.values(), ids=CIRCUIT_FORKS)


def of_codes(*codes: tuple[bytes, int], fork: Fork = CANCUN) -> Execution:
    """A batch that runs each of these codes with so much gas."""
    building = Builder(fork)
    transactions = []
    for number, (bytes_, gas) in enumerate(codes):
        address = (0xA000 + number).to_bytes(20, "big")
        building.alloc(address, code="0x" + bytes_.hex())
        transactions.append(call_contract(building, number % 4, to=address, gas=INTRINSIC + gas))
    return execution_of(building.block(*transactions).execute())


def of_program(source: str, gas: int = 100_000) -> Execution:
    """A program; `invalid` at its end is the opcode 0xfe."""
    end = b"\xfe" if source.endswith("invalid") else b""
    return of_codes((assemble(source.removesuffix("invalid")) + end, gas))


def names_of(fork: Fork) -> set[int]:
    """The opcodes of a fork's instructions."""
    return set(NAMES) | {added.opcode for added in fork.added_instructions}


@cache
def everything(fork: Fork = CANCUN) -> Execution:
    """Every opcode that is undefined, with too few words by one, on a full stack, and without the gas it costs."""
    cases = []
    names, facts = names_of(fork), opcode_facts(fork)
    reach, cost = facts.reach, facts.gas
    for opcode in range(256):
        if opcode not in names:
            cases.append((bytes([opcode]), 100_000))
            continue
        if reach[opcode]:
            # As many words as nearly suffice.
            cases.append((bytes([0x3D] * (int(reach[opcode]) - 1) + [opcode]), 100_000))
        if cost[opcode]:
            # STOP costs nothing; RETURNDATASIZE makes words for 2 gas each.
            words = int(reach[opcode])
            cases.append((bytes([0x3D] * words + [opcode]), 2 * words + int(cost[opcode]) - 1))
    return of_codes(*cases, fork=fork)


def full_stack(opcode: int) -> Execution:
    """The instruction on a stack of 1024 words."""
    return of_codes((bytes([0x3D] * 1024 + [opcode]), 100_000))


def steps_of(execution: Execution) -> tuple[set[int], set[int]]:
    """Opcodes that fail by `exceptional`, and that fail in another way."""
    static = execution.route == STATIC_FAILURE
    return set(execution.opcode[static].tolist()), set(execution.opcode[execution.failed & ~static].tolist())


@pytest.mark.parametrize(
    "fork", [pytest.param(f, marks=() if f is OSAKA else pytest.mark.deep, id=f.name) for f in CIRCUIT_FORKS.values()]
)
def test_every_opcode_fails_for_its_own_reason(fork: Fork) -> None:
    execution = everything(fork)
    failing, others = steps_of(execution)
    names, facts = sorted(names_of(fork)), opcode_facts(fork)
    reach, cost = facts.reach[names] > 0, facts.gas[names] > 0
    free = {name for name, fails in zip(names, reach | cost, strict=True) if not fails}
    assert failing == set(range(256)) - free
    assert not others
    matrix = exceptional.fill_exceptional(execution)
    assert matrix is not None
    assert not check_table(exceptional.Exceptional(fork), matrix)
    rows = TraceView(exceptional.ExceptionalColumns, matrix)
    assert rows.undefined.sum() == 256 - len(names)
    assert rows.underflow.sum() == reach.sum()
    assert rows.unpaid.sum() == cost.sum()


@pytest.mark.parametrize(("fork", "is_defined"), [(CANCUN, False), (PRAGUE, False), (OSAKA, True)])
def test_an_instruction_that_a_fork_has_not(fork: Fork, is_defined: bool) -> None:
    """CLZ fails as undefined before Osaka, and cannot be said to be undefined from Osaka on."""
    clz = OSAKA.added_instructions[0].opcode
    execution = of_codes((bytes([0x5F, clz]), 4 if is_defined else 100_000), fork=fork)
    matrix = exceptional.fill_exceptional(execution)
    assert matrix is not None
    rows = TraceView(exceptional.ExceptionalColumns, matrix)
    assert (rows.undefined[0], rows.unpaid[0]) == (not is_defined, is_defined)
    table = exceptional.Exceptional(fork)
    assert not check_table(table, matrix)
    if is_defined:
        rows.undefined[0], rows.unpaid[0], rows.excess[0] = 1, 0, 0
        assert "the opcode is undefined" in {getattr(f, "constraint", None) for f in check_table(table, matrix)}
    else:
        rows.undefined[0], rows.underflow[0] = 0, 1
        assert "too few words" in {getattr(f, "constraint", None) for f in check_table(table, matrix)}
        # Osaka's table would refuse what this one proves.
        rows.undefined[0], rows.underflow[0] = 1, 0
        assert check_table(exceptional.Exceptional(OSAKA), matrix)


def test_without_operands_and_gas_operands_are_the_reason() -> None:
    """py-evm may find the lack of gas first; no table but this one can prove a step that lacks operands."""
    lacking = [op for op in NAMES if REACH[op]]
    execution = of_codes(*((bytes([0x3D] * (int(REACH[op]) - 1) + [op]), 2 * (int(REACH[op]) - 1)) for op in lacking))
    failing, others = steps_of(execution)
    assert (failing, others) == (set(lacking), set())
    matrix = exceptional.fill_exceptional(execution)
    assert matrix is not None
    assert TraceView(exceptional.ExceptionalColumns, matrix).underflow.sum() == len(lacking)


def test_no_requirement_is_too_high() -> None:
    """With just the words it needs, and just the gas it costs at least, nothing fails for these reasons."""
    cases = []
    for opcode in sorted(set(NAMES) - CALLS - CREATIONS):
        words = int(REACH[opcode])
        cases.append((bytes([0x3D] * words + [opcode]), 2 * words + int(CONSTANT_GAS[opcode]) or 1))
    execution = of_codes(*cases)
    tried = set(execution.opcode.tolist())
    assert tried >= set(NAMES) - CALLS - CREATIONS
    assert not steps_of(execution)[0]


def test_a_full_stack_refuses_what_makes_it_higher() -> None:
    for name in ("DUP1", "DUP16", "PUSH0", "PUSH32", "PC", "GAS", "ADDRESS", "RETURNDATASIZE"):
        execution = full_stack(OPCODES[name])
        assert steps_of(execution)[0] == {OPCODES[name]}
        matrix = exceptional.fill_exceptional(execution)
        assert matrix is not None
        assert TraceView(exceptional.ExceptionalColumns, matrix).overflow[0] == 1
        assert not check_table(exceptional.Exceptional(CANCUN), matrix)
    for name in ("JUMPDEST", "SWAP16", "STOP", "POP"):
        assert not steps_of(full_stack(OPCODES[name]))[0]


PROGRAMS = {
    "undefined": "7 pop invalid",
    "underflow": "7 pop 5 add",
    "underflow of dup": "7 8 dup3",
    "overflow": "7 loop: dup1 @loop jump",
    "return data": "7 pop 1 2 3 returndatacopy",
    "return data offset": "7 pop 0 1 0 returndatacopy",
    "return data, everything": f"7 pop {BIG} {BIG} {BIG} returndatacopy",
    "return data underflow": "7 1 returndatacopy",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_honest_failures_are_accepted_and_complete(name: str) -> None:
    execution = of_program(PROGRAMS[name])
    assert not check_family(CHECKED, execution)
    assert len(open_messages(FAMILY, execution, EXEC)) == 1
    (message,) = open_messages(FAMILY, execution, HALT)
    assert message[1:3] == (Ending.HALTED, 0)


@pytest.mark.parametrize("gas", range(2 + 3 + 2 + 8 + 1))
def test_wherever_gas_runs_out(gas: int) -> None:
    execution = of_program("7 pop @a jump a: stop", gas)
    assert execution.failed.any()
    assert not check_family(CHECKED, execution)
    assert len(open_messages(FAMILY, execution, EXEC)) == 1
    (message,) = open_messages(FAMILY, execution, HALT)
    assert message[1:3] == (Ending.UNPAID, 0)


def test_return_data_for_want_of_gas() -> None:
    """With less than its constant cost RETURNDATACOPY fails for want of gas, with more by the bounds of the data."""
    source = f"{BIG} 0 0 returndatacopy"
    for gas, route in ((2, STATIC_FAILURE), (3, RETURN_DATA_BOUNDS), (9, RETURN_DATA_BOUNDS)):
        execution = of_program(source, 3 + 2 + 2 + gas)
        assert execution.route[-1] == route
        assert not check_family(CHECKED, execution)
    # Nothing from the beginning of nothing is within bounds.
    assert not of_program("0 0 0 returndatacopy").failed.any()


@pytest.mark.parametrize("name", ["undefined", "underflow of dup", "return data", "return data, everything"])
def test_mutations_are_rejected(name: str) -> None:
    report = mutate_family(FAMILY, of_program(PROGRAMS[name]), rows_per_table=4)
    assert not report.survivors, str(report)


def test_mutations_of_an_unpaid_step_are_rejected() -> None:
    report = mutate_family(FAMILY, of_program("7 pop 8 9 pop pop", 3 + 2 + 3 + 1), rows_per_table=4)
    assert not report.survivors, str(report)


Lie = Callable[[TraceView], None]


def refused(source: str, lie: Lie, by: str, gas: int = 100_000, table: str = "exceptional") -> None:
    """The lie is found out, by a finding with these words."""
    findings = [str(finding) for finding in check_family(CHECKED, of_program(source, gas), {table: lie})]
    assert any(by in finding for finding in findings), findings


def claim(reason: str, excess: int = 0, stack_size: int | None = None, gas: int | None = None) -> Lie:
    """Another reason for the failure of the first row."""

    def lie(rows: TraceView) -> None:
        for name in ("undefined", "underflow", "overflow", "unpaid"):
            getattr(rows, name)[0] = name == reason
        rows.excess[0] = excess % MODULUS
        if stack_size is not None:
            rows.stack_size[0] = stack_size
        if gas is not None:
            rows.gas[0] = gas

    return lie


def test_no_reason_is_made_up() -> None:
    """POP on an empty stack, with plenty of gas, fails for nothing else."""
    source = "7 pop pop"
    refused(source, claim("undefined"), "the opcode is undefined")
    refused(source, claim("overflow", stack_size=1024), "the stack would grow")
    refused(source, claim("unpaid", excess=0), "too little gas")
    refused(source, claim("underflow", stack_size=1, excess=-1), "bus range16")
    refused(source, claim("unpaid", excess=2 - 5 - 1, gas=5), "bus range16")
    refused(source, claim("unpaid", excess=-1, gas=2), "bus range16")
    refused("7 dup1 invalid", claim("overflow", stack_size=1024), "the stack would grow")


def test_a_nearly_full_stack_has_room() -> None:
    execution = of_program("7 loop: dup1 @loop jump")
    lie = claim("overflow", stack_size=1023)
    findings = [str(f) for f in check_family(CHECKED, execution, {"exceptional": lie})]
    assert any("the stack is full" in finding for finding in findings)


def test_the_facts_are_those_of_the_opcode_at_pc() -> None:
    """The liar calls POP an opcode that needs more words."""

    def lie(rows: TraceView) -> None:
        rows.high[0] = np.eye(16)[0]
        rows.low[0] = np.eye(16)[8]
        rows.opcode[0] = 0x08
        rows.excess[0] = 2

    refused("7 pop pop", lie, "bus instruction")


def test_two_opcodes_are_none() -> None:
    def lie(rows: TraceView) -> None:
        rows.low[0, 1] = 1

    refused("7 pop pop", lie, "lower half: exactly one flag")


def test_what_grows_takes_one_word() -> None:
    """`overflow` compares with a full stack only, because no instruction makes it higher by more than one word."""
    growth = RESULTS.astype(int) - OPERANDS
    assert growth.max() == 1
