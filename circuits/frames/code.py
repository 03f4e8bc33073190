"""Codes: the bytes that run or are copied, and where instructions start.

A code's leaf in the access tree holds its hash, its size and the root of a tree over its chunks
(`circuits.batch.code_trees`). `code` has a row for each code of the segment, `code_node` opens the tree as far as it is
needed, `code_chunk` the chunks; everything that executes or copies code asks them. `code_word` puts words together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.distinct import distinct_rows
from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import total
from circuits.air.layout import RANGE, Layout, TraceView, allocate, bit, byte, element, limb
from circuits.air.table import Air, Table
from circuits.batch.code_trees import CHUNK_BYTES, ELEMENT_BYTES, CodeTrees
from circuits.batch.execution import Execution, Integers
from circuits.component import Answering
from circuits.frames.buses import BUFFER, BUFFER_SIZE, CODE, CODE_NODE, CODE_PART, INSTRUCTION
from circuits.frames.calldata import bytes_to_words
from circuits.frames.contexts import count_by
from circuits.functions.bitwise_bytes import query_xor
from circuits.functions.buses import HASH_WORD, KNOWN_CODE
from circuits.hashing import constrain_compress
from circuits.limbs import Limbs
from circuits.state.buses import CODE_LEAF
from circuits.widths import DIGEST, WORD

#: The kind of a code on the buses of buffers.
CODE_KIND = 1

#: Half a word: the greatest part of a word that fits a chunk without a rest.
PART_BYTES = 16
_PARTS = CHUNK_BYTES // PART_BYTES
_PART = WORD // 2

_LEAF = "code_leaf bus"
_NODE = "code_node bus"
_SAME = "another true statement: of another code with the same bytes there, which the bus below confirms"


class CodeColumns(Layout):
    """One code per row."""

    real = bit("1 on rows that stand for a code")
    id = element("id of the code: the row's number", by="counted, on padding rows, too")
    hash = limb("keccak256 of the code", WORD, by=_LEAF)
    root = element("root of the tree of its chunks", DIGEST, by=_LEAF)
    size = element("bytes of the code", by=_LEAF)
    depth = element("level of the root", by=_LEAF)
    codes = element("how often hash and size are looked up", by="balance of the code bus")
    sizes = element("how often the size is looked up", by="balance of the buffer_size bus")
    roots = element("how often the root is looked up", by="balance of the code_node bus")


class Code(Table):
    """The codes of the segment: what a row says of its id is what the leaf of one code says."""

    name = "code"
    layout = CodeColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        air.require(air.is_first * row.id, "row 0 has number 0")
        air.require(air.is_transition * (air.next.id - row.id - 1), "rows are numbered")
        air.query(CODE_LEAF, row.hash, row.root, row.size, row.depth, count=row.real)
        for name in ("codes", "sizes", "roots"):
            air.require((1 - row.real) * getattr(row, name), f"padding answers nothing: {name}")
        air.provide(CODE, row.id, row.hash, row.size, multiplicity=row.codes)
        air.provide(BUFFER_SIZE, CODE_KIND, row.id, row.size, multiplicity=row.sizes)
        air.provide(CODE_NODE, row.id, row.depth, 0, row.root, multiplicity=row.roots)


class CodeNodeColumns(Layout):
    """One inner node above an opened chunk per row."""

    real = bit("1 on rows that stand for a node")
    id = element("id of the code", by=_NODE, free=_SAME)
    level = element("distance from the chunks", by=_NODE)
    index = element("position within the level", by=_NODE)
    children = element("digests of both children", (2, DIGEST), by="poseidon2 bus: the digest")
    digest = element("C(children)", DIGEST, by=_NODE)
    asked = element("how often each child is looked up", 2, by="balance of the code_node bus")


class CodeNode(Table):
    """Nodes that are looked up and provide their children."""

    name = "code_node"
    layout = CodeNodeColumns
    row_order = "rows meet only on the code_node bus"

    def constraints(self, air: Air) -> None:
        row = air.row
        air.query(CODE_NODE, row.id, row.level, row.index, row.digest, count=row.real)
        constrain_compress(air, row.children[0], row.children[1], row.digest, count=row.real)
        for side in range(2):
            air.require((1 - row.real) * row.asked[side], f"padding has no child {side}")
            child = 2 * row.index + side
            air.provide(CODE_NODE, row.id, row.level - 1, child, row.children[side], multiplicity=row.asked[side])


class CodeChunkColumns(Layout):
    """One opened chunk per row."""

    real = bit("1 on rows that hold a chunk")
    id = element("id of the code", by=_NODE, free=_SAME)
    index = element("which 48 bytes of the code", by=_NODE)
    data = byte("the bytes, zeros behind the end of the code", CHUNK_BYTES, by="a bitwise_bytes query for each pair")
    start = bit("1: an instruction starts here", CHUNK_BYTES)
    xor = byte("exclusive or of each pair of bytes", CHUNK_BYTES // 2, by="bitwise_bytes bus")
    digest = element("digest of bytes and starts", DIGEST, by=_NODE)
    instructions = element("how often each byte is looked up", CHUNK_BYTES, by="balance of the instruction bus")
    halves = element("how often each 16 bytes are looked up", _PARTS, by="balance of the code_part bus")


class CodeChunk(Table):
    """Chunks that stand where they are said to stand, byte by byte.

    Bytes are bytes and starts are bits, so the hashed elements, below 2^27, tell them all.
    """

    name = "code_chunk"
    layout = CodeChunkColumns
    row_order = "every row answers for itself"

    def constraints(self, air: Air) -> None:
        row = air.row
        for k in range(CHUNK_BYTES // 2):
            query_xor(air, row.data[2 * k], row.data[2 * k + 1], row.xor[k], count=row.real)
        elements = [_element(row, k) for k in range(2 * DIGEST)]
        constrain_compress(air, elements[:DIGEST], elements[DIGEST:], row.digest, count=row.real)
        air.query(CODE_NODE, row.id, 0, row.index, row.digest, count=row.real)
        for i in range(CHUNK_BYTES):
            air.require((1 - row.real) * row.instructions[i], f"padding answers nothing: byte {i}")
            place = row.index * CHUNK_BYTES + i
            air.provide(INSTRUCTION, row.id, place, row.data[i], row.start[i], multiplicity=row.instructions[i])
        for i in range(_PARTS):
            air.require((1 - row.real) * row.halves[i], f"padding answers nothing: part {i}")
            limbs = limbs_of_bytes(row.data[PART_BYTES * i : PART_BYTES * (i + 1)])
            air.provide(CODE_PART, row.id, row.index * _PARTS + i, limbs, multiplicity=row.halves[i])


def _element(row: Any, k: int) -> Expression:
    """The k-th hashed element of a chunk (`circuits.batch.code_trees.chunk_elements`)."""
    cells = [row.data[ELEMENT_BYTES * k + i] * (1 << 8 * i) for i in range(ELEMENT_BYTES)]
    flags = [row.start[ELEMENT_BYTES * k + i] * (1 << 8 * ELEMENT_BYTES + i) for i in range(ELEMENT_BYTES)]
    return total([*cells, *flags])


def limbs_of_bytes(data: Sequence[Any]) -> list[Expression]:
    """The limbs of a big-endian number of an even number of bytes, the least significant first."""
    return [data[2 * k] * (1 << 8) + data[2 * k + 1] for k in reversed(range(len(data) // 2))]


class CodeWordColumns(Layout):
    """32 bytes of a code per row."""

    real = bit("1 on rows that answer a query")
    id = element("id of the code", by="code_part bus", free=_SAME)
    # A limb, so that twice the index is a number of a part and nothing that is one only in the field.
    index = limb("which 32 bytes of the code", by=RANGE)
    word = limb("the bytes as a big-endian word", WORD, by="code_part bus")
    asked = element("how often the word is copied", by="balance of the buffer bus")
    compared = element("how often it is compared with memory", by="balance of the hash_word bus")


class CodeWord(Table):
    """Words of codes that are copied, or that memory is shown to hold: an initcode, or what a creation returns."""

    name = "code_word"
    layout = CodeWordColumns
    row_order = "every row answers for itself"

    def constraints(self, air: Air) -> None:
        row = air.row
        # The upper half, whose limbs are the last ones, comes first.
        air.query(CODE_PART, row.id, row.index * 2, row.word[_PART:], count=row.real)
        air.query(CODE_PART, row.id, row.index * 2 + 1, row.word[:_PART], count=row.real)
        for asked in (row.asked, row.compared):
            air.require((1 - row.real) * asked, "padding answers nothing")
        air.provide(BUFFER, CODE_KIND, row.id, row.index, row.word, multiplicity=row.asked)
        air.provide(HASH_WORD, KNOWN_CODE, row.id, row.index, row.word, multiplicity=row.compared)


# Filling. What is asked falsely, or of others (calldata, codes that are being created), is left to unbalance its bus.


def _parts(trees: CodeTrees) -> Limbs:
    """Limbs (3 n, 8) of all parts of chunks."""
    return bytes_to_words(trees.cells.reshape(-1, PART_BYTES))


def _chunks(trees: CodeTrees, ids: NDArray[np.integer], index: Integers) -> Integers:
    """Rows (n,) of chunks in the trees, -1 where there is no such code or chunk."""
    known = ids < len(trees.counts[0])
    return np.where(known, trees.chunk(np.where(known, ids, 0).astype(np.int64), index), -1)


def _find_parts(trees: CodeTrees, ids: NDArray[np.integer], index: Integers) -> Integers:
    """Rows (n,) of parts in `_parts`, -1 where there is none."""
    chunks = _chunks(trees, ids, index // _PARTS)
    return np.where(chunks >= 0, chunks * _PARTS + index % _PARTS, -1)


class CodeContents:
    """The words of a segment's codes."""

    def __init__(self, execution: Execution) -> None:
        self._trees = execution.code_trees
        self._parts = _parts(self._trees)

    def words(self, ids: Integers, index: Integers) -> Limbs:
        """Words (n, 16) of codes; zeros where there is none."""
        places = [_find_parts(self._trees, ids, 2 * index + half) for half in range(2)]
        upper, lower = (np.where(at[:, None] >= 0, self._parts[at], 0) for at in places)
        return np.concatenate([lower, upper], axis=1).astype(np.uint16)

    def known(self, ids: Integers, index: Integers) -> NDArray[np.bool_]:
        """Which of these words (n,) there are."""
        known: NDArray[np.bool_] = _find_parts(self._trees, ids, 2 * index + 1) >= 0
        return known


def fill_code_word(execution: Execution, copied: NDArray[np.uint32], compared: NDArray[np.uint32]) -> Matrix | None:
    """The words of codes that are asked for: on the buffer bus, and on the hash_word bus, (n, 19) each."""
    if not len(execution.codes):
        return None
    copied, compared = copied[copied[:, 0] == CODE_KIND, 1:], compared[compared[:, 0] == KNOWN_CODE, 1:]
    asked, _, place = distinct_rows(np.concatenate([copied, compared]))
    ids = asked[:, 0].astype(np.int64)
    contents, index = CodeContents(execution), asked[:, 1].astype(np.int64)
    true = contents.known(ids, index) & (contents.words(ids, index) == asked[:, 2:]).all(axis=1)
    if not true.any():
        return None
    matrix, rows = allocate(CodeWordColumns, int(true.sum()))
    rows.real = 1
    rows.id = ids[true]
    rows.index = index[true]
    rows.word = asked[true, 2:]
    rows.asked = count_by(place[: len(copied)], len(asked))[true]
    rows.compared = count_by(place[len(copied) :], len(asked))[true]
    return matrix


def fill_code_chunk(execution: Execution, instructions: NDArray[np.uint32], parts: NDArray[np.uint32]) -> Matrix | None:
    """The chunks of which something is asked."""
    if not len(execution.codes):
        return None
    trees = execution.code_trees
    at = instructions[:, 1].astype(np.int64)
    chunk = _chunks(trees, instructions[:, 0], at // CHUNK_BYTES)
    at %= CHUNK_BYTES
    true = (
        (chunk >= 0) & (trees.cells[chunk, at] == instructions[:, 2]) & (trees.starts[chunk, at] == instructions[:, 3])
    )
    byte_ = chunk[true] * CHUNK_BYTES + at[true]
    part = _find_parts(trees, parts[:, 0], parts[:, 1].astype(np.int64))
    part = part[(part >= 0) & (_parts(trees)[part] == parts[:, 2:]).all(axis=1)]
    opened = np.unique(np.concatenate([byte_ // CHUNK_BYTES, part // _PARTS]))
    if not len(opened):
        return None
    matrix, rows = allocate(CodeChunkColumns, len(opened))
    cells, starts = trees.cells[opened], trees.starts[opened]
    ends = np.cumsum(trees.counts[0])
    ids = np.searchsorted(ends, opened, side="right")
    rows.real = 1
    rows.id = ids
    rows.index = opened - (ends - trees.counts[0])[ids]
    rows.data = cells
    rows.start = starts
    rows.xor = cells[:, 0::2] ^ cells[:, 1::2]
    rows.digest = trees.digests[0][opened]
    rows.instructions = count_by(byte_, trees.cells.size).reshape(-1, CHUNK_BYTES)[opened]
    rows.halves = count_by(part, len(trees.cells) * _PARTS).reshape(-1, _PARTS)[opened]
    return matrix


def fill_code_node(execution: Execution, nodes: NDArray[np.uint32]) -> Matrix | None:
    """The nodes above the chunks that are asked for."""
    if not len(execution.codes):
        return None
    trees = execution.code_trees
    asked = nodes[(nodes[:, 1] == 0) & (_chunks(trees, nodes[:, 0], nodes[:, 2].astype(np.int64)) >= 0)]
    asked = asked[(trees.nodes(0, *asked[:, [0, 2]].T.astype(np.int64)) == asked[:, 3:]).all(axis=1)]
    ids, index = asked[:, 0].astype(np.int64), asked[:, 2].astype(np.int64)
    depths = trees.depths
    if not depths[ids].any():
        return None
    levels = []
    for number in range(1, int(depths[ids].max()) + 1):  # one step per level of the trees, not per row
        inner = depths[ids] >= number
        children = np.stack([ids[inner], index[inner]])
        (ids, index), place = np.unique(children // [[1], [2]], axis=1, return_inverse=True)
        sides = 2 * place.reshape(-1) + children[1] % 2
        levels.append((np.full(len(ids), number), ids, index, count_by(sides, 2 * len(ids)).reshape(-1, 2)))
    level, ids, index, counts = (np.concatenate(parts) for parts in zip(*levels, strict=True))
    matrix, rows = allocate(CodeNodeColumns, len(ids))
    rows.real = 1
    rows.id = ids
    rows.level = level
    rows.index = index
    rows.asked = counts
    for number in range(1, int(level.max()) + 1):
        here = np.flatnonzero(level == number)
        rows.digest[here] = trees.nodes(number, ids[here], index[here])
        for side in range(2):
            rows.children[here, side] = trees.nodes(number - 1, ids[here], 2 * index[here] + side)
    return matrix


def fill_code(
    execution: Execution, codes: NDArray[np.uint32], sizes: NDArray[np.uint32], nodes: NDArray[np.uint32]
) -> Matrix | None:
    """All codes of the segment."""
    if not len(execution.codes) or not any(map(len, (codes, sizes, nodes))):
        return None
    trees = execution.code_trees
    matrix, rows = allocate(CodeColumns, len(execution.codes))
    TraceView(CodeColumns, matrix).id = np.arange(len(matrix))
    own = execution.trace.codes
    rows.real = 1
    rows.hash = own.hash[execution.codes]
    rows.root = trees.roots
    rows.size = own.size[execution.codes]
    rows.depth = trees.depths
    kind, top = np.full_like(rows.id, CODE_KIND), np.zeros_like(rows.id)
    for name, asked, truth in (
        ("codes", codes, (rows.id, rows.hash, rows.size)),
        ("sizes", sizes, (kind, rows.id, rows.size)),
        ("roots", nodes, (rows.id, rows.depth, top, rows.root)),
    ):
        provided = np.column_stack(truth)
        id_ = asked[:, 1 if name == "sizes" else 0]
        id_ = id_[(provided[np.minimum(id_, len(provided) - 1)] == asked).all(axis=1)]
        setattr(rows, name, count_by(id_, len(provided)))
    return matrix


COMPONENTS = (
    Answering(CodeWord(), (BUFFER, HASH_WORD), fill_code_word),
    Answering(CodeChunk(), (INSTRUCTION, CODE_PART), fill_code_chunk),
    Answering(CodeNode(), CODE_NODE, fill_code_node),
    Answering(Code(), (CODE, BUFFER_SIZE, CODE_NODE), fill_code),
)
