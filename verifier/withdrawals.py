"""Withdrawals (EIP-4895)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from verifier.errors import Invalid
from verifier.headers import Header
from verifier.rlp_bounded import RlpReader
from verifier.tries import ordered_root

WEI_PER_GWEI: Final = 10**9


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What matters of a withdrawal: address (20 bytes) and amount (wei)."""

    address: bytes
    amount: int


def decode_withdrawal(data: bytes) -> Withdrawal:
    """Decode the RLP of a withdrawal.

    Raises:
        Invalid: if it is anything else than the canonical encoding of one.
    """
    outer = RlpReader(data)
    reader = outer.list("withdrawal")
    outer.finish("withdrawal")
    reader.uint("withdrawal: index", 64)
    reader.uint("withdrawal: validator", 64)
    address = reader.fixed("withdrawal: address", 20)
    amount = reader.uint("withdrawal: amount", 64)
    reader.finish("withdrawal")
    return Withdrawal(address, amount * WEI_PER_GWEI)


def check_withdrawals(header: Header, withdrawals: Sequence[bytes]) -> list[Withdrawal]:
    """Check a header's withdrawals root; returns the withdrawals.

    Raises:
        Invalid: if the root is another, or a withdrawal is malformed.
    """
    # Building the trie takes longer than finding out that something is no withdrawal.
    decoded = [decode_withdrawal(data) for data in withdrawals]
    if ordered_root(withdrawals) != header.withdrawals_root:
        raise Invalid(f"block {header.number}: withdrawals root is not that of its withdrawals")
    return decoded
