"""Divides operations that no segment can hold: a run of several segments, cut between steps or instances of programs.

The places where a part may begin (`circuits.batch.execution.Execution.places`) are divided by what each is expected to
take at first, then by what the parts have taken. A cut is moved a little to where little is open: outside of calls,
with few words on the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.batch.execution import Batch, Execution
from circuits.parts import FilledRun
from circuits.segment import FilledSegment
from circuits.statement import Digests, SegmentPublicValues
from prover.estimate import PER_STEP, of_programs, of_steps
from verifier.container import MAX_SEGMENTS

#: Tables of so many bytes are kept in files until all parts are filled.
SPOOLED_BYTES = 1 << 20
#: How often parts are filled at most until all of them fit.
MAX_FILLINGS = 5
#: Parts are planned to take this much of what they may.
FILLED = 0.8
#: A cut is moved by this part of the places between two cuts at most.
NEARBY = 1 / 50
#: A cut between two instances of a program costs as much as so many words on the stack, or more: registers are open.
BETWEEN_INSTANCES = 256


@dataclass(frozen=True)
class Run:
    """Which part of which operations a segment proves.

    Attributes:
        first, end: the operations `first .. end - 1` of the whole run.
        cuts: places of the run, numbered from 0, before which a part ends.
        number: which part it is, from 0.
    """

    first: int
    end: int
    cuts: tuple[int, ...]
    number: int

    @property
    def is_last(self) -> bool:
        """Whether the run ends with this part."""
        return self.number == len(self.cuts)


class Spool:
    """Tables in files of a folder that is removed with it: a run may be larger than memory."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="zkevm-run-")
        self._count = 0

    def __call__(self, matrix: Matrix) -> Matrix:
        """The same table; a large one is in a file, of which changes stay in memory."""
        if matrix.nbytes < SPOOLED_BYTES:
            return matrix
        self._count += 1
        path = Path(self._folder.name) / f"{self._count}.npy"
        np.save(path, matrix)
        stored: Matrix = np.load(path, mmap_mode="c")
        return stored


class Runs:
    """The runs of a batch."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def execution(self, first: int, end: int) -> Execution:
        """Of the operations `first .. end - 1`."""
        return Execution(self._batch, first, end)

    @cached_property
    def _of_steps(self) -> tuple[NDArray[np.float64], dict[str, NDArray[np.int64]]]:
        return of_steps(self._batch)

    @cached_property
    def _of_programs(self) -> dict[str, NDArray[np.int64]]:
        return of_programs(self._batch)

    def weights(self, execution: Execution, bytes_per_row: Mapping[str, int]) -> NDArray[np.float64]:
        """What is expected to be taken from each place of an execution to the next one, (places,) bytes.

        All instances of a call are expected to take the same.

        Args:
            execution: of a run.
            bytes_per_row: by table.
        """
        rest, rows = self._of_steps
        of_steps = rest[execution.step]
        for name, count in rows.items():
            if name in bytes_per_row:
                of_steps = of_steps + bytes_per_row[name] * count[execution.step]
        call, begin = execution.instances
        of_calls = np.zeros(len(execution.frames), dtype=np.float64)
        for name, count in self._of_programs.items():
            if name in bytes_per_row:
                of_calls += bytes_per_row[name] * count[execution.frames]
        instances = np.bincount(call, minlength=len(of_calls))
        weights = np.zeros(len(execution.places), dtype=np.float64)
        weights[np.searchsorted(execution.places, execution.time)] = of_steps
        weights[np.searchsorted(execution.places, begin)] = PER_STEP + (of_calls / np.maximum(instances, 1))[call]
        return weights


@dataclass(frozen=True)
class Part:
    """A segment of a run, without its tables.

    Attributes:
        heights: rows of each table that it has, padding included.
        public_values, frames, words: what its proof will state (`circuits.segment.FilledSegment`).
        links: what it has in common with other parts, by their number.
    """

    heights: Mapping[str, int]
    public_values: SegmentPublicValues
    frames: tuple[int, int]
    words: tuple[int, int, int, int, int]
    links: Mapping[int, Digests]

    @classmethod
    def of(cls, filled: FilledSegment) -> Part:
        """Of filled tables."""
        traces = zip(filled.circuit.names, filled.traces, strict=True)
        heights = {name: len(trace) for name, trace in traces if trace is not None}
        return cls(heights, filled.public_values, filled.frames, filled.words, filled.links)


@dataclass(frozen=True)
class Division:
    """The parts of a run, and the cuts between them."""

    cuts: tuple[int, ...]
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, execution: Execution, cuts: Sequence[int]) -> Division:
        """By its tables."""
        run = FilledRun(execution, cuts, Spool())
        return cls(tuple(cuts), tuple(Part.of(run.take(number)) for number in range(len(run))))


def even_cuts(steps: int, execution: Execution) -> Sequence[int]:
    """Cuts into parts of so many steps each, the last one with what is left; an instance counts as a step."""
    return range(steps, len(execution.places), steps)


def divide(
    execution: Execution,
    weights: NDArray[np.float64],
    memory: Callable[[Mapping[str, int]], float],
    allowed: int,
    fixed: int,
) -> Division | None:
    """Divide a run into parts that take no more memory than is allowed; None if there are none.

    Args:
        execution: of the run.
        weights: (places,) bytes of memory that are expected to be taken from each place to the next one.
        memory: bytes that a segment with tables of these heights takes; infinity if it is refused.
        allowed: bytes that each part may take.
        fixed: bytes of them that each takes whatever it has.
    """
    places, largest = len(execution.places), np.inf
    if allowed <= fixed:
        return None
    count = max(2, int(np.ceil(weights.sum() / (FILLED * (allowed - fixed)))))
    for _ in range(MAX_FILLINGS):
        if count > min(places, MAX_SEGMENTS):
            return None
        cuts = _cuts(execution, weights, count)
        if not cuts:
            return None
        division = Division.of(execution, cuts)
        sizes = [memory(part.heights) for part in division.parts]
        if max(sizes) <= allowed:
            return division
        if np.isfinite(largest) and max(sizes) >= largest:
            return None  # what is carried has come to outweigh what is cut
        largest = max(sizes)
        for size, begin, end in zip(sizes, (0, *cuts), (*cuts, places), strict=True):
            if np.isfinite(size):
                weights[begin:end] *= (size - fixed) / weights[begin:end].sum()
        finite = [size - fixed for size in sizes if np.isfinite(size)]
        needed = int(np.ceil(sum(finite) / (FILLED * (allowed - fixed))))
        count = max(count + 1, needed if len(finite) == len(sizes) else 2 * count)
    return None


def _cuts(execution: Execution, weights: NDArray[np.float64], count: int) -> tuple[int, ...]:
    """Places that divide all of them into `count` parts of about equal weight."""
    places = len(weights)
    total = np.cumsum(weights)
    wanted = np.searchsorted(total, total[-1] * np.arange(1, count) / count) if places else np.zeros(0, dtype=np.int64)
    reach = int(NEARBY * places / count)
    prices = _prices(execution)
    found: list[int] = []
    for place in wanted.tolist():
        low, high = max(place - reach, found[-1] + 1 if found else 1), min(place + reach, places - 1)
        if low > high:
            continue
        found.append(low + int(np.argmin(prices[low : high + 1])))
    return tuple(found)


def _prices(execution: Execution) -> NDArray[np.int64]:
    """How much is open where a part begins at each place, (places,), in words."""
    depth = execution.trace.frames.depth[execution.frames[execution.frame - 1]].astype(np.int64)
    of_steps = 64 * depth + execution.stack_size
    step = np.searchsorted(execution.time, execution.places, side="right") - 1
    known = step >= 0  # no step comes before a transaction that calls a precompile
    prices = np.zeros(len(step), dtype=np.int64)
    prices[known] = of_steps[step[known]]
    prices[~np.isin(execution.places, execution.time)] += BETWEEN_INSTANCES
    return prices
