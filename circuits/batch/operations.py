"""The operations of a batch: what it does in order, numbered from 0.

A block's operations are the calls of system contracts at its start, its transactions, its withdrawals, and the calls
of system contracts at its end. Calls of the contracts of EIP-4788 and EIP-2935 that have these EIPs' codes before the
batch are writes to slots which follow from the block (`BEACON`, `HISTORY`); in a block of Cancun there is no other
call. A segment is a run of operations; it may begin at any operation but a withdrawal that follows another operation
of its block.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from circuits.limbs import addresses_from_bytes
from executor.forks import BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS
from executor.trace import ExecutionTrace


class OperationKind(IntEnum):
    """What an operation is."""

    BEACON = 0
    TRANSACTION = 1
    WITHDRAWAL = 2
    HISTORY = 3
    SYSTEM_CALL = 4


@dataclass(frozen=True, eq=False)
class Operations:
    """All operations of a batch.

    Attributes:
        kind: (n,) `OperationKind`.
        block: (n,) row in the trace's blocks.
        row: (n,) row in the trace's blocks (of BEACON and HISTORY), transactions, withdrawals or system calls.
        scope: (blocks,) number of each block's first operation; of a block without any, that of the next one.
        first_access: (n,) state accesses before it in the trace; those of withdrawals are counted before all of them.
        first_step: (n,) steps before it in the trace, those that no operation has included.
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
        kinds: list[int] = []
        blocks: list[int] = []
        rows: list[int] = []
        scope: list[int] = []
        accesses: list[int] = []
        steps: list[int] = []
        table, transactions, calls = trace.blocks, trace.transactions, trace.system_calls
        of_call = system_operations(trace)
        for block in range(len(table.number)):
            scope.append(len(kinds))
            entries: list[tuple[int, int, int, int]] = []
            behind: list[tuple[int, int, int, int]] = []
            # Withdrawals follow what comes before them at once.
            access, step = int(table.first_access[block]), int(table.first_step[block])
            for row in np.flatnonzero(calls.block == block).tolist():
                if of_call[row] < 0:
                    continue
                kind = int(of_call[row])
                place = block if kind != OperationKind.SYSTEM_CALL else row
                entry = (kind, place, int(calls.first_access[row]), int(calls.first_step[row]))
                (behind if calls.is_end[row] else entries).append(entry)
                if not calls.is_end[row]:
                    access, step = int(calls.end_access[row]), int(calls.end_step[row])
            for row in range(int(table.first_transaction[block]), int(table.end_transaction[block])):
                first = int(transactions.first_access[row]), int(transactions.first_step[row])
                entries.append((OperationKind.TRANSACTION, row, *first))
                access, step = int(transactions.end_access[row]), int(transactions.end_step[row])
            for row in range(int(table.first_withdrawal[block]), int(table.end_withdrawal[block])):
                entries.append((OperationKind.WITHDRAWAL, row, access, step))
            entries += behind
            if entries:
                kind, row, _, step = entries[0]
                entries[0] = (kind, row, int(table.first_access[block]), step)
            for kind, row, access, step in entries:
                kinds.append(kind)
                blocks.append(block)
                rows.append(row)
                accesses.append(access)
                steps.append(step)
        return cls(
            np.array(kinds, dtype=np.uint8),
            np.array(blocks, dtype=np.int64),
            np.array(rows, dtype=np.int64),
            np.array(scope, dtype=np.int64),
            np.array(accesses, dtype=np.int64),
            np.array(steps, dtype=np.int64),
        )


#: What calls of these contracts write follows from the block where they have their EIPs' codes.
_WRITES = {BEACON_ROOTS_ADDRESS: OperationKind.BEACON, HISTORY_STORAGE_ADDRESS: OperationKind.HISTORY}


def system_operations(trace: ExecutionTrace) -> NDArray[np.int64]:
    """The `OperationKind` of each system call of a batch, (calls,); -1 for one that is no operation.

    In forks whose circuit proves no system calls such are those of contracts without code.
    """
    calls = trace.system_calls
    kinds = np.full(len(calls), int(OperationKind.SYSTEM_CALL), dtype=np.int64)
    for address, kind in _WRITES.items():
        own = (calls.address == addresses_from_bytes([address])[0]).all(axis=1)
        kinds[own & (calls.is_write == 1)] = kind
    # Blocks of forks with such calls have them at their end.
    proved = np.isin(calls.block, calls.block[calls.is_end == 1])
    return np.where((calls.is_write == 1) | proved, kinds, -1)
