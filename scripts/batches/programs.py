"""Batches that between them do everything the EVM of Cancun can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth_utils.crypto import keccak

from executor.forks import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE
from executor.recorder import create_address_input
from scripts.batches.builder import Builder
from scripts.batches.chain import headers_before
from scripts.workloads.assembler import assemble

CONTRACT = bytes.fromhex("cc" * 20)
OTHER = bytes.fromhex("dd" * 20)
THIRD = bytes.fromhex("ee" * 20)
FOURTH = bytes.fromhex("bb" * 20)

ARITHMETIC = """
    20 loop: dup1 3 mul 7 add dup1 0 mstore 32 0 sha3 33 mstore 1 65 mstore8
    msize pop 40 3 90 mcopy 33 mload 5 exp pop pop
    1 swap1 sub dup1 @loop jumpi gas pc
"""
STORAGE = """
    1 1 sstore 2 1 sstore 0 1 sstore  ; set, change, clear
    0 2 sstore 5 3 sstore 7 3 sstore  ; clear and change what the pre-state has
    1 sload 3 sload 4 sload add add 9 tstore 9 tload 10 sstore
    9 9 sstore 0 9 sstore
"""
REVERTING = "8 1 sstore 3 3 sstore 0 3 sstore 8 2 tstore 1 0 mstore 32 0 log0 32 0 revert"
CALLS = f"""
    42 0 mstore
    32 64 32 0 3 0x{OTHER.hex()} gas call
    32 64 32 0 0x{OTHER.hex()} gas delegatecall
    32 64 32 0 0x{OTHER.hex()} 50000 staticcall        ; writes: fails
    32 64 32 0 1 0x{OTHER.hex()} gas callcode
    returndatasize 0 128 returndatacopy
    0 0 0 0 0 0x{THIRD.hex()} 90000 call               ; reverts
    0 0 0 0 0xffffffffffffffffffff 0x{OTHER.hex()} gas call  ; too much value
    0 0 0 0 7 0x{"fa" * 20} gas call                   ; a new account
    1 1 sstore
"""
CALLEE = "1 1 sload add 1 sstore 0 calldataload 0 mstore 32 0 return"
PRECOMPILES = """
    0x4142 0 mstore
    32 64 32 0 2 9000 staticcall 32 64 32 0 3 9000 staticcall 64 64 64 0 4 9000 staticcall
    32 64 128 0 1 9000 staticcall 32 64 99 0 5 9000 staticcall
    64 64 0 0 6 9000 staticcall 64 64 3 0 6 9000 staticcall ; no point: fails
    0 0 0 0 1 3 9000 call 0 0 0 0 9 9000 staticcall ; BLAKE2 without input: fails
    0 0 0 0 4 10 call                             ; out of gas
"""
DEEP = "0 0 0 0 0 address gas call"
# What every kind of call and creation leaves as return data. The last creation is one of a contract that is there.
RETURN_DATA = f"""
    returndatasize pop 1 0 mstore
    0 0 32 0 0x{OTHER.hex()} gas delegatecall returndatasize 0 64 returndatacopy 7 25 64 returndatacopy
    0 0 0 0 0 0x{THIRD.hex()} 90000 call returndatasize 0 64 returndatacopy      ; reverts
    0 0 32 0 0x{OTHER.hex()} 50000 staticcall returndatasize pop                 ; halts
    0 0 32 0 4 gas staticcall returndatasize 0 96 returndatacopy                 ; a precompile
    0 0 0 0 0xffffffffffffffffffff 0x{OTHER.hex()} gas call returndatasize pop   ; too much value
    0x{assemble("33 0 mstore 4 28 revert").hex().ljust(64, "0")} 0 mstore
    9 0 0 create returndatasize 0 64 returndatacopy                              ; reverts
    0 0 32 0 4 gas staticcall returndatasize pop
    0 0 0 create returndatasize pop 1 0 0 0 create2 returndatasize pop
    0 0 32 0 4 gas staticcall pop 1 0 0 0 create2 returndatasize pop
    0 0 0 0 0xabcdef gas delegatecall returndatasize pop
"""
LOGS = f"""
    0x616263 0 mstore 3 29 log0 1 3 29 log1 2 1 3 29 log2 3 2 1 3 29 log3 4 3 2 1 0 0 log4
    0 0 0 0 0 0x{THIRD.hex()} gas call
"""
BLOCK_CONTEXT = f"""
    coinbase timestamp number difficulty gaslimit chainid selfbalance basefee blobbasefee gasprice origin caller
    callvalue codesize 0 blobhash 1 blobhash 0x{OTHER.hex()} dup1 extcodesize swap1 extcodehash
    0x{OTHER.hex()} balance 5 0 0 0x{OTHER.hex()} extcodecopy 0x{"fa" * 20} extcodehash 4 2 0 codecopy
    1 number sub blockhash 2 number sub blockhash 300 blockhash number blockhash
    2 1 0 calldatacopy 0 calldataload 0 sstore
"""
READS_BEACON_ROOT = f"""
    timestamp 0 mstore 32 32 32 0 0x{BEACON_ROOTS_ADDRESS.hex()} gas staticcall 32 mload 0 sstore
"""


def initcode(code: bytes) -> bytes:
    """Initcode that returns ``code``."""
    length = len(code)
    return bytes([0x61, *length.to_bytes(2, "big"), 0x80, 0x60, 0x0A, 0x5F, 0x39, 0x5F, 0xF3]) + code


def creating(instruction: str, inner: bytes, salt: str = "", value: int = 0) -> str:
    """A program that creates a contract from ``inner`` (at most 32 bytes of initcode); its address is on the stack."""
    return f"0x{inner.hex()} 0 mstore {salt} {len(inner)} {32 - len(inner)} {value} {instruction} "


def call_contract(building: Builder, sender: int = 0, to: bytes = CONTRACT, **fields: Any) -> dict[str, Any]:
    return building.transfer(sender, to, **({"gas": 1_000_000, "value": 0} | fields))


def _program(source: str, **account: Any) -> Callable[[], Builder]:
    def build() -> Builder:
        building = Builder()
        building.alloc(CONTRACT, code="0x" + assemble(source).hex(), balance=100, **account)
        building.alloc(OTHER, code="0x" + assemble(CALLEE).hex(), nonce=1)
        building.alloc(THIRD, code="0x" + assemble(REVERTING).hex(), nonce=1)
        data = "0x" + "5a" * 40
        return building.block(call_contract(building, data=data), call_contract(building, 1, data=data, value=9))

    return build


def _deep() -> Builder:
    """As deep as calls go: 1024 frames below the first. That takes more gas than blocks have today (EIP-150)."""
    gas = 10**13
    building = Builder(gasLimit=gas, baseFeePerGas=7, number=1)
    building.alloc(CONTRACT, code="0x" + assemble(DEEP).hex())
    return building.block(building.transfer(2, CONTRACT, 0, gas=gas // 100, gasPrice=8), gasLimit=gas)


FAILURES = {
    "out of gas": "loop: @loop jump",
    "underflow": "1 add",
    "underflow of dup": "1 dup2",
    "underflow of swap": "1 2 swap2",
    "overflow": "loop: 1 @loop jump",
    "overflow of dup": "1 loop: dup1 @loop jump",
    "bad jump": "1 1 sstore 0 jump",
    "bad conditional jump": "1 1 sstore 1 1 jumpi",
    "return data": "1 0 0 returndatacopy",
    "revert": REVERTING,
    "memory": "1 0xffffffffffffffff mstore",
}


def _failures() -> Builder:
    building = Builder()
    transactions = []
    # INVALID, an opcode that no instruction has, and a jump into the data of a push.
    codes = [*map(assemble, FAILURES.values()), bytes.fromhex("fe"), bytes.fromhex("5f0c"), bytes.fromhex("605b600156")]
    for number, code in enumerate(codes):
        address = bytes([0xA0 + number]) * 20
        building.alloc(address, code="0x" + code.hex())
        transactions.append(call_contract(building, number % 3, address, gas=60_000, value=number % 2))
    return building.block(*transactions)


def _creations() -> Builder:
    building = Builder()
    code = assemble("1 1 sstore")
    good, reserved = initcode(code), initcode(b"\xef")
    building.alloc(
        CONTRACT, nonce=7, code="0x" + assemble(creating("create", good) + creating("create2", good, "9")).hex()
    )
    twice = creating("create2", good, "5") * 2
    building.alloc(OTHER, nonce=1, code="0x" + assemble(twice).hex())
    building.alloc(FOURTH, nonce=1, balance=5, code="0x" + assemble(creating("create", reserved, value=1)).hex())
    building.alloc(THIRD, nonce=1, code="0x" + assemble(creating("create", assemble("1 1 sstore 0 0 revert"))).hex())
    storing = assemble("7 7 sstore 32 0 return")
    creation: dict[str, Any] = {"to": b"", "gas": 1_000_000}
    building.block(
        call_contract(building, to=CONTRACT),
        call_contract(building, to=OTHER),
        call_contract(building, to=THIRD),
        call_contract(building, to=FOURTH),
        building.transfer(0, value=3, data="0x" + good.hex(), **creation),
        building.transfer(0, value=0, data="0x" + storing.hex(), **creation),
        building.transfer(1, value=0, data="0x" + assemble("0 0 revert").hex(), **creation),
        building.transfer(1, value=0, data="0x" + reserved.hex(), **creation),
        building.transfer(1, value=0, data="0x" + assemble("24577 0 return").hex(), to=b"", gas=10_000_000),
        building.transfer(1, value=0, data="0x" + initcode(bytes(3_000)).hex(), to=b"", gas=200_000),
        building.transfer(1, value=0, data="0x", **creation),
    )
    return building.block(call_contract(building, to=CONTRACT), call_contract(building, to=OTHER))


def _collision() -> Builder:
    """Creations of all kinds at addresses that are taken, by a nonce or by storage alone (EIP-7610), in two blocks."""
    building = Builder()
    inner = initcode(assemble("1 1 sstore"))
    creators = {
        CONTRACT: creating("create", inner, value=1),
        OTHER: creating("create2", inner, "5", value=1),
        THIRD: f"0 0 0 0 0 0x{OTHER.hex()} 200000 call pop 0 0 revert",
    }
    for address, source in creators.items():
        building.alloc(address, nonce=1, balance=9, code="0x" + assemble(source).hex())
    accounts: list[dict[str, Any]] = [{"nonce": 1}, {"storage": {"1": "1"}}]
    for nonce, account in enumerate(accounts):
        for creator, counted in ((Builder.WALLETS[0], nonce), (CONTRACT, 1 + nonce)):
            building.alloc(keccak(create_address_input(creator, counted))[12:], balance=4, **account)
    salted = keccak(b"\xff" + OTHER + (5).to_bytes(32, "big") + keccak(inner))[12:]
    building.alloc(salted, balance=4, storage={"1": "1"})
    creation: dict[str, Any] = {"to": b"", "gas": 100_000, "value": 1, "data": "0x00"}
    entry = {"address": "0x" + salted.hex(), "storageKeys": [f"0x{1:064x}"]}
    typed = {"type": 1, "accessList": [entry]}
    building.block(
        *(building.transfer(0, **creation) for _ in range(3)),
        *(call_contract(building, 1, to) for to in (CONTRACT, CONTRACT, THIRD, OTHER)),
        building.transfer(2, to=salted, value=1, gas=30_000, **typed),
    )
    return building.block(
        *(call_contract(building, 1, to) for to in (CONTRACT, OTHER)), building.transfer(2, to=salted, value=1)
    )


def _destruction() -> Builder:
    building = Builder()
    building.alloc(
        CONTRACT, balance=9, storage={"1": "1"}, code="0x" + assemble(f"2 2 sstore 0x{'fa' * 20} selfdestruct").hex()
    )
    short = assemble("caller selfdestruct")
    # A contract that is destroyed by the transaction that makes it, called twice; and one that only its maker destroys.
    making = creating("create2", assemble("1 1 sstore caller selfdestruct"), "1", value=2)
    building.alloc(OTHER, nonce=1, balance=9, code="0x" + assemble(making).hex())
    calling = (
        creating("create", initcode(short), value=1) + " 0 0 0 0 0 dup6 gas call 0 0 0 0 0 dup7 gas call 0 0 revert"
    )
    building.alloc(THIRD, nonce=1, balance=9, code="0x" + assemble(calling).hex())
    building.block(*(call_contract(building, to=to) for to in (CONTRACT, OTHER, THIRD)))
    return building.block(*(call_contract(building, 1, to=to) for to in (CONTRACT, OTHER, THIRD)))


def _blobs() -> Builder:
    building = Builder()
    building.alloc(CONTRACT, code="0x" + assemble("0 blobhash 0 sstore 2 blobhash 1 sstore blobbasefee 2 sstore").hex())
    fields: dict[str, Any] = {
        "type": 3,
        "maxFeePerGas": 2_000,
        "maxPriorityFeePerGas": 7,
        "maxFeePerBlobGas": 9,
        "blobVersionedHashes": ["0x01" + "ab" * 31, "0x01" + "cd" * 31],
    }
    building.block(call_contract(building, **fields), call_contract(building, 1, **fields, data="0x01"))
    return building.block(call_contract(building, 1, **fields | {"blobVersionedHashes": ["0x01" + "ee" * 31] * 6}))


def _withdrawals() -> Builder:
    building = Builder()
    addresses = [Builder.WALLETS[0], b"\xfa" * 20, b"\xfb" * 20, b"\xfa" * 20]
    building.alloc(b"\xfb" * 20, balance=0)
    withdrawals = [
        {"index": number, "validatorIndex": 7 * number, "address": "0x" + address.hex(), "amount": 3 * number}
        for number, address in enumerate(addresses)
    ]
    withdrawals[2]["amount"] = 0
    return building.block(building.transfer(), withdrawals=withdrawals).block(withdrawals=withdrawals[:1])


def _beacon_root() -> Builder:
    building = Builder()
    building.alloc(BEACON_ROOTS_ADDRESS, nonce=1, code="0x" + BEACON_ROOTS_CODE.hex())
    building.alloc(CONTRACT, code="0x" + assemble(READS_BEACON_ROOT).hex())
    for number in range(3):
        building.block(call_contract(building), parentBeaconBlockRoot="0x" + f"{number + 1:02x}" * 32)
    return building


def on_headers(number: int, count: int, **genesis: Any) -> Builder:
    """A batch behind block `number`, with the headers of so many blocks before that one."""
    headers = headers_before(number, count)
    building = Builder(number=number, parentHash="0x" + keccak(headers[0]).hex(), **genesis)
    building.document["ancestorHeaders"] = ["0x" + header.hex() for header in headers]
    return building


def _ancestors() -> Builder:
    """Hashes of the parent, which the batch has, of the block before it, and of one that the headers before prove."""
    building = on_headers(300, 3)
    building.alloc(
        CONTRACT, code="0x" + assemble("1 number sub blockhash 0 sstore 299 blockhash 1 sstore 298 blockhash").hex()
    )
    return building.block(call_contract(building)).block(call_contract(building))


def _empty_accounts() -> Builder:
    """Accounts that are empty, but exist: one is touched and goes, one is only looked at and stays."""
    building = Builder()
    building.alloc(b"\xfa" * 20, balance=0, storage={"1": "1"}).alloc(b"\xfb" * 20, balance=0).alloc(
        b"\xfd" * 20, balance=0
    )
    source = f"0 0 0 0 0 0x{'fa' * 20} gas call 0x{'fb' * 20} balance 0 0 0 0 0 0x{THIRD.hex()} gas call"
    building.alloc(CONTRACT, code="0x" + assemble(source).hex())
    building.alloc(THIRD, code="0x" + assemble(f"0 0 0 0 0 0x{'fd' * 20} gas call 0 0 revert").hex())
    return building.block(call_contract(building))


PROGRAMS: dict[str, Callable[[], Builder]] = {
    "arithmetic": _program(ARITHMETIC),
    "storage": _program(STORAGE, storage={"2": "6", "3": "1"}),
    "calls": _program(CALLS),
    "return data": _program(RETURN_DATA),
    "precompiles": _program(PRECOMPILES),
    "logs": _program(LOGS),
    "block context": _program(BLOCK_CONTEXT),
    "deep": _deep,
    "failures": _failures,
    "creations": _creations,
    "collision": _collision,
    "destruction": _destruction,
    "blobs": _blobs,
    "withdrawals": _withdrawals,
    "beacon root": _beacon_root,
    "ancestors": _ancestors,
    "empty accounts": _empty_accounts,
    "nothing": Builder,
}
