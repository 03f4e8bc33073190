"""Batches whose transactions differ in all that the tables around an execution look at."""

from __future__ import annotations

from functools import cache
from typing import Any

from circuits.batch.execution import Execution
from executor.forks import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, FOURTH, OTHER, THIRD, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble

BLOB_HASH = "0x01" + "ab" * 31
RICH = bytes.fromhex("77" * 20)
SELF_PAID = Builder.WALLETS[2]

#: Clears three slots: more refund than a fifth of the gas.
CLEARING = "0 1 sstore 0 2 sstore 0 3 sstore"
#: Clears one of many: less than a fifth.
CLEARING_LITTLE = "0 1 sstore 9 5 sstore 9 6 sstore"
LOGGING = "7 0 mstore 1 32 0 log1 2 32 0 log1 origin gasprice"
REVERTING = "0 1 sstore 1 2 sstore 1 0 0 log1 0 0 revert"


def contracts(building: Builder) -> Builder:
    storage = {"0x1": "0x1", "0x2": "0x2", "0x3": "0x3"}
    building.alloc(CONTRACT, code="0x" + assemble(CLEARING).hex(), storage=storage, balance=3, nonce=1)
    building.alloc(OTHER, code="0x" + assemble(CLEARING_LITTLE).hex(), storage=storage)
    building.alloc(THIRD, code="0x" + assemble(LOGGING).hex(), storage=storage)
    building.alloc(FOURTH, code="0x" + assemble(REVERTING).hex(), storage=storage)
    building.alloc(RICH, code="0xfe", balance=5)
    building.alloc(BEACON_ROOTS_ADDRESS, code="0x" + BEACON_ROOTS_CODE.hex(), nonce=1)
    return building


def entry(address: bytes, *slots: int) -> dict[str, Any]:
    return {"address": "0x" + address.hex(), "storageKeys": [f"0x{slot:064x}" for slot in slots]}


@cache
def execution() -> Execution:
    """Types 0 to 3, self-transfers, refunds above and below the cap, failing calls with value, two blocks."""
    building = contracts(Builder())
    fee = {"maxFeePerGas": 2000, "maxPriorityFeePerGas": 7}
    blobs = {"maxFeePerBlobGas": 3, "blobVersionedHashes": [BLOB_HASH, BLOB_HASH]}
    wallets = Builder.WALLETS
    accesses = [entry(CONTRACT, 1, 7), entry(Builder.FRESH), entry(CONTRACT, 1), entry(Builder.COINBASE, 2**256 - 1)]
    building.block(
        building.transfer(0),
        building.transfer(1, wallets[1], 5),
        building.transfer(1, bytes(20), 0, gas=30_000, data="0x00010002"),
        call_contract(building, 2, CONTRACT, value=2, gas=100_000),
        call_contract(building, 2, OTHER, gas=100_000, **fee),
        call_contract(building, 0, THIRD, gas=60_000, data="0x" + "00ff" * 20, value=1, accessList=accesses),
        withdrawals=[
            {"index": 1, "validatorIndex": 1, "address": "0x" + wallets[0].hex(), "amount": 2**40},
            {"index": 2, "validatorIndex": 1, "address": "0x" + RICH.hex(), "amount": 0},
            {"index": 3, "validatorIndex": 2, "address": "0x" + RICH.hex(), "amount": 2**64 - 1},
        ],
    )
    # The coinbase is also the sender of one, and the recipient of another.
    building.block(
        call_contract(building, 2, FOURTH, value=2**33, gas=100_000, accessList=accesses, **fee),
        call_contract(building, 3, RICH, value=9, gas=50_000, **fee),
        building.transfer(3, SELF_PAID, 10**9, gas=21_000, **(fee | {"maxPriorityFeePerGas": 2000})),
        building.transfer(0, wallets[3], 1, type=3, accessList=accesses[:2], gas=40_000, **fee, **blobs),
        coinbase=SELF_PAID,
    )
    return execution_of(building.execute())


@cache
def small() -> Execution:
    """Two transactions without a refund, one of them with an access list."""
    building = contracts(Builder())
    building.block(
        call_contract(building, 0, FOURTH, value=5, gas=80_000),
        call_contract(building, 1, OTHER, gas=80_000, accessList=[entry(OTHER, 5, 6)]),
    )
    return execution_of(building.execute())
