"""A derived column is declared once: its expression constrains it and fills it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from circuits.air import MODULUS, RANGE, Air, C, Circuit, Layout, Size, Table, bit, element, limb, nested
from circuits.air.checker import ConstraintFinding, check_table
from circuits.air.derived import fill_derived
from circuits.air.field import Matrix
from circuits.air.layout import Array, TraceView, allocate
from circuits.air.range_buses import RANGE16

FACTOR = 5
LIMBS = Size("limbs")


class Doubled(Layout[C]):
    """A value and what follows from it."""

    value = limb("any", by="test")
    double = element("twice the value", equals=lambda row: row.value * 2)


class Columns(Layout[C]):
    real = bit("selector")
    x = limb("any", LIMBS, by="test")
    negative = element("below zero on real rows", equals=lambda row: row.real - row.x[0])
    cost = element("made of a derived column", equals=lambda row: row.negative * FACTOR + 1)
    is_one = bit("1: real, and x is 1", equals=lambda row: row.real * row.one.value)
    one: Doubled[C] = nested(Doubled)
    many: tuple[Doubled[C], ...] = nested(Doubled, "several", 2)
    products = element("of all limbs and the first", LIMBS, equals=lambda row: [x * row.x[0] for x in row.x])
    small = limb("looked up", by=RANGE, equals=lambda row: row.real * 6)
    total = element("of derived columns of nested layouts", equals=lambda row: row.one.double + row.many[1].double)


class Sample(Table[Columns]):
    def constraints(self, air: Air[Columns]) -> None:
        air.require(air.row.real * (air.row.real - 1), "own")


SAMPLE = Sample("sample", Columns.sized(limbs=3))


def allocated() -> tuple[Matrix, Columns[Array]]:
    """Three rows and one of padding, without the derived columns."""
    matrix, rows = allocate(Columns, 3, SAMPLE.layout)
    rows.real = 1
    rows.x = [[7, 1, 2], [0, 3, 4], [65535, 65535, 65535]]
    rows.one.value = [1, 0, 1]
    rows.many[1].value = [5, 6, 7]
    return matrix, rows


def filled() -> Matrix:
    matrix, rows = allocated()
    fill_derived(rows)
    return matrix


def test_columns_are_filled_by_their_expressions() -> None:
    rows = TraceView(SAMPLE.layout, filled())
    assert rows.negative.tolist() == [MODULUS - 6, 1, MODULUS - 65534, 0]
    assert rows.cost.tolist() == [MODULUS - 29, 6, MODULUS - 65534 * 5 + 1, 1], "padding as well"
    assert rows.is_one.tolist() == [1, 0, 1, 0]
    assert rows.one.double.tolist() == [2, 0, 2, 0]
    assert [m.double.tolist() for m in rows.many] == [[0] * 4, [10, 12, 14, 0]]
    assert rows.products.tolist() == [[49, 7, 14], [0] * 3, [65535**2 % MODULUS] * 3, [0] * 3]
    assert rows.total.tolist() == [12, 12, 16, 0]


def test_columns_are_constrained_by_their_expressions() -> None:
    names = [c.name for c in SAMPLE.air.constraints]
    derived = ["negative", "cost", "is_one", "one.double", "many[0].double", "many[1].double"]
    derived += ["products[0]", "products[1]", "products[2]", "small", "total"]
    assert names == ["real is a bit", "is_one is a bit", *derived, "own"]
    assert check_table(SAMPLE, filled()) == []
    assert len(check_table(SAMPLE, allocated()[0])) > 0


@pytest.mark.parametrize("name", [cell.name for cell in SAMPLE.layout.cells() if cell.column.equals])
@pytest.mark.parametrize("row", [0, 3])
def test_a_changed_cell_is_noticed(name: str, row: int) -> None:
    matrix = filled()
    column = SAMPLE.layout.names().index(name)
    matrix[row, column] = (matrix[row, column] + 1) % MODULUS
    found = [f.constraint for f in check_table(SAMPLE, matrix) if isinstance(f, ConstraintFinding)]
    assert name in found


def test_the_declaration_says_who_pins_the_cells() -> None:
    assert Columns.cost.by == "its expression"
    assert Columns.small.by == RANGE
    assert [i.bus for i in SAMPLE.air.interactions] == [RANGE16]


def test_some_rows_of_a_nested_layout_are_filled() -> None:
    matrix, _ = allocated()
    fill_derived(TraceView(SAMPLE.layout, matrix[1:]).many[1])
    assert [m.double.tolist() for m in TraceView(SAMPLE.layout, matrix).many] == [[0] * 4, [0, 12, 14, 0]]
    assert (
        np.flatnonzero((matrix != allocated()[0]).any(axis=0)) == [SAMPLE.layout.names().index("many[1].double")]
    ).all()


def test_they_are_not_written_by_hand() -> None:
    matrix, rows = allocate(Columns, 3, SAMPLE.layout)
    with pytest.raises(TypeError, match=r"Columns\.cost is derived"):
        rows.cost = 1
    with pytest.raises(TypeError, match=r"Doubled\.double is derived"):
        rows.many[0].double = 1
    TraceView(SAMPLE.layout, matrix).cost = 1  # as a liar would
    assert (matrix[:, SAMPLE.layout.offsets["cost"]] == 1).all()


def bad(expression: Callable[[Any], Any], shape: int | tuple[int, ...] = ()) -> type[Layout]:
    class Bad(Layout[C]):
        real = bit("selector")
        x = limb("any", by="test")
        early = element("derived", shape, equals=expression)
        late = element("derived", equals=lambda row: row.x)

    return Bad


@pytest.mark.parametrize("expression", [lambda row: row.late + 1, lambda row: row.early * row.x])
def test_a_column_follows_from_earlier_ones(expression: Callable[[Any], Any]) -> None:
    _, rows = allocate(bad(expression), 2)
    with pytest.raises(TypeError, match=r"Bad\.early is derived from (late|early), which is not declared before it"):
        fill_derived(rows)


def test_a_block_needs_an_expression_for_each_column() -> None:
    _, rows = allocate(bad(lambda row: [row.x, row.real], 3), 2)
    with pytest.raises(ValueError, match="early: 2 expressions for 3 columns"):
        fill_derived(rows)


def test_too_high_degrees_are_refused() -> None:
    class Own(Table[Any]):
        def constraints(self, air: Air) -> None:
            """Nothing more."""

    for power, refused in ((3, False), (4, True)):
        layout = bad(lambda row, power=power: np.prod([row.x] * power))
        circuit = Circuit("c", [Own("own", layout)])
        if refused:
            with pytest.raises(ValueError, match="own: early has degree 4"):
                circuit.export()
        else:
            circuit.export()
