"""Small circuits around the tables of SHA-256 and RIPEMD-160: claims about inputs, and what a liar can do to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from circuits.air.checker import Finding, check_circuit
from circuits.air.circuit import Circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import Matrix
from circuits.air.layout import Layout, TraceView, allocate, bit, element, word
from circuits.air.queries import queries
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.functions import bitwise_bytes
from circuits.functions import range as range_table
from circuits.functions.buses import BITWISE_BYTES, HASH_OUT, HASH_WORD
from circuits.functions.hash_inputs import asked_of
from circuits.functions.padded_blocks import PaddedBlocks, PaddedInputs
from circuits.limbs import words_from_bytes
from tests.circuits.lying import places as names

#: Lengths around the ends of blocks and around the place of the length; those of several blocks.
LENGTHS = (0, 1, 2, 31, 32, 33, 54, 55, 56, 57, 62, 63, 64, 65, 118, 119, 120, 121, 127, 128, 129, 183, 184, 192, 1000)


class WordColumns(Layout):
    """A claim about 32 bytes of an input."""

    real = bit("a claim")
    function = element("whose input", by="hash_word bus")
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
        air.query(HASH_WORD, row.function, row.id, row.index, row.word, count=row.real)


class DigestColumns(Layout):
    """A claim about the length and digest of an input."""

    real = bit("a claim")
    function = element("which hash function", by="hash_out bus")
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
        air.query(HASH_OUT, row.function, row.id, row.length, row.digest, count=row.real)


@dataclass(frozen=True)
class Family:
    """The tables of a function: its module, the table of blocks, those of rounds and their bus, the function itself.

    `fill_rounds(inputs)`: the tables of rounds. `answer_rounds(blocks)`: the same for what the table of blocks asks.
    """

    module: ModuleType
    blocks: PaddedBlocks
    rounds: tuple[Table, ...]
    bus: str
    digest: Callable[[bytes], bytes]
    fill_rounds: Callable[[PaddedInputs], tuple[Matrix, ...]]
    answer_rounds: Callable[[Matrix], tuple[Matrix, ...]]

    @cached_property
    def circuit(self) -> Circuit:
        """The tables that ask and those that answer."""
        functions = (bitwise_bytes.BitwiseBytes(), range_table.RANGE_16)
        return Circuit(self.blocks.name, [Words(), Digests(), self.blocks, *self.rounds, *functions])

    def honest(self, data: Sequence[bytes]) -> Traces:
        """Claims every word, the length and the digest of every input."""
        number = self.blocks.function
        inputs = PaddedInputs.of(data)
        claims = [(inputs.id_of[d], i, d[32 * i : 32 * i + 32]) for d in data for i in range((len(d) + 31) // 32)]
        words, rows = allocate(WordColumns, len(claims))
        if claims:
            rows.real, rows.function = 1, number
            rows.id, rows.index = (np.array([c[k] for c in claims]) for k in range(2))
            rows.word = words_from_bytes([c[2].ljust(32, b"\0") for c in claims])
        digests, rows = allocate(DigestColumns, len(data))
        rows.real, rows.function = 1, number
        rows.id = [inputs.id_of[d] for d in data]
        rows.length = [len(d) for d in data]
        rows.digest = words_from_bytes([self.digest(d).rjust(32, b"\0") for d in data])
        asking = list(zip(self.circuit.tables, (words, digests), strict=False))
        asked = (asked_of(number, queries(bus, asking)) for bus in (HASH_WORD, HASH_OUT))
        words_asked, outs_asked = asked
        blocks = self.module.fill(inputs, words_asked[:, :2], outs_asked[:, 0])
        return self.answered(Traces(self, words, digests, blocks, self.fill_rounds(inputs), words, words))

    def answered(self, traces: Traces) -> Traces:
        """With byte and limb tables for whatever the others ask."""
        asking = list(zip(self.circuit.tables, traces.all[:-2], strict=False))
        return replace(
            traces,
            bytes=bitwise_bytes.fill(queries(BITWISE_BYTES, asking)),
            limbs=range_table.RANGE_16.fill(queries(RANGE16, asking)[:, 0]),
        )


@dataclass(frozen=True)
class Traces:
    """Traces of a family's circuit; `rows` gives views by name."""

    family: Family
    words: Matrix
    digests: Matrix
    blocks: Matrix
    rounds: tuple[Matrix, ...]
    bytes: Matrix
    limbs: Matrix

    @property
    def all(self) -> list[Matrix]:
        return [self.words, self.digests, self.blocks, *self.rounds, self.bytes, self.limbs]

    def rows(self, name: str) -> Any:
        """A view of "words", "digests", "blocks", or of a table of rounds by its name."""
        number = ("words", "digests", "blocks", *(table.name for table in self.family.rounds)).index(name)
        return TraceView(self.family.circuit.tables[number].layout, self.all[number])

    @property
    def publics(self) -> list[list[int]]:
        """No table has public values."""
        return [[] for _ in self.all]

    @property
    def findings(self) -> list[Finding]:
        """All findings of the checker, in fast arithmetic."""
        return check_circuit(self.family.circuit, self.all, self.publics, algebra=NATIVE)

    @property
    def places(self) -> set[str]:
        """The constraints and buses that object."""
        return names(self.findings)

    def copy(self) -> Traces:
        words, digests, blocks, *rounds, bytes_, limbs = (matrix.copy() for matrix in self.all)
        return Traces(self.family, words, digests, blocks, tuple(rounds), bytes_, limbs)

    def forged(self, lie: Callable[[Any], None], table: str = "blocks", *, follows: bool = True) -> Traces:
        """With a table altered; bytes and limbs answer whatever is asked then, and so do the rounds if they follow."""
        traces = self.copy()
        lie(traces.rows(table))
        if follows:
            traces = replace(traces, rounds=self.family.answer_rounds(traces.blocks))
        return self.family.answered(traces)
