"""The execution trace of a batch of value transfers: what the circuits read, and nothing else.

Columnar numpy arrays; transactions are numbered through the whole batch, from 0. Words are 16 little-endian 16-bit
limbs, addresses 10, u64 values 4 (see :mod:`executor.limbs`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from executor.limbs import Limbs

ACCESSES_PER_TRANSFER = 6


class StateKind(IntEnum):
    """Kind of a state key. A key is (kind, address); a batch's keys are sorted by kind, then by the address's bytes."""

    BALANCE = 1
    NONCE = 2
    CODE_HASH = 3


class Access(IntEnum):
    """Column of a state access in ``access_key``, ``access_before`` and ``access_after``.

    The access in column ``k`` of transaction ``t`` of the batch happens at time ``8 * (t + 1) + 1 + k``.
    """

    SENDER_NONCE = 0
    SENDER_CODE_HASH = 1
    SENDER_BALANCE = 2
    RECIPIENT_CODE_HASH = 3
    RECIPIENT_BALANCE = 4
    COINBASE_BALANCE = 5


@dataclass(frozen=True, eq=False)
class ExecutionTrace:
    """Trace of ``n`` transactions in ``b`` blocks (blocks without transactions included) over ``K`` state keys.

    Fees are in wei per gas, values and balances in wei. For a legacy or access-list transaction (EIP-2930) both fee
    caps are its gas price (EIP-1559).
    """

    block: NDArray[np.uint32]  # (n,) index of the transaction's block in the batch
    sender: Limbs  # (n, 10)
    to: Limbs  # (n, 10)
    nonce: Limbs  # (n, 4) nonce of the transaction: the sender's before it
    gas_limit: NDArray[np.uint32]  # (n,) below 2^30
    gas_used: NDArray[np.uint32]  # (n,) at most gas_limit
    value: Limbs  # (n, 16)
    max_fee: Limbs  # (n, 16)
    max_priority: Limbs  # (n, 16)
    zero_bytes: NDArray[np.uint32]  # (n,) zero bytes of the calldata
    nonzero_bytes: NDArray[np.uint32]  # (n,) other bytes of the calldata
    access_addresses: NDArray[np.uint32]  # (n,) addresses in the access list, repetitions counted
    access_keys: NDArray[np.uint32]  # (n,) storage keys in the access list, repetitions counted
    status: NDArray[np.uint8]  # (n,) 1: success (EIP-658)

    access_key: NDArray[np.uint32]  # (n, 6) index into the keys; columns as in Access
    access_before: Limbs  # (n, 6, 16) value before the access
    access_after: Limbs  # (n, 6, 16) value after it; equal to the one before for a read

    coinbase: Limbs  # (b, 10)
    base_fee: Limbs  # (b, 16)
    prev_randao: Limbs  # (b, 16)
    block_gas_limit: Limbs  # (b, 4)
    block_number: Limbs  # (b, 4)
    timestamp: Limbs  # (b, 4) seconds
    excess_blob_gas: Limbs  # (b, 4)
    chain_id: Limbs  # (4,)

    key_kind: NDArray[np.uint8]  # (K,) StateKind
    key_address: Limbs  # (K, 10)
    key_first: Limbs  # (K, 16) value before the first transaction of this trace
    key_last: Limbs  # (K, 16) value after the last one

    first_transaction: int = 0  # number in the batch of the first transaction of this trace

    @property
    def transactions(self) -> int:
        """Number of transactions in this trace."""
        return len(self.block)

    @property
    def blocks(self) -> int:
        """Number of blocks in the batch."""
        return len(self.coinbase)

    @property
    def keys(self) -> int:
        """Number of state keys of the batch."""
        return len(self.key_kind)

    def slice(self, first: int, end: int) -> ExecutionTrace:
        """The trace of this trace's transactions ``first`` up to ``end`` (excluded), counted from 0 in this trace.

        All blocks and all keys stay; ``key_first`` and ``key_last`` become the keys' values before transaction
        ``first`` and after transaction ``end - 1``. The transaction arrays are views.

        Raises:
            ValueError: not 0 <= first <= end <= transactions.
        """
        if not 0 <= first <= end <= self.transactions:
            raise ValueError(f"no transactions {first}..{end} in a trace of {self.transactions}")
        parts = {name: getattr(self, name)[first:end] for name in _TRANSACTION_FIELDS}
        key_first = _apply_writes(self.key_first, self.access_key[:first], self.access_after[:first])
        key_last = _apply_writes(key_first, parts["access_key"], parts["access_after"])
        return replace(
            self,
            **parts,
            key_first=key_first,
            key_last=key_last,
            first_transaction=self.first_transaction + first,
        )

    def canonical_parts(self) -> Iterator[bytes | memoryview]:
        """The pieces of :meth:`canonical_bytes`, one field after the other, without joining them."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                array = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
                yield f"{field.name}:{array.dtype.str}:{array.shape};".encode()
                yield array.reshape(-1).view(np.uint8).data
            else:
                yield f"{field.name}:{value};".encode()

    def canonical_bytes(self) -> bytes:
        """Name, dtype, shape and little-endian content of every field in declared order; injective."""
        return b"".join(self.canonical_parts())

    def content_hash(self) -> bytes:
        """SHA-256 of :meth:`canonical_bytes` (32 bytes): equal for equal traces, on every machine."""
        digest = hashlib.sha256()
        for part in self.canonical_parts():
            digest.update(part)
        return digest.digest()


_TRANSACTION_FIELDS = (
    "block",
    "sender",
    "to",
    "nonce",
    "gas_limit",
    "gas_used",
    "value",
    "max_fee",
    "max_priority",
    "zero_bytes",
    "nonzero_bytes",
    "access_addresses",
    "access_keys",
    "status",
    "access_key",
    "access_before",
    "access_after",
)


def _apply_writes(values: Limbs, access_key: NDArray[np.uint32], access_after: Limbs) -> Limbs:
    """Values ``(K, 16)`` of the keys after the accesses ``(m, 6)`` and ``(m, 6, 16)`` in row-major order."""
    # The last access of a key decides, which is the first one from behind: numpy leaves the order of assignments to
    # repeated indices open.
    written, position = np.unique(access_key.reshape(-1)[::-1], return_index=True)
    result = values.copy()
    result[written] = access_after.reshape(-1, values.shape[1])[::-1][position]
    return result
