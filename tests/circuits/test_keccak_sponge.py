"""The Keccak-256 sponge: against pycryptodome, and what a dishonest prover may try."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import zkevm_native
from Crypto.Hash import keccak as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.air.checker import check_circuit
from circuits.air.mutation import mutate
from circuits.functions import keccak_sponge
from circuits.functions.buses import HASH_OUT, HASH_WORD, KECCAK256_FUNCTION
from tests.circuits.keccak_circuit import Traces, circuit, findings, forge, honest, messages, places, word_limbs

LENGTHS = (0, 1, 31, 32, 33, 134, 135, 136, 137, 138, 271, 272, 273, 407, 408, 543, 544, 545, 680, 1000)


def _data(length: int, seed: int = 0) -> bytes:
    return np.random.default_rng([length, seed]).bytes(length)


def _digest(data: bytes) -> bytes:
    return reference.new(digest_bits=256, data=data).digest()


def _honest(*lengths: int) -> Traces:
    return honest([_data(length) for length in lengths], _digest)


def test_words_per_phase() -> None:
    assert keccak_sponge.FIRST_WORD == (0, 5, 9, 13)
    assert keccak_sponge.WORDS == (5, 4, 4, 4)


def test_all_lengths_are_accepted_by_the_independent_checker() -> None:
    traces = _honest(*LENGTHS)
    assert not check_circuit(circuit(), traces.all, [[]] * 5)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_any_inputs(data: list[bytes]) -> None:
    assert not findings(honest(data, _digest))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=1500))
def test_everything_provided_is_true(data: bytes) -> None:
    inputs = keccak_sponge.Inputs.of([b"other", data, b"another"])
    start = inputs.id_of[data]
    words = np.array([(start, i) for i in range((len(data) + 31) // 32)], dtype=np.uint32).reshape(-1, 2)
    matrix = keccak_sponge.fill(inputs, words, np.array([start] * 3, dtype=np.uint32)).matrix
    minus_one, minus_three = 2013265920, 2013265918
    assert sorted(messages(keccak_sponge.Keccak(), matrix, HASH_WORD)) == [
        (minus_one, [KECCAK256_FUNCTION, start, i, *word_limbs(data[32 * i : 32 * i + 32].ljust(32, b"\0"))])
        for i in range(len(words))
    ]
    assert messages(keccak_sponge.Keccak(), matrix, HASH_OUT) == [
        (minus_three, [KECCAK256_FUNCTION, start, len(data), *word_limbs(_digest(data))])
    ]


def test_equal_inputs_are_hashed_once() -> None:
    data = _data(200)
    inputs = keccak_sponge.Inputs.of([data, b"", data])
    assert inputs.data == (data, b"")
    assert inputs.rows == 3
    assert not findings(honest([data, b"", data], _digest))


def test_words_behind_the_end_are_zero_even_where_the_next_input_begins() -> None:
    """The fifth word of a first block reaches into the successor row, here another input."""
    traces = _honest(130, 140)
    rows = traces.rows("words")
    claim = next(r for r in range(len(rows.id)) if (rows.id[r], rows.index[r]) == (0, 4))
    assert not rows.word[claim, :15].any()
    rows.word[claim] = word_limbs(_data(130)[128:] + b"\0" * 6 + _data(140)[:24])
    assert places(traces) == {"hash_word"}


@pytest.mark.parametrize("column", ["id", "index", "word"])
def test_false_claims_about_content(column: str) -> None:
    traces = _honest(200, 7)
    getattr(traces.rows("words"), column)[1] += 1
    assert places(traces) == {"hash_word"}


@pytest.mark.parametrize("column", ["id", "length", "digest"])
def test_false_claims_about_digests(column: str) -> None:
    traces = _honest(200, 7)
    getattr(traces.rows("digests"), column)[0] += 1
    assert places(traces) == {"hash_out"}


def test_swapped_digests() -> None:
    traces = _honest(50, 60)
    rows = traces.rows("digests")
    rows.digest = rows.digest[::-1].copy()
    assert places(traces) == {"hash_out"}

    def swap(traces: Traces) -> None:
        rows = traces.rows("keccak")
        for name in ("digest", "digest_xor", "rest"):
            cells = getattr(rows, name)
            cells[:2] = cells[:2][::-1].copy()

    assert "keccak_f" in places(forge(_honest(50, 60), swap))


def _sponge(change: Callable[[Any], None]) -> Callable[[Traces], None]:
    return lambda traces: change(traces.rows("keccak"))


def _later_end(rows: Any) -> None:
    """Claim one byte more, a zero, without hashing it."""
    rows.end_byte[0] = np.roll(rows.end_byte[0], 1)


def _no_start(rows: Any) -> None:
    rows.end_lane[2] = 0
    rows.end_byte[2] = 0


def _two_starts(rows: Any) -> None:
    rows.end_lane[0, 9] = 1


def _two_starts_in_one_lane(rows: Any) -> None:
    rows.end_byte[0, 7] = 1


def _bytes_behind_the_end(rows: Any) -> None:
    """Hash more than the length tells."""
    rows.message[0, 60] = 1
    rows.state[0, 60] ^= 1


def _no_last_bit(rows: Any) -> None:
    rows.state[0, 135] ^= 0x80


def _start_bit_in_the_message(rows: Any) -> None:
    """Pad with the message's own byte and no flag."""
    rows.message[0, 50] = 1
    rows.end_byte[0] = 0


def _end_on_padding(rows: Any) -> None:
    rows.end_lane[3, 0] = 1
    rows.end_byte[3, 0] = 1


@pytest.mark.parametrize(
    ("lie", "place"),
    [
        (_later_end, "bitwise_bytes"),
        (_no_start, "an unfinished input goes on"),
        (_two_starts, "end lane: exactly one flag or none is a bit"),
        (_two_starts_in_one_lane, "end byte: exactly one flag"),
        (_bytes_behind_the_end, "message byte 60 is zero behind the end"),
        (_no_last_bit, "bitwise_bytes"),
        (_start_bit_in_the_message, "end byte: exactly one flag"),
        (_end_on_padding, "padding rows end nothing"),
    ],
)
def test_false_padding(lie: Callable[[Any], None], place: str) -> None:
    """One input of 50 bytes, one of two blocks, a padding row."""
    forged = forge(_honest(50, 140), _sponge(lie))
    assert place in places(forged)


def test_a_true_hash_of_a_longer_input_has_another_length() -> None:
    """Moving the padding consistently is honest work for other data, which the claims do not name."""

    def move(traces: Traces) -> None:
        other = _honest(51)
        traces.keccak[0] = other.keccak[0]

    traces = forge(honest([_data(51)[:50]], _digest), move)
    assert places(traces) == {"hash_out", "hash_word"}


def _forget_the_state(rows: Any) -> None:
    """Hash the second block as if it were alone."""
    rows.state[1] ^= rows.before[1].astype(np.uint32)
    rows.before[1] = 0
    rows.capacity[1] = 0


def _other_initial_state(rows: Any) -> None:
    rows.before[0, 3] = 5
    rows.state[0, 3] ^= 5


def _initial_capacity(rows: Any) -> None:
    rows.capacity[0, 2, 1] = 9


def _capacity_between_blocks(rows: Any) -> None:
    rows.capacity[1, 0, 0] += 1


def _state_from_another_input(rows: Any) -> None:
    """Start the input behind a finished one from its state."""
    rows.before[2, :32] = rows.digest[1]
    rows.state[2, :32] ^= rows.digest[1]


def _no_bytes(rows: Any) -> None:
    """Two cells with the same chunk that are no bytes."""
    rows.before[1, 0] += 256
    rows.before[1, 1] -= 1
    rows.state[1, 0] += 256


def _no_digest_bytes(rows: Any) -> None:
    rows.digest[1, 0] += 256
    rows.digest[1, 1] -= 1


@pytest.mark.parametrize(
    ("lie", "place"),
    [
        (_forget_the_state, "goes on from the permuted state: lane 0, chunk 0"),
        (_other_initial_state, "starts from zero: lane 0, chunk 1"),
        (_initial_capacity, "starts from zero: lane 19, chunk 1"),
        (_capacity_between_blocks, "goes on from the permuted state: lane 17, chunk 0"),
        (_state_from_another_input, "goes on from the permuted state: lane 0, chunk 0"),
        (_no_bytes, "bitwise_bytes"),
        (_no_digest_bytes, "bitwise_bytes"),
    ],
)
def test_false_chaining(lie: Callable[[Any], None], place: str) -> None:
    """An input of two blocks, one of one."""
    assert place in places(forge(_honest(200, 50), _sponge(lie)))


def _reuse_id(rows: Any) -> None:
    rows.id[2] = rows.id[1]


def _fresh_id_within(rows: Any) -> None:
    """Make the second block look like an input of its own."""
    rows.id[1] = 1


def _repeat_row_number(rows: Any) -> None:
    """Two permutations under one id, whose outputs could be exchanged."""
    rows.row[2] = 1
    rows.id[2] = 1


def _first_row_number(rows: Any) -> None:
    rows.row += 7
    rows.id += 7


def _digest_in_the_middle(rows: Any) -> None:
    """Provide the state after the first block as a digest."""
    rows.out_count[0] = 1


def _word_that_does_not_begin_here(rows: Any) -> None:
    rows.word_count[1, 4] = 1


def _word_on_padding(rows: Any) -> None:
    rows.word_count[3, 0] = 1


def _wrong_phase(rows: Any) -> None:
    rows.phase[1] = [1, 0, 0, 0]


def _wrong_first_phase(rows: Any) -> None:
    rows.phase[0] = [0, 1, 0, 0]


def _two_phases(rows: Any) -> None:
    rows.phase[0] = [1, 1, 0, 0]


def _phase_kept_over_the_end(rows: Any) -> None:
    rows.phase[2] = [0, 0, 1, 0]


def _input_behind_padding(rows: Any) -> None:
    rows.phase[2] = 0


@pytest.mark.parametrize(
    ("lie", "place"),
    [
        (_reuse_id, "a new input takes its row as id"),
        (_fresh_id_within, "an input keeps its id"),
        (_repeat_row_number, "row numbers step by 1"),
        (_first_row_number, "row numbers start at 0"),
        (_digest_in_the_middle, "only last blocks have a digest"),
        (_word_that_does_not_begin_here, "word 4 begins only in some phases"),
        (_word_on_padding, "word 0 begins only in some phases"),
        (_wrong_phase, "phase 1 follows phase 0 within an input"),
        (_wrong_first_phase, "the first row is not in phase 1"),
        (_two_phases, "phase: exactly one flag or none is a bit"),
        (_phase_kept_over_the_end, "phase 2 follows phase 1 within an input"),
        (_input_behind_padding, "padding rows end nothing"),
    ],
)
def test_false_order(lie: Callable[[Any], None], place: str) -> None:
    """Inputs of two blocks and of one, then a padding row."""
    assert place in places(forge(_honest(200, 50), _sponge(lie)))


def test_an_input_behind_padding() -> None:
    def move(traces: Traces) -> None:
        traces.keccak = np.zeros_like(traces.keccak[[0, 0]])
        traces.keccak[1] = _honest(50).keccak[0]
        rows = traces.rows("keccak")
        rows.row, rows.id = [0, 1], [0, 1]

    assert "padding stays padding" in places(forge(_honest(50), move))


def test_a_table_that_ends_within_an_input() -> None:
    def cut(traces: Traces) -> None:
        traces.keccak = traces.keccak[:2]

    forged = forge(_honest(300), cut)
    assert "the last row finishes its input" in places(forged)


def test_an_honest_but_empty_table_is_accepted() -> None:
    matrix = keccak_sponge.fill(keccak_sponge.Inputs(()), np.zeros((0, 2), np.uint32), np.zeros(0, np.uint32)).matrix
    assert matrix.shape == (1, keccak_sponge.Columns.width)
    assert not messages(keccak_sponge.Keccak(), matrix, HASH_OUT)


def test_unanswered_queries_unbalance_the_bus() -> None:
    inputs = keccak_sponge.Inputs.of([_data(50)])
    filled = keccak_sponge.fill(inputs, np.array([[0, 5], [3, 0]], np.uint32), np.array([3], np.uint32))
    assert not messages(keccak_sponge.Keccak(), filled.matrix, HASH_WORD)
    assert not messages(keccak_sponge.Keccak(), filled.matrix, HASH_OUT)


def test_mutations_are_rejected() -> None:
    report = mutate(circuit(), _honest(5, 140, 272).all, [[]] * 5, tables={"keccak"})
    assert report.tried["cell"] > 5_000
    assert not report.survivors, report


@cache
def _key() -> zkevm_native.ProvingKey:
    return zkevm_native.keygen(circuit().export(), 16)


def test_the_engine_proves_honest_digests() -> None:
    proof, _ = zkevm_native.prove(_key(), _honest(50, 140).all, [[]] * 5, 1)
    zkevm_native.verify(_key().verifying_key(), proof)


def test_the_engine_rejects_a_false_digest() -> None:
    traces = _honest(50, 140)
    traces.rows("digests").digest[0, 3] ^= 1
    with pytest.raises(zkevm_native.EngineError):
        zkevm_native.verify(_key().verifying_key(), zkevm_native.prove(_key(), traces.all, [[]] * 5, 1)[0])
