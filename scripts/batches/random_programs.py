"""Random batches of programs that call each other, for hypothesis.

A program is a list of statements that mostly leave the stack as they found it, so that it usually runs for a while
before it fails, if it fails. What statements work on is drawn from few contracts, slots and memory places, so that
programs meet, and from values around the edges of the EVM's rules. A batch is of any fork: it has this fork's
instructions and precompiled contracts, and, where accounts can delegate (EIP-7702), set-code transactions and accounts
that have delegated.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any, TypeVar

from eth_account import Account
from eth_utils.address import to_canonical_address
from eth_utils.crypto import keccak
from hypothesis import strategies as st
from rlp import encode

from executor.forks import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE, CANCUN, FORKS, Fork
from executor.opcodes import NAMES, OPCODES, instruction_set
from executor.system_contracts import allowed, system_contracts
from executor.transactions import DELEGATION_PREFIX, GAS_AUTHORIZATION
from scripts.batches.fork_vectors import vectors
from scripts.batches.precompiles import Vector

T = TypeVar("T")

CHAIN_ID = 1337
BLOCK_GAS_LIMIT = 30_000_000
BASE_FEE = 1_000  # wei per gas, of the genesis
ETHER = 10**18  # wei
FIRST_NUMBER = 300  # of the genesis: BLOCKHASH reaches further back than the batch, and has an end
KEYS = [bytes([0x11 * (1 + number)]) * 32 for number in range(2)]
WALLETS = [to_canonical_address(Account.from_key(key).address) for key in KEYS]
CONTRACTS = [bytes([0xC1 + number]) * 20 for number in range(4)]
OBSERVER = bytes.fromhex("0b" * 20)
COINBASE = bytes.fromhex("cb" * 20)
FRESH = bytes.fromhex("fe" * 20)  # an address that the genesis does not hold

# Where accounts can delegate: who may sign authorizations, the wallets last, and accounts of which nobody has the key.
SIGNER_KEYS = [*(bytes([0x61 + number]) * 32 for number in range(3)), *KEYS]
SIGNERS = [to_canonical_address(Account.from_key(key).address) for key in SIGNER_KEYS]
POINTERS = [bytes([0xD1 + number]) * 20 for number in range(2)]

#: Opcodes by their names, and names by opcodes, those of later forks among them.
ALL_OPCODES = {**OPCODES, **{added.name: added.opcode for fork in FORKS.values() for added in fork.added_instructions}}
ALL_NAMES: dict[int, str] = {opcode: name for name, opcode in ALL_OPCODES.items()}


def op(*names: str) -> bytes:
    """Instructions without immediate data."""
    return bytes(ALL_OPCODES[name] for name in names)


def push(value: int) -> bytes:
    """The shortest push of a word."""
    size = (value.bit_length() + 7) // 8
    return bytes([OPCODES["PUSH0"] + size]) + value.to_bytes(size, "big")


def created_address(creator: bytes, nonce: int) -> bytes:
    """Address of a contract made by CREATE (yellow paper, section 7)."""
    return keccak(encode([creator, nonce]))[12:]


@dataclass(frozen=True)
class Branch:
    """``body`` runs if ``condition`` leaves something other than 0."""

    condition: bytes
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Loop:
    """``body`` runs ``rounds`` times, if it leaves the stack as it was."""

    rounds: int
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Skip:
    """``body`` is jumped over."""

    body: tuple[Statement, ...]


Statement = bytes | Branch | Loop | Skip


def assemble(statements: Iterable[Statement], origin: int = 0) -> bytes:
    """Code of statements that begin at place ``origin`` of the whole code."""
    code = bytearray()
    for statement in statements:
        here = origin + len(code)
        match statement:
            case bytes():
                code += statement
            case Branch(condition, body):
                head = condition + op("ISZERO")
                inner = assemble(body, here + len(head) + 4)
                code += head + _push_place(here + len(head) + 4 + len(inner)) + op("JUMPI") + inner + op("JUMPDEST")
            case Skip(body):
                inner = assemble(body, here + 4)
                code += _push_place(here + 4 + len(inner)) + op("JUMP") + inner + op("JUMPDEST")
            case Loop(rounds, body):
                head = push(rounds)
                start = here + len(head)
                inner = assemble(body, start + 1)
                code += head + op("JUMPDEST") + inner
                code += push(1) + op("SWAP1", "SUB", "DUP1") + _push_place(start) + op("JUMPI", "POP")
    return bytes(code)


def _push_place(place: int) -> bytes:
    return bytes([OPCODES["PUSH2"]]) + place.to_bytes(2, "big")


# Calls the contract that the first word of the calldata names, with the rest of the calldata and the same value, and
# writes down what a caller sees of it: success, size and hash of the return data, gas left.
OBSERVER_CODE = (
    push(32) + op("CALLDATASIZE", "SUB", "DUP1") + push(32) + push(0) + op("CALLDATACOPY")
    + push(0) + push(0) + op("DUP3") + push(0) + op("CALLVALUE") + push(0) + op("CALLDATALOAD", "GAS", "CALL")
    + push(0) + op("SSTORE", "RETURNDATASIZE") + push(1) + op("SSTORE")
    + op("RETURNDATASIZE") + push(0) + push(0) + op("RETURNDATACOPY")
    + op("RETURNDATASIZE") + push(0) + op("KECCAK256") + push(2) + op("SSTORE", "GAS") + push(3) + op("SSTORE")
    + op("RETURNDATASIZE") + push(0) + op("RETURN")
)  # fmt: skip

# fmt: off
NULLARY = [
    "ADDRESS", "ORIGIN", "CALLER", "CALLVALUE", "CALLDATASIZE", "CODESIZE", "GASPRICE", "RETURNDATASIZE", "COINBASE",
    "TIMESTAMP", "NUMBER", "PREVRANDAO", "GASLIMIT", "CHAINID", "SELFBALANCE", "BASEFEE", "BLOBBASEFEE", "PC", "MSIZE",
    "GAS",
]
OPERATIONS = [
    "ISZERO", "NOT", "ADD", "MUL", "SUB", "DIV", "SDIV", "MOD", "SMOD", "EXP", "SIGNEXTEND", "LT", "GT", "SLT", "SGT",
    "EQ", "AND", "OR", "XOR", "BYTE", "SHL", "SHR", "SAR", "ADDMOD", "MULMOD",
]
# fmt: on
INVALID = bytes([0xFE])  # an opcode that no instruction has

EDGES = sorted(
    {0, 1, 2, 3, 5, 7, 8, 30, 31, 32, 33, 63, 64, 127, 128, 255, 256, 257, 1024, 2**16}
    | {2**bits + shift for bits in (31, 32, 63, 64, 128, 160, 255) for shift in (-1, 0, 1)}
    | {2**256 - distance for distance in (1, 2, 3, 31, 32, 33, 256)}
)
PLACES = [0, 0, 0, 1, 31, 32, 33, 64, 96, 200]  # in memory, calldata, code
FAR_PLACES = [
    1023,
    1024,
    4096,
    2**16,
    2**20,
    2**31,
    2**32 - 1,
    2**32,
    2**64 - 1,
    2**64,
    2**255,
    2**256 - 32,
    2**256 - 1,
]
SIZES = [0, 0, 1, 2, 31, 32, 32, 33, 64, 65, 100]
SLOTS = range(5)
CALL_GAS = [0, 1, 99, 100, 700, 2_299, 2_300, 2_301, 2_600, 5_000, 9_000, 25_000, 50_000, 2**64 - 1, 2**256 - 1]
MANY = [1, 2, 15, 16, 17, 1_022, 1_023, 1_024, 1_025]  # words on a stack that holds 1,024
BAD_PLACES = [1, 2, 4, 2**16 - 1, 2**16, 2**64, 2**256 - 1]
MAX_INITCODE, MAX_CODE = 49_152, 24_576  # EIP-3860, EIP-170
_LAST_NONCE = 2**64 - 1  # which is not counted further (EIP-2681)

BLOCK_NUMBERS = [0, 43, 44, 45, 46, 298, 299, 300, 301, 302, 2**64]  # the batch's blocks are 301 and 302
LITTLE_GAS = [0, 1, 100, 2_300, 5_000, 10_000, 22_100, 30_000, 60_000]
PLENTY_OF_GAS = [200_000, 400_000, 800_000]

STATEMENTS = 12  # at most, of a program
BLOCKS, TRANSACTIONS = 2, 3  # of a batch and of a block, at most

CREATED = [
    *(created_address(contract, 1) for contract in CONTRACTS[:2]),
    *(created_address(wallet, 0) for wallet in WALLETS),
]


def precompiles_and_next(fork: Fork) -> list[bytes]:
    """Addresses of the precompiled contracts of a fork, and the first one that is none."""
    free = next(address for n in count(1) if (address := n.to_bytes(20, "big")) not in fork.precompiles)
    return [*sorted(fork.precompiles), free]


def added_operations(fork: Fork) -> list[str]:
    """Names of the instructions that forks after Cancun have added up to this one, of those that take words only."""
    return [added.name for added in fork.added_instructions if not added.places]


@cache
def addresses(fork: Fork) -> tuple[bytes, ...]:
    """Addresses that programs and transactions of a fork name."""
    return (
        *CONTRACTS,
        *CONTRACTS,
        *WALLETS,
        OBSERVER,
        COINBASE,
        FRESH,
        BEACON_ROOTS_ADDRESS,
        bytes(20),
        *precompiles_and_next(fork),
        *(delegating(fork) * 2),
        *CREATED,
    )


def delegating(fork: Fork) -> tuple[bytes, ...]:
    """Accounts that may delegate, in forks in which any can."""
    return (*SIGNERS, *POINTERS) if fork.sets_codes else ()


def delegation(address: bytes) -> str:
    """The code that delegates to an account."""
    return _hex(DELEGATION_PREFIX + address)


def intrinsic_gas(request: Mapping[str, Any]) -> int:
    """Gas of a transaction before any code runs (EIP-2028, EIP-2930, EIP-3860, EIP-7702)."""
    data = request["data"]
    gas = 21_000 + sum(16 if byte else 4 for byte in bytes.fromhex(data[2:]))
    if "to" not in request:
        gas += 32_000 + 2 * -(-(len(data) // 2 - 1) // 32)
    for entry in request.get("accessList", []):
        gas += 2_400 + 1_900 * len(entry["storageKeys"])
    return gas + GAS_AUTHORIZATION * len(request.get("authorizationList", []))


def in_memory(content: bytes, start: int = 0) -> bytes:
    """Write bytes to memory."""
    return b"".join(
        push(int.from_bytes(content[place : place + 32].ljust(32, b"\0"), "big")) + push(start + place) + op("MSTORE")
        for place in range(0, len(content), 32)
    )


class Choice:
    """Random choices of one part of a batch of a fork. Parts are independent: leaving one out changes no other."""

    def __init__(self, seed: str, fork: Fork = CANCUN) -> None:
        self._random = random.Random(seed)
        self.fork = fork
        self._added = added_operations(fork)
        self._operands = instruction_set(fork.added_instructions).operands

    def of(self, items: Sequence[T]) -> T:
        return self._random.choice(items)

    def below(self, end: int) -> int:
        return self._random.randrange(end)

    def one_in(self, number: int) -> bool:
        return not self._random.randrange(number)

    def random_bytes(self, size: int) -> bytes:
        return self._random.randbytes(size)

    # Words, each pushed by code.

    def edge(self) -> bytes:
        return push(self.of(EDGES))

    def place(self) -> bytes:
        return push(self.of(PLACES))

    def far_place(self) -> bytes:
        return push(self.of(FAR_PLACES))

    def size(self) -> bytes:
        return push(self.of(SIZES))

    def slot(self) -> bytes:
        return push(self.of(SLOTS))

    def address(self) -> bytes:
        return push(int.from_bytes(self.of(addresses(self.fork)), "big"))

    def flag(self) -> bytes:
        return self.of([op("CALLVALUE"), op("CALLDATASIZE"), op("RETURNDATASIZE"), push(0), push(1), push(1)])

    def call_gas(self) -> bytes:
        return self.of([op("GAS"), push(30_000), push(60_000), push(self.of(CALL_GAS))])

    def call_value(self) -> bytes:
        return self.of([push(0), push(0), push(0), push(1), push(1), op("SELFBALANCE"), push(10**30)])

    def reading(self) -> bytes:
        """Something read from the state, memory, calldata or the block."""
        match self.below(9):
            case 0:
                return self.place() + op("CALLDATALOAD")
            case 1:
                return self.place() + op("MLOAD")
            case 2 | 3:
                return self.slot() + op(self.of(["SLOAD", "SLOAD", "TLOAD"]))
            case 4 | 5:
                return self.address() + op(self.of(["BALANCE", "EXTCODESIZE", "EXTCODEHASH"]))
            case 6:
                return push(self.of(BLOCK_NUMBERS)) + op("BLOCKHASH")
            case 7:
                return push(self.of([0, 1, 2, 2**256 - 1])) + op("BLOBHASH")
            case _:
                return self.size() + self.place() + op("KECCAK256")

    def atom(self) -> bytes:
        match self.below(6):
            case 0 | 1:
                return self.edge()
            case 2:
                size = 1 + self.below(32)
                return bytes([OPCODES["PUSH0"] + size]) + self.random_bytes(size)
            case 3:
                return op(self.of(NULLARY))
            case _:
                return self.reading()

    def expression(self, depth: int = 2) -> bytes:
        """Code that leaves one word."""
        if not depth or self.one_in(4):
            return self.atom()
        name = self.of([*OPERATIONS, *self._added * 3])
        return b"".join(self.expression(depth - 1) for _ in range(self._operands[ALL_OPCODES[name]])) + op(name)

    def sink(self) -> bytes:
        """What happens to a word on the stack."""
        match self.below(8):
            case 0 | 1:
                return op("POP")
            case 2 | 3:
                return self.slot() + op("SSTORE")
            case 4:
                return self.slot() + op("TSTORE")
            case 5 | 6:
                return self.place() + op(self.of(["MSTORE", "MSTORE8"]))
            case _:
                return b""  # left there

    # Statements.

    def calculation(self) -> bytes:
        return self.expression() + self.sink()

    def store(self) -> bytes:
        """Few values into few slots: what SSTORE costs and refunds depends on what was there (EIP-2200, EIP-3529)."""
        value = push(self.of([0, 0, 1, 2, 2**256 - 1]))
        return value + self.slot() + op(self.of(["SSTORE", "SSTORE", "SSTORE", "TSTORE"]))

    def log(self) -> bytes:
        topics = self.below(5)
        return b"".join(self.atom() for _ in range(topics)) + self.size() + self.place() + op(f"LOG{topics}")

    def copy(self) -> bytes:
        name = self.of(["CALLDATACOPY", "CODECOPY", "MCOPY", "MCOPY", "EXTCODECOPY"])
        address = self.address() if name == "EXTCODECOPY" else b""
        return self.size() + self.place() + self.place() + address + op(name)

    def return_data(self) -> bytes:
        return self.of(
            [
                op("RETURNDATASIZE") + push(0) + self.place() + op("RETURNDATACOPY"),
                op("RETURNDATASIZE") + push(0) + push(0) + op("RETURNDATACOPY", "RETURNDATASIZE") + push(0)
                + op("KECCAK256") + push(4) + op("SSTORE"),
                push(0) + op("RETURNDATASIZE") + push(0) + op("RETURNDATACOPY"),
            ]
        )  # fmt: skip

    def after_call(self) -> bytes:
        return self.sink() + (self.return_data() if self.one_in(2) else b"")

    def call(self) -> bytes:
        name = self.of(["CALL", "CALL", "CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
        value = self.call_value() if name in ("CALL", "CALLCODE") else b""
        ranges = self.size() + self.place() + self.size() + self.place()
        # Mostly contracts: precompiles take all the gas of a call with wrong input, and little runs after it.
        common = [*CONTRACTS, *delegating(self.fork)]
        address = self.address() if self.one_in(4) else push(int.from_bytes(self.of(common), "big"))
        return ranges + value + address + self.call_gas() + op(name) + self.after_call()

    def precompile_call(self) -> bytes:
        """A call of a precompiled contract with input that it takes, or nearly."""
        vector: Vector = self.of(vectors(self.fork))
        content = bytearray(vector.input)
        match self.below(6):
            case 0 if content:
                del content[self.below(len(content)) :]
            case 1:
                content += bytes(self.of([1, 31, 32, 64]))
            case 2 if content:
                content[self.below(len(content))] ^= self.of([1, 0x80, 0xFF])
        # The gas that it takes (of the unchanged input), one too little, and all there is.
        gas = self.of([op("GAS"), push(vector.gas), push(vector.gas + 1_000), push(max(vector.gas - 1, 0))])
        name = self.of(["CALL", "CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
        value = push(self.of([0, 0, 1])) if name in ("CALL", "CALLCODE") else b""
        ranges = push(self.of([0, 1, 32, 64, 128])) + push(self.of([0, 32, 64])) + push(len(content)) + push(0)
        call = ranges + value + push(vector.address) + gas + op(name)
        return in_memory(bytes(content)) + call + self.after_call()

    def stack_move(self) -> bytes:
        """A DUP or a SWAP of some depth on a stack of words that differ."""
        depth = 1 + self.below(16)
        if self.one_in(2):
            end = op(f"SWAP{depth}") + push(4) + op("SSTORE") + op("POP") * depth
            return b"".join(map(push, range(depth + 1))) + end
        end = op(f"DUP{depth}") + push(4) + op("SSTORE") + op("POP") * depth
        return b"".join(map(push, range(depth))) + end

    def initcode(self) -> bytes:
        """Code of a constructor: some statements, then the code of the contract, or something that is none."""
        before = b"".join(self.plain() for _ in range(self.below(3)))
        if self.one_in(10):
            before += self.risk()
        match self.below(6):
            case 0 | 1 | 2:
                runtime = b"".join(self.plain() for _ in range(self.below(3))) + self.end()
                if self.one_in(8):
                    runtime = b"\xef" + runtime  # EIP-3541
                return before + in_memory(runtime) + push(len(runtime)) + push(0) + op("RETURN")
            case 3:
                return before + self.size() + self.place() + op("RETURN")
            case 4:
                return before + push(self.of([MAX_CODE, MAX_CODE + 1])) + push(0) + op("RETURN")
            case _:
                return before + self.end()

    def creation(self) -> bytes:
        """A creation, and mostly a call of what it created."""
        code = self.initcode()
        value = self.of([push(0), push(0), push(1), op("SELFBALANCE")])
        operands = push(len(code)) + push(0) + value
        create = operands + op("CREATE") if self.one_in(2) else push(self.below(2)) + operands + op("CREATE2")
        if self.one_in(3):
            return in_memory(code) + create + self.after_call()
        name = self.of(["CALL", "CALL", "DELEGATECALL", "STATICCALL"])
        # The new contract's address lies on the stack below the operands of its call.
        operands = push(32) + push(0) + push(self.of([0, 4])) + push(0)
        operands += push(self.below(2)) + op("DUP6") if name == "CALL" else op("DUP5")
        call = operands + self.call_gas() + op(name) + self.after_call()
        return in_memory(code) + create + call + op("POP")

    def plain(self) -> bytes:
        """A statement that rarely ends its program."""
        kinds = [self.calculation] * 4 + [self.call] * 4 + [self.store] * 3
        kinds += [self.copy, self.log, self.return_data, self.precompile_call, self.stack_move]
        # Later forks have many more of them.
        kinds += [self.precompile_call] * 2 * self.fork.sets_codes
        return self.of(kinds)()

    def end(self) -> bytes:
        """The end of a program."""
        match self.below(10):
            case 0:
                return b""
            case 1:
                return op("STOP")
            case 2 | 3 | 4:
                return self.size() + self.place() + op("RETURN")
            case 5:
                return self.size() + self.place() + op("REVERT")
            case 6:
                everything = op("RETURNDATASIZE") + push(0)
                return everything + push(0) + op("RETURNDATACOPY") + everything + op(self.of(["REVERT", "RETURN"]))
            case 7 | 8:
                return self.address() + op("SELFDESTRUCT")
            case _:
                return self.of([INVALID, push(0) + op("JUMP")])

    def risk(self) -> bytes:
        """A statement that often ends its program: beyond the memory, the data, the code or the stack."""
        match self.below(12):
            case 0:
                jump = op("JUMP") if self.one_in(2) else self.flag() + op("SWAP1", "JUMPI")
                return self.of([push(self.of(BAD_PLACES)), op("PC")]) + jump
            case 1:
                name = self.of(["MSTORE", "MSTORE8"])
                return self.of([self.atom() + self.far_place() + op(name), self.far_place() + op("MLOAD", "POP")])
            case 2 | 3:
                name = self.of(["CALLDATACOPY", "CODECOPY", "MCOPY", "RETURNDATACOPY", "EXTCODECOPY"])
                operands = [self.size(), self.place(), self.place()]
                operands[self.below(3)] = self.far_place()
                return b"".join(operands) + (self.address() if name == "EXTCODECOPY" else b"") + op(name)
            case 4:
                operands = [self.size(), self.place()]
                operands[self.below(2)] = self.far_place()
                end = self.of([op("RETURN"), op("REVERT"), op("LOG0"), op("KECCAK256", "POP")])
                return b"".join(operands) + end
            case 5:
                ranges = [self.size(), self.place(), self.size(), self.place()]
                ranges[self.below(4)] = self.far_place()
                return b"".join(ranges) + self.address() + self.call_gas() + op("STATICCALL") + self.after_call()
            case 6:
                size = push(self.of([MAX_INITCODE, MAX_INITCODE + 1, 2**64]))
                return push(0) + size + push(0) + push(0) + op("CREATE2", "POP")
            case 7:
                words = self.of(MANY)
                move = op(f"{self.of(['DUP', 'SWAP'])}{1 + self.below(16)}")
                return self.of([op("PUSH0") * words + op("POP") * words, move, op("POP") * self.of([1, 2, 3])])
            case 8:
                known = sorted([*NAMES, *(ALL_OPCODES[name] for name in self._added)])
                return self.of([self.random_bytes(1 + self.below(3)), bytes([self.of(known)])])
            case _:
                return self.two_reasons()

    def two_reasons(self) -> bytes:
        """An instruction that two rules stop, or nearly: what follows depends on which one comes first."""
        above_balance = push(1) + op("SELFBALANCE", "ADD")
        match self.below(6):
            case 0 | 1 | 2:
                # The size of the initcode, and the balance; or the creator's nonce, or an account that is there.
                size = push(self.of([MAX_INITCODE, MAX_INITCODE + 1, MAX_INITCODE + 1, 2**32]))
                value = self.of([push(0), above_balance, above_balance, push(10**30)])
                create = op("CREATE") if self.one_in(2) else op("CREATE2")
                return push(0) + size + push(0) + value + create + self.after_call()
            case 3:
                # The balance, and the gas of memory, of a cold account, of a new one, or what is left for the call.
                operands = [self.size(), self.place(), self.size(), self.place()]
                if self.one_in(2):
                    operands[self.below(4)] = self.far_place()
                name = self.of(["CALL", "CALLCODE"])
                return (
                    b"".join(operands) + above_balance + self.address() + self.call_gas() + op(name) + self.after_call()
                )
            case 4:
                # The end of the return data, and the gas of memory.
                return op("RETURNDATASIZE") + push(self.of([0, 1])) + self.far_place() + op("RETURNDATACOPY")
            case _:
                # Whatever this program does, in a static frame: down to where a frame has too little gas for a step.
                ranges = self.size() + self.place() + self.size() + self.place()
                gas = self.of([push(60_000), push(30_000), push(self.of(CALL_GAS[:-2]))])
                return ranges + op("ADDRESS") + gas + op("STATICCALL") + self.after_call()

    def statement(self) -> Statement:
        match self.below(16):
            case 0:
                return Branch(self.flag(), (self.end(),))
            case 1 | 2:
                return Branch(self.expression(), tuple(self.plain() for _ in range(2)))
            case 3:
                return Loop(self.of([1, 2, 3, 10]), tuple(self.plain() for _ in range(2)))
            case 4 | 5:
                return self.creation()
            case _:
                return self.plain()


def block_fields(choice: Choice, number: int, coinbase: bytes, gas_limit: int) -> dict[str, Any]:
    """The fields of a block that say nothing of what is in it."""
    return {
        "coinbase": _hex(coinbase),
        "timestamp": 1_000 + 12 * (number + 1),
        "gasLimit": gas_limit,
        "prevRandao": _hex(choice.random_bytes(32)),
        "parentBeaconBlockRoot": _hex(choice.random_bytes(32)),
    }


def batch_document(
    alloc: dict[str, Any],
    blocks: list[dict[str, Any]],
    gas_limit: int,
    number: int,
    excess_blob_gas: int,
    fork: Fork = CANCUN,
) -> dict[str, Any]:
    """The object of a batch file: these blocks behind a genesis of this number, all ancestors of which have hashes.

    The fork's system contracts are there, but those that Cancun has, and gas limits are brought within its rules.
    """
    ancestors = [keccak(bytes([ancestor])) for ancestor in range(256)]
    blocks = [
        block | {"transactions": [allowed(request, fork) for request in block["transactions"]]} for block in blocks
    ]
    return {
        "format": "zkevm-batch/1",
        "chainId": CHAIN_ID,
        "fork": fork.name,
        "genesis": {
            "alloc": alloc | system_contracts(fork),
            "gasLimit": gas_limit,
            "timestamp": 1_000,
            "number": number,
            "baseFeePerGas": BASE_FEE,
            "parentHash": _hex(ancestors[0]),
            "excessBlobGas": excess_blob_gas,
        },
        "ancestorHashes": [_hex(ancestor) for ancestor in ancestors],
        "blocks": blocks,
    }


class _Batch:
    """Builds a random batch. ``kept`` says for each of its :data:`PARTS` parts whether it is in the batch."""

    def __init__(self, seed: int, kept: bytes, fork: Fork) -> None:
        self._seed = seed
        self._kept = iter(kept)
        self._fork = fork
        #: What the nonces of the signers are, if nothing but authorizations and transactions counts them.
        self._nonces = [0] * len(SIGNERS)

    def _choice(self, name: str) -> Choice:
        return Choice(f"{self._seed} {name}", self._fork)

    def _part(self, name: str) -> Choice | None:
        choice = self._choice(name)
        return choice if next(self._kept) else None

    def _program(self, number: int) -> bytes:
        """The code of a contract: statements, an end, and in every second one somewhere a risk."""
        shape = self._choice(f"shape {number}")
        size = 3 + shape.below(STATEMENTS - 2)
        risk = shape.below(2 * STATEMENTS)
        statements: list[Statement] = [op("JUMPDEST")] if shape.one_in(8) else []
        for index in range(STATEMENTS):
            choice = self._part(f"statement {number} {index}")
            if choice is not None and index < size:
                statements.append(choice.risk() if index == risk else choice.statement())
        choice = self._part(f"end {number}")
        return assemble((*statements, choice.end() if choice else b""))

    def _contract(self, number: int) -> dict[str, Any]:
        code = self._program(number)
        choice = self._choice(f"contract {number}")
        return {
            "code": _hex(code),
            "nonce": choice.of([1] * 6 + [2**64 - 2, 2**64 - 1]),  # EIP-161; the last one creates nothing (EIP-2681)
            "balance": choice.of([0, 1, 10**12]),
            "storage": {str(slot): value for slot in SLOTS if (value := choice.of([0, 0, 1, 2**256 - 1]))},
        }

    def _authorization(self, choice: Choice) -> dict[str, Any]:
        """An authorization to be signed (EIP-7702): most have an effect."""
        # Seldom one of a wallet: its transactions are not valid if it has another nonce than is thought here.
        signer = choice.below(len(SIGNERS) if choice.one_in(4) else len(SIGNERS) - len(WALLETS))
        targets = [*CONTRACTS, *CONTRACTS, *delegating(self._fork), *addresses(self._fork)]
        target = choice.of([bytes(20), SIGNERS[signer], choice.of(targets), choice.of(targets), choice.of(targets)])
        entry: dict[str, Any] = {
            "secretKey": _hex(SIGNER_KEYS[signer]),
            "address": _hex(target),
            "nonce": self._nonces[signer],
        }
        match choice.below(16):
            case 0:
                near = [max(entry["nonce"] - 1, 0), min(entry["nonce"] + 1, _LAST_NONCE)]
                entry["nonce"] = choice.of([*near, _LAST_NONCE])
            case 1:
                entry["chainId"] = choice.of([0, CHAIN_ID + 1])
        if entry["nonce"] == self._nonces[signer] < _LAST_NONCE and entry.get("chainId", 0) == 0:
            self._nonces[signer] += 1
        return entry

    def _pointers(self) -> dict[str, Any]:
        """Accounts that have delegated, to contracts, each other, themselves, precompiled contracts or nobody."""
        alloc: dict[str, Any] = {}
        for number, address in enumerate(delegating(self._fork)):
            choice = self._choice(f"pointer {number}")
            targets = [*CONTRACTS, *CONTRACTS, *delegating(self._fork), *addresses(self._fork)]
            wallet = address in WALLETS
            account: dict[str, Any] = {"balance": ETHER if wallet else choice.of([0, 1, 10**12])}
            if choice.one_in(4) if wallet else choice.below(3):
                account["code"] = delegation(choice.of([address, *(choice.of(targets) for _ in range(4))]))
                account["storage"] = {str(slot): value for slot in SLOTS if (value := choice.of([0, 0, 1]))}
            if "code" in account or choice.one_in(2):
                # Whoever has delegated has counted its nonce for that.
                account["nonce"] = 1 if wallet else choice.of([1, 7, _LAST_NONCE - 1])
                if number < len(SIGNERS):
                    self._nonces[number] = account["nonce"]
            if any(account.values()):
                alloc[_hex(address)] = account
        return alloc

    def _transaction(self, choice: Choice) -> dict[str, Any]:
        """A transaction to be signed; valid."""
        sender = choice.below(len(KEYS))
        signer = len(SIGNERS) - len(KEYS) + sender
        sizes = [0, 0, 1, 4, 32, 36, 68]
        if self._fork.floor_gas_per_token:
            sizes += [300, 2_000]
        request: dict[str, Any] = {
            "secretKey": _hex(KEYS[sender]),
            "nonce": self._nonces[signer],
            "value": choice.of([0, 0, 1, 10**9]),
            "data": _hex(choice.random_bytes(choice.of(sizes)) + bytes(choice.below(3))),
        }
        self._nonces[signer] += 1
        kinds = [0, 1, 2, 2, 3]
        if self._fork.sets_codes:
            kinds += [4] * len(kinds)
        match choice.below(12):
            case 0 | 1 | 2 | 3 | 4:
                request["to"] = _hex(choice.of([*CONTRACTS, *delegating(self._fork)]))
            case 5 | 6 | 7 | 8:
                request["to"] = _hex(OBSERVER)
                observed = choice.of([*CONTRACTS, *delegating(self._fork)])
                request["data"] = _hex(observed.rjust(32, b"\0")) + request["data"][2:]
            case 9 | 10:
                request["data"] = _hex(choice.initcode())
                kinds = [0, 1, 2]  # EIP-4844, EIP-7702: those with blobs or authorizations do not create
            case _:
                request["to"] = _hex(choice.of(addresses(self._fork)))
        kind = choice.of(kinds)
        if kind:
            request["type"] = kind
            request["accessList"] = [
                {
                    "address": _hex(choice.of(addresses(self._fork))),
                    "storageKeys": [_hex(choice.of(SLOTS).to_bytes(32, "big")) for _ in range(choice.below(4))],
                }
                for _ in range(choice.below(4))
            ]
        if kind >= 2:
            request["maxFeePerGas"] = choice.of([2 * BASE_FEE, BASE_FEE + 1, 10**6])
            request["maxPriorityFeePerGas"] = choice.of([0, 1, BASE_FEE])
        else:
            request["gasPrice"] = choice.of([2 * BASE_FEE, BASE_FEE])
        if kind == 3:
            request["maxFeePerBlobGas"] = 10**6
            request["blobVersionedHashes"] = [
                _hex(b"\x01" + choice.random_bytes(31)) for _ in range(1 + choice.below(2))
            ]
        if kind == 4:
            request["authorizationList"] = [self._authorization(choice) for _ in range(1 + choice.below(4))]
        extra = choice.of(LITTLE_GAS if choice.one_in(4) else PLENTY_OF_GAS)
        request["gas"] = intrinsic_gas(request) + extra
        return request

    def _block(self, number: int) -> dict[str, Any]:
        transactions = [
            self._transaction(choice)
            for index in range(TRANSACTIONS)
            if (choice := self._part(f"transaction {number} {index}"))
        ]
        withdrawal = self._part(f"withdrawal {number}")
        choice = self._choice(f"block {number}")
        coinbase = choice.of([COINBASE, COINBASE, CONTRACTS[0], WALLETS[1]])
        return {
            **block_fields(choice, number, coinbase, BLOCK_GAS_LIMIT),
            "withdrawals": [
                {
                    "index": number,
                    "validatorIndex": 0,
                    "address": _hex(withdrawal.of(addresses(self._fork))),
                    "amount": withdrawal.of([0, 1, 10**9]),
                }
            ]
            if withdrawal
            else [],
            "transactions": transactions,
        }

    def document(self) -> dict[str, Any]:
        """The object of a batch file."""
        alloc: dict[str, Any] = {_hex(address): self._contract(number) for number, address in enumerate(CONTRACTS)}
        alloc |= {_hex(wallet): {"balance": ETHER} for wallet in WALLETS}
        alloc[_hex(OBSERVER)] = {"code": _hex(OBSERVER_CODE), "nonce": 1}
        choice = self._choice("genesis")
        if choice.one_in(2):
            alloc[_hex(BEACON_ROOTS_ADDRESS)] = {"code": _hex(BEACON_ROOTS_CODE), "nonce": 1}
        # What lies where a contract will be created: ether does no harm, code and a nonce do.
        taken = choice.of([None, None, {"balance": 7}, {"nonce": 1}, {"code": "0x00", "nonce": 1}])
        if taken:
            alloc[_hex(choice.of(CREATED))] = taken
        excess = choice.of([0, 0, 5 * 2**17, 80 * 2**17])
        alloc |= self._pointers()
        blocks = [self._block(number) for number in range(BLOCKS)]
        return batch_document(alloc, blocks, BLOCK_GAS_LIMIT, FIRST_NUMBER, excess, self._fork)


# Parts of a batch that can be left out: statements and ends of the programs, transactions and withdrawals.
PARTS = len(CONTRACTS) * (STATEMENTS + 1) + BLOCKS * (TRANSACTIONS + 1)


def document(seed: int, kept: bytes, fork: Fork = CANCUN) -> dict[str, Any]:
    """The random batch of this seed, as the object of a batch file; ``kept`` is 0 for the parts to leave out."""
    return _Batch(seed, kept, fork).document()


def documents(fork: Fork = CANCUN) -> st.SearchStrategy[dict[str, Any]]:
    """Batches of a fork, as objects of batch files.

    What hypothesis draws is a seed, and for each part whether it is kept. So batches are as diverse as random ones
    (hypothesis by itself makes most examples by changing a few), and are still made smaller part by part.
    """
    kept = st.binary(min_size=PARTS, max_size=PARTS)
    return st.builds(document, st.integers(0, 2**64 - 1), kept, st.just(fork))


def disassemble(code: bytes) -> list[str]:
    """Instructions of a code, one a line, with their places."""
    lines = []
    place = 0
    while place < len(code):
        opcode = code[place]
        size = max(0, opcode - OPCODES["PUSH0"]) if opcode <= OPCODES["PUSH32"] else 0
        data = code[place + 1 : place + 1 + size]
        name = ALL_NAMES.get(opcode, f"0x{opcode:02x}")
        lines.append(f"{place:5} {name}" + (f" 0x{data.hex()}" if size else ""))
        place += 1 + size
    return lines


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
