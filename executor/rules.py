"""Which transactions are valid in Cancun, and which of those are value transfers that can be proved."""

from __future__ import annotations

from collections.abc import Container

from executor.batch import Batch
from executor.errors import BatchError, UnsupportedFeature
from executor.transactions import MAX_NONCE, Transaction

# Bounds of the circuits: a batch outside of them is valid, but cannot be proved.
MAX_GAS_LIMIT = 2**30 - 1
MAX_TRANSACTIONS = 2**24 - 1
MAX_CALLDATA_BYTES = 2**22
MAX_ACCESS_LIST = 2**16  # addresses, and storage keys
MAX_CHAIN_ID = 2**64 - 1

PRECOMPILES = frozenset(number.to_bytes(20, "big") for number in range(1, 11))  # 10: point evaluation, EIP-4844
BEACON_ROOTS_ADDRESS = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")  # EIP-4788
EMPTY_CODE_HASH = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")  # keccak256("")


def check_batch(batch: Batch) -> None:
    """Refuse what cannot be proved about the batch as a whole.

    Raises:
        UnsupportedFeature: chain id or number of transactions out of bounds, a beacon roots contract in the pre-state.
    """
    if batch.chain_id > MAX_CHAIN_ID:
        raise UnsupportedFeature(f"chain id {batch.chain_id} of more than 64 bits")
    if sum(len(block.transactions) for block in batch.blocks) > MAX_TRANSACTIONS:
        raise UnsupportedFeature(f"more than {MAX_TRANSACTIONS} transactions")
    contract = batch.genesis.accounts.get(BEACON_ROOTS_ADDRESS)
    if contract is not None and contract.code:
        raise UnsupportedFeature("beacon roots contract (EIP-4788) in the pre-state")


def check_kind(transaction: Transaction, block: int, number: int) -> None:
    """Refuse transactions that are no message calls, or out of the circuits' bounds, whatever the state.

    Raises:
        UnsupportedFeature: contract creation; gas limit, calldata or access list too large.
    """
    if transaction.to is None:
        raise UnsupportedFeature("contract creation", block, number)
    if transaction.gas_limit > MAX_GAS_LIMIT:
        raise UnsupportedFeature(f"gas limit above {MAX_GAS_LIMIT}", block, number)
    if len(transaction.data) > MAX_CALLDATA_BYTES:
        raise UnsupportedFeature(f"calldata of more than {MAX_CALLDATA_BYTES} bytes", block, number)
    if max(transaction.access_addresses, transaction.access_keys) > MAX_ACCESS_LIST:
        raise UnsupportedFeature(f"access list of more than {MAX_ACCESS_LIST} entries", block, number)


def check_validity(
    transaction: Transaction,
    block: int,
    number: int,
    *,
    chain_id: int,
    base_fee: int,
    gas_left: int,
    sender_nonce: int,
    sender_balance: int,
    sender_code_hash: bytes,
) -> None:
    """Check a message call against the state before it and the gas left in its block.

    Rules: EIP-155 (chain id), EIP-1559 (fees, inclusion), EIP-2681 (nonce), EIP-3607 (senders without code), and the
    yellow paper's section 6.2.

    Raises:
        BatchError: the transaction makes its block invalid.
    """

    def fail(field: str, reason: str) -> BatchError:
        return BatchError(reason, block=block, transaction=number, field=field)

    if transaction.chain_id not in (None, chain_id):
        raise fail("chainId", f"signed for chain {transaction.chain_id}, not {chain_id}")
    if transaction.gas_limit < transaction.intrinsic_gas:
        raise fail("gas", f"gas limit {transaction.gas_limit} is below the intrinsic gas {transaction.intrinsic_gas}")
    if transaction.gas_limit > gas_left:
        raise fail("gas", f"gas limit {transaction.gas_limit} is above the {gas_left} left in the block")
    if transaction.max_fee < base_fee:
        raise fail("maxFeePerGas", f"{transaction.max_fee} is below the base fee {base_fee}")
    if transaction.max_fee < transaction.max_priority_fee:
        raise fail("maxFeePerGas", f"{transaction.max_fee} is below maxPriorityFeePerGas")
    if sender_code_hash != EMPTY_CODE_HASH:
        raise fail("sender", f"0x{transaction.sender.hex()} has code (EIP-3607)")
    if transaction.nonce != sender_nonce or transaction.nonce > MAX_NONCE:
        raise fail("nonce", f"{transaction.nonce} where 0x{transaction.sender.hex()} has {sender_nonce}")
    cost = transaction.gas_limit * transaction.max_fee + transaction.value
    if sender_balance < cost:
        raise fail("sender", f"0x{transaction.sender.hex()} has {sender_balance} wei, but may need {cost}")


def check_provable(
    transaction: Transaction,
    block: int,
    number: int,
    *,
    recipient_code_hash: bytes,
    coinbase: bytes,
    empty_accounts: Container[bytes],
) -> None:
    """Refuse valid message calls that are not plain value transfers.

    ``empty_accounts``: addresses that the pre-state holds explicitly although they are empty by EIP-161. A transfer
    that touches one would delete it.

    Raises:
        UnsupportedFeature: recipient with code or a precompile, an empty account touched.
    """
    to = transaction.recipient
    if to in PRECOMPILES:
        raise UnsupportedFeature(f"call of precompile 0x{to.hex()}", block, number)
    if recipient_code_hash != EMPTY_CODE_HASH:
        raise UnsupportedFeature("call of a contract", block, number)
    for address in (transaction.sender, to, coinbase):
        if address in empty_accounts:
            raise UnsupportedFeature(f"empty account 0x{address.hex()} in the pre-state", block, number)
