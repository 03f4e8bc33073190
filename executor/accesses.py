"""State keys, what py-evm says about them, and the six state accesses of a value transfer."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from eth_typing import Address, Hash32

from executor.errors import ExecutionMismatch
from executor.trace import StateKind
from executor.transactions import Transaction


class StateView(Protocol):
    """What is read of py-evm's state around a transaction."""

    def get_balance(self, address: Address) -> int: ...

    def get_nonce(self, address: Address) -> int: ...

    def get_code_hash(self, address: Address) -> Hash32: ...


class StateKey(NamedTuple):
    """A key of the state; sorts as the batch's keys do: by kind, then by the bytes of the address."""

    kind: StateKind
    address: bytes


class StateAccess(NamedTuple):
    """A read (``before == after``) or write of a 256-bit value."""

    key: StateKey
    before: int
    after: int


def transfer_keys(transaction: Transaction, coinbase: bytes) -> tuple[StateKey, ...]:
    """Keys of the six accesses of a transfer, in the order of :class:`executor.trace.Access`."""
    return (
        StateKey(StateKind.NONCE, transaction.sender),
        StateKey(StateKind.CODE_HASH, transaction.sender),
        StateKey(StateKind.BALANCE, transaction.sender),
        StateKey(StateKind.CODE_HASH, transaction.recipient),
        StateKey(StateKind.BALANCE, transaction.recipient),
        StateKey(StateKind.BALANCE, coinbase),
    )


def observe(state: StateView, keys: tuple[StateKey, ...]) -> dict[StateKey, int]:
    """Values of ``keys`` in py-evm's state. An account that does not exist reads as nonce 0, balance 0, no code."""
    return {key: _read(state, key) for key in keys}


def _read(state: StateView, key: StateKey) -> int:
    address = Address(key.address)
    match key.kind:
        case StateKind.BALANCE:
            return state.get_balance(address)
        case StateKind.NONCE:
            return state.get_nonce(address)
        case StateKind.CODE_HASH:
            return int.from_bytes(state.get_code_hash(address), "big")


def replay_transfer(
    transaction: Transaction,
    coinbase: bytes,
    base_fee: int,
    gas_used: int,
    before: dict[StateKey, int],
    after: dict[StateKey, int],
) -> tuple[StateAccess, ...]:
    """The accesses of a transfer one after the other, between the values py-evm shows before and after it.

    The sender pays ``gas_used * (base_fee + tip)`` and the value, the coinbase receives ``gas_used * tip`` (EIP-1559).
    Where sender, recipient and coinbase coincide, each access starts from what the one before it left.

    Raises:
        ExecutionMismatch: the values after the replay are not those of py-evm.
    """
    tip = min(transaction.max_priority_fee, transaction.max_fee - base_fee)
    changes = (1, 0, -transaction.value - gas_used * (base_fee + tip), 0, transaction.value, gas_used * tip)
    values = dict(before)
    accesses = []
    for key, change in zip(transfer_keys(transaction, coinbase), changes, strict=True):
        accesses.append(StateAccess(key, values[key], values[key] + change))
        values[key] += change
    if values != after:
        raise ExecutionMismatch(f"replay of transaction 0x{transaction.raw.hex()} gives other values than py-evm")
    return tuple(accesses)
