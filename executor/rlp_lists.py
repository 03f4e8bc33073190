"""RLP from outside, decoded within bounds. (Encoding needs none: the library does it.)"""

from __future__ import annotations

from typing import Any

import rlp
from rlp.codec import consume_length_prefix


def decode_list(payload: bytes, max_nesting: int) -> list[Any]:
    """The items of a canonically encoded list: byte strings and lists of items.

    Raises:
        ValueError: anything else, or lists nested more than ``max_nesting`` deep, this one counted.
    """
    try:
        if _nests_deeper(payload, max_nesting):
            raise ValueError(f"lists nested more than {max_nesting} deep")
        items = rlp.decode(payload)
        canonical = rlp.encode(items) == payload
    except (rlp.exceptions.RLPException, IndexError) as error:
        raise ValueError(f"not RLP: {error}") from None
    if not isinstance(items, list) or not canonical:
        raise ValueError("not a canonical RLP list")
    return items


def split_lists(content: bytes, min_bytes: int = 256) -> list[bytes]:
    """Lists that stand one after the other, each as its encoding; what is in them is not looked at.

    Raises:
        ValueError: something else stands there, or one is cut off or shorter than ``min_bytes``: blocks hold a bloom
            filter of so many, and their number stays within reason.
    """
    lists: list[bytes] = []
    position = 0
    while position < len(content):
        try:
            _, kind, length, start = consume_length_prefix(content, position)
        except (rlp.exceptions.RLPException, IndexError) as error:
            raise ValueError(f"not RLP: {error}") from None
        end = start + length
        if kind is not list or end > len(content):
            raise ValueError(f"no list, or one that is cut off, at byte {position}")
        if end - position < min_bytes:
            raise ValueError(f"a list of less than {min_bytes} bytes at byte {position}")
        lists.append(content[position:end])
        position = end
    if not lists:
        raise ValueError("empty")
    return lists


def _nests_deeper(payload: bytes, limit: int) -> bool:
    """Whether RLP lists nest deeper than ``limit``.

    The library recurses once per level and bounds neither that nor its time, which grows with the square of the depth.
    """
    position = 0
    ends: list[int] = []
    while position < len(payload):
        while ends and position >= ends[-1]:
            ends.pop()
        _, kind, length, start = consume_length_prefix(payload, position)
        if kind is list:
            ends.append(start + length)
            if len(ends) > limit:
                return True
            position = start
        else:
            position = start + length
    return False
