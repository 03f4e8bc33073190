"""Honest batches in segments of one, two, three and a random number of steps are proved and accepted, as in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from circuits.batch.execution import Execution
from executor.batch import batch_from_document
from executor.execute import ExecutedBatch, execute
from executor.forks import OSAKA, PRAGUE
from executor.inputs import read_batch
from prover.planner import SegmentPlan, plan_cut
from scripts.batches import calls, precompiled, random_delegations, system_calls, worlds
from scripts.batches.builder import Builder
from scripts.batches.mixed import mixed_batch
from scripts.batches.programs import PROGRAMS
from scripts.batches.state import program, several_blocks
from scripts.workloads.assembler import assemble
from tests.end_to_end.batches import first_transactions, rejecting_check, three_forks
from tests.verifier.proving import Proved, prove_here, prove_planned
from verifier.container import ProofFile
from verifier.verify import verify

FIXTURES = Path(__file__).parents[1] / "zkevm" / "fixtures"

#: Batches of no more steps are in segments of so many steps from their beginning to their end, others have so many
#: of these segments somewhere; all have fewer in the fast test. And segments of a random number of steps.
SMALL = 40
WINDOW = 8
FAST_WINDOW = 3
RANDOM = 6

#: Steps of a segment; 0: a random number.
STEPS = [1, 2, 3, 0]


def precompiles() -> ExecutedBatch:
    """A contract of Osaka calls every precompile that programs prove, with what the transaction gives it."""
    building = Builder(OSAKA)
    transactions: list[dict[str, Any]] = []
    for number, data in precompiled.calls(OSAKA)[::3]:
        source = f"calldatasize 0 0 calldatacopy 64 0 calldatasize 0 {number} gas staticcall 0 mload add 0 sstore"
        address = bytes([0xB0 + len(transactions)]) * 20
        building.alloc(address, code="0x" + assemble(source).hex())
        transactions.append(building.transfer(0, address, 0, gas=1_000_000, data="0x" + data.hex()))
    return building.block(*transactions).execute()


def storing() -> ExecutedBatch:
    """A program that keeps words on its stack, in storage and in memory, to its end and until it is out of gas."""
    source = "7 5 1 sstore 1 sload 2 0 mstore 3 4 add 2 sstore 0 mload pop pop pop stop"
    return program(source, [90_000, 24_000]).execute()


def delegations() -> ExecutedBatch:
    """Set-code transactions and what their authorities run."""
    return execute(batch_from_document(random_delegations.document(3, 2, PRAGUE)))


def fixture(name: str) -> Callable[[], ExecutedBatch]:
    return lambda: execute(read_batch(FIXTURES / f"{name}.json"))


BATCHES: dict[str, Callable[[], ExecutedBatch]] = {
    "storing": storing,
    "mixed": lambda: mixed_batch().execute(),
    "several blocks": lambda: several_blocks().execute(),
    "erc20": lambda: first_transactions("erc20", 2),
    "uniswap": lambda: first_transactions("uniswap", 1),
    "three forks": lambda: three_forks().execute(),
    **{
        name: lambda name=name: PROGRAMS[name]().execute()  # type: ignore[misc]
        for name in (
            *("calls", "return data", "logs", "failures", "creations", "collision", "destruction", "blobs"),
            *("block context", "beacon root", "precompiles", "deep"),
        )
    },
    "reentrant": lambda: worlds.reentrant_builder().execute(),
    "static": lambda: worlds.static_builder().execute(),
    "calls of Osaka": lambda: calls.builder([1, 9], OSAKA).execute(),
    "precompiles of Osaka": precompiles,
    "delegations": delegations,
    "requests": lambda: system_calls.requests(PRAGUE).execute(),
    "failing system calls": lambda: system_calls.halting(OSAKA).execute(),
    "empty blocks": fixture("empty_blocks"),
    "only a withdrawal": fixture("only_a_withdrawal"),
}

#: Those of the fast test, and those of which the engine in Python verifies a proof, too, seconds for each segment.
FAST = ("storing",)
IN_PYTHON = ("mixed", "three forks", "precompiles of Osaka")


@cache
def whole(name: str) -> Proved:
    """A batch that is proved in as few segments as can be, one for each of its forks."""
    return prove_here(BATCHES[name](), None, memory=8 << 30)


def cuts_of(rng: np.random.Generator, steps: int, window: int, execution: Execution) -> tuple[int, ...]:
    """Steps before which a segment ends: `window` segments of so many steps, or some of a random number."""
    count = len(execution.step)
    if not steps:
        return tuple(np.unique(rng.integers(1, count, RANDOM - 1)).tolist()) if count > 1 else ()
    first = int(rng.integers(max(count - window * steps, 0) + 1))
    ends = range(first, first + window * steps + 1, steps)
    return tuple(cut for cut in ends if 0 < cut < count)


def check_lengths(plans: Sequence[SegmentPlan], steps: int) -> None:
    """Each segment but the first and the last one of a run has so many steps."""
    for plan in plans:
        assert plan.run is not None
        assert (np.diff(plan.run.cuts) == steps).all()


def lies(file: ProofFile) -> list[ProofFile]:
    """Files that say something else, with the same proofs."""
    said = file.statement
    others = [replace(file, statement=replace(said, gas_used=said.gas_used + 1))]
    others.append(replace(file, statement=replace(said, post_state_root=bytes(32))))
    return others + ([replace(file, segments=file.segments[:-1])] if file.segments else [])


@pytest.mark.parametrize("steps", STEPS, ids=["each step", "two", "three", "random"])
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.deep] * (n not in FAST)) for n in BATCHES])
def test_parts_are_proved(name: str, steps: int) -> None:
    """With the same statement; and what is refused of the batch in one segment is refused of it in many."""
    proved_whole = whole(name)
    executed, batch = proved_whole.executed, proved_whole.batch
    rng, count = np.random.default_rng([list(BATCHES).index(name), steps]), len(batch.trace.steps)
    window = FAST_WINDOW if name in FAST else WINDOW if count > SMALL else count
    plans = plan_cut(batch, lambda execution: cuts_of(rng, steps, window, execution))
    if steps:
        check_lengths(plans, steps)
    proved = prove_planned(executed, batch, plans)
    report = verify(proved.content)
    undivided = verify(proved_whole.content)
    assert report.statement == undivided.statement
    assert (report.blocks, report.transactions) == (undivided.blocks, undivided.transactions)
    assert report.segments == len(plans)
    if not steps and name in IN_PYTHON:
        assert verify(proved.content, "python").statement == report.statement
    refused = [rejecting_check(lie) for lie in lies(proved.file)]
    assert refused == [rejecting_check(lie) for lie in lies(proved_whole.file)]
