"""The calls of BLAKE2F in a segment: what they take of their input, and how they end.

Source: EIP-152; execution-specs `cancun/vm/precompiled_contracts/blake2f.py`. The input is the number of rounds (4
bytes, big-endian), a state of 8 words, a message of 16 and an offset of 2 (64 bits each, little-endian), and a byte: 1
for the last block of what is hashed, 0 for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.batch.execution import FRAME_BEGIN, Execution, Integers
from circuits.batch.frame_data import CALLDATA_MEMORY, FrameData
from circuits.batch.precompiles import BLAKE2F, BLAKE2F_SIZE
from circuits.functions.blake2f import Words64, compressed, first_vectors, run

#: How a call ends: it returns something, or fails for this reason. Where there are two, the first one is given.
SUCCEEDS, WRONG_LENGTH, WRONG_FLAG, UNPAID = range(4)

#: First bytes of the parts of an input.
STATE_START, MESSAGE_START, OFFSET_START, FLAG_START = 4, 68, 196, 212


@dataclass(frozen=True, eq=False)
class Blake2fCalls:
    """Calls of BLAKE2F, n of them; all arrays are (n,).

    Attributes:
        data: their inputs.
        frame: ids of their frames.
        in_memory, source, start, size: where the input lies: 1: in the memory of another frame, 0: in a buffer; which
            one, first byte, bytes.
        gas: given without the reserve.
        time: of the message to the precompile.
        place: of the input in the trace's data.
    """

    data: Sequence[bytes]
    frame: Integers
    in_memory: Integers
    source: Integers
    start: Integers
    size: Integers
    gas: Integers
    time: Integers
    place: Integers

    @classmethod
    def of(cls, execution: Execution) -> Blake2fCalls:
        """Of an execution; made once."""
        found = _calls.get(execution)
        if found is None:
            trace, calldata = execution.trace, FrameData.of(execution)
            at = np.flatnonzero(execution.frame_precompile == BLAKE2F)
            place, size = calldata.calldata_place[at], calldata.calldata_size[at]
            given = trace.frames.gas_given[execution.frames[at]] - execution.frame_reserve[at]
            found = _calls[execution] = cls(
                [trace.bytes_at(*of_call) for of_call in zip(place.tolist(), size.tolist(), strict=True)],
                frame=at + 1,
                in_memory=(calldata.calldata_kind[at] == CALLDATA_MEMORY).astype(np.int64),
                source=calldata.calldata_id[at],
                start=calldata.calldata_start[at],
                size=size,
                gas=given.astype(np.int64),
                time=execution.frame_begin_time[at] + FRAME_BEGIN,
                place=place,
            )
        return found

    @cached_property
    def rounds(self) -> Integers:
        """Rounds that each call asks for, below 2^32; 0 for an input of another length."""
        return np.array(
            [int.from_bytes(data[:STATE_START], "big") * (len(data) == BLAKE2F_SIZE) for data in self.data],
            dtype=np.int64,
        )

    @cached_property
    def ending(self) -> Integers:
        """SUCCEEDS, WRONG_LENGTH, WRONG_FLAG or UNPAID.

        A call with a wrong flag that also lacks gas fails for want of gas in the specification, which comes to the
        same; here it does for its flag, which can be proved of a frame with a reserve of gas as well.
        """
        wrong = np.array([data[FLAG_START:] not in (b"\0", b"\1") for data in self.data], dtype=bool)
        lacks = self.rounds > self.gas
        reasons = [self.size != BLAKE2F_SIZE, wrong, lacks]
        return np.select(reasons, [WRONG_LENGTH, WRONG_FLAG, UNPAID], SUCCEEDS).astype(np.int64)

    @cached_property
    def read(self) -> tuple[Integers, Integers]:
        """First byte and bytes of its input that each call reads."""
        ending = self.ending
        size = np.choose(ending, [BLAKE2F_SIZE, 0, BLAKE2F_SIZE - FLAG_START, STATE_START])
        return np.where(ending == WRONG_FLAG, FLAG_START, 0), size

    @cached_property
    def succeeding(self) -> Integers:
        """Those that succeed, (k,)."""
        return np.flatnonzero(self.ending == SUCCEEDS)

    @cached_property
    def inputs(self) -> NDArray[np.uint8]:
        """The inputs of those that succeed, (k, 213)."""
        return np.frombuffer(b"".join(self.data[row] for row in self.succeeding.tolist()), dtype=np.uint8).reshape(
            -1, BLAKE2F_SIZE
        )

    @cached_property
    def messages(self) -> Words64:
        """The messages of those that succeed, (k, 16)."""
        return self._words(MESSAGE_START, OFFSET_START)

    @cached_property
    def vectors(self) -> Words64:
        """The work vectors before the first round of those that succeed, (k, 16)."""
        last = self.inputs[:, FLAG_START]
        return first_vectors(self._words(STATE_START, MESSAGE_START), self._words(OFFSET_START, FLAG_START), last)

    @cached_property
    def worked(self) -> tuple[Words64, Words64]:
        """The work vectors of those that succeed: before each round (rounds, 16), and after the last one (k, 16)."""
        return run(self.vectors, self.messages, self.rounds[self.succeeding])

    @cached_property
    def output(self) -> Words64:
        """What those return that succeed, (k, 8)."""
        return compressed(self._words(STATE_START, MESSAGE_START), self.worked[1])

    def _words(self, start: int, end: int) -> Words64:
        """The words of 64 bits from byte `start` to byte `end` of the inputs of those that succeed."""
        return np.ascontiguousarray(self.inputs[:, start:end]).view("<u8").astype(np.uint64)


_calls: WeakKeyDictionary[Execution, Blake2fCalls] = WeakKeyDictionary()
