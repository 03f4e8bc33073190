"""Derived columns: one expression constrains a column and fills it.

A layout declares `cost = element("gas", equals=lambda row: ...)`. The table requires `cost - expression = 0` on every
row, padding included; a function that fills the table ends with `fill_derived(rows)`, which evaluates the same
expression over whole columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.evaluate import Program, Rows, columns_read
from circuits.air.expression import Graph, Op
from circuits.air.layout import Array, Layout, Symbols
from circuits.air.table import DerivedCell, derived_cells


def fill_derived(rows: Layout[Array]) -> None:
    """Fill the derived columns, once those which they are made of are filled.

    `rows` are those of `allocate`, whose padding is filled too, or some rows of a trace.

    Raises:
        TypeError: a column is derived from itself or from one declared later.
    """
    cells = rows._cells
    matrix = (cells.matrix if cells.fresh is None else cells.fresh)[:, rows._base : rows._base + rows.width]
    nothing = np.zeros(len(matrix), dtype=np.uint32)
    content = Rows(matrix, matrix, nothing, nothing, nothing[:0])
    for step in _plan(rows._layout):
        for block, values in step.program.blocks(content):
            matrix[block, step.columns] = values[step.slots].T


@dataclass(frozen=True)
class _Step:
    """Derived columns (k,) that do not depend on each other, and the slots (k,) of their expressions."""

    columns: NDArray[np.int64]
    program: Program
    slots: NDArray[np.int64]


_PLANS: dict[type, tuple[_Step, ...]] = {}


def _plan(layout: type[Layout[Any]]) -> tuple[_Step, ...]:
    """Made once for each layout."""
    if layout not in _PLANS:
        _PLANS[layout] = _made(layout)
    return _PLANS[layout]


def _made(layout: type[Layout[Any]]) -> tuple[_Step, ...]:
    graph = Graph()
    cells = list(derived_cells(layout(Symbols(lambda i: graph.node(Op.LOCAL, i))), graph))
    names = {cell.index: cell.name for cell in cells}
    steps: list[list[DerivedCell]] = [[]]
    filled: set[int] = set()
    for cell in cells:
        needed = {i for i in columns_read(graph, cell.expression.index) if i in names}
        for index in needed - filled - {c.index for c in steps[-1]}:
            raise TypeError(
                f"{layout.__qualname__}.{cell.name} is derived from {names[index]}, which is not declared before it"
            )
        if needed - filled:
            filled |= {c.index for c in steps[-1]}
            steps.append([])
        steps[-1].append(cell)
    return tuple(_step(graph, step) for step in steps if step)


def _step(graph: Graph, cells: Iterable[DerivedCell]) -> _Step:
    nodes = [cell.expression.index for cell in cells]
    program = Program(graph, nodes)
    return _Step(np.array([cell.index for cell in cells]), program, program.slots(nodes))
