"""Instances of programs that were run, as arrays: what the tables of the machine are filled from."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from circuits.programs.program import (
    BITS,
    CONSTANT,
    DIGIT_BITS,
    LINKED,
    NARROW,
    OWN,
    SELECTED,
    SIGNED_DIGIT,
    WIDE,
    WORDS,
    Program,
    Run,
    SelectedRow,
)

Integers = NDArray[np.int64]

#: Digits of registers, (..., limbs).
Digits = NDArray[np.int16]

_ROW = (1 << 20) - 1


@dataclass(frozen=True)
class Request:
    """A program to run.

    Attributes:
        program: which.
        inputs: words of its input by position.
        choice: the prover's own choice.
        linked: which request it is linked to, numbered from 1, or 0.
        frame: whose memory has the input and gets the output.
        time: of its first access to the memory, which names the instance: no two have the same, and none has 0.
        input, output: first bytes there.
        hashed: name of the hashed input of a program that hashes.
    """

    program: Program
    inputs: Sequence[int]
    choice: int = 0
    linked: int = 0
    frame: int = 0
    time: int = 0
    input: int = 0
    output: int = 0
    hashed: int = 0


@dataclass(eq=False)
class ProgramRuns:
    """The n instances of a program.

    Attributes:
        program: the program.
        which: (n,) their requests, numbered from 0.
        linked: (n,) names of the instances that they are linked to, or 0.
        frame, time, input, output, hashed: (n,) as in `Request`; the time is the name.
        digits: (n, registers, limbs) of all registers: narrow rows, wide rows, selections, bits, words.
        narrow_quotient, wide_quotient: (n, rows, limbs + 1) digits.
        scalar: (n, numbers, 256) the bits of numbers whose digits are looked up.
        reads: (n, registers) how often a register is read, whoever does.
        digit_reads: (n, numbers, 128) how often a digit of such a number is.
    """

    program: Program
    which: Integers
    linked: Integers
    frame: Integers
    time: Integers
    input: Integers
    output: Integers
    hashed: Integers
    digits: Digits
    narrow_quotient: Digits
    wide_quotient: Digits
    scalar: NDArray[np.uint8]
    reads: Integers = field(init=False)
    digit_reads: Integers = field(init=False)

    def __post_init__(self) -> None:
        self.reads = np.zeros(self.digits.shape[:2], dtype=np.int64)
        self.digit_reads = np.zeros((len(self), self.program.bit_rows, 128), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.time)

    def values(self, base: int) -> Digits:
        """The digits (n, rows, limbs) of the registers of a kind; those of selections two for each row."""
        start, end = self.spans[base]
        return self.digits[:, start:end]

    def counts(self, base: int) -> Integers:
        """How often (n, registers) those are read."""
        start, end = self.spans[base]
        return self.reads[:, start:end]

    @property
    def spans(self) -> dict[int, tuple[int, int]]:
        """Where the registers of each kind begin and end among all."""
        return _spans(self.program)

    def places(self, registers: Integers) -> Integers:
        """Which of all registers these numbers name, of the same shape."""
        return _places(self.program, registers)


def _spans(program: Program) -> dict[int, tuple[int, int]]:
    sizes = {
        NARROW: len(program.narrow),
        WIDE: len(program.wide),
        SELECTED: 2 * len(program.selected),
        BITS: program.bit_rows,
        WORDS: len(program.words),
    }
    ends = np.cumsum(list(sizes.values())).tolist()
    return {base: (end - size, end) for (base, size), end in zip(sizes.items(), ends, strict=True)}


def _places(program: Program, registers: Integers) -> Integers:
    starts = np.zeros(8, dtype=np.int64)
    for base, (start, _) in _spans(program).items():
        starts[base >> 20] = start
    result: Integers = starts[registers >> 20] + (registers & _ROW)
    return result


def _addresses(row: SelectedRow, scalar: NDArray[np.uint8]) -> Integers:
    """Where (n,) the registers begin that a selection copies, by the bits of its instances' numbers."""
    at = np.full(len(scalar), row.base, dtype=np.int64)
    for weight, number, position in row.terms:
        low = DIGIT_BITS * position
        at += weight * (scalar[:, number, low] + 2 * scalar[:, number, low + 1].astype(np.int64))
    return at


class Runs:
    """Instances that were run, all of them or those of a part.

    Attributes:
        requests: of all instances, whoever has them.
        runs: what came of them.
        own: which of them (k,) the tables have, in ascending order.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        """Run all programs. Big integers are Python's: this is the one loop over the rows of the machine.

        Raises:
            UnsatisfiedError: a request's program does not hold for its input.
        """
        self.requests = requests
        self.own: Integers = np.arange(len(requests))
        self.runs: list[Run] = []
        for request in requests:
            linked = self.runs[request.linked - 1] if request.linked else None
            self.runs.append(request.program.run(request.inputs, choice=request.choice, linked=linked))

    def part(self, own: Integers) -> Runs:
        """The same instances, of which the tables have only these (k,), in ascending order."""
        part = copy(self)
        for name in ("programs", "constant_reads"):
            part.__dict__.pop(name, None)
        part.own = own
        return part

    @cached_property
    def programs(self) -> dict[int, ProgramRuns]:
        """The own instances of each program, by its number."""
        numbers: dict[int, list[int]] = {}
        for i in self.own.tolist():
            numbers.setdefault(self.requests[i].program.number, []).append(i)
        found = {number: self._collect(own) for number, own in sorted(numbers.items())}
        for runs in found.values():
            self._count(runs)
        where = {i: (runs, k) for runs in found.values() for k, i in enumerate(runs.which.tolist())}
        for i, request in enumerate(self.requests):
            if request.linked - 1 in where:
                linked, k = where[request.linked - 1]
                np.add.at(linked.reads[k], linked.places(self.linked_registers(i)), 1)
        return found

    @cached_property
    def constant_reads(self) -> dict[int, Integers]:
        """How often (constants,) the own instances of a program read each of its constants, by its number."""
        return {number: _constant_reads(runs) for number, runs in self.programs.items()}

    def linked_registers(self, which: int) -> Integers:
        """The registers (n,) of the linked instance that an instance reads, each as often as it does."""
        program, bits = self.requests[which].program, self.runs[which].bits
        scalar = _bits([bits], program)
        rows = [_addresses(row, scalar) for row in program.selected if row.source == LINKED]
        registers = np.array(rows, dtype=np.int64).reshape(-1, 1)
        return (registers + np.arange(2)).reshape(-1)

    def linked_digits(self, which: int) -> Digits:
        """The digits (n, limbs) of these registers."""
        program, values = self.requests[which].program, self.runs[which].values
        rows = [SELECTED + 2 * r for r, row in enumerate(program.selected) if row.source == LINKED]
        return signed_digits([values[index + k] for index in rows for k in range(2)], program.limbs)

    def of_limbs(self, limbs: int) -> list[ProgramRuns]:
        """Those of programs with registers of this size."""
        return [runs for runs in self.programs.values() if runs.program.limbs == limbs]

    def _collect(self, which: list[int]) -> ProgramRuns:
        program = self.requests[which[0]].program
        limbs = program.limbs
        spans = _spans(program)
        order = [base + k for base, (start, end) in spans.items() for k in range(end - start)]
        unsigned = spans[BITS][0]
        # Selections copy digits, which are those of a word where they copy a word.
        copies = {SELECTED + 2 * r + k for r, row in enumerate(program.selected) if row.source == OWN for k in range(2)}
        digits = np.empty((len(which), len(order), limbs), dtype=np.int16)
        quotients = []
        for k, i in enumerate(which):
            values = [0 if index in copies else self.runs[i].values[index] for index in order]
            digits[k, :unsigned] = signed_digits(values[:unsigned], limbs)
            digits[k, unsigned:] = _unsigned_digits(values[unsigned:], limbs)
            found = self.runs[i].quotients
            quotients.append(signed_digits([found.get(index, 0) for index in order[: spans[WIDE][1]]], limbs + 1))
        quotient = np.array(quotients, dtype=np.int16).reshape(len(which), spans[WIDE][1], limbs + 1)
        bits = _bits([self.runs[i].bits for i in which], program)
        every = np.arange(len(which))
        for r, row in enumerate(program.selected):
            if row.source == OWN:
                at = _places(program, _addresses(row, bits))
                for k in range(2):
                    digits[:, spans[SELECTED][0] + 2 * r + k] = digits[every, at + k]

        def gathered(values: Sequence[int]) -> Integers:
            return np.array(values, dtype=np.int64)

        requests = [self.requests[i] for i in which]
        return ProgramRuns(
            program,
            gathered(which),
            gathered([self.requests[r.linked - 1].time if r.linked else 0 for r in requests]),
            gathered([r.frame for r in requests]),
            gathered([r.time for r in requests]),
            gathered([r.input for r in requests]),
            gathered([r.output for r in requests]),
            gathered([r.hashed for r in requests]),
            digits,
            quotient[:, : spans[NARROW][1]],
            quotient[:, spans[NARROW][1] :],
            bits,
        )

    @staticmethod
    def _count(runs: ProgramRuns) -> None:
        """What the instances of a program read of their own registers and digits."""
        program = runs.program
        rows = [row.operands for row in program.narrow] + [row.operands for row in program.wide]
        operands = np.array([index for row in rows for index in row], dtype=np.int64)
        runs.reads += np.bincount(runs.places(operands), minlength=runs.reads.shape[1])
        every = np.arange(len(runs))
        for row in program.selected:
            at = _addresses(row, runs.scalar)
            for _, number, position in row.terms:
                runs.digit_reads[:, number, position] += 1
            if row.source == OWN:
                for k in range(2):
                    np.add.at(runs.reads, (every, runs.places(at + k)), 1)


def _constant_reads(runs: ProgramRuns) -> Integers:
    reads = np.zeros(len(runs.program.constants), dtype=np.int64)
    for row in runs.program.selected:
        if row.source == CONSTANT:
            at = _addresses(row, runs.scalar)
            for k in range(2):
                reads += np.bincount(at + k, minlength=len(reads))
    return reads


def _bits(numbers: Sequence[Sequence[int]], program: Program) -> NDArray[np.uint8]:
    """The bits (n, numbers, 256) of the numbers of n instances of a program, the least significant first."""
    content = b"".join(value.to_bytes(32, "little") for own in numbers for value in own)
    found = np.unpackbits(np.frombuffer(content, dtype=np.uint8), bitorder="little")
    return found.reshape(len(numbers), program.bit_rows, 256)


def signed_digits(values: Sequence[int], limbs: int) -> Digits:
    """Signed bytes (n, limbs), the least significant first, of integers that have so many."""
    offset = SIGNED_DIGIT * (256**limbs - 1) // 255
    return (_unsigned_digits([value + offset for value in values], limbs) - SIGNED_DIGIT).astype(np.int16)


def _unsigned_digits(values: Sequence[int], limbs: int) -> Digits:
    content = b"".join(value.to_bytes(limbs, "little") for value in values)
    return np.frombuffer(content, dtype=np.uint8).reshape(len(values), limbs).astype(np.int16)
