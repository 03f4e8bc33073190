"""The pre-state of a batch with contracts in it: py-evm runs their deployments, and what they leave is the genesis."""

from __future__ import annotations

from typing import Any, cast

import rlp
from eth.constants import BLANK_ROOT_HASH, CREATE_CONTRACT_ADDRESS
from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.cancun.state import CancunState
from eth.vm.message import Message
from eth_typing import Address, BlockNumber, Hash32
from eth_utils.crypto import keccak

CALL_GAS = 1_000_000_000  # no limit for the calls of a set-up


class _RecordingState(CancunState):
    """Remembers which accounts and slots were written, as the state itself only knows their hashes."""

    accounts: set[bytes]
    written: dict[tuple[bytes, int], int]  # by address and slot: the last value that is not zero

    def set_balance(self, address: Address, balance: int) -> None:
        self.accounts.add(address)
        super().set_balance(address, balance)

    def set_nonce(self, address: Address, nonce: int) -> None:
        self.accounts.add(address)
        super().set_nonce(address, nonce)

    def increment_nonce(self, address: Address) -> None:
        self.accounts.add(address)
        super().increment_nonce(address)

    def set_storage(self, address: Address, slot: int, value: int) -> None:
        self.written[address, slot] = value or self.written.get((address, slot), 0)
        super().set_storage(address=address, slot=slot, value=value)


class Predeployment:
    """Accounts before the batch.

    Args:
        chain_id: what CHAINID gives to constructors.
        timestamp: seconds; what TIMESTAMP gives.
    """

    def __init__(self, chain_id: int, timestamp: int) -> None:
        context = ExecutionContext(
            coinbase=Address(bytes(20)),
            timestamp=timestamp,
            block_number=BlockNumber(0),
            difficulty=0,
            mix_hash=Hash32(bytes(32)),
            gas_limit=CALL_GAS,
            prev_hashes=[],
            chain_id=chain_id,
            base_fee_per_gas=0,
            excess_blob_gas=0,
        )
        self._state = _RecordingState(AtomicDB(), context, BLANK_ROOT_HASH)
        self._state.accounts = set()
        self._state.written = {}

    def fund(self, address: bytes, wei: int) -> None:
        """Give an account its balance at the start of the batch."""
        self._state.set_balance(Address(address), wei)

    def put_code(self, address: bytes, code: bytes) -> None:
        """Put runtime code at an address, without a constructor."""
        self._state.set_code(Address(address), code)
        self._state.set_nonce(Address(address), 1)

    def put_storage(self, address: bytes, storage: dict[int, int]) -> None:
        """Set storage slots of a contract."""
        for slot, value in storage.items():
            self._state.set_storage(Address(address), slot, value)

    def create(self, creator: bytes, code: bytes) -> bytes:
        """Run a creation transaction of an account; returns the address of the contract."""
        nonce = self._state.get_nonce(Address(creator))
        address = created_address(creator, nonce)
        self._state.set_nonce(Address(creator), nonce + 1)
        self._run(creator, CREATE_CONTRACT_ADDRESS, 0, b"", code, address)
        return address

    def call(self, sender: bytes, to: bytes, data: bytes, value: int = 0) -> bytes:
        """Run a message call; returns its output. The calls of a set-up do not fail and do not count as nonces."""
        code = self._state.get_code(Address(to))
        return self._run(sender, to, value, data, code)

    def written(self, address: bytes) -> dict[int, int]:
        """Every slot of a contract that was written, with the last value that was not zero."""
        return {slot: value for (account, slot), value in self._state.written.items() if account == address and value}

    def alloc(self) -> dict[str, dict[str, Any]]:
        """The accounts, as ``alloc`` of a genesis file."""
        storage: dict[bytes, dict[str, str]] = {}
        for address, slot in sorted(self._state.written):
            value = self._state.get_storage(Address(address), slot)
            if value:
                storage.setdefault(address, {})["0x" + slot.to_bytes(32, "big").hex()] = hex(value)
        return {
            "0x" + address.hex(): self._account(address) | ({"storage": storage[address]} if address in storage else {})
            for address in sorted(self._state.accounts)
            if not self._state.account_is_empty(Address(address))
        }

    def _account(self, address: bytes) -> dict[str, Any]:
        state, key = self._state, Address(address)
        account: dict[str, Any] = {"balance": hex(state.get_balance(key))}
        if nonce := state.get_nonce(key):
            account["nonce"] = hex(nonce)
        if code := state.get_code(key):
            account["code"] = "0x" + code.hex()
        return account

    def _run(
        self, sender: bytes, to: bytes, value: int, data: bytes, code: bytes, created: bytes | None = None
    ) -> bytes:
        message = Message(
            gas=CALL_GAS,
            to=Address(to),
            sender=Address(sender),
            value=value,
            data=data,
            code=code,
            # No address: a message call.
            create_address=cast(Address, created),
        )
        context = self._state.transaction_context_class(gas_price=0, origin=Address(sender))
        computations = self._state.computation_class
        apply = computations.apply_message if created is None else computations.apply_create_message
        computation = apply(self._state, message, context)
        computation.raise_if_error()
        # As at the end of a transaction: the next call starts with cold slots and new original values.
        self._state.lock_changes()
        self._state.clear_transient_storage()
        return bytes(computation.output)


def created_address(creator: bytes, nonce: int) -> bytes:
    """Address of the contract that ``creator`` creates by a transaction or by CREATE (yellow paper, section 7)."""
    return keccak(rlp.encode([creator, nonce]))[12:]


def created2_address(creator: bytes, salt: bytes, code: bytes) -> bytes:
    """Address of the contract that ``creator`` creates by CREATE2 (EIP-1014)."""
    return keccak(b"\xff" + creator + salt + keccak(code))[12:]
