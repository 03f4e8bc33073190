"""What the filled tables ask of a lookup bus: function tables are filled from exactly these queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus
from circuits.air.distinct import distinct_rows
from circuits.air.evaluate import Program, TraceRows
from circuits.air.field import Matrix
from circuits.air.table import Table


def queries(bus: Bus, filled: Iterable[tuple[Table, Matrix]], fields: slice | None = None) -> NDArray[np.uint32]:
    """All messages queried on a lookup bus by the given tables, repeated as often as they are queried.

    Args:
        bus: a lookup bus.
        filled: tables with their traces.
        fields: which message elements to return; all by default.

    Returns:
        (n, k) `uint32`.
    """
    found: list[NDArray[np.uint32]] = []
    no_public = np.zeros(0, dtype=np.uint32)
    chosen = range(bus.width)[fields or slice(None)]
    for table, matrix in filled:
        plan = _plan(table, bus, chosen)
        if plan is None:
            continue
        for _, values in plan.program.blocks(TraceRows(matrix, no_public)):
            interaction, row = np.nonzero(values[plan.counts])
            found.append(values[plan.messages[interaction], row[:, None]])
    return np.concatenate(found) if found else np.zeros((0, len(chosen)), dtype=np.uint32)


def multiplicities(provided: NDArray[Any], asked: NDArray[np.uint32]) -> NDArray[np.int64]:
    """How often each provided message (n, w), all different, is among the queries (q, w)."""
    rows, _, place = distinct_rows(np.concatenate([provided.astype(np.uint32), asked]))
    counts = np.bincount(place[len(provided) :], minlength=len(rows))
    return counts[place[: len(provided)]]


@dataclass(frozen=True)
class _Plan:
    """How the queries of a table are evaluated: slots of the counts (k,) and of the wanted message elements (k, w)."""

    program: Program
    counts: NDArray[np.int64]
    messages: NDArray[np.int64]


_PLANS: WeakKeyDictionary[Table, dict[tuple[int, range], _Plan | None]] = WeakKeyDictionary()


def _plan(table: Table, bus: Bus, chosen: range) -> _Plan | None:
    """Made once; None for a table that asks nothing of the bus."""
    plans = _PLANS.setdefault(table, {})
    key = (bus.index, chosen)
    if key not in plans:
        asked = [i for i in table.air.interactions if i.bus.index == bus.index and not i.provides]
        counts = [i.count.index for i in asked]
        messages = [i.message[k].index for i in asked for k in chosen]
        made = Program(table.air.graph, [*counts, *messages])
        slots = made.slots(messages).reshape(len(asked), len(chosen))
        plans[key] = _Plan(made, made.slots(counts), slots) if asked else None
    return plans[key]
