"""The input of the precompile MODEXP, and what it costs.

Source: EIP-198, EIP-2565, EIP-7883; execution-specs `cancun/vm/precompiled_contracts/modexp.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

from executor.forks import ModexpRules

WORD_BYTES = 32
#: The lengths of base, exponent and modulus stand before the numbers, a word each.
HEADER_BYTES = 3 * WORD_BYTES

#: Bytes of a number that count as one in its price.
PRICED_BYTES = 8

# Bounds of the circuits. They hold for calls that are paid and have a modulus.
MAX_MODULUS_BYTES = 2**13
MAX_BASE_BYTES = 2**19 - 1
MAX_EXPONENT_BYTES = 2**24
#: No table of the circuits may have more rows.
MAX_ROWS = 2**21
#: An exponent is taken in digits of so many bits.
DIGIT_BITS = 4
_DIGITS_IN_WORD = 8 * WORD_BYTES // DIGIT_BITS


class ModexpRows(NamedTuple):
    """Rows of the circuits' tables that a power takes: digits, products of numbers of one block, of others the pairs of
    blocks and lines of 32 bytes, and the blocks of numbers."""

    digits: int
    small: int
    pairs: int
    lines: int
    blocks: int


def words_for(length: int) -> int:
    """Words that hold a number of so many bytes; one at least."""
    return max(1, -(-length // WORD_BYTES))


class Sum(NamedTuple):
    """A power of a base as the product of two that come before: `exponent` is the sum of the others."""

    exponent: int
    left: int
    right: int


@cache
def addition_chain(digits: frozenset[int]) -> tuple[Sum, ...]:
    """The fewest sums that lead from 1 to all of these digits, in ascending order.

    A digit of 1 needs none. No set of digits takes long: sums of numbers that are not wanted are tried last.
    """
    wanted = sorted(digits - {0, 1})
    for extra in range(1 << DIGIT_BITS):
        found = _chain((1,), (), wanted, extra)
        if found is not None:
            return found
    raise AssertionError("every digit is a sum of ones")


def _chain(known: tuple[int, ...], sums: tuple[Sum, ...], wanted: list[int], extra: int) -> tuple[Sum, ...] | None:
    """A chain that goes on from what is known, with so many numbers that are not wanted."""
    if not wanted:
        return sums
    for left in reversed(known):
        for right in known:
            number = left + right
            # Numbers ascend, so none is passed that is wanted.
            if right > left or number <= known[-1] or number > wanted[0] or (number < wanted[0] and not extra):
                continue
            is_wanted = number == wanted[0]
            rest, spare = (wanted[1:], extra) if is_wanted else (wanted, extra - 1)
            found = _chain((*known, number), (*sums, Sum(number, left, right)), rest, spare)
            if found is not None:
                return found
    return None


@dataclass(frozen=True)
class ModexpInput:
    """The input of a call; what it lacks are zeros.

    The numbers are only read where the gas, or a bound on their lengths, says that they can be.
    """

    data: bytes

    @cached_property
    def lengths(self) -> tuple[int, int, int]:
        """Bytes of base, exponent and modulus: any words."""
        header = self.data[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0")
        base, exponent, modulus = (int.from_bytes(header[32 * k : 32 * k + 32], "big") for k in range(3))
        return base, exponent, modulus

    def number(self, start: int, length: int) -> int:
        """The number of so many bytes from this byte of the input on."""
        there = self.data[start : start + length]
        return int.from_bytes(there, "big") << 8 * (length - len(there))

    @cached_property
    def head(self) -> int:
        """The first 32 bytes of the exponent, or all of a shorter one."""
        base, exponent, _ = self.lengths
        return self.number(HEADER_BYTES + base, min(exponent, WORD_BYTES))

    @cached_property
    def base(self) -> int:
        """The base."""
        return self.number(HEADER_BYTES, self.lengths[0])

    @cached_property
    def exponent(self) -> int:
        """The exponent."""
        return self.number(HEADER_BYTES + self.lengths[0], self.lengths[1])

    @cached_property
    def modulus(self) -> int:
        """The modulus."""
        base, exponent, modulus = self.lengths
        return self.number(HEADER_BYTES + base + exponent, modulus)

    def gas(self, rules: ModexpRules) -> int:
        """What the call costs by EIP-2565 or EIP-7883."""
        base, exponent, modulus = self.lengths
        longer = max(base, modulus)
        complexity = rules.complexity_factor * (-(-longer // PRICED_BYTES)) ** 2
        if rules.short_complexity is not None and longer <= WORD_BYTES:
            complexity = rules.short_complexity
        beyond = rules.iterations_per_byte * max(0, exponent - WORD_BYTES)
        iterations = max(1, beyond + max(0, self.head.bit_length() - 1))
        return max(rules.least_gas, complexity * iterations // rules.gas_divisor)

    @cached_property
    def computes(self) -> bool:
        """Whether a call that is paid computes a power: unless the modulus is 0, or has no bytes."""
        return self.lengths[2] > 0 and self.modulus > 0

    @cached_property
    def rows(self) -> ModexpRows:
        """What the power takes if one is computed."""
        base, exponent, modulus = map(words_for, self.lengths)
        digits = f"{self.exponent:x}" if self.exponent else ""
        zeros = digits.count("0")
        # The first product reduces the base, if it is needed at all; the others multiply numbers like the modulus.
        first = base if digits else modulus
        behind = max(0, len(digits) - 1)
        sums = addition_chain(frozenset(int(digit, 1 << DIGIT_BITS) for digit in set(digits)))
        others = len(sums) + DIGIT_BITS * behind + max(0, behind - zeros)
        skipped = exponent - (-(-len(digits) // _DIGITS_IN_WORD))
        taken = skipped + _DIGITS_IN_WORD * (exponent - skipped)
        given = base + 2 * modulus
        if modulus == 1:
            small = others + (first == 1)
            return ModexpRows(
                taken, small, first * (first > 1), (first + 1) * (first > 1), given + 1 + others + first * (first > 1)
            )
        pairs, lines = first * modulus + others * modulus**2, first + modulus + 2 * others * modulus
        return ModexpRows(taken, 0, pairs, lines, given + lines)

    @cached_property
    def refusal(self) -> str | None:
        """Why a call that is paid cannot be proved, or None."""
        base, exponent, modulus = self.lengths
        if not modulus:
            return None
        for what, length, most in (
            ("modulus", modulus, MAX_MODULUS_BYTES),
            ("base", base, MAX_BASE_BYTES),
            ("exponent", exponent, MAX_EXPONENT_BYTES),
        ):
            if length > most:
                return f"MODEXP with {what} of more than {most} bytes"
        if self.computes and max(self.rows) > MAX_ROWS:
            return f"MODEXP that takes {max(self.rows)} rows of a table, more than {MAX_ROWS}"
        return None
