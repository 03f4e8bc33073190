"""The work behind each command: call the packages, report, and say how it went."""

import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from circuits.air.checker import Finding, check_circuit
from circuits.segment import segment_circuit
from executor.batch import read_batch
from executor.conformance import run as run_conformance
from executor.errors import UnsupportedFeature
from executor.execute import ExecutedBatch
from executor.execute import execute as run_batch
from executor.limits import NO_LIMITS, Limits
from executor.trace import ExecutionTrace
from executor.trace_file import save_trace
from executor.transfers import transfer_trace
from prover.assemble import statement_of
from prover.driver import SegmentEvent, Workers
from prover.planner import DEFAULT_SEGMENT_CELLS, SegmentPlan, planner_for
from prover.prove import Progress
from prover.prove import prove as prove_file
from prover.segment import fill_segment, segment_jobs
from verifier.container import MAGIC, decode_proof, read_proof
from verifier.errors import Invalid, Rejected
from verifier.statement import BatchStatement
from verifier.verify import CHECKS, verify_file
from zkevm.console import Output
from zkevm.errors import UsageError


def execute_batch(file: Path, trace_file: Path | None, limits: Limits, output: Output) -> None:
    """Execute a batch and report; write its trace when a file is given (`executor.trace_file`).

    Raises:
        BatchError, UnsupportedFeature, OSError.
    """
    executed, seconds = _execute(file, output, limits)
    if trace_file is not None:
        save_trace(_trace(executed), trace_file)
    statement = statement_of(executed)
    facts = [*_batch_facts(executed), ("seconds", seconds)]
    output.facts("Executed", [*facts, *_statement_facts(statement)])
    document = {name.replace(" ", "_"): value for name, value in facts}
    output.result(document | {"statement": statement.to_dict(), "statement_digest": "0x" + statement.digest.hex()})


def check_batch(file: Path, segment_cells: int | None, output: Output) -> bool:
    """Fill the tables of every segment and check them; True when no constraint and no bus is violated.

    Raises:
        BatchError, UnsupportedFeature, ProverError.
    """
    executed, _ = _execute(file, output)
    trace = transfer_trace(executed)
    plans = planner_for(trace).plan(trace.transactions, segment_cells or DEFAULT_SEGMENT_CELLS)
    jobs = segment_jobs(trace, plans)
    circuit = segment_circuit()
    found: list[tuple[SegmentPlan, Finding]] = []
    cells = 0
    start = time.perf_counter()
    with output.progress("Checking") as (advance,):
        advance(0, len(jobs))
        for done, job in enumerate(jobs, start=1):
            filled = fill_segment(trace, job)
            cells += sum(table.size for table in filled.traces)
            found += [(job.plan, finding) for finding in check_circuit(circuit, filled.traces, filled.public_lists)]
            advance(done, len(jobs))
    seconds = time.perf_counter() - start
    for plan, finding in found:
        output.line(f"segment {plan.index}: {finding}", style="red")
    facts = [
        ("segments", len(plans)),
        ("transactions", trace.transactions),
        ("tables", len(circuit.tables)),
        ("constraints", sum(table.constraints for table in circuit.statistics)),
        ("cells", cells),
        ("violations", len(found)),
        ("seconds", seconds),
    ]
    output.facts("All constraints and buses hold" if not found else "Violations found", facts)
    findings = [{"segment": plan.index, "kind": type(f).__name__, "text": str(f), **vars(f)} for plan, f in found]
    output.result({"satisfied": not found, **dict(facts), "findings": findings})
    return not found


def prove_batch(
    file: Path,
    out: Path,
    workers: Workers,
    segment_cells: int | None,
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
        how = "reused from the store" if event.reused else "proved"
        output.note(f"segment {plan.index} (transactions {plan.first} to {plan.end - 1}): {how}")

    with output.progress("Executing", "Proving") as (executed, proved):
        report = prove_file(
            file,
            out,
            workers=workers,
            segment_cells=segment_cells or DEFAULT_SEGMENT_CELLS,
            store=store,
            keep=keep,
            progress=Progress(executed, proved, note),
        )
    segments = [
        {
            "transactions": plan.transactions,
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
    header = ["transactions", "cells", "interactions", "log height", "proof bytes", "reused", "fill s", "prove s"]
    output.table("Segments", ["segment", *header], rows)
    facts = [
        ("proof", str(out)),
        ("proof bytes", report.proof_bytes),
        ("statement digest", report.statement.digest),
        *((f"seconds to {phase}", seconds) for phase, seconds in report.seconds.items()),
    ]
    output.facts("Proved", facts)
    output.result(
        {
            "proof": str(out),
            "proof_bytes": report.proof_bytes,
            "statement": report.statement.to_dict(),
            "statement_digest": "0x" + report.statement.digest.hex(),
            "segments": segments,
            "seconds": report.seconds,
        }
    )


def verify_proof(file: Path, engine: str, output: Output) -> bool:
    """Verify a proof file and report; True when it is accepted.

    Raises:
        UnusableInput: not a proof file, or an engine that does not exist.
    """
    try:
        with output.progress("Verifying") as (advance,):
            order = {check.name: number for number, check in enumerate(CHECKS)}
            report = verify_file(
                file, engine, lambda name, done, total: advance(order[name] + done // total, len(CHECKS))
            )
    except Rejected as rejected:
        output.line(f"REJECTED by the check of {rejected.check}: {rejected.reason}", style="bold red")
        output.result({"accepted": False, "check": rejected.check, "reason": rejected.reason})
        return False
    output.facts("Statement", _statement_facts(report.statement))
    checks = [["✓", check.name, check.establishes, check.seconds] for check in report.checks]
    output.table("Checks", ["", "check", "establishes that", "seconds"], checks)
    bits = "" if report.security_bits is None else f", {report.security_bits:.0f} bits of proven security"
    output.line(
        f"ACCEPTED: {report.transactions:,} transactions in {report.blocks:,} blocks, "
        f"{report.segments:,} segments{bits}, verified in {report.seconds:.2f} s",
        style="bold green",
    )
    output.result({"accepted": True, **report.to_dict()})
    return True


def inspect_file(file: Path, output: Output) -> None:
    """Show a proof file (without verifying it) or a batch file (executed, but not proved).

    Raises:
        UnusableInput, BatchError, UnsupportedFeature, UsageError, ProverError, OSError.
    """
    with file.open("rb") as stream:
        start = stream.read(len(MAGIC))
    if start == MAGIC:
        _inspect_proof(file, output)
    else:
        _inspect_batch(file, output)


def _inspect_proof(file: Path, output: Output) -> None:
    data = read_proof(file)
    try:
        proof = decode_proof(data)
    except Invalid as error:
        raise UsageError(f"{file}: malformed proof file: {error}") from error
    transactions = sum(len(block.transactions) for block in proof.blocks)
    sizes = [
        ("proof file", len(data)),
        ("segment proofs", sum(len(segment.proof) for segment in proof.segments)),
        ("state witness", sum(map(len, proof.state_nodes))),
        ("transactions", sum(len(raw) for block in proof.blocks for raw in block.transactions)),
    ]
    segments = [
        {
            "first_transaction": segment.first,
            "end_transaction": segment.end,
            "log_stacked_height": segment.log_stacked_height,
            "proof_bytes": len(segment.proof),
        }
        for segment in proof.segments
    ]
    output.facts("Statement (claimed; `zkevm verify` decides)", _statement_facts(proof.statement))
    output.facts(
        "Contents",
        [("blocks", len(proof.blocks)), ("transactions", transactions), ("state keys", len(proof.state_keys))],
    )
    output.facts("Bytes", sizes)
    header = ["segment", "first", "end", "log height", "proof bytes"]
    output.table("Segments", header, [[number, *segment.values()] for number, segment in enumerate(segments)])
    output.table("What the verifier checks", ["check", "establishes that"], [[c.name, c.establishes] for c in CHECKS])
    output.result(
        {
            "kind": "proof",
            "statement": proof.statement.to_dict(),
            "statement_digest": "0x" + proof.statement.digest.hex(),
            "blocks": len(proof.blocks),
            "transactions": transactions,
            "state_keys": len(proof.state_keys),
            "bytes": {name.replace(" ", "_"): size for name, size in sizes},
            "segments": segments,
            "checks": [{"name": check.name, "establishes": check.establishes} for check in CHECKS],
        }
    )


def run_test_suites(paths: list[Path], stage: str, limit: int | None, workers: int | None, output: Output) -> bool:
    """Run the cases of public test suites and report; True when none failed.

    Raises:
        BatchError: a path that is unreadable, or no case at all.
        UnsupportedFeature: a stage that does not exist.
    """
    with output.progress("Running") as (advance,):
        report = run_conformance(paths, stage, limit, workers, advance)
    document = report.to_dict()
    for name, reason in report.failed.items():
        output.line(f"FAILED {name}: {reason}", style="red")
    for name, reason in report.left_out.items():
        output.line(f"left out {name}: {reason}", style="yellow")
    # Many cases are unsupported for the same reason, each in its own place.
    whats = Counter(reason.split(" in block ")[0] for reason in report.unsupported.values())
    if whats:
        output.table("Unsupported", ["what", "cases"], whats.most_common())
    outcomes = [(name.replace("_", " "), count) for name, count in document.items() if name != "reasons"]
    facts = [("stage", stage), *outcomes, ("seconds", report.seconds)]
    output.facts(f"{report.cases:,} cases", facts)
    output.result(document)
    return not report.failed


def _inspect_batch(file: Path, output: Output) -> None:
    executed, _ = _execute(file, output)
    facts = _batch_facts(executed)
    try:
        trace = transfer_trace(executed)
        plans = planner_for(trace).plan(trace.transactions)
        unsupported = None
    except UnsupportedFeature as error:
        plans, unsupported = [], str(error)
    output.facts("Batch", [*facts, *_statement_facts(statement_of(executed))])
    segments = [
        {
            "first_transaction": plan.first,
            "end_transaction": plan.end,
            "cells": plan.cells,
            "interactions": plan.interactions,
            "log_stacked_height": plan.log_stacked_height,
        }
        for plan in plans
    ]
    header = ["segment", "first", "end", "cells", "interactions", "log height"]
    rows = [[number, *segment.values()] for number, segment in enumerate(segments)]
    if unsupported is None:
        output.table("Planned segments", header, rows)
    else:
        output.line(f"Cannot be proved yet: {unsupported}", style="yellow")
    statement = statement_of(executed)
    output.result(
        {
            "kind": "batch",
            **{name.replace(" ", "_"): value for name, value in facts},
            "statement": statement.to_dict(),
            "statement_digest": "0x" + statement.digest.hex(),
            "segments": segments,
            "unsupported": unsupported,
        }
    )


def _execute(file: Path, output: Output, limits: Limits = NO_LIMITS) -> tuple[ExecutedBatch, float]:
    """Read and execute a batch; the seconds are those of both."""
    start = time.perf_counter()
    with output.progress("Executing") as (advance,):
        executed = run_batch(read_batch(file), limits=limits, progress=advance)
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


def _statement_facts(statement: BatchStatement) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [
        (name.replace("_", " "), str(value) if "number" in name or name == "chain_id" else value)
        for name, value in asdict(statement).items()
    ]
    return [*facts, ("statement digest", statement.digest)]


def _trace(executed: ExecutedBatch) -> ExecutionTrace:
    assert executed.trace is not None, "batches are executed with a trace here"
    return executed.trace
