"""What a segment states: the encodings behind its commitments, its running hashes and its public values.

Everything here is used twice: by the tables that prove the commitments and by the verifier that recomputes them from
the public data of the batch. An item is hashed as h_0 = (tag, 0, ..), h_{i+1} = C(h_i, i-th block of 8 elements); items
have fixed lengths, so the tag alone separates their domains. A running hash is c' = C(c, item digest).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.layout import Layout, element
from circuits.buses import DIGEST
from circuits.poseidon2 import compress

#: Raised whenever the meaning of a proof changes; part of the public values.
CIRCUIT_VERSION = 1

#: Domain tags of the hashed items and of the two running hashes.
TAG_BLOCK = 1
TAG_TRANSACTION = 2
TAG_EFFECTS = 3
TAG_TRANSACTIONS = 4
TAG_ALL_EFFECTS = 5
TAG_KEY = 6

BLOCK_BLOCKS = 8
TRANSACTION_BLOCKS = 11
EFFECTS_BLOCKS = 8

Limbs = NDArray[np.uint16]
Integers = NDArray[np.uint32]
Digests = NDArray[np.uint32]


def initial(tag: int) -> Digests:
    """The state a hash with this tag starts from, (8,)."""
    state = np.zeros(DIGEST, dtype=np.uint32)
    state[0] = tag
    return state


TRANSACTIONS_START = initial(TAG_TRANSACTIONS)
EFFECTS_START = initial(TAG_ALL_EFFECTS)


def item_states(tag: int, items: NDArray[np.uint32]) -> Digests:
    """All hash states of items (n, 8 k): (n, k + 1, 8), the digest last."""
    blocks = items.reshape(len(items), -1, DIGEST)
    states = np.empty((len(items), blocks.shape[1] + 1, DIGEST), dtype=np.uint32)
    states[:, 0] = initial(tag)
    for i in range(blocks.shape[1]):
        states[:, i + 1] = compress(states[:, i], blocks[:, i])
    return states


def _item(blocks: int, parts: Sequence[NDArray[np.integer[Any]]]) -> NDArray[np.uint32]:
    columns = [p.astype(np.uint32).reshape(len(p), prod(p.shape[1:])) for p in parts]
    width = sum(c.shape[1] for c in columns)
    columns.append(np.zeros((len(columns[0]), DIGEST * blocks - width), dtype=np.uint32))
    return np.concatenate(columns, axis=1)


def gas_limbs(gas: Integers) -> NDArray[np.uint32]:
    """Gas amounts (n,) below 2^30 as two limbs (n, 2)."""
    return np.stack([gas & 0xFFFF, gas >> 16], axis=1).astype(np.uint32)


def block_items(
    coinbase: Limbs,
    base_fee: Limbs,
    gas_limit: Limbs,
    number: Limbs,
    timestamp: Limbs,
    prev_randao: Limbs,
    excess_blob_gas: Limbs,
    chain_id: Limbs,
) -> NDArray[np.uint32]:
    """Block contexts as items (b, 64)."""
    chain = np.broadcast_to(chain_id, (len(coinbase), 4))
    return _item(BLOCK_BLOCKS, [coinbase, base_fee, gas_limit, number, timestamp, prev_randao, excess_blob_gas, chain])


def block_digests(
    coinbase: Limbs,
    base_fee: Limbs,
    gas_limit: Limbs,
    number: Limbs,
    timestamp: Limbs,
    prev_randao: Limbs,
    excess_blob_gas: Limbs,
    chain_id: Limbs,
) -> Digests:
    """Digests (b, 8) of block contexts: coinbase (b, 10), base fee and prev_randao (b, 16), gas limit, number,
    timestamp and excess blob gas (b, 4), chain id (4,)."""
    items = block_items(coinbase, base_fee, gas_limit, number, timestamp, prev_randao, excess_blob_gas, chain_id)
    return item_states(TAG_BLOCK, items)[:, -1]


def transaction_items(
    block_digest: Digests,
    sender: Limbs,
    to: Limbs,
    nonce: Limbs,
    gas_limit: Integers,
    value: Limbs,
    max_fee: Limbs,
    max_priority: Limbs,
    zero_bytes: Integers,
    nonzero_bytes: Integers,
    access_addresses: Integers,
    access_keys: Integers,
) -> NDArray[np.uint32]:
    """Transactions as items (n, 88)."""
    amounts: list[NDArray[np.integer[Any]]] = [nonce, gas_limbs(gas_limit), value, max_fee, max_priority]
    counts = [zero_bytes, nonzero_bytes, access_addresses, access_keys]
    return _item(TRANSACTION_BLOCKS, [block_digest, sender, to, *amounts, *counts])


def transaction_digests(
    block_digest: Digests,
    sender: Limbs,
    to: Limbs,
    nonce: Limbs,
    gas_limit: Integers,
    value: Limbs,
    max_fee: Limbs,
    max_priority: Limbs,
    zero_bytes: Integers,
    nonzero_bytes: Integers,
    access_addresses: Integers,
    access_keys: Integers,
) -> Digests:
    """Digests (n, 8) of transactions: block digest (n, 8), addresses (n, 10), nonce (n, 4), words (n, 16),
    counts (n,)."""
    items = transaction_items(
        block_digest,
        sender,
        to,
        nonce,
        gas_limit,
        value,
        max_fee,
        max_priority,
        zero_bytes,
        nonzero_bytes,
        access_addresses,
        access_keys,
    )
    return item_states(TAG_TRANSACTION, items)[:, -1]


def effects_items(
    status: Integers,
    gas_used: Integers,
    nonce_leaf: Integers,
    nonce_after: Limbs,
    leaf: Integers,
    after: Limbs,
) -> NDArray[np.uint32]:
    """Effects as items (n, 64)."""
    written = np.concatenate([leaf[:, :, None].astype(np.uint32), after.astype(np.uint32)], axis=2)
    return _item(EFFECTS_BLOCKS, [status, gas_limbs(gas_used), nonce_leaf, nonce_after, written])


def effects_digests(
    status: Integers,
    gas_used: Integers,
    nonce_leaf: Integers,
    nonce_after: Limbs,
    leaf: Integers,
    after: Limbs,
) -> Digests:
    """Digests (n, 8) of effects: status and gas used (n,), the nonce's leaf (n,) and new value (n, 4), the leaves
    (n, 3) and new values (n, 3, 16) of the balances of sender, recipient and coinbase, in the order of the writes."""
    return item_states(TAG_EFFECTS, effects_items(status, gas_used, nonce_leaf, nonce_after, leaf, after))[:, -1]


def running_chain(start: Digests, digests: Digests) -> Digests:
    """The running hash before and after each item: start (8,), digests (n, 8) -> (n + 1, 8)."""
    chain: Digests = running_chains(start[None], digests[None])[0]
    return chain


def running_chains(starts: Digests, digests: Digests) -> Digests:
    """Several running hashes of equally many items side by side: (m, 8), (m, n, 8) -> (m, n + 1, 8)."""
    chains, items = digests.shape[:2]
    states = np.empty((chains, items + 1, DIGEST), dtype=np.uint32)
    states[:, 0] = starts
    for i in range(items):  # sequential by nature: each state needs the one before
        states[:, i + 1] = compress(states[:, i], digests[:, i])
    return states


_VERIFIER = "compared by the verifier, constrained by the segment table"


class PublicColumns(Layout):
    """Public values of a segment, in the order of the proof."""

    version = element("circuit version", by=_VERIFIER)
    first_transaction = element("number of the first transaction in the batch", by=_VERIFIER)
    end_transaction = element("number behind the last transaction", by=_VERIFIER)
    depth = element("depth of the access tree", by=_VERIFIER)
    transactions_in = element("running hash of transactions before the segment", DIGEST, by=_VERIFIER)
    transactions_out = element("running hash of transactions behind the segment", DIGEST, by=_VERIFIER)
    effects_in = element("running hash of effects before the segment", DIGEST, by=_VERIFIER)
    effects_out = element("running hash of effects behind the segment", DIGEST, by=_VERIFIER)
    access_in = element("root of the access tree before the segment", DIGEST, by=_VERIFIER)
    access_out = element("root of the access tree behind the segment", DIGEST, by=_VERIFIER)


@dataclass(frozen=True)
class SegmentPublicValues:
    """The public values of one segment; digests are (8,) `uint32`."""

    version: int
    first_transaction: int
    end_transaction: int
    depth: int
    transactions_in: Digests
    transactions_out: Digests
    effects_in: Digests
    effects_out: Digests
    access_in: Digests
    access_out: Digests

    def to_list(self) -> list[int]:
        """Canonical integers in the order of `PublicColumns`."""
        return [int(v) for f in fields(self) for v in np.atleast_1d(getattr(self, f.name))]
