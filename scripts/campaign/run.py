"""Running a campaign: rounds of attacks in several processes, until its time is over."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from heapq import heapify, heapreplace
from typing import Any

import numpy as np

from circuits.segment import FilledSegment
from executor.errors import BatchError, UnsupportedFeature
from scripts.campaign.batches import everything_document, long_document, random_cuts, random_document, random_part
from scripts.campaign.carried import LINKING
from scripts.campaign.cells import KINDS, Judged, change_cells, changes_of, kinds_of, search_witnesses
from scripts.campaign.changes import Change
from scripts.campaign.coverage import ATTACKS, Coverage
from scripts.campaign.crossing import Crossing
from scripts.campaign.findings import Finding, minimised
from scripts.campaign.lies import UntellableError, objections, outcome, random_lie, told
from scripts.campaign.target import Honest, Target, compiled

#: Seconds of one batch from when it is set up, of a report, and of minimising a finding.
_ROUND = 45.0
_REPORT = 1.0
_MINIMISING = 15.0
#: Cells beyond which a batch is left out: its honest check alone would take long.
_LARGE = 4_000_000
#: Rounds that are left out when a process was killed.
_SKIPPED = 1000
#: How many batches are in several segments, of which one is attacked; and how many are cut between steps.
_PARTS = 0.3
_CUT = 0.3
#: Lies about a batch, and about a run of several segments.
_LIES = 25
_CROSSINGS = 400
#: Turns of lies about a run that a round begins with.
_CROSSED_FIRST = 12
#: Tables with public values.
STATING = ("segment", "frame", "memory")
#: Seconds below which no other batch is begun.
_SETTING_UP = 8.0
#: Findings of one go: others are found again, and to make them small takes long.
_OF_ONE_GO = 2
#: Seconds that one go of changes of a table is expected to take for each node of its expressions, until one is seen.
_GO, _NODE = 0.02, 5e-4
#: Shares of the time.
_SHARES = {"lies": 0.26, "cells": 0.46, "witnesses": 0.12, "crossings": 0.16}


@dataclass
class Report:
    """What happened since the last report: coverage, findings, and how many rounds were begun."""

    coverage: Coverage = field(default_factory=Coverage)
    findings: list[Finding] = field(default_factory=list)
    rounds: int = 0

    def add(self, other: Report) -> None:
        """Add what happened later."""
        self.coverage.add(other.coverage)
        self.findings += other.findings
        self.rounds += other.rounds


def attack(
    target: Target,
    seconds: float,
    seed: int,
    *,
    first_round: int = 0,
    step: int = 1,
    minimise: float = _MINIMISING,
) -> Iterator[Report]:
    """Attack in this process, reporting now and then.

    Args:
        target: what is attacked.
        seconds: when to stop, setting up included; but each attack is tried at least once in every round.
        seed: of all choices; which ones are reached depends on the time they take.
        first_round, step: rounds to play, such as every second one from the first on.
        minimise: seconds for each finding.

    Raises:
        ValueError: the target rejects an honest batch.
    """
    deadline = time.monotonic() + seconds
    number = first_round
    everything = cache(lambda: Honest(target, everything_document(target.fork)))
    while number == first_round or time.monotonic() < deadline - _SETTING_UP:
        # Of processes that play side by side one begins with what crosses cuts, the others with all tables.
        yield from _Round(target, seed, number, deadline, minimise, everything, number % step == step - 1).play()
        number += step


class _Agenda:
    """What there is to try, each again and again: the faster it is, the sooner and the more often.

    To be found is what one of them finds, nobody knows which. If each is tried in proportion to one by the square root
    of the seconds it takes, the time until any of them is tried is the least on average.

    Args:
        expected: tables by number and kinds of changes, with the seconds that a go is expected to take.
    """

    def __init__(self, expected: Iterable[tuple[tuple[int, str], float]]) -> None:
        entries = [(seconds**0.5, number, 0, what) for number, (what, seconds) in enumerate(expected)]
        #: When it comes, which one it is, how often it was tried, what it is.
        self._queue: list[tuple[float, int, int, tuple[int, str]]] = entries
        heapify(entries)
        self._untried = len(entries)

    @property
    def waiting(self) -> bool:
        """Whether something was never tried."""
        return self._untried > 0

    def next(self) -> tuple[int, str]:
        """What comes now."""
        return self._queue[0][3]

    def took(self, seconds: float) -> None:
        """It took so long."""
        at, number, tried, what = self._queue[0]
        self._untried -= not tried
        heapreplace(self._queue, (at + seconds**0.5, number, tried + 1, what))


class _Round:
    """One batch under attack."""

    def __init__(
        self,
        target: Target,
        seed: int,
        number: int,
        deadline: float,
        minimise: float,
        everything: Callable[[], Honest],
        crosses_first: bool,
    ) -> None:
        self._rng = np.random.default_rng([seed, number])
        self._target, self._seed, self._number = target, seed, number
        self._deadline, self._minimise = deadline, minimise
        self._everything, self._crosses_first = everything, crosses_first
        self._report = Report(rounds=1)
        self._seen: set[tuple[str, ...]] = set()
        self._lies = self._crossings = 0
        self._crossing: Crossing | None = None
        self._carried: list[tuple[Honest, int, str]] = []
        self._tried: set[str] = set()

    def play(self) -> Iterator[Report]:
        begun = reported = time.monotonic()
        try:
            # A small run is filled much faster than a batch with all tables.
            for _ in range(_CROSSED_FIRST if self._crosses_first else 0):
                self._cross()
                if self._report.findings:
                    break
            if self._report.findings:
                self._report.coverage.seconds = time.monotonic() - begun
                yield self._report
                self._report, begun = Report(), time.monotonic()
            honest = self._honest()
            honest.judge  # noqa: B018 - takes long of a large batch
        except (BatchError, UnsupportedFeature):
            yield self._report
            return
        self._report.coverage.batches += 1
        self._deadline = min(self._deadline, time.monotonic() + _ROUND)
        for turn in self._turns(honest):
            turn()
            now = time.monotonic()
            if now - reported > _REPORT or self._report.findings:
                self._report.coverage.seconds = now - begun
                yield self._report
                self._report, begun, reported = Report(), now, now
        self._report.coverage.seconds = time.monotonic() - begun
        yield self._report

    def _honest(self) -> Honest:
        """The batch. The first four rounds have all tables, so that a short campaign meets each of them."""
        fork = self._target.fork
        if self._number < 2:
            return self._everything()
        if self._number < 4:
            return Honest(self._target, long_document(self._rng, fork))
        while True:
            honest = self._part_of(Honest(self._target, random_document(self._rng, fork)))
            if _size(honest.filled) <= _LARGE:
                return honest

    def _part_of(self, honest: Honest) -> Honest:
        """Now and then a segment of the batch that begins or ends within a block, or between steps, if it can."""
        if self._rng.random() < _PARTS:
            honest = honest.of_part(random_part(self._rng, honest.batch))
        if self._rng.random() < _CUT:
            honest = self._cut(honest)
            honest = honest.at(int(self._rng.integers(len(honest.parts))))
        return honest

    def _cut(self, honest: Honest) -> Honest:
        """The same operations, proved by several segments, if there are two steps."""
        return honest.of_part(honest.part, random_cuts(self._rng, honest.execution))

    def _turns(self, honest: Honest) -> Iterator[Callable[[], None]]:
        """The attacks in turn, such that each gets its share of the time.

        Each kind of change of each table has its goes, as many as `_Agenda` gives it, until all had one. Every second
        round takes witnesses in the opposite order: two processes that play side by side meet in the middle. Where the
        time is over before each attack was tried once, it is tried nevertheless.
        """
        present = dict(honest.judge.present())
        order = np.random.default_rng([self._seed, self._number // 2]).permutation(list(present)).tolist()
        changes = _Agenda(
            ((number, kind), _GO + _NODE * len(present[number].graph.nodes))
            for number in self._rng.permutation(list(present)).tolist()
            for kind in kinds_of(present[number].table)
        )
        # Where there are no constraints linear algebra has nothing to solve.
        witnesses = [n for n in [*order[len(order) // 2 :], *order[: len(order) // 2]] if present[n].constraints]
        if self._number % 2 == 0:
            witnesses.reverse()
        spent = dict.fromkeys(ATTACKS, 0.0)
        while changes.waiting or witnesses:
            waiting = {"lies": True, "cells": changes.waiting, "witnesses": bool(witnesses), "crossings": True}
            left = [k for k in ATTACKS if waiting[k]]
            if time.monotonic() >= self._deadline:
                left = [k for k in left if k not in self._tried]
                if not left:
                    return
            kind = min(left, key=lambda k: spent[k] / _SHARES[k])
            start = time.monotonic()
            yield {
                "lies": self._lie,
                "crossings": self._cross,
                "cells": lambda: self._change(honest, changes),
                "witnesses": lambda: self._judge(
                    "witnesses", honest, search_witnesses(self._rng, honest, witnesses.pop())
                ),
            }[kind]
            spent[kind] += time.monotonic() - start

    def _change(self, honest: Honest, changes: _Agenda) -> None:
        """One go of changes of some kind of a table."""
        begun = time.monotonic()
        table, kind = changes.next()
        self._judge("cells", honest, change_cells(self._rng, honest, table, kind))
        changes.took(time.monotonic() - begun)

    def _lie(self) -> None:
        """A lie about a small batch, which is another one from time to time."""
        coverage = self._report.coverage
        if self._lies % _LIES == 0:
            try:
                small = random_document(self._rng, self._target.fork, small=True)
                self._liar = self._part_of(Honest(self._target, small))
            except (BatchError, UnsupportedFeature):
                return
            coverage.batches += 1
        self._lies += 1
        honest = self._liar
        changes = random_lie(self._rng, honest)
        if not changes:
            return
        coverage.tried["lies"] += 1
        self._tried.add("lies")
        try:
            segment = told(honest, changes)
        except UntellableError:
            coverage.untellable += 1
            return
        for change in changes:
            if change.place.startswith("table "):
                coverage.columns[change.place.removeprefix("table "), change.column] += 1
        found = objections(honest, segment)
        coverage.object(found)
        if found:
            return
        kind = outcome(honest, segment, changes)
        if kind is None:
            coverage.nothing += 1
            return
        self._found(honest, _finding(honest, "lies", kind, _summary(changes), changes))

    def _cross(self) -> None:
        """Lies about what crosses the cuts of a small run, which is another one from time to time."""
        coverage = self._report.coverage
        if self._crossings % _CROSSINGS == 0:
            self._crossing = None
            try:
                small = random_document(self._rng, self._target.fork, small=True)
                honest = self._cut(Honest(self._target, small))
            except (BatchError, UnsupportedFeature):
                return
            if not honest.cuts or sum(map(_size, honest.parts)) > _LARGE:
                return
            self._crossing = Crossing(honest)
            coverage.batches += 1
            self._carried = [
                (part, number, kind)
                for part in self._crossing.parts
                for number, rows in part.judge.present()
                if rows.table.name in (*LINKING, *STATING)
                for kind in kinds_of(rows.table)
            ]
            self._rng.shuffle(self._carried)
            self._carried.sort(key=lambda one: -KINDS.index(one[2]))  # the fast ones first, from the end
        assert self._crossing is not None
        crossing, until = self._crossing, time.monotonic() + _REPORT / 2
        while self._carried and time.monotonic() < until and not self._report.findings:
            part, table, kind = self._carried.pop()
            self._judge("cells", part, change_cells(self._rng, part, table, kind))
        until = time.monotonic() + _REPORT / 2
        while time.monotonic() < until and not self._report.findings:
            self._crossings += 1
            self._cross_once(crossing)
            if self._crossings % _CROSSINGS == 0:
                return

    def _cross_once(self, crossing: Crossing) -> None:
        """One lie about what crosses a cut."""
        coverage, changes = self._report.coverage, crossing.random_lie(self._rng)
        if not changes:
            return
        coverage.tried["crossings"] += 1
        self._tried.add("crossings")
        coverage.columns.update({(c.place.split(" ")[-1], c.column) for c in changes if c.place.startswith("part ")})
        segments = crossing.told(changes)
        found = crossing.objections(segments)
        coverage.object(found)
        kind = None if found else crossing.outcome(segments)
        coverage.nothing += not found and kind is None
        if kind is not None:
            honest = crossing.honest
            self._found(honest, _finding(honest, "crossings", kind, _summary(changes), changes))

    def _judge(self, attack_name: str, honest: Honest, judged: Judged) -> None:
        coverage = self._report.coverage
        coverage.tried[attack_name] += judged.tried
        if judged.tried:
            self._tried.add(attack_name)
        coverage.columns.update(judged.columns)
        for found in judged.objections:
            coverage.object(found)
        before = len(self._report.findings)
        for mutation in sorted(judged.survivors, key=lambda m: len(m.edits)):
            if len(self._report.findings) >= before + _OF_ONE_GO:
                break
            changes = changes_of(honest, mutation.edits)
            note = f"table {honest.judge.table(mutation.table).table.name}: {mutation.description}"
            self._found(honest, _finding(honest, attack_name, mutation.kind, note, changes, mutation.provided.value))

    def _found(self, honest: Honest, finding: Finding) -> None:
        """Minimise and report; of many that change the same columns one is enough."""
        key = (finding.attack, *sorted({f"{change.place} {change.column}" for change in finding.changes}))
        if key in self._seen:
            return
        self._seen.add(key)
        self._report.findings.append(minimised(finding, honest, self._minimise))


def _finding(
    honest: Honest, attack_name: str, kind: str, note: str, changes: tuple[Change, ...], provided: str = ""
) -> Finding:
    return Finding(attack_name, kind, note, changes, provided, honest.document, honest.part, honest.cuts, honest.number)


def _size(segment: FilledSegment) -> int:
    """Cells of a segment."""
    return sum(trace.size for trace in segment.traces if trace is not None)


def _summary(changes: Any) -> str:
    return "; ".join(dict.fromkeys(f"{change.place} {change.column}" for change in changes[:6]))


def campaign(
    target: Target,
    seconds: float,
    seed: int,
    *,
    workers: int = 1,
    first_round: int = 0,
    minimise: float = _MINIMISING,
) -> Generator[Report, None, None]:
    """Attack in several processes; yields their reports as they come, at least one a second (perhaps an empty one).

    Closing the iterator ends the processes. Arguments as of `attack`.

    Raises:
        RuntimeError: a process ended by an error.
    """
    if workers == 1:
        yield from attack(target, seconds, seed, first_round=first_round, minimise=minimise)
        return
    deadline = time.monotonic() + seconds
    compiled()  # once, before there are several processes
    context = multiprocessing.get_context("fork")  # the target need not be pickled
    reports: Any = context.Queue()

    def start(first: int) -> Any:
        left = deadline - time.monotonic()
        process = context.Process(
            target=_work, args=(target, left, seed, first, workers, minimise, reports), daemon=True
        )
        process.start()
        return process

    processes = {first: start(first) for first in range(first_round, first_round + workers)}
    try:
        while processes:
            try:
                report = reports.get(timeout=_REPORT)
            except queue.Empty:
                yield Report()
                for first, process in list(processes.items()):
                    if process.exitcode is not None:
                        del processes[first]
                        if process.exitcode:  # killed, for its memory perhaps: other rounds go on
                            later = first + workers * _SKIPPED
                            processes[later] = start(later)
                continue
            if isinstance(report, str):
                raise RuntimeError(report)
            yield report
    finally:
        for process in processes.values():
            process.terminate()
            process.join()


def _work(
    target: Target,
    seconds: float,
    seed: int,
    first: int,
    step: int,
    minimise: float,
    reports: Any,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    parent = os.getppid()
    try:
        rounds = attack(target, seconds, seed, first_round=first, step=step, minimise=minimise)
        for report in rounds:
            reports.put(report)
            if os.getppid() != parent:
                return  # it died
    except Exception as error:
        reports.put(f"{type(error).__name__}: {error}")
