"""Options of the test run: a random part of the deep tests within a time budget, batches that are cut into parts."""

import random
import time

import pytest

from tests.cutting import Cutting


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("deep", "slow and exhaustive tests")
    group.addoption("--deep-seed", type=int, default=None, help="run the tests in a random order given by this seed")
    group.addoption(
        "--deep-budget", type=float, default=None, metavar="SECONDS", help="start no further test after this time"
    )
    group.addoption(
        "--cut", type=float, default=0.0, metavar="SHARE", help="check this share of all batches in parts, too"
    )
    group.addoption("--cut-seed", type=int, default=0, help="which of them, and where they are cut")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seed = config.getoption("--deep-seed")
    if seed is not None:
        # Modules stay together: their fixtures are expensive.
        order = random.Random(seed)
        ranks = {path: order.random() for path in sorted({item.path for item in items})}
        items.sort(key=lambda item: (ranks[item.path], order.random()))


def pytest_configure(config: pytest.Config) -> None:
    budget = config.getoption("--deep-budget")
    if budget is not None:
        config.pluginmanager.register(_Budget(budget), "deep-budget")
    if share := config.getoption("--cut"):
        cutting = Cutting(share, config.getoption("--cut-seed"))
        cutting.start()
        config.pluginmanager.register(cutting, "cut")


class _Budget:
    """Skips every test that would start after the budget is spent."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if time.monotonic() > self._deadline:
            pytest.skip("the time for this part of the deep tests is spent")
