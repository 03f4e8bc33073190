"""Lies that everything else follows: told by the machine, in the trace, in the events or in a table.

A lie is a sequence of `Change`s. They are made where their place says, in this order; all that is filled later follows:

- *machine*: py-evm itself errs in one step, and goes on. `row` is the step, counted over the batch without those that
  open a frame or have no instruction, `value` what is added: to the word on top of the stack afterwards (column
  `result`), to one below it (`stack`, `element` words down), to the gas that is left (`gas`), to the place of the next
  instruction (`pc`), or to a byte of memory (`memory`, `element`), each modulo its range.
- *call*: py-evm errs where one frame opens another one. `row` is the call or the creation, counted over the batch:
  `value` is added to its result (column `result`), to the gas its caller is left with (`gas`), or to a byte (`element`)
  of the address that a creation computes (`created`); the caller seems to have nothing (`poor`), or the address is
  taken or free as it is not (`taken`).
- *frame*: py-evm errs in how a frame begins or ends, and goes on. `row` is the frame, in order of opening. `value` is
  added to what it is told: its gas (`given`), `depth`, `value`, the byte `element` of `caller`, `address`, `calldata`,
  or `code_address`, which has no code then; it is static or not (`static`). Or to how it ends: the gas that is `left`,
  a byte of its `output`; what failed succeeds or the other way round (`outcome`), when its effects are undone or kept
  already.
- *replay*: the replay of the state errs, and goes on: an access to an account adds to its balance or nonce (`row`: its
  number, `value`: how much more), leaves another `life` or happens in another `world`; a frame is in another world
  (columns `own`, `outer` of `circuits.batch.worlds`); or an access to a slot has another part in its history (`row`:
  the number of the access, `column`: one of the arguments of `StateView._find_values`).
- *trace*: an element of a table of `executor.trace`.
- *events*: an element of an array of `circuits.batch.execution` or `circuits.state.state_view`, behind the replay of
  the state.
- *table*: a cell of a filled table; tables that answer it answer what it asks then.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from inspect import signature
from itertools import count
from typing import Any
from unittest.mock import patch

import numpy as np
from eth.exceptions import Revert
from eth.vm.opcode import _FastOpcode
from numpy.typing import NDArray

import executor.tracer
from circuits.air.bus import BusKind
from circuits.air.checker import BusFinding, ConstraintFinding, Finding, check_changes
from circuits.air.evaluate import NATIVE
from circuits.air.expression import Op
from circuits.air.field import Matrix
from circuits.air.layout import TraceView
from circuits.air.mutation.judge import COUNT, Objection, TableRows, support
from circuits.air.table import Table
from circuits.batch.execution import Execution
from circuits.batch.worlds import Worlds
from circuits.segment import FilledSegment
from circuits.state.account_replay import AccountReplay
from circuits.state.histories import Histories
from circuits.state.state_view import StateView
from executor.execute import execute
from executor.forks import CANCUN, Fork
from executor.machine import Instruction, instructions
from executor.opcodes import CALLS, CREATIONS, OPCODES, OPENERS, RESULTS
from executor.provable import check_provable
from executor.recorder import Recorder
from executor.trace import ExecutionTrace, Outcome
from executor.witness import WitnessBuilder
from scripts.campaign.bounds import bounded_memory, bounded_time
from scripts.campaign.chaining import refused
from scripts.campaign.changes import Change, Columns, apply, cells, random_changes
from scripts.campaign.target import Honest, is_function, told_parts
from scripts.forging.segments import KNOWN, Lie, differing

#: Kinds of lies that py-evm tells.
_OF_MACHINE = ("machine", "call", "frame")
#: What it says otherwise of how a frame begins, and of how it ends.
_BEGIN = ("given", "depth", "value", "static", "caller", "address", "code_address", "calldata")
_END = ("left", "output", "outcome")
#: What the replay says otherwise of accesses to accounts, of frames, and of accesses to slots.
_OF_ACCOUNTS = ("balance", "nonce", "life", "world")
_OF_WORLDS = ("own", "outer")
#: Instructions that need something to give.
_VALUED = {OPCODES[name] for name in ("CALL", "CALLCODE", "CREATE", "CREATE2")}
#: Seconds that it may take to fill tables from a lie.
_SECONDS = 10

_WORD = 1 << 256
_NEAR = [1, -1, 2, 100, 256, -256, 1 << 16, 1 << 128, 1 << 255]


class UntellableError(Exception):
    """A lie that no tables can be filled from: an index out of range, a replay that contradicts itself."""


def told(honest: Honest, changes: Sequence[Change]) -> tuple[FilledSegment, ...]:
    """The segments of a liar: all parts, where the honest one is a part of a run, and no lies in tables then.

    Raises:
        UntellableError: nothing can be filled from this.
    """
    at: dict[str, list[Change]] = defaultdict(list)
    by_name: dict[str, dict[str, list[Change]]] = defaultdict(lambda: defaultdict(list))
    for change in changes:
        kind, _, name = change.place.partition(" ")
        at[kind].append(change)
        by_name[kind][name].append(change)

    def in_trace(trace: ExecutionTrace) -> None:
        for name, of_table in by_name["trace"].items():
            apply(_columns(getattr(trace, name)), of_table)

    def in_events(execution: Execution, view: StateView) -> None:
        events = event_columns(execution, view) if at["events"] else {}
        for name, of_table in by_name["events"].items():
            apply(events[name], of_table)

    def in_table(of_table: Sequence[Change]) -> Any:
        def alter(view: TraceView) -> None:
            matrix: Matrix = view._matrix
            apply({name: matrix[:, index] for index, name in enumerate(view._layout.names())}, of_table)

        return alter

    lie = Lie(in_trace, in_events, {name: in_table(of_table) for name, of_table in by_name["table"].items()})
    try:
        with bounded_time(_SECONDS), bounded_memory(), _erring_replay(at["replay"]):
            errors = [change for kind in _OF_MACHINE for change in at[kind]]
            trace = _erring(honest, errors) if errors else honest.trace
            return told_parts(trace, lie, honest.target, honest.part, honest.cuts)
    except Exception as error:  # whatever a filler makes of nonsense
        raise UntellableError(f"{type(error).__name__}: {error}") from error


def objections(honest: Honest, segments: Sequence[FilledSegment]) -> set[Objection]:
    """Who objects: public values that the verifier knows better, else the checker's findings."""
    known = differing(honest.parts[0], segments[0]) & set(KNOWN) if len(segments) == 1 else set()
    known |= refused(honest.parts, segments, honest.target) if len(segments) > 1 else set()
    if known:
        return {Objection("public values", name) for name in known}
    found: set[Objection] = set()
    for part, segment in zip(honest.parts, segments, strict=True):
        found |= named(
            check_changes(
                honest.target.circuit,
                part.traces,
                segment.traces,
                part.public_lists,
                segment.public_lists,
                limit=4,
                algebra=NATIVE,
            )
        )
    return found


def outcome(honest: Honest, segments: Sequence[FilledSegment], changes: Sequence[Change]) -> str | None:
    """What an accepted lie amounts to: "another statement", "another witness", or None if it says nothing new.

    The same public values are a true statement. Only what changes tables alone is to leave them the same, too, up to
    what is left to the prover: columns that are declared free, the order of rows where it has no meaning, rows that do
    no more than ask, and tables of functions, which follow from what is asked. The same writes may be hashed in another
    order, which each segment chooses: their scopes order them. What the parts of a run hand on is no statement: the
    run's is.
    """
    claims = claimed(honest.parts, segments)
    if claims and (claims != {"writes_out"} or _writes(honest, honest.parts[-1]) != _writes(honest, segments[-1])):
        return "another statement"
    if claims or any(not change.place.startswith("table ") for change in changes):
        return None
    return "another witness" if other_tables(honest, segments) else None


def claimed(honest: Sequence[FilledSegment], segments: Sequence[FilledSegment]) -> set[str]:
    """The public values that are told otherwise of what all segments do together."""
    if len(segments) == 1:
        return differing(honest[0], segments[0])
    return differing(honest[-1], segments[-1]) & {"receipts_out", "writes_out", "access_out"}


def other_tables(honest: Honest, segments: Sequence[FilledSegment], *, counts: bool = True) -> set[str]:
    """The tables that hold something else, in all segments together; those of functions follow from the others.

    `counts`: also how often lookups are answered.
    """
    found = set()
    for number, component in enumerate(honest.target.components):
        before, after = ([part.traces[number] for part in parts] for parts in (honest.parts, segments))
        if not is_function(component.table) and not _same(component.table, before, after, counts):
            found.add(component.table.name)
    return found


def _writes(honest: Honest, segment: FilledSegment) -> Counter[bytes]:
    """The digests of all writes."""
    found: Counter[bytes] = Counter()
    for component, matrix in zip(honest.target.components, segment.traces, strict=True):
        if component.table.name in ("account", "storage") and matrix is not None:
            write = TraceView(component.table.layout, matrix).write
            found.update(item.tobytes() for item in write.item[write.emits == 1])
    return found


def _same(table: Table, a: Sequence[Matrix | None], b: Sequence[Matrix | None], counts: bool) -> bool:
    """Whether the matrices of all parts say the same."""
    if all(x is y or (x is not None and y is not None and np.array_equal(x, y)) for x, y in zip(a, b, strict=True)):
        return True
    before, after = ([matrix for matrix in parts if matrix is not None] for parts in (a, b))
    return np.array_equal(_content(table, before), _content(table, after)) if counts else _says(table, before, after)


def _content(table: Table, matrices: Sequence[Matrix]) -> Matrix:
    """What a table says: rows that do more than ask, without free columns, sorted if their order carries no meaning."""
    free = [cell.index for cell in table.layout.cells() if cell.column.free]
    kept = [matrix[_speaking(table, matrix)] for matrix in matrices]
    content = np.delete(np.concatenate([np.zeros((0, table.width), dtype=np.uint32), *kept]), free, axis=1)
    return content[np.lexsort(content.T)] if table.row_order else content


def _speaking(table: Table, matrix: Matrix) -> NDArray[np.bool_]:
    """Which rows do more than ask, (height,)."""
    rows = TableRows(table, matrix, [0] * table.public.width)
    spoken = [n for n, i in enumerate(table.air.interactions) if i.provides or i.bus.kind is BusKind.PERMUTATION]
    speaking: NDArray[np.bool_] = np.any([rows.counts[n] for n in spoken], axis=0)
    return speaking


def _says(table: Table, before: Sequence[Matrix], after: Sequence[Matrix]) -> bool:
    """Whether the rows that do more than ask are rows of the other matrices too, but for how often they answer.

    Where the order of rows carries meaning they are in the same places.
    """
    answers = [i for i in table.air.interactions if i.provides]
    dropped = {c for i in answers for op, c in support(table.air.graph, i.count.index) if op is Op.LOCAL}
    if table.selector is not None:
        dropped.discard(table.layout.offsets[table.selector])
    dropped |= {cell.index for cell in table.layout.cells() if cell.column.free}
    nothing = np.zeros((0, table.width), dtype=np.uint32)
    rows, speaking = [], []
    for matrices in (before, after):
        rows.append(np.delete(np.concatenate([nothing, *matrices]), sorted(dropped), axis=1))
        speaking.append(np.concatenate([np.zeros(0, dtype=np.bool_), *(_speaking(table, m) for m in matrices)]))
    if not table.row_order:
        either = speaking[0] | speaking[1] if len(rows[0]) == len(rows[1]) else np.ones(0, dtype=np.bool_)
        return len(rows[0]) == len(rows[1]) and np.array_equal(rows[0][either], rows[1][either])
    every = [{row.tobytes() for row in one} for one in rows]
    spoken = [{row.tobytes() for row in one[own]} for one, own in zip(rows, speaking, strict=True)]
    return spoken[0] <= every[1] and spoken[1] <= every[0]


def named(findings: Sequence[Finding]) -> set[Objection]:
    """The findings with the fields of messages, as far as it is plain which ones were to be equal."""
    found = set()
    of_bus: dict[str, list[BusFinding]] = defaultdict(list)
    for finding in findings:
        if isinstance(finding, BusFinding):
            of_bus[finding.bus].append(finding)
        elif isinstance(finding, ConstraintFinding):
            found.add(Objection(finding.table, finding.constraint))
        else:
            found.add(Objection(finding.table, "shape"))
    for bus, unbalanced in of_bus.items():
        table = unbalanced[0].rows[0][0]
        messages = [finding.message for finding in unbalanced]
        names = tuple(messages[0])
        if len(messages) == 2:
            names = tuple(name for name in names if messages[0][name] != messages[1][name])
        elif len(names) > 1:
            names = (COUNT,)
        found.add(Objection(table, bus, names))
    return found


# Where a lie can be told.


def random_lie(rng: np.random.Generator, honest: Honest) -> tuple[Change, ...]:
    """A lie at random; sometimes two at once."""
    kinds = {"machine": 0.14, "call": 0.14, "frame": 0.3, "trace": 0.06, "events": 0.06, "replay": 0.22, "table": 0.08}
    if honest.cuts:  # what single tables of a part say otherwise: see `crossing`
        kinds = {kind: share / (1 - kinds["table"]) for kind, share in kinds.items() if kind != "table"}
    chosen = rng.choice(list(kinds), 1 + int(rng.random() < 0.2), p=list(kinds.values()))
    return tuple(change for kind in chosen.tolist() for change in _random(rng, honest, kind))


def _random(rng: np.random.Generator, honest: Honest, kind: str) -> tuple[Change, ...]:
    if kind == "machine":
        return _machine_lie(rng, honest)
    if kind == "call":
        return _call_lie(rng, honest)
    if kind == "frame":
        return _frame_lie(rng, honest)
    if kind == "replay":
        return _replay_lie(rng, honest)
    if kind == "trace":
        tables = {name: _columns(table) for name, table in honest.trace.tables().items() if len(table)}
    elif kind == "events":
        execution = honest.execution
        tables = event_columns(execution, StateView.of(execution))
    else:
        present = [
            (c.table, trace)
            for c, trace in zip(honest.target.components, honest.filled.traces, strict=True)
            if trace is not None
        ]
        table, matrix = present[int(rng.integers(len(present)))]
        return random_changes(rng, f"table {table.name}", cells(table, matrix), table)
    name = str(rng.choice(list(tables)))
    return random_changes(rng, f"{kind} {name}", tables[name])


def _machine_lie(rng: np.random.Generator, honest: Honest) -> tuple[Change, ...]:
    steps = honest.trace.steps
    plain = np.flatnonzero(np.isin(steps.opcode, list(instructions(CANCUN).keys() - CALLS - CREATIONS)))
    if not len(plain):
        return ()
    step = int(rng.choice(_telling(rng, honest, steps.frame[plain])))
    kinds = ["gas", "gas", "pc", "memory", "stack"] + ["result"] * 6 * bool(RESULTS[steps.opcode[plain[step]]])
    column = str(rng.choice(kinds))
    element = int(rng.integers(1, 4)) if column == "stack" else int(rng.integers(96)) if column == "memory" else 0
    return (Change("machine", step, column, element, _near(rng, len(_NEAR) if column in ("result", "stack") else 4)),)


def _call_lie(rng: np.random.Generator, honest: Honest) -> tuple[Change, ...]:
    steps = honest.trace.steps
    opening = np.flatnonzero(np.isin(steps.opcode, OPENERS))
    if not len(opening):
        return ()
    opcode = steps.opcode[opening]
    row = _of_any_kind(rng, _telling(rng, honest, steps.frame[opening]), opcode)
    columns = ["created", "created", "taken"] if int(opcode[row]) in CREATIONS else ["result"]
    columns += ["poor", "poor"] * (int(opcode[row]) in _VALUED)
    column = str(rng.choice([*columns, "gas"]))
    element = int(rng.integers(20)) if column == "created" else 0
    return (Change("call", row, column, element, 1 if column in ("poor", "taken") else _near(rng, 4)),)


def _frame_lie(rng: np.random.Generator, honest: Honest) -> tuple[Change, ...]:
    frames = honest.trace.frames
    if not len(frames):
        return ()
    rows = _telling(rng, honest, np.arange(len(frames)))
    row = _of_any_kind(rng, rows, frames.kind, frames.outcome != Outcome.SUCCESS, frames.first_step == frames.end_step)
    column = str(rng.choice([*_BEGIN, *_END, "code_address", "left", "left", "outcome", "outcome"]))
    size = {"calldata": int(frames.input_size[row]), "output": int(frames.output_size[row])}
    size |= {"caller": 20, "address": 20, "code_address": 20}
    if not size.get(column, 1):
        column = "left"
    element = int(rng.integers(size[column])) if column in size else 0
    one = column in ("static", "depth", "outcome")
    return (Change("frame", row, column, element, 1 if one else _near(rng, 4)),)


def _telling(rng: np.random.Generator, honest: Honest, frames: NDArray[Any]) -> NDArray[Any]:
    """Those of rows with these frames (n,) that are chosen from, if there are any: mostly those that succeed.

    What a failing one does is undone, and it pays for all its gas: few lies of it say anything new. Of a part of a
    batch those of its transactions: what happened before is known to the verifier, and what comes later nobody sees.
    """
    every = np.arange(len(frames))
    if honest.part is None and rng.random() < 1 / 4:
        return every
    chosen = honest.transactions
    if rng.random() < 3 / 4:
        chosen = chosen[honest.trace.transactions.status[chosen] == 1]
    # Frames of system calls are of no transaction.
    kept = np.flatnonzero(np.isin(honest.trace.frames.transaction[frames].astype(np.int64), chosen))
    return kept if len(kept) else every


def _of_any_kind(rng: np.random.Generator, rows: NDArray[Any], *kinds: NDArray[Any]) -> int:
    """One of the rows, of one of the kinds (n,) that they have: the rare ones as often as the others."""
    _, kind = np.unique(np.stack([k[rows].astype(np.int64) for k in kinds]), axis=1, return_inverse=True)
    kind = kind.reshape(-1)
    return int(rng.choice(rows[kind == rng.choice(np.unique(kind))]))


def _near(rng: np.random.Generator, count: int) -> int:
    """One of the first so many differences that a machine errs by."""
    return _NEAR[int(rng.integers(count))]


def _replay_lie(rng: np.random.Generator, honest: Honest) -> tuple[Change, ...]:
    execution = honest.execution
    view = StateView.of(execution)
    accounts = len(view._accounts)
    slots = int(sum((of >= 0).sum() for of in (view._storage_of_step, view._entry_slots, view._block_write)))
    worlds = execution.worlds
    if len(worlds.own) and rng.random() < 1 / 4:
        row = int(rng.integers(len(worlds.own)))
        column = str(rng.choice(["own", "own", "outer"]))
        value = int(rng.choice([0, row + 1, worlds.outer[row], worlds.own[row]]))
        return (Change("replay", row, column, 0, value),)
    if accounts and (not slots or rng.random() < 2 / 3):
        column = str(rng.choice(["balance", "balance", "nonce", "life", "world"]))
        value = int(rng.choice([1, -1]))
        if column == "balance" and rng.random() < 1 / 3:
            value <<= 16 * int(rng.integers(1, 5))  # in another limb
        chosen = np.arange(accounts)
        if column == "world":
            value = int(rng.choice([0, *worlds.own]))
        elif column == "life":
            value = int(rng.choice([0, *view._accounts.life, *view._accounts.life_after]))
        elif rng.random() < 2 / 3:
            before, after = getattr(view._accounts, column), getattr(view._accounts, f"{column}_after")
            changing = np.flatnonzero((before != after).any(axis=1))
            chosen = changing if len(changing) else chosen
        return (Change("replay", int(rng.choice(chosen)), column, 0, value),)
    if not slots:
        return ()
    column = str(rng.choice(["written", "is_write", "destroyed"]))
    rows = len(view.slots) + len(view.storage_undo) if column == "destroyed" else slots
    element = int(rng.integers(16)) if column == "written" else 0
    value = int(rng.integers(3)) if column == "written" else int(rng.integers(2))
    return (Change("replay", int(rng.integers(rows)), column, element, value),)


def _columns(table: Any) -> Columns:
    """The columns of a table of the trace."""
    return {item.name: getattr(table, item.name) for item in fields(table)}


def event_columns(execution: Execution, view: StateView) -> dict[str, Columns]:
    """All arrays of an execution and of the replay of its state; those of one kind of events together."""
    tables: dict[str, Columns] = {}
    for owner, value in (("execution", execution), ("stack", execution._stack), ("state", view)):
        for name, attribute in vars(value).items():
            arrays = {name: attribute} if owner == "execution" or not is_dataclass(attribute) else vars(attribute)
            found = {n: a for n, a in arrays.items() if isinstance(a, np.ndarray) and a.size and a.flags.writeable}
            if len({len(a) for a in found.values()}) == 1:
                tables[f"{owner}.{name}"] = found
    return tables


# The machine that errs.


def _erring(honest: Honest, changes: Sequence[Change]) -> ExecutionTrace:
    """The trace of a machine that errs in some steps, calls and frames."""
    errors: dict[str, dict[int, list[Change]]] = {kind: defaultdict(list) for kind in _OF_MACHINE}
    for change in changes:
        errors[change.place][change.row].append(change)
    steps, calls = count(), count()

    def with_errors(instruction: Any) -> Instruction:
        plain = instruction.logic_fn if isinstance(instruction, _FastOpcode) else instruction

        def run(computation: Any) -> None:
            step = next(steps)
            plain(computation)
            for change in errors["machine"].get(step, ()):
                _err(computation, change)

        if isinstance(instruction, _FastOpcode):
            return _FastOpcode(run, instruction.mnemonic, instruction.gas_cost)
        return run

    def of_calls(instruction: Any) -> Instruction:
        class Erring(type(instruction)):  # type: ignore[misc]
            def __call__(self, computation: Any) -> None:
                number = next(calls)
                self.errors = {change.column: change for change in errors["call"].get(number, ())}
                told, state, own = self.errors, computation.state, computation.msg.storage_address
                with (
                    _replaced(state, "get_balance", lambda balance, of: balance * (of != own), "poor" in told),
                    _replaced(state, "has_code_or_nonce", lambda taken, _: not taken, "taken" in told),
                ):
                    super().__call__(computation)
                for column in told.keys() & {"result", "gas"}:
                    _err(computation, told[column])

            def generate_contract_address(self, *arguments: Any) -> bytes:
                address: bytes = super().generate_contract_address(*arguments)
                change = self.errors.get("created")
                return address if change is None else _other_byte(address, change)

        return Erring()

    def erring(fork: Fork) -> dict[int, Instruction]:
        own = instructions(fork)
        return {op: of_calls(one) if op in OPENERS else with_errors(one) for op, one in own.items()}

    with (
        patch.object(executor.tracer, "instructions", erring),
        # What the writes need of the tries is the verifier's, and takes long.
        patch.object(WitnessBuilder, "apply_block", lambda *_: None),
        _erring_frames(errors["frame"]),
    ):
        return check_provable(execute(honest.read))


@contextmanager
def _replaced(state: Any, name: str, other: Callable[[Any, bytes], Any], applies: bool) -> Iterator[None]:
    """While this is open, and if it applies, the state answers something else of an address."""
    if not applies:
        yield
        return
    honest = getattr(state, name)
    vars(state)[name] = lambda address: other(honest(address), address)
    try:
        yield
    finally:
        del vars(state)[name]


@contextmanager
def _erring_frames(errors: dict[int, list[Change]]) -> Iterator[None]:
    """While this is open, frames begin and end otherwise."""
    begin, end, opened = Recorder.open_frame, Recorder.close_frame, count()

    def opening(self: Recorder, message: Any) -> None:
        for change in errors.get(next(opened), ()):
            if change.column in _BEGIN:
                _begin(message, change)
        begin(self, message)

    def closing(self: Recorder, computation: Any) -> None:
        for change in errors.get(self._open[-1].number, ()):
            if change.column in _END:
                _end(computation, change)
        end(self, computation)

    with patch.object(Recorder, "open_frame", opening), patch.object(Recorder, "close_frame", closing):
        yield


def _begin(message: Any, change: Change) -> None:
    """Tell a frame something else."""
    match change.column:
        case "static":
            message.is_static = not message.is_static
        case "caller":
            message.sender = _other_byte(message.sender, change)
        case "code_address":
            message.code_address, message.code = _other_byte(message.code_address, change), b""
        case "address":
            message.storage_address = _other_byte(message.storage_address, change)
        case "calldata":
            message.data = _other_byte(bytes(message.data), change)
        case "given":
            message.gas += change.value
        case _:
            setattr(message, change.column, getattr(message, change.column) + change.value)


def _end(computation: Any, change: Change) -> None:
    """End a frame otherwise."""
    match change.column:
        case "left":
            computation._gas_meter.gas_remaining += change.value
        case "output":
            computation._output = _other_byte(computation._output, change)
        case _:
            computation._error = None if computation.is_error else Revert(b"")


def _other_byte(content: bytes, change: Change) -> bytes:
    """A byte of it is another one, if there is such a byte."""
    altered = bytearray(content)
    if change.element < len(altered):
        altered[change.element] = (altered[change.element] + change.value) % 256
    return bytes(altered)


def _err(computation: Any, change: Change) -> None:
    stack, memory = computation.stack_values, computation._memory._bytes
    if change.column == "gas":
        computation._gas_meter.gas_remaining += change.value
    elif change.column == "pc":
        computation.code.program_counter += change.value
    elif change.column == "memory":
        if change.element < len(memory):
            memory[change.element] = (memory[change.element] + change.value) % 256
    elif change.element < len(stack):
        word = stack[-1 - change.element]  # py-evm keeps some as bytes
        number = int.from_bytes(word, "big") if isinstance(word, bytes) else word
        stack[-1 - change.element] = (number + change.value) % _WORD


@contextmanager
def _erring_replay(changes: Sequence[Change]) -> Iterator[None]:
    """While this is open, replays of the state err."""
    of_accounts: dict[int, list[Change]] = defaultdict(list)
    of_worlds = [change for change in changes if change.column in _OF_WORLDS]
    of_slots = [change for change in changes if change.column not in (*_OF_ACCOUNTS, *_OF_WORLDS)]
    for change in changes:
        if change.column in _OF_ACCOUNTS:
            of_accounts[change.row].append(change)
    access, find, worlds = AccountReplay.access, StateView._find_values, Worlds.of

    def erring_access(
        self: AccountReplay, operation: int, leaf: int, time: int, amount: int = 0, nonce: int = 0, **others: Any
    ) -> int:
        for change in of_accounts.get(len(self._accesses), ()):
            amount += change.value * (change.column == "balance")
            nonce += change.value * (change.column == "nonce")
            if change.column in ("life", "world"):
                others[change.column] = change.value
        return access(self, operation, leaf, time, amount, nonce, **others)

    def erring_values(self: StateView, histories: Histories, *arguments: Any) -> None:
        apply(dict(zip(list(signature(find).parameters)[2:], arguments, strict=True)), of_slots)
        find(self, histories, *arguments)

    def erring_worlds(*arguments: Any) -> Worlds:
        found = worlds(*arguments)
        apply({name: getattr(found, name) for name in _OF_WORLDS}, of_worlds)
        return found

    with (
        patch.object(AccountReplay, "access", erring_access),
        patch.object(StateView, "_find_values", erring_values),
        patch.object(Worlds, "of", erring_worlds),
    ):
        yield
