"""Products modulo numbers of one block, which take a row: a * b = quotient * modulus + remainder.

Most calls have such numbers, and the smaller they are the less they pay for a product. So there is a table for numbers
of 8 bytes, which are priced alike, and one for all that have up to 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuits.air.expression import Expression
from circuits.air.field import MODULUS, Matrix
from circuits.air.gadgets.basic import total
from circuits.air.layout import C, Layout, Size, allocate, bit, byte, element
from circuits.air.table import Air, Table
from circuits.functions.bitwise_bytes import query_xor
from circuits.modexp.blocks import Numbers
from circuits.modexp.buses import BLOCK, MULTIPLY_MODULO
from circuits.widths import WORD_BYTES
from executor.modexp import PRICED_BYTES

Integers = NDArray[np.int64]

#: A carry is low + 64 * high - 8287, two bytes: from -8287 to 8288.
_HIGH = 1 << 6
_LEAST = 8287
_MOST = 255 + 255 * _HIGH - _LEAST
# Sums of 16 bits of a product: their carries are carries, and no equation over integers wraps.
_SUMS = WORD_BYTES * 255**2 * 257
assert min(_LEAST, _MOST) > (_SUMS + _MOST + 0xFFFF) >> 16
assert _SUMS + _MOST + 0xFFFF + (max(_LEAST, _MOST) << 16) < MODULUS

_BYTES = Size("bytes")
_BLOCK = "number_block bus"
_OTHER_CARRY = "low and high part together may make the same carry in up to four ways"
_SAME_NUMBER = "another true statement, of an equal number, which the number_block bus confirms"


class Columns(Layout[C]):
    """One product per row."""

    real = bit("1 on rows of products")
    a = element("id of the first factor", by=_BLOCK, free=_SAME_NUMBER)
    b = element("id of the second factor", by=_BLOCK, free=_SAME_NUMBER)
    modulus = element("id of the modulus", by=_BLOCK, free=_SAME_NUMBER)
    remainder = element("id of the remainder", by=_BLOCK, free=_SAME_NUMBER)
    a_bytes = byte("first factor", _BYTES, by=_BLOCK)
    b_bytes = byte("second factor", _BYTES, by=_BLOCK)
    modulus_bytes = byte("modulus", _BYTES, by=_BLOCK)
    remainder_bytes = byte("remainder", _BYTES, by=_BLOCK)
    quotient_bytes = byte("quotient", _BYTES, by="bitwise_bytes bus, two at a time")
    quotient_xor = byte("exclusive or of two of them", Size("limbs"), by="bitwise_bytes bus")
    carry_low = byte(
        "what is carried out of 16 bits, low part", Size("carries"), by="bitwise_bytes bus", free=_OTHER_CARRY
    )
    carry_high = byte("and high part", Size("carries"), by="bitwise_bytes bus", free=_OTHER_CARRY)
    carry_xor = byte("exclusive or of both", Size("carries"), by="bitwise_bytes bus", free=_OTHER_CARRY)
    multiplicity = element("how often the product is queried", by="balance of the multiply_modulo bus")


class SmallProducts(Table[Columns]):
    """a * b - quotient * modulus - remainder = 0 over the integers, 16 bits at a time.

    The sum S of 16 bits has the products of bytes on two diagonals: |S| is at most 32 * 255^2 * 257 < 2^29. With a
    carry in it must be 16 bits of the remainder and 2^16 carries out, below 2^29.1: equality in the field is equality.
    """

    row_order = "every row is a statement of its own"

    def __init__(self, name: str, size: int) -> None:
        """For numbers of `size` bytes, an even number of at most 32."""
        super().__init__(name, Columns.sized(bytes=size, limbs=size // 2, carries=size - 1))
        self.size = size

    def constraints(self, air: Air[Columns]) -> None:
        row, real = air.row, air.row.real
        behind = [air.constant(0)] * (WORD_BYTES - self.size)
        for name in ("a", "b", "modulus", "remainder"):
            bytes_ = [*getattr(row, f"{name}_bytes"), *behind]
            air.query(BLOCK, getattr(row, name), 0, 1, bytes_, count=real)
        for i, xor in enumerate(row.quotient_xor):
            query_xor(air, row.quotient_bytes[2 * i], row.quotient_bytes[2 * i + 1], xor, count=real)
        carry = air.constant(0)
        for t in range(self.size):
            sum_ = self._coefficient(row, 2 * t, air) + self._coefficient(row, 2 * t + 1, air) * 256 + carry
            if t < self.size // 2:
                sum_ = sum_ - row.remainder_bytes[2 * t] - row.remainder_bytes[2 * t + 1] * 256
            carry = air.constant(0)
            if t < self.size - 1:
                query_xor(air, row.carry_low[t], row.carry_high[t], row.carry_xor[t], count=real)
                carry = row.carry_low[t] + row.carry_high[t] * _HIGH - real * _LEAST
            air.require(sum_ - carry * (1 << 16), f"limb {t}")
        air.require((1 - real) * row.multiplicity, "padding provides nothing")
        air.provide(MULTIPLY_MODULO, row.a, row.b, row.modulus, row.remainder, multiplicity=row.multiplicity)

    def _coefficient(self, row: Columns, index: int, air: Air[Columns]) -> Expression:
        places = [i for i in range(self.size) if 0 <= index - i < self.size]
        if not places:
            return air.constant(0)
        added = [row.a_bytes[i] * row.b_bytes[index - i] for i in places]
        return total(added) - total([row.quotient_bytes[i] * row.modulus_bytes[index - i] for i in places])


TINY = SmallProducts("modexp_tiny_products", PRICED_BYTES)
SMALL = SmallProducts("modexp_small_products", WORD_BYTES)


@dataclass(frozen=True, eq=False)
class SmallJobs:
    """Products modulo something of numbers of one block; all (n,), but the quotients: (n, 32) bytes."""

    numbers: Numbers
    a: Integers
    b: Integers
    modulus: Integers
    remainder: Integers
    quotient: NDArray[np.uint8]

    @classmethod
    def of(cls, numbers: Numbers, jobs: Sequence[tuple[int, int, int, int, int]]) -> SmallJobs:
        """Of tuples of a, b, modulus, remainder and the quotient itself."""
        # Python integers become bytes one by one: numpy has no type for them.
        quotients = b"".join(job[4].to_bytes(WORD_BYTES, "little") for job in jobs)
        ids = np.array([job[:4] for job in jobs], dtype=np.int64).reshape(-1, 4)
        a, b, modulus, remainder = ids.T
        quotient = np.frombuffer(quotients, dtype=np.uint8).reshape(-1, WORD_BYTES)
        return cls(numbers, a, b, modulus, remainder, quotient)


def fill_small(jobs: SmallJobs, table: SmallProducts, asked: NDArray[np.uint32]) -> Matrix | None:
    """The products that this table is the smallest to state, with the counts of the queries (n, 4)."""
    names = ("a", "b", "modulus", "remainder")
    ids = np.stack([getattr(jobs, name) for name in names], axis=1)
    blocks = [jobs.numbers.blocks(number, np.zeros_like(number)) for number in ids.T]
    bytes_ = [*blocks, jobs.quotient.astype(np.int64)]
    tiny = ~np.any([x[:, TINY.size :].any(axis=1) for x in bytes_], axis=0)
    chosen = np.flatnonzero(tiny if table is TINY else ~tiny)
    if not len(chosen):
        return None
    matrix, rows = allocate(Columns, len(chosen), table.layout)
    rows.real = 1
    size = table.size
    own = [x[chosen, :size] for x in bytes_]
    for name, number, content in zip(names, ids[chosen].T, own, strict=False):
        setattr(rows, name, number)
        setattr(rows, f"{name}_bytes", content)
    a, b, modulus, remainder, quotient = own
    rows.quotient_bytes, rows.quotient_xor = quotient, quotient[:, 0::2] ^ quotient[:, 1::2]
    sums = np.zeros((len(chosen), 2 * size), dtype=np.int64)
    for k in range(size):
        sums[:, k : k + size] += a[:, k : k + 1] * b - quotient[:, k : k + 1] * modulus
    sums[:, :size] -= remainder
    limbs = sums[:, 0::2] + sums[:, 1::2] * 256
    carry = np.zeros(len(chosen), dtype=np.int64)
    for t in range(size - 1):
        carry = (limbs[:, t] + carry) >> 16
        high = np.clip((carry + _LEAST) // _HIGH, 0, 255)
        low = carry + _LEAST - high * _HIGH
        rows.carry_low[:, t], rows.carry_high[:, t], rows.carry_xor[:, t] = low, high, low ^ high
    rows.multiplicity = counts_of(ids[chosen], asked)
    return matrix


def counts_of(products: Integers, asked: NDArray[np.uint32]) -> Integers:
    """How often each product (n, 4) is queried; of equal ones, only the first is. Queries of others are left out."""
    both = np.concatenate([products, asked.astype(np.int64)])
    _, inverse = np.unique(both, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    place = np.full(len(both), -1, dtype=np.int64)
    place[inverse[: len(products)][::-1]] = np.arange(len(products))[::-1]
    found = place[inverse[len(products) :]]
    return np.bincount(found[found >= 0], minlength=len(products))
