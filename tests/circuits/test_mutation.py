"""The mutation harness over the whole circuit: no cell, row or message of any table is the prover's to choose."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from circuits.air.mutation import MutationReport, mutate
from circuits.segment import FilledSegment, fill, segment_circuit
from executor.forks import CANCUN
from scripts.batches import everything

#: Tables of the fast run. They are drawn by the circuit's digest: others after each change of the circuit.
SAMPLE = 6


@cache
def segment(*, waits: bool) -> FilledSegment:
    """The segment of a batch that uses every table."""
    return fill(everything.execution(waits=waits))


def report(tables: set[str] | None, rows: int, seed: int, *, waits: bool) -> MutationReport:
    filled = segment(waits=waits)
    circuit = segment_circuit(CANCUN)
    return mutate(circuit, filled.traces, filled.public_lists, rows_per_table=rows, seed=seed, tables=tables)


def absent(filled: FilledSegment) -> set[str]:
    """Tables without rows."""
    return {
        table.name for table, trace in zip(segment_circuit(CANCUN).tables, filled.traces, strict=True) if trace is None
    }


def test_some_tables() -> None:
    circuit = segment_circuit(CANCUN)
    assert absent(segment(waits=False)) == {"stack_refresh", "memory_refresh"}
    seed = int(circuit.digest, 16) % (1 << 32)
    present = sorted(set(circuit.names) - absent(segment(waits=False)))
    tables = set(np.random.default_rng(seed).choice(present, SAMPLE, replace=False).tolist())
    found = report(tables, 2, seed, waits=False)
    assert found.survivors == [], str(found)
    assert set(found.coverage) == tables


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(3))
def test_all_tables(seed: int) -> None:
    found = report(None, 5, seed, waits=True)
    assert absent(segment(waits=True)) == set()
    assert found.survivors == [], str(found)
    assert set(found.coverage) == set(segment_circuit(CANCUN).names)
    # Cells of padding and declared ones are few: mutations are rejected, not excused.
    for name, coverage in found.coverage.items():
        assert coverage.rejected > 0, name
        assert coverage.real_rows > 0, name
