"""The range table: the fixed list of all 16-bit limbs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.layout import C, Layout, allocate, element
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table

SIZE = 1 << 16

#: Limbs listed by one row: enough that the column of their first one hardly counts.
LIMBS = 64
HEIGHT = SIZE // LIMBS


class Columns(Layout[C]):
    """A run of consecutive limbs per row."""

    first = element("the first limb of the run", by="first row 0, step 64, last row 65472")
    multiplicity = element("how often each limb is queried", LIMBS, by="balance of the range16 bus")


class Range16(Table[Columns]):
    """All values 0..65535, once each: the runs start at 0, step by their length, and end at 65535.

    The constraints fix the height; no commitment of its own is needed for the list.
    """

    name = "range16"
    selector = None

    def constraints(self, air: Air[Columns]) -> None:
        first = air.row.first
        air.require(air.is_first * first, "starts at 0")
        air.require(air.is_transition * (air.next.first - first - LIMBS), "steps by the length of a run")
        air.require(air.is_last * (first - (SIZE - LIMBS)), "ends at 65535")
        for offset, multiplicity in enumerate(air.row.multiplicity):
            air.provide(RANGE16, first + offset, multiplicity=multiplicity)


def fill(queries: NDArray[np.uint32]) -> Matrix:
    """The table for all queried values (n,).

    A query that is no 16-bit limb has no row to answer it; it is left to unbalance the bus, where the checker names it.
    """
    matrix, rows = allocate(Columns, HEIGHT)
    rows.first = np.arange(0, SIZE, LIMBS)
    rows.multiplicity = np.bincount(queries[queries < SIZE], minlength=SIZE).reshape(HEIGHT, LIMBS)
    return matrix
