"""A rollup's node, followed: geth mines blocks of transfers and token calls, and one command proves all in a chain."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from scripts.workloads.traffic import call_data
from scripts.workloads.traffic_tokens import SOLIDITY
from scripts.workloads.transfers import ETHER
from service.models import Job, Overview
from service.states import State
from tests.end_to_end.geth import ALICE, BOB, CAROL, OSAKA_TIMES, TRANSFER_GAS, Geth, running
from tests.scripts.examples import RecordedCode
from tests.service.api import process as services
from tests.service.api.server import ROOT
from zkevm.client import Client

BLOCKS, BATCH_BLOCKS, CONFIRMATIONS = 20, 2, 2
PATIENCE = 4 * 3600.0  # seconds; the machine may have other things to do


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
    for _ in range(CONFIRMATIONS):
        geth.mine()


def proved_up_to(number: int, url: str) -> Overview:
    """The overview, once blocks up to this one are proved without a gap."""
    began = time.monotonic()
    with Client(url) as client:
        while True:
            overview = client.overview()
            place = overview.following
            assert place is None or not place.gaps, place
            if place is not None and (place.proved or 0) >= number:
                return overview
            assert time.monotonic() - began < PATIENCE, overview
            time.sleep(0.5)


def zkevm(*arguments: str | Path) -> Any:
    """What a command prints as JSON."""
    command = [sys.executable, "-m", "zkevm", *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def follow(geth: Geth, data: Path) -> tuple[list[Job], list[Path]]:
    """Have the chain proved by `zkevm serve --follow`, which is killed halfway and started again.

    Returns:
        The jobs, and their proofs.
    """
    data.mkdir()
    options = ["--follow", geth.url, "--follow-from", "1", "--batch-blocks", str(BATCH_BLOCKS)]
    options += ["--confirmations", str(CONFIRMATIONS), "--follow-poll-seconds", "0.5", "--log-level", "warning"]
    with services.running(data, *options) as service:
        mining = threading.Thread(target=mine, args=(geth,))
        mining.start()
        try:
            proved_up_to(BLOCKS // 2, service.url)
        finally:
            mining.join()
        service.popen.kill()
        service.popen.wait()
    with services.running(data, *options) as service:
        place = proved_up_to(BLOCKS, service.url).following
        assert place is not None
        assert (place.next_block, place.head) == (BLOCKS + 1, BLOCKS + CONFIRMATIONS)
        assert (place.problem, place.reorganisations) == (None, 0)
        with Client(service.url) as client:
            jobs = client.jobs(sort="created").items
        proofs = [data / f"{number}.proof" for number in range(len(jobs))]
        for job, proof in zip(jobs, proofs, strict=True):
            zkevm("fetch-proof", job.id, "--out", proof, "--url", service.url)
        assert service.stop() == 0
    return jobs, proofs


@pytest.mark.deep
def test_twenty_blocks_of_geth_are_proved_in_a_chain(tmp_path: Path) -> None:
    program = shutil.which("geth")
    if program is None:
        pytest.skip("geth is not installed")
    began = time.monotonic()
    with running(program, tmp_path, OSAKA_TIMES) as geth:
        jobs, proofs = follow(geth, tmp_path / "service")
        blocks = [geth.node.call("eth_getBlockByNumber", hex(number), False) for number in range(BLOCKS + 1)]
        chain_id = int(geth.node.call("eth_chainId"), 16)
    took = time.monotonic() - began
    assert [job.state for job in jobs] == [State.DONE] * (BLOCKS // BATCH_BLOCKS)
    number = 0
    for proof in proofs:
        # The chain as geth tells it: without a gap, from the genesis to the last block.
        before, first, last = blocks[number], blocks[number + 1], blocks[number + BATCH_BLOCKS]
        known = ["--chain-id", str(chain_id), "--fork", "osaka"]
        known += ["--pre-state-root", before["stateRoot"], "--post-state-root", last["stateRoot"]]
        verdict = zkevm("verify", proof, *known, "--last-block-hash", last["hash"])
        stated = verdict["statement"]
        assert verdict["accepted"]
        assert (stated["first_block_number"], stated["first_block_hash"]) == (number + 1, first["hash"])
        assert first["parentHash"] == before["hash"]
        number = stated["last_block_number"]
    assert number == BLOCKS
    transactions = sum(job.transactions or 0 for job in jobs)
    print(f"\n{BLOCKS} blocks, {transactions} transactions, {len(proofs)} proofs in a chain, {took:.0f} s")
