"""The distinct inputs of a hash function in a segment, in the order in which its table holds them, block by block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from circuits.limbs import Limbs
from circuits.widths import WORD, WORD_BYTES

Integers = NDArray[np.int64]


class HashedWords(Protocol):
    """Named inputs whose words can be asked for."""

    def words(self, ids: Integers, index: Integers) -> Limbs:
        """The `index`-th 32 bytes (n, 16) of the inputs that `ids` (n,) name."""


@dataclass(frozen=True)
class HashInputs:
    """Distinct inputs; a subclass for each function says how long a block is, and the least padding.

    An input's id is the row of its first block.
    """

    data: tuple[bytes, ...]

    #: Bytes of a block, and bytes that are added to an input at least.
    block_bytes: ClassVar[int]
    least_padding: ClassVar[int]

    @classmethod
    def of(cls, inputs: Iterable[bytes]) -> Self:
        """The distinct ones among the inputs, in order of first occurrence."""
        return cls(tuple(dict.fromkeys(inputs)))

    @cached_property
    def lengths(self) -> Integers:
        """Bytes of each input (n,)."""
        return np.array([len(d) for d in self.data], dtype=np.int64)

    @cached_property
    def blocks(self) -> Integers:
        """Blocks of each input (n,), padding included."""
        return self.blocks_of(self.lengths)

    @classmethod
    def blocks_of(cls, lengths: Integers) -> Integers:
        """Blocks of inputs of so many bytes (n,), padding included."""
        return (lengths + cls.least_padding + cls.block_bytes - 1) // cls.block_bytes

    @cached_property
    def ids(self) -> Integers:
        """The id of each input (n,)."""
        return np.cumsum(self.blocks) - self.blocks

    @cached_property
    def id_of(self) -> dict[bytes, int]:
        """Ids by input."""
        return dict(zip(self.data, self.ids.tolist(), strict=True))

    @property
    def rows(self) -> int:
        """Blocks of all inputs together."""
        return int(self.blocks.sum())

    @cached_property
    def message(self) -> NDArray[np.uint8]:
        """The inputs' bytes, zero-filled to whole blocks: (rows, block_bytes)."""
        padding = self.blocks * self.block_bytes - self.lengths
        data = b"".join(d + bytes(k) for d, k in zip(self.data, padding.tolist(), strict=True))
        return np.frombuffer(data, dtype=np.uint8).reshape(-1, self.block_bytes)

    def words(self, ids: Integers, index: Integers) -> Limbs:
        """The `index`-th 32 bytes of inputs, zeros behind their ends, and for ids that no input has.

        Args:
            ids: (n,) names of inputs.
            index: (n,) which word of each.

        Returns:
            (n, 16) big-endian words as little-endian limbs.
        """
        cells = np.zeros((len(ids), WORD_BYTES), dtype=np.uint8)
        if self.data:
            number = np.searchsorted(self.ids, ids, side="right") - 1
            known = self.ids[np.maximum(number, 0)] == ids
            place = index[:, None] * WORD_BYTES + np.arange(WORD_BYTES)
            inside = known[:, None] & (place < self.lengths[number][:, None])
            start = np.broadcast_to((ids * self.block_bytes)[:, None], place.shape)
            cells[inside] = self.message.reshape(-1)[(start + place)[inside]]
        words: Limbs = cells.view(">u2").reshape(len(ids), WORD)[:, ::-1].astype(np.uint16)
        return words


def asked_of(function: int, messages: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Those queries on hash_word or hash_out (n, fields) that one function answers, without that field."""
    return messages[messages[:, 0] == function, 1:]
