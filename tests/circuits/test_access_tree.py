"""The access tree: its root against a plain recursion, its leaves, and lies about them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.batch.execution import Batch, Execution
from circuits.batch.leaves import LeafKeys, LeafKind, LeafValues, leaf_digests, root, tree_depth, word_digests
from circuits.frames import code
from circuits.functions.poseidon2 import compress
from circuits.instructions import storage
from circuits.state import access_tree, state
from circuits.state.access_tree import AccountValueColumns, Opening, account_key_digests
from circuits.state.buses import CODE_LEAF
from scripts.batches.segment import execution_of
from scripts.batches.state import histories, several_blocks
from tests.circuits.family import check_family, mutate_family
from tests.circuits.lying import objections, row_where

FAMILY = (*storage.COMPONENTS, *state.COMPONENTS, *access_tree.COMPONENTS)


@cache
def _blocks() -> Execution:
    return execution_of(several_blocks().execute())


def _plain_root(leaves: list[np.ndarray[Any, Any]], depth: int) -> np.ndarray[Any, Any]:
    if depth == 0:
        return leaves[0] if leaves else np.zeros(8, dtype=np.uint32)
    half = 1 << (depth - 1)
    left, right = _plain_root(leaves[:half], depth - 1), _plain_root(leaves[half:], depth - 1)
    digest: np.ndarray[Any, Any] = compress(left[None], right[None])[0]
    return digest


@pytest.mark.parametrize(("count", "depth"), [(1, 1), (2, 1), (3, 2), (5, 3), (16, 4), (17, 5)])
def test_root_is_the_plain_recursion(count: int, depth: int) -> None:
    leaves = np.random.default_rng(count).integers(0, 2013265921, (count, 8), dtype=np.uint32)
    assert tree_depth(count) == depth
    np.testing.assert_array_equal(root(leaves, depth), _plain_root(list(leaves), depth))


def test_leaves_bind_all_that_they_hold() -> None:
    """Every change of a key or value gives another digest."""
    leaves = _blocks().leaves
    keys, values = leaves.keys, leaves.values_at(0)
    honest = leaf_digests(keys, values, leaves.codes)

    def changed(part: Any, name: str) -> np.ndarray[Any, Any]:
        copies = {n: getattr(part, n).copy() for n in part.__dataclass_fields__}
        copies[name].reshape(len(keys), -1)[:, 0] ^= 1
        other = type(part)(**copies)
        own = other if isinstance(part, LeafKeys) else keys
        return leaf_digests(own, other if isinstance(part, LeafValues) else values, leaves.codes)

    differs = {name: (changed(keys, name) != honest).any(axis=1) for name in ("address", "slot")}
    held = ("value", "nonce", "code_hash", "stored")
    differs |= {name: (changed(values, name) != honest).any(axis=1) for name in held}
    account, fixed_value = keys.kind == LeafKind.ACCOUNT, keys.kind == LeafKind.CODE
    assert differs["address"].all()
    assert (differs["slot"] == ~account).all()
    assert (differs["value"] == ~fixed_value).all()
    assert (differs["nonce"] == account).all()
    assert (differs["code_hash"] == account).all()
    assert (differs["stored"] == account).all()
    assert len(np.unique(honest, axis=0)) == len(keys)


@pytest.mark.parametrize("execution", [histories, _blocks], ids=["histories", "several blocks"])
def test_honest(execution: Any) -> None:
    assert set(Opening.of(execution()).keys.kind[Opening.of(execution()).touched]) >= {1, 2, 3, 4}
    assert check_family(FAMILY, execution()) == []


def test_every_leaf_of_a_code_is_what_the_code_table_asks_for() -> None:
    family = (*code.COMPONENTS, *access_tree.COMPONENTS)
    assert CODE_LEAF.name not in {getattr(f, "bus", None) for f in check_family(family, _blocks())}


def test_segments_join() -> None:
    """Every cut of a batch gives two segments that share the root between them."""
    executed = several_blocks().execute()
    assert executed.trace is not None
    batch = Batch.of(executed.trace)
    cuts = batch.operations.cuts.tolist()
    roots = [access_tree.access_root(batch, cut) for cut in cuts]
    assert len({root.tobytes() for root in roots}) > len(cuts) // 2
    for i in range(0, len(cuts) - 1, 3):
        end = min(i + 3, len(cuts) - 1)
        segment = Execution(batch, cuts[i], cuts[end])
        opening = Opening.of(segment)
        np.testing.assert_array_equal(opening.levels_before[-1][0], roots[i])
        np.testing.assert_array_equal(opening.levels_after[-1][0], roots[end])
        assert check_family(FAMILY, segment) == []


@pytest.mark.parametrize("execution", [histories, _blocks], ids=["histories", "several blocks"])
def test_mutations(execution: Any) -> None:
    assert mutate_family(access_tree.COMPONENTS, execution()).survivors == []


def _rehash_account(rows: Any, row: int) -> None:
    """All digests of an account's leaf anew, as its columns say."""
    one = slice(row, row + 1)
    key = account_key_digests(np.array([LeafKind.ACCOUNT]), rows.address[one])
    code_digest = word_digests(rows.code_hash[one])
    rows.key_digest[one], rows.code_digest[one] = key, code_digest
    for cells, balance, nonce, leaf in (
        (rows.before, rows.balance_before, rows.nonce_before, rows.leaf_before),
        (rows.after, rows.balance_after, rows.nonce_after, rows.leaf_after),
    ):
        if cells is rows.after and not rows.changed[row]:
            leaf[one] = rows.leaf_before[one]
            continue

        class One:
            """Takes the cells of one row."""

        found: Any = One()
        value = AccountValueColumns.fill(found, balance[one], nonce[one], code_digest, rows.stored[one])
        for name in ("balance", "pair", "value"):
            getattr(cells, name)[one] = getattr(found, name)
        leaf[one] = compress(key, value)


def lie_stale_balance(rows: Any) -> None:
    """The first access gets another balance than the tree holds."""
    rows.balance_before[0, 0] ^= 1
    _rehash_account(rows, 0)


def lie_stale_nonce(rows: Any) -> None:
    rows.nonce_before[0, 0] += 1
    _rehash_account(rows, 0)


def lie_other_code(rows: Any) -> None:
    rows.code_hash[0, 0] ^= 1
    _rehash_account(rows, 0)


def lie_other_address(rows: Any) -> None:
    rows.address[0, 0] ^= 1
    _rehash_account(rows, 0)


def lie_lost_write(rows: Any) -> None:
    """What was written does not reach the tree."""
    row = row_where(rows.changed == 1)
    rows.changed[row] = 0
    rows.leaf_after[row] = rows.leaf_before[row]
    for name in ("balance", "pair", "value"):
        getattr(rows.after, name)[row] = 0


def lie_unhashed_write(rows: Any) -> None:
    """The same, although the row has to say that it has seen the write."""
    row = row_where(rows.changed == 1)
    rows.leaf_after[row] = rows.leaf_before[row]


def lie_moved_leaf(rows: Any) -> None:
    rows.leaf[0] += 1


def lie_second_leaf(rows: Any) -> None:
    """An account gets a second history, on a padding row."""
    padding = row_where(rows.real == 0)
    rows._matrix[padding] = rows._matrix[0]


def lie_no_leaf(rows: Any) -> None:
    rows.real[0] = 0
    rows.changed[0] = 0


def lie_skipped_row(rows: Any) -> None:
    """The leaf takes back an older token than the last one."""
    rows.scope[0] = 0


def lie_stale_slot(rows: Any) -> None:
    rows.before[0, 0] ^= 1
    rows.before_digest[0] = word_digests(rows.before[:1])[0]
    rows.leaf_before[0] = compress(rows.key_digest[:1], rows.before_digest[:1])[0]


def lie_other_kind(rows: Any) -> None:
    """A slot of storage passes for one of transient storage."""
    row = row_where((rows.real == 1) & (rows.transient == 0))
    one = slice(row, row + 1)
    rows.transient[row] = 1
    rows.account_digest[one] = account_key_digests(np.array([LeafKind.TRANSIENT]), rows.address[one])
    rows.key_digest[one] = compress(rows.account_digest[one], rows.slot_digest[one])
    rows.leaf_before[one] = compress(rows.key_digest[one], rows.before_digest[one])
    rows.leaf_after[one] = rows.leaf_before[one]
    if rows.changed[row]:
        rows.leaf_after[one] = compress(rows.key_digest[one], rows.after_digest[one])


def _rehash_code(rows: Any) -> None:
    padded = np.zeros((1, 8), dtype=np.uint32)
    padded[0, :2] = rows.size[0], rows.depth[0]
    rows.value_digest[:1] = compress(rows.root[:1], padded)
    rows.digest[:1] = compress(rows.key_digest[:1], rows.value_digest[:1])


def lie_other_size(rows: Any) -> None:
    """A code is as long as it likes."""
    rows.size[0] += 1
    _rehash_code(rows)


def lie_other_depth(rows: Any) -> None:
    """A code's chunks are nodes of its tree."""
    rows.depth[0] -= 1
    _rehash_code(rows)


def lie_unhashed_depth(rows: Any) -> None:
    rows.depth[0] -= 1


def lie_other_hash(rows: Any) -> None:
    """An ancestor gets another hash."""
    rows.hash[0, 0] ^= 1
    rows.value_digest[:1] = word_digests(rows.hash[:1])
    rows.digest[:1] = compress(rows.key_digest[:1], rows.value_digest[:1])


def lie_other_number(rows: Any) -> None:
    rows.number[0, 0] += 1


def lie_secret_write(rows: Any) -> None:
    """An untouched child changes between the two roots."""
    row = row_where((rows.real == 1) & (rows.touched[:, 1] == 0))
    rows.after[row, 1, 0] ^= 1


def lie_untouched(rows: Any) -> None:
    """A node denies that its child is a row of its own."""
    rows.touched[row_where(rows.touched[:, 0] == 1), 0] = 0


def lie_swapped_children(rows: Any) -> None:
    rows.before[0], rows.after[0] = rows.before[0, ::-1].copy(), rows.after[0, ::-1].copy()


def lie_other_level(rows: Any) -> None:
    rows.level[0] += 1


@pytest.mark.parametrize(
    ("table", "lie", "objection"),
    [
        ("account_leaf", lie_stale_balance, "tree"),
        ("account_leaf", lie_stale_nonce, "tree"),
        ("account_leaf", lie_other_code, "tree"),
        ("account_leaf", lie_other_address, "tree"),
        ("account_leaf", lie_lost_write, "tree"),
        ("account_leaf", lie_unhashed_write, "poseidon2"),
        ("account_leaf", lie_moved_leaf, "tree"),
        ("account_leaf", lie_second_leaf, "tree"),
        ("account_leaf", lie_no_leaf, "tree"),
        ("account_leaf", lie_skipped_row, "account_state"),
        ("storage_leaf", lie_stale_slot, "tree"),
        ("storage_leaf", lie_skipped_row, "storage_state"),
        ("storage_leaf", lie_other_kind, "tree"),
        ("code_leaf", lie_other_size, "tree"),
        ("code_leaf", lie_other_depth, "tree"),
        ("code_leaf", lie_unhashed_depth, "poseidon2"),
        ("hash_leaf", lie_other_hash, "tree"),
        ("hash_leaf", lie_other_number, "poseidon2"),
        ("access_node", lie_secret_write, "untouched child 1 is unchanged[0]"),
        ("access_node", lie_untouched, "tree"),
        ("access_node", lie_swapped_children, "poseidon2"),
        ("access_node", lie_other_level, "tree"),
    ],
)
def test_lies(table: str, lie: Any, objection: str) -> None:
    assert objection in objections(FAMILY, _blocks(), {table: lie})
