"""The commands about proof files: verify, inspect. They need nothing of the prover, and no native code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from verifier.container import MAGIC
from verifier.errors import Rejected
from verifier.statement import BatchStatement
from verifier.verify import CHECKS
from zkevm.console import Output
from zkevm.proof import Engine, Expected, read_proof, verify
from zkevm.reports import (
    AcceptedReport,
    CheckToMake,
    InspectProofReport,
    ProofBytes,
    RejectedReport,
    SegmentInFile,
    Statement,
    hexadecimal,
)


def verify_proof(file: Path, engine: Engine | None, output: Output, expected: Expected) -> bool:
    """Verify a proof file and report; True when it is accepted and the statement's fields are those that are expected.

    Raises:
        UnusableInput: not a proof file, or an engine that is not installed.
    """
    order = {check.name: number for number, check in enumerate(CHECKS)}
    try:
        with output.progress("Verifying") as (advance,):
            report = verify(
                file,
                engine,
                expected=expected,
                progress=lambda name, done, total: advance(order[name] + (done >= total), len(CHECKS)),
            )
    except Rejected as rejected:
        output.line(f"REJECTED by the check of {rejected.check}: {rejected.reason}", style="bold red")
        output.result(RejectedReport(False, rejected.check, rejected.reason))
        return False
    output.facts("Statement", statement_facts(report.statement))
    checks = [["✓", check.name, check.establishes, check.seconds] for check in report.checks]
    output.table("Checks", ["", "check", "establishes that", "seconds"], checks)
    if report.unprotected == report.transactions and "chain_id" not in expected:
        output.line(
            "The chain id is the prover's word: no transaction is signed for one. Name yours with --chain-id.",
            style="yellow",
        )
    bits = "" if report.security_bits is None else f", {report.security_bits:.0f} bits of proven security"
    batches = f" of {report.batches:,} batches" if report.batches > 1 else ""
    output.line(
        f"ACCEPTED: {report.transactions:,} transactions in {report.blocks:,} blocks{batches}, "
        f"{report.segments:,} segments{bits}, verified in {report.seconds:.2f} s",
        style="bold green",
    )
    output.result(AcceptedReport.of(report))
    return True


def is_proof(file: Path) -> bool:
    """Whether a file starts as proof files do. Raises `OSError`."""
    with file.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def inspect_proof(file: Path, output: Output) -> None:
    """Show what a proof file states, without verifying it.

    Raises:
        UnusableInput: not a proof file.
    """
    proof = read_proof(file)
    segments = [SegmentInFile(**asdict(segment)) for segment in proof.segments]
    output.facts("Statement (claimed; `zkevm verify` decides)", statement_facts(proof.statement))
    output.facts(
        "Contents",
        [
            ("batches", proof.batches),
            ("blocks", proof.blocks),
            ("transactions", proof.transactions),
            ("state keys", proof.state_keys),
            ("codes", proof.codes),
        ],
    )
    output.facts("Bytes", proof.sizes.items())
    header = ["segment", "first", "end", "log height", "writes", "proof bytes"]
    rows = [[number, *segment.to_dict().values()] for number, segment in enumerate(segments)]
    output.table("Segments", header, rows)
    output.table("What the verifier checks", ["check", "establishes that"], [[c.name, c.establishes] for c in CHECKS])
    output.result(
        InspectProofReport(
            kind="proof",
            statement=Statement.of(proof.statement),
            statement_digest=hexadecimal(proof.statement.digest),
            batches=proof.batches,
            blocks=proof.blocks,
            transactions=proof.transactions,
            state_keys=proof.state_keys,
            bytes=ProofBytes(**{name.replace(" ", "_"): size for name, size in proof.sizes.items()}),
            segments=segments,
            checks=[CheckToMake(check.name, check.establishes) for check in CHECKS],
        )
    )


def statement_facts(statement: BatchStatement) -> list[tuple[str, Any]]:
    """For people."""
    return [*readable(asdict(statement)), ("statement digest", statement.digest)]


def readable(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Names of words, and numbers that count nothing without separators."""
    return [
        (name.replace("_", " "), str(value) if "number" in name or name == "chain_id" else value)
        for name, value in facts.items()
    ]
