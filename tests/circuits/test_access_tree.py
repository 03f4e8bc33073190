"""The access tree: its root against a plain recursion, its openings, and lies about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from circuits import access_tree
from circuits.poseidon2 import compress
from circuits.segment import FilledSegment
from executor.state_keys import StateKind
from tests.circuits.forging import check, forge, places


def _keys(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    kind = np.sort(rng.integers(1, 4, count)).astype(np.uint8)
    return (
        kind,
        rng.integers(0, 1 << 16, (count, 10), dtype=np.uint16),
        rng.integers(0, 1 << 16, (count, 16), np.uint16),
    )


def _plain_root(leaves: list[np.ndarray], depth: int) -> np.ndarray:
    if depth == 0:
        return leaves[0] if leaves else np.zeros(8, dtype=np.uint32)
    half = 1 << (depth - 1)
    left, right = _plain_root(leaves[:half], depth - 1), _plain_root(leaves[half:], depth - 1)
    return compress(left[None], right[None])[0]


@pytest.mark.parametrize(("count", "depth"), [(1, 1), (2, 1), (3, 2), (5, 3), (16, 4), (17, 5)])
def test_root_is_the_plain_recursion(count: int, depth: int) -> None:
    leaves = access_tree.leaf_digests(*_keys(count))
    assert access_tree.tree_depth(count) == depth
    np.testing.assert_array_equal(access_tree.root(leaves, depth), _plain_root(list(leaves), depth))


def test_leaves_bind_kind_address_and_value() -> None:
    kind, address, value = _keys(1)
    digests = [access_tree.leaf_digests(kind, address, value)]
    digests.append(access_tree.leaf_digests(kind % 3 + 1, address, value))
    digests.append(access_tree.leaf_digests(kind, address ^ 1, value))
    digests.append(access_tree.leaf_digests(kind, address, value ^ 1))
    assert len({d.tobytes() for d in digests}) == 4


def test_opening_has_the_roots_of_both_states() -> None:
    kind, address, before = _keys(37)
    after, touched = before.copy(), np.array([0, 5, 6, 36])
    after[[5, 36]] ^= 1
    opening = access_tree.fill(kind, address, before, after, touched, np.array([9, 10, 11, 12]))
    depth = access_tree.tree_depth(37)
    leaves_before = access_tree.leaf_digests(kind, address, before)
    leaves_after = access_tree.leaf_digests(kind, address, after)
    np.testing.assert_array_equal(opening.root_before, access_tree.root(leaves_before, depth))
    np.testing.assert_array_equal(opening.root_after, access_tree.root(leaves_after, depth))


def _stale_value(tables: dict[str, Any]) -> None:
    """The first reader gets another value than the tree holds."""
    leaf = tables["access_leaf"]
    leaf.before[0, 0] ^= 1


def _lost_write(tables: dict[str, Any]) -> None:
    """A written value does not reach the tree: the leaf stays as it was."""
    leaf = tables["access_leaf"]
    row = np.flatnonzero((leaf.before != leaf.after).any(axis=1))[0]
    leaf.after[row] = leaf.before[row]
    leaf.after_digest[row] = leaf.before_digest[row]
    leaf.leaf_after[row] = leaf.leaf_before[row]


def _other_key(tables: dict[str, Any]) -> None:
    """A leaf is presented under another address, with a digest that fits."""
    leaf = tables["access_leaf"]
    leaf.address[0, 0] ^= 1
    key = np.zeros((1, 16), dtype=np.uint32)
    key[0, :2] = access_tree.TAG_KEY, leaf.kind[0]
    key[0, 2:12] = leaf.address[0]
    leaf.key_digest[0] = compress(key[:, :8], key[:, 8:])[0]


def _other_kind(tables: dict[str, Any]) -> None:
    leaf = tables["access_leaf"]
    leaf.kind[0] = StateKind.NONCE if leaf.kind[0] != StateKind.NONCE else StateKind.BALANCE


def _moved_leaf(tables: dict[str, Any]) -> None:
    """A leaf claims another position."""
    tables["access_leaf"].leaf[0] += 1


def _secret_write(tables: dict[str, Any]) -> None:
    """An untouched child changes between the two roots."""
    node = tables["access_node"]
    row = np.flatnonzero(node.real & (1 - node.touched[:, 1]))[0]
    node.after[row, 1, 0] ^= 1


def _untouched(tables: dict[str, Any]) -> None:
    """A node denies that its child is a row of its own."""
    node = tables["access_node"]
    node.touched[np.flatnonzero(node.touched[:, 0])[0], 0] = 0


def _swapped_children(tables: dict[str, Any]) -> None:
    node = tables["access_node"]
    node.before[0] = node.before[0, ::-1]
    node.after[0] = node.after[0, ::-1]


def _second_leaf(tables: dict[str, Any]) -> None:
    """A key gets a second history: its leaf row once more, on a padding row."""
    leaf = tables["access_leaf"]
    padding = np.flatnonzero(leaf.real == 0)[0]
    for name in access_tree.LeafColumns.parts:
        getattr(leaf, name)[padding] = getattr(leaf, name)[0]


def _unreal_leaf(tables: dict[str, Any]) -> None:
    tables["access_leaf"].real[0] = 0


def _node_on_other_level(tables: dict[str, Any]) -> None:
    tables["access_node"].level[0] += 1


LIES = [
    _stale_value,
    _lost_write,
    _other_key,
    _other_kind,
    _moved_leaf,
    _secret_write,
    _untouched,
    _swapped_children,
    _second_leaf,
    _unreal_leaf,
    _node_on_other_level,
]


def test_the_honest_segment_is_accepted(small_segment: FilledSegment) -> None:
    assert not check(small_segment)
    assert not check(forge(small_segment, lambda tables: None))


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__.strip("_"))
def test_lies_about_the_state_are_rejected(small_segment: FilledSegment, lie: Any) -> None:
    assert places(check(forge(small_segment, lie)))
