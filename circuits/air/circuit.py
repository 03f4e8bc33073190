"""Circuits: an ordered set of tables, its export to the engine, its statistics and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from circuits.air.bus import Bus
from circuits.air.table import Table

#: The engine's bound on the degree of constraints, message fields and counts.
MAX_DEGREE = 3


@dataclass(frozen=True)
class TableStatistics:
    """The exact size of a table; cells and interactions of a trace are these times its height."""

    name: str
    columns: int
    constraints: int
    interactions: int
    degree: int

    def cells(self, height: int) -> int:
        """Cells of a trace, padding included."""
        return self.columns * height

    def messages(self, height: int) -> int:
        """Interactions of a trace, padding included."""
        return self.interactions * height


class Circuit:
    """Tables in the order of the proving key."""

    def __init__(self, name: str, tables: Sequence[Table]) -> None:
        self.name = name
        self.tables = tuple(tables)
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError(f"table names must differ: {names}")
        buses: dict[int, Bus] = {}
        for table in self.tables:
            for interaction in table.air.interactions:
                bus = interaction.bus
                known = buses.setdefault(bus.index, bus)
                if known is not bus and known != bus:
                    raise ValueError(f"buses {buses[bus.index].name} and {bus.name} differ and share index {bus.index}")

    @property
    def names(self) -> list[str]:
        """Table names in key order."""
        return [t.name for t in self.tables]

    @cached_property
    def statistics(self) -> list[TableStatistics]:
        """Statistics of every table, in key order.

        Raises:
            ValueError: a constraint or an interaction exceeds `MAX_DEGREE`.
        """
        return [_statistics(t) for t in self.tables]

    @cached_property
    def exported(self) -> str:
        """The circuit as the engine reads it: a JSON document of expression graphs, constraints and interactions."""
        self.statistics  # noqa: B018 - refuses too high degrees before they reach the engine
        return json.dumps({"tables": [_export(t) for t in self.tables]}, separators=(",", ":"))

    def export(self) -> str:
        """See `exported`."""
        return self.exported

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the exported circuit and the declarations of its buses and columns.

        Changes whenever a constraint, a column, a bus layout or the order of tables does.
        """
        buses = {i.bus.index: i.bus for t in self.tables for i in t.air.interactions}
        declared = [
            [b.index, b.name, b.kind.value, [[f.name, f.size] for f in b.fields]] for _, b in sorted(buses.items())
        ]
        columns = [[c.name for c in t.layout.cells()] for t in self.tables]
        content = json.dumps([self.exported, declared, columns], separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()


def _statistics(table: Table) -> TableStatistics:
    air = table.air
    degree = 0
    for constraint in air.constraints:
        if constraint.expression.degree > MAX_DEGREE:
            raise ValueError(f"{table.name}: {constraint.name} has degree {constraint.expression.degree}")
        degree = max(degree, constraint.expression.degree)
    degrees = air.graph.degrees
    for interaction in air.interactions:
        worst = max(degrees[e.index] for e in (interaction.count, *interaction.message))
        if worst > MAX_DEGREE:
            raise ValueError(f"{table.name}: an interaction with {interaction.bus.name} has degree {worst}")
        degree = max(degree, worst)
    return TableStatistics(table.name, table.width, len(air.constraints), len(air.interactions), degree)


def _export(table: Table) -> dict[str, Any]:
    air = table.air
    return {
        "name": table.name,
        "width": table.width,
        "public_values": table.public.width,
        "nodes": [part for node in air.graph.nodes for part in node],
        "constraints": [c.expression.index for c in air.constraints],
        "interactions": [
            {
                "bus": i.bus.index,
                "count": i.count.index,
                "fields": [e.index for e in i.message],
                "weight": i.weight,
            }
            for i in air.interactions
        ],
    }
