"""Hashing inside a table: items and running hashes as queries of the compression function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from circuits.air.expression import Expression, Operand
from circuits.air.table import Air, flatten
from circuits.functions.buses import POSEIDON2
from circuits.statement import Item
from circuits.widths import DIGEST


def constrain_compress(air: Air, left: Sequence[Any], right: Sequence[Any], output: Any, *, count: Operand) -> None:
    """`output` = C(left, right) where `count` is 1."""
    air.query(POSEIDON2, left, right, output, count=count)


def constrain_item(air: Air, item: Item, states: Sequence[Any], *, count: Operand, **parts: Any) -> None:
    """`states` (blocks, 8) are the hash states of the item made of `parts` (a part for each field of the item)."""
    elements: list[Expression] = []
    for name, size in item.fields:
        part = parts.pop(name)
        found = [air.graph.lift(e) for e in flatten(part if isinstance(part, Sequence) else [part])]
        if len(found) != size:
            raise ValueError(f"{name}: {len(found)} elements instead of {size}")
        elements += found
    if parts or len(states) != item.blocks:
        raise ValueError(f"not the parts and states of the item: {', '.join(parts)}, {len(states)} states")
    elements += [air.constant(0)] * (DIGEST * len(states) - len(elements))
    state: Sequence[Any] = [air.constant(item.tag)] + [air.constant(0)] * (DIGEST - 1)
    for i, after in enumerate(states):
        constrain_compress(air, state, elements[DIGEST * i : DIGEST * (i + 1)], after, count=count)
        state = after
