"""Layouts: the columns of a table as a declared structure.

A `Layout` subclass lists its columns as class attributes::

    class Columns(Layout):
        real = bit("1 on rows that stand for a transaction")
        balance = word("balance before", by="state bus: its writer")
        sum = nested(AddWords, "balance + value")

The declaration is the single source of offsets, types and of who pins each cell. Bits are constrained to be boolean and
cells pinned `by=RANGE` are looked up in their range table without further ado (see `Table`). The same names address
expressions (in constraints) and numpy views (when a trace is filled), so the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Any, ClassVar

import numpy as np

from circuits.air.field import Matrix

#: The `by` of a cell which the table itself looks up in the range table of its type.
RANGE = "range"


class CellType(Enum):
    """What a cell holds; its exclusive upper bound is `bound`."""

    BIT = 2
    BYTE = 1 << 8
    LIMB = 1 << 16
    FIELD = 2013265921

    @property
    def bound(self) -> int:
        return self.value


@dataclass(frozen=True)
class Column:
    """One declared column or block of columns.

    Attributes:
        type: the type of every cell.
        shape: () for one column, else the shape of the block.
        doc: what the cells mean.
        by: who pins the cells: `RANGE`, or a phrase naming the constraint or the bus.
        free: why a single cell may change without breaking anything; None for the normal case that it must not.
    """

    type: CellType
    shape: tuple[int, ...]
    doc: str
    by: str
    free: str | None = None

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Nested:
    """A block of columns declared by another layout, `shape` times."""

    layout: type[Layout]
    shape: tuple[int, ...]
    doc: str

    @property
    def size(self) -> int:
        return prod(self.shape) * self.layout.width


def _shape(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else shape


def bit(doc: str, shape: int | tuple[int, ...] = (), *, free: str | None = None) -> Any:
    """Boolean cells; `x * (x - 1) = 0` is added to the table on every row."""
    return Column(CellType.BIT, _shape(shape), doc, "boolean", free)


def byte(doc: str, shape: int | tuple[int, ...] = (), *, by: str, free: str | None = None) -> Any:
    """Cells in [0, 2^8)."""
    return Column(CellType.BYTE, _shape(shape), doc, by, free)


def limb(doc: str, shape: int | tuple[int, ...] = (), *, by: str, free: str | None = None) -> Any:
    """Cells in [0, 2^16)."""
    return Column(CellType.LIMB, _shape(shape), doc, by, free)


def word(doc: str, *, by: str) -> Any:
    """A 256-bit word of 16 little-endian 16-bit limbs."""
    return limb(doc, 16, by=by)


def element(doc: str, shape: int | tuple[int, ...] = (), *, by: str, free: str | None = None) -> Any:
    """Field elements without a narrower range."""
    return Column(CellType.FIELD, _shape(shape), doc, by, free)


def nested(layout: type[Layout], doc: str = "", shape: int | tuple[int, ...] = ()) -> Any:
    """The columns of another layout (a gadget, an adapter) as a block."""
    return Nested(layout, _shape(shape), doc or (layout.__doc__ or "").strip().split("\n")[0])


@dataclass(frozen=True)
class Cell:
    """One flat column: its index, dotted name and declaration."""

    index: int
    name: str
    column: Column


class Layout:
    """Base of all column structures; subclasses declare columns as class attributes."""

    width: ClassVar[int] = 0
    offsets: ClassVar[dict[str, int]] = {}
    parts: ClassVar[dict[str, Column | Nested]] = {}

    def __init_subclass__(cls) -> None:
        parts: dict[str, Column | Nested] = {}
        for base in reversed(cls.__mro__):
            for name, part in vars(base).items():
                if isinstance(part, (Column, Nested)):
                    if hasattr(Layout, name):
                        raise TypeError(f"{cls.__qualname__}: a column cannot be called {name!r}")
                    parts[name] = part
        cls.parts = parts
        cls.offsets = {}
        offset = 0
        for name, part in cls.parts.items():
            cls.offsets[name] = offset
            offset += part.size
        cls.width = offset

    @classmethod
    def cells(cls, base: int = 0, prefix: str = "") -> Iterator[Cell]:
        """All flat columns in order."""
        for name, part in cls.parts.items():
            start = base + cls.offsets[name]
            for i, index in enumerate(np.ndindex(part.shape)):
                suffix = "".join(f"[{k}]" for k in index)
                if isinstance(part, Column):
                    yield Cell(start + i, f"{prefix}{name}{suffix}", part)
                else:
                    yield from part.layout.cells(start + i * part.layout.width, f"{prefix}{name}{suffix}.")

    @classmethod
    def names(cls) -> list[str]:
        """Dotted names of all flat columns in order."""
        return [cell.name for cell in cls.cells()]


class View:
    """Read access by name: one object per column, tuples of them for blocks, views for nested layouts."""

    def __init__(self, layout: type[Layout], get: Callable[[int], Any], base: int = 0) -> None:
        self._layout, self._get, self._base = layout, get, base

    def __getattr__(self, name: str) -> Any:
        part = self._layout.parts.get(name)
        if part is None:
            raise AttributeError(f"{self._layout.__qualname__} has no column {name!r}")
        base = self._base + self._layout.offsets[name]
        if isinstance(part, Column):
            value: Any = _arrange(part.shape, 1, base, self._get)
        else:
            layout = part.layout
            value = _arrange(part.shape, layout.width, base, lambda start: View(layout, self._get, start))
        setattr(self, name, value)  # cached: later reads bypass __getattr__
        return value


def _arrange(shape: tuple[int, ...], step: int, base: int, make: Callable[[int], Any]) -> Any:
    if not shape:
        return make(base)
    stride = step * prod(shape[1:])
    return tuple(_arrange(shape[1:], step, base + i * stride, make) for i in range(shape[0]))


class TraceView:
    """Write access by name to a trace matrix (height, width) `uint32`.

    Reading a column gives a numpy view of shape (height, *shape); assigning broadcasts into it. Nested layouts give
    further views, arrays of nested layouts tuples of them.
    """

    def __init__(self, layout: type[Layout], matrix: Matrix, base: int = 0) -> None:
        object.__setattr__(self, "_layout", layout)
        object.__setattr__(self, "_matrix", matrix)
        object.__setattr__(self, "_base", base)

    def __getattr__(self, name: str) -> Any:
        layout: type[Layout] = self._layout
        part = layout.parts.get(name)
        if part is None:
            raise AttributeError(f"{layout.__qualname__} has no column {name!r}")
        base = self._base + layout.offsets[name]
        if isinstance(part, Column):
            block = self._matrix[:, base : base + part.size]
            return block.reshape(len(self._matrix), *part.shape) if part.shape else block[:, 0]
        inner = part.layout
        return _arrange(part.shape, inner.width, base, lambda start: TraceView(inner, self._matrix, start))

    def __setattr__(self, name: str, value: Any) -> None:
        getattr(self, name)[...] = value


def allocate(layout: type[Layout], rows: int, *, height: int | None = None) -> tuple[Matrix, TraceView]:
    """A zeroed trace for at least `rows` rows, its height the next power of two (or the given one).

    Returns the matrix (height, width) and a view of its first `rows` rows.
    """
    size = height if height is not None else padded_height(rows)
    if size < rows:
        raise ValueError(f"{rows} rows do not fit a height of {size}")
    matrix = np.zeros((size, layout.width), dtype=np.uint32)
    return matrix, TraceView(layout, matrix[:rows])


def padded_height(rows: int) -> int:
    """The power of two a table with this many rows is padded to (at least 1)."""
    return 1 << (max(rows, 1) - 1).bit_length()
