"""The rounds of RIPEMD-160 (ISO/IEC 10118-3; Dobbertin, Bosselaers, Preneel 1996): one of ten per row.

Two lines of five rounds each run side by side. A round has 16 steps, which turn variables A to E into
E, rol(A + f(B, C, D) + X + K) + E, B, rol10(C), D. So a step makes one new word, that of B. It is committed in bits, as
is the sum that is rotated. Which word X of the block a step takes, by how much it rotates and what f is depend on the
row, so these are selected by its flags.

A row does not look at its successor: variables and block come on the `ripemd160_rounds` bus and go on there. Padding
rows are zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import Matrix
from circuits.air.gadgets import one_hot, total
from circuits.air.layout import Layout, allocate, bit, element
from circuits.air.table import Air, Table
from circuits.functions.buses import RIPEMD160_ROUNDS
from circuits.functions.words32 import LIMB_BITS, LIMBS, WORD_BITS, Words32, bits, carries, limb_of, limbs, rotate

LINES = 2
ROUNDS = 5
STEPS = 16
BLOCK_WORDS = 16
STATE_WORDS = 5
#: What the numbers of the right line begin with, on the bus.
RIGHT = 8

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

_KINDS = [(line, number) for line in range(LINES) for number in range(ROUNDS)]
_MASK = (1 << LIMB_BITS) - 1


def function_of(line: int, number: int) -> int:
    """Which of the five functions of bits a round has: the right line takes them in the opposite order."""
    return ROUNDS - 1 - number if line else number


class Columns(Layout):
    """One round of a line. Words are in bits, the least significant first, or in limbs, the low one first."""

    kind = bit("one-hot: line and round; none on padding rows", (LINES, ROUNDS))
    real = bit("1 on rows that stand for a round")
    id = element("name of the block", by="ripemd160_rounds bus")
    bits_before = bit("B, C and D before the first step", (3, WORD_BITS))
    sum = bit("A + f(B, C, D) + X + K of each step", (STEPS, WORD_BITS))
    b = bit("B after each step", (STEPS, WORD_BITS))
    sum_carry = bit("carry of each limb of the sum: two bits", (STEPS, LIMBS, 2))
    b_carry = bit("carry of each limb of B", (STEPS, LIMBS))
    product = element("limbs of B & C & D of each step", (STEPS, LIMBS), by="bits")
    before = element("variables A to E before the first step", (STATE_WORDS, LIMBS), by="ripemd160_rounds bus")
    after = element("variables A to E after the last step", (STATE_WORDS, LIMBS), by="bits")
    block = element("words of the block", (BLOCK_WORDS, LIMBS), by="ripemd160_rounds bus")


class Ripemd160Rounds(Table):
    """Rounds of RIPEMD-160 as steps on the `ripemd160_rounds` bus."""

    name = "ripemd160_rounds"
    layout = Columns
    row_order = "each row is a round of its own; the bus alone chains rounds"

    def constraints(self, air: Air) -> None:
        row = air.row
        flags = [row.kind[line][number] for line, number in _KINDS]
        one_hot(air, flags, row.real, "line and round")
        air.require((1 - row.real) * row.id, "padding has no id")
        b, c, d = (list(word) for word in row.bits_before)
        known = [[limb_of(word, k) for k in range(LIMBS)] for word in (b, c, d)]
        air.require_equal(known, row.before[1:4], "variables before")
        a, e = row.before[0], row.before[4]
        for t in range(STEPS):
            f = self._function(air, t, b, c, d)
            carry: Any = 0
            for k in range(LIMBS):
                constants = ((i, ROUND_CONSTANTS[line][number]) for i, (line, number) in enumerate(_KINDS))
                constant = total([flags[i] * (value >> LIMB_BITS * k & _MASK) for i, value in constants])
                taken = total([flags[i] * row.block[WORD_ORDER[x][y][t]][k] for i, (x, y) in enumerate(_KINDS)])
                # Four limbs and a carry: below 4 * 2^16, so the carry is at most 3.
                sum_ = a[k] + f[k] + taken + constant + carry
                carry = row.sum_carry[t][k][0] + row.sum_carry[t][k][1] * 2
                air.require(sum_ - limb_of(row.sum[t], k) - carry * (1 << LIMB_BITS), f"sum, step {t}, limb {k}")
            rotated = self._rotated(row, t)
            carry = 0
            for k in range(LIMBS):
                # Two limbs and a carry: below 2^17.
                sum_ = rotated[k] + e[k] + carry
                carry = row.b_carry[t][k]
                air.require(sum_ - limb_of(row.b[t], k) - carry * (1 << LIMB_BITS), f"B, step {t}, limb {k}")
            a, e = e, [limb_of(d, k) for k in range(LIMBS)]
            b, c, d = list(row.b[t]), b, [c[(i - ROTATION_OF_C) % WORD_BITS] for i in range(WORD_BITS)]
        bcd = [[limb_of(word, k) for k in range(LIMBS)] for word in (b, c, d)]
        air.require_equal([a, *bcd, e], row.after, "variables after")
        number = total([row.kind[x][y] * (RIGHT * x + y) for x, y in _KINDS[1:]])
        air.receive(RIPEMD160_ROUNDS, row.id, number, row.before, row.block, count=row.real)
        air.send(RIPEMD160_ROUNDS, row.id, number + 1, row.after, row.block, count=row.real)

    @staticmethod
    def _function(air: Air, t: int, b: list[Any], c: list[Any], d: list[Any]) -> list[Expression]:
        """The limbs of f(B, C, D), selected by the row's flags: all five in terms of products of bits.

        b ^ c ^ d = b + c + d - 2 (bc + bd + cd) + 4 bcd        (b & c) | (~b & d) = bc + d - bd
        (b | ~c) ^ d = 1 - c - d + bc + 2 cd - 2 bcd            (b & d) | (c & ~d) = bd + c - cd
        b ^ (c | ~d) = 1 - b - d + cd + 2 bd - 2 bcd
        """
        row = air.row
        chosen = [total([row.kind[x][y] for x, y in _KINDS if function_of(x, y) == number]) for number in range(ROUNDS)]
        result = []
        for k in range(LIMBS):
            places = range(LIMB_BITS * k, LIMB_BITS * (k + 1))

            def weighted(words: Sequence[list[Any]], places: range = places) -> Expression:
                terms = []
                for i in places:
                    term: Any = 1 << i % LIMB_BITS
                    for word in words:
                        term = word[i] * term
                    terms.append(term)
                return total(terms)

            x, y, z = (weighted([word]) for word in (b, c, d))
            xy, xz, yz = (weighted(pair) for pair in ((b, c), (b, d), (c, d)))
            xyz = row.product[t][k]
            air.require(weighted([b, c, d]) - xyz, f"product, step {t}, limb {k}")
            functions = (
                x + y + z - (xy + xz + yz) * 2 + xyz * 4,
                xy + z - xz,
                _MASK - y - z + xy + yz * 2 - xyz * 2,
                xz + y - yz,
                _MASK - x - z + yz + xz * 2 - xyz * 2,
            )
            result.append(total([flag * value for flag, value in zip(chosen, functions, strict=True)]))
        return result

    @staticmethod
    def _rotated(row: Any, t: int) -> list[Expression]:
        """The limbs of the sum, rotated to the left as the row's flags say.

        With the upper s bits of both limbs, u of the low one and v of the high one: 2^s low - 2^16 u + v, and
        2^s high - 2^16 v + u.
        """
        low, high = (limb_of(row.sum[t], k) for k in range(LIMBS))
        factor, upper_low, upper_high = [], [], []
        u: Any = 0
        v: Any = 0
        for s in range(1, LIMB_BITS):
            u = row.sum[t][LIMB_BITS - s] + u * 2
            v = row.sum[t][WORD_BITS - s] + v * 2
            kinds = [row.kind[x][y] for x, y in _KINDS if ROTATIONS[x][y][t] == s]
            if kinds:
                flag = total(kinds)
                factor.append(flag * (1 << s))
                upper_low.append(flag * u)
                upper_high.append(flag * v)
        shift, from_low, from_high = total(factor), total(upper_low), total(upper_high)
        return [
            shift * low - from_low * (1 << LIMB_BITS) + from_high,
            shift * high - from_high * (1 << LIMB_BITS) + from_low,
        ]


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
class Lines:
    """Both lines on n blocks, 80 steps each.

    Attributes:
        sums: (2, 80, n) A + f(B, C, D) + X + K of each step.
        variables: (2, 81, 5, n) A to E before each step, and after the last one.
        sum_carry, b_carry: (2, 80, n, 2) carries of the limbs of each step's sum and of its new word.
    """

    sums: Words32
    variables: Words32
    sum_carry: NDArray[np.int64]
    b_carry: NDArray[np.int64]

    @property
    def final(self) -> Words32:
        """The variables after the last step, (n, 2, 5)."""
        return np.moveaxis(self.variables[:, -1], 2, 0)


def run(states: Words32, blocks: Words32) -> Lines:
    """Both lines on a batch of blocks; `states`: (n, 5) words A to E, `blocks`: (n, 16) words."""
    mask = np.uint64(0xFFFFFFFF)
    count, steps = len(states), ROUNDS * STEPS
    sums = np.zeros((LINES, steps, count), dtype=np.uint64)
    variables = np.zeros((LINES, steps + 1, STATE_WORDS, count), dtype=np.uint64)
    sum_carry = np.zeros((LINES, steps, count, LIMBS), dtype=np.int64)
    b_carry = np.zeros_like(sum_carry)
    for line in range(LINES):
        a, b, c, d, e = states.T
        for t in range(steps):
            variables[line, t] = a, b, c, d, e
            number, step = divmod(t, STEPS)
            f = _f(function_of(line, number), b, c, d) & mask
            taken = blocks[:, WORD_ORDER[line][number][step]]
            constant = np.full(count, ROUND_CONSTANTS[line][number], dtype=np.uint64)
            sums[line, t] = (a + f + taken + constant) & mask
            sum_carry[line, t] = carries(limbs(a) + limbs(f) + limbs(taken) + limbs(constant))
            rotated = rotate(sums[line, t], WORD_BITS - ROTATIONS[line][number][step])
            b_carry[line, t] = carries(limbs(rotated) + limbs(e))
            a, b, c, d, e = e, (rotated + e) & mask, b, rotate(c, WORD_BITS - ROTATION_OF_C), d
        variables[line, -1] = a, b, c, d, e
    return Lines(sums, variables, sum_carry, b_carry)


def fill(states: Words32, blocks: Words32, ids: NDArray[np.uint32]) -> Matrix:
    """The table for all blocks.

    Args:
        states: (n, 5) words A to E before each block.
        blocks: (n, 16) words of each block.
        ids: (n,) distinct names, as sent with the blocks.
    """
    count = len(states)
    height = LINES * ROUNDS * count
    matrix, rows = allocate(Columns, height)
    if not count:
        return matrix
    lines = run(states, blocks)

    def by_row(values: Any) -> Any:
        """(2, 80, n, ...) as (10 n, 16, ...): line, round and block of a row, then its steps."""
        split = values.reshape(LINES, ROUNDS, STEPS, count, *values.shape[3:])
        return np.moveaxis(split, 2, 3).reshape(height, STEPS, *values.shape[3:])

    rows.real = 1
    rows.kind = np.repeat(np.eye(LINES * ROUNDS, dtype=np.uint32), count, axis=0).reshape(height, LINES, ROUNDS)
    rows.id = np.tile(ids, LINES * ROUNDS)
    rows.block = np.tile(limbs(blocks), (LINES * ROUNDS, 1, 1))
    starts = STEPS * np.arange(ROUNDS)
    before, after = (
        np.moveaxis(lines.variables[:, at], 3, 2).reshape(height, STATE_WORDS) for at in (starts, starts + STEPS)
    )
    rows.before = limbs(before)
    rows.after = limbs(after)
    rows.bits_before = bits(before[:, 1:4])
    b, c, d = (lines.variables[:, :-1, k] for k in (1, 2, 3))
    rows.product = limbs(by_row(b & c & d))
    rows.sum = bits(by_row(lines.sums))
    rows.b = bits(by_row(lines.variables[:, 1:, 1]))
    rows.sum_carry = by_row(lines.sum_carry)[..., None] >> np.arange(2) & 1
    rows.b_carry = by_row(lines.b_carry)
    return matrix
