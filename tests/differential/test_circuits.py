"""Random programs pass the checker, and the verifier expects of them what their segments state.

py-evm executes them, and the tables are filled from what it did. So a batch without findings is one that the circuits
accept with the results of py-evm. What the verifier expects is computed from the headers, transactions, receipts,
writes and the state trie alone, with the state root of each header.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import pytest

from circuits.air.checker import check_circuit
from circuits.air.evaluate import NATIVE
from circuits.batch.execution import Batch, Execution
from circuits.segment import fill
from circuits.statement import PublicColumns
from executor.errors import BatchError
from executor.forks import CANCUN, OSAKA, PRAGUE, Fork
from executor.opcodes import NAMES
from executor.provable import check_provable, proved_precompiles
from executor.trace import NONE, ExecutionTrace, Outcome
from prover.assemble import assemble
from prover.planner import SegmentPlan
from prover.segment import SegmentProof, segment_jobs
from scripts.batches import many_frames, random_delegations, single_frames
from scripts.batches.programs import PROGRAMS as PROGRAMS_OF_BATCHES
from scripts.batches.random_programs import ALL_NAMES, added_operations
from scripts.batches.single_frames import ALONE
from tests.differential.agreement import report, run
from tests.differential.happenings import Happened
from tests.verifier.demands import demanded
from verifier.keys import SUPPORTED_HEIGHTS

PROGRAMS = 40  # of a batch
FEW, MANY = 2, 50  # batches
CALLING = 20  # programs of a batch that call each other
FEW_DELEGATED = 8  # programs of a batch of accounts that have delegated
FEW_CALLING, PARTS, PART = 2, 10, 25  # batches; those of the deep test come in parts
LATER = pytest.mark.parametrize("fork", [PRAGUE, OSAKA], ids=lambda fork: fork.name)
#: The last one among the fast tests.
LAST = pytest.mark.parametrize(
    "fork", [pytest.param(PRAGUE, marks=pytest.mark.deep), OSAKA], ids=lambda fork: fork.name
)
FEW_LATER, MANY_LATER = 1, 10  # batches of each kind and later fork


class Counting(Protocol):
    """Counts what happens in batches."""

    def add(self, trace: ExecutionTrace) -> None: ...


@dataclass
class Ran:
    """What the programs of some batches came to."""

    programs: int = 0
    steps: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)  # of frames
    done: Counter[str] = field(default_factory=Counter)  # instructions that succeeded
    delegated: int = 0  # frames of accounts that have delegated

    def add(self, trace: ExecutionTrace) -> None:
        """Count a batch."""
        own = trace.frames.transaction != NONE
        self.programs += int(np.count_nonzero(own))
        self.steps += len(trace.steps)
        self.delegated += int(trace.frames.delegates.sum())
        self.outcomes.update(Outcome(outcome).name for outcome in trace.frames.outcome[own].tolist())
        opcodes, counts = np.unique(trace.steps.opcode[trace.steps.failed == 0], return_counts=True)
        for opcode, count in zip(opcodes.tolist(), counts.tolist(), strict=True):
            self.done[ALL_NAMES[opcode]] += count

    def __str__(self) -> str:
        outcomes = ", ".join(f"{name} {count}" for name, count in self.outcomes.most_common())
        return f"{self.programs} programs, {self.steps} steps: {outcomes}"


def problems(request: dict[str, Any], ran: Counting, monkeypatch: pytest.MonkeyPatch, cut: bool = False) -> list[str]:
    """What is wrong with the tables of a batch, or with what they state; `cut`: it is proved in two segments."""
    executed = run(request)
    assert not isinstance(executed, BatchError), executed
    batch = Batch.of(check_provable(executed))
    ran.add(batch.trace)
    cuts = batch.operations.cuts.tolist()
    borders = [0, cuts[len(cuts) // 2], cuts[-1]] if cut else [0, cuts[-1]]
    found, plans, stated = [], [], []
    for index, (first, end) in enumerate(pairwise(borders)):
        filled = fill(Execution(batch, first, end))
        circuit = filled.circuit
        found += check_circuit(circuit, filled.traces, filled.public_lists, algebra=NATIVE)
        heights = {t.name: len(m) for t, m in zip(circuit.tables, filled.traces, strict=True) if m is not None}
        plans.append(SegmentPlan(index, first, end, heights, 0, 0, SUPPORTED_HEIGHTS[-1]))
        stated.append(filled.public_values.to_list())
    jobs = segment_jobs(batch, plans)
    file = assemble(executed, batch, jobs, [SegmentProof(b"no proof")] * len(jobs))
    wrong = [str(finding) for finding in found]
    for index, (own, wanted) in enumerate(zip(stated, demanded(file, monkeypatch), strict=True)):
        for name, start in PublicColumns.offsets.items():
            end = start + PublicColumns.parts[name].size
            if own[start:end] != wanted[start:end]:
                wrong.append(f"segment {index}: the verifier demands another {name}")
    return wrong


def check(seed: int, request: dict[str, Any], ran: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the random batch of this seed; every second one is cut."""
    wrong = problems(request, ran, monkeypatch, cut=bool(seed % 2))
    assert not wrong, "\n".join([f"seed {seed}:", *wrong[:10], report(request, [])])


def test_random_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Ran()
    for seed in range(FEW):
        check(seed, single_frames.document(seed, PROGRAMS), ran, monkeypatch)
    print(ran)
    assert ran.programs == FEW * PROGRAMS
    assert ran.outcomes["SUCCESS"] > ran.programs / 4


@pytest.mark.parametrize("cut", [False, True])
def test_collisions(monkeypatch: pytest.MonkeyPatch, cut: bool) -> None:
    """Creations at addresses that are taken: the verifier finds in the pre-state which are so by storage alone."""
    ran = Ran()
    assert problems(PROGRAMS_OF_BATCHES["collision"]().document, ran, monkeypatch, cut) == []
    assert ran.outcomes["COLLISION"] == 2


@pytest.mark.deep
def test_many_random_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Ran()
    for seed in range(1_000, 1_000 + MANY):
        check(seed, single_frames.document(seed, PROGRAMS), ran, monkeypatch)
    print(ran)
    assert ran.programs == MANY * PROGRAMS
    assert {NAMES[opcode] for opcode in ALONE} == set(ran.done)
    assert {outcome.name for outcome in Outcome} - set(ran.outcomes) == {
        Outcome.STATIC_VIOLATION.name,
        Outcome.RESERVED_CODE.name,
        Outcome.COLLISION.name,
        Outcome.PRECOMPILE_FAILURE.name,
    }


def test_random_programs_that_call_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    happened = Happened()
    for seed in range(FEW_CALLING):
        check(seed, many_frames.document(seed, CALLING), happened, monkeypatch)
    print(happened)
    assert happened.programs >= FEW_CALLING * CALLING
    assert happened.frames.total() > 2 * happened.programs
    assert happened.outcomes["SUCCESS"] > happened.programs / 2


@LAST
def test_random_programs_of_accounts_that_have_delegated(monkeypatch: pytest.MonkeyPatch, fork: Fork) -> None:
    """EIP-7702: set-code transactions, and calls of those who have signed or delegated before."""
    ran = Ran()
    for seed in range(FEW):
        request = random_delegations.document(seed, FEW_DELEGATED, fork)
        check(seed, request, ran, monkeypatch)
    assert ran.programs > FEW * FEW_DELEGATED
    assert ran.delegated


@pytest.mark.deep
@pytest.mark.parametrize("part", range(PARTS))
def test_many_random_programs_that_call_each_other(monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    happened = Happened()
    for seed in range(1_000 + PART * part, 1_000 + PART * (part + 1)):
        check(seed, many_frames.document(seed, CALLING), happened, monkeypatch)
    print(happened)
    assert happened.programs >= PART * CALLING
    # The pairing check and the point evaluation are 3 of the 58 inputs that programs choose from.
    assert set(proved_precompiles(CANCUN)) - set(happened.precompiles) <= {8, 10}
    rare = {"PRECOMPILE_FAILURE", "STACK_OVERFLOW", "COLLISION"}
    assert {outcome.name for outcome in Outcome} - set(happened.outcomes) <= rare


def later(seeds: range, fork: Fork, monkeypatch: pytest.MonkeyPatch) -> tuple[Ran, Happened]:
    """Batches of a later fork: programs by themselves; and ones that call each other, with accounts that delegate."""
    ran, happened = Ran(), Happened()
    for seed in seeds:
        check(seed, single_frames.document(seed, PROGRAMS, fork), ran, monkeypatch)
        check(seed, random_delegations.document(seed, CALLING, fork), happened, monkeypatch)
    print(ran, happened, sep="\n")
    assert ran.programs == len(seeds) * PROGRAMS
    assert ran.outcomes["SUCCESS"] > ran.programs / 4
    assert happened.frames.total() > len(seeds) * CALLING
    return ran, happened


@LAST
def test_random_programs_of_later_forks(fork: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    later(range(FEW_LATER), fork, monkeypatch)


@pytest.mark.deep
@LATER
def test_many_random_programs_of_later_forks(fork: Fork, monkeypatch: pytest.MonkeyPatch) -> None:
    ran, happened = later(range(1_000, 1_000 + MANY_LATER), fork, monkeypatch)
    assert set(added_operations(fork)) <= set(ran.done)
    assert set(happened.precompiles) - set(proved_precompiles(CANCUN))
