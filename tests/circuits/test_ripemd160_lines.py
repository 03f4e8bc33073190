"""The steps of RIPEMD-160's lines: the bounds that make them statements about integers, and lies about a step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from circuits.air.checker import check_circuit
from circuits.air.circuit import table_statistics
from circuits.air.evaluate import NATIVE
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import TraceView
from circuits.air.queries import queries
from circuits.air.range_buses import RANGE16
from circuits.functions.buses import RIPEMD160_LINES
from circuits.functions.range import RANGE_16
from circuits.functions.ripemd160 import INITIAL_STATE
from circuits.functions.ripemd160_lines import LAYOUTS, LINES, LOOKED_UP, STEPS_OF, Ripemd160Line, fill, run
from tests.circuits.family import closed
from tests.circuits.keccak_circuit import messages
from tests.circuits.lying import places

TABLES = tuple(Ripemd160Line(line) for line in range(LINES))
BOTH = pytest.mark.parametrize("line", range(LINES))
ROTATIONS = sorted({step.rotation for steps in STEPS_OF for step in steps})
LIMB = 1 << 16


def _blocks(count: int) -> tuple[Any, Any]:
    """States and blocks: random ones, with words at their bounds in between."""
    rng = np.random.default_rng(count)
    words = rng.integers(0, 1 << 32, size=(count, 21), dtype=np.uint64)
    words[rng.random(words.shape) < 0.3] = 0
    words[rng.random(words.shape) < 0.3] = 0xFFFFFFFF
    words[0, :5] = INITIAL_STATE
    return words[:, :5], words[:, 5:]


@cache
def _filled(line: int, count: int = 3) -> Matrix:
    return fill(line, *_blocks(count), np.arange(count, dtype=np.uint32))


def test_rotations_are_those_that_bounds_are_for() -> None:
    assert set(ROTATIONS) == set(range(5, 16)) - {10}
    assert LOOKED_UP == 8


@BOTH
def test_sums_stay_below_the_modulus(line: int) -> None:
    """The bounds of the comments: both sides of every equation, and what is looked up, as integers."""
    most_low, most_high = 4 * (LIMB - 1), 4 * (LIMB - 1) + 3
    assert most_low >> 16 == most_high >> 16 == 3
    assert LIMB - 1 + 3 * LIMB < MODULUS
    for step in STEPS_OF[line]:
        s, r = step.rotation, step.rest_bits
        # `upper` of bits, before it is known to be below 2^s: its 2^r-fold differs from all limbs modulo the modulus.
        least, most = -((1 << s) - 1), (1 << s + 1) - 1
        assert most << r < MODULUS
        assert (least << r) + MODULUS > LIMB
        if step.is_looked_up:
            # `rest` by its equation, with `upper` and both carries at their bounds.
            least = -(((1 << s) - 1 << r) + 3 * LIMB)
            assert most_high << s < MODULUS
            assert (least << s) + MODULUS > LIMB
        # The upper bits of B: on the left 32 - s bits, `low` and `rest`, and a carry; on the right B's.
        assert (LIMB - 1) + ((1 << r) - 1) * LIMB == (1 << 32 - s) - 1
        assert 2 * ((1 << 32 - s) - 1) + 1 < 1 << 29 < MODULUS
        assert 2 * ((1 << 32 - s) - 1) + 1 >> 32 - s == 1


def test_the_lookup_alone_would_not_do_for_large_rotations() -> None:
    """An integer between -2^18 and 2^18 whose 2^s-fold is a limb modulo the modulus, and that is no rest."""

    def wraps(s: int) -> bool:
        values = np.arange(-(1 << 18) + 1, 1 << 18, dtype=np.int64)
        found = values[(values << s) % MODULUS < LIMB]
        return bool(((found < 0) | (found >= 1 << 16 - s)).any())

    assert [s for s in ROTATIONS if wraps(s)] == [13, 14, 15]
    assert not any(wraps(s) for s in range(5, LOOKED_UP + 1))


@pytest.mark.parametrize("s", ROTATIONS)
def test_a_step_has_one_solution(s: int) -> None:
    """By enumeration: of all carries and lower bits of B, the equations modulo the modulus and the lookups leave one.

    The limbs of the sum before carries and E are given; a solution is a new B, and all carries.
    """
    rng = np.random.default_rng(s)
    r, upper_bits = 16 - s, 32 - s
    bounds = [(0, 0), (LIMB - 1, LIMB - 1), (4 * (LIMB - 1), 4 * (LIMB - 1)), (LIMB, 3 * LIMB), (LIMB - 1, 1 << 17)]
    sums = [*bounds, *rng.integers(0, 4 * (LIMB - 1) + 1, size=(6, 2)).tolist()]
    for (low_sum, high_sum), e in product(sums, (0, 0xFFFFFFFF, int(rng.integers(1 << 32)))):
        lower_b = np.arange(1 << s, dtype=np.int64)
        solutions = []
        for j, k, lower_carry, upper_carry in product(range(4), range(4), range(2), range(2)):
            low = (low_sum - j * LIMB) % MODULUS
            if low >= LIMB:
                continue
            upper = lower_b - (e & (1 << s) - 1) + lower_carry * (1 << s)
            fits = (upper << r) % MODULUS < LIMB
            rest = (high_sum + j - k * LIMB - (upper << r)) % MODULUS
            fits &= ((rest << s) % MODULUS < LIMB) if s <= LOOKED_UP else rest < 1 << r
            # Elements below the modulus: their product with 2^16 fits 64 bits.
            upper_b = (low + rest * LIMB + (e >> s) + lower_carry - (upper_carry << upper_bits)) % MODULUS
            fits &= upper_b < 1 << upper_bits
            for place in np.flatnonzero(fits):
                solutions.append(int(upper_b[place]) << s | int(lower_b[place]))
        total = low_sum + (high_sum << 16) & 0xFFFFFFFF
        assert solutions == [(total << s | total >> 32 - s) + e & 0xFFFFFFFF]


@BOTH
def test_functions_of_bits(line: int) -> None:
    """Every step's sum and word, from its definition."""
    states, blocks = _blocks(50)
    made = run(line, states, blocks)
    mask = 0xFFFFFFFF
    functions: list[Callable[[int, int, int], int]] = [
        lambda x, y, z: x ^ y ^ z,
        lambda x, y, z: x & y | ~x & z,
        lambda x, y, z: (x | ~y) ^ z,
        lambda x, y, z: x & z | y & ~z,
        lambda x, y, z: x ^ (y | ~z),
    ]
    for n in range(len(states)):
        for t, step in enumerate(STEPS_OF[line]):
            a, b, c, d, e = (int(x) for x in made.variables[t, :, n])
            f = functions[t // 16 if line == 0 else 4 - t // 16](b, c, d) & mask
            sum_ = a + f + int(blocks[n, step.word]) + step.constant & mask
            new = (sum_ << step.rotation | sum_ >> 32 - step.rotation) + e & mask
            assert made.variables[t + 1, :, n].tolist() == [e, new, b, (c << 10 | c >> 22) & mask, d]


@BOTH
def test_honest_rows(line: int) -> None:
    """Words at their bounds; what comes back is what `run` makes, of padding rows nothing."""
    states, blocks = _blocks(3)
    assert len(_filled(line)) == 4
    assert _objecting(line, _filled(line)) == set()
    final = run(line, states, blocks).final.astype(np.int64)
    sent = [m for count, m in messages(TABLES[line], _filled(line), RIPEMD160_LINES) if count == 1]
    expected = [
        [n, 2 * line + 1, *(x for word in final[n].tolist() for x in (word & 0xFFFF, word >> 16)), *[0] * 32]
        for n in range(3)
    ]
    assert sorted(sent) == expected


def _objecting(line: int, matrix: Matrix) -> set[str]:
    """What objects to a line's table; who sends and receives follows."""
    tables = [TABLES[line], RANGE_16]
    asked = queries(RANGE16, [(TABLES[line], matrix)])
    circuit, filled = closed(tables, [matrix, RANGE_16.fill(asked[:, 0])])
    return places(check_circuit(circuit, filled, [[] for _ in filled], algebra=NATIVE))


class LastStep:
    """The last step of a row: the word that it makes goes to no other step, so a lie about it needs no others."""

    def __init__(self, line: int, rows: Any, row: int) -> None:
        self.rows, self.row, self.step = rows, row, STEPS_OF[line][-1]

    @property
    def new(self) -> int:
        """The new word."""
        return int(self.rows.b[self.row, -1] @ (1 << np.arange(32)))

    @new.setter
    def new(self, word: int) -> None:
        self.rows.b[self.row, -1] = word >> np.arange(32) & 1

    def carry(self, limb: int) -> int:
        """Of a limb of the sum."""
        low, high = self.rows.sum_carry[self.row, -1, limb]
        return int(low + 2 * high)

    def carries_more(self, limb: int, more: int) -> None:
        """Change it."""
        carry = self.carry(limb) + more
        assert 0 <= carry < 4
        self.rows.sum_carry[self.row, -1, limb] = carry & 1, carry >> 1

    @property
    def rest(self) -> int:
        """The rest of the sum."""
        if self.step.is_looked_up:
            return int(self.rows.rest[self.row, self.step.rest])
        return int(self._bits @ (1 << np.arange(self.step.rest_bits)))

    @rest.setter
    def rest(self, rest: int) -> None:
        if self.step.is_looked_up:
            self.rows.rest[self.row, self.step.rest] = rest % MODULUS
        else:
            self._bits[:] = rest >> np.arange(self.step.rest_bits) & 1

    @property
    def _bits(self) -> Any:
        return self.rows.rest_bits[self.row, self.step.rest : self.step.rest + self.step.rest_bits]

    def flip(self, which: int, value: int) -> bool:
        """Set a carry of B that has the other value; whether it has."""
        other: bool = self.rows.b_carry[self.row, -1, which] != value
        self.rows.b_carry[self.row, -1, which] = value
        return other


def _low_limb_beyond(last: LastStep) -> bool:
    """2^16 more in the low limb, one less in the high one: the same number, but it is not carried."""
    if not last.carry(0) or not last.rest:
        return False
    last.rows.low[last.row, -1] += LIMB
    last.carries_more(0, -1)
    last.rest -= 1
    return True


def _low_limb_below(last: LastStep) -> bool:
    """A low limb below zero."""
    if last.carry(0) == 3 or last.rest + 1 == 1 << last.step.rest_bits:
        return False
    last.rows.low[last.row, -1] = (int(last.rows.low[last.row, -1]) - LIMB) % MODULUS
    last.carries_more(0, 1)
    last.rest += 1
    return True


def _upper_bits_below(last: LastStep) -> bool:
    """The upper bits of the sum are negative; so no carry goes into the upper bits of B."""
    if last.carry(1) == 3 or not last.new >> last.step.rotation or not last.flip(0, 0):
        return False
    last.carries_more(1, 1)
    last.new -= 1 << last.step.rotation
    return True


def _upper_bits_beyond(last: LastStep) -> bool:
    """The upper bits of the sum are 2^s more than there can be, and B has a carry too many."""
    s = last.step.rotation
    if not last.carry(1) or (last.new >> s) + 1 == 1 << 32 - s or not last.flip(0, 1):
        return False
    last.carries_more(1, -1)
    last.new += 1 << s
    return True


def _rest_beyond(last: LastStep) -> bool:
    """A rest with a bit of the upper ones, which have one less."""
    if not last.new & (1 << last.step.rotation) - 1 or not last.flip(1, 1):
        return False
    last.new -= 1
    last.rest += 1 << last.step.rest_bits
    return True


def _rest_below(last: LastStep) -> bool:
    """A negative rest, and one of the upper bits more."""
    s = last.step.rotation
    if (last.new & (1 << s) - 1) + 1 == 1 << s or not last.flip(1, 0):
        return False
    last.new += 1
    last.rest -= 1 << last.step.rest_bits
    return True


def _told(line: int, lie: Callable[[LastStep], bool]) -> list[set[str]]:
    """What objects to the lie in each row in which it can be told."""
    found = []
    for row in range(_MANY):
        matrix = _filled(line, _MANY).copy()
        if lie(LastStep(line, TraceView(LAYOUTS[line], matrix), row)):
            found.append(_objecting(line, matrix))
    return found


#: Rows among which lies are told.
_MANY = 40


@pytest.mark.parametrize("line", [0, *(pytest.param(line, marks=pytest.mark.deep) for line in range(1, LINES))])
@pytest.mark.parametrize("lie", [_low_limb_beyond, _low_limb_below, _upper_bits_below, _upper_bits_beyond])
def test_sums_that_are_cut_elsewhere(line: int, lie: Callable[[LastStep], bool]) -> None:
    """All equations hold; only the range of a part objects."""
    found = _told(line, lie)
    assert found
    assert all(objecting == {"range16"} for objecting in found)


@pytest.mark.parametrize("lie", [_rest_beyond, _rest_below])
def test_a_rest_that_is_cut_elsewhere(lie: Callable[[LastStep], bool]) -> None:
    """Only its lookup objects. The left line ends with a step whose rest is looked up."""
    assert STEPS_OF[0][-1].is_looked_up
    found = _told(0, lie)
    assert found
    assert all(objecting == {"range16"} for objecting in found)


def test_a_rest_of_other_bits() -> None:
    """The right line ends with a step whose rest is in bits: what does not fit them needs one that is no bit."""
    assert not STEPS_OF[1][-1].is_looked_up

    def lie(last: LastStep) -> bool:
        if not last.new & (1 << last.step.rotation) - 1 or not last.flip(1, 1):
            return False
        last.new -= 1
        last.rows.rest_bits[last.row, last.step.rest] += 1 << last.step.rest_bits
        return True

    found = _told(1, lie)
    assert found
    assert all(objecting == {f"rest_bits[{STEPS_OF[1][-1].rest}] is a bit"} for objecting in found)


@BOTH
@pytest.mark.parametrize("t", [0, 15, 16, 47, 79])
def test_a_step_that_takes_another_word(line: int, t: int) -> None:
    """Every limb of the sum is bound to the word of the block, both carries to the limbs."""
    for name, cell, place in (
        ("block", (0, STEPS_OF[line][t].word, 1), f"high limb of the sum, step {t}"),
        ("block", (0, STEPS_OF[line][t].word, 0), f"low limb of the sum, step {t}"),
        ("b_carry", (0, t, 0), f"high limb of the sum, step {t}"),
        ("b_carry", (0, t, 1), f"upper bits of B, step {t}"),
        ("sum_carry", (0, t, 0, 0), f"low limb of the sum, step {t}"),
        ("sum_carry", (0, t, 1, 1), f"high limb of the sum, step {t}"),
    ):
        matrix = _filled(line).copy()
        getattr(TraceView(LAYOUTS[line], matrix), name)[cell] ^= 1
        assert place in _objecting(line, matrix)


@BOTH
def test_padding_rows_say_nothing(line: int) -> None:
    matrix = _filled(line).copy()
    TraceView(LAYOUTS[line], matrix).real[3] = 1
    # The first step with a constant.
    first = 0 if line else 16
    assert {f"{limb} limb of the sum, step {first}" for limb in ("low", "high")} <= _objecting(line, matrix)
    matrix = _filled(line).copy()
    TraceView(LAYOUTS[line], matrix).id[3] = 1
    assert _objecting(line, matrix) == {"padding has no id"}


@BOTH
def test_the_engine_takes_the_table(line: int) -> None:
    """Its limits: constraints and interactions of a table, and the size of what a row says."""
    size = table_statistics(TABLES[line])
    assert size.columns == LAYOUTS[line].width
    assert size.constraints < 5_000
    assert size.interactions < 1_000
    assert not size.uses_next
    assert size.degree == 3
