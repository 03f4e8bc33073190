"""What a proof says about a batch of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import rlp
from eth_abi.abi import encode as abi_encode
from eth_hash.auto import keccak

_ABI_TYPES: Final = (
    "uint64",
    "string",
    "bytes32",
    "bytes32",
    "uint64",
    "bytes32",
    "uint64",
    "bytes32",
    "bytes32",
    "bytes32",
    "uint64",
)


@dataclass(frozen=True, slots=True)
class BatchStatement:
    """Executing exactly these signed transactions in these blocks, from a state with this root, gives exactly that.

    A batch without blocks has the parent block as its first and last block.

    Attributes:
        chain_id: below 2**64 (EIP-155).
        fork: which rules the blocks follow: the schedule of the chain without the forks that no block is of
            (`verifier.forks`). Where all blocks are of one fork that is its name, `prague`; where they are of several,
            each later one stands with the time from which on blocks are of it: `prague, osaka from 1764798551`. Which
            fork a block is of follows from this and its time, so it can be compared with what is known of the chain:
            of one schedule there is one such text for a batch. Empty without blocks.
        pre_state_root, post_state_root: 32 bytes, roots of the state trie before the first and after the last block.
        first_block_number, last_block_number: below 2**64.
        first_block_hash, last_block_hash: 32 bytes, keccak256 of the RLP header.
        transactions_commitment: 32 bytes, `lists_commitment` of the signed transactions (EIP-2718 encodings).
        receipts_commitment: 32 bytes, `lists_commitment` of the receipts (EIP-2718 encodings).
        gas_used: of all blocks together, gas.
    """

    chain_id: int
    fork: str
    pre_state_root: bytes
    post_state_root: bytes
    first_block_number: int
    first_block_hash: bytes
    last_block_number: int
    last_block_hash: bytes
    transactions_commitment: bytes
    receipts_commitment: bytes
    gas_used: int

    @property
    def digest(self) -> bytes:
        """keccak256 of the ABI encoding of the fields in their order (uint64, string and bytes32). 32 bytes."""
        values = [getattr(self, name) for name in self.__slots__]
        return keccak(abi_encode(_ABI_TYPES, values))

    def to_dict(self) -> dict[str, int | str]:
        """The fields for a JSON document; bytes become 0x-prefixed hexadecimal."""
        return {name: f"0x{value.hex()}" if isinstance(value, bytes) else value for name, value in asdict(self).items()}


def lists_commitment(blocks: Sequence[Sequence[bytes]]) -> bytes:
    """keccak256 of the RLP of a list with one list of byte strings for each block. 32 bytes."""
    return keccak(rlp.encode([list(items) for items in blocks]))
