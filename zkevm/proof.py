"""Proofs: read, looked at, verified. Needs nothing of the prover, and no native code."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, TypedDict

from verifier.container import SegmentRecord, decode_proof
from verifier.container import read_proof as read_file
from verifier.engines import native_is_installed
from verifier.errors import Invalid, UnusableInput
from verifier.statement import BatchStatement
from verifier.verify import VerificationReport
from verifier.verify import verify as judge

Engine = Literal["native", "python"]
"""Implementations of the proof system's verifier: the engine's own in Rust, and one in Python without native code."""

Progress = Callable[[str, int, int], None]
"""Called with what is under way, how much of it is done, and how much there is.

Executing is `execute` with transactions, checking `check` and proving `prove` with segments; verifying has the names of
`verifier.CHECKS`.
"""


class Expected(TypedDict, total=False):
    """Fields of a statement that the caller knows; a proof that says otherwise is rejected.

    Numbers are integers, roots and hashes 32 bytes. `fork` is as in statements; it may be the schedule of the whole
    chain, `cancun, prague from 1746612311`.
    """

    chain_id: int
    fork: str
    pre_state_root: bytes
    post_state_root: bytes
    first_block_number: int
    first_block_hash: bytes
    last_block_number: int
    last_block_hash: bytes
    transactions_commitment: bytes
    receipts_commitment: bytes
    gas_used: int


@dataclass(frozen=True, eq=False)
class Proof:
    """A proof file. What it states is claimed until `verify` has accepted it.

    Attributes:
        content: the bytes of the file.
        name: what it is called in errors.
    """

    content: bytes = field(repr=False)
    name: str = "proof"

    @cached_property
    def _file(self) -> _Contents:
        try:
            file = decode_proof(self.content)
        except Invalid as error:
            raise UnusableInput(f"{self.name}: malformed proof file: {error}") from error
        blocks, segments = file.all_blocks, file.all_segments
        transactions = [raw for block in blocks for raw in block.transactions]
        codes = [code for batch in file.batches for code in batch.codes]
        sizes = {
            "proof file": len(self.content),
            "segment proofs": sum(len(segment.proof) for segment in segments),
            "one proof": len(file.one_proof or b""),
            "state witness": sum(len(node) for batch in file.batches for node in batch.state_nodes),
            "codes": sum(map(len, codes)),
            "transactions": sum(map(len, transactions)),
        }
        return _Contents(
            file.statement,
            len(file.batches),
            len(blocks),
            len(transactions),
            sum(len(batch.state_keys) for batch in file.batches),
            len(codes),
            sizes,
            tuple(map(SegmentSummary.of, segments)),
        )

    @property
    def statement(self) -> BatchStatement:
        """What it says about the batch. Raises `UnusableInput` for a file that is malformed, as all below."""
        return self._file.statement

    @property
    def batches(self) -> int:
        """How many batches: several that follow each other may have one proof together."""
        return self._file.batches

    @property
    def blocks(self) -> int:
        """How many blocks."""
        return self._file.blocks

    @property
    def transactions(self) -> int:
        """How many transactions."""
        return self._file.transactions

    @property
    def state_keys(self) -> int:
        """How many leaves access trees have: accounts, slots, codes and block hashes that batches touch."""
        return self._file.state_keys

    @property
    def codes(self) -> int:
        """How many codes of contracts."""
        return self._file.codes

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the file and of what is in it, by name."""
        return dict(self._file.sizes)

    @property
    def segments(self) -> tuple[SegmentSummary, ...]:
        """The segments that the batches were proved in, in order."""
        return self._file.segments

    def save(self, path: str | Path) -> None:
        """Write the file. Raises `OSError`."""
        Path(path).write_bytes(self.content)

    def verify(
        self,
        engine: Engine | None = None,
        *,
        expected: Expected | None = None,
        progress: Progress | None = None,
    ) -> VerificationReport:
        """Verify the proof, trusting nothing in it.

        Args:
            engine: which verifier of the proof system; None: the native one where it is installed. A segment takes a
                tenth of a second then, and some seconds in Python.
            expected: what the caller knows of the batch.
            progress: called as the checks go on.

        Returns:
            What has been proved. A proof that is not accepted never returns.

        Raises:
            Rejected: the proof is refused; with the check and the reason.
            UnusableInput: it is no proof file of this version, or the engine is not installed.
        """
        with _no_collection():
            return judge(self.content, chosen_engine(engine), progress, {**(expected or {})})  # type: ignore[dict-item]


@dataclass(frozen=True)
class SegmentSummary:
    """A segment of a proof.

    Attributes:
        first_operation, end_operation: what begins in it: transactions, system calls and withdrawals `first` to
            `end - 1`, numbered through its batch.
        log_stacked_height: parameter of the engine, which selects the verifying key.
        writes: to accounts, slots and codes that it leaves.
        proof_bytes: size of its proof; 0 where all segments have one.
    """

    first_operation: int
    end_operation: int
    log_stacked_height: int
    writes: int
    proof_bytes: int

    @classmethod
    def of(cls, record: SegmentRecord) -> SegmentSummary:
        """Of a segment of a proof file."""
        writes = len(record.writes) + len(record.code_writes)
        return cls(record.first, record.end, record.log_stacked_height, writes, len(record.proof))


@dataclass(frozen=True)
class _Contents:
    statement: BatchStatement
    batches: int
    blocks: int
    transactions: int
    state_keys: int
    codes: int
    sizes: dict[str, int]
    segments: tuple[SegmentSummary, ...]


def read_proof(source: str | Path | bytes) -> Proof:
    """Read a proof file, from its path or its content. What is in it is not judged.

    Raises:
        UnusableInput: it cannot be read, is larger than a proof may be, or is no proof file of this version.
    """
    if isinstance(source, bytes):
        return Proof(source)
    return Proof(read_file(Path(source)), str(source))


def verify(
    proof: Proof | str | Path | bytes,
    engine: Engine | None = None,
    *,
    expected: Expected | None = None,
    progress: Progress | None = None,
) -> VerificationReport:
    """Read and verify a proof: `Proof.verify` of what `read_proof` reads."""
    if not isinstance(proof, Proof):
        proof = read_proof(proof)
    return proof.verify(engine, expected=expected, progress=progress)


def chosen_engine(engine: Engine | None) -> Engine:
    """The engine that is meant: the native one where it is installed, unless one is named."""
    return engine or ("native" if native_is_installed() else "python")


@contextmanager
def _no_collection() -> Iterator[None]:
    """No search for garbage in cycles meanwhile.

    A key is hundreds of thousands of small objects that live to the end. Searching them again and again would take a
    tenth of the time that a verdict needs in Python.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
