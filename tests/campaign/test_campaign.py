"""The campaign: a short one on the real circuit, and the seeded defects, which it must find."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import pytest

from circuits.air.circuit import Circuit
from circuits.air.table import Table
from executor.forks import CIRCUIT_FORKS, OSAKA, Fork
from scripts.campaign.coverage import ATTACKS, rows, totals
from scripts.campaign.findings import Finding
from scripts.campaign.run import Report, _Agenda, campaign
from scripts.campaign.target import Target
from tests.campaign.defects import DEFECTS, Defect

FEW_SECONDS = 10  # of the campaign among the fast tests, in which each attack is tried once at least
SECONDS = 30  # of the deep ones
GOES = 4  # of them, where the machine has so much else to do that the first ones attack little
LIMIT = 180  # seconds for a defect; less than 60 on two idle cores


def run(target: Target, seconds: float, seed: int, *, workers: int = 2) -> Report:
    """A campaign until its first finding."""
    total = Report()
    with closing(campaign(target, seconds, seed, workers=workers, minimise=2)) as reports:
        for report in reports:
            total.add(report)
            if total.findings:
                break
    return total


def seed_of(target: Target) -> int:
    """The circuit's, so that every change of the circuit meets other attacks."""
    return int(target.circuit.digest, 16) % (1 << 32)


def test_the_circuit_accepts_no_lie() -> None:
    """A campaign that is as short as can be, however much else the machine has to do."""
    target = Target.segment(OSAKA)
    found = run(target, FEW_SECONDS, seed_of(target), workers=1)
    assert not found.findings, "\n".join(map(str, found.findings))
    assert set(found.coverage.tried) == set(ATTACKS)
    assert found.coverage.batches > found.rounds >= 1, "lies are about batches of their own"
    reached = totals(rows(found.coverage, target.circuit))
    assert reached.constraints[1] + reached.fields[1] > 0, "somebody rejected something"


def test_what_is_fast_is_tried_sooner_and_more_often() -> None:
    """By the square root of what it takes, whatever it was expected to take."""
    takes = {(0, "plain"): 1.0, (1, "plain"): 0.04, (2, "plain"): 0.25, (3, "plain"): 0.25}
    agenda = _Agenda((what, 4.0 if what[0] == 3 else seconds) for what, seconds in takes.items())
    tried = []
    while agenda.waiting:
        tried.append(agenda.next())
        agenda.took(takes[tried[-1]])
    assert list(dict.fromkeys(number for number, _ in tried)) == [1, 2, 0, 3]
    assert tried.count((3, "plain")) == 1
    later: Counter[int] = Counter()
    for _ in range(1000):
        later[agenda.next()[0]] += 1
        agenda.took(takes[agenda.next()])
    for number, share in ((0, 0.1), (1, 0.5), (2, 0.2), (3, 0.2)):
        assert abs(later[number] - 1000 * share) <= 5


@pytest.mark.deep
@pytest.mark.parametrize("fork", CIRCUIT_FORKS.values(), ids=lambda fork: fork.name)
def test_a_longer_campaign_finds_none(fork: Fork) -> None:
    target, found = Target.segment(fork), Report()
    seed = seed_of(target)
    for go in range(GOES):
        found.add(run(target, SECONDS, seed + go))
        assert not found.findings, "\n".join(map(str, found.findings))
        reached = totals(rows(found.coverage, target.circuit))
        if set(found.coverage.tried) == set(ATTACKS) and reached.constraints[0] and reached.fields[0]:
            break
    assert set(found.coverage.tried) == set(ATTACKS)
    assert found.coverage.batches >= found.rounds >= 2
    assert 0 < reached.constraints[0] <= reached.constraints[1] <= reached.constraints[2]
    assert 0 < reached.fields[0] <= reached.fields[1] <= reached.fields[2]


@pytest.mark.deep
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_defects_are_found(defect: Defect) -> None:
    found = run(defect.target(), LIMIT, 5).findings
    assert found
    assert isinstance(found[0], Finding)
    assert found[0].is_accepted(defect.target())
    assert not found[0].is_accepted(Target.segment(defect.fork))


def test_defects_have_names_of_their_own() -> None:
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) == 89


@pytest.mark.deep
def test_each_defect_weakens_its_circuit() -> None:
    tables = {fork: [c.table for c in Target.segment(fork).components] for fork in CIRCUIT_FORKS.values()}
    sound = {fork: [digest(table) for table in own] for fork, own in tables.items()}
    for defect in DEFECTS:
        weak = [component.table for component in defect.target().components]
        changed = [k for k, table in enumerate(weak) if table is not tables[defect.fork][k]]
        assert bool(changed) != bool(defect.trusts)
        assert defect.trusts or any(digest(weak[k]) != sound[defect.fork][k] for k in changed)
    for fork, own in tables.items():
        assert [digest(table) for table in own] == sound[fork], "the circuit itself was changed"


def digest(table: Table) -> str:
    """Of a circuit of this table alone."""
    return Circuit("alone", [table]).digest
