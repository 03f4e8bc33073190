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
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from circuits.functions.poseidon2 import in_python
from verifier import keys
from verifier.block_size import check_size
from verifier.container import BlockRecord, ProofFile, decode_proof, read_proof
from verifier.engines import ENGINES, native_is_installed
from verifier.errors import Invalid, Rejected, UnusableInput
from verifier.forks import Fork, Schedule, forks_of_blocks
from verifier.headers import MAX_PARENT_EXTRA_DATA_BYTES, Header, check_header, decode_header
from verifier.operations import BlockContents, Operations, operations_of, receipts_chain
from verifier.receipts import check_receipts
from verifier.requests import check_requests
from verifier.room import (
    check_code_use,
    check_depth,
    check_leaf_room,
    check_stated_writes,
    check_write_room,
)
from verifier.segments import (
    AccessTree,
    ProvedSegment,
    Stated,
    check_plan,
    check_runs,
    check_stated,
    check_system_codes,
    check_whole,
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
from verifier.trees import ProvedBatch, check_chain, leaves_of, verify_tree
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
    Check("witness", "the nodes of the pre-state are those of tries under the parent's state root"),
    Check("segments", "the segments cover all operations in order, each those of one circuit"),
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
follows from the heights of their tables, which are facts then; no more are accepted. One proof of all segments says
nothing of these heights, so that codes are bounded by the format of the file alone then, and leaves and writes by what
it states: the depth of their tree, and their hash.
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
        blocks, transactions, segments: how many.
        unprotected: how many transactions are signed for no chain (before EIP-155). Where all are, the batch is as
            valid under any other chain id that no contract has asked for.
        security_bits: the least proven security of a segment proof, bits; None for a batch without operations.
        proof_bytes: size of the file.
        checks: in the order of `CHECKS`.
    """

    statement: BatchStatement
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
            "blocks": self.blocks,
            "transactions": self.transactions,
            "segments": self.segments,
            "unprotected": self.unprotected,
            "security_bits": self.security_bits,
            "proof_bytes": self.proof_bytes,
            "seconds": self.seconds,
            "checks": [asdict(check) for check in self.checks],
        }


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
    return _contents(plan, proved, run)


def circuits_of_segments(proof: bytes) -> list[str]:
    """The key set that each segment of a file is judged by, by name; all checks before that of the proofs are made.

    Raises:
        Rejected: the file is refused, with the check and the reason.
    """
    engine = "native" if native_is_installed() else "python"
    with in_python() if engine == "python" else nullcontext():
        return _plan(proof, engine, _Run(None), {}).circuits


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the checks before that of the proofs have found."""

    file: ProofFile
    headers: list[Header]
    forks: list[Fork]
    transactions: list[list[Transaction]]
    trie: StateTrie
    written: frozenset[bytes]
    hashes: dict[int, bytes]
    operations: Operations
    circuits: list[str]


_Proved = Sequence[ProvedSegment] | ProvedBatch
"""What is known of each segment, or of all together from their one proof."""


def _plan(proof: bytes, engine: str, run: _Run, expected: Mapping[str, int | bytes | str]) -> _Plan:
    file = run("format", decode_proof, proof)
    parent, headers, forks = run("headers", _headers, file)
    transactions = run("transactions", _transactions, file, headers, forks, run.step)
    withdrawals = run("withdrawals", _withdrawals, file, headers)
    receipts = run("receipts", _receipts, file, headers, transactions)
    run("requests", _requests, file, headers, forks)
    run("statement", _statement, file, parent, headers, receipts, expected)
    trie, written = run("witness", _witness, file, parent, forks)
    outputs = [block.outputs for block in file.blocks]
    parts = zip(headers, transactions, withdrawals, outputs, forks, strict=True)
    contents = [BlockContents(*block) for block in parts]
    operations, circuits = run("segments", _segments, file, contents, written)
    hashes = {header.number: header.hash for header in (parent, *headers)}
    return _Plan(file, headers, forks, transactions, trie, written, hashes, operations, circuits)


def _contents(plan: _Plan, proved: _Proved, run: _Run) -> list[Stated]:
    """Make the checks behind that of the proofs; returns what each segment must state."""
    file, operations = plan.file, plan.operations
    run("leaves", _leaves, plan, proved)
    state = run("pre-state", BatchState, plan.trie, file.state_keys, file.codes, plan.hashes)
    run("writes", _writes, plan, state, proved)
    tree = run("codes", _codes, file, state, operations, proved)
    run("state roots", _state_roots, file, plan.headers, operations, state)
    return run("commitments", _commitments, file, operations, tree, proved)


def _verify(proof: bytes, engine: str, run: _Run, expected: Mapping[str, int | bytes | str]) -> VerificationReport:
    plan = _plan(proof, engine, run, expected)
    file = plan.file
    proved = run("proofs", _proofs, file, plan.circuits, engine, run.step)
    _contents(plan, proved, run)
    assert len(run.results) == len(CHECKS), "a check was left out"
    return VerificationReport(
        statement=file.statement,
        blocks=len(file.blocks),
        transactions=len(file.receipts),
        segments=len(file.segments),
        unprotected=sum(not transaction.protected for block in plan.transactions for transaction in block),
        security_bits=(
            proved.security_bits
            if isinstance(proved, ProvedBatch)
            else min((segment.security_bits for segment in proved), default=None)
        ),
        proof_bytes=len(proof),
        checks=tuple(run.results),
    )


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


def _headers(file: ProofFile) -> tuple[Header, list[Header], list[Fork]]:
    parent = decode_header(file.parent_header, MAX_PARENT_EXTRA_DATA_BYTES)
    headers = [decode_header(block.header) for block in file.blocks]
    forks = forks_of_blocks(file.statement.fork, [header.timestamp for header in headers])
    for (before, header), fork in zip(pairwise([parent, *headers]), forks, strict=True):
        check_header(header, before, fork)
    return parent, headers, forks


def _transactions(
    file: ProofFile, headers: list[Header], forks: list[Fork], step: Callable[[int, int], None]
) -> list[list[Transaction]]:
    total = sum(len(block.transactions) for block in file.blocks)
    if total != len(file.receipts):
        raise Invalid(f"{len(file.receipts)} receipts for {total} transactions")
    blocks = []
    done = start = 0
    for block, header, fork in zip(file.blocks, headers, forks, strict=True):
        check_size(header.number, block, fork)
        # Building the trie takes longer than finding out that something is no transaction.
        transactions = _decode_block(block, header, file.statement.chain_id, fork)
        if ordered_root(block.transactions) != header.transactions_root:
            raise Invalid(f"block {header.number}: transactions root is not that of its transactions")
        done += len(transactions)
        check_inclusion(header, transactions, [receipt.gas_used for receipt in file.receipts[start:done]], fork)
        start = done
        step(done, total)
        blocks.append(transactions)
    return blocks


def _decode_block(block: BlockRecord, header: Header, chain_id: int, fork: Fork) -> list[Transaction]:
    transactions = []
    for number, raw in enumerate(block.transactions):
        try:
            transactions.append(decode_transaction(raw, chain_id, fork))
        except Invalid as error:
            raise Invalid(f"block {header.number}, transaction {number}: {error}") from error
    return transactions


def _withdrawals(file: ProofFile, headers: list[Header]) -> list[list[Withdrawal]]:
    return [check_withdrawals(header, block.withdrawals) for block, header in zip(file.blocks, headers, strict=True)]


def _receipts(file: ProofFile, headers: list[Header], transactions: list[list[Transaction]]) -> list[list[bytes]]:
    blocks = []
    start = 0
    for header, block in zip(headers, transactions, strict=True):
        end = start + len(block)
        blocks.append(check_receipts(header, [t.type for t in block], file.receipts[start:end]))
        start = end
    return blocks


def _requests(file: ProofFile, headers: list[Header], forks: list[Fork]) -> None:
    start = 0
    for block, header, fork in zip(file.blocks, headers, forks, strict=True):
        end = start + len(block.transactions)
        check_requests(header, fork, file.receipts[start:end], block.outputs)
        start = end


def _witness(file: ProofFile, parent: Header, forks: list[Fork]) -> tuple[StateTrie, frozenset[bytes]]:
    """The tries, and the system contracts whose calls are writes."""
    trie = StateTrie(parent.state_root, file.state_nodes)
    return trie, written_contracts(trie, forks)


def _segments(
    file: ProofFile, contents: list[BlockContents], written: frozenset[bytes]
) -> tuple[Operations, list[str]]:
    """The operations, and the circuit of each segment."""
    operations = operations_of(contents, file.statement.chain_id, written)
    check_plan(file.segments, len(operations))
    circuits = circuits_of(file.segments, operations, [block.fork for block in contents])
    if len(operations) and not file.state_keys:
        raise Invalid("operations without any account")
    if file.one_proof is not None:
        check_whole(file.segments)
        leaves_of(circuits, [segment.log_stacked_height for segment in file.segments])
        return operations, circuits
    for segment, circuit in zip(file.segments, circuits, strict=True):
        # That there is one: decoded is the key of a proof whose turn it is, or a file could ask for all there are.
        keys.entry(circuit, segment.log_stacked_height)
    return operations, circuits


def _proofs(file: ProofFile, circuits: list[str], engine: str, step: Callable[[int, int], None]) -> _Proved:
    if file.one_proof is not None:
        leaves = leaves_of(circuits, [segment.log_stacked_height for segment in file.segments])
        batch = verify_tree(bytes(file.one_proof), leaves, engine)
        check_chain(batch, [segment.stated for segment in file.segments])
        return batch
    proved = []
    for number, (segment, circuit) in enumerate(zip(file.segments, circuits, strict=True)):
        try:
            proved.append(verify_segment(segment, keys.load(circuit, segment.log_stacked_height, engine)))
        except Invalid as error:
            raise Invalid(f"segment {number}: {error}") from error
        step(number + 1, len(file.segments))
    check_runs(file.segments, proved)
    return proved


def _leaves(plan: _Plan, proved: _Proved) -> None:
    file = plan.file
    if isinstance(proved, ProvedBatch):
        check_depth(file.state_keys, [segment.stated for segment in file.segments])
    else:
        called = {address for fork in plan.forks for address in system_contracts(fork)}
        check_leaf_room(file.state_keys, proved, len(called))
    check_keys(file.state_keys, file.codes, plan.hashes)


def _writes(plan: _Plan, state: BatchState, proved: _Proved) -> None:
    segments = plan.file.segments
    if isinstance(proved, ProvedBatch):
        check_stated_writes(segments)
    else:
        check_write_room(segments, proved)
    check_writes(segments, plan.operations, state)
    check_system_codes(segments, plan.operations, state, plan.forks, plan.written, plan.file.codes)


def _codes(file: ProofFile, state: BatchState, operations: Operations, proved: _Proved) -> AccessTree | None:
    """The access tree before the operations, where there are any: all that is hashed in it has been counted."""
    check_code_use(file.codes, state, file.segments, None if isinstance(proved, ProvedBatch) else proved)
    return AccessTree(state) if len(operations) else None


def _state_roots(file: ProofFile, headers: list[Header], operations: Operations, state: BatchState) -> None:
    writes, codes = ordered_writes(file.segments), ordered_code_writes(file.segments)
    ends, code_ends = (_ends_of_blocks(w.scope, operations, len(headers)) for w in (writes, codes))
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
    file: ProofFile,
    parent: Header,
    headers: list[Header],
    receipts: list[list[bytes]],
    expected: Mapping[str, int | bytes | str],
) -> None:
    first = headers[0] if headers else parent
    last = headers[-1] if headers else parent
    computed = BatchStatement(
        # The check of the transactions has used this chain id, that of the headers this fork.
        chain_id=file.statement.chain_id,
        fork=file.statement.fork,
        pre_state_root=parent.state_root,
        post_state_root=last.state_root,
        first_block_number=first.number,
        first_block_hash=first.hash,
        last_block_number=last.number,
        last_block_hash=last.hash,
        transactions_commitment=lists_commitment([block.transactions for block in file.blocks]),
        receipts_commitment=lists_commitment(receipts),
        gas_used=sum(header.gas_used for header in headers),
    )
    for name in BatchStatement.__slots__:
        if getattr(file.statement, name) != getattr(computed, name):
            raise Invalid(f"{name.replace('_', ' ')} is not the one of the blocks")
    for name, value in expected.items():
        stated = getattr(computed, name)
        if name == "fork":
            value = Schedule.parse(str(value)).of_blocks([header.timestamp for header in headers])
        if stated != value:
            stated_, value_ = (f"0x{x.hex()}" if isinstance(x, bytes) else x for x in (stated, value))
            raise Invalid(f"{name.replace('_', ' ')} is {stated_}, expected is {value_}")


def _commitments(file: ProofFile, operations: Operations, tree: AccessTree | None, proved: _Proved) -> list[Stated]:
    if tree is None:
        return []
    receipts = receipts_chain(file.receipts, operations)
    expected = expected_public_values(file.segments, operations.chain, receipts, tree)
    if not isinstance(proved, ProvedBatch):
        check_stated(proved, expected)
        return expected
    for number, (segment, wanted) in enumerate(zip(file.segments, expected, strict=True)):
        if list(segment.stated) != wanted.values:
            raise Invalid(f"segment {number}: the proof is one of other public values")
    return expected
