"""Maps of what is proved, as SVG: all tables and buses of a workload, and its segments.

    python -m scripts.map erc20 --out docs/images/map.svg
    python -m scripts.map erc20 --segments 25 --out docs/images/segments.svg

The first one has a row for each table that the workload needs, grouped by rooms of `circuits/`, and a column for each
bus on which they meet, grouped by the room that declares it. The second one has a bar for each segment of so many
operations. All figures are exact: the tables are filled, padding included, and nothing depends on the machine.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

import typer

import circuits
from circuits.air.bus import Bus, BusKind
from circuits.air.expression import Expression, Op
from circuits.air.field import MODULUS
from circuits.air.table import Table
from circuits.batch.execution import Batch, Execution
from circuits.segment import fill
from executor.execute import execute
from executor.inputs import read_batch
from executor.provable import check_provable
from prover.costs import TableCost, costs_of, total, weight

EXAMPLES = Path(__file__).parents[1] / "examples"

#: Rooms of `circuits/` that have tables, as one reads about them: what is done, what it is done to, how it is proved.
FAMILIES = (
    "segment",
    "transactions",
    "instructions",
    "precompiles",
    "frames",
    "memory",
    "state",
    "modexp",
    "fields",
    "functions",
    "carry",
)

# Sizes, pixels.
_ROW, _COLUMN, _GAP = 17, 16, 9
_LEFT, _TOP, _FIGURES, _MARGIN = 150, 118, 300, 12

#: Colours by what they are for. A page that has a switch for light and dark sets them itself.
_STYLE = """
.zk{--ground:#fff;--ink:#1b1f2a;--quiet:#5c6478;--line:#e3e6ee;--band:#f5f6fa;--mark:#3949ab;--second:#c2571a}
@media (prefers-color-scheme:dark){.zk{--ground:#14161d;--ink:#e8eaf2;--quiet:#a3abc0;--line:#2b303d;--band:#1b1e27;\
--mark:#93a5ff;--second:#f0a163}}
.zk .ground{fill:var(--ground)}.zk .band{fill:var(--band)}.zk .line{stroke:var(--line);stroke-width:1}
.zk text{font:11px system-ui,sans-serif;fill:var(--ink)}.zk .quiet{fill:var(--quiet)}
.zk .head{font-weight:600}.zk .title{font-size:15px;font-weight:600}.zk .number{font-variant-numeric:tabular-nums}
.zk .full{fill:var(--mark)}.zk .ring{fill:none;stroke:var(--mark);stroke-width:1.5}.zk .second{fill:var(--second)}
.zk g.cell:hover .full,.zk g.cell:hover .ring{opacity:.6}
""".replace("\n", "")


@dataclass(frozen=True)
class Meeting:
    """What a table has to do with a bus.

    Attributes:
        out: interactions of a row that send, or ask.
        back: those that receive, or provide.
    """

    out: int
    back: int

    @property
    def all(self) -> int:
        """Of a row."""
        return self.out + self.back


def family_of(table: Table) -> str:
    """The room of `circuits/` that a table is in."""
    return type(table).__module__.split(".")[1]


def meetings_of(table: Table) -> dict[Bus, Meeting]:
    """All buses that a table has interactions with.

    `Air` negates the count of what is received or provided. What is carried to another part of a run, by tables of
    `circuits.carry`, has a count of either sign: here it is sent.
    """
    found: dict[Bus, list[int]] = {}
    for interaction in table.air.interactions:
        found.setdefault(interaction.bus, [0, 0])[_is_negated(interaction.count)] += 1
    return {bus: Meeting(*numbers) for bus, numbers in found.items()}


def _is_negated(count: Expression) -> bool:
    if (value := count.value) is not None:
        return value > MODULUS // 2
    return count.graph.nodes[count.index][0] == Op.NEG


@cache
def homes() -> Mapping[str, str]:
    """The room of `circuits/` that declares each bus, by the bus's name."""
    found: dict[str, str] = {}
    for module in pkgutil.walk_packages(circuits.__path__, "circuits."):
        room = module.name.split(".")[1]
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Bus):
                # Modules import the buses of rooms below them: the lowest room that has a bus declares it.
                known = found.setdefault(value.name, room)
                found[value.name] = max(known, room, key=_DEPTH.index)
    return found


#: Rooms of `circuits/` from those that import others to those that are imported.
_DEPTH = (
    "parts",
    "segment",
    "fields",
    "precompiles",
    "modexp",
    "carry",
    "instructions",
    "transactions",
    "frames",
    "state",
    "memory",
    "component",
    "batch",
    "programs",
    "hashing",
    "statement",
    "functions",
    "air",
    "limbs",
    "widths",
)


def read(workload: str) -> Batch:
    """The batch of an example, executed.

    Raises:
        BatchError, UnsupportedFeature: there is no such example, or it cannot be proved.
    """
    return Batch.of(check_provable(execute(read_batch([EXAMPLES / f"{workload}.json"]))))


# Drawing.


class Drawing:
    """An SVG with a title and a description for those who do not see it."""

    def __init__(self, width: float, height: float, title: str, description: str) -> None:
        self._root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "class": "zk",
                "role": "img",
                "aria-labelledby": "map-title map-about",
                "viewBox": f"0 0 {width:g} {height:g}",
                "width": f"{width:g}",
                "height": f"{height:g}",
            },
        )
        self._add("title", id="map-title").text = title
        self._add("desc", id="map-about").text = description
        self._add("style").text = _STYLE
        self.box(0, 0, width, height, "ground")

    def _add(self, tag: str, parent: ElementTree.Element | None = None, **attributes: str) -> ElementTree.Element:
        named = {name.replace("_", "-"): value for name, value in attributes.items()}
        return ElementTree.SubElement(self._root if parent is None else parent, tag, named)

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start", turned: bool = False) -> None:
        """Words at a place, from there upwards where they are turned."""
        element = self._add("text", x=f"{x:g}", y=f"{y:g}", text_anchor=anchor)
        if turned:
            element.set("transform", f"rotate(-90 {x:g} {y:g})")
        if kind:
            element.set("class", kind)
        element.text = words

    def box(self, x: float, y: float, width: float, height: float, kind: str, note: str = "") -> None:
        """A rectangle, with words for who points at it."""
        made = self._add("rect", x=f"{x:g}", y=f"{y:g}", width=f"{width:.4g}", height=f"{height:g}")
        made.set("class", kind)
        if note:
            self._add("title", made).text = note

    def line(self, x: float, y: float, to_x: float, to_y: float) -> None:
        """A thin line."""
        self._add("line", x1=f"{x:g}", y1=f"{y:g}", x2=f"{to_x:g}", y2=f"{to_y:g}").set("class", "line")

    def mark(self, x: float, y: float, radius: float, kind: BusKind, meeting: Meeting, note: str) -> None:
        """What a table does on a bus: full where it sends or asks, a ring where it receives or answers, square on
        lookups.
        """
        group = self._add("g")
        group.set("class", "cell")
        self._add("title", group).text = note
        inner = radius if not meeting.back else radius - 2.5
        if meeting.back:
            self._shape(group, x, y, radius, kind, "ring")
        if meeting.out:
            self._shape(group, x, y, inner, kind, "full")

    def _shape(self, group: ElementTree.Element, x: float, y: float, radius: float, kind: BusKind, name: str) -> None:
        if kind is BusKind.PERMUTATION:
            made = self._add("circle", group, cx=f"{x:g}", cy=f"{y:g}", r=f"{radius:g}")
        else:
            side = f"{2 * radius:g}"
            made = self._add("rect", group, x=f"{x - radius:g}", y=f"{y - radius:g}", width=side, height=side)
        made.set("class", name)

    def __str__(self) -> str:
        ElementTree.indent(self._root, " ")
        return ElementTree.tostring(self._root, encoding="unicode") + "\n"


# The map.


def tables_and_buses(workload: str) -> str:
    """All tables that a workload needs as one segment, and the buses on which they meet.

    Raises:
        BatchError, UnsupportedFeature.
    """
    batch = read(workload)
    filled = fill(Execution(batch, 0, len(batch.operations)))
    costs = costs_of(filled)
    present = {cost.name: cost for cost in costs.tables}
    families: dict[str, list[tuple[TableCost, dict[Bus, Meeting]]]] = {name: [] for name in FAMILIES}
    met: dict[str, tuple[Bus, int]] = {}
    for table in sorted(filled.circuit.tables, key=lambda t: _order(present.get(t.name))):
        if (cost := present.get(table.name)) is not None:
            meetings = meetings_of(table)
            families[family_of(table)].append((cost, meetings))
            for bus, meeting in meetings.items():
                met[bus.name] = (bus, met.get(bus.name, (bus, 0))[1] + meeting.all * cost.height)
    families = {name: rows for name, rows in families.items() if rows}
    rooms: dict[str, list[tuple[Bus, int]]] = {}
    for room in (*FAMILIES, "air"):
        own = sorted((b for b in met.values() if homes()[b[0].name] == room), key=lambda b: (-b[1], b[0].name))
        # The range checks are declared below all rooms, with the circuit language.
        rooms.setdefault("functions" if room == "air" else room, []).extend(own)
    rooms = {name: buses for name, buses in rooms.items() if buses}
    return _draw(workload, costs.cells, costs.messages, families, rooms)


def _order(cost: TableCost | None) -> float:
    return -weight(cost.cells, cost.messages) if cost else 0.0


def _draw(
    workload: str,
    cells: int,
    messages: int,
    families: Mapping[str, Sequence[tuple[TableCost, dict[Bus, Meeting]]]],
    rooms: Mapping[str, Sequence[tuple[Bus, int]]],
) -> str:
    tables, buses = sum(map(len, families.values())), sum(map(len, rooms.values()))
    across = buses * _COLUMN + len(rooms) * _GAP
    width = _MARGIN + _LEFT + across + _FIGURES + _MARGIN
    top = _MARGIN + 52 + _TOP
    height = top + tables * _ROW + len(families) * (_ROW + _GAP) + 88 + _MARGIN
    drawing = Drawing(
        width,
        height,
        f"Tables and buses of {workload}",
        f"{tables} tables in {len(families)} families, which meet on {buses} buses: {cells:,} cells, {messages:,} "
        "interactions, padding included. A row for each table, a column for each bus, and a mark where they meet.",
    )
    left = _MARGIN + _LEFT
    drawing.text(_MARGIN, _MARGIN + 16, f"{workload}: {tables} tables, {buses} buses", "title")
    drawing.text(_MARGIN, _MARGIN + 34, f"{cells:,} cells, {messages:,} interactions, padding included", "quiet")
    _legend(drawing, left + 190, _MARGIN + 12)
    # Columns.
    at: dict[str, float] = {}
    x = left
    for room, own in rooms.items():
        drawing.text(x + 2, _MARGIN + 58, room if len(own) > 2 else "", "quiet")
        drawing.line(x - _GAP / 2, _MARGIN + 62, x - _GAP / 2, height - _MARGIN)
        for bus, _ in own:
            at[bus.name] = x + _COLUMN / 2
            drawing.text(x + _COLUMN / 2 + 4, top - 8, bus.name, turned=True)
            x += _COLUMN
        x += _GAP
    figures = left + across
    for column, words in ((66, "rows"), (130, "cells"), (206, "interactions")):
        drawing.text(figures + column, top - 8, words, "quiet", "end")
    # Rows.
    largest = max(weight(cost.cells, cost.messages) for own in families.values() for cost, _ in own)
    y = float(top)
    for family, tables_ in families.items():
        y += _GAP
        sums = [sum(cost.cells for cost, _ in tables_), sum(cost.messages for cost, _ in tables_)]
        drawing.box(0, y, width, _ROW, "band")
        drawing.text(_MARGIN, y + 12.5, family, "head")
        drawing.text(figures + 130, y + 12.5, f"{sums[0]:,}", "head number", "end")
        drawing.text(figures + 206, y + 12.5, f"{sums[1]:,}", "head number", "end")
        y += _ROW
        for cost, meetings in tables_:
            drawing.text(_MARGIN + 8, y + 12.5, cost.name)
            drawing.line(_MARGIN + 8, y + _ROW, width - _MARGIN, y + _ROW)
            for bus, meeting in meetings.items():
                number = meeting.all * cost.height
                radius = 3 + min(4.0, 0.7 * len(str(number)) - 0.7)
                drawing.mark(at[bus.name], y + _ROW / 2, radius, bus.kind, meeting, _note(cost, bus, meeting))
            for column, number in ((66, cost.height), (130, cost.cells), (206, cost.messages)):
                drawing.text(figures + column, y + 12.5, f"{number:,}", "number", "end")
            _bar(drawing, figures + 214, y, cost, largest)
            y += _ROW
    # What is said on each bus.
    y += 6
    drawing.text(left - _GAP, y + 12, "interactions", "quiet", "end")
    for own in rooms.values():
        for bus, number in own:
            drawing.text(at[bus.name] + 4, y + 72, f"{number:,}", "quiet number", turned=True)
    return str(drawing)


def _bar(drawing: Drawing, x: float, y: float, cost: TableCost, largest: float) -> None:
    """Cells and interactions of a table, in cell equivalents."""
    scale = (_FIGURES - 214 - _MARGIN) / largest
    own, other = cost.cells * scale, weight(0, cost.messages) * scale
    drawing.box(x, y + 4, own, _ROW - 8, "full", f"{cost.name}: {cost.cells:,} cells")
    drawing.box(x + own, y + 4, other, _ROW - 8, "second", f"{cost.name}: {cost.messages:,} interactions")


def _legend(drawing: Drawing, x: float, y: float) -> None:
    for words, kind, meeting in (
        ("sends", BusKind.PERMUTATION, Meeting(1, 0)),
        ("receives", BusKind.PERMUTATION, Meeting(0, 1)),
        ("both", BusKind.PERMUTATION, Meeting(1, 1)),
        ("asks", BusKind.LOOKUP, Meeting(1, 0)),
        ("answers", BusKind.LOOKUP, Meeting(0, 1)),
    ):
        drawing.mark(x, y, 5.5, kind, meeting, words)
        drawing.text(x + 10, y + 4, words)
        x += 26 + 6.5 * len(words)
    drawing.box(x + 6, y - 4, 18, 9, "full")
    drawing.text(x + 28, y + 4, "cells")
    drawing.box(x + 66, y - 4, 18, 9, "second")
    drawing.text(x + 88, y + 4, "interactions, as 6.5 cells each")


def _note(cost: TableCost, bus: Bus, meeting: Meeting) -> str:
    out, back = ("asks", "answers") if bus.kind is BusKind.LOOKUP else ("sends", "receives")
    words = [f"{out} {meeting.out}"] * (meeting.out > 0) + [f"{back} {meeting.back}"] * (meeting.back > 0)
    return f"{cost.name} on {bus.name}: {' and '.join(words)} a row, {meeting.all * cost.height:,} in all"


# Segments.


def segments(workload: str, operations: int) -> str:
    """The segments of a workload, of so many operations each: what they cost, and what goes on from one to the next.

    Raises:
        BatchError, UnsupportedFeature.
    """
    batch = read(workload)
    ends = [*range(0, len(batch.operations), operations), len(batch.operations)]
    found = [fill(Execution(batch, first, end)) for first, end in pairwise(ends)]
    costs = [costs_of(filled) for filled in found]
    rooms = {t.name: family_of(t) for filled in found for t in filled.circuit.tables}
    largest = max(weight(cost.cells, cost.messages) for cost in costs)
    cells, messages = total(costs).cells, total(costs).messages
    width, row, left, across = 900, 74, 170, 560
    height = 78 + row * len(costs) + 20
    drawing = Drawing(
        width,
        height,
        f"Segments of {workload}",
        f"{len(batch.operations)} operations in {len(costs)} segments: {cells:,} cells, {messages:,} interactions, "
        "padding included. A bar for each segment, divided by the families of its tables.",
    )
    drawing.text(_MARGIN, _MARGIN + 16, f"{workload}: {len(costs)} segments of {operations} operations", "title")
    drawing.text(_MARGIN, _MARGIN + 34, f"{cells:,} cells, {messages:,} interactions, padding included", "quiet")
    for number, ((first, end), cost) in enumerate(zip(pairwise(ends), costs, strict=True)):
        y = 66 + number * row
        drawing.text(_MARGIN, y + 15, f"segment {number}", "head")
        drawing.text(_MARGIN, y + 31, f"operations {first} to {end - 1}", "quiet number")
        sums: Counter[str] = Counter()
        for table in cost.tables:
            sums[rooms[table.name]] += round(2 * weight(table.cells, table.messages))
        shares = [(name, sums[name] / 2) for name in FAMILIES if sums[name]]
        x = float(left)
        for turn, (name, share) in enumerate(shares):
            wide = share / largest * across
            kind = "full" if turn % 2 else "second"
            drawing.box(x, y, max(0.5, wide - 1), 24, kind, f"{name}: {share:,.1f} cell equivalents")
            if wide > 7 * len(name):
                drawing.text(x + 2, y + 38, name, "quiet")
            x += wide
        drawing.text(width - _MARGIN, y + 12, f"{cost.cells:,} cells", "number", "end")
        drawing.text(width - _MARGIN, y + 28, f"{cost.messages:,} interactions", "number", "end")
        if number + 1 < len(costs):
            drawing.text(_MARGIN + 8, y + 56, "\u2193 hashes of operations and receipts, access root", "quiet")
    return str(drawing)


def main(
    workload: Annotated[str, typer.Argument(help="Name of an example.")],
    out: Annotated[Path, typer.Option(help="The SVG to write.")],
    segments_: Annotated[
        int | None, typer.Option("--segments", min=1, help="Draw segments of so many operations instead.")
    ] = None,
) -> None:
    """Draw a map of a workload."""
    out.write_text(tables_and_buses(workload) if segments_ is None else segments(workload, segments_))


if __name__ == "__main__":
    typer.run(main)
