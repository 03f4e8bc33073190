"""What must hold in every execution trace, whatever was executed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from eth_utils.crypto import keccak
from numpy.typing import NDArray

from executor.forks import CANCUN, EXECUTED_FORKS, SYSTEM_CALL_GAS
from executor.limbs import limbs_to_bytes, words_to_ints
from executor.opcodes import NAMES, OPCODES, PUSH0, InstructionSet, instruction_set, is_dup, is_swap
from executor.state_keys import LASTING_KINDS
from executor.trace import NONE, ExecutionTrace, FrameKind, HashPurpose, Mode, Outcome

Stack = list[bytes]


def check_trace(trace: ExecutionTrace) -> None:
    """Check a trace against itself."""
    check_stacks(trace)
    check_gas(trace)
    check_program_counters(trace)
    check_memory(trace)
    check_state(trace)
    check_frames(trace)
    check_ranges(trace)
    check_hashes(trace)
    check_system_calls(trace)


def forks_of(trace: ExecutionTrace) -> list[str]:
    """Names of the forks that its blocks are of."""
    return [item.split(" from ")[0] for item in trace.fork.split(", ") if item]


def instructions_of(trace: ExecutionTrace) -> InstructionSet:
    """The instructions of all forks that its blocks are of."""
    return instruction_set(tuple(i for name in forks_of(trace) for i in EXECUTED_FORKS[name].added_instructions))


def steps_of_frames(trace: ExecutionTrace) -> Iterator[tuple[int, list[int]]]:
    """Every frame with the steps that are its own."""
    if not len(trace.steps):
        return
    order = np.argsort(trace.steps.frame, kind="stable")
    frames, starts = np.unique(trace.steps.frame[order], return_index=True)
    for frame, steps in zip(frames.tolist(), np.split(order, starts[1:]), strict=True):
        yield frame, steps.tolist()


def check_stacks(trace: ExecutionTrace) -> None:
    """Operands are what lies on the stack, and results lead to the next step's stack."""
    steps = trace.steps
    known = instructions_of(trace)
    popped, pushed = known.operands, known.results
    read, written = limbs_to_bytes(trace.operands.word), limbs_to_bytes(trace.results.word)
    assert (len(read), len(written)) == (steps.operands.sum(dtype=int), steps.results.sum(dtype=int))
    reads, writes = trace.operands_start.tolist(), trace.results_start.tolist()
    for _, own in steps_of_frames(trace):
        stack: Stack = []
        for step in own:
            opcode = int(steps.opcode[step])
            operands, results = _part(read, reads, steps.operands, step), _part(written, writes, steps.results, step)
            assert len(stack) == steps.stack_height[step]
            if is_dup(opcode):
                depth = opcode - OPCODES["DUP1"] + 1
                assert operands == stack[-depth:][:1] * (len(stack) >= depth)
                stack += results
            elif is_swap(opcode):
                depth = opcode - OPCODES["SWAP1"] + 1
                assert operands == ([stack[-1], stack[-1 - depth]] if len(stack) > depth else [])
                if results:
                    stack[-1], stack[-1 - depth] = results
                    assert results == operands[::-1]
            elif opcode in known.moves:
                places = known.moves[opcode][_byte_behind(trace, step)].tolist()
                if steps.failed[step]:
                    assert not operands
                    assert not results
                    continue
                assert operands == [stack[-1 - place] for place in places]
                if len(places) == 1:
                    assert results == operands
                    stack += results
                else:
                    assert results == operands[::-1]
                    for place, result in zip(places, results, strict=True):
                        stack[-1 - place] = result
            else:
                assert operands == stack[::-1][: popped[opcode]]
                del stack[len(stack) - len(operands) :]
                stack += results
            assert steps.failed[step] or (len(operands), len(results)) == (popped[opcode], pushed[opcode])
            assert not steps.failed[step] or step == own[-1]
            assert len(stack) <= 1024


def _byte_behind(trace: ExecutionTrace, step: int) -> int:
    """What stands behind an instruction in the code, 0 behind its end."""
    row = trace.frames.code[trace.steps.frame[step]]
    code, place = trace.bytes_at(trace.codes.start[row], trace.codes.size[row]), int(trace.steps.pc[step]) + 1
    return code[place] if place < len(code) else 0


def _part(words: list[bytes], starts: list[int], counts: NDArray[np.uint8], step: int) -> list[bytes]:
    """The words of one step."""
    return words[starts[step] : starts[step] + int(counts[step])]


def check_gas(trace: ExecutionTrace) -> None:
    """The gas after a step is the gas before the next one of its frame; frames begin and end with theirs."""
    steps, frames = trace.steps, trace.frames
    for frame, own in steps_of_frames(trace):
        assert steps.gas_after[own].tolist() == [*steps.gas_before[own][1:].tolist(), frames.gas_at_end[frame]]
        assert steps.gas_before[own[0]] == frames.gas_given[frame]
    assert (frames.gas_left <= frames.gas_at_end).all()
    assert (frames.gas_at_end <= frames.gas_given).all()
    assert not frames.gas_left[frames.outcome > Outcome.REVERT].any()
    outermost = trace.transactions.first_frame
    given = trace.transactions.gas_limit - trace.transactions.intrinsic_gas
    assert np.array_equal(frames.gas_given[outermost], given)
    spent = trace.transactions.gas_limit - frames.gas_left[outermost]
    used = spent - trace.transactions.gas_refunded
    # EIP-7623: a transaction may use more than its execution, of which it is given nothing back then.
    has_floor = forks_of(trace) != [CANCUN.name]
    above = has_floor & (trace.transactions.gas_refunded == 0) & (trace.transactions.gas_used > spent)
    assert ((trace.transactions.gas_used == used) | above).all()
    assert (trace.transactions.gas_refunded <= spent // 5).all()


def check_program_counters(trace: ExecutionTrace) -> None:
    """A step stands where the one before it leads, and its opcode is in the code there."""
    steps, codes = trace.steps, trace.codes
    read, reads = limbs_to_bytes(trace.operands.word), trace.operands_start.tolist()
    moves = instructions_of(trace).moves
    for frame, own in steps_of_frames(trace):
        row = trace.frames.code[frame]
        code = trace.bytes_at(codes.start[row], codes.size[row])
        expected = 0
        for step in own:
            pc, opcode = int(steps.pc[step]), int(steps.opcode[step])
            assert pc == expected
            assert opcode == (code[pc] if pc < len(code) else 0)
            operands = _part(read, reads, steps.operands, step)
            jumps = NAMES.get(opcode) == "JUMP" or (NAMES.get(opcode) == "JUMPI" and any(operands[-1]))
            if jumps and not steps.failed[step]:
                expected = int.from_bytes(operands[0], "big")
            else:
                expected = pc + 1 + (opcode - PUSH0 if 0 <= opcode - PUSH0 <= 32 else 0) + (opcode in moves)


def check_memory(trace: ExecutionTrace) -> None:
    """Reads find what was written; sizes follow from the accesses and the steps."""
    table = trace.memory
    memories: dict[int, bytearray] = {}
    for row in range(len(table)):
        offset, size = int(table.offset[row]), int(table.size[row])
        end = offset + size
        memory = memories.setdefault(int(table.frame[row]), bytearray())
        memory.extend(bytes(max(0, end - len(memory))))
        assert memory[offset:end] == trace.bytes_at(table.before_start[row], size)
        memory[offset:end] = trace.bytes_at(table.after_start[row], size)
        assert table.is_write[row] or table.before_start[row] == table.after_start[row]
        assert trace.steps.frame[table.step[row]] == table.frame[row]
    assert not (trace.steps.memory_size % 32).any()
    reached = np.zeros(len(trace.steps), dtype=np.int64)
    np.maximum.at(reached, table.step, table.offset.astype(np.int64) + table.size)
    for _, own in steps_of_frames(trace):
        sizes = trace.steps.memory_size[own].astype(np.int64)
        assert sizes[0] == 0
        assert (np.diff(sizes) >= 0).all()
        assert (sizes[1:] >= reached[own[:-1]]).all()


def check_state(trace: ExecutionTrace) -> None:
    """The value of a key before an access is the one after the access before it, within its life."""
    accesses, keys = trace.accesses, trace.keys
    names = trace.state_keys()
    assert names == sorted(set(names))
    before, after = limbs_to_bytes(accesses.before), limbs_to_bytes(accesses.after)
    values = dict(enumerate(limbs_to_bytes(keys.first)))
    lasting = {row for row, name in enumerate(names) if name.kind in LASTING_KINDS}
    period = np.zeros(len(accesses), dtype=np.int64)
    is_system = (trace.frames.kind == FrameKind.SYSTEM) & (trace.frames.parent == NONE)
    within = [
        np.flatnonzero((accesses.frame >= frame) & (accesses.frame < trace.end_frame[frame]))[:1]
        for frame in np.flatnonzero(is_system).tolist()
    ]
    system_calls = np.concatenate(within) if within else np.zeros(0, dtype=np.int64)
    table = trace.transactions
    for starts in (table.first_access, table.end_access, trace.blocks.first_access, system_calls):
        np.add.at(period, starts[starts < len(accesses)], 1)
    period = np.cumsum(period)
    passing: dict[tuple[int, int], bytes] = {}
    for row, key in enumerate(accesses.key.tolist()):
        if key in lasting:
            assert before[row] == values[key]
            values[key] = after[row]
        else:
            name = (key, int(period[row]))
            assert before[row] == passing.get(name, before[row])
            passing[name] = after[row]
        assert accesses.mode[row] != Mode.READ or before[row] == after[row]
    for row, last in enumerate(limbs_to_bytes(keys.last)):
        assert last == (values[row] if row in lasting else bytes(32))


def check_frames(trace: ExecutionTrace) -> None:
    """Frames nest; what fails reverts all that it called; calls tell of success on the stack."""
    frames, steps = trace.frames, trace.steps
    results = limbs_to_bytes(trace.results.word)
    for frame in range(len(frames)):
        parent, call = int(frames.parent[frame]), int(frames.call_step[frame])
        fails = frames.outcome[frame] != Outcome.SUCCESS
        if parent == NONE:
            assert (frames.depth[frame], call, frames.reverted[frame]) == (0, NONE, fails)
            continue
        assert parent < frame
        assert frames.depth[frame] == frames.depth[parent] + 1
        assert frames.reverted[frame] == (fails or frames.reverted[parent])
        assert steps.frame[call] == parent
        assert NAMES[int(steps.opcode[call])] == FrameKind(int(frames.kind[frame])).name
        assert call < frames.first_step[frame] <= frames.end_step[frame] <= frames.end_step[parent]
        result = int.from_bytes(results[trace.results_start[call]], "big")
        address = int.from_bytes(limbs_to_bytes(frames.address[[frame]])[0], "big")
        creates = frames.kind[frame] in (FrameKind.CREATE, FrameKind.CREATE2)
        assert result == (0 if fails else address if creates else 1)
        assert not (frames.is_static[parent] and not frames.is_static[frame])
    assert np.array_equal(trace.transactions.status == 1, frames.outcome[trace.transactions.first_frame] == 0)
    check_family(trace)
    check_return_data(trace)


def check_family(trace: ExecutionTrace) -> None:
    """Which frames steps open, and which frames are inside of which."""
    frames = trace.frames
    opened = {int(step): frame for frame, step in enumerate(frames.call_step.tolist()) if step != NONE}
    assert trace.opened_frame.tolist() == [opened.get(step, NONE) for step in range(len(trace.steps))]
    inside = {frame: {frame} for frame in range(len(frames))}
    for frame in range(len(frames) - 1, -1, -1):
        if frames.parent[frame] != NONE:
            inside[int(frames.parent[frame])] |= inside[frame]
    assert all(inside[frame] == set(range(frame, end)) for frame, end in enumerate(trace.end_frame.tolist()))


def check_return_data(trace: ExecutionTrace) -> None:
    """RETURNDATASIZE and RETURNDATACOPY give what the trace says that the return data is."""
    steps, frames = trace.steps, trace.frames
    for step in np.flatnonzero((steps.opcode == OPCODES["RETURNDATASIZE"]) & (steps.results > 0)).tolist():
        frame = trace.return_frame[step]
        size = 0 if frame == NONE else int(frames.output_size[frame])
        assert words_to_ints(trace.results.word[int(trace.results_start[step])][None]) == [size]
    copies = (steps.opcode == OPCODES["RETURNDATACOPY"]) & (steps.failed == 0)
    for row in np.flatnonzero(copies[trace.memory.step] & (trace.memory.is_write != 0)).tolist():
        step, size = int(trace.memory.step[row]), int(trace.memory.size[row])
        frame = trace.return_frame[step]
        (start,) = words_to_ints(trace.operands.word[int(trace.operands_start[step]) + 1][None])
        assert start + size <= frames.output_size[frame]
        expected = trace.bytes_at(int(frames.output_start[frame]) + start, size)
        assert trace.bytes_at(trace.memory.after_start[row], size) == expected


def check_ranges(trace: ExecutionTrace) -> None:
    """Transactions and blocks divide the other tables without a gap or an overlap."""
    blocks, transactions = trace.blocks, trace.transactions
    totals = {"frame": trace.frames, "step": trace.steps, "access": trace.accesses}
    for name, table in (totals | {"transaction": transactions, "withdrawal": trace.withdrawals}).items():
        first, end = getattr(blocks, f"first_{name}"), getattr(blocks, f"end_{name}")
        assert [0, *end.tolist()] == [*first.tolist(), len(table)]
    for name in ("frame", "step", "access", "log"):
        first, end = getattr(transactions, f"first_{name}"), getattr(transactions, f"end_{name}")
        assert (first <= end).all()
        assert (end[:-1] <= first[1:]).all()
    assert np.array_equal(trace.frames.transaction[transactions.first_frame], np.arange(len(transactions)))


def check_hashes(trace: ExecutionTrace) -> None:
    """Digests are those of the inputs, and KECCAK256 puts them on the stack."""
    table = trace.hashes
    results = limbs_to_bytes(trace.results.word)
    digests = limbs_to_bytes(table.digest)
    for row, digest in enumerate(digests):
        assert keccak(trace.bytes_at(table.input_start[row], table.input_size[row])) == digest
        if table.purpose[row] == HashPurpose.INSTRUCTION:
            assert results[trace.results_start[table.step[row]]] == digest
    instructions = (trace.steps.opcode == OPCODES["KECCAK256"]) & (trace.steps.failed == 0)
    assert instructions.sum() == (table.purpose == HashPurpose.INSTRUCTION).sum()
    for row, digest in enumerate(limbs_to_bytes(trace.codes.hash)):
        assert keccak(trace.bytes_at(trace.codes.start[row], trace.codes.size[row])) == digest


def check_system_calls(trace: ExecutionTrace) -> None:
    """Every block makes the calls of its fork in their order, and each is what its frame says."""
    calls, frames, blocks = trace.system_calls, trace.frames, trace.blocks
    addresses = limbs_to_bytes(calls.address)
    outermost = set(np.flatnonzero((frames.kind == FrameKind.SYSTEM) & (frames.parent == NONE)).tolist())
    for block in range(len(blocks)):
        rows = np.flatnonzero(calls.block == block).tolist()
        fork = list(EXECUTED_FORKS.values())[int(blocks.fork[block])]
        expected = [(call.address, 0, 0) for call in fork.block_start_calls]
        expected += [(call.address, 1, 1) for call in fork.block_end_calls]
        assert [(addresses[row], calls.is_end[row], calls.returns[row]) for row in rows] == expected
        # Those at the start come before all transactions, those at the end after them.
        marks = [int(calls.first_access[row]) for row in rows]
        assert marks == sorted(marks)
        for row in rows:
            first, end = int(calls.first_frame[row]), int(calls.end_frame[row])
            assert calls.first_access[row] >= blocks.first_access[block]
            assert calls.end_access[row] <= blocks.end_access[block]
            if first == end:
                assert calls.output_size[row] == 0
                continue
            outermost.remove(first)
            assert trace.end_frame[first] == end
            assert (calls.first_step[row], calls.end_step[row]) == (frames.first_step[first], frames.end_step[first])
            assert (frames.address[first] == calls.address[row]).all()
            assert frames.gas_given[first] == SYSTEM_CALL_GAS
            for name in ("input", "output"):
                of_call, of_frame = (
                    trace.bytes_at(getattr(table, f"{name}_start")[at], getattr(table, f"{name}_size")[at])
                    for table, at in ((calls, row), (frames, first))
                )
                assert of_call == of_frame
    assert not outermost
