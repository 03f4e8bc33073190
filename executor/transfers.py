"""Batches of value transfers between accounts without code: what the circuits prove of them, and nothing else.

Columnar numpy arrays; transactions are numbered through the whole batch, from 0. Words are 16 little-endian 16-bit
limbs, addresses 10, u64 values 4 (see :mod:`executor.limbs`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from eth_utils.crypto import keccak
from numpy.typing import NDArray

from executor.errors import ExecutionMismatch, UnsupportedFeature
from executor.forks import BEACON_ROOTS_ADDRESS, BLOB_TYPE, FORKS, Fork
from executor.limbs import (
    WORD_LIMBS,
    Limbs,
    addresses_from_bytes,
    addresses_to_bytes,
    u64_from_ints,
    words_from_ints,
    words_to_ints,
)
from executor.rules import EMPTY_CODE_HASH
from executor.state_keys import StateKey, StateKind
from executor.trace import ExecutionTrace
from executor.transactions import Transaction
from executor.witness import NO_ACCOUNT, Account, StateTrie

if TYPE_CHECKING:
    from executor.execute import ExecutedBatch

# Bounds of the circuits: a batch outside of them is valid, but cannot be proved.
MAX_GAS_LIMIT = 2**30 - 1
MAX_TRANSACTIONS = 2**24 - 1
MAX_CALLDATA_BYTES = 2**22
MAX_ACCESS_LIST = 2**16  # addresses, and storage keys
MAX_CHAIN_ID = 2**64 - 1

ACCESSES_PER_TRANSFER = 6


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
class TransferTrace:
    """Trace of ``n`` transfers in ``b`` blocks (blocks without transactions included) over ``K`` state keys.

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

    def state_keys(self) -> list[StateKey]:
        """The state keys of the batch, sorted."""
        kinds = map(StateKind, self.key_kind.tolist())
        return [
            StateKey(kind, address) for kind, address in zip(kinds, addresses_to_bytes(self.key_address), strict=True)
        ]

    def slice(self, first: int, end: int) -> TransferTrace:
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


class StateAccess(NamedTuple):
    """A read (``before == after``) or write of a 256-bit value."""

    key: StateKey
    before: int
    after: int


class Transfer(NamedTuple):
    """A transaction that is a value transfer, with what its execution gave."""

    block: int
    transaction: Transaction
    accesses: tuple[StateAccess, ...]


def transfer_trace(executed: ExecutedBatch) -> TransferTrace:
    """The trace of a batch in which every transaction is a value transfer between accounts without code.

    Raises:
        UnsupportedFeature: something else happens in the batch, or it is out of the circuits' bounds.
        ExecutionMismatch: the transfers do not lead to the state that py-evm gives (a defect of this program).
        ValueError: the batch was executed without a trace.
    """
    if executed.trace is None or executed.witness is None:
        raise ValueError("a batch executed without a trace has no transfers to show")
    nodes = {keccak(node): node for node in executed.witness.nodes}
    replay = _Replay(executed.trace, FORKS[executed.fork], StateTrie(nodes, executed.pre_state_root))
    batch = executed.batch
    if batch.chain_id > MAX_CHAIN_ID:
        raise UnsupportedFeature(f"chain id {batch.chain_id} of more than 64 bits")
    if batch.transactions > MAX_TRANSACTIONS:
        raise UnsupportedFeature(f"more than {MAX_TRANSACTIONS} transactions")
    if replay.account(BEACON_ROOTS_ADDRESS).code_hash != EMPTY_CODE_HASH:
        raise UnsupportedFeature("beacon roots contract (EIP-4788) in the pre-state")
    for index, block in enumerate(batch.blocks):
        if block.context.withdrawals:
            raise UnsupportedFeature("withdrawals", index)
        for number, transaction in enumerate(block.transactions):
            replay.add(transaction, index, number, block.context.coinbase)
    replay.check_last_values(executed.post_state)
    return _columns(executed.trace, replay.transfers, replay.values)


def transfer_keys(transaction: Transaction, coinbase: bytes) -> tuple[StateKey, ...]:
    """Keys of the six accesses of a transfer, in the order of :class:`Access`."""
    return (
        StateKey(StateKind.NONCE, transaction.sender),
        StateKey(StateKind.CODE_HASH, transaction.sender),
        StateKey(StateKind.BALANCE, transaction.sender),
        StateKey(StateKind.CODE_HASH, transaction.recipient),
        StateKey(StateKind.BALANCE, transaction.recipient),
        StateKey(StateKind.BALANCE, coinbase),
    )


class _Replay:
    """The transfers of a batch, one after the other, on the accounts of its pre-state."""

    def __init__(self, trace: ExecutionTrace, fork: Fork, pre_state: StateTrie) -> None:
        self.transfers: list[Transfer] = []
        self.values: dict[StateKey, int] = {}
        self._trace = trace
        self._base_fees = words_to_ints(trace.blocks.base_fee)
        self._fork = fork
        self._pre_state = pre_state

    def account(self, address: bytes) -> Account:
        """An account of the pre-state."""
        return self._pre_state.account(address) or NO_ACCOUNT

    def add(self, transaction: Transaction, block: int, number: int, coinbase: bytes) -> None:
        """Check and replay the next transaction.

        The sender pays ``gas_used * (base_fee + tip)`` and the value, the coinbase receives ``gas_used * tip``
        (EIP-1559). Where sender, recipient and coinbase coincide, each access starts from what the one before it left.
        """
        self._check(transaction, block, number, coinbase)
        row = len(self.transfers)
        gas_used = int(self._trace.transactions.gas_used[row])
        if gas_used != transaction.intrinsic_gas or self._trace.transactions.status[row] != 1:
            raise ExecutionMismatch(f"transaction 0x{transaction.raw.hex()} did not run as a value transfer")
        tip = min(transaction.max_priority_fee, transaction.max_fee - self._base_fees[block])
        paid = transaction.value + gas_used * (self._base_fees[block] + tip)
        changes = (1, 0, -paid, 0, transaction.value, gas_used * tip)
        accesses = []
        for key, change in zip(transfer_keys(transaction, coinbase), changes, strict=True):
            before = self._value(key)
            accesses.append(StateAccess(key, before, before + change))
            self.values[key] = before + change
        self.transfers.append(Transfer(block, transaction, tuple(accesses)))

    def check_last_values(self, post_state: StateTrie) -> None:
        """Compare the values after the replay with those of the state after the batch."""
        for key, value in self.values.items():
            if _field(post_state.account(key.address) or NO_ACCOUNT, key.kind) != value:
                raise ExecutionMismatch(f"the replay of the transfers gives another {key.kind.name} than py-evm")

    def _value(self, key: StateKey) -> int:
        value = self.values.get(key)
        return _field(self.account(key.address), key.kind) if value is None else value

    def _check(self, transaction: Transaction, block: int, number: int, coinbase: bytes) -> None:
        """Refuse a transaction that is valid, but no value transfer that can be proved."""
        to = transaction.to
        if transaction.type == BLOB_TYPE:
            raise UnsupportedFeature("blob transaction", block, number)
        if to is None:
            raise UnsupportedFeature("contract creation", block, number)
        if transaction.gas_limit > MAX_GAS_LIMIT:
            raise UnsupportedFeature(f"gas limit above {MAX_GAS_LIMIT}", block, number)
        if len(transaction.data) > MAX_CALLDATA_BYTES:
            raise UnsupportedFeature(f"calldata of more than {MAX_CALLDATA_BYTES} bytes", block, number)
        if max(transaction.access_addresses, transaction.access_keys) > MAX_ACCESS_LIST:
            raise UnsupportedFeature(f"access list of more than {MAX_ACCESS_LIST} entries", block, number)
        if to in self._fork.precompiles:
            raise UnsupportedFeature(f"call of precompile 0x{to.hex()}", block, number)
        # No transaction before this one created a contract: the pre-state has all the codes there are.
        if self.account(to).code_hash != EMPTY_CODE_HASH:
            raise UnsupportedFeature("call of a contract", block, number)
        for address in (transaction.sender, to, coinbase):
            account = self._pre_state.account(address)
            # A transfer that touches such an account would delete it (EIP-161).
            if account is not None and account.empty:
                raise UnsupportedFeature(f"empty account 0x{address.hex()} in the pre-state", block, number)


def _field(account: Account, kind: StateKind) -> int:
    match kind:
        case StateKind.BALANCE:
            return account.balance
        case StateKind.NONCE:
            return account.nonce
        case StateKind.CODE_HASH:
            return int.from_bytes(account.code_hash, "big")
        case _:
            raise ValueError(f"{kind.name} is no field of an account")


def _columns(trace: ExecutionTrace, transfers: Sequence[Transfer], last: dict[StateKey, int]) -> TransferTrace:
    transactions = [transfer.transaction for transfer in transfers]
    accesses = [access for transfer in transfers for access in transfer.accesses]
    keys = sorted(last)
    index = {key: position for position, key in enumerate(keys)}
    shape = (len(transfers), ACCESSES_PER_TRANSFER, WORD_LIMBS)
    first: dict[StateKey, int] = {}
    for access in accesses:
        first.setdefault(access.key, access.before)
    table, blocks = trace.transactions, trace.blocks
    return TransferTrace(
        block=table.block,
        sender=table.sender,
        to=table.to,
        nonce=_u64_limbs(table.nonce),
        gas_limit=table.gas_limit.astype(np.uint32),
        gas_used=table.gas_used.astype(np.uint32),
        value=table.value,
        max_fee=table.max_fee,
        max_priority=table.max_priority_fee,
        zero_bytes=np.array([transaction.zero_bytes for transaction in transactions], dtype=np.uint32),
        nonzero_bytes=np.array([transaction.nonzero_bytes for transaction in transactions], dtype=np.uint32),
        access_addresses=table.access_addresses,
        access_keys=table.access_keys,
        status=table.status,
        access_key=np.array([index[access.key] for access in accesses], dtype=np.uint32).reshape(shape[:2]),
        access_before=words_from_ints([access.before for access in accesses]).reshape(shape),
        access_after=words_from_ints([access.after for access in accesses]).reshape(shape),
        coinbase=blocks.coinbase,
        base_fee=blocks.base_fee,
        prev_randao=blocks.prev_randao,
        block_gas_limit=_u64_limbs(blocks.gas_limit),
        block_number=_u64_limbs(blocks.number),
        timestamp=_u64_limbs(blocks.timestamp),
        excess_blob_gas=_u64_limbs(blocks.excess_blob_gas),
        chain_id=u64_from_ints([trace.chain_id])[0],
        key_kind=np.array([key.kind for key in keys], dtype=np.uint8),
        key_address=addresses_from_bytes([key.address for key in keys]),
        key_first=words_from_ints([first[key] for key in keys]),
        key_last=words_from_ints([last[key] for key in keys]),
    )


def _u64_limbs(values: NDArray[np.uint64]) -> Limbs:
    """``(n,)`` -> ``(n, 4)``."""
    return values.astype("<u8").view("<u2").reshape(-1, 4).astype(np.uint16)
