"""The RLP reader against the rlp library, its limits, and each way an encoding can fail to be canonical."""

from typing import Any

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from verifier.rlp_bounded import RlpError, RlpReader, list_header

Item = Any  # bytes, or a list of items

items = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=6), max_leaves=40)


def read(reader: RlpReader) -> list[Item]:
    """Every item of a reader. What comes next is found out by trying, as no schema is known."""
    result: list[Item] = []
    while not reader.at_end:
        start = reader.position
        if reader._data[start] >= 0xC0:
            result.append(read(reader.list("item")))
        else:
            result.append(reader.string("item", 1 << 20))
    return result


@given(st.lists(items, max_size=8))
def test_reads_what_the_library_encodes(document: list[Item]) -> None:
    data = b"".join(rlp.encode(item) for item in document)
    assert read(RlpReader(data)) == document


@given(st.binary(max_size=64))
def test_accepts_exactly_what_the_library_accepts(data: bytes) -> None:
    try:
        expected = rlp.decode(data, strict=True)
        canonical = rlp.encode(expected) == data
    except rlp.DecodingError:
        canonical = False
    try:
        accepted = len(read(RlpReader(data))) == 1
    except RlpError:
        accepted = False
    assert accepted == canonical


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("8105", "long form of a single byte"),
        ("b8", "truncated length"),
        ("b80161", "long form of a short length"),
        ("b900ff", "leading zero"),
        ("83aabb", "3 bytes announced, 2 left"),
        ("bfffffffffffffffff", "announced"),
        ("c0", "a list where a string belongs"),
        ("", "missing"),
    ],
)
def test_refuses_strings(data: str, reason: str) -> None:
    with pytest.raises(RlpError, match=reason):
        RlpReader(bytes.fromhex(data)).string("it", 1 << 62)


@pytest.mark.parametrize(
    ("data", "reason"),
    [("80", "a string where a list belongs"), ("f800", "leading zero"), ("f80180", "short length"), ("c2", "2 bytes")],
)
def test_refuses_lists(data: str, reason: str) -> None:
    with pytest.raises(RlpError, match=reason):
        RlpReader(bytes.fromhex(data)).list("it")


@pytest.mark.parametrize(
    ("data", "bits", "reason"),
    [("00", 8, "leading zero"), ("820001", 64, "leading zero"), ("820100", 8, "at most 1"), ("02", 1, "does not fit")],
)
def test_refuses_integers(data: str, bits: int, reason: str) -> None:
    with pytest.raises(RlpError, match=reason):
        RlpReader(bytes.fromhex(data)).uint("it", bits)


@given(st.integers(min_value=0, max_value=2**256 - 1))
def test_reads_integers(value: int) -> None:
    assert RlpReader(rlp.encode(value)).uint("it", 256) == value


def test_an_inner_item_stays_inside_its_list() -> None:
    inner = RlpReader(bytes.fromhex("c18161")).list("it")
    with pytest.raises(RlpError, match="announced, 0 left"):
        inner.string("inner", 9)


def test_limits() -> None:
    with pytest.raises(RlpError, match="5 bytes, at most 4 allowed"):
        RlpReader(rlp.encode(b"12345")).string("it", 4)
    with pytest.raises(RlpError, match="5 bytes, at most 4 allowed"):
        RlpReader(rlp.encode(b"12345")).view("it", 4)
    with pytest.raises(RlpError, match="4 bytes instead of 5"):
        RlpReader(rlp.encode(b"1234")).fixed("it", 5)
    with pytest.raises(RlpError, match="1 bytes too many"):
        RlpReader(b"a").finish("it")


def test_the_budget_is_shared_with_inner_lists() -> None:
    reader = RlpReader(rlp.encode([[b"a", b"b"], b"c"]), max_items=5)
    assert read(reader) == [[[b"a", b"b"], b"c"]]
    with pytest.raises(RlpError, match="too many items"):
        read(RlpReader(rlp.encode([[b"a", b"b"], b"c"]), max_items=4))


@given(st.integers(min_value=0, max_value=2000))
def test_list_header(size: int) -> None:
    payload = bytes([1]) * size
    assert list_header(size) + payload == rlp.encode([b"\x01"] * size)
