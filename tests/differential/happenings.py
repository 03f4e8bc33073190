"""What happens between the frames of a batch, counted from its trace."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from executor.limbs import addresses_to_bytes, words_to_ints
from executor.opcodes import CALLS, CREATIONS, OPCODES
from executor.provable import MAX_GAS, forks_of, precompile_numbers
from executor.state_keys import StateKind
from executor.trace import NONE, ExecutionTrace, FrameKind, Mode, Outcome
from executor.transactions import delegates
from scripts.batches.random_programs import ALL_NAMES

MAX_DEPTH = 1_024  # yellow paper, section 8
STIPEND = 2_300  # of a call with value

CREATING = (FrameKind.CREATE, FrameKind.CREATE2, FrameKind.CREATION)
ASKING = frozenset(OPCODES[name] for name in ("EXTCODESIZE", "EXTCODEHASH", "EXTCODECOPY", "BALANCE"))


class Happened:
    """Counts of what happened in batches.

    Attributes:
        programs: transactions.
        steps: of each transaction.
        frames, outcomes: of transactions, by name.
        endings: pairs of a kind of frame and an outcome.
        done: instructions that did not fail.
        static: instructions that a static frame forbade.
        undone: writes taken back, by what they wrote.
        precompiles: calls of them, by number.
        events: everything else, by name.
    """

    def __init__(self) -> None:
        self.programs = 0
        self.steps: list[int] = []
        self.frames: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.endings: Counter[tuple[str, str]] = Counter()
        self.done: Counter[str] = Counter()
        self.static: Counter[str] = Counter()
        self.undone: Counter[str] = Counter()
        self.precompiles: Counter[int] = Counter()
        self.events: Counter[str] = Counter()

    def __str__(self) -> str:
        at = ", ".join(f"{p} %: {np.percentile(self.steps, p):,.0f}" for p in (50, 75, 90, 95, 99, 100))
        lines = [f"{self.programs} programs, {sum(self.steps)} steps; steps of a program: {at}"]
        for name in ("frames", "outcomes", "static", "undone", "precompiles", "events", "done"):
            lines.append(f"{name}: " + ", ".join(f"{key} {count}" for key, count in getattr(self, name).most_common()))
        endings = (f"{kind}: {outcome} {count}" for (kind, outcome), count in sorted(self.endings.items()))
        return "\n".join([*lines, "endings: " + ", ".join(endings)])

    def add(self, trace: ExecutionTrace) -> None:
        """Count a batch."""
        table, frames, steps = trace.transactions, trace.frames, trace.steps
        own = np.flatnonzero(frames.transaction != NONE)
        self.programs += len(table)
        self.steps += (table.end_step.astype(np.int64) - table.first_step).tolist()
        kinds = [FrameKind(kind).name for kind in frames.kind[own].tolist()]
        outcomes = [Outcome(outcome).name for outcome in frames.outcome[own].tolist()]
        self.frames.update(kinds)
        self.outcomes.update(outcomes)
        self.endings.update(zip(kinds, outcomes, strict=True))
        _count_opcodes(self.done, steps.opcode[steps.failed == 0])
        static = (steps.failed != 0) & (frames.outcome[steps.frame] == Outcome.STATIC_VIOLATION)
        _count_opcodes(self.static, steps.opcode[static])
        undone = trace.keys.kind[trace.accesses.key[trace.accesses.mode == Mode.UNDO]]
        self.undone.update(StateKind(kind).name for kind in undone.tolist())
        numbers = precompile_numbers(trace)[frames.transaction != NONE]
        self.precompiles.update(numbers[numbers > 0].tolist())
        self._calls(trace)
        self._gas(trace)
        self._data(trace)
        self._failures(trace)
        self._accounts(trace)

    def _event(self, name: str, count: Any) -> None:
        self.events[name] += int(np.count_nonzero(count))

    def _calls(self, trace: ExecutionTrace) -> None:
        """Calls and creations that open no frame."""
        steps, frames = trace.steps, trace.frames
        depth = frames.depth[steps.frame]
        silent = (steps.failed == 0) & (trace.opened_frame == NONE)
        calls = np.isin(steps.opcode, sorted(CALLS))
        creates = np.isin(steps.opcode, sorted(CREATIONS))
        self._event("too deep", silent & calls & (depth == MAX_DEPTH))
        self._event("a call of more than the balance", silent & calls & (depth < MAX_DEPTH))
        spent = steps.gas_after < steps.gas_before // 32
        self._event("a creation where an account is", silent & creates & spent)
        self._event("a creation with more than the balance", silent & creates & ~spent)
        own = frames.transaction != NONE
        called = own & (frames.kind <= FrameKind.STATICCALL)
        empty = trace.codes.size[frames.code] == 0
        self._event("a call of an account without code", called & empty & (precompile_numbers(trace) == 0))
        self._event("value to another", own & frames.value.any(axis=1) & (frames.kind == FrameKind.CALL))
        self._event("a failing frame with value", own & frames.value.any(axis=1) & (frames.outcome != Outcome.SUCCESS))
        same = (frames.caller == frames.address).all(axis=1)
        self._event("value to itself", own & same & frames.value.any(axis=1) & (frames.kind == FrameKind.CALL))

    def _gas(self, trace: ExecutionTrace) -> None:
        frames = trace.frames
        own = (frames.transaction != NONE) & (frames.first_step < frames.end_step)
        ended = frames.outcome == Outcome.SUCCESS
        self._event("exactly enough gas", own & ended & (frames.gas_left == 0) & (frames.gas_given > 0))
        stipend = own & (frames.gas_given == STIPEND) & frames.value.any(axis=1)
        self._event("the stipend is enough", stipend & ended)
        self._event("the stipend is too little", stipend & ~ended)
        self._event("gas beyond what is counted", own & (frames.gas_given > MAX_GAS) & (frames.depth > 0))
        inner = np.flatnonzero((frames.call_step != NONE) & ~np.isin(frames.kind, CREATING))
        asked = words_to_ints(trace.operands.word[trace.operands_start[frames.call_step[inner]].astype(np.int64)])
        bonus = STIPEND * (frames.value[inner].any(axis=1) & (frames.kind[inner] <= FrameKind.CALLCODE))
        given = (frames.gas_given[inner].astype(object) - bonus).tolist()
        beyond = [a - g for a, g in zip(asked, given, strict=True)]
        self._event("less gas than asked for", [distance > 0 for distance in beyond])
        self._event("one gas less than asked for", [distance == 1 for distance in beyond])
        # EIP-150: what the caller keeps is the 64th part of what it had.
        left = trace.steps.gas_after[frames.call_step[inner]].astype(np.int64) - frames.gas_left[inner].astype(np.int64)
        most = [kept >= 1 and kept == (kept + g) // 64 for kept, g in zip(left.tolist(), given, strict=True)]
        self._event("exactly all that may be given", [d == 0 and m for d, m in zip(beyond, most, strict=True)])

    def _data(self, trace: ExecutionTrace) -> None:
        steps, frames = trace.steps, trace.frames
        copies = np.flatnonzero((steps.opcode == OPCODES["RETURNDATACOPY"]) & (steps.failed == 0))
        sizes = trace.operands.word[trace.operands_start[copies].astype(np.int64) + 2]
        self._event("return data are read", sizes.any(axis=1))
        inner = np.flatnonzero(frames.call_step != NONE)
        calls = inner[~np.isin(frames.kind[inner], CREATING)]
        # The last operand of a call is how much of the memory the output may fill.
        places = trace.operands_start[frames.call_step[calls]].astype(np.int64)
        places += trace.steps.operands[frames.call_step[calls]] - 1
        room = np.array(words_to_ints(trace.operands.word[places]), dtype=object)
        output = frames.output_size[calls].astype(object)
        self._event("less return data than room", (room > output) & (output > 0))
        self._event("more return data than room", (room < output) & (room > 0))
        words = {
            name: (steps.opcode == OPCODES[name]) & (steps.failed == 0) for name in ("CALLDATALOAD", "CALLDATACOPY")
        }
        for name, start, size in (("CALLDATALOAD", 0, None), ("CALLDATACOPY", 1, 2)):
            at = np.flatnonzero(words[name] & (frames.depth[steps.frame] > 0))
            first = trace.operands_start[at].astype(np.int64)
            begin = words_to_ints(trace.operands.word[first + start])
            length = [32] * len(at) if size is None else words_to_ints(trace.operands.word[first + size])
            there = frames.input_size[steps.frame[at]].tolist()
            ends = [n and b + n > t for b, n, t in zip(begin, length, there, strict=True)]
            self._event(f"{name} beyond the calldata of a call", ends)

    def _failures(self, trace: ExecutionTrace) -> None:
        frames, accesses = trace.frames, trace.accesses
        failing = frames.outcome != Outcome.SUCCESS
        nesting = failing.astype(np.int64)
        for depth in range(1, int(frames.depth.max(initial=0)) + 1):
            rows = np.flatnonzero(frames.depth == depth)
            nesting[rows] += nesting[frames.parent[rows]]
        wrote = np.zeros(len(frames), dtype=bool)
        lasting = np.isin(trace.keys.kind[accesses.key], (StateKind.STORAGE, StateKind.TRANSIENT))
        at = (accesses.mode == Mode.WRITE) & lasting & (accesses.frame != NONE)
        wrote[accesses.frame[at]] = True
        for depth in (1, 2, 3):
            self._event(f"a write below {depth} failing frames", wrote & (nesting == depth))
        self._event("a write below more failing frames", wrote & (nesting > 3))
        self._event("success in a failing frame", ~failing & (nesting > 0) & wrote)
        self._event("a log that is undone", trace.logs.reverted)
        self._event("a log that stays", trace.logs.reverted == 0)
        warm = np.isin(trace.keys.kind[accesses.key], (StateKind.WARM_ADDRESS, StateKind.WARM_SLOT))
        owner = np.searchsorted(trace.transactions.end_access, np.arange(len(accesses)), side="right")
        cooled: set[tuple[int, int]] = set()
        for row in np.flatnonzero(warm & (accesses.mode != Mode.READ)).tolist():
            key = (int(owner[row]), int(accesses.key[row]))
            if accesses.mode[row] == Mode.UNDO and not accesses.after[row].any():
                cooled.add(key)
            elif key in cooled and accesses.mode[row] == Mode.WRITE:
                self.events["cold again"] += 1
                cooled.remove(key)
        deposited = frames.kind >= FrameKind.CREATE
        self._event(
            "code that is not paid for", deposited & (frames.gas_at_end > 0) & (frames.outcome == Outcome.OUT_OF_GAS)
        )

    def _accounts(self, trace: ExecutionTrace) -> None:
        """Created and destroyed accounts, and what is done to them later."""
        frames, steps = trace.frames, trace.steps
        address, code = addresses_to_bytes(frames.address), addresses_to_bytes(frames.code_address)
        names = addresses_to_bytes(trace.keys.address)
        kind = trace.keys.kind[trace.accesses.key]
        owner = np.searchsorted(trace.transactions.end_access, np.arange(len(trace.accesses)), side="right")
        destroyed: dict[bytes, int] = {}
        for row in np.flatnonzero((kind == StateKind.DESTROYED) & (trace.accesses.mode == Mode.WRITE)).tolist():
            destroyed[names[trace.accesses.key[row]]] = int(owner[row])
        self.events["destroyed"] += len(destroyed)
        self._event("SELFDESTRUCT of an older account", _of_older(trace, address))
        created: dict[bytes, int] = {}
        for row in range(len(frames)):
            own = int(frames.transaction[row])
            if own == NONE:
                continue
            if frames.kind[row] in CREATING:
                if not frames.reverted[row]:
                    if address[row] in destroyed and destroyed[address[row]] < own:
                        self.events["created where one was destroyed"] += 1
                    created[address[row]] = own
                    self._event("created without code", [frames.output_size[row] == 0])
                elif address[row] in created:
                    self.events["a creation that fails where one succeeded before"] += 1
                self._event("empty initcode", [trace.codes.size[frames.code[row]] == 0])
            elif frames.kind[row] <= FrameKind.MESSAGE and code[row] in created:
                same = created[code[row]] == own
                self.events[
                    "a call of what this transaction created" if same else "a call of what another created"
                ] += 1
                if code[row] in destroyed and destroyed[code[row]] < own:
                    self.events["a call of what was destroyed"] += 1
        asking = np.flatnonzero(np.isin(steps.opcode, sorted(ASKING)) & (steps.failed == 0))
        words = words_to_ints(trace.operands.word[trace.operands_start[asking].astype(np.int64)])
        asked = [(word % 2**160).to_bytes(20, "big") for word in words]
        transaction = frames.transaction[steps.frame[asking]].tolist()
        self._event("a question about a created account", [name in created for name in asked])
        late = [n in destroyed and destroyed[n] < t < NONE for n, t in zip(asked, transaction, strict=True)]
        self._event("a question about a destroyed account", late)


#: What can happen to delegations, and through them (EIP-7702).
DELEGATIONS = (
    "set", "replaced", "cleared", "by transactions", "by CALL", "by CALLCODE",
    "by DELEGATECALL", "by STATICCALL", "to itself", "to one that has delegated, too", "to a precompiled contract",
    "to an account without code", "as an account's code", "of a sender", "of a frame that fails",
)  # fmt: skip


def delegations(trace: ExecutionTrace) -> Counter[str]:
    """How often each of `DELEGATIONS` happens in a batch."""
    frames, accesses, codes = trace.frames, trace.accesses, trace.codes
    is_one = {
        digest: delegates(trace.bytes_at(codes.start[row], codes.size[row]))
        for row, digest in enumerate(words_to_ints(codes.hash))
    }
    writes = np.flatnonzero(
        (accesses.mode == Mode.WRITE)
        & (accesses.frame == NONE)
        & (trace.keys.kind[accesses.key] == StateKind.CODE_HASH)
    )
    found: Counter[str] = Counter()
    before, after = words_to_ints(accesses.before[writes]), words_to_ints(accesses.after[writes])
    for old, new in zip(before, after, strict=True):
        kind = {(False, True): "set", (True, True): "replaced", (True, False): "cleared"}.get(
            (is_one.get(old, False), is_one.get(new, False))
        )
        if kind:
            found[kind] += 1
    through = np.flatnonzero((frames.delegates == 1) & (frames.transaction != NONE))
    names = {FrameKind.MESSAGE: "by transactions"} | {k: f"by {k.name}" for k in FrameKind if k <= FrameKind.STATICCALL}
    callee = addresses_to_bytes(frames.address)
    target = addresses_to_bytes(frames.code_address)
    forks = forks_of(trace)
    for row in through.tolist():
        code = int(frames.code[row])
        found[names[FrameKind(int(frames.kind[row]))]] += 1
        found["to itself"] += callee[row] == target[row]
        runs = trace.bytes_at(codes.start[code], codes.size[code])
        found["to one that has delegated, too"] += delegates(runs) and callee[row] != target[row]
        found["to a precompiled contract"] += target[row] in forks[int(frames.block[row])].precompiles
        found["to an account without code"] += not runs
        found["of a frame that fails"] += bool(frames.outcome[row] != Outcome.SUCCESS)
    asking = np.flatnonzero((trace.steps.opcode == OPCODES["EXTCODESIZE"]) & (trace.steps.results > 0))
    sizes = words_to_ints(trace.results.word[trace.results_start[asking].astype(np.int64)])
    found["as an account's code"] += sum(size == 23 for size in sizes)
    hashes = np.flatnonzero(trace.keys.kind == StateKind.CODE_HASH)
    first = words_to_ints(trace.keys.first[hashes])
    owners = addresses_to_bytes(trace.keys.address[hashes])
    delegated = {owner for owner, code in zip(owners, first, strict=True) if is_one.get(code)}
    found["of a sender"] += sum(sender in delegated for sender in addresses_to_bytes(trace.transactions.sender))
    return +found


def _count_opcodes(counter: Counter[str], opcodes: NDArray[np.uint8]) -> None:
    for opcode, count in zip(*(column.tolist() for column in np.unique(opcodes, return_counts=True)), strict=True):
        counter[ALL_NAMES.get(opcode, f"0x{opcode:02x}")] += count


def _of_older(trace: ExecutionTrace, address: list[bytes]) -> list[bool]:
    """For each SELFDESTRUCT whether its account is not one that its transaction has created."""
    steps, frames = trace.steps, trace.frames
    made = {
        (int(frames.transaction[row]), address[row]) for row in np.flatnonzero(np.isin(frames.kind, CREATING)).tolist()
    }
    at = steps.frame[(steps.opcode == OPCODES["SELFDESTRUCT"]) & (steps.failed == 0)].tolist()
    return [(int(frames.transaction[frame]), address[frame]) not in made for frame in at]
