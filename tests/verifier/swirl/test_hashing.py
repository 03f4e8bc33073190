"""The transcript and Merkle openings, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.functions.poseidon2 import permute_state
from verifier.errors import Invalid
from verifier.swirl.hashing import RATE, Transcript, check_openings, compress, hash_rows


def test_what_is_observed_overwrites_the_rate() -> None:
    transcript = Transcript()
    transcript.observe(*range(1, 11))
    state = permute_state([*range(1, 9), *[0] * 8])
    state = permute_state([9, 10, *state[2:]])
    assert [transcript.sample() for _ in range(RATE)] == state[:RATE][::-1]
    state = permute_state(state)
    assert transcript.sample() == state[RATE - 1]


def test_samples_before_an_observation_are_not_given_after_it() -> None:
    """What is left of a block is forgotten when something is observed."""
    one, other = Transcript(), Transcript()
    for transcript in (one, other):
        transcript.observe(5)
        transcript.sample()
    one.observe(6)
    other.observe(7)
    assert one.sample() != other.sample()


def test_sampled_bits_are_the_lowest() -> None:
    one, other = Transcript(), Transcript()
    assert one.sample_bits(9) == other.sample() % 512


def test_work_is_checked() -> None:
    passing = []
    for witness in range(64):
        try:
            Transcript().check_work(3, witness, "nothing")
        except Invalid:
            continue
        passing.append(witness)
        reference = Transcript()
        reference.observe(witness)
        assert reference.sample_bits(3) == 0
    assert 0 < len(passing) < 32
    Transcript().check_work(0, 1, "nothing")


@pytest.mark.parametrize("width", [1, 7, 8, 9, 16, 21])
def test_rows_are_hashed_without_padding(width: int) -> None:
    rows = np.random.default_rng(width).integers(MODULUS, size=(3, width), dtype=np.uint32)
    for row, digest in zip(rows, hash_rows(rows), strict=True):
        state = [0] * 16
        for start in range(0, width, 8):
            block = row[start : start + 8].tolist()
            state = permute_state([*block, *state[len(block) :]])
        assert digest.tolist() == state[:8]


class TestOpenings:
    """A tree over 16 groups of 4 rows."""

    rng = np.random.default_rng(1)
    groups = rng.integers(MODULUS, size=(16, 4, 5), dtype=np.uint32)
    indices = np.array([0, 5, 15, 5])

    def levels(self) -> list[np.ndarray]:
        digests = hash_rows(self.groups.reshape(64, 5))
        levels = []
        while len(digests) > 1:
            if len(digests) <= 16:
                levels.append(digests)
            digests = compress(digests[::2], digests[1::2])
        return [*levels, digests]

    def opened(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        *levels, root = self.levels()
        paths = np.stack([level[(self.indices >> i) ^ 1] for i, level in enumerate(levels)], axis=1)
        return root[0], self.groups[self.indices], paths

    def test_leaves_are_accepted(self) -> None:
        root, leaves, paths = self.opened()
        check_openings(root, self.indices, leaves, paths)

    def test_whatever_is_changed_is_refused(self) -> None:
        root, leaves, paths = self.opened()
        for array in (root, leaves, paths):
            changed = array.copy()
            changed.flat[self.rng.integers(array.size)] ^= 1
            arguments = [changed if a is array else a for a in (root, leaves, paths)]
            with pytest.raises(Invalid, match="not a leaf"):
                check_openings(arguments[0], self.indices, *arguments[1:])
        with pytest.raises(Invalid, match="not a leaf"):
            check_openings(root, self.indices ^ 1, leaves, paths)
