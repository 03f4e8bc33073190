"""Tables: columns of numpy arrays with declared types, and the buffers in which they grow."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

import numpy as np
from numpy.typing import NDArray

from executor.limbs import ADDRESS_LIMBS, WORD_LIMBS, Limbs

AnyTable = TypeVar("AnyTable", bound="Table")


class ColumnType(NamedTuple):
    """Type of a column: dtype of its entries, and shape of one row (empty for a scalar)."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()


class Column(NamedTuple):
    """A declared column of a table."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


# What columns are declared with. A word has 256 bits and is 16 little-endian 16-bit limbs; an address has 10.
U8 = Annotated[NDArray[np.uint8], ColumnType(np.dtype(np.uint8))]
U16 = Annotated[NDArray[np.uint16], ColumnType(np.dtype(np.uint16))]
U32 = Annotated[NDArray[np.uint32], ColumnType(np.dtype(np.uint32))]
U64 = Annotated[NDArray[np.uint64], ColumnType(np.dtype(np.uint64))]
Word = Annotated[Limbs, ColumnType(np.dtype(np.uint16), (WORD_LIMBS,))]
Address = Annotated[Limbs, ColumnType(np.dtype(np.uint16), (ADDRESS_LIMBS,))]


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length; a subclass declares them.

    Raises:
        ValueError: a column has another dtype or shape than declared, or another length than the first one.
    """

    def __post_init__(self) -> None:
        length = None
        for name, dtype, shape in self.columns():
            array_ = getattr(self, name)
            if not isinstance(array_, np.ndarray) or array_.dtype != dtype or array_.shape[1:] != shape:
                raise ValueError(f"{type(self).__name__}.{name} is not an array of {dtype} with rows of shape {shape}")
            if length not in (None, len(array_)):
                raise ValueError(f"{type(self).__name__}.{name} has {len(array_)} rows, not {length}")
            length = len(array_)

    def __len__(self) -> int:
        name = fields(self)[0].name
        return len(getattr(self, name))

    @classmethod
    @cache
    def columns(cls) -> tuple[Column, ...]:
        """The declared columns, in order."""
        hints = get_type_hints(cls, include_extras=True)
        return tuple(Column(item.name, *hints[item.name].__metadata__[0]) for item in fields(cls))

    @classmethod
    def empty(cls: type[AnyTable]) -> AnyTable:
        """A table without rows."""
        return cls(**{name: np.zeros((0, *shape), dtype) for name, dtype, shape in cls.columns()})

    @property
    def nbytes(self) -> int:
        """Bytes that the columns take."""
        return sum(getattr(self, item.name).nbytes for item in fields(self))


class IntBuffer:
    """Rows of non-negative integers below 2**64, which grow at the end.

    ``rows`` is where rows are appended, number after number. :meth:`flush` moves them from there into typed arrays:
    a list of Python integers takes ten times the memory, and must stay short.
    """

    def __init__(self, *dtypes: Any) -> None:
        self.rows: list[int] = []
        self.flushed = 0  # rows that have been moved
        self._dtypes = [np.dtype(dtype) for dtype in dtypes]
        self._chunks: list[list[NDArray[Any]]] = [[] for _ in dtypes]

    def __len__(self) -> int:
        return self.flushed + len(self.rows) // len(self._dtypes)

    def flush(self) -> NDArray[np.uint64]:
        """Move the rows into typed arrays; returns the moved rows, ``(rows, columns)``."""
        block = np.frombuffer(array("Q", self.rows), dtype=np.uint64).reshape(-1, len(self._dtypes))
        for chunks, dtype, position in zip(self._chunks, self._dtypes, range(len(self._dtypes)), strict=True):
            chunks.append(block[:, position].astype(dtype))
        self.flushed += len(block)
        self.rows.clear()
        return block

    def finish(self) -> list[NDArray[Any]]:
        """The columns. The buffer is empty afterwards, except for the count of rows."""
        self.flush()
        columns = []
        for chunks, dtype in zip(self._chunks, self._dtypes, strict=True):
            columns.append(np.concatenate(chunks) if chunks else np.zeros(0, dtype))
            chunks.clear()
        return columns


class WordBuffer:
    """256-bit words that grow at the end: Python integers, or big-endian byte strings of at most 32 bytes."""

    def __init__(self) -> None:
        self.values: list[int | bytes] = []
        self._chunks: list[Limbs] = []

    def flush(self) -> Limbs:
        """Move the values into a typed array; returns it, ``(n, 16)``."""
        limbs = limbs_of(self.values)
        self.values.clear()
        self._chunks.append(limbs)
        return limbs

    def take(self) -> Limbs:
        """As :meth:`flush`, but the array is not kept."""
        limbs = limbs_of(self.values)
        self.values.clear()
        return limbs

    def finish(self) -> Limbs:
        """All words, ``(n, 16)``. The buffer is empty afterwards."""
        self.flush()
        result = np.concatenate(self._chunks)
        self._chunks.clear()
        return result


class TableBuffer:
    """Rows of a :class:`Table`, which grow at the end. Without the columns named in ``omitted``."""

    def __init__(self, table: type[Table], omitted: frozenset[str] = frozenset()) -> None:
        columns = [item for item in table.columns() if item.name not in omitted]
        self._scalars = [item for item in columns if not item.shape]
        self._words = [item for item in columns if item.shape]
        self._integers = IntBuffer(*(item.dtype for item in self._scalars))
        self._limbs = WordBuffer()

    def __len__(self) -> int:
        return len(self._integers)

    def append(self, **values: Any) -> None:
        """Add a row: an integer for a scalar, an integer or big-endian bytes for a word or an address."""
        self._integers.rows += [values.pop(item.name) for item in self._scalars]
        self._limbs.values += [values.pop(item.name) for item in self._words]
        if values:
            raise TypeError(f"no columns {', '.join(values)}")

    def flush(self) -> None:
        """Move the rows into typed arrays."""
        self._integers.flush()
        self._limbs.flush()

    def finish(self) -> dict[str, NDArray[Any]]:
        """The columns by their names. The buffer is empty afterwards."""
        scalars = zip((item.name for item in self._scalars), self._integers.finish(), strict=True)
        columns: dict[str, NDArray[Any]] = dict(scalars)
        limbs = self._limbs.finish().reshape(-1, max(len(self._words), 1), WORD_LIMBS)
        for position, item in enumerate(self._words):
            columns[item.name] = np.ascontiguousarray(limbs[:, position, : item.shape[0]])
        return columns


class _Encodings(dict[int | bytes, bytes]):
    """32 big-endian bytes of integers and byte strings. Most words of an execution occur several times."""

    def __missing__(self, value: int | bytes) -> bytes:
        encoding = value.rjust(32, b"\0") if isinstance(value, bytes) else value.to_bytes(32, "big")
        self[value] = encoding
        return encoding


def limbs_of(values: Sequence[int | bytes], limbs: int = WORD_LIMBS) -> Limbs:
    """Integers and big-endian byte strings of at most 32 bytes -> ``(n, limbs)``; what lies above is cut off."""
    encoded = b"".join(map(_Encodings().__getitem__, values))
    big_endian = np.frombuffer(encoded, dtype=">u2").reshape(len(values), WORD_LIMBS)
    return np.ascontiguousarray(big_endian[:, : -limbs - 1 : -1], dtype=np.uint16)
