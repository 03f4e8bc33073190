"""py-evm's state of a fork, telling a recorder what is read and written.

The recorder sees account fields one by one. Where py-evm looks at an account as a whole, that is a read of every field
that decides.
"""

from __future__ import annotations

from typing import Any

from executor.recorder import Recorder
from executor.state_keys import EMPTY_CODE_HASH, StateKind

_NO_CODE = int.from_bytes(EMPTY_CODE_HASH, "big")


def traced_state(base: Any, recorder: Recorder) -> Any:
    """A subclass of the state class ``base`` that tells ``recorder`` what it does while that is active."""

    class TracedState(base):  # type: ignore[misc]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._journal_marks: dict[Any, int] = {}

        # Account fields

        def get_balance(self, address: bytes) -> int:
            balance: int = super().get_balance(address)
            if recorder.active:
                recorder.read(StateKind.BALANCE, address, balance)
            return balance

        def set_balance(self, address: bytes, balance: int) -> None:
            if not recorder.active:
                super().set_balance(address, balance)
                return
            before = super().get_balance(address)
            self._come_into_being(address)
            super().set_balance(address, balance)
            recorder.write(StateKind.BALANCE, address, before, balance)

        def get_nonce(self, address: bytes) -> int:
            nonce: int = super().get_nonce(address)
            if recorder.active:
                recorder.read(StateKind.NONCE, address, nonce)
            return nonce

        def set_nonce(self, address: bytes, nonce: int) -> None:
            if not recorder.active:
                super().set_nonce(address, nonce)
                return
            before = super().get_nonce(address)
            self._come_into_being(address)
            super().set_nonce(address, nonce)
            recorder.write(StateKind.NONCE, address, before, nonce)

        def increment_nonce(self, address: bytes) -> None:
            self.set_nonce(address, self.get_nonce(address) + 1)

        def get_code_hash(self, address: bytes) -> bytes:
            code_hash: bytes = super().get_code_hash(address)
            if recorder.active:
                recorder.read(StateKind.CODE_HASH, address, int.from_bytes(code_hash, "big"))
            return code_hash

        def get_code(self, address: bytes) -> bytes:
            code: bytes = super().get_code(address)
            if recorder.active:
                recorder.code_read(address, super().get_code_hash(address), code)
            return code

        def set_code(self, address: bytes, code: bytes) -> None:
            if not recorder.active:
                super().set_code(address, code)
                return
            before = super().get_code_hash(address)
            self._come_into_being(address)
            super().set_code(address, code)
            recorder.code_written(address, before, super().get_code_hash(address), code)

        def delete_code(self, address: bytes) -> None:
            self.set_code(address, b"")

        # Accounts

        def account_exists(self, address: bytes) -> bool:
            exists: bool = super().account_exists(address)
            if recorder.active:
                recorder.read(StateKind.EXISTS, address, int(exists))
            return exists

        def has_code_or_nonce(self, address: bytes) -> bool:
            # In the order of py-evm, which looks no further than it must.
            return self._is_contract(address) or self.has_storage(address)

        def has_storage(self, address: bytes) -> bool:
            has_storage: bool = super().has_storage(address)
            if recorder.active:
                recorder.read(StateKind.HAS_STORAGE, address, int(has_storage))
            return has_storage

        def account_is_empty(self, address: bytes) -> bool:
            return not self._is_contract(address) and self.get_balance(address) == 0

        def _is_contract(self, address: bytes) -> bool:
            return self.get_nonce(address) != 0 or self.get_code_hash(address) != EMPTY_CODE_HASH

        def touch_account(self, address: bytes) -> None:
            if recorder.active:
                self._come_into_being(address)
            super().touch_account(address)

        def delete_account(self, address: bytes) -> None:
            if recorder.active:
                recorder.write(StateKind.EXISTS, address, int(super().account_exists(address)), 0)
                for kind, before, after in (
                    (StateKind.BALANCE, super().get_balance(address), 0),
                    (StateKind.NONCE, super().get_nonce(address), 0),
                    (StateKind.CODE_HASH, int.from_bytes(super().get_code_hash(address), "big"), _NO_CODE),
                ):
                    if before != after:
                        recorder.write(kind, address, before, after)
                recorder.clear_storage(address, super().has_storage(address))
            super().delete_account(address)

        def _come_into_being(self, address: bytes) -> None:
            """py-evm puts an account into the trie with the first write to it, and with a touch."""
            exists = recorder.known(StateKind.EXISTS, address)
            if exists is None:
                exists = int(super().account_exists(address))
                if exists:
                    recorder.read(StateKind.EXISTS, address, 1)
            if not exists:
                recorder.write(StateKind.EXISTS, address, 0, 1)

        # Storage

        def get_storage(self, address: bytes, slot: int, from_journal: bool = True) -> int:
            value: int = super().get_storage(address, slot, from_journal)
            if recorder.active:
                recorder.read(StateKind.STORAGE if from_journal else StateKind.ORIGINAL, address, value, slot)
            return value

        def set_storage(self, address: bytes, slot: int, value: int) -> None:
            before = super().get_storage(address, slot)
            super().set_storage(address, slot, value)
            recorder.write(StateKind.STORAGE, address, before, value, slot)

        def delete_storage(self, address: bytes) -> None:
            self._come_into_being(address)
            recorder.clear_storage(address, super().has_storage(address))
            super().delete_storage(address)

        def get_transient_storage(self, address: bytes, slot: int) -> bytes:
            value: bytes = super().get_transient_storage(address, slot)
            recorder.read(StateKind.TRANSIENT, address, int.from_bytes(value, "big"), slot)
            return value

        def set_transient_storage(self, address: bytes, slot: int, value: bytes) -> None:
            before = int.from_bytes(super().get_transient_storage(address, slot), "big")
            super().set_transient_storage(address, slot, value)
            recorder.write(StateKind.TRANSIENT, address, before, int.from_bytes(value, "big"), slot)

        # Warm and cold (EIP-2929)

        def is_address_warm(self, address: bytes) -> bool:
            is_warm: bool = super().is_address_warm(address)
            recorder.read(StateKind.WARM_ADDRESS, address, int(is_warm))
            return is_warm

        def mark_address_warm(self, address: bytes) -> None:
            if not super().is_address_warm(address):
                recorder.write(StateKind.WARM_ADDRESS, address, 0, 1)
            super().mark_address_warm(address)

        def is_storage_warm(self, address: bytes, slot: int) -> bool:
            is_warm: bool = super().is_storage_warm(address, slot)
            recorder.read(StateKind.WARM_SLOT, address, int(is_warm), slot)
            return is_warm

        def mark_storage_warm(self, address: bytes, slot: int) -> None:
            if not super().is_storage_warm(address, slot):
                recorder.write(StateKind.WARM_SLOT, address, 0, 1, slot)
            super().mark_storage_warm(address, slot)

        # What is undone

        def snapshot(self) -> Any:
            snapshot = super().snapshot()
            self._journal_marks[snapshot[1]] = recorder.journal_length
            return snapshot

        def revert(self, snapshot: Any) -> None:
            super().revert(snapshot)
            recorder.undo(self._journal_marks.pop(snapshot[1]))

        def commit(self, snapshot: Any) -> None:
            super().commit(snapshot)
            del self._journal_marks[snapshot[1]]

        def lock_changes(self) -> None:
            super().lock_changes()
            self._journal_marks.clear()
            recorder.forget_passing_values()

    return TracedState
