"""Batches with set-code transactions and accounts that have delegated (EIP-7702)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from eth_account import Account
from eth_utils.crypto import keccak

from circuits.batch.execution import Execution
from executor.forks import BEACON_ROOTS_ADDRESS, PRAGUE, Fork
from executor.system_contracts import system_contracts
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, FOURTH, OTHER, THIRD, call_contract
from scripts.batches.random_programs import created_address, delegation
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble

NOBODY = bytes(20)
EMPTY = bytes.fromhex("ab" * 20)  # an account without code
POINTER = bytes.fromhex("a1" * 20)  # delegates to CONTRACT in the pre-state
CHAINED = bytes.fromhex("a2" * 20)  # delegates to POINTER
SELF = bytes.fromhex("a3" * 20)  # delegates to itself
TO_PRECOMPILE = bytes.fromhex("a4" * 20)
TO_EMPTY = bytes.fromhex("a5" * 20)
TO_COLD = bytes.fromhex("a6" * 20)
COLD = bytes.fromhex("a7" * 20)
LOOKALIKE = bytes.fromhex("a8" * 20)  # its code is as long as a delegation
MARKED = bytes.fromhex("a9" * 20)  # its code begins as one, and is longer

DELEGATED = {
    POINTER: CONTRACT,
    CHAINED: POINTER,
    SELF: SELF,
    TO_PRECOMPILE: bytes(19) + b"\x04",
    TO_EMPTY: EMPTY,
    TO_COLD: COLD,
}

#: Keys of accounts that no genesis holds, and the accounts.
STRANGE_KEYS = [keccak(f"stranger {number}".encode()) for number in range(3 + len(DELEGATED))]
STRANGERS = [bytes.fromhex(Account.from_key(key).address[2:]) for key in STRANGE_KEYS]

#: Says what a frame sees of itself: who it is, who called it, and its own code.
LOOKS = "caller 0 sstore address 1 sstore codesize 2 sstore 32 0 0 codecopy 0 mload 3 sstore 32 0 return"
#: Looks at the codes of others, as they are.
ASKS = " ".join(
    f"0x{address.hex()} extcodesize 0x{address.hex()} extcodehash 40 0 0 0x{address.hex()} extcodecopy add pop"
    for address in (POINTER, CHAINED, LOOKALIKE, EMPTY)
)
FEES: dict[str, Any] = {"type": 4, "maxFeePerGas": 2000, "maxPriorityFeePerGas": 7}


def authorization(signer: int, address: bytes, nonce: int, **fields: Any) -> dict[str, Any]:
    """One that a wallet signs."""
    return {"secretKey": "0x" + Builder.KEYS[signer].hex(), "address": "0x" + address.hex(), "nonce": nonce} | fields


def strange(signer: int, address: bytes, nonce: int) -> dict[str, Any]:
    """One that somebody signs whom no genesis holds."""
    return authorization(0, address, nonce, secretKey="0x" + STRANGE_KEYS[signer].hex())


def set_code(
    building: Builder, sender: int, to: bytes, authorizations: Sequence[dict[str, Any]], **fields: Any
) -> dict[str, Any]:
    """A set-code transaction."""
    given = {"gas": 600_000, "value": 0, "authorizationList": list(authorizations)}
    return building.transfer(sender, to, **(FEES | given | fields))


def calls(*addresses: bytes, gas: str = "gas", value: int = 0) -> str:
    """All kinds of calls of these accounts."""
    own = []
    for address in addresses:
        name = f"0x{address.hex()}"
        own += [
            f"32 0 5 0 {value} {name} {gas} call",
            f"0 0 5 0 {value} {name} {gas} callcode",
            f"0 32 5 0 {name} {gas} delegatecall",
            f"0 0 0 0 {name} {gas} staticcall",
        ]
    return " ".join(own)


def accounts(fork: Fork = PRAGUE) -> Builder:
    """A genesis with accounts that have delegated."""
    building = Builder(fork)
    building.document["genesis"]["alloc"] |= system_contracts(fork, since=None)
    building.alloc(CONTRACT, code="0x" + assemble(LOOKS).hex(), nonce=1)
    building.alloc(OTHER, code="0x" + assemble("0 1 sstore 7 7 mstore 0 0 revert").hex(), storage={"0x1": "0x1"})
    called = calls(POINTER, CHAINED, SELF, TO_PRECOMPILE, TO_EMPTY, LOOKALIKE, gas="90000", value=1)
    building.alloc(THIRD, code="0x" + assemble(called).hex(), balance=100)
    building.alloc(COLD, code="0x" + assemble("1 1 add pop").hex())
    building.alloc(FOURTH, code="0x" + assemble(ASKS + " " + calls(TO_COLD, MARKED, gas="9000")).hex(), balance=5)
    building.alloc(LOOKALIKE, code="0x5f5f" + "5b" * 21)
    building.alloc(MARKED, code="0xef0100" + "5b" * 21)
    for number, (address, to) in enumerate(DELEGATED.items()):
        building.alloc(address, code=delegation(to), nonce=1, balance=number)
    return building


def transactions(building: Builder) -> list[dict[str, Any]]:
    """Ones that use all tables that delegations have, for a batch of other contracts; and accounts for them.

    One entry makes a new account delegate, one is of an account that has, but has another nonce, the others are void or
    have another nonce, too.
    """
    caller = bytes([0xAC]) * 20
    building.alloc(COLD, code="0x" + assemble(LOOKS).hex())
    building.alloc(TO_COLD, code=delegation(COLD), nonce=1)
    building.alloc(STRANGERS[0], code=delegation(CHAINED), nonce=1)
    source = calls(TO_COLD, gas="90000") + f" 0 0 0 0 {2**100} 0x{TO_COLD.hex()} 0 call"
    building.alloc(caller, code="0x" + assemble(source).hex())
    lists = [
        authorization(1, COLD, 2**32),
        authorization(1, NOBODY, 0, chainId=5),
        strange(0, COLD, 9),
        strange(1, COLD, 0),
    ]
    return [set_code(building, 2, TO_COLD, lists, gas=1_000_000), call_contract(building, 2, caller)]


@cache
def execution(fork: Fork = PRAGUE) -> Execution:
    """Set-code transactions of all kinds, and calls of accounts that have delegated, in two blocks."""
    building, wallets = accounts(fork), Builder.WALLETS
    stranger = authorization(2, COLD, 0)
    building.block(
        # New, changed and taken away; with a wrong nonce, for another chain, void; twice; the recipient's own.
        set_code(
            building,
            0,
            wallets[1],
            [
                authorization(1, CONTRACT, 0),
                authorization(1, COLD, 0),
                authorization(1, NOBODY, 1),
                authorization(1, CONTRACT, 2),
                stranger | {"chainId": 5},
                authorization(3, OTHER, 2**64 - 1),
                authorization(3, OTHER, 1),
            ],
            value=3,
        ),
        # Of the sender, and of one whose code runs and reverts: authorizations stay.
        set_code(building, 0, wallets[2], [authorization(0, COLD, 2), authorization(2, OTHER, 0)], value=1),
        # A sender that has delegated; a recipient that has, to an account without code, a precompile, itself, another.
        building.transfer(0, TO_EMPTY, nonce=3, gas=100_000, data="0x0001"),
        building.transfer(0, TO_PRECOMPILE, nonce=4, gas=100_000, data="0x0001"),
        building.transfer(3, SELF, gas=100_000),
        building.transfer(3, CHAINED, gas=100_000),
        call_contract(building, 3, THIRD, gas=3_000_000),
    )
    building.block(
        call_contract(building, 3, FOURTH),
        building.transfer(0, wallets[1], nonce=5, gas=300_000),
        set_code(building, 3, EMPTY, [authorization(1, NOBODY, 3), authorization(0, OTHER, 6)]),
        building.transfer(3, wallets[1], 1),
        coinbase=wallets[2],
    )
    return execution_of(building.execute())


@cache
def failing(fork: Fork = PRAGUE) -> Execution:
    """Calls that lack gas or the value, or are too deep, of accounts that have delegated and of one that has not."""
    building = accounts(fork)
    limited = bytes([0xD0]) * 20
    poor = calls(POINTER, TO_COLD, LOOKALIKE, EMPTY, value=2**100)
    building.alloc(CONTRACT, code="0x" + assemble(poor).hex())
    building.alloc(limited, code="0x" + assemble(calls(TO_COLD, gas="0")).hex())
    requests = [call_contract(building, 1, CONTRACT)]
    # Gas for some part of a call: that of seven pushes, then 2,600 for either account.
    for gas in (100, 2_599, 2_600, 2_700, 5_199, 5_200, 5_300):
        requests.append(call_contract(building, 1, limited, gas=21_000 + 7 * 3 + gas))
    return execution_of(building.block(*requests).execute())


@cache
def deep(fork: Fork = PRAGUE) -> Execution:
    """The deepest frame calls an account that has delegated: it is too deep for that. It takes much gas (EIP-150)."""
    gas = 10**13
    building = Builder(fork, gasLimit=gas, baseFeePerGas=7, number=1)
    building.document["genesis"]["alloc"] |= system_contracts(fork, since=None)
    building.alloc(CONTRACT, code="0x" + assemble(f"0 0 0 0 0 0x{POINTER.hex()} gas call").hex())
    building.alloc(POINTER, code=delegation(CONTRACT), nonce=1)
    return execution_of(
        building.block(building.transfer(2, CONTRACT, 0, gas=gas // 10, gasPrice=8), gasLimit=gas).execute()
    )


@cache
def extremes(fork: Fork = PRAGUE) -> Execution:
    """Signers that come to be, count their last nonce, send, are paid or create; unusual delegates; taken addresses."""
    building, wallets = accounts(fork), Builder.WALLETS
    recipient, coinbase, worn, *signers = STRANGERS
    creating, leaving = bytes([0xD1]) * 20, bytes([0xD2]) * 20
    building.alloc(creating, code="0x" + assemble("0 0 0 create 0 sstore 3 0 0 1 create2 1 sstore").hex())
    building.alloc(leaving, code="0x" + assemble("0 calldataload selfdestruct").hex())
    building.alloc(worn, nonce=hex(2**64 - 2))
    taken = created_address(wallets[3], 0)
    building.alloc(taken, code=delegation(CONTRACT), balance=3)
    building.block(
        # Nobody has paid the coinbase, and the recipient, before they sign.
        set_code(
            building, 0, EMPTY, [strange(1, OTHER, 0)], maxFeePerGas=Builder.FIRST_BASE_FEE, maxPriorityFeePerGas=0
        ),
        set_code(building, 1, recipient, [strange(0, CONTRACT, 0)], value=5),
        set_code(building, 1, worn, [strange(2, creating, 2**64 - 2), strange(2, NOBODY, 2**64 - 1)], value=2),
        building.transfer(3, value=3, gas=100_000, data="0x00", to=b""),
        building.transfer(3, taken, 1, gas=200_000),
        coinbase=coinbase,
    )
    named = [wallets[0], wallets[1], BEACON_ROOTS_ADDRESS, (0x100).to_bytes(20, "big"), signers[0], coinbase]
    asked = calls(*signers, gas="30000", value=1)
    building.alloc(bytes([0xD3]) * 20, code="0x" + assemble(asked).hex(), balance=100)
    building.block(
        set_code(building, 0, bytes([0xD3]) * 20, [strange(3 + n, to, 0) for n, to in enumerate(named)], gas=3_000_000),
        # The sender's own code creates, which counts its nonce twice, and leaves what it has to itself and to another.
        set_code(building, 0, wallets[0], [authorization(0, creating, 3)], value=1),
        set_code(
            building,
            0,
            wallets[0],
            [authorization(0, leaving, 7)],
            nonce=6,
            data="0x" + wallets[0].rjust(32, b"\0").hex(),
        ),
        building.transfer(0, wallets[0], 5, nonce=8, gas=100_000, data="0x" + wallets[2].rjust(32, b"\0").hex()),
        coinbase=wallets[0],
    )
    return execution_of(building.execute())
