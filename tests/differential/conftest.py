"""The process that runs the execution specs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differential.specs import Specs


@pytest.fixture(scope="package")
def specs() -> Iterator[Specs]:
    """The execution specs; where they are not set up, the tests that need them fail and say how to do it."""
    with Specs() as process:
        yield process
