"""What a traced machine reports while it runs, and the trace that becomes of it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
import rlp
from eth.exceptions import (
    ContractCreationCollision,
    FullStack,
    InsufficientStack,
    InvalidInstruction,
    InvalidJumpDestination,
    OutOfBoundsRead,
    OutOfGas,
    ReservedBytesInCode,
    Revert,
    WriteProtection,
)
from eth_utils.crypto import keccak
from numpy.typing import NDArray

from executor.errors import ExecutionMismatch
from executor.forks import CANCUN, Fork, SystemCall
from executor.limbs import ADDRESS_LIMBS, Limbs
from executor.opcodes import (
    DUP1,
    MAX_SWAP,
    OPCODES,
    OPENERS,
    OPERANDS,
    REACH,
    RESULTS,
    SWAP1,
    instruction_set,
)
from executor.state_keys import LASTING_KINDS, StateKey, StateKind
from executor.tables import IntBuffer, Table, TableBuffer, WordBuffer, limbs_of
from executor.trace import (
    NONE,
    TOPICS,
    Codes,
    Data,
    FrameKind,
    Frames,
    Hashes,
    HashPurpose,
    Keys,
    Logs,
    MemoryAccesses,
    Mode,
    Outcome,
    StateAccesses,
    Steps,
    SystemCalls,
    Words,
)

STEPS_PER_CHUNK = 16_384  # recorded as Python objects before they are moved into arrays
STEP_COLUMNS = 5
_SHARED_BYTES = 128  # byte strings at least this long are kept once, as long as they are remembered
_SHARED_ENTRIES = 64

_FRAME_KINDS = {
    OPCODES["CALL"]: FrameKind.CALL,
    OPCODES["CALLCODE"]: FrameKind.CALLCODE,
    OPCODES["DELEGATECALL"]: FrameKind.DELEGATECALL,
    OPCODES["STATICCALL"]: FrameKind.STATICCALL,
    OPCODES["CREATE"]: FrameKind.CREATE,
    OPCODES["CREATE2"]: FrameKind.CREATE2,
}
_OUTCOMES = {
    Revert: Outcome.REVERT,
    OutOfGas: Outcome.OUT_OF_GAS,
    InsufficientStack: Outcome.STACK_UNDERFLOW,
    FullStack: Outcome.STACK_OVERFLOW,
    InvalidInstruction: Outcome.INVALID_INSTRUCTION,
    InvalidJumpDestination: Outcome.INVALID_JUMP,
    WriteProtection: Outcome.STATIC_VIOLATION,
    OutOfBoundsRead: Outcome.RETURN_DATA_BOUNDS,
    ReservedBytesInCode: Outcome.RESERVED_CODE,
    ContractCreationCollision: Outcome.COLLISION,
}
_JUMPS = (OPCODES["JUMP"], OPCODES["JUMPI"])


@dataclass(slots=True)
class _OpenFrame:
    """A frame that has not ended."""

    number: int
    kind: FrameKind
    parent: int
    call_step: int
    first_step: int
    gas_at_end: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """Numbers of rows of the tables that grow while the batch runs."""

    steps: int
    frames: int
    accesses: int
    logs: int


class Recorder:
    """Takes down what a machine does, while ``active``.

    Everything that occurs per step is kept in typed buffers; Python objects stay for one chunk of steps only.
    """

    def __init__(self) -> None:
        self.active = False
        self.block = NONE
        self.transaction = NONE
        self.after_transactions = False  # of the block
        self.data = bytearray()
        self._shared: dict[bytes, int] = {}
        self.steps = IntBuffer(np.uint32, np.uint64, np.uint16, np.uint32, np.uint8)
        self.operands = WordBuffer()
        self.results = WordBuffer()  # except those of DUP, SWAP, calls and creations
        self.call_steps = array("Q")
        self.call_results = WordBuffer()
        self._step_rows = self.steps.rows
        self._fork = CANCUN  # of the steps in the buffers
        self._stack_words = OPERANDS, RESULTS
        self._by_byte: tuple[int, ...] = ()  # opcodes of instructions that move words by the byte behind them
        self._operand_counts: list[NDArray[np.uint8]] = []
        self._result_counts: list[NDArray[np.uint8]] = []
        self._operand_words: list[Limbs] = []
        self._result_words: list[Limbs] = []
        self._failed = array("Q")
        self._failed_in_chunk: list[int] = []
        # The step that goes on after the frame that it opened: the current one until the next begins.
        self._resumed = NONE
        self._resumed_at = 0

        self._frames = TableBuffer(Frames, frozenset(("reverted",)))  # in the order in which they end
        self._frame_numbers = array("Q")
        self._frame_count = 0
        self._open: list[_OpenFrame] = []
        self._recipient_delegates_to = b""
        self._switch_steps = array("Q", [0])
        self._switch_frames = array("Q", [0])

        self._memory = IntBuffer(*(dtype for _, dtype, _ in MemoryAccesses.columns()))
        self._accesses = IntBuffer(np.uint32, np.uint32, np.uint8, np.uint32)
        self._access_words = WordBuffer()  # before, after
        self._logs = TableBuffer(Logs, frozenset(("reverted",)))
        self._hashes = TableBuffer(Hashes)
        self._system_calls = TableBuffer(SystemCalls)
        self._system_call_start = Position(0, 0, 0, 0)

        self._keys: dict[StateKey, int] = {}
        self._first: list[int] = []
        self._values: list[int | None] = []  # None: not known in this transaction
        self._passing: set[int] = set()  # keys with a value that ends with the transaction
        self._slots: dict[bytes, dict[int, int]] = {}  # address -> slot -> key of STORAGE
        self._journal: list[tuple[int, int]] = []
        self._changed: set[int] = set()  # lasting keys written in this block

        self._codes: dict[bytes, int] = {}
        self._code_rows = TableBuffer(Codes)
        self.pre_state_codes: dict[bytes, None] = {}

    # Steps. The instructions of the machine append to `steps`, `operands` and `results` themselves: they run by the
    # million, and a call takes longer than what it would do.

    @property
    def position(self) -> Position:
        """Numbers of rows so far."""
        return Position(len(self.steps), self._frame_count, len(self._accesses), len(self._logs))

    @property
    def step(self) -> int:
        """The step that is running, or NONE."""
        begun = self.steps.flushed + len(self._step_rows) // STEP_COLUMNS
        return self._resumed if begun == self._resumed_at else begun - 1

    @property
    def frame(self) -> int:
        """The frame that is running, or NONE."""
        return self._open[-1].number if self._open else NONE

    def follow(self, fork: Fork) -> None:
        """What comes is of this fork."""
        if fork.added_instructions != self._fork.added_instructions:
            self.flush()
            own = instruction_set(fork.added_instructions)
            self._stack_words, self._by_byte = (own.operands, own.results), tuple(own.moves)
        self._fork = fork

    def flush(self) -> None:
        """Move what has been recorded into arrays. No step may be running but those that wait for a frame to end."""
        first = self.steps.flushed
        block = self.steps.flush()
        height, opcode = block[:, 2], block[:, 4].astype(np.uint8)
        popped, pushed = self._stack_words
        failed = np.zeros(len(block), dtype=bool)
        failed[np.array(self._failed_in_chunk, dtype=np.int64) - first] = True
        by_byte = np.isin(opcode, self._by_byte)
        moving = (opcode >= DUP1) & (opcode < SWAP1 + MAX_SWAP)
        enough = height >= REACH[opcode]
        operands = np.where(moving, popped[opcode] * enough, np.minimum(popped[opcode], height)).astype(np.uint8)
        operands[by_byte] = popped[opcode[by_byte]] * ~failed[by_byte]
        moving |= by_byte
        results = pushed[opcode]
        results[failed] = 0
        results[np.isin(opcode, OPENERS)] = 0  # they come with `call_results`, when they are known
        self._failed_in_chunk.clear()

        read = self.operands.take()
        if len(read) != operands.sum():
            raise ExecutionMismatch(f"{len(read)} operands recorded where the steps have {operands.sum()}")
        written = np.zeros((int(results.sum()), read.shape[1]), dtype=np.uint16)
        read_at, written_at = _starts(operands), _starts(results)
        computed = np.repeat(~moving, results)
        written[computed] = self.results.take()
        dup = moving & (results == 1)
        swap = moving & (results == 2)
        written[written_at[dup]] = read[read_at[dup]]
        written[written_at[swap]] = read[read_at[swap] + 1]
        written[written_at[swap] + 1] = read[read_at[swap]]
        self._operand_counts.append(operands)
        self._result_counts.append(results)
        self._operand_words.append(read)
        self._result_words.append(written)
        self._memory.flush()
        self._accesses.flush()
        self._access_words.flush()
        self.call_results.flush()
        for buffer in (self._frames, self._logs, self._hashes, self._code_rows):
            buffer.flush()

    # Frames

    def open_frame(self, message: Any) -> None:
        """A message call or contract creation begins."""
        step = self.step
        if self._open:
            kind, parent = _FRAME_KINDS[self._step_rows[-1]], self._open[-1].number
        elif self.transaction == NONE:
            kind, parent = FrameKind.SYSTEM, NONE
        else:
            kind, parent = (FrameKind.CREATION if message.is_create else FrameKind.MESSAGE), NONE
        begun = len(self.steps)
        self._open.append(_OpenFrame(self._frame_count, kind, parent, step, begun))
        self._switch(self._frame_count)
        self._frame_count += 1

    def code_ended(self, computation: Any) -> None:
        """The code of the innermost frame ended; it may fail yet, where storing a code does."""
        frame = self._open[-1]
        frame.gas_at_end = computation.get_gas_remaining()
        if computation.should_burn_gas and len(self.steps) > frame.first_step:
            step = self.step
            self._failed.append(step)
            if step >= self.steps.flushed:
                self._failed_in_chunk.append(step)

    def close_frame(self, computation: Any) -> None:
        """The innermost frame ended."""
        frame = self._open.pop()
        message = computation.msg
        output = computation.output
        runs_at = b"" if message.is_create else message.code_address
        if message.is_delegation and frame.parent == NONE:
            runs_at = self._recipient_delegates_to  # the message of a transaction names its recipient alone
        is_precompile = not message.is_delegation and runs_at in computation.precompiles
        self._frame_numbers.append(frame.number)
        self._frames.append(
            kind=frame.kind,
            block=self.block,
            transaction=self.transaction,
            parent=frame.parent,
            call_step=frame.call_step,
            depth=message.depth,
            is_static=message.is_static,
            caller=message.sender,
            address=message.storage_address,
            code_address=runs_at,
            delegates=int(message.is_delegation),
            code=self.code(message.code),
            value=message.value,
            input_start=self.put(message.data_as_bytes),
            input_size=len(message.data),
            output_start=self.put(output),
            output_size=len(output),
            gas_given=message.gas,
            gas_at_end=frame.gas_at_end,
            gas_left=computation.get_gas_remaining(),
            outcome=self._outcome(computation, is_precompile),
            first_step=frame.first_step,
            end_step=len(self.steps),
        )
        self._resumed, self._resumed_at = frame.call_step, len(self.steps)
        if self._open:
            self._switch(self._open[-1].number)

    def recipient_delegates(self, address: bytes) -> None:
        """The recipient of the transaction that begins has a code that points to this address (EIP-7702)."""
        self._recipient_delegates_to = address

    def add_collision(self, computation: Any) -> None:
        """A contract creation by a transaction that failed before it began."""
        self.open_frame(computation.msg)
        self.close_frame(computation)

    def _switch(self, frame: int) -> None:
        self._switch_steps.append(len(self.steps))
        self._switch_frames.append(frame)

    def _outcome(self, computation: Any, is_precompile: bool) -> Outcome:
        if not computation.is_error:
            return Outcome.SUCCESS
        error = computation.error
        if is_precompile and not isinstance(error, OutOfGas):
            return Outcome.PRECOMPILE_FAILURE
        outcome = _OUTCOMES.get(type(error))
        if outcome is None:
            raise ExecutionMismatch(f"a frame ended by {type(error).__name__}, which is no outcome")
        # py-evm has two errors for a jump to a place that is no JUMPDEST.
        if outcome == Outcome.INVALID_INSTRUCTION and self._step_rows and self._step_rows[-1] in _JUMPS:
            return Outcome.INVALID_JUMP
        return outcome

    # Calls of system contracts

    def begin_system_call(self) -> None:
        """A system contract is called outside of transactions."""
        self.forget_passing_values()
        self._system_call_start = self.position

    def end_system_call(self, call: SystemCall, data: bytes, output: bytes) -> None:
        """The call has ended."""
        start, end = self._system_call_start, self.position
        code_hash = self.first_value(StateKind.CODE_HASH, call.address)
        self._system_calls.append(
            block=self.block,
            address=call.address,
            is_end=self.after_transactions,
            returns=call.request_type is not None,
            is_write=call.code is not None and code_hash == int.from_bytes(keccak(call.code), "big"),
            input_start=self.put(data),
            input_size=len(data),
            output_start=self.put(output),
            output_size=len(output),
            first_frame=start.frames,
            end_frame=end.frames,
            first_step=start.steps,
            end_step=end.steps,
            first_access=start.accesses,
            end_access=end.accesses,
        )

    # What instructions do

    def put(self, content: bytes) -> int:
        """Keep bytes; returns their place in the data."""
        if len(content) >= _SHARED_BYTES:
            # What a call is given was read from memory before, and may be given to many calls.
            known = self._shared.get(content)
            if known is not None:
                return known
            if len(self._shared) == _SHARED_ENTRIES:
                self._shared.clear()
            self._shared[content] = len(self.data)
        start = len(self.data)
        self.data += content
        return start

    def code(self, content: bytes) -> int:
        """The row of a code in Codes."""
        row = self._codes.get(content)
        if row is None:
            row = self._codes[content] = len(self._codes)
            self._code_rows.append(hash=keccak(content), start=self.put(content), size=len(content))
        return row

    def memory_read(self, offset: int, content: bytes) -> None:
        """Memory was read."""
        start = self.put(content)
        self._memory.rows += (self.step, self.frame, 0, offset, len(content), start, start)

    def memory_written(self, offset: int, before: bytes, after: bytes) -> None:
        """Memory was written; ``before`` is as long as ``after``."""
        row = (self.step, self.frame, 1, offset, len(after), self.put(before), self.put(after))
        self._memory.rows += row

    def log(self, address: bytes, topics: tuple[int, ...], content: bytes) -> None:
        """A log entry was made."""
        topic = dict(zip(TOPICS, (*topics, 0, 0, 0, 0), strict=False))
        self._logs.append(
            step=self.step,
            frame=self.frame,
            transaction=self.transaction,
            address=address,
            topics=len(topics),
            **topic,
            data_start=self.put(content),
            data_size=len(content),
        )

    def hash(self, purpose: HashPurpose, content: bytes, digest: bytes) -> None:
        """A hash was computed."""
        self._hash(purpose, self.put(content), len(content), digest)

    @property
    def memory_accesses(self) -> int:
        """Number of accesses to memory so far."""
        return len(self._memory)

    def hash_of_memory(self, accesses: int, digest: bytes) -> None:
        """A hash was computed of what was read from memory since there were ``accesses``; nothing, if none was."""
        start, size = 0, 0
        if self.memory_accesses > accesses:
            size, start = self._memory.rows[-3:-1]
        self._hash(HashPurpose.INSTRUCTION, start, size, digest)

    def _hash(self, purpose: HashPurpose, start: int, size: int, digest: bytes) -> None:
        self._hashes.append(
            step=self.step, frame=self.frame, purpose=purpose, input_start=start, input_size=size, digest=digest
        )

    # State

    def read(self, kind: StateKind, address: bytes, value: int, slot: int = 0) -> None:
        """A state key was read."""
        key = self._key(kind, address, slot)
        known = self._values[key]
        if known is None:
            self._begin(key, value)
        elif known != value:
            raise ExecutionMismatch(f"{kind.name} of 0x{address.hex()} is {value} where {known} was recorded")
        self._accesses.rows += (self.step, self.frame, Mode.READ, key)
        self._access_words.values += (value, value)

    def known(self, kind: StateKind, address: bytes, slot: int = 0) -> int | None:
        """The value of a key, as far as it was recorded."""
        key = self._keys.get(StateKey(kind, address, slot))
        return None if key is None else self._values[key]

    def write(self, kind: StateKind, address: bytes, before: int, after: int, slot: int = 0) -> None:
        """A state key was written; ``before`` counts only where no value was recorded."""
        key = self._key(kind, address, slot)
        known = self._values[key]
        if known is None:
            self._begin(key, before)
        else:
            before = known
        self._journal.append((key, before))
        self._set(Mode.WRITE, key, before, after)

    def clear_storage(self, address: bytes, had_storage: bool) -> None:
        """All storage of an account was emptied; ``had_storage`` is HAS_STORAGE before that."""
        if had_storage:
            self.write(StateKind.HAS_STORAGE, address, 1, 0)
        for slot, key in self._slots.get(address, {}).items():
            if self._values[key]:
                self.write(StateKind.STORAGE, address, 0, 0, slot)

    @property
    def journal_length(self) -> int:
        """Number of writes that can be undone."""
        return len(self._journal)

    def undo(self, journal_length: int) -> None:
        """Writes were taken back, up to an earlier length of the journal."""
        while len(self._journal) > journal_length:
            key, before = self._journal.pop()
            current = self._values[key]
            assert current is not None
            self._set(Mode.UNDO, key, current, before)

    def forget_passing_values(self) -> None:
        """A transaction begins or ended: its own values are gone, and nothing before it can be undone."""
        for key in self._passing:
            self._values[key] = None
        self._passing.clear()
        self._journal.clear()

    def take_changes(self) -> dict[StateKey, int]:
        """Lasting keys written since the last call, with their values."""
        keys = list(self._keys)
        changes = {keys[key]: self._values[key] for key in sorted(self._changed)}
        self._changed.clear()
        return {key: value for key, value in changes.items() if key.kind in LASTING_KINDS and value is not None}

    def first_value(self, kind: StateKind, address: bytes) -> int:
        """Value of a touched lasting key before the batch."""
        return self._first[self._keys[StateKey(kind, address)]]

    @property
    def lasting_keys(self) -> list[StateKey]:
        """Keys touched so far whose kinds are lasting, and the slots whose original value was asked for; sorted."""
        return sorted(key for key in self._keys if key.kind in LASTING_KINDS or key.kind == StateKind.ORIGINAL)

    @property
    def keys(self) -> list[StateKey]:
        """Keys touched so far, sorted."""
        return sorted(self._keys)

    def add_untouched(self, key: StateKey, value: int) -> None:
        """A lasting key that nothing read or wrote had this value all the time."""
        self._begin(self._key(*key), value)

    def _key(self, kind: StateKind, address: bytes, slot: int) -> int:
        name = StateKey(kind, address, slot)
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = len(self._keys)
            self._first.append(0)
            self._values.append(None)
            if kind == StateKind.STORAGE:
                self._slots.setdefault(address, {})[slot] = key
            if kind in LASTING_KINDS:
                self._first[key] = -1  # not known yet
        return key

    def _begin(self, key: int, value: int) -> None:
        self._values[key] = value
        if self._first[key] == -1:
            self._first[key] = value
        else:
            self._passing.add(key)

    def _set(self, mode: Mode, key: int, before: int, after: int) -> None:
        self._values[key] = after
        self._changed.add(key)
        self._accesses.rows += (self.step, self.frame, mode, key)
        self._access_words.values += (before, after)

    def code_read(self, address: bytes, code_hash: bytes, code: bytes) -> None:
        """The code of an account was read."""
        value = int.from_bytes(code_hash, "big")
        self.read(StateKind.CODE_HASH, address, value)
        self.code(code)
        if code and self._first[self._keys[StateKey(StateKind.CODE_HASH, address)]] == value:
            self.pre_state_codes[code] = None

    def code_written(self, address: bytes, before: bytes, after: bytes, code: bytes) -> None:
        """An account got a code; ``before`` and ``after`` are its code hashes."""
        self.hash(HashPurpose.CODE, code, after)
        self.code(code)
        self.write(StateKind.CODE_HASH, address, int.from_bytes(before, "big"), int.from_bytes(after, "big"))

    # The tables

    def finish(self) -> dict[str, Table]:
        """The tables of what was recorded. The recorder is empty afterwards."""
        self.flush()
        frames = self._frame_table()
        names = sorted(self._keys)
        return {
            "steps": self._step_table(frames),
            "operands": Words(_join(self._operand_words)),
            "results": Words(_join(self._result_words)),
            "frames": frames,
            "memory": MemoryAccesses(*self._memory.finish()),
            "accesses": self._access_table(names),
            "keys": self._key_table(names),
            "logs": self._log_table(frames),
            "hashes": Hashes(**self._hashes.finish()),
            "system_calls": SystemCalls(**self._system_calls.finish()),
            "codes": Codes(**self._code_rows.finish()),
            "data": Data(np.frombuffer(self.data, dtype=np.uint8)),
        }

    def _step_table(self, frames: Frames) -> Steps:
        pc, gas, height, memory_size, opcode = self.steps.finish()
        count = len(pc)
        operands, results = _join(self._operand_counts), _join(self._result_counts)
        self._insert_call_results(results)
        switches = np.frombuffer(self._switch_steps, dtype=np.uint64).astype(np.int64)
        frame = np.repeat(
            np.frombuffer(self._switch_frames, dtype=np.uint64).astype(np.uint32), np.diff(switches, append=count)
        )
        failed = np.zeros(count, dtype=np.uint8)
        failed[np.frombuffer(self._failed, dtype=np.uint64).astype(np.int64)] = 1
        return Steps(
            pc=pc,
            opcode=opcode,
            gas_before=gas,
            gas_after=_gas_after(gas, frame, frames),
            frame=frame,
            stack_height=height,
            memory_size=memory_size,
            operands=operands,
            results=results,
            failed=failed,
        )

    def _insert_call_results(self, counts: NDArray[np.uint8]) -> None:
        """Put the results of calls, known only when their frames had ended, where they belong among the others."""
        steps = np.frombuffer(self.call_steps, dtype=np.uint64).astype(np.int64)
        words = self.call_results.finish()
        if not len(steps):
            return
        order = np.argsort(steps)
        counts[steps] = 1
        at = _starts(counts)[steps[order]]
        others = np.ones(int(counts.sum(dtype=np.int64)), dtype=bool)
        others[at] = False
        joined = np.zeros((len(others), words.shape[1]), dtype=np.uint16)
        joined[at] = words[order]
        joined[others] = _join(self._result_words)
        self._result_words = [joined]

    def _frame_table(self) -> Frames:
        order = np.argsort(np.frombuffer(self._frame_numbers, dtype=np.uint64))
        columns = {name: values[order] for name, values in self._frames.finish().items()}
        return Frames(**columns, reverted=_reverted(columns["outcome"], columns["parent"], columns["depth"]))

    def _access_table(self, names: list[StateKey]) -> StateAccesses:
        step, frame, mode, key = self._accesses.finish()
        row = np.zeros(len(names), dtype=np.uint32)
        row[[self._keys[name] for name in names]] = np.arange(len(names), dtype=np.uint32)
        words = self._access_words.finish().reshape(-1, 2, 16)
        return StateAccesses(
            step=step,
            frame=frame,
            mode=mode,
            key=row[key],
            before=np.ascontiguousarray(words[:, 0]),
            after=np.ascontiguousarray(words[:, 1]),
        )

    def _key_table(self, names: list[StateKey]) -> Keys:
        numbers = [self._keys[name] for name in names]
        lasting = [name.kind in LASTING_KINDS for name in names]
        last = [self._values[number] or 0 for number in numbers]
        return Keys(
            kind=np.array([name.kind for name in names], dtype=np.uint8),
            address=limbs_of([name.address for name in names], ADDRESS_LIMBS),
            slot=limbs_of([name.slot for name in names]),
            first=limbs_of([self._first[number] * stays for number, stays in zip(numbers, lasting, strict=True)]),
            last=limbs_of([value * stays for value, stays in zip(last, lasting, strict=True)]),
        )

    def _log_table(self, frames: Frames) -> Logs:
        columns = self._logs.finish()
        return Logs(**columns, reverted=frames.reverted[columns["frame"]])


def create_address_input(creator: bytes, nonce: int) -> bytes:
    """What is hashed for the address of a contract made by CREATE or a transaction (yellow paper, section 7)."""
    return bytes(rlp.encode([creator, nonce]))


def _gas_after(gas: NDArray[np.uint64], frame: NDArray[np.uint32], frames: Frames) -> NDArray[np.uint64]:
    """Gas left after every step: what the next step of its frame finds, or what is left at the frame's end."""
    count = len(gas)
    following = np.arange(1, count + 1)
    # A step that opened a frame is followed by the step after that frame's last one. No step opens two frames.
    opened = (frames.call_step != NONE) & (frames.end_step > frames.first_step)
    following[frames.call_step[opened]] = frames.end_step[opened]
    ends = np.minimum(following, max(count - 1, 0))
    is_last = (following == count) | (frame[ends] != frame)
    return np.where(is_last, frames.gas_at_end[frame], gas[ends])


def _reverted(outcome: NDArray[np.uint8], parent: NDArray[np.uint32], depth: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """1 for the frames that failed, or are part of one that did."""
    reverted: NDArray[np.uint8] = (outcome != Outcome.SUCCESS).astype(np.uint8)
    for level in range(1, int(depth.max(initial=0)) + 1):
        frames = np.flatnonzero(depth == level)
        reverted[frames] |= reverted[parent[frames]]
    return reverted


def _starts(counts: NDArray[np.uint8]) -> NDArray[np.int64]:
    starts = np.zeros(len(counts), dtype=np.int64)
    np.cumsum(counts[:-1], out=starts[1:])
    return starts


def _join(chunks: list[NDArray[Any]]) -> NDArray[Any]:
    """The chunks as one array; empties the list."""
    joined = np.concatenate(chunks)
    chunks.clear()
    return joined
