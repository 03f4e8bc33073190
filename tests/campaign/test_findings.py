"""Findings are saved, read, minimised and told again; those of former campaigns are rejected now."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from circuits.air.mutation.judge import Objection
from scripts.batches.state import program
from scripts.campaign import lies
from scripts.campaign.__main__ import FINDINGS, main
from scripts.campaign.batches import Document, everything_document
from scripts.campaign.bounds import bounded_memory, bounded_time
from scripts.campaign.carried import LINKING
from scripts.campaign.changes import Change, apply
from scripts.campaign.coverage import Coverage, markdown_table, missing
from scripts.campaign.findings import Finding, accepts, minimised
from scripts.campaign.target import Honest, Target
from tests.campaign.defects import DEFECTS

SAVED = sorted(FINDINGS.glob("*.json"))


@pytest.fixture(scope="module")
def document() -> Document:
    """Two calls of a program that reads and writes storage."""
    return program("5 1 sstore 1 sload pop 3 4 add 2 sstore stop", [90_000] * 2).document


@pytest.fixture(scope="module")
def honest(document: Document) -> Honest:
    return Honest(Target.segment(), document)


@pytest.fixture(scope="module")
def weak() -> Target:
    """A circuit in which the gas left may change between two steps."""
    return next(defect for defect in DEFECTS if defect.name == "free gas").target()


def finding(document: Document, *changes: Change, attack: str = "cells", provided: str = "lie") -> Finding:
    return Finding(attack, "cell", "for the test", changes, provided, document)


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_what_was_found_is_rejected(path: Path) -> None:
    assert not Finding.read(path).is_accepted(Target.segment())


def test_a_finding_is_told_again(document: Document, weak: Target, tmp_path: Path) -> None:
    found = finding(document, Change("table pop", 0, "gas", 0, 77))
    path = found.save(tmp_path / "findings")
    assert path.parent == tmp_path / "findings"
    assert Finding.read(path) == found
    assert Finding.read(path).is_accepted(weak)
    assert not Finding.read(path).is_accepted(Target.segment())


def test_a_lie_is_told_again(document: Document, weak: Target, tmp_path: Path) -> None:
    """The machine gives back gas; everything follows, and only the gas that is handed on tells."""
    lie = Change("machine", 4, "gas", 0, 1)
    found = finding(document, lie, attack="lies", provided="")
    assert Finding.read(found.save(tmp_path)).is_accepted(weak)
    assert not found.is_accepted(Target.segment())


def test_findings_are_minimised(document: Document, weak: Target) -> None:
    harmless = [Change("table pop", 1, "gas", 0, 78), Change("table pop", 0, "gas", 0, 77)]
    found = minimised(finding(document, *harmless), Honest(weak, document), 20)
    assert len(found.changes) == 1
    assert len(found.document["blocks"][0]["transactions"]) == 1
    assert found.is_accepted(weak)


def test_a_finding_about_cells_that_are_gone(document: Document) -> None:
    with pytest.raises(LookupError):
        finding(document, Change("table pop", 0, "no such cell", 0, 1)).is_accepted(Target.segment())


def test_what_changes_nothing_is_no_finding(honest: Honest, document: Document) -> None:
    row = honest.judge.table(honest.target.circuit.names.index("pop"))
    same = Change("table pop", 0, "gas", 0, int(row.matrix[0, row.table.layout.offsets["gas"]]))
    assert not accepts(honest, finding(document, same))
    assert not accepts(honest, finding(document, Change("trace steps", 0, "gas_after", 0, 1), attack="lies"))
    assert lies.outcome(honest, lies.told(honest, ()), ()) is None


def test_who_objects(honest: Honest) -> None:
    told = lies.told(honest, (Change("machine", 8, "result", 0, 1),))  # 3 + 4 = 8
    assert {(o.table, o.name) for o in lies.objections(honest, told)} == {
        ("add_small", name) for name in ("x + y = z: carry 0", "x + y = z: carry 1", "x + y = z without a carry")
    }
    other = lies.told(honest, (Change("trace transactions", 0, "value", 0, 1),))
    assert lies.objections(honest, other) == {Objection("public values", "operations_out")}


def test_untellable_lies(honest: Honest) -> None:
    with pytest.raises(lies.UntellableError):
        lies.told(honest, (Change("trace steps", 0, "frame", 0, 4_000_000),))


def test_nonsense_is_bounded() -> None:
    with pytest.raises(MemoryError), bounded_memory():
        np.ones(1 << 33, dtype=np.uint8)
    with pytest.raises(TimeoutError), bounded_time(0.1):
        time.sleep(10)


def test_changes_out_of_range() -> None:
    columns = {"word": np.zeros((2, 16), dtype=np.uint16)}
    apply(columns, [Change("", 1, "word", 15, 9)])
    assert columns["word"][1, 15] == 9
    for change in (Change("", 2, "word", 0, 9), Change("", 0, "word", 16, 9), Change("", 0, "other", 0, 9)):
        with pytest.raises(LookupError):
            apply(columns, [change])


def test_coverage_is_kept(tmp_path: Path) -> None:
    coverage = Coverage(batches=1, seconds=2.5)
    coverage.tried["cells"] = 3
    coverage.columns["pop", "gas"] = 2
    coverage.object([Objection("pop", "exec", ("gas",))])
    coverage.object([Objection("pop", "exec", ("gas",)), Objection("pop", "real is a bit")])
    again = Coverage.of_document(coverage.document())
    assert again == coverage
    again.add(coverage)
    assert again.sole == {Objection("pop", "exec", ("gas",)): 2}
    circuit = Target.segment().circuit
    line = next(line for line in markdown_table(coverage, circuit).splitlines() if line.startswith("| pop |"))
    assert line == "| pop | 1 of 25 | 0 | 1 | 1 | 1 | 1 | 18 |"
    assert "exec.gas" not in missing(coverage, circuit)["pop"]
    assert "exec.pc" in missing(coverage, circuit)["pop"]


@pytest.mark.deep
def test_a_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    path, findings = tmp_path / "coverage.json", tmp_path / "findings"
    words = ["--seconds", "1", "--workers", "1", "--json", str(path), "--findings", str(findings)]
    assert main(words) == 0
    first = path.read_text()
    assert main(words) == 0
    assert path.read_text() != first
    with pytest.raises(SystemExit, match="another seed"):
        main([*words, "--seed", "7"])
    assert not findings.exists()


@pytest.mark.deep
def test_everything_is_there() -> None:
    """The batch of the first rounds has all tables but two, and those of links, which a run in parts has."""
    target = Target.segment()
    assert set(target.circuit.names) - set(Honest(target, everything_document()).present) == {
        "stack_refresh",
        "memory_refresh",
        *LINKING,
    }
