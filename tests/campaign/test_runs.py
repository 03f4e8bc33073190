"""Runs of several segments, cut between steps: honest ones are accepted, and what crosses a cut is attacked."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from circuits.air.checker import check_circuit
from circuits.air.evaluate import NumpyAlgebra
from circuits.air.mutation.judge import PUBLIC_ROW
from circuits.batch.execution import Batch, Execution
from circuits.parts import fill_parts
from circuits.segment import FilledSegment
from executor.batch import batch_from_document
from executor.errors import BatchError, UnsupportedFeature
from executor.execute import execute
from executor.forks import CANCUN, CIRCUIT_FORKS, OSAKA, Fork
from executor.provable import check_provable
from scripts.batches.state import program
from scripts.campaign import lies
from scripts.campaign.batches import Document, random_cuts, random_document, random_part
from scripts.campaign.carried import carried_by
from scripts.campaign.chaining import refused, stating
from scripts.campaign.changes import Change
from scripts.campaign.crossing import Crossing
from scripts.campaign.findings import Finding
from scripts.campaign.target import Honest, Target
from tests.campaign.defects import DEFECTS

#: Steps of a batch at most that is cut, and the parts of a few steps that are filled of it.
STEPS = 1500
PARTS = 5

#: Batches of the fast test and of the deep one: a seed and a fork; the first has two logs with a cut between them.
FAST = [(44, OSAKA), (3, CANCUN)]
DEEP = [(seed, fork) for fork in CIRCUIT_FORKS.values() for seed in range(200, 215)]


@pytest.fixture(scope="module")
def document() -> Document:
    """A call of a program that reads and writes storage, keeps words on its stack, and writes to its memory."""
    return program("7 5 1 sstore 1 sload 2 0 mstore 3 4 add 2 sstore 0 mload pop pop pop stop", [90_000]).document


@pytest.fixture(scope="module")
def crossing(document: Document) -> Crossing:
    return Crossing(Honest(Target.segment(), document, cuts=(6,)))


def check(parts: list[FilledSegment]) -> None:
    assert refused(parts, parts) == set()
    for part in parts:
        assert check_circuit(part.circuit, part.traces, part.public_lists, algebra=NumpyAlgebra(), limit=2) == []


def run_of(seed: int, fork: Fork) -> Execution | None:
    """The operations of a random batch, or of a part of one; None if they have too few steps, or too many."""
    rng = np.random.default_rng(seed)
    try:
        trace = check_provable(execute(batch_from_document(random_document(rng, fork, small=True))))
    except (BatchError, UnsupportedFeature):
        return None
    batch = Batch.of(trace)
    part = random_part(rng, batch) if rng.random() < 1 / 3 else None
    execution = Execution(batch, *(part or (0, len(batch.operations))))
    return execution if 2 <= len(execution.step) <= STEPS else None


@pytest.mark.parametrize(
    ("seed", "fork"),
    [
        *(pytest.param(s, f, id=f"{f.name}-{s}") for s, f in FAST),
        *(pytest.param(s, f, id=f"{f.name}-{s}", marks=pytest.mark.deep) for s, f in DEEP),
    ],
)
@pytest.mark.parametrize("steps", [1, 2, 3, 0], ids=["each step", "two", "three", "random"])
def test_parts_are_accepted(seed: int, fork: Fork, steps: int) -> None:
    """A batch in parts of so many steps, somewhere in it, or of a random number."""
    execution = run_of(seed, fork)
    if execution is None:
        pytest.skip("no batch of the size")
    rng, count = np.random.default_rng([seed, steps]), len(execution.step)
    if steps:
        first = int(rng.integers(1, count))
        cuts = tuple(range(first, min(count, first + PARTS * steps), steps))
    else:
        cuts = random_cuts(rng, execution)
    parts = fill_parts(execution, cuts)
    assert len(parts) == len(cuts) + 1
    check(parts)
    for before, after in pairwise(parts):
        assert np.array_equal(before.public_values.carry_out, after.public_values.carry_in)


def test_a_log_follows_one_of_another_part() -> None:
    """The running hash of receipts goes on where the part before has left it, not where the operation has begun it."""
    building = program("0 0 log0 1 pop 0 0 log0 stop", [90_000])
    trace = check_provable(execute(batch_from_document(building.document)))
    execution = Execution(Batch.of(trace), 0, len(Batch.of(trace).operations))
    check(fill_parts(execution, (4,)))


def test_random_cuts(crossing: Crossing) -> None:
    execution, rng = crossing.honest.execution, np.random.default_rng(0)
    found = {random_cuts(rng, execution) for _ in range(100)}
    assert {len(cuts) for cuts in found} >= {1, 2, 3}
    assert all(0 < cut < len(execution.step) for cuts in found for cut in cuts)
    assert all(a < b for cuts in found for a, b in pairwise(cuts))


# What follows a lie.


def probe(*last: Change) -> tuple[Change, ...]:
    """A message that is carried by nobody's need, and something about it."""
    return (Change("carry 0 both", 0, "copied", 0, 0), Change("carry 0 both", 0, "count", 0, 0), *last)


def test_both_may_carry_what_comes_to_nothing(crossing: Crossing) -> None:
    """Everything follows: the hashes that both parts state are others, and nobody objects, for they are the same."""
    told = crossing.told(probe())
    assert crossing.objections(told) == set()
    assert crossing.outcome(told) is None
    before, after = (segment.public_values for segment in told)
    assert np.array_equal(before.carry_out, after.carry_in)
    assert not np.array_equal(before.carry_out, crossing.honest.parts[0].public_values.carry_out)
    assert len(carried_by(told[1])[0]) == 1 + len(carried_by(crossing.honest.parts[1])[0])


@pytest.mark.parametrize(
    "last",
    [("count", 1), ("message", 5), ("bus", 1), ("out", None), ("real", 0), ("dropped", 0), ("copied", 0)],
    ids=lambda last: last[0],
)
@pytest.mark.parametrize("side", ["out", "in"])
def test_one_part_alone_may_not(crossing: Crossing, side: str, last: tuple[str, int | None]) -> None:
    column, value = last
    if value is None:
        value = 0 if side == "out" else 1
    told = crossing.told(probe(Change(f"carry 0 {side}", 0, column, 0, value)))
    assert crossing.objections(told) != set()


def test_cells_on_both_sides_of_a_cut(crossing: Crossing) -> None:
    """A word that crosses the cut is another one: only who pushed it objects, for the carry follows."""
    rng, objecting = np.random.default_rng(1), set()
    for _ in range(40):
        changes = crossing._across(rng)
        assert {change.place.split(" ")[1] for change in changes} == {"0", "1"}
        told = crossing.told(changes)
        assert refused(crossing.honest.parts, told) == set()
        found = crossing.objections(told)
        assert found
        objecting |= {objection.table for objection in found}
    assert not objecting <= {name for name in crossing.honest.target.circuit.names if name.startswith("carried_")}


def test_the_verifier_compares(crossing: Crossing) -> None:
    first, last = crossing.honest.parts
    for table, name, stated in (
        ("segment", "time_out", {"time_out"}),
        ("segment", "carry_out[3]", {"carry_out"}),
        ("frame", "following", {"following"}),
        ("segment", "receipts_out[0]", {"receipts_out"}),
        ("segment", "access_out[7]", {"access_out"}),
        ("segment", "writes_out[7]", {"writes_out"}),
        ("segment", "version", {"version"}),
    ):
        told = (stating(first, table, name, 7), last)
        assert refused((first, last), told) == stated
        assert refused((first, last), told, stated) == set()
    with pytest.raises(LookupError):
        stating(first, "segment", "no such value", 1)
    early = list(first.traces)
    early[first.circuit.names.index("memory")] = last.traces[first.circuit.names.index("memory")]
    told = (FilledSegment(early, first.public_values, first.circuit, first.execution, first.frames), last)
    assert refused((first, last), told) == {"segment 0: a segment with an open end has the table memory"}


def test_lies_about_a_run(document: Document) -> None:
    """The machine errs, and everything in both parts follows."""
    honest = Honest(Target.segment(), document, cuts=(6,), number=1)
    assert honest.filled is honest.parts[1]
    assert lies.objections(honest, lies.told(honest, ())) == set()
    told = lies.told(honest, (Change("machine", 9, "result", 0, 1),))
    assert len(told) == 2
    assert lies.objections(honest, told) != set()


def test_random_lies_are_rejected(crossing: Crossing) -> None:
    """All kinds of lies are told, and those that are accepted say nothing new."""
    rng, kinds = np.random.default_rng(2), set()
    for _ in range(120):
        changes = crossing.random_lie(rng)
        told = crossing.told(changes)
        assert crossing.objections(told) or crossing.outcome(told) is None, "\n".join(map(str, changes))
        kinds |= {change.place.split(" ")[0] for change in changes}
    assert kinds == {"part", "carry"}


def test_a_finding_about_a_run_is_told_again(document: Document, tmp_path: Path) -> None:
    """Who does not ask where the time of the part before ends accepts one that states nothing about it."""
    changes = (Change("part 0 table segment", PUBLIC_ROW, "time_out", 0, 0),)
    found = Finding("crossings", "a gap", "for the test", changes, "", document, None, (6,), 0)
    again = Finding.read(found.save(tmp_path))
    assert again == found
    assert again.is_accepted(next(defect for defect in DEFECTS if defect.name == "time from anywhere").target())
    assert not again.is_accepted(Target.segment())


def test_there_is_nothing_to_change(crossing: Crossing) -> None:
    for change in (
        Change("carry 0 in", 10_000, "count", 0, 0),
        Change("part 5 table pop", 0, "gas", 0, 0),
        Change("part 0 table no such table", 0, "gas", 0, 0),
        Change("part 0 table pop", 0, "no such column", 0, 0),
    ):
        with pytest.raises(LookupError):
            crossing.told((change,))
