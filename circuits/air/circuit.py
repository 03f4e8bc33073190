"""Circuits: an ordered set of tables, its export to the engine, its statistics and its digest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from circuits.air.bus import Bus
from circuits.air.expression import Op
from circuits.air.table import Table

#: The engine's bound on the degree of constraints, message fields and counts.
MAX_DEGREE = 3


@dataclass(frozen=True)
class InteractionKind:
    """So many interactions of a table that only differ in what they say.

    Attributes:
        bus: index of the bus.
        width: elements of a message.
        weight: of each in the engine's bound on counts.
        provides: whether they answer lookups.
    """

    bus: int
    width: int
    weight: int
    provides: bool
    number: int


@dataclass(frozen=True)
class TableStatistics:
    """The exact size of a table; cells and interactions of a trace are these times its height.

    Attributes:
        distinct: constraints that differ in more than their names.
        uses_next: whether anything refers to the next row.
    """

    name: str
    columns: int
    public_values: int
    constraints: int
    distinct: int
    degree: int
    uses_next: bool
    kinds: tuple[InteractionKind, ...]

    @property
    def interactions(self) -> int:
        """Of a row."""
        return sum(kind.number for kind in self.kinds)

    @property
    def asks(self) -> frozenset[int]:
        """Buses on which anything is asked, sent or received."""
        return frozenset(kind.bus for kind in self.kinds if kind.weight)

    def cells(self, height: int) -> int:
        """Cells of a trace, padding included."""
        return self.columns * height

    def messages(self, height: int) -> int:
        """Interactions of a trace, padding included."""
        return self.interactions * height


@dataclass(frozen=True)
class Description:
    """What plans and keys need to know of a circuit: neither needs its expressions.

    Attributes:
        digest: `Circuit.digest`.
        tables: `Circuit.statistics`.
    """

    digest: str
    tables: tuple[TableStatistics, ...]

    def to_document(self) -> dict[str, Any]:
        """Of dictionaries, lists, texts and numbers."""
        return asdict(self)

    @staticmethod
    def of_document(document: Any) -> Description:
        """The inverse of `to_document`. Raises `TypeError` or `KeyError` for anything else."""
        tables = [
            TableStatistics(**{**table, "kinds": tuple(InteractionKind(**kind) for kind in table["kinds"])})
            for table in document["tables"]
        ]
        return Description(document["digest"], tuple(tables))


class Circuit:
    """Tables in the order of the proving key."""

    def __init__(self, name: str, tables: Sequence[Table], description: Description | None = None) -> None:
        """A circuit of these tables.

        Args:
            name: for people.
            tables: in the order of the key.
            description: of the same circuit, where it is known: expressions are only made when they are needed.

        Raises:
            ValueError: two tables have the same name, two buses the same index, or other tables are described.
        """
        self.name = name
        self.tables = tuple(tables)
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError(f"table names must differ: {names}")
        self._description = description
        if description is not None:
            if names != [table.name for table in description.tables]:
                raise ValueError("other tables are described")
            return
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
        if self._description is not None:
            return list(self._description.tables)
        return [table_statistics(t) for t in self.tables]

    @cached_property
    def exported(self) -> str:
        """The circuit as the engine reads it: a JSON document of expression graphs, constraints and interactions."""
        for table in self.tables:
            table_statistics(table)  # refuses too high degrees before they reach the engine
        return json.dumps({"tables": [_export(t) for t in self.tables]}, separators=(",", ":"))

    def export(self) -> str:
        """See `exported`."""
        return self.exported

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the exported circuit and the declarations of its buses and columns.

        Changes whenever a constraint, a column, a bus layout or the order of tables does.
        """
        if self._description is not None:
            return self._description.digest
        buses = {i.bus.index: i.bus for t in self.tables for i in t.air.interactions}
        declared = [
            [b.index, b.name, b.kind.value, [[f.name, f.size] for f in b.fields]] for _, b in sorted(buses.items())
        ]
        columns = [[c.name for c in t.layout.cells()] for t in self.tables]
        content = json.dumps([self.exported, declared, columns], separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    @cached_property
    def description(self) -> Description:
        """What others need to know of it."""
        return Description(self.digest, tuple(self.statistics))


def table_statistics(table: Table) -> TableStatistics:
    """Statistics of a table. Raises `ValueError` if a constraint or an interaction exceeds `MAX_DEGREE`."""
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
    kinds = Counter((i.bus.index, len(i.message), i.weight, i.provides) for i in air.interactions)
    return TableStatistics(
        table.name,
        table.width,
        table.public.width,
        constraints=len(air.constraints),
        distinct=len({c.expression.index for c in air.constraints}),
        degree=degree,
        uses_next=any(op == Op.NEXT for op, _, _ in air.nodes),
        kinds=tuple(InteractionKind(*kind, number) for kind, number in sorted(kinds.items())),
    )


def _export(table: Table) -> dict[str, Any]:
    air = table.air
    return {
        "name": table.name,
        "width": table.width,
        "public_values": table.public.width,
        "nodes": [part for node in air.nodes for part in node],
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
