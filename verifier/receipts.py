"""Receipts with their logs and blooms (EIP-658, EIP-2718; Yellow Paper, section 4.4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import rlp
from eth_bloom.bloom import BloomFilter

from verifier.container import ReceiptRecord
from verifier.errors import Invalid
from verifier.headers import Header
from verifier.tries import ordered_root


def bloom_of(receipts: Sequence[ReceiptRecord]) -> bytes:
    """The bloom of the addresses and topics of all logs of receipts. 256 bytes."""
    bloom = BloomFilter()
    for receipt in receipts:
        for log in receipt.logs:
            bloom.extend((log.address, *log.topics))
    return int(bloom).to_bytes(256, "big")


def encode_receipts(types: Sequence[int], receipts: Sequence[ReceiptRecord]) -> list[bytes]:
    """The receipts of a block.

    Args:
        types: EIP-2718 type of each transaction.
        receipts: what each transaction did; gas used is its own, a receipt holds the sum so far.

    Returns:
        EIP-2718 encodings: rlp([status, cumulative gas used, bloom, logs]) behind the type of a typed transaction.
    """
    encoded = []
    cumulative = accumulate(receipt.gas_used for receipt in receipts)
    for kind, receipt, gas in zip(types, receipts, cumulative, strict=True):
        logs = [[log.address, list(log.topics), log.data] for log in receipt.logs]
        body: bytes = rlp.encode([receipt.status, gas, bloom_of([receipt]), logs])
        encoded.append(bytes([kind]) + body if kind else body)
    return encoded


def check_receipts(header: Header, types: Sequence[int], receipts: Sequence[ReceiptRecord]) -> list[bytes]:
    """Check a header's receipts root and bloom; returns the encoded receipts.

    Raises:
        Invalid: if one of them is another.
    """
    encoded = encode_receipts(types, receipts)
    if ordered_root(encoded) != header.receipts_root:
        raise Invalid(f"block {header.number}: receipts root is not that of its receipts")
    if bloom_of(receipts) != header.logs_bloom:
        raise Invalid(f"block {header.number}: logs bloom is not that of its receipts")
    return encoded
