"""Poseidon2 as the protocol uses it: the transcript's sponge, and Merkle trees (https://eprint.iacr.org/2023/323)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from circuits.air.field import Matrix
from circuits.functions.poseidon2 import permute, permute_state
from circuits.functions.poseidon2_constants import WIDTH
from verifier.errors import Invalid
from verifier.swirl.field import DEGREE, Extension

RATE: Final = 8
DIGEST: Final = 8


class Transcript:
    """The Fiat-Shamir transcript: a duplex sponge in overwrite mode.

    (https://keccak.team/files/SpongeDuplex.pdf; overwriting: https://eprint.iacr.org/2008/263)

    What is observed overwrites the rate from its start; each full block is permuted. Samples are taken from the end of
    the rate, behind a permutation if anything was observed since the last one.
    """

    def __init__(self) -> None:
        self._state = [0] * WIDTH
        self._observed = 0
        self._left = 0

    def observe(self, *values: int) -> None:
        """Base elements, canonical."""
        for value in values:
            self._state[self._observed] = value
            self._observed += 1
            if self._observed == RATE:
                self._permute()

    def observe_array(self, elements: Extension | NDArray[np.uint64]) -> None:
        """An array of any shape in its order; of extension elements all coefficients."""
        cells = elements.cells if isinstance(elements, Extension) else elements
        self.observe(*cells.ravel().tolist())

    def sample(self) -> int:
        """A base element."""
        if self._observed or not self._left:
            self._permute()
        self._left -= 1
        return self._state[self._left]

    def sample_extension(self) -> Extension:
        """An element of the extension."""
        return Extension(np.array([self.sample() for _ in range(DEGREE)], dtype=np.uint64))

    def sample_bits(self, bits: int) -> int:
        """An integer below 2^bits."""
        return self.sample() & ((1 << bits) - 1)

    def check_work(self, bits: int, witness: int, what: str) -> None:
        """Check a proof of work: behind the witness, so many bits that are sampled are zero.

        Raises:
            Invalid: if they are not.
        """
        if not bits:
            return  # the witness means nothing then, and is not observed
        self.observe(witness)
        if self.sample_bits(bits):
            raise Invalid(f"the proof of work for {what} is none")

    def _permute(self) -> None:
        self._state = permute_state(self._state)
        self._observed = 0
        self._left = RATE


def hash_rows(rows: Matrix) -> Matrix:
    """Digests (n, 8) of rows (n, w) by the sponge without padding: all rows have the same length."""
    state = np.zeros((len(rows), WIDTH), dtype=np.uint32)
    for start in range(0, rows.shape[1], RATE):
        block = rows[:, start : start + RATE]
        state[:, : block.shape[1]] = block
        state = permute(state)
    return state[:, :DIGEST]


def compress(left: Matrix, right: Matrix) -> Matrix:
    """Digests (n, 8) of pairs: the truncated permutation.

    Enough inside of Merkle trees whose leaves are hashed (https://eprint.iacr.org/2026/089); the circuits' own
    compression has a feed-forward, because its inputs are free.
    """
    return permute(np.concatenate([left, right], axis=1))[:, :DIGEST]


def check_openings(root: Matrix, indices: NDArray[np.int64], leaves: Matrix, paths: Matrix) -> None:
    """Check that groups of rows are leaves of a Merkle tree.

    Args:
        root: (8,)
        indices: (q,) of the groups.
        leaves: (q, r, w) the r rows of each group, r a power of two.
        paths: (q, depth, 8) siblings from the group's digest to the root.

    Raises:
        Invalid: if one is not.
    """
    queries, size, width = leaves.shape
    digests = hash_rows(leaves.reshape(queries * size, width))
    while len(digests) > queries:
        digests = compress(digests[::2], digests[1::2])
    for level in range(paths.shape[1]):
        siblings = paths[:, level]
        is_right = (indices >> level & 1).astype(bool)[:, None]
        digests = compress(np.where(is_right, siblings, digests), np.where(is_right, digests, siblings))
    if (digests != root).any():
        raise Invalid("an opening is not a leaf of the committed Merkle tree")
