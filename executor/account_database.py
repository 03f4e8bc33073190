"""py-evm's database of accounts, which makes the changes of a block to the tries in the order that needs least.

Deleting a key may leave a branch of a trie with one child. The branch disappears then, and what takes its place depends
on what kind of node the child is, so that the child must be known though nothing read it. Where a key that is inserted
keeps the branch, it need not be, if the insertion comes first: a witness of a client that inserts first does without
it. py-evm makes the changes of storage in the order in which they were first written, and deletes accounts first.
"""

from __future__ import annotations

from typing import Any

from eth.db.account import AccountDB
from eth.db.diff import DBDiff
from eth.db.storage import AccountStorageDB
from eth.vm.interrupt import MissingAccountTrieNode
from eth_typing import Address, Hash32
from trie.exceptions import MissingTrieNode


class InsertingStorageDB(AccountStorageDB):
    """The storage of an account: slots that become zero leave its trie after the others were written."""

    def make_storage_root(self) -> None:
        self.lock_changes()
        diff = self._locked_changes.diff()
        self._locked_changes.reset()
        for key, value in diff.pending_items():
            self._storage_cache[key] = value
        for key in diff.deleted_keys():
            del self._storage_cache[key]


class InsertingAccountDB(AccountDB):
    """The accounts: those that disappear leave the trie after the others were written."""

    def _get_address_store(self, address: Address) -> Any:
        if address not in self._account_stores:
            root = self._get_storage_root(address)
            self._account_stores[address] = InsertingStorageDB(self._raw_store_db, root, address)
        return self._account_stores[address]

    def _apply_account_diff_without_proof(self, diff: DBDiff, trie: Any) -> None:
        try:
            for key, value in diff.pending_items():
                trie[key] = value
            for key in diff.deleted_keys():
                del trie[key]
        except MissingTrieNode as error:
            raise MissingAccountTrieNode(
                Hash32(error.missing_node_hash), self._root_hash_at_last_persist, error.requested_key
            ) from error
