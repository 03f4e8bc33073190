"""A batch with operations of every kind."""

from __future__ import annotations

from typing import Any

from executor.forks import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE
from scripts.batches.builder import Builder
from scripts.batches.programs import OTHER
from scripts.batches.tokens import paying, token_builder


def _withdrawal(number: int, address: bytes, amount: int) -> dict[str, Any]:
    return {"index": number, "validatorIndex": 7, "address": "0x" + address.hex(), "amount": amount}


def mixed_batch(seed: int = 0) -> Builder:
    """Three blocks: beacon roots, tokens, logs, all types of transactions, a failing one, withdrawals, an ancestor."""
    building = token_builder()
    building.alloc(BEACON_ROOTS_ADDRESS, nonce=1, code="0x" + BEACON_ROOTS_CODE.hex())
    wallets, fresh = Builder.WALLETS, Builder.FRESH
    fees: dict[str, Any] = {"maxFeePerGas": 2000, "maxPriorityFeePerGas": 7}
    entries = [{"address": "0x" + OTHER.hex(), "storageKeys": [f"0x{slot:064x}" for slot in (0, 9)]}]
    blobs: dict[str, Any] = {"type": 3, "maxFeePerBlobGas": 3, "blobVersionedHashes": ["0x01" + "ab" * 31] * 2}
    to_clerk: dict[str, Any] = {"to": OTHER, "value": 3 + seed, "gas": 300_000}
    building.block(
        paying(building, 0, wallets[1], 1000 + seed, **fees),
        paying(building, 2, wallets[1], 1),  # owns nothing: fails
        building.transfer(1, fresh, 5 + seed, **fees),
        parentBeaconBlockRoot="0x" + "0b" * 32,
    )
    building.block(parentBeaconBlockRoot="0x" + "0c" * 32, withdrawals=[_withdrawal(0, fresh, 1 + seed)])
    building.block(
        building.transfer(0, **to_clerk, data="0x" + "a1" * 40, accessList=entries, **fees),
        building.transfer(3, **to_clerk, data="0x01", accessList=entries[:1], **fees, **blobs),
        paying(building, 1, wallets[0], 1000 + seed),
        parentBeaconBlockRoot="0x" + "0d" * 32,
        withdrawals=[_withdrawal(1, wallets[2], 2), _withdrawal(2, b"\xfa" * 20, 0)],
    )
    return building
