"""The fee of blobs: how it follows from the excess of blob gas (EIP-4844), and how that follows from block to block."""

from __future__ import annotations

from eth._utils.calculations import fake_exponential

from executor.forks import BlobRules

MIN_BLOB_BASE_FEE = 1  # EIP-4844, wei per blob gas


def blob_base_fee(excess_gas: int, rules: BlobRules) -> int:
    """Wei per blob gas (EIP-4844)."""
    fee: int = fake_exponential(MIN_BLOB_BASE_FEE, excess_gas, rules.base_fee_update_fraction)
    return fee


def next_excess_blob_gas(excess_gas: int, gas_used: int, base_fee: int, rules: BlobRules) -> int:
    """Excess blob gas of a block whose parent has these: excess, blob gas used, and base fee in wei per gas.

    ``rules`` are those of the block itself, also where its parent is of another fork (EIP-7691, EIP-7892, EIP-7918).
    """
    total = excess_gas + gas_used
    if total < rules.target_gas_per_block:
        return 0
    # Beyond what this program goes to, the fee would take for ever; there the block is refused anyway.
    if rules.reserve_gas_per_blob and excess_gas <= rules.max_excess_gas:
        is_cheap = rules.reserve_gas_per_blob * base_fee > rules.gas_per_blob * blob_base_fee(excess_gas, rules)
        if is_cheap:
            room = rules.max_gas_per_block - rules.target_gas_per_block
            return excess_gas + gas_used * room // rules.max_gas_per_block
    return total - rules.target_gas_per_block
