"""What follows from a trace alone: receipts, the last values of the state, and with the witness the state roots.

Nothing here looks at the batch or at what py-evm returned. That both give the same shows that the trace is complete.
"""

from __future__ import annotations

import numpy as np
import rlp
from eth_bloom.bloom import BloomFilter
from eth_utils.crypto import keccak

from executor.batch import Witness
from executor.forks import LEGACY_TYPE
from executor.limbs import addresses_to_bytes, limbs_to_bytes, words_to_ints
from executor.state_keys import LASTING_KINDS, StateKey
from executor.trace import TOPICS, ExecutionTrace, Mode
from executor.witness import StateTrie, changes_of


def rebuild_receipts(trace: ExecutionTrace) -> list[list[bytes]]:
    """Receipts of all transactions in their consensus encoding (EIP-2718, EIP-658), per block."""
    table = trace.transactions
    receipts: list[list[bytes]] = [[] for _ in range(len(trace.blocks))]
    for number in range(len(table)):
        logs = _logs(trace, int(table.first_log[number]), int(table.end_log[number]))
        bloom = BloomFilter()
        for address, topics, _ in logs:
            bloom.extend([address, *topics])
        status = b"\x01" if table.status[number] else b""
        fields = [status, int(table.cumulative_gas[number]), int(bloom).to_bytes(256, "big"), logs]
        kind = int(table.type[number])
        prefix = b"" if kind == LEGACY_TYPE else bytes([kind])
        receipts[int(table.block[number])].append(prefix + rlp.encode(fields))
    return receipts


def _logs(trace: ExecutionTrace, first: int, end: int) -> list[tuple[bytes, list[bytes], bytes]]:
    """Address, topics and data of the logs among those rows that were not reverted."""
    logs = trace.logs
    rows = [row for row in range(first, end) if not logs.reverted[row]]
    addresses = addresses_to_bytes(logs.address[rows])
    topics = [limbs_to_bytes(getattr(logs, name)[rows]) for name in TOPICS]
    return [
        (
            addresses[position],
            [topic[position] for topic in topics[: logs.topics[row]]],
            trace.bytes_at(logs.data_start[row], logs.data_size[row]),
        )
        for position, row in enumerate(rows)
    ]


def rebuild_changes(trace: ExecutionTrace) -> list[dict[StateKey, int]]:
    """The lasting state keys that each block writes, with the values that they have after it."""
    keys = trace.state_keys()
    lasting = np.isin(trace.keys.kind, list(LASTING_KINDS))
    changes = []
    for first, end in zip(trace.blocks.first_access, trace.blocks.end_access, strict=True):
        written = first + np.flatnonzero(
            (trace.accesses.mode[first:end] != Mode.READ) & lasting[trace.accesses.key[first:end]]
        )
        # The last write of a key decides: the first one from behind.
        touched, position = np.unique(trace.accesses.key[written][::-1], return_index=True)
        values = words_to_ints(trace.accesses.after[written[::-1][position]])
        changes.append({keys[key]: value for key, value in zip(touched.tolist(), values, strict=True)})
    return changes


def rebuild_state_roots(trace: ExecutionTrace, witness: Witness) -> list[bytes]:
    """State roots after every block: the writes of the trace, done to the pre-state of the witness.

    Raises:
        trie.exceptions.MissingTrieNode: the witness is not that of the trace's batch.
        ExecutionMismatch: the writes do not fit the pre-state.
    """
    state = StateTrie({keccak(node): node for node in witness.nodes}, trace.pre_state_root)
    roots = []
    for changes in rebuild_changes(trace):
        state.apply(changes_of(changes))
        roots.append(state.root)
    return roots
