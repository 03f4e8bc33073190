"""Frames: opened once, ended once, and what they answer in between."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from circuits.batch.execution import Execution
from circuits.component import Component
from circuits.frames import frames
from circuits.frames.buses import CONTEXT, FRAME, MESSAGE
from circuits.frames.contexts import FRAME_CONTEXT
from circuits.instructions import environment
from circuits.state.buses import FAILURE
from circuits.widths import U64
from scripts.batches.builder import Builder
from scripts.batches.programs import CONTRACT, OTHER, PROGRAMS, call_contract
from scripts.batches.segment import execution_of
from scripts.workloads.assembler import assemble
from tests.circuits.family import check_family, mutate_family, open_messages
from tests.circuits.lying import objections
from tests.circuits.worlds import asking, halting, others

SOURCE = "address caller callvalue calldatasize codesize origin number stop"


@cache
def _execution() -> Execution:
    building = Builder()
    building.alloc(CONTRACT, code="0x" + assemble(SOURCE).hex())
    building.alloc(OTHER, code="0x" + assemble("caller caller 0 0 revert").hex())
    building.block(call_contract(building, data="0x" + "5a" * 70_000, value=7, gas=5_000_000), call_contract(building))
    building.block(call_contract(building, 1, to=OTHER), building.transfer(), call_contract(building, gas=21_007))
    return execution_of(building.execute())


def _family(execution: Execution) -> list[Component]:
    """Frames, what asks them, and answers for other contexts."""
    asked = []
    for frame in range(1, 1 + len(execution.frames)):
        trace = execution.trace.frames
        row = execution.frames[frame - 1]
        operation = int(
            execution.transaction_operations[np.flatnonzero(execution.transactions == trace.transaction[row])[0]]
        )
        scope = int(execution.operations.scope[execution.operations.block[operation]])
        asked.append(
            [frame, operation, scope, *trace.address[row].tolist(), 0 if trace.outcome[row] == 0 else frame, 0]
        )
    return [
        *environment.COMPONENTS,
        asking(FRAME, asked),
        halting(execution, []),
        *frames.COMPONENTS,
        others(CONTEXT, lambda queries: queries[:, 0] != FRAME_CONTEXT),
    ]


def test_honest() -> None:
    assert len(_execution().frames) == 4
    assert check_family(_family(_execution()), _execution()) == []


@pytest.mark.parametrize("name", ["storage", "failures", "logs"])
def test_programs(name: str) -> None:
    execution = execution_of(PROGRAMS[name]().execute())
    assert check_family(frames.COMPONENTS, execution) == []


def test_nothing_runs() -> None:
    execution = execution_of(Builder().block(Builder().transfer()).execute())
    assert frames.fill(execution, *(np.zeros((0, 30), dtype=np.uint32),) * 7) is None


def test_mutations() -> None:
    report = mutate_family(_family(_execution()), _execution())
    assert report.survivors == [], str(report)


def test_one_message_for_each_frame() -> None:
    messages = open_messages(frames.COMPONENTS, _execution(), MESSAGE)
    assert [m[0] for m in messages] == [1, 2, 3, 4]
    sizes = [m[-2 - U64] for m in messages]
    assert sizes == [70_000, 0, 0, 0]


def _set(column: str, value: Any, row: int = 0) -> Any:
    def lie(rows: Any) -> None:
        getattr(rows, column)[row] = value

    return lie


@pytest.mark.parametrize(
    ("column", "value", "bus"),
    [
        ("success", 1, "halt"),
        ("gas_left", 5, "halt"),
        ("end_time", 5, "halt"),
        ("gas", 5, "exec"),
        ("code", 7, "message"),
        ("code_size", 7, "message"),
        ("calldata_size", 7, "message"),
        ("scope", 7, "message"),
        ("time", 7, "message"),
        ("outer", 1, "message"),
        ("static", 1, "message"),
    ],
)
def test_a_frame_that_is_another(column: str, value: int, bus: str) -> None:
    found = objections(_family(_execution()), _execution(), {"frame": _set(column, value, 2)})
    assert bus in found


def test_a_size_has_one_form_in_limbs() -> None:
    def lie(rows: Any) -> None:
        rows.calldata_limb.low[0] -= 1

    assert objections(_family(_execution()), _execution(), {"frame": lie}) == {"range16", "context"}


def test_worlds_of_frames() -> None:
    """A frame that fails is a world of its own, and answers for it; one that succeeds does not."""
    execution = _execution()
    worlds = execution.worlds
    assert worlds.own.tolist() == [0, 0, 3, 4]
    assert worlds.outer.tolist() == [0] * 4
    scopes = [0, 0, 2, 2]
    times = execution.frame_begin_time.tolist()
    for frame, objects in ((1, True), (2, True), (3, False), (4, False)):
        operation = int(execution.transaction_operations[frame - 1 + (frame == 4)])
        asked = [[frame, 0, operation, scopes[frame - 1], times[frame - 1]]]
        family = [asking(FAILURE, asked), *_family(execution)]
        assert bool(check_family(family, execution)) == objects

    def fails_openly(rows: Any) -> None:
        rows.failure_count[0] = 1

    asked = [[1, 0, 0, 0, times[0]]]
    family = [asking(FAILURE, asked), *_family(execution)]
    assert objections(family, execution, {"frame": fails_openly}) == {"only what fails is undone"}
