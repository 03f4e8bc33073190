"""Requests for some bytes of memory, within a word or across the border of two.

The two words are 32 limbs of two bytes in the order of their addresses. The request begins in one of the first 16, at
its first or second byte; the 17 limbs from there on are its *field*, in which bytes are told apart. Whole limbs outside
of the request stay as they are; where its beginning or end cuts a limb, the byte that is replaced is committed, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import one_hot, total
from circuits.air.layout import Layout, allocate, bit, byte, element, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.component import Acting
from circuits.functions.bitwise_bytes import query_xor
from circuits.memory.buses import MEMORY, MEMORY_BYTES
from circuits.memory.memory_shifted import is_shifted
from circuits.memory.memory_view import MemoryView
from circuits.widths import WORD, WORD_BYTES

#: Limbs of both words, and limbs that a request of 32 bytes can touch.
WINDOW = 2 * WORD
FIELD = WORD + 1
#: Bytes from the beginning of the field to the end of the request: 1 to 33.
MAX_END = WORD_BYTES + 1


class PartsColumns(Layout):
    """One request per row."""

    real = bit("1 on rows with a request")
    frame = element("id of the frame", by="memory_bytes bus")
    time = element("time of the access", by="memory_bytes bus")
    is_write = bit("1: write")
    index = element("which word holds the first byte", by="memory bus: an integer below 2^22")
    skipped = element("limbs before the field, 0..15", by="begins")
    begins = bit("one-hot: limbs before the field", WORD)
    odd = bit("1: the request begins with the second byte of the field")
    end = element("bytes of the field up to the end of the request, 1..33", by="ends")
    ends = bit("one-hot: end - 1", MAX_END)
    spills = bit("1: the request reaches into the next word")
    request = limb("the bytes of the request, zeros behind", WORD, by="its constraint")
    before = limb("both words before, zeros for the next one if not touched", (2, WORD), by="memory bus")
    after = limb("both words afterwards", (2, WORD), by="words before and bytes")
    bytes = byte("the field afterwards", (FIELD, 2), by="bitwise_bytes bus")
    xor = byte("exclusive or of the two bytes of each limb", FIELD, by="bitwise_bytes bus")
    lost = byte("what the request has replaced in the limbs cut by its beginning and its end", 2, by="bitwise_bytes")
    lost_xor = byte("exclusive or of the two", by="bitwise_bytes bus")
    then = element("times of the tokens before", 2, by="memory bus")


class MemoryParts(Table):
    """Requests of any offset and size, in general not for the whole of one word."""

    name = "memory_parts"
    layout = PartsColumns
    row_order = "rows meet only on the memory buses"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        one_hot(air, row.begins, real, "begins")
        one_hot(air, row.ends, real, "ends")
        air.require(row.skipped - total([flag * n for n, flag in enumerate(row.begins)]), "limbs before the field")
        air.require(row.end - total([flag * (n + 1) for n, flag in enumerate(row.ends)]), "end of the request")
        for flag in (row.is_write, row.odd, row.spills):
            air.require(flag * (1 - real), "padding has no flags")
        # A request has at least one byte by its sender: where the second byte of the field is its first, end is not 1.
        air.receive(
            MEMORY_BYTES,
            row.frame,
            row.time,
            row.is_write,
            row.index * WORD_BYTES + row.skipped * 2 + row.odd,
            row.end - row.odd,
            row.request,
            count=real,
        )
        # The request reaches into the next word exactly if its last byte lies behind the 32nd: 1 <= reach <= 63.
        reach = row.skipped * 2 + row.end
        air.query(RANGE16, WORD_BYTES - reach + row.spills * (reach * 2 - (2 * WORD_BYTES + 1)), count=real)
        self._accesses(air)
        self._contents(air)

    def _accesses(self, air: Air) -> None:
        """Both words are accessed at the time of the request."""
        row = air.row
        for n, count in enumerate((row.real, row.spills)):
            air.receive(MEMORY, row.frame, row.index + n, row.before[n], row.then[n], count=count)
            air.query(RANGE16, row.time - row.then[n] - 1, count=count)
            air.send(MEMORY, row.frame, row.index + n, row.after[n], row.time, count=count)
        air.require_equal(row.before[1], [0] * WORD, "next word not touched", when=1 - row.spills)
        air.require(row.then[1] * (1 - row.spills), "no token of a word that is not touched")
        air.require_equal(row.after, row.before, "reading changes nothing", when=1 - row.is_write)

    def _contents(self, air: Air) -> None:
        row, real = air.row, air.row.real
        before = [*reversed(row.before[0]), *reversed(row.before[1])]
        after = [*reversed(row.after[0]), *reversed(row.after[1])]
        for (high, low), xor in zip(row.bytes, row.xor, strict=True):
            query_xor(air, high, low, xor, count=real)
        query_xor(air, row.lost[0], row.lost[1], row.lost_xor, count=real)
        field = [high * 256 + low for high, low in row.bytes]
        # What the field was before, and the window afterwards: the field in its place, the rest as it was.
        old = [total([row.begins[n] * before[n + j] for n in range(WORD)]) for j in range(FIELD)]
        for k in range(WINDOW):
            begins = [n for n in range(WORD) if 0 <= k - n < FIELD]
            covered = total([row.begins[n] for n in begins])
            placed = total([row.begins[n] * field[k - n] for n in begins])
            air.require(before[k] * (1 - covered) + placed - after[k], f"window limb {k}")
        # Behind the end: inside[b] is 1 when byte b of the field is before the end.
        inside = [row.ends[MAX_END - 1]]
        for flag in reversed(row.ends[:-1]):
            inside.insert(0, inside[0] + flag)
        for j in range(1, FIELD):
            air.require((real - inside[2 * j]) * (old[j] - field[j]), f"field limb {j} behind the end stays")
        # Limbs that are cut: the beginning only ever cuts the first one, the end cuts one if it is odd. They never cut
        # the same one, as an odd beginning and an odd end are at least two bytes apart.
        air.require(row.odd * (old[0] - row.bytes[0][0] * 256 - row.lost[0]), "byte before the beginning stays")
        air.require((1 - row.odd) * row.lost[0], "nothing cut by the beginning")
        cuts = row.ends[::2]
        kept = [flag * (old[j] - row.bytes[j][1] - row.lost[1] * 256) for j, flag in enumerate(cuts)]
        air.require(total(kept), "byte behind the end stays")
        air.require((1 - total(cuts)) * row.lost[1], "nothing cut by the end")
        # The request: the bytes of the field from the beginning to the end.
        flat = [b for pair in row.bytes for b in pair]

        def requested(b: int) -> Expression:
            even, odd = inside[b] * flat[b], inside[b + 1] * flat[b + 1]
            result: Expression = even + row.odd * (odd - even)
            return result

        for i in range(WORD):
            value = requested(2 * i) * 256 + requested(2 * i + 1)
            air.require(row.request[WORD - 1 - i] - value, f"request limb {i}")


def fill_memory_parts(execution: Execution) -> Matrix | None:
    """All requests that are neither for a whole word nor for as much from an even offset."""
    view = MemoryView.of(execution)
    requests = view.requests
    whole = (requests.offset % WORD_BYTES == 0) & (requests.size == WORD_BYTES)
    chosen = np.flatnonzero(~whole & ~is_shifted(requests))
    if not len(chosen):
        return None
    count = len(chosen)
    numbers = np.arange(count)
    first, second = requests.first[chosen], requests.second[chosen]
    spills = second >= 0
    touched = view.at(first), view.at(second[spills])
    shift = requests.offset[chosen] % WORD_BYTES
    skipped, odd = shift // 2, shift % 2
    end = requests.size[chosen] + odd
    matrix, rows = allocate(PartsColumns, count)
    rows.real = 1
    rows.frame = requests.frame[chosen]
    rows.time = requests.time[chosen]
    rows.is_write = requests.is_write[chosen]
    rows.index = touched[0].index
    rows.skipped = skipped
    rows.begins[numbers, skipped] = 1
    rows.odd = odd
    rows.end = end
    rows.ends[numbers, end - 1] = 1
    rows.spills = spills
    rows.request = requests.word[chosen]
    before, after = (
        _both(words, spills) for words in ([own.before for own in touched], [own.after for own in touched])
    )
    rows.before = before
    rows.after = after
    rows.then[:, 0] = touched[0].then
    rows.then[spills, 1] = touched[1].then
    places = skipped[:, None] + np.arange(FIELD)
    old, new = (_in_order(words)[numbers[:, None], places] for words in (before, after))
    rows.bytes = np.stack([new >> 8, new & 0xFF], axis=2)
    rows.xor = new >> 8 ^ new & 0xFF
    lost = np.zeros((count, 2), dtype=np.int64)
    lost[:, 0] = np.where(odd == 1, old[:, 0] & 0xFF, 0)
    lost[:, 1] = np.where(end % 2 == 1, old[numbers, (end - 1) // 2] >> 8, 0)
    rows.lost = lost
    rows.lost_xor = lost[:, 0] ^ lost[:, 1]
    return matrix


def _both(words: Any, spills: Any) -> Any:
    """Both words of each request, (n, 2, 16); zeros for a second one where there is none."""
    both = np.zeros((len(spills), 2, WORD), dtype=np.int64)
    both[:, 0], both[spills, 1] = words
    return both


def _in_order(both: Any) -> Any:
    """The limbs (n, 32) of both words in the order of their addresses."""
    return both[:, :, ::-1].reshape(len(both), WINDOW)


COMPONENTS = (Acting(MemoryParts(), fill_memory_parts),)
