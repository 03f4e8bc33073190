"""Numbers in memory: words that are read as blocks of a number, or blocks that are written."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.gadgets.basic import IsZero, total
from circuits.air.layout import C, Layout, allocate, bit, byte, element, nested
from circuits.air.table import Air, Table
from circuits.memory.buses import MEMORY_BYTES
from circuits.modexp.blocks import Numbers
from circuits.modexp.buses import BLOCK, NUMBER
from circuits.widths import WORD_BYTES

_NUMBER = "number bus"
#: Words of numbers that honest calls ask for: those of the longest base.
_MAX_COUNT = 1 << 14


class Columns(Layout[C]):
    """A word per row, from the most significant one of a number on."""

    real = bit("1 on rows of numbers")
    reads = bit("1: the word in the memory is the block")
    writes = bit("1: the block is written to the memory")
    unit = bit("1: it is the block of the number 1")
    zero = bit("1: the word in the memory is zero")
    frame = element("whose memory", by=_NUMBER)
    time = element("of the access", by=_NUMBER)
    number = element("id of the number", by=_NUMBER)
    count = element("its blocks", by=_NUMBER)
    offset = element("of the word in the memory", by=_NUMBER)
    index = element("which block", by=_NUMBER)
    least: IsZero[C] = nested(IsZero, "whether it is block 0")
    bytes = byte("the block, least significant byte first", WORD_BYTES, by="number_block bus, or zeros")


class NumberWords(Table[Columns]):
    """Ties numbers to the memory of frames, or to 1.

    Indices fall to 0 and a row of index 0 alone sends no further token, so all blocks of a number, which are those from
    0 to count - 1 that can be looked up, are taken: the first token has the index count - 1.
    """

    name = "modexp_numbers"
    row_order = "rows meet only on buses"

    def constraints(self, air: Air[Columns]) -> None:
        row, real = air.row, air.row.real
        kinds = (row.reads, row.writes, row.unit, row.zero)
        air.require(total(list(kinds)) - real, "one kind")
        IsZero.constrain(air, row.least, row.index, when=real, name="least")
        names = (*kinds, row.frame)
        air.receive(NUMBER, *names, row.time, row.number, row.count, row.offset, row.index, count=real)
        air.send(
            NUMBER,
            *names, row.time + 1, row.number, row.count, row.offset + WORD_BYTES, row.index - 1,
            count=real - row.least.zero,
        )  # fmt: skip
        air.query(BLOCK, row.number, row.index, row.count, row.bytes, count=real - row.zero)
        for t, cell in enumerate(row.bytes):
            unit = row.least.zero if t == 0 else air.constant(0)
            air.require(row.zero * cell + row.unit * (cell - unit), f"zeros, or 1: byte {t}")
        word = [row.bytes[2 * t] + row.bytes[2 * t + 1] * 256 for t in range(WORD_BYTES // 2)]
        access = (row.frame, row.time, row.writes, row.offset, WORD_BYTES, word)
        air.send(MEMORY_BYTES, *access, count=real - row.unit)


def fill_number_words(numbers: Numbers, tokens: NDArray[np.uint32]) -> Matrix | None:
    """All words of numbers; `tokens` (n, 10): what calls send on the number bus."""
    # What no honest call asks for is not taken, and its token never received.
    tokens = tokens[(tokens[:, 9] < _MAX_COUNT) & (tokens[:, 6] < max(1, len(numbers.count)))].astype(np.int64)
    if not len(tokens):
        return None
    words = tokens[:, 9] + 1
    owner = np.repeat(np.arange(len(tokens)), words)
    k = np.arange(len(owner)) - (np.cumsum(words) - words)[owner]
    matrix, rows = allocate(Columns, len(owner))
    rows.real = 1
    names = ("reads", "writes", "unit", "zero", "frame", "time", "number", "count", "offset", "index")
    values = dict(zip(names, tokens[owner].T, strict=True))
    values["time"], values["offset"], values["index"] = (
        values["time"] + k, values["offset"] + WORD_BYTES * k, values["index"] - k
    )  # fmt: skip
    for name in names:
        setattr(rows, name, values[name])
    IsZero.fill(rows.least, values["index"].astype(np.uint64))
    there = np.flatnonzero(values["zero"] == 0)
    there = there[values["index"][there] < numbers.count[values["number"][there]]] if len(there) else there
    rows.bytes[there] = numbers.blocks(values["number"][there], values["index"][there])
    return matrix
