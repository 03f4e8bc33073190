"""Chains of accesses in worlds, against journals that are undone step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from circuits.batch.worlds import Worlds
from circuits.state.histories import FIRST_TIME, Histories
from executor.trace import NONE, Outcome


@dataclass
class Run:
    """A random run of frames within one another, and what a journal says of its accesses.

    Attributes:
        frames: parent (-1: none), depth and failure of each, in the order in which they begin.
        begins: times.
        accesses: (frame, key, time, written or None, value before, marked before) of each; sums before it.
    """

    rng: np.random.Generator
    frames: list[tuple[int, int, bool]] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    accesses: list[tuple[int, int, int, int | None, int, bool, int]] = field(default_factory=list)
    state: dict[int, int] = field(default_factory=dict)
    marks: set[int] = field(default_factory=set)
    total: int = 0
    time: int = 1

    def frame(self, parent: int, depth: int) -> None:
        """One frame with everything in it."""
        rng, number = self.rng, len(self.frames)
        fails = bool(rng.random() < 0.5)
        self.frames.append((parent, depth, fails))
        self.begins.append(self.time)
        self.time += 3
        before = dict(self.state), set(self.marks), self.total
        for _ in range(int(rng.integers(0, 5))):
            if depth < 4 and rng.random() < 0.4:
                self.frame(number, depth + 1)
            else:
                self.access(number)
        if fails:
            self.state, self.marks, self.total = before

    def access(self, frame: int) -> None:
        key = int(self.rng.integers(3))
        written = int(self.rng.integers(1, 1000)) if self.rng.random() < 0.6 else None
        value = self.state.get(key, 7)
        self.accesses.append((frame, key, self.time, written, value, key in self.marks, self.total))
        if written is not None:
            self.state[key] = written
            self.total += written
        self.marks.add(key)
        self.time += 1 + int(self.rng.integers(3))


class FakeFrames:
    """The columns of the trace's frames that worlds follow from."""

    def __init__(self, run: Run) -> None:
        parents, depths, failures = zip(*run.frames, strict=True)
        self.outcome = np.where(failures, Outcome.REVERT, Outcome.SUCCESS)
        self.depth = np.array(depths)
        self.parent = np.where(np.array(parents) < 0, NONE, np.array(parents))


def made(seed: int) -> tuple[Run, Worlds, Histories, Any]:
    run = Run(np.random.default_rng(seed))
    for _ in range(3):
        run.frame(-1, 0)
        run.state.clear()
        run.marks.clear()
        run.total = 0
    frames: Any = FakeFrames(run)
    worlds = Worlds.of(frames, np.arange(len(run.frames)))
    roots = np.cumsum([parent < 0 for parent, _, _ in run.frames]) - 1
    frame, key, time = np.array([access[:3] for access in run.accesses], dtype=np.int64).reshape(-1, 3).T
    written = np.array([access[3] or 0 for access in run.accesses], dtype=np.int64)
    # Accesses come in any order.
    order = run.rng.permutation(len(frame))
    histories = Histories.of(
        key[order], roots[frame][order], worlds.own[frame][order], time[order], worlds, np.array(run.begins)
    )
    place = np.empty(len(order), dtype=np.int64)
    place[order] = histories.place
    return run, worlds, histories, (place, written, order)


@pytest.mark.parametrize("seed", range(60))
def test_what_a_journal_undoes(seed: int) -> None:
    run, worlds, histories, (place, written, order) = made(seed)
    real = histories.given >= 0
    values = np.append(written[order], 0)[histories.given]
    before, opening = histories.values(values > 0, values, np.full(len(histories.start), 7))
    marked, _ = histories.values(real, real.astype(np.int64), np.zeros(len(histories.start), dtype=np.int64))
    for number, access in enumerate(run.accesses):
        assert before[place[number]] == access[4]
        assert marked[place[number]] == access[5]
    # Sums: of one key for all.
    frame, time = (np.array([access[k] for access in run.accesses], dtype=np.int64) for k in (0, 2))
    roots = np.cumsum([parent < 0 for parent, _, _ in run.frames]) - 1
    own = Histories.of(
        np.zeros(len(frame), dtype=np.int64), roots[frame], worlds.own[frame], time, worlds, np.array(run.begins)
    )
    sums, _ = own.sums(np.append(written, 0)[own.given])
    for number, access in enumerate(run.accesses):
        assert sums[own.place[number]] == access[6]
    assert (opening[histories.world[histories.start] == 0] == 7).all()


@pytest.mark.parametrize("seed", range(60))
def test_chains(seed: int) -> None:
    """Times grow along a chain; one that a frame undoes begins when the frame does, with an access outside."""
    run, worlds, histories, _ = made(seed)
    begins = np.array(run.begins)
    assert (histories.then < histories.time).all()
    for chain, (start, end) in enumerate(zip(histories.start, histories.end, strict=True)):
        world, opener = int(histories.world[start]), int(histories.opener[chain])
        assert (np.diff(histories.time[start:end]) > 0).all()
        assert (histories.then[start + 1 : end] == histories.time[start : end - 1]).all()
        first = int(histories.first[chain])
        assert histories.world[histories.start[first]] == 0
        assert (histories.key[start], histories.operation[start]) == (
            histories.key[histories.start[first]],
            histories.operation[histories.start[first]],
        )
        if world == 0:
            assert opener == -1
            assert histories.then[start] == FIRST_TIME
            continue
        assert histories.then[start] == histories.time[opener] == begins[world - 1]
        assert histories.world[opener] == worlds.outer[world - 1]
        assert histories.given[opener] == -1
    assert (histories.given == -1).sum() == (histories.opener >= 0).sum()


def test_worlds() -> None:
    run, worlds, _, _ = made(3)
    for number, (parent, _, fails) in enumerate(run.frames):
        outer = 0 if parent < 0 else int(worlds.own[parent])
        assert worlds.outer[number] == outer
        assert worlds.own[number] == (number + 1 if fails else outer)
        level, frame = 0, number
        while frame >= 0:
            level += run.frames[frame][2]
            frame = run.frames[frame][0]
        assert worlds.level[number] == level


def test_nothing() -> None:
    none = np.zeros(0, dtype=np.int64)
    worlds = Worlds(none.astype(bool), none, none, none)
    histories = Histories.of(none, none, none, none, worlds, none)
    assert len(histories.start) == 0
    before, opening = histories.values(none.astype(bool), none, none)
    assert len(before) == len(opening) == 0
    assert [len(a) for a in histories.sums(none)] == [0, 0]
