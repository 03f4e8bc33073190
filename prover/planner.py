"""Cuts a batch into segments: runs of whole transactions, each as large as a budget of cells allows.

The plan follows from the batch and the budget alone, never from the number of workers: a proof made with two workers
and one made with twenty consist of the same segments, and a run can be resumed with another number of workers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from circuits.segment import estimate, segment_circuit
from executor.transfers import TransferTrace
from prover.errors import CostError
from verifier.keys import SUPPORTED_HEIGHTS

#: Peak memory of filling and proving: for each cell and each interaction (padding included; the engine holds a tree of
#: fractions over the interactions), and for the interpreter, the keys and what does not grow with the trace.
BYTES_PER_CELL = 32
BYTES_PER_INTERACTION = 128
WORKER_BYTES = 256 << 20

#: Cells of one segment unless said otherwise.
DEFAULT_SEGMENT_CELLS = 1 << 19

#: The engine stacks all columns of a proof into at most this many columns of height 2^log_stacked_height.
MAX_STACKED_WIDTH = 2048

#: Wanted width of the stacked matrix: proofs of wider ones are longer, narrower ones pay for their height in time. That
#: price is measured: nothing to speak of up to 2^18, where proofs are short for free, about doubling from there on.
FREE_STACKED_HEIGHT = 18
TARGET_STACKED_WIDTH = 24
TARGET_HIGH_STACKED_WIDTH = 96

#: The engine works on 2^4 rows at a time: shorter tables are lifted to this height when they are stacked.
MIN_STACKED_ROWS = 16


@dataclass(frozen=True)
class TableSize:
    """Columns and interactions of a table, each per row."""

    columns: int
    interactions: int


@dataclass(frozen=True)
class SegmentPlan:
    """A segment and what it costs.

    Attributes:
        index: position among the segments of the batch.
        first, end: transactions `first .. end - 1`, numbered in the batch from 0.
        heights: rows of each table that is present, padding included.
        cells, interactions: of all tables, padding included.
        log_stacked_height: parameter of the engine, and so of the keys, for this segment.
    """

    index: int
    first: int
    end: int
    heights: Mapping[str, int]
    cells: int
    interactions: int
    log_stacked_height: int

    @property
    def transactions(self) -> int:
        """Number of transactions."""
        return self.end - self.first

    @property
    def memory(self) -> int:
        """Estimated peak memory in bytes."""
        return WORKER_BYTES + self.cells * BYTES_PER_CELL + self.interactions * BYTES_PER_INTERACTION


class Planner:
    """Plans segments from the sizes of the tables and an estimate of their heights.

    Args:
        tables: sizes of all tables of the circuit, by name.
        estimate: heights of the tables that are present in the segment of transactions `first .. end - 1`, by name.
        stacked_heights: the values of log_stacked_height for which keys exist.
    """

    def __init__(
        self,
        tables: Mapping[str, TableSize],
        estimate: Callable[[int, int], Mapping[str, int]],
        stacked_heights: tuple[int, ...],
    ) -> None:
        self._tables = tables
        self._estimate = estimate
        self._stacked_heights = tuple(sorted(stacked_heights))

    def plan(self, transactions: int, segment_cells: int = DEFAULT_SEGMENT_CELLS) -> list[SegmentPlan]:
        """Segments that cover all transactions, in order; none for an empty batch.

        Every segment but the last takes as many transactions as fit. Heights are powers of two, so filling a segment to
        the brim wastes less padding than making all segments equal.

        Args:
            transactions: number of transactions of the batch.
            segment_cells: upper bound on the cells of a segment.

        Raises:
            CostError: a single transaction does not fit into a segment.
        """
        segments: list[SegmentPlan] = []
        first = 0
        while first < transactions:
            end = self._end(first, transactions, segment_cells)
            segments.append(self.segment(len(segments), first, end))
            first = end
        return segments

    def segment(self, index: int, first: int, end: int) -> SegmentPlan:
        """The plan of the segment of transactions `first .. end - 1`."""
        heights = self._estimate(first, end)
        return SegmentPlan(
            index,
            first,
            end,
            heights,
            cells=sum(self._tables[name].columns * height for name, height in heights.items()),
            interactions=sum(self._tables[name].interactions * height for name, height in heights.items()),
            log_stacked_height=self._stacked_height(heights),
        )

    def _cells(self, first: int, end: int) -> int:
        heights = self._estimate(first, end)
        return sum(self._tables[name].columns * height for name, height in heights.items())

    def _end(self, first: int, transactions: int, segment_cells: int) -> int:
        """Where the segment that starts at `first` ends: as late as the budget allows.

        The size is doubled until it does not fit, then halved in between, so that the work follows from the size of the
        segment and not from that of the batch.
        """
        least = self._cells(first, first + 1)
        if least > segment_cells:
            raise CostError(
                f"transaction {first} needs a segment of {least:,} cells, {segment_cells:,} are allowed",
                f"allow at least {least} with --segment-cells",
            )
        fits, step = first + 1, 1
        while fits < transactions:
            end = min(fits + step, transactions)
            if self._cells(first, end) > segment_cells:
                break
            fits, step = end, 2 * step
        beyond = min(fits + step, transactions + 1)
        while beyond - fits > 1:
            middle = (fits + beyond) // 2
            if self._cells(first, middle) <= segment_cells:
                fits = middle
            else:
                beyond = middle
        return fits

    def _stacked_height(self, heights: Mapping[str, int]) -> int:
        stacked = sum(self._tables[name].columns * max(height, MIN_STACKED_ROWS) for name, height in heights.items())
        tallest = max(heights.values()).bit_length() - 1
        for log_height in self._stacked_heights:
            wanted = TARGET_STACKED_WIDTH if log_height <= FREE_STACKED_HEIGHT else TARGET_HIGH_STACKED_WIDTH
            if log_height >= tallest and stacked <= wanted << log_height:
                return log_height
        highest = self._stacked_heights[-1]
        if highest < tallest or stacked > MAX_STACKED_WIDTH << highest:
            raise CostError(
                f"a segment of {stacked:,} cells and tables of 2^{tallest} rows is larger than the engine's keys allow",
                "choose smaller segments with --segment-cells",
            )
        return highest


def planner_for(trace: TransferTrace) -> Planner:
    """The planner of the batch with this trace, with the segment circuit and its pinned keys."""
    tables = {table.name: TableSize(table.columns, table.interactions) for table in segment_circuit().statistics}
    return Planner(tables, lambda first, end: estimate(trace.slice(first, end)), SUPPORTED_HEIGHTS)
