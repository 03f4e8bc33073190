"""The instruction KECCAK256, and how it reads what it hashes.

Source: execution-specs `cancun/vm/instructions/keccak.py`.

The input is hashed by `circuits.functions.keccak_sponge`. A step names an input there, whose length and digest it looks
up, and has all of its words compared with the memory by `circuits.memory.hash_read`; equal inputs may share a name.
"""

from __future__ import annotations

import numpy as np
from eth_utils.crypto import keccak as keccak256
from numpy.typing import NDArray

from circuits.air.field import Matrix, inverse
from circuits.air.layout import allocate, element, limb, nested
from circuits.air.table import Air
from circuits.batch.execution import Execution, Integers, small_integers
from circuits.batch.hashed_inputs import HashedInputs
from circuits.batch.precompile_calls import PrecompileCalls
from circuits.component import Acting, Answering
from circuits.frames.code import CodeContents
from circuits.frames.gas import Charge
from circuits.functions import keccak_f, keccak_sponge
from circuits.functions.buses import HASH_OUT, HASH_WORD, KECCAK256_FUNCTION, KNOWN_CODE
from circuits.functions.hash_inputs import HashedWords, asked_of
from circuits.instructions.memory_range import MemoryRange
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.limbs import words_from_bytes
from circuits.memory import hash_read
from circuits.memory.buses import HASH_READ
from circuits.widths import WORD
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
    id = element("name of the input", by="hash_out bus; 0 when the step fails")
    digest = limb("its hash", WORD, by="hash_out bus; 0 when the step fails")


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
        air.query(HASH_OUT, KECCAK256_FUNCTION, row.id, size, row.digest, count=succeeds)
        air.send(HASH_READ, KECCAK256_FUNCTION, row.frame, row.time + 1, row.id, 0, offset, size, count=succeeds)
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
    rows.id[success] = hashed.id[hashed.made_by(steps[success], HashPurpose.INSTRUCTION)]
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


def fill_hash_read(execution: Execution, tokens: NDArray[np.uint32]) -> Matrix | None:
    """All words that are read to be hashed; `tokens`: what is sent on the hash_read bus."""
    hashed: dict[int, HashedWords] = {
        KECCAK256_FUNCTION: HashedInputs.of(execution).distinct,
        KNOWN_CODE: CodeContents(execution),
        **PrecompileCalls.of(execution).distinct,
    }
    return hash_read.fill(tokens, hashed)


def fill_sponge(
    execution: Execution, word_queries: NDArray[np.uint32], out_queries: NDArray[np.uint32]
) -> Matrix | None:
    """The sponge, with the counts of what is asked of it."""
    inputs = HashedInputs.of(execution).distinct
    if not inputs.rows:
        return None
    words, outs = (asked_of(KECCAK256_FUNCTION, queries) for queries in (word_queries, out_queries))
    return keccak_sponge.fill(inputs, words[:, :2], outs[:, 0]).matrix


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
    Answering(hash_read.HashRead(), HASH_READ, fill_hash_read),
    Answering(keccak_sponge.Keccak(), (HASH_WORD, HASH_OUT), fill_sponge),
    Acting(keccak_f.KeccakF(), fill_permutations),
)
