"""The examples give the same in the executor as in the execution specs.

The block of mainnet brings a witness instead of a genesis, which the specs do not read; its header says what it gives.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from executor.execute import execute
from executor.inputs import read_batch
from scripts.workloads.build_examples import MAINNET
from tests.differential.comparison import differences
from tests.differential.specs import Specs

EXAMPLES = Path(__file__).parents[2] / "examples"
FAST = {"erc20-yul"}
# More than a million steps: minutes, and gigabytes for the steps of both.
RESULTS_ONLY = {"snailtracer-full"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=[] if path.stem in FAST else pytest.mark.deep)
        for path in sorted(EXAMPLES.glob("*.json"))
        if path.stem != MAINNET
    ],
)
def test_example(specs: Specs, name: str) -> None:
    batch = read_batch(EXAMPLES / f"{name}.json")
    steps = name not in RESULTS_ONLY
    assert differences(batch, execute(batch, trace=steps), specs.run(batch, steps=steps)) == []


def test_the_fast_examples_are_there() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.json")} >= FAST
