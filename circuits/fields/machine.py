"""The tables of the machine, with what fills them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from circuits.air.field import Matrix
from circuits.air.table import Table
from circuits.fields import bits, equations, selections, words
from circuits.fields.buses import LIMBS
from circuits.programs.runs import Runs

#: Each table with what fills it from the instances of a segment.
TABLES: tuple[tuple[Table, Callable[[Runs], Matrix | None]], ...] = tuple(
    (table, partial(fill, limbs=limbs))
    for limbs in LIMBS
    for table, fill in (
        (equations.NARROW_TABLES[limbs], equations.fill_narrow),
        (equations.WIDE_TABLES[limbs], equations.fill_wide),
        (selections.SELECTED_TABLES[limbs], selections.fill),
        (bits.BIT_TABLES[limbs], bits.fill),
        (words.WORD_TABLES[limbs], words.fill),
    )
)
