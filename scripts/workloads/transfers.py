"""Batches for examples and benchmarks, as the JSON objects of batch files. Deterministic: equal arguments, equal bytes.

The generator keeps its own account book of balances and fees and shares no code with the executor, so that the state
it expects is also a test of the executor.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from eth_account import Account
from eth_utils.crypto import keccak

CHAIN_ID = 1337
GAS_LIMIT = 30_000_000
GENESIS_TIME = 1_700_000_000
SECONDS_PER_BLOCK = 12
GWEI = 10**9
ETHER = 10**18

GENESIS_BASE_FEE = 10 * GWEI

SENDERS = 24
RECIPIENTS = 16
FUNDED_RECIPIENTS = 6  # the others do not exist before their first transfer
FEE_RECIPIENT = bytes.fromhex("c0ffee" + "00" * 16 + "01")

# Shares of a round of blocks, in tenths of its transactions. One block is empty; the fees of the fourth go to a sender.
ROUND = (4, 1, 0, 3, 2)
ROUND_SIZE = 1_500  # transactions of a round at most: 600 in a block leave room below its gas limit


@dataclass
class _Ledger:
    """Nonces and balances of all accounts, in wei."""

    balance: dict[bytes, int]
    nonce: dict[bytes, int] = field(default_factory=dict)

    def move(self, sender: bytes, to: bytes, value: int, coinbase: bytes, fee: int, tip: int) -> None:
        for account, amount in ((sender, -value - fee), (to, value), (coinbase, tip)):
            self.balance[account] = self.balance.get(account, 0) + amount
        self.nonce[sender] = self.nonce.get(sender, 0) + 1


def transfer_batch(transactions: int = 100, seed: int = 0) -> dict[str, Any]:
    """A batch of value transfers between 24 senders and 16 recipients, in rounds of five blocks, one of them empty.

    Transactions of types 0, 1 and 2, with calldata and access lists, zero values, transfers to oneself, to new accounts
    and to the recipient of the fees, tips cut by the fee cap, and a sender that spends its whole balance. Gas limits
    and fee caps suffice under Prague's rules, too, where calldata has a floor (EIP-7623) and base fees are higher.

    Args:
        transactions: number of transactions, at least 1.
        seed: of the random choices; the keys of the senders do not depend on it.
    """
    return _TransferWorkload(transactions, seed).document()


def expected_balances(transactions: int = 100, seed: int = 0) -> dict[bytes, int]:
    """Balance in wei of every account after :func:`transfer_batch` with the same arguments."""
    workload = _TransferWorkload(transactions, seed)
    workload.document()
    return dict(workload.ledger.balance)


class _TransferWorkload:
    def __init__(self, transactions: int, seed: int) -> None:
        if transactions < 1:
            raise ValueError("a transfer workload has at least one transaction")
        self._transactions = transactions
        self._random = random.Random(seed)
        self._keys = [keccak(text=f"zkevm transfer workload, sender {number}") for number in range(SENDERS)]
        self._senders = [bytes.fromhex(Account.from_key(key).address[2:]) for key in self._keys]
        self._recipients = [
            keccak(text=f"zkevm transfer workload, recipient {number}")[12:] for number in range(RECIPIENTS)
        ]
        funded = self._senders + self._recipients[:FUNDED_RECIPIENTS]
        self.ledger = _Ledger({address: (1 + number) * 1_000 * ETHER for number, address in enumerate(funded)})
        self._genesis_balance = dict(self.ledger.balance)
        self._base_fee = self._highest_base_fee = _next_base_fee(GENESIS_BASE_FEE, gas_used=0)

    def document(self) -> dict[str, Any]:
        """The batch file's JSON object."""
        rounds = -(-self._transactions // ROUND_SIZE)
        sizes = [size for number in range(rounds) for size in _round(_share(self._transactions, rounds, number))]
        # The last sender spends everything it has in the batch's last transaction.
        drained = max(number for number, size in enumerate(sizes) if size)
        blocks = [self._block(number, size, number == drained) for number, size in enumerate(sizes)]
        return {
            "format": "zkevm-batch/1",
            "description": f"{self._transactions} value transfers",
            "chainId": CHAIN_ID,
            "fork": "cancun",
            "genesis": {
                "config": {"chainId": CHAIN_ID},
                "timestamp": hex(GENESIS_TIME),
                "gasLimit": hex(GAS_LIMIT),
                "baseFeePerGas": hex(GENESIS_BASE_FEE),
                "alloc": {
                    "0x" + address.hex(): {"balance": hex(balance)}
                    for address, balance in self._genesis_balance.items()
                },
            },
            "blocks": blocks,
        }

    def _block(self, number: int, size: int, drain: bool) -> dict[str, Any]:
        coinbase = self._senders[0] if number % len(ROUND) == 3 else FEE_RECIPIENT
        signed = []
        gas_used = most_gas_used = 0
        for position in range(size):
            raw, gas, most_gas = self._transfer(coinbase, drain=drain and position == size - 1)
            signed.append("0x" + raw.hex())
            gas_used += gas
            most_gas_used += most_gas
        self._base_fee = _next_base_fee(self._base_fee, gas_used)
        self._highest_base_fee = _next_base_fee(self._highest_base_fee, most_gas_used)
        return {
            "coinbase": "0x" + coinbase.hex(),
            "timestamp": hex(GENESIS_TIME + (number + 1) * SECONDS_PER_BLOCK),
            "gasLimit": hex(GAS_LIMIT),
            "prevRandao": "0x" + keccak(text=f"zkevm transfer workload, block {number}").hex(),
            "transactions": signed,
        }

    def _transfer(self, coinbase: bytes, drain: bool) -> tuple[bytes, int, int]:
        """Sign one transfer and enter it in the book; returns the raw transaction, its gas, and that in Prague."""
        chance = self._random
        # The first sender, which also receives the fees of a block, sends more often than the others.
        index = SENDERS - 1 if drain else max(chance.randrange(-2, SENDERS - 1), 0)
        sender = self._senders[index]
        to = chance.choice(self._recipients if drain else [*self._recipients, *self._senders, sender, coinbase])
        value = 0 if chance.random() < 0.1 else chance.randrange(self.ledger.balance[sender] // 64)
        data = b"" if drain or chance.random() < 0.7 else bytes(chance.choices((0, 1, 255), k=chance.randrange(1, 120)))
        kind = 2 if drain else chance.choice((0, 1, 2, 2))
        access_list = self._access_list() if kind and not drain and chance.random() < 0.5 else []
        slots = sum(len(entry["storageKeys"]) for entry in access_list)
        gas = 21_000 + sum(16 if byte else 4 for byte in data) + 2_400 * len(access_list) + 1_900 * slots
        most_gas = max(gas, 21_000 + 10 * sum(4 if byte else 1 for byte in data))
        tip_cap = chance.choice((0, 1, GWEI, 2 * GWEI))
        # A third of the caps leave less than the tip above the base fee.
        max_fee = self._base_fee + (tip_cap // 2 if chance.random() < 1 / 3 else 3 * tip_cap + GWEI)
        max_fee = max(max_fee, self._highest_base_fee)
        if kind < 2:
            tip_cap = max_fee
        tip_cap = min(tip_cap, max_fee)
        gas_limit = max(gas + chance.choice((0, 0, 1_000, 50_000)), most_gas)
        if drain:
            # The tip is all that the cap leaves, whatever the base fee is.
            max_fee, gas_limit = self._highest_base_fee + tip_cap, gas
            tip_cap = max_fee
            value = self.ledger.balance[sender] - gas * max_fee
        fields: dict[str, Any] = {
            "chainId": CHAIN_ID,
            "nonce": self.ledger.nonce.get(sender, 0),
            "gas": gas_limit,
            "to": to,
            "value": value,
            "data": data,
        }
        if kind == 2:
            fields |= {"type": 2, "maxFeePerGas": max_fee, "maxPriorityFeePerGas": tip_cap, "accessList": access_list}
        elif kind == 1:
            fields |= {"type": 1, "gasPrice": max_fee, "accessList": access_list}
        else:
            fields |= {"gasPrice": max_fee}
        tip = min(tip_cap, max_fee - self._base_fee)
        self.ledger.move(sender, to, value, coinbase, gas * (self._base_fee + tip), gas * tip)
        return bytes(Account.from_key(self._keys[index]).sign_transaction(fields).raw_transaction), gas, most_gas

    def _access_list(self) -> list[dict[str, Any]]:
        chance = self._random
        return [
            {
                "address": "0x" + chance.choice(self._senders + self._recipients).hex(),
                "storageKeys": ["0x" + chance.randbytes(32).hex() for _ in range(chance.randrange(3))],
            }
            for _ in range(chance.randrange(1, 3))
        ]


def _share(total: int, parts: int, number: int) -> int:
    """Size of part ``number`` of ``total`` things in ``parts`` nearly equal parts."""
    return total * (number + 1) // parts - total * number // parts


def _round(transactions: int) -> list[int]:
    """Sizes of the blocks of a round."""
    ends = [transactions * sum(ROUND[: number + 1]) // sum(ROUND) for number in range(len(ROUND))]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _next_base_fee(base_fee: int, gas_used: int) -> int:
    """Base fee of the next block (EIP-1559) where the gas limit does not change."""
    target = GAS_LIMIT // 2
    if gas_used > target:
        return base_fee + max(base_fee * (gas_used - target) // target // 8, 1)
    return base_fee - base_fee * (target - gas_used) // target // 8
