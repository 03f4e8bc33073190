"""The execution trace of a batch: everything that py-evm did, as tables of numpy columns.

Conventions, for every table:

- Words (256 bits) are 16 little-endian 16-bit limbs, addresses 10 (see :mod:`executor.limbs`); hashes are words.
- Amounts are in wei, fees in wei per gas, gas in units of gas, sizes and offsets in bytes, times in seconds.
- Rows refer to rows of other tables by their index from 0. :data:`NONE` stands for "no row".
- ``*_start`` and ``*_size`` name bytes of :attr:`ExecutionTrace.data`; ``first_*`` and ``end_*`` a range of rows, the
  end excluded.
- Booleans are ``uint8``, 0 or 1.

What happens is in order in every table: steps as they begin, frames as they are opened, accesses, logs and hashes as
they are made. An access is made *in* a step while the instruction runs, the access to the memory of a caller that a
returning call writes included; before the first and after the last step of a transaction or a system call, and in
withdrawals, its step is NONE. Reads that py-evm makes to find out whether a transaction is valid are accesses of that
transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from executor.limbs import limbs_to_bytes, words_to_ints
from executor.state_keys import StateKey, StateKind
from executor.tables import U8, U16, U32, U64, Address, Table, Word

NONE = 2**32 - 1
TOPICS = ("topic0", "topic1", "topic2", "topic3")  # columns of Logs
# Written out: the verifier loads this module, and no tables of instructions.
_OPENING = (0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFA)  # CREATE, CALL, CALLCODE, DELEGATECALL, CREATE2, STATICCALL


class FrameKind(IntEnum):
    """How a frame came to be."""

    CALL = 0
    CALLCODE = 1
    DELEGATECALL = 2
    STATICCALL = 3
    CREATE = 4
    CREATE2 = 5
    MESSAGE = 6  # message call by a transaction
    CREATION = 7  # contract creation by a transaction
    SYSTEM = 8  # call of a system contract outside of transactions (EIP-4788)


class Outcome(IntEnum):
    """How a frame ended. All but SUCCESS and REVERT are exceptional halts, which take all of the frame's gas."""

    SUCCESS = 0
    REVERT = 1
    OUT_OF_GAS = 2  # also code beyond the limit of EIP-170, and initcode beyond that of EIP-3860
    STACK_UNDERFLOW = 3
    STACK_OVERFLOW = 4
    INVALID_INSTRUCTION = 5  # INVALID, and opcodes that no instruction has
    INVALID_JUMP = 6
    STATIC_VIOLATION = 7
    RETURN_DATA_BOUNDS = 8
    RESERVED_CODE = 9  # EIP-3541
    COLLISION = 10  # of a contract creation by a transaction with an account that exists
    PRECOMPILE_FAILURE = 11


class Mode(IntEnum):
    """What a state access is."""

    READ = 0
    WRITE = 1
    UNDO = 2  # a write that is taken back because its frame failed


class HashPurpose(IntEnum):
    """Why a Keccak-256 hash was computed."""

    INSTRUCTION = 0  # KECCAK256
    CREATE_ADDRESS = 1  # RLP of creator and nonce
    CREATE2_ADDRESS = 2  # EIP-1014: 0xff, creator, salt, hash of the initcode
    INITCODE = 3  # for CREATE2_ADDRESS
    CODE = 4  # of a contract that is created


@dataclass(frozen=True, eq=False)
class Steps(Table):
    """One row per instruction that began, those that failed included.

    Running over the end of the code is a STOP at the first place behind it; an account without code makes no step.

    The stack accesses of a step follow from its row: it reads operand ``i`` from slot ``stack_height - 1 - i`` (DUPn:
    slot ``stack_height - n``; SWAPn: its second operand from slot ``stack_height - 1 - n``), and writes its result to
    the slot on top of what remains (SWAPn: result ``i`` where operand ``i`` was). Slot 0 is the lowest. Instructions
    that move words by the byte behind them (:class:`executor.forks.AddedInstruction`) do so like DUP and SWAP; those
    that fail have read nothing.
    """

    pc: U32  # bytes from the start of the code
    opcode: U8
    gas_before: U64  # gas left in the frame
    gas_after: U64  # the same when the instruction is done; 0 after an exceptional halt
    frame: U32
    stack_height: U16  # words on the stack before the instruction
    memory_size: U32  # bytes of memory before the instruction, a multiple of 32
    operands: U8  # words read from the stack: rows in Words. Fewer than the opcode has: underflow
    results: U8  # words written to the stack; 0 for a step that failed
    failed: U8  # 1: the step ended its frame by an exceptional halt


@dataclass(frozen=True, eq=False)
class Words(Table):
    """Operands or results of the steps, one step's after the other's; the top of the stack comes first."""

    word: Word


@dataclass(frozen=True, eq=False)
class Frames(Table):
    """One row per message call or contract creation that began, precompiled contracts included.

    The account that is called is ``code_address``, unless it ``delegates``: then the operand of the call, or the
    recipient of the transaction, names it, and ``code_address`` is where its code points, once.

    The steps from ``first_step`` to ``end_step`` are those of the frame and of the frames it calls; there are none for
    precompiles and accounts without code.
    """

    kind: U8  # FrameKind
    block: U32
    transaction: U32  # NONE: system call
    parent: U32  # frame; NONE: the outermost one
    call_step: U32  # step of the parent that opened the frame; NONE: the outermost one
    depth: U16  # 0: the outermost one
    is_static: U8
    caller: Address
    address: Address  # account whose storage the frame works on; the new account of a creation
    code_address: Address  # account whose code runs; 0 for a creation
    delegates: U8  # 1: the account that is called has delegated to that one (EIP-7702); a precompile does not run then
    code: U32  # what runs: row in Codes; for a creation the initcode
    value: Word  # CALLVALUE; transferred except by DELEGATECALL
    input_start: U64  # calldata; empty for a creation
    input_size: U32
    output_start: U64  # what RETURN or REVERT gave, and precompiles; a creation's code
    output_size: U32
    gas_given: U64  # stipend included
    gas_at_end: U64  # left when the code ended; 0 after an exceptional halt
    gas_left: U64  # returned to the caller: less than gas_at_end by what storing code costs
    outcome: U8  # Outcome
    reverted: U8  # 1: the frame or one that it is part of failed; its effects are undone
    first_step: U32
    end_step: U32


@dataclass(frozen=True, eq=False)
class MemoryAccesses(Table):
    """One row per access of an instruction to memory, of any size but 0."""

    step: U32
    frame: U32  # whose memory it is
    is_write: U8
    offset: U32
    size: U32
    before_start: U64  # size bytes: what was there
    after_start: U64  # size bytes: what is there afterwards; the same place for a read


@dataclass(frozen=True, eq=False)
class StateAccesses(Table):
    """One row per access to a state key. A key's value before an access is the one after the access before it."""

    step: U32
    frame: U32  # NONE: before the first or after the last frame of a transaction or a system call, or a withdrawal
    mode: U8  # Mode
    key: U32  # row in Keys
    before: Word
    after: Word  # equal to before for a read


@dataclass(frozen=True, eq=False)
class Keys(Table):
    """The state keys that were touched, each once: sorted by kind, bytes of the address, slot.

    Complete for what was touched: an address that has a key, takes part in a transaction or a withdrawal, is in an
    access list or a coinbase has its BALANCE, NONCE, CODE_HASH, EXISTS and HAS_STORAGE here, and a slot its STORAGE,
    though nothing read them.

    ``first`` and ``last`` are the values before and after the batch; 0 for kinds that begin anew with a transaction.
    """

    kind: U8  # StateKind
    address: Address
    slot: Word  # 0 for kinds without slots
    first: Word
    last: Word


@dataclass(frozen=True, eq=False)
class Logs(Table):
    """One row per log entry, those of reverted frames included."""

    step: U32
    frame: U32
    transaction: U32  # NONE: system call
    address: Address
    topics: U8  # number of topics, 0 to 4
    topic0: Word  # 0 beyond the number of topics
    topic1: Word
    topic2: Word
    topic3: Word
    data_start: U64
    data_size: U32
    reverted: U8  # 1: not in the receipt


@dataclass(frozen=True, eq=False)
class Hashes(Table):
    """One row per Keccak-256 hash that the EVM asked for."""

    step: U32
    frame: U32  # the frame that asked; NONE: the transaction
    purpose: U8  # HashPurpose
    input_start: U64
    input_size: U32
    digest: Word


@dataclass(frozen=True, eq=False)
class Transactions(Table):
    """One row per transaction of the batch."""

    block: U32
    raw_start: U64  # as in the block's body (EIP-2718)
    raw_size: U32
    type: U8
    sender: Address
    to: Address  # 0 for a creation
    is_creation: U8
    nonce: U64
    gas_limit: U64
    value: Word
    max_fee: Word  # legacy and EIP-2930: the gas price
    max_priority_fee: Word  # legacy and EIP-2930: the gas price
    gas_price: Word  # what is paid (EIP-1559)
    max_fee_per_blob_gas: Word  # wei per blob gas; 0 without blobs
    input_start: U64  # calldata or initcode
    input_size: U32
    access_addresses: U32  # entries of the access list, repetitions counted
    access_keys: U32  # storage keys in the access list, repetitions counted
    authorizations: U32  # entries of the list of authorizations, those of no effect counted (EIP-7702)
    blob_hashes_start: U64  # versioned hashes, 32 bytes each
    blob_hashes_size: U32
    intrinsic_gas: U64
    gas_refunded: U64
    gas_used: U64  # after the refund
    cumulative_gas: U64  # used in the block up to and with this transaction
    status: U8  # 1: success (EIP-658)
    receipt_start: U64  # consensus encoding (EIP-2718)
    receipt_size: U32
    first_frame: U32  # the outermost one
    end_frame: U32
    first_step: U32
    end_step: U32
    first_access: U32  # of StateAccesses
    end_access: U32
    first_log: U32
    end_log: U32


@dataclass(frozen=True, eq=False)
class Blocks(Table):
    """One row per block of the batch; ranges include the system calls around transactions, and the withdrawals."""

    number: U64
    fork: U8  # place in executor.forks.EXECUTED_FORKS
    timestamp: U64
    coinbase: Address
    base_fee: Word
    prev_randao: Word
    gas_limit: U64
    gas_used: U64
    excess_blob_gas: U64
    blob_gas_used: U64
    blob_base_fee: Word  # wei per blob gas
    parent_beacon_root: Word
    parent_hash: Word
    hash: Word
    state_root: Word  # after the block
    header_start: U64  # RLP
    header_size: U32
    first_transaction: U32
    end_transaction: U32
    first_frame: U32
    end_frame: U32
    first_step: U32
    end_step: U32
    first_access: U32
    end_access: U32
    first_withdrawal: U32
    end_withdrawal: U32


@dataclass(frozen=True, eq=False)
class Withdrawals(Table):
    """One row per withdrawal (EIP-4895)."""

    block: U32
    index: U64
    validator: U64
    address: Address
    amount: U64  # gwei


@dataclass(frozen=True, eq=False)
class SystemCalls(Table):
    """One row per call of a system contract outside of transactions (EIP-4788, 2935, 7002, 7251).

    The contract may have no code: then nothing happens, and there is no frame.
    """

    block: U32
    address: Address
    is_end: U8  # 1: after the withdrawals, 0: before the transactions
    returns: U8  # 1: it must succeed, and its output is a request of the block (EIP-7685)
    is_write: U8  # 1: what it writes follows from the block: the contract had its EIP's code before the batch
    input_start: U64
    input_size: U32
    output_start: U64  # what the call returned
    output_size: U32
    first_frame: U32  # the outermost one
    end_frame: U32
    first_step: U32
    end_step: U32
    first_access: U32  # of StateAccesses
    end_access: U32


@dataclass(frozen=True, eq=False)
class Codes(Table):
    """One row per code that ran or was asked for, each once, initcodes included."""

    hash: Word  # keccak256
    start: U64
    size: U32


@dataclass(frozen=True, eq=False)
class Ancestors(Table):
    """One row per ancestor whose hash BLOCKHASH returned, the oldest first."""

    number: U64
    hash: Word


@dataclass(frozen=True, eq=False)
class Data(Table):
    """The bytes that the other tables refer to."""

    byte: U8


@dataclass(frozen=True, eq=False)
class ExecutionTrace:
    """The trace of a batch: tables, and what holds for all of them."""

    steps: Steps
    operands: Words  # of the steps
    results: Words  # of the steps
    frames: Frames
    memory: MemoryAccesses
    accesses: StateAccesses
    keys: Keys
    logs: Logs
    hashes: Hashes
    transactions: Transactions
    blocks: Blocks
    withdrawals: Withdrawals
    system_calls: SystemCalls
    codes: Codes
    ancestors: Ancestors
    data: Data
    chain_id: int
    fork: str
    pre_state_root: bytes
    post_state_root: bytes

    @classmethod
    def table_types(cls) -> dict[str, type[Table]]:
        """The tables by their names, in order."""
        return dict(_TABLES)

    def tables(self) -> dict[str, Table]:
        """The tables of this trace by their names, in order."""
        return {name: getattr(self, name) for name in _TABLES}

    @property
    def nbytes(self) -> int:
        """Bytes that all columns take."""
        return sum(table.nbytes for table in self.tables().values())

    @cached_property
    def operands_start(self) -> NDArray[np.uint64]:
        """First row in ``operands`` of every step, ``(steps,)``."""
        return _starts(self.steps.operands)

    @cached_property
    def results_start(self) -> NDArray[np.uint64]:
        """First row in ``results`` of every step, ``(steps,)``."""
        return _starts(self.steps.results)

    @cached_property
    def opened_frame(self) -> NDArray[np.uint32]:
        """The frame that every step opened, ``(steps,)``; NONE for one that opened none."""
        opened = np.full(len(self.steps), NONE, dtype=np.uint32)
        inner = np.flatnonzero(self.frames.call_step != NONE)
        opened[self.frames.call_step[inner]] = inner
        return opened

    @cached_property
    def end_frame(self) -> NDArray[np.uint32]:
        """The first frame that is neither the frame itself nor inside of it, ``(frames,)``: all before it are."""
        frames = self.frames
        sizes = np.ones(len(frames), dtype=np.uint32)
        for depth in range(int(frames.depth.max(initial=0)), 0, -1):
            inner = np.flatnonzero(frames.depth == depth)
            np.add.at(sizes, frames.parent[inner], sizes[inner])
        return np.arange(len(frames), dtype=np.uint32) + sizes

    @cached_property
    def return_frame(self) -> NDArray[np.uint32]:
        """The frame whose output is the return data before every step (EIP-211), ``(steps,)``; NONE where it is empty.

        Every call and creation replaces the return data; with nothing if it opens no frame, creates a contract, or
        halts exceptionally.
        """
        frames, opened = self.frames, self.opened_frame
        given = opened != NONE
        frame = opened[given]
        creates = np.isin(frames.kind[frame], (FrameKind.CREATE, FrameKind.CREATE2))
        empty = (frames.output_size[frame] == 0) | (creates & (frames.outcome[frame] == Outcome.SUCCESS))
        data = np.full(len(opened), NONE, dtype=np.uint32)
        data[given] = np.where(empty, NONE, frame)
        # Frame by frame: the last step before that may have replaced it, if there is one in the same frame.
        order = np.argsort(self.steps.frame, kind="stable")
        places = np.where(np.isin(self.steps.opcode[order], _OPENING), np.arange(len(order)), -1)
        last = np.concatenate(([-1], np.maximum.accumulate(places)[:-1])) if len(order) else places
        own = (last >= 0) & (self.steps.frame[order[last]] == self.steps.frame[order])
        result = np.full(len(opened), NONE, dtype=np.uint32)
        result[order] = np.where(own, data[order[last]], NONE)
        return result

    def state_keys(self) -> list[StateKey]:
        """The rows of ``keys``."""
        kinds = map(StateKind, self.keys.kind.tolist())
        addresses = limbs_to_bytes(self.keys.address)
        return [StateKey(*parts) for parts in zip(kinds, addresses, words_to_ints(self.keys.slot), strict=True)]

    def bytes_at(self, start: int, size: int) -> bytes:
        """``size`` bytes of ``data`` from ``start``."""
        return self.data.byte[int(start) : int(start) + int(size)].tobytes()

    def digest(self) -> bytes:
        """SHA-256 over names, types, shapes and contents of all columns (32 bytes): equal for equal traces."""
        digest = hashlib.sha256()
        for part in self.canonical_parts():
            digest.update(part)
        return digest.digest()

    def canonical_parts(self) -> Iterator[bytes | memoryview]:
        """What :meth:`digest` hashes: every column with its type and shape, little-endian; injective."""
        for item in fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, Table):
                yield f"{item.name}:{value!r};".encode()
                continue
            for name, dtype, _ in value.columns():
                array = np.ascontiguousarray(getattr(value, name), dtype=dtype.newbyteorder("<"))
                yield f"{item.name}.{name}:{array.dtype.str}:{array.shape};".encode()
                yield array.reshape(-1).view(np.uint8).data


_TABLES: dict[str, type[Table]] = {
    "steps": Steps,
    "operands": Words,
    "results": Words,
    "frames": Frames,
    "memory": MemoryAccesses,
    "accesses": StateAccesses,
    "keys": Keys,
    "logs": Logs,
    "hashes": Hashes,
    "transactions": Transactions,
    "blocks": Blocks,
    "withdrawals": Withdrawals,
    "system_calls": SystemCalls,
    "codes": Codes,
    "ancestors": Ancestors,
    "data": Data,
}


def _starts(counts: NDArray[np.uint8]) -> NDArray[np.uint64]:
    starts = np.zeros(len(counts), dtype=np.uint64)
    np.cumsum(counts[:-1], dtype=np.uint64, out=starts[1:])
    return starts
