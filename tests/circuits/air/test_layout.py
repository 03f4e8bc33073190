"""Layouts: one declaration gives offsets, names, expressions' columns and views of a trace."""

from collections.abc import Callable

import numpy as np
import pytest

from circuits.air import C, Layout, Size, bit, byte, element, limb, nested, word
from circuits.air.layout import CellType, Column, Nested, Symbols, TraceView, allocate, padded_height


class Pair(Layout[C]):
    """Two limbs."""

    low = limb("low limb", by="test")
    high = limb("high limb", by="test")


class Columns(Layout[C]):
    real = bit("selector")
    grid = element("a block", (2, 3), by="test")
    pair: Pair[C] = nested(Pair)
    pairs: tuple[tuple[Pair[C], ...], ...] = nested(Pair, "several", (2, 2))
    small = byte("a byte", by="test", free="for a reason")


class More(Columns[C]):
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
    view = Columns(Symbols(lambda index: index))  # type: ignore[arg-type, return-value]
    assert view.real == 0
    assert view.grid == ((1, 2, 3), (4, 5, 6))
    assert view.pair.high == 8
    assert view.pairs[1][0].low == 13
    assert view.pairs is view.pairs, "read once"
    assert view.small == 17


@pytest.mark.parametrize("make", [lambda: Columns(Symbols(int)), lambda: allocate(Columns, 1)[1]])
def test_unknown_columns_are_refused(make: object) -> None:
    with pytest.raises(AttributeError, match="Columns has no column 'nothing'"):
        make().nothing  # type: ignore[operator]  # noqa: B018


def test_an_unknown_column_cannot_be_written() -> None:
    _, view = allocate(Columns, 2)
    with pytest.raises(AttributeError, match="no column 'grids'"):
        view.grids = 1


@pytest.mark.parametrize("name", ["cells", "names", "width", "offsets", "parts", "sized"])
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


LIMBS = Size("limbs")


class Inner(Layout[C]):
    flags = bit("one for each limb", LIMBS)
    rest = element("of a size of its own", Size("rest"), by="test")


class Open(Layout[C]):
    """Columns of several sizes."""

    first = element("one", by="test")
    bytes = byte("two for each limb", 2 * LIMBS, by="test")
    inner: Inner[C] = nested(Inner)
    grid = element("a block", (2, LIMBS), by="test")
    last = element("one", by="test")


def test_sizes_are_given_to_a_layout_and_to_those_nested_in_it() -> None:
    made = Open.sized(limbs=3, rest=1)
    assert made.offsets == {"first": 0, "bytes": 1, "inner": 7, "grid": 11, "last": 17}
    assert made.names()[7:12] == ["inner.flags[0]", "inner.flags[1]", "inner.flags[2]", "inner.rest[0]", "grid[0][0]"]
    assert (made.__name__, made.__doc__) == ("Open", Open.__doc__)
    assert issubclass(made, Open)
    assert made is Open.sized(rest=1, limbs=3)
    assert Open.sized(limbs=1, rest=1).width == 8


def test_a_trace_of_a_sized_layout() -> None:
    matrix, rows = allocate(Open, 2, Open.sized(limbs=2, rest=1))
    rows.inner.flags = [1, 0]
    rows.grid[:, 1, 0] = 7
    assert matrix[0].tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 7, 0, 0]


@pytest.mark.parametrize("sizes", [{}, {"limbs": 2}, {"limbs": 2, "rest": 1, "more": 1}])
def test_open_sizes_must_be_given(sizes: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"Open leaves \['limbs', 'rest'\] open, not \[.*\]"):
        Open.sized(**sizes)


def test_a_layout_with_open_sizes_reads_nothing() -> None:
    with pytest.raises(TypeError, match="Open needs sizes: limbs, rest"):
        allocate(Open, 2)


def test_a_trace_of_another_layout_is_refused() -> None:
    with pytest.raises(TypeError, match="Columns is no Open"):
        allocate(Open, 2, Columns)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: limb("a limb"), "a limb: nobody pins these cells"),
        (lambda: limb("a limb", by="test", equals=lambda row: 1), "a limb: a derived column is pinned by its"),
    ],
)
def test_somebody_pins_a_column(declare: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        declare()


def test_a_class_has_the_declarations() -> None:
    assert isinstance(Columns.grid, Column)
    assert (Columns.grid.shape, Columns.grid.doc, Columns.real.by) == ((2, 3), "a block", "boolean")
    assert isinstance(Columns.parts["pairs"], Nested)
