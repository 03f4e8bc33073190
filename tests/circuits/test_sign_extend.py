"""SIGNEXTEND: honest steps on edge values are accepted, and no other outcome is."""

from __future__ import annotations

from itertools import product
from typing import Any

from circuits.instructions.sign_extend import COMPONENTS
from tests.circuits.family import check_family, mutate_family
from tests.circuits.instructions import has_results_of, run_each
from tests.circuits.lying import FUNCTIONS, objections

INDICES = (*range(35), 0xFFFF, 1 << 16, (1 << 16) + 1, 1 << 64, 1 << 255, -1)
POSITIVE = int.from_bytes(bytes(range(0x41, 0x61)), "big")  # no byte has its highest bit
NEGATIVE = int.from_bytes(bytes(range(0xC1, 0xE1)), "big")  # every byte has
WORDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 1 << 255, -1, POSITIVE, NEGATIVE)


def test_edge_values() -> None:
    execution = run_each([("signextend", operands) for operands in product(INDICES, WORDS)])
    assert check_family((*COMPONENTS, *FUNCTIONS), execution) == []
    assert has_results_of(COMPONENTS, execution)


def test_mutations() -> None:
    execution = run_each(
        [("signextend", operands) for operands in product((0, 1, 6, 30, 31, 32, 1 << 16), (POSITIVE, NEGATIVE))]
    )
    report = mutate_family((*COMPONENTS, *FUNCTIONS), execution, rows_per_table=14)
    assert report.survivors == [], str(report)


def test_denying_the_sign() -> None:
    def change(rows: Any) -> None:
        rows.sign[0] = 0
        rows.result[0] = 0
        rows.result[0, 0] = NEGATIVE & 0xFF

    execution = run_each([("signextend", (0, NEGATIVE))])
    assert objections(COMPONENTS, execution, {"sign_extend": change}, follows=True) == {"bitwise_bytes"}


def test_the_sign_of_the_other_byte() -> None:
    """0x80 is in the high byte; the low one is positive."""

    def change(rows: Any) -> None:
        rows.odd[0], rows.sign[0] = 1, 1
        rows.result[0, 0] = 0x807F
        rows.result[0, 1:] = 0xFFFF

    execution = run_each([("signextend", (0, 0x807F))])
    assert objections(COMPONENTS, execution, {"sign_extend": change}, follows=True) == {"index"}


def test_calling_an_index_too_large() -> None:
    def change(rows: Any) -> None:
        rows.outside[0], rows.beyond.high.zero[0] = 1, 1
        rows.place[0], rows.low[0], rows.high[0], rows.sign[0], rows.odd[0] = 0, 0, 0, 0, 0
        rows.result[0] = rows.word[0]

    execution = run_each([("signextend", (30, NEGATIVE))])
    assert objections(COMPONENTS, execution, {"sign_extend": change}, follows=True) == {"range16"}


def test_calling_an_index_small() -> None:
    def change(rows: Any) -> None:
        rows.outside[0], rows.beyond.high.zero[0], rows.beyond.high.inverse[0] = 0, 0, 0
        rows.place[0, 0] = 1
        rows.low[0] = rows.result[0, 0] = 0x7F
        rows.result[0, 1:] = 0

    execution = run_each([("signextend", (1 << 16, 0x7F))])
    assert objections(COMPONENTS, execution, {"sign_extend": change}, follows=True) == {"an index inside is small"}


def test_taking_a_limb_apart_otherwise() -> None:
    """0x0180 = 0x80 + 256, and also 0x180 + 0: not a byte."""

    def change(rows: Any) -> None:
        rows.low[0], rows.high[0], rows.sign[0] = 0x180, 0, 0
        rows.result[0] = 0
        rows.result[0, 0] = 0x180

    execution = run_each([("signextend", (0, 0x180))])
    assert objections(COMPONENTS, execution, {"sign_extend": change}, follows=True) == {"bitwise_bytes"}
