"""Blocks of a real node: fetched, proved, verified. Without geth, what it answered once stands for it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_utils.crypto import keccak

from executor.execute import execute
from executor.fetch import Node, fetch
from executor.forks import BEACON_ROOTS_ADDRESS
from executor.inputs import read_batch
from prover.prove import prove
from prover.workers import Workers
from verifier.system_contracts import BEACON_ROOTS_CODE
from verifier.verify import verify_file

FIXTURES = Path(__file__).parent.parent / "executor" / "fixtures"
KEY = "0x" + "00" * 31 + "01"
CHAIN_ID = 1337
PATIENCE = 60.0
#: Stores the word that it is called with, and logs it.
CODE = bytes.fromhex("6000356000556020600060003760206000a0600160005260206000f3")
INIT_CODE = bytes([0x60, len(CODE), 0x60, 12, 0x60, 0, 0x39, 0x60, len(CODE), 0x60, 0, 0xF3]) + CODE

GENESIS: dict[str, Any] = {
    "config": dict.fromkeys(
        [
            *(f"{name}Block" for name in ("homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople")),
            *(f"{name}Block" for name in ("petersburg", "istanbul", "berlin", "london", "mergeNetsplit")),
            "terminalTotalDifficulty",
            "shanghaiTime",
            "cancunTime",
        ],
        0,
    )
    | {
        "chainId": CHAIN_ID,
        "blobSchedule": {"cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477}},
    },
    "difficulty": "0x0",
    "gasLimit": hex(30_000_000),
    "baseFeePerGas": hex(10**9),
    "timestamp": "0x0",
    "extraData": "0x",
    "alloc": {
        Account.from_key(KEY).address: {"balance": hex(10**20)},
        "0x" + BEACON_ROOTS_ADDRESS.hex(): {"balance": "0x0", "nonce": "0x1", "code": "0x" + BEACON_ROOTS_CODE.hex()},
    },
}


@pytest.mark.parametrize(
    ("name", "fork", "last"),
    [
        ("geth_cancun", "cancun", "2d3ef472d344abc0a421af375e767600c0c45188f5e89cd6d75c20578fad45f7"),
        ("geth_osaka", "osaka", "ca58ea229ae7042b2c763518c08a3f2a6b404ee8cfbc8f309230871f9b80e9ed"),
    ],
)
def test_what_geth_answered_is_executed_to_its_hash(name: str, fork: str, last: str) -> None:
    """Of geth 1.17.10, with a genesis of Cancun and as `geth --dev` is."""
    executed = execute(read_batch(FIXTURES / f"{name}.json"))
    assert [item.name for item in executed.forks] == [fork] * len(executed.blocks)
    assert executed.last_block_hash.hex() == last


def test_what_geth_answered_is_proved(tmp_path: Path) -> None:
    prove([FIXTURES / "geth_cancun.json"], tmp_path / "proof", workers=Workers(1))
    statement = verify_file(tmp_path / "proof").statement
    assert statement.last_block_hash.hex() == "2d3ef472d344abc0a421af375e767600c0c45188f5e89cd6d75c20578fad45f7"


@pytest.fixture
def geth(tmp_path: Path) -> Iterator[Node]:
    """A node that makes a block for each transaction."""
    program = shutil.which("geth")
    if program is None:
        pytest.skip("geth is not installed")
    genesis, data = tmp_path / "genesis.json", tmp_path / "data"
    genesis.write_text(json.dumps(GENESIS))
    subprocess.run([program, "init", "--datadir", data, genesis], check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--dev", "--datadir", str(data), "--ipcdisable", "--nodiscover", "--port", "0"]
    command += ["--http", "--http.port", str(port), "--http.api", "eth,debug"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    node = Node(f"http://127.0.0.1:{port}")
    try:
        # It is asked again until it listens.
        node.call("eth_blockNumber")
        yield node
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.mark.deep
def test_blocks_of_geth_are_fetched_and_proved(geth: Node, tmp_path: Path) -> None:
    address = bytes.fromhex(Account.from_key(KEY).address[2:])
    contract = keccak(rlp.encode([address, 1]))[12:]
    wanted: list[dict[str, Any]] = [
        {"to": bytes(19) + b"\xaa", "value": 5, "gas": 21_000},
        {"data": INIT_CODE, "gas": 200_000},
        {"to": contract, "data": b"\x11" * 32, "gas": 100_000},
    ]
    for nonce, fields in enumerate(wanted):
        fees = {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**9}
        transaction = {"chainId": CHAIN_ID, "nonce": nonce, "value": 0, "type": 2} | fees | fields
        signed = Account.sign_transaction(transaction, KEY)
        geth.call("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        deadline = time.monotonic() + PATIENCE
        while int(geth.call("eth_blockNumber"), 16) <= nonce:
            assert time.monotonic() < deadline, "no block"
            time.sleep(0.1)
    assert geth.call("eth_getCode", "0x" + contract.hex(), "latest") == "0x" + CODE.hex()
    fetched = fetch(geth, "0x1", "latest")
    assert fetched.batch.transactions == len(wanted)
    batch, proof = tmp_path / "batch.json", tmp_path / "batch.proof"
    batch.write_text(json.dumps(fetched.document))
    prove([batch], proof, workers=Workers(1))
    statement = verify_file(proof).statement
    last = geth.call("eth_getBlockByNumber", "latest", False)
    assert "0x" + statement.last_block_hash.hex() == last["hash"]
    assert "0x" + statement.post_state_root.hex() == last["stateRoot"]
