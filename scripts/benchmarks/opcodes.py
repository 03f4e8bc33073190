"""What gas buys of a prover: cells and interactions of every cheap way to spend it, the worst first.

    python -m scripts.benchmarks.opcodes [NAME...] [--json]    # --write: the table of docs/workloads.md, and its budget

A *piece* of code is run in a loop, several times in each round. Its price is a difference of differences: what more
rounds add to the rows of all tables (padding left out), less what as many rounds of the empty loop add, for each piece.
So everything cancels that does not grow with the pieces that run: the transaction, the block, the code and its opened
chunks, the loop's own steps, range tables and padding. What pieces need anew each time stays in: leaves of the access
tree that they touch, permutations of what they hash, frames and words of memory, and the steps that bring operands,
which cost gas like any other. Operands change from piece to piece where equal ones would be looked up once.

What is not code (a transaction, bytes of calldata, entries of lists) is measured by the difference between two numbers
of them. Gas is what the transaction pays, refunds taken off. Calls of precompiles are those of the benchmark of
precompiles, with their prices of Osaka. An interaction counts as 6.5 cells.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from circuits.batch.execution import Batch, Execution
from executor.forks import OSAKA
from executor.provable import check_provable
from scripts.batches.builder import Builder
from scripts.batches.random_programs import delegation
from scripts.batches.set_code import authorization, set_code
from scripts.benchmarks import precompiles
from scripts.benchmarks.budgets import Benchmark, markdown_table
from scripts.benchmarks.marginal import Cost, cost_of_rows, rows_of
from scripts.workloads.assembler import assemble

FORK = OSAKA
_TESTER = bytes.fromhex("7e57" * 10)
_GAS = FORK.max_transaction_gas or 1 << 24
#: Pieces of a round, and the two numbers of rounds that are compared.
_PIECES = 8
_ROUNDS = (4, 12)
#: Bytes of return data, of calldata, and of memory that are there before the loop begins.
_BYTES = 1024
#: The largest code (EIP-170).
_LARGE = 24_576


def _bytes(seed: str, size: int) -> bytes:
    """Bytes without a pattern, none of them 0."""
    return bytes(b or 1 for b in hashlib.shake_128(seed.encode()).digest(size))


def _word(seed: str) -> int:
    """A word without a pattern, which is odd."""
    return int.from_bytes(_bytes(seed, 32), "big") | 1


_FULL = _word("operand")
#: Addresses from here on are nobody's, others have accounts for the purpose.
_NOBODY, _SOMEBODY, _SMALL, _MANY = 1 << 156, 1 << 157, 1 << 158, 1 << 159
_ONE, _REVERTS, _DESTROYS, _DELEGATES = (int.from_bytes(bytes([n]) * 20, "big") for n in range(0xD1, 0xD5))
#: Slots from here on hold something.
_SLOTS = 1 << 200


@dataclass(frozen=True)
class Piece:
    """Code that is run again and again.

    Attributes:
        source: for the assembler; `{i}` is another number for each piece of the code. The stack has a running word x on
            top, then the loop's own, then words without a pattern; the piece may change x, and leaves all else.
        x: at the beginning.
        fails: whether the frame reverts in the end, so that all it did is undone.
        pieces, rounds: of a round; the two numbers of rounds that are compared.
    """

    source: str
    x: int = _FULL
    fails: bool = False
    pieces: int = _PIECES
    rounds: tuple[int, int] = _ROUNDS

    @property
    def text(self) -> str:
        """As the document has it."""
        return self.source.replace("{i}", "")


@dataclass(frozen=True)
class Growth:
    """What is not code: a batch with so many of it, and the two numbers that are compared."""

    build: Callable[[int], Builder]
    counts: tuple[int, int]


@dataclass(frozen=True)
class Case:
    """A way to spend gas."""

    name: str
    spends: Piece | Growth


@dataclass(frozen=True)
class _Batch:
    """Rows of the tables of a batch as one segment, and the gas it paid."""

    rows: Mapping[str, int] = field(hash=False)
    gas: int


def _measured(building: Builder, status: int = 1) -> _Batch:
    batch = Batch.of(check_provable(building.execute()))
    transactions = batch.trace.transactions
    assert (transactions.status == status).all()
    rows = rows_of(Execution(batch, 0, len(batch.operations)))
    return _Batch(rows, int(transactions.gas_used.sum()))


def _code(piece: Piece, pieces: int) -> bytes:
    """A round after the other, as many as the first word of calldata says.

    Before they begin there are memory, return data and gas paid: more than the floor of the calldata (EIP-7623) asks.
    """
    words = " ".join(str(_word(f"below {n}")) for n in range(14))
    return assemble(
        f"""
        calldatasize 0 0 calldatacopy
        0 0 0 create pop
        {_BYTES} {_BYTES} {_BYTES} 0 4 gas staticcall pop
        {words} 0 calldataload {piece.x}
        loop:
            swap1 dup1 iszero @end jumpi 1 swap1 sub swap1
            {" ".join(piece.source.replace("{i}", str(n)) for n in range(pieces))}
            @loop jump
        end:
        {"0 0 revert" if piece.fails else "stop"}
        """
    )


def _rounds(piece: Piece, pieces: int, rounds: int) -> _Batch:
    storage = {hex(_SLOTS + n): hex(_word(f"slot {n}")) for n in range(_PIECES * max(_ROUNDS) + 1)}
    building = Builder(FORK)
    building.alloc(_TESTER, code="0x" + _code(piece, pieces).hex(), balance=hex(10**6), nonce=1, storage=storage)
    for address, source in {_ONE: "stop", _REVERTS: "0 0 revert", _DESTROYS: "caller selfdestruct"}.items():
        building.alloc(address.to_bytes(20, "big"), code="0x" + assemble(source).hex(), nonce=1)
    building.alloc(_DELEGATES.to_bytes(20, "big"), code=delegation(_ONE.to_bytes(20, "big")), nonce=1)
    for n in range(_PIECES * max(_ROUNDS) + 1):
        building.alloc((_SOMEBODY + n).to_bytes(20, "big"), balance=hex(1 + n))
        code = b"\0" + _bytes(f"code {n}", 31)
        building.alloc((_SMALL + n).to_bytes(20, "big"), code="0x" + code.hex(), nonce=1)
    for n in range(_MANY_CODES):
        building.alloc((_MANY + n).to_bytes(20, "big"), code="0x" + _bytes(f"large {n}", _LARGE).hex(), nonce=1)
    data = rounds.to_bytes(32, "big") + _bytes("calldata", _BYTES - 32)
    called = building.transfer(0, _TESTER, 0, gas=_GAS, data="0x" + data.hex())
    return _measured(building.block(called), status=int(not piece.fails))


_MANY_CODES = 4


@cache
def _empty(fails: bool, rounds: int) -> _Batch:
    """The loop without pieces."""
    return _rounds(Piece("", fails=fails), 0, rounds)


def _difference(more: _Batch, less: _Batch) -> tuple[Cost, int]:
    return cost_of_rows(more.rows, FORK) - cost_of_rows(less.rows, FORK), more.gas - less.gas


def cost_of(case: Case) -> tuple[Cost, float]:
    """Cells, interactions and gas of one piece, or of one of what is not code."""
    match case.spends:
        case Growth(build, (few, many)):
            cost, gas = _difference(_measured(build(many)), _measured(build(few)))
            return cost / (many - few), gas / (many - few)
        case Piece(rounds=(few, many), pieces=pieces, fails=fails) as piece:
            cost, gas = _difference(_rounds(piece, pieces, many), _rounds(piece, pieces, few))
            loop, loop_gas = _difference(_empty(fails, many), _empty(fails, few))
            count = (many - few) * pieces
            return (cost - loop) / count, (gas - loop_gas) / count


# What is not code.


def _spending() -> str:
    """Code that pays for more than the floor of a transaction's data."""
    return "0x" + assemble("0 0 0 create pop " * 8).hex()


def _transactions(count: int) -> Builder:
    building = Builder(FORK)
    return building.block(*(building.transfer(n % 4, (_NOBODY + n).to_bytes(20, "big")) for n in range(count)))


def _of_calldata(byte: Callable[[int], bytes]) -> Callable[[int], Builder]:
    def build(count: int) -> Builder:
        building = Builder(FORK).alloc(_TESTER, code=_spending(), nonce=1)
        return building.block(building.transfer(0, _TESTER, 0, gas=1_000_000, data="0x" + byte(count).hex()))

    return build


def _access_list(addresses: bool) -> Callable[[int], Builder]:
    def build(count: int) -> Builder:
        own = "0x" + _TESTER.hex()
        entries = (
            [{"address": f"0x{_NOBODY + n:040x}", "storageKeys": []} for n in range(count)]
            if addresses
            else [{"address": own, "storageKeys": [f"0x{_SLOTS + n:064x}" for n in range(count)]}]
        )
        fees = {"type": 1, "gasPrice": 1000, "accessList": entries}
        building = Builder(FORK).alloc(_TESTER, code=_spending(), nonce=1)
        return building.block(building.transfer(0, _TESTER, 0, gas=2_000_000, **fees))

    return build


def _authorizations(count: int) -> Builder:
    building = Builder(FORK).alloc(_TESTER, code=_spending(), nonce=1)
    signed = [authorization(0, _TESTER, 0, secretKey="0x" + keccak(f"signer {n}".encode()).hex()) for n in range(count)]
    return building.block(set_code(building, 0, _TESTER, signed, gas=2_000_000))


def _call(to: int, value: int = 0, gas: str = "gas", then: str = "") -> Piece:
    """A call of the account x, without input and output."""
    return Piece(f"0 0 0 0 {value} dup6 {gas} call pop {then}".strip(), to)


_NEXT = "1 add"
#: Initcode that leaves so many zeros as code.
_LEAVES = "0x" + assemble(f"{_BYTES} 0 return").hex()


@cache
def cases() -> dict[str, Case]:
    """What is measured, by short names."""
    found: dict[str, tuple[str, Piece | Growth]] = {
        "jumpdest": ("JUMPDEST", Piece("jumpdest")),
        "pc": ("PC", Piece("pc pop")),
        "gas": ("GAS", Piece("gas pop")),
        "address": ("ADDRESS", Piece("address pop")),
        "callvalue": ("CALLVALUE", Piece("callvalue pop")),
        "timestamp": ("TIMESTAMP", Piece("timestamp pop")),
        "blockhash": ("BLOCKHASH", Piece("0 blockhash pop")),
        "push0": ("PUSH0, POP", Piece("0 pop")),
        "push1": ("PUSH1, POP", Piece("1 pop")),
        "push4": ("PUSH4, POP", Piece("0x12345678 pop")),
        "push32": ("PUSH32, POP", Piece(f"0x{_FULL:064x} pop")),
        "dup1": ("DUP1, POP", Piece("dup1 pop")),
        "dup16": ("DUP16, POP", Piece("dup16 pop")),
        "swap1": ("SWAP1", Piece("swap1 swap1")),
        "swap15": ("SWAP15", Piece("swap15 swap15")),
        "jump": ("JUMP", Piece("@to{i} jump to{i}:")),
        "jumpi": ("JUMPI", Piece("dup1 @to{i} jumpi to{i}:")),
        "jumpi-not": ("JUMPI, not taken", Piece("0 @to{i} jumpi to{i}:")),
        "add": ("ADD", Piece("dup3 add")),
        "add-small": ("ADD below 2^32", Piece("1 add", 5)),
        "sub": ("SUB", Piece("dup3 sub")),
        "mul": ("MUL", Piece("dup3 mul")),
        "mul-small": ("MUL below 2^32", Piece("1 add dup1 7 mul pop", 5)),
        "div": ("DIV", Piece("dup3 add dup1 dup5 div pop")),
        "sdiv": ("SDIV", Piece("dup3 add dup1 dup5 sdiv pop")),
        "mod": ("MOD", Piece("dup3 add dup1 dup5 mod pop")),
        "addmod": ("ADDMOD", Piece("dup4 dup4 swap2 addmod")),
        "mulmod": ("MULMOD", Piece("dup4 dup4 swap2 mulmod")),
        "exp": ("EXP of 32 bytes", Piece("dup3 swap1 exp")),
        "exp-byte": ("EXP of a byte", Piece("255 swap1 exp")),
        "signextend": ("SIGNEXTEND", Piece("dup3 add dup1 15 signextend pop")),
        "lt": ("LT", Piece("dup3 add dup3 dup2 lt pop")),
        "sgt": ("SGT", Piece("dup3 add dup3 dup2 sgt pop")),
        "eq": ("EQ", Piece("dup3 add dup3 dup2 eq pop")),
        "iszero": ("ISZERO", Piece("dup1 iszero pop")),
        "and": ("AND", Piece("dup3 add dup4 dup2 and pop")),
        "xor": ("XOR", Piece("dup3 add dup4 dup2 xor pop")),
        "not": ("NOT", Piece("not")),
        "byte": ("BYTE", Piece("dup3 add dup1 5 byte pop")),
        "shl": ("SHL", Piece("dup3 add dup1 77 shl pop")),
        "sar": ("SAR", Piece("dup3 add dup1 77 sar pop")),
        "clz": ("CLZ", Piece("dup3 add dup1 clz pop")),
        "keccak": ("KECCAK256 of a word", Piece("32 0 sha3 0 mstore")),
        "keccak-block": ("KECCAK256 of 135 bytes", Piece("135 0 sha3 0 mstore")),
        "keccak-long": ("KECCAK256 of 4,096 bytes", Piece("4096 0 sha3 0 mstore", pieces=1, rounds=(1, 3))),
        "mload-upwards": ("MLOAD upwards", Piece("dup1 mload pop 32 add", 2 * _BYTES)),
        "mload": ("MLOAD", Piece("0 mload pop")),
        "mload-unaligned": ("MLOAD, not aligned", Piece("5 mload pop")),
        "mstore": ("MSTORE", Piece("dup1 0 mstore")),
        "mstore-unaligned": ("MSTORE, not aligned", Piece("dup1 5 mstore")),
        "mstore8": ("MSTORE8", Piece("dup1 5 mstore8")),
        "msize": ("MSIZE", Piece("msize pop")),
        "calldatasize": ("CALLDATASIZE", Piece("calldatasize pop")),
        "calldataload": ("CALLDATALOAD", Piece("0 calldataload pop")),
        "calldataload-unaligned": ("CALLDATALOAD, not aligned", Piece("5 calldataload pop")),
        **{
            f"{name.lower()}{suffix}": (f"{name} of {what}", Piece(f"{size} 5 3 {name.lower()}"))
            for name in ("CALLDATACOPY", "CODECOPY", "RETURNDATACOPY", "MCOPY")
            for suffix, what, size in (("-byte", "a byte", 1), ("", "a word", 32), ("-long", "992 bytes", 992))
        },
        "codesize": ("CODESIZE", Piece("codesize pop")),
        "extcodecopy": ("EXTCODECOPY of a word", Piece("32 0 0 dup4 extcodecopy", _SMALL)),
        "extcodecopy-cold": (
            "EXTCODECOPY of 24,576 bytes, cold",
            Piece(f"{_LARGE} 0 0 dup4 extcodecopy {_NEXT}", _MANY, pieces=1, rounds=(1, 3)),
        ),
        "extcodecopy-byte-cold": ("EXTCODECOPY of a byte, cold", Piece(f"1 0 0 dup4 extcodecopy {_NEXT}", _SMALL)),
        "extcodesize": ("EXTCODESIZE", Piece("dup1 extcodesize pop", _SMALL)),
        "extcodesize-cold": ("EXTCODESIZE, cold", Piece(f"dup1 extcodesize pop {_NEXT}", _SMALL)),
        "extcodehash": ("EXTCODEHASH", Piece("dup1 extcodehash pop", _SMALL)),
        "extcodehash-cold": ("EXTCODEHASH, cold", Piece(f"dup1 extcodehash pop {_NEXT}", _SMALL)),
        "selfbalance": ("SELFBALANCE", Piece("selfbalance pop")),
        "balance": ("BALANCE", Piece("dup1 balance pop", _SOMEBODY)),
        "balance-cold": ("BALANCE, cold", Piece(f"dup1 balance pop {_NEXT}", _SOMEBODY)),
        "balance-nobody": ("BALANCE of nobody, cold", Piece(f"dup1 balance pop {_NEXT}", _NOBODY)),
        "balance-undone": ("BALANCE, cold, undone", Piece(f"dup1 balance pop {_NEXT}", _SOMEBODY, fails=True)),
        "sload": ("SLOAD", Piece("7 sload pop")),
        "sload-cold": ("SLOAD, cold", Piece(f"dup1 sload pop {_NEXT}", _SLOTS)),
        "sload-undone": ("SLOAD, cold, undone", Piece(f"dup1 sload pop {_NEXT}", _SLOTS, fails=True)),
        "sstore-new": ("SSTORE, cold, of a new slot", Piece(f"dup1 dup1 sstore {_NEXT}", 2 * _SLOTS)),
        "sstore-change": ("SSTORE, cold, of a slot", Piece(f"dup1 dup1 sstore {_NEXT}", _SLOTS)),
        "sstore-clear": ("SSTORE, cold, that clears", Piece(f"0 dup2 sstore {_NEXT}", _SLOTS)),
        "sstore-same": ("SSTORE, cold, of the same", Piece(f"dup1 sload dup2 sstore {_NEXT}", _SLOTS)),
        "sstore-undone": ("SSTORE, cold, of a slot, undone", Piece(f"dup1 dup1 sstore {_NEXT}", _SLOTS, fails=True)),
        "sstore-again": ("SSTORE, again", Piece(f"dup1 7 sstore {_NEXT}")),
        "tload": ("TLOAD", Piece("7 tload pop")),
        "tload-new": ("TLOAD of another slot", Piece(f"dup1 tload pop {_NEXT}")),
        "tstore": ("TSTORE", Piece(f"dup1 7 tstore {_NEXT}")),
        "tstore-new": ("TSTORE to another slot", Piece(f"dup1 dup1 tstore {_NEXT}")),
        "tstore-undone": ("TSTORE to another slot, undone", Piece(f"dup1 dup1 tstore {_NEXT}", fails=True)),
        **{f"log{n}": (f"LOG{n}", Piece("dup1 " * n + f"0 0 log{n}")) for n in range(5)},
        "log0-long": ("LOG0 of 1,024 bytes", Piece("1024 0 log0")),
        "call-nobody": ("CALL of nobody", _call(_NOBODY)),
        "call-nobody-cold": ("CALL of nobody, cold", _call(_NOBODY, then=_NEXT)),
        "call-new": ("CALL that makes an account", _call(_NOBODY, 1, then=_NEXT)),
        "call-value": ("CALL with value", _call(_SOMEBODY, 1)),
        "call-poor": ("CALL with more than there is", _call(_SOMEBODY, 1 << 80)),
        "call-code": ("CALL of code", _call(_ONE)),
        "call-code-cold": ("CALL of code, cold", _call(_SMALL, then=_NEXT)),
        "call-reverts": ("CALL of code that reverts", _call(_REVERTS)),
        "call-delegated": ("CALL of a delegated account", _call(_DELEGATES)),
        "staticcall": ("STATICCALL of code", Piece("0 0 0 0 dup5 gas staticcall pop", _ONE)),
        "delegatecall": ("DELEGATECALL of code", Piece("0 0 0 0 dup5 gas delegatecall pop", _ONE)),
        "callcode": ("CALLCODE of code", Piece("0 0 0 0 0 dup6 gas callcode pop", _ONE)),
        "create": ("CREATE of nothing", Piece("0 0 0 create pop")),
        "create-code": ("CREATE of 1,024 bytes", Piece(f"{_LEAVES} 0 mstore 5 27 0 create pop", pieces=2)),
        "create2": ("CREATE2 of nothing", Piece(f"dup1 0 0 0 create2 pop {_NEXT}")),
        "create2-code": (
            "CREATE2 of 1,024 bytes", Piece(f"{_LEAVES} 0 mstore dup1 5 27 0 create2 pop {_NEXT}", pieces=2)
        ),
        "selfdestruct": ("CALL of code with SELFDESTRUCT", _call(_DESTROYS)),
        "transaction": ("transaction that makes an account", Growth(_transactions, (8, 24))),
        "zero-bytes": ("calldata, a byte that is 0", Growth(_of_calldata(bytes), (256, 2304))),
        "nonzero-bytes": (
            "calldata, a byte that is not 0", Growth(_of_calldata(lambda n: _bytes("calldata", n)), (256, 2304))
        ),
        "access-list-addresses": ("access list, an address", Growth(_access_list(True), (8, 40))),
        "access-list-keys": ("access list, a key", Growth(_access_list(False), (8, 40))),
        "authorizations": ("authorization", Growth(_authorizations, (4, 12))),
    }  # fmt: skip
    return {name: Case(what, spends) for name, (what, spends) in found.items()}


def figures(name: str) -> dict[str, Any]:
    """The figures of a case, per million gas, and per gas in cell equivalents."""
    case = cases()[name]
    cost, gas = cost_of(case)
    return {
        "what": case.name,
        "code": case.spends.text if isinstance(case.spends, Piece) else "",
        "gas": round(gas, 2),
        **_per_gas(cost, gas),
    }


def _per_gas(cost: Cost, gas: float) -> dict[str, Any]:
    million = cost / gas
    return {
        "cells": round(million.cells * 10**6),
        "interactions": round(million.interactions * 10**6),
        "per_gas": round(million.weight, 1),
    }


def of_precompiles(budget: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The calls of precompiles at their prices of Osaka, from what a call is known to cost, with the call's gas."""
    found = {}
    for name, figure in budget.items():
        case = precompiles.cases()[name]
        if case.tables or (case.call.number == 5 and case.call.fork != FORK):
            continue
        cost = Cost(figure["cells"], figure["interactions"])
        found[f"precompile-{name}"] = {
            "what": figure["what"], "code": "", "gas": figure["gas"], **_per_gas(cost, figure["gas"])
        }  # fmt: skip
    return found


_HEADING = ("", "code", "gas", "cells per million gas", "interactions per million gas", "cell equivalents a gas")


def lines(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The table, line by line, the worst prices first."""

    def shown(value: float) -> str:
        return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:,.1f}"

    worst_first = sorted(found.values(), key=lambda figure: -figure["per_gas"])
    return [
        (f["what"], _shortened(f["code"]), *(shown(f[k]) for k in ("gas", "cells", "interactions", "per_gas")))
        for f in worst_first
    ]


def _shortened(source: str) -> str:
    words = (word if len(word) <= 12 or not word[0].isdigit() else f"{word[:6]}…" for word in source.split())
    return f"`{' '.join(words)}`" if source else ""


DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "workloads.md"
BUDGET = Path(__file__).resolve().parents[2] / "tests" / "prover" / "opcode_budget.json"
BEGIN, FINISH = "<!-- what gas buys, by scripts/benchmarks/opcodes.py -->", "<!-- end of what gas buys -->"


def markdown(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of the document, without the calls of precompiles."""
    calls = of_precompiles(json.loads(precompiles.BUDGET.read_text()))
    return markdown_table(_HEADING, 2, lines({**found, **calls}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; `--json` prints one JSON object, `--write` makes it the budget and the document's table."""
    Benchmark(
        names=tuple(cases()),
        figures=figures,
        title="What gas buys",
        heading=_HEADING,
        texts=2,
        width=160,
        lines=lines,
        budget=BUDGET,
        document=DOCUMENT,
        marks=(BEGIN, FINISH),
        markdown=markdown,
    ).run(__doc__, arguments)


if __name__ == "__main__":
    main()
