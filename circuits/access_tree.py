"""The access tree: the batch's working state as a Poseidon2 Merkle tree, one leaf per state key.

A segment opens the leaves it touches in its incoming root and updates them into its outgoing root. Every touched node
carries its digest before and after the segment, so one pass over a path serves both roots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.layout import Layout, allocate, bit, element, limb, word
from circuits.air.table import Air, Table
from circuits.buses import DIGEST, STATE, TREE
from circuits.hashing import constrain_compress
from circuits.poseidon2 import compress
from circuits.statement import TAG_KEY, Digests, Limbs

ADDRESS = 10
_KEY_PADDING = 16 - 2 - ADDRESS


def tree_depth(keys: int) -> int:
    """Depth of the tree over this many keys, at least 1."""
    return max(1, (keys - 1).bit_length())


def key_digests(kind: NDArray[np.integer], address: Limbs) -> Digests:
    """Digests (K, 8) of the keys (K,), (K, 10)."""
    elements = np.zeros((len(kind), 16), dtype=np.uint32)
    elements[:, 0] = TAG_KEY
    elements[:, 1] = kind
    elements[:, 2 : 2 + ADDRESS] = address
    return compress(elements[:, :DIGEST], elements[:, DIGEST:])


def value_digests(value: Limbs) -> Digests:
    """Digests (K, 8) of 256-bit values (K, 16)."""
    return compress(value[:, :DIGEST].astype(np.uint32), value[:, DIGEST:].astype(np.uint32))


def leaf_digests(kind: NDArray[np.integer], address: Limbs, value: Limbs) -> Digests:
    """Leaf digests (K, 8) for keys (K,), (K, 10) and values (K, 16)."""
    return compress(key_digests(kind, address), value_digests(value))


def levels(leaves: Digests, depth: int) -> list[Digests]:
    """All levels of the tree from the leaves (2^depth, 8) to the root (1, 8); missing leaves are zero digests."""
    level = np.zeros((1 << depth, DIGEST), dtype=np.uint32)
    level[: len(leaves)] = leaves
    result = [level]
    for _ in range(depth):
        level = compress(level[0::2], level[1::2])
        result.append(level)
    return result


def root(leaves: Digests, depth: int) -> Digests:
    """The root (8,) over leaf digests (K, 8)."""
    top: Digests = levels(leaves, depth)[-1][0]
    return top


_PATH = "its digest on the path to the root"


class LeafColumns(Layout):
    """One touched state key per row: its first and last token and its leaf before and after."""

    real = bit("1 on rows that stand for a touched key")
    leaf = element("index of the leaf", by="tree bus: the parent's index")
    kind = element("kind of the key", by=_PATH)
    address = limb("address of the account", ADDRESS, by=_PATH)
    before = limb("value at the segment's start", 16, by=_PATH)
    after = word("value at the segment's end", by="state bus: the last writer")
    last_time = element("time of the last access", by="state bus: the last access")
    key_digest = element("C(tag, kind, address)", DIGEST, by="poseidon2 bus")
    before_digest = element("C(value before)", DIGEST, by="poseidon2 bus")
    after_digest = element("C(value after)", DIGEST, by="poseidon2 bus")
    leaf_before = element("C(key, value before)", DIGEST, by="poseidon2 bus")
    leaf_after = element("C(key, value after)", DIGEST, by="poseidon2 bus")


class AccessLeaf(Table):
    """The two ends of every touched key's history: its first token (time 0) and its last one."""

    name = "access_leaf"
    layout = LeafColumns
    row_order = "rows meet the tree and the accesses only on buses"

    def constraints(self, air: Air) -> None:
        row = air.row
        real = row.real
        key = [air.constant(TAG_KEY), row.kind, *row.address, *[air.constant(0)] * _KEY_PADDING]
        constrain_compress(air, key[:DIGEST], key[DIGEST:], row.key_digest, count=real)
        for value, digest, leaf in (
            (row.before, row.before_digest, row.leaf_before),
            (row.after, row.after_digest, row.leaf_after),
        ):
            constrain_compress(air, value[:DIGEST], value[DIGEST:], digest, count=real)
            constrain_compress(air, row.key_digest, digest, leaf, count=real)
        air.send(STATE, row.leaf, row.kind, row.address, row.before, 0, count=real)
        air.receive(STATE, row.leaf, row.kind, row.address, row.after, row.last_time, count=real)
        air.send(TREE, 0, row.leaf, row.leaf_before, row.leaf_after, count=real)


class NodeColumns(Layout):
    """One inner node above a touched leaf per row."""

    real = bit("1 on rows that stand for a node")
    level = element("distance from the leaves", by="tree bus: the parent's level")
    index = element("position within the level", by="tree bus: the parent's index")
    touched = bit("1 where the left, the right child is a row of its own", 2)
    before = element("digests of both children at the segment's start", (2, DIGEST), by="poseidon2 bus: the digest")
    after = element("digests of both children at the segment's end", (2, DIGEST), by="tree bus, or equal to before")
    digest_before = element("C(children before)", DIGEST, by="poseidon2 bus")
    digest_after = element("C(children after)", DIGEST, by="poseidon2 bus")


class AccessNode(Table):
    """Hashes two children into their parent, before and after; a child no row stands for must not change."""

    name = "access_node"
    layout = NodeColumns
    row_order = "rows meet only on the tree bus"

    def constraints(self, air: Air) -> None:
        row = air.row
        real = row.real
        for side in range(2):
            touched = row.touched[side]
            air.require(touched * (1 - real), f"padding has no touched child {side}")
            air.require_equal(
                row.before[side], row.after[side], f"untouched child {side} is unchanged", when=1 - touched
            )
            child = 2 * row.index + side
            air.receive(TREE, row.level - 1, child, row.before[side], row.after[side], count=touched)
        constrain_compress(air, row.before[0], row.before[1], row.digest_before, count=real)
        constrain_compress(air, row.after[0], row.after[1], row.digest_after, count=real)
        air.send(TREE, row.level, row.index, row.digest_before, row.digest_after, count=real)


@dataclass(frozen=True)
class Opening:
    """The filled tree tables of a segment and its two roots (8,)."""

    leaf: Matrix
    node: Matrix
    root_before: Digests
    root_after: Digests


def fill(
    kind: NDArray[np.integer],
    address: Limbs,
    before: Limbs,
    after: Limbs,
    touched: NDArray[np.integer],
    last_time: NDArray[np.integer],
) -> Opening:
    """Open the touched keys of a segment.

    Args:
        kind, address: all keys of the batch in leaf order, (K,), (K, 10).
        before, after: their values at the segment's start and end, (K, 16).
        touched: leaf indices of the touched keys, ascending (t,).
        last_time: time of the last access to each touched key (t,).
    """
    depth = tree_depth(len(kind))
    keys = key_digests(kind, address)
    values_before, values_after = value_digests(before), value_digests(after)
    leaves_before, leaves_after = compress(keys, values_before), compress(keys, values_after)
    matrix, rows = allocate(LeafColumns, len(touched))
    rows.real = 1
    rows.leaf = touched
    rows.kind = kind[touched]
    rows.address = address[touched]
    rows.before = before[touched]
    rows.after = after[touched]
    rows.last_time = last_time
    rows.key_digest = keys[touched]
    rows.before_digest = values_before[touched]
    rows.after_digest = values_after[touched]
    rows.leaf_before = leaves_before[touched]
    rows.leaf_after = leaves_after[touched]
    tree_before, tree_after = levels(leaves_before, depth), levels(leaves_after, depth)
    node = _fill_nodes(tree_before, tree_after, touched)
    return Opening(matrix, node, tree_before[-1][0], tree_after[-1][0])


def touched_nodes(touched: NDArray[np.integer], depth: int) -> list[NDArray[np.integer]]:
    """Indices of the touched nodes on every level from the leaves to the root."""
    result = [np.unique(touched)]
    for _ in range(depth):
        result.append(np.unique(result[-1] >> 1))
    return result


def _fill_nodes(before: list[Digests], after: list[Digests], touched: NDArray[np.integer]) -> Matrix:
    path = touched_nodes(touched, len(before) - 1)
    matrix, rows = allocate(NodeColumns, sum(len(p) for p in path[1:]))
    rows.real = 1
    start = 0
    for level in range(1, len(path)):  # one step per level of the tree, not per row
        index = path[level]
        here = slice(start, start + len(index))
        start += len(index)
        rows.level[here] = level
        rows.index[here] = index
        for side in range(2):
            child = 2 * index + side
            rows.touched[here, side] = np.isin(child, path[level - 1])
            rows.before[here, side] = before[level - 1][child]
            rows.after[here, side] = after[level - 1][child]
        rows.digest_before[here] = before[level][index]
        rows.digest_after[here] = after[level][index]
    return matrix
