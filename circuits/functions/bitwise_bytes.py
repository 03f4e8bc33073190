"""AND, OR and XOR of two bytes as a lookup, and with it byte range checks.

One bus serves all three: it provides (a, b, a ^ b), from which a & b and a | b follow linearly. A row holds the leading
six bits of both operands and provides the sixteen pairs that share them, so the 2^16 pairs take 2^12 rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuits.air.derived import fill_derived
from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import total
from circuits.air.layout import C, Layout, allocate, bit, element
from circuits.air.table import Air, Table
from circuits.functions.buses import BITWISE_BYTES

#: Bits of each operand that are the same in a row, and the values of the others.
LEADING = 6
TRAILING = 1 << (8 - LEADING)
HEIGHT = 1 << (2 * LEADING)


def query_xor(air: Air, a: Operand, b: Operand, result: Operand, *, count: Operand) -> None:
    """`a` and `b` are bytes and `result = a ^ b` where `count` is 1."""
    air.query(BITWISE_BYTES, a, b, result, count=count)


def query_and(air: Air, a: Operand, b: Operand, result: Operand, *, count: Operand) -> None:
    """`a` and `b` are bytes and `result = a & b` where `count` is 1: a + b = (a ^ b) + 2 (a & b)."""
    air.query(BITWISE_BYTES, a, b, air.graph.lift(a) + b - air.graph.lift(result) * 2, count=count)


def query_or(air: Air, a: Operand, b: Operand, result: Operand, *, count: Operand) -> None:
    """`a` and `b` are bytes and `result = a | b` where `count` is 1: a + b = 2 (a | b) - (a ^ b)."""
    air.query(BITWISE_BYTES, a, b, air.graph.lift(result) * 2 - a - b, count=count)


def query_byte(air: Air, value: Operand, *, count: Operand) -> None:
    """`value` is a byte where `count` is 1: it is a byte whose exclusive or with 0 is itself."""
    air.query(BITWISE_BYTES, value, 0, value, count=count)


def _number_of(bits: Sequence[Expression]) -> Expression:
    """A byte from its leading bits, without the trailing ones."""
    return total([x * (TRAILING << i) for i, x in enumerate(bits)])


class Columns(Layout[C]):
    """Sixteen pairs of bytes per row."""

    a_bits = bit("leading bits of a, least significant first", LEADING)
    b_bits = bit("leading bits of b, least significant first", LEADING)
    a = element("a without its trailing bits", equals=lambda row: _number_of(row.a_bits))
    b = element("b without its trailing bits", equals=lambda row: _number_of(row.b_bits))
    xor = element(
        "a ^ b without its trailing bits",
        equals=lambda row: _number_of([x + y - x * y * 2 for x, y in zip(row.a_bits, row.b_bits, strict=True)]),
    )
    multiplicity = element(
        "how often the pair with these trailing bits of a and b is queried",
        (TRAILING, TRAILING),
        by="balance of the bitwise_bytes bus",
    )


class BitwiseBytes(Table[Columns]):
    """All pairs of bytes once each: the leading bits count from 0 to 2^12 - 1, which fixes the height to 2^12."""

    name = "bitwise_bytes"
    selector = None

    def constraints(self, air: Air[Columns]) -> None:
        row = air.row
        air.require(air.is_first * _number(row.a, row.b), "starts at 0")
        # Numbers are below 2^12 by their bits, so only the last row can have no successor.
        air.require(air.is_transition * (_number(air.next.a, air.next.b) - _number(row.a, row.b) - 1), "steps by 1")
        air.require(air.is_last * (_number(row.a, row.b) - (HEIGHT - 1)), "ends at the last pair")
        for i in range(TRAILING):
            for j in range(TRAILING):
                air.provide(BITWISE_BYTES, row.a + i, row.b + j, row.xor + (i ^ j), multiplicity=row.multiplicity[i][j])


def _number(a: Expression, b: Expression) -> Expression:
    """The row's number: the leading bits of a, then those of b."""
    return (a * (1 << LEADING) + b) * pow(TRAILING, -1, MODULUS)


def fill(queries: NDArray[np.uint32]) -> Matrix:
    """The table for all queried messages (n, 3).

    A query that is not (a, b, a ^ b) for bytes a and b has no row to answer it; it is left to unbalance the bus.
    """
    a, b, xor = (queries[:, k].astype(np.int64) for k in range(3))
    true = (a <= 0xFF) & (b <= 0xFF) & (a ^ b == xor)
    counts = np.bincount(a[true] << 8 | b[true], minlength=1 << 16)
    matrix, rows = allocate(Columns, HEIGHT)
    number = np.arange(HEIGHT)
    rows.a_bits = number[:, None] >> LEADING + np.arange(LEADING) & 1
    rows.b_bits = number[:, None] >> np.arange(LEADING) & 1
    values = 1 << LEADING
    rows.multiplicity = (
        counts.reshape(values, TRAILING, values, TRAILING).transpose(0, 2, 1, 3).reshape(HEIGHT, TRAILING, TRAILING)
    )
    fill_derived(rows)
    return matrix
