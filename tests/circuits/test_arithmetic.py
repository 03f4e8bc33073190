"""Arithmetic instructions: edge values of each, and what a dishonest prover may try."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.gadgets.words import product_limbs
from circuits.air.layout import TraceView
from circuits.batch.execution import Execution
from circuits.frames.gas import Charge
from circuits.functions.products import MAX_CARRIES, carry_bounds, carry_groups
from circuits.instructions import arithmetic
from circuits.instructions.arithmetic import COMPONENTS
from circuits.limbs import words_from_ints
from executor.opcodes import OPCODES
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import Lie, check_family, fill_family, mutate_family
from tests.circuits.lying import BYTES, RANGES

WORDS = 1 << 256
MINIMUM = 1 << 255
EDGES = (0, 1, 2, 3, 0xFFFF, 1 << 16, (1 << 80) - 1, 1 << 80, 1 << 128, MINIMUM - 1, MINIMUM, WORDS - 2, WORDS - 1)
PRODUCTS = {"multiply_small", "multiply"}
FEW = (0, 1, 7, 1 << 128, MINIMUM, WORDS - 1)

#: All tables, so that nothing but the machine's state and stack is left to the world.
CLOSED = (*COMPONENTS, BYTES, RANGES)

Program = Sequence[tuple[Any, ...]]


def run(cases: Program, gas: int = 5_000_000) -> Execution:
    """Executes (instruction, top operand, next operand, ...) one after the other."""
    source = " ".join(f"{' '.join(map(str, reversed(operands)))} {name} pop" for name, *operands in cases)
    building = Builder(gasLimit=30_000_000).alloc(CONTRACT, code="0x" + assemble(source + " stop").hex())
    return execution_of(building.block(call_contract(building, gas=gas), gasLimit=30_000_000).execute())


def chance(seed: int) -> Callable[[], int]:
    """Random words of random sizes."""
    rng = random.Random(seed)
    return lambda: rng.randrange(1 << rng.randrange(1, 257))


def heights(execution: Execution) -> dict[str, int]:
    """Rows of the tables that are present."""
    traces = fill_family(COMPONENTS, execution)
    return {c.table.name: len(t) for c, t in zip(COMPONENTS, traces, strict=True) if t is not None}


# Honest executions.


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "mod", "sdiv", "smod"])
def test_edges_of_two_operands(name: str) -> None:
    following = chance(1)
    cases = [(name, a, b) for a in EDGES for b in EDGES]
    cases += [(name, following(), following()) for _ in range(40)]
    assert check_family(COMPONENTS, run(cases)) == []


@pytest.mark.parametrize("name", ["addmod", "mulmod"])
def test_edges_of_three_operands(name: str) -> None:
    following = chance(2)
    cases = [(name, a, b, n) for a in FEW for b in FEW for n in FEW]
    cases += [(name, following(), following(), following()) for _ in range(40)]
    assert check_family(COMPONENTS, run(cases)) == []


def test_edges_of_exp() -> None:
    following = chance(3)
    exponents = (0, 1, 2, 3, 18, 0xFF, 0x100, 0xFFFF, 0x10000, 0x1FFFF, 1 << 80, MINIMUM, WORDS - 1)
    cases = [("exp", base, exponent) for base in (0, 1, 2, 10, WORDS - 1, MINIMUM + 1) for exponent in exponents]
    cases += [("exp", following(), following()) for _ in range(10)]
    assert check_family(COMPONENTS, run(cases)) == []


def test_equal_powers_and_products_are_proved_once() -> None:
    rows = heights(run([("exp", 10, 18)] * 9 + [("mul", 1 << 100, 3)] * 9))
    assert rows["power"] == 8  # 5 bits
    assert rows["multiply"] == 1
    assert rows["exp"] == rows["mul"] == 16


def test_small_words_take_small_tables() -> None:
    cases = [("add", 1, 2), ("sub", 3, 1), ("div", 9, 4), ("mod", 9, 4), ("sdiv", 9, 4), ("smod", 9, 0), ("mul", 5, 6)]
    assert set(heights(run(cases))) == {"add_small", "divide_small", "mul", "multiply_small"}


@pytest.mark.parametrize("spare", [0, 1, 59, 60, 1609, 1610])
@pytest.mark.parametrize("exponent", [0, 1, 0x100, WORDS - 1])
def test_exp_fails_exactly_when_its_gas_is_missing(spare: int, exponent: int) -> None:
    pushes = 3 + (2 if exponent == 0 else 3)
    execution = run([("exp", 3, exponent)], gas=21_000 + pushes + spare)
    size = (exponent.bit_length() + 7) // 8
    step = execution.rows(OPCODES["EXP"])
    assert bool(execution.failed[step][0]) == (10 + 50 * size > spare)
    assert check_family(COMPONENTS, execution) == []


# Mutations.


@pytest.mark.parametrize(
    ("cases", "tables"),
    [
        ([("add", 1, 2), ("sub", 9, 3), ("sub", 1 << 31, 77)], {"add_small"}),
        ([("add", WORDS - 1, 2), ("sub", 2, WORDS - 1), ("add", 1 << 70, 1 << 90)], {"add"}),
        ([("mul", 1 << 70, 12345), ("mul", WORDS - 1, WORDS - 3), ("div", WORDS - 1, 3)], {"mul", *PRODUCTS}),
        ([("div", 99, 7), ("smod", 99, 7), ("mod", 5, 0), ("sdiv", 8, 0)], {"divide_small"}),
        ([("div", WORDS - 5, 1 << 99), ("mod", MINIMUM, 77), ("div", MINIMUM, 0), ("mod", MINIMUM, 0)], {"divide"}),
        (
            [
                ("sdiv", MINIMUM, WORDS - 1),
                ("sdiv", WORDS - 9, 2),
                ("smod", WORDS - 9, WORDS - 4),
                ("smod", WORDS - 9, 0),
            ],
            {"divide_signed"},
        ),
        (
            [("addmod", WORDS - 1, WORDS - 2, 1), ("addmod", WORDS - 1, WORDS - 2, 1 << 99), ("addmod", 7, 8, 0)],
            {"addmod"},
        ),
        (
            [("mulmod", WORDS - 1, WORDS - 2, 3), ("mulmod", WORDS - 1, WORDS - 2, MINIMUM + 1), ("mulmod", 7, 8, 0)],
            {"mulmod", "multiply_full", *PRODUCTS},
        ),
        # 17 + 1 + 8 + 6 bits: the table is full, as one power more would be a true statement that nobody asks for.
        ([("exp", 3, 0), ("exp", 7, 0x1_0005), ("exp", 7, 1), ("exp", 7, 200), ("exp", 7, 40)], {"exp", "power"}),
    ],
)
def test_no_mutation_survives(cases: Program, tables: set[str]) -> None:
    execution = run(cases)
    assert tables <= set(heights(execution))
    report = mutate_family([c for c in COMPONENTS if c.table.name in tables], execution)
    assert report.survivors == [], str(report)


def test_no_mutation_of_a_failing_exp_survives() -> None:
    report = mutate_family(COMPONENTS, run([("exp", 3, WORDS - 1)], gas=21_006 + 900))
    assert report.survivors == [], str(report)


# Lies: tables altered at will; the tables that answer state whatever is then asked and true.


def lie(execution: Execution, table: str, forgery: Lie) -> set[str]:
    """What objects to an altered table: constraints and buses by name. The other tables answer what they can."""
    found = check_family(CLOSED, execution, {table: forgery})
    return {getattr(f, "constraint", None) or getattr(f, "bus", None) or f.table for f in found}  # type: ignore[union-attr]


def word(value: int) -> Any:
    return words_from_ints([value])[0]


@cache
def division() -> Execution:
    return run([("div", MINIMUM + 5, 1 << 100)])


def test_honest_divisions_are_accepted_as_lies() -> None:
    assert lie(division(), "divide", lambda rows: None) == set()


def set_division(rows: Any, quotient: int, divisor: int, dividend: int, at: int | None = None) -> None:
    """A division with this quotient and the remainder that goes with it, modulo 2^256."""
    remainder = (dividend - quotient * divisor) % WORDS
    rows.quotient[0] = word(quotient)
    rows.product[0] = word(quotient * divisor % WORDS)
    rows.remainder[0] = word(remainder)
    if at is not None:
        rows.below.at[0] = 0
        rows.below.at[0, at] = 1


def test_quotient_too_small_by_one() -> None:
    """The remainder is then no smaller than the divisor."""

    def forge(rows: Any) -> None:
        quotient = (MINIMUM + 5) >> 100
        set_division(rows.division, quotient - 1, 1 << 100, MINIMUM + 5)

    assert "remainder < divisor: gap" in lie(division(), "divide", forge)


@pytest.mark.parametrize("at", range(16))
def test_remainder_equal_to_the_divisor(at: int) -> None:
    execution = run([("div", 6 << 100, 2 << 100)])

    def forge(rows: Any) -> None:
        set_division(rows.division, 2, 2 << 100, 6 << 100, at)
        rows.division.below.gap[0] = 0

    assert any(name.startswith("remainder < divisor") for name in lie(execution, "divide", forge))


def test_quotient_too_large_by_one() -> None:
    """The remainder is then negative."""

    def forge(rows: Any) -> None:
        quotient = (MINIMUM + 5) >> 100
        set_division(rows.division, quotient + 1, 1 << 100, MINIMUM + 5)

    assert lie(division(), "divide", forge)


def test_a_quotient_that_only_fits_modulo_2_256() -> None:
    """2^99 / 3 modulo 2^256, times 3, is 2^99 with a remainder of 0: but the product must not overflow."""
    execution = run([("div", 1 << 99, 3)])

    def forge(rows: Any) -> None:
        quotient = (1 << 99) * pow(3, -1, WORDS) % WORDS
        set_division(rows.division, quotient, 3, 1 << 99, 0)
        rows.division.below.gap[0] = 2

    assert lie(execution, "divide", forge) == {"multiply"}


@pytest.mark.parametrize("name", ["div", "mod"])
def test_division_by_zero_has_no_other_result(name: str) -> None:
    execution = run([(name, MINIMUM, 0)])

    def quotient(rows: Any) -> None:
        rows.division.quotient[0, 0] = 1

    def remainder(rows: Any) -> None:
        rows.takes_remainder[0] = 1

    def no_zero(rows: Any) -> None:
        rows.division.zero[0] = 0
        rows.division.below.at[0, 0] = 1

    assert lie(execution, "divide", quotient) == {"no quotient[0]"}
    assert lie(execution, "divide", remainder) == {"takes_remainder"}
    assert lie(execution, "divide", no_zero)


def test_a_divisor_is_not_zero_at_will() -> None:
    def forge(rows: Any) -> None:
        rows = rows.division
        set_division(rows, 0, 1 << 100, MINIMUM + 5)
        rows.zero[0] = 1
        rows.below.at[0] = 0
        rows.below.gap[0] = 0

    assert lie(division(), "divide", forge) == {"no divisor[6]"}


def test_signs_do_not_flip() -> None:
    execution = run([("sdiv", WORDS - 10, 3)])

    def result(rows: Any) -> None:
        rows.negative[0] = 0
        rows.result[0] = word(3)

    def dividend(rows: Any) -> None:
        rows.dividend_sign[0] = rows.negative[0] = 0
        size = WORDS - 10
        rows.dividend_size[0] = word(size)
        arithmetic.Division.fill(rows.division, np.array([size], dtype=object), np.array([3], dtype=object))
        rows.size[0] = rows.result[0] = word(size // 3)

    def divisor(rows: Any) -> None:
        rows.divisor_sign[0], rows.negative[0] = 1, 0
        size = WORDS - 3
        rows.divisor_size[0] = word(size)
        arithmetic.Division.fill(rows.division, np.array([10], dtype=object), np.array([size], dtype=object))
        rows.size[0] = rows.result[0] = word(0)

    assert lie(execution, "divide_signed", lambda rows: None) == set()
    assert lie(execution, "divide_signed", result) == {"negative"}
    assert lie(execution, "divide_signed", dividend) == {"range16"}
    assert lie(execution, "divide_signed", divisor) == {"range16"}


def test_a_result_has_one_encoding() -> None:
    """A limb of 2^16, or one of 0 with a carry left out."""
    execution = run([("sub", 1 << 40, 1), ("sdiv", WORDS - (1 << 90), 1 << 10)])  # 2^40 - 1 and -2^80

    def sub(rows: Any) -> None:
        rows.x[0, 0] += 1 << 16
        rows.x[0, 1] -= 1

    def sdiv(rows: Any) -> None:
        rows.result[0, 0] = 1 << 16
        rows.result[0, 1:5] = 0xFFFF  # -2^80 = 2^16 + 0xFFFF * (2^16 + ... + 2^64) + ...

    # The first limb of 2^40 - 1 + 2^16 makes the limb above it one less; the carry into it would be 2.
    assert "range16" in lie(execution, "add", sub)
    assert "range16" in lie(execution, "divide_signed", sdiv)


def test_sums_are_not_taken_modulo_a_small_table() -> None:
    execution = run([("add", 0xFFFFFFFF, 0)])

    def forge(rows: Any) -> None:
        rows.y[0, 0] = 1
        rows.z[0] = 0

    assert lie(execution, "add_small", forge) == {"x + y = z without a carry"}


def test_modular_lies() -> None:
    """A remainder that is larger by the modulus, and results for a modulus of zero."""
    execution = run([("addmod", 1 << 200, 5, 7), ("mulmod", 1 << 200, 1 << 200, 7)])

    def addmod(rows: Any) -> None:
        quotient = ((1 << 200) + 5) // 7 - 1
        rows.quotient[0], rows.product[0] = word(quotient), word(quotient * 7)
        rows.remainder[0, 0] += 7

    def mulmod(rows: Any) -> None:
        low = int(rows.quotient[0, 0]) - 1
        assert low >= 0
        rows.quotient[0, 0] = low
        product = 0
        for k in reversed(range(16)):
            product = product << 16 | int(rows.quotient[0, k])
        product *= 7
        rows.product[0] = np.stack([word(product % WORDS), word(product // WORDS)])
        rows.remainder[0, 0] += 7

    assert "remainder < modulus: gap" in lie(execution, "addmod", addmod)
    assert "remainder < modulus: gap" in lie(execution, "mulmod", mulmod)
    nothing = run([("addmod", 9, 5, 0), ("mulmod", 9, 5, 0)])
    for name in ("addmod", "mulmod"):

        def no_zero(rows: Any) -> None:
            rows.zero[0] = 0

        assert lie(nothing, name, no_zero)


def test_exp_pays_for_every_byte() -> None:
    """A highest limb that is marked too low, or said to have one byte."""
    execution = run([("exp", 2, 0x100), ("exp", 2, 0x10001)])

    def byte(rows: Any) -> None:
        rows.two_bytes[0] = 0
        Charge.fill(_first(rows.charge), rows.gas[:1].astype(np.int64), np.array([60]))

    def limb(rows: Any) -> None:
        rows.at[1, 1], rows.at[1, 0], rows.top[1] = 0, 1, 1

    assert lie(execution, "exp", byte) == {"range16"}
    assert "limb 1 of the exponent is zero" in lie(execution, "exp", limb)


def _first(view: TraceView) -> TraceView:
    """The first row of a view."""
    return TraceView(view._layout, view._matrix[:1], view._base)


def test_exp_neither_fails_nor_succeeds_at_will() -> None:
    execution = run([("exp", 2, 0x100)])

    def fails(rows: Any) -> None:
        rows.charge.fails[0] = 1
        rows.result[0] = 0

    assert lie(execution, "exp", fails) == {"range16"}


def test_a_power_takes_all_bits() -> None:
    """Rows left out or ended early."""

    def ends_early(rows: Any) -> None:
        rows.last[1] = rows.done[1] = 1
        rows.multiplicity[1], rows.multiplicity[2] = rows.multiplicity[2], 0

    def begins_late(rows: Any) -> None:
        rows.first[0], rows.first[1] = 0, 1
        rows.real[0] = 0

    assert lie(run([("exp", 3, 5)]), "power", lambda rows: None) == set()
    assert lie(run([("exp", 3, 5)]), "power", ends_early)
    assert lie(run([("exp", 3, 5)]), "power", begins_late)


# Products.


@pytest.mark.parametrize(("limbs", "length"), [(5, 10), (16, 16), (16, 32)])
def test_carries(limbs: int, length: int) -> None:
    """The bounds are those of the largest factors; every carry is in one group, and no group is too large."""
    largest = (1 << (16 * limbs)) - 1
    words = np.array([[largest >> (16 * i) & 0xFFFF for i in range(16)]])
    _, carry = product_limbs(words, words)
    bounds = carry_bounds(limbs, length)
    assert carry[0, :length].tolist() == bounds
    groups = carry_groups(bounds)
    assert sorted(k for group in groups for k in group) == list(range(length))
    assert all(sum(bounds[k] for k in group) <= MAX_CARRIES for group in groups)


@pytest.mark.parametrize("name", ["multiply_small", "multiply", "multiply_full"])
def test_a_carry_cannot_wrap(name: str) -> None:
    """A carry larger by MODULUS / 2^16, which makes a limb of the product larger by one, is above the bound."""

    def forge(rows: Any) -> None:
        # S - product = 2^16 * carry in the field: (MODULUS - 1) / 2^16 = -1 / 2^16.
        rows.product[0, 0] += 1
        rows.carry[0, 0] += 30720
        rows.product[0, 1] += 30720

    cases = [("mul", 3, 5), ("mul", 1 << 99, 3), ("mulmod", WORDS - 1, WORDS - 1, 1 << 200)]
    assert lie(run(cases), name, forge) == {"range16", "multiply"}


def test_sums_stay_within_their_budget() -> None:
    assert arithmetic.ADD_LARGE.width <= 59
    assert len(arithmetic.ADD_LARGE.air.interactions) <= 24
