"""Lies about runs: whoever cuts operations between steps and says otherwise on one side, or on both, is refused.

A batch is proved by four parts. Its cuts lie within an initcode, within a call that writes nothing, and within a
transaction that fails. A lie is told in the tables of a part, in what two parts have in common, or in what the parts
state; what follows from it follows. The circuits of all parts and the verifier judge the rest.
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
from circuits.air.evaluate import NATIVE
from circuits.air.field import MODULUS, Matrix
from circuits.air.layout import TraceView, allocate
from circuits.air.queries import queries
from circuits.air.range_buses import RANGE16
from circuits.air.table import Table
from circuits.batch.execution import Execution
from circuits.carry import CARRIED, CLOCKS, GASES, TABLES, Link, fill_carried, place
from circuits.frames import buses as frames
from circuits.functions import poseidon2
from circuits.functions import range as range_table
from circuits.functions.buses import POSEIDON2
from circuits.instructions.buses import STACK
from circuits.memory.memory_tables import MemoryColumns
from circuits.segment import FilledSegment
from circuits.statement import LAST_TABLES, links_chain
from executor.execute import ExecutedBatch
from executor.provable import check_provable
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, FOURTH, OTHER, THIRD, call_contract, creating
from scripts.batches.segment import execution_of
from scripts.forging.runs import Pairs, RunJudge, RunLie, Side, ToldPart, Verdict, chain_links, tell_run, with_messages
from scripts.forging.segments import places
from scripts.workloads.assembler import assemble
from verifier.container import CodeWrites, Links, OpenEnd, SegmentRecord, Writes
from verifier.errors import Invalid
from verifier.forks import CANCUN, PRAGUE
from verifier.operations import Operations
from verifier.segments import ProvedSegment, check_plan, check_runs, circuits_of
from verifier.sizes import MAX_LOG_HEIGHT, MAX_RUN_MESSAGES, MAX_TIME, ROW_MESSAGES

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
#: Parts that have something in common, the lower one first.
LINKED = [(low, high) for high in range(LAST + 1) for low in range(high)]

#: What is never open between two steps of this batch: requests that only system calls leave for later, what is asked
#: and answered in one part, and what is open within a call of a precompile alone (`test_cut_calls.py`).
NEVER = {"log_read", "failure", "code_leaf", "field_parts", "field_ran", "register_32", "register_48"}


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


@pytest.fixture(scope="module")
def linked(judge: RunJudge) -> Pairs:
    """What the honest parts have in common."""
    found: Pairs = {}
    tell_run(judge.honest, RunLie(pairs=found.update))
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


def test_every_kind_of_message_is_open_somewhere(linked: Pairs) -> None:
    names = {bus.name for link in linked.values() for bus in CARRIED if bus.index in link.counts}
    assert names == {bus.name for bus in CARRIED} - NEVER
    assert sorted(linked) == sorted(LINKED)


def test_a_run_may_be_cut_before_any_step(executed: ExecutedBatch, execution: Execution) -> None:
    steps = len(execution.step)
    for first in (1, 2, 3):
        cuts = range(first, steps, 29)
        judge = RunJudge(executed, execution.batch, [(0, len(execution.batch.operations), cuts)])
        assert not any(judge.honest_objections)
        assert judge.refusal(judge.honest, judge.records(judge.honest)) is None


# What two parts have in common

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


def altered(link: Link, change: Change) -> tuple[Link, set[str]]:
    """A link with the messages of all its buses changed, and the names of these buses."""
    buses = [bus for bus in CARRIED if bus.index in link.counts]
    return with_messages(link, dict.fromkeys(buses, change)), {bus.name for bus in buses}


def of_pair(pair: tuple[int, int], change: Change, buses: set[str]) -> Callable[[Pairs], None]:
    """Both parts say of all that they have in common that it is something else; `buses` takes the names."""

    def pairs(found: Pairs) -> None:
        found[pair], names = altered(found[pair], change)
        buses.update(names)

    return pairs


def of_side(part: int, other: int, change: Change, buses: set[str]) -> Callable[[int, Side], Side]:
    """A part says of all that it has in common with another one that it is something else."""

    def side(number: int, found: Side) -> Side:
        if number != part:
            return found
        links = dict(found)
        links[other], names = altered(links[other], change)
        buses.update(names)
        return list(links.items())

    return side


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize(
    "pair",
    [pytest.param(pair, marks=() if pair in ((0, 1), (0, LAST)) else pytest.mark.deep) for pair in LINKED],
    ids=lambda pair: "-".join(map(str, pair)),
)
def test_both_parts_say_the_same_lie(tell: Callable[[RunLie], Verdict], pair: tuple[int, int], change: Change) -> None:
    """Each bus objects in both: there it is taken off or put on otherwise than its messages are."""
    told: set[str] = set()
    verdict = tell(RunLie(pairs=of_pair(pair, change, told)))
    assert len(told) > 1
    assert refused_by(verdict) == {pair[0]: told, pair[1]: told}
    assert verdict.verifier is None


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize(
    ("part", "other"),
    [(1, 2), (2, 1), *(pytest.param(*pair, marks=pytest.mark.deep) for pair in ((0, LAST), (LAST, 0)))],
)
def test_one_part_says_something_else(tell: Callable[[RunLie], Verdict], part: int, other: int, change: Change) -> None:
    """Its own buses object, and the verifier, who gives both what the earlier one says."""
    told: set[str] = set()
    verdict = tell(RunLie(side=of_side(part, other, change, told)))
    assert told
    assert refused_by(verdict) == {part: told}
    assert verdict.verifier == f"segment {max(part, other)}: the proof is one of other public values"


def test_parts_have_nothing_in_common(tell: Callable[[RunLie], Verdict], linked: Pairs) -> None:
    """A link that neither part states: what one has too much of stays there, and the other one has too little of it."""
    buses = {bus.name for bus in CARRIED if bus.index in linked[0, 1].counts}

    def pairs(found: Pairs) -> None:
        del found[0, 1]

    verdict = tell(RunLie(pairs=pairs))
    assert refused_by(verdict) == {0: buses, 1: buses}
    assert verdict.verifier is None


@pytest.mark.parametrize(
    ("part", "other", "reason"),
    [
        (0, 1, "segment 1: the proof is one of other public values"),
        (1, 0, "proofs: segment 1: 3 links, and a table of 2 rows for them"),
    ],
)
def test_a_link_that_one_part_leaves_out(tell: Callable[[RunLie], Verdict], part: int, other: int, reason: str) -> None:
    def side(number: int, found: Side) -> Side:
        return [(n, link) for n, link in found if (number, n) != (part, other)]

    verdict = tell(RunLie(side=side))
    assert set(refused_by(verdict)) == {part}
    assert verdict.verifier == reason


def test_links_change_places(tell: Callable[[RunLie], Verdict]) -> None:
    """All four parts say of one pair what is so of another one."""

    def pairs(found: Pairs) -> None:
        found[0, 1], found[2, 3] = found[2, 3], found[0, 1]

    verdict = tell(RunLie(pairs=pairs))
    refused = refused_by(verdict)
    assert set(refused) == {0, 1, 2, 3}
    assert all({"exec", "stack", "frame"} <= names for names in refused.values())
    assert verdict.verifier is None


def test_a_part_exchanges_its_links(tell: Callable[[RunLie], Verdict]) -> None:
    """It takes off the same in sum, so none of its buses objects: those object who find what is not theirs."""

    def pairs(found: Pairs) -> None:
        found[0, 1], found[0, 2] = found[0, 2], found[0, 1]

    verdict = tell(RunLie(pairs=pairs))
    assert set(refused_by(verdict)) == {1, 2}
    assert verdict.verifier is None

    def side(number: int, found: Side) -> Side:
        if number:
            return found
        links = dict(found)
        return [(1, links[2]), (2, links[1]), (LAST, links[LAST])]

    verdict = tell(RunLie(side=side))
    assert refused_by(verdict) == {}
    assert verdict.verifier == "segment 1: the proof is one of other public values"


def _halves(link: Link) -> tuple[Link, Link]:
    """Two links that are one together."""

    def first(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
        return messages[: len(counts) // 2], counts[: len(counts) // 2]

    def second(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
        return messages[len(counts) // 2 :], counts[len(counts) // 2 :]

    return altered(link, first)[0], altered(link, second)[0]


def test_a_link_is_stated_once(judge: RunJudge, linked: Pairs) -> None:
    """Of two rows for one link, each with a part of its messages, no bus knows: the verifier has it once."""

    def side(number: int, found: Side) -> Side:
        if number != 0:
            return found
        return [(other, half) for other, link in found for half in (_halves(link) if other == LAST else (link,))]

    told = tell_run(judge.honest, RunLie(side=side))
    verdict = judge.verdict(told)
    assert refused_by(verdict) == {}
    assert verdict.verifier == "segment 0: the proof is one of other public values"
    # Nor can it be made to have it twice, whatever the other part says.
    records = judge.records(told)
    halves = _halves(linked[0, LAST])
    others, digests = records[0].links.other, records[0].links.digest
    twice = Links(np.append(others, others[-1:]), np.concatenate([digests[:-1], [half.digest for half in halves]]))
    assert others[-1] == LAST
    stated = links_chain(0, twice.other.tolist(), twice.digest)[-1]
    assert told[0].public_values.links.tolist() == stated.tolist()
    reason = judge.refusal(told, [replace(records[0], links=twice), *records[1:]])
    assert reason == f"segments: segment 0, part 0 of {LAST + 1}, has a link with part {LAST}"
    # An empty one beside the one that there is, of which no message tells.
    empty = tell_run(judge.honest, RunLie(side=lambda n, found: [*found, (LAST, Link({}, {}))] if n == 1 else found))
    verdict = judge.verdict(replace_links(empty, judge.honest))
    assert refused_by(verdict) == {}
    assert verdict.verifier == "segment 1: the proof is one of other public values"


def replace_links(told: Sequence[FilledSegment], like: Sequence[FilledSegment]) -> list[FilledSegment]:
    """What is told, with the file saying of links what it does of other parts."""
    return [replace(part, links=other.links) for part, other in zip(told, like, strict=True)]


@pytest.mark.parametrize("number", [0, 4, LAST + 2, MODULUS - 1])
def test_a_link_with_a_part_that_is_not_there(judge: RunJudge, number: int) -> None:
    """Or with itself. What the first part says that it leaves to the second one, nobody would find."""

    def side(part: int, found: Side) -> Side:
        return [(number if other == 1 else other, link) for other, link in found] if part == 0 else found

    def rows(parts: list[ToldPart]) -> None:
        # On the side where the messages are taken off, with the number that is told.
        if number == 0:
            for table in TABLES:
                if table.name in parts[0]:
                    own = parts[0][table.name]
                    here = (own.real == 1) & (own.other == 0)
                    own.out[here], own.signed[here] = 1, (-own.count[here].astype(np.int64)) % MODULUS
            links = parts[0]["link"]
            links.out[(links.real == 1) & (links.other == 0)] = 1
            chain_links(parts[0])

    told = tell_run(judge.honest, RunLie(side=side, rows=rows))
    verdict = judge.verdict(replace_links(told, judge.honest))
    assert refused_by(verdict) == {}
    assert verdict.verifier == "segment 0: the proof is one of other public values"
    # The file says it, too: first, and in its place.
    records = judge.records(judge.honest)
    digests = dict(zip([1, 2, 3], records[0].links.digest, strict=True))
    said = {number: digests.pop(1)} | digests
    for order in (list(said), sorted(said)):
        links = Links(np.array(order, dtype=np.uint32), np.stack([said[other] for other in order]))
        reason = judge.refusal(told, [replace(records[0], links=links), *records[1:]])
        assert str(reason).startswith(f"segments: segment 0, part 0 of {LAST + 1}, has a link with part ")


def test_links_are_listed_in_their_order(judge: RunJudge) -> None:
    """By the earlier one of two parts, each other one once."""
    honest, records = judge.honest, judge.records(judge.honest)
    assert [record.links.other.tolist() for record in records] == [[1, 2, 3], [2, 3], [3], []]

    def of(number: int, *order: int) -> str | None:
        digests = records[min(number, LAST - 1)].links.digest
        told = Links(np.array(order, dtype=np.uint32), np.resize(digests, (len(order), 8)))
        changed_records = [*records[:number], replace(records[number], links=told), *records[number + 1 :]]
        return judge.refusal(honest, changed_records)

    assert of(0, 1, 2, 3) is None
    for number, order, wrong in (
        (0, (2, 1, 3), 1), (0, (1, 1, 2, 3), 1), (0, (0, 1, 2, 3), 0), (1, (0, 2, 3), 0), (1, (1, 2, 3), 1),
        (2, (3, 4), 4), (2, (1,), 1), (3, (3,), 3), (3, (0,), 0), (3, (4,), 4), (0, (1, 2, 3, 2**32 - 1), 2**32 - 1),
    ):  # fmt: skip
        expected = f"segments: segment {number}, part {number} of 4, has a link with part {wrong}"
        assert of(number, *order) == expected
    # One left out, by itself or with that of another part in its place.
    assert of(0, 1, 2) == of(0, 1, 3) == "segment 0: the proof is one of other public values"


def test_another_hash_of_a_link(judge: RunJudge) -> None:
    """The file has it once: whoever changes it there changes it for both."""
    honest, records = judge.honest, judge.records(judge.honest)
    for number, record in enumerate(records[:LAST]):
        for link in range(len(record.links)):
            digest = record.links.digest.copy()
            digest[link, 3] ^= 1
            told = [*records]
            told[number] = replace(record, links=Links(record.links.other, digest))
            assert judge.refusal(honest, told) == f"segment {number}: the proof is one of other public values"


def test_the_side_of_the_other_part(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    """A part that says it is the lower one of two where it is the higher: with the same messages it does the reverse,
    and with the reverse of their counts the same, of which only the verifier knows.
    """

    def turned(parts: list[ToldPart], part: int, other: int) -> None:
        for table in TABLES:
            if table.name in parts[part]:
                own = parts[part][table.name]
                here = (own.real == 1) & (own.other == other)
                own.out[here] = 1 - own.out[here]
                own.signed[here] = (MODULUS - own.signed[here].astype(np.int64)) % MODULUS
        links = parts[part]["link"]
        here = (links.real == 1) & (links.other == other)
        links.out[here] = 1 - links.out[here]
        chain_links(parts[part])

    def reverse(number: int, found: Side, part: int, other: int) -> Side:
        def counted(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
            return messages, -counts

        return [(n, altered(link, counted)[0] if (number, n) == (part, other) else link) for n, link in found]

    for part, other in ((1, 0), (1, 2)):

        def rows(parts: list[ToldPart], part: int = part, other: int = other) -> None:
            turned(parts, part, other)

        def side(number: int, found: Side, part: int = part, other: int = other) -> Side:
            return reverse(number, found, part, other)

        refused = refused_by(tell(RunLie(rows=rows)))
        assert set(refused) == {part}
        assert "exec" in refused[part]
        told = replace_links(tell_run(judge.honest, RunLie(side=side, rows=rows)), judge.honest)
        verdict = judge.verdict(told)
        assert refused_by(verdict) == {}
        assert verdict.verifier == f"segment {part}: the proof is one of other public values"


def test_the_order_of_messages_says_nothing(judge: RunJudge) -> None:
    """Another order has another hash, which both sides state: it is the same that is open."""

    def pairs(found: Pairs) -> None:
        for pair, link in found.items():
            found[pair] = altered(link, lambda messages, counts: (messages[::-1].copy(), counts[::-1].copy()))[0]

    told = tell_run(judge.honest, RunLie(pairs=pairs))
    assert told[0].public_lists != judge.honest[0].public_lists
    assert judge.verdict(told).accepted


def test_what_makes_up_for_itself_may_be_said(judge: RunJudge) -> None:
    """A message that one part leaves to another one and gets back from a third one, and the other way around."""

    def one(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
        return np.concatenate([messages, np.full((1, messages.shape[1]), 7, dtype=np.uint32)]), np.append(counts, 1)

    def less(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
        more, often = one(messages, counts)
        return more, np.append(often[:-1], -1)

    def around(last: Change) -> Callable[[Pairs], None]:
        def pairs(found: Pairs) -> None:
            for pair, change in (((0, 1), one), ((1, 2), one), ((0, 2), last)):
                found[pair] = with_messages(found[pair], {STACK: change})

        return pairs

    assert judge.verdict(tell_run(judge.honest, RunLie(pairs=around(less)))).accepted
    verdict = judge.verdict(tell_run(judge.honest, RunLie(pairs=around(one))))
    assert refused_by(verdict) == {0: {"stack"}, 2: {"stack"}}


def _first_carried(part: ToldPart, out: int) -> tuple[str, int]:
    """A table of carried messages and its first row with what is taken off (1) or put on (0)."""
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
    "another part": ({("other",): 77}, {"carry"}),
    "another number": ({("number",): 1}, {"carry"}),
    "a circle of its own": ({("other",): 77, ("number",): MODULUS - 1}, {"carry"}),
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


#: What may be said otherwise in a row of the table of links: cells, their values, and who objects.
LINK_ROWS: dict[str, tuple[dict[tuple[Any, ...], int], set[str]]] = {
    "it is not there": ({("real",): 0}, {"carry", "links"}),
    "another part": ({("other",): 77}, {"carry", "poseidon2"}),
    "the other side": ({("out",): 0}, {"carry", "poseidon2"}),
    "another count": ({("count",): 1}, {"carry"}),
    "another hash of its messages": ({("digest", 0): 1}, {"carry", "poseidon2"}),
    "another number": ({("number",): 1}, {"links"}),
    "another hash before": ({("before", 0): 1}, {"links", "poseidon2"}),
    "another hash of the link": ({("states", -1, 0): 1}, {"poseidon2"}),
    "another hash behind": ({("after", 0): 1}, {"links", "poseidon2"}),
}


@pytest.mark.parametrize("name", LINK_ROWS)
def test_a_link_is_hashed_as_it_is(tell: Callable[[RunLie], Verdict], name: str) -> None:
    cells, objecting = LINK_ROWS[name]

    def rows(parts: list[ToldPart]) -> None:
        for (column, *place_in_it), value in cells.items():
            getattr(parts[0]["link"], column)[(0, *place_in_it)] = value

    assert refused_by(tell(RunLie(rows=rows))) == {0: objecting}


def test_a_link_without_a_row_for_it(tell: Callable[[RunLie], Verdict]) -> None:
    """Messages that a part carries, while it states only its other links: no row begins what they are hashed to."""

    def rows(parts: list[ToldPart]) -> None:
        parts[0].take("link", [1])
        chain_links(parts[0])

    verdict = tell(RunLie(rows=rows))
    assert refused_by(verdict) == {0: {"carry"}}
    assert verdict.verifier == "proofs: segment 0: 3 links, and a table of 2 rows for them"


#: A part takes a message off its bus, or puts it there: by the number of the other part and the count.
WAYS = [(2, 1), (2, -1), (0, 1), (0, -1)]


def _judged_alone(bus: Bus, field: str, value: int, other: int, count: int) -> set[str]:
    """Who objects to a carried message whose field has a value; the bus and the hash have no other rows."""
    message = np.zeros((1, bus.width), dtype=np.uint32)
    message[0, place(bus, field)] = value % MODULUS
    link = Link({bus.index: message}, {bus.index: np.array([count], dtype=np.int64)})
    table = TABLES[CARRIED.index(bus)]
    matrix = fill_carried(bus, 1, {other: link})
    assert matrix is not None
    filled: list[tuple[Table, Matrix]] = [(table, matrix)]
    hashes = poseidon2.fill(queries(POSEIDON2, filled)[:, :16])
    filled.append((poseidon2.Poseidon2(), hashes))
    filled.append((range_table.RANGE_16, range_table.RANGE_16.fill(queries(RANGE16, filled)[:, 0])))
    circuit = Circuit("carried", [each for each, _ in filled])
    findings = check_circuit(circuit, [trace for _, trace in filled], [[] for _ in filled], algebra=NATIVE)
    return places(findings) - {bus.name, "carry"}


@pytest.mark.parametrize(("other", "count"), WAYS)
@pytest.mark.parametrize("bus", CLOCKS, ids=lambda bus: bus.name)
def test_time_is_bounded_where_it_goes_on(bus: Bus, other: int, count: int) -> None:
    for time in (0, 1 << 16, (1 << 29) - 1):
        assert _judged_alone(bus, "time", time, other, count) == set()
    for time in (1 << 29, 1 << 30, MODULUS - 1):
        assert _judged_alone(bus, "time", time, other, count) == {"range16"}


@pytest.mark.parametrize(("other", "count"), WAYS)
@pytest.mark.parametrize("bus", GASES, ids=lambda bus: bus.name)
def test_gas_is_there_where_a_frame_goes_on(bus: Bus, other: int, count: int) -> None:
    for gas in (0, 1 << 16, (1 << 30) - 1):
        assert _judged_alone(bus, "gas", gas, other, count) == set()
    for gas in (1 << 30, MODULUS - 1, MODULUS - (1 << 20)):
        assert _judged_alone(bus, "gas", gas, other, count) == {"range16"}


@pytest.mark.parametrize("gas", [MODULUS - 1, 1 << 30])
def test_gas_does_not_go_on_beyond_its_bounds(tell: Callable[[RunLie], Verdict], gas: int) -> None:
    """Beside the bus, which misses what the frame has left."""

    def change(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
        messages[0, place(frames.EXEC, "gas")] = gas
        return messages, counts

    def pairs(found: Pairs) -> None:
        found[1, 2] = with_messages(found[1, 2], {frames.EXEC: change})

    found = refused_by(tell(RunLie(pairs=pairs)))
    assert found == {1: {"exec", "range16"}, 2: {"exec", "range16"}}


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
    assert refused_by(tell(RunLie(tables=twice))) == {0: {"exec", "instruction"}, 1: {"exec", "stack"}}

    def never(parts: list[ToldPart]) -> None:
        parts[1].take("pop", parts[1].real("pop")[:1].tolist())

    assert refused_by(tell(RunLie(tables=never))) == {0: {"exec", "stack"}, 1: {"exec", "instruction"}}


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
    assert refused_by(verdict) == {1: {"halt"}, 2: {"halt"}}
    assert verdict.verifier is None


# Words of memory


#: The word that the first frame writes before the first cut and reads behind the second one. The first part has its
#: row, and no other; the next one has none, and no table; the third one has those of all other words, from `OTHER_WORD`
#: to the one of frame 2; the last one has no table.
WORD, OTHER_WORD = (1, 0), (1, 1)


def test_words_are_in_the_parts_that_access_them(judge: RunJudge) -> None:
    """What the tests below rely on."""
    assert ["memory" in ToldPart(part) for part in judge.honest] == [True, False, True, False]
    assert [part.words for part in judge.honest] == [
        (*WORD, 1, *OTHER_WORD),
        (*OTHER_WORD, 1, *OTHER_WORD),
        (*OTHER_WORD, 1, 3, 0),
        (3, 0, 0, 0, 0),
    ]


def _list_words(parts: list[ToldPart], into: int) -> None:
    """Have the table of a part begin with the first word of all, which, as others before its own, nobody accesses."""
    words, own = [], np.zeros((0, MemoryColumns.width), dtype=np.uint32)
    for number, part in enumerate(parts[: into + 1]):
        if "memory" in part:
            rows, matrix = part["memory"], part.matrices["memory"]
            assert matrix is not None
            count = int(rows.listed.sum())
            if number == into:
                own = matrix[:count]
            else:
                words += list(zip(rows.frame[:count].tolist(), rows.index[:count].tolist(), strict=True))
    used = len(words) + len(own)
    made, _ = allocate(MemoryColumns, used + 1)
    rows = TraceView(MemoryColumns, made)
    made[len(words) : used] = own
    rows.listed[:used] = 1
    rows.frame[: len(words)], rows.index[: len(words)] = np.array(words, dtype=np.uint32).T
    rows.frame[used:] = rows.frame[used - 1] + 1 + np.arange(len(made) - used)
    parts[into].matrices["memory"] = made


def _read_zero(parts: list[ToldPart], into: int) -> None:
    """A word of the first frame's memory begins anew in a later part: what is read then is 0, and nobody uses it."""
    memory, loads, popped = parts[0]["memory"], parts[2]["load_aligned"], parts[2]["pop"]
    assert (memory.frame[0], memory.index[0], memory.real[0]) == (*WORD, 1)
    read = int(np.flatnonzero((loads.frame == WORD[0]) & (loads.index == WORD[1]) & (loads.real == 1))[-1])
    assert memory.word[0].any()
    assert memory.last[0] == loads.time[read]
    _list_words(parts, into)
    again = parts[into]["memory"]
    assert (again.frame[0], again.index[0], again.real[0]) == (*WORD, 0)
    memory.last[0] = loads.word_then[read]
    again.real[0], again.start[0], again.last[0] = 1, loads.time[read] - 1, loads.time[read]
    loads.word_then[read] = loads.time[read] - 1
    loads.word[read] = 0
    popped.word[int(np.flatnonzero((popped.frame == 1) & (popped.then == loads.time[read]))[0])] = 0


Words = tuple[int, int, int, int, int]

#: Who says that the first word of all is the next one, and who knows better: circuits of parts, and the verifier.
BACKWARDS: dict[str, tuple[int, dict[int, Words], dict[int, set[str]], str | None]] = {
    "the part itself, truly told": (
        2,
        {2: (*OTHER_WORD, 1, 3, 0)},
        {2: {"the first word: index"}},
        None,
    ),
    "the part itself": (2, {2: (*WORD, 1, 3, 0)}, {}, "segment 2: the proof is one of other public values"),
    "one without a table": (
        2,
        {1: (*OTHER_WORD, 1, *WORD), 2: (*WORD, 1, 3, 0)},
        {},
        "segment 1: the proof is one without the words of memory that it is said to have",
    ),
    "one with a table": (
        2,
        {0: (*WORD, 1, *WORD), 1: (*WORD, 1, *WORD), 2: (*WORD, 1, 3, 0)},
        {0: {"the next word: index"}},
        None,
    ),
    "the last part": (LAST, {LAST: (*WORD, 0, 0, 0)}, {}, f"segment {LAST}: the proof is one of other public values"),
    "the one before it": (
        LAST,
        {2: (*OTHER_WORD, 1, *WORD), LAST: (*WORD, 0, 0, 0)},
        {2: {"the next word: frame"}},
        None,
    ),
    "one whose end nobody is said to ask for": (
        LAST,
        {2: (*OTHER_WORD, 0, 0, 0), LAST: (*WORD, 0, 0, 0)},
        {},
        "segment 2: the proof is one of other public values",
    ),
}


@pytest.mark.parametrize("name", BACKWARDS)
def test_a_word_has_a_row_in_one_part(tell: Callable[[RunLie], Verdict], name: str) -> None:
    """No bus objects to a word of memory with rows in two parts: words are numbered on from part to part."""
    into, words, objecting, reason = BACKWARDS[name]

    def stated(told: list[FilledSegment]) -> None:
        for number, own in words.items():
            told[number] = replace(told[number], words=own)

    verdict = tell(RunLie(tables=lambda parts: _read_zero(parts, into), stated=stated))
    assert refused_by(verdict) == objecting
    assert (verdict.verifier or "").removeprefix("commitments: ") == (reason or "")


def test_words_are_not_left_to_nobody(judge: RunJudge, tell: Callable[[RunLie], Verdict]) -> None:
    """A word that a part lists has its row there, or none: it may be moved, but nothing may be passed over."""

    def longer(parts: list[ToldPart], real: bool) -> None:
        early, late = parts[0]["memory"], parts[2]["memory"]
        matrix, own = parts[0].matrices["memory"], parts[2].matrices["memory"]
        assert matrix is not None
        assert own is not None
        assert (early.listed.tolist(), late.index[0], late.real[0]) == ([1, 0], OTHER_WORD[1], 1)
        made = np.concatenate([matrix[:1], own[:1], own[1:2], own[1:2]])
        rows = TraceView(MemoryColumns, made)
        rows.listed[2:], rows.index[2:] = 0, [2, 3]
        rows.real[1] = real
        parts[0].matrices["memory"] = made
        kept = np.concatenate([own[1:], own[-1:]])
        TraceView(MemoryColumns, kept).frame[-1] += 1
        parts[2].matrices["memory"] = kept

    def stated(told: list[FilledSegment]) -> None:
        told[0] = replace(told[0], words=(*WORD, 1, 1, 2))
        told[1] = replace(told[1], words=(1, 2, 1, 1, 2))
        told[2] = replace(told[2], words=(1, 2, 1, 3, 0))

    assert tell(RunLie(tables=lambda parts: longer(parts, real=True), stated=stated)).accepted
    verdict = tell(RunLie(tables=lambda parts: longer(parts, real=False), stated=stated))
    assert refused_by(verdict) == {2: {"memory"}}
    assert verdict.verifier is None


def test_a_word_of_no_frame_says_nothing(tell: Callable[[RunLie], Verdict]) -> None:
    """Nor does one of a frame that begins later: it gives a token, and must have it back."""
    for frame, word, objecting in ((77, 0, {}), (77, 5, {LAST: {"memory"}}), (FAILING, 0, {}), (2, 0, {})):

        def tables(parts: list[ToldPart], frame: int = frame, word: int = word) -> None:
            made, _ = allocate(MemoryColumns, 128)
            rows = TraceView(MemoryColumns, made)
            rows.listed[:], rows.frame[:] = 1, 3 + np.arange(len(made))
            at = max(frame - 3, 0)
            rows.real[at] = 1
            rows.start[at] = rows.last[at] = 50
            rows.word[at, 0] = word
            parts[LAST].matrices["memory"] = made

        verdict = tell(RunLie(tables=tables))
        assert refused_by(verdict) == objecting
        assert verdict.verifier is None


@pytest.mark.parametrize(("number", "behind"), [(1, (1, 2)), (1, (2, 0)), (1, WORD), (1, (0, 0))])
def test_a_part_without_words_says_nothing_of_them(
    judge: RunJudge, tell: Callable[[RunLie], Verdict], number: int, behind: tuple[int, int]
) -> None:
    """Without a table there are no words, whatever the part and the next one say."""

    def stated(told: list[FilledSegment]) -> None:
        told[number] = replace(told[number], words=(*OTHER_WORD, 1, *behind))

    verdict = tell(RunLie(stated=stated))
    assert refused_by(verdict) == {}  # it states nothing
    reason = f"segment {number}: the proof is one without the words of memory that it is said to have"
    assert verdict.verifier == f"commitments: {reason}"


@pytest.mark.parametrize("behind", [OTHER_WORD, WORD, (0, 0), (7, 7)])
def test_there_is_padding_behind_the_words_of_a_part_that_goes_on(
    tell: Callable[[RunLie], Verdict], behind: tuple[int, int]
) -> None:
    """The word in its first row is the next one."""

    def tables(parts: list[ToldPart]) -> None:
        matrix = parts[0].matrices["memory"]
        assert matrix is not None
        parts[0].matrices["memory"] = matrix[:1]

    def stated(told: list[FilledSegment]) -> None:
        told[0] = replace(told[0], words=(*WORD, 1, *behind))

    assert refused_by(tell(RunLie(tables=tables, stated=stated))) == {0: {"there is padding where a part goes on"}}


def test_a_part_states_its_words(tell: Callable[[RunLie], Verdict]) -> None:
    """Each of the numbers, where there is a table; without another part there is no next word."""
    honest = (*OTHER_WORD, 1, 3, 0)
    for place_in_it in range(len(honest)):
        first_frame, first, asks, frame, index = (value + (n == place_in_it) for n, value in enumerate(honest))
        other: Words = (first_frame, first, asks, frame, index)

        def stated(told: list[FilledSegment], other: Words = other) -> None:
            told[2] = replace(told[2], words=other)

        verdict = tell(RunLie(stated=stated))
        assert refused_by(verdict).keys() <= {2}
        assert not verdict.accepted
    found = refused_by(tell(RunLie(stated=lambda told: told.__setitem__(2, replace(told[2], words=(1, 1, 0, 3, 0))))))
    assert found == {2: {"no part goes on"}}


def test_indices_of_words_are_integers(judge: RunJudge) -> None:
    """32 times an index must not wrap: no part begins with a word of 2^21 or more, even if the one before says so."""
    records = judge.records(judge.honest)
    end = records[1].open_end
    assert end is not None

    def of(index: int) -> str | None:
        told = [*judge.honest]
        told[1] = replace(told[1], words=(*OTHER_WORD, 1, 1, index))
        return judge.refusal(told, judge.records(told))

    for index in (1 << MAX_LOG_HEIGHT, MODULUS - 1):
        assert of(index) == f"segments: segment 1 has an open end with word {index} of frame 1 as the next one"
    assert "without the words of memory" in str(of((1 << MAX_LOG_HEIGHT) - 1))
    with pytest.raises(Invalid, match="no field element"):
        OpenEnd.from_bytes(replace(end, next_word=(1, MODULUS)).to_bytes())


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


def _like(record: SegmentRecord, other: SegmentRecord) -> SegmentRecord:
    """A record with the links of another one."""
    return replace(record, links=other.links)


def _as(record: SegmentRecord, *others: int) -> SegmentRecord:
    """A record that has its first links with these parts, and no more."""
    return replace(record, links=Links(np.array(others, dtype=np.uint32), record.links.digest[: len(others)]))


def test_what_is_said_of_an_open_end_is_stated(judge: RunJudge) -> None:
    honest, records = judge.honest, judge.records(judge.honest)
    end = records[1].open_end
    assert end is not None
    for other in (replace(end, time=end.time + 1), replace(end, next_frame=end.next_frame + 1)):
        changed_records = [*records[:1], replace(records[1], open_end=other), *records[2:]]
        assert judge.refusal(honest, changed_records) == "segment 1: the proof is one of other public values"
    # The next word of a part that has words, and of one that has none.
    assert honest[1].words[:2] == honest[1].words[3:]
    for numbers, reason in (
        ((0, 1), "segment 0: the proof is one of other public values"),
        ((0,), "segment 1: the proof is one without the words of memory that it is said to have"),
        ((1,), "segment 1: the proof is one without the words of memory that it is said to have"),
    ):
        for word in ((1, 0), (1, 2), (2, 1), (0, 0)):
            told = [*records]
            for number in numbers:
                end_of = records[number].open_end
                assert end_of is not None
                told[number] = replace(records[number], open_end=replace(end_of, next_word=word))
            assert str(judge.refusal(honest, told)).removeprefix("commitments: ") == reason
    frames_back = [*records[:1], replace(records[1], open_end=replace(end, next_frame=1)), *records[2:]]
    assert "frames begin in it" in str(judge.refusal(honest, frames_back))
    # Without it, the next one begins anew: what it writes to belongs to operations before.
    closed = [*records[:1], replace(records[1], open_end=None), *records[2:]]
    assert judge.refusal(honest, closed) == "segments: segment 0, part 0 of 2, has a link with part 2"
    ends = [_as(closed[0], 1), _as(closed[1]), _as(closed[2], 1), closed[3]]
    assert judge.refusal(honest, ends) == "writes: segment 3 writes outside of its operations"


# Segments


def test_parts_are_there_in_their_order(judge: RunJudge) -> None:
    honest, records = judge.honest, judge.records(judge.honest)

    def of(*numbers: int) -> str | None:
        """In this order; each has links with all that follow, as many as it has any for."""
        told = []
        for place_in_it, number in enumerate(numbers):
            later = range(place_in_it + 1, len(numbers))[: len(records[number].links)]
            told.append(_as(records[number], *later))
        return judge.refusal([honest[n] for n in numbers], told)

    assert of(0, 1, 2, 3) is None
    assert of(0, 1, 2) == "segments: the last segment has an open end"
    assert of(1, 2, 3) == "segments: segment 0 starts at operation 1 instead of 0"
    assert of(0, 1, 1, 2, 3) == "segment 2: the proof is one of other public values"
    assert of(0, 2, 3) == "segment 0: the proof is one of other public values"
    assert of(0, 1, 3) == "segments: segment 2 starts at operation 2 instead of 1"
    assert of(0, 2, 1, 3) == "segments: segment 2 starts at operation 1 instead of 2"
    assert of(0, 1, 2, 3, 3) == "segments: segment 4 starts at operation 2 instead of 3"
    # As the records are: what they say of links is of parts that are at other places, or not there.
    for numbers, reason in (
        ((0, 2, 3), "segment 0, part 0 of 3, has a link with part 3"),
        ((0, 1, 1, 1, 2, 3), "segment 2, part 2 of 6, has a link with part 2"),
    ):
        refused = judge.refusal([honest[n] for n in numbers], [records[n] for n in numbers])
        assert refused == f"segments: {reason}"
    # The last record may not have an open end, whatever it is.
    for writes, reason in (
        (records[3].writes, "segment 3 has writes and an open end"),
        (NO_WRITES, "the last segment"),
    ):
        end = replace(records[3], open_end=records[2].open_end, writes=writes)
        assert str(judge.refusal(honest, [*records[:3], end])).startswith(f"segments: {reason}")


def test_a_run_is_finished_before_another_one_begins(executed: ExecutedBatch, execution: Execution) -> None:
    """Two runs, one behind the other: they have nothing in common, and what the first one leaves is lost."""
    batch = execution.batch
    cut = cuts_of(execution)
    judge = RunJudge(executed, batch, [(0, 1, cut[:1]), (1, len(batch.operations), [2])])
    honest, records = judge.honest, judge.records(judge.honest)
    assert not any(judge.honest_objections)
    assert judge.refusal(honest, records) is None
    assert [record.open_end is None for record in records] == [False, True, False, True]
    open_end = records[0].open_end
    assert open_end is not None
    assert [record.links.other.tolist() for record in records] == [[1], [], [1], []]
    # A whole segment says that it has links.
    stated = replace(honest[2].public_values, links=honest[0].public_values.links)
    linked = replace(honest[2], public_values=stated)
    found = check_circuit(linked.circuit, linked.traces, linked.public_lists, algebra=NATIVE)
    assert places(found) == {"links"}
    # The second run has links with the first one, or with a part that is not there.
    for number, others in ((0, (1, 2)), (0, (2,)), (2, (2,)), (2, (1, 2)), (1, (1,)), (1, (2,)), (3, (2,))):
        told = [*records]
        links = Links(np.array(others, dtype=np.uint32), np.repeat(records[0].links.digest, len(others), axis=0))
        told[number] = replace(records[number], links=links)
        expected = f"segments: segment {number}, part {number % 2} of 2, has a link with part {others[-1]}"
        assert judge.refusal(honest, told) == expected
    # Each has the other one's link, which is with the part of the same number.
    told = [_like(records[0], records[2]), records[1], _like(records[2], records[0]), records[3]]
    assert judge.refusal(honest, told) == "segment 0: the proof is one of other public values"
    # The first part's end is said to be that of a whole operation, or the second run to go on with what is open there.
    whole = [replace(_as(records[0]), open_end=None), *records[1:]]
    assert judge.refusal(honest, whole) == "segments: segment 1 has no operations"
    behind = [_as(records[2], 3), records[3]]
    goes_on = [records[0], replace(records[1], open_end=open_end), *behind]
    assert judge.refusal(honest, goes_on) == "segments: segment 1 has writes and an open end"
    bare = replace(records[1], open_end=open_end, writes=NO_WRITES, code_writes=NO_CODES)
    assert str(judge.refusal(honest, [records[0], bare, *behind])).startswith("proofs: segment 1: a segment with")
    # Parts of one run stand where those of the other one should.
    assert judge.refusal([honest[i] for i in (2, 3, 0, 1)], [records[i] for i in (2, 3, 0, 1)]) == (
        "segments: segment 0 starts at operation 1 instead of 0"
    )


def test_whole_segments_have_nothing_in_common(executed: ExecutedBatch, execution: Execution) -> None:
    """A step of one of two runs is taken in the other one. What they leave to each other adds up to nothing, and each
    circuit has what it states: but the verifier knows of no links between runs.
    """
    judge = RunJudge(executed, execution.batch, [(0, 1, []), (1, len(execution.batch.operations), [])])
    assert not any(judge.honest_objections)
    assert judge.refusal(judge.honest, judge.records(judge.honest)) is None

    def tables(parts: list[ToldPart]) -> None:
        parts[1].put("pop", parts[0].take("pop", parts[0].real("pop")[:1].tolist()))

    told = tell_run(judge.honest, RunLie(tables=tables))
    assert [list(part.links) for part in told] == [[1], [0]]
    records = judge.records(told)
    verdict = judge.verdict(told)
    assert refused_by(verdict) == {}
    assert verdict.verifier == "segments: segment 0, part 0 of 1, has a link with part 1"
    bare = [_as(record) for record in records]
    assert judge.refusal(told, bare) == "segment 0: the proof is one of other public values"
    assert judge.refusal([judge.honest[0], told[1]], bare) == "segment 1: the proof is one of other public values"


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
    rows = {"segment": 1, "link": 4}
    proved = [ProvedSegment(rows, None, 100.0) for _ in records]
    check_runs(records, proved)
    check_runs(records, [*proved[:-1], replace(proved[-1], rows={**rows, name: 1})])
    for number in range(LAST):
        early = [*proved[:number], replace(proved[number], rows={**rows, name: 1}), *proved[number + 1 :]]
        with pytest.raises(Invalid, match=f"segment {number}: a segment with an open end has the table {name}"):
            check_runs(records, early)


@pytest.mark.parametrize("number", range(LAST + 1))
def test_no_more_links_than_rows_for_them(judge: RunJudge, number: int) -> None:
    """Each has three, those with earlier parts among them: so no more is hashed than has been proved."""
    records = judge.records(judge.honest)
    rows = {"segment": 1, "link": 4}
    proved = [ProvedSegment(rows, None, 100.0) for _ in records]
    for less, count in (({"segment": 1, "link": 2}, 2), ({"segment": 1}, 0)):
        told = [*proved]
        told[number] = replace(proved[number], rows=less)
        with pytest.raises(Invalid, match=f"segment {number}: 3 links, and a table of {count} rows for them"):
            check_runs(records, told)
    told = [*proved]
    told[number] = replace(proved[number], rows={"segment": 1, "link": 3})
    check_runs(records, told)


def test_a_run_has_no_more_messages_than_may_be_counted(judge: RunJudge) -> None:
    records = [_as(record) for record in judge.records(judge.honest)]

    def proved(*rows: int) -> list[ProvedSegment]:
        return [ProvedSegment({"segment": count}, None, 100.0) for count in rows]

    third = MAX_RUN_MESSAGES // ROW_MESSAGES // 3
    check_runs(records, proved(third, third, third, 0))
    with pytest.raises(Invalid, match="segment 3: a run of segments may have"):
        check_runs(records, proved(third, third, third, 1))
    # Every run by itself.
    whole = [replace(record, open_end=None) for record in records]
    check_runs(whole, proved(third, third, third, third))
    halves = [records[0], replace(records[1], open_end=None), *records[2:]]
    check_runs(halves, proved(third, 2 * third, third, 2 * third))
    with pytest.raises(Invalid, match="segment 1: a run of segments may have"):
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
