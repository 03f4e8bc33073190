"""Small batches of contract code, and budgets that cut them into several segments."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from circuits.batch.execution import Batch
from executor.execute import ExecutedBatch
from executor.provable import check_provable
from prover.planner import Budget
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, OTHER
from scripts.workloads.assembler import assemble

TRANSFER_EVENT = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

#: A token without an interface: calldata is a recipient and an amount; balances lie at keccak256(address, 0).
TOKEN = f"""
    caller 0 mstore 64 0 sha3 dup1 sload
    32 calldataload dup1 dup3 lt @fail jumpi
    swap1 sub swap1 sstore
    0 calldataload 0 mstore 64 0 sha3 dup1 sload 32 calldataload add swap1 sstore
    32 calldataload 0 mstore 0 calldataload caller {TRANSFER_EVENT} 32 0 log3 stop
    fail: 0 0 revert
"""

#: Logs and stores what it is told about the blocks and the transaction.
CLERK = """
    1 number sub blockhash 1 sstore 0 blobhash 2 sstore timestamp 3 tstore 3 tload 4 sstore
    calldatasize 0 0 calldatacopy calldatasize 0 log0 gasprice 32 0 log1 0 sload 1 add 0 sstore
"""

#: A budget that cuts the batches here into several segments.
SMALL = Budget(operations=3)


def paying(building: Builder, sender: int, to: bytes, amount: int, **fields: Any) -> dict[str, Any]:
    """A transfer of tokens."""
    data = "0x" + to.rjust(32, b"\0").hex() + f"{amount:064x}"
    call: dict[str, Any] = {"value": 0, "gas": 100_000, "data": data}
    return building.transfer(sender, CONTRACT, **(call | fields))


def token_builder(rich: int = 0) -> Builder:
    """A genesis with the token, whose supply belongs to a wallet, and with the clerk."""
    building = Builder()
    slot = _balance_slot(Builder.WALLETS[rich])
    building.alloc(CONTRACT, code="0x" + assemble(TOKEN).hex(), storage={hex(slot): hex(10**18)}, nonce=1)
    return building.alloc(OTHER, code="0x" + assemble(CLERK).hex(), storage={"0x0": "0x7", "0x4": "0x1"})


def _balance_slot(address: bytes) -> int:
    return int.from_bytes(keccak(address.rjust(32, b"\0") + bytes(32)), "big")


def token_batch(transactions: int, seed: int = 0) -> Builder:
    """Transfers of tokens and of ether, three in a block."""
    building = token_builder()
    wallets = Builder.WALLETS
    for first in range(0, transactions, 3):
        block = []
        for number in range(first, min(first + 3, transactions)):
            if number % 4 == 3:
                block.append(building.transfer(number % 3, wallets[3], 5 + seed))
            else:
                block.append(paying(building, 0, wallets[1 + number % 3], 1000 + number + seed))
        building.block(*block)
    return building


def write_batch(folder: Path, transactions: int) -> Path:
    """Write a batch file of `token_batch`."""
    file = folder / "batch.json"
    file.write_text(json.dumps(token_batch(transactions).document))
    return file


@cache
def executed_tokens(transactions: int, seed: int = 0) -> ExecutedBatch:
    """The batch of `write_batch`, executed."""
    return token_batch(transactions, seed).execute()


@cache
def tokens(transactions: int, seed: int = 0) -> Batch:
    """The same, as the prover sees it."""
    return Batch.of(check_provable(executed_tokens(transactions, seed)))
