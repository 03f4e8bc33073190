"""Random programs that call and create each other: all that frames have to do with each other happens, and is right."""

from __future__ import annotations

import pytest

from executor.errors import BatchError
from executor.execute import ExecutedBatch
from executor.forks import CANCUN
from executor.opcodes import NAMES
from executor.provable import proved_precompiles
from executor.trace import FrameKind, Outcome
from scripts.batches.many_frames import document
from tests.differential.agreement import Tally, assert_agreement, run
from tests.differential.happenings import Happened
from tests.differential.specs import Specs

BATCHES, PROGRAMS = 25, 20
FEW, MANY = 2, 60  # batches that the specs run, too

CALLS = ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL", "MESSAGE")
CREATIONS = ("CREATE", "CREATE2", "CREATION")
FORBIDDEN = ("SSTORE", "TSTORE", "LOG", "CREATE", "CREATE2", "SELFDESTRUCT", "CALL")
UNDONE = (
    "BALANCE", "NONCE", "CODE_HASH", "STORAGE", "TRANSIENT", "WARM_ADDRESS", "WARM_SLOT", "CREATED", "DESTROYED",
    "REFUND",
)  # fmt: skip


@pytest.fixture(scope="module")
def happened() -> Happened:
    happened = Happened()
    for seed in range(BATCHES):
        executed = run(document(seed, PROGRAMS))
        assert isinstance(executed, ExecutedBatch), executed
        assert executed.trace is not None
        happened.add(executed.trace)
    print(happened)
    return happened


@pytest.mark.deep
def test_most_programs_are_short(happened: Happened) -> None:
    assert happened.programs >= BATCHES * PROGRAMS
    short = sum(steps < 2_000 for steps in happened.steps)
    assert short > 0.95 * happened.programs
    assert sum(happened.steps) > 100 * happened.programs


@pytest.mark.deep
def test_all_instructions_succeed(happened: Happened) -> None:
    """But for some of those that only move words on the stack, which are for programs of one frame."""
    missing = set(NAMES.values()) - set(happened.done)
    assert {name for name in missing if not name.startswith(("PUSH", "DUP", "SWAP"))} == set()
    assert len(missing) < 10


@pytest.mark.deep
def test_all_kinds_of_frames_and_endings(happened: Happened) -> None:
    assert set(happened.frames) == {kind.name for kind in FrameKind if kind != FrameKind.SYSTEM}
    assert set(happened.outcomes) >= {outcome.name for outcome in Outcome if outcome != Outcome.PRECOMPILE_FAILURE}
    ends = {kind: {outcome for own, outcome in happened.endings if own == kind} for kind in happened.frames}
    for kind in (*CALLS, *CREATIONS):
        assert ends[kind] >= {"SUCCESS", "REVERT", "OUT_OF_GAS"}, kind
    for kind in CREATIONS:
        assert "RESERVED_CODE" in ends[kind]
    assert "COLLISION" in ends["CREATION"]


@pytest.mark.deep
def test_the_precompiles_that_are_called(happened: Happened) -> None:
    assert set(happened.precompiles) == set(proved_precompiles(CANCUN))


@pytest.mark.deep
def test_what_static_frames_forbid(happened: Happened) -> None:
    assert [name for name in FORBIDDEN if not any(done.startswith(name) for done in happened.static)] == []


@pytest.mark.deep
def test_everything_is_undone(happened: Happened) -> None:
    assert [name for name in UNDONE if not happened.undone[name]] == []


@pytest.mark.deep
def test_all_else_happens(happened: Happened) -> None:
    assert [name for name, count in happened.events.items() if not count] == []


@pytest.mark.parametrize("first", [0, pytest.param(1_000, marks=pytest.mark.deep)])
def test_the_specs_agree(specs: Specs, first: int) -> None:
    tally = Tally()
    for seed in range(first, first + (MANY if first else FEW)):
        assert not isinstance(assert_agreement(specs, document(seed, PROGRAMS), tally), BatchError)
    assert tally.outcomes["success"] > tally.transactions / 4
