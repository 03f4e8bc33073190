"""The forks this program knows, as data. A further fork is a further row of :data:`FORKS`.

py-evm's classes are named, not imported: reading a batch needs the rules of its fork, but not a virtual machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

LEGACY_TYPE = 0
ACCESS_LIST_TYPE = 1  # EIP-2930
DYNAMIC_FEE_TYPE = 2  # EIP-1559
BLOB_TYPE = 3  # EIP-4844

BEACON_ROOTS_ADDRESS = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")  # EIP-4788
SYSTEM_ADDRESS = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe")  # EIP-4788
SYSTEM_CALL_GAS = 30_000_000  # EIP-4788


@dataclass(frozen=True)
class BlobRules:
    """Parameters of EIP-4844; all in units of blob gas."""

    gas_per_blob: int
    target_gas_per_block: int
    max_gas_per_block: int
    max_excess_gas: int  # as far as this program goes: from a tenth more on, the fee per blob gas exceeds 256 bits
    hash_version: int  # first byte of a versioned hash


@dataclass(frozen=True)
class Fork:
    """A hard fork of Ethereum: the classes of py-evm that run it and the rules that batches are checked against."""

    name: str  # lower case, as in batch files
    virtual_machine: str  # py-evm's class, "module:name"
    header: str  # py-evm's class of its block headers, "module:name"
    transaction_types: frozenset[int]
    precompiles: frozenset[bytes]
    max_code_bytes: int  # EIP-170
    max_initcode_bytes: int  # EIP-3860
    max_refund_quotient: int  # EIP-3529: at most gas used / quotient is refunded
    blobs: BlobRules
    block_start_calls: tuple[bytes, ...]  # system contracts called before the transactions, with the beacon root

    def vm_class(self) -> Any:
        """py-evm's virtual machine of this fork."""
        return _load(self.virtual_machine)

    def header_class(self) -> Any:
        """py-evm's block header of this fork."""
        return _load(self.header)


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


CANCUN = Fork(
    name="cancun",
    virtual_machine="eth.vm.forks.cancun:CancunVM",
    header="eth.vm.forks.cancun.blocks:CancunBlockHeader",
    transaction_types=frozenset((LEGACY_TYPE, ACCESS_LIST_TYPE, DYNAMIC_FEE_TYPE, BLOB_TYPE)),
    precompiles=frozenset(number.to_bytes(20, "big") for number in range(1, 11)),  # 10: point evaluation, EIP-4844
    max_code_bytes=24_576,
    max_initcode_bytes=49_152,
    max_refund_quotient=5,
    blobs=BlobRules(
        gas_per_blob=2**17,
        target_gas_per_block=3 * 2**17,
        max_gas_per_block=6 * 2**17,
        max_excess_gas=2**29,
        hash_version=0x01,
    ),
    block_start_calls=(BEACON_ROOTS_ADDRESS,),
)

FORKS: Mapping[str, Fork] = {fork.name: fork for fork in (CANCUN,)}
