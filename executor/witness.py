"""The Merkle-Patricia nodes with which a batch's state updates can be repeated from the pre-state root alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, NamedTuple

import rlp
from eth_utils.crypto import keccak
from trie.constants import BLANK_NODE_HASH
from trie.exceptions import MissingTrieNode
from trie.hexary import HexaryTrie

from executor.errors import ExecutionMismatch
from executor.rlp_lists import decode_list
from executor.state_keys import EMPTY_CODE_HASH, StateKey, StateKind

_MAX_NODE_NESTING = (
    8  # a node stands in another one if it takes less than 32 bytes: a branch that has no value takes 17
)

_ACCOUNT = rlp.sedes.List(
    [rlp.sedes.big_endian_int, rlp.sedes.big_endian_int, rlp.sedes.Binary(32, 32), rlp.sedes.Binary(32, 32)]
)


class Account(NamedTuple):
    """An account as in the account trie."""

    nonce: int
    balance: int  # wei
    storage_root: bytes
    code_hash: bytes

    @property
    def empty(self) -> bool:
        """Empty by EIP-161: no balance, no nonce, no code."""
        return (self.nonce, self.balance, self.code_hash) == (0, 0, EMPTY_CODE_HASH)


NO_ACCOUNT = Account(0, 0, BLANK_NODE_HASH, EMPTY_CODE_HASH)


class StateTrie:
    """Accounts and storage slots below a state root.

    Args:
        nodes: trie nodes by their hash. Reads and writes need those on their way, deletions siblings too. Writes go
            to this mapping.
        root: state root.

    All methods raise ``trie.exceptions.MissingTrieNode`` where a node is needed that ``nodes`` lacks.
    """

    def __init__(self, nodes: MutableMapping[bytes, bytes], root: bytes) -> None:
        self.nodes = nodes
        self._accounts = HexaryTrie(nodes, root)

    @property
    def root(self) -> bytes:
        """The state root."""
        return bytes(self._accounts.root_hash)

    def account(self, address: bytes) -> Account | None:
        """An account; ``None`` if there is none."""
        encoded = self._accounts.get(keccak(address))
        return Account(*rlp.decode(encoded, _ACCOUNT)) if encoded else None

    def storage(self, address: bytes, slot: int) -> int:
        """Value of a storage slot; 0 if there is no such account."""
        return self.slots(address, [slot])[0]

    def slots(self, address: bytes, slots: Iterable[int]) -> list[int]:
        """Values of storage slots; 0 if there is no such account."""
        storage = HexaryTrie(self.nodes, (self.account(address) or NO_ACCOUNT).storage_root)
        encoded = [storage.get(_slot_path(slot)) for slot in slots]
        return [int(rlp.decode(value, rlp.sedes.big_endian_int)) if value else 0 for value in encoded]

    def code_hash(self, address: bytes) -> bytes:
        """Hash of the code of an account; that of the empty string if there is no such account."""
        return (self.account(address) or NO_ACCOUNT).code_hash

    def value(self, key: StateKey) -> int:
        """Value of a key of a lasting kind."""
        if key.kind == StateKind.STORAGE:
            return self.storage(key.address, key.slot)
        found = self.account(key.address)
        account = found or NO_ACCOUNT
        return {
            StateKind.EXISTS: int(found is not None),
            StateKind.HAS_STORAGE: int(account.storage_root != BLANK_NODE_HASH),
            StateKind.BALANCE: account.balance,
            StateKind.NONCE: account.nonce,
            StateKind.CODE_HASH: int.from_bytes(account.code_hash, "big"),
        }[key.kind]

    def apply(self, changes: Iterable[AccountChange]) -> None:
        """Change accounts as a block does: slots that become zero and accounts that disappear come last.

        This is the order that needs the fewest nodes: a deletion reads a sibling only if no insertion keeps the branch
        above both of them.
        """
        self.apply_in_order(sorted(map(_insertions_first, changes), key=lambda change: change.exists is False))

    def apply_in_order(self, changes: Iterable[AccountChange]) -> None:
        """Change accounts one after the other, and slots of each in the order of its mapping."""
        for change in changes:
            before = self.account(change.address)
            account = before or NO_ACCOUNT
            root = BLANK_NODE_HASH if change.wipes_storage else account.storage_root
            storage = HexaryTrie(self.nodes, root)
            for slot, value in change.storage.items():
                # To the trie an empty value means that there is none.
                storage[_slot_path(slot)] = rlp.encode(value) if value else b""
            account = Account(
                nonce=account.nonce if change.nonce is None else change.nonce,
                balance=account.balance if change.balance is None else change.balance,
                storage_root=bytes(storage.root_hash),
                code_hash=account.code_hash if change.code_hash is None else change.code_hash,
            )
            exists = before is not None if change.exists is None else change.exists
            if not exists and not account.empty:
                raise ExecutionMismatch(f"account 0x{change.address.hex()} was changed, but does not exist")
            self._accounts[keccak(change.address)] = rlp.encode(account, _ACCOUNT) if exists else b""


def check_nodes(nodes: Mapping[bytes, bytes], root: bytes) -> None:
    """Check the form of those nodes (by their hash) that belong to the state below a root.

    Reading and writing the state then raises nothing but ``MissingTrieNode``.

    Raises:
        ValueError: one is no node of a trie whose paths are hashes (yellow paper, appendix D), or holds something else
            than accounts or slots.
    """
    pending = [(root, True)]
    seen: set[tuple[bytes, bool]] = set()
    while pending:
        node_hash, is_state = place = pending.pop()
        if node_hash in nodes and node_hash != BLANK_NODE_HASH and place not in seen:
            seen.add(place)
            try:
                children, values = _references(decode_list(nodes[node_hash], _MAX_NODE_NESTING), 2 * len(root))
                pending += [(child, is_state) for child in children]
                pending += [(storage, False) for storage in map(_held, values, repeat(is_state)) if storage is not None]
            except (ValueError, TypeError, rlp.exceptions.RLPException) as error:
                raise ValueError(f"malformed node 0x{node_hash.hex()}: {error}") from None


def _references(node: Any, nibbles: int) -> tuple[list[bytes], list[bytes]]:
    """The hashes and the values in a node; ``nibbles`` is how many of a path lead from it to a value at most."""
    match node:
        case bytes() if len(node) == 32:
            return [node], []
        case [bytes(path), below] if path:
            flag = path[0] >> 4
            left = nibbles - 2 * len(path) + 2 - flag % 2
            if flag <= 3 and left >= 0 and (flag % 2 or not path[0] & 15):
                if flag >= 2 and isinstance(below, bytes) and below:
                    return [], [below]
                if flag < 2 and left < nibbles:
                    return _references(below, left)
        case [*branch, b""] if len(branch) == 16 and nibbles:
            parts = [_references(child, nibbles - 1) for child in branch if child != b""]
            if len(parts) > 1:
                return [h for hashes, _ in parts for h in hashes], [v for _, values in parts for v in values]
    raise ValueError("not a node of a trie")


def _held(value: bytes, is_state: bool) -> bytes | None:
    """The storage root of an account, nothing of a slot's value."""
    if not is_state:
        item = rlp.decode(value)
        if not isinstance(item, bytes) or not 0 < len(item) <= 32 or item[0] == 0 or rlp.encode(item) != value:
            raise ValueError("a slot's value out of range, or not canonical")
        return None
    account = Account(*rlp.decode(value, _ACCOUNT))
    if account.nonce >= 2**64 or account.balance >= 2**256 or rlp.encode(account, _ACCOUNT) != value:
        raise ValueError("an account out of range, or not canonical")
    return account.storage_root


def _slot_path(slot: int) -> bytes:
    return bytes(keccak(slot.to_bytes(32, "big")))


@dataclass
class AccountChange:
    """What a block changes in an account; ``None`` for what it leaves."""

    address: bytes
    exists: bool | None = None  # afterwards
    nonce: int | None = None
    balance: int | None = None
    code_hash: bytes | None = None
    wipes_storage: bool = False  # before the slots are written
    storage: dict[int, int] = field(default_factory=dict)


def changes_of(values: Mapping[StateKey, int]) -> list[AccountChange]:
    """Changes of accounts from the last values of state keys, in the order of the sorted keys' addresses.

    Raises:
        ValueError: a key of another kind than the lasting ones.
    """
    changes: dict[bytes, AccountChange] = {}
    for key in sorted(values):
        change = changes.setdefault(key.address, AccountChange(key.address))
        value = values[key]
        match key.kind:
            case StateKind.NONCE:
                change.nonce = value
            case StateKind.BALANCE:
                change.balance = value
            case StateKind.CODE_HASH:
                change.code_hash = value.to_bytes(32, "big")
            case StateKind.STORAGE:
                change.storage[key.slot] = value
            case StateKind.HAS_STORAGE:
                change.wipes_storage = not value
            case StateKind.EXISTS:
                change.exists = bool(value)
            case _:
                raise ValueError(f"{key.kind.name} is not in the state trie")
    return list(changes.values())


class _RecordingNodes(dict[bytes, bytes]):
    """Trie nodes: reads fall through to the pre-state's nodes, which are recorded; writes stay here."""

    def __init__(self, base: Mapping[bytes, bytes]) -> None:
        super().__init__()
        self._base = base
        self.recorded: dict[bytes, bytes] = {}

    def __missing__(self, node_hash: bytes) -> bytes:
        node = bytes(self._base[node_hash])
        self.recorded[node_hash] = node
        return node


class WitnessBuilder:
    """Repeats the state updates of a batch on the tries of the pre-state and records the nodes this takes.

    Which siblings deletions read depends on the order of the updates. The witness is for :meth:`StateTrie.apply`, which
    reads the fewest. As far as ``nodes`` has what they take, it is also for the order of :func:`changes_of` and for
    deletions first, which is as much as any other order reads.

    Args:
        nodes: trie nodes by their hash, at least those of the pre-state that insertions before deletions read.
        root: state root of the pre-state.
    """

    def __init__(self, nodes: Mapping[bytes, bytes], root: bytes) -> None:
        self._nodes = _RecordingNodes(nodes)
        self._pre_state = StateTrie(self._nodes, root)
        self._state = StateTrie(self._nodes, root)

    def include(self, keys: Iterable[StateKey]) -> None:
        """Record the path to every account and slot of ``keys`` (or to where it would be)."""
        slots: dict[bytes, list[int]] = {}
        for key in keys:
            slots.setdefault(key.address, [])
            if key.kind in (StateKind.STORAGE, StateKind.ORIGINAL):
                slots[key.address].append(key.slot)
        for address, touched in slots.items():
            self._pre_state.slots(address, dict.fromkeys(touched))

    def apply_block(self, writes: Mapping[StateKey, int], state_root: bytes) -> None:
        """Repeat the writes of one block: the last values of its keys.

        Raises:
            ExecutionMismatch: the new root is not ``state_root``.
            trie.exceptions.MissingTrieNode: ``nodes`` lacks one.
        """
        changes = changes_of(writes)
        before = self._state.root
        self._state.apply(changes)
        self._compare(self._state, state_root)
        if any(map(_deletes, changes)):
            deletions_first = sorted(map(_deletions_first, changes), key=lambda change: change.exists is not False)
            for ordered in (changes, deletions_first):
                state = StateTrie(self._nodes, before)
                try:
                    state.apply_in_order(ordered)
                except MissingTrieNode:
                    continue  # a witness that was made for insertions first: this order cannot be served
                self._compare(state, state_root)

    def _compare(self, state: StateTrie, state_root: bytes) -> None:
        if state.root != state_root:
            raise ExecutionMismatch(f"the writes of a block do not lead to its state root 0x{state_root.hex()}")

    @property
    def nodes(self) -> list[bytes]:
        """RLP of the nodes of the pre-state's tries that were read, each once, in the order of first use."""
        return list(self._nodes.recorded.values())


def _deletes(change: AccountChange) -> bool:
    return change.exists is False or 0 in change.storage.values()


def _insertions_first(change: AccountChange) -> AccountChange:
    return replace(change, storage=dict(sorted(change.storage.items(), key=lambda item: item[1] == 0)))


def _deletions_first(change: AccountChange) -> AccountChange:
    return replace(change, storage=dict(sorted(change.storage.items(), key=lambda item: item[1] != 0)))
