"""What it saves if a row stands for several steps: JUMP with the JUMPDEST it leads to, PUSH with the jump behind it.

Today each step is a row: a PUSH says what it pushes on the stack's bus, the jump behind it takes it from there, and
the JUMPDEST receives a state only to send the next one. A fused row receives the state before its first step and sends
that behind its last one. What it pushes for itself touches no stack, which nobody can tell from outside: of a slot
pushes and pops alternate before as after. Steps that fail are no part of a fused row; they have the tables that they
always have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import IsZero, select
from circuits.air.layout import allocate, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import PLAIN, Execution
from circuits.component import Acting, Component
from circuits.frames.buses import INSTRUCTION, PUSH
from circuits.instructions.buses import STACK
from circuits.instructions.control_flow import (
    GAS_HIGH,
    GAS_JUMPDEST,
    GAS_MID,
    JUMP,
    JUMPDEST,
    JUMPI,
    PLACE_LIMBS,
    check_place,
    place,
)
from circuits.instructions.stack import GAS_BASE, GAS_VERY_LOW
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.widths import WORD
from executor.forks import Fork
from executor.opcodes import MAX_PUSH, PUSH0
from lab.variant import Changes, Variant
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.workloads.assembler import assemble

Steps = NDArray[np.int64]

#: How a step is proved that is part of a fused row: a route of our own beside those of `circuits.batch.execution`.
FUSED = 255

_PUSHES = range(PUSH0, PUSH0 + MAX_PUSH + 1)


class PoppedColumns(Step):
    """One JUMP per row, to a place that was pushed before."""

    target = limb("where to", PLACE_LIMBS, by=STACK_BUS)
    target_then = element("time of its push", by=STACK_BUS)


class PushedColumns(Step):
    """One PUSH per row, with the jump behind it."""

    size = element("bytes of push data", by="push bus")
    cost = element("gas of the PUSH", by="push bus")
    target = limb("what is pushed: where to", PLACE_LIMBS, by="push bus")


class PushedJumpiColumns(PushedColumns):
    """One PUSH per row, with the JUMPI behind it, whose condition fits a limb."""

    condition = limb("jump unless it is 0", by=STACK_BUS)
    condition_then = element("time of its push", by=STACK_BUS)
    stays = nested(IsZero, "whether the condition is 0")


def _push(table: InstructionTable, air: Air, opcode: int) -> Any:
    """A PUSH and, behind its data, an instruction; returns the place of the latter."""
    row = air.row
    table.begin(air, None)  # the push site has looked up the opcode
    value = [*row.target, *[air.constant(0)] * (WORD - PLACE_LIMBS)]
    air.query(PUSH, row.code, row.pc, row.size, row.cost, value, count=row.real)
    table.check_room(air)
    behind = row.pc + 1 + row.size
    air.query(INSTRUCTION, row.code, behind, opcode, 1, count=row.real)
    return behind


class FusedJump(InstructionTable):
    """JUMP to a JUMPDEST, with a PUSH before it (`pushes`), the JUMPDEST behind it (`lands`), or both."""

    def __init__(self, name: str, *, pushes: bool, lands: bool) -> None:
        super().__init__(name, PushedColumns if pushes else PoppedColumns)
        self.pushes, self.lands = pushes, lands

    @property
    def steps(self) -> int:
        """Of a row."""
        return 1 + self.pushes + self.lands

    def constraints(self, air: Air) -> None:
        row = air.row
        # STACK
        gas: Any = GAS_MID + GAS_JUMPDEST * self.lands
        if self.pushes:
            _push(self, air, JUMP)
            gas = gas + row.cost
        else:
            self.begin(air, JUMP)
            self.pop(air, 0, row.target, row.target_then)
        # OPERATION
        target = place(row.target)
        check_place(air, row.target, row.real)
        air.query(INSTRUCTION, row.code, target, JUMPDEST, 1, count=row.real)
        # GAS, PROGRAM COUNTER
        self.proceed(
            air, stack=0 if self.pushes else -1, gas=gas, pc=target + 1 if self.lands else target, duration=self.steps
        )


class PushedJumpi(InstructionTable):
    """PUSH and JUMPI, which jumps to a JUMPDEST or stays."""

    name = "push_jumpi"
    layout = PushedJumpiColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        behind = _push(self, air, JUMPI)
        # STACK
        # The condition is taken a unit of time later than the row begins, by the second of its steps.
        word = [row.condition, *[air.constant(0)] * (WORD - 1)]
        air.receive(STACK, row.frame, row.stack_size - 1, word, row.condition_then, count=row.real)
        air.query(RANGE16, row.time - row.condition_then, count=row.real)
        # OPERATION
        IsZero.constrain(air, row.stays, row.condition, when=row.real, name="condition")
        jumps = row.real - row.stays.zero
        target = place(row.target)
        check_place(air, row.target, jumps)
        air.query(INSTRUCTION, row.code, target, JUMPDEST, 1, count=jumps)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=-1, gas=row.cost + GAS_HIGH, pc=select(jumps, target, behind + 1), duration=2)


def _plain(execution: Execution, steps: Steps) -> NDArray[np.bool_]:
    """Which of these steps (n,), -1 for none, are proved by their instruction's own table."""
    found: NDArray[np.bool_] = (steps >= 0) & (execution.route[steps] == PLAIN) & ~execution.failed[steps]
    return found


def _heads(execution: Execution, table: InstructionTable) -> Steps:
    """The first steps (n,) of a table's rows, all of a run's that a part is one of."""
    jump = JUMPI if isinstance(table, PushedJumpi) else JUMP
    jumps = np.flatnonzero(execution.opcode == jump)
    jumps = jumps[_plain(execution, jumps)]
    if isinstance(table, PushedJumpi):
        jumps = jumps[~execution.operand(jumps, 1)[:, 1:].any(axis=1)]
        # Where it stays the place may be anything that was pushed.
        jumps = jumps[~execution.operand(jumps, 0)[:, PLACE_LIMBS:].any(axis=1)]
    else:
        assert isinstance(table, FusedJump)
        landing = execution.own_next[jumps]
        if table.lands:
            jumps = jumps[_plain(execution, landing) & (execution.opcode[landing] == JUMPDEST)]
        if not table.pushes:
            return jumps
    # No PUSH opens a frame: the step before one of the same frame is the one before it.
    before = jumps - 1
    pushes = np.isin(execution.opcode[before], _PUSHES) & _plain(execution, before)
    pushes &= execution.own_next[before] == jumps
    return before[pushes]


def _rest(execution: Execution, tables: tuple[InstructionTable, ...]) -> tuple[Execution, list[Steps]]:
    """The execution without the steps that are fused, and the first steps of the rows of each table.

    What an earlier table takes is not there for a later one.
    """
    execution.stack_rest  # noqa: B018 - made before, it is that of all steps
    rest = copy(execution)
    rest.route = execution.route.copy()
    heads = []
    for table in tables:
        found = _heads(rest, table)
        steps = table.steps if isinstance(table, FusedJump) else 2
        rest.route[(found[:, None] + np.arange(steps)).reshape(-1)] = FUSED
        heads.append(found[execution.within(execution.time[found])])
    return rest, heads


def _fill(execution: Execution, table: InstructionTable, tables: tuple[InstructionTable, ...]) -> Matrix | None:
    steps = _rest(execution, tables)[1][tables.index(table)]
    if not len(steps):
        return None
    matrix, rows = allocate(table.layout, len(steps))
    fill_step(rows, execution, steps)
    if issubclass(table.layout, PoppedColumns):
        rows.target = execution.operand(steps, 0)[:, :PLACE_LIMBS]
        rows.target_then = execution.operand_time(steps, 0)
        return matrix
    size = execution.opcode[steps] - PUSH0
    rows.size = size
    rows.cost = np.where(size == 0, GAS_BASE, GAS_VERY_LOW)
    rows.target = execution.result(steps)[:, :PLACE_LIMBS]
    if isinstance(table, PushedJumpi):
        condition = execution.operand(steps + 1, 1)[:, 0].astype(np.uint64)
        rows.condition = condition
        rows.condition_then = execution.operand_time(steps + 1, 1)
        IsZero.fill(rows.stays, condition)
    return matrix


def _singles(table: InstructionTable) -> tuple[str, ...]:
    """Tables of single steps that a fused one takes rows from."""
    if isinstance(table, PushedJumpi):
        return ("push_small", "jumpi")
    assert isinstance(table, FusedJump)
    return ("jump", *["push_small"] * table.pushes, *["jumpdest"] * table.lands)


def fused(*tables: InstructionTable) -> Callable[[Mapping[str, Component]], Changes]:
    """These tables beside those of single steps, which keep what none of these takes; an earlier one takes first."""

    def rest(single: Component) -> Component:
        assert isinstance(single, Acting)
        return Acting(single.table, lambda execution: single.fill(_rest(execution, tables)[0]))

    def own(table: InstructionTable) -> Component:
        return Acting(table, lambda execution: _fill(execution, table, tables))

    names = dict.fromkeys(name for table in tables for name in _singles(table))
    return lambda components: Changes(
        replaced=tuple(rest(components[name]) for name in names), added=tuple(map(own, tables))
    )


#: Calls a function in a loop, as compilers write it; jumps that are fused and such that are not, taken or not.
PROGRAM = """
    3 loop:
    dup1 @back swap1 @double jump back: pop
    1 swap1 sub dup1 @loop jumpi
    0x10000 @wide jumpi wide:              ; a condition of two limbs
    1 @apart 0 pop jumpi apart:            ; no PUSH before it
    0 @end jumpi                           ; stays
    @end 0 pop jump
    double: dup1 add swap1 jump
    end: 7 0 sstore stop
"""


def sample(fork: Fork) -> dict[str, Any]:
    """A batch with all kinds of jumps."""
    building = Builder(fork).alloc(CONTRACT, code="0x" + assemble(PROGRAM).hex())
    building.block(call_contract(building))
    return building.document


JUMP_JUMPDEST = Variant(
    "jump-jumpdest",
    "a JUMP and the JUMPDEST it leads to are a row",
    fused(FusedJump("jump_jumpdest", pushes=False, lands=True)),
    sample=sample,
)
PUSH_JUMP = Variant(
    "push-jump",
    "a PUSH and the JUMP behind it are a row",
    fused(FusedJump("push_jump", pushes=True, lands=False)),
    sample=sample,
)
BOTH = Variant(
    "push-jump-jumpdest",
    "a JUMP, the JUMPDEST and, where there is one, the PUSH before it are a row",
    fused(
        FusedJump("push_jump_jumpdest", pushes=True, lands=True),
        FusedJump("jump_jumpdest", pushes=False, lands=True),
    ),
    sample=sample,
)
PUSH_JUMPI = Variant(
    "push-jumpi",
    "a PUSH and the JUMPI behind it are a row",
    fused(PushedJumpi()),
    sample=sample,
)
VARIANTS = (JUMP_JUMPDEST, PUSH_JUMP, BOTH, PUSH_JUMPI)
