"""Layouts: one declaration gives offsets, names, expressions' columns and views of a trace."""

import numpy as np
import pytest

from circuits.air import Layout, bit, byte, element, limb, nested, word
from circuits.air.layout import CellType, TraceView, View, allocate, padded_height


class Pair(Layout):
    """Two limbs."""

    low = limb("low limb", by="test")
    high = limb("high limb", by="test")


class Columns(Layout):
    real = bit("selector")
    grid = element("a block", (2, 3), by="test")
    pair = nested(Pair)
    pairs = nested(Pair, "several", (2, 2))
    small = byte("a byte", by="test", free="for a reason")


class More(Columns):
    last = word("appended by inheritance", by="test")


def test_offsets_follow_the_declaration() -> None:
    assert Columns.offsets == {"real": 0, "grid": 1, "pair": 7, "pairs": 9, "small": 17}
    assert Columns.width == 18
    assert More.offsets["last"] == 18
    assert More.width == 34


def test_names_of_flat_columns() -> None:
    names = Columns.names()
    assert len(names) == Columns.width == len(set(names))
    assert names[:8] == ["real", *(f"grid[{i}][{j}]" for i in range(2) for j in range(3)), "pair.low"]
    assert names[13:17] == ["pairs[1][0].low", "pairs[1][0].high", "pairs[1][1].low", "pairs[1][1].high"]


def test_cells_carry_their_declaration() -> None:
    cells = list(Columns.cells())
    assert [c.index for c in cells] == list(range(Columns.width))
    assert cells[17].column.free == "for a reason"
    assert {c.column.type for c in cells} == {CellType.BIT, CellType.FIELD, CellType.LIMB, CellType.BYTE}
    assert [t.bound for t in CellType] == [2, 256, 65536, 2013265921]


def test_a_view_reads_by_name() -> None:
    view = View(Columns, lambda index: index)
    assert view.real == 0
    assert view.grid == ((1, 2, 3), (4, 5, 6))
    assert view.pair.high == 8
    assert view.pairs[1][0].low == 13
    assert view.small == 17


@pytest.mark.parametrize("make", [lambda: View(Columns, int), lambda: allocate(Columns, 1)[1]])
def test_unknown_columns_are_refused(make: object) -> None:
    with pytest.raises(AttributeError, match="Columns has no column 'nothing'"):
        make().nothing  # type: ignore[operator]  # noqa: B018


def test_an_unknown_column_cannot_be_written() -> None:
    _, view = allocate(Columns, 2)
    with pytest.raises(AttributeError, match="no column 'grids'"):
        view.grids = 1


@pytest.mark.parametrize("name", ["cells", "names", "width", "offsets", "parts"])
def test_columns_cannot_hide_the_layout(name: str) -> None:
    with pytest.raises(TypeError, match=f"a column cannot be called '{name}'"):
        type("Bad", (Layout,), {name: bit("clash")})


def test_a_trace_is_written_by_name() -> None:
    matrix, view = allocate(Columns, 3)
    assert matrix.shape == (4, 18)
    assert matrix.dtype == np.uint32
    view.real = 1
    view.grid = np.arange(18).reshape(3, 2, 3)
    view.pair.high = [7, 8, 9]
    view.pairs[0][1].low = 5
    assert matrix[:, 0].tolist() == [1, 1, 1, 0]
    assert matrix[1, 1:7].tolist() == [6, 7, 8, 9, 10, 11]
    assert matrix[:, 8].tolist() == [7, 8, 9, 0]
    assert matrix[:, 11].tolist() == [5, 5, 5, 0]
    assert int(matrix.sum()) == 3 + sum(range(18)) + 24 + 15
    assert view.grid[2].tolist() == [[12, 13, 14], [15, 16, 17]]


def test_a_view_shares_memory_with_its_trace() -> None:
    matrix, view = allocate(Columns, 2)
    view.grid[1, 0, 2] = 77
    assert matrix[1, 3] == 77
    assert TraceView(Columns, matrix).grid[1, 0, 2] == 77


def test_wrong_shapes_are_refused() -> None:
    _, view = allocate(Columns, 2)
    with pytest.raises(ValueError, match="could not broadcast"):
        view.grid = np.zeros((2, 3, 2))


@pytest.mark.parametrize(("rows", "height"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (1025, 2048)])
def test_heights_are_powers_of_two(rows: int, height: int) -> None:
    assert padded_height(rows) == height
    assert len(allocate(Pair, rows)[0]) == height


def test_a_fixed_height_must_hold_the_rows() -> None:
    assert allocate(Pair, 3, height=16)[0].shape == (16, 2)
    with pytest.raises(ValueError, match="5 rows do not fit a height of 4"):
        allocate(Pair, 5, height=4)
