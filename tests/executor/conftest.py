"""Small batches for the tests of the executor."""

from __future__ import annotations

import pytest

from scripts.batches.builder import Builder


@pytest.fixture(scope="session")
def builder() -> type[Builder]:
    """The class that builds batches, with the constants of its genesis."""
    return Builder
