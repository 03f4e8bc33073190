"""The highest bit of a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.gadgets.basic import one_hot, total
from circuits.air.layout import C, Layout, bit
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air

Integers = NDArray[np.int64]

_LIMBS = 16


class TopBit(Layout[C]):
    """The place of the highest bit of a word that is 1."""

    none = bit("1: the word is 0")
    at = bit("1 at the highest limb that is not 0", _LIMBS)
    bits = bit("1 at the highest bit of that limb", 16)

    @staticmethod
    def constrain(air: Air, cells: Any, word: Sequence[Any]) -> Expression:
        """The number of the bit, 0 for the word 0; `word`: limbs by their owner."""
        some = air.row.real - cells.none
        air.require(cells.none * (1 - air.row.real), "padding has no word")
        air.require(cells.none * total(list(word)), "the word is 0")
        one_hot(air, cells.at, some, "highest limb")
        one_hot(air, cells.bits, some, "highest bit")
        below = air.constant(0)
        for i in range(_LIMBS):
            air.require(below * word[i], f"limb {i} above the highest one is 0")
            below = below + cells.at[i]
        top = total([flag * x for flag, x in zip(cells.at, word, strict=True)])
        power = total([flag * (1 << i) for i, flag in enumerate(cells.bits)])
        # 2^i <= limb < 2^(i + 1).
        air.query(RANGE16, top - power, count=some)
        air.query(RANGE16, power * 2 - some - top, count=some)
        return total([flag * (16 * i) for i, flag in enumerate(cells.at)]) + total(
            [flag * i for i, flag in enumerate(cells.bits)]
        )

    @staticmethod
    def fill(cells: Any, values: Sequence[int]) -> Integers:
        """`values`: words (rows,) as integers. Returns the numbers of their highest bits."""
        tops = np.array([max(0, value.bit_length() - 1) for value in values], dtype=np.int64)
        some = np.flatnonzero([value > 0 for value in values])
        cells.none = 1
        cells.none[some] = 0
        cells.at[some, tops[some] // 16] = 1
        cells.bits[some, tops[some] % 16] = 1
        return tops
