"""py-evm's virtual machine of a fork, confined to a batch and telling a recorder all it does.

py-evm runs every instruction; what this module adds stands around them. Each instruction object is wrapped by a
function made for its opcode: it takes down the machine's state and the operands, runs the instruction, and takes down
the result. For instructions that are a fixed cost and a function, the wrapper charges the cost itself, which saves
nearly as much time as the recording takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eth.exceptions import Halt
from eth.vm.code_stream import CodeStream
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.opcode import _FastOpcode
from eth_utils.crypto import keccak

from executor.forks import SystemCall
from executor.limits import Watch
from executor.machine import Confined, Instruction, confined_machine, instructions
from executor.opcodes import CREATIONS, DUP1, OPCODES, OPENERS, SWAP1, instruction_set, is_dup, is_swap
from executor.recorder import STEP_COLUMNS, STEPS_PER_CHUNK, Recorder, create_address_input
from executor.state_keys import StateKind
from executor.trace import HashPurpose
from executor.traced_state import traced_state

_STOP = OPCODES["STOP"]
_KECCAK256 = OPCODES["KECCAK256"]
_SELFDESTRUCT = OPCODES["SELFDESTRUCT"]
_JUMPS = (OPCODES["JUMP"], OPCODES["JUMPI"])
_REFUND_ADDRESS = bytes(20)


class _TracedCode(CodeStream):
    """Instructions of a code. Where it ends without one that halts, a STOP stands behind its last byte."""

    def __iter__(self) -> Iterator[int]:
        code = self._raw_code_bytes
        while True:
            try:
                opcode = code[self.program_counter]
            except IndexError:
                break
            self.program_counter += 1
            yield opcode
        if code:
            self.program_counter += 1  # as after any other instruction: the recorder takes its place from here
            yield _STOP


def traced_machine(confined: Confined, recorder: Recorder) -> Any:
    """The virtual machine class of a fork, within limits, that tells ``recorder`` what it does."""
    machine = confined_machine(confined)
    state = machine.get_state_class()
    computation = state.computation_class
    executor = state.transaction_executor_class

    class TracedMemory(computation.memory_class):  # type: ignore[misc, name-defined]
        def write(self, start_position: int, size: int, value: bytes) -> None:
            before = bytes(self._bytes[start_position : start_position + size])
            super().write(start_position, size, value)
            if size:
                recorder.memory_written(start_position, before, value)

        def read_bytes(self, start_position: int, size: int) -> bytes:
            content: bytes = super().read_bytes(start_position, size)
            if size:
                recorder.memory_read(start_position, content)
            return content

        def copy(self, destination: int, source: int, length: int) -> None:
            content = bytes(self._bytes[source : source + length])
            before = bytes(self._bytes[destination : destination + length])
            super().copy(destination, source, length)
            if length:
                recorder.memory_read(source, content)
                recorder.memory_written(destination, before, content)

    class TracedComputation(computation):  # type: ignore[misc, valid-type]
        memory_class = TracedMemory
        opcodes = _TracedInstructions(confined, recorder)

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.code = _TracedCode(self.msg.code)
            self.stack_values = self._stack.values

        @classmethod
        def apply_message(cls, state: Any, message: Any, *arguments: Any, **named: Any) -> Any:
            if message.is_create:  # the frame is open: py-evm comes here from apply_create_message
                return super().apply_message(state, message, *arguments, **named)
            recorder.open_frame(message)
            finished = super().apply_message(state, message, *arguments, **named)
            recorder.close_frame(finished)
            return finished

        @classmethod
        def apply_create_message(cls, state: Any, message: Any, *arguments: Any, **named: Any) -> Any:
            recorder.open_frame(message)
            finished = super().apply_create_message(state, message, *arguments, **named)
            recorder.close_frame(finished)
            return finished

        @classmethod
        def apply_computation(cls, state: Any, message: Any, *arguments: Any, **named: Any) -> Any:
            if message.is_create:
                recorder.write(StateKind.CREATED, message.storage_address, 0, 1)
            finished = super().apply_computation(state, message, *arguments, **named)
            recorder.code_ended(finished)
            return finished

        def add_log_entry(self, account: bytes, topics: tuple[int, ...], data: bytes) -> None:
            super().add_log_entry(account, topics, data)
            recorder.log(account, topics, data)

        def refund_gas(self, amount: int) -> None:
            super().refund_gas(amount)
            before = recorder.known(StateKind.REFUND, _REFUND_ADDRESS) or 0
            recorder.write(StateKind.REFUND, _REFUND_ADDRESS, before, before + amount)

        def register_account_for_deletion(self, beneficiary: Any) -> None:
            super().register_account_for_deletion(beneficiary)
            recorder.read(StateKind.CREATED, self.msg.storage_address, 1)
            recorder.write(StateKind.DESTROYED, self.msg.storage_address, 0, 1)

    class TracedExecutor(executor):  # type: ignore[misc, valid-type]
        def get_code_at_address(self, code_address: Any) -> Any:
            code, delegate = super().get_code_at_address(code_address)
            if delegate is not None:
                recorder.recipient_delegates(delegate)
            return code, delegate

        def build_computation(self, message: Any, transaction: Any) -> Any:
            frames = recorder.position.frames
            if message.is_create:
                content = create_address_input(transaction.sender, transaction.nonce)
                recorder.hash(HashPurpose.CREATE_ADDRESS, content, keccak(content))
            finished = super().build_computation(message, transaction)
            if recorder.position.frames == frames:
                recorder.add_collision(finished)
            return finished

    class TracedState(traced_state(state, recorder)):  # type: ignore[misc]
        computation_class = TracedComputation
        transaction_executor_class = TracedExecutor

    class TracedMachine(machine):  # type: ignore[misc, valid-type]
        _state_class = TracedState

        def system_call(self, call: SystemCall, data: bytes) -> bytes:
            recorder.begin_system_call()
            output: bytes = super().system_call(call, data)
            recorder.end_system_call(call, data, output)
            return output

    return TracedMachine


class _TracedInstructions(dict[int, Instruction]):
    """The wrapped instructions of a fork by opcode; for opcodes without an instruction, what fails."""

    def __init__(self, confined: Confined, recorder: Recorder) -> None:
        own = instruction_set(confined.fork.added_instructions)
        operands, results = own.operands, own.results
        places = {added.opcode: added.places for added in confined.fork.added_instructions if added.places}

        def traced(opcode: int, instruction: Any) -> Instruction:
            if opcode in places:
                return _traced_move(opcode, instruction, places[opcode], recorder)
            words = int(operands[opcode]), int(results[opcode])
            return _traced(opcode, instruction, words, recorder, confined.watch)

        super().__init__(
            {opcode: traced(opcode, instruction) for opcode, instruction in instructions(confined.fork).items()}
        )
        self._traced = traced

    def __missing__(self, opcode: int) -> Instruction:
        self[opcode] = self._traced(opcode, InvalidOpcode(opcode))
        return self[opcode]


def _traced(opcode: int, instruction: Any, words: tuple[int, int], recorder: Recorder, watch: Watch) -> Instruction:
    """The wrapper of one instruction; ``words`` are those that it reads from the stack and writes there."""
    if opcode in CREATIONS:
        instruction = _with_address_hashes(instruction, recorder)
    if opcode in OPENERS:
        traced = _traced_call(opcode, instruction, words[0], recorder)
    elif is_dup(opcode):
        traced = _traced_dup(opcode, instruction, recorder)
    elif is_swap(opcode):
        traced = _traced_swap(opcode, instruction, recorder)
    elif not isinstance(instruction, _FastOpcode):
        traced = _traced_object(opcode, instruction, words, recorder)
    else:
        traced = _traced_function(opcode, instruction, words, recorder)
    if opcode in _JUMPS:
        return _with_flush(traced, recorder, watch)
    if opcode == _KECCAK256:
        return _with_hash(traced, recorder)
    if opcode == _SELFDESTRUCT:
        return _with_creation_read(traced, recorder)
    return traced


def _charge(computation: Any, cost: int, name: str) -> None:
    """Take gas that is not there: py-evm's own error."""
    computation.consume_gas(cost, name)
    raise AssertionError(f"{name} was to run out of gas")


# In the wrappers below, `record` takes the five columns of a step. The program counter is behind the opcode already.
# The operands are a slice of the stack from its top downwards; of a stack too short it takes what there is.


def _traced_function(opcode: int, instruction: _FastOpcode, words: tuple[int, int], recorder: Recorder) -> Instruction:
    """An instruction of a fixed cost and a function that does the rest."""
    record, operands, results = (
        recorder.steps.rows.extend,
        recorder.operands.values.extend,
        recorder.results.values.append,
    )
    cost, run, name = instruction.gas_cost, instruction.logic_fn, instruction.mnemonic
    below = -words[0] - 1

    def nothing(computation: Any) -> None:
        meter = computation._gas_meter
        gas = meter.gas_remaining
        stack = computation.stack_values
        record((computation.code.program_counter - 1, gas, len(stack), len(computation._memory._bytes), opcode))
        if cost > gas:
            _charge(computation, cost, name)
        meter.gas_remaining = gas - cost
        run(computation)

    def result(computation: Any) -> None:
        meter = computation._gas_meter
        gas = meter.gas_remaining
        stack = computation.stack_values
        record((computation.code.program_counter - 1, gas, len(stack), len(computation._memory._bytes), opcode))
        if cost > gas:
            _charge(computation, cost, name)
        meter.gas_remaining = gas - cost
        run(computation)
        results(stack[-1])

    def operands_only(computation: Any) -> None:
        meter = computation._gas_meter
        gas = meter.gas_remaining
        stack = computation.stack_values
        record((computation.code.program_counter - 1, gas, len(stack), len(computation._memory._bytes), opcode))
        operands(stack[:below:-1])
        if cost > gas:
            _charge(computation, cost, name)
        meter.gas_remaining = gas - cost
        run(computation)

    def operands_and_result(computation: Any) -> None:
        meter = computation._gas_meter
        gas = meter.gas_remaining
        stack = computation.stack_values
        record((computation.code.program_counter - 1, gas, len(stack), len(computation._memory._bytes), opcode))
        operands(stack[:below:-1])
        if cost > gas:
            _charge(computation, cost, name)
        meter.gas_remaining = gas - cost
        run(computation)
        results(stack[-1])

    if words[0]:
        return operands_and_result if words[1] else operands_only
    return result if words[1] else nothing


def _traced_dup(opcode: int, instruction: _FastOpcode, recorder: Recorder) -> Instruction:
    record, operand = recorder.steps.rows.extend, recorder.operands.values.append
    cost, run, name = instruction.gas_cost, instruction.logic_fn, instruction.mnemonic
    depth = opcode - DUP1 + 1

    def dup(computation: Any) -> None:
        meter = computation._gas_meter
        gas = meter.gas_remaining
        stack = computation.stack_values
        record((computation.code.program_counter - 1, gas, len(stack), len(computation._memory._bytes), opcode))
        if len(stack) >= depth:
            operand(stack[-depth])
        if cost > gas:
            _charge(computation, cost, name)
        meter.gas_remaining = gas - cost
        run(computation)

    return dup


def _traced_swap(opcode: int, instruction: _FastOpcode, recorder: Recorder) -> Instruction:
    record, operands = recorder.steps.rows.extend, recorder.operands.values.extend
    cost, run, name = instruction.gas_cost, instruction.logic_fn, instruction.mnemonic
    depth = opcode - SWAP1 + 1

    def swap(computation: Any) -> None:
        meter = computation._gas_meter
        gas = meter.gas_remaining
        stack = computation.stack_values
        record((computation.code.program_counter - 1, gas, len(stack), len(computation._memory._bytes), opcode))
        if len(stack) > depth:
            operands((stack[-1], stack[-1 - depth]))
        if cost > gas:
            _charge(computation, cost, name)
        meter.gas_remaining = gas - cost
        run(computation)

    return swap


def _traced_move(
    opcode: int, instruction: _FastOpcode, places: tuple[tuple[int, ...] | None, ...], recorder: Recorder
) -> Instruction:
    """An instruction that moves words by the byte behind it; of one that fails no operands are recorded."""
    record, operands = recorder.steps.rows.extend, recorder.operands.values.extend
    cost, run, name = instruction.gas_cost, instruction.logic_fn, instruction.mnemonic

    def move(computation: Any) -> None:
        meter, code, stack = computation._gas_meter, computation.code, computation.stack_values
        gas, pc, height = meter.gas_remaining, code.program_counter, len(stack)
        record((pc - 1, gas, height, len(computation._memory._bytes), opcode))
        if cost > gas:
            _charge(computation, cost, name)
        meter.gas_remaining = gas - cost
        chosen = places[code[pc] if pc < len(code) else 0] or ()
        words = [stack[-1 - place] for place in chosen if place < height]
        run(computation)
        operands(words)

    return move


def _traced_object(opcode: int, instruction: Instruction, words: tuple[int, int], recorder: Recorder) -> Instruction:
    """An instruction that charges its cost itself."""
    record, operands, results = (
        recorder.steps.rows.extend,
        recorder.operands.values.extend,
        recorder.results.values.append,
    )
    below, has_result = -words[0] - 1, bool(words[1])

    def run(computation: Any) -> None:
        stack = computation.stack_values
        gas = computation._gas_meter.gas_remaining
        record((computation.code.program_counter - 1, gas, len(stack), len(computation._memory._bytes), opcode))
        operands(stack[:below:-1])
        instruction(computation)
        if has_result:
            results(stack[-1])

    return run


def _traced_call(opcode: int, instruction: Instruction, words: int, recorder: Recorder) -> Instruction:
    """An instruction that opens a frame: the steps of that frame come before its result."""
    steps = recorder.steps
    record, operands = recorder.steps.rows.extend, recorder.operands.values.extend
    call_step, call_result = recorder.call_steps.append, recorder.call_results.values.append
    below = -words - 1

    def call(computation: Any) -> None:
        stack = computation.stack_values
        gas = computation._gas_meter.gas_remaining
        record((computation.code.program_counter - 1, gas, len(stack), len(computation._memory._bytes), opcode))
        operands(stack[:below:-1])
        step = steps.flushed + len(steps.rows) // STEP_COLUMNS - 1
        instruction(computation)
        call_step(step)
        call_result(stack[-1])

    return call


def _with_flush(traced: Instruction, recorder: Recorder, watch: Watch) -> Instruction:
    """A jump, before which the recorder may be flushed and the limits are checked: no loop goes without one."""
    rows = recorder.steps.rows
    limit = STEPS_PER_CHUNK * STEP_COLUMNS

    def jump(computation: Any) -> Any:
        if len(rows) > limit:
            watch.check()
            recorder.flush()
        traced(computation)

    return jump


def _with_hash(traced: Instruction, recorder: Recorder) -> Instruction:
    def keccak256(computation: Any) -> Any:
        accesses = recorder.memory_accesses
        traced(computation)
        recorder.hash_of_memory(accesses, computation.stack_values[-1])

    return keccak256


def _with_creation_read(traced: Instruction, recorder: Recorder) -> Instruction:
    """SELFDESTRUCT asks whether its account was created by the same transaction (EIP-6780)."""

    def selfdestruct(computation: Any) -> Any:
        try:
            traced(computation)
        except Halt:
            address = computation.msg.storage_address
            if not recorder.known(StateKind.CREATED, address):
                recorder.read(StateKind.CREATED, address, 0)
            raise

    return selfdestruct


def _with_address_hashes(instruction: Any, recorder: Recorder) -> Any:
    """A creation that tells which hashes its new address takes."""

    class Creation(type(instruction)):  # type: ignore[misc]
        def generate_contract_address(self, stack_data: Any, call_data: bytes, computation: Any) -> bytes:
            address: bytes = super().generate_contract_address(stack_data, call_data, computation)
            creator = computation.msg.storage_address
            if stack_data.salt is None:
                nonce = recorder.known(StateKind.NONCE, creator)
                assert nonce is not None
                content, purpose = create_address_input(creator, nonce - 1), HashPurpose.CREATE_ADDRESS
            else:
                initcode_hash = keccak(call_data)
                recorder.hash(HashPurpose.INITCODE, call_data, initcode_hash)
                recorder.code(call_data)
                content = b"\xff" + creator + stack_data.salt.to_bytes(32, "big") + initcode_hash
                purpose = HashPurpose.CREATE2_ADDRESS
            recorder.hash(purpose, content, keccak(content))
            return address

    return Creation()
