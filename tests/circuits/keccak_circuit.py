"""A small circuit around the Keccak tables: two tables that ask, and what a dishonest prover can do about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus
from circuits.air.checker import Finding, check_circuit
from circuits.air.circuit import Circuit
from circuits.air.evaluate import NATIVE, TraceRows, evaluate
from circuits.air.field import Matrix
from circuits.air.layout import Layout, TraceView, allocate, bit, element, word
from circuits.air.queries import queries
from circuits.air.table import Air, Table
from circuits.functions import bitwise_bytes, keccak_f, keccak_sponge
from circuits.functions.buses import BITWISE_BYTES, HASH_OUT, HASH_WORD, KECCAK256_FUNCTION, KECCAK_F

NO_PUBLIC = np.zeros(0, dtype=np.uint32)


class WordColumns(Layout):
    """A claim about 32 bytes of an input."""

    real = bit("a claim")
    id = element("the input", by="hash_word bus")
    index = element("which 32 bytes", by="hash_word bus")
    word = word("the bytes", by="hash_word bus")


class Words(Table):
    """Claims about the contents of inputs."""

    name = "words"
    layout = WordColumns
    row_order = "claims are independent"

    def constraints(self, air: Air) -> None:
        row = air.row
        air.query(HASH_WORD, KECCAK256_FUNCTION, row.id, row.index, row.word, count=row.real)


class DigestColumns(Layout):
    """A claim about the length and digest of an input."""

    real = bit("a claim")
    id = element("the input", by="hash_out bus")
    length = element("its length", by="hash_out bus")
    digest = word("its digest", by="hash_out bus")


class Digests(Table):
    """Claims about digests."""

    name = "digests"
    layout = DigestColumns
    row_order = "claims are independent"

    def constraints(self, air: Air) -> None:
        row = air.row
        air.query(HASH_OUT, KECCAK256_FUNCTION, row.id, row.length, row.digest, count=row.real)


@cache
def circuit() -> Circuit:
    """The tables that ask and those that answer."""
    return Circuit(
        "keccak", [Words(), Digests(), keccak_sponge.Keccak(), keccak_f.KeccakF(), bitwise_bytes.BitwiseBytes()]
    )


@dataclass
class Traces:
    """Traces of `circuit`; `rows` gives views by table name."""

    words: Matrix
    digests: Matrix
    keccak: Matrix
    keccak_f: Matrix
    bitwise_bytes: Matrix

    @property
    def all(self) -> list[Matrix]:
        return [self.words, self.digests, self.keccak, self.keccak_f, self.bitwise_bytes]

    def rows(self, name: str) -> Any:
        table = circuit().tables[circuit().names.index(name)]
        return TraceView(table.layout, getattr(self, name))


def word_limbs(data: bytes) -> list[int]:
    """32 big-endian bytes as little-endian 16-bit limbs."""
    return [int.from_bytes(data[30 - 2 * j : 32 - 2 * j], "big") for j in range(16)]


def honest(data: Sequence[bytes], digest: Callable[[bytes], bytes]) -> Traces:
    """Claims every word, the length and the digest of every input, the latter by the given function."""
    inputs = keccak_sponge.Inputs.of(data)
    claims = [
        (inputs.id_of[d], i, word_limbs(d[32 * i : 32 * i + 32].ljust(32, b"\0")))
        for d in data
        for i in range((len(d) + 31) // 32)
    ]
    words, rows = allocate(WordColumns, len(claims))
    if claims:
        rows.real = 1
        rows.id, rows.index, rows.word = (np.array([c[k] for c in claims]) for k in range(3))
    digests, rows = allocate(DigestColumns, len(data))
    rows.real = 1
    rows.id = [inputs.id_of[d] for d in data]
    rows.length = [len(d) for d in data]
    rows.digest = [word_limbs(digest(d)) for d in data]
    asking = list(zip(circuit().tables, (words, digests), strict=False))
    filled = keccak_sponge.fill(
        inputs, queries(HASH_WORD, asking, slice(1, 3)), queries(HASH_OUT, asking, slice(1, 2))[:, 0]
    )
    permutations = keccak_f.fill(filled.states, filled.ids)
    return Traces(words, digests, filled.matrix, permutations, answer_bytes(filled.matrix))


def answer_bytes(sponge: Matrix) -> Matrix:
    """The byte table for whatever the sponge asks."""
    return bitwise_bytes.fill(queries(BITWISE_BYTES, [(keccak_sponge.Keccak(), sponge)]))


def forge(traces: Traces, forgery: Callable[[Traces], None]) -> Traces:
    """Copies of the traces, altered; then permutations and bytes answer whatever the altered sponge asks."""
    forged = Traces(*(matrix.copy() for matrix in traces.all))
    forgery(forged)
    sent = [m for count, m in messages(keccak_sponge.Keccak(), forged.keccak, KECCAK_F) if count == 1 and m[1] == 0]
    chunks = np.array([m[2:] for m in sent], dtype=np.uint64).reshape(-1, 25, 3)
    states = chunks[..., 0] | chunks[..., 1] << np.uint64(24) | chunks[..., 2] << np.uint64(48)
    forged.keccak_f = keccak_f.fill(states, np.array([m[0] for m in sent], dtype=np.uint32))
    forged.bitwise_bytes = answer_bytes(forged.keccak)
    return forged


def messages(table: Table, matrix: Matrix, bus: Bus) -> list[tuple[int, list[int]]]:
    """All messages of a table on a bus with their (canonical) non-zero counts."""
    interactions = [i for i in table.air.interactions if i.bus is bus]
    wanted = {e.index for i in interactions for e in (i.count, *i.message)}
    values = evaluate(table.air.graph, TraceRows(matrix, NO_PUBLIC), wanted)

    def column(index: int) -> NDArray[np.uint64]:
        return np.broadcast_to(values[index], (len(matrix),))

    found = []
    for interaction in interactions:
        count = column(interaction.count.index)
        fields = [column(e.index) for e in interaction.message]
        found += [(int(count[r]), [int(f[r]) for f in fields]) for r in np.flatnonzero(count)]
    return found


def findings(traces: Traces) -> list[Finding]:
    """All findings of the checker, in fast arithmetic."""
    return check_circuit(circuit(), traces.all, [[]] * len(traces.all), algebra=NATIVE)


def places(traces: Traces) -> set[str]:
    """The constraints and buses that object."""
    return {getattr(f, "constraint", None) or getattr(f, "bus", "") for f in findings(traces)}
