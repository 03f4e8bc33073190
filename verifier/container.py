"""The proof file: a magic number, a version, and one RLP list.

    b"ZKEVM" || version (1 byte) || rlp([statement, parent header, ancestors, blocks, leaf keys, codes, state nodes,
    receipts, segments])

    b"ZKEVM" || version of one proof (1 byte) || rlp([..., segments, joined, joint, one proof])

    statement     [chain id, fork, pre root, post root, first number, first hash, last number, last hash,
                   transactions commitment, receipts commitment, gas used]
    parent header RLP of the header before the first block, as a string
    ancestors     [RLP of a header, ...] of the blocks before that one, the latest first, as far as they prove what
                  BLOCKHASH gives: each proves that of the block before it
    blocks        [[RLP of the header, [signed transaction (EIP-2718), ...], [RLP of a withdrawal, ...],
                   [output of a system call, ...]], ...]
    leaf keys     one string, 53 bytes for each leaf of the access tree: kind, address (20), slot (32)
    codes         [code, ...] of the leaves of that kind, in their order
    state nodes   [RLP of a node of the pre-state's tries, ...], strictly increasing as byte strings
    receipts      [[status, gas used, [[address, topics (32 bytes each), data], ...]], ...] for each transaction
    segments      [[first operation, end operation, log stacked height, form of the circuit (`circuits.statement.Form`),
                   writes, code writes, open end, links, engine proof], ...]
    open end      empty where the segment ends with an operation, else one string of 16 bytes: time (4), id of the next
                   frame (4), frame (4) and index (4) of the next word of memory, all big-endian
    links         one string, 36 bytes for each, in the order of the other segments: number of the other segment in
                   the run, which is a later one (4), running hash of what both have in common (eight elements of 4),
                   all big-endian
    writes        one string, 48 bytes for each: scope (4), leaf (4), value (32), nonce (8), big-endian
    code writes   one string, 40 bytes for each: scope (4), leaf (4), code hash (32), big-endian

In the second form all segments have one proof together, the engine's encoding of a node (`verifier.trees`). In the
place of its own proof a segment has what that says then: the heights of its tables, one string of a byte for each, and
its public values, one string of 4 bytes for each, big-endian (`Claim`). And batches
that follow each other may have one proof together: the later ones are joined to the first, and the statement is that of
the blocks of all.

    joined        [[ancestors, blocks, leaf keys, codes, state nodes, receipts, segments], ...], the parent of each is
                  the last header before it; the limits below are those of a file
    joint         how the one proof is joined of trees: so many batches, at least one, where it is one tree over their
                  segments; else a list of two or more of these, in the order of the batches. One without segments may
                  be counted to the tree before it or behind it

Every document has exactly one encoding, so that no byte of a file can be changed without changing what it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
import rlp
from numpy.typing import NDArray

from circuits.air.field import MODULUS
from circuits.statement import Form, PublicColumns
from circuits.widths import DIGEST
from verifier.errors import Invalid, UnusableInput
from verifier.headers import MAX_PARENT_EXTRA_DATA_BYTES
from verifier.rlp_bounded import RlpReader
from verifier.statement import BatchStatement

MAGIC: Final = b"ZKEVM"
VERSION: Final = 11
ONE_PROOF_VERSION: Final = 14

MAX_FILE_BYTES: Final = 512 * 2**20
MAX_HEADER_BYTES: Final = 1024  # a header of 21 fields takes less than 750 bytes
MAX_PARENT_HEADER_BYTES: Final = MAX_HEADER_BYTES + MAX_PARENT_EXTRA_DATA_BYTES
MAX_ANCESTORS: Final = 254  # BLOCKHASH reaches 256 blocks back: the parent, the one it names, and 254 more
MAX_TRANSACTION_BYTES: Final = 2**24  # 2**22 bytes of calldata and 2**16 addresses and keys take less than 8 MB
MAX_NODE_BYTES: Final = 1024  # a full branch of the state trie takes 532 bytes
MAX_SEGMENT_PROOF_BYTES: Final = 64 * 2**20
MAX_ONE_PROOF_BYTES: Final = 2**20  # a third of it is taken
MAX_FORK_BYTES: Final = 256  # all seven forks with times of 20 digits take 201
MAX_LEAVES: Final = 2**20
MAX_CODE_BYTES: Final = 2**20  # EIP-170 allows 24,576; a genesis may hold more
MAX_ALL_CODE_BYTES: Final = 2**24
MAX_LOG_BYTES: Final = 2**24
MAX_TOPICS: Final = 4
MAX_WITHDRAWAL_BYTES: Final = 64  # the longest takes 50
MAX_OUTPUT_BYTES: Final = 2**22  # the contracts of EIP-7002 and EIP-7251 give 1,216 and 232 at most
MAX_WRITES: Final = 2**20  # of all segments
MAX_LINKS: Final = 2**16  # of all segments: 360 may be linked each with each
MAX_BATCHES: Final = 256  # each takes tries of its own
MAX_JOINS: Final = 64  # lists within lists: each takes three more nodes above each other, of which there may be 256
MAX_SEGMENTS: Final = 1024  # real proofs take half a megabyte each, and a file is at most MAX_FILE_BYTES

_KEY_BYTES: Final = 53
_OPEN_END_BYTES: Final = 16
_WRITE: Final = np.dtype([("scope", ">u4"), ("leaf", ">u4"), ("value", ">u2", (16,)), ("nonce", ">u2", (4,))])
_LINK: Final = np.dtype([("other", ">u4"), ("digest", ">u4", (DIGEST,))])
_VALUE: Final = np.dtype(">u4")
_CODE_WRITE: Final = np.dtype([("scope", ">u4"), ("leaf", ">u4"), ("code_hash", ">u2", (16,))])

MAX_TABLES: Final = 255  # nodes of trees number them so

STATED_VALUES: Final[Mapping[str, int]] = {"segment": PublicColumns.width, "frame": 2, "memory": 5}
"""Tables of a segment with public values, and how many."""

Joint = int | tuple["Joint", ...]
"""How one proof is joined: a number of batches, of whose segments there is one tree, or two or more such, which a node
joins."""

StateKey = tuple[int, bytes, int]
"""Key of a leaf of the access tree: kind (`circuits.batch.leaves.LeafKind`), address (20 bytes), slot."""


class StateKeys(Sequence[StateKey]):
    """Keys of leaves as a file holds them, 53 bytes for each, taken apart one by one when they are asked for.

    A file may list a million that no segment touches: as objects they would take a few times its size.

    Raises:
        Invalid: if the length is not a multiple of 53.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) % _KEY_BYTES:
            raise Invalid(f"leaf keys: {len(data)} bytes are no multiple of {_KEY_BYTES}")
        self._data = data

    def __len__(self) -> int:
        return len(self._data) // _KEY_BYTES

    @overload
    def __getitem__(self, number: int) -> StateKey: ...

    @overload
    def __getitem__(self, number: slice) -> tuple[StateKey, ...]: ...

    def __getitem__(self, number: int | slice) -> StateKey | tuple[StateKey, ...]:
        if isinstance(number, slice):
            return tuple(self[i] for i in range(len(self))[number])
        start = range(len(self))[number] * _KEY_BYTES
        row = self._data[start : start + _KEY_BYTES]
        return row[0], row[1:21], int.from_bytes(row[21:], "big")


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """A block: the RLP of its header, its signed transactions (EIP-2718) and its withdrawals (RLP, EIP-4895).

    `outputs` are what the calls of the request contracts return after the withdrawals (EIP-7002, EIP-7251), in the
    order of these calls; a fork without such contracts has none.
    """

    header: bytes
    transactions: tuple[bytes, ...]
    withdrawals: tuple[bytes, ...] = ()
    outputs: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log entry: address (20 bytes), up to 4 topics (32 bytes each), data."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class ReceiptRecord:
    """What a transaction did: status (EIP-658), gas used by itself, log entries in order."""

    status: int
    gas_used: int
    logs: tuple[LogRecord, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Writes:
    """The new values of leaves that a segment leaves, in the order in which its proof commits to them.

    Attributes:
        scope: (n,) uint32, operation of a slot's write, first operation of the block for an account's.
        leaf: (n,) uint32.
        value: (n, 16) uint16, little-endian limbs: a slot's value, an account's balance.
        nonce: (n, 4) uint16, little-endian limbs: an account's nonce, else 0.
    """

    scope: NDArray[np.uint32]
    leaf: NDArray[np.uint32]
    value: NDArray[np.uint16]
    nonce: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.scope)

    def to_bytes(self) -> bytes:
        """48 bytes for each write (see the module)."""
        records = np.zeros(len(self), dtype=_WRITE)
        records["scope"] = self.scope
        records["leaf"] = self.leaf
        records["value"] = self.value[:, ::-1]
        records["nonce"] = self.nonce[:, ::-1]
        return records.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Writes:
        """Inverse of `to_bytes`.

        Raises:
            Invalid: if the length is not a multiple of 48.
        """
        if len(data) % _WRITE.itemsize:
            raise Invalid(f"writes: {len(data)} bytes are no multiple of {_WRITE.itemsize}")
        records = np.frombuffer(data, dtype=_WRITE)
        return cls(
            scope=records["scope"].astype(np.uint32),
            leaf=records["leaf"].astype(np.uint32),
            value=records["value"][:, ::-1].astype(np.uint16),
            nonce=records["nonce"][:, ::-1].astype(np.uint16),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CodeWrites:
    """The new code hashes of accounts that a segment leaves; its proof commits to them behind its `Writes`.

    Attributes:
        scope: (n,) uint32, first operation of the block.
        leaf: (n,) uint32.
        code_hash: (n, 16) uint16, little-endian limbs.
    """

    scope: NDArray[np.uint32]
    leaf: NDArray[np.uint32]
    code_hash: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.scope)

    def to_bytes(self) -> bytes:
        """40 bytes for each write (see the module)."""
        records = np.zeros(len(self), dtype=_CODE_WRITE)
        records["scope"] = self.scope
        records["leaf"] = self.leaf
        records["code_hash"] = self.code_hash[:, ::-1]
        return records.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> CodeWrites:
        """Inverse of `to_bytes`.

        Raises:
            Invalid: if the length is not a multiple of 40.
        """
        if len(data) % _CODE_WRITE.itemsize:
            raise Invalid(f"code writes: {len(data)} bytes are no multiple of {_CODE_WRITE.itemsize}")
        records = np.frombuffer(data, dtype=_CODE_WRITE)
        return cls(
            scope=records["scope"].astype(np.uint32),
            leaf=records["leaf"].astype(np.uint32),
            code_hash=records["code_hash"][:, ::-1].astype(np.uint16),
        )


@dataclass(frozen=True, slots=True)
class OpenEnd:
    """Where a segment ends within an operation: what the next one goes on from.

    Attributes:
        time: at which the operations that have begun are over.
        next_frame: id of the first frame that the next segment opens.
        next_word: frame and index of the first word of memory that has its row in a later segment of the run.
    """

    time: int
    next_frame: int
    next_word: tuple[int, int]

    def to_bytes(self) -> bytes:
        """16 bytes (see the module)."""
        return b"".join(number.to_bytes(4, "big") for number in (self.time, self.next_frame, *self.next_word))

    @classmethod
    def from_bytes(cls, data: bytes) -> OpenEnd:
        """Inverse of `to_bytes`.

        Raises:
            Invalid: if the length is another, or a number is no field element.
        """
        if len(data) != _OPEN_END_BYTES:
            raise Invalid(f"an open end of {len(data)} bytes instead of {_OPEN_END_BYTES}")
        time, next_frame, frame, index = np.frombuffer(data, dtype=">u4").tolist()
        if max(time, next_frame, frame, index) >= MODULUS:
            raise Invalid("an open end with a number that is no field element")
        return cls(time, next_frame, (frame, index))


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """What a segment of a run has in common with later ones of it (`circuits.carry`).

    Attributes:
        other: (n,) uint32, numbers of these segments in the run.
        digest: (n, 8) uint32, running hash of what both have in common.
    """

    other: NDArray[np.uint32]
    digest: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.other)

    def to_bytes(self) -> bytes:
        """36 bytes for each link (see the module)."""
        records = np.zeros(len(self), dtype=_LINK)
        records["other"] = self.other
        records["digest"] = self.digest
        return records.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Links:
        """Inverse of `to_bytes`.

        Raises:
            Invalid: if the length is not a multiple of 36, or a hash is not of field elements.
        """
        if len(data) % _LINK.itemsize:
            raise Invalid(f"links: {len(data)} bytes are no multiple of {_LINK.itemsize}")
        records = np.frombuffer(data, dtype=_LINK)
        if (records["digest"] >= MODULUS).any():
            raise Invalid("a link with a number that is no field element")
        return cls(other=records["other"].astype(np.uint32), digest=records["digest"].astype(np.uint32))


@dataclass(frozen=True, slots=True)
class Claim:
    """What the proof of a segment says, where one proof of all stands for it.

    Attributes:
        heights: of each table of its key, in order, 1 + log2 of its rows, padding included, or 0 where it is absent.
        values: of each table of `STATED_VALUES` its public values, or zeros where it is absent.
    """

    heights: bytes
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SegmentRecord:
    """The proof of the operations `first` to `end` (exclusive), numbered through the batch.

    Attributes:
        open_end: None where the segment ends with an operation. Otherwise it proves these operations up to some step,
            and the next segment goes on from there.
        log_stacked_height, form: select the verifying key: for a size of proof, and of a form of the circuit.
        writes, code_writes: what it leaves.
        proof: the engine's own encoding; nothing where all segments have one proof.
        links: what it has in common with later segments of its run.
        claim: where all segments have one proof, what that of this one says; None where it has its own.
    """

    first: int
    end: int
    log_stacked_height: int
    writes: Writes
    proof: bytes | memoryview
    code_writes: CodeWrites = field(default_factory=lambda: CodeWrites.from_bytes(b""))
    open_end: OpenEnd | None = None
    links: Links = field(default_factory=lambda: Links.from_bytes(b""))
    claim: Claim | None = None
    form: Form = Form.WHOLE


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BatchRecord:
    """A batch, but for what it states: its blocks, what they touch of the state before them, and its segments.

    `state_nodes` may come in any order and is sorted by `encode_proof`. `ancestors` are RLP of headers, of the blocks
    before its parent, the latest first.
    """

    ancestors: tuple[bytes, ...] = ()
    blocks: tuple[BlockRecord, ...]
    state_keys: Sequence[StateKey]
    codes: tuple[bytes, ...]
    state_nodes: tuple[bytes, ...]
    receipts: tuple[ReceiptRecord, ...]
    segments: tuple[SegmentRecord, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProofFile(BatchRecord):
    """A proof file, decoded but not judged: a batch, and those that are joined to it.

    Attributes:
        statement: about the blocks of all.
        parent_header: of the first block.
        one_proof: that of all segments together, which have none of their own; None where each has its own.
        joined: the batches that follow, in order; only where all have one proof.
        joint: of which trees the one proof is joined.
    """

    statement: BatchStatement
    parent_header: bytes
    one_proof: bytes | memoryview | None = None
    joined: tuple[BatchRecord, ...] = ()
    joint: Joint = 1

    @property
    def batches(self) -> tuple[BatchRecord, ...]:
        """All batches, in order."""
        return (self, *self.joined)

    @property
    def all_blocks(self) -> list[BlockRecord]:
        """Those of all batches."""
        return [block for batch in self.batches for block in batch.blocks]

    @property
    def all_receipts(self) -> list[ReceiptRecord]:
        """Those of all batches."""
        return [receipt for batch in self.batches for receipt in batch.receipts]

    @property
    def all_segments(self) -> list[SegmentRecord]:
        """Those of all batches."""
        return [segment for batch in self.batches for segment in batch.segments]


def _uint(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def encode_proof(file: ProofFile) -> bytes:
    """The bytes of a proof file."""
    statement = file.statement
    fields = [getattr(statement, name) for name in BatchStatement.__slots__]
    body = [
        [_uint(f) if isinstance(f, int) else f.encode() if isinstance(f, str) else f for f in fields],
        file.parent_header,
        *_encode_batch(file),
    ]
    if file.one_proof is not None:
        body += [[_encode_batch(batch) for batch in file.joined], _encode_joint(file.joint), bytes(file.one_proof)]
    encoded: bytes = rlp.encode(body)
    return MAGIC + bytes([VERSION if file.one_proof is None else ONE_PROOF_VERSION]) + encoded


def _encode_joint(joint: Joint) -> bytes | list[Any]:
    return _uint(joint) if isinstance(joint, int) else [_encode_joint(own) for own in joint]


def _encode_batch(batch: BatchRecord) -> list[Any]:
    return [
        list(batch.ancestors),
        [[b.header, list(b.transactions), list(b.withdrawals), list(b.outputs)] for b in batch.blocks],
        b"".join(bytes([kind]) + address + slot.to_bytes(32, "big") for kind, address, slot in batch.state_keys),
        list(batch.codes),
        sorted(set(batch.state_nodes)),
        [
            [
                _uint(receipt.status),
                _uint(receipt.gas_used),
                [[log.address, b"".join(log.topics), log.data] for log in receipt.logs],
            ]
            for receipt in batch.receipts
        ],
        [
            [
                _uint(segment.first),
                _uint(segment.end),
                _uint(segment.log_stacked_height),
                _uint(segment.form),
                segment.writes.to_bytes(),
                segment.code_writes.to_bytes(),
                segment.open_end.to_bytes() if segment.open_end else b"",
                segment.links.to_bytes(),
                *_encode_proof_of(segment),
            ]
            for segment in batch.segments
        ],
    ]


def _encode_proof_of(segment: SegmentRecord) -> list[bytes]:
    """The proof of a segment, or what it says."""
    if segment.claim is None:
        return [bytes(segment.proof)]
    return [segment.claim.heights, np.array(segment.claim.values, dtype=_VALUE).tobytes()]


@dataclass(slots=True)
class _Room:
    """What the batches of a file may still have, all together."""

    leaves: int
    code_bytes: int
    writes: int
    links: int
    segments: int


def _check_start(start: bytes) -> int:
    """The version that a proof file starts with."""
    if start[: len(MAGIC)] != MAGIC:
        raise UnusableInput("not a proof file: it does not start with the magic number")
    version = start[len(MAGIC) : len(MAGIC) + 1]
    if version not in (bytes([VERSION]), bytes([ONE_PROOF_VERSION])):
        raise UnusableInput(
            f"proof file of version {version.hex() or 'none'}; this verifier reads versions {VERSION} and "
            f"{ONE_PROOF_VERSION}"
        )
    return version[0]


def read_proof(path: Path) -> bytes:
    """Read a proof file; a file that cannot be one is refused before it takes memory.

    Raises:
        UnusableInput: if the file cannot be read, is larger than `MAX_FILE_BYTES` or is no proof file of this version.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            if size > MAX_FILE_BYTES:
                raise UnusableInput(f"{path}: {size} bytes, at most {MAX_FILE_BYTES} allowed")
            start = stream.read(len(MAGIC) + 1)
            _check_start(start)
            return start + stream.read(MAX_FILE_BYTES)
    except OSError as error:
        raise UnusableInput(f"{path}: {error.strerror or error}") from error


def _statement(reader: RlpReader) -> BatchStatement:
    fork_field = "statement: fork"
    chain_id = reader.uint("statement: chain id", 64)
    fork = reader.string(fork_field, MAX_FORK_BYTES)
    if not fork.isascii():
        raise Invalid(f"{fork_field}: not ASCII")
    statement = BatchStatement(
        chain_id=chain_id,
        fork=fork.decode("ascii"),
        pre_state_root=reader.fixed("statement: pre-state root", 32),
        post_state_root=reader.fixed("statement: post-state root", 32),
        first_block_number=reader.uint("statement: first block number", 64),
        first_block_hash=reader.fixed("statement: first block hash", 32),
        last_block_number=reader.uint("statement: last block number", 64),
        last_block_hash=reader.fixed("statement: last block hash", 32),
        transactions_commitment=reader.fixed("statement: transactions commitment", 32),
        receipts_commitment=reader.fixed("statement: receipts commitment", 32),
        gas_used=reader.uint("statement: gas used", 64),
    )
    reader.finish("statement")
    return statement


def _ancestors(reader: RlpReader) -> tuple[bytes, ...]:
    headers: list[bytes] = []
    while not reader.at_end:
        if len(headers) == MAX_ANCESTORS:
            raise Invalid(f"more than {MAX_ANCESTORS} ancestors")
        headers.append(reader.string(f"ancestor {len(headers)}", MAX_PARENT_HEADER_BYTES))
    return tuple(headers)


def _blocks(reader: RlpReader) -> tuple[BlockRecord, ...]:
    blocks: list[BlockRecord] = []
    while not reader.at_end:
        what = f"block {len(blocks)}"
        block = reader.list(what)
        header = block.string(f"{what}: header", MAX_HEADER_BYTES)
        body = block.list(f"{what}: transactions")
        transactions: list[bytes] = []
        while not body.at_end:
            transactions.append(body.string(f"{what}, transaction {len(transactions)}", MAX_TRANSACTION_BYTES))
        rest = block.list(f"{what}: withdrawals")
        withdrawals: list[bytes] = []
        while not rest.at_end:
            withdrawals.append(rest.string(f"{what}, withdrawal {len(withdrawals)}", MAX_WITHDRAWAL_BYTES))
        calls = block.list(f"{what}: outputs")
        outputs: list[bytes] = []
        while not calls.at_end:
            outputs.append(calls.string(f"{what}, output {len(outputs)}", MAX_OUTPUT_BYTES))
        block.finish(what)
        blocks.append(BlockRecord(header, tuple(transactions), tuple(withdrawals), tuple(outputs)))
    return tuple(blocks)


def _codes(reader: RlpReader, room: _Room) -> tuple[bytes, ...]:
    codes: list[bytes] = []
    while not reader.at_end:
        code = reader.string(f"code {len(codes)}", min(MAX_CODE_BYTES, room.code_bytes))
        room.code_bytes -= len(code)
        codes.append(code)
    return tuple(codes)


def _receipts(reader: RlpReader) -> tuple[ReceiptRecord, ...]:
    receipts: list[ReceiptRecord] = []
    while not reader.at_end:
        what = f"receipt {len(receipts)}"
        receipt = reader.list(what)
        status = receipt.uint(f"{what}: status", 1)
        gas_used = receipt.uint(f"{what}: gas used", 64)
        entries = receipt.list(f"{what}: logs")
        logs: list[LogRecord] = []
        while not entries.at_end:
            name = f"{what}, log {len(logs)}"
            log = entries.list(name)
            address = log.fixed(f"{name}: address", 20)
            topics = log.string(f"{name}: topics", 32 * MAX_TOPICS)
            if len(topics) % 32:
                raise Invalid(f"{name}: topics of {len(topics)} bytes")
            data = log.string(f"{name}: data", MAX_LOG_BYTES)
            log.finish(name)
            logs.append(LogRecord(address, tuple(topics[i : i + 32] for i in range(0, len(topics), 32)), data))
        receipt.finish(what)
        receipts.append(ReceiptRecord(status, gas_used, tuple(logs)))
    return tuple(receipts)


def _state_nodes(reader: RlpReader) -> tuple[bytes, ...]:
    nodes: list[bytes] = []
    while not reader.at_end:
        node = reader.string(f"state node {len(nodes)}", MAX_NODE_BYTES)
        if nodes and node <= nodes[-1]:
            raise Invalid(f"state node {len(nodes)}: not in increasing order")
        nodes.append(node)
    return tuple(nodes)


def _segments(reader: RlpReader, room: _Room, version: int) -> tuple[SegmentRecord, ...]:
    segments: list[SegmentRecord] = []
    while not reader.at_end:
        what = f"segment {len(segments)}"
        if not room.segments:
            raise Invalid(f"more than {MAX_SEGMENTS} segments")
        room.segments -= 1
        segment = reader.list(what)
        first = segment.uint(f"{what}: first operation", 32)
        end = segment.uint(f"{what}: end operation", 32)
        height = segment.uint(f"{what}: log stacked height", 8)
        form = segment.uint(f"{what}: form of the circuit", 8)
        if form >= len(Form):
            raise Invalid(f"{what}: there is no form {form} of a circuit")
        writes = Writes.from_bytes(segment.string(f"{what}: writes", room.writes * _WRITE.itemsize))
        room.writes -= len(writes)
        code_writes = CodeWrites.from_bytes(segment.string(f"{what}: code writes", room.writes * _CODE_WRITE.itemsize))
        room.writes -= len(code_writes)
        open_end = segment.string(f"{what}: open end", _OPEN_END_BYTES)
        links = Links.from_bytes(segment.string(f"{what}: links", room.links * _LINK.itemsize))
        room.links -= len(links)
        proof: bytes | memoryview = b""
        claim: Claim | None = None
        if version == VERSION:
            proof = segment.view(f"{what}: proof", MAX_SEGMENT_PROOF_BYTES)
        else:
            claim = _claim(segment, what)
        segment.finish(what)
        segments.append(
            SegmentRecord(
                first,
                end,
                height,
                writes,
                proof,
                code_writes,
                OpenEnd.from_bytes(open_end) if open_end else None,
                links,
                claim,
                Form(form),
            )
        )
    return tuple(segments)


def _claim(segment: RlpReader, what: str) -> Claim:
    heights = segment.string(f"{what}: heights", MAX_TABLES)
    size = sum(STATED_VALUES.values()) * _VALUE.itemsize
    content = segment.string(f"{what}: public values", size)
    if len(content) != size:
        raise Invalid(f"{what}: public values of {len(content)} bytes")
    values = np.frombuffer(content, dtype=_VALUE)
    if (values >= MODULUS).any():
        raise Invalid(f"{what}: a public value is not below the modulus")
    return Claim(heights, tuple(values.tolist()))


def decode_proof(data: bytes) -> ProofFile:
    """Decode a proof file strictly: only what `encode_proof` can produce is accepted.

    Segment proofs are views of `data`; everything else takes memory in proportion to the file, with at most
    `verifier.rlp_bounded.MAX_ITEMS` items.

    Raises:
        UnusableInput: wrong magic number or version.
        Invalid: anything malformed, with the place.
    """
    version = _check_start(data[: len(MAGIC) + 1])
    if len(data) > MAX_FILE_BYTES:
        raise Invalid(f"{len(data)} bytes, at most {MAX_FILE_BYTES} allowed")
    outer = RlpReader(data, offset=len(MAGIC) + 1)
    body = outer.list("proof file")
    outer.finish("proof file")
    room = _Room(MAX_LEAVES, MAX_ALL_CODE_BYTES, MAX_WRITES, MAX_LINKS, MAX_SEGMENTS)
    statement = _statement(body.list("statement"))
    parent_header = body.string("parent header", MAX_PARENT_HEADER_BYTES)
    first = _batch(body, room, version)
    joined: list[BatchRecord] = []
    joint: Joint = 1
    one_proof = None
    if version == ONE_PROOF_VERSION:
        batches = body.list("joined batches")
        while not batches.at_end:
            what = f"batch {1 + len(joined)}"
            if 1 + len(joined) == MAX_BATCHES:
                raise Invalid(f"more than {MAX_BATCHES} batches")
            batch = batches.list(what)
            try:
                joined.append(BatchRecord(**_batch(batch, room, version)))
                batch.finish("the batch")
            except Invalid as error:
                raise Invalid(f"{what}: {error}") from error
        joint = _joint(body)
        one_proof = body.view("one proof", MAX_ONE_PROOF_BYTES)
    body.finish("proof file")
    return ProofFile(
        statement=statement,
        parent_header=parent_header,
        one_proof=one_proof,
        joined=tuple(joined),
        joint=joint,
        **first,
    )


def joins_of(joint: Joint) -> int:
    """How many lists stand within each other."""
    return 0 if isinstance(joint, int) else 1 + max(map(joins_of, joint))


def _joint(reader: RlpReader) -> Joint:
    return _joint_within(reader, 0, [MAX_BATCHES])


def _joint_within(reader: RlpReader, joins: int, left: list[int]) -> Joint:
    """The next item, within so many lists, of so many batches at most."""
    if not reader.at_list:
        batches = reader.uint("joint", 16)
        if not batches:
            raise Invalid("joint: a tree over no batch")
        left[0] -= batches
        if left[0] < 0:
            raise Invalid(f"joint: of more than {MAX_BATCHES} batches")
        return batches
    if joins == MAX_JOINS:
        raise Invalid(f"joint: joined more than {MAX_JOINS} times")
    inner = reader.list("joint")
    joined: list[Joint] = []
    while not inner.at_end:
        joined.append(_joint_within(inner, joins + 1, left))
    if len(joined) < 2:
        raise Invalid(f"joint: a list of {len(joined)}")
    return tuple(joined)


def _batch(reader: RlpReader, room: _Room, version: int) -> dict[str, Any]:
    """The fields of a `BatchRecord`."""
    ancestors = _ancestors(reader.list("ancestors"))
    blocks = _blocks(reader.list("blocks"))
    state_keys = StateKeys(reader.string("leaf keys", room.leaves * _KEY_BYTES))
    room.leaves -= len(state_keys)
    return {
        "ancestors": ancestors,
        "blocks": blocks,
        "state_keys": state_keys,
        "codes": _codes(reader.list("codes"), room),
        "state_nodes": _state_nodes(reader.list("state nodes")),
        "receipts": _receipts(reader.list("receipts")),
        "segments": _segments(reader.list("segments"), room, version),
    }
