"""The security report of a proof file: `zkevm inspect --security`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from verifier import keys, trees
from verifier.container import ProofFile, decode_proof, read_proof
from verifier.errors import Invalid, Rejected, UnusableInput
from verifier.swirl import proof
from verifier.swirl.key import VerifyingKey, decode, decode_node
from verifier.swirl.security import SecurityReport, security
from verifier.verify import circuits_of_segments
from zkevm.console import Output
from zkevm.reports import OneProofSecurity, RefusedSecurityReport, SegmentSecurity
from zkevm.reports import SecurityReport as Document

TOLERANCE: Final = 0.01
"""Bits by which the report and the engine's calculator may differ."""

#: The engine's minimum over the steps of WHIR, which are listed one by one.
_SUMMARY: Final = "whir"


class Disagreement(Exception):  # noqa: N818 - named for what it is
    """The report and the engine's calculator say different things about the same proof."""


def inspect_security(file: Path, output: Output) -> bool:
    """Show the proven bits of each step of the segment proofs of a file, which are not verified; all else is.

    Returns:
        False when the analysis says nothing about one of them, or what is verified is refused: such files are rejected.

    Raises:
        UnusableInput: not a proof file.
        Disagreement: with the engine's calculator, which is asked where it is installed.
    """
    try:
        content = read_proof(file)
        file_of_proof = decode_proof(content)
    except Invalid as error:
        raise UnusableInput(f"{file}: malformed proof file: {error}") from error
    try:
        circuits = circuits_of_segments(content)
    except Rejected as rejected:
        output.line(f"REJECTED: {rejected}", style="bold red")
        output.result(RefusedSecurityReport("security", False, None, str(rejected)))
        return False
    if file_of_proof.one_proof is not None:
        return _inspect_one_proof(file_of_proof, circuits, output)
    documents = []
    segments = file_of_proof.segments
    for number, (segment, circuit) in enumerate(zip(segments, circuits, strict=True)):
        try:
            encoding = keys.encoding(circuit, segment.log_stacked_height)
            report, engine = _report(encoding, decode(encoding), bytes(segment.proof))
        except Invalid as error:
            output.line(f"REJECTED: segment {number}: {error}", style="bold red")
            output.result(RefusedSecurityReport("security", False, number, str(error)))
            return False
        _show(f"Segment {number}", segment.log_stacked_height, report, engine, output)
        documents.append(SegmentSecurity.of(segment.log_stacked_height, report, engine))
    compared = all(document.engine is not None for document in documents)
    weakest = min((document.total.unique for document in documents), default=None)
    if weakest is not None:
        agreement = "the engine's calculator agrees" if compared else "the engine's calculator is not installed"
        output.line(f"{weakest:.2f} bits of proven security in unique decoding; {agreement}.", style="bold green")
    output.result(Document("security", True, weakest, documents, None))
    return True


def _inspect_one_proof(file: ProofFile, circuits: list[str], output: Output) -> bool:
    """The same for the one proof of all segments of a file, and for the layers of its tree."""
    leaves = trees.leaves_of(circuits, [segment.log_stacked_height for segment in file.all_segments])
    encoding = trees.encoding()
    key = decode_node(encoding)
    try:
        report, engine = _report(encoding, key, bytes(file.one_proof or b""))
    except Invalid as error:
        output.line(f"REJECTED: the one proof: {error}", style="bold red")
        output.result(RefusedSecurityReport("security", False, None, str(error)))
        return False
    height = key.parameters.log_stacked_height
    _show("The one proof", height, report, engine, output)
    inner, below = trees.pinned().security_bits, leaves.security_bits
    output.facts(
        "Layers of the tree, at any heights of their tables",
        [
            ("segments and leaves, bits in unique decoding", below),
            ("nodes above them, bits up to the Johnson bound", inner),
        ],
    )
    weakest = min(report.total, inner, below)
    output.line(f"{weakest:.2f} bits of proven security, the least of all layers.", style="bold green")
    node = SegmentSecurity.of(height, report, engine)
    output.result(Document("security", True, weakest, [], OneProofSecurity(node, inner, below)))
    return True


def _report(encoding: bytes, key: VerifyingKey, content: bytes) -> tuple[SecurityReport, dict[str, float] | None]:
    """The report on a proof for a key, and the engine's bits by step where the engine is installed."""
    heights = proof.decode(key, content).log_heights
    report = security(key, heights)
    try:
        import zkevm_native
    except ImportError:
        return report, None
    engine = zkevm_native.VerifyingKey.from_bytes(encoding, known=True).security(list(heights))
    own = report.by_step | {"total": report.total}
    if own.keys() != engine.keys() - {_SUMMARY}:
        raise Disagreement(f"steps {sorted(own)} in the report, {sorted(engine)} in the engine's")
    for name, bits in own.items():
        if not abs(bits - engine[name]) < TOLERANCE:
            raise Disagreement(f"{name} has {bits:.3f} bits in the report, {engine[name]:.3f} in the engine's")
    return report, engine


def _show(
    what: str, log_stacked_height: int, report: SecurityReport, engine: dict[str, float] | None, output: Output
) -> None:
    sizes = report.sizes
    title = (
        f"{what}: {sizes.tables} tables, the highest of 2^{sizes.log_height} rows, {sizes.interactions:,} "
        f"interactions, {sizes.stacked_columns} stacked columns of 2^{log_stacked_height} rows"
    )
    johnson = f"Johnson (m = {report.multiplicity})"
    rows = [(step.name, step.unique, step.johnson, step.failure) for step in report.steps]
    rows.append(("total", report.unique, report.johnson, "the weakest of them fails"))
    output.table(
        title,
        ["step", "unique decoding", johnson, "engine", "fails if"],
        [
            [name.replace("_", " "), unique, list_bits, "" if engine is None else engine[name], failure]
            for name, unique, list_bits, failure in rows
        ],
    )
