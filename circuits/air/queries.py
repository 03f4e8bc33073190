"""What the filled tables ask of a lookup bus: function tables are filled from exactly these queries."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus
from circuits.air.evaluate import NumpyAlgebra, Rows, evaluate
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
    width = len(range(bus.width)[fields or slice(None)])
    for table, matrix in filled:
        asked = [i for i in table.air.interactions if i.bus.index == bus.index and not i.provides]
        if not asked:
            continue
        messages = [i.message[fields or slice(None)] for i in asked]
        wanted = {e.index for m in messages for e in m} | {i.count.index for i in asked}
        values = evaluate(table.air.graph, Rows.of_trace(matrix, no_public), NumpyAlgebra(), wanted)
        height = len(matrix)
        for interaction, message in zip(asked, messages, strict=True):
            active = np.broadcast_to(values[interaction.count.index], (height,)) != 0
            block = np.empty((int(active.sum()), width), dtype=np.uint32)
            for k, expression in enumerate(message):
                block[:, k] = np.broadcast_to(values[expression.index], (height,))[active]
            found.append(block)
    return np.concatenate(found) if found else np.zeros((0, width), dtype=np.uint32)
