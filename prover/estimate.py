"""About how large a segment is, from the trace alone: no table is filled.

The planner fills tables to find out how large a segment really is; what it fills first, and what next, it takes from
here. Wrong estimates make it fill more often and have no other influence.

The weights are what tables took in the batches of `examples/`, padding included, fitted to what their segments have
many of. What a segment proves once however often it is needed (an opened chunk of a code, a hash, a leaf of the access
tree) is counted once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from circuits.batch.code_trees import CHUNK_BYTES
from circuits.batch.execution import Batch
from circuits.batch.operations import OperationKind
from circuits.batch.precompiles import HASHES, IDENTITY, RIPEMD160, SHA256, field_runs
from circuits.fields.equations import NARROW_TABLES, WIDE_TABLES
from circuits.fields.listings import listed_rows
from circuits.functions import bitwise_bytes, blake2f, keccak_f, range, sha256_rounds
from circuits.functions.keccak_sponge import RATE
from circuits.functions.padded_blocks import PaddedInputs
from circuits.functions.ripemd160_lines import Ripemd160Line
from circuits.programs.precompiles import PRECOMPILES
from executor.modexp import ModexpInput
from executor.opcodes import OPCODES
from executor.provable import MAX_GAS, MODEXP, blake2f_calls, precompile_numbers, proved_frames
from executor.trace import NONE, ExecutionTrace, HashPurpose, Outcome

Integers = NDArray[np.int64]

#: Bytes of memory (see `prover.planner.memory_of`) that tables take: in all, and for each operation, step, frame, leaf
#: of the access tree, chunk of a code, word of memory accessed, word of calldata, block hashed beside its permutation,
#: and product of words.
FIXED = 4 << 20
PER_OPERATION = 560 << 10
PER_STEP = 2 << 10
PER_FRAME = 20 << 10
PER_LEAF = 45 << 10
PER_CHUNK = 65 << 10
PER_WORD = 7 << 10
PER_CALLDATA_WORD = 30 << 10
PER_BLOCK = 40 << 10
PER_PRODUCT = 8 << 10
#: And for each row of the tables of MODEXP: digits, small products, pairs of blocks, lines of products, blocks.
PER_POWER_ROW = (3 << 10, 16 << 10, 7 << 10, 12 << 10, 4 << 10)

_WORD_BYTES = 32
_COPIES = (OPCODES["CODECOPY"], OPCODES["EXTCODECOPY"])
_PRODUCTS = tuple(OPCODES[name] for name in ("MUL", "DIV", "SDIV", "MOD", "SMOD", "ADDMOD", "MULMOD"))
#: Hashes that a segment computes: those of codes are the verifier's.
_HASHED = (HashPurpose.INSTRUCTION, HashPurpose.CREATE_ADDRESS, HashPurpose.CREATE2_ADDRESS)


@dataclass(frozen=True)
class Estimate:
    """What a segment is expected to take.

    Attributes:
        rest: bytes of memory of all tables but those of `rows`, padding included.
        rows: of tables whose rows are known from the trace, padding not included.
        leaves: bytes, among `rest`, of accounts and slots: where operations are divided one segment has all of these.
    """

    rest: float
    rows: Mapping[str, int] = field(default_factory=dict)
    leaves: float = 0.0


class _Distinct:
    """Things that operations need, each of which a segment has once.

    Args:
        operation, thing, weight: (n,) which operation needs which thing, and how much that is.
        operations: their number.
    """

    def __init__(self, operation: Integers, thing: Integers, weight: Integers, operations: int) -> None:
        order = np.lexsort((operation, thing))
        operation, thing, weight = operation[order], thing[order], weight[order]
        same = np.append(False, thing[1:] == thing[:-1])[: len(thing)]
        before = np.where(same, np.append(-1, operation[:-1])[: len(thing)], -1)
        kept = before != operation
        order = np.flatnonzero(kept)[np.argsort(operation[kept], kind="stable")]
        self._before, self._weight = before[order], weight[order]
        self._start = np.searchsorted(operation[order], np.arange(operations + 1))

    def __call__(self, first: int, end: int) -> int:
        """The weight of what the operations `first .. end - 1` need."""
        own = slice(self._start[first], self._start[end])
        return int(self._weight[own][self._before[own] < first].sum())


class Estimator:
    """Estimates segments of a batch that has operations."""

    def __init__(self, batch: Batch) -> None:
        trace, operations = batch.trace, batch.operations
        steps, frames, count = trace.steps, trace.frames, len(operations)
        of_step = _operations(operations.first_step, len(steps))
        transactions = np.flatnonzero(operations.kind == OperationKind.TRANSACTION)
        rows = operations.row[transactions]
        of_frame = _frame_operations(batch)

        each = np.full(count, PER_OPERATION, dtype=np.float64)
        each += PER_STEP * np.bincount(of_step, minlength=count)
        each += PER_PRODUCT * np.bincount(of_step[np.isin(steps.opcode, _PRODUCTS)], minlength=count)
        each += PER_FRAME * np.bincount(of_frame[proved_frames(trace)], minlength=count)
        memory = trace.memory
        words = -(-memory.size.astype(np.int64) // _WORD_BYTES)
        each += PER_WORD * np.bincount(of_step[memory.step], weights=words, minlength=count)
        for frame, cost in _powers(trace):
            each[of_frame[frame]] += cost
        hashed_calls, moved, hash_rows = _hashing(trace)
        each += PER_WORD * np.bincount(of_frame[hashed_calls], weights=moved, minlength=count)
        calldata = -(-trace.transactions.input_size.astype(np.int64) // _WORD_BYTES)
        each[transactions] += PER_CALLDATA_WORD * calldata[rows]
        self._bytes = np.append(0.0, np.cumsum(each))

        of_calls = {name: (hashed_calls, rows) for name, rows in hash_rows.items()} | _equations(batch)
        self._of_calls = {
            name: np.append(0, np.cumsum(np.bincount(of_frame[calls], weights=rows, minlength=count))).astype(np.int64)
            for name, (calls, rows) in of_calls.items()
        }

        of_access = _operations(operations.first_access, len(trace.accesses))
        key = trace.accesses.key.astype(np.int64)
        self._leaves = _Distinct(of_access, key, np.ones_like(key), count)

        # A chunk that runs; of a copied code, all of its chunks at once.
        code = frames.code.astype(np.int64)
        runs = code[steps.frame] << 32 | steps.pc // CHUNK_BYTES
        copied = np.flatnonzero(np.isin(steps.opcode[memory.step], _COPIES) & (memory.is_write == 1))
        place = code[memory.frame[copied]] << 32 | memory.size[copied]
        chunks = memory.size[copied].astype(np.int64) // CHUNK_BYTES + 1
        self._chunks = _Distinct(
            np.concatenate([of_step, of_step[memory.step[copied]]]),
            np.concatenate([runs, ~place]),
            np.concatenate([np.ones(len(runs), dtype=np.int64), chunks]),
            count,
        )

        hashes = trace.hashes
        # What no step asked for stands behind the hashes of the steps before it.
        step = np.maximum.accumulate(np.where(hashes.step == NONE, 0, hashes.step).astype(np.int64))
        hashed = np.flatnonzero(np.isin(hashes.purpose, _HASHED))
        hashed = hashed[step[hashed] < len(steps)]
        _, name = np.unique(hashes.digest[hashed], axis=0, return_inverse=True)
        blocks = hashes.input_size[hashed].astype(np.int64) // RATE + 1
        self._blocks = _Distinct(of_step[step[hashed]], name.reshape(-1).astype(np.int64), blocks, count)

        calls, rounds, _ = blake2f_calls(trace)
        rounds = np.where(frames.outcome[calls] == Outcome.SUCCESS, rounds, 0)
        of_call = of_frame[calls]
        # Fewer than 2^53 in all: counted exactly.
        self._rounds = np.append(0, np.cumsum(np.bincount(of_call, weights=rounds, minlength=count))).astype(np.int64)

    def __call__(self, first: int, end: int) -> Estimate:
        """The estimate of the segment of operations `first .. end - 1`."""
        blocks = self._blocks(first, end)
        rest = FIXED + float(self._bytes[end] - self._bytes[first])
        leaves = float(PER_LEAF * self._leaves(first, end))
        rest += leaves + PER_CHUNK * self._chunks(first, end) + PER_BLOCK * blocks
        rows = {
            keccak_f.KeccakF.name: keccak_f.ROUNDS * blocks,
            range.RANGE_16.name: range.RANGE_16.height,
            blake2f.Blake2fRounds.name: int(self._rounds[end] - self._rounds[first]),
            bitwise_bytes.BitwiseBytes.name: bitwise_bytes.HEIGHT,
            **{name: int(sums[end] - sums[first]) for name, sums in self._of_calls.items()},
        }
        return Estimate(rest, rows, leaves)


def of_steps(batch: Batch) -> tuple[NDArray[np.float64], dict[str, Integers]]:
    """What each step of a batch is expected to take, but for what operations need once, and for `of_programs`.

    Returns:
        As in `Estimate`, of each step of the trace (steps,): bytes, and rows.
    """
    trace = batch.trace
    steps, frames, memory, hashes = trace.steps, trace.frames, trace.memory, trace.hashes
    rest = np.full(len(steps), PER_STEP, dtype=np.float64)
    rest[np.isin(steps.opcode, _PRODUCTS)] += PER_PRODUCT
    words = -(-memory.size.astype(np.int64) // _WORD_BYTES)
    np.add.at(rest, memory.step, PER_WORD * words)
    caller = frames.call_step.astype(np.int64)
    opened = np.flatnonzero(proved_frames(trace) & (caller != NONE))
    np.add.at(rest, caller[opened], PER_FRAME)
    for frame, cost in _powers(trace):
        if caller[frame] != NONE:
            rest[caller[frame]] += cost
    rows: dict[str, Integers] = {}

    def add(name: str, step: Integers, count: Integers) -> None:
        rows[name] = np.zeros(len(steps), dtype=np.int64)
        known = step != NONE
        np.add.at(rows[name], step[known], count[known])

    hashed = np.flatnonzero(np.isin(hashes.purpose, _HASHED))
    blocks = hashes.input_size[hashed].astype(np.int64) // RATE + 1
    add(keccak_f.KeccakF.name, hashes.step[hashed].astype(np.int64), keccak_f.ROUNDS * blocks)
    calls, moved, hash_rows = _hashing(trace)
    asked = caller[calls] != NONE
    np.add.at(rest, caller[calls[asked]], PER_WORD * moved[asked])
    for name, taken in hash_rows.items():
        add(name, caller[calls], taken)
    calls, rounds, _ = blake2f_calls(trace)
    runs = frames.outcome[calls] == Outcome.SUCCESS
    add(blake2f.Blake2fRounds.name, caller[calls[runs]], rounds[runs])
    return rest, rows


def of_programs(batch: Batch) -> dict[str, Integers]:
    """Rows of the tables of equations that each frame of a batch is expected to take, (frames,), by table."""
    found = {}
    for name, (calls, count) in _equations(batch).items():
        found[name] = np.zeros(len(batch.trace.frames), dtype=np.int64)
        np.add.at(found[name], calls, count)
    return found


def _equations(batch: Batch) -> dict[str, tuple[Integers, Integers]]:
    """For each table of equations: frames (n,) that are calls of what uses it, and the rows (n,) that each takes.

    Each call is as large as it can be: none whose size is not right or whose gas is not paid, and of others all parts.
    """
    frames = batch.trace.frames
    called = precompile_numbers(batch.trace)
    size = frames.input_size.astype(np.int64)
    runs = field_runs(called, size, np.minimum(frames.gas_given, MAX_GAS).astype(np.int64))
    tables = {
        (kind, limbs): table.name
        for kind, made in (("narrow", NARROW_TABLES), ("wide", WIDE_TABLES))
        for limbs, table in made.items()
    }
    found: dict[str, list[tuple[Integers, Integers]]] = {
        name: [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))] for name in tables.values()
    }
    for number, programs in listed_rows().items():
        calls = np.flatnonzero(runs & (called == number))
        if not len(calls):
            continue
        stride = PRECOMPILES[number].stride
        parts = size[calls] // stride if stride else np.zeros(len(calls), dtype=np.int64)
        for (kind, limbs), name in tables.items():
            part = max((p.rows[kind] for p in programs if p.limbs == limbs and p.is_part), default=0)
            rest = max((p.rows[kind] for p in programs if p.limbs == limbs and not p.is_part), default=0)
            found[name].append((calls, rest + part * parts))
    return {
        name: (np.concatenate([calls for calls, _ in own]), np.concatenate([rows for _, rows in own]))
        for name, own in found.items()
    }


def _hashing(trace: ExecutionTrace) -> tuple[Integers, Integers, dict[str, Integers]]:
    """Frames (n,) that are calls of SHA256, RIPEMD160 or IDENTITY, with success, and what each takes (n,).

    That is words of memory that are accessed, and rows of the tables of rounds, by table. Each call
    counts, though equal inputs are hashed once in a segment.
    """
    frames, called = trace.frames, precompile_numbers(trace)
    calls = np.flatnonzero(np.isin(called, HASHES) & (frames.outcome == Outcome.SUCCESS))
    number, size = called[calls], frames.input_size[calls].astype(np.int64)
    blocks = PaddedInputs.blocks_of(size)
    rows = {
        sha256_rounds.Sha256Rounds.name: sha256_rounds.HALVES * blocks * (number == SHA256),
        **{Ripemd160Line(line).name: blocks * (number == RIPEMD160) for line in (0, 1)},
    }
    # Read where they are, written to the memory of the call, and read there again to be hashed.
    return calls, -(-size // _WORD_BYTES) * np.where(number == IDENTITY, 2, 3), rows


def _powers(trace: ExecutionTrace) -> Iterator[tuple[int, int]]:
    """Frames that are calls of MODEXP with success, and what each takes."""
    frames = trace.frames
    found = (frames.outcome == Outcome.SUCCESS) & (precompile_numbers(trace) == MODEXP)
    for frame in np.flatnonzero(found).tolist():
        given = ModexpInput(trace.bytes_at(frames.input_start[frame], frames.input_size[frame]))
        if given.computes:
            cost = sum(rows * each for rows, each in zip(given.rows, PER_POWER_ROW, strict=True))
            yield frame, cost


def _frame_operations(batch: Batch) -> Integers:
    """Operation of each frame, (frames,); those of calls that are writes count to the next one."""
    trace, operations = batch.trace, batch.operations
    starts = np.full(len(operations), len(trace.frames), dtype=np.int64)
    for kind, table in (
        (OperationKind.TRANSACTION, trace.transactions),
        (OperationKind.SYSTEM_CALL, trace.system_calls),
    ):
        own = np.flatnonzero(operations.kind == kind)
        starts[own] = table.first_frame[operations.row[own]]
    # What opens no frame begins where the next operation does, which has them.
    starts = np.minimum.accumulate(starts[::-1])[::-1]
    found: Integers = np.searchsorted(starts, np.arange(len(trace.frames)), side="right") - 1
    return np.maximum(found, 0)


def _operations(first: Integers, count: int) -> Integers:
    """Operation (count,) of each of so many events, of which each operation has those from its first one on.

    The first operation has what comes before it, too: blocks without operations may.
    """
    return np.repeat(np.arange(len(first)), np.diff(np.concatenate([[0], first[1:], [count]])))
