"""Block headers: decoding, and the rules of a header's fork that tie it to its parent.

Sources: Yellow Paper section 4.4, EIP-1559 (base fee), EIP-3675 (proof of stake), EIP-4399 (prev_randao), EIP-4895
(withdrawals), EIP-4844 and EIP-7918 (blob gas), EIP-4788 (beacon root), EIP-7685 (hash of requests). The roots that
depend on the block's contents are compared by the checks that compute them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from verifier.errors import Invalid
from verifier.forks import GAS_PER_BLOB, Fork
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
MIN_BASE_FEE_PER_BLOB_GAS: Final = 1  # EIP-4844


@dataclass(frozen=True, slots=True)
class Header:
    """A decoded header. Integers are in their own units (gas, wei, seconds); hashes and roots are 32 bytes.

    `requests_hash` is None in a header of twenty fields, as Cancun has them.
    """

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
    requests_hash: bytes | None = None


def decode_header(data: bytes, max_extra_data: int = MAX_EXTRA_DATA_BYTES) -> Header:
    """Decode the RLP of a header: exactly the twenty fields of Cancun or the 21 of later forks, canonical, extra data
    of so many bytes at most. Which it must be is a rule of its fork (`check_header`), which its time decides.

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
        requests_hash=None if reader.at_end else reader.fixed("requests hash", 32),
    )
    reader.finish("header")
    return header


class Ancestors:
    """Headers of blocks before a parent, of which those that several batches list are hashed once."""

    def __init__(self) -> None:
        self._read: dict[bytes, tuple[bytes, bytes, int]] = {}

    def hashes(self, parent: Header, ancestors: Sequence[bytes]) -> dict[int, bytes]:
        """Hashes of the blocks before a header, by number: each header proves that of the block before it.

        Args:
            parent: a header.
            ancestors: RLP of the headers before it, the latest first, of any fork.

        Raises:
            Invalid: one of them is not the header of the block before.
        """
        number, expected = parent.number - 1, parent.parent_hash
        hashes = {number: expected} if parent.number else {}
        for place, data in enumerate(ancestors):
            what = f"ancestor {place}"
            own, before, named = self._read.get(data) or (keccak(data), b"", -1)
            if number < 0 or own != expected:
                raise Invalid(f"{what} is not the header of block {number}, the parent of the one behind it")
            if not before:
                before, named = _before(data, what)
                self._read[data] = own, before, named
            if named != number:
                raise Invalid(f"{what} has another number than {number}")
            expected = before
            if number:
                hashes[number - 1] = expected
            number -= 1
        return hashes


def _before(data: bytes, what: str) -> tuple[bytes, int]:
    """The parent's hash in the RLP of a header of any fork, and its own number."""
    outer = RlpReader(data)
    reader = outer.list(what)
    outer.finish(what)
    parent_hash = reader.fixed(f"{what}: parent hash", 32)
    for name in _BEFORE_NUMBER:
        reader.string(f"{what}: {name}", _LONGEST_FIELD)
    return parent_hash, reader.uint(f"{what}: number", 64)


def ancestor_hashes(parent: Header, ancestors: Sequence[bytes]) -> dict[int, bytes]:
    """`Ancestors.hashes` of one batch."""
    return Ancestors().hashes(parent, ancestors)


#: Fields of a header between the hash of its parent and its number, of every fork; the bloom is the longest.
_BEFORE_NUMBER: Final = (
    *("ommers hash", "coinbase", "state root", "transactions root", "receipts root", "logs bloom", "difficulty"),
)
_LONGEST_FIELD: Final = 256


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


def expected_excess_blob_gas(parent: Header, fork: Fork) -> int:
    """Excess blob gas of the block of this fork after `parent`, gas (EIP-4844, EIP-7918).

    All constants are those of the block, also where its parent is of another fork (EIP-7691, EIP-7892).
    """
    target = fork.blobs.target * GAS_PER_BLOB
    excess, used = parent.excess_blob_gas, parent.blob_gas_used
    if excess + used < target:
        return 0
    # Beyond the bound a unit costs over 2**255 wei, and a blob of 2**17 units more than any base fee below 2**256 times
    # the cost of 2**13: so the reserve price, which would take for ever to be compared with, cannot be above.
    if fork.blob_base_cost and excess <= fork.blobs.max_excess:
        reserve = fork.blob_base_cost * parent.base_fee
        if reserve > GAS_PER_BLOB * _blob_base_fee(excess, fork):
            return excess + used * (fork.blobs.most - fork.blobs.target) // fork.blobs.most
    return excess + used - target


def blob_base_fee(header: Header, fork: Fork) -> int:
    """Fee of a unit of blob gas in a block of this fork, wei, below 2**256 (EIP-4844).

    Raises:
        Invalid: if the excess is beyond what this program computes.
    """
    if header.excess_blob_gas > fork.blobs.max_excess:
        raise Invalid(f"block {header.number}: excess blob gas is above {fork.blobs.max_excess}")
    return _blob_base_fee(header.excess_blob_gas, fork)


def _blob_base_fee(excess: int, fork: Fork) -> int:
    """`fake_exponential` of EIP-4844."""
    fraction = fork.blobs.update_fraction
    index, output = 1, 0
    term = MIN_BASE_FEE_PER_BLOB_GAS * fraction
    while term > 0:
        output += term
        term = term * excess // (fraction * index)
        index += 1
    return output // fraction


def check_header(header: Header, parent: Header, fork: Fork) -> None:
    """Check a header of the batch against the one before it, by the rules of its own fork.

    The fields that depend on the block's contents (roots, bloom, gas, blob gas, hash of requests) are compared where
    these are known.

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
        (
            (header.requests_hash is not None) == fork.has_requests_hash,
            f"a header of {20 if header.requests_hash is None else 21} fields, which {fork.name} does not have",
        ),
        (
            parent.requests_hash is None or fork.has_requests_hash,
            f"a parent with a requests hash, which {fork.name} does not have yet",
        ),
        (header.blob_gas_used <= fork.blobs.most * GAS_PER_BLOB, "blob gas used is above what a block may use"),
        (
            header.excess_blob_gas == expected_excess_blob_gas(parent, fork),
            "excess blob gas is not the one EIP-4844 gives",
        ),
    )
    for holds, reason in rules:
        if not holds:
            raise Invalid(f"block {header.number}: {reason}")
