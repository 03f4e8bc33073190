"""Calls of precompiles that are cut between instances: honest ones are accepted, lies about what crosses refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from circuits.air.field import MODULUS
from circuits.batch.execution import Execution
from circuits.batch.field_calls import FieldCalls
from circuits.carry import place
from circuits.fields.buses import FIELD_PARTS, FIELD_RAN, REGISTER_32
from circuits.parts import fill_parts
from executor.execute import ExecutedBatch
from executor.forks import CANCUN, OSAKA, PRAGUE, Fork
from executor.provable import check_provable
from executor.trace import Outcome
from scripts.batches.builder import Builder
from scripts.batches.precompiled import bls_g1, bls_g2
from scripts.batches.precompiles import BN_FIELD, BN_G1, BN_G2, words
from scripts.batches.programs import CONTRACT, call_contract
from scripts.batches.segment import execution_of
from scripts.forging.runs import Pairs, RunJudge, RunLie, ToldPart, Verdict, tell_run, with_messages
from scripts.workloads.assembler import assemble
from tests.cutting import objections

BN_PAIRING, G1_MSM, G2_MSM, PAIRING = 0x08, 0x0C, 0x0E, 0x0F

GOOD, INFINITE, OPPOSITE = words(*BN_G1, *BN_G2), words(0, 0, *BN_G2), words(1, BN_FIELD - 2, *BN_G2)
NO_POINT = words(1, 3, *BN_G2)

#: Inputs, with the fork and the precompile, and whether the call succeeds.
INPUTS: dict[str, tuple[Fork, int, bytes, bool]] = {
    "alt_bn128 pairing": (CANCUN, BN_PAIRING, GOOD + INFINITE + OPPOSITE, True),
    "alt_bn128 pairing that fails": (CANCUN, BN_PAIRING, GOOD + GOOD + NO_POINT, False),
    "G1 multiples": (PRAGUE, G1_MSM, b"".join(bls_g1(k) + words(7 * k) for k in (1, 2, 0)), True),
    "G1 multiples that fail": (OSAKA, G1_MSM, bls_g1(3) + words(5) + bytes(127) + b"\1" + words(5), False),
    "G2 multiples": (OSAKA, G2_MSM, bls_g2(3) + words(5) + bls_g2(1) + words(1 << 255), True),
    "pairing": (OSAKA, PAIRING, bls_g1(2) + bls_g2(3) + bls_g1(5) + bls_g2(1), True),
}
DEEP = ("pairing", "G1 multiples that fail")


def _executed(fork: Fork, number: int, data: bytes, direct: bool) -> ExecutedBatch:
    """A call by a transaction, or by a contract that keeps words on its stack and looks at what it gets."""
    given = {"data": "0x" + data.hex(), "gas": 900_000}
    if direct:
        building = Builder(fork)
        building.block(building.transfer(0, number.to_bytes(20, "big"), 0, **given))
    else:
        source = (
            f"7 calldatasize 0 0 calldatacopy 256 0 calldatasize 0 {number} gas staticcall 0 mload add add 1 sstore"
        )
        building = Builder(fork).alloc(CONTRACT, code="0x" + assemble(source + " stop").hex())
        building.block(call_contract(building, **given))
    executed = building.execute()
    check_provable(executed)
    return executed


def _within(execution: Execution) -> list[int]:
    """The places of instances."""
    found: list[int] = np.flatnonzero(np.isin(execution.places, execution.instances[1])).tolist()
    return found


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.deep if name in DEEP else ()) for name in INPUTS]
)
@pytest.mark.parametrize("direct", [True, False], ids=["transaction", "contract"])
def test_a_call_may_be_cut_before_any_instance(name: str, direct: bool) -> None:
    fork, number, data, succeeds = INPUTS[name]
    execution = execution_of(_executed(fork, number, data, direct))
    (call,) = np.flatnonzero(execution.frame_precompile)
    outcome = execution.trace.frames.outcome[execution.frames[call]]
    assert (outcome == Outcome.SUCCESS) == succeeds
    within = [at for at in _within(execution) if at]
    assert len(within) >= 2
    assert len(execution.places) == len(execution.step) + len(execution.instances[0])
    last = len(execution.places) - 1
    for cuts in [*((at,) for at in within), (within[0], within[-1]), tuple(sorted({1, within[-1], last}))]:
        parts = fill_parts(execution, cuts)
        assert len(parts) == len(cuts) + 1
        assert objections(parts) == [], cuts


@pytest.mark.parametrize("number", [1, 6, 7, BN_PAIRING])
def test_a_call_without_input_begins_with_its_instance(number: int) -> None:
    """At the same time, which no part begins with: a call is in the same part as its frame."""
    execution = execution_of(_executed(CANCUN, number, b"", direct=False))
    assert not len(execution.instances[0])
    (request,) = FieldCalls.of(execution).machine.requests
    assert request.time == FieldCalls.of(execution).time[0]
    assert request.time not in execution.places
    assert objections(fill_parts(execution, range(1, len(execution.places)))) == []


def test_an_instance_is_in_one_part() -> None:
    """Each part has its own instances, and only these are computed for it."""
    execution = execution_of(_executed(*INPUTS["alt_bn128 pairing"][:3], direct=True))
    assert _within(execution) == [0, 1, 2, 3]
    whole = FieldCalls.of(execution)
    times = execution.places.tolist()
    for begin, end in ((0, 1), (1, 3), (3, 4)):
        own = FieldCalls.of(execution.part(times[begin] if begin else 0, [*times, 1 << 40][end]))
        assert own.machine.own.tolist() == list(range(begin, end))
        assert own.machine.runs is whole.machine.runs
        assert own.instances == whole.instances[begin:end]
        assert own.parts_left.tolist() == [3 - k for k in range(begin, end)]
        assert len(own.frame) == (begin == 0)
        assert sum(map(len, own.machine.programs.values())) == end - begin
        # Of registers that an instance of another part reads, too.
        reads = {int(t): r.reads[k] for r in whole.machine.programs.values() for k, t in enumerate(r.time)}
        for runs in own.machine.programs.values():
            for k, time in enumerate(runs.time.tolist()):
                assert np.array_equal(runs.reads[k], reads[time])


# Lies: a call with an instance in the first part, one in the second, and two in the third.


@cache
def _judge() -> RunJudge:
    executed = _executed(*INPUTS["alt_bn128 pairing"][:3], direct=True)
    execution = execution_of(executed)
    return RunJudge(executed, execution.batch, [(0, len(execution.batch.operations), (1, 2))])


def _tell(lie: RunLie) -> Verdict:
    return _judge().verdict(tell_run(_judge().honest, lie))


def _refused(lie: RunLie) -> dict[int, set[str]]:
    return {number: set(names) for number, names in enumerate(_tell(lie).parts) if names}


@cache
def _names() -> list[int]:
    """Of the four instances."""
    return [int(r.time) for r in FieldCalls.of(_judge().honest[0].execution).machine.requests]


def test_the_honest_run_is_accepted() -> None:
    judge = _judge()
    assert not any(judge.honest_objections)
    assert judge.refusal(judge.honest, judge.records(judge.honest)) is None
    assert _tell(RunLie(tables=lambda _: None)).accepted
    found: Pairs = {}
    tell_run(judge.honest, RunLie(pairs=found.update))
    crossing = {
        pair: {bus.name for bus in (FIELD_PARTS, FIELD_RAN, REGISTER_32) if bus.index in link.counts}
        for pair, link in found.items()
    }
    assert crossing == {
        (0, 1): {"field_parts", "register_32"},
        (0, 2): {"field_ran"},
        (1, 2): {"field_parts", "register_32"},
    }


Messages = Callable[[NDArray[Any], NDArray[Any]], tuple[Any, Any]]


def _field(bus: Any, name: str, value: int) -> Messages:
    def change(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
        at = place(bus, name) if name != "digits" else 2
        assert messages[0, at] != value
        messages[0, at] = value
        return messages, counts

    return change


def _twice(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
    return messages, 2 * counts


def _none(messages: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, Any]:
    return messages[:0], counts[:0]


@pytest.mark.parametrize(
    ("pair", "bus", "change"),
    [
        pytest.param((1, 2), REGISTER_32, _field(REGISTER_32, "digits", 77), id="another register"),
        pytest.param((1, 2), REGISTER_32, _field(REGISTER_32, "instance", 25), id="of another instance"),
        pytest.param((0, 1), REGISTER_32, _field(REGISTER_32, "index", 5), id="of another number"),
        pytest.param((0, 1), REGISTER_32, _none, id="no registers"),
        pytest.param((0, 1), FIELD_PARTS, _field(FIELD_PARTS, "parts", 1), id="fewer parts are left"),
        pytest.param((0, 1), FIELD_PARTS, _field(FIELD_PARTS, "linked", 0), id="no instance before"),
        pytest.param((1, 2), FIELD_PARTS, _field(FIELD_PARTS, "linked", 25), id="another one"),
        pytest.param((1, 2), FIELD_PARTS, _field(FIELD_PARTS, "time", 25), id="another name"),
        pytest.param((1, 2), FIELD_PARTS, _field(FIELD_PARTS, "offset", 192), id="the same part again"),
        pytest.param((0, 1), FIELD_PARTS, _twice, id="two tokens"),
        pytest.param((0, 1), FIELD_PARTS, _none, id="no token"),
        pytest.param((0, 2), FIELD_RAN, _field(FIELD_RAN, "fails", 1), id="the call fails"),
        pytest.param((0, 2), FIELD_RAN, _field(FIELD_RAN, "outputs", 0), id="no output"),
        pytest.param((0, 2), FIELD_RAN, _twice, id="two results"),
    ],
)
def test_both_parts_say_the_same_lie(pair: tuple[int, int], bus: Any, change: Messages) -> None:
    """The bus objects in both: there it is taken off or put on otherwise than its messages are."""

    def pairs(found: Pairs) -> None:
        found[pair] = with_messages(found[pair], {bus: change})

    assert _refused(RunLie(pairs=pairs)) == {pair[0]: {bus.name}, pair[1]: {bus.name}}


def test_a_register_that_the_next_part_reads_otherwise() -> None:
    """It says itself what it has read: nobody provides it, and its own equations do not hold."""

    def lie(parts: list[ToldPart]) -> None:
        rows = parts[2]["field_selected_32"]
        (at, *_) = np.flatnonzero((rows.real == 1) & (rows.linked == 1) & (rows.link == _names()[1]))
        rows.value[at, 0, 0] = (int(rows.value[at, 0, 0]) + 1) % MODULUS

    refused = _refused(RunLie(tables=lie))
    assert refused.keys() == {1, 2}
    assert refused[1] == {"register_32"}
    assert "register_32" in refused[2]


def test_registers_of_the_instance_before_the_last_one() -> None:
    """A part leaves out what the part before it has computed, and reads what the one before that has."""
    names = _names()

    def selected(parts: list[ToldPart]) -> None:
        rows = parts[2]["field_selected_32"]
        rows.link[(rows.real == 1) & (rows.link == names[1])] = names[0]

    assert "field_start" in _refused(RunLie(tables=selected))[2]

    def instances(parts: list[ToldPart]) -> None:
        selected(parts)
        rows = parts[2]["field_instances"]
        rows.link[(rows.real == 1) & (rows.link == names[1])] = names[0]

    refused = _refused(RunLie(tables=instances))
    # A token of its own, and what nobody provides: the same registers of the first instance have other digits.
    assert {"field_parts", "register_32"} <= refused[2]
    assert "field_parts" in refused[1]


def _machine(part: ToldPart) -> list[str]:
    """The tables of the machine that a part has."""
    return [name for name in part.tables if name in part and name.startswith(("field_", "listing_"))]


def _moved(part: ToldPart, other: ToldPart, *, keeps: bool) -> None:
    """All instances of a part are those of another one, too, with what lists their programs; or instead."""
    for name in _machine(part):
        if name == "field_calls":
            continue
        if name.startswith("listing_"):
            matrix, more = other.matrices[name], part.matrices[name]
            assert matrix is not None
            assert more is not None
            other.matrices[name] = matrix + more
        else:
            matrix = part.matrices[name]
            assert matrix is not None
            other.put(name, matrix[part.real(name)])
        if not keeps:
            part.matrices[name] = None


def test_an_instance_in_two_parts() -> None:
    """It takes a token that was sent once, and says a second time what comes next."""

    def lie(parts: list[ToldPart]) -> None:
        _moved(parts[1], parts[2], keeps=True)

    refused = _refused(RunLie(tables=lie))
    assert "field_parts" in refused[2]


def test_an_instance_in_another_part() -> None:
    """What is in which part is no one's concern, as long as it is there once: only memory is asked elsewhere."""

    def lie(parts: list[ToldPart]) -> None:
        _moved(parts[1], parts[2], keeps=False)

    refused = _refused(RunLie(tables=lie))
    assert not {"field_parts", "field_ran", "field_start", "register_32"} & set().union(*refused.values())


def test_an_instance_that_is_left_out() -> None:
    """Its token stays open, whether the next instance takes it or not."""
    names = _names()

    def gone(parts: list[ToldPart]) -> None:
        for name in _machine(parts[1]):
            parts[1].matrices[name] = None

    refused = _refused(RunLie(tables=gone))
    assert {"field_parts", "register_32"} <= refused[2]
    assert "field_parts" in refused[0]

    def taken(parts: list[ToldPart]) -> None:
        gone(parts)
        rows = parts[2]["field_instances"]
        for name, value in (("link", names[0]), ("time", names[1]), ("offset", 192), ("parts_left", 2)):
            getattr(rows, name)[0] = value
        rows.parts_inverse[0] = pow(2, -1, MODULUS)

    assert "field_parts" in _refused(RunLie(tables=taken))[2]


def test_a_part_ends_the_call_by_itself() -> None:
    """It says the result in the place of the last instance, with parts left."""

    def lie(parts: list[ToldPart]) -> None:
        rows = parts[1]["field_instances"]
        rows.part[0], rows.goes_on[0], rows.outputs[0], rows.returns[0] = 0, 0, 1, 1
        rows.parts_inverse[0] = 0

    refused = _refused(RunLie(tables=lie))
    assert {"no part is left at the end", "program_listed"} <= refused[1]
    assert "field_ran" in set().union(*refused.values())
