"""The work behind each command: call the packages, report, and say how it went."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from circuits.air.checker import Finding, check_circuit
from circuits.air.evaluate import NumpyAlgebra
from circuits.batch.execution import Batch
from circuits.segment import segment_circuit
from executor.conformance import run as run_conformance
from executor.errors import UnsupportedFeature
from executor.execute import ExecutedBatch
from executor.execute import execute as run_batch
from executor.inputs import read_batch
from executor.limits import NO_LIMITS, Limits
from executor.provable import check_provable
from executor.trace import ExecutionTrace
from executor.trace_file import save_trace
from prover.assemble import check_assembled, statement_of
from prover.costs import Costs, costs_of
from prover.driver import SegmentEvent
from prover.planner import Budget, SegmentPlan, plan_batch
from prover.plots import plot_costs
from prover.prove import Progress
from prover.prove import prove as prove_file
from prover.segment import fill_segment, segment_jobs
from prover.store import check_folder, write_atomically
from prover.workers import Workers
from verifier.container import read_proof
from verifier.verify import CHECKS
from zkevm.console import Output
from zkevm.proofs import readable, statement_facts
from zkevm.stages import SECONDS_PER_CASE, judge


def execute_batch(files: Sequence[Path], trace_file: Path | None, limits: Limits, output: Output) -> None:
    """Execute a batch and report; write its trace when a file is given (`executor.trace_file`).

    Raises:
        BatchError, UnsupportedFeature, OSError.
    """
    executed, seconds = _execute(files, output, limits)
    if trace_file is not None:
        save_trace(_trace(executed), trace_file)
    statement = statement_of(executed)
    facts = [*_batch_facts(executed), ("seconds", seconds)]
    output.facts("Executed", [*facts, *statement_facts(statement)])
    document = {name.replace(" ", "_"): value for name, value in facts}
    output.result(document | {"statement": statement.to_dict(), "statement_digest": "0x" + statement.digest.hex()})


def check_batch(files: Sequence[Path], budget: Budget, output: Output) -> bool:
    """Fill the tables of every segment and check them; True when no constraint and no bus is violated.

    Raises:
        BatchError, UnsupportedFeature, ProverError.
    """
    executed, _ = _execute(files, output)
    batch = Batch.of(check_provable(executed))
    found: list[tuple[SegmentPlan, Finding]] = []
    start = time.perf_counter()
    with output.progress("Checking") as (advance,):
        plans = plan_batch(batch, budget)
        jobs = segment_jobs(batch, plans)
        check_assembled(executed, batch, jobs)
        advance(0, len(plans))
        for done, job in enumerate(jobs, start=1):
            filled = fill_segment(batch, job.plan)
            findings = check_circuit(filled.circuit, filled.traces, filled.public_lists, algebra=NumpyAlgebra())
            found += [(job.plan, finding) for finding in findings]
            advance(done, len(plans))
    seconds = time.perf_counter() - start
    circuits = [segment_circuit(fork) for fork in dict.fromkeys(batch.forks)]
    for plan, finding in found:
        output.line(f"segment {plan.index}: {finding}", style="red")
    facts = [
        ("segments", len(plans)),
        ("transactions", len(batch.trace.transactions)),
        ("steps", len(batch.trace.steps)),
        ("tables", max((len(circuit.tables) for circuit in circuits), default=0)),
        ("constraints", max((sum(table.constraints for table in c.statistics) for c in circuits), default=0)),
        ("cells", sum(plan.cells for plan in plans)),
        ("interactions", sum(plan.interactions for plan in plans)),
        ("violations", len(found)),
        ("seconds", seconds),
    ]
    output.facts("All constraints and buses hold" if not found else "Violations found", facts)
    described = [{"segment": plan.index, "kind": type(f).__name__, "text": str(f), **vars(f)} for plan, f in found]
    output.result({"satisfied": not found, **dict(facts), "findings": described})
    return not found


def fetch_batch(url: str, blocks: str, out: Path, fork: str | Mapping[str, int] | None, output: Output) -> None:
    """Fetch a batch from a node, write its file and report.

    Raises:
        BatchError, ProverError, OSError.
    """
    # Loads what speaks HTTP.
    from executor.fetch import Node, fetch, parse_range

    start = time.perf_counter()
    first, last = parse_range(blocks)
    check_folder(out)
    with output.progress("Fetching") as (progress,):
        fetched = fetch(Node(url), first, last, fork, progress)
    content = json.dumps(fetched.document).encode()
    write_atomically(out, content)
    batch = fetched.batch
    facts = {
        "blocks": len(batch.blocks),
        "first_block_number": fetched.first,
        "last_block_number": fetched.last,
        "last_block_hash": fetched.last_hash,
        "transactions": batch.transactions,
        "chain_id": batch.chain_id,
        "fork": batch.schedule.of_blocks(block.context.timestamp for block in batch.blocks),
        "bytes": len(content),
        "completed": fetched.completed,
        "batch": str(out),
        "seconds": time.perf_counter() - start,
    }
    output.facts("Fetched", readable(facts))
    output.result(facts)


def prove_batch(
    files: Sequence[Path],
    out: Path,
    workers: Workers,
    budget: Budget,
    store: Path | None,
    keep: bool,
    output: Output,
) -> None:
    """Prove a batch and report.

    Raises:
        BatchError, UnsupportedFeature, ProverError, OSError.
    """

    def note(event: SegmentEvent) -> None:
        plan = event.job.plan
        what = f"segment {plan.index} ({plan.content}, {plan.cells:,} cells)"
        output.note(f"{what}: {'reused from the store' if event.reused else 'proved'}")

    with output.progress("Executing", "Proving") as (executed, proved):
        report = prove_file(
            files,
            out,
            workers=workers,
            budget=budget,
            store=store,
            keep=keep,
            progress=Progress(executed, proved, note),
        )
    segments = [
        {
            "operations": plan.operations,
            "cells": plan.cells,
            "interactions": plan.interactions,
            "log_stacked_height": plan.log_stacked_height,
            "proof_bytes": len(proof.proof),
            "reused": plan.index in report.reused,
            "fill_seconds": proof.statistics.fill_seconds if proof.statistics else None,
            "prove_seconds": proof.statistics.prove_seconds if proof.statistics else None,
        }
        for plan, proof in zip(report.plans, report.proofs, strict=True)
    ]
    rows = [
        ["" if value is None else value for value in (number, *segment.values())]
        for number, segment in enumerate(segments)
    ]
    header = ["operations", "cells", "interactions", "log height", "proof bytes", "reused", "fill s", "prove s"]
    output.table("Segments", ["segment", *header], rows)
    facts = [
        ("blocks", report.blocks),
        ("transactions", report.transactions),
        ("steps", report.steps),
        ("proven security", "" if report.security_bits is None else f"{report.security_bits:.1f} bits"),
        ("left to the verifier", ", ".join(check.name for check in CHECKS if check.name != "proofs")),
        ("proof", str(out)),
        ("proof bytes", report.proof_bytes),
        ("statement digest", report.statement.digest),
        *((f"seconds to {phase}", seconds) for phase, seconds in report.seconds.items()),
    ]
    output.facts("Proved", facts)
    output.result(
        {
            "blocks": report.blocks,
            "transactions": report.transactions,
            "steps": report.steps,
            "security_bits": report.security_bits,
            "left_to_the_verifier": [check.name for check in CHECKS if check.name != "proofs"],
            "proof": str(out),
            "proof_bytes": report.proof_bytes,
            "statement": report.statement.to_dict(),
            "statement_digest": "0x" + report.statement.digest.hex(),
            "segments": segments,
            "seconds": report.seconds,
        }
    )


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
    facts = [("stage", stage), *outcomes, ("seconds", report.seconds)]
    output.facts(f"{report.cases:,} cases", facts)
    output.result(document)
    return not report.failed


def aggregate_proof(file: Path, out: Path, threads: int | None, store: Path | None, keep: bool, output: Output) -> None:
    """Make one proof of all segments of a proof file, and report.

    Raises:
        ProverError, UnusableInput, OSError.
    """
    # Loads the engine.
    from prover.aggregate import NodeEvent, aggregate

    def note(event: NodeEvent) -> None:
        how = "reused from the store" if event.reused else f"proved in {event.seconds:.1f} s"
        output.note(f"{event.layer} {event.number}: {event.children} below it, {event.proof_bytes:,} bytes, {how}")

    content = read_proof(file)
    with output.progress("Aggregating") as (advance,):
        report = aggregate(content, out, threads=threads, store=store, keep=keep, progress=advance, on_node=note)
    facts = {
        "segments": report.segments,
        "nodes": len(report.nodes),
        "reused": sum(node.reused for node in report.nodes),
        "one_proof_bytes": report.one_proof_bytes,
        "proof_bytes": report.proof_bytes,
        "security_bits": report.security_bits,
        "seconds": report.seconds,
        "proof": str(out),
    }
    output.facts("Aggregated", readable(facts))
    output.result(facts | {"tree": [asdict(node) for node in report.nodes]})


def inspect_batch(files: Sequence[Path], plot: Path | None, output: Output) -> None:
    """Show a batch file: executed, planned and filled, but not proved.

    Args:
        plot: draws the costs of the first segment to this file.

    Raises:
        BatchError, UnsupportedFeature, UsageError, ProverError, OSError.
    """
    executed, _ = _execute(files, output)
    facts = _batch_facts(executed)
    plans: list[SegmentPlan] = []
    costs: Costs | None = None
    unsupported = None
    try:
        batch = Batch.of(check_provable(executed))
        with output.progress("Planning"):
            plans = plan_batch(batch)
            check_assembled(executed, batch, segment_jobs(batch, plans))
            if plans:
                costs = costs_of(fill_segment(batch, plans[0]))
    except UnsupportedFeature as error:
        unsupported = str(error)
    output.facts("Batch", [*facts, *statement_facts(statement_of(executed))])
    segments = [
        {
            "first_operation": plan.first,
            "end_operation": plan.end,
            "cells": plan.cells,
            "interactions": plan.interactions,
            "memory_bytes": plan.memory,
            "log_stacked_height": plan.log_stacked_height,
        }
        for plan in plans
    ]
    header = ["segment", "first", "end", "cells", "interactions", "memory bytes", "log height"]
    rows = [[number, *segment.values()] for number, segment in enumerate(segments)]
    if unsupported is None:
        output.table("Planned segments", header, rows)
    else:
        output.line(f"Cannot be proved yet: {unsupported}", style="yellow")
    if costs is not None:
        show_costs("Segment 0", costs, output)
        if plot is not None:
            plot_costs(costs, files[0].stem, plot)
    statement = statement_of(executed)
    output.result(
        {
            "kind": "batch",
            **{name.replace(" ", "_"): value for name, value in facts},
            "statement": statement.to_dict(),
            "statement_digest": "0x" + statement.digest.hex(),
            "segments": segments,
            "costs": None if costs is None else costs_document(costs),
            "unsupported": unsupported,
        }
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


def costs_document(costs: Costs) -> dict[str, Any]:
    """For a JSON document."""
    cells, messages = costs.per_step()
    return {
        "steps": costs.steps,
        "operations": costs.operations,
        "cells": costs.cells,
        "interactions": costs.messages,
        "cells_per_step": cells,
        "interactions_per_step": messages,
        "tables": [asdict(t) | {"cells": t.cells, "messages": t.messages} for t in costs.tables],
        "instructions": [asdict(i) for i in costs.instructions],
    }


def _execute(files: Sequence[Path], output: Output, limits: Limits = NO_LIMITS) -> tuple[ExecutedBatch, float]:
    """Read and execute a batch; the seconds are those of both."""
    start = time.perf_counter()
    with output.progress("Executing") as (advance,):
        executed = run_batch(read_batch(files), limits=limits, progress=advance)
    return executed, time.perf_counter() - start


def _batch_facts(executed: ExecutedBatch) -> list[tuple[str, Any]]:
    trace = _trace(executed)
    return [
        ("blocks", len(trace.blocks)),
        ("transactions", len(trace.transactions)),
        ("frames", len(trace.frames)),
        ("steps", len(trace.steps)),
        ("logs", len(trace.logs)),
        ("gas used", executed.gas_used),
        ("state keys", len(trace.keys)),
        ("trace bytes", trace.nbytes),
        ("witness bytes", sum(map(len, executed.state_nodes))),
    ]


def _trace(executed: ExecutedBatch) -> ExecutionTrace:
    assert executed.trace is not None, "batches are executed with a trace here"
    return executed.trace
