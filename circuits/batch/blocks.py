"""The hashed items of a batch's blocks."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from circuits.batch.execution import Batch
from circuits.batch.operations import Operations
from circuits.limbs import u64_from_ints
from circuits.statement import BLOCK_ITEM, Digests
from executor.trace import ExecutionTrace


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
