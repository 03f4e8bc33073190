"""What a segment states: the encodings behind its commitments, its running hashes and its public values.

Everything here is used twice: by the tables that prove the commitments and by the verifier that recomputes them from
the public data of the batch. An item is hashed as h_0 = (tag, 0, ..), h_{i+1} = C(h_i, i-th block of 8 elements); items
have fixed lengths, so the tag alone separates their domains. A running hash is c' = C(c, item digest).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.layout import Layout, element
from circuits.functions.poseidon2 import compress, compress_chain
from circuits.widths import ADDRESS, DIGEST, NONCE, U64, WORD

#: Raised whenever the meaning of a proof changes; part of the public values.
CIRCUIT_VERSION = 6


class Form(IntEnum):
    """Forms of a circuit: which of its tables it has (`circuits.segment.LISTED`). A proof file has these numbers."""

    WHOLE = 0
    LIGHT = 1
    COMMON = 2

    def key_set(self, circuit: str) -> str:
        """The name of the keys of a circuit in this form (`verifier.keys`)."""
        return circuit if self is Form.WHOLE else f"{circuit}-{self.name.lower()}"

    @classmethod
    def of_keys(cls, name: str) -> tuple[str, Form]:
        """Inverse of `key_set`: the circuit, and the form that it has. Raises `KeyError` for another name."""
        circuit, _, form = name.partition("-")
        return circuit, cls[form.upper()] if form else cls.WHOLE


#: Tables that only the last segment of a run may have (`circuits.carry`): they number their rows (ids are row
#: numbers), or have one row for each account and slot; and those that talk to these alone.
LAST_TABLES = frozenset(
    {
        *("block", "code", "calldata", "init_code"),
        *("account_leaf", "account_code_leaf", "storage_leaf", "account", "account_code", "storage"),
        *("code_leaf", "hash_leaf", "access_node"),
    }
)

Digests = NDArray[np.uint32]


def initial(tag: int) -> Digests:
    """The state a hash with this tag starts from, (8,)."""
    state = np.zeros(DIGEST, dtype=np.uint32)
    state[0] = tag
    return state


@dataclass(frozen=True)
class Item:
    """The layout of a hashed item: its domain tag and its fields with their numbers of elements.

    Limbs are 16 bits wide, the least significant first; everything else is one element.
    """

    tag: int
    fields: tuple[tuple[str, int], ...]

    @property
    def blocks(self) -> int:
        """Blocks of 8 elements, the last one padded with zeros."""
        return -(-sum(size for _, size in self.fields) // DIGEST)

    def encode(self, **columns: Any) -> NDArray[np.uint32]:
        """Items (n, 8 k) from one array (n, size) or (n,) for every field, in any order."""
        parts = []
        for name, size in self.fields:
            column = np.asarray(columns.pop(name))
            part = column.reshape(len(column), prod(column.shape[1:])).astype(np.uint32)
            if part.shape[1] != size:
                raise ValueError(f"{name}: {part.shape[1]} elements instead of {size}")
            parts.append(part)
        if columns:
            raise ValueError(f"no such fields: {', '.join(columns)}")
        rows, width = len(parts[0]), sum(part.shape[1] for part in parts)
        parts.append(np.zeros((rows, DIGEST * self.blocks - width), dtype=np.uint32))
        return np.concatenate(parts, axis=1)

    def states(self, **columns: Any) -> Digests:
        """All hash states behind the first one, (n, k, 8), the digest last."""
        blocks = self.encode(**columns).reshape(-1, self.blocks, DIGEST)
        states = np.empty(blocks.shape, dtype=np.uint32)
        state = np.broadcast_to(initial(self.tag), (len(blocks), DIGEST))
        for i in range(self.blocks):
            state = states[:, i] = compress(state, blocks[:, i])
        return states

    def digests(self, **columns: Any) -> Digests:
        """Digests (n, 8)."""
        digests: Digests = self.states(**columns)[:, -1]
        return digests


#: A block context. `scope`: number of the block's first operation in the batch.
BLOCK_ITEM = Item(
    1,
    (
        ("scope", 1),
        ("coinbase", ADDRESS),
        ("base_fee", WORD),
        ("gas_limit", U64),
        ("number", U64),
        ("timestamp", U64),
        ("prev_randao", WORD),
        ("blob_base_fee", WORD),
        ("chain_id", U64),
    ),
)

#: A transaction; `to` is 0 where it creates a contract. Calldata and blob hashes are committed to by `buffer_digests`,
#: the access list by `access_digests`; `access_addresses` and `access_keys` count its entries, repetitions included;
#: `blobs` is at most 2^8.
TRANSACTION_ITEM = Item(
    2,
    (
        ("block_digest", DIGEST),
        ("sender", ADDRESS),
        ("to", ADDRESS),
        ("creates", 1),
        ("nonce", NONCE),
        ("gas_limit", U64),
        ("value", WORD),
        ("max_fee", WORD),
        ("max_priority", WORD),
        ("zero_bytes", 1),
        ("nonzero_bytes", 1),
        ("calldata_digest", DIGEST),
        ("access_digest", DIGEST),
        ("access_addresses", 1),
        ("access_keys", 1),
        ("blobs", 1),
        ("blob_digest", DIGEST),
        ("max_blob_fee", WORD),
    ),
)

#: A transaction of a fork that has set-code transactions (EIP-7702): what it is without them, and the list of
#: authorizations, committed to by `authorization_digest`, with the number of its entries; at most 2^13.
SET_CODE_ITEM = Item(14, (*TRANSACTION_ITEM.fields, ("authorization_digest", DIGEST), ("authorizations", 1)))

#: An entry of a list of authorizations: the account that has signed it, the one whose code it wants to have, and the
#: nonce that the first one must have. All are 0 where `valid` is: the entry has no effect, whatever the state is.
AUTHORIZATION_ITEM = Item(15, (("valid", 1), ("authority", ADDRESS), ("address", ADDRESS), ("nonce", NONCE)))

#: A withdrawal (EIP-4895); `amount` in wei.
WITHDRAWAL_ITEM = Item(3, (("scope", 1), ("address", ADDRESS), ("amount", WORD)))

#: The beacon-root write of a block (EIP-4788): two slots and what is written to them.
BEACON_ITEM = Item(4, (("scope", 1), ("time_slot", WORD), ("timestamp", WORD), ("root_slot", WORD), ("root", WORD)))

#: A log entry: topics beyond `topic_count` are 0, `data_digest` is `buffer_digests` of the data.
LOG_ITEM = Item(
    5,
    (
        ("address", ADDRESS),
        ("topic_count", 1),
        ("size", 1),
        ("data_digest", DIGEST),
        ("topics", 4 * WORD),
    ),
)

#: The end of a transaction in the running hash of receipts, behind its logs.
RECEIPT_ITEM = Item(6, (("status", 1), ("gas_used", U64)))

#: A new value of a leaf of the access tree: of an account its balance and nonce, of a slot its value (nonce 0).
#: `scope`: the operation of a slot's write, the block's first operation for an account's.
WRITE_ITEM = Item(7, (("scope", 1), ("leaf", 1), ("value", WORD), ("nonce", NONCE)))

#: An entry of an access list: an address, with `slot` 0, or a storage key of it.
ACCESS_ITEM = Item(8, (("is_key", 1), ("address", ADDRESS), ("slot", WORD)))

#: A new code hash of an account's leaf; `scope`: the block's first operation.
CODE_ITEM = Item(9, (("scope", 1), ("leaf", 1), ("code_hash", WORD)))

#: The write of the parent's hash by a block (EIP-2935): a slot and what is written to it.
HISTORY_ITEM = Item(12, (("scope", 1), ("slot", WORD), ("hash", WORD)))

#: A call of a system contract outside of transactions. `returns`: 1 where it must succeed, and `output_size` and
#: `output_digest` (`buffer_digests`) are of what it returns (EIP-7685); elsewhere they are those of no bytes.
SYSTEM_CALL_ITEM = Item(
    13,
    (
        ("block_digest", DIGEST),
        ("address", ADDRESS),
        ("returns", 1),
        ("input_size", 1),
        ("input_digest", DIGEST),
        ("output_size", 1),
        ("output_digest", DIGEST),
    ),
)

#: What a part of a run has in common with another one (`circuits.carry`): the number of that part, whether it is a
#: later one, and the running hash of the messages.
LINK_ITEM = Item(28, (("other", 1), ("out", 1), ("digest", DIGEST)))

#: Tags of hashes that are no items: running hashes, keys of the access tree, buffers.
TAG_OPERATIONS = 16
TAG_RECEIPTS = 17
TAG_WRITES = 18
TAG_KEY = 19
TAG_BUFFER = 21
TAG_ACCESS_LIST = 22
TAG_AUTHORIZATIONS = 26
TAG_CARRY = 27
TAG_LINKS = 29

OPERATIONS_START = initial(TAG_OPERATIONS)
RECEIPTS_START = initial(TAG_RECEIPTS)
WRITES_START = initial(TAG_WRITES)
CARRY_START = initial(TAG_CARRY)
LINKS_START = initial(TAG_LINKS)
BUFFER_START = initial(TAG_BUFFER)
ACCESS_LIST_START = initial(TAG_ACCESS_LIST)
AUTHORIZATIONS_START = initial(TAG_AUTHORIZATIONS)

#: The two halves of a word of a buffer are absorbed one after the other.
BLOCKS_PER_WORD = 2


def running_chain(start: Digests, digests: Digests) -> Digests:
    """The running hash before and after each item: start (8,), digests (n, 8) -> (n + 1, 8)."""
    return np.concatenate([start[None], compress_chain(start, digests)])


def links_chain(part: int, others: Sequence[int], digests: Digests) -> Digests:
    """Running hash of the links of a part of a run before and after each, (n + 1, 8).

    Args:
        part: its number.
        others: numbers of the other parts, ascending.
        digests: (n, 8), running hashes of the messages of each link.
    """
    numbers = np.array(others, dtype=np.uint32)
    return running_chain(LINKS_START, LINK_ITEM.digests(other=numbers, out=numbers > part, digest=digests))


def ragged_chains(start: Digests, blocks: NDArray[np.uint32], counts: NDArray[np.integer[Any]]) -> Digests:
    """Running hashes of many sequences of blocks, laid end to end.

    Args:
        start: state that every sequence starts from, (8,).
        blocks: of all sequences, (n, 8).
        counts: blocks of each sequence, (m,), their sum n.

    Returns:
        The state after each block, (n, 8).
    """
    sequences = np.split(blocks, np.cumsum(counts)[:-1]) if len(counts) else []
    return np.concatenate([np.zeros((0, DIGEST), dtype=np.uint32), *(compress_chain(start, s) for s in sequences)])


def buffer_words(data: bytes) -> NDArray[np.uint32]:
    """Bytes as big-endian words of 16 little-endian limbs, zero-padded: (max(1, ceil(size / 32)), 16)."""
    padded = data + bytes(-len(data) % 32 or (0 if data else 32))
    big_endian = np.frombuffer(padded, dtype=">u2").reshape(-1, WORD)
    return np.ascontiguousarray(big_endian[:, ::-1]).astype(np.uint32)


def buffer_digests(buffers: list[bytes]) -> Digests:
    """Digests (n, 8) of byte strings: the running hash of the halves of their words (of one zero word when empty)."""
    if not buffers:
        return np.zeros((0, DIGEST), dtype=np.uint32)
    words = [buffer_words(data) for data in buffers]
    counts = np.array([BLOCKS_PER_WORD * len(w) for w in words])
    states = ragged_chains(BUFFER_START, np.concatenate(words).reshape(-1, DIGEST), counts)
    digests: Digests = states[np.cumsum(counts) - 1]
    return digests


@cache
def empty_digest() -> tuple[int, ...]:
    """The digest of no bytes, 8 integers; not made before it is asked for, so that who verifies chooses the engine."""
    return tuple(int(x) for x in buffer_digests([b""])[0])


def access_list_digest(is_key: NDArray[Any], address: NDArray[Any], slot: NDArray[Any]) -> Digests:
    """Digest (8,) of one access list: entries in order, (n,), (n, 10), (n, 16); every address before its keys."""
    digest: Digests = running_chain(ACCESS_LIST_START, ACCESS_ITEM.digests(is_key=is_key, address=address, slot=slot))[
        -1
    ]
    return digest


def authorizations_digest(**columns: Any) -> Digests:
    """Digest (8,) of a list of authorizations: the fields of `AUTHORIZATION_ITEM` of its entries in order."""
    digest: Digests = running_chain(AUTHORIZATIONS_START, AUTHORIZATION_ITEM.digests(**columns))[-1]
    return digest


def gas_limbs(gas: NDArray[Any]) -> NDArray[np.uint32]:
    """Gas amounts (n,) below 2^64 as limbs (n, 4)."""
    limbs = np.asarray(gas).astype("<u8").view("<u2").reshape(-1, U64)
    return limbs.astype(np.uint32)


_VERIFIER = "compared by the verifier, constrained by the segment table"


class PublicColumns(Layout):
    """Public values of a segment, in the order of the proof."""

    version = element("circuit version", by=_VERIFIER)
    first_operation = element("number of the first operation in the batch", by=_VERIFIER)
    end_operation = element("number behind the last operation", by=_VERIFIER)
    depth = element("depth of the access tree", by=_VERIFIER)
    operations_in = element("running hash of operations before the segment", DIGEST, by=_VERIFIER)
    operations_out = element("running hash of operations behind the segment", DIGEST, by=_VERIFIER)
    receipts_in = element("running hash of logs and receipts before the segment", DIGEST, by=_VERIFIER)
    receipts_out = element("running hash of logs and receipts behind the segment", DIGEST, by=_VERIFIER)
    writes_out = element("running hash of the segment's writes to leaves", DIGEST, by=_VERIFIER)
    access_in = element("root of the access tree before the segment", DIGEST, by=_VERIFIER)
    access_out = element("root of the access tree behind the segment", DIGEST, by=_VERIFIER)
    time_in = element("time at which the segment begins", by=_VERIFIER)
    time_out = element("time at which it ends; 0 where nobody asks", by=_VERIFIER)
    links = element("running hash of what it has in common with other parts of its run", DIGEST, by=_VERIFIER)


@dataclass(frozen=True)
class SegmentPublicValues:
    """The public values of one segment; digests are (8,) `uint32`."""

    version: int
    first_operation: int
    end_operation: int
    depth: int
    operations_in: Digests
    operations_out: Digests
    receipts_in: Digests
    receipts_out: Digests
    writes_out: Digests
    access_in: Digests
    access_out: Digests
    time_in: int
    time_out: int
    links: Digests

    def to_list(self) -> list[int]:
        """Canonical integers in the order of `PublicColumns`."""
        return [int(v) for f in fields(self) for v in np.atleast_1d(getattr(self, f.name))]
