"""Trace files: what is loaded is what was saved, and nothing else is loaded."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor import trace_file
from executor.errors import TraceFileError
from executor.trace import ExecutionTrace
from executor.trace_file import MAGIC, load_trace, save_trace
from scripts.batches.programs import PROGRAMS


@pytest.fixture(scope="module")
def trace() -> ExecutionTrace:
    result: ExecutionTrace = PROGRAMS["calls"]().execute().trace
    return result


@pytest.fixture(scope="module")
def path(trace: ExecutionTrace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("traces") / "calls.trace"
    save_trace(trace, target)
    return target


@pytest.mark.parametrize("name", ["calls", "creations", "withdrawals", "nothing"])
def test_a_loaded_trace_is_identical(name: str, tmp_path: Path) -> None:
    trace = PROGRAMS[name]().execute().trace
    save_trace(trace, tmp_path / "trace")
    loaded = load_trace(tmp_path / "trace")
    assert loaded.digest() == trace.digest()
    for table, saved in trace.tables().items():
        for column in fields(saved):
            array = getattr(getattr(loaded, table), column.name)
            assert np.array_equal(array, getattr(saved, column.name))
            assert not array.flags.writeable
    assert [file.name for file in tmp_path.iterdir()] == ["trace"]


def test_equal_traces_are_equal_files(trace: ExecutionTrace, path: Path, tmp_path: Path) -> None:
    save_trace(load_trace(path), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_other_readers_of_arrow_streams_can_read_it(trace: ExecutionTrace, path: Path) -> None:
    with pa.memory_map(str(path)) as file:
        for name, table in trace.tables().items():
            content = pa.ipc.open_stream(file).read_all()
            assert content.schema.metadata[b"table"] == name.encode()
            assert content.num_rows == len(table)
    assert content.column("byte").to_numpy().tobytes() == trace.data.byte.tobytes()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused(path: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    assert_refused(bytes(content), tmp_path_factory)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_truncated_or_longer_file_is_refused(
    path: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = path.read_bytes()
    assert_refused(content[: data.draw(st.integers(0, len(content) - 1))], tmp_path_factory)
    assert_refused(content + data.draw(st.binary(min_size=1)), tmp_path_factory)


def assert_refused(content: bytes, factory: pytest.TempPathFactory) -> None:
    target = factory.getbasetemp() / "damaged"
    target.write_bytes(content)
    with pytest.raises(TraceFileError):
        load_trace(target)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_malformed_file_with_the_right_checksum_is_refused_or_a_trace(
    path: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    # The first bytes hold the schemas and sizes of a table; what follows them is mostly its content.
    content = bytearray(path.read_bytes()[: -len(MAGIC) - 32])
    starts = [position for position in range(0, len(content), 8) if content[position : position + 4] == b"\xff" * 4]
    position = data.draw(st.sampled_from(starts)) + data.draw(st.integers(0, 500))
    content[min(position, len(content) - 1)] ^= data.draw(st.integers(1, 255))
    target = tmp_path_factory.getbasetemp() / "malformed"
    target.write_bytes(bytes(content) + MAGIC + hashlib.sha256(content).digest())
    try:
        loaded = load_trace(target)
    except TraceFileError:
        return
    assert isinstance(loaded.digest(), bytes)


def test_files_of_other_kinds_and_sizes_are_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TraceFileError, match="cannot read the trace file: No such file"):
        load_trace(tmp_path / "missing")
    (tmp_path / "short").write_bytes(b"x")
    with pytest.raises(TraceFileError, match="too short"):
        load_trace(tmp_path / "short")
    (tmp_path / "text").write_bytes(b"x" * 1_000)
    with pytest.raises(TraceFileError, match="no trace file"):
        load_trace(tmp_path / "text")
    size = path.stat().st_size
    with pytest.raises(TraceFileError, match=f"trace file of {size} bytes, more than {size - 1}"):
        load_trace(path, max_bytes=size - 1)
    assert load_trace(path, max_bytes=size).chain_id == 1337
    monkeypatch.setattr(trace_file, "FORMAT", "zkevm-trace/3")
    with pytest.raises(TraceFileError, match="format b'zkevm-trace/2' is not 'zkevm-trace/3'"):
        load_trace(path)


def test_tables_in_another_order_are_refused(
    trace: ExecutionTrace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reversed_tables(self: Any) -> dict[str, Any]:
        return {name: getattr(self, name) for name in reversed(ExecutionTrace.table_types())}

    monkeypatch.setattr(ExecutionTrace, "tables", reversed_tables)
    save_trace(trace, tmp_path / "trace")
    with pytest.raises(TraceFileError, match="table b'data' in place of 'steps'"):
        load_trace(tmp_path / "trace")
