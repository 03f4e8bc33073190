"""Merkle-Patricia tries (Yellow Paper, appendix D): roots of lists, and the part of the state trie a witness shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import rlp
from eth_hash.auto import keccak
from trie.exceptions import MissingTrieNode
from trie.hexary import HexaryTrie

from verifier.errors import Invalid
from verifier.headers import EMPTY_TRIE_ROOT
from verifier.rlp_bounded import RlpReader

EMPTY_CODE_HASH: Final = keccak(b"")
MAX_LEAF_BYTES: Final = 128  # an account takes at most 110 bytes

_BRANCH_CHILDREN: Final = 16
_KEY_NIBBLES: Final = 64  # keys of state and storage tries are hashes
_HASH_BYTES: Final = 32  # a node at least this long stands in its parent by its hash
_MAX_NODE_ITEMS: Final = 512  # a branch of 16 nodes within it has less


def ordered_root(values: Sequence[bytes]) -> bytes:
    """Root of the trie that maps rlp(index) to each value, as a header holds it for its transactions and receipts."""
    trie = HexaryTrie({})
    for index, value in enumerate(values):
        trie.set(rlp.encode(index), value)  # type: ignore[no-untyped-call]
    root: bytes = trie.root_hash
    return root


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the state trie. The default is an account that does not exist.

    Attributes:
        nonce: below 2**64.
        balance: below 2**256, wei.
        storage_root, code_hash: 32 bytes.
    """

    nonce: int = 0
    balance: int = 0
    storage_root: bytes = EMPTY_TRIE_ROOT
    code_hash: bytes = EMPTY_CODE_HASH

    @property
    def is_empty(self) -> bool:
        """Whether the account is empty in the sense of EIP-161, whatever its storage root."""
        return self.nonce == 0 and self.balance == 0 and self.code_hash == EMPTY_CODE_HASH

    @property
    def has_only_storage(self) -> bool:
        """Whether the account has storage, but neither nonce nor code: no contract is created there (EIP-7610)."""
        return self.nonce == 0 and self.code_hash == EMPTY_CODE_HASH and self.storage_root != EMPTY_TRIE_ROOT

    def encode(self) -> bytes:
        """RLP of the account, as it stands in a leaf."""
        encoded: bytes = rlp.encode([self.nonce, self.balance, self.storage_root, self.code_hash])
        return encoded

    @classmethod
    def decode(cls, data: bytes) -> Account:
        """Inverse of `encode`, strict.

        Raises:
            Invalid: if `data` is not the canonical encoding of an account.
        """
        outer = RlpReader(data)
        reader = outer.list("account")
        outer.finish("account")
        account = cls(
            nonce=reader.uint("account: nonce", 64),
            balance=reader.uint("account: balance", 256),
            storage_root=reader.fixed("account: storage root", 32),
            code_hash=reader.fixed("account: code hash", 32),
        )
        reader.finish("account")
        return account


@dataclass(frozen=True, slots=True)
class _Node:
    """What a node of a trie refers to: hashes of children, and the values of leaves it holds."""

    children: tuple[bytes, ...]
    values: tuple[bytes, ...]


def _decode_node(data: bytes) -> _Node:
    """A well-formed node of a trie whose keys all have 64 nibbles.

    Such a branch has no value of its own. A node of less than 32 bytes stands inside its parent.

    Raises:
        Invalid: if it is not such a node.
    """
    outer = RlpReader(data, max_items=_MAX_NODE_ITEMS)
    children: list[bytes] = []
    values: list[bytes] = []
    reader = outer.list("node")
    outer.finish("node")
    _read_node(reader, children, values, _KEY_NIBBLES)
    return _Node(tuple(children), tuple(values))


def _read_node(reader: RlpReader, children: list[bytes], values: list[bytes], nibbles_left: int) -> None:
    if nibbles_left < 0:
        raise Invalid("path longer than a key")
    items: list[RlpReader | bytes] = []
    while not reader.at_end:
        if len(items) > _BRANCH_CHILDREN:
            raise Invalid("node with too many items")
        items.append(reader.list("node: child") if reader.at_list else reader.string("node: item", MAX_LEAF_BYTES))
    if len(items) == 2:
        path, second = items
        if not isinstance(path, bytes):
            raise Invalid("a list where a path belongs")
        flag = path[0] >> 4 if path else 4
        if flag > 3 or (flag % 2 == 0 and path[0] & 0xF):
            raise Invalid("path that is not hex-prefix encoded")
        nibbles = 2 * len(path) - (1 if flag % 2 else 2)
        if nibbles > nibbles_left:
            raise Invalid("path longer than a key")
        if flag >= 2:
            if not isinstance(second, bytes) or not second:
                raise Invalid("leaf without a value")
            values.append(second)
            return
        if nibbles == 0:
            raise Invalid("extension without a path")
        _read_child(second, children, values, nibbles_left - nibbles)
        return
    if len(items) != _BRANCH_CHILDREN + 1 or items.pop() != b"":
        raise Invalid("node that is neither a branch without a value nor a pair")
    used = [item for item in items if item != b""]
    if len(used) < 2:
        raise Invalid("branch with less than two children")
    for child in used:
        _read_child(child, children, values, nibbles_left - 1)


def _read_child(child: RlpReader | bytes, children: list[bytes], values: list[bytes], nibbles_left: int) -> None:
    if isinstance(child, RlpReader):
        if child.size >= _HASH_BYTES - 1:  # with its own first byte
            raise Invalid("a node that should stand by its hash")
        _read_node(child, children, values, nibbles_left)
    elif len(child) == _HASH_BYTES:
        children.append(child)
    else:
        raise Invalid("child that is no hash")


class StateTrie:
    """The part of a state trie and of storage tries that a witness shows, to be read and written.

    Args:
        root: of the state trie the witness belongs to, 32 bytes.
        nodes: the witness, RLP of nodes in any order.

    Raises:
        Invalid: if a node is malformed or is part neither of the trie with this root nor of an account's storage.
    """

    def __init__(self, root: bytes, nodes: Sequence[bytes]) -> None:
        self._known = {keccak(node): node for node in nodes}
        # A node that is part of both is looked at as either.
        seen: set[tuple[bytes, bool]] = set()
        pending = [(root, True)]
        while pending:
            node_hash, is_state = pending.pop()
            if node_hash not in self._known or (node_hash, is_state) in seen:
                continue
            seen.add((node_hash, is_state))
            try:
                node = _decode_node(self._known[node_hash])
                pending += [(child, is_state) for child in node.children]
                if is_state:
                    pending += [(Account.decode(value).storage_root, False) for value in node.values]
            except Invalid as error:
                raise Invalid(f"state node 0x{node_hash.hex()}: {error}") from error
        reached = {node_hash for node_hash, _ in seen}
        if len(reached) != len(nodes):
            raise Invalid(f"{len(nodes) - len(reached)} state nodes are not part of the trie with root 0x{root.hex()}")
        self._trie = HexaryTrie(self._known, root)

    @property
    def root(self) -> bytes:
        """Root of the state trie with the writes so far. 32 bytes."""
        root: bytes = self._trie.root_hash
        return root

    def read(self, address: bytes) -> Account | None:
        """The account at an address (20 bytes), None where there is none.

        Raises:
            Invalid: if the witness does not show it.
        """
        try:
            leaf = self._trie.get(keccak(address))
        except MissingTrieNode as error:
            raise Invalid(f"the witness does not show account 0x{address.hex()}") from error
        return Account.decode(leaf) if leaf else None

    def read_slots(self, address: bytes, storage_root: bytes, slots: Sequence[int]) -> list[int]:
        """Values of slots of a storage trie, 0 where there is none.

        Raises:
            Invalid: if the witness does not show one of them, or one is no canonical integer.
        """
        storage = HexaryTrie(self._known, storage_root)
        values = []
        for slot in slots:
            try:
                encoded = storage.get(keccak(slot.to_bytes(32, "big")))
            except MissingTrieNode as error:
                raise Invalid(f"the witness does not show slot {slot:#x} of account 0x{address.hex()}") from error
            reader = RlpReader(encoded or b"\x80")
            values.append(reader.uint("slot", 256))
            reader.finish("slot")
            if encoded and not values[-1]:
                raise Invalid(f"slot {slot:#x} of account 0x{address.hex()} holds a zero")
        return values

    def write_slots(self, address: bytes, storage_root: bytes, values: dict[int, int]) -> bytes:
        """Root of a storage trie after writing slots; zeros are removed.

        They come last: a removal needs its sibling only if nothing that is written keeps the branch above them, so that
        this order needs the fewest nodes.

        Raises:
            Invalid: if the witness does not show the place of one of them.
        """
        storage = HexaryTrie(self._known, storage_root)
        for slot, value in sorted(values.items(), key=lambda item: (not item[1], item[0])):
            try:
                encoded = rlp.encode(value) if value else b""
                storage.set(keccak(slot.to_bytes(32, "big")), encoded)  # type: ignore[no-untyped-call]
            except MissingTrieNode as error:
                raise Invalid(f"the witness does not show the place of slot {slot:#x} of 0x{address.hex()}") from error
        root: bytes = storage.root_hash
        return root

    def write(self, address: bytes, account: Account) -> None:
        """Store an account; an empty one is removed (EIP-161).

        Raises:
            Invalid: if the witness does not show the place.
        """
        try:
            encoded = b"" if account.is_empty else account.encode()
            self._trie.set(keccak(address), encoded)  # type: ignore[no-untyped-call]
        except MissingTrieNode as error:
            raise Invalid(f"the witness does not show the place of account 0x{address.hex()}") from error
