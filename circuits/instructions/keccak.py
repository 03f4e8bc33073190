"""The instruction KECCAK256, and how it reads what it hashes.

Source: execution-specs `cancun/vm/instructions/keccak.py`.

The input is hashed by `circuits.functions.keccak_sponge`. A step names an input there, whose length and digest it looks
up, and has all of its words compared with the memory; equal inputs may share a name.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
from eth_utils.crypto import keccak as keccak256
from numpy.typing import NDArray

from circuits.air.field import Matrix, inverse
from circuits.air.gadgets import range_check
from circuits.air.layout import Layout, allocate, bit, element, limb, nested
from circuits.air.table import Air, Table
from circuits.batch.execution import Execution, Integers, small_integers
from circuits.component import Acting, Answering
from circuits.frames.calldata import padded_words
from circuits.frames.gas import Charge
from circuits.functions import keccak_f, keccak_sponge
from circuits.functions.buses import KECCAK_OUT, KECCAK_WORD
from circuits.instructions.buses import KECCAK_READ
from circuits.instructions.memory_range import MemoryRange, reads, word_count
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.limbs import words_from_bytes
from circuits.memory.buses import MEMORY_BYTES
from circuits.widths import WORD, WORD_BYTES
from executor.opcodes import OPCODES
from executor.trace import HashPurpose

GAS_KECCAK256 = 30
GAS_KECCAK256_WORD = 6

#: keccak256 of nothing, as limbs.
EMPTY_HASH = tuple(int(x) for x in words_from_bytes([keccak256(b"")])[0])

_OPCODE = OPCODES["KECCAK256"]
#: Offsets and sizes of ranges within the memory that can be proved have this many limbs.
_SMALL_LIMBS = 2


class Columns(Step):
    """One KECCAK256 of at least one byte per row."""

    offset = limb("first byte", _SMALL_LIMBS, by=STACK_BUS)
    offset_then = element("time of its push", by=STACK_BUS)
    size = limb("bytes, at least 1", _SMALL_LIMBS, by=STACK_BUS)
    size_then = element("time of its push", by=STACK_BUS)
    inverse = element("of the sum of the size's limbs", by="its constraint")
    range = nested(MemoryRange)
    cost = element("gas", by="its constraint")
    charge = nested(Charge)
    id = element("name of the input", by="keccak_out bus; 0 when the step fails")
    digest = limb("its hash", WORD, by="keccak_out bus; 0 when the step fails")


class Keccak256(InstructionTable):
    """KECCAK256 of at least one byte."""

    name = "keccak256"
    layout = Columns

    def constraints(self, air: Air) -> None:
        row, fails = air.row, air.row.charge.fails
        succeeds = row.real - fails
        self.begin(air, _OPCODE)
        # STACK
        self.pop(air, 0, row.offset, row.offset_then)
        self.pop(air, 1, row.size, row.size_then)
        self.push(air, 2, row.digest, succeeds)
        # GAS. At most 2^29.1 for the largest memory.
        air.require((row.size[0] + row.size[1]) * row.inverse - row.real, "at least one byte")
        words, size, offset = MemoryRange.constrain(air, row.range, row.offset, row.size, count=row.real, some=row.real)
        cost = row.real * GAS_KECCAK256 + words * GAS_KECCAK256_WORD + row.range.expansion
        air.require(cost - row.cost, "cost")
        Charge.constrain(air, row.charge, row.gas, row.cost)
        # OPERATION
        air.query(KECCAK_OUT, row.id, size, row.digest, count=succeeds)
        air.send(KECCAK_READ, row.frame, row.time + 1, row.id, 0, offset, size, count=succeeds)
        air.require_equal([row.id, *row.digest], [0] * (1 + WORD), "a failing step has no hash", when=fails)
        # PROGRAM COUNTER
        self.fail(air, fails)
        self.proceed(
            air, stack=-1, gas=row.cost, memory_words=row.range.words_after, duration=words + 1, count=succeeds
        )


class EmptyColumns(Step):
    """One KECCAK256 of no bytes per row."""

    offset = limb("first byte, any word", WORD, by=STACK_BUS)
    offset_then = element("time of its push", by=STACK_BUS)
    size_then = element("time of the push of 0", by=STACK_BUS)
    charge = nested(Charge)


class Keccak256Empty(InstructionTable):
    """KECCAK256 of no bytes."""

    name = "keccak256_empty"
    layout = EmptyColumns

    def constraints(self, air: Air) -> None:
        row, fails = air.row, air.row.charge.fails
        succeeds = row.real - fails
        self.begin(air, _OPCODE)
        # STACK
        self.pop(air, 0, row.offset, row.offset_then)
        self.pop(air, 1, [], row.size_then)
        self.push(air, 2, EMPTY_HASH, succeeds)
        # GAS
        Charge.constrain(air, row.charge, row.gas, row.real * GAS_KECCAK256)
        # OPERATION, PROGRAM COUNTER
        self.fail(air, fails)
        self.proceed(air, stack=-1, gas=GAS_KECCAK256, count=succeeds)


class ReadColumns(Layout):
    """One word of an input per row."""

    real = bit("1 on rows that read")
    more = bit("1 when a further word follows")
    frame = element("id of the frame", by="keccak_read bus")
    time = element("time of the read", by="keccak_read bus")
    id = element("name of the input", by="keccak_read bus")
    index = element("which word of the input", by="keccak_read bus")
    offset = element("first byte", by="keccak_read bus")
    left = element("bytes left, at least 1", by="keccak_read bus")
    word = limb("up to 32 bytes, zeros behind", WORD, by="memory_bytes bus and keccak_word bus")


class KeccakRead(Table):
    """Compares the memory with the words of hashed inputs."""

    name = "keccak_read"
    layout = ReadColumns
    row_order = "rows meet only on buses; keccak_read orders those of an input"

    def constraints(self, air: Air) -> None:
        row = air.row
        last = row.real - row.more
        air.require(row.more * (1 - row.real), "padding reads nothing")
        air.receive(KECCAK_READ, row.frame, row.time, row.id, row.index, row.offset, row.left, count=row.real)
        # A chain of rows can only end with 1 to 32 bytes left, after `left` has gone down by 32 for each row before:
        # it cannot pass 0 and come back, a table has fewer rows than that takes.
        range_check(air, row.left - 1, 5, last)
        bytes_ = row.left + row.more * (WORD_BYTES - row.left)
        air.send(MEMORY_BYTES, row.frame, row.time, 0, row.offset, bytes_, row.word, count=row.real)
        air.query(KECCAK_WORD, row.id, row.index, row.word, count=row.real)
        air.send(
            KECCAK_READ,
            row.frame,
            row.time + 1,
            row.id,
            row.index + 1,
            row.offset + WORD_BYTES,
            row.left - WORD_BYTES,
            count=row.more,
        )


def fill_keccak256(execution: Execution) -> Matrix | None:
    """All steps of KECCAK256 of at least one byte."""
    steps = _steps(execution, empty=False)
    if not len(steps):
        return None
    matrix, rows = allocate(Columns, len(steps))
    fill_step(rows, execution, steps)
    offset, size = execution.operand(steps, 0), execution.operand(steps, 1)
    rows.offset = offset[:, :_SMALL_LIMBS]
    rows.offset_then = execution.operand_time(steps, 0)
    rows.size = size[:, :_SMALL_LIMBS]
    rows.size_then = execution.operand_time(steps, 1)
    rows.inverse = inverse(size[:, :_SMALL_LIMBS].astype(np.uint64).sum(axis=1))
    words, expansion = MemoryRange.fill(
        rows.range, execution.memory_words[steps], small_integers(offset), small_integers(size)
    )
    cost = GAS_KECCAK256 + GAS_KECCAK256_WORD * words + expansion
    rows.cost = cost
    Charge.fill(rows.charge, execution.gas[steps], cost)
    hashed = HashedInputs.of(execution)
    success = np.flatnonzero(~execution.failed[steps])
    rows.id[success] = hashed.id
    rows.digest[success] = execution.result(steps[success])
    return matrix


def fill_keccak256_empty(execution: Execution) -> Matrix | None:
    """All steps of KECCAK256 of no bytes."""
    steps = _steps(execution, empty=True)
    if not len(steps):
        return None
    matrix, rows = allocate(EmptyColumns, len(steps))
    fill_step(rows, execution, steps)
    rows.offset = execution.operand(steps, 0)
    rows.offset_then = execution.operand_time(steps, 0)
    rows.size_then = execution.operand_time(steps, 1)
    Charge.fill(rows.charge, execution.gas[steps], np.full(len(steps), GAS_KECCAK256))
    return matrix


def fill_keccak_read(execution: Execution) -> Matrix | None:
    """All words that are read to be hashed."""
    hashed = HashedInputs.of(execution)
    if not len(hashed.step):
        return None
    owner, index, left = reads(hashed.size)
    steps = hashed.step[owner]
    matrix, rows = allocate(ReadColumns, len(owner))
    rows.real = 1
    rows.more = left > WORD_BYTES
    rows.frame = execution.frame[steps]
    rows.time = execution.time[steps] + 1 + index
    rows.id = hashed.id[owner]
    rows.index = index
    rows.offset = small_integers(execution.operand(steps, 0)) + WORD_BYTES * index
    rows.left = left
    rows.word = padded_words(execution.trace.data.byte, hashed.start, hashed.size, word_count(hashed.size))
    return matrix


class HashedInputs:
    """What the steps of an execution hash: at least one byte each.

    Attributes:
        step: (n,) the steps, those that fail left out.
        start, size: (n,) place of the input in the trace's data.
        id: (n,) name of the input.
        distinct: the distinct inputs.
    """

    def __init__(self, execution: Execution) -> None:
        trace, hashes = execution.trace, execution.trace.hashes
        steps = _steps(execution, empty=False)
        self.step: Integers = steps[~execution.failed[steps]]
        made = np.flatnonzero(hashes.purpose == HashPurpose.INSTRUCTION)
        row = made[np.searchsorted(hashes.step[made], execution.step[self.step])]
        self.start: Integers = hashes.input_start[row].astype(np.int64)
        self.size: Integers = hashes.input_size[row].astype(np.int64)
        # Inputs are byte strings of many lengths: a dictionary finds equal ones.
        inputs = [
            trace.bytes_at(start, size) for start, size in zip(self.start.tolist(), self.size.tolist(), strict=True)
        ]
        self.distinct = keccak_sponge.Inputs.of(inputs)
        ids = self.distinct.id_of
        self.id: Integers = np.array([ids[data] for data in inputs], dtype=np.int64)

    @classmethod
    def of(cls, execution: Execution) -> HashedInputs:
        """The inputs of an execution; made once."""
        hashed = _hashed.get(execution)
        if hashed is None:
            hashed = _hashed[execution] = cls(execution)
        return hashed


_hashed: WeakKeyDictionary[Execution, HashedInputs] = WeakKeyDictionary()


def fill_sponge(
    execution: Execution, word_queries: NDArray[np.uint32], out_queries: NDArray[np.uint32]
) -> Matrix | None:
    """The sponge, with the counts of what is asked of it."""
    inputs = HashedInputs.of(execution).distinct
    if not inputs.rows:
        return None
    return keccak_sponge.fill(inputs, word_queries[:, :2], out_queries[:, 0]).matrix


def fill_permutations(execution: Execution) -> Matrix | None:
    """The permutations of the sponge."""
    inputs = HashedInputs.of(execution).distinct
    if not inputs.rows:
        return None
    return keccak_f.fill(*keccak_sponge.permutations(inputs))


def _steps(execution: Execution, *, empty: bool) -> Integers:
    steps = execution.rows(_OPCODE)
    is_empty = small_integers(execution.operand(steps, 1)) == 0
    chosen: Integers = steps[is_empty == empty]
    return chosen


COMPONENTS = (
    Acting(Keccak256(), fill_keccak256),
    Acting(Keccak256Empty(), fill_keccak256_empty),
    Acting(KeccakRead(), fill_keccak_read),
    Answering(keccak_sponge.Keccak(), (KECCAK_WORD, KECCAK_OUT), fill_sponge),
    Acting(keccak_f.KeccakF(), fill_permutations),
)
