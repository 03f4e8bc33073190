"""The hashed items of a batch's operations, and the running hash over them.

The same digests are recomputed by the verifier from the public data of the batch (`circuits.statement`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.batch.blocks import block_digests
from circuits.batch.execution import Batch, ranges
from circuits.batch.item_lists import Entries, ItemColumns, access_entries
from circuits.batch.operations import OperationKind
from circuits.limbs import Limbs, words_from_ints
from circuits.statement import (
    BEACON_ITEM,
    HISTORY_ITEM,
    OPERATIONS_START,
    SET_CODE_ITEM,
    SYSTEM_CALL_ITEM,
    TRANSACTION_ITEM,
    WITHDRAWAL_ITEM,
    Digests,
    buffer_digests,
    gas_limbs,
    running_chain,
)
from circuits.widths import DIGEST, WORD
from executor.trace import ExecutionTrace

#: EIP-4788: timestamps and roots each have a ring of this many slots, the roots behind the timestamps.
HISTORY_BUFFER_LENGTH = 8191

#: EIP-2935: hashes of blocks have a ring of as many.
HISTORY_SERVE_WINDOW = 8191

WEI_PER_GWEI = 10**9

BLOB_HASH_BYTES = 32


@dataclass(frozen=True, eq=False)
class OperationItems:
    """All operations of a batch as hashed items.

    Attributes:
        transactions, withdrawals, system_calls: items of the rows of the trace's tables.
        set_code: items of the transactions as those of forks with set-code transactions, if the batch has such blocks.
        beacons, histories: items of all blocks' writes of beacon roots and of their parents' hashes.
        entries, authorizations: the entries of the transactions' access lists, and of their authorizations.
        digests: (n, 8) of the operations.
        chain: (n + 1, 8) running hash before each operation, and behind the last one.
    """

    transactions: ItemColumns
    set_code: ItemColumns | None
    withdrawals: ItemColumns
    system_calls: ItemColumns
    beacons: ItemColumns
    histories: ItemColumns
    entries: Entries
    authorizations: Entries
    digests: Digests
    chain: Digests

    @classmethod
    def of(cls, batch: Batch) -> OperationItems:
        """Of an executed batch."""
        operations = batch.operations
        entries, authorizations = access_entries(batch.trace), batch.authorizations
        fields = _transaction_fields(batch, entries)
        transactions, set_code = ItemColumns.of(TRANSACTION_ITEM, **fields), None
        of_transactions = transactions.digests
        sets_codes = np.array([fork.sets_codes for fork in batch.forks], dtype=bool)
        if sets_codes.any():
            digests, counts = authorizations.digests, authorizations.counts
            set_code = ItemColumns.of(SET_CODE_ITEM, **fields, authorization_digest=digests, authorizations=counts)
            later = sets_codes[batch.trace.transactions.block]
            of_transactions = np.where(later[:, None], set_code.digests, of_transactions)
        withdrawals, system_calls = _withdrawal_items(batch), _system_call_items(batch)
        beacons, histories = _beacon_items(batch), _history_items(batch)
        digests = np.empty((len(operations), DIGEST), dtype=np.uint32)
        for kind, found in (
            (OperationKind.TRANSACTION, of_transactions),
            (OperationKind.WITHDRAWAL, withdrawals.digests),
            (OperationKind.SYSTEM_CALL, system_calls.digests),
            (OperationKind.BEACON, beacons.digests),
            (OperationKind.HISTORY, histories.digests),
        ):
            mask = operations.kind == kind
            digests[mask] = found[operations.row[mask]]
        chain = running_chain(OPERATIONS_START, digests)
        return cls(
            transactions, set_code, withdrawals, system_calls, beacons, histories, entries, authorizations, digests,
            chain,
        )  # fmt: skip


def _transaction_fields(batch: Batch, entries: Entries) -> dict[str, NDArray[Any]]:
    """The fields of `TRANSACTION_ITEM` of all transactions."""
    trace = batch.trace
    table = trace.transactions
    sizes = table.input_size.astype(np.int64)
    zero = np.concatenate([[0], np.cumsum(trace.data.byte[ranges(table.input_start.astype(np.int64), sizes)] == 0)])
    ends = np.cumsum(sizes)
    zero_bytes = zero[ends] - zero[ends - sizes]
    nonce = table.nonce[:, None] >> (16 * np.arange(4, dtype=np.uint64)) & np.uint64(0xFFFF)
    return {
        "block_digest": block_digests(batch)[table.block],
        "sender": table.sender,
        "to": table.to,
        "creates": table.is_creation,
        "nonce": nonce.astype(np.uint16),
        "gas_limit": gas_limbs(table.gas_limit),
        "value": table.value,
        "max_fee": table.max_fee,
        "max_priority": table.max_priority_fee,
        "zero_bytes": zero_bytes,
        "nonzero_bytes": sizes - zero_bytes,
        "calldata_digest": _data_digests(trace, table.input_start, table.input_size),
        "access_digest": entries.digests,
        "access_addresses": table.access_addresses,
        "access_keys": table.access_keys,
        "blobs": table.blob_hashes_size // BLOB_HASH_BYTES,
        "blob_digest": _data_digests(trace, table.blob_hashes_start, table.blob_hashes_size),
        "max_blob_fee": table.max_fee_per_blob_gas,
    }


def _data_digests(trace: ExecutionTrace, starts: NDArray[Any], sizes: NDArray[Any]) -> Digests:
    return buffer_digests([trace.bytes_at(start, size) for start, size in zip(starts, sizes, strict=True)])


def _withdrawal_items(batch: Batch) -> ItemColumns:
    table = batch.trace.withdrawals
    return ItemColumns.of(
        WITHDRAWAL_ITEM,
        scope=batch.operations.scope[table.block],
        address=table.address,
        amount=_words([amount * WEI_PER_GWEI for amount in table.amount.tolist()]),
    )


def _system_call_items(batch: Batch) -> ItemColumns:
    trace = batch.trace
    table = trace.system_calls
    size = table.output_size * table.returns
    return ItemColumns.of(
        SYSTEM_CALL_ITEM,
        block_digest=block_digests(batch)[table.block],
        address=table.address,
        returns=table.returns,
        input_size=table.input_size,
        input_digest=_data_digests(trace, table.input_start, table.input_size),
        output_size=size,
        output_digest=_data_digests(trace, table.output_start, size),
    )


def _history_items(batch: Batch) -> ItemColumns:
    table = batch.trace.blocks
    return ItemColumns.of(
        HISTORY_ITEM,
        scope=batch.operations.scope,
        slot=_words([(number - 1) % HISTORY_SERVE_WINDOW for number in table.number.tolist()]),
        hash=table.parent_hash,
    )


def _beacon_items(batch: Batch) -> ItemColumns:
    table = batch.trace.blocks
    timestamps = table.timestamp.tolist()
    return ItemColumns.of(
        BEACON_ITEM,
        scope=batch.operations.scope,
        time_slot=_words([timestamp % HISTORY_BUFFER_LENGTH for timestamp in timestamps]),
        timestamp=_words(timestamps),
        root_slot=_words([timestamp % HISTORY_BUFFER_LENGTH + HISTORY_BUFFER_LENGTH for timestamp in timestamps]),
        root=table.parent_beacon_root,
    )


def _words(values: list[int]) -> Limbs:
    return words_from_ints(values) if values else np.zeros((0, WORD), dtype=np.uint16)


_ITEMS: WeakKeyDictionary[Batch, OperationItems] = WeakKeyDictionary()


def operation_items(batch: Batch) -> OperationItems:
    """The items of a batch; computed once for each."""
    items = _ITEMS.get(batch)
    if items is None:
        items = _ITEMS[batch] = OperationItems.of(batch)
    return items


def operation_digests(batch: Batch) -> Digests:
    """Digests (n, 8) of a batch's operations."""
    return operation_items(batch).digests


def operation_chain(batch: Batch) -> Digests:
    """The running hash before each operation, and behind the last one: (n + 1, 8)."""
    return operation_items(batch).chain


def count_asked(numbers: NDArray[np.int64], asked: NDArray[np.uint32]) -> NDArray[np.int64]:
    """How often each of the ascending operation numbers is asked for."""
    found, counts = np.unique(asked, return_counts=True)
    place = np.searchsorted(found, numbers)
    known = np.append(found, 0)[place] == numbers
    return np.where(known & (place < len(found)), np.append(counts, 0)[place], 0)
