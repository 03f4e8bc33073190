"""py-evm's virtual machine of a fork, confined to a batch: within limits, and without a look at anything outside.

The classes are made anew for every execution, by py-evm's own way of extension: subclasses of its virtual machine,
state and computation that name each other in class attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from inspect import unwrap
from typing import Any

from eth.constants import BLANK_ROOT_HASH, CREATE_CONTRACT_ADDRESS
from eth.exceptions import InsufficientStack, InvalidInstruction, OutOfGas
from eth.vm.forks.shanghai.computation import ShanghaiComputation
from eth.vm.memory import Memory
from eth.vm.message import Message
from eth.vm.opcode import as_opcode
from eth.vm.opcode_values import JUMP, JUMPI
from eth_typing import Address

from executor.account_database import InsertingAccountDB
from executor.batch import MAX_ANCESTORS
from executor.blobs import blob_base_fee
from executor.chain import Ancestors
from executor.errors import BatchError, LimitExceeded
from executor.forks import SYSTEM_ADDRESS, SYSTEM_CALL_GAS, AddedInstruction, Fork, SystemCall
from executor.limits import Watch
from executor.opcodes import CREATIONS
from executor.precompiles import precompiles_of
from executor.requests import deposit_request
from executor.transactions import (
    DELEGATION_PREFIX,
    GAS_AUTHORIZATION,
    GAS_INITCODE_WORD,
    MAX_NONCE,
    Authorization,
    delegates,
    floor_gas,
)

JUMPS_PER_CHECK = 2_048  # between two jumps lies no more than the code of one contract: some 50,000 instructions
LARGE_EXTENSION = 2**20  # bytes of EVM memory beyond which the memory limit is checked before they are allocated
MAX_EVM_MEMORY = 2**32 - 1  # bytes of one frame; more costs 35,000,000,000,000 gas
REFUND_AUTHORIZATION = GAS_AUTHORIZATION - 12_500  # EIP-7702: where the authority exists already

Instruction = Callable[[Any], Any]


class Confined:
    """What a machine knows beyond py-evm: its fork, and the limits and ancestors of the execution."""

    def __init__(self, fork: Fork, watch: Watch, ancestors: Ancestors) -> None:
        self.fork = fork
        self.watch = watch
        self.ancestors = ancestors


def confined_machine(confined: Confined) -> Any:
    """The virtual machine class of a fork, within limits.

    Its blocks raise ``LimitExceeded`` beyond the limits, and ``BatchError`` where they need the hash of an ancestor
    that the batch does not give.
    """
    machine = confined.fork.vm_class()
    state = machine.get_state_class()
    computation, executor = state.computation_class, state.transaction_executor_class
    fork, watch, plain = confined.fork, confined.watch, instructions(confined.fork)

    class ConfinedMemory(Memory):
        def extend(self, start_position: int, size: int) -> None:
            if start_position + size - len(self._bytes) > LARGE_EXTENSION:
                if start_position + size > MAX_EVM_MEMORY:
                    raise LimitExceeded("memory", MAX_EVM_MEMORY, "bytes of EVM memory")
                watch.check_memory(start_position + size)
            super().extend(start_position, size)

    class ConfinedComputation(computation):  # type: ignore[misc, valid-type]
        opcodes = plain | {jump: _watched(plain[jump], watch) for jump in (JUMP, JUMPI)}
        memory_class = ConfinedMemory
        _precompiles = precompiles_of(fork, computation.get_precompiles())

        def __init__(self, state: Any, message: Any, context: Any) -> None:
            if context.origin == SYSTEM_ADDRESS:
                # py-evm warms the coinbase for whatever runs, EIP-3651 for transactions alone.
                super(ShanghaiComputation, self).__init__(state, message, context)  # type: ignore[misc]
            else:
                super().__init__(state, message, context)
            self._memory = self.memory_class()

        @classmethod
        def apply_computation(cls, *arguments: Any, **named: Any) -> Any:
            watch.check()
            return super().apply_computation(*arguments, **named)

        def get_self_destruct_beneficiaries(self) -> list[Any]:
            # py-evm asks every computation of a transaction in turn (EIP-161), and each one would answer for all that
            # it called: in time that grows with the square of the depth.
            return [] if self.is_error else list(dict.fromkeys(self.beneficiaries))

        @classmethod
        def consume_initcode_gas_cost(cls, computation: Any) -> None:
            """The words of a transaction's initcode are intrinsic gas (EIP-3860): the message comes without it."""

    class ConfinedExecutor(executor):  # type: ignore[misc, valid-type]
        def build_evm_message(self, transaction: Any) -> Any:
            message = super().build_evm_message(transaction)
            if message.is_create:
                message.gas -= GAS_INITCODE_WORD * -(-len(message.code) // 32)
            return message

        @staticmethod
        def calc_data_floor_gas(transaction: Any, gas_used: int, gas_refund: int) -> int:
            """Gas that is used beyond that of the execution, up to the floor of EIP-7623."""
            return max(0, floor_gas(transaction.data, fork.floor_gas_per_token) - (gas_used - gas_refund))

    class ConfinedState(state):  # type: ignore[misc, valid-type]
        account_db_class = InsertingAccountDB
        computation_class = ConfinedComputation
        transaction_executor_class = ConfinedExecutor
        calls_system = False  # there are no warm precompiles in a system call

        def get_ancestor_hash(self, block_number: int) -> bytes:
            distance = self.block_number - block_number
            if not 0 < distance <= MAX_ANCESTORS:
                return b""
            return confined.ancestors.hash_of(block_number)

        def is_address_warm(self, address: Any) -> bool:
            if self.calls_system:
                return bool(self._account_db.is_address_warm(address))
            return bool(super().is_address_warm(address))

        @property
        def blob_base_fee(self) -> int:
            return blob_base_fee(self.execution_context.excess_blob_gas, fork.blobs)

        def process_set_code_authorizations(self, transaction: Any) -> int:
            """Give accounts the codes that they want to have; the refund (EIP-7702, ``set_delegation``).

            py-evm passes over whatever error comes up here, also what a witness lacks.
            """
            refund = 0
            for item in transaction.authorization_list:
                authorization = Authorization(
                    item.chain_id, bytes(item.address), item.nonce, item.y_parity, item.r, item.s
                )
                if authorization.chain_id not in (0, self.execution_context.chain_id):
                    continue
                if authorization.nonce > MAX_NONCE or (signer := authorization.authority) is None:
                    continue
                authority = Address(signer)
                self.mark_address_warm(authority)
                code = self.get_code(authority)
                if not gets_code(code, self.get_nonce(authority), authorization):
                    continue
                if self.account_exists(authority):
                    refund += REFUND_AUTHORIZATION
                given = any(authorization.address)
                self.set_code(authority, DELEGATION_PREFIX + authorization.address if given else b"")
                self.increment_nonce(authority)
            return refund

        def has_code_or_nonce(self, address: Any) -> bool:
            # py-evm asks this for collisions of new contracts only, and does not know the rule of EIP-7610 yet.
            return super().has_code_or_nonce(address) or self.has_storage(address)

        def has_storage(self, address: Any) -> bool:
            """Whether the storage of an account is not empty, without the changes of the block that runs.

            Contracts that a block makes have a nonce, so that for collisions these changes do not matter.
            """
            return bool(self._account_db._get_storage_root(address) != BLANK_ROOT_HASH)

    class ConfinedMachine(machine):  # type: ignore[misc, valid-type]
        _state_class = ConfinedState

        @classmethod
        def finalize_gas_used(cls, transaction: Any, computation: Any) -> int:
            # py-evm takes the floor of EIP-7623 for gas of the execution, a part of which it refunds.
            used: int = transaction.gas - computation.get_gas_remaining()
            refund: int = min(computation.get_gas_refund(), used // fork.max_refund_quotient)
            return used - refund + int(computation.data_floor_gas)

        def validate_block_blobs(self, block: Any) -> None:
            """What py-evm checks here by its own schedule has been made by that of the fork."""

        def block_preprocessing(self, block: Any) -> None:
            # py-evm writes into the storage of the system contracts here. The calls that EIP-4788 and EIP-2935 demand
            # have the same effect if the contracts are those of the EIPs, and are executions that can be traced.
            for call in fork.block_start_calls:
                self.system_call(call, getattr(block.header, call.argument) if call.argument else b"")

        def block_postprocessing(self, block: Any) -> Any:
            """py-evm makes the requests of the block here; see `make_requests`."""
            return block

        def make_requests(self, receipts: Sequence[Any]) -> list[bytes]:
            """The requests of the block (EIP-7685) from its receipts, and by calls in the state after it.

            Raises:
                BatchError: a log that is laid out as no deposit, or a call that fails.
            """
            requests = []
            if fork.deposits is not None:
                logs = (log for receipt in receipts for log in receipt.logs)
                requests.append(deposit_request(fork.deposits, logs))
            for call in fork.block_end_calls:
                output = self.system_call(call, b"")
                if call.request_type is not None:
                    requests.append(bytes([call.request_type]) + output)
            return requests

        def system_call(self, call: SystemCall, data: bytes) -> bytes:
            """Call a system contract as EIP-4788 says: without a transaction, its gas counted nowhere.

            Raises:
                BatchError: it has to return a request, but is not there or fails (EIP-7002, EIP-7251).
            """
            state = self.state
            code = state.get_code(Address(call.address))
            if not code:
                if call.request_type is not None:
                    raise BatchError(f"no system contract at 0x{call.address.hex()}")
                return b""
            state.lock_changes()
            caller, contract = Address(SYSTEM_ADDRESS), Address(call.address)
            # As the recipient of a transaction (EIP-2929); the execution specs begin without any warm account.
            state.mark_address_warm(contract)
            state.calls_system = True
            message = Message(SYSTEM_CALL_GAS, contract, caller, 0, data, code, should_transfer_value=False)
            context = state.get_transaction_context_class()(gas_price=state.base_fee, origin=caller)
            finished = state.computation_class.apply_message(state, message, context)
            if finished.is_error and call.request_type is not None:
                raise BatchError(f"the call of the system contract 0x{call.address.hex()} failed: {finished.error}")
            state.calls_system = False
            state.clear_transient_storage()
            for account in finished.get_accounts_for_deletion():
                state.delete_account(account)
            for account in sorted(set(_touched(finished))):
                if state.account_exists(account) and state.account_is_empty(account):
                    state.delete_account(account)
            return bytes(finished.output)

    return ConfinedMachine


def _touched(computation: Any) -> Iterator[Address]:
    """The accounts that a system call has touched: those that are empty are deleted then (EIP-161).

    What fails touches none. py-evm's own list always has the coinbase, too, which is paid by transactions alone.
    """
    if computation.is_error:
        return
    yield from computation.get_self_destruct_beneficiaries()  # also of calls within
    if computation.msg.to != CREATE_CONTRACT_ADDRESS:
        yield computation.msg.to
    for call in computation.children:
        yield from _touched(call)


def gets_code(code: bytes, nonce: int, authorization: Authorization) -> bool:
    """Whether an account with this code and nonce, which has signed an authorization, gets the code (EIP-7702)."""
    return (not code or delegates(code)) and nonce == authorization.nonce


def instructions(fork: Fork) -> dict[int, Instruction]:
    """The instructions of a fork by opcode: py-evm's without the warnings it puts around some, and with its one mistake
    about the order of checks put right, and those that it lacks.
    """
    opcodes = fork.vm_class().get_state_class().computation_class.opcodes
    plain = {opcode: unwrap(instruction) for opcode, instruction in opcodes.items()}
    added = {
        instruction.opcode: as_opcode(
            _moving(instruction) if instruction.places else _ADDED[instruction.name], instruction.name, instruction.gas
        )
        for instruction in fork.added_instructions
    }
    return plain | added | {opcode: _bounded(plain[opcode], fork.max_initcode_bytes) for opcode in CREATIONS}


def _count_leading_zeros(computation: Any) -> None:
    """CLZ (EIP-7939)."""
    computation.stack_push_int(256 - computation.stack_pop1_int().bit_length())


_ADDED: dict[str, Instruction] = {"CLZ": _count_leading_zeros}


def _moving(instruction: AddedInstruction) -> Instruction:
    """What an instruction does that moves words by the byte behind it, which is 0 behind the end of the code."""

    def move(computation: Any) -> None:
        (byte,) = computation.code.read(1) or b"\0"
        places, words = instruction.places[byte], computation._stack.values
        if places is None:
            raise InvalidInstruction(f"{instruction.name} with {byte:#04x} behind it")
        if max(places) >= len(words):
            raise InsufficientStack(f"{instruction.name} of a word {max(places)} below the top of {len(words)}")
        if len(places) == 1:
            computation.stack_dup(1 + places[0])
        else:
            one, other = (-1 - place for place in places)
            words[one], words[other] = words[other], words[one]

    return move


def _bounded(instruction: Any, max_initcode_bytes: int) -> Instruction:
    """A creation that halts exceptionally for initcode beyond EIP-3860's limit, whatever else would stop it.

    py-evm 0.12.1b1 looks at the size when the frame is about to open: where balance, depth, nonce or a collision keep
    it from opening, the creation goes on with 0. The execution specs (``generic_create``) look at it right after the
    gas, which is the same halt.
    """

    class BoundedCreation(type(instruction)):  # type: ignore[misc]
        def get_gas_cost(self, data: Any) -> int:
            if data.memory_length > max_initcode_bytes:
                raise OutOfGas(f"initcode of {data.memory_length} bytes, more than {max_initcode_bytes} (EIP-3860)")
            cost: int = super().get_gas_cost(data)
            return cost

    return BoundedCreation()


def _watched(instruction: Instruction, watch: Watch) -> Instruction:
    """``instruction`` with a check of the limits now and then."""
    left = JUMPS_PER_CHECK

    def watched(computation: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            left = JUMPS_PER_CHECK
            watch.check()
        return instruction(computation)

    watched.mnemonic = getattr(instruction, "mnemonic", "")  # type: ignore[attr-defined] # py-evm's log asks for it
    return watched
