"""Cuts a batch into segments: runs of operations, each as large as a budget of memory allows.

The plan follows from the batch and the budget alone, never from the number of workers: a proof made with two workers
and one made with twenty consist of the same segments, and a run can be resumed with another number of workers. Sizes
are those of the filled tables, padding included.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import pairwise
from typing import NoReturn

from circuits.batch.execution import Batch, Execution
from circuits.segment import TableHeight, key_set, segment_circuit, smallest_form
from circuits.statement import Form
from executor.errors import UnsupportedFeature
from executor.forks import CANCUN, CIRCUIT_FORKS, Fork
from prover.errors import CostError
from prover.estimate import Estimate, Estimator
from prover.filled import FilledSegments
from prover.runs import Division, Part, Run, Runs, divide, even_cuts
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

#: What one operation takes beyond this is divided, where no other budget is named.
LARGEST_SEGMENT_BYTES = 6 << 30

#: Wanted width of the stacked matrix: proofs of wider ones are longer, narrower ones pay for their height in time. That
#: price is measured: nothing to speak of up to 2^18, where proofs are short for free, about doubling from there on.
FREE_STACKED_HEIGHT = 18
TARGET_STACKED_WIDTH = 24
TARGET_HIGH_STACKED_WIDTH = 96

#: Heights whose proofs take least in a circuit that verifies them: it evaluates the last polynomial of WHIR at every
#: query, and rounds that fold by 2^4 leave the shortest one of these. `erc20` in four segments took 8 + 43 + 47
#: CPU-seconds for segments, leaf and the node above at 2^19, 4 + 68 + 55 at 2^17, 5 + 59 + 54 at 2^15, 21 + 56 + 52 at
#: 2^21.
CHEAP_STACKED_HEIGHTS = (15, 19)

#: The engine works on 2^4 rows at a time: shorter tables are lifted to this height when they are stacked.
MIN_STACKED_ROWS = 16

#: Of the places where a segment may end so many are looked at, about evenly, in what a segment can take.
PLACES = 16
#: Tables are filled so often for each segment of a plan, more often only where no plan that was tried has fitted: sizes
#: are found by filling the tables, which takes time.
MAX_FILLINGS = 3
#: Bounds of the largest segment that are tried.
BOUNDS = 32

#: An operation that is expected to take so often what there may be is divided without being filled as one segment.
CERTAIN = 3

#: A step, or an instance of a program, that is expected to take more than this and twice the budget is refused without
#: filling any tables, which takes memory, too. Bytes.
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
        steps: where it is not None, a segment ends after so many steps, wherever that is, whatever it takes; an
            instance of a program counts as a step.
        stacked_height: where it is not None, all segments have the same one (log2), as those of one proof must: the
            largest that any needs, and at least this; 0 for the one whose proofs are cheapest to verify in a circuit.
    """

    memory: int | None = None
    operations: int | None = None
    steps: int | None = None
    stacked_height: int | None = None

    @property
    def bytes(self) -> int:
        """What a segment takes that can be divided."""
        return DEFAULT_SEGMENT_BYTES if self.memory is None else self.memory

    @property
    def largest(self) -> int:
        """What a segment may take of an operation that is not divided, or is."""
        return LARGEST_SEGMENT_BYTES if self.memory is None else self.memory

    @property
    def hopeless(self) -> int:
        """A step that is expected to take more than this is refused without finding out."""
        return max(HOPELESS_BYTES, 2 * self.bytes)


@dataclass(frozen=True)
class SegmentPlan:
    """A segment and what it costs.

    Attributes:
        index: position among the segments of the batch.
        first, end: operations `first .. end - 1`, numbered in the batch from 0.
        heights: rows of each table that is present, padding included.
        cells, interactions: of all tables, padding included.
        log_stacked_height: parameter of the engine, and so of the keys, for this segment.
        fork: whose circuit it has, by name.
        form: of the circuit that it is proved with.
        run, part: which part of a run it is, if it is not whole, and what it states; then `first .. end - 1` are the
            operations that begin in it.
    """

    index: int
    first: int
    end: int
    heights: Mapping[str, int]
    cells: int
    interactions: int
    log_stacked_height: int
    fork: str = CANCUN.circuit
    run: Run | None = None
    part: Part | None = field(default=None, compare=False)  # follows from the rest
    form: Form = Form.WHOLE

    @property
    def keys(self) -> str:
        """The name of the keys that it is proved with."""
        return key_set(CIRCUIT_FORKS[self.fork], self.form)

    @property
    def operations(self) -> int:
        """Number of operations that begin in it."""
        return self.end - self.first

    @property
    def begin(self) -> int:
        """The first operation that it works on."""
        return self.first if self.run is None else self.run.first

    @property
    def content(self) -> str:
        """What it proves, in words."""
        if self.run is None:
            return f"operations {self.first} to {self.end - 1}"
        part = f"part {self.run.number + 1} of {len(self.run.cuts) + 1}"
        if self.run.end == self.run.first + 1:
            return f"{part} of operation {self.run.first}"
        return f"{part} of operations {self.run.first} to {self.run.end - 1}"

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
        runs: of the batch; without them no operation is divided.
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
        runs: Runs | None = None,
    ) -> None:
        self._tables = tables
        self._heights = cache(heights)
        self._stacked_heights = tuple(sorted(stacked_heights))
        self._estimate = estimate
        self._check = check
        self._place = place
        self._fork = fork
        self._runs = runs
        self._divided: dict[tuple[int, int], Division] = {}

    def plan(self, cuts: Sequence[int], budget: Budget | None = None, index: int = 0) -> list[SegmentPlan]:
        """Segments that cover all operations between the first and the last cut, in order; none without operations.

        Heights are powers of two, so a segment just below them wastes least. Of the plans within the budget that are
        looked at the one is taken which takes least in all, where all segments count once more as if each were as large
        as the largest: work is what all take, and time, with a worker for each, what the largest does.

        Args:
            cuts: where segments may begin, ascending, and the end of the operations as the last one.
            budget: of every segment, but for its steps (see `plan_batch`).
            index: of the first segment.

        Raises:
            CostError: what lies between two cuts takes more than the budget.
            UnsupportedFeature: it is larger than the verifier allows a segment to be.
        """
        budget = budget or Budget()
        for first, end in pairwise(cuts):
            if self._runs is None and self._guess(first, end) > budget.hopeless:
                raise self._too_large(first, end, self._guess(first, end), budget)
        found = [pair for run in _runs(cuts, budget.operations) for pair in _Search(self, run, budget).segments()]
        plans: list[SegmentPlan] = []
        for first, end in found:
            if (first, end) in self._divided:
                plans += self.parts(index + len(plans), first, end, self._divided[first, end])
            else:
                plans.append(self.segment(index + len(plans), first, end))
        return plans

    def divide(self, first: int, end: int, budget: Budget) -> None:
        """Divide the operations `first .. end - 1`, which fit into no segment, into parts that do.

        Raises:
            CostError, UnsupportedFeature: they cannot be divided.
        """
        if (leaves := self._leaves(first, end)) > budget.largest:
            raise self._too_large(first, end, leaves, budget)  # one part has them all
        if self._runs is None:
            self._refuse(first, end, budget)
        execution = self._runs.execution(first, end)
        weights = self._runs.weights(execution, self._bytes_per_row)
        if len(weights) < 2 or weights.max() > budget.hopeless:
            raise self._too_large(first, end, self._guess(first, end), budget)
        found = divide(execution, weights, self._memory_or_refused, budget.largest, WORKER_BYTES)
        if found is None:
            if (guess := self._guess(first, end)) > budget.hopeless:
                raise self._too_large(first, end, guess, budget)  # to fill it as one segment takes too much memory
            self._refuse(first, end, budget)
        self._divided[first, end] = found

    def parts(self, index: int, first: int, end: int, division: Division) -> list[SegmentPlan]:
        """The segments of the operations `first .. end - 1`, divided like this, from an index on."""
        return [
            SegmentPlan(
                index + number,
                part.public_values.first_operation,
                part.public_values.end_operation,
                part.heights,
                cells=self._sum(part.heights, "columns"),
                interactions=self._sum(part.heights, "interactions"),
                log_stacked_height=self._stacked_height(part.heights),
                fork=self._fork,
                run=Run(first, end, division.cuts, number),
                part=part,
            )
            for number, part in enumerate(division.parts)
        ]

    def _memory_or_refused(self, heights: Mapping[str, int]) -> float:
        """Memory of a segment with tables of these heights; infinity if the verifier refuses it."""
        try:
            self._check(heights, self._stacked_height(heights))
        except Invalid:
            return float("inf")
        return self._memory_of(heights)

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

    @property
    def _bytes_per_row(self) -> dict[str, int]:
        return {name: memory_of(t.columns, t.interactions) - WORKER_BYTES for name, t in self._tables.items()}

    def _guess(self, first: int, end: int) -> int:
        """The memory that a segment is expected to take."""
        estimate = self._estimate(first, end)
        heights = {name: _padded(rows) for name, rows in estimate.rows.items() if rows and name in self._tables}
        return int(self._memory_of(heights) + estimate.rest)

    def _leaves(self, first: int, end: int) -> int:
        """The memory that accounts and slots are expected to take of it."""
        return int(self._estimate(first, end).leaves)

    def _scaled(self, filled: tuple[int, int], wanted: tuple[int, int]) -> int:
        """The memory that a segment is expected to take, seen that of a filled one.

        The rows of each table grow as the estimates do.
        """
        old, new = self._estimate(*filled), self._estimate(*wanted)
        heights = {}
        for name, found in self._heights(*filled).items():
            ratio = new.rows[name] / old.rows[name] if old.rows.get(name) else new.rest / old.rest
            heights[name] = _padded(round(ratio * found.rows))
        return self._memory_of(heights)

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
        return stacked_height(stacked, max(heights.values()), self._stacked_heights)


def stacked_height(stacked: int, tallest: int, values: Sequence[int]) -> int:
    """The value of `log_stacked_height` that gives the wanted width; the largest there is if none does.

    Args:
        stacked: cells of all tables, `MIN_STACKED_ROWS` at least of each.
        tallest: height of the tallest one.
        values: there are, ascending.
    """
    for log_height in values:
        wanted = TARGET_STACKED_WIDTH if log_height <= FREE_STACKED_HEIGHT else TARGET_HIGH_STACKED_WIDTH
        if log_height >= tallest.bit_length() - 1 and stacked <= wanted << log_height:
            return log_height
    return values[-1]


def _padded(rows: int) -> int:
    """Rows and padding."""
    return 1 << max(0, rows - 1).bit_length()


def _runs(cuts: Sequence[int], operations: int | None) -> Iterator[Sequence[int]]:
    """The cuts of the longest runs of no more operations than that, or of those that nothing divides."""
    position = 0
    while position < len(cuts) - 1:
        end = len(cuts) - 1
        if operations is not None:
            end = max(position + 1, bisect_right(cuts, cuts[position] + operations) - 1)
        yield cuts[position : end + 1]
        position = end


#: Operations `first .. end - 1`.
_Pair = tuple[int, int]


class _Search:
    """Looks for the segments of a run of operations.

    What a segment takes is known once it is filled, before that it is expected to be what the filled one that has most
    in common with it is, in proportion. So a first segment is filled, of the plans that are expected to be best all
    segments, and so on until the best is one whose segments are filled.
    """

    def __init__(self, planner: Planner, cuts: Sequence[int], budget: Budget) -> None:
        self._planner, self._cuts, self._budget = planner, cuts, budget
        self._allowed = budget.bytes
        self._filled: dict[_Pair, int] = {}
        self._refused: set[_Pair] = set()

    def segments(self) -> list[_Pair]:
        """First operations and ends of segments that fit, or that nothing divides.

        Raises:
            CostError, UnsupportedFeature: as `Planner.plan`.
        """
        cuts = self._cuts
        whole = (cuts[0], cuts[-1])
        probe = (cuts[0], cuts[max(1, self._last_within(0, self._budget.bytes))])
        self._fill(probe)
        if probe == whole and self._fits(whole):
            return [whole]
        plan, missing = [probe], [probe]
        while missing:
            wanted = self._best(self._places())
            missing = [pair for pair in wanted if pair not in self._filled]
            if len(self._filled) + len(missing) > MAX_FILLINGS * len(wanted):
                if (known := self._known()) is not None:
                    return known
                break
            plan = wanted
            for pair in missing:
                self._fill(pair)
        return [part for pair in plan for part in self._divided(pair)]

    def _fill(self, pair: _Pair) -> None:
        """Find out what a segment takes.

        Raises:
            CostError, UnsupportedFeature: it does not fit, nor do parts of it.
        """
        planner, budget = self._planner, self._budget
        certain = min(budget.hopeless, CERTAIN * budget.largest)
        if self._is_single(pair):
            guess = planner._guess(*pair)
            if guess > certain or planner._leaves(*pair) > budget.largest:
                self._filled[pair] = guess
                planner.divide(*pair, budget)
                return
        refused = planner._refusal(*pair) is not None
        needed = self._filled[pair] = planner._memory(*pair)
        if self._is_single(pair):
            if refused or needed > budget.largest:
                planner.divide(*pair, budget)
        elif refused:
            # What is expected is memory alone: it does not tell where the verifier's bounds are.
            self._refused.add(pair)
            self._allowed = min(self._allowed, (needed + WORKER_BYTES) // 2)

    def _is_single(self, pair: _Pair) -> bool:
        return bisect_left(self._cuts, pair[1]) - bisect_left(self._cuts, pair[0]) == 1

    def _fits(self, pair: _Pair) -> bool:
        """Whether a filled segment is one that may be."""
        return self._is_single(pair) or (self._filled[pair] <= self._budget.bytes and pair not in self._refused)

    def _expected(self, pair: _Pair) -> int:
        """The memory that a segment takes, as far as it is known."""
        if pair in self._filled:
            return self._filled[pair]
        if not self._filled:
            return self._planner._guess(*pair)
        first, end = pair

        def in_common(other: _Pair) -> tuple[int, int]:
            shared = min(end, other[1]) - max(first, other[0])
            return shared, -abs(other[1] - other[0] - (end - first))

        return self._planner._scaled(max(self._filled, key=in_common), pair)

    def _last_within(self, position: int, allowed: int) -> int:
        """Index of the last cut up to which a segment is expected to take no more than allowed; `position` if none."""
        cuts, first, stride, low = self._cuts, self._cuts[position], 1, position

        def expected(index: int) -> int:
            return self._expected((first, cuts[index]))

        while low + stride < len(cuts) and expected(low + stride) <= allowed:
            low += stride
            stride *= 2
        high = min(len(cuts) - 1, low + stride - 1)
        return low + bisect_right(range(low + 1, high + 1), allowed, key=expected)

    def _places(self) -> list[int]:
        """Cuts that are looked at, the first and the last one included, and ends of what is filled."""
        chosen, position, last = {self._cuts[0], self._cuts[-1]}, 0, len(self._cuts) - 1
        while position < last:
            step = max(1, (self._last_within(position, self._allowed) - position) // PLACES)
            for _ in range(PLACES):
                position = min(last, position + step)
                chosen.add(self._cuts[position])
        return sorted(chosen.union(*self._filled))

    def _best(self, places: Sequence[int]) -> list[_Pair]:
        """The plan that is expected to be best, of those that begin and end segments at these places."""
        ends: list[list[tuple[int, int]]] = []  # of each place: where segments that fit may end, and what they take
        for number, first in enumerate(places[:-1]):
            found = []
            for other, end in enumerate(places[number + 1 :], number + 1):
                pair = (first, end)
                needed = self._expected(pair)
                fits = needed <= self._allowed and pair not in self._refused
                if not fits and other > number + 1:
                    break
                found.append((other, needed - WORKER_BYTES))
            ends.append(found)
        path = _least(ends)
        assert path is not None  # from each place to the next one, if nothing else
        return [(places[a], places[b]) for a, b in pairwise(path)]

    def _known(self) -> list[_Pair] | None:
        """The best plan of segments that are filled and fit, if there is one."""
        places = sorted(set().union(*self._filled))
        ends: list[list[tuple[int, int]]] = [[] for _ in places[:-1]]
        for pair, needed in sorted(self._filled.items()):
            if self._fits(pair):
                ends[places.index(pair[0])].append((places.index(pair[1]), needed - WORKER_BYTES))
        path = _least(ends)
        return None if path is None else [(places[a], places[b]) for a, b in pairwise(path)]

    def _divided(self, pair: _Pair) -> Iterator[_Pair]:
        """The parts of a segment that fit: halves, quarters and so on."""
        if pair not in self._filled:
            self._fill(pair)
        if self._fits(pair):
            yield pair
            return
        first, end = pair
        own = self._cuts[bisect_left(self._cuts, first) + 1 : bisect_left(self._cuts, end)]
        middle = min(own, key=lambda cut: abs(self._expected((first, cut)) - self._expected((cut, end))))
        yield from self._divided((first, middle))
        yield from self._divided((middle, end))


def _least(ends: Sequence[Sequence[tuple[int, int]]]) -> list[int] | None:
    """The way from place 0 to the last one, behind those given, whose parts take least; None if there is no way.

    Args:
        ends: of each place but the last one: other places, behind it, and what the part up to there takes.
    """
    sizes = sorted({size for of_place in ends for _, size in of_place})
    bounds = {sizes[-1 - k * len(sizes) // BOUNDS] for k in range(BOUNDS)} if sizes else set()
    best: tuple[int, list[int]] | None = None
    for bound in sorted(bounds):
        least: list[int | None] = [0] + [None] * len(ends)
        came = [0] * (len(ends) + 1)
        for place, of_place in enumerate(ends):
            if (now := least[place]) is None:
                continue
            for other, size in of_place:
                if size <= bound:
                    total = now + size + bound
                    if (known := least[other]) is None or total < known:
                        least[other], came[other] = total, place
        if (found := least[-1]) is not None and (best is None or found < best[0]):
            path = [len(ends)]
            while path[-1]:
                path.append(came[path[-1]])
            best = found, path[::-1]
    return None if best is None else best[1]


def planner_for(batch: Batch, fork: Fork = CANCUN, filled: FilledSegments | None = None) -> Planner:
    """The planner of a batch's operations of a fork, with its circuit and what the verifier says of it.

    The segments that it fills are left in `filled`.
    """
    circuit = segment_circuit(fork)
    return Planner(
        {table.name: TableSize(table.columns, table.interactions) for table in circuit.statistics},
        partial((filled or FilledSegments(0)).heights, batch),
        SUPPORTED_HEIGHTS,
        Estimator(batch),
        partial(check_segment_size, circuit),
        batch.operations.place,
        fork.circuit,
        Runs(batch),
    )


def plan_batch(batch: Batch, budget: Budget | None = None, filled: FilledSegments | None = None) -> list[SegmentPlan]:
    """The segments of a batch. Of those that are filled to plan them the last ones are left in `filled`.

    Raises:
        CostError: an operation takes more than the budget.
        UnsupportedFeature: it is larger than the verifier allows a segment to be.
    """
    budget = budget or Budget()
    if budget.steps is not None:
        plans = plan_cut(batch, partial(even_cuts, budget.steps))
    else:
        plans = []
        cuts = batch.operations.cuts.tolist()
        for fork, first, end in batch.runs():
            own = cuts[bisect_left(cuts, first) : bisect_left(cuts, end) + 1]
            plans += planner_for(batch, fork, filled).plan(own, budget, len(plans))
        plans = _of_smallest_form(plans)
    return plans if budget.stacked_height is None else levelled(plans, budget.stacked_height)


def plan_cut(batch: Batch, cuts: Callable[[Execution], Sequence[int]]) -> list[SegmentPlan]:
    """The segments of a batch that end before these places, wherever that is, whatever they take.

    Args:
        cuts: of the operations with one circuit: places, numbered from 0 among them, ascending (`Execution.places`).
    """
    plans: list[SegmentPlan] = []
    for fork, first, end in batch.runs():
        execution = Execution(batch, first, end)
        division = Division.of(execution, cuts(execution))
        plans += planner_for(batch, fork).parts(len(plans), first, end, division)
    return _of_smallest_form(plans)


def plan_whole(batch: Batch) -> SegmentPlan:
    """All operations of a batch, of which there are some, as one segment, whatever memory it takes.

    Raises:
        ValueError: they are of forks with different circuits.
        CostError: they are more than the verifier allows in one segment.
    """
    ((fork, _, _),) = batch.runs()
    (plan,) = _of_smallest_form([planner_for(batch, fork).segment(0, 0, len(batch.operations))])
    return plan


def _of_smallest_form(plans: list[SegmentPlan]) -> list[SegmentPlan]:
    """The plans with the form of their circuits that all can have: segments of one kind of keys have one proof."""
    forms = {smallest_form(CIRCUIT_FORKS[plan.fork], plan.heights) for plan in plans}
    form = Form.WHOLE if Form.WHOLE in forms else max(forms, default=Form.LIGHT)
    return [replace(plan, form=form) for plan in plans]


def levelled(plans: Sequence[SegmentPlan], least: int) -> list[SegmentPlan]:
    """The plans with the same stacked height, as those of one proof must have it.

    Args:
        plans: of the segments of a batch.
        least: the stacked height (log2) is at least this; 0 for the one whose proofs are cheapest to verify in a
            circuit.
    """
    height = max(least, *(plan.log_stacked_height for plan in plans), 0)
    if not least:
        height = height_of_one_proof(height)
    return [replace(plan, log_stacked_height=height) for plan in plans]


def height_of_one_proof(needed: int) -> int:
    """The stacked height (log2) for segments of one proof that need this: the next cheap one, if there is any."""
    return next((height for height in CHEAP_STACKED_HEIGHTS if height >= needed), needed)
