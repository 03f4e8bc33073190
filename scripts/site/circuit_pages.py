"""The circuits as pages: every table with its columns, constraints and messages, and every bus with its argument."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from circuits.air.bus import Bus, BusKind
from circuits.air.layout import Column
from circuits.air.table import Table
from circuits.segment import segment_circuit
from executor.forks import OSAKA
from scripts.map import FAMILIES, Meeting, family_of, homes, meetings_of
from scripts.site.writing import code, plain, table

#: The latest fork that is proved: its circuit has the tables of all before it.
FORK = OSAKA


def families() -> dict[str, list[Table]]:
    """The tables of the circuit by the room they are in."""
    found: dict[str, list[Table]] = {name: [] for name in FAMILIES}
    for each in segment_circuit(FORK).tables:
        found[family_of(each)].append(each)
    return {name: sorted(tables, key=lambda t: t.name) for name, tables in found.items() if tables}


def tables_page(family: str, tables: list[Table]) -> str:
    """Markdown of the tables of a room."""
    title = family.capitalize()
    about = (
        f"The {len(tables)} tables of `circuits/{family}`" if family != "segment" else "The table of `circuits/segment`"
    )
    head = f"# {title}\n\n{about} in the circuit of {FORK.name.capitalize()}, from the code.\n"
    return "\n".join([head, *(_table(each) for each in tables)])


def buses_page() -> str:
    """Markdown of all buses."""
    ends: dict[Bus, list[tuple[Table, Meeting]]] = {}
    for each in segment_circuit(FORK).tables:
        for bus, meeting in meetings_of(each).items():
            ends.setdefault(bus, []).append((each, meeting))
    parts = [
        "# Buses\n",
        f"The {len(ends)} buses of the circuit of {FORK.name.capitalize()}, from the code. A balanced "
        "*permutation* says that what is sent is what is received, a balanced *lookup* that whatever is asked is "
        "answered by some row. The argument says why that means what it should. Tables of what is "
        "[carried](circuits/carry.md) from one part of a run to another speak on many buses and are left out here.\n",
    ]
    for bus in sorted(ends, key=lambda b: b.name):
        own = [(each, meeting) for each, meeting in ends[bus] if family_of(each) != "carry"] or ends[bus]
        out, back = ("asked by", "answered by") if bus.kind is BusKind.LOOKUP else ("sent by", "received by")
        parts.append(f"## {bus.name}\n")
        parts.append(f"A {bus.kind.value}, declared in `circuits/{homes()[bus.name]}`.\n")
        parts.append(plain(bus.argument) + "\n")
        fields = [(code(f.name), str(f.size), plain(f.meaning), plain(f.by)) for f in bus.fields]
        parts.append(table(("field", "elements", "meaning", "pinned by"), fields))
        ends_ = [
            (words, ", ".join(_link(t, "circuits/") for t, meeting in own if getattr(meeting, side)))
            for words, side in ((out, "out"), (back, "back"))
        ]
        parts.append(table(("", "tables"), ends_))
    return "\n".join(parts)


def _link(each: Table, folder: str = "") -> str:
    return f"[{each.name}]({folder}{family_of(each)}.md#{each.name})"


def _table(each: Table) -> str:
    about = inspect.getdoc(type(each)) or ""
    air, size = each.air, each.width
    messages = [
        (f"[{bus.name}](../buses.md#{bus.name})", bus.kind.value, str(meeting.out or ""), str(meeting.back or ""))
        for bus, meeting in sorted(meetings_of(each).items(), key=lambda m: m[0].name)
    ]
    names = list(dict.fromkeys(_general(constraint.name) for constraint in air.constraints))
    return "\n".join(
        [
            f"## {each.name}\n",
            plain(about) + "\n",
            f"{size:,} columns, {len(air.constraints):,} constraints, {len(air.interactions):,} interactions a row.\n",
            table(("column", "cells", "holds", "meaning", "pinned by"), _columns(each.layout, "")),
            table(("bus", "kind", "sends, asks", "receives, answers"), messages),
            '??? note "Constraints"\n\n' + "".join(f"    - {plain(name)}\n" for name in names) if names else "",
        ]
    )


def _general(name: str) -> str:
    """The name of a constraint that stands for those of all elements of a block."""
    return name.split("[")[0]


def _columns(layout: Any, prefix: str) -> Iterator[tuple[str, str, str, str, str]]:
    for name, part in layout.parts.items():
        if isinstance(part, Column):
            by = "an expression" if part.equals else part.by
            yield code(prefix + name), str(part.size), part.type.name.lower(), plain(part.doc), plain(by)
        else:
            kind = part.layout.__name__
            yield code(prefix + name), str(part.size), code(kind), plain(part.doc), f"`{kind}.constrain`"
