"""The tables of memory as a family, programs for them, and what objects to lies in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from circuits.air.checker import check_circuit
from circuits.batch.execution import Execution
from circuits.instructions import memory, out_of_memory
from circuits.memory import expansion, memory_parts, memory_shifted, memory_tables
from scripts.batches.builder import Builder
from scripts.batches.programs import call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import Lie, closed, fill_family, publics
from tests.circuits.lying import FUNCTIONS, places

FAMILY = (
    *memory.COMPONENTS,
    *out_of_memory.COMPONENTS,
    *memory_tables.COMPONENTS,
    *memory_shifted.COMPONENTS,
    *memory_parts.COMPONENTS,
    *expansion.COMPONENTS,
)
WHOLE = (*FAMILY, *FUNCTIONS)

#: An account that returns 64 bytes to who calls it.
RETURNING = b"\xb0" * 20

#: A word of 32 different bytes.
WORD = "0x" + bytes(range(1, 33)).hex()


def run(*sources: str, gas: int = 1_000_000) -> Execution:
    """The execution of one call of each program."""
    building = Builder().alloc(RETURNING, code="0x" + assemble("64 3 return").hex())
    calls = []
    for number, source in enumerate(sources):
        address = b"\xa0" + bytes([number]) * 19
        building.alloc(address, code="0x" + assemble(source).hex())
        calls.append(call_contract(building, number % 3, address, data="0x" + "5a" * 70, gas=gas))
    return execution_of(building.block(*calls).execute())


def objections(execution: Execution, *, outside: Sequence[str] = (), **lies: Lie) -> set[str]:
    """What objects to altered tables: constraints, buses; `open ...` for a bus that only memory tables use.

    `outside`: buses on which others take part in this execution.
    """
    traces = fill_family(WHOLE, execution, lies)
    circuit, filled = closed([c.table for c in WHOLE], traces)
    own = {"memory", "memory_bytes"} - set(outside)
    found = places(check_circuit(circuit, filled, publics(circuit, filled)))
    return found | {f"open {bus}" for bus in own if f"world_{bus}" in circuit.names}


def put(rows: Any, row: int, **cells: Any) -> None:
    """Set cells of a row."""
    for name, value in cells.items():
        getattr(rows, name)[row] = value
