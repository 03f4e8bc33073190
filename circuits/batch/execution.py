"""One segment of an execution, as the tables see it: every step with its time, and what its stack accesses meet.

Built with numpy from the trace of the whole batch. Steps are numbered within the segment; `rows` picks those of an
instruction. Ids follow the tables that give them: a frame's is 1 + its row, a code's, a calldata buffer's and a block's
are rows of their tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from circuits.batch.code_trees import CodeTrees
from circuits.batch.leaves import BatchLeaves, LeafKind
from circuits.batch.operations import OperationKind, Operations
from circuits.batch.receipts import ReceiptChain
from circuits.limbs import Limbs
from circuits.widths import WORD
from executor.opcodes import (
    DUP1,
    MAX_DUP,
    MAX_SWAP,
    MEMORY_OPERANDS,
    NAMES,
    OPCODES,
    OPERANDS,
    REACH,
    RESULTS,
    SWAP1,
    is_dup,
)
from executor.state_keys import StateKind
from executor.trace import ExecutionTrace, Outcome

Integers = NDArray[np.int64]

#: Time between the beginning of a transaction and the first entry of its access list: its first three accesses lie in
#: between. The first step follows the last entry; behind the last step come the three last accesses.
TRANSACTION_BEGIN = 4
TRANSACTION_END = 4
#: Time that a beacon-root write and a withdrawal take.
BEACON_TIME = 3
WITHDRAWAL_TIME = 2

#: A pop proves with one limb that its push is earlier; older pushes are made younger by stack_refresh.
MAX_AGE = 1 << 16

#: Memory is proved up to this many words; an access beyond is proved to be unaffordable, or refused.
MAX_MEMORY_WORDS = 1 << 19

#: Instructions that take time in proportion to the words they move: operand that holds the bytes, times per word.
_MOVES = {
    OPCODES["KECCAK256"]: (1, 1),
    OPCODES["CALLDATACOPY"]: (2, 1),
    OPCODES["CODECOPY"]: (2, 1),
    OPCODES["EXTCODECOPY"]: (3, 1),
    OPCODES["MCOPY"]: (2, 2),
    **{OPCODES[f"LOG{topics}"]: (1, 1) for topics in range(5)},
}

#: Limb of an offset or a size from which on an access lies beyond 2^48 bytes: 2^43 words cost 2^77 gas.
FAR_LIMB = 3

#: Words on a full stack.
MAX_STACK = 1024
#: Opcodes that no instruction has, INVALID included; instructions that make the stack higher; (256,).
UNDEFINED = np.array([opcode not in NAMES for opcode in range(256)])
GROWS = np.array([RESULTS[opcode] > (0 if is_dup(opcode) else OPERANDS[opcode]) for opcode in range(256)])

#: Gas that steps count; what a transaction has beyond it is its reserve.
MAX_GAS = (1 << 30) - 1

#: How a step is proved.
PLAIN = 0  # by its instruction's table, which knows how to fail for want of gas where the cost depends on data
STATIC_FAILURE = 1  # by `exceptional`: undefined opcode, too small or large a stack, a constant cost above the gas left
INVALID_JUMP = 2  # by `invalid_jump`
OUT_OF_MEMORY = 3  # by `out_of_memory`: an access beyond MAX_MEMORY_WORDS
RETURN_DATA_BOUNDS = 4  # by `return_data_bounds`: RETURNDATACOPY of more than there is

#: Gas that every execution of an instruction costs at least, as far as it is constant: what `exceptional` compares
#: with; 0 for instructions without a constant part worth a check of its own. Source: cancun/vm/gas.py.
CONSTANT_GAS = np.zeros(256, dtype=np.int64)
for _names, _cost in (
    ("ADDRESS ORIGIN CALLER CALLVALUE CALLDATASIZE CODESIZE GASPRICE COINBASE TIMESTAMP NUMBER PREVRANDAO", 2),
    ("GASLIMIT CHAINID RETURNDATASIZE POP PC MSIZE GAS BASEFEE BLOBBASEFEE PUSH0", 2),
    ("ADD SUB NOT LT GT SLT SGT EQ ISZERO AND OR XOR BYTE SHL SHR SAR CALLDATALOAD BLOBHASH RETURNDATACOPY", 3),
    ("MUL DIV SDIV MOD SMOD SIGNEXTEND SELFBALANCE", 5),
    ("ADDMOD MULMOD JUMP", 8),
    ("JUMPI", 10),
    ("JUMPDEST", 1),
    ("BLOCKHASH", 20),
    ("TLOAD TSTORE", 100),
):
    for _name in _names.split():
        CONSTANT_GAS[OPCODES[_name]] = _cost
CONSTANT_GAS[[*range(0x60, 0x80), *range(DUP1, DUP1 + MAX_DUP), *range(SWAP1, SWAP1 + MAX_SWAP)]] = 3


@dataclass(frozen=True, eq=False)
class Batch:
    """What all segments of a batch share; made once, in the driver."""

    trace: ExecutionTrace
    operations: Operations
    leaves: BatchLeaves

    @classmethod
    def of(cls, trace: ExecutionTrace) -> Batch:
        """Of an executed batch's trace, which must be one that can be proved (`executor.provable`)."""
        return cls(trace, Operations.of(trace), BatchLeaves.of(trace))

    @cached_property
    def receipts(self) -> ReceiptChain:
        """The running hash of logs and receipts."""
        return ReceiptChain.of(self.trace, self.operations)


class Execution:
    """The operations `first .. end - 1` of a batch.

    Attributes (n steps; all `int64` arrays):
        trace, operations, leaves: of the whole batch.
        first, end: operations of the segment.
        step: (n,) row of each step in the trace.
        opcode, pc, stack_size, gas, memory_words: (n,) before the step; memory in words, gas without the reserve.
        frame, code: (n,) ids.
        operation: (n,) number of the step's transaction in the batch.
        time, duration: (n,) time of the step; until the next one.
        route: (n,) PLAIN, STATIC_FAILURE, INVALID_JUMP, OUT_OF_MEMORY or RETURN_DATA_BOUNDS.
        failed: (n,) bool: the step ends its frame by an exceptional halt.
        begin_time, step_time, end_time: (operations,) when an operation begins; when its first step does (for others
            than transactions the same); when its last one is done (see TRANSACTION_END).
        next_time: time after the last operation.
        transactions: rows of the segment's transactions in the trace; transaction_operations: their numbers.
        reserve: (transactions,) uint64: gas limit beyond MAX_GAS.
        blocks: rows of the segment's blocks in the trace, in the order of the block table.
        frames: rows of the segment's frames in the trace, in the order of the frame table.
        codes: rows of the segment's codes in the trace, in the order of the code table.
    """

    opcode: Integers
    pc: Integers
    gas_after: Integers
    gas: Integers
    stack_size: Integers
    memory_words: Integers
    route: NDArray[np.uint8]
    failed: NDArray[np.bool_]

    def __init__(self, batch: Batch, first: int, end: int) -> None:
        self.batch = batch
        self.trace, self.operations, self.leaves = batch.trace, batch.operations, batch.leaves
        self.first, self.end = first, end
        numbers = np.arange(first, end, dtype=np.int64)
        self.kind = self.operations.kind[first:end]
        self.transaction_operations = numbers[self.kind == OperationKind.TRANSACTION]
        self.transactions = self.operations.row[self.transaction_operations]
        self.blocks = np.unique(self.operations.block[first:end])
        self._find_steps()
        self._find_codes()
        self._set_times()

    def _find_steps(self) -> None:
        trace, steps = self.trace, self.trace.steps
        table = trace.transactions
        counts = table.end_step[self.transactions].astype(np.int64) - table.first_step[self.transactions]
        starts = table.first_step[self.transactions].astype(np.int64)
        self.step = ranges(starts, counts)
        self.operation = np.repeat(self.transaction_operations, counts)
        for name in ("opcode", "pc", "gas_after"):
            setattr(self, name, getattr(steps, name)[self.step].astype(np.int64))
        limits = table.gas_limit[self.transactions]
        self.reserve = np.where(limits > MAX_GAS, limits - np.uint64(MAX_GAS), np.uint64(0))
        self.gas = (steps.gas_before[self.step] - np.repeat(self.reserve, counts)).astype(np.int64)
        self.stack_size = steps.stack_height[self.step].astype(np.int64)
        self.memory_words = steps.memory_size[self.step].astype(np.int64) // WORD // 2
        self.failed = steps.failed[self.step].astype(bool)
        frame = steps.frame[self.step].astype(np.int64)
        self.frames = np.unique(frame)
        self.frame = np.searchsorted(self.frames, frame) + 1
        self.operand_counts = steps.operands[self.step].astype(np.int64)
        self._operands_start = trace.operands_start[self.step].astype(np.int64)
        self._results_start = trace.results_start[self.step].astype(np.int64)
        self.route = self._route(frame)

    def _route(self, frame: Integers) -> NDArray[np.uint8]:
        outcome = self.trace.frames.outcome[frame]
        route = np.zeros(len(self.step), dtype=np.uint8)
        static = np.isin(
            outcome,
            (
                Outcome.STACK_UNDERFLOW,
                Outcome.STACK_OVERFLOW,
                Outcome.INVALID_INSTRUCTION,
            ),
        )
        static |= self.gas < CONSTANT_GAS[self.opcode]
        # Where both operands and gas lack, py-evm may name the gas.
        static |= self.stack_size < REACH[self.opcode]
        route[self.failed & static] = STATIC_FAILURE
        # There is no return data in a frame that has called nothing. Where gas is short as well, of which a size of 0
        # takes no more than the constant cost, the bounds are the reason that is proved.
        bounds = self.failed & (route == PLAIN) & (self.opcode == OPCODES["RETURNDATACOPY"])
        route[bounds] = RETURN_DATA_BOUNDS
        route[self.failed & (route == PLAIN) & (outcome == Outcome.INVALID_JUMP)] = INVALID_JUMP
        for opcode, accesses in MEMORY_OPERANDS.items():
            rows = np.flatnonzero(self.failed & (route == PLAIN) & (self.opcode == opcode))
            for offset, size, constant in accesses:
                if len(rows):
                    ends = self._reach(rows, offset, size, constant)
                    route[rows[ends > 32 * MAX_MEMORY_WORDS]] = OUT_OF_MEMORY
        return route

    def _reach(self, steps: Integers, offset: int, size: int | None, constant: int) -> Integers:
        """Bytes that a memory access reaches (n,), 0 for one of size 0, numbers from 2^40 on cut to 2^40."""
        offsets = small_integers(self.operand(steps, offset))
        sizes = np.full(len(steps), constant) if size is None else small_integers(self.operand(steps, size))
        return np.where(sizes == 0, 0, np.minimum(offsets + sizes, 1 << 40))

    def _find_codes(self) -> None:
        trace = self.trace
        used = trace.frames.code[self.frames].astype(np.int64)
        # Codes of other accounts, asked for by EXTCODESIZE and EXTCODECOPY.
        asked = self.rows(OPCODES["EXTCODESIZE"], OPCODES["EXTCODECOPY"])
        hashes = self.code_hash_of(self.operand(asked, 0)[:, :10])
        leaves = self.leaves
        known = leaves.keys.slot[leaves.keys.of_kind(LeafKind.CODE)]
        both = np.concatenate([known, hashes])
        _, inverse = np.unique(both, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        wanted = np.isin(inverse[: len(known)], inverse[len(known) :])
        self.codes = np.unique(np.concatenate([used, leaves.code_rows[wanted]])).astype(np.int64)
        self.code_ids = np.arange(len(self.codes), dtype=np.int64)
        frame_code = self.code_ids[np.searchsorted(self.codes, used)] if len(used) else used
        self.frame_code = frame_code
        self.code = frame_code[self.frame - 1] if len(self.step) else self.frame

    def _set_times(self) -> None:
        duration = np.ones(len(self.step), dtype=np.int64)
        for opcode, (size, times) in _MOVES.items():
            rows = np.flatnonzero((self.opcode == opcode) & ~self.failed)
            if len(rows):
                duration[rows] += times * (-(-small_integers(self.operand(rows, size)) // 32))
        self.duration = duration
        trace = self.trace
        operations = self.end - self.first
        begin = np.full(operations, WITHDRAWAL_TIME, dtype=np.int64)
        begin[self.kind == OperationKind.BEACON] = BEACON_TIME
        entries = np.zeros(operations, dtype=np.int64)
        runs = np.zeros(operations, dtype=np.int64)
        local = self.transaction_operations - self.first
        table = trace.transactions
        entries[local] = (
            table.access_addresses[self.transactions].astype(np.int64) + table.access_keys[self.transactions]
        )
        np.add.at(runs, self.operation - self.first, duration)
        begin[local] = TRANSACTION_BEGIN
        total = begin + entries + runs
        total[local] += TRANSACTION_END
        self.begin_time = np.cumsum(total) - total
        self.step_time = self.begin_time.copy()
        self.step_time[local] += TRANSACTION_BEGIN + entries[local]
        self.end_time = self.step_time + runs
        self.next_time = int(total.sum())
        before = np.cumsum(duration) - duration
        first_step = np.searchsorted(self.operation, self.operation)  # of the same operation
        self.time = self.step_time[self.operation - self.first] + before - before[first_step]

    # Picking steps and their words.

    def rows(self, *opcodes: int, route: int = PLAIN, failed: bool | None = None) -> Integers:
        """Steps with one of these opcodes that are proved in this way; `failed`: only those that fail, or do not."""
        wanted = np.zeros(256, dtype=bool)
        wanted[list(opcodes)] = True
        mask = wanted[self.opcode] & (self.route == route)
        if failed is not None:
            mask &= self.failed == failed
        return np.flatnonzero(mask)

    def operand(self, steps: Integers, index: int) -> Limbs:
        """Words (n, 16) that these steps read, the top of the stack being index 0 (see `executor.trace.Steps`)."""
        return self.trace.operands.word[self._operands_start[steps] + index]

    def result(self, steps: Integers, index: int = 0) -> Limbs:
        """Words (n, 16) that these steps write; the steps must have succeeded."""
        return self.trace.results.word[self._results_start[steps] + index]

    def operand_time(self, steps: Integers, index: int) -> Integers:
        """Times (n,) of the stack tokens that these steps take for an operand."""
        then: Integers = self._stack.then[steps, index]
        return then

    @property
    def stack_rest(self) -> StackTokens:
        """Tokens that are never popped."""
        return self._stack.rest

    @property
    def stack_refreshed(self) -> tuple[StackTokens, Integers]:
        """Tokens that are made younger, and their new times."""
        return self._stack.refreshed, self._stack.refreshed_time

    @cached_property
    def _stack(self) -> _Stack:
        return _Stack(self)

    # Other tables' rows.

    @cached_property
    def code_trees(self) -> CodeTrees:
        """The trees of the segment's codes."""
        codes = self.trace.codes
        return CodeTrees.of([self.trace.bytes_at(codes.start[row], codes.size[row]) for row in self.codes])

    @cached_property
    def calldata_ids(self) -> Integers:
        """Ids of the calldata buffers of the segment's transactions, (transactions,); row numbers of that table."""
        rows = self.buffer_rows.sum(axis=1)
        ids: Integers = np.cumsum(rows) - rows
        return ids

    @cached_property
    def buffer_rows(self) -> Integers:
        """Rows of the calldata table that the calldata and the blob hashes of each transaction take, (n, 2)."""
        table = self.trace.transactions
        calldata = np.maximum(1, -(-table.input_size[self.transactions].astype(np.int64) // 32))
        blobs = table.blob_hashes_size[self.transactions].astype(np.int64) // 32
        return np.stack([calldata, blobs], axis=1)

    @cached_property
    def blob_ids(self) -> Integers:
        """Ids of the buffers of blob hashes, (transactions,): behind the calldata; used for blob transactions only."""
        return self.calldata_ids + self.buffer_rows[:, 0]

    def frame_row(self, frame: Integers) -> Integers:
        """Rows in the trace's frames of these frame ids."""
        return self.frames[frame - 1]

    def code_hash_of(self, addresses: Limbs) -> Limbs:
        """Code hashes (n, 16) of accounts (n, 10); no code changes within a batch that can be proved."""
        keys = self.trace.keys
        own = np.flatnonzero(keys.kind == StateKind.CODE_HASH)
        both = np.concatenate([keys.address[own], addresses])
        _, inverse = np.unique(both, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        position = np.zeros(inverse.max(initial=0) + 1, dtype=np.int64)
        position[inverse[: len(own)]] = own
        return keys.first[position[inverse[len(own) :]]]


def ends_unpaid(execution: Execution) -> NDArray[np.bool_]:
    """Which frames of the execution (frames,) end for lack of gas, as far as their last steps are proved so."""
    if not len(execution.frames):
        return np.zeros(0, dtype=bool)
    last = np.zeros(len(execution.frames), dtype=np.int64)
    np.maximum.at(last, execution.frame - 1, np.arange(len(execution.frame)))
    route, opcode = execution.route[last], execution.opcode[last]
    lacks = (execution.gas[last] < CONSTANT_GAS[opcode]) & ~other_reason(execution, last)
    beyond = (route == OUT_OF_MEMORY) & ~far_beyond_memory(execution, last)
    unpaid = (route == PLAIN) | ((route == STATIC_FAILURE) & lacks) | beyond
    ends: NDArray[np.bool_] = execution.failed[last] & unpaid
    return ends


def other_reason(execution: Execution, steps: Integers) -> NDArray[np.bool_]:
    """Which steps fail for what stands at pc or for the stack's size, whatever gas there is."""
    opcode, size = execution.opcode[steps], execution.stack_size[steps]
    other: NDArray[np.bool_] = UNDEFINED[opcode] | (size < REACH[opcode]) | (GROWS[opcode] & (size == MAX_STACK))
    return other


def far_beyond_memory(execution: Execution, steps: Integers) -> NDArray[np.bool_]:
    """Which of these steps access memory at or beyond 2^48: no gas of 64 bits could pay for that."""
    far = np.zeros(len(steps), dtype=bool)
    for number in np.flatnonzero(execution.route[steps] == OUT_OF_MEMORY).tolist():
        operands = out_of_memory_operands(execution, int(steps[number]))
        words = [execution.operand(steps[number : number + 1], operand) for operand in operands]
        far[number] = any(bool(word[:, FAR_LIMB:].any()) for word in words)
    return far


@dataclass(frozen=True, eq=False)
class StackTokens:
    """Tokens of the stack bus: frame, slot, time (n,), word (n, 16)."""

    frame: Integers
    slot: Integers
    word: Limbs
    time: Integers


class _Stack:
    """Which token each stack access takes: events sorted by slot and time."""

    def __init__(self, execution: Execution) -> None:
        steps, operands, words = _stack_reads(execution)
        opcode = execution.opcode
        height = execution.stack_size
        slot = height[steps] - 1 - operands
        dup = (opcode[steps] >= DUP1) & (opcode[steps] < DUP1 + MAX_DUP)
        swap = (opcode[steps] >= SWAP1) & (opcode[steps] < SWAP1 + MAX_SWAP)
        slot = np.where(dup, height[steps] - 1 - (opcode[steps] - DUP1), slot)
        slot = np.where(swap & (operands == 1), height[steps] - 2 - (opcode[steps] - SWAP1), slot)

        written, written_slot, written_words = _stack_writes(execution)
        # A read comes before a write of the same step.
        frames = np.concatenate([execution.frame[steps], execution.frame[written]])
        slots = np.concatenate([slot, written_slot])
        times = np.concatenate([execution.time[steps], execution.time[written]])
        is_write = np.concatenate([np.zeros(len(steps), dtype=bool), np.ones(len(written), dtype=bool)])
        order = np.lexsort((is_write, times, slots, frames))
        # The token an access takes is the last write before it in this order; a write is always followed by at most
        # one read before the next write, because a slot that is written again has been popped.
        position = np.where(is_write[order], np.arange(len(order)), -1)
        last = np.maximum.accumulate(np.where(position >= 0, position, 0)) if len(order) else position
        source = order[last]  # event that wrote
        reads = np.flatnonzero(~is_write[order])
        read_event = order[reads]
        then = times[source[reads]]
        age = times[read_event] - then
        old = age > MAX_AGE
        self.refreshed = StackTokens(frames[read_event[old]], slots[read_event[old]], words[read_event[old]], then[old])
        self.refreshed_time = times[read_event[old]] - 1
        then = np.where(old, times[read_event] - 1, then)
        width = int(execution.operand_counts.max(initial=1))
        self.then = np.zeros((len(execution.step), max(width, 2)), dtype=np.int64)
        self.then[steps[read_event], operands[read_event]] = then
        # A write that no read follows is left over.
        followed = np.zeros(len(order), dtype=bool)
        followed[source[reads]] = True
        rest = np.flatnonzero(is_write & ~followed)
        self.rest = StackTokens(frames[rest], slots[rest], written_words[rest - len(steps)], times[rest])


def _stack_reads(execution: Execution) -> tuple[Integers, Integers, Limbs]:
    """Steps, operand numbers and words of all words that are taken."""
    counts = execution.operand_counts.copy()
    counts[execution.route == STATIC_FAILURE] = 0
    steps = np.repeat(np.arange(len(counts)), counts)
    operands = ranges(np.zeros(len(counts), dtype=np.int64), counts)
    # Of RETURNDATACOPY out of bounds, and of an access beyond the memory, only offset and size are looked at.
    keep = (execution.route[steps] != RETURN_DATA_BOUNDS) | (operands != 0)
    for step in np.flatnonzero(execution.route == OUT_OF_MEMORY):
        keep[steps == step] = np.isin(operands[steps == step], out_of_memory_operands(execution, int(step)))
    steps, operands = steps[keep], operands[keep]
    return steps, operands, execution.trace.operands.word[execution._operands_start[steps] + operands]


def out_of_memory_operands(execution: Execution, step: int) -> list[int]:
    """Operands that show that a step of the route OUT_OF_MEMORY reaches beyond the memory: offset and size.

    Of several accesses one beyond 2^48 bytes, if there is one.
    """
    here = np.array([step])
    found = []
    for offset, size, constant in MEMORY_OPERANDS[int(execution.opcode[step])]:
        if execution._reach(here, offset, size, constant)[0] > 32 * MAX_MEMORY_WORDS:
            operands = [offset] if size is None else [offset, size]
            far = any(execution.operand(here, operand)[:, FAR_LIMB:].any() for operand in operands)
            found.append((not far, operands))
    if not found:
        raise ValueError(f"step {step} reaches no word beyond the memory")
    return min(found)[1]


def _stack_writes(execution: Execution) -> tuple[Integers, Integers, Limbs]:
    """Steps, slots and words of all words that are put."""
    opcode, height = execution.opcode, execution.stack_size
    success = ~execution.failed
    dup = success & (opcode >= DUP1) & (opcode < DUP1 + MAX_DUP)
    swap = success & (opcode >= SWAP1) & (opcode < SWAP1 + MAX_SWAP)
    plain = np.flatnonzero(success & ~dup & ~swap & (RESULTS[opcode] == 1))
    dups, swaps = np.flatnonzero(dup), np.flatnonzero(swap)
    steps = [plain, dups, dups, swaps, swaps]
    slots = [
        height[plain] - OPERANDS[opcode[plain]],
        height[dups] - 1 - (opcode[dups] - DUP1),  # what is copied stays where it is
        height[dups],
        height[swaps] - 1,
        height[swaps] - 2 - (opcode[swaps] - SWAP1),
    ]
    words = [
        execution.result(plain),
        execution.operand(dups, 0),
        execution.operand(dups, 0),
        execution.operand(swaps, 1),
        execution.operand(swaps, 0),
    ]
    return np.concatenate(steps), np.concatenate(slots), np.concatenate(words)


def small_integers(words: Limbs) -> Integers:
    """Words (n, 16) as integers (n,); those from 2^40 on become 2^40."""
    limbs = words.astype(np.int64)
    value = limbs[:, 0] + (limbs[:, 1] << 16) + (limbs[:, 2] << 32)
    large = (limbs[:, 3:] != 0).any(axis=1) | (value > 1 << 40)
    return np.where(large, 1 << 40, value)


def ranges(starts: Sequence[int] | Integers, counts: Sequence[int] | Integers) -> Integers:
    """start, start + 1, ..., of `counts` numbers for each start, end to end: indices of ragged rows."""
    starts, counts = np.asarray(starts, dtype=np.int64), np.asarray(counts, dtype=np.int64)
    offsets = np.repeat(np.cumsum(counts) - counts, counts)
    return np.arange(int(counts.sum()), dtype=np.int64) - offsets + np.repeat(starts, counts)
