"""What precompiles cost: exact, as the budget and the document have it, and against the bounds that were aimed at."""

from __future__ import annotations

import json

import pytest

from circuits.programs.precompiles import PRECOMPILES
from circuits.programs.program import PART
from executor.forks import OSAKA
from scripts.benchmarks.precompiles import (
    BEGIN,
    BUDGET,
    CALL_GAS,
    DOCUMENT,
    FINISH,
    cases,
    figures,
    heaviest,
    markdown,
    program_cost,
    worst_per_gas,
)

FOUND = json.loads(BUDGET.read_text())

#: They fill tables for long.
SLOW = (
    *("modexp-256", "pairing-pair", "pairing-not-one", "point-evaluation", "point-evaluation-fails"),
    *("pairing", "bls12-381-pairing", "bls12-381-g2-msm", "ripemd160-block", "bls12-381-map-g2", "modexp-128"),
    *("bls12-381-g1-msm-point", "bls12-381-g1-add", "modexp-osaka-128", "bls12-381-g1-msm", "sha256-block"),
    *("bls12-381-pairing-pair", "bls12-381-pairing-not-one", "bls12-381-g2-msm-point", "bls12-381-map-g2-infinity"),
)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.deep if n in SLOW else ()) for n in FOUND])
def test_a_precompile_costs_what_the_budget_says(name: str) -> None:
    """A change of a cost must change the budget file knowingly: `python -m scripts.benchmarks.precompiles --write`."""
    assert figures(name) == FOUND[name]


def test_all_precompiles_have_a_budget() -> None:
    assert list(FOUND) == list(cases())
    assert set(worst_per_gas(FOUND)) == {int.from_bytes(address, "big") for address in OSAKA.precompiles}


@pytest.mark.parametrize("name", FOUND)
def test_no_cost_is_beyond_its_bound(name: str) -> None:
    bound = FOUND[name]["bound"]
    assert bound is None or FOUND[name]["cell_equivalents"] <= bound


def test_the_document_has_the_budget() -> None:
    assert DOCUMENT.read_text().partition(BEGIN)[2].partition(FINISH)[0].strip() == markdown(FOUND)


@pytest.mark.parametrize("number", [pytest.param(n, marks=pytest.mark.deep if n == 10 else ()) for n in PRECOMPILES])
def test_no_program_takes_more_for_its_gas_than_what_is_measured(number: int) -> None:
    """Of calls that succeed and of those that fail: all take the precompile's gas."""
    precompile = PRECOMPILES[number]
    worst = FOUND[worst_per_gas(FOUND)[number]]
    for variant in precompile.variants():
        is_part = variant.role == PART
        if is_part and not variant.fails:
            gas = precompile.steady_gas
        else:
            # A sum of multiples costs nothing but its parts, of which it has one at least.
            gas = precompile.cost(1 if precompile.discounts else 0) + CALL_GAS
        assert program_cost(variant.program).weight / gas <= worst["per_gas"], variant.program.name
    if not precompile.stride:
        assert program_cost(heaviest(precompile.variants()).program).weight <= worst["cell_equivalents"]
