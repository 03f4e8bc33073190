"""Header decoding, and one lie for each rule between a header and its parent."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
import rlp
from eth.vm.forks.cancun.blocks import CancunBlockHeader
from eth.vm.forks.cancun.headers import create_cancun_header_from_parent
from eth.vm.forks.cancun.state import fake_exponential
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from executor import blobs
from executor.forks import FORKS as THEIRS
from scripts.batches.chain import GAS_LIMIT, GWEI, NO_REQUESTS, child_header, encode_header, genesis_header, sealed
from verifier import headers as headers_module
from verifier.errors import Invalid
from verifier.forks import BPO1, BPO3, BPO4, CANCUN, FORKS, GAS_PER_BLOB, OSAKA, PRAGUE, Fork
from verifier.headers import (
    Ancestors,
    Header,
    ancestor_hashes,
    blob_base_fee,
    check_header,
    decode_header,
    expected_base_fee,
    expected_excess_blob_gas,
)

PARENT = child_header(genesis_header(b"\x11" * 32), gas_used=GAS_LIMIT // 3)
HEADER = child_header(PARENT)


def test_honest_header_passes() -> None:
    check_header(HEADER, PARENT, CANCUN)


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
        ({"requests_hash": NO_REQUESTS}, "a header of 21 fields, which cancun does not have"),
    ],
)
def test_each_rule(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Invalid, match=f"block .*{reason}"):
        check_header(sealed(replace(HEADER, **changes)), PARENT, CANCUN)


@pytest.mark.parametrize("step", [GAS_LIMIT // 1024 - 1, 1 - GAS_LIMIT // 1024])
def test_largest_steps_of_the_gas_limit(step: int) -> None:
    check_header(sealed(replace(HEADER, gas_limit=GAS_LIMIT + step)), PARENT, CANCUN)


def test_gas_limit_bounds() -> None:
    parent = genesis_header(bytes(32), gas_limit=5000)
    check_header(child_header(parent), parent, CANCUN)
    with pytest.raises(Invalid, match="below 5000"):
        check_header(child_header(parent, gas_limit=4999), parent, CANCUN)
    parent = genesis_header(bytes(32), gas_limit=2**64 - 1)
    check_header(child_header(parent), parent, CANCUN)


def test_a_parent_without_gas_target_is_refused() -> None:
    parent = genesis_header(bytes(32), gas_limit=1)
    with pytest.raises(Invalid, match="gas target"):
        check_header(replace(HEADER, parent_hash=parent.hash, number=1), parent, CANCUN)


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
    assert expected_excess_blob_gas(parent, CANCUN) == theirs.excess_blob_gas


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
    assert len(fields(Header)) == 22  # 21 fields and the hash


class TestBlobBaseFee:
    @staticmethod
    def fee(excess: int) -> int:
        return blob_base_fee(genesis_header(bytes(32), excess_blob_gas=excess), CANCUN)

    @given(st.integers(min_value=0, max_value=CANCUN.blobs.max_excess))
    def test_follows_py_evm(self, excess: int) -> None:
        assert self.fee(excess) == fake_exponential(1, excess, 3338477)

    def test_known_answers(self) -> None:
        """From EIP-4844's own test vectors."""
        assert [self.fee(excess) for excess in (0, 2314057, 2314058, 10 * 1024 * 1024)] == [1, 1, 2, 23]

    @pytest.mark.parametrize("fork", FORKS.values(), ids=list(FORKS))
    def test_the_bound_is_inclusive_and_fits_in_a_word(self, fork: Fork) -> None:
        header = genesis_header(bytes(32), excess_blob_gas=fork.blobs.max_excess)
        assert 2**255 < blob_base_fee(header, fork) < 2**256
        with pytest.raises(Invalid, match="excess blob gas is above"):
            blob_base_fee(replace(header, excess_blob_gas=fork.blobs.max_excess + 1), fork)


FORK = pytest.mark.parametrize("fork", FORKS.values(), ids=list(FORKS))


class TestForks:
    """Rules that differ between forks; what the executor goes by is another reading of them."""

    @FORK
    @given(excess=st.integers(min_value=0, max_value=2**34))
    def test_the_fee_of_blobs_follows_the_executor(self, fork: Fork, excess: int) -> None:
        excess %= fork.blobs.max_excess + 1
        header = genesis_header(bytes(32), excess_blob_gas=excess)
        assert blob_base_fee(header, fork) == blobs.blob_base_fee(excess, THEIRS[fork.name].blobs)

    @FORK
    @given(
        excess=st.integers(min_value=0, max_value=2**28) | st.integers(min_value=0, max_value=2**64 - 1),
        used=st.integers(min_value=0, max_value=32),
        base_fee=st.integers(min_value=0, max_value=2**20) | st.integers(min_value=0, max_value=2**256 - 1),
    )
    def test_the_excess_follows_the_executor(self, fork: Fork, excess: int, used: int, base_fee: int) -> None:
        parent = genesis_header(bytes(32), excess_blob_gas=excess, blob_gas_used=used * GAS_PER_BLOB, base_fee=base_fee)
        theirs = blobs.next_excess_blob_gas(excess, used * GAS_PER_BLOB, base_fee, THEIRS[fork.name].blobs)
        assert expected_excess_blob_gas(parent, fork) == theirs

    def test_the_reserve_price_is_that_of_eip_7918(self) -> None:
        """By hand: six blobs of a target of six; a blob costs 2**17 wei, and 2**13 units of gas at 16 wei as much."""
        parent = genesis_header(bytes(32), excess_blob_gas=6 * GAS_PER_BLOB, blob_gas_used=6 * GAS_PER_BLOB)
        for base_fee, grown in ((16, 0), (17, 2 * GAS_PER_BLOB)):
            before = replace(parent, base_fee=base_fee)
            assert expected_excess_blob_gas(before, OSAKA) == 6 * GAS_PER_BLOB + grown
            assert expected_excess_blob_gas(before, PRAGUE) == 6 * GAS_PER_BLOB

    def test_beyond_the_bound_no_reserve_price_is_above(self) -> None:
        """What `expected_excess_blob_gas` relies on where it does not compute the fee."""
        for fork in FORKS.values():
            fee = blob_base_fee(genesis_header(bytes(32), excess_blob_gas=fork.blobs.max_excess), fork)
            assert fork.blob_base_cost * (2**256 - 1) < GAS_PER_BLOB * fee

    #: A block of a fork, its parent of the one before with so many blobs, and its base fee: above the reserve price of
    #: blobs or below.
    CROSSINGS: Mapping[str, tuple[Fork, Fork, int, int]] = {
        "prague": (CANCUN, PRAGUE, 6, GWEI),
        "osaka": (PRAGUE, OSAKA, 6, GWEI),
        "bpo1": (OSAKA, BPO1, 9, 8),
        "bpo4": (BPO3, BPO4, 32, GWEI),
    }

    @staticmethod
    def parent_of(fork: Fork, used: int, base_fee: int) -> Header:
        genesis = genesis_header(bytes(32), excess_blob_gas=40 * GAS_PER_BLOB)
        return child_header(genesis, fork, blob_gas_used=used * GAS_PER_BLOB, base_fee=base_fee)

    @pytest.mark.parametrize("name", CROSSINGS)
    def test_at_the_boundary_the_rules_are_those_of_the_block(self, name: str) -> None:
        before, fork, used, base_fee = self.CROSSINGS[name]
        parent = self.parent_of(before, used, base_fee)
        header = child_header(parent, fork)
        check_header(header, parent, fork)
        stale = expected_excess_blob_gas(parent, before)
        assert stale != header.excess_blob_gas
        with pytest.raises(Invalid, match="excess blob gas is not the one"):
            check_header(sealed(replace(header, excess_blob_gas=stale)), parent, fork)

    @pytest.mark.parametrize("name", CROSSINGS)
    def test_a_block_has_no_more_blobs_than_its_fork_allows(self, name: str) -> None:
        before, fork, used, base_fee = self.CROSSINGS[name]
        parent = self.parent_of(before, used, base_fee)
        most = fork.blobs.most
        check_header(child_header(parent, fork, blob_gas_used=most * GAS_PER_BLOB), parent, fork)
        with pytest.raises(Invalid, match="blob gas used is above"):
            check_header(child_header(parent, fork, blob_gas_used=(most + 1) * GAS_PER_BLOB), parent, fork)

    @FORK
    def test_a_header_has_as_many_fields_as_its_fork(self, fork: Fork) -> None:
        header = child_header(PARENT, fork)
        check_header(header, PARENT, fork)
        assert decode_header(encode_header(header)) == header
        assert len(rlp.decode(encode_header(header))) == (21 if fork.has_requests_hash else 20)
        other = sealed(replace(header, requests_hash=None if fork.has_requests_hash else NO_REQUESTS))
        with pytest.raises(Invalid, match=f"a header of .* fields, which {fork.name} does not have"):
            check_header(other, PARENT, fork)

    def test_no_chain_goes_back_behind_prague(self) -> None:
        parent = child_header(PARENT, PRAGUE)
        check_header(child_header(parent, OSAKA), parent, OSAKA)
        with pytest.raises(Invalid, match="a parent with a requests hash"):
            check_header(child_header(parent, CANCUN), parent, CANCUN)

    def test_the_requests_hash_has_32_bytes_and_nothing_follows_it(self) -> None:
        items: list[Any] = rlp.decode(encode_header(child_header(PARENT, PRAGUE)))
        for lie in ([*items[:-1], b""], [*items[:-1], bytes(31)], [*items[:-1], bytes(33)], [*items, bytes(32)]):
            with pytest.raises(Invalid, match=r"requests hash|bytes too many"):
                decode_header(rlp.encode(lie))


def _ancestors(count: int, first: int = 0) -> tuple[Header, list[Header]]:
    """The last of a chain of headers, and those before it, the latest first."""
    chain = [genesis_header(b"\x11" * 32, number=first)]
    for _ in range(count):
        chain.append(child_header(chain[-1]))
    return chain[-1], chain[-2::-1]


@pytest.mark.parametrize(("first", "given"), [(0, 0), (0, 3), (0, 5), (70, 5)])
def test_a_header_proves_the_hash_before_it(first: int, given: int) -> None:
    parent, before = _ancestors(5, first)
    found = ancestor_hashes(parent, [encode_header(header) for header in before[:given]])
    expected = {header.number: header.hash for header in before[: given + 1]}
    if given == 5 and first:
        expected[first - 1] = before[-1].parent_hash
    assert found == expected


def test_a_first_block_has_no_ancestor() -> None:
    genesis, _ = _ancestors(0)
    assert ancestor_hashes(genesis, []) == {}
    with pytest.raises(Invalid, match="ancestor 0 is not the header of block -1"):
        ancestor_hashes(genesis, [encode_header(genesis)])


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda headers: headers[1:], "ancestor 0 is not the header of block 4"),
        (lambda headers: [headers[0], headers[0]], "ancestor 1 is not the header of block 3"),
        (lambda headers: [headers[0], headers[2]], "ancestor 1"),
        (lambda headers: [replace(headers[0], number=3)], "ancestor 0"),
        (lambda headers: [replace(headers[0], parent_hash=bytes(32))], "ancestor 0"),
        (lambda headers: [*headers, headers[0]], "ancestor 5 is not the header of block -1"),
    ],
)
def test_other_ancestors(lie: Any, reason: str) -> None:
    parent, before = _ancestors(5)
    with pytest.raises(Invalid, match=reason):
        ancestor_hashes(parent, [encode_header(header) for header in lie(before)])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode_header(genesis_header(bytes(32), number=8)), "ancestor 0 has another number than 7"),
        (rlp.encode([b"\x01" * 32] * 3), "ancestor 0"),
        (rlp.encode([b"\x01" * 31, *[b"\x01"] * 19]), "ancestor 0: parent hash"),
        (encode_header(genesis_header(bytes(32), number=7)) + b"\0", "ancestor 0"),
        (b"", "ancestor 0"),
    ],
)
def test_what_only_has_the_hash_of_an_ancestor(data: bytes, reason: str) -> None:
    """Nobody can find such a header of a real chain; the chain may be a liar's."""
    parent = sealed(replace(genesis_header(bytes(32), number=8), parent_hash=keccak(data)))
    with pytest.raises(Invalid, match=reason):
        ancestor_hashes(parent, [data])


def test_headers_that_several_batches_list_are_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch of a file has its own list, so a file could list the same ones 256 times."""
    parent, before = _ancestors(5)
    given = [encode_header(header) for header in before]
    hashed: list[bytes] = []

    def keccak_of(data: bytes) -> bytes:
        hashed.append(data)
        return bytes(keccak(data))

    monkeypatch.setattr(headers_module, "keccak", keccak_of)
    ancestors = Ancestors()
    first = ancestors.hashes(parent, given)
    assert ancestors.hashes(parent, given) == first
    # As the next batch has them, whose parent is another block.
    assert ancestors.hashes(before[0], given[1:]) == {n: h for n, h in first.items() if n < before[0].number}
    assert hashed == given
    # What is known stands in its own place only.
    with pytest.raises(Invalid, match="ancestor 0 is not the header of block 4"):
        ancestors.hashes(parent, given[1:])
    with pytest.raises(Invalid, match="ancestor 0 has another number than 6"):
        ancestors.hashes(replace(parent, number=7), given)
