"""Receipts, blooms and the roots of lists, against py-evm."""

from dataclasses import replace

import pytest
import rlp
from eth.db.trie import make_trie_root_and_nodes
from eth.rlp.logs import Log
from eth.rlp.receipts import Receipt
from eth.vm.forks.london.receipts import LondonReceiptBuilder
from eth_bloom import BloomFilter
from hypothesis import given
from hypothesis import strategies as st

from scripts.batches.chain import CONTRACT, OTHER, bloom, genesis_header, list_root
from verifier.container import LogRecord, ReceiptRecord
from verifier.errors import Invalid
from verifier.headers import EMPTY_TRIE_ROOT
from verifier.receipts import bloom_of, check_receipts, encode_receipts
from verifier.tries import ordered_root

log_records = st.builds(
    LogRecord,
    address=st.binary(min_size=20, max_size=20),
    topics=st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple),
    data=st.binary(max_size=70),
)
receipt_records = st.builds(
    ReceiptRecord,
    status=st.integers(0, 1),
    gas_used=st.integers(21000, 2**30 - 1),
    logs=st.lists(log_records, max_size=3).map(tuple),
)
outcomes = st.lists(st.tuples(st.sampled_from([0, 1, 2]), receipt_records), max_size=12)


def their_receipt(kind: int, record: ReceiptRecord, cumulative: int) -> bytes:
    logs = [Log(log.address, [int.from_bytes(topic, "big") for topic in log.topics], log.data) for log in record.logs]
    filled = BloomFilter()
    for log in record.logs:
        filled.extend((log.address, *log.topics))
    receipt = Receipt(
        state_root=b"\x01" if record.status else b"", gas_used=cumulative, bloom=int(filled), logs=tuple(logs)
    )
    return LondonReceiptBuilder.typed_receipt_class(kind, receipt).encode() if kind else rlp.encode(receipt)


@given(outcomes)
def test_receipts_are_those_of_py_evm(outcomes: list[tuple[int, ReceiptRecord]]) -> None:
    theirs, cumulative = [], 0
    for kind, record in outcomes:
        cumulative += record.gas_used
        theirs.append(their_receipt(kind, record, cumulative))
    assert encode_receipts([kind for kind, _ in outcomes], [record for _, record in outcomes]) == theirs


@given(st.lists(receipt_records, max_size=5))
def test_the_bloom_is_that_of_all_logs(records: list[ReceiptRecord]) -> None:
    assert bloom_of(records) == bloom(log for record in records for log in record.logs)


def test_the_root_is_that_of_py_evm() -> None:
    receipts = tuple(Receipt(state_root=b"\x01", gas_used=21000 * n, bloom=0, logs=()) for n in range(1, 200))
    assert ordered_root([rlp.encode(r) for r in receipts]) == make_trie_root_and_nodes(receipts)[0]


LOGS = (
    LogRecord(CONTRACT, (b"\x01" * 32, b"\x02" * 32), b"abc"),
    LogRecord(OTHER, (b"\x03" * 32,), b""),
)
RECORDS = (ReceiptRecord(1, 50_000, LOGS), ReceiptRecord(0, 30_000), ReceiptRecord(1, 40_000, LOGS[:1]))
KINDS = (2, 0, 3)


class TestCheckReceipts:
    encoded = encode_receipts(KINDS, RECORDS)
    header = genesis_header(
        bytes(32), receipts_root=list_root(encoded), logs_bloom=bloom(log for r in RECORDS for log in r.logs)
    )

    def test_the_committed_ones_pass(self) -> None:
        assert check_receipts(self.header, KINDS, RECORDS) == self.encoded

    @pytest.mark.parametrize(
        "records",
        [
            (replace(RECORDS[0], status=0), *RECORDS[1:]),
            (replace(RECORDS[0], gas_used=49_999), *RECORDS[1:]),
            (RECORDS[0], replace(RECORDS[1], status=1), RECORDS[2]),
            (replace(RECORDS[0], logs=LOGS[::-1]), *RECORDS[1:]),
            (replace(RECORDS[0], logs=LOGS[:1]), *RECORDS[1:]),
            (replace(RECORDS[0], logs=LOGS + LOGS[:1]), *RECORDS[1:]),
            (replace(RECORDS[0], logs=LOGS[1:]), replace(RECORDS[1], logs=LOGS[:1]), RECORDS[2]),
            (replace(RECORDS[0], logs=(replace(LOGS[0], address=OTHER), LOGS[1])), *RECORDS[1:]),
            (replace(RECORDS[0], logs=(replace(LOGS[0], data=b"abd"), LOGS[1])), *RECORDS[1:]),
            (replace(RECORDS[0], logs=(replace(LOGS[0], data=b"abc\0"), LOGS[1])), *RECORDS[1:]),
            (replace(RECORDS[0], logs=(replace(LOGS[0], topics=LOGS[0].topics[::-1]), LOGS[1])), *RECORDS[1:]),
            (replace(RECORDS[0], logs=(replace(LOGS[0], topics=LOGS[0].topics[:1]), LOGS[1])), *RECORDS[1:]),
            (replace(RECORDS[0], logs=(replace(LOGS[0], topics=(*LOGS[0].topics, bytes(32))), LOGS[1])), *RECORDS[1:]),
            (RECORDS[1], RECORDS[0], RECORDS[2]),
        ],
    )
    def test_others_are_refused(self, records: tuple[ReceiptRecord, ...]) -> None:
        with pytest.raises(Invalid, match="receipts root"):
            check_receipts(self.header, KINDS, records)

    def test_types_count(self) -> None:
        with pytest.raises(Invalid, match="receipts root"):
            check_receipts(self.header, (1, 0, 3), RECORDS)

    @pytest.mark.parametrize("wrong", [bytes(256), b"\xff" * 256, header.logs_bloom[1:] + b"\0"])
    def test_another_bloom_is_refused(self, wrong: bytes) -> None:
        with pytest.raises(Invalid, match="logs bloom"):
            check_receipts(replace(self.header, logs_bloom=wrong), KINDS, RECORDS)


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=200))
def test_the_root_depends_on_content_and_order(items: list[bytes]) -> None:
    root = ordered_root(items)
    assert root != ordered_root([*items, b"\x01"])
    assert root != ordered_root(items[:-1])
    assert (root == ordered_root(items[::-1])) == (items == items[::-1])


def test_the_root_of_no_items() -> None:
    assert ordered_root([]) == EMPTY_TRIE_ROOT
    assert EMPTY_TRIE_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
