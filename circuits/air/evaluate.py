"""Evaluation of a table's expressions on rows, over any field algebra.

The checker evaluates over galois arrays or plain numpy, the mutation harness over plain numpy, many altered rows at
once. All use this one evaluation.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.air import field
from circuits.air.expression import Graph, Op
from circuits.air.field import Matrix

_BINARY = (Op.ADD, Op.SUB, Op.MUL)

#: Values that are held at a time, of 8 bytes, and the fewest rows at a time.
_BLOCK_VALUES = 1 << 19
_BLOCK_ROWS = 16

#: Programs that are kept of each graph: of its constraints and messages, and of what it asks of each bus.
_PROGRAMS_OF_GRAPH = 32
_PROGRAMS: WeakKeyDictionary[Graph, OrderedDict[tuple[int, ...], Program]] = WeakKeyDictionary()


class Algebra(Protocol):
    """The operations of a field on whole arrays."""

    def zeros(self, *shape: int) -> Any:
        """An array of zeros, to be written to."""

    def column(self, values: NDArray[Any]) -> Any:
        """Canonical integers as elements."""

    def constant(self, value: int) -> Any:
        """One canonical integer as an element that broadcasts."""

    def add(self, a: Any, b: Any) -> Any: ...

    def sub(self, a: Any, b: Any) -> Any: ...

    def mul(self, a: Any, b: Any) -> Any: ...


class NumpyAlgebra:
    """Arithmetic on `uint64` arrays."""

    def zeros(self, *shape: int) -> NDArray[np.uint64]:
        return np.zeros(shape, dtype=np.uint64)

    def column(self, values: NDArray[Any]) -> NDArray[np.uint64]:
        return values.astype(np.uint64)

    def constant(self, value: int) -> NDArray[np.uint64]:
        return np.array([value], dtype=np.uint64)

    add = staticmethod(field.add)
    sub = staticmethod(field.sub)
    mul = staticmethod(field.mul)


class GaloisAlgebra:
    """Arithmetic of the `galois` library: the independent reference."""

    def __init__(self) -> None:
        import galois

        self.field = galois.GF(field.MODULUS)

    def zeros(self, *shape: int) -> Any:
        return self.field.Zeros(shape)

    def column(self, values: NDArray[Any]) -> Any:
        return self.field(values.astype(np.int64))

    def constant(self, value: int) -> Any:
        return self.field([value])

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def sub(self, a: Any, b: Any) -> Any:
        return a - b

    def mul(self, a: Any, b: Any) -> Any:
        return a * b


@dataclass(frozen=True)
class Rows:
    """Rows to evaluate: `local` and `next` (n, width), selectors (n,), public values (k,) or (n, k)."""

    local: Matrix
    next: Matrix
    is_first: NDArray[np.uint32]
    is_last: NDArray[np.uint32]
    public: NDArray[np.uint32]

    @staticmethod
    def of_trace(matrix: Matrix, public: NDArray[np.uint32]) -> Rows:
        """All rows of a trace; the successor of the last row is the first (constraints must mask it)."""
        height = len(matrix)
        first = np.zeros(height, dtype=np.uint32)
        last = np.zeros(height, dtype=np.uint32)
        first[0] = 1
        last[-1] = 1
        return Rows(matrix, np.roll(matrix, -1, axis=0), first, last, public)

    def __getitem__(self, block: slice) -> Rows:
        """Some of the rows."""
        public = self.public[block] if self.public.ndim == 2 else self.public
        return Rows(self.local[block], self.next[block], self.is_first[block], self.is_last[block], public)


class Program:
    """The nodes that some wanted ones of a graph need, in an order in which many are evaluated at once.

    A node's level is one more than that of its operands. Nodes of one level and operation make one operation on whole
    matrices, so that the cost of short tables does not grow with the number of nodes. Every node has a slot: its row in
    the matrix of values.
    """

    def __init__(self, graph: Graph, wanted: Iterable[int]) -> None:
        nodes = graph.nodes
        needed = _closure(graph, wanted)
        levels: dict[int, int] = {}
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index in needed:
            op, a, b = nodes[index]
            level = 0
            if op in _BINARY:
                level = 1 + max(levels[a], levels[b])
            elif op == Op.NEG:
                level = 1 + levels[a]
            levels[index] = level
            groups[level, op].append(index)
        self._slots: dict[int, int] = {}
        self._steps: list[tuple[int, slice, Any, Any]] = []
        for (_, op), members in sorted(groups.items()):
            start = len(self._slots)
            self._slots.update(zip(members, range(start, start + len(members)), strict=True))
            place = slice(start, start + len(members))
            left = [nodes[index][1] for index in members]
            right = [nodes[index][2] for index in members]
            if op in _BINARY:
                self._steps.append((op, place, self._operands(left), self._operands(right)))
            elif op == Op.NEG:
                self._steps.append((op, place, self._operands(left), None))
            else:
                self._steps.append((op, place, np.array(left), None))

    def __len__(self) -> int:
        return len(self._slots)

    def slots(self, nodes: Iterable[int]) -> NDArray[np.int64]:
        """The slots of nodes, which must be needed."""
        return np.array([self._slots[node] for node in nodes], dtype=np.int64)

    def _operands(self, nodes: list[int]) -> Any:
        """Slots to read: a slice where they follow each other, which makes no copy."""
        found = self.slots(nodes)
        if (np.diff(found) == 1).all():
            return slice(int(found[0]), int(found[-1]) + 1)
        return found

    def run(self, rows: Rows, algebra: Algebra) -> Any:
        """The values of all slots on these rows, (slots, rows)."""
        height = len(rows.local)
        values = algebra.zeros(len(self), height)
        zero = algebra.constant(0)
        for op, place, left, right in self._steps:
            if op == Op.LOCAL:
                value = algebra.column(rows.local[:, left].T)
            elif op == Op.NEXT:
                value = algebra.column(rows.next[:, left].T)
            elif op == Op.CONST:
                value = algebra.column(left[:, None])
            elif op == Op.PUBLIC:
                value = algebra.column(rows.public[..., left].T.reshape(len(left), -1))
            elif op == Op.IS_FIRST:
                value = algebra.column(rows.is_first)
            elif op == Op.IS_LAST:
                value = algebra.column(rows.is_last)
            elif op == Op.IS_TRANSITION:
                value = algebra.column(1 - rows.is_last)
            elif op == Op.ADD:
                value = algebra.add(values[left], values[right])
            elif op == Op.SUB:
                value = algebra.sub(values[left], values[right])
            elif op == Op.MUL:
                value = algebra.mul(values[left], values[right])
            else:
                value = algebra.sub(zero, values[left])
            values[place] = value
        return values

    def blocks(self, rows: Rows, algebra: Algebra) -> Iterator[tuple[slice, Any]]:
        """The values of all slots, some rows at a time: which rows, and (slots, of these rows)."""
        size = max(_BLOCK_ROWS, _BLOCK_VALUES // max(1, len(self)))
        for start in range(0, len(rows.local), size):
            block = slice(start, min(start + size, len(rows.local)))
            yield block, self.run(rows[block], algebra)


def _closure(graph: Graph, wanted: Iterable[int]) -> list[int]:
    """The wanted nodes and all that they are made of, children before parents."""
    nodes = graph.nodes
    found: set[int] = set()
    stack = list(wanted)
    while stack:
        index = stack.pop()
        if index in found:
            continue
        found.add(index)
        op, a, b = nodes[index]
        if op in _BINARY:
            stack += (a, b)
        elif op == Op.NEG:
            stack.append(a)
    return sorted(found)


def columns_read(graph: Graph, node: int) -> set[int]:
    """The columns of the row itself that a node reads."""
    found = (graph.nodes[index] for index in _closure(graph, [node]))
    return {column for op, column, _ in found if op == Op.LOCAL}


def program(graph: Graph, wanted: Iterable[int]) -> Program:
    """The program for these nodes; those used last are kept."""
    key = tuple(wanted)
    known = _PROGRAMS.setdefault(graph, OrderedDict())
    if key in known:
        known.move_to_end(key)
    else:
        known[key] = Program(graph, key)
        if len(known) > _PROGRAMS_OF_GRAPH:
            known.popitem(last=False)
    return known[key]


def evaluate(graph: Graph, rows: Rows, algebra: Algebra, wanted: Iterable[int]) -> dict[int, Any]:
    """Values of the wanted nodes, each an array of one element per row."""
    nodes = tuple(dict.fromkeys(wanted))
    made = program(graph, nodes)
    slots = made.slots(nodes)
    values = algebra.zeros(len(nodes), len(rows.local))
    for block, of_block in made.blocks(rows, algebra):
        values[:, block] = of_block[slots]
    return dict(zip(nodes, values, strict=True))
