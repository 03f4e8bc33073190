"""The proof file: a magic number, a version, and one RLP list.

    b"ZKEVM" || version (1 byte) || rlp([statement, parent header, blocks, state keys, state nodes, effects, segments])

    statement     [chain id, fork, pre root, post root, first number, first hash, last number, last hash,
                   transactions commitment, receipts commitment, gas used]
    parent header RLP of the header before the first block, as a string
    blocks        [[RLP of the header, [signed transaction (EIP-2718), ...]], ...]
    state keys    one string, 21 bytes for each key: kind, address
    state nodes   [RLP of a node of the pre-state trie, ...], strictly increasing as byte strings
    effects       one string, 109 bytes for each transaction: status, gas used (4), sender nonce (8), balances of
                  sender, recipient and coinbase (32 each) after the writes of the transaction; big-endian
    segments      [[first transaction, end transaction, log stacked height, access root after (32), engine proof], ...]

Every document has exactly one encoding, so that no byte of a file can be changed without changing what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import rlp
from numpy.typing import NDArray

from verifier.errors import Invalid, UnusableInput
from verifier.rlp_bounded import RlpReader
from verifier.statement import BatchStatement

MAGIC: Final = b"ZKEVM"
VERSION: Final = 1
MODULUS: Final = 2013265921  # BabyBear, 15 * 2**27 + 1

MAX_FILE_BYTES: Final = 512 * 2**20
MAX_HEADER_BYTES: Final = 1024  # a Cancun header takes less than 720 bytes
MAX_TRANSACTION_BYTES: Final = 2**24  # 2**22 bytes of calldata and 2**16 addresses and keys take less than 8 MB
MAX_NODE_BYTES: Final = 1024  # a full branch of the state trie takes 532 bytes
MAX_SEGMENT_PROOF_BYTES: Final = 64 * 2**20
MAX_KEYS_PER_TRANSACTION: Final = 6
MAX_FORK_BYTES: Final = 32

_KEY_BYTES: Final = 21
_EFFECT: Final = np.dtype([("status", "u1"), ("gas_used", ">u4"), ("nonce", ">u2", (4,)), ("balances", ">u2", (3, 16))])

StateKey = tuple[int, bytes]
"""Kind of the field (BALANCE 1, NONCE 2, CODE_HASH 3) and address (20 bytes)."""


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """A block: the RLP of its header and its signed transactions as EIP-2718 byte strings."""

    header: bytes
    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """The proof of the transactions `first` to `end` (exclusive), numbered through the batch.

    Attributes:
        log_stacked_height: selects the verifying key.
        access_out: root of the access tree after the segment, 8 field elements below `MODULUS`.
        proof: the engine's own encoding.
    """

    first: int
    end: int
    log_stacked_height: int
    access_out: tuple[int, ...]
    proof: bytes | memoryview


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """What n transactions did, column by column; limbs are 16 bits wide, least significant first.

    Attributes:
        status: (n,) uint8, EIP-658.
        gas_used: (n,) uint32, gas.
        nonce: (n, 4) uint16, nonce of the sender after the transaction.
        balances: (n, 3, 16) uint16, wei: sender, recipient and coinbase, each after its own write.
    """

    status: NDArray[np.uint8]
    gas_used: NDArray[np.uint32]
    nonce: NDArray[np.uint16]
    balances: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.status)

    def to_bytes(self) -> bytes:
        """109 bytes for each transaction (see the module)."""
        records = np.zeros(len(self), dtype=_EFFECT)
        records["status"] = self.status
        records["gas_used"] = self.gas_used
        records["nonce"] = self.nonce[:, ::-1]
        records["balances"] = self.balances[:, :, ::-1]
        return records.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Effects:
        """Inverse of `to_bytes`.

        Raises:
            Invalid: if the length is not a multiple of 109.
        """
        if len(data) % _EFFECT.itemsize:
            raise Invalid(f"effects: {len(data)} bytes are no multiple of {_EFFECT.itemsize}")
        records = np.frombuffer(data, dtype=_EFFECT)
        return cls(
            status=records["status"].copy(),
            gas_used=records["gas_used"].astype(np.uint32),
            nonce=records["nonce"][:, ::-1].astype(np.uint16),
            balances=records["balances"][:, :, ::-1].astype(np.uint16),
        )


@dataclass(frozen=True, slots=True, eq=False)
class ProofFile:
    """A proof file, decoded but not judged. `state_nodes` may come in any order and is sorted by `encode_proof`."""

    statement: BatchStatement
    parent_header: bytes
    blocks: tuple[BlockRecord, ...]
    state_keys: tuple[StateKey, ...]
    state_nodes: tuple[bytes, ...]
    effects: Effects
    segments: tuple[SegmentRecord, ...]


def _uint(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def encode_proof(file: ProofFile) -> bytes:
    """The bytes of a proof file."""
    statement = file.statement
    fields = [getattr(statement, name) for name in BatchStatement.__slots__]
    body = [
        [_uint(f) if isinstance(f, int) else f.encode() if isinstance(f, str) else f for f in fields],
        file.parent_header,
        [[block.header, list(block.transactions)] for block in file.blocks],
        b"".join(bytes([kind]) + address for kind, address in file.state_keys),
        sorted(set(file.state_nodes)),
        file.effects.to_bytes(),
        [
            [
                _uint(segment.first),
                _uint(segment.end),
                _uint(segment.log_stacked_height),
                b"".join(element.to_bytes(4, "big") for element in segment.access_out),
                bytes(segment.proof),
            ]
            for segment in file.segments
        ],
    ]
    encoded: bytes = rlp.encode(body)
    return MAGIC + bytes([VERSION]) + encoded


def _check_start(start: bytes) -> None:
    if start[: len(MAGIC)] != MAGIC:
        raise UnusableInput("not a proof file: it does not start with the magic number")
    version = start[len(MAGIC) : len(MAGIC) + 1]
    if version != bytes([VERSION]):
        raise UnusableInput(f"proof file of version {version.hex() or 'none'}; this verifier reads version {VERSION}")


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
        block.finish(what)
        blocks.append(BlockRecord(header, tuple(transactions)))
    return tuple(blocks)


def _state_keys(data: bytes) -> tuple[StateKey, ...]:
    if len(data) % _KEY_BYTES:
        raise Invalid(f"state keys: {len(data)} bytes are no multiple of {_KEY_BYTES}")
    return tuple((data[i], data[i + 1 : i + _KEY_BYTES]) for i in range(0, len(data), _KEY_BYTES))


def _state_nodes(reader: RlpReader) -> tuple[bytes, ...]:
    nodes: list[bytes] = []
    while not reader.at_end:
        node = reader.string(f"state node {len(nodes)}", MAX_NODE_BYTES)
        if nodes and node <= nodes[-1]:
            raise Invalid(f"state node {len(nodes)}: not in increasing order")
        nodes.append(node)
    return tuple(nodes)


def _segments(reader: RlpReader) -> tuple[SegmentRecord, ...]:
    segments: list[SegmentRecord] = []
    while not reader.at_end:
        what = f"segment {len(segments)}"
        segment = reader.list(what)
        first = segment.uint(f"{what}: first transaction", 32)
        end = segment.uint(f"{what}: end transaction", 32)
        height = segment.uint(f"{what}: log stacked height", 8)
        access_out = np.frombuffer(segment.fixed(f"{what}: access root", 32), dtype=">u4")
        if (access_out >= MODULUS).any():
            raise Invalid(f"{what}: access root with an element that is not below the modulus")
        proof = segment.view(f"{what}: proof", MAX_SEGMENT_PROOF_BYTES)
        segment.finish(what)
        segments.append(SegmentRecord(first, end, height, tuple(access_out.tolist()), proof))
    return tuple(segments)


def decode_proof(data: bytes) -> ProofFile:
    """Decode a proof file strictly: only what `encode_proof` can produce is accepted.

    Segment proofs are views of `data`; everything else takes memory in proportion to the file, with at most
    `verifier.rlp_bounded.MAX_ITEMS` items.

    Raises:
        UnusableInput: wrong magic number or version.
        Invalid: anything malformed, with the place.
    """
    _check_start(data[: len(MAGIC) + 1])
    if len(data) > MAX_FILE_BYTES:
        raise Invalid(f"{len(data)} bytes, at most {MAX_FILE_BYTES} allowed")
    outer = RlpReader(data, offset=len(MAGIC) + 1)
    body = outer.list("proof file")
    outer.finish("proof file")
    statement = _statement(body.list("statement"))
    parent_header = body.string("parent header", MAX_HEADER_BYTES)
    blocks = _blocks(body.list("blocks"))
    transactions = sum(len(block.transactions) for block in blocks)
    file = ProofFile(
        statement=statement,
        parent_header=parent_header,
        blocks=blocks,
        state_keys=_state_keys(body.string("state keys", MAX_KEYS_PER_TRANSACTION * transactions * _KEY_BYTES)),
        state_nodes=_state_nodes(body.list("state nodes")),
        effects=Effects.from_bytes(body.fixed("effects", transactions * _EFFECT.itemsize)),
        segments=_segments(body.list("segments")),
    )
    body.finish("proof file")
    return file
