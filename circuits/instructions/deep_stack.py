"""Stack instructions that name words by the byte behind them: DUPN, SWAPN and EXCHANGE (EIP-8024).

An instruction starts at that byte, too, since none of the three is a PUSH: it is looked up like an opcode, and is 0
behind the end of the code. `dupn`, `swapn` and `exchange` are steps that succeed, `deep_stack_failure` is one of any of
the three that its byte makes fail; too little gas, a stack that is full or too small for any byte are in `exceptional`.

Source: EIP-8024, whose instructions the execution specs have in `vm/instructions/stack.py`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import one_hot, range_check, select
from circuits.air.layout import Layout, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import BYTE_FAILURE, Execution, Integers
from circuits.component import Acting, Component
from circuits.frames.buses import INSTRUCTION
from circuits.frames.frames import Ending
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.widths import WORD
from executor.forks import AddedInstruction, Fork

NAMES = ("DUPN", "SWAPN", "EXCHANGE")

#: The last byte below 0x80 that names places, of DUPN and SWAPN, and of EXCHANGE; all from 0x80 on do. In between are
#: JUMPDEST and the PUSHes, which would be others to what reads the code.
LAST_SINGLE, LAST_PAIR, MIDDLE = 90, 81, 0x80

_INVERSE_16 = pow(16, -1, MODULUS)


class Byte(Layout):
    """The byte behind the instruction."""

    byte = element("the byte", by="instruction bus")
    high = bit("1: it is 0x80 or more")

    @staticmethod
    def constrain(air: Air, cells: Any, last: Operand, count: Operand) -> None:
        """Where `count` is 1 it is from 0x80 on, or at most `last`."""
        row = air.row
        air.query(INSTRUCTION, row.code, row.pc + 1, cells.byte, 1, count=row.real)
        # It is a byte: what is negative is no limb.
        air.query(RANGE16, select(cells.high, cells.byte - MIDDLE, last - cells.byte), count=count)

    @staticmethod
    def single(cells: Any, count: Operand) -> Expression:
        """n of DUPN and SWAPN, 17 to 235 (`decode_single`): byte + 145 modulo 256."""
        n: Expression = cells.byte + 145 * count - 256 * cells.high
        return n

    @staticmethod
    def fill(cells: Any, byte: Integers) -> None:
        """`byte`: (rows,)."""
        cells.byte = byte
        cells.high = byte >= MIDDLE


class Pair(Layout):
    """The places of EXCHANGE: both halves of the byte, exchanged in part, and which of them is less (`decode_pair`)."""

    low = element("lower half of the byte", by="4-bit range check")
    less = bit("1: q < r")

    @staticmethod
    def constrain(air: Air, cells: Any, byte: Any, count: Operand) -> tuple[Expression, Expression]:
        """n and m with 1 <= n < m <= 30 - n where `count` is 1, for the cells of a `Byte`.

        k = byte xor 0x8f = 16 q + r: the upper half of the byte has its highest bit turned, the lower one all bits.
        """
        high_half = (byte.byte - cells.low) * _INVERSE_16
        range_check(air, cells.low, 4, count)
        range_check(air, high_half, 4, count)
        q, r = high_half + 8 * count - 16 * byte.high, 15 * count - cells.low
        air.query(RANGE16, select(cells.less, r - q - 1, q - r), count=count)
        return select(cells.less, q + 1, r + 1), select(cells.less, r + 1, 29 - q)

    @staticmethod
    def fill(cells: Any, byte: Integers) -> None:
        """`byte`: (rows,)."""
        q, r = byte >> 4 ^ 8, 15 - (byte & 15)
        cells.low = byte & 15
        cells.less = q < r


class DupnColumns(Step):
    """One DUPN per row."""

    behind = nested(Byte)
    word = limb("the word", WORD, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)


class Added(InstructionTable):
    """Base of the tables here."""

    def __init__(self, instruction: AddedInstruction) -> None:
        self.instruction = instruction


class Dupn(Added):
    """DUPN: the n-th word is copied to the top."""

    name = "dupn"
    layout = DupnColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        self.begin(air, self.instruction.opcode)
        Byte.constrain(air, row.behind, LAST_SINGLE, real)
        # STACK
        slot = row.stack_size - Byte.single(row.behind, 1)
        self.take(air, slot, row.word, row.then, real)
        self.put(air, slot, row.word, real)
        self.check_room(air)
        self.push(air, 0, row.word)
        # GAS, OPERATION, PROGRAM COUNTER
        self.proceed(air, stack=1, gas=self.instruction.gas, pc=row.pc + 2)


def fill_dupn(execution: Execution, instruction: AddedInstruction) -> Matrix | None:
    """All steps of DUPN that succeed."""
    steps = execution.rows(instruction.opcode)
    if not len(steps):
        return None
    matrix, rows = allocate(DupnColumns, len(steps))
    fill_step(rows, execution, steps)
    Byte.fill(rows.behind, execution.byte_behind(steps))
    rows.word, rows.then = execution.operand(steps, 0), execution.operand_time(steps, 0)
    return matrix


class ExchangingColumns(Step):
    """Two words that change their places."""

    behind = nested(Byte)
    upper = limb("the word nearer to the top", WORD, by=STACK_BUS)
    upper_then = element("time of its push", by=STACK_BUS)
    lower = limb("the other one", WORD, by=STACK_BUS)
    lower_then = element("time of its push", by=STACK_BUS)


class _Exchanging(Added):
    """SWAPN and EXCHANGE."""

    def exchange(self, air: Air, upper: Operand, lower: Operand) -> None:
        """Both words lie so far below the top; `upper` is less, so that they are two."""
        row, real, top = air.row, air.row.real, air.row.stack_size - 1
        # STACK
        self.take(air, top - upper, row.upper, row.upper_then, real)
        self.take(air, top - lower, row.lower, row.lower_then, real)
        self.put(air, top - upper, row.lower, real)
        self.put(air, top - lower, row.upper, real)
        # GAS, OPERATION, PROGRAM COUNTER
        self.proceed(air, stack=0, gas=self.instruction.gas, pc=row.pc + 2)


class Swapn(_Exchanging):
    """SWAPN: the top and the word n below it."""

    name = "swapn"
    layout = ExchangingColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, self.instruction.opcode)
        Byte.constrain(air, row.behind, LAST_SINGLE, row.real)
        self.exchange(air, 0, Byte.single(row.behind, 1))


class ExchangeColumns(ExchangingColumns):
    """One EXCHANGE per row."""

    pair = nested(Pair)


class Exchange(_Exchanging):
    """EXCHANGE: the words n and m below the top."""

    name = "exchange"
    layout = ExchangeColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, self.instruction.opcode)
        Byte.constrain(air, row.behind, LAST_PAIR, row.real)
        self.exchange(air, *Pair.constrain(air, row.pair, row.behind, row.real))


def fill_exchanging(execution: Execution, table: _Exchanging) -> Matrix | None:
    """All steps of a table's instruction that succeed."""
    steps = execution.rows(table.instruction.opcode)
    if not len(steps):
        return None
    matrix, rows = allocate(ExchangingColumns, len(steps), table.layout)
    fill_step(rows, execution, steps)
    byte = execution.byte_behind(steps)
    Byte.fill(rows.behind, byte)
    rows.upper, rows.upper_then = execution.operand(steps, 0), execution.operand_time(steps, 0)
    rows.lower, rows.lower_then = execution.operand(steps, 1), execution.operand_time(steps, 1)
    if isinstance(rows, ExchangeColumns):
        Pair.fill(rows.pair, byte)
    return matrix


class FailureColumns(Step):
    """One step per row that fails for the byte behind it."""

    kind = bit("which of NAMES the instruction is", len(NAMES))
    behind = nested(Byte)
    pair = nested(Pair, "of an EXCHANGE that lacks words")
    invalid = bit("reason: the byte names no places; 0: the stack has too few words for it")
    lacks = bit("1: an EXCHANGE that lacks words")
    excess = limb("words that are lacking, less 1", by="a range check, or 0")


class Failure(InstructionTable):
    """A step whose byte names no places, or a word below the stack."""

    name = "deep_stack_failure"
    layout = FailureColumns

    def __init__(self, instructions: tuple[AddedInstruction, ...]) -> None:
        self.instructions = instructions

    def constraints(self, air: Air) -> None:
        row, real, behind = air.row, air.row.real, air.row.behind
        one_hot(air, row.kind, real, "instruction")
        pairs = row.kind[NAMES.index("EXCHANGE")]
        opcode = sum((flag * i.opcode for flag, i in zip(row.kind, self.instructions, strict=True)), air.constant(0))
        self.begin(air, opcode)
        air.require(row.invalid * (1 - real), "padding has no reason")
        lacking = real - row.invalid
        last = LAST_SINGLE + row.invalid * (MIDDLE - 1 - LAST_SINGLE) - row.lacks * (LAST_SINGLE - LAST_PAIR)
        Byte.constrain(air, behind, last, real)
        # OPERATION
        air.require(row.invalid * behind.high, "bytes from 0x80 on name places")
        air.query(RANGE16, behind.byte - (LAST_SINGLE + 1) + pairs * (LAST_SINGLE - LAST_PAIR), count=row.invalid)
        # STACK
        air.require(row.lacks - pairs * lacking, "an EXCHANGE that lacks words")
        _, deeper = Pair.constrain(air, row.pair, behind, row.lacks)
        for name in ("low", "less"):
            air.require((1 - row.lacks) * getattr(row.pair, name), f"no pair: {name}")
        # DUPN needs n words, the others one more.
        single = Byte.single(behind, 1) + row.kind[NAMES.index("SWAPN")]
        reach = row.lacks * (deeper + 1) + (lacking - row.lacks) * single
        air.require(reach - lacking * (row.stack_size + 1) - row.excess, "too few words")
        # At most 236 words are needed, of at most 1,024 that there are: a negative excess is no limb.
        air.query(RANGE16, row.excess, count=lacking)
        # PROGRAM COUNTER
        self.fail(air, real, Ending.HALTED)


def fill_failure(execution: Execution, instructions: tuple[AddedInstruction, ...]) -> Matrix | None:
    """All steps that fail for the byte behind them."""
    opcodes = np.array([instruction.opcode for instruction in instructions])
    steps = execution.rows(*opcodes.tolist(), route=BYTE_FAILURE)
    if not len(steps):
        return None
    matrix, rows = allocate(FailureColumns, len(steps))
    fill_step(rows, execution, steps)
    opcode, byte = execution.opcode[steps], execution.byte_behind(steps)
    rows.kind = opcode[:, None] == opcodes
    Byte.fill(rows.behind, byte)
    places = np.stack([_deepest(i)[byte] for i in instructions], axis=1)[rows.kind == 1]
    rows.invalid = places < 0
    pairs = np.flatnonzero((places >= 0) & (rows.kind[:, NAMES.index("EXCHANGE")] == 1))
    rows.lacks[pairs] = 1
    q, r = byte[pairs] >> 4 ^ 8, 15 - (byte[pairs] & 15)
    rows.pair.low[pairs], rows.pair.less[pairs] = byte[pairs] & 15, q < r
    rows.excess = np.where(places < 0, 0, places - execution.stack_size[steps])
    return matrix


def _deepest(instruction: AddedInstruction) -> NDArray[np.int64]:
    """How far below the top the deeper word lies that each byte names, (256,); -1 for one that names none."""
    return np.array([max(places) if places else -1 for places in instruction.places], dtype=np.int64)


def components(fork: Fork) -> tuple[Component, ...]:
    """The tables of a fork: none where it does not have the instructions."""
    by_name = {instruction.name: instruction for instruction in fork.added_instructions}
    if not set(NAMES) <= set(by_name):
        return ()
    own = dupn, swapn, exchange = tuple(by_name[name] for name in NAMES)
    exchanging = (Swapn(swapn), Exchange(exchange))
    return (
        Acting(Dupn(dupn), partial(fill_dupn, instruction=dupn)),
        *(Acting(table, partial(fill_exchanging, table=table)) for table in exchanging),
        Acting(Failure(own), partial(fill_failure, instructions=own)),
    )
