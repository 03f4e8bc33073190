"""The buses of all rooms: each declared once, and the circuits have no others."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import circuits
from circuits import carry
from circuits.air import range_buses
from circuits.air.bus import Bus
from circuits.segment import segment_circuit
from executor.forks import CIRCUIT_FORKS

ROOMS = sorted(path.parent.name for path in Path(circuits.__file__).parent.glob("*/buses.py"))


def _declared() -> list[Bus]:
    modules = [range_buses, *(import_module(f"circuits.{room}.buses") for room in ROOMS)]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Bus)]
    return [*found, carry.CARRY]


def test_indices_and_names_are_unique() -> None:
    buses = _declared()
    assert len({bus.index for bus in buses}) == len(buses)
    assert len({bus.name for bus in buses}) == len(buses)


def test_the_circuits_use_all_of_them_and_no_others() -> None:
    tables = [table for fork in CIRCUIT_FORKS.values() for table in segment_circuit(fork).tables]
    used = {i.bus for table in tables for i in table.air.interactions}
    assert used == set(_declared())
