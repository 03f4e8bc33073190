"""What it saves to commit to a code in parts: a tree over its chunks, or a running hash over all of them.

Today a code's leaf holds the root of a tree over chunks of 48 bytes, of which a segment opens those that it runs or
copies, each by its path. In the variant the leaf holds where a running hash ends, and how many chunks there are: h
begins with zeros, and behind a chunk with the hashed elements e, 16 of them, it is C(C(h, e[:8]), e[8:]). The end is
known, so the last chunk is opened first and tells what is before it: a code is opened from its end to the first chunk
that is needed, which for whatever runs is its first one. A chunk takes two compressions, as in the tree, where one is
that of an inner node; there are no rows of nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import total
from circuits.air.layout import Layout, TraceView, allocate, bit, byte, element
from circuits.air.table import Air, Table
from circuits.batch.code_trees import CHUNK_BYTES, ELEMENT_BYTES, CodeTrees, Integers, chunk_elements
from circuits.batch.execution import Batch, Execution
from circuits.batch.leaves import LeafCodes
from circuits.component import Answering, Component
from circuits.frames import code
from circuits.frames.buses import BUFFER_SIZE, CODE, CODE_NODE, CODE_PART, INSTRUCTION
from circuits.frames.code import PART_BYTES, CodeChunkColumns, CodeColumns, limbs_of_bytes
from circuits.functions.bitwise_bytes import query_xor
from circuits.functions.poseidon2 import compress
from circuits.hashing import constrain_compress
from circuits.statement import Digests
from circuits.widths import DIGEST
from executor.forks import Fork
from lab.variant import Changes, Variant, rewritten
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, OTHER, call_contract
from scripts.workloads.assembler import assemble

_PARTS = CHUNK_BYTES // PART_BYTES
_HASH = "poseidon2 bus: the hash behind the chunk, which the code_node bus pins"
_SAME = "another true statement: of another code with the same hash there, which the bus below confirms"


@dataclass(frozen=True, eq=False)
class CodeChains:
    """The running hashes of some codes.

    Attributes (c codes, n chunks in all, one code's after the other's, as in `CodeTrees`):
        counts: (c,) chunks of each code.
        first: (c,) the first chunk of each code.
        before, middle, after: (n, 8) the hash before a chunk, behind its first half, and behind it.
        ends: (c, 8) where each code's hash ends.
    """

    counts: Integers
    first: Integers
    before: Digests
    middle: Digests
    after: Digests
    ends: Digests

    @classmethod
    def of(cls, trees: CodeTrees) -> CodeChains:
        """Of the codes whose trees these are."""
        counts = trees.counts[0]
        first = np.cumsum(counts) - counts
        elements = chunk_elements(trees.cells, trees.starts)
        before, middle, after = (np.zeros((len(elements), DIGEST), dtype=np.uint32) for _ in range(3))
        state = np.zeros((len(counts), DIGEST), dtype=np.uint32)
        for number in range(int(counts.max(initial=0))):  # sequential by nature, for all codes at once
            own = np.flatnonzero(counts > number)
            chunk = first[own] + number
            before[chunk] = state[own]
            middle[chunk] = compress(before[chunk], elements[chunk, :DIGEST])
            after[chunk] = state[own] = compress(middle[chunk], elements[chunk, DIGEST:])
        return cls(counts, first, before, middle, after, state)


def committed(batch: Batch) -> Batch:
    """The batch with leaves of codes that hold the end of the running hash, and how many chunks there are."""
    trace, leaves = batch.trace, batch.leaves
    rows = leaves.code_rows
    codes = [trace.bytes_at(trace.codes.start[row], trace.codes.size[row]) for row in rows]
    chains = CodeChains.of(CodeTrees.of(codes))
    return replace(batch, leaves=replace(leaves, codes=LeafCodes(chains.ends, leaves.codes.size, chains.counts)))


class CodeRunColumns(Layout):
    """One opened chunk per row."""

    real = bit("1 on rows that hold a chunk")
    id = element("id of the code", by="code_node bus", free=_SAME)
    index = element("which 48 bytes of the code", by="code_node bus")
    data = byte("the bytes, zeros behind the end of the code", CHUNK_BYTES, by="a bitwise_bytes query for each pair")
    start = bit("1: an instruction starts here", CHUNK_BYTES)
    xor = byte("exclusive or of each pair of bytes", CHUNK_BYTES // 2, by="bitwise_bytes bus")
    before = element("the running hash before the chunk", DIGEST, by=_HASH)
    middle = element("behind its first half", DIGEST, by=_HASH)
    after = element("behind it", DIGEST, by="code_node bus")
    asked = element("how often the hash before it is looked up", by="balance of the code_node bus")
    instructions = element("how often each byte is looked up", CHUNK_BYTES, by="balance of the instruction bus")
    halves = element("how often each 16 bytes are looked up", _PARTS, by="balance of the code_part bus")


class CodeRun(Table):
    """Chunks behind which the running hash is one that is provided: by the code its end, by a chunk what is before it.

    Only the true chunk and the true hash before it compress to the one behind, so by their numbers, which fall from the
    leaf's, all are those of the code. Nothing compresses to zeros, so nothing comes before the first one.
    """

    name = "code_run"
    layout = CodeRunColumns
    row_order = "every row answers for itself"

    def constraints(self, air: Air[Any]) -> None:
        row = air.row
        for k in range(CHUNK_BYTES // 2):
            query_xor(air, row.data[2 * k], row.data[2 * k + 1], row.xor[k], count=row.real)
        elements = [_element(row, k) for k in range(2 * DIGEST)]
        constrain_compress(air, row.before, elements[:DIGEST], row.middle, count=row.real)
        constrain_compress(air, row.middle, elements[DIGEST:], row.after, count=row.real)
        air.query(CODE_NODE, row.id, 0, row.index + 1, row.after, count=row.real)
        air.provide(CODE_NODE, row.id, 0, row.index, row.before, multiplicity=row.asked)
        for asked in (row.asked, *row.instructions, *row.halves):
            air.require((1 - row.real) * asked, "padding answers nothing")
        for i in range(CHUNK_BYTES):
            place = row.index * CHUNK_BYTES + i
            air.provide(INSTRUCTION, row.id, place, row.data[i], row.start[i], multiplicity=row.instructions[i])
        for i in range(_PARTS):
            limbs = limbs_of_bytes(row.data[PART_BYTES * i : PART_BYTES * (i + 1)])
            air.provide(CODE_PART, row.id, row.index * _PARTS + i, limbs, multiplicity=row.halves[i])


def _element(row: CodeRunColumns, k: int) -> Expression:
    """The k-th hashed element of a chunk (`circuits.batch.code_trees.chunk_elements`)."""
    own = range(ELEMENT_BYTES * k, ELEMENT_BYTES * (k + 1))
    bytes_ = [row.data[i] * (1 << 8 * number) for number, i in enumerate(own)]
    starts = [row.start[i] * (1 << 8 * ELEMENT_BYTES + number) for number, i in enumerate(own)]
    return total([*bytes_, *starts])


def fill_code_run(execution: Execution, instructions: Matrix, parts: Matrix) -> Matrix | None:
    """The chunks of which something is asked, and all behind them."""
    asked = code.fill_code_chunk(execution, instructions, parts)
    if asked is None:
        return None
    asked = asked[asked[:, CodeChunkColumns.offsets["real"]] != 0]
    chunks = TraceView(CodeChunkColumns, asked)
    trees, chains = execution.code_trees, CodeChains.of(execution.code_trees)
    owner = np.repeat(np.arange(len(chains.counts)), chains.counts)
    needed = chains.first[chunks.id] + chunks.index
    lowest = np.full(len(chains.counts), len(owner))
    np.minimum.at(lowest, chunks.id, needed)
    opened = np.flatnonzero(np.arange(len(owner)) >= lowest[owner])
    matrix, rows = allocate(CodeRunColumns, len(opened))
    rows.real = 1
    rows.id = owner[opened]
    rows.index = opened - chains.first[owner[opened]]
    rows.data = trees.cells[opened]
    rows.start = trees.starts[opened]
    rows.xor = trees.cells[opened, 0::2] ^ trees.cells[opened, 1::2]
    for name in ("before", "middle", "after"):
        setattr(rows, name, getattr(chains, name)[opened])
    rows.asked = opened > lowest[owner[opened]]
    place = np.searchsorted(opened, needed)
    rows.instructions[place] = chunks.instructions
    rows.halves[place] = chunks.halves
    return matrix


def _by_number(table: Table, air: Air[Any]) -> None:
    """What a code provides is on level 0, at the number of its chunks."""
    for number, interaction in enumerate(air.interactions):
        if interaction.bus is CODE_NODE:
            id_, count, zero, *digest = interaction.message
            air.interactions[number] = replace(interaction, message=(id_, zero, count, *digest))


def fill_code(execution: Execution, codes: Matrix, sizes: Matrix, nodes: Matrix) -> Matrix | None:
    """All codes of the segment, with the ends of their running hashes."""
    matrix = code.fill_code(execution, codes, sizes, nodes)
    if matrix is None:
        return None
    chains = CodeChains.of(execution.code_trees)
    number = len(chains.counts)
    rows = TraceView(CodeColumns, matrix[:number])
    rows.root, rows.depth = chains.ends, chains.counts
    ends = np.column_stack([np.arange(number), np.zeros(number), chains.counts, chains.ends]).astype(np.uint32)
    ids = nodes[:, 0]
    ids = ids[(ends[np.minimum(ids, number - 1)] == nodes).all(axis=1)]
    rows.roots = np.bincount(ids, minlength=number)
    return matrix


def _whole(components: Mapping[str, Component]) -> Changes:
    table = rewritten(components["code"].table, _by_number)
    return Changes(
        replaced=(Answering(table, (CODE, BUFFER_SIZE, CODE_NODE), fill_code),),
        added=(Answering(CodeRun(), (INSTRUCTION, CODE_PART), fill_code_run),),
        removed=("code_chunk", "code_node"),
    )


def sample(fork: Fork) -> dict[str, Any]:
    """A batch with two codes of several chunks, of which not all run; one is copied, too."""
    ran = f"@far jump {'stop ' * 150} far: 0 0 0 0 0x{OTHER.hex()} gas staticcall pop {{}} 1 sload 0 sstore stop"
    copied = f"64 96 0 0x{OTHER.hex()} extcodecopy"
    building = Builder(fork).alloc(CONTRACT, code="0x" + assemble(ran.format(copied)).hex())
    building.alloc(OTHER, code="0x" + assemble(f"1 @end jumpi {'pop ' * 100} end: stop {'stop ' * 200}").hex())
    building.block(call_contract(building))
    return building.document


WHOLE = Variant(
    "codes-whole",
    "a code is a running hash over all of its chunks, of which none behind a needed one is left closed",
    _whole,
    committed=committed,
    sample=sample,
)
VARIANTS = (WHOLE,)
