"""Numbers and byte strings as batch files write them."""

from __future__ import annotations

import re
from typing import Any

_HEX_DIGITS = re.compile(r"(?:[0-9a-fA-F]{2})*")
_HEX_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,64}")
_DECIMAL_NUMBER = re.compile(r"[0-9]{1,78}")  # 2^256 has 78 digits


def parse_quantity(value: Any) -> int:
    """A non-negative integer: a JSON integer, ``"0x2a"`` or ``"42"`` (as in genesis files).

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        if _HEX_NUMBER.fullmatch(value):
            return int(value, 16)
        if _DECIMAL_NUMBER.fullmatch(value):
            return int(value)
    raise ValueError("not a non-negative number (an integer, or a hexadecimal string with 0x)")


def parse_data(value: Any, size: int | None = None) -> bytes:
    """A byte string: hexadecimal digits, two per byte, with or without ``0x``.

    Raises:
        ValueError: anything else, or another length than ``size`` bytes.
    """
    if isinstance(value, str):
        digits = value[2:] if value[:2] in ("0x", "0X") else value
        if _HEX_DIGITS.fullmatch(digits):
            data = bytes.fromhex(digits)
            if size is not None and len(data) != size:
                raise ValueError(f"{len(data)} bytes where {size} are expected")
            return data
    raise ValueError("not a string of hexadecimal digits, two per byte")
