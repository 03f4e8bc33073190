"""Block headers under Cancun: decoding and the rules that tie a header to its parent.

Sources: Yellow Paper section 4.4, EIP-1559 (base fee), EIP-3675 (proof of stake), EIP-4399 (prev_randao), EIP-4895
(withdrawals), EIP-4844 (blob gas), EIP-4788 (beacon root). The roots that depend on the block's contents are compared
by the checks that compute them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from verifier.errors import Invalid
from verifier.rlp_bounded import RlpReader

EMPTY_TRIE_ROOT: Final = keccak(b"\x80")
EMPTY_OMMERS_HASH: Final = keccak(b"\xc0")

MAX_EXTRA_DATA_BYTES: Final = 32  # Yellow Paper, section 4.4.4
#: Of the parent block, which is trusted by its hash: Clique (EIP-225) has signers there, and a signature.
MAX_PARENT_EXTRA_DATA_BYTES: Final = 1 << 14
MIN_GAS_LIMIT: Final = 5000  # Yellow Paper, equation 49
GAS_LIMIT_BOUND_DIVISOR: Final = 1024  # Yellow Paper, equations 47 and 48
BASE_FEE_MAX_CHANGE_DENOMINATOR: Final = 8  # EIP-1559
ELASTICITY_MULTIPLIER: Final = 2  # EIP-1559
TARGET_BLOB_GAS_PER_BLOCK: Final = 393216  # EIP-4844
MAX_BLOB_GAS_PER_BLOCK: Final = 786432  # EIP-4844
MIN_BASE_FEE_PER_BLOB_GAS: Final = 1  # EIP-4844
BLOB_BASE_FEE_UPDATE_FRACTION: Final = 3338477  # EIP-4844
MAX_EXCESS_BLOB_GAS: Final = 2**29  # from a tenth more on the fee exceeds 256 bits


@dataclass(frozen=True, slots=True)
class Header:
    """A decoded Cancun header. Integers are in their own units (gas, wei, seconds); hashes and roots are 32 bytes."""

    hash: bytes
    parent_hash: bytes
    ommers_hash: bytes
    coinbase: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    difficulty: int
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    prev_randao: bytes
    nonce: bytes
    base_fee: int
    withdrawals_root: bytes
    blob_gas_used: int
    excess_blob_gas: int
    parent_beacon_root: bytes


def decode_header(data: bytes, max_extra_data: int = MAX_EXTRA_DATA_BYTES) -> Header:
    """Decode the RLP of a Cancun header (exactly its twenty fields, canonical, extra data of so many bytes at most).

    Raises:
        Invalid: if it is anything else.
    """
    outer = RlpReader(data)
    reader = outer.list("header")
    outer.finish("header")
    header = Header(
        hash=keccak(data),
        parent_hash=reader.fixed("parent hash", 32),
        ommers_hash=reader.fixed("ommers hash", 32),
        coinbase=reader.fixed("coinbase", 20),
        state_root=reader.fixed("state root", 32),
        transactions_root=reader.fixed("transactions root", 32),
        receipts_root=reader.fixed("receipts root", 32),
        logs_bloom=reader.fixed("logs bloom", 256),
        difficulty=reader.uint("difficulty", 256),
        number=reader.uint("number", 64),
        gas_limit=reader.uint("gas limit", 64),
        gas_used=reader.uint("gas used", 64),
        timestamp=reader.uint("timestamp", 64),
        extra_data=reader.string("extra data", max_extra_data),
        prev_randao=reader.fixed("prev randao", 32),
        nonce=reader.fixed("nonce", 8),
        base_fee=reader.uint("base fee", 256),
        withdrawals_root=reader.fixed("withdrawals root", 32),
        blob_gas_used=reader.uint("blob gas used", 64),
        excess_blob_gas=reader.uint("excess blob gas", 64),
        parent_beacon_root=reader.fixed("parent beacon root", 32),
    )
    reader.finish("header")
    return header


def expected_base_fee(parent: Header) -> int:
    """Base fee of the block after `parent`, wei (EIP-1559).

    Raises:
        Invalid: if the parent's gas limit leaves no gas target.
    """
    target = parent.gas_limit // ELASTICITY_MULTIPLIER
    if target == 0:
        raise Invalid("the parent's gas limit leaves no gas target")
    if parent.gas_used == target:
        return parent.base_fee
    change = parent.base_fee * abs(parent.gas_used - target) // target // BASE_FEE_MAX_CHANGE_DENOMINATOR
    return parent.base_fee + max(change, 1) if parent.gas_used > target else parent.base_fee - change


def expected_excess_blob_gas(parent: Header) -> int:
    """Excess blob gas of the block after `parent`, gas (EIP-4844)."""
    return max(parent.excess_blob_gas + parent.blob_gas_used - TARGET_BLOB_GAS_PER_BLOCK, 0)


def blob_base_fee(header: Header) -> int:
    """Fee of a unit of blob gas in a block, wei: `fake_exponential` of EIP-4844.

    Raises:
        Invalid: if the excess is beyond what this program computes.
    """
    if header.excess_blob_gas > MAX_EXCESS_BLOB_GAS:
        raise Invalid(f"block {header.number}: excess blob gas is above {MAX_EXCESS_BLOB_GAS}")
    index, output = 1, 0
    term = MIN_BASE_FEE_PER_BLOB_GAS * BLOB_BASE_FEE_UPDATE_FRACTION
    while term > 0:
        output += term
        term = term * header.excess_blob_gas // (BLOB_BASE_FEE_UPDATE_FRACTION * index)
        index += 1
    return output // BLOB_BASE_FEE_UPDATE_FRACTION


def check_header(header: Header, parent: Header) -> None:
    """Check a header of the batch against the one before it.

    The fields that depend on the block's contents (roots, bloom, gas, blob gas) are compared where these are known.

    Raises:
        Invalid: naming the rule that does not hold.
    """
    limit_step = parent.gas_limit // GAS_LIMIT_BOUND_DIVISOR
    rules = (
        (header.parent_hash == parent.hash, "parent hash is not the hash of the block before"),
        (header.number == parent.number + 1, "number does not follow the parent's"),
        (header.timestamp > parent.timestamp, "timestamp is not later than the parent's"),
        (header.gas_limit >= MIN_GAS_LIMIT, f"gas limit is below {MIN_GAS_LIMIT}"),
        (abs(header.gas_limit - parent.gas_limit) < limit_step, "gas limit is too far from the parent's"),
        (header.gas_used <= header.gas_limit, "gas used is above the gas limit"),
        (header.base_fee == expected_base_fee(parent), "base fee is not the one EIP-1559 gives"),
        (header.difficulty == 0, "difficulty is not zero"),
        (header.nonce == bytes(8), "nonce is not zero"),
        (header.ommers_hash == EMPTY_OMMERS_HASH, "ommers are not empty"),
        (header.blob_gas_used <= MAX_BLOB_GAS_PER_BLOCK, "blob gas used is above what a block may use"),
        (header.excess_blob_gas == expected_excess_blob_gas(parent), "excess blob gas is not the one EIP-4844 gives"),
    )
    for holds, reason in rules:
        if not holds:
            raise Invalid(f"block {header.number}: {reason}")
