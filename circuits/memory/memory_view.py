"""What a segment does to memory, as its tables see it: requests of up to 32 bytes, and accesses to single words.

Built with numpy from moves, ranges of bytes that something reads or writes, which `MOVES` lists by who makes them. Here
they are cut into requests, and the words around the bytes are reconstructed: a byte is what was written last.

A run may have tens of millions of accesses. What is kept of all of them (`History`) takes some sixty bytes for each;
what tables are filled from is put together for the part of the run that they are of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.batch.blake2f_calls import SUCCEEDS, Blake2fCalls
from circuits.batch.execution import (
    FRAME_BEGIN,
    MAX_AGE,
    OPENING,
    PLAIN,
    Execution,
    Integers,
    ranges,
    small_integers,
    words_of,
)
from circuits.batch.field_calls import FieldCalls
from circuits.batch.frame_data import (
    CALLDATA_MEMORY,
    CalldataReads,
    FrameData,
    SystemOutputs,
    return_data,
    steps_with_calldata,
)
from circuits.batch.modexp_plan import NUMBERS_START
from circuits.batch.precompiles import BLAKE2F_OUTPUT, BLAKE2F_READS, HASHES, IDENTITY, field_taken
from circuits.limbs import Limbs
from circuits.programs.program import READ, WRITE_DELAY, WRITTEN
from circuits.widths import WORD, WORD_BYTES
from executor.opcodes import CALLS, OPCODES, OPERANDS
from executor.trace import Outcome

MLOAD, MSTORE, MSTORE8 = (OPCODES[name] for name in ("MLOAD", "MSTORE", "MSTORE8"))
_CALLDATALOAD, _CALLDATACOPY, _MCOPY = (OPCODES[name] for name in ("CALLDATALOAD", "CALLDATACOPY", "MCOPY"))
_RETURNDATACOPY, _CREATE2 = OPCODES["RETURNDATACOPY"], OPCODES["CREATE2"]

#: Instructions that access the memory of their own frame as the trace says: CALLDATACOPY unless its source is memory.
_OWN = (
    *(
        OPCODES[name]
        for name in ("KECCAK256", "CALLDATACOPY", "CODECOPY", "EXTCODECOPY", "MLOAD", "MSTORE", "MSTORE8", "MCOPY")
    ),
    *(OPCODES[f"LOG{topics}"] for topics in range(5)),
)
#: They access memory at their own time; all others access word k at a time of its own behind it.
_SINGLE = (MLOAD, MSTORE, MSTORE8)

#: Offsets below this, a limb, are those of load_aligned and store_aligned.
_ALIGNED_LIMIT = 1 << 16
#: They also compare the size of the memory with the word by one limb.
_ALIGNED_WORDS = 1 << 16

#: Accesses whose words are found at once.
_BLOCK = 1 << 20

#: The place of zeros that stand nowhere in the data: wherever one looks from there is before its beginning.
ZEROS = -(1 << 40)


@dataclass(frozen=True, eq=False)
class Moves:
    """Ranges of bytes that are accessed, 32 bytes from the first one on with each unit of time; all arrays (n,).

    Attributes:
        step: of the segment, in which the access is made; -1 for a precompile's.
        frame: id of the frame whose memory it is.
        time: of the access to the first 32 bytes.
        is_write: bool.
        offset, size: first byte, and bytes, at least 1.
        place: of the bytes in the trace's data: what is read or written; or ZEROS.
        begin: zeros stand in the place of the data before this place.
    """

    step: Integers
    frame: Integers
    time: Integers
    is_write: NDArray[np.bool_]
    offset: Integers
    size: Integers
    place: Integers
    begin: Integers

    @classmethod
    def make(
        cls, step: Any, frame: Any, time: Any, is_write: bool, offset: Any, size: Any, place: Any, begin: Any = ZEROS
    ) -> Moves:
        """Of arrays (n,) or numbers, without those of no bytes."""
        arrays = np.broadcast_arrays(step, frame, time, is_write, offset, size, place, begin)
        some = arrays[5] > 0
        step, frame, time, _, offset, size, place, begin = (x[some].astype(np.int64) for x in arrays)
        return cls(step, frame, time, np.full(len(step), is_write), offset, size, place, begin)

    @classmethod
    def join(cls, parts: Sequence[Moves]) -> Moves:
        """All moves of the parts."""
        return cls(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls)))


@dataclass(frozen=True, eq=False)
class Requests:
    """Accesses of at most 32 bytes, in the order of time; all arrays of shape (n,) but `word`.

    Attributes:
        step: of the segment.
        frame, time: id of the frame, time of the access.
        is_write: bool.
        offset, size: first byte, and bytes.
        word: (n, 16) the bytes from the most significant on, zeros behind.
        first, second: numbers of the accesses to the word with the first byte and to the next one, -1 for none.
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
    """Accesses to single words; all arrays of shape (n,) but the words.

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


class History:
    """All accesses of a run to its memory: numbered by frame, index and time. Requests are in the order of time.

    Attributes (n accesses, m requests):
        time: (m,) int32, ascending: of the request.
        first, second: (m,) int32, the numbers of its accesses, the second -1 for none.
        request: (n,) int32, of each access.
        index: (n,) int32, which word.
        is_first: (n,) bool: nothing has accessed the word before.
        after: (n, 16) the whole word behind the access.
    """

    def __init__(self, execution: Execution) -> None:
        self._data = execution.trace.data.byte
        self._moves = moves = Moves.join([made(execution) for made in MOVES])
        single = np.isin(_opcode(execution, moves.step), _SINGLE)
        words = np.where(single, 1, words_of(moves.size))
        move = np.repeat(np.arange(len(words), dtype=np.int32), words)
        k = ranges(np.zeros(len(words), dtype=np.int64), words)
        time = moves.time[move] + k
        order = np.argsort(time, kind="stable")
        self.time = time[order].astype(np.int32)  # times are below 2^30
        self._move, self._k = move[order], k[order].astype(np.int32)
        del move, k, time, order
        self._find_accesses()
        self._find_words()

    def _find_accesses(self) -> None:
        offset, size = self.bytes_of(slice(None))
        spills = offset % WORD_BYTES + size > WORD_BYTES
        counts = 1 + spills.astype(np.int64)
        begin = np.cumsum(counts) - counts
        request = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        index = (offset // WORD_BYTES)[request]
        index[begin[spills] + 1] += 1
        del offset, size
        # In the order of time now, which a stable sort keeps.
        word = self._moves.frame[self._move[request]] << 32 | index
        order = np.argsort(word, kind="stable")
        word = word[order]
        self.is_first = np.ones(len(order), dtype=bool)
        self.is_first[1:] = word[1:] != word[:-1]
        del word
        self.request, self.index = request[order], index[order].astype(np.int32)
        number = np.empty(len(order), dtype=np.int32)
        number[order] = np.arange(len(order), dtype=np.int32)
        self.first = number[begin]
        self.second = np.full(len(begin), -1, dtype=np.int32)
        self.second[spills] = number[begin[spills] + 1]

    def _find_words(self) -> None:
        """What is in each word, block by block."""
        self.after = np.zeros((len(self.request), WORD), dtype=np.uint16)
        for begin in range(0, len(self.request), _BLOCK):
            block = slice(begin, min(begin + _BLOCK, len(self.request)))
            request, is_first = self.request[block], self.is_first[block]
            offset, size = self.bytes_of(request)
            start, zeros_until = self._places(request)
            is_write = self._moves.is_write[self._move[request]]
            within = WORD_BYTES * self.index[block].astype(np.int64) - offset
            numbers = np.arange(1, len(request) + 1)
            before = np.zeros(WORD, dtype=np.uint16) if is_first[0] else self.after[begin - 1]
            for b in range(WORD_BYTES):
                place = within + b
                written = is_write & (place >= 0) & (place < size)
                # A byte is what was written last, or the zero that stood there at first.
                source = np.maximum.accumulate(np.where(written | is_first, numbers, 0))
                found = _bytes_at(self._data, start + place, written, zeros_until)
                _put_byte(self.after[block], b, np.append(_byte_of(before, b), found)[source])

    def bytes_of(self, requests: Any) -> tuple[Integers, Integers]:
        """The first byte, and how many, of these requests."""
        move, done = self._move[requests], WORD_BYTES * self._k[requests].astype(np.int64)
        return self._moves.offset[move] + done, np.minimum(self._moves.size[move] - done, WORD_BYTES)

    def _places(self, requests: Any) -> tuple[Integers, Integers]:
        """Where the bytes of these requests stand in the data, and before which place zeros stand there."""
        move = self._move[requests]
        start = self._moves.place[move] + WORD_BYTES * self._k[requests].astype(np.int64)
        return start, np.maximum(self._moves.begin[move], 0)

    def _content(self, requests: Any) -> Limbs:
        """The bytes of these requests as words (n, 16), zeros behind them."""
        (_, size), (start, begin) = self.bytes_of(requests), self._places(requests)
        word = np.zeros((len(size), WORD), dtype=np.uint16)
        for b in range(WORD_BYTES):
            _put_byte(word, b, _bytes_at(self._data, start + b, b < size, begin))
        return word

    def requests(self, execution: Execution, within: slice) -> Requests:
        """Some that follow each other, of this execution."""
        moves, move = self._moves, self._move[within]
        offset, size = self.bytes_of(within)
        step, word = moves.step[move], self._content(within)
        first, second = (numbers[within].astype(np.int64) for numbers in (self.first, self.second))
        frame, time, is_direct = (
            moves.frame[move],
            self.time[within].astype(np.int64),
            _is_direct(execution, step, offset),
        )
        return Requests(step, frame, time, moves.is_write[move], offset, size, word, first, second, is_direct)

    def frame(self, accesses: Integers) -> Integers:
        """Ids of the frames of accesses (n,)."""
        return self._moves.frame[self._move[self.request[accesses]]]

    def time_of(self, accesses: Integers) -> Integers:
        """Their times (n,)."""
        return self.time[self.request[accesses]].astype(np.int64)

    def accesses(self, numbers: Integers) -> Accesses:
        """Those with these numbers (n,)."""
        time, is_first = self.time_of(numbers), self.is_first[numbers]
        before = np.where(is_first, 0, numbers - 1)
        old = np.where(is_first, time - 1, self.time_of(before))
        refreshed = time - old > MAX_AGE
        word = self.after[before]
        word[is_first] = 0
        return Accesses(
            self.frame(numbers), self.index[numbers].astype(np.int64), time,
            self._moves.is_write[self._move[self.request[numbers]]], word, self.after[numbers],
            np.where(refreshed, time - 1, old), is_first, refreshed, old,
        )  # fmt: skip

    def written(self, time: Integers, offset: Integers) -> Limbs:
        """What the writes at these times and offsets (n,) write: words (n, 16), zeros where there are none."""
        words = np.zeros((len(time), WORD), dtype=np.uint16)
        first, end = (np.searchsorted(self.time, time.astype(np.int32), side=side) for side in ("left", "right"))
        for k in range(int((end - first).max(initial=0))):  # few are made at the same time
            here = np.flatnonzero(first + k < end)
            request = first[here] + k
            found = self._moves.is_write[self._move[request]] & (self.bytes_of(request)[0] == offset[here])
            words[here[found]] = self._content(request[found])
        return words

    @classmethod
    def of(cls, execution: Execution) -> History:
        """That of the run of which this is a part; made once."""
        execution = execution.joint
        history = _histories.get(execution)
        if history is None:
            history = _histories[execution] = cls(execution)
        return history


class MemoryView:
    """Requests and word accesses of an execution, which may be part of a run.

    Attributes:
        requests: in the order of time.
        numbers: (n,) those of their accesses, ascending, by which `History` knows them.
    """

    def __init__(self, execution: Execution) -> None:
        self._history = history = History.of(execution)
        latest = np.iinfo(np.int32).max
        begin, end = execution.window or (0, latest)
        times = np.array([begin, min(end, latest)], dtype=np.int32)
        within = slice(*np.searchsorted(history.time, times).tolist())
        self.requests = requests = history.requests(execution, within)
        self.numbers = np.sort(np.concatenate([requests.first, requests.second[requests.second >= 0]]))

    @cached_property
    def accesses(self) -> Accesses:
        """All, by frame, index and time."""
        return self._history.accesses(self.numbers)

    def at(self, numbers: Integers) -> Accesses:
        """The accesses with these numbers (n,), as `Requests` have them."""
        return self._history.accesses(numbers)

    @classmethod
    def of(cls, execution: Execution) -> MemoryView:
        """The view of an execution. Only the last one is kept: all parts of a run are there at once, and are filled one
        after the other.
        """
        view = _views.get(execution)
        if view is None:
            _views.clear()
            view = _views[execution] = cls(execution)
        return view


_histories: WeakKeyDictionary[Execution, History] = WeakKeyDictionary()
_views: WeakKeyDictionary[Execution, MemoryView] = WeakKeyDictionary()


def _own_accesses(execution: Execution) -> Moves:
    """Accesses of instructions to the memory of their own frame, as the trace has them."""
    memory = execution.trace.memory
    steps = memory.step.astype(np.int64)
    rows = np.zeros(0, dtype=np.int64)
    position = rows
    if len(execution.step):
        position = np.minimum(np.searchsorted(execution.step, steps), len(execution.step) - 1)
        rows = np.flatnonzero(
            (execution.step[position] == steps)
            & np.isin(execution.opcode[position], _OWN)
            & ~execution.failed[position]
        )
        in_memory = FrameData.of(execution).calldata_kind[execution.frame[position[rows]] - 1] == CALLDATA_MEMORY
        rows = rows[(execution.opcode[position[rows]] != _CALLDATACOPY) | ~in_memory]
    step, size, is_write = position[rows], memory.size[rows].astype(np.int64), memory.is_write[rows] == 1
    opcode = execution.opcode[step]
    # MCOPY reads everything before it writes.
    late = np.where((opcode == _MCOPY) & is_write, -(-size // WORD_BYTES), 0)
    time = execution.time[step] + np.where(np.isin(opcode, _SINGLE), 0, 1 + late)
    offset, place = memory.offset[rows].astype(np.int64), memory.after_start[rows].astype(np.int64)
    return Moves(step, execution.frame[step], time, is_write, offset, size, place, np.full_like(place, ZEROS))


def _succeeding(execution: Execution, opcode: int) -> Integers:
    return execution.rows(opcode, failed=False)


def _loaded_calldata(execution: Execution) -> Moves:
    """What CALLDATALOAD reads in the memory of the frame that called."""
    steps = steps_with_calldata(execution, CALLDATA_MEMORY, _succeeding(execution, _CALLDATALOAD))
    reads = CalldataReads.of(execution, steps, 0, np.full(len(steps), WORD_BYTES))
    return Moves.make(steps, reads.id, execution.time[steps], False, reads.start + reads.at, reads.bytes, reads.place)


def _copied_calldata(execution: Execution) -> Moves:
    """What CALLDATACOPY reads in the memory of the frame that called and writes to its own, and the zeros behind.

    The zeros are written one unit of time earlier: so no word is written twice at a time, see `calldatacopy_memory`.
    """
    steps = steps_with_calldata(execution, CALLDATA_MEMORY, _succeeding(execution, _CALLDATACOPY))
    size = small_integers(execution.operand(steps, 2))
    reads = CalldataReads.of(execution, steps, 1, size)
    frame, time = execution.frame[steps], execution.time[steps]
    to = small_integers(execution.operand(steps, 0))
    copied = copy_moves(
        steps, reads.id, time + 1, reads.start + reads.at, frame, time + 1, to, reads.bytes, reads.place
    )
    zeros = Moves.make(steps, frame, time, True, to + reads.bytes, size - reads.bytes, ZEROS)
    return Moves.join([copied, zeros])


def _copied_return_data(execution: Execution) -> Moves:
    """What RETURNDATACOPY reads in the memory of the frame that returned it and writes to its own."""
    steps = _succeeding(execution, _RETURNDATACOPY)
    frame, time = execution.frame[steps], execution.time[steps]
    found = return_data(execution, frame, steps)
    to, start, size = (small_integers(execution.operand(steps, operand)) for operand in range(3))
    return copy_moves(
        steps, found.source, time + 1, found.start + start, frame, time + 1, to, size, found.place + start
    )


def copy_moves(
    step: Any,
    source: Any,
    read_time: Any,
    start: Any,
    frame: Any,
    write_time: Any,
    to: Any,
    size: Any,
    place: Any,
) -> Moves:
    """Moves of copies from one memory to another, as rows of the table `copy` make them; all arrays (n,).

    Args:
        step: of the segment, in which the copy is made.
        source, read_time, start: frame whose memory is read, when the first 32 bytes are, and the first byte.
        frame, write_time, to: frame whose memory is written, when the first 32 bytes are, and the first byte.
        size: bytes; copies of no bytes are left out.
        place: of the bytes in the trace's data.
    """
    read = Moves.make(step, source, read_time, False, start, size, place)
    return Moves.join([read, Moves.make(step, frame, write_time, True, to, size, place)])


def _copied_outputs(execution: Execution) -> Moves:
    """What calls copy of what their frames returned."""
    child = np.flatnonzero(execution.frame_copied)
    steps, data = execution.frame_opener[child], FrameData.of(execution)
    to = np.zeros(len(child), dtype=np.int64)
    for opcode in CALLS:
        here = np.flatnonzero(execution.opcode[steps] == opcode)
        if len(here):
            to[here] = small_integers(execution.operand(steps[here], int(OPERANDS[opcode]) - 2))
    time = execution.frame_end_time[child] + 1
    return copy_moves(
        steps, child + 1, time, execution.frame_return_start[child], execution.frame_parent[child], time, to,
        execution.frame_copied[child], data.return_place[child],
    )  # fmt: skip


def _precompiles(execution: Execution) -> Moves:
    """Precompiles copy their input to their own memory; a hash is read there, and written behind it."""
    frames = np.flatnonzero(np.isin(execution.frame_precompile, HASHES) & execution.frame_success)
    data, frame, time = FrameData.of(execution), frames + 1, execution.frame_begin_time[frames] + FRAME_BEGIN
    size, place = data.calldata_size[frames], data.calldata_place[frames]
    in_memory = data.calldata_kind[frames] == CALLDATA_MEMORY
    source, start = data.calldata_id[frames], data.calldata_start[frames]
    hashes = execution.frame_precompile[frames] != IDENTITY
    words = words_of(size)
    output = execution.frame_return_start[frames]
    return Moves.join(
        [
            Moves.make(-1, source, time, False, start, size * in_memory, place),
            Moves.make(-1, frame, time, True, 0, size, place),
            Moves.make(-1, frame, time + words, False, 0, size * hashes, place),
            Moves.make(-1, frame, time + 2 * words, True, output, WORD_BYTES * hashes, data.return_place[frames]),
        ]
    )


def _modexp(execution: Execution) -> Moves:
    """MODEXP copies and reads its lengths and the head of its exponent, whether it is paid or not, then its numbers."""
    data = FrameData.of(execution)
    # Frame, time, whether it is a write, offset, size, place and begin.
    found: list[tuple[int, int, bool, int, int, int, int]] = []
    for row, plan in execution.modexp_plans.items():
        time = int(execution.frame_begin_time[row]) + FRAME_BEGIN
        place, in_memory = int(data.calldata_place[row]), bool(data.calldata_kind[row] == CALLDATA_MEMORY)
        source, start = int(data.calldata_id[row]), int(data.calldata_start[row])
        for copy in plan.copies:
            own, when = place + copy.start, time + copy.time
            found.append((source, when, False, start + copy.start, copy.size * in_memory, own, ZEROS))
            found.append((row + 1, when, True, copy.to, copy.size, own, ZEROS))
        # Whole words are read as they stand in the memory: what was written there says what they are.
        for read in plan.reads:
            found.append((row + 1, time + read.time, False, read.to, WORD_BYTES * read.words, ZEROS, ZEROS))
        if plan.runs:
            output, size = int(data.return_place[row]), WORD_BYTES * plan.words[2]
            place = output - size + plan.output[1]
            found.append((row + 1, time + plan.output_time, True, NUMBERS_START, size, place, output))
    frames, times, is_write, *rest = np.array(found, dtype=np.int64).reshape(-1, 7).T
    return Moves.join(
        [
            Moves.make(-1, frames[chosen], times[chosen], writes, *(x[chosen] for x in rest))
            for writes in (False, True)
            for chosen in [np.flatnonzero(is_write == writes)]
        ]
    )


def _programs(execution: Execution) -> Moves:
    """Precompiles that programs answer copy their input, too; instances read its words, and write what is returned."""
    calls, data = FieldCalls.of(execution), FrameData.of(execution)
    here = np.flatnonzero(calls.runs)
    frame, time = calls.frame[here], calls.time[here]
    size = field_taken(calls.number[here], calls.size[here])
    place = data.calldata_place[frame - 1]
    in_memory = calls.kind[here] == CALLDATA_MEMORY
    copied = copy_moves(-1, calls.source[here], time, calls.start[here], frame, time, 0, size * in_memory, place)
    buffered = Moves.make(-1, frame, time, True, 0, size * ~in_memory, place)
    requests = calls.machine.requests
    words = [(k, w) for k, r in enumerate(requests) for w in r.program.words if w.place in (READ, WRITTEN)]
    instance = np.array([k for k, _ in words], dtype=np.int64)
    position = np.array([w.position for _, w in words], dtype=np.int64)
    writes = np.array([w.place == WRITTEN for _, w in words], dtype=bool)
    of = np.array([(r.frame, r.time, r.input, r.output) for r in requests], dtype=np.int64).reshape(-1, 4)[instance]
    first = np.where(writes, of[:, 3], of[:, 2])
    offset = first + WORD_BYTES * position
    when = of[:, 1] + position + WRITE_DELAY * writes
    row = of[:, 0] - 1
    bytes_ = np.full(len(words), WORD_BYTES)
    # Whole words are read as they stand in the memory: what was written there says what they are.
    reads = Moves.make(-1, of[:, 0], when, False, offset, bytes_ * ~writes, ZEROS)
    returned = data.return_place[row] + WORD_BYTES * position
    return Moves.join(
        [copied, buffered, reads, Moves.make(-1, of[:, 0], when, True, offset, bytes_ * writes, returned)]
    )


def _blake2f(execution: Execution) -> Moves:
    """BLAKE2F reads its input, or what of it is wrong, where it lies, and writes to its own memory."""
    calls = Blake2fCalls.of(execution)
    start, size = calls.read
    place = FrameData.of(execution).return_place[calls.frame - 1]
    read = Moves.make(
        -1, calls.source, calls.time, False, calls.start + start, size * calls.in_memory, calls.place + start
    )
    written = BLAKE2F_OUTPUT * (calls.ending == SUCCEEDS)
    return Moves.join([read, Moves.make(-1, calls.frame, calls.time + BLAKE2F_READS, True, 0, written, place)])


def only_access(execution: Execution, steps: Integers) -> Integers:
    """Where the bytes lie (n,) that steps read which make one access, if they read any.

    Accesses are in the order of time, not of steps: a call writes its output after the steps of the frame it opened.
    """
    memory = execution.trace.memory
    if not len(memory.step):
        return np.zeros(len(steps), dtype=np.int64)
    order = np.argsort(memory.step, kind="stable")
    found = np.searchsorted(memory.step[order], execution.step[steps])
    return memory.after_start[order[np.minimum(found, len(order) - 1)]].astype(np.int64)


def _initcodes(execution: Execution) -> Moves:
    """Initcodes: those of CREATE2 are compared with known codes, those of CREATE are read to be run."""
    steps = np.flatnonzero(execution.counts_nonce)
    offset, size = (small_integers(execution.operand(steps, operand)) for operand in (1, 2))
    frame, time = execution.frame[steps], execution.time[steps] + OPENING
    place = only_access(execution, steps)
    read = (execution.opcode[steps] == _CREATE2) | (execution.opened[steps] > 0)
    return Moves.make(steps, frame, time, False, offset, size * read, place)


def _deposits(execution: Execution) -> Moves:
    """What creations return: codes, read to be hashed, and the first byte of those that begin with a reserved one."""
    steps = execution.deposits
    offset, size = (small_integers(execution.operand(steps, operand)) for operand in range(2))
    outcomes = execution.trace.frames.outcome[execution.frame_row(execution.frame[steps])]
    reserved = outcomes == Outcome.RESERVED_CODE
    size = np.where(outcomes == Outcome.SUCCESS, size, reserved & (size <= execution.fork.max_code_bytes))
    place = only_access(execution, steps)
    return Moves.make(steps, execution.frame[steps], execution.time[steps] + 1, False, offset, size, place)


def _system_outputs(execution: Execution) -> Moves:
    """What system calls return to the block, which is hashed."""
    read = SystemOutputs.of(execution)
    return Moves.make(-1, read.frame, read.time, False, read.offset, read.size, read.place)


#: Who accesses memory: functions of an execution.
MOVES: tuple[Callable[[Execution], Moves], ...] = (
    _own_accesses,
    _loaded_calldata,
    _copied_calldata,
    _copied_return_data,
    _copied_outputs,
    _precompiles,
    _modexp,
    _programs,
    _blake2f,
    _initcodes,
    _deposits,
    _system_outputs,
)


def _opcode(execution: Execution, steps: Integers) -> Integers:
    """Opcodes (n,) of steps, 0 for the step -1 that is none."""
    return np.append(execution.opcode, 0)[steps]


def _is_direct(execution: Execution, step: Integers, offset: Integers) -> NDArray[np.bool_]:
    """Whether load_aligned or store_aligned makes the access: the whole of a word near the beginning of the memory."""
    direct: NDArray[np.bool_] = np.isin(_opcode(execution, step), (MLOAD, MSTORE))
    direct &= (offset % WORD_BYTES == 0) & (offset < _ALIGNED_LIMIT)
    here = np.flatnonzero(direct)
    at = step[here]
    near = execution.memory_words[at] - offset[here] // WORD_BYTES <= _ALIGNED_WORDS
    direct[here] = near & (execution.route[at] == PLAIN)
    return direct


def _bytes_at(
    data: NDArray[np.uint8], places: Integers, wanted: NDArray[np.bool_], begin: Integers
) -> NDArray[np.uint16]:
    """The bytes at these places (n,), 0 where they are not wanted, and before `begin` (n,), which is not negative."""
    result = np.zeros(len(places), dtype=np.uint16)
    wanted = wanted & (places >= begin)
    result[wanted] = data[places[wanted]]
    return result


def _byte_of(word: Limbs, number: int) -> NDArray[np.uint16]:
    """A byte, counted from the most significant one, of a word (16,)."""
    found: NDArray[np.uint16] = word[WORD - 1 - number // 2] >> (0 if number % 2 else 8) & 0xFF
    return found


def _put_byte(words: Limbs, number: int, values: NDArray[np.uint16]) -> None:
    """Set a byte, counted from the most significant one, of words (n, 16) in which it is 0."""
    words[:, WORD - 1 - number // 2] |= values << (0 if number % 2 else 8)
