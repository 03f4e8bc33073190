"""Frames: one row per message call that runs code, from the message that opens it to its result."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import total
from circuits.air.gadgets.words import full
from circuits.air.layout import Layout, allocate, bit, element, limb, nested
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution, ends_unpaid
from circuits.component import Answering
from circuits.frames.buses import CODE, CONTEXT, CONTEXT_OF, EXEC, FRAME, HALT, MESSAGE, RESULT
from circuits.frames.contexts import FRAME_CONTEXT, RESERVE, context_counts, count_by
from circuits.frames.gas import GasLimb
from circuits.statement import gas_limbs
from circuits.widths import ADDRESS, U64, WORD
from executor.opcodes import OPCODES
from executor.trace import Outcome

#: What CONTEXT_OF tells of a frame: the names of its contexts (see `circuits.frames.buses.CONTEXT_OF`), by kind.
CONTEXTS = ("frame", "operation", "block", "calldata")
#: Instructions that give what a frame knows, in the order of their counts.
OPCODES_OF_FRAMES = tuple(OPCODES[name] for name in ("ADDRESS", "CALLER", "CALLVALUE", "CALLDATASIZE", "CODESIZE"))

_INVERSE_2_16 = pow(1 << 16, -1, MODULUS)
_MESSAGE = "message bus"
_HALT = "halt bus"


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
    operation = element("number of the transaction", by=_MESSAGE)
    block = element("row of the block", by=_MESSAGE)
    scope = element("scope of the block", by=_MESSAGE)
    time = element("time of the first step", by=_MESSAGE)
    caller = limb("address limbs", ADDRESS, by=_MESSAGE)
    address = limb("account whose storage the frame works on", ADDRESS, by=_MESSAGE)
    code_hash = limb("keccak256 of the code", WORD, by=_MESSAGE)
    value = limb("CALLVALUE in wei", WORD, by=_MESSAGE)
    calldata = element("id of the calldata buffer", by=_MESSAGE)
    calldata_size = element("bytes", by=_MESSAGE)
    gas = element("gas given without the reserve, below 2^30", by=_MESSAGE)
    reserve = limb("gas given beyond that", U64, by=_MESSAGE)
    code = element("id of the code", by="code bus")
    code_size = element("bytes", by="code bus")
    calldata_limb = nested(GasLimb, "the calldata's size in limbs")
    code_limb = nested(GasLimb, "the code's size in limbs")
    success = bit("1: neither reverted nor halted exceptionally")
    halted = bit("1: halted exceptionally, but not for lack of gas")
    unpaid = bit("1: halted exceptionally for lack of gas")
    gas_left = element("gas left without the reserve, below 2^30", by=_HALT)
    end_time = element("time after the last step", by=_HALT)
    frame_count = element("how often the frame is queried", by="balance of the frame bus")
    context_of_count = element("how often each context is queried", len(CONTEXTS), by="balance of the context_of bus")
    context_count = element(
        "how often each word is queried, the reserve last", len(OPCODES_OF_FRAMES) + 1, by="balance of the context bus"
    )


class Frames(Table):
    """Opens a frame by its first state and turns its halt into a result; answers for it in between.

    What is answered while the frame runs - whether it will succeed - is a prophecy until the halt, which comes true
    because every frame has exactly one.
    """

    name = "frame"
    layout = Columns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        air.require(air.is_first * (row.frame - 1), "frames are numbered from 1")
        air.require(air.is_transition * (air.next.frame - row.frame - 1), "frame ids step by 1")
        air.receive(
            MESSAGE,
            row.frame,
            row.operation,
            row.block,
            row.scope,
            row.time,
            row.caller,
            row.address,
            row.code_hash,
            row.value,
            row.calldata,
            row.calldata_size,
            row.gas,
            row.reserve,
            count=real,
        )
        air.query(CODE, row.code, row.code_hash, row.code_size, count=real)
        air.send(EXEC, row.time, row.frame, row.code, 0, 0, row.gas, 0, count=real)
        exceptional = row.halted + row.unpaid
        air.require((row.success + exceptional) * (1 - real), "padding does not end")
        air.require(row.success * exceptional + row.halted * row.unpaid, "one ending")
        ending = row.success * Ending.SUCCEEDED + row.halted * Ending.HALTED + row.unpaid * Ending.UNPAID
        air.receive(HALT, row.frame, ending, row.gas_left, row.end_time, count=real)
        air.require(row.unpaid * total(row.reserve), "a frame with a reserve does not lack gas")
        air.send(RESULT, row.frame, row.success, exceptional, row.gas_left, row.end_time, count=real)

        # Sizes are at most 2^24 (see their buses), so they have one representation in limbs.
        GasLimb.constrain(air, row.calldata_limb, row.calldata_size, real)
        GasLimb.constrain(air, row.code_limb, row.code_size, real)
        for count in (row.frame_count, *row.context_of_count, *row.context_count):
            air.require((1 - real) * count, "padding provides nothing")
        air.provide(FRAME, row.frame, row.operation, row.scope, row.address, row.success, multiplicity=row.frame_count)
        for kind, name in enumerate(CONTEXTS):
            air.provide(CONTEXT_OF, row.frame, kind, getattr(row, name), multiplicity=row.context_of_count[kind])
        words = (
            row.address,
            row.caller,
            row.value,
            _limbs(row.calldata_size, row.calldata_limb.low),
            _limbs(row.code_size, row.code_limb.low),
            row.reserve,
        )
        for opcode, word, count in zip((*OPCODES_OF_FRAMES, RESERVE), words, row.context_count, strict=True):
            air.provide(CONTEXT, FRAME_CONTEXT, row.frame, opcode, full(air, word), multiplicity=count)


def _limbs(size: Any, low: Any) -> list[Any]:
    """A size as two limbs."""
    return [low, (size - low) * _INVERSE_2_16]


def fill(
    execution: Execution,
    frame_queries: NDArray[np.uint32],
    context_of_queries: NDArray[np.uint32],
    context_queries: NDArray[np.uint32],
) -> Matrix | None:
    """All frames of the execution, with the counts of what is asked of them."""
    count = len(execution.frames)
    if not count:
        return None
    frames = execution.trace.frames
    at = execution.frames
    transaction = frames.transaction[at].astype(np.int64)
    local = np.searchsorted(execution.transactions, transaction)
    operation = execution.transaction_operations[local]
    block = execution.operations.block[operation]
    matrix, rows = allocate(Columns, count)
    matrix[:, Columns.offsets["frame"]] = 1 + np.arange(len(matrix))
    rows.real = 1
    rows.operation = operation
    rows.block = np.searchsorted(execution.blocks, block)
    rows.scope = execution.operations.scope[block]
    rows.time = execution.step_time[operation - execution.first]
    rows.caller = frames.caller[at]
    rows.address = frames.address[at]
    codes = frames.code[at]
    code_size = execution.trace.codes.size[codes].astype(np.int64)
    calldata_size = frames.input_size[at].astype(np.int64)
    rows.code_hash = execution.trace.codes.hash[codes]
    rows.value = frames.value[at]
    rows.calldata = execution.calldata_ids[local]
    rows.calldata_size = calldata_size
    rows.gas = (frames.gas_given[at] - execution.reserve[local]).astype(np.int64)
    rows.reserve = gas_limbs(execution.reserve[local])
    rows.code = execution.frame_code
    rows.code_size = code_size
    GasLimb.fill(rows.calldata_limb, calldata_size)
    GasLimb.fill(rows.code_limb, code_size)
    outcome = frames.outcome[at]
    rows.success = outcome == Outcome.SUCCESS
    exceptional = (outcome != Outcome.SUCCESS) & (outcome != Outcome.REVERT)
    # A frame ends for lack of gas as its last step says, whatever else may be true of it.
    unpaid = exceptional & ends_unpaid(execution)
    rows.unpaid = unpaid
    rows.halted = exceptional & ~unpaid
    rows.gas_left = np.where(exceptional, 0, frames.gas_at_end[at] - execution.reserve[local])
    rows.end_time = execution.end_time[operation - execution.first]
    # Ids begin at 1, so that 0 wraps to no id.
    rows.frame_count = count_by(frame_queries[:, 0] - 1, count)
    rows.context_of_count = np.stack(
        [count_by(context_of_queries[context_of_queries[:, 1] == kind, 0] - 1, count) for kind in range(len(CONTEXTS))],
        axis=1,
    )
    asked = context_queries[context_queries[:, 0] == FRAME_CONTEXT].copy()
    asked[:, 1] -= 1
    rows.context_count = context_counts(asked, (*OPCODES_OF_FRAMES, RESERVE), count)
    return matrix


COMPONENTS = (Answering(Frames(), (FRAME, CONTEXT_OF, CONTEXT), fill),)
