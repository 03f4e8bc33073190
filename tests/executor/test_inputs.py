"""What is read as a batch: every form in which nodes and people have blocks, states and tests, and what lacks what."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_utils.crypto import keccak

from executor import inputs
from executor.batch import Genesis, batch_from_document
from executor.conformance import run
from executor.errors import BatchError, UnsupportedFeature
from executor.execute import ExecutedBatch, execute
from executor.execution_witness import ExecutionWitnessError
from executor.forks import CANCUN, PRAGUE, Schedule
from executor.genesis_file import GenesisError
from executor.inputs import AmbiguousFork, InputError, read_batch
from executor.provable import check_provable
from executor.rpc import RpcError
from scripts.batches.builder import Builder
from scripts.batches.nodes import answer, geth_witness, raw_block, reth_witness, rpc_block, rpc_transaction

CASES = Path(__file__).parent / "fixtures" / "cases"
MIXED = CASES / "e5-eest-mixed.json"
CHAIN, BLOCK = CASES / "r1-chain.rlp", CASES / "r2-block.hex"


def write(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def refusal(*paths: Path, kind: type[BatchError] = InputError) -> str:
    with pytest.raises(BatchError) as caught:
        read_batch(paths)
    assert type(caught.value) is kind
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (kind, str(caught.value))
    return str(caught.value)


# -- cases that once failed somewhere


@pytest.mark.parametrize(
    ("name", "state_root", "gas"),
    [
        ("40-call-value-above-balance", "dc322b55f8498efa7d0b0afd0c29bfb04f1d73bf3e23a08a752de1a5c884c7dd", 119_493),
        (
            "46-mcopy-out-of-gas-in-a-called-frame",
            "cf86706cb85ea5f7b7b14bde37a53fe6f31c1918aef3d1ad7d4192b1aa20a8e7",
            97_137,
        ),
        (
            "48-creation-transactions-that-fail",
            "3881d55439de324e1b29edb50a0cf2dc9cc6f87aba3404ce4e5d91ddc9710007",
            288_569,
        ),
        ("60-two-reasons-to-refuse", "7183f2fc53010b68e1c97343cdd2eed2119c02f24586674d04afc49f43dcb5f3", 119_791),
        ("61-precompile-transaction", "c04c97c6f321db6dacc7ae6ecfcef22127ef306dbac6959f69dbbadd918c5fec", 42_066),
        ("blockhash-one-borrow-too-few", "10b414dc06563bb0b14a0b4b7c890aebeab104dc7d98d78788e675702f8a7c18", 21_023),
        ("g3-genesis-difficulty-1", "ed3be6023ba0a0eaa715bc1967423cb14f05f477eecc70dd486ac5d63d9ee926", 69_412),
        ("g3b-genesis-nonce-42", "ed3be6023ba0a0eaa715bc1967423cb14f05f477eecc70dd486ac5d63d9ee926", 69_412),
        ("g3c-parent-header-difficulty-1", "2d686923d81e460980d3872b8095b178cba111ff6b3a5b19e21dab2170d6f42c", 21_000),
        ("g4-genesis-mixhash", "ed3be6023ba0a0eaa715bc1967423cb14f05f477eecc70dd486ac5d63d9ee926", 69_412),
        ("g5-genesis-besu-comment", "3101f03eee0906f2ae28f3bf1dfbee347b1f2f79fa5fb3276b49a3d987b03da8", 69_412),
        ("g8-genesis-clique-extra", "ed3be6023ba0a0eaa715bc1967423cb14f05f477eecc70dd486ac5d63d9ee926", 69_412),
        (
            "w6-canonical-witness-collapse-undone",
            "810fe47bd35a10d62163a22112317aca292fcd924f7db066077348ac667996ad",
            43_311,
        ),
    ],
)
def test_cases_that_can_be_proved(name: str, state_root: str, gas: int) -> None:
    executed = execute(read_batch(CASES / f"{name}.json"))
    assert executed.post_state_root.hex() == state_root
    assert executed.gas_used == gas
    check_provable(executed)


def test_failed_creations_leave_no_account_and_give_the_value_back() -> None:
    executed = execute(read_batch(CASES / "48-creation-transactions-that-fail.json"))
    assert executed.trace is not None
    assert executed.trace.transactions.status.tolist() == [0, 0, 0, 1]
    sender = executed.batch.blocks[0].transactions[0].sender
    created = [executed.post_state.account(keccak(rlp.encode([sender, nonce]))[12:]) for nonce in range(4)]
    assert created[:3] == [None] * 3
    assert created[3] is not None
    assert created[3].balance == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "45-ripemd-touched-and-out-of-gas",
            f"empty account 0x{3:040x} in the pre-state in block 0, transaction 0, pc 9",
        ),
        ("return-of-memory-beyond-16-mib", "memory of more than 16 MiB in block 0, transaction 0, pc 6"),
        (
            "memory-beyond-16-mib-after-a-large-one",
            "lack of gas of a frame with more than 1073741823, or memory of more than 16 MiB "
            "in block 0, transaction 0, pc 11",
        ),
    ],
)
def test_cases_that_cannot_be_proved_are_refused_with_their_place(name: str, message: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        check_provable(execute(read_batch(CASES / f"{name}.json")))
    assert str(caught.value) == message


def test_a_genesis_without_a_base_fee_has_that_of_geth() -> None:
    with pytest.raises(BatchError, match="maxFeePerGas: 14 is below the base fee 875000000"):
        execute(read_batch(CASES / "g2-genesis-null-fields.json"))


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("e3-eest-state.json", InputError, "a file of public tests alone: say which one of its cases is meant"),
        ("e4-eest-engine.json", InputError, "a file of public tests alone: say which one of its cases is meant"),
        ("e5-eest-mixed.json", InputError, "a file of public tests alone: say which one of its cases is meant"),
        ("g9-genesis-alone.json", InputError, "a genesis file alone: the blocks after it are missing: name beside it"),
        ("j1-rpc-transaction.json", RpcError, "block 0, transaction 0, hash: 0x2222222222222222222222222222222222"),
        ("j2-rpc-block.json", RpcError, "header: the header lacks parentHash, sha3Uncles, miner, stateRoot,"),
        ("j3-prestate.json", InputError, "accounts of a state alone: neither the header of the block before nor"),
        ("r1-chain.rlp", InputError, "blocks alone: the state before the first block is missing: name beside it"),
        ("r2-block.hex", InputError, "blocks alone: the state before the first block is missing: name beside it"),
        ("w4-debug-execution-witness.json", InputError, "an execution witness alone: the block that it is of"),
        ("w5-witness-of-reth-alone.json", InputError, "an execution witness alone: the block that it is of"),
    ],
)
def test_what_is_not_enough_is_refused_with_what_is_missing(name: str, kind: type[BatchError], message: str) -> None:
    found = refusal(CASES / name, kind=kind)
    assert found.removeprefix(f"{CASES / name}: ").startswith(message)


# -- tests of several kinds


@pytest.mark.parametrize(
    ("name", "passed", "not_run"),
    [
        ("e3-eest-state", 0, ["state test, not a BlockchainTest"]),
        ("e4-eest-engine", 0, ["engine test, not a BlockchainTest"]),
        (
            "e5-eest-mixed",
            1,
            [
                "network Shanghai, not one of cancun, ",
                "network ShanghaiToCancunAtTime15k, not one of cancun, ",
                "state test, not a BlockchainTest",
            ],
        ),
    ],
)
def test_tests_of_other_kinds_are_left_out_by_kind(name: str, passed: int, not_run: list[str]) -> None:
    report = run([CASES / f"{name}.json"], workers=1)
    assert (report.passed, report.unsupported, report.left_out) == (passed, {}, {})
    # Its block is of Cancun, though its network says otherwise.
    assert [case.rpartition("::")[2] for case in report.failed] == ["p[fork_Prague]"] * passed
    assert len(report.not_run) == len(not_run)
    for reason, expected in zip(sorted(report.not_run.values()), not_run, strict=True):
        assert reason.startswith(expected)


# -- blocks after a genesis file


@pytest.fixture
def genesis(tmp_path: Path) -> Path:
    """The genesis file, as a node would have it, of the chain whose first block the files of blocks hold."""
    case = next(iter(json.loads(MIXED.read_text()).values()))
    header = rlp.decode(bytes.fromhex(case["genesisRLP"][2:]))[0]
    document = {
        "config": {"chainId": 1337, "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0},
        "alloc": case["pre"],
        "gasLimit": "0x" + header[9].hex(),
        "timestamp": "0x" + header[11].hex(),
        "baseFeePerGas": "0x" + header[15].hex(),
        "excessBlobGas": None,
    }
    return write(tmp_path / "genesis.json", document)


LAST_HASH = "e08679735a536c7173c50341f75374c7e4b3eeef8923221cdf6fb194c0966a71"


@pytest.mark.parametrize("blocks", [CHAIN, BLOCK])
@pytest.mark.parametrize("genesis_first", [True, False])
def test_blocks_follow_on_a_genesis_file(blocks: Path, genesis: Path, genesis_first: bool) -> None:
    executed = execute(read_batch([genesis, blocks] if genesis_first else [blocks, genesis]))
    assert executed.last_block_hash.hex() == LAST_HASH
    check_provable(executed)


def test_an_exported_chain_begins_with_the_genesis_block(genesis: Path, tmp_path: Path) -> None:
    case = next(iter(json.loads(MIXED.read_text()).values()))
    chain = tmp_path / "chain.rlp.gz"
    chain.write_bytes(gzip.compress(bytes.fromhex(case["genesisRLP"][2:]) + CHAIN.read_bytes()))
    batch = read_batch([chain, genesis])
    assert len(batch.blocks) == 1
    assert batch.parent_header is not None
    assert execute(batch, trace=False).last_block_hash.hex() == LAST_HASH


def test_hexadecimal_may_have_lines_and_a_json_answer_around_it(genesis: Path, tmp_path: Path) -> None:
    text = BLOCK.read_text().strip()
    forms = [
        text[2:],
        f"{text[:100]}\n{text[100:]}\n",
        f'"{text}"',
        json.dumps(answer(text)),
        json.dumps([answer(text)]),
        "\ufeff" + json.dumps(answer(text)),
    ]
    expected = read_batch([genesis, BLOCK])
    for form in forms:
        assert read_batch([genesis, write(tmp_path / "block", form)]) == expected


def test_another_genesis_is_noticed_first(genesis: Path) -> None:
    document = json.loads(genesis.read_text())
    write(genesis, document | {"timestamp": "0x3e9"})
    with pytest.raises(BatchError, match=r"^block 0, header\.parentHash: 0x967b.* where the block before has the hash"):
        execute(read_batch([genesis, CHAIN]))


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"config": {}}, GenesisError, "genesis.config.chainId: the genesis file does not say"),
        ({"config": {"chainId": "x"}}, GenesisError, "genesis.config.chainId: not a non-negative number"),
        (
            {"config": {"chainId": 1, "cancunTime": "soon"}},
            BatchError,
            "genesis.config.cancunTime: not a non-negative number",
        ),
        (
            {"config": {"chainId": 1, "cancunTime": 0, "amsterdamTime": 5}},
            BatchError,
            "fork: unknown fork 'amsterdam'; known: cancun",
        ),
        ({"number": 7}, InputError, "the first block is 1, but the genesis file has the state after block 7: give the"),
        ({"number": "x"}, BatchError, "genesis.number: not a non-negative number"),
        ({"mixhash": "0x", "mixHash": "0x"}, BatchError, "genesis: mixHash is there under two names"),
        ({"difficulty": -1}, BatchError, "genesis.difficulty: not a non-negative number"),
        ({"alloc": {"0x" + "12" * 20: 5}}, BatchError, "genesis.alloc.0x"),
    ],
)
def test_a_genesis_file_that_cannot_be_used(
    genesis: Path, fields: dict[str, Any], kind: type[BatchError], message: str
) -> None:
    write(genesis, json.loads(genesis.read_text()) | fields)
    assert refusal(genesis, CHAIN, kind=kind).startswith(message)


def test_a_chain_id_may_be_a_string(genesis: Path) -> None:
    document = json.loads(genesis.read_text())
    write(genesis, document | {"config": document["config"] | {"chainId": "0x539"}})
    assert read_batch([genesis, CHAIN]).chain_id == 1337


@pytest.mark.parametrize("name", ["difficulty", "nonce"])
def test_only_block_0_may_have_a_difficulty_and_a_nonce(builder: Any, name: str) -> None:
    building = builder().block()
    building.document["genesis"][name] = "0x1"
    executed = execute(batch_from_document(building.document))
    field = {"difficulty": 7, "nonce": 14}[name]
    assert int.from_bytes(rlp.decode(executed.parent_header)[field], "big") == 1
    building.document["genesis"]["number"] = 1
    with pytest.raises(BatchError, match=rf"^genesis\.{name}: must be 0 after the merge"):
        batch_from_document(building.document)


def test_comments_are_white_space(builder: Any, tmp_path: Path) -> None:
    building = builder(extraData="0x2f2f2f2a").block()
    building.document["description"] = 'a // "no comment" /* in a string'
    text = json.dumps(building.document, indent=1)
    commented = "// { [ a genesis\n" + text.replace('"blocks"', '/* of "all * kinds" */ "blocks"') + "/* the end *"
    plain, with_comments = write(tmp_path / "a.json", text), write(tmp_path / "b.json", commented)
    assert read_batch(with_comments) == read_batch(plain)


# -- blocks and transactions of the JSON-RPC API


@pytest.fixture(scope="module")
def executed(builder: Any) -> ExecutedBatch:
    """A block of transactions of all types and a withdrawal."""
    building = builder(excessBlobGas=0)
    entry = {"address": "0x" + "aa" * 20, "storageKeys": ["0x" + "01" * 32]}
    blobs = {"blobVersionedHashes": ["0x01" + "00" * 31], "maxFeePerBlobGas": 10**9, "accessList": []}
    dynamic = {"maxFeePerGas": 2000, "maxPriorityFeePerGas": 1}
    result: ExecutedBatch = building.block(
        building.transfer(0, data="0x1234", gas=30_000),
        building.transfer(1, type=1, accessList=[entry], gas=40_000),
        building.transfer(2, type=2, **dynamic),
        building.transfer(3, type=3, **dynamic, **blobs),
        building.transfer(0, to=b"", value=0, gas=60_000, data="0x00"),
        withdrawals=[{"index": 5, "validatorIndex": 6, "address": "0x" + "77" * 20, "amount": 8}],
    ).execute()
    return result


def genesis_of(executed: ExecutedBatch, builder: Any) -> dict[str, Any]:
    document: dict[str, Any] = builder(excessBlobGas=0).document["genesis"]
    return document | {"config": {"chainId": executed.chain_id, "cancunTime": 0}}


@pytest.mark.parametrize("form", [lambda block: block, answer, lambda block: [answer(block)]])
def test_a_block_of_the_api_follows_on_a_genesis_file(
    executed: ExecutedBatch, builder: Any, tmp_path: Path, form: Callable[[Any], Any]
) -> None:
    genesis = write(tmp_path / "genesis.json", genesis_of(executed, builder))
    block = write(tmp_path / "block.json", form(rpc_block(executed, 0)))
    raw = tmp_path / "block.rlp"
    raw.write_bytes(raw_block(executed, 0))
    batch = read_batch([genesis, block])
    assert batch == read_batch([genesis, raw])
    assert execute(batch, trace=False).last_block_hash == executed.last_block_hash


def test_a_batch_file_takes_blocks_in_all_forms(executed: ExecutedBatch, builder: Any, tmp_path: Path) -> None:
    own = builder(excessBlobGas=0).document
    results = []
    for block in (rpc_block(executed, 0), answer(rpc_block(executed, 0)), "0x" + raw_block(executed, 0).hex()):
        batch = read_batch(write(tmp_path / "batch.json", own | {"blocks": [block]}))
        results.append(execute(batch, trace=False).last_block_hash)
    beside = write(tmp_path / "block.json", rpc_block(executed, 0))
    without = {name: value for name, value in own.items() if name not in ("genesis", "blocks")}
    alone = write(tmp_path / "batch.json", without | {"blocks": []})
    genesis = write(tmp_path / "genesis.json", own["genesis"])
    results.append(execute(read_batch([alone, genesis, beside]), trace=False).last_block_hash)
    assert results == [executed.last_block_hash] * 4


def test_transactions_of_the_api_stand_for_their_raw_bytes(executed: ExecutedBatch, builder: Any) -> None:
    raw = executed.blocks[0][1]
    document = builder().block(*map(rpc_transaction, raw), answer(rpc_transaction(raw[0]))).document
    read = batch_from_document(document).blocks[0].transactions
    assert [transaction.raw for transaction in read] == [*raw, raw[0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gas": "0x5209"}, "block 0, transaction 0, hash: 0x"),
        ({"gas": None}, "block 0, transaction 0: a transaction of type 2 has gas too"),
        ({"gas": "lots"}, "block 0, transaction 0, gas: not a non-negative number"),
        ({"type": "0x7"}, "block 0, transaction 0, type: unknown transaction type 0x7"),
        ({"type": []}, "block 0, transaction 0, type: not a non-negative number"),
        ({"accessList": [{}]}, "block 0, transaction 0, accessList: an entry is not an object of address"),
        ({"type": "0x4", "authorizationList": [7]}, "block 0, transaction 0, authorizationList: not a list of objects"),
        (
            {"type": "0x3", "blobVersionedHashes": 7, "maxFeePerBlobGas": 1},
            "block 0, transaction 0, blobVersionedHashes",
        ),
    ],
)
def test_transactions_that_were_changed_are_refused(
    executed: ExecutedBatch, builder: Any, change: dict[str, Any], message: str
) -> None:
    document = rpc_transaction(executed.blocks[0][1][2]) | change
    with pytest.raises(RpcError) as caught:
        batch_from_document(builder().block(document).document)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gasUsed": "0x1"}, "header.hash: 0x"),
        ({"miner": "0x1"}, "header.miner: not a string of hexadecimal digits"),
        ({"parentHash": None, "nonce": None}, "header: the header lacks parentHash, nonce: give the whole answer of"),
        ({"withdrawalsRoot": None}, "header: the header lacks withdrawalsRoot"),
        ({"transactions": ["0x" + "12" * 32]}, "transactions: only the hashes of the transactions are given"),
        ({"transactions": {}}, "transactions: not a list"),
        ({"transactions": [7]}, "transaction 0: not a transaction of the JSON-RPC API"),
        ({"uncles": ["0x12"]}, "uncles: there are none after the merge"),
        ({"withdrawals": 1}, "withdrawals: not a list"),
        ({"withdrawals": [1]}, "withdrawals: not an object"),
        ({"withdrawals": [{}]}, "withdrawals.index: not a non-negative number"),
    ],
)
def test_blocks_that_lack_something_are_refused(
    executed: ExecutedBatch, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    block = write(tmp_path / "block.json", rpc_block(executed, 0) | change)
    assert refusal(block, kind=RpcError).startswith(message)


# -- execution witnesses


CONTRACT = b"\xcc" * 20


@pytest.fixture(scope="module")
def chain(builder: Any) -> list[ExecutedBatch]:
    """Two blocks that write and clear slots and ask for the hash of block 0, each as a batch, and both as one."""
    # slot[calldata] := number of the block; slot 1 := 0; slot 9 := hash of block 0
    code = "0x" + "435f3555" + "5f600155" + "5f40600955"
    building = builder().alloc(CONTRACT, code=code, nonce=1, storage={"0x1": "0x5", "0x2": "0x6"})
    for number in range(1, 3):
        building.block(building.transfer(0, CONTRACT, 0, gas=200_000, data=f"0x{number + 4:064x}"))
    both: ExecutedBatch = building.execute()
    first = execute(replace(both.batch, blocks=both.batch.blocks[:1]))
    alloc: dict[str, Any] = {}
    for address in (*builder.WALLETS, builder.COINBASE, CONTRACT):
        account = first.post_state.account(address)
        assert account is not None
        alloc["0x" + address.hex()] = {"balance": account.balance, "nonce": account.nonce}
    slots = {hex(slot): first.post_state.storage(CONTRACT, slot) for slot in (1, 2, 5, 9)}
    alloc["0x" + CONTRACT.hex()] |= {"code": code, "storage": slots}
    second = execute(
        replace(
            both.batch,
            genesis=Genesis.model_validate({"alloc": alloc, "gasLimit": 0}),
            parent_header=both.blocks[0][0],
            blocks=both.batch.blocks[1:],
            ancestor_headers=(both.parent_header,),
        )
    )
    assert second.last_block_hash == both.last_block_hash
    return [first, second, both]


@pytest.mark.parametrize("witness_of", [reth_witness, geth_witness])
@pytest.mark.parametrize("block_of", [rpc_block, lambda executed, index: "0x" + raw_block(executed, index).hex()])
def test_a_block_follows_on_its_execution_witness(
    chain: list[ExecutedBatch],
    tmp_path: Path,
    witness_of: Callable[[ExecutedBatch], Any],
    block_of: Callable[[ExecutedBatch, int], Any],
) -> None:
    for executed in chain[:2]:
        witness = write(tmp_path / "witness.json", answer(witness_of(executed)))
        block = write(tmp_path / "block.json", answer(block_of(executed, 0)))
        batch = read_batch([witness, block])
        assert (batch.chain_id, batch.schedule, batch.genesis) == (executed.chain_id, Schedule(CANCUN), None)
        again = execute(batch)
        assert again.last_block_hash == executed.last_block_hash
        assert set(again.state_nodes) == set(executed.state_nodes)
        document = {"format": "zkevm-batch/1", "chainId": executed.chain_id, "fork": "cancun"}
        document |= {"witness": witness_of(executed), "blocks": [block_of(executed, 0)]}
        assert read_batch(write(tmp_path / "batch.json", document)) == batch


def test_blocks_follow_on_each_other_with_a_witness_of_each(chain: list[ExecutedBatch], tmp_path: Path) -> None:
    first, second, both = chain
    witnesses = [write(tmp_path / f"w{n}.json", reth_witness(part)) for n, part in enumerate((second, first))]
    blocks = tmp_path / "blocks.rlp"
    blocks.write_bytes(raw_block(both, 0) + raw_block(both, 1))
    assert execute(read_batch([*witnesses, blocks])).last_block_hash == both.last_block_hash


def test_a_witness_may_have_objects_by_hash_and_items_twice(chain: list[ExecutedBatch], tmp_path: Path) -> None:
    executed = chain[0]
    witness = reth_witness(executed)
    by_hash = {name: {str(n): item for n, item in enumerate(witness[name] * 2)} for name in ("state", "codes")}
    block = write(tmp_path / "block.json", rpc_block(executed, 0))
    batch = read_batch([write(tmp_path / "a.json", witness | by_hash), block])
    assert batch == read_batch([write(tmp_path / "b.json", witness), block])


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"headers": []}, ExecutionWitnessError, "witness.headers: none: that of the parent block is needed"),
        ({"headers": ["0xc0"]}, ExecutionWitnessError, "witness.headers.0: not the RLP of a block header"),
        ({"headers": ["0xc1"]}, ExecutionWitnessError, "witness.headers.0: not the RLP of a block header"),
        ({"headers": [{}]}, RpcError, "witness.headers.0: the header lacks parentHash"),
        ({"headers": "0x"}, ExecutionWitnessError, "witness.headers: not a list"),
        ({"headers": ["0x"] * 258}, ExecutionWitnessError, "witness.headers: 258, more than 257"),
        ({"state": ["0x1"]}, ExecutionWitnessError, "witness.state.0: not a string of hexadecimal digits"),
        ({"codes": [5]}, ExecutionWitnessError, "witness.codes.0: not a string of hexadecimal digits"),
    ],
)
def test_witnesses_that_cannot_be_used(
    chain: list[ExecutedBatch], tmp_path: Path, change: dict[str, Any], kind: type[BatchError], message: str
) -> None:
    block = write(tmp_path / "block.json", rpc_block(chain[0], 0))
    witness = write(tmp_path / "witness.json", reth_witness(chain[0]) | change)
    assert refusal(witness, block, kind=kind).startswith(message)


@pytest.mark.parametrize("parent", ["0xc0", "0x01", "0xc3c28080", "0xf90100", "0x" + "c1" * 2_000 + "c0"])
def test_a_parent_beside_an_execution_witness_is_a_header(chain: list[ExecutedBatch], parent: str) -> None:
    document = {"format": "zkevm-batch/1", "chainId": chain[0].chain_id, "fork": "cancun", "parent": parent}
    document |= {"witness": reth_witness(chain[0]), "blocks": []}
    with pytest.raises(BatchError, match=r"^parent: not the RLP of a block header: "):
        batch_from_document(document)


def test_the_witness_of_another_block_is_refused(chain: list[ExecutedBatch], tmp_path: Path) -> None:
    first, second, _ = chain
    witness = write(tmp_path / "witness.json", reth_witness(first))
    block = write(tmp_path / "block.json", rpc_block(second, 0))
    message = f"witness.headers: the block's parent 0x{first.last_block_hash.hex()} is not among them"
    assert refusal(witness, block, kind=ExecutionWitnessError).startswith(message)
    # A witness that lacks a node is found to by executing.
    lacking = reth_witness(first)
    lacking["state"] = lacking["state"][1:]
    write(tmp_path / "block.json", rpc_block(first, 0))
    with pytest.raises(BatchError, match="the witness lacks"):
        execute(read_batch([write(witness, lacking), block]))


def test_without_transactions_a_witness_does_not_tell_the_chain(builder: Any, tmp_path: Path) -> None:
    executed = builder().block().execute()
    witness = write(tmp_path / "witness.json", reth_witness(executed))
    block = write(tmp_path / "block.json", rpc_block(executed, 0))
    assert refusal(witness, block) == (
        "chainId: the transactions say none: write a batch file with chainId, fork, witness and blocks"
    )


# -- what goes together, and what is nothing at all


def test_what_does_not_go_together_is_refused(
    executed: ExecutedBatch, builder: Any, genesis: Path, tmp_path: Path
) -> None:
    witness = write(tmp_path / "witness.json", reth_witness(executed))
    batch = write(tmp_path / "batch.json", builder().block().document)
    assert refusal(genesis, genesis, CHAIN) == f"{genesis}: a genesis file too, where one is enough"
    assert refusal(batch, batch) == f"{batch}: a batch file too, where one is enough"
    assert refusal(batch, genesis) == f"{genesis}: a genesis file too, where one is enough"
    assert refusal(batch, CHAIN) == f"{CHAIN}: blocks too, where those of {batch} are enough"
    assert refusal(genesis, witness, CHAIN) == f"{witness}: a genesis file or an execution witness, not both"
    assert refusal(genesis, CHAIN, BLOCK) == "after block 1 comes block 1: give each one once, and all"
    assert refusal(MIXED, genesis).startswith(f"{MIXED}: a file of public tests alone: say which one")
    assert refusal(Path(f"{MIXED}::a"), genesis).startswith("a case of a file of public tests is a batch by itself")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither RLP, nor hexadecimal, nor JSON: not JSON"),
        (b"hello", "neither RLP, nor hexadecimal, nor JSON: not JSON"),
        (b"\x00\x01", "neither RLP, nor hexadecimal, nor JSON: not JSON"),
        (b"5", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'"0x"', "not a JSON object"),
        (b"[[]]", "not a JSON object"),
        (b"[]", "0 documents, where there are 1 to 65536"),
        (b"{}", "none of the documents that are read (a batch file, "),
        (b'{"a": 1}', "none of the documents that are read (a batch file, "),
        (b"\xf8", "not the RLP of blocks: "),
        (b"\xc0", "not the RLP of blocks: a list of less than 256 bytes"),
        (b"\xfa\xff\xff\xff" + bytes(300), "not the RLP of blocks: "),
        (b"\xff" * 300, "not the RLP of blocks: "),
        (b"0xf86c", "not the RLP of blocks: "),
        (b"0x02f86c" + b"00" * 300, "a transaction alone: the block that it is in and the state before are missing"),
        (b'{"jsonrpc": "2.0", "id": 1, "result": null}', "the node's answer is empty"),
        (b'{"jsonrpc": "2.0", "error": {"code": -32601}}', "the node answered with an error: {'code': -32601}"),
        (b'{"name": "x", "engine": {}, "params": {}, "genesis": {}}', "a chain specification of Nethermind: give the"),
        (b'{"executionPayload": {}}', "a payload of the engine API: give the block as RLP"),
        (b'{"root": "0x", "accounts": {}}', "a dump of a state: put its accounts under alloc"),
        (b'{"accountProof": [], "storageHash": "0x"}', "proofs of accounts (eth_getProof): give an execution witness"),
        (b'{"parentHash": 1, "stateRoot": 1, "receiptsRoot": 1}', "a block header alone: the rest of its block"),
        (b'{"r": 1, "s": 1}', "a transaction alone: the block that it is in"),
        (b"\x1f\x8b\x08\x00", "neither RLP"),
        (b"\x1f\x8bno gzip", "not a gzip file, or damaged: "),
    ],
)
def test_what_is_no_document_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(BatchError) as caught:
        read_batch(file)
    assert str(caught.value).removeprefix(f"{file}: ").startswith(message)


def test_a_header_by_itself_is_no_block(tmp_path: Path, chain: list[ExecutedBatch]) -> None:
    file = tmp_path / "header"
    file.write_bytes(chain[0].parent_header)
    assert refusal(file).startswith(f"{file}: a block header alone: the rest of its block is missing")
    parts = rlp.decode(raw_block(chain[0], 0))
    for header in ([], parts[0][:9], [[], *parts[0][1:]], [*parts[0][:8], b"\xff" * 9, *parts[0][9:]]):
        file.write_bytes(rlp.encode([header, *parts[1:], [bytes(300)]]))
        assert refusal(file).startswith("not the RLP of a block: ")


def test_a_block_of_another_fork_is_refused(tmp_path: Path, chain: list[ExecutedBatch]) -> None:
    parts = rlp.decode(raw_block(chain[0], 0))
    block, witness = tmp_path / "block", write(tmp_path / "witness.json", reth_witness(chain[0]))
    block.write_bytes(rlp.encode([parts[0][:17], *parts[1:]]))
    assert refusal(witness, block).startswith("the headers have 17 fields, as those of none of cancun")


def test_files_are_bounded_together(genesis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = genesis.stat().st_size + CHAIN.stat().st_size
    monkeypatch.setattr(inputs, "MAX_FILE_BYTES", size)
    assert len(read_batch([genesis, CHAIN]).blocks) == 1
    monkeypatch.setattr(inputs, "MAX_FILE_BYTES", size - 1)
    assert refusal(genesis, CHAIN) == f"batch file of more than {size - 1} bytes"
    packed = tmp_path / "zeros.gz"
    packed.write_bytes(gzip.compress(bytes(10 * size)))
    assert refusal(packed) == f"batch file of more than {size - 1} bytes"
    monkeypatch.setattr(inputs, "MAX_DOCUMENTS", 3)
    assert (
        refusal(write(tmp_path / "many.json", [{}] * 4))
        == f"{tmp_path / 'many.json'}: 4 documents, where there are 1 to 3"
    )


# -- forks that headers alone do not tell


def prague(chain_id: int) -> ExecutedBatch:
    """A block of the time of the main network's Prague, with contracts of requests that have none."""
    start = inputs.MAINNET_FORKS["prague"]
    building = Builder(timestamp=start)
    building.document |= {"chainId": chain_id, "fork": "prague"}
    for call in PRAGUE.block_end_calls:
        building.alloc(call.address, code="0x00", nonce=1)
    executed: ExecutedBatch = building.block(building.transfer(), timestamp=start + 12).execute()
    return executed


def test_the_forks_of_the_main_network_are_known(tmp_path: Path) -> None:
    for chain_id in (1, 1337):
        executed = prague(chain_id)
        witness = write(tmp_path / "witness.json", reth_witness(executed))
        block = write(tmp_path / "block.json", rpc_block(executed, 0))
        if chain_id == 1:
            again = execute(read_batch([witness, block]))
            assert (again.last_block_hash, again.forks) == (executed.last_block_hash, [PRAGUE])
        else:
            assert refusal(witness, block, kind=AmbiguousFork).startswith("fork: block 1 may be of prague, osaka, ")


def test_a_genesis_file_without_times_leaves_it_to_the_headers(
    executed: ExecutedBatch, builder: Any, tmp_path: Path
) -> None:
    document = genesis_of(executed, builder)
    genesis = write(tmp_path / "genesis.json", document | {"config": {"chainId": executed.chain_id}})
    block = write(tmp_path / "block.json", rpc_block(executed, 0))
    assert read_batch([genesis, block]).schedule == Schedule(CANCUN)
