"""What cannot be proved: refused before any table is filled, with the place where it happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from executor.errors import UnsupportedFeature
from executor.forks import BEACON_ROOTS_ADDRESS, DEVELOPMENT_FORKS, EXECUTED_FORKS, FORKS, Fork
from executor.limbs import addresses_to_bytes, words_to_ints
from executor.modexp import ModexpInput
from executor.opcodes import CREATIONS, MEMORY_OPERANDS, OPCODES, OPENERS
from executor.state_keys import EMPTY_CODE_HASH, StateKind
from executor.trace import NONE, ExecutionTrace, FrameKind, Mode, Outcome
from executor.transactions import delegates

if TYPE_CHECKING:
    from executor.execute import ExecutedBatch

# Bounds of the circuits: a batch outside of them is valid, but cannot be proved.
MAX_GAS = 2**30 - 1  # that code may use; a gas limit may have 64 bits
MAX_GAS_LIMIT = 2**64 - 1
MAX_REFUND = 2**30 - 1  # of the counter of a transaction, at any time
MAX_OPERATIONS = 2**24 - 1  # transactions, withdrawals and calls of system contracts
MAX_CALLDATA_BYTES = 2**22
MAX_ACCESS_LIST = 2**16  # addresses and storage keys together
MAX_AUTHORIZATIONS = 2**13  # of a transaction
MAX_CHAIN_ID = 2**64 - 1
MAX_CODE_BYTES = 2**20
MAX_MEMORY_BYTES = 2**24
#: Gas of memory of that size: 3 w + w^2 / 512 for w = 2^19 words. Whoever has less cannot reach beyond.
MAX_MEMORY_GAS = 3 * 2**19 + 2**29

#: Rounds of BLAKE2F in a call, a step that is proved as a whole: each takes a row of a table.
MAX_BLAKE2F_ROUNDS = 2**21

#: A step of a transaction with a larger gas limit must leave so much of `MAX_GAS`: no check of gas comes near the end.
GAS_MARGIN = 2**23
#: Memory from here on takes more gas than 64 bits hold.
VAST_BYTES = 2**48

_ENDINGS = np.array([OPCODES["RETURN"], OPCODES["REVERT"]], dtype=np.uint8)

#: Precompiles of all forks by the names that the execution specs have for them; all are proved.
PRECOMPILE_NAMES = {
    1: "ecrecover",
    2: "sha256",
    3: "ripemd160",
    4: "identity",
    5: "modexp",
    6: "alt_bn128_add",
    7: "alt_bn128_mul",
    8: "alt_bn128_pairing_check",
    9: "blake2f",
    10: "point_evaluation",
    0x0B: "bls12_g1_add",
    0x0C: "bls12_g1_msm",
    0x0D: "bls12_g2_add",
    0x0E: "bls12_g2_msm",
    0x0F: "bls12_pairing",
    0x10: "bls12_map_fp_to_g1",
    0x11: "bls12_map_fp2_to_g2",
    0x100: "p256verify",
}
#: Precompiles whose input has parts: bytes of a part, gas of a call, gas of each of many parts. Proved below so many
#: parts, or where the gas for these is lacking.
PARTED_PRECOMPILES = {
    8: (192, 45_000, 34_000),
    0x0C: (160, 0, 6_228),
    0x0E: (288, 0, 11_790),
    0x0F: (384, 37_700, 32_600),
}
MAX_PARTS = 2**14
BLAKE2F, BLAKE2F_INPUT_BYTES = 9, 213
MODEXP = 5


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
    for number, fork in enumerate(executed.forks):
        if fork.name in DEVELOPMENT_FORKS:
            raise UnsupportedFeature(f"fork {fork.name}, which is in development", number)
        if fork != FORKS[fork.name]:
            raise UnsupportedFeature(f"fork {fork.name} with another blob schedule", number)
    trace = executed.trace
    if trace is None:
        raise ValueError("a batch executed without a trace cannot be proved")
    if executed.chain_id > MAX_CHAIN_ID:
        raise UnsupportedFeature(f"chain id {executed.chain_id} of more than 64 bits")
    if len(trace.transactions) + len(trace.withdrawals) + len(trace.system_calls) > MAX_OPERATIONS:
        raise UnsupportedFeature(f"more than {MAX_OPERATIONS} transactions and withdrawals")
    first = min(
        (
            *_system_calls(executed, trace),
            *_transactions(executed, trace),
            *_steps(trace),
            *_gas(trace),
            *_refunds(trace),
            *_blake2f(trace),
            *_codes(trace),
            *_ancestors(executed, trace),
            *_empty_accounts(trace),
            *_coded_precompiles(executed, trace),
            *_new_beacon_roots(executed, trace),
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
    if transaction != NONE:
        return place_of_transaction(trace, transaction)
    block = int(trace.frames.block[frame])
    call = int(np.searchsorted(trace.system_calls.first_frame, frame, side="right")) - 1
    if not trace.system_calls.is_end[call]:
        return Place(block, -1)
    return Place(block, int(trace.blocks.end_transaction[block]) - int(trace.blocks.first_transaction[block]))


def _place_of_frame_opening(trace: ExecutionTrace, frame: int) -> Place:
    """Where a frame is opened: a step, or a transaction."""
    step = int(trace.frames.call_step[frame])
    return _place_of_frame(trace, frame) if step == NONE else _place_of_step(trace, step)


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
    table = trace.transactions
    entries = table.access_addresses.astype(np.int64) + table.access_keys
    for row in range(len(table)):
        reason = None
        if table.gas_limit[row] > MAX_GAS_LIMIT:
            reason = f"gas limit above {MAX_GAS_LIMIT}"
        elif table.input_size[row] > MAX_CALLDATA_BYTES:
            reason = f"calldata of more than {MAX_CALLDATA_BYTES} bytes"
        elif entries[row] > MAX_ACCESS_LIST:
            reason = f"access list of more than {MAX_ACCESS_LIST} entries"
        elif table.authorizations[row] > MAX_AUTHORIZATIONS:
            reason = f"more than {MAX_AUTHORIZATIONS} authorizations"
        if reason:
            yield Refusal(place_of_transaction(trace, row), reason)


def _steps(trace: ExecutionTrace) -> Iterator[Refusal]:
    """Calls of precompiles and memory beyond the bounds."""
    steps, frames = trace.steps, trace.frames
    own = proved_frames(trace)
    number = precompile_numbers(trace)
    yield from _modexp(trace, np.flatnonzero(own & (number == MODEXP)), forks_of(trace))
    for number_, (stride, base, each) in PARTED_PRECOMPILES.items():
        many = own & (number == number_) & (frames.input_size >= MAX_PARTS * stride)
        many &= np.minimum(frames.gas_given, MAX_GAS) >= base + each * MAX_PARTS
        if many.any():
            name = PRECOMPILE_NAMES[number_]
            yield Refusal(_place_of_frame_opening(trace, int(np.argmax(many))), f"{name} of {MAX_PARTS} parts or more")
    of_own = own[steps.frame]
    wide = of_own & (steps.memory_size.astype(np.int64) > MAX_MEMORY_BYTES)
    if wide.any():
        yield Refusal(_place_of_step(trace, int(np.argmax(wide))), "memory of more than 16 MiB")
    # What grows in the last step of a frame shows in no step behind it.
    endings = np.flatnonzero(of_own & (steps.failed == 0) & np.isin(steps.opcode, _ENDINGS))
    offset, size = (_small(trace.operands.word[trace.operands_start[endings] + k]) for k in range(2))
    returning = endings[(size > 0) & (offset + size > MAX_MEMORY_BYTES)]
    if len(returning):
        yield Refusal(_place_of_step(trace, int(returning[0])), "memory of more than 16 MiB")


def _blake2f(trace: ExecutionTrace) -> Iterator[Refusal]:
    """Calls of BLAKE2F with too many rounds, and those that lack gas though they have more than frames count."""
    frames = trace.frames
    calls, rounds, flags = blake2f_calls(trace)
    runs = frames.outcome[calls] == Outcome.SUCCESS
    lacks = ~runs & (flags <= 1) & (frames.gas_given[calls] > MAX_GAS)
    for which, what in (
        (runs & (rounds > MAX_BLAKE2F_ROUNDS), f"more than {MAX_BLAKE2F_ROUNDS} rounds of BLAKE2F in a call"),
        (lacks, f"lack of gas of a frame with more than {MAX_GAS}"),
    ):
        if which.any():
            yield Refusal(_place_of_frame_opening(trace, int(calls[np.argmax(which)])), what)


def blake2f_calls(trace: ExecutionTrace) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Frames (n,) that call BLAKE2F with an input of the right length (EIP-152); the rounds and the flag of each."""
    frames = trace.frames
    is_call = precompile_numbers(trace) == BLAKE2F
    calls = np.flatnonzero(is_call & (frames.input_size == BLAKE2F_INPUT_BYTES))
    start = frames.input_start[calls].astype(np.int64)
    rounds = trace.data.byte[start[:, None] + np.arange(4)].astype(np.int64) @ (1 << np.arange(24, -1, -8))
    return calls, rounds, trace.data.byte[start + BLAKE2F_INPUT_BYTES - 1].astype(np.int64)


def _modexp(trace: ExecutionTrace, calls: NDArray[np.int64], forks: Sequence[Fork]) -> Iterator[Refusal]:
    """The first of these frames, calls of MODEXP, whose numbers are too large, or whose price is above `MAX_GAS`."""
    frames = trace.frames
    for frame in calls.tolist():
        given = ModexpInput(trace.bytes_at(frames.input_start[frame], frames.input_size[frame]))
        reason = given.refusal if frames.outcome[frame] == Outcome.SUCCESS else None
        rules = forks[int(frames.block[frame])].modexp
        has_bound = rules.max_number_bytes is not None  # which keeps prices far below
        if not has_bound and frames.gas_given[frame] > MAX_GAS and given.gas(rules) > MAX_GAS:
            reason = f"MODEXP for more than {MAX_GAS} gas"
        if reason:
            yield Refusal(_place_of_frame_opening(trace, frame), reason)
            return


def forks_of(trace: ExecutionTrace) -> list[Fork]:
    """The fork of each block."""
    known = list(EXECUTED_FORKS.values())
    return [known[place] for place in trace.blocks.fork.tolist()]


def proved_precompiles(fork: Fork) -> tuple[int, ...]:
    """The precompiles of a fork: all are proved."""
    return tuple(sorted(int.from_bytes(address, "big") for address in fork.precompiles))


def precompile_numbers(trace: ExecutionTrace) -> NDArray[np.int64]:
    """Number of the precompile that each frame calls, 0 for others, (frames,)."""
    frames = trace.frames
    address = frames.code_address
    number = np.where(address[:, 1:].any(axis=1), 0, address[:, 0]).astype(np.int64)
    none = np.isin(frames.kind, (FrameKind.CREATION, FrameKind.CREATE, FrameKind.CREATE2)) | (frames.delegates == 1)
    is_known = np.zeros(len(number), dtype=bool)
    for place, fork in enumerate(EXECUTED_FORKS.values()):
        own = np.flatnonzero(trace.blocks.fork == place)
        if len(own):
            is_known |= np.isin(number, proved_precompiles(fork)) & np.isin(frames.block, own)
    return np.where(none | ~is_known, 0, number)


def _gas(trace: ExecutionTrace) -> Iterator[Refusal]:
    """Frames with more than `MAX_GAS`: what exceeds it is a reserve, which is divided anew with each call.

    Until then a frame must neither use up what it counts nor lack gas. Where there is no reserve, an access to memory
    beyond the bound must be one that the gas does not pay for.
    """
    steps, frames = trace.steps, trace.frames
    if not len(steps):
        return
    own = proved_frames(trace)[steps.frame]
    counted, reserve, following = _counted_gas(trace)
    large = own & (reserve > 0)
    # What a step that opens a frame costs by itself: its memory, and little else.
    cost = np.where(following >= 0, _memory_gas(trace, following) - _memory_gas(trace, np.arange(len(steps))), 0)
    used = large & (counted < GAS_MARGIN + np.where(np.isin(steps.opcode, OPENERS), cost, 0))
    lacks = own & (steps.failed != 0) & (frames.outcome[steps.frame] == Outcome.OUT_OF_GAS)
    beyond = np.zeros(len(steps), dtype=bool)
    max_initcode = np.array([fork.max_initcode_bytes for fork in EXECUTED_FORKS.values()])[
        trace.blocks.fork[frames.block]
    ]
    for step in np.flatnonzero(lacks).tolist():
        reach = _reach(trace, step)
        paid = 0 if reach <= MAX_MEMORY_BYTES else int(_memory_gas(trace, np.array([step]))[0])
        affordable = reach > MAX_MEMORY_BYTES and int(counted[step]) >= MAX_MEMORY_GAS - paid
        oversized = steps.opcode[step] in CREATIONS and _operand(trace, step, 2) > max_initcode[steps.frame[step]]
        beyond[step] = not _is_vast(trace, step) and (affordable or (bool(large[step]) and not oversized))
    for which, what in (
        (used, f"use of more than {MAX_GAS - GAS_MARGIN} gas without a call"),
        (beyond, f"lack of gas of a frame with more than {MAX_GAS}, or memory of more than 16 MiB"),
    ):
        if which.any():
            yield Refusal(_place_of_step(trace, int(np.argmax(which))), what)


def _counted_gas(trace: ExecutionTrace) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """Gas that each step's frame counts before it, its reserve, and the next step of the frame (-1: none)."""
    steps, frames = trace.steps, trace.frames
    order = np.argsort(steps.frame, kind="stable")
    frame, before = steps.frame[order], steps.gas_before[order].astype(np.uint64)
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = frame[1:] != frame[:-1]
    renewed = is_first.copy()
    renewed[1:] |= ((trace.opened_frame != NONE) | _collides(trace))[order[:-1]]
    given = before.copy()
    outermost = np.flatnonzero(is_first & (frames.parent[frame] == NONE) & (frames.transaction[frame] != NONE))
    given[outermost] = trace.transactions.gas_limit[frames.transaction[frame[outermost]]]
    reserve = np.where(given > MAX_GAS, given - np.uint64(MAX_GAS), np.uint64(0))
    reserve = reserve[np.maximum.accumulate(np.where(renewed, np.arange(len(order)), 0))]
    counted = np.empty(len(order), dtype=np.int64)
    counted[order] = (before - reserve).astype(np.int64)
    following = np.full(len(order), -1, dtype=np.int64)
    following[order[:-1]] = np.where(is_first[1:], -1, order[1:])
    back = np.empty_like(reserve)
    back[order] = reserve
    return counted, back, following


def _collides(trace: ExecutionTrace) -> NDArray[np.bool_]:
    """Which steps (steps,) create nothing because the address is taken: they count the creator's nonce all the same."""
    steps, accesses = trace.steps, trace.accesses
    found = np.zeros(len(steps), dtype=bool)
    counts = (
        (accesses.mode == Mode.WRITE) & (trace.keys.kind[accesses.key] == StateKind.NONCE) & (accesses.step != NONE)
    )
    found[accesses.step[counts]] = True
    found &= np.isin(steps.opcode, sorted(CREATIONS)) & (steps.failed == 0) & (trace.opened_frame == NONE)
    return found


def _memory_gas(trace: ExecutionTrace, steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Gas (n,) that the memory of steps has cost."""
    words = trace.steps.memory_size[steps].astype(np.int64) // 32
    return 3 * words + words * words // 512


def _operand(trace: ExecutionTrace, step: int, index: int) -> int:
    """An operand of a step; 0 if it has fewer."""
    if index >= int(trace.steps.operands[step]):
        return 0
    return words_to_ints(trace.operands.word[int(trace.operands_start[step]) + index][None])[0]


def _small(words: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Words (n, 16) as integers (n,); those from 2^40 on become 2^40."""
    limbs = words.astype(np.int64)
    value = limbs[:, 0] + (limbs[:, 1] << 16) + (limbs[:, 2] << 32)
    return np.where(limbs[:, 3:].any(axis=1), 1 << 40, np.minimum(value, 1 << 40))


def _is_vast(trace: ExecutionTrace, step: int) -> bool:
    """Whether an instruction accesses memory beyond 2^48 bytes, for which no gas of 64 bits pays."""
    for offset, size, constant in MEMORY_OPERANDS.get(int(trace.steps.opcode[step]), ()):
        bytes_ = constant if size is None else _operand(trace, step, size)
        if bytes_ and max(_operand(trace, step, offset), bytes_) >= VAST_BYTES:
            return True
    return False


def _reach(trace: ExecutionTrace, step: int) -> int:
    """Bytes that memory must have for an instruction; 0 if it accesses none."""
    ends = [0]
    for offset, size, constant in MEMORY_OPERANDS.get(int(trace.steps.opcode[step]), ()):
        bytes_ = constant if size is None else _operand(trace, step, size)
        ends.append(_operand(trace, step, offset) + bytes_ if bytes_ else 0)
    return max(ends)


def proved_frames(trace: ExecutionTrace) -> NDArray[np.bool_]:
    """Which frames (frames,) are proved step by step: all but those of calls whose effect is that of writes."""
    calls, found = trace.system_calls, np.ones(len(trace.frames), dtype=bool)
    for call in np.flatnonzero(calls.is_write).tolist():
        found[calls.first_frame[call] : calls.end_frame[call]] = False
    return found


def _system_calls(executed: ExecutedBatch, trace: ExecutionTrace) -> Iterator[Refusal]:
    """Calls of other contracts than those of the EIPs, in forks whose circuit has no system calls; and delegations.

    Nobody knows the key of a system contract's address, so that none delegates on any chain that has them.
    """
    calls, codes = trace.system_calls, trace.codes
    for call in np.flatnonzero((calls.is_write == 0) & (calls.end_frame > calls.first_frame)).tolist():
        frame = int(calls.first_frame[call])
        if not executed.forks[int(calls.block[call])].block_end_calls:
            yield Refusal(_place_of_frame(trace, frame), "another contract than that of EIP-4788 at its address")
        code = trace.frames.code[frame]
        if delegates(trace.bytes_at(codes.start[code], codes.size[code])):
            yield Refusal(_place_of_frame(trace, frame), "a system contract that delegates (EIP-7702)")


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


#: How many blocks BLOCKHASH looks back.
_BLOCK_HASH_REACH = 256


def _ancestors(executed: ExecutedBatch, trace: ExecutionTrace) -> Iterator[Refusal]:
    """The first BLOCKHASH that gives the hash of a block which no header of the batch proves, or a hash of 0.

    A genesis may have that as the hash of its parent. To the circuit it says that the block is out of reach.
    """
    if not len(trace.blocks):
        return
    # A header proves the hash of the block before it.
    proved = int(trace.blocks.number[0]) - 2 - len(executed.ancestor_headers)
    refused = (trace.ancestors.number < proved) | ~trace.ancestors.hash.any(axis=1)
    if not refused.any():
        return
    numbers = set(trace.ancestors.number[refused].tolist())
    steps = trace.steps
    for step in np.flatnonzero((steps.opcode == OPCODES["BLOCKHASH"]) & (steps.results > 0)).tolist():
        (number,) = words_to_ints(trace.operands.word[int(trace.operands_start[step])][None])
        behind = int(trace.blocks.number[trace.frames.block[trace.steps.frame[step]]]) - number
        if number in numbers and 0 < behind <= _BLOCK_HASH_REACH:
            what = f"BLOCKHASH of block {number}, whose hash no header among ancestorHeaders proves"
            if number >= proved:
                what = f"BLOCKHASH of block {number}, whose hash is 0"
            yield Refusal(_place_of_step(trace, step), what)
            return


def _refunds(trace: ExecutionTrace) -> Iterator[Refusal]:
    """A refund counter above what is counted: only with a gas limit that is above, too."""
    accesses, keys = trace.accesses, trace.keys
    counters = np.flatnonzero(keys.kind[accesses.key] == StateKind.REFUND)
    large = counters[_small(accesses.after[counters]) > MAX_REFUND]
    if len(large):
        yield Refusal(_place_of_access(trace, int(large[0])), f"refunds of more than {MAX_REFUND} gas")


def _empty_accounts(trace: ExecutionTrace) -> Iterator[Refusal]:
    """Accounts that are in the pre-state although they are empty: touching one deletes it (EIP-161)."""
    keys = trace.keys
    zero = ~keys.first.any(axis=1)
    found = (
        _addresses(trace, StateKind.EXISTS, keys.first[:, 0] == 1)
        & _addresses(trace, StateKind.BALANCE, zero)
        & _without_nonce_and_code(trace)
    )
    for address in sorted(found):
        yield Refusal(_first_access(trace, address), f"empty account 0x{address.hex()} in the pre-state")


def _coded_precompiles(executed: ExecutedBatch, trace: ExecutionTrace) -> Iterator[Refusal]:
    """Accounts of precompiles that have code, where accounts can delegate (EIP-7702): nothing ever puts one there.

    And the account 0 with code, as that which a recipient's code names: no authorization does.
    """
    empty = np.frombuffer(EMPTY_CODE_HASH[::-1], dtype="<u2")
    coded = _addresses(trace, StateKind.CODE_HASH, (trace.keys.first != empty).any(axis=1))
    addresses = {address for fork in executed.forks if fork.sets_codes for address in fork.precompiles}
    for address in sorted(coded & addresses):
        yield Refusal(_first_access(trace, address), f"code at the address of a precompile, 0x{address.hex()}")
    frames = trace.frames
    named = (frames.kind == FrameKind.MESSAGE) & (frames.delegates == 1) & ~frames.code_address.any(axis=1)
    for frame in np.flatnonzero(named & (frames.end_step > frames.first_step))[:1].tolist():
        yield Refusal(_place_of_frame(trace, frame), "a delegation to the address 0, which has code")


def _new_beacon_roots(executed: ExecutedBatch, trace: ExecutionTrace) -> Iterator[Refusal]:
    """A contract that comes to the address of the beacon roots in a block of a fork whose circuit has no system calls:
    the blocks behind it would call it (EIP-4788).
    """
    keys, accesses = trace.keys, trace.accesses
    own = (keys.address == np.frombuffer(BEACON_ROOTS_ADDRESS[::-1], dtype="<u2")).all(axis=1)
    ends = [int(trace.blocks.end_access[n]) for n, fork in enumerate(executed.forks) if not fork.block_end_calls]
    for key in np.flatnonzero(own & (keys.kind == StateKind.CODE_HASH)).tolist() if ends else []:
        of_key = np.flatnonzero(accesses.key[: ends[-1]] == key)
        # Blocks of such forks come first in a batch.
        changed = (accesses.after[of_key] != keys.first[key]).any(axis=1)
        if changed.any() and changed[-1]:
            yield Refusal(
                _place_of_access(trace, int(of_key[np.argmax(changed)])), "creation of the contract of EIP-4788"
            )


def _without_nonce_and_code(trace: ExecutionTrace) -> set[bytes]:
    keys = trace.keys
    empty = int.from_bytes(EMPTY_CODE_HASH, "big")
    code = np.frombuffer(empty.to_bytes(32, "little"), dtype="<u2")
    nothing = _addresses(trace, StateKind.CODE_HASH, (keys.first == code).all(axis=1))
    return nothing & _addresses(trace, StateKind.NONCE, ~keys.first.any(axis=1))


def _addresses(trace: ExecutionTrace, kind: StateKind, matches: Any) -> set[bytes]:
    """Addresses of the keys of this kind that match (keys,)."""
    return set(addresses_to_bytes(trace.keys.address[(trace.keys.kind == kind) & matches]))


def _first_access(trace: ExecutionTrace, address: bytes) -> Place:
    """The place of the first access to an account."""
    of_account = (trace.keys.address == np.frombuffer(address[::-1], dtype="<u2")).all(axis=1)
    accesses = np.flatnonzero(of_account[trace.accesses.key])[:1].tolist()
    return _place_of_access(trace, accesses[0]) if accesses else NOWHERE
