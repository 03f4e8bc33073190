"""The instructions LOG0 to LOG4, and how they read their data.

Source: execution-specs `cancun/vm/instructions/log.py`.

Logs of frames that persist enter the running hash of receipts in the order of time. Those of frames that fail are no
part of a receipt.
"""

from __future__ import annotations

import numpy as np

from circuits.air.field import Matrix
from circuits.air.gadgets import IsZero, TimeOrder, one_hot, range_check, total
from circuits.air.layout import Layout, allocate, bit, element, limb, nested
from circuits.air.range_buses import RANGE16
from circuits.air.table import Air, Table, flatten
from circuits.batch.execution import Execution, Integers, small_integers
from circuits.batch.frame_data import SystemOutputs
from circuits.component import Acting
from circuits.frames.calldata import padded_words
from circuits.frames.gas import Charge, GasLimb
from circuits.hashing import constrain_compress, constrain_item
from circuits.instructions.frame_fields import WritingFrameFields
from circuits.instructions.memory_range import MemoryRange, reads, word_count
from circuits.instructions.step import STACK_BUS, InstructionTable, Step, fill_step
from circuits.memory.buses import LOG_READ, MEMORY_BYTES
from circuits.statement import BLOCKS_PER_WORD, BUFFER_START, LOG_ITEM, empty_digest, ragged_chains
from circuits.transactions.buses import RECEIPTS
from circuits.widths import DIGEST, WORD, WORD_BYTES
from executor.opcodes import LOG0, MAX_TOPICS

GAS_LOG = 375
GAS_LOG_TOPIC = 375
GAS_LOG_DATA = 8

_START = tuple(int(x) for x in BUFFER_START)

_SMALL_LIMBS = 2
_NO_RECEIPT = "0 when the frame does not persist"


class Columns(Step):
    """One LOG per row."""

    count = bit("one-hot: number of topics", MAX_TOPICS + 1)
    offset = limb("first byte; any word when the size is 0", WORD, by=STACK_BUS)
    offset_then = element("time of its push", by=STACK_BUS)
    size = limb("bytes", _SMALL_LIMBS, by=STACK_BUS)
    size_then = element("time of its push", by=STACK_BUS)
    empty = nested(IsZero, "whether the size is 0")
    topics = limb("the topics, 0 beyond their number", (MAX_TOPICS, WORD), by=f"{STACK_BUS}, or 0")
    topics_then = element("times of their pushes", MAX_TOPICS, by=f"{STACK_BUS}, or 0")
    range = nested(MemoryRange)
    cost = element("gas", by="its constraint")
    not_negative = nested(GasLimb, "the gas before: the data may cost more than `Charge` allows for negative gas")
    charge = nested(Charge)
    data_digest = element("running hash of the data", DIGEST, by="log_read bus, or a constant")
    of_frame = nested(WritingFrameFields)
    persists = nested(IsZero, "whether no world undoes the log, which is part of the receipt then")
    states = element(
        "hash states of the item, the digest last", (LOG_ITEM.blocks, DIGEST), by=f"poseidon2 bus; {_NO_RECEIPT}"
    )
    order = nested(TimeOrder, "the log before in the transaction, or its begin")
    receipts = element("running hash of receipts before", DIGEST, by=f"receipts bus; {_NO_RECEIPT}")
    receipts_after = element("the same afterwards", DIGEST, by=f"poseidon2 bus; {_NO_RECEIPT}")


class Log(InstructionTable):
    """LOG0 to LOG4."""

    name = "log"
    layout = Columns

    def constraints(self, air: Air) -> None:
        row, real, fails = air.row, air.row.real, air.row.charge.fails
        succeeds = real - fails
        topic_count = total([row.count[n] * n for n in range(1, MAX_TOPICS + 1)])
        one_hot(air, row.count, real, "number of topics")
        self.begin(air, topic_count + LOG0)
        # STACK
        self.pop(air, 0, row.offset, row.offset_then)
        self.pop(air, 1, row.size, row.size_then)
        for k in range(MAX_TOPICS):
            has = total(row.count[k + 1 :])
            self.pop(air, 2 + k, row.topics[k], row.topics_then[k], has)
            for cell in (*row.topics[k], row.topics_then[k]):
                air.require((1 - has) * cell, f"topic {k} is 0 when there is none")
        # GAS. At most 2^29.4 for the largest memory.
        IsZero.constrain(air, row.empty, row.size[0] + row.size[1], when=real, name="size")
        some = real - row.empty.zero
        # The limbs' sum is below 2^20.
        air.require(some * total(row.offset[_SMALL_LIMBS:]), "the offset of data is small")
        words, size, offset = MemoryRange.constrain(air, row.range, row.offset, row.size, count=real, some=some)
        cost = real * GAS_LOG + topic_count * GAS_LOG_TOPIC + size * GAS_LOG_DATA + row.range.expansion
        air.require(cost - row.cost, "cost")
        GasLimb.constrain(air, row.not_negative, row.gas, real)
        Charge.constrain(air, row.charge, row.gas, row.cost)
        # OPERATION: the data
        reading = some * (1 - fails)
        air.send(LOG_READ, row.frame, row.time + 1, offset, size, _START, count=reading)
        end = offset + size + row.range.slack
        air.receive(LOG_READ, row.frame, row.time + 1 + words, end, 0, row.data_digest, count=reading)
        air.require_equal(row.data_digest, empty_digest(), "no data", when=row.empty.zero)
        air.require_equal(row.data_digest, [0] * DIGEST, "a failing step reads no data", when=some * fails)
        # OPERATION: the receipt. A frame with a failing step is a world.
        frame, persists = row.of_frame, row.persists.zero
        WritingFrameFields.constrain(air, frame, real)
        IsZero.constrain(air, row.persists, frame.world, when=real, name="no world")
        constrain_item(
            air,
            LOG_ITEM,
            row.states,
            count=persists,
            address=frame.address,
            topic_count=topic_count,
            size=size,
            data_digest=row.data_digest,
            topics=row.topics,
        )
        TimeOrder.constrain(air, row.order, row.time, persists)
        air.receive(RECEIPTS, frame.operation, row.order.before, row.receipts, count=persists)
        constrain_compress(air, row.receipts, row.states[-1], row.receipts_after, count=persists)
        air.send(RECEIPTS, frame.operation, row.time, row.receipts_after, count=persists)
        unused = [row.states, row.order.before, row.order.low, row.receipts, row.receipts_after]
        for cell in flatten(unused):
            air.require((1 - persists) * cell, "no receipt")
        # PROGRAM COUNTER
        self.fail(air, fails)
        self.proceed(
            air,
            stack=-2 - topic_count,
            gas=row.cost,
            memory_words=row.range.words_after,
            duration=words + 1,
            count=succeeds,
        )


class ReadColumns(Layout):
    """One word of hashed memory per row."""

    real = bit("1 on rows that read")
    partial = bit("1 when fewer than 32 bytes are left")
    frame = element("id of the frame", by="log_read bus")
    time = element("time of the read", by="log_read bus")
    offset = element("first byte", by="log_read bus")
    left = element("bytes left, at least 1", by="log_read bus")
    word = limb("up to 32 bytes, zeros behind", WORD, by="memory_bytes bus")
    digest = element("running hash before", DIGEST, by="log_read bus")
    states = element("running hash behind each half of the word", (BLOCKS_PER_WORD, DIGEST), by="poseidon2 bus")


class LogRead(Table):
    """Hashes the data of logs, and what system calls return to the block."""

    name = "log_read"
    layout = ReadColumns
    row_order = "rows meet only on buses; log_read orders those of a log"

    def constraints(self, air: Air) -> None:
        row = air.row
        air.require(row.partial * (1 - row.real), "padding reads nothing")
        air.receive(LOG_READ, row.frame, row.time, row.offset, row.left, row.digest, count=row.real)
        # Who reads receives only 0 bytes left. `left` goes down by 32 unless it is 1..31, when it goes to 0: from
        # another number that is no multiple of 32 it would pass 0 and not come back, a table has fewer rows than that
        # takes. A chain that goes on behind 0 does the same.
        air.query(RANGE16, row.left - 1, count=row.partial)
        range_check(air, row.left, 5, row.partial)
        bytes_ = row.real * WORD_BYTES + row.partial * (row.left - WORD_BYTES)
        air.send(MEMORY_BYTES, row.frame, row.time, 0, row.offset, bytes_, row.word, count=row.real)
        state = row.digest
        for half, after in enumerate(row.states):
            constrain_compress(air, state, row.word[DIGEST * half : DIGEST * (half + 1)], after, count=row.real)
            state = after
        air.send(LOG_READ, row.frame, row.time + 1, row.offset + WORD_BYTES, row.left - bytes_, state, count=row.real)


def fill_log(execution: Execution) -> Matrix | None:
    """All steps of LOG0 to LOG4."""
    steps = _steps(execution)
    if not len(steps):
        return None
    matrix, rows = allocate(Columns, len(steps))
    fill_step(rows, execution, steps)
    topics = execution.opcode[steps] - LOG0
    offset, size = execution.operand(steps, 0), execution.operand(steps, 1)
    rows.count = topics[:, None] == np.arange(MAX_TOPICS + 1)
    rows.offset = offset
    rows.offset_then = execution.operand_time(steps, 0)
    rows.size = size[:, :_SMALL_LIMBS]
    rows.size_then = execution.operand_time(steps, 1)
    IsZero.fill(rows.empty, size[:, :_SMALL_LIMBS].astype(np.uint64).sum(axis=1))
    for k in range(MAX_TOPICS):
        has = np.flatnonzero(topics > k)
        if not len(has):
            break
        rows.topics[has, k] = execution.operand(steps[has], 2 + k)
        rows.topics_then[has, k] = execution.operand_time(steps[has], 2 + k)
    sizes = small_integers(size)
    _, expansion = MemoryRange.fill(rows.range, execution.memory_words[steps], small_integers(offset), sizes)
    cost = GAS_LOG + GAS_LOG_TOPIC * topics + GAS_LOG_DATA * sizes + expansion
    rows.cost = cost
    GasLimb.fill(rows.not_negative, execution.gas[steps])
    Charge.fill(rows.charge, execution.gas[steps], cost)

    WritingFrameFields.fill(rows.of_frame, execution, steps)
    world = execution.worlds.own[execution.frame[steps] - 1]
    IsZero.fill(rows.persists, world.astype(np.uint64))
    persists = world == 0

    chain = execution.batch.receipts
    made = np.flatnonzero(~execution.failed[steps])
    log = _logs(execution, steps[made])
    rows.data_digest[made] = chain.data_digests[log]
    rows.data_digest[sizes == 0] = empty_digest()
    kept = np.flatnonzero(persists)
    log = _logs(execution, steps[kept])
    rows.states[kept] = chain.log_states[log]
    rows.receipts[kept] = chain.before_log[log]
    rows.receipts_after[kept] = chain.after_log[log]
    # Where they do not persist, the order's cells are 0.
    time, before = execution.time[steps], np.zeros(len(steps), dtype=np.int64)
    before[kept] = _times_before(execution, steps[kept])
    TimeOrder.fill(rows.order, np.where(persists, time, 1), before)
    return matrix


def _times_before(execution: Execution, steps: Integers) -> Integers:
    """When the log before each of these, which persist, was made, or their operation begun, (n,).

    That log may be in another part of the run.
    """
    joint = execution.joint or execution
    logs = _steps(joint)
    logs = logs[joint.worlds.own[joint.frame[logs] - 1] == 0]
    operation, time = joint.operation[logs], joint.time[logs]
    before = joint.begin_time[operation - joint.first]
    follows = 1 + np.flatnonzero(operation[1:] == operation[:-1])
    before[follows] = time[follows - 1]
    found: Integers = before[np.searchsorted(logs, steps)]
    return found


def fill_log_read(execution: Execution) -> Matrix | None:
    """All words of the data of logs, and of what system calls return to the block."""
    steps = _steps(execution)
    steps = steps[~execution.failed[steps]]
    logs, log, outputs = execution.trace.logs, _logs(execution, steps), SystemOutputs.of(execution)
    # Frame, time and offset of the first word, size and place of the bytes.
    of_logs = (
        execution.frame[steps],
        execution.time[steps] + 1,
        small_integers(execution.operand(steps, 0)),
        logs.data_size[log].astype(np.int64),
        logs.data_start[log].astype(np.int64),
    )
    of_outputs = (outputs.frame, outputs.time, outputs.offset, outputs.size, outputs.place)
    frame, time, offset, sizes, start = (np.concatenate(pair) for pair in zip(of_logs, of_outputs, strict=True))
    owner, index, left = reads(sizes)
    if not len(owner):
        return None
    words = padded_words(execution.trace.data.byte, start, sizes, word_count(sizes))
    counts = BLOCKS_PER_WORD * word_count(sizes)
    states = ragged_chains(BUFFER_START, words.reshape(-1, DIGEST).astype(np.uint32), counts[counts > 0])
    states = states.reshape(-1, BLOCKS_PER_WORD, DIGEST)
    matrix, rows = allocate(ReadColumns, len(owner))
    rows.real = 1
    rows.partial = left < WORD_BYTES
    rows.frame = frame[owner]
    rows.time = time[owner] + index
    rows.offset = offset[owner] + WORD_BYTES * index
    rows.left = left
    rows.word = words
    rows.states = states
    rows.digest[1:] = states[:-1, -1]
    rows.digest[index == 0] = BUFFER_START
    return matrix


def _steps(execution: Execution) -> Integers:
    return execution.rows(*range(LOG0, LOG0 + MAX_TOPICS + 1))


def _logs(execution: Execution, steps: Integers) -> Integers:
    """Rows in the trace's logs of these steps."""
    return np.searchsorted(execution.trace.logs.step, execution.step[steps])


COMPONENTS = (Acting(Log(), fill_log), Acting(LogRead(), fill_log_read))
