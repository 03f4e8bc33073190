"""Trace files: the tables of an execution trace as Apache Arrow streams.

Arrow's own format rather than Parquet: its buffers are the columns as they are in memory, so that a trace is loaded
without a copy, and no length in a file can ask for more memory than the file itself takes.

A file is one Arrow IPC stream per table, one after the other, in the order of ``ExecutionTrace.table_types()``; words
and addresses are fixed-size lists of their 16-bit limbs. The metadata of each schema names the table, that of the first
one also has what holds for the whole trace. Behind the last stream stand eight bytes of magic and the SHA-256 hash of
everything before, which readers of Arrow streams do not look at.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from executor.errors import TraceFileError
from executor.tables import Column, Table
from executor.trace import ExecutionTrace

MAGIC = b"ZKEVMTRC"
FORMAT = "zkevm-trace/2"
MAX_FILE_BYTES = 2**36

_TRAILER_BYTES = len(MAGIC) + 32
_MAX_METADATA_BYTES = 2**12


def save_trace(trace: ExecutionTrace, path: str | Path) -> None:
    """Write a trace file. The file appears under its name when it is complete."""
    target = Path(path)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            _write(trace, file)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def load_trace(path: str | Path, *, max_bytes: int = MAX_FILE_BYTES) -> ExecutionTrace:
    """Read a trace file. Its columns stay in the file, mapped into memory, and cannot be written.

    Raises:
        TraceFileError: unreadable, larger than ``max_bytes``, truncated, damaged, or no trace file.
    """
    try:
        size = Path(path).stat().st_size
        if size > max_bytes:
            raise TraceFileError(f"trace file of {size} bytes, more than {max_bytes}")
        if size < _TRAILER_BYTES:
            raise TraceFileError("no trace file: too short")
        with pa.memory_map(str(path)) as file:
            content = file.read_buffer()
    except OSError as error:
        raise TraceFileError(f"cannot read the trace file: {error.strerror or error}") from None
    trailer = content.slice(content.size - _TRAILER_BYTES).to_pybytes()
    if trailer[: len(MAGIC)] != MAGIC:
        raise TraceFileError("no trace file, or a truncated one: its end is missing")
    streams = content.slice(0, content.size - _TRAILER_BYTES)
    if hashlib.sha256(memoryview(streams)).digest() != trailer[len(MAGIC) :]:
        raise TraceFileError("damaged trace file: its content does not have its checksum")
    try:
        return _read(streams)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise TraceFileError(f"malformed trace file: {error}") from None


class _Hashing:
    """A file that hashes what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.closed = False

    def write(self, content: Any) -> int:
        self.hash.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()


def arrow_tables(trace: ExecutionTrace) -> dict[str, pa.Table]:
    """The tables of a trace by name, as in a trace file; they share the memory of the columns."""
    return {name: pa.Table.from_batches([_record_batch(table)]) for name, table in trace.tables().items()}


def _write(trace: ExecutionTrace, file: BinaryIO) -> None:
    hashing = _Hashing(file)
    metadata = {
        "format": FORMAT,
        "chain_id": str(trace.chain_id),
        "fork": trace.fork,
        "pre_state_root": trace.pre_state_root.hex(),
        "post_state_root": trace.post_state_root.hex(),
    }
    for name, table in trace.tables().items():
        rows = _record_batch(table).replace_schema_metadata({"table": name} | metadata)
        with pa.ipc.new_stream(hashing, rows.schema) as stream:
            stream.write_batch(rows)
        metadata = {}
    file.write(MAGIC + hashing.hash.digest())


def _read(streams: pa.Buffer) -> ExecutionTrace:
    reader = pa.BufferReader(streams)
    tables: dict[str, Any] = {}
    first: dict[bytes, bytes] = {}
    for name, table in ExecutionTrace.table_types().items():
        messages = pa.ipc.MessageReader.open_stream(reader)
        if (message := next(messages, None)) is None:
            raise ValueError(f"table {name!r} is missing")
        schema = pa.ipc.read_schema(message)
        metadata = schema.metadata or {}
        if sum(len(key) + len(value) for key, value in metadata.items()) > _MAX_METADATA_BYTES:
            raise ValueError("too much metadata")
        first = first or metadata
        if metadata[b"table"] != name.encode():
            raise ValueError(f"table {metadata[b'table']!r} in place of {name!r}")
        if not schema.equals(_schema(table.columns())):
            raise ValueError(f"table {name!r} has other columns than this version")
        part = next(messages, None)
        if part is None or next(messages, None) is not None:
            raise ValueError(f"table {name!r} has no part, or several")
        if _is_compressed(part.metadata.to_pybytes()):
            raise ValueError(f"table {name!r} is compressed")
        tables[name] = _table(table, pa.ipc.read_record_batch(part, schema))
    if reader.tell() != streams.size:
        raise ValueError("more than the tables of a trace")
    if first[b"format"] != FORMAT.encode():
        raise ValueError(f"format {first[b'format']!r} is not {FORMAT!r}")
    return ExecutionTrace(
        **tables,
        chain_id=int(first[b"chain_id"]),
        fork=first[b"fork"].decode(),
        pre_state_root=bytes.fromhex(first[b"pre_state_root"].decode()),
        post_state_root=bytes.fromhex(first[b"post_state_root"].decode()),
    )


def _is_compressed(metadata: bytes) -> bool:
    """Whether the buffers of a record batch are compressed: they may take any memory then.

    ``Message.header`` is field 2 of its table and ``RecordBatch.compression`` field 3 of its own (Arrow's Message.fbs).
    A table begins with the distance back to its list of fields, which begins with its size; a missing field is 0 there.
    """

    def number(place: int, size: int = 4) -> int:
        return int.from_bytes(metadata[place : place + size], "little")

    def field(table: int, index: int) -> int:
        fields = (table - number(table)) % 2**32  # the distance is signed
        place = 4 + 2 * index
        return number(fields + place, 2) if place < number(fields, 2) else 0

    message = number(0)
    header = message + field(message, 2)
    return field(header + number(header), 3) != 0


def _table(table: type[Table], batch: pa.RecordBatch) -> Table:
    batch.validate(full=True)
    columns = zip(table.columns(), batch.columns, strict=True)
    return table(**{column.name: _from_arrow(array, column) for column, array in columns})


def _record_batch(table: Table) -> pa.RecordBatch:
    columns = table.columns()
    arrays = [_to_arrow(getattr(table, column.name), column) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=_schema(columns))


def _schema(columns: tuple[Column, ...]) -> pa.Schema:
    return pa.schema([pa.field(column.name, _type(column), nullable=False) for column in columns])


def _type(column: Column) -> pa.DataType:
    scalar = pa.from_numpy_dtype(column.dtype)
    return pa.list_(pa.field("limb", scalar, nullable=False), column.shape[0]) if column.shape else scalar


def _to_arrow(values: NDArray[Any], column: Column) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=_type(column)) if column.shape else flat


def _from_arrow(array: pa.Array, column: Column) -> NDArray[Any]:
    flat = array.flatten() if column.shape else array
    values: NDArray[Any] = flat.to_numpy(zero_copy_only=True)
    return values.reshape(-1, *column.shape)
