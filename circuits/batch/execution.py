"""One segment of an execution, as the tables see it: every step with its time, and what its stack accesses meet.

Built with numpy from the trace of the whole batch. Steps are numbered within the segment; `rows` picks those of an
instruction. Ids follow the tables that give them: a frame's is 1 + its row, a code's, a calldata buffer's and a block's
are rows of their tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from circuits.batch.code_trees import CodeTrees
from circuits.batch.deposits import deposit_words
from circuits.batch.init_codes import init_code_ids
from circuits.batch.item_lists import Entries, authorization_entries
from circuits.batch.leaves import BatchLeaves, LeafKind
from circuits.batch.modexp_plan import ModexpPlan
from circuits.batch.operations import OperationKind, Operations
from circuits.batch.precompiles import (
    MODEXP,
    field_parts,
    field_runs,
    field_taken,
    precompile_duration,
    precompile_numbers,
    precompile_output,
)
from circuits.batch.receipts import ReceiptChain
from circuits.batch.worlds import Worlds
from circuits.limbs import Limbs, addresses_from_bytes
from circuits.programs.program import INSTANCE_TIME
from circuits.widths import WORD
from executor.forks import EXECUTED_FORKS, SYSTEM_ADDRESS, AddedInstruction, Fork
from executor.modexp import ModexpInput
from executor.opcodes import (
    CALLS,
    CREATIONS,
    DUP1,
    MAX_DUP,
    MAX_SWAP,
    MEMORY_OPERANDS,
    OPCODES,
    OPERANDS,
    SWAP1,
    instruction_set,
    is_dup,
)
from executor.state_keys import StateKind
from executor.trace import NONE, ExecutionTrace, FrameKind, HashPurpose, Mode, Outcome

Integers = NDArray[np.int64]

#: Time between the beginning of a transaction and the first entry of its access list: its first three accesses lie in
#: between. The outermost frame follows the last entry; behind the last step come the transaction's last accesses, and
#: one for each account that it destroys.
TRANSACTION_BEGIN = 4
TRANSACTION_END = 6
#: Time between the beginning of a system call and that of its frame: it looks at the contract. Behind the last step it
#: takes the time of a transaction, and then one unit for each word of what it returns to the block.
SYSTEM_CALL_BEGIN = 2
#: Time from an instruction that opens a frame to the frame's beginning: it accesses two accounts in between, and a
#: creation reads its initcode after that.
OPENING = 2
#: Where accounts can delegate (EIP-7702), a transaction's recipient and the account whose code runs for it are accessed
#: between the last authorization, each of which takes one unit, and the outermost frame.
RECIPIENT_TIME = 2
#: Time that a call takes which opens no frame: it may access two accounts as well; three where accounts can delegate.
STOPPED_TIME = 2
DELEGATING_STOPPED_TIME = 3
#: Time from the beginning of a frame to its first step: what is undone when it fails is set apart, and value moves.
FRAME_BEGIN = 3
#: Time that the writes of a beacon root and of the parent's hash take, and a withdrawal.
BEACON_TIME = 3
HISTORY_TIME = 2
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
    OPCODES["RETURNDATACOPY"]: (2, 1),
    OPCODES["MCOPY"]: (2, 2),
    **{OPCODES[f"LOG{topics}"]: (1, 1) for topics in range(5)},
}

_CALLS = tuple(sorted(CALLS))
_RETURN, _REVERT = OPCODES["RETURN"], OPCODES["REVERT"]
_CREATIONS = tuple(sorted(CREATIONS))

#: Limb of an offset or a size from which on an access lies beyond 2^48 bytes: 2^43 words cost 2^77 gas.
FAR_LIMB = 3

#: Words on a full stack.
MAX_STACK = 1024
#: Gas that steps count; what a transaction has beyond it is its reserve.
MAX_GAS = (1 << 30) - 1

#: How a step is proved.
PLAIN = 0  # by its instruction's table, which knows how to fail for want of gas where the cost depends on data
STATIC_FAILURE = 1  # by `exceptional`: undefined opcode, too small or large a stack, a constant cost above the gas left
INVALID_JUMP = 2  # by `invalid_jump`
OUT_OF_MEMORY = 3  # by `out_of_memory`: an access beyond MAX_MEMORY_WORDS
RETURN_DATA_BOUNDS = 4  # by `return_data_bounds`: RETURNDATACOPY of more than there is
STATIC_VIOLATION = 5  # by `static_violation`: what changes the state in a frame that must not
BYTE_FAILURE = 6  # by the module of an instruction that moves words by the byte behind it: no place, or one too deep

#: Instructions that a static frame does not allow (EIP-214); CALL only if it sends value, which is this operand.
STATIC_CHANGES = (
    *(OPCODES[name] for name in ("SSTORE", "TSTORE", "CREATE", "CREATE2", "SELFDESTRUCT", "CALL")),
    *(OPCODES[f"LOG{topics}"] for topics in range(5)),
)
VALUE_OPERAND = 2

#: Gas that every execution of an instruction of Cancun costs at least, as far as it is constant: what `exceptional`
#: compares with; 0 for instructions without a constant part worth a check of its own. Source: cancun/vm/gas.py.
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
class OpcodeFacts:
    """What a fork says of every opcode, (256,) each.

    Attributes:
        undefined: whether no instruction has it, as INVALID.
        operands, results, reach: words that are read from the stack and written to it, and that must lie on it.
        grows: whether it makes the stack higher.
        gas: as `CONSTANT_GAS`.
        moves: by opcode, as in `InstructionSet`.
    """

    undefined: NDArray[np.bool_]
    operands: NDArray[np.uint8]
    results: NDArray[np.uint8]
    reach: NDArray[np.uint8]
    grows: NDArray[np.bool_]
    gas: Integers
    moves: Mapping[int, NDArray[np.int16]]


def opcode_facts(fork: Fork) -> OpcodeFacts:
    """The facts of a fork."""
    return _opcode_facts(fork.added_instructions)


@cache
def _opcode_facts(added: tuple[AddedInstruction, ...]) -> OpcodeFacts:
    own = instruction_set(added)
    undefined = np.array([opcode not in own.names for opcode in range(256)])
    copies = {opcode for opcode, places in own.moves.items() if places.shape[1] == 1}
    pops = np.array([0 if is_dup(opcode) or opcode in copies else own.operands[opcode] for opcode in range(256)])
    gas = CONSTANT_GAS.copy()
    for instruction in added:
        gas[instruction.opcode] = instruction.gas
    return OpcodeFacts(undefined, own.operands, own.results, own.reach, own.results > pops, gas, own.moves)


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
    def forks(self) -> tuple[Fork, ...]:
        """The fork of each block, as far as circuits differ by it."""
        known = list(EXECUTED_FORKS.values())
        return tuple(EXECUTED_FORKS[known[place].circuit] for place in self.trace.blocks.fork.tolist())

    def fork_of(self, operation: int) -> Fork:
        """The fork of an operation, as far as circuits differ by it; of a batch that has none, that of its end."""
        blocks = self.operations.block
        return self.forks[int(blocks[operation]) if operation < len(blocks) else -1]

    def runs(self) -> list[tuple[Fork, int, int]]:
        """The longest runs of operations `first .. end - 1` that have the same circuit, with its fork."""
        forks = [self.forks[block] for block in self.operations.block.tolist()]
        ends = [k + 1 for k in range(len(forks)) if k + 1 == len(forks) or forks[k + 1] is not forks[k]]
        return [(forks[end - 1], first, end) for first, end in zip([0, *ends], ends, strict=False)]

    @cached_property
    def authorizations(self) -> Entries:
        """The authorizations of the transactions (EIP-7702)."""
        return authorization_entries(self.trace)

    @cached_property
    def receipts(self) -> ReceiptChain:
        """The running hash of logs and receipts."""
        return ReceiptChain.of(self.trace, self.operations)


class Execution:
    """The operations `first .. end - 1` of a batch.

    Attributes (n steps; all `int64` arrays):
        trace, operations, leaves: of the whole batch.
        fork: of all its operations, as far as circuits differ by it; facts: what it says of opcodes.
        first, end: operations of the segment.
        step: (n,) row of each step in the trace.
        opcode, pc, stack_size, gas, memory_words: (n,) before the step; memory in words, gas without the reserve.
        frame, code: (n,) ids.
        operation: (n,) number of the step's operation in the batch, a transaction or a system call.
        time, duration: (n,) time of the step; until the next one.
        route: (n,) PLAIN, STATIC_FAILURE, INVALID_JUMP, OUT_OF_MEMORY, RETURN_DATA_BOUNDS or STATIC_VIOLATION.
        failed: (n,) bool: the step ends its frame by an exceptional halt.
        begin_time, frame_time, end_time: (operations,) when an operation begins; when its outermost frame does (for
            others than transactions and system calls the same); when its last step is done (see TRANSACTION_END).
        authorization_time: (transactions,) when the first authorization is accessed, if there is one.
        next_time: time after the last operation.
        answer_time: (system calls,) when the first word is read of what it returns to the block.
        transactions: rows of the segment's transactions in the trace; transaction_operations: their numbers.
        system_calls: rows of the segment's system calls in the trace that are operations of their own;
            system_operations: their numbers.
        message_operations: numbers of the operations that open frames: transactions and system calls.
        reserve: (transactions,) uint64: gas limit beyond MAX_GAS.
        step_reserve: (n,) uint64: the reserve of the step's frame at the step.
        opened: (n,) id of the frame that the step opens, 0 for none; own_next: (n,) next step of its frame, or -1.
        counts_nonce: (n,) bool: the step is a creation that counts its creator's nonce.
        lead: (n,) time from a step that opens a frame to the frame's beginning.
        blocks: rows of the segment's blocks in the trace, in the order of the block table.
        frames: (m,) rows of the segment's frames in the trace, in the order of the frame table: all but the outermost
            frames of transactions that run nothing. A frame's id is 1 + its place in here.
        frame_operation, frame_message: (m,) number of its operation; place of that in `message_operations`.
        frame_parent: (m,) id of its caller, 0 for none; frame_opener: (m,) step that opened it, -1 for none.
        frame_precompile: (m,) number of the precompile that it calls, or 0.
        frame_creates, frame_runs, frame_success, frame_halted: (m,) bool: it is a creation; it runs code; it neither
            reverted nor halted exceptionally; it halted exceptionally.
        frame_reserve, frame_reserve_end: (m,) uint64: its reserve of gas at first and at its last step.
        frame_last_step: (m,) its last own step, -1 for none.
        frame_begin_time, frame_end_time: (m,) when it begins, FRAME_BEGIN before its first step; when it has ended.
        frame_return_start, frame_return_size: (m,) the range of its memory that it returns.
        frame_copied: (m,) bytes of what it returned that its caller's instruction copies to memory.
        codes: rows of the segment's codes in the trace, in the order of the code table.
    """

    opcode: Integers
    pc: Integers
    gas: Integers
    stack_size: Integers
    memory_words: Integers
    route: NDArray[np.uint8]
    failed: NDArray[np.bool_]

    def __init__(self, batch: Batch, first: int, end: int) -> None:
        self.batch = batch
        self.trace, self.operations, self.leaves = batch.trace, batch.operations, batch.leaves
        self.first, self.end = first, end
        self.fork = batch.fork_of(first)
        self.facts = opcode_facts(self.fork)
        numbers = np.arange(first, end, dtype=np.int64)
        self.kind = self.operations.kind[first:end]
        self.transaction_operations = numbers[self.kind == OperationKind.TRANSACTION]
        self.transactions = self.operations.row[self.transaction_operations]
        self.system_operations = numbers[self.kind == OperationKind.SYSTEM_CALL]
        self.system_calls = self.operations.row[self.system_operations]
        self.message_operations = np.union1d(self.transaction_operations, self.system_operations)
        self._whole: Execution | None = None
        self.window: tuple[int, int] | None = None
        self.blocks = np.unique(self.operations.block[first:end])
        self._find_frames()
        self._find_steps()
        self._find_codes()
        self._set_times()

    @property
    def joint(self) -> Execution:
        """All of a run of which this is a part; itself if it is none."""
        return self._whole or self

    @cached_property
    def instances(self) -> tuple[Integers, Integers]:
        """Places (k,) of the frames whose calls programs answer, once for each instance before which a part may begin.

        And when these instances (k,) begin. The first one of a call without input begins with the call itself, which
        is in the same part as its frame: no part begins there.
        """
        gas = (self.trace.frames.gas_given[self.frames] - self.frame_reserve).astype(np.int64)
        size = self.trace.frames.input_size[self.frames].astype(np.int64)
        frames = np.flatnonzero(field_runs(self.frame_precompile, size, gas))
        number, size = self.frame_precompile[frames], size[frames]
        words = words_of(field_taken(number, size))
        first = self.frame_begin_time[frames] + FRAME_BEGIN + words
        skipped = (words == 0).astype(np.int64)
        counts = field_parts(number, size) + 1 - skipped
        part = ranges(skipped, counts)
        return np.repeat(frames, counts), np.repeat(first, counts) + INSTANCE_TIME * part

    @cached_property
    def places(self) -> Integers:
        """The times (p,), ascending, before which a part may begin: of all steps and of all instances of programs.

        A call whose programs find a reason to fail before the last part of its input has fewer instances than places.
        """
        return np.sort(np.concatenate([self.time, self.instances[1]]))

    def part(self, begin: int, end: int) -> Execution:
        """What is from one time to another, as tables see it that prove no more than this.

        All that is known of the whole stays known; what a part names by itself (hashes, calls of precompiles) is its
        own.
        """
        part = copy(self)
        part._whole = self.joint
        part.window = (begin, end)
        # Made before, they are shared by all parts.
        part.__dict__["_stack"] = self._stack
        part.__dict__.pop("modexp_plans", None)
        part.frame_precompile = np.where(part.within(self.frame_begin_time), self.frame_precompile, 0)
        return part

    def within(self, time: Integers) -> NDArray[np.bool_]:
        """Which of these times (n,) are those of this part."""
        if self.window is None:
            return np.ones(len(time), dtype=bool)
        begin, end = self.window
        within: NDArray[np.bool_] = (time >= begin) & (time < end)
        return within

    def _find_frames(self) -> None:
        """The frames of the segment's messages, but outermost ones that run nothing."""
        first = self.of_messages("first_frame")
        counts = self.of_messages("end_frame") - first
        rows = ranges(first, counts)
        frames = self.trace.frames
        precompile = _precompiles(self.trace, rows, self.fork)
        acts = (frames.parent[rows] != NONE) | (frames.end_step[rows] > frames.first_step[rows]) | (precompile > 0)
        acts |= (frames.kind[rows] == FrameKind.CREATION) & (frames.outcome[rows] != Outcome.COLLISION)
        local = np.repeat(np.arange(len(first)), counts)[acts]
        self.frames = rows = rows[acts]
        self.frame_message = local
        self.frame_operation = self.message_operations[local]
        self.frame_precompile = precompile[acts]
        self.frame_creates = np.isin(frames.kind[rows], (FrameKind.CREATION, FrameKind.CREATE, FrameKind.CREATE2))
        parent = frames.parent[rows].astype(np.int64)
        self.frame_parent = np.where(parent == NONE, 0, np.searchsorted(rows, parent) + 1)
        outcome = frames.outcome[rows]
        self.frame_success = outcome == Outcome.SUCCESS
        self.frame_halted = ~self.frame_success & (outcome != Outcome.REVERT)
        self.frame_runs = frames.end_step[rows] > frames.first_step[rows]

    def _find_steps(self) -> None:
        trace, steps = self.trace, self.trace.steps
        starts = self.of_messages("first_step")
        counts = self.of_messages("end_step") - starts
        self.step = ranges(starts, counts)
        self.operation = np.repeat(self.message_operations, counts)
        for name in ("opcode", "pc"):
            setattr(self, name, getattr(steps, name)[self.step].astype(np.int64))
        self.stack_size = steps.stack_height[self.step].astype(np.int64)
        self.memory_words = steps.memory_size[self.step].astype(np.int64) // WORD // 2
        self.failed = steps.failed[self.step].astype(bool)
        self.frame = np.searchsorted(self.frames, steps.frame[self.step].astype(np.int64)) + 1
        self.operand_counts = steps.operands[self.step].astype(np.int64)
        self._operands_start = trace.operands_start[self.step].astype(np.int64)
        self._results_start = trace.results_start[self.step].astype(np.int64)
        self.opened = np.full(len(self.step), 0, dtype=np.int64)
        inner = np.flatnonzero(self.frame_parent)
        self.frame_opener = np.full(len(self.frames), -1, dtype=np.int64)
        self.frame_opener[inner] = np.searchsorted(self.step, trace.frames.call_step[self.frames[inner]])
        self.opened[self.frame_opener[inner]] = inner + 1
        self._split_gas()
        self.counts_nonce = np.zeros(len(self.step), dtype=bool)
        creations = np.flatnonzero(np.isin(self.opcode, _CREATIONS))
        self.counts_nonce[creations] = (self.opened[creations] > 0) | self.collides(creations)
        self._find_returns()
        self.route = self._route()

    def _split_gas(self) -> None:
        """Gas before each step, and what of it is its frame's reserve.

        The reserve changes where a frame begins, and where one that it has opened ends: what exceeds MAX_GAS then.
        """
        before = self.trace.steps.gas_before[self.step]
        own = np.argsort(self.frame, kind="stable")  # the steps of each frame, one frame after the other
        frame = self.frame[own]
        is_first = np.ones(len(own), dtype=bool)
        is_first[1:] = frame[1:] != frame[:-1]
        renewed = is_first.copy()
        renewed[1:] |= self._renews(own[:-1])
        given = self.trace.frames.gas_given[self.frames]
        limits = self.trace.transactions.gas_limit[self.transactions]
        outermost = np.flatnonzero(
            np.isin(self.frame_operation, self.transaction_operations) & (self.frame_parent == 0)
        )
        given[outermost] = limits[self.transaction_places(self.frame_operation[outermost])]
        self.frame_reserve = beyond(given)
        reserve = beyond(before[own])
        reserve[is_first] = self.frame_reserve[frame[is_first] - 1]
        source = np.maximum.accumulate(np.where(renewed, np.arange(len(own)), 0)) if len(own) else own
        reserve = reserve[source]
        self.step_reserve = np.empty_like(reserve)
        self.step_reserve[own] = reserve
        self.gas = (before - self.step_reserve).astype(np.int64)
        # Own steps of a frame in a row, for what follows a step in its frame.
        self.own_next = np.full(len(own), -1, dtype=np.int64)
        self.own_next[own[:-1]] = np.where(frame[1:] == frame[:-1], own[1:], -1)
        is_last = np.ones(len(own), dtype=bool)
        is_last[:-1] = frame[1:] != frame[:-1]
        self.frame_last_step = np.full(len(self.frames), -1, dtype=np.int64)
        self.frame_last_step[frame[is_last] - 1] = own[is_last]
        self.frame_reserve_end = self.frame_reserve.copy()
        runs = self.frame_last_step >= 0
        self.frame_reserve_end[runs] = self.step_reserve[self.frame_last_step[runs]]
        self.reserve = beyond(limits)

    def _renews(self, steps: Integers) -> NDArray[np.bool_]:
        """Which of these steps divide the gas of their frame anew: those that open a frame, and collisions."""
        renews: NDArray[np.bool_] = (self.opened[steps] > 0) | self.collides(steps)
        return renews

    def _find_returns(self) -> None:
        """What each frame returns: a range of its own memory."""
        self.frame_return_start = np.zeros(len(self.frames), dtype=np.int64)
        self.frame_return_size = np.zeros(len(self.frames), dtype=np.int64)
        frames = np.flatnonzero(self.frame_runs & ~self.frame_halted)
        last = self.frame_last_step[frames]
        # What a creation returns becomes its code.
        returns = (self.opcode[last] == _REVERT) | ((self.opcode[last] == _RETURN) & ~self.frame_creates[frames])
        frames, last = frames[returns], last[returns]
        size = small_integers(self.operand(last, 1))
        self.frame_return_size[frames] = size
        self.frame_return_start[frames] = np.where(size > 0, small_integers(self.operand(last, 0)), 0)
        frames = np.flatnonzero((self.frame_precompile > 0) & self.frame_success)
        start, size = precompile_output(
            self.frame_precompile[frames],
            self.trace.frames.input_size[self.frames[frames]].astype(np.int64),
            self.trace.frames.output_size[self.frames[frames]].astype(np.int64),
        )
        self.frame_return_start[frames], self.frame_return_size[frames] = start, size
        for frame, plan in self.modexp_plans.items():
            self.frame_return_start[frame], self.frame_return_size[frame] = plan.output

    @cached_property
    def modexp_plans(self) -> dict[int, ModexpPlan]:
        """What the calls of MODEXP do, by the place of their frames."""
        frames, found = self.trace.frames, {}
        for frame in np.flatnonzero(self.frame_precompile == MODEXP).tolist():
            row = self.frames[frame]
            data = self.trace.bytes_at(frames.input_start[row], frames.input_size[row])
            paid, bound = bool(self.frame_success[frame]), self.fork.modexp.max_number_bytes
            found[frame] = ModexpPlan(ModexpInput(data), paid, bound)
        return found

    @cached_property
    def deposits(self) -> Integers:
        """Steps of RETURN in creations, as far as they reach into memory that can be proved."""
        steps = self.rows(_RETURN)
        found: Integers = steps[self.frame_creates[self.frame[steps] - 1]]
        return found

    def collides(self, steps: Integers) -> NDArray[np.bool_]:
        """Which of these steps are creations at an address that is taken: the creator's nonce counts all the same."""
        creations = np.isin(self.opcode[steps], _CREATIONS) & ~self.failed[steps] & (self.opened[steps] == 0)
        found = np.zeros(len(steps), dtype=bool)
        here = np.flatnonzero(creations)
        if len(here):
            trace = self.trace
            nonces = (trace.accesses.mode == Mode.WRITE) & (trace.keys.kind[trace.accesses.key] == StateKind.NONCE)
            found[here] = np.isin(self.step[steps[here]], trace.accesses.step[nonces])
        return found

    def _route(self) -> NDArray[np.uint8]:
        outcome = self.trace.frames.outcome[self.frame_row(self.frame)]
        route = np.zeros(len(self.step), dtype=np.uint8)
        static = np.isin(
            outcome,
            (
                Outcome.STACK_UNDERFLOW,
                Outcome.STACK_OVERFLOW,
                Outcome.INVALID_INSTRUCTION,
            ),
        )
        static |= self.gas < self.facts.gas[self.opcode]
        # Where both operands and gas lack, py-evm may name the gas.
        static |= self.stack_size < self.facts.reach[self.opcode]
        # Of what moves words by the byte behind it only that fails statically which does with any byte.
        by_byte = np.isin(self.opcode, list(self.facts.moves)) & (self.gas >= self.facts.gas[self.opcode])
        by_byte &= (self.stack_size >= self.facts.reach[self.opcode]) & (outcome != Outcome.STACK_OVERFLOW)
        route[self.failed & static] = STATIC_FAILURE
        route[self.failed & by_byte] = BYTE_FAILURE
        # Where gas is short as well, though it pays the constant cost, the bounds are the reason that is proved.
        route[self.failed & (route == PLAIN) & (outcome == Outcome.RETURN_DATA_BOUNDS)] = RETURN_DATA_BOUNDS
        route[self.failed & (route == PLAIN) & (outcome == Outcome.INVALID_JUMP)] = INVALID_JUMP
        # A step that would change the state fails in a static frame, whatever else it lacks.
        changes = np.isin(self.opcode, STATIC_CHANGES)
        calls = np.flatnonzero((self.opcode == OPCODES["CALL"]) & (self.operand_counts > VALUE_OPERAND))
        sends = np.zeros(len(self.step), dtype=bool)
        sends[calls] = self.operand(calls, VALUE_OPERAND).any(axis=1)
        changes &= (self.opcode != OPCODES["CALL"]) | sends
        in_static = self.trace.frames.is_static[self.frame_row(self.frame)] == 1
        route[self.failed & (route == PLAIN) & in_static & changes] = STATIC_VIOLATION
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
        # The initcode of CREATE2 is a known code like those of accounts.
        kind = trace.frames.kind[self.frames]
        proved = np.isin(kind, (FrameKind.CREATION, FrameKind.CREATE))
        running = self.frame_runs & ~proved
        used = trace.frames.code[self.frames[running]].astype(np.int64)
        # Codes of other accounts, asked for by EXTCODESIZE and EXTCODECOPY, and by creations whose address is taken.
        asked = self.rows(OPCODES["EXTCODESIZE"], OPCODES["EXTCODECOPY"])
        taken = self.transactions[trace.transactions.is_creation[self.transactions] == 1]
        addresses = trace.frames.address[trace.transactions.first_frame[taken]]
        owners = [self.operand(asked, 0)[:, :10], addresses, *self._may_delegate()]
        hashes = self._code_hashes_of(np.concatenate(owners))
        # Codes that are stored, and initcodes of CREATE2.
        made = np.isin(trace.hashes.purpose, (HashPurpose.CODE, HashPurpose.INITCODE))
        made &= np.isin(trace.hashes.step, self.step)
        hashes = np.concatenate([hashes, trace.hashes.digest[made]])
        leaves = self.leaves
        known = leaves.keys.slot[leaves.keys.of_kind(LeafKind.CODE)]
        both = np.concatenate([known, hashes])
        _, inverse = np.unique(both, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        wanted = np.isin(inverse[: len(known)], inverse[len(known) :])
        self.codes = np.unique(np.concatenate([used, leaves.code_rows[wanted]])).astype(np.int64)
        self.code_ids = np.arange(len(self.codes), dtype=np.int64)
        self.frame_code = np.zeros(len(self.frames), dtype=np.int64)
        self.frame_code[running] = self.code_ids[np.searchsorted(self.codes, used)] if len(used) else used
        creating = np.flatnonzero(self.frame_runs & proved)
        sizes = trace.codes.size[trace.frames.code[self.frames[creating]]].astype(np.int64)
        self.frame_code[creating] = init_code_ids(sizes)
        self.code = self.frame_code[self.frame - 1] if len(self.step) else self.frame

    def _may_delegate(self) -> list[Limbs]:
        """Accounts (n, 10) of whose codes it is proved whether they stand for those of others (EIP-7702)."""
        if not self.fork.sets_codes:
            return []
        table = self.trace.transactions
        calls = self.rows(*_CALLS)
        return [
            self.operand(calls, 1)[:, :10],
            table.sender[self.transactions],
            table.to[self.transactions],
            self.authorities,
        ]

    @cached_property
    def authorities(self) -> Limbs:
        """The accounts (n, 10) that have signed the authorizations of the segment, those of no effect left out."""
        entries = self.batch.authorizations
        rows = ranges(entries.starts[self.transactions], entries.counts[self.transactions])
        valid = rows[entries.items.fields["valid"][rows] == 1]
        found: Limbs = entries.items.fields["authority"][valid]
        return found

    def _set_times(self) -> None:
        """See TRANSACTION_BEGIN, FRAME_BEGIN and TRANSACTION_END."""
        duration = np.ones(len(self.step), dtype=np.int64)
        for opcode, (size, times) in _MOVES.items():
            rows = np.flatnonzero((self.opcode == opcode) & ~self.failed)
            if len(rows):
                duration[rows] += times * words_of(small_integers(self.operand(rows, size)))
        trace = self.trace
        frames = self.frames
        # What a frame that runs no code takes, and what its caller does when it is over.
        idle = np.zeros(len(frames), dtype=np.int64)
        precompiles = np.flatnonzero(self.frame_precompile)
        idle[precompiles] = precompile_duration(
            self.frame_precompile[precompiles],
            trace.frames.input_size[frames[precompiles]].astype(np.int64),
            (trace.frames.gas_given[frames[precompiles]] - self.frame_reserve[precompiles]).astype(np.int64),
            self.frame_success[precompiles],
        )
        for frame, plan in self.modexp_plans.items():
            idle[frame] = plan.duration
        self.frame_copied = self._copied()
        resume = 1 + words_of(self.frame_copied)
        # Between an instruction and the frame that it opens.
        creations = np.flatnonzero(np.isin(self.opcode, _CREATIONS) & ~self.failed)
        counts = self.counts_nonce[creations]
        hashed = (self.opcode[creations] == OPCODES["CREATE2"]) & counts
        words = words_of(small_integers(self.operand(creations, 2)))
        duration[creations] += words * hashed + counts
        stopped = np.isin(self.opcode, _CALLS) & ~self.failed & (self.opened == 0)
        duration[stopped] = DELEGATING_STOPPED_TIME if self.fork.sets_codes else STOPPED_TIME
        openers = np.flatnonzero(self.opened)
        self.lead = np.full(len(self.step), OPENING, dtype=np.int64)
        self.lead[creations] += words
        child = self.opened[openers] - 1
        without_code = ~self.frame_runs[child]
        duration[openers] = self.lead[openers] + FRAME_BEGIN + without_code * (idle[child] + resume[child])
        # The last step of a frame, and what its caller does then.
        runs = np.flatnonzero(self.frame_runs)
        last = self.frame_last_step[runs]
        ending = np.ones(len(runs), dtype=np.int64)
        deposits = np.flatnonzero(np.isin(last, self.deposits))
        sizes = small_integers(self.operand(last[deposits], 1))
        ending[deposits] += deposit_words(sizes, trace.frames.outcome[frames[runs[deposits]]], self.fork.max_code_bytes)
        duration[last] = ending + np.where(self.frame_parent[runs] > 0, resume[runs], 0)
        self.duration = duration

        operations = self.end - self.first
        begin = np.full(operations, WITHDRAWAL_TIME, dtype=np.int64)
        begin[self.kind == OperationKind.BEACON] = BEACON_TIME
        begin[self.kind == OperationKind.HISTORY] = HISTORY_TIME
        entries = np.zeros(operations, dtype=np.int64)
        running = np.zeros(operations, dtype=np.int64)
        local = self.transaction_operations - self.first
        table = trace.transactions
        entries[local] = (
            table.access_addresses[self.transactions].astype(np.int64) + table.access_keys[self.transactions]
        )
        listed = entries[local] + TRANSACTION_BEGIN
        if self.fork.sets_codes:
            entries[local] += table.authorizations[self.transactions].astype(np.int64) + RECIPIENT_TIME
        np.add.at(running, self.operation - self.first, duration)
        outermost = np.flatnonzero(self.frame_parent == 0)
        running[self.frame_operation[outermost] - self.first] += FRAME_BEGIN + idle[outermost]
        begin[local] = TRANSACTION_BEGIN
        called = self.system_operations - self.first
        begin[called] = SYSTEM_CALL_BEGIN
        messages = self.message_operations - self.first
        total = begin + entries + running
        total[messages] += TRANSACTION_END
        np.add.at(total, self.destroyed[0] - self.first, 1)
        answers = words_of(self.system_outputs)
        total[called] += answers
        self.begin_time = np.cumsum(total) - total
        self.answer_time = (self.begin_time + total)[called] - answers
        self.frame_time = self.begin_time.copy()
        self.frame_time[messages] += (begin + entries)[messages]
        self.authorization_time = self.begin_time[local] + listed
        self.end_time = self.frame_time + running
        self.next_time = int(total.sum())
        before = np.cumsum(duration) - duration
        first_step = np.searchsorted(self.operation, self.operation)  # of the same operation
        self.time = self.frame_time[self.operation - self.first] + FRAME_BEGIN + before - before[first_step]

        self.frame_begin_time = self.frame_time[self.frame_operation - self.first].copy()
        inner = np.flatnonzero(self.frame_parent)
        opener = self.frame_opener[inner]
        self.frame_begin_time[inner] = self.time[opener] + self.lead[opener]
        self.frame_end_time = self.frame_begin_time + FRAME_BEGIN + idle
        self.frame_end_time[runs] = self.time[last] + ending

    def _copied(self) -> Integers:
        """Bytes of what each frame returns that are copied to its caller's memory, (frames,)."""
        copied = np.zeros(len(self.frames), dtype=np.int64)
        inner = np.flatnonzero((self.frame_parent > 0) & ~self.frame_creates & ~self.frame_halted)
        opener = self.frame_opener[inner]
        room = np.zeros(len(inner), dtype=np.int64)
        for opcode in _CALLS:
            here = np.flatnonzero(self.opcode[opener] == opcode)
            if len(here):
                room[here] = small_integers(self.operand(opener[here], int(OPERANDS[opcode]) - 1))
        copied[inner] = np.minimum(room, self.trace.frames.output_size[self.frames[inner]].astype(np.int64))
        return copied

    # Picking steps and their words.

    def rows(self, *opcodes: int, route: int = PLAIN, failed: bool | None = None) -> Integers:
        """Steps with one of these opcodes that are proved in this way; `failed`: only those that fail, or do not."""
        wanted = np.zeros(256, dtype=bool)
        wanted[list(opcodes)] = True
        first, end = 0, len(self.opcode)
        if self.window is not None:  # times of steps ascend
            first, end = np.searchsorted(self.time, self.window).tolist()
        mask = wanted[self.opcode[first:end]] & (self.route[first:end] == route)
        if failed is not None:
            mask &= self.failed[first:end] == failed
        return first + np.flatnonzero(mask)

    def operand(self, steps: Integers, index: int) -> Limbs:
        """Words (n, 16) that these steps read, the top of the stack being index 0 (see `executor.trace.Steps`)."""
        return self.trace.operands.word[self._operands_start[steps] + index]

    def result(self, steps: Integers, index: int = 0) -> Limbs:
        """Words (n, 16) that these steps write; the steps must have succeeded."""
        return self.trace.results.word[self._results_start[steps] + index]

    def byte_behind(self, steps: Integers) -> Integers:
        """What stands behind the instructions (n,) of these steps; 0 behind the end of the code."""
        codes, data = self.trace.codes, self.trace.data.byte
        code = self.trace.frames.code[self.frame_row(self.frame[steps])]
        start, size, place = codes.start[code].astype(np.int64), codes.size[code].astype(np.int64), self.pc[steps] + 1
        inside = place < size
        found = np.zeros(len(steps), dtype=np.int64)
        found[inside] = data[(start + place)[inside]]
        return found

    def operand_time(self, steps: Integers, index: int) -> Integers:
        """Times (n,) of the stack tokens that these steps take for an operand."""
        then: Integers = self._stack.then[steps, index] if len(steps) else np.zeros(0, dtype=np.int64)
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

    def of_messages(self, column: str) -> Integers:
        """A column (messages,) that the trace's transactions and system calls have both."""
        found = np.empty(len(self.message_operations), dtype=np.int64)
        is_call = np.isin(self.message_operations, self.system_operations)
        found[~is_call] = getattr(self.trace.transactions, column)[self.transactions]
        found[is_call] = getattr(self.trace.system_calls, column)[self.system_calls]
        return found

    def origins(self, operations: Integers) -> Limbs:
        """ORIGIN (n, 10) in these operations (n,), transactions and system calls."""
        found = np.repeat(addresses_from_bytes([SYSTEM_ADDRESS]), len(operations), axis=0)
        own = np.isin(operations, self.transaction_operations)
        senders = self.trace.transactions.sender[self.transactions]
        found[own] = senders[self.transaction_places(operations[own])]
        return found

    def transaction_places(self, operations: Integers) -> Integers:
        """Places in `transactions` of operations (n,) that are transactions."""
        places: Integers = np.searchsorted(self.transaction_operations, operations)
        return places

    @property
    def transactions_within(self) -> Integers:
        """Those of the transactions that begin in this part."""
        begun: Integers = self.transactions[self.within(self.begin_time[self.transaction_operations - self.first])]
        return begun

    @cached_property
    def transaction_messages(self) -> Integers:
        """Places of the segment's transactions in `message_operations`, (transactions,)."""
        places: Integers = np.searchsorted(self.message_operations, self.transaction_operations)
        return places

    @cached_property
    def system_messages(self) -> Integers:
        """Places of the segment's system calls in `message_operations`, (system calls,)."""
        places: Integers = np.searchsorted(self.message_operations, self.system_operations)
        return places

    @cached_property
    def system_frames(self) -> Integers:
        """Ids of the outermost frames of the segment's system calls, (system calls,); 0 without code."""
        found = np.zeros(len(self.message_operations), dtype=np.int64)
        outermost = np.flatnonzero(self.frame_parent == 0)
        found[self.frame_message[outermost]] = outermost + 1
        return found[self.system_messages]

    @property
    def system_outputs(self) -> Integers:
        """Bytes (system calls,) that the segment's system calls return to the block."""
        table = self.trace.system_calls
        sizes: Integers = (table.output_size * table.returns)[self.system_calls].astype(np.int64)
        return sizes

    @cached_property
    def calldata_ids(self) -> Integers:
        """Ids of the calldata buffers of the segment's messages, (messages,); row numbers of that table."""
        rows = self.buffer_rows.sum(axis=1)
        ids: Integers = np.cumsum(rows) - rows
        return ids

    @cached_property
    def buffer_rows(self) -> Integers:
        """Rows of the calldata table that the calldata and the blob hashes of each message take, (messages, 2)."""
        calldata = np.maximum(1, words_of(self.of_messages("input_size")))
        blobs = np.zeros_like(calldata)
        blobs[self.transaction_messages] = self.trace.transactions.blob_hashes_size[self.transactions] // 32
        return np.stack([calldata, blobs], axis=1)

    @cached_property
    def blob_ids(self) -> Integers:
        """Ids of the buffers of blob hashes, (messages,): behind the calldata; used for blob transactions only."""
        return self.calldata_ids + self.buffer_rows[:, 0]

    @cached_property
    def destroyed(self) -> tuple[Integers, Limbs]:
        """Accounts that operations destroy (EIP-6780), each once: operation (n,), ascending, and address (n, 10)."""
        trace = self.trace
        at = np.flatnonzero(trace.keys.kind[trace.accesses.key] == StateKind.DESTROYED)
        owner = np.searchsorted(self.operations.first_access, at, side="right") - 1
        key = trace.accesses.key[at].astype(np.int64)
        # The last access of a key in an operation decides, which is the first one from behind.
        pairs, position = np.unique(np.stack([owner, key], axis=1)[::-1], axis=0, return_index=True)
        stays: NDArray[np.bool_] = trace.accesses.after[at[::-1][position], 0] == 1
        own = np.isin(pairs[:, 0], self.message_operations) & stays
        return pairs[own, 0], trace.keys.address[pairs[own, 1]]

    @cached_property
    def worlds(self) -> Worlds:
        """The worlds of the segment's frames."""
        return Worlds.of(self.trace.frames, self.frames)

    def frame_row(self, frame: Integers) -> Integers:
        """Rows in the trace's frames of these frame ids."""
        rows: Integers = self.frames[frame - 1]
        return rows

    def initcode_hashes(self, steps: Integers) -> Limbs:
        """Hashes (n, 16) of the initcodes of steps of CREATE2 that have computed one."""
        hashes = self.trace.hashes
        made = np.flatnonzero(hashes.purpose == HashPurpose.INITCODE)
        found: Limbs = hashes.digest[made[np.searchsorted(hashes.step[made], self.step[steps])]]
        return found

    def codes_of(self, hashes: Limbs) -> tuple[Integers, Integers]:
        """Ids and sizes (n,) of the codes with these hashes (n, 16); 0 for those that are none of the segment's."""
        own = self.trace.codes.hash[self.codes]
        both = np.concatenate([own, hashes])
        _, inverse = np.unique(both, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        place = np.full(int(inverse.max(initial=-1)) + 1, -1, dtype=np.int64)
        place[inverse[: len(own)]] = np.arange(len(own))
        found = place[inverse[len(own) :]]
        there = found >= 0
        ids, sizes = np.zeros(len(hashes), dtype=np.int64), np.zeros(len(hashes), dtype=np.int64)
        ids[there] = self.code_ids[found[there]]
        sizes[there] = self.trace.codes.size[self.codes[found[there]]]
        return ids, sizes

    def _code_hashes_of(self, addresses: Limbs) -> Limbs:
        """All code hashes (k, 16) that accounts (n, 10) have at some time in the batch."""
        trace = self.trace
        keys = trace.keys
        own = np.flatnonzero(keys.kind == StateKind.CODE_HASH)
        both = np.concatenate([keys.address[own], addresses])
        _, inverse = np.unique(both, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        asked = own[np.isin(inverse[: len(own)], inverse[len(own) :])]
        changed = trace.accesses.after[np.isin(trace.accesses.key, asked)]
        return np.concatenate([keys.first[asked], changed])


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
        slot = execution.stack_size[steps] - 1 - _places(execution, steps, operands)
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
    violates = execution.route == STATIC_VIOLATION
    counts[violates & (execution.opcode != OPCODES["CALL"])] = 0
    steps = np.repeat(np.arange(len(counts)), counts)
    operands = ranges(np.zeros(len(counts), dtype=np.int64), counts)
    # Of RETURNDATACOPY out of bounds, and of an access beyond the memory, only offset and size are looked at.
    keep = (execution.route[steps] != RETURN_DATA_BOUNDS) | (operands != 0)
    keep &= ~violates[steps] | (operands == VALUE_OPERAND)
    for step in np.flatnonzero(execution.route == OUT_OF_MEMORY):
        keep[steps == step] = np.isin(operands[steps == step], out_of_memory_operands(execution, int(step)))
    steps, operands = steps[keep], operands[keep]
    return steps, operands, execution.trace.operands.word[execution._operands_start[steps] + operands]


def _places(execution: Execution, steps: Integers, operands: Integers) -> Integers:
    """How far below the top (n,) these operands lie."""
    opcode = execution.opcode[steps]
    dup = (opcode >= DUP1) & (opcode < DUP1 + MAX_DUP)
    swap = (opcode >= SWAP1) & (opcode < SWAP1 + MAX_SWAP)
    places: Integers = np.where(dup, opcode - DUP1, np.where(swap & (operands == 1), opcode - SWAP1 + 1, operands))
    for own, by_byte in execution.facts.moves.items():
        here = np.flatnonzero(opcode == own)
        places[here] = by_byte[execution.byte_behind(steps[here]), operands[here]]
    return places


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
    opcode, height, facts = execution.opcode, execution.stack_size, execution.facts
    success = ~execution.failed
    by_byte = success & np.isin(opcode, list(facts.moves))
    dup = success & (opcode >= DUP1) & (opcode < DUP1 + MAX_DUP) | (by_byte & (facts.results[opcode] == 1))
    swap = success & (opcode >= SWAP1) & (opcode < SWAP1 + MAX_SWAP) | (by_byte & (facts.results[opcode] == 2))
    plain = np.flatnonzero(success & ~dup & ~swap & (facts.results[opcode] == 1))
    dups, swaps = np.flatnonzero(dup), np.flatnonzero(swap)

    def slot(steps: Integers, operand: int) -> Integers:
        return height[steps] - 1 - _places(execution, steps, np.full(len(steps), operand))

    steps = [plain, dups, dups, swaps, swaps]
    slots = [
        height[plain] - facts.operands[opcode[plain]],
        slot(dups, 0),  # what is copied stays where it is
        height[dups],
        slot(swaps, 0),
        slot(swaps, 1),
    ]
    words = [
        execution.result(plain),
        execution.operand(dups, 0),
        execution.operand(dups, 0),
        execution.operand(swaps, 1),
        execution.operand(swaps, 0),
    ]
    return np.concatenate(steps), np.concatenate(slots), np.concatenate(words)


def beyond(gas: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """What these amounts (n,) have beyond MAX_GAS."""
    return np.where(gas > MAX_GAS, gas - np.uint64(MAX_GAS), np.uint64(0))


def words_of(size: Integers) -> Integers:
    """Words that bytes make, rounded up, (n,)."""
    return -(-size // 32)


def _precompiles(trace: ExecutionTrace, rows: Integers, fork: Fork) -> Integers:
    """Numbers (n,) of the precompiles that frames, rows (n,) of the trace, call; 0 for others."""
    frames = trace.frames
    kind, address = frames.kind[rows], frames.code_address[rows]
    low = address[:, 0].astype(np.int64)
    none = np.isin(kind, (FrameKind.CREATION, FrameKind.CREATE, FrameKind.CREATE2))
    none |= frames.delegates[rows] == 1  # the code there is what would run: none
    return np.where(~none & ~address[:, 1:].any(axis=1) & np.isin(low, precompile_numbers(fork)), low, 0)


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
