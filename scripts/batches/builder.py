"""A builder of small batches."""

from __future__ import annotations

import copy
from typing import Any

from eth_account import Account

from executor.batch import Batch, batch_from_document
from executor.execute import ExecutedBatch, execute
from executor.forks import CANCUN, Fork
from executor.provable import check_provable
from executor.system_contracts import system_contracts

ETHER = 10**18
CHAIN_ID = 1337
GAS_LIMIT = 30_000_000
BASE_FEE = 800  # wei per gas of the genesis; without transactions it falls by an eighth, to 700, in the next block
FIRST_BASE_FEE = 700
COINBASE = bytes.fromhex("c0" * 20)
FRESH = bytes.fromhex("fe" * 20)  # an address that no genesis holds

KEYS = [bytes([0x11 * (1 + number)]) * 32 for number in range(4)]
WALLETS = [bytes.fromhex(Account.from_key(key).address[2:]) for key in KEYS]


class Builder:
    """Builds the document of a batch file block by block; nonces follow by themselves."""

    ETHER = ETHER
    CHAIN_ID = CHAIN_ID
    BASE_FEE = BASE_FEE
    FIRST_BASE_FEE = FIRST_BASE_FEE
    COINBASE = COINBASE
    FRESH = FRESH
    WALLETS = WALLETS
    KEYS = KEYS

    def __init__(self, fork: Fork = CANCUN, **genesis: Any) -> None:
        """Of a later fork than Cancun: with the contracts that its blocks call."""
        self.fork = fork
        alloc = {"0x" + wallet.hex(): {"balance": hex(ETHER)} for wallet in WALLETS} | system_contracts(fork)
        self.document: dict[str, Any] = {
            "format": "zkevm-batch/1",
            "chainId": CHAIN_ID,
            "fork": fork.name,
            "genesis": {"alloc": alloc, "gasLimit": GAS_LIMIT, "timestamp": 1000, "baseFeePerGas": BASE_FEE} | genesis,
            "blocks": [],
        }
        self._nonces = dict.fromkeys(range(len(KEYS)), 0)

    def alloc(self, address: bytes, **account: Any) -> Builder:
        """Put an account into the genesis."""
        self.document["genesis"]["alloc"]["0x" + address.hex()] = account
        return self

    def transfer(self, sender: int = 0, to: bytes = FRESH, value: int = 1, **fields: Any) -> dict[str, Any]:
        """A transaction to be signed; without other fields a legacy one at 1000 wei per gas."""
        request = {
            "secretKey": "0x" + KEYS[sender].hex(),
            "nonce": self._nonces[sender],
            "gas": 21_000,
            "to": "0x" + to.hex(),
            "value": value,
        } | fields
        if "maxFeePerGas" not in request:
            request.setdefault("gasPrice", 1000)
        self._nonces[sender] += 1
        return request

    def block(self, *transactions: Any, coinbase: bytes = COINBASE, **fields: Any) -> Builder:
        """Append a block."""
        number = len(self.document["blocks"]) + 1
        self.document["blocks"].append(
            {
                "coinbase": "0x" + coinbase.hex(),
                "timestamp": 1000 + 12 * number,
                "gasLimit": GAS_LIMIT,
                "transactions": list(transactions),
            }
            | fields
        )
        return self

    def copy(self) -> Builder:
        """An independent copy."""
        return copy.deepcopy(self)

    def read(self) -> Batch:
        """The batch."""
        return batch_from_document(self.document)

    def execute(self) -> ExecutedBatch:
        """The batch, executed."""
        return execute(self.read())

    def provable(self) -> ExecutedBatch:
        """The batch, executed, all of which can be proved."""
        executed = self.execute()
        check_provable(executed)
        return executed
