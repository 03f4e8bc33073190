"""One segment: what it states, its tables, its proof."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Literal, TypeAlias

import numpy as np
import zkevm_native

from circuits.batch.execution import Batch, Execution
from circuits.memory.memory_tables import ALL_WORDS
from circuits.parts import FilledRun
from circuits.segment import FilledSegment, circuit_named, fill, public_values
from circuits.state.state_view import StateView, Writes
from circuits.statement import Digests, SegmentPublicValues
from circuits.widths import DIGEST
from prover.costs import Costs, costs_of
from prover.filled import FilledSegments
from prover.planner import SegmentPlan
from prover.runs import Run, Spool
from prover.store import content_key
from verifier import keys
from verifier.container import Links, OpenEnd

#: What runs the engine's prover: our device, or the engine's own, which proves the same and is slower.
Device: TypeAlias = Literal["own", "stock"]


@dataclass(frozen=True)
class SegmentJob:
    """A segment to be proved.

    Attributes:
        plan: its operations and the engine's parameter.
        writes: what it leaves; None where the next segment goes on with its operation.
        public_values, frames, words: what its proof will state (`circuits.segment.FilledSegment`).
        links: what it has in common with other parts of its run, by their number.
        key: hash of everything its proof depends on (what it states and with which key); it is stored under this name.
    """

    plan: SegmentPlan
    writes: Writes | None
    public_values: SegmentPublicValues
    key: str
    frames: tuple[int, int] = (0, 0)
    words: tuple[int, int, int, int, int] = ALL_WORDS
    links: Mapping[int, Digests] = field(default_factory=dict)

    @property
    def open_end(self) -> OpenEnd | None:
        """What the next segment goes on from, if this one ends within an operation."""
        if self.plan.run is None or self.plan.run.is_last:
            return None
        return OpenEnd(self.public_values.time_out, self.frames[1], self.words[3:])

    @property
    def later_links(self) -> Links:
        """What it has in common with later parts of its run: of two parts it is the earlier one that says so."""
        if self.plan.run is None:
            return Links.from_bytes(b"")
        later = {other: digest for other, digest in self.links.items() if other > self.plan.run.number}
        digests = np.array(list(later.values()), dtype=np.uint32).reshape(-1, DIGEST)
        return Links(np.array(list(later), dtype=np.uint32), digests)


@dataclass(frozen=True)
class SegmentStatistics:
    """Seconds, measured while a segment was proved, and the exact size of its tables.

    Attributes:
        cpu_seconds: of all threads of the process, by phase of the engine (`zkevm_native.ProveStats`).
        costs: where its cells and interactions go.
    """

    fill_seconds: float
    prove_seconds: float
    cells: int
    interactions: int
    cpu_seconds: dict[str, float]
    costs: Costs


@dataclass(frozen=True)
class SegmentProof:
    """A proof in the engine's encoding; `statistics` is None when it was not made in this run."""

    proof: bytes = field(repr=False)
    statistics: SegmentStatistics | None = None


@cache
def proving_key(name: str, log_stacked_height: int) -> zkevm_native.ProvingKey:
    """A key of a circuit (by the name of its keys), made once in each process.

    It comes from the pinned key, if that is of the circuit as it is, and is generated for any other circuit or height.
    """
    circuit = circuit_named(name)
    if log_stacked_height in keys.SUPPORTED_HEIGHTS and circuit.digest == keys.manifest(name).circuit_digest:
        return zkevm_native.ProvingKey.of(keys.native(name, log_stacked_height), circuit.names)
    return zkevm_native.keygen(circuit.export(), log_stacked_height)


@cache
def verifying_key(name: str, log_stacked_height: int) -> zkevm_native.VerifyingKey:
    """The verifying half of `proving_key`."""
    return proving_key(name, log_stacked_height).verifying_key()


def segment_jobs(batch: Batch, plans: Sequence[SegmentPlan]) -> list[SegmentJob]:
    """The jobs of a batch's segments, each independent of the others."""
    return [_job(batch, plan) for plan in plans]


def _job(batch: Batch, plan: SegmentPlan) -> SegmentJob:
    run, part = plan.run, plan.part
    frames, words, links = (part.frames, part.words, part.links) if part else ((0, 0), ALL_WORDS, {})
    if run is None or part is None:
        execution = Execution(batch, plan.first, plan.end)
        stated = public_values(execution)
        writes: Writes | None = StateView.of(execution).writes
    else:
        stated = part.public_values
        writes = StateView.of(Execution(batch, run.first, run.end)).writes if run.is_last else None
    key = content_key(
        circuit_named(plan.keys).digest.encode(),
        zkevm_native.VERSION.encode(),
        plan.log_stacked_height.to_bytes(4, "little"),
        repr((stated.to_list(), frames, words)).encode(),
    )
    return SegmentJob(plan, writes, stated, key, frames, words, links)


@lru_cache(maxsize=1)
def _filled_run(batch: Batch, whole: Run) -> FilledRun:
    """The parts of a run; filled once for all that are asked for one after the other."""
    return FilledRun(Execution(batch, whole.first, whole.end), whole.cuts, Spool())


def fill_segment(batch: Batch, plan: SegmentPlan, filled: FilledSegments | None = None) -> FilledSegment:
    """The tables and public values of a segment; taken from those that are filled already, if it is among them."""
    if plan.run is None:
        known = filled and filled.take(plan.first, plan.end)
        return known or fill(Execution(batch, plan.first, plan.end))
    whole = replace(plan.run, number=0)
    try:
        return _filled_run(batch, whole).take(plan.run.number)
    except KeyError:  # it has been taken, and is asked for again
        _filled_run.cache_clear()
        return _filled_run(batch, whole).take(plan.run.number)


def prove_segment(batch: Batch, job: SegmentJob, threads: int, filled: FilledSegments | None = None) -> SegmentProof:
    """Prove a segment.

    Args:
        batch: the whole batch.
        job: the segment.
        threads: threads of the engine.
        filled: segments that are filled already.

    Raises:
        zkevm_native.EngineError: the engine refused the traces or failed.
    """
    proving_key(job.plan.keys, job.plan.log_stacked_height)  # made before the clock starts
    start = time.perf_counter()
    tables = fill_segment(batch, job.plan, filled)
    return prove_filled(tables, job, threads, fill_seconds=time.perf_counter() - start)


def prove_filled(
    filled: FilledSegment,
    job: SegmentJob,
    threads: int,
    device: Device = "own",
    *,
    fill_seconds: float,
    consume: bool = True,
) -> SegmentProof:
    """Prove a segment whose tables are filled.

    Args:
        filled: its tables.
        job: the segment.
        threads: threads of the engine.
        device: runs the engine's prover.
        fill_seconds: what filling has taken.
        consume: the engine takes the tables over: nobody needs them afterwards, and memory is what limits a segment's
            size.

    Raises:
        zkevm_native.EngineError: the engine refused the traces or failed.
    """
    key = proving_key(job.plan.keys, job.plan.log_stacked_height)
    costs = costs_of(filled)
    own = filled.within(circuit_named(job.plan.keys))
    if consume:
        filled.traces.clear()  # or they would be held here
    start = time.perf_counter()
    proof, measured = zkevm_native.prove(key, own.traces, own.public_lists, threads, consume=consume, device=device)
    statistics = SegmentStatistics(
        fill_seconds=fill_seconds,
        prove_seconds=time.perf_counter() - start,
        cells=measured["cells"],
        interactions=measured["interactions"],
        cpu_seconds=measured["cpu_seconds"],
        costs=costs,
    )
    return SegmentProof(proof, statistics)


def is_proof_of(proof: bytes, job: SegmentJob) -> bool:
    """Whether the engine accepts this as a proof of what the segment states."""
    try:
        verified = zkevm_native.verify(verifying_key(job.plan.keys, job.plan.log_stacked_height), proof)
    except zkevm_native.EngineError:
        return False
    stated = {"segment": job.public_values.to_list(), "frame": list(job.frames), "memory": list(job.words)}
    names = circuit_named(job.plan.keys).names
    wanted = [stated.get(name, []) if name in job.plan.heights else [] for name in names]
    return [list(values) for values in verified.public_values] == wanted
