"""What gas buys of a prover: current, as the budget and the document have it."""

from __future__ import annotations

import json

import pytest

from scripts.benchmarks.opcodes import BEGIN, BUDGET, DOCUMENT, FINISH, cases, figures, lines, markdown

FOUND = json.loads(BUDGET.read_text())

#: Of the figures so many are looked at in the fast tests, of each kind of tables one.
SAMPLE = ("add", "keccak", "sload-cold", "zero-bytes")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SAMPLE else pytest.mark.deep) for n in FOUND])
def test_gas_buys_what_the_budget_says(name: str) -> None:
    """A change of a price must change the budget file knowingly: `python -m scripts.benchmarks.opcodes --write`."""
    assert figures(name) == FOUND[name]


def test_all_ways_to_spend_gas_have_a_budget() -> None:
    assert list(FOUND) == list(cases())
    assert set(SAMPLE) <= set(FOUND)


@pytest.mark.parametrize(
    ("name", "gas"),
    [
        ("jumpdest", 1),
        ("add", 6),
        ("exp", 1616),
        ("keccak", 46),
        ("sload-cold", 2111),
        ("sstore-new", 22_112),
        ("balance-cold", 2611),
        ("zero-bytes", 4),
        ("nonzero-bytes", 16),
        ("access-list-addresses", 2400),
        ("access-list-keys", 1900),
        ("transaction", 21_000),
    ],
)
def test_the_gas_is_that_of_the_code(name: str, gas: int) -> None:
    """What is taken off leaves the price of the pieces alone, operands included."""
    assert FOUND[name]["gas"] == gas


def test_the_worst_price_is_first() -> None:
    prices = [float(line[-1].replace(",", "")) for line in lines(FOUND)]
    assert prices == sorted(prices, reverse=True)


def test_the_document_has_the_budget() -> None:
    assert DOCUMENT.read_text().partition(BEGIN)[2].partition(FINISH)[0].strip() == markdown(FOUND)
