"""Cuts a batch into segments: runs of operations, each as large as a budget of memory allows.

The plan follows from the batch and the budget alone, never from the number of workers: a proof made with two workers
and one made with twenty consist of the same segments, and a run can be resumed with another number of workers. Sizes
are those of the filled tables, padding included.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from circuits.batch.execution import Batch, Execution
from circuits.segment import heights_of, segment_circuit
from prover.errors import CostError
from verifier.keys import SUPPORTED_HEIGHTS
from verifier.segments import MAX_LOG_HEIGHT

#: Peak memory of filling and proving: for each cell and each interaction (padding included; the engine holds a tree of
#: fractions over the interactions), and for the interpreter, the keys and what does not grow with the trace.
BYTES_PER_CELL = 32
BYTES_PER_INTERACTION = 128
WORKER_BYTES = 512 << 20

#: Memory of one segment unless said otherwise.
DEFAULT_SEGMENT_BYTES = 1 << 30

#: The engine stacks all columns of a proof into at most this many columns of height 2^log_stacked_height.
MAX_STACKED_WIDTH = 2048

#: Wanted width of the stacked matrix: proofs of wider ones are longer, narrower ones pay for their height in time. That
#: price is measured: nothing to speak of up to 2^18, where proofs are short for free, about doubling from there on.
FREE_STACKED_HEIGHT = 18
TARGET_STACKED_WIDTH = 24
TARGET_HIGH_STACKED_WIDTH = 96

#: The engine works on 2^4 rows at a time: shorter tables are lifted to this height when they are stacked.
MIN_STACKED_ROWS = 16

#: A segment is taken when none that is longer by this part of it can fit: sizes are found by filling the tables, which
#: takes time.
TOLERANCE = 1 / 8

#: First guess at what a segment takes beyond WORKER_BYTES, in bytes: in all, per operation and per step.
GUESS_FIXED = 40 << 20
GUESS_OPERATION = 1300 << 10
GUESS_STEP = 3 << 10


@dataclass(frozen=True)
class TableSize:
    """Columns and interactions of a table, each per row."""

    columns: int
    interactions: int


@dataclass(frozen=True)
class Budget:
    """What one segment may take.

    Attributes:
        memory: estimated peak memory of filling and proving it, bytes.
        operations: number of operations, None for any.
    """

    memory: int = DEFAULT_SEGMENT_BYTES
    operations: int | None = None


@dataclass(frozen=True)
class SegmentPlan:
    """A segment and what it costs.

    Attributes:
        index: position among the segments of the batch.
        first, end: operations `first .. end - 1`, numbered in the batch from 0.
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
    def operations(self) -> int:
        """Number of operations."""
        return self.end - self.first

    @property
    def memory(self) -> int:
        """Estimated peak memory in bytes."""
        return memory_of(self.cells, self.interactions)


def memory_of(cells: int, interactions: int) -> int:
    """Estimated peak memory of a segment in bytes."""
    return WORKER_BYTES + cells * BYTES_PER_CELL + interactions * BYTES_PER_INTERACTION


class Planner:
    """Plans segments from the sizes of the tables and their heights.

    Args:
        tables: sizes of all tables of the circuit, by name.
        heights: heights of the tables that are present in the segment of operations `first .. end - 1`, by name.
        stacked_heights: the values of log_stacked_height for which keys exist.
        guess: about how much memory the segment of operations `first .. end - 1` takes, in bytes; it makes the search
            short and has no other influence.
    """

    def __init__(
        self,
        tables: Mapping[str, TableSize],
        heights: Callable[[int, int], Mapping[str, int]],
        stacked_heights: tuple[int, ...],
        guess: Callable[[int, int], int] = lambda first, end: WORKER_BYTES + GUESS_OPERATION * (end - first),
    ) -> None:
        self._guess = guess
        self._tables = tables
        self._heights = cache(heights)
        self._stacked_heights = tuple(sorted(stacked_heights))

    def plan(self, cuts: Sequence[int], budget: Budget | None = None) -> list[SegmentPlan]:
        """Segments that cover all operations, in order; none for an empty batch.

        Heights are powers of two, so filling a segment to the brim wastes less padding than making all segments equal.

        Args:
            cuts: where segments may begin, ascending, and the number of operations as the last one.
            budget: of every segment.

        Raises:
            CostError: what lies between two cuts does not fit into a segment.
        """
        budget = budget or Budget()
        segments: list[SegmentPlan] = []
        position = 0
        while position < len(cuts) - 1:
            end = self._end(cuts, position, budget)
            segments.append(self.segment(len(segments), cuts[position], cuts[end]))
            position = end
        return segments

    def segment(self, index: int, first: int, end: int) -> SegmentPlan:
        """The plan of the segment of operations `first .. end - 1`.

        Raises:
            CostError: it is larger than any key allows.
        """
        heights = self._heights(first, end)
        return SegmentPlan(
            index,
            first,
            end,
            heights,
            cells=self._sum(heights, "columns"),
            interactions=self._sum(heights, "interactions"),
            log_stacked_height=self._stacked_height(heights),
        )

    def _sum(self, heights: Mapping[str, int], what: str) -> int:
        return sum(int(getattr(self._tables[name], what)) * height for name, height in heights.items())

    def _memory(self, first: int, end: int) -> int:
        heights = self._heights(first, end)
        return memory_of(self._sum(heights, "columns"), self._sum(heights, "interactions"))

    def _end(self, cuts: Sequence[int], position: int, budget: Budget) -> int:
        """Index of the cut where the segment that starts at a cut ends: about as late as the budget allows."""
        first = cuts[position]
        last = len(cuts) - 1
        if budget.operations is not None:
            last = max(position + 1, bisect_right(cuts, first + budget.operations) - 1)

        def guess(factor: float) -> int:
            """The last cut where a segment ends that takes no more than the budget, if guesses are off by a factor."""
            found = bisect_right(
                range(position + 1, last + 1),
                budget.memory,
                key=lambda end: int(factor * self._guess(first, cuts[end])),
            )
            return position + found

        low, high = position, last + 1  # low fits (or is nothing), high does not
        end = guess(1.0)
        while high - low > 1:
            end = min(max(end, low + 1), high - 1)
            memory = self._memory(first, cuts[end])
            if memory <= budget.memory:
                low = end
            else:
                high = end
            if low > position and high - low <= 1 + TOLERANCE * (low - position):
                if high <= last:
                    break
                # Nothing is known not to fit, and what is left over would be a segment of its own.
                end = last
                continue
            # Where the corrected guess is of no use, the middle is.
            end = guess(memory / self._guess(first, cuts[end]))
            end = end if low < end < high else (low + high) // 2
        if low == position:
            needed = self._memory(first, cuts[position + 1])
            raise CostError(
                f"operations {first} to {cuts[position + 1] - 1} need a segment of about {-(-needed >> 20):,} MiB, "
                f"{budget.memory >> 20:,} MiB are allowed",
                f"allow at least {(needed >> 20) + 1} with --segment-memory",
            )
        return low

    def _stacked_height(self, heights: Mapping[str, int]) -> int:
        stacked = sum(self._tables[name].columns * max(height, MIN_STACKED_ROWS) for name, height in heights.items())
        tallest = max(heights.values()).bit_length() - 1
        for log_height in self._stacked_heights:
            wanted = TARGET_STACKED_WIDTH if log_height <= FREE_STACKED_HEIGHT else TARGET_HIGH_STACKED_WIDTH
            if log_height >= tallest and stacked <= wanted << log_height:
                return log_height
        highest = self._stacked_heights[-1]
        if min(highest, MAX_LOG_HEIGHT) < tallest or stacked > MAX_STACKED_WIDTH << highest:
            raise CostError(
                f"a segment of {stacked:,} cells and tables of 2^{tallest} rows is larger than the engine's keys allow",
                "choose smaller segments with --segment-memory",
            )
        return highest


def planner_for(batch: Batch) -> Planner:
    """The planner of a batch, with the segment circuit and its pinned keys."""
    tables = {table.name: TableSize(table.columns, table.interactions) for table in segment_circuit().statistics}
    steps = np.append(batch.operations.first_step, len(batch.trace.steps))

    def guess(first: int, end: int) -> int:
        own = int(steps[end] - steps[first])
        return WORKER_BYTES + GUESS_FIXED + GUESS_OPERATION * (end - first) + GUESS_STEP * own

    return Planner(tables, lambda first, end: heights_of(Execution(batch, first, end)), SUPPORTED_HEIGHTS, guess)


def plan_batch(batch: Batch, budget: Budget | None = None) -> list[SegmentPlan]:
    """The segments of a batch."""
    return planner_for(batch).plan(batch.operations.cuts.tolist(), budget)
