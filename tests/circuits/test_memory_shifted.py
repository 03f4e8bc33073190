"""Requests for 32 bytes from even offsets, whose limbs move as they are."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.air.field import MODULUS
from circuits.air.layout import TraceView
from circuits.batch.execution import Execution
from circuits.memory.memory_parts import COMPONENTS as PARTS
from circuits.memory.memory_shifted import COMPONENTS, ReadColumns, WriteColumns
from tests.circuits.family import fill_family, mutate_family
from tests.circuits.memory_family import FAMILY, WORD, objections, put, run


@cache
def execution() -> Execution:
    """Every even place in a word, read and written over what stood there, and words further away."""
    places = [*range(2, 32, 2), 2**16 - 30, 2**17 + 6]
    programs = [f"{WORD} {place} mstore {place} mload pop" for place in places]
    return run(f"{WORD} 0 mstore {WORD} 32 mstore " + " ".join(programs))


def test_honest() -> None:
    assert objections(execution()) == set()
    read, write = fill_family(COMPONENTS, execution())
    assert read is not None
    assert write is not None
    assert int(read[:, 0].sum()) == int(write[:, 0].sum()) == 17
    rows = TraceView(ReadColumns, read)
    assert (rows.request[:17] == rows.request[0]).all()
    assert fill_family(PARTS, execution()) == [None]


def test_other_requests_are_not_made_here() -> None:
    other = run(f"{WORD} 1 mstore 31 mload pop 64 mload pop 5 2 mstore8 31 2 sha3 pop 30 4 sha3 pop")
    assert fill_family(COMPONENTS, other) == [None, None]


def test_mutations() -> None:
    short = run(f"{WORD} 0 mstore {WORD} 6 mstore {WORD} 64 mstore 30 mload 34 mload pop pop {WORD} 62 mstore")
    report = mutate_family(FAMILY, short, rows_per_table=8)
    assert report.survivors == [], str(report)


def test_a_word_of_its_own() -> None:
    """Offset 4 as the beginning of a word: such a word has no row in the memory table."""

    def lie(rows: Any) -> None:
        index = pow(16, -1, MODULUS)  # 2 bytes behind a multiple of 32, which skips a limb
        put(rows, 0, index=index, first=np.zeros(16), second=np.zeros(16), then=np.full(2, rows.time[0] - 1))

    found = objections(run(f"{WORD} 0 mstore 4 mload pop"), memory_read_shifted=lie)
    assert "open memory" in found


def test_another_place() -> None:
    """The limbs behind the next one, or the same ones called another offset."""

    def shift(rows: Any) -> None:
        rows.skipped[0] = np.roll(rows.skipped[0], 1)

    def shift_all(rows: Any) -> None:
        shift(rows)
        window = [*rows.first[0, ::-1], *rows.second[0, ::-1]]
        rows.request[0] = window[3:19][::-1]

    honest = run(f"{WORD} 0 mstore {WORD} 32 mstore 4 mload pop")
    assert "open memory_bytes" in objections(honest, memory_read_shifted=shift)
    assert objections(honest, memory_read_shifted=shift_all) == {"open memory_bytes"}


def test_bytes_that_are_not_there() -> None:
    def lie(rows: Any) -> None:
        rows.request[0, 3] += 1

    assert "limb 12 of the request" in objections(execution(), memory_read_shifted=lie)


@pytest.mark.parametrize(("cell", "limb", "number"), [("first_after", 15, 0), ("second_after", 14, 17)])
def test_a_write_that_changes_what_is_around(cell: str, limb: int, number: int) -> None:
    """The limb before the request, and the one behind it, of a write from limb 1 on."""

    def lie(rows: Any) -> None:
        assert rows.skipped[0, 0] == 1
        getattr(rows, cell)[0, limb] += 1

    assert f"limb {number} of the words" in objections(execution(), memory_write_shifted=lie)


def test_a_write_that_writes_nothing() -> None:
    def lie(rows: Any) -> None:
        rows.first_after[0], rows.second_after[0] = rows.first[0], rows.second[0]

    found = objections(execution(), memory_write_shifted=lie)
    assert {f"limb {k} of the words" for k in range(1, 17)} <= found


def test_a_second_word_from_another_place() -> None:
    """A token of the first word for the second one."""

    def lie(rows: Any) -> None:
        rows.second[0] = rows.first[0]
        window = [*rows.first[0, ::-1], *rows.second[0, ::-1]]
        rows.request[0] = window[2:18][::-1]

    found = objections(run(f"{WORD} 0 mstore 4 mload pop"), memory_read_shifted=lie)
    assert "open memory" in found


def test_costs() -> None:
    """Far below a request of `memory_parts`."""
    parts = PARTS[0].table
    for component, layout in zip(COMPONENTS, (ReadColumns, WriteColumns), strict=True):
        assert component.table.layout is layout
        assert 2 * len(component.table.air.interactions) < len(parts.air.interactions)
        assert 3 * layout.width < 2 * parts.layout.width
