"""The instructions of the EVM and what they do to the stack, as tables indexed by the opcode.

Source: yellow paper, appendix H.2, and the execution specs (``cancun/vm/instructions``). The tables are those of
Cancun; instructions that later forks add are with these (:mod:`executor.forks`). Opcodes that no instruction has are in
no table; they halt exceptionally.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from executor.forks import AddedInstruction

# name: (opcode, words popped, words pushed)
_PLAIN = {
    "STOP": (0x00, 0, 0),
    "ADD": (0x01, 2, 1),
    "MUL": (0x02, 2, 1),
    "SUB": (0x03, 2, 1),
    "DIV": (0x04, 2, 1),
    "SDIV": (0x05, 2, 1),
    "MOD": (0x06, 2, 1),
    "SMOD": (0x07, 2, 1),
    "ADDMOD": (0x08, 3, 1),
    "MULMOD": (0x09, 3, 1),
    "EXP": (0x0A, 2, 1),
    "SIGNEXTEND": (0x0B, 2, 1),
    "LT": (0x10, 2, 1),
    "GT": (0x11, 2, 1),
    "SLT": (0x12, 2, 1),
    "SGT": (0x13, 2, 1),
    "EQ": (0x14, 2, 1),
    "ISZERO": (0x15, 1, 1),
    "AND": (0x16, 2, 1),
    "OR": (0x17, 2, 1),
    "XOR": (0x18, 2, 1),
    "NOT": (0x19, 1, 1),
    "BYTE": (0x1A, 2, 1),
    "SHL": (0x1B, 2, 1),
    "SHR": (0x1C, 2, 1),
    "SAR": (0x1D, 2, 1),
    "KECCAK256": (0x20, 2, 1),
    "ADDRESS": (0x30, 0, 1),
    "BALANCE": (0x31, 1, 1),
    "ORIGIN": (0x32, 0, 1),
    "CALLER": (0x33, 0, 1),
    "CALLVALUE": (0x34, 0, 1),
    "CALLDATALOAD": (0x35, 1, 1),
    "CALLDATASIZE": (0x36, 0, 1),
    "CALLDATACOPY": (0x37, 3, 0),
    "CODESIZE": (0x38, 0, 1),
    "CODECOPY": (0x39, 3, 0),
    "GASPRICE": (0x3A, 0, 1),
    "EXTCODESIZE": (0x3B, 1, 1),
    "EXTCODECOPY": (0x3C, 4, 0),
    "RETURNDATASIZE": (0x3D, 0, 1),
    "RETURNDATACOPY": (0x3E, 3, 0),
    "EXTCODEHASH": (0x3F, 1, 1),
    "BLOCKHASH": (0x40, 1, 1),
    "COINBASE": (0x41, 0, 1),
    "TIMESTAMP": (0x42, 0, 1),
    "NUMBER": (0x43, 0, 1),
    "PREVRANDAO": (0x44, 0, 1),
    "GASLIMIT": (0x45, 0, 1),
    "CHAINID": (0x46, 0, 1),
    "SELFBALANCE": (0x47, 0, 1),
    "BASEFEE": (0x48, 0, 1),
    "BLOBHASH": (0x49, 1, 1),
    "BLOBBASEFEE": (0x4A, 0, 1),
    "POP": (0x50, 1, 0),
    "MLOAD": (0x51, 1, 1),
    "MSTORE": (0x52, 2, 0),
    "MSTORE8": (0x53, 2, 0),
    "SLOAD": (0x54, 1, 1),
    "SSTORE": (0x55, 2, 0),
    "JUMP": (0x56, 1, 0),
    "JUMPI": (0x57, 2, 0),
    "PC": (0x58, 0, 1),
    "MSIZE": (0x59, 0, 1),
    "GAS": (0x5A, 0, 1),
    "JUMPDEST": (0x5B, 0, 0),
    "TLOAD": (0x5C, 1, 1),
    "TSTORE": (0x5D, 2, 0),
    "MCOPY": (0x5E, 3, 0),
    "CREATE": (0xF0, 3, 1),
    "CALL": (0xF1, 7, 1),
    "CALLCODE": (0xF2, 7, 1),
    "RETURN": (0xF3, 2, 0),
    "DELEGATECALL": (0xF4, 6, 1),
    "CREATE2": (0xF5, 4, 1),
    "STATICCALL": (0xFA, 6, 1),
    "REVERT": (0xFD, 2, 0),
    "SELFDESTRUCT": (0xFF, 1, 0),
}
PUSH0, DUP1, SWAP1, LOG0 = 0x5F, 0x80, 0x90, 0xA0
MAX_PUSH, MAX_DUP, MAX_SWAP, MAX_TOPICS = 32, 16, 16, 4

_STACK_EFFECTS: dict[str, tuple[int, int, int]] = (
    _PLAIN
    | {f"PUSH{size}": (PUSH0 + size, 0, 1) for size in range(MAX_PUSH + 1)}
    | {f"LOG{topics}": (LOG0 + topics, 2 + topics, 0) for topics in range(MAX_TOPICS + 1)}
    # These two move what lies on the stack. They count as reading what they move and writing it where it goes.
    | {f"DUP{depth}": (DUP1 + depth - 1, 1, 1) for depth in range(1, MAX_DUP + 1)}
    | {f"SWAP{depth}": (SWAP1 + depth - 1, 2, 2) for depth in range(1, MAX_SWAP + 1)}
)

OPCODES: Mapping[str, int] = {name: opcode for name, (opcode, _, _) in _STACK_EFFECTS.items()}
NAMES: dict[int, str] = {opcode: name for name, opcode in OPCODES.items()}

CALLS = frozenset(OPCODES[name] for name in ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"))
CREATIONS = frozenset(OPCODES[name] for name in ("CREATE", "CREATE2"))
#: Instructions that open frames, in ascending order.
OPENERS = tuple(sorted(CALLS | CREATIONS))

#: Instructions that access memory: operands of offset and size (None: a constant size) of each access.
MEMORY_OPERANDS: Mapping[int, tuple[tuple[int, int | None, int], ...]] = {
    OPCODES["KECCAK256"]: ((0, 1, 0),),
    OPCODES["CALLDATACOPY"]: ((0, 2, 0),),
    OPCODES["CODECOPY"]: ((0, 2, 0),),
    OPCODES["RETURNDATACOPY"]: ((0, 2, 0),),
    OPCODES["EXTCODECOPY"]: ((1, 3, 0),),
    OPCODES["MLOAD"]: ((0, None, 32),),
    OPCODES["MSTORE"]: ((0, None, 32),),
    OPCODES["MSTORE8"]: ((0, None, 1),),
    OPCODES["MCOPY"]: ((0, 2, 0), (1, 2, 0)),
    OPCODES["RETURN"]: ((0, 1, 0),),
    OPCODES["REVERT"]: ((0, 1, 0),),
    **{OPCODES[f"LOG{topics}"]: ((0, 1, 0),) for topics in range(5)},
    OPCODES["CREATE"]: ((1, 2, 0),),
    OPCODES["CREATE2"]: ((1, 2, 0),),
    OPCODES["CALL"]: ((3, 4, 0), (5, 6, 0)),
    OPCODES["CALLCODE"]: ((3, 4, 0), (5, 6, 0)),
    OPCODES["DELEGATECALL"]: ((2, 3, 0), (4, 5, 0)),
    OPCODES["STATICCALL"]: ((2, 3, 0), (4, 5, 0)),
}

OPERANDS: NDArray[np.uint8]  # (256,) words an instruction reads from the stack
RESULTS: NDArray[np.uint8]  # (256,) words an instruction writes to the stack
REACH: NDArray[np.uint8]  # (256,) words that must lie on the stack


def _column(values: Mapping[int, int]) -> NDArray[np.uint8]:
    column = np.zeros(256, dtype=np.uint8)
    column[list(values)] = list(values.values())
    column.setflags(write=False)
    return column


OPERANDS = _column({opcode: pops for opcode, pops, _ in _STACK_EFFECTS.values()})
RESULTS = _column({opcode: pushes for opcode, _, pushes in _STACK_EFFECTS.values()})
REACH = _column(
    {opcode: pops for opcode, pops, _ in _STACK_EFFECTS.values()}
    | {DUP1 + depth - 1: depth for depth in range(1, MAX_DUP + 1)}
    | {SWAP1 + depth - 1: depth + 1 for depth in range(1, MAX_SWAP + 1)}
)


@dataclass(frozen=True, eq=False)
class InstructionSet:
    """The instructions of a fork.

    Attributes:
        names: by opcode.
        operands, results, reach: (256,) as `OPERANDS`, `RESULTS` and `REACH`.
        moves: of instructions that move words by the byte behind them (`AddedInstruction.places`): the places below
            the top by that byte, (256, operands), -1 where they halt exceptionally. Like DUP and SWAP they count as
            reading what they move, and writing it where it goes.
    """

    names: Mapping[int, str]
    operands: NDArray[np.uint8]
    results: NDArray[np.uint8]
    reach: NDArray[np.uint8]
    moves: Mapping[int, NDArray[np.int16]]


@cache
def instruction_set(added: tuple[AddedInstruction, ...]) -> InstructionSet:
    """The instructions of a fork that adds these ones."""
    operands, results, reach = OPERANDS.copy(), RESULTS.copy(), REACH.copy()
    for instruction in added:
        operands[instruction.opcode] = reach[instruction.opcode] = instruction.operands
        results[instruction.opcode] = instruction.results
    for column in (operands, results, reach):
        column.setflags(write=False)
    moves = {
        i.opcode: np.array([(-1,) * i.operands if p is None else p for p in i.places], dtype=np.int16)
        for i in added
        if i.places
    }
    return InstructionSet(NAMES | {i.opcode: i.name for i in added}, operands, results, reach, moves)


def is_dup(opcode: int) -> bool:
    """Whether the opcode is one of DUP1 to DUP16."""
    return DUP1 <= opcode < DUP1 + MAX_DUP


def is_swap(opcode: int) -> bool:
    """Whether the opcode is one of SWAP1 to SWAP16."""
    return SWAP1 <= opcode < SWAP1 + MAX_SWAP
