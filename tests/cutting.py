"""Whatever batch a test executes can be proved in parts as well: with `--cut SHARE`, so many of them are checked so.

Between two random places of each (`Execution.places`: steps, and instances of programs) there are parts of one, two and
three of them, the others have a random number. A batch
counts as honest if all constraints hold for it as a whole: some tests make others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from circuits.air.checker import Finding, check_circuit
from circuits.air.evaluate import NATIVE
from circuits.batch.execution import Batch, Execution
from circuits.parts import fill_parts
from circuits.segment import FilledSegment, fill
from executor.errors import ExecutionMismatch
from executor.trace import ExecutionTrace
from scripts.campaign.chaining import refused

#: Larger batches are left to tests of their own.
MOST_STEPS = 20_000


def objections(parts: Sequence[FilledSegment]) -> list[Finding | str]:
    """What the parts of a run do not satisfy, and why the verifier refuses them."""
    found: list[Finding | str] = list(refused(parts, parts))
    for part in parts:
        found += check_circuit(part.circuit, part.traces, part.public_lists, algebra=NATIVE, limit=2)
    return found


def _holds(execution: Execution) -> bool:
    try:
        return not objections([fill(execution)])
    except (ExecutionMismatch, KeyError):  # what a test has forged does not fit what has been executed
        return False


def parts_of(execution: Execution, rng: np.random.Generator) -> tuple[int, ...]:
    """Places before which a part begins, such that some have one, two and three; none if there is but one place."""
    places = len(execution.places)
    if places < 2:
        return ()
    begin = int(rng.integers(1, places))
    cuts = {begin, begin + 1, begin + 3, begin + 6, int(rng.integers(1, places))}
    return tuple(sorted(cut for cut in cuts if cut < places))


class Cutting:
    """Checks a share of the batches that are made from traces while tests run, each once."""

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._seed = share, seed
        self._seen: set[bytes] = set()
        self._waiting: list[tuple[bytes, Batch]] = []
        self.checked = 0
        self._make = Batch.of

    def start(self) -> None:
        """From now on batches are recorded."""
        Batch.of = self._of  # type: ignore[method-assign,assignment]

    def _of(self, trace: ExecutionTrace) -> Batch:
        batch = self._make(trace)
        if len(trace.steps) <= MOST_STEPS:
            steps, accesses = trace.steps, trace.accesses
            hashed = hashlib.sha256(trace.blocks.fork.tobytes())
            for column in (steps.pc, steps.gas_before, trace.operands.word, accesses.after, trace.data.byte):
                hashed.update(column.tobytes())
            digest = hashed.digest()
            drawn = hashlib.sha256(digest + self._seed.to_bytes(8, "little")).digest()
            if digest not in self._seen and int.from_bytes(drawn[:4], "little") < self._share * (1 << 32):
                self._seen.add(digest)
                self._waiting.append((digest, batch))
        return batch

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        result = yield
        while self._waiting:
            digest, batch = self._waiting.pop()
            for number, (_, first, end) in enumerate(batch.runs()):
                execution = Execution(batch, first, end)
                cuts = parts_of(execution, np.random.default_rng([*digest, number, self._seed]))
                if not cuts:
                    continue
                if not _holds(execution):
                    break
                if found := objections(fill_parts(execution, cuts)):
                    pytest.fail(f"operations {first} to {end - 1}, cut before the places {cuts}: {found[0]}")
                self.checked += 1
        return result

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):  # of a process of several
            session.config.workeroutput["cut"] = self.checked

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.checked += getattr(node, "workeroutput", {}).get("cut", 0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(f"{self.checked} batches were checked in parts, too")
