"""A range of memory as operands name it, for instructions that read it word by word: KECCAK256 and LOG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuits.air.expression import Expression, Operand
from circuits.air.field import MODULUS
from circuits.air.gadgets import range_check
from circuits.air.layout import Layout, element, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air
from circuits.batch.execution import Integers, ranges
from circuits.memory.buses import EXPANSION
from circuits.memory.expansion import expand
from circuits.widths import WORD_BYTES

_WORDS_PER_LIMB = (1 << 16) // WORD_BYTES
_INVERSE_WORD = pow(WORD_BYTES, -1, MODULUS)

#: Offset and size stay below 2^25 together with what the expansion bus knows: their upper limbs' sum is below 2^9.
_HIGH_BITS = 9


class MemoryRange(Layout):
    """`size` bytes from `offset` on, as two limbs each: how many words they make, and what the memory costs."""

    slack = limb("what is missing to the next multiple of 32 bytes", by="5-bit range check")
    words_after = element("words of memory afterwards", by="expansion bus")
    expansion = element("gas for a larger memory", by="expansion bus")

    @staticmethod
    def constrain(
        air: Air, cells: Any, offset: Sequence[Any], size: Sequence[Any], *, count: Operand, some: Operand
    ) -> tuple[Expression, Expression, Expression]:
        """Limbs must be pinned to 16 bits by their owners; the row has a state (`circuits.instructions.step.Step`).

        Args:
            count: 1 on real rows.
            some: 1 where the size is not 0; the size must be 0 elsewhere, where the offset does not matter.

        Returns:
            The words (rounded up), the size and the offset as integers, the last one where `some` is 1.
        """
        range_check(air, cells.slack, 5, count)
        # Below 2^17 both, so equal as integers: the low limb's share of the words, rounded up.
        low_words = (size[0] + cells.slack) * _INVERSE_WORD
        air.query(RANGE16, low_words, count=count)
        # The sum is below 2^17 and its 2^7-fold below 2^24, so both limbs are below 2^9, and the sum of offset and
        # size cannot wrap.
        air.query(RANGE16, (offset[1] + size[1]) * (1 << (16 - _HIGH_BITS)), count=some)
        whole_offset, whole_size = offset[0] + offset[1] * (1 << 16), size[0] + size[1] * (1 << 16)
        end = air.graph.lift(some) * (whole_offset + whole_size)
        air.query(EXPANSION, air.row.memory_words, end, cells.words_after, cells.expansion, count=count)
        return low_words + size[1] * _WORDS_PER_LIMB, whole_size, whole_offset

    @staticmethod
    def fill(cells: Any, before: Integers, offset: Integers, size: Integers) -> tuple[Integers, Integers]:
        """`before` (rows,): words of memory; `offset`, `size` in bytes. Returns words read, gas of the growth."""
        after, cost = expand(before, np.where(size == 0, 0, offset + size))
        cells.slack = -size % WORD_BYTES
        cells.words_after = after
        cells.expansion = cost
        return word_count(size), cost


def word_count(size: Integers) -> Integers:
    """Words that bytes make, rounded up."""
    return -(-size // WORD_BYTES)


def reads(size: Integers) -> tuple[Integers, Integers, Integers]:
    """The word by word reads of ranges of these sizes (n,), end to end.

    Returns:
        Number of the range, index of the word in it, bytes left before it; (reads,) each.
    """
    counts = word_count(size)
    owner = np.repeat(np.arange(len(size)), counts)
    index = ranges(np.zeros(len(size), dtype=np.int64), counts)
    return owner, index, size[owner] - WORD_BYTES * index
