"""Whole proof files: honest ones are accepted, and each lie is refused by the check that is there for it.

Most of it needs no proofs: the fixture `expected` tells what the verifier demands of them, and a lie that passes all
other checks must change that.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
import pytest
import rlp
from eth_hash.auto import keccak

from circuits.limbs import words_from_ints
from executor.postponed import POSTPONED
from scripts.batches.chain import (
    ACCOUNT,
    BLOCK_HASH,
    CODE,
    CONTRACT,
    CONTRACT_CODE,
    CROSSING,
    DEPOSIT,
    NEWCOMER,
    NO_ADDRESS,
    NO_REQUESTS,
    OTHER,
    SENDERS,
    STORAGE,
    TRANSIENT,
    Chain,
    Transfer,
    Withdrawn,
    crossing_chain,
    deposit_log,
    list_root,
    refit_receipts,
    reheader,
    requests_digest,
    sample_chain,
)
from tests.verifier.conftest import Expected
from tests.verifier.demands import ANY_ROWS, check_unproved
from tests.verifier.proving import Proved, proved_batch
from verifier import CHECKS, BatchStatement, Rejected, UnusableInput, keys, verify, verify_file
from verifier.container import (
    CodeWrites,
    LogRecord,
    ProofFile,
    ReceiptRecord,
    SegmentRecord,
    StateKey,
    Writes,
    encode_proof,
)
from verifier.engines import ENGINES
from verifier.forks import CANCUN, FORKS, Schedule
from verifier.headers import EMPTY_TRIE_ROOT, decode_header
from verifier.keys import SUPPORTED_HEIGHTS
from verifier.operations import BlockContents, operations_of
from verifier.segments import ProvedSegment, Stated, ordered_code_writes, ordered_writes
from verifier.state import BatchState
from verifier.system_contracts import BEACON_ROOTS_ADDRESS, written_contracts
from verifier.transactions import decode_transaction
from verifier.tries import Account, StateTrie
from verifier.verify import circuits_of_segments
from verifier.withdrawals import decode_withdrawal

TRANSACTIONS, SEGMENTS = 6, 4


@pytest.fixture(scope="module")
def batch() -> Proved:
    """A batch with real proofs."""
    return proved_batch()


@pytest.fixture(scope="module")
def proved(batch: Proved) -> ProofFile:
    """Its proof file."""
    return batch.file


def rejection(file: ProofFile) -> Rejected:
    """Why a file is refused; if its proofs are placeholders, what is refused of it whatever they are is the reason."""
    with pytest.raises(Rejected) as caught:
        verify(encode_proof(file))
    error = caught.value
    if error.check == "proofs":
        try:
            check_unproved(file)
        except Rejected as without_proofs:
            error = without_proofs
    assert error.reason
    bugs = (TypeError, AttributeError, AssertionError, IndexError, KeyError, ValueError)
    assert not isinstance(error.__cause__, bugs), repr(error.__cause__)
    return error


def flipped(data: bytes | memoryview, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


def put(items: tuple[Any, ...], number: int, item: Any) -> tuple[Any, ...]:
    number %= len(items)
    return (*items[:number], item, *items[number + 1 :])


def change_block(file: ProofFile, number: int, **changes: Any) -> ProofFile:
    return replace(file, blocks=put(file.blocks, number, replace(file.blocks[number], **changes)))


def restate(file: ProofFile, **changes: Any) -> ProofFile:
    return replace(file, statement=replace(file.statement, **changes))


def change_segment(file: ProofFile, number: int, **changes: Any) -> ProofFile:
    return replace(file, segments=put(file.segments, number, replace(file.segments[number], **changes)))


def change_receipt(file: ProofFile, number: int, **changes: Any) -> ProofFile:
    return replace(file, receipts=put(file.receipts, number, replace(file.receipts[number], **changes)))


def change_log(file: ProofFile, receipt: int, log: int, **changes: Any) -> ProofFile:
    logs = file.receipts[receipt].logs
    return change_receipt(file, receipt, logs=put(logs, log, replace(logs[log], **changes)))


def exchange_first(file: ProofFile, change: Callable[[bytes], bytes]) -> ProofFile:
    """Another first transaction in the first block, whose header commits to it."""
    transactions = put(file.blocks[0].transactions, 0, change(file.blocks[0].transactions[0]))
    return reheader(change_block(file, 0, transactions=transactions), 0, transactions_root=list_root(transactions))


def unsigned(raw: bytes) -> bytes:
    """The transaction with zeros for a signature."""
    prefix = raw[:1] if raw[0] < 0x80 else b""
    return prefix + rlp.encode([*rlp.decode(raw[len(prefix) :])[:-2], b"", b""])


def pick(writes: Writes, rows: Any) -> Writes:
    """Some rows of writes, in the order of their numbers."""
    rows = np.asarray(rows, dtype=np.int64)
    return Writes(writes.scope[rows], writes.leaf[rows], writes.value[rows], writes.nonce[rows])


def rewrite(file: ProofFile, change: Callable[[Writes], Writes], segment: int = 0) -> ProofFile:
    """Other writes in a segment."""
    return change_segment(file, segment, writes=change(file.segments[segment].writes))


def rows_of(file: ProofFile, writes: Writes, kind: int) -> list[int]:
    return [row for row, leaf in enumerate(writes.leaf.tolist()) if file.state_keys[leaf][0] == kind]


def alter(field: str, row: int, value: int) -> Callable[[Writes], Writes]:
    """Writes with one number changed; of words and nonces the lowest limb."""

    def change(writes: Writes) -> Writes:
        array = getattr(writes, field).copy()
        array[(row, 0) if array.ndim == 2 else row] = value
        return replace(writes, **{field: array})

    return change


def code_writes(*rows: tuple[int, int, int]) -> CodeWrites:
    """Rows of scope, leaf and code hash."""
    return CodeWrites(
        scope=np.array([row[0] for row in rows], dtype=np.uint32),
        leaf=np.array([row[1] for row in rows], dtype=np.uint32),
        code_hash=words_from_ints([row[2] for row in rows]),
    )


def with_code(file: ProofFile, scope: int, key: StateKey | int, code_hash: int = 77, segment: int = 0) -> ProofFile:
    """A code hash that is written to a leaf."""
    leaf = key if isinstance(key, int) else file.state_keys.index(key)
    return change_segment(file, segment, code_writes=code_writes((scope, leaf, code_hash)))


def without(writes: Writes, row: int) -> Writes:
    return pick(writes, [i for i in range(len(writes)) if i != row])


def with_keys(file: ProofFile, *keys: StateKey) -> ProofFile:
    """More leaves, with the writes that name them by number following."""
    merged = tuple(sorted({*file.state_keys, *keys}))
    moved = np.array([merged.index(key) for key in file.state_keys], dtype=np.uint32)
    segments = tuple(replace(s, writes=replace(s.writes, leaf=moved[s.writes.leaf])) for s in file.segments)
    return replace(file, state_keys=merged, segments=segments)


class TestAccepted:
    def test_a_proved_batch(self, proved: ProofFile) -> None:
        data = encode_proof(proved)
        report = verify(data)
        assert report.statement == proved.statement
        assert (report.transactions, report.segments) == (TRANSACTIONS, SEGMENTS)
        assert report.blocks == len(proved.blocks)
        assert report.proof_bytes == len(data)
        assert report.security_bits is not None
        assert report.security_bits >= 100
        assert [(c.name, c.establishes) for c in report.checks] == [(c.name, c.establishes) for c in CHECKS]
        document = report.to_dict()
        assert document["digest"] == "0x" + proved.statement.digest.hex()
        assert document["seconds"] == report.seconds > 0
        assert [check["name"] for check in document["checks"]] == [check.name for check in CHECKS]

    def test_what_the_driver_states_is_demanded(self, batch: Proved, expected: Expected) -> None:
        assert expected(batch.file) == [[*job.public_values.to_list(), *job.frames, *job.words] for job in batch.jobs]

    def test_a_batch_without_blocks_says_that_nothing_changed(self) -> None:
        chain = Chain()
        statement = verify(encode_proof(chain.file())).statement
        assert statement.pre_state_root == statement.post_state_root == chain.parent.state_root
        assert statement.first_block_hash == statement.last_block_hash == chain.parent.hash
        assert statement.gas_used == 0

    def test_blocks_without_operations(self) -> None:
        chain = Chain()
        chain.block()
        chain.block()
        report = verify(encode_proof(chain.file()))
        assert (report.blocks, report.transactions, report.segments, report.security_bits) == (2, 0, 0, None)
        assert report.statement.last_block_number == report.statement.first_block_number + 1 == 2

    def test_blocks_without_transactions(self, expected: Expected) -> None:
        chain = Chain(beacon_roots=True)
        chain.block(withdrawals=[Withdrawn(NEWCOMER, 5)])
        chain.block()
        assert len(expected(chain.file(1))) == 2

    def test_a_file(self, proved: ProofFile, tmp_path: Any) -> None:
        path = tmp_path / "batch.proof"
        path.write_bytes(encode_proof(proved))
        assert verify_file(path).statement == proved.statement
        with pytest.raises(UnusableInput):
            verify_file(tmp_path / "missing")

    def test_progress(self, proved: ProofFile) -> None:
        seen: list[tuple[str, int, int]] = []
        verify(encode_proof(proved), progress=lambda *step: seen.append(step))
        assert list(dict.fromkeys(name for name, _, _ in seen)) == [check.name for check in CHECKS]
        assert all(0 <= done <= total for _, done, total in seen)
        assert ("proofs", 1, SEGMENTS) in seen
        assert ("transactions", TRANSACTIONS, TRANSACTIONS) in seen


def test_only_the_placeholder_proof_of_a_handmade_chain_is_refused(file: ProofFile, expected: Expected) -> None:
    """All other checks agree with headers, roots and receipts that come from plain arithmetic."""
    assert rejection(file).check == "proofs"
    assert len(expected(file)) == 2


@pytest.mark.parametrize("cuts", [(), (1,), (7,), (8,), tuple(range(1, 14))])
def test_however_the_segments_are_cut(chain: Chain, expected: Expected, cuts: tuple[int, ...]) -> None:
    """Within a block, between blocks, around withdrawals, one for each operation: the ends are the same."""
    whole, parts = expected(chain.file())[0], expected(chain.file(*cuts))
    assert len(parts) == len(cuts) + 1
    ins = [slice(12 + 16 * i - 8, 12 + 16 * i) for i in range(2)]
    outs = [slice(12 + 16 * i, 20 + 16 * i) for i in range(2)]
    for part in ins:
        assert parts[0][part] == whole[part]
    for part in outs:
        assert parts[-1][part] == whole[part]
    assert (parts[0][44:52], parts[-1][52:60]) == (whole[44:52], whole[52:60])
    for before, after in pairwise(parts):
        assert before[2] == after[1]
        assert before[12:20] == after[4:12]
        assert before[28:36] == after[20:28]
        assert before[52:60] == after[44:52]


#: Lies about the sample chain, in two segments: the operations 0 to 3 (a beacon root, three transactions), and 4 to 13
#: (a contract call and two withdrawals, a block of a beacon root, another one and five transactions).
LIES: list[tuple[str, str, Callable[[ProofFile], ProofFile]]] = [
    ("format", "receipt's status", lambda f: change_receipt(f, 0, status=2)),
    ("format", "five topics", lambda f: change_log(f, 3, 2, topics=(bytes(32),) * 5)),
    ("headers", "fork", lambda f: restate(f, fork="prague")),
    ("headers", "fork of no block", lambda f: restate(f, fork="cancun, prague from 9999")),
    ("headers", "no fork", lambda f: restate(f, fork="")),
    ("headers", "requests hash", lambda f: reheader(f, 1, requests_hash=NO_REQUESTS)),
    ("headers", "parent", lambda f: replace(f, parent_header=f.blocks[0].header)),
    ("headers", "timestamp", lambda f: reheader(f, 0, timestamp=0)),
    ("headers", "base fee", lambda f: reheader(f, 1, base_fee=1)),
    ("headers", "excess blob gas", lambda f: reheader(f, 1, excess_blob_gas=1)),
    ("headers", "order", lambda f: replace(f, blocks=f.blocks[::-1])),
    ("headers", "ancestor", lambda f: replace(f, ancestors=(f.parent_header,))),
    ("headers", "missing", lambda f: replace(f, blocks=put(f.blocks, 0, replace(f.blocks[0], header=b"")))),
    ("transactions", "repeated", lambda f: change_block(f, 0, transactions=f.blocks[0].transactions[:1] * 4)),
    ("transactions", "unsigned", lambda f: exchange_first(f, unsigned)),
    ("transactions", "order", lambda f: change_block(f, 0, transactions=f.blocks[0].transactions[::-1])),
    ("transactions", "dropped", lambda f: change_block(f, 0, transactions=f.blocks[0].transactions[1:])),
    ("transactions", "chain", lambda f: replace(f, statement=replace(f.statement, chain_id=5))),
    ("transactions", "gas of a receipt", lambda f: change_receipt(f, 0, gas_used=20999)),
    ("transactions", "gas of the header", lambda f: reheader(f, -1, gas_used=42)),
    ("transactions", "blob gas of the header", lambda f: reheader(f, -1, blob_gas_used=131072)),
    ("transactions", "root", lambda f: reheader(f, 0, transactions_root=bytes(32))),
    ("transactions", "receipt dropped", lambda f: replace(f, receipts=f.receipts[1:])),
    ("transactions", "receipt added", lambda f: replace(f, receipts=(*f.receipts, f.receipts[0]))),
    ("withdrawals", "root", lambda f: reheader(f, 0, withdrawals_root=EMPTY_TRIE_ROOT)),
    ("withdrawals", "order", lambda f: change_block(f, 0, withdrawals=f.blocks[0].withdrawals[::-1])),
    ("withdrawals", "dropped", lambda f: change_block(f, 0, withdrawals=f.blocks[0].withdrawals[:1])),
    ("withdrawals", "added", lambda f: change_block(f, 1, withdrawals=f.blocks[0].withdrawals[:1])),
    ("withdrawals", "amount", lambda f: change_block(f, 0, withdrawals=(Withdrawn(SENDERS[2], 4).encode(),) * 2)),
    ("receipts", "status", lambda f: change_receipt(f, 0, status=0)),
    ("receipts", "status of a failure", lambda f: change_receipt(f, 6, status=1)),
    ("receipts", "gas moved", lambda f: change_receipt(change_receipt(f, 0, gas_used=21001), 2, gas_used=20999)),
    ("receipts", "order", lambda f: replace(f, receipts=put(put(f.receipts, 3, f.receipts[2]), 2, f.receipts[3]))),
    ("receipts", "root", lambda f: reheader(f, 0, receipts_root=bytes(32))),
    ("receipts", "bloom", lambda f: reheader(f, 0, logs_bloom=bytes(256))),
    ("receipts", "fuller bloom", lambda f: reheader(f, 1, logs_bloom=b"\x80" + bytes(255))),
    ("receipts", "log changed", lambda f: change_log(f, 3, 0, address=OTHER)),
    ("receipts", "topic changed", lambda f: change_log(f, 3, 0, topics=(b"\x01" * 32, b"\x03" * 32))),
    ("receipts", "topic dropped", lambda f: change_log(f, 3, 0, topics=(b"\x01" * 32,))),
    ("receipts", "topic added", lambda f: change_log(f, 3, 1, topics=(bytes(32),))),
    ("receipts", "data byte", lambda f: change_log(f, 3, 0, data=flipped(f.receipts[3].logs[0].data, 35))),
    ("receipts", "data longer", lambda f: change_log(f, 3, 1, data=b"\0")),
    ("receipts", "log dropped", lambda f: change_receipt(f, 3, logs=f.receipts[3].logs[1:])),
    ("receipts", "log added", lambda f: change_receipt(f, 3, logs=f.receipts[3].logs + f.receipts[3].logs[:1])),
    ("receipts", "logs in another order", lambda f: change_receipt(f, 3, logs=f.receipts[3].logs[::-1])),
    ("receipts", "log moved", lambda f: _moved_log(f)),
    ("requests", "an output", lambda f: change_block(f, 1, outputs=(b"",))),
    ("requests", "two outputs", lambda f: change_block(f, 0, outputs=(b"", b""))),
    ("leaves", "order", lambda f: replace(f, state_keys=f.state_keys[::-1])),
    ("leaves", "repeated", lambda f: replace(f, state_keys=put(f.state_keys, 1, f.state_keys[0]))),
    ("leaves", "unknown kind", lambda f: replace(f, state_keys=(*f.state_keys, (6, NO_ADDRESS, 0)))),
    ("leaves", "kind 0", lambda f: replace(f, state_keys=((0, NO_ADDRESS, 0), *f.state_keys))),
    ("leaves", "account with a slot", lambda f: with_keys(f, (ACCOUNT, CONTRACT, 1))),
    ("leaves", "code with an address", lambda f: with_keys(f, (CODE, CONTRACT, 1))),
    ("leaves", "hash of an unknown block", lambda f: with_keys(f, (BLOCK_HASH, NO_ADDRESS, 77))),
    ("leaves", "another code", lambda f: replace(f, codes=put(f.codes, 0, CONTRACT_CODE + b"\0"))),
    ("leaves", "codes in another order", lambda f: replace(f, codes=f.codes[::-1])),
    ("leaves", "code dropped", lambda f: replace(f, codes=f.codes[1:])),
    ("leaves", "code added", lambda f: replace(f, codes=(*f.codes, b"\1"))),
    ("leaves", "another hash for a code", lambda f: _code_with_hash(f, 0)),
    ("witness", "node missing", lambda f: _without_node(f, f.statement.pre_state_root)),
    ("witness", "node of another trie", lambda f: _flipped_node(f, 0)),
    ("witness", "superfluous node", lambda f: replace(f, state_nodes=(*f.state_nodes, b"\xc2\x20\x05"))),
    ("witness", "no witness", lambda f: replace(f, state_nodes=())),
    ("pre-state", "account not shown", lambda f: _unseen_account(f)),
    ("pre-state", "slot not shown", lambda f: _unseen_slot(f)),
    ("segments", "dropped", lambda f: replace(f, segments=f.segments[:1])),
    ("segments", "none", lambda f: replace(f, segments=())),
    ("segments", "repeated", lambda f: replace(f, segments=(*f.segments, f.segments[1]))),
    ("segments", "reordered", lambda f: replace(f, segments=f.segments[::-1])),
    ("segments", "unknown key", lambda f: change_segment(f, 0, log_stacked_height=max(SUPPORTED_HEIGHTS) + 1)),
    ("writes", "write to no leaf", lambda f: rewrite(f, alter("leaf", 0, len(f.state_keys)))),
    ("writes", "write to a code", lambda f: rewrite(f, alter("leaf", 0, _leaf(f, CODE)))),
    ("writes", "write to a block hash", lambda f: rewrite(f, alter("leaf", -1, _leaf(f, BLOCK_HASH)))),
    ("writes", "write to transient storage", lambda f: rewrite(f, alter("leaf", -1, _leaf(f, TRANSIENT)))),
    ("writes", "account written by an operation", lambda f: rewrite(f, alter("scope", 0, 1))),
    ("writes", "slot written by a later operation", lambda f: rewrite(f, alter("scope", -1, 4))),
    ("writes", "slot written in an earlier segment", lambda f: rewrite(f, alter("scope", -1, 3), 1)),
    ("writes", "account written in a later block", lambda f: rewrite(f, alter("scope", 0, 7))),
    ("writes", "writes in another segment", lambda f: change_segment(f, 0, writes=f.segments[1].writes)),
    ("writes", "code without a leaf", lambda f: with_code(f, 0, len(f.state_keys))),
    ("writes", "code of a slot", lambda f: with_code(f, 0, _leaf(f, STORAGE))),
    ("writes", "code of a code", lambda f: with_code(f, 0, _leaf(f, CODE))),
    ("writes", "code written by an operation", lambda f: with_code(f, 1, (ACCOUNT, SENDERS[0], 0))),
    ("writes", "code written in a later block", lambda f: with_code(f, 7, (ACCOUNT, SENDERS[0], 0))),
    ("writes", "code of the beacon roots", lambda f: with_code(*_with_beacon_roots(f))),
    ("state roots", "code", lambda f: with_code(f, 0, (ACCOUNT, SENDERS[0], 0))),
    ("state roots", "code in the next segment", lambda f: with_code(f, 7, (ACCOUNT, SENDERS[0], 0), segment=1)),
    ("state roots", "root", lambda f: reheader(f, 0, state_root=bytes(32))),
    ("state roots", "root of the last block", lambda f: reheader(f, -1, state_root=bytes(32))),
    ("state roots", "balance", lambda f: rewrite(f, alter("value", 0, 77), 1)),
    ("state roots", "nonce", lambda f: rewrite(f, alter("nonce", 0, 77), 1)),
    ("state roots", "slot", lambda f: rewrite(f, alter("value", -1, 77), 1)),
    ("state roots", "slot of a beacon root", lambda f: rewrite(f, alter("value", -1, 77))),
    ("state roots", "write dropped", lambda f: rewrite(f, lambda w: without(w, len(w) - 1), 1)),
    ("state roots", "write of an account dropped", lambda f: rewrite(f, lambda w: without(w, 0), 1)),
    ("state roots", "write added", lambda f: rewrite(f, lambda w: _appended(f, w, (STORAGE, SENDERS[3], 0), 8))),
    ("state roots", "write to another leaf", lambda f: rewrite(f, alter("leaf", -1, _leaf(f, STORAGE)), 1)),
    ("state roots", "write in another block", lambda f: rewrite(f, alter("scope", -1, 7), 1)),
    ("state roots", "no writes", lambda f: rewrite(f, lambda w: pick(w, []), 1)),
    ("state roots", "two writes in the other order", lambda f: _swapped_scopes(f)),
    ("statement", "gas", lambda f: replace(f, statement=replace(f.statement, gas_used=1))),
    ("proofs", "placeholder", lambda f: f),
]  # fmt: skip


def _leaf(file: ProofFile, kind: int) -> int:
    """The first leaf of a kind."""
    return next(number for number, key in enumerate(file.state_keys) if key[0] == kind)


def _with_beacon_roots(file: ProofFile) -> tuple[ProofFile, int, StateKey]:
    key = (ACCOUNT, BEACON_ROOTS_ADDRESS, 0)
    return with_keys(file, key), 0, key


def _appended(file: ProofFile, writes: Writes, key: StateKey, value: int) -> Writes:
    """One more write to a slot, by the last operation of the first segment."""
    return Writes(
        np.append(writes.scope, np.uint32(3)),
        np.append(writes.leaf, np.uint32(file.state_keys.index(key))),
        np.concatenate([writes.value, words_from_ints([value])]),
        np.concatenate([writes.nonce, np.zeros((1, 4), np.uint16)]),
    )


def _moved_log(file: ProofFile) -> ProofFile:
    """The last log of a transaction as the first one of the next block's, where the root of neither fits."""
    moved = change_receipt(file, 3, logs=file.receipts[3].logs[:-1])
    return change_receipt(moved, 2, logs=file.receipts[3].logs[-1:])


def _swapped_scopes(file: ProofFile) -> ProofFile:
    """Slot 99 is cleared first and set then."""

    def swap(writes: Writes) -> Writes:
        leaf = file.state_keys.index((STORAGE, CONTRACT, 99))
        first, last = np.flatnonzero(writes.leaf == leaf)
        value = writes.value.copy()
        value[[first, last]] = value[[last, first]]
        return replace(writes, value=value)

    return rewrite(file, swap, 1)


def _unseen_account(file: ProofFile) -> ProofFile:
    """A leaf for an account whose path is not in the witness."""
    accounts = {bytes([n]) * 20: Account(balance=n + 1) for n in range(40)}
    chain = Chain({**accounts, **{sender: Account(balance=10**20) for sender in SENDERS}})
    chain.block(Transfer(0, SENDERS[1]))
    return with_keys(chain.file(), (ACCOUNT, b"\x05" * 20, 0))


def _unseen_slot(file: ProofFile) -> ProofFile:
    """The witness without one node of a storage trie that a leaf needs."""
    proof = sample_chain().pre_storage[CONTRACT].get_proof(keccak((4).to_bytes(32, "big")))
    return _without_node(file, keccak(rlp.encode(proof[-1])))


def _without_node(file: ProofFile, node_hash: bytes) -> ProofFile:
    rest = tuple(node for node in file.state_nodes if keccak(node) != node_hash)
    assert len(rest) == len(file.state_nodes) - 1
    return replace(file, state_nodes=rest)


def _flipped_node(file: ProofFile, number: int) -> ProofFile:
    return replace(file, state_nodes=put(file.state_nodes, number, flipped(file.state_nodes[number], -1)))


def _code_with_hash(file: ProofFile, code_hash: int) -> ProofFile:
    """Another code, with a leaf of its own for a hash that it does not have."""
    return with_keys(replace(file, codes=(b"\1", *file.codes)), (CODE, NO_ADDRESS, code_hash))


@pytest.mark.parametrize(("check", "lie"), [pytest.param(c, lie, id=f"{c}: {name}") for c, name, lie in LIES])
def test_each_lie_is_refused_by_its_check(file: ProofFile, check: str, lie: Callable[[ProofFile], ProofFile]) -> None:
    assert rejection(lie(file)).check == check


def test_every_check_refuses_something() -> None:
    # What the proofs must say is computed from what all others have checked; of codes see `test_room`.
    assert {check for check, _, _ in LIES} == {check.name for check in CHECKS} - {"codes", "commitments"}


PROOF_LIES: list[tuple[str, str, Callable[[ProofFile], ProofFile]]] = [
    ("proofs", "the other form of the circuit", lambda f: change_segment(f, 0, light=not f.segments[0].light)),
    ("proofs", "another key", lambda f: change_segment(f, 0, log_stacked_height=f.segments[0].log_stacked_height + 1)),
    ("proofs", "repeated proof", lambda f: change_segment(f, 1, proof=f.segments[0].proof)),
    ("leaves", "moved border", lambda f: change_segment(change_segment(f, 1, end=5), 2, first=5)),
    ("leaves", "one proof for all", lambda f: _joined(f)),
    ("leaves", "proof of another batch", lambda f: change_segment(f, 0, proof=_foreign_proof())),
    ("proofs", "empty", lambda f: change_segment(f, 0, proof=b"")),
    ("proofs", "changed", lambda f: change_segment(f, 1, proof=flipped(f.segments[1].proof, 5000))),
    ("commitments", "writes in another order", lambda f: rewrite(f, lambda w: pick(w, range(len(w))[::-1]))),
    ("commitments", "write repeated", lambda f: rewrite(f, lambda w: pick(w, [*range(len(w)), len(w) - 1]))),
    ("commitments", "leaf added", lambda f: with_keys(f, (TRANSIENT, CONTRACT, 77))),
    ("commitments", "leaf dropped", lambda f: _without_hash(f)),
]  # fmt: skip


def _foreign_proof() -> bytes | memoryview:
    return proved_batch(1).file.segments[0].proof


def _joined(file: ProofFile) -> ProofFile:
    """The proof of the last segment as one of all operations."""
    writes = ordered_writes(file.segments)
    return replace(file, segments=(replace(file.segments[-1], first=0, writes=writes),))


def _without_hash(file: ProofFile) -> ProofFile:
    """The leaf of the block hash is the last one."""
    assert file.state_keys[-1][0] == BLOCK_HASH
    return replace(file, state_keys=file.state_keys[:-1])


@pytest.mark.parametrize(("check", "lie"), [pytest.param(c, lie, id=name) for c, name, lie in PROOF_LIES])
def test_each_lie_about_a_proof_is_refused(
    proved: ProofFile, check: str, lie: Callable[[ProofFile], ProofFile]
) -> None:
    assert rejection(lie(proved)).check == check


@pytest.mark.parametrize("name", BatchStatement.__slots__)
def test_each_field_of_the_statement_is_compared(file: ProofFile, name: str) -> None:
    value = getattr(file.statement, name)
    other = flipped(value, 7) if isinstance(value, bytes) else "shanghai" if isinstance(value, str) else value + 1
    error = rejection(replace(file, statement=replace(file.statement, **{name: other})))
    assert error.check == {"chain_id": "transactions", "fork": "headers"}.get(name, "statement")


def restated(file: ProofFile) -> ProofFile:
    """A file whose writes have been changed, with everything a liar can make fit: state roots, hashes, statement."""
    parent = decode_header(file.parent_header)
    headers = [decode_header(block.header) for block in file.blocks]
    hashes = {header.number: header.hash for header in (parent, *headers)}
    contents = [
        BlockContents(
            header,
            [decode_transaction(raw, file.statement.chain_id, CANCUN) for raw in block.transactions],
            [decode_withdrawal(data) for data in block.withdrawals],
            block.outputs,
            CANCUN,
        )
        for header, block in zip(headers, file.blocks, strict=True)
    ]
    trie = StateTrie(parent.state_root, file.state_nodes)
    scopes = operations_of(contents, file.statement.chain_id, written_contracts(trie, [CANCUN])).scopes
    state = BatchState(trie, file.state_keys, file.codes, hashes)
    writes, codes = ordered_writes(file.segments), ordered_code_writes(file.segments)
    for number in range(len(headers)):
        own, coded = (
            np.flatnonzero((w.scope >= scopes[number]) & (w.scope < scopes[number + 1])) for w in (writes, codes)
        )
        values = (writes.leaf[own], writes.value[own], writes.nonce[own])
        root = state.write(*values, codes.leaf[coded], codes.code_hash[coded])
        file = reheader(file, number, state_root=root)
    return file


def demands_another_proof(expected: Expected, file: ProofFile, lie: ProofFile) -> None:
    """Everything passes but the proofs, of which something else is demanded."""
    honest, lying = expected(file), expected(lie)
    assert len(honest) == len(lying)
    assert honest != lying


class TestConsistentLies:
    """Only a circuit can refuse these: every root, hash and commitment fits the lie."""

    def test_the_helpers_reproduce_the_truth(self, file: ProofFile) -> None:
        assert encode_proof(restated(file)) == encode_proof(file)
        assert encode_proof(refit_receipts(file, file.receipts)) == encode_proof(file)

    @pytest.mark.parametrize("segment", [0, 1])
    @pytest.mark.parametrize("field", ["value", "nonce"])
    @pytest.mark.parametrize("kind", [ACCOUNT, STORAGE])
    def test_a_changed_value(self, file: ProofFile, expected: Expected, segment: int, field: str, kind: int) -> None:
        """Of a slot the nonce, too, which no trie holds: the proof commits to it."""
        row = rows_of(file, file.segments[segment].writes, kind)[-1]
        lie = restated(rewrite(file, alter(field, row, 4711), segment))
        demands_another_proof(expected, file, lie)

    def test_a_write_dropped_or_added(self, file: ProofFile, expected: Expected) -> None:
        writes = file.segments[1].writes
        for row in (*rows_of(file, writes, ACCOUNT)[:2], *rows_of(file, writes, STORAGE)[-2:]):
            demands_another_proof(expected, file, restated(rewrite(file, lambda w, row=row: without(w, row), 1)))
        added = rewrite(file, lambda w: _appended(file, w, (STORAGE, CONTRACT, 4), 5))
        demands_another_proof(expected, file, restated(added))

    def test_a_code_that_nobody_created(self, file: ProofFile, expected: Expected) -> None:
        lie = restated(with_code(file, 0, (ACCOUNT, SENDERS[0], 0)))
        demands_another_proof(expected, file, lie)
        demands_another_proof(expected, lie, restated(with_code(file, 0, (ACCOUNT, SENDERS[0], 0), 78)))
        demands_another_proof(expected, lie, restated(with_code(file, 0, (ACCOUNT, SENDERS[1], 0))))

    def test_a_code_written_as_it_was(self, file: ProofFile, expected: Expected) -> None:
        """Nothing differs but what the proof commits to."""
        empty = int.from_bytes(keccak(b""), "big")
        lie = with_code(file, 0, (ACCOUNT, SENDERS[0], 0), empty)
        assert encode_proof(restated(lie)) == encode_proof(lie)
        demands_another_proof(expected, file, lie)

    def test_writes_in_another_order(self, file: ProofFile, expected: Expected) -> None:
        lie = rewrite(file, lambda w: pick(w, range(len(w))[::-1]), 1)
        demands_another_proof(expected, file, restated(lie))

    def test_a_write_by_another_operation_of_the_block(self, file: ProofFile, expected: Expected) -> None:
        rows = rows_of(file, file.segments[1].writes, STORAGE)
        scope = int(file.segments[1].writes.scope[rows[-1]])
        demands_another_proof(expected, file, restated(rewrite(file, alter("scope", rows[-1], scope - 1), 1)))

    def test_a_write_moved_to_another_segment(self, file: ProofFile, expected: Expected) -> None:
        """Of an account of the block that both have part of."""
        first, second = (segment.writes for segment in file.segments)
        row = next(
            i for i in rows_of(file, second, ACCOUNT) if second.scope[i] == 0 and second.leaf[i] not in first.leaf
        )
        moved = Writes(
            *(np.concatenate([getattr(first, f), getattr(second, f)[row : row + 1]]) for f in Writes.__slots__)
        )
        lie = rewrite(rewrite(file, lambda w: moved), lambda w: without(w, row), 1)
        demands_another_proof(expected, file, restated(lie))

    def test_another_block_context(self, file: ProofFile, expected: Expected) -> None:
        for changes in ({"prev_randao": b"\x42" * 32}, {"coinbase": NEWCOMER}, {"timestamp": 5000},
                        {"parent_beacon_root": b"\x42" * 32}):  # fmt: skip
            demands_another_proof(expected, file, reheader(file, -1, **changes))

    @pytest.mark.parametrize(
        "change",
        [
            lambda r: replace(r, status=0, logs=()),
            lambda r: replace(r, status=0),
            lambda r: replace(r, gas_used=r.gas_used - 1),
            lambda r: replace(r, logs=r.logs[1:]),
            lambda r: replace(r, logs=r.logs[:-1]),
            lambda r: replace(r, logs=r.logs[::-1]),
            lambda r: replace(r, logs=r.logs + r.logs[:1]),
            lambda r: replace(r, logs=put(r.logs, 0, replace(r.logs[0], address=OTHER))),
            lambda r: replace(r, logs=put(r.logs, 0, replace(r.logs[0], data=flipped(r.logs[0].data, 0)))),
            lambda r: replace(r, logs=put(r.logs, 0, replace(r.logs[0], data=r.logs[0].data[:-1]))),
            lambda r: replace(r, logs=put(r.logs, 0, replace(r.logs[0], data=r.logs[0].data + b"\0"))),
            lambda r: replace(r, logs=put(r.logs, 0, replace(r.logs[0], topics=r.logs[0].topics[::-1]))),
            lambda r: replace(r, logs=put(r.logs, 0, replace(r.logs[0], topics=r.logs[0].topics[:1]))),
            lambda r: replace(r, logs=put(r.logs, 1, replace(r.logs[1], topics=(bytes(32),)))),
        ],
    )
    def test_another_receipt(
        self, file: ProofFile, expected: Expected, change: Callable[[ReceiptRecord], ReceiptRecord]
    ) -> None:
        receipts = list(file.receipts)
        receipts[3] = change(receipts[3])
        lie = refit_receipts(file, receipts)
        if receipts[3].gas_used != file.receipts[3].gas_used:
            # The base fee of the next block follows from the gas.
            assert rejection(lie).check == "headers"
            return
        demands_another_proof(expected, file, lie)

    def test_the_gas_of_the_last_block(self, file: ProofFile, expected: Expected) -> None:
        receipts = list(file.receipts)
        receipts[-1] = replace(receipts[-1], gas_used=receipts[-1].gas_used + 1)
        demands_another_proof(expected, file, refit_receipts(file, receipts))

    def test_a_log_of_another_transaction(self, file: ProofFile, expected: Expected) -> None:
        """Of the same block, where the bloom stays the same; at the border between them even the order of all logs."""
        receipts = list(file.receipts)
        receipts[2] = replace(receipts[2], logs=receipts[3].logs[:1])
        receipts[3] = replace(receipts[3], logs=receipts[3].logs[1:])
        demands_another_proof(expected, file, refit_receipts(file, receipts))

    def test_logs_of_a_failure(self, file: ProofFile, expected: Expected) -> None:
        receipts = list(file.receipts)
        assert receipts[6].status == 0
        receipts[6] = replace(receipts[6], logs=(LogRecord(OTHER, (), b""),))
        demands_another_proof(expected, file, refit_receipts(file, receipts))

    def test_another_code_with_its_own_hash(self, file: ProofFile, expected: Expected) -> None:
        """A leaf more for a code that nobody has; the account's code hash is in the tries."""
        other = CONTRACT_CODE + b"\x00"
        key = (CODE, NO_ADDRESS, int.from_bytes(keccak(other), "big"))
        codes = {keccak(code): code for code in (*file.codes, other)}
        lie = with_keys(replace(file, codes=tuple(codes[h] for h in sorted(codes))), key)
        demands_another_proof(expected, file, lie)

    def test_leaves_that_nobody_touches(self, file: ProofFile, expected: Expected) -> None:
        for key in ((TRANSIENT, OTHER, 1), (BLOCK_HASH, NO_ADDRESS, 1), (STORAGE, NEWCOMER, 4)):
            demands_another_proof(expected, file, with_keys(file, key))

    def test_another_blob_transaction(self, chain: Chain, expected: Expected) -> None:
        """What a blob transaction signs is part of what is proved."""
        seen = []
        for changes in ({}, {"max_blob_fee": 6}, {"blob_hashes": (b"\x01" + bytes(31),) * 2}):
            one = Chain()
            fields: dict[str, Any] = {"kind": 3, "blob_hashes": (b"\x01" * 32,) * 2}
            one.block(Transfer(0, NEWCOMER, **fields | changes))
            seen.append(expected(one.file()))
        assert seen[0] != seen[1] != seen[2] != seen[0]


class TestBlobs:
    @staticmethod
    def chain(**fields: Any) -> ProofFile:
        chain = Chain(excess_blob_gas=10 * 1024 * 1024)
        chain.block(Transfer(0, NEWCOMER, kind=3, blob_hashes=(b"\x01" * 32,) * 3, **fields))
        return chain.file()

    def test_those_that_pay_the_fee_pass(self) -> None:
        assert rejection(self.chain(max_blob_fee=23)).check == "proofs"

    def test_a_fee_below_that_of_the_block(self) -> None:
        error = rejection(self.chain(max_blob_fee=1))
        assert (error.check, "max fee per blob gas" in error.reason) == ("transactions", True)

    def test_blob_gas_of_the_header(self) -> None:
        file = self.chain(max_blob_fee=23)
        for blobs in (0, 2, 4):
            assert rejection(reheader(file, 0, blob_gas_used=blobs * 2**17)).check == "transactions"
        assert rejection(reheader(file, 0, blob_gas_used=7 * 2**17)).check == "headers"


class TestBeaconRoots:
    def test_its_writes_are_operations(self, expected: Expected) -> None:
        chain = Chain(beacon_roots=True)
        chain.block(Transfer(0, NEWCOMER))
        assert expected(chain.file())[0][1:3] == [0, 2]
        without = Chain()
        without.block(Transfer(0, NEWCOMER))
        assert expected(without.file())[0][1:3] == [0, 1]

    def test_a_root_that_is_not_written(self) -> None:
        chain = Chain(beacon_roots=True)
        chain.block()
        for row in range(2):
            assert rejection(rewrite(chain.file(), lambda w, row=row: without(w, row))).check == "state roots"

    def test_another_root_is_another_operation(self, expected: Expected) -> None:
        chain = Chain(beacon_roots=True)
        chain.block()
        file = chain.file()
        demands_another_proof(expected, file, reheader(file, 0, parent_beacon_root=bytes(32)))

    def test_the_contract_must_be_shown(self) -> None:
        chain = Chain({bytes([n]) * 20: Account(balance=n + 1) for n in range(40)}, beacon_roots=True)
        chain.block()
        file = chain.file()
        hidden = rlp.encode(chain.pre_trie.get_proof(keccak(BEACON_ROOTS_ADDRESS))[-1])
        nodes = tuple(node for node in file.state_nodes if node != hidden)
        assert len(nodes) == len(file.state_nodes) - 1
        assert rejection(replace(file, state_nodes=nodes)).check == "witness"

    def test_another_contract_in_its_place(self) -> None:
        chain = Chain({BEACON_ROOTS_ADDRESS: Account(nonce=1, code_hash=keccak(b"\x00"))})
        chain.block()
        error = rejection(chain.file())
        assert (error.check, "another contract" in error.reason) == ("witness", True)


class TestUntrustedBytes:
    def test_changed_bytes(self, proved: ProofFile) -> None:
        data = encode_proof(proved)
        for position in np.linspace(0, len(data) - 1, 30).astype(int).tolist():
            with pytest.raises((Rejected, UnusableInput)):
                verify(flipped(data, position))

    def test_changed_bytes_before_the_proofs(self, proved: ProofFile) -> None:
        data = encode_proof(proved)
        head = data.index(bytes(proved.segments[0].proof[:64]))
        for position in range(0, head, max(1, head // 100)):
            with pytest.raises((Rejected, UnusableInput)):
                verify(flipped(data, position))

    def test_no_byte_of_a_handmade_file_is_free(self, file: ProofFile, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every changed byte is refused before the proofs, or changes what they must say or for which key."""
        heights: list[int] = []
        stated: list[Stated] = []

        def any_proof(segment: SegmentRecord, key: object) -> ProvedSegment:
            heights.append(segment.log_stacked_height)
            return ProvedSegment(ANY_ROWS, None, inf)

        def note(proved: object, expected: list[Stated]) -> None:
            stated.extend(expected)

        monkeypatch.setattr(import_module("verifier.verify"), "verify_segment", any_proof)
        monkeypatch.setattr(import_module("verifier.verify"), "check_stated", note)
        data = encode_proof(file)
        verify(data)
        honest = (list(heights), list(stated))
        starts = [data.index(bytes(segment.proof)) for segment in file.segments]
        for position in range(0, len(data), 17):
            if any(0 <= position - start < len(s.proof) for start, s in zip(starts, file.segments, strict=True)):
                continue
            heights.clear()
            stated.clear()
            try:
                verify(flipped(data, position))
            except (Rejected, UnusableInput):
                continue
            assert (heights, stated) != honest, position

    def test_truncated_and_extended_files(self, proved: ProofFile) -> None:
        data = encode_proof(proved)
        for size in np.linspace(0, len(data) - 1, 50).astype(int).tolist():
            with pytest.raises((Rejected, UnusableInput)):
                verify(data[:size])
        with pytest.raises(Rejected, match="bytes too many"):
            verify(data + b"\0")

    @pytest.mark.parametrize(
        "data",
        [b"", b"\0" * 1000, b"ZKEVM", b"ZKEVM\x08", b"ZKEVM\x0a", b"ZKEVM\x0c", b"ZKEVM\x0d", b"ZKEVM\x0f", b"{}"],
    )
    def test_other_files_are_unusable(self, data: bytes) -> None:
        with pytest.raises(UnusableInput):
            verify(data)


def test_an_invalid_transaction_is_named(file: ProofFile) -> None:
    transactions = put(file.blocks[2].transactions, 1, Transfer(0, b"", data=bytes(49_153)).sign(2))
    error = rejection(
        reheader(change_block(file, 2, transactions=transactions), 2, transactions_root=list_root(transactions))
    )
    assert str(error) == "transactions: block 3, transaction 1: initcode of 49153 bytes, at most 49152 are allowed"


def test_failures_of_any_kind_are_rejections(file: ProofFile, monkeypatch: pytest.MonkeyPatch) -> None:
    for failure in (MemoryError(), RecursionError("deep"), OverflowError(), BaseException("panic")):

        def fail(*arguments: object, failure: BaseException = failure) -> None:
            raise failure

        monkeypatch.setattr(import_module("verifier.verify"), "check_header", fail)
        error = rejection(file)
        assert error.check == "headers"
        assert type(failure).__name__ in error.reason


def test_interrupts_are_no_verdict(file: ProofFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("verifier.verify"), "check_header", interrupt)
    with pytest.raises(KeyboardInterrupt):
        verify(encode_proof(file))


def test_segments_of_an_empty_batch_are_refused() -> None:
    file = replace(Chain().file(), segments=(SegmentRecord(0, 0, 17, Writes.from_bytes(b""), b""),))
    assert rejection(file).check == "segments"


def test_operations_without_leaves_are_refused() -> None:
    """No circuit would prove them, and there would be no tree to prove them with."""
    chain = Chain()
    chain.block(Transfer(0, NEWCOMER))
    file = change_segment(replace(chain.file(), state_keys=()), 0, writes=Writes.from_bytes(b""))
    error = rejection(file)
    assert (error.check, error.reason) == ("segments", "operations without any account")


def test_a_recipient_that_stays_absent(expected: Expected) -> None:
    """No value and no tip leave neither a recipient nor a coinbase behind."""
    chain = Chain()
    chain.block(Transfer(0, NEWCOMER, value=0, tip=0))
    assert NEWCOMER not in chain.accounts
    assert len(expected(chain.file())) == 1


def test_an_empty_account_in_the_pre_state_is_refused() -> None:
    """Touching it would delete it (EIP-161), which the circuits do not represent."""
    accounts = {sender: Account(balance=10**20) for sender in SENDERS}
    chain = Chain(accounts | {NEWCOMER: Account()})
    chain.block(Transfer(0, NEWCOMER))
    error = rejection(chain.file())
    assert (error.check, "empty but present" in error.reason) == ("pre-state", True)


@pytest.mark.parametrize("error", [ZeroDivisionError(), BrokenPipeError(), Rejected("format", "so it says")])
def test_progress_that_cannot_be_reported_changes_no_verdict(batch: Proved, error: Exception) -> None:
    """Neither that of an honest proof nor that of a changed one; what fails once is not tried again."""
    calls: list[tuple[str, int, int]] = []

    def progress(name: str, done: int, total: int) -> None:
        calls.append((name, done, total))
        if done:
            raise error

    honest = encode_proof(batch.file)
    assert verify(honest, progress=progress).statement == batch.file.statement
    assert calls == [("format", 0, 1), ("format", 1, 1)]
    calls.clear()

    def in_the_proofs(name: str, done: int, total: int) -> None:
        calls.append((name, done, total))
        if name == "proofs" and done:
            raise error

    assert verify(honest, progress=in_the_proofs).segments == SEGMENTS
    assert calls[-2:] == [("proofs", 0, 1), ("proofs", 1, SEGMENTS)]
    with pytest.raises(Rejected) as caught:
        verify(honest[:-1] + bytes([honest[-1] ^ 1]), progress=in_the_proofs)
    assert caught.value.check == "proofs"


def test_an_interruption_while_progress_is_reported_is_one(batch: Proved) -> None:
    def progress(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(encode_proof(batch.file), progress=progress)


@pytest.mark.parametrize("engine", ENGINES)
def test_junk_proofs_cost_one_key(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may name as many keys as it has segments; those of proofs whose turn never comes are not decoded."""
    decoded = []
    honest = keys.load

    def load(name: str, height: int, engine: str) -> keys.PinnedKey:
        decoded.append((name, height))
        return honest(name, height, engine)

    monkeypatch.setattr(keys, "load", load)
    file = crossing_chain().file(2, 7, 16)
    segments = tuple(
        replace(segment, log_stacked_height=15 + number, proof=b"x") for number, segment in enumerate(file.segments)
    )
    assert len(segments) > 2
    with pytest.raises(Rejected) as refused:
        verify(encode_proof(replace(file, segments=segments)), engine)
    assert refused.value.check == "proofs"
    assert len(decoded) == 1


def test_the_verifier_loads_neither_executor_nor_prover() -> None:
    """Also not through the modules of the circuits it uses, but for plain data: limbs, layout of a trace, errors."""
    program = "import sys, verifier; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "circuits.statement" in loaded
    foreign = {name for name in loaded if name.partition(".")[0] in ("executor", "prover", "eth", "ray")}
    plain = ("", ".errors", ".limbs", ".postponed", ".state_keys", ".tables", ".trace")
    assert foreign <= {*(f"executor{name}" for name in plain), *POSTPONED}


class TestForks:
    """Blocks of other forks than Cancun, and batches that cross them."""

    @pytest.fixture(scope="class")
    @staticmethod
    def crossing() -> ProofFile:
        """A segment for each circuit, and two of Osaka's."""
        return crossing_chain().file(2, 7, 16)

    @pytest.mark.parametrize("name", FORKS)
    def test_each_fork_alone(self, name: str, expected: Expected) -> None:
        chain = Chain(beacon_roots=True, history=True, schedule=Schedule(FORKS[name]))
        chain.block()
        chain.block(Transfer(0, NEWCOMER))
        file = chain.file()
        assert len(expected(file)) == 1
        assert circuits_of_segments(encode_proof(file)) == [FORKS[name].circuit]
        assert file.statement.fork == name

    def test_without_blocks_there_is_no_fork(self) -> None:
        for name in FORKS:
            assert verify(encode_proof(Chain(schedule=Schedule(FORKS[name])).file())).statement.fork == ""

    def test_operations_of_several_circuits(self, crossing: ProofFile, expected: Expected) -> None:
        assert [stated[1:3] for stated in expected(crossing)] == [[0, 2], [2, 7], [7, 16], [16, 21]]
        assert circuits_of_segments(encode_proof(crossing)) == ["cancun", "prague", "osaka", "osaka"]
        # Osaka and BPO1 may share a segment.
        whole = crossing_chain().file(2, 7)
        assert len(expected(whole)) == 3
        assert circuits_of_segments(encode_proof(whole)) == ["cancun", "prague", "osaka"]

    @pytest.mark.parametrize("cuts", [(), (2,), (7,), (2, 8), (1, 7)])
    def test_a_segment_does_not_cross_circuits(self, cuts: tuple[int, ...]) -> None:
        error = rejection(crossing_chain().file(*cuts))
        assert error.check == "segments"
        assert "has operations of the circuits of" in error.reason

    @pytest.mark.parametrize(
        "stated",
        [
            "cancun",
            "prague",
            "bpo1",
            "",
            "cancun, prague from 1025, osaka from 1036, bpo1 from 1060",
            "cancun, prague from 1012, osaka from 1036, bpo1 from 1060",
            "cancun, prague from 1024, osaka from 1024, bpo1 from 1060",
            "cancun, prague from 1024, osaka from 1036, bpo1 from 1060, bpo2 from 1061",
            "prague, osaka from 1036, bpo1 from 1060",
            "cancun,prague from 1024,osaka from 1036,bpo1 from 1060",
            "cancun, prague from 01024, osaka from 1036, bpo1 from 1060",
        ],
    )
    def test_another_schedule_is_refused(self, crossing: ProofFile, stated: str) -> None:
        assert rejection(restate(crossing, fork=stated)).check == "headers"

    @pytest.mark.parametrize(
        "stated",
        [
            "cancun, prague from 1013, osaka from 1036, bpo1 from 1060",
            "cancun, prague from 1024, osaka from 1025, bpo1 from 1060",
            "cancun, prague from 1024, osaka from 1036, bpo1 from 1048",
            "cancun, prague from 1024, osaka from 1036",
        ],
    )
    def test_a_schedule_that_the_blocks_follow_too_is_another_statement(self, crossing: ProofFile, stated: str) -> None:
        """Times without blocks between them, blocks without blobs: it is true of these blocks, and says so. Who knows
        the chain compares.
        """
        file = restate(crossing, fork=stated)
        assert rejection(file).check == "proofs"
        assert file.statement.digest != crossing.statement.digest
        with pytest.raises(Rejected, match=f"statement: fork is {stated}, expected is {CROSSING}"):
            verify(encode_proof(file), expected={"fork": CROSSING})

    def test_what_is_known_of_the_chain_is_compared(self) -> None:
        proof = encode_proof(crossing_chain().file(2, 7))
        later = f"{CROSSING}, bpo2 from 1061"
        for known in (CROSSING, later, "cancun, prague from 1024, osaka from 1036, bpo1 from 1060, bpo4 from 2000"):
            with pytest.raises(Rejected, match="proofs: segment 0"):
                verify(proof, expected={"fork": known})
        for known in ("cancun", "prague", CROSSING.replace("1024", "1023"), "cancun, bpo1 from 1024"):
            with pytest.raises(Rejected, match=f"statement: fork is {CROSSING}, expected is {known}"):
                verify(proof, expected={"fork": known})

    def test_an_output_that_the_header_commits_to_is_what_must_be_proved(
        self, crossing: ProofFile, expected: Expected
    ) -> None:
        lie = change_block(crossing, 1, outputs=(b"w" * 76, b"d" * 116))
        lie = reheader(lie, 1, requests_hash=requests_digest(DEPOSIT, b"w" * 76, b"d" * 116))
        demands_another_proof(expected, crossing, lie)

    @pytest.mark.parametrize(
        ("check", "lie"),
        [
            ("headers", lambda f: reheader(f, 1, requests_hash=None)),
            ("headers", lambda f: reheader(f, 0, requests_hash=NO_REQUESTS)),
            ("requests", lambda f: reheader(f, 1, requests_hash=NO_REQUESTS)),
            ("requests", lambda f: reheader(f, 1, requests_hash=requests_digest(DEPOSIT, b"w" * 76))),
            ("requests", lambda f: reheader(f, 1, requests_hash=requests_digest(b"", b"w" * 76, b"c" * 116))),
            ("requests", lambda f: reheader(f, 2, requests_hash=bytes(32))),
            ("requests", lambda f: change_block(f, 1, outputs=(b"w" * 76, b""))),
            ("requests", lambda f: change_block(f, 1, outputs=(b"c" * 116, b"w" * 76))),
            ("requests", lambda f: change_block(f, 1, outputs=())),
            ("requests", lambda f: change_block(f, 1, outputs=(b"w" * 76, b"c" * 116, b""))),
            ("requests", lambda f: change_block(f, 0, outputs=(b"", b""))),
            ("requests", lambda f: refit_receipts(f, put(f.receipts, 1, replace(f.receipts[1], logs=())))),
            (
                "requests",
                lambda f: refit_receipts(change_log(f, 1, 0, data=b""), change_log(f, 1, 0, data=b"").receipts),
            ),
            ("receipts", lambda f: change_log(f, 1, 0, data=deposit_log(bytes(192)).data)),
            ("transactions", lambda f: change_block(f, 4, transactions=(b"\x02" + bytes(2**23),))),
        ],
    )
    def test_lies_are_refused(self, crossing: ProofFile, check: str, lie: Callable[[ProofFile], ProofFile]) -> None:
        assert rejection(lie(crossing)).check == check

    def test_a_long_block_is_refused_before_anything_in_it_is_looked_at(self, crossing: ProofFile) -> None:
        """Each transaction is within its own bound."""
        block = change_block(crossing, 4, transactions=(b"\x02" + bytes(2**22),) * 2)
        receipts = (*crossing.receipts, ReceiptRecord(1, 21_000))
        assert "bytes, at most 8388608" in rejection(replace(block, receipts=receipts)).reason
