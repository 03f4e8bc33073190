"""From a batch file to a proof file."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from circuits.batch.execution import Batch
from executor.execute import execute
from executor.inputs import Paths, read_batch
from executor.provable import check_provable
from prover.assemble import assemble, check_assembled, check_listed
from prover.driver import SegmentEvent, prove_segments
from prover.errors import ProverError
from prover.planner import Budget, SegmentPlan, plan_batch
from prover.segment import SegmentProof, segment_jobs
from prover.store import SegmentStore, check_folder, write_atomically
from prover.workers import Workers
from verifier.container import encode_proof
from verifier.errors import Rejected
from verifier.statement import BatchStatement
from verifier.verify import verify


def _ignore(done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class Progress:
    """Callbacks of a run, all called in the driver: amount done and total."""

    executed: Callable[[int, int], None] = _ignore
    proved: Callable[[int, int], None] = _ignore
    segment: Callable[[SegmentEvent], None] = lambda event: None


@dataclass(frozen=True)
class ProveReport:
    """What a run did.

    Attributes:
        statement: what the proof says.
        plans, proofs: the segments, in order.
        reused: indices of the segments that were taken from the store.
        seconds: by phase (execute, plan, prove, verify, write).
        proof_bytes: size of the proof file.
        blocks, transactions, steps: what has been proved, by numbers.
        security_bits: the least proven security of a segment proof, bits; None without segments.
    """

    statement: BatchStatement
    plans: Sequence[SegmentPlan]
    proofs: Sequence[SegmentProof]
    reused: Sequence[int]
    seconds: dict[str, float]
    proof_bytes: int
    blocks: int
    transactions: int
    steps: int
    security_bits: float | None


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
    batch_files: Paths,
    out: Path,
    *,
    workers: Workers | None = None,
    budget: Budget | None = None,
    store: Path | None = None,
    keep: bool = False,
    progress: Progress | None = None,
) -> ProveReport:
    """Execute and prove a batch, and write the proof file.

    A run that was killed is resumed by calling this again with the same batch, output and budget: segments whose proofs
    lie in the store are not proved again.

    Args:
        batch_files: what `executor.inputs` reads.
        out: the proof file; replaced in one step when the proof is complete.
        workers: where and with how many workers segments are proved.
        budget: of every segment.
        store: folder of finished segment proofs; `default_store(out)` when None.
        keep: leave the segment proofs in the store.
        progress: callbacks.

    Raises:
        BatchError: the batch is malformed or invalid.
        UnsupportedFeature: it holds something that cannot be proved yet.
        ProverError: planning or proving failed.
        OSError: the output or the store cannot be written to.
    """
    progress = progress or Progress()
    check_folder(out)
    clock = _Clock()
    executed = execute(read_batch(batch_files), progress=progress.executed)
    clock.lap("execute")
    batch = Batch.of(check_provable(executed))
    check_listed(executed, batch)
    jobs = segment_jobs(batch, plan_batch(batch, budget))
    check_assembled(executed, batch, jobs)
    clock.lap("plan")
    segments = SegmentStore(store or default_store(out))
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

    proofs = prove_segments(batch, jobs, workers or Workers(), segments, on_segment)
    clock.lap("prove")
    file = assemble(executed, batch, jobs, proofs)
    content = encode_proof(file)
    try:
        report = verify(content)
    except Rejected as error:
        raise ProverError(f"the verifier refuses the proof: {error}", "this is an error of the prover") from error
    clock.lap("verify")
    write_atomically(out, content)
    if not keep:
        segments.remove([job.key for job in jobs])
    clock.lap("write")
    plans = [job.plan for job in jobs]
    return ProveReport(
        statement=file.statement,
        plans=plans,
        proofs=proofs,
        reused=reused,
        seconds=clock.seconds,
        proof_bytes=len(content),
        blocks=len(executed.blocks),
        transactions=len(batch.trace.transactions),
        steps=len(batch.trace.steps),
        security_bits=report.security_bits,
    )
