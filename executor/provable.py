"""What cannot be proved yet: refused before any table is filled, with the place where it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from executor.errors import UnsupportedFeature
from executor.forks import FORKS
from executor.limbs import addresses_to_bytes, words_to_ints
from executor.opcodes import CALLS, CREATIONS, MEMORY_OPERANDS, NAMES, REACH
from executor.rules import EMPTY_CODE_HASH
from executor.state_keys import StateKind
from executor.trace import NONE, ExecutionTrace, FrameKind, Outcome

if TYPE_CHECKING:
    from executor.execute import ExecutedBatch

# Bounds of the circuits: a batch outside of them is valid, but cannot be proved.
MAX_GAS = 2**30 - 1  # that code may use; a gas limit may have 64 bits
MAX_GAS_LIMIT = 2**64 - 1
MAX_OPERATIONS = 2**24 - 1  # transactions, withdrawals and beacon-root writes
MAX_CALLDATA_BYTES = 2**22
MAX_ACCESS_LIST = 2**16  # addresses and storage keys together
MAX_CHAIN_ID = 2**64 - 1
MAX_CODE_BYTES = 2**20
MAX_MEMORY_BYTES = 2**24
#: Gas of memory of that size: 3 w + w^2 / 512 for w = 2^19 words. Whoever has less cannot reach beyond.
MAX_MEMORY_GAS = 3 * 2**19 + 2**29

#: A step of a transaction with a larger gas limit must leave so much of `MAX_GAS`: no check of gas comes near the end.
GAS_MARGIN = 2**20
#: Memory from here on takes more gas than 64 bits hold.
VAST_BYTES = 2**48

#: The code of the contract that keeps beacon roots (EIP-4788).
BEACON_ROOTS_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690815414603c57"
    "5f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
)

_CALLING = np.array(sorted(CALLS | CREATIONS), dtype=np.uint8)


def check_provable(executed: ExecutedBatch) -> ExecutionTrace:
    """The trace of a batch all of which can be proved.

    Raises:
        UnsupportedFeature: the first thing in the batch that cannot.
        ValueError: the batch was executed without a trace.
    """
    trace = executed.trace
    if trace is None:
        raise ValueError("a batch executed without a trace cannot be proved")
    if executed.chain_id > MAX_CHAIN_ID:
        raise UnsupportedFeature(f"chain id {executed.chain_id} of more than 64 bits")
    if len(trace.transactions) + len(trace.withdrawals) + len(trace.blocks) > MAX_OPERATIONS:
        raise UnsupportedFeature(f"more than {MAX_OPERATIONS} transactions and withdrawals")
    _check_beacon_roots(trace)
    _check_transactions(executed, trace)
    _check_steps(trace)
    _check_state(trace)
    return trace


def _check_transactions(executed: ExecutedBatch, trace: ExecutionTrace) -> None:
    precompiles = FORKS[executed.fork].precompiles
    table = trace.transactions
    to = addresses_to_bytes(table.to)
    entries = table.access_addresses.astype(np.int64) + table.access_keys
    for row in range(len(table)):
        reason = None
        if table.is_creation[row]:
            reason = "contract creation"
        elif table.gas_limit[row] > MAX_GAS_LIMIT:
            reason = f"gas limit above {MAX_GAS_LIMIT}"
        elif table.input_size[row] > MAX_CALLDATA_BYTES:
            reason = f"calldata of more than {MAX_CALLDATA_BYTES} bytes"
        elif entries[row] > MAX_ACCESS_LIST:
            reason = f"access list of more than {MAX_ACCESS_LIST} entries"
        elif to[row] in precompiles:
            reason = f"call of precompile 0x{to[row].hex()}"
        if reason:
            raise UnsupportedFeature(reason, *_place(trace, row))


def _check_steps(trace: ExecutionTrace) -> None:
    """Calls and creations, and memory beyond the bound."""
    steps, frames = trace.steps, trace.frames
    own = frames.kind[steps.frame] != FrameKind.SYSTEM
    # A call that lacks operands halts for that; any other is none that can be proved.
    lacking = (steps.failed != 0) & (steps.stack_height < REACH[steps.opcode])
    calling = np.flatnonzero(own & np.isin(steps.opcode, _CALLING) & ~lacking)
    if len(calling):
        step = int(calling[0])
        raise UnsupportedFeature(NAMES[int(steps.opcode[step])], *_place_of_step(trace, step))
    _check_gas(trace, own)
    wide = np.flatnonzero(own & (steps.memory_size.astype(np.int64) > MAX_MEMORY_BYTES))
    if len(wide):
        raise UnsupportedFeature("memory of more than 16 MiB", *_place_of_step(trace, int(wide[0])))


def _check_gas(trace: ExecutionTrace, own: NDArray[np.bool_]) -> None:
    """A transaction with a gas limit above `MAX_GAS` must neither use more than that nor lack gas.

    Where it has less, an access to memory beyond the bound must be one that its gas does not pay for.
    """
    steps, frames = trace.steps, trace.frames
    transaction = frames.transaction[steps.frame]
    limits = trace.transactions.gas_limit.astype(np.uint64)
    limit = limits[np.where(own, transaction, 0)] if len(limits) else np.zeros(len(steps), dtype=np.uint64)
    large = own & (limit > MAX_GAS)
    lacks = (steps.failed != 0) & (frames.outcome[steps.frame] == Outcome.OUT_OF_GAS)
    vast = np.zeros(len(steps), dtype=bool)
    for step in np.flatnonzero(lacks & own).tolist():
        vast[step] = _is_vast(trace, step)
    used = large & (limit - steps.gas_before > MAX_GAS - GAS_MARGIN)
    unpaid = own & lacks & ~vast & (large | (steps.gas_before >= MAX_MEMORY_GAS))
    for which, what in (
        (used, f"use of more than {MAX_GAS - GAS_MARGIN} gas"),
        (unpaid, f"lack of gas with a gas limit above {MAX_GAS}, or memory of more than 16 MiB"),
    ):
        if which.any():
            raise UnsupportedFeature(what, *_place_of_step(trace, int(np.argmax(which))))


def _is_vast(trace: ExecutionTrace, step: int) -> bool:
    """Whether an instruction accesses memory beyond 2^48 bytes, for which no gas of 64 bits pays."""
    start, count = int(trace.operands_start[step]), int(trace.steps.operands[step])
    words = words_to_ints(trace.operands.word[start : start + count])
    for offset, size, _ in MEMORY_OPERANDS.get(int(trace.steps.opcode[step]), ()):
        if (
            max(offset, size or 0) < count
            and (size is None or words[size])
            and max(words[offset], 0 if size is None else words[size]) >= VAST_BYTES
        ):
            return True
    return False


def _check_beacon_roots(trace: ExecutionTrace) -> None:
    frames = trace.frames
    for frame in np.flatnonzero(frames.kind == FrameKind.SYSTEM):
        code = trace.codes
        row = frames.code[frame]
        if (
            trace.bytes_at(code.start[row], code.size[row]) != BEACON_ROOTS_CODE
            or frames.outcome[frame] != Outcome.SUCCESS
        ):
            raise UnsupportedFeature("another contract than that of EIP-4788 at its address", int(frames.block[frame]))


def _check_state(trace: ExecutionTrace) -> None:
    if (trace.codes.size > MAX_CODE_BYTES).any():
        raise UnsupportedFeature(f"code of more than {MAX_CODE_BYTES} bytes")
    if len(trace.blocks):
        parent = int(trace.blocks.number[0]) - 1
        if (trace.ancestors.number < parent).any():
            raise UnsupportedFeature(f"BLOCKHASH of a block before the parent {parent}")
    for address in _empty_accounts(trace):
        # Touching such an account deletes it (EIP-161).
        raise UnsupportedFeature(f"empty account 0x{address.hex()} in the pre-state")


def _empty_accounts(trace: ExecutionTrace) -> list[bytes]:
    """Addresses of accounts that are in the pre-state although they are empty."""
    keys = trace.keys
    empty = int.from_bytes(EMPTY_CODE_HASH, "big")
    code = np.frombuffer(empty.to_bytes(32, "little"), dtype="<u2")

    def addresses(kind: StateKind, matches: Any) -> set[bytes]:
        return set(addresses_to_bytes(keys.address[(keys.kind == kind) & matches]))

    zero = ~keys.first.any(axis=1)
    found = (
        addresses(StateKind.EXISTS, keys.first[:, 0] == 1)
        & addresses(StateKind.BALANCE, zero)
        & addresses(StateKind.NONCE, zero)
        & addresses(StateKind.CODE_HASH, (keys.first == code).all(axis=1))
    )
    return sorted(found)


def _place(trace: ExecutionTrace, transaction: int) -> tuple[int, int]:
    """Block, and number within it, of a transaction."""
    block = int(trace.transactions.block[transaction])
    return block, transaction - int(trace.blocks.first_transaction[block])


def _place_of_step(trace: ExecutionTrace, step: int) -> tuple[int, int | None, int]:
    transaction = int(trace.frames.transaction[trace.steps.frame[step]])
    pc = int(trace.steps.pc[step])
    if transaction == NONE:
        return int(trace.frames.block[trace.steps.frame[step]]), None, pc
    return *_place(trace, transaction), pc
