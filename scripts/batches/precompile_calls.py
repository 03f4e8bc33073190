"""Random batches that call a precompiled contract in every way: by transactions, and by all instructions that call.

Each transaction makes one call, by a program of its own. The input lies in the transaction's data or in the program,
and is copied to any place of the memory; what the call returns is taken from the range that it fills, which may be
shorter or longer or lie over the input, and from the return data. All of that is logged, so that receipts tell it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from executor.forks import CANCUN, Fork
from scripts.batches.builder import Builder
from scripts.batches.precompile_inputs import MAX_COST, gas_of, random_input
from scripts.workloads.assembler import assemble

#: Instructions that call, and whether they take a value.
INSTRUCTIONS = {"call": True, "callcode": True, "delegatecall": False, "staticcall": False}
TRANSACTION = "transaction"
#: Bytes that a precompiled contract returns; the others return as many as their input says.
RETURNED = {
    1: 32, 2: 32, 3: 32, 6: 64, 7: 64, 8: 32, 9: 64, 10: 64,
    0x0B: 128, 0x0C: 128, 0x0D: 256, 0x0E: 256, 0x0F: 32, 0x10: 128, 0x11: 256, 0x100: 32,
}  # fmt: skip
STIPEND = 2_300
#: Gas of a transaction besides that of the call: programs are short.
SPARE = 250_000
GAS_LIMIT = 1 << 34
IN_BLOCK = 25  # transactions
BALANCE = 10


def _gas(random: Random, cost: int, paid: bool) -> int:
    """What a call gets: exactly enough, one less, or what happens to be there; enough if it is to be paid."""
    if paid:
        return cost + random.randrange(5_000)
    if cost > MAX_COST:
        return random.choice((0, 100_000))
    more = cost + random.randrange(5_000)
    return max(0, random.choice((cost, cost, cost, cost + 1, more, more, more, cost - 1, cost - 1, cost // 2)))


def _intrinsic(data: bytes, creates: bool) -> int:
    """Gas of a transaction before its code runs (EIP-2028, EIP-3860)."""
    zeros = data.count(0)
    return 21_000 + 4 * zeros + 16 * (len(data) - zeros) + creates * (32_000 + 2 * -(-len(data) // 32))


def _floor(data: bytes, fork: Fork) -> int:
    """The least gas limit of a transaction (EIP-7623)."""
    return 21_000 + fork.floor_gas_per_token * (4 * len(data) - 3 * data.count(0))


def _program(random: Random, number: int, data: bytes, prologue: str, paid: bool, fork: Fork) -> bytes:
    """A program that makes the call. `prologue` copies the input to the memory, from a place on."""
    start = random.choice((0, 0, 32, random.randrange(80)))
    size = len(data)
    output = RETURNED.get(number, size)
    room = max(0, random.choice((output, output, output - 1, output + 1, 0, output // 2, output + 40)))
    to = random.choice((0, start, start + size, start + size + random.randrange(40), start + size // 2))
    behind = 32 * -(-max(start + size, to + room) // 32)
    name = random.choice(list(INSTRUCTIONS))
    value = random.choice((0, 0, 0, 0, 1, BALANCE)) if INSTRUCTIONS[name] else 0
    gas = max(0, _gas(random, gas_of(number, data, fork), paid) - STIPEND * (value > 0))
    copied = random.choice(("returndatasize 0", "returndatasize 0", "0 returndatasize", "0 0", f"{output // 2} 0"))
    if random.randrange(16) == 0:  # often beyond what there is
        copied = f"{1 + output // 2} {output // 2}"
    end = behind + 64 + output
    ending = random.choice(("stop", "stop", "stop", f"{random.randrange(40)} {behind} return", f"40 {to} revert"))
    return assemble(f"""
        {prologue.format(start=start, size=size)}
        {room} {to} {size} {start} {value if INSTRUCTIONS[name] else ""} {number} {gas} {name}
        {behind} mstore returndatasize {behind + 32} mstore {copied} {behind + 64} returndatacopy
        {end - to} {to} log0 {ending}
    """)


#: Input that is the calldata, and that stands behind a program.
_OF_CALLDATA = "{size} 0 {start} calldatacopy"
_OF_CODE = "{size} dup1 codesize sub {start} codecopy"


def _transaction(random: Random, building: Builder, index: int, number: int, data: bytes, paid: bool) -> dict[str, Any]:
    sender, gas_price = random.randrange(len(building.KEYS)), 1_000
    cost = gas_of(number, data, building.fork)
    fields: dict[str, Any] = {"value": 0, "gasPrice": gas_price}
    way = random.choices((TRANSACTION, "calldata", "code", "creation"), (2, 3, 2, 1))[0]
    if way == TRANSACTION:
        gas = max(_intrinsic(data, creates=False) + _gas(random, cost, paid), _floor(data, building.fork))
        fields |= {"value": random.choice((0, 0, 3)), "gas": gas, "data": "0x" + data.hex()}
        return building.transfer(sender, number.to_bytes(20, "big"), **fields)
    given = data if way == "calldata" else b""
    code = _program(random, number, data, _OF_CALLDATA if way == "calldata" else _OF_CODE, paid, building.fork)
    if way != "calldata":
        code += data
    if way == "creation":
        fields |= {"to": b"", "value": BALANCE, "data": "0x" + code.hex()}
        given = code
    else:
        address = (0xC0DE << 64 | index).to_bytes(20, "big")
        building.alloc(address, code="0x" + code.hex(), balance=BALANCE)
        fields |= {"to": address, "data": "0x" + given.hex()}
    # A frame keeps a 64th for itself (EIP-150).
    spare = max(SPARE, _floor(given, building.fork) - _intrinsic(given, way == "creation"))
    gas = _intrinsic(given, way == "creation") + spare + (cost if paid else min(cost, MAX_COST)) * 64 // 63
    return building.transfer(sender, gas=gas, **fields)


def document(
    seed: int, number: int, calls: int, wanted: Callable[[bytes], bool] = lambda _: True, fork: Fork = CANCUN
) -> dict[str, Any]:
    """A batch file with so many calls of a precompiled contract of a fork, with inputs that are `wanted`."""
    random = Random(f"{seed} {number}")
    inputs: list[bytes] = []
    while len(inputs) < calls:
        data = random_input(random, number, fork)
        if wanted(data):
            inputs.append(data)
    return of_inputs(random, [(number, data) for data in inputs], fork=fork)


def of_inputs(
    random: Random, inputs: Sequence[tuple[int, bytes]], paid: bool = False, fork: Fork = CANCUN
) -> dict[str, Any]:
    """A batch file with a call for each of these precompiled contracts and inputs; `paid`: none lacks gas."""
    building = Builder(fork, gasLimit=GAS_LIMIT)
    for first in range(0, len(inputs), IN_BLOCK):
        chosen = enumerate(inputs[first : first + IN_BLOCK], first)
        requests = [_transaction(random, building, index, number, data, paid) for index, (number, data) in chosen]
        building.block(*requests, gasLimit=GAS_LIMIT)
    return building.document
