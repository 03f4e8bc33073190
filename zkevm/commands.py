"""The work behind each command: call the packages, report, and say how it went."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuits.air.checker import BusFinding, ConstraintFinding, ShapeFinding
from executor.batch import Batch
from executor.conformance import run as run_conformance
from executor.errors import UnsupportedFeature
from executor.limits import NO_LIMITS, Limits
from prover.costs import Costs
from prover.planner import Budget, SegmentPlan
from prover.plots import plot_costs
from prover.store import check_folder, write_atomically
from prover.workers import Workers
from verifier.verify import CHECKS
from zkevm import execution as api
from zkevm.console import Advance, Output
from zkevm.errors import UsageError
from zkevm.execution import Execution, ProvedSegment, Violation
from zkevm.proof import Progress
from zkevm.proofs import is_proof, readable, statement_facts
from zkevm.reports import (
    AggregateReport,
    BusViolation,
    CheckReport,
    ConformanceReasons,
    ConformanceReport,
    ConstraintViolation,
    CostsReport,
    ExecuteReport,
    FetchReport,
    InspectBatchReport,
    InstructionCosts,
    NodeOfTree,
    PlannedSegment,
    ProveReport,
    SegmentProved,
    ShapeViolation,
    Statement,
    TableCosts,
    hexadecimal,
)
from zkevm.stages import SECONDS_PER_CASE, judge

if TYPE_CHECKING:
    from prover.aggregate import NodeEvent


def execute_batch(files: Sequence[Path], trace_file: Path | None, limits: Limits, output: Output) -> None:
    """Execute a batch and report; write its trace when a file is given (`executor.trace_file`).

    Raises:
        BatchError, UnsupportedFeature, OSError.
    """
    execution, seconds = _execute(files, output, limits)
    if trace_file is not None:
        execution.trace.save(trace_file)
    facts = [*_batch_facts(execution), ("seconds", seconds)]
    output.facts("Executed", [*facts, *statement_facts(execution.statement)])
    output.result(
        ExecuteReport(
            **asdict(execution.summary),
            seconds=seconds,
            statement=Statement.of(execution.statement),
            statement_digest=hexadecimal(execution.statement.digest),
        )
    )


def check_batch(files: Sequence[Path], budget: Budget, output: Output) -> bool:
    """Fill the tables of every segment and check them; True when no constraint and no bus is violated.

    Raises:
        BatchError, UnsupportedFeature, ProverError.
    """
    execution, _ = _execute(files, output)
    with output.progress("Checking") as (advance,):
        report = execution.check(budget, progress=_progress(check=advance))
    for violation in report.violations:
        output.line(str(violation), style="red")
    document = CheckReport(
        satisfied=report.satisfied,
        segments=report.segments,
        transactions=report.transactions,
        steps=report.steps,
        tables=report.tables,
        constraints=report.constraints,
        cells=report.cells,
        interactions=report.interactions,
        violations=len(report.violations),
        seconds=report.seconds,
        findings=[_violation(found) for found in report.violations],
    )
    title = "All constraints and buses hold" if report.satisfied else "Violations found"
    output.facts(title, [fact for fact in vars(document).items() if fact[0] not in ("satisfied", "findings")])
    output.result(document)
    return report.satisfied


def fetch_batch(url: str, blocks: str, out: Path, fork: str | Mapping[str, int] | None, output: Output) -> None:
    """Fetch a batch from a node, write its file and report.

    Raises:
        BatchError, ProverError, OSError.
    """
    start = time.perf_counter()
    check_folder(out)
    with output.progress("Fetching") as (advance,):
        fetched = api.fetch(url, blocks, fork=fork, progress=_progress(fetch=advance))
    content = json.dumps(fetched.document).encode()
    write_atomically(out, content)
    batch = fetched.batch
    report = FetchReport(
        blocks=len(batch.blocks),
        first_block_number=fetched.first,
        last_block_number=fetched.last,
        last_block_hash=fetched.last_hash,
        transactions=batch.transactions,
        chain_id=batch.chain_id,
        fork=batch.schedule.of_blocks(block.context.timestamp for block in batch.blocks),
        bytes=len(content),
        completed=fetched.completed,
        batch=str(out),
        seconds=time.perf_counter() - start,
    )
    output.facts("Fetched", readable(asdict(report)))
    output.result(report)


def prove_batch(
    files: Sequence[Path],
    out: Path,
    workers: Workers,
    budget: Budget,
    store: Path | None,
    keep: bool,
    one_proof: bool | None,
    output: Output,
) -> None:
    """Prove a batch and report.

    Args:
        one_proof: as `zkevm.prove`.

    Raises:
        BatchError, UnsupportedFeature, ProverError, OSError.
    """

    def note(segment: ProvedSegment) -> None:
        plan = segment.plan
        what = f"segment {plan.index} ({plan.content}, {plan.cells:,} cells)"
        output.note(f"{what}: {'reused from the store' if segment.reused else 'proved'}")

    check_folder(out)
    with output.progress("Executing", "Proving", later="Aggregating") as bars:
        proof = api.prove(
            _read(files),
            out,
            workers=workers,
            budget=budget,
            store=store,
            keep=keep,
            one_proof=one_proof,
            progress=_progress(**dict(zip(("execute", "prove", "aggregate"), bars, strict=True))),
            on_segment=note,
            on_node=partial(_note_node, output),
            on_segments_only=lambda why: output.note(f"each segment has its own proof, there is none of all: {why}"),
        )
    segments = [
        SegmentProved(
            operations=segment.plan.operations,
            cells=segment.plan.cells,
            interactions=segment.plan.interactions,
            log_stacked_height=segment.plan.log_stacked_height,
            proof_bytes=segment.proof_bytes,
            reused=segment.reused,
            fill_seconds=segment.fill_seconds,
            prove_seconds=segment.prove_seconds,
        )
        for segment in proof.proved
    ]
    rows = [
        ["" if value is None else value for value in (number, *segment.to_dict().values())]
        for number, segment in enumerate(segments)
    ]
    header = ["operations", "cells", "interactions", "log height", "proof bytes", "reused", "fill s", "prove s"]
    output.table("Segments", ["segment", *header], rows)
    left = [check.name for check in CHECKS if check.name != "proofs"]
    facts = [
        ("blocks", proof.blocks),
        ("transactions", proof.transactions),
        ("steps", proof.steps),
        ("proven security", "" if proof.security_bits is None else f"{proof.security_bits:.1f} bits"),
        ("left to the verifier", ", ".join(left)),
        ("proof", str(out)),
        *(
            [
                ("one proof bytes", proof.sizes["one proof"]),
                ("aggregation's share", f"{_share(proof.seconds):.0%} of the time of proving"),
            ]
            if proof.nodes
            else []
        ),
        ("proof bytes", len(proof.content)),
        ("statement digest", proof.statement.digest),
        *((f"seconds to {phase}", seconds) for phase, seconds in proof.seconds.items()),
    ]
    output.facts("Proved", facts)
    output.result(
        ProveReport(
            blocks=proof.blocks,
            transactions=proof.transactions,
            steps=proof.steps,
            security_bits=proof.security_bits,
            left_to_the_verifier=left,
            proof=str(out),
            proof_bytes=len(proof.content),
            statement=Statement.of(proof.statement),
            statement_digest=hexadecimal(proof.statement.digest),
            segments=segments,
            tree=[NodeOfTree(**asdict(node)) for node in proof.nodes],
            why_segments_only=proof.why_segments_only,
            seconds=dict(proof.seconds),
        )
    )


def _share(seconds: Mapping[str, float]) -> float:
    """What of the time of proving goes into the one proof of all segments."""
    return seconds["aggregate"] / (seconds["prove"] + seconds["aggregate"])


def run_test_suites(paths: list[Path], stage: str, limit: int | None, workers: int | None, output: Output) -> bool:
    """Run the cases of public test suites and report; True when none failed.

    Raises:
        BatchError: a path that is unreadable, or no case at all.
    """
    with output.progress("Running") as (advance,):
        report = run_conformance(paths, stage, limit, workers, advance, SECONDS_PER_CASE[stage], judge)
    document = report.to_dict()
    for name, reason in report.failed.items():
        output.line(f"FAILED {name}: {reason}", style="red")
    for name, reason in report.left_out.items():
        output.line(f"left out {name}: {reason}", style="yellow")
    # Many cases are unsupported for the same reason, each in its own place.
    for title, reasons in (("Unsupported", report.unsupported), ("Left out", report.not_run)):
        whats = Counter(reason.split(" in block ")[0] for reason in reasons.values())
        if whats:
            output.table(title, ["what", "cases"], whats.most_common())
    outcomes = [(name.replace("_", " "), count) for name, count in document.items() if name != "reasons"]
    output.facts(f"{report.cases:,} cases", [("stage", stage), *outcomes, ("seconds", report.seconds)])
    output.result(ConformanceReport(**document | {"reasons": ConformanceReasons(**document["reasons"])}))
    return not report.failed


def aggregate_proofs(
    files: Sequence[Path], out: Path, workers: Workers, store: Path | None, keep: bool, output: Output
) -> None:
    """Make one proof of all segments of proof files, and report.

    Raises:
        ProverError, UnusableInput, OSError.
    """

    with output.progress("Aggregating") as (advance,):
        made = api.aggregate(
            files,
            out,
            workers=workers,
            store=store,
            keep=keep,
            progress=_progress(aggregate=advance),
            on_node=partial(_note_node, output),
        )
    report = AggregateReport(
        batches=made.proof.batches,
        segments=len(made.proof.segments),
        nodes=len(made.nodes),
        reused=sum(node.reused for node in made.nodes),
        one_proof_bytes=made.proof.sizes["one proof"],
        proof_bytes=len(made.proof.content),
        security_bits=made.security_bits,
        seconds=made.seconds,
        proof=str(out),
        tree=[NodeOfTree(**asdict(node)) for node in made.nodes],
    )
    facts = report.to_dict()
    del facts["tree"]
    output.facts("Aggregated", readable(facts))
    output.result(report)


def _note_node(output: Output, node: "NodeEvent") -> None:
    how = "reused from the store" if node.reused else f"proved in {node.seconds:.1f} s"
    output.note(f"{node.layer} {node.number}: {node.children} below it, {node.proof_bytes:,} bytes, {how}")


def inspect_batch(files: Sequence[Path], plot: Path | None, output: Output) -> None:
    """Show a batch file: executed, planned and filled, but not proved.

    Args:
        plot: draws the costs of the first segment to this file.

    Raises:
        BatchError, UnsupportedFeature, UsageError, ProverError, OSError.
    """
    execution, _ = _execute(files, output)
    plans: tuple[SegmentPlan, ...] = ()
    costs: Costs | None = None
    unsupported = None
    try:
        with output.progress("Planning"):
            plans = execution.plan()
            if plans:
                costs = execution.costs(segment=0)
    except UnsupportedFeature as error:
        unsupported = str(error)
    output.facts("Batch", [*_batch_facts(execution), *statement_facts(execution.statement)])
    segments = [
        PlannedSegment(
            first_operation=plan.first,
            end_operation=plan.end,
            cells=plan.cells,
            interactions=plan.interactions,
            memory_bytes=plan.memory,
            log_stacked_height=plan.log_stacked_height,
        )
        for plan in plans
    ]
    header = ["segment", "first", "end", "cells", "interactions", "memory bytes", "log height"]
    rows = [[number, *segment.to_dict().values()] for number, segment in enumerate(segments)]
    if unsupported is None:
        output.table("Planned segments", header, rows)
    else:
        output.line(f"Cannot be proved yet: {unsupported}", style="yellow")
    if costs is not None:
        show_costs("Segment 0", costs, output)
        if plot is not None:
            plot_costs(costs, files[0].stem, plot)
    output.result(
        InspectBatchReport(
            kind="batch",
            **asdict(execution.summary),
            statement=Statement.of(execution.statement),
            statement_digest=hexadecimal(execution.statement.digest),
            segments=segments,
            costs=None if costs is None else costs_report(costs),
            unsupported=unsupported,
        )
    )


def show_costs(name: str, costs: Costs, output: Output) -> None:
    """Two tables: where the cells and interactions of a segment go, by table and by instruction."""
    header = ["table", "rows", "height", "columns", "interactions / row", "cells", "interactions"]
    tables: list[list[Any]] = [
        [t.name, t.rows, t.height, t.columns, t.interactions, t.cells, t.messages] for t in costs.tables
    ]
    total = ["total", *(sum(t[i] for t in tables) for i in (1, 2, 3)), "", costs.cells, costs.messages]
    output.table(f"{name}: by table, padding included", header, [*tables, total])
    header = ["instruction", "steps", "cells", "interactions", "cells / step", "interactions / step"]
    output.table(
        f"{name}: by instruction, its part of the padding included",
        header,
        [
            [i.name, i.steps, round(i.cells), round(i.messages), i.cells / i.steps, i.messages / i.steps]
            for i in costs.instructions
        ],
    )
    cells, messages = costs.per_step()
    output.line(
        f"{name}: {cells:.1f} cells and {messages:.1f} interactions per step, averaged over all instruction tables\n"
    )


def costs_report(costs: Costs) -> CostsReport:
    """For programs."""
    cells, messages = costs.per_step()
    return CostsReport(
        steps=costs.steps,
        operations=costs.operations,
        cells=costs.cells,
        interactions=costs.messages,
        cells_per_step=cells,
        interactions_per_step=messages,
        tables=[TableCosts(**asdict(t), cells=t.cells, messages=t.messages) for t in costs.tables],
        instructions=[InstructionCosts(**asdict(i)) for i in costs.instructions],
    )


def _violation(found: Violation) -> ConstraintViolation | BusViolation | ShapeViolation:
    place = found.segment, str(found.finding)
    match found.finding:
        case ConstraintFinding() as own:
            return ConstraintViolation(place[0], "ConstraintFinding", place[1], **vars(own))
        case BusFinding() as own:
            return BusViolation(place[0], "BusFinding", place[1], **vars(own))
        case ShapeFinding() as own:
            return ShapeViolation(place[0], "ShapeFinding", place[1], **vars(own))


#: Files of a project: its plan, and sources of contracts.
_OF_PROJECTS = (".yaml", ".yml", ".sol", ".vy", ".yul")


def _read(files: Sequence[Path]) -> Batch:
    """Read a batch; what is mistaken for one is told from documents that are malformed.

    Raises:
        BatchError, UsageError.
    """
    for file in files:
        if file.is_dir() or (file.suffix in _OF_PROJECTS and file.is_file()):
            raise UsageError(
                f"{file}: {'a folder' if file.is_dir() else 'part of a project'}, not a batch",
                "`zkevm build FOLDER` makes a batch file of a project with a plan.yaml",
            )
        if file.is_file() and is_proof(file):
            raise UsageError(
                f"{file}: a proof, not a batch", f"`zkevm verify {file}` decides about it, `zkevm inspect` shows it"
            )
    return api.read_batch(*files)


def _execute(files: Sequence[Path], output: Output, limits: Limits = NO_LIMITS) -> tuple[Execution, float]:
    """Read and execute a batch; the seconds are those of both."""
    start = time.perf_counter()
    with output.progress("Executing") as (advance,):
        execution = api.execute(_read(files), limits=limits, progress=_progress(execute=advance))
    return execution, time.perf_counter() - start


def _batch_facts(execution: Execution) -> list[tuple[str, Any]]:
    return readable(asdict(execution.summary))


def _progress(**bars: Advance) -> Progress:
    """Shows those phases that there are bars for."""

    def report(phase: str, done: int, total: int) -> None:
        if phase in bars:
            bars[phase](done, total)

    return report
