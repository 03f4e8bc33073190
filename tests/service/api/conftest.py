"""Services for the tests of the API."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.protocol import PeerLimits
from service.settings import Settings
from tests.service.api.server import Served, serving

Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a service with some settings."""
    with ExitStack() as stack:

        def start(peers: PeerLimits | None = None, **settings: Any) -> Served:
            return stack.enter_context(serving(Settings(data=tmp_path / "data", **settings), peers))

        yield start


@pytest.fixture
def served(serve: Serve) -> Served:
    """A service with the settings that there are without any."""
    return serve()


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    """A client of it."""
    with served.client() as client:
        yield client
