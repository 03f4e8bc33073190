"""Blocks of a real node: fetched, proved, verified. Without geth, what it answered once stands for it."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from executor.errors import MissingState
from executor.execute import execute
from executor.fetch import NodeError, fetch
from executor.inputs import InputError, batch_of_file, read_batch
from prover.prove import prove
from prover.workers import Workers
from scripts.workloads.assembler import assemble
from scripts.workloads.traffic import call_data
from scripts.workloads.traffic_tokens import SOLIDITY
from scripts.workloads.transfers import ETHER
from tests.end_to_end.geth import (
    ALICE,
    BOB,
    CHAINS,
    CROSSING_TIMES,
    OSAKA_TIMES,
    TRANSFERRED,
    UNSEEN_ANSWERS,
    Geth,
    RecordedNode,
    fetch_unseen,
    is_recorded_version,
    mine_crossing,
    recorded,
    running,
)
from tests.scripts.examples import RecordedCode
from verifier.container import decode_proof
from verifier.verify import verify_file

FORKS_OF_BLOCKS = {
    "geth_cancun": ["cancun"] * 3,
    "geth_osaka": ["osaka"] * 7,
    "geth_crossing": ["cancun", "prague", "osaka", "bpo1", "bpo2"],
}


def hashes(document: Mapping[str, Any]) -> list[str]:
    """Of blocks, as the node says them."""
    return [block["hash"] for block in document["blocks"]]


def prove_to(last: str, batch: Path, proof: Path) -> None:
    """Prove and verify: the statement must end with this block."""
    prove([batch], proof, workers=Workers(1))
    assert "0x" + verify_file(proof).statement.last_block_hash.hex() == last


@pytest.mark.parametrize("name", FORKS_OF_BLOCKS)
def test_what_geth_answered_is_executed_to_its_hashes(name: str) -> None:
    executed = execute(read_batch(recorded(name)))
    assert [fork.name for fork in executed.forks] == FORKS_OF_BLOCKS[name]
    expected = hashes(json.loads(gzip.decompress(recorded(name).read_bytes())))
    assert ["0x" + keccak(header).hex() for header, _ in executed.blocks] == expected


@pytest.mark.parametrize(
    "name", ["geth_cancun", *(pytest.param(name, marks=pytest.mark.deep) for name in ("geth_osaka", "geth_crossing"))]
)
def test_what_geth_answered_is_proved(name: str, tmp_path: Path) -> None:
    last = hashes(json.loads(gzip.decompress(recorded(name).read_bytes())))[-1]
    prove_to(last, recorded(name), tmp_path / "proof")


def test_what_geth_did_not_look_at_is_shown_by_proofs() -> None:
    """Its own witness is not enough; what it answered when it was asked for the rest is."""
    answers = json.loads(gzip.decompress(UNSEEN_ANSWERS.read_bytes()))
    fetched = fetch_unseen(RecordedNode(answers))
    # Four accounts, and a contract with one of its slots.
    assert fetched.completed == 6
    assert execute(fetched.batch).last_block_hash.hex() == fetched.last_hash[2:]
    witness = answers[json.dumps(["debug_executionWitness", "0x2"])]
    lacking = batch_of_file(fetched.document | {"witness": witness})
    with pytest.raises(MissingState) as caught:
        execute(lacking)
    assert sorted(caught.value.accounts.values()) == [(), (), (), (), (7,)]


@pytest.fixture
def program() -> str:
    """A geth that is installed."""
    found = shutil.which("geth")
    if found is None:
        pytest.skip("geth is not installed")
    return found


@pytest.fixture
def osaka(program: str, tmp_path: Path) -> Iterator[Geth]:
    with running(program, tmp_path, OSAKA_TIMES) as geth:
        yield geth


@pytest.mark.deep
@pytest.mark.parametrize("name", CHAINS)
def test_geth_still_answers_what_was_recorded(program: str, name: str, tmp_path: Path) -> None:
    if not is_recorded_version(program):
        pytest.skip("another version of geth than the one that was recorded")
    times, mine = CHAINS[name]
    with running(program, tmp_path, times) as geth:
        mine(geth)
        fetched = fetch(geth.node, "0x1", "latest", times)
    assert execute(fetched.batch).last_block_hash.hex() == hashes(fetched.document)[-1][2:]
    before = json.loads(gzip.decompress(recorded(name).read_bytes()))
    assert hashes(fetched.document) == hashes(before)
    # Each time in another order.
    assert all(
        sorted(fetched.document["witness"][kind]) == sorted(before["witness"][kind]) for kind in ("state", "codes")
    )


@pytest.mark.deep
def test_blocks_of_geth_are_fetched_and_proved(osaka: Geth, tmp_path: Path) -> None:
    """As users do it: transactions go into its pool, it mines them, and says itself which fork the blocks are of."""
    creation, token = osaka.create(ALICE, SOLIDITY.creation_code(RecordedCode()))
    sent = osaka.sign(ALICE, token, call_data("transfer(address,uint256)", BOB.address, ETHER))
    osaka.send(creation)
    (log,) = osaka.send(sent)
    assert (log["address"], log["topics"][0]) == ("0x" + token.hex(), "0x" + TRANSFERRED.hex())
    fetched = fetch(osaka.node, "0x1", "latest")
    assert (fetched.document["fork"], fetched.batch.transactions) == ("osaka", 2)
    batch = tmp_path / "batch.json"
    batch.write_text(json.dumps(fetched.document))
    prove_to(osaka.node.call("eth_getBlockByNumber", "latest", False)["hash"], batch, tmp_path / "proof")


@pytest.mark.deep
def test_a_block_that_asks_for_hashes_of_old_ones(osaka: Geth, tmp_path: Path) -> None:
    """The witness of one block has the headers that prove what BLOCKHASH gives in it."""
    for _ in range(6):
        osaka.mine()
    asking = " ".join(f"{back} number sub blockhash {back} sstore" for back in (1, 2, 5))
    creation, contract = osaka.create(ALICE, assemble(asking))
    osaka.mine(creation)
    fetched = fetch(osaka.node, "latest", "latest")
    number = int(fetched.document["blocks"][0]["number"], 16)
    executed = execute(fetched.batch)
    for back in (1, 2, 5):
        old = osaka.node.call("eth_getBlockByNumber", hex(number - back), False)["hash"]
        assert hex(executed.post_state.storage(contract, back)) == old
    batch = tmp_path / "batch.json"
    batch.write_text(json.dumps(fetched.document))
    prove_to(fetched.last_hash, batch, tmp_path / "proof")
    assert len(decode_proof((tmp_path / "proof").read_bytes()).ancestors) == 3


@pytest.mark.deep
def test_names_of_blocks(osaka: Geth) -> None:
    for _ in range(3):
        osaka.mine()
    # Nothing is final here but the genesis.
    for first, last in (("0x0", "0x2"), ("earliest", "latest"), ("finalized", "latest")):
        with pytest.raises(NodeError, match="block 0 is the genesis, which is not executed: begin at block 1"):
            fetch(osaka.node, first, last)
    with pytest.raises(NodeError, match="the node has no block 4"):
        fetch(osaka.node, "0x1", "0x4")
    # Blocks without transactions are blocks.
    assert len(execute(fetch(osaka.node, "0x2", "latest").batch).blocks) == 2


@pytest.mark.deep
@pytest.mark.parametrize(
    ("times", "apis", "message"),
    [
        (OSAKA_TIMES, "eth", "the node does not offer debug_executionWitness: geth needs"),
        (OSAKA_TIMES | {"bogota": 0}, "eth,debug", "nearest to osaka, but differ in system contracts;"),
    ],
)
def test_what_a_geth_lacks(program: str, times: Mapping[str, int], apis: str, message: str, tmp_path: Path) -> None:
    with running(program, tmp_path, times, apis) as geth:
        geth.send(geth.sign(ALICE, BOB.address))
        with pytest.raises(NodeError, match=message):
            fetch(geth.node, "0x1", "latest")


@pytest.mark.deep
def test_geth_says_which_fork_is_the_last(program: str, tmp_path: Path) -> None:
    with running(program, tmp_path, CROSSING_TIMES) as geth:
        mine_crossing(geth)
        assert fetch(geth.node, "0x1", "0x1").document["fork"] == "cancun"  # by its header
        assert fetch(geth.node, "latest", "latest").document["fork"] == "bpo2"
        with pytest.raises(InputError, match=r"block 4 may be of prague, .* with --fork"):
            fetch(geth.node, "0x4", "latest")
        with pytest.raises(InputError, match=r"the headers have 20 and 21 fields: say which forks .* with --fork"):
            fetch(geth.node, "0x1", "latest")
