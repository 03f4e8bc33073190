"""Poseidon2: the permutation against the engine's own, the compression and its table."""

from __future__ import annotations

import numpy as np
import pytest
import zkevm_native

from circuits.air.checker import check_table
from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.functions import poseidon2
from circuits.functions import poseidon2_constants as constants


def _random(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, MODULUS, (rows, 16), dtype=np.uint32)


EDGES = np.array([[0] * 16, [MODULUS - 1] * 16, list(range(16)), [1] + [0] * 15], dtype=np.uint32)


def test_permutation_is_the_engines() -> None:
    for states in (EDGES, _random(500)):
        np.testing.assert_array_equal(poseidon2.permute(states), zkevm_native.poseidon2_permute(states))


def test_constants_are_the_engines() -> None:
    theirs = zkevm_native.poseidon2_constants()
    np.testing.assert_array_equal(constants.EXTERNAL_INITIAL, theirs["external_initial"])
    np.testing.assert_array_equal(constants.INTERNAL, theirs["internal"])
    np.testing.assert_array_equal(constants.EXTERNAL_FINAL, theirs["external_final"])


def test_compression_feeds_the_input_forward() -> None:
    states = _random(50)
    expected = (poseidon2.permute(states)[:, :8].astype(np.uint64) + states[:, :8]) % MODULUS
    np.testing.assert_array_equal(poseidon2.compress(states[:, :8], states[:, 8:]), expected)


def test_a_chain_compresses_block_by_block() -> None:
    start, blocks = _random(1)[0, :8], _random(5, seed=1)[:, :8]
    state = start[None]
    for block, after in zip(blocks, poseidon2.compress_chain(start, blocks), strict=True):
        state = poseidon2.compress(state, block[None])
        np.testing.assert_array_equal(after[None], state)
    assert poseidon2.compress_chain(start, blocks[:0]).shape == (0, 8)


def test_table_accepts_honest_rows_and_counts_repetitions() -> None:
    queries = np.concatenate([_random(20), _random(20)[:5], EDGES])
    matrix = poseidon2.fill(queries)
    view = TraceView(poseidon2.Columns, matrix)
    assert not check_table(poseidon2.Poseidon2(), matrix)
    assert matrix.shape == (32, 291)
    assert int(view.multiplicity.sum()) == len(queries)
    assert sorted(view.multiplicity[view.multiplicity > 1]) == [2] * 5


@pytest.mark.parametrize("column", ["input", "full_cube", "full_state", "partial_cube", "partial_out", "output"])
def test_table_rejects_any_wrong_step(column: str) -> None:
    matrix = poseidon2.fill(_random(4))
    cells = getattr(TraceView(poseidon2.Columns, matrix), column)
    cells[2] = (cells[2].astype(np.uint64) + 1) % MODULUS
    findings = check_table(poseidon2.Poseidon2(), matrix)
    assert findings
    assert {f.row for f in findings} == {2}  # type: ignore[union-attr]


def test_table_of_no_queries_is_padding() -> None:
    matrix = poseidon2.fill(np.zeros((0, 16), dtype=np.uint32))
    assert matrix.shape[0] == 1
    assert not check_table(poseidon2.Poseidon2(), matrix)
