"""Layouts: the columns of a table as a declared structure.

A `Layout` subclass lists its columns as class attributes::

    class Columns(Layout[C]):
        real = bit("1 on rows that stand for a transaction")
        balance = word("balance before", by="state bus: its writer")
        cost = element("gas that it pays", equals=lambda row: row.real * GAS + row.reads * GAS_READ)
        sum: AddWords[C] = nested(AddWords, "balance + value")

The declaration is the single source of offsets, types and of who pins each cell. Bits are constrained to be boolean,
cells pinned `by=RANGE` are looked up in their range table and *derived* columns, which an expression `equals`, are both
constrained and filled, without further ado (see `Table` and `circuits.air.derived`).

An instance of a layout reads cells by name from its `Source`. `Columns[Expression]`, which as a type is what `Columns`
alone means, has expressions (in constraints), `Columns[Array]` has numpy views (when a trace is filled). So the two
cannot drift apart, and an editor knows both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, cast, overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from circuits.air.expression import Expression
from circuits.air.field import Matrix

#: The `by` of a cell which the table itself looks up in the range table of its type.
RANGE = "range"

#: The cells of a column or of a block of columns in a trace, (rows, *shape): a view, to be written to.
Array = NDArray[np.uint32]

#: What the cells of a layout are, `Expression` or `Array`; unknown to types unless it is named.
M = TypeVar("M", default=Any)
#: The same for declarations: `class Columns(Layout[C])`, so that `Columns` alone means expressions.
C = TypeVar("C", default=Expression)
#: A column read as expressions: one, or nested tuples of them.
S = TypeVar("S", default=Any)


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
class Size:
    """A number of columns that is left open: `times` what `Layout.sized` says for this name."""

    name: str
    times: int = 1

    def __rmul__(self, factor: int) -> Size:
        return Size(self.name, self.times * factor)


Shape = tuple[int | Size, ...]


class _Unknown:
    """The mode of no layout but those whose mode is not named: `Layout[Any]` alone fits `Layout[_Unknown]`."""


class Column(Generic[S]):
    """One declared column or block of columns.

    Attributes:
        type: the type of every cell.
        shape: () for one column, else the shape of the block.
        doc: what the cells mean.
        by: who pins the cells: `RANGE`, or a phrase naming the constraint or the bus.
        free: why a single cell may change without breaking anything; None for the normal case that it must not.
        equals: of a derived column: gives the expressions that the cells equal, for a row of the layout.
    """

    def __init__(
        self,
        type: CellType,
        shape: Shape,
        doc: str,
        by: str,
        free: str | None = None,
        equals: Callable[[Any], Any] | None = None,
    ) -> None:
        self.type, self.doc, self.by, self.free, self.equals = type, doc, by, free, equals
        self.declared_shape = shape
        self.name = ""

    def __set_name__(self, owner: type[Layout[Any]], name: str) -> None:
        self.name = name

    @property
    def shape(self) -> tuple[int, ...]:
        return _closed(self.declared_shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def open_sizes(self) -> frozenset[str]:
        """The names of sizes that are left open."""
        return _open(self.declared_shape)

    def sized(self, sizes: dict[str, int]) -> Column[S]:
        """The same with these sizes."""
        return Column(self.type, _resolved(self.declared_shape, sizes), self.doc, self.by, self.free, self.equals)

    @overload
    def __get__(self, row: None, owner: type[Layout[Any]]) -> Column[S]: ...

    @overload
    def __get__(self, row: Layout[_Unknown], owner: type[Layout[Any]]) -> Any: ...

    @overload
    def __get__(self, row: Layout[Expression], owner: type[Layout[Any]]) -> S: ...

    @overload
    def __get__(self, row: Layout[Array], owner: type[Layout[Any]]) -> Array: ...

    def __get__(self, row: Any, owner: Any) -> Any:
        if row is None:
            return self
        value = row._source.column(row._base + owner.offsets[self.name], self.shape)
        row.__dict__[self.name] = value  # later reads find it there
        return value

    if TYPE_CHECKING:  # at run time `Layout.__setattr__`: a `__set__` would keep reads from the instance's dictionary

        def __set__(self, row: Layout[Array], value: NDArray[Any] | Any) -> None:
            """Broadcast a value, whatever numpy makes an array of, into the cells."""


class Nested:
    """A block of columns declared by another layout, `shape` times."""

    def __init__(self, layout: type[Layout[Any]], shape: Shape, doc: str) -> None:
        self.layout, self.declared_shape, self.doc = layout, shape, doc
        self.name = ""

    def __set_name__(self, owner: type[Layout[Any]], name: str) -> None:
        self.name = name

    @property
    def shape(self) -> tuple[int, ...]:
        return _closed(self.declared_shape)

    @property
    def size(self) -> int:
        return prod(self.shape) * self.layout.width

    @property
    def open_sizes(self) -> frozenset[str]:
        """The names of sizes that are left open."""
        return _open(self.declared_shape) | self.layout.open_sizes

    def sized(self, sizes: dict[str, int]) -> Nested:
        """The same with these sizes."""
        layout = self.layout.sized(**{name: sizes[name] for name in self.layout.open_sizes})
        return Nested(layout, _resolved(self.declared_shape, sizes), self.doc)

    def __get__(self, row: Any, owner: Any) -> Any:
        if row is None:
            return self
        base, layout, source = row._base + owner.offsets[self.name], self.layout, row._source
        value = arrange(self.shape, layout.width, base, lambda start: layout(source, start))
        row.__dict__[self.name] = value
        return value


def _shape(shape: int | Size | Shape) -> Shape:
    return shape if isinstance(shape, tuple) else (shape,)


def _open(shape: Shape) -> frozenset[str]:
    return frozenset(part.name for part in shape if isinstance(part, Size))


def _closed(shape: Shape) -> tuple[int, ...]:
    found = tuple(part for part in shape if isinstance(part, int))
    if len(found) < len(shape):
        raise TypeError(f"sizes are left open: {', '.join(sorted(_open(shape)))}")
    return found


def _resolved(shape: Shape, sizes: dict[str, int]) -> Shape:
    return tuple(part.times * sizes[part.name] if isinstance(part, Size) else part for part in shape)


class _Declaration:
    """Declares columns of a type; see the instances."""

    def __init__(self, type: CellType, by: str | None = None) -> None:
        self._type, self._by = type, by

    @overload
    def __call__(
        self,
        doc: str,
        *,
        by: str | None = None,
        free: str | None = None,
        equals: Callable[[Any], Any] | None = None,
    ) -> Column[Expression]: ...

    @overload
    def __call__(
        self,
        doc: str,
        shape: int | Size,
        *,
        by: str | None = None,
        free: str | None = None,
        equals: Callable[[Any], Any] | None = None,
    ) -> Column[tuple[Expression, ...]]: ...

    @overload
    def __call__(
        self,
        doc: str,
        shape: tuple[int | Size, int | Size],
        *,
        by: str | None = None,
        free: str | None = None,
        equals: Callable[[Any], Any] | None = None,
    ) -> Column[tuple[tuple[Expression, ...], ...]]: ...

    @overload
    def __call__(
        self,
        doc: str,
        shape: Shape,
        *,
        by: str | None = None,
        free: str | None = None,
        equals: Callable[[Any], Any] | None = None,
    ) -> Column[Any]: ...

    def __call__(
        self,
        doc: str,
        shape: int | Size | Shape = (),
        *,
        by: str | None = None,
        free: str | None = None,
        equals: Callable[[Any], Any] | None = None,
    ) -> Column[Any]:
        """Declare a column, or a block of this shape.

        Args:
            doc: what the cells mean.
            shape: of the block.
            by: who pins the cells. A bit is boolean and a derived column has its expression; `RANGE` besides says that
                the expression is a limb, too.
            free: why a single cell may change without breaking anything.
            equals: makes it a derived column: gives its expression (for a block: a sequence of them), of degree 3 at
                most, for a row of the layout. Derived columns that it reads must be declared before.

        Raises:
            TypeError: nobody pins the cells, or another than their expression.
        """
        if equals is not None and by not in (None, RANGE):
            raise TypeError(f"{doc}: a derived column is pinned by its expression")
        pinned = by or (self._by if equals is None else "its expression")
        if pinned is None:
            raise TypeError(f"{doc}: nobody pins these cells")
        return Column(self._type, _shape(shape), doc, pinned, free, equals)


#: Boolean cells; `x * (x - 1) = 0` is added to the table on every row.
bit = _Declaration(CellType.BIT, "boolean")
#: Cells in [0, 2^8).
byte = _Declaration(CellType.BYTE)
#: Cells in [0, 2^16).
limb = _Declaration(CellType.LIMB)
#: Field elements without a narrower range.
element = _Declaration(CellType.FIELD)


def word(doc: str, *, by: str) -> Column[tuple[Expression, ...]]:
    """A 256-bit word of 16 little-endian 16-bit limbs."""
    return limb(doc, 16, by=by)


def nested(layout: type[Layout[Any]], doc: str = "", shape: int | Size | Shape = ()) -> Any:
    """The columns of another layout (a gadget, an adapter) as a block, or a block of such blocks.

    To be declared with its type, `sum: AddWords[C] = nested(AddWords)`, so that an editor knows its columns.
    """
    return Nested(layout, _shape(shape), doc or (layout.__doc__ or "").strip().split("\n")[0])


@dataclass(frozen=True)
class Cell:
    """One flat column: its index, dotted name and declaration."""

    index: int
    name: str
    column: Column


class Source(ABC, Generic[M]):
    """Where the cells of a layout are read from."""

    @abstractmethod
    def column(self, base: int, shape: tuple[int, ...]) -> Any:
        """The block of columns from the flat column `base` on."""


class Symbols(Source[Expression]):
    """One expression for each flat column; blocks are tuples of them."""

    def __init__(self, get: Callable[[int], Expression]) -> None:
        self._get = get

    def column(self, base: int, shape: tuple[int, ...]) -> Any:
        return arrange(shape, 1, base, self._get)


class Cells(Source[Array]):
    """The cells of a trace (height, width) `uint32`.

    Attributes:
        matrix: the rows that are read and written.
        fresh: the whole trace if it is being filled: the derived columns are then left to `fill_derived`.
    """

    def __init__(self, matrix: Matrix, *, fresh: Matrix | None = None) -> None:
        self.matrix, self.fresh = matrix, fresh

    def column(self, base: int, shape: tuple[int, ...]) -> Array:
        block = self.matrix[:, base : base + prod(shape)]
        return block.reshape(len(self.matrix), *shape) if shape else block[:, 0]


class Layout(Generic[M]):
    """Base of all column structures; subclasses declare columns as class attributes.

    An instance reads the cells by name from its source: columns as they come, nested layouts as instances of these.
    Where cells are arrays, assigning to a column broadcasts into it.

    Attributes:
        width: number of flat columns.
        offsets: first flat column of each part.
        parts: the declarations by name, in order.
        open_sizes: the names of sizes that are left open; `sized` makes the layout to use.
        derives: whether there are derived columns, nested ones included.
    """

    width: ClassVar[int] = 0
    offsets: ClassVar[dict[str, int]] = {}
    parts: ClassVar[dict[str, Column[Any] | Nested]] = {}
    open_sizes: ClassVar[frozenset[str]] = frozenset()
    derives: ClassVar[bool] = False

    _layout: type[Layout[Any]]
    _source: Source[M]
    _base: int

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        parts: dict[str, Column[Any] | Nested] = {}
        for base in reversed(cls.__mro__):
            for name, part in vars(base).items():
                if isinstance(part, (Column, Nested)):
                    if hasattr(Layout, name):
                        raise TypeError(f"{cls.__qualname__}: a column cannot be called {name!r}")
                    parts[name] = part
        cls.parts = parts
        cls.open_sizes = frozenset(name for part in parts.values() for name in part.open_sizes)
        cls.derives = any(p.equals if isinstance(p, Column) else p.layout.derives for p in parts.values())
        cls.offsets, cls.width = {}, 0
        if not cls.open_sizes:
            for name, part in parts.items():
                cls.offsets[name] = cls.width
                cls.width += part.size

    def __init__(self, source: Source[M], base: int = 0) -> None:
        """Reads from the flat column `base` of the source on.

        Raises:
            TypeError: sizes of the layout are left open.
        """
        layout = type(self)
        if layout.open_sizes:
            raise TypeError(f"{layout.__qualname__} needs sizes: {', '.join(sorted(layout.open_sizes))}")
        self.__dict__.update(_layout=layout, _source=source, _base=base)

    @property
    def _cells(self) -> Cells:
        """The source, where cells are arrays."""
        source: Source[Any] = self._source
        assert isinstance(source, Cells)
        return source

    @property
    def _matrix(self) -> Matrix:
        """The rows that are read, of all columns of the trace."""
        return self._cells.matrix

    if TYPE_CHECKING:
        # Layouts whose mode is not named have columns of any name, others those that they declare.
        def __getattr__(self: Layout[_Unknown], name: str) -> Any: ...

        def __setattr__(self: Layout[_Unknown], name: str, value: Any) -> None: ...

    else:

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(f"{type(self).__qualname__} has no column {name!r}")

        def __setattr__(self, name: str, value: Any) -> None:
            if self.derives and self._source.fresh is not None and getattr(self.parts.get(name), "equals", None):
                raise TypeError(f"{type(self).__qualname__}.{name} is derived: `fill_derived` fills it")
            getattr(self, name)[...] = value

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

    @classmethod
    def sized(cls, **sizes: int) -> type[Self]:
        """This layout with the sizes that it leaves open; always the same class for the same sizes.

        Raises:
            TypeError: these are not the names of the open sizes.
        """
        if set(sizes) != cls.open_sizes:
            raise TypeError(f"{cls.__qualname__} leaves {sorted(cls.open_sizes)} open, not {sorted(sizes)}")
        if not sizes:
            return cls
        key = (cls, tuple(sorted(sizes.items())))
        if key not in _SIZED:
            parts = {name: part.sized(sizes) for name, part in cls.parts.items() if part.open_sizes}
            names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
            _SIZED[key] = type(cls.__name__, (cls,), names | parts)
        made: type[Self] = _SIZED[key]
        return made


#: The layouts that `Layout.sized` made, by what they are made of.
_SIZED: dict[tuple[type, tuple[tuple[str, int], ...]], Any] = {}

L = TypeVar("L", bound=Layout[Any], default=Any)
T = TypeVar("T", bound=Layout[Any])


def arrange(shape: tuple[int, ...], step: int, base: int, make: Callable[[int], Any]) -> Any:
    """What `make` makes of flat columns from `base` on, `step` apart: one of them, or nested tuples of this shape."""
    if not shape:
        return make(base)
    stride = step * prod(shape[1:])
    return tuple(arrange(shape[1:], step, base + i * stride, make) for i in range(shape[0]))


class TraceView(Layout[Any]):
    """A trace by the names of a layout that is known at run time only: `TraceView(layout, matrix)`."""

    def __new__(cls, layout: type[L], matrix: Matrix, base: int = 0) -> L:  # type: ignore[misc]
        """`layout` itself, reading from the trace (height, width) `uint32`."""
        return layout(Cells(matrix), base)

    if TYPE_CHECKING:

        def __init__(self, layout: type[L], matrix: Matrix, base: int = 0) -> None: ...


def allocate(
    layout: Callable[[Source[Array]], T], rows: int, of: type[Layout[Any]] | None = None, *, height: int | None = None
) -> tuple[Matrix, T]:
    """A zeroed trace for at least `rows` rows, its height the next power of two (or the given one).

    Args:
        layout: the layout.
        rows: how many rows are to be filled.
        of: the one of a table, made from `layout`, where that leaves sizes open.
        height: rows of the trace.

    Returns:
        The matrix (height, width) and a view of its first `rows` rows.
    """
    size = height if height is not None else padded_height(rows)
    if size < rows:
        raise ValueError(f"{rows} rows do not fit a height of {size}")
    # A parameter `type[T]` would leave it to the caller to say that the cells of this `T` are arrays.
    chosen = cast(type[T], of or layout)
    if not issubclass(chosen, cast(type[T], layout)):
        raise TypeError(f"{chosen.__qualname__} is no {cast(type[T], layout).__qualname__}")
    matrix = np.zeros((size, chosen.width), dtype=np.uint32)
    return matrix, chosen(Cells(matrix[:rows], fresh=matrix))


def padded_height(rows: int) -> int:
    """The power of two a table with this many rows is padded to (at least 1)."""
    return 1 << (max(rows, 1) - 1).bit_length()
