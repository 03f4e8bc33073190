"""Lies about runs: whoever cuts operations between steps and says otherwise on one side, or on both, is refused.

A batch is proved by four parts. Its cuts lie within an initcode, within a call that writes nothing, and within a
transaction that fails. A lie is told in the tables of a part, in what is carried, or in what the parts state; what
follows from it follows. The circuits of all parts and the verifier judge the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from circuits.air.bus import Bus
from circuits.air.checker import check_circuit
from circuits.air.circuit import Circuit
from circuits.air.evaluate import NumpyAlgebra
from circuits.air.field import MODULUS, Matrix
from circuits.air.queries import queries
from circuits.air.range_buses import RANGE16
from circuits.air.table import Table
from circuits.batch.execution import Execution
from circuits.carry import CARRIED, CLOCKS, GASES, TABLES, Open, fill_carried, place
from circuits.frames import buses as frames
from circuits.functions import poseidon2
from circuits.functions import range as range_table
from circuits.functions.buses import POSEIDON2
from circuits.segment import FilledSegment
from circuits.statement import LAST_TABLES
from executor.execute import ExecutedBatch
from executor.provable import check_provable
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, FOURTH, OTHER, THIRD, call_contract, creating
from scripts.batches.segment import execution_of
from scripts.forging.runs import RunJudge, RunLie, ToldPart, Verdict, tell_run, with_messages
from scripts.forging.segments import places
from scripts.workloads.assembler import assemble
from verifier.container import CodeWrites, OpenEnd, SegmentRecord, Writes
from verifier.errors import Invalid
from verifier.forks import CANCUN, PRAGUE
from verifier.operations import Operations
from verifier.segments import ProvedSegment, check_plan, check_runs, circuits_of
from verifier.sizes import MAX_RUN_ROWS, MAX_TIME

NO_WRITES, NO_CODES = Writes.from_bytes(b""), CodeWrites.from_bytes(b"")

PURE = bytes.fromhex("ab" * 20)

#: Is created, writes, and destroys itself.
VICTIM = assemble("1 1 sstore caller selfdestruct")


def calls(address: bytes, *, value: int = 0, size: int = 0) -> str:
    return f"0 0 {size} 0 {value} 0x{address.hex()} gas call pop "


PROGRAMS = {
    CONTRACT: "7 1 sstore 0xab 0 mstore 0x55 0x66 "
    + calls(OTHER, value=3, size=32)
    + calls(THIRD)
    + calls(PURE)
    + "add 2 sstore 0 calldataload 3 sstore 33 0 log0 64 32 512 calldatacopy 1 number sub blockhash pop 0 mload pop",
    OTHER: "9 1 sstore " + creating("create", VICTIM, value=1) + "1 sload 0 calldataload callvalue 32 0 return",
    THIRD: "8 1 sstore 8 2 tstore 1 0 0 log1 1 sload 0 0 revert",
    PURE: "1 2 add pop",
    FOURTH: "5 5 sstore 5 sload callvalue 0 0 revert",
}
#: Ids of the frames that are opened, in their order.
CREATED, CALLED, FAILING = 3, 5, 6
#: Of these frames, how many steps come before the cut.
CUTS = {CREATED: 2, CALLED: 1, FAILING: 2}
LAST = len(CUTS)

#: What is never open between two steps of this batch: requests that only system calls leave for later, and what is
#: asked and answered in one part.
NEVER = {"log_read", "failure", "code_leaf"}


@pytest.fixture(scope="module")
def executed() -> ExecutedBatch:
    building = Builder()
    for address, source in PROGRAMS.items():
        building.alloc(address, nonce=1, balance=20, code="0x" + assemble(source).hex())
    building.block(
        call_contract(building, data="0x" + "5a" * 40),
        call_contract(building, 1, FOURTH, value=5, gas=100_000),
        building.transfer(2),
    )
    made = building.execute()
    check_provable(made)
    return made


@pytest.fixture(scope="module")
def execution(executed: ExecutedBatch) -> Execution:
    return execution_of(executed)


def cuts_of(execution: Execution) -> list[int]:
    return [int(np.flatnonzero(execution.frame == frame)[steps]) for frame, steps in CUTS.items()]


@pytest.fixture(scope="module")
def judge(executed: ExecutedBatch, execution: Execution) -> RunJudge:
    batch = execution.batch
    return RunJudge(executed, batch, [(0, len(batch.operations), cuts_of(execution))])


@pytest.fixture(scope="module")
def tell(judge: RunJudge) -> Callable[[RunLie], Verdict]:
    return lambda lie: judge.verdict(tell_run(judge.honest, lie))


def opened(judge: RunJudge) -> list[Open]:
    """What the honest parts leave open."""
    found: list[Open] = []

    def left(number: int, after: Open) -> Open:
        if number < LAST:
            found.append(after)
        return after

    tell_run(judge.honest, RunLie(left=left))
    return found


def refused_by(verdict: Verdict) -> dict[int, set[str]]:
    """By whom, by part."""
    return {number: set(names) for number, names in enumerate(verdict.parts) if names}


# The honest run


def test_the_honest_run_is_accepted(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    assert not any(judge.honest_objections)
    assert judge.refusal(judge.honest, judge.records(judge.honest)) is None
    # Telling nothing changes nothing, whether tables are looked at or not.
    for lie in (RunLie(), RunLie(tables=lambda _: None)):
        told = tell_run(judge.honest, lie)
        assert [part.public_lists for part in told] == [part.public_lists for part in judge.honest]
        assert tell(lie).accepted


def test_every_kind_of_message_is_open_somewhere(judge: RunJudge) -> None:
    names = {bus.name for after in opened(judge) for bus in CARRIED if len(after.of(bus)[1])}
    assert names == {bus.name for bus in CARRIED} - NEVER


def test_a_run_may_be_cut_before_any_step(executed: ExecutedBatch, execution: Execution) -> None:
    steps = len(execution.step)
    for first in (1, 2, 3):
        cuts = range(first, steps, 29)
        judge = RunJudge(executed, execution.batch, [(0, len(execution.batch.operations), cuts)])
        assert not any(judge.honest_objections)
        assert judge.refusal(judge.honest, judge.records(judge.honest)) is None


# What is carried

Change = Callable[[NDArray[Any], NDArray[Any]], tuple[Any, Any]]


def dropped(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
    return messages[1:], counts[1:]


def doubled(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
    counts[0] *= 2
    return messages, counts


def changed(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
    messages[0, -1] += 1
    return messages, counts


def added(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
    more = messages[:1].copy()
    more[0, -1] += 1
    return np.concatenate([messages, more]), np.append(counts, 1)


CHANGES = (dropped, doubled, changed, added)


def altered(carried: Open, change: Change, buses: Sequence[Bus] = CARRIED) -> tuple[Open, set[str]]:
    """What is carried with the messages of all buses changed that have any, and the names of these buses."""
    names = set()
    for bus in buses:
        if len(carried.of(bus)[1]):
            carried = with_messages(carried, bus, change)
            names.add(bus.name)
    return carried, names


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("cut", range(LAST))
def test_both_parts_say_the_same_lie(tell: Callable[[RunLie], Verdict], cut: int, change: Change) -> None:
    """Each bus objects where it is told, and in the end: the lie goes on to where nothing may be open."""
    told: set[str] = set()

    def left(number: int, after: Open) -> Open:
        if number != cut:
            return after
        lie, names = altered(after, change)
        told.update(names)
        return lie

    verdict = tell(RunLie(left=left))
    assert len(told) > 15
    assert refused_by(verdict) == {cut: told, LAST: told}
    assert verdict.verifier is None


@pytest.mark.parametrize("change", [dropped, changed], ids=lambda change: change.__name__)
@pytest.mark.parametrize("cut", range(LAST))
def test_one_part_finds_something_else(tell: Callable[[RunLie], Verdict], cut: int, change: Change) -> None:
    told: set[str] = set()

    def found(number: int, before: Open) -> Open:
        if number != cut + 1:
            return before
        lie, names = altered(before, change)
        told.update(names)
        return lie

    verdict = tell(RunLie(found=found))
    assert refused_by(verdict) == {LAST: told}
    assert verdict.verifier == f"segment {cut + 1}: the proof is one of other public values"


def test_two_cuts_change_places(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    first, second = opened(judge)[:2]
    verdict = tell(RunLie(left=lambda number, after: (second, first, after)[number] if number < LAST else after))
    found = refused_by(verdict)
    assert set(found) == {0, 1, LAST}
    assert all({"exec", "stack", "memory", "account"} <= names for names in found.values())


def test_the_order_of_messages_says_nothing(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    """Another order has another hash, which both sides state: it is the same that is open."""

    def left(number: int, after: Open) -> Open:
        return altered(after, lambda messages, counts: (messages[::-1].copy(), counts[::-1].copy()))[0]

    told = tell_run(judge.honest, RunLie(left=lambda n, after: left(n, after) if n < LAST else after))
    assert told[0].public_lists != judge.honest[0].public_lists
    assert judge.verdict(told).accepted


def _first_carried(part: ToldPart, out: int) -> tuple[str, int]:
    """A table of carried messages and its first row with what is left (1) or found (0)."""
    for table in TABLES:
        if table.name in part:
            here = np.flatnonzero((part[table.name].real == 1) & (part[table.name].out == out))
            if len(here):
                return table.name, int(here[0])
    raise AssertionError("nothing is carried")


#: What may be said otherwise of a message in its row alone: cells (column, place in it) and their values; and who
#: objects beside its bus.
ROWS: dict[str, tuple[dict[tuple[Any, ...], int], set[str]]] = {
    "it is not there": ({("real",): 0}, {"carry", "padding carries nothing"}),
    "it is not there, nor counted": ({("real",): 0, ("count",): 0, ("signed",): 0}, {"carry"}),
    "another count": ({("count",): 5, ("signed",): MODULUS - 5}, {"poseidon2"}),
    "another count on the bus alone": ({("signed",): 5}, {"signed"}),
    "another message": ({("message", -1): 7}, {"poseidon2"}),
    "the other end": ({("out",): 0}, {"signed", "carry"}),
    "another number": ({("number",): 1}, {"carry"}),
    "another hash before": ({("before", 0): 1}, {"carry", "poseidon2"}),
    "another hash behind": ({("states", -1, 0): 1}, {"carry", "poseidon2"}),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_message_is_hashed_as_it_is(tell: Callable[[RunLie], Verdict], name: str) -> None:
    cells, objecting = ROWS[name]
    told: list[str] = []

    def rows(parts: list[ToldPart]) -> None:
        table, at = _first_carried(parts[0], 1)
        told.append(table.removeprefix("carried_"))
        for (column, *place_in_it), value in cells.items():
            getattr(parts[0][table], column)[(at, *place_in_it)] = value

    verdict = tell(RunLie(rows=rows))
    found = refused_by(verdict)
    assert set(found) == {0}
    assert found[0] - set(told) == objecting


def _judged_alone(bus: Bus, field: str, value: int) -> set[str]:
    """Who objects to a carried message whose field has a value; the bus and the hash have no other rows."""
    message = np.zeros((1, bus.width), dtype=np.uint32)
    message[0, place(bus, field)] = value % MODULUS
    carried = Open({bus.index: message}, {bus.index: np.ones(1, dtype=np.int64)})
    table = TABLES[CARRIED.index(bus)]
    matrix = fill_carried(bus, Open.nothing(), carried)
    assert matrix is not None
    filled: list[tuple[Table, Matrix]] = [(table, matrix)]
    hashes = poseidon2.fill(queries(POSEIDON2, filled)[:, :16])
    filled.append((poseidon2.Poseidon2(), hashes))
    filled.append((range_table.RANGE_16, range_table.RANGE_16.fill(queries(RANGE16, filled)[:, 0])))
    circuit = Circuit("carried", [each for each, _ in filled])
    findings = check_circuit(circuit, [trace for _, trace in filled], [[] for _ in filled], algebra=NumpyAlgebra())
    return places(findings) - {bus.name, "carry"}


@pytest.mark.parametrize("bus", CLOCKS, ids=lambda bus: bus.name)
def test_time_is_bounded_where_it_goes_on(bus: Bus) -> None:
    for time in (0, 1 << 16, (1 << 29) - 1):
        assert _judged_alone(bus, "time", time) == set()
    for time in (1 << 29, 1 << 30, MODULUS - 1):
        assert _judged_alone(bus, "time", time) == {"range16"}


@pytest.mark.parametrize("bus", GASES, ids=lambda bus: bus.name)
def test_gas_is_there_where_a_frame_goes_on(bus: Bus) -> None:
    for gas in (0, 1 << 16, (1 << 30) - 1):
        assert _judged_alone(bus, "gas", gas) == set()
    for gas in (1 << 30, MODULUS - 1, MODULUS - (1 << 20)):
        assert _judged_alone(bus, "gas", gas) == {"range16"}


@pytest.mark.parametrize("gas", [MODULUS - 1, 1 << 30])
def test_gas_does_not_go_on_beyond_its_bounds(judge: RunJudge, tell: Callable[[RunLie], Verdict], gas: int) -> None:
    """Beside the bus, which misses what the frame has left."""

    def left(number: int, after: Open) -> Open:
        def change(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
            messages[0, place(frames.EXEC, "gas")] = gas
            return messages, counts

        return with_messages(after, frames.EXEC, change) if number == 1 else after

    found = refused_by(tell(RunLie(left=left)))
    # The part behind finds it and leaves it.
    assert found == {1: {"exec", "range16"}, 2: {"range16"}, LAST: {"exec", "range16"}}


# Who may have which rows


def test_a_row_may_be_in_any_part(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    """The argument does not ask where rows are: here steps go there and back between parts."""
    moved: list[int] = []

    def tables(parts: list[ToldPart]) -> None:
        rows = parts[2].take("pop", parts[2].real("pop")[:1].tolist())
        parts[0].put("pop", rows)
        moved.append(len(rows))

    verdict = tell(RunLie(tables=tables))
    assert moved == [1]
    assert verdict.accepted, verdict


def test_a_row_is_in_one_part(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    """A step that is taken twice, or left out."""

    def twice(parts: list[ToldPart]) -> None:
        matrix = parts[1].matrices["pop"]
        assert matrix is not None
        parts[0].put("pop", matrix[parts[1].real("pop")[:1]])

    # The byte that it is, is answered once.
    assert refused_by(tell(RunLie(tables=twice))) == {LAST: {"exec", "stack", "instruction"}}

    def never(parts: list[ToldPart]) -> None:
        parts[1].take("pop", parts[1].real("pop")[:1].tolist())

    assert refused_by(tell(RunLie(tables=never))) == {LAST: {"exec", "stack", "instruction"}}


def test_what_is_not_carried_is_answered_in_its_part(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    def tables(parts: list[ToldPart]) -> None:
        parts[1].put("push_site_small", parts[0].take("push_site_small", parts[0].real("push_site_small")[:1].tolist()))

    assert refused_by(tell(RunLie(tables=tables))) == {0: {"push"}, 1: {"push"}}


def test_the_end_of_a_frame_is_foretold(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    """A call that succeeds is said to have failed before it ends in the next part; all else follows that."""

    def tables(parts: list[ToldPart]) -> None:
        rows = parts[1]["frame"]
        at = int(np.flatnonzero((rows.frame == CALLED) & (rows.real == 1))[0])
        assert (rows.success[at], rows.outer[at]) == (1, 0)
        rows.success[at], rows.world[at] = 0, CALLED
        calls = parts[1]["call"]
        at = int(np.flatnonzero(calls.opened == CALLED)[0])
        calls.success[at] = 0
        popped = parts[2]["pop"]
        at = int(np.flatnonzero((popped.frame == 1) & (popped.then == calls.time[at]))[0])
        assert popped.word[at].tolist() == [1, *[0] * 15]
        popped.word[at] = 0

    verdict = tell(RunLie(tables=tables))
    assert refused_by(verdict) == {LAST: {"halt"}}
    assert verdict.verifier is None


def _read_zero(parts: list[ToldPart]) -> None:
    """A word of the first frame's memory begins anew in the last part: what is read then is 0, and nobody uses it."""
    memory = parts[LAST]["memory"]
    at = int(np.flatnonzero((memory.frame == 1) & (memory.index == 0) & (memory.real == 1))[0])
    loads = parts[2]["load_aligned"]
    read = int(np.flatnonzero((loads.frame == 1) & (loads.index == 0) & (loads.real == 1))[-1])
    assert memory.word[at].any()
    assert memory.last[at] == loads.time[read]
    whole = parts[LAST].matrices["memory"]
    assert whole is not None
    parts[1].matrices["memory"] = whole[at : at + 1].copy()
    parts[1]["memory"].last[0] = loads.word_then[read]
    memory.start[at] = loads.word_then[read] = loads.time[read] - 1
    memory.word[at] = loads.word[read] = 0
    popped = parts[2]["pop"]
    popped.word[int(np.flatnonzero((popped.frame == 1) & (popped.then == loads.time[read]))[0])] = 0


def test_only_the_last_part_begins_memory(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    """No bus objects to a word of memory that has a row in two parts: the verifier does, which sees the table."""
    verdict = tell(RunLie(tables=_read_zero))
    assert refused_by(verdict) == {}
    assert verdict.verifier == "proofs: segment 1: a segment with an open end has the table memory"


def test_a_storage_slot_is_opened_once(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    """A table of the end in an early part is refused even where it does nothing."""
    for name in ("account", "storage", "code"):

        def tables(parts: list[ToldPart], name: str = name) -> None:
            table = parts[0].tables[name]
            parts[0].matrices[name] = np.zeros((1, table.width), dtype=np.uint32)

        told = tell_run(judge.honest, RunLie(tables=tables))
        reason = judge.refusal(told, judge.records(told))
        assert reason == f"proofs: segment 0: a segment with an open end has the table {name}"


def _rename(parts: Sequence[ToldPart], old: int, new: int) -> None:
    """Give a frame another id wherever it is named."""
    for part in parts:
        for name, table in part.tables.items():
            matrix, names = part.matrices[name], table.layout.names()
            if matrix is None or name == "memory":  # which of these frames have none
                continue
            for column, path in enumerate(names):
                if path.split(".")[-1] in ("frame", "world", "outer", "opened") or (name, path) == ("context", "id"):
                    cells = matrix[:, column]
                    cells[cells == old] = new


def test_frames_are_numbered_through_the_parts(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    """Two frames may have one id as far as the circuits of their parts know: the verifier has them counted."""

    def tables(parts: list[ToldPart]) -> None:
        assert parts[2]["frame"].frame[0] == FAILING
        _rename(parts[2:], FAILING, CALLED)

    def stated(told: list[FilledSegment]) -> None:
        assert told[2].frames == (CALLED, FAILING + 1)
        told[2] = replace(told[2], frames=(CALLED - 1, FAILING))
        told[3] = replace(told[3], frames=(FAILING - 1, 0))

    verdict = tell(RunLie(tables=tables, stated=stated))
    assert refused_by(verdict) == {}
    assert verdict.verifier == "segment 2: the proof is one of other public values"


@pytest.mark.parametrize(
    ("frames_of", "objecting"),
    [
        ((CREATED, CALLED), {"the last frame without padding", "the last frame before the padding"}),
        ((CREATED, CALLED + 2), {"the last frame without padding", "the last frame before the padding"}),
        ((CREATED + 1, CALLED + 1), {"frames are numbered from 1, or through the parts"}),
        ((CREATED - 1, CALLED + 1), {"frames are numbered from 1, or through the parts"}),
    ],
)
def test_a_part_says_how_many_frames_begin(
    judge: RunJudge, tell: Callable[[RunLie], Verdict], frames_of: tuple[int, int], objecting: set[str]
) -> None:
    def stated(told: list[FilledSegment]) -> None:
        assert told[1].frames == (CREATED, CALLED + 1)
        told[1] = replace(told[1], frames=frames_of)

    found = refused_by(tell(RunLie(stated=stated)))
    assert set(found) == {1}
    assert set() < found[1] <= objecting


def test_a_frame_is_not_left_out(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    """Nor may a part that is said to have frames have no table of them, which would state nothing."""

    def tables(parts: list[ToldPart]) -> None:
        parts[1].matrices["frame"] = None

    verdict = tell(RunLie(tables=tables))
    assert {"message", "result"} <= refused_by(verdict)[1]
    assert verdict.verifier == "commitments: segment 1: the proof is one without the frames that it is said to have"


# Operations


def _states(number: int, **values: Any) -> Callable[[list[FilledSegment]], None]:
    """A part states other values."""

    def stated(told: list[FilledSegment]) -> None:
        told[number] = replace(told[number], public_values=replace(told[number].public_values, **values))

    return stated


def test_a_transaction_is_in_one_part(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    """It begins in the first part. Said to do so in the second one as well, or only there, it is refused."""
    values = judge.honest[0].public_values

    def twice(parts: list[ToldPart]) -> None:
        matrix = parts[0].matrices["transaction"]
        assert matrix is not None
        parts[1].matrices["transaction"] = matrix[:1].copy()

    verdict = tell(RunLie(tables=twice))
    assert refused_by(verdict)[1] >= {"chain", "message", "result"}
    again = {name: getattr(values, name) for name in ("first_operation", "operations_in", "receipts_in", "time_in")}
    verdict = tell(RunLie(tables=twice, stated=_states(1, **again)))
    assert "chain" not in refused_by(verdict)[1]
    assert verdict.verifier == "segments: segment 1 starts at operation 0 instead of 1"

    def later(parts: list[ToldPart]) -> None:
        twice(parts)
        parts[0].matrices["transaction"] = None

    verdict = tell(RunLie(tables=later, stated=_states(1, **again)))
    assert refused_by(verdict)[0] >= {"chain", "message", "result"}
    none = {f"{name}_out": getattr(values, f"{name}_in") for name in ("operations", "receipts")}
    verdict = tell(RunLie(tables=later, stated=_states(0, end_operation=0, **none)))
    assert verdict.verifier == "segments: segment 0 has no operations"


def test_operations_follow_each_other(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    values = judge.honest[1].public_values
    assert values.first_operation == values.end_operation == 1
    found = refused_by(tell(RunLie(stated=_states(1, end_operation=2))))
    assert found == {1: {"chain"}}
    verdict = tell(RunLie(stated=_states(1, first_operation=2, end_operation=2)))
    assert refused_by(verdict) == {}  # no operation begins there: it may be any
    assert verdict.verifier == "segments: segment 1 starts at operation 2 instead of 1"
    other = dict.fromkeys(("operations_in", "operations_out"), judge.honest[2].public_values.operations_out)
    verdict = tell(RunLie(stated=_states(1, **other)))
    assert refused_by(verdict) == {}
    assert verdict.verifier == "segment 1: the proof is one of other public values"


@pytest.mark.parametrize(
    ("name", "objecting"),
    [("receipts_out", {"chain"}), ("writes_out", {"writes"}), ("access_out", {"without leaves nothing changes[0]"})],
)
def test_an_early_part_leaves_what_it_finds(tell: Callable[[RunLie], Verdict], name: str, objecting: set[str]) -> None:
    def stated(told: list[FilledSegment]) -> None:
        other = getattr(told[1].public_values, name).copy()
        other[0] ^= 1
        told[1] = replace(told[1], public_values=replace(told[1].public_values, **{name: other}))

    verdict = tell(RunLie(stated=stated))
    assert refused_by(verdict) == {1: objecting}
    assert verdict.verifier == "segment 1: the proof is one of other public values"


def test_time_goes_on(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    """From part to part as operations take it: not back, and not beyond its bound."""
    values = judge.honest[1].public_values
    assert values.time_in == values.time_out > 1

    def rows(time: int) -> Callable[[list[ToldPart]], None]:
        def change(parts: list[ToldPart]) -> None:
            parts[1]["segment"].end_time[0] = time

        return change

    for time in (values.time_in - 1, values.time_in + 1):
        assert refused_by(tell(RunLie(stated=_states(1, time_out=time)))) == {1: {"the time at the end"}}
        found = refused_by(tell(RunLie(rows=rows(time), stated=_states(1, time_out=time))))
        assert found == {1: {"chain"}}
        # As long as no operation begins in it, a part may be at any time: what is before it says at which.
        verdict = tell(RunLie(rows=rows(time), stated=_states(1, time_in=time, time_out=time)))
        assert refused_by(verdict) == {}
        assert verdict.verifier == "segment 1: the proof is one of other public values"
    verdict = tell(RunLie(stated=_states(1, time_out=MAX_TIME + 1)))
    assert verdict.verifier == f"segments: segment 1 has an open end at the time {MAX_TIME + 1}"
    verdict = tell(RunLie(stated=_states(0, time_out=0)))
    assert verdict.verifier == "segments: segment 0 has an open end at the time 0"


def test_what_is_said_of_an_open_end_is_stated(judge: RunJudge) -> None:
    honest, records = judge.honest, judge.records(judge.honest)
    end = records[1].open_end
    assert end is not None
    carry = (end.carry[0] ^ 1, *end.carry[1:])
    for other in (
        replace(end, time=end.time + 1),
        replace(end, next_frame=end.next_frame + 1),
        replace(end, carry=carry),
    ):
        changed_records = [*records[:1], replace(records[1], open_end=other), *records[2:]]
        assert judge.refusal(honest, changed_records) == "segment 1: the proof is one of other public values"
    frames_back = [*records[:1], replace(records[1], open_end=replace(end, next_frame=1)), *records[2:]]
    assert "frames begin in it" in str(judge.refusal(honest, frames_back))
    # Without it, the next one begins anew: what it writes to belongs to operations before.
    closed = [*records[:1], replace(records[1], open_end=None), *records[2:]]
    assert judge.refusal(honest, closed) == "writes: segment 3 writes outside of its operations"


# Segments


def test_parts_are_there_in_their_order(judge: RunJudge) -> None:
    honest, records = judge.honest, judge.records(judge.honest)

    def of(*numbers: int) -> str | None:
        return judge.refusal([honest[n] for n in numbers], [records[n] for n in numbers])

    assert of(0, 1, 2, 3) is None
    assert of(0, 1, 2) == "segments: the last segment has an open end"
    assert of(1, 2, 3) == "segments: segment 0 starts at operation 1 instead of 0"
    assert of(0, 1, 1, 2, 3) == "segment 2: the proof is one of other public values"
    assert of(0, 2, 3) == "segment 1: the proof is one of other public values"
    assert of(0, 1, 3) == "segments: segment 2 starts at operation 2 instead of 1"
    assert of(0, 2, 1, 3) == "segments: segment 2 starts at operation 1 instead of 2"
    assert of(0, 1, 2, 3, 3) == "segments: segment 4 starts at operation 2 instead of 3"
    # The last record may not have an open end, whatever it is.
    for writes, reason in (
        (records[3].writes, "segment 3 has writes and an open end"),
        (NO_WRITES, "the last segment"),
    ):
        end = replace(records[3], open_end=records[2].open_end, writes=writes)
        assert str(judge.refusal(honest, [*records[:3], end])).startswith(f"segments: {reason}")


def test_a_run_is_finished_before_another_one_begins(executed: ExecutedBatch, execution: Execution) -> None:
    """Two runs, one behind the other: the second one finds nothing open, and what the first one leaves is lost."""
    batch = execution.batch
    cut = cuts_of(execution)
    judge = RunJudge(executed, batch, [(0, 1, cut[:1]), (1, len(batch.operations), [2])])
    honest, records = judge.honest, judge.records(judge.honest)
    assert not any(judge.honest_objections)
    assert judge.refusal(honest, records) is None
    assert [record.open_end is None for record in records] == [False, True, False, True]
    open_end = records[0].open_end
    assert open_end is not None
    # The second part leaves open what it finds, and a whole segment stands between both.
    stated = replace(honest[1].public_values, carry_out=honest[0].public_values.carry_out)
    leaving = replace(honest[1], public_values=stated)
    assert "carry" in places(
        check_circuit(leaving.circuit, leaving.traces, leaving.public_lists, algebra=NumpyAlgebra())
    )
    assert judge.refusal([honest[0], leaving, *honest[2:]], records) == (
        "segment 1: the proof is one of other public values"
    )
    # The first part's end is said to be that of a whole operation, or the second run to go on with what is open there.
    whole = [replace(records[0], open_end=None), *records[1:]]
    assert judge.refusal(honest, whole) == "segments: segment 1 has no operations"
    goes_on = [records[0], replace(records[1], open_end=open_end), *records[2:]]
    assert judge.refusal(honest, goes_on) == "segments: segment 1 has writes and an open end"
    bare = replace(records[1], open_end=open_end, writes=NO_WRITES, code_writes=NO_CODES)
    assert str(judge.refusal(honest, [records[0], bare, *records[2:]])).startswith("proofs: segment 1: a segment with")
    # Parts of one run stand where those of the other one should.
    assert judge.refusal([honest[i] for i in (2, 3, 0, 1)], [records[i] for i in (2, 3, 0, 1)]) == (
        "segments: segment 0 starts at operation 1 instead of 0"
    )


def test_an_open_end_is_without_writes(judge: RunJudge) -> None:
    records = judge.records(judge.honest)
    last = records[-1]
    assert len(last.writes)
    code = CodeWrites.from_bytes(bytes(40))
    check_plan(records, 3)
    for early in (replace(records[0], writes=last.writes), replace(records[0], code_writes=code)):
        with pytest.raises(Invalid, match="segment 0 has writes and an open end"):
            check_plan([early, *records[1:]], 3)


@pytest.mark.parametrize("name", sorted(LAST_TABLES))
def test_tables_of_the_end_are_not_in_earlier_parts(judge: RunJudge, name: str) -> None:
    records = judge.records(judge.honest)
    proved = [ProvedSegment({"segment": 1}, None, 100.0) for _ in records]
    check_runs(records, proved)
    check_runs(records, [*proved[:-1], replace(proved[-1], rows={"segment": 1, name: 1})])
    for number in range(LAST):
        early = [*proved[:number], replace(proved[number], rows={"segment": 1, name: 1}), *proved[number + 1 :]]
        with pytest.raises(Invalid, match=f"segment {number}: a segment with an open end has the table {name}"):
            check_runs(records, early)


def test_a_run_has_no_more_rows_than_messages_may_be_counted(judge: RunJudge) -> None:
    records = judge.records(judge.honest)

    def proved(*rows: int) -> list[ProvedSegment]:
        return [ProvedSegment({"segment": count}, None, 100.0) for count in rows]

    third = MAX_RUN_ROWS // 3
    check_runs(records, proved(third, third, third, 0))
    with pytest.raises(Invalid, match="segment 3: a run of segments has 60,000,001 rows"):
        check_runs(records, proved(third, third, third, 1))
    # Every run by itself.
    whole = [replace(record, open_end=None) for record in records]
    check_runs(whole, proved(third, third, third, third))
    halves = [records[0], replace(records[1], open_end=None), *records[2:]]
    check_runs(halves, proved(third, 2 * third, third, 2 * third))
    with pytest.raises(Invalid, match="segment 1: a run of segments has"):
        check_runs(halves, proved(third, 2 * third + 1, third, third))


def test_a_run_is_of_one_circuit(judge: RunJudge) -> None:
    """Operations 0 and 1 are of one block, 2 is of the next one."""
    operations = Operations((0, 2, 3), np.zeros((4, 8), dtype=np.uint32), np.arange(3))
    end = judge.records(judge.honest)[0].open_end

    def part(first: int, last: int, open_end: OpenEnd | None) -> SegmentRecord:
        return SegmentRecord(first, last, 17, NO_WRITES, b"", open_end=open_end)

    parts = [part(0, 1, end), part(1, 1, end), part(1, 2, None), part(2, 3, None)]
    assert circuits_of(parts, operations, [CANCUN, PRAGUE]) == ["cancun"] * 3 + ["prague"]
    crossing = [*parts[:2], part(1, 3, None)]
    with pytest.raises(Invalid, match="segment 2 has operations of the circuits of cancun and prague"):
        circuits_of(crossing, operations, [CANCUN, PRAGUE])
    goes_on = [part(0, 2, end), part(2, 2, end), part(2, 3, None)]
    with pytest.raises(Invalid, match="segment 2 has operations of the circuits of cancun and prague"):
        circuits_of(goes_on, operations, [CANCUN, PRAGUE])
