"""Prices with discounts (EIP-2537): what few parts of an input cost, as constants of the circuit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.air.layout import C, Layout, Size, element
from circuits.air.queries import multiplicities
from circuits.air.table import Air, Table
from circuits.fields.buses import PART_PRICE
from circuits.programs.precompiles import Precompile


class Columns(Layout[C]):
    """The only row."""

    multiplicity = element("how often each price is queried", Size("prices"), by="balance of the part_price bus")


class Prices(Table[Columns]):
    """What 1, 2, ... parts cost, one message each, as far as they have a discount of their own."""

    selector = None

    def __init__(self, precompiles: Sequence[Precompile]) -> None:
        """The prices of these precompiles."""
        self.prices = [
            (p.number, parts, p.cost(parts) - p.steady_gas * parts)
            for p in precompiles
            for parts in range(1, len(p.discounts) + 1)
        ]
        super().__init__("part_prices", Columns.sized(prices=len(self.prices)))

    def constraints(self, air: Air[Columns]) -> None:
        for price, multiplicity in zip(self.prices, air.row.multiplicity, strict=True):
            air.provide(PART_PRICE, *map(air.constant, price), multiplicity=multiplicity)


def fill_prices(table: Prices, asked: NDArray[np.uint32]) -> Matrix | None:
    """The row for the prices that are asked (n, 3)."""
    if not len(asked):
        return None
    return multiplicities(np.array(table.prices, dtype=np.int64), asked).astype(np.uint32)[None]
