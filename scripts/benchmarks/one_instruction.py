"""Transactions that spend all their gas on one cheap instruction, what an attacker of a prover would send.

    python -m scripts.benchmarks.one_instruction FOLDER [NAME...] [--gas 30000000]

writes a batch file for each, of one transaction of so much gas. The instruction runs in a loop, many times in a round,
until too little gas is left for a round. Operands change from one to the next where equal ones would be looked up once.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.batches.builder import Builder
from scripts.workloads.assembler import assemble

GAS = 30_000_000
_SPENDER = bytes.fromhex("5e" * 20)
_FULL = (1 << 256) - 1
#: Gas of a round, such that its code is below the bound of EIP-170.
_ROUND = 24_000
#: Accounts from here on hold code, those from there on do not exist.
_CODES, _NOBODY = 1 << 157, 1 << 156


@dataclass(frozen=True)
class Spending:
    """A way to spend gas.

    Attributes:
        source: for the assembler; it changes nothing but the words x and y, which are on top of the stack.
        gas: that it takes at most, with the words around the instruction.
        x, y: in the beginning.
    """

    source: str
    gas: int
    x: int = 0
    y: int = _FULL

    def code(self) -> bytes:
        """It, again and again, until gas for a round is lacking."""
        pieces = max(1, _ROUND // self.gas)
        round_ = f"{self.source} " * pieces
        enough = self.gas * pieces + 100
        return assemble(f"{self.y} {self.x} loop: {enough} gas lt @end jumpi {round_} @loop jump end: stop")


SPENDINGS = {
    "jumpdest": Spending("jumpdest", 1),
    "exp": Spending("dup2 swap1 exp", 10 + 50 * 32 + 6, x=3),
    "keccak256": Spending("0 mstore 32 0 sha3", 3 + 3 + 36 + 6 + 6),
    "mload": Spending("dup1 mload pop 32 add", 3 + 3 + 2 + 3 + 3 + 500),
    "extcodesize": Spending("dup1 extcodesize pop 1 add", 2_600 + 11, x=_CODES),
    "log0": Spending("0 0 log0", 375 + 4),
    "sstore": Spending("dup2 dup2 sstore 1 add", 22_100 + 12),
    "call": Spending("0 0 0 0 0 dup6 gas call pop 1 add", 2_600 + 30, x=_NOBODY),
    "create2": Spending("dup1 0 0 0 create2 pop 1 add", 32_000 + 20),
}


def batch_of(name: str, gas: int = GAS) -> Builder:
    """A batch of one transaction that spends its gas so.

    Args:
        name: one of `SPENDINGS`.
        gas: its limit.
    """
    spending = SPENDINGS[name]
    building = Builder(gasLimit=max(gas, Builder().document["genesis"]["gasLimit"]))
    building.alloc(_SPENDER, code="0x" + spending.code().hex(), balance=hex(1), nonce=1)
    if name == "extcodesize":
        for number in range(gas // spending.gas):
            code = b"\0" + number.to_bytes(4, "big") * 8
            building.alloc((_CODES + number).to_bytes(20, "big"), code="0x" + code.hex(), nonce=1)
    call = building.transfer(0, _SPENDER, 0, gas=gas)
    return building.block(call, gasLimit=building.document["genesis"]["gasLimit"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(SPENDINGS)}")
    parser.add_argument("--gas", type=int, default=GAS, help=f"of a transaction, {GAS:,} by default")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(SPENDINGS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SPENDINGS)}")
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.names or SPENDINGS:
        (options.folder / f"{name}.json").write_text(json.dumps(batch_of(name, options.gas).document))


if __name__ == "__main__":
    main()
