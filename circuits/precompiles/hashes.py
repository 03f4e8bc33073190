"""The precompiles SHA-256, RIPEMD-160 and identity.

Source: execution-specs `cancun/vm/precompiled_contracts/sha256.py`, `ripemd160.py` and `identity.py`.

A precompile copies its input to the beginning of its frame's own memory, where calldata of any kind looks the same. A
hash function reads it there, and writes the digest to the next whole word; identity returns the copy.

Words are copied from the message's time on, one a unit of time; then they are read, one a unit; then the digest is
written. `circuits.batch.precompiles` has the same as numbers.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.gadgets import one_hot, range_check
from circuits.air.gadgets.basic import IsZero
from circuits.air.layout import RANGE, Layout, allocate, bit, element, limb, nested
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution
from circuits.batch.precompile_calls import PrecompileCalls
from circuits.batch.precompiles import GAS, IDENTITY, RIPEMD160, SHA256
from circuits.component import Acting, Answering
from circuits.frames.buses import HALT, PRECOMPILE
from circuits.frames.frames import Ending
from circuits.frames.gas import Charge
from circuits.functions import ripemd160, ripemd160_lines, sha256, sha256_rounds
from circuits.functions.buses import HASH_OUT, HASH_WORD, RIPEMD160_FUNCTION, SHA256_FUNCTION
from circuits.functions.hash_inputs import asked_of
from circuits.instructions.buses import COPY
from circuits.memory.buses import HASH_READ, MEMORY_BYTES
from circuits.widths import WORD, WORD_BYTES

_BUS = "precompile bus"
#: Words of an input have 20 bits: it has at most 2^24 bytes.
_HIGH_BITS = 4
_ROOM_BITS = 5


class Columns(Layout):
    """One call per row."""

    real = bit("1 on rows that stand for a call")
    sha256 = bit("1: of SHA-256")
    ripemd160 = bit("1: of RIPEMD-160")
    identity = bit("1: of identity")
    frame = element("id of the frame", by=_BUS)
    kind = element("where the input lies: in a buffer or in memory", by=_BUS)
    source = element("which one", by=_BUS)
    start = element("first byte there", by=_BUS)
    size = element("bytes", by=_BUS)
    gas = element("gas given", by=_BUS)
    time = element("time of the call", by=_BUS)
    words_low = limb("words of the input, rounded up: low limb", by=RANGE)
    words_high = limb("and high limb", by="4-bit range check")
    empty = nested(IsZero, "whether the size is 0")
    cost = element("gas", by="its constraint")
    charge = nested(Charge)
    id = element("name of the hashed input", by="hash_out bus; 0 where nothing is hashed")
    digest = limb("its hash", WORD, by="hash_out bus; 0 where nothing is hashed")


class HashPrecompiles(Table):
    """SHA-256, RIPEMD-160 and identity."""

    name = "hash_precompiles"
    layout = Columns
    row_order = "rows meet only on buses"

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        flags = {SHA256: row.sha256, RIPEMD160: row.ripemd160, IDENTITY: row.identity}
        one_hot(air, list(flags.values()), real, "precompile")
        number = row.sha256 * SHA256 + row.ripemd160 * RIPEMD160 + row.identity * IDENTITY
        message = (row.kind, row.source, row.start, row.size, row.gas, row.time)
        air.receive(PRECOMPILE, row.frame, number, *message, count=real)

        # GAS. Below 2^20 words are less than 2^25 bytes, and the size is at most 2^24: so the room that the last word
        # has left, 0 to 31 bytes, is one of integers, which only the size rounded up has. The cost is at most
        # 600 + 120 * 2^20 < 2^27, and gas that is given is not negative.
        words = row.words_low + row.words_high * (1 << 16)
        range_check(air, row.words_high, _HIGH_BITS, real)
        range_check(air, words * WORD_BYTES - row.size, _ROOM_BITS, real)
        cost = air.constant(0)
        for precompile, (base, each) in GAS.items():
            cost = cost + flags[precompile] * (words * each + base)
        air.require(cost - row.cost, "cost")
        Charge.constrain(air, row.charge, row.gas, row.cost)
        fails = row.charge.fails
        succeeds = real - fails

        # OPERATION
        IsZero.constrain(air, row.empty, row.size, when=real, name="empty")
        some = 1 - row.empty.zero
        hashes = (row.sha256 + row.ripemd160) * (1 - fails)
        copies = row.identity * (1 - fails)
        function = row.sha256 * SHA256_FUNCTION + row.ripemd160 * RIPEMD160_FUNCTION
        time, output = row.time, words * WORD_BYTES
        source = (row.kind, row.source, row.start)
        air.send(COPY, row.frame, time, time, *source, 0, row.size, count=succeeds * some)
        air.send(HASH_READ, function, row.frame, time + words, row.id, 0, 0, row.size, count=hashes * some)
        air.query(HASH_OUT, function, row.id, row.size, row.digest, count=hashes)
        air.send(MEMORY_BYTES, row.frame, time + words * 2, 1, output, WORD_BYTES, row.digest, count=hashes)
        for number_, cell in enumerate((row.id, *row.digest)):
            air.require((1 - hashes) * cell, f"nothing is hashed: cell {number_}")

        # The end of the frame.
        ending = succeeds * Ending.SUCCEEDED + fails * Ending.UNPAID
        left = (row.gas - row.cost) * (1 - fails)
        returned = (hashes * output, hashes * WORD_BYTES + copies * row.size)
        end = time + hashes * (words * 2 + 1) + copies * words
        air.send(HALT, row.frame, ending, left, *returned, end, count=real)


def fill(calls: PrecompileCalls) -> Matrix | None:
    """All calls of these precompiles."""
    if not len(calls.frame):
        return None
    matrix, rows = allocate(Columns, len(calls.frame))
    rows.real = 1
    rows.sha256 = calls.number == SHA256
    rows.ripemd160 = calls.number == RIPEMD160
    rows.identity = calls.number == IDENTITY
    for name in ("frame", "kind", "source", "start", "size", "gas", "time", "cost", "id", "digest"):
        setattr(rows, name, getattr(calls, name))
    words = -(-calls.size // WORD_BYTES)
    rows.words_low, rows.words_high = words & 0xFFFF, words >> 16
    IsZero.fill(rows.empty, calls.size.astype(np.uint64))
    Charge.fill(rows.charge, calls.gas, calls.cost)
    return matrix


def fill_sha256(execution: Execution, words: NDArray[np.uint32], outs: NDArray[np.uint32]) -> Matrix | None:
    """The blocks of SHA-256, with the counts of what is asked of them."""
    inputs = PrecompileCalls.of(execution).distinct[SHA256_FUNCTION]
    words, outs = (asked_of(SHA256_FUNCTION, queries) for queries in (words, outs))
    return sha256.fill(inputs, words[:, :2], outs[:, 0]) if inputs.rows else None


def fill_ripemd160(execution: Execution, words: NDArray[np.uint32], outs: NDArray[np.uint32]) -> Matrix | None:
    """The blocks of RIPEMD-160, with the counts of what is asked of them."""
    inputs = PrecompileCalls.of(execution).distinct[RIPEMD160_FUNCTION]
    words, outs = (asked_of(RIPEMD160_FUNCTION, queries) for queries in (words, outs))
    return ripemd160.fill(inputs, words[:, :2], outs[:, 0]) if inputs.rows else None


def fill_sha256_rounds(execution: Execution) -> Matrix | None:
    """The rounds of SHA-256."""
    inputs = PrecompileCalls.of(execution).distinct[SHA256_FUNCTION]
    return sha256.fill_rounds(inputs) if inputs.rows else None


def fill_ripemd160_line(line: int, execution: Execution) -> Matrix | None:
    """A line of RIPEMD-160."""
    inputs = PrecompileCalls.of(execution).distinct[RIPEMD160_FUNCTION]
    return ripemd160.fill_line(line, inputs) if inputs.rows else None


COMPONENTS = (
    Acting(HashPrecompiles(), lambda execution: fill(PrecompileCalls.of(execution))),
    Answering(sha256.Sha256(), (HASH_WORD, HASH_OUT), fill_sha256),
    Acting(sha256_rounds.Sha256Rounds(), fill_sha256_rounds),
    Answering(ripemd160.Ripemd160(), (HASH_WORD, HASH_OUT), fill_ripemd160),
    *(
        Acting(ripemd160_lines.Ripemd160Line(line), partial(fill_ripemd160_line, line))
        for line in range(ripemd160_lines.LINES)
    ),
)
