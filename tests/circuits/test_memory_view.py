"""What the parts of a run see of its memory: one view at a time, with tokens as old as they may be."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from circuits.batch.execution import Execution
from circuits.memory import memory_view
from circuits.memory.memory_view import MemoryView
from tests.circuits.memory_family import RETURNING, WORD, run

#: Words that wait for long, that other frames read, and that precompiles write.
PROGRAM = (
    f"{WORD} 0 mstore {WORD} 9 mstore 40 70 3 mcopy 32 64 64 0 2 gas staticcall 50 5 60 1 4 gas staticcall "
    f"64 100 0 0 0x{RETURNING.hex()} gas staticcall 64 0 20 returndatacopy 9 mload 40 mload"
)


@pytest.fixture(scope="module")
def execution() -> Execution:
    found = run(PROGRAM, PROGRAM)
    assert not found.failed.any()
    return found


def parts(execution: Execution) -> list[Execution]:
    times = [0, *execution.time[5::9].tolist(), 1 << 40]
    return [execution.part(*ends) for ends in pairwise(times)]


def test_one_view_is_kept(execution: Execution) -> None:
    """All parts of a run live until it is filled: views of all of them would be several times what is kept of it."""
    own = parts(execution)
    assert sum(len(MemoryView.of(part).requests.time) for part in own) == len(MemoryView.of(execution).requests.time)
    assert len(memory_view._views) == 1
    assert MemoryView.of(execution) is MemoryView.of(execution)


def test_tokens_that_are_too_old_are_made_younger(execution: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each part those that it receives, wherever they were sent."""
    monkeypatch.setattr(memory_view, "MAX_AGE", age := 9)
    last: dict[tuple[int, int], int] = {}
    refreshed = 0
    for part in parts(execution):
        own = MemoryView(part).accesses
        expected = {}
        # In the order of time: a word is accessed once at a time.
        for k in np.argsort(own.time, kind="stable").tolist():
            word, time = (int(own.frame[k]), int(own.index[k])), int(own.time[k])
            old = last.get(word, time - 1)
            is_old = time - old > age
            expected[k] = old, is_old, time - 1 if is_old else old
            last[word] = time
        found = zip(own.old.tolist(), own.refreshed.tolist(), own.then.tolist(), strict=True)
        assert dict(enumerate(found)) == expected
        refreshed += int(own.refreshed.sum())
    assert refreshed
