"""What precompiles cost, how long they take, and where in their frame's memory they leave what they return.

A precompile copies its input into the memory of its own frame, a word a unit of time. A hash reads it there again, and
is written behind it. BLAKE2F reads its input where it lies, and writes its output to the beginning of its memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

SHA256, RIPEMD160, IDENTITY, BLAKE2F = 2, 3, 4, 9

#: Precompiles of the table `hash_precompiles`.
PROVED = (SHA256, RIPEMD160, IDENTITY)

#: Gas of each, and gas for each word of its input. Source: cancun/vm/gas.py.
GAS = {SHA256: (60, 12), RIPEMD160: (600, 120), IDENTITY: (15, 3)}

_WORD_BYTES = 32

#: Bytes that BLAKE2F takes and returns (EIP-152); words of these.
BLAKE2F_SIZE, BLAKE2F_OUTPUT = 213, 64
BLAKE2F_READS, BLAKE2F_WRITES = 7, 2


def precompile_gas(number: Integers, size: Integers) -> Integers:
    """Gas (n,) that precompiles cost for inputs of `size` (n,) bytes."""
    base, each = (np.array([GAS[n][k] for n in number.tolist()], dtype=np.int64) for k in range(2))
    return base + each * -(-size // _WORD_BYTES)


def precompile_duration(number: Integers, size: Integers, paid: NDArray[np.bool_]) -> Integers:
    """Time (n,) that precompiles take for inputs of `size` (n,) bytes; none if they fail.

    But BLAKE2F reads why it fails, its gas or its flag, if the size is right.
    """
    words = -(-size // _WORD_BYTES)
    duration = np.where(paid, np.where(number == IDENTITY, words, 2 * words + 1), 0)
    blake2f = np.where(paid, BLAKE2F_READS + BLAKE2F_WRITES, size == BLAKE2F_SIZE)
    return np.where(number == BLAKE2F, blake2f, duration)


def precompile_output(number: Integers, size: Integers) -> tuple[Integers, Integers]:
    """First byte and bytes (n,) of what they return, in their frame's memory."""
    start = np.where(np.isin(number, (SHA256, RIPEMD160)), -(-size // _WORD_BYTES) * _WORD_BYTES, 0)
    return start, np.select([number == IDENTITY, number == BLAKE2F], [size, BLAKE2F_OUTPUT], _WORD_BYTES)
