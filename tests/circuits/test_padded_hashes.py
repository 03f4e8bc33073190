"""SHA-256 and RIPEMD-160: against other implementations, and what a dishonest prover may try."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import product
from math import isqrt
from typing import Any

import numpy as np
import pytest
import zkevm_native
from Crypto.Hash import RIPEMD160
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from circuits.air.checker import check_circuit
from circuits.air.field import MODULUS, Matrix
from circuits.air.mutation import mutate
from circuits.air.witness import Witnesses
from circuits.functions import ripemd160, ripemd160_lines, sha256, sha256_rounds
from circuits.functions.buses import HASH_OUT, HASH_WORD, RIPEMD160_LINES, SHA256_ROUNDS
from circuits.functions.padded_blocks import PaddedInputs
from circuits.functions.words32 import Words32
from tests.circuits.hash_circuit import LENGTHS, Family, Traces
from tests.circuits.keccak_circuit import messages


def _asked(blocks: Matrix, table: Any, bus: Any, number: int) -> tuple[Words32, Words32, NDArray[np.uint32]]:
    """States, blocks and names of what is sent with this number."""
    sent = [m for count, m in messages(table, blocks, bus) if count == 1 and m[1] == number]
    limbs = np.array([m[2:] for m in sent], dtype=np.uint64).reshape(len(sent), bus.width // 2 - 1, 2)
    words = limbs[:, :, 0] + (limbs[:, :, 1] << np.uint64(16)) & np.uint64(0xFFFFFFFF)
    return words[:, :-16], words[:, -16:], np.array([m[0] for m in sent], dtype=np.uint32)


LINES = range(ripemd160_lines.LINES)
SHA256 = Family(
    sha256,
    sha256.Sha256(),
    (sha256_rounds.Sha256Rounds(),),
    SHA256_ROUNDS.name,
    lambda data: hashlib.sha256(data).digest(),
    lambda inputs: (sha256.fill_rounds(inputs),),
    lambda blocks: (sha256_rounds.fill(*_asked(blocks, sha256.Sha256(), SHA256_ROUNDS, 0)),),
)
RIPEMD = Family(
    ripemd160,
    ripemd160.Ripemd160(),
    tuple(ripemd160_lines.Ripemd160Line(line) for line in LINES),
    RIPEMD160_LINES.name,
    lambda data: RIPEMD160.new(data).digest(),
    lambda inputs: tuple(ripemd160.fill_line(line, inputs) for line in LINES),
    lambda blocks: tuple(
        ripemd160_lines.fill(line, *_asked(blocks, ripemd160.Ripemd160(), RIPEMD160_LINES, 2 * line)) for line in LINES
    ),
)
FAMILIES = pytest.mark.parametrize("family", [SHA256, RIPEMD], ids=["sha256", "ripemd160"])


def _data(length: int, seed: int = 0) -> bytes:
    return np.random.default_rng([length, seed]).bytes(length)


@cache
def _honest(family: Family, *lengths: int) -> Traces:
    return family.honest([_data(length) for length in lengths])


def _root(n: int, k: int) -> int:
    """The first 32 bits of the fractional part of the k-th root of a prime (FIPS 180-4, sections 4.2.2 and 5.3.3)."""
    if k == 2:
        return isqrt(n << 64) & 0xFFFFFFFF
    x = round((n << 96) ** (1 / 3))
    while x**3 > n << 96:
        x -= 1
    while (x + 1) ** 3 <= n << 96:
        x += 1
    return x & 0xFFFFFFFF


def test_constants() -> None:
    primes = [n for n in range(2, 312) if all(n % m for m in range(2, n))]
    assert tuple(_root(p, 3) for p in primes) == sha256_rounds.ROUND_CONSTANTS
    assert tuple(_root(p, 2) for p in primes[:8]) == sha256.INITIAL_STATE
    for line, k in ((0, 2), (1, 3)):
        found = [c for c in ripemd160_lines.ROUND_CONSTANTS[line] if c]
        roots = {2: isqrt, 3: lambda n: int(_cube_root(n))}[k]
        assert found == [roots(p << 30 * k) & 0xFFFFFFFF for p in (2, 3, 5, 7)]


def _cube_root(n: int) -> int:
    x = round(n ** (1 / 3))
    return max(y for y in range(x - 1000, x + 1000) if y**3 <= n)


@FAMILIES
def test_all_lengths_are_accepted_by_the_independent_checker(family: Family) -> None:
    traces = _honest(family, *LENGTHS)
    assert not check_circuit(family.circuit, traces.all, traces.publics)


#: FIPS 180-4's examples as NIST publishes them, and those of the authors of RIPEMD-160.
PUBLISHED = {
    "sha256": {
        b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        b"".join(b"abcdefghijklmnopqrstu"[k : k + 8] for k in range(14)): (
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
    },
    "ripemd160": {
        b"": "9c1185a5c5e9fc54612808977ee8f548b2258d31",
        b"a": "0bdc9d2d256b3ee9daae347be6f4dc835a467ffe",
        b"abc": "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc",
        b"message digest": "5d0689ef49d2fae572b881b123a85ffa21595f36",
        b"abcdefghijklmnopqrstuvwxyz": "f71c27109c692c1b56bbdceb5b9d2865b3708dbc",
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": "12a053384a9c0c88e405a06c27dcf49ada62eb2b",
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789": "b0e20b6e3116640286ed3a87a5713079b21f5189",
        b"1234567890" * 8: "9b752e45573d4b39f4dbd3323cab82bf63326bfb",
    },
}


@FAMILIES
def test_published_answers(family: Family) -> None:
    published = PUBLISHED[family.blocks.name]
    inputs = PaddedInputs.of(published)
    assert family.module.digests(inputs).tolist() == [
        _limbs(bytes.fromhex(answer).rjust(32, b"\0")) for answer in published.values()
    ]
    assert not replace(family, digest=lambda data: bytes.fromhex(published[data])).honest(list(published)).findings


@FAMILIES
def test_all_lengths_up_to_200(family: Family) -> None:
    """What is claimed is another implementation's digest."""
    assert not family.honest([_data(length, 1) for length in range(201)]).findings


@FAMILIES
def test_blocks_at_the_bounds(family: Family) -> None:
    """All bits of the block 0 or 1, or one of them."""
    data = [bytes(55), b"\xff" * 64, *((1 << k).to_bytes(64, "big") for k in range(0, 512, 37))]
    assert not family.honest(data).findings


@FAMILIES
@pytest.mark.deep
def test_many_inputs(family: Family) -> None:
    rng = np.random.default_rng(160)
    for _ in range(20):
        assert not family.honest([rng.bytes(int(size)) for size in rng.integers(0, 130, 100)]).findings


@FAMILIES
@settings(max_examples=10, deadline=None)
@given(data=st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_any_inputs(family: Family, data: list[bytes]) -> None:
    assert not family.honest(data).findings


@FAMILIES
@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=700))
def test_everything_provided_is_true(family: Family, data: bytes) -> None:
    inputs = PaddedInputs.of([b"other", data, b"another"])
    start = inputs.id_of[data]
    words = np.array([(start, i) for i in range((len(data) + 31) // 32)], dtype=np.uint32).reshape(-1, 2)
    matrix = family.module.fill(inputs, words, np.array([start] * 3, dtype=np.uint32))
    function = family.blocks.function
    padded = [data[32 * i : 32 * i + 32].ljust(32, b"\0") for i in range(len(words))]
    assert sorted(messages(family.blocks, matrix, HASH_WORD)) == [
        (MODULUS - 1, [function, start, i, *_limbs(word)]) for i, word in enumerate(padded)
    ]
    digest = family.digest(data).rjust(32, b"\0")
    assert messages(family.blocks, matrix, HASH_OUT) == [(MODULUS - 3, [function, start, len(data), *_limbs(digest)])]


def _limbs(word: bytes) -> list[int]:
    return [int.from_bytes(word[30 - 2 * j : 32 - 2 * j], "big") for j in range(16)]


@FAMILIES
def test_equal_inputs_are_hashed_once(family: Family) -> None:
    data = _data(70)
    inputs = PaddedInputs.of([data, b"", data])
    assert inputs.data == (data, b"")
    assert inputs.rows == 3
    assert not family.honest([data, b"", data]).findings


@FAMILIES
def test_words_behind_the_end_are_zeros(family: Family) -> None:
    """Also in a block that an input does not reach, and never those of the next input."""
    inputs = PaddedInputs.of([_data(56), _data(64)])
    words = np.array([(0, 2), (0, 3), (2, 1), (2, 2)], dtype=np.uint32)
    matrix = family.module.fill(inputs, words, np.zeros(0, dtype=np.uint32))
    function = family.blocks.function
    assert sorted(messages(family.blocks, matrix, HASH_WORD)) == [
        (MODULUS - 1, [function, 0, 2, *[0] * 16]),
        (MODULUS - 1, [function, 0, 3, *[0] * 16]),
        (MODULUS - 1, [function, 2, 1, *_limbs(_data(64)[32:])]),
        (MODULUS - 1, [function, 2, 2, *[0] * 16]),
    ]


@FAMILIES
@pytest.mark.parametrize("column", ["function", "id", "index", "word"])
def test_false_claims_about_content(family: Family, column: str) -> None:
    traces = _honest(family, 100, 7).copy()
    getattr(traces.rows("words"), column)[1] += 1
    assert traces.places == {"hash_word"}


@FAMILIES
@pytest.mark.parametrize("column", ["function", "id", "length", "digest"])
def test_false_claims_about_digests(family: Family, column: str) -> None:
    traces = _honest(family, 100, 7).copy()
    getattr(traces.rows("digests"), column)[0] += 1
    assert traces.places == {"hash_out"}


@FAMILIES
def test_an_empty_table_is_accepted_and_says_nothing(family: Family) -> None:
    inputs = PaddedInputs(())
    matrix = family.module.fill(inputs, np.zeros((0, 2), np.uint32), np.zeros(0, np.uint32))
    assert len(matrix) == 1
    assert not messages(family.blocks, matrix, HASH_OUT)
    assert not messages(family.blocks, matrix, HASH_WORD)
    assert not any(rounds.any() for rounds in family.fill_rounds(inputs))


@FAMILIES
def test_unanswered_queries_unbalance_the_bus(family: Family) -> None:
    inputs = PaddedInputs.of([_data(50)])
    matrix = family.module.fill(inputs, np.array([[0, 2], [3, 0]], np.uint32), np.array([3], np.uint32))
    assert not messages(family.blocks, matrix, HASH_WORD)
    assert not messages(family.blocks, matrix, HASH_OUT)


def _set(rows: Any, row: int, **cells: Any) -> None:
    for name, value in cells.items():
        getattr(rows, name)[row] = value


def _end(rows: Any, row: int, place: int) -> None:
    """Say that an input ends at this byte of its block."""
    rows.end[row] = 0
    rows.end[row, place // 2] = 1
    rows.odd[row] = place % 2


def _later_end(rows: Any) -> None:
    """Claim one byte more, a zero, without hashing it; everything else as it was."""
    _end(rows, 0, 51)


def _no_end(rows: Any) -> None:
    rows.end[0] = 0


def _two_ends(rows: Any) -> None:
    rows.end[0, 9] = 1


def _end_on_padding(rows: Any) -> None:
    rows.end[3, 0] = 1


def _other_length(rows: Any) -> None:
    rows.length[0] = 51


def _other_length_hashed(rows: Any) -> None:
    rows.size[0, 0] = 8 * 51


def _length_that_wraps(rows: Any) -> None:
    """The same number modulo the characteristic."""
    bits = 8 * 50 + MODULUS
    rows.size[0] = [bits & 0xFFFF, bits >> 16]


def _low_limb_beyond(rows: Any) -> None:
    rows.size[0] = [8 * 50 + (1 << 16), MODULUS - 1]


def _length_where_nothing_ends(rows: Any) -> None:
    rows.size[1, 0] = 8


def _odd_where_nothing_ends(rows: Any) -> None:
    rows.odd[1] = 1


def _extra_at_once(rows: Any) -> None:
    rows.extra[0] = 1


def _extra_after_an_end_with_room(rows: Any) -> None:
    rows.extra[3] = 1
    rows.real[3] = 1


@FAMILIES
@pytest.mark.parametrize(
    ("lie", "place"),
    [
        (_later_end, "length where the input ends"),
        (_no_end, "length where the input ends"),
        (_two_ends, "end: exactly one flag or none is a bit"),
        (_end_on_padding, "padding rows end nothing"),
        (_other_length, "length where the input ends"),
        (_other_length_hashed, "bits of the input"),
        (_length_that_wraps, "range16"),
        (_low_limb_beyond, "range16"),
        (_length_where_nothing_ends, "no size but on last blocks: low limb"),
        (_odd_where_nothing_ends, "odd only where an input ends"),
        (_extra_at_once, "the first block is not extra"),
        (_extra_after_an_end_with_room, "an extra block follows an end without room"),
    ],
)
def test_false_padding(family: Family, lie: Callable[[Any], None], place: str) -> None:
    """An input of one block of 50 bytes, one of two blocks, a padding row."""
    traces = _honest(family, 50, 119)
    assert len(traces.blocks) == 4
    assert place in traces.forged(lie).places


@FAMILIES
def test_a_true_hash_of_a_longer_input_has_another_length(family: Family) -> None:
    """Moving the padding consistently is honest work for other data, which the claims do not name."""
    traces, other = family.honest([_data(51)[:50]]), _honest(family, 51)
    moved = replace(traces, blocks=other.blocks, rounds=other.rounds)
    assert family.answered(moved).places == {"hash_out", "hash_word"}


@FAMILIES
def test_bytes_behind_the_end(family: Family) -> None:
    """More is hashed than the length tells."""

    def lie(rows: Any) -> None:
        if family is SHA256:
            rows.message[0, 26] = 0x100
        else:
            rows.message[0, 52] = 1
            rows.message_xor[0, 26] = 1

    place = "message limb 26" if family is SHA256 else "message byte 52"
    assert f"{place} is zero behind the end" in _honest(family, 50).forged(lie).places


@FAMILIES
def test_a_length_in_the_block_of_an_end_without_room(family: Family) -> None:
    """The length of an input of 57 bytes overwrites zeros of its padding: there is no second block."""

    def lie(rows: Any) -> None:
        rows.size[0] = [8 * 57, 0]
        rows.real[1] = 0
        rows.extra[1] = 0
        rows.id[1] = 1
        rows.length[1] = 0
        rows.size[1] = 0
        rows.before[1] = 0
        rows.worked[1] = 0
        rows.carry[1] = 0
        rows.digest[1] = 0
        rows.out_count[1] = 0

    found = _honest(family, 57).forged(lie, follows=False).places
    assert {"an unfinished input goes on", "no size but on last blocks: low limb"} <= found


def test_a_cut_limb_that_is_no_byte_and_padding() -> None:
    """Where the padding starts with the second byte of a limb, the first one is of the input: a byte."""
    data = _data(51)

    def no_padding(rows: Any) -> None:
        """Take 0x80 as a part of the limb and choose the byte such that the limb fits."""
        rows.message[0, 25] = data[50] * 256 + 1
        rows.tail[0] = (data[50] * 256 + 1) * pow(256, -1, MODULUS) % MODULUS

    assert "bitwise_bytes" in _honest(SHA256, 51).forged(no_padding).places

    def no_tail(rows: Any) -> None:
        rows.tail[0] = data[50] ^ 1

    assert "the byte before the padding" in _honest(SHA256, 51).forged(no_tail).places

    def idle_tail(rows: Any) -> None:
        rows.tail[0] = 1

    assert "no byte before the padding" in _honest(SHA256, 50).forged(idle_tail).places


def test_limbs_of_the_block_are_limbs() -> None:
    """Two limbs of a word that make the same integer."""

    def lie(rows: Any) -> None:
        rows.message[0, 0] -= 1
        rows.message[0, 1] += 1 << 16

    assert "sha256_rounds" in _honest(SHA256, 50).forged(lie).places


def test_bytes_of_the_block_are_bytes() -> None:
    def lie(rows: Any) -> None:
        rows.message[0, 0] -= 1
        rows.message[0, 1] += 256
        rows.message_xor[0, 0] = int(rows.message[0, 0]) ^ int(rows.message[0, 1])

    assert "bitwise_bytes" in _honest(RIPEMD, 50).forged(lie).places


def _forget_the_state(rows: Any) -> None:
    """Hash the second block as if it were alone."""
    rows.before[1] = rows.before[0]


def _other_initial_state(rows: Any) -> None:
    rows.before[0, 3, 0] += 1


def _state_from_another_input(rows: Any) -> None:
    """Start the input behind a finished one from its state."""
    rows.before[2] = rows.worked[1] if rows.worked.ndim == 3 else rows.worked[1, 0]


def _swapped_blocks(rows: Any) -> None:
    swapped = rows.message[1].copy()
    rows.message[1] = rows.message[0]
    rows.message[0] = swapped


def _reuse_id(rows: Any) -> None:
    rows.id[2] = rows.id[1]


def _fresh_id_within(rows: Any) -> None:
    """Make the second block look like an input of its own."""
    rows.id[1] = 1


def _repeat_row_number(rows: Any) -> None:
    """Two blocks under one id, whose rounds could be exchanged."""
    rows.row[2] = 1
    rows.id[2] = 1


def _first_row_number(rows: Any) -> None:
    rows.row += 7
    rows.id += 7


def _digest_in_the_middle(rows: Any) -> None:
    """Provide the state after the first block as a digest."""
    rows.out_count[0] = 1


def _word_on_padding(rows: Any) -> None:
    rows.word_count[3, 0] = 1


def _input_behind_padding(rows: Any) -> None:
    rows.real[0:2] = 0


@FAMILIES
@pytest.mark.parametrize(
    ("lie", "place"),
    [
        (_forget_the_state, "next state: 0, limb 0"),
        (_other_initial_state, "first state: 3, limb 0"),
        (_state_from_another_input, "next state: 0, limb 0"),
        (_swapped_blocks, "hash_word"),
        (_reuse_id, "a new input takes its row as id"),
        (_fresh_id_within, "an input keeps its id"),
        (_repeat_row_number, "row numbers step by 1"),
        (_first_row_number, "row numbers start at 0"),
        (_digest_in_the_middle, "only last blocks have a digest"),
        (_word_on_padding, "padding rows have no word 0"),
        (_input_behind_padding, "padding stays padding"),
    ],
)
def test_false_order(family: Family, lie: Callable[[Any], None], place: str) -> None:
    """An input of two blocks, one of one, then a padding row."""
    assert place in _honest(family, 100, 50).forged(lie).places


@FAMILIES
def test_a_digest_that_the_rounds_did_not_make(family: Family) -> None:
    traces = _honest(family, 50)

    def worked(rows: Any) -> None:
        cells = rows.worked.reshape(len(rows.worked), -1)
        cells[0, 2] ^= 1

    assert family.bus in traces.forged(worked).places

    def digest(rows: Any) -> None:
        rows.digest.reshape(len(rows.digest), -1)[0, 0] ^= 1

    assert "digest: 0, limb 0" in traces.forged(digest).places

    def unreduced(rows: Any) -> None:
        """A sum that is not reduced: its limb is no limb, or its byte no byte."""
        carried = np.flatnonzero(rows.carry[0, :, 1])
        word = int(carried[0])
        rows.carry[0, word, 1] -= 1
        rows.digest.reshape(*rows.digest.shape[:2], -1)[0, word, -1] += 1 << (16 if family is SHA256 else 8)

    assert ("range16" if family is SHA256 else "bitwise_bytes") in traces.forged(unreduced).places


@FAMILIES
def test_digests_of_other_blocks(family: Family) -> None:
    """Rounds of two blocks of one input each, whose results change places."""

    def lie(rows: Any) -> None:
        for name in ("worked", "digest", "carry"):
            cells = getattr(rows, name)
            cells[:2] = cells[:2][::-1].copy()

    assert family.bus in _honest(family, 50, 40).forged(lie).places


@FAMILIES
def test_other_bits_in_the_rounds(family: Family) -> None:
    """Each bit of each word that the rounds make is bound, the first and the last ones included."""
    traces = _honest(family, 50)
    for table in family.rounds:
        for name in {"word", "a", "e", "b"} & set(table.layout.parts):
            rows = traces.rows(table.name)
            last = getattr(rows, name).shape[1] - 1
            for cell in product(np.flatnonzero(rows.real), (0, 7, 16, last), (0, 31)):

                def lie(rows: Any, name: str = name, cell: tuple[Any, ...] = cell) -> None:
                    getattr(rows, name)[cell] ^= 1

                assert traces.forged(lie, table.name, follows=False).places


@FAMILIES
def test_rounds_in_another_order(family: Family) -> None:
    """A round of one block that stands for that of another."""

    def lie(rows: Any) -> None:
        ids = rows.id.copy()
        rows.id[:] = np.where(ids == 0, 1, 0) * (rows.real == 1)

    for table in family.rounds:
        assert family.bus in _honest(family, 50, 40).forged(lie, table.name, follows=False).places


@FAMILIES
def test_a_table_that_ends_within_an_input(family: Family) -> None:
    traces = _honest(family, 100, 130)
    cut = replace(traces, blocks=traces.blocks[:4])
    assert "the last row finishes its input" in family.answered(cut).places


@FAMILIES
def test_mutations_of_blocks_are_rejected(family: Family) -> None:
    traces = _honest(family, 5, 57, 100)
    report = mutate(family.circuit, traces.all, traces.publics, tables={family.blocks.name}, rows_per_table=8)
    assert report.tried["cell"] > 3_000
    assert not report.survivors, report


@FAMILIES
@pytest.mark.parametrize("length", [0, 3, 70])
def test_mutations_of_rounds_are_rejected(family: Family, length: int) -> None:
    """With and without padding rows."""
    traces = _honest(family, length)
    for table in family.rounds:
        report = mutate(family.circuit, traces.all, traces.publics, tables={table.name}, rows_per_table=4)
        assert report.tried["cell"] > 10_000
        assert not report.survivors, report


@FAMILIES
@pytest.mark.deep
def test_rounds_follow_from_their_messages(family: Family) -> None:
    """No cell can be another one with the same messages, nor with others that the table of limbs answers."""
    traces = _honest(family, 50)
    witnesses, rng = Witnesses(family.circuit, traces.all, traces.publics), np.random.default_rng(1)
    for table in family.rounds:
        found = witnesses.search(table.name, 0, rng, lookups="free")
        assert (found.determined, found.directions) == (found.cells, ()), table.name


@cache
def _key(family: Family) -> zkevm_native.ProvingKey:
    return zkevm_native.keygen(family.circuit.export(), 16)


@FAMILIES
def test_the_engine_proves_honest_digests(family: Family) -> None:
    key, traces = _key(family), _honest(family, 0, 50, 140)
    proof, _ = zkevm_native.prove(key, traces.all, traces.publics, 1)
    zkevm_native.verify(key.verifying_key(), proof)


@FAMILIES
def test_the_engine_rejects_a_false_digest(family: Family) -> None:
    traces = _honest(family, 50, 140).copy()
    traces.rows("digests").digest[0, 3] ^= 1
    key = _key(family)
    with pytest.raises(zkevm_native.EngineError):
        zkevm_native.verify(key.verifying_key(), zkevm_native.prove(key, traces.all, traces.publics, 1)[0])
