"""What a campaign has changed, and who rejected it: tables, columns, constraints and bus fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table as RichTable

from circuits.air.circuit import Circuit
from circuits.air.mutation.judge import COUNT, Objection
from circuits.air.table import Table

#: Attacks, by what they change.
ATTACKS = ("lies", "cells", "witnesses", "crossings")


@dataclass
class Coverage:
    """Counts of what happened; sums of two are made by `add`.

    Attributes:
        batches: that were attacked.
        seconds: of work, over all processes.
        tried: changes by attack.
        untellable, nothing: lies that no tables can be filled from, and lies that say nothing new.
        columns: times that a column (table, name) was changed.
        among: times that somebody was one of those who rejected a change whose objections were all noted.
        sole: times that somebody was the only one.
    """

    batches: int = 0
    seconds: float = 0.0
    tried: Counter[str] = field(default_factory=Counter)
    untellable: int = 0
    nothing: int = 0
    columns: Counter[tuple[str, str]] = field(default_factory=Counter)
    among: Counter[Objection] = field(default_factory=Counter)
    sole: Counter[Objection] = field(default_factory=Counter)

    def object(self, objections: Iterable[Objection]) -> None:
        """Note who rejected one change."""
        found = set(objections)
        self.among.update(found)
        if len(found) == 1:
            self.sole.update(found)

    def add(self, other: Coverage) -> None:
        """Add what another one has seen."""
        self.batches += other.batches
        self.seconds += other.seconds
        self.untellable += other.untellable
        self.nothing += other.nothing
        for name in ("tried", "columns", "among", "sole"):
            getattr(self, name).update(getattr(other, name))

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "batches": self.batches,
            "seconds": self.seconds,
            "tried": dict(self.tried),
            "untellable": self.untellable,
            "nothing": self.nothing,
            "columns": [[*key, count] for key, count in sorted(self.columns.items())],
            "among": [[*key, count] for key, count in sorted(self.among.items())],
            "sole": [[*key, count] for key, count in sorted(self.sole.items())],
        }

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> Coverage:
        """The inverse of `document`."""
        return cls(
            document["batches"],
            document["seconds"],
            Counter(document["tried"]),
            document["untellable"],
            document["nothing"],
            Counter({(table, name): count for table, name, count in document["columns"]}),
            *(
                Counter({Objection(table, name, tuple(fields)): count for table, name, fields, count in document[kind]})
                for kind in ("among", "sole")
            ),
        )


@dataclass(frozen=True)
class Row:
    """A table's line in the coverage table: pairs (reached, all); of rejecting ones also how often alone."""

    name: str
    columns: tuple[int, int]
    constraints: tuple[int, int, int]  # alone, among others, all
    fields: tuple[int, int, int]


#: Headings of the coverage table.
HEADINGS = ("table", "columns changed", "constraints: alone", "ever", "of", "bus fields: alone", "ever", "of")


def rows(coverage: Coverage, circuit: Circuit) -> list[Row]:
    """The coverage of every table; a bus field is a field of a bus that the table has messages on, or their count."""
    return [_row(coverage, table) for table in circuit.tables]


def _row(coverage: Coverage, table: Table) -> Row:
    columns = set(table.layout.names())
    changed = {name for owner, name in coverage.columns if owner == table.name and name in columns}
    constraints = {constraint.name for constraint in table.air.constraints}
    fields = bus_fields(table)
    reached = []
    for counts, alone in ((coverage.sole, True), (coverage.among, False)):
        own = [objection for objection in counts if objection.table == table.name]
        reached.append(
            (
                len({o.name for o in own if not o.fields} & constraints),
                # Of several fields that changed at once none is the one to reject.
                len({(o.name, f) for o in own if len(o.fields) == 1 or not alone for f in o.fields} & fields),
            )
        )
    (sole_constraints, sole_fields), (ever_constraints, ever_fields) = reached
    return Row(
        table.name,
        (len(changed), len(columns)),
        (sole_constraints, ever_constraints, len(constraints)),
        (sole_fields, ever_fields, len(fields)),
    )


def bus_fields(table: Table) -> set[tuple[str, str]]:
    """Pairs (bus, field) that a change of this table's cells can alter, the counts of messages included."""
    found: set[tuple[str, str]] = set()
    for interaction in table.air.interactions:
        names = [f.name for f in interaction.bus.fields for _ in range(f.size)]
        spoken = [*zip(names, interaction.message, strict=True), (COUNT, interaction.count)]
        found |= {(interaction.bus.name, name) for name, expression in spoken if expression.value is None}
    return found


def missing(coverage: Coverage, circuit: Circuit) -> dict[str, list[str]]:
    """Constraints and bus fields of each table that never rejected anything."""
    found = {}
    for table in circuit.tables:
        own = [objection for objection in coverage.among if objection.table == table.name]
        objecting = {o.name for o in own if not o.fields}
        spoken = {(o.name, f) for o in own for f in o.fields}
        names = [c.name for c in table.air.constraints if c.name not in objecting]
        names += [f"{bus}.{f}" for bus, f in sorted(bus_fields(table) - spoken)]
        if names:
            found[table.name] = list(dict.fromkeys(names))
    return found


def totals(lines: Iterable[Row]) -> Row:
    """The sum of all tables."""
    lines = list(lines)
    return Row(
        "all",
        tuple(sum(part) for part in zip(*(line.columns for line in lines), strict=True)),
        tuple(sum(part) for part in zip(*(line.constraints for line in lines), strict=True)),
        tuple(sum(part) for part in zip(*(line.fields for line in lines), strict=True)),
    )


def rich_table(coverage: Coverage, circuit: Circuit) -> RichTable:
    """The coverage table for a terminal."""
    table = RichTable(title="Coverage: who rejected a change, alone or with others")
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="right" if number else "left")
    lines = rows(coverage, circuit)
    for line in lines:
        table.add_row(*_cells(line))
    table.add_section()
    table.add_row(*_cells(totals(lines)))
    return table


def markdown_table(coverage: Coverage, circuit: Circuit) -> str:
    """The coverage table for the documentation."""
    lines = rows(coverage, circuit)
    text = [HEADINGS, ["---"] + ["---:"] * (len(HEADINGS) - 1), *map(_cells, lines), _cells(totals(lines))]
    return "\n".join("| " + " | ".join(line) + " |" for line in text) + "\n"


def _cells(line: Row) -> list[str]:
    changed, columns = line.columns
    return [line.name, f"{changed:,} of {columns:,}", *(f"{n:,}" for n in (*line.constraints, *line.fields))]
