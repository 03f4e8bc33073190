"""The calls of a segment that programs of the field machine answer, and the instances of these programs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.batch.execution import FRAME_BEGIN, Execution, Integers, words_of
from circuits.batch.frame_data import FrameData
from circuits.batch.precompiles import field_parts, field_runs, field_taken
from circuits.functions.buses import KECCAK256_FUNCTION
from circuits.programs.precompiles import PRECOMPILES
from circuits.programs.program import INSTANCE_TIME, READ, Instance, Program, UnsatisfiedError
from circuits.programs.runs import Request, Runs
from circuits.widths import WORD_BYTES
from executor.errors import UnsupportedFeature

#: No one knows such an input, see the section on programs in docs/soundness.md.
_SPOILED = "an input for which all of the prover's choices fail"


@dataclass(frozen=True, eq=False)
class FieldCalls:
    """Calls of precompiles that programs answer, n of them, and k instances: those that begin in the execution.

    Of a part, its instances may be those of calls before it, and those of its calls may be in parts behind it.

    Attributes:
        frame: (n,) ids of their frames.
        number: (n,) of the precompile.
        kind, source, start, size: (n,) where the input lies, as on the precompile bus.
        gas: (n,) gas given without the reserve.
        time: (n,) time of the message to the precompile.
        runs: (n,) whether programs run: the input has a right size, and the gas is paid.
        fails: (n,) whether the last instance says that the call fails.
        outputs: (n,) words that it returns.
        instances: what runs.
        precompile: (k,) which one each instance answers.
        parts_left: (k,) parts of the input that are left when it begins.
        machine: the instances, run.
    """

    frame: Integers
    number: Integers
    kind: Integers
    source: Integers
    start: Integers
    size: Integers
    gas: Integers
    time: Integers
    runs: NDArray[np.bool_]
    fails: NDArray[np.bool_]
    outputs: Integers
    instances: list[Instance]
    precompile: Integers
    parts_left: Integers
    machine: Runs

    @classmethod
    def of(cls, execution: Execution) -> FieldCalls:
        """Of an execution; made once, and of all parts of a run together.

        Raises:
            UnsupportedFeature: no program answers an input, whatever the prover chooses.
        """
        found = _calls.get(execution)
        if found is None:
            joint = execution.joint
            found = _make(joint) if joint is execution else cls.of(joint)._of_part(execution)
            _calls[execution] = found
        return found

    def _of_part(self, part: Execution) -> FieldCalls:
        """What of this begins in a part."""
        calls = np.flatnonzero(part.within(self.time))
        instances = np.flatnonzero(part.within(self.instance_times))
        of_calls = ("frame", "number", "kind", "source", "start", "size", "gas", "time", "runs", "fails", "outputs")
        return replace(
            self,
            **{name: getattr(self, name)[calls] for name in of_calls},
            instances=[self.instances[i] for i in instances.tolist()],
            precompile=self.precompile[instances],
            parts_left=self.parts_left[instances],
            machine=self.machine.part(instances),
        )

    @property
    def instance_times(self) -> Integers:
        """When each instance (k,) begins."""
        requests = self.machine.requests
        return np.array([requests[i].time for i in self.machine.own.tolist()], dtype=np.int64)

    @property
    def keccak_inputs(self) -> list[tuple[bytes, int]]:
        """What the instances hash by Keccak-256, with the hashes as integers."""
        return self.hashed(KECCAK256_FUNCTION)

    def hashed(self, function: int) -> list[tuple[bytes, int]]:
        """What the instances hash by a function, with the hashes as integers."""
        runs = [self.machine.runs[i] for i in self.machine.own.tolist()]
        return [(run.hashed_bytes, run.digest) for run in runs if run.hashes == function]


def _make(execution: Execution) -> FieldCalls:
    trace, data = execution.trace, FrameData.of(execution)
    at = np.flatnonzero(np.isin(execution.frame_precompile, list(PRECOMPILES)))
    rows, number, size = execution.frames[at], execution.frame_precompile[at], data.calldata_size[at]
    given = (trace.frames.gas_given[rows] - execution.frame_reserve[at]).astype(np.int64)
    runs = field_runs(number, size, given)
    copied = words_of(field_taken(number, size))
    time = execution.frame_begin_time[at] + FRAME_BEGIN
    instances: list[Instance] = []
    requests: list[Request] = []
    last = np.full(len(at), -1, dtype=np.int64)
    precompiles: list[int] = []
    parts_left: list[int] = []
    parts = field_parts(number, size)
    for k in np.flatnonzero(runs).tolist():
        content = trace.bytes_at(int(data.calldata_place[at[k]]), int(size[k]))
        words = int(copied[k])
        first, precompile = len(instances), PRECOMPILES[int(number[k])]
        try:
            answers = precompile.instances(content)
        except UnsatisfiedError:
            place = execution.operations.place(int(execution.frame_operation[at[k]]))
            raise UnsupportedFeature(f"precompile {precompile.number}, {_SPOILED}", *place) from None
        for i, instance in enumerate(answers):
            program, offset = instance.variant.program, precompile.stride * i
            requests.append(
                Request(
                    program,
                    inputs_of(program, content, offset),
                    choice=instance.choice,
                    linked=0 if instance.linked is None else first + 1 + instance.linked,
                    frame=int(at[k]) + 1,
                    time=int(time[k]) + words + INSTANCE_TIME * i,
                    input=offset,
                    output=words * WORD_BYTES,
                )
            )
            instances.append(instance)
            precompiles.append(precompile.number)
            parts_left.append(int(parts[k]) - i)
        last[k] = len(instances) - 1
    machine = Runs(requests)
    return FieldCalls(
        at + 1,
        number,
        data.calldata_kind[at],
        data.calldata_id[at],
        data.calldata_start[at],
        size,
        given,
        time,
        runs,
        np.array([i >= 0 and instances[i].variant.fails for i in last.tolist()], dtype=bool),
        np.array([len(machine.runs[i].written) if i >= 0 else 0 for i in last.tolist()], dtype=np.int64),
        instances,
        np.array(precompiles, dtype=np.int64),
        np.array(parts_left, dtype=np.int64),
        machine,
    )


def inputs_of(program: Program, data: bytes, offset: int) -> list[int]:
    """The words that a program reads of an input from this byte on, zeros behind its end."""
    count = max((row.position + 1 for row in program.words if row.place == READ), default=0)
    content = data[offset : offset + WORD_BYTES * count].ljust(WORD_BYTES * count, b"\0")
    return [int.from_bytes(content[i : i + WORD_BYTES], "big") for i in range(0, len(content), WORD_BYTES)]


_calls: WeakKeyDictionary[Execution, FieldCalls] = WeakKeyDictionary()
