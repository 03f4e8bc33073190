"""Small cases, each of which was once wrong in some prover or client, give the same as in the execution specs."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor.execute import execute
from executor.inputs import read_batch
from tests.differential.comparison import differences
from tests.differential.specs import Specs

CASES = Path(__file__).parents[1] / "executor" / "fixtures" / "cases"

#: Those with a genesis of which the specs make the same parent, without accounts that EIP-7523 says there are none of.
NAMES = (
    "40-call-value-above-balance",
    "46-mcopy-out-of-gas-in-a-called-frame",
    "48-creation-transactions-that-fail",
    "60-two-reasons-to-refuse",
    "61-precompile-transaction",
    "g4-genesis-mixhash",
    "g5-genesis-besu-comment",
    "g8-genesis-clique-extra",
)


@pytest.mark.parametrize("name", NAMES)
def test_case(specs: Specs, name: str) -> None:
    batch = read_batch(CASES / f"{name}.json")
    assert differences(batch, execute(batch), specs.run(batch, steps=True)) == []
