"""Codes that creations return: how large they may be, and the time that storing one takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.widths import WORD_BYTES
from executor.trace import Outcome


def deposit_words(
    sizes: NDArray[np.integer[Any]], outcomes: NDArray[np.integer[Any]], max_code: int
) -> NDArray[np.int64]:
    """Units of time beyond the first one (n,) that RETURN takes in creations: one for each read of memory.

    A code that is stored is read word by word, and of one with a reserved first byte (EIP-3541) that byte.

    Args:
        sizes: bytes that are returned.
        outcomes: how the frames end.
        max_code: bytes of a code at most (EIP-170).
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    reserved = (outcomes == Outcome.RESERVED_CODE) & (sizes <= max_code)
    words: NDArray[np.int64] = np.where(outcomes == Outcome.SUCCESS, -(-sizes // WORD_BYTES), reserved)
    return words
