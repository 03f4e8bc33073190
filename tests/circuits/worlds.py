"""Worlds beside a family: tables that answer a part of a lookup bus, or ask one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus
from circuits.air.field import Matrix
from circuits.air.layout import TraceView, allocate
from circuits.batch.execution import Execution
from circuits.component import Acting, Answering, Component
from circuits.frames import frames
from circuits.frames.buses import HALT
from circuits.frames.frames import Ending
from circuits.segment import fill, segment_circuit
from executor.forks import CANCUN
from tests.circuits.family import World, open_messages


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


class Sender(World):
    """Sends whatever it holds."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(bus, answers=True)
        self.name = f"sends_{bus.name}"  # type: ignore[misc]


def halting(execution: Execution, steps: Sequence[Component]) -> Acting:
    """A component that ends the frames of an execution as they end, but for those which these steps end."""
    place = segment_circuit(CANCUN).names.index("frame")
    frame: Any = TraceView(frames.Columns, fill(execution).traces[place])
    ended = {message[0] for message in open_messages(steps, execution, HALT)}
    own = [row for row in range(len(execution.frames)) if row + 1 not in ended]
    ending = frame.success * Ending.SUCCEEDED + frame.halted * Ending.HALTED + frame.unpaid * Ending.UNPAID
    columns = (frame.frame, ending, frame.gas_left, frame.return_start, frame.return_size, frame.end_time)
    table = Sender(HALT)
    matrix, rows = allocate(table.layout, len(own))
    rows.real = rows.sends = 1
    rows.message = np.stack(columns, axis=1)[own]
    return Acting(table, lambda _: matrix.copy())
