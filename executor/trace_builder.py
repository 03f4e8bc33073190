"""Columns of the execution trace from what was recorded of each transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from eth.abc import BlockHeaderAPI

from executor.accesses import StateAccess, StateKey
from executor.batch import Batch
from executor.chain import base_fee, excess_blob_gas
from executor.limbs import WORD_LIMBS, addresses_from_bytes, u64_from_ints, words_from_bytes, words_from_ints
from executor.trace import ACCESSES_PER_TRANSFER, ExecutionTrace
from executor.transactions import Transaction


class ExecutedTransfer(NamedTuple):
    """A transaction with what its execution gave."""

    block: int
    transaction: Transaction
    gas_used: int
    accesses: tuple[StateAccess, ...]


def build_trace(
    batch: Batch, headers: Sequence[BlockHeaderAPI], transfers: Sequence[ExecutedTransfer], keys: Sequence[StateKey]
) -> ExecutionTrace:
    """The trace of a batch: ``headers`` of all its blocks, all transactions in order, all keys sorted."""
    transactions = [transfer.transaction for transfer in transfers]
    accesses = [access for transfer in transfers for access in transfer.accesses]
    index = {key: position for position, key in enumerate(keys)}
    shape = (len(transfers), ACCESSES_PER_TRANSFER, WORD_LIMBS)
    first: dict[StateKey, int] = {}
    last: dict[StateKey, int] = {}
    for access in accesses:
        first.setdefault(access.key, access.before)
        last[access.key] = access.after
    return ExecutionTrace(
        block=_u32([transfer.block for transfer in transfers]),
        sender=addresses_from_bytes([transaction.sender for transaction in transactions]),
        to=addresses_from_bytes([transaction.recipient for transaction in transactions]),
        nonce=u64_from_ints([transaction.nonce for transaction in transactions]),
        gas_limit=_u32([transaction.gas_limit for transaction in transactions]),
        gas_used=_u32([transfer.gas_used for transfer in transfers]),
        value=words_from_ints([transaction.value for transaction in transactions]),
        max_fee=words_from_ints([transaction.max_fee for transaction in transactions]),
        max_priority=words_from_ints([transaction.max_priority_fee for transaction in transactions]),
        zero_bytes=_u32([transaction.zero_bytes for transaction in transactions]),
        nonzero_bytes=_u32([transaction.nonzero_bytes for transaction in transactions]),
        access_addresses=_u32([transaction.access_addresses for transaction in transactions]),
        access_keys=_u32([transaction.access_keys for transaction in transactions]),
        status=np.ones(len(transfers), dtype=np.uint8),
        access_key=_u32([index[access.key] for access in accesses]).reshape(shape[:2]),
        access_before=words_from_ints([access.before for access in accesses]).reshape(shape),
        access_after=words_from_ints([access.after for access in accesses]).reshape(shape),
        coinbase=addresses_from_bytes([header.coinbase for header in headers]),
        base_fee=words_from_ints([base_fee(header) for header in headers]),
        prev_randao=words_from_bytes([header.mix_hash for header in headers]),
        block_gas_limit=u64_from_ints([header.gas_limit for header in headers]),
        block_number=u64_from_ints([header.block_number for header in headers]),
        timestamp=u64_from_ints([header.timestamp for header in headers]),
        excess_blob_gas=u64_from_ints([excess_blob_gas(header) for header in headers]),
        chain_id=u64_from_ints([batch.chain_id])[0],
        key_kind=np.array([key.kind for key in keys], dtype=np.uint8),
        key_address=addresses_from_bytes([key.address for key in keys]),
        key_first=words_from_ints([first[key] for key in keys]),
        key_last=words_from_ints([last[key] for key in keys]),
    )


def _u32(values: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.array(values, dtype=np.uint32)
