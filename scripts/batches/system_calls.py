"""Batches whose blocks call system contracts: those of the main network, and others in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from executor.forks import (
    BEACON_ROOTS_ADDRESS,
    BEACON_ROOTS_CODE,
    CONSOLIDATION_REQUESTS_ADDRESS,
    HISTORY_STORAGE_ADDRESS,
    OSAKA,
    WITHDRAWAL_REQUESTS_ADDRESS,
    Fork,
)
from scripts.batches.builder import Builder
from scripts.batches.programs import CALLEE, CONTRACT, OTHER, REVERTING, THIRD, call_contract, creating
from scripts.workloads.assembler import assemble

#: A public key and an amount of Gwei (EIP-7002), and two public keys (EIP-7251).
WITHDRAWAL_REQUEST = bytes(range(1, 49)) + (32 * 10**9).to_bytes(8, "big")
CONSOLIDATION_REQUEST = bytes(range(1, 49)) + bytes(range(101, 149))

#: Asks for the hash of the parent's parent, and for the root of this block's parent.
ASKING = f"""
    2 number sub 0 mstore 32 32 32 0 0x{HISTORY_STORAGE_ADDRESS.hex()} gas staticcall 32 mload 1 sstore
    timestamp 0 mstore 32 32 32 0 0x{BEACON_ROOTS_ADDRESS.hex()} gas staticcall 32 mload 2 sstore
"""

#: Contracts in the place of those that return requests: one with all that a call can do, one that returns nothing.
_DESTROYED = assemble("1 1 sstore 9 sload caller selfdestruct")
RETURNING = f"""
    origin 0 mstore gasprice 32 mstore caller 64 mstore 0 blobhash calldatasize callvalue gas number
    7 1 tstore 1 tload 1 sstore 0 2 sstore 3 sload 4 3 sstore 0 3 sstore
    33 10 log0 1 32 0 log1
    32 64 32 0 3 0x{OTHER.hex()} gas call 0 0 0 0 0 0x{THIRD.hex()} 90000 call
    0 0 0 0 7 0x{Builder.FRESH.hex()} gas call
    0x{OTHER.hex()} balance
    {creating("create2", _DESTROYED, "8", value=1)} {creating("create", assemble("stop"))}
    32 64 64 0 2 gas staticcall 2 extcodehash 3 balance 3 balance 64 64 0 4 gas delegatecall 0 0 0 0 6 2000 staticcall
    origin 0 mstore gasprice 32 mstore caller 64 mstore
    70 20 return
"""
SILENT = "1 sload 1 add 1 sstore 5 1 tstore 1 tload 4 sstore 2 0 0 log1 stop"
#: And of those that are called at the start: one writes and reverts, one returns what nobody wants.
REVERTED = "0 calldataload 3 sstore calldatasize 2 sstore 1 0 0 log1 40 0 revert"
UNHEARD = "0 calldataload 3 sstore calldatasize 2 sstore 40 0 return"
HALTING = "0 calldataload 3 sstore 1 2 sstore add"


def _withdrawal(number: int, amount: int, address: bytes = Builder.FRESH) -> dict[str, Any]:
    return {"index": number, "validatorIndex": 7, "address": "0x" + address.hex(), "amount": amount}


def _request(building: Builder, sender: int, contract: bytes, request: bytes, value: int = 1) -> dict[str, Any]:
    return building.transfer(sender, contract, value, gas=300_000, data="0x" + request.hex())


def transactions(building: Builder) -> list[dict[str, Any]]:
    """A request of each kind, where the contracts of the main network are."""
    return [
        _request(building, 0, WITHDRAWAL_REQUESTS_ADDRESS, WITHDRAWAL_REQUEST),
        _request(building, 1, CONSOLIDATION_REQUESTS_ADDRESS, CONSOLIDATION_REQUEST),
    ]


def requests(fork: Fork = OSAKA, count: int = 2) -> Builder:
    """Three blocks that call the contracts of the main network: with requests of both kinds, with nothing, with one.

    `count`: how many requests to withdraw there are.
    """
    building = Builder(fork)
    building.alloc(BEACON_ROOTS_ADDRESS, nonce=1, code="0x" + BEACON_ROOTS_CODE.hex())
    building.alloc(CONTRACT, code="0x" + assemble(ASKING).hex(), nonce=1)
    building.block(
        *(_request(building, 0, WITHDRAWAL_REQUESTS_ADDRESS, WITHDRAWAL_REQUEST) for _ in range(count)),
        _request(building, 1, CONSOLIDATION_REQUESTS_ADDRESS, CONSOLIDATION_REQUEST),
        withdrawals=[_withdrawal(1, 5), _withdrawal(2, 1 << 40, Builder.WALLETS[0])],
        parentBeaconBlockRoot="0x" + "5b" * 32,
    )
    building.block()
    building.block(
        call_contract(building, 2),
        _request(building, 0, WITHDRAWAL_REQUESTS_ADDRESS, WITHDRAWAL_REQUEST),
        withdrawals=[_withdrawal(3, 0)],
    )
    return building


def others(fork: Fork = OSAKA, start: tuple[str, str] = (REVERTED, UNHEARD)) -> Builder:
    """Two blocks with other contracts in the place of all system contracts; `start`: those called at the start."""
    building = Builder(fork)
    for address, source in zip((BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS), start, strict=True):
        building.alloc(address, code="0x" + assemble(source).hex(), storage={"0x2": "0x6"})
    for address, source in ((WITHDRAWAL_REQUESTS_ADDRESS, RETURNING), (CONSOLIDATION_REQUESTS_ADDRESS, SILENT)):
        code = "0x" + assemble(source).hex()
        building.alloc(address, code=code, balance=100, nonce=1, storage={"0x2": "0x6", "0x3": "0x1"})
    building.alloc(OTHER, code="0x" + assemble(CALLEE).hex(), nonce=1)
    building.alloc(THIRD, code="0x" + assemble(REVERTING).hex(), nonce=1, storage={"0x3": "0x1"})
    building.block(
        call_contract(building, 0, WITHDRAWAL_REQUESTS_ADDRESS),
        call_contract(building, 1, CONSOLIDATION_REQUESTS_ADDRESS, data="0x" + "5a" * 40),
        withdrawals=[_withdrawal(1, 5, WITHDRAWAL_REQUESTS_ADDRESS)],
    )
    return building.block(call_contract(building, 1, HISTORY_STORAGE_ADDRESS, data="0x" + "5a" * 40))


def absent(fork: Fork = OSAKA) -> Builder:
    """Two blocks of a state without the contracts that blocks call at their start."""
    building = Builder(fork)
    del building.document["genesis"]["alloc"]["0x" + HISTORY_STORAGE_ADDRESS.hex()]
    return building.block(building.transfer(0)).block(building.transfer(0, HISTORY_STORAGE_ADDRESS, 3))


def halting(fork: Fork = OSAKA) -> Builder:
    """As `others`, but the contracts that are called at the start halt exceptionally."""
    return others(fork, (HALTING, HALTING))


#: All of them, by name.
BATCHES: dict[str, Callable[[Fork], Builder]] = {
    "requests": requests,
    "other contracts": others,
    "halting contracts": halting,
    "no contracts": absent,
}
