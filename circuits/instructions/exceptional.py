"""Exceptional halts that need no more than the machine's state: what stands at pc, the stack's size, the gas left.

Source: execution-specs `cancun/vm/exceptions.py`, `cancun/vm/gas.py`; what an instruction needs: `executor.opcodes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import one_hot, total
from circuits.air.layout import allocate, bit, element, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import MAX_STACK, STATIC_FAILURE, Execution, opcode_facts
from circuits.component import Acting, Component
from circuits.frames.frames import Ending
from circuits.instructions.step import InstructionTable, Step, fill_step
from executor.forks import Fork

_NIBBLE = 16


class ExceptionalColumns(Step):
    """One failing step per row."""

    opcode = element("what stands at pc", by="its halves")
    high = bit("which upper half the opcode has", _NIBBLE)
    low = bit("which lower half the opcode has", _NIBBLE)
    undefined = bit("reason: no instruction has the opcode")
    underflow = bit("reason: the stack has too few words")
    overflow = bit("reason: the stack is full and would grow")
    unpaid = bit("reason: the gas left does not pay the instruction")
    excess = limb("by how much, less 1, the requirement exceeds what is there", by="its reason and a range check")


class Exceptional(InstructionTable):
    """A step that fails, for one reason that is true.

    Instructions that are undefined or lack operands have no other table to prove them: slots below 0 hold no token. An
    overflow is refused by `check_room`, and a frame that runs on without gas can only end by an exceptional halt, too.
    """

    name = "exceptional"
    layout = ExceptionalColumns

    def __init__(self, fork: Fork) -> None:
        """The table for the instructions of a fork."""
        super().__init__()
        self.facts = opcode_facts(fork)

    def constraints(self, air: Air) -> None:
        row, real, facts = air.row, air.row.real, self.facts
        one_hot(air, row.high, real, "upper half")
        one_hot(air, row.low, real, "lower half")
        halves = _weighted(row.high, np.arange(_NIBBLE) * _NIBBLE) + _weighted(row.low, np.arange(_NIBBLE))
        air.require(row.opcode - halves, "opcode")
        self.begin(air, row.opcode)
        one_hot(air, (row.undefined, row.underflow, row.overflow, row.unpaid), real, "reason")
        air.require(row.undefined * (1 - _fact(row, facts.undefined)), "the opcode is undefined")
        # STACK
        # The size is in 0..1024 and at most 17 words are needed: a negative excess is no limb.
        air.require(row.underflow * (_fact(row, facts.reach) - row.stack_size - 1 - row.excess), "too few words")
        # No instruction makes the stack higher by more than one word.
        air.require(row.overflow * (1 - _fact(row, facts.grows)), "the stack would grow")
        air.require(row.overflow * (row.stack_size - MAX_STACK), "the stack is full")
        # GAS
        # Costs here are at most 100 gas and gas is in (-2^29.4, 2^30): the excess is a limb only if gas < cost.
        air.require(row.unpaid * (_fact(row, facts.gas) - row.gas - 1 - row.excess), "too little gas")
        compared = row.underflow + row.unpaid
        air.query(RANGE16, row.excess, count=compared)
        air.require((1 - compared) * row.excess, "nothing compared")
        # PROGRAM COUNTER
        self.fail(air, real, Ending.HALTED * real + (Ending.UNPAID - Ending.HALTED) * row.unpaid)


def _weighted(flags: Any, weights: NDArray[np.int64]) -> Expression:
    return total([flag * int(weight) for flag, weight in zip(flags, weights, strict=True)])


def _fact(row: Any, facts: NDArray[Any]) -> Expression:
    """The fact (256,) of the row's opcode: a sum over pairs of halves, of which one pair is flagged."""
    table = facts.astype(np.int64).reshape(_NIBBLE, _NIBBLE)
    return total([row.high[i] * _weighted(row.low, table[i]) for i in range(_NIBBLE) if table[i].any()])


def fill_exceptional(execution: Execution) -> Matrix | None:
    """All steps that fail for what the state says."""
    steps = execution.rows(*range(256), route=STATIC_FAILURE)
    if not len(steps):
        return None
    matrix, rows = allocate(ExceptionalColumns, len(steps))
    fill_step(rows, execution, steps)
    opcode, size, gas = execution.opcode[steps], execution.stack_size[steps], execution.gas[steps]
    rows.opcode = opcode
    halves = np.arange(_NIBBLE)
    rows.high = (opcode // _NIBBLE)[:, None] == halves
    rows.low = (opcode % _NIBBLE)[:, None] == halves
    facts = execution.facts
    reach, cost = facts.reach.astype(np.int64)[opcode], facts.gas[opcode]
    reasons = {
        "undefined": facts.undefined[opcode],
        "underflow": size < reach,
        "overflow": facts.grows[opcode] & (size == MAX_STACK),
        "unpaid": gas < cost,
    }
    reason = np.argmax(np.stack(list(reasons.values())), axis=0)
    for number, (name, holds) in enumerate(reasons.items()):
        setattr(rows, name, holds & (reason == number))
    rows.excess = np.where(rows.underflow == 1, reach - size - 1, 0)
    rows.excess[rows.unpaid == 1] = (cost - gas - 1)[rows.unpaid == 1]
    return matrix


def components(fork: Fork) -> tuple[Component, ...]:
    """The table of a fork."""
    return (Acting(Exceptional(fork), fill_exceptional),)
