"""In which order jobs are taken, and what may run beside what.

*Order.* Each job has a rank, in seconds, and the lowest is taken first: the time of its submission, plus the seconds
that it is expected to take, minus a minute for each point of priority. So a small job overtakes a large one, but only
if it comes no later after it than the large one takes itself: whoever waits gets older than everything that comes, and
nobody waits for ever. A deadline brings a job forward to twice its expected time before it.

*Beside each other.* Of several places for jobs, one is left to those that are expected to take no longer than a minute,
so that small jobs pass while large ones run. Each job begins to prove when the memory of its segments is free; of those
that wait for memory the lowest rank comes first, and one that has waited too long is not overtaken any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

#: Seconds of seniority that a point of priority is worth.
SECONDS_PER_PRIORITY = 60.0

#: What is expected of a job whose batch nobody has looked at: seconds for any, for each byte and for each block.
SECONDS_PER_JOB = 3.0
SECONDS_PER_BYTE = 2e-4
SECONDS_PER_BLOCK = 20.0

#: An interaction takes about as long to prove as so many cells (`prover.costs.weight`).
CELLS_PER_INTERACTION = 6.5

#: What a node of the tree of one proof takes on two cores, seconds: 5 to 25, whatever it proves.
SECONDS_PER_NODE = 15.0

#: Cells that a processor core proves in a second, interactions counted in as above, until it is measured.
CELLS_PER_SECOND = 5e6

#: Seconds after which a job that waits for memory is not overtaken.
PATIENCE = 60.0


def expected_of_submission(batch_bytes: int | None, blocks: int) -> float:
    """Seconds that a job is expected to take before its batch is read."""
    size = SECONDS_PER_BLOCK * blocks if batch_bytes is None else SECONDS_PER_BYTE * batch_bytes
    return SECONDS_PER_JOB + size


def work_of(cells: float, interactions: float) -> float:
    """Cells and interactions in one currency."""
    return cells + CELLS_PER_INTERACTION * interactions


def expected_of_plan(work: float, rate: float | None) -> float:
    """Seconds that a job is expected to take once its plan is known; `rate` is of measured cells in a second."""
    return SECONDS_PER_JOB + work / (rate or CELLS_PER_SECOND)


def rank(created: datetime, expected: float, priority: int, deadline: datetime | None) -> float:
    """Place in the queue, the lowest first, seconds (Unix time)."""
    own = created.timestamp() + expected - SECONDS_PER_PRIORITY * priority
    return own if deadline is None else min(own, (deadline - timedelta(seconds=2 * expected)).timestamp())


@dataclass(frozen=True)
class Waiting:
    """A job that could begin to prove: its rank, the memory it needs (bytes), and since when it waits (seconds)."""

    job: str
    rank: float
    memory: int
    since: float


def grants(waiting: Iterable[Waiting], free: int, idle: bool, moment: float) -> list[str]:
    """Jobs that may begin to prove now.

    Args:
        waiting: all that wait.
        free: memory that nobody uses, bytes.
        idle: whether nobody proves: then the first one may begin whatever it needs, or it never would.
        moment: the time now, on the clock of `since`.
    """
    granted = []
    # One that has lost its patience is not overtaken by lower ranks that came later, either.
    for each in sorted(waiting, key=lambda w: (moment - w.since < PATIENCE, w.rank)):
        if each.memory <= free or idle:
            granted.append(each.job)
            free -= each.memory
            idle = False
        elif moment - each.since >= PATIENCE:
            break
    return granted
