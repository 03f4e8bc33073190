"""Receipts of transactions without logs (EIP-658, EIP-2718)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import rlp

from verifier.headers import EMPTY_BLOOM


def encode_receipts(types: Sequence[int], statuses: Sequence[int], gas_used: Sequence[int]) -> list[bytes]:
    """The receipts of a block.

    Args:
        types: EIP-2718 type of each transaction.
        statuses: 1 for success, 0 for failure.
        gas_used: by each transaction alone, gas; a receipt holds the sum so far.

    Returns:
        EIP-2718 encodings: rlp([status, cumulative gas used, bloom, logs]) behind the type of a typed transaction.
    """
    receipts = []
    for kind, status, cumulative in zip(types, statuses, accumulate(gas_used), strict=True):
        body: bytes = rlp.encode([status, cumulative, EMPTY_BLOOM, []])
        receipts.append(bytes([kind]) + body if kind else body)
    return receipts
