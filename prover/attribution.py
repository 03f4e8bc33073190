"""Where the cells and the interactions of a batch go: by transaction and by contract, to the cell.

A row counts for the transaction that it names, by its frame, its operation or its time, and for the contract whose code
runs in the frame that it names. The padding of a table counts for them in proportion to their rows in it. What is left
is shared: tables whose rows serve whoever asks (hashes, ranges, codes, the access tree, what segments hand on) and
those without rows. It is divided in proportion to what counts for each directly, segment by segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from eth_hash.auto import keccak
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.table import Table
from circuits.batch.execution import Batch, Execution
from circuits.batch.operations import OperationKind
from circuits.segment import FilledSegment
from executor.limbs import limbs_to_bytes
from executor.trace import FrameKind
from prover.costs import weight

Integers = NDArray[np.int64]

#: What counts for nobody: it stands behind all others.
_NOBODY = -1


@dataclass(frozen=True)
class Share:
    """A part of the costs of a batch.

    Attributes:
        steps: instructions that were executed.
        own_cells, own_interactions: of rows that name it, padding in proportion included.
        cells, interactions: the same with its part of what is shared. Those of all shares add up to the whole batch.
    """

    steps: int
    own_cells: int
    own_interactions: int
    cells: int
    interactions: int


@dataclass(frozen=True)
class TransactionCost(Share):
    """What a transaction costs; one more share is what no transaction does: system calls and withdrawals.

    Attributes:
        block: its block in the batch, from 0; None for what no transaction does, as are the next two.
        transaction: its number in the block, from 0.
        hash: keccak256 of the signed transaction, 32 bytes.
        gas_used: after the refund, gas; 0 for what no transaction does.
    """

    block: int | None
    transaction: int | None
    hash: bytes | None
    gas_used: int


@dataclass(frozen=True)
class ContractCost(Share):
    """What the code of an account costs wherever it runs, delegate calls included; a creation's is that of the new one.

    One more share is what belongs to no code: transactions themselves, their access lists, transfers, withdrawals.

    Attributes:
        address: of the account that has the code, 20 bytes; None for what belongs to no code.
        frames: how often it was called or created.
    """

    address: bytes | None
    frames: int


class Attribution:
    """Adds up the shares of the segments of a batch.

    Args:
        batch: the whole batch.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        frames = batch.trace.frames
        creates = np.isin(frames.kind, (FrameKind.CREATION, FrameKind.CREATE, FrameKind.CREATE2))
        ran = np.where(creates[:, None], frames.address, frames.code_address)
        addresses, inverse = np.unique(ran, axis=0, return_inverse=True)
        self._addresses = limbs_to_bytes(addresses)
        self._contract_of: Integers = inverse.reshape(-1).astype(np.int64)  # by frame of the trace
        operations = batch.operations
        is_transaction = operations.kind == OperationKind.TRANSACTION
        self._transaction_of = np.where(is_transaction, operations.row, _NOBODY)  # by operation
        self._transactions = _Sums(len(batch.trace.transactions))
        self._contracts = _Sums(len(self._addresses))

    def add(self, filled: FilledSegment) -> None:
        """Count the tables of a segment, or of a part of one."""
        execution, circuit = filled.execution, filled.circuit
        for table, matrix, size in zip(circuit.tables, filled.traces, circuit.statistics, strict=True):
            if matrix is None:
                continue
            costs = len(matrix) * size.columns, len(matrix) * size.interactions
            transactions, contracts = self._named(table, matrix, execution)
            self._transactions.add(transactions, costs)
            self._contracts.add(contracts, costs)
        within = execution.within(execution.time)
        self._transactions.add_steps(self._transaction_of[execution.operation[within]])
        self._contracts.add_steps(self._contract_of[execution.frames[execution.frame[within] - 1]])
        self._transactions.share()
        self._contracts.share()

    def transactions(self) -> tuple[TransactionCost, ...]:
        """Those of the batch in order, and behind them what no transaction does."""
        trace, sums = self._batch.trace, self._transactions
        table = trace.transactions
        found = []
        for row, share in enumerate(sums.shares()):
            if row == len(table):
                place: tuple[int | None, int | None, bytes | None, int] = (None, None, None, 0)
            else:
                block = int(table.block[row])
                raw = trace.bytes_at(table.raw_start[row], table.raw_size[row])
                number = row - int(trace.blocks.first_transaction[block])
                place = block, number, keccak(raw), int(table.gas_used[row])
            found.append(TransactionCost(*share, *place))
        return tuple(found)

    def contracts(self) -> tuple[ContractCost, ...]:
        """Those whose code ran, the most expensive first, and behind them what belongs to no code."""
        counts = np.bincount(self._contract_of, minlength=len(self._addresses)).tolist()
        *shares, rest = self._contracts.shares()
        places = zip(shares, self._addresses, counts, strict=True)
        found = [ContractCost(*share, address, frames) for share, address, frames in places]
        found.sort(key=lambda own: -weight(own.cells, own.interactions))
        return (*found, ContractCost(*rest, None, 0))

    def _named(self, table: Table, matrix: Matrix, execution: Execution) -> tuple[Integers, Integers]:
        """The transaction and the contract of each row that stands for something; empty where rows name neither."""
        offsets = table.layout.offsets
        by = next((name for name in ("operation", "frame", "time") if name in offsets), None)
        if by is None or table.selector is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        real = matrix[:, offsets[table.selector]] != 0
        frame = np.zeros(int(real.sum()), dtype=np.int64)
        if "frame" in offsets:
            frame = matrix[real, offsets["frame"]].astype(np.int64)
        in_frame = (frame > 0) & (frame <= len(execution.frames))
        place = frame[in_frame] - 1
        contract = np.full(len(frame), _NOBODY)
        contract[in_frame] = self._contract_of[execution.frames[place]]
        if by == "operation":
            operation = matrix[real, offsets["operation"]].astype(np.int64)
        elif by == "frame":
            operation = np.full(len(frame), -1)
            operation[in_frame] = execution.frame_operation[place]
        else:
            time = matrix[real, offsets["time"]].astype(np.int64)
            operation = execution.first + np.searchsorted(execution.begin_time, time, side="right") - 1
        known = (operation >= execution.first) & (operation < execution.end)
        transaction = np.full(len(frame), _NOBODY)
        transaction[known] = self._transaction_of[operation[known]]
        return transaction, contract


class _Sums:
    """Steps, cells and interactions of some who share them, and of nobody behind them, all `int64`."""

    def __init__(self, count: int) -> None:
        self._steps = np.zeros(count + 1, dtype=np.int64)
        self._own = np.zeros((2, count + 1), dtype=np.int64)
        self._all = np.zeros((2, count + 1), dtype=np.int64)
        # Of the segment that is counted.
        self._current = np.zeros((2, count + 1), dtype=np.int64)
        self._shared = [0, 0]

    def add(self, rows: Integers, costs: tuple[int, int]) -> None:
        """Count a table: whose each row is (`_NOBODY` for nobody), and its cells and interactions."""
        counts = self._counts(rows)
        for kind, cost in enumerate(costs):
            if len(rows):
                self._current[kind] += apportion(cost, counts)
            else:
                self._shared[kind] += cost

    def add_steps(self, rows: Integers) -> None:
        """Count steps: whose each one is."""
        self._steps += self._counts(rows)

    def share(self) -> None:
        """Divide what is shared in the segment, and begin another one."""
        for kind, shared in enumerate(self._shared):
            current = self._current[kind]
            weights = current
            if not current.any():
                weights = np.zeros_like(current)
                weights[_NOBODY] = 1
            self._own[kind] += current
            self._all[kind] += current + apportion(shared, weights)
        self._current[:] = 0
        self._shared = [0, 0]

    def shares(self) -> list[tuple[int, int, int, int, int]]:
        """The fields of `Share` of each, those of nobody at the end."""
        columns = [self._steps, *self._own, *self._all]
        return [(*row,) for row in np.stack(columns, axis=1).tolist()]

    def _counts(self, rows: Integers) -> Integers:
        size = len(self._steps)
        return np.bincount(np.where(rows == _NOBODY, size - 1, rows), minlength=size).astype(np.int64)


def apportion(total: int, weights: Sequence[int] | Integers) -> Integers:
    """Whole numbers (n,) in proportion to weights (n,), not all 0, that add up to the total: largest remainders.

    Both the total and each weight are below 2^31, as the cells and the interactions of a segment are: products fit.
    """
    weights = np.asarray(weights, dtype=np.int64)
    products = weights * total
    parts: Integers = products // weights.sum()
    remainders = products - parts * weights.sum()
    missing = total - int(parts.sum())
    parts[np.argsort(-remainders, kind="stable")[:missing]] += 1
    return parts
