"""Merkle-Patricia tries (Yellow Paper, appendix D): roots of lists, and the part of the state trie a witness shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
_KEY_NIBBLES: Final = 64  # keys of the state trie are hashes


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

    def with_values(self, nonce: int | None, balance: int | None) -> Account:
        """The account with another nonce and balance, where they are given."""
        return replace(
            self,
            nonce=self.nonce if nonce is None else nonce,
            balance=self.balance if balance is None else balance,
        )

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


def _node_children(node: bytes) -> list[bytes]:
    """Hashes of the children of a node of the state trie, which must be well-formed.

    All keys have the same length and all values are accounts of at least 70 bytes, so a branch has no value of its own
    and no node is small enough to stand inside its parent.

    Raises:
        Invalid: if it is not such a node.
    """
    outer = RlpReader(node, max_items=_BRANCH_CHILDREN + 2)
    reader = outer.list("node")
    outer.finish("node")
    path_or_child = reader.string("node: first item", 33)
    second = reader.string("node: second item", MAX_LEAF_BYTES)
    if reader.at_end:
        flag = path_or_child[0] >> 4 if path_or_child else 4
        if flag > 3 or (flag % 2 == 0 and path_or_child[0] & 0xF):
            raise Invalid("path that is not hex-prefix encoded")
        nibbles = 2 * len(path_or_child) - (1 if flag % 2 else 2)
        if nibbles > _KEY_NIBBLES:
            raise Invalid("path longer than a key")
        if flag >= 2:
            return []
        if nibbles == 0 or len(second) != 32:
            raise Invalid("extension without a path or a hashed child")
        return [second]
    items = [path_or_child, second]
    items += [reader.string("branch: child", 32) for _ in range(_BRANCH_CHILDREN - 2)]
    if reader.string("branch: value", 0):
        raise Invalid("branch with a value")
    reader.finish("branch")
    children = [item for item in items if item]
    if len(children) < 2 or any(len(child) != 32 for child in children):
        raise Invalid("branch with less than two children, or with one that is not hashed")
    return children


class StateTrie:
    """The part of a state trie that a witness shows: accounts can be read and written where it shows enough.

    Args:
        root: of the state trie the witness belongs to, 32 bytes.
        nodes: the witness, RLP of nodes in any order.

    Raises:
        Invalid: if a node is malformed or is not part of the trie with this root.
    """

    def __init__(self, root: bytes, nodes: Sequence[bytes]) -> None:
        known = {keccak(node): node for node in nodes}
        reached: set[bytes] = set()
        pending = [root]
        while pending:
            node_hash = pending.pop()
            if node_hash in known and node_hash not in reached:
                reached.add(node_hash)
                try:
                    pending += _node_children(known[node_hash])
                except Invalid as error:
                    raise Invalid(f"state node 0x{node_hash.hex()}: {error}") from error
        if len(reached) != len(nodes):
            raise Invalid(f"{len(nodes) - len(reached)} state nodes are not part of the trie with root 0x{root.hex()}")
        self._trie = HexaryTrie(known, root)

    @property
    def root(self) -> bytes:
        """Root of the trie with the writes so far. 32 bytes."""
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
