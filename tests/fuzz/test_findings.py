"""What the fuzzers found, in the smallest form."""

from __future__ import annotations

import io
import lzma
import sys
import tarfile
import time
import tracemalloc
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import rlp
from eth_hash.auto import keccak

from executor.batch import Batch, Witness, batch_from_document
from executor.errors import BatchError, TraceFileError
from executor.execute import execute
from executor.fixtures import fixture_files
from executor.trace_file import load_trace, save_trace
from scripts.batches.chain import Chain
from scripts.batches.programs import PROGRAMS
from scripts.fuzzing.target import run_command
from scripts.fuzzing.traces import tables_of, trace_of
from scripts.fuzzing.tries import STATE_ROOT
from verifier.errors import Invalid
from verifier.tries import EMPTY_CODE_HASH, Account
from verifier.withdrawals import check_withdrawals
from zkevm.outcomes import REJECTED


def test_long_numbers_in_extended_headers_of_an_archive(tmp_path: Path) -> None:
    """`tarfile` looks for attributes with patterns that take time in the square of the digits before them."""
    member = tarfile.TarInfo("a.json")
    member.pax_headers = {"mtime": "9" * 50_000}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:") as tar:
        tar.addfile(member)
    path = tmp_path / "a.tar.xz"
    path.write_bytes(lzma.compress(packed.getvalue()))
    start = time.process_time()
    with pytest.raises(BatchError, match=r"an entry of 50\d\d\d bytes"):
        list(fixture_files([path]))
    assert time.process_time() - start < 1


def test_headers_of_headers_of_an_archive(tmp_path: Path) -> None:
    """`tarfile` recurses for each extended header that another one follows."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
    limit = sys.getrecursionlimit()
    headers = (header.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(tarfile.BLOCKSIZE, b"\0")) * 2000
    path = tmp_path / "a.tar.xz"
    path.write_bytes(lzma.compress(headers, preset=0))
    try:
        sys.setrecursionlimit(2000)  # py-evm sets a higher one
        with pytest.raises(BatchError, match="recursion"):
            list(fixture_files([path]))
    finally:
        sys.setrecursionlimit(limit)


def test_many_members_of_an_archive_take_no_memory(tmp_path: Path) -> None:
    """`tarfile` keeps what it has read of every member."""
    member = tarfile.TarInfo("a").tobuf()
    path = tmp_path / "a.tar.xz"
    path.write_bytes(lzma.compress(member * 4_000 + bytes(1024), preset=0))
    assert path.stat().st_size < 2_000
    tracemalloc.start()
    try:
        with pytest.raises(BatchError, match=r"no \.json files"):
            list(fixture_files([path]))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_names_that_no_text_can_hold_are_printed(tmp_path: Path) -> None:
    """JSON can spell lone surrogates, UTF-8 cannot."""
    path = tmp_path / "a.json"
    path.write_text(r'{"\ud800": 5}')
    result = run_command("conformance", str(path))
    assert result.exit_code == REJECTED
    assert r"a.json::\ud800" in result.stdout


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_compressed_trace(tmp_path: Path, codec: str) -> None:
    """A file of some kilobytes could take any memory."""
    trace = PROGRAMS["nothing"]().execute().trace
    assert trace is not None
    path = tmp_path / "a.trace"
    save_trace(trace, path)
    tables = tables_of(path.read_bytes())
    zeros = pa.array(np.zeros(64 << 20, np.uint8))
    tables[-1] = pa.table([zeros], schema=tables[-1].schema)
    path.write_bytes(trace_of(tables, len(tables) - 1, pa.ipc.IpcWriteOptions(compression=codec)))
    assert path.stat().st_size < 2**20
    before = pa.total_allocated_bytes()
    with pytest.raises(TraceFileError, match="table 'data' is compressed"):
        load_trace(path)
    assert pa.total_allocated_bytes() == before


MANY = 30_000
ADDRESS = "0x" + "00" * 20


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": [{}] * MANY},
        {"blocks": [{"coinbase": ADDRESS, "timestamp": 1, "gasLimit": 1, "withdrawals": [{}] * MANY}]},
        {"blocks": [], "ancestorHashes": [0] * 256},
        {"blocks": [], "witness": {"nodes": [0] * MANY}},
        {"blocks": [], "witness": {"nodes": [], "codes": [0] * MANY}},
        {"blocks": [], "genesis": {"gasLimit": 1, "alloc": {f"0x{n:040x}": {"a": 1} for n in range(MANY)}}},
        {"blocks": [], "genesis": {"gasLimit": 1, "alloc": {ADDRESS: {"storage": {str(n): "x" for n in range(MANY)}}}}},
        {"blocks": [], **dict.fromkeys(map(str, range(MANY)), 0)},
    ],
    ids=["blocks", "withdrawals", "hashes", "nodes", "codes", "accounts", "slots", "fields"],
)
def test_many_errors_in_a_batch(change: dict[str, object]) -> None:
    """Each took about a kilobyte, where the item that is wrong takes three bytes."""
    document = {"format": "zkevm-batch/1", "chainId": 1, "fork": "cancun"} | change
    tracemalloc.start()
    try:
        with pytest.raises(BatchError):
            batch_from_document(document)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_many_withdrawals_that_are_none() -> None:
    """A trie of them takes minutes."""
    start = time.process_time()
    with pytest.raises(Invalid, match="withdrawal: a string where a list belongs"):
        check_withdrawals(Chain().parent, [b"\1"] * 400_000)
    assert time.process_time() - start < 1


def test_a_witness_without_the_nodes_of_a_batch_without_blocks() -> None:
    """The path to the contract of EIP-4788 is looked up although nothing is executed."""
    batch = PROGRAMS["nothing"]().execute().with_witness()
    with pytest.raises(BatchError, match=r"^witness: the witness lacks a node of the state trie: 0x"):
        execute(replace(batch, witness=Witness(())))


@cache
def _batch() -> Batch:
    return PROGRAMS["storage"]().execute().with_witness()


def _with_state(*nodes: bytes) -> Batch:
    """A batch whose state has the first of these nodes as its root."""
    batch = _batch()
    parent = rlp.decode(batch.parent_header)
    parent[STATE_ROOT] = keccak(nodes[0])
    return replace(batch, parent_header=rlp.encode(parent), witness=Witness(nodes))


PATH = bytes(31)  # with a flag it is one byte longer: 64 nibbles


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (b"no RLP", "not RLP"),
        ([b""], "not a node of a trie"),
        ([b""] * 17, "not a node of a trie"),
        ([b"\x40" + PATH, b"x"], "not a node of a trie"),
        ([b"\x21" + PATH, b"x"], "not a node of a trie"),
        ([b"\x20\0\0" + PATH, b"x"], "not a node of a trie"),
        ([b"\x20" + PATH, b""], "not a node of a trie"),
        ([b"\x20" + PATH, b"\xc0"], "does not match"),
        ([b"\x20" + PATH, rlp.encode([[b"\1"], b"", bytes(32), bytes(32)])], "cannot be interpreted as an integer"),
        ([b"\x20" + PATH, rlp.encode([b"\1" * 9, b"", bytes(32), bytes(32)])], "an account out of range"),
        ([b"\x20" + PATH, rlp.encode([b"", b"\1" * 33, bytes(32), bytes(32)])], "an account out of range"),
        ([b"\0", bytes(32)], "not a node of a trie"),
    ],
)
def test_malformed_nodes_in_a_witness(node: object, message: str) -> None:
    """py-evm reads them as they are and raises whatever comes of it."""
    with pytest.raises(BatchError, match=rf"^witness\.nodes: malformed node 0x[0-9a-f]{{64}}: .*{message}"):
        execute(_with_state(node if isinstance(node, bytes) else rlp.encode(node)))


@pytest.mark.parametrize("value", [b"\0", b"\xc0", b"\x81\1", b"\xa1" + b"\1" * 33, b"\1\1"])
def test_malformed_slots_in_a_witness(value: bytes) -> None:
    storage = rlp.encode([b"\x20" + PATH, value])
    account = Account(storage_root=keccak(storage), code_hash=EMPTY_CODE_HASH)
    with pytest.raises(BatchError, match=r"^witness\.nodes: malformed node 0x"):
        execute(_with_state(rlp.encode([b"\x20" + PATH, account.encode()]), storage))
