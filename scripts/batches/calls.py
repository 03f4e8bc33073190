"""Blocks whose transactions call and create contracts in every way that there is a table for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from executor.forks import CANCUN, Fork
from scripts.batches.builder import Builder
from scripts.batches.programs import call_contract, creating, initcode
from scripts.batches.worlds import CALLS_TWICE, MAKER, OUTERMOST
from scripts.batches.worlds import PROGRAMS as NESTED
from scripts.workloads.assembler import assemble


def _address(number: int) -> bytes:
    return bytes([number]) * 20


CALLER, CREATOR, PRECOMPILES, STATIC, UNPAID = (_address(number) for number in range(0xD1, 0xD6))
ECHO, COUNTER, REVERTING, HALTING, POOR = (_address(number) for number in range(0xE1, 0xE6))
NOBODY = _address(0xEF)
#: Those that go on behind frames and creations that take all but one 64th need much gas.
_GAS = {CREATOR: 1 << 30, UNPAID: 1 << 27, STATIC: 1 << 30}

_BIG = "0xffffffffffffffffffffffff"
#: Initcodes of at most 32 bytes: a reserved first byte, a code that is too large, one that nobody pays for.
_RESERVED = initcode(b"\xef")
_TOO_LARGE, _UNPAID = assemble("24577 0 return"), assemble("20000 0 return")
_REVERTS = assemble("1 1 sstore 4 28 revert")

PROGRAMS = {
    # All four calls with calldata, and what they return; values, accounts that begin, calls that open no frame.
    CALLER: f"""
        0x{"c3" * 32} 0 mstore 0x{"3c" * 32} 32 mstore
        40 100 50 7 3 0x{ECHO.hex()} gas call 40 0 128 returndatacopy pop
        10 64 64 0 0x{ECHO.hex()} gas delegatecall returndatasize pop pop
        64 64 32 0 2 0x{ECHO.hex()} 70000 callcode pop
        32 0 33 1 0x{ECHO.hex()} {_BIG} staticcall pop
        0 0 0 0 0x{COUNTER.hex()} gas delegatecall pop
        0 0 32 0 1 0x{COUNTER.hex()} gas callcode pop
        32 0 0 0 0 0x{REVERTING.hex()} 90000 call returndatasize 0 96 returndatacopy pop
        0 0 0 0 0x{HALTING.hex()} 5000 staticcall pop
        0 0 0 0 7 0x{NOBODY.hex()} gas call pop
        0 0 0 0 0 0x{NOBODY.hex()} 0 call pop
        0 0 0 0 {_BIG} 0x{ECHO.hex()} gas call pop 0 0 0 0 {_BIG} 0x{ECHO.hex()} gas callcode pop
        0x{NOBODY.hex()} balance pop 7 sload pop gas pop
        0 0 0 0 0x{POOR.hex()} 2000 delegatecall pop
        64 0 log0 128 0 return
    """,
    ECHO: """
        calldatasize 0 0 calldatacopy 0 calldataload 100 mstore 3 calldataload 132 mstore
        5 40 200 calldatacopy caller callvalue address 232 mstore 264 mstore 296 mstore
        calldatasize 0 return
    """,
    COUNTER: "7 sload 1 add 7 sstore 1 7 tstore callvalue 8 sstore",
    REVERTING: f"""
        0 7 sstore 1 7 tstore 0x{NOBODY.hex()} balance pop 0 0 0 0 1 0x{NOBODY.hex()} gas call 3 0 mstore 33 0 revert
    """,
    HALTING: "1 0 mstore 0 0 returndatacopy",
    POOR: "0 0 0 0 0 0xabcdef gas call",
    # Creations that succeed, that fail in every way, and that find their address taken.
    CREATOR: creating("create", initcode(assemble("caller 1 sstore")), value=1)
    + "0 0 0 0 0 dup6 gas call pop extcodesize pop "
    + creating("create2", initcode(assemble("address selfdestruct")), "1", value=2)
    + "dup1 extcodehash pop 0 0 0 0 0 dup6 gas call pop pop "
    + creating("create2", initcode(assemble("address selfdestruct")), "1")
    + "pop "
    + creating("create", _RESERVED)
    + "pop "
    + creating("create", _REVERTS, value=1)
    + "returndatasize 0 0 returndatacopy pop 0 0 0 create pop 5 0 0 0 create2 pop "
    + creating("create", assemble("caller selfdestruct"), value=1)
    + f"pop 0 0 {_BIG} create pop",
    UNPAID: creating("create", _TOO_LARGE)
    + f"pop 0 0 0 0 0x{POOR.hex()} 40000 delegatecall pop "
    + creating("create2", _UNPAID, "7"),
    # Calls of the precompiles that are proved: by memory, with too little gas, with value.
    PRECOMPILES: f"""
        0x{"7e" * 32} 0 mstore 0x{"a5" * 32} 32 mstore
        32 128 64 0 2 gas staticcall pop 32 160 3 5 2 9000 staticcall pop 32 0 0 0 2 9000 staticcall pop
        20 200 57 1 3 gas staticcall pop 32 160 0 0 3 9000 delegatecall pop 0 0 5 0 3 100 staticcall pop
        64 64 64 0 4 gas staticcall returndatasize pop pop 7 33 9 2 1 4 9000 call 7 2 300 returndatacopy pop
        0 0 0 0 0 4 9000 callcode pop 0 0 1 0 1 2 10 callcode pop
        3 403 mstore8 1 612 mstore8 64 300 213 400 9 60 staticcall pop 9 300 213 400 1 9 2 callcode pop
        7 612 mstore8 64 300 213 400 1 9 1000 call pop 0 0 214 400 9 1000 delegatecall pop
        128 128 log0
    """,
    # A frame that must change nothing, and the frames that it opens.
    STATIC: f"""
        0 calldataload @inside jumpi
        1 0 mstore 32 32 32 0 address gas staticcall pop
        0 0 0 0 0x{COUNTER.hex()} 60000 staticcall pop 0 0 0 0 0x{HALTING.hex()} 60000 staticcall pop
        0 0 0 0 0x{NOBODY.hex()} gas staticcall pop stop
        inside: 0 0 0 0 0 0x{COUNTER.hex()} 9000 call pop 0 0 0 0 0x{COUNTER.hex()} 9000 delegatecall pop
        0 0 0 0 0 0x{ECHO.hex()} 20000 call pop 0 0 0 0 1 0x{ECHO.hex()} gas call
    """,
}


def add_contracts(building: Builder) -> None:
    """Put all contracts of these blocks into the genesis."""
    for address, source in {**NESTED, **PROGRAMS}.items():
        code = "0x" + assemble(source).hex()
        storage = {"0x2": "0x6", "0x4": "0x4", "0x7": "0x7"}
        building.alloc(address, code=code, nonce=1, balance=100, storage=storage)


def transactions(building: Builder) -> list[dict[str, Any]]:
    """A transaction to every contract with a purpose, and some that create: by calldata, some of it above 2^32 gas."""
    most = building.fork.max_transaction_gas or 1 << 34
    creation: dict[str, Any] = {"to": b"", "gas": 600_000}
    found = [
        call_contract(building, n % 3, to=to, value=n, gas=min(_GAS.get(to, 1_000_000), most))
        for n, to in enumerate((OUTERMOST, MAKER, CALLS_TWICE, CALLER, CREATOR, UNPAID, PRECOMPILES, STATIC))
    ]
    found.append(call_contract(building, 3, to=CALLER, gas=min((1 << 33) + 5, most)))
    found.append(call_contract(building, 1, to=_address(4)[-1:].rjust(20, b"\0"), gas=50_000, data="0x" + "77" * 40))
    created = building.transfer(0, value=3, data="0x" + initcode(assemble("1 1 sstore") * 9).hex(), **creation)
    reverted = building.transfer(1, value=2, data="0x" + _REVERTS.hex(), **creation)
    return [*found, created, reverted, building.transfer(2, value=0, data="0x" + _RESERVED.hex(), **creation)]


def builder(chosen: Sequence[int], fork: Fork = CANCUN) -> Builder:
    """A block of some of these transactions, by their numbers, in ascending order."""
    building = Builder(fork, gasLimit=1 << 34)
    add_contracts(building)
    every = transactions(building)
    nonces = dict.fromkeys((request["secretKey"] for request in every), 0)
    kept = []
    for number in sorted(chosen):
        request = every[number] | {"nonce": nonces[every[number]["secretKey"]]}
        nonces[request["secretKey"]] += 1
        kept.append(request)
    return building.block(*kept, gasLimit=1 << 34)


#: How many transactions there are.
COUNT = len(transactions(Builder()))
