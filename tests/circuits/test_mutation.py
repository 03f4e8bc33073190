"""The mutation harness over the whole circuit: no cell, row or message of any table is the prover's to choose."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from circuits.air.circuit import Circuit
from circuits.air.mutation import MutationReport, mutate
from circuits.air.table import Table
from circuits.carry import LINK_TABLE, TABLES
from circuits.fields.listings import Listing
from circuits.segment import FilledSegment, fill, segment_circuit
from executor.forks import CANCUN, CIRCUIT_FORKS, OSAKA, PRAGUE, Fork
from scripts.batches import everything

#: Tables that only a part of a run has (`tests/soundness/test_cuts.py`, the campaign).
CARRIED = {table.name for table in (*TABLES, LINK_TABLE)}

#: Tables of the fast run. They are drawn by the circuit's digest: others after each change of the circuit.
SAMPLE = 3


@cache
def segment(*, waits: bool, fork: Fork = CANCUN) -> FilledSegment:
    """The segment of a batch that uses every table."""
    return fill(everything.execution(waits=waits, fork=fork))


def report(tables: set[str] | None, rows: int, seed: int, *, waits: bool, fork: Fork = CANCUN) -> MutationReport:
    filled = segment(waits=waits, fork=fork)
    circuit = segment_circuit(fork)
    return mutate(circuit, filled.traces, filled.public_lists, rows_per_table=rows, seed=seed, tables=tables)


def absent(filled: FilledSegment) -> set[str]:
    """Tables without rows."""
    return {table.name for table, trace in zip(filled.circuit.tables, filled.traces, strict=True) if trace is None}


def test_some_tables() -> None:
    circuit = segment_circuit(CANCUN)
    assert absent(segment(waits=False)) == {"stack_refresh", "memory_refresh", *CARRIED}
    seed = int(circuit.digest, 16) % (1 << 32)
    present = sorted(set(circuit.names) - absent(segment(waits=False)))
    tables = set(np.random.default_rng(seed).choice(present, SAMPLE, replace=False).tolist())
    found = report(tables, 1, seed, waits=False)
    assert found.survivors == [], str(found)
    assert set(found.coverage) == tables


def _digest(table: Table) -> str:
    return Circuit("one", [table]).digest


def _own_tables(fork: Fork) -> set[str]:
    """Tables that differ from those of the fork before, listings left out."""
    forks = list(CIRCUIT_FORKS.values())
    before = {t.name: t for t in segment_circuit(forks[forks.index(fork) - 1]).tables}
    tables = [t for t in segment_circuit(fork).tables if not isinstance(t, Listing)]
    return {t.name for t in tables if t.name not in before or _digest(t) != _digest(before[t.name])}


@pytest.mark.deep
@pytest.mark.parametrize("fork", [PRAGUE, OSAKA], ids=lambda fork: fork.name)
def test_tables_of_later_forks(fork: Fork) -> None:
    """Those that the fork has changed or added."""
    filled = segment(waits=False, fork=fork)
    own = _own_tables(fork) - absent(filled)
    expected = {"account_query", "call", "extcodecopy", "field_calls", "selfdestruct", "transaction"}
    expected |= {"call_delegated", "call_delegated_stopped"} | ({"system_call"} if fork == PRAGUE else set())
    assert expected | ({"clz", "modexp"} if fork == OSAKA else {"authorization", "delegation", "part_prices"}) <= own
    found = report(own, 2, 1, waits=False, fork=fork)
    assert found.survivors == [], str(found)
    assert set(found.coverage) == own


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(3))
def test_all_tables(seed: int) -> None:
    found = report(None, 5, seed, waits=True)
    assert absent(segment(waits=True)) == CARRIED
    assert found.survivors == [], str(found)
    assert set(found.coverage) == set(segment_circuit(CANCUN).names)
    # Cells of padding and declared ones are few: mutations are rejected, not excused.
    for name, coverage in found.coverage.items():
        assert coverage.rejected > 0, name
        assert coverage.real_rows > 0, name
