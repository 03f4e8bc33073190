"""What frames read of each other: calldata and return data as ranges of memories, and who takes a frame's state when.

A message call reads its calldata in the memory of the frame that called it, and a frame reads the return data in the
memory of the frame that it called last. The calldata of a transaction or a system call is a buffer of the segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from circuits.batch.execution import PLAIN, RETURN_DATA_BOUNDS, Execution, Integers, small_integers
from executor.opcodes import OPCODES, OPENERS
from executor.trace import FrameKind

#: Where a frame's calldata lies: in a buffer of the calldata table, or in the memory of the frame that called it.
CALLDATA_BUFFER, CALLDATA_MEMORY = 0, 2

#: Places in calldata and codes from here on are all alike: these have at most 2^24 bytes.
FAR = 1 << 24

#: Operand of the offset of the calldata of each call in the caller's memory; that of the size is the next one.
_CALLDATA_OPERAND = {OPCODES[name]: 3 for name in ("CALL", "CALLCODE")} | {
    OPCODES[name]: 2 for name in ("DELEGATECALL", "STATICCALL")
}

#: Instructions that take their frame's state on the frame_state bus, unless they fail for another reason than gas or
#: the bounds of the return data. Calls and creations that fail do not.
_TAKERS = [*OPENERS, *(OPCODES[name] for name in ("GAS", "RETURNDATASIZE", "RETURNDATACOPY"))]


@dataclass(frozen=True, eq=False)
class FrameData:
    """Of each frame of a segment, all (frames,).

    Attributes:
        calldata_kind: CALLDATA_BUFFER or CALLDATA_MEMORY.
        calldata_id: the buffer, or the frame in whose memory it lies; 0 for a creation by a transaction.
        calldata_start: first byte in that memory; 0 in a buffer, and for no bytes.
        calldata_size: bytes.
        calldata_place: where they are in the trace's data.
        return_place: where what it returns is in the trace's data.
    """

    calldata_kind: Integers
    calldata_id: Integers
    calldata_start: Integers
    calldata_size: Integers
    calldata_place: Integers
    return_place: Integers

    @classmethod
    def of(cls, execution: Execution) -> FrameData:
        """Of an execution; made once."""
        execution = execution.joint
        found = _frame_data.get(execution)
        if found is None:
            found = _frame_data[execution] = _make(execution)
        return found


_frame_data: WeakKeyDictionary[Execution, FrameData] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class CalldataReads:
    """How steps read calldata that lies in the memory of another frame; all arrays (n,).

    Attributes:
        id: that frame.
        start, size: range of the calldata there.
        at: first byte that is read, of the calldata; FAR for all places from there on.
        bytes: how many there are of those that are wanted, from there on.
        place: of the first one in the trace's data.
    """

    id: Integers
    start: Integers
    size: Integers
    at: Integers
    bytes: Integers
    place: Integers

    @classmethod
    def of(cls, execution: Execution, steps: Integers, operand: int, wanted: Integers) -> CalldataReads:
        """Of steps that read `wanted` (n,) bytes from the place on that this operand gives."""
        data, row = FrameData.of(execution), execution.frame[steps] - 1
        at = np.minimum(small_integers(execution.operand(steps, operand)), FAR)
        size = data.calldata_size[row]
        bytes_ = np.clip(size - at, 0, wanted)
        return cls(data.calldata_id[row], data.calldata_start[row], size, at, bytes_, data.calldata_place[row] + at)


def steps_with_calldata(execution: Execution, kind: int, steps: Integers) -> Integers:
    """Those of the steps whose frame's calldata is of this kind (see `circuits.batch.frame_data`)."""
    if not len(steps):
        return steps
    chosen: Integers = steps[FrameData.of(execution).calldata_kind[execution.frame[steps] - 1] == kind]
    return chosen


def _make(execution: Execution) -> FrameData:
    frames, at = execution.trace.frames, execution.frames
    parent, call = execution.frame_parent, execution.frame_opener
    own = parent == 0
    buffered = np.isin(frames.kind[at], (FrameKind.MESSAGE, FrameKind.SYSTEM))
    kind = np.where(buffered, CALLDATA_BUFFER, CALLDATA_MEMORY)
    id_ = np.where(kind == CALLDATA_BUFFER, execution.calldata_ids[execution.frame_message], parent)
    size = frames.input_size[at].astype(np.int64)
    start = np.zeros(len(at), dtype=np.int64)
    for opcode, operand in _CALLDATA_OPERAND.items():
        rows = np.flatnonzero(~own & (size > 0))
        rows = rows[execution.opcode[call[rows]] == opcode]
        start[rows] = small_integers(execution.operand(call[rows], operand))

    return FrameData(
        kind, id_, start, size, frames.input_start[at].astype(np.int64), frames.output_start[at].astype(np.int64)
    )


@dataclass(frozen=True, eq=False)
class SystemOutputs:
    """What system calls return to the block, of those that return some bytes; all arrays (n,).

    Attributes:
        frame: id of the frame in whose memory it lies.
        time: when its first 32 bytes are read.
        offset: first byte there.
        size: bytes.
        place: of the first one in the trace's data.
    """

    frame: Integers
    time: Integers
    offset: Integers
    size: Integers
    place: Integers

    @classmethod
    def of(cls, execution: Execution) -> SystemOutputs:
        """Of an execution."""
        size = execution.system_outputs
        some = np.flatnonzero(size)
        frame = execution.system_frames[some]
        place = execution.trace.system_calls.output_start[execution.system_calls[some]].astype(np.int64)
        return cls(frame, execution.answer_time[some], execution.frame_return_start[frame - 1], size[some], place)


@dataclass(frozen=True, eq=False)
class ReturnData:
    """Return data as steps find it, all (n,): in whose memory (0: none), first byte, bytes, place in the data."""

    source: Integers
    start: Integers
    size: Integers
    place: Integers


def return_data(execution: Execution, frame: Integers, step: Integers) -> ReturnData:
    """The return data of frames (n,) at steps (n,): what the last frame returned that the frame called before them.

    None if no call or creation came before, if the last one opened no frame, and behind a successful creation.
    """
    data = FrameData.of(execution)
    calls = np.flatnonzero(np.isin(execution.opcode, OPENERS) & ~execution.failed)
    # Calls by frame and step; the last one before (frame, step).
    steps = len(execution.step) + 1
    keys = execution.frame[calls] * steps + calls
    order = np.argsort(keys)
    calls, keys = calls[order], keys[order]
    before = np.searchsorted(keys, frame * steps + step) - 1
    there = before >= 0
    there[there] = execution.frame[calls[before[there]]] == frame[there]
    source = np.zeros(len(step), dtype=np.int64)
    source[there] = execution.opened[calls[before[there]]]
    row = np.maximum(source - 1, 0)
    start, size, place = (
        np.where(source == 0, 0, values[row] if len(values) else 0)
        for values in (execution.frame_return_start, execution.frame_return_size, data.return_place)
    )
    return ReturnData(source, start, size, place)


@dataclass(frozen=True, eq=False)
class FrameStates:
    """The tokens of the frame_state bus, in the order of frames and times.

    Attributes:
        step: (n,) steps that take a token, ascending within a frame.
        before: (n,) time of the token that each of them takes.
        last: (frames,) time of the last token of each frame.
    """

    step: Integers
    before: Integers
    last: Integers

    @classmethod
    def of(cls, execution: Execution) -> FrameStates:
        """Of an execution; made once."""
        execution = execution.joint
        found = _states.get(execution)
        if found is None:
            found = _states[execution] = cls._make(execution)
        return found

    @classmethod
    def _make(cls, execution: Execution) -> FrameStates:
        takes = np.isin(execution.opcode, _TAKERS) & np.isin(execution.route, (PLAIN, RETURN_DATA_BOUNDS))
        takes &= ~(execution.failed & np.isin(execution.opcode, OPENERS))
        step = np.flatnonzero(takes)
        step = step[np.argsort(execution.frame[step], kind="stable")]
        frame, time = execution.frame[step], execution.time[step]
        first = execution.frame_begin_time  # the frame sends the first token
        before = first[frame - 1] if len(step) else np.zeros(0, dtype=np.int64)
        follows = np.flatnonzero(frame[1:] == frame[:-1]) + 1
        before[follows] = time[follows - 1]
        last = first.copy()
        last[frame - 1] = time  # ascending: the last one stays
        return cls(step, before, last)

    def time_before(self, steps: Integers) -> Integers:
        """Times (n,) of the tokens that these steps take."""
        order = np.argsort(self.step)
        return self.before[order[np.searchsorted(self.step, steps, sorter=order)]]


_states: WeakKeyDictionary[Execution, FrameStates] = WeakKeyDictionary()
