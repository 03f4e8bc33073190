"""Random calls of every precompiled contract pass the checker with the results of py-evm, as the specs have them, too.

The tables are filled from what py-evm did, so that a batch without findings is one that the circuits accept with
py-evm's results; the verifier expects what the segments state. `tests.differential.test_circuits` has the details.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import pytest

from executor.forks import CANCUN, OSAKA, PRAGUE, Fork
from executor.modexp import HEADER_BYTES, ModexpInput
from executor.provable import MODEXP, precompile_numbers, proved_precompiles
from executor.trace import ExecutionTrace, FrameKind, Outcome
from scripts.batches.precompile_calls import document, of_inputs
from scripts.batches.precompile_inputs import random_input
from tests.differential.agreement import Tally, assert_agreement, report
from tests.differential.published import Published, read
from tests.differential.specs import Specs
from tests.differential.test_circuits import problems

CALLS = 300  # of each, in the deep tests
#: Calls in a batch, which is a test: those of programs with many rows need much memory and time.
IN_BATCH = 20
PARTS = range(CALLS // IN_BATCH)
#: What takes seconds to be checked once; the fast test leaves it out.
SLOW = (8, 10, 0x0E, 0x0F, 0x11)
SAMPLE = 3  # calls of each other one in the fast test
#: Each where it comes first, and MODEXP again where it has other prices and a bound.
OF_FORKS: dict[Fork, tuple[int, ...]] = {
    CANCUN: proved_precompiles(CANCUN),
    PRAGUE: tuple(sorted(set(proved_precompiles(PRAGUE)) - set(proved_precompiles(CANCUN)))),
    OSAKA: (MODEXP, *sorted(set(proved_precompiles(OSAKA)) - set(proved_precompiles(PRAGUE)))),
}
EACH = [pytest.param(f, n, id=f"{f.name}-{n}") for f, numbers in OF_FORKS.items() for n in numbers]
#: Calls that public tests make, and what came of them.
PUBLISHED = read(Path(__file__).with_name("published_calls.json"))


@dataclass
class Called:
    """What came of the calls of a precompiled contract: outcomes, whether they returned something, how they came."""

    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    returned: int = 0
    exactly: int = 0  # with no gas left
    answers: list[Published] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """All calls."""
        return self.outcomes.total()

    def add(self, trace: ExecutionTrace) -> None:
        """Count a batch."""
        frames = trace.frames
        numbers = precompile_numbers(trace)
        rows = np.flatnonzero(numbers > 0)
        self.outcomes.update(Outcome(outcome).name for outcome in frames.outcome[rows].tolist())
        self.kinds.update(FrameKind(kind).name for kind in frames.kind[rows].tolist())
        self.returned += int(np.count_nonzero(frames.output_size[rows]))
        for row in rows.tolist():
            given = trace.bytes_at(frames.input_start[row], frames.input_size[row])
            output = trace.bytes_at(frames.output_start[row], frames.output_size[row])
            succeeds = frames.outcome[row] == Outcome.SUCCESS
            self.answers.append(Published(int(numbers[row]), given, output if succeeds else None))
        spent = (frames.outcome[rows] == Outcome.SUCCESS) & (frames.gas_left[rows] == 0)
        self.exactly += int(np.count_nonzero(spent))

    def __str__(self) -> str:
        counts = {**self.outcomes, **self.kinds, "returned something": self.returned, "without gas left": self.exactly}
        return ", ".join(f"{name} {count}" for name, count in counts.items())


def _check(fork: Fork, seed: int, number: int, called: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    request = document(seed, number, IN_BATCH, fork=fork)
    wrong = problems(request, called, monkeypatch, cut=bool(seed % 2))
    assert not wrong, "\n".join([f"seed {seed}, precompile {number}:", *wrong[:10], report(request, [])])


@pytest.mark.parametrize(
    "fork", [pytest.param(f, marks=pytest.mark.deep if f is CANCUN else (), id=f.name) for f in OF_FORKS]
)
def test_random_calls(monkeypatch: pytest.MonkeyPatch, fork: Fork) -> None:
    """A few of each that is not slow, in one batch."""
    random, called = Random(1), Called()
    numbers = [number for number in OF_FORKS[fork] if number not in SLOW] * SAMPLE
    inputs = [(number, random_input(random, number, fork)) for number in numbers]
    assert problems(of_inputs(random, inputs, fork=fork), called, monkeypatch, cut=True) == []
    print(called)
    assert called.calls == len(inputs)


@pytest.mark.deep
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("fork", "number"), EACH)
def test_many_random_calls(monkeypatch: pytest.MonkeyPatch, fork: Fork, number: int, part: int) -> None:
    called = Called()
    _check(fork, part, number, called, monkeypatch)
    print(f"precompile {number}: {called}")
    assert called.calls == IN_BATCH
    assert called.outcomes["SUCCESS"]
    assert called.returned


@pytest.fixture(scope="module")
def specs_of() -> Iterator[dict[Fork, Specs]]:
    """The specs of each fork."""
    with ExitStack() as stack:
        yield {fork: stack.enter_context(Specs(fork)) for fork in OF_FORKS}


def _specs_run(data: bytes) -> bool:
    """Whether the place behind the base is a word; the specs add it up before they find that nobody can pay."""
    return HEADER_BYTES + ModexpInput(data).lengths[0] < 1 << 256


@pytest.mark.deep
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("fork", "number"), EACH)
def test_the_specs_agree(specs_of: dict[Fork, Specs], fork: Fork, number: int, part: int) -> None:
    """On the same batches, but for inputs of MODEXP on which the specs stop with an error of their own."""
    tally = Tally()
    request = document(part, number, IN_BATCH, _specs_run if number == MODEXP else lambda _: True, fork)
    assert_agreement(specs_of[fork], request, tally)
    assert tally.transactions == IN_BATCH


def _check_published(calls: Sequence[Published], monkeypatch: pytest.MonkeyPatch) -> None:
    called, random = Called(), Random(len(calls))
    request = of_inputs(random, [(call.number, call.input) for call in calls], paid=True)
    wrong = problems(request, called, monkeypatch)
    assert not wrong, "\n".join([*wrong[:10], report(request, [])])
    assert called.answers == list(calls)


def test_some_published_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = [call for call in PUBLISHED if call.number not in SLOW and call.rounds < 100]
    _check_published(quick[:: len(quick) // 25], monkeypatch)


def _published_parts() -> list[tuple[int, int]]:
    """Of which precompile, and from which call on."""
    counts = Counter(call.number for call in PUBLISHED)
    return [(number, first) for number in sorted(counts) for first in range(0, counts[number], IN_BATCH)]


@pytest.mark.deep
@pytest.mark.parametrize(("number", "first"), _published_parts())
def test_published_calls(monkeypatch: pytest.MonkeyPatch, number: int, first: int) -> None:
    calls = [call for call in PUBLISHED if call.number == number]
    _check_published(calls[first : first + IN_BATCH], monkeypatch)
