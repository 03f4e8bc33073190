"""Lies told in tables of a family: what objects to them.

The function tables answer what is true, for the altered queries too. Everything else outside of the family either stays
as the honest family left it, or follows: it says whatever the lie needs, and what objects is the table itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from circuits.air.checker import Finding, check_circuit
from circuits.air.range_buses import RANGE16
from circuits.batch.execution import Execution
from circuits.component import Answering, Component
from circuits.functions import bitwise_bytes, poseidon2
from circuits.functions import range as range_table
from circuits.functions.buses import BITWISE_BYTES, POSEIDON2
from tests.circuits.family import Lie, closed, fill_family

#: The table of limbs: without it a mutated limb would be rejected only because no honest one has its value.
RANGES = Answering(range_table.RANGE_16, RANGE16, lambda _, asked: range_table.RANGE_16.fill(asked[:, 0]))

BYTES = Answering(bitwise_bytes.BitwiseBytes(), BITWISE_BYTES, lambda _, asked: bitwise_bytes.fill(asked))

#: The tables of functions, which answer true queries only.
FUNCTIONS: tuple[Component, ...] = (
    Answering(poseidon2.Poseidon2(), POSEIDON2, lambda _, asked: poseidon2.fill(asked[:, :16])),
    BYTES,
    RANGES,
)


def places(findings: Iterable[Finding]) -> set[str]:
    """Names of the constraints and buses that object."""
    return {str(getattr(f, "constraint", None) or getattr(f, "bus", None)) for f in findings}


def objections(
    components: Sequence[Component], execution: Execution, lies: Mapping[str, Lie], *, follows: bool = False
) -> set[str]:
    """What objects when tables, by their names, are altered after filling; `follows`: everything outside does."""
    family = [*components, *FUNCTIONS]
    tables = [c.table for c in family]
    traces = fill_family(family, execution, lies)
    circuit, filled = closed(tables, traces if follows else fill_family(family, execution))
    return places(check_circuit(circuit, [*traces, *filled[len(traces) :]], [[] for _ in filled]))


def row_where(column: np.ndarray[Any, Any]) -> int:
    """The first row where this holds, of which there must be one."""
    found = np.flatnonzero(column)
    assert len(found)
    return int(found[0])
