"""Blocks: each block of a segment, opened from its digest.

Source: EIP-1559, EIP-4399, EIP-4788, EIP-4844, EIP-7516.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.gadgets.words import full
from circuits.air.layout import Layout, allocate, bit, element, limb
from circuits.air.table import Air, Table
from circuits.batch.blocks import block_columns
from circuits.batch.execution import Execution
from circuits.component import Answering
from circuits.frames.buses import CONTEXT
from circuits.frames.contexts import BLOCK_CONTEXT, context_counts, count_by
from circuits.hashing import constrain_item
from circuits.statement import BLOCK_ITEM
from circuits.transactions.buses import BLOCK
from circuits.widths import ADDRESS, DIGEST, U64, WORD
from executor.opcodes import OPCODES

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


COMPONENTS = (Answering(Block(), (BLOCK, CONTEXT), fill),)
