"""Cuts a batch into segments: runs of operations, each as large as a budget of memory allows.

The plan follows from the batch and the budget alone, never from the number of workers: a proof made with two workers
and one made with twenty consist of the same segments, and a run can be resumed with another number of workers. Sizes
are those of the filled tables, padding included.
"""

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import NoReturn

from circuits.batch.execution import Batch, Execution
from circuits.segment import TableHeight, heights_of, segment_circuit
from executor.errors import UnsupportedFeature
from executor.forks import CANCUN, Fork
from prover.errors import CostError
from prover.estimate import Estimate, Estimator
from verifier.errors import Invalid
from verifier.keys import SUPPORTED_HEIGHTS
from verifier.sizes import check_segment_size

#: Peak memory of filling and proving: for each cell and each interaction (padding included; the engine holds a tree of
#: fractions over the interactions), and for the interpreter, the keys and what does not grow with the trace.
BYTES_PER_CELL = 32
BYTES_PER_INTERACTION = 128
WORKER_BYTES = 512 << 20

#: Memory of one segment unless said otherwise.
DEFAULT_SEGMENT_BYTES = 1 << 30

#: Wanted width of the stacked matrix: proofs of wider ones are longer, narrower ones pay for their height in time. That
#: price is measured: nothing to speak of up to 2^18, where proofs are short for free, about doubling from there on.
FREE_STACKED_HEIGHT = 18
TARGET_STACKED_WIDTH = 24
TARGET_HIGH_STACKED_WIDTH = 96

#: The engine works on 2^4 rows at a time: shorter tables are lifted to this height when they are stacked.
MIN_STACKED_ROWS = 16

#: A segment is taken when none that is longer by this part of it can fit, or is expected to: sizes are found by filling
#: the tables, which takes time.
TOLERANCE = 1 / 8

#: Tables are filled so often for a segment, more often only if none of the ends tried has fitted; what is tried last
#: leaves this part of the budget free.
MAX_FILLINGS = 3
LAST_MARGIN = 1 / 16

#: An operation that is expected to take more than this and twice the budget is refused without filling its tables,
#: which takes memory, too. Bytes.
HOPELESS_BYTES = 32 << 30


@dataclass(frozen=True)
class TableSize:
    """Columns and interactions of a table, each per row."""

    columns: int
    interactions: int


@dataclass(frozen=True)
class Budget:
    """What one segment may take.

    Attributes:
        memory: estimated peak memory of filling and proving it, bytes. None: the default, and what one operation needs
            that takes more.
        operations: number of operations, None for any.
    """

    memory: int | None = None
    operations: int | None = None

    @property
    def bytes(self) -> int:
        """What a segment takes that can be divided."""
        return DEFAULT_SEGMENT_BYTES if self.memory is None else self.memory

    @property
    def hopeless(self) -> int:
        """An operation that is expected to take more than this is refused without finding out."""
        return max(HOPELESS_BYTES, 2 * self.bytes)


#: As large as the verifier allows.
UNLIMITED = Budget(memory=sys.maxsize)


@dataclass(frozen=True)
class SegmentPlan:
    """A segment and what it costs.

    Attributes:
        index: position among the segments of the batch.
        first, end: operations `first .. end - 1`, numbered in the batch from 0.
        heights: rows of each table that is present, padding included.
        cells, interactions: of all tables, padding included.
        log_stacked_height: parameter of the engine, and so of the keys, for this segment.
        fork: whose circuit and keys it has, by name.
    """

    index: int
    first: int
    end: int
    heights: Mapping[str, int]
    cells: int
    interactions: int
    log_stacked_height: int
    fork: str = CANCUN.circuit

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
        estimate: of the segment of operations `first .. end - 1`; it makes the search short, and an operation that is
            hopeless by it is refused without being filled. It has no other influence.
        check: raises `Invalid` for heights that the verifier refuses with a value of log_stacked_height.
        place: block of an operation in the batch, and its transaction in the block, None for another operation.
        fork: whose circuit it is, by name.
    """

    def __init__(
        self,
        tables: Mapping[str, TableSize],
        heights: Callable[[int, int], Mapping[str, TableHeight]],
        stacked_heights: tuple[int, ...],
        estimate: Callable[[int, int], Estimate],
        check: Callable[[Mapping[str, int], int], object] = lambda heights, log_stacked_height: None,
        place: Callable[[int], tuple[int | None, int | None]] = lambda operation: (None, None),
        fork: str = CANCUN.circuit,
    ) -> None:
        self._tables = tables
        self._heights = cache(heights)
        self._stacked_heights = tuple(sorted(stacked_heights))
        self._estimate = estimate
        self._check = check
        self._place = place
        self._fork = fork

    def plan(self, cuts: Sequence[int], budget: Budget | None = None, index: int = 0) -> list[SegmentPlan]:
        """Segments that cover all operations between the first and the last cut, in order; none without operations.

        Heights are powers of two, so filling a segment to the brim wastes less padding than making all segments equal.

        Args:
            cuts: where segments may begin, ascending, and the end of the operations as the last one.
            budget: of every segment.
            index: of the first segment.

        Raises:
            CostError: what lies between two cuts takes more than the budget.
            UnsupportedFeature: it is larger than the verifier allows a segment to be.
        """
        budget = budget or Budget()
        segments: list[SegmentPlan] = []
        position = 0
        while position < len(cuts) - 1:
            end = self._end(cuts, position, budget)
            segments.append(self.segment(index + len(segments), cuts[position], cuts[end]))
            position = end
        return segments

    def segment(self, index: int, first: int, end: int) -> SegmentPlan:
        """The plan of the segment of operations `first .. end - 1`.

        Raises:
            CostError: it is larger than the verifier allows.
        """
        reason = self._refusal(first, end)
        if reason is not None:
            raise CostError(
                f"operations {first} to {end - 1} are no segment ({reason})",
                "choose smaller segments with --segment-memory",
                *self._place(first),
            )
        heights = {name: found.height for name, found in self._heights(first, end).items()}
        return SegmentPlan(
            index,
            first,
            end,
            heights,
            cells=self._sum(heights, "columns"),
            interactions=self._sum(heights, "interactions"),
            log_stacked_height=self._stacked_height(heights),
            fork=self._fork,
        )

    def _sum(self, heights: Mapping[str, int], what: str) -> int:
        return sum(int(getattr(self._tables[name], what)) * height for name, height in heights.items())

    def _memory_of(self, heights: Mapping[str, int]) -> int:
        return memory_of(self._sum(heights, "columns"), self._sum(heights, "interactions"))

    def _memory(self, first: int, end: int) -> int:
        return self._memory_of({name: found.height for name, found in self._heights(first, end).items()})

    def _refusal(self, first: int, end: int) -> str | None:
        """Why the verifier would refuse the segment for its size."""
        heights = {name: found.height for name, found in self._heights(first, end).items()}
        try:
            self._check(heights, self._stacked_height(heights))
        except Invalid as error:
            return str(error)
        return None

    def _guess(self, first: int, end: int) -> int:
        """The memory that a segment is expected to take."""
        estimate = self._estimate(first, end)
        heights = {name: _padded(rows) for name, rows in estimate.rows.items() if rows and name in self._tables}
        return int(self._memory_of(heights) + estimate.rest)

    def _scaled(self, first: int, filled: int, end: int) -> int:
        """The memory that the segment up to `end` is expected to take, seen that of the one up to `filled`.

        The rows of each table grow as the estimates do.
        """
        old, new = self._estimate(first, filled), self._estimate(first, end)
        heights = {}
        for name, found in self._heights(first, filled).items():
            ratio = new.rows[name] / old.rows[name] if old.rows.get(name) else new.rest / old.rest
            heights[name] = _padded(round(ratio * found.rows))
        return self._memory_of(heights)

    def _end(self, cuts: Sequence[int], position: int, budget: Budget) -> int:
        """Index of the cut where the segment that starts at a cut ends: about as late as the budget allows."""
        first = cuts[position]
        last = len(cuts) - 1
        if budget.operations is not None:
            last = max(position + 1, bisect_right(cuts, first + budget.operations) - 1)
        expected = partial(self._guess, first)
        last = _last_within(cuts, position, last, expected, budget.hopeless)
        if last == position:
            raise self._too_large(first, cuts[position + 1], expected(cuts[position + 1]), budget)
        low, high = position, last + 1  # low fits (or is nothing), high does not
        top = last  # nothing higher is tried next
        fillings = 0
        while high - low > 1:
            allowed = budget.bytes
            if low == position and fillings >= MAX_FILLINGS - 1:
                margin = LAST_MARGIN * 2 ** (fillings + 1 - MAX_FILLINGS)
                allowed -= int(margin * (budget.bytes - WORKER_BYTES))
            end = _last_within(cuts, low, top, expected, allowed)
            if low > position:
                near = TOLERANCE * (low - position)
                if high > last and last - low <= 1 + near:
                    # Nothing is known not to fit, and what is left over would be a segment of its own.
                    end = last
                if fillings >= MAX_FILLINGS or end - low <= near < last - low:
                    break
            end = max(end, low + 1)
            fillings += 1
            refused = self._refusal(first, cuts[end]) is not None
            if refused or self._memory(first, cuts[end]) > budget.bytes:
                high = end
            else:
                low = end
            # Estimates are of memory alone: they do not tell where the verifier's bounds are.
            top = max(low + 1, (low + high) // 2) if refused else high - 1
            expected = partial(self._scaled, first, cuts[end])
        if low == position:
            low += 1
            if budget.memory is not None or self._refusal(first, cuts[low]) is not None:
                self._refuse(first, cuts[low], budget)
        return low

    def _refuse(self, first: int, end: int, budget: Budget) -> NoReturn:
        """Say why the operations `first .. end - 1`, which nothing divides, fit into no segment."""
        place = self._place(first)
        reason = self._refusal(first, end)
        if reason is not None:
            raise UnsupportedFeature(f"a segment that the verifier refuses ({reason})", *place)
        raise self._too_large(first, end, self._memory(first, end), budget)

    def _too_large(self, first: int, end: int, needed: int, budget: Budget) -> CostError:
        """The error of operations that need more memory than there may be."""
        allowed = HOPELESS_BYTES if budget.memory is None else budget.memory
        return CostError(
            f"operations {first} to {end - 1} need a segment of about {-(-needed >> 20):,} MiB "
            f"({allowed >> 20:,} MiB are allowed)",
            f"allow at least {(needed >> 20) + 1} with --segment-memory",
            *self._place(first),
        )

    def _stacked_height(self, heights: Mapping[str, int]) -> int:
        """The value that gives the wanted width; the largest there is if none does."""
        stacked = sum(self._tables[name].columns * max(height, MIN_STACKED_ROWS) for name, height in heights.items())
        tallest = max(heights.values()).bit_length() - 1
        for log_height in self._stacked_heights:
            wanted = TARGET_STACKED_WIDTH if log_height <= FREE_STACKED_HEIGHT else TARGET_HIGH_STACKED_WIDTH
            if log_height >= tallest and stacked <= wanted << log_height:
                return log_height
        return self._stacked_heights[-1]


def _padded(rows: int) -> int:
    """Rows and padding."""
    return 1 << max(0, rows - 1).bit_length()


def _last_within(cuts: Sequence[int], low: int, high: int, expected: Callable[[int], int], allowed: int) -> int:
    """Index from `low` to `high` of the last cut up to which a segment is expected to take no more than allowed."""
    stride = 1
    while low + stride <= high and expected(cuts[low + stride]) <= allowed:
        low += stride
        stride *= 2
    high = min(high, low + stride - 1)
    return low + bisect_right(range(low + 1, high + 1), allowed, key=lambda end: expected(cuts[end]))


def planner_for(batch: Batch, fork: Fork = CANCUN) -> Planner:
    """The planner of a batch's operations of a fork, with its circuit and what the verifier says of it."""
    circuit = segment_circuit(fork)
    return Planner(
        {table.name: TableSize(table.columns, table.interactions) for table in circuit.statistics},
        lambda first, end: heights_of(Execution(batch, first, end)),
        SUPPORTED_HEIGHTS,
        Estimator(batch),
        partial(check_segment_size, circuit),
        batch.operations.place,
        fork.circuit,
    )


def plan_batch(batch: Batch, budget: Budget | None = None) -> list[SegmentPlan]:
    """The segments of a batch.

    Raises:
        CostError: an operation takes more than the budget.
        UnsupportedFeature: it is larger than the verifier allows a segment to be.
    """
    plans: list[SegmentPlan] = []
    cuts = batch.operations.cuts.tolist()
    for fork, first, end in batch.runs():
        own = cuts[bisect_left(cuts, first) : bisect_left(cuts, end) + 1]
        plans += planner_for(batch, fork).plan(own, budget, len(plans))
    return plans


def plan_whole(batch: Batch) -> SegmentPlan:
    """All operations of a batch, of which there are some, as one segment, whatever memory it takes.

    Raises:
        ValueError: they are of forks with different circuits.
        CostError: they are more than the verifier allows in one segment.
        UnsupportedFeature: one of them is.
    """
    ((fork, _, _),) = batch.runs()
    planner = planner_for(batch, fork)
    # What no segment can hold is the reason where there is such a thing.
    planner.plan(batch.operations.cuts.tolist(), UNLIMITED)
    return planner.segment(0, 0, len(batch.operations))
