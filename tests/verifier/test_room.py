"""Leaves, writes and codes that no segment can have use for are refused before they are hashed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from eth_hash.auto import keccak

from circuits.batch.execution import Batch, Execution
from circuits.batch.leaves import LeafKind, tree_depth
from circuits.functions import poseidon2
from circuits.limbs import limbs_to_bytes, words_from_ints
from circuits.state.access_tree import Opening
from executor.forks import HISTORY_STORAGE_ADDRESS
from executor.trace import ExecutionTrace
from scripts.batches import set_code, system_calls
from scripts.batches.mixed import mixed_batch
from tests.verifier.demands import ANY_ROWS
from tests.verifier.proving import Proved, proved_batch
from verifier import Rejected, verify
from verifier.container import CodeWrites, ProofFile, SegmentRecord, StateKey, Writes, encode_proof
from verifier.engines import ENGINES
from verifier.errors import Invalid
from verifier.room import LEAF_TABLES, MAX_CREATION_BYTES, check_leaf_room, check_write_room
from verifier.segments import ProvedSegment, Stated
from verifier.system_contracts import BEACON_ROOTS_ADDRESS
from verifier.verify import check_contents

NO_ADDRESS = bytes(20)
#: What a file that is refused may take above an honest verification.
SECONDS_ABOVE = 1.0
BYTES_ABOVE = 200 << 20


@pytest.fixture(scope="module")
def batch() -> Proved:
    """In four segments."""
    return proved_batch()


@pytest.fixture(scope="module")
def file(batch: Proved) -> ProofFile:
    return batch.file


def _with_keys(file: ProofFile, keys: list[StateKey]) -> ProofFile:
    """More leaves, with the writes that name them by number following."""
    merged = tuple(sorted({*file.state_keys, *keys}))
    numbers = {key: number for number, key in enumerate(merged)}
    moved = np.array([numbers[key] for key in file.state_keys], dtype=np.uint32)
    segments = tuple(
        replace(
            segment,
            writes=replace(segment.writes, leaf=moved[segment.writes.leaf]),
            code_writes=replace(segment.code_writes, leaf=moved[segment.code_writes.leaf]),
        )
        for segment in file.segments
    )
    return replace(file, state_keys=merged, segments=segments)


def with_slots(file: ProofFile, kind: LeafKind, count: int) -> ProofFile:
    address = next(address for own, address, _ in file.state_keys if own == LeafKind.ACCOUNT)
    return _with_keys(file, [(int(kind), address, 10**9 + number) for number in range(count)])


def with_codes(file: ProofFile, count: int, size: int) -> ProofFile:
    made = [number.to_bytes(4, "big").ljust(size, b"\x5b") for number in range(count)]
    codes = {keccak(code): code for code in (*file.codes, *made)}
    keys = [(int(LeafKind.CODE), NO_ADDRESS, int.from_bytes(code_hash, "big")) for code_hash in codes]
    return replace(_with_keys(file, keys), codes=tuple(codes[code_hash] for code_hash in sorted(codes)))


def refusal(file: ProofFile) -> Rejected:
    with pytest.raises(Rejected) as caught:
        verify(encode_proof(file))
    return caught.value


def of(rows: dict[str, int], depth: int | None = None) -> ProvedSegment:
    return ProvedSegment(rows, None if depth is None else Stated([0, 0, 1, depth], [], []), 100.0)


@pytest.mark.parametrize(
    "trace",
    [
        lambda: mixed_batch(0).execute().trace,
        lambda: set_code.execution().trace,
        lambda: system_calls.requests().execute().trace,
    ],
    ids=["mixed", "set code", "system calls"],
)
def test_segments_touch_each_leaf(trace: Callable[[], ExecutionTrace]) -> None:
    """But for system contracts whose calls are writes; so honest files have room, however they are cut."""
    batch = Batch.of(trace())
    cuts = batch.operations.cuts.tolist()
    opened = [Opening.of(Execution(batch, first, end)).touched for first, end in pairwise(cuts)]
    keys = batch.leaves.keys
    untouched = np.setdiff1d(np.arange(len(keys)), np.concatenate(opened))
    accounts = untouched[keys.kind[untouched] == LeafKind.ACCOUNT]
    codes = untouched[keys.kind[untouched] == LeafKind.CODE]
    assert len(accounts) + len(codes) == len(untouched)
    assert {*limbs_to_bytes(keys.address[accounts])} <= {BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS}
    assert len(codes) <= len(accounts)


@pytest.mark.parametrize("what", LEAF_TABLES)
def test_leaves_are_counted_by_their_kind(what: str) -> None:
    kinds, tables = LEAF_TABLES[what]
    keys = [(int(kinds[number % len(kinds)]), NO_ADDRESS, number) for number in range(5)]
    depth = tree_depth(5)
    rows: dict[str, int] = dict.fromkeys((table for _, others in LEAF_TABLES.values() for table in others), 8)
    for table in tables:
        rows[table] = 4 // len(tables)
    spare = what in ("accounts", "codes")
    for written in (0, 1):
        fits = spare and written == 1
        if fits:
            check_leaf_room(keys, [of(rows, depth)], written)
        else:
            with pytest.raises(Invalid, match=f"5 {what} among the leaves, of which the segments touch 4 at most"):
                check_leaf_room(keys, [of(rows, depth)], written)
    # Segments touch leaves together.
    check_leaf_room(keys, [of(rows, depth), of({tables[0]: 1}, depth)], 0)


def test_all_leaves_are_counted_before_any_is_looked_at() -> None:
    class Unread(list[StateKey]):
        def __iter__(self) -> object:
            raise AssertionError("looked at")

    keys = Unread([(2, NO_ADDRESS, number) for number in range(9)])
    with pytest.raises(Invalid, match="9 leaves, of which the segments touch 8 at most"):
        check_leaf_room(keys, [of({"storage_leaf": 4, "account_leaf": 4})], 0)


def test_the_tree_is_as_deep_as_the_proofs_say() -> None:
    keys = [(2, NO_ADDRESS, number) for number in range(5)]
    rows = {"storage_leaf": 8}
    check_leaf_room(keys, [of(rows, 3), of(rows)], 0)
    for depth in (2, 4):
        with pytest.raises(Invalid, match="segment 1 is not proved of an access tree over 5 leaves"):
            check_leaf_room(keys, [of(rows, 3), of(rows, depth)], 0)
    with pytest.raises(Invalid, match="segment 0 is not proved"):
        check_leaf_room(keys, [ProvedSegment(rows, Stated([], [], []), 100.0)], 0)


def test_writes_are_counted_in_each_segment() -> None:
    def segment(writes: int, codes: int) -> SegmentRecord:
        return SegmentRecord(
            0, 1, 14, Writes.from_bytes(bytes(48 * writes)), b"", CodeWrites.from_bytes(bytes(40 * codes))
        )

    rows = {"account": 2, "account_code": 1, "storage": 4, "account_leaf": 64}
    check_write_room([segment(7, 1)], [of(rows)])
    with pytest.raises(Invalid, match="segment 1 has 8 writes, of which its tables have 7 at most"):
        check_write_room([segment(7, 1), segment(8, 0)], [of(rows), of(rows)])
    with pytest.raises(Invalid, match="segment 0 has 2 writes of codes, of which its tables have 1 at most"):
        check_write_room([segment(0, 2)], [of(rows)])


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (lambda f: with_slots(f, LeafKind.STORAGE, 400), "leaves: 4[0-9]{2} leaves, of which"),
        (lambda f: with_slots(f, LeafKind.TRANSIENT, 400), "leaves: 4[0-9]{2} leaves, of which"),
        (lambda f: with_codes(f, 8, 100), "leaves: [0-9]+ codes among the leaves"),
        (lambda f: with_codes(f, 1, MAX_CREATION_BYTES + 1), "(leaves|codes): "),
    ],
    ids=["slots", "transient slots", "codes", "a long code"],
)
def test_junk_is_refused_without_hashing_it(
    file: ProofFile, lie: Callable[[ProofFile], ProofFile], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By proofs that are valid: what is hashed for it is what is hashed for the honest file before that check."""
    hashed = 0

    def count(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        nonlocal hashed
        hashed += len(left)
        return compress(left, right)

    compress = poseidon2.compress
    for module in ("circuits.batch.leaves", "circuits.batch.code_trees", "verifier.segments"):
        monkeypatch.setattr(f"{module}.compress", count)
    verify(encode_proof(file))
    honest, hashed = hashed, 0
    found = refusal(lie(file))
    assert found.check in ("leaves", "codes")
    assert re.match(reason, str(found)), str(found)
    assert hashed == 0 < honest


def _codes_refusal(file: ProofFile, rows: dict[str, int]) -> str | None:
    try:
        check_contents(encode_proof(file), [rows] * len(file.segments))
    except Rejected as rejected:
        return f"{rejected.check}: {rejected.reason}"
    return None


def test_codes_that_no_account_has_are_of_creations(file: ProofFile) -> None:
    rows = {**ANY_ROWS, "create": 1, "deposit": 0}
    passing = len(file.segments)  # the rows of `create` in all of them
    kept = _codes_refusal(file, {**rows, "create": 0})
    assert kept is None
    assert _codes_refusal(with_codes(file, passing, MAX_CREATION_BYTES), rows) is None
    assert _codes_refusal(with_codes(file, passing + 1, 100), rows) == (
        f"codes: {passing + 1} codes that no account has, of which the segments create {passing} at most"
    )
    assert _codes_refusal(with_codes(file, 1, MAX_CREATION_BYTES + 1), rows) == (
        f"codes: a code of {MAX_CREATION_BYTES + 1:,} bytes that no account has"
    )


def test_a_code_that_is_written_is_used(file: ProofFile) -> None:
    more = with_codes(file, 1, MAX_CREATION_BYTES + 1)
    (code,) = {*more.codes} - {*file.codes}
    leaf = max(number for number, key in enumerate(more.state_keys) if key[0] == LeafKind.ACCOUNT)
    written = CodeWrites(
        scope=np.zeros(1, np.uint32),
        leaf=np.array([leaf], np.uint32),
        code_hash=words_from_ints([int.from_bytes(keccak(code), "big")]),
    )
    lie = replace(more, segments=(replace(more.segments[0], code_writes=written), *more.segments[1:]))
    refused = _codes_refusal(lie, {**ANY_ROWS, "create": 0, "deposit": 0})
    assert refused is not None
    assert refused.startswith("state roots: ")


_MEASURED = """
import resource, sys, time
from pathlib import Path
from verifier import Rejected, verify

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

honest, junk = (Path(path).read_bytes() for path in sys.argv[1:3])
engine = sys.argv[3]
verify(honest, engine)
start = time.process_time()
verify(honest, engine)
honest_seconds, honest_peak = time.process_time() - start, peak()
start = time.process_time()
try:
    verify(junk, engine)
except Rejected as rejected:
    print(rejected.check, time.process_time() - start - honest_seconds, peak() - honest_peak)
"""


@pytest.mark.deep
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (lambda f: with_slots(f, LeafKind.STORAGE, 400_000), "leaves"),
        (lambda f: with_slots(f, LeafKind.TRANSIENT, 400_000), "leaves"),
        (lambda f: with_slots(f, LeafKind.TRANSIENT, 1_000_000), "leaves"),
        (lambda f: with_codes(f, 2, 1 << 20), "leaves"),
        (lambda f: with_codes(f, 85, 24_576), "leaves"),
        (lambda f: with_codes(f, 16, 1 << 19), "leaves"),
    ],
    ids=["slots", "transient", "a million", "2 MB of codes", "many codes", "8 MB of codes"],
)
def test_what_junk_costs(
    file: ProofFile, tmp_path: Path, engine: str, lie: Callable[[ProofFile], ProofFile], check: str
) -> None:
    """Processor time and memory above an honest verification, in a process of its own."""
    paths = tmp_path / "honest", tmp_path / "junk"
    for path, content in zip(paths, (file, lie(file)), strict=True):
        path.write_bytes(encode_proof(content))
    run = subprocess.run(
        [sys.executable, "-c", _MEASURED, *map(str, paths), engine],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    found, seconds, memory = run.stdout.split()
    assert found == check
    assert float(seconds) <= SECONDS_ABOVE
    assert int(memory) <= BYTES_ABOVE
