"""The leaves of the access tree: every account, slot and code that a batch touches, once, and their digests.

A leaf is C(key digest, value digest). Leaves are sorted by kind, address and slot (as numbers). The address of codes
and block hashes is 0, the slot of a code its hash, that of a block hash the block's number. The list is fixed for the
batch and public; values of accounts and slots change from segment to segment.
Leaves of transient storage (EIP-1153) hold 0 between operations; they are there to make each slot's history unique.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from circuits.batch.code_trees import CodeTrees
from circuits.functions.poseidon2 import compress
from circuits.limbs import Limbs, u64_from_ints, words_from_bytes
from circuits.statement import TAG_KEY, Digests
from circuits.widths import ADDRESS, DIGEST, NONCE, U64, WORD
from executor.state_keys import EMPTY_CODE_HASH, StateKind
from executor.trace import ExecutionTrace, FrameKind, HashPurpose


class LeafKind(IntEnum):
    """Kind of a leaf."""

    ACCOUNT = 1
    STORAGE = 2
    TRANSIENT = 3
    CODE = 4
    BLOCK_HASH = 5


#: Kinds of state keys that an account's leaf, a slot's and a transient slot's stand for.
_ACCOUNT_KINDS = (
    StateKind.BALANCE,
    StateKind.NONCE,
    StateKind.CODE_HASH,
    StateKind.HAS_STORAGE,
    StateKind.WARM_ADDRESS,
)
_SLOT_KINDS = (StateKind.STORAGE, StateKind.WARM_SLOT, StateKind.ORIGINAL)

_EMPTY_CODE = words_from_bytes([EMPTY_CODE_HASH])[0]


@dataclass(frozen=True, eq=False)
class LeafKeys:
    """The keys of all leaves in order: kind (K,) uint8, address (K, 10), slot (K, 16; a code's hash)."""

    kind: NDArray[np.uint8]
    address: Limbs
    slot: Limbs

    def __len__(self) -> int:
        return len(self.kind)

    def of_kind(self, kind: LeafKind) -> NDArray[np.int64]:
        """Indices of the leaves of a kind, ascending."""
        return np.flatnonzero(self.kind == kind)

    def digests(self) -> Digests:
        """Key digests (K, 8): C(tag, kind, address), for all but accounts combined with C(slot)."""
        rows = np.zeros((len(self), 2 * DIGEST), dtype=np.uint32)
        rows[:, 0], rows[:, 1] = TAG_KEY, self.kind
        rows[:, 2 : 2 + ADDRESS] = self.address
        digests = compress(rows[:, :DIGEST], rows[:, DIGEST:])
        slotted = np.flatnonzero(self.kind != LeafKind.ACCOUNT)
        digests[slotted] = compress(digests[slotted], word_digests(self.slot[slotted]))
        return digests

    def index(self, kind: NDArray[np.integer] | int, address: Limbs, slot: Limbs | None = None) -> NDArray[np.int64]:
        """Leaf indices (n,) of keys that are in the list: kinds (n,) or one kind, addresses (n, 10), slots (n, 16).

        Raises:
            KeyError: a key is not in the list.
        """
        kinds = np.broadcast_to(np.asarray(kind, dtype=np.uint8), (len(address),))
        slots = np.zeros((len(address), WORD), dtype=np.uint16) if slot is None else slot
        wanted = _sortable(kinds, address, slots)
        own = _sortable(self.kind, self.address, self.slot)
        found = np.searchsorted(own, wanted)
        if (len(wanted) and not (found < len(own)).all()) or (own[np.minimum(found, len(own) - 1)] != wanted).any():
            raise KeyError("a state key without a leaf")
        return found.astype(np.int64)

    def code_index(self, hashes: Limbs) -> NDArray[np.int64]:
        """Leaf indices (n,) of codes with these hashes (n, 16)."""
        return self.index(LeafKind.CODE, np.zeros((len(hashes), ADDRESS), dtype=np.uint16), hashes)


def _sortable(kind: NDArray[np.uint8], address: Limbs, slot: Limbs) -> NDArray[np.void]:
    """Keys as byte strings that sort as (kind, address, slot) do; (n,)."""
    parts = [
        kind.astype(np.uint8)[:, None],
        np.ascontiguousarray(address[:, ::-1].astype(">u2")).view(np.uint8),
        np.ascontiguousarray(slot[:, ::-1].astype(">u2")).view(np.uint8),
    ]
    joined = np.ascontiguousarray(np.concatenate(parts, axis=1))
    return joined.view(f"S{joined.shape[1]}").reshape(-1) if joined.size else np.zeros(0, dtype="S53")


@dataclass(frozen=True, eq=False)
class LeafValues:
    """Values of all leaves at one moment; rows of other kinds are 0.

    Attributes:
        value: (K, 16): an account's balance, a slot's value, a block's hash.
        nonce: (K, 4): an account's.
        code_hash: (K, 16): an account's; that of the empty code for an account that does not exist.
        stored: (K,) uint8: 1 for an account that has storage, but neither nonce nor code, in the batch's pre-state: no
            contract is created there (EIP-7610). It stays: without code nothing touches the storage, and who gets one
            by an authorization (EIP-7702) has a nonce from then on, which takes the address, too.
    """

    value: Limbs
    nonce: Limbs
    code_hash: Limbs
    stored: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class LeafCodes:
    """What the leaves of codes hold, one row a code in leaf order.

    Attributes:
        root, depth: (c, 8), (c,) root of the code's tree, and its level (`circuits.batch.code_trees`).
        size: (c,) bytes.
    """

    root: Digests
    size: NDArray[np.int64]
    depth: NDArray[np.int64]

    @classmethod
    def of(cls, codes: list[bytes]) -> LeafCodes:
        """Of codes in leaf order."""
        trees = CodeTrees.of(codes)
        return cls(trees.roots, np.array([len(code) for code in codes], dtype=np.int64), trees.depths)

    def at(self, places: NDArray[np.int64]) -> LeafCodes:
        """Some of them (n,)."""
        return LeafCodes(self.root[places], self.size[places], self.depth[places])


def word_digests(words: Limbs) -> Digests:
    """C(word) of words (n, 16): (n, 8)."""
    return compress(words[:, :DIGEST].astype(np.uint32), words[:, DIGEST:].astype(np.uint32))


def account_digests(value: Limbs, nonce: Limbs, code_hash: Limbs, stored: NDArray[np.integer]) -> Digests:
    """Value digests (n, 8) of accounts: C(C(C(balance), C(code hash)), (nonce, stored))."""
    return compress(compress(word_digests(value), word_digests(code_hash)), nonce_blocks(nonce, stored))


def nonce_blocks(nonce: Limbs, stored: NDArray[np.integer]) -> Digests:
    """What an account's value digest hashes last, (n, 8): its nonce (n, 4), and whether it is stored alone (n,)."""
    padded = np.zeros((len(nonce), DIGEST), dtype=np.uint32)
    padded[:, :NONCE] = nonce
    padded[:, NONCE] = stored
    return padded


def code_value_digests(codes: LeafCodes) -> Digests:
    """Value digests (c, 8) of codes: C(root, (size, depth))."""
    padded = np.zeros((len(codes.size), DIGEST), dtype=np.uint32)
    padded[:, 0] = codes.size
    padded[:, 1] = codes.depth
    return compress(codes.root, padded)


def value_digests(keys: LeafKeys, values: LeafValues, codes: LeafCodes) -> Digests:
    """Value digests (K, 8) of all leaves."""
    digests = np.empty((len(keys), DIGEST), dtype=np.uint32)
    accounts = keys.of_kind(LeafKind.ACCOUNT)
    digests[accounts] = account_digests(
        values.value[accounts], values.nonce[accounts], values.code_hash[accounts], values.stored[accounts]
    )
    slots = np.flatnonzero(np.isin(keys.kind, (LeafKind.STORAGE, LeafKind.TRANSIENT, LeafKind.BLOCK_HASH)))
    digests[slots] = word_digests(values.value[slots])
    digests[keys.of_kind(LeafKind.CODE)] = code_value_digests(codes)
    return digests


def leaf_digests(keys: LeafKeys, values: LeafValues, codes: LeafCodes) -> Digests:
    """Digests (K, 8) of all leaves."""
    return compress(keys.digests(), value_digests(keys, values, codes))


def tree_depth(keys: int) -> int:
    """Depth of the tree over this many keys, at least 1."""
    return max(1, (keys - 1).bit_length())


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


def _only_creates(trace: ExecutionTrace) -> NDArray[np.bool_]:
    """Which of the trace's codes (codes,) ran as initcode only: no leaf stands for these."""
    frames, codes = trace.frames, trace.codes
    creates = np.isin(frames.kind, (FrameKind.CREATION, FrameKind.CREATE, FrameKind.CREATE2))
    created, others = (np.zeros(len(codes.size), dtype=bool) for _ in range(2))
    created[frames.code[creates]] = True
    others[frames.code[~creates]] = True
    # An account may have the same code.
    hashes = np.flatnonzero(trace.keys.kind == StateKind.CODE_HASH)
    known = np.concatenate([trace.keys.first[hashes], trace.accesses.after[np.isin(trace.accesses.key, hashes)]])
    # Those of CREATE2 are shown to have their hash.
    hashed = trace.hashes.digest[np.isin(trace.hashes.purpose, (HashPurpose.CODE, HashPurpose.INITCODE))]
    both = np.concatenate([codes.hash, known, hashed])
    _, inverse = np.unique(both, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    others |= np.isin(inverse[: len(codes.size)], inverse[len(codes.size) :])
    return created & ~others


@dataclass(frozen=True, eq=False)
class BatchLeaves:
    """The leaves of an executed batch, and their values at any moment of it.

    Attributes:
        keys, codes: of the leaves.
        code_rows: rows in the trace's codes of the leaves of codes, in leaf order.
        leaf_of_key: (keys of the trace,) leaf of each key, -1 for kinds that have none.
    """

    trace: ExecutionTrace
    keys: LeafKeys
    codes: LeafCodes
    code_rows: NDArray[np.int64]
    leaf_of_key: NDArray[np.int64]

    @classmethod
    def of(cls, trace: ExecutionTrace) -> BatchLeaves:
        """The leaves of a batch's trace."""
        kind = np.zeros(len(trace.keys.kind), dtype=np.uint8)
        kind[np.isin(trace.keys.kind, _ACCOUNT_KINDS)] = LeafKind.ACCOUNT
        kind[np.isin(trace.keys.kind, _SLOT_KINDS)] = LeafKind.STORAGE
        kind[trace.keys.kind == StateKind.TRANSIENT] = LeafKind.TRANSIENT
        has = np.flatnonzero(kind)
        slots = np.where((kind[has] == LeafKind.ACCOUNT)[:, None], 0, trace.keys.slot[has]).astype(np.uint16)
        stored = np.flatnonzero((trace.codes.size > 0) & ~_only_creates(trace))
        numbers = np.zeros((len(trace.ancestors.number), WORD), dtype=np.uint16)
        numbers[:, :U64] = u64_from_ints(trace.ancestors.number.tolist())
        fixed = [LeafKind.CODE] * len(stored) + [LeafKind.BLOCK_HASH] * len(numbers)
        all_kinds = np.concatenate([kind[has], np.array(fixed, dtype=np.uint8)])
        addresses = np.concatenate([trace.keys.address[has], np.zeros((len(fixed), ADDRESS), dtype=np.uint16)])
        all_slots = np.concatenate([slots, trace.codes.hash[stored], numbers])
        _, first, inverse = np.unique(
            _sortable(all_kinds, addresses, all_slots), return_index=True, return_inverse=True
        )
        inverse = inverse.reshape(-1)
        keys = LeafKeys(all_kinds[first], addresses[first], all_slots[first])
        leaf_of_key = np.full(len(kind), -1, dtype=np.int64)
        leaf_of_key[has] = inverse[: len(has)]
        code_rows = stored[first[keys.kind == LeafKind.CODE] - len(has)]
        codes = [trace.bytes_at(trace.codes.start[row], trace.codes.size[row]) for row in code_rows]
        return cls(trace, keys, LeafCodes.of(codes), code_rows, leaf_of_key)

    def values_at(self, access: int) -> LeafValues:
        """The values after the first `access` state accesses of the batch."""
        trace = self.trace
        current = trace.keys.first.copy()
        keys = trace.accesses.key[:access]
        # The last access of a key decides, which is the first one from behind.
        touched, position = np.unique(keys[::-1], return_index=True)
        current[touched] = trace.accesses.after[:access][::-1][position]
        values = LeafValues(
            np.zeros((len(self.keys), WORD), dtype=np.uint16),
            np.zeros((len(self.keys), NONCE), dtype=np.uint16),
            np.zeros((len(self.keys), WORD), dtype=np.uint16),
            self._stored(),
        )
        for kind, column in (
            (StateKind.BALANCE, values.value),
            (StateKind.NONCE, values.nonce),
            (StateKind.CODE_HASH, values.code_hash),
            (StateKind.STORAGE, values.value),
        ):
            rows = np.flatnonzero(trace.keys.kind == kind)
            column[self.leaf_of_key[rows]] = current[rows][:, : column.shape[1]]
        # Ancestors are sorted by number, as their leaves are.
        values.value[self.keys.of_kind(LeafKind.BLOCK_HASH)] = trace.ancestors.hash
        return values

    def _stored(self) -> NDArray[np.uint8]:
        """Which accounts have storage alone in the pre-state, (K,)."""
        keys = self.trace.keys
        stored = np.zeros(len(self.keys), dtype=np.uint8)
        has_storage = (keys.kind == StateKind.HAS_STORAGE) & keys.first.any(axis=1)
        stored[self.leaf_of_key[has_storage]] = 1
        has_nonce = (keys.kind == StateKind.NONCE) & keys.first.any(axis=1)
        has_code = (keys.kind == StateKind.CODE_HASH) & (keys.first != _EMPTY_CODE).any(axis=1)
        stored[self.leaf_of_key[has_nonce | has_code]] = 0
        return stored
