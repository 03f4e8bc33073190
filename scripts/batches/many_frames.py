"""Random batches of programs that call and create each other, for the circuits.

They are made as those of :mod:`scripts.batches.single_frames`, many transactions in a batch, so that these share what
every filled and checked segment costs. What frames have to do with each other is drawn often: the four calls, to
contracts, to what they created, to accounts without code and to the precompiled contracts that are proved (no others);
creations that succeed and that fail in every way; destructions; return data and calldata of many sizes; gas around
every edge. No frame passes all of its gas to a contract that may have called it, so that programs stay short.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Any

from eth_utils.crypto import keccak

from executor.forks import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE, CANCUN, Fork
from executor.opcodes import OPCODES, OPENERS
from executor.provable import proved_precompiles
from scripts.batches.fork_vectors import vectors
from scripts.batches.precompiles import Vector
from scripts.batches.random_programs import (
    BASE_FEE,
    COINBASE,
    FRESH,
    KEYS,
    LITTLE_GAS,
    MAX_CODE,
    MAX_INITCODE,
    SLOTS,
    WALLETS,
    Branch,
    Loop,
    Skip,
    Statement,
    assemble,
    batch_document,
    block_fields,
    created_address,
    in_memory,
    intrinsic_gas,
    op,
    precompiles_and_next,
    push,
)
from scripts.batches.single_frames import DATA_LIKE_CODE, FIRST_NUMBER, MAX_BLOCK_GAS, WEALTH, Alone, contracts

BLOCKS = 3
STATEMENTS = 14  # at most, of a program
_BLAKE2F = 9
RETURNED_SIZES = [0, 1, 2, 31, 32, 33, 63, 64, 65, 96, 100, 255, 256, 300, 1_000]
#: Gas of a call that does not get all there is, and of one of a contract that may have called this one.
BOUNDED_GAS = [30_000, 60_000, 100_000, 150_000, 200_000, 300_000]
BACKWARD_GAS = [1_000, 3_000, 8_000]
EDGE_GAS = [0, 1, 2, 100, 700, 2_299, 2_300, 2_301, 2_600, 5_000, 9_000]
EXTRA_GAS = [400_000, 800_000, 1_500_000, 3_000_000]
#: Gas limits of which a circuit does not count all (see `executor.provable.MAX_GAS`).
LARGE_GAS = [2**30, 2**30 + 1, 2**30 + 2**24, 2**31, 2**32, 2**40, 2**58]
DEEP_GAS = 2**37  # 1,024 frames that each get 63/64 of what is left (EIP-150), and hundreds of gas for the last one

#: A contract that always costs the same, however often it is called.
METER_CODE = push(1) + push(0) + op("MSTORE") + push(32) + push(0) + op("RETURN")
METER_GAS = 3 + 2 + 6 + 3 + 2
#: A contract that costs a bit less than the stipend of a call with value (2,300), and the instructions up to it.
LOGGER_CODE = push(224) + push(0) + op("LOG0")
LOGGER_GAS = 3 + 2 + 375 + 8 * 224 + 3 * 7
STIPEND = 2_300
#: A contract that stores what is there: SSTORE asks for more than 2,300 gas, and then takes 100 (EIP-2200, EIP-2929).
SENTRY_CODE = push(0) + op("SLOAD") + push(0) + op("SSTORE")
SENTRY_GAS = [slot + 2 + 2 + 2_300 + more for slot in (100, 2_100) for more in (-1, 0, 1, 2)]
#: A contract that gives back its calldata with 33 bytes from beyond its end, read in two ways.
ECHO_CODE = (
    push(33) + op("CALLDATASIZE", "ADD", "DUP1") + push(0) + push(0) + op("CALLDATACOPY", "CALLDATASIZE")
    + op("CALLDATALOAD") + push(1) + op("CALLDATASIZE", "SUB", "CALLDATALOAD", "XOR") + push(1) + op("TSTORE")
    + push(0) + op("RETURN")
)  # fmt: skip
#: A contract that writes, gives its caller gas back for it, logs, and reverts with half of what it was given.
WASTE_CODE = (
    push(0) + push(1) + op("SSTORE") + push(7) + push(2) + op("SSTORE") + push(9) + push(3) + op("TSTORE")
    + push(5) + push(32) + push(0) + op("LOG1", "CALLDATASIZE") + push(0) + push(0) + op("CALLDATACOPY")
    + op("CALLDATASIZE") + push(1) + op("SHR") + push(0) + op("REVERT")
)  # fmt: skip
#: A contract that reverts with what it was given.
REFUSER_CODE = op("CALLDATASIZE") + push(0) + push(0) + op("CALLDATACOPY", "CALLDATASIZE") + push(0) + op("REVERT")
#: Contracts that are destroyed by whoever calls them, to the advantage of the caller.
MORTAL_CODE = op("CALLER", "SELFDESTRUCT")
LINGERING_CODE = push(1) + op("DUP1", "SSTORE") + MORTAL_CODE


def code_copier(code: bytes) -> bytes:
    """Initcode that returns the code behind it."""
    head = bytes([OPCODES["PUSH2"], *len(code).to_bytes(2, "big")]) + op("DUP1") + push(10) + push(0)
    return head + op("CODECOPY") + push(0) + op("RETURN") + code


def created2_address(creator: bytes, salt: int, initcode: bytes) -> bytes:
    """Address of a contract made by CREATE2 (EIP-1014)."""
    return keccak(b"\xff" + creator + salt.to_bytes(32, "big") + keccak(initcode))[12:]


#: Initcodes that several contracts create from with CREATE2, so that they meet what is there already.
COMMON_INITCODES = (
    code_copier(METER_CODE),
    code_copier(LINGERING_CODE),
    code_copier(push(0) + op("SLOAD") + push(1) + op("ADD", "DUP1") + push(0) + op("SSTORE")),
    push(1) + push(1) + op("SSTORE", "CALLER", "SELFDESTRUCT"),
    push(3) + push(3) + op("SSTORE"),  # no code, and storage
    b"",
)
SALTS = (0, 1)
#: A contract that creates always the same one, which calldata tells it to destroy at once. Once that is destroyed, its
#: place is free again for the next transaction.
FACTORY_CODE = assemble(
    [
        in_memory(code_copier(LINGERING_CODE)),
        push(0) + push(len(code_copier(LINGERING_CODE))) + push(0) + push(0) + op("CREATE2"),
        Branch(op("CALLDATASIZE"), (push(0) * 5 + op("DUP6", "GAS", "CALL", "POP"),)),
        op("EXTCODEHASH") + push(2) + op("SSTORE"),
    ]
)
#: A contract that calls itself with all the gas it has, and writes when that returns.
DEEP_CODE = push(0) * 5 + op("ADDRESS", "GAS", "CALL") + push(1) + op("SSTORE")
HELPERS: dict[bytes, bytes] = {
    bytes([0xE0 + number]) * 20: code
    for number, code in enumerate(
        (METER_CODE, SENTRY_CODE, ECHO_CODE, WASTE_CODE, REFUSER_CODE, MORTAL_CODE, FACTORY_CODE)
    )
}
METER, SENTRY, ECHO, WASTE, REFUSER, MORTAL, FACTORY = HELPERS
LOGGER, DEEP = bytes([0xED]) * 20, bytes([0xEE]) * 20
PRODUCT = created2_address(FACTORY, 0, code_copier(LINGERING_CODE))  # of the factory


@cache
def precompile_inputs(fork: Fork) -> tuple[Vector, ...]:
    """Calldata and gas of the precompiled contracts that are called: known inputs, and sizes around their blocks."""
    return (
        *(vector for vector in vectors(fork) if vector.address in proved_precompiles(fork)),
        *(Vector(2, bytes(range(size)), 60 + 12 * -(-size // 32)) for size in (55, 56, 63, 65, 128)),
        *(Vector(3, bytes(range(size)), 600 + 120 * -(-size // 32)) for size in (55, 56, 63, 65, 128)),
        *(Vector(4, bytes(range(size)), 15 + 3 * -(-size // 32)) for size in (31, 95, 160)),
    )


@cache
def beneficiaries(fork: Fork) -> tuple[bytes, ...]:
    """The address 0, those of precompiled contracts, and the first one behind them."""
    return bytes(20), *precompiles_and_next(fork)


@cache
def codeless(fork: Fork) -> tuple[bytes, ...]:
    """Addresses of accounts without code."""
    return (*WALLETS, COINBASE, FRESH, bytes(20), precompiles_and_next(fork)[-1], keccak(b"nobody")[:20])


class Framed(Alone):
    """Random parts of programs that open frames.

    Args:
        seed: of the choices.
        known: addresses that programs ask for, those of created contracts among them.
        peers: contracts of the batch.
        position: of the contract whose program this is among them; it passes all of its gas only to those behind it.
        created: where contracts are or will be created.
        rich: as for `Alone`. Then all of the gas is passed only to what cannot lack it: to those of ``peers``
            that ``thrifty`` names.
        thrifty: positions of the contracts whose programs lack no gas if they get much.
        fork: as for `Alone`.
    """

    def __init__(
        self,
        seed: str,
        known: Sequence[bytes],
        peers: Sequence[bytes],
        position: int,
        created: Sequence[bytes],
        rich: bool = False,
        thrifty: frozenset[int] = frozenset(),
        fork: Fork = CANCUN,
    ) -> None:
        super().__init__(seed, list(known), rich, fork)
        self._peers = peers
        self._position = position
        self._created = created
        self._thrifty = thrifty
        self._nested = 0  # creations that this part is inside of
        self._repeats = False  # this part is inside of a loop

    def raw_bytes(self) -> bytes:
        return bytes([self.of(self._alone)])  # what calls might call any precompiled contract

    # Words.

    def address(self) -> bytes:
        match self.below(8):
            case 0:
                return push(int.from_bytes(self.of(beneficiaries(self.fork)), "big"))
            case 1 | 2:
                return push(int.from_bytes(self.of(self._created), "big"))
            case _:
                return super().address()

    def size(self) -> bytes:
        return push(self.of(RETURNED_SIZES)) if self.one_in(3) else push(self.of([0, 0, 1, 31, 32, 32, 33, 64, 65]))

    def value(self) -> bytes:
        """What a call or a creation is given: sometimes more than there is."""
        above = push(1) + op("SELFBALANCE", "ADD")
        return self.of([push(0)] * 8 + [push(1)] * 4 + [op("SELFBALANCE"), above, above, push(10**30)])

    def all_gas(self) -> bytes:
        """All the gas that may be passed, or as much as is passed at most, or nearly (EIP-150)."""
        return op("GAS") if self.one_in(2) else self.most_gas(self.below(5), self.of([100, 100, 2_600, 9_100]))

    def most_gas(self, beyond: int, cost: int = 100) -> bytes:
        """About the most that a call may be given which itself costs so much, for 2 or 3 exactly that."""
        # GAS - GAS / 64 - k, and so much is spent between GAS and the call: 29, and the call's own.
        spent = cost + 29
        k = spent - spent // 64 - beyond + 1
        pushed = bytes([OPCODES["PUSH2"]]) + k.to_bytes(2, "big")
        return op("GAS", "DUP1") + push(64) + op("SWAP1", "DIV", "SWAP1", "SUB") + pushed + op("SWAP1", "SUB")

    def bounded_gas(self) -> bytes:
        return push(self.of(EDGE_GAS if self.one_in(5) else BOUNDED_GAS))

    def gas_once(self) -> bytes:
        """Gas for a contract that calls itself, and none if it was itself that called it."""
        return self.bounded_gas() + op("CALLER", "ADDRESS", "EQ", "ISZERO", "MUL")

    # Statements.

    def calldata(self) -> bytes:
        """Calldata around its end."""
        shift = push(self.of([0, 1, 31, 32, 33])) + op("CALLDATASIZE", self.of(["SUB", "ADD"]))
        if self.one_in(2):
            return shift + op("CALLDATALOAD") + self.used()
        return self.size() + self.of([shift, self.place()]) + self.place() + op("CALLDATACOPY")

    def sink(self) -> bytes:
        return self.used() if self._repeats else super().sink()

    def used(self) -> bytes:
        """What happens to a word that must not stay on the stack."""
        return self.of([op("POP"), push(4) + op("SSTORE"), push(3) + op("TSTORE"), push(96) + op("MSTORE")])

    def return_data(self) -> bytes:
        """Parts of the return data, up to its end, or beyond it."""
        half = op("RETURNDATASIZE") + push(1) + op("SHR")
        match self.below(12):
            case 0 | 1 | 2 | 3:
                return super().return_data()
            case 4 if self.one_in(2):  # the last bytes, or what is before the first one
                part = self.of([1, 1, 2, 32])
                return push(part) + push(part) + op("RETURNDATASIZE", "SUB") + self.place() + op("RETURNDATACOPY")
            case 5 if self.one_in(4):
                return push(self.of([1, 32])) + op("RETURNDATASIZE") + self.place() + op("RETURNDATACOPY")
            case 6 | 7 | 8:  # the first half
                return half + push(0) + self.place() + op("RETURNDATACOPY")
            case _:  # the last half
                return half + half + self.place() + op("RETURNDATACOPY") + self.place() + op("MLOAD") + self.used()

    def after_call(self) -> bytes:
        after = self.sink()
        if self.one_in(2):
            after += self.return_data()
        if self.one_in(5):
            after += self.place() + op("MLOAD") + push(4) + op("SSTORE")
        return after

    def call_of(self, address: bytes, gas: bytes, name: str | None = None, value: bytes | None = None) -> bytes:
        """A call with random ranges of memory. ``address`` is code that pushes it, the fifth operand from below."""
        name = name or self.of(["CALL", "CALL", "CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
        given = (self.value() if value is None else value) if name in ("CALL", "CALLCODE") else b""
        ranges = self.size() + self.place() + self.size() + self.place()
        return ranges + given + address + gas + op(name)

    def call(self) -> bytes:
        match self.below(20):
            case 0 | 1:
                target, gas = self.of(codeless(self.fork)), self.of([self.all_gas(), self.bounded_gas()])
            case 2 | 3 | 4:
                return self.helper_call()
            case 5 | 6 | 7 | 8:
                target, gas = self.of(self._created), self.bounded_gas()
            case 9:
                name = self.of(["CALL", "CALLCODE", "STATICCALL"])
                return self.call_of(op("ADDRESS"), self.gas_once(), name) + self.after_call()
            case _:
                position = self.below(len(self._peers))
                if position <= self._position:
                    # Mostly one behind this: whoever calls back and forth does little else.
                    behind = range(self._position + 1, len(self._peers))
                    position = self.of(behind) if behind and not self.one_in(6) else position
                target = self._peers[position]
                if position <= self._position:
                    gas = push(self.of(BACKWARD_GAS))
                else:
                    free = not self._rich or position in self._thrifty
                    gas = self.all_gas() if free and not self.one_in(3) else self.bounded_gas()
        return self.call_of(push(int.from_bytes(target, "big")), gas) + self.after_call()

    def question(self) -> bytes:
        """What is known of an account that is, was or will be there."""
        address = push(int.from_bytes(self.of([*[PRODUCT] * 24, *self._created]), "big"))
        if self.one_in(4):
            return push(40) + push(0) + self.place() + address + op("EXTCODECOPY")
        return address + op(self.of(["EXTCODESIZE", "EXTCODEHASH", "BALANCE"])) + self.used()

    def helper_call(self) -> bytes:
        """A call of a contract whose gas is known: a little less than it needs, exactly that, a little more."""

        def place(address: bytes) -> bytes:
            return push(int.from_bytes(address, "big"))

        match self.below(14):
            case 0:
                gas = push(METER_GAS + self.of([-1, 0, 0, 1]))
                call = self.call_of(place(METER), gas, value=push(0))
            case 1:
                call = self.call_of(place(SENTRY), push(self.of(SENTRY_GAS)), value=push(0))
            case 2 | 3:
                # The stipend is all that it gets, of a call that has something to give.
                value = self.of([push(1), push(1), op("SELFBALANCE")])
                call = self.call_of(place(LOGGER), push(self.of([0, 0, 1])), "CALL", value)
            case 4:
                # Only the call itself costs something: nothing is cold, memory does not grow.
                address = place(self.of([METER, ECHO, REFUSER]))
                pushed = address + op("BALANCE", "POP") + push(0) * 4
                call = pushed + address + self.most_gas(self.of([1, 2, 3, 4])) + op("STATICCALL")
            case 5:
                call = self.call_of(place(ECHO), push(60_000), value=push(0))
            case 6 | 7:
                gas, value = push(self.of([60_000, 120_000])), self.of([push(0), push(1)])
                call = self.call_of(place(WASTE), gas, value=value)
            case 8:
                call = self.call_of(place(REFUSER), push(60_000))
            case 9 | 10:
                call = self.call_of(
                    place(FACTORY), push(self.of([100_000, 200_000])), self.of(["CALL", "DELEGATECALL"])
                )
            case _:
                call = self.call_of(place(MORTAL), push(60_000), self.of(["CALL", "CALL", "STATICCALL"]))
        return call + self.after_call()

    def precompile_call(self) -> bytes:
        """A call of a precompiled contract, with input from memory and the gas that it takes, or nearly."""
        vector = self.of(precompile_inputs(self.fork))
        # Whatever lies in memory may be a number of rounds of BLAKE2F.
        spare = 30 if vector.address == _BLAKE2F else 1_000
        gas = [push(vector.gas), push(vector.gas + 1), push(max(vector.gas - 1, 0)), push(vector.gas + spare)]
        name = self.of(["CALL", "CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
        value = push(self.of([0, 0, 1])) if name in ("CALL", "CALLCODE") else b""
        start = self.of([0, 0, 1, 31, 32])
        content = in_memory(vector.input, start) if self.one_in(2) else b""
        ranges = push(self.of([0, 1, 20, 31, 32, 33, 64, 128])) + self.place() + push(len(vector.input)) + push(start)
        all_gas = self.all_gas() if not self._rich or vector.address == 4 else op("GAS")
        all_gas = gas[-1] if vector.address == _BLAKE2F else all_gas
        return content + ranges + value + push(vector.address) + self.of([*gas, all_gas]) + op(name) + self.after_call()

    def destruction(self) -> bytes:
        return self.of([self.address(), op("CALLER"), op("ADDRESS"), op("ORIGIN"), push(5)]) + op("SELFDESTRUCT")

    def end(self) -> bytes:
        return self.destruction() if self.one_in(9) else super().end()

    def runtime(self) -> bytes:
        """The code of a created contract."""
        if self.one_in(3):
            return self.of([*HELPERS.values(), LOGGER_CODE, b"\x00"])
        return b"".join(self.plain() for _ in range(1 + self.below(2))) + self.end()

    def initcode(self) -> bytes:
        """Code of a constructor: some statements, then the code of the contract, or one of the ways to end without."""
        if self._nested > 1 or self.one_in(5):
            return self.of(COMMON_INITCODES)
        self._nested += 1
        statements: list[Statement] = [DATA_LIKE_CODE] if self.one_in(4) else []
        statements += [Skip((self.plain(),)) if self.one_in(3) else self.plain() for _ in range(self.below(3))]
        if self.one_in(12):
            statements.append(self.risk())
        before = assemble(statements)
        runtime = self.runtime()
        self._nested -= 1
        match self.below(16):
            case 0 | 1 | 2 | 3 | 4:
                return before + in_memory(runtime) + push(len(runtime)) + push(0) + op("RETURN")
            case 5:
                return code_copier(runtime)
            case 6:  # code from what is in memory, or the rest of the initcode
                return before + self.size() + self.place() + op("RETURN")
            case 7:  # EIP-3541
                code = b"\xef" + runtime[: self.below(3)]
                return before + in_memory(code.ljust(32, b"\0")) + push(len(code)) + push(0) + op("RETURN")
            case 8 if not self._rich:  # EIP-170: too much, or more than there is gas for
                return before + push(self.of([MAX_CODE, MAX_CODE + 1, MAX_CODE + 1])) + push(0) + op("RETURN")
            case 8:
                return before + push(1_000) + push(0) + op("RETURN")
            case 9:
                return before + op("STOP")
            case 10 | 11:
                return before + self.destruction()
            case 12 | 13:
                return before + self.size() + self.place() + op("REVERT")
            case 14:  # logs and returns its own code
                own = op("CODESIZE") + push(0) + push(0) + op("CODECOPY")
                return before + own + push(self.of([5, 40])) + push(0) + op("LOG0", "CODESIZE") + push(0) + op("RETURN")
            case _:
                return before + self.end()

    def creation(self) -> bytes:
        """A creation, a look at what it created, and mostly a call of it."""
        code = self.initcode()
        start = self.of([0, 0, 0, 1, 32])
        size = push(len(code)) if code and not self.one_in(12) else push(self.of([0, 1, 33]))
        operands = size + push(start) + self.value()
        create = operands + op("CREATE") if self.one_in(2) else push(self.of(SALTS)) + operands + op("CREATE2")
        made = in_memory(code, start) + create
        if self.one_in(4):
            # Twice: of CREATE2 the second one finds the first one's contract.
            made += op("POP") + create
        if self.one_in(3):
            return made + self.after_call()
        look = op("DUP1") + op(self.of(["EXTCODESIZE", "EXTCODEHASH", "BALANCE"])) + self.used()
        if self.one_in(4):
            look = push(40) + push(0) + push(0) + op("DUP4", "EXTCODECOPY")
        # The address lies below the operands of the call.
        name = self.of(["CALL", "CALL", "CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
        pushed = self.size() + self.place() + self.size() + self.place()
        pushed += push(self.of([0, 0, 1])) + op("DUP6") if name in ("CALL", "CALLCODE") else op("DUP5")
        call = pushed + (self.bounded_gas() if self.one_in(2) else push(100_000)) + op(name, "POP")
        if self.one_in(3):
            call += self.return_data()
        if self.one_in(4):
            # Again: what was destroyed is there until the transaction ends.
            again = push(0) * 4 + push(1) + op("DUP6") + push(30_000) + op("CALL", "POP")
            call += again + op("DUP1", self.of(["EXTCODESIZE", "EXTCODEHASH", "BALANCE"]), "POP")
        return made + look * self.below(2) + call + look + self.sink()

    def plain(self) -> bytes:
        kinds = [self.calculation] * 3 + [self.store] * 4 + [self.call] * 12 + [self.precompile_call] * 2
        kinds += [self.copy, self.log, self.return_data, self.calldata, self.stack_move] + [self.question] * 3
        if self._nested < 2:
            kinds += [self.creation] * 2
        return self.operation() if not self._rich and not self._repeats and self.one_in(60) else self.of(kinds)()

    def repeated(self) -> Loop:
        """A loop whose body leaves the stack as it was: otherwise it went on until the stack were full."""
        self._repeats = True
        loop = Loop(self.of([1, 2, 2, 3]), (self.plain(),))
        self._repeats = False
        return loop

    def risk(self) -> bytes:
        if self.one_in(2):
            return super().risk()
        match self.below(4):
            case 0 if not self._rich:
                ranges = [self.size(), self.place(), self.size(), self.place()]
                ranges[self.below(4)] = self.far_place()
                address = push(int.from_bytes(self.of(codeless(self.fork)), "big"))
                return b"".join(ranges) + address + self.bounded_gas() + op("STATICCALL") + self.after_call()
            case 1 if not self._rich:  # EIP-3860
                size = push(self.of([MAX_INITCODE, MAX_INITCODE + 1, MAX_INITCODE + 1, 2**64]))
                create = op("CREATE") if self.one_in(2) else op("CREATE2")
                return push(0) + size + push(0) + self.value() + create + self.after_call()
            case 2:  # lacks operands
                return op("POP") * self.below(3) + bytes([self.of(OPENERS)])
            case _:
                # Whatever this program does, in a static frame.
                return self.call_of(op("ADDRESS"), self.gas_once(), "STATICCALL") + self.after_call()

    def statement(self) -> Statement:
        match self.below(18):
            case 0:
                return Branch(self.flag(), (self.end(),))
            case 1 | 2:
                return Branch(self.expression(), (self.plain(),))
            case 3:
                return self.repeated()
            case 4:
                return Skip((self.plain(),))
            case 5 | 6 | 7:
                return self.creation()
            case _:
                return self.plain()

    def program(self) -> bytes:
        """The code of a contract: statements, an end, and in every fourth one somewhere a risk."""
        statements: list[Statement] = [DATA_LIKE_CODE] if self.one_in(6) else []
        statements += [self.statement() for _ in range(3 + self.below(STATEMENTS - 2))]
        if self.one_in(4):
            statements.insert(self.below(len(statements) + 1), self.risk())
        return assemble((*statements, self.end()))


def document(seed: int, programs: int = 20, fork: Fork = CANCUN) -> dict[str, Any]:
    """The batch of this seed: so many contracts, and as many transactions, the object of a batch file."""
    return _Batch(seed, programs, fork).document()


class _Batch:
    def __init__(self, seed: int, programs: int, fork: Fork) -> None:
        self._seed = seed
        self._fork = fork
        self._contracts = contracts(programs)
        often = self._contracts[-4:]  # those that are called most
        nonces = range(1, 3)  # of contracts: they begin with 1 (EIP-161)
        self._created = [
            *[PRODUCT] * 12,
            *(created_address(address, nonce) for address, nonce in product(often, nonces)),
            *(created_address(wallet, nonce) for wallet, nonce in product(WALLETS, range(4))),
            *(
                created2_address(address, salt, initcode)
                for address, salt, initcode in product(often, SALTS, COMMON_INITCODES[:4])
            ),
        ]
        plain = [*self._contracts[:6], *HELPERS, LOGGER, DEEP, *codeless(fork), BEACON_ROOTS_ADDRESS]
        self._known = [*plain, *plain, *self._created]
        self._thrifty = frozenset(number for number in range(programs) if self._choose(f"rich {number}").one_in(6))

    def _choose(self, name: str, position: int = -1, rich: bool = False) -> Framed:
        seed = f"many frames {self._seed} {name}"
        thrifty = self._thrifty if rich else frozenset()
        return Framed(seed, self._known, self._contracts, position, self._created, rich, thrifty, self._fork)

    def _contract(self, number: int) -> dict[str, Any]:
        choice = self._choose(f"contract {number}", number, number in self._thrifty)
        # EIP-2681: a contract with the last nonce but one creates once more, one with the last never.
        nonce = choice.of([2**64 - 2, 2**64 - 1]) if choice.one_in(20) else 1
        return {
            "code": _hex(choice.program()),
            "nonce": nonce,
            "balance": choice.of([0, 1, 10, 10**12, 10**12]),
            "storage": {str(slot): value for slot in SLOTS if (value := choice.of([0, 0, 1, 2, 2**256 - 1]))},
        }

    def _transaction(self, number: int, nonces: list[int]) -> dict[str, Any]:
        """A valid transaction, to be signed."""
        rich = number in self._thrifty
        choice = self._choose(f"transaction {number}", len(self._contracts), rich)
        sender = choice.below(len(KEYS))
        data = choice.random_bytes(choice.of([0, 0, 1, 4, 31, 32, 33, 36, 68, 100])) + bytes(choice.of([0, 0, 1, 40]))
        request: dict[str, Any] = {
            "secretKey": _hex(KEYS[sender]),
            "nonce": nonces[sender],
            "to": _hex(self._contracts[number]),
            "value": choice.of([0, 0, 1, 10**9]),
            "data": _hex(data),
        }
        nonces[sender] += 1
        match choice.below(24):
            case 0 | 1 | 2 | 3:
                del request["to"]
                request["data"] = _hex(choice.initcode())
            case 4 | 5 if not rich:
                request["to"] = _hex(choice.of(self._created))
            case 6:
                request["to"] = _hex(choice.of(codeless(self._fork)))
            case 7 | 8 | 9 if not rich:
                request["to"] = _hex(choice.of([*HELPERS, *[FACTORY] * 7]))
        kind = choice.of([0, 1, 2])
        if kind:
            request["type"] = kind
            request["accessList"] = [
                {
                    "address": _hex(choice.of([self._contracts[number], *self._known])),
                    "storageKeys": [_hex(choice.of(SLOTS).to_bytes(32, "big")) for _ in range(keys)],
                }
                for keys in (choice.below(3) for _ in range(choice.below(3)))
            ]
        if kind == 2:
            request["maxFeePerGas"] = choice.of([2 * BASE_FEE, 10**6])
            request["maxPriorityFeePerGas"] = choice.of([0, 1, BASE_FEE])
        else:
            request["gasPrice"] = choice.of([2 * BASE_FEE, 2 * BASE_FEE + 1])
        match choice.below(10):
            case _ if rich:
                extra = choice.of(LARGE_GAS)
            case 0:
                extra = choice.of(LITTLE_GAS)
            case 1:
                extra = choice.below(100_000)
            case _:
                extra = choice.of(EXTRA_GAS)
        request["gas"] = intrinsic_gas(request) + extra
        return request

    def _deep(self, nonces: list[int]) -> dict[str, Any]:
        """As deep as calls go."""
        request = {
            "secretKey": _hex(KEYS[0]), "nonce": nonces[0], "to": _hex(DEEP), "gas": DEEP_GAS, "gasPrice": 2 * BASE_FEE,
            "value": 0,
        }  # fmt: skip
        nonces[0] += 1
        return request

    def _block(self, number: int, transactions: list[int], nonces: list[int]) -> dict[str, Any]:
        choice = self._choose(f"block {number}")
        requests = [self._transaction(index, nonces) for index in transactions]
        if number == BLOCKS - 1 and self._choose("deep").one_in(20):
            requests.append(self._deep(nonces))
        coinbase = choice.of([COINBASE, COINBASE, self._contracts[0], *WALLETS, self._created[0]])
        fields = block_fields(choice, number, coinbase, MAX_BLOCK_GAS)
        withdrawals = [
            {
                "index": 10 * number + index,
                "validatorIndex": choice.below(2**40),
                "address": _hex(choice.of(self._known)),
                "amount": choice.of([0, 1, 10**9]),
            }
            for index in range(choice.below(3))
        ]
        return {**fields, "withdrawals": withdrawals, "transactions": requests}

    def document(self) -> dict[str, Any]:
        choice = self._choose("genesis")
        programs = len(self._contracts)
        alloc: dict[str, Any] = {_hex(address): self._contract(n) for n, address in enumerate(self._contracts)}
        alloc |= {_hex(wallet): {"balance": WEALTH} for wallet in WALLETS}
        alloc |= {
            _hex(address): {"code": _hex(code), "nonce": 1, "balance": choice.of([0, 3]), "storage": {"1": 5, "3": 1}}
            for address, code in HELPERS.items()
        }
        # It costs the stipend of a call with value, or one gas more.
        padding = op("JUMPDEST") * (STIPEND - LOGGER_GAS + choice.below(2))
        alloc[_hex(LOGGER)] = {"code": _hex(LOGGER_CODE + padding), "nonce": 1}
        alloc[_hex(DEEP)] = {"code": _hex(DEEP_CODE), "nonce": 1}
        if choice.one_in(2):
            alloc[_hex(BEACON_ROOTS_ADDRESS)] = {"code": _hex(BEACON_ROOTS_CODE), "nonce": 1}
        # What lies where contracts will be created: ether does no harm, code and a nonce do.
        for _ in range(6):
            taken = choice.of([{"balance": 7}, {"nonce": 1}, {"code": "0x00", "nonce": 1}, {"code": "0x5b00"}])
            alloc[_hex(choice.of(self._created[12:]))] = taken
        cuts = [0, *sorted(choice.below(programs + 1) for _ in range(BLOCKS - 1)), programs]
        nonces = [0] * len(KEYS)
        blocks = [self._block(n, list(range(cuts[n], cuts[n + 1])), nonces) for n in range(BLOCKS)]
        return batch_document(alloc, blocks, MAX_BLOCK_GAS, FIRST_NUMBER, 0, self._fork)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
