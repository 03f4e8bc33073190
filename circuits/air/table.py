"""Tables: a layout, constraints on a row and its successor, and bus interactions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, cast, get_args, get_origin

import numpy as np

from circuits.air.bus import Bus, BusKind
from circuits.air.expression import Expression, Graph, Node, Op, Operand
from circuits.air.layout import RANGE, CellType, Column, L, Layout, Symbols, arrange


@dataclass(frozen=True)
class Constraint:
    """`expression` vanishes on every row."""

    name: str
    expression: Expression


@dataclass(frozen=True)
class Interaction:
    """A message on a bus with a signed count: positive sends or queries, negative receives or provides."""

    bus: Bus
    count: Expression
    message: tuple[Expression, ...]
    provides: bool

    @property
    def weight(self) -> int:
        """Contribution to the engine's bound on counts per bus; the free multiplicity of a provider has none."""
        return 0 if self.provides else 1


class Air(Generic[L]):
    """Collects the constraints and interactions of one table with this layout."""

    row: L
    next: L

    def __init__(self, layout: type[L], public: type[Layout]) -> None:
        self.graph = Graph()
        self.constraints: list[Constraint] = []
        self.interactions: list[Interaction] = []
        self.row = layout(Symbols(lambda i: self.graph.node(Op.LOCAL, i)))
        self.next = layout(Symbols(lambda i: self.graph.node(Op.NEXT, i)))
        self.public: Any = public(Symbols(lambda i: self.graph.node(Op.PUBLIC, i)))
        self.is_first = self.graph.node(Op.IS_FIRST)
        self.is_last = self.graph.node(Op.IS_LAST)
        self.is_transition = self.graph.node(Op.IS_TRANSITION)

    @property
    def nodes(self) -> Sequence[Node]:
        """The graph as far as constraints and messages reach.

        Whoever makes further expressions of the row, such as a test, adds nodes behind these: the circuit stays.
        """
        used = [c.expression.index for c in self.constraints]
        used += [e.index for i in self.interactions for e in (i.count, *i.message)]
        return self.graph.nodes[: 1 + max(used, default=-1)]

    def constant(self, value: int) -> Expression:
        """A constant as an expression."""
        return self.graph.constant(value)

    def require(self, expression: Operand, name: str) -> None:
        """`expression` must be zero on every row."""
        self.constraints.append(Constraint(name, self.graph.lift(expression)))

    def require_equal(self, left: Any, right: Any, name: str, *, when: Operand = 1) -> None:
        """`when * (left - right) = 0` on every row, cell by cell for (nested) sequences."""
        if isinstance(left, Sequence) or isinstance(right, Sequence):
            if len(left) != len(right):
                raise ValueError(f"{name}: lengths {len(left)} and {len(right)} differ")
            for i, (a, b) in enumerate(zip(left, right, strict=True)):
                self.require_equal(a, b, f"{name}[{i}]", when=when)
        else:
            self.require(self.graph.lift(when) * (self.graph.lift(left) - right), name)

    def require_bit(self, expression: Expression, name: str) -> None:
        """`expression` must be 0 or 1 on every row."""
        self.require(expression * (expression - 1), f"{name} is a bit")

    def send(self, bus: Bus, *message: Any, count: Operand) -> None:
        """Send a message on a permutation bus; `count` must be constrained to {0, 1}."""
        self._interact(bus, BusKind.PERMUTATION, message, self.graph.lift(count), False)

    def receive(self, bus: Bus, *message: Any, count: Operand) -> None:
        """Receive a message on a permutation bus; `count` must be constrained to {0, 1}."""
        self._interact(bus, BusKind.PERMUTATION, message, -self.graph.lift(count), False)

    def query(self, bus: Bus, *message: Any, count: Operand) -> None:
        """Require a message to be among those a lookup bus provides; `count` must be constrained to {0, 1}."""
        self._interact(bus, BusKind.LOOKUP, message, self.graph.lift(count), False)

    def provide(self, bus: Bus, *message: Any, multiplicity: Operand) -> None:
        """Provide a message on a lookup bus as often as it is queried."""
        self._interact(bus, BusKind.LOOKUP, message, -self.graph.lift(multiplicity), True)

    def carry(self, bus: Bus, *message: Any, count: Operand) -> None:
        """A message that another segment has too many or too few of, on a bus of either kind; any signed count.

        What is carried into a segment is what is carried out of the one before (`circuits.carry`), so over both it adds
        up to nothing, and no bound on counts depends on it.
        """
        self._interact(bus, bus.kind, message, self.graph.lift(count), True)

    def _interact(self, bus: Bus, kind: BusKind, message: Iterable[Any], count: Expression, provides: bool) -> None:
        fields = tuple(self.graph.lift(e) for e in flatten(message))
        if bus.kind is not kind:
            raise ValueError(f"bus {bus.name} is a {bus.kind.value} bus")
        if len(fields) != bus.width:
            raise ValueError(f"bus {bus.name} carries {bus.width} elements, not {len(fields)}")
        self.interactions.append(Interaction(bus, count, fields, provides))


def flatten(items: Iterable[Any]) -> Iterable[Any]:
    """The leaves of nested sequences, in order."""
    for item in items:
        if isinstance(item, Sequence):
            yield from flatten(item)
        else:
            yield item


@dataclass(frozen=True)
class DerivedCell:
    """A flat column of a layout, its dotted name, and what it equals."""

    index: int
    name: str
    expression: Expression


def derived_cells(row: Layout[Expression], graph: Graph) -> Iterator[DerivedCell]:
    """The derived columns of a row, those of nested layouts included, in the order of declaration.

    Raises:
        ValueError: a block has another number of expressions than columns.
    """
    return _derived(row, graph, 0, "")


def _derived(row: Layout[Any], graph: Graph, base: int, prefix: str) -> Iterator[DerivedCell]:
    for name, part in row.parts.items() if row.derives else ():
        start = base + row.offsets[name]
        names = [f"{prefix}{name}{''.join(f'[{k}]' for k in index)}" for index in np.ndindex(part.shape)]
        if not isinstance(part, Column):
            places = flatten([arrange(part.shape, part.layout.width, start, int)])
            for place, of, inner in zip(places, names, flatten([getattr(row, name)]), strict=True):
                yield from _derived(inner, graph, place, f"{of}.")
        elif part.equals is not None:
            values: list[Operand] = list(flatten([part.equals(row)]))
            if len(values) != len(names):
                raise ValueError(f"{prefix}{name}: {len(values)} expressions for {len(names)} columns")
            for i, (of, value) in enumerate(zip(names, values, strict=True)):
                yield DerivedCell(start + i, of, graph.lift(value))


class NoColumns(Layout):
    """The layout of a table without public values."""


class Table(ABC, Generic[L]):
    """A table of a circuit: `class Transfers(Table[Columns])`.

    Subclasses set `name`, usually `selector` (the column that is 1 on real rows: automatic range checks count only
    there), and write `constraints`. Filling is a plain function beside the class. A table with parameters, such as
    sizes of its layout, is given name and layout when it is made: `Transfers("small", Columns.sized(limbs=4))`.

    Attributes:
        layout: the layout that the class names, or the one that the table is given.
        row_order: why the order of rows carries no meaning, or None when it does (mutation by swapping is then caught).
    """

    name: str
    layout: type[L]
    public: ClassVar[type[Layout]] = NoColumns
    selector: ClassVar[str | None] = "real"
    row_order: ClassVar[str | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        arguments = (argument for base in vars(cls).get("__orig_bases__", ()) for argument in get_args(base))
        for argument in arguments:
            named: Any = get_origin(argument) or argument
            if isinstance(named, type) and issubclass(named, Layout):
                cls.layout = cast(Any, named)

    def __init__(self, name: str | None = None, layout: type[L] | None = None) -> None:
        """A table of this name and layout where the class has none."""
        if name is not None:
            self.name = name
        if layout is not None:
            self.layout = layout

    @abstractmethod
    def constraints(self, air: Air[L]) -> None:
        """State the constraints and interactions on `air.row`, `air.next` and `air.public`."""

    @cached_property
    def air(self) -> Air[L]:
        """The constraints, with those that follow from the declarations of the columns."""
        from circuits.air.range_buses import BYTE_RANGE_FACTOR, RANGE16

        air = Air(self.layout, self.public)
        active = getattr(air.row, self.selector) if self.selector else air.constant(1)
        for cell in self.layout.cells():
            x = air.graph.node(Op.LOCAL, cell.index)
            if cell.column.type is CellType.BIT:
                air.require_bit(x, cell.name)
            elif cell.column.by == RANGE:
                if cell.column.type is CellType.FIELD:
                    raise TypeError(f"{self.name}.{cell.name}: a field element has no range table")
                air.query(RANGE16, x, count=active)
                if cell.column.type is CellType.BYTE:
                    # x and 256 x below 2^16, and 256 x cannot wrap: hence x < 2^8.
                    air.query(RANGE16, x * BYTE_RANGE_FACTOR, count=active)
        for derived in derived_cells(air.row, air.graph):
            air.require(air.graph.node(Op.LOCAL, derived.index) - derived.expression, derived.name)
        self.constraints(air)
        return air

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.layout.width
