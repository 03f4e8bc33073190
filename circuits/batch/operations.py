"""The operations of a batch: what it does in order, numbered from 0.

A block's operations are the beacon-root write (where the batch's state has the contract), its transactions and its
withdrawals. A segment is a run of operations; it may begin at any operation but a withdrawal that follows another
operation of its block.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from executor.trace import ExecutionTrace, FrameKind


class OperationKind(IntEnum):
    """What an operation is."""

    BEACON = 0
    TRANSACTION = 1
    WITHDRAWAL = 2


@dataclass(frozen=True, eq=False)
class Operations:
    """All operations of a batch.

    Attributes:
        kind: (n,) `OperationKind`.
        block: (n,) row in the trace's blocks.
        row: (n,) row in the trace's blocks, transactions or withdrawals.
        scope: (blocks,) number of each block's first operation; of a block without any, that of the next one.
        first_access: (n,) state accesses before it in the trace, exact where a segment may begin.
        first_step: (n,) steps before it in the trace, those of system calls included.
    """

    kind: NDArray[np.uint8]
    block: NDArray[np.int64]
    row: NDArray[np.int64]
    scope: NDArray[np.int64]
    first_access: NDArray[np.int64]
    first_step: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kind)

    @cached_property
    def cuts(self) -> NDArray[np.int64]:
        """Where segments may begin, and the end of the batch behind them, ascending."""
        first_of_block = np.isin(np.arange(len(self)), self.scope)
        allowed = np.flatnonzero((self.kind != OperationKind.WITHDRAWAL) | first_of_block)
        return np.append(allowed, len(self))

    def place(self, operation: int) -> tuple[int, int | None]:
        """Block of an operation in the batch, and number of its transaction in the block; None for no transaction."""
        block = int(self.block[operation])
        if self.kind[operation] != OperationKind.TRANSACTION:
            return block, None
        own = self.row[(self.kind == OperationKind.TRANSACTION) & (self.block == block)]
        return block, int(self.row[operation] - own[0])

    @classmethod
    def of(cls, trace: ExecutionTrace) -> Operations:
        """The operations of a batch's trace."""
        system = trace.frames.kind == FrameKind.SYSTEM
        kinds: list[int] = []
        blocks: list[int] = []
        rows: list[int] = []
        scope: list[int] = []
        accesses: list[int] = []
        steps: list[int] = []
        table = trace.blocks
        for block in range(len(table.number)):
            scope.append(len(kinds))
            first, end = int(table.first_frame[block]), int(table.end_frame[block])
            entries: list[tuple[int, int, int, int]] = []
            if system[first:end].any():
                entries.append((OperationKind.BEACON, block, table.first_access[block], table.first_step[block]))
            for row in range(int(table.first_transaction[block]), int(table.end_transaction[block])):
                transactions = trace.transactions
                entries.append(
                    (OperationKind.TRANSACTION, row, transactions.first_access[row], transactions.first_step[row])
                )
            for row in range(int(table.first_withdrawal[block]), int(table.end_withdrawal[block])):
                entries.append((OperationKind.WITHDRAWAL, row, table.end_access[block], table.end_step[block]))
            if entries and entries[0][0] != OperationKind.BEACON:
                kind, row, _, step = entries[0]
                entries[0] = (kind, row, table.first_access[block], step)
            for kind, row, access, step in entries:
                kinds.append(kind)
                blocks.append(block)
                rows.append(row)
                accesses.append(int(access))
                steps.append(int(step))
        return cls(
            np.array(kinds, dtype=np.uint8),
            np.array(blocks, dtype=np.int64),
            np.array(rows, dtype=np.int64),
            np.array(scope, dtype=np.int64),
            np.array(accesses, dtype=np.int64),
            np.array(steps, dtype=np.int64),
        )
