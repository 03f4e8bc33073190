"""Requests for 32 bytes from an even offset across the border of two words: limbs move as they are.

Arguments of calls stand 4 bytes behind a multiple of 32, where Solidity writes them and the frame it calls reads them.
"""

from __future__ import annotations

import numpy as np

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import one_hot, total
from circuits.air.layout import Layout, allocate, bit, element, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.component import Acting
from circuits.memory.buses import MEMORY, MEMORY_BYTES
from circuits.memory.memory_view import MemoryView, Requests
from circuits.widths import WORD, WORD_BYTES


class ReadColumns(Layout):
    """One request to read per row."""

    real = bit("1 on rows with a request")
    frame = element("id of the frame", by="memory_bytes bus")
    time = element("time of the access", by="memory_bytes bus")
    index = element("which word holds the first byte", by="memory bus: an integer below 2^22")
    skipped = bit("one-hot: limbs of that word before the request, 1 to 15", WORD - 1)
    request = limb("the bytes of the request", WORD, by="its constraint; of a write: memory_bytes bus")
    first = limb("the word with the first byte, before", WORD, by="memory bus")
    second = limb("the next word, before", WORD, by="memory bus")
    then = element("times of their tokens", 2, by="memory bus")


class WriteColumns(ReadColumns):
    """And what replaces the words."""

    first_after = limb("the first word afterwards", WORD, by="its constraint")
    second_after = limb("the next word afterwards", WORD, by="its constraint")


class Shifted(Table):
    """Requests to read, or to write, 32 bytes that begin with a limb of one word and end with one of the next."""

    row_order = "rows meet only on the memory buses"

    def __init__(self, name: str, layout: type[ReadColumns]) -> None:
        self.name = name
        self.layout = layout
        self.writes = layout is WriteColumns

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        one_hot(air, row.skipped, real, "skipped")
        # An index has a row in the memory table and is a small integer: there is one for each offset.
        offset = row.index * WORD_BYTES + total([flag * (2 * n) for n, flag in enumerate(row.skipped, 1)])
        is_write = int(self.writes)
        air.receive(MEMORY_BYTES, row.frame, row.time, is_write, offset, WORD_BYTES, row.request, count=real)
        after = (row.first_after, row.second_after) if self.writes else (row.first, row.second)
        for n, before in enumerate((row.first, row.second)):
            air.receive(MEMORY, row.frame, row.index + n, before, row.then[n], count=real)
            air.query(RANGE16, row.time - row.then[n] - 1, count=real)
            air.send(MEMORY, row.frame, row.index + n, after[n], row.time, count=real)
        # All limbs in the order of their addresses.
        window = [*reversed(row.first), *reversed(row.second)]
        request = [*reversed(row.request)]
        if not self.writes:
            for i in range(WORD):
                shifted = total([flag * window[n + i] for n, flag in enumerate(row.skipped, 1)])
                air.require(request[i] - shifted, f"limb {i} of the request")
            return
        replaced = [*reversed(row.first_after), *reversed(row.second_after)]
        for k, (old, new) in enumerate(zip(window, replaced, strict=True)):
            # The flags under which limb k belongs to the request, of which it is limb k - n.
            begins = [n for n in range(1, WORD) if 0 <= k - n < WORD]
            flags: list[Expression] = [row.skipped[n - 1] for n in begins]
            kept = old if not flags else old * (real - total(flags))
            written = [flag * request[k - n] for n, flag in zip(begins, flags, strict=True)]
            air.require(new - kept - (total(written) if written else 0), f"limb {k} of the words")


READ_SHIFTED = Shifted("memory_read_shifted", ReadColumns)
WRITE_SHIFTED = Shifted("memory_write_shifted", WriteColumns)


def is_shifted(requests: Requests) -> np.ndarray:
    """Which requests (n,) are for 32 bytes from an even offset in two words."""
    chosen: np.ndarray = (
        (requests.size == WORD_BYTES) & (requests.offset % 2 == 0) & (requests.offset % WORD_BYTES != 0)
    )
    return chosen


def _fill(execution: Execution, table: Shifted) -> Matrix | None:
    """All such requests that are of the table's kind."""
    view = MemoryView.of(execution)
    requests = view.requests
    chosen = np.flatnonzero(is_shifted(requests) & (requests.is_write == table.writes))
    if not len(chosen):
        return None
    first, second = view.at(requests.first[chosen]), view.at(requests.second[chosen])
    matrix, rows = allocate(table.layout, len(chosen))
    rows.real = 1
    rows.frame = requests.frame[chosen]
    rows.time = requests.time[chosen]
    rows.index = first.index
    rows.skipped = (requests.offset[chosen] % WORD_BYTES // 2)[:, None] == np.arange(1, WORD)
    rows.request = requests.word[chosen]
    rows.first = first.before
    rows.second = second.before
    rows.then = np.stack([first.then, second.then], axis=1)
    if table.writes:
        rows.first_after = first.after
        rows.second_after = second.after
    return matrix


COMPONENTS = (
    Acting(READ_SHIFTED, lambda execution: _fill(execution, READ_SHIFTED)),
    Acting(WRITE_SHIFTED, lambda execution: _fill(execution, WRITE_SHIFTED)),
)
