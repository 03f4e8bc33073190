"""Block contexts: each block a segment's transactions run in, opened from its digest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.layout import Layout, allocate, bit, element, limb
from circuits.air.table import Air, Table
from circuits.buses import BLOCK, DIGEST
from circuits.hashing import constrain_item
from circuits.statement import BLOCK_BLOCKS, TAG_BLOCK, item_states

_DIGEST = "the digest, compared with the transaction's commitment"


class Columns(Layout):
    """One block context per row, its fields in the order of the hashed item."""

    real = bit("1 on rows that stand for a block")
    multiplicity = element("how often the row is queried", by="balance of the block bus")
    coinbase = limb("fee recipient", 10, by=_DIGEST)
    base_fee = limb("base fee per gas in wei (EIP-1559)", 16, by=_DIGEST)
    gas_limit = limb("gas limit", 4, by=_DIGEST)
    number = limb("block number", 4, by=_DIGEST)
    timestamp = limb("seconds since the epoch", 4, by=_DIGEST)
    prev_randao = limb("beacon randomness (EIP-4399)", 16, by=_DIGEST)
    excess_blob_gas = limb("excess blob gas (EIP-4844)", 4, by=_DIGEST)
    chain_id = limb("chain id", 4, by=_DIGEST)
    states = element("hash states of the item, the digest last", (BLOCK_BLOCKS, DIGEST), by="poseidon2 bus")


class Block(Table):
    """Provides (digest, coinbase, base fee) to the transactions of a block."""

    name = "block"
    layout = Columns
    row_order = "rows meet transactions only on the block bus"

    def constraints(self, air: Air) -> None:
        row = air.row
        header = [row.coinbase, row.base_fee, row.gas_limit, row.number, row.timestamp, row.prev_randao]
        constrain_item(air, TAG_BLOCK, [*header, row.excess_blob_gas, row.chain_id], row.states, count=row.real)
        air.require((1 - row.real) * row.multiplicity, "padding provides nothing")
        air.provide(BLOCK, row.states[-1], row.coinbase, row.base_fee, multiplicity=row.multiplicity)


def fill(items: NDArray[np.uint32], multiplicities: NDArray[np.int64]) -> Matrix:
    """The table for block items (b, 64) of `circuits.statement.block_items`, queried this often each (b,)."""
    matrix, rows = allocate(Columns, len(items))
    rows.real = 1
    rows.multiplicity = multiplicities
    start = Columns.offsets["coinbase"]
    end = Columns.offsets["states"]
    matrix[: len(items), start:end] = items[:, : end - start]  # the rest of the item is padding
    rows.states = item_states(TAG_BLOCK, items)[:, 1:]
    return matrix
