"""The memory bus: where tokens begin and end, how old ones are made younger; and requests for whole words."""

from __future__ import annotations

import numpy as np

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import TimeLimbs, TimeOrder
from circuits.air.layout import Layout, TraceView, allocate, bit, element, limb, nested, padded_height
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.component import Acting
from circuits.memory.buses import MEMORY, MEMORY_BYTES
from circuits.memory.memory_view import MemoryView
from circuits.widths import WORD, WORD_BYTES


class MemoryColumns(Layout):
    """One word of a frame's memory per row."""

    real = bit(
        "1 on words that are accessed", free="a word that nothing accesses may receive the zero that it sends itself"
    )
    frame = element("id of the frame", by="its constraints and the memory bus")
    index = element("which word of the frame's memory", by="counted from 0 within the frame")
    start = element(
        "time of the first token", by="the first access", free="any time before the first access, which says so"
    )
    word = limb("the word at the end", WORD, by="memory bus")
    last = element("time of the last token", by="memory bus")


class Memory(Table):
    """All words of memory from the first one to the last one that is accessed, frame after frame.

    Words in between that are not accessed take rows, too: each was paid for with 3 gas, and the order needs no range
    check for it. From row to row either the index steps by 1 within the frame, or the frame's id does and the index is
    0 again. So no two rows have the same frame and index: ids would have to run through the whole field. And indices
    are below the table's height, at most 2^21, so that 32 times an index does not wrap.
    """

    name = "memory"
    layout = MemoryColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        # Padding rows continue with frames that access nothing.
        steps = air.next.frame - row.frame
        air.require(air.is_first * row.index, "the first frame begins with word 0")
        air.require(air.is_transition * steps * (steps - 1), "the frame's id stays or steps by 1")
        air.require(
            air.is_transition * (air.next.index - (1 - steps) * (row.index + 1)),
            "the index steps by 1, and begins anew with a frame",
        )
        air.send(MEMORY, row.frame, row.index, [0] * WORD, row.start, count=row.real)
        air.receive(MEMORY, row.frame, row.index, row.word, row.last, count=row.real)


def fill_memory(execution: Execution) -> Matrix | None:
    """All words of the segment's frames that the table needs."""
    accesses = MemoryView.of(execution).accesses
    if not len(accesses.time):
        return None
    firsts = np.flatnonzero(accesses.is_first)
    lasts = np.append(firsts[1:], len(accesses.time)) - 1
    frame, index = accesses.frame[firsts], accesses.index[firsts]
    first_frame = int(frame[0])
    words = np.ones(int(frame[-1]) - first_frame + 1, dtype=np.int64)
    np.maximum.at(words, frame - first_frame, index + 1)
    begin = np.cumsum(words) - words
    used = int(words.sum())
    height = padded_height(used)
    matrix, _ = allocate(MemoryColumns, used)
    # Padding rows are frames of one word.
    words = np.append(words, np.ones(height - used, dtype=np.int64))
    frames = np.repeat(np.arange(len(words)), words)
    everything = TraceView(MemoryColumns, matrix)
    everything.frame = frames + first_frame
    everything.index = np.arange(height) - (np.cumsum(words) - words)[frames]
    at = begin[frame - first_frame] + index
    everything.real[at] = 1
    everything.start[at] = accesses.old[firsts]
    everything.word[at] = accesses.after[lasts]
    everything.last[at] = accesses.time[lasts]
    return matrix


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
    index = element("which word", by="memory bus: an integer below 2^21")
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
    requests, accesses = view.requests, view.accesses
    whole = (requests.offset % WORD_BYTES == 0) & (requests.size == WORD_BYTES)
    chosen = np.flatnonzero(whole & ~requests.direct & (requests.is_write == table.writes))
    if not len(chosen):
        return None
    first = requests.first[chosen]
    matrix, rows = allocate(table.layout, len(chosen))
    rows.real = 1
    rows.frame = requests.frame[chosen]
    rows.time = requests.time[chosen]
    rows.index = accesses.index[first]
    rows.word = accesses.before[first]
    rows.then = accesses.then[first]
    if table.writes:
        rows.written = accesses.after[first]
    return matrix


COMPONENTS = (
    Acting(Memory(), fill_memory),
    Acting(MemoryRefresh(), fill_memory_refresh),
    Acting(READ_WORDS, lambda execution: _fill_words(execution, READ_WORDS)),
    Acting(WRITE_WORDS, lambda execution: _fill_words(execution, WRITE_WORDS)),
)
