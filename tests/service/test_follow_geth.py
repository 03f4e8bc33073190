"""A rollup's node, followed: geth mines blocks of transfers and token calls, and all of them are proved in a chain."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pytest

from scripts.workloads.traffic import call_data
from scripts.workloads.traffic_tokens import SOLIDITY
from scripts.workloads.transfers import ETHER
from service.artifacts import Artifacts
from service.database import Database
from service.follow import FollowerProcess, following
from service.queue import Queue
from service.settings import Settings
from service.states import State
from service.supervisor import Supervisor
from tests.end_to_end.geth import ALICE, BOB, CAROL, OSAKA_TIMES, TRANSFER_GAS, Geth, running
from tests.scripts.examples import RecordedCode
from verifier.statement import BatchStatement
from verifier.verify import verify_file

BLOCKS = 20
PATIENCE = 4 * 3600.0


def mine(geth: Geth) -> None:
    """Blocks of a transfer and a call of a token each, after one that creates the token."""
    creation, token = geth.create(ALICE, SOLIDITY.creation_code(RecordedCode()))
    geth.mine(creation)
    for number in range(1, BLOCKS):
        paid = geth.sign(BOB, CAROL.address, value=number, gas=TRANSFER_GAS)
        if number % 3:
            called = geth.sign(ALICE, token, call_data("transfer(address,uint256)", CAROL.address, ETHER + number))
        else:
            called = geth.sign(CAROL, token, call_data("approve(address,uint256)", BOB.address, number))
        geth.mine(paid, called)


@pytest.mark.deep
def test_twenty_blocks_of_geth_are_proved_in_a_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = shutil.which("geth")
    if program is None:
        pytest.skip("geth is not installed")
    with running(program, tmp_path, OSAKA_TIMES) as geth:
        # Whatever proxy there is, it is not asked for what runs here.
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        settings = Settings(
            data=tmp_path / "service",
            follow=geth.url,
            follow_from=1,
            follow_poll_seconds=0.5,
            batch_blocks=4,
            confirmations=2,
            jobs=1,
            workers=1,
        )
        database = Database(settings.database_url)
        database.migrate()
        queue, artifacts = Queue(database), Artifacts(settings.artifacts_url)
        follower, supervisor = FollowerProcess(settings), Supervisor(settings, queue, artifacts)
        follower.start()
        supervisor.start()
        try:
            mining = threading.Thread(target=mine, args=(geth,))
            mining.start()
            mining.join()
            geth.mine()
            geth.mine()
            began = time.monotonic()
            while (place := following(database)) is None or place.proved != BLOCKS:
                assert time.monotonic() - began < PATIENCE, place
                assert place is None or not place.gaps, place
                time.sleep(1.0)
            blocks = [geth.node.call("eth_getBlockByNumber", hex(number), False) for number in range(BLOCKS + 1)]
        finally:
            follower.stop()
            supervisor.stop()
        assert (place.next_block, place.head, place.problem, place.reorganisations) == (21, 22, None, 0)
    jobs = queue.jobs(sort="created").items
    assert [job.state for job in jobs] == [State.DONE] * (BLOCKS // settings.batch_blocks)
    before = blocks[0]
    number = 0
    for job in jobs:
        stored = queue.artifact(job.id, "proof")
        assert stored is not None
        proof = tmp_path / "proof"
        proof.write_bytes(artifacts.get(stored))
        stated: BatchStatement = verify_file(proof).statement
        # The chain as geth tells it: without a gap, from the genesis to the last block.
        assert stated.first_block_number == number + 1
        assert "0x" + stated.first_block_hash.hex() == blocks[number + 1]["hash"]
        assert blocks[number + 1]["parentHash"] == before["hash"]
        assert "0x" + stated.pre_state_root.hex() == before["stateRoot"]
        number = stated.last_block_number
        before = blocks[number]
        assert "0x" + stated.last_block_hash.hex() == before["hash"]
        assert "0x" + stated.post_state_root.hex() == before["stateRoot"]
    assert number == BLOCKS
    database.close()
