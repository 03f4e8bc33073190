"""Comparisons: honest ones of edge values are accepted, and no other outcome is."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from circuits.air.field import MODULUS
from circuits.instructions.comparison import COMPONENTS, EQ, GT, LT, SGT, SLT
from tests.circuits.family import check_family, fill_family, mutate_family
from tests.circuits.instructions import has_results_of, run_each
from tests.circuits.lying import FUNCTIONS, objections

MINUS = 1 << 256
EDGES = (0, 1, 2, 0xFFFF, 1 << 16, (1 << 80) - 1, 1 << 80, (1 << 255) - 1, 1 << 255, MINUS - 1, MINUS - 2)
ORDERS = ("lt", "gt", "slt", "sgt", "eq")


def _limb_pairs() -> list[tuple[int, int]]:
    """Words that differ in one limb, or in it and, in the other direction, in all limbs below."""
    base = sum((0x1234 + i) << (16 * i) for i in range(16))
    pairs = []
    for i in range(16):
        below = sum(1 << (16 * j) for j in range(i))
        pairs += [(base, base + (1 << (16 * i))), (base + below, base + (1 << (16 * i)))]
    return pairs


def test_edge_values() -> None:
    execution = run_each(
        [(name, pair) for name, pair in product(ORDERS, product(EDGES, EDGES))] + [("iszero", (x,)) for x in EDGES]
    )
    assert check_family((*COMPONENTS, *FUNCTIONS), execution) == []
    assert has_results_of(COMPONENTS, execution)


def test_words_that_differ_in_each_limb() -> None:
    pairs = [pair for a, b in _limb_pairs() for pair in ((a, b), (b, a))]
    cases = [(name, pair) for name, pair in product(ORDERS, pairs)] + [("iszero", (1 << (16 * i),)) for i in range(16)]
    execution = run_each(cases)
    assert check_family((*COMPONENTS, *FUNCTIONS), execution) == []
    assert has_results_of(COMPONENTS, execution)


def test_every_step_has_one_row() -> None:
    execution = run_each([(name, pair) for name, pair in product(ORDERS, product(EDGES, EDGES))])
    filled = [t for t in fill_family(COMPONENTS, execution) if t is not None]
    assert len(execution.rows(LT, GT, SLT, SGT, EQ)) == sum(int(matrix[:, 0].sum()) for matrix in filled)


def test_mutations() -> None:
    small = [(name, pair) for name, pair in product(ORDERS, ((3, 7), (7, 3), (7, 7), (1 << 70, 5)))]
    large = [(name, pair) for name, pair in product(ORDERS, ((1 << 200, 7), (-1, 1 << 255), (1, -1), (-1, -1)))]
    execution = run_each(small + large + [("iszero", (x,)) for x in (0, 1, 5, 1 << 16, -1)])
    report = mutate_family((*COMPONENTS, *FUNCTIONS), execution)
    assert report.survivors == [], str(report)


@pytest.mark.parametrize(("name", "a", "b"), [("lt", 3, 7), ("gt", 7, 3), ("slt", 3, 7), ("eq", 7, 3)])
def test_turning_a_small_comparison_around(name: str, a: int, b: int) -> None:
    def change(rows: Any) -> None:
        rows.less[0], rows.more[0] = rows.more[0], rows.less[0]

    execution = run_each([(name, (a, b))])
    assert objections(COMPONENTS, execution, {"compare_small": change}, follows=True) == {
        "sign and amount of the difference"
    }


@pytest.mark.parametrize(
    ("name", "table", "a", "b"),
    [("eq", "compare_small", 7, 3), ("eq", "compare", 1 << 200, 7), ("sgt", "compare_signed", 1, -1)],
)
def test_calling_different_words_equal(name: str, table: str, a: int, b: int) -> None:
    def change(rows: Any) -> None:
        rows.less[0] = rows.more[0] = rows.distance[0] = 0
        rows.highest[0] = 0

    found = objections(COMPONENTS, run_each([(name, (a, b))]), {table: change}, follows=True)
    assert "limb 0 is equal above the highest that differs" in found


@pytest.mark.parametrize("name", ["lt", "gt", "eq"])
def test_calling_equal_words_different(name: str) -> None:
    def change(rows: Any) -> None:
        rows.less[0] = 1
        rows.distance[0] = MODULUS - 1  # 0 = -(distance + 1)
        rows.highest[0, 3] = 1

    execution = run_each([(name, (1 << 200, 1 << 200))])
    assert objections(COMPONENTS, execution, {"compare": change}, follows=True) == {"range16"}


def test_deciding_by_a_lower_limb() -> None:
    """2^100 + 1 > 2: the lowest limbs say otherwise."""

    def change(rows: Any) -> None:
        rows.highest[0] = 0
        rows.highest[0, 0] = 1
        rows.less[0], rows.more[0], rows.distance[0] = 1, 0, 0

    found = objections(COMPONENTS, run_each([("lt", ((1 << 100) + 1, 2))]), {"compare": change}, follows=True)
    assert found == {"limb 6 is equal above the highest that differs"}


def test_deciding_by_two_limbs() -> None:
    def change(rows: Any) -> None:
        rows.highest[0, 0] = 1

    assert "the highest limb that differs: exactly one flag" in objections(
        COMPONENTS, run_each([("gt", (5, 1 << 100))]), {"compare": change}, follows=True
    )


def test_denying_a_sign() -> None:
    """-1 < 1, unless its sign is taken for a part of its amount."""

    def change(rows: Any) -> None:
        rows.left_sign[0] = 0
        rows.less[0], rows.more[0], rows.distance[0] = 0, 1, 0xFFFF - 1

    execution = run_each([("slt", (-1, 1))])
    assert objections(COMPONENTS, execution, {"compare_signed": change}, follows=True) == {"range16"}


def test_inventing_a_sign() -> None:
    def change(rows: Any) -> None:
        rows.left_sign[0] = 1
        rows.highest[0] = 0
        rows.highest[0, 15] = 1
        rows.less[0], rows.more[0], rows.distance[0] = 1, 0, 0xFFFF

    execution = run_each([("slt", (1 << 100, 1))])
    assert objections(COMPONENTS, execution, {"compare_signed": change}, follows=True) == {"range16"}


def test_equal_and_less_at_once() -> None:
    """The opcodes of EQ and of GT are not added up."""

    def change(rows: Any) -> None:
        rows.greater_than[0] = 1

    execution = run_each([("eq", (7, 3))])
    assert objections(COMPONENTS, execution, {"compare_small": change}, follows=True) == {"EQ is none of the others"}


@pytest.mark.parametrize(("table", "word"), [("is_zero_small", 5), ("is_zero", 1 << 128)])
def test_calling_a_word_zero(table: str, word: int) -> None:
    def change(rows: Any) -> None:
        rows.sum.zero[0] = 1
        rows.sum.inverse[0] = 0

    execution = run_each([("iszero", (word,))])
    assert objections(COMPONENTS, execution, {table: change}, follows=True) == {"is zero: value * zero = 0"}


def test_calling_zero_a_word() -> None:
    def change(rows: Any) -> None:
        rows.sum.zero[0] = 0
        rows.sum.inverse[0] = 1

    execution = run_each([("iszero", (0,))])
    assert objections(COMPONENTS, execution, {"is_zero_small": change}, follows=True) == {
        "is zero: value * inverse = 1 - zero"
    }


def test_a_lie_needs_a_change() -> None:
    """The harness itself: what is true is accepted."""
    assert (
        objections(COMPONENTS, run_each([("slt", (-1, 1)), ("iszero", (0,)), ("eq", (7, 3))]), {}, follows=True)
        == set()
    )
