"""Random batches of programs of which each runs in one frame: no calls, no creations, no precompiled contracts.

Many programs, each called once, share a batch, so that they share what every filled and checked segment costs.
"""

from __future__ import annotations

from typing import Any

from eth_utils.crypto import keccak

from executor.forks import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE, CANCUN, Fork
from executor.opcodes import CALLS, CREATIONS, NAMES, OPCODES, OPENERS, instruction_set
from scripts.batches.random_programs import (
    ALL_OPCODES,
    BAD_PLACES,
    BASE_FEE,
    COINBASE,
    EDGES,
    FRESH,
    KEYS,
    LITTLE_GAS,
    PLENTY_OF_GAS,
    SIZES,
    SLOTS,
    WALLETS,
    Branch,
    Choice,
    Loop,
    Skip,
    Statement,
    added_operations,
    assemble,
    batch_document,
    block_fields,
    intrinsic_gas,
    op,
    precompiles_and_next,
    push,
)

BLOCKS = 3
STATEMENTS = 14  # at most, of a program
FIRST_NUMBER = 70_000_000  # of the genesis; hardly any word but NUMBER is the number of a block close to it
BLOCK_NUMBERS = [0, *range(FIRST_NUMBER, FIRST_NUMBER + 6), FIRST_NUMBER - 300, 2**64, 2**256 - 1]
MAX_BLOBS = 6  # of a block (EIP-4844)
MAX_BLOCK_GAS = 2**63 - 1
#: Gas limits that no gas counter of a circuit holds: only what is used of them is proved, which must be less.
LARGE_GAS = [2**30 - 1, 2**30, 2**30 + 1, 2**31 - 1, 2**31, 2**32, 2**32 + 2**16, 2**40, 2**48, 2**58]
VAST_PLACES = [2**48, 2**63, 2**64 - 1, 2**64, 2**255, 2**256 - 32, 2**256 - 1]  # no gas pays for them
WEALTH = 10**30  # wei
LONG_SIZES = [*SIZES, 95, 96, 97, 135, 136, 137, 272, 300, 1_000]
ALONE = sorted(set(NAMES) - CALLS - CREATIONS)  # opcodes that open no frame
ENDING = {OPCODES[name] for name in ("STOP", "RETURN", "REVERT", "SELFDESTRUCT", "JUMP", "JUMPI")}
GOING_ON = [opcode for opcode in ALONE if opcode not in ENDING]
# Places 1 and 2 of a program that begins with it are no destinations: what looks like one is data of a push.
DATA_LIKE_CODE = bytes.fromhex("615b5b50")


def others(fork: Fork) -> list[bytes]:
    """Addresses of no contract of a batch, the first one behind the precompiled contracts last."""
    return [*WALLETS, COINBASE, FRESH, BEACON_ROOTS_ADDRESS, bytes(20), precompiles_and_next(fork)[-1]]


def contracts(programs: int) -> list[bytes]:
    """Addresses of so many contracts."""
    return [keccak(b"contract %d" % number)[:20] for number in range(programs)]


class Alone(Choice):
    """Random parts of programs that open no frame.

    Args:
        seed: of the choices.
        known: addresses that programs ask for.
        rich: the program gets so much gas that only what no gas pays for may fail for the lack of it.
        fork: whose instructions there are.
    """

    def __init__(self, seed: str, known: list[bytes], rich: bool = False, fork: Fork = CANCUN) -> None:
        super().__init__(seed, fork)
        self._known = known
        self._rich = rich
        added = [ALL_OPCODES[name] for name in added_operations(fork)]
        self._alone, self._going_on = [*ALONE, *added], [*GOING_ON, *added]
        self._reach = instruction_set(fork.added_instructions).reach

    def far_place(self) -> bytes:
        return push(self.of(VAST_PLACES)) if self._rich else super().far_place()

    def address(self) -> bytes:
        address = int.from_bytes(self.of(self._known), "big")
        # What is above the 20 bytes of an address does not count.
        return push(address + (self.of([1, 2**95, 2**96 - 1]) << 160) if self.one_in(8) else address)

    def size(self) -> bytes:
        return push(self.of(LONG_SIZES))

    def slot(self) -> bytes:
        return push(self.of(SLOTS)) if not self.one_in(6) else self.edge()

    def reading(self) -> bytes:
        if self.one_in(9):
            return push(self.of(BLOCK_NUMBERS)) + op("BLOCKHASH")
        while True:
            code = super().reading()
            if code[-1] != OPCODES["BLOCKHASH"]:
                return code

    def soup(self) -> bytes:
        """Words on the stack, and any instructions that go on after them."""
        before = b"".join(self.edge() if self.one_in(2) else self.place() for _ in range(self.below(18)))
        return before + bytes(self.of(self._going_on) for _ in range(1 + self.below(20)))

    def operation(self) -> bytes:
        """One instruction with operands that it mostly takes, among them every one that is rare."""
        opcode = self.of(self._going_on)
        kinds = [self.size, self.place, self.edge, self.slot, self.atom]
        operands = [self.of(kinds)() for _ in range(self._reach[opcode])]
        data = self.random_bytes(opcode - OPCODES["PUSH0"]) if OPCODES["PUSH0"] < opcode <= OPCODES["PUSH32"] else b""
        return b"".join(operands) + bytes([opcode]) + data

    def place_to_go_wrong(self) -> bytes:
        return self.of([push(self.of(BAD_PLACES)), op("PC"), self.edge(), op("CODESIZE")])

    def plain(self) -> bytes:
        kinds = [self.calculation] * 5 + [self.store] * 3 + [self.copy] * 2
        kinds += [self.log, self.return_data, self.stack_move]
        return self.of(kinds if self._rich else [*kinds, self.operation, self.operation])()

    def risk(self) -> bytes:
        match self.below(7 if self._rich else 10):
            case 0:
                return self.place_to_go_wrong() + (op("JUMP") if self.one_in(2) else self.flag() + op("SWAP1", "JUMPI"))
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
                end = [op("RETURN"), op("REVERT"), op("KECCAK256", "POP"), op(f"LOG{self.below(5)}")]
                return b"".join(self.atom() for _ in range(4)) + b"".join(operands) + self.of(end)
            case 5:
                # So little memory that only its cost decides.
                return self.atom() + push(self.below(60_000)) + op(self.of(["MSTORE", "MSTORE8"]))
            case 6:
                words = self.of([1, 2, 15, 16, 17, 1_022, 1_023, 1_024, 1_025])
                move = op(f"{self.of(['DUP', 'SWAP'])}{1 + self.below(16)}")
                return self.of([op("PUSH0") * words + op("POP") * words, move, op("POP") * self.of([1, 2, 3])])
            case 7:
                return self.raw_bytes()
            case 8:
                return op("PUSH0") * 1_023 + bytes([self.of(self._alone)]) * 2
            case _:
                return self.soup()

    def raw_bytes(self) -> bytes:
        """Any instructions, or what is none, on the stack as it is."""
        return self.random_bytes(1 + self.below(3)) if self.one_in(4) else bytes([self.of(self._alone)])

    def end(self) -> bytes:
        if self.one_in(12):
            # The program ends within the data of a push.
            return bytes([OPCODES["PUSH1"] + self.below(32)]) + self.random_bytes(self.below(2))
        return super().end()

    def statement(self) -> Statement:
        match self.below(16):
            case 0:
                return Branch(self.flag(), (self.end(),))
            case 1 | 2:
                return Branch(self.expression(), tuple(self.plain() for _ in range(2)))
            case 3:
                return Loop(self.of([1, 2, 3, 10, 40]), tuple(self.plain() for _ in range(2)))
            case 4:
                return Skip((self.plain(),))
            case _:
                return self.plain()

    def program(self) -> bytes:
        """The code of a contract: statements, an end, and in every second one somewhere a risk."""
        if self.one_in(40):
            # An instruction that would open a frame, but lacks operands.
            return push(1) * self.below(3) + bytes([self.of(OPENERS)])
        statements: list[Statement] = [DATA_LIKE_CODE] if self.one_in(3) else []
        statements += [self.statement() for _ in range(2 + self.below(STATEMENTS - 2))]
        if self.one_in(2):
            statements.insert(self.below(len(statements) + 1), self.risk())
        return assemble((*statements, self.end()))


def document(seed: int, programs: int = 40, fork: Fork = CANCUN) -> dict[str, Any]:
    """The batch of this seed: so many contracts, and a transaction to each, the object of a batch file."""
    return _Batch(seed, programs, fork).document()


class _Batch:
    def __init__(self, seed: int, programs: int, fork: Fork) -> None:
        self._seed = seed
        self._fork = fork
        self._contracts = contracts(programs)
        precompiles = precompiles_and_next(fork)[:-1]
        self._others = others(fork)
        self._known = [*self._contracts[:6], *self._contracts[:6], *self._others, *precompiles]

    def _choice(self, name: str, rich: bool = False) -> Alone:
        return Alone(f"single frames {self._seed} {name}", self._known, rich, self._fork)

    def _is_rich(self, number: int) -> bool:
        return self._choice(f"rich {number}").one_in(8)

    def _contract(self, number: int) -> dict[str, Any]:
        choice = self._choice(f"contract {number}", self._is_rich(number))
        own: dict[str, Any] = {
            "code": _hex(choice.program()),
            "nonce": choice.of([0, 1]),
            "balance": choice.of([0, 1, 10**12]),
            "storage": {str(slot): value for slot in SLOTS if (value := choice.of([0, 0, 1, 2, 2**256 - 1]))},
        }
        if choice.one_in(3):
            own["storage"][str(choice.of(EDGES))] = choice.of(EDGES[1:])
        return own

    def _transaction(self, number: int, nonces: list[int], blobs: int) -> dict[str, Any]:
        """A valid transaction with at most so many blobs, to be signed."""
        choice = self._choice(f"transaction {number}")
        sender = choice.below(len(KEYS))
        to = choice.of(self._others) if choice.one_in(20) else self._contracts[number]
        data = choice.random_bytes(choice.of([0, 0, 1, 4, 31, 32, 33, 36, 68, 100])) + bytes(choice.of([0, 0, 1, 40]))
        request: dict[str, Any] = {
            "secretKey": _hex(KEYS[sender]),
            "nonce": nonces[sender],
            "to": _hex(to),
            "value": choice.of([0, 0, 1, 10**9]),
            "data": _hex(data),
        }
        nonces[sender] += 1
        kind = choice.of([0, 1, 2, 2, 3] if blobs else [0, 1, 2])
        if kind:
            request["type"] = kind
            entries = choice.below(4)
            request["accessList"] = [
                {
                    "address": _hex(choice.of([to, *self._known])),
                    "storageKeys": [_hex(choice.of([*SLOTS, *EDGES[-3:]]).to_bytes(32, "big")) for _ in range(keys)],
                }
                for keys in (choice.below(4) for _ in range(entries))
            ]
        if kind >= 2:
            request["maxFeePerGas"] = choice.of([2 * BASE_FEE, 10**6])
            request["maxPriorityFeePerGas"] = choice.of([0, 1, BASE_FEE])
        else:
            request["gasPrice"] = choice.of([2 * BASE_FEE, 2 * BASE_FEE + 1])
        if kind == 3:
            request["maxFeePerBlobGas"] = 10**6
            request["blobVersionedHashes"] = [
                _hex(b"\x01" + choice.random_bytes(31)) for _ in range(1 + choice.below(min(3, blobs)))
            ]
        match choice.below(8):
            case _ if self._is_rich(number):
                extra = choice.of(LARGE_GAS)
            case 0:
                extra = choice.of(LITTLE_GAS)
            case 1:
                extra = choice.below(5_000)
            case 2:
                extra = choice.below(60_000)
            case _:
                extra = choice.of(PLENTY_OF_GAS)
        request["gas"] = intrinsic_gas(request) + extra
        return request

    def _block(self, number: int, transactions: list[int], nonces: list[int]) -> dict[str, Any]:
        choice = self._choice(f"block {number}")
        requests: list[dict[str, Any]] = []
        for index in transactions:
            blobs = MAX_BLOBS - sum(len(request.get("blobVersionedHashes", ())) for request in requests)
            requests.append(self._transaction(index, nonces, blobs))
        coinbase = choice.of([COINBASE, COINBASE, self._contracts[0], *WALLETS])
        fields = block_fields(choice, number, coinbase, MAX_BLOCK_GAS)
        withdrawals = [
            {
                "index": 10 * number + index,
                "validatorIndex": choice.below(2**40),
                "address": _hex(choice.of(self._known)),
                "amount": choice.of([0, 1, 10**9, 2**40]),
            }
            for index in range(choice.below(4))
        ]
        return {**fields, "withdrawals": withdrawals, "transactions": requests}

    def document(self) -> dict[str, Any]:
        choice = self._choice("genesis")
        programs = len(self._contracts)
        alloc: dict[str, Any] = {_hex(address): self._contract(n) for n, address in enumerate(self._contracts)}
        alloc |= {_hex(wallet): {"balance": WEALTH} for wallet in WALLETS}
        if choice.one_in(2):
            alloc[_hex(BEACON_ROOTS_ADDRESS)] = {"code": _hex(BEACON_ROOTS_CODE), "nonce": 1}
        cuts = [0, *sorted(choice.below(programs + 1) for _ in range(BLOCKS - 1)), programs]
        nonces = [0] * len(KEYS)
        excess = choice.of([0, 0, 5 * 2**17, 80 * 2**17])
        blocks = [self._block(n, list(range(cuts[n], cuts[n + 1])), nonces) for n in range(BLOCKS)]
        return batch_document(alloc, blocks, MAX_BLOCK_GAS, FIRST_NUMBER, excess, self._fork)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
