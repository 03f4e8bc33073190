"""The range table: exactly the limbs, no others."""

from __future__ import annotations

import numpy as np

from circuits.air.checker import check_table
from circuits.air.layout import TraceView
from circuits.functions import range as range_table

NO_QUERIES = np.zeros(0, dtype=np.uint32)


def test_fill_counts_every_limb() -> None:
    matrix = range_table.RANGE_16.fill(np.array([0, 0, 65535, 7, 64], dtype=np.uint32))
    counts = TraceView(range_table.Columns, matrix).multiplicity.reshape(-1)
    assert matrix.shape == (1024, 65)
    assert [int(counts[i]) for i in (0, 7, 64, 65535, 8)] == [2, 1, 1, 1, 0]
    assert not check_table(range_table.RANGE_16, matrix)


def test_a_value_outside_is_not_listed() -> None:
    assert not range_table.RANGE_16.fill(np.array([65536], dtype=np.uint32))[:, 1:].any()


def test_a_changed_list_is_rejected() -> None:
    for row, value in ((0, 1), (1023, 65536), (500, 70000)):
        matrix = range_table.RANGE_16.fill(NO_QUERIES)
        matrix[row, 0] = value
        assert check_table(range_table.RANGE_16, matrix)


def test_a_shorter_or_longer_list_is_rejected() -> None:
    matrix = range_table.RANGE_16.fill(NO_QUERIES)
    assert check_table(range_table.RANGE_16, matrix[:512])
    longer = np.concatenate([matrix, matrix])
    longer[:, 0] = np.arange(0, 131072, 64)
    assert check_table(range_table.RANGE_16, longer)
