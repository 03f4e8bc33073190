"""The access tree: the leaves that a segment touches, opened in its incoming root and updated into its outgoing one.

The leaves and their encodings are those of `circuits.batch.leaves`. Every touched node carries its digest before and
after the segment, so one pass over a path serves both roots. Leaves of accounts and slots begin and end the histories
of `circuits.state.state`; leaves of codes and block hashes do not change and provide what they hold.

A leaf's key digest binds its kind: the tag and kind are hashed with the address, so no leaf passes for one of another
kind. Limbs of what a leaf holds need no range checks: the batch's first tree holds limbs, and what a segment puts into
a leaf comes from `account_state` and `storage_state`, whose senders pin it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.layout import Layout, allocate, bit, element, limb, nested, word
from circuits.air.queries import multiplicities
from circuits.air.table import Air, Table
from circuits.batch.execution import Batch, Execution, Integers
from circuits.batch.leaves import (
    LeafKeys,
    LeafKind,
    LeafValues,
    code_value_digests,
    leaf_digests,
    levels,
    nonce_blocks,
    root,
    tree_depth,
    word_digests,
)
from circuits.component import Acting, Answering
from circuits.functions.poseidon2 import compress
from circuits.hashing import constrain_compress
from circuits.state.buses import ACCOUNT_STATE, BLOCK_HASH, CODE_LEAF, STORAGE_STATE, TREE
from circuits.state.state_view import StateView
from circuits.statement import TAG_KEY, Digests
from circuits.widths import ADDRESS, DIGEST, NONCE, U64, WORD
from executor.opcodes import OPCODES


def touched_nodes(touched: NDArray[np.integer], depth: int) -> list[NDArray[np.integer]]:
    """Indices of the touched nodes on every level from the leaves to the root."""
    result = [np.unique(touched)]
    for _ in range(depth):
        result.append(np.unique(result[-1] >> 1))
    return result


def access_depth(batch: Batch) -> int:
    """Depth of the batch's access tree."""
    return tree_depth(len(batch.leaves.keys))


def access_root(batch: Batch, cut: int) -> Digests:
    """The access tree's root (8,) before operation `cut` (where a segment may begin; len(operations): at the end)."""
    operations = batch.operations
    access = int(operations.first_access[cut]) if cut < len(operations) else len(batch.trace.accesses.key)
    leaves = batch.leaves
    return root(leaf_digests(leaves.keys, leaves.values_at(access), leaves.codes), access_depth(batch))


class Opening:
    """What a segment does to the access tree.

    Attributes:
        keys, before, after: all leaves and their values at the segment's start and end.
        accounts, slots, codes, hashes: touched leaves, ascending.
        changes_code: (accounts,) bool: which accounts end with another code.
        levels_before, levels_after: all levels of the two trees, from the leaves to the root.
    """

    def __init__(self, execution: Execution) -> None:
        leaves, view = execution.leaves, StateView.of(execution)
        self.keys: LeafKeys = leaves.keys
        self.before: LeafValues = view.before
        self.after: LeafValues = view.after
        self.accounts = np.unique(view.accounts.leaf)
        own = self.accounts
        self.changes_code = (view.before.code_hash[own] != view.after.code_hash[own]).any(axis=1)
        self.slots = np.unique(view.slots.leaf)
        self.codes = self.keys.code_index(execution.trace.codes.hash[execution.codes])
        self.hashes = self.keys.of_kind(LeafKind.BLOCK_HASH)[_asked_ancestors(execution)]
        depth = tree_depth(len(self.keys))
        self.levels_before = levels(leaf_digests(self.keys, self.before, leaves.codes), depth)
        self.levels_after = levels(leaf_digests(self.keys, self.after, leaves.codes), depth)

    @staticmethod
    def of(execution: Execution) -> Opening:
        """The opening of this execution, made once."""
        execution = execution.joint
        opening = _OPENINGS.get(execution)
        if opening is None:
            opening = _OPENINGS[execution] = Opening(execution)
        return opening

    @property
    def touched(self) -> Integers:
        """All touched leaves, ascending."""
        return np.unique(np.concatenate([self.accounts, self.slots, self.codes, self.hashes]))


_OPENINGS: WeakKeyDictionary[Execution, Opening] = WeakKeyDictionary()


def _asked_ancestors(execution: Execution) -> Integers:
    """Ancestors whose hash the segment asks for: places in the order of their leaves. No hash is 0."""
    steps = execution.rows(OPCODES["BLOCKHASH"], failed=False)
    steps = steps[execution.result(steps).any(axis=1)]
    numbers = execution.operand(steps, 0)[:, :U64].astype(np.uint64)
    asked = sum((numbers[:, i] << np.uint64(16 * i) for i in range(U64)), np.zeros(len(steps), dtype=np.uint64))
    return np.flatnonzero(np.isin(execution.trace.ancestors.number, asked))


_PATH = "its digest on the path to the root"
_HASHED = "poseidon2 bus"


def _key_halves(air: Air, kind: Any, address: Sequence[Any]) -> tuple[list[Expression], list[Expression]]:
    """Both halves of what the first digest of a key hashes."""
    elements = [air.graph.lift(x) for x in (TAG_KEY, kind, *address)]
    elements += [air.constant(0)] * (2 * DIGEST - len(elements))
    return elements[:DIGEST], elements[DIGEST:]


def _constrain_word(air: Air, value: Sequence[Any], digest: Any, *, count: Any) -> None:
    constrain_compress(air, value[:DIGEST], value[DIGEST:], digest, count=count)


def _constrain_changed(air: Air, changed: Expression, pairs: Sequence[tuple[Any, Any]], unused: Sequence[Any]) -> None:
    """Without a change, `pairs` are equal and the digests that only a change needs are 0."""
    air.require(changed * (1 - air.row.real), "padding does not change")
    for i, (before, after) in enumerate(pairs):
        air.require_equal(before, after, f"unchanged {i}", when=1 - changed)
    for i, digest in enumerate(unused):
        air.require_equal(digest, [0] * len(digest), f"unused digest {i}", when=1 - changed)


class AccountValueColumns(Layout):
    """Digests of what an account's leaf holds."""

    balance = element("C(balance)", DIGEST, by=_HASHED)
    pair = element("C(C(balance), C(code hash))", DIGEST, by=_HASHED)
    value = element("C(pair, (nonce, stored))", DIGEST, by=_HASHED)

    @staticmethod
    def constrain(
        air: Air, cells: Any, balance: Sequence[Any], nonce: Sequence[Any], code: Any, stored: Any, *, count: Any
    ) -> None:
        """`code`: the digest of the code hash."""
        _constrain_word(air, balance, cells.balance, count=count)
        constrain_compress(air, cells.balance, code, cells.pair, count=count)
        padding = [air.constant(0)] * (DIGEST - NONCE - 1)
        constrain_compress(air, cells.pair, [*nonce, stored, *padding], cells.value, count=count)

    @staticmethod
    def fill(cells: Any, balance: NDArray[Any], nonce: NDArray[Any], code: Digests, stored: NDArray[Any]) -> Digests:
        """Returns the value digests (n, 8)."""
        digest = word_digests(balance)
        pair = compress(digest, code)
        value = compress(pair, nonce_blocks(nonce, stored))
        cells.balance, cells.pair, cells.value = digest, pair, value
        return value


class _AccountLeafColumns(Layout):
    """One touched account per row."""

    real = bit("1 on rows that stand for an account")
    leaf = element("index of the leaf", by="tree bus: the parent's index")
    address = limb("address", ADDRESS, by=_PATH)
    stored = element("1: storage, but neither nonce nor code, in the batch's pre-state", by=_PATH)
    code_hash = limb("code hash at the segment's start", WORD, by=_PATH)
    balance_before = limb("balance at the segment's start", WORD, by=_PATH)
    nonce_before = limb("nonce at the segment's start", NONCE, by=_PATH)
    balance_after = word("balance at the segment's end", by="account_state bus: the last account row")
    nonce_after = limb("nonce at the segment's end", NONCE, by="account_state bus: the last account row")
    scope = element("scope that the last account row leaves", by="account_state bus")
    key_digest = element("C(tag, kind, address)", DIGEST, by=_HASHED)
    code_digest = element("C(code hash)", DIGEST, by=_HASHED)
    before = nested(AccountValueColumns, "digests at the segment's start")
    after = nested(AccountValueColumns, "digests at the segment's end, 0 without a change")
    leaf_before = element("C(key, value before)", DIGEST, by=_HASHED)
    leaf_after = element("C(key, value after)", DIGEST, by="poseidon2 bus, or equal to leaf_before")


class AccountLeafColumns(_AccountLeafColumns):
    """One touched account that keeps its code per row."""

    changed = bit("1 where the leaf may change", free="a leaf that does not change may be hashed a second time")


class AccountLeaf(Table):
    """Both ends of an account's history in the segment, which keeps its code, and its leaf before and after."""

    name = "account_leaf"
    layout: ClassVar[type[Layout]] = AccountLeafColumns  # type: ignore[misc]
    row_order = "rows meet the tree and the accounts only on buses"

    def constraints(self, air: Air) -> None:
        row = air.row
        self._constrain(air, row.changed, (row.code_hash, row.code_digest))
        _constrain_changed(
            air,
            row.changed,
            [
                (row.balance_before, row.balance_after),
                (row.nonce_before, row.nonce_after),
                (row.leaf_before, row.leaf_after),
            ],
            [row.after.balance, row.after.pair, row.after.value],
        )

    def _constrain(self, air: Air, changed: Expression, code_after: tuple[Sequence[Any], Any]) -> None:
        """The leaf before, and after where `changed` is 1, with this code hash and its digest."""
        row, real = air.row, air.row.real
        constrain_compress(air, *_key_halves(air, LeafKind.ACCOUNT, row.address), row.key_digest, count=real)
        _constrain_word(air, row.code_hash, row.code_digest, count=real)
        for cells, balance, nonce, code, leaf, count in (
            (row.before, row.balance_before, row.nonce_before, row.code_digest, row.leaf_before, real),
            (row.after, row.balance_after, row.nonce_after, code_after[1], row.leaf_after, changed),
        ):
            AccountValueColumns.constrain(air, cells, balance, nonce, code, row.stored, count=count)
            constrain_compress(air, row.key_digest, cells.value, leaf, count=count)
        for send, balance, nonce, code, scope in (
            (air.send, row.balance_before, row.nonce_before, row.code_hash, air.constant(0)),
            (air.receive, row.balance_after, row.nonce_after, code_after[0], row.scope),
        ):
            send(ACCOUNT_STATE, row.leaf, row.address, row.stored, balance, nonce, code, scope, count=real)
        air.send(TREE, 0, row.leaf, row.leaf_before, row.leaf_after, count=real)


class AccountCodeLeafColumns(_AccountLeafColumns):
    """One touched account whose code changes per row."""

    code_hash_after = limb("code hash at the segment's end", WORD, by="account_state bus: the last account row")
    code_digest_after = element("C(code hash at the segment's end)", DIGEST, by=_HASHED)


class AccountCodeLeaf(AccountLeaf):
    """Both ends of an account's history in the segment, which changes its code, and its leaf before and after."""

    name = "account_code_leaf"
    layout: ClassVar[type[Layout]] = AccountCodeLeafColumns  # type: ignore[misc]

    def constraints(self, air: Air) -> None:
        row, real = air.row, air.row.real
        _constrain_word(air, row.code_hash_after, row.code_digest_after, count=real)
        self._constrain(air, real, (row.code_hash_after, row.code_digest_after))


def fill_account_leaf(execution: Execution) -> Matrix | None:
    """All accounts that the segment touches and whose code it keeps."""
    opening = Opening.of(execution)
    leaf = opening.accounts[~opening.changes_code]
    if not len(leaf):
        return None
    matrix, rows = allocate(AccountLeafColumns, len(leaf))
    before, after = opening.before, opening.after
    changed = (before.value[leaf] != after.value[leaf]).any(axis=1)
    changed |= (before.nonce[leaf] != after.nonce[leaf]).any(axis=1)
    _fill_account_leaf(rows, execution, leaf)
    rows.changed = changed
    for column in ("balance", "pair", "value"):
        getattr(rows.after, column)[~changed] = 0
    return matrix


def fill_account_code_leaf(execution: Execution) -> Matrix | None:
    """All accounts that the segment touches and whose code it changes."""
    opening = Opening.of(execution)
    leaf = opening.accounts[opening.changes_code]
    if not len(leaf):
        return None
    matrix, rows = allocate(AccountCodeLeafColumns, len(leaf))
    _fill_account_leaf(rows, execution, leaf)
    rows.code_hash_after = opening.after.code_hash[leaf]
    rows.code_digest_after = word_digests(opening.after.code_hash[leaf])
    return matrix


def _fill_account_leaf(rows: Any, execution: Execution, leaf: Integers) -> None:
    """The columns of these leaves that both tables have."""
    opening = Opening.of(execution)
    before, after = opening.before, opening.after
    rows.real = 1
    rows.leaf = leaf
    rows.address = opening.keys.address[leaf]
    rows.code_hash = before.code_hash[leaf]
    rows.balance_before, rows.balance_after = before.value[leaf], after.value[leaf]
    rows.nonce_before, rows.nonce_after = before.nonce[leaf], after.nonce[leaf]
    accounts = StateView.of(execution).accounts
    last = np.zeros(len(opening.keys), dtype=np.int64)
    last[accounts.leaf] = accounts.scope + 1  # in the order of scopes: the last one stays
    rows.scope = last[leaf]
    rows.key_digest = account_key_digests(np.full(len(leaf), LeafKind.ACCOUNT), opening.keys.address[leaf])
    code = word_digests(before.code_hash[leaf])
    rows.code_digest = code
    rows.stored = stored = before.stored[leaf]
    code_after = word_digests(after.code_hash[leaf])
    AccountValueColumns.fill(rows.before, before.value[leaf], before.nonce[leaf], code, stored)
    AccountValueColumns.fill(rows.after, after.value[leaf], after.nonce[leaf], code_after, stored)
    rows.leaf_before = opening.levels_before[0][leaf]
    rows.leaf_after = opening.levels_after[0][leaf]


def account_key_digests(kind: NDArray[np.integer], address: NDArray[Any]) -> Digests:
    """C(tag, kind, address) of kinds (n,) and addresses (n, 10)."""
    rows = np.zeros((len(kind), 2 * DIGEST), dtype=np.uint32)
    rows[:, 0], rows[:, 1] = TAG_KEY, kind
    rows[:, 2 : 2 + ADDRESS] = address
    return compress(rows[:, :DIGEST], rows[:, DIGEST:])


class StorageLeafColumns(Layout):
    """One touched slot of storage or transient storage per row."""

    real = bit("1 on rows that stand for a slot")
    changed = bit("1 where the leaf may change", free="a leaf that does not change may be hashed a second time")
    transient = bit("1 for transient storage")
    leaf = element("index of the leaf", by="tree bus: the parent's index")
    address = limb("address of the account", ADDRESS, by=_PATH)
    slot = limb("the slot's key", WORD, by=_PATH)
    before = limb("value at the segment's start", WORD, by=_PATH)
    after = word("value at the segment's end", by="storage_state bus: the last storage row")
    scope = element("scope that the last storage row leaves", by="storage_state bus")
    account_digest = element("C(tag, kind, address)", DIGEST, by=_HASHED)
    slot_digest = element("C(slot)", DIGEST, by=_HASHED)
    key_digest = element("C(account digest, slot digest)", DIGEST, by=_HASHED)
    before_digest = element("C(value before)", DIGEST, by=_HASHED)
    after_digest = element("C(value after), 0 without a change", DIGEST, by=_HASHED)
    leaf_before = element("C(key, value before)", DIGEST, by=_HASHED)
    leaf_after = element("C(key, value after)", DIGEST, by="poseidon2 bus, or equal to leaf_before")


class StorageLeaf(Table):
    """Both ends of a slot's history in the segment, and its leaf before and after."""

    name = "storage_leaf"
    layout = StorageLeafColumns
    row_order = "rows meet the tree and the slots only on buses"

    def constraints(self, air: Air) -> None:
        row = air.row
        real, changed = row.real, row.changed
        kind = row.transient * (LeafKind.TRANSIENT - LeafKind.STORAGE) + int(LeafKind.STORAGE)
        air.require(row.transient * (1 - real), "padding is not transient")
        constrain_compress(air, *_key_halves(air, kind, row.address), row.account_digest, count=real)
        _constrain_word(air, row.slot, row.slot_digest, count=real)
        constrain_compress(air, row.account_digest, row.slot_digest, row.key_digest, count=real)
        for value, digest, leaf, count in (
            (row.before, row.before_digest, row.leaf_before, real),
            (row.after, row.after_digest, row.leaf_after, changed),
        ):
            _constrain_word(air, value, digest, count=count)
            constrain_compress(air, row.key_digest, digest, leaf, count=count)
        _constrain_changed(
            air, changed, [(row.before, row.after), (row.leaf_before, row.leaf_after)], [row.after_digest]
        )
        for send, value, scope in ((air.send, row.before, air.constant(0)), (air.receive, row.after, row.scope)):
            send(STORAGE_STATE, row.leaf, kind, row.address, row.slot, value, scope, count=real)
        air.send(TREE, 0, row.leaf, row.leaf_before, row.leaf_after, count=real)


def fill_storage_leaf(execution: Execution) -> Matrix | None:
    """All slots that the segment touches."""
    opening = Opening.of(execution)
    leaf, keys = opening.slots, opening.keys
    if not len(leaf):
        return None
    matrix, rows = allocate(StorageLeafColumns, len(leaf))
    before, after = opening.before.value[leaf], opening.after.value[leaf]
    changed = (before != after).any(axis=1)
    rows.real = 1
    rows.changed = changed
    rows.transient = keys.kind[leaf] == LeafKind.TRANSIENT
    rows.leaf = leaf
    rows.address, rows.slot = keys.address[leaf], keys.slot[leaf]
    rows.before, rows.after = before, after
    slots = StateView.of(execution).slots
    last = np.zeros(len(keys), dtype=np.int64)
    last[slots.leaf] = slots.operation + 1  # in the order of operations: the last one stays
    rows.scope = last[leaf]
    account, slot = account_key_digests(keys.kind[leaf], keys.address[leaf]), word_digests(keys.slot[leaf])
    rows.account_digest, rows.slot_digest = account, slot
    rows.key_digest = compress(account, slot)
    rows.before_digest = word_digests(before)
    rows.after_digest = np.where(changed[:, None], word_digests(after), 0)
    rows.leaf_before = opening.levels_before[0][leaf]
    rows.leaf_after = opening.levels_after[0][leaf]
    return matrix


def _fixed_account_digest(kind: LeafKind) -> list[int]:
    """C(tag, kind, address 0): the same for all leaves of codes, or of block hashes."""
    digest: list[int] = account_key_digests(np.array([kind]), np.zeros((1, ADDRESS), dtype=np.uint32))[0].tolist()
    return digest


class _FixedLeafColumns(Layout):
    """A leaf that does not change."""

    real = bit("1 on rows that stand for a leaf")
    multiplicity = element("how often the row is asked for", by="balance of the bus that the leaf provides")
    leaf = element("index of the leaf", by="tree bus: the parent's index")
    slot_digest = element("C(slot)", DIGEST, by=_HASHED)
    key_digest = element("C(C(tag, kind, 0), C(slot))", DIGEST, by=_HASHED)
    value_digest = element("digest of what the leaf holds", DIGEST, by=_HASHED)
    digest = element("C(key, value)", DIGEST, by=_HASHED)


def _constrain_fixed(air: Air, kind: LeafKind, slot: Sequence[Any]) -> None:
    row = air.row
    real = row.real
    air.require(row.multiplicity * (1 - real), "padding provides nothing")
    _constrain_word(air, slot, row.slot_digest, count=real)
    account = [air.constant(x) for x in _fixed_account_digest(kind)]
    constrain_compress(air, account, row.slot_digest, row.key_digest, count=real)
    constrain_compress(air, row.key_digest, row.value_digest, row.digest, count=real)
    air.send(TREE, 0, row.leaf, row.digest, row.digest, count=real)


def _fill_fixed(rows: Any, opening: Opening, leaf: Integers, kind: LeafKind, value_digest: Digests) -> None:
    account = np.tile(np.array(_fixed_account_digest(kind), dtype=np.uint32), (len(leaf), 1))
    slot = word_digests(opening.keys.slot[leaf])
    rows.real = 1
    rows.leaf = leaf
    rows.slot_digest = slot
    rows.key_digest = compress(account, slot)
    rows.value_digest = value_digest
    rows.digest = opening.levels_before[0][leaf]


class CodeLeafColumns(_FixedLeafColumns):
    """One code per row."""

    hash = limb("keccak256 of the code", WORD, by=_PATH)
    root = element("root of its tree", DIGEST, by=_PATH)
    size = element("its bytes", by=_PATH)
    depth = element("level of the root", by=_PATH)


class CodeLeaf(Table):
    """Codes that run or are asked for."""

    name = "code_leaf"
    layout = CodeLeafColumns
    row_order = "rows meet only on buses"

    def constraints(self, air: Air) -> None:
        row = air.row
        measures = [row.size, row.depth, *[air.constant(0)] * (DIGEST - 2)]
        constrain_compress(air, row.root, measures, row.value_digest, count=row.real)
        _constrain_fixed(air, LeafKind.CODE, row.hash)
        air.provide(CODE_LEAF, row.hash, row.root, row.size, row.depth, multiplicity=row.multiplicity)


def fill_code_leaf(execution: Execution, queries: NDArray[np.uint32]) -> Matrix | None:
    """The codes of the segment."""
    opening = Opening.of(execution)
    leaf = opening.codes
    if not len(leaf):
        return None
    place = leaf - opening.keys.of_kind(LeafKind.CODE)[0]  # leaves of a kind follow one another
    codes = execution.leaves.codes.at(place)
    matrix, rows = allocate(CodeLeafColumns, len(leaf))
    _fill_fixed(rows, opening, leaf, LeafKind.CODE, code_value_digests(codes))
    rows.hash = opening.keys.slot[leaf]
    rows.root = codes.root
    rows.size = codes.size
    rows.depth = codes.depth
    provided = np.concatenate([rows.hash, codes.root, rows.size[:, None], rows.depth[:, None]], axis=1)
    rows.multiplicity = multiplicities(provided, queries)
    return matrix


class HashLeafColumns(_FixedLeafColumns):
    """One ancestor per row."""

    number = limb("number of the block", U64, by=_PATH)
    hash = limb("its hash", WORD, by=_PATH)


class HashLeaf(Table):
    """Hashes of ancestors that BLOCKHASH returns."""

    name = "hash_leaf"
    layout = HashLeafColumns
    row_order = "rows meet only on buses"

    def constraints(self, air: Air) -> None:
        row = air.row
        number = [*row.number, *[air.constant(0)] * (WORD - U64)]
        _constrain_word(air, row.hash, row.value_digest, count=row.real)
        _constrain_fixed(air, LeafKind.BLOCK_HASH, number)
        air.provide(BLOCK_HASH, number, row.hash, multiplicity=row.multiplicity)


def fill_hash_leaf(execution: Execution, queries: NDArray[np.uint32]) -> Matrix | None:
    """The ancestors that the segment asks for."""
    opening = Opening.of(execution)
    leaf = opening.hashes
    if not len(leaf):
        return None
    matrix, rows = allocate(HashLeafColumns, len(leaf))
    hashes = opening.before.value[leaf]
    _fill_fixed(rows, opening, leaf, LeafKind.BLOCK_HASH, word_digests(hashes))
    rows.number = opening.keys.slot[leaf][:, :U64]
    rows.hash = hashes
    provided = np.concatenate([opening.keys.slot[leaf], hashes], axis=1)
    rows.multiplicity = multiplicities(provided, queries)
    return matrix


class NodeColumns(Layout):
    """One inner node above a touched leaf per row."""

    real = bit("1 on rows that stand for a node")
    level = element("distance from the leaves", by="tree bus: the parent's level")
    index = element("position within the level", by="tree bus: the parent's index")
    touched = bit("1 where the left, the right child is a row of its own", 2)
    before = element("digests of both children at the segment's start", (2, DIGEST), by="poseidon2 bus: the digest")
    after = element("digests of both children at the segment's end", (2, DIGEST), by="tree bus, or equal to before")
    digest_before = element("C(children before)", DIGEST, by=_HASHED)
    digest_after = element("C(children after)", DIGEST, by=_HASHED)


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


def fill_nodes(execution: Execution) -> Matrix | None:
    """All nodes above touched leaves; None where the segment touches nothing (and the roots are equal)."""
    opening = Opening.of(execution)
    before, after, touched = opening.levels_before, opening.levels_after, opening.touched
    if not len(touched):
        return None
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


COMPONENTS = (
    Acting(AccountLeaf(), fill_account_leaf),
    Acting(AccountCodeLeaf(), fill_account_code_leaf),
    Acting(StorageLeaf(), fill_storage_leaf),
    Acting(AccessNode(), fill_nodes),
    Answering(CodeLeaf(), CODE_LEAF, fill_code_leaf),
    Answering(HashLeaf(), BLOCK_HASH, fill_hash_leaf),
)
