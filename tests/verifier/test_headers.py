"""Header decoding, and one lie for each rule between a header and its parent."""

from dataclasses import fields, replace
from typing import Any

import pytest
import rlp
from eth.vm.forks.cancun.blocks import CancunBlockHeader
from eth.vm.forks.cancun.headers import create_cancun_header_from_parent
from eth.vm.forks.cancun.state import fake_exponential
from hypothesis import given
from hypothesis import strategies as st

from scripts.batches.chain import GAS_LIMIT, GWEI, child_header, encode_header, genesis_header, sealed
from verifier.errors import Invalid
from verifier.headers import (
    MAX_EXCESS_BLOB_GAS,
    Header,
    blob_base_fee,
    check_header,
    decode_header,
    expected_base_fee,
    expected_excess_blob_gas,
)

PARENT = child_header(genesis_header(b"\x11" * 32), gas_used=GAS_LIMIT // 3)
HEADER = child_header(PARENT)


def test_honest_header_passes() -> None:
    check_header(HEADER, PARENT)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parent_hash": bytes(32)}, "parent hash"),
        ({"number": PARENT.number}, "number"),
        ({"number": PARENT.number + 2}, "number"),
        ({"timestamp": PARENT.timestamp}, "timestamp"),
        ({"gas_limit": GAS_LIMIT + GAS_LIMIT // 1024}, "gas limit is too far"),
        ({"gas_limit": GAS_LIMIT - GAS_LIMIT // 1024}, "gas limit is too far"),
        ({"gas_used": GAS_LIMIT + 1}, "gas used is above"),
        ({"base_fee": HEADER.base_fee + 1}, "base fee"),
        ({"base_fee": HEADER.base_fee - 1}, "base fee"),
        ({"difficulty": 1}, "difficulty"),
        ({"nonce": b"\0" * 7 + b"\1"}, "nonce"),
        ({"ommers_hash": bytes(32)}, "ommers"),
        ({"blob_gas_used": 7 * 131072}, "blob gas used is above"),
        ({"excess_blob_gas": 1}, "excess blob gas"),
    ],
)
def test_each_rule(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Invalid, match=f"block .*{reason}"):
        check_header(sealed(replace(HEADER, **changes)), PARENT)


@pytest.mark.parametrize("step", [GAS_LIMIT // 1024 - 1, 1 - GAS_LIMIT // 1024])
def test_largest_steps_of_the_gas_limit(step: int) -> None:
    check_header(sealed(replace(HEADER, gas_limit=GAS_LIMIT + step)), PARENT)


def test_gas_limit_bounds() -> None:
    parent = genesis_header(bytes(32), gas_limit=5000)
    check_header(child_header(parent), parent)
    with pytest.raises(Invalid, match="below 5000"):
        check_header(child_header(parent, gas_limit=4999), parent)
    parent = genesis_header(bytes(32), gas_limit=2**64 - 1)
    check_header(child_header(parent), parent)


def test_a_parent_without_gas_target_is_refused() -> None:
    parent = genesis_header(bytes(32), gas_limit=1)
    with pytest.raises(Invalid, match="gas target"):
        check_header(replace(HEADER, parent_hash=parent.hash, number=1), parent)


@given(
    base_fee=st.integers(min_value=0, max_value=2**80),
    limit=st.integers(min_value=5000, max_value=2**32 - 1),
    share=st.floats(min_value=0, max_value=1),
    excess=st.integers(min_value=0, max_value=2**40),
    blobs=st.integers(min_value=0, max_value=6),
)
def test_fees_follow_py_evm(base_fee: int, limit: int, share: float, excess: int, blobs: int) -> None:
    parent = genesis_header(
        bytes(32),
        gas_limit=limit,
        gas_used=int(limit * share),
        base_fee=base_fee,
        excess_blob_gas=excess,
        blob_gas_used=blobs * 131072,
    )
    theirs = create_cancun_header_from_parent(
        rlp.decode(encode_header(parent), CancunBlockHeader), timestamp=parent.timestamp + 1
    )
    assert expected_base_fee(parent) == theirs.base_fee_per_gas
    assert expected_excess_blob_gas(parent) == theirs.excess_blob_gas


def test_decoding_is_the_inverse_of_encoding() -> None:
    header = sealed(replace(HEADER, extra_data=b"x" * 32, difficulty=7, blob_gas_used=3, excess_blob_gas=4))
    assert decode_header(encode_header(header)) == header
    assert encode_header(header) == rlp.encode(rlp.decode(encode_header(header), CancunBlockHeader))


def test_base_fee_grows_by_at_least_one() -> None:
    parent = genesis_header(bytes(32), base_fee=1, gas_used=GAS_LIMIT // 2 + 1)
    assert expected_base_fee(parent) == 2
    assert expected_base_fee(replace(parent, gas_used=GAS_LIMIT // 2)) == 1
    assert expected_base_fee(replace(parent, base_fee=GWEI, gas_used=0)) == GWEI - GWEI // 8


@pytest.mark.parametrize("index", range(20))
def test_wrong_sizes_are_refused(index: int) -> None:
    items: list[Any] = rlp.decode(encode_header(HEADER))
    # One byte more than the field may have: integers below 2**64 or 2**256, hashes, up to 32 bytes of extra data.
    sizes = {7: 32, 8: 8, 9: 8, 10: 8, 11: 8, 12: 32, 15: 32, 17: 8, 18: 8}
    items[index] = b"\1" * (sizes.get(index, len(items[index])) + 1)
    with pytest.raises(Invalid):
        decode_header(rlp.encode(items))


@pytest.mark.parametrize(
    "lie",
    [
        lambda items: items[:-1],
        lambda items: [*items, b""],
        lambda items: [*items[:-1], []],
        lambda items: [*items[:8], b"\0", *items[9:]],
        lambda items: [],
    ],
)
def test_malformed_headers_are_refused(lie: Any) -> None:
    with pytest.raises(Invalid):
        decode_header(rlp.encode(lie(rlp.decode(encode_header(HEADER)))))


def test_bytes_behind_a_header_are_refused() -> None:
    with pytest.raises(Invalid, match="1 bytes too many"):
        decode_header(encode_header(HEADER) + b"\0")
    with pytest.raises(Invalid):
        decode_header(b"")


def test_every_field_is_decoded() -> None:
    assert len(fields(Header)) == 21  # twenty fields of a Cancun header and the hash


class TestBlobBaseFee:
    @staticmethod
    def fee(excess: int) -> int:
        return blob_base_fee(genesis_header(bytes(32), excess_blob_gas=excess))

    @given(st.integers(min_value=0, max_value=MAX_EXCESS_BLOB_GAS))
    def test_follows_py_evm(self, excess: int) -> None:
        assert self.fee(excess) == fake_exponential(1, excess, 3338477)

    def test_known_answers(self) -> None:
        """From EIP-4844's own test vectors."""
        assert [self.fee(excess) for excess in (0, 2314057, 2314058, 10 * 1024 * 1024)] == [1, 1, 2, 23]

    def test_the_bound_is_inclusive_and_fits_in_a_word(self) -> None:
        assert 2**200 < self.fee(MAX_EXCESS_BLOB_GAS) < 2**256
        with pytest.raises(Invalid, match="excess blob gas is above"):
            self.fee(MAX_EXCESS_BLOB_GAS + 1)
