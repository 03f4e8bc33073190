"""What the calls of MODEXP of a segment compute: their numbers, products and digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from circuits.batch.execution import FRAME_BEGIN, Execution
from circuits.batch.frame_data import FrameData
from circuits.batch.modexp_plan import ModexpPlan
from circuits.modexp.blocks import Numbers
from circuits.modexp.products import Jobs
from circuits.modexp.small import SmallJobs
from circuits.widths import WORD, WORD_BYTES
from executor.modexp import DIGIT_BITS, addition_chain

Integers = NDArray[np.int64]

DIGITS = 1 << DIGIT_BITS
_DIGITS_IN_WORD = 8 * WORD_BYTES // DIGIT_BITS


@dataclass(frozen=True, eq=False)
class Digits:
    """The rows of all exponents; all (n,) but `square`, ids being -1 where there is no number.

    Attributes:
        call: which of the running calls.
        word: which word of the exponent, from the most significant one on.
        position: which digit of the word, the least significant being 0; -1: a word of leading zeros.
        digit: the digit.
        before, power, after: ids of the result before, of the power with the digit, of the result afterwards.
        square: (n, 4) ids of the squares of `before`.
    """

    call: Integers
    word: Integers
    position: Integers
    digit: Integers
    before: Integers
    power: Integers
    after: Integers
    square: Integers


class _Builder:
    """Collects numbers and products; Python integers, one product after the other, as numpy has no such type."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.counts: list[int] = []
        self.jobs: list[tuple[int, int, int, int, int]] = []
        self.small_jobs: list[tuple[int, int, int, int, int]] = []

    def number(self, value: int, count: int) -> int:
        self.values.append(value)
        self.counts.append(count)
        return len(self.values) - 1

    def multiply(self, a: int, b: int, modulus: int) -> int:
        """The id of a * b modulo the modulus."""
        quotient, remainder = divmod(self.values[a] * self.values[b], self.values[modulus])
        own = self.number(remainder, self.counts[modulus])
        if self.counts[a] == self.counts[modulus] == 1:
            self.small_jobs.append((a, b, modulus, own, quotient))
        else:
            self.jobs.append((a, b, self.number(quotient, self.counts[a]), modulus, own))
        return own


class ModexpWork:
    """All calls of MODEXP, n of them.

    Attributes:
        plans: what each does.
        frame: (n,) ids of their frames.
        kind, source, start, size: (n,) where the input lies, as on the precompile bus.
        gas, time: (n,) gas given without the reserve; time of the message to the precompile.
        running: rows of those that compute a power.
        base, unit, modulus, result: (n,) ids of their numbers, 0 of calls that compute none.
        exponent_words, exponent_time, exponent_offset: (n,) words of the exponent, when and where the first one is
            read.
        numbers, jobs, small_jobs: all numbers, all products, and those of numbers of one block.
        digits: the rows of exponents.
        powers: (m, 6) running call, exponents of both factors (0 for the powers 0 and 1), their ids, that of the power.
    """

    def __init__(
        self,
        plans: Sequence[ModexpPlan],
        *,
        frame: Integers,
        kind: Integers,
        source: Integers,
        start: Integers,
        gas: Integers,
        time: Integers,
    ) -> None:
        self.plans = list(plans)
        self.frame, self.kind, self.source, self.start, self.gas, self.time = frame, kind, source, start, gas, time
        self.size = np.array([len(plan.input.data) for plan in plans], dtype=np.int64)
        self.running = np.array([n for n, plan in enumerate(plans) if plan.runs], dtype=np.int64)
        words = np.array([plan.words for plan in plans], dtype=np.int64).reshape(-1, 3)
        self.base_words, self.exponent_words, self.modulus_words = words.T
        ends = np.array([plan.ends for plan in plans], dtype=np.int64).reshape(-1, 3)
        self.exponent_offset = ends[:, 0]
        output = np.array([plan.output_time for plan in plans], dtype=np.int64)
        self.exponent_time = time + output - self.exponent_words
        self.base, self.unit, self.modulus, self.result = np.zeros((4, len(plans)), dtype=np.int64)
        builder = _Builder()
        digits: list[tuple[int, ...]] = []
        powers: list[tuple[int, ...]] = []
        self._exponents: list[bytes] = []
        for n, call in enumerate(self.running.tolist()):
            self._compute(builder, n, call, digits, powers)
        self.numbers = Numbers(builder.values, builder.counts)
        self.jobs = Jobs.of(self.numbers, builder.jobs)
        self.small_jobs = SmallJobs.of(self.numbers, builder.small_jobs)
        table = np.array(digits, dtype=np.int64).reshape(-1, 7 + DIGIT_BITS)
        call, word, position, digit, before, power, after = table.T[:7]
        self.digits = Digits(call, word, position, digit, before, power, after, table[:, 7:])
        self.powers = np.array(powers, dtype=np.int64).reshape(-1, 6)

    def _compute(
        self,
        builder: _Builder,
        n: int,
        call: int,
        digits: list[tuple[int, ...]],
        powers: list[tuple[int, ...]],
    ) -> None:
        """The numbers of one call."""
        given = self.plans[call].input
        base_words, exponent_words, modulus_words = self.plans[call].words
        modulus = builder.number(given.modulus, modulus_words)
        unit = builder.number(1, modulus_words)
        base = builder.number(given.base, base_words)
        exponent = given.exponent.to_bytes(WORD_BYTES * exponent_words, "big")
        self._exponents.append(exponent)
        bytes_ = set(exponent)
        wanted = frozenset({byte >> DIGIT_BITS for byte in bytes_} | {byte & DIGITS - 1 for byte in bytes_})
        if given.exponent == 0:
            own = {0: builder.multiply(unit, unit, modulus)}
            powers.append((n, 0, 0, unit, unit, own[0]))
        else:
            own = {1: builder.multiply(base, unit, modulus)}
            powers.append((n, 0, 0, base, unit, own[1]))
        for power, left, right in addition_chain(wanted):
            own[power] = builder.multiply(own[left], own[right], modulus)
            powers.append((n, left, right, own[left], own[right], own[power]))
        result = -1
        none = (-1,) * DIGIT_BITS
        for word in range(exponent_words):
            part = exponent[WORD_BYTES * word : WORD_BYTES * (word + 1)]
            if result < 0 and not any(part):
                digits.append((n, word, -1, 0, -1, -1, -1, *none))
                continue
            value = int.from_bytes(part, "big")
            for position in range(_DIGITS_IN_WORD - 1, -1, -1):
                digit = value >> DIGIT_BITS * position & DIGITS - 1
                before, squares, power = result, list(none), own[digit] if digit else -1
                if before >= 0:
                    for k in range(DIGIT_BITS):
                        result = squares[k] = builder.multiply(result, result, modulus)
                if digit:
                    result = power if before < 0 else builder.multiply(result, power, modulus)
                digits.append((n, word, position, digit, before, power, result, *squares))
        self.base[call], self.unit[call], self.modulus[call] = base, unit, modulus
        self.result[call] = own[0] if result < 0 else result

    def exponent_limbs(self, call: Integers, word: Integers) -> NDArray[np.uint16]:
        """Words (n, 16) of the exponents of running calls."""
        lengths = np.array([len(e) // WORD_BYTES for e in self._exponents], dtype=np.int64)
        data = np.frombuffer(b"".join(self._exponents), dtype=">u2").reshape(-1, WORD)[:, ::-1]
        found: NDArray[np.uint16] = data[(np.cumsum(lengths) - lengths)[call] + word].astype(np.uint16)
        return found

    @classmethod
    def of(cls, execution: Execution) -> ModexpWork:
        """Of an execution; made once."""
        found = _work.get(execution)
        if found is None:
            plans = execution.modexp_plans
            at = np.array(list(plans), dtype=np.int64)
            data, rows = FrameData.of(execution), execution.frames[at]
            gas = execution.trace.frames.gas_given[rows] - execution.frame_reserve[at]
            found = _work[execution] = cls(
                list(plans.values()),
                frame=at + 1,
                kind=data.calldata_kind[at],
                source=data.calldata_id[at],
                start=data.calldata_start[at],
                gas=gas.astype(np.int64),
                time=execution.frame_begin_time[at] + FRAME_BEGIN,
            )
        return found


_work: WeakKeyDictionary[Execution, ModexpWork] = WeakKeyDictionary()
