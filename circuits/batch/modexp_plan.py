"""How a call of MODEXP uses the memory of its frame, and when.

The lengths are copied to the first three words, the head of the exponent to the fourth. If a power is computed, the
modulus follows, the base and the exponent. All but the lengths end with a whole word, so that zeros stand before a
number, and behind what the input has of it. The result takes the modulus' place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from circuits.widths import WORD_BYTES
from executor.modexp import HEADER_BYTES, MAX_BASE_BYTES, MAX_MODULUS_BYTES, ModexpInput, words_for

#: Copying and reading the lengths takes three units of time each, the head of the exponent one each.
HEADER_TIME = 8
#: First byte of the head of the exponent, and of the numbers.
HEAD_START = HEADER_BYTES
NUMBERS_START = HEAD_START + WORD_BYTES

#: A modulus has at most so many words: coefficients of products stay below the modulus of the field
#: (`circuits.modexp.remainders`).
MAX_MODULUS_WORDS = MAX_MODULUS_BYTES // WORD_BYTES


class Copy(NamedTuple):
    """Bytes of the input that are copied: from which one on, to which one of the memory, how many, when."""

    start: int
    to: int
    size: int
    time: int


class Access(NamedTuple):
    """Words of the memory that are accessed one after the other, one a unit of time: first byte, words, when."""

    to: int
    words: int
    time: int


@dataclass(frozen=True)
class ModexpPlan:
    """What a call does; times count from the message to the precompile.

    Attributes:
        input: of the call.
        paid: whether it has the gas.
        bound: bytes that a number may have (EIP-7823), or None: with a longer one the call fails.
    """

    input: ModexpInput
    paid: bool
    bound: int | None = None

    @cached_property
    def reads_head(self) -> bool:
        """Whether the head of the exponent is read: unless numbers are so long that the call is not paid, or fails."""
        if self.bound is None:
            return self.input.lengths[0] <= MAX_BASE_BYTES
        return max(self.input.lengths) <= self.bound

    @cached_property
    def works(self) -> bool:
        """Whether there is a modulus to be read."""
        return self.paid and self.input.lengths[2] > 0

    @cached_property
    def runs(self) -> bool:
        """Whether a power is computed: there is one for every modulus but zero."""
        return self.paid and self.input.computes

    @cached_property
    def words(self) -> tuple[int, int, int]:
        """Words of base, exponent and modulus as far as they are read."""
        base, exponent, modulus = (words_for(length) for length in self.input.lengths)
        return base * self.runs, exponent * self.runs, modulus * self.works

    @cached_property
    def ends(self) -> tuple[int, int, int]:
        """Where base, exponent and modulus end in the memory."""
        base, exponent, modulus = self.words
        end = NUMBERS_START + WORD_BYTES * modulus
        return end + WORD_BYTES * base, end + WORD_BYTES * (base + exponent), end

    @cached_property
    def copies(self) -> list[Copy]:
        """What is copied of the input, as far as it has it."""
        base, exponent, modulus = self.input.lengths
        first, second = HEADER_BYTES + base, HEADER_BYTES + base + exponent
        words, ends = self.words, self.ends
        time = HEADER_TIME
        wanted = [(0, HEADER_BYTES, HEADER_BYTES, 0)]
        if self.reads_head:
            wanted.append((first, min(exponent, WORD_BYTES), NUMBERS_START, 6))
        if self.works:
            wanted.append((second, modulus, ends[2], time))
        if self.runs:
            time += 2 * words[2]
            wanted += [(HEADER_BYTES, base, ends[0], time), (first, exponent, ends[1], time + 2 * words[0])]
        found = []
        for start, length, end, time in wanted:
            size = min(max(0, len(self.input.data) - start), length)
            if size:
                found.append(Copy(start, end - length, size, time))
        return found

    @cached_property
    def reads(self) -> list[Access]:
        """What is read, words in the order of their addresses."""
        base, exponent, modulus = self.words
        found = [Access(0, 3, 3), Access(HEAD_START, 1, 7)]
        time = HEADER_TIME + modulus
        if self.works:
            found.append(Access(NUMBERS_START, modulus, time))
        if self.runs:
            end, time = self.ends, time + modulus + base
            found.append(Access(end[2], base, time))
            found.append(Access(end[0], exponent, time + base + exponent))
        return found

    @property
    def output_time(self) -> int:
        """When the first word of a power is written."""
        return HEADER_TIME + 2 * sum(self.words)

    @property
    def duration(self) -> int:
        """Time that the call takes."""
        return self.output_time + self.words[2] * self.runs

    @property
    def output(self) -> tuple[int, int]:
        """First byte and bytes of what is returned, in the frame's memory."""
        size = self.input.lengths[2]
        return (self.ends[2] - size, size) if self.works else (0, 0)
