"""The hash of the requests of a block: deposits from logs, and what system calls return."""

from dataclasses import replace
from hashlib import sha256

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from executor import requests as theirs
from executor.errors import BatchError
from scripts.batches.chain import (
    CONTRACT,
    DEPOSIT_CONTRACT,
    NO_REQUESTS,
    child_header,
    deposit_log,
    genesis_header,
    requests_digest,
    sealed,
)
from verifier.container import ReceiptRecord
from verifier.errors import Invalid
from verifier.forks import CANCUN, OSAKA, PRAGUE
from verifier.requests import check_requests, deposit_of, deposits_of, requests_hash

DEPOSIT = bytes(range(192))
LOG = deposit_log(DEPOSIT)
HEADER = child_header(child_header(genesis_header(bytes(32)), PRAGUE), PRAGUE)


class TestDeposits:
    @given(st.binary(min_size=192, max_size=192))
    def test_a_deposit_is_what_was_encoded(self, deposit: bytes) -> None:
        assert deposit_of(deposit_log(deposit).data) == deposit

    @pytest.mark.parametrize("position", [*range(192), *range(256, 288), *range(512, 544)])
    def test_every_place_and_size_counts(self, position: int) -> None:
        data = bytearray(LOG.data)
        data[position] ^= 1
        with pytest.raises(Invalid, match=r"a deposit with a field (of another size|in another place)"):
            deposit_of(bytes(data))

    @given(st.integers(0, 575), st.integers(1, 255))
    def test_changed_bytes_are_judged_as_the_executor_does(self, position: int, change: int) -> None:
        data = bytearray(LOG.data)
        data[position] ^= change
        try:
            expected = theirs.deposit_of(bytes(data))
        except BatchError:
            with pytest.raises(Invalid):
                deposit_of(bytes(data))
        else:
            assert deposit_of(bytes(data)) == expected

    def test_padding_does_not_matter(self) -> None:
        """As the contract of EIP-6110 says nothing of it: behind the 48 bytes of the key, say."""
        data = bytearray(LOG.data)
        data[192 + 48] = 1
        assert deposit_of(bytes(data)) == DEPOSIT

    @pytest.mark.parametrize("data", [b"", LOG.data[:-1], LOG.data + b"\0", LOG.data[:-32], LOG.data + bytes(32)])
    def test_other_lengths_are_refused(self, data: bytes) -> None:
        with pytest.raises(Invalid):
            deposit_of(data)

    @pytest.mark.parametrize("sizes", [(47, 32, 8, 96, 8), (48, 32, 8, 96, 9), (48, 31, 8, 96, 8), (48, 8, 32, 96, 8)])
    def test_fields_of_other_sizes_are_refused(self, sizes: tuple[int, ...]) -> None:
        with pytest.raises(Invalid, match="of another size"):
            deposit_of(abi_encode(["bytes"] * 5, [bytes(size) for size in sizes]))

    def test_only_logs_of_the_contract_with_the_event_count(self) -> None:
        second = deposit_log(DEPOSIT[::-1])
        others = [
            replace(LOG, address=CONTRACT),
            replace(LOG, topics=()),
            replace(LOG, topics=(bytes(32),)),
            replace(LOG, topics=(bytes(32), *LOG.topics)),
            replace(LOG, address=CONTRACT, data=b"nonsense"),
        ]
        assert deposits_of([others[0], LOG, *others[1:], second], DEPOSIT_CONTRACT) == DEPOSIT + DEPOSIT[::-1]
        assert deposits_of([replace(LOG, topics=(*LOG.topics, bytes(32)))], DEPOSIT_CONTRACT) == DEPOSIT
        with pytest.raises(Invalid):
            deposits_of([LOG, replace(LOG, data=LOG.data[1:])], DEPOSIT_CONTRACT)


class TestHash:
    def test_known_answers(self) -> None:
        """By EIP-7685; of no requests it is the hash of nothing, as in almost every header."""
        assert requests_hash([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        assert requests_hash([b"\x00", b"\x01", b"\x02"]) == NO_REQUESTS
        one = sha256(b"\x01abc").digest()
        assert requests_hash([b"\x00", b"\x01abc", b"\x02"]) == sha256(one).digest()

    @given(st.lists(st.binary(max_size=8), max_size=4))
    def test_follows_the_executor(self, requests: list[bytes]) -> None:
        typed = [bytes([number]) + request for number, request in enumerate(requests)]
        assert requests_hash(typed) == theirs.requests_hash(typed) == requests_digest(*requests)


class TestBlocks:
    outputs = (b"w" * 76, b"c" * 116)
    receipts = (ReceiptRecord(1, 21_000, (LOG,)), ReceiptRecord(1, 21_000), ReceiptRecord(1, 21_000, (LOG, LOG)))
    header = sealed(replace(HEADER, requests_hash=requests_digest(DEPOSIT * 3, *outputs)))

    def test_deposits_and_outputs_give_the_hash(self) -> None:
        for fork in (PRAGUE, OSAKA):
            check_requests(self.header, fork, self.receipts, self.outputs)
            check_requests(HEADER, fork, (), (b"", b""))

    @pytest.mark.parametrize(
        ("deposits", "outputs"),
        [
            (DEPOSIT * 2, outputs),
            (DEPOSIT * 4, outputs),
            (b"", outputs),
            (DEPOSIT * 3, outputs[::-1]),
            (DEPOSIT * 3, (b"", outputs[1])),
            (DEPOSIT * 3, (outputs[0], b"")),
            (DEPOSIT * 3, (outputs[0] + outputs[1], b"")),
            (DEPOSIT * 3, (outputs[0], outputs[1] + b"\0")),
        ],
    )
    def test_a_header_with_another_hash_is_refused(self, deposits: bytes, outputs: tuple[bytes, ...]) -> None:
        lie = sealed(replace(HEADER, requests_hash=requests_digest(deposits, *outputs)))
        with pytest.raises(Invalid, match="requests hash is not that"):
            check_requests(lie, PRAGUE, self.receipts, self.outputs)

    @pytest.mark.parametrize("outputs", [(), outputs[:1], (*outputs, b"")])
    def test_there_is_one_output_for_each_contract(self, outputs: tuple[bytes, ...]) -> None:
        with pytest.raises(Invalid, match="outputs of system calls instead of 2"):
            check_requests(self.header, PRAGUE, self.receipts, outputs)

    def test_a_malformed_deposit_makes_its_block_invalid(self) -> None:
        receipt = replace(self.receipts[0], logs=(replace(LOG, data=LOG.data[:-1]),))
        with pytest.raises(Invalid, match="block 2: a deposit"):
            check_requests(self.header, PRAGUE, (receipt,), self.outputs)

    def test_before_prague_there_are_none(self) -> None:
        header = child_header(genesis_header(bytes(32)), CANCUN)
        check_requests(header, CANCUN, (replace(self.receipts[0], logs=(replace(LOG, data=b""),)),), ())
        with pytest.raises(Invalid, match="1 outputs of system calls instead of 0"):
            check_requests(header, CANCUN, (), (b"",))
