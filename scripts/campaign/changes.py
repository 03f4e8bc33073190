"""Changes: what a lie says otherwise, in a form that can be saved, and how cells and rows are changed at random."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import MODULUS, Matrix
from circuits.air.table import Table

#: Columns of equal length, by name.
Columns = Mapping[str, NDArray[Any]]

#: What may happen to a row, and how often.
_KINDS = {"element": 0.5, "entry": 0.2, "copied": 0.1, "swapped": 0.1, "dropped": 0.05, "repeated": 0.05}
#: Rows that a dropped or repeated row may move.
_SHIFTED = 12


class Change(NamedTuple):
    """One element that is said to be another one.

    Attributes:
        place: what is changed: "table NAME", "trace NAME", "events NAME" or "machine".
        row, column, element: where; `element` counts within the row of a column.
        value: what is said: the element itself, except for the machine (see `lies`).
    """

    place: str
    row: int
    column: str
    element: int
    value: int

    def __str__(self) -> str:
        element = f"[{self.element}]" if self.element else ""
        return f"{self.place}, row {self.row}: {self.column}{element} is said to be {self.value}"


def apply(columns: Columns, changes: Sequence[Change]) -> None:
    """Make these changes in place.

    Raises:
        LookupError: there is no such column or element.
    """
    for change in changes:
        column = columns[change.column]
        rows = column.reshape(len(column), -1) if len(column) else column.reshape(0, 1)
        if not (0 <= change.row < len(rows) and change.element < rows.shape[1]):
            raise LookupError(f"nothing there: {change}")
        rows[change.row, change.element] = change.value


def cells(table: Table, matrix: Matrix) -> Columns:
    """The cells of a filled table as columns, which are views."""
    return {name: matrix[:, index] for index, name in enumerate(table.layout.names())}


def other_value(rng: np.random.Generator, old: int, column: Sequence[int] | NDArray[Any], bound: int) -> int:
    """Another value below `bound`: close by, extreme, one that the column has elsewhere, a power of 2 away, random."""
    match int(rng.integers(7)):
        case 0:
            new = old + 1
        case 1:
            new = old - 1
        case 2:
            new = int(rng.choice([0, 1, bound - 1]))
        case 3 | 4:
            new = int(column[int(rng.integers(len(column)))])
        case 5:
            new = old + int(rng.choice([-1, 1])) * (1 << int(rng.choice([4, 8, 16])))
        case _:
            new = int(rng.integers(min(bound, 1 << 62)))
    new %= bound
    return new if new != old else (old + 1) % bound


def bound_of(column: NDArray[Any], table: Table | None = None) -> int:
    """The exclusive upper bound of what a column can hold."""
    if table is not None:
        return MODULUS
    return int(np.iinfo(column.dtype).max) + 1 if column.dtype != np.bool_ else 2


def random_changes(
    rng: np.random.Generator, place: str, columns: Columns, table: Table | None = None
) -> tuple[Change, ...]:
    """An element or a whole entry is changed, or a row replaced, swapped, dropped or repeated."""
    length = len(next(iter(columns.values())))
    if not length:
        return ()
    row = int(rng.integers(length))
    kind = rng.choice(
        ["element", "entry", "copied", "swapped", "dropped", "repeated"], p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05]
    )
    if kind in ("element", "entry") or length == 1:
        name = str(rng.choice(list(columns)))
        column = columns[name].reshape(length, -1)
        bound = bound_of(columns[name], table)
        if kind == "entry":  # stale, or of another row
            return tuple(_replace(place, name, row, column[row], column[int(rng.integers(length))]))
        element = int(rng.integers(column.shape[1]))
        old = int(column[row, element])
        return (Change(place, row, name, element, other_value(rng, old, column[:, element], bound)),)
    other = int(rng.integers(length))
    end = min(length, row + _SHIFTED)
    moved = {
        "copied": {row: other},
        "swapped": {row: other, other: row},
        "dropped": {r: r + 1 for r in range(row, end - 1)},
        "repeated": {r: r - 1 for r in range(row + 1, end)},
    }[str(kind)]
    return tuple(
        change
        for to, by in moved.items()
        for name, column in columns.items()
        for change in _replace(place, name, to, *(column.reshape(length, -1)[[to, by]]))
    )


def _replace(place: str, name: str, row: int, old: NDArray[Any], new: NDArray[Any]) -> Iterator[Change]:
    for element in np.flatnonzero(old != new).tolist():
        yield Change(place, row, name, element, int(new[element]))
