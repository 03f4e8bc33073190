"""The operations of a batch, and the running hashes of what is executed and of what comes of it.

The commitments are those of `circuits.statement`. Operations are numbered through the batch: in each block the calls of
system contracts at its start, the transactions, the withdrawals, the calls of system contracts at its end
(`verifier.system_contracts`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from circuits.limbs import addresses_from_bytes, u64_from_ints, words_from_bytes, words_from_ints
from circuits.statement import (
    ACCESS_LIST_START,
    AUTHORIZATIONS_START,
    BEACON_ITEM,
    BLOCK_ITEM,
    HISTORY_ITEM,
    LOG_ITEM,
    OPERATIONS_START,
    RECEIPT_ITEM,
    RECEIPTS_START,
    SET_CODE_ITEM,
    SYSTEM_CALL_ITEM,
    TRANSACTION_ITEM,
    WITHDRAWAL_ITEM,
    access_list_digest,
    authorizations_digest,
    buffer_digests,
    gas_limbs,
    running_chain,
)
from verifier.container import ReceiptRecord
from verifier.errors import Invalid
from verifier.forks import SET_CODE, Fork
from verifier.headers import Header, blob_base_fee
from verifier.system_contracts import BEACON_ROOTS_ADDRESS, start_calls
from verifier.transactions import Transaction
from verifier.withdrawals import Withdrawal

HISTORY_BUFFER_LENGTH: Final = 8191  # EIP-4788
HISTORY_SERVE_WINDOW: Final = 8191  # EIP-2935
MAX_OPERATIONS: Final = 2**24 - 1  # what the circuits represent (`circuits.state.state`)

Digests = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class BlockContents:
    """A block whose parts have been checked against its header.

    `outputs`: what the calls of the request contracts return, one for each that its fork has (EIP-7685).
    """

    header: Header
    transactions: Sequence[Transaction]
    withdrawals: Sequence[Withdrawal]
    outputs: Sequence[bytes]
    fork: Fork


@dataclass(frozen=True, slots=True, eq=False)
class Operations:
    """The operations of a batch.

    Attributes:
        scopes: for each block the number of its first operation, and the number of operations at the end.
        chain: (n + 1, 8), running hash of the first k operations.
        transactions: (t,) numbers of the operations that are transactions.
    """

    scopes: tuple[int, ...]
    chain: Digests
    transactions: NDArray[np.int64]

    def __len__(self) -> int:
        return self.scopes[-1]


def operations_of(blocks: Sequence[BlockContents], chain_id: int, written: Collection[bytes]) -> Operations:
    """All operations of a batch.

    Args:
        blocks: in order.
        chain_id: of the batch.
        written: the system contracts whose calls are writes (`verifier.system_contracts.written_contracts`).

    Raises:
        Invalid: there are more than can be proved.
    """
    scopes = [0]
    transactions: list[int] = []
    for block in blocks:
        first = scopes[-1] + len(start_calls(block.fork, written))
        transactions += range(first, first + len(block.transactions))
        behind = len(block.withdrawals) + len(block.fork.request_contracts)
        scopes.append(first + len(block.transactions) + behind)
    if scopes[-1] > MAX_OPERATIONS:
        raise Invalid(f"{scopes[-1]} operations, at most {MAX_OPERATIONS} can be proved")
    contexts = _block_digests(blocks, scopes, chain_id)
    digests = np.zeros((scopes[-1], 8), dtype=np.uint32)
    numbers = np.array(transactions, dtype=np.int64)
    digests[numbers] = _transaction_digests(blocks, contexts)
    for block, context, scope, end in zip(blocks, contexts, scopes, scopes[1:], strict=False):
        for number, address in enumerate(start_calls(block.fork, written), scope):
            beacon = address == BEACON_ROOTS_ADDRESS
            if address in written:
                digests[number] = (_beacon_digest if beacon else _history_digest)(block.header, scope)
            else:
                word = block.header.parent_beacon_root if beacon else block.header.parent_hash
                digests[number] = _call_digest(context, address, word, None)
        end -= len(block.fork.request_contracts)
        calls = zip(block.fork.request_contracts, block.outputs, strict=True)
        for number, (contract, output) in enumerate(calls, end):
            digests[number] = _call_digest(context, contract.address, b"", output)
        if block.withdrawals:
            digests[end - len(block.withdrawals) : end] = WITHDRAWAL_ITEM.digests(
                scope=np.full(len(block.withdrawals), scope),
                address=addresses_from_bytes([w.address for w in block.withdrawals]),
                amount=words_from_ints([w.amount for w in block.withdrawals]),
            )
    return Operations(tuple(scopes), running_chain(OPERATIONS_START, digests), numbers)


def _block_digests(blocks: Sequence[BlockContents], scopes: Sequence[int], chain_id: int) -> Digests:
    headers = [block.header for block in blocks]
    return BLOCK_ITEM.digests(
        scope=np.array(scopes[:-1], dtype=np.uint32),
        coinbase=addresses_from_bytes([h.coinbase for h in headers]),
        base_fee=words_from_ints([h.base_fee for h in headers]),
        gas_limit=u64_from_ints([h.gas_limit for h in headers]),
        number=u64_from_ints([h.number for h in headers]),
        timestamp=u64_from_ints([h.timestamp for h in headers]),
        prev_randao=words_from_bytes([h.prev_randao for h in headers]),
        blob_base_fee=words_from_ints([blob_base_fee(block.header, block.fork) for block in blocks]),
        chain_id=u64_from_ints([chain_id] * len(headers)),
    )


def _transaction_digests(blocks: Sequence[BlockContents], contexts: Digests) -> Digests:
    flat = [transaction for block in blocks for transaction in block.transactions]
    counts = [len(block.transactions) for block in blocks]
    lists = [_access_list_digest(t) for t in flat]
    addresses = [sum(key is None for _, key in t.access_list) for t in flat]
    fields: dict[str, NDArray[np.integer[Any]]] = {
        "block_digest": np.repeat(contexts, counts, axis=0),
        "sender": addresses_from_bytes([t.sender for t in flat]),
        "to": addresses_from_bytes([t.to.rjust(20, b"\0") for t in flat]),
        "creates": np.array([not t.to for t in flat], dtype=np.uint32),
        "nonce": u64_from_ints([t.nonce for t in flat]),
        "gas_limit": gas_limbs(np.array([t.gas_limit for t in flat], dtype=np.uint64)),
        "value": words_from_ints([t.value for t in flat]),
        "max_fee": words_from_ints([t.max_fee for t in flat]),
        "max_priority": words_from_ints([t.max_priority for t in flat]),
        "zero_bytes": np.array([t.data.count(0) for t in flat], dtype=np.uint32),
        "nonzero_bytes": np.array([len(t.data) - t.data.count(0) for t in flat], dtype=np.uint32),
        "calldata_digest": buffer_digests([t.data for t in flat]),
        "access_digest": np.array(lists, dtype=np.uint32).reshape(-1, 8),
        "access_addresses": np.array(addresses, dtype=np.uint32),
        "access_keys": np.array([len(t.access_list) - n for t, n in zip(flat, addresses, strict=True)], np.uint32),
        "blobs": np.array([len(t.blob_hashes) for t in flat], dtype=np.uint32),
        "blob_digest": buffer_digests([b"".join(t.blob_hashes) for t in flat]),
        "max_blob_fee": words_from_ints([t.max_blob_fee for t in flat]),
    }
    digests = TRANSACTION_ITEM.digests(**fields)
    # Forks with transactions of type 4 commit to a list of authorizations for all types (EIP-7702).
    later = np.repeat([SET_CODE in block.fork.transaction_types for block in blocks], counts).astype(bool)
    if later.any():
        fields["authorization_digest"] = np.array([_authorizations_digest(t) for t in flat]).reshape(-1, 8)
        fields["authorizations"] = np.array([len(t.authorizations) for t in flat], dtype=np.uint32)
        digests[later] = SET_CODE_ITEM.digests(**{name: column[later] for name, column in fields.items()})
    return digests


def _access_list_digest(transaction: Transaction) -> Digests:
    entries = transaction.access_list
    if not entries:
        return ACCESS_LIST_START
    return access_list_digest(
        is_key=np.array([key is not None for _, key in entries]),
        address=addresses_from_bytes([address for address, _ in entries]),
        slot=words_from_bytes([key or bytes(32) for _, key in entries]),
    )


def _authorizations_digest(transaction: Transaction) -> Digests:
    """Of one that is passed over nothing else is committed to."""
    entries = transaction.authorizations
    if not entries:
        return AUTHORIZATIONS_START
    valid = [entry.authority is not None for entry in entries]
    return authorizations_digest(
        valid=np.array(valid, dtype=np.uint32),
        authority=addresses_from_bytes([entry.authority or bytes(20) for entry in entries]),
        address=addresses_from_bytes([e.address if v else bytes(20) for e, v in zip(entries, valid, strict=True)]),
        nonce=u64_from_ints([e.nonce if v else 0 for e, v in zip(entries, valid, strict=True)]),
    )


def _beacon_digest(header: Header, scope: int) -> Digests:
    slot = header.timestamp % HISTORY_BUFFER_LENGTH
    digest: Digests = BEACON_ITEM.digests(
        scope=np.array([scope]),
        time_slot=words_from_ints([slot]),
        timestamp=words_from_ints([header.timestamp]),
        root_slot=words_from_ints([slot + HISTORY_BUFFER_LENGTH]),
        root=words_from_bytes([header.parent_beacon_root]),
    )[0]
    return digest


def _history_digest(header: Header, scope: int) -> Digests:
    digest: Digests = HISTORY_ITEM.digests(
        scope=np.array([scope]),
        slot=words_from_ints([(header.number - 1) % HISTORY_SERVE_WINDOW]),
        hash=words_from_bytes([header.parent_hash]),
    )[0]
    return digest


def _call_digest(context: Digests, address: bytes, data: bytes, output: bytes | None) -> Digests:
    """Of a call with this input in a block of this digest (8,); `output`: what it returns, None where it may fail."""
    digest: Digests = SYSTEM_CALL_ITEM.digests(
        block_digest=context[None],
        address=addresses_from_bytes([address]),
        returns=np.array([output is not None], dtype=np.uint32),
        input_size=np.array([len(data)], dtype=np.uint32),
        input_digest=buffer_digests([data]),
        output_size=np.array([len(output or b"")], dtype=np.uint32),
        output_digest=buffer_digests([output or b""]),
    )[0]
    return digest


def receipts_chain(receipts: Sequence[ReceiptRecord], operations: Operations) -> Digests:
    """Running hash of logs and receipts before each operation and behind the last one, (n + 1, 8).

    Each transaction adds its logs in order and then its receipt; other operations add nothing.
    """
    logs = [log for receipt in receipts for log in receipt.logs]
    topics = np.zeros((len(logs), 4, 16), dtype=np.uint32)
    for number, log in enumerate(logs):
        if log.topics:
            topics[number, : len(log.topics)] = words_from_bytes(list(log.topics))
    log_digests = LOG_ITEM.digests(
        address=addresses_from_bytes([log.address for log in logs]),
        topic_count=np.array([len(log.topics) for log in logs], dtype=np.uint32),
        size=np.array([len(log.data) for log in logs], dtype=np.uint32),
        data_digest=buffer_digests([log.data for log in logs]),
        topics=topics,
    )
    receipt_digests = RECEIPT_ITEM.digests(
        status=np.array([receipt.status for receipt in receipts], dtype=np.uint32),
        gas_used=gas_limbs(np.array([receipt.gas_used for receipt in receipts], dtype=np.uint64)),
    )
    counts = np.array([len(receipt.logs) for receipt in receipts], dtype=np.int64)
    ends = np.cumsum(counts + 1)
    digests = np.empty((len(logs) + len(receipts), 8), dtype=np.uint32)
    is_receipt = np.zeros(len(digests), dtype=bool)
    is_receipt[ends - 1] = True
    digests[is_receipt] = receipt_digests
    digests[~is_receipt] = log_digests
    chain = running_chain(RECEIPTS_START, digests)
    added = np.zeros(len(operations) + 1, dtype=np.int64)
    added[operations.transactions + 1] = counts + 1
    before: Digests = chain[np.cumsum(added)]
    return before
