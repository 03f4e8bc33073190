"""The tables of the field machine by themselves, around instances of programs."""

from __future__ import annotations

from collections.abc import Sequence

from circuits.air.circuit import Circuit
from circuits.air.field import Matrix
from circuits.air.queries import queries
from circuits.air.table import Table
from circuits.fields import machine
from circuits.fields.buses import PROGRAM_LISTED
from circuits.fields.listings import Listed, listings, messages_of
from circuits.functions import bitwise_bytes
from circuits.functions import range as range_table
from circuits.functions.buses import BITWISE_BYTES
from circuits.programs.precompiles import Precompile
from circuits.programs.program import Program, Variant
from circuits.programs.runs import Request, Runs
from tests.circuits.family import closed


def tables_of(runs: Runs, programs: Sequence[Program]) -> tuple[list[Table], list[Matrix | None]]:
    """The machine's tables, filled, with those that they ask."""
    tables: list[Table] = []
    traces: list[Matrix | None] = []
    for table, fill in machine.TABLES:
        tables.append(table)
        traces.append(fill(runs))
    variants = tuple(Variant(program) for program in programs)
    precompile = Precompile(1, (0, 0), lambda: variants, lambda data: [])
    messages = [m for variant in variants for m in messages_of(precompile, variant)]
    # No table of instances asks which programs there are.
    for listing in listings(1, Listed.of([m for m in messages if m.bus is not PROGRAM_LISTED])):
        tables.append(listing)
        traces.append(listing.fill(runs))
    asking = [(t, m) for t, m in zip(tables, traces, strict=True) if m is not None]
    tables += [bitwise_bytes.BitwiseBytes(), range_table.RANGE_15, range_table.RANGE_16]
    traces.append(bitwise_bytes.fill(queries(BITWISE_BYTES, asking)))
    traces += [t.fill(queries(t.bus, asking)[:, 0]) for t in (range_table.RANGE_15, range_table.RANGE_16)]
    return tables, traces


def circuit_of(requests: Sequence[Request], programs: Sequence[Program]) -> tuple[Circuit, list[Matrix | None]]:
    """A circuit of the machine in which these run, and whatever starts them and serves their words."""
    tables, traces = tables_of(Runs(requests), programs)
    return closed(tables, traces)
