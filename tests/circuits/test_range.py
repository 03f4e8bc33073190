"""The range table: exactly the limbs, no others."""

from __future__ import annotations

import numpy as np

from circuits import range as range_table
from circuits.air.checker import check_table
from circuits.air.layout import TraceView


def test_fill_counts_every_limb() -> None:
    matrix = range_table.fill(np.array([0, 0, 65535, 7], dtype=np.uint32))
    view = TraceView(range_table.Columns, matrix)
    assert matrix.shape == (65536, 2)
    assert [int(view.multiplicity[i]) for i in (0, 7, 65535, 8)] == [2, 1, 1, 0]
    assert not check_table(range_table.Range16(), matrix)


def test_a_value_outside_is_not_listed() -> None:
    matrix = range_table.fill(np.array([65536], dtype=np.uint32))
    assert not matrix[:, 1].any()


def test_a_changed_list_is_rejected() -> None:
    for row, value in ((0, 1), (65535, 65536), (1000, 70000)):
        matrix = range_table.fill(np.zeros(0, dtype=np.uint32))
        matrix[row, 0] = value
        assert check_table(range_table.Range16(), matrix)


def test_a_shorter_or_longer_list_is_rejected() -> None:
    matrix = range_table.fill(np.zeros(0, dtype=np.uint32))
    assert check_table(range_table.Range16(), matrix[:32768])
    longer = np.concatenate([matrix, matrix])
    longer[:, 0] = np.arange(131072)
    assert check_table(range_table.Range16(), longer)
