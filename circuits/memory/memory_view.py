"""What a segment does to memory, as its tables see it: requests of up to 32 bytes, and accesses to single words.

Built with numpy from the trace's memory table, which has one row per access of an instruction, of any size, and knows
only the bytes accessed. Here it is cut into requests, and the words around the bytes are reconstructed.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.batch.execution import MAX_AGE, PLAIN, Execution, Integers, ranges
from circuits.limbs import Limbs
from circuits.widths import WORD, WORD_BYTES
from executor.opcodes import MEMORY_OPERANDS, OPCODES

#: Bytes of a memory word.

MLOAD, MSTORE, MSTORE8 = (OPCODES[name] for name in ("MLOAD", "MSTORE", "MSTORE8"))

#: Instructions that end the frame: what they give out is not proved byte by byte, so they request nothing.
_SILENT = (OPCODES["RETURN"], OPCODES["REVERT"])
#: Instructions that access memory at their own time; all others access word k at a time of its own behind it.
_SINGLE = (MLOAD, MSTORE, MSTORE8)

#: Offsets below this, a limb, are those of load_aligned and store_aligned.
_ALIGNED_LIMIT = 1 << 16
#: They also compare the size of the memory with the word by one limb.
_ALIGNED_WORDS = 1 << 16


@dataclass(frozen=True, eq=False)
class Requests:
    """Accesses of at most 32 bytes, in the order of time; all arrays of shape (n,) but `word`.

    Attributes:
        step: of the segment.
        frame, time: id of the frame, time of the access.
        is_write: bool.
        offset, size: first byte, and bytes.
        word: (n, 16) the bytes from the most significant on, zeros behind.
        first, second: rows in `Accesses` of the word with the first byte and of the next one, -1 if not accessed.
        direct: bool: load_aligned or store_aligned makes the access itself.
    """

    step: Integers
    frame: Integers
    time: Integers
    is_write: NDArray[np.bool_]
    offset: Integers
    size: Integers
    word: Limbs
    first: Integers
    second: Integers
    direct: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Accesses:
    """Accesses to single words, sorted by frame, index and time; all arrays of shape (n,) but the words.

    Attributes:
        frame, index, time: which word, and when.
        is_write: bool.
        before, after: (n, 16) the whole word, equal for reads.
        then: time of the token that is received; of a first access, that of the first token.
        is_first: bool: nothing has accessed the word before.
        refreshed: bool: the token was too old and has been made younger, up to `then`.
        old: time of the token before it was made younger, `then` for others.
    """

    frame: Integers
    index: Integers
    time: Integers
    is_write: NDArray[np.bool_]
    before: Limbs
    after: Limbs
    then: Integers
    is_first: NDArray[np.bool_]
    refreshed: NDArray[np.bool_]
    old: Integers


class MemoryView:
    """All requests and word accesses of a segment."""

    def __init__(self, execution: Execution) -> None:
        step, is_write, offset, size, start = _instruction_accesses(execution)
        opcode = execution.opcode[step]
        single = np.isin(opcode, _SINGLE)
        words = -(-size // WORD_BYTES)
        # MCOPY reads everything before it writes.
        late = np.where((opcode == OPCODES["MCOPY"]) & is_write, words, 0)
        words[single] = 1
        base = execution.time[step] + np.where(single, 0, 1 + late)
        row = np.repeat(np.arange(len(step)), words)
        k = ranges(np.zeros(len(step), dtype=np.int64), words)
        step, is_write = step[row], is_write[row]
        time = base[row] + k
        start = start[row] + WORD_BYTES * k
        size = np.minimum(size[row] - WORD_BYTES * k, WORD_BYTES)
        offset = offset[row] + WORD_BYTES * k
        self._gather(execution, step, time, is_write, offset, size, start)

    @classmethod
    def of(cls, execution: Execution) -> MemoryView:
        """The view of an execution; made once."""
        view = _views.get(execution)
        if view is None:
            view = _views[execution] = cls(execution)
        return view

    def _gather(
        self,
        execution: Execution,
        step: Integers,
        time: Integers,
        is_write: NDArray[np.bool_],
        offset: Integers,
        size: Integers,
        start: Integers,
    ) -> None:
        data = execution.trace.data.byte
        frame = execution.frame[step]
        word = np.zeros((len(step), WORD), dtype=np.uint16)
        for b in range(WORD_BYTES):
            inside = b < size
            _put_byte(word, b, _bytes_at(data, start + b, inside))
        spills = np.flatnonzero(offset % WORD_BYTES + size > WORD_BYTES)
        request = np.concatenate([np.arange(len(step)), spills])
        index = np.concatenate([offset // WORD_BYTES, offset[spills] // WORD_BYTES + 1])
        order = np.lexsort((time[request], index, frame[request]))
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        second = np.full(len(step), -1, dtype=np.int64)
        second[spills] = place[len(step) :]
        request, index = request[order], index[order]
        self.requests = Requests(
            step, frame, time, is_write, offset, size, word, place[: len(step)], second,
            _is_direct(execution, step, offset),
        )  # fmt: skip
        self.accesses = _accesses(data, self.requests, request, index, start)


_views: WeakKeyDictionary[Execution, MemoryView] = WeakKeyDictionary()


def _instruction_accesses(
    execution: Execution,
) -> tuple[Integers, NDArray[np.bool_], Integers, Integers, Integers]:
    """Step of the segment, is_write, offset, size and place of the content in the data, by rows of the trace."""
    memory = execution.trace.memory
    steps = memory.step.astype(np.int64)
    if not len(execution.step):
        rows = np.zeros(0, dtype=np.int64)
        position = rows
    else:
        position = np.minimum(np.searchsorted(execution.step, steps), len(execution.step) - 1)
        moving = np.zeros(256, dtype=bool)
        moving[list(MEMORY_OPERANDS)] = True
        moving[list(_SILENT)] = False
        rows = np.flatnonzero(
            (execution.step[position] == steps) & moving[execution.opcode[position]] & ~execution.failed[position]
        )
        rows = rows[np.argsort(position[rows], kind="stable")]
    return (
        position[rows],
        memory.is_write[rows] == 1,
        memory.offset[rows].astype(np.int64),
        memory.size[rows].astype(np.int64),
        memory.after_start[rows].astype(np.int64),
    )


def _is_direct(execution: Execution, step: Integers, offset: Integers) -> NDArray[np.bool_]:
    """Whether load_aligned or store_aligned makes the access: the whole of a word near the beginning of the memory."""
    opcode = execution.opcode[step]
    direct: NDArray[np.bool_] = (
        np.isin(opcode, (MLOAD, MSTORE))
        & (execution.route[step] == PLAIN)
        & (offset % WORD_BYTES == 0)
        & (offset < _ALIGNED_LIMIT)
        & (execution.memory_words[step] - offset // WORD_BYTES <= _ALIGNED_WORDS)
    )
    return direct


def _accesses(
    data: NDArray[np.uint8], requests: Requests, request: Integers, index: Integers, start: Integers
) -> Accesses:
    """`request`, `index`: of each access, sorted by frame, index and time; `start`: of each request in the data."""
    frame, time = requests.frame[request], requests.time[request]
    is_write = requests.is_write[request]
    is_first = np.ones(len(request), dtype=bool)
    is_first[1:] = (frame[1:] != frame[:-1]) | (index[1:] != index[:-1])
    after = np.zeros((len(request), WORD), dtype=np.uint16)
    numbers = np.arange(len(request))
    begin = WORD_BYTES * index - requests.offset[request]
    size, start = requests.size[request], start[request]
    for b in range(WORD_BYTES):
        place = begin + b
        written = is_write & (place >= 0) & (place < size)
        # A byte is what was written last, or the zero that stood there at first.
        source = np.maximum.accumulate(np.where(written | is_first, numbers, 0))
        _put_byte(after, b, _bytes_at(data, start + place, written)[source])
    before = np.zeros_like(after)
    before[1:] = after[:-1]
    before[is_first] = 0
    old = np.empty_like(time)
    old[1:] = time[:-1]
    old[is_first] = time[is_first] - 1
    refreshed = time - old > MAX_AGE
    then = np.where(refreshed, time - 1, old)
    return Accesses(frame, index, time, is_write, before, after, then, is_first, refreshed, old)


def _bytes_at(data: NDArray[np.uint8], places: Integers, wanted: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """The bytes at these places (n,), 0 where they are not wanted."""
    result = np.zeros(len(places), dtype=np.uint16)
    result[wanted] = data[places[wanted]]
    return result


def _put_byte(words: Limbs, number: int, values: NDArray[np.uint16]) -> None:
    """Set a byte, counted from the most significant one, of words (n, 16) in which it is 0."""
    words[:, WORD - 1 - number // 2] |= values << (0 if number % 2 else 8)
