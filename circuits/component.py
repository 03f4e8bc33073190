"""What a circuit is put together from: tables with the functions that fill them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from circuits.air.bus import Bus
from circuits.air.field import Matrix
from circuits.air.table import Table
from circuits.batch.execution import Execution


@dataclass(frozen=True)
class Acting:
    """A table filled from the events of an execution; None when it has no row, and is absent."""

    table: Table
    fill: Callable[[Execution], Matrix | None]


@dataclass(frozen=True)
class Answering:
    """A table filled from what the tables before it ask of its bus or buses.

    `answer(execution, *queries)` gets one array for each bus, all messages queried on it (n, width), repeated as often
    as they are; it returns None when it has no row. The table may have no query of its own on a bus that a table before
    it answers.
    """

    table: Table
    bus: Bus | tuple[Bus, ...]
    answer: Callable[..., Matrix | None]

    @property
    def buses(self) -> tuple[Bus, ...]:
        """The buses in the order of `answer`'s arguments."""
        return (self.bus,) if isinstance(self.bus, Bus) else self.bus


Component = Acting | Answering
