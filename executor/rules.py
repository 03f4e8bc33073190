"""Which transactions are valid under the rules of a fork."""

from __future__ import annotations

from dataclasses import dataclass

from executor.errors import BatchError
from executor.forks import BLOB_TYPE, Fork
from executor.state_keys import EMPTY_CODE_HASH
from executor.transactions import MAX_NONCE, Transaction, floor_gas


@dataclass(frozen=True)
class Surroundings:
    """What the validity of a transaction depends on besides itself: its block so far, and its sender's account."""

    fork: Fork
    chain_id: int
    base_fee: int  # wei per gas
    blob_base_fee: int  # wei per blob gas
    gas_left: int  # in the block
    blob_gas_left: int  # in the block
    sender_nonce: int
    sender_balance: int  # wei
    sender_code_hash: bytes
    sender_delegates: bool = False  # the sender's code stands for that of another account (EIP-7702)


def check_validity(transaction: Transaction, block: int, number: int, surroundings: Surroundings) -> None:
    """Check a transaction against the state before it and its block; ``block`` and ``number`` are its place.

    Rules: EIP-155 (chain id), EIP-1559 (fees, inclusion), EIP-2681 (nonce), EIP-3607 (senders without code), EIP-3860
    (initcode), EIP-4844 and EIP-7594 (blobs), EIP-7623 (calldata), EIP-7825 (gas limit), and the yellow paper's
    section 6.2.

    Raises:
        BatchError: the transaction makes its block invalid.
    """

    def fail(field: str, reason: str) -> BatchError:
        return BatchError(reason, block=block, transaction=number, field=field)

    fork, sender = surroundings.fork, transaction.sender
    if transaction.type not in fork.transaction_types:
        raise fail("type", f"{transaction.type} does not exist in {fork.name}")
    if transaction.chain_id not in (None, surroundings.chain_id):
        raise fail("chainId", f"signed for chain {transaction.chain_id}, not {surroundings.chain_id}")
    if transaction.to is None and len(transaction.data) > fork.max_initcode_bytes:
        raise fail("data", f"initcode of more than {fork.max_initcode_bytes} bytes (EIP-3860)")
    if transaction.gas_limit < transaction.intrinsic_gas:
        raise fail("gas", f"gas limit {transaction.gas_limit} is below the intrinsic gas {transaction.intrinsic_gas}")
    floor = floor_gas(transaction.data, fork.floor_gas_per_token)
    if transaction.gas_limit < floor:
        raise fail("gas", f"gas limit {transaction.gas_limit} is below the floor {floor} (EIP-7623)")
    if fork.max_transaction_gas is not None and transaction.gas_limit > fork.max_transaction_gas:
        raise fail("gas", f"gas limit {transaction.gas_limit} is above {fork.max_transaction_gas} (EIP-7825)")
    if transaction.gas_limit > surroundings.gas_left:
        raise fail("gas", f"gas limit {transaction.gas_limit} is above the {surroundings.gas_left} left in the block")
    if transaction.max_fee < surroundings.base_fee:
        raise fail("maxFeePerGas", f"{transaction.max_fee} is below the base fee {surroundings.base_fee}")
    if transaction.max_fee < transaction.max_priority_fee:
        raise fail("maxFeePerGas", f"{transaction.max_fee} is below maxPriorityFeePerGas")
    if transaction.type == BLOB_TYPE:
        _check_blobs(transaction, block, number, surroundings)
    if surroundings.sender_code_hash != EMPTY_CODE_HASH and not surroundings.sender_delegates:
        raise fail("sender", f"0x{sender.hex()} has code (EIP-3607)")
    if transaction.nonce != surroundings.sender_nonce or transaction.nonce > MAX_NONCE:
        raise fail("nonce", f"{transaction.nonce} where 0x{sender.hex()} has {surroundings.sender_nonce}")
    cost = transaction.gas_limit * transaction.max_fee + transaction.value
    cost += blob_gas(transaction, fork) * transaction.max_fee_per_blob_gas
    if surroundings.sender_balance < cost:
        raise fail("sender", f"0x{sender.hex()} has {surroundings.sender_balance} wei, but may need {cost}")


def blob_gas(transaction: Transaction, fork: Fork) -> int:
    """Blob gas of a transaction (EIP-4844)."""
    return len(transaction.blob_versioned_hashes) * fork.blobs.gas_per_blob


def _check_blobs(transaction: Transaction, block: int, number: int, surroundings: Surroundings) -> None:
    def fail(field: str, reason: str) -> BatchError:
        return BatchError(reason, block=block, transaction=number, field=field)

    hashes, blobs = transaction.blob_versioned_hashes, surroundings.fork.blobs
    if not hashes:
        raise fail("blobVersionedHashes", "a blob transaction without blobs (EIP-4844)")
    most = blobs.max_blobs_per_transaction
    if most is not None and len(hashes) > most:
        raise fail("blobVersionedHashes", f"{len(hashes)} blobs, more than {most} (EIP-7594)")
    if any(blob_hash[0] != blobs.hash_version for blob_hash in hashes):
        raise fail("blobVersionedHashes", f"a hash whose version is not {blobs.hash_version} (EIP-4844)")
    if blob_gas(transaction, surroundings.fork) > surroundings.blob_gas_left:
        raise fail("blobVersionedHashes", f"more blob gas than the {surroundings.blob_gas_left} left in the block")
    if transaction.max_fee_per_blob_gas < surroundings.blob_base_fee:
        reason = f"{transaction.max_fee_per_blob_gas} is below the blob base fee {surroundings.blob_base_fee}"
        raise fail("maxFeePerBlobGas", reason)
