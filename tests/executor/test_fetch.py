"""Batches from a node: a server stands for it that answers as geth and reth do, slowly, wrongly or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eth_utils.crypto import keccak
from rlp import encode
from trie.constants import BLANK_NODE_HASH
from trie.hexary import HexaryTrie

from executor.errors import BatchError, MissingState
from executor.execute import ExecutedBatch, execute
from executor.fetch import MAX_BLOCKS, Node, NodeError, fetch, join, parse_range
from executor.forks import BPO1, DEPOSIT_CONTRACT_ADDRESS, FORKS, OSAKA, Fork
from executor.inputs import InputError, batch_of_file
from executor.witness import StateTrie
from scripts.batches.builder import Builder
from scripts.batches.nodes import geth_witness, one_by_one, reth_witness
from scripts.workloads.assembler import assemble
from tests.executor.node import Served, serving


@pytest.fixture(scope="module")
def executed() -> ExecutedBatch:
    """Three blocks of a transfer each."""
    building = Builder()
    for _ in range(3):
        building.block(building.transfer())
    return building.execute()


@pytest.fixture
def node(executed: ExecutedBatch) -> Iterator[Served]:
    with serving(executed) as served:
        yield served


def at(served: Served, waited: list[float] | None = None) -> Node:
    return Node(served.url, ([] if waited is None else waited).append)


@pytest.mark.parametrize("witness_of", [geth_witness, reth_witness])
def test_blocks_are_executed_as_they_were(
    executed: ExecutedBatch, node: Served, witness_of: Callable[[ExecutedBatch], Any]
) -> None:
    node.answers["debug_executionWitness"] = lambda _number: witness_of(executed)
    seen: list[tuple[int, int]] = []
    fetched = fetch(at(node), "0x1", "latest", "cancun", lambda *progress: seen.append(progress))
    assert (fetched.first, fetched.last, fetched.last_hash) == (1, 3, "0x" + executed.last_block_hash.hex())
    assert seen == [(1, 3), (2, 3), (3, 3)]
    again = batch_of_file(json.loads(json.dumps(fetched.document)))
    assert execute(again).last_block_hash == execute(fetched.batch).last_block_hash == executed.last_block_hash
    # Each item of three equal witnesses is there once.
    assert len(fetched.document["witness"]["state"]) == len(set(fetched.document["witness"]["state"]))


def test_the_fork_is_that_of_the_headers(node: Served) -> None:
    assert fetch(at(node), "0x1", "0x1").document["fork"] == "cancun"


def rules(fork: Fork, since: int = 0) -> dict[str, Any]:
    """What a node tells of a fork (EIP-7910)."""
    blobs, contracts = fork.blobs, (*fork.system_contracts, DEPOSIT_CONTRACT_ADDRESS)
    return {
        "activationTime": since,
        "blobSchedule": {
            "target": blobs.target_gas_per_block // blobs.gas_per_blob,
            "max": blobs.max_gas_per_block // blobs.gas_per_blob,
            "baseFeeUpdateFraction": blobs.base_fee_update_fraction,
        },
        "precompiles": {f"NUMBER_{address.hex()}": "0x" + address.hex() for address in fork.precompiles},
        "systemContracts": {NAMES.get(address, address.hex()): "0x" + address.hex() for address in contracts},
    }


NAMES = {DEPOSIT_CONTRACT_ADDRESS: "DEPOSIT_CONTRACT_ADDRESS"}


@pytest.fixture(scope="module")
def today() -> ExecutedBatch:
    """A block whose header may be of several forks, of the time 1012."""
    building = Builder(BPO1)
    return building.block(building.transfer()).execute()


@pytest.mark.parametrize("fork", [fork for fork in FORKS.values() if fork.has_requests])
def test_a_node_says_which_of_several_forks_it_is(today: ExecutedBatch, fork: Fork) -> None:
    with serving(today) as served:
        served.answers["eth_config"] = lambda: {"current": rules(fork, 1012), "next": None, "last": None}
        fetched = fetch(at(served), "0x1", "0x1")
        assert fetched.document["fork"] == fork.name
        # Whoever says it is not asked: the node's word is not needed.
        assert fetch(at(served), "0x1", "0x1", "bpo1").document["fork"] == "bpo1"
        assert served.asked.count("eth_config") == 1


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"current": rules(BPO1, 1013)},  # the block is before these rules
        {"current": rules(BPO1) | {"blobSchedule": None}},
        {"current": rules(BPO1) | {"precompiles": {"ID": "0x04"}}},
        {"current": rules(BPO1) | {"systemContracts": []}},
        {"current": rules(BPO1) | {"activationTime": "soon"}},
    ],
)
def test_a_fork_that_nobody_says(today: ExecutedBatch, answer: Any) -> None:
    with serving(today) as served:
        served.answers["eth_config"] = lambda: answer
        with pytest.raises(InputError, match=r"block 1 may be of prague, .*: say which forks .* with --fork"):
            fetch(at(served), "0x1", "0x1")
        del served.answers["eth_config"]
        with pytest.raises(InputError, match=r"block 1 may be of prague, "):
            fetch(at(served), "0x1", "0x1")


OTHER_CONTRACTS = rules(OSAKA)["systemContracts"] | {"BUILDER_EXIT_CONTRACT_ADDRESS": "0x" + "ee" * 20}


@pytest.mark.parametrize(
    ("unknown", "message"),
    [
        ({"systemContracts": OTHER_CONTRACTS}, "nearest to osaka, but differ in system contracts; "),
        ({"precompiles": {}}, "nearest to prague, but differ in precompiles; "),
        (
            {"blobSchedule": {"target": 1, "max": 2, "baseFeeUpdateFraction": 3}},
            "nearest to osaka, but differ in blobs; ",
        ),
        ({"systemContracts": {}, "precompiles": {}}, "differ in precompiles and system contracts; "),
    ],
)
def test_rules_of_no_fork_that_is_known(today: ExecutedBatch, unknown: dict[str, Any], message: str) -> None:
    with serving(today) as served:
        served.answers["eth_config"] = lambda: {"current": rules(OSAKA) | unknown}
        with pytest.raises(NodeError, match=message):
            fetch(at(served), "0x1", "0x1")


def test_what_is_busy_is_asked_again(node: Served) -> None:
    node.failures = [(503, b""), (429, b"slow down")]
    waited: list[float] = []
    assert at(node, waited).call("eth_chainId") == hex(Builder.CHAIN_ID)
    assert waited == [0.5, 1.0]
    node.failures = [(502, b"")] * 9
    with pytest.raises(NodeError, match="does not answer eth_chainId in 5 tries: HTTP status 502"):
        at(node).call("eth_chainId")


def test_a_node_that_is_not_there() -> None:
    with pytest.raises(NodeError, match="does not answer eth_chainId in 5 tries"):
        Node("http://127.0.0.1:9", [].append).call("eth_chainId")
    for url in ("127.0.0.1:9", "localhost:9", "nothing", "ftp://127.0.0.1", "ws://127.0.0.1"):
        with pytest.raises(NodeError, match=rf"^{url}: where an address such as http://localhost:8545 is expected$"):
            Node(url, [].append).call("eth_chainId")
    with pytest.raises(NodeError, match=r"^http://: "):
        Node("http://", [].append).call("eth_chainId")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "something else than JSON-RPC"),
        (b"{}", "something else than JSON-RPC"),
        (b'{"error": "x"}', "something else than JSON-RPC"),
        (b'{"error": {"code": -32000, "message": "missing trie node"}}', "the node says 'missing trie node'"),
    ],
)
def test_answers_that_are_none(node: Served, content: bytes, message: str) -> None:
    node.failures = [(200, content)]
    with pytest.raises(NodeError, match=message):
        at(node).call("eth_chainId")


def test_answers_are_bounded(node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.fetch.MAX_FILE_BYTES", 1000)
    node.failures = [(200, b" " * 1001)]
    with pytest.raises(NodeError, match="more than 1000 bytes in all; fetch fewer blocks"):
        at(node).call("eth_chainId")


def test_a_node_without_witnesses_says_what_to_do(node: Served) -> None:
    del node.answers["debug_executionWitness"]
    with pytest.raises(NodeError, match=r"does not offer debug_executionWitness: geth needs --http\.api=eth,debug"):
        fetch(at(node), "0x1", "0x2")


def test_a_state_that_is_gone_says_what_to_do(node: Served) -> None:
    gone = json.dumps({"error": {"code": -32000, "message": "missing trie node 00"}}).encode()
    node.failures = [(200, gone)]
    with pytest.raises(
        NodeError, match=r"the node says 'missing trie node 00' \(code -32000\); the state before the block"
    ):
        at(node).call("debug_executionWitness", "0x1")


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("0x0", "0x1", "begin at block 1"),
        ("0x2", "0x1", "block 2 comes after block 1, the last one that is wanted"),
        ("0x1", "0x9", "the node has no block 9"),
        ("earliest", "latest", "the node has no block earliest"),
    ],
)
def test_ranges_that_cannot_be_fetched(node: Served, first: str, last: str, message: str) -> None:
    with pytest.raises(NodeError, match=message):
        fetch(at(node), first, last)


def test_long_ranges_are_refused_at_once(node: Served) -> None:
    node.answers["eth_getBlockByNumber"] = lambda place, _full: {"number": place, "hash": "0x"}
    with pytest.raises(NodeError, match=f"are {MAX_BLOCKS + 1}: up to {MAX_BLOCKS} can be fetched"):
        fetch(at(node), "0x1", hex(MAX_BLOCKS + 1))
    assert len(node.asked) == 2


def test_a_block_that_is_pending_is_none_yet(node: Served) -> None:
    block = node.answers["eth_getBlockByNumber"]
    node.answers["eth_getBlockByNumber"] = lambda place, full: block(place, full) | {"hash": None}
    with pytest.raises(NodeError, match="of latest has no hash: it is no block of the chain yet"):
        fetch(at(node), "0x1", "latest")


def test_a_chain_that_changes_is_noticed(node: Served) -> None:
    block = node.answers["eth_getBlockByNumber"]
    other = {"parentHash": "0x" + "11" * 32}
    node.answers["eth_getBlockByNumber"] = lambda place, full: block(place, full) | (other if place == "0x2" else {})
    with pytest.raises(NodeError, match="block 2 does not follow the one before it: the chain changed"):
        fetch(at(node), "0x1", "0x3")
    heads = iter([{"hash": "0x" + "22" * 32}])
    node.answers["eth_getBlockByNumber"] = lambda place, full: block(place, full) | next(heads, {})
    with pytest.raises(NodeError, match="block 3 was replaced meanwhile"):
        fetch(at(node), "0x1", "0x3")


@pytest.mark.parametrize("witness", [None, [], {"state": 1, "codes": []}])
def test_witnesses_that_are_none(node: Served, witness: Any) -> None:
    node.answers["debug_executionWitness"] = lambda _number: witness
    with pytest.raises(NodeError, match="debug_executionWitness of block 1"):
        fetch(at(node), "0x1", "0x1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", ("0x5", "0x5")),
        ("0x10..32", ("0x10", "0x20")),
        ("7..latest", ("0x7", "latest")),
        ("finalized", ("finalized", "finalized")),
    ],
)
def test_ranges(text: str, expected: tuple[str, str]) -> None:
    assert parse_range(text) == expected


@pytest.mark.parametrize("text", ["", "..", "1..", "..1", "x", "-1", "1...2", "0x", str(1 << 64), "1..2..3"])
def test_ranges_that_are_none(text: str) -> None:
    with pytest.raises(NodeError, match="is neither a block's number nor one of latest"):
        parse_range(text)


# -- batches of blocks that were fetched one by one


@pytest.mark.parametrize("witness_of", [geth_witness, reth_witness])
def test_blocks_that_were_fetched_one_by_one_make_a_batch(
    executed: ExecutedBatch, node: Served, witness_of: Callable[[ExecutedBatch], Any]
) -> None:
    parts = []
    for index, alone in enumerate(one_by_one(executed)):
        # The header of a block of the batch is there, too, as where BLOCKHASH asks for it.
        others = witness_of(executed)["headers"] if index else []
        witness = witness_of(alone) | {"headers": others + witness_of(alone)["headers"]}
        node.answers["debug_executionWitness"] = lambda _number, found=witness: found
        parts.append(fetch(at(node), hex(index + 1), hex(index + 1)).document)
    assert [len(part["witness"]["headers"]) for part in parts] == [1, 2, 2]
    joined = join(parts)
    assert len(joined["witness"]["headers"]) == 1  # of the parent
    assert len(joined["witness"]["state"]) == len(set(joined["witness"]["state"]))
    assert execute(batch_of_file(joined)).last_block_hash == executed.last_block_hash
    assert execute(batch_of_file(join(parts[1:]))).last_block_hash == executed.last_block_hash
    with pytest.raises(BatchError, match="does not follow block"):
        join([parts[0], parts[2]])
    with pytest.raises(BatchError, match="of several chains or forks"):
        join([parts[0], {**parts[1], "fork": "prague"}])


# -- what a client did not look at


CONTRACT, COLD = b"\xcc" * 20, b"\xdd" * 20
#: BALANCE of an account, and SLOAD of a slot, in calls that have not the gas for a cold one (EIP-2929); and where they
#: have it, so that execution stops at what is missing.
BALANCE, SLOAD = assemble(f"{int.from_bytes(COLD, 'big')} balance"), assemble("9 sload")
UNSEEN: dict[str, tuple[bytes, int, dict[bytes, tuple[int, ...]]]] = {
    "account": (BALANCE, 21_500, {COLD: ()}),
    "slot": (SLOAD, 21_500, {CONTRACT: (9,)}),
    "account that is read": (BALANCE, 50_000, {COLD: ()}),
    "slot that is read": (SLOAD, 50_000, {CONTRACT: (9,)}),
}


def lacking(name: str) -> ExecutedBatch:
    """A block with a call that looks at something, or runs out of gas before."""
    code, gas, _ = UNSEEN[name]
    building = Builder()
    building.alloc(CONTRACT, code="0x" + code.hex(), storage={hex(slot): slot for slot in range(1, 30)})
    for number in range(200):
        building.alloc(keccak(text=f"another account {number}")[:20], balance="0x1")
    building.alloc(COLD, balance="0x7")
    return building.block(building.transfer(0, CONTRACT, 0, gas=gas), building.transfer(1)).execute()


def proof_of(executed: ExecutedBatch, address: bytes, slots: list[int]) -> dict[str, Any]:
    """What ``eth_getProof`` says of the state before: all nodes on the way."""
    nodes = {keccak(node): node for node in executed.state_nodes}
    accounts = HexaryTrie(nodes, executed.pre_state_root)
    found = StateTrie(nodes, executed.pre_state_root).account(address)
    root = BLANK_NODE_HASH if found is None else found.storage_root
    storage = HexaryTrie(nodes, root)
    return {
        "accountProof": ["0x" + encode(node).hex() for node in accounts.get_proof(keccak(address))],
        "storageProof": [
            {"proof": ["0x" + encode(node).hex() for node in storage.get_proof(keccak(slot.to_bytes(32, "big")))]}
            for slot in slots
        ],
    }


def without(executed: ExecutedBatch, address: bytes, slots: tuple[int, ...]) -> dict[str, Any]:
    """What geth tells of a block that never looked there: without the leaf, to which nothing else leads."""
    shown = proof_of(executed, address, list(slots))
    last = shown["storageProof"][0]["proof"][-1] if slots else shown["accountProof"][-1]
    witness = geth_witness(executed)
    assert last in witness["state"]
    return witness | {"state": [node for node in witness["state"] if node != last]}


@pytest.fixture(scope="module", params=UNSEEN)
def poor(request: pytest.FixtureRequest) -> tuple[ExecutedBatch, dict[bytes, tuple[int, ...]]]:
    return lacking(request.param), UNSEEN[request.param][2]


def test_what_nobody_had_the_gas_to_look_at_is_asked_for(
    poor: tuple[ExecutedBatch, dict[bytes, tuple[int, ...]]],
) -> None:
    executed, keys = poor
    ((address, slots),) = keys.items()
    asked = []

    def prove(account: str, of: list[str], place: Any) -> Any:
        asked.append((account, of, place))
        return proof_of(executed, bytes.fromhex(account[2:]), [int(slot, 16) for slot in of])

    with serving(executed) as served:
        served.answers["debug_executionWitness"] = lambda _number: without(executed, address, slots)
        with pytest.raises(MissingState, match=r"the witness lacks .*; the node does not offer eth_getProof"):
            fetch(at(served), "0x1", "0x1")
        served.answers["eth_getProof"] = prove
        fetched = fetch(at(served), "0x1", "0x1")
    # Once, of the state before the block, by that block's hash.
    place = {"blockHash": fetched.document["blocks"][0]["parentHash"]}
    assert asked == [("0x" + address.hex(), [f"0x{slot:064x}" for slot in slots], place)]
    assert fetched.completed == 1 + len(slots)
    assert execute(fetched.batch).last_block_hash == executed.last_block_hash


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "what eth_getProof answers about it is no proof"),
        ({}, "what eth_getProof answers about it is no proof"),
        ({"accountProof": [7], "storageProof": []}, "what eth_getProof answers about it is no proof"),
        ({"accountProof": [], "storageProof": [{}]}, "what eth_getProof answers about it is no proof"),
        ({"accountProof": [], "storageProof": []}, "the witness lacks "),
        ({"accountProof": ["0xc0"], "storageProof": []}, "the witness lacks "),
    ],
)
def test_proofs_that_are_none(
    poor: tuple[ExecutedBatch, dict[bytes, tuple[int, ...]]], answer: Any, message: str
) -> None:
    executed, keys = poor
    ((address, slots),) = keys.items()
    with serving(executed) as served:
        served.answers["debug_executionWitness"] = lambda _number: without(executed, address, slots)
        served.answers["eth_getProof"] = lambda *_: answer
        with pytest.raises(MissingState, match=message):
            fetch(at(served), "0x1", "0x1")
        assert fetch(at(served), "0x1", "0x1", complete=False).completed == 0


def test_a_node_that_always_has_something_new_is_not_asked_for_ever(
    poor: tuple[ExecutedBatch, dict[bytes, tuple[int, ...]]],
) -> None:
    executed, keys = poor
    ((address, slots),) = keys.items()
    with serving(executed) as served:
        served.answers["debug_executionWitness"] = lambda _number: without(executed, address, slots)
        numbers = iter(range(1000))
        served.answers["eth_getProof"] = lambda *_: {"accountProof": [f"0x{next(numbers):04x}"], "storageProof": []}
        with pytest.raises(MissingState):
            fetch(at(served), "0x1", "0x1")
        assert served.asked.count("eth_getProof") == 16


def test_a_code_that_is_missing_is_asked_for() -> None:
    code = assemble("1 2 add pop")
    building = Builder().alloc(CONTRACT, code="0x" + code.hex())
    calling = building.block(building.transfer(0, CONTRACT, 0, gas=50_000)).execute()
    with serving(calling) as served:
        served.answers["debug_executionWitness"] = lambda _number: geth_witness(calling) | {"codes": []}
        served.answers["eth_getCode"] = lambda address, place: "0x" + code.hex()
        fetched = fetch(at(served), "0x1", "0x1")
    assert fetched.completed == 1
    assert execute(fetched.batch).last_block_hash == calling.last_block_hash
