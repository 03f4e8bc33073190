"""The range tables: the fixed lists of all limbs of 16 bits, and of 15 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.bus import Bus
from circuits.air.field import Matrix
from circuits.air.layout import C, Layout, allocate, element
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.functions.buses import RANGE15

#: Limbs listed by one row: enough that the column of their first one hardly counts.
LIMBS = 64


class Columns(Layout[C]):
    """A run of consecutive limbs per row."""

    first = element("the first limb of the run", by="first row 0, step 64, last row the size less 64")
    multiplicity = element("how often each limb is queried", LIMBS, by="balance of its range bus")


class Range(Table[Columns]):
    """All values below a power of two, once each: the runs start at 0, step by their length, and end at the last one.

    The constraints fix the height; no commitment of its own is needed for the list.
    """

    selector = None

    def __init__(self, bus: Bus, bits: int) -> None:
        """The table that answers this bus with the numbers of so many bits."""
        super().__init__(bus.name)
        self.bus, self.size, self.height = bus, 1 << bits, (1 << bits) // LIMBS

    def constraints(self, air: Air[Columns]) -> None:
        first = air.row.first
        air.require(air.is_first * first, "starts at 0")
        air.require(air.is_transition * (air.next.first - first - LIMBS), "steps by the length of a run")
        air.require(air.is_last * (first - (self.size - LIMBS)), f"ends at {self.size - 1}")
        for offset, multiplicity in enumerate(air.row.multiplicity):
            air.provide(self.bus, first + offset, multiplicity=multiplicity)

    def fill(self, queries: NDArray[np.uint32]) -> Matrix:
        """The table for all queried values (n,).

        A query that is no such number has no row to answer it; it is left to unbalance the bus, where the checker
        names it.
        """
        matrix, rows = allocate(Columns, self.height)
        rows.first = np.arange(0, self.size, LIMBS)
        counts = np.bincount(queries[queries < self.size], minlength=self.size)
        rows.multiplicity = counts.reshape(self.height, LIMBS)
        return matrix


RANGE_16 = Range(RANGE16, 16)
#: Carries of equations of large numbers.
RANGE_15 = Range(RANGE15, 15)
