"""A segment: a run of whole transactions, proved with every table it needs.

Nothing but the public values crosses from one segment to the next, so segments are proved in any order anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from circuits import access_tree, block, poseidon2, transaction
from circuits import range as range_table
from circuits.air.circuit import Circuit
from circuits.air.field import Matrix
from circuits.air.layout import Layout, bit, padded_height
from circuits.air.queries import queries
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.buses import CHAIN, DIGEST, POSEIDON2, TREE
from circuits.statement import (
    BLOCK_BLOCKS,
    CIRCUIT_VERSION,
    EFFECTS_BLOCKS,
    EFFECTS_START,
    TAG_BLOCK,
    TAG_EFFECTS,
    TAG_TRANSACTION,
    TRANSACTION_BLOCKS,
    TRANSACTIONS_START,
    Digests,
    PublicColumns,
    SegmentPublicValues,
    block_items,
    item_states,
    running_chains,
)
from executor.transfers import TransferTrace


class Columns(Layout):
    """The segment's only column; what it states is public."""

    real = bit("1 on the first row")


class Segment(Table):
    """Ties the public values to the tables: the ends of the transaction chain and both roots of the access tree."""

    name = "segment"
    layout = Columns
    public = PublicColumns

    def constraints(self, air: Air) -> None:
        real, public = air.row.real, air.public
        air.require(real - air.is_first, "one segment")
        air.require(public.version - CIRCUIT_VERSION, "circuit version")
        first, end = public.first_transaction, public.end_transaction
        air.send(CHAIN, first, public.transactions_in, public.effects_in, count=real)
        air.receive(CHAIN, end, public.transactions_out, public.effects_out, count=real)
        air.receive(TREE, public.depth, 0, public.access_in, public.access_out, count=real)


#: Tables filled from events; the others are functions, filled from what these ask of them.
ACTING_TABLES = 5


@cache
def segment_circuit() -> Circuit:
    """The circuit of every segment."""
    return Circuit(
        "segment",
        [
            Segment(),
            transaction.Transaction(),
            block.Block(),
            access_tree.AccessLeaf(),
            access_tree.AccessNode(),
            poseidon2.Poseidon2(),
            range_table.Range16(),
        ],
    )


@dataclass(frozen=True)
class Boundary:
    """What a segment takes over from those before it: the running hashes (8,)."""

    transactions_in: Digests
    effects_in: Digests


@dataclass(frozen=True)
class FilledSegment:
    """Traces and public values of one segment, in the order of the circuit's tables."""

    traces: list[Matrix]
    public_values: SegmentPublicValues

    @property
    def public_lists(self) -> list[list[int]]:
        """Public values per table: only the segment table has any."""
        return [self.public_values.to_list() if i == 0 else [] for i in range(len(self.traces))]


def _block_items(trace: TransferTrace) -> np.ndarray:
    return block_items(
        trace.coinbase,
        trace.base_fee,
        trace.block_gas_limit,
        trace.block_number,
        trace.timestamp,
        trace.prev_randao,
        trace.excess_blob_gas,
        trace.chain_id,
    )


def boundaries(trace: TransferTrace, cuts: Sequence[int]) -> list[Boundary]:
    """The boundary at each cut: the running hashes before the batch's transaction of that number."""
    digests = item_states(TAG_BLOCK, _block_items(trace))[:, -1]
    items = transaction.committed_items(trace, digests)
    committed = item_states(TAG_TRANSACTION, items)[:, -1]
    effects = item_states(TAG_EFFECTS, transaction.committed_effects(trace))[:, -1]
    starts = np.stack([TRANSACTIONS_START, EFFECTS_START])
    chains = running_chains(starts, np.stack([committed, effects]))
    return [Boundary(*chains[:, cut]) for cut in cuts]


def fill(trace: TransferTrace, boundary: Boundary) -> FilledSegment:
    """Fill all tables of a segment.

    Args:
        trace: the segment's slice of the batch's trace, with at least one transaction.
        boundary: the running hashes before it.
    """
    if not trace.transactions:
        raise ValueError("a segment has at least one transaction")
    used, index = np.unique(trace.block, return_inverse=True)
    items = _block_items(trace)
    digests = item_states(TAG_BLOCK, items)[:, -1]
    blocks = block.fill(items[used], np.bincount(index.reshape(-1)))
    transactions = transaction.fill(trace, digests, boundary.transactions_in, boundary.effects_in)
    times = transaction.access_times(trace).reshape(-1)
    touched, position = np.unique(trace.access_key.reshape(-1)[::-1], return_index=True)
    opening = access_tree.fill(
        trace.key_kind, trace.key_address, trace.key_first, trace.key_last, touched, times[::-1][position]
    )
    segment = np.ones((1, Columns.width), dtype=np.uint32)
    last = transactions[trace.transactions - 1]
    end = transaction.Columns.offsets
    public = SegmentPublicValues(
        version=CIRCUIT_VERSION,
        first_transaction=trace.first_transaction,
        end_transaction=trace.first_transaction + trace.transactions,
        depth=access_tree.tree_depth(trace.keys),
        transactions_in=boundary.transactions_in,
        transactions_out=last[end["transactions_out"] :][:DIGEST],
        effects_in=boundary.effects_in,
        effects_out=last[end["effects_out"] :][:DIGEST],
        access_in=opening.root_before,
        access_out=opening.root_after,
    )
    return FilledSegment(answer([segment, transactions, blocks, opening.leaf, opening.node]), public)


def answer(acting: list[Matrix]) -> list[Matrix]:
    """The acting tables followed by the function tables, filled from the acting ones' queries."""
    filled = list(zip(segment_circuit().tables[:ACTING_TABLES], acting, strict=True))
    permutations = poseidon2.fill(queries(POSEIDON2, filled, slice(0, 2 * DIGEST)))
    return [*acting, permutations, range_table.fill(queries(RANGE16, filled)[:, 0])]


def estimate(trace: TransferTrace) -> dict[str, int]:
    """The heights of a segment's tables, from its events alone (no table is filled).

    Exact but for `poseidon2`, where an upper bound counts every distinct input the events can produce.
    """
    touched = np.unique(trace.access_key)
    depth = access_tree.tree_depth(trace.keys)
    path = access_tree.touched_nodes(touched, depth)
    changed = touched[(trace.key_first[touched] != trace.key_last[touched]).any(axis=1)]
    changed_path = access_tree.touched_nodes(changed, depth)
    nodes = sum(len(p) for p in path[1:])
    blocks = len(np.unique(trace.block))
    per_transaction = TRANSACTION_BLOCKS + EFFECTS_BLOCKS + 2
    permutations = (
        per_transaction * trace.transactions
        + BLOCK_BLOCKS * blocks
        + 3 * len(touched)
        + 2 * len(changed)
        + nodes
        + sum(len(p) for p in changed_path[1:])
    )
    return {
        "segment": 1,
        "transaction": padded_height(trace.transactions),
        "block": padded_height(blocks),
        "access_leaf": padded_height(len(touched)),
        "access_node": padded_height(nodes),
        "poseidon2": padded_height(permutations),
        "range16": range_table.HEIGHT,
    }


def cells(heights: dict[str, int]) -> int:
    """Cells of a segment with these table heights."""
    return sum(s.cells(heights[s.name]) for s in segment_circuit().statistics)


def interactions(heights: dict[str, int]) -> int:
    """Interactions of a segment with these table heights."""
    return sum(s.messages(heights[s.name]) for s in segment_circuit().statistics)
