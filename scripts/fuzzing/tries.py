"""Tries of states as trees, and the witness of one that is damaged or made up."""

from __future__ import annotations

from collections.abc import Sequence

import rlp
from eth_hash.auto import keccak
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from scripts.fuzzing.trees import LIMITS, Embedded, Tree, byte_strings, damaged, mostly, rlp_leaves, to_rlp
from verifier.tries import Account

STATE_ROOT = 3  # place in a header
STORAGE_ROOT = 2  # place in an account


class Linked(list[Tree]):
    """A node of a trie, which stands in its parent by its hash and in the witness as it is."""


def trie_tree(root: bytes, nodes: dict[bytes, bytes], is_state: bool = True) -> Tree:
    """The tree of a trie, as far as nodes show it; of one of accounts with those of their storage."""
    return Linked([_node(rlp.decode(nodes[root]), nodes, is_state)]) if root in nodes else root


def _node(node: Tree, nodes: dict[bytes, bytes], is_state: bool) -> Tree:
    if isinstance(node, bytes):
        return trie_tree(node, nodes, is_state)
    if len(node) == 2 and node[0][0] >> 4 >= 2:  # a leaf
        if is_state:
            account = rlp.decode(node[1])
            account[STORAGE_ROOT] = trie_tree(account[STORAGE_ROOT], nodes, is_state=False)
            node[1] = Embedded([account])
        return node
    return [_node(item, nodes, is_state) if len(node) > 2 or place else item for place, item in enumerate(node)]


def unlinked(tree: Tree, found: set[bytes]) -> Tree:
    """A tree with hashes in the place of nodes, which are added to those that were found."""
    if not isinstance(tree, list):
        return tree
    items = [unlinked(item, found) for item in tree]
    if not isinstance(tree, Linked):
        return type(tree)(items)
    node = b"".join(map(to_rlp, items))
    found.add(node)
    return keccak(node)


def damaged_states(state: Tree, paths: SearchStrategy[list[int]]) -> SearchStrategy[Linked]:
    """A trie with changed nodes, or one of nonsense around paths of accounts."""
    made_up = paths.flatmap(lambda path: _nodes(path, 4, _accounts(state)))
    return (damaged(state, rlp_leaves, most=4) | made_up).filter(lambda node: isinstance(node, Linked))


def nibbles(key: bytes) -> list[int]:
    """The path to an address, or to a slot (32 bytes)."""
    return [nibble for byte in keccak(key) for nibble in (byte >> 4, byte & 15)]


def _hex_prefix(nibbles: Sequence[int], flag: int) -> bytes:
    """Yellow Paper, appendix C; with any flag (0 and 1 for extensions, 2 and 3 for leaves)."""
    padded = [flag, *nibbles] if flag % 2 else [flag, 0, *nibbles]
    return bytes(high << 4 | low for high, low in zip(padded[::2], padded[1::2], strict=False))


@st.composite
def _nodes(draw: DrawFn, path: Sequence[int], levels: int, values: SearchStrategy[Tree]) -> Tree:
    """A node on a path of nibbles that is left, with up to so many levels of nodes below."""
    kind = draw(st.sampled_from(["branch", "branch", "extension", "leaf"] if levels else ["leaf", "unknown"]))
    if kind == "unknown":
        return draw(st.binary(min_size=32, max_size=32))
    if kind == "branch" and path:
        items: list[Tree] = [b""] * 17
        for nibble in draw(st.sets(st.integers(0, 15), min_size=2, max_size=3)):
            items[nibble] = draw(_nodes(path[1:], 0, values))
        items[path[0]] = draw(st.just(b"") | _nodes(path[1:], levels - 1, values))
        return draw(_linking(items))
    is_leaf = kind != "extension"
    length = draw(st.sampled_from([len(path) if is_leaf else 1] * 4 + [0, 1, 2, len(path) // 2, len(path)]))
    own = list(path[:length])
    if bool(own) and draw(st.booleans()):
        own[-1] ^= draw(st.integers(1, 15))
    below = draw(values if is_leaf else _nodes(path[length:], levels - 1, values))
    return draw(_linking([_hex_prefix(own, 2 * is_leaf + length % 2), below]))


def _linking(node: Tree) -> SearchStrategy[Tree]:
    """By its hash or not, mostly as its size demands."""
    by_hash = len(to_rlp(unlinked(node, set()))) >= 32
    return st.sampled_from([by_hash] * 15 + [not by_hash]).map(lambda linked: Linked([node]) if linked else node)


def _accounts(state: Tree) -> SearchStrategy[Tree]:
    """Accounts, with storage around the paths to slots, and now and then other strings."""
    path = st.integers(0, 5).map(lambda slot: nibbles(slot.to_bytes(32, "big")))
    values = st.sampled_from(LIMITS).map(lambda value: rlp.encode(value)) | byte_strings()
    storage = path.flatmap(lambda slot: _nodes(slot, 3, values)).filter(lambda node: isinstance(node, Linked))
    known = st.sampled_from([Account().storage_root, bytes(32), state])
    numbers = st.sampled_from([b"", b"\1", b"\xff" * 8])
    account = st.tuples(numbers, numbers, known | storage | storage, st.sampled_from([Account().code_hash, bytes(32)]))
    return mostly(account.map(lambda items: Embedded([list(items)])), byte_strings())
