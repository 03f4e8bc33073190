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
    argument="The only receiver that sends nothing on is the segment table, for the root. Every other node is "
    "received by one parent at one side, so the rows form one tree below that root and no position occurs twice.",
)

ACCOUNT_STATE = Bus(
    index=5,
    name="account_state",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("leaf", 1, "index of the account's leaf in the access tree", "account_leaf: its tree path"),
        BusField("address", ADDRESS, "address limbs", "account_leaf: its leaf digest"),
        BusField(
            "stored",
            1,
            "1: storage, but neither nonce nor code, in the batch's pre-state (EIP-7610); else 0",
            "account_leaf: its leaf digest",
        ),
        BusField("balance", WORD, "word limbs", "sender; the first: the leaf digest"),
        BusField("nonce", NONCE, "u64 limbs", "sender; the first: the leaf digest"),
        BusField("code_hash", WORD, "word limbs", "sender; the first: the leaf digest"),
        BusField("scope", 1, "1 + scope of the block that left this; 0 at the segment's start", "sender"),
    ),
    argument="An account has one leaf and so one first token. Every row of `account` or `account_code` receives a "
    "token of a smaller scope and sends one of its own, so an account has at most one row per block in both and the "
    "rows form one chain. Both ends of it meet in one row of `account_leaf` or `account_code_leaf`.",
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
        BusField("world", 1, "frame that undoes what happens to this token; 0: none", "account: 0; account_undo"),
        BusField("address", ADDRESS, "address limbs", "account: account_state"),
        BusField("balance", WORD, "word limbs", "sender"),
        BusField("nonce", NONCE, "u64 limbs", "sender"),
        BusField("code_hash", WORD, "word limbs", "sender; the first: account_state"),
        BusField("warm", 1, "1 + number of the last operation that touched the address; 0: none", "sender"),
        BusField(
            "life",
            1,
            "0; 1: storage alone, where nothing is created (EIP-7610); or 2 (1 + operation) of the one that created "
            "the account, and 1 more if that has destroyed it; < 2^26",
            "sender; the first: account_state",
        ),
        BusField("time", 1, "time of the access", "sender"),
    ),
    argument="The account row of a block sends the first token of world 0 and receives the last. Every access "
    "receives an earlier token of its world and sends one of its own time, so the tokens of a world form one chain in "
    "time order. The chain of another world F is opened and closed by `account_undo` rows of F. Such a row moves the "
    "token of the outer world, unchanged, from before T, when F begins, to T, which one chain crosses once: there is "
    "one row for F and an account. The inner chain begins with the same values at T. While F runs the outer world "
    "rests, because only frames within F take steps: so at T the outer token is what F finds, and afterwards it is as "
    "if F had not been.",
)

STORAGE = Bus(
    index=8,
    name="storage",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("kind", 1, "leaf kind: storage or transient storage", "storage: storage_state"),
        BusField("operation", 1, "number of the operation", "storage: storage_state"),
        BusField("world", 1, "frame that undoes what happens to this token; 0: none", "storage: 0; storage_undo"),
        BusField("address", ADDRESS, "address limbs", "storage: storage_state"),
        BusField("slot", WORD, "word limbs", "storage: storage_state"),
        BusField("value", WORD, "word limbs", "sender"),
        BusField("warm", 1, "1: the operation has touched the slot", "sender"),
        BusField("time", 1, "time of the access", "sender"),
    ),
    argument="As account: one chain of accesses for each operation and slot in world 0, from the storage row and back "
    "to it, and one for each world, from its `storage_undo` row and back to that.",
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

LIFE = Bus(
    index=10,
    name="life",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("operation", 1, "number of the operation", "its table: chain"),
        BusField("dirty", 1, "1: the operation destroys accounts", "a constant of the provider"),
        BusField("address", ADDRESS, "address limbs; 0 where nothing is destroyed", "deletion, survivor: account"),
        BusField("destroyed", 1, "1: the operation destroys the account", "a constant of the provider"),
    ),
    argument="The row of an operation answers for all accounts when the operation has destroyed none: its count of "
    "destructions, which `deletion` brings to 0, is 0. Otherwise `deletion` answers for an account whose life says "
    "that the operation has destroyed it, and `survivor` for one whose life, after the operation's last step and "
    "before any deletion, does not say so.",
)

FAILURE = Bus(
    index=60,
    name="failure",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("frame", 1, "id of a frame that fails, which names its world", "frame: its row number"),
        BusField("outer", 1, "world around the frame", "frame: message"),
        BusField("operation", 1, "number of the transaction", "frame: message"),
        BusField("scope", 1, "scope of the block", "frame: message"),
        BusField("time", 1, "time at which it begins", "frame: message"),
    ),
    argument="There is one row for each frame id, and only rows whose halt is a failure provide it.",
)

SUBSTATE = Bus(
    index=13,
    name="substate",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("operation", 1, "number of the transaction", "transaction; substate_undo"),
        BusField("world", 1, "frame that undoes what happens to this token; 0: none", "transaction: 0; substate_undo"),
        BusField("refund", 1, "refund counter in gas (EIP-3529)", "sender"),
        BusField("destructions", 1, "accounts that the transaction has destroyed (EIP-6780), below 2^21", "sender"),
        BusField("time", 1, "time of the last change", "sender"),
    ),
    argument="As account: one chain per transaction in world 0, from the transaction and back to it, and one for each "
    "world, from its `substate_undo` row and back to that.",
)

TRANSFER = Bus(
    index=61,
    name="transfer",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("world", 1, "world in which ether moves", "sender"),
        BusField("operation", 1, "number of the transaction", "sender"),
        BusField("scope", 1, "scope of the block", "sender"),
        BusField("from", ADDRESS, "address limbs of the account that gives", "sender"),
        BusField("to", ADDRESS, "address limbs of the account that takes", "sender"),
        BusField("amount", WORD, "wei, word limbs", "sender"),
        BusField("creates", 1, "1: the account that takes is created", "sender: a bit"),
        BusField("time", 1, "the amount leaves at time + 1 and arrives at time + 2", "sender"),
    ),
    argument="Each request is served by one row of `transfer`, which accesses both accounts at its times.",
)

DELETION = Bus(
    index=62,
    name="deletion",
    kind=BusKind.PERMUTATION,
    fields=(
        BusField("operation", 1, "number of the transaction", "transaction"),
        BusField("scope", 1, "scope of the block", "transaction"),
        BusField("remaining", 1, "accounts that are still to be deleted", "sender"),
        BusField("time", 1, "time of the next deletion", "sender"),
    ),
    argument="A transaction sends the number of accounts that it has destroyed, and receives 0 as many units of time "
    "later. Each `deletion` row takes one from it and deletes a destroyed account, which is none afterwards. As many "
    "accounts are destroyed as the substate counts, for it counts each when its life changes, in the same world: so "
    "all of them are deleted.",
)

DESTROYING = Bus(
    index=63,
    name="destroying",
    kind=BusKind.LOOKUP,
    fields=(
        BusField("operation", 1, "number of the transaction", "transaction"),
        BusField("scope", 1, "scope of the block", "transaction"),
        BusField("time", 1, "time behind its last step and before its first deletion", "transaction"),
    ),
    argument="The chain has one row for each operation number, and that row provides it.",
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
