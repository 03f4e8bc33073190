"""What a type checker, and so an editor, knows of a layout's columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).resolve().parents[3]

CODE = """
from circuits.air import Air, C, Layout, Size, Table, bit, element, limb, nested
from circuits.air.derived import fill_derived
from circuits.air.gadgets import IsZero
from circuits.air.layout import allocate

class Base(Layout[C]):
    real = bit("selector")

class Columns(Base[C]):
    word = limb("a word", Size("limbs"), by="test")
    grid = element("a block", (2, 3), by="test")
    inner: IsZero[C] = nested(IsZero)

class Sample(Table[Columns]):
    def constraints(self, air: Air[Columns]) -> None:
        reveal_type(air.row.real)
        reveal_type(air.next.word)
        reveal_type(air.row.grid)
        reveal_type(air.row.inner.zero)
        air.row.words
        air.row.inner.zeros
        air.row.real = 1

class Other(Table[Columns]):
    def constraints(self, air: Air[Base]) -> None: ...

def fill(table: Sample) -> None:
    matrix, rows = allocate(Columns, 4, table.layout)
    reveal_type(rows.real)
    reveal_type(rows.word)
    reveal_type(rows.inner.zero)
    rows.real = 1
    rows.word = [[1, 2]]
    rows.word[0] = 1
    rows.words = 1
    fill_derived(rows)

class Plain(Layout):
    word = limb("of a layout without the parameter", 2, by="test")

def fill_plain() -> None:
    matrix, rows = allocate(Plain, 4)
    reveal_type(rows.word)

Sample("small", Columns.sized(limbs=2)).constraints
Sample("small", Plain)
"""

ARRAY = "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.unsignedinteger[numpy._typing._nbit_base._32Bit]]]"
EXPRESSION = "circuits.air.expression.Expression"


@pytest.mark.deep  # a minute without mypy's cache
def test_columns_are_expressions_or_arrays(tmp_path: Path) -> None:
    path = tmp_path / "sample.py"
    path.write_text(CODE)
    cache = str(ROOT / ".mypy_cache")
    report, _, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", cache, str(path)])
    revealed = re.findall(r'Revealed type is "(.*)"', report)
    assert revealed == [
        EXPRESSION,
        f"tuple[{EXPRESSION}, ...]",
        f"tuple[tuple[{EXPRESSION}, ...], ...]",
        EXPRESSION,
        ARRAY,
        ARRAY,
        ARRAY,
        "Any",
    ]
    lines = CODE.split("\n")
    wrong = [lines[int(number) - 1].strip() for number in re.findall(r"sample.py:(\d+): error", report)]
    assert wrong == [
        "air.row.words",
        "air.row.inner.zeros",
        "air.row.real = 1",
        "def constraints(self, air: Air[Base]) -> None: ...",
        "rows.words = 1",
        'Sample("small", Plain)',
    ]
