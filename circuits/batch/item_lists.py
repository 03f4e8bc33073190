"""Hashed items of one kind, and the lists of them that transactions have: access lists and authorizations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.limbs import Limbs, addresses_from_bytes, u64_from_ints, words_from_bytes
from circuits.statement import (
    ACCESS_ITEM,
    ACCESS_LIST_START,
    AUTHORIZATION_ITEM,
    AUTHORIZATIONS_START,
    Digests,
    Item,
    ragged_chains,
)
from circuits.widths import ADDRESS, DIGEST, WORD
from executor.trace import ExecutionTrace
from executor.transactions import access_list_of, authorizations_of


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
class Entries:
    """The entries of lists that transactions have, one list after the other.

    Attributes:
        counts: (transactions,) entries of each list.
        items: of the entries.
        start: what the running hash of every list begins with, (8,).
        after: (entries, 8) running hash of the list with the entry.
    """

    counts: NDArray[np.int64]
    items: ItemColumns
    start: Digests
    after: Digests

    @classmethod
    def of(cls, counts: NDArray[np.int64], items: ItemColumns, start: Digests) -> Entries:
        """Lists of these lengths."""
        return cls(counts, items, start, ragged_chains(start, items.digests, counts))

    @property
    def starts(self) -> NDArray[np.int64]:
        """First entry of each list, (transactions,)."""
        starts: NDArray[np.int64] = np.cumsum(self.counts) - self.counts
        return starts

    @property
    def digests(self) -> Digests:
        """Digests of the lists, (transactions, 8)."""
        digests = np.broadcast_to(self.start, (len(self.counts), DIGEST)).copy()
        filled = np.flatnonzero(self.counts)
        digests[filled] = self.after[(self.starts + self.counts - 1)[filled]]
        return digests


def access_entries(trace: ExecutionTrace) -> Entries:
    """The access lists of a batch."""
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
        address=_addresses(addresses),
        slot=words_from_bytes(slots) if slots else np.zeros((0, WORD), dtype=np.uint16),
    )
    return Entries.of(counts, items, ACCESS_LIST_START)


def authorization_entries(trace: ExecutionTrace) -> Entries:
    """The authorizations of a batch (EIP-7702)."""
    table = trace.transactions
    counts = table.authorizations.astype(np.int64)
    entries = [
        entry
        for row in np.flatnonzero(counts)
        for entry in authorizations_of(trace.bytes_at(table.raw_start[row], table.raw_size[row]), trace.chain_id)
    ]
    valid = np.array([authority is not None for authority, _ in entries], dtype=bool)
    items = ItemColumns.of(
        AUTHORIZATION_ITEM,
        valid=valid.astype(np.uint32),
        authority=_addresses([authority or bytes(20) for authority, _ in entries]),
        address=np.where(valid[:, None], _addresses([entry.address for _, entry in entries]), 0),
        nonce=np.where(valid[:, None], u64_from_ints([entry.nonce for _, entry in entries]), 0),
    )
    return Entries.of(counts, items, AUTHORIZATIONS_START)


def _addresses(addresses: list[bytes]) -> Limbs:
    return addresses_from_bytes(addresses) if addresses else np.zeros((0, ADDRESS), dtype=np.uint16)
