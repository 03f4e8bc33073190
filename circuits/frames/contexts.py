"""Contexts: who knows the words that instructions ask for by their opcodes (see `circuits.frames.buses.CONTEXT`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Kinds of contexts (see `circuits.frames.buses.CONTEXT_OF`).
FRAME_CONTEXT, TRANSACTION_CONTEXT, BLOCK_CONTEXT = 0, 1, 2
#: What CONTEXT_OF tells beside: 1 of the frame of a creation, 0 of others.
CREATION = 3

#: Stands for an opcode where something is asked for that no instruction pushes as it is: the buffer of a transaction's
#: blob hashes and their number. No byte of a code is one of them.
BLOBS = 0x101


def count_by(ids: NDArray[np.integer[Any]], rows: int) -> NDArray[np.int64]:
    """How often each of the ids 0 .. rows - 1 occurs, (rows,). Others have no row to answer and unbalance their bus."""
    return np.bincount(ids[ids < rows].astype(np.int64), minlength=rows)


def context_counts(asked: NDArray[np.uint32], opcodes: Sequence[int], rows: int) -> NDArray[np.int64]:
    """How often each opcode is queried of each id, (rows, opcodes), of queries on the context bus of one kind."""
    return np.stack([count_by(asked[asked[:, 2] == opcode, 1], rows) for opcode in opcodes], axis=1)
