"""The state a batch touches: the leaves of the access tree, their values before, and the state root after every block.

The circuits prove what each operation reads and writes, against an access tree over the values of the leaves. Here
those values are tied to the tries of the headers: the first ones by the witness, every later one by writing the proved
values into the tries and comparing roots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np
from eth_hash.auto import keccak
from numpy.typing import NDArray

from circuits.batch.leaves import LeafCodes, LeafKeys, LeafKind, LeafValues
from circuits.limbs import addresses_from_bytes, u64_from_ints, u64_to_ints, words_from_ints, words_to_ints
from verifier.container import StateKey
from verifier.errors import Invalid
from verifier.tries import Account, StateTrie

_NO_ADDRESS: Final = bytes(20)
_NO_LEAVES: Final = np.zeros(0, dtype=np.uint32)
_NO_WORDS: Final = np.zeros((0, 16), dtype=np.uint16)


def check_keys(keys: Sequence[StateKey], codes: Sequence[bytes], hashes: Mapping[int, bytes]) -> None:
    """Check that the leaves are sorted, each once, and that those with fixed values hold what their keys say.

    Args:
        keys: as the proof file lists them.
        codes: of the leaves of that kind, in order.
        hashes: of the blocks that are known, by number.

    Raises:
        Invalid: naming the leaf.
    """
    kinds = {int(kind) for kind in LeafKind}
    for number, key in enumerate(keys):
        kind, address, slot = key
        if number and key <= keys[number - 1]:
            raise Invalid(f"leaf {number} is not behind the one before it")
        if kind not in kinds:
            raise Invalid(f"leaf {number} is of kind {kind}")
        if kind == LeafKind.ACCOUNT and slot:
            raise Invalid(f"leaf {number} is an account with a slot")
        if kind in (LeafKind.CODE, LeafKind.BLOCK_HASH) and address != _NO_ADDRESS:
            raise Invalid(f"leaf {number} is of a kind without address and has one")
        if kind == LeafKind.BLOCK_HASH and slot not in hashes:
            raise Invalid(f"leaf {number} is the hash of block {slot}, which the batch does not show")
    slots = [slot for kind, _, slot in keys if kind == LeafKind.CODE]
    if len(slots) != len(codes):
        raise Invalid(f"{len(codes)} codes for {len(slots)} leaves of codes")
    for slot, code in zip(slots, codes, strict=True):
        if not code or keccak(code) != slot.to_bytes(32, "big"):
            raise Invalid(f"code of {len(code)} bytes does not have the hash {slot:#066x} of its leaf")


class BatchState:
    """The leaves of a batch, at the batch's start and then after each write.

    Args:
        trie: the pre-state.
        keys, codes, hashes: as `check_keys` accepts them.

    Raises:
        Invalid: if the witness does not show an account or a slot, or shows an account that is empty yet present:
            executing an operation could delete it (EIP-161), which the circuits do not represent.

    Attributes:
        keys, values: of the leaves.
    """

    def __init__(
        self, trie: StateTrie, keys: Sequence[StateKey], codes: Sequence[bytes], hashes: Mapping[int, bytes]
    ) -> None:
        self._trie = trie
        self._list = keys
        self._accounts: dict[bytes, Account] = {}
        slots: dict[bytes, list[int]] = {}
        for kind, address, slot in keys:
            if kind in (LeafKind.ACCOUNT, LeafKind.STORAGE):
                self._read(address)
            if kind == LeafKind.STORAGE:
                slots.setdefault(address, []).append(slot)
        stored = {
            (address, slot): value
            for address, wanted in slots.items()
            for slot, value in zip(
                wanted, trie.read_slots(address, self._accounts[address].storage_root, wanted), strict=True
            )
        }
        values, nonces, code_hashes, alone = [], [], [], []
        for kind, address, slot in keys:
            account = self._accounts[address] if kind == LeafKind.ACCOUNT else None
            first = {
                LeafKind.ACCOUNT: account.balance if account else 0,
                LeafKind.STORAGE: stored.get((address, slot), 0),
                LeafKind.BLOCK_HASH: int.from_bytes(hashes.get(slot, b""), "big"),
            }
            values.append(first.get(LeafKind(kind), 0))
            nonces.append(account.nonce if account else 0)
            code_hashes.append(int.from_bytes(account.code_hash, "big") if account else 0)
            alone.append(account is not None and account.has_only_storage)
        self.keys = LeafKeys(
            np.array([kind for kind, _, _ in keys], dtype=np.uint8),
            addresses_from_bytes([address for _, address, _ in keys]),
            words_from_ints([slot for _, _, slot in keys]),
        )
        self.values = LeafValues(
            words_from_ints(values),
            u64_from_ints(nonces),
            words_from_ints(code_hashes),
            np.array(alone, dtype=np.uint8),
        )
        self._codes = codes

    @cached_property
    def codes(self) -> LeafCodes:
        """Of the leaves. Their trees are hashed when they are first asked for."""
        return LeafCodes.of(list(self._codes))

    def _read(self, address: bytes) -> None:
        if address not in self._accounts:
            account = self._trie.read(address)
            if account is not None and account.is_empty:
                raise Invalid(f"account 0x{address.hex()} is empty but present in the pre-state")
            self._accounts[address] = account or Account()

    def write(
        self,
        leaves: NDArray[np.integer],
        values: NDArray[np.uint16],
        nonces: NDArray[np.uint16],
        code_leaves: NDArray[np.integer] = _NO_LEAVES,
        code_hashes: NDArray[np.uint16] = _NO_WORDS,
    ) -> bytes:
        """Write values and codes in order, the later one winning, and bring the tries up to date.

        Args:
            leaves: (m,) indices of accounts and slots.
            values, nonces: (m, 16), (m, 4), little-endian limbs.
            code_leaves, code_hashes: (n,) indices of accounts, (n, 16) little-endian limbs.

        Returns:
            The state root afterwards, 32 bytes.

        Raises:
            Invalid: if the witness does not show the place of an account or a slot that appears or disappears.
        """
        # The first occurrence in reverse order is the last write of a leaf.
        touched, last = np.unique(np.asarray(leaves)[::-1], return_index=True)
        self.values.value[touched] = values[::-1][last]
        self.values.nonce[touched] = nonces[::-1][last]
        changed: dict[bytes, dict[int, int]] = {}
        coded, last = np.unique(np.asarray(code_leaves)[::-1], return_index=True)
        self.values.code_hash[coded] = code_hashes[::-1][last]
        for leaf, code_hash in zip(coded.tolist(), words_to_ints(self.values.code_hash[coded]), strict=True):
            address = self._list[leaf][1]
            changed.setdefault(address, {})
            self._accounts[address] = replace(self._accounts[address], code_hash=code_hash.to_bytes(32, "big"))
        slot_values = words_to_ints(self.values.value[touched])
        account_nonces = u64_to_ints(self.values.nonce[touched])
        for leaf, value, nonce in zip(touched.tolist(), slot_values, account_nonces, strict=True):
            kind, address, slot = self._list[leaf]
            slots = changed.setdefault(address, {})
            if kind == LeafKind.STORAGE:
                slots[slot] = value
                continue
            before = self._accounts[address]
            self._accounts[address] = Account(nonce, value, before.storage_root, before.code_hash)
        for address in sorted(changed):
            account = self._accounts[address]
            if changed[address]:
                root = self._trie.write_slots(address, account.storage_root, changed[address])
                account = Account(account.nonce, account.balance, root, account.code_hash)
                self._accounts[address] = account
        # Those that disappear come last, as zeros do among slots.
        for address in sorted(changed, key=lambda address: (self._accounts[address].is_empty, address)):
            self._trie.write(address, self._accounts[address])
        return self._trie.root
