"""The names of hashed inputs: of instructions and of creations of all kinds."""

from __future__ import annotations

from copy import copy
from functools import cache

import numpy as np
import pytest
from eth_utils.crypto import keccak

from circuits.batch.execution import Batch, Execution
from circuits.batch.hashed_inputs import NO_STEP, NOT_HASHED, HashedInputs
from circuits.functions import keccak_sponge
from circuits.instructions.keccak import fill_permutations
from circuits.limbs import Limbs
from executor.opcodes import OPCODES
from executor.trace import HashPurpose
from scripts.batches.programs import PROGRAMS
from scripts.batches.segment import execution_of

CREATING = ("creations", "collision", "destruction")


@cache
def _execution(name: str) -> Execution:
    return execution_of(PROGRAMS[name]().execute())


@pytest.mark.parametrize("name", [*CREATING, "arithmetic"])
def test_all_hashes_of_a_batch(name: str) -> None:
    """Every hash of the trace has the name of its input, but for those of nothing, of codes and of initcodes."""
    execution = _execution(name)
    trace, hashed = execution.trace, HashedInputs.of(execution)
    table = trace.hashes
    of_codes = np.isin(table.purpose, (HashPurpose.INITCODE, HashPurpose.CODE))
    assert of_codes.any() == (name in ("creations", "destruction", "collision"))
    kept = np.flatnonzero(~of_codes & ((table.purpose != HashPurpose.INSTRUCTION) | (table.input_size != 0)))
    contents = [trace.bytes_at(table.input_start[row], table.input_size[row]) for row in kept]
    assert len(contents) == len(hashed.id) > 0
    assert hashed.distinct.data == tuple(dict.fromkeys(contents))
    assert hashed.find(contents).tolist() == hashed.id.tolist()
    assert (hashed.digest_of(hashed.id) == table.digest[kept]).all()
    assert [hashed.distinct.id_of[content] for content in contents] == hashed.id.tolist()
    assert (execution.step[hashed.step[hashed.step != NO_STEP]] == table.step[kept][hashed.step != NO_STEP]).all()


def test_of_what_is_not_hashed() -> None:
    hashed = HashedInputs.of(_execution("creations"))
    assert hashed.find([b"not hashed", hashed.distinct.data[1], b""]).tolist() == [
        NOT_HASHED,
        int(hashed.distinct.ids[1]),
        NOT_HASHED,
    ]
    assert hashed.find([]).shape == (0,)


def test_by_step() -> None:
    execution = _execution("creations")
    trace, hashed = execution.trace, HashedInputs.of(execution)
    steps = execution.rows(OPCODES["CREATE2"])
    steps = steps[~execution.failed[steps] & np.isin(steps, hashed.step)]
    assert len(steps) > 3
    made = hashed.made_by(steps, HashPurpose.CREATE2_ADDRESS)
    assert hashed.step[made].tolist() == steps.tolist()
    ends = []
    for row in made.tolist():
        content = trace.bytes_at(hashed.start[row], hashed.size[row])
        assert content.startswith(b"\xff")
        assert _bytes(hashed.digest_of(hashed.id[[row]])[0]) == keccak(content)
        ends.append(content[53:])
    # The end of what is hashed for the address is the hash of the initcode, which is not hashed here.
    table = trace.hashes
    rows = np.flatnonzero(table.purpose == HashPurpose.INITCODE)
    rows = rows[np.isin(table.step[rows], execution.step[steps])]
    assert ends == [keccak(trace.bytes_at(table.input_start[row], table.input_size[row])) for row in rows.tolist()]
    assert ends == [_bytes(word) for word in execution.initcode_hashes(steps)]
    with pytest.raises(ValueError, match="no hash of the purpose INITCODE"):
        hashed.made_by(steps, HashPurpose.INITCODE)


def _bytes(word: Limbs) -> bytes:
    return word[::-1].astype(">u2").tobytes()


def test_a_step_without_a_hash() -> None:
    execution = _execution("creations")
    hashed = HashedInputs.of(execution)
    with pytest.raises(ValueError, match="no hash of the purpose CODE"):
        hashed.made_by(execution.rows(OPCODES["CREATE"]), HashPurpose.CODE)
    with pytest.raises(ValueError, match="no hash of the purpose INSTRUCTION"):
        hashed.made_by(np.array([len(execution.step)]), HashPurpose.INSTRUCTION)
    assert hashed.made_by(np.zeros(0, dtype=np.int64), HashPurpose.CODE).shape == (0,)


def test_steps_that_fail_are_left_out() -> None:
    whole = HashedInputs.of(_execution("creations"))
    execution = copy(_execution("creations"))
    failing = whole.made_by(execution.rows(OPCODES["CREATE"])[:1], HashPurpose.CREATE_ADDRESS)
    execution.failed = execution.failed.copy()
    execution.failed[whole.step[failing]] = True
    hashed = HashedInputs.of(execution)
    assert hashed.step.tolist() == np.delete(whole.step, failing).tolist()
    assert hashed.purpose.tolist() == np.delete(whole.purpose, failing).tolist()


@pytest.mark.parametrize("name", CREATING)
def test_segments_share_the_hashes(name: str) -> None:
    """Those of creating transactions, which no step makes, too; each segment names its own."""
    trace = PROGRAMS[name]().execute().trace
    assert trace is not None
    batch = Batch.of(trace)
    whole = HashedInputs.of(Execution(batch, 0, len(batch.operations)))
    found: list[bytes] = []
    outside = 0
    for number in range(len(batch.operations)):
        hashed = HashedInputs.of(Execution(batch, number, number + 1))
        content = dict(zip(hashed.distinct.ids.tolist(), hashed.distinct.data, strict=True))
        found += [content[identity] for identity in hashed.id.tolist()]
        outside += int((hashed.step == NO_STEP).sum())
    content = dict(zip(whole.distinct.ids.tolist(), whole.distinct.data, strict=True))
    assert found == [content[identity] for identity in whole.id.tolist()]
    assert outside == int(trace.transactions.is_creation.sum())


def test_all_of_them_are_permuted() -> None:
    execution = _execution("creations")
    inputs = HashedInputs.of(execution).distinct
    matrix = fill_permutations(execution)
    assert matrix is not None
    assert len(matrix) >= 24 * inputs.rows
    assert len(keccak_sponge.permutations(inputs)[1]) == inputs.rows


def test_nothing_is_hashed() -> None:
    execution = _execution("storage")
    hashed = HashedInputs.of(execution)
    assert (len(hashed.id), hashed.distinct.rows, len(hashed.digest)) == (0, 0, 0)
    assert fill_permutations(execution) is None
