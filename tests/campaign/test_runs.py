"""Runs of several segments, cut between steps: honest ones are accepted, and what crosses a cut is attacked."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from circuits.air.mutation.judge import PUBLIC_ROW
from circuits.batch.execution import Batch, Execution
from circuits.parts import fill_parts
from circuits.segment import FilledSegment
from circuits.statement import CARRY_START
from executor.batch import batch_from_document
from executor.errors import BatchError, UnsupportedFeature
from executor.execute import execute
from executor.forks import CANCUN, CIRCUIT_FORKS, OSAKA, Fork
from executor.provable import check_provable
from scripts.batches.state import program
from scripts.campaign import lies
from scripts.campaign.batches import Document, random_cuts, random_document, random_part
from scripts.campaign.carried import links_by, settled, with_links
from scripts.campaign.chaining import refused, stating
from scripts.campaign.changes import Change
from scripts.campaign.crossing import Crossing
from scripts.campaign.findings import Finding
from scripts.campaign.target import Honest, Target
from tests.campaign.defects import DEFECTS
from tests.cutting import objections

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


@pytest.fixture(scope="module")
def three() -> Crossing:
    """A program in three parts, each of which has words of memory, and something in common with each other one."""
    building = program(
        "7 1 0 mstore 0 mload 2 64 mstore 64 mload 3 160 mstore 160 mload add add 1 sstore stop", [90_000]
    )
    return Crossing(Honest(Target.segment(), building.document, cuts=(5, 10)))


def check(parts: list[FilledSegment]) -> None:
    assert objections(parts) == []


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
    return execution if 2 <= len(execution.places) <= STEPS else None


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
    rng, count = np.random.default_rng([seed, steps]), len(execution.places)
    if steps:
        first = int(rng.integers(1, count))
        cuts = tuple(range(first, min(count, first + PARTS * steps), steps))
    else:
        cuts = random_cuts(rng, execution)
    parts = fill_parts(execution, cuts)
    assert len(parts) == len(cuts) + 1
    check(parts)
    for low, high in combinations(range(len(parts)), 2):
        assert (high in parts[low].links) == (low in parts[high].links)
        assert high not in parts[low].links or np.array_equal(parts[low].links[high], parts[high].links[low])


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
    assert all(0 < cut < len(execution.places) for cuts in found for cut in cuts)
    assert all(a < b for cuts in found for a, b in pairwise(cuts))


# What follows a lie.


def probe(*last: Change) -> tuple[Change, ...]:
    """A message that is carried by nobody's need, and something about it."""
    return (Change("link 0 1 both", 0, "copied", 0, 0), Change("link 0 1 both", 0, "count", 0, 0), *last)


def test_links_are_filled_as_they_are(three: Crossing) -> None:
    """Read from the tables and written again, those of all three parts are the same."""
    tables = {component.table.name: component.table for component in three.honest.target.components}
    assert sorted(three._links) == [(0, 1), (0, 2), (1, 2)]
    for part in three.honest.parts:
        again = with_links(tables, part, links_by(part))
        assert again.public_values.to_list() == part.public_values.to_list()
        assert list(again.links) == list(part.links)
        for old, new in zip(part.traces, again.traces, strict=True):
            assert (old is None) == (new is None)
            assert old is None or new is None or np.array_equal(old, new)


def test_both_may_carry_what_comes_to_nothing(crossing: Crossing) -> None:
    """Everything follows: the hashes that both parts state are others, and nobody objects, for they are the same."""
    told = crossing.told(probe())
    assert crossing.objections(told) == set()
    assert crossing.outcome(told) is None
    for number, (segment, honest) in enumerate(zip(told, crossing.honest.parts, strict=True)):
        other = 1 - number
        assert not np.array_equal(segment.links[other], honest.links[other])
        assert not np.array_equal(segment.public_values.links, honest.public_values.links)
        assert len(links_by(segment)[0].entries) == 1 + len(links_by(honest)[0].entries)
    assert np.array_equal(told[0].links[1], told[1].links[0])


@pytest.mark.parametrize(
    "last",
    [("count", 1), ("message", 5), ("bus", 1), ("turned", 1), ("other", 2), ("real", 0), ("dropped", 0), ("copied", 0)],
    ids=lambda last: last[0],
)
@pytest.mark.parametrize("side", ["low", "high"])
def test_one_part_alone_may_not(crossing: Crossing, side: str, last: tuple[str, int]) -> None:
    column, value = last
    told = crossing.told(probe(Change(f"link 0 1 {side}", 0, column, 0, value)))
    assert crossing.objections(told) != set()


@pytest.mark.parametrize("last", [("turned", 1), ("other", 3), ("listed", 0), ("listed", 2)], ids=str)
@pytest.mark.parametrize("side", ["both", "low", "high"])
def test_a_link_without_messages(three: Crossing, side: str, last: tuple[str, int]) -> None:
    """Two parts may list one, but once, in no other direction and with no other part; or neither does."""
    column, value = last
    first = Change("link 0 1 both", -1, "through", 0, 2)
    told = three.told((first,))
    assert three.objections(told) == set()
    assert three.outcome(told) is None
    assert told[0].links[1].tolist() == told[1].links[0].tolist() == CARRY_START.tolist()
    told = three.told((first, Change(f"link 0 1 {side}", -1, column, 0, value)))
    assert (three.objections(told) == set()) == (side == "both" and last == ("listed", 0))


def test_what_other_parts_need_is_linked_anew(three: Crossing) -> None:
    """A message that two parts have in common is another one in both: only their link and who says it change."""
    rng, pairs = np.random.default_rng(1), set()
    for _ in range(30):
        changes = three._across(rng)
        told = three.told(changes)
        assert refused(three.honest.parts, told) == set()
        assert three.objections(told)
        assert {objection.table for objection in three.objections(told)} != {"link"}
        pairs.add(tuple(sorted({int(change.place.split(" ")[1]) for change in changes})))
    assert len(pairs) >= 3


def test_cells_on_both_sides_of_a_cut(crossing: Crossing) -> None:
    """A word that crosses the cut is another one: only who pushed it objects, for the link follows."""
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


def test_words_begin_where_those_before_end(three: Crossing) -> None:
    """The words of a part begin one earlier or later: padding there and before objects, or the verifier does."""
    rng, objecting = np.random.default_rng(0), set()
    for _ in range(40):
        changes = three._words(rng)
        found = three.objections(three.told(changes))
        assert bool(found) == bool(changes)
        objecting |= {(objection.table, objection.name.partition(":")[0]) for objection in found}
    assert {("memory", "the first word"), ("memory", "the next word"), ("public values", "next_index")} <= objecting


def test_a_row_that_says_something_else_does_not_answer_as_before() -> None:
    """Where a copied word of a code is said to be another one of it, nobody answers for the first."""
    building = program("64 0 0 codecopy " + "1 pop " * 20 + "stop", [90_000])
    crossing = Crossing(Honest(Target.segment(), building.document, cuts=(10,)))
    names = [component.table.name for component in crossing.honest.target.components]
    table = crossing.honest.target.components[names.index("code_word")].table
    first, second, *_ = crossing.honest.parts[0].traces[names.index("code_word")]
    lie = [
        Change("part 0 table code_word", 1, cell.name, 0, int(first[cell.index]))
        for cell in table.layout.cells()
        if first[cell.index] != second[cell.index]
    ]
    segments = crossing.told(lie)
    assert crossing.objections(segments)


def test_the_verifier_compares(three: Crossing) -> None:
    parts = three.honest.parts
    first, *others = parts
    last = others[-1]
    for table, name, stated in (
        ("segment", "time_out", {"time_out"}),
        ("segment", "links[3]", {"links"}),
        ("frame", "following", {"following"}),
        ("memory", "first_frame", {"first_frame"}),
        ("memory", "asks", {"asks"}),
        ("memory", "next_frame", {"next_frame"}),
        ("memory", "next_index", {"next_index"}),
        ("segment", "receipts_out[0]", {"receipts_out"}),
        ("segment", "access_out[7]", {"access_out"}),
        ("segment", "writes_out[7]", {"writes_out"}),
        ("segment", "version", {"version"}),
    ):
        told = (stating(first, table, name, 7), *others)
        assert refused(parts, told) == stated
        assert refused(parts, told, replace(Target.segment(), trusts=frozenset(stated))) == set()
    assert refused(parts, (*parts[:2], stating(last, "segment", "links[3]", 7))) == {"links"}
    assert refused(parts, (*parts[:2], stating(last, "memory", "first_index", 7))) == {"next_index"}
    for table, name in (("segment", "no such value"), ("memory", "no such value"), ("stack", "links[3]")):
        with pytest.raises(LookupError):
            stating(first, table, name, 1)
    early = list(first.traces)
    early[first.circuit.names.index("storage")] = last.traces[first.circuit.names.index("storage")]
    assert refused(parts, (replace(first, traces=early), *others)) == {
        "segment 0: a segment with an open end has the table storage"
    }
    unlinked = list(first.traces)
    unlinked[first.circuit.names.index("link")] = None
    assert refused(parts, (replace(first, traces=unlinked), *others)) == {
        "segment 0: 2 links, and a table of 0 rows for them"
    }


@pytest.mark.parametrize("name", ["unhashed element", "another part's link", "either side"])
def test_the_verifier_hashes_as_a_weakened_circuit_does(document: Document, name: str) -> None:
    """Honest parts of a circuit that hashes less state less, and are accepted; the real verifier refuses them."""
    weak = next(defect for defect in DEFECTS if defect.name == name).target()
    honest = Honest(weak, document, cuts=(6,))
    assert Crossing(honest).honest is honest
    assert refused(honest.parts, honest.parts, weak) == set()
    real = Honest(Target.segment(), document, cuts=(6,)).parts
    assert any(
        a.public_values.links.tolist() != b.public_values.links.tolist()
        for a, b in zip(honest.parts, real, strict=True)
    )
    assert settled(Target.segment().components, real) == list(real)
    if name != "unhashed element":  # of which the verifier knows nothing
        assert refused(honest.parts, honest.parts) == {"links"}


def test_lies_about_a_run(document: Document) -> None:
    """The machine errs, and everything in both parts follows."""
    honest = Honest(Target.segment(), document, cuts=(6,), number=1)
    assert honest.filled is honest.parts[1]
    assert lies.objections(honest, lies.told(honest, ())) == set()
    told = lies.told(honest, (Change("machine", 9, "result", 0, 1),))
    assert len(told) == 2
    assert lies.objections(honest, told) != set()


def test_random_lies_are_rejected(three: Crossing) -> None:
    """All kinds of lies are told, and those that are accepted say nothing new."""
    rng, kinds = np.random.default_rng(2), set()
    for _ in range(120):
        changes = three.random_lie(rng)
        told = three.told(changes)
        assert three.objections(told) or three.outcome(told) is None, "\n".join(map(str, changes))
        kinds |= {change.place.split(" ")[0] for change in changes}
    assert kinds == {"part", "link"}


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
        Change("link 0 1 low", 10_000, "count", 0, 0),
        Change("link 0 1 low", -1, "count", 0, 0),
        Change("link 0 1 low", 0, "no such column", 0, 0),
        Change("link 0 1 no such side", 0, "count", 0, 0),
        Change("link 1 1 low", 0, "count", 0, 0),
        Change("part 5 table pop", 0, "gas", 0, 0),
        Change("part 0 table no such table", 0, "gas", 0, 0),
        Change("part 0 table pop", 0, "no such column", 0, 0),
    ):
        with pytest.raises(LookupError):
            crossing.told((change,))
