"""Worlds beside a family: tables that answer a part of a lookup bus, or ask one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus
from circuits.air.field import Matrix
from circuits.air.layout import allocate
from circuits.batch.execution import Execution
from circuits.component import Acting, Answering
from tests.circuits.family import World


def others(bus: Bus, elsewhere: Callable[[NDArray[np.uint32]], NDArray[np.bool_]]) -> Answering:
    """A world that answers those queries (n, width) of a bus which are for tables outside of the family."""
    world = World(bus, True)

    def answer(execution: Execution, asked: NDArray[np.uint32]) -> Matrix | None:
        messages, counts = np.unique(asked[elsewhere(asked)], axis=0, return_counts=True)
        matrix, rows = allocate(world.layout, len(messages))
        rows.real = 1
        rows.multiplicity = counts
        rows.message = messages
        return matrix

    return Answering(world, bus, answer)


class Asker(World):
    """Asks whatever it holds."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, answers=False)
        self.name = f"asks_{bus.name}"  # type: ignore[misc]


def asking(bus: Bus, messages: Sequence[Sequence[int]]) -> Acting:
    """A component that asks these messages, each once."""
    table = Asker(bus)
    matrix, rows = allocate(table.layout, len(messages))
    rows.real = 1
    rows.message = np.array(messages, dtype=np.uint32).reshape(-1, bus.width)
    return Acting(table, lambda _: matrix.copy())
