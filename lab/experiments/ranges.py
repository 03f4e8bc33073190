"""What the second range table is worth: 15 bits by a table of their own, or by two looks at the table of 16 bits.

Today there are two. `range16` lists 0 to 65,535, for limbs; by a multiple it answers for fewer bits of what is known
to be a limb. `range15` lists 0 to 32,767 and is asked by one family alone: carries of the equations of the field
machine, with which ECRECOVER and the precompiles of curves are computed. A segment without such equations has no
`range15` at all.

In the variant a carry c is looked up twice in `range16`: as c, so that it is below 2^16 and 2 c is the same number in
the field and outside, and as 2 c, so that c is below 2^15.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from circuits.air.expression import Expression
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table
from circuits.component import Component
from circuits.functions.buses import RANGE15
from executor.forks import Fork
from lab.variant import Changes, Variant, rewritten
from scripts.batches.builder import Builder
from scripts.batches.precompiled import calls


def _looked_up_twice(table: Table, air: Air[Any]) -> None:
    """Every question to `range15` is two questions to `range16`."""
    asked = [i for i in air.interactions if i.bus is RANGE15 and not i.provides]
    air.interactions = [i for i in air.interactions if i not in asked]
    for interaction in asked:
        (carry,) = (Expression(air.graph, e.index) for e in interaction.message)
        for value in (carry, carry * 2):
            air.query(RANGE16, value, count=Expression(air.graph, interaction.count.index))


def _one_range_table(components: Mapping[str, Component]) -> Changes:
    others = [c for c in components.values() if c.table.name != RANGE15.name]
    twice = [(component, rewritten(component.table, _looked_up_twice)) for component in others]
    return Changes(
        replaced=tuple(replace(c, table=table) for c, table in twice if table is not c.table),
        removed=(RANGE15.name,),
    )


#: A sum and a pairing on alt_bn128, and an evaluation of a polynomial: programs of all tables of equations.
_PRECOMPILES = (6, 8, 10)


def sample(fork: Fork) -> dict[str, Any]:
    """A batch with programs of the field machine."""
    building = Builder(fork)
    building.block(
        *(
            building.transfer(0, number.to_bytes(20, "big"), 0, gas=300_000, data="0x" + data.hex())
            for number, data in calls(fork)
            if number in _PRECOMPILES
        )
    )
    return building.document


ONE_RANGE_TABLE = Variant(
    "one-range-table",
    "no range15: a carry of 15 bits is looked up twice in range16",
    _one_range_table,
    sample=sample,
)
VARIANTS = (ONE_RANGE_TABLE,)
