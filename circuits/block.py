"""Blocks: each block of a segment, opened from its digest, and the instructions BLOCKHASH and BLOBHASH.

Source: EIP-1559, EIP-4399, EIP-4788, EIP-4844, EIP-7516; execution-specs `cancun/vm/instructions/block.py` and
`environment.py` (BLOBHASH).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import Matrix, inverse
from circuits.air.gadgets import one_hot, total
from circuits.air.layout import RANGE, Layout, allocate, bit, element, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.buses import (
    ADDRESS,
    BLOCK,
    BLOCK_HASH,
    BUFFER,
    CONTEXT,
    CONTEXT_OF,
    DIGEST,
    WORD,
)
from circuits.component import Acting, Answering
from circuits.execution import Batch, Execution
from circuits.hashing import constrain_item
from circuits.limbs import Limbs, u64_from_ints
from circuits.operations import Operations
from circuits.statement import BLOCK_ITEM, U64, Digests
from circuits.step import STACK_BUS, InstructionTable, Step, fill_step, full
from executor.opcodes import OPCODES
from executor.trace import ExecutionTrace

#: Kinds of contexts (see `circuits.buses.CONTEXT_OF`).
FRAME_CONTEXT, TRANSACTION_CONTEXT, BLOCK_CONTEXT = 0, 1, 2

#: Stand for opcodes where something is asked for that no instruction pushes as it is: a frame's reserve of gas, and the
#: buffer of a transaction's blob hashes and their number. No byte of a code is one of them.
RESERVE, BLOBS = 0x100, 0x101

GAS_BLOCK_HASH = 20
GAS_BLOB_HASH = 3
#: How many blocks back BLOCKHASH reaches.
BLOCK_HASH_REACH = 256

#: Fields that instructions give, by opcode.
FIELDS = {
    OPCODES["COINBASE"]: "coinbase",
    OPCODES["TIMESTAMP"]: "timestamp",
    OPCODES["NUMBER"]: "number",
    OPCODES["PREVRANDAO"]: "prev_randao",
    OPCODES["GASLIMIT"]: "gas_limit",
    OPCODES["CHAINID"]: "chain_id",
    OPCODES["BASEFEE"]: "base_fee",
    OPCODES["BLOBBASEFEE"]: "blob_base_fee",
}

_DIGEST = "the digest, which a transaction's item holds"
_CONTEXT_BUS = "context bus"


class Columns(Layout):
    """One block per row."""

    real = bit("1 on rows that stand for a block")
    row = element("row number", by="first row 0, step 1")
    scope = element("number of the block's first operation", by=_DIGEST)
    coinbase = limb("fee recipient", ADDRESS, by=_DIGEST)
    base_fee = limb("wei per gas (EIP-1559)", WORD, by=_DIGEST)
    gas_limit = limb("gas limit", U64, by=_DIGEST)
    number = limb("block number", U64, by=_DIGEST)
    timestamp = limb("seconds since the epoch", U64, by=_DIGEST)
    prev_randao = limb("beacon randomness (EIP-4399)", WORD, by=_DIGEST)
    blob_base_fee = limb("wei per blob gas (EIP-7516)", WORD, by=_DIGEST)
    chain_id = limb("chain id", U64, by=_DIGEST)
    states = element("hash states of the item, the digest last", (BLOCK_ITEM.blocks, DIGEST), by="poseidon2 bus")
    block_count = element("how often a transaction asks for the block", by="balance of the block bus")
    context_count = element(
        "how often an instruction asks for each field of FIELDS", len(FIELDS), by="balance of the context bus"
    )


class Block(Table):
    """Opens digests of blocks for transactions, whose frames then ask for the fields by the row's number."""

    name = "block"
    layout = Columns

    def constraints(self, air: Air) -> None:
        row = air.row
        air.require(air.is_first * row.row, "row numbers start at 0")
        air.require(air.is_transition * (air.next.row - row.row - 1), "row numbers step by 1")
        parts = {name: getattr(row, name) for name, _ in BLOCK_ITEM.fields}
        constrain_item(air, BLOCK_ITEM, row.states, count=row.real, **parts)
        for count in (row.block_count, *row.context_count):
            air.require((1 - row.real) * count, "padding provides nothing")
        air.provide(
            BLOCK,
            row.states[-1],
            row.row,
            row.scope,
            row.coinbase,
            row.base_fee,
            row.blob_base_fee,
            multiplicity=row.block_count,
        )
        for (opcode, name), count in zip(FIELDS.items(), row.context_count, strict=True):
            word = full(air, getattr(row, name))
            air.provide(CONTEXT, BLOCK_CONTEXT, row.row, opcode, word, multiplicity=count)


def block_columns(trace: ExecutionTrace, operations: Operations | None = None) -> dict[str, NDArray[Any]]:
    """The fields of `BLOCK_ITEM` of all blocks of a batch: (blocks,) or (blocks, size) each."""
    blocks = trace.blocks
    scope = (Operations.of(trace) if operations is None else operations).scope
    return {
        "scope": scope,
        "coinbase": blocks.coinbase,
        "base_fee": blocks.base_fee,
        "gas_limit": u64_from_ints(blocks.gas_limit.tolist()),
        "number": u64_from_ints(blocks.number.tolist()),
        "timestamp": u64_from_ints(blocks.timestamp.tolist()),
        "prev_randao": blocks.prev_randao,
        "blob_base_fee": blocks.blob_base_fee,
        "chain_id": u64_from_ints([trace.chain_id] * len(scope)),
    }


def block_digests(batch: Batch) -> Digests:
    """Digests (blocks, 8) of all blocks of a batch."""
    return BLOCK_ITEM.digests(**block_columns(batch.trace, batch.operations))


def fill(execution: Execution, block_queries: NDArray[np.uint32], context_queries: NDArray[np.uint32]) -> Matrix | None:
    """The table for what transactions ask of the block bus and instructions of the context bus."""
    asked = context_queries[context_queries[:, 0] == BLOCK_CONTEXT]
    if not len(execution.blocks) or not len(block_queries) + len(asked):
        return None
    columns = {
        name: column[execution.blocks] for name, column in block_columns(execution.trace, execution.operations).items()
    }
    matrix, rows = allocate(Columns, len(execution.blocks))
    matrix[:, Columns.offsets["row"]] = np.arange(len(matrix))
    rows.real = 1
    for name, column in columns.items():
        setattr(rows, name, column)
    rows.states = BLOCK_ITEM.states(**columns)
    rows.block_count = count_by(block_queries[:, DIGEST], len(columns["scope"]))
    rows.context_count = context_counts(asked, list(FIELDS), len(columns["scope"]))
    return matrix


def count_by(ids: NDArray[np.integer[Any]], rows: int) -> NDArray[np.int64]:
    """How often each of the ids 0 .. rows - 1 occurs, (rows,). Others have no row to answer and unbalance their bus."""
    return np.bincount(ids[ids < rows].astype(np.int64), minlength=rows)


def context_counts(asked: NDArray[np.uint32], opcodes: Sequence[int], rows: int) -> NDArray[np.int64]:
    """How often each opcode is queried of each id, (rows, opcodes), of queries on the context bus of one kind."""
    return np.stack([count_by(asked[asked[:, 2] == opcode, 1], rows) for opcode in opcodes], axis=1)


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
    difference = limb(
        "number - 1 - wanted, wanted - number or number - 257 - wanted: what shows that the flag is right",
        U64,
        by=RANGE,
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
        sign = row.in_reach + row.below - row.above
        below_by = row.in_reach + row.below * (1 + BLOCK_HASH_REACH)
        for i in range(U64):
            # Between -2^17 and 2^17, as are the differences with their borrows.
            limb_ = sign * (row.number[i] - row.wanted[i]) - (row.borrow[i - 1] if i else below_by)
            if i < U64 - 1:
                limb_ = limb_ + row.borrow[i] * (1 << 16)
            air.require(limb_ - row.difference[i], f"difference: limb {i}")
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
    # The difference limb by limb.
    sign = in_reach.astype(np.int64) + below - above
    limbs = sign[:, None] * (number.astype(np.int64) - wanted[:, :U64].astype(np.int64))
    limbs[:, 0] -= in_reach + below * (1 + BLOCK_HASH_REACH)
    for i in range(U64 - 1):
        borrow = limbs[:, i] < 0
        rows.borrow[:, i] = borrow
        limbs[:, i] += borrow << 16
        limbs[:, i + 1] -= borrow
    rows.difference = limbs
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
    difference = limb("blobs - 1 - index or index - blobs: what shows that the flag is right", by=RANGE)
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
        # Between -2^17 and 2^17.
        shown = row.exists * (row.blobs - 1 - row.index[0]) + row.above * (row.index[0] - row.blobs)
        air.require(shown - row.difference, "difference")
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
    transaction = np.searchsorted(execution.transaction_operations, operation)
    blobs = execution.buffer_rows[transaction, 1]
    rows.index = index
    rows.then = execution.operand_time(steps, 0)
    rows.operation = operation
    rows.buffer = np.where(blobs > 0, execution.blob_ids[transaction], 0)
    rows.blobs = blobs
    rows.hash = execution.result(steps)
    high = index[:, 1:].astype(np.uint64).sum(axis=1)
    low = index[:, 0].astype(np.int64)
    large = high != 0
    above = ~large & (low >= blobs)
    exists = ~large & ~above
    rows.large, rows.above, rows.exists = large, above, exists
    rows.inverse = inverse(high)
    rows.difference = np.where(exists, blobs - 1 - low, np.where(above, low - blobs, 0))
    return matrix


COMPONENTS = (
    Acting(BlockHash(), fill_block_hash),
    Acting(BlobHash(), fill_blob_hash),
    Answering(Block(), (BLOCK, CONTEXT), fill),
)
