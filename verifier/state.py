"""The state a batch touches: which keys, their values before, and the state root after every block.

The circuits prove what each transaction reads and writes, against an access tree over the values of the keys. Here
those values are tied to the state tries of the headers: the first ones by the witness, every later one by writing the
proved values into the trie and comparing roots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from circuits.limbs import words_from_ints, words_to_ints
from verifier.container import Effects, StateKey
from verifier.errors import Invalid
from verifier.transactions import Transaction
from verifier.tries import Account, StateTrie

BALANCE: Final = 1
NONCE: Final = 2
CODE_HASH: Final = 3

BEACON_ROOTS_ADDRESS: Final = bytes.fromhex("000F3df6D732807Ef1319fB7B8bB8522d0Beac02")  # EIP-4788


def needed_keys(transactions: Sequence[Transaction], coinbases: Sequence[bytes]) -> list[StateKey]:
    """The state keys that transactions touch, sorted by kind and address.

    Args:
        transactions: of the batch.
        coinbases: for each transaction the coinbase of its block, 20 bytes.
    """
    keys = set()
    for transaction, coinbase in zip(transactions, coinbases, strict=True):
        for address in (transaction.sender, transaction.to):
            keys |= {(BALANCE, address), (CODE_HASH, address)}
        keys |= {(NONCE, transaction.sender), (BALANCE, coinbase)}
    return sorted(keys)


@dataclass(frozen=True, slots=True, eq=False)
class Leaves:
    """Where the writes of n transactions go in the access tree.

    Attributes:
        nonce: (n,) int64, leaf of the sender's nonce.
        balances: (n, 3) int64, leaves of the balances of sender, recipient and coinbase.
    """

    nonce: NDArray[np.int64]
    balances: NDArray[np.int64]


def check_keys(keys: Sequence[StateKey], transactions: Sequence[Transaction], coinbases: Sequence[bytes]) -> Leaves:
    """Check that the keys are exactly those the transactions touch, in order, and give the leaves of each transaction.

    Args:
        keys: as the proof file lists them.
        transactions, coinbases: as for `needed_keys`.

    Raises:
        Invalid: if a key is missing, superfluous, repeated or out of order.
    """
    needed = needed_keys(transactions, coinbases)
    for number, (given, expected) in enumerate(zip(keys, needed, strict=False)):
        if given != expected:
            raise Invalid(f"key {number} is {_name(given)} instead of {_name(expected)}")
    if len(keys) != len(needed):
        raise Invalid(f"{len(keys)} keys instead of {len(needed)}")
    index = {key: number for number, key in enumerate(keys)}
    return Leaves(
        nonce=np.array([index[NONCE, t.sender] for t in transactions], dtype=np.int64),
        balances=np.array(
            [
                [index[BALANCE, t.sender], index[BALANCE, t.to], index[BALANCE, coinbase]]
                for t, coinbase in zip(transactions, coinbases, strict=True)
            ],
            dtype=np.int64,
        ).reshape(-1, 3),
    )


def _name(key: StateKey) -> str:
    kind, address = key
    return f"({kind}, 0x{address.hex()})"


def check_beacon_roots(trie: StateTrie) -> None:
    """Check that the system call of EIP-4788 does nothing, because no account stands at its address.

    No block of the batch can change this: transfers create no code.

    Raises:
        Invalid: if there is code or an empty account, or the witness does not show that there is none.
    """
    account = trie.read(BEACON_ROOTS_ADDRESS)
    if account is not None and (account.code_hash != Account().code_hash or account.is_empty):
        raise Invalid("the beacon roots contract exists; its system call is not proved")


class BatchState:
    """The accounts and state keys of a batch, at the batch's start and then after each write.

    Args:
        trie: the pre-state.
        keys: sorted state keys.

    Raises:
        Invalid: if the witness does not show an account, or shows one that is empty yet present. Executing a transfer
            could delete that one (EIP-161), which the circuits do not represent.

    Attributes:
        values: (number of keys, 16) uint16, the value of each key as a word of little-endian limbs.
    """

    def __init__(self, trie: StateTrie, keys: Sequence[StateKey]) -> None:
        self._trie = trie
        self._keys = keys
        self._index = {key: number for number, key in enumerate(keys)}
        self._accounts: dict[bytes, Account] = {}
        for _, address in keys:
            if address not in self._accounts:
                account = trie.read(address)
                if account is not None and account.is_empty:
                    raise Invalid(f"account 0x{address.hex()} is empty but present in the pre-state")
                self._accounts[address] = account or Account()
        self.values = words_from_ints([self._value(key) for key in keys])

    def _value(self, key: StateKey) -> int:
        kind, address = key
        account = self._accounts[address]
        if kind == BALANCE:
            return account.balance
        if kind == NONCE:
            return account.nonce
        return int.from_bytes(account.code_hash, "big")

    def write(self, leaves: NDArray[np.int64], words: NDArray[np.uint16]) -> bytes:
        """Write values in order, the later one winning, and bring the trie up to date.

        Args:
            leaves: (m,) indices of keys.
            words: (m, 16) little-endian limbs.

        Returns:
            The state root afterwards, 32 bytes.

        Raises:
            Invalid: if the witness does not show the place of an account that appears or disappears.
        """
        # The first occurrence in reverse order is the last write of a key.
        touched, last = np.unique(leaves[::-1], return_index=True)
        self.values[touched] = words[::-1][last]
        for address in sorted({self._keys[leaf][1] for leaf in touched.tolist()}):
            account = self._accounts[address].with_values(
                nonce=self._current(NONCE, address), balance=self._current(BALANCE, address)
            )
            self._trie.write(address, account)
        return self._trie.root

    def _current(self, kind: int, address: bytes) -> int | None:
        leaf = self._index.get((kind, address))
        return None if leaf is None else words_to_ints(self.values[leaf : leaf + 1])[0]


def ordered_writes(
    leaves: Leaves, effects: Effects, first: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """The writes of the transactions `first` to `end` (exclusive) in the order they happen.

    Returns:
        Leaves (4 m,) and words (4 m, 16): for each transaction the sender's nonce, then the balances of sender,
        recipient and coinbase.
    """
    count = end - first
    order = np.concatenate([leaves.nonce[first:end, None], leaves.balances[first:end]], axis=1)
    words = np.zeros((count, 4, 16), dtype=np.uint16)
    words[:, 0, :4] = effects.nonce[first:end]
    words[:, 1:] = effects.balances[first:end]
    return order.reshape(-1), words.reshape(-1, 16)
