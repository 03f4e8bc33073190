"""What tests of the service share: databases of both kinds, and small batches."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.database import Database
from service.queue import Queue
from tests.service.databases import Server, program

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    if program("initdb") is None or program("postgres") is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    server = Server()
    yield server
    server.stop()


def new_database(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a new, empty database."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'service.sqlite'}"
    server: Server = request.getfixturevalue("postgres")
    return server.create()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a new, empty database."""
    return new_database(request.param, request, tmp_path)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    found = Database(url)
    found.migrate()
    yield found
    found.close()


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database)


def transfers(count: int, later: int = 0) -> bytes:
    """A batch file of one block with so many transfers, each an operation; the block's time makes it another one."""
    document = json.loads((EXAMPLES / "transfer.json").read_text())
    block = document["blocks"][0]
    time = int(str(block["timestamp"]), 0) + later
    document["blocks"] = [block | {"timestamp": time, "transactions": block["transactions"][:count]}]
    return json.dumps(document).encode()


def quiet() -> dict[str, str]:
    """The environment of processes that tests start."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ZKEVM_")}
