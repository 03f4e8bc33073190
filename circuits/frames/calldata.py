"""Buffers of the segment: the calldata of each transaction, and its blob hashes behind it; the input of system calls.

A row holds 32 bytes as a big-endian word and absorbs them into the buffer's running hash. What a buffer contains
follows from the hash, which the item of its operation states together with the size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import range_check
from circuits.air.layout import Layout, allocate, bit, element, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution, Integers, ranges
from circuits.component import Answering
from circuits.frames.buses import BUFFER, BUFFER_SIZE, CALLDATA
from circuits.frames.contexts import count_by
from circuits.hashing import constrain_compress
from circuits.limbs import Limbs
from circuits.statement import BLOCKS_PER_WORD, BUFFER_START, ragged_chains
from circuits.widths import DIGEST, WORD, WORD_BYTES

#: The kind of these buffers on the buses of buffers.
CALLDATA_KIND = 0

#: A digest does not tell how many zeros at the end are bytes of the buffer.
_SIZE = "the transaction knows which of the sizes that fit the rows is true, and asks for the digest with that size"
_BALANCE = "balance of the {} bus"


class Columns(Layout):
    """32 bytes of a buffer."""

    real = bit("1 on rows of buffers")
    last = bit("1 on the last row of a buffer")
    id = element("number of the buffer's first row", by="counted: id + index is the row's number")
    index = element("which 32 bytes", by="counted from 0 to the last row")
    word = limb(
        "the bytes as a big-endian word, zeros behind the end",
        WORD,
        by="the digest: the verifier hashes limbs of zero-padded bytes, and the transaction asks for that digest",
    )
    before = element("running hash before the row", DIGEST, by="the start, or the row before")
    middle = element("running hash with the lower half of the word", DIGEST, by="poseidon2 bus")
    after = element("running hash with the word", DIGEST, by="poseidon2 bus")
    used = element(
        "bytes of the last row, 0..32",
        by="range check; the transaction asks for the size",
        free=_SIZE,
    )
    empty = bit("1 on the row of a buffer without bytes", free=_SIZE)
    upper = bit("1 on a last row with an index of 2^16 or more")
    words_asked = element("how often the word is queried", by=_BALANCE.format("buffer"))
    size_asked = element("how often the size is queried", by=_BALANCE.format("buffer_size"))
    digest_asked = element("how often the digest is queried", by=_BALANCE.format("calldata"))


class Calldata(Table):
    """Buffers end to end from the table's first row on."""

    name = "calldata"
    layout = Columns

    def constraints(self, air: Air) -> None:
        row, after = air.row, air.next
        # `last` is 0 on padding, so this is 1 exactly on rows that another one of their buffer must follow.
        more = row.real - row.last
        air.require(row.last * (1 - row.real), "padding ends no buffer")
        air.require(air.is_transition * after.real * (1 - row.real), "nothing follows padding")
        air.require(more * (1 - after.real), "a buffer ends with its last row")
        air.require(more * air.is_last, "the last buffer ends")

        # Numbers: id + index counts the rows, and index those of the buffer; both are below the table's height.
        air.require(air.is_first * row.id, "rows count from 0")
        air.require(air.is_first * row.index, "indices count from 0")
        counted = after.id + after.index - row.id - row.index - 1
        air.require(air.is_transition * after.real * counted, "rows count by 1")
        air.require(more * (after.index - row.index - 1), "indices count by 1")
        # On the table's last row the next one is the first, where all of this holds as well.
        air.require(row.last * after.real * after.index, "indices of the next buffer count from 0")

        # Hash
        start = [int(x) for x in BUFFER_START]
        air.require_equal(row.before, start, "the first buffer's hash starts", when=air.is_first * row.real)
        air.require_equal(after.before, start, "the next buffer's hash starts", when=row.last * after.real)
        air.require_equal(after.before, row.after, "the hash goes on", when=more)
        constrain_compress(air, row.before, row.word[:DIGEST], row.middle, count=row.real)
        constrain_compress(air, row.middle, row.word[DIGEST:], row.after, count=row.real)

        # Size: 32 index < size <= 32 (index + 1), or 0 with one row. At most 2^17 rows: size <= 2^22.
        air.require((1 - row.last) * row.used, "only the last row states how much of it is used")
        air.require((1 - row.last) * row.empty, "a buffer that is empty has one row")
        air.require((1 - row.last) * row.upper, "idle upper")
        air.require(row.empty * row.used, "of an empty buffer nothing is used")
        air.require(row.empty * row.index, "an empty buffer has one row")
        range_check(air, row.used - 1 + row.empty, 5, row.last)
        air.query(RANGE16, row.index - row.upper * (1 << 16), count=row.last)
        size = row.index * WORD_BYTES + row.used

        air.require((1 - row.real) * row.words_asked, "padding provides no word")
        air.require((1 - row.last) * row.size_asked, "only the last row provides the size")
        air.require((1 - row.last) * row.digest_asked, "only the last row provides the digest")
        air.provide(BUFFER, CALLDATA_KIND, row.id, row.index, row.word, multiplicity=row.words_asked)
        air.provide(BUFFER_SIZE, CALLDATA_KIND, row.id, size, multiplicity=row.size_asked)
        air.provide(CALLDATA, row.id, size, row.after, multiplicity=row.digest_asked)


def padded_words(data: NDArray[np.uint8], starts: Integers, sizes: Integers, rows: Integers) -> Limbs:
    """Pieces of `data` as big-endian words, zeros behind their ends, end to end: (rows.sum(), 16).

    `starts`, `sizes`, `rows`: (n,) of the pieces; a piece has at most 32 times its rows in bytes.
    """
    first = (np.cumsum(rows) - rows) * WORD_BYTES
    padded = np.zeros(int(rows.sum()) * WORD_BYTES, dtype=np.uint8)
    padded[ranges(first, sizes)] = data[ranges(starts, sizes)]
    return bytes_to_words(padded.reshape(-1, WORD_BYTES))


def bytes_to_words(cells: NDArray[np.uint8]) -> Limbs:
    """Rows of bytes (n, 2 k), the most significant first, as limbs (n, k)."""
    limbs: Limbs = np.ascontiguousarray(cells).view(">u2")[:, ::-1].astype(np.uint16)
    return limbs


def buffer_places(execution: Execution) -> tuple[Integers, Integers, Integers, Integers]:
    """Ids, first bytes in the trace's data, sizes and rows of all buffers in the order of the table."""
    table = execution.trace.transactions
    places = np.zeros((len(execution.message_operations), 2, 2), dtype=np.int64)  # first byte and size, of both buffers
    places[:, 0] = np.stack([execution.of_messages(name) for name in ("input_start", "input_size")], axis=1)
    blobs = np.stack([table.blob_hashes_start, table.blob_hashes_size], axis=1)
    places[execution.transaction_messages, 1] = blobs[execution.transactions]
    starts, sizes = places.reshape(-1, 2).T
    ids = np.stack([execution.calldata_ids, execution.blob_ids], axis=1).reshape(-1)
    counts = execution.buffer_rows.reshape(-1)
    there = counts > 0
    return ids[there], starts[there], sizes[there], counts[there]


def fill_calldata(
    execution: Execution, words: NDArray[np.uint32], sizes: NDArray[np.uint32], digests: NDArray[np.uint32]
) -> Matrix | None:
    """All buffers of the segment; `words`, `sizes`, `digests`: what is asked of their buses."""
    ids, starts, bytes_, counts = buffer_places(execution)
    if not len(ids):
        return None
    total = int(counts.sum())
    matrix, rows = allocate(Columns, total)
    last = ids + counts - 1
    rows.real = 1
    rows.last[last] = 1
    rows.id = np.repeat(ids, counts)
    rows.index = ranges(np.zeros_like(counts), counts)
    word = padded_words(execution.trace.data.byte, starts, bytes_, counts)
    rows.word = word
    halves = word.astype(np.uint32).reshape(-1, DIGEST)
    states = ragged_chains(BUFFER_START, halves, BLOCKS_PER_WORD * counts).reshape(-1, BLOCKS_PER_WORD, DIGEST)
    rows.middle = states[:, 0]
    rows.after = states[:, 1]
    rows.before[1:] = states[:-1, 1]
    rows.before[ids] = BUFFER_START
    rows.used[last] = bytes_ - WORD_BYTES * (counts - 1)
    rows.empty[last] = bytes_ == 0
    rows.upper[last] = counts - 1 >= 1 << 16
    # What no row can answer is left to unbalance its bus.
    own = words[words[:, 0] == CALLDATA_KIND]
    rows.words_asked = count_by(own[:, 1].astype(np.int64) + own[:, 2], total)
    rows.size_asked[last] = count_by(sizes[sizes[:, 0] == CALLDATA_KIND, 1], total)[ids]
    rows.digest_asked[last] = count_by(digests[:, 0], total)[ids]
    return matrix


COMPONENTS = (Answering(Calldata(), (BUFFER, BUFFER_SIZE, CALLDATA), fill_calldata),)
