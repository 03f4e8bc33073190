"""Batches whose transactions read and write accounts and slots in many ways."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from circuits.batch.execution import Execution
from executor.forks import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE
from scripts.batches.builder import Builder
from scripts.batches.programs import CALLEE, CONTRACT, OTHER, REVERTING, STORAGE, THIRD, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble

#: A slot of every history that SSTORE prices differently: pairs of pre-state value and the values written.
HISTORIES = {
    1: (0, (0, 5, 5, 6, 0, 7)),
    2: (0, (5, 0)),
    3: (9, (9, 8, 8, 9)),
    4: (9, (0, 0, 9)),
    5: (9, (0, 8, 0)),
    6: (9, (8, 0, 9, 0)),
    7: (1 << 255, ((1 << 255) - 1, 1 << 255)),
    8: (0x10001, (1 << 16, 1 << 128 | 1, 0x10001)),
}


def program(source: str, gas: int | Sequence[int] = 1_000_000, **account: Any) -> Builder:
    """A block with a call of this program for each amount of gas."""
    building = Builder()
    building.alloc(CONTRACT, code="0x" + assemble(source).hex(), **({"balance": 100} | account))
    building.alloc(OTHER, code="0x" + assemble(CALLEE).hex(), nonce=1, balance=5)
    amounts = [gas] if isinstance(gas, int) else gas
    return building.block(*(call_contract(building, n % 3, gas=amount) for n, amount in enumerate(amounts)))


def run(source: str, gas: int | Sequence[int] = 1_000_000, **account: Any) -> Execution:
    """The execution of such a block."""
    return execution_of(program(source, gas, **account).execute())


@cache
def histories() -> Execution:
    """Every kind of change of a slot, twice: the second transaction starts from what the first one left."""
    writes = " ".join(f"{hex(value)} {slot} sstore" for slot, (_, values) in HISTORIES.items() for value in values)
    storage = {hex(slot): hex(first) for slot, (first, _) in HISTORIES.items() if first}
    return run(
        f"{writes} 3 sload 1 sload 77 sload 3 7 tstore 7 tload 8 tload 0 7 tstore", [900_000] * 2, storage=storage
    )


@cache
def several_blocks() -> Builder:
    """Beacon roots, transactions, one of which fails, and withdrawals, in three blocks that meet the same accounts."""
    building = Builder()
    building.alloc(BEACON_ROOTS_ADDRESS, nonce=1, code="0x" + BEACON_ROOTS_CODE.hex())
    building.alloc(CONTRACT, code="0x" + assemble(STORAGE).hex(), balance=3, storage={"0x2": "0x6", "0x3": "0x1"})
    building.alloc(THIRD, code="0x" + assemble(REVERTING).hex(), nonce=1, storage={"0x3": "0x7"})
    building.alloc(OTHER, code="0x" + assemble("1 number sub blockhash caller extcodesize 2 tload").hex())
    listed = [{"address": "0x" + CONTRACT.hex(), "storageKeys": ["0x" + "00" * 31 + "02", "0x" + "ab" * 32]}]
    listed += [{"address": "0x" + "77" * 20, "storageKeys": []}, listed[0]]
    for number in range(3):
        fees = {"type": 2, "maxFeePerGas": 2000, "maxPriorityFeePerGas": 9, "accessList": listed}
        building.block(
            call_contract(building, 0, CONTRACT, value=number),
            call_contract(building, 1, THIRD, value=5),
            call_contract(building, 0, CONTRACT, **fees),
            call_contract(building, 2, OTHER),
            building.transfer(0, Builder.WALLETS[0], 7),
            building.transfer(1, Builder.COINBASE, 0),
            parentBeaconBlockRoot="0x" + f"{number + 1:02x}" * 32,
            withdrawals=[
                {"index": n, "validatorIndex": n, "address": "0x" + address.hex(), "amount": 3 * n}
                for n, address in enumerate((Builder.FRESH, Builder.WALLETS[0], Builder.FRESH))
            ],
        )
    return building
