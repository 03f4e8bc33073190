"""Keys of the state: what an execution reads and writes beyond stack and memory."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

EMPTY_CODE_HASH = bytes.fromhex("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470")  # keccak256("")


class StateKind(IntEnum):
    """Kind of a state key.

    BALANCE to HAS_STORAGE last: their values pass from transaction to transaction. The others begin anew with
    every transaction (TRANSIENT, WARM_*, CREATED, DESTROYED and REFUND at 0; ORIGINAL with the value of the slot).
    """

    BALANCE = 1  # wei
    NONCE = 2
    CODE_HASH = 3  # keccak256 of the code; that of the empty string for an account that does not exist
    STORAGE = 4
    EXISTS = 5  # 1: the account is in the account trie
    HAS_STORAGE = 6  # 1: the storage that the account has in the pre-state is not empty; 0 when that was wiped
    TRANSIENT = 7  # EIP-1153
    WARM_ADDRESS = 8  # EIP-2929; precompiles are 1 from the start of a transaction
    WARM_SLOT = 9  # EIP-2929
    ORIGINAL = 10  # value of a slot before the transaction (EIP-2200); only read
    CREATED = 11  # 1: the account was created by this transaction (EIP-6780)
    DESTROYED = 12  # 1: the account is deleted at the end of this transaction
    REFUND = 13  # gas; one counter, its address is 0


LASTING_KINDS = frozenset(kind for kind in StateKind if kind <= StateKind.HAS_STORAGE)


class StateKey(NamedTuple):
    """A key of the state; sorts as the keys of a trace do: by kind, bytes of the address, slot."""

    kind: StateKind
    address: bytes  # 20 bytes
    slot: int = 0  # of STORAGE, TRANSIENT, WARM_SLOT and ORIGINAL
