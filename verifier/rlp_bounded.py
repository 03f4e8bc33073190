"""A strict, bounded RLP reader (Yellow Paper, appendix B) for bytes that come from nowhere trustworthy.

The caller says what must come next and how large it may be; nothing is copied or allocated before both are known to
hold. Only the canonical encoding of a value is accepted. The reader never recurses: nesting is as deep as the calls of
the schema that reads it, and a budget shared by a reader and its sub-readers bounds the number of items.
"""

from __future__ import annotations

from typing import Final

from verifier.errors import Invalid

MAX_ITEMS: Final = 500_000
"""Items one document may hold: bounds the memory and time of decoding whatever the document claims."""

_SHORT: Final = 55  # longest payload whose length fits in the first byte


class RlpError(Invalid):
    """The bytes are not the canonical encoding of what was expected."""


class RlpReader:
    """A cursor over the items of one RLP payload.

    Args:
        data: the document.
        offset: where its first item starts, bytes.
        max_items: how many items may be read from it, nested ones included.
    """

    __slots__ = ("_budget", "_data", "_end", "_position")

    def __init__(self, data: bytes, offset: int = 0, max_items: int = MAX_ITEMS) -> None:
        self._data = data
        self._position = offset
        self._end = len(data)
        self._budget = [max_items]

    @property
    def position(self) -> int:
        """Offset of the next item in the document, bytes."""
        return self._position

    @property
    def at_end(self) -> bool:
        """Whether no item is left."""
        return self._position == self._end

    @property
    def at_list(self) -> bool:
        """Whether the next item claims to be a list."""
        return self._position < self._end and self._data[self._position] >= 0xC0

    @property
    def size(self) -> int:
        """Bytes from the next item on."""
        return self._end - self._position

    def _next(self, what: str) -> tuple[bool, int, int]:
        """Step over one item: whether it is a list, and where its payload starts and ends."""
        data, position, end = self._data, self._position, self._end
        if position >= end:
            raise RlpError(f"{what}: missing")
        if self._budget[0] <= 0:
            raise RlpError(f"{what}: too many items")
        self._budget[0] -= 1
        first = data[position]
        if first < 0x80:
            self._position = position + 1
            return False, position, position + 1
        is_list = first >= 0xC0
        size = first - (0xC0 if is_list else 0x80)
        start = position + 1
        if size > _SHORT:
            size_bytes = size - _SHORT
            start += size_bytes
            if start > end:
                raise RlpError(f"{what}: truncated length")
            if data[position + 1] == 0:
                raise RlpError(f"{what}: length with a leading zero")
            size = int.from_bytes(data[position + 1 : start], "big")
            if size <= _SHORT:
                raise RlpError(f"{what}: long form of a short length")
        if size > end - start:
            raise RlpError(f"{what}: {size} bytes announced, {end - start} left")
        if size == 1 and not is_list and data[start] < 0x80:
            raise RlpError(f"{what}: long form of a single byte")
        self._position = start + size
        return is_list, start, start + size

    def list(self, what: str) -> RlpReader:
        """Step over a list and return a reader of its items (same document, same budget)."""
        is_list, start, end = self._next(what)
        if not is_list:
            raise RlpError(f"{what}: a string where a list belongs")
        inner = RlpReader.__new__(RlpReader)
        inner._data, inner._position, inner._end, inner._budget = self._data, start, end, self._budget
        return inner

    def _span(self, what: str, max_bytes: int) -> tuple[int, int]:
        is_list, start, end = self._next(what)
        if is_list:
            raise RlpError(f"{what}: a list where a string belongs")
        if end - start > max_bytes:
            raise RlpError(f"{what}: {end - start} bytes, at most {max_bytes} allowed")
        return start, end

    def string(self, what: str, max_bytes: int) -> bytes:
        """The next item, a string of at most `max_bytes` bytes (copied)."""
        start, end = self._span(what, max_bytes)
        return self._data[start:end]

    def view(self, what: str, max_bytes: int) -> memoryview:
        """The next item, a string of at most `max_bytes` bytes, without a copy."""
        start, end = self._span(what, max_bytes)
        return memoryview(self._data)[start:end]

    def fixed(self, what: str, length: int) -> bytes:
        """The next item, a string of exactly `length` bytes."""
        start, end = self._span(what, length)
        if end - start != length:
            raise RlpError(f"{what}: {end - start} bytes instead of {length}")
        return self._data[start:end]

    def uint(self, what: str, bits: int) -> int:
        """The next item, an unsigned integer below 2**bits without leading zeros."""
        start, end = self._span(what, (bits + 7) // 8)
        if end > start and self._data[start] == 0:
            raise RlpError(f"{what}: integer with a leading zero")
        value = int.from_bytes(self._data[start:end], "big")
        if value >> bits:
            raise RlpError(f"{what}: does not fit in {bits} bits")
        return value

    def finish(self, what: str) -> None:
        """Insist that no item is left.

        Raises:
            RlpError: if one is.
        """
        if self._position != self._end:
            raise RlpError(f"{what}: {self._end - self._position} bytes too many")


def list_header(payload_bytes: int) -> bytes:
    """The canonical first bytes of a list whose items take `payload_bytes` bytes."""
    if payload_bytes <= _SHORT:
        return bytes([0xC0 + payload_bytes])
    size = payload_bytes.to_bytes((payload_bytes.bit_length() + 7) // 8, "big")
    return bytes([0xC0 + _SHORT + len(size)]) + size
