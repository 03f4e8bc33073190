"""Segment proofs: the public values each must have, chained through the batch, and the engine's verification.

The commitments are those of `circuits.statement`. What a segment proves: its transactions, executed in order on an
access tree with the root `access_in`, have the effects committed to, and lead to the root `access_out`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import zkevm_native
from numpy.typing import NDArray

from circuits.access_tree import leaf_digests, root, tree_depth
from circuits.limbs import addresses_from_bytes, u64_from_ints, words_from_bytes, words_from_ints
from circuits.statement import (
    CIRCUIT_VERSION,
    EFFECTS_START,
    TRANSACTIONS_START,
    SegmentPublicValues,
    block_digests,
    effects_digests,
    running_chain,
    transaction_digests,
)
from verifier.container import Effects, SegmentRecord, StateKey
from verifier.errors import Invalid
from verifier.headers import Header
from verifier.keys import PinnedKey
from verifier.state import Leaves
from verifier.transactions import Transaction

MIN_SECURITY_BITS = 100.0
PUBLIC_TABLE = "segment"
"""The table that holds the public values of a segment; no other table has any."""

Digests = NDArray[np.uint32]


def check_plan(segments: Sequence[SegmentRecord], transactions: int) -> None:
    """Check that the segments follow each other and cover exactly the transactions 0 to `transactions`.

    Raises:
        Invalid: on a gap, an overlap, an empty segment, or a wrong end.
    """
    position = 0
    for number, segment in enumerate(segments):
        if segment.first != position:
            raise Invalid(f"segment {number} starts at transaction {segment.first} instead of {position}")
        if segment.end <= segment.first:
            raise Invalid(f"segment {number} has no transactions")
        position = segment.end
    if position != transactions:
        raise Invalid(f"the segments end at transaction {position} instead of {transactions}")


def access_root(keys: Sequence[StateKey], values: NDArray[np.uint16]) -> Digests:
    """Root of the access tree over at least one key, (8,).

    Args:
        keys: K sorted state keys.
        values: (K, 16) uint16, little-endian limbs.
    """
    kinds = np.array([kind for kind, _ in keys], dtype=np.uint32)
    addresses = addresses_from_bytes([address for _, address in keys])
    return root(leaf_digests(kinds, addresses, values), tree_depth(len(keys)))


def transactions_chain(
    headers: Sequence[Header], transactions: Sequence[Sequence[Transaction]], chain_id: int
) -> Digests:
    """Running commitment to the transactions and their block contexts.

    Args:
        headers: of the b blocks.
        transactions: of each block; n in all.
        chain_id: of the batch.

    Returns:
        (n + 1, 8) uint32: entry t is the commitment to the first t transactions.
    """
    flat = [transaction for block in transactions for transaction in block]
    if not flat:
        return TRANSACTIONS_START[None, :]
    contexts = block_digests(
        coinbase=addresses_from_bytes([h.coinbase for h in headers]),
        base_fee=words_from_ints([h.base_fee for h in headers]),
        gas_limit=u64_from_ints([h.gas_limit for h in headers]),
        number=u64_from_ints([h.number for h in headers]),
        timestamp=u64_from_ints([h.timestamp for h in headers]),
        prev_randao=words_from_bytes([h.prev_randao for h in headers]),
        excess_blob_gas=u64_from_ints([h.excess_blob_gas for h in headers]),
        chain_id=u64_from_ints([chain_id])[0],
    )
    counts = [len(block) for block in transactions]
    digests = transaction_digests(
        np.repeat(contexts, counts, axis=0),
        sender=addresses_from_bytes([t.sender for t in flat]),
        to=addresses_from_bytes([t.to for t in flat]),
        nonce=u64_from_ints([t.nonce for t in flat]),
        gas_limit=np.array([t.gas_limit for t in flat], dtype=np.uint32),
        value=words_from_ints([t.value for t in flat]),
        max_fee=words_from_ints([t.max_fee for t in flat]),
        max_priority=words_from_ints([t.max_priority for t in flat]),
        zero_bytes=np.array([t.zero_bytes for t in flat], dtype=np.uint32),
        nonzero_bytes=np.array([t.nonzero_bytes for t in flat], dtype=np.uint32),
        access_addresses=np.array([t.access_addresses for t in flat], dtype=np.uint32),
        access_keys=np.array([t.access_keys for t in flat], dtype=np.uint32),
    )
    return running_chain(TRANSACTIONS_START, digests)


def effects_chain(effects: Effects, leaves: Leaves) -> Digests:
    """Running commitment to what n transactions did.

    Returns:
        (n + 1, 8) uint32: entry t is the commitment to the effects of the first t transactions.
    """
    if not len(effects):
        return EFFECTS_START[None, :]
    digests = effects_digests(
        status=effects.status.astype(np.uint32),
        gas_used=effects.gas_used,
        nonce_leaf=leaves.nonce.astype(np.uint32),
        nonce_after=effects.nonce,
        leaf=leaves.balances.astype(np.uint32),
        after=effects.balances,
    )
    return running_chain(EFFECTS_START, digests)


def expected_public_values(
    segments: Sequence[SegmentRecord],
    keys: int,
    transactions: Digests,
    effects: Digests,
    access_first: Digests,
    access_last: Digests,
) -> list[list[int]]:
    """The public values each segment proof must have.

    Args:
        segments: of a plan that `check_plan` accepts.
        keys: number of state keys.
        transactions, effects: (n + 1, 8), the running commitments.
        access_first, access_last: (8,), roots of the access tree before and after the batch.

    Raises:
        Invalid: if the last segment does not end in `access_last`.
    """
    access = access_first
    expected = []
    for segment in segments:
        values = SegmentPublicValues(
            version=CIRCUIT_VERSION,
            first_transaction=segment.first,
            end_transaction=segment.end,
            depth=tree_depth(keys),
            transactions_in=transactions[segment.first],
            transactions_out=transactions[segment.end],
            effects_in=effects[segment.first],
            effects_out=effects[segment.end],
            access_in=access,
            access_out=np.array(segment.access_out, dtype=np.uint32),
        )
        expected.append(values.to_list())
        access = values.access_out
    if not np.array_equal(access, access_last):
        raise Invalid("the access root after the last segment is not that of the values the transactions leave")
    return expected


def verify_segment(segment: SegmentRecord, expected: list[int], key: PinnedKey) -> float:
    """Verify one segment proof with a pinned key and compare its public values.

    Args:
        segment: with the proof.
        expected: the public values it must have, in their order.
        key: the pinned key for the segment's height.

    Returns:
        Proven bits of security of the proof, at its table heights.

    Raises:
        Invalid: if the proof is malformed, does not verify, has other public values or less than 100 bits of security.
    """
    try:
        verified = zkevm_native.verify(key.verifying_key, bytes(segment.proof))
    except zkevm_native.EngineError as error:
        raise Invalid(f"the engine refuses the proof: {error}") from error
    wanted = [expected if table == PUBLIC_TABLE else [] for table in key.tables]
    if [list(values) for values in verified.public_values] != wanted:
        raise Invalid("the proof is one of other public values")
    bits = float(key.verifying_key.security(verified.log_heights)["total"])
    if bits < MIN_SECURITY_BITS:
        raise Invalid(f"the proof has {bits:.1f} bits of security, {MIN_SECURITY_BITS:.0f} are needed")
    return bits
