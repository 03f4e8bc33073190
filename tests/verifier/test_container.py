"""The proof file: one encoding for each document, bounds before allocation, nothing but typed errors."""

import tracemalloc
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.air.field import MODULUS
from scripts.batches.chain import sample_chain
from verifier.container import (
    MAGIC,
    MAX_ANCESTORS,
    MAX_BATCHES,
    MAX_CODE_BYTES,
    MAX_FILE_BYTES,
    MAX_JOINS,
    MAX_LINKS,
    MAX_ONE_PROOF_BYTES,
    MAX_OUTPUT_BYTES,
    MAX_PARENT_HEADER_BYTES,
    MAX_SEGMENTS,
    MAX_TABLES,
    MAX_WRITES,
    ONE_PROOF_VERSION,
    STATED_VALUES,
    VERSION,
    BatchRecord,
    Claim,
    CodeWrites,
    Joint,
    Links,
    OpenEnd,
    ProofFile,
    SegmentRecord,
    Writes,
    decode_proof,
    encode_proof,
    read_proof,
)
from verifier.errors import Invalid, UnusableInput
from verifier.rlp_bounded import MAX_ITEMS, list_header

START = MAGIC + bytes([VERSION])
SAMPLE = encode_proof(sample_chain().file(4))


def lie(change: Callable[[Any], None]) -> bytes:
    """The sample with its RLP tree changed."""
    body = rlp.decode(SAMPLE[len(START) :])
    change(body)
    return START + rlp.encode(body)


def check_refused_or_canonical(data: bytes) -> None:
    """A file is refused with a typed error, or it is the encoding of what it decodes to."""
    try:
        decoded = decode_proof(data)
    except (Invalid, UnusableInput):
        return
    assert encode_proof(decoded) == data


def test_decoding_inverts_encoding(file: ProofFile) -> None:
    decoded = decode_proof(encode_proof(file))
    for name in ("statement", "parent_header", "blocks", "state_keys", "codes", "state_nodes", "receipts"):
        found = getattr(decoded, name)
        assert (tuple(found) if name == "state_keys" else found) == getattr(file, name)
    for mine, theirs in zip(decoded.segments, file.segments, strict=True):
        for name in ("first", "end", "log_stacked_height", "form", "proof"):
            assert getattr(mine, name) == getattr(theirs, name)
        for name in Writes.__slots__:
            np.testing.assert_array_equal(getattr(mine.writes, name), getattr(theirs.writes, name))
            assert getattr(mine.writes, name).dtype == getattr(theirs.writes, name).dtype
        for name in CodeWrites.__slots__:
            np.testing.assert_array_equal(getattr(mine.code_writes, name), getattr(theirs.code_writes, name))
    assert encode_proof(decoded) == encode_proof(file)


def test_headers_of_ancestors() -> None:
    """A file has some, and so has each that is joined to it."""
    file = replace(sample_chain().file(4), ancestors=(b"\xc0" * 20, b"latest first"))
    assert decode_proof(encode_proof(file)).ancestors == file.ancestors
    own = {name.name: getattr(one_proof_sample(), name.name) for name in fields(BatchRecord)}
    joined = BatchRecord(**(own | {"ancestors": (b"another",)}))
    (decoded,) = decode_proof(encode_proof(replace(one_proof_sample(), joined=(joined,)))).joined
    assert decoded.ancestors == (b"another",)
    assert len(decode_proof(encode_proof(replace(file, ancestors=(b"x",) * MAX_ANCESTORS))).ancestors) == 254
    with pytest.raises(Invalid, match="more than 254 ancestors"):
        decode_proof(encode_proof(replace(file, ancestors=(b"x",) * (MAX_ANCESTORS + 1))))
    with pytest.raises(Invalid, match="ancestor 1"):
        decode_proof(encode_proof(replace(file, ancestors=(b"x", b"x" * (MAX_PARENT_HEADER_BYTES + 1)))))


def test_encoding_sorts_the_witness(file: ProofFile) -> None:
    shuffled = replace(file, state_nodes=(*file.state_nodes[::-1], file.state_nodes[0]))
    assert encode_proof(shuffled) == encode_proof(file)


def test_writes_record() -> None:
    writes = Writes(
        scope=np.array([0x01020304], dtype=np.uint32),
        leaf=np.array([0x05060708], dtype=np.uint32),
        value=np.arange(16, dtype=np.uint16)[None],
        nonce=np.array([[0x0F10, 0x0D0E, 0x0B0C, 0x090A]], dtype=np.uint16),
    )
    data = writes.to_bytes()
    assert len(data) == 48
    assert data[:8].hex() == "0102030405060708"
    assert data[8:40].hex() == "".join(f"{limb:04x}" for limb in range(15, -1, -1))
    assert data[40:].hex() == "090a0b0c0d0e0f10"
    with pytest.raises(Invalid, match="no multiple of 48"):
        Writes.from_bytes(data[1:])


def test_code_writes_record() -> None:
    writes = CodeWrites(
        scope=np.array([0x01020304], dtype=np.uint32),
        leaf=np.array([0x05060708], dtype=np.uint32),
        code_hash=np.arange(16, dtype=np.uint16)[None],
    )
    data = writes.to_bytes()
    assert data.hex() == "0102030405060708" + "".join(f"{limb:04x}" for limb in range(15, -1, -1))
    back = CodeWrites.from_bytes(data)
    for name in CodeWrites.__slots__:
        np.testing.assert_array_equal(getattr(back, name), getattr(writes, name))
    with pytest.raises(Invalid, match="no multiple of 40"):
        CodeWrites.from_bytes(data[1:])
    assert len(CodeWrites.from_bytes(b"")) == 0


def test_open_end_record() -> None:
    data = bytes.fromhex("01020304" + "05060708" + "090a0b0c" + "0d0e0f10")
    end = OpenEnd(0x01020304, 0x05060708, (0x090A0B0C, 0x0D0E0F10))
    assert end.to_bytes() == data
    assert OpenEnd.from_bytes(data) == end
    for wrong in (data[1:], data + b"\0", b""):
        with pytest.raises(Invalid, match=f"an open end of {len(wrong)} bytes instead of 16"):
            OpenEnd.from_bytes(wrong)


@pytest.mark.parametrize("place", range(4))
def test_numbers_of_an_open_end_are_field_elements(place: int) -> None:
    numbers = [MODULUS - 1] * 4
    data = b"".join(number.to_bytes(4, "big") for number in numbers)
    assert OpenEnd.from_bytes(data).to_bytes() == data
    numbers[place] += 1
    with pytest.raises(Invalid, match="no field element"):
        OpenEnd.from_bytes(b"".join(number.to_bytes(4, "big") for number in numbers))


def links_of(*others: int) -> Links:
    digests = np.arange(8 * len(others), dtype=np.uint32).reshape(-1, 8)
    return Links(np.array(others, dtype=np.uint32), digests + 0x01000000)


def test_links_record() -> None:
    links = links_of(0x01020304, 0xFFFFFFFF)
    data = links.to_bytes()
    assert data[:36].hex() == "01020304" + "".join(f"{0x01000000 + k:08x}" for k in range(8))
    assert data[36:].hex() == "ffffffff" + "".join(f"{0x01000008 + k:08x}" for k in range(8))
    back = Links.from_bytes(data)
    for name in Links.__slots__:
        np.testing.assert_array_equal(getattr(back, name), getattr(links, name))
        assert getattr(back, name).dtype == np.uint32
    with pytest.raises(Invalid, match="71 bytes are no multiple of 36"):
        Links.from_bytes(data[1:])
    assert len(Links.from_bytes(b"")) == 0


@pytest.mark.parametrize("element", range(8))
def test_hashes_of_links_are_field_elements(element: int) -> None:
    links = links_of(1, 2)
    links.digest[1, element] = MODULUS - 1
    assert Links.from_bytes(links.to_bytes()).to_bytes() == links.to_bytes()
    links.digest[1, element] = MODULUS
    with pytest.raises(Invalid, match="a link with a number that is no field element"):
        Links.from_bytes(links.to_bytes())


def test_segments_of_runs_are_decoded_as_they_are(file: ProofFile) -> None:
    first, second = file.segments[:2]
    run = (
        replace(first, open_end=OpenEnd(700, 5, (3, 9)), links=links_of(1, 2)),
        replace(second, open_end=OpenEnd(800, 5, (3, 9)), links=links_of(2)),
    )
    found = decode_proof(encode_proof(replace(file, segments=(*run, *file.segments[2:])))).segments
    for mine, theirs in zip(found, (*run, *file.segments[2:]), strict=True):
        assert mine.open_end == theirs.open_end
        assert mine.links.to_bytes() == theirs.links.to_bytes()


def test_all_segments_together_have_so_many_links(file: ProofFile) -> None:
    first, second = file.segments[:2]
    numbers = np.arange(MAX_LINKS, dtype=np.uint32)
    most = Links(numbers, np.zeros((MAX_LINKS, 8), dtype=np.uint32))
    half = Links(numbers[: MAX_LINKS // 2], most.digest[: MAX_LINKS // 2])
    for links in ((most, links_of()), (half, half)):
        segments = tuple(replace(s, links=own) for s, own in zip((first, second), links, strict=True))
        decode_proof(encode_proof(replace(file, segments=segments)))
    for links in ((most, links_of(7)), (half, replace(half, other=numbers[1:][: len(half)]), links_of(7))):
        segments = tuple(replace(first, links=own) for own in links)
        with pytest.raises(Invalid, match=f"segment {len(links) - 1}: links"):
            decode_proof(encode_proof(replace(file, segments=segments)))


def test_no_writes() -> None:
    none = Writes.from_bytes(b"")
    assert len(none) == 0
    assert (none.value.shape, none.nonce.shape) == ((0, 16), (0, 4))
    assert none.to_bytes() == b""


@settings(max_examples=300)
@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_changed_bytes(position: int, change: int) -> None:
    data = bytearray(SAMPLE)
    data[position] ^= change
    check_refused_or_canonical(bytes(data))


@settings(max_examples=200)
@given(st.integers(0, len(SAMPLE) - 1))
def test_truncations(size: int) -> None:
    with pytest.raises((Invalid, UnusableInput)):
        decode_proof(SAMPLE[:size])


@given(st.binary(min_size=1, max_size=40))
def test_extensions(tail: bytes) -> None:
    with pytest.raises(Invalid, match="bytes too many"):
        decode_proof(SAMPLE + tail)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_random_bodies(body: bytes) -> None:
    check_refused_or_canonical(START + body)
    check_refused_or_canonical(START + list_header(len(body)) + body)


@settings(max_examples=100)
@given(st.integers(0, len(SAMPLE) - 1), st.integers(0, len(SAMPLE) - 1), st.integers(0, 64))
def test_moved_pieces(source: int, target: int, size: int) -> None:
    data = SAMPLE[:target] + SAMPLE[source : source + size] + SAMPLE[target + size :]
    check_refused_or_canonical(data)


#: What the proof of a segment may say, of three tables.
CLAIM = Claim(bytes([3, 0, 22]), tuple(range(sum(STATED_VALUES.values()))))


def one_proof_sample() -> ProofFile:
    """The sample with one proof of all segments."""
    file = decode_proof(SAMPLE)
    segments = tuple(replace(segment, proof=b"", claim=CLAIM) for segment in file.segments)
    return replace(file, segments=segments, one_proof=b"one proof of all")


def test_a_file_says_whether_it_has_one_proof() -> None:
    data = encode_proof(one_proof_sample())
    assert data.startswith(MAGIC + bytes([ONE_PROOF_VERSION]))
    assert decode_proof(SAMPLE).one_proof is None
    decoded = decode_proof(data)
    assert bytes(decoded.one_proof or b"") == b"one proof of all"
    assert [segment.claim for segment in decoded.segments] == [CLAIM] * len(decoded.segments)
    assert encode_proof(decoded) == data


def test_a_file_of_one_kind_is_not_read_as_the_other() -> None:
    """A proof is not what it says, and no file of the other kind ends behind that."""
    data = encode_proof(one_proof_sample())
    with pytest.raises(Invalid, match="segment 0"):
        decode_proof(MAGIC + bytes([ONE_PROOF_VERSION]) + SAMPLE[len(START) :])
    with pytest.raises(Invalid, match="segment 0"):
        decode_proof(START + data[len(START) :])


@pytest.mark.parametrize("count", [0, 1, len(CLAIM.values) - 1, len(CLAIM.values) + 1])
def test_segments_state_all_of_their_public_values(count: int) -> None:
    file = one_proof_sample()
    segments = (replace(file.segments[0], claim=Claim(CLAIM.heights, (0,) * count)), *file.segments[1:])
    with pytest.raises(Invalid, match="segment 0: public values"):
        decode_proof(encode_proof(replace(file, segments=segments)))


def test_public_values_are_below_the_modulus() -> None:
    """The running hash would not tell others from them."""
    file = one_proof_sample()
    claim = Claim(CLAIM.heights, (MODULUS, *CLAIM.values[1:]))
    segments = (replace(file.segments[0], claim=claim), *file.segments[1:])
    with pytest.raises(Invalid, match="segment 0: a public value is not below the modulus"):
        decode_proof(encode_proof(replace(file, segments=segments)))


def test_the_number_of_tables_is_bounded() -> None:
    file = one_proof_sample()
    claim = Claim(bytes(MAX_TABLES + 1), CLAIM.values)
    segments = (replace(file.segments[0], claim=claim), *file.segments[1:])
    with pytest.raises(Invalid, match="segment 0: heights"):
        decode_proof(encode_proof(replace(file, segments=segments)))


@pytest.mark.parametrize("joint", [1, 255, (1, 1), (3, (1, 2), 1), (((1, 1), 1), 1)])
def test_how_trees_are_joined_is_read_as_it_was_written(joint: Joint) -> None:
    data = encode_proof(replace(one_proof_sample(), joint=joint))
    assert decode_proof(data).joint == joint
    assert encode_proof(decode_proof(data)) == data


def within(joins: int) -> Any:
    joint: Any = 1
    for _ in range(joins):
        joint = (joint, 1)
    return joint


@pytest.mark.parametrize(
    ("joint", "match"),
    [
        (0, "a tree over no batch"),
        ((1, 0), "a tree over no batch"),
        (1 << 16, "joint"),
        ((), "a list of 0"),
        ((1,), "a list of 1"),
        ((1, (1,)), "a list of 1"),
        (MAX_BATCHES + 1, f"of more than {MAX_BATCHES} batches"),
        ((1,) * (MAX_BATCHES + 1), f"of more than {MAX_BATCHES} batches"),
        (((MAX_BATCHES - 1, 1), 1), f"of more than {MAX_BATCHES} batches"),
        (within(MAX_JOINS + 1), f"joined more than {MAX_JOINS} times"),
    ],
)
def test_trees_are_joined_in_one_way_alone(joint: Any, match: str) -> None:
    with pytest.raises(Invalid, match=match):
        decode_proof(encode_proof(replace(one_proof_sample(), joint=joint)))


def test_trees_may_be_joined_again_and_again() -> None:
    file = replace(one_proof_sample(), joint=within(MAX_JOINS))
    assert decode_proof(encode_proof(file)).joint == file.joint


def test_the_one_proof_is_bounded() -> None:
    file = replace(one_proof_sample(), one_proof=bytes(MAX_ONE_PROOF_BYTES + 1))
    with pytest.raises(Invalid, match="one proof"):
        decode_proof(encode_proof(file))


@pytest.mark.parametrize(
    "start", [b"", b"Z", MAGIC, b"ZKEVN\x06", MAGIC + b"\x00", MAGIC + b"\x07", MAGIC + b"\x09", bytes(100)]
)
def test_other_files_are_unusable(start: bytes) -> None:
    with pytest.raises(UnusableInput):
        decode_proof(start)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda body: body.append(b""), "bytes too many"),
        (lambda body: body.pop(), "segments: missing"),
        (lambda body: body[0].append(b""), "statement: 1 bytes too many"),
        (lambda body: body[0].__setitem__(1, "müller".encode()), "not ASCII"),
        (lambda body: body[0].__setitem__(1, b"x" * 257), "at most 256"),
        (lambda body: body[0].__setitem__(0, b"\1" * 9), "chain id"),
        (lambda body: body[0].__setitem__(2, b"\1" * 31), "pre-state root"),
        (lambda body: body.__setitem__(1, b"\1" * (MAX_PARENT_HEADER_BYTES + 1)), "parent header"),
        (lambda body: body[3][0].append(b""), "block 0: 1 bytes too many"),
        (lambda body: body[3][0].__setitem__(0, b"\1" * 1025), "block 0: header"),
        (lambda body: body[3][0][1].append([]), "block 0, transaction 4"),
        (lambda body: body[3][0].pop(), "block 0: outputs: missing"),
        (lambda body: body[3][0].__delitem__(slice(2, 4)), "block 0: withdrawals: missing"),
        (lambda body: body[3][0].__setitem__(3, b""), "block 0: outputs: a string"),
        (lambda body: body[3][0][3].append([]), "block 0, output 0: a list"),
        (lambda body: body[3][0][3].extend([b"", bytes(MAX_OUTPUT_BYTES + 1)]), "block 0, output 1: .* at most"),
        (lambda body: body[3][0][2].append([]), "block 0, withdrawal 2: a list"),
        (lambda body: body[3][0][2].append(bytes(65)), "block 0, withdrawal 2: 65 bytes"),
        (lambda body: body.__setitem__(4, body[4] + b"\0"), "multiple of 53"),
        (lambda body: body.__setitem__(4, []), "leaf keys: a list"),
        (lambda body: body[5].append([]), "code 2: a list"),
        (lambda body: body[5].append(bytes(MAX_CODE_BYTES + 1)), "code 2: .* at most 1048576"),
        (lambda body: body[6].reverse(), "increasing order"),
        (lambda body: body[6].append(body[6][-1]), "increasing order"),
        (lambda body: body[6].append(b"\xff" * 1025), "at most 1024"),
        (lambda body: body[7][0].append(b""), "receipt 0: 1 bytes too many"),
        (lambda body: body[7][0].__setitem__(0, b"\2"), "receipt 0: status"),
        (lambda body: body[7][0].__setitem__(0, b"\0"), "receipt 0: status"),
        (lambda body: body[7][0].__setitem__(1, b"\1" * 9), "receipt 0: gas used"),
        (lambda body: body[7][0].__setitem__(2, b""), "receipt 0: logs"),
        (lambda body: body[7][3][2].append(b""), "receipt 3, log 3: a string"),
        (lambda body: body[7][3][2][0].append(b""), "receipt 3, log 0: 1 bytes too many"),
        (lambda body: body[7][3][2][0].__setitem__(0, bytes(19)), "receipt 3, log 0: address"),
        (lambda body: body[7][3][2][0].__setitem__(1, bytes(33)), "receipt 3, log 0: topics of 33 bytes"),
        (lambda body: body[7][3][2][0].__setitem__(1, bytes(160)), "receipt 3, log 0: topics: 160 bytes"),
        (lambda body: body[7][3][2][0].__setitem__(2, []), "receipt 3, log 0: data"),
        (lambda body: body[8][0].append(b""), "segment 0: 1 bytes too many"),
        (lambda body: body[8][0].__setitem__(0, b"\1" * 5), "first operation"),
        (lambda body: body[8][0].__setitem__(1, b"\0"), "end operation"),
        (lambda body: body[8][0].__setitem__(2, b"\1\0"), "height"),
        (lambda body: body[8][0].__setitem__(3, b"\3"), "segment 0: there is no form 3 of a circuit"),
        (lambda body: body[8][0].__setitem__(3, b"\1\0"), "segment 0: form of the circuit"),
        (lambda body: body[8][0].__setitem__(4, bytes(47)), "writes: 47 bytes"),
        (lambda body: body[8].extend([body[8][1]] * MAX_SEGMENTS), "more than 1024 segments"),
        (lambda body: body[8][1].__setitem__(4, bytes(48 * MAX_WRITES)), "segment 1: writes: .* at most"),
    ],
)
def test_malformed_fields_are_named(change: Callable[[Any], None], reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        decode_proof(lie(change))


@pytest.mark.parametrize("announced", [2**16, 2**32, 2**63, 2**64 - 1])
@pytest.mark.parametrize("base", [0xB7, 0xF7])
def test_absurd_lengths_take_no_memory(announced: int, base: int) -> None:
    size = announced.to_bytes((announced.bit_length() + 7) // 8, "big")
    item = bytes([base + len(size)]) + size
    tracemalloc.start()
    try:
        for data in (START + item, START + list_header(len(item)) + item):
            with pytest.raises(Invalid):
                decode_proof(data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_many_small_items_take_bounded_memory() -> None:
    """Millions of empty transactions: the budget ends it."""
    body = rlp.decode(SAMPLE[len(START) :])
    transactions = b"\x80" * 4_000_000
    block = rlp.encode(body[3][0][0]) + list_header(len(transactions)) + transactions
    blocks = list_header(len(block)) + block
    parts = [*map(rlp.encode, body[:3]), list_header(len(blocks)) + blocks, *map(rlp.encode, body[4:])]
    data = START + list_header(sum(map(len, parts))) + b"".join(parts)
    tracemalloc.start()
    try:
        with pytest.raises(Invalid, match="too many items"):
            decode_proof(data)
        assert tracemalloc.get_traced_memory()[1] < 300 * MAX_ITEMS
    finally:
        tracemalloc.stop()


def test_all_codes_together_are_bounded() -> None:
    def change(body: Any) -> None:
        body[5] = [bytes(MAX_CODE_BYTES)] * 17

    with pytest.raises(Invalid, match="code 16: 1048576 bytes, at most 0"):
        decode_proof(lie(change))


def test_segment_proofs_are_not_copied(file: ProofFile) -> None:
    large = replace(file, segments=(replace(file.segments[0], proof=bytes(32 * 2**20)),))
    data = encode_proof(large)
    tracemalloc.start()
    try:
        segment = decode_proof(data).segments[0]
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert len(segment.proof) == 32 * 2**20
    too_large = replace(file, segments=(SegmentRecord(0, 5, 14, Writes.from_bytes(b""), bytes(64 * 2**20 + 1)),))
    with pytest.raises(Invalid, match="segment 0: proof"):
        decode_proof(encode_proof(too_large))


class TestReadProof:
    def test_reads_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.proof"
        path.write_bytes(SAMPLE)
        assert read_proof(path) == SAMPLE

    def test_missing_files_and_folders_are_unusable(self, tmp_path: Path) -> None:
        for path in (tmp_path / "missing", tmp_path):
            with pytest.raises(UnusableInput, match=str(path)):
                read_proof(path)

    def test_too_large_files_are_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "large"
        with path.open("wb") as stream:
            stream.write(START)
            stream.truncate(MAX_FILE_BYTES + 1)
        with pytest.raises(UnusableInput, match="at most"):
            read_proof(path)

    def test_other_formats_are_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "other"
        with path.open("wb") as stream:
            stream.truncate(MAX_FILE_BYTES)
        tracemalloc.start()
        try:
            with pytest.raises(UnusableInput, match="magic"):
                read_proof(path)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()
