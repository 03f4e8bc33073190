"""What precompiles cost, how long they take, and where in their frame's memory they leave what they return.

A precompile copies its input into the memory of its own frame, a word a unit of time. A hash reads it there again, and
is written behind it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

SHA256, RIPEMD160, IDENTITY = 2, 3, 4
#: Its memory, time and output follow from its input: `circuits.batch.modexp_plan`.
MODEXP = 5

#: Precompiles that are called by the rows of `circuits.precompiles.hashes`.
PROVED = (SHA256, RIPEMD160, IDENTITY)

#: Gas of each, and gas for each word of its input. Source: cancun/vm/gas.py.
GAS = {SHA256: (60, 12), RIPEMD160: (600, 120), IDENTITY: (15, 3)}

_WORD_BYTES = 32


def precompile_gas(number: Integers, size: Integers) -> Integers:
    """Gas (n,) that precompiles cost for inputs of `size` (n,) bytes."""
    base, each = (np.array([GAS[n][k] for n in number.tolist()], dtype=np.int64) for k in range(2))
    return base + each * -(-size // _WORD_BYTES)


def precompile_duration(number: Integers, size: Integers, paid: NDArray[np.bool_]) -> Integers:
    """Time (n,) that precompiles take for inputs of `size` (n,) bytes; none if they lack gas."""
    words = -(-size // _WORD_BYTES)
    return np.where(paid, np.where(number == IDENTITY, words, 2 * words + 1), 0)


def precompile_output(number: Integers, size: Integers) -> tuple[Integers, Integers]:
    """First byte and bytes (n,) of what they return, in their frame's memory."""
    start = np.where(number == IDENTITY, 0, -(-size // _WORD_BYTES) * _WORD_BYTES)
    return np.where(size == 0, start * (number != IDENTITY), start), np.where(number == IDENTITY, size, _WORD_BYTES)
