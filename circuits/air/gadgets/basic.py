"""Gadgets on single cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.air import field as arithmetic
from circuits.air.expression import Expression, Operand
from circuits.air.layout import RANGE, Array, C, Layout, bit, element, limb
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air

#: Time stamps stay below 2^29 (refused before proving otherwise), so differences of two never wrap.
TIME_BITS = 29


def one_hot(air: Air, flags: Sequence[Expression], total: Operand, name: str) -> None:
    """The flags (bits by their column type) are exclusive and sum to `total`, itself a bit.

    The sum of the flags is no such total: it would say nothing. That is `at_most_one`.
    """
    accumulated: Operand = 0
    for flag in flags:
        accumulated = flag + accumulated
    air.require(accumulated - air.graph.lift(total), f"{name}: exactly one flag")


def at_most_one(air: Air, flags: Sequence[Expression], name: str) -> Expression:
    """The flags (bits by their column type) are exclusive. Returns their sum, a bit."""
    some = total(flags)
    air.require(some * (some - 1), f"{name}: at most one flag")
    return some


def total(terms: Sequence[Expression]) -> Expression:
    """The sum of one or more expressions."""
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return result


def select(condition: Expression, if_one: Any, if_zero: Any) -> Expression:
    """`if_one` where the bit is 1, `if_zero` where it is 0 (one degree more than its branches)."""
    result: Expression = if_zero + condition * (if_one - if_zero)
    return result


def select_all(condition: Expression, if_one: Sequence[Any], if_zero: Sequence[Any]) -> list[Expression]:
    """`select` limb by limb."""
    return [select(condition, a, b) for a, b in zip(if_one, if_zero, strict=True)]


def range_check(air: Air, value: Expression, bits: int, count: Operand) -> None:
    """`value` is an integer in [0, 2^bits), `bits` at most 16, where `count` is 1.

    For bits < 16 both the value and its 2^(16-bits)-fold are limbs: the product of a limb and 2^(16-bits) stays below
    2^32 and could wrap, but a limb times 2^(16-bits) < 2^16 only needs bits >= 2 to stay below the modulus
    (2^16 * 2^14 = 2^30), so equality holds over the integers.
    """
    if not 2 <= bits <= 16:
        raise ValueError(f"range checks cover 2 to 16 bits, not {bits}")
    air.query(RANGE16, value, count=count)
    if bits < 16:
        air.query(RANGE16, value * (1 << (16 - bits)), count=count)


class IsZero(Layout[C]):
    """`zero` is 1 exactly when the value is 0."""

    zero = bit("1 when the value is 0")
    inverse = element("inverse of the value, or 0", by="value * inverse = 1 - zero, and inverse = 0 when zero")

    @staticmethod
    def constrain(air: Air, cells: IsZero, value: Expression, *, when: Operand = 1, name: str = "is zero") -> None:
        """Tie `cells.zero` to the value where `when` is 1; elsewhere both cells must be 0 by the last constraint."""
        active = air.graph.lift(when)
        air.require(value * cells.inverse - active + cells.zero, f"{name}: value * inverse = 1 - zero")
        air.require(value * cells.zero, f"{name}: value * zero = 0")
        air.require(cells.inverse * cells.zero, f"{name}: inverse * zero = 0")
        if active.value != 1:
            air.require((1 - active) * cells.zero, f"{name}: idle zero")
            air.require((1 - active) * cells.inverse, f"{name}: idle inverse")

    @staticmethod
    def fill(cells: IsZero[Array], value: NDArray[np.uint64]) -> None:
        """`value`: canonical elements (rows,) of the active rows."""
        cells.zero = value == 0
        cells.inverse = arithmetic.inverse(value.astype(np.uint64))


class LessThan(Layout[C]):
    """`less` is 1 exactly when a < b, for integers a, b below 2^32 given as (low, high) pairs of limbs."""

    less = bit("1 when a < b")
    borrow = bit("borrow out of the low limb")
    difference = limb("a - b + 2^32 * less, in limbs", 2, by=RANGE)

    @staticmethod
    def constrain(air: Air, cells: LessThan, a: Sequence[Any], b: Sequence[Any], *, name: str = "less than") -> None:
        """Operands' limbs must be pinned to 16 bits by their owners; each equation stays within +-2^17."""
        air.require(cells.difference[0] - (a[0] - b[0] + cells.borrow * (1 << 16)), f"{name}: low limb")
        air.require(cells.difference[1] - (a[1] - b[1] - cells.borrow + cells.less * (1 << 16)), f"{name}: high limb")

    @staticmethod
    def fill(cells: LessThan[Array], a: NDArray[np.int64], b: NDArray[np.int64]) -> list[NDArray[Any]]:
        """`a`, `b`: integers (rows,) below 2^32. Returns the looked-up limbs."""
        less = a < b
        difference = a - b + (less.astype(np.int64) << 32)
        cells.less = less
        cells.borrow = (a & 0xFFFF) < (b & 0xFFFF)
        cells.difference = np.stack([difference & 0xFFFF, difference >> 16], axis=1)
        return [cells.difference]


class TimeLimbs(Layout[C]):
    """A time below 2^29 that the prover chooses; which one, the table that receives it limits further."""

    low = limb("low limb of the time", by=RANGE)
    high = limb("high limb of the time", by="13-bit range check")

    @staticmethod
    def constrain(air: Air, cells: TimeLimbs, count: Operand) -> Expression:
        """The time, an integer in [0, 2^29) where `count` is 1."""
        range_check(air, cells.high, TIME_BITS - 16, count)
        time: Expression = cells.low + cells.high * (1 << 16)
        return time

    @staticmethod
    def fill(cells: TimeLimbs[Array], time: NDArray[np.int64]) -> None:
        """`time`: (rows,)."""
        cells.low = time & 0xFFFF
        cells.high = time >> 16


class TimeOrder(Layout[C]):
    """The time of an earlier event, proved to be below `now`."""

    before = element("time of the earlier event", by="bus: the event's sender; below 2^30")
    low = limb("low limb of now - before - 1", by=RANGE)

    @staticmethod
    def constrain(air: Air, cells: TimeOrder, now: Expression, count: Expression) -> None:
        """`now - before - 1` is in [0, 2^29) where `count` is 1.

        The high part is the expression (now - before - 1 - low) / 2^16: 13 bits, so the difference is an integer below
        2^29. Were `before >= now`, it would be at least MODULUS - 2^30 > 2^29: times of a segment are below 2^29, and
        those of a part of a run below 2^30 (`tests/circuits/test_bounds.py`).
        """
        inverse = pow(1 << 16, -1, arithmetic.MODULUS)
        high = (now - cells.before - 1 - cells.low) * inverse
        range_check(air, high, TIME_BITS - 16, count)

    @staticmethod
    def fill(cells: TimeOrder[Array], now: NDArray[np.int64], before: NDArray[np.int64]) -> None:
        """`now`, `before`: times (rows,)."""
        cells.before = before
        cells.low = (now - before - 1) & 0xFFFF
