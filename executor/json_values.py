"""JSON documents, and numbers and byte strings as batch files write them."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

MAX_NESTING = 32
# A string as a whole, so that brackets in it do not count. Where this finds other strings than the JSON parser does,
# the text is no JSON and the parser stops. Possessive, and matching unfinished strings too: the time is linear.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)

# A string, kept, or a comment as besu's genesis files have them. Linear like the above.
_STRING_OR_COMMENT = re.compile(r'("(?:[^"\\]++|\\.)*+"?)|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/)?', re.DOTALL)

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


def parse_json(content: bytes | str) -> Any:
    """What a JSON document holds; names must not repeat in any of its objects. Comments count as white space.

    Raises:
        ValueError: it is no such document.
    """
    try:
        text = content if isinstance(content, str) else content.decode()
        try:
            return _parse(text)
        except ValueError:
            without = _STRING_OR_COMMENT.sub(lambda match: match.group(1) or " ", text)
            if without == text:
                raise
            return _parse(without)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None


def parse_object(content: bytes | str) -> dict[str, Any]:
    """The object that a JSON document is; otherwise as :func:`parse_json`.

    Raises:
        ValueError: anything else.
    """
    document = parse_json(content)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


def _parse(text: str) -> Any:
    _check_nesting(text)
    return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        repeated, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{repeated!r} occurs twice in one object")
    return result


def _check_nesting(text: str) -> None:
    """Refuse JSON nested deeper than any file this program reads, by ``ValueError``.

    The parser recurses on the machine's stack and relies on Python's recursion limit, which py-evm lifts beyond what
    that stack holds.
    """
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        match token.group()[0]:
            case "[" | "{":
                depth += 1
                if depth > MAX_NESTING:
                    raise ValueError(f"nested more than {MAX_NESTING} deep")
            case "]" | "}":
                depth -= 1


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
