"""Distinct rows, against numpy's."""

from __future__ import annotations

import numpy as np
import pytest

from circuits.air.distinct import distinct_rows


@pytest.mark.parametrize("high", [2, 3, 1 << 16, 1 << 32])
@pytest.mark.parametrize("width", [1, 2, 3, 17])
@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_they_are_those_of_numpy(count: int, width: int, high: int) -> None:
    rows = np.random.default_rng([count, width, high]).integers(0, high, (count, width), dtype=np.uint32)
    found = distinct_rows(rows)
    wanted, place, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(found.rows, wanted)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_array_equal(found.place, place.reshape(-1))


def test_rows_may_be_columns_of_others() -> None:
    """What is asked is often some of the elements of messages."""
    rows = np.arange(40, dtype=np.uint32).reshape(8, 5) % 10
    found = distinct_rows(rows[:, 1:3])
    np.testing.assert_array_equal(found.rows, [[1, 2], [6, 7]])
    np.testing.assert_array_equal(found.counts, [4, 4])
