"""Following in a process of its own, with blocks that are fetched and executed."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from executor.execute import ExecutedBatch, execute
from executor.inputs import batch_of_file
from scripts.batches.builder import Builder
from scripts.batches.nodes import geth_witness, one_by_one, rpc_header
from service.artifacts import Artifacts
from service.database import Database, FollowedBatchRow, PlaceRow
from service.follow import FollowerProcess, following
from service.queue import Queue
from service.settings import Settings
from tests.executor.node import Served, serving

PATIENCE = 300.0


def wait(until: Callable[[], Any]) -> None:
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.05)


def script(node: Served, executed: ExecutedBatch, head: list[int]) -> None:
    """The node has the genesis and the blocks up to its head, each with its own witness."""
    block, alone = node.answers["eth_getBlockByNumber"], one_by_one(executed)

    def get(place: str, full: bool) -> Any:
        number = head[0] if place == "latest" else int(place, 16)
        return None if number > head[0] else block(hex(number), full) if number else rpc_header(executed.parent_header)

    node.answers["eth_getBlockByNumber"] = get
    node.answers["debug_executionWitness"] = lambda number: geth_witness(alone[int(number, 16) - 1])


@pytest.mark.deep
def test_a_process_that_follows_is_started_again_when_it_dies(tmp_path: Path) -> None:
    building = Builder()
    for number in range(4):
        building.block(building.transfer(number % 3), building.transfer(3))
    executed, head = building.execute(), [3]
    with serving(executed) as node:
        script(node, executed, head)
        settings = Settings(data=tmp_path, follow=node.url, follow_from=1, batch_blocks=2, follow_poll_seconds=0.05)
        database = Database(settings.database_url)
        database.migrate()
        queue, artifacts = Queue(database), Artifacts(settings.artifacts_url)
        process = FollowerProcess(settings)
        process.start()
        wait(lambda: (place := following(database)) is not None and place.next_block == 3)
        pid = process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        head[0] = 4
        # It goes on at once: it is known that the one before is dead.
        wait(lambda: following(database).next_block == 5)
        again = process.pid
        process.stop()
    assert again not in (None, pid)
    assert not Path(f"/proc/{again}").exists()
    place = database.read(lambda session: session.scalars(select(PlaceRow)).one())
    assert (place.owner, place.lease, place.problem) == (None, None, None)
    rows = database.read(lambda s: s.scalars(select(FollowedBatchRow).order_by(FollowedBatchRow.first)).all())
    assert [(row.first, row.last) for row in rows] == [(1, 2), (3, 4)]
    for row in rows:
        stored = queue.artifact(row.job, "batch")
        assert stored is not None
        found = execute(batch_of_file(json.loads(artifacts.get(stored))))
        assert "0x" + found.last_block_hash.hex() == row.last_hash
        assert ("0x" + found.pre_state_root.hex(), "0x" + found.post_state_root.hex()) == (
            row.pre_state_root,
            row.post_state_root,
        )
    database.close()


@contextmanager
def dripping() -> Iterator[str]:
    """A node that answers a byte at a time, and is never done."""
    listener, stop = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def answer(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
            while not stop.wait(0.1):
                connection.sendall(b" ")

    def listen() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],)).start()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_node_that_is_never_done_with_its_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with dripping() as url:
        settings = Settings(data=tmp_path, follow=url, fetch_seconds=0.5, follow_poll_seconds=0.1)
        database = Database(settings.database_url)
        database.migrate()
        process = FollowerProcess(settings)
        process.start()
        wait(lambda: (place := following(database)) is not None and place.problem is not None)
        place = following(database)
        process.stop()
    assert place is not None
    assert place.problem is not None
    assert "does not answer eth_getBlockByNumber within 0.5 seconds" in place.problem
    database.close()
