"""Trace files that bear the right checksum: damaged bytes, lying messages of Arrow, and other tables."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from executor.errors import TraceFileError
from executor.trace import ExecutionTrace
from executor.trace_file import MAGIC, load_trace, save_trace
from scripts.batches.programs import PROGRAMS
from scripts.fuzzing.target import Target, scratch_file
from scripts.fuzzing.trees import LIMITS, spoiled

NAMES = ("calls", "logs", "withdrawals", "nothing")

#: Arrow's columnar format, "Encapsulated message format": what a message begins with, before the size of its metadata.
CONTINUATION = b"\xff" * 4


def sealed(streams: bytes) -> bytes:
    """A trace file of these streams."""
    return streams + MAGIC + hashlib.sha256(streams).digest()


@cache
def _streams() -> list[bytes]:
    contents = []
    for name in NAMES:
        with scratch_file(b"") as file:
            trace = PROGRAMS[name]().execute().trace
            assert trace is not None
            save_trace(trace, file)
            contents.append(file.read_bytes()[: -len(MAGIC) - 32])
    return contents


def spoiled_traces() -> SearchStrategy[bytes]:
    """Changed bytes, with the checksum they had or the one they have."""
    streams = st.sampled_from(_streams())
    return streams.flatmap(spoiled).map(sealed) | streams.map(sealed).flatmap(spoiled)


@st.composite
def lying_traces(draw: DrawFn) -> bytes:
    """Numbers in the metadata of messages changed: lengths, offsets, sizes, types, places in the metadata itself."""
    data = bytearray(draw(st.sampled_from(_streams())))
    messages = [p for p in range(0, len(data) - 8, 8) if data[p : p + 4] == CONTINUATION and any(data[p + 4 : p + 8])]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.sampled_from(messages))
        size = 8 + int.from_bytes(data[start + 4 : start + 8], "little")
        width = draw(st.sampled_from([1, 2, 4, 8]))
        place = start + width * draw(st.integers(4 // width, max(4, size - width) // width))
        old = int.from_bytes(data[place : place + width], "little")
        near = st.sampled_from([old + change for change in (-64, -8, -1, 1, 8, 64)])
        new = draw(near | st.sampled_from(LIMITS) | st.integers(-(2**16), 0))
        data[place : place + width] = (new % 256**width).to_bytes(width, "little")
    return sealed(bytes(data))


@st.composite
def other_traces(draw: DrawFn) -> bytes:
    """Some tables written in other ways: other types, columns, options, numbers of parts and metadata."""
    tables = tables_of(draw(st.sampled_from(_streams())))
    for _ in range(draw(st.integers(1, 2))):
        number = draw(st.integers(0, len(tables) - 1))
        match draw(st.sampled_from([*["table"] * 8, "leave out", "repeat", "move"])):
            case "table":
                tables[number] = draw(_other_table(tables[number]))
            case "leave out" if len(tables) > 1:
                del tables[number]
            case "repeat":
                tables.insert(number, tables[number])
            case "move":
                tables.append(tables.pop(number))
    codec = st.sampled_from([None, "lz4", "zstd"])
    version = st.sampled_from([pa.ipc.MetadataVersion.V5, pa.ipc.MetadataVersion.V4])
    options = draw(st.builds(pa.ipc.IpcWriteOptions, compression=codec, metadata_version=version))
    odd = draw(st.integers(0, 2 * len(tables)))  # none is written in another way if there is none of this number
    return trace_of(tables, odd, options, draw(st.sampled_from([1, 1, 1, 0, 2])))


def tables_of(streams: bytes) -> list[pa.Table]:
    """The tables of a trace file; what follows them is not looked at."""
    reader = pa.BufferReader(streams)
    return [pa.ipc.open_stream(reader).read_all() for _ in ExecutionTrace.table_types()]


def trace_of(tables: list[pa.Table], odd: int, options: pa.ipc.IpcWriteOptions, copies: int = 1) -> bytes:
    """A trace file; the table of the number `odd` is written with these options and so many times."""
    sink = pa.BufferOutputStream()
    for number, table in enumerate(tables):
        is_odd = number == odd
        empty = pa.record_batch([pa.nulls(0, kind) for kind in table.schema.types], schema=table.schema)
        parts = table.combine_chunks().to_batches() or [empty]
        with pa.ipc.new_stream(sink, table.schema, options=options if is_odd else None) as stream:
            for part in parts * (copies if is_odd else 1):
                stream.write_batch(part)
    return sealed(sink.getvalue().to_pybytes())


@st.composite
def _other_table(draw: DrawFn, table: pa.Table) -> pa.Table:
    number = draw(st.integers(0, max(table.num_columns - 1, 0)))
    if draw(st.booleans()) or not table.num_columns:
        return table.replace_schema_metadata(draw(_metadata(table.schema.metadata)))
    column, field = table.column(number), table.schema.field(number)
    match draw(st.sampled_from(["type", "nulls", "nullable", "name", "leave out", "repeat", "metadata", "dictionary"])):
        case "type":
            return table.set_column(number, field.name, draw(_columns(table.num_rows)))
        case "nulls":
            rows = column.to_pylist()
            step = draw(st.integers(1, 3))
            holed = [None if place % step == 0 else row for place, row in enumerate(rows)]
            return table.set_column(number, field, pa.array(holed, column.type))
        case "nullable":
            return table.set_column(number, field.with_nullable(True), column)
        case "name":
            return table.set_column(number, field.with_name(draw(st.text(max_size=3))), column)
        case "leave out":
            return table.remove_column(number)
        case "repeat":
            return table.add_column(draw(st.integers(0, table.num_columns)), field, column)
        case "metadata":
            metadata = {"ARROW:extension:name": draw(st.text(max_size=3)), "ARROW:extension:metadata": ""}
            return table.set_column(number, field.with_metadata(metadata), column)
    encodable = not pa.types.is_fixed_size_list(column.type)
    return table.set_column(number, field.name, column.dictionary_encode()) if encodable else table


def _columns(rows: int) -> SearchStrategy[Any]:
    """Columns of types that no table has, and of types that are near those of tables."""
    types = [pa.bool_(), pa.int8(), pa.uint16(), pa.int32(), pa.uint64(), pa.float32(), pa.string()]
    nested = [
        pa.list_(pa.uint16()),
        pa.list_(pa.uint16(), 16),
        pa.list_(pa.field("limb", pa.uint16(), nullable=False), 10),
        pa.list_(pa.list_(pa.uint16(), 2), 8),
        pa.struct([("limb", pa.uint16())]),
        pa.map_(pa.uint8(), pa.uint8()),
        pa.dense_union([pa.field("limb", pa.uint8())]),
        pa.run_end_encoded(pa.int32(), pa.uint64()),
        pa.decimal128(38, 0),
        pa.dictionary(pa.int8(), pa.uint64()),
        pa.large_binary(),
        pa.null(),
    ]
    plain = st.sampled_from(types).map(lambda kind: pa.array(np.zeros(rows, np.uint8)).cast(kind, safe=False))
    return plain | st.sampled_from(nested).map(lambda kind: pa.nulls(rows, kind))


@st.composite
def _metadata(draw: DrawFn, known: dict[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    """Metadata with an entry changed; that of the first table says what holds for the whole trace."""
    metadata = dict(known or {})
    names = [b"format", b"chain_id", b"fork", b"pre_state_root", b"post_state_root", b"table"]
    name = draw(st.sampled_from(names) | st.binary(max_size=3))
    numbers = [b"", b"-1", b"1_0", b" 1", "١".encode(), b"0x1", b"9" * 5000, b"9" * 3000, str(2**256).encode()]
    texts = [b"\xff", b"0" * 63, b"00 " * 32, b"zz" * 32, b"x" * 5000, b"steps", b"data"]
    value = draw(st.sampled_from([*numbers, *texts]) | st.binary(max_size=70))
    metadata[name] = value
    if draw(st.booleans()):
        metadata.pop(name if draw(st.booleans()) else draw(st.sampled_from(names)), None)
    return metadata or None


@st.composite
def traces(draw: DrawFn) -> ExecutionTrace:
    """Traces of which nothing but the types need make sense."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tables: dict[str, Any] = {}
    for name, table in ExecutionTrace.table_types().items():
        rows = draw(st.integers(0, 3))
        tables[name] = table(
            **{
                column.name: random.integers(0, 256**column.dtype.itemsize, (rows, *column.shape), column.dtype)
                for column in table.columns()
            }
        )
    root = st.binary(min_size=32, max_size=32)
    return ExecutionTrace(
        **tables,
        chain_id=draw(st.integers(0, 2**256 - 1)),
        fork=draw(st.text(max_size=20)),
        pre_state_root=draw(root),
        post_state_root=draw(root),
    )


def check(content: bytes) -> None:
    """A trace is refused, or it is one and can be saved."""
    with scratch_file(content) as file:
        try:
            trace = load_trace(file)
        except TraceFileError:
            return
        with scratch_file(b"") as again:
            save_trace(trace, again)
            assert load_trace(again).digest() == trace.digest()


TARGETS = (
    Target("trace: damaged bytes", spoiled_traces, check, examples=50),
    Target("trace: lying messages", lying_traces, check, examples=60),
    Target("trace: other tables", other_traces, check, examples=30),
)
