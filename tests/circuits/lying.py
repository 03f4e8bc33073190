"""Lies told in tables of a family: what objects to them.

The function tables answer what is true, for the altered queries too. Everything else outside of the family either stays
as the honest family left it, or follows: it says whatever the lie needs, and what objects is the table itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from operator import is_
from typing import Any

import numpy as np

from circuits.air.checker import Finding, check_circuit
from circuits.air.circuit import Circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import Matrix
from circuits.air.range_buses import RANGE16
from circuits.batch.execution import Execution
from circuits.component import Answering, Component
from circuits.functions import bitwise_bytes, poseidon2
from circuits.functions import range as range_table
from circuits.functions.buses import BITWISE_BYTES, POSEIDON2
from tests.circuits.family import Lie, closed, fill_family, publics

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
    family = (*components, *FUNCTIONS)
    traces = fill_family(family, execution, lies)
    circuit, filled = closed([c.table for c in family], traces) if follows else _honest(family, execution)
    told = [*traces, *filled[len(traces) :]]
    # Not the reference's arithmetic, as for honest tables: there are many lies.
    return places(check_circuit(circuit, told, publics(circuit, told), algebra=NATIVE))


#: Families lied about last, which the next lie is often about, too: components and execution, and what `closed` gives.
_KEPT: deque[tuple[tuple[Component, ...], Execution, tuple[Circuit, list[Matrix | None]]]] = deque(maxlen=2)


def _honest(family: tuple[Component, ...], execution: Execution) -> tuple[Circuit, list[Matrix | None]]:
    """The honest family with its worlds."""
    for components, of, found in _KEPT:
        if of is execution and len(components) == len(family) and all(map(is_, components, family)):
            return found
    found = closed([c.table for c in family], fill_family(family, execution))
    _KEPT.append((family, execution, found))
    return found


def row_where(column: np.ndarray[Any, Any]) -> int:
    """The first row where this holds, of which there must be one."""
    found = np.flatnonzero(column)
    assert len(found)
    return int(found[0])
