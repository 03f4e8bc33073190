"""Services for the tests of the API."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.protocol import PeerLimits
from service.settings import Settings
from tests.service.api.server import Served, serving
from tests.service.conftest import new_database
from tests.service.databases import Server

Serve = Callable[..., Served]
Away = Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.deep)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a new, empty database. Both answer in the same way, which deep tests see with the second one."""
    return new_database(request.param, request, tmp_path)


@pytest.fixture
def away(url: str, request: pytest.FixtureRequest) -> Away:
    """Takes the database away while a block runs."""

    @contextmanager
    def without() -> Iterator[None]:
        if url.startswith("sqlite"):
            file = Path(url.removeprefix("sqlite:///"))
            kept = file.rename(file.with_suffix(".away"))
            file.mkdir()
            try:
                yield
            finally:
                file.rmdir()
                kept.rename(file)
        else:
            server: Server = request.getfixturevalue("postgres")
            server.allow(url, False)
            server.cut(url)
            try:
                yield
            finally:
                server.allow(url, True)

    return without


@pytest.fixture
def serve(tmp_path: Path, url: str) -> Iterator[Serve]:
    """Starts a service with some settings."""
    with ExitStack() as stack:

        def start(peers: PeerLimits | None = None, **settings: Any) -> Served:
            return stack.enter_context(serving(Settings(data=tmp_path / "data", database=url, **settings), peers))

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
