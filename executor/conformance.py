"""Runs the public test suites: every BlockchainTest of a fork this program knows, and what became of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executor.batch import Batch
from executor.case_pool import Judge, Outcome, Task, Verdict, run_tasks
from executor.errors import BatchError, LimitExceeded, UnsupportedFeature
from executor.execute import ExecutedBatch, execute
from executor.fixtures import (
    Case,
    FixtureError,
    Step,
    case_batch,
    case_id,
    case_steps,
    fixture_files,
    parent_hash,
    parse_case,
    state_as_genesis,
)
from executor.limits import Limits

SECONDS_PER_CASE = 300.0  # the longest one takes a minute and a half: more than 500 blocks
MEMORY_PER_CASE = 8 * 2**30  # bytes; the case that needs most holds 3 GiB, the data of 50,000 calls
CASES_PER_TASK = 16

Progress = Callable[[int, int], None]  # (cases done, cases in all)

#: What is done with every executed chain of valid blocks beyond comparing what it gave; raises what is wrong with it.
Further = Callable[[ExecutedBatch], None]


class Failed(Exception):  # noqa: N818
    """A case did not go as it must; the message says what did not."""


@dataclass(frozen=True)
class Report:
    """What became of the cases of a run, by their names (``FILE::CASE``); ``passed`` is a number only.

    Attributes:
        passed: cases where everything was as the case says.
        failed: cases where something was not, or that are malformed, with what it was.
        unsupported: cases with something that this program cannot do yet, with what it is.
        left_out: cases that were stopped, with the limit they went over.
        not_run: cases that were not begun, with what they are: of another network, or tests of another kind. In the
            numbers they count as left out.
        seconds: wall-clock time.
    """

    passed: int
    failed: Mapping[str, str]
    unsupported: Mapping[str, str]
    left_out: Mapping[str, str]
    not_run: Mapping[str, str] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)

    @property
    def cases(self) -> int:
        """Number of cases."""
        return self.passed + sum(map(len, (self.failed, self.unsupported, self.left_out, self.not_run)))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the numbers of each outcome, and under ``reasons`` the reason of every case that did not pass."""
        left_out = {**self.left_out, **self.not_run}
        reasons = {"failed": self.failed, "unsupported": self.unsupported, "left_out": left_out}
        return {
            "passed": self.passed,
            **{outcome: len(of_cases) for outcome, of_cases in reasons.items()},
            "reasons": {outcome: dict(of_cases) for outcome, of_cases in reasons.items()},
        }


def run(
    paths: Iterable[str | Path],
    stage: str = "execute",
    limit: int | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    seconds_per_case: float = SECONDS_PER_CASE,
    judge: Judge | None = None,
) -> Report:
    """Run the cases at ``paths`` (see :func:`executor.fixtures.fixture_files`) whose network is a known fork.

    BlockchainTests of other networks and tests of other kinds are not run, and reported with that reason.

    Args:
        stage: how far to take each case; passed to ``judge``.
        limit: run a sample of so many cases, spread out evenly over all that can be run in the order of their names.
        workers: processes; by default as many as there are cores.
        progress: called after every case.
        seconds_per_case: after which it is stopped and counts as left out.
        judge: takes a case to a stage; must be importable. By default it is executed, whatever the stage's name.

    Raises:
        FixtureError: a path that is unreadable, a case asked for that is not there, or no case at all.
    """
    start = time.perf_counter()
    paths = list(paths)
    chosen, malformed, not_run = _choose(paths, limit)
    total = sum(map(len, chosen.values())) + len(malformed)
    if not total and not not_run:
        raise FixtureError(", ".join(map(str, paths)), "no tests")
    verdicts = [Verdict(name, Outcome.FAILED, reason) for name, reason in malformed.items()]
    advance = progress or (lambda done, total: None)
    advance(len(verdicts), total)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for verdict in run_tasks(_tasks(paths, chosen, stage), judge or judge_executed, workers or cores, seconds_per_case):
        verdicts.append(verdict)
        advance(len(verdicts), total)
    verdicts.sort(key=lambda verdict: verdict.name)
    reasons: dict[Outcome, dict[str, str]] = {outcome: {} for outcome in Outcome}
    for verdict in verdicts:
        reasons[verdict.outcome][verdict.name] = verdict.reason
    return Report(
        passed=len(reasons[Outcome.PASSED]),
        failed=reasons[Outcome.FAILED],
        unsupported=reasons[Outcome.UNSUPPORTED],
        left_out=reasons[Outcome.LEFT_OUT],
        not_run=dict(sorted(not_run.items())),
        seconds=time.perf_counter() - start,
    )


def check_case(case: Case, limits: Limits, further: Further | None = None) -> None:
    """Execute a case and compare: blocks accepted and refused, the hash of the last block, and the post-state.

    Every block is executed after the ancestors that its header names, from the genesis on. A valid block must result in
    the header it claims, field by field; an invalid one must be refused, and nothing but that block.

    Raises:
        Failed: something is not as the case says.
        BatchError: the case is malformed.
        UnsupportedFeature, LimitExceeded: as by :func:`executor.execute.execute`.
        Whatever ``further`` raises about a chain of valid blocks.
    """
    deadline = _Deadline(limits)
    accepted: list[Step] = []
    refused: list[Step] = []
    for step in case_steps(case):
        if step.refusal is None:
            (accepted if step.valid else refused).append(step)
        elif step.valid:
            raise Failed(f"a valid block is refused: {step.refusal}")
    if not accepted:
        accepted = [Step(-1, valid=True)]  # the genesis alone
    parents = {parent_hash(step.chain[-1]) for step in accepted if step.chain}
    for step in accepted:
        # Executing the tip of a chain executes all of it. The last block is a tip: its descendants would come later.
        if not step.chain or step.hash not in parents:
            root = _must_be_valid(case, step, deadline, further)
    for step in refused:
        _must_be_refused(case, step, deadline)
    last = accepted[-1].hash if accepted[-1].chain else case.genesis_header.hash
    if case.last_block_hash != last:
        raise Failed(f"the last block is 0x{last.hex()} where the case has 0x{case.last_block_hash.hex()}")
    expected = _post_state_root(case, deadline)
    if root != expected:
        raise Failed(f"the post-state has the root 0x{root.hex()} where that of the case has 0x{expected.hex()}")


class _Deadline:
    """The limits that are left for a further execution."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._start = time.monotonic()

    def left(self) -> Limits:
        seconds = self._limits.seconds
        if seconds is None:
            return self._limits
        return Limits(self._limits.gas, max(0.0, seconds - (time.monotonic() - self._start)), self._limits.memory)


def _must_be_valid(case: Case, step: Step, deadline: _Deadline, further: Further | None) -> bytes:
    """Execute a chain; the result is the state root of its last block."""
    try:
        executed = execute(case_batch(case, step.chain), limits=deadline.left(), trace=further is not None)
        if further is not None:
            further(executed)
        return executed.post_state_root
    except BatchError as error:
        if error.block is None:
            raise
        index = step.indices[error.block]
        place = BatchError(error.reason, block=index, transaction=error.transaction, field=error.field)
        raise Failed(f"a valid block is refused: {place}") from None


def _must_be_refused(case: Case, step: Step, deadline: _Deadline) -> None:
    """Execute a chain: its last block must be refused."""
    try:
        execute(case_batch(case, step.chain), limits=deadline.left(), trace=False)
    except BatchError as error:
        if error.block == len(step.chain) - 1:
            return
        raise
    raise Failed(f"block {step.index} is accepted, but is invalid")


def _post_state_root(case: Case, deadline: _Deadline) -> bytes:
    """The state root of the post-state; it commits to all accounts and all of their storage."""
    if case.post_state is None:
        assert case.post_state_hash is not None
        return case.post_state_hash
    genesis = state_as_genesis(case.post_state, "postState")
    state = Batch(chain_id=case.config.chain_id, schedule=case.schedule, genesis=genesis, blocks=())
    return execute(state, limits=deadline.left(), trace=False).pre_state_root


def judge_executed(name: str, document: Any, stage: str, seconds: float) -> Verdict:
    """Execute a case, and say how it went."""
    return judge_case(name, document, seconds)


def judge_case(name: str, document: Any, seconds: float, further: Further | None = None) -> Verdict:
    """Execute a case, do what else is asked, and say how it went. All errors are verdicts; ``name`` is the case's."""
    limits = Limits(seconds=seconds, memory=MEMORY_PER_CASE)
    try:
        check_case(parse_case(name, document), limits, further)
    except Failed as error:
        return Verdict(name, Outcome.FAILED, str(error))
    except UnsupportedFeature as error:
        return Verdict(name, Outcome.UNSUPPORTED, str(error))
    except LimitExceeded as error:
        limit = getattr(limits, error.limit)
        return Verdict(name, Outcome.LEFT_OUT, str(LimitExceeded(error.limit, limit, error.unit)))
    except BatchError as error:
        cause = error.cause if isinstance(error, FixtureError) else error
        return Verdict(name, Outcome.FAILED, f"malformed: {cause}")
    except Exception as error:  # a defect of this program must not hide the other cases
        return Verdict(name, Outcome.FAILED, f"internal error: {type(error).__name__}: {error}")
    return Verdict(name, Outcome.PASSED)


def _choose(paths: list[str | Path], limit: int | None) -> tuple[dict[str, list[str]], dict[str, str], dict[str, str]]:
    """The cases to run, by file; malformed files and cases with what is wrong; and those not to run with the reason."""
    found: dict[str, tuple[str, str]] = {}  # by the name of the case: file and name in the file
    malformed: dict[str, str] = {}
    not_run: dict[str, str] = {}
    for file, only in fixture_files(paths):
        try:
            listed = file.listed()
        except FixtureError as error:
            malformed[error.name] = f"malformed: {error.cause}"
            continue
        if only is not None and only not in listed:
            raise FixtureError(case_id(file.name, only), "no such case")
        for name, case in listed.items():
            if only not in (None, name):
                continue
            if case.reason is None:
                found[case_id(file.name, name)] = (file.name, name)
            elif case.network is None and case.other_kind is None:
                malformed[case_id(file.name, name)] = f"malformed: {case.reason}"
            else:
                not_run[case_id(file.name, name)] = case.reason
    names = sorted(found)
    if limit is not None and limit < len(names):
        names = [names[(2 * number + 1) * len(names) // (2 * limit)] for number in range(limit)]
    chosen: dict[str, list[str]] = {}
    for name in names:
        file_name, case_name = found[name]
        chosen.setdefault(file_name, []).append(case_name)
    return chosen, malformed, not_run


def _tasks(paths: list[str | Path], chosen: dict[str, list[str]], stage: str) -> Iterator[Task]:
    left = dict(chosen)
    for file, _ in fixture_files(paths):
        # A file may lie at several of the paths.
        names = left.pop(file.name, [])
        for first in range(0, len(names), CASES_PER_TASK):
            yield Task(file, tuple(names[first : first + CASES_PER_TASK]), stage)
