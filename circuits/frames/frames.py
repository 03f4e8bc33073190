"""Frames: one row per message call or creation, from the message that opens it to its result.

Calls of precompiles and of accounts without code have a row as well; only a transaction to an account without code has
none.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import INVERSE_2_16, MODULUS, Matrix
from circuits.air.gadgets.basic import total
from circuits.air.gadgets.words import full
from circuits.air.layout import Layout, allocate, bit, element, limb, nested
from circuits.air.table import Air, Table
from circuits.batch.execution import FRAME_BEGIN, Execution
from circuits.batch.frame_data import FrameData, FrameStates, return_data
from circuits.component import Answering
from circuits.frames.buses import (
    CALLDATA_OF,
    CALLER,
    CONTEXT,
    CONTEXT_OF,
    EXEC,
    FRAME,
    FRAME_STATE,
    HALT,
    MESSAGE,
    PRECOMPILE,
    RESULT,
)
from circuits.frames.contexts import FRAME_CONTEXT, context_counts, count_by
from circuits.frames.gas import GasLimb
from circuits.state.buses import FAILURE, TRANSFER
from circuits.statement import gas_limbs
from circuits.widths import ADDRESS, U64, WORD
from executor.opcodes import OPCODES
from executor.trace import FrameKind

#: What CONTEXT_OF tells of a frame: the names of its contexts (see `circuits.frames.buses.CONTEXT_OF`), by kind.
CONTEXTS = ("frame", "operation", "block", "creates")
#: Instructions that give what a frame knows, in the order of their counts.
OPCODES_OF_FRAMES = tuple(OPCODES[name] for name in ("ADDRESS", "CALLER", "CALLVALUE", "CALLDATASIZE", "CODESIZE"))

_HALF = pow(2, -1, MODULUS)
_VERIFIER = "compared by the verifier"
_MESSAGE = "message bus"
_HALT = "halt bus, or what a frame that runs nothing leaves"
_STATE = "frame_state bus"
_BALANCE = "balance of the {} bus"


class Ending(IntEnum):
    """How a frame ends. The last two take all gas and undo all effects."""

    REVERTED = 0
    SUCCEEDED = 1
    HALTED = 2  # exceptionally, whatever gas there is
    UNPAID = 3  # exceptionally, for lack of gas: impossible for a frame with a reserve


class Columns(Layout):
    """One frame per row."""

    real = bit("1 on rows that stand for a frame")
    frame = element("id of the frame: 1 + row number", by="first row 1, step 1")
    # The message, in its order.
    operation = element("number of the transaction", by=_MESSAGE)
    block = element("row of the block", by=_MESSAGE)
    scope = element("scope of the block", by=_MESSAGE)
    time = element("when it begins", by=_MESSAGE)
    outer = element("world of the caller", by=_MESSAGE)
    static = bit("1: it must not change the state")
    depth = element("0 for the outermost frame", by=_MESSAGE)
    caller = limb("address limbs", ADDRESS, by=_MESSAGE)
    address = limb("account whose storage the frame works on", ADDRESS, by=_MESSAGE)
    value = limb("CALLVALUE in wei", WORD, by=_MESSAGE)
    moves = bit("1: the value moves from caller to address")
    creates = bit("1: it creates the account at its address")
    runs = bit("1: code runs")
    code = element("id of the code", by=_MESSAGE)
    code_size = element("bytes", by=_MESSAGE)
    precompiled = bit("1: a precompile answers")
    precompile = element("number of the precompile, or 0", by=_MESSAGE)
    calldata_kind = element("0: a buffer, 2: the memory of another frame", by=_MESSAGE)
    calldata_id = element("id of the buffer or of that frame", by=_MESSAGE)
    calldata_start = element("first byte there", by=_MESSAGE)
    calldata_size = element("bytes", by=_MESSAGE)
    gas = element("gas given without the reserve, below 2^30", by=_MESSAGE)
    reserve = limb("gas given beyond that", U64, by=_MESSAGE)

    calldata_limb = nested(GasLimb, "the calldata's size in limbs")
    code_limb = nested(GasLimb, "the code's size in limbs")
    # The end.
    success = bit("1: neither reverted nor halted exceptionally")
    halted = bit("1: halted exceptionally, but not for lack of gas")
    unpaid = bit("1: halted exceptionally for lack of gas")
    world = element(
        "id of the innermost failing frame from this one outwards, 0: none", by="success and the outer world"
    )
    gas_left = element("gas left without the reserve, below 2^30", by=_HALT)
    return_start = element("first byte of what it returns, in its memory", by=_HALT)
    return_size = element("bytes", by=_HALT)
    end_time = element("time after the last step", by=_HALT)
    # What calls have changed.
    reserve_end = limb("the reserve at the end", U64, by=_STATE)
    source = element("frame whose return data it has at the end", by=_STATE)
    source_start = element("first byte of that", by=_STATE)
    source_size = element("bytes of that", by=_STATE)
    state_time = element("time of the last such change or look at it", by=_STATE)

    frame_count = element("how often the frame is queried", by=_BALANCE.format("frame"))
    caller_count = element("how often it is queried as a caller", by=_BALANCE.format("caller"))
    failure_count = element("how often its failure is queried", by=_BALANCE.format("failure"))
    calldata_count = element("how often the place of the calldata is queried", by=_BALANCE.format("calldata_of"))
    context_of_count = element("how often each context is queried", len(CONTEXTS), by=_BALANCE.format("context_of"))
    context_count = element("how often each word is queried", len(OPCODES_OF_FRAMES), by=_BALANCE.format("context"))


class FramesPublic(Layout):
    """How the frames of a segment are numbered."""

    before = element("frames of the parts before", by=_VERIFIER)
    following = element("id of the first frame behind; 0 where nobody asks", by=_VERIFIER)


class Frames(Table):
    """Opens a frame by its first state and turns its halt into a result; answers for it in between.

    What is answered while the frame runs - whether it will succeed - is a prophecy until the halt, which comes true
    because every frame has exactly one. A frame that runs nothing succeeds and leaves all gas.
    """

    name = "frame"
    layout = Columns
    public = FramesPublic

    def constraints(self, air: Air) -> None:
        row, real, public = air.row, air.row.real, air.public
        air.require(air.is_first * (row.frame - 1 - public.before), "frames are numbered from 1, or through the parts")
        air.require(air.is_transition * (air.next.frame - row.frame - 1), "frame ids step by 1")
        air.require(air.is_transition * air.next.real * (1 - real), "padding is at the end")
        # Which frames there are is asked where another part goes on.
        behind = public.following * (row.frame + 1 - public.following)
        air.require(air.is_transition * (real - air.next.real) * behind, "the last frame before the padding")
        air.require(air.is_last * real * behind, "the last frame without padding")
        air.require(air.is_first * (1 - real) * public.following * (row.frame - public.following), "without a frame")
        air.receive(
            MESSAGE,
            row.frame, row.operation, row.block, row.scope, row.time, row.outer, row.static, row.depth,
            row.caller, row.address, row.value, row.moves, row.creates, row.runs, row.code, row.code_size,
            row.precompile, row.calldata_kind, row.calldata_id, row.calldata_start, row.calldata_size,
            row.gas, row.reserve,
            count=real,
        )  # fmt: skip
        for name in ("static", "moves", "creates", "runs", "precompiled"):
            air.require(getattr(row, name) * (1 - real), f"padding: {name}")
        # A precompile is asked by its number, and no table serves the number 0.
        air.require((1 - row.precompiled) * row.precompile, "a precompile is asked")
        air.require(row.runs * row.precompiled, "code or a precompile")
        self._begin(air)
        self._end(air)
        self._answers(air)

    def _begin(self, air: Air) -> None:
        row, real = air.row, air.row.real
        start = row.time + FRAME_BEGIN
        air.send(EXEC, start, row.frame, row.code, 0, 0, row.gas, 0, count=row.runs)
        source = (row.calldata_kind, row.calldata_id, row.calldata_start, row.calldata_size)
        air.send(PRECOMPILE, row.frame, row.precompile, *source, row.gas, start, count=row.precompiled)
        # Value moves, and a created account begins, within the frame's own world.
        amount = [row.moves * x for x in row.value]
        air.send(
            TRANSFER,
            row.world, row.operation, row.scope, row.caller, row.address, amount, row.creates, row.time,
            count=row.moves + row.creates - row.moves * row.creates,
        )  # fmt: skip
        air.send(FRAME_STATE, row.frame, 0, 0, 0, row.reserve, row.time, count=real)

    def _end(self, air: Air) -> None:
        row, real = air.row, air.row.real
        exceptional = row.halted + row.unpaid
        air.require((row.success + exceptional) * (1 - real), "padding does not end")
        air.require(row.success * exceptional + row.halted * row.unpaid, "one ending")
        ending = row.success * Ending.SUCCEEDED + row.halted * Ending.HALTED + row.unpaid * Ending.UNPAID
        acts = row.runs + row.precompiled
        returned = (row.return_start, row.return_size)
        air.receive(HALT, row.frame, ending, row.gas_left, *returned, row.end_time, count=acts)
        idle = real - acts
        air.require(idle * (1 - row.success), "what runs nothing succeeds")
        air.require(idle * (row.gas_left - row.gas), "what runs nothing leaves all gas")
        air.require_equal(returned, (0, 0), "what runs nothing returns nothing", when=idle)
        air.require(idle * (row.end_time - row.time - FRAME_BEGIN), "what runs nothing ends at once")
        air.receive(
            FRAME_STATE,
            row.frame, row.source, row.source_start, row.source_size, row.reserve_end, row.state_time,
            count=real,
        )  # fmt: skip
        # Four limbs sum to less than 2^18.
        air.require(row.unpaid * total(row.reserve_end), "a frame with a reserve does not lack gas")
        # An exceptional halt takes the reserve, too.
        kept = [(1 - exceptional) * x for x in row.reserve_end]
        air.send(RESULT, row.frame, row.success, row.gas_left, kept, *returned, row.end_time, count=real)
        fails = real - row.success
        air.require(row.world - row.outer - fails * (row.frame - row.outer), "world")

    def _answers(self, air: Air) -> None:
        row, real = air.row, air.row.real
        # Sizes are at most 2^24 (see their buses), so they have one representation in limbs.
        GasLimb.constrain(air, row.calldata_limb, row.calldata_size, real)
        GasLimb.constrain(air, row.code_limb, row.code_size, real)
        counts = (row.frame_count, row.caller_count, row.failure_count, row.calldata_count)
        for count in (*counts, *row.context_of_count, *row.context_count):
            air.require((1 - real) * count, "padding provides nothing")
        known = (row.address, row.world, row.static)
        air.provide(FRAME, row.frame, row.operation, row.scope, *known, multiplicity=row.frame_count)
        air.provide(
            CALLER,
            row.frame, row.operation, row.block, row.scope, *known, row.depth, row.caller, row.value,
            multiplicity=row.caller_count,
        )  # fmt: skip
        air.require(row.success * row.failure_count, "only what fails is undone")
        air.provide(FAILURE, row.frame, row.outer, row.operation, row.scope, row.time, multiplicity=row.failure_count)
        # The kind is 0 or 2; a buffer knows its size itself.
        size = row.calldata_kind * row.calldata_size * _HALF
        source = (row.calldata_kind, row.calldata_id, row.calldata_start, size)
        air.provide(CALLDATA_OF, row.frame, *source, multiplicity=row.calldata_count)
        for kind, name in enumerate(CONTEXTS):
            air.provide(CONTEXT_OF, row.frame, kind, getattr(row, name), multiplicity=row.context_of_count[kind])
        words = (
            row.address,
            row.caller,
            row.value,
            _limbs(row.calldata_size, row.calldata_limb.low),
            _limbs(row.code_size, row.code_limb.low),
        )
        for opcode, word, count in zip(OPCODES_OF_FRAMES, words, row.context_count, strict=True):
            air.provide(CONTEXT, FRAME_CONTEXT, row.frame, opcode, full(air, word), multiplicity=count)


def _limbs(size: Any, low: Any) -> list[Any]:
    """A size as two limbs."""
    return [low, (size - low) * INVERSE_2_16]


def fill(
    execution: Execution,
    frame_queries: NDArray[np.uint32],
    caller_queries: NDArray[np.uint32],
    failure_queries: NDArray[np.uint32],
    calldata_queries: NDArray[np.uint32],
    context_of_queries: NDArray[np.uint32],
    context_queries: NDArray[np.uint32],
    halts: NDArray[np.uint32],
) -> Matrix | None:
    """All frames of the execution, with the counts of what is asked of them; `halts` (n, 6): how they end."""
    count = len(execution.frames)
    if not count:
        return None
    trace, frames, at = execution.trace, execution.trace.frames, execution.frames
    operation = execution.frame_operation
    block = execution.operations.block[operation]
    matrix, rows = allocate(Columns, count)
    matrix[:, Columns.offsets["frame"]] = 1 + np.arange(len(matrix))
    rows.real = 1
    rows.operation = operation
    rows.block = np.searchsorted(execution.blocks, block)
    rows.scope = execution.operations.scope[block]
    rows.time = execution.frame_begin_time
    rows.outer = execution.worlds.outer
    rows.static = frames.is_static[at]
    rows.depth = frames.depth[at]
    rows.caller = frames.caller[at]
    rows.address = frames.address[at]
    rows.value = frames.value[at]
    creates, runs = execution.frame_creates, execution.frame_runs
    # A transaction moves its value itself.
    inner = execution.frame_parent > 0
    valued = np.isin(frames.kind[at], (FrameKind.CALL, FrameKind.CALLCODE)) & frames.value[at].any(axis=1)
    rows.moves = inner & (creates | valued)
    rows.creates = creates
    rows.runs = runs
    code_size = np.where(runs, trace.codes.size[frames.code[at]], 0).astype(np.int64)
    rows.code = np.where(runs, execution.frame_code, 0)
    rows.code_size = code_size
    rows.precompiled = execution.frame_precompile > 0
    rows.precompile = execution.frame_precompile
    data = FrameData.of(execution)
    for name in ("kind", "id", "start", "size"):
        setattr(rows, f"calldata_{name}", getattr(data, f"calldata_{name}"))
    calldata_size = data.calldata_size
    gas = (frames.gas_given[at] - execution.frame_reserve).astype(np.int64)
    rows.gas = gas
    rows.reserve = gas_limbs(execution.frame_reserve)
    GasLimb.fill(rows.calldata_limb, calldata_size)
    GasLimb.fill(rows.code_limb, code_size)

    rows.gas_left = (frames.gas_left[at] - np.minimum(execution.frame_reserve_end, frames.gas_left[at])).astype(
        np.int64
    )
    rows.end_time = execution.frame_end_time
    halts = halts[(halts[:, 0] >= 1) & (halts[:, 0] <= count)].astype(np.int64)
    here = halts[:, 0] - 1
    ending = np.full(count, int(Ending.SUCCEEDED))
    ending[here] = halts[:, 1]
    rows.success = ending == Ending.SUCCEEDED
    rows.halted = ending == Ending.HALTED
    rows.unpaid = ending == Ending.UNPAID
    for name, column in (("gas_left", 2), ("return_start", 3), ("return_size", 4), ("end_time", 5)):
        getattr(rows, name)[here] = halts[:, column]
    rows.world = np.where(rows.success == 1, rows.outer, rows.frame)
    rows.world[here] = execution.worlds.own[here]
    rows.reserve_end = gas_limbs(execution.frame_reserve_end)
    rows.state_time = FrameStates.of(execution).last
    left = return_data(execution, 1 + np.arange(count), np.full(count, len(execution.step)))
    rows.source, rows.source_start, rows.source_size = left.source, left.start, left.size

    # Ids begin at 1, so that 0 wraps to no id.
    rows.frame_count = count_by(frame_queries[:, 0] - 1, count)
    rows.caller_count = count_by(caller_queries[:, 0] - 1, count)
    rows.failure_count = np.where(rows.success == 1, 0, count_by(failure_queries[:, 0] - 1, count))
    rows.calldata_count = count_by(calldata_queries[:, 0] - 1, count)
    rows.context_of_count = np.stack(
        [count_by(context_of_queries[context_of_queries[:, 1] == kind, 0] - 1, count) for kind in range(len(CONTEXTS))],
        axis=1,
    )
    asked = context_queries[context_queries[:, 0] == FRAME_CONTEXT].copy()
    asked[:, 1] -= 1
    rows.context_count = context_counts(asked, OPCODES_OF_FRAMES, count)
    return matrix


COMPONENTS = (Answering(Frames(), (FRAME, CALLER, FAILURE, CALLDATA_OF, CONTEXT_OF, CONTEXT, HALT), fill),)
