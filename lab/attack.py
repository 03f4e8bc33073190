"""Attacks on a variant: honest tables that are accepted say little, so what is changed is changed further, dishonestly.

`attack_tables` changes the tables that a variant changes in every way that the campaign knows, so many times; what it
tries depends on nothing but the seed. `attack_all` runs the whole campaign for so many seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab.errors import LabError
from lab.measure import Workload
from lab.variant import Circuits
from scripts.campaign.cells import change_cells, changes_of, kinds_of
from scripts.campaign.run import campaign
from scripts.campaign.target import Honest, Target


@dataclass(frozen=True)
class Accepted:
    """A dishonest change that nobody rejects: where, and what it says."""

    table: str
    kind: str
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Attacked:
    """What came of an attack.

    Attributes:
        tried: changes, by the table they began in, or by the campaign's kind of attack.
        accepted: those that got through.
        absent: changed tables of which the batch has no row.
    """

    tried: dict[str, int]
    accepted: tuple[Accepted, ...]
    absent: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "tried": self.tried,
            "accepted": [
                {"table": found.table, "kind": found.kind, "changes": list(found.changes)} for found in self.accepted
            ],
            "absent": list(self.absent),
        }


def target_of(circuits: Circuits) -> Target:
    """The variant as what a campaign attacks."""
    return Target(circuits.components, circuits.fork, batches=circuits.variant.batch)


def attack_tables(
    circuits: Circuits,
    workload: Workload,
    *,
    rounds: int = 1,
    seed: int = 0,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Attacked:
    """Change cells, rows and messages of the changed tables, filled honestly for a batch, in every way, `rounds` times.

    Args:
        circuits: what is attacked.
        workload: the batch.
        advance: called with what is done of what there is to do.

    Raises:
        LabError: no table is changed, or the batch has rows of none.
    """
    honest = Honest(target_of(circuits), json.loads(workload.content))
    present = {rows.table.name: number for number, rows in honest.judge.present()}
    names = [name for name in circuits.changed if name in present]
    if not names:
        raise LabError(f"the batch has no row of a table that {circuits.variant.name} changes", "name another one")
    going = [(name, kind) for name in names for kind in kinds_of(honest.judge.table(present[name]).table)]
    tried, accepted = dict.fromkeys(names, 0), []
    for done, (name, kind) in enumerate([each for each in going for _ in range(rounds)]):
        advance(done, rounds * len(going))
        judged = change_cells(np.random.default_rng([seed, done]), honest, present[name], kind)
        tried[name] += judged.tried
        accepted += [
            Accepted(name, mutation.kind, tuple(map(str, changes_of(honest, mutation.edits))))
            for mutation in judged.survivors
        ]
    advance(1, 1)
    absent = tuple(name for name in circuits.changed if name not in present)
    return Attacked(tried, tuple(accepted), absent)


def attack_all(
    circuits: Circuits,
    seconds: float,
    *,
    seed: int = 0,
    workers: int = 1,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Attacked:
    """The campaign on all tables with batches of every kind: lies of the machine, in events, tables and parts of runs.

    What it reaches depends on the time that it takes; each attack is tried once at least.
    """
    tried: dict[str, int] = {}
    accepted = []
    worked = 0.0
    with closing(campaign(target_of(circuits), seconds, seed, workers=workers)) as reports:
        for report in reports:
            for kind, number in report.coverage.tried.items():
                tried[kind] = tried.get(kind, 0) + number
            worked += report.coverage.seconds / workers
            advance(min(int(worked), int(seconds)), int(seconds))
            accepted += [
                Accepted(found.changes[0].place.removeprefix("table "), found.kind, tuple(map(str, found.changes)))
                for found in report.findings
            ]
    return Attacked(tried, tuple(accepted))
