"""The execution trace as Arrow tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from executor.limbs import Limbs, limbs_to_bytes, words_to_ints
from executor.trace import ExecutionTrace
from executor.trace_file import arrow_tables, load_trace, save_trace


class Trace(Mapping[str, "pa.Table"]):
    """Everything that the EVM did in a batch: Arrow tables by name, as `executor.trace` declares them.

    `steps`, `operands`, `results`, `frames`, `memory`, `accesses`, `keys`, `logs`, `hashes`, `transactions`, `blocks`,
    `withdrawals`, `system_calls`, `codes`, `ancestors`, `data`. The tables share the memory of the trace, and pandas,
    Polars and DuckDB read them without a copy. Rows refer to rows of other tables by their number from 0; 2^32 - 1
    stands for none. Words of 256 bits are lists of 16 limbs of 16 bits, the lowest first, and addresses of 10: `hex`
    and `integers` read such columns.

    Args:
        trace: as the executor makes it.
    """

    def __init__(self, trace: ExecutionTrace) -> None:
        self.raw = trace
        self._tables = arrow_tables(trace)

    def __getitem__(self, name: str) -> pa.Table:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __repr__(self) -> str:
        return f"Trace({', '.join(f'{name}: {len(table)} rows' for name, table in self._tables.items())})"

    @property
    def nbytes(self) -> int:
        """Bytes that all columns take."""
        return self.raw.nbytes

    def hex(self, table: str, column: str) -> list[str]:
        """The words or addresses of a column, as 0x and big-endian hexadecimal digits.

        Raises:
            KeyError: there is no such table, or no such column of words or addresses.
        """
        return [f"0x{value.hex()}" for value in limbs_to_bytes(self._limbs(table, column))]

    def integers(self, table: str, column: str) -> list[int]:
        """The words of a column as integers, 0 to 2^256 - 1. Errors as for `hex`."""
        return words_to_ints(self._limbs(table, column))

    def bytes_at(self, start: int, size: int) -> bytes:
        """Bytes that a row names by its `*_start` and `*_size`: calldata, outputs, codes, signed transactions."""
        return self.raw.bytes_at(start, size)

    def save(self, path: str | Path) -> None:
        """Write a trace file (`executor.trace_file`). Raises `OSError`."""
        save_trace(self.raw, path)

    def _limbs(self, table: str, column: str) -> Limbs:
        own = self.raw.tables()[table]
        if not any(each.name == column and each.shape for each in own.columns()):
            raise KeyError(column)
        limbs: Limbs = getattr(own, column)
        return limbs


def read_trace(path: str | Path) -> Trace:
    """Read a trace file; its columns stay in the file, mapped into memory.

    Raises:
        TraceFileError: unreadable, truncated, damaged, or no trace file.
    """
    return Trace(load_trace(path))
