"""Equal rows of an array, of which tables that answer have one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Distinct(NamedTuple):
    """The distinct rows of an array (n, k).

    Attributes:
        rows: (m, k), in lexicographic order.
        counts: how many are equal to each, (m,).
        place: of each row of the array its own among them, (n,).
    """

    rows: NDArray[np.uint32]
    counts: NDArray[np.int64]
    place: NDArray[np.int64]


def distinct_rows(rows: NDArray[np.uint32]) -> Distinct:
    """What `numpy.unique` gives of axis 0, in a fraction of its time."""
    import zkevm_native  # which those do without who only verify

    first, counts, place = zkevm_native.distinct_rows(np.ascontiguousarray(rows))
    return Distinct(rows[first], counts, place)
