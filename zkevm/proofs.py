"""The commands about proof files: verify, inspect. They need nothing of the prover, and no native code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from verifier.container import MAGIC, decode_proof, read_proof
from verifier.errors import Invalid, Rejected
from verifier.statement import BatchStatement
from verifier.verify import CHECKS, verify_file
from zkevm.console import Output
from zkevm.errors import UsageError


def verify_proof(
    file: Path, engine: str, output: Output, expected: Mapping[str, int | bytes | str] | None = None
) -> bool:
    """Verify a proof file and report; True when it is accepted and the statement's fields are those that are expected.

    Raises:
        UnusableInput: not a proof file, or an engine that does not exist.
    """
    try:
        with output.progress("Verifying") as (advance,):
            order = {check.name: number for number, check in enumerate(CHECKS)}
            report = verify_file(
                file,
                engine,
                lambda name, done, total: advance(order[name] + (done >= total), len(CHECKS)),
                expected,
            )
    except Rejected as rejected:
        output.line(f"REJECTED by the check of {rejected.check}: {rejected.reason}", style="bold red")
        output.result({"accepted": False, "check": rejected.check, "reason": rejected.reason})
        return False
    output.facts("Statement", statement_facts(report.statement))
    checks = [["✓", check.name, check.establishes, check.seconds] for check in report.checks]
    output.table("Checks", ["", "check", "establishes that", "seconds"], checks)
    if report.unprotected == report.transactions and "chain_id" not in (expected or {}):
        output.line(
            "The chain id is the prover's word: no transaction is signed for one. Name yours with --chain-id.",
            style="yellow",
        )
    bits = "" if report.security_bits is None else f", {report.security_bits:.0f} bits of proven security"
    output.line(
        f"ACCEPTED: {report.transactions:,} transactions in {report.blocks:,} blocks, "
        f"{report.segments:,} segments{bits}, verified in {report.seconds:.2f} s",
        style="bold green",
    )
    output.result({"accepted": True, **report.to_dict()})
    return True


def is_proof(file: Path) -> bool:
    """Whether a file starts as proof files do. Raises `OSError`."""
    with file.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def inspect_proof(file: Path, output: Output) -> None:
    """Show what a proof file states, without verifying it.

    Raises:
        UnusableInput, UsageError: not a proof file.
    """
    data = read_proof(file)
    try:
        proof = decode_proof(data)
    except Invalid as error:
        raise UsageError(f"{file}: malformed proof file: {error}") from error
    transactions = sum(len(block.transactions) for block in proof.blocks)
    sizes = [
        ("proof file", len(data)),
        ("segment proofs", sum(len(segment.proof) for segment in proof.segments)),
        ("one proof", len(proof.one_proof or b"")),
        ("state witness", sum(map(len, proof.state_nodes))),
        ("codes", sum(map(len, proof.codes))),
        ("transactions", sum(len(raw) for block in proof.blocks for raw in block.transactions)),
    ]
    segments = [
        {
            "first_operation": segment.first,
            "end_operation": segment.end,
            "log_stacked_height": segment.log_stacked_height,
            "writes": len(segment.writes) + len(segment.code_writes),
            "proof_bytes": len(segment.proof),
        }
        for segment in proof.segments
    ]
    output.facts("Statement (claimed; `zkevm verify` decides)", statement_facts(proof.statement))
    output.facts(
        "Contents",
        [
            ("blocks", len(proof.blocks)),
            ("transactions", transactions),
            ("state keys", len(proof.state_keys)),
            ("codes", len(proof.codes)),
        ],
    )
    output.facts("Bytes", sizes)
    header = ["segment", "first", "end", "log height", "writes", "proof bytes"]
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


def statement_facts(statement: BatchStatement) -> list[tuple[str, Any]]:
    """For people."""
    return [*readable(asdict(statement)), ("statement digest", statement.digest)]


def readable(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Names of words, and numbers that count nothing without separators."""
    return [
        (name.replace("_", " "), str(value) if "number" in name or name == "chain_id" else value)
        for name, value in facts.items()
    ]
