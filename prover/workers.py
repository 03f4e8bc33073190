"""Where segments are proved, and what is said of them in errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from circuits.batch.execution import Batch
from prover.errors import CostError
from prover.segment import SegmentJob
from prover.tree import largest_node_bytes


@dataclass(frozen=True)
class Workers:
    """Where segments are proved.

    Attributes:
        count: at most so many segments are proved at the same time; None: as many as there are processor cores.
        address: address of a Ray cluster, None for this machine. The project must be installed on every node.
        threads: threads of one worker; None: the cores divided among the workers.
    """

    count: int | None = None
    address: str | None = None
    threads: int | None = None

    @property
    def all_threads(self) -> int | None:
        """Of all of them together; None where nothing bounds them but the cores."""
        return None if self.threads is None else self.threads * (self.count or 1)


def name_of(job: SegmentJob) -> str:
    """A segment by its number and what it proves."""
    return f"segment {job.plan.index} ({job.plan.content})"


def first_line(error: object) -> str:
    """What an error says, without the traces of other processes that Ray appends."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def check_memory(batch: Batch, jobs: Sequence[SegmentJob], there_is: float) -> None:
    """Raises `CostError` where a segment needs more memory than there is, bytes."""
    largest = max(jobs, key=lambda job: job.plan.memory)
    needed = largest.plan.memory
    if needed > there_is:
        raise CostError(
            f"{name_of(largest)} needs about {needed >> 20} MiB of memory, the workers have {int(there_is) >> 20} MiB",
            "choose smaller segments with --segment-memory, or a machine with more memory",
            *batch.operations.place(largest.plan.begin),
        )


def check_node_memory(there_is: float, circuit: str) -> None:
    """Raises `CostError` where a node of a tree over segments of a circuit needs more memory than there is, bytes."""
    if there_is < (needed := largest_node_bytes(circuit)):
        raise CostError(
            f"a node of the tree needs about {needed >> 20} MiB of memory, the workers have {int(there_is) >> 20} MiB",
            "aggregate on a machine with more memory",
        )
