"""Buses of the state: histories of accounts and slots, their accesses, the access tree and the writes to its leaves."""

from __future__ import annotations

from circuits.air.bus import Bus, BusField, BusKind
from circuits.widths import ADDRESS, DIGEST, NONCE, WORD

TREE = Bus(
    index=3,
    name="tree",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("level", 1, "distance from the leaves", "sender"),
        BusField("index", 1, "position within the level", "receiver: twice the parent's index plus the side"),
        BusField("before", DIGEST, "digest at the segment's start", "sender: poseidon2"),
        BusField("after", DIGEST, "digest at the segment's end", "sender: poseidon2"),
    ),
    argument="The only receiver that sends nothing on is the segment table, for the root. Every other node is received "
    "by one parent at one side, so the rows form one tree below that root and no position occurs twice.",
)

ACCOUNT_STATE = Bus(
    index=5,
    name="account_state",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("leaf", 1, "index of the account's leaf in the access tree", "account_leaf: its tree path"),
        BusField("address", ADDRESS, "address limbs", "account_leaf: its leaf digest"),
        BusField("balance", WORD, "word limbs", "sender; the first: the leaf digest"),
        BusField("nonce", NONCE, "u64 limbs", "sender; the first: the leaf digest"),
        BusField("code_hash", WORD, "word limbs", "the leaf digest"),
        BusField("scope", 1, "1 + scope of the block that left this; 0 at the segment's start", "sender"),
    ),
    argument="An account has one leaf and so one first token. Every `account` row receives a token of a smaller scope "
    "and sends one of its own, so an account has at most one row per block and the rows form one chain.",
)

STORAGE_STATE = Bus(
    index=6,
    name="storage_state",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("leaf", 1, "index of the slot's leaf in the access tree", "storage_leaf: its tree path"),
        BusField("kind", 1, "leaf kind: storage or transient storage", "storage_leaf: its leaf digest"),
        BusField("address", ADDRESS, "address limbs", "storage_leaf: its leaf digest"),
        BusField("slot", WORD, "word limbs", "storage_leaf: its leaf digest"),
        BusField("value", WORD, "word limbs", "sender; the first: the leaf digest"),
        BusField("scope", 1, "1 + number of the operation that left this; 0 at the segment's start", "sender"),
    ),
    argument="As account_state, with operations for blocks: a slot has at most one `storage` row per operation.",
)

ACCOUNT = Bus(
    index=7,
    name="account",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("scope", 1, "scope of the block", "account: account_state"),
        BusField("address", ADDRESS, "address limbs", "account: account_state"),
        BusField("balance", WORD, "word limbs", "sender"),
        BusField("nonce", NONCE, "u64 limbs", "sender"),
        BusField("code_hash", WORD, "word limbs", "account: account_state"),
        BusField("warm", 1, "1 + number of the last operation that touched the address; 0: none", "sender"),
        BusField("time", 1, "time of the access", "sender"),
    ),
    argument="The account row of a block sends the first token and receives the last. Every access receives an earlier "
    "token and sends one of its own time, so the tokens form one chain in time order.",
)

STORAGE = Bus(
    index=8,
    name="storage",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("kind", 1, "leaf kind: storage or transient storage", "storage: storage_state"),
        BusField("operation", 1, "number of the operation", "storage: storage_state"),
        BusField("address", ADDRESS, "address limbs", "storage: storage_state"),
        BusField("slot", WORD, "word limbs", "storage: storage_state"),
        BusField("value", WORD, "word limbs", "sender"),
        BusField("warm", 1, "1: the operation has touched the slot", "sender"),
        BusField("time", 1, "time of the access", "sender"),
    ),
    argument="As account: one chain of accesses for each operation and slot, from the storage row and back to it.",
)

ORIGINAL = Bus(
    index=9,
    name="original",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("operation", 1, "number of the operation", "storage: storage_state"),
        BusField("address", ADDRESS, "address limbs", "storage: storage_state"),
        BusField("slot", WORD, "word limbs", "storage: storage_state"),
        BusField("value", WORD, "value before the operation (EIP-2200)", "storage: storage_state"),
    ),
    argument="A storage slot has one row per operation, and the row provides the value it was opened with.",
)

STATUS = Bus(
    index=10,
    name="status",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("operation", 1, "number of the operation", "its table: chain"),
        BusField("status", 1, "1: what the operation wrote to storage stays", "transaction: the result; others: 1"),
    ),
    argument="The chain has one row for each operation number, and that row provides its status.",
)

WRITES = Bus(
    index=11,
    name="writes",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("count", 1, "writes so far", "sender"),
        BusField("writes", DIGEST, "running hash of the writes", "sender: poseidon2"),
    ),
    argument="As chain: one path from the segment table back to it, in any order of the prover's choice; the verifier "
    "orders writes by their scopes, of which every key has each at most once in a segment.",
)

CODE_LEAF = Bus(
    index=29,
    name="code_leaf",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("hash", WORD, "keccak256 of the code", "code_leaf: its tree path"),
        BusField("root", DIGEST, "root of the tree of its chunks", "code_leaf: its tree path"),
        BusField("size", 1, "bytes of the code", "code_leaf: its tree path"),
        BusField("depth", 1, "level of the root", "code_leaf: its tree path"),
    ),
    argument="The row is a leaf of the access tree that does not change.",
)

BLOCK_HASH = Bus(
    index=41,
    name="block_hash",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("number", WORD, "number of the block", "hash_leaf: its tree path"),
        BusField("hash", WORD, "word limbs", "hash_leaf: its tree path"),
    ),
    argument="The row is a leaf of the access tree that does not change.",
)
