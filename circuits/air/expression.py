"""Expressions over a row, its successor and the public values: one hash-consed graph per table."""

from __future__ import annotations

from enum import IntEnum
from typing import Union

from circuits.air.field import MODULUS


class Op(IntEnum):
    """Node kinds; the numbers are part of the engine's circuit format."""

    LOCAL = 0
    NEXT = 1
    CONST = 2
    PUBLIC = 3
    IS_FIRST = 4
    IS_LAST = 5
    IS_TRANSITION = 6
    ADD = 7
    SUB = 8
    MUL = 9
    NEG = 10


Node = tuple[int, int, int]
Operand = Union["Expression", int]


class Graph:
    """The nodes of one table; equal nodes are stored once, children always before parents."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.degrees: list[int] = []
        self._index: dict[Node, int] = {}

    def copy(self) -> Graph:
        """A graph of the same nodes; the expressions of this one can be used with it."""
        other = Graph()
        other.nodes, other.degrees, other._index = list(self.nodes), list(self.degrees), dict(self._index)
        return other

    def node(self, op: Op, a: int = 0, b: int = 0) -> Expression:
        key = (int(op), a, b)
        index = self._index.get(key)
        if index is None:
            index = len(self.nodes)
            self._index[key] = index
            self.nodes.append(key)
            self.degrees.append(self._degree(op, a, b))
        return Expression(self, index)

    def constant(self, value: int) -> Expression:
        return self.node(Op.CONST, value % MODULUS)

    def lift(self, value: Operand) -> Expression:
        return value if isinstance(value, Expression) else self.constant(int(value))

    def _degree(self, op: Op, a: int, b: int) -> int:
        if op in (Op.LOCAL, Op.NEXT, Op.IS_FIRST, Op.IS_LAST, Op.IS_TRANSITION):
            return 1
        if op in (Op.CONST, Op.PUBLIC):
            return 0
        if op is Op.MUL:
            return self.degrees[a] + self.degrees[b]
        if op is Op.NEG:
            return self.degrees[a]
        return max(self.degrees[a], self.degrees[b])


class Expression:
    """A polynomial in cells; build with `+ - *` and integers (taken modulo the field)."""

    __slots__ = ("graph", "index")

    def __init__(self, graph: Graph, index: int) -> None:
        self.graph, self.index = graph, index

    @property
    def degree(self) -> int:
        return self.graph.degrees[self.index]

    @property
    def value(self) -> int | None:
        """The constant this expression is, or None."""
        op, a, _ = self.graph.nodes[self.index]
        return a if op == Op.CONST else None

    def __add__(self, other: Operand) -> Expression:
        o = self.graph.lift(other)
        if self.value == 0:
            return o
        if o.value == 0:
            return self
        if self.value is not None and o.value is not None:
            return self.graph.constant(self.value + o.value)
        return self.graph.node(Op.ADD, self.index, o.index)

    __radd__ = __add__

    def __neg__(self) -> Expression:
        if self.value is not None:
            return self.graph.constant(-self.value)
        return self.graph.node(Op.NEG, self.index)

    def __sub__(self, other: Operand) -> Expression:
        o = self.graph.lift(other)
        if o.value == 0:
            return self
        if self.value == 0:
            return -o
        if self.value is not None and o.value is not None:
            return self.graph.constant(self.value - o.value)
        return self.graph.node(Op.SUB, self.index, o.index)

    def __rsub__(self, other: Operand) -> Expression:
        return self.graph.lift(other) - self

    def __mul__(self, other: Operand) -> Expression:
        o = self.graph.lift(other)
        if self.value is not None and o.value is not None:
            return self.graph.constant(self.value * o.value)
        for left, right in ((self, o), (o, self)):
            if left.value == 0:
                return left
            if left.value == 1:
                return right
        return self.graph.node(Op.MUL, self.index, o.index)

    __rmul__ = __mul__
