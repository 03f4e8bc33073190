"""The commitment to a code: the root of a tree over chunks of its bytes and of the places where instructions start.

A chunk is 48 bytes: 16 elements of three bytes and three starts each, so its digest is one compression. The chunks of a
code are numbered from 0 on level 0; a node of level n + 1 is C(left, right) of two nodes of level n, and where a code
has none the digest is zero, which nothing hashes to. The depth is the least at which one node is left. Leaves of the
access tree state it beside the root: a node cannot pose as a chunk, since both say on which level they are.

The verifier makes the trees from the codes, a segment opens the chunks that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuits.functions.poseidon2 import compress
from circuits.statement import Digests
from circuits.widths import DIGEST

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

#: Bytes whose values and starts one element holds, and bytes of a chunk.
ELEMENT_BYTES = 3
CHUNK_BYTES = 2 * DIGEST * ELEMENT_BYTES

#: Bytes behind the end of a code that are committed to at least: a truncated PUSH32 and the STOP that follows it.
CODE_PADDING = 33

#: Written out, like all that the verifier loads: it knows no tables of instructions.
_PUSH1, _PUSH32 = 0x60, 0x7F


def chunk_counts(sizes: NDArray[np.integer]) -> Integers:
    """Chunks (n,) of codes of these sizes, their padding included."""
    counts: Integers = -(-(sizes.astype(np.int64) + CODE_PADDING) // CHUNK_BYTES)
    return counts


def instruction_starts(code: Bytes) -> Bytes:
    """1 at each byte (n,) of a code at which an instruction starts, 0 at the data of PUSH instructions."""
    places = np.flatnonzero((code >= _PUSH1) & (code <= _PUSH32))
    ends = places + 2 + code[places] - _PUSH1
    # Sequential by nature: whether a byte is a PUSH depends on those before it.
    real, behind = [], 0
    for number, (place, end) in enumerate(zip(places.tolist(), ends.tolist(), strict=True)):
        if place >= behind:
            real.append(number)
            behind = end
    # Data begins and ends at different places: those of two PUSHes do not touch.
    steps = np.zeros(len(code) + CODE_PADDING, dtype=np.int8)
    steps[places[real] + 1] = 1
    steps[ends[real]] = -1
    starts: Bytes = 1 - np.cumsum(steps[: len(code)], dtype=np.int8).view(np.uint8)
    return starts


def chunk_elements(cells: Bytes, starts: Bytes) -> NDArray[np.uint32]:
    """The hashed elements (n, 16) of chunks (n, 48): of three bytes b0 + 2^8 b1 + 2^16 b2 + 2^24 (s0 + 2 s1 + 4 s2)."""
    bits = np.arange(ELEMENT_BYTES, dtype=np.uint32)
    bytes_ = cells.reshape(len(cells), 2 * DIGEST, ELEMENT_BYTES).astype(np.uint32) << 8 * bits
    flags = starts.reshape(bytes_.shape).astype(np.uint32) << 8 * ELEMENT_BYTES + bits
    elements: NDArray[np.uint32] = (bytes_ | flags).sum(axis=2, dtype=np.uint32)
    return elements


@dataclass(frozen=True, eq=False)
class CodeTrees:
    """The trees of some codes.

    Attributes (c codes, n chunks in all, one code's after the other's):
        cells, starts: (n, 48) bytes, zeros behind the end of a code, and where instructions start; zeros behind the
            end are instructions (STOP) except where a truncated PUSH reaches.
        counts: for each level the number of nodes that each code has there, (c,); 0 above its root.
        digests: for each level all of its nodes, one code's after the other's, (counts.sum(), 8).
    """

    cells: Bytes
    starts: Bytes
    counts: tuple[Integers, ...]
    digests: tuple[Digests, ...]

    @classmethod
    def of(cls, codes: Sequence[bytes]) -> CodeTrees:
        """Of these codes."""
        sizes = np.array([len(code) for code in codes], dtype=np.int64)
        chunks = chunk_counts(sizes)
        padded = [code.ljust(count * CHUNK_BYTES, b"\0") for code, count in zip(codes, chunks.tolist(), strict=True)]
        cells = np.frombuffer(b"".join(padded), dtype=np.uint8)
        # A code's data does not reach the next one: its padding is longer than that.
        starts = instruction_starts(cells).reshape(-1, CHUNK_BYTES)
        cells = cells.reshape(-1, CHUNK_BYTES)
        elements = chunk_elements(cells, starts)
        digests, counts = [compress(elements[:, :DIGEST], elements[:, DIGEST:])], [chunks]
        while (counts[-1] > 1).any():
            above = np.where(counts[-1] > 1, (counts[-1] + 1) // 2, 0)
            # Where each node of the level stands among the children of the next: codes that have an odd number of them
            # leave one out, codes that have only their root all.
            first, below = np.cumsum(above) - above, counts[-1]
            number = np.arange(len(digests[-1])) - np.repeat(np.cumsum(below) - below, below)
            goes_on = np.repeat(above > 0, below)
            children = np.zeros((2 * int(above.sum()), DIGEST), dtype=np.uint32)
            children[(np.repeat(2 * first, below) + number)[goes_on]] = digests[-1][goes_on]
            digests.append(compress(children[0::2], children[1::2]))
            counts.append(above)
        return cls(cells, starts, tuple(counts), tuple(digests))

    @property
    def depths(self) -> Integers:
        """Levels of each code's root, (c,)."""
        depths: Integers = np.count_nonzero(np.stack(self.counts), axis=0) - 1
        return depths

    @property
    def roots(self) -> Digests:
        """Roots (c, 8)."""
        depths = self.depths
        roots = np.zeros((len(depths), DIGEST), dtype=np.uint32)
        for level in range(len(self.counts)):
            here = np.flatnonzero(depths == level)
            roots[here] = self.nodes(level, here, np.zeros_like(here))
        return roots

    def nodes(self, level: int, codes: Integers, index: Integers) -> Digests:
        """Digests (n, 8) of the nodes with these numbers on a level of these codes, zeros where there is none."""
        count = self.counts[level]
        there = index < count[codes]
        place = (np.cumsum(count) - count)[codes] + index
        found = np.zeros((len(codes), DIGEST), dtype=np.uint32)
        found[there] = self.digests[level][place[there]]
        return found

    def chunk(self, codes: Integers, index: Integers) -> Integers:
        """Rows (n,) in `cells` of these chunks, -1 where a code has no such chunk."""
        count = self.counts[0]
        place = (np.cumsum(count) - count)[codes] + index
        return np.where((index >= 0) & (index < count[codes]), place, -1)
