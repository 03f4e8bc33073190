"""Rows of words: what a program reads of the memory, returns, and hashes, as integers below 2^256.

A word is compared with a number M by a difference that is a word too: w + difference + 1 = M, or M + difference = w,
limb by limb with carries of one bit, and none out of the last limb. A word that is compared with nothing is at least 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets.basic import at_most_one, total
from circuits.air.layout import RANGE, C, Layout, allocate, bit, byte, element, limb, nested
from circuits.air.table import Air, Table
from circuits.fields.buses import LIMBS, REGISTERS, WORD_LISTED, WORD_ROWS
from circuits.fields.chain import CHAIN_ORDER, Chain
from circuits.functions.bitwise_bytes import query_xor
from circuits.functions.buses import HASH_OUT, HASH_WORD
from circuits.memory.buses import MEMORY_BYTES
from circuits.programs.moduli import MODULI
from circuits.programs.program import DIGEST, FREE, HASHED, HINT, READ, WORDS, WRITE_DELAY, WRITTEN, Program, WordRow
from circuits.programs.runs import Runs
from circuits.widths import WORD, WORD_BYTES

_START = "start bus; shared along its rows"
_LISTED = "its listing"

#: Numbers below 2^256 that words are compared with: all but 0 and BLS12-381's field.
COMPARED = tuple(m for m in MODULI if 0 < m.value < 1 << 256)


class Columns(Layout[C]):
    """One word per row."""

    real = bit("1 on rows of an instance")
    chain: Chain[C] = nested(Chain)
    frame = element("whose memory it is in", by=_START)
    input = element("first byte of the input", by=_START)
    output = element("first byte of the output", by=_START)
    hashed = element(
        "name of the hashed input",
        by="hash buses; shared along its rows",
        free="where an instance hashes nothing, nobody reads it; elsewhere the hash buses say what has this name",
    )
    read = bit("1: a word of the input")
    written = bit("1: a word of the output")
    is_hashed = bit("1: a word of what is hashed")
    digest = bit("1: the hash")
    position = element("which word; bytes that are hashed", by=_LISTED)
    function = element("which hash function", by=_LISTED)
    compared = bit("flag of the number that it is compared with", len(COMPARED))
    below = bit("1: it is below that number")
    bytes = byte(
        "of the word, the least significant first", WORD_BYTES, by="bitwise_bytes bus, two at a time", free=HINT
    )
    xor = byte("exclusive or of two of them", WORD, by="bitwise_bytes bus", free=HINT)
    difference = limb("from the number", WORD, by=RANGE, free=HINT)
    carry = bit("out of each limb but the last", WORD - 1)
    multiplicity = element("how often the register is read", by="balance of the register bus")


class Words(Table[Columns]):
    """Words of programs."""

    row_order = CHAIN_ORDER

    def __init__(self, limbs: int) -> None:
        """The table for registers of `limbs` bytes."""
        super().__init__(f"field_words_{limbs}", Columns)
        self.limbs = limbs

    def constraints(self, air: Air[Columns]) -> None:
        row, real, chain = air.row, air.row.real, air.row.chain
        Chain.constrain(air, self.limbs, WORD_ROWS, row.frame, row.input, row.output)
        for name in ("frame", "input", "output", "hashed"):
            Chain.share(air, name)
        places = (row.read, row.written, row.is_hashed, row.digest)
        air.require(total(list(places)) * (1 - real), "padding is nowhere")
        at_most_one(air, list(row.compared), "compared")
        compared = total([flag * m.number for flag, m in zip(row.compared, COMPARED, strict=True)])
        listed = (chain.program, chain.row, chain.last, places, row.position, row.function, compared, row.below)
        air.query(WORD_LISTED, *listed, count=real)

        for k in range(WORD):
            query_xor(air, row.bytes[2 * k], row.bytes[2 * k + 1], row.xor[k], count=real)
        word = [row.bytes[2 * k] + row.bytes[2 * k + 1] * 256 for k in range(WORD)]
        moves = row.read + row.written
        time = chain.instance + row.position + row.written * WRITE_DELAY
        first = row.read * row.input + row.written * row.output
        offset = first + row.position * WORD_BYTES
        air.send(MEMORY_BYTES, row.frame, time, row.written, offset, WORD_BYTES, word, count=moves)
        air.query(HASH_WORD, row.function, row.hashed, row.position, word, count=row.is_hashed)
        air.query(HASH_OUT, row.function, row.hashed, row.position, word, count=row.digest)

        carry: Expression = air.constant(0)
        for k in range(WORD):
            limbs = [m.value >> 16 * k & 0xFFFF for m in COMPARED]
            number = total([air.constant(0), *(f * value for f, value in zip(row.compared, limbs, strict=True))])
            sum_ = row.below * (word[k] - number) + (1 - row.below) * (number - word[k]) + row.difference[k] + carry
            carry = row.carry[k] if k < WORD - 1 else air.constant(0)
            air.require(sum_ + (row.below if k == 0 else 0) - carry * (1 << 16), f"difference: limb {k}")
        digits = [*row.bytes, *([0] * (self.limbs - WORD_BYTES))]
        air.require(row.multiplicity * (1 - real), "padding provides nothing")
        air.provide(REGISTERS[self.limbs], chain.instance, chain.row + WORDS, digits, multiplicity=row.multiplicity)


def listed(program: Program, row: WordRow) -> list[int]:
    """What a row's listing says behind its number: places, position, function, comparison."""
    places = [row.place == place for place in (READ, WRITTEN, HASHED, DIGEST)]
    function = program.hashes[0] if program.hashes and row.place in (HASHED, DIGEST) else 0
    position = 0 if row.place == FREE else row.position
    compared = row.compared.number if row.compared else 0
    return [*places, position, function, compared, bool(row.compared) and row.below]


def fill(runs: Runs, limbs: int) -> Matrix | None:
    """The words of all instances whose registers have `limbs` bytes."""
    own = [r for r in runs.of_limbs(limbs) if r.program.words]
    if not own:
        return None
    matrix, rows = allocate(Columns, sum(len(r) * len(r.program.words) for r in own))
    rows.real = 1
    Chain.fill_all(rows.chain, own, lambda p: len(p.words))
    for name in ("frame", "input", "output", "hashed"):
        setattr(rows, name, np.concatenate([np.repeat(getattr(r, name), len(r.program.words)) for r in own]))
    listings = [np.array([listed(r.program, row) for row in r.program.words], dtype=np.int64) for r in own]
    fields = np.concatenate([np.tile(v, (len(r), 1)) for v, r in zip(listings, own, strict=True)])
    for k, name in enumerate(("read", "written", "is_hashed", "digest", "position", "function")):
        setattr(rows, name, fields[:, k])
    number, below = fields[:, 6], fields[:, 7]
    rows.compared = number[:, None] == [m.number for m in COMPARED]
    rows.below = below
    content = np.concatenate([r.values(WORDS)[:, :, :WORD_BYTES].reshape(-1, WORD_BYTES) for r in own]).astype(np.int64)
    rows.bytes = content
    rows.xor = content[:, 0::2] ^ content[:, 1::2]
    word = content[:, 0::2] + content[:, 1::2] * 256
    rows.difference, rows.carry = _differences(word, number, below)
    rows.multiplicity = np.concatenate([r.counts(WORDS).reshape(-1) for r in own])
    return matrix


def _differences(
    word: NDArray[np.int64], number: NDArray[np.int64], below: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Differences (rows, 16) from what words are compared with, and the carries (rows, 15)."""
    values = {m.number: [m.value >> 16 * k & 0xFFFF for k in range(WORD)] for m in COMPARED}
    table = np.array([values.get(n, [0] * WORD) for n in range(len(MODULI))], dtype=np.int64)
    other = table[number]
    flag = below == 1
    least, most = np.where(flag[:, None], word, other), np.where(flag[:, None], other, word)
    difference, carries = np.empty_like(word), np.empty((len(word), WORD - 1), dtype=np.int64)
    carry = flag.astype(np.int64)  # The 1 that is added where the word is below.
    for k in range(WORD):
        rest = most[:, k] - least[:, k] - carry
        difference[:, k] = rest & 0xFFFF
        carry = (rest < 0).astype(np.int64)
        if k < WORD - 1:
            carries[:, k] = carry
    return difference, carries


WORD_TABLES = {limbs: Words(limbs) for limbs in LIMBS}
