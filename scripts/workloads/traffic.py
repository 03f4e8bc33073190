"""What the workloads have in common: wallets, calls with their expected outcomes, and the writer of a batch file.

Every kind of traffic (tokens, exchange, ...) is an object that makes calls one after the other and keeps a book of what
they must have done. It shares no code with the executor, so the book is also a test of the executor.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from eth_abi.abi import encode
from eth_account import Account
from eth_utils.crypto import keccak

from scripts.workloads.predeployment import Predeployment
from scripts.workloads.toolchain import CodeSource
from scripts.workloads.transfers import (
    CHAIN_ID,
    ETHER,
    FEE_RECIPIENT,
    GENESIS_BASE_FEE,
    GENESIS_TIME,
    GWEI,
    SECONDS_PER_BLOCK,
)

GAS_LIMIT = 30_000_000
MAX_FEE = 100 * GWEI  # far above the base fee of any block of a workload
WALLET_BALANCE = 10_000 * ETHER


@dataclass(frozen=True)
class Wallet:
    """An account with a key."""

    key: bytes
    address: bytes


@cache
def wallet(name: str, number: int = 0) -> Wallet:
    """The same name and number give the same wallet."""
    key = keccak(text=f"zkevm workload wallet, {name} {number}")
    return Wallet(key, bytes.fromhex(Account.from_key(key).address[2:]))


def wallets(name: str, count: int) -> list[Wallet]:
    """Wallets 0 to ``count - 1`` of a name."""
    return [wallet(name, number) for number in range(count)]


AccessList = tuple[tuple[bytes, tuple[int, ...]], ...]  # addresses and their slots


@dataclass(frozen=True)
class Call:
    """A transaction before it is signed, and what it must do."""

    sender: Wallet
    to: bytes | None  # None: creation
    gas: int  # limit
    data: bytes = b""
    value: int = 0  # wei
    succeeds: bool = True
    logs: int = 0
    access_list: AccessList | None = None


Storage = dict[tuple[bytes, int], int]  # by address and slot


class Traffic:
    """A source of calls with a book of what they do."""

    def deploy(self, state: Predeployment, code: CodeSource) -> None:
        """Put contracts into the pre-state."""

    def storage(self) -> Storage:
        """What some slots must hold after all calls made so far."""
        return {}

    def balances(self) -> dict[bytes, int]:
        """Wei that some accounts must have after all calls made so far."""
        return {}

    def created(self) -> dict[bytes, bool]:
        """Which of some accounts must have code after all calls made so far."""
        return {}


@dataclass(frozen=True)
class Expected:
    """What a workload must do, by the books of its traffic."""

    succeeds: list[list[bool]]  # of every transaction, per block
    logs: list[list[int]]
    storage: Storage  # of some slots, at the end
    balances: dict[bytes, int]  # of some accounts, at the end, in wei
    created: dict[bytes, bool]  # whether some accounts have code in the end


@dataclass
class Workload:
    """A batch in the making.

    Args:
        name: of the workload.
        description: one line.
        gas_limit: of every block.
        seed: of the random choices; the name where there is none.
    """

    name: str
    description: str
    gas_limit: int = GAS_LIMIT
    seed: str = ""
    traffic: list[Traffic] = field(default_factory=list)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    calls: list[list[Call]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"zkevm workload {self.seed or self.name}")
        self._nonces: dict[bytes, int] = {}

    @property
    def timestamp(self) -> int:
        """Of the block that is being filled, in seconds."""
        return GENESIS_TIME + len(self.blocks) * SECONDS_PER_BLOCK

    def block(self, coinbase: bytes = FEE_RECIPIENT) -> None:
        """Start the next block."""
        number = len(self.blocks)
        self.blocks.append(
            {
                "coinbase": "0x" + coinbase.hex(),
                "timestamp": hex(GENESIS_TIME + (number + 1) * SECONDS_PER_BLOCK),
                "gasLimit": hex(self.gas_limit),
                "prevRandao": "0x" + keccak(text=f"zkevm {self.seed or self.name} workload, block {number}").hex(),
                "transactions": [],
            }
        )
        self.calls.append([])

    def send(self, call: Call) -> None:
        """Sign a call and put it at the end of the block."""
        sender = call.sender
        nonce = self._nonces.get(sender.address, 0)
        self._nonces[sender.address] = nonce + 1
        fields: dict[str, Any] = {
            "chainId": CHAIN_ID,
            "nonce": nonce,
            "gas": call.gas,
            "to": b"" if call.to is None else call.to,
            "value": call.value,
            "data": call.data,
        }
        kind = self.chance.choice((0, 2, 2, 2)) if call.access_list is None else self.chance.choice((1, 2))
        if kind == 2:
            fields |= {"type": 2, "maxFeePerGas": MAX_FEE, "maxPriorityFeePerGas": self.chance.choice((0, GWEI))}
        else:
            fields |= {"gasPrice": GENESIS_BASE_FEE + 20 * GWEI} | ({"type": 1} if kind else {})
        if kind:
            fields["accessList"] = [
                {"address": "0x" + address.hex(), "storageKeys": [f"0x{slot:064x}" for slot in slots]}
                for address, slots in call.access_list or ()
            ]
        signed = Account.from_key(sender.key).sign_transaction(fields)
        self.blocks[-1]["transactions"].append("0x" + bytes(signed.raw_transaction).hex())
        self.calls[-1].append(call)

    def next_nonce(self, sender: Wallet) -> int:
        """Nonce of the sender's next transaction."""
        return self._nonces.get(sender.address, 0)

    def document(self, code: CodeSource) -> dict[str, Any]:
        """The batch file's JSON object. The contracts of the pre-state are deployed with their creation code."""
        state = Predeployment(CHAIN_ID, GENESIS_TIME)
        for sender in sorted({call.sender.address for calls in self.calls for call in calls}):
            state.fund(sender, WALLET_BALANCE)
        for traffic in self.traffic:
            traffic.deploy(state, code)
        return {
            "format": "zkevm-batch/1",
            "description": self.description,
            "chainId": CHAIN_ID,
            "fork": "cancun",
            "genesis": {
                "config": {"chainId": CHAIN_ID},
                "timestamp": hex(GENESIS_TIME),
                "gasLimit": hex(self.gas_limit),
                "baseFeePerGas": hex(GENESIS_BASE_FEE),
                "alloc": state.alloc(),
            },
            "blocks": self.blocks,
        }

    def expected(self) -> Expected:
        """What the books say."""
        storage: Storage = {}
        balances: dict[bytes, int] = {}
        created: dict[bytes, bool] = {}
        for traffic in self.traffic:
            storage |= traffic.storage()
            balances |= traffic.balances()
            created |= traffic.created()
        return Expected(
            succeeds=[[call.succeeds for call in calls] for calls in self.calls],
            logs=[[call.logs for call in calls] for calls in self.calls],
            storage=storage,
            balances=balances,
            created=created,
        )


def call_data(signature: str, *arguments: Any) -> bytes:
    """Calldata of a function, such as ``transfer(address,uint256)``; addresses are 20 bytes."""
    return keccak(text=signature)[:4] + arguments_data(signature, *arguments)


def arguments_data(signature: str, *arguments: Any) -> bytes:
    """ABI encoding of the arguments of a function or constructor, such as ``(string,uint256)``."""
    types = signature[signature.index("(") + 1 : -1]
    return encode(types.split(",") if types else [], arguments)


def mapping_slot(slot: int, *keys: bytes) -> int:
    """Slot of an entry of a (nested) Solidity mapping; a key is an address or a word."""
    for key in keys:
        slot = int.from_bytes(keccak(key.rjust(32, b"\0") + slot.to_bytes(32, "big")))
    return slot
