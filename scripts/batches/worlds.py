"""Batches whose frames fail within one another, create and destroy: everything that has to be undone."""

from __future__ import annotations

from functools import cache

from circuits.batch.execution import Execution
from scripts.batches.builder import Builder
from scripts.batches.programs import call_contract, creating, initcode
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble


def _address(number: int) -> bytes:
    return bytes([number]) * 20


def _call(address: bytes, value: int = 0, data: int | None = None) -> str:
    """A CALL with all gas there is, and with one word of calldata if there is any; its flag is dropped."""
    store = "" if data is None else f"{data} 0 mstore"
    size = 0 if data is None else 32
    return f"{store} 0 0 {size} 0 {value} 0x{address.hex()} gas call pop "


INNER, REVERTS, GOES_ON, HALTS, OUTERMOST = (_address(number) for number in range(0xA1, 0xA6))
MAKER, HELPER, TWICE, CALLS_TWICE, LOOKER = (_address(number) for number in range(0xB1, 0xB6))
FRESH = _address(0xFA)

#: Destroyed when it is called: its ether goes to the caller, or is burnt.
VICTIM, BURNER = assemble("1 1 sstore 2 3 tstore caller selfdestruct"), assemble("address selfdestruct")
_CALL_TOP = "0 0 0 0 {} dup6 gas call pop "

PROGRAMS = {
    INNER: f"7 1 sstore 0 2 sstore 5 9 tstore 1 sload pop caller balance pop {_call(FRESH, 1)}",
    REVERTS: f"{_call(INNER, 2)} 8 1 sstore 3 9 tstore 9 tload pop 1 0 0 log1 0 0 revert",
    GOES_ON: f"9 1 sstore {_call(REVERTS, 3)} {_call(INNER, 1)} 1 sload pop 0x{REVERTS.hex()} balance pop 2 0 0 log1",
    HALTS: f"{_call(GOES_ON, 5)} {_call(REVERTS, 3)} 4 4 sstore 0x{FRESH.hex()} balance pop 1 0 jump",
    OUTERMOST: f"{_call(HALTS, 9)} {_call(GOES_ON, 4)} 0 0 revert",
    # A reverted destruction, two that count as one, ether for what is destroyed, and the storage of one that stays.
    MAKER: creating("create", initcode(VICTIM), value=1)
    + f"dup1 0 mstore 0 0 32 0 0 0x{HELPER.hex()} gas call pop "
    + _CALL_TOP.format(0)
    + _CALL_TOP.format(2)
    + "6 6 sstore pop "
    + creating("create", initcode(BURNER), value=4)
    + _CALL_TOP.format(0)
    + "pop "
    + creating("create2", assemble("1 1 sstore caller selfdestruct"), "3", value=1)
    + "pop "
    + creating("create2", assemble("5 5 sstore 0 0 revert"), "4", value=1),
    HELPER: "0 0 0 0 0 0 calldataload gas call pop 0 0 revert",
    # A creation that is undone, and made again at the same address; then the address is taken.
    TWICE: creating("create2", initcode(VICTIM), "9", value=1)
    + "pop 1 1 sstore 0 calldataload @r jumpi stop r: 0 0 revert",
    CALLS_TWICE: _call(TWICE, data=1) + _call(TWICE, data=0) + _call(TWICE, data=0),
    LOOKER: f"0x{FRESH.hex()} balance 0x{INNER.hex()} extcodesize 2 sload add add 1 sstore",
}


#: A contract that calls itself, in a frame that reverts: what it looks at before, there, and afterwards is the same.
AGAIN = f"""
    0 calldataload @in jumpi
    1 sload pop 1 tload pop 0x{FRESH.hex()} balance pop selfbalance pop {_call(_address(0xC1), 3, data=1)}
    1 sload pop 1 tload pop 0x{FRESH.hex()} balance pop 0x{HELPER.hex()} balance pop 2 sload pop selfbalance pop
    0 3 sstore stop
    in: 5 1 sstore 5 1 tstore {_call(FRESH, 2)} 0x{HELPER.hex()} balance pop 2 sload pop 0 4 sstore 0 0 revert
"""


@cache
def reentrant_builder() -> Builder:
    """One transaction that calls a contract which calls itself and reverts."""
    building = Builder()
    storage = {f"0x{slot}": "0x9" for slot in range(1, 5)}
    building.alloc(_address(0xC1), code="0x" + assemble(AGAIN).hex(), nonce=1, balance=50, storage=storage)
    building.alloc(HELPER, balance=1)
    return building.block(call_contract(building, to=_address(0xC1)))


@cache
def reentrant() -> Execution:
    """This batch as one segment."""
    return execution_of(reentrant_builder().execute())


@cache
def destroying() -> Execution:
    """A transaction that creates and destroys, and one that destroys nothing."""
    building = Builder()
    for address in (MAKER, HELPER):
        code = "0x" + assemble(PROGRAMS[address]).hex()
        building.alloc(address, code=code, nonce=1, balance=100, storage={"0x2": "0x6"})
    building.alloc(LOOKER, code="0x" + assemble("1 1 sstore").hex(), nonce=1)
    return execution_of(building.block(*(call_contract(building, to=to) for to in (MAKER, LOOKER))).execute())


#: What a static frame must not do, and what it may: a CALL without value.
VIOLATIONS = (
    "1 1 sstore", "1 1 tstore", "0 0 log0", "1 0 0 log1", "2 1 0 0 log2", "3 2 1 0 0 log3", "4 3 2 1 0 0 log4",
    "0 0 0 create", "0 0 0 0 create2", "caller selfdestruct", "0 0 0 0 1 0 gas call", "0 0 0 0 0 0 gas call",
    "0 0 0 0 1 0 gas callcode",
)  # fmt: skip


@cache
def static_builder() -> Builder:
    """Static calls of frames that change the state, with gas and with too little; and of one that another one opens."""
    building = Builder()
    calls = ""
    for number, source in enumerate(VIOLATIONS):
        address = _address(0x10 + number)
        building.alloc(address, code="0x" + assemble(source).hex(), nonce=1, balance=9)
        for gas in (100_000, 400):
            calls += f"0 0 0 0 0x{address.hex()} {gas} staticcall pop "
    through = _address(0x30)
    building.alloc(through, code="0x" + assemble(_call(_address(0x10))).hex())
    calls += f"0 0 0 0 0x{through.hex()} 200000 staticcall pop 1 1 sstore"
    building.alloc(_address(0x31), code="0x" + assemble(calls).hex(), nonce=1)
    return building.block(call_contract(building, to=_address(0x31), gas=4_000_000))


@cache
def static() -> Execution:
    """This batch as one segment."""
    return execution_of(static_builder().execute())


@cache
def builder() -> Builder:
    """Two blocks; every program is called by a transaction of its own, with some ether."""
    building = Builder()
    for address, source in PROGRAMS.items():
        code = "0x" + assemble(source).hex()
        building.alloc(address, code=code, nonce=1, balance=100, storage={"0x2": "0x6", "0x4": "0x4"})
    first = [OUTERMOST, HALTS, REVERTS, MAKER, CALLS_TWICE, GOES_ON, LOOKER, INNER, HELPER, TWICE]
    for order in (first, [OUTERMOST, GOES_ON, MAKER, CALLS_TWICE, LOOKER]):
        building.block(*(call_contract(building, n % 3, to=to, value=n) for n, to in enumerate(order)))
    return building


@cache
def execution() -> Execution:
    """The whole batch as one segment."""
    return execution_of(builder().execute())
