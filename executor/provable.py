"""What cannot be proved yet: refused before any table is filled, with the place where it happens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from executor.errors import UnsupportedFeature
from executor.forks import FORKS
from executor.limbs import addresses_to_bytes, words_to_ints
from executor.opcodes import CALLS, CREATIONS, MEMORY_OPERANDS, NAMES, OPCODES, REACH
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


class Place(NamedTuple):
    """Where in a batch something is; sorts as the batch runs.

    Attributes:
        block: number in the batch.
        transaction: number in the block; -1 before its transactions, as many as it has after them.
        step: of the trace; -1 for the transaction, or what is outside of one, as a whole.
    """

    block: int
    transaction: int
    step: int = -1


class Refusal(NamedTuple):
    """Something that cannot be proved; the first one in the batch sorts first."""

    place: Place
    what: str


NOWHERE = Place(NONE, NONE)  # of what no step and no transaction has to do with


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
    first = min(
        (
            *_beacon_roots(trace),
            *_transactions(executed, trace),
            *_steps(trace),
            *_gas(trace),
            *_codes(trace),
            *_ancestors(trace),
            *_empty_accounts(trace),
        ),
        default=None,
    )
    if first is not None:
        raise unsupported(trace, first)
    return trace


def unsupported(trace: ExecutionTrace, refusal: Refusal) -> UnsupportedFeature:
    """The error that names what cannot be proved and where it is."""
    place = refusal.place
    if place == NOWHERE:
        return UnsupportedFeature(refusal.what)
    blocks = trace.blocks
    inside = (
        0 <= place.transaction < int(blocks.end_transaction[place.block]) - int(blocks.first_transaction[place.block])
    )
    pc = None if place.step < 0 else int(trace.steps.pc[place.step])
    return UnsupportedFeature(refusal.what, place.block, place.transaction if inside else None, pc)


def place_of_transaction(trace: ExecutionTrace, transaction: int) -> Place:
    """The place of a row of the transactions."""
    block = int(trace.transactions.block[transaction])
    return Place(block, transaction - int(trace.blocks.first_transaction[block]))


def _place_of_frame(trace: ExecutionTrace, frame: int) -> Place:
    transaction = int(trace.frames.transaction[frame])
    if transaction == NONE:
        return Place(int(trace.frames.block[frame]), -1)
    return place_of_transaction(trace, transaction)


def _place_of_step(trace: ExecutionTrace, step: int) -> Place:
    return _place_of_frame(trace, int(trace.steps.frame[step]))._replace(step=step)


def _place_of_access(trace: ExecutionTrace, access: int) -> Place:
    """The place of a row of the accesses, which may be outside of transactions."""
    if (step := int(trace.accesses.step[access])) != NONE:
        return _place_of_step(trace, step)
    # Ranges of blocks follow each other without gaps, those of transactions leave out what is around them.
    block = int(np.searchsorted(trace.blocks.end_access, access, side="right"))
    transaction = int(np.searchsorted(trace.transactions.end_access, access, side="right"))
    first, end = (int(column[block]) for column in (trace.blocks.first_transaction, trace.blocks.end_transaction))
    if transaction < end and access < trace.transactions.first_access[transaction]:
        return Place(block, -1)
    return Place(block, min(transaction, end) - first)


def _transactions(executed: ExecutedBatch, trace: ExecutionTrace) -> Iterator[Refusal]:
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
            yield Refusal(place_of_transaction(trace, row), reason)


def _steps(trace: ExecutionTrace) -> Iterator[Refusal]:
    """Calls and creations, and memory beyond the bound."""
    steps = trace.steps
    own = trace.frames.kind[steps.frame] != FrameKind.SYSTEM
    # A call that lacks operands halts for that; any other is none that can be proved.
    lacking = (steps.failed != 0) & (steps.stack_height < REACH[steps.opcode])
    calling = own & np.isin(steps.opcode, _CALLING) & ~lacking
    if calling.any():
        step = int(np.argmax(calling))
        yield Refusal(_place_of_step(trace, step), NAMES[int(steps.opcode[step])])
    wide = own & (steps.memory_size.astype(np.int64) > MAX_MEMORY_BYTES)
    if wide.any():
        yield Refusal(_place_of_step(trace, int(np.argmax(wide))), "memory of more than 16 MiB")


def _gas(trace: ExecutionTrace) -> Iterator[Refusal]:
    """A transaction with a gas limit above `MAX_GAS` must neither use more than that nor lack gas.

    Where it has less, an access to memory beyond the bound must be one that its gas does not pay for.
    """
    steps, frames = trace.steps, trace.frames
    own = frames.kind[steps.frame] != FrameKind.SYSTEM
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
            yield Refusal(_place_of_step(trace, int(np.argmax(which))), what)


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


def _beacon_roots(trace: ExecutionTrace) -> Iterator[Refusal]:
    frames = trace.frames
    for frame in np.flatnonzero(frames.kind == FrameKind.SYSTEM).tolist():
        code = trace.codes
        row = frames.code[frame]
        if (
            trace.bytes_at(code.start[row], code.size[row]) != BEACON_ROOTS_CODE
            or frames.outcome[frame] != Outcome.SUCCESS
        ):
            what = "another contract than that of EIP-4788 at its address"
            yield Refusal(_place_of_frame(trace, frame), what)


def _codes(trace: ExecutionTrace) -> Iterator[Refusal]:
    """Codes that are too long, where they first run or are read."""
    accesses = trace.accesses
    for code in np.flatnonzero(trace.codes.size > MAX_CODE_BYTES).tolist():
        frames = np.flatnonzero(trace.frames.code == code)[:1]
        is_hash = trace.keys.kind[accesses.key] == StateKind.CODE_HASH
        reads = np.flatnonzero(is_hash & (accesses.after == trace.codes.hash[code]).all(axis=1))[:1]
        places = [_place_of_frame(trace, frame) for frame in frames.tolist()]
        places += [_place_of_access(trace, access) for access in reads.tolist()]
        yield Refusal(min(places, default=NOWHERE), f"code of more than {MAX_CODE_BYTES} bytes")


def _ancestors(trace: ExecutionTrace) -> Iterator[Refusal]:
    """The first BLOCKHASH that gives the hash of a block before the parent."""
    if not len(trace.blocks):
        return
    parent = int(trace.blocks.number[0]) - 1
    if not (trace.ancestors.number < parent).any():
        return
    steps = trace.steps
    for step in np.flatnonzero((steps.opcode == OPCODES["BLOCKHASH"]) & (steps.results > 0)).tolist():
        (number,) = words_to_ints(trace.operands.word[int(trace.operands_start[step])][None])
        if number < parent and trace.results.word[int(trace.results_start[step])].any():
            yield Refusal(_place_of_step(trace, step), f"BLOCKHASH of a block before the parent {parent}")
            return


def _empty_accounts(trace: ExecutionTrace) -> Iterator[Refusal]:
    """Accounts that are in the pre-state although they are empty: touching one deletes it (EIP-161)."""
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
    for address in sorted(found):
        of_account = (keys.address == np.frombuffer(address[::-1], dtype="<u2")).all(axis=1)
        accesses = np.flatnonzero(of_account[trace.accesses.key])[:1].tolist()
        place = _place_of_access(trace, accesses[0]) if accesses else NOWHERE
        yield Refusal(place, f"empty account 0x{address.hex()} in the pre-state")
