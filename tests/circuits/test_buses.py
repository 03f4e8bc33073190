"""The buses of all rooms: each declared once, and the circuit has no others."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import circuits
from circuits.air import range_buses
from circuits.air.bus import Bus
from circuits.segment import segment_circuit
from executor.forks import CANCUN

ROOMS = sorted(path.parent.name for path in Path(circuits.__file__).parent.glob("*/buses.py"))


def _declared() -> list[Bus]:
    modules = [range_buses, *(import_module(f"circuits.{room}.buses") for room in ROOMS)]
    return [value for module in modules for value in vars(module).values() if isinstance(value, Bus)]


def test_indices_and_names_are_unique() -> None:
    buses = _declared()
    assert len({bus.index for bus in buses}) == len(buses)
    assert len({bus.name for bus in buses}) == len(buses)


def test_the_circuit_uses_all_of_them_and_no_others() -> None:
    used = {i.bus for table in segment_circuit(CANCUN).tables for i in table.air.interactions}
    assert used == set(_declared())
