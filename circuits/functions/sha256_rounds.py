"""The rounds of SHA-256 (FIPS 180-4, section 6.2.2): 32 of them per row, half of a block.

Working variables repeat: a of one round is b of the next, then c, then d, and e becomes f, g, h. So a round makes one
new a and one new e, and these are committed in bits, as are the words of the schedule. Rotations and the functions of
bits are expressions; an addition modulo 2^32 is two of limbs, with carries.

A row does not look at its successor. It receives the working variables, and what its words of the schedule take of
earlier ones, from the `sha256_rounds` bus, and sends the same for the next half. Padding rows are zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets import one_hot, total
from circuits.air.layout import Layout, allocate, bit, element
from circuits.air.table import Air, Table
from circuits.functions.buses import SHA256_ROUNDS
from circuits.functions.words32 import LIMB_BITS, LIMBS, WORD_BITS, Words32, bits, carries, limb_of, limbs, rotate

ROUNDS = 64
HALVES = 2
#: Rounds of a row, and words of the schedule.
ROW_ROUNDS = ROUNDS // HALVES
BLOCK_WORDS = 16
STATE_WORDS = 8

#: FIPS 180-4, section 4.2.2.
ROUND_CONSTANTS = (
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
)  # fmt: skip
#: FIPS 180-4, section 4.1.2: rotations to the right; of the lower-case functions the last one is a shift.
SIGMA_A, SIGMA_E = (2, 13, 22), (6, 11, 25)
SMALL_SIGMA_0, SMALL_SIGMA_1 = (7, 18, 3), (17, 19, 10)
#: The schedule: word t takes sigma 1 of word t - 2, word t - 7, sigma 0 of word t - 15, and word t - 16.
AGO_SIGMA_1, AGO_PLAIN, AGO_SIGMA_0 = 2, 7, 15

_INVERSE_2 = pow(2, -1, MODULUS)
_MASK = (1 << LIMB_BITS) - 1


class Columns(Layout):
    """One half of a block. Words are in bits, the least significant first, or in limbs, the low one first."""

    half = bit("one-hot: which 32 rounds; none on padding rows", HALVES)
    real = bit("1 on rows that stand for 32 rounds")
    id = element("name of the block", by="sha256_rounds bus")
    a_before = bit("a, b and c before the first round", (3, WORD_BITS))
    e_before = bit("e, f and g before the first round", (3, WORD_BITS))
    a = bit("a after each round", (ROW_ROUNDS, WORD_BITS))
    e = bit("e after each round", (ROW_ROUNDS, WORD_BITS))
    word = bit("the word of the schedule that each round takes", (ROW_ROUNDS, WORD_BITS))
    a_carry = bit("carry of each limb of a, plus 1: two bits", (ROW_ROUNDS, LIMBS, 2))
    e_carry_threes = bit("carry of each limb of e, divided by 3", (ROW_ROUNDS, LIMBS))
    e_carry_ones = element("and its remainder", (ROW_ROUNDS, LIMBS), by="constrained to 0, 1, 2")
    word_carry = bit("carry of each limb of a word: two bits", (ROW_ROUNDS, LIMBS, 2))
    before = element("working variables a to h before the first round", (STATE_WORDS, LIMBS), by="sha256_rounds bus")
    after = element("working variables a to h after the last round", (STATE_WORDS, LIMBS), by="bits")
    given = element("what words take of the half before, or the block's", (BLOCK_WORDS, LIMBS), by="word's bits")
    own = element("what these take of this half, from the third on", (BLOCK_WORDS - 2, LIMBS), by="word's bits")
    passed = element("what words of the next half take of this one", (BLOCK_WORDS, LIMBS), by="word's bits")


class Sha256Rounds(Table):
    """Rounds of SHA-256 as steps on the `sha256_rounds` bus."""

    name = "sha256_rounds"
    layout = Columns
    row_order = "each row is a half of its own; the bus alone chains halves"

    def constraints(self, air: Air) -> None:
        row = air.row
        one_hot(air, row.half, row.real, "half")
        air.require((1 - row.real) * row.id, "padding has no id")
        self._schedule(air)
        self._rounds(air)
        _, second = row.half
        air.receive(SHA256_ROUNDS, row.id, second, row.before, row.given, count=row.real)
        # Behind the second half there is no word.
        passed = [[x * (1 - second) for x in limbs] for limbs in row.passed]
        air.send(SHA256_ROUNDS, row.id, second + 1, row.after, passed, count=row.real)

    def _schedule(self, air: Air) -> None:
        """Words, each limb the sum of at most four: below 4 * 2^16, so its carry is at most 3.

        The first 16 take of the half before, or are the block's; the others take of this row alone.
        """
        row = air.row
        inner = row.half[1]
        carries = []
        for t in range(ROW_ROUNDS):
            carry: Any = 0
            for k in range(LIMBS):
                word = limb_of(row.word[t], k)
                out = row.word_carry[t][k][0] + row.word_carry[t][k][1] * 2
                if t < BLOCK_WORDS:
                    total_ = row.given[t][k] + carry
                    if t >= AGO_SIGMA_1:
                        own = row.own[t - AGO_SIGMA_1][k]
                        air.require(self._taken(row, t, k) - own, f"own part of word {t}, limb {k}")
                        total_ = total_ + inner * own
                    passed = self._taken(row, ROW_ROUNDS + t, k)
                    air.require(passed - row.passed[t][k], f"passed part of word {t}, limb {k}")
                    carries.append(out)
                else:
                    total_ = self._taken(row, t, k) + carry
                air.require(total_ - word - out * (1 << LIMB_BITS), f"word {t}, limb {k}")
                carry = out
        # In the first half these words are the block's, whose limbs must be below 2^16. At most 32 * 3.
        air.require((1 - inner) * total(carries), "the block's words have no carry")

    @staticmethod
    def _taken(row: Any, t: int, k: int) -> Expression:
        """Limb k of what word t takes of the words of this row, 0 to 31. From 32 on it is one of the next row."""
        terms = []
        for ago, rotations in ((AGO_SIGMA_1, SMALL_SIGMA_1), (AGO_PLAIN, None), (AGO_SIGMA_0, SMALL_SIGMA_0)):
            if 0 <= t - ago < ROW_ROUNDS:
                bits = row.word[t - ago]
                terms.append(limb_of(bits, k) if rotations is None else _rotated(bits, rotations, k, shifts=True))
        if t >= BLOCK_WORDS:
            terms.append(limb_of(row.word[t - BLOCK_WORDS], k))
        return total(terms)

    @staticmethod
    def _rounds(air: Air) -> None:
        """New e: at most six limbs, so its carry is at most 5. New a, less e and d: its carry is -1, 0, 1 or 2.

        For e = d + T1 and a = T1 + T2 modulo 2^32, a = e - d + T2.
        """
        row = air.row
        before = [[limb_of(bits, k) for k in range(LIMBS)] for bits in (*row.a_before, *row.e_before)]
        air.require_equal(before, [*row.before[:3], *row.before[4:7]], "variables before")
        # The newest first, as bits where they are needed and as limbs.
        a, e = list(row.a_before), list(row.e_before)
        a_limbs, e_limbs = [*before[:3], row.before[3]], [*before[3:], row.before[7]]
        for t in range(ROW_ROUNDS):
            new_a = [limb_of(row.a[t], k) for k in range(LIMBS)]
            new_e = [limb_of(row.e[t], k) for k in range(LIMBS)]
            a_carry: Any = 0
            e_carry: Any = 0
            for k in range(LIMBS):
                constant = total(
                    [
                        flag * (ROUND_CONSTANTS[ROW_ROUNDS * i + t] >> LIMB_BITS * k & _MASK)
                        for i, flag in enumerate(row.half)
                    ]
                )
                sum_e = a_limbs[3][k] + e_limbs[3][k] + _rotated(e[0], SIGMA_E, k) + _choice(e, k)
                sum_e = sum_e + constant + limb_of(row.word[t], k) + e_carry
                ones = row.e_carry_ones[t][k]
                e_carry = row.e_carry_threes[t][k] * 3 + ones
                air.require(ones * (ones - 1) * (ones - 2), f"carry of e, round {t}, limb {k}")
                air.require(sum_e - new_e[k] - e_carry * (1 << LIMB_BITS), f"e, round {t}, limb {k}")
                sum_a = new_e[k] - a_limbs[3][k] + _rotated(a[0], SIGMA_A, k) + _majority(a, k) + a_carry
                a_carry = row.a_carry[t][k][0] + row.a_carry[t][k][1] * 2 - row.real
                air.require(sum_a - new_a[k] - a_carry * (1 << LIMB_BITS), f"a, round {t}, limb {k}")
            a, e = [row.a[t], *a[:2]], [row.e[t], *e[:2]]
            a_limbs, e_limbs = [new_a, *a_limbs[:3]], [new_e, *e_limbs[:3]]
        air.require_equal([*a_limbs, *e_limbs], row.after, "variables after")


def _rotated(bits: Sequence[Expression], rotations: Sequence[int], k: int, *, shifts: bool = False) -> Expression:
    """Limb k of the exclusive or of three rotations to the right; `shifts`: the last one is a shift.

    For bits, 1 - 2 (x ^ y) = (1 - 2 x) (1 - 2 y); so the sum of 2^i (x ^ y ^ z) is half of 2^16 - 1 less that of
    2^i (1 - 2 x) (1 - 2 y) (1 - 2 z).
    """
    terms = []
    for i in range(LIMB_BITS):
        product: Any = 1 << i
        for number, rotation in enumerate(rotations):
            place = LIMB_BITS * k + i + rotation
            if place < WORD_BITS or not (shifts and number == len(rotations) - 1):
                product = (1 - bits[place % WORD_BITS] * 2) * product
        terms.append(product)
    return (_MASK - total(terms)) * _INVERSE_2


def _choice(words: Sequence[Sequence[Expression]], k: int) -> Expression:
    """Limb k of the second word where the first one has a 1, of the third one elsewhere."""
    e, f, g = words
    places = range(LIMB_BITS * k, LIMB_BITS * (k + 1))
    return total([(g[i] + e[i] * (f[i] - g[i])) * (1 << i % LIMB_BITS) for i in places])


def _majority(words: Sequence[Sequence[Expression]], k: int) -> Expression:
    """Limb k of what most of three words have: both b and c, or a and one of them."""
    a, b, c = words
    terms = []
    for i in range(LIMB_BITS * k, LIMB_BITS * (k + 1)):
        both = b[i] * c[i]
        terms.append((both + a[i] * (b[i] + c[i] - both * 2)) * (1 << i % LIMB_BITS))
    return total(terms)


def _sigma(x: Words32, rotations: Sequence[int], *, shifts: bool = False) -> Words32:
    last = x >> np.uint64(rotations[2]) if shifts else rotate(x, rotations[2])
    return rotate(x, rotations[0]) ^ rotate(x, rotations[1]) ^ last


def run(states: Words32, blocks: Words32) -> tuple[Words32, Words32, Words32]:
    """The rounds on a batch of blocks.

    Args:
        states: (n, 8) words a to h.
        blocks: (n, 16) words.

    Returns:
        a (n, 68) and e (n, 68), of which the first four are d, c, b, a and h, g, f, e before the first round; the
        words of the schedule (n, 64).
    """
    mask = np.uint64(0xFFFFFFFF)
    a = np.zeros((4 + ROUNDS, len(states)), dtype=np.uint64)
    e, words = np.zeros_like(a), np.zeros((ROUNDS, len(states)), dtype=np.uint64)
    a[:4], e[:4] = states[:, 3::-1].T, states[:, :3:-1].T
    words[:BLOCK_WORDS] = blocks.T
    for t in range(BLOCK_WORDS, ROUNDS):
        sigma_1 = _sigma(words[t - AGO_SIGMA_1], SMALL_SIGMA_1, shifts=True)
        sigma_0 = _sigma(words[t - AGO_SIGMA_0], SMALL_SIGMA_0, shifts=True)
        words[t] = (sigma_1 + words[t - AGO_PLAIN] + sigma_0 + words[t - BLOCK_WORDS]) & mask
    for t in range(ROUNDS):
        (a3, a2, a1, a0), (e3, e2, e1, e0) = a[t : t + 4], e[t : t + 4]
        choice = e0 & e1 ^ ~e0 & e2
        majority = a0 & a1 ^ a0 & a2 ^ a1 & a2
        first = e3 + _sigma(e0, SIGMA_E) + choice + np.uint64(ROUND_CONSTANTS[t]) + words[t]
        e[t + 4] = (a3 + first) & mask
        a[t + 4] = (first + _sigma(a0, SIGMA_A) + majority) & mask
    return a.T, e.T, words.T


def fill(states: Words32, blocks: Words32, ids: NDArray[np.uint32]) -> Matrix:
    """The table for all blocks.

    Args:
        states: (n, 8) words a to h before each block.
        blocks: (n, 16) words of each block.
        ids: (n,) distinct names, as sent with the blocks.
    """
    count = len(states)
    matrix, rows = allocate(Columns, HALVES * count)
    if not count:
        return matrix
    a, e, words = run(states, blocks)

    def by_row(values: Any) -> Any:
        """(n, 64, ...) as (2 n, 32, ...)."""
        return values.reshape(HALVES * count, ROW_ROUNDS, *values.shape[2:])

    def ago(values: Words32, number: int) -> NDArray[np.int64]:
        """Limbs (n, 64, 2) of a or e before each round, `number` - 1 rounds earlier."""
        return limbs(values[:, 4 - number : 4 - number + ROUNDS])

    rows.real = 1
    rows.half = np.tile(np.eye(HALVES, dtype=np.uint32), (count, 1))
    rows.id = np.repeat(ids, HALVES)
    rows.a = by_row(bits(a[:, 4:]))
    rows.e = by_row(bits(e[:, 4:]))
    rows.word = by_row(bits(words))
    starts = ROW_ROUNDS * np.arange(HALVES)
    for name, values in (("a_before", a), ("e_before", e)):
        newest = np.stack([values[:, starts + 3 - k] for k in range(3)], axis=2).reshape(HALVES * count, 3)
        setattr(rows, name, bits(newest))
    state = np.stack(
        [np.concatenate([values[:, starts[:, None] + at] for values in (a, e)], axis=2) for at in
         (np.arange(3, -1, -1), np.arange(3, -1, -1) + ROW_ROUNDS)],
        axis=2,
    )  # fmt: skip
    rows.before = limbs(state[:, :, 0]).reshape(-1, STATE_WORDS, LIMBS)
    rows.after = limbs(state[:, :, 1]).reshape(-1, STATE_WORDS, LIMBS)
    _fill_schedule(rows, by_row(words))

    # Carries: of each limb what its sum exceeds the new limb by, with the carry of the limb below.
    constant = limbs(np.array(ROUND_CONSTANTS, dtype=np.uint64))
    e0, e1, e2 = (e[:, 3 - k : 3 - k + ROUNDS] for k in range(3))
    a0, a1, a2 = (a[:, 3 - k : 3 - k + ROUNDS] for k in range(3))
    sum_e = ago(a, 4) + ago(e, 4) + limbs(_sigma(e0, SIGMA_E)) + limbs(e0 & e1 ^ ~e0 & e2) + constant + limbs(words)
    sum_a = ago(e, 0) - ago(a, 4) + limbs(_sigma(a0, SIGMA_A)) + limbs(a0 & a1 ^ a0 & a2 ^ a1 & a2)
    e_carry, a_carry = by_row(carries(sum_e)), by_row(carries(sum_a)) + 1
    rows.e_carry_threes = e_carry // 3
    rows.e_carry_ones = e_carry % 3
    rows.a_carry = a_carry[..., None] >> np.arange(2) & 1
    return matrix


def _fill_schedule(rows: Any, words: Words32) -> None:
    """`words`: (rows, 32)."""
    own = np.zeros((len(words), BLOCK_WORDS, LIMBS), dtype=np.int64)
    whole, passed = limbs(words[:, : ROW_ROUNDS - BLOCK_WORDS]), limbs(words[:, -BLOCK_WORDS:])
    for ago, rotations in ((AGO_SIGMA_1, SMALL_SIGMA_1), (AGO_PLAIN, None), (AGO_SIGMA_0, SMALL_SIGMA_0)):
        taken = limbs(words if rotations is None else _sigma(words, rotations, shifts=True))
        own[:, ago:] += taken[:, : BLOCK_WORDS - ago]
        whole += taken[:, BLOCK_WORDS - ago : ROW_ROUNDS - ago]
        passed[:, :ago] += taken[:, ROW_ROUNDS - ago :]
    rows.own = own[:, AGO_SIGMA_1:]
    rows.passed = passed
    given = np.zeros_like(passed)
    given[1:] = passed[:-1]
    given[::HALVES] = limbs(words[::HALVES, :BLOCK_WORDS])
    rows.given = given
    inner = (np.arange(len(words)) % HALVES != 0)[:, None, None]
    carry = carries(np.concatenate([given + inner * own, whole], axis=1))
    rows.word_carry = carry[..., None] >> np.arange(2) & 1
