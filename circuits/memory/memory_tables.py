"""The memory bus: where tokens begin and end, how old ones are made younger; and requests for whole words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import TimeLimbs, TimeOrder
from circuits.air.layout import Layout, TraceView, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution, Integers
from circuits.component import Acting
from circuits.memory.buses import MEMORY, MEMORY_BYTES
from circuits.memory.memory_view import History, MemoryView
from circuits.widths import WORD, WORD_BYTES

_VERIFIER = "compared by the verifier"


class MemoryColumns(Layout):
    """One word of a frame's memory per row."""

    real = bit(
        "1 on words that are accessed", free="a word that nothing accesses may receive the zero that it sends itself"
    )
    listed = bit("1 up to the last word of this part", free="where no part goes on, any behind those accessed")
    frame = element("id of the frame", by="its constraints and the memory bus")
    index = element("which word of the frame's memory", by="counted from 0 within the frame")
    start = element(
        "time of the first token", by="the first access", free="any time before the first access, which says so"
    )
    word = limb("the word at the end", WORD, by="memory bus")
    last = element("time of the last token", by="memory bus")


class MemoryPublic(Layout):
    """Which words have their rows in this part of a run."""

    first_frame = element("frame of its first word", by=_VERIFIER)
    first_index = element("index of that word", by=_VERIFIER)
    asks = element("1: another part goes on, with the next word", by=_VERIFIER)
    next_frame = element("frame of that word; 0 where no part goes on", by=_VERIFIER)
    next_index = element("its index; 0 where no part goes on", by=_VERIFIER)


#: Public values of a segment that has all words: it begins with word 0 of frame 1, and no other goes on.
ALL_WORDS = (1, 0, 0, 0, 0)


class Memory(Table):
    """All words of memory from the first one to the last one that is accessed, frame after frame.

    Words in between that are not accessed take rows, too: each was paid for with 3 gas, and the order needs no range
    check for it. From row to row either the index steps by 1 within the frame, or the frame's id does and the index is
    0 again. So no two rows have the same frame and index: ids would have to run through the whole field. In a run of
    several segments each one begins with the word that the padding of the one before begins with, and behind that
    nothing is accessed: so over the run, too, words step from row to row, and there are fewer rows than the field has
    elements (`verifier.sizes`).

    Indices stay so small that 32 times an index does not wrap: the verifier knows that the first one is below 2^21,
    and the table is at most 2^21 high.
    """

    name = "memory"
    layout = MemoryColumns
    public = MemoryPublic

    def constraints(self, air: Air) -> None:
        row, following, public = air.row, air.next, air.public
        air.require(air.is_first * (row.frame - public.first_frame), "the first word: frame")
        air.require(air.is_first * (row.index - public.first_index), "the first word: index")
        # Padding rows continue with words that nothing accesses.
        steps = following.frame - row.frame
        air.require(air.is_transition * steps * (steps - 1), "the frame's id stays or steps by 1")
        air.require(
            air.is_transition * (following.index - (1 - steps) * (row.index + 1)),
            "the index steps by 1, and begins anew with a frame",
        )
        air.require(air.is_first * (1 - row.listed), "the first word is listed")
        air.require(air.is_last * row.listed * public.asks, "there is padding where a part goes on")
        air.require(air.is_transition * following.listed * (1 - row.listed), "padding is at the end")
        air.require(row.real * (1 - row.listed), "padding is not accessed")
        ends = air.is_transition * (row.listed - following.listed)
        air.require(ends * public.asks * (following.frame - public.next_frame), "the next word: frame")
        air.require(ends * public.asks * (following.index - public.next_index), "the next word: index")
        for value in (public.next_frame, public.next_index):
            air.require(air.is_first * (1 - public.asks) * value, "no part goes on")
        air.send(MEMORY, row.frame, row.index, [0] * WORD, row.start, count=row.real)
        air.receive(MEMORY, row.frame, row.index, row.word, row.last, count=row.real)


def fill_memory(execution: Execution) -> Matrix | None:
    """All words of the segment's frames that the table needs."""
    return next(fill_memory_parts(execution, []))


def fill_memory_parts(execution: Execution, cuts: Sequence[int]) -> Iterator[Matrix | None]:
    """All words of the frames of a run that the table needs, in the order of frames and indices through its parts.

    Args:
        execution: of the run.
        cuts: times, ascending, at which a part ends.
    """
    history = History.of(execution)
    firsts = np.flatnonzero(history.is_first)
    if not len(firsts):
        yield from [None] * (len(cuts) + 1)
        return
    lasts = np.append(firsts[1:], len(history.request)) - 1
    frame, index = history.frame(firsts), history.index[firsts].astype(np.int64)
    # Of frame 0, which there is not, and of all others up to the last one that accesses some.
    words = np.ones(int(frame[-1]) + 1, dtype=np.int64)
    np.maximum.at(words, frame, index + 1)
    begin = np.cumsum(words) - words
    # Behind them comes one of a further frame, which is padding.
    frames = np.repeat(np.arange(len(words) + 1), np.append(words, 1))
    indices = np.arange(len(frames)) - np.append(begin, len(frames) - 1)[frames]
    at = begin[frame] + index
    own_cuts = np.array(cuts, dtype=np.int64)
    begins, ends_in = (np.searchsorted(own_cuts, history.time_of(own), side="right") for own in (firsts, lasts))
    ends = _divide(begins, ends_in, len(cuts) + 1)
    position, done = int(words[0]), 0
    for part, end in enumerate(ends):
        if end == done:
            yield None
            continue
        own, following = slice(done, end), int(at[end - 1]) + 1
        count = following - position
        # Padding tells the next part where to begin.
        used = count + (part < len(cuts))
        matrix, _ = allocate(MemoryColumns, used)
        everything = TraceView(MemoryColumns, matrix)
        everything.listed[:count] = 1
        everything.frame[:used] = frames[position : position + used]
        everything.index[:used] = indices[position : position + used]
        # Further padding rows are frames of one word.
        everything.frame[used:] = frames[position + used - 1] + 1 + np.arange(len(matrix) - used)
        rows = at[own] - position
        everything.real[rows] = 1
        everything.start[rows] = history.time_of(firsts[own]) - 1
        everything.word[rows] = history.after[lasts[own]]
        everything.last[rows] = history.time_of(lasts[own])
        yield matrix
        position, done = following, end


def next_word(matrix: Matrix) -> tuple[int, int]:
    """Frame and index of the word behind those that are listed in a table of memory, which has padding."""
    rows = TraceView(MemoryColumns, matrix)
    row = int(rows.listed.sum())
    return int(rows.frame[row]), int(rows.index[row])


def _divide(first: Integers, last: Integers, parts: int) -> list[int]:
    """Where the words of each part end: words (n,) in their order, those of a part behind those of the parts before.

    A word whose row is in a part where neither its first nor its last access is takes two messages between parts, one
    if just one of these is in another part. Of all divisions that keep the order this is one with the least of them.

    Args:
        first, last: (n,) the part of the first and of the last access of each word.
        parts: how many there are.
    """
    # Words in a row that are alike are in one part: with how many of them are in another the price changes evenly.
    begins_group = np.append(True, (first[1:] != first[:-1]) | (last[1:] != last[:-1]))
    starts = np.flatnonzero(begins_group)
    sizes = np.diff(np.append(starts, len(first)))
    first, last = first[starts], last[starts]
    groups = np.arange(len(first) + 1)
    # How many messages the words before each one take at least if they are in the parts so far.
    least = np.full(len(first) + 1, int(sizes.sum()) * 4, dtype=np.int64)
    least[0] = 0
    begins = []
    for part in range(parts):
        taken = np.concatenate([[0], np.cumsum(sizes * ((first != part).astype(np.int64) + (last != part)))])
        without = least - taken
        best = np.minimum.accumulate(without)
        begins.append(np.maximum.accumulate(np.where(without == best, groups, 0)).astype(np.int32))
        least = best + taken
    ends = [len(first)]
    for begin in reversed(begins[1:]):
        ends.append(int(begin[ends[-1]]))
    found: list[int] = np.append(starts, sizes.sum())[ends[::-1]].tolist()
    return found


class RefreshColumns(Layout):
    """One token per row."""

    real = bit("1 on rows with a token")
    frame = element("id of the frame", by="memory bus")
    index = element("which word", by="memory bus")
    word = limb("the word", WORD, by="memory bus")
    order = nested(TimeOrder, "the old token is earlier")
    now = nested(TimeLimbs, "time of the new token: any between the old one's and its reader's")


class MemoryRefresh(Table):
    """Tokens that are made younger, since an access proves with one limb that its token is earlier.

    Times of tokens are integers below 2^30: those of accesses because steps are, those sent here by the range check,
    without which tokens could walk around the field back to earlier times. A first token's time is at most 2^29 before
    the time of who receives it. So no difference of two times wraps, and `before < time` is one of integers.
    """

    name = "memory_refresh"
    layout = RefreshColumns
    row_order = "rows meet only on the memory bus"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        now = TimeLimbs.constrain(air, row.now, real)
        TimeOrder.constrain(air, row.order, now, real)
        air.receive(MEMORY, row.frame, row.index, row.word, row.order.before, count=real)
        air.send(MEMORY, row.frame, row.index, row.word, now, count=real)


def fill_memory_refresh(execution: Execution) -> Matrix | None:
    """All tokens that are too old for the access that receives them."""
    accesses = MemoryView.of(execution).accesses
    chosen = np.flatnonzero(accesses.refreshed)
    if not len(chosen):
        return None
    matrix, rows = allocate(RefreshColumns, len(chosen))
    rows.real = 1
    rows.frame = accesses.frame[chosen]
    rows.index = accesses.index[chosen]
    rows.word = accesses.before[chosen]
    TimeLimbs.fill(rows.now, accesses.then[chosen])
    TimeOrder.fill(rows.order, accesses.then[chosen], accesses.old[chosen])
    return matrix


class ReadColumns(Layout):
    """One request to read per row."""

    real = bit("1 on rows with a request")
    frame = element("id of the frame", by="memory_bytes bus")
    time = element("time of the access", by="memory_bytes bus")
    index = element("which word", by="memory bus: an integer below 2^22")
    word = limb("the word before", WORD, by="memory bus")
    then = element("time of its token", by="memory bus")


class WriteColumns(ReadColumns):
    """And what replaces it."""

    written = limb("the word afterwards", WORD, by="memory_bytes bus")


class Words(Table):
    """Requests to read, or to write, the 32 bytes of a single word."""

    row_order = "rows meet only on the memory buses"

    def __init__(self, name: str, layout: type[ReadColumns]) -> None:
        self.name = name
        self.layout = layout
        self.writes = layout is WriteColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        after = row.written if self.writes else row.word
        # An index has a row in the memory table and is a small integer: an offset between words has none.
        offset = row.index * WORD_BYTES
        air.receive(MEMORY_BYTES, row.frame, row.time, int(self.writes), offset, WORD_BYTES, after, count=real)
        air.receive(MEMORY, row.frame, row.index, row.word, row.then, count=real)
        air.query(RANGE16, row.time - row.then - 1, count=real)
        air.send(MEMORY, row.frame, row.index, after, row.time, count=real)


READ_WORDS = Words("memory_read_words", ReadColumns)
WRITE_WORDS = Words("memory_write_words", WriteColumns)


def _fill_words(execution: Execution, table: Words) -> Matrix | None:
    """All requests for a whole word that are of the table's kind."""
    view = MemoryView.of(execution)
    requests = view.requests
    whole = (requests.offset % WORD_BYTES == 0) & (requests.size == WORD_BYTES)
    chosen = np.flatnonzero(whole & ~requests.direct & (requests.is_write == table.writes))
    if not len(chosen):
        return None
    accesses = view.at(requests.first[chosen])
    matrix, rows = allocate(table.layout, len(chosen))
    rows.real = 1
    rows.frame = requests.frame[chosen]
    rows.time = requests.time[chosen]
    rows.index = accesses.index
    rows.word = accesses.before
    rows.then = accesses.then
    if table.writes:
        rows.written = accesses.after
    return matrix


COMPONENTS = (
    Acting(Memory(), fill_memory),
    Acting(MemoryRefresh(), fill_memory_refresh),
    Acting(READ_WORDS, lambda execution: _fill_words(execution, READ_WORDS)),
    Acting(WRITE_WORDS, lambda execution: _fill_words(execution, WRITE_WORDS)),
)
