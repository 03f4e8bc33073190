"""Reading BlockchainTests: files, folders and archives, and the batch that a case asks to execute."""

from __future__ import annotations

import io
import json
import pickle
import re
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import rlp

from executor import archive as archives
from executor.blocks import decode_block
from executor.errors import BatchError
from executor.execute import execute
from executor.fixtures import FixtureError, batch_from_fixture, cases, fixture_files, parse_case, read_case
from executor.forks import CANCUN as CANCUN_FORK
from executor.forks import Schedule
from executor.inputs import read_batch

FILE = Path(__file__).parent / "fixtures" / "blockchain_tests.json"
DOCUMENTS: dict[str, Any] = json.loads(FILE.read_text())
CANCUN = [name for name, document in DOCUMENTS.items() if document["network"] == "Cancun"]
PYSPEC = "src/GeneralStateTestsFiller/Pyspecs/cancun/eip4844_blobs/"
BLOB_CASE = next(name for name in CANCUN if "test_blob_tx_attribute_value_opcode" in name)
EXCESS_CASE = next(name for name in CANCUN if "test_invalid_zero_excess_blob_gas_in_header" in name)

# A case, and where its first invalid block is wrong: block, transaction and field.
INVALID = {
    "gasLimitTooHigh_Cancun": (0, 0, "gas"),
    "TransactionNonceCheck_Cancun": (0, 0, "nonce"),
    "GasLimitHigherThan2p63m1_Cancun": (0, None, "gasLimit"),
    "wrongParentHash2_Cancun": (0, None, "header.parentHash"),
    "wrongReceiptTrie_Cancun": (0, None, "header.receiptsRoot"),
    "wrongTimestamp_Cancun": (0, None, "timestamp"),
    "withdrawalsAddressBounds_Cancun": (1, None, "withdrawals"),
    "UncleIsBrother_Cancun": (2, None, "ommers"),
    "createBlobhashTx_d0g0v0_Cancun": (0, 0, "to"),
    EXCESS_CASE: (0, None, "header.excessBlobGas"),
    "baseFee_Cancun": (2, 1, "maxFeePerGas"),
}
VALID = [name for name in CANCUN if name not in INVALID]


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    """An archive, packed as its name says."""
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_the_cases_of_a_file_are_listed_with_their_networks() -> None:
    assert list(cases([FILE])) == [(str(FILE), name, case["network"]) for name, case in DOCUMENTS.items()]


@pytest.mark.parametrize("suffix", archives.ARCHIVE_SUFFIXES)
def test_folders_and_archives_give_the_same_cases_as_files(suffix: str, tmp_path: Path) -> None:
    names = list(DOCUMENTS)
    folder = tmp_path / "tests"
    (folder / "b").mkdir(parents=True)
    (folder / ".meta").mkdir()
    write(folder / "b" / "one.json", {name: DOCUMENTS[name] for name in names[:3]})
    write(folder / "two.json", {name: DOCUMENTS[name] for name in names[3:]})
    write(folder / ".meta" / "index.json", [])
    (folder / "pre_alloc").mkdir()
    write(folder / "pre_alloc" / "0x12.json", {"network": "Cancun", "pre": {}})
    (folder / "readme.txt").write_text("not a test")
    contents = {
        str(path.relative_to(tmp_path)): path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.is_file()
    }
    archive = pack(tmp_path / f"tests{suffix}", contents)
    assert [name for _, name, _ in cases([folder])] == names
    assert [name for _, name, _ in cases([archive])] == names
    assert next(file for file, _, _ in cases([archive])) == f"{archive}::tests/b/one.json"


def test_one_case_can_be_asked_for(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar.xz", {"x/y.json": FILE.read_bytes(), "z.json": b"{}"})
    # The name of the case holds the separator itself.
    assert "::" in BLOB_CASE
    assert list(cases([f"{FILE}::{BLOB_CASE}"])) == [(str(FILE), BLOB_CASE, "Cancun")]
    assert list(cases([f"{archive}::x/y.json::{BLOB_CASE}"])) == [(f"{archive}::x/y.json", BLOB_CASE, "Cancun")]
    assert len(list(cases([f"{archive}::x/y.json"]))) == len(DOCUMENTS)


@pytest.mark.parametrize("name", VALID)
def test_the_batch_of_a_valid_case_gives_its_last_block(name: str) -> None:
    executed = execute(read_batch(f"{FILE}::{name}"), trace=False)
    document = DOCUMENTS[name]
    assert len(executed.blocks) == len(document["blocks"])
    assert "0x" + executed.last_block_hash.hex() == document["lastblockhash"]


@pytest.mark.parametrize(("name", "place"), INVALID.items(), ids=lambda item: str(item)[-60:])
def test_the_batch_of_a_case_with_an_invalid_block_is_refused_there(name: str, place: tuple[Any, ...]) -> None:
    with pytest.raises(BatchError) as caught:
        execute(batch_from_fixture(FILE, name), trace=False)
    assert (caught.value.block, caught.value.transaction, caught.value.field) == place


def test_a_case_in_an_archive_is_a_batch(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tar.xz", {"y.json": FILE.read_bytes()})
    assert read_batch(f"{archive}::y.json::{VALID[0]}") == read_batch(f"{FILE}::{VALID[0]}")


def refusal(document: Any, tmp_path: Path, case: str | None = None) -> str:
    """The error for a file with one case called "a"."""
    file = write(tmp_path / "f.json", document)
    with pytest.raises(FixtureError) as caught:
        batch_from_fixture(file, case or "a")
    message = str(caught.value)
    assert message.startswith(str(file))
    return message.removeprefix(str(file)).lstrip(":").lstrip()


def changed(**fields: Any) -> dict[str, Any]:
    """A file with a changed case "a"; a field that is ``None`` is left out."""
    case = DOCUMENTS["TransactionNonceCheck_Cancun"] | fields
    return {"a": {name: value for name, value in case.items() if value is not None}}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"network": "Frontier"}, "a: network: unknown network 'Frontier'; known: cancun"),
        ({"network": None}, "a: network: Field required"),
        ({"blocks": None}, "a: blocks: Field required"),
        ({"blocks": {}}, "a: blocks: Input should be a valid tuple"),
        ({"genesisRLP": "0x"}, "a: not RLP"),
        ({"genesisRLP": "0xzz"}, "a: genesisRLP: not a string of hexadecimal digits"),
        ({"genesisBlockHeader": {"hash": "0x" + "00" * 32}}, "a: genesisBlockHeader.hash: the hash of genesisRLP is"),
        ({"lastblockhash": "0x00"}, "a: lastblockhash: 1 bytes where 32 are expected"),
        ({"blocks": []}, "a: lastblockhash: no block has this hash"),
        ({"postState": None}, "a: a case has a postState or a postStateHash"),
        ({"postStateHash": "0x" + "00" * 32}, "a: a case has a postState or a postStateHash"),
        ({"pre": {"0x00": {}}}, "a: pre: 1 bytes where 20 are expected"),
        ({"pre": {"0x" + "00" * 20: {"nonce": "0x1ffffffffffffffff"}}}, "a: pre.0x" + "00" * 20 + ".nonce: Input"),
        ({"blocks": [{"rlp": "0xc0", "blockHeader": {"hash": "0x" + "00" * 32}}]}, "a: block 0: a block has 4 parts"),
        ({"blocks": [{"blockHeader": {"hash": "0x" + "00" * 32}}]}, "a: block 0, rlp: Field required"),
        ({"config": {"chainid": "0x" + "f" * 17}}, "a: config.chainid: Input should be less than"),
    ],
)
def test_malformed_cases_are_refused_by_name(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    document = changed(**fields)
    if fields.get("blocks") == []:
        document["a"]["lastblockhash"] = "0x" + "12" * 32
    assert refusal(document, tmp_path).startswith(message)


def test_a_valid_block_with_another_hash_than_its_rlp_is_refused(tmp_path: Path) -> None:
    case = DOCUMENTS[VALID[0]]
    block = case["blocks"][0]
    wrong = block | {"blockHeader": block["blockHeader"] | {"hash": "0x" + "00" * 32}}
    message = refusal({"a": case | {"blocks": [wrong]}}, tmp_path)
    assert message == "a: block 0, blockHeader.hash: the hash of the RLP is another"


def test_the_chain_id_may_be_given(tmp_path: Path) -> None:
    file = write(tmp_path / "f.json", {"a": DOCUMENTS[VALID[0]] | {"config": {"chainid": "0x07", "network": "Cancun"}}})
    assert read_batch(f"{file}::a").chain_id == 7
    assert read_batch(f"{FILE}::{VALID[0]}").chain_id == 1


def test_a_case_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    message = refusal(changed(), tmp_path, "b")
    assert message == "b: no such case among the 1 of the file: a"
    with pytest.raises(FixtureError, match="no such case among the 16"):
        list(cases([f"{FILE}::b"]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "not a JSON object"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"a": {}, "a": {}}', "'a' occurs twice"),
        (b'{"a": ' + b"[" * 100_000, "nested more than 32 deep"),
    ],
)
def test_files_that_hold_no_cases_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    file.write_bytes(content)
    with pytest.raises(FixtureError, match=message) as caught:
        list(cases([file]))
    assert str(file) in str(caught.value)


def test_what_is_no_blockchain_test_is_not_listed(tmp_path: Path) -> None:
    file = write(tmp_path / "f.json", {"a": {"transaction": {}}})
    with pytest.raises(FixtureError, match=r"f\.json::a: not a BlockchainTest"):
        list(cases([file]))


def test_missing_and_oversized_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FixtureError, match=r"nowhere\.json: cannot read it: No such file"):
        list(fixture_files([tmp_path / "nowhere.json"]))
    with pytest.raises(BatchError, match=r"nowhere\.tar\.xz: cannot read it: No such file"):
        list(fixture_files([tmp_path / "nowhere.tar.xz"]))
    archive = pack(tmp_path / "a.tar.xz", {"f.json": bytes(2_000)})
    monkeypatch.setattr("executor.fixtures.MAX_FILE_BYTES", 1_000)
    with pytest.raises(FixtureError, match="larger than 1000 bytes"):
        list(fixture_files([FILE]))
    with pytest.raises(BatchError, match=r"f\.json is larger than 1000 bytes"):
        list(fixture_files([archive]))


@pytest.mark.parametrize("suffix", archives.ARCHIVE_SUFFIXES)
def test_damaged_archives_are_refused(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = pack(tmp_path / f"good{suffix}", {"f.json": FILE.read_bytes()}).read_bytes()
    bad = tmp_path / f"bad{suffix}"
    for content in (b"", b"no archive at all", good[: len(good) // 2], good[:-8], good[:5000] + b"\0" + good[5001:]):
        bad.write_bytes(content)
        with pytest.raises(BatchError, match=re.escape(f"{bad}: not a {suffix} archive, or damaged")):
            list(fixture_files([bad]))
    with pytest.raises(FixtureError, match=r"no file g\.json"):
        list(fixture_files([f"{tmp_path / f'good{suffix}'}::g.json"]))
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 50_000)
    with pytest.raises(BatchError, match="more than 50000 bytes unpacked"):
        list(fixture_files([tmp_path / f"good{suffix}"]))


def test_an_archive_that_asks_for_much_memory_is_refused(tmp_path: Path) -> None:
    packed = bytearray(pack(tmp_path / "good.tar.xz", {}).read_bytes())
    # Block header after the 12 bytes of the stream header (xz file format, section 3.1): its size in words of 4 bytes,
    # flags, and the filter LZMA2 (0x21) with one byte of properties, the size of the dictionary. A CRC32 ends it.
    size = 4 * (packed[12] + 1)
    assert packed[14:16] == b"\x21\x01"
    packed[16] = 36  # 2^30 bytes
    packed[12 + size - 4 : 12 + size] = zlib.crc32(packed[12 : 12 + size - 4]).to_bytes(4, "little")
    bomb = tmp_path / "bomb.tar.xz"
    bomb.write_bytes(packed)
    with pytest.raises(BatchError, match="Memory usage limit"):
        list(fixture_files([bomb]))


def test_errors_survive_the_way_between_processes() -> None:
    error = FixtureError("f.json::a", BatchError("wrong", block=1, transaction=2, field="nonce"))
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) == "f.json::a: block 1, transaction 2, nonce: wrong"
    assert (copy.block, copy.transaction, copy.field, copy.name) == (1, 2, "nonce", "f.json::a")


# -- blocks


def valid_block() -> list[Any]:
    """The parts of a block with a withdrawal."""
    return list(rlp.decode(bytes.fromhex(DOCUMENTS["withdrawalsAddressBounds_Cancun"]["blocks"][0]["rlp"][2:])))


def block_refusal(parts: list[Any]) -> str:
    with pytest.raises(BatchError) as caught:
        decode_block(rlp.encode(parts), Schedule(CANCUN_FORK), block=3)
    return str(caught.value)


def test_a_block_is_decoded_whole() -> None:
    parts = valid_block()
    block = decode_block(rlp.encode(parts), Schedule(CANCUN_FORK))
    assert block.header == rlp.encode(parts[0])
    assert [rlp.encode(item) if isinstance(item, list) else item for item in parts[1]] == [
        transaction.raw for transaction in block.transactions
    ]
    assert [
        [withdrawal.index, withdrawal.validator_index, withdrawal.address, withdrawal.amount]
        for withdrawal in block.context.withdrawals
    ] == [[*(int.from_bytes(n, "big") for n in item[:2]), item[2], int.from_bytes(item[3], "big")] for item in parts[3]]


HEADER, TRANSACTIONS, OMMERS, WITHDRAWALS = range(4)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        (HEADER, b"", "block 3, header: not the RLP of a block header"),
        (TRANSACTIONS, b"", "block 3, transactions: not a list"),
        (TRANSACTIONS, [b""], "block 3, transaction 0, raw: empty transaction"),
        (TRANSACTIONS, [b"\xc0"], "block 3, transaction 0, raw: a legacy transaction as a byte string"),
        (TRANSACTIONS, [[]], "block 3, transaction 0, raw: a legacy transaction has 9 fields, not 0"),
        (TRANSACTIONS, [[[[[[[]]]]]]], "block 3: lists nested more than 6 deep"),
        (OMMERS, [[]], "block 3, ommers: there are none after the merge"),
        (OMMERS, b"", "block 3, ommers: there are none after the merge"),
        (WITHDRAWALS, b"1", "block 3, withdrawals: "),
        (WITHDRAWALS, [[b"", b"", bytes(19), b""]], "block 3, withdrawals: "),
        (WITHDRAWALS, [[b"", b"", b"", b""]], "block 3, withdrawals: "),
        (WITHDRAWALS, [[b"", b"", bytes(20), b"\1" * 9]], "block 3, withdrawals: "),
        (WITHDRAWALS, [[b"", b"", bytes(20), b"\0"]], "block 3, withdrawals: "),
        (WITHDRAWALS, [[[], b"", bytes(20), b""]], "block 3, withdrawals: "),
    ],
)
def test_malformed_blocks_are_refused(part: int, value: Any, message: str) -> None:
    parts = valid_block()
    parts[part] = value
    assert block_refusal(parts).startswith(message)


@pytest.mark.parametrize(
    ("field", "value"),
    [(0, bytes(31)), (2, b""), (7, []), (8, b"\1" * 9), (11, b"\1" * 9), (13, b""), (14, b""), (19, bytes(33))],
)
def test_malformed_headers_are_refused(field: int, value: Any) -> None:
    parts = valid_block()
    parts[HEADER] = [*parts[HEADER][:field], value, *parts[HEADER][field + 1 :]]
    assert block_refusal(parts).startswith("block 3, header")


def test_blocks_of_another_form_are_refused() -> None:
    parts = valid_block()
    assert block_refusal(parts[:3]) == "block 3: a block has 4 parts, not 3"
    with pytest.raises(BatchError, match="not RLP"):
        decode_block(rlp.encode(parts) + b"\0", Schedule(CANCUN_FORK))
    with pytest.raises(BatchError, match="not a canonical RLP list"):
        decode_block(b"\x83abc", Schedule(CANCUN_FORK))


def test_a_case_knows_which_of_its_blocks_are_valid() -> None:
    case = parse_case("baseFee", DOCUMENTS["baseFee_Cancun"])
    assert [block.valid for block in case.blocks] == [True, True, False, True, False, True]
    (file, _), *_ = fixture_files([FILE])
    assert read_case(file, "baseFee_Cancun") == case
