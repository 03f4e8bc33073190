"""Batches of which a part is attacked, cut within a block, and programs that run for long."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from executor.forks import CANCUN, OSAKA, Fork
from executor.system_contracts import under
from scripts.batches import long_runs
from scripts.batches.builder import Builder
from scripts.batches.state import program
from scripts.campaign import lies
from scripts.campaign.batches import Document, random_part
from scripts.campaign.cells import change_cells, kinds_of
from scripts.campaign.changes import Change
from scripts.campaign.coverage import Coverage, rows
from scripts.campaign.findings import Finding, minimised
from scripts.campaign.target import Honest, Target
from scripts.forging.segments import check
from tests.campaign.defects import DEFECTS

REFRESHING = ("stack_refresh", "memory_refresh")
#: Seeds of long runs; between them they have both tables.
SEEDS = (0, 3)


@pytest.fixture(scope="module")
def document() -> Document:
    """Two blocks: a call of a program and a transfer in each."""
    building = program("5 1 sstore 1 sload pop 3 4 add 2 sstore stop", [90_000] * 2)
    return building.block(building.transfer(1), building.transfer(2)).document


@pytest.fixture(scope="module")
def honest(document: Document) -> Honest:
    return Honest(Target.segment(), document)


def test_parts_end_within_a_block(honest: Honest) -> None:
    rng, block = np.random.default_rng(0), honest.batch.operations.block
    parts = {random_part(rng, honest.batch) for _ in range(60)}
    for part in parts:
        assert part is not None
        first, end = part
        assert 0 <= first < end <= len(block)
        assert any(0 < cut < len(block) and block[cut - 1] == block[cut] for cut in part)
    assert len(parts) > 3
    one = Builder()
    assert random_part(rng, Honest(Target.segment(), one.block(one.transfer()).document).batch) is None


def test_a_part_states_its_operations(honest: Honest) -> None:
    """The parts of a batch that is cut within its blocks are accepted, and meet in what they state."""
    count = len(honest.batch.operations)
    parts = [honest.of_part(part) for part in ((0, 1), (1, count - 1), (count - 1, count))]
    for part in parts:
        stated = part.filled.public_values
        assert (stated.first_operation, stated.end_operation) == part.part
        assert check(part.filled) == []
    for left, right in pairwise(parts):
        before, after = left.filled.public_values, right.filled.public_values
        for out, into in (("operations_out", "operations_in"), ("access_out", "access_in")):
            assert np.array_equal(getattr(before, out), getattr(after, into))
    # One of them is judged afresh.
    assert parts[0].judge is not honest.judge


def test_lies_about_what_came_before_a_part_are_known(honest: Honest) -> None:
    count = len(honest.batch.operations)
    later = honest.of_part((count - 1, count))
    told = lies.told(later, (Change("machine", 0, "result", 0, 1),))
    assert {o.table for o in lies.objections(later, told)} == {"public values"}
    rng = np.random.default_rng(3)
    outcomes = set()
    for _ in range(12):
        changes = lies.random_lie(rng, later)
        try:
            told = lies.told(later, changes)
        except lies.UntellableError:
            continue
        rejected = bool(lies.objections(later, told))
        assert rejected or lies.outcome(later, told, changes) is None
        outcomes.add(rejected)
    assert True in outcomes


@pytest.mark.deep
def test_a_finding_about_a_part_is_told_again(document: Document, tmp_path: Path) -> None:
    """The gas left may change between two steps of the second call, in a segment of its own."""
    weak = next(defect for defect in DEFECTS if defect.name == "free gas").target()
    part = Honest(weak, document).of_part((1, 3))
    changes = (Change("table pop", 0, "gas", 0, 77),)
    found = Finding("cells", "cell", "for the test", changes, "lie", document, part.part)
    again = Finding.read(found.save(tmp_path))
    assert again == found
    assert again.is_accepted(weak)
    assert not again.is_accepted(Target.segment())
    smaller = minimised(found, part, 20)
    assert smaller.is_accepted(weak)
    assert len(str(smaller.document)) < len(str(document))


@pytest.mark.deep
@pytest.mark.parametrize("fork", [CANCUN, OSAKA], ids=lambda fork: fork.name)
def test_old_tokens_are_attacked(fork: Fork) -> None:
    """All columns of the tables that make tokens younger are changed, and nothing of it is accepted."""
    target, coverage, rng = Target.segment(fork), Coverage(), np.random.default_rng(1)
    for seed in SEEDS:
        honest = Honest(target, under(long_runs.document(seed), fork))
        for number, table in honest.judge.present():
            if table.table.name not in REFRESHING:
                continue
            for kind in kinds_of(table.table):
                judged = change_cells(rng, honest, number, kind)
                assert not judged.survivors, judged.survivors
                coverage.columns.update(judged.columns)
                for found in judged.objections:
                    coverage.object(found)
    lines = {line.name: line for line in rows(coverage, target.circuit)}
    for name in REFRESHING:
        changed, columns = lines[name].columns
        assert changed == columns == 23
        assert lines[name].fields[1] > 0
