"""Bytes of buffers: up to 32 bytes from any place of calldata or code, zeros behind its end.

Three tables answer the same bus. `buffer_words` moves whole limbs, as most reads of 32 bytes allow (the arguments that
Solidity reads stand 4 bytes behind a multiple of 32); `buffer_bytes` reads any number of bytes from any place;
`buffer_behind` answers for what lies wholly behind the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.distinct import distinct_rows
from circuits.air.expression import Expression
from circuits.air.field import INVERSE_2_16, Matrix
from circuits.air.gadgets.basic import one_hot, range_check, select, total
from circuits.air.layout import RANGE, Layout, allocate, bit, byte, element, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution, Integers
from circuits.component import Answering
from circuits.frames.buses import BUFFER, BUFFER_BYTES, BUFFER_SIZE
from circuits.frames.calldata import CALLDATA_KIND, buffer_places, bytes_to_words, padded_words
from circuits.frames.code import CODE_KIND
from circuits.frames.init_code import InitCodes
from circuits.functions.bitwise_bytes import query_xor
from circuits.limbs import Limbs
from circuits.widths import WORD, WORD_BYTES

#: Offsets that are asked for stay below 2^25: sources of at most 2^24 and sizes of at most 2^24.
OFFSET_BITS = 25
#: Limbs that hold any 32 bytes.
_SPAN = WORD + 1

_BALANCE = "balance of the buffer_bytes bus"
_SAME_WORDS = "another true statement: of another buffer with the same words there, which the buffer bus confirms"
_OF_ANOTHER = "another true statement: of another buffer of this size, which the buffer_size bus confirms"


class BehindColumns(Layout):
    """One query behind the end of a buffer."""

    real = bit("1 on rows that answer a query")
    kind = element("kind of the buffer", by="buffer_size bus", free=_OF_ANOTHER)
    id = element("id of the buffer", by="buffer_size bus", free=_OF_ANOTHER)
    buffer_size = element("bytes of the buffer", by="buffer_size bus")
    size = element("bytes", by="querier", free="behind the end all bytes are 0, however many are asked for")
    offset = element(
        "first byte",
        by="offset - buffer_size is in range",
        free="another true statement: of another place behind the end",
    )
    low = limb("low limb of offset - buffer_size", by=RANGE)
    multiplicity = element("how often it is queried", by=_BALANCE)


class BufferBehind(Table):
    """Zeros from behind the end."""

    name = "buffer_behind"
    layout = BehindColumns
    row_order = "every row answers for itself"

    def constraints(self, air: Air) -> None:
        row = air.row
        air.query(BUFFER_SIZE, row.kind, row.id, row.buffer_size, count=row.real)
        # A queried offset is below 2^25 and a size at most 2^24: were the offset smaller, the difference would be
        # above MODULUS - 2^24.
        high = (row.offset - row.buffer_size - row.low) * INVERSE_2_16
        range_check(air, high, OFFSET_BITS - 16, row.real)
        air.require((1 - row.real) * row.multiplicity, "padding provides nothing")
        zeros = [air.constant(0)] * WORD
        air.provide(BUFFER_BYTES, row.kind, row.id, row.offset, row.size, zeros, multiplicity=row.multiplicity)


class Source(Layout):
    """The two words of a buffer that bytes come from, the first of which must be there."""

    real = bit("1 on rows that answer a query")
    kind = element("kind of the buffer", by="buffer bus", free=_SAME_WORDS)
    id = element("id of the buffer", by="buffer bus", free=_SAME_WORDS)
    index = element("which word the first byte is in", by="buffer bus")
    first = limb("that word", WORD, by="buffer bus")
    second = limb("the next word; 0 where it is not needed or not there", WORD, by="buffer bus, or 0")
    behind = bit("1 when a second word would be needed and the buffer has none")
    buffer_size = element("bytes of the buffer where `behind` is 1", by="buffer_size bus, or 0")
    pair = bit("where the first byte is: in which of the first word's pairs of bytes", WORD)
    offset = element("first byte", by="index and pair")
    result = limb("the bytes as a word, the first one most significant", WORD, by="bytes of the two words")
    multiplicity = element("how often it is queried", by=_BALANCE)


def constrain_source(air: Air, inside: Expression) -> list[Expression]:
    """The two words as 32 limbs, the most significant first; where `inside` (a bit) is 1 the first word is enough."""
    row = air.row
    one_hot(air, row.pair, row.real, "pair")
    second = row.real - inside - row.behind
    air.require(inside * row.behind, "a second word is not needed, or not there")
    air.require((1 - row.real) * row.behind, "padding needs no word")
    air.query(BUFFER, row.kind, row.id, row.index, row.first, count=row.real)
    air.query(BUFFER, row.kind, row.id, row.index + 1, row.second, count=second)
    for i, cell in enumerate(row.second):
        air.require((1 - second) * cell, f"zeros for the second word: limb {i}")
    # The first word is one of the buffer, so the difference is at least -2^24 and as a limb not negative.
    air.query(BUFFER_SIZE, row.kind, row.id, row.buffer_size, count=row.behind)
    air.query(RANGE16, (row.index + 1) * WORD_BYTES - row.buffer_size, count=row.behind)
    air.require((1 - row.behind) * row.buffer_size, "idle size")
    air.require((1 - row.real) * row.multiplicity, "padding provides nothing")
    return [*reversed(row.first), *reversed(row.second)]


def _shifted(pair: Sequence[Any], limbs: Sequence[Expression], i: int) -> Expression:
    """The i-th limb behind the chosen pair."""
    return total([flag * limbs[k + i] for k, flag in enumerate(pair)])


def _pair_offset(pair: Sequence[Any]) -> Expression:
    return total([flag * (2 * k) for k, flag in enumerate(pair) if k])


class WordsColumns(Source):
    """One query of 32 bytes from an even offset."""


class BufferWords(Table):
    """32 bytes from an even offset: limbs move as they are."""

    name = "buffer_words"
    layout = WordsColumns
    row_order = "every row answers for itself"

    def constraints(self, air: Air) -> None:
        row = air.row
        # Only the first pair leaves all 32 bytes in the first word.
        limbs = constrain_source(air, row.pair[0])
        air.require(row.index * WORD_BYTES + _pair_offset(row.pair) - row.offset, "offset")
        for i in range(WORD):
            air.require(_shifted(row.pair, limbs, i) - row.result[WORD - 1 - i], f"limb {i} behind the offset")
        air.provide(BUFFER_BYTES, row.kind, row.id, row.offset, WORD_BYTES, row.result, multiplicity=row.multiplicity)


class BytesColumns(Source):
    """One query of 1 to 32 bytes."""

    inside = bit("1 when all bytes are in the first word")
    odd = bit("1 when the offset is odd")
    shift = element("bytes of the first word before the offset, 0..31", by="pair and odd")
    wanted = bit("1 for each byte that is asked for", WORD_BYTES)
    size = element("how many these are", by="wanted")
    bytes = byte("bytes from the pair on", (_SPAN, 2), by="bitwise_bytes bus")
    xor = element("exclusive or of each pair of bytes", _SPAN, by="bitwise_bytes bus")


class BufferBytes(Table):
    """Any number of bytes from any offset."""

    name = "buffer_bytes"
    layout = BytesColumns
    row_order = "every row answers for itself"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        air.require((1 - real) * row.inside, "idle inside")
        limbs = constrain_source(air, row.inside)
        air.require((1 - real) * row.odd, "idle odd")
        air.require(_pair_offset(row.pair) + row.odd - row.shift, "shift")
        air.require(row.index * WORD_BYTES + row.shift - row.offset, "offset")

        # Size
        air.require(row.wanted[0] - real, "the first byte is wanted")
        for i in range(1, WORD_BYTES):
            air.require(row.wanted[i] * (1 - row.wanted[i - 1]), f"wanted bytes are the first ones: {i}")
        air.require(total(row.wanted) - row.size, "size")
        # The last byte is in the first word, or behind it. All are at most 64, so a negative difference is no limb.
        last = row.shift + row.size - 1
        air.query(RANGE16, select(row.inside, WORD_BYTES - 1 - last, last - WORD_BYTES), count=real)

        # Bytes
        cells: list[Expression] = []
        for i, ((high, low), xor) in enumerate(zip(row.bytes, row.xor, strict=True)):
            query_xor(air, high, low, xor, count=real)
            air.require(_shifted(row.pair, limbs, i) - high * (1 << 8) - low, f"bytes of limb {i}")
            cells += [high, low]
        for i in range(WORD):
            high, low = (row.wanted[j] * select(row.odd, cells[j + 1], cells[j]) for j in (2 * i, 2 * i + 1))
            air.require(high * (1 << 8) + low - row.result[WORD - 1 - i], f"bytes {2 * i} and {2 * i + 1}")
        air.provide(BUFFER_BYTES, row.kind, row.id, row.offset, row.size, row.result, multiplicity=row.multiplicity)


class Buffers:
    """All buffers of a segment, calldata, codes and initcodes: their words by kind and id."""

    def __init__(self, execution: Execution) -> None:
        trace = execution.trace
        ids, starts, sizes, rows = buffer_places(execution)
        codes, initcodes = trace.codes, InitCodes.of(execution)
        code_rows = np.concatenate([execution.codes, initcodes.code])
        code_sizes = codes.size[code_rows].astype(np.int64)
        kinds = np.repeat([CALLDATA_KIND, CODE_KIND], [len(ids), len(code_rows)])
        self._keys = _key(kinds, np.concatenate([ids, execution.code_ids, initcodes.id]))
        self._sizes = np.concatenate([sizes, code_sizes])
        # A word of zeros behind each buffer stands for all that follow.
        counts = np.concatenate([rows, -(-code_sizes // WORD_BYTES)]) + 1
        self._last = np.cumsum(counts) - 1
        self._first = self._last - counts + 1
        places = np.concatenate([starts, codes.start[code_rows].astype(np.int64)])
        self._words = padded_words(trace.data.byte, places, self._sizes, counts)

    def find(self, kind: Integers, id_: Integers) -> Integers:
        """Numbers of these buffers (n,), -1 for those that are not there."""
        if not len(self._keys):
            return np.full(len(kind), -1)
        order = np.argsort(self._keys)
        keys = _key(kind, id_)
        place = order[np.minimum(np.searchsorted(self._keys, keys, sorter=order), len(order) - 1)]
        return np.where(self._keys[place] == keys, place, -1)

    def size(self, number: Integers) -> Integers:
        """Bytes of buffers, (n,)."""
        return self._sizes[number]

    def words(self, number: Integers, index: Integers) -> Limbs:
        """Words of buffers, (n, 16); zeros behind their ends."""
        words: Limbs = self._words[np.minimum(self._first[number] + index, self._last[number])]
        return words

    def bytes(self, number: Integers, offset: Integers, size: Integers) -> NDArray[np.uint8]:
        """`size` bytes from `offset`, zeros behind: (n, 32)."""
        index = offset // WORD_BYTES
        both = np.concatenate([self.words(number, index)[:, ::-1], self.words(number, index + 1)[:, ::-1]], axis=1)
        cells = np.stack([both >> 8, both & 0xFF], axis=2).reshape(len(both), -1).astype(np.uint8)
        place = np.arange(WORD_BYTES)
        taken = np.take_along_axis(cells, (offset % WORD_BYTES)[:, None] + place, axis=1)
        return np.where(place < size[:, None], taken, 0).astype(np.uint8)


def _key(kind: NDArray[Any], id_: NDArray[Any]) -> Integers:
    return kind.astype(np.int64) << 32 | id_.astype(np.int64)


class _Queries:
    """Distinct queries that one of the tables answers. Those that none can answer are left to unbalance the bus.

    Attributes (n queries): count, kind, id, offset, size, buffer: (n,); buffer numbers those of `buffers`.
    """

    def __init__(self, execution: Execution, queries: NDArray[np.uint32], table: str) -> None:
        self.buffers = Buffers(execution)
        distinct, count, _ = distinct_rows(queries[:, :4])
        kind, id_, offset, size = distinct.astype(np.int64).T
        buffer = self.buffers.find(kind, id_)
        known = (buffer >= 0) & (offset < 1 << OFFSET_BITS) & (size >= 1) & (size <= WORD_BYTES)
        end = np.zeros(len(known), dtype=np.int64)
        end[known] = self.buffers.size(buffer[known])
        behind = known & (offset >= end)
        words = known & ~behind & (size == WORD_BYTES) & (offset % 2 == 0)
        of = {BufferBehind.name: behind, BufferWords.name: words, BufferBytes.name: known & ~behind & ~words}[table]
        self.count, self.kind, self.id = count[of], kind[of], id_[of]
        self.offset, self.size, self.buffer = offset[of], size[of], buffer[of]

    def __len__(self) -> int:
        return len(self.count)


def fill_behind(execution: Execution, queries: NDArray[np.uint32]) -> Matrix | None:
    """Queries behind the end of their buffer."""
    asked = _Queries(execution, queries, BufferBehind.name)
    if not len(asked):
        return None
    matrix, rows = allocate(BehindColumns, len(asked))
    rows.real = 1
    rows.kind, rows.id, rows.offset, rows.size = asked.kind, asked.id, asked.offset, asked.size
    rows.buffer_size = asked.buffers.size(asked.buffer)
    rows.low = (asked.offset - rows.buffer_size) & 0xFFFF
    rows.multiplicity = asked.count
    return matrix


def _fill_source(rows: Any, asked: _Queries) -> NDArray[np.uint8]:
    """The columns of `Source`; the bytes of both words (n, 64)."""
    buffers, index = asked.buffers, asked.offset // WORD_BYTES
    shift = asked.offset % WORD_BYTES
    rows.real = 1
    rows.kind, rows.id, rows.index, rows.offset = asked.kind, asked.id, index, asked.offset
    rows.first = buffers.words(asked.buffer, index)
    needed = shift + asked.size > WORD_BYTES
    size = buffers.size(asked.buffer)
    behind = needed & (WORD_BYTES * (index + 1) >= size)
    rows.second = np.where((needed & ~behind)[:, None], buffers.words(asked.buffer, index + 1), 0)
    rows.behind = behind
    rows.buffer_size = np.where(behind, size, 0)
    rows.pair = shift[:, None] // 2 == np.arange(WORD)
    rows.result = bytes_to_words(buffers.bytes(asked.buffer, asked.offset, asked.size))
    rows.multiplicity = asked.count
    both = np.concatenate([rows.first[:, ::-1], rows.second[:, ::-1]], axis=1)
    return np.stack([both >> 8, both & 0xFF], axis=2).reshape(len(both), -1).astype(np.uint8)


def fill_words(execution: Execution, queries: NDArray[np.uint32]) -> Matrix | None:
    """Queries of 32 bytes from even offsets."""
    asked = _Queries(execution, queries, BufferWords.name)
    if not len(asked):
        return None
    matrix, rows = allocate(WordsColumns, len(asked))
    _fill_source(rows, asked)
    return matrix


def fill_bytes(execution: Execution, queries: NDArray[np.uint32]) -> Matrix | None:
    """All other queries."""
    asked = _Queries(execution, queries, BufferBytes.name)
    if not len(asked):
        return None
    matrix, rows = allocate(BytesColumns, len(asked))
    both = _fill_source(rows, asked)
    shift = asked.offset % WORD_BYTES
    rows.inside = shift + asked.size <= WORD_BYTES
    rows.odd = shift % 2
    rows.shift = shift
    rows.wanted = np.arange(WORD_BYTES) < asked.size[:, None]
    rows.size = asked.size
    span = np.take_along_axis(both, (shift - shift % 2)[:, None] + np.arange(2 * _SPAN), axis=1)
    rows.bytes = span.reshape(-1, _SPAN, 2)
    rows.xor = span[:, 0::2] ^ span[:, 1::2]
    return matrix


COMPONENTS = (
    Answering(BufferBehind(), BUFFER_BYTES, fill_behind),
    Answering(BufferWords(), BUFFER_BYTES, fill_words),
    Answering(BufferBytes(), BUFFER_BYTES, fill_bytes),
)
