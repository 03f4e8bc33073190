"""The running hash of logs and receipts through a whole batch.

The logs of a transaction come in order, then its receipt; logs of frames that failed are left out. Those of a system
call are part of no receipt: they have a running hash of their own, from the start, which nothing looks at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.batch.operations import OperationKind, Operations
from circuits.statement import (
    LOG_ITEM,
    RECEIPT_ITEM,
    RECEIPTS_START,
    Digests,
    buffer_digests,
    gas_limbs,
    ragged_chains,
    running_chain,
)
from circuits.widths import DIGEST, WORD
from executor.trace import NONE, TOPICS, ExecutionTrace


@dataclass(frozen=True, eq=False)
class ReceiptChain:
    """The running hash of receipts and what it is made of.

    Attributes:
        before_operation: (operations + 1, 8) the running hash before each operation, and behind the last one.
        before_log, after_log: (logs, 8) around each log of the trace; meaningless for logs of failed frames.
        log_states: (logs, k, 8) hash states of each `LOG_ITEM`, the digest last.
        data_digests: (logs, 8) `buffer_digests` of each log's data.
        receipt_states: (transactions, k, 8) hash states of each `RECEIPT_ITEM`, the digest last.
        behind_call: (system calls, 8) the running hash of its own logs behind each system call.
    """

    before_operation: Digests
    before_log: Digests
    after_log: Digests
    log_states: Digests
    data_digests: Digests
    receipt_states: Digests
    behind_call: Digests

    @classmethod
    def of(cls, trace: ExecutionTrace, operations: Operations) -> ReceiptChain:
        """Of a batch's trace."""
        logs, transactions = trace.logs, trace.transactions
        sizes = logs.data_size
        data_digests = buffer_digests(
            [trace.bytes_at(start, size) for start, size in zip(logs.data_start, sizes, strict=True)]
        )
        log_states = LOG_ITEM.states(
            address=logs.address,
            topic_count=logs.topics,
            size=sizes,
            data_digest=data_digests,
            topics=np.stack([getattr(logs, name) for name in TOPICS], axis=1).reshape(-1, len(TOPICS) * WORD),
        )
        receipt_states = RECEIPT_ITEM.states(status=transactions.status, gas_used=gas_limbs(transactions.gas_used))
        # What counts, in order: a transaction's logs come before its receipt.
        is_kept = (logs.reverted == 0) & (logs.transaction != NONE)
        kept = np.flatnonzero(is_kept)
        owner = logs.transaction[kept].astype(np.int64)
        numbers = np.arange(len(transactions.status))
        is_receipt = np.repeat([False, True], [len(kept), len(numbers)])
        order = np.lexsort((is_receipt, np.concatenate([owner, numbers])))
        chain = running_chain(RECEIPTS_START, np.concatenate([log_states[kept, -1], receipt_states[:, -1]])[order])
        place: NDArray[np.int64] = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        log_place = np.zeros(len(logs.step), dtype=np.int64)
        log_place[kept] = place[: len(kept)]
        before_log, after_log = chain[log_place], chain[log_place + is_kept]
        behind_call = np.broadcast_to(RECEIPTS_START, (len(trace.system_calls), DIGEST)).copy()
        called = np.flatnonzero((logs.reverted == 0) & (logs.transaction == NONE))
        call, counts = np.unique(system_calls_of(trace, logs.frame[called]), return_counts=True)
        if len(called):
            after_log[called] = ragged_chains(RECEIPTS_START, log_states[called, -1], counts)
            firsts = np.cumsum(counts) - counts
            before_log[called[1:]] = after_log[called[:-1]]
            before_log[called[firsts]] = RECEIPTS_START
            behind_call[call] = after_log[called[firsts + counts - 1]]
        done = np.zeros(len(operations) + 1, dtype=np.int64)
        is_transaction = np.flatnonzero(operations.kind == OperationKind.TRANSACTION)
        done[is_transaction + 1] = place[len(kept) :][operations.row[is_transaction]] + 1
        before_operation = chain[np.maximum.accumulate(done)]
        return cls(before_operation, before_log, after_log, log_states, data_digests, receipt_states, behind_call)


def system_calls_of(trace: ExecutionTrace, frames: NDArray[Any]) -> NDArray[np.int64]:
    """Rows of the trace's system calls that these of its frames (n,) are part of."""
    calls = trace.system_calls
    # Calls without frames begin where the next one does.
    found: NDArray[np.int64] = np.searchsorted(calls.end_frame, frames, side="right")
    return found
