"""The range table: the fixed list of all 16-bit limbs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.layout import Layout, TraceView, element
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table

SIZE = 1 << 16


class Columns(Layout):
    """One limb per row."""

    value = element("the limb", by="first row 0, step 1, last row 65535")
    multiplicity = element("how often the limb is queried", by="balance of the range16 bus")


class Range16(Table):
    """All values 0..65535, once each: the first row is 0, each row adds 1, the last is 65535.

    The constraints fix the height to 2^16; no commitment of its own is needed for the list.
    """

    name = "range16"
    layout = Columns
    selector = None

    def constraints(self, air: Air) -> None:
        value = air.row.value
        air.require(air.is_first * value, "starts at 0")
        air.require(air.is_transition * (air.next.value - value - 1), "steps by 1")
        air.require(air.is_last * (value - (SIZE - 1)), "ends at 65535")
        air.provide(RANGE16, value, multiplicity=air.row.multiplicity)


def fill(queries: NDArray[np.uint32]) -> Matrix:
    """The table for all queried values (n,).

    A query that is no 16-bit limb has no row to answer it; it is left to unbalance the bus, where the checker names it.
    """
    matrix = np.zeros((SIZE, Columns.width), dtype=np.uint32)
    view = TraceView(Columns, matrix)
    view.value = np.arange(SIZE)
    view.multiplicity = np.bincount(queries[queries < SIZE], minlength=SIZE)
    return matrix
