"""The maps: the committed ones are what the command makes, and they show every table and bus there is."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from circuits.air.bus import BusKind
from circuits.carry import TABLES as CARRIED_TABLES
from circuits.segment import segment_circuit
from executor.forks import CIRCUIT_FORKS, Fork
from scripts.map import FAMILIES, Meeting, family_of, homes, meetings_of, segments, tables_and_buses

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SVG = "{http://www.w3.org/2000/svg}"


def test_the_committed_maps_are_those_of_the_circuits() -> None:
    """`python -m scripts.map erc20 --out docs/images/map.svg`, the same with `--segments 25` for `segments.svg`."""
    drawn = tables_and_buses("erc20")
    assert (IMAGES / "map.svg").read_text() == drawn
    assert (IMAGES / "segments.svg").read_text() == segments("erc20", 25)
    # Whoever cannot see it is told what it is, and the figures of the marks add up to the ones of the whole.
    root = ElementTree.fromstring(drawn)
    assert root.get("role") == "img"
    title, about = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert about is not None
    assert title.text == "Tables and buses of erc20"
    whole = re.search(r"([\d,]+) interactions", about.text or "")
    notes = [note.text or "" for note in root.iter(f"{SVG}title")]
    marks = [note for note in notes if note.endswith("in all")]
    assert whole is not None
    assert sum(int(re.split(r"[ ]", note)[-3].replace(",", "")) for note in marks) == int(whole[1].replace(",", ""))
    assert "prefers-color-scheme:dark" in drawn


@pytest.mark.parametrize("fork", CIRCUIT_FORKS.values(), ids=lambda fork: fork.name)
def test_every_table_and_bus_has_a_place(fork: Fork) -> None:
    circuit = segment_circuit(fork)
    for table, size in zip(circuit.tables, circuit.statistics, strict=True):
        assert family_of(table) in FAMILIES
        meetings = meetings_of(table)
        assert sum(meeting.all for meeting in meetings.values()) == size.interactions
        assert all(bus.name in homes() and homes()[bus.name] in (*FAMILIES, "air") for bus in meetings)


def test_who_sends_and_who_receives() -> None:
    """As the tables say: lookups tell by themselves who answers, and an ADD pops two words and pushes one."""
    circuit = segment_circuit(CIRCUIT_FORKS["cancun"])
    carried = {table.name for table in CARRIED_TABLES}
    for table in circuit.tables:
        for bus, meeting in meetings_of(table).items():
            if bus.kind is BusKind.LOOKUP and table.name not in carried:
                answers = sum(i.provides for i in table.air.interactions if i.bus is bus)
                assert meeting.back == answers
    add = next(table for table in circuit.tables if table.name == "add")
    assert {bus.name: meeting for bus, meeting in meetings_of(add).items() if bus.name in ("stack", "exec")} == {
        "stack": Meeting(out=1, back=2),
        "exec": Meeting(out=1, back=1),
    }
