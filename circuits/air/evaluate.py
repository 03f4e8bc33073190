"""Evaluation of a table's expressions on rows.

By native code (`NATIVE`), whose arithmetic is not the prover's, or over any field algebra on arrays: that of the
`galois` library is the independent reference. The checker, what fills tables from others, and the mutation harness,
which alters many rows at once, all use this one evaluation.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.air import field
from circuits.air.expression import Graph, Node, Op
from circuits.air.field import Matrix

_BINARY = (Op.ADD, Op.SUB, Op.MUL)

#: Values that are held at a time, and the fewest rows at a time.
_BLOCK_VALUES = 1 << 19
_BLOCK_ROWS = 16

#: Programs that are kept of each graph: of its constraints and messages, and of what it asks of each bus.
_PROGRAMS_OF_GRAPH = 32
_PROGRAMS: WeakKeyDictionary[Graph, OrderedDict[tuple[int, ...], Program]] = WeakKeyDictionary()
_NUMBERS: WeakKeyDictionary[Graph, NDArray[np.uint32]] = WeakKeyDictionary()


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


class Native:
    """Stands for the native code in the place of an algebra."""


NATIVE = Native()


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

    def __len__(self) -> int:
        return len(self.local)

    def __getitem__(self, block: slice) -> Rows:
        """Some of the rows."""
        public = self.public[block] if self.public.ndim == 2 else self.public
        return Rows(self.local[block], self.next[block], self.is_first[block], self.is_last[block], public)


@dataclass(frozen=True)
class TraceRows:
    """All rows of a trace; the successor of the last row is the first (constraints must mask it)."""

    matrix: Matrix
    public: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.matrix)

    def __getitem__(self, block: slice) -> Rows:
        """Some of the rows, of which nothing is copied but at the end of the trace."""
        start, end, _ = block.indices(len(self))
        following = self.matrix[start + 1 : end + 1]
        if end == len(self):
            following = np.concatenate([following, self.matrix[:1]])
        at = np.arange(start, end)
        first, last = (at == 0).astype(np.uint32), (at == len(self) - 1).astype(np.uint32)
        public = self.public[block] if self.public.ndim == 2 else self.public
        return Rows(self.matrix[block], following, first, last, public)


class Program:
    """What computes some wanted nodes of a graph on rows."""

    def __init__(self, graph: Graph, wanted: Iterable[int]) -> None:
        self._wanted = tuple(dict.fromkeys(wanted))
        self._places = {node: place for place, node in enumerate(self._wanted)}
        # Not the graph itself, which forgets its programs when it is gone.
        self._nodes, self._numbers = graph.nodes, _numbers(graph)

    def slots(self, nodes: Iterable[int]) -> NDArray[np.int64]:
        """Which of the values those of these nodes are, which must be wanted."""
        return np.array([self._places[node] for node in nodes], dtype=np.int64)

    def run(self, rows: Rows, algebra: Algebra | Native = NATIVE) -> Any:
        """The values of the wanted nodes on these rows, (wanted, rows): `uint32`, or elements of the algebra."""
        if not isinstance(algebra, Native):
            return self._levels.run(rows, algebra)[self._levels.slots(self._wanted)]
        public = rows.public if rows.public.ndim == 2 else rows.public[None]
        ends = np.stack([rows.is_first, rows.is_last])
        arrays = (np.ascontiguousarray(array, dtype=np.uint32) for array in (rows.local, rows.next, ends, public))
        return self._native.run(*arrays)

    def blocks(self, rows: Rows | TraceRows, algebra: Algebra | Native = NATIVE) -> Iterator[tuple[slice, Any]]:
        """The same, some rows at a time: which rows, and (wanted, of these rows)."""
        held = len(self._wanted) if isinstance(algebra, Native) else len(self._levels)
        size = max(_BLOCK_ROWS, _BLOCK_VALUES // max(1, held))
        for start in range(0, len(rows), size):
            block = slice(start, min(start + size, len(rows)))
            yield block, self.run(rows[block], algebra)

    @cached_property
    def _native(self) -> Any:
        import zkevm_native

        return zkevm_native.Evaluator(self._numbers, self._wanted)

    @cached_property
    def _levels(self) -> _Levels:
        return _Levels(self._nodes, self._wanted)


class _Levels:
    """The nodes that some wanted ones need, in an order in which an algebra evaluates many at once.

    A node's level is one more than that of its operands. Nodes of one level and operation make one operation on whole
    matrices, so that the cost of short tables does not grow with the number of nodes. Every node has a slot: its row in
    the matrix of values.
    """

    def __init__(self, nodes: Sequence[Node], wanted: Iterable[int]) -> None:
        needed = _closure(nodes, wanted)
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


def _closure(nodes: Sequence[Node], wanted: Iterable[int]) -> list[int]:
    """The wanted nodes and all that they are made of, children before parents."""
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
    found = (graph.nodes[index] for index in _closure(graph.nodes, [node]))
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


def evaluate(
    graph: Graph, rows: Rows | TraceRows, wanted: Iterable[int], algebra: Algebra | Native = NATIVE
) -> dict[int, Any]:
    """Values of the wanted nodes, each an array of one element per row: `uint64`, or elements of the algebra."""
    nodes = tuple(dict.fromkeys(wanted))
    made = program(graph, nodes)
    values = _zeros(algebra, len(nodes), len(rows))
    for block, of_block in made.blocks(rows, algebra):
        values[:, block] = of_block
    return dict(zip(nodes, values, strict=True))


def _zeros(algebra: Algebra | Native, *shape: int) -> Any:
    return np.zeros(shape, dtype=np.uint64) if isinstance(algebra, Native) else algebra.zeros(*shape)


def _numbers(graph: Graph) -> NDArray[np.uint32]:
    """The nodes of a graph as an array (n, 3), made once for all that it has."""
    known = _NUMBERS.get(graph)
    if known is None or len(known) != len(graph.nodes):
        flat = np.fromiter(chain.from_iterable(graph.nodes), dtype=np.uint32, count=3 * len(graph.nodes))
        known = _NUMBERS[graph] = flat.reshape(-1, 3)
    return known
