"""Message calls: CALL, CALLCODE, DELEGATECALL and STATICCALL.

Source: execution-specs `cancun/vm/instructions/system.py` (call, callcode, delegatecall, staticcall, generic_call) and
`cancun/vm/gas.py` (calculate_message_call_gas); EIP-150, EIP-161, EIP-2929.

`call` is a call that opens a frame, from its first step to where its caller goes on: the row sends the message and
receives the result. `call_stopped` is one that opens none: it lacks gas, or its caller lacks the value or is too deep.
Where accounts can delegate (EIP-7702), both prove that the account which is called has not; `call_delegated` and
`call_delegated_stopped` are the same of one that has: `prague/vm/eoa_delegation.py` (access_delegation).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from circuits.air import field as arithmetic
from circuits.air.expression import Expression
from circuits.air.field import INVERSE_2_16, MODULUS, Matrix
from circuits.air.gadgets.basic import IsZero, one_hot, range_check, total
from circuits.air.gadgets.words import SubtractWords
from circuits.air.layout import RANGE, Layout, TraceView, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.delegations import DELEGATION_BYTES
from circuits.batch.execution import (
    DELEGATING_STOPPED_TIME,
    OPENING,
    STOPPED_TIME,
    Execution,
    Integers,
    small_integers,
    words_of,
)
from circuits.component import Acting, Component
from circuits.frames.buses import CALLER, CODE, DELEGATING, DELEGATION, MESSAGE, RESULT
from circuits.frames.frame_state import FrameState
from circuits.frames.gas import Charge, Division, GasLimb
from circuits.instructions.accounts import (
    GAS_COLD_ACCOUNT,
    AccountToken,
    Coldness,
    Emptiness,
    PricedByColdness,
    code_of,
    empty_code,
    layout_of,
)
from circuits.instructions.buses import COPY
from circuits.instructions.copies import EXPANSION_BUS, MEMORY_SOURCE
from circuits.instructions.frame_fields import require_idle
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.memory.buses import EXPANSION
from circuits.memory.expansion import expand
from circuits.state.state_view import GAS_CALL_VALUE, GAS_WARM_ACCESS, StateView
from circuits.widths import ADDRESS, WORD
from executor.forks import Fork
from executor.opcodes import OPCODES

#: Source: cancun/vm/gas.py.
GAS_NEW_ACCOUNT = 25000
GAS_CALL_STIPEND = 2300
#: A frame at this depth opens no further one (cancun/vm/interpreter.py STACK_DEPTH_LIMIT).
MAX_DEPTH = 1024

_NAMES = ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL")
_OPCODES = tuple(OPCODES[name] for name in _NAMES)
_INVERSE_32 = pow(32, -1, MODULUS)
_CALLER_BUS = "caller bus"
_RESULT_BUS = "result bus"


class OwnFrame(Layout):
    """What an instruction that opens a frame knows of its own frame."""

    operation = element("number of the transaction", by=_CALLER_BUS)
    block = element("row of the block", by=_CALLER_BUS)
    scope = element("scope of the block", by=_CALLER_BUS)
    address = limb("account whose storage the frame works on", ADDRESS, by=_CALLER_BUS)
    world = element("id of the innermost failing frame", by=_CALLER_BUS)
    static = bit("1: it must not change the state")
    depth = element("0 for the outermost frame", by=_CALLER_BUS)
    caller = limb("who called it", ADDRESS, by=_CALLER_BUS)
    value = limb("with what value", WORD, by=_CALLER_BUS)

    @staticmethod
    def constrain(air: Air, cells: Any) -> None:
        """The fields are those of the row's frame."""
        known = (cells.address, cells.world, cells.static, cells.depth, cells.caller, cells.value)
        air.query(CALLER, air.row.frame, cells.operation, cells.block, cells.scope, *known, count=air.row.real)
        air.require(cells.static * (1 - air.row.real), "padding is not static")

    @staticmethod
    def fill(cells: Any, execution: Execution, steps: Integers) -> None:
        """`steps`: those of the rows."""
        frames, place = execution.trace.frames, execution.frame[steps] - 1
        row, operation = execution.frames[place], execution.operation[steps]
        block = execution.operations.block[operation]
        cells.operation = operation
        cells.block = np.searchsorted(execution.blocks, block)
        cells.scope = execution.operations.scope[block]
        cells.world = execution.worlds.own[place]
        for name, column in (("static", frames.is_static), ("depth", frames.depth)):
            setattr(cells, name, column[row])
        cells.address, cells.caller, cells.value = frames.address[row], frames.caller[row], frames.value[row]


class Window(Layout):
    """A range of memory that two operands name: which may be anywhere if it is empty."""

    offset = limb("first byte", WORD, by=STACK_BUS)
    offset_then = element("time of its push", by=STACK_BUS)
    size = limb("bytes", 2, by=STACK_BUS)
    size_then = element("time of its push", by=STACK_BUS)
    empty = nested(IsZero, "whether there are none")

    @staticmethod
    def constrain(
        air: Air, table: InstructionTable, cells: Any, index: Any
    ) -> tuple[Expression, Expression, Expression]:
        """The operands at this place of the stack (an offset and a size behind it).

        Returns:
            Start, size and end of the range as integers, the start and the end 0 if it is empty.
        """
        real = air.row.real
        table.pop(air, index, cells.offset, cells.offset_then)
        table.pop(air, index + 1, cells.size, cells.size_then)
        # The sum of two limbs is 0 only if both are; 2^16 high + low could be the modulus.
        IsZero.constrain(air, cells.empty, cells.size[0] + cells.size[1], when=real, name="empty")
        some = real - cells.empty.zero
        air.require(some * total(cells.offset[2:]), "the offset has two limbs")
        # The sum of two limbs is below 2^17. Below 2^9, it leaves offset + size below 2^26, which does not wrap.
        air.query(RANGE16, (cells.offset[1] + cells.size[1]) * (1 << 7), count=some)
        start = some * (cells.offset[0] + cells.offset[1] * (1 << 16))
        size = cells.size[0] + cells.size[1] * (1 << 16)
        return start, size, start + size

    @staticmethod
    def fill(cells: Any, execution: Execution, steps: Integers, index: Integers) -> tuple[Integers, Integers]:
        """`index`: (rows,) place of the offset on the stack. Returns starts and sizes (rows,), both 0 if empty."""
        offset, size = (_operands(execution, steps, index + k) for k in range(2))
        cells.offset, cells.size = offset, size[:, :2]
        cells.offset_then, cells.size_then = (_operand_times(execution, steps, index + k) for k in range(2))
        IsZero.fill(cells.empty, size[:, :2].astype(np.uint64).sum(axis=1))
        sizes = small_integers(size)
        return np.where(sizes == 0, 0, small_integers(offset)), sizes


def _operands(execution: Execution, steps: Integers, index: Integers) -> Any:
    """Operands (n, 16) at places of the stack that differ from step to step."""
    words = np.zeros((len(steps), WORD), dtype=np.uint16)
    for place in np.unique(index).tolist():
        here = index == place
        words[here] = execution.operand(steps[here], place)
    return words


def _operand_times(execution: Execution, steps: Integers, index: Integers) -> Integers:
    times = np.zeros(len(steps), dtype=np.int64)
    for place in np.unique(index).tolist():
        here = index == place
        times[here] = execution.operand_time(steps[here], place)
    return times


class CallColumns(Step):
    """One call per row: its operands and what it costs."""

    call = bit("1: CALL")
    callcode = bit("1: CALLCODE")
    delegatecall = bit("1: DELEGATECALL")
    staticcall = bit("1: STATICCALL")
    requested = limb("gas for the frame", WORD, by=STACK_BUS)
    requested_then = element("time of its push", by=STACK_BUS)
    to = limb("the address, and 12 bytes that do not count", WORD, by=STACK_BUS)
    to_then = element("time of its push", by=STACK_BUS)
    value = limb("wei; 0 without such an operand", WORD, by=STACK_BUS)
    value_then = element("time of its push; 0 without such an operand", by=STACK_BUS)
    no_value = nested(IsZero, "whether the value is 0, of CALL and CALLCODE")
    input = nested(Window, "the calldata")
    output = nested(Window, "where what is returned goes")
    words_between = element("words of memory that has grown for the input only", by=EXPANSION_BUS)
    input_cost = element("gas of that growth", by=EXPANSION_BUS)
    words_after = element("words of memory afterwards", by=EXPANSION_BUS)
    output_cost = element("gas of the further growth", by=EXPANSION_BUS)
    own = nested(OwnFrame)
    callee = nested(AccountToken, "the account whose code runs")
    coldness = nested(Coldness)
    emptiness = nested(Emptiness)
    sends = bit("1: CALL with a value")
    creates = bit("1: CALL with a value of an empty account")


class _Calling(PricedByColdness):
    """What all calls do, however they go on."""

    def call(self, air: Air, looks: Expression) -> tuple[Expression, Expression, Expression, Expression]:
        """Returns the cost, whether there is a value (a bit), start and size of the input.

        `looks`: whether the account is looked at; elsewhere the cost is what the call costs whatever the account is.
        """
        row, real = air.row, air.row.real
        flags = (row.call, row.callcode, row.delegatecall, row.staticcall)
        one_hot(air, flags, real, "instruction")
        self.begin(air, total([flag * opcode for flag, opcode in zip(flags, _OPCODES, strict=True)]))
        OwnFrame.constrain(air, row.own)
        valued = row.call + row.callcode
        # STACK
        self.pop(air, 0, row.requested, row.requested_then)
        self.pop(air, 1, row.to, row.to_then)
        self.pop(air, 2, row.value, row.value_then, valued)
        air.require_equal(row.value, [0] * WORD, "no value without such an operand", when=1 - valued)
        air.require((1 - valued) * row.value_then, "no push without such an operand")
        input_start, input_size, input_end = Window.constrain(air, self, row.input, valued + 2)
        _, _, output_end = Window.constrain(air, self, row.output, valued + 4)
        # GAS. The memory costs at most 2^29 + 3 * 2^19, all else less than 2^16.
        between = row.words_between
        air.query(EXPANSION, row.memory_words, input_end, between, row.input_cost, count=real)
        air.query(EXPANSION, between, output_end, row.words_after, row.output_cost, count=real)
        address = row.to[:ADDRESS]
        AccountToken.constrain(air, row.callee, row.own, address, row.time, looks)
        Coldness.constrain(air, row.coldness, row.own, address, row.callee.warm, looks, self.precompiles)
        Emptiness.constrain(air, row.emptiness, row.callee, looks)
        # 16 limbs sum to less than 2^20: 0 only if all are.
        IsZero.constrain(air, row.no_value, total(row.value), when=valued, name="no value")
        has_value = valued - row.no_value.zero
        air.require(row.sends - row.call * (1 - row.no_value.zero), "CALL with a value")
        air.require(row.creates - row.sends * row.emptiness.empty, "of an empty account")
        cost = (
            GAS_WARM_ACCESS * real
            + (GAS_COLD_ACCOUNT - GAS_WARM_ACCESS) * row.coldness.cold
            + GAS_CALL_VALUE * has_value
            + GAS_NEW_ACCOUNT * row.creates
            + row.input_cost
            + row.output_cost
        )
        return cost, has_value, input_start, input_size

    @staticmethod
    def pops(air: Air) -> Expression:
        """Words that it takes from the stack."""
        words: Expression = air.row.call + air.row.callcode + 6
        return words


def _fill_calling(
    layout: type[Layout[Any]], matrix: Matrix, rows: Any, execution: Execution, steps: Integers
) -> tuple[Integers, NDArray[np.bool_], Integers, Integers]:
    """The columns of `CallColumns`; returns costs, values other than 0 (bool), and the ranges of input and output."""
    fill_step(rows, execution, steps)
    opcode = execution.opcode[steps]
    for name, code in zip(_NAMES, _OPCODES, strict=True):
        setattr(rows, name.lower(), opcode == code)
    valued = np.isin(opcode, _OPCODES[:2])
    rows.requested, rows.requested_then = execution.operand(steps, 0), execution.operand_time(steps, 0)
    to = execution.operand(steps, 1)
    rows.to, rows.to_then = to, execution.operand_time(steps, 1)
    value = np.zeros((len(steps), WORD), dtype=np.uint16)
    then = np.zeros(len(steps), dtype=np.int64)
    value[valued], then[valued] = execution.operand(steps[valued], 2), execution.operand_time(steps[valued], 2)
    rows.value, rows.value_then = value, then
    some: NDArray[np.bool_] = (value != 0).any(axis=1)
    # Idle where the instruction has no such operand.
    sums = value.astype(np.uint64).sum(axis=1)
    IsZero.fill(rows.no_value, sums)
    rows.no_value.zero = valued & ~some
    index = 2 + valued.astype(np.int64)
    input_start, input_size = Window.fill(rows.input, execution, steps, index)
    output_start, output_size = Window.fill(rows.output, execution, steps, index + 2)
    between, input_cost = expand(execution.memory_words[steps], input_start + input_size)
    after, output_cost = expand(between, output_start + output_size)
    rows.words_between, rows.input_cost = between, input_cost
    rows.words_after, rows.output_cost = after, output_cost
    OwnFrame.fill(rows.own, execution, steps)
    view = StateView.of(execution)
    at = np.flatnonzero(view.takes_account(steps))
    looking = matrix[at]
    block: Any = TraceView(layout, looking)
    access = view.account_instruction(steps[at])
    AccountToken.fill(block.callee, access)
    cold, empty = np.zeros(len(steps), dtype=bool), np.zeros(len(steps), dtype=bool)
    cold[at] = Coldness.fill(block.coldness, access, execution)
    empty[at] = Emptiness.fill(block.emptiness, access)
    matrix[at] = looking
    sends = (opcode == OPCODES["CALL"]) & some
    rows.sends = sends
    rows.creates = sends & empty
    cost = np.where(cold, GAS_COLD_ACCOUNT, GAS_WARM_ACCESS) + GAS_CALL_VALUE * some + GAS_NEW_ACCOUNT * (sends & empty)
    return cost + input_cost + output_cost, some, output_start, output_size


class OpenedColumns(CallColumns):
    """One call that opens a frame per row, to where its caller goes on."""

    rest = nested(GasLimb, "gas behind the cost")
    division = nested(Division)
    state = nested(FrameState)
    frame_gas = nested(GasLimb, "gas that the frame counts, stipend included")
    opened = element("id of the frame that is opened", by="message bus")
    precompiled = bit("1: a precompile answers")
    runs = bit("1: code runs")
    code_id = element("id of the code, or 0", by="code bus, or 0")
    code_size = element("its bytes, or 0", by="code bus, or 0")
    success = bit("1: the frame neither reverted nor halted exceptionally")
    return_start = element("first byte of what it returned, in its memory", by=_RESULT_BUS)
    return_size = element("bytes of that", by=_RESULT_BUS)
    end = element("time when it has ended", by=_RESULT_BUS)
    short = bit("1: less is returned than there is room for")
    margin = limb("low limb of room - returned - 1 where it is short, else of returned - room", by=RANGE)
    copied = element("bytes of it that are copied: the smaller one of room and what is returned", by="short")
    copies = bit("1: bytes are copied")
    copied_inverse = element("inverse of copied, or 0", by="copied and copies")
    slack = limb("bytes missing to the next multiple of 32", by="5-bit range check")
    words = limb("words that are copied, 2^19 at most, in limbs", 2, by=RANGE)


class Call(_Calling):
    """A call that opens a frame.

    Accounts of precompiles have no code. The frame's depth is at most 1024. That the caller has the value is shown by
    the transfer at the frame's beginning, of CALLCODE from the account to itself.
    """

    name = "call"
    layout = OpenedColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        own, division = row.own, row.division
        cost, has_value, input_start, input_size = self.call(air, real)
        air.require(own.static * row.sends, "a static frame sends no value")
        # GAS
        rest = row.gas - cost
        GasLimb.constrain(air, row.rest, rest, real)
        Division.constrain(air, division, rest, row.rest.low, row.state.reserve, row.requested)
        given = Division.amount(division.counted) + GAS_CALL_STIPEND * has_value
        GasLimb.constrain(air, row.frame_gas, given, real)
        # OPERATION
        # Depths count from 0 by 1: they are integers.
        air.query(RANGE16, MAX_DEPTH - 1 - own.depth, count=real)
        self._runs(air)
        air.require_equal((row.code_id, row.code_size), (0, 0), "no code", when=1 - row.runs)
        here = row.call + row.staticcall  # the frame works on the callee's account
        air.send(
            MESSAGE,
            row.opened, own.operation, own.block, own.scope, row.time + OPENING, own.world,
            own.static + row.staticcall * (1 - own.static),
            own.depth + 1,
            [a + row.delegatecall * (c - a) for a, c in zip(own.address, own.caller, strict=True)],
            [a + here * (t - a) for a, t in zip(own.address, row.to[:ADDRESS], strict=True)],
            [v + row.delegatecall * o for v, o in zip(row.value, own.value, strict=True)],
            has_value, 0, row.runs, row.code_id, row.code_size,
            row.precompiled * row.to[0],
            MEMORY_SOURCE, row.frame, input_start, input_size,
            given, division.reserved,
            count=real,
        )  # fmt: skip
        returned = (row.return_start, row.return_size)
        left = (division.left, division.left_reserve)
        air.receive(RESULT, row.opened, row.success, *left, *returned, row.end, count=real)
        air.require(row.success * (1 - real), "padding does not succeed")
        FrameState.constrain(air, row.state, real, (row.opened, *returned, division.reserve_after))
        words = self._copy(air)
        # STACK
        self.push(air, self.pops(air), [row.success])
        # PROGRAM COUNTER
        after = Division.amount(division.after)
        self.proceed(
            air,
            stack=1 - self.pops(air),
            gas=row.gas - after,
            memory_words=row.words_after,
            duration=row.end + 1 + words - row.time,
        )

    def _runs(self, air: Air) -> None:
        """Whether a precompile answers or code runs, and which code that is."""
        row, real = air.row, air.row.real
        small = row.coldness.high.zero * row.coldness.low.zero
        air.require(row.precompiled - small, "the address of a precompile")
        has_code = real - row.emptiness.no_code.same[0]
        air.require(row.runs - has_code * (1 - row.precompiled), "the account's code runs")
        self._code(air)

    def _code(self, air: Air) -> None:
        """Id and size of the account's code, if that runs."""
        row = air.row
        air.query(CODE, row.code_id, row.callee.code_hash, row.code_size, count=row.runs)

    @staticmethod
    def _copy(air: Air) -> Expression:
        """What is returned goes to the caller's memory, as far as there is room. Returns the words that are copied."""
        row, real, short = air.row, air.row.real, air.row.short
        room = row.output.size[0] + row.output.size[1] * (1 << 16)
        # Both are at most 2^25: as integers, the difference that is not negative is below 2^25.
        margin = (room - row.return_size) * (2 * short - 1) - short
        range_check(air, (margin - row.margin) * INVERSE_2_16, 9, real)
        air.require(short * (1 - real), "padding returns nothing")
        air.require(row.copied - room - short * (row.return_size - room), "the smaller size")
        air.require(row.copied * row.copied_inverse - row.copies, "copies: copied is not 0")
        air.require((1 - row.copies) * row.copied, "copies: copied is 0")
        # No push says what the room is there.
        air.require(row.copies * (1 - real), "padding copies nothing")
        air.require((1 - row.copies) * row.copied_inverse, "idle inverse")
        range_check(air, row.slack, 5, real)
        range_check(air, row.words[1], 4, real)
        words: Expression = row.words[0] + row.words[1] * (1 << 16)
        # Both sides are below 2^26.
        air.require(row.copied + row.slack - words * 32, "words")
        start = row.output.offset[0] + row.output.offset[1] * (1 << 16)
        first = row.end + 1
        token = (row.frame, first, first, MEMORY_SOURCE, row.opened, row.return_start, start, row.copied)
        air.send(COPY, *token, count=row.copies)
        return words


class PlainCall(Call):
    """A call that opens a frame, where accounts can delegate (EIP-7702), of an account that has not."""

    def _code(self, air: Air) -> None:
        row = air.row
        # Nothing puts a code there; a pre-state that has one is refused (`executor.provable`).
        has_code = row.real - row.emptiness.no_code.same[0]
        air.require(row.precompiled * has_code, "the account of a precompile has no code")
        nobody = [air.constant(0)] * ADDRESS
        air.query(DELEGATION, row.code_id, row.callee.code_hash, row.code_size, 0, nobody, count=row.runs)


class Delegate(Layout):
    """The account whose code runs where the one that is called has delegated (EIP-7702)."""

    id = element("id of the code that names it", by="delegation bus")
    address = limb("its address", ADDRESS, by="delegation bus")
    token = nested(AccountToken)
    coldness = nested(Coldness)

    @staticmethod
    def constrain(air: Air, cells: Any, precompiles: Sequence[int]) -> Expression:
        """The row's callee has delegated to this account, which is looked at. Returns what that costs."""
        row, real = air.row, air.row.real
        named = (cells.id, row.callee.code_hash, DELEGATION_BYTES, 1, cells.address)
        air.query(DELEGATION, *named, count=real)
        AccountToken.constrain(air, cells.token, row.own, cells.address, row.time + 1, real)
        Coldness.constrain(air, cells.coldness, row.own, cells.address, cells.token.warm, real, precompiles)
        cost: Expression = GAS_WARM_ACCESS * real + (GAS_COLD_ACCOUNT - GAS_WARM_ACCESS) * cells.coldness.cold
        return cost

    @staticmethod
    def fill(cells: Any, execution: Execution, steps: Integers) -> Integers:
        """Returns what it costs (n,) to look at the accounts."""
        view = StateView.of(execution)
        callee, access = view.account_instruction(steps), view.account_instruction(steps, 2)
        cells.id, _ = execution.codes_of(callee.code_hash)
        cells.address = access.address
        AccountToken.fill(cells.token, access)
        return np.where(Coldness.fill(cells.coldness, access, execution), GAS_COLD_ACCOUNT, GAS_WARM_ACCESS)


class DelegatedColumns(OpenedColumns):
    """One call of an account that has delegated per row."""

    delegate = nested(Delegate)


class DelegatedCall(Call):
    """A call of an account that has delegated (EIP-7702): the code of its delegate runs, even if that delegates, too.

    A precompile does not run so, whatever code its account may have.
    """

    name = "call_delegated"
    layout = DelegatedColumns

    def call(self, air: Air, looks: Expression) -> tuple[Expression, Expression, Expression, Expression]:
        cost, *others = super().call(air, looks)
        has_value, start, size = others
        return cost + Delegate.constrain(air, air.row.delegate, self.precompiles), has_value, start, size

    def _runs(self, air: Air) -> None:
        row = air.row
        air.require(row.precompiled, "no precompile answers")
        air.require(row.runs * (1 - row.real), "padding runs no code")
        code_hash = row.delegate.token.code_hash
        air.require_equal(code_hash, empty_code(air), "the delegate has no code", when=row.real - row.runs)
        small = row.delegate.coldness.high.zero * row.delegate.coldness.low.zero
        air.require(row.runs * small, "the account of a precompile has no code")
        # The empty code has no leaf in the access tree.
        air.query(CODE, row.code_id, code_hash, row.code_size, count=row.runs)


def fill_call(execution: Execution) -> Matrix | None:
    """All calls that open a frame, of accounts that have not delegated."""
    return _fill_opened(execution, OpenedColumns, delegated=False)


def fill_call_delegated(execution: Execution) -> Matrix | None:
    """All calls that open a frame, of accounts that have delegated."""
    return _fill_opened(execution, DelegatedColumns, delegated=True)


def _fill_opened(execution: Execution, layout: type[OpenedColumns], *, delegated: bool) -> Matrix | None:
    steps = execution.rows(*_OPCODES)
    steps = steps[execution.opened[steps] > 0]
    steps = steps[StateView.of(execution).delegates(steps) == delegated]
    if not len(steps):
        return None
    sized = layout_of(layout, execution.fork)
    matrix, rows = allocate(layout, len(steps), sized)
    cost, some, _, room = _fill_calling(sized, matrix, rows, execution, steps)
    if delegated:
        cost = cost + Delegate.fill(rows.delegate, execution, steps)
    opened = execution.opened[steps]
    place = opened - 1
    frames, frame = execution.trace.frames, execution.frames[place]
    rest = execution.gas[steps] - cost
    GasLimb.fill(rows.rest, rest)
    after = execution.own_next[steps]
    reserved = execution.frame_reserve[place]
    success, halted = execution.frame_success[place], execution.frame_halted[place]
    left_reserve = np.where(halted, np.uint64(0), execution.frame_reserve_end[place])
    Division.fill(
        rows.division,
        rest,
        execution.step_reserve[steps],
        frames.gas_given[frame] - np.uint64(GAS_CALL_STIPEND) * some.astype(np.uint64),
        reserved,
        (frames.gas_left[frame] - left_reserve).astype(np.int64),
        left_reserve,
        execution.step_reserve[after],
    )
    GasLimb.fill(rows.frame_gas, (frames.gas_given[frame] - reserved).astype(np.int64))
    FrameState.fill(rows.state, execution, steps)
    rows.opened = opened
    precompiled, runs = execution.frame_precompile[place] > 0, execution.frame_runs[place]
    rows.precompiled, rows.runs = precompiled, runs
    access = StateView.of(execution).account_instruction(steps, 2 if delegated else 0)
    ids, sizes = code_of(execution, access)
    rows.code_id, rows.code_size = np.where(runs, ids, 0), np.where(runs, sizes, 0)
    rows.success = success
    start, size = execution.frame_return_start[place], execution.frame_return_size[place]
    rows.return_start, rows.return_size = start, size
    rows.end = execution.frame_end_time[place]
    short = size < room
    copied = np.minimum(size, room)
    rows.short = short
    rows.margin = np.where(short, room - size - 1, size - room) & 0xFFFF
    rows.copied = copied
    rows.copies = copied > 0
    rows.copied_inverse = arithmetic.inverse(copied.astype(np.uint64))
    rows.slack = -copied % 32
    words = words_of(copied)
    rows.words = np.stack([words & 0xFFFF, words >> 16], axis=1)
    return matrix


class StoppedColumns(CallColumns):
    """One call that opens no frame per row."""

    charge = nested(Charge, "fails: the cost is above the gas left")
    looks = bit("1: the account is looked at; 0: the gas does not suffice whatever it is")
    deep = bit("1: the frame is too deep to open another one")
    poor = bit("1: the account has less than the value")
    account = nested(AccountToken, "the account of the frame, where it is too poor")
    missing = nested(SubtractWords, "its balance - value, where it is too poor")
    state = nested(FrameState)


class CallStopped(_Calling):
    """A call that lacks gas, which ends the frame, or one that gives 0 and gets back what its frame was to have."""

    name = "call_stopped"
    layout = StoppedColumns
    own_time: ClassVar = 1  # until the account of the frame is looked at
    duration: ClassVar = STOPPED_TIME

    def constraints(self, air: Air) -> None:
        row, real, own = air.row, air.row.real, air.row.own
        cost, has_value, _, _ = self.call(air, row.looks)
        require_idle(air, 1 - row.looks, AccountToken.flat(row.callee), "not looked at")
        # GAS
        Charge.constrain(air, row.charge, row.gas, cost)
        air.require((real - row.looks) * (1 - row.charge.fails), "who can pay looks")
        air.require(row.looks * (1 - real), "padding looks at nothing")
        goes_on = real - row.charge.fails
        air.require(goes_on * own.static * row.sends, "a static frame sends no value")
        # OPERATION
        one_hot(air, (row.deep, row.poor), goes_on, "reason")
        air.require(row.deep * (own.depth - MAX_DEPTH), "too deep")
        AccountToken.constrain(air, row.account, own, own.address, row.time + self.own_time, row.poor)
        require_idle(air, 1 - row.poor, AccountToken.flat(row.account), "no account")
        wanted = [row.poor * x for x in row.value]
        SubtractWords.constrain(air, row.missing, row.account.balance, wanted)
        air.require(row.missing.borrow[-1] - row.poor, "too poor")
        FrameState.constrain(air, row.state, goes_on, (0, 0, 0, row.state.reserve))
        require_idle(air, 1 - goes_on, FrameState.flat(row.state), "no state")
        # STACK
        self.push(air, self.pops(air), [], goes_on)
        # PROGRAM COUNTER
        self.proceed(
            air,
            stack=1 - self.pops(air),
            gas=cost - GAS_CALL_STIPEND * has_value,
            memory_words=row.words_after,
            duration=self.duration,
            count=goes_on,
        )
        self.fail(air, row.charge.fails)


class PlainStoppedColumns(StoppedColumns):
    """One call per row that opens no frame, where accounts can delegate."""

    asks = bit("1: it goes on, and the account has code: that does not stand for another account's")


class PlainCallStopped(CallStopped):
    """A call that opens no frame, where accounts can delegate (EIP-7702), of an account that has not.

    Or of any account, if the gas does not suffice whether or not it has.
    """

    layout = PlainStoppedColumns
    duration = DELEGATING_STOPPED_TIME

    def constraints(self, air: Air) -> None:
        super().constraints(air)
        row = air.row
        has_code = row.looks - row.emptiness.no_code.same[0]
        air.require(row.asks - (row.real - row.charge.fails) * has_code, "the code is known")
        air.query(DELEGATING, row.callee.code_hash, 0, count=row.asks)


class DelegatedStoppedColumns(StoppedColumns):
    """One call of an account that has delegated per row."""

    delegate = nested(Delegate)


class DelegatedCallStopped(CallStopped):
    """A call that opens no frame, of an account that has delegated (EIP-7702)."""

    name = "call_delegated_stopped"
    layout = DelegatedStoppedColumns
    own_time = 2
    duration = DELEGATING_STOPPED_TIME

    def call(self, air: Air, looks: Expression) -> tuple[Expression, Expression, Expression, Expression]:
        cost, *others = super().call(air, looks)
        air.require(looks - air.row.real, "the account is looked at")
        has_value, start, size = others
        return cost + Delegate.constrain(air, air.row.delegate, self.precompiles), has_value, start, size


def fill_call_stopped(execution: Execution) -> Matrix | None:
    """All calls that open no frame, where no account can delegate."""
    return _fill_stopped(execution, StoppedColumns, delegated=False)


def fill_call_plain_stopped(execution: Execution) -> Matrix | None:
    """All calls that open no frame, but of accounts that are known to have delegated."""
    return _fill_stopped(execution, PlainStoppedColumns, delegated=False)


def fill_call_delegated_stopped(execution: Execution) -> Matrix | None:
    """All calls that open no frame, of accounts that have delegated."""
    return _fill_stopped(execution, DelegatedStoppedColumns, delegated=True)


def _fill_stopped(execution: Execution, layout: type[StoppedColumns], *, delegated: bool) -> Matrix | None:
    view = StateView.of(execution)
    steps = execution.rows(*_OPCODES)
    steps = steps[execution.opened[steps] == 0]
    steps = steps[view.delegates(steps) == delegated]
    if not len(steps):
        return None
    sized = layout_of(layout, execution.fork)
    matrix, rows = allocate(layout, len(steps), sized)
    cost, _, _, _ = _fill_calling(sized, matrix, rows, execution, steps)
    if delegated:
        cost = cost + Delegate.fill(rows.delegate, execution, steps)
    looks = view.takes_account(steps)
    rows.looks = looks
    Charge.fill(rows.charge, execution.gas[steps], cost)
    goes_on = ~execution.failed[steps]
    deep = goes_on & (rows.own.depth == MAX_DEPTH)
    poor = goes_on & ~deep
    rows.deep, rows.poor = deep, poor
    here = np.flatnonzero(poor)
    if len(here):
        chosen = matrix[here]
        block = TraceView(sized, chosen)
        access = view.account_instruction(steps[here], 1)
        AccountToken.fill(block.account, access)
        SubtractWords.fill(block.missing, access.balance, execution.operand(steps[here], 2))
        matrix[here] = chosen
    here = np.flatnonzero(goes_on)
    if len(here):
        chosen = matrix[here]
        block = TraceView(sized, chosen)
        FrameState.fill(block.state, execution, steps[here])
        matrix[here] = chosen
    if layout is PlainStoppedColumns:
        rows.asks = goes_on & (rows.emptiness.no_code.same[:, 0] == 0)
    return matrix


def components(fork: Fork) -> tuple[Component, ...]:
    """The tables of a fork."""
    if not fork.sets_codes:
        return Acting(Call(fork), fill_call), Acting(CallStopped(fork), fill_call_stopped)
    return (
        Acting(PlainCall(fork), fill_call),
        Acting(DelegatedCall(fork), fill_call_delegated),
        Acting(PlainCallStopped(fork), fill_call_plain_stopped),
        Acting(DelegatedCallStopped(fork), fill_call_delegated_stopped),
    )
