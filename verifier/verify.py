"""Judging a proof file: one list of checks, in the order they are made.

The circuits prove that each operation does to accounts and slots what its fork says, with the logs and receipts it
gives, between two access roots (`circuits/`). Everything else a `BatchStatement` says is checked here. All inputs come
from the proof file and are untrusted; the verifying keys are this installation's own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from circuits.functions.poseidon2 import in_python
from verifier import keys
from verifier.block_size import check_size
from verifier.container import (
    BatchRecord,
    BlockRecord,
    ProofFile,
    ReceiptRecord,
    SegmentRecord,
    decode_proof,
    read_proof,
)
from verifier.engines import ENGINES, native_is_installed
from verifier.errors import Invalid, Rejected, UnusableInput
from verifier.forks import Fork, Schedule, forks_of_blocks
from verifier.headers import MAX_PARENT_EXTRA_DATA_BYTES, Ancestors, Header, check_header, decode_header
from verifier.operations import BlockContents, Operations, operations_of, receipts_chain
from verifier.receipts import check_receipts
from verifier.requests import check_requests
from verifier.room import check_code_use, check_leaf_room, check_stated_operations, check_write_room
from verifier.segments import (
    AccessTree,
    ProvedSegment,
    Stated,
    check_plan,
    check_runs,
    check_stated,
    check_system_codes,
    check_writes,
    circuits_of,
    expected_public_values,
    ordered_code_writes,
    ordered_writes,
    verify_segment,
)
from verifier.state import BatchState, check_keys
from verifier.statement import BatchStatement, lists_commitment
from verifier.system_contracts import system_contracts, written_contracts
from verifier.transactions import Transaction, check_inclusion, decode_transaction
from verifier.trees import batches_of, leaves_of, segments_of, verify_tree
from verifier.tries import StateTrie, ordered_root
from verifier.withdrawals import Withdrawal, check_withdrawals

Progress = Callable[[str, int, int], None]
"""Called with the name of the check under way, the steps of it that are done, and how many it has, which may be 0."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """A check by name, and what holds once it has passed."""

    name: str
    establishes: str


CHECKS: Final = (
    Check("format", "the file is the one canonical encoding of its contents, within the bounds"),
    Check("headers", "the headers follow each other from the parent block, each under the rules of its fork"),
    Check("transactions", "the headers commit to these transactions; each is canonical, signed and fits in its block"),
    Check("withdrawals", "the headers commit to these withdrawals"),
    Check("receipts", "the headers commit to these receipts, with their gas, logs and blooms"),
    Check("requests", "the headers commit to the deposits of the receipts and to what system calls return"),
    Check("statement", "every field of the statement is the one the blocks give, and the one that is expected"),
    Check("witness", "the nodes of each pre-state are those of tries under the parent's state root"),
    Check("segments", "the segments cover all operations of each batch in order, each those of one circuit"),
    Check("proofs", "each segment's proof, or the one of all, verifies with the pinned key of its circuit and size"),
    Check("leaves", "the leaves are sorted, each once; codes and block hashes are theirs"),
    Check("pre-state", "the values of accounts and slots before the batch are those under the parent's state root"),
    Check("writes", "each segment writes to accounts and slots in its time only"),
    Check("codes", "each code is one of an account, or may have come and gone with a creation"),
    Check("state roots", "the writes of each block, made to the tries, give the state root of its header"),
    Check("commitments", "what the proofs state is what follows from the operations, receipts, writes and leaves"),
)
"""Every check a proof must pass. What each segment's proof establishes is written in `circuits/`.

Proofs come before all that costs as much as a file is long: how many leaves, writes and codes segments can have use for
follows from the heights of their tables, which are facts then; no more are accepted. One proof of all segments states
these heights, too.
"""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A check that passed, and how long it took, seconds."""

    name: str
    establishes: str
    seconds: float


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """An accepted proof.

    Attributes:
        statement: what has been proved.
        batches: that follow each other and have one proof together; 1 where each segment has its own.
        blocks, transactions, segments: how many.
        unprotected: how many transactions are signed for no chain (before EIP-155). Where all are, the batch is as
            valid under any other chain id that no contract has asked for.
        security_bits: the least proven security of a segment proof, bits; None for a batch without operations.
        proof_bytes: size of the file.
        checks: in the order of `CHECKS`.
    """

    statement: BatchStatement
    batches: int
    blocks: int
    transactions: int
    segments: int
    unprotected: int
    security_bits: float | None
    proof_bytes: int
    checks: tuple[CheckResult, ...]

    @property
    def seconds(self) -> float:
        """Time of all checks together."""
        return sum(check.seconds for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """For a JSON document."""
        return {
            "statement": self.statement.to_dict(),
            "digest": f"0x{self.statement.digest.hex()}",
            "batches": self.batches,
            "blocks": self.blocks,
            "transactions": self.transactions,
            "segments": self.segments,
            "unprotected": self.unprotected,
            "security_bits": self.security_bits,
            "proof_bytes": self.proof_bytes,
            "seconds": self.seconds,
            "checks": [asdict(check) for check in self.checks],
        }


@dataclass(frozen=True, slots=True)
class Accepted:
    """A proof file that is accepted, taken apart.

    Attributes:
        report: what has been proved.
        file: its contents.
        circuits: the key set of each segment.
        proved: what is proved of each segment.
    """

    report: VerificationReport
    file: ProofFile
    circuits: list[str]
    proved: list[ProvedSegment]


def _not_reported(name: str, done: int, total: int) -> None:
    """The progress that nobody asks for."""


class _Run:
    """Makes the checks in their order; whatever goes wrong in one is a rejection by it."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress or _not_reported
        self._current = CHECKS[0].name
        self.results: list[CheckResult] = []

    def __call__(self, name: str, check: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        planned = CHECKS[len(self.results)]
        assert planned.name == name, f"check {name} made in the place of {planned.name}"
        self._current = name
        self.step(0, 1)
        start = time.perf_counter()
        try:
            result = check(*args, **kwargs)
        except (UnusableInput, Rejected, KeyboardInterrupt, SystemExit):
            raise
        except Invalid as error:
            raise Rejected(name, str(error)) from error
        except BaseException as error:
            # A check that cannot be completed has not passed. Panics of native code are no `Exception`.
            raise Rejected(name, f"the check failed with {type(error).__name__}: {error}") from error
        self.results.append(CheckResult(name, planned.establishes, time.perf_counter() - start))
        self.step(1, 1)
        return result

    def step(self, done: int, total: int) -> None:
        """Report progress within the current check.

        A report that fails is the last one: it says nothing about the proof, and must not decide about it.
        """
        try:
            self._progress(self._current, done, total)
        except Exception:
            self._progress = _not_reported


def verify(
    proof: bytes,
    engine: str = "native",
    progress: Progress | None = None,
    expected: Mapping[str, int | bytes | str] | None = None,
) -> VerificationReport:
    """Judge a proof file.

    Args:
        proof: the bytes of the file.
        engine: what verifies the segment proofs, one of `verifier.engines.ENGINES`. With "python" no native code of the
            proof system takes part in anything.
        progress: called as the checks go on, until it raises something; that changes no verdict.
        expected: fields of the `BatchStatement` that the caller knows; a proof that says otherwise is refused. `fork`
            may be the schedule of the whole chain.

    Returns:
        What has been proved. A proof that is not accepted never returns.

    Raises:
        Rejected: the proof is refused, with the check and the reason.
        UnusableInput: not a proof file of this version, or another engine asked for.
    """
    return accept(proof, engine, progress, expected).report


def accept(
    proof: bytes,
    engine: str = "native",
    progress: Progress | None = None,
    expected: Mapping[str, int | bytes | str] | None = None,
) -> Accepted:
    """The same as `verify`, for who goes on with the file."""
    if engine not in ENGINES:
        raise UnusableInput(f"there is no engine {engine!r}, only {', '.join(ENGINES)}")
    if engine == "native" and not native_is_installed():
        raise UnusableInput("the native engine is not installed; use --engine python")
    with in_python() if engine == "python" else nullcontext():
        return _verify(proof, engine, _Run(progress), expected or {})


def check_contents(proof: bytes, rows: Sequence[Mapping[str, int]]) -> list[Stated]:
    """Make all checks but that of the proofs: of a file whose segment proofs are yet to be made.

    Args:
        proof: the bytes of the file.
        rows: of each segment, those of each table that is present, padding included, by name.

    Returns:
        For each segment what its proof must state.

    Raises:
        Rejected: a proof file with these contents is refused, with the check and the reason.
    """
    run = _Run(None)
    plan = _plan(proof, "native", run, {})
    proved = [ProvedSegment(own, None, math.inf) for own in rows]
    run("proofs", check_runs, plan.file.segments, proved)
    (stated,) = _contents(plan, proved, run)
    return stated


def circuits_of_segments(proof: bytes) -> list[str]:
    """The key set that each segment of a file is judged by, by name; all checks before that of the proofs are made.

    Raises:
        Rejected: the file is refused, with the check and the reason.
    """
    engine = "native" if native_is_installed() else "python"
    with in_python() if engine == "python" else nullcontext():
        return _plan(proof, engine, _Run(None), {}).circuits


@dataclass(frozen=True, slots=True)
class _Blocks:
    """A batch's own part of what all batches of a file have been checked for together.

    Attributes:
        record: as the file has it.
        ancestors: hashes of blocks before the parent of the first, by number.
        headers: of its blocks, behind that of the parent of the first.
        forks: of its blocks.
        contents: of its blocks.
    """

    record: BatchRecord
    ancestors: dict[int, bytes]
    headers: list[Header]
    forks: list[Fork]
    contents: list[BlockContents]


@dataclass(frozen=True, slots=True)
class _Batch:
    """What the checks before that of the proofs have found of a batch.

    Attributes:
        blocks: its own.
        trie: the state before it.
        written: system contracts whose calls are writes.
        operations, circuits: its operations, and the key set of each of its segments.
    """

    blocks: _Blocks
    trie: StateTrie
    written: frozenset[bytes]
    operations: Operations
    circuits: list[str]

    @property
    def record(self) -> BatchRecord:
        return self.blocks.record

    @property
    def hashes(self) -> dict[int, bytes]:
        """Of the blocks, the parent of the first, and those before it that are known, by number."""
        return self.blocks.ancestors | {header.number: header.hash for header in self.blocks.headers}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the checks before that of the proofs have found."""

    file: ProofFile
    transactions: list[list[Transaction]]
    batches: list[_Batch]

    @property
    def circuits(self) -> list[str]:
        """The key set of each segment."""
        return [circuit for batch in self.batches for circuit in batch.circuits]


def _plan(proof: bytes, engine: str, run: _Run, expected: Mapping[str, int | bytes | str]) -> _Plan:
    file = run("format", decode_proof, proof)
    blocks, receipts = file.all_blocks, file.all_receipts
    parent, headers, forks, ancestors = run("headers", _headers, file, blocks)
    transactions = run("transactions", _transactions, file, headers, forks, run.step)
    withdrawals = run("withdrawals", _withdrawals, blocks, headers)
    encoded = run("receipts", _receipts, receipts, headers, transactions)
    run("requests", _requests, blocks, receipts, headers, forks)
    run("statement", _statement, file.statement, blocks, parent, headers, encoded, expected)
    outputs = [block.outputs for block in blocks]
    parts = zip(headers, transactions, withdrawals, outputs, forks, strict=True)
    contents = [BlockContents(*block) for block in parts]
    of_batches = _blocks_of_batches(file.batches, ancestors, [parent, *headers], forks, contents)
    witnesses = run("witness", _of_each, _witness, of_batches)
    divided = run("segments", _segments, file, of_batches, witnesses)
    found = zip(of_batches, witnesses, divided, strict=True)
    return _Plan(file, transactions, [_Batch(own, *witness, *division) for own, witness, division in found])


def _contents(plan: _Plan, proved: list[ProvedSegment], run: _Run) -> list[list[Stated]]:
    """Make the checks behind that of the proofs; returns what each segment of each batch must state."""
    batches = plan.batches
    ends = list(accumulate((len(batch.record.segments) for batch in batches), initial=0))
    of_batches = [proved[start:end] for start, end in pairwise(ends)]
    run("leaves", _of_each, _leaves, batches, of_batches)
    states = run("pre-state", _of_each, _pre_state, batches)
    run("writes", _of_each, _writes, batches, states, of_batches)
    trees = run("codes", _of_each, _codes, batches, states, of_batches)
    run("state roots", _of_each, _state_roots, batches, states)
    return run("commitments", _of_each, _commitments, batches, trees, of_batches)


def _of_each(check: Callable[..., T], batches: Sequence[Any], *found: Sequence[Any]) -> list[T]:
    """Make a check of each batch, given what others have found of it.

    What is wrong names the batch, if there are several.
    """
    results = []
    for number, own in enumerate(zip(batches, *found, strict=True)):
        try:
            results.append(check(*own))
        except Invalid as error:
            if len(batches) == 1:
                raise
            raise Invalid(f"batch {number}: {error}") from error
    return results


def _blocks_of_batches(
    batches: Sequence[BatchRecord],
    ancestors: Sequence[dict[int, bytes]],
    headers: list[Header],
    forks: list[Fork],
    contents: list[BlockContents],
) -> list[_Blocks]:
    """What is known of the blocks of all batches, for each of them; `headers` begin with the parent of the first."""
    ends = list(accumulate((len(batch.blocks) for batch in batches), initial=0))
    return [
        _Blocks(batch, known, headers[start : end + 1], forks[start:end], contents[start:end])
        for batch, known, (start, end) in zip(batches, ancestors, pairwise(ends), strict=True)
    ]


def _verify(proof: bytes, engine: str, run: _Run, expected: Mapping[str, int | bytes | str]) -> Accepted:
    plan = _plan(proof, engine, run, expected)
    file = plan.file
    proved = run("proofs", _proofs, file, plan.circuits, engine, run.step)
    _contents(plan, proved, run)
    assert len(run.results) == len(CHECKS), "a check was left out"
    report = VerificationReport(
        statement=file.statement,
        batches=len(file.batches),
        blocks=len(file.all_blocks),
        transactions=len(file.all_receipts),
        segments=len(file.all_segments),
        unprotected=sum(not transaction.protected for block in plan.transactions for transaction in block),
        security_bits=min((segment.security_bits for segment in proved), default=None),
        proof_bytes=len(proof),
        checks=tuple(run.results),
    )
    return Accepted(report, file, plan.circuits, proved)


def verify_file(
    path: Path,
    engine: str = "native",
    progress: Progress | None = None,
    expected: Mapping[str, int | bytes | str] | None = None,
) -> VerificationReport:
    """Judge the proof file at a path. Arguments, result and errors are those of `verify`; a file that cannot be read is
    unusable.
    """
    return verify(read_proof(path), engine, progress, expected)


def _headers(
    file: ProofFile, blocks: Sequence[BlockRecord]
) -> tuple[Header, list[Header], list[Fork], list[dict[int, bytes]]]:
    """The parent's header, those of the blocks, their forks, and for each batch the hashes of earlier blocks."""
    parent = decode_header(file.parent_header, MAX_PARENT_EXTRA_DATA_BYTES)
    headers = [decode_header(block.header) for block in blocks]
    forks = forks_of_blocks(file.statement.fork, [header.timestamp for header in headers])
    for (previous, header), fork in zip(pairwise([parent, *headers]), forks, strict=True):
        check_header(header, previous, fork)
    parents = accumulate((len(batch.blocks) for batch in file.batches), initial=0)
    given = [batch.ancestors for batch in file.batches]
    chain = [parent, *headers]
    before = [chain[at] for at in parents][:-1]  # the last one is that of a further batch
    return parent, headers, forks, _of_each(Ancestors().hashes, before, given)


def _transactions(
    file: ProofFile, headers: list[Header], forks: list[Fork], step: Callable[[int, int], None]
) -> list[list[Transaction]]:
    receipts = file.all_receipts
    total = sum(_of_each(_count, file.batches))
    decoded = []
    done = start = 0
    for block, header, fork in zip(file.all_blocks, headers, forks, strict=True):
        check_size(header.number, block, fork)
        # Building the trie takes longer than finding out that something is no transaction.
        transactions = _decode_block(block, header, file.statement.chain_id, fork)
        if ordered_root(block.transactions) != header.transactions_root:
            raise Invalid(f"block {header.number}: transactions root is not that of its transactions")
        done += len(transactions)
        check_inclusion(header, transactions, [receipt.gas_used for receipt in receipts[start:done]], fork)
        start = done
        step(done, total)
        decoded.append(transactions)
    return decoded


def _count(batch: BatchRecord) -> int:
    """How many transactions a batch has, each with its receipt."""
    total = sum(len(block.transactions) for block in batch.blocks)
    if total != len(batch.receipts):
        raise Invalid(f"{len(batch.receipts)} receipts for {total} transactions")
    return total


def _decode_block(block: BlockRecord, header: Header, chain_id: int, fork: Fork) -> list[Transaction]:
    transactions = []
    for number, raw in enumerate(block.transactions):
        try:
            transactions.append(decode_transaction(raw, chain_id, fork))
        except Invalid as error:
            raise Invalid(f"block {header.number}, transaction {number}: {error}") from error
    return transactions


def _withdrawals(blocks: Sequence[BlockRecord], headers: list[Header]) -> list[list[Withdrawal]]:
    return [check_withdrawals(header, block.withdrawals) for block, header in zip(blocks, headers, strict=True)]


def _receipts(
    receipts: Sequence[ReceiptRecord], headers: list[Header], transactions: list[list[Transaction]]
) -> list[list[bytes]]:
    blocks = []
    start = 0
    for header, block in zip(headers, transactions, strict=True):
        end = start + len(block)
        blocks.append(check_receipts(header, [t.type for t in block], receipts[start:end]))
        start = end
    return blocks


def _requests(
    blocks: Sequence[BlockRecord], receipts: Sequence[ReceiptRecord], headers: list[Header], forks: list[Fork]
) -> None:
    start = 0
    for block, header, fork in zip(blocks, headers, forks, strict=True):
        end = start + len(block.transactions)
        check_requests(header, fork, receipts[start:end], block.outputs)
        start = end


def _witness(blocks: _Blocks) -> tuple[StateTrie, frozenset[bytes]]:
    """The tries, and the system contracts whose calls are writes."""
    parent, *_ = blocks.headers
    trie = StateTrie(parent.state_root, blocks.record.state_nodes)
    return trie, written_contracts(trie, blocks.forks)


def _segments(
    file: ProofFile, batches: list[_Blocks], witnesses: list[tuple[StateTrie, frozenset[bytes]]]
) -> list[tuple[Operations, list[str]]]:
    """The operations of each batch, and the circuit of each of its segments."""
    divided = _of_each(partial(_divided, file.statement.chain_id), batches, witnesses)
    segments = file.all_segments
    circuits = [circuit for _, own in divided for circuit in own]
    if file.one_proof is not None:
        if not segments:
            raise Invalid("one proof of no segments")
        if (said := batches_of(file.joint)) != len(batches):
            raise Invalid(f"one proof joined of {said} batches, the file has {len(batches)}")
        leaves_of(circuits, [segment.log_stacked_height for segment in segments])
        return divided
    for segment, circuit in zip(segments, circuits, strict=True):
        # That there is one: decoded is the key of a proof whose turn it is, or a file could ask for all there are.
        keys.entry(circuit, segment.log_stacked_height)
    return divided


def _divided(
    chain_id: int, blocks: _Blocks, witness: tuple[StateTrie, frozenset[bytes]]
) -> tuple[Operations, list[str]]:
    record, (_, written) = blocks.record, witness
    operations = operations_of(blocks.contents, chain_id, written)
    check_plan(record.segments, len(operations))
    circuits = circuits_of(record.segments, operations, blocks.forks)
    if len(operations) and not record.state_keys:
        raise Invalid("operations without any account")
    return operations, circuits


def _proofs(file: ProofFile, circuits: list[str], engine: str, step: Callable[[int, int], None]) -> list[ProvedSegment]:
    segments = file.all_segments
    if file.one_proof is None:
        proved = _each(segments, circuits, engine, step)
    else:
        leaves = leaves_of(circuits, [segment.log_stacked_height for segment in segments])
        claims = [[own.claim for own in batch.segments if own.claim is not None] for batch in file.batches]
        proved = segments_of(
            verify_tree(bytes(file.one_proof), leaves, engine), claims, file.joint, keys.manifest(circuits[0]).tables
        )
    check_runs(segments, proved)
    return proved


def _each(
    segments: Sequence[SegmentRecord], circuits: list[str], engine: str, step: Callable[[int, int], None]
) -> list[ProvedSegment]:
    """What the proofs of segments say that have their own."""
    proved = []
    for number, (segment, circuit) in enumerate(zip(segments, circuits, strict=True)):
        try:
            proved.append(verify_segment(segment, keys.load(circuit, segment.log_stacked_height, engine)))
        except Invalid as error:
            raise Invalid(f"segment {number}: {error}") from error
        step(number + 1, len(segments))
    return proved


def _leaves(batch: _Batch, proved: list[ProvedSegment]) -> None:
    record = batch.record
    called = {address for fork in batch.blocks.forks for address in system_contracts(fork)}
    check_stated_operations(record.segments, proved, batch.operations.chain)
    check_leaf_room(record.state_keys, proved, len(called))
    check_keys(record.state_keys, record.codes, batch.hashes)


def _pre_state(batch: _Batch) -> BatchState:
    return BatchState(batch.trie, batch.record.state_keys, batch.record.codes, batch.hashes)


def _writes(batch: _Batch, state: BatchState, proved: list[ProvedSegment]) -> None:
    segments = batch.record.segments
    check_write_room(segments, proved)
    check_writes(segments, batch.operations, state)
    check_system_codes(segments, batch.operations, state, batch.blocks.forks, batch.written, batch.record.codes)


def _codes(batch: _Batch, state: BatchState, proved: list[ProvedSegment]) -> AccessTree | None:
    """The access tree before the operations, where there are any: all that is hashed in it has been counted."""
    record = batch.record
    check_code_use(record.codes, state, record.segments, proved)
    return AccessTree(state) if len(batch.operations) else None


def _state_roots(batch: _Batch, state: BatchState) -> None:
    _, *headers = batch.blocks.headers
    segments = batch.record.segments
    writes, codes = ordered_writes(segments), ordered_code_writes(segments)
    ends, code_ends = (_ends_of_blocks(w.scope, batch.operations, len(headers)) for w in (writes, codes))
    start = code_start = 0
    for header, end, code_end in zip(headers, ends, code_ends, strict=True):
        own, own_codes = slice(start, end), slice(code_start, code_end)
        values = (writes.leaf[own], writes.value[own], writes.nonce[own])
        if state.write(*values, codes.leaf[own_codes], codes.code_hash[own_codes]) != header.state_root:
            raise Invalid(f"block {header.number}: state root is not the one that its writes give")
        start, code_start = end, code_end


def _ends_of_blocks(scopes: NDArray[np.uint32], operations: Operations, blocks: int) -> list[int]:
    """How many of the writes with these scopes, in the order of time, come up to the end of each block."""
    # Blocks are in order, scopes within one need not be: a block may be cut by segments.
    own = np.searchsorted(operations.scopes, scopes.astype(np.int64), side="right") - 1
    ends: list[int] = np.searchsorted(own, np.arange(blocks), side="right").tolist()
    return ends


def _statement(
    stated: BatchStatement,
    blocks: Sequence[BlockRecord],
    parent: Header,
    headers: list[Header],
    receipts: list[list[bytes]],
    expected: Mapping[str, int | bytes | str],
) -> None:
    first = headers[0] if headers else parent
    last = headers[-1] if headers else parent
    computed = BatchStatement(
        # The check of the transactions has used this chain id, that of the headers this fork.
        chain_id=stated.chain_id,
        fork=stated.fork,
        pre_state_root=parent.state_root,
        post_state_root=last.state_root,
        first_block_number=first.number,
        first_block_hash=first.hash,
        last_block_number=last.number,
        last_block_hash=last.hash,
        transactions_commitment=lists_commitment([block.transactions for block in blocks]),
        receipts_commitment=lists_commitment(receipts),
        gas_used=sum(header.gas_used for header in headers),
    )
    for name in BatchStatement.__slots__:
        if getattr(stated, name) != getattr(computed, name):
            raise Invalid(f"{name.replace('_', ' ')} is not the one of the blocks")
    for name, value in expected.items():
        own = getattr(computed, name)
        if name == "fork":
            value = Schedule.parse(str(value)).of_blocks([header.timestamp for header in headers])
        if own != value:
            own_, value_ = (f"0x{x.hex()}" if isinstance(x, bytes) else x for x in (own, value))
            raise Invalid(f"{name.replace('_', ' ')} is {own_}, expected is {value_}")


def _commitments(batch: _Batch, tree: AccessTree | None, proved: list[ProvedSegment]) -> list[Stated]:
    if tree is None:
        return []
    record = batch.record
    receipts = receipts_chain(record.receipts, batch.operations)
    expected = expected_public_values(record.segments, batch.operations.chain, receipts, tree)
    check_stated(proved, expected)
    return expected
