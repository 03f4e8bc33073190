"""The lines of RIPEMD-160 (ISO/IEC 10118-3; Dobbertin, Bosselaers, Preneel 1996): a table for each, one row per block.

A line has five rounds of 16 steps, which turn variables A to E into E, rol(A + f(B, C, D) + X + K, s) + E, B, rol10(C),
D. So a step makes one new word, that of B, and all variables are words of that kind, committed in bits. As a row is a
whole line, each step has its function f, its word X of the block, its constant K and its rotation s fixed.

The sum S that is rotated is not committed in bits. It is cut twice: into limbs, because X is in limbs, and by the
rotation into its upper s bits and the others:

    S = upper 2^(32 - s) + rest 2^16 + low        rol(S, s) = rest 2^(16 + s) + low 2^s + upper

With B and E in bits, the lower s bits of the new B give `upper` as a linear expression, and the upper 32 - s bits are
an equation. That both hold for one S only is what range checks see to: `low` is below 2^16, `upper` below 2^s, `rest`
below 2^(16 - s). Bounds stand with the constraints, and in tests.

A row does not look at its successor: variables and block come on the `ripemd160_lines` bus, the variables after the
line go back there. Padding rows are zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets import total
from circuits.air.layout import RANGE, C, Layout, Size, allocate, bit, element, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.functions.buses import RIPEMD160_LINES
from circuits.functions.words32 import LIMB_BITS, LIMBS, WORD_BITS, Words32, bits, carries, limb_of, limbs, rotate

LINES = 2
ROUNDS = 5
ROUND_STEPS = 16
#: Steps of a line.
STEPS = ROUNDS * ROUND_STEPS
BLOCK_WORDS = 16
STATE_WORDS = 5

_RHO = (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8)


def _word_order() -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Of each line and round, which word each step takes: rho after each round, the right line beginning with pi."""
    lines = []
    for order in (list(range(16)), [(9 * i + 5) % 16 for i in range(16)]):
        rounds = [order]
        while len(rounds) < ROUNDS:
            rounds.append([_RHO[i] for i in rounds[-1]])
        lines.append(tuple(tuple(order) for order in rounds))
    return tuple(lines)


WORD_ORDER = _word_order()
#: Rotations of the steps to the left, by line and round.
ROTATIONS = (
    (
        (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
        (7, 6, 8, 13, 11, 9, 7, 15, 7, 12, 15, 9, 11, 7, 13, 12),
        (11, 13, 6, 7, 14, 9, 13, 15, 14, 8, 13, 6, 5, 12, 7, 5),
        (11, 12, 14, 15, 14, 15, 9, 8, 9, 14, 5, 6, 8, 6, 5, 12),
        (9, 15, 5, 11, 6, 8, 13, 12, 5, 12, 13, 14, 11, 8, 5, 6),
    ),
    (
        (8, 9, 9, 11, 13, 15, 15, 5, 7, 7, 8, 11, 14, 14, 12, 6),
        (9, 13, 15, 7, 12, 8, 9, 11, 7, 7, 12, 7, 6, 15, 13, 11),
        (9, 7, 15, 11, 8, 6, 6, 14, 12, 13, 5, 14, 13, 13, 7, 5),
        (15, 5, 8, 11, 14, 14, 6, 14, 6, 9, 12, 9, 12, 5, 15, 8),
        (8, 5, 12, 9, 12, 5, 14, 6, 8, 13, 6, 5, 15, 13, 11, 11),
    ),
)
#: Constants K, by line and round.
ROUND_CONSTANTS = (
    (0x00000000, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E),
    (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0x00000000),
)
#: Every step rotates C by as much.
ROTATION_OF_C = 10
#: The greatest rotation whose `rest`, of 16 - s bits, is one cell that is looked up. Up to seven bits are cheaper than
#: that; and the lookup, of 2^s rest, is sound for small rotations only.
LOOKED_UP = 8

_MASK = (1 << LIMB_BITS) - 1


@dataclass(frozen=True)
class Step:
    """What is fixed of a step.

    Attributes:
        function: which of the five functions of bits.
        word: which word of the block.
        constant: K.
        rotation: of the sum, to the left: 5 to 15.
        rest: where its `rest` stands: its column among those that are looked up, or the first of its bits.
    """

    function: int
    word: int
    constant: int
    rotation: int
    rest: int

    @property
    def rest_bits(self) -> int:
        """Bits of the upper limb of the sum that are not among its upper `rotation` bits."""
        return LIMB_BITS - self.rotation

    @property
    def is_looked_up(self) -> bool:
        """Whether the rest is one cell."""
        return self.rotation <= LOOKED_UP


def function_of(line: int, number: int) -> int:
    """Which of the five functions of bits a round has: the right line takes them in the opposite order."""
    return ROUNDS - 1 - number if line else number


def _steps(line: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    looked_up = in_bits = 0
    for number in range(ROUNDS):
        function, constant = function_of(line, number), ROUND_CONSTANTS[line][number]
        for word, rotation in zip(WORD_ORDER[line][number], ROTATIONS[line][number], strict=True):
            step = Step(function, word, constant, rotation, looked_up if rotation <= LOOKED_UP else in_bits)
            steps.append(step)
            if step.is_looked_up:
                looked_up += 1
            else:
                in_bits += step.rest_bits
    return tuple(steps)


#: The steps of each line.
STEPS_OF = tuple(_steps(line) for line in range(LINES))


class Columns(Layout[C]):
    """A line on a block. Words are in bits, the least significant first, or in limbs, the low one first."""

    real = bit("1 on rows that stand for a block")
    id = element("name of the block", by="ripemd160_lines bus")
    before = bit("A to E before the first step", (STATE_WORDS, WORD_BITS))
    block = element("words of the block", (BLOCK_WORDS, LIMBS), by="ripemd160_lines bus")
    b = bit("B after each step", (STEPS, WORD_BITS))
    low = limb("low limb of the sum A + f(B, C, D) + X + K of each step", STEPS, by=RANGE)
    sum_carry = bit("carry of each limb of the sum: two bits", (STEPS, LIMBS, 2))
    b_carry = bit("carry of B's lower bits, as many as the sum is rotated by, and of the others", (STEPS, 2))
    rest_bits = bit("the rest of the sum, of steps that have it in bits", Size("rest_bits"))
    rest = element("the rest of the sum, of the others", Size("rests"), by="range16 bus")


#: The layout of each line.
LAYOUTS = tuple(
    Columns.sized(
        rest_bits=sum(step.rest_bits for step in steps if not step.is_looked_up),
        rests=sum(step.is_looked_up for step in steps),
    )
    for steps in STEPS_OF
)


def from_bits(word: Sequence[Expression], first: int, last: int) -> Expression:
    """The number that the bits from `first` up to before `last` make."""
    return total([x * (1 << i) for i, x in enumerate(word[first:last])])


class Ripemd160Line(Table[Columns]):
    """A line of RIPEMD-160 as a step on the `ripemd160_lines` bus."""

    row_order = "rows meet only on the bus"

    def __init__(self, line: int) -> None:
        """The left line, 0, or the right one, 1."""
        super().__init__(f"ripemd160_{('left', 'right')[line]}", LAYOUTS[line])
        self.line = line

    def constraints(self, air: Air[Columns]) -> None:
        row = air.row
        air.require((1 - row.real) * row.id, "padding has no id")
        a, b, c, d, e = (list(word) for word in row.before)
        for t, step in enumerate(STEPS_OF[self.line]):
            self._step(air, t, step, a, [b, c, d], e)
            a, b, c, d, e = e, list(row.b[t]), b, [c[(i - ROTATION_OF_C) % WORD_BITS] for i in range(WORD_BITS)], d
        before = [[limb_of(word, k) for k in range(LIMBS)] for word in row.before]
        after = [[limb_of(word, k) for k in range(LIMBS)] for word in (a, b, c, d, e)]
        number = LINES * self.line
        air.receive(RIPEMD160_LINES, row.id, number, before, row.block, count=row.real)
        air.send(RIPEMD160_LINES, row.id, number + 1, after, [0] * (BLOCK_WORDS * LIMBS), count=row.real)

    @staticmethod
    def _step(
        air: Air[Columns], t: int, step: Step, a: list[Expression], bcd: list[list[Expression]], e: list[Expression]
    ) -> None:
        row, s = air.row, step.rotation
        b = list(row.b[t])
        inputs = []
        for k in range(LIMBS):
            f = _function(step.function, bcd, k, row.real)
            constant = row.real * (step.constant >> LIMB_BITS * k & _MASK)
            inputs.append(limb_of(a, k) + f + row.block[step.word][k] + constant)
        low_carry, high_carry = (x[0] + x[1] * 2 for x in row.sum_carry[t])
        lower_carry, upper_carry = row.b_carry[t]

        # Four limbs: at most 4 (2^16 - 1), so the carry is at most 3. Both sides are below 2^18, and `low` is a limb.
        air.require(inputs[0] - row.low[t] - low_carry * (1 << LIMB_BITS), f"low limb of the sum, step {t}")
        # The lower s bits of B: those of E and the upper ones of the sum. Between -2^s and 2^(s + 1), so that its
        # 2^(16 - s)-fold lies between -2^16 and 2^17: it is a limb as an integer, and `upper` is below 2^s.
        upper = from_bits(b, 0, s) - from_bits(e, 0, s) + lower_carry * (1 << s)
        air.query(RANGE16, upper * (1 << step.rest_bits), count=row.real)
        if step.is_looked_up:
            # By the next equation an integer, between -2^18 and 2^18: as s is at most 8, its 2^s-fold cannot wrap.
            rest = row.rest[step.rest]
            air.query(RANGE16, rest * (1 << s), count=row.real)
        else:
            rest = from_bits(row.rest_bits, step.rest, step.rest + step.rest_bits)
        # Four limbs and a carry, at most 3: below 2^18. The first two on the right make a limb.
        high = rest + upper * (1 << step.rest_bits) + high_carry * (1 << LIMB_BITS)
        air.require(inputs[1] + low_carry - high, f"high limb of the sum, step {t}")
        # The other bits of B: numbers of 32 - s bits, at most 27, and a carry: below 2^28.
        sum_ = row.low[t] + rest * (1 << LIMB_BITS) + from_bits(e, s, WORD_BITS) + lower_carry
        sum_ = sum_ - upper_carry * (1 << WORD_BITS - s)
        air.require(sum_ - from_bits(b, s, WORD_BITS), f"upper bits of B, step {t}")


def _function(number: int, words: Sequence[Sequence[Expression]], k: int, real: Expression) -> Expression:
    """Limb k of f(B, C, D): bit by bit, of degree 2 or 3. On padding rows less what it is of zeros."""
    terms = []
    for i in range(LIMB_BITS * k, LIMB_BITS * (k + 1)):
        b, c, d = (word[i] for word in words)
        if number == 0:
            value = _xor(_xor(b, c), d)
        elif number == 1:
            value = d + b * (c - d)
        elif number == 2:
            value = _xor(1 - c + b * c, d)
        elif number == 3:
            value = c + d * (b - c)
        else:
            value = _xor(b, 1 - d + c * d)
        terms.append(value * (1 << i % LIMB_BITS))
    # (b | ~c) ^ d and b ^ (c | ~d) of zeros are 1.
    return total(terms) - (1 - real) * _MASK if number in (2, 4) else total(terms)


def _xor(x: Expression, y: Expression) -> Expression:
    return x + y - x * y * 2


def _f(number: int, b: Words32, c: Words32, d: Words32) -> Words32:
    """Of 64 bits, of which the lower 32 count."""
    if number == 0:
        return b ^ c ^ d
    if number == 1:
        return b & c | ~b & d
    if number == 2:
        return (b | ~c) ^ d
    if number == 3:
        return b & d | c & ~d
    return b ^ (c | ~d)


@dataclass(frozen=True)
class Line:
    """A line on n blocks.

    Attributes:
        sums: (80, n) A + f(B, C, D) + X + K of each step.
        variables: (81, 5, n) A to E before each step, and after the last one.
        sum_carry: (80, n, 2) carries of the limbs of each step's sum.
    """

    sums: Words32
    variables: Words32
    sum_carry: NDArray[np.int64]

    @property
    def final(self) -> Words32:
        """The variables after the last step, (n, 5)."""
        final: Words32 = self.variables[-1].T
        return final


def run(line: int, states: Words32, blocks: Words32) -> Line:
    """A line on a batch of blocks; `states`: (n, 5) words A to E, `blocks`: (n, 16) words."""
    mask = np.uint64(0xFFFFFFFF)
    count = len(states)
    sums = np.zeros((STEPS, count), dtype=np.uint64)
    variables = np.zeros((STEPS + 1, STATE_WORDS, count), dtype=np.uint64)
    sum_carry = np.zeros((STEPS, count, LIMBS), dtype=np.int64)
    a, b, c, d, e = states.T
    for t, step in enumerate(STEPS_OF[line]):
        variables[t] = a, b, c, d, e
        f = _f(step.function, b, c, d) & mask
        taken, constant = blocks[:, step.word], np.full(count, step.constant, dtype=np.uint64)
        sums[t] = (a + f + taken + constant) & mask
        sum_carry[t] = carries(limbs(a) + limbs(f) + limbs(taken) + limbs(constant))
        rotated = rotate(sums[t], WORD_BITS - step.rotation)
        a, b, c, d, e = e, (rotated + e) & mask, b, rotate(c, WORD_BITS - ROTATION_OF_C), d
    variables[-1] = a, b, c, d, e
    return Line(sums, variables, sum_carry)


def fill(line: int, states: Words32, blocks: Words32, ids: NDArray[np.uint32]) -> Matrix:
    """The table of a line for all blocks.

    Args:
        line: which one.
        states: (n, 5) words A to E before each block.
        blocks: (n, 16) words of each block.
        ids: (n,) distinct names, as sent with the blocks.
    """
    matrix, rows = allocate(Columns, len(states), LAYOUTS[line])
    if not len(states):
        return matrix
    made = run(line, states, blocks)
    rows.real = 1
    rows.id = ids
    rows.before = bits(np.ascontiguousarray(states))
    rows.block = limbs(blocks)
    rows.b = bits(made.variables[1:, 1].T)
    rows.low = limbs(made.sums.T)[..., 0]
    rows.sum_carry = np.moveaxis(made.sum_carry, 1, 0)[..., None] >> np.arange(2) & 1
    for t, step in enumerate(STEPS_OF[line]):
        s, e = step.rotation, made.variables[t, 4].astype(np.int64)
        sums = made.sums[t].astype(np.int64)
        lower = (sums >> WORD_BITS - s) + (e & (1 << s) - 1) >> s
        others = (sums & (1 << WORD_BITS - s) - 1) + (e >> s) + lower
        rows.b_carry[:, t, 0], rows.b_carry[:, t, 1] = lower, others >> WORD_BITS - s
        rest = sums >> LIMB_BITS & (1 << step.rest_bits) - 1
        if step.is_looked_up:
            rows.rest[:, step.rest] = rest
        else:
            places = np.arange(step.rest_bits)
            rows.rest_bits[:, step.rest + places] = rest[:, None] >> places & 1
    return matrix
