"""Hashing inside a table: items and running hashes as queries of the compression function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from circuits.air.expression import Expression, Operand
from circuits.air.table import Air, flatten
from circuits.buses import DIGEST, POSEIDON2


def constrain_compress(air: Air, left: Sequence[Any], right: Sequence[Any], output: Any, *, count: Operand) -> None:
    """`output` = C(left, right) where `count` is 1."""
    air.query(POSEIDON2, left, right, output, count=count)


def constrain_item(air: Air, tag: int, parts: Sequence[Any], states: Sequence[Any], *, count: Operand) -> None:
    """`states` are the hash states of the item made of `parts`, zero-padded to whole blocks of 8 elements."""
    elements: list[Expression] = [air.graph.lift(e) for e in flatten(parts)]
    if not DIGEST * (len(states) - 1) < len(elements) <= DIGEST * len(states):
        raise ValueError(f"{len(elements)} elements do not fill {len(states)} blocks")
    elements += [air.constant(0)] * (DIGEST * len(states) - len(elements))
    state: Sequence[Any] = [air.constant(tag)] + [air.constant(0)] * (DIGEST - 1)
    for i, after in enumerate(states):
        constrain_compress(air, state, elements[DIGEST * i : DIGEST * (i + 1)], after, count=count)
        state = after
