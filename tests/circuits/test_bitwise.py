"""Bitwise instructions: honest ones of edge values are accepted, and no other outcome is."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from circuits.air.checker import check_circuit
from circuits.air.evaluate import NATIVE
from circuits.air.field import MODULUS
from circuits.batch.execution import opcode_facts
from circuits.instructions.bitwise import AND, OR, SAR, SHL, SHR, XOR, components
from circuits.segment import fill
from executor.forks import CANCUN, OSAKA, PRAGUE
from executor.limbs import words_to_ints
from tests.circuits.family import check_family, fill_family, mutate_family
from tests.circuits.instructions import has_results_of, run_each
from tests.circuits.lying import FUNCTIONS, objections

ADDRESS_MASK = (1 << 160) - 1
MIXED = int.from_bytes(bytes(range(0x71, 0x91)), "big")
OTHER = int.from_bytes(bytes((37 * i + 201) % 256 for i in range(32)), "big")
WORDS = (0, 1, -1, -2, 1 << 255, (1 << 255) - 1, ADDRESS_MASK, ~ADDRESS_MASK, 0xFF, ~0x1F, MIXED, OTHER)

SHIFTS = (*range(18), 31, 32, 33, 96, 160, 224, 226, 239, 240, 241, 248, 254, 255, 256, 257)
LARGE_SHIFTS = (0xFFFF, 1 << 16, (1 << 16) + 1, (1 << 40) + 3, 1 << 128, 1 << 255, -1)
VALUES = (0, 1, 2, 3, 0x8000, 0xFFFF, 1 << 16, (1 << 255) - 1, 1 << 255, -1, -2, MIXED, OTHER)

COMPONENTS = components(CANCUN)
CLZ = next(added.opcode for added in OSAKA.added_instructions if added.name == "CLZ")

LOGIC = ("and", "or", "xor")
DIRECTIONS = ("shl", "shr", "sar")


def test_and_or_xor_not() -> None:
    execution = run_each(
        [(name, pair) for name, pair in product(LOGIC, product(WORDS, WORDS))] + [("not", (x,)) for x in WORDS]
    )
    assert check_family((*COMPONENTS, *FUNCTIONS), execution) == []
    assert has_results_of(COMPONENTS, execution)


def test_byte() -> None:
    indices = (*range(34), 63, 0xFFFF, 1 << 16, (1 << 16) + 31, 1 << 64, 1 << 255, -1)
    execution = run_each([("byte", pair) for pair in product(indices, (0, 1, -1, MIXED, OTHER))])
    assert check_family((*COMPONENTS, *FUNCTIONS), execution) == []
    assert has_results_of(COMPONENTS, execution)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_shifts(name: str) -> None:
    execution = run_each([(name, pair) for pair in product((*SHIFTS, *LARGE_SHIFTS), VALUES)])
    assert check_family((*COMPONENTS, *FUNCTIONS), execution) == []
    assert has_results_of(COMPONENTS, execution)


def test_every_amount_of_a_shift() -> None:
    execution = run_each([(name, (shift, OTHER)) for name, shift in product(DIRECTIONS, range(256))])
    assert check_family((*COMPONENTS, *FUNCTIONS), execution) == []
    assert has_results_of(COMPONENTS, execution)


def test_every_step_has_one_row() -> None:
    execution = run_each(
        [(name, pair) for name, pair in product(LOGIC, product(WORDS, WORDS))]
        + [(name, pair) for name, pair in product(DIRECTIONS, product((*SHIFTS, *LARGE_SHIFTS), VALUES))]
    )
    filled = [t for t in fill_family(COMPONENTS, execution) if t is not None]
    steps = execution.rows(AND, OR, XOR, SHL, SHR, SAR)
    assert len(steps) == sum(int(matrix[:, 0].sum()) for matrix in filled)


def test_mutations_of_and_or_xor_not_byte() -> None:
    pairs = ((MIXED, ADDRESS_MASK), (~ADDRESS_MASK, OTHER), (MIXED, OTHER), (0x5F, ~0x1F))
    execution = run_each(
        [(name, pair) for name, pair in product(LOGIC, pairs)]
        + [("not", (x,)) for x in (0, MIXED, OTHER)]
        + [("byte", pair) for pair in product((0, 1, 31, 32, 1 << 16), (MIXED, OTHER))]
    )
    report = mutate_family((*COMPONENTS, *FUNCTIONS), execution)
    assert report.survivors == [], str(report)


def test_mutations_of_shifts() -> None:
    execution = run_each(
        [("shl", (shift, 1)) for shift in (0, 160, 224)]
        + [(name, (shift, MIXED)) for name, shift in product(DIRECTIONS, (0, 1, 15, 16, 160, 256, 1 << 16))]
        + [("sar", (shift, value)) for shift, value in product((1, 16, 255, 300), (-1, 1 << 255, OTHER))]
    )
    report = mutate_family((*COMPONENTS, *FUNCTIONS), execution, rows_per_table=10)
    assert report.survivors == [], str(report)


def test_another_result_of_xor() -> None:
    def change(rows: Any) -> None:
        rows.xor[0, 7] ^= 1

    execution = run_each([("xor", (MIXED, OTHER))])
    assert objections(COMPONENTS, execution, {"bitwise": change}, follows=True) == {"bitwise_bytes"}


def test_taking_a_limb_apart_otherwise() -> None:
    """0x0105 = 5 + 256, and also 0x105 + 0: not a byte."""

    def change(rows: Any) -> None:
        rows.left[0, 0], rows.left[0, 1] = 0x105, 0
        rows.xor[0, 0], rows.xor[0, 1] = 0x105 ^ int(rows.right[0, 0]), rows.right[0, 1]

    execution = run_each([("and", (0x105, 0x303))])
    assert objections(COMPONENTS, execution, {"bitwise": change}, follows=True) == {"bitwise_bytes"}


def test_a_mask_that_is_none() -> None:
    """AND with 1 is not AND with a limb of ones: the stack holds other words than the table takes."""

    def change(rows: Any) -> None:
        rows.mask[0, 0] = pow(0xFFFF, -1, MODULUS)

    execution = run_each([("and", (MIXED, 0xFFFF))])
    assert objections(COMPONENTS, execution, {"and_mask": change}, follows=True) == {"mask[0] is a bit"}


def test_or_and_xor_at_once() -> None:
    def change(rows: Any) -> None:
        rows.is_or[0] = 1

    execution = run_each([("xor", (MIXED, OTHER))])
    assert objections(COMPONENTS, execution, {"bitwise": change}, follows=True) == {"not both OR and XOR"}


def test_another_byte() -> None:
    def change(rows: Any) -> None:
        rows.odd[0] = 1 - rows.odd[0]

    execution = run_each([("byte", (30, MIXED))])
    assert objections(COMPONENTS, execution, {"byte": change}, follows=True) == {"index"}


def test_the_byte_of_another_limb() -> None:
    def change(rows: Any) -> None:
        rows.low[0], rows.high[0] = rows.word[0, 3] & 0xFF, rows.word[0, 3] >> 8
        rows.xor[0] = rows.low[0] ^ rows.high[0]

    execution = run_each([("byte", (30, MIXED))])
    assert objections(COMPONENTS, execution, {"byte": change}, follows=True) == {"bytes of the limb"}


def test_a_byte_outside_that_is_inside() -> None:
    def change(rows: Any) -> None:
        rows.outside[0] = rows.beyond.high.zero[0] = 1
        rows.place[0] = rows.odd[0] = rows.low[0] = rows.high[0] = rows.xor[0] = 0

    execution = run_each([("byte", (31, MIXED))])
    assert objections(COMPONENTS, execution, {"byte": change}, follows=True) == {"range16"}


def test_shl_limb_by_one_limb_too_many() -> None:
    def change(rows: Any) -> None:
        rows.limbs[0, 10], rows.limbs[0, 11] = 0, 1

    execution = run_each([("shl", (160, 1))])
    assert objections(COMPONENTS, execution, {"shl_limb": change}, follows=True) == {"shift"}


def test_shift_limbs_in_the_other_direction() -> None:
    """The opcode follows the direction, so only the result can be wrong."""

    def change(rows: Any) -> None:
        rows.result[0] = 0
        rows.result[0, 10:] = rows.value[0, :6]

    assert all(
        x.startswith("limb ")
        for x in _some(objections(COMPONENTS, run_each([("shr", (160, MIXED))]), {"shift_limbs": change}, follows=True))
    )


def _some(objections: set[str]) -> set[str]:
    assert objections
    return objections


def test_shift_by_one_bit_too_many() -> None:
    """All that follows from the number of bits follows, only the shift itself stays."""
    execution = run_each([("shl", (4, OTHER)), ("shl", (5, OTHER))])

    def change(rows: Any) -> None:
        for name in ("bits", "factor", "cofactor", "upper", "lower", "moved", "result"):
            getattr(rows, name)[0] = getattr(rows, name)[1]

    assert objections(COMPONENTS, execution, {"shift": change}, follows=True) == {"shift"}


def _split(rows: Any, limb: int, upper: int) -> None:
    """Take a limb apart with another upper part, so that all equations hold in the field."""
    row = 0
    lower = (int(rows.value[row, limb]) - upper * int(rows.cofactor[row])) % MODULUS
    rows.upper[row, limb], rows.lower[row, limb] = upper, lower
    values = [int(x) for x in rows.value[row]]
    carry, factor = 0, int(rows.factor[row])
    for i in range(len(values)):
        rows.moved[row, i] = (int(rows.lower[row, i]) * factor + carry) % MODULUS
        carry = int(rows.upper[row, i])
    moved = [*(int(x) for x in rows.moved[row]), carry]
    place = [int(x) for x in rows.limbs[row]].index(1)
    right = int(rows.right[row])
    for j in range(16):
        at = j - place + 16 * right
        rows.result[row, j] = moved[at] if (j >= place) != right or (right and j <= place) else 0


@pytest.mark.parametrize("bits", range(16))
@pytest.mark.parametrize("by", [1, -1])
def test_another_way_to_take_a_limb_apart(bits: int, by: int) -> None:
    shift = bits or 256 - 16  # a shift to the right by 240 has 16 bits
    execution = run_each([("shl" if bits else "sar", (shift, OTHER >> 1))])

    def change(rows: Any) -> None:
        _split(rows, 3, (int(rows.upper[0, 3]) + by) % MODULUS)

    assert objections(COMPONENTS, execution, {"shift": change}, follows=True)


@pytest.mark.parametrize(("name", "shift", "limb"), [("shl", 1, 5), ("shr", 1, 5), ("shl", 15, 5), ("shl", 2, 5)])
def test_taking_a_limb_apart_beyond_the_modulus(name: str, shift: int, limb: int) -> None:
    """Every upper part that is a limb, the products wrapping around: none but the true one passes."""
    execution = run_each([(name, (shift, OTHER))])
    filled = next(m for m in fill_family(COMPONENTS, execution) if m is not None)
    assert filled is not None
    found = []
    factor = 1 << (shift if name == "shl" else 16 - shift)
    cofactor = (1 << 16) // factor
    value = OTHER >> (16 * limb) & 0xFFFF
    for upper in range(1 << 16):
        lower = (value - upper * cofactor) % MODULUS
        if lower <= 0xFFFF and lower * factor % MODULUS <= 0xFFFF:
            found.append(upper)
    true = value // cofactor
    assert true in found
    for upper in found:

        def change(rows: Any, upper: int = upper) -> None:
            _split(rows, limb, upper)

        assert (objections(COMPONENTS, execution, {"shift": change}, follows=True) == set()) == (upper == true)


def test_denying_the_sign_of_sar() -> None:
    def change(rows: Any) -> None:
        rows.sign[0] = 0

    execution = run_each([("sar", (256, -1))])
    assert objections(COMPONENTS, execution, {"shift_out": change}, follows=True) == {"range16"}


def test_inventing_the_sign_of_sar() -> None:
    def change(rows: Any) -> None:
        rows.sign[0] = 1

    execution = run_each([("sar", (256, 1))])
    assert objections(COMPONENTS, execution, {"shift_out": change}, follows=True) == {"range16"}


def test_sar_as_if_of_the_other_sign() -> None:
    """Shifting the word itself instead of its complement brings in zeros."""
    execution = run_each([("sar", (4, -1 << 200)), ("shr", (4, -1 << 200))])

    def change(rows: Any) -> None:
        for name in ("sign", "value", "upper", "lower", "moved", "result"):
            getattr(rows, name)[0] = getattr(rows, name)[1]

    assert objections(COMPONENTS, execution, {"shift": change}, follows=True) == {"range16"}


def test_a_sign_of_shr() -> None:
    execution = run_each([("shr", (4, -1 << 200)), ("sar", (4, -1 << 200))])

    def change(rows: Any) -> None:
        for name in ("sign", "value", "upper", "lower", "moved", "result"):
            getattr(rows, name)[0] = getattr(rows, name)[1]

    assert objections(COMPONENTS, execution, {"shift": change}, follows=True) == {"only SAR has a sign"}


@pytest.mark.parametrize("name", DIRECTIONS)
def test_shifting_out_what_is_not(name: str) -> None:
    """Every shift by less than 256, told as one by more: the largest one is 255."""
    execution = run_each([(name, (256, MIXED))])

    def change(rows: Any) -> None:
        rows.shift[0, 0] = 255

    assert objections(COMPONENTS, execution, {"shift_out": change}, follows=True) == {"range16"}


def test_a_large_shift_that_is_not() -> None:
    execution = run_each([("shl", (1 << 16, MIXED))])

    def change(rows: Any) -> None:
        rows.shift[0, 1] = 0

    assert objections(COMPONENTS, execution, {"shift_out": change}, follows=True) == {
        "shift of 256 or more: value * inverse = 1 - zero"
    }


# CLZ.

COUNTING = components(OSAKA)
#: Every number of leading zeros, with a single bit and with all bits below it; 0, and words with full limbs.
COUNTED = (0, *(1 << k for k in range(256)), *((1 << k) - 1 for k in range(1, 257)), MIXED, OTHER, 0xFFFF << 16)


def test_clz() -> None:
    execution = run_each([("clz", (word,)) for word in COUNTED], OSAKA)
    steps = execution.rows(CLZ)
    assert words_to_ints(execution.result(steps)) == [256 - word.bit_length() for word in COUNTED]
    assert check_family((*COUNTING, *FUNCTIONS), execution) == []
    filled = fill(execution)
    assert not check_circuit(filled.circuit, filled.traces, filled.public_lists, algebra=NATIVE)


def test_mutations_of_clz() -> None:
    execution = run_each([("clz", (word,)) for word in (0, 1, 0x8000, 1 << 16, 1 << 255, MIXED, OTHER)], OSAKA)
    report = mutate_family((*COUNTING, *FUNCTIONS), execution, rows_per_table=8)
    assert report.survivors == [], str(report)


def test_no_fork_before_osaka_has_clz() -> None:
    """The opcode is undefined there, and no table of a circuit proves anything else of it."""
    for fork in (CANCUN, PRAGUE):
        assert "clz" not in {c.table.name for c in components(fork)}
        facts = opcode_facts(fork)
        assert facts.undefined[CLZ]
        assert [int(fact[CLZ]) for fact in (facts.reach, facts.operands, facts.results, facts.gas)] == [0] * 4
    facts = opcode_facts(OSAKA)
    assert not facts.undefined[CLZ]
    assert (facts.reach[CLZ], facts.operands[CLZ], facts.results[CLZ], facts.gas[CLZ], facts.grows[CLZ]) == (
        1,
        1,
        1,
        5,
        0,
    )
    assert np.flatnonzero(facts.undefined != opcode_facts(CANCUN).undefined).tolist() == [CLZ]


def _counted(word: int, change: Any) -> set[str]:
    return objections(COUNTING, run_each([("clz", (word,))], OSAKA), {"clz": change}, follows=True)


def _claim(rows: Any, at: int | None, bit_: int | None) -> None:
    """Another place of the highest bit; None: the word is 0."""
    rows.top.none[0], rows.top.at[0], rows.top.bits[0] = at is None, 0, 0
    if at is not None:
        rows.top.at[0, at], rows.top.bits[0, bit_] = 1, 1


@pytest.mark.parametrize(
    ("word", "at", "bit_", "objection"),
    [
        # A bit that is 1, but not the highest one: of the limb, and of the word.
        (0b1010, 0, 1, "range16"),
        (1 << 200 | 1 << 20, 1, 4, "limb 12 above the highest one is 0"),
        # A higher bit, of the limb and of a limb that is 0.
        (0b1010, 0, 4, "range16"),
        (1 << 20, 2, 0, "range16"),
        # A word that is not 0, said to be; and 0 said not to be.
        (1 << 255, None, None, "the word is 0"),
        (1, None, None, "the word is 0"),
        (0, 0, 0, "range16"),
        (0, 15, 15, "range16"),
    ],
)
def test_another_highest_bit(word: int, at: int | None, bit_: int | None, objection: str) -> None:
    assert objection in _counted(word, lambda rows: _claim(rows, at, bit_))


def test_two_highest_bits_and_none() -> None:
    def two(rows: Any) -> None:
        rows.top.bits[0, 0] = 1

    def none(rows: Any) -> None:
        rows.top.at[0], rows.top.bits[0] = 0, 0

    assert "highest bit: exactly one flag" in _counted(0b1010, two)
    assert "highest limb: exactly one flag" in _counted(0b1010, none)
    execution = run_each([("clz", (word,)) for word in (1, 2, 3)], OSAKA)

    def last(rows: Any) -> None:
        rows.top.none[3] = 1

    assert "padding has no word" in objections(COUNTING, execution, {"clz": last}, follows=True)
