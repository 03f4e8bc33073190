"""A batch that gives every table of the segment circuit at least one row."""

from __future__ import annotations

from functools import cache
from typing import Any

from circuits.batch.execution import Execution
from executor.forks import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE, CANCUN, Fork
from scripts.batches import precompiled, set_code
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, FOURTH, OTHER, THIRD, call_contract, creating, initcode
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble

BLOB_HASHES = ["0x01" + "ab" * 31, "0x01" + "cd" * 31]
GAS_LIMIT = 1 << 34  # more gas than two limbs hold
_MAX = hex((1 << 256) - 1)
_LESS = hex((1 << 256) - 21)
_BIG = hex((1 << 200) + 12345)

#: Words in memory, on the stack and in the state; everything that the block and the transaction know.
STATE = f"""
    1 1 sstore 0 1 sstore 5 2 sstore 0 3 sstore 7 3 sstore 3 sload 2 sload 4 sload
    9 4 tstore 4 tload
    {_MAX} 32 mstore 5 7 mstore 255 100 mstore8 7 mload 32 mload 33 0 mstore
    64 0 sha3 0 0 sha3 70 10 sha3
    40 3 90 mcopy 0 calldataload 5 calldataload 20 1 200 calldatacopy 32 0 512 calldatacopy 50 0 300 codecopy
    0 0 0 returndatacopy returndatasize
    40 0 400 0x{OTHER.hex()} extcodecopy 8 0 400 0x{"77" * 20} extcodecopy
    0x{OTHER.hex()} extcodesize 0x{OTHER.hex()} extcodehash 0x{"77" * 20} balance selfbalance
    coinbase timestamp number difficulty gaslimit chainid basefee blobbasefee gasprice origin caller address callvalue
    codesize calldatasize 0 blobhash 1 blobhash 9 blobhash 1 number sub blockhash 2 number sub blockhash
    gas pc msize
    33 10 log0 1 32 0 log1 2 1 40 5 log2 3 2 1 0 0 log3 4 3 2 1 3 30 log4
    4 sload 0 0 return
"""

#: Arithmetic with small and large operands.
ARITHMETIC = f"""
    3 4 add {_BIG} {_MAX} add 3 {_BIG} sub {_BIG} 7 mul {_MAX} {_BIG} mul
    3 10 div 3 {_BIG} div {_BIG} {_MAX} div 0 5 div 3 10 mod {_BIG} {_MAX} mod 3 {_LESS} sdiv {_MAX} {_BIG} smod
    {_BIG} {_MAX} 7 addmod 7 {_BIG} {_MAX} addmod 9 {_BIG} {_MAX} mulmod {_MAX} {_BIG} {_BIG} mulmod
    5 3 exp 300 {_BIG} exp 0 7 exp 0x80 0 signextend 0x1234 1 signextend 3 40 signextend
    3 4 lt {_BIG} {_MAX} gt {_BIG} {_MAX} slt 1 {_MAX} sgt 3 3 eq {_BIG} {_BIG} eq 0 iszero {_BIG} iszero
    0xff {_BIG} and {_BIG} {_MAX} or {_BIG} 0x{"5a" * 32} xor {_BIG} 0x{"5a" * 32} and {_BIG} 0x{"a5" * 32} or
    0x{"ff" * 20} {_BIG} and {_BIG} not
    {_BIG} 31 byte {_BIG} 40 byte {_BIG} 3 shl {_BIG} 3 shr {_MAX} 17 sar {_BIG} 300 shl {_MAX} 256 sar {_BIG} 16 shl
    1 224 shl {_BIG} 224 shr {_BIG} 32 shr
    dup1 dup3 swap1 swap4 pop pop 0xa9059cbb pop
    0 @end jumpi 1 @on jumpi 0xfe stop
    on: {_BIG} @big jumpi stop
    big: 0 {_BIG} jumpi @end jump
    end: stop
"""

#: Time passes until what lies on the stack and in memory is more than 2^16 old.
WAITING = f"""
    77 5 0 mstore ROUNDS
    loop: {"jumpdest " * 255}
    1 swap1 sub dup1 @loop jumpi pop 0 mload add pop stop
"""
_ROUNDS = 253

#: What is called: one returns what it was given, one changes the state and reverts, one would change it.
ECHO, REVERTER, WRITER, CALLER = (bytes([0x70 + number]) * 20 for number in range(4))
CALLEES = {
    ECHO: "0 calldataload 30 calldataload calldatasize 0 0 calldatacopy 40 0 64 calldatacopy calldatasize 0 return",
    REVERTER: f"5 1 sstore 0 2 sstore 6 3 tstore 0x{Builder.FRESH.hex()} balance 1 0 0 log1 32 0 revert",
    WRITER: "1 1 sstore",
}
_STOP, _JUMPDEST, _DESTROYED = (assemble(source) for source in ("stop", "here:", "1 1 sstore caller selfdestruct"))

#: Powers of numbers of more than a word, one that is not paid, one whose modulus, behind the input, is 0; of a word;
#: of less than 8 bytes.
_MODEXP = f"""
    33 1024 mstore 2 1056 mstore 34 1088 mstore
    0x{"4f" * 32} 1120 mstore 0x{"b30107" + "c5" * 29} 1152 mstore 0x{"d1" * 5 + "00" * 27} 1184 mstore
    34 1200 165 1024 5 gas staticcall 20 1200 140 1024 5 199 staticcall 4 1200 96 1024 5 500 staticcall
    32 1024 mstore 1 1056 mstore 32 1088 mstore 32 1200 161 1024 5 gas staticcall
    5 1024 mstore 7 1088 mstore 7 1200 109 1024 5 gas staticcall
"""

#: Calls, creations, what they return, and accounts that are created and destroyed.
CALLING = f"""
    0x{"4f" * 32} 4 mstore
    64 100 36 4 0 0x{ECHO.hex()} gas call returndatasize 0 200 returndatacopy
    0 0 0 0 3 0x{REVERTER.hex()} 90000 call 0 0 0 0 0x{ECHO.hex()} gas delegatecall
    0 0 0 0 0x{WRITER.hex()} 30000 staticcall
    0 0 0 0 1 0x{"fa" * 20} gas callcode 0 0 0 0 0xffffffffffffffff 0x{ECHO.hex()} gas call
    32 0 70 0 2 gas staticcall 32 32 40 1 3 gas staticcall 64 64 64 0 4 gas staticcall
    11 1003 mstore8 1 1212 mstore8 64 2000 213 1000 9 gas staticcall
    0 0 213 1000 9 10 staticcall 2 1212 mstore8 0 0 213 1000 9 9000 staticcall 0 0 212 1000 9 9000 staticcall
    {_MODEXP}
    {creating("create", initcode(_STOP))} {creating("create2", initcode(_JUMPDEST), "7")}
    {creating("create2", _DESTROYED, "8", value=1)} {creating("create", _STOP, value=1000)}
    1 1 sstore
"""

#: One way to fail after the other; each program is a contract of its own.
FAILURES = (
    "1 1 sstore add",
    "1 0xffffffffffff mstore",
    "1 1 sstore 1 0 0 log1 3 jump",
    "1 2 jumpi",
    "1 0 0 returndatacopy",
    "caller balance pop 1 1 sstore 0 1 sstore 1 0 0 log1 32 0 revert",
    "5 1 sload loop: @loop jump",
    "5 60000 mstore",
)


@cache
def execution(*, waits: bool = True, fork: Fork = CANCUN) -> Execution:
    """The whole batch as one segment; see `builder`."""
    return execution_of(builder(waits=waits, fork=fork).provable())


def builder(*, waits: bool = True, fork: Fork = CANCUN) -> Builder:
    """Two blocks, all types of transactions, an access list, blobs, withdrawals, calls and creations.

    `waits`: False to save most of its steps, and the tables `stack_refresh` and `memory_refresh`.
    """
    building = Builder(fork, gasLimit=GAS_LIMIT)
    most = fork.max_transaction_gas or GAS_LIMIT
    waiting = WAITING.replace("ROUNDS", str(_ROUNDS if waits else 1))
    building.alloc(BEACON_ROOTS_ADDRESS, nonce=1, code="0x" + BEACON_ROOTS_CODE.hex())
    programs = {CONTRACT: STATE, OTHER: ARITHMETIC, THIRD: waiting}
    for address, source in programs.items():
        storage = {"0x2": "0x6", "0x3": "0x1"}
        building.alloc(address, code="0x" + assemble(source).hex(), balance=3, nonce=1, storage=storage)
    building.alloc(FOURTH, code="0x" + assemble(f"0x{Builder.FRESH.hex()} selfdestruct").hex(), balance=7)
    entry = {"address": "0x" + CONTRACT.hex(), "storageKeys": [f"0x{slot:064x}" for slot in (2, 9)]}
    typed = {"type": 3, "maxFeePerGas": 2000, "maxPriorityFeePerGas": 9, "maxFeePerBlobGas": 3, "accessList": [entry]}
    listed: dict[str, Any] = typed | {"blobVersionedHashes": BLOB_HASHES}
    dear = {"maxFeePerGas": 1 << 81, "maxPriorityFeePerGas": 9}
    building.alloc(Builder.WALLETS[3], balance=hex(1 << 120))  # for a price beyond the small products
    withdrawals = [
        {"index": n, "validatorIndex": n, "address": "0x" + address.hex(), "amount": 1 << 40}
        for n, address in enumerate((Builder.FRESH, Builder.WALLETS[0]))
    ]
    building.block(
        call_contract(building, 0, CONTRACT, data="0x" + "5a00" * 21, value=2, **listed),
        call_contract(building, 1, OTHER),
        building.transfer(0, Builder.WALLETS[0], 7),
        parentBeaconBlockRoot="0x" + "ab" * 32,
        gasLimit=GAS_LIMIT,
        withdrawals=withdrawals,
    )
    for address, source in (CALLEES | {CALLER: CALLING}).items():
        building.alloc(address, code="0x" + assemble(source).hex(), balance=20, nonce=1, storage={"0x2": "0x6"})
    long_call = call_contract(building, 2, THIRD, gas=200_000)
    failing = []
    for number, source in enumerate(FAILURES):
        address = bytes([0x90 + number]) * 20
        building.alloc(address, code="0x" + assemble(source).hex())
        data = "0x" + "01" * (number % 2)  # some calldata of one row, some empty
        failing.append(
            call_contract(
                building, number % 3, address, gas=60_000 if "revert" in source else 40_000, value=number % 2, data=data
            )
        )
    return building.block(
        long_call,
        *failing,
        building.transfer(3, FOURTH, 1, gas=100_000, **dear),
        *precompiled.transactions(building, 1),
        *_added_instructions(building, 2),
        *(set_code.transactions(building) if fork.sets_codes else ()),
        call_contract(building, 0, CALLER, value=5, gas=min(1 << 33, most)),
        call_contract(
            building, 1, CALLER, gas=min(20_000_000, most)
        ),  # what CREATE2 makes is there, and takes nearly all gas
        building.transfer(2, gas=100_000, data="0x" + initcode(_STOP).hex()) | {"to": ""},
        parentBeaconBlockRoot="0x" + "cd" * 32,
        gasLimit=GAS_LIMIT,
    )


def _added_instructions(building: Builder, sender: int) -> list[dict[str, Any]]:
    """Transactions that run the instructions which the fork has added, of words of many kinds."""
    requests = []
    for number, added in enumerate(building.fork.added_instructions):
        operands = (0, 1, (1 << 256) - 1, 1 << 255, 0xFFFF << 16, 0x1234567 << 77)
        each = " ".join(
            f"{word} " * added.operands + f"{added.name.lower()} " + "pop " * added.results for word in operands
        )
        address = bytes([0xE0 + number]) * 20
        building.alloc(address, code="0x" + assemble(each).hex())
        requests.append(call_contract(building, sender, address))
    return requests
