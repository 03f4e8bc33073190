"""The Merkle-Patricia nodes with which a batch's state updates can be repeated from the pre-state root alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping

import rlp
from eth_utils.crypto import keccak
from trie.constants import BLANK_NODE_HASH
from trie.hexary import HexaryTrie

from executor.accesses import StateKey
from executor.errors import ExecutionMismatch
from executor.rules import EMPTY_CODE_HASH
from executor.trace import StateKind

_EMPTY_ACCOUNT = (0, 0, BLANK_NODE_HASH, EMPTY_CODE_HASH)  # nonce, balance, storage root, code hash
_ACCOUNT = rlp.sedes.List(
    [rlp.sedes.big_endian_int, rlp.sedes.big_endian_int, rlp.sedes.Binary(32, 32), rlp.sedes.Binary(32, 32)]
)


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
    """Repeats the state updates of a batch on the trie of the pre-state and records the nodes this takes.

    Args:
        nodes: trie nodes by their hash, at least those of the pre-state.
        root: state root of the pre-state.
    """

    def __init__(self, nodes: Mapping[bytes, bytes], root: bytes) -> None:
        self._nodes = _RecordingNodes(nodes)
        self._trie = HexaryTrie(self._nodes, root)

    def include(self, addresses: Iterable[bytes]) -> None:
        """Record the path to every account of ``addresses`` (or to where it would be)."""
        for address in addresses:
            self._trie.get(keccak(address))

    def apply_block(self, writes: Mapping[StateKey, int], state_root: bytes) -> None:
        """Repeat the writes of one block: the last values of its keys.

        Raises:
            ExecutionMismatch: the new root is not ``state_root``.
        """
        apply_writes(self._trie, writes)
        if self._trie.root_hash != state_root:
            raise ExecutionMismatch(f"the writes of a block do not lead to its state root 0x{state_root.hex()}")

    @property
    def nodes(self) -> list[bytes]:
        """RLP of the nodes of the pre-state's trie that were read, each once, in the order of first use."""
        return list(self._nodes.recorded.values())


def apply_writes(trie: HexaryTrie, writes: Mapping[StateKey, int]) -> None:
    """Write balances and nonces into the account trie; accounts that become empty leave it (EIP-161).

    Raises:
        trie.exceptions.MissingTrieNode: the trie's database lacks a node.
        ValueError: a write to another kind of key.
    """
    accounts: MutableMapping[bytes, list[StateKey]] = {}
    for key in sorted(writes):
        accounts.setdefault(key.address, []).append(key)
    for address, keys in accounts.items():
        path = keccak(address)
        encoded = trie.get(path)
        nonce, balance, storage_root, code_hash = rlp.decode(encoded, _ACCOUNT) if encoded else _EMPTY_ACCOUNT
        for key in keys:
            match key.kind:
                case StateKind.NONCE:
                    nonce = writes[key]
                case StateKind.BALANCE:
                    balance = writes[key]
                case _:
                    raise ValueError(f"writes of {key.kind.name} are not known")
        empty = (nonce, balance, code_hash) == (0, 0, EMPTY_CODE_HASH)
        account = rlp.encode((nonce, balance, storage_root, code_hash), _ACCOUNT)
        # To the trie an empty value means that there is none.
        trie[path] = b"" if empty else account
