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
from circuits.batch.operations import OperationKind
from circuits.limbs import Limbs, addresses_from_bytes, words_from_bytes, words_from_ints
from circuits.statement import (
    ACCESS_ITEM,
    ACCESS_LIST_START,
    BEACON_ITEM,
    HISTORY_ITEM,
    OPERATIONS_START,
    SYSTEM_CALL_ITEM,
    TRANSACTION_ITEM,
    WITHDRAWAL_ITEM,
    Digests,
    Item,
    buffer_digests,
    gas_limbs,
    ragged_chains,
    running_chain,
)
from circuits.widths import ADDRESS, DIGEST, WORD
from executor.trace import ExecutionTrace
from executor.transactions import access_list_of

#: EIP-4788: timestamps and roots each have a ring of this many slots, the roots behind the timestamps.
HISTORY_BUFFER_LENGTH = 8191

#: EIP-2935: hashes of blocks have a ring of as many.
HISTORY_SERVE_WINDOW = 8191

WEI_PER_GWEI = 10**9

BLOB_HASH_BYTES = 32


@dataclass(frozen=True, eq=False)
class ItemColumns:
    """Items of one kind: an array (n, size) or (n,) for each field, and the hash states (n, blocks, 8), digest last."""

    fields: dict[str, NDArray[Any]]
    states: Digests

    @classmethod
    def of(cls, item: Item, **fields: NDArray[Any]) -> ItemColumns:
        """Items with these fields."""
        return cls(fields, item.states(**fields))

    @property
    def digests(self) -> Digests:
        """Digests (n, 8)."""
        digests: Digests = self.states[:, -1]
        return digests


@dataclass(frozen=True, eq=False)
class AccessEntries:
    """The entries of all access lists of a batch, one list after the other.

    Attributes:
        counts: (transactions,) entries of each list.
        items: of the entries.
        after: (entries, 8) running hash of the list with the entry.
    """

    counts: NDArray[np.int64]
    items: ItemColumns
    after: Digests

    @property
    def starts(self) -> NDArray[np.int64]:
        """First entry of each list, (transactions,)."""
        starts: NDArray[np.int64] = np.cumsum(self.counts) - self.counts
        return starts

    @property
    def digests(self) -> Digests:
        """Digests of the lists, (transactions, 8)."""
        digests = np.broadcast_to(ACCESS_LIST_START, (len(self.counts), DIGEST)).copy()
        filled = np.flatnonzero(self.counts)
        digests[filled] = self.after[(self.starts + self.counts - 1)[filled]]
        return digests

    @classmethod
    def of(cls, trace: ExecutionTrace) -> AccessEntries:
        """Of a batch's trace."""
        table = trace.transactions
        counts = table.access_addresses.astype(np.int64) + table.access_keys
        is_key: list[int] = []
        addresses: list[bytes] = []
        slots: list[bytes] = []
        for row in np.flatnonzero(counts):
            for address, keys in access_list_of(trace.bytes_at(table.raw_start[row], table.raw_size[row])):
                is_key += [0] + [1] * len(keys)
                addresses += [address] * (1 + len(keys))
                slots += [bytes(2 * WORD), *keys]
        items = ItemColumns.of(
            ACCESS_ITEM,
            is_key=np.array(is_key, dtype=np.uint32),
            address=addresses_from_bytes(addresses) if addresses else np.zeros((0, ADDRESS), dtype=np.uint16),
            slot=words_from_bytes(slots) if slots else np.zeros((0, WORD), dtype=np.uint16),
        )
        return cls(counts, items, ragged_chains(ACCESS_LIST_START, items.digests, counts))


@dataclass(frozen=True, eq=False)
class OperationItems:
    """All operations of a batch as hashed items.

    Attributes:
        transactions, withdrawals, system_calls: items of the rows of the trace's tables.
        beacons, histories: items of all blocks' writes of beacon roots and of their parents' hashes.
        entries: the entries of the transactions' access lists.
        digests: (n, 8) of the operations.
        chain: (n + 1, 8) running hash before each operation, and behind the last one.
    """

    transactions: ItemColumns
    withdrawals: ItemColumns
    system_calls: ItemColumns
    beacons: ItemColumns
    histories: ItemColumns
    entries: AccessEntries
    digests: Digests
    chain: Digests

    @classmethod
    def of(cls, batch: Batch) -> OperationItems:
        """Of an executed batch."""
        operations = batch.operations
        entries = AccessEntries.of(batch.trace)
        transactions = _transaction_items(batch, entries)
        withdrawals, system_calls = _withdrawal_items(batch), _system_call_items(batch)
        beacons, histories = _beacon_items(batch), _history_items(batch)
        digests = np.empty((len(operations), DIGEST), dtype=np.uint32)
        for kind, items in (
            (OperationKind.TRANSACTION, transactions),
            (OperationKind.WITHDRAWAL, withdrawals),
            (OperationKind.SYSTEM_CALL, system_calls),
            (OperationKind.BEACON, beacons),
            (OperationKind.HISTORY, histories),
        ):
            mask = operations.kind == kind
            digests[mask] = items.digests[operations.row[mask]]
        chain = running_chain(OPERATIONS_START, digests)
        return cls(transactions, withdrawals, system_calls, beacons, histories, entries, digests, chain)


def _transaction_items(batch: Batch, entries: AccessEntries) -> ItemColumns:
    trace = batch.trace
    table = trace.transactions
    sizes = table.input_size.astype(np.int64)
    zero = np.concatenate([[0], np.cumsum(trace.data.byte[ranges(table.input_start.astype(np.int64), sizes)] == 0)])
    ends = np.cumsum(sizes)
    zero_bytes = zero[ends] - zero[ends - sizes]
    nonce = table.nonce[:, None] >> (16 * np.arange(4, dtype=np.uint64)) & np.uint64(0xFFFF)
    return ItemColumns.of(
        TRANSACTION_ITEM,
        block_digest=block_digests(batch)[table.block],
        sender=table.sender,
        to=table.to,
        creates=table.is_creation,
        nonce=nonce.astype(np.uint16),
        gas_limit=gas_limbs(table.gas_limit),
        value=table.value,
        max_fee=table.max_fee,
        max_priority=table.max_priority_fee,
        zero_bytes=zero_bytes,
        nonzero_bytes=sizes - zero_bytes,
        calldata_digest=_data_digests(trace, table.input_start, table.input_size),
        access_digest=entries.digests,
        access_addresses=table.access_addresses,
        access_keys=table.access_keys,
        blobs=table.blob_hashes_size // BLOB_HASH_BYTES,
        blob_digest=_data_digests(trace, table.blob_hashes_start, table.blob_hashes_size),
        max_blob_fee=table.max_fee_per_blob_gas,
    )


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
