"""Programs that call each other, and the tables of what frames read of each other as a family.

The calls themselves are no part of it: what they send and receive is left to the worlds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from circuits.air.witness import Witnesses
from circuits.batch.execution import Execution
from circuits.component import Component
from circuits.frames import buffer, calldata, code, frames
from circuits.instructions import calldata_memory, control_flow, copies, memory, return_data, system
from circuits.memory import expansion, memory_parts, memory_shifted, memory_tables
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import closed, fill_family, publics
from tests.circuits.lying import FUNCTIONS

INSTRUCTIONS: tuple[Component, ...] = (
    *copies.COMPONENTS,
    *calldata_memory.COMPONENTS,
    *return_data.COMPONENTS,
    *control_flow.COMPONENTS,
    *system.COMPONENTS,
    *memory.COMPONENTS,
)
MEMORY: tuple[Component, ...] = (
    *copies.COPY_COMPONENTS,
    *memory_tables.COMPONENTS,
    *memory_shifted.COMPONENTS,
    *memory_parts.COMPONENTS,
)
FAMILY: tuple[Component, ...] = (
    *INSTRUCTIONS,
    *MEMORY,
    *expansion.COMPONENTS,
    *frames.COMPONENTS,
    *buffer.COMPONENTS,
    *calldata.COMPONENTS,
    *code.COMPONENTS,
)


def callee(number: int) -> bytes:
    """Address of the account with the program of this number."""
    return b"\xb0" + bytes([number]) * 19


def call(number: int, start: int = 0, size: int = 0, *, kind: str = "call", out: tuple[int, int] = (0, 0)) -> str:
    """Calls a program with `size` bytes of memory from `start` on; what it returns is written to the range `out`."""
    value = "0 " if kind in ("call", "callcode") else ""
    return f"{out[1]} {out[0]} {size} {start} {value}0x{callee(number).hex()} 200000 {kind} pop"


def pattern(words: int) -> str:
    """Fills memory with bytes all of which differ from their neighbours, none of them 0."""
    values = [bytes(1 + (32 * n + i) % 251 for i in range(32)) for n in range(words)]
    return " ".join(f"0x{value.hex()} {32 * n} mstore" for n, value in enumerate(values))


def run(callers: Iterable[str], *callees: str, gas: int = 3_000_000, data: str = "0x") -> Execution:
    """The execution of one call of each caller; they and the callees may call the latter by their numbers."""
    building = Builder()
    for number, source in enumerate(callees):
        building.alloc(callee(number), code="0x" + assemble(source).hex())
    calls = []
    for number, source in enumerate(callers):
        address = CONTRACT[:-1] + bytes([number])
        building.alloc(address, code="0x" + assemble(source).hex())
        calls.append(call_contract(building, number % 3, address, gas=gas, data=data))
    return execution_of(building.block(*calls).execute())


def undetermined(execution: Execution, components: Sequence[Component]) -> list[str]:
    """Rows of these tables that could have other cells, with the same messages or other answers from functions."""
    family = (*FAMILY, *FUNCTIONS)
    circuit, filled = closed([c.table for c in family], fill_family(family, execution))
    witnesses, rng = Witnesses(circuit, filled, publics(circuit, filled)), np.random.default_rng(1)
    found = []
    for name in (c.table.name for c in components):
        matrix = filled[circuit.names.index(name)]
        if matrix is None:
            continue
        for row in np.flatnonzero(matrix[:, circuit.tables[circuit.names.index(name)].layout.offsets["real"]]).tolist():
            held = witnesses.search(name, row, rng)
            free = witnesses.search(name, row, rng, lookups="free")
            if held.determined != held.cells or held.directions or free.directions:
                found.append(f"{name}, row {row}: {held.directions or free.directions}")
    return found
