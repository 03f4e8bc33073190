"""Segments: public values, sizes and the mutation of every table."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import zkevm_native

from circuits.air.checker import Finding, check_circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import Matrix
from circuits.air.mutation import mutate
from circuits.batch.execution import Batch, Execution
from circuits.segment import FilledSegment, Segment, fill, public_values, segment_circuit
from circuits.state.access_tree import access_root
from circuits.statement import CIRCUIT_VERSION, OPERATIONS_START, RECEIPTS_START, WRITES_START, PublicColumns
from executor.forks import CANCUN
from scripts.forging.segments import check, forge


def test_segments_chain_by_their_public_values(batch: Batch) -> None:
    cuts = [0, 2, 4, 8, len(batch.operations)]
    stated = [public_values(Execution(batch, first, end)) for first, end in pairwise(cuts)]
    np.testing.assert_array_equal(stated[0].operations_in, OPERATIONS_START)
    np.testing.assert_array_equal(stated[0].receipts_in, RECEIPTS_START)
    np.testing.assert_array_equal(stated[0].access_in, access_root(batch, 0))
    np.testing.assert_array_equal(stated[-1].access_out, access_root(batch, len(batch.operations)))
    assert len({tuple(values.writes_out.tolist()) for values in stated} | {tuple(WRITES_START.tolist())}) == len(cuts)
    for before, after in pairwise(stated):
        assert before.end_operation == after.first_operation
        assert before.depth == after.depth
        for name in ("operations", "receipts", "access"):
            np.testing.assert_array_equal(getattr(before, f"{name}_out"), getattr(after, f"{name}_in"))
    assert {values.version for values in stated} == {CIRCUIT_VERSION}


def _check_public(filled: FilledSegment, traces: list[Matrix | None], public: list[int]) -> list[Finding]:
    lists = [public if table.name == Segment.name else [] for table in segment_circuit(CANCUN).tables]
    return check_circuit(segment_circuit(CANCUN), traces, lists, algebra=NATIVE)


def _place() -> int:
    return segment_circuit(CANCUN).names.index(Segment.name)


def test_an_honest_segment_is_accepted(small_segment: FilledSegment) -> None:
    assert check(small_segment) == []


def test_every_cut_is_accepted(batch: Batch) -> None:
    """Segments of one operation each, as far as withdrawals let them begin."""
    for first, end in pairwise(batch.operations.cuts.tolist()):
        assert check(fill(Execution(batch, first, end))) == [], first


@pytest.mark.parametrize("name", PublicColumns.parts)
def test_every_public_value_counts(small_segment: FilledSegment, name: str) -> None:
    """One element of each public value changed; the mutation test changes all of them."""
    values = small_segment.public_values.to_list()
    values[PublicColumns.offsets[name]] += 1
    assert _check_public(small_segment, list(small_segment.traces), values)


def test_a_segment_without_its_segment_table_is_rejected(small_segment: FilledSegment) -> None:
    traces = list(small_segment.traces)
    traces[_place()] = None
    assert _check_public(small_segment, traces, [])


def test_two_segment_rows_are_rejected(small_segment: FilledSegment) -> None:
    traces = list(small_segment.traces)
    row = traces[_place()]
    assert row is not None
    traces[_place()] = np.concatenate([row, row])
    assert check(replace(small_segment, traces=traces))


@pytest.mark.deep
def test_every_table_is_needed(small_segment: FilledSegment) -> None:
    """Any table left out is missed by the others."""
    for place, trace in enumerate(small_segment.traces):
        if trace is None or place == _place():
            continue
        traces = list(small_segment.traces)
        traces[place] = None
        assert check(replace(small_segment, traces=traces)), segment_circuit(CANCUN).names[place]


def test_forged_tables_are_rejected(small_execution: Execution) -> None:
    assert check(forge(small_execution, lambda tables: None)) == []

    def mint(tables: dict[str, np.ndarray]) -> None:
        tables["account_leaf"].balance_after[0, 0] += 1

    assert check(forge(small_execution, mint))


@pytest.mark.parametrize(("first", "end"), [(0, 12), (0, 1), (2, 8), (9, 12)])
def test_heights_are_exact(batch: Batch, first: int, end: int) -> None:
    execution = Execution(batch, first, end)
    filled = fill(execution)
    exact = {
        t.name: len(m) for t, m in zip(segment_circuit(CANCUN).tables, filled.traces, strict=True) if m is not None
    }
    found = filled.heights
    assert {name: height for name, (_, height) in found.items()} == exact
    for rows, height in found.values():
        # Padding at most doubles a table.
        assert rows <= height < 2 * rows or height == 1


@pytest.mark.deep
def test_no_public_value_and_no_cell_of_the_segment_table_is_free(small_segment: FilledSegment) -> None:
    tables = {Segment.name}
    report = mutate(segment_circuit(CANCUN), small_segment.traces, small_segment.public_lists, seed=1, tables=tables)
    assert not report.survivors, "\n".join(str(s) for s in report.survivors[:20])


@pytest.mark.deep
def test_no_cell_is_free(small_segment: FilledSegment) -> None:
    """Of the whole circuit; the tests of its modules do the same with the tables of one and many more rows."""
    report = mutate(
        segment_circuit(CANCUN), small_segment.traces, small_segment.public_lists, seed=1, rows_per_table=1
    )  # fmt: skip
    assert not report.survivors, "\n".join(str(s) for s in report.survivors[:20])


def test_the_engine_agrees(small_segment: FilledSegment) -> None:
    key = zkevm_native.keygen(segment_circuit(CANCUN).export(), 16)
    proof, _ = zkevm_native.prove(key, small_segment.traces, small_segment.public_lists, 2)
    verified = zkevm_native.verify(key.verifying_key(), proof)
    assert verified.public_values == small_segment.public_lists
    heights = [None if trace is None else len(trace).bit_length() - 1 for trace in small_segment.traces]
    assert verified.log_heights == heights
