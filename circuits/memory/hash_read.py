"""Reading what is hashed: a range of a frame's memory is, word by word, a named input of a hash function."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.gadgets import range_check
from circuits.air.layout import Layout, allocate, bit, element, limb
from circuits.air.table import Air, Table
from circuits.functions.buses import HASH_WORD
from circuits.functions.hash_inputs import HashedWords
from circuits.memory.buses import HASH_READ, MEMORY_BYTES
from circuits.widths import WORD, WORD_BYTES

_BUS = "hash_read bus"

#: No honest sender asks for more: the memory that can be proved has at most as many bytes.
MAX_BYTES = 1 << 24


class Columns(Layout):
    """One word of an input per row."""

    real = bit("1 on rows that read")
    more = bit("1 when a further word follows")
    function = element("which hash function", by=_BUS)
    frame = element("id of the frame", by=_BUS)
    time = element("time of the read", by=_BUS)
    id = element("name of the input", by=_BUS)
    index = element("which word of the input", by=_BUS)
    offset = element("first byte", by=_BUS)
    left = element("bytes left, at least 1", by=_BUS)
    word = limb("up to 32 bytes, zeros behind", WORD, by="memory_bytes bus and hash_word bus")


class HashRead(Table):
    """Compares the memory with the words of hashed inputs."""

    name = "hash_read"
    layout = Columns
    row_order = "rows meet only on buses; hash_read orders those of an input"

    def constraints(self, air: Air) -> None:
        row = air.row
        last = row.real - row.more
        air.require(row.more * (1 - row.real), "padding reads nothing")
        token = (row.function, row.frame, row.time, row.id, row.index, row.offset, row.left)
        rest = (
            row.function,
            row.frame,
            row.time + 1,
            row.id,
            row.index + 1,
            row.offset + WORD_BYTES,
            row.left - WORD_BYTES,
        )
        air.receive(HASH_READ, *token, count=row.real)
        air.send(HASH_READ, *rest, count=row.more)
        # A chain of rows can only end with 1 to 32 bytes left, after `left` has gone down by 32 for each row before:
        # it cannot pass 0 and come back, a table has fewer rows than that takes.
        range_check(air, row.left - 1, 5, last)
        bytes_ = row.left + row.more * (WORD_BYTES - row.left)
        air.send(MEMORY_BYTES, row.frame, row.time, 0, row.offset, bytes_, row.word, count=row.real)
        air.query(HASH_WORD, row.function, row.id, row.index, row.word, count=row.real)


def fill(tokens: NDArray[np.uint32], inputs: Mapping[int, HashedWords]) -> Matrix | None:
    """All words that are read.

    Args:
        tokens: (n, 7) what is sent on the hash_read bus.
        inputs: the hashed inputs of each function.
    """
    # What no honest sender asks for is not read, and its token never received.
    tokens = tokens[(tokens[:, 6] >= 1) & (tokens[:, 6] <= MAX_BYTES)].astype(np.int64)
    if not len(tokens):
        return None
    counts = -(-tokens[:, 6] // WORD_BYTES)
    owner = np.repeat(np.arange(len(tokens)), counts)
    part = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    function, frame, time, id_, index, offset, left = tokens[owner].T
    left = left - WORD_BYTES * part
    matrix, rows = allocate(Columns, len(owner))
    rows.real = 1
    rows.more = left > WORD_BYTES
    rows.function = function
    rows.frame = frame
    rows.time = time + part
    rows.id = id_
    rows.index = index + part
    rows.offset = offset + WORD_BYTES * part
    rows.left = left
    for number, hashed in inputs.items():
        chosen = np.flatnonzero(function == number)
        rows.word[chosen] = hashed.words(id_[chosen], (index + part)[chosen])
    return matrix
