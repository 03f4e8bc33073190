"""Segments: public values, sizes and the mutation of every table."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zkevm_native

from circuits import segment
from circuits.air.checker import Finding, check_circuit
from circuits.air.field import Matrix
from circuits.air.mutation import mutate
from circuits.segment import FilledSegment, boundaries, fill, segment_circuit
from circuits.statement import EFFECTS_START, TRANSACTIONS_START, PublicColumns
from executor.transfers import TransferTrace
from tests.circuits.forging import check

BUDGET = Path(__file__).parent / "transfer_budget.json"


def test_segments_chain_by_their_public_values(trace: TransferTrace) -> None:
    cuts = [0, 17, 60, 100]
    filled = [
        fill(trace.slice(first, end), boundary).public_values
        for first, end, boundary in zip(cuts[:-1], cuts[1:], boundaries(trace, cuts[:-1]), strict=True)
    ]
    np.testing.assert_array_equal(filled[0].transactions_in, TRANSACTIONS_START)
    np.testing.assert_array_equal(filled[0].effects_in, EFFECTS_START)
    for before, after in pairwise(filled):
        assert before.end_transaction == after.first_transaction
        for name in ("transactions", "effects", "access"):
            np.testing.assert_array_equal(getattr(before, f"{name}_out"), getattr(after, f"{name}_in"))


def _check_public(filled: FilledSegment, traces: list[Matrix | None], public: list[int]) -> list[Finding]:
    return check_circuit(segment_circuit(), traces, [public, *filled.public_lists[1:]])


@pytest.mark.parametrize("name", PublicColumns.parts)
def test_every_public_value_counts(small_segment: FilledSegment, name: str) -> None:
    """One element of each public value changed; the mutation test changes all of them."""
    values = list(small_segment.public_lists[0])
    values[PublicColumns.offsets[name]] += 1
    assert _check_public(small_segment, list(small_segment.traces), values)


def test_a_segment_without_its_segment_table_is_rejected(small_segment: FilledSegment) -> None:
    assert _check_public(small_segment, [None, *small_segment.traces[1:]], [])


def test_two_segment_rows_are_rejected(small_segment: FilledSegment) -> None:
    doubled = [np.ones((2, 1), dtype=np.uint32), *small_segment.traces[1:]]
    assert check(FilledSegment(doubled, small_segment.public_values))


@pytest.mark.parametrize(("first", "end"), [(0, 100), (0, 1), (33, 44), (99, 100)])
def test_estimated_heights(trace: TransferTrace, first: int, end: int) -> None:
    part = trace.slice(first, end)
    heights = segment.estimate(part)
    filled = fill(part, boundaries(trace, [first])[0])
    for table, matrix in zip(segment_circuit().tables, filled.traces, strict=True):
        if table.name == "poseidon2":
            assert len(matrix) <= heights[table.name] <= 2 * len(matrix)
        else:
            assert heights[table.name] == len(matrix), table.name


def test_cost_stays_within_the_budget(trace: TransferTrace) -> None:
    """Cells and interactions are exact; a change that costs more must change the budget file knowingly."""
    filled = fill(trace, boundaries(trace, [0])[0])
    heights = {t.name: len(m) for t, m in zip(segment_circuit().tables, filled.traces, strict=True)}
    budget = json.loads(BUDGET.read_text())
    assert segment.cells(heights) / trace.transactions <= budget["cells_per_transfer"]
    assert segment.interactions(heights) / trace.transactions <= budget["interactions_per_transfer"]


def test_no_cell_is_free(small_segment: FilledSegment) -> None:
    report = mutate(segment_circuit(), small_segment.traces, small_segment.public_lists, seed=1)
    assert not report.survivors, "\n".join(str(s) for s in report.survivors[:20])


def test_the_engine_agrees(small_segment: FilledSegment) -> None:
    key = zkevm_native.keygen(segment_circuit().export(), 16)
    proof, _ = zkevm_native.prove(key, small_segment.traces, small_segment.public_lists, 2)
    verified = zkevm_native.verify(key.verifying_key(), proof)
    assert verified.public_values == small_segment.public_lists
    heights = [len(t).bit_length() - 1 for t in small_segment.traces]
    assert verified.log_heights == heights
