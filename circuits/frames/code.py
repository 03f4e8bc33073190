"""Codes: every byte of the codes that run, where instructions start, and the sites of PUSH instructions.

A code's leaf in the access tree holds a digest of its bytes and of the places where instructions start, both made by
the verifier. The `code` table opens that digest; everything that executes or copies code asks it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import total
from circuits.air.layout import Layout, TraceView, allocate, bit, byte, element, limb
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.component import Answering
from circuits.frames.buses import BUFFER, BUFFER_SIZE, CODE, INSTRUCTION, PUSH
from circuits.functions.bitwise_bytes import query_xor
from circuits.hashing import constrain_compress
from circuits.state.buses import CODE_LEAF
from circuits.statement import CODE_BYTES, CODE_START, code_cells, code_elements, ragged_chains
from circuits.widths import DIGEST, WORD
from executor.opcodes import MAX_PUSH, PUSH0

#: The kind of a code on the buses of buffers.
CODE_KIND = 1

_PAIRS = CODE_BYTES // 2

#: PUSH costs this (cancun/vm/gas.py GAS_BASE), and with data 1 more (GAS_VERY_LOW).
_GAS_BASE = 2

#: A small push site has at most this many bytes of data.
SMALL_SITE = 4


class CodeColumns(Layout):
    """32 bytes of a code per row. A row's number is id + index, on padding rows, too."""

    real = bit("1 on rows that hold a part of a code")
    first = bit("1 on the first row of a code")
    last = bit("1 on the last row of a code")
    id = element("id of the code: number of its first row", by="row numbers")
    index = element("which 32 bytes of the code", by="counted from the first row")
    data = byte("the bytes, zeros behind the end of the code", CODE_BYTES, by="a bitwise_bytes query for each pair")
    start = bit("1: an instruction starts here", CODE_BYTES)
    xor = byte("exclusive or of each pair of bytes", _PAIRS, by="bitwise_bytes bus")
    state = element("running hash of the code before the row", DIGEST, by="its start, or the row before")
    middle = element("running hash behind the first 16 bytes", DIGEST, by="poseidon2 bus")
    after = element("running hash behind the row", DIGEST, by="poseidon2 bus")
    hash = limb("keccak256 of the code; 0 before its last row", WORD, by="code_leaf bus")
    size = element("bytes of the code; 0 before its last row", by="code_leaf bus")
    instructions = element("how often each byte is looked up", CODE_BYTES, by="balance of the instruction bus")
    words = element("how often the bytes are looked up as a word", by="balance of the buffer bus")
    codes = element("how often hash and size are looked up", by="balance of the code bus")
    sizes = element("how often the size is looked up", by="balance of the buffer_size bus")


class Code(Table):
    """All codes of the segment, one after the other from row 0.

    A row that is real and not the last of its code is continued by the next one. The table's end cannot be, because its
    cyclic successor is row 0, which starts a code. So every code reaches a last row, whose hash is that of a leaf: what
    a row provides belongs to a code that the verifier knows.
    """

    name = "code"
    layout = CodeColumns

    def constraints(self, air: Air) -> None:
        row, following = air.row, air.next
        self._rows(air)
        # The content of a row.
        for k in range(_PAIRS):
            query_xor(air, row.data[2 * k], row.data[2 * k + 1], row.xor[k], count=row.real)
        elements = [_element(row, k) for k in range(_PAIRS)]
        constrain_compress(air, row.state, elements[:DIGEST], row.middle, count=row.real)
        constrain_compress(air, row.middle, elements[DIGEST:], row.after, count=row.real)
        air.require_equal(row.state, [air.constant(int(x)) for x in CODE_START], "a code's first state", when=row.first)
        air.require_equal(following.state, row.after, "the next state", when=row.real - row.last)
        # What others ask for.
        for i in range(CODE_BYTES):
            place = row.index * CODE_BYTES + i
            air.provide(INSTRUCTION, row.id, place, row.data[i], row.start[i], multiplicity=row.instructions[i])
        word = [row.data[2 * k] * 256 + row.data[2 * k + 1] for k in reversed(range(_PAIRS))]
        air.provide(BUFFER, CODE_KIND, row.id, row.index, word, multiplicity=row.words)
        for i, cell in enumerate((*row.instructions, row.words)):
            air.require((1 - row.real) * cell, f"padding answers nothing [{i}]")
        # Hash and size: the leaf's.
        air.query(CODE_LEAF, row.hash, row.after, row.size, count=row.last)
        for i, cell in enumerate((*row.hash, row.size, row.codes, row.sizes)):
            air.require((1 - row.last) * cell, f"hash and size on last rows only [{i}]")
        air.provide(CODE, row.id, row.hash, row.size, multiplicity=row.codes)
        air.provide(BUFFER_SIZE, CODE_KIND, row.id, row.size, multiplicity=row.sizes)

    @staticmethod
    def _rows(air: Air) -> None:
        """Real rows come first; all are numbered id + index; a code is a run of rows from a first to a last one."""
        row, following = air.row, air.next
        air.require(air.is_transition * following.real * (1 - row.real), "real rows come first")
        air.require(row.first * (1 - row.real), "padding starts no code")
        air.require(row.last * (1 - row.real), "padding ends no code")
        air.require(air.is_first * (row.real - row.first), "row 0 starts a code")
        air.require(air.is_first * (row.id + row.index), "row 0 has number 0")
        air.require(row.first * row.index, "a code starts at its first bytes")
        number, next_number = row.id + row.index, following.id + following.index
        air.require(air.is_transition * (next_number - number - 1), "rows are numbered")
        air.require((1 - row.real) * row.index, "padding has ids of its own")
        continued = row.real - row.last
        air.require(continued * (1 - following.real), "a code goes on in the next row")
        air.require(continued * following.first, "a code does not start within another")
        air.require(continued * (following.id - row.id), "a code keeps its id")
        air.require((1 - continued) * (following.real - following.first), "behind the last row, another code starts")


def _element(row: Any, k: int) -> Expression:
    """The hashed element of a pair of bytes, below 2^18: it tells both bytes and both starts."""
    low = row.data[2 * k] + row.data[2 * k + 1] * (1 << 8)
    element_: Expression = low + row.start[2 * k] * (1 << 16) + row.start[2 * k + 1] * (1 << 17)
    return element_


def fill_code(
    execution: Execution,
    instructions: NDArray[np.uint32],
    codes: NDArray[np.uint32],
    words: NDArray[np.uint32],
    sizes: NDArray[np.uint32],
) -> Matrix | None:
    """All codes of the segment, with the answers to these queries; wrong queries are left to unbalance their bus."""
    if not any(map(len, (instructions, codes, words, sizes))):
        return None
    contents = [cells_of(execution, code) for code in execution.codes.tolist()]
    counts = np.array([len(cells) for cells, _ in contents], dtype=np.int64)
    height = int(counts.sum())
    matrix, rows = allocate(CodeColumns, height)
    number = np.arange(len(matrix))
    TraceView(CodeColumns, matrix).id = number
    number = number[:height]
    ends = np.cumsum(counts) - 1
    rows.real = 1
    rows.first[execution.code_ids] = 1
    rows.last[ends] = 1
    rows.id = np.repeat(execution.code_ids, counts)
    rows.index = number - rows.id
    cells = np.concatenate([cells for cells, _ in contents])
    starts = np.concatenate([starts for _, starts in contents])
    rows.data = cells
    rows.start = starts
    rows.xor = cells[:, 0::2] ^ cells[:, 1::2]
    states = ragged_chains(CODE_START, code_elements(cells, starts).reshape(-1, DIGEST), 2 * counts)
    rows.middle = states[0::2]
    rows.after = states[1::2]
    rows.state[1:] = states[1:-1:2]
    rows.state[execution.code_ids] = CODE_START
    rows.hash[ends] = execution.trace.codes.hash[execution.codes]
    rows.size[ends] = execution.trace.codes.size[execution.codes]
    # Answers.
    place, valid = _rows_of(rows, instructions[:, 0], instructions[:, 1] // CODE_BYTES)
    at = instructions[:, 1] % CODE_BYTES
    valid &= (cells[place, at] == instructions[:, 2]) & (starts[place, at] == instructions[:, 3])
    rows.instructions = _count(place[valid] * CODE_BYTES + at[valid], CODE_BYTES * height).reshape(-1, CODE_BYTES)
    place, valid = _rows_of(rows, words[:, 1], words[:, 2])
    big_endian = cells.astype(np.uint32)
    limbs = (big_endian[:, 0::2] << 8 | big_endian[:, 1::2])[:, ::-1]
    valid &= (words[:, 0] == CODE_KIND) & (limbs[place] == words[:, 3:]).all(axis=1)
    rows.words = _count(place[valid], height)
    last, valid = _last_rows(execution, ends, codes[:, 0])
    valid &= (rows.hash[last] == codes[:, 1 : 1 + WORD]).all(axis=1) & (rows.size[last] == codes[:, -1])
    rows.codes = _count(last[valid], height)
    last, valid = _last_rows(execution, ends, sizes[:, 1])
    valid &= (sizes[:, 0] == CODE_KIND) & (rows.size[last] == sizes[:, 2])
    rows.sizes = _count(last[valid], height)
    return matrix


def cells_of(execution: Execution, code: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bytes and starts, (rows, 32) each, of a code: a row of the trace's codes."""
    codes = execution.trace.codes
    return code_cells(execution.trace.bytes_at(codes.start[code], codes.size[code]))


def _rows_of(
    rows: Any, ids: NDArray[np.uint32], index: NDArray[np.uint32]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows (n,) that hold these parts of codes, and whether there are such rows."""
    number = ids.astype(np.int64) + index
    place = np.minimum(number, len(rows.id) - 1)
    return place, (place == number) & (rows.id[place] == ids)


def _last_rows(
    execution: Execution, ends: NDArray[np.int64], ids: NDArray[np.uint32]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Last rows (n,) of the codes with these ids, and whether there are such codes."""
    code = np.minimum(np.searchsorted(execution.code_ids, ids), len(ends) - 1)
    return ends[code], execution.code_ids[code] == ids


def _count(places: NDArray[np.integer[Any]], size: int) -> NDArray[np.int64]:
    return np.bincount(places, minlength=size)


#: Why the place of a PUSH may change.
_ELSEWHERE = "another true statement: of a place with the same bytes, which the instruction bus confirms"


def site_columns(most: int) -> type[Layout]:
    """The layout of push sites with at most this many bytes of data."""

    class SiteColumns(Layout):
        """One PUSH of a code per row; bytes from the least significant, which stands last, on."""

        real = bit("1 on rows that stand for a site")
        code = element("id of the code", by="instruction bus", free=_ELSEWHERE)
        pc = element("place of the instruction", by="instruction bus", free=_ELSEWHERE)
        size = element("bytes of data", by="the sum of active")
        active = bit("1 for every byte of data that there is, the least significant first", most)
        data = byte("the data; 0 where there is none", most, by="instruction bus")
        multiplicity = element("how often the site is looked up", by="balance of the push bus")

    return SiteColumns


class PushSite(Table):
    """PUSH instructions of codes, with their data and their cost."""

    row_order = "rows are looked up"

    def __init__(self, name: str, most: int) -> None:
        self.name = name  # type: ignore[misc]
        self.most = most
        self.layout = site_columns(most)  # type: ignore[misc]

    def constraints(self, air: Air) -> None:
        row = air.row
        air.require(row.size - total(row.active), "size")
        for k in range(self.most):
            enabled = row.active[k - 1] if k else row.real
            air.require(row.active[k] * (1 - enabled), f"byte {k} follows byte {k - 1}")
            air.require((1 - row.active[k]) * row.data[k], f"no byte {k}")
        air.query(INSTRUCTION, row.code, row.pc, row.size + PUSH0, 1, count=row.real)
        # The last byte stands at pc + size. The code is padded with zeros: data that it cuts off is there, too.
        for k in range(self.most):
            air.query(INSTRUCTION, row.code, row.pc + row.size - k, row.data[k], 0, count=row.active[k])
        word = [
            row.data[2 * i] + (row.data[2 * i + 1] * 256 if 2 * i + 1 < self.most else 0)
            for i in range((self.most + 1) // 2)
        ]
        word += [air.constant(0)] * (WORD - len(word))
        cost = row.active[0] + _GAS_BASE
        air.provide(PUSH, row.code, row.pc, row.size, cost, word, multiplicity=row.multiplicity)
        air.require((1 - row.real) * row.multiplicity, "padding answers nothing")


SITES_SMALL = PushSite("push_site_small", SMALL_SITE)
SITES_LARGE = PushSite("push_site_large", MAX_PUSH)


def _fill_sites(table: PushSite, queries: NDArray[np.uint32], smallest: int) -> Matrix | None:
    """The sites that are asked for, of the table's sizes from the smallest on."""
    size = queries[:, 2]
    queries = queries[(size >= smallest) & (size <= table.most)]
    if not len(queries):
        return None
    # A code's bytes decide the rest of a true query.
    key = queries[:, 0].astype(np.int64) << 32 | queries[:, 1]
    _, first, counts = np.unique(key, return_index=True, return_counts=True)
    sites = queries[first]
    matrix, rows = allocate(table.layout, len(sites))
    rows.real = 1
    rows.code = sites[:, 0]
    rows.pc = sites[:, 1]
    rows.size = sites[:, 2]
    rows.active = np.arange(table.most) < sites[:, 2, None]
    word = sites[:, 4:]
    octets = np.stack([word & 0xFF, word >> 8], axis=2).reshape(len(sites), -1)
    rows.data = octets[:, : table.most]
    rows.multiplicity = counts
    return matrix


COMPONENTS = (
    Answering(SITES_SMALL, PUSH, lambda _, queries: _fill_sites(SITES_SMALL, queries, 0)),
    Answering(SITES_LARGE, PUSH, lambda _, queries: _fill_sites(SITES_LARGE, queries, SMALL_SITE + 1)),
    Answering(Code(), (INSTRUCTION, CODE, BUFFER, BUFFER_SIZE), fill_code),
)
