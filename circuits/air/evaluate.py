"""Evaluation of a table's expressions on rows, over any field algebra.

The checker evaluates over galois arrays; the mutation harness over plain numpy, many altered rows at once. Both use
this one walk over the graph, which frees intermediate values after their last use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from circuits.air import field
from circuits.air.expression import Graph, Op
from circuits.air.field import Matrix


class Algebra(Protocol):
    """The operations of a field on whole arrays."""

    def column(self, values: NDArray[Any]) -> Any:
        """Canonical integers as elements."""

    def constant(self, value: int) -> Any:
        """One canonical integer as an element that broadcasts."""

    def add(self, a: Any, b: Any) -> Any: ...

    def sub(self, a: Any, b: Any) -> Any: ...

    def mul(self, a: Any, b: Any) -> Any: ...


class NumpyAlgebra:
    """Arithmetic on `uint64` arrays."""

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

    def public_value(self, index: int) -> NDArray[np.uint32]:
        return self.public[..., index : index + 1].reshape(-1)


def evaluate(graph: Graph, rows: Rows, algebra: Algebra, wanted: Iterable[int]) -> dict[int, Any]:
    """Values of the wanted nodes, each an array of one element per row (or one element for constants)."""
    keep = set(wanted)
    nodes = graph.nodes
    needed = np.zeros(len(nodes), dtype=bool)
    last_use = np.zeros(len(nodes), dtype=np.int64)
    for index in range(len(nodes) - 1, -1, -1):
        if index in keep:
            needed[index] = True
        if not needed[index]:
            continue
        op, a, b = nodes[index]
        children = (a, b) if op in (Op.ADD, Op.SUB, Op.MUL) else (a,) if op == Op.NEG else ()
        for child in children:
            needed[child] = True
            if not last_use[child]:
                last_use[child] = index
    values: dict[int, Any] = {}
    zero = algebra.constant(0)
    for index, (op, a, b) in enumerate(nodes):
        if not needed[index]:
            continue
        if op == Op.LOCAL:
            value = algebra.column(rows.local[:, a])
        elif op == Op.NEXT:
            value = algebra.column(rows.next[:, a])
        elif op == Op.CONST:
            value = algebra.constant(a)
        elif op == Op.PUBLIC:
            value = algebra.column(rows.public_value(a))
        elif op == Op.IS_FIRST:
            value = algebra.column(rows.is_first)
        elif op == Op.IS_LAST:
            value = algebra.column(rows.is_last)
        elif op == Op.IS_TRANSITION:
            value = algebra.column(1 - rows.is_last)
        elif op == Op.ADD:
            value = algebra.add(values[a], values[b])
        elif op == Op.SUB:
            value = algebra.sub(values[a], values[b])
        elif op == Op.MUL:
            value = algebra.mul(values[a], values[b])
        else:
            value = algebra.sub(zero, values[a])
        values[index] = value
        for child in (a, b) if op in (Op.ADD, Op.SUB, Op.MUL) else (a,) if op == Op.NEG else ():
            if last_use[child] == index and child not in keep:
                values.pop(child, None)
    return values
