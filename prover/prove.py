"""From a batch to a proof file."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from circuits.batch.execution import Batch
from executor.execute import ExecutedBatch, execute
from executor.inputs import Documents, read_batch
from executor.provable import check_provable
from prover import local
from prover.aggregate import NodeEvent, choose
from prover.aggregate import one_proof as aggregated
from prover.assemble import assemble, check_assembled, check_listed
from prover.driver import SegmentEvent, prove_segments
from prover.errors import ProverError
from prover.filled import FilledSegments
from prover.planner import Budget, SegmentPlan, plan_batch
from prover.segment import SegmentJob, SegmentProof, segment_jobs
from prover.store import SegmentStore, check_folder, write_atomically
from prover.workers import Workers
from verifier.container import encode_proof
from verifier.errors import Rejected
from verifier.statement import BatchStatement
from verifier.verify import CheckResult, accept


def _ignore(done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class Progress:
    """Callbacks of a run, all called in the driver.

    Attributes:
        executed, proved: amount done and total, of transactions and of segments.
        segment: of each segment when it is finished.
        planned: what has been executed, and the segments that it will be proved in. It may wait, and may say where they
            are proved after all.
        separate: why each segment keeps its own proof, where there should be one of all and cannot be; before any
            is proved.
        started: a segment, when its proof is begun.
        verified: as `verifier.verify.Progress`.
        aggregated: nodes of the tree that are done, and how many there are.
        node: each of them when it is finished.
    """

    executed: Callable[[int, int], None] = _ignore
    proved: Callable[[int, int], None] = _ignore
    segment: Callable[[SegmentEvent], None] = lambda event: None
    planned: Callable[[ExecutedBatch, Batch, Sequence[SegmentJob]], Workers | None] = lambda executed, batch, jobs: None
    separate: Callable[[str], None] = lambda why: None
    started: Callable[[SegmentJob], None] = lambda job: None
    verified: Callable[[str, int, int], None] = lambda name, done, total: None
    aggregated: Callable[[int, int], None] = _ignore
    node: Callable[[NodeEvent], None] = lambda event: None


@dataclass(frozen=True)
class ProveReport:
    """What a run did.

    Attributes:
        statement: what the proof says.
        plans, proofs: the segments, in order.
        reused: indices of the segments that were taken from the store.
        nodes: of the tree where all segments have one proof, in the order in which they were finished.
        why_segments_only: why each of several segments has its own proof, where nobody has asked for that; empty
            otherwise.
        seconds: by phase (execute, plan, prove, verify, aggregate where there is one proof, write).
        proof_bytes: size of the proof file.
        blocks, transactions, steps: what has been proved, by numbers.
        security_bits: the least proven security of a segment proof, or of the layers of their tree, bits; None without
            segments.
        checks: that the proof has passed, in order.
    """

    statement: BatchStatement
    plans: Sequence[SegmentPlan]
    proofs: Sequence[SegmentProof]
    reused: Sequence[int]
    nodes: Sequence[NodeEvent]
    why_segments_only: str
    seconds: dict[str, float]
    proof_bytes: int
    blocks: int
    transactions: int
    steps: int
    security_bits: float | None
    checks: Sequence[CheckResult]


@dataclass
class _Clock:
    seconds: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase] = now - self._last
        self._last = now


def default_store(out: Path) -> Path:
    """Where finished segments are kept while a proof is made, unless said otherwise."""
    return out.with_name(out.name + ".segments")


def prove(
    given: Documents | ExecutedBatch,
    out: Path,
    *,
    workers: Workers | None = None,
    budget: Budget | None = None,
    store: Path | SegmentStore | None = None,
    keep: bool = False,
    one_proof: bool | None = None,
    progress: Progress | None = None,
) -> ProveReport:
    """Execute and prove a batch, and write the proof file.

    A run that was killed is resumed by calling this again with the same batch, output and budget: segments whose proofs
    lie in the store are not proved again.

    Args:
        given: what `executor.inputs` reads, or a batch that has been executed, with a trace.
        out: the proof file; replaced in one step when the proof is complete.
        workers: where and with how many workers segments are proved.
        budget: of every segment.
        store: of finished proofs of segments and nodes, or its folder; `default_store(out)` when None.
        keep: leave these in the store.
        one_proof: make one proof of all segments, of one as well, or leave each its own; None: one proof of several, if
            there can be one (`prover.aggregate.choose`).
        progress: callbacks.

    Raises:
        BatchError: the batch is malformed or invalid.
        UnsupportedFeature: it holds something that cannot be proved yet.
        ProverError: planning or proving failed, or there has to be one proof and cannot be.
        OSError: the output or the store cannot be written to.
    """
    progress = progress or Progress()
    check_folder(out)
    clock = _Clock()
    executed = given if isinstance(given, ExecutedBatch) else execute(read_batch(given), progress=progress.executed)
    clock.lap("execute")
    budget = budget or Budget()
    batch = Batch.of(check_provable(executed))
    check_listed(executed, batch)
    filled = FilledSegments()
    # On a cluster a node of the tree finds out by itself where there is memory for it.
    elsewhere = workers is not None and workers.address is not None
    memory = math.inf if elsewhere else local.machine_memory()
    choice = choose(plan_batch(batch, budget, filled), budget, one_proof, memory)
    jobs = segment_jobs(batch, choice.plans)
    check_assembled(executed, batch, jobs)
    if choice.why_not:
        progress.separate(choice.why_not)
    workers = progress.planned(executed, batch, jobs) or workers or Workers()
    clock.lap("plan")
    segments = store if isinstance(store, SegmentStore) else SegmentStore(store or default_store(out))
    reused: list[int] = []
    finished = 0
    progress.proved(0, len(jobs))

    def on_segment(event: SegmentEvent) -> None:
        nonlocal finished
        finished += 1
        if event.reused:
            reused.append(event.job.plan.index)
        progress.segment(event)
        progress.proved(finished, len(jobs))

    proofs = prove_segments(batch, jobs, workers, segments, on_segment, progress.started, filled)
    clock.lap("prove")
    file = assemble(executed, batch, jobs, proofs)
    content = encode_proof(file)
    try:
        accepted = accept(content, progress=progress.verified)
    except Rejected as error:
        raise ProverError(f"the verifier refuses the proof: {error}", "this is an error of the prover") from error
    clock.lap("verify")
    report, stored = accepted.report, [job.key for job in jobs]
    nodes: tuple[NodeEvent, ...] = ()
    if choice.one_proof:
        # A node takes more memory than a segment: here they are proved one after the other.
        nodes_at = workers if workers.address else Workers(threads=workers.all_threads)
        made = aggregated(
            [accepted],
            segments,
            names=[out.name],
            workers=nodes_at,
            progress=progress.aggregated,
            on_node=progress.node,
        )
        content, report, nodes = made.content, made.verification, tuple(made.nodes)
        stored += made.stored
        clock.lap("aggregate")
    write_atomically(out, content)
    if not keep:
        segments.remove(stored)
    clock.lap("write")
    return ProveReport(
        statement=file.statement,
        plans=[job.plan for job in jobs],
        proofs=proofs,
        reused=reused,
        nodes=nodes,
        why_segments_only=choice.why_not,
        seconds=clock.seconds,
        proof_bytes=len(content),
        blocks=len(executed.blocks),
        transactions=len(batch.trace.transactions),
        steps=len(batch.trace.steps),
        security_bits=report.security_bits,
        checks=report.checks,
    )
