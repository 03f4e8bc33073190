"""Reading of batch files."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_utils.crypto import keccak

from executor import batch as batch_module
from executor import inputs as inputs_module
from executor.batch import batch_from_document, parse_batch
from executor.chain import open_chain
from executor.errors import BatchError, LimitExceeded, UnsupportedFeature
from executor.forks import BPO1, CANCUN, OSAKA, PRAGUE, Schedule
from executor.inputs import read_batch
from executor.transactions import decode_transaction
from scripts.batches.chain import headers_before
from scripts.batches.programs import on_headers

EXAMPLE = Path(__file__).parents[2] / "examples" / "transfer.json"


def test_raw_and_signed_transactions_are_the_same(builder: Any) -> None:
    request = builder().transfer()
    raw = builder().block(request).read().blocks[0].transactions[0].raw
    assert builder().block("0x" + raw.hex()).read() == builder().block(request).read()
    assert decode_transaction(raw).sender == builder.WALLETS[0]


def test_transactions_of_all_types_are_signed(builder: Any) -> None:
    access_list = [{"address": "0x" + "aa" * 20, "storageKeys": ["0x" + "01" * 32]}]
    building = builder()
    batch = building.block(
        building.transfer(type=0, data="0x00ff"),
        building.transfer(type="0x1", accessList=access_list),
        building.transfer(type=2, maxFeePerGas="0x10", maxPriorityFeePerGas="3", accessList=access_list),
    ).read()
    first, second, third = batch.blocks[0].transactions
    assert [first.type, second.type, third.type] == [0, 1, 2]
    assert {first.chain_id, second.chain_id, third.chain_id} == {builder.CHAIN_ID}
    assert first.data == b"\x00\xff"
    assert second.access_list == third.access_list == ((b"\xaa" * 20, (b"\x01" * 32,)),)
    assert (third.max_fee, third.max_priority_fee, third.nonce) == (16, 3, 2)


def test_numbers_may_be_integers_hexadecimal_or_decimal(builder: Any) -> None:
    for number in (30_000_000, "30000000", "0x1c9c380"):
        assert builder(gasLimit=number).read().genesis.gas_limit == 30_000_000


def test_the_genesis_of_a_public_test_has_its_hash() -> None:
    # ethereum/tests, BlockchainTests/ValidBlocks/bcValidBlockTest/SimpleTx.json, SimpleTx_Cancun: an account with code
    # and storage, and every field of the header that a genesis sets.
    code = (
        "0x3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff81069081541460"
        "3c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
    )
    document = {
        "format": "zkevm-batch/1",
        "chainId": 1,
        "fork": "cancun",
        "genesis": {
            "alloc": {
                "0x000f3df6d732807ef1319fb7b8bb8522d0beac02": {
                    "balance": "0x00",
                    "code": code,
                    "nonce": "0x01",
                    "storage": {"0x12e2": "0x54c98c81", "0x05": "0x00"},
                },
                "a94f5374fce5edbc8e2a8697c15331677e6ebf0b": {"balance": "0x02540be400"},
            },
            "baseFeePerGas": "0x10",
            "coinbase": "0x8888f1f195afa192cfee860698584c030f4c9db1",
            "extraData": "0x42",
            "gasLimit": "0x2fefd8",
            "mixHash": "0x0000000000000000000000000000000000000000000000000000000000020000",
            "nonce": "0x0000000000000000",
            "timestamp": "0x54c98c81",
        },
        "blocks": [],
    }
    _, header = open_chain(batch_from_document(document))
    assert header.state_root.hex() == "53c881003b15376a1d1d235531d20bfccc8f1bdce9caeb6a6c5ac64a9c9b1e93"
    assert header.hash.hex() == "8cbc69e33bd85b1f8d7bc6cae8f1d4502b74cfd0cd5f24a558c0d0c257c69daa"


def test_the_example_is_read_from_its_file() -> None:
    batch = read_batch(EXAMPLE)
    assert sum(len(block.transactions) for block in batch.blocks) == 100


def change(document: dict[str, Any], *path: Any, value: Any) -> None:
    *parents, last = path
    for name in parents:
        document = document[name]
    document[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), "zkevm-batch/2", "format: Input should be 'zkevm-batch/1'"),
        (("chainId",), 0, "chainId: "),
        (("chainId",), True, "chainId: not a non-negative number"),
        (("chainId",), 1.0, "chainId: not a non-negative number"),
        (("fork",), "shanghai", "fork: unknown fork 'shanghai'; known: cancun, prague, osaka, "),
        (("fork",), {"cancun": 0, "london": 5}, "fork: unknown fork 'london'; known: cancun, "),
        (("fork",), {"cancun": 5, "prague": 4}, "fork: a fork before one that it follows on"),
        (("fork",), {"cancun": "soon"}, "fork: not a non-negative number"),
        (("fork",), {"cancun": 1001}, "fork: no fork before the time 1001"),
        (("fork",), {}, "fork: neither the name of a fork nor an object"),
        (("fork",), None, "fork: neither this field nor cancunTime in the configuration"),
        (("extra",), 1, "extra: "),
        (("genesis",), [], "genesis: "),
        (("genesis", "config"), {"chainId": 2}, "genesis.config.chainId: 2 differs from chainId 1337"),
        (("genesis", "gasLimit"), "0x", "genesis.gasLimit: not a non-negative number"),
        (("genesis", "gasLimit"), 2**64, "genesis.gasLimit: "),
        (("genesis", "gasLimit"), -1, "genesis.gasLimit: not a non-negative number"),
        (("genesis", "mixHash"), "0x00", "genesis.mixHash: 1 bytes where 32 are expected"),
        (("genesis", "alloc", "0x12"), {}, "genesis.alloc: 1 bytes where 20 are expected"),
        (("genesis", "alloc", "0x" + "c0" * 20), {"balance": hex(2**256)}, f"genesis.alloc.0x{'c0' * 20}.balance: "),
        (("genesis", "alloc", "0x" + "c0" * 20), {"code": "0x1"}, f"genesis.alloc.0x{'c0' * 20}.code: not a string"),
        (
            ("genesis", "alloc", "0x" + "c0" * 20),
            {"storage": {"0x1": 1, "0x01": 2}},
            f"genesis.alloc.0x{'c0' * 20}.storage: 0x01 occurs twice",
        ),
        (("blocks",), {}, "blocks: "),
        (("blocks", 0, "coinbase"), "0x" + "zz" * 20, "block 0, coinbase: not a string of hexadecimal digits"),
        (("blocks", 0, "timestamp"), None, "block 0, timestamp: not a non-negative number"),
        (("blocks", 0, "gaslimit"), 1, "block 0, gaslimit: "),
        (("blocks", 0, "gas_limit"), 1, "block 0, gas_limit: "),
        (("blocks", 0, "transactions"), "0x", "block 0, transactions: "),
        (("blocks", 0, "transactions", 0), "0xf", "block 0, transaction 0, raw: not a string of hexadecimal digits"),
        (("blocks", 0, "transactions", 0), 5, "block 0, transaction 0, raw: not a string of hexadecimal digits"),
        (("blocks", 0, "transactions", 0), "0xc0", "block 0, transaction 0, raw: a legacy transaction has 9 fields"),
        (("blocks", 0, "transactions", 0, "gass"), 1, "block 0, transaction 0, gass: unknown field"),
        (("blocks", 0, "transactions", 0, "gas"), "lots", "block 0, transaction 0, gas: not a non-negative number"),
        (("blocks", 0, "transactions", 0, "secretKey"), "0x01", "block 0, transaction 0, secretKey: 1 bytes where 32"),
        (("blocks", 0, "transactions", 0, "secretKey"), "00" * 32, "block 0, transaction 0: cannot be signed: "),
        (("blocks", 0, "transactions", 0, "type"), 3, "block 0, transaction 0: cannot be signed: "),
        (("blocks", 0, "transactions", 0, "accessList"), [{}], "block 0, transaction 0, accessList: an entry is not"),
    ],
)
def test_malformed_documents_are_refused_with_their_place(
    builder: Any, path: tuple[Any, ...], value: Any, message: str
) -> None:
    building = builder()
    document = building.block(building.transfer()).document
    change(document, *path, value=value)
    with pytest.raises(BatchError) as caught:
        parse_batch(json.dumps(document))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["secretKey", "nonce", "gas"])
def test_a_transaction_to_be_signed_needs_its_fields(builder: Any, name: str) -> None:
    request = builder().transfer()
    del request[name]
    with pytest.raises(BatchError, match=rf"^block 0, transaction 0, {name}: a transaction to be signed needs"):
        builder().block(request).read()


def test_two_spellings_of_one_account_are_refused(builder: Any) -> None:
    building = builder()
    building.document["genesis"]["alloc"][building.WALLETS[0].hex().upper()] = {"balance": 1}
    with pytest.raises(BatchError, match=r"^genesis\.alloc: .* occurs twice$"):
        building.read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"[1", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b'{"a": NaN}', "not JSON: NaN is not a number"),
        (b'{"a": 1, "a": 2}', "not JSON: 'a' occurs twice"),
        (b"[" * 100_000, "not JSON: nested more than 32 deep"),
        (b'{"]]": ' + b'["]]",' * 40, "not JSON: nested more than 32 deep"),
        (b'{"chainId": ' + b"9" * 5_000 + b"}", "not JSON"),
        (b"[]", "not a JSON object"),
    ],
)
def test_what_is_no_json_object_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(BatchError) as caught:
        parse_batch(content)
    assert str(caught.value).startswith(message)


def test_oversized_and_unreadable_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "MAX_FILE_BYTES", 10)
    monkeypatch.setattr(inputs_module, "MAX_FILE_BYTES", 10)
    path = tmp_path / "batch.json"
    path.write_bytes(b" " * 11)
    with pytest.raises(BatchError, match="batch file of more than 10 bytes"):
        read_batch(path)
    with pytest.raises(BatchError, match=r"cannot read the batch file .*: No such file"):
        read_batch(tmp_path / "missing.json")


def test_withdrawals_are_read(builder: Any) -> None:
    withdrawal = {"index": "0x1", "validatorIndex": 2, "address": "0x" + "aa" * 20, "amount": "3"}
    (read,) = builder().block(withdrawals=[withdrawal]).read().blocks[0].context.withdrawals
    assert (read.index, read.validator_index, read.address, read.amount) == (1, 2, b"\xaa" * 20, 3)
    with pytest.raises(BatchError, match=r"^block 1, withdrawals\.0\.validatorIndex: Field required$"):
        builder().block().block(withdrawals=[{"index": 0}]).read()
    with pytest.raises(BatchError, match=r"^block 0, withdrawals\.0\.amount: "):
        builder().block(withdrawals=[withdrawal | {"amount": 2**64}]).read()


def test_a_batch_may_carry_a_witness_in_place_of_a_genesis(builder: Any) -> None:
    building = builder()
    executed = building.block(building.transfer(value=5)).execute()
    genesis = building.document.pop("genesis")
    with pytest.raises(BatchError, match="genesis: neither a genesis, nor a parent header with a witness"):
        building.read()
    building.document["parent"] = "0x" + executed.parent_header.hex()
    building.document["witness"] = {"nodes": ["0x" + node.hex() for node in executed.witness.nodes]}
    assert building.read() == executed.with_witness()
    assert building.execute().last_block_hash == executed.last_block_hash
    building.document["genesis"] = genesis
    with pytest.raises(BatchError, match="witness: a batch has a genesis or a witness, not both"):
        building.read()


def test_a_parent_header_beside_a_genesis_must_have_its_state_root(builder: Any) -> None:
    building = builder()
    executed = building.block(building.transfer()).execute()
    building.document["parent"] = "0x" + executed.parent_header.hex()
    assert building.execute().last_block_hash == executed.last_block_hash
    building.alloc(builder.FRESH, balance=1)
    with pytest.raises(BatchError, match=r"^parent\.stateRoot: 0x.* where the genesis has 0x"):
        building.execute()
    building.document["parent"] = "0x" + executed.parent_header[:-1].hex()
    with pytest.raises(BatchError, match=r"^parent: not the RLP of a block header"):
        building.execute()


def test_ancestor_hashes_fit_the_parent(builder: Any) -> None:
    for number, hashes, message in (
        (7, ["0x" + "12" * 32], "the first one is not the parent hash of the parent header"),
        (1, ["0x" + "11" * 32] * 2, "2 hashes before block 1"),
    ):
        building = builder(number=number, parentHash="0x" + "11" * 32)
        building.document["ancestorHashes"] = hashes
        with pytest.raises(BatchError, match=f"^ancestorHashes: {message}$"):
            building.execute()
    building.document["ancestorHashes"] = ["0x" + "11" * 32] * 257
    with pytest.raises(BatchError, match=r"^ancestorHashes: List should have at most 256 items"):
        building.read()


def test_headers_of_ancestors_follow_each_other() -> None:
    building = on_headers(300, 254)
    headers: list[str] = building.document["ancestorHeaders"]
    assert building.execute().ancestor_headers == (), "nobody asks for a hash"

    def refused(given: Any, reason: str) -> None:
        building.document["ancestorHeaders"] = given
        with pytest.raises(BatchError, match=reason):
            building.execute()

    refused(headers[1:], "^ancestorHeaders.0: not the header of block 299, which has the hash 0x")
    refused([headers[0], *headers[2:]], "^ancestorHeaders.1: not the header of block 298")
    refused([*headers[:3], headers[3][:-2] + "01"], "^ancestorHeaders.3: not the header of block 296")
    refused([*headers, headers[0]], "^ancestorHeaders: List should have at most 254 items")
    refused(["0xzz"], "^ancestorHeaders.0: ")
    building.document["ancestorHashes"] = ["0x" + "11" * 32]
    refused(headers, "^ancestorHashes: a batch has the headers of its ancestors, or their hashes")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (rlp.encode([b"\x01" * 32] * 20), "not the RLP of a block header: too few fields"),
        (rlp.encode([b"\x01" * 31, *[b""] * 19]), "not the RLP of a block header: too few fields"),
        (rlp.encode([b"\x01" * 32] * 3), "not the RLP of a block header: too few fields"),
        (b"\xc1", "not the RLP of a block header"),
        (headers_before(299, 1)[0], "not the header of block 299$"),
    ],
)
def test_what_has_the_hash_of_an_ancestor_may_be_none(builder: Any, header: bytes, reason: str) -> None:
    building = builder(number=300, parentHash="0x" + keccak(header).hex())
    building.document["ancestorHeaders"] = ["0x" + header.hex()]
    with pytest.raises(BatchError, match=f"^ancestorHeaders.0: {reason}"):
        building.execute()


def test_nothing_comes_before_the_first_block() -> None:
    building = on_headers(1, 1)
    assert building.execute().last_block_number == 1
    building.document["ancestorHeaders"] *= 2
    with pytest.raises(BatchError, match=r"^ancestorHeaders.1: 2 headers before block 1$"):
        building.execute()


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(BatchError("wrong", block=1, transaction=2, field="nonce")))
    assert str(error) == "block 1, transaction 2, nonce: wrong"
    unsupported = pickle.loads(pickle.dumps(UnsupportedFeature("blob transaction", 1, 2, 3)))
    limit = pickle.loads(pickle.dumps(LimitExceeded("seconds", 1.5, "seconds")))
    assert str(limit) == "the execution went over its limit of 1.5 seconds"
    assert str(unsupported) == "blob transaction in block 1, transaction 2, pc 3"


BLOBS = {"target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477}  # of Cancun


@pytest.mark.parametrize(
    ("fork", "config", "expected"),
    [
        ("osaka", {}, Schedule(OSAKA)),
        ({"prague": 1000}, {}, Schedule(PRAGUE)),
        ({"osaka": "0x500", "cancun": 0, "prague": "1100"}, {}, Schedule(CANCUN, ((1100, PRAGUE), (0x500, OSAKA)))),
        ({"cancun": 0, "prague": 0, "osaka": 1100}, {}, Schedule(PRAGUE, ((1100, OSAKA),))),
        # What the configuration of a geth genesis file says counts where the batch says nothing.
        ("cancun", {"pragueTime": 0}, Schedule(CANCUN)),
        (None, {"shanghaiTime": 0, "cancunTime": 0}, Schedule(CANCUN)),
        (
            None,
            {"cancunTime": 0, "pragueTime": 10, "osakaTime": 2000, "bpo1Time": None},
            Schedule(CANCUN, ((10, PRAGUE), (2000, OSAKA))),
        ),
        (None, {"cancunTime": 0, "blobSchedule": {"cancun": BLOBS, "later": BLOBS}}, Schedule(CANCUN)),
        (
            None,
            {"cancunTime": 0, "bpo1Time": 2000, "blobSchedule": {"bpo1": BLOBS | {"max": "0x7"}}},
            Schedule(CANCUN, ((2000, BPO1.with_blobs(3, 7, 3_338_477)),)),
        ),
        ("cancun", {"blobSchedule": {"cancun": BLOBS | {"max": 7}}}, Schedule(CANCUN)),
    ],
)
def test_a_batch_says_which_forks_its_blocks_are_of(builder: Any, fork: Any, config: Any, expected: Schedule) -> None:
    document = builder(config=config).block().document
    if fork is None:
        del document["fork"]
    else:
        document["fork"] = fork
    assert parse_batch(json.dumps(document)).schedule == expected


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "fork: neither this field nor cancunTime in the configuration of the genesis"),
        ({"pragueTime": 0}, "fork: neither this field nor cancunTime"),
        ({"cancunTime": 0, "amsterdamTime": 5}, "fork: unknown fork 'amsterdam'; known: "),
        ({"cancunTime": "x"}, "genesis.config.cancunTime: not a non-negative number"),
        ({"cancunTime": 0, "blobSchedule": 5}, "genesis.config.blobSchedule"),
        ({"cancunTime": 0, "blobSchedule": {"cancun": {}}}, "genesis.config.blobSchedule.cancun"),
        ({"cancunTime": 0, "blobSchedule": {"cancun": BLOBS | {"max": 0}}}, "genesis.config.blobSchedule.cancun.max"),
        (
            {"cancunTime": 0, "blobSchedule": {"cancun": BLOBS | {"max": 2}}},
            "genesis.config.blobSchedule.cancun: a",
        ),
    ],
)
def test_a_configuration_without_known_forks_is_refused(builder: Any, config: Any, message: str) -> None:
    document = builder(config=config).block().document
    del document["fork"]
    with pytest.raises(BatchError) as caught:
        parse_batch(json.dumps(document))
    assert str(caught.value).startswith(message)
