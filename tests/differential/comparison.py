"""What the executor and the specs say of a batch, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import rlp
from eth_utils.crypto import keccak
from hypothesis import HealthCheck, settings

from executor.batch import Batch
from executor.errors import BatchError
from executor.execute import ExecutedBatch
from executor.limbs import words_to_ints
from executor.opcodes import is_dup
from executor.trace import ExecutionTrace
from scripts.batches.random_programs import ALL_NAMES
from tests.differential.specs import Answer, Log, Steps, Transacted

HEADER_FIELDS = (
    "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "difficulty",
    "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce", "baseFeePerGas", "withdrawalsRoot",
    "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash",
)  # fmt: skip


def examples(count: int, *, reproducible: bool, **others: Any) -> settings:
    """Settings for so many random examples, which may take as long and be as large as they are."""
    return settings(
        max_examples=count,
        derandomize=reproducible,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **others,
    )


@dataclass(frozen=True)
class Difference:
    """A field that the two disagree about."""

    place: str
    field: str
    executor: Any
    specs: Any

    def __str__(self) -> str:
        words = [f"0x{item.hex()}" if isinstance(item, bytes) else str(item) for item in (self.executor, self.specs)]
        return f"{self.place}, {self.field}: {words[0]} in the executor, {words[1]} in the specs"


def differences(batch: Batch, ours: ExecutedBatch | BatchError, specs: Answer) -> list[Difference]:
    """Everything that differs: refusals, headers, receipts, return data, the state at the end, single instructions.

    Return data and instructions are compared if the executor traced, instructions if the specs were asked for them.
    """
    if isinstance(ours, BatchError) or specs.refused is not None:
        place = (ours.block, ours.transaction) if isinstance(ours, BatchError) else None
        theirs = specs.refused and (specs.refused["block"], specs.refused["transaction"])
        what = "refused at (block, transaction)"
        return [] if place == theirs else [Difference("batch", what, str(ours), specs.refused)]
    return [
        *_of_transactions(ours, specs),
        *_of_headers(ours, specs),
        *_of_state(batch, ours, specs),
        *(_of_steps(ours.trace, specs.steps) if ours.trace is not None and specs.steps is not None else ()),
    ]


def _of_headers(ours: ExecutedBatch, specs: Answer) -> Iterator[Difference]:
    for block, ((header, _), theirs) in enumerate(zip(ours.blocks, specs.headers, strict=True)):
        # Headers of earlier forks have fewer fields.
        pairs = zip_longest(HEADER_FIELDS, rlp.decode(header), rlp.decode(theirs))
        yield from (Difference(f"block {block}", f"header.{name}", a, b) for name, a, b in pairs if a != b)


def _of_transactions(ours: ExecutedBatch, specs: Answer) -> Iterator[Difference]:
    number = 0
    for block, (receipts, theirs) in enumerate(zip(ours.receipts, specs.transactions, strict=True)):
        gas_before = 0
        for index, (encoded, transacted) in enumerate(zip(receipts, theirs, strict=True)):
            place = f"block {block}, transaction {index}"
            status, gas, _, logs = rlp.decode(encoded if encoded[0] >= 0xC0 else encoded[1:])
            cumulative = int.from_bytes(gas, "big")
            found = {
                "status": int.from_bytes(status, "big"),
                "gas_used": cumulative - gas_before,
                "logs": tuple(Log(address, tuple(topics), data) for address, topics, data in logs),
                "receipt": encoded,
            }
            if ours.trace is not None:
                found["output"] = _output(ours.trace, number)
            gas_before = cumulative
            number += 1
            yield from _of_fields(place, found, transacted)


def _of_fields(place: str, found: dict[str, Any], transacted: Transacted) -> Iterator[Difference]:
    for name, value in found.items():
        if value != getattr(transacted, name):
            yield Difference(place, name, value, getattr(transacted, name))


def _output(trace: ExecutionTrace, number: int) -> bytes:
    """What the outermost frame of a transaction gave."""
    frame = int(trace.transactions.first_frame[number])
    return trace.bytes_at(trace.frames.output_start[frame], trace.frames.output_size[frame])


def _of_state(batch: Batch, ours: ExecutedBatch, specs: Answer) -> Iterator[Difference]:
    """Compare every account and slot that the specs have at the end, or that was there at the start."""
    assert batch.genesis is not None
    before = batch.genesis.accounts
    for address in sorted(set(before) | set(specs.accounts)):
        place = f"account 0x{address.hex()}"
        found = ours.post_state.account(address)
        theirs = specs.accounts.get(address)
        for name in ("nonce", "balance"):
            a, b = getattr(found, name, 0), getattr(theirs, name, 0)
            if a != b:
                yield Difference(place, name, a, b)
        if (found is None) != (theirs is None):
            yield Difference(place, "existence", found is not None, theirs is not None)
        hashes = ours.post_state.code_hash(address), keccak(theirs.code if theirs else b"")
        if hashes[0] != hashes[1]:
            yield Difference(place, "code hash", *hashes)
        slots = set(before[address].storage if address in before else ()) | set(theirs.storage if theirs else ())
        for slot in sorted(slots):
            a, b = ours.post_state.storage(address, slot), theirs.storage.get(slot, 0) if theirs else 0
            if a != b:
                yield Difference(place, f"storage[{slot}]", a, b)


def _of_steps(trace: ExecutionTrace, theirs: Steps) -> Iterator[Difference]:
    """The first instruction that differs."""
    steps = trace.steps
    columns = {
        "pc": (steps.pc, theirs.pc),
        "opcode": (steps.opcode, theirs.opcode),
        "gas before": (steps.gas_before, theirs.gas),
        "depth": (trace.frames.depth[steps.frame], theirs.depth),
        "stack height": (steps.stack_height, theirs.stack_height),
        "memory size": (steps.memory_size, theirs.memory_size),
    }
    both = min(len(steps.pc), len(theirs.pc))
    first: dict[str, int] = {}
    for name, (a, b) in columns.items():
        unequal = np.flatnonzero(a[:both] != b[:both])
        if len(unequal):
            first[name] = int(unequal[0])
    if first:
        step = min(first.values())
        for name in (name for name, place in first.items() if place == step):
            a, b = columns[name]
            where = f"step {step} ({ALL_NAMES.get(int(theirs.opcode[step]), 'INVALID')} at {theirs.pc[step]})"
            yield Difference(where, name, a[step], b[step])
    elif len(steps.pc) != len(theirs.pc):
        yield Difference("trace", "number of steps", len(steps.pc), len(theirs.pc))
    else:
        yield from _of_operands(trace, theirs)


def _of_operands(trace: ExecutionTrace, theirs: Steps) -> Iterator[Difference]:
    """The first operand of every instruction that takes the top of the stack."""
    steps = trace.steps
    taken = (steps.operands > 0) & ~np.array([is_dup(opcode) for opcode in range(256)])[steps.opcode]
    rows = np.flatnonzero(taken)
    tops = words_to_ints(trace.operands.word[trace.operands_start[rows].astype(np.int64)])
    for row, value in zip(rows, tops, strict=True):
        expected = int.from_bytes(theirs.top[row].tobytes(), "big")
        if value != expected:
            yield Difference(f"step {row}", f"operand of {ALL_NAMES.get(int(steps.opcode[row]))}", value, expected)
            return
