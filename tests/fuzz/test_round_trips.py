"""Values of every kind: what is encoded is what is decoded again."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.batch import Batch, parse_batch
from executor.trace import ExecutionTrace
from executor.trace_file import load_trace, save_trace
from scripts.batches.chain import Chain, _reachable, sample_chain, state_trie, storage_trie
from scripts.fuzzing.batches import batch_tree, batches
from scripts.fuzzing.proofs import proof_bytes, proof_files, proof_tree
from scripts.fuzzing.target import scratch_file
from scripts.fuzzing.traces import traces
from scripts.fuzzing.trees import to_json
from verifier.container import BatchRecord, CodeWrites, Links, ProofFile, Writes, decode_proof, encode_proof
from verifier.tries import EMPTY_CODE_HASH, Account, StateTrie

few = settings(max_examples=30, derandomize=True, database=None, deadline=None)


@few
@given(batches())
def test_batches(batch: Batch) -> None:
    assert parse_batch(to_json(batch_tree(batch))) == batch


@few
@given(traces())
def test_traces(trace: ExecutionTrace) -> None:
    with scratch_file(b"") as file:
        save_trace(trace, file)
        assert load_trace(file).digest() == trace.digest()


@few
@given(proof_files())
def test_proof_files(file: ProofFile) -> None:
    decoded = decode_proof(encode_proof(file))
    assert _plain(decoded) == _plain(file)


def _plain(file: ProofFile) -> list[Any]:
    """What a proof file holds, in a form that can be compared."""
    return [file.statement, file.parent_header, None if file.one_proof is None else bytes(file.one_proof)] + [
        _plain_batch(batch) for batch in file.batches
    ]


def _plain_batch(batch: BatchRecord) -> list[Any]:
    names = [field.name for field in fields(BatchRecord) if field.name not in ("segments", "state_keys")]
    segments = [
        (
            segment.first,
            segment.end,
            segment.log_stacked_height,
            segment.form,
            segment.claim,
            segment.open_end,
            _columns(segment.links),
            bytes(segment.proof),
            _columns(segment.writes),
            _columns(segment.code_writes),
        )
        for segment in batch.segments
    ]
    return [*(getattr(batch, name) for name in names), tuple(batch.state_keys), segments]


def _columns(record: Writes | CodeWrites | Links) -> list[Any]:
    columns = [getattr(record, name) for name in type(record).__slots__]
    return [(column.dtype, column.shape, np.asarray(column).tobytes()) for column in columns]


def test_undamaged_trees_are_the_files_they_were_made_of() -> None:
    for file in (sample_chain().file(4), Chain().file()):
        assert proof_bytes(proof_tree(file)) == encode_proof(file)


numbers = st.integers(0, 2**256 - 1)
slots = st.dictionaries(numbers, st.integers(1, 2**256 - 1), max_size=8)
addresses = st.binary(min_size=20, max_size=20)


@few
@given(st.dictionaries(addresses, st.tuples(st.integers(1, 2**64 - 1), numbers, slots), min_size=1, max_size=8), slots)
def test_tries(state: dict[bytes, tuple[int, int, dict[int, int]]], changes: dict[int, int]) -> None:
    """A trie that is read and written as the verifier does is the one that the library makes at once."""
    storages = {address: storage_trie(values) for address, (_, _, values) in state.items()}
    accounts = {
        address: Account(nonce, balance, storages[address].root_hash, EMPTY_CODE_HASH)
        for address, (nonce, balance, _) in state.items()
    }
    trie = state_trie(accounts)
    nodes = {node for source in (trie, *storages.values()) for node in _reachable(source)}
    shown = StateTrie(trie.root_hash, sorted(nodes))
    for address, (_, _, values) in state.items():
        assert shown.read(address) == accounts[address]
        assert shown.read_slots(address, accounts[address].storage_root, list(values)) == list(values.values())
    address, (nonce, balance, values) = next(iter(state.items()))
    root = shown.write_slots(address, accounts[address].storage_root, changes)
    assert root == storage_trie(values | changes).root_hash
    written = Account(nonce, balance, root, EMPTY_CODE_HASH)
    shown.write(address, written)
    assert shown.root == state_trie(accounts | {address: written}).root_hash
