"""The input of the precompile MODEXP, and what it costs.

Source: EIP-198, EIP-2565; execution-specs `cancun/vm/precompiled_contracts/modexp.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

WORD_BYTES = 32
#: The lengths of base, exponent and modulus stand before the numbers, a word each.
HEADER_BYTES = 3 * WORD_BYTES

LEAST_GAS = 200
GAS_DIVISOR = 3
#: Bytes of a number that count as one in its price.
PRICED_BYTES = 8


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

    @cached_property
    def iterations(self) -> int:
        """Squarings that are paid for: at least one."""
        beyond = max(0, self.lengths[1] - WORD_BYTES)
        return max(1, 8 * beyond + max(0, self.head.bit_length() - 1))

    @cached_property
    def gas(self) -> int:
        """What the call costs."""
        longer = max(self.lengths[0], self.lengths[2])
        parts = -(-longer // PRICED_BYTES)
        return max(LEAST_GAS, parts * parts * self.iterations // GAS_DIVISOR)
