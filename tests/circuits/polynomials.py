"""Expressions of a table as polynomials in its cells, for what follows from all constraints together."""

from __future__ import annotations

from collections.abc import Collection

from circuits.air.expression import Expression, Op
from circuits.air.field import MODULUS
from circuits.air.layout import CellType
from circuits.air.table import Table

#: What a polynomial is in: an operation without operands and the number of its cell, if it has any.
Variable = tuple[Op, int]
#: Coefficients by products of variables, in order; none is 0.
Polynomial = dict[tuple[Variable, ...], int]

_FLAGS = (Op.IS_FIRST, Op.IS_LAST, Op.IS_TRANSITION)


class Expander:
    """Expands expressions of a table; bits are their own squares, and some cells of the row may be known to be 0."""

    def __init__(self, table: Table, zero: Collection[int] = ()) -> None:
        self._graph = table.air.graph
        self._zero = zero
        self._bits = {cell.index for cell in table.layout.cells() if cell.column.type is CellType.BIT}
        self._known: dict[int, Polynomial] = {}

    def __call__(self, expression: Expression) -> Polynomial:
        pending = [expression.index]
        while pending:
            index = pending[-1]
            op, a, b = self._graph.nodes[index]
            children = (a, b) if op in (Op.ADD, Op.SUB, Op.MUL) else (a,) if op == Op.NEG else ()
            missing = [child for child in children if child not in self._known]
            if missing:
                pending += missing
                continue
            pending.pop()
            if index not in self._known:
                self._known[index] = self._node(Op(op), a, b)
        return self._known[expression.index]

    def is_bit(self, variable: Variable) -> bool:
        """Whether it is 0 or 1 on every row."""
        op, cell = variable
        return op in _FLAGS or (op in (Op.LOCAL, Op.NEXT) and cell in self._bits)

    def _node(self, op: Op, a: int, b: int) -> Polynomial:
        if op == Op.CONST:
            return {(): a} if a else {}
        if op == Op.NEG:
            return {product: MODULUS - factor for product, factor in self._known[a].items()}
        if op in (Op.ADD, Op.SUB):
            terms = [(self._known[a], 1), (self._known[b], 1 if op == Op.ADD else MODULUS - 1)]
            return _sum((product, factor * sign) for part, sign in terms for product, factor in part.items())
        if op == Op.MUL:
            left, right = self._known[a], self._known[b]
            return _sum((self._product(p, q), c * d) for p, c in left.items() for q, d in right.items())
        return {} if op == Op.LOCAL and a in self._zero else {((op, a),): 1}

    def _product(self, left: tuple[Variable, ...], right: tuple[Variable, ...]) -> tuple[Variable, ...]:
        variables = sorted(left + right)
        return tuple(v for i, v in enumerate(variables) if i == 0 or v != variables[i - 1] or not self.is_bit(v))


def _sum(terms: object) -> Polynomial:
    result: Polynomial = {}
    for product, factor in terms:  # type: ignore[attr-defined]
        total = (result.get(product, 0) + factor) % MODULUS
        if total:
            result[product] = total
        else:
            result.pop(product, None)
    return result


def zeros_of_padding(table: Table) -> set[int]:
    """Cells of a row whose selector is 0 that its constraints show to be 0, the selector included.

    A constraint shows that if it is a power of a single cell, or a sum of products of bits, whose factors all have the
    same sign and are too small to wrap: then each product is 0.
    """
    assert table.selector is not None
    zero = {table.layout.offsets[table.selector]}
    while True:
        expand = Expander(table, zero)
        found: set[int] = set()
        for constraint in table.air.constraints:
            polynomial = expand(constraint.expression)
            if not polynomial or any(op != Op.LOCAL for product in polynomial for op, _ in product):
                continue
            products, factors = list(polynomial), list(polynomial.values())
            of_bits = all(product and all(map(expand.is_bit, product)) for product in products)
            small = min(sum(factors), sum(MODULUS - factor for factor in factors)) < MODULUS
            if len(products) == 1 or (of_bits and small):
                found |= {product[0][1] for product in products if len(set(product)) == 1}
        if found <= zero:
            return zero
        zero |= found
