"""The rows of an instance of a program, one behind the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from circuits.air.layout import Array, C, Layout, bit, element
from circuits.air.table import Air
from circuits.fields.buses import START, start_kind
from circuits.programs.program import Program
from circuits.programs.runs import ProgramRuns

#: Of a table of chains: `Table.row_order`. Rows that move and keep their chains whole are whole instances.
CHAIN_ORDER = "instances meet only on buses"


class Chain(Layout[C]):
    """Which row of which instance; the table has its `real` beside it."""

    begins = bit("1: the first row of an instance")
    last = bit("1: the last row of an instance")
    instance = element("when it begins, which names it", by="start bus; shared along its rows")
    program = element("that it runs", by="start bus; shared along its rows")
    row = element("which row of this kind", by="counts up from 0")

    @staticmethod
    def constrain(air: Air[Any], limbs: int, kind: int, *parameters: Any) -> None:
        """The rows of an instance begin with the row that receives its start and end with the last one listed.

        `parameters`: columns that the start sets and the rows share, up to three.
        """
        row, after = air.row, air.next
        chain, next_ = row.chain, after.chain
        air.receive(
            START,
            start_kind(limbs, kind),
            chain.instance,
            chain.program,
            *parameters,
            *([0] * (3 - len(parameters))),
            count=chain.begins,
        )
        goes_on = row.real - chain.last
        for name in ("begins", "last"):
            air.require(getattr(chain, name) * (1 - row.real), f"padding: {name}")
        air.require(chain.begins * chain.row, "begins with row 0")
        air.require(air.is_first * (row.real - chain.begins), "starts with an instance")
        air.require(goes_on * (after.real - next_.begins - 1), "goes on")
        air.require(air.is_transition * (1 - goes_on) * (after.real - next_.begins), "an instance after the last row")
        air.require(air.is_last * goes_on, "ends with a last row")
        air.require(goes_on * (next_.row - chain.row - 1), "next row")
        for name in ("instance", "program"):
            air.require(goes_on * (getattr(next_, name) - getattr(chain, name)), f"same {name}")

    @staticmethod
    def share(air: Air[Any], name: str) -> None:
        """This column of the table is the same in all rows of an instance."""
        goes_on = air.row.real - air.row.chain.last
        air.require(goes_on * (getattr(air.next, name) - getattr(air.row, name)), f"same {name}")

    @staticmethod
    def fill_all(cells: Chain[Array], own: Sequence[ProgramRuns], length: Callable[[Program], int]) -> None:
        """The rows of all instances, those of a program together, of which each has `length`."""
        cells.instance = np.concatenate([np.repeat(r.time, length(r.program)) for r in own])
        cells.program = np.concatenate([np.full(len(r) * length(r.program), r.program.number) for r in own])
        row = np.concatenate([np.tile(np.arange(length(r.program)), len(r)) for r in own])
        cells.row = row
        cells.begins = row == 0
        cells.last = np.append(row[1:] == 0, True)
