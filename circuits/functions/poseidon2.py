"""Poseidon2 over BabyBear, width 16: the permutation, the compression function and their table.

The compression is C(x) = (P(x) + x) truncated to 8 elements, the compression mode of the Poseidon2 paper. The
feed-forward matters: a truncated permutation alone can be inverted, so it would not bind a running hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.distinct import distinct_rows
from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Elements, Matrix
from circuits.air.gadgets.basic import total
from circuits.air.layout import C, Layout, allocate, element
from circuits.air.table import Air, Table
from circuits.functions.buses import POSEIDON2
from circuits.functions.poseidon2_constants import (
    EXTERNAL_FINAL,
    EXTERNAL_INITIAL,
    EXTERNAL_MATRIX,
    INTERNAL,
    INTERNAL_DIAGONAL,
    PARTIAL_ROUNDS,
    WIDTH,
)
from circuits.widths import DIGEST

_P = np.uint64(MODULUS)
_EXTERNAL_T = np.ascontiguousarray(EXTERNAL_MATRIX.T)
_INTERNAL_INTEGERS, _DIAGONAL_INTEGERS = INTERNAL.tolist(), INTERNAL_DIAGONAL.tolist()

#: Rows that are filled at once.
_BLOCK = 1 << 15


def permute(state: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The permutation on every row of `state` (n, 16), canonical elements, in numpy."""
    cells = _external(state.astype(np.uint64))
    for constants in EXTERNAL_INITIAL:
        cells = _full_round(cells, constants)
    for constant in INTERNAL:
        x = (cells[:, 0] + constant) % _P
        cube = x * x % _P * x % _P
        cells[:, 0] = cube * cube % _P * x % _P
        # The sum of 16 elements is below 2^35, the products below 2^62.
        cells = (cells.sum(axis=1, keepdims=True) + cells * INTERNAL_DIAGONAL) % _P
    for constants in EXTERNAL_FINAL:
        cells = _full_round(cells, constants)
    return cells.astype(np.uint32)


def permute_state(state: Sequence[int]) -> list[int]:
    """The permutation on one state of 16 canonical elements.

    Half the time that numpy takes alone: on a single row the partial rounds are faster in integers.
    """
    cells = _external(np.array([state], dtype=np.uint64))
    for constants in EXTERNAL_INITIAL:
        cells = _full_round(cells, constants)
    first, *rest = cells[0].tolist()
    for constant in _INTERNAL_INTEGERS:
        first = pow(first + constant, 7, MODULUS)
        sum_ = first + sum(rest)
        first = (sum_ + first * _DIAGONAL_INTEGERS[0]) % MODULUS
        rest = [(sum_ + x * d) % MODULUS for x, d in zip(rest, _DIAGONAL_INTEGERS[1:], strict=True)]
    cells = np.array([[first, *rest]], dtype=np.uint64)
    for constants in EXTERNAL_FINAL:
        cells = _full_round(cells, constants)
    permuted: list[int] = cells[0].tolist()
    return permuted


_PYTHON: ContextVar[bool] = ContextVar("python", default=False)


@contextmanager
def in_python() -> Iterator[None]:
    """Compute compressions without the engine's native code, which is otherwise what does it."""
    token = _PYTHON.set(True)
    try:
        yield
    finally:
        _PYTHON.reset(token)


def compress(left: NDArray[np.uint32], right: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """C(left || right) row by row: (n, 8), (n, 8) -> (n, 8), canonical elements."""
    state = np.ascontiguousarray(np.concatenate([left, right], axis=1), dtype=np.uint32)
    output = (permute(state) if _PYTHON.get() else _native().poseidon2_permute(state))[:, :DIGEST]
    return ((output.astype(np.uint64) + state[:, :DIGEST]) % _P).astype(np.uint32)


def compress_chain(start: NDArray[np.uint32], blocks: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The states of h -> C(h || block) behind `start` (8,), one for each block (n, 8): (n, 8), canonical elements."""
    rows = np.ascontiguousarray(blocks, dtype=np.uint32)
    if not _PYTHON.get():
        chained: NDArray[np.uint32] = _native().poseidon2_chain(np.ascontiguousarray(start[None], np.uint32), rows)
        return chained
    states = np.empty_like(rows)
    last = start.tolist()
    for number, block in enumerate(rows.tolist()):
        output = permute_state(last + block)
        last = [(new + old) % MODULUS for new, old in zip(output[:DIGEST], last, strict=True)]
        states[number] = last
    return states


def _native() -> Any:
    """The engine's native code, which only those need who use it."""
    import zkevm_native

    return zkevm_native


def _full_round(state: Elements, constants: Elements) -> Elements:
    x = (state + constants) % _P
    cube = x * x % _P * x % _P
    return _external(cube * cube % _P * x % _P)


def _external(state: Elements) -> Elements:
    return state @ _EXTERNAL_T % _P  # row sums of the matrix are at most 35: below 2^37


class Columns(Layout[C]):
    """One compression per row."""

    multiplicity = element("how often the row is queried", by="balance of the poseidon2 bus")
    input = element("left and right half of the input", WIDTH, by="poseidon2 bus: the querier")
    full_cube = element("x^3 of the S-box inputs of each full round", (8, WIDTH), by="its round's constraint")
    full_state = element("state after each full round but the last", (7, WIDTH), by="its round's constraint")
    partial_cube = element("x^3 of the S-box input of each partial round", PARTIAL_ROUNDS, by="its constraint")
    partial_out = element("S-box output of each partial round", PARTIAL_ROUNDS, by="its constraint")
    # Committed although the last round gives it at degree 3: the engine evaluates messages as trees, row by row, and
    # these eight columns cost a fifth less than the expressions would.
    output = element("C(input)", DIGEST, by="its constraint")


class Poseidon2(Table[Columns]):
    """The compression function as a lookup table; every row, padding too, satisfies it."""

    name = "poseidon2"
    selector = None
    row_order = "rows are independent; each states a true equation about the compression function"

    def constraints(self, air: Air[Columns]) -> None:
        row = air.row
        state = _external_expression(row.input)
        for r in range(4):
            state = _constrain_full(air, row, state, EXTERNAL_INITIAL[r], r)
        for r in range(PARTIAL_ROUNDS):
            x = state[0] + int(INTERNAL[r])
            air.require(x * x * x - row.partial_cube[r], f"partial round {r}: cube")
            cube = row.partial_cube[r]
            air.require(cube * cube * x - row.partial_out[r], f"partial round {r}: seventh power")
            state = [row.partial_out[r], *state[1:]]
            sum_ = total(state)
            state = [sum_ + s * int(d) for s, d in zip(state, INTERNAL_DIAGONAL, strict=True)]
        for r in range(4, 8):
            state = _constrain_full(air, row, state, EXTERNAL_FINAL[r - 4], r)
        air.require_equal(row.output, [state[i] + row.input[i] for i in range(DIGEST)], "output")
        air.provide(POSEIDON2, row.input, row.output, multiplicity=row.multiplicity)


def _constrain_full(
    air: Air, row: Columns, state: Sequence[Expression], constants: Elements, number: int
) -> list[Expression]:
    """One full round; the last one's state stays an expression of degree 3, only its first half is needed."""
    powers = []
    for i in range(WIDTH):
        x = state[i] + int(constants[i])
        cube = row.full_cube[number][i]
        air.require(x * x * x - cube, f"full round {number}: cube {i}")
        powers.append(cube * cube * x)
    after = _external_expression(powers)
    if number == 7:
        return after
    committed: list[Expression] = list(row.full_state[number])
    for i in range(WIDTH):
        air.require(after[i] - committed[i], f"full round {number}: state {i}")
    return committed


def _external_expression(state: Sequence[Expression]) -> list[Expression]:
    """The external layer with shared sums: M4 on each group of four, then the column sums added."""
    groups = []
    for g in range(0, WIDTH, 4):
        a, b, c, d = state[g : g + 4]
        all_ = a + b + c + d
        groups.append([all_ + a + b + b, all_ + b + c + c, all_ + c + d + d, all_ + d + a + a])
    sums = [total([group[i] for group in groups]) for i in range(4)]
    return [group[i] + sums[i] for group in groups for i in range(4)]


def fill(queries: NDArray[np.uint32]) -> Matrix:
    """The table for all queried inputs (n, 16): each distinct input once, with its multiplicity."""
    inputs, counts, _ = distinct_rows(queries)
    matrix, rows = allocate(Columns, len(inputs))
    rows.multiplicity = counts
    rows.input = inputs
    # Padding rows compress zeros with multiplicity 0: the constraints hold on every row.
    given, computed = Columns.offsets["input"], Columns.offsets["full_cube"]
    for start in range(0, len(matrix), _BLOCK):
        block = matrix[start : start + _BLOCK]
        state = np.ascontiguousarray(block[:, given : given + WIDTH])
        block[:, computed:] = _native().poseidon2_rounds(state)
    return matrix
