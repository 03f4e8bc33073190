"""What is asked of blocks beyond the last one's fields, and of blobs: BLOCKHASH and BLOBHASH.

Source: execution-specs `cancun/vm/instructions/block.py` and `environment.py` (BLOBHASH); EIP-4844.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.derived import fill_derived
from circuits.air.expression import Expression
from circuits.air.field import Matrix, inverse
from circuits.air.gadgets import one_hot, total
from circuits.air.gadgets.words import full
from circuits.air.layout import RANGE, allocate, bit, element, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import Execution
from circuits.component import Acting
from circuits.frames.buses import BUFFER, CONTEXT, CONTEXT_OF
from circuits.frames.contexts import BLOBS, BLOCK_CONTEXT, TRANSACTION_CONTEXT
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.limbs import Limbs, u64_from_ints
from circuits.state.buses import BLOCK_HASH
from circuits.widths import U64, WORD
from executor.opcodes import OPCODES

GAS_BLOCK_HASH = 20
GAS_BLOB_HASH = 3
#: How many blocks back BLOCKHASH reaches.
BLOCK_HASH_REACH = 256

_CONTEXT_BUS = "context bus"


def _difference(row: Any) -> list[Expression]:
    """What a flag of BLOCKHASH makes the difference, limb by limb: between -2^17 and 2^17 with and without borrows."""
    sign = row.in_reach + row.below - row.above
    below_by = row.in_reach + row.below * (1 + BLOCK_HASH_REACH)
    borrowed = (row.borrow[0] + row.borrow_twice, *row.borrow[1:])
    borrows = zip((below_by, *borrowed), (*borrowed, 0), strict=True)
    return [
        sign * (row.number[i] - row.wanted[i]) - before + after * (1 << 16) for i, (before, after) in enumerate(borrows)
    ]


class BlockHashColumns(Step):
    """One BLOCKHASH per row."""

    wanted = limb("number of the block that is asked for", WORD, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)
    block = element("row of the block", by="context_of bus")
    number = limb("its number", U64, by=_CONTEXT_BUS)
    in_reach = bit("1: number - 256 <= wanted < number; exactly one of these four flags")
    large = bit("1: wanted is 2^64 or more")
    above = bit("1: wanted, below 2^64, is at least number")
    below = bit("1: wanted is below number - 256")
    inverse = element("of the sum of the limbs from 2^64 on when `large`, else 0", by="its constraints")
    borrow = bit("out of each limb of the difference but the last", U64 - 1)
    borrow_twice = bit("1: 2 are borrowed out of the lowest limb, from which up to 65,535 + 257 is subtracted")
    difference = limb(
        "number - 1 - wanted, wanted - number or number - 257 - wanted: what shows that the flag is right",
        U64,
        by=RANGE,
        equals=_difference,
    )
    hash = limb("the hash, or 0", WORD, by="block_hash bus, or 0")


class BlockHash(InstructionTable):
    """BLOCKHASH."""

    name = "blockhash"
    layout = BlockHashColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, OPCODES["BLOCKHASH"])
        air.query(CONTEXT_OF, row.frame, BLOCK_CONTEXT, row.block, count=row.real)
        air.query(CONTEXT, BLOCK_CONTEXT, row.block, OPCODES["NUMBER"], full(air, row.number), count=row.real)
        # STACK
        self.pop(air, 0, row.wanted, row.then)
        self.push(air, 1, row.hash)
        # OPERATION. `large` is 1 exactly when wanted is 2^64 or more. Otherwise only one of the other flags has a
        # difference that is not negative, or has no limbs.
        one_hot(air, [row.in_reach, row.large, row.above, row.below], row.real, "reach")
        high = total(row.wanted[U64:])  # below 2^20
        air.require((row.real - row.large) * high, "wanted is below 2^64")
        air.require(high * row.inverse - row.large, "wanted is at least 2^64")
        air.require((1 - row.large) * row.inverse, "no inverse")
        air.require(row.borrow_twice * (1 - row.borrow[0]), "the second borrow follows the first one")
        for i in range(1, U64):
            air.require(row.in_reach * row.difference[i], f"at most 255 blocks before the last one: limb {i}")
        air.query(RANGE16, row.difference[0] * (1 << 8), count=row.in_reach)
        air.query(BLOCK_HASH, row.wanted, row.hash, count=row.in_reach)
        air.require_equal(row.hash, full(air, []), "no hash out of reach", when=1 - row.in_reach)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=0, gas=GAS_BLOCK_HASH)


def fill_block_hash(execution: Execution) -> Matrix | None:
    """All steps of BLOCKHASH."""
    steps = execution.rows(OPCODES["BLOCKHASH"])
    if not len(steps):
        return None
    matrix, rows = allocate(BlockHashColumns, len(steps))
    fill_step(rows, execution, steps)
    wanted = execution.operand(steps, 0)
    block = execution.operations.block[execution.operation[steps]]
    number = u64_from_ints(execution.trace.blocks.number[block].tolist())
    rows.wanted = wanted
    rows.then = execution.operand_time(steps, 0)
    rows.block = np.searchsorted(execution.blocks, block)
    rows.number = number
    rows.hash = execution.result(steps)
    high = wanted[:, U64:].astype(np.uint64).sum(axis=1)
    large = high != 0
    low, current = _u64(wanted), _u64(number)
    above = ~large & (low >= current)
    # Below `current`, so that nothing wraps.
    in_reach = ~large & ~above & (current - low <= np.uint64(BLOCK_HASH_REACH))
    below = ~(large | above | in_reach)
    rows.large, rows.above, rows.in_reach, rows.below = large, above, in_reach, below
    rows.inverse = inverse(high)
    # The borrows of the difference limb by limb.
    sign = in_reach.astype(np.int64) + below - above
    limbs = sign[:, None] * (number.astype(np.int64) - wanted[:, :U64].astype(np.int64))
    limbs[:, 0] -= in_reach + below * (1 + BLOCK_HASH_REACH)
    for i in range(U64 - 1):
        borrow = -(limbs[:, i] >> 16)
        rows.borrow[:, i] = borrow > 0
        if i == 0:
            rows.borrow_twice = borrow > 1
        limbs[:, i] += borrow << 16
        limbs[:, i + 1] -= borrow
    fill_derived(rows)
    return matrix


def _u64(limbs: Limbs) -> NDArray[np.uint64]:
    """The low 64 bits of integers (n, k), (n,)."""
    return np.ascontiguousarray(limbs[:, :U64]).astype("<u2").view("<u8").reshape(-1).astype(np.uint64)


class BlobHashColumns(Step):
    """One BLOBHASH per row."""

    index = limb("number of the blob", WORD, by=STACK_BUS)
    then = element("time of its push", by=STACK_BUS)
    operation = element("the transaction", by="context_of bus")
    buffer = element("id of the buffer of blob hashes", by=_CONTEXT_BUS)
    blobs = element("blobs of the transaction, at most 2^8", by=_CONTEXT_BUS)
    exists = bit("1: index < blobs; exactly one of these three flags")
    large = bit("1: index is 2^16 or more")
    above = bit("1: index, below 2^16, is at least `blobs`")
    inverse = element("of the sum of the limbs from 2^16 on when `large`, else 0", by="its constraints")
    difference = limb(
        "blobs - 1 - index or index - blobs, between -2^17 and 2^17: what shows that the flag is right",
        by=RANGE,
        equals=lambda row: row.exists * (row.blobs - 1 - row.index[0]) + row.above * (row.index[0] - row.blobs),
    )
    hash = limb("the versioned hash, or 0", WORD, by="buffer bus, or 0")


class BlobHash(InstructionTable):
    """BLOBHASH (EIP-4844)."""

    name = "blobhash"
    layout = BlobHashColumns

    def constraints(self, air: Air) -> None:
        row = air.row
        self.begin(air, OPCODES["BLOBHASH"])
        air.query(CONTEXT_OF, row.frame, TRANSACTION_CONTEXT, row.operation, count=row.real)
        blobs = full(air, [row.buffer, row.blobs])
        air.query(CONTEXT, TRANSACTION_CONTEXT, row.operation, BLOBS, blobs, count=row.real)
        # STACK
        self.pop(air, 0, row.index, row.then)
        self.push(air, 1, row.hash)
        # OPERATION. As for BLOCKHASH, an index allows one flag only.
        one_hot(air, [row.exists, row.large, row.above], row.real, "existence")
        high: Expression = total(row.index[1:])  # below 2^20
        air.require((row.real - row.large) * high, "index is below 2^16")
        air.require(high * row.inverse - row.large, "index is at least 2^16")
        air.require((1 - row.large) * row.inverse, "no inverse")
        air.query(BUFFER, 0, row.buffer, row.index[0], row.hash, count=row.exists)
        air.require_equal(row.hash, full(air, []), "no hash without a blob", when=1 - row.exists)
        # GAS, PROGRAM COUNTER
        self.proceed(air, stack=0, gas=GAS_BLOB_HASH)


def fill_blob_hash(execution: Execution) -> Matrix | None:
    """All steps of BLOBHASH."""
    steps = execution.rows(OPCODES["BLOBHASH"])
    if not len(steps):
        return None
    matrix, rows = allocate(BlobHashColumns, len(steps))
    fill_step(rows, execution, steps)
    index = execution.operand(steps, 0)
    operation = execution.operation[steps]
    message = np.searchsorted(execution.message_operations, operation)
    blobs = execution.buffer_rows[message, 1]
    rows.index = index
    rows.then = execution.operand_time(steps, 0)
    rows.operation = operation
    rows.buffer = np.where(blobs > 0, execution.blob_ids[message], 0)
    rows.blobs = blobs
    rows.hash = execution.result(steps)
    high = index[:, 1:].astype(np.uint64).sum(axis=1)
    low = index[:, 0].astype(np.int64)
    large = high != 0
    above = ~large & (low >= blobs)
    exists = ~large & ~above
    rows.large, rows.above, rows.exists = large, above, exists
    rows.inverse = inverse(high)
    fill_derived(rows)
    return matrix


COMPONENTS = (
    Acting(BlockHash(), fill_block_hash),
    Acting(BlobHash(), fill_blob_hash),
)
