"""Initcodes: every byte of the codes that create contracts, and where instructions start.

No verifier sees an initcode that a contract has put together, so what the verifier does for other codes is proved here:
the bytes are those that the creation read, and the instructions start where they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import select
from circuits.air.layout import Layout, allocate, bit, byte, element
from circuits.air.table import Air, Table
from circuits.batch.code_trees import instruction_starts
from circuits.batch.execution import Execution, Integers, ranges
from circuits.batch.init_codes import INIT_CODE_BASE, init_code_ids, init_code_rows
from circuits.component import Answering
from circuits.frames.buses import BUFFER, BUFFER_SIZE, INIT_CODE, INSTRUCTION
from circuits.frames.calldata import CALLDATA_KIND
from circuits.frames.code import CODE_KIND
from circuits.functions.bitwise_bytes import query_xor
from circuits.memory.buses import MEMORY_BYTES
from circuits.widths import WORD_BYTES
from executor.opcodes import PUSH0
from executor.trace import FrameKind

#: Where an initcode comes from: the calldata of a transaction, or the memory of a frame.
BUFFER_SOURCE, MEMORY_SOURCE = CALLDATA_KIND, 2

_PAIRS = WORD_BYTES // 2
#: CREATE2 needs the hash of its initcode, which is a known code therefore and runs as one.
_CREATIONS = (FrameKind.CREATION, FrameKind.CREATE)

#: Instructions with data are PUSH1 .. PUSH32: bytes from 0x60 to below 0x80. Others lie below, or from 0x80 on.
_FIRST, _END = PUSH0 + 1, PUSH0 + 33
_MIDDLE = 0x40

_CARRIED = "init_code bus, or the row before"
_BYTES = "the word's limb and the bitwise_bytes query of its pair"


class Columns(Layout):
    """32 bytes of an initcode per row. A row's number is id + index - INIT_CODE_BASE."""

    real = bit("1 on rows of initcodes")
    first = bit("1 on the first row of an initcode")
    reads = bit("1 on rows with bytes of it; behind them come rows of zeros")
    final = bit("1 on the row with the last bytes")
    is_memory = bit("1: it comes from memory, 0: from a buffer")
    carries = bit("1: a PUSH in the row's last place has data in the next row")
    id = element("id of the initcode: INIT_CODE_BASE + number of its first row", by="row numbers")
    index = element("which 32 bytes of it", by="counted from the first row")
    source = element("the frame whose memory holds it, or the buffer", by=_CARRIED)
    offset = element("the row's first byte in the memory", by=_CARRIED)
    time = element("when the row's bytes are read there", by=_CARRIED)
    left = element("bytes left, those of the row included; 0 on rows of zeros", by=_CARRIED)
    left_xor = element("exclusive or of left - 1 and 8 (left - 1) on the final row", by="bitwise_bytes bus, or 0")
    data = byte("the bytes, zeros behind the end", WORD_BYTES, by=_BYTES)
    start = bit("1: an instruction starts here", WORD_BYTES)
    high = bit("1: an instruction without data, from 0x80 on", WORD_BYTES)
    middle = bit("1: an instruction without data, from 0x40 to below 0x60, at an odd place", _PAIRS)
    pending = element("bytes of data to come before the next instruction, at even places", _PAIRS, by="counted down")
    xor = byte("exclusive or of what is looked up of each pair of bytes", _PAIRS, by="bitwise_bytes bus")
    instructions = element("how often each byte is looked up", WORD_BYTES, by="balance of the instruction bus")
    words = element("how often the bytes are looked up as a word", by="balance of the buffer bus")
    sizes = element("how often the size is looked up; 0 but on first rows", by="balance of the buffer_size bus")


class InitCode(Table):
    """All initcodes of the segment, one after the other from row 0.

    The first row receives what names the code, the rows behind it read it. Rows of zeros follow up to a STOP behind its
    last instruction, which ends the last row.

    Where instructions start is proved by counting. `pending` bytes of data stand before the next instruction: it falls
    by 1 with every byte that starts none, rises by the size of a PUSH, and must be 0 at every start. A start that is
    left out makes it negative, as does a PUSH without data, and then it stays negative: it is too small to come around
    the modulus, no further byte is a start, and the last one is none.
    """

    name = "init_code"
    layout = Columns

    def constraints(self, air: Air) -> None:
        row = air.row
        self._rows(air)
        self._reads(air)
        self._bytes(air)
        self._starts(air)
        for i in range(WORD_BYTES):
            place = row.index * WORD_BYTES + i
            air.provide(INSTRUCTION, row.id, place, row.data[i], row.start[i], multiplicity=row.instructions[i])
        air.provide(BUFFER, CODE_KIND, row.id, row.index, _word(row), multiplicity=row.words)
        for i, cell in enumerate((*row.instructions, row.words)):
            air.require((1 - row.real) * cell, f"padding answers nothing [{i}]")
        air.require((1 - row.first) * row.sizes, "the first row tells the size")
        air.provide(BUFFER_SIZE, CODE_KIND, row.id, row.left, multiplicity=row.sizes)

    @staticmethod
    def _rows(air: Air) -> None:
        """Real rows come first; an initcode is a run of rows from a first one to the one before the next first one."""
        row, following = air.row, air.next
        air.require(air.is_transition * following.real * (1 - row.real), "real rows come first")
        for flag in ("first", "reads"):
            air.require(getattr(row, flag) * (1 - row.real), f"padding: {flag}")
        air.require(row.final * (1 - row.reads), "the final row reads")
        air.require(row.is_memory * (1 - row.real), "padding: is_memory")
        air.require(air.is_first * (row.real - row.first), "row 0 starts an initcode")
        air.require(air.is_first * row.real * (row.id - INIT_CODE_BASE), "row 0 has the first id")
        air.require(row.first * row.index, "an initcode starts at its first bytes")
        counted = following.id + following.index - row.id - row.index - 1
        air.require(air.is_transition * following.real * counted, "rows are numbered")
        # The table's last row has no next one: its cyclic successor, row 0, is real only as a first row.
        continued = _continued(air)
        for name, step in (("id", 0), ("is_memory", 0), ("source", 0), ("offset", WORD_BYTES), ("time", 1)):
            change = getattr(following, name) - getattr(row, name) - step
            air.require(continued * change, f"the next row's {name}")

    @staticmethod
    def _reads(air: Air) -> None:
        """Rows read 32 bytes, the final one what is left.

        `left` falls by 32 with each row, and no table has enough rows for it to come around the modulus: of an initcode
        only the row where it is in 1..32 can be the final one, and the row behind reads nothing.
        """
        row, following = air.row, air.next
        kind = row.is_memory * (MEMORY_SOURCE - BUFFER_SOURCE) + BUFFER_SOURCE
        air.receive(INIT_CODE, row.id, kind, row.source, row.offset, row.left, row.time, count=row.first)
        air.require((1 - row.reads) * row.left, "a row that reads nothing has nothing left")
        continued = _continued(air)
        air.require(continued * (following.reads - row.reads + row.final), "rows read up to the final one")
        air.require(
            (row.reads - row.final) * (following.left - row.left + WORD_BYTES), "the next row has 32 bytes less"
        )
        air.require((row.real - continued) * row.reads, "the last row reads nothing")
        # A byte whose 8-fold is a byte is below 32.
        query_xor(air, row.left - 1, (row.left - 1) * 8, row.left_xor, count=row.final)
        air.require((1 - row.final) * row.left_xor, "idle exclusive or")
        word = _word(row)
        size = select(row.final, row.left, WORD_BYTES)
        air.send(MEMORY_BYTES, row.source, row.time, 0, row.offset, size, word, count=row.reads * row.is_memory)
        air.query(BUFFER, BUFFER_SOURCE, row.source, row.index, word, count=row.reads * (1 - row.is_memory))
        for k, limb in enumerate(word):
            air.require((1 - row.reads) * limb, f"zeros behind the end: limb {k}")

    @staticmethod
    def _bytes(air: Air) -> None:
        """Both bytes of a limb are bytes, and each fits what it is: one lookup of a pair proves all of that.

        At an odd place stands the lower byte b of a limb. What is looked up of it is a byte exactly for the integers b
        that may stand there: b itself for data, 8 (b - 0x60) for a PUSH with data, 2 (b - 0x80) for other instructions
        from 0x80 on, 8 (b - 0x40) for those from 0x40 to below 0x60, 4 b for the rest. The upper byte, at an even
        place, is only shifted: below 0x80 for a PUSH with data, from 0x80 on or below 0x60 for other instructions. So
        it is an integer, and the lower byte, the limb minus its 256-fold, is one as well; hence that is a byte, and
        since the limb has 16 bits, so is the upper one.
        """
        row, real = air.row, air.row.real
        for k in range(_PAIRS):
            upper, lower = 2 * k, 2 * k + 1
            b, start, high = row.data[upper], row.start[upper], row.high[upper]
            push = _push(row, upper)
            # 0x80, -0x80 and 0xa0 for a PUSH, for the high ones and for the low ones.
            shifted = b + start * 0xA0 - push * 0x20 - high * 0x120
            b, start, high, middle = row.data[lower], row.start[lower], row.high[lower], row.middle[k]
            push = _push(row, lower)
            low = start - push - high - middle
            scaled = b + low * b * 3 + middle * (b * 7 - _MIDDLE * 8) + high * (b - 0x100) + push * (b * 7 - _FIRST * 8)
            query_xor(air, shifted, scaled, row.xor[k], count=real)
            # Flags stand at starts of instructions without data: the next byte is a start, too.
            for name, place, flag in (
                ("high", upper, row.high[upper]),
                ("high", lower, high),
                ("middle", lower, middle),
            ):
                plain = 2 - row.start[place] - _followed(row, place)
                air.require(flag * (plain + (high if name == "middle" else 0)), f"{name}: byte {place}")

    @staticmethod
    def _starts(air: Air) -> None:
        row, following, real = air.row, air.next, air.row.real
        air.require((1 - real + row.first) * row.pending[0], "an initcode starts with an instruction")
        for k in range(_PAIRS):
            upper, lower = 2 * k, 2 * k + 1
            first, second = row.start[upper], row.start[lower]
            air.require(first * row.pending[k], f"start {upper}")
            # Were the upper byte a PUSH with data, the lower one would be no start.
            air.require(second * (row.pending[k] + first - 1), f"start {lower}")
            data = [_push(row, place) * (row.data[place] - PUSH0) for place in (upper, lower)]
            after = row.pending[k] + first + second - real * 2 + data[0] + data[1]
            if k + 1 < _PAIRS:
                air.require(row.pending[k + 1] - after, f"data behind byte {lower}")
            else:
                air.require(following.pending[0] - after, "data in the next row")
        last = real - _continued(air)
        air.require(last * (1 - row.start[-1]), "the last byte is an instruction")
        air.require(
            _continued(air) * (row.carries - row.start[-1] * (1 - following.start[0])), "a PUSH in the last place"
        )


def _continued(air: Air) -> Expression:
    """1 on a row whose initcode goes on in the next one."""
    continued: Expression = air.next.real - air.next.first
    return continued


def _word(row: Any) -> list[Expression]:
    """The row's bytes as a big-endian word."""
    return [row.data[2 * k] * (1 << 8) + row.data[2 * k + 1] for k in reversed(range(_PAIRS))]


def _followed(row: Any, place: int) -> Expression:
    """Where an instruction starts at this place: 1 if another one starts behind it, 0 if its data does."""
    followed: Expression = row.start[place + 1] if place + 1 < WORD_BYTES else 1 - row.carries
    return followed


def _push(row: Any, place: int) -> Expression:
    """1 where a PUSH with data starts."""
    if place + 1 == WORD_BYTES:
        carries: Expression = row.carries
        return carries
    push: Expression = row.start[place] * (1 - row.start[place + 1])
    return push


@dataclass(frozen=True, eq=False)
class InitCodes:
    """The initcodes that run in a segment, in the order of its frames, all (n,).

    Attributes:
        frame: id of the frame that runs it.
        code: row of the trace's codes.
        size: bytes.
        id: what it is called on the buses of codes.
    """

    frame: Integers
    code: Integers
    size: Integers
    id: Integers

    @classmethod
    def of(cls, execution: Execution) -> InitCodes:
        """Of an execution. A creation whose initcode is empty, or that never began, has no step and runs nothing."""
        frames, rows = execution.trace.frames, execution.frames
        runs = np.isin(frames.kind[rows], _CREATIONS) & (frames.end_step[rows] > frames.first_step[rows])
        frame = np.flatnonzero(runs)
        code = frames.code[rows[frame]].astype(np.int64)
        size = execution.trace.codes.size[code].astype(np.int64)
        return cls(frame + 1, code, size, init_code_ids(size))

    def contents(self, execution: Execution) -> list[bytes]:
        """The bytes of each."""
        trace = execution.trace
        return [trace.bytes_at(trace.codes.start[code], trace.codes.size[code]) for code in self.code.tolist()]


def fill_init_code(
    execution: Execution,
    messages: NDArray[np.uint32],
    instructions: NDArray[np.uint32],
    words: NDArray[np.uint32],
    sizes: NDArray[np.uint32],
) -> Matrix | None:
    """All initcodes of the segment with the answers to these queries; wrong queries are left to unbalance their bus."""
    contents = InitCodes.of(execution).contents(execution)
    return fill_contents(contents, messages, instructions, words, sizes)


def fill_contents(
    contents: Sequence[bytes],
    messages: NDArray[np.uint32],
    instructions: NDArray[np.uint32],
    words: NDArray[np.uint32],
    sizes: NDArray[np.uint32],
) -> Matrix | None:
    """The table of initcodes with these contents; the other arguments are messages of the buses, (n, width).

    An initcode that no message names with its size is filled all the same, and unbalances the bus.
    """
    if not len(contents):
        return None
    size = np.array([len(code) for code in contents], dtype=np.int64)
    ids, counts = init_code_ids(size), init_code_rows(size)
    cells, starts = _cells(contents, counts)
    named = messages.astype(np.int64)
    code, known = _places(named[:, 0], ids)
    known &= named[:, 4] == size[code]
    told = np.zeros((len(contents), named.shape[1]), dtype=np.int64)
    told[code[known]] = named[known]
    owner = np.repeat(np.arange(len(contents)), counts)
    index = ranges(np.zeros(len(counts), dtype=np.int64), counts)
    height = len(owner)
    matrix, rows = allocate(Columns, height)
    left = np.maximum(size[owner] - WORD_BYTES * index, 0)
    final = (left > 0) & (left <= WORD_BYTES)
    rows.real = 1
    rows.first = index == 0
    rows.reads = left > 0
    rows.final = final
    rows.is_memory = told[owner, 1] == MEMORY_SOURCE
    rows.id = ids[owner]
    rows.index = index
    rows.source = told[owner, 2]
    rows.offset = told[owner, 3] + WORD_BYTES * index
    rows.time = told[owner, 5] + index
    rows.left = left
    rows.left_xor = np.where(final, (left - 1) ^ (left - 1) * 8, 0)
    rows.data = cells
    rows.start = starts
    _fill_starts(rows, cells.astype(np.int64), starts.astype(np.int64))
    # Answers.
    number, place = instructions[:, 0].astype(np.int64) - INIT_CODE_BASE, instructions[:, 1].astype(np.int64)
    at, here = _in_table(number + place // WORD_BYTES, height)
    byte_ = place % WORD_BYTES
    here &= (rows.id[at] == instructions[:, 0]) & (cells[at, byte_] == instructions[:, 2])
    here &= starts[at, byte_] == instructions[:, 3]
    rows.instructions = _count(at[here] * WORD_BYTES + byte_[here], WORD_BYTES * height).reshape(-1, WORD_BYTES)
    at, here = _in_table(words[:, 1].astype(np.int64) - INIT_CODE_BASE + words[:, 2], height)
    limbs = (cells[:, 0::2].astype(np.uint32) << 8 | cells[:, 1::2])[:, ::-1]
    here &= (words[:, 0] == CODE_KIND) & (rows.id[at] == words[:, 1]) & (limbs[at] == words[:, 3:]).all(axis=1)
    rows.words = _count(at[here], height)
    code, here = _places(sizes[:, 1], ids)
    here &= (sizes[:, 0] == CODE_KIND) & (size[code] == sizes[:, 2])
    rows.sizes = _count(ids[code[here]] - INIT_CODE_BASE, height)
    return matrix


def _cells(contents: Sequence[bytes], counts: Integers) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bytes of initcodes, zeros behind their ends, and 1 where an instruction starts; both (counts.sum(), 32)."""
    padded = [code.ljust(count * WORD_BYTES, b"\0") for code, count in zip(contents, counts.tolist(), strict=True)]
    cells = np.frombuffer(b"".join(padded), dtype=np.uint8)
    # The data of an initcode does not reach the next one: the zeros behind it are longer than that.
    starts = instruction_starts(cells)
    cells, starts = cells.reshape(-1, WORD_BYTES), starts.reshape(-1, WORD_BYTES)
    return cells, starts


def _fill_starts(rows: Any, cells: Integers, starts: Integers) -> None:
    """What proves the starts; `cells`, `starts`: (rows, 32)."""
    height = len(cells)
    # What follows the last byte of a row, of the last row of an initcode the next one, is a start behind the table.
    flat = np.append(starts.reshape(-1), 1)
    push = (flat[:-1] == 1) & (flat[1:] == 0)
    # Data bytes are counted up from the last start; what is left is the size of its PUSH less than that.
    places = np.arange(len(push))
    opened = np.maximum.accumulate(np.where(flat[:-1] == 1, places, 0))
    data = np.where(push, cells.reshape(-1) - PUSH0, 0)
    pending = np.where(flat[:-1] == 1, 0, data[opened] + opened + 1 - places)
    push = push.reshape(height, WORD_BYTES)
    plain = (starts == 1) & ~push
    rows.carries = push[:, -1]
    rows.high = plain & (cells >= _END)
    middle = (plain & (cells >= _MIDDLE) & (cells < _FIRST))[:, 1::2]
    rows.middle = middle
    rows.pending = pending.reshape(height, WORD_BYTES)[:, 0::2]
    upper, lower = cells[:, 0::2], cells[:, 1::2]
    kinds = [(plain & (cells >= _END)), push, plain]
    high, push_, plain_ = (kind[:, 0::2] for kind in kinds)
    shifted = np.select([high, push_, plain_], [upper - 0x80, upper + 0x80, upper + 0xA0], upper)
    high, push_, plain_ = (kind[:, 1::2] for kind in kinds)
    scaled = np.select(
        [high, push_, middle, plain_],
        [2 * (lower - 0x80), 8 * (lower - _FIRST), 8 * (lower - _MIDDLE), 4 * lower],
        lower,
    )
    rows.xor = shifted ^ scaled


def _places(asked: NDArray[np.integer[Any]], ids: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """Numbers (n,) of the initcodes with these ids, and whether there are such initcodes."""
    code = np.minimum(np.searchsorted(ids, asked), len(ids) - 1)
    return code, ids[code] == asked


def _in_table(numbers: Integers, height: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Row numbers (n,) within the table, and whether they are these numbers."""
    inside = np.clip(numbers, 0, height - 1)
    return inside, inside == numbers


def _count(places: NDArray[np.integer[Any]], size: int) -> NDArray[np.int64]:
    return np.bincount(places, minlength=size)


COMPONENTS = (Answering(InitCode(), (INIT_CODE, INSTRUCTION, BUFFER, BUFFER_SIZE), fill_init_code),)
