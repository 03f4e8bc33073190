"""Gadgets every table needs: small layouts with their constraints and their filling side by side."""

from circuits.air.gadgets.basic import (
    IsZero,
    LessThan,
    TimeLimbs,
    TimeOrder,
    one_hot,
    range_check,
    select,
    select_all,
    total,
)
from circuits.air.gadgets.words import AddWords, MultiplyWords, SubtractWords

__all__ = [
    "AddWords",
    "IsZero",
    "LessThan",
    "MultiplyWords",
    "SubtractWords",
    "TimeLimbs",
    "TimeOrder",
    "one_hot",
    "range_check",
    "select",
    "select_all",
    "total",
]
